//! Joins what packets show with what the configuration says. Pure.
//!
//! Packets prove that something on the path is closed, but not which object closes it; the
//! configuration names the object, but proves no packet. For each finding there are four cases:
//!
//! - Both show it: the finding is certain, with object and rule.
//! - They contradict each other: both are reported, with what each cannot show, and neither is
//!   certain.
//! - Only packets show it, and the configuration proves that every hop is open: the cause is ruled
//!   out, with the object as the reason, if another finding explains what the packets show.
//!   Otherwise that is a contradiction, and the cause stays.
//! - The other side shows nothing: the finding stays as it was. What is unknown rules nothing out.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::hop::{Hop, HopKind, Openness, clause};
use super::inspection::{
    Basis, ConfiguredAnswer, Contradiction, InspectedContact, Inspection, InspectionFinding,
};
use crate::cause::{Cause, Family};
use crate::diagnose::{Confidence, Finding, RuledOut};
use crate::evidence::{Evidence, ids};
use crate::observation::{Failure, Observation, ObservationId, Phase, Scope, Tries};
use crate::verdict::{INCONCLUSIVE, Status, Verdict, WARN};

/// The report of a probe in one of the inspected subnets.
#[derive(Debug, Clone, Copy)]
pub struct PacketReport<'a> {
    /// `subnet-…`
    pub subnet: &'a str,
    /// ID of the run.
    pub run: &'a str,
    /// When the packets were sent, RFC 3339.
    pub probed_at: &'a str,
    /// The report's own verdict.
    pub verdict: &'a Verdict,
    /// Its findings.
    pub findings: &'a [Finding],
    /// Causes that its observations exclude.
    pub ruled_out: &'a [RuledOut],
    /// Its observations.
    pub observations: &'a [Observation],
    /// Whether the task execution role signed the probe's requests. Only then do they show anything
    /// about that role.
    pub is_signed_by_role: bool,
}

/// What the configuration and the packets of one subnet say together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JoinedVantage {
    /// `subnet-…`
    pub subnet: String,
    /// ID of the run.
    pub run: String,
    /// When the packets were sent, RFC 3339.
    pub probed_at: String,
    /// Whether the task would start, by both.
    pub verdict: Verdict,
    /// What is wrong, ranked: what stops the task first, then by confidence.
    pub findings: Vec<InspectionFinding>,
    /// Causes that the packets leave open and the configuration excludes.
    pub ruled_out: Vec<RuledOutByObject>,
}

/// A cause that the packets leave open and the configuration excludes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuledOutByObject {
    /// What is not wrong.
    pub cause: Cause,
    /// IDs of the objects that are open.
    pub objects: Vec<String>,
    /// The rule of the first object.
    pub rule: String,
    /// Why it is open, in one sentence.
    pub why: String,
    /// The observations for which packets alone could not exclude it.
    pub because: Vec<ObservationId>,
}

impl Inspection {
    /// Returns the inspection of the subnets that have reports, joined with these.
    #[must_use]
    pub fn joined_with(mut self, reports: &[PacketReport<'_>]) -> Self {
        let joined: Vec<_> = reports
            .iter()
            .map(|report| Vantage::new(&self, report).join())
            .collect();
        let Some(worst) = joined
            .iter()
            .max_by_key(|vantage| vantage.verdict.status)
            .map(|vantage| vantage.verdict.clone())
        else {
            return self;
        };
        let mut findings = merged(&joined);
        rank(&mut findings);
        self.findings = findings;
        self.contacts
            .retain(|contact| joined.iter().any(|one| one.subnet == contact.subnet));
        self.verdict = worst;
        self.packets = joined;
        self
    }
}

/// Returns the findings of all vantages, each once.
fn merged(vantages: &[JoinedVantage]) -> Vec<InspectionFinding> {
    let mut all: Vec<InspectionFinding> = Vec::new();
    for finding in vantages.iter().flat_map(|vantage| &vantage.findings) {
        let known = all.iter_mut().find(|known| {
            (known.cause, known.basis, &known.object, &known.rule)
                == (finding.cause, finding.basis, &finding.object, &finding.rule)
        });
        let Some(known) = known else {
            all.push(finding.clone());
            continue;
        };
        known.blocking |= finding.blocking;
        known.confidence = known.confidence.max(finding.confidence);
        add_new(&mut known.contacts, &finding.contacts);
        add_new(&mut known.because, &finding.because);
    }
    all
}

/// Adds the items that a list does not have.
fn add_new<'a, T: Clone + PartialEq + 'a>(
    list: &mut Vec<T>,
    items: impl IntoIterator<Item = &'a T>,
) {
    for item in items {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// Sorts findings: what stops the task, then what packets show, then by confidence, then what has
/// an object.
fn rank(findings: &mut [InspectionFinding]) {
    findings.sort_by_key(|finding| {
        (
            !finding.blocking,
            finding.basis == Basis::Configuration,
            Reverse(finding.confidence),
            finding.object.is_none(),
        )
    });
}

/// Returns the hops that decide whether a cause holds; none where no configuration shows it.
/// Whether a resolver answers, and what the policies of the organization allow, is not in what is
/// read.
const fn hops_of(cause: Cause) -> &'static [HopKind] {
    match cause {
        Cause::PrivateZoneShadowsName | Cause::NameNotFound | Cause::NamePointsElsewhere => {
            &[HopKind::Name]
        }
        Cause::InterfaceEndpointMissing | Cause::PrivateDnsDisabled => {
            &[HopKind::Name, HopKind::Route]
        }
        Cause::S3GatewayMissing
        | Cause::NoEgressRoute
        | Cause::PublicIpMissing
        | Cause::NatGatewayUnhealthy
        | Cause::VpcBlockPublicAccess
        | Cause::RouteTableDiffers => &[HopKind::Route],
        Cause::TaskSecurityGroupEgress => &[HopKind::SecurityGroup],
        Cause::NetworkAcl => &[HopKind::NetworkAcl],
        Cause::EndpointSecurityGroup => &[HopKind::EndpointSecurityGroup],
        Cause::EndpointPolicyDenies | Cause::S3EndpointPolicyDenies => &[HopKind::EndpointPolicy],
        Cause::IdentityPolicyMissingAction
        | Cause::IdentityPolicyDenies
        | Cause::PermissionsBoundaryDenies => &[HopKind::RolePolicy],
        Cause::ResourcePolicyDenies => &[HopKind::ResourcePolicy],
        Cause::RoleNotAssumable => &[HopKind::TrustPolicy],
        Cause::RepositoryNotFound
        | Cause::ImageNotFound
        | Cause::SecretNotFound
        | Cause::ParameterNotFound
        | Cause::LogGroupMissing => &[HopKind::Object],
        _ => &[],
    }
}

/// What packets show if a cause holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Symptom {
    /// No query is answered.
    ResolverSilent,
    /// The name does not resolve.
    NameNotFound,
    /// Connections are not answered.
    NoResponse,
    /// The service denies the request.
    Denied,
    /// The service does not know the object.
    Missing,
    /// Amazon ECS cannot assume the role.
    NotAssumed,
    /// Nothing that a probe sees.
    None,
}

const fn symptom(cause: Cause) -> Symptom {
    match cause {
        Cause::ResolverUnreachable => Symptom::ResolverSilent,
        Cause::PrivateZoneShadowsName | Cause::NameNotFound => Symptom::NameNotFound,
        Cause::RoleNotAssumable => Symptom::NotAssumed,
        _ => match cause.family() {
            Family::Network => Symptom::NoResponse,
            Family::Permission => Symptom::Denied,
            Family::Image | Family::Secret | Family::Logs => Symptom::Missing,
            _ => Symptom::None,
        },
    }
}

/// Actions of a role that a probe does not make when all goes well.
const NOT_EXERCISED: [&str; 2] = ["logs:CreateLogGroup", "s3:GetBucketLocation"];

/// What packets show about a fault of the configuration at one contact.
enum PacketEvidence {
    Shows(Vec<ObservationId>),
    Refutes(Vec<ObservationId>),
    Nothing,
}

/// A finding of the configuration that packets confirm.
struct Confirmed {
    finding: InspectionFinding,
    /// The closed hops.
    kinds: BTreeSet<HopKind>,
    shows: Vec<ObservationId>,
}

/// What the configuration says about an observation that a finding of the packets rests on.
enum Configured<'a> {
    /// A confirmed finding closes the same hop.
    Covered(usize),
    Open(Vec<&'a Hop>),
    Unknown,
}

struct Vantage<'a> {
    inspection: &'a Inspection,
    report: &'a PacketReport<'a>,
    evidence: Evidence<'a>,
    contacts: Vec<&'a InspectedContact>,
}

impl<'a> Vantage<'a> {
    fn new(inspection: &'a Inspection, report: &'a PacketReport<'a>) -> Self {
        let contacts = inspection.contacts.iter();
        Self {
            inspection,
            report,
            evidence: Evidence::new(report.observations),
            contacts: contacts
                .filter(|contact| contact.subnet == report.subnet)
                .collect(),
        }
    }

    fn join(&self) -> JoinedVantage {
        let (mut confirmed, mut others) = self.of_configuration();
        let (of_packets, ruled_out) = self.of_packets(&mut confirmed);
        let mut findings: Vec<_> = confirmed.into_iter().map(|one| one.finding).collect();
        findings.append(&mut others);
        findings.extend(of_packets);
        rank(&mut findings);
        JoinedVantage {
            subnet: self.report.subnet.to_owned(),
            run: self.report.run.to_owned(),
            probed_at: self.report.probed_at.to_owned(),
            verdict: self.verdict(&findings),
            findings,
            ruled_out,
        }
    }

    /// Whether an observation is about a contact: by its target, or, where its target is of no
    /// contact, as in the text of a stopped task, by its dependency.
    fn is_about(&self, seen: &Observation, contact: &InspectedContact) -> bool {
        let key = seen.target().as_str();
        key == contact.target
            || (seen.dependency == contact.dependency
                && !self.contacts.iter().any(|other| other.target == key))
    }

    /// Whether an ID is of an observation about a contact, which the report may lack.
    fn names(&self, id: &ObservationId, contact: &InspectedContact) -> bool {
        match self.observation(id) {
            Some(seen) => self.is_about(seen, contact),
            None => id.target.as_str() == contact.target,
        }
    }

    fn contacts_of(&self, id: &ObservationId) -> impl Iterator<Item = &'a InspectedContact> {
        let contacts = self.contacts.iter().copied();
        contacts.filter(|contact| self.names(id, contact))
    }

    fn seen_at(&self, contact: &'a InspectedContact) -> impl Iterator<Item = &'a Observation> {
        self.evidence
            .all()
            .filter(move |seen| self.is_about(seen, contact))
    }

    /// Joins the findings of the configuration with what packets show: those that packets confirm,
    /// and the others.
    fn of_configuration(&self) -> (Vec<Confirmed>, Vec<InspectionFinding>) {
        let (mut confirmed, mut others) = (Vec::new(), Vec::new());
        for known in &self.inspection.findings {
            let named = |contact: &&&InspectedContact| known.contacts.contains(&contact.name());
            let contacts: Vec<_> = self.contacts.iter().filter(named).copied().collect();
            if contacts.is_empty() {
                continue;
            }
            let mut finding = known.clone();
            finding.contacts = contacts.iter().map(|contact| contact.name()).collect();
            let mut kinds = BTreeSet::new();
            let (mut shows, mut refutes, mut differs) = (Vec::new(), Vec::new(), None);
            for &contact in &contacts {
                let kind = closed_hop(contact, known).map(|hop| hop.hop);
                kinds.extend(kind);
                if kind.is_some_and(|kind| kind <= HopKind::EndpointPolicy) {
                    differs = differs.or_else(|| self.other_address(contact));
                }
                match self.packet_evidence(known, contact) {
                    PacketEvidence::Shows(ids) => shows.extend(ids),
                    PacketEvidence::Refutes(ids) => refutes.extend(ids),
                    PacketEvidence::Nothing => {}
                }
            }
            let mut ruled_out = self.report.ruled_out.iter();
            let excluded = ruled_out.find(|ruled| ruled.cause == known.cause);
            if let Some((said, ids)) = differs {
                others.push(contradicted(finding, said, ids));
            } else if !refutes.is_empty() {
                let said = self.passed_observations(&refutes);
                // What lets a task start does not block it.
                finding.blocking = false;
                others.push(contradicted(finding, said, refutes));
            } else if shows.is_empty() {
                others.push(finding);
            } else if let Some(ruled) = excluded {
                let said = format!("The packets exclude {}.", known.cause);
                others.push(contradicted(finding, said, ruled.because.clone()));
            } else {
                finding.basis = Basis::Both;
                // What lets a task start does not block it.
                finding.blocking &=
                    !matches!(self.report.verdict.status, Status::Pass | Status::Warn);
                finding.because.clone_from(&shows);
                // What rests on something unread, or on timeouts of a starved probe, is not
                // certain.
                let rests_on_time = self.evidence.is_starved()
                    && shows.iter().all(|id| {
                        self.observation(id)
                            .is_some_and(Observation::depends_on_time)
                    });
                // Packets show which address a name has, where the configuration could only assume
                // it.
                let is_assumed = known.confidence == Confidence::Possible
                    && !contacts
                        .iter()
                        .all(|contact| self.reached_configured_address(contact));
                let is_sure = !is_assumed && !rests_on_time;
                finding.confidence = if is_sure {
                    Confidence::Certain
                } else {
                    Confidence::Likely
                };
                confirmed.push(Confirmed {
                    finding,
                    kinds,
                    shows,
                });
            }
        }
        (confirmed, others)
    }

    fn passed_observations(&self, ids: &[ObservationId]) -> String {
        let shown: Vec<_> = ids.iter().take(3).map(ToString::to_string).collect();
        format!(
            "Packets passed at {}: {}.",
            self.report.probed_at,
            shown.join(", ")
        )
    }

    /// Returns what packets show about a fault of the configuration at a contact.
    fn packet_evidence(
        &self,
        fault: &InspectionFinding,
        contact: &'a InspectedContact,
    ) -> PacketEvidence {
        let resolved = || self.seen_at(contact).filter(|o| o.phase == Phase::Resolve);
        let failed_with = |failures: &[Failure]| {
            ids(resolved().filter(|seen| seen.failure().is_some_and(|how| failures.contains(&how))))
        };
        let by_name = |shows: Vec<ObservationId>| {
            if shows.is_empty() {
                refutes(ids(resolved().filter(|seen| seen.passed())))
            } else {
                PacketEvidence::Shows(shows)
            }
        };
        match symptom(fault.cause) {
            Symptom::None => PacketEvidence::Nothing,
            Symptom::ResolverSilent => {
                by_name(failed_with(&[Failure::TimedOut, Failure::Unreachable]))
            }
            Symptom::NameNotFound => {
                by_name(failed_with(&[Failure::NoSuchName, Failure::NoAddress]))
            }
            Symptom::NoResponse => self.silence(fault, contact),
            Symptom::Denied | Symptom::Missing => self.exchanges(fault, contact),
            Symptom::NotAssumed => match self.finding_of(fault.cause, contact) {
                Some(found) => PacketEvidence::Shows(found.because.clone()),
                // A request that the role signed proves that it was assumed.
                None if self.report.is_signed_by_role => refutes(ids(self
                    .evidence
                    .all()
                    .filter(|seen| seen.passed() && seen.phase.is_exchange())
                    .take(1))),
                None => PacketEvidence::Nothing,
            },
        }
    }

    fn silence(&self, fault: &InspectionFinding, contact: &'a InspectedContact) -> PacketEvidence {
        let targets = self.evidence.targets();
        let of_contact = || {
            targets.iter().filter(|target| {
                let mut all = target.silent.iter().chain(&target.answering);
                all.any(|seen| self.is_about(seen, contact))
            })
        };
        let silent: Vec<&Observation> = of_contact()
            .flat_map(|target| target.silent.iter().copied())
            .collect();
        let answering: Vec<&Observation> = of_contact()
            .flat_map(|target| target.answering.iter().copied())
            .collect();
        // IPv6 has its own routes and rules, and shows nothing about those of IPv4.
        let is_ipv4 = |seen: &&Observation| seen.peer.is_none_or(|peer| peer.is_ipv4());
        let is_split = silent.iter().all(is_ipv4) && !answering.iter().any(is_ipv4);
        if !silent.is_empty() && is_split {
            return PacketEvidence::Shows(ids(silent));
        }
        // A fault that stops some connections only.
        if !fault.blocking {
            let partly = answering.into_iter().filter(|seen| is_partly_silent(seen));
            let shows = ids(silent.into_iter().chain(partly));
            return if shows.is_empty() {
                PacketEvidence::Nothing
            } else {
                PacketEvidence::Shows(shows)
            };
        }
        // An intermediary may answer in the service's place, but not before the packets have left
        // the subnet.
        let identified = self
            .seen_at(contact)
            .any(|seen| seen.phase == Phase::Handshake && seen.passed());
        let hop = closed_hop(contact, fault).map(|hop| hop.hop);
        let is_near = matches!(hop, Some(HopKind::SecurityGroup | HopKind::NetworkAcl));
        if identified || is_near {
            refutes(ids(answering))
        } else {
            PacketEvidence::Nothing
        }
    }

    fn exchanges(
        &self,
        fault: &InspectionFinding,
        contact: &'a InspectedContact,
    ) -> PacketEvidence {
        let is_by_role = hops_of(fault.cause)
            .iter()
            .any(|kind| matches!(kind, HopKind::RolePolicy | HopKind::ResourcePolicy));
        let found = self.finding_of(fault.cause, contact).or_else(|| {
            let is_denial = symptom(fault.cause) == Symptom::Denied;
            // The text of the denial names no policy.
            let unnamed = || self.finding_of(Cause::PermissionDenied, contact);
            is_denial.then(unnamed).flatten()
        });
        if let Some(found) = found {
            let about = |id: &&ObservationId| {
                self.observation(id)
                    .is_none_or(|seen| self.is_about(seen, contact))
            };
            let because: Vec<_> = found.because.iter().filter(about).cloned().collect();
            return if symptom(fault.cause) == Symptom::Missing {
                self.about_object(fault, contact, because)
            } else {
                PacketEvidence::Shows(because)
            };
        }
        if is_by_role && !self.report.is_signed_by_role {
            return PacketEvidence::Nothing;
        }
        let rule = fault.rule.as_deref().unwrap_or_default();
        if NOT_EXERCISED.iter().any(|action| rule.contains(action)) {
            return PacketEvidence::Nothing;
        }
        let exchanges: Vec<_> = self
            .seen_at(contact)
            .filter(|seen| seen.phase.is_exchange())
            .collect();
        let all_passed = exchanges
            .iter()
            .all(|seen| seen.passed() && seen.is_of_the_service());
        if all_passed {
            refutes(ids(exchanges))
        } else {
            PacketEvidence::Nothing
        }
    }

    /// Keeps the observations that are about the object of a fault: a host serves many.
    fn about_object(
        &self,
        fault: &InspectionFinding,
        contact: &InspectedContact,
        because: Vec<ObservationId>,
    ) -> PacketEvidence {
        let object = fault.object.as_deref().unwrap_or_default();
        let is_same = |id: &&ObservationId| {
            let seen = self.observation(id);
            let subject = seen.and_then(|seen| seen.subject.as_deref());
            names_same_object(object, subject.unwrap_or(&id.subject))
        };
        let same: Vec<_> = because.iter().filter(is_same).cloned().collect();
        if !same.is_empty() {
            return PacketEvidence::Shows(same);
        }
        let objects = contact.hops.iter().filter(|hop| hop.hop == HopKind::Object);
        let closed = objects.filter(|hop| hop.verdict == Openness::Closed);
        let is_unnamed = |id: &ObservationId| {
            let seen = self.observation(id);
            seen.is_none_or(|seen| seen.subject.is_none()) && id.subject.is_empty()
        };
        if closed.count() == 1 && because.iter().all(is_unnamed) {
            PacketEvidence::Shows(because)
        } else {
            PacketEvidence::Nothing
        }
    }

    /// Returns the packets' finding of a cause at a contact.
    fn finding_of(&self, cause: Cause, contact: &InspectedContact) -> Option<&'a Finding> {
        let is_same = |finding: &&Finding| {
            finding.cause == cause && finding.because.iter().any(|id| self.names(id, contact))
        };
        self.report.findings.iter().find(is_same)
    }

    fn observation(&self, id: &ObservationId) -> Option<&'a Observation> {
        self.report.observations.iter().find(|seen| &seen.id == id)
    }

    /// Returns what packets show, if they went to another address than the configured one of the
    /// name.
    fn other_address(&self, contact: &'a InspectedContact) -> Option<(String, Vec<ObservationId>)> {
        let connects = self
            .seen_at(contact)
            .filter(|seen| seen.phase == Phase::Connect);
        let differs = |seen: &&Observation| {
            let Some(peer) = seen.peer.map(|peer| peer.ip()) else {
                return false;
            };
            let is_private = matches!(seen.scope, Some(Scope::SameSubnet | Scope::Private));
            let is_listed = |addresses: &[std::net::IpAddr]| {
                let mut same = addresses
                    .iter()
                    .filter(|address| address.is_ipv4() == peer.is_ipv4())
                    .peekable();
                same.peek().is_none() || same.any(|address| *address == peer)
            };
            match &contact.answer {
                ConfiguredAnswer::InterfaceEndpoint { addresses, .. } => {
                    !is_private || !is_listed(addresses)
                }
                ConfiguredAnswer::Addresses { addresses } => !is_listed(addresses),
                ConfiguredAnswer::Public => is_private,
                ConfiguredAnswer::Nowhere | ConfiguredAnswer::Unknown => false,
            }
        };
        let other: Vec<_> = connects.filter(differs).collect();
        let peer = other.first()?.peer?.ip();
        let expected = match &contact.answer {
            ConfiguredAnswer::InterfaceEndpoint { endpoint, .. } => {
                format!("the interface endpoint {endpoint}")
            }
            ConfiguredAnswer::Public => "public addresses".to_owned(),
            _ => "other addresses".to_owned(),
        };
        let said = format!(
            "{} resolved to {peer} at {}, but as configured it resolves to {expected}.",
            contact.host, self.report.probed_at
        );
        Some((said, ids(other)))
    }

    /// Whether packets went to exactly the configured addresses of the name.
    fn reached_configured_address(&self, contact: &'a InspectedContact) -> bool {
        let mut connects = self
            .seen_at(contact)
            .filter(|seen| seen.phase == Phase::Connect && seen.peer.is_some());
        let is_exact = match &contact.answer {
            ConfiguredAnswer::Public => true,
            ConfiguredAnswer::InterfaceEndpoint { addresses, .. }
            | ConfiguredAnswer::Addresses { addresses } => !addresses.is_empty(),
            ConfiguredAnswer::Nowhere | ConfiguredAnswer::Unknown => false,
        };
        is_exact && connects.next().is_some() && self.other_address(contact).is_none()
    }

    /// Joins the findings of the packets with the configuration: those that stay, and those that it
    /// rules out. What a confirmed finding covers becomes a part of it.
    fn of_packets(
        &self,
        confirmed: &mut [Confirmed],
    ) -> (Vec<InspectionFinding>, Vec<RuledOutByObject>) {
        let (mut stay, mut open) = (Vec::new(), Vec::new());
        for finding in self.report.findings {
            let failed: Vec<&ObservationId> = finding
                .because
                .iter()
                .filter(|id| self.observation(id).is_none_or(is_failed))
                .collect();
            let states: Vec<_> = failed
                .iter()
                .map(|id| self.configured(finding, id, confirmed))
                .collect();
            let is_known = |state: &Configured<'_>| !matches!(state, Configured::Unknown);
            if states.is_empty() || !states.iter().all(is_known) {
                stay.push(finding);
                continue;
            }
            let covering: BTreeSet<usize> = states
                .iter()
                .filter_map(|state| match state {
                    Configured::Covered(at) => Some(*at),
                    _ => None,
                })
                .collect();
            for at in &covering {
                if let Some(one) = confirmed.get_mut(*at) {
                    one.finding.blocking |= finding.blocking;
                    add_new(&mut one.finding.because, &finding.because);
                }
            }
            if covering.is_empty() {
                let hops = states.into_iter().flat_map(|state| match state {
                    Configured::Open(hops) => hops,
                    _ => Vec::new(),
                });
                open.push((finding, failed, hops.collect::<Vec<_>>()));
            }
        }
        let explained: BTreeSet<String> = confirmed
            .iter()
            .flat_map(|one| &one.shows)
            .chain(
                stay.iter()
                    .filter(|finding| finding.blocking)
                    .flat_map(|finding| &finding.because),
            )
            .map(ToString::to_string)
            .collect();
        let certain: BTreeSet<String> = confirmed
            .iter()
            .filter(|one| one.finding.confidence == Confidence::Certain)
            .flat_map(|one| &one.shows)
            .map(ToString::to_string)
            .collect();
        let mut findings = Vec::new();
        let mut ruled_out = Vec::new();
        for finding in stay {
            let is_explained = |id: &&ObservationId| {
                self.observation(id).is_some_and(|seen| !is_failed(seen))
                    || certain.contains(&id.to_string())
            };
            let mut joined = self.of_packets_alone(finding);
            if finding.confidence != Confidence::Certain
                && !certain.is_empty()
                && finding.because.iter().all(|id| is_explained(&id))
            {
                joined.confidence = Confidence::Possible;
            }
            findings.push(joined);
        }
        for (finding, failed, hops) in open {
            let has_other = failed.iter().all(|id| explained.contains(&id.to_string()));
            if has_other && finding.confidence != Confidence::Certain {
                ruled_out.push(RuledOutByObject::new(finding, &hops));
            } else {
                findings.push(self.contradicted_by_open_hops(finding, &hops));
            }
        }
        (findings, ruled_out)
    }

    /// Returns what the configuration says about an observation that a finding rests on.
    fn configured(
        &self,
        finding: &Finding,
        id: &ObservationId,
        confirmed: &[Confirmed],
    ) -> Configured<'a> {
        let kinds = hops_of(finding.cause);
        let mut contacts = self.contacts_of(id);
        let Some(contact) = contacts.next() else {
            return Configured::Unknown;
        };
        let covers = |one: &Confirmed| {
            let is_same = one.finding.cause == finding.cause
                || one.kinds.iter().any(|kind| kinds.contains(kind))
                || (finding.cause == Cause::PermissionDenied
                    && symptom(one.finding.cause) == Symptom::Denied);
            is_same && one.finding.contacts.contains(&contact.name())
        };
        if let Some(at) = confirmed.iter().position(covers) {
            return Configured::Covered(at);
        }
        if kinds.is_empty() || contacts.next().is_some() {
            return Configured::Unknown;
        }
        let is_of_network = kinds.iter().all(|kind| *kind <= HopKind::EndpointPolicy);
        let name = contact.hops.iter().find(|hop| hop.hop == HopKind::Name);
        let is_address_known = self.reached_configured_address(contact)
            || name.is_some_and(|hop| hop.verdict == Openness::Open)
                && self.other_address(contact).is_none();
        if is_of_network && !is_address_known {
            return Configured::Unknown;
        }
        // Only AWS's own zone of an endpoint cannot be stale.
        if finding.cause == Cause::NamePointsElsewhere
            && !matches!(contact.answer, ConfiguredAnswer::InterfaceEndpoint { .. })
        {
            return Configured::Unknown;
        }
        if !is_of_network && !self.report.is_signed_by_role {
            return Configured::Unknown;
        }
        let hops: Vec<&Hop> = contact
            .hops
            .iter()
            .filter(|hop| kinds.contains(&hop.hop))
            .collect();
        let has_each = kinds
            .iter()
            .all(|kind| hops.iter().any(|hop| hop.hop == *kind));
        if has_each && hops.iter().all(|hop| hop.verdict == Openness::Open) {
            Configured::Open(hops)
        } else {
            Configured::Unknown
        }
    }

    fn of_packets_alone(&self, finding: &Finding) -> InspectionFinding {
        let mut contacts = Vec::new();
        for id in &finding.because {
            let named = self.contacts_of(id).map(InspectedContact::name);
            add_new(&mut contacts, &named.collect::<Vec<_>>());
        }
        InspectionFinding {
            cause: finding.cause,
            family: finding.family,
            dependency: finding.dependency,
            confidence: finding.confidence,
            blocking: finding.blocking,
            basis: Basis::Packets,
            summary: finding.summary.clone(),
            remedy: finding.remedy.clone(),
            object: None,
            rule: None,
            contacts,
            because: finding.because.clone(),
            contradiction: None,
            patch: None,
            alternatives: Vec::new(),
        }
    }

    /// Returns a finding of the packets that the configuration contradicts and that nothing else
    /// explains. It names no object: each is open.
    fn contradicted_by_open_hops(&self, finding: &Finding, hops: &[&Hop]) -> InspectionFinding {
        let mut joined = self.of_packets_alone(finding);
        joined.basis = Basis::Contradiction;
        joined.confidence = match finding.confidence {
            Confidence::Certain => Confidence::Likely,
            _ => Confidence::Possible,
        };
        let (objects, first) = objects_of(hops);
        joined.contradiction = Some(Contradiction {
            packets: finding.summary.clone(),
            configuration: format!(
                "As read at {}, {} is open: {}",
                self.inspection.read_at,
                objects.join(", "),
                first.map(|hop| hop.why.as_str()).unwrap_or_default()
            ),
            packets_cannot_see: cannot_be_seen_by_packets(finding.cause).to_owned(),
            configuration_cannot_see: CANNOT_BE_SEEN_BY_CONFIGURATION.to_owned(),
        });
        joined
    }

    fn verdict(&self, findings: &[InspectionFinding]) -> Verdict {
        let packets = self.report.verdict;
        let of = |status, exit_code, summary| Verdict {
            status,
            exit_code,
            summary,
        };
        let first = findings.iter().find(|finding| finding.blocking);
        let is_contradicted = |finding: &&InspectionFinding| finding.basis == Basis::Contradiction;
        match (packets.status, first) {
            (Status::Fail, Some(first)) => {
                let what = clause(first.summary.trim_end_matches('.'));
                let summary = match (&first.contradiction, first.confidence) {
                    (Some(said), _) => format!(
                        "The task would not start, but the reason is not known: packets show that {what}, and {}",
                        clause(&said.configuration)
                    ),
                    (None, Confidence::Certain) if first.basis == Basis::Both => format!(
                        "The task would not start, because {what}. Packets and configuration agree."
                    ),
                    (None, Confidence::Certain) => {
                        format!("The task would not start, because {what}.")
                    }
                    (None, Confidence::Likely) => {
                        format!("The task would not start, most likely because {what}.")
                    }
                    (None, Confidence::Possible) => {
                        format!("The task would not start, possibly because {what}.")
                    }
                };
                of(Status::Fail, first.family.exit_code(), summary)
            }
            (Status::Pass | Status::Warn, _) => {
                let Some(said) = findings.iter().find(is_contradicted) else {
                    let only_configured = findings
                        .iter()
                        .find(|finding| finding.blocking && finding.basis == Basis::Configuration);
                    return match only_configured {
                        Some(finding) if packets.status == Status::Pass => of(
                            Status::Warn,
                            WARN,
                            format!(
                                "The task would start as far as packets show, but the configuration says: {}",
                                finding.summary
                            ),
                        ),
                        _ => packets.clone(),
                    };
                };
                let summary = format!(
                    "The task would start, because packets pass, but the configuration says otherwise: {}",
                    said.summary
                );
                of(Status::Warn, WARN, summary)
            }
            (Status::Inconclusive, Some(first))
                if first.basis != Basis::Contradiction
                    && first.confidence != Confidence::Possible =>
            {
                let summary = format!(
                    "The task would not start as it is configured: {}",
                    first.summary
                );
                of(Status::Fail, first.family.exit_code(), summary)
            }
            (Status::Inconclusive, _) => {
                of(Status::Inconclusive, INCONCLUSIVE, packets.summary.clone())
            }
            (Status::Fail, None) => packets.clone(),
        }
    }
}

/// What no configuration shows.
const CANNOT_BE_SEEN_BY_CONFIGURATION: &str = "The configuration does not show a device or a host that does not answer, a \
    firewall on a host, or a change between the probe and the reading of the configuration.";

/// Returns what no packet shows about a cause.
const fn cannot_be_seen_by_packets(cause: Cause) -> &'static str {
    match symptom(cause) {
        Symptom::NoResponse => {
            "Packets do not show which rule or route drops them, or whether anything drops them: they only go unanswered."
        }
        Symptom::ResolverSilent | Symptom::NameNotFound => {
            "Packets do not show which zone or rule an answer comes from, and an answer may be cached."
        }
        _ => "Packets show one request at one time, and not the policy that allows or denies it.",
    }
}

/// Whether the ID or ARN of an object and the subject of an observation name the same: each may
/// have parts that the other lacks.
fn names_same_object(object: &str, subject: &str) -> bool {
    const KINDS: [&str; 4] = ["repository/", "parameter/", "log-group:", "secret:"];
    let name = KINDS
        .iter()
        .find_map(|kind| object.rsplit_once(kind))
        .map_or(object, |(_, name)| name);
    let (name, subject) = (name.trim_end_matches(":*"), subject.trim_start_matches('/'));
    let name = name.trim_start_matches('/');
    !name.is_empty() && !subject.is_empty() && (name.contains(subject) || subject.contains(name))
}

/// Returns a finding of the configuration that packets contradict.
fn contradicted(
    mut finding: InspectionFinding,
    packets: String,
    because: Vec<ObservationId>,
) -> InspectionFinding {
    finding.basis = Basis::Contradiction;
    finding.confidence = Confidence::Possible;
    finding.because = because;
    finding.contradiction = Some(Contradiction {
        packets,
        configuration: finding.summary.clone(),
        packets_cannot_see: cannot_be_seen_by_packets(finding.cause).to_owned(),
        configuration_cannot_see: CANNOT_BE_SEEN_BY_CONFIGURATION.to_owned(),
    });
    finding
}

impl RuledOutByObject {
    fn new(finding: &Finding, hops: &[&Hop]) -> Self {
        let (objects, first) = objects_of(hops);
        Self {
            cause: finding.cause,
            objects,
            rule: first.map(|hop| hop.rule.clone()).unwrap_or_default(),
            why: first.map(|hop| hop.why.clone()).unwrap_or_default(),
            because: finding.because.clone(),
        }
    }
}

/// Returns the closed hop of a finding at a contact.
fn closed_hop<'a>(contact: &'a InspectedContact, finding: &InspectionFinding) -> Option<&'a Hop> {
    contact.hops.iter().find(|hop| {
        hop.verdict == Openness::Closed
            && Some(&hop.object) == finding.object.as_ref()
            && (Some(&hop.rule) == finding.rule.as_ref()
                || finding.cause == Cause::RouteTableDiffers)
    })
}

/// Returns the objects of hops, each once, and the first hop.
fn objects_of<'a>(hops: &[&'a Hop]) -> (Vec<String>, Option<&'a Hop>) {
    let mut objects = Vec::new();
    let named = hops.iter().map(|hop| &hop.object);
    add_new(&mut objects, named.filter(|object| !object.is_empty()));
    (objects, hops.first().copied())
}

fn refutes(ids: Vec<ObservationId>) -> PacketEvidence {
    if ids.is_empty() {
        PacketEvidence::Nothing
    } else {
        PacketEvidence::Refutes(ids)
    }
}

/// Whether some connections to an address were not answered.
fn is_partly_silent(seen: &Observation) -> bool {
    let by_port = seen.source_ports.as_ref();
    by_port.is_some_and(|ports| !ports.silent.is_empty())
        || seen.tries.is_some_and(Tries::are_mixed)
}

/// Whether an observation shows a failure, at some try at least.
fn is_failed(seen: &Observation) -> bool {
    seen.failure().is_some() || is_partly_silent(seen)
}
