//! An explanation for a person at a terminal.

use std::fmt::Write as _;

use super::text::wrap;
use crate::cause::Family;
use crate::diagnose::Confidence;
use crate::explain::Explanation;

/// The explanation as text.
pub fn render(explanation: &Explanation) -> String {
    let mut text = String::new();
    headline(&mut text, explanation);
    list(&mut text, "What the text proves", "·", &explanation.proven);
    findings(&mut text, explanation);
    let is_placeholder = |word: &str| PLACEHOLDERS.contains(&word.trim_matches(['\'', '"']));
    let unnamed = explanation
        .next
        .iter()
        .any(|command| command.split([' ', '=']).any(is_placeholder));
    let next = if unnamed {
        "Next (put your own names for the words in capitals)"
    } else {
        "Next"
    };
    list(&mut text, next, "$", &explanation.next);
    let shared = if is_path(explanation.family) {
        "; the same path leads there, unless an endpoint does"
    } else {
        ""
    };
    let hidden = format!("What this failure may hide, in the order in which it would show{shared}");
    list(
        &mut text,
        &wrap(&hidden, 0),
        "·",
        &explanation.next_failures,
    );
    text
}

/// What commands have in the place of what the text does not say.
const PLACEHOLDERS: [&str; 14] = [
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
];

fn is_path(family: Family) -> bool {
    matches!(family, Family::Network | Family::Resolve | Family::Tls)
}

fn headline(text: &mut String, explanation: &Explanation) {
    let whose = explanation
        .service
        .as_ref()
        .map(|service| format!("service {service}: "));
    let whose = whose
        .or_else(|| explanation.task_arn.as_ref().map(|arn| format!("{arn}: ")))
        .unwrap_or_default();
    let whose = explanation
        .said_at
        .iter()
        .fold(whose, |whose, at| format!("{at}, {whose}"));
    let line = if explanation.family == Family::Unknown {
        "unknown: the text does not say what failed, and pullprobe does not guess.".to_owned()
    } else {
        format!(
            "failed at {} ({}), family {}",
            explanation.step.title(),
            explanation.step,
            explanation.family
        )
    };
    let _ = writeln!(text, "{}", wrap(&format!("{whose}{line}"), 0));
    let target = [
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
    if !target.is_empty() {
        let _ = writeln!(text, "{}", wrap(&target.join(", "), 2));
    }
    if is_path(explanation.family) {
        let what = "This is about the way to the service, not about a role's permissions.";
        let _ = writeln!(text, "{}", wrap(what, 2));
    }
    if explanation.family == Family::Unknown {
        let ask = "Please send the whole text, or better what `aws ecs describe-tasks` prints of the stopped task: its \
                   stoppedReason, its stopCode and the containers' reasons. ";
        let _ = writeln!(text, "{}", wrap(ask, 2));
    }
}

fn findings(text: &mut String, explanation: &Explanation) {
    if explanation.findings.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nWhat it may be, the commonest first");
    for (n, finding) in explanation.findings.iter().enumerate() {
        let sure = match finding.confidence {
            Confidence::Certain => "certain",
            Confidence::Likely => "likely",
            Confidence::Possible => "possible",
        };
        let _ = writeln!(text, "  {}. {} ({sure})", n + 1, finding.cause);
        let _ = writeln!(text, "{}", wrap(&finding.summary, 5));
        let _ = writeln!(text, "     → {}", wrap(&finding.remedy, 7).trim_start());
    }
}

fn list(text: &mut String, heading: &str, mark: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{heading}");
    for line in lines {
        // A command is copied, so it stays on one line.
        let line = if mark == "$" {
            line.clone()
        } else {
            wrap(line, 4)
        };
        let _ = writeln!(text, "  {mark} {}", line.trim_start());
    }
}
