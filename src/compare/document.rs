//! The comparison, `pullprobe/comparison/v1`: what reports come to, side by side.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::difference::{Against, ComparedVantage, Difference, differences, worse};
use super::fact::{Kind, Name, kind};
use super::{Comparison, Tally, VantageHistory, origin, report_view, tidy};
use crate::verdict::{INCONCLUSIVE, Status};

/// The name of the comparison's form.
pub const SCHEMA: &str = "pullprobe/comparison/v1";

/// Names listed in a sentence. The matrix has all.
const NAMED: usize = 3;

/// The comparison as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Document {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The worst vantage's status; `inconclusive` without any vantage.
    pub status: Status,
    /// The worst vantage's exit code: a failure before an inconclusive run, that before a warning;
    /// of several failures the lowest code, which is that of the earliest step.
    pub exit_code: u8,
    /// One sentence.
    pub summary: String,
    /// What differs and what that says, or why nothing can be said.
    pub explanation: String,
    /// Where reports come from, the worst first.
    pub vantages: Vec<Vantage>,
    /// The matrix, in the order of a task's start.
    pub facts: Vec<Fact>,
    /// The first fact that differs between the vantages that pass and those that fail.
    pub first_difference: Option<Difference>,
    /// The first differing facts of failing vantages that the first one does not explain.
    pub other_differences: Vec<Difference>,
    /// What is not as it was at the same vantage.
    pub changes: Vec<Change>,
    /// What was read.
    pub read: Tally,
}

/// A vantage's latest report in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Vantage {
    /// Unique, and the same from run to run.
    pub name: String,
    /// What it comes to.
    pub status: Status,
    /// What the probe exited with.
    pub exit_code: u8,
    /// The first finding's cause.
    pub cause: Option<String>,
    /// How sure that is.
    pub confidence: Option<String>,
    /// The verdict's sentence.
    pub summary: String,
    /// The zone.
    pub availability_zone: Option<String>,
    /// The subnet's range.
    pub subnet_cidr: Option<String>,
    /// The run.
    pub run_id: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// Reports from here, this one among them.
    pub reports: u64,
    /// How many of them say `fail`.
    pub failed: u64,
}

/// A row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fact {
    /// `<dependency>/<phase>`.
    pub fact: String,
    /// `passed`, for names with the kind of their addresses; a failure; `partly` and a failure;
    /// `not-reached`; `not-checked`. By vantage; a vantage that was not asked has none.
    pub values: BTreeMap<String, String>,
}

/// The comparison, and the latest report of each vantage, for renderers that show more of it.
#[derive(Debug, Clone)]
pub struct Compared {
    /// What is printed as JSON.
    pub document: Document,
    /// Each vantage's latest report, as it was read; in the order of the document's vantages.
    lines: Vec<String>,
}

impl Compared {
    /// The latest report of a vantage, by its place in the document.
    pub fn report(&self, vantage: usize) -> Option<report_view::Report<'_>> {
        report_view::report(self.lines.get(vantage)?).ok()
    }

    /// The document as one line.
    pub fn line(&self) -> String {
        serde_json::to_string(&self.document)
            .unwrap_or_else(|error| format!("{{\"schema\":\"{SCHEMA}\",\"error\":\"{error}\"}}"))
    }
}

impl Comparison {
    /// What the reports come to, so far.
    pub fn finish(&self) -> Compared {
        let places: Vec<_> = self.tracks.keys().collect();
        let mut rows: Vec<(Vantage, &VantageHistory)> = origin::names(&places)
            .into_iter()
            .zip(self.tracks.values())
            .map(|(name, track)| (row(name, track), track))
            .collect();
        rows.sort_by(|(a, _), (b, _)| (rank(a), &a.name).cmp(&(rank(b), &b.name)));
        let sides: Vec<ComparedVantage<'_>> =
            rows.iter().map(|(row, track)| side(row, track)).collect();
        let mut found = differences(&sides);
        let explanation = explain(&sides, &rows, &found);
        let first_difference = (!found.is_empty()).then(|| found.remove(0));
        let changes = rows
            .iter()
            .flat_map(|(row, track)| changes(&row.name, track))
            .collect();
        let worst = rows.first().map(|(row, _)| (row.status, row.exit_code));
        let (status, exit_code) = worst.unwrap_or((Status::Inconclusive, INCONCLUSIVE));
        let facts = matrix(&sides);
        let summary = summarize(&rows);
        let document = Document {
            schema: SCHEMA.to_owned(),
            status,
            exit_code,
            summary,
            explanation,
            facts,
            first_difference,
            other_differences: found,
            changes,
            read: self.tally.clone(),
            vantages: rows.iter().map(|(row, _)| row.clone()).collect(),
        };
        Compared {
            document,
            lines: rows.iter().map(|(_, track)| track.line.clone()).collect(),
        }
    }
}

/// The worst first.
fn rank(row: &Vantage) -> (Reverse<Status>, u8) {
    (Reverse(row.status), row.exit_code)
}

fn row(name: String, track: &VantageHistory) -> Vantage {
    let latest = report_view::report(&track.line).ok();
    let latest = latest.as_ref();
    let first = latest.and_then(|report| report.findings.first());
    let known = |text: &Option<report_view::Text<'_>>| text.as_deref().map(tidy);
    Vantage {
        name,
        status: track.latest.status,
        exit_code: latest.map_or(INCONCLUSIVE, |report| report.verdict.exit_code),
        cause: first.map(|finding| tidy(&finding.cause)),
        confidence: first.map(|finding| tidy(&finding.confidence)),
        summary: latest
            .map(|report| crate::redact::one_line(&report.verdict.summary))
            .unwrap_or_default(),
        availability_zone: latest.and_then(|report| known(&report.vantage.availability_zone)),
        subnet_cidr: latest.and_then(|report| known(&report.vantage.subnet_cidr)),
        run_id: track.latest.run.clone(),
        started_at: latest
            .map(|report| tidy(&report.run.started_at))
            .unwrap_or_default(),
        reports: track.reports,
        failed: track.failed,
    }
}

fn side<'a>(row: &'a Vantage, track: &'a VantageHistory) -> ComparedVantage<'a> {
    let last_pass = track.last_pass.as_ref().map(|seen| &seen.facts);
    ComparedVantage {
        name: &row.name,
        status: row.status,
        facts: &track.latest.facts,
        last_pass,
    }
}

fn matrix(sides: &[ComparedVantage<'_>]) -> Vec<Fact> {
    let names: BTreeSet<&Name> = sides.iter().flat_map(|side| side.facts.keys()).collect();
    let values = |name: &Name| {
        let known = sides
            .iter()
            .filter_map(|side| Some((side.name.to_owned(), side.facts.get(name)?.clone())));
        known.collect()
    };
    names
        .into_iter()
        .map(|name| Fact {
            fact: name.to_string(),
            values: values(name),
        })
        .collect()
}

/// What went before comes first: the verdict, then as the task starts.
fn changes(name: &str, track: &VantageHistory) -> Vec<Change> {
    let order: BTreeMap<String, usize> = track
        .latest
        .facts
        .keys()
        .enumerate()
        .map(|(n, fact)| (fact.to_string(), n))
        .collect();
    let mut changes: Vec<Change> = track
        .history
        .turns()
        .map(|turn| Change::of(name, &turn))
        .collect();
    changes.sort_by_key(|change| {
        let known = order.get(&change.fact).copied();
        let own = usize::from(!change.fact.contains('/'));
        (
            change.fact != "verdict",
            known.unwrap_or(order.len() + own),
            change.fact.clone(),
        )
    });
    changes
}

fn summarize(rows: &[(Vantage, &VantageHistory)]) -> String {
    let Some((worst, _)) = rows.first() else {
        return "There is nothing to compare.".into();
    };
    let alike = rows
        .iter()
        .filter(|(row, _)| row.status == worst.status)
        .count();
    let of = match (alike, rows.len()) {
        (1, 1) => "The one vantage".to_owned(),
        (alike, all) if alike == all => format!("All {all} vantages"),
        (alike, all) => format!("{alike} of {all} vantages"),
    };
    let many = alike > 1;
    match worst.status {
        Status::Pass => format!("{of} {}.", if many { "pass" } else { "passes" }),
        Status::Warn => format!("{of} would start the task with a warning."),
        Status::Inconclusive => format!("{of} could not check everything."),
        Status::Fail => format!(
            "{of} {}: the task would not start there.",
            if many { "fail" } else { "fails" }
        ),
    }
}

/// Names in a sentence.
pub(crate) fn listed(names: &[&str]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown = names
        .iter()
        .take(NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}

/// By value, who has it.
pub(crate) fn by_value(values: &BTreeMap<String, String>) -> BTreeMap<&str, Vec<&str>> {
    let mut turned: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in values {
        turned.entry(value).or_default().push(name);
    }
    turned
}

fn explain(
    sides: &[ComparedVantage<'_>],
    rows: &[(Vantage, &VantageHistory)],
    found: &[Difference],
) -> String {
    let Some(worse) = worse(sides) else {
        return if rows.is_empty() {
            String::new()
        } else {
            "Nothing fails, so nothing has to be told apart.".into()
        };
    };
    let failing: Vec<&ComparedVantage<'_>> =
        sides.iter().filter(|side| side.status == worse).collect();
    let Some(first) = found.first() else {
        return without_difference(sides, &failing);
    };
    let told = |values: &BTreeMap<String, String>| {
        let parts = by_value(values)
            .into_iter()
            .map(|(value, names)| format!("{value} at {}", listed(&names)));
        parts.collect::<Vec<_>>().join(", ")
    };
    let mut text = match first.against {
        Against::OtherVantages => {
            format!(
                "The first difference is {}: {}; {}.",
                first.fact,
                told(&first.passing),
                told(&first.failing)
            )
        }
        Against::ItsOwnLastPass => format!(
            "No vantage passes now. Since the last pass, the first difference is {}: it was {}; it is {}.",
            first.fact,
            told(&first.passing),
            told(&first.failing)
        ),
    };
    let others: Vec<&str> = found[1..].iter().map(|other| other.fact.as_str()).collect();
    if !others.is_empty() {
        let _ = write!(
            text,
            " Others fail in other ways and differ first at {}.",
            listed(&others)
        );
    }
    let explained: BTreeSet<&str> = found
        .iter()
        .flat_map(|one| one.failing.keys().map(String::as_str))
        .collect();
    let left: Vec<&str> = failing
        .iter()
        .map(|side| side.name)
        .filter(|name| !explained.contains(name))
        .collect();
    if !left.is_empty() {
        let _ = write!(
            text,
            " Of {} no fact differs from what passes.",
            listed(&left)
        );
    }
    text
}

/// Why there is none.
fn without_difference(sides: &[ComparedVantage<'_>], failing: &[&ComparedVantage<'_>]) -> String {
    let first_failures: BTreeMap<String, String> = failing
        .iter()
        .filter_map(|side| {
            let (name, value) = side
                .facts
                .iter()
                .find(|(_, value)| matches!(kind(value), Kind::Failed | Kind::Partly))?;
            Some((side.name.to_owned(), format!("{value} at {name}")))
        })
        .collect();
    let ways = by_value(&first_failures);
    let alike = match ways.iter().collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        [(way, names)] if names.len() == failing.len() => {
            format!(" All of them meet {way} first: look at what they share.")
        }
        ways => {
            let parts = ways
                .iter()
                .map(|(way, names)| format!("{way} ({})", listed(names)));
            format!(
                " They fail in different ways: {}.",
                parts.collect::<Vec<_>>().join("; ")
            )
        }
    };
    if failing.len() == sides.len() && failing.len() == 1 {
        return "There is no vantage that passes to compare with, nor an earlier pass of this one."
            .into();
    }
    if failing.len() == sides.len() {
        return format!("No vantage passes, so there is nothing to compare with.{alike}");
    }
    format!(
        "No fact that was checked on both sides differs between what passes and what does not.{alike}"
    )
}

#[cfg(test)]
mod tests {
    use super::Document;

    #[test]
    fn the_schema_that_is_printed_is_that_of_the_code() {
        let current =
            serde_json::to_string_pretty(&schemars::schema_for!(Document)).unwrap() + "\n";
        let printed = include_str!("../../schemas/comparison-v1.json");
        if current != printed {
            std::fs::write(
                concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/comparison-v1.json"),
                current,
            )
            .unwrap();
            panic!(
                "schemas/comparison-v1.json was stale and has been written anew: look at the change and commit it"
            );
        }
    }
}
