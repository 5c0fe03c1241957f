//! An inspection as text for a terminal.

use std::fmt::Write as _;

use super::style::Style;
use crate::diagnose::Confidence;
use crate::inspect::{Hop, InspectedContact, Inspection, InspectionFinding, Openness, Patch};
use crate::verdict::Status;

/// Renders an inspection.
pub fn render(inspection: &Inspection, style: Style) -> String {
    let mut text = String::new();
    let status = match inspection.verdict.status {
        Status::Pass => style.good("✓ PASS"),
        Status::Warn => style.odd("! WARN"),
        Status::Inconclusive => style.odd("? INCONCLUSIVE"),
        Status::Fail => style.bad("✗ FAIL"),
    };
    let _ = writeln!(text, "{status}");
    let _ = writeln!(text, "{}", style.wrap(&inspection.verdict.summary, 2));
    for (number, finding) in inspection.findings.iter().enumerate() {
        write_finding(&mut text, number + 1, finding, style);
    }
    let mut subnet = "";
    for contact in &inspection.contacts {
        if contact.subnet != subnet {
            subnet = &contact.subnet;
            let place = [contact.availability_zone.as_deref(), contact.vpc.as_deref()];
            let place: Vec<_> = place.into_iter().flatten().collect();
            let place = if place.is_empty() {
                String::new()
            } else {
                format!(" ({})", place.join(", "))
            };
            let _ = writeln!(text, "\n{}{place}", style.bold(subnet));
        }
        write_contact(&mut text, contact, style);
    }
    if !inspection.unread.is_empty() {
        let _ = writeln!(text, "\n{}", style.bold("Not read"));
        for unread in &inspection.unread {
            let _ = writeln!(text, "  {} ({})", unread.action, unread.why);
            let _ = writeln!(
                text,
                "{}",
                style.wrap(&format!("would add: {}", unread.adds), 4)
            );
        }
    }
    text
}

fn write_finding(text: &mut String, number: usize, finding: &InspectionFinding, style: Style) {
    let InspectionFinding {
        cause,
        confidence,
        object,
        rule,
        ..
    } = finding;
    let confidence = match confidence {
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Possible => "possible",
    };
    let mark = if finding.blocking { "✗" } else { "!" };
    let head = format!("{mark} {number}. {cause} ({confidence})");
    let head = if finding.blocking {
        style.bad(&head)
    } else {
        style.odd(&head)
    };
    let _ = writeln!(text, "\n{head}");
    let _ = writeln!(text, "  object: {}", style.bold(object));
    let _ = writeln!(text, "{}", style.wrap(&format!("rule: {rule}"), 2));
    let _ = writeln!(text, "{}", style.wrap(&finding.summary, 2));
    let _ = writeln!(
        text,
        "{}",
        style.wrap(&format!("stops: {}", list(&finding.contacts)), 2)
    );
    match &finding.patch {
        Some(patch) => write_patch(text, "→ ", patch, style),
        None => {
            let _ = writeln!(text, "{}", style.wrap(&format!("→ {}", finding.remedy), 2));
        }
    }
    for patch in &finding.alternatives {
        write_patch(text, "or ", patch, style);
    }
}

/// Contacts that a finding names; with more, their number is enough.
const MAX_NAMED_CONTACTS: usize = 6;

fn list(contacts: &[String]) -> String {
    match contacts.len().checked_sub(MAX_NAMED_CONTACTS) {
        Some(more @ 1..) => format!(
            "{} and {more} more",
            contacts[..MAX_NAMED_CONTACTS].join(", ")
        ),
        _ => contacts.join(", "),
    }
}

fn write_patch(text: &mut String, mark: &str, patch: &Patch, style: Style) {
    let cost = patch.cost.as_ref().map(|cost| format!(" (costs {cost})"));
    let title = format!("{mark}{}{}", patch.title, cost.unwrap_or_default());
    let _ = writeln!(text, "{}", style.wrap(&title, 2));
    for command in &patch.cli {
        // Not wrapped, so that it can be copied.
        let _ = writeln!(text, "    {command}");
    }
}

fn write_contact(text: &mut String, contact: &InspectedContact, style: Style) {
    let InspectedContact {
        target, host, port, ..
    } = contact;
    // The target's key repeats the host from the second target of a dependency on.
    let key = target.split('@').next().unwrap_or(target);
    let line = format!("{} {key:<14} {host}:{port}", mark(contact.verdict));
    let _ = writeln!(text, "  {}", painted(&line, contact.verdict, style));
    let is_open = |hop: &&Hop| hop.verdict == Openness::Open;
    if contact.hops.iter().all(|hop| is_open(&hop)) {
        let objects: Vec<_> = contact
            .hops
            .iter()
            .map(|hop| hop.object.as_str())
            .filter(|object| !object.is_empty())
            .fold(Vec::new(), |mut known: Vec<&str>, object| {
                if !known.contains(&object) {
                    known.push(object);
                }
                known
            });
        let _ = writeln!(text, "{}", style.wrap(&objects.join(" → "), 6));
        return;
    }
    for hop in contact.hops.iter().filter(|hop| !is_open(hop)) {
        let rule = if hop.rule.is_empty() {
            String::new()
        } else {
            format!(", {}", hop.rule)
        };
        let head = format!(
            "{} {}: {}{rule}",
            mark(hop.verdict),
            hop.hop.name(),
            hop.object
        );
        let _ = writeln!(text, "{}", style.wrap(&head, 6));
        let _ = writeln!(text, "{}", style.wrap(&hop.why, 8));
    }
}

fn mark(verdict: Openness) -> &'static str {
    match verdict {
        Openness::Open => "✓",
        Openness::Unknown => "?",
        Openness::Closed => "✗",
    }
}

fn painted(line: &str, verdict: Openness, style: Style) -> String {
    match verdict {
        Openness::Open => style.good(line),
        Openness::Unknown => style.odd(line),
        Openness::Closed => style.bad(line),
    }
}
