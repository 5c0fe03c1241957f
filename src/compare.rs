//! Several reports side by side: what differs between the subnets that pass and those that fail,
//! and what changed.
//!
//! Pure, and a fold: reports are added one by one, in any order, and of each place only the latest
//! report, the facts of its last pass and the last values of each property are kept. So 100,000
//! reports of ten subnets need the memory of ten.

pub mod change;
pub mod difference;
pub mod document;
pub mod fact;
pub mod group;
pub mod history;
pub mod origin;
pub mod report_view;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;

pub use document::{Compared, Document};
use fact::Facts;
use history::History;
use origin::Place;
use report_view::Unread;

use crate::redact::{one_line, shorten};
use crate::report::Report;
use crate::verdict::Status;

/// Longest name or value that is kept of a report, characters: longer than every name that AWS
/// allows in one.
const LONGEST: usize = 256;

/// Sentences kept about what could not be read. The rest is counted.
const NOTES: usize = 5;

/// Runs that are remembered of a place, so that a report that was delivered twice counts once: a
/// week of ten minutes each.
const RUNS: usize = 1_024;

/// Text that others wrote, on one line and not endless.
pub(crate) fn tidy(text: &str) -> String {
    let plain = text.len() <= LONGEST && text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    if plain {
        text.to_owned()
    } else {
        shorten(&one_line(text), LONGEST).to_owned()
    }
}

/// Reports, folded.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    tracks: BTreeMap<Place, VantageHistory>,
    tally: Tally,
    notes: BTreeSet<String>,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tally {
    /// Reports that were compared.
    pub reports: u64,
    /// The same report again: a run's report is on its standard output and in CloudWatch Logs.
    pub duplicates: u64,
    /// Lines and events that are no report.
    pub others: u64,
    /// Reports that this version cannot read.
    pub unreadable: u64,
}

/// One place over time.
#[derive(Debug, Clone)]
struct VantageHistory {
    latest: Seen,
    /// The latest report as it was read; renderers show more of it than is compared.
    line: String,
    last_pass: Option<Seen>,
    history: History,
    /// Runs that are there already, the newest.
    runs: BTreeSet<(Option<Timestamp>, u64)>,
    reports: u64,
    failed: u64,
}

/// A report's gist.
#[derive(Debug, Clone)]
struct Seen {
    at: Option<Timestamp>,
    run: String,
    status: Status,
    facts: Facts,
}

impl Seen {
    /// The task would start.
    fn starts(&self) -> bool {
        matches!(self.status, Status::Pass | Status::Warn)
    }

    /// When, and of several at that time which: the order of the input must not matter.
    fn order(&self) -> (Option<Timestamp>, &str) {
        (self.at, &self.run)
    }
}

impl Comparison {
    /// Adds what is in one line or one JSON document: a report, or whatever a log exporter has
    /// wrapped around some. `source` names a place that a report itself says nothing of. Returns
    /// whether there was a report in it.
    pub fn add_text(&mut self, text: &str, source: &str) -> bool {
        let text = text.trim();
        if text.is_empty() {
            return false;
        }
        let before = self.tally.reports + self.tally.duplicates;
        match report_view::report(text) {
            Ok(report) => self.fold(&report, text, source),
            Err(unread @ (Unread::Schema(_) | Unread::Broken(_))) => self.refuse(unread),
            Err(Unread::Other) => {
                let others =
                    report_view::unwrap(text, &mut |line: &str| match report_view::report(line) {
                        Ok(report) => self.fold(&report, line, source),
                        Err(unread) => self.refuse(unread),
                    });
                self.tally.others += others as u64;
            }
        }
        before < self.tally.reports + self.tally.duplicates
    }

    /// Adds a report.
    pub fn add(&mut self, report: &Report) {
        self.add_text(&report.line(), &report.run.id);
    }

    /// What was read so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Counts something that is no report and was never looked into.
    pub fn skip(&mut self, why: &str) {
        self.tally.others += 1;
        self.note(tidy(why));
    }

    /// What could not be read, and why: some of it.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().map(String::as_str)
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < NOTES {
            self.notes.insert(note);
        }
    }

    fn refuse(&mut self, unread: Unread) {
        match unread {
            Unread::Other => self.tally.others += 1,
            Unread::Schema(schema) => {
                self.tally.unreadable += 1;
                self.note(format!(
                    "{schema} is of another version: compare with the pullprobe that made it, or a newer one"
                ));
            }
            Unread::Broken(why) => {
                self.tally.unreadable += 1;
                self.note(format!("a report cannot be read: {}", tidy(&why)));
            }
        }
    }

    fn fold(&mut self, report: &report_view::Report<'_>, line: &str, source: &str) {
        let at = report.run.started_at.parse::<Timestamp>().ok();
        let facts = fact::facts(report);
        let seen = Seen {
            at,
            run: tidy(&report.run.id),
            status: report.verdict.status,
            facts,
        };
        let failed = u64::from(seen.status == Status::Fail);
        let Some(track) = self.tracks.get_mut(&Place::of(report, source)) else {
            let mut history = History::default();
            history.add(at, report, &seen.facts);
            let runs = BTreeSet::from([(at, hash(&seen.run))]);
            let track = VantageHistory {
                latest: seen,
                line: line.to_owned(),
                last_pass: None,
                history,
                runs,
                reports: 1,
                failed,
            };
            self.tracks.insert(Place::of(report, source), track);
            self.tally.reports += 1;
            return;
        };
        if !track.runs.insert((at, hash(&seen.run))) {
            self.tally.duplicates += 1;
            return;
        }
        if track.runs.len() > RUNS {
            track.runs.pop_first();
        }
        self.tally.reports += 1;
        track.reports += 1;
        track.failed += failed;
        track.history.add(at, report, &seen.facts);
        if seen.order() >= track.latest.order() {
            track.line.clear();
            track.line.push_str(line);
            let earlier = std::mem::replace(&mut track.latest, seen);
            if earlier.starts() {
                track.last_pass = Some(earlier);
            }
        } else if seen.starts()
            && track
                .last_pass
                .as_ref()
                .is_none_or(|last| last.order() < seen.order())
        {
            track.last_pass = Some(seen);
        }
    }
}

fn hash(run: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    run.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
