//! The verdict over observations and findings, and the exit code that repeats it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::diagnose::{Confidence, Finding};
use crate::observation::{Dependency, Observation, ObservationId, Outcome, Phase, TargetKey};

/// What it comes to, the best first. Whatever was not checked may fail, so it is worse than a
/// warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The task would start.
    Pass,
    /// The task would start, and something is wrong all the same.
    Warn,
    /// Nothing failed, but not everything planned could be checked.
    Inconclusive,
    /// The task would not start.
    Fail,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        })
    }
}

/// Status, exit code and one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verdict {
    /// What it comes to.
    pub status: Status,
    /// The process exits with this.
    pub exit_code: u8,
    /// One sentence that a person can act on.
    pub summary: String,
}

/// Exit code of a run that could not check everything.
pub const INCONCLUSIVE: u8 = 3;
/// Exit code of a warning.
pub const WARN: u8 = 4;

impl Verdict {
    /// `fail` if a planned phase that ECS needs failed, `warn` if the task would start all the
    /// same, `inconclusive` if nothing failed but something planned was not checked, else `pass`.
    pub fn over(observations: &[Observation], findings: &[Finding]) -> Self {
        let rungs = Rungs::of(observations);
        let failed = rungs
            .failed()
            .find(|rung| !rung.dependency.starts_without());
        let hindered = rungs.failed().next();
        let unchecked = rungs.unchecked().next();
        let first = findings.first();
        let (status, exit_code, summary) = match (failed, first, unchecked) {
            (Some(rung), Some(first), _) if first.blocking => (
                Status::Fail,
                first.family.exit_code(),
                sentence(first, rung),
            ),
            // A failure that no rule explains is still a failure; its family is that of the phase.
            (Some(rung), _, _) => (
                Status::Fail,
                11,
                format!(
                    "{} failed at {}: {}",
                    rung.dependency, rung.phase, rung.detail
                ),
            ),
            (None, Some(first), _) => (
                Status::Warn,
                WARN,
                format!("The task would start, but: {}", first.summary),
            ),
            (None, None, _) if hindered.is_some() => {
                let rung = hindered.map(|rung| {
                    format!(
                        "{} failed at {}: {}",
                        rung.dependency, rung.phase, rung.detail
                    )
                });
                (
                    Status::Warn,
                    WARN,
                    format!("The task would start, but: {}", rung.unwrap_or_default()),
                )
            }
            (None, None, Some(rung)) => {
                let why = match &rung.outcome {
                    Outcome::NotReached { blocked_by } => blocked_by.clone(),
                    Outcome::NotChecked { why } => why.clone(),
                    _ => String::new(),
                };
                let text = format!(
                    "Nothing failed, but {} was not checked for {}: {why}",
                    rung.phase, rung.dependency
                );
                (Status::Inconclusive, INCONCLUSIVE, text)
            }
            (None, None, None) => (
                Status::Pass,
                0,
                "Everything that the task needs to start works from here.".into(),
            ),
        };
        Self {
            status,
            exit_code,
            summary,
        }
    }
}

fn sentence(first: &Finding, rung: &Observation) -> String {
    let lead = match first.confidence {
        Confidence::Certain => "The task would not start",
        Confidence::Likely => "The task would not start, most likely because",
        Confidence::Possible => "The task would not start, possibly because",
    };
    format!(
        "{lead}: {} [{} fails at {}]",
        first.summary.trim_end_matches('.'),
        rung.dependency,
        rung.phase
    )
}

/// The rungs that the task needs: of several addresses of a target one is enough, of several images
/// or layers all are needed.
struct Rungs<'a>(
    BTreeMap<(Dependency, &'a TargetKey, Phase, Option<&'a ObservationId>), Vec<&'a Observation>>,
);

impl<'a> Rungs<'a> {
    fn of(observations: &'a [Observation]) -> Self {
        let mut rungs: BTreeMap<_, Vec<&Observation>> = BTreeMap::new();
        for seen in observations.iter().filter(|seen| is_needed(seen)) {
            let subject = seen.phase.is_exchange().then_some(&seen.id);
            rungs
                .entry((seen.dependency, seen.target(), seen.phase, subject))
                .or_default()
                .push(seen);
        }
        Self(rungs)
    }

    fn failed(&self) -> impl Iterator<Item = &'a Observation> {
        self.0
            .values()
            .filter(|seen| !seen.iter().any(|s| s.passed()))
            .filter_map(|seen| seen.iter().copied().find(|s| s.failure().is_some()))
    }

    fn unchecked(&self) -> impl Iterator<Item = &'a Observation> {
        self.0
            .values()
            .filter(|seen| !seen.iter().any(|s| s.passed()))
            .filter_map(|seen| {
                seen.iter()
                    .copied()
                    .find(|s| !s.passed() && s.failure().is_none())
            })
    }
}

/// What ECS itself needs. The metadata endpoint and the clock are the probe's own; a bucket that
/// the registry does not redirect to is nobody's.
fn is_needed(seen: &Observation) -> bool {
    !matches!(seen.dependency, Dependency::Metadata | Dependency::Clock)
        && seen.superseded_by.is_none()
}
