//! The first fact that differs between the vantages that pass and those that fail, in the order of
//! a task's start.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::fact::{Facts, Kind, Name, is_optional, kind};
use crate::verdict::Status;

/// A fact that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// `<dependency>/<phase>`.
    pub fact: String,
    /// What it is where the task would start, by vantage.
    pub passing: BTreeMap<String, String>,
    /// What it is where the task would not, by vantage.
    pub failing: BTreeMap<String, String>,
    /// What the failing ones were compared with.
    pub against: Against,
}

/// What a failing vantage is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The vantages that pass.
    OtherVantages,
    /// No vantage passes: its own last pass.
    ItsOwnLastPass,
}

/// A vantage to compare.
#[derive(Debug, Clone, Copy)]
pub struct ComparedVantage<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its latest status.
    pub status: Status,
    /// Its latest facts.
    pub facts: &'a Facts,
    /// Those of its last pass before.
    pub last_pass: Option<&'a Facts>,
}

/// Every fact that comes first at some failing vantage, in ladder order: what is a failure, or
/// followed by one at the same dependency, before what did no harm. Empty where nothing fails,
/// where nothing passes, and where they differ in nothing.
pub fn differences(sides: &[ComparedVantage<'_>]) -> Vec<Difference> {
    let Some(worse) = worse(sides) else {
        return Vec::new();
    };
    let passing: Vec<&ComparedVantage<'_>> = sides
        .iter()
        .filter(|side| passes(side.status, worse))
        .collect();
    let failing = sides.iter().filter(|side| side.status == worse);
    let mut found: BTreeMap<(bool, Name), Difference> = BTreeMap::new();
    for side in failing {
        let own_past = side.last_pass.filter(|_| passing.is_empty());
        let past = own_past.map(|facts| ComparedVantage {
            status: Status::Pass,
            facts,
            ..*side
        });
        let (base, against) = match &past {
            Some(past) => (vec![past], Against::ItsOwnLastPass),
            None => (passing.clone(), Against::OtherVantages),
        };
        let Some((harmless, name)) = first(side, &base) else {
            continue;
        };
        let values = |sides: &[&ComparedVantage<'_>]| {
            let known = sides
                .iter()
                .filter_map(|side| Some((side.name.to_owned(), side.facts.get(name)?.clone())));
            known.collect::<BTreeMap<_, _>>()
        };
        let entry = found
            .entry((harmless, name.clone()))
            .or_insert_with(|| Difference {
                fact: name.to_string(),
                passing: BTreeMap::new(),
                failing: BTreeMap::new(),
                against,
            });
        entry.passing.extend(values(&base));
        entry.failing.extend(values(&[side]));
    }
    found.into_values().collect()
}

/// The status whose vantages are to be explained: failures, or where nothing fails whatever is not
/// as it should be.
pub fn worse(sides: &[ComparedVantage<'_>]) -> Option<Status> {
    sides
        .iter()
        .map(|side| side.status)
        .max()
        .filter(|worst| *worst != Status::Pass)
}

/// Whether a vantage of this status is one to compare with. A task starts where there is only a
/// warning.
fn passes(status: Status, worse: Status) -> bool {
    status == Status::Pass || (status == Status::Warn && worse == Status::Fail)
}

/// The first fact that differs, and whether it did no harm.
fn first<'a>(
    side: &ComparedVantage<'a>,
    base: &[&ComparedVantage<'_>],
) -> Option<(bool, &'a Name)> {
    let differing: Vec<(&Name, bool)> = side
        .facts
        .iter()
        .filter_map(|(name, value)| Some((name, harmless(side, base, name, value)?)))
        .collect();
    let first = |wanted: bool| differing.iter().find(|(_, harmless)| *harmless == wanted);
    first(false)
        .or_else(|| first(true))
        .map(|(name, harmless)| (*harmless, *name))
}

/// `None` where the fact explains nothing: nobody who passes was asked, or did not pass it either;
/// or somebody who passes has the same value.
fn harmless(
    side: &ComparedVantage<'_>,
    base: &[&ComparedVantage<'_>],
    name: &Name,
    value: &str,
) -> Option<bool> {
    let known: Vec<(Status, &str)> = base
        .iter()
        .filter_map(|other| Some((other.status, other.facts.get(name)?.as_str())))
        .collect();
    let sound = known.iter().any(|(status, _)| *status == Status::Pass);
    let models: BTreeSet<&str> = known
        .iter()
        .filter(|(status, _)| *status == Status::Pass || !sound)
        .map(|(_, value)| *value)
        .collect();
    if models.is_empty()
        || models.iter().any(|model| kind(model) != Kind::Passed)
        || known.iter().any(|(_, v)| *v == value)
    {
        return None;
    }
    match kind(value) {
        Kind::Failed => Some(side.status == Status::Fail && is_optional(&name.dependency)),
        Kind::Partly => Some(side.status == Status::Fail),
        // Private here and public there. Where the passing ones differ in that among themselves, it
        // explains nothing; where the role works all the same, it did no harm.
        Kind::Passed if models.len() > 1 => None,
        Kind::Passed => {
            let same_role = side
                .facts
                .iter()
                .filter(|(other, _)| other.dependency == name.dependency);
            Some(
                !same_role
                    .into_iter()
                    .any(|(_, value)| kind(value) == Kind::Failed),
            )
        }
        Kind::NotChecked | Kind::NotReached => Some(true),
    }
}
