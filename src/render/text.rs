//! The report for a person at a terminal, in 80 columns.

use std::fmt::Write as _;

use crate::diagnose::{Confidence, Finding};
use crate::explain::ecs_wording::predict;
use crate::observation::{Observation, Outcome, Phase, TargetKey};
use crate::report::{LADDER, Logs, Report};
use crate::verdict::Status;

/// Columns of a terminal that nobody has widened.
pub(super) const WIDTH: usize = 80;

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
    prediction(&mut text, report);
    delivery(&mut text, report);
    text
}

/// ANSI colours, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn odd(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// A cell of the table, by its mark.
    fn cell(self, text: &str) -> String {
        match text.chars().next() {
            Some('✓') => self.good(text),
            Some('✗') => self.bad(text),
            _ => text.to_owned(),
        }
    }
}

fn headline(text: &mut String, report: &Report, paint: Paint) {
    let line = match report.verdict.status {
        Status::Pass => paint.good("✓ PASS"),
        Status::Warn => paint.odd("! WARN"),
        Status::Inconclusive => paint.odd("? INCONCLUSIVE"),
        Status::Fail => paint.bad("✗ FAIL"),
    };
    // Escape codes are no columns, so the sentence is broken first and painted then.
    let plain = wrap(
        &format!(
            "{} {}",
            "#".repeat(uncoloured(report.verdict.status)),
            report.verdict.summary
        ),
        2,
    );
    let rest = plain.trim_start().trim_start_matches('#');
    let _ = writeln!(text, "{}{rest}\n", paint.bold(&line));
}

/// Columns of the status word and its mark.
fn uncoloured(status: Status) -> usize {
    2 + status.to_string().len()
}

fn place(text: &mut String, report: &Report) {
    let vantage = &report.vantage;
    let address = vantage.address.map(|address| format!("from {address}"));
    let subnet = vantage
        .subnet_cidr
        .map(|subnet| format!("in subnet {subnet}"));
    let zone = vantage
        .availability_zone
        .clone()
        .map(|zone| format!("({zone})"));
    let place: Vec<String> = [address, subnet, zone].into_iter().flatten().collect();
    let dependency = report
        .identity
        .as_ref()
        .and_then(|identity| identity.role_arn.clone())
        .map(|arn| format!("as {arn}"));
    let run = format!("run {}, {} ms", report.run.id, report.run.elapsed_ms);
    for line in [
        Some(place.join(" ")).filter(|place| !place.is_empty()),
        dependency,
        Some(run),
    ]
    .into_iter()
    .flatten()
    {
        let _ = writeln!(text, "  {line}");
    }
    text.push('\n');
}

/// One cell of the table.
fn cell(seen: &[&Observation]) -> String {
    let passed: Vec<_> = seen.iter().filter(|s| s.passed()).collect();
    let failed: Vec<_> = seen.iter().filter(|s| s.failure().is_some()).collect();
    let slowest =
        |all: &[&&Observation]| all.iter().map(|s| s.elapsed_ms).max().unwrap_or_default();
    match (passed.as_slice(), failed.as_slice()) {
        ([], []) if seen.is_empty() => String::new(),
        ([], [])
            if seen
                .iter()
                .any(|s| matches!(s.outcome, Outcome::NotChecked { .. })) =>
        {
            "?".into()
        }
        ([], []) => "–".into(),
        (passed, []) => format!("✓ {}", slowest(passed)),
        ([], failed) => format!("✗ {}", slowest(failed)),
        (passed, failed) => format!("✗ {}/{}", failed.len(), passed.len() + failed.len()),
    }
}

/// The first three rungs are every target's; what comes after is its own.
const COMMON: [Phase; 3] = [Phase::Resolve, Phase::Connect, Phase::Handshake];

fn ladder(text: &mut String, report: &Report, paint: Paint) {
    let shown: Vec<&Observation> = report
        .observations
        .iter()
        .filter(|seen| !seen.host.is_empty() && seen.superseded_by.is_none())
        .collect();
    let mut targets: Vec<&TargetKey> = Vec::new();
    for seen in &shown {
        if !targets.contains(&seen.target()) {
            targets.push(seen.target());
        }
    }
    let cell_of = |target: &TargetKey, phase: Phase| {
        cell(
            &shown
                .iter()
                .copied()
                .filter(|s| s.target() == target && s.phase == phase)
                .collect::<Vec<_>>(),
        )
    };
    // What Amazon ECS says instead of the probe is about no target.
    if targets.is_empty() {
        return;
    }
    let name = |target: &TargetKey| {
        let key = target.as_str();
        key.split_once('@').map_or(key, |(name, _)| name).to_owned()
    };
    let first = targets
        .iter()
        .map(|target| name(target).len())
        .max()
        .unwrap_or_default();
    let heads: Vec<String> = COMMON.iter().map(|phase| format!("{phase:9}")).collect();
    let _ = writeln!(
        text,
        "{}",
        paint.bold(format!("  {:first$}  {}", "", heads.join("  ")).trim_end())
    );
    for target in targets {
        let common = COMMON
            .iter()
            .map(|&phase| paint.cell(&format!("{:9}", cell_of(target, phase))));
        let own = LADDER
            .into_iter()
            .filter(|phase| phase.is_exchange())
            .filter_map(|phase| {
                let cell = cell_of(target, phase);
                (!cell.is_empty()).then(|| format!("{phase} {}", paint.cell(&cell)))
            });
        let cells: Vec<String> = common.chain(own).collect();
        let _ = writeln!(
            text,
            "  {:first$}  {}",
            name(target),
            cells.join("  ").trim_end()
        );
    }
    text.push_str("  ✓ works  ✗ fails  – not reached  ? not checked; the slowest time in ms\n");
}

fn findings(text: &mut String, report: &Report, paint: Paint) {
    let (told, listed): (Vec<_>, Vec<_>) = report
        .findings
        .iter()
        .enumerate()
        .partition(|(n, finding)| *n == 0 || finding.confidence > Confidence::Possible);
    if !told.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("What is wrong"));
    }
    for (n, finding) in told {
        let sure = match finding.confidence {
            Confidence::Certain => "certain",
            Confidence::Likely => "likely",
            Confidence::Possible => "possible",
        };
        let _ = writeln!(
            text,
            "\n  {}. {} ({sure})",
            n + 1,
            paint.bold(finding.cause.code())
        );
        let _ = writeln!(text, "{}", wrap(&finding.summary, 5));
        proof(text, report, finding);
        let _ = writeln!(text, "{}", wrap(&format!("→ {}", finding.remedy), 5));
        let _ = writeln!(text, "     more: pullprobe causes {}", finding.cause);
    }
    if !listed.is_empty() {
        let _ = writeln!(
            text,
            "\n{}",
            paint.bold("What cannot be told apart from it from here")
        );
    }
    for (n, finding) in listed {
        let _ = writeln!(
            text,
            "\n  {}. {} (possible)",
            n + 1,
            paint.bold(finding.cause.code())
        );
        let _ = writeln!(text, "{}", wrap(&format!("→ {}", finding.remedy), 5));
    }
}

/// Lines of proof shown of one finding. The JSON has all.
const PROOFS: usize = 6;

fn proof(text: &mut String, report: &Report, finding: &Finding) {
    for id in finding.because.iter().take(PROOFS) {
        let Some(seen) = report.observations.iter().find(|seen| &seen.id == id) else {
            continue;
        };
        let what = match &seen.outcome {
            Outcome::Passed => format!("✓ {} ms", seen.elapsed_ms),
            Outcome::Failed { failure } => format!("✗ {failure} after {} ms", seen.elapsed_ms),
            Outcome::NotReached { .. } => "– not reached".into(),
            Outcome::NotChecked { why } => format!("? {why}"),
        };
        let owner = seen
            .owner
            .as_ref()
            .map(|owner| format!(" [{owner}]"))
            .unwrap_or_default();
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
    let codes: Vec<_> = report
        .ruled_out
        .iter()
        .map(|excluded| excluded.cause.code())
        .collect();
    let _ = writeln!(
        text,
        "\n{}",
        wrap(&format!("Ruled out: {}", codes.join(", ")), 0)
    );
}

fn unchecked(text: &mut String, report: &Report) {
    let mut reasons = report
        .observations
        .iter()
        .filter_map(|seen| match &seen.outcome {
            Outcome::NotChecked { why } => Some(format!("Not checked: {}: {why}", seen.id)),
            _ => None,
        });
    if let Some(first) = reasons.next() {
        let _ = writeln!(text, "\n{}", wrap(&first, 0));
    }
    for reason in reasons {
        let _ = writeln!(text, "{}", wrap(&reason, 0));
    }
}

/// What ECS itself would have said: for those who have that text, and know it again.
fn prediction(text: &mut String, report: &Report) {
    if let Some(told) = predict(&report.findings, &report.observations) {
        let line = format!(
            "Without the probe your task would have sat in PENDING for {}, then stopped with “{}”",
            told.after, told.text
        );
        let _ = writeln!(text, "\n{}", wrap(&line, 0));
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

/// Breaks at spaces, `indent` columns in. A word longer than a line stays whole: it is a name to be
/// copied.
pub(super) fn wrap(text: &str, indent: usize) -> String {
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
