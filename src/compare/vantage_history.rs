//! The reports of one vantage, folded: the latest, the last pass before it, and what changed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use jiff::Timestamp;

use super::change::Change;
use super::comparison::VantageSummary;
use super::difference::ComparedVantage;
use super::fact::{self, Facts};
use super::history::History;
use super::pool::Pool;
use super::report_view::{ReportView, Text, bounded_line};
use super::timeline::{RunResult, Timeline, periods};
use crate::redact::{one_line, shorten};
use crate::verdict::Status;

/// Maximum number of runs remembered for a vantage, so that a report delivered twice counts once: a
/// week of runs at ten-minute intervals.
const MAX_RUNS: usize = 1_024;

/// Maximum number of characters kept of a summary: the longest that a probe writes has about 400.
const MAX_SUMMARY_CHARS: usize = 1_024;

/// One vantage over time.
#[derive(Debug, Clone)]
pub struct VantageHistory {
    latest: ComparedRun,
    shown: ShownReport,
    /// The latest report as it was read, if it is kept: renderers show more of it than is compared.
    line: Option<Arc<str>>,
    last_pass: Option<ComparedRun>,
    history: History,
    /// Start and hashed ID of the newest runs, sorted, each with its result.
    runs: Vec<((Option<Timestamp>, u64), RunResult)>,
    reports: u64,
    failed: u64,
}

/// The parts of a report that are compared.
#[derive(Debug, Clone)]
struct ComparedRun {
    started_at: Option<Timestamp>,
    id: Box<str>,
    status: Status,
    facts: Arc<Facts>,
}

/// The parts of the latest report that every vantage's entry shows.
#[derive(Debug, Clone)]
struct ShownReport {
    exit_code: u8,
    cause: Option<Arc<str>>,
    confidence: Option<Arc<str>>,
    summary: Arc<str>,
    availability_zone: Option<Arc<str>>,
    subnet_cidr: Option<Arc<str>>,
    started_at: Arc<str>,
}

/// The parts of a report that decide the group of its vantage. Vantages of one kind are shown
/// together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReportKind {
    exit_code: u8,
    cause: Option<Arc<str>>,
    /// Address of the facts, which are kept once.
    facts: usize,
}

impl ComparedRun {
    fn new(report: &ReportView<'_>, pool: &mut Pool) -> Self {
        Self {
            started_at: report.run.started_at.parse().ok(),
            id: bounded_line(&report.run.id).into(),
            status: report.verdict.status,
            facts: pool.facts(fact::facts(report)),
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

    fn key(&self) -> (Option<Timestamp>, u64) {
        let mut hasher = DefaultHasher::new();
        self.id.hash(&mut hasher);
        (self.started_at, hasher.finish())
    }
}

impl ShownReport {
    fn new(report: &ReportView<'_>, pool: &mut Pool) -> Self {
        let mut known = |text: Option<&Text<'_>>| text.map(|text| pool.text(&bounded_line(text)));
        let finding = report.findings.first();
        Self {
            exit_code: report.verdict.exit_code,
            cause: known(finding.map(|finding| &finding.cause)),
            confidence: known(finding.map(|finding| &finding.confidence)),
            availability_zone: known(report.vantage.availability_zone.as_ref()),
            subnet_cidr: known(report.vantage.subnet_cidr.as_ref()),
            started_at: known(Some(&report.run.started_at)).unwrap_or_default(),
            summary: pool.text(shorten(
                &one_line(&report.verdict.summary),
                MAX_SUMMARY_CHARS,
            )),
        }
    }
}

impl VantageHistory {
    /// Starts with the first report of a vantage; `line` is its text.
    pub fn new(report: &ReportView<'_>, line: &str, pool: &mut Pool) -> Self {
        let run = ComparedRun::new(report, pool);
        let mut history = History::default();
        history.add(run.started_at, report, &run.facts, pool);
        Self {
            runs: vec![(run.key(), RunResult::of(report))],
            failed: u64::from(run.status == Status::Fail),
            latest: run,
            shown: ShownReport::new(report, pool),
            line: Some(line.into()),
            last_pass: None,
            history,
            reports: 1,
        }
    }

    /// Adds a report of any age. Returns `false` for a copy of a report that was added before.
    pub fn add(&mut self, report: &ReportView<'_>, line: &str, pool: &mut Pool) -> bool {
        let run = ComparedRun::new(report, pool);
        let Err(place) = self.runs.binary_search_by_key(&run.key(), |(key, _)| *key) else {
            return false;
        };
        self.runs.insert(place, (run.key(), RunResult::of(report)));
        if self.runs.len() > MAX_RUNS {
            self.runs.remove(0);
        }
        self.reports += 1;
        self.failed += u64::from(run.status == Status::Fail);
        self.history.add(run.started_at, report, &run.facts, pool);
        if run.sort_key() >= self.latest.sort_key() {
            self.line = Some(line.into());
            self.shown = ShownReport::new(report, pool);
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

    /// Returns the kind of the latest report.
    pub fn kind(&self) -> ReportKind {
        ReportKind {
            exit_code: self.shown.exit_code,
            cause: self.shown.cause.clone(),
            facts: Arc::as_ptr(&self.latest.facts).addr(),
        }
    }

    /// The latest report as it was read, if it is kept.
    pub fn latest_line(&self) -> Option<Arc<str>> {
        self.line.clone()
    }

    /// Drops the text of the latest report.
    pub fn drop_line(&mut self) {
        self.line = None;
    }

    /// Returns how many bytes the text of the latest report has, if it is kept.
    pub fn line_bytes(&self) -> usize {
        self.line.as_ref().map_or(0, |line| line.len())
    }

    /// Returns about how many bytes this vantage keeps, without the text of its latest report and
    /// without what it has in common with others.
    pub fn kept_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.runs.as_slice()) + self.history.kept_bytes()
    }

    /// Returns the vantage's part in the comparison of all vantages.
    pub fn compared<'a>(&'a self, name: &'a str) -> ComparedVantage<'a> {
        ComparedVantage {
            name,
            status: self.latest.status,
            facts: &self.latest.facts,
            last_pass: self.last_pass.as_ref().map(|run| &*run.facts),
        }
    }

    /// Returns the vantage's entry in the comparison.
    pub fn summary(&self, name: String) -> VantageSummary {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        let shown = &self.shown;
        VantageSummary {
            name,
            status: self.latest.status,
            exit_code: shown.exit_code,
            cause: text(&shown.cause),
            confidence: text(&shown.confidence),
            summary: shown.summary.to_string(),
            availability_zone: text(&shown.availability_zone),
            subnet_cidr: text(&shown.subnet_cidr),
            run_id: self.latest.id.to_string(),
            started_at: shown.started_at.to_string(),
            reports: self.reports,
            failed: self.failed,
        }
    }

    /// Returns the results of the newest runs over time.
    pub fn timeline(&self) -> Timeline {
        let runs = self.runs.iter();
        let dated = runs.filter_map(|((at, _), result)| Some(((*at)?, *result)));
        let last_pass = self.last_pass.as_ref();
        Timeline {
            periods: periods(dated),
            last_pass: last_pass.and_then(|run| run.started_at),
        }
    }

    /// Returns what changed: first the verdict, then facts in start order, then the rest.
    pub fn changes(&self, name: &str) -> Vec<Change> {
        let mut changes: Vec<Change> = self
            .history
            .changes()
            .map(|change| Change::new(name, &change))
            .collect();
        if changes.is_empty() {
            return changes;
        }
        let facts = &self.latest.facts;
        let start_order: BTreeMap<String, usize> = facts
            .keys()
            .enumerate()
            .map(|(n, fact)| (fact.to_string(), n))
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
