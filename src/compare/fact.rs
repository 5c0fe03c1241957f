//! The facts of a report: the result of each phase of each dependency, in words that can be
//! compared across subnets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::report_view::{ObservationView, ReportView, bounded_line};
use crate::observation::{Dependency, Phase};

/// Whether a task starts even if this dependency fails: what the probe reads for itself, and what
/// ECS does not wait for.
pub fn is_optional(dependency: &str) -> bool {
    let mut known = Dependency::START_ORDER.into_iter();
    known
        .find(|known| known.name() == dependency)
        .is_some_and(|dependency| {
            matches!(dependency, Dependency::Metadata | Dependency::Clock)
                || dependency.starts_without()
        })
}

/// Name of a fact: a phase of a dependency. Ordered as a task starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FactName {
    // Compared first, in this order; the names distinguish what this version does not know.
    dependency_rank: usize,
    /// Such as `ecr.api`; may be one that this version does not know.
    pub dependency: String,
    phase_rank: usize,
    /// Such as `connect`; may be one that this version does not know.
    pub phase: String,
}

impl FactName {
    fn new(dependency: &str, phase: &str) -> Self {
        let known = Phase::ALL.iter().position(|known| known.name() == phase);
        Self {
            dependency_rank: dependency_rank(dependency),
            dependency: bounded_line(dependency),
            phase_rank: known.unwrap_or(Phase::ALL.len()),
            phase: bounded_line(phase),
        }
    }
}

fn dependency_rank(dependency: &str) -> usize {
    let clock = Dependency::START_ORDER.len() - 1;
    let rank = Dependency::START_ORDER
        .iter()
        .position(|known| known.name() == dependency);
    match rank {
        Some(rank) if rank == clock => clock + 1,
        Some(rank) => rank,
        // A dependency of a newer version goes before the clock.
        None => clock,
    }
}

impl fmt::Display for FactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.dependency, self.phase)
    }
}

/// The facts of a report, each with the text of its value; [`FactValue`] reads that text.
pub type Facts = BTreeMap<FactName, String>;

/// The value of a fact, from the least to the most serious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactValue<'a> {
    /// `passed`; for names with the scope of their addresses, as in `passed (private)`.
    Passed(Option<&'a str>),
    /// `not-checked`.
    NotChecked,
    /// `not-reached`.
    NotReached,
    /// `partly` and the failures: some addresses work, others fail.
    Partly(&'a str),
    /// The failures, or an outcome that this version does not know.
    Failed(&'a str),
}

impl<'a> FactValue<'a> {
    /// Reads the text of a value.
    pub fn parse(text: &'a str) -> Self {
        match text {
            "not-checked" => Self::NotChecked,
            "not-reached" => Self::NotReached,
            "passed" => Self::Passed(None),
            _ => {
                if let Some(scope) = text.strip_prefix("passed (") {
                    Self::Passed(scope.strip_suffix(')'))
                } else if let Some(failures) = text.strip_prefix("partly ") {
                    Self::Partly(failures)
                } else {
                    Self::Failed(text)
                }
            }
        }
    }

    /// Whether everything that the fact covers works.
    pub fn passed(self) -> bool {
        matches!(self, Self::Passed(_))
    }

    /// Whether nothing that the fact covers works.
    pub fn failed(self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Whether something that the fact covers fails.
    pub fn has_failures(self) -> bool {
        matches!(self, Self::Partly(_) | Self::Failed(_))
    }
}

/// Maximum number of kinds of failure in one value; this version knows about thirty, and one fact
/// has few of them.
const MAX_FAILURES: usize = 32;

/// Returns the facts of a report. Targets that do not affect the task are left out, as in its
/// verdict.
pub fn facts(report: &ReportView<'_>) -> Facts {
    let mut phases: BTreeMap<(&str, &str), Vec<&ObservationView<'_>>> = BTreeMap::new();
    for observation in report.observations.iter().filter(|o| o.affects_task()) {
        phases
            .entry((&observation.dependency, &observation.phase))
            .or_default()
            .push(observation);
    }
    let mut facts = Facts::new();
    for (&(dependency, phase), observations) in &phases {
        let mut value = value(phase, observations);
        if phase == "resolve" && value == "passed" {
            let connects = phases.get(&(dependency, "connect"));
            if let Some(scope) = address_scope(connects, observations) {
                value = format!("passed ({scope})");
            }
        }
        facts.insert(FactName::new(dependency, phase), value);
    }
    facts
}

/// Of several addresses one is enough, so their failures are partial; of several images, layers or
/// secrets all are needed.
fn value(phase: &str, observations: &[&ObservationView<'_>]) -> String {
    let has = |outcome: &str| observations.iter().any(|o| &*o.outcome == outcome);
    let failures: BTreeSet<String> = observations
        .iter()
        .filter(|o| &*o.outcome == "failed")
        .map(|o| {
            o.failure
                .as_deref()
                .map_or_else(|| "failed".into(), bounded_line)
        })
        .collect();
    let more = failures.len().saturating_sub(MAX_FAILURES);
    let failures: Vec<String> = failures.into_iter().take(MAX_FAILURES).collect();
    let mut failures = failures.join(", ");
    if more > 0 {
        failures.push_str(" and ");
        failures.push_str(&more.to_string());
        failures.push_str(" more");
    }
    let one_is_enough = phase == Phase::Connect.name() || phase == Phase::Handshake.name();
    if !failures.is_empty() {
        return if one_is_enough && has("passed") {
            format!("partly {failures}")
        } else {
            failures
        };
    }
    let incomplete = has("not-checked") || has("not-reached");
    if has("passed") && (one_is_enough || !incomplete) {
        return "passed".into();
    }
    let unfinished = ["not-checked", "not-reached"];
    match unfinished.into_iter().find(|outcome| has(outcome)) {
        Some(outcome) => outcome.into(),
        // An outcome that this version does not know.
        None => observations
            .first()
            .map(|o| bounded_line(&o.outcome))
            .unwrap_or_default(),
    }
}

/// Returns the scope of the dialed addresses, or of the resolved ones if none was dialed. The
/// addresses of three healthy subnets differ; their scope does not.
fn address_scope(
    connects: Option<&Vec<&ObservationView<'_>>>,
    resolves: &[&ObservationView<'_>],
) -> Option<&'static str> {
    let dialed = connects
        .map(|connects| are_public(connects))
        .unwrap_or_default();
    let public = if dialed.is_empty() {
        are_public(resolves)
    } else {
        dialed
    };
    match (public.contains(&false), public.contains(&true)) {
        (true, true) => Some("private and public"),
        (true, false) => Some("private"),
        (false, true) => Some("public"),
        (false, false) => None,
    }
}

fn are_public(observations: &[&ObservationView<'_>]) -> BTreeSet<bool> {
    let scopes = observations.iter().filter_map(|o| o.scope.as_deref());
    scopes.map(|scope| scope == "public").collect()
}
