//! The first fact that differs between passing and failing vantages, in the order in which a task
//! starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fact::{FactName, FactValue, Facts, is_optional};
use super::vantage_values::{VantageNames, VantageValues};
use crate::verdict::Status;

/// A fact that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// `<dependency>/<phase>`.
    pub fact: String,
    /// Its values where the task would start, by vantage.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, String>"))]
    pub passing: VantageValues,
    /// Its values where the task would not start, by vantage.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, String>"))]
    pub failing: VantageValues,
    /// What the failing vantages were compared with.
    pub against: Baseline,
}

/// What a failing vantage is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The vantages that pass.
    OtherVantages,
    /// The vantage's own last pass, because no vantage passes.
    ItsOwnLastPass,
}

/// A vantage to compare.
#[derive(Debug, Clone, Copy)]
pub struct ComparedVantage<'a> {
    /// Unique name.
    pub name: &'a str,
    /// Status of the latest report.
    pub status: Status,
    /// Facts of the latest report.
    pub facts: &'a Facts,
    /// Facts of the last passing report before that.
    pub last_pass: Option<&'a Facts>,
}

/// Returns the first differing fact of each failing vantage, in start order. A fact that explains a
/// failure (it failed, or the same dependency failed later) comes before one that did no harm. The
/// result is empty if nothing fails, nothing passes, or nothing differs. `names` are those of the
/// vantages, in their order.
pub fn differences(vantages: &[ComparedVantage<'_>], names: &Arc<VantageNames>) -> Vec<Difference> {
    let Some(worst) = worst_status(vantages) else {
        return Vec::new();
    };
    let all = || vantages.iter().enumerate();
    let passing = || all().filter(|(_, vantage)| starts(vantage.status, worst));
    let none_passes = passing().next().is_none();
    let others = Reference::of(passing().map(|(_, vantage)| *vantage));
    let mut found: BTreeMap<(Effect, &FactName), Difference> = BTreeMap::new();
    for (n, vantage) in all().filter(|(_, vantage)| vantage.status == worst) {
        let last_pass = vantage.last_pass.map(|facts| ComparedVantage {
            status: Status::Pass,
            facts,
            ..*vantage
        });
        let last_pass = last_pass.filter(|_| none_passes);
        let first = match last_pass {
            Some(last_pass) => first_difference(vantage, &Reference::of([last_pass])),
            None => first_difference(vantage, &others),
        };
        let Some((effect, name)) = first else {
            continue;
        };
        let difference = found.entry((effect, name)).or_insert_with(|| Difference {
            fact: name.to_string(),
            passing: values(names, passing(), name),
            failing: VantageValues::new(names),
            against: match last_pass {
                Some(_) => Baseline::ItsOwnLastPass,
                None => Baseline::OtherVantages,
            },
        });
        if let Some(value) = last_pass.and_then(|last_pass| last_pass.facts.get(name)) {
            difference.passing.set(n, value);
        }
        if let Some(value) = vantage.facts.get(name) {
            difference.failing.set(n, value);
        }
    }
    found.into_values().collect()
}

/// Returns the values of a fact at these vantages.
fn values<'a>(
    names: &Arc<VantageNames>,
    vantages: impl Iterator<Item = (usize, &'a ComparedVantage<'a>)>,
    fact: &FactName,
) -> VantageValues {
    let mut values = VantageValues::new(names);
    for (n, vantage) in vantages {
        if let Some(value) = vantage.facts.get(fact) {
            values.set(n, value);
        }
    }
    values
}

/// Returns the status of the vantages to explain: the failing ones, or the worst if nothing fails.
/// `None` if every vantage passes.
pub fn worst_status(vantages: &[ComparedVantage<'_>]) -> Option<Status> {
    let worst = vantages.iter().map(|vantage| vantage.status).max()?;
    (worst != Status::Pass).then_some(worst)
}

/// Whether a vantage is one to compare with: a task also starts with a warning.
fn starts(status: Status, worst: Status) -> bool {
    status == Status::Pass || (status == Status::Warn && worst == Status::Fail)
}

/// What a differing fact does to the task's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// It may be why the task does not start.
    Harmful,
    /// The task could start anyway.
    Harmless,
}

/// The values of each fact where the task starts, read once: a failing vantage is compared with
/// these and not with every vantage.
struct Reference<'a>(BTreeMap<&'a FactName, KnownValues<'a>>);

/// The values of one fact where the task starts.
#[derive(Default)]
struct KnownValues<'a> {
    /// Of vantages that pass.
    passing: BTreeSet<&'a str>,
    /// Of vantages that pass with a warning.
    warned: BTreeSet<&'a str>,
}

impl<'a> Reference<'a> {
    fn of(vantages: impl IntoIterator<Item = ComparedVantage<'a>>) -> Self {
        let mut known: BTreeMap<&FactName, KnownValues<'_>> = BTreeMap::new();
        for vantage in vantages {
            for (name, value) in vantage.facts {
                let values = known.entry(name).or_default();
                match vantage.status {
                    Status::Pass => values.passing.insert(value),
                    _ => values.warned.insert(value),
                };
            }
        }
        Self(known)
    }
}

impl KnownValues<'_> {
    fn contains(&self, value: &str) -> bool {
        self.passing.contains(value) || self.warned.contains(value)
    }

    /// Returns the values to compare with. Those with a warning count only if no vantage without
    /// one knows the fact.
    fn models(&self) -> &BTreeSet<&str> {
        if self.passing.is_empty() {
            &self.warned
        } else {
            &self.passing
        }
    }
}

fn first_difference<'a>(
    vantage: &ComparedVantage<'a>,
    reference: &Reference<'_>,
) -> Option<(Effect, &'a FactName)> {
    // The first of several minima, which is the earliest step.
    vantage
        .facts
        .iter()
        .filter_map(|(name, value)| {
            let known = reference.0.get(name)?;
            Some((effect(vantage, known, name, value)?, name))
        })
        .min_by_key(|(effect, _)| *effect)
}

/// Returns `None` if the fact explains nothing: one passing vantage fails it too, or one has the
/// same value.
fn effect(
    vantage: &ComparedVantage<'_>,
    known: &KnownValues<'_>,
    name: &FactName,
    value: &str,
) -> Option<Effect> {
    let models = known.models();
    if known.contains(value) || models.iter().any(|model| !FactValue::parse(model).passed()) {
        return None;
    }
    let harmless = match FactValue::parse(value) {
        FactValue::Failed(_) => vantage.status == Status::Fail && is_optional(&name.dependency),
        FactValue::Partly(_) => vantage.status == Status::Fail,
        // Private here and public there explains nothing if the passing vantages differ in that
        // among themselves.
        FactValue::Passed(_) if models.len() > 1 => return None,
        FactValue::Passed(_) => !dependency_fails(vantage.facts, &name.dependency),
        FactValue::NotChecked | FactValue::NotReached => true,
    };
    Some(if harmless {
        Effect::Harmless
    } else {
        Effect::Harmful
    })
}

fn dependency_fails(facts: &Facts, dependency: &str) -> bool {
    facts
        .iter()
        .any(|(name, value)| name.dependency == dependency && FactValue::parse(value).failed())
}
