//! An inspection as text for a terminal.

use std::fmt::Write as _;

use super::style::{Style, status_word};
use crate::compare::summary::list_first;
use crate::inspect::{
    Basis, Hop, InspectedContact, Inspection, InspectionFinding, Openness, Patch,
};

/// Renders an inspection.
pub fn render(inspection: &Inspection, style: Style) -> String {
    let mut text = String::new();
    let status = status_word(inspection.verdict.status).to_uppercase();
    let _ = writeln!(text, "{}", style.by_mark(&status));
    let _ = writeln!(text, "{}", style.wrap(&inspection.verdict.summary, 2));
    write_findings(&mut text, inspection, style);
    write_ruled_out(&mut text, inspection, style);
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
    write_unread(&mut text, inspection, style);
    text
}

/// Renders what an inspection adds to the reports of a launch, which are printed already.
pub fn render_joined(inspection: &Inspection, style: Style) -> String {
    let mut text = format!("{}\n", style.bold("What the configuration says"));
    let adds = |finding: &InspectionFinding| finding.basis != Basis::Packets;
    let rules_out = inspection
        .packets
        .iter()
        .any(|vantage| !vantage.ruled_out.is_empty());
    if inspection.findings.iter().any(adds) || rules_out {
        let _ = writeln!(text, "{}", style.wrap(&inspection.verdict.summary, 2));
        write_findings(&mut text, inspection, style);
        write_ruled_out(&mut text, inspection, style);
    } else {
        let nothing = "Nothing that explains the findings: no hop that could be read is closed.";
        let _ = writeln!(text, "{}", style.wrap(nothing, 2));
    }
    write_unread(&mut text, inspection, style);
    text
}

fn write_findings(text: &mut String, inspection: &Inspection, style: Style) {
    for (number, finding) in inspection.findings.iter().enumerate() {
        write_finding(text, number + 1, finding, style);
    }
}

/// Writes the causes that packets leave open and the configuration excludes, each with its objects.
fn write_ruled_out(text: &mut String, inspection: &Inspection, style: Style) {
    let mut lines: Vec<String> = Vec::new();
    for ruled in inspection.packets.iter().flat_map(|one| &one.ruled_out) {
        let line = format!("{}: {} ({})", ruled.cause, ruled.why, list(&ruled.objects));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if lines.is_empty() {
        return;
    }
    let heading = style.bold("Ruled out by the configuration");
    let _ = writeln!(text, "\n{heading}");
    for line in lines {
        let _ = writeln!(text, "{}", style.wrap(&line, 2));
    }
}

fn write_unread(text: &mut String, inspection: &Inspection, style: Style) {
    if inspection.unread.is_empty() {
        return;
    }
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

fn write_finding(text: &mut String, number: usize, finding: &InspectionFinding, style: Style) {
    let InspectionFinding {
        cause,
        confidence,
        object,
        rule,
        ..
    } = finding;
    let mark = if finding.blocking { "✗" } else { "!" };
    let head = format!("{mark} {number}. {cause} ({confidence})");
    let _ = writeln!(text, "\n{}", style.by_mark(&head));
    if let Some(object) = object {
        let _ = writeln!(text, "  object: {}", style.bold(object));
    }
    let rule = rule.as_ref().map(|rule| format!("rule: {rule}"));
    let stops = format!("blocks: {}", list(&finding.contacts));
    for line in rule.iter().chain([&finding.summary, &stops]) {
        let _ = writeln!(text, "{}", style.wrap(line, 2));
    }
    write_basis(text, finding, style);
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

/// Writes what a finding rests on, where packets were joined with the configuration.
fn write_basis(text: &mut String, finding: &InspectionFinding, style: Style) {
    let ids: Vec<String> = finding.because.iter().map(ToString::to_string).collect();
    let mut lines = Vec::new();
    match (finding.basis, &finding.contradiction) {
        (Basis::Both, _) => {
            lines.push(format!("packets and configuration agree: {}", list(&ids)));
        }
        (Basis::Packets, _) => lines.push(format!("packets: {}", list(&ids))),
        (_, Some(said)) => lines.extend([
            format!("packets: {}", said.packets),
            format!("configuration: {}", said.configuration),
            said.packets_cannot_see.clone(),
            said.configuration_cannot_see.clone(),
        ]),
        (Basis::Configuration | Basis::Contradiction, None) => {}
    }
    for line in lines {
        let _ = writeln!(text, "{}", style.wrap(&line, 2));
    }
}

/// Maximum number of contacts that a finding names. Of more, only the number is shown.
const MAX_NAMED_CONTACTS: usize = 6;

fn list(contacts: &[String]) -> String {
    list_first(contacts, MAX_NAMED_CONTACTS)
}

fn write_patch(text: &mut String, mark: &str, patch: &Patch, style: Style) {
    let cost = patch.cost.as_ref().map(|cost| format!(" (cost: {cost})"));
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
    let _ = writeln!(text, "  {}", style.by_mark(&line));
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
        let head = format!("{}: {}{rule}", hop.hop.name(), hop.object);
        let _ = writeln!(text, "{}", style.item(mark(hop.verdict), &head, 6));
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
