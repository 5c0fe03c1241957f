//! Builds a comparison from reports that are added one by one, in any order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::comparison::{Comparison, FactRow, InputCounts, SCHEMA, VantageSummary};
use super::difference::{ComparedVantage, differences};
use super::fact::FactName;
use super::log_envelope::find_reports;
use super::origin::{Origin, unique_names};
use super::pool::Pool;
use super::report_view::{self, ReadError, ReportView, bounded_line};
use super::summary::{explain, summarize};
use super::timeline::Timeline;
use super::vantage_history::{ReportKind, VantageHistory};
use super::vantage_values::{VantageNames, VantageValues};
use crate::report::Report;
use crate::verdict::{INCONCLUSIVE, Status};

/// Maximum number of notes kept about unreadable input. Further ones are only counted.
const MAX_NOTES: usize = 5;

/// Maximum size of a report in bytes. A probe's report has at most 256 KiB, which stays below this
/// even when indented.
const MAX_REPORT_BYTES: usize = 1024 * 1024;

/// Maximum size of a line in bytes: a report, wrapped and escaped twice, stays below this.
pub const MAX_LINE_BYTES: usize = 2 * 1024 * 1024;

/// Maximum number of vantages that are compared: many times the subnets of a large organization.
/// The tests reach a smaller one.
const MAX_VANTAGES: usize = if cfg!(test) { 500 } else { 150_000 };

/// Maximum number of bytes kept of all vantages, without the texts of their reports: half of what
/// the process then needs.
const MAX_KEPT_BYTES: usize = 256 * 1024 * 1024;

/// Maximum number of bytes of report texts: some thousand reports with all of their evidence. Of
/// further vantages, one of each kind keeps its text.
const MAX_TEXT_BYTES: usize = 48 * 1024 * 1024;

/// Maximum number of bytes of report texts when one of each kind is kept, and there are many kinds.
const MAX_TEXT_BYTES_OF_KINDS: usize = 2 * MAX_TEXT_BYTES;

/// Reports, folded by vantage.
#[derive(Debug, Clone, Default)]
pub struct ComparisonBuilder {
    vantages: BTreeMap<Arc<Origin>, VantageHistory>,
    counts: InputCounts,
    notes: BTreeSet<String>,
    /// What vantages have in common.
    pool: Pool,
    /// Bytes kept of all vantages, without the pool and the texts of reports.
    kept: usize,
    /// Bytes of the texts of reports.
    text_bytes: usize,
    /// The vantage of each kind whose text is kept: the first by name, which renderers show.
    shown: HashMap<ReportKind, Arc<Origin>>,
}

impl ComparisonBuilder {
    /// Adds one line or one JSON document: a report, or the output of a log exporter that contains
    /// reports. `source` names the vantage of a report that does not name its own. Returns whether
    /// the text contained a report.
    pub fn add_text(&mut self, text: &str, source: &str) -> bool {
        let text = text.trim();
        if text.is_empty() {
            return false;
        }
        let before = self.counts.reports + self.counts.duplicates;
        match report_view::parse(text) {
            Err(ReadError::NotAReport) => {
                let others = find_reports(text, &mut |line| {
                    self.add_parsed(report_view::parse(line), line, source);
                });
                self.counts.others += others as u64;
            }
            parsed => self.add_parsed(parsed, text, source),
        }
        before < self.counts.reports + self.counts.duplicates
    }

    /// Adds a line of a file; `None` stands for one of more than [`MAX_LINE_BYTES`].
    pub fn add_line(&mut self, line: Option<&[u8]>, source: &str) {
        match line {
            Some(line) => {
                self.add_text(&String::from_utf8_lossy(line), source);
            }
            None => self.skip("skipped a line that is longer than any report"),
        }
    }

    /// Adds a report.
    pub fn add(&mut self, report: &Report) {
        self.add_text(&report.line(), &report.run.id);
    }

    /// Returns how much was read so far.
    pub fn counts(&self) -> &InputCounts {
        &self.counts
    }

    /// Counts input that is not a report and was not parsed.
    pub fn skip(&mut self, why: &str) {
        self.counts.others += 1;
        self.note(bounded_line(why));
    }

    /// Returns the notes on input that could not be read.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().map(String::as_str)
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.insert(note);
        }
    }

    fn add_parsed(&mut self, parsed: Result<ReportView<'_>, ReadError>, line: &str, source: &str) {
        match parsed {
            Ok(_) if line.len() > MAX_REPORT_BYTES => {
                self.counts.unreadable += 1;
                self.note(format!(
                    "skipped a report of {} bytes: a report has at most 256 KiB",
                    line.len()
                ));
            }
            Ok(report) => self.add_view(&report, line, source),
            Err(ReadError::NotAReport) => self.counts.others += 1,
            Err(error) => {
                self.counts.unreadable += 1;
                self.note(error.to_string());
            }
        }
    }

    fn add_view(&mut self, report: &ReportView<'_>, line: &str, source: &str) {
        let origin = Arc::new(Origin::of(report, source));
        let is_full = self.vantages.len() >= MAX_VANTAGES && !self.vantages.contains_key(&origin);
        if is_full || self.kept + self.pool.kept_bytes() >= MAX_KEPT_BYTES {
            self.counts.left_out += 1;
            self.note(format!(
                "left out every report beyond {MAX_VANTAGES} vantages or {} MiB; compare fewer at once",
                MAX_KEPT_BYTES / 1024 / 1024
            ));
            return;
        }
        let pool = &mut self.pool;
        let kind = if let Some(vantage) = self.vantages.get_mut(&origin) {
            let (kept, text_bytes, kind) =
                (vantage.kept_bytes(), vantage.line_bytes(), vantage.kind());
            if !vantage.add(report, line, pool) {
                self.counts.duplicates += 1;
                return;
            }
            self.kept = self.kept + vantage.kept_bytes() - kept;
            self.text_bytes = self.text_bytes + vantage.line_bytes() - text_bytes;
            if vantage.kind() != kind && self.shown.get(&kind) == Some(&origin) {
                self.shown.remove(&kind);
            }
            vantage.kind()
        } else {
            let vantage = VantageHistory::new(report, line, pool);
            let kind = vantage.kind();
            self.kept += vantage.kept_bytes() + origin.kept_bytes();
            self.text_bytes += vantage.line_bytes();
            self.vantages.insert(Arc::clone(&origin), vantage);
            kind
        };
        self.counts.reports += 1;
        self.bound_texts(kind, &origin);
    }

    /// Drops the text of a report if there are too many. Of each kind, the text of the first
    /// vantage is kept.
    fn bound_texts(&mut self, kind: ReportKind, origin: &Arc<Origin>) {
        let shown = self.shown.get(&kind).cloned();
        let is_first = shown.as_ref().is_none_or(|shown| origin <= shown);
        if is_first {
            self.shown.insert(kind, Arc::clone(origin));
        }
        if self.text_bytes <= MAX_TEXT_BYTES {
            return;
        }
        let is_new_kind = shown.is_none() && self.text_bytes <= MAX_TEXT_BYTES_OF_KINDS;
        let dropped = match shown {
            Some(shown) if is_first && shown != *origin => shown,
            Some(_) if is_first => return,
            None if is_new_kind => return,
            _ => Arc::clone(origin),
        };
        if let Some(vantage) = self.vantages.get_mut(&dropped) {
            self.text_bytes -= vantage.line_bytes();
            vantage.drop_line();
        }
    }

    /// Compares the reports added so far.
    pub fn finish(&self) -> ComparisonOutput {
        let origins: Vec<&Origin> = self.vantages.keys().map(|origin| &**origin).collect();
        let mut rows: Vec<(VantageSummary, &VantageHistory)> = unique_names(&origins)
            .into_iter()
            .zip(self.vantages.values())
            .map(|(name, history)| (history.summary(name), history))
            .collect();
        rows.sort_by(|(a, _), (b, _)| worst_first(a).cmp(&worst_first(b)));
        let compared: Vec<ComparedVantage<'_>> = rows
            .iter()
            .map(|(vantage, history)| history.compared(&vantage.name))
            .collect();
        let names = VantageNames::new(compared.iter().map(|vantage| vantage.name));
        let mut differences = differences(&compared, &names);
        let explanation = explain(&compared, &differences);
        let first_difference = (!differences.is_empty()).then(|| differences.remove(0));
        let worst = rows.first().map(|(vantage, _)| vantage);
        let status = worst.map_or(Status::Inconclusive, |vantage| vantage.status);
        // What was left out may have failed.
        let is_unsure = self.counts.left_out > 0 && status < Status::Inconclusive;
        let comparison = Comparison {
            schema: SCHEMA.to_owned(),
            status: if is_unsure {
                Status::Inconclusive
            } else {
                status
            },
            exit_code: worst
                .filter(|_| !is_unsure)
                .map_or(INCONCLUSIVE, |vantage| vantage.exit_code),
            summary: summarize(&compared),
            explanation,
            facts: matrix(&compared, &names),
            first_difference,
            other_differences: differences,
            changes: rows
                .iter()
                .flat_map(|(vantage, history)| history.changes(&vantage.name))
                .collect(),
            read: self.counts.clone(),
            vantages: rows.iter().map(|(vantage, _)| vantage.clone()).collect(),
        };
        let latest_reports = rows.iter().map(|(_, history)| history.latest_line());
        let timelines = rows.iter().map(|(_, history)| history.timeline());
        ComparisonOutput {
            comparison,
            latest_reports: latest_reports.collect(),
            timelines: timelines.collect(),
        }
    }
}

fn worst_first(vantage: &VantageSummary) -> (Reverse<Status>, u8, &str) {
    (Reverse(vantage.status), vantage.exit_code, &vantage.name)
}

fn matrix(vantages: &[ComparedVantage<'_>], names: &Arc<VantageNames>) -> Vec<FactRow> {
    let mut rows: BTreeMap<&FactName, VantageValues> = BTreeMap::new();
    for (n, vantage) in vantages.iter().enumerate() {
        for (name, value) in vantage.facts {
            let row = rows
                .entry(name)
                .or_insert_with(|| VantageValues::new(names));
            row.set(n, value);
        }
    }
    rows.into_iter()
        .map(|(name, values)| FactRow {
            fact: name.to_string(),
            values,
        })
        .collect()
}

/// The comparison, and the latest report of each vantage for renderers that show more of it.
#[derive(Debug, Clone)]
pub struct ComparisonOutput {
    /// What is printed as JSON.
    pub comparison: Comparison,
    /// Each vantage's latest report as it was read, in the order of the comparison's vantages,
    /// where it is kept.
    latest_reports: Vec<Option<Arc<str>>>,
    /// Each vantage's results over time, in the same order.
    timelines: Vec<Timeline>,
}

impl ComparisonOutput {
    /// Returns the latest report of the vantage at this index of the comparison, if it is kept. Of
    /// thousands of vantages that are alike, only the first keeps it.
    pub fn latest_report(&self, vantage: usize) -> Option<ReportView<'_>> {
        report_view::parse(self.latest_reports.get(vantage)?.as_ref()?).ok()
    }

    /// Returns the results over time of the vantage at this index of the comparison.
    pub fn timeline(&self, vantage: usize) -> Option<&Timeline> {
        self.timelines.get(vantage)
    }

    /// Returns the comparison as one line of JSON.
    pub fn line(&self) -> String {
        self.comparison.line()
    }
}
