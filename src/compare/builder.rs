//! Builds a comparison from reports that are added one by one, in any order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::comparison::{Comparison, FactRow, InputCounts, SCHEMA, VantageSummary};
use super::difference::{ComparedVantage, differences};
use super::fact::FactName;
use super::log_envelope::find_reports;
use super::origin::{Origin, unique_names};
use super::report_view::{self, ReadError, ReportView, bounded_line};
use super::summary::{explain, summarize};
use super::vantage_history::VantageHistory;
use crate::report::Report;
use crate::verdict::{INCONCLUSIVE, Status};

/// Maximum number of notes kept about unreadable input. Further ones are only counted.
const MAX_NOTES: usize = 5;

/// Maximum size of a report in bytes. A probe's report has at most 256 KiB, which stays below this
/// even when indented.
const MAX_REPORT_BYTES: usize = 1024 * 1024;

/// Maximum number of vantages compared: more subnets than anyone would look at together.
const MAX_VANTAGES: usize = 10_000;

/// Maximum number of bytes kept for all vantages: enough for ten thousand reports with little
/// evidence, or about a thousand with all of it. The process then needs about three times as much
/// memory.
const MAX_KEPT_BYTES: usize = 256 * 1024 * 1024;

/// Reports, folded by vantage.
#[derive(Debug, Clone, Default)]
pub struct ComparisonBuilder {
    vantages: BTreeMap<Origin, VantageHistory>,
    counts: InputCounts,
    notes: BTreeSet<String>,
    /// Bytes kept of all vantages.
    kept: usize,
}

impl ComparisonBuilder {
    /// Adds one line or one JSON document: a report, or what a log exporter wraps around
    /// reports. `source` names the vantage of a report that does not name its own. Returns
    /// whether the text contained a report.
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
        let origin = Origin::of(report, source);
        let is_full = self.vantages.len() >= MAX_VANTAGES && !self.vantages.contains_key(&origin);
        if is_full || self.kept >= MAX_KEPT_BYTES {
            self.counts.left_out += 1;
            self.note(format!(
                "left out every report beyond {MAX_VANTAGES} vantages or {} MiB; compare fewer at once",
                MAX_KEPT_BYTES / 1024 / 1024
            ));
            return;
        }
        if let Some(vantage) = self.vantages.get_mut(&origin) {
            self.kept -= vantage.kept_bytes();
            let is_new = vantage.add(report, line);
            self.kept += vantage.kept_bytes();
            if !is_new {
                self.counts.duplicates += 1;
                return;
            }
        } else {
            let vantage = VantageHistory::new(report, line);
            self.kept += vantage.kept_bytes();
            self.vantages.insert(origin, vantage);
        }
        self.counts.reports += 1;
    }

    /// Compares the reports added so far.
    pub fn finish(&self) -> ComparisonOutput {
        let origins: Vec<&Origin> = self.vantages.keys().collect();
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
        let mut differences = differences(&compared);
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
            facts: matrix(&compared),
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
        ComparisonOutput {
            comparison,
            latest_reports: latest_reports.collect(),
        }
    }
}

fn worst_first(vantage: &VantageSummary) -> (Reverse<Status>, u8, &str) {
    (Reverse(vantage.status), vantage.exit_code, &vantage.name)
}

fn matrix(vantages: &[ComparedVantage<'_>]) -> Vec<FactRow> {
    let mut rows: BTreeMap<&FactName, BTreeMap<String, String>> = BTreeMap::new();
    for vantage in vantages {
        for (name, value) in vantage.facts {
            let row = rows.entry(name).or_default();
            row.insert(vantage.name.to_owned(), value.clone());
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
    /// Each vantage's latest report as it was read, in the order of the comparison's vantages.
    latest_reports: Vec<Arc<str>>,
}

impl ComparisonOutput {
    /// Returns the latest report of the vantage at this index of the comparison.
    pub fn latest_report(&self, vantage: usize) -> Option<ReportView<'_>> {
        report_view::parse(self.latest_reports.get(vantage)?).ok()
    }

    /// Returns the comparison as one line of JSON.
    pub fn line(&self) -> String {
        self.comparison.line()
    }
}
