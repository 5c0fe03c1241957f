//! The report for a person at a terminal, in 80 columns.

use std::fmt::Write as _;

use crate::diagnose::{Confidence, Finding};
use crate::observation::{Observation, Outcome, Phase};
use crate::report::{LADDER, Logs, Report};
use crate::verdict::Status;

/// Columns of a terminal that nobody has widened.
const WIDTH: usize = 80;

/// The report as text. `colour` adds ANSI colours; without them the marks alone carry the meaning.
pub fn render(report: &Report, colour: bool) -> String {
    let paint = Paint(colour);
    let mut text = String::new();
    headline(&mut text, report, paint);
    place(&mut text, report);
    ladder(&mut text, report, paint);
    findings(&mut text, report, paint);
    ruled_out(&mut text, report);
    unchecked(&mut text, report);
    delivery(&mut text, report);
    text
}

/// ANSI colours, or none.
#[derive(Debug, Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn odd(self, text: &str) -> String {
        self.with("33", text)
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
}

fn headline(text: &mut String, report: &Report, paint: Paint) {
    let (mark, word) = match report.verdict.status {
        Status::Pass => (paint.good("✓"), paint.good("PASS")),
        Status::Warn => (paint.odd("!"), paint.odd("WARN")),
        Status::Inconclusive => (paint.odd("?"), paint.odd("INCONCLUSIVE")),
        Status::Fail => (paint.bad("✗"), paint.bad("FAIL")),
    };
    let _ = writeln!(text, "{mark} {}", paint.bold(&word));
    let _ = writeln!(text, "{}", wrap(&report.verdict.summary, 2));
}

fn place(text: &mut String, report: &Report) {
    let vantage = &report.vantage;
    let address = vantage.address.map(|address| format!("from {address}"));
    let subnet = vantage.subnet_cidr.map(|subnet| format!("in subnet {subnet}"));
    let zone = vantage.availability_zone.clone().map(|zone| format!("({zone})"));
    let role = report.identity.as_ref().and_then(|identity| identity.role_arn.clone()).map(|arn| format!("as {arn}"));
    let run = Some(format!("run {}, {} ms", report.run.id, report.run.elapsed_ms));
    let line: Vec<String> = [address, subnet, zone, role, run].into_iter().flatten().collect();
    let _ = writeln!(text, "{}\n", wrap(&line.join(" "), 2));
}

/// One cell of the table.
fn cell(seen: &[&Observation]) -> String {
    let passed: Vec<_> = seen.iter().filter(|s| s.passed()).collect();
    let failed: Vec<_> = seen.iter().filter(|s| s.failure().is_some()).collect();
    let slowest = |all: &[&&Observation]| all.iter().map(|s| s.elapsed_ms).max().unwrap_or_default();
    match (passed.as_slice(), failed.as_slice()) {
        ([], []) if seen.is_empty() => String::new(),
        ([], []) if seen.iter().any(|s| matches!(s.outcome, Outcome::NotChecked { .. })) => "?".into(),
        ([], []) => "–".into(),
        (passed, []) => format!("✓ {}", slowest(passed)),
        ([], failed) => format!("✗ {}", slowest(failed)),
        (passed, failed) => format!("✗ {}/{}", failed.len(), passed.len() + failed.len()),
    }
}

fn ladder(text: &mut String, report: &Report, paint: Paint) {
    let shown: Vec<_> =
        report.observations.iter().filter(|seen| !seen.host.is_empty() && seen.superseded_by.is_none()).collect();
    let mut targets: Vec<(&str, &str)> = Vec::new();
    for seen in &shown {
        if !targets.iter().any(|(key, _)| *key == seen.target()) {
            targets.push((seen.target(), seen.role.name()));
        }
    }
    let phases: Vec<Phase> = LADDER.into_iter().filter(|phase| shown.iter().any(|s| s.phase == *phase)).collect();
    let rows: Vec<(&str, Vec<String>)> = targets
        .iter()
        .map(|(key, role)| {
            let of =
                |phase| shown.iter().copied().filter(|s| s.target() == *key && s.phase == phase).collect::<Vec<_>>();
            (*role, phases.iter().map(|&phase| cell(&of(phase))).collect())
        })
        .collect();
    let widths: Vec<usize> = phases
        .iter()
        .enumerate()
        .map(|(n, phase)| {
            rows.iter().map(|(_, cells)| cells[n].chars().count()).max().unwrap_or(0).max(phase.name().len())
        })
        .collect();
    let first = rows.iter().map(|(role, _)| role.len()).max().unwrap_or_default();
    let mut head = format!("  {:first$}", "");
    for (phase, width) in phases.iter().zip(&widths) {
        let _ = write!(head, "  {:width$}", phase.name());
    }
    let _ = writeln!(text, "{}", paint.bold(head.trim_end()));
    for (role, cells) in rows {
        let mut line = format!("  {role:first$}");
        for (cell, width) in cells.iter().zip(&widths) {
            let padded = format!("{cell:width$}");
            let painted = match cell.chars().next() {
                Some('✓') => paint.good(&padded),
                Some('✗') => paint.bad(&padded),
                _ => padded,
            };
            let _ = write!(line, "  {painted}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str("  ✓ works  ✗ fails  – not reached  ? not checked; slowest time in ms\n");
}

fn findings(text: &mut String, report: &Report, paint: Paint) {
    for (n, finding) in report.findings.iter().enumerate() {
        let heading = if n == 0 { "What is wrong\n" } else { "" };
        if !heading.is_empty() {
            let _ = write!(text, "\n{}", paint.bold(heading));
        }
        let sure = match finding.confidence {
            Confidence::Certain => "certain",
            Confidence::Likely => "likely",
            Confidence::Possible => "possible",
        };
        let _ = writeln!(text, "\n  {}. {} ({sure})", n + 1, paint.bold(finding.cause.code()));
        let _ = writeln!(text, "{}", wrap(&finding.summary, 5));
        proof(text, report, finding);
        let _ = writeln!(text, "{}", wrap(&format!("→ {}", finding.remedy), 5));
        let _ = writeln!(text, "     more: pullprobe causes {}", finding.cause);
    }
}

/// Lines of proof shown of one finding. The JSON has all.
const PROOFS: usize = 6;

fn proof(text: &mut String, report: &Report, finding: &Finding) {
    for id in finding.because.iter().take(PROOFS) {
        let Some(seen) = report.observations.iter().find(|seen| &seen.id == id) else { continue };
        let what = match &seen.outcome {
            Outcome::Passed => format!("✓ {} ms", seen.elapsed_ms),
            Outcome::Failed { failure } => format!("✗ {failure} after {} ms", seen.elapsed_ms),
            Outcome::NotReached { .. } => "– not reached".into(),
            Outcome::NotChecked { why } => format!("? {why}"),
        };
        let owner = seen.owner.as_ref().map(|owner| format!(" [{owner}]")).unwrap_or_default();
        let _ = writeln!(text, "{}", wrap(&format!("{what}  {id}{owner}"), 7));
    }
    if let Some(more @ 1..) = finding.because.len().checked_sub(PROOFS) {
        let _ = writeln!(text, "       and {more} more");
    }
}

fn ruled_out(text: &mut String, report: &Report) {
    if report.ruled_out.is_empty() {
        return;
    }
    let codes: Vec<_> = report.ruled_out.iter().map(|excluded| excluded.cause.code()).collect();
    let _ = writeln!(text, "\n{}", wrap(&format!("Ruled out: {}", codes.join(", ")), 0));
}

fn unchecked(text: &mut String, report: &Report) {
    let reasons = report.observations.iter().filter_map(|seen| match &seen.outcome {
        Outcome::NotChecked { why } => Some(format!("{}: {why}", seen.id)),
        _ => None,
    });
    for (n, reason) in reasons.enumerate() {
        let lead = if n == 0 { "\nNot checked: " } else { "Not checked: " };
        let _ =
            writeln!(text, "{}{}", if n == 0 { "\n" } else { "" }, wrap(&format!("{}{reason}", lead.trim_start()), 0));
    }
}

fn delivery(text: &mut String, report: &Report) {
    let line = match report.delivery.logs {
        Logs::NotAsked => return,
        Logs::Delivered => format!("Written to CloudWatch Logs: {}", report.delivery.detail),
        Logs::Failed => format!("Not written to CloudWatch Logs: {}", report.delivery.detail),
    };
    let _ = writeln!(text, "\n{}", wrap(&line, 0));
}

/// Breaks at spaces, `indent` columns in. A word longer than a line stays whole: it is a name to be copied.
fn wrap(text: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let mut lines = vec![margin.clone()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        let empty = line.len() == indent;
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{margin}{word}"));
        } else {
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
