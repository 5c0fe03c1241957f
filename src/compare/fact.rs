//! The facts of a report: what each phase of each dependency came to, in words that can be compared
//! across subnets.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::report_view::{Observation, Report};
use super::tidy;
use crate::observation::{Dependency, Phase};
use crate::report::LADDER;

/// The order in which a Fargate task meets its targets: secrets, registry token, log stream,
/// manifest, layers (observed; where environment files and file systems stand is not established),
/// then what it starts without. The clock is last: where it is wrong, the answers that it spoiled
/// come first, and it is read from the services' answers, so that a broken path leaves it unread.
const START: [Dependency; 16] = [
    Dependency::Metadata,
    Dependency::Credentials,
    Dependency::SecretsManager,
    Dependency::Ssm,
    Dependency::EcrApi,
    Dependency::Logs,
    Dependency::Splunk,
    Dependency::EcrDkr,
    Dependency::Registry,
    Dependency::S3,
    Dependency::EnvironmentFile,
    Dependency::Efs,
    Dependency::LogRouter,
    Dependency::SsmMessages,
    Dependency::ServiceConnect,
    Dependency::Clock,
];

/// Whether a task starts also where this dependency fails: the probe's own sources, and what a task
/// starts without.
pub fn is_optional(dependency: &str) -> bool {
    let known = START.iter().find(|known| known.name() == dependency);
    known.is_some_and(|dependency| {
        matches!(dependency, Dependency::Metadata | Dependency::Clock)
            || dependency.starts_without()
    })
}

/// A dependency's phase: the name of a fact, ordered as a task's start is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// What the target is to the task.
    pub dependency: String,
    /// The rung.
    pub phase: String,
}

impl Name {
    fn rank(&self) -> (usize, usize) {
        let clock = START.len() - 1;
        // Roles of a newer version go before the clock.
        let dependency = START
            .iter()
            .position(|dependency| dependency.name() == self.dependency);
        let dependency =
            dependency.map_or(clock, |rank| if rank == clock { START.len() } else { rank });
        let phase = LADDER.iter().position(|phase| phase.name() == self.phase);
        (dependency, phase.unwrap_or(LADDER.len()))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let whole = |name: &'_ Self| {
            (
                name.rank().0,
                name.dependency.clone(),
                name.rank().1,
                name.phase.clone(),
            )
        };
        whole(self).cmp(&whole(other))
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.dependency, self.phase)
    }
}

/// What each phase of each dependency came to.
pub type Facts = BTreeMap<Name, String>;

/// How a value is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `passed`, `passed (private)`, `passed (public)`.
    Passed,
    /// `not-checked`.
    NotChecked,
    /// `not-reached`.
    NotReached,
    /// `partly …`: of several addresses some.
    Partly,
    /// A failure's name.
    Failed,
}

/// Reads a value.
pub fn kind(value: &str) -> Kind {
    match value {
        "not-checked" => Kind::NotChecked,
        "not-reached" => Kind::NotReached,
        passed if passed == "passed" || passed.starts_with("passed (") => Kind::Passed,
        partly if partly.starts_with("partly ") => Kind::Partly,
        _ => Kind::Failed,
    }
}

/// The facts of a report. Targets that do not matter to the task are left out, as in its verdict.
pub fn facts(report: &Report<'_>) -> Facts {
    let mut rungs: BTreeMap<(&str, &str), Vec<&Observation<'_>>> = BTreeMap::new();
    for seen in report
        .observations
        .iter()
        .filter(|seen| seen.superseded_by.is_none())
    {
        rungs
            .entry((&seen.dependency, &seen.phase))
            .or_default()
            .push(seen);
    }
    let value_of = |(dependency, phase): &(&str, &str), seen: &[&Observation<'_>]| match (
        value(phase, seen),
        *phase,
    ) {
        (passed, "resolve") if passed == "passed" => {
            match where_to(rungs.get(&(*dependency, "connect")), seen) {
                Some(place) => format!("passed ({place})"),
                None => passed,
            }
        }
        (other, _) => other,
    };
    let name = |(dependency, phase): &(&str, &str)| Name {
        dependency: tidy(dependency),
        phase: tidy(phase),
    };
    rungs
        .iter()
        .map(|(rung, seen)| (name(rung), value_of(rung, seen)))
        .collect()
}

/// Of several addresses one is enough, so their failures are partial; of several images, layers or
/// secrets all are needed.
fn value(phase: &str, seen: &[&Observation<'_>]) -> String {
    let with = |outcome: &str| seen.iter().filter(|s| &*s.outcome == outcome).count();
    let failures: BTreeSet<String> = seen
        .iter()
        .filter(|s| &*s.outcome == "failed")
        .map(|s| s.failure.as_deref().map_or_else(|| "failed".into(), tidy))
        .collect();
    let failed = failures.into_iter().collect::<Vec<_>>().join(", ");
    let addresses = [Phase::Connect, Phase::Handshake]
        .iter()
        .any(|common| common.name() == phase);
    match (with("passed"), failed.is_empty()) {
        (1.., false) if addresses => format!("partly {failed}"),
        (_, false) => failed,
        (1.., true) if addresses || with("not-checked") + with("not-reached") == 0 => {
            "passed".into()
        }
        (_, true) if with("not-checked") > 0 => "not-checked".into(),
        (_, true) if with("not-reached") > 0 => "not-reached".into(),
        // An outcome of a newer version.
        (_, true) => seen.first().map(|s| tidy(&s.outcome)).unwrap_or_default(),
    }
}

/// Where the addresses lie, by kind: those of three healthy subnets differ, and this does not.
fn where_to(
    connects: Option<&Vec<&Observation<'_>>>,
    resolves: &[&Observation<'_>],
) -> Option<&'static str> {
    let scopes = |seen: &[&Observation<'_>]| {
        let scopes = seen.iter().filter_map(|seen| seen.scope.as_deref());
        scopes
            .map(|scope| scope == "public")
            .collect::<BTreeSet<bool>>()
    };
    let dialled = connects.map(|seen| scopes(seen)).unwrap_or_default();
    let known = if dialled.is_empty() {
        scopes(resolves)
    } else {
        dialled
    };
    match (known.contains(&false), known.contains(&true)) {
        (true, true) => Some("private and public"),
        (true, false) => Some("private"),
        (false, true) => Some("public"),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_its_place_in_a_tasks_start() {
        let (mut placed, mut all) = (
            START.map(Dependency::name),
            Dependency::ALL.map(Dependency::name),
        );
        placed.sort_unstable();
        all.sort_unstable();
        assert_eq!(placed, all);
    }
}
