//! The last step of a run: one comparison over all reports, its page, and what changed since the
//! last run of an earlier day. Memory is bounded by the vantages, not by the reports.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::store::{FleetRun, ResultStore};
use super::target::FleetTarget;
use super::worker::TargetResult;
use crate::compare::builder::MAX_LINE_BYTES;
use crate::compare::{ComparisonBuilder, ComparisonOutput};
use crate::operator::error::OperatorError;
use crate::render;
use crate::verdict::{INCONCLUSIVE, Status};

/// Name and version of a summary.
pub const SUMMARY_SCHEMA: &str = "pullprobe/fleet/v1";

/// Maximum number of objects that are read at once. Each keeps one line in memory.
const MAX_CONCURRENT_READS: usize = 16;

/// Maximum number of vantages that the message names.
const MAX_WORST: usize = 5;

/// Maximum number of entries of each list of a summary. The counts include all of them.
const MAX_LISTED: usize = 1_000;

/// Maximum number of vantages that do not pass, kept for the comparison with the next run.
const MAX_KEPT: usize = 20_000;

/// Number of days within which the previous run is searched for.
const MAX_DAYS: i64 = 8;

/// A run in short: `pullprobe/fleet/v1`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FleetSummary {
    pub schema: String,
    pub run: String,
    pub date: String,
    /// One sentence.
    pub summary: String,
    pub exit_code: u8,
    pub targets: usize,
    pub vantages: usize,
    pub failing: usize,
    /// Targets without a report of each of their subnets.
    pub no_report: usize,
    /// The worst vantages.
    pub worst: Vec<FleetVantage>,
    /// What is wrong in the configuration, of the first targets for which the worker could read it.
    #[serde(default)]
    pub configuration: Vec<String>,
    /// Day of the run with which this one is compared.
    pub since: Option<String>,
    /// Vantages that fail now and did not then.
    pub newly_failing: Vec<String>,
    /// Vantages that failed then and pass now.
    pub recovered: Vec<String>,
    /// Targets without reports, each with the reason.
    pub without_report: Vec<MissingTarget>,
    pub comparison: String,
    pub page: String,
    /// The vantages that fail, each with its cause.
    #[serde(rename = "failing_vantages")]
    pub kept: BTreeMap<String, String>,
}

/// A vantage that fails.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FleetVantage {
    pub name: String,
    pub status: Status,
    pub cause: Option<String>,
    pub summary: String,
}

/// A target without a report of each of its subnets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MissingTarget {
    pub target: String,
    pub why: String,
}

/// Compares all reports of a run, and stores the comparison, its page and a summary. `targets` are
/// those of the run, if they are known: one without a result has no report.
pub async fn reduce(
    run: &FleetRun,
    targets: Option<&[FleetTarget]>,
    store: &ResultStore,
) -> Result<(FleetSummary, ComparisonOutput), OperatorError> {
    let results = read_results(run, store).await?;
    let mut builder = ComparisonBuilder::default();
    let keys = store.keys(&run.prefix("reports")).await?;
    let keys = keys.into_iter().filter(|key| run.has_key(key)).collect();
    read_reports(store, keys, &mut builder).await?;
    let output = builder.finish();
    let mut missing: Vec<MissingTarget> = results
        .values()
        .filter(|result| result.is_incomplete())
        .map(|result| MissingTarget {
            target: result.target.describe(),
            why: result.summary.clone(),
        })
        .collect();
    let unanswered = targets.into_iter().flatten();
    missing.extend(
        unanswered
            .filter(|target| !results.contains_key(&target.id()))
            .map(|target| MissingTarget {
                target: target.describe(),
                why: "there is no result: the worker was not started, or ended before it could store one".into(),
            }),
    );
    let count = targets.map_or(results.len(), <[FleetTarget]>::len);
    let earlier = last_summary(run, store).await?;
    let mut summary = summarize(run, &output, count, missing, earlier.as_ref());
    let sentences = results.values().flat_map(|result| {
        let name = result.target.describe();
        let sentences = result.configuration.iter().take(1);
        sentences.map(move |sentence| format!("{name}: {sentence}"))
    });
    summary.configuration = sentences.take(MAX_WORST).collect();
    let (comparison, page) = (run.key("comparisons", "json"), run.key("pages", "html"));
    let json = "application/json";
    store.put(&comparison, output.line() + "\n", json).await?;
    let html = render::html::render(&output);
    store.put(&page, html, "text/html; charset=utf-8").await?;
    summary.comparison = store.location(&comparison);
    summary.page = store.location(&page);
    let text = serde_json::to_string(&summary).unwrap_or_default();
    store.put(&run.key("summaries", "json"), text, json).await?;
    Ok((summary, output))
}

/// Adds the reports of all these files, several at once.
pub async fn read_reports(
    store: &ResultStore,
    keys: Vec<String>,
    builder: &mut ComparisonBuilder,
) -> Result<(), OperatorError> {
    let builder = RefCell::new(builder);
    let builder = &builder;
    let reading = stream::iter(keys).map(async |key: String| {
        let source = key.rsplit('/').next().unwrap_or_default();
        let source = source.split('.').next().unwrap_or_default().to_owned();
        let on_line = |line: Option<&[u8]>| builder.borrow_mut().add_line(line, &source);
        store.lines(&key, MAX_LINE_BYTES, on_line).await
    });
    reading
        .buffer_unordered(MAX_CONCURRENT_READS)
        .try_collect::<()>()
        .await
}

/// Returns the results of a run, by the IDs of their targets.
async fn read_results(
    run: &FleetRun,
    store: &ResultStore,
) -> Result<BTreeMap<String, TargetResult>, OperatorError> {
    let keys = store.keys(&run.prefix("results")).await?;
    let keys = keys.into_iter().filter(|key| run.has_key(key));
    let reading = stream::iter(keys).map(async |key: String| store.get(&key).await);
    let mut reading = reading.buffer_unordered(MAX_CONCURRENT_READS);
    let mut results = BTreeMap::new();
    while let Some(read) = reading.next().await {
        let body = read?.unwrap_or_default();
        if let Ok(result) = serde_json::from_slice::<TargetResult>(&body) {
            results.insert(result.target.id(), result);
        }
    }
    Ok(results)
}

/// Returns the summary of the last run of an earlier day, if there is one within a week.
async fn last_summary(
    run: &FleetRun,
    store: &ResultStore,
) -> Result<Option<FleetSummary>, OperatorError> {
    let Ok(today) = run.date().parse::<jiff::civil::Date>() else {
        return Ok(None);
    };
    for days in 1..=MAX_DAYS {
        let Ok(day) = today.checked_sub(jiff::Span::new().days(days)) else {
            break;
        };
        let keys = store.keys(&format!("summaries/date={day}/")).await?;
        let Some(key) = keys.last() else { continue };
        let body = store.get(key).await?.unwrap_or_default();
        return Ok(serde_json::from_slice(&body).ok());
    }
    Ok(None)
}

fn summarize(
    run: &FleetRun,
    output: &ComparisonOutput,
    targets: usize,
    mut missing: Vec<MissingTarget>,
    earlier: Option<&FleetSummary>,
) -> FleetSummary {
    let comparison = &output.comparison;
    let failing: Vec<_> = comparison.failing().collect();
    let kept: BTreeMap<String, String> = failing
        .iter()
        .take(MAX_KEPT)
        .map(|at| (at.name.clone(), at.cause.clone().unwrap_or_default()))
        .collect();
    let passing: BTreeSet<&str> = comparison
        .vantages
        .iter()
        .filter(|at| matches!(at.status, Status::Pass | Status::Warn))
        .map(|at| at.name.as_str())
        .collect();
    let (mut newly_failing, mut recovered) = (Vec::new(), Vec::new());
    if let Some(earlier) = earlier {
        let is_new = |name: &&String| !earlier.kept.contains_key(*name);
        newly_failing.extend(kept.keys().filter(is_new).take(MAX_LISTED).cloned());
        let passes = |name: &&String| passing.contains(name.as_str());
        recovered.extend(earlier.kept.keys().filter(passes).take(MAX_LISTED).cloned());
    }
    let no_report = missing.len();
    missing.truncate(MAX_LISTED);
    let exit_code = match comparison.status {
        Status::Pass | Status::Warn if no_report > 0 => INCONCLUSIVE,
        _ => comparison.exit_code,
    };
    let without = match no_report {
        0 => String::new(),
        1 => format!(" 1 of {targets} targets has no complete report."),
        count => format!(" {count} of {targets} targets have no complete report."),
    };
    FleetSummary {
        schema: SUMMARY_SCHEMA.to_owned(),
        run: run.id().to_owned(),
        date: run.date().to_owned(),
        summary: format!("{}{without}", comparison.summary),
        exit_code,
        targets,
        vantages: comparison.vantages.len(),
        failing: failing.len(),
        no_report,
        worst: failing
            .iter()
            .take(MAX_WORST)
            .map(|at| FleetVantage {
                name: at.name.clone(),
                status: at.status,
                cause: at.cause.clone(),
                summary: at.summary.clone(),
            })
            .collect(),
        configuration: Vec::new(),
        since: earlier.map(|earlier| earlier.date.clone()),
        newly_failing,
        recovered,
        without_report: missing,
        comparison: String::new(),
        page: String::new(),
        kept,
    }
}

/// Maximum number of names in a sentence of the message.
const MAX_NAMES: usize = 10;

impl FleetSummary {
    /// Returns the subject and the text of the message.
    pub fn message(&self) -> (String, String) {
        let subject = format!(
            "pullprobe: {} of {} vantages fail, {} targets without report",
            self.failing, self.vantages, self.no_report
        );
        let mut text = format!("{}\n", self.summary);
        if !self.worst.is_empty() {
            text.push_str("\nThe worst:\n");
        }
        for at in &self.worst {
            let cause = at.cause.as_deref().unwrap_or("unknown");
            let _ = writeln!(text, "- {} ({cause}): {}", at.name, at.summary);
        }
        if !self.configuration.is_empty() {
            text.push_str("\nIn the configuration:\n");
        }
        for sentence in &self.configuration {
            let _ = writeln!(text, "- {sentence}");
        }
        match &self.since {
            None => text.push_str("\nThere is no run of the previous week to compare with.\n"),
            Some(day) if self.newly_failing.is_empty() && self.recovered.is_empty() => {
                let _ = writeln!(text, "\nNothing changed since {day}.");
            }
            Some(day) => {
                let _ = writeln!(text, "\nSince {day}:");
                add_names(&mut text, "newly failing", &self.newly_failing);
                add_names(&mut text, "recovered", &self.recovered);
            }
        }
        for missing in self.without_report.iter().take(MAX_NAMES) {
            let _ = writeln!(text, "\nNo report of {}: {}", missing.target, missing.why);
        }
        let _ = writeln!(
            text,
            "\nPage: {}\nComparison: {}",
            self.page, self.comparison
        );
        (subject, text)
    }

    /// Returns the run's metrics in CloudWatch's embedded metric format: three metrics in one set
    /// of dimensions, which cost $0.90 a month.
    pub fn metrics(&self, fleet: &str, timestamp: i64) -> Value {
        json!({
            "_aws": {
                "Timestamp": timestamp,
                "CloudWatchMetrics": [{
                    "Namespace": "PullProbe",
                    "Dimensions": [["Fleet"]],
                    "Metrics": [
                        { "Name": "Vantages", "Unit": "Count" },
                        { "Name": "Failing", "Unit": "Count" },
                        { "Name": "NoReport", "Unit": "Count" },
                    ],
                }],
            },
            "Fleet": fleet,
            "Vantages": self.vantages,
            "Failing": self.failing,
            "NoReport": self.no_report,
        })
    }
}

fn add_names(text: &mut String, what: &str, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let shown = names[..names.len().min(MAX_NAMES)].join(", ");
    let more = match names.len().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let _ = writeln!(text, "- {what}: {shown}{more}");
}
