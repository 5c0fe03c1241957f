//! The page of explanations: for each message the sentence, what to do, the picture, and the proof.

use maud::{Markup, html};
use serde::Deserialize;

use super::advice::{alternatives, cause, to_do};
use super::{figure, heading, isolated};
use crate::arn::Arn;
use crate::compare::report_view::{FindingView, Text};
use crate::explain::Explanation;
use crate::render::explanation::sentence;
use crate::render::picture::VpcPicture;
use crate::render::result::{name_of, shown};

/// Maximum number of explanations in a page. The JSON has all of them.
const MAX_EXPLANATIONS: usize = 100;

/// The parts of an explanation that a page shows, read from its JSON, in which control characters
/// are escaped.
#[derive(Debug, Default, Deserialize)]
struct ExplanationView<'a> {
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow, default)]
    task_arn: Option<Text<'a>>,
    #[serde(borrow, default)]
    service: Option<Text<'a>>,
    #[serde(borrow, default)]
    said_at: Option<Text<'a>>,
    #[serde(borrow, default)]
    stated: Option<StatedView<'a>>,
    #[serde(borrow)]
    proven: Vec<Text<'a>>,
    #[serde(borrow)]
    findings: Vec<FindingView<'a>>,
    #[serde(borrow)]
    next: Vec<Text<'a>>,
    #[serde(borrow)]
    next_failures: Vec<Text<'a>>,
}

/// What a page shows of a reason that the text states.
#[derive(Debug, Default, Deserialize)]
struct StatedView<'a> {
    #[serde(borrow)]
    summary: Text<'a>,
    #[serde(borrow)]
    remedy: Text<'a>,
}

/// Returns the title of the page.
pub(super) fn title(explanations: &[Explanation]) -> String {
    match explanations {
        [only] => shown(&sentence(only, false)),
        several => format!("{} messages of Amazon ECS", several.len()),
    }
}

/// Returns the body of the page.
pub(super) fn body(explanations: &[Explanation]) -> Markup {
    let more = explanations.len().saturating_sub(MAX_EXPLANATIONS);
    html! {
        main {
            @for (n, explanation) in explanations.iter().take(MAX_EXPLANATIONS).enumerate() {
                article { (one(explanation, n == 0)) }
            }
        }
        @if more > 0 {
            footer { p { (more) " more messages are not shown; " code { "--format json" } " lists all of them." } }
        }
    }
}

fn one(explanation: &Explanation, is_first: bool) -> Markup {
    let line = explanation.line();
    let view: ExplanationView<'_> = serde_json::from_str(&line).unwrap_or_default();
    let picture = VpcPicture::of_explanation(explanation).unwrap_or_default();
    let title = sentence(explanation, false);
    html! {
        header {
            (heading(&facts(&view)))
            @if is_first { h1 { (isolated(&title)) } } @else { h2.next { (isolated(&title)) } }
        }
        (what_to_do(&view))
        section {
            h2 { "What Amazon ECS reported" }
            blockquote { (isolated(&view.message)) }
        }
        // A page has one picture with this heading; further messages have the sentence.
        @if is_first {
            (figure(&picture, "Drawn from the message alone; run the probe in the subnet to see more."))
        }
        (list("What the message proves", &view.proven))
        (list("Later steps, in order, may also fail", &view.next_failures))
    }
}

fn facts(view: &ExplanationView<'_>) -> Vec<(&'static str, String)> {
    let arn = view
        .task_arn
        .as_deref()
        .and_then(|arn| arn.parse::<Arn>().ok());
    let task = view.task_arn.as_deref().map(|arn| name_of(arn).to_owned());
    let of_arn = |part: fn(&Arn) -> &str| arn.as_ref().map(|arn| part(arn).to_owned());
    [
        ("service", view.service.as_deref().map(str::to_owned)),
        ("task", task),
        ("account", of_arn(|arn| &arn.account)),
        ("Region", of_arn(|arn| &arn.region)),
        ("time", view.said_at.as_deref().map(str::to_owned)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
    .collect()
}

fn what_to_do(view: &ExplanationView<'_>) -> Markup {
    let Some((first, others)) = view.findings.split_first() else {
        return html! {
            @if let Some(stated) = &view.stated {
                section { p { (isolated(&stated.summary)) " " (isolated(&stated.remedy)) } }
            }
            (commands(&view.next))
        };
    };
    html! {
        section.results aria-label="What to do" {
            div.card.fail {
                p.sentence { (how_sure(first)) (isolated(&first.summary)) }
                (to_do(first))
                (cause(first))
                (alternatives("What else it could be", others))
            }
        }
        (commands(&view.next))
    }
}

/// Returns the beginning of a sentence whose cause is not certain.
fn how_sure(finding: &FindingView<'_>) -> &'static str {
    match &*finding.confidence {
        "certain" => "",
        "likely" => "Most likely: ",
        _ => "Possibly: ",
    }
}

fn commands(commands: &[Text<'_>]) -> Markup {
    html! {
        @if !commands.is_empty() {
            section {
                h2 { "Commands that narrow it down" }
                @for command in commands { pre.copy { (isolated(command)) } }
            }
        }
    }
}

fn list(title: &str, lines: &[Text<'_>]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section {
                h2 { (title) }
                ul.facts { @for line in lines { li { (isolated(line)) } } }
            }
        }
    }
}
