//! Which reports are of the same place, and what the place is called.

use super::report_view::Report;
use super::tidy;

/// A place: reports with the same key are of the same vantage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What it is called where nothing else is called so.
    pub name: String,
    /// What tells it from others of that name, the most telling first.
    pub more: Vec<String>,
}

impl Place {
    /// The place of a report. A label wins: `vantage` is a name of the user's own, `subnet` the
    /// subnet's id, which is unique in AWS. Without one, a subnet's range and zone name it; ranges
    /// are alike in many VPCs, so the cluster, the account and the region tell them apart. What
    /// changes from run to run (the task, its address) or is what may have changed (its role) has
    /// no part in it. Where a report knows nothing of its place, its `source` is all there is.
    pub fn of(report: &Report<'_>, source: &str) -> Self {
        let label = |name: &str| {
            let found = report
                .run
                .labels
                .iter()
                .find(|(key, value)| &***key == name && !value.trim().is_empty());
            found.map(|(_, value)| tidy(value))
        };
        let vantage = &report.vantage;
        let service = label("service").map(|service| format!("service {service}"));
        if let Some(name) = label("vantage").or_else(|| label("subnet")) {
            return Self {
                name,
                more: service.into_iter().collect(),
            };
        }
        let known = |text: &Option<super::report_view::Text<'_>>| {
            text.as_deref().map(tidy).filter(|text| !text.is_empty())
        };
        let zone = known(&vantage.availability_zone);
        let subnet = known(&vantage.subnet_cidr);
        let cluster = known(&vantage.cluster).map(|cluster| format!("cluster {cluster}"));
        let account = vantage
            .task_arn
            .as_deref()
            .and_then(account)
            .map(|account| format!("account {account}"));
        let region = known(&vantage.region);
        let names: Vec<String> = [subnet, zone].into_iter().flatten().collect();
        if names.is_empty() {
            let more = [service, cluster, account, region].into_iter().flatten();
            return Self {
                name: tidy(source),
                more: more.collect(),
            };
        }
        Self {
            name: names.join(" "),
            more: [service, cluster, account, region]
                .into_iter()
                .flatten()
                .collect(),
        }
    }
}

/// `arn:partition:ecs:region:account:task/…`.
fn account(arn: &str) -> Option<String> {
    arn.split(':')
        .nth(4)
        .filter(|account| !account.is_empty())
        .map(tidy)
}

/// Unique names for these places, which are all different: the name alone where that is enough,
/// else with what tells it from the others.
pub fn names(places: &[&Place]) -> Vec<String> {
    let longest = places
        .iter()
        .map(|place| place.more.len())
        .max()
        .unwrap_or_default();
    let mut names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
    for n in 0..longest {
        let before = names.clone();
        let rivals = |i: usize| {
            (0..places.len())
                .filter(|&j| j != i && before[j] == before[i])
                .collect::<Vec<_>>()
        };
        for (i, place) in places.iter().enumerate() {
            // Only what differs is worth a reader's time.
            if let Some(part) = place.more.get(n)
                && rivals(i)
                    .iter()
                    .any(|&j| places[j].more.get(n) != Some(part))
            {
                names[i] = format!("{}, {part}", names[i]);
            }
        }
    }
    for i in 0..names.len() {
        let twins = names[..i].iter().filter(|name| **name == names[i]).count();
        if twins > 0 {
            names[i] = format!("{} #{}", names[i], twins + 1);
        }
    }
    names
}
