//! The reports of one vantage, folded: the latest, the last pass before it, and what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use jiff::Timestamp;

use super::change::Change;
use super::comparison::VantageSummary;
use super::difference::ComparedVantage;
use super::fact::{self, Facts};
use super::history::History;
use super::report_view::{self, ReportView, Text, bounded_line};
use crate::redact::{one_line, shorten};
use crate::verdict::{INCONCLUSIVE, Status};

/// Maximum number of runs remembered for a vantage, so that a report delivered twice counts once: a
/// week of runs at ten-minute intervals.
const MAX_RUNS: usize = 1_024;

/// Maximum number of characters kept of a summary: the longest that a probe writes has about 400.
const MAX_SUMMARY_CHARS: usize = 1_024;

/// One vantage over time.
#[derive(Debug, Clone)]
pub struct VantageHistory {
    latest: ComparedRun,
    /// The latest report as it was read: renderers show more of it than is compared.
    line: Arc<str>,
    last_pass: Option<ComparedRun>,
    history: History,
    /// Start and hashed ID of the newest runs.
    runs: BTreeSet<(Option<Timestamp>, u64)>,
    reports: u64,
    failed: u64,
}

/// The parts of a report that are compared.
#[derive(Debug, Clone)]
struct ComparedRun {
    started_at: Option<Timestamp>,
    id: String,
    status: Status,
    facts: Facts,
}

impl ComparedRun {
    fn new(report: &ReportView<'_>) -> Self {
        Self {
            started_at: report.run.started_at.parse().ok(),
            id: bounded_line(&report.run.id),
            status: report.verdict.status,
            facts: fact::facts(report),
        }
    }

    /// Whether the task would start.
    fn starts(&self) -> bool {
        matches!(self.status, Status::Pass | Status::Warn)
    }

    /// Orders runs by time; ties are broken so that the order of the input does not matter.
    fn sort_key(&self) -> (Option<Timestamp>, &str) {
        (self.started_at, &self.id)
    }

    fn kept_bytes(&self) -> usize {
        let facts = self.facts.iter();
        let texts = facts.map(|(name, value)| {
            size_of::<(fact::FactName, String)>()
                + name.dependency.len()
                + name.phase.len()
                + value.len()
        });
        texts.sum()
    }

    fn key(&self) -> (Option<Timestamp>, u64) {
        let mut hasher = DefaultHasher::new();
        self.id.hash(&mut hasher);
        (self.started_at, hasher.finish())
    }
}

impl VantageHistory {
    /// Starts with the first report of a vantage; `line` is its text.
    pub fn new(report: &ReportView<'_>, line: &str) -> Self {
        let run = ComparedRun::new(report);
        let mut history = History::default();
        history.add(run.started_at, report, &run.facts);
        Self {
            runs: BTreeSet::from([run.key()]),
            failed: u64::from(run.status == Status::Fail),
            latest: run,
            line: line.into(),
            last_pass: None,
            history,
            reports: 1,
        }
    }

    /// Adds a report, whatever its age. Returns `false` for a copy of one that was added before.
    pub fn add(&mut self, report: &ReportView<'_>, line: &str) -> bool {
        let run = ComparedRun::new(report);
        if !self.runs.insert(run.key()) {
            return false;
        }
        if self.runs.len() > MAX_RUNS {
            self.runs.pop_first();
        }
        self.reports += 1;
        self.failed += u64::from(run.status == Status::Fail);
        self.history.add(run.started_at, report, &run.facts);
        if run.sort_key() >= self.latest.sort_key() {
            self.line = line.into();
            let earlier = std::mem::replace(&mut self.latest, run);
            if earlier.starts() {
                self.last_pass = Some(earlier);
            }
        } else if run.starts() && self.is_newer_pass(&run) {
            self.last_pass = Some(run);
        }
        true
    }

    fn is_newer_pass(&self, run: &ComparedRun) -> bool {
        let last_pass = self.last_pass.as_ref();
        last_pass.is_none_or(|last_pass| last_pass.sort_key() < run.sort_key())
    }

    /// The latest report as it was read.
    pub fn latest_line(&self) -> Arc<str> {
        Arc::clone(&self.line)
    }

    /// Returns about how many bytes this vantage keeps.
    pub fn kept_bytes(&self) -> usize {
        let runs = self.runs.len() * size_of::<(Option<Timestamp>, u64)>();
        let last_pass = self.last_pass.as_ref().map_or(0, ComparedRun::kept_bytes);
        size_of::<Self>()
            + self.line.len()
            + runs
            + self.latest.kept_bytes()
            + last_pass
            + self.history.kept_bytes()
    }

    /// Returns the vantage's part in the comparison of all vantages.
    pub fn compared<'a>(&'a self, name: &'a str) -> ComparedVantage<'a> {
        ComparedVantage {
            name,
            status: self.latest.status,
            facts: &self.latest.facts,
            last_pass: self.last_pass.as_ref().map(|run| &run.facts),
        }
    }

    /// Returns the vantage's entry in the comparison.
    pub fn summary(&self, name: String) -> VantageSummary {
        let report = report_view::parse(&self.line).ok();
        let report = report.as_ref();
        let finding = report.and_then(|report| report.findings.first());
        let vantage = report.map(|report| &report.vantage);
        let known = |text: Option<&Text<'_>>| text.map(|text| bounded_line(text));
        VantageSummary {
            name,
            status: self.latest.status,
            exit_code: report.map_or(INCONCLUSIVE, |report| report.verdict.exit_code),
            cause: known(finding.map(|finding| &finding.cause)),
            confidence: known(finding.map(|finding| &finding.confidence)),
            summary: report.map_or_else(String::new, |report| {
                shorten(&one_line(&report.verdict.summary), MAX_SUMMARY_CHARS).to_owned()
            }),
            availability_zone: known(vantage.and_then(|v| v.availability_zone.as_ref())),
            subnet_cidr: known(vantage.and_then(|v| v.subnet_cidr.as_ref())),
            run_id: self.latest.id.clone(),
            started_at: known(report.map(|report| &report.run.started_at)).unwrap_or_default(),
            reports: self.reports,
            failed: self.failed,
        }
    }

    /// Returns what changed: first the verdict, then facts in start order, then the rest.
    pub fn changes(&self, name: &str) -> Vec<Change> {
        let facts = &self.latest.facts;
        let start_order: BTreeMap<String, usize> = facts
            .keys()
            .enumerate()
            .map(|(n, fact)| (fact.to_string(), n))
            .collect();
        let mut changes: Vec<Change> = self
            .history
            .changes()
            .map(|change| Change::new(name, &change))
            .collect();
        changes.sort_by_key(|change| {
            let after_facts = facts.len() + usize::from(!change.fact.contains('/'));
            let rank = start_order.get(&change.fact).copied();
            let is_verdict = change.fact == "verdict";
            (
                !is_verdict,
                rank.unwrap_or(after_facts),
                change.fact.clone(),
            )
        });
        changes
    }
}
