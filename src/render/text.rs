//! The report as text for a terminal, in 80 columns.

use std::fmt::Write as _;

use crate::diagnose::{Confidence, Finding};
use crate::explain::ecs_wording::predict;
use crate::observation::{Observation, Outcome, Phase, TargetKey};
use crate::report::{Logs, Report};
use crate::verdict::Status;

/// Columns of a terminal, by default.
pub(super) const WIDTH: usize = 80;

/// Renders a report. `color` adds ANSI colors; without them the marks carry the meaning.
pub fn render(report: &Report, color: bool) -> String {
    let paint = Paint(color);
    let mut text = String::new();
    headline(&mut text, report, paint);
    vantage(&mut text, report);
    phase_table(&mut text, report, paint);
    findings(&mut text, report, paint);
    ruled_out(&mut text, report);
    not_checked(&mut text, report);
    ecs_message(&mut text, report);
    delivery(&mut text, report);
    text
}

/// ANSI colors, or none.
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

    /// Paints a cell of the table by its mark.
    fn cell(self, text: &str) -> String {
        match text.chars().next() {
            Some('✓') => self.good(text),
            Some('✗') => self.bad(text),
            _ => text.to_owned(),
        }
    }
}

fn headline(text: &mut String, report: &Report, paint: Paint) {
    let status = report.verdict.status;
    let line = match status {
        Status::Pass => paint.good("✓ PASS"),
        Status::Warn => paint.odd("! WARN"),
        Status::Inconclusive => paint.odd("? INCONCLUSIVE"),
        Status::Fail => paint.bad("✗ FAIL"),
    };
    // Escape codes take no columns, so the sentence is wrapped behind a placeholder of the same
    // width, which the painted status then replaces.
    let placeholder = "#".repeat("✓ ".chars().count() + status.to_string().len());
    let plain = wrap(&format!("{placeholder} {}", report.verdict.summary), 2);
    let summary = plain.trim_start().trim_start_matches('#');
    let _ = writeln!(text, "{}{summary}\n", paint.bold(&line));
}

fn vantage(text: &mut String, report: &Report) {
    let vantage = &report.vantage;
    let address = vantage.address.map(|address| format!("from {address}"));
    let subnet = vantage.subnet_cidr.map(|cidr| format!("in subnet {cidr}"));
    let zone = vantage
        .availability_zone
        .as_ref()
        .map(|zone| format!("({zone})"));
    let place: Vec<String> = [address, subnet, zone].into_iter().flatten().collect();
    let role = report
        .identity
        .as_ref()
        .and_then(|identity| identity.role_arn.as_ref())
        .map(|arn| format!("as {arn}"));
    let elapsed = if report.is_measured() {
        format!(", {} ms", report.run.elapsed_ms)
    } else {
        String::new()
    };
    let run = format!("run {}{elapsed}", report.run.id);
    let place = (!place.is_empty()).then(|| place.join(" "));
    for line in [place, role, Some(run)].into_iter().flatten() {
        let _ = writeln!(text, "  {line}");
    }
    text.push('\n');
}

/// Returns one cell of the phase table.
fn cell(observations: &[&Observation]) -> String {
    let passed: Vec<&Observation> = select(observations, Observation::passed);
    let failed: Vec<&Observation> = select(observations, |o| o.failure().is_some());
    match (passed.as_slice(), failed.as_slice()) {
        ([], []) if observations.is_empty() => String::new(),
        ([], []) if observations.iter().any(|o| is_not_checked(o)) => "?".into(),
        ([], []) => "–".into(),
        (passed, []) => format!("✓ {}", slowest_ms(passed)),
        ([], failed) => format!("✗ {}", slowest_ms(failed)),
        (passed, failed) => format!("✗ {}/{}", failed.len(), passed.len() + failed.len()),
    }
}

fn select<'a>(
    observations: &[&'a Observation],
    predicate: impl Fn(&Observation) -> bool,
) -> Vec<&'a Observation> {
    let selected = observations.iter().filter(|o| predicate(o));
    selected.copied().collect()
}

fn is_not_checked(observation: &Observation) -> bool {
    matches!(observation.outcome, Outcome::NotChecked { .. })
}

fn slowest_ms(observations: &[&Observation]) -> u64 {
    let times = observations.iter().map(|o| o.elapsed_ms);
    times.max().unwrap_or(0)
}

/// The columns of the table. Later phases differ from target to target and follow in the row.
const COMMON_PHASES: [Phase; 3] = [Phase::Resolve, Phase::Connect, Phase::Handshake];

fn phase_table(text: &mut String, report: &Report, paint: Paint) {
    let shown: Vec<&Observation> = report
        .observations
        .iter()
        .filter(|o| !o.host.is_empty() && o.superseded_by.is_none() && o.witness.is_none())
        .collect();
    let mut targets: Vec<&TargetKey> = Vec::new();
    for observation in &shown {
        if !targets.contains(&observation.target()) {
            targets.push(observation.target());
        }
    }
    // Where Amazon ECS reports a stopped task instead of the probe, no target was observed.
    if targets.is_empty() {
        return;
    }
    let cell_of = |target: &TargetKey, phase: Phase| {
        cell(&select(&shown, |o| {
            o.target() == target && o.phase == phase
        }))
    };
    let first = targets
        .iter()
        .map(|target| short_name(target).len())
        .max()
        .unwrap_or(0);
    let heads = COMMON_PHASES.map(|phase| format!("{phase:9}")).join("  ");
    let head = format!("  {:first$}  {heads}", "");
    let _ = writeln!(text, "{}", paint.bold(head.trim_end()));
    for target in targets {
        let common = COMMON_PHASES
            .into_iter()
            .map(|phase| paint.cell(&format!("{:9}", cell_of(target, phase))));
        let exchanges = Phase::ALL
            .into_iter()
            .filter(|phase| phase.is_exchange())
            .filter_map(|phase| {
                let cell = cell_of(target, phase);
                (!cell.is_empty()).then(|| format!("{phase} {}", paint.cell(&cell)))
            });
        let cells = common.chain(exchanges).collect::<Vec<_>>().join("  ");
        let _ = writeln!(
            text,
            "  {:first$}  {}",
            short_name(target),
            cells.trim_end()
        );
    }
    text.push_str("  ✓ works  ✗ fails  – not reached  ? not checked; slowest time in ms\n");
}

/// Returns a target's key without the host that tells it from others of its dependency.
fn short_name(target: &TargetKey) -> &str {
    let key = target.as_str();
    key.split_once('@').map_or(key, |(name, _)| name)
}

fn findings(text: &mut String, report: &Report, paint: Paint) {
    let (probable, alternatives): (Vec<_>, Vec<_>) = report
        .findings
        .iter()
        .enumerate()
        .partition(|(n, finding)| *n == 0 || finding.confidence > Confidence::Possible);
    if !probable.is_empty() {
        let is_blocking = probable.iter().any(|(_, finding)| finding.blocking);
        let heading = if is_blocking {
            "What is wrong"
        } else {
            "What to check"
        };
        let _ = writeln!(text, "\n{}", paint.bold(heading));
    }
    for (n, finding) in probable {
        finding_title(text, n, finding, paint);
        let _ = writeln!(text, "{}", wrap(&finding.summary, 5));
        evidence(text, report, finding);
        let _ = writeln!(text, "{}", wrap(&format!("→ {}", finding.remedy), 5));
        let _ = writeln!(text, "     more: pullprobe causes {}", finding.cause);
    }
    if !alternatives.is_empty() {
        let heading = paint.bold("Cannot be distinguished from here");
        let _ = writeln!(text, "\n{heading}");
    }
    for (n, finding) in alternatives {
        finding_title(text, n, finding, paint);
        let _ = writeln!(text, "{}", wrap(&format!("→ {}", finding.remedy), 5));
    }
}

fn finding_title(text: &mut String, n: usize, finding: &Finding, paint: Paint) {
    let confidence = match finding.confidence {
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Possible => "possible",
    };
    let cause = paint.bold(finding.cause.code());
    let _ = writeln!(text, "\n  {}. {cause} ({confidence})", n + 1);
}

/// Observations shown as evidence of one finding. The JSON has all.
const MAX_EVIDENCE: usize = 6;

fn evidence(text: &mut String, report: &Report, finding: &Finding) {
    for id in finding.because.iter().take(MAX_EVIDENCE) {
        let Some(observation) = report.observations.iter().find(|o| &o.id == id) else {
            continue;
        };
        let elapsed_ms = observation.elapsed_ms;
        let outcome = match &observation.outcome {
            Outcome::Passed | Outcome::Failed { .. } if observation.witness.is_some() => {
                let detail = &observation.detail;
                let _ = writeln!(
                    text,
                    "{}",
                    wrap(&format!("Amazon ECS reports: {detail}"), 7)
                );
                continue;
            }
            Outcome::Passed => format!("✓ {elapsed_ms} ms"),
            Outcome::Failed { failure } => format!("✗ {failure} after {elapsed_ms} ms"),
            Outcome::NotReached { .. } => "– not reached".into(),
            Outcome::NotChecked { why } => format!("? {why}"),
        };
        let owner = observation
            .owner
            .as_ref()
            .map(|owner| format!(" [{owner}]"))
            .unwrap_or_default();
        let _ = writeln!(text, "{}", wrap(&format!("{outcome}  {id}{owner}"), 7));
    }
    if let Some(more @ 1..) = finding.because.len().checked_sub(MAX_EVIDENCE) {
        let _ = writeln!(text, "       and {more} more");
    }
}

fn ruled_out(text: &mut String, report: &Report) {
    if report.ruled_out.is_empty() {
        return;
    }
    let causes = report.ruled_out.iter().map(|ruled| ruled.cause.code());
    let causes = causes.collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "\n{}", wrap(&format!("Ruled out: {causes}"), 0));
}

fn not_checked(text: &mut String, report: &Report) {
    let mut separator = "\n";
    for observation in &report.observations {
        if let Outcome::NotChecked { why } = &observation.outcome {
            let line = format!("Not checked: {}: {why}", observation.id);
            let _ = writeln!(text, "{separator}{}", wrap(&line, 0));
            separator = "";
        }
    }
}

/// Quotes the message that ECS itself would have shown: a reader may already have it at hand.
fn ecs_message(text: &mut String, report: &Report) {
    if let Some(message) = predict(&report.findings, &report.observations) {
        let line = format!(
            "Without the probe, the task would have stayed in PENDING for {}, then stopped with “{}”",
            message.after, message.text
        );
        let _ = writeln!(text, "\n{}", wrap(&line, 0));
    }
}

fn delivery(text: &mut String, report: &Report) {
    let line = match report.delivery.logs {
        // What could not be read is in the summary.
        Logs::NotAsked | Logs::Unknown => return,
        Logs::Delivered => format!("Written to CloudWatch Logs: {}", report.delivery.detail),
        Logs::Failed => format!("Not written to CloudWatch Logs: {}", report.delivery.detail),
    };
    let _ = writeln!(text, "\n{}", wrap(&line, 0));
}

/// Wraps text at spaces, indented by `indent` columns. A word longer than a line stays whole, so
/// that it can be copied.
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
