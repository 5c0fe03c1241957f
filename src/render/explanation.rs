//! Renders an explanation as text.

use std::fmt::Write as _;

use super::text::wrap;
use crate::cause::Family;
use crate::diagnose::Confidence;
use crate::explain::{Explanation, Step};

/// Returns the explanation as text.
pub fn render(explanation: &Explanation) -> String {
    let mut text = String::new();
    headline(&mut text, explanation);
    list(
        &mut text,
        "What the message proves",
        "·",
        &explanation.proven,
    );
    findings(&mut text, explanation);
    let is_placeholder = |word: &str| PLACEHOLDERS.contains(&word.trim_matches(['\'', '"']));
    let has_placeholder = explanation
        .next
        .iter()
        .any(|command| command.split([' ', '=']).any(is_placeholder));
    let next = if has_placeholder {
        "Next (replace the words in capitals)"
    } else {
        "Next"
    };
    list(&mut text, next, "$", &explanation.next);
    let same_path = if is_path_family(explanation.family) {
        "; they use the same network path unless they have their own VPC endpoint"
    } else {
        ""
    };
    let later = format!("Later steps, in order, may also fail{same_path}");
    list(&mut text, &wrap(&later, 0), "·", &explanation.next_failures);
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

fn is_path_family(family: Family) -> bool {
    matches!(family, Family::Network | Family::Resolve | Family::Tls)
}

fn headline(text: &mut String, explanation: &Explanation) {
    let service = explanation.service.as_ref();
    let task = match (service, &explanation.task_arn) {
        (Some(service), _) => format!("task of service {service}"),
        (None, Some(arn)) => format!("task {arn}"),
        (None, None) => "task".to_owned(),
    };
    let at = explanation
        .said_at
        .as_ref()
        .map(|at| format!(" at {at}"))
        .unwrap_or_default();
    let (step, family) = (explanation.step, explanation.family);
    let line = match step {
        _ if explanation.had_started => {
            format!("The {task} had started, and stopped{at} later: no step of its start failed.")
        }
        Step::Unknown if family == Family::Unknown => format!(
            "The message about the {task}{at} does not say what failed, and pullprobe does not guess."
        ),
        _ if family == Family::Unknown => format!(
            "The {task} failed{at} while {} (step {step}). The message does not say why, and pullprobe does not guess.",
            step.title()
        ),
        Step::Unknown => format!("The {task} failed{at} at an unknown step (family {family})."),
        _ => format!(
            "The {task} failed{at} while {} (step {step}, family {family}).",
            step.title()
        ),
    };
    let _ = writeln!(text, "{}", wrap(&line, 0));
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
    if !target.is_empty() {
        let _ = writeln!(text, "{}", wrap(&target.join(", "), 2));
    }
    if is_path_family(explanation.family) {
        let hint = "This is a failure of the network path to the service, not of IAM permissions.";
        let _ = writeln!(text, "{}", wrap(hint, 2));
    }
    if explanation.family == Family::Unknown && !explanation.had_started {
        let request = "Pass the whole message or, better, the output of `aws ecs describe-tasks` for the stopped task, \
                       which has its stoppedReason, its stopCode and the reasons of its containers.";
        let _ = writeln!(text, "{}", wrap(request, 2));
    }
}

fn findings(text: &mut String, explanation: &Explanation) {
    if explanation.findings.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nPossible causes, most common first");
    for (n, finding) in explanation.findings.iter().enumerate() {
        let confidence = match finding.confidence {
            Confidence::Certain => "certain",
            Confidence::Likely => "likely",
            Confidence::Possible => "possible",
        };
        let _ = writeln!(text, "  {}. {} ({confidence})", n + 1, finding.cause);
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
        // Users copy a command, so it stays on one line.
        let line = if mark == "$" {
            line.clone()
        } else {
            wrap(line, 4)
        };
        let _ = writeln!(text, "  {mark} {}", line.trim_start());
    }
}
