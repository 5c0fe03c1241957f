//! The comparison in sentences: how many vantages fail, and what differs.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::difference::{Baseline, ComparedVantage, Difference, worst_status};
use super::fact::FactValue;
use super::vantage_values::VantageValues;
use crate::verdict::Status;

/// Maximum number of names in a sentence. The matrix lists them all.
const MAX_NAMES: usize = 3;

/// Maximum number of values or failures in a sentence, each with its vantages. The sentence is
/// repeated in each test suite of the JUnit file.
const MAX_VALUES: usize = 8;

/// Returns one sentence about the vantages that share the worst status.
pub(super) fn summarize(vantages: &[ComparedVantage<'_>]) -> String {
    let Some(worst) = vantages.iter().map(|vantage| vantage.status).max() else {
        return "There is nothing to compare.".into();
    };
    let count = with_status(vantages, worst).count();
    let which = match (count, vantages.len()) {
        (1, 1) => "The only vantage".to_owned(),
        (count, all) if count == all => format!("All {all} vantages"),
        (count, all) => format!("{count} of {all} vantages"),
    };
    let s = if count == 1 { "s" } else { "" };
    let es = if count == 1 { "es" } else { "" };
    match worst {
        Status::Pass => format!("{which} pass{es}."),
        Status::Warn => format!("{which} pass{es} with a warning."),
        Status::Inconclusive => format!("{which} could not check everything."),
        Status::Fail => format!("{which} fail{s}: the task would not start there."),
    }
}

fn with_status<'a, 'v>(
    vantages: &'v [ComparedVantage<'a>],
    status: Status,
) -> impl Iterator<Item = &'v ComparedVantage<'a>> {
    vantages
        .iter()
        .filter(move |vantage| vantage.status == status)
}

/// Lists names, the first few in full.
pub(crate) fn list_names(names: &[&str]) -> String {
    list_first(names, MAX_NAMES)
}

/// Lists names, the first `max` in full.
pub(crate) fn list_first<T: Borrow<str>>(names: &[T], max: usize) -> String {
    let shown = names[..names.len().min(max)].join(", ");
    match names.len().saturating_sub(max) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns the names that have each value.
pub(crate) fn names_by_value(values: &VantageValues) -> BTreeMap<&str, Vec<&str>> {
    by_value(values.iter())
}

fn by_value<'a>(
    values: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in values {
        names.entry(value).or_default().push(name);
    }
    names
}

/// Describes what differs, or why nothing can be compared.
pub(super) fn explain(vantages: &[ComparedVantage<'_>], differences: &[Difference]) -> String {
    let Some(worst) = worst_status(vantages) else {
        return if vantages.is_empty() {
            String::new()
        } else {
            "Every vantage passes, so there is nothing to explain.".into()
        };
    };
    let failing: Vec<&ComparedVantage<'_>> = with_status(vantages, worst).collect();
    let Some((first, others)) = differences.split_first() else {
        return explain_no_difference(vantages, &failing);
    };
    let fact = &first.fact;
    let (passing_values, failing_values) =
        (list_values(&first.passing), list_values(&first.failing));
    let mut text = match first.against {
        Baseline::OtherVantages => {
            format!("The first difference is {fact}: {passing_values}; {failing_values}.")
        }
        Baseline::ItsOwnLastPass => format!(
            "No vantage passes now. The first difference from the last pass is {fact}: {passing_values} then; {failing_values} now."
        ),
    };
    if !others.is_empty() {
        let others: Vec<&str> = others.iter().map(|other| other.fact.as_str()).collect();
        let facts = list_names(&others);
        let _ = write!(text, " Other vantages first differ at {facts}.");
    }
    let unexplained = unexplained(&failing, differences);
    if !unexplained.is_empty() {
        let names = list_names(&unexplained);
        let _ = write!(text, " No differing fact explains the result at {names}.");
    }
    text
}

fn list_values(values: &VantageValues) -> String {
    let values = names_by_value(values);
    let count = values.len();
    let mut shown: Vec<String> = values
        .into_iter()
        .take(MAX_VALUES)
        .map(|(value, names)| format!("{value} at {}", list_names(&names)))
        .collect();
    shown.extend(others(count, "values"));
    shown.join(", ")
}

/// Says how many of `count` are not among the first [`MAX_VALUES`].
fn others(count: usize, what: &str) -> Option<String> {
    let more = count.saturating_sub(MAX_VALUES);
    (more > 0).then(|| format!("and {more} other {what}"))
}

fn unexplained<'a>(failing: &[&ComparedVantage<'a>], differences: &[Difference]) -> Vec<&'a str> {
    let explained: BTreeSet<&str> = differences
        .iter()
        .flat_map(|difference| difference.failing.keys())
        .collect();
    let names = failing.iter().map(|vantage| vantage.name);
    names.filter(|name| !explained.contains(name)).collect()
}

fn explain_no_difference(
    vantages: &[ComparedVantage<'_>],
    failing: &[&ComparedVantage<'_>],
) -> String {
    let none_passes = failing.len() == vantages.len();
    if none_passes && failing.len() == 1 {
        return "There is no passing vantage, and no earlier passing run, to compare with.".into();
    }
    let why = if none_passes {
        "No vantage passes, so there is nothing to compare with."
    } else {
        "No fact that was checked on both sides differs between passing and failing vantages."
    };
    format!("{why}{}", first_failures(failing))
}

/// Describes what fails first at each vantage.
fn first_failures(failing: &[&ComparedVantage<'_>]) -> String {
    let failures: BTreeMap<String, String> = failing
        .iter()
        .filter_map(|vantage| {
            let mut facts = vantage.facts.iter();
            let (name, value) = facts.find(|(_, value)| FactValue::parse(value).has_failures())?;
            Some((vantage.name.to_owned(), format!("{value} at {name}")))
        })
        .collect();
    let pairs = failures
        .iter()
        .map(|(name, failure)| (name.as_str(), failure.as_str()));
    let failures: Vec<(&str, Vec<&str>)> = by_value(pairs).into_iter().collect();
    match failures.as_slice() {
        [] => String::new(),
        [(failure, names)] if names.len() == failing.len() => {
            format!(" All of them first hit {failure}; look at what they have in common.")
        }
        failures => {
            let mut shown: Vec<String> = failures
                .iter()
                .take(MAX_VALUES)
                .map(|(failure, names)| format!("{failure} ({})", list_names(names)))
                .collect();
            shown.extend(others(failures.len(), "ways"));
            format!(" They fail in different ways: {}.", shown.join("; "))
        }
    }
}
