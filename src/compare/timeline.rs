//! The results of a vantage's runs over time: runs in a row with the same result are one period.

use jiff::Timestamp;

use super::report_view::ReportView;
use crate::cause::Cause;
use crate::verdict::Status;

/// The result of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunResult {
    /// Status of its verdict.
    pub status: Status,
    /// Cause of its first finding; `None` without a finding, or with a cause that this version does
    /// not know.
    pub cause: Option<Cause>,
}

impl RunResult {
    /// Returns the result of a report's run.
    pub fn of(report: &ReportView<'_>) -> Self {
        let first = report.findings.first();
        Self {
            status: report.verdict.status,
            cause: first.and_then(|finding| finding.cause.parse().ok()),
        }
    }
}

/// Runs in a row with the same result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Start of the first run.
    pub first: Timestamp,
    /// Start of the last run.
    pub last: Timestamp,
    /// Number of runs.
    pub runs: u64,
    /// The result of each of them.
    pub result: RunResult,
}

/// The results of a vantage's newest runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// The oldest first.
    pub periods: Vec<Period>,
    /// Start of the last passing run before the latest one.
    pub last_pass: Option<Timestamp>,
}

/// Returns the periods of runs that are sorted by time.
pub(super) fn periods(runs: impl Iterator<Item = (Timestamp, RunResult)>) -> Vec<Period> {
    let mut periods: Vec<Period> = Vec::new();
    for (at, result) in runs {
        match periods.last_mut() {
            Some(period) if period.result == result => {
                period.last = at;
                period.runs += 1;
            }
            _ => periods.push(Period {
                first: at,
                last: at,
                runs: 1,
                result,
            }),
        }
    }
    periods
}
