//! Which reports come from the same vantage, and what that vantage is called.

use std::collections::BTreeMap;

use super::report_view::{ReportView, Text, bounded_line};
use crate::arn::Arn;

/// Where reports come from: those with equal origins are of the same vantage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The vantage's name, if no other vantage has it.
    pub name: String,
    /// What distinguishes it from others of that name, the most distinctive first.
    pub qualifiers: Vec<String>,
}

impl Origin {
    /// Returns the origin of a report. A label wins: `vantage` is a name of the user's choice,
    /// `subnet` the subnet's ID, which is unique in AWS. Without one, CIDR block and Availability
    /// Zone name the subnet; many VPCs use the same blocks, so cluster, account and Region
    /// distinguish them. What changes from run to run (task, address) or may have changed (role) is
    /// not included. `source` is the name of a report that does not tell its place.
    pub fn of(report: &ReportView<'_>, source: &str) -> Self {
        let service = label(report, "service").map(|service| format!("service {service}"));
        if let Some(name) = label(report, "vantage").or_else(|| label(report, "subnet")) {
            return Self {
                name,
                qualifiers: service.into_iter().collect(),
            };
        }
        let vantage = &report.vantage;
        let subnet = known(vantage.subnet_cidr.as_ref());
        let zone = known(vantage.availability_zone.as_ref());
        let names: Vec<String> = [subnet, zone].into_iter().flatten().collect();
        let cluster = known(vantage.cluster.as_ref()).map(|cluster| format!("cluster {cluster}"));
        let account = vantage
            .task_arn
            .as_deref()
            .and_then(account)
            .map(|account| format!("account {account}"));
        let region = known(vantage.region.as_ref());
        Self {
            name: if names.is_empty() {
                bounded_line(source)
            } else {
                names.join(" ")
            },
            qualifiers: [service, cluster, account, region]
                .into_iter()
                .flatten()
                .collect(),
        }
    }
}

impl Origin {
    /// Returns about how many bytes are kept.
    pub fn kept_bytes(&self) -> usize {
        let texts = self.qualifiers.iter().chain([&self.name]);
        let sizes = texts.map(|text| size_of_val(text) + text.len());
        sizes.sum()
    }
}

fn label(report: &ReportView<'_>, name: &str) -> Option<String> {
    let mut labels = report.run.labels.iter();
    let (_, value) = labels.find(|(key, value)| &***key == name && !value.trim().is_empty())?;
    Some(bounded_line(value))
}

fn known(text: Option<&Text<'_>>) -> Option<String> {
    text.map(|text| bounded_line(text))
        .filter(|text| !text.is_empty())
}

fn account(task_arn: &str) -> Option<String> {
    let arn: Arn = task_arn.parse().ok()?;
    (!arn.account.is_empty()).then(|| bounded_line(&arn.account))
}

/// Returns a unique name for each of these origins, which all differ: the name alone if no other
/// has it, else with the qualifiers that differ.
pub fn unique_names(origins: &[&Origin]) -> Vec<String> {
    let depth = origins
        .iter()
        .map(|origin| origin.qualifiers.len())
        .max()
        .unwrap_or(0);
    let mut names: Vec<String> = origins.iter().map(|origin| origin.name.clone()).collect();
    for n in 0..depth {
        // The qualifier of the first of each name, and whether another has a different one.
        let mut by_name: BTreeMap<String, (Option<&String>, bool)> = BTreeMap::new();
        for (origin, name) in origins.iter().zip(&names) {
            let qualifier = origin.qualifiers.get(n);
            let (first, differs) = by_name.entry(name.clone()).or_insert((qualifier, false));
            *differs |= *first != qualifier;
        }
        for (origin, name) in origins.iter().zip(&mut names) {
            let differs = by_name.get(name).is_some_and(|(_, differs)| *differs);
            if let Some(qualifier) = origin.qualifiers.get(n).filter(|_| differs) {
                *name = format!("{name}, {qualifier}");
            }
        }
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for name in &mut names {
        let twins = seen.entry(name.clone()).or_default();
        *twins += 1;
        if *twins > 1 {
            *name = format!("{name} #{twins}");
        }
    }
    names
}
