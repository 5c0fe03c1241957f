//! The report as text for a terminal: what fails, the proof, what to do, then the table and what
//! else it could be. What passes takes one line.

use std::fmt::Write as _;

use super::style::{Style, status_mark, status_word};
use crate::diagnose::{Confidence, Finding};
use crate::explain::ecs_wording::{Prediction, predict};
use crate::observation::{Observation, Outcome, Phase, TargetKey};
use crate::report::{Logs, Report};
use crate::verdict::Status;

/// Renders a report.
pub fn render(report: &Report, style: Style) -> String {
    let mut text = String::new();
    headline(&mut text, report.verdict.status, &verdict(report), style);
    if report.verdict.status == Status::Pass && !style.verbose {
        return text;
    }
    proof(&mut text, report, style);
    what_to_do(&mut text, &report.findings, style);
    if style.verbose {
        evidence(&mut text, report, style);
    }
    phase_table(&mut text, report, style);
    alternatives(&mut text, &report.findings, style);
    if style.verbose {
        ruled_out(&mut text, report, style);
    }
    not_checked(&mut text, report, style);
    ecs_message(&mut text, report, style);
    place(&mut text, report, style);
    text
}

/// Renders a report in one line, after the name of its vantage.
pub fn render_line(place: &str, report: &Report, style: Style) -> String {
    let cause = report
        .findings
        .first()
        .map(|first| format!(": {} ({})", first.cause, first.confidence));
    let elapsed = elapsed(report).map(|elapsed| format!(", {elapsed}"));
    let line = format!(
        "{place}  {}{}{}",
        report.verdict.status,
        cause.unwrap_or_default(),
        elapsed.unwrap_or_default()
    );
    style.item(status_mark(report.verdict.status), &line, 0) + "\n"
}

/// Returns the sentence of the verdict. A pass has only this line, so it also says where.
fn verdict(report: &Report) -> String {
    let summary = report.verdict.summary.as_str();
    if report.verdict.status != Status::Pass {
        return summary.to_owned();
    }
    let at = [address(report), elapsed(report)];
    let at: Vec<String> = at.into_iter().flatten().collect();
    if at.is_empty() {
        summary.to_owned()
    } else {
        format!("{} ({}).", summary.trim_end_matches('.'), at.join(", "))
    }
}

/// Writes the status and a sentence.
pub(super) fn headline(text: &mut String, status: Status, sentence: &str, style: Style) {
    let word = status_word(status).to_uppercase();
    // Escape codes take no columns, so the sentence is wrapped behind a placeholder of the same
    // width, which the painted status then replaces.
    let placeholder = "#".repeat(word.chars().count());
    let plain = style.wrap(&format!("{placeholder} {sentence}"), 2);
    let sentence = plain.trim_start().trim_start_matches('#');
    let word = style.bold(&style.by_mark(&word));
    let sentence = sentence
        .lines()
        .map(|line| {
            let trimmed = line.trim_start();
            let margin = &line[..line.len() - trimmed.len()];
            format!("{margin}{}", style.bold(trimmed))
        })
        .collect::<Vec<_>>();
    let _ = writeln!(text, "{word}{}", sentence.join("\n"));
}

/// Writes what the verdict rests on, in two lines: what failed, and what distinguishes that from
/// other causes.
pub(super) fn proof(text: &mut String, report: &Report, style: Style) {
    let Some(first) = report.findings.first() else {
        return;
    };
    let cited: Vec<&Observation> = first
        .because
        .iter()
        .filter_map(|id| report.observations.iter().find(|seen| &seen.id == id))
        .collect();
    let mut failed = cited.iter().filter(|seen| seen.failure().is_some());
    let Some(seen) = failed.next() else {
        // Nothing failed: it was slow, or its address is not the expected one.
        text.push('\n');
        for seen in cited.iter().take(2) {
            let line = format!("{}, {} ms", seen.id, seen.elapsed_ms);
            let _ = writeln!(text, "{}", style.item("·", &line, 2));
        }
        return;
    };
    let _ = writeln!(text, "\n{}", style.item("✗", &what_failed(seen), 2));
    let mut others: Vec<&str> = Vec::new();
    for other in failed.filter(|other| other.target() != seen.target()) {
        push_new(&mut others, short_name(other.target()));
    }
    let mut passed: Vec<&str> = Vec::new();
    for other in cited.iter().filter(|other| other.passed()) {
        push_new(&mut passed, short_name(other.target()));
    }
    let detail = seen.detail.as_str();
    if !others.is_empty() {
        let also = format!("also at {}", list(&others));
        let _ = writeln!(text, "{}", style.item("✗", &also, 2));
    } else if !passed.is_empty() {
        let works = format!("{} of {} works", seen.phase, list(&passed));
        let _ = writeln!(text, "{}", style.item("✓", &works, 2));
    } else if !detail.is_empty() && seen.witness.is_none() {
        let _ = writeln!(text, "{}", style.item("·", detail, 2));
    }
}

fn push_new<'a>(names: &mut Vec<&'a str>, name: &'a str) {
    if !names.contains(&name) {
        names.push(name);
    }
}

/// Returns one line on a failed phase, which begins as its ID does.
fn what_failed(seen: &Observation) -> String {
    if seen.witness.is_some() {
        return format!("Amazon ECS reports: {}", seen.detail);
    }
    let failure = seen.failure().map(|failure| failure.to_string());
    let failure = failure.unwrap_or_default();
    let at = match (seen.peer, &seen.owner) {
        (Some(peer), Some(owner)) => format!(" at {peer} ({owner})"),
        (Some(peer), None) => format!(" at {peer}"),
        (None, _) if !seen.host.is_empty() => format!(" at {}", seen.host),
        (None, _) => String::new(),
    };
    let attempts = match seen.attempts {
        0 | 1 => String::new(),
        many => format!(", {many} attempts"),
    };
    format!(
        "{}/{}{at}: {failure} after {} ms{attempts}",
        short_name(seen.target()),
        seen.phase,
        seen.elapsed_ms
    )
}

/// Returns names in a sentence.
pub(super) fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn is_probable((n, finding): &(usize, &Finding)) -> bool {
    *n == 0 || finding.confidence > Confidence::Possible
}

/// Writes the remedy of each probable cause, with what to copy.
pub(super) fn what_to_do(text: &mut String, findings: &[Finding], style: Style) {
    let probable: Vec<_> = findings.iter().enumerate().filter(is_probable).collect();
    if probable.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", style.bold("What to do"));
    for (n, finding) in probable {
        if n > 0 {
            let also = format!(
                "{} ({}): {}",
                finding.cause, finding.confidence, finding.summary
            );
            let _ = writeln!(text, "\n{}", style.wrap(&also, 2));
        }
        remedy(text, &finding.remedy, finding.fix.iter(), style);
        let more = format!("more: pullprobe causes {}", finding.cause);
        let _ = writeln!(text, "{}", style.wrap(&more, 2));
    }
}

/// Writes a remedy and what to copy for it.
pub(super) fn remedy(
    text: &mut String,
    remedy: &str,
    fix: impl Iterator<Item = impl AsRef<str>>,
    style: Style,
) {
    let _ = writeln!(text, "{}", style.item("→", remedy, 2));
    for part in fix {
        let _ = writeln!(text, "{}", copyable(part.as_ref(), style));
    }
}

/// Columns before what is copied.
const COPY_INDENT: usize = 4;

/// Returns a command or a policy statement, which can be copied from the screen: a long command
/// goes on behind a backslash, as a shell reads it.
fn copyable(part: &str, style: Style) -> String {
    let margin = " ".repeat(COPY_INDENT);
    let statement = part
        .starts_with('{')
        .then(|| serde_json::from_str(part).ok())
        .flatten();
    if let Some(statement) = statement {
        return statement_lines(&statement)
            .iter()
            .map(|line| format!("{margin}{line}"))
            .collect::<Vec<_>>()
            .join("\n");
    }
    let mut lines = vec![margin.clone()];
    for (n, argument) in part.split(" --").enumerate() {
        let argument = if n == 0 {
            argument.to_owned()
        } else {
            format!(" --{argument}")
        };
        let Some(line) = lines.last_mut() else { break };
        let needed = line.chars().count() + argument.chars().count() + " \\".len();
        if n > 0 && needed > style.width() {
            line.push_str(" \\");
            lines.push(format!("{margin} {argument}"));
        } else {
            line.push_str(&argument);
        }
    }
    lines.join("\n")
}

/// Returns a statement in the order in which AWS writes its members.
fn statement_lines(statement: &serde_json::Map<String, serde_json::Value>) -> Vec<String> {
    const ORDER: [&str; 4] = ["Effect", "Principal", "Action", "Resource"];
    let known = ORDER
        .iter()
        .filter_map(|name| statement.get_key_value(*name));
    let others = statement
        .iter()
        .filter(|(name, _)| !ORDER.contains(&name.as_str()));
    let members: Vec<_> = known
        .chain(others)
        .map(|(name, value)| format!("  \"{name}\": {value}"))
        .collect();
    let mut lines = vec!["{".to_owned()];
    let last = members.len().saturating_sub(1);
    for (n, member) in members.into_iter().enumerate() {
        lines.push(if n == last { member } else { member + "," });
    }
    lines.push("}".to_owned());
    lines
}

/// Writes the causes that cannot be distinguished from the first.
fn alternatives(text: &mut String, findings: &[Finding], style: Style) {
    let others = findings
        .iter()
        .enumerate()
        .filter(|other| !is_probable(other));
    let mut shown: Vec<&Finding> = Vec::new();
    for (_, other) in others {
        if !shown.iter().any(|known| known.cause == other.cause) {
            shown.push(other);
        }
    }
    if shown.is_empty() {
        return;
    }
    let heading = style.wrap("It could also be (looks the same from here)", 0);
    let _ = writeln!(text, "\n{}", style.bold(&heading));
    for other in shown {
        let line = format!("{}: {}", other.cause, other.remedy);
        let _ = writeln!(text, "{}", style.item("·", &line, 2));
    }
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

/// The phases of one target, each with its cell; absent phases have an empty one.
struct TargetRow<'a> {
    name: &'a str,
    cells: Vec<(Phase, String)>,
}

impl TargetRow<'_> {
    fn passes(&self) -> bool {
        let is_good = |cell: &str| cell.is_empty() || cell.starts_with('✓');
        self.cells.iter().all(|(_, cell)| is_good(cell))
    }
}

fn phase_table(text: &mut String, report: &Report, style: Style) {
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
    let row = |target: &&'_ TargetKey| {
        let of = |phase: Phase| select(&shown, |o| o.target() == *target && o.phase == phase);
        let phases = Phase::ALL.into_iter();
        phases.map(|phase| (phase, cell(&of(phase)))).collect()
    };
    let rows: Vec<TargetRow<'_>> = targets
        .iter()
        .map(|target| TargetRow {
            name: short_name(target),
            cells: row(target),
        })
        .collect();
    // Where Amazon ECS reports a stopped task instead of the probe, no target was observed.
    if rows.is_empty() {
        return;
    }
    let (passing, others): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row.passes() && !style.verbose);
    text.push('\n');
    if !others.is_empty() {
        if style.is_narrow() {
            phase_list(text, &others, style);
        } else {
            phase_rows(text, &others, style);
        }
    }
    if !passing.is_empty() {
        let names: Vec<&str> = passing.iter().map(|row| row.name).collect();
        let every = format!("{}: every check passes", list(&names));
        let _ = writeln!(text, "{}", style.item("✓", &every, 2));
    }
    if !others.is_empty() {
        let legend = "✓ works ✗ fails – not reached ? not checked; slowest time in ms";
        let _ = writeln!(text, "{}", style.wrap(legend, 2));
    }
}

fn phase_rows(text: &mut String, rows: &[&TargetRow<'_>], style: Style) {
    let first = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let heads = COMMON_PHASES.map(|phase| format!("{phase:9}")).join("  ");
    let head = format!("  {:first$}  {heads}", "");
    let _ = writeln!(text, "{}", style.bold(head.trim_end()));
    for row in rows {
        let cells = row.cells.iter().filter_map(|(phase, cell)| {
            if COMMON_PHASES.contains(phase) {
                Some(style.by_mark(&format!("{cell:9}")))
            } else {
                (!cell.is_empty()).then(|| format!("{phase} {}", style.by_mark(cell)))
            }
        });
        let cells = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "  {:first$}  {}", row.name, cells.trim_end());
    }
}

/// Writes the rows as a list, for a terminal that is too narrow for a table.
fn phase_list(text: &mut String, rows: &[&TargetRow<'_>], style: Style) {
    for row in rows {
        let cells = row.cells.iter().filter(|(_, cell)| !cell.is_empty());
        let cells: Vec<_> = cells
            .map(|(phase, cell)| format!("{phase} {cell}"))
            .collect();
        let line = format!("{}: {}", row.name, cells.join(", "));
        let _ = writeln!(text, "{}", style.wrap(&line, 2));
    }
}

/// Returns a target's key without the host that distinguishes it from others of its dependency.
fn short_name(target: &TargetKey) -> &str {
    let key = target.as_str();
    key.split_once('@').map_or(key, |(name, _)| name)
}

/// Writes every observation that a finding rests on.
fn evidence(text: &mut String, report: &Report, style: Style) {
    for finding in &report.findings {
        let Finding {
            cause, confidence, ..
        } = finding;
        let _ = writeln!(text, "\n  {} ({confidence})", style.bold(cause.code()));
        let _ = writeln!(text, "{}", style.wrap(&finding.summary, 4));
        for id in &finding.because {
            let Some(observation) = report.observations.iter().find(|o| &o.id == id) else {
                continue;
            };
            let elapsed_ms = observation.elapsed_ms;
            let (mark, outcome) = match &observation.outcome {
                Outcome::Passed | Outcome::Failed { .. } if observation.witness.is_some() => {
                    ("·", format!("Amazon ECS reports: {}", observation.detail))
                }
                Outcome::Passed => ("✓", format!("{id}, {elapsed_ms} ms")),
                Outcome::Failed { failure } => {
                    ("✗", format!("{id}, {failure} after {elapsed_ms} ms"))
                }
                Outcome::NotReached { .. } => ("–", format!("{id}, not reached")),
                Outcome::NotChecked { why } => ("?", format!("{id}, {why}")),
            };
            let owner = observation.owner.as_ref();
            let owner = owner.map_or(String::new(), |owner| format!(" ({owner})"));
            let _ = writeln!(
                text,
                "{}",
                style.item(mark, &format!("{outcome}{owner}"), 4)
            );
        }
    }
}

fn ruled_out(text: &mut String, report: &Report, style: Style) {
    if report.ruled_out.is_empty() {
        return;
    }
    let causes = report.ruled_out.iter().map(|ruled| ruled.cause.code());
    let causes = causes.collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "\n{}", style.wrap(&format!("Ruled out: {causes}"), 0));
}

fn not_checked(text: &mut String, report: &Report, style: Style) {
    let mut separator = "\n";
    for observation in &report.observations {
        if let Outcome::NotChecked { why } = &observation.outcome {
            let line = format!("Not checked: {}: {why}", observation.id);
            let _ = writeln!(text, "{separator}{}", style.wrap(&line, 0));
            separator = "";
        }
    }
}

/// Quotes the message that ECS itself would have shown: a reader may already have it at hand.
fn ecs_message(text: &mut String, report: &Report, style: Style) {
    let message = predict(&report.findings, &report.observations);
    if let Some(message) = message.filter(Prediction::is_complete) {
        let line = format!(
            "Without the probe, the task would have stayed in PENDING for {}, then stopped with “{}”",
            message.after, message.text
        );
        let _ = writeln!(text, "\n{}", style.wrap(&line, 0));
    }
}

fn address(report: &Report) -> Option<String> {
    let vantage = &report.vantage;
    let address = vantage.address.map(|address| format!("from {address}"));
    let subnet = vantage.subnet_cidr.map(|cidr| format!("in subnet {cidr}"));
    let zone = vantage.availability_zone.as_ref();
    let zone = zone.map(|zone| format!("({zone})"));
    let place: Vec<String> = [address, subnet, zone].into_iter().flatten().collect();
    (!place.is_empty()).then(|| place.join(" "))
}

fn elapsed(report: &Report) -> Option<String> {
    report
        .is_measured()
        .then(|| format!("{} ms", report.run.elapsed_ms))
}

/// Writes where the probe ran, as whom, and where its report is.
fn place(text: &mut String, report: &Report, style: Style) {
    let role = report
        .identity
        .as_ref()
        .and_then(|identity| identity.role_arn.as_ref())
        .map(|arn| format!("as {arn}"));
    let run = Some(format!("run {}", report.run.id));
    let parts = [address(report), role, run, elapsed(report)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let _ = writeln!(
        text,
        "\n{}",
        style.wrap(&format!("Probed {}", parts.join(", ")), 0)
    );
    let line = match report.delivery.logs {
        // What could not be read is in the summary.
        Logs::NotAsked | Logs::Unknown => return,
        Logs::Delivered => format!("Written to CloudWatch Logs: {}", report.delivery.detail),
        Logs::Failed => format!("Not written to CloudWatch Logs: {}", report.delivery.detail),
    };
    let _ = writeln!(text, "{}", style.wrap(&line, 0));
}
