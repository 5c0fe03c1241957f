//! What every format of a comparison says first: where and when, and each distinct result with its
//! remedy.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use crate::arn::Arn;
use crate::compare::ComparisonOutput;
use crate::compare::change::utc;
use crate::compare::comparison::Comparison;
use crate::compare::report_view::{FindingView, ObservationView, ReportView};
use crate::compare::summary::list_first;
use crate::redact::shorten;
use crate::verdict::Status;

/// Maximum number of vantages whose latest reports are read for the heading and the results. The
/// matrix has all of them. The tests reach a smaller one.
const MAX_REPORTS: usize = if cfg!(test) { 20 } else { 500 };

/// Maximum number of values of one kind in a heading, such as services.
const MAX_VALUES: usize = 3;

/// Maximum number of characters shown of a text from a report. A probe's own texts are shorter.
const MAX_SHOWN_CHARS: usize = 2_000;

/// Maximum number of observations shown as the proof of a result: two lines.
const MAX_PROOFS: usize = 2;

/// Maximum number of results in full. The details of the vantages have all of them.
pub(super) const MAX_RESULTS: usize = 8;

/// Maximum number of statements and commands shown for one finding.
pub(super) const MAX_FIXES: usize = 8;

/// Cuts a text from a report that is longer than any that a probe writes.
pub(super) fn shown(text: &str) -> String {
    let short = shorten(text, MAX_SHOWN_CHARS);
    if short.len() < text.len() {
        format!("{short}…")
    } else {
        text.to_owned()
    }
}

/// Returns the headline: the sentence of the only vantage, or of all vantages together.
pub(super) fn headline(comparison: &Comparison) -> String {
    match comparison.vantages.as_slice() {
        [only] if !only.summary.is_empty() => only.summary.clone(),
        _ => comparison.summary.clone(),
    }
}

/// Where and when the reports were written: service, cluster, account, Region and time, as far as
/// they are known.
pub(super) fn heading(output: &ComparisonOutput) -> Vec<(&'static str, String)> {
    let mut values: [Vec<String>; 4] = Default::default();
    let mut times: Vec<Timestamp> = Vec::new();
    for report in latest_reports(output) {
        let at = &report.vantage;
        let mut labels = report.run.labels.iter();
        let service = labels.find(|(name, _)| &***name == "service");
        let arn = at.task_arn.as_deref();
        let account = arn.and_then(|arn| Some(arn.parse::<Arn>().ok()?.account));
        let found = [
            service.map(|(_, service)| service.to_string()),
            at.cluster
                .as_ref()
                .map(|cluster| name_of(cluster).to_owned()),
            account,
            at.region.as_ref().map(ToString::to_string),
        ];
        for (values, found) in values.iter_mut().zip(found) {
            let new = found.filter(|found| !found.is_empty() && !values.contains(found));
            values.extend(new);
        }
        times.extend(report.run.started_at.parse::<Timestamp>().ok());
    }
    let names = ["service", "cluster", "account", "Region"];
    let is_cut = output.comparison.vantages.len() > MAX_REPORTS;
    let mut heading: Vec<(&'static str, String)> = names
        .into_iter()
        .zip(values)
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| (name, some_of(&values, is_cut)))
        .collect();
    if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
        heading.push(("time", time_range(*first, *last)));
    }
    heading
}

/// Returns the name at the end of an ARN, or the name as it is.
pub(super) fn name_of(arn_or_name: &str) -> &str {
    arn_or_name.rsplit('/').next().unwrap_or(arn_or_name)
}

/// Returns the first of some values. `is_cut` says that there may be others than these.
fn some_of(values: &[String], is_cut: bool) -> String {
    let values: Vec<String> = values.iter().map(|value| shown(value)).collect();
    if is_cut && values.len() > MAX_VALUES {
        return format!("{} and others", values[..MAX_VALUES].join(", "));
    }
    list_first(&values, MAX_VALUES)
}

/// Returns two times as one text.
pub(super) fn time_range(first: Timestamp, last: Timestamp) -> String {
    let day = |time: Timestamp| time.strftime("%Y-%m-%d").to_string();
    if first == last {
        utc(first).to_string()
    } else if day(first) == day(last) {
        let first = first.strftime("%Y-%m-%d %H:%M:%S").to_string();
        format!("{first} to {}", last.strftime("%H:%M:%S UTC"))
    } else {
        let first = first.strftime("%Y-%m-%d %H:%M:%S").to_string();
        format!("{first} to {}", utc(last))
    }
}

fn latest_reports(output: &ComparisonOutput) -> impl Iterator<Item = ReportView<'_>> {
    let shown = output.comparison.vantages.len().min(MAX_REPORTS);
    (0..shown).filter_map(|vantage| output.latest_report(vantage))
}

/// Vantages that do not pass, with the same status, cause and remedy.
pub(super) struct SameResult<'a> {
    /// Status of each.
    pub status: Status,
    /// Names of the vantages.
    pub names: Vec<&'a str>,
    /// Index of the first in the comparison.
    pub first: usize,
}

/// Returns the distinct results that are not a pass, the worst first, and a sentence about the
/// vantages whose reports were not read, if there are any. Each cause has a result.
pub(super) fn results(output: &ComparisonOutput) -> (Vec<SameResult<'_>>, Option<String>) {
    let mut results: Vec<SameResult<'_>> = Vec::new();
    let (mut kinds, mut unread) = (HashSet::new(), BTreeMap::new());
    let mut known: HashMap<(Status, Option<&str>, String), usize> = HashMap::new();
    let vantages = output.comparison.vantages.iter().enumerate();
    let not_passing = vantages.filter(|(_, vantage)| vantage.status != Status::Pass);
    for (count, (first, vantage)) in not_passing.enumerate() {
        let is_new = kinds.insert((vantage.status, vantage.cause.as_deref()));
        if count >= MAX_REPORTS && !is_new {
            let cause = vantage.cause.as_deref().unwrap_or("no cause found");
            *unread.entry(cause).or_insert(0_usize) += 1;
            continue;
        }
        let report = output.latest_report(first);
        let finding = report.as_ref().and_then(|report| report.findings.first());
        let text = finding.map_or_else(
            || vantage.summary.clone(),
            |finding| finding.remedy.to_string(),
        );
        let key = (vantage.status, vantage.cause.as_deref(), text);
        let index = *known.entry(key).or_insert_with(|| {
            results.push(SameResult {
                status: vantage.status,
                names: Vec::new(),
                first,
            });
            results.len() - 1
        });
        if let Some(result) = results.get_mut(index) {
            result.names.push(&vantage.name);
        }
    }
    (results, unread_sentence(unread))
}

/// Says how many vantages have each cause, the most frequent first.
fn unread_sentence(unread: BTreeMap<&str, usize>) -> Option<String> {
    let count: usize = unread.values().sum();
    let mut causes: Vec<_> = unread.into_iter().collect();
    causes.sort_by_key(|(_, count)| Reverse(*count));
    let causes: Vec<String> = causes
        .into_iter()
        .map(|(cause, count)| format!("{count} with {}", shown(cause)))
        .collect();
    (count > 0).then(|| {
        format!(
            "{count} more vantages do not pass: {}. They are below, beside those that are alike.",
            list_first(&causes, MAX_RESULTS)
        )
    })
}

/// Returns the lines that prove a finding, of its observations those that failed first.
pub(super) fn proofs(report: &ReportView<'_>, finding: &FindingView<'_>) -> Vec<String> {
    let cited = finding.because.iter();
    let mut cited: Vec<&ObservationView<'_>> = cited
        .filter_map(|id| report.observations.iter().find(|o| o.id == *id))
        .collect();
    cited.sort_by_key(|o| &*o.outcome != "failed");
    let shown = cited.iter().take(MAX_PROOFS);
    shown.map(|o| shown_proof(o)).collect()
}

fn shown_proof(observation: &ObservationView<'_>) -> String {
    let id = &observation.id;
    let owner = observation.owner.as_deref();
    let owner = owner.map(|owner| format!(" ({owner})")).unwrap_or_default();
    let failure = observation.failure.as_deref().unwrap_or("failed");
    shown(&match (&*observation.outcome, observation.measured_ms()) {
        (_, None) => format!("Amazon ECS reports: {}", observation.detail),
        ("passed", Some(ms)) => format!("{id}{owner} passed in {ms} ms"),
        ("failed", Some(ms)) => format!("{id}{owner}: {failure} after {ms} ms"),
        (outcome, _) => format!("{id}{owner}: {outcome}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::ComparisonBuilder;

    /// Returns the first report of the test data that fails, in `count` subnets; the last has
    /// another cause.
    fn failing(count: usize) -> ComparisonOutput {
        let data = include_str!("../../tests/data/three-subnets.ndjson");
        let line = data
            .lines()
            .find(|line| line.contains(r#""status":"fail""#))
            .unwrap();
        let mut builder = ComparisonBuilder::default();
        for number in 1..=count {
            let label = format!(r#""labels":{{"subnet":"subnet-{number:05}"}}"#);
            let mut report = line.replacen(r#""labels":{}"#, &label, 1);
            if number == count {
                report = report.replace("s3-gateway-missing", "network-acl");
            }
            assert!(builder.add_text(&report, &format!("subnet-{number:05}")));
        }
        builder.finish()
    }

    #[test]
    fn every_cause_has_a_result_and_every_vantage_is_counted() {
        for count in [3, MAX_REPORTS + 20] {
            let output = failing(count);
            let (results, rest) = results(&output);
            let causes: HashSet<_> = results
                .iter()
                .map(|result| output.comparison.vantages[result.first].cause.as_deref())
                .collect();
            assert_eq!(causes.len(), 2, "{causes:?}");
            let named: usize = results.iter().map(|result| result.names.len()).sum();
            let unread = count - named;
            assert_eq!(unread == 0, rest.is_none());
            let words = format!("{unread} more vantages do not pass: {unread} with s3-gateway");
            assert!(rest.is_none_or(|rest| rest.starts_with(&words)));
        }
    }
}
