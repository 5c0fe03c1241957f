//! Renders an explanation as text: what failed, the proof, what to do, then what else it could be.

use std::fmt::Write as _;

use super::style::Style;
use super::text::remedy;
use crate::cause::Family;
use crate::diagnose::Confidence;
use crate::explain::{Explanation, Step};

/// Returns the explanation as text.
pub fn render(explanation: &Explanation, style: Style) -> String {
    let mut text = String::new();
    headline(&mut text, explanation, style);
    proof(&mut text, explanation, style);
    what_to_do(&mut text, explanation, style);
    next(&mut text, explanation, style);
    alternatives(&mut text, explanation, style);
    later_steps(&mut text, explanation, style);
    text
}

/// Placeholders in commands for what the message does not name.
const PLACEHOLDERS: [&str; 16] = [
    "CLUSTER",
    "SERVICE",
    "TASK",
    "REGION",
    "VPC",
    "ROLE",
    "ACCOUNT",
    "KEY",
    "REPOSITORY",
    "NAME",
    "SECRET",
    "GROUP",
    "FILE_SYSTEM",
    "BUCKET",
    "IMAGE",
    "TASK_DEFINITION",
];

/// Beginning of the statement that the request does not use IPv6.
const IPV4_ONLY: &str = "this is the IPv4 name";

/// Beginnings of statements that locate a failure without saying what it was.
const CONTEXT: [&str; 5] = [
    "on Fargate, these steps come first",
    "the host name resolved to",
    "AWS lists the address",
    IPV4_ONLY,
    "the request was retried",
];

fn is_path_family(family: Family) -> bool {
    matches!(family, Family::Network | Family::Resolve | Family::Tls)
}

/// Returns the sentence that says which task failed, and at which step. On a page it is shorter,
/// because the heading of the page has the time and the task.
pub(super) fn sentence(explanation: &Explanation, in_full: bool) -> String {
    let task = match (&explanation.service, &explanation.task_arn) {
        (Some(service), _) => format!("task of service {service}"),
        (None, Some(arn)) if in_full => format!("task {arn}"),
        (None, _) => "task".to_owned(),
    };
    let at = match &explanation.said_at {
        Some(at) if in_full => format!(" at {at}"),
        _ => String::new(),
    };
    let (step, family) = (explanation.step, explanation.family);
    let code = |text: String| if in_full { text } else { String::new() };
    match step {
        _ if explanation.had_started => {
            format!("The {task} stopped{at} after it had started; no step of its start failed.")
        }
        _ if explanation.stated.is_some() && step == Step::Unknown => {
            format!("The message about the {task}{at} gives a reason.")
        }
        _ if explanation.stated.is_some() => format!(
            "The {task} failed{at} while {}{}.",
            step.title(),
            code(format!(" (step {step})"))
        ),
        Step::Unknown if family == Family::Unknown => format!(
            "The message about the {task}{at} does not say what failed, and pullprobe does not guess."
        ),
        _ if family == Family::Unknown => format!(
            "The {task} failed{at} while {}{}. The message does not say why, and pullprobe does not guess.",
            step.title(),
            code(format!(" (step {step})"))
        ),
        Step::Unknown => format!("The {task} failed{at} at an unknown step (family {family})."),
        _ => format!(
            "The {task} failed{at} while {} ({}family {family}).",
            step.title(),
            code(format!("step {step}, "))
        ),
    }
}

fn headline(text: &mut String, explanation: &Explanation, style: Style) {
    let mark = match explanation.family {
        _ if explanation.had_started => "·",
        Family::Unknown => "?",
        _ => "✗",
    };
    let _ = writeln!(
        text,
        "{}",
        style.item(mark, &sentence(explanation, true), 0)
    );
    if let Some(first) = explanation.findings.first() {
        let why = match first.confidence {
            Confidence::Certain => first.summary.clone(),
            confidence => format!("{} ({confidence})", first.summary.trim_end_matches('.')),
        };
        let _ = writeln!(text, "{}", style.wrap(&why, 2));
    } else if let Some(stated) = &explanation.stated {
        let _ = writeln!(text, "{}", style.wrap(&stated.summary, 2));
    }
}

fn proof(text: &mut String, explanation: &Explanation, style: Style) {
    let target = [
        explanation
            .container
            .as_ref()
            .map(|container| format!("container {container}")),
        explanation
            .dependency
            .map(|dependency| format!("dependency {dependency}")),
        explanation.host.as_ref().map(|host| format!("host {host}")),
        explanation.peer.map(|peer| match &explanation.owner {
            Some(owner) => format!("address {peer} ({owner})"),
            None => format!("address {peer}"),
        }),
    ];
    let target: Vec<String> = target.into_iter().flatten().collect();
    let proven = &explanation.proven;
    // How far the start got, and what ended it.
    let shown: Vec<&String> = if style.verbose {
        proven.iter().collect()
    } else {
        let is_context = |line: &&String| CONTEXT.iter().any(|start| line.starts_with(start));
        let ending = proven.iter().skip(1).find(|line| !is_context(line));
        let warning = proven.iter().find(|line| line.starts_with(IPV4_ONLY));
        let shown = proven.first().into_iter().chain(ending);
        shown.chain(warning).collect()
    };
    if !shown.is_empty() {
        let _ = writeln!(text, "\n{}", style.bold("What the message proves"));
    }
    for line in shown {
        let _ = writeln!(text, "{}", style.item("·", line, 2));
    }
    if !target.is_empty() {
        let _ = writeln!(text, "{}", style.item("·", &target.join(", "), 2));
    }
    if is_path_family(explanation.family) {
        let hint = "This is a failure of the network path to the service, not of IAM permissions.";
        let _ = writeln!(text, "{}", style.item("·", hint, 2));
    }
    let is_open = explanation.family == Family::Unknown && explanation.stated.is_none();
    if is_open && !explanation.had_started {
        let request = "Pass the whole message or, better, the output of `aws ecs describe-tasks` for the stopped task, \
                       which includes the stoppedReason, the stopCode and the reasons of the containers.";
        let _ = writeln!(text, "{}", style.wrap(request, 2));
    }
}

fn what_to_do(text: &mut String, explanation: &Explanation, style: Style) {
    if let Some(first) = explanation.findings.first() {
        let _ = writeln!(text, "\n{}", style.bold("What to do"));
        remedy(text, &first.remedy, first.fix.iter(), style);
    } else if let Some(stated) = &explanation.stated {
        let _ = writeln!(text, "\n{}", style.bold("What to do"));
        remedy(text, &stated.remedy, std::iter::empty::<&str>(), style);
    }
}

fn next(text: &mut String, explanation: &Explanation, style: Style) {
    if explanation.next.is_empty() {
        return;
    }
    let is_placeholder = |word: &str| PLACEHOLDERS.contains(&word.trim_matches(['\'', '"']));
    let has_placeholder = explanation
        .next
        .iter()
        .any(|command| command.split([' ', '=']).any(is_placeholder));
    let heading = if has_placeholder {
        "Next (replace the words in capitals)"
    } else {
        "Next"
    };
    let _ = writeln!(text, "\n{}", style.bold(heading));
    // Users copy a command, so it stays on one line.
    for command in &explanation.next {
        let _ = writeln!(text, "  $ {command}");
    }
}

fn alternatives(text: &mut String, explanation: &Explanation, style: Style) {
    let others = explanation.findings.get(1..).unwrap_or_default();
    if others.is_empty() {
        return;
    }
    let heading = "It could also be, most common first";
    let _ = writeln!(text, "\n{}", style.bold(heading));
    for other in others {
        let line = format!("{} ({}): {}", other.cause, other.confidence, other.remedy);
        let _ = writeln!(text, "{}", style.item("·", &line, 2));
        if style.verbose {
            let _ = writeln!(text, "{}", style.wrap(&other.summary, 4));
        }
    }
}

fn later_steps(text: &mut String, explanation: &Explanation, style: Style) {
    if explanation.next_failures.is_empty() {
        return;
    }
    let same_path = if is_path_family(explanation.family) {
        "; they use the same network path unless they have their own VPC endpoint"
    } else {
        ""
    };
    let steps: Vec<&str> = explanation
        .next_failures
        .iter()
        .map(|step| {
            if style.verbose {
                step
            } else {
                step.split(':').next().unwrap_or(step)
            }
        })
        .collect();
    let line = format!(
        "Later steps, in order, may also fail{same_path}: {}",
        steps.join(", ")
    );
    let _ = writeln!(text, "\n{}", style.wrap(&line, 0));
}
