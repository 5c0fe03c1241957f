//! Read-only queries over observations: the language in which rules are written.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::observation::{
    Dependency, Failure, Observation, ObservationId, Outcome, Phase, Scope, Starvation, TargetKey,
};

/// Observations that rules can query.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    observations: &'a [Observation],
}

/// The network paths on which security groups, network ACLs and routes act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NetworkPath {
    /// To an address inside the VPC, such as an interface endpoint's.
    Private,
    /// To a public address of S3, for layers or environment files: through a gateway endpoint or
    /// the internet, which cannot be distinguished.
    S3,
    /// To any other public address: the internet.
    Internet,
}

impl<'a> Evidence<'a> {
    /// Returns the evidence of these observations.
    pub fn new(observations: &'a [Observation]) -> Self {
        Self { observations }
    }

    /// Returns every observation that matters to the task, in order.
    pub fn all(self) -> impl Iterator<Item = &'a Observation> + Clone {
        self.observations
            .iter()
            .filter(|observation| observation.superseded_by.is_none())
    }

    /// Returns the observations of a phase.
    pub fn of(self, phase: Phase) -> impl Iterator<Item = &'a Observation> + Clone {
        self.all()
            .filter(move |observation| observation.phase == phase)
    }

    /// Returns the observations that failed in one of these ways.
    pub fn failed(self, ways: &'static [Failure]) -> impl Iterator<Item = &'a Observation> + Clone {
        self.all().filter(move |observation| {
            observation
                .failure()
                .is_some_and(|failure| ways.contains(&failure))
        })
    }

    /// Returns the service's own answers that failed in one of these ways.
    pub fn refused(
        self,
        ways: &'static [Failure],
    ) -> impl Iterator<Item = &'a Observation> + Clone {
        self.failed(ways).filter(|seen| seen.is_of_the_service())
    }

    /// Returns the failed exchanges whose answer is not known to be the service's.
    pub fn foreign_answers(self) -> impl Iterator<Item = &'a Observation> + Clone {
        self.all()
            .filter(|seen| seen.phase.is_exchange() && seen.failure().is_some())
            .filter(|seen| !seen.is_of_the_service())
    }

    /// Returns the targets that have silent addresses and no answering one.
    pub fn silent_targets(self) -> Vec<TargetAddresses<'a>> {
        self.targets()
            .into_iter()
            .filter(|target| !target.silent.is_empty() && target.answering.is_empty())
            .collect()
    }

    /// Returns the targets that have both silent and answering addresses.
    pub fn partly_silent_targets(self) -> Vec<TargetAddresses<'a>> {
        self.targets()
            .into_iter()
            .filter(|target| !target.silent.is_empty() && !target.answering.is_empty())
            .collect()
    }

    /// Whether an address on this path answers that has the same IP version as one of `silent`:
    /// IPv6 has its own routes, security group rules and gateways, and shows nothing about those of
    /// IPv4.
    pub fn same_version_answers(self, path: NetworkPath, silent: &[&Observation]) -> bool {
        let versions: Vec<_> = silent
            .iter()
            .filter_map(|seen| Some(seen.peer?.is_ipv4()))
            .collect();
        self.answering(path).iter().any(|seen| {
            seen.peer
                .is_some_and(|peer| versions.contains(&peer.is_ipv4()))
        })
    }

    /// Returns the comparison of this machine's clock with the services' dates, if any service sent
    /// one.
    pub fn clock(self) -> Option<&'a Observation> {
        self.all()
            .find(|seen| seen.dependency == Dependency::Clock && seen.answer.is_some())
    }

    /// Whether services sent dates and most agree with this machine.
    pub fn clock_agrees(self) -> bool {
        self.clock().is_some_and(Observation::passed)
    }

    /// Returns the redirects of Amazon ECR to hosts that are not Amazon S3's: those of the
    /// upstream, behind a pull-through cache that does not have the layer yet.
    pub fn pull_through_redirects(self) -> impl Iterator<Item = &'a Observation> + Clone {
        self.all().filter(move |seen| {
            seen.dependency == Dependency::EcrDkr
                && redirect_host(seen).is_some_and(|host| {
                    self.all()
                        .any(|other| other.host == host && other.dependency == Dependency::Registry)
                })
        })
    }

    /// Whether the observation's host delivers layers in place of Amazon ECR, on the first pull
    /// through a cache.
    pub fn is_pull_through_upstream(self, seen: &Observation) -> bool {
        seen.dependency == Dependency::Registry
            && self
                .pull_through_redirects()
                .any(|redirect| redirect_host(redirect) == Some(seen.host.as_str()))
    }

    /// Whether the plan expects addresses of the VPC.
    pub fn expects_private(self) -> bool {
        self.of(Phase::Resolve)
            .any(|seen| !seen.expected.is_empty())
    }

    /// Whether this machine kept the probe waiting for so long that timeouts prove nothing.
    pub fn is_starved(self) -> bool {
        self.all()
            .any(|seen| seen.starvation.is_some_and(Starvation::is_severe))
    }

    /// Returns the connections that were answered on this path.
    pub fn answering(self, path: NetworkPath) -> Vec<&'a Observation> {
        self.of(Phase::Connect)
            .filter(|seen| answers(seen) && self.network_path(seen) == path)
            .collect()
    }

    /// Returns the path to an address.
    pub fn network_path(self, connect: &Observation) -> NetworkPath {
        match (connect.scope, connect.dependency) {
            (Some(Scope::Public) | None, Dependency::S3 | Dependency::EnvironmentFile) => {
                NetworkPath::S3
            }
            (Some(Scope::Public) | None, _) => NetworkPath::Internet,
            (Some(Scope::SameSubnet | Scope::Private), _) => NetworkPath::Private,
        }
    }

    /// Returns every target with its addresses, by whether they answer.
    pub fn targets(self) -> Vec<TargetAddresses<'a>> {
        let mut targets: Vec<TargetAddresses<'a>> = Vec::new();
        for seen in self.of(Phase::Connect) {
            let position = targets
                .iter()
                .position(|target| target.key == seen.target());
            let index = position.unwrap_or_else(|| {
                targets.push(TargetAddresses {
                    key: seen.target(),
                    dependency: seen.dependency,
                    silent: Vec::new(),
                    answering: Vec::new(),
                });
                targets.len() - 1
            });
            if answers(seen) {
                targets[index].answering.push(seen);
            } else if is_silent(seen) && !self.cannot_be_of_a_service(seen) {
                targets[index].silent.push(seen);
            }
        }
        targets
    }

    /// Whether no service can have the address, so that its silence says nothing about routes and
    /// filters: a link-local, multicast or reserved address (RFC 1122 section 3.2.1.3), one of
    /// 192.0.2.0/24, which is for documentation (RFC 5737), or 127.0.0.0/24 or ::1 if nothing on
    /// this host answers. Addresses of the task's own network are exempt, and a user's registry may
    /// run on this host.
    pub fn cannot_be_of_a_service(self, connect: &Observation) -> bool {
        let Some(peer) = connect
            .peer
            .filter(|_| connect.scope == Some(Scope::Public))
        else {
            return false;
        };
        let on_this_host = || {
            self.of(Phase::Connect)
                .any(|seen| seen.passed() && seen.peer.is_some_and(|p| p.ip().is_loopback()))
        };
        match peer.ip() {
            IpAddr::V4(v4) => match v4.octets() {
                [127, 0, 0, _] => connect.dependency != Dependency::Registry && !on_this_host(),
                [169, 254, ..] | [0 | 224.., ..] | [192, 0, 2, _] => true,
                _ => false,
            },
            IpAddr::V6(v6) if v6.is_loopback() => {
                connect.dependency != Dependency::Registry && !on_this_host()
            }
            IpAddr::V6(v6) => {
                v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local()
            }
        }
    }

    /// Whether this phase worked for at least one of the target's addresses.
    pub fn works(self, target: &TargetKey, phase: Phase) -> bool {
        self.of(phase)
            .any(|seen| seen.target() == target && seen.passed() && seen.is_of_the_service())
    }

    /// Returns the first observation of this target and phase.
    pub fn first(self, target: &TargetKey, phase: Phase) -> Option<&'a Observation> {
        self.of(phase).find(|seen| seen.target() == target)
    }
}

/// A target and its addresses, by whether they answer.
#[derive(Debug, Clone)]
pub struct TargetAddresses<'a> {
    /// The target.
    pub key: &'a TargetKey,
    /// What the task needs it for.
    pub dependency: Dependency,
    /// Connections that were not answered.
    pub silent: Vec<&'a Observation>,
    /// Connections that were answered, by any host and in any way.
    pub answering: Vec<&'a Observation>,
}

fn redirect_host(seen: &Observation) -> Option<&str> {
    seen.answer.as_ref()?.redirect_host.as_deref()
}

/// Whether an address is silent from every source port. `unreachable` counts as silence: this
/// machine has no route, or nothing in its subnet has the address. A router's ICMP message does not
/// count: nothing in a VPC sends one, so it comes from a device that rejects the packets.
fn is_silent(connect: &Observation) -> bool {
    matches!(
        connect.failure(),
        Some(Failure::TimedOut | Failure::Unreachable)
    ) && !answers(connect)
}

/// Whether an address answered from any source port, or refused: a host has the address, and
/// packets pass in both directions.
fn answers(connect: &Observation) -> bool {
    let from_some_port = connect
        .source_ports
        .as_ref()
        .is_some_and(|ports| !ports.answered.is_empty());
    connect.passed()
        || from_some_port
        || matches!(connect.failure(), Some(Failure::Refused | Failure::Reset))
}

/// Returns the IDs of the observations without duplicates.
pub fn ids<'a>(observations: impl IntoIterator<Item = &'a Observation>) -> Vec<ObservationId> {
    let mut seen = BTreeSet::new();
    observations
        .into_iter()
        .map(|o| o.id.clone())
        .filter(|id| seen.insert(id.clone()))
        .collect()
}

/// Whether every observation passed: no failure, nothing unreached or unchecked.
pub fn all_passed<'a>(mut observations: impl Iterator<Item = &'a Observation>) -> bool {
    observations.all(|observation| observation.outcome == Outcome::Passed)
}
