//! The result, `pullprobe/inspection/v1`: contacts with their hops, findings with object, rule and
//! patch, and a verdict.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::change::ConfigurationChange;
use super::evaluate::{self, EvaluatedContact};
use super::hop::{Hop, HopFault, HopKind, JudgedHop, Openness, clause};
use super::join::JoinedVantage;
use super::patch::Patch;
use super::snapshot::{Snapshot, Unread};
use crate::cause::{Cause, Family};
use crate::diagnose::Confidence;
use crate::observation::{Dependency, ObservationId};
use crate::safe_text::escape_json;
use crate::verdict::{INCONCLUSIVE, Status, Verdict, WARN};

/// Name of the inspection's schema.
pub const INSPECTION_SCHEMA: &str = "pullprobe/inspection/v1";

/// What the configuration says about a task's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Inspection {
    /// Always [`INSPECTION_SCHEMA`].
    pub schema: String,
    /// When the configuration was read, RFC 3339, UTC.
    pub read_at: String,
    /// Region of the task.
    pub region: String,
    /// Whether something in the configuration stops the task.
    pub verdict: Verdict,
    /// What stops it, in the order of a task's start.
    pub findings: Vec<InspectionFinding>,
    /// The path from each subnet to each host.
    pub contacts: Vec<InspectedContact>,
    /// Permissions that are missing, and what they would have added.
    pub unread: Vec<Unread>,
    /// The reports of probes that the findings are joined with, by subnet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packets: Vec<JoinedVantage>,
}

/// The path from one subnet to one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InspectedContact {
    /// `subnet-…`
    pub subnet: String,
    /// `vpc-…`
    pub vpc: Option<String>,
    /// Availability Zone of the subnet.
    pub availability_zone: Option<String>,
    /// Key of the plan's target, such as `ecr.api`.
    pub target: String,
    /// The dependency that the host serves.
    pub dependency: Dependency,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What the host's name resolves to, as configured.
    #[serde(default)]
    pub answer: ConfiguredAnswer,
    /// Whether the contact works as configured.
    pub verdict: Openness,
    /// The hops, in the order in which the contact passes them.
    pub hops: Vec<Hop>,
}

/// What a host's name resolves to, as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ConfiguredAnswer {
    /// The network interfaces of an interface endpoint.
    InterfaceEndpoint {
        /// `vpce-…`
        endpoint: String,
        /// Their addresses; empty if one could not be read.
        addresses: Vec<IpAddr>,
    },
    /// The public addresses of the host.
    Public,
    /// The addresses of a private hosted zone, or the host itself.
    Addresses {
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// It does not resolve.
    Nowhere,
    /// It cannot be known.
    #[default]
    Unknown,
}

/// What a finding rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Packets and configuration agree.
    Both,
    /// The configuration; packets say nothing about it.
    Configuration,
    /// Packets; the configuration says nothing about it, or could not be read.
    Packets,
    /// One of them, and the other says the opposite.
    Contradiction,
}

/// What packets and configuration say, where they contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Contradiction {
    /// What the packets say.
    pub packets: String,
    /// What the configuration says.
    pub configuration: String,
    /// Why the packets may be misleading.
    pub packets_cannot_see: String,
    /// Why the configuration may be misleading.
    pub configuration_cannot_see: String,
}

/// Something that stops the task, or some of its contacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InspectionFinding {
    /// What is wrong.
    pub cause: Cause,
    /// Its family.
    pub family: Family,
    /// The first dependency that it affects.
    pub dependency: Dependency,
    /// `certain` if packets and configuration agree. `likely` if only the configuration shows it,
    /// which proves no packet. `possible` if it rests on something that could not be read, or if
    /// packets and configuration contradict each other.
    pub confidence: Confidence,
    /// Whether the task would not start.
    pub blocking: bool,
    /// What it rests on.
    pub basis: Basis,
    /// One sentence: what is wrong.
    pub summary: String,
    /// What to change.
    pub remedy: String,
    /// ID or ARN of the object; `null` where only packets show it.
    pub object: Option<String>,
    /// Its rule, or the one that it lacks; `null` where only packets show it.
    pub rule: Option<String>,
    /// The contacts that it stops, as `subnet/target`.
    pub contacts: Vec<String>,
    /// The observations of a report that it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<ObservationId>,
    /// What packets and configuration say, where they contradict each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contradiction: Option<Contradiction>,
    /// The smallest change that opens what is closed; `null` where only a person can decide it.
    pub patch: Option<Patch>,
    /// Alternative changes, each of which is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Patch>,
}

impl Inspection {
    /// Evaluates a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        // The account completes the ARNs of the requests. A large VPC is not copied for it where
        // the plan has it.
        let mut snapshot = Cow::Borrowed(snapshot);
        if snapshot.plan.account.is_none()
            && let Some(account) = snapshot.task_account()
        {
            snapshot.to_mut().plan.account = Some(account);
        }
        let snapshot = snapshot.as_ref();
        let contacts = evaluate::contacts(snapshot);
        let findings = findings(&contacts, snapshot.plan.region.as_str());
        let contacts: Vec<_> = contacts.into_iter().map(InspectedContact::of).collect();
        let findings = with_differing_routes(findings, &contacts);
        Self {
            schema: INSPECTION_SCHEMA.to_owned(),
            read_at: snapshot.read_at.clone(),
            region: snapshot.plan.region.to_string(),
            verdict: verdict(&findings, &contacts),
            findings,
            contacts,
            unread: snapshot.unread.clone(),
            packets: Vec::new(),
        }
    }

    /// Returns the inspection as one line of JSON.
    pub fn line(&self) -> String {
        // Only strings are keys, so it can always be written.
        escape_json(serde_json::to_string(self).unwrap_or_default())
    }
}

impl InspectedContact {
    /// Returns the name by which findings list it: `subnet/target`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.subnet, self.target)
    }

    fn of(contact: EvaluatedContact<'_>) -> Self {
        Self {
            subnet: contact.subnet.to_owned(),
            vpc: contact.vpc.map(str::to_owned),
            availability_zone: contact.availability_zone.map(str::to_owned),
            target: contact.target.key.to_string(),
            dependency: contact.target.dependency,
            host: contact.target.host.clone(),
            port: contact.target.port,
            answer: contact.answer,
            verdict: contact.verdict,
            hops: contact.steps.into_iter().map(|step| step.hop).collect(),
        }
    }
}

/// A fault, collected over the contacts that have it.
struct Collected<'a> {
    hop: &'a Hop,
    fault: HopFault,
    dependency: Dependency,
    /// Place of the first target in the plan, for the order.
    first: usize,
    contacts: Vec<String>,
}

fn findings(contacts: &[EvaluatedContact<'_>], region: &str) -> Vec<InspectionFinding> {
    let mut targets: Vec<&str> = Vec::new();
    let mut collected: Vec<Collected<'_>> = Vec::new();
    for contact in contacts {
        let key = contact.target.key.as_str();
        let first = targets
            .iter()
            .position(|known| *known == key)
            .unwrap_or_else(|| {
                targets.push(key);
                targets.len() - 1
            });
        let name = format!("{}/{key}", contact.subnet);
        for JudgedHop { hop, fault } in &contact.steps {
            let Some(fault) = fault else { continue };
            let known = collected.iter_mut().find(|known| {
                known.fault.cause == fault.cause
                    && known.hop.object == hop.object
                    && known.hop.rule == hop.rule
            });
            match known {
                Some(known) => {
                    if !known.contacts.contains(&name) {
                        known.contacts.push(name.clone());
                    }
                    known.fault.blocking |= fault.blocking;
                    known.fault.is_assumed &= fault.is_assumed;
                    merge(&mut known.fault.alternatives, &fault.alternatives);
                }
                None => collected.push(Collected {
                    hop,
                    fault: fault.clone(),
                    dependency: contact.target.dependency,
                    first,
                    contacts: vec![name.clone()],
                }),
            }
        }
    }
    collected.sort_by_key(|one| {
        let fault = &one.fault;
        (!fault.blocking, fault.is_assumed, one.hop.hop, one.first)
    });
    number_acl_entries(&mut collected);
    collected
        .into_iter()
        .map(|one| one.finding(region))
        .collect()
}

/// Adds, after each finding about a missing route, the finding that another of the task's subnets
/// has that route: this is why a task starts in one subnet and not in another.
fn with_differing_routes(
    findings: Vec<InspectionFinding>,
    contacts: &[InspectedContact],
) -> Vec<InspectionFinding> {
    let mut all = Vec::new();
    for finding in findings {
        let differs = differing_route(&finding, contacts);
        all.push(finding);
        all.extend(differs);
    }
    all
}

/// Returns the finding that another route table has the missing route.
fn differing_route(
    finding: &InspectionFinding,
    contacts: &[InspectedContact],
) -> Option<InspectionFinding> {
    let is_missing_route = matches!(
        finding.cause,
        Cause::NoEgressRoute | Cause::S3GatewayMissing
    );
    let is_table = |object: &&String| is_missing_route && object.starts_with("rtb-");
    let table = finding.object.as_ref().filter(is_table)?;
    let stopped = contacts
        .iter()
        .find(|contact| finding.contacts.contains(&contact.name()))?;
    let (contact, hop) = contacts
        .iter()
        .filter(|contact| contact.target == stopped.target && contact.verdict == Openness::Open)
        .filter_map(|contact| Some((contact, open_route(contact)?)))
        .find(|(_, hop)| hop.object != *table)?;
    Some(InspectionFinding {
        cause: Cause::RouteTableDiffers,
        family: Cause::RouteTableDiffers.family(),
        summary: format!(
            "The route table {table} of {} lacks a route that {} of {} has: {}.",
            stopped.subnet, hop.object, contact.subnet, hop.rule
        ),
        remedy: Cause::RouteTableDiffers.remedy_for(finding.dependency),
        rule: Some(format!("{} has {}", hop.object, hop.rule)),
        patch: None,
        alternatives: Vec::new(),
        ..finding.clone()
    })
}

fn open_route(contact: &InspectedContact) -> Option<&Hop> {
    let mut hops = contact.hops.iter();
    hops.find(|hop| hop.hop == HopKind::Route && hop.verdict == Openness::Open)
        .filter(|hop| hop.object.starts_with("rtb-"))
}

/// Adds the changes of another contact with the same fault: each alternative then opens both.
fn merge(known: &mut [Vec<ConfigurationChange>], more: &[Vec<ConfigurationChange>]) {
    for (changes, more) in known.iter_mut().zip(more) {
        for change in more {
            let is_same = |known: &ConfigurationChange| match (known, change) {
                (
                    ConfigurationChange::CreateInterfaceEndpoint { service, .. },
                    ConfigurationChange::CreateInterfaceEndpoint { service: other, .. },
                ) => service == other,
                // Their numbers are given later.
                (
                    ConfigurationChange::AddAclEntry { cidr, ports, .. },
                    ConfigurationChange::AddAclEntry {
                        cidr: other_cidr,
                        ports: other_ports,
                        ..
                    },
                ) => (cidr, ports) == (other_cidr, other_ports),
                (known, change) => known == change,
            };
            let same = changes.iter().position(is_same);
            match (same.and_then(|at| changes.get_mut(at)), change) {
                (
                    Some(ConfigurationChange::CreateInterfaceEndpoint { subnets, .. }),
                    ConfigurationChange::CreateInterfaceEndpoint { subnets: more, .. },
                ) => {
                    for subnet in more {
                        if !subnets.contains(subnet) {
                            subnets.push(subnet.clone());
                        }
                    }
                }
                (Some(_), _) => {}
                (None, change) => changes.push(change.clone()),
            }
        }
    }
}

/// Gives each new entry of a network ACL a number of its own.
fn number_acl_entries(collected: &mut [Collected<'_>]) {
    let mut taken: Vec<(String, bool, u32)> = Vec::new();
    let alternatives = collected
        .iter_mut()
        .flat_map(|one| &mut one.fault.alternatives);
    for change in alternatives.flatten() {
        if let ConfigurationChange::AddAclEntry {
            acl,
            number,
            others,
            is_egress,
            ..
        } = change
        {
            let key = |number: u32| (acl.clone(), *is_egress, number);
            let mut free = [*number].into_iter().chain(others.iter().copied());
            let own = free.find(|number| !taken.contains(&key(*number)));
            let own = own.unwrap_or(*number);
            taken.push(key(own));
            *number = own;
        }
    }
}

impl Collected<'_> {
    fn finding(self, region: &str) -> InspectionFinding {
        let cause = self.fault.cause;
        let mut patches = self
            .fault
            .alternatives
            .iter()
            .map(|changes| Patch::of(changes, region))
            .collect::<Vec<_>>();
        let has_choice = patches.len() > 1;
        if !has_choice {
            // A price matters where there is a choice.
            for patch in &mut patches {
                patch.cost = None;
            }
        }
        let mut patches = patches.into_iter();
        let patch = patches.next();
        let remedy = match &patch {
            Some(patch) => {
                let mut title = patch.title.clone();
                if let Some(first) = title.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                format!("{title}.")
            }
            None => cause.remedy_for(self.dependency),
        };
        InspectionFinding {
            cause,
            family: cause.family(),
            dependency: self.dependency,
            confidence: if self.fault.is_assumed {
                Confidence::Possible
            } else {
                Confidence::Likely
            },
            blocking: self.fault.blocking,
            basis: Basis::Configuration,
            summary: self.hop.why.clone(),
            remedy,
            object: Some(self.hop.object.clone()),
            rule: Some(self.hop.rule.clone()),
            contacts: self.contacts,
            because: Vec::new(),
            contradiction: None,
            patch,
            alternatives: patches.collect(),
        }
    }
}

fn verdict(findings: &[InspectionFinding], contacts: &[InspectedContact]) -> Verdict {
    let of = |status, exit_code, summary| Verdict {
        status,
        exit_code,
        summary,
    };
    let is_sure = |finding: &&InspectionFinding| finding.confidence != Confidence::Possible;
    let blocking = || findings.iter().filter(|finding| finding.blocking);
    if let Some(first) = blocking().find(is_sure) {
        let summary = format!("The task would not start: {}", clause(&first.summary));
        return of(Status::Fail, first.family.exit_code(), summary);
    }
    let unknown: Vec<_> = contacts
        .iter()
        .filter(|contact| contact.verdict == Openness::Unknown)
        .collect();
    let hops = unknown.iter().flat_map(|contact| &contact.hops);
    let reason = hops
        .into_iter()
        .find(|hop| hop.verdict == Openness::Unknown);
    if let (Some(first), Some(reason)) = (blocking().next(), reason) {
        let summary = format!(
            "The task may not start: {} That depends on something that cannot be seen from here: {}",
            clause(&first.summary),
            clause(&reason.why)
        );
        return of(Status::Inconclusive, INCONCLUSIVE, summary);
    }
    if let Some(reason) = reason {
        let summary = format!(
            "Nothing that was read stops the task, but {} of {} contacts depend on something that cannot be seen from here. The first: {}",
            unknown.len(),
            contacts.len(),
            clause(&reason.why)
        );
        return of(Status::Inconclusive, INCONCLUSIVE, summary);
    }
    if let Some(first) = findings.first() {
        let would = if unknown.is_empty() { "would" } else { "may" };
        let summary = format!("The task {would} start, but {}", clause(&first.summary));
        return of(Status::Warn, WARN, summary);
    }
    if contacts.is_empty() {
        let summary = "The plan has no contacts, so there is nothing to inspect.".to_owned();
        return of(Status::Inconclusive, INCONCLUSIVE, summary);
    }
    let summary =
        "Nothing in the configuration stops the task: every hop of every contact is open.";
    of(Status::Pass, 0, summary.to_owned())
}
