//! Read-only questions over observations: the language that rules are written in.

use std::collections::BTreeSet;

use crate::observation::{
    Dependency, Failure, Observation, ObservationId, Outcome, Phase, Scope, TargetKey,
};

/// What was seen, ready to be asked.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    observations: &'a [Observation],
}

/// The ways on which security groups, network ACLs and routes act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NetworkPath {
    /// To an address of the VPC, as an interface endpoint has.
    Private,
    /// To a public address of S3, for layers or environment files: through a gateway endpoint or
    /// the internet, which cannot be told apart.
    S3,
    /// To any other public address: the internet.
    Internet,
}

impl<'a> Evidence<'a> {
    /// Asks these.
    pub fn new(observations: &'a [Observation]) -> Self {
        Self { observations }
    }

    /// Every observation that matters to the task, in order.
    pub fn all(self) -> impl Iterator<Item = &'a Observation> + Clone {
        self.observations
            .iter()
            .filter(|observation| observation.superseded_by.is_none())
    }

    /// The observations of a phase.
    pub fn of(self, phase: Phase) -> impl Iterator<Item = &'a Observation> + Clone {
        self.all()
            .filter(move |observation| observation.phase == phase)
    }

    /// The observations that failed in one of these ways.
    pub fn failed(self, ways: &'static [Failure]) -> impl Iterator<Item = &'a Observation> + Clone {
        self.all().filter(move |observation| {
            observation
                .failure()
                .is_some_and(|failure| ways.contains(&failure))
        })
    }

    /// Targets none of whose addresses can be connected to: silence, or a router saying so.
    pub fn silent_targets(self) -> Vec<Target<'a>> {
        self.targets()
            .into_iter()
            .filter(|target| !target.silent.is_empty() && target.answering.is_empty())
            .collect()
    }

    /// Targets of which some addresses are silent and some answer.
    pub fn partly_silent_targets(self) -> Vec<Target<'a>> {
        self.targets()
            .into_iter()
            .filter(|target| !target.silent.is_empty() && !target.answering.is_empty())
            .collect()
    }

    /// Whether an address answers on this way that is of the same IP version as one of `silent`:
    /// IPv6 has routes, security group rules and gateways of its own, and says nothing of IPv4's.
    pub fn same_version_answers(self, way: NetworkPath, silent: &[&Observation]) -> bool {
        let versions: Vec<_> = silent
            .iter()
            .filter_map(|seen| Some(seen.peer?.is_ipv4()))
            .collect();
        self.answering(way).iter().any(|seen| {
            seen.peer
                .is_some_and(|peer| versions.contains(&peer.is_ipv4()))
        })
    }

    /// What the services' dates say of this machine's clock, if any service told the time.
    pub fn clock(self) -> Option<&'a Observation> {
        self.all()
            .find(|seen| seen.dependency == Dependency::Clock && seen.answer.is_some())
    }

    /// Whether services told the time, and most agree with this machine.
    pub fn clock_agrees(self) -> bool {
        self.clock().is_some_and(Observation::passed)
    }

    /// Whether this plan wants addresses of the VPC.
    pub fn expects_private(self) -> bool {
        self.of(Phase::Resolve)
            .any(|seen| !seen.expected.is_empty())
    }

    /// Addresses that answered on a way.
    pub fn answering(self, way: NetworkPath) -> Vec<&'a Observation> {
        self.of(Phase::Connect)
            .filter(|seen| answers(seen) && self.way(seen) == way)
            .collect()
    }

    /// Which way leads to an address.
    pub fn way(self, connect: &Observation) -> NetworkPath {
        match (connect.scope, connect.dependency) {
            (Some(Scope::Public) | None, Dependency::S3 | Dependency::EnvironmentFile) => {
                NetworkPath::S3
            }
            (Some(Scope::Public) | None, _) => NetworkPath::Internet,
            (Some(Scope::SameSubnet | Scope::Private), _) => NetworkPath::Private,
        }
    }

    /// Every target's addresses, by whether they answer.
    pub fn targets(self) -> Vec<Target<'a>> {
        let mut targets: Vec<Target<'a>> = Vec::new();
        for seen in self.of(Phase::Connect) {
            let position = targets
                .iter()
                .position(|target| target.key == seen.target());
            let index = position.unwrap_or_else(|| {
                targets.push(Target {
                    key: seen.target(),
                    dependency: seen.dependency,
                    silent: Vec::new(),
                    answering: Vec::new(),
                });
                targets.len() - 1
            });
            if answers(seen) {
                targets[index].answering.push(seen);
            } else if is_silent(seen) {
                targets[index].silent.push(seen);
            }
        }
        targets
    }

    /// Whether this rung worked for the target at one address at least.
    pub fn works(self, target: &TargetKey, phase: Phase) -> bool {
        self.of(phase)
            .any(|seen| seen.target() == target && seen.passed())
    }

    /// The first observation of this target and phase.
    pub fn rung(self, target: &TargetKey, phase: Phase) -> Option<&'a Observation> {
        self.of(phase).find(|seen| seen.target() == target)
    }
}

/// A target's addresses.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// Its key.
    pub key: &'a TargetKey,
    /// Its dependency.
    pub dependency: Dependency,
    /// Connects that stayed silent.
    pub silent: Vec<&'a Observation>,
    /// Connects that were answered, by whom and how ever.
    pub answering: Vec<&'a Observation>,
}

/// Silent from every port. `unreachable` counts as silence: inside a VPC a missing route is a
/// silent drop, and what a router elsewhere says about it is not evidence of more.
fn is_silent(connect: &Observation) -> bool {
    matches!(
        connect.failure(),
        Some(Failure::TimedOut | Failure::Unreachable)
    ) && !answers(connect)
}

/// An answer from any source port, or a refusal: somebody is there and the packets travel both
/// ways.
fn answers(connect: &Observation) -> bool {
    let from_some_port = connect
        .source_ports
        .as_ref()
        .is_some_and(|ports| !ports.answered.is_empty());
    connect.passed()
        || from_some_port
        || matches!(connect.failure(), Some(Failure::Refused | Failure::Reset))
}

/// The ids of these.
pub fn ids<'a>(observations: impl IntoIterator<Item = &'a Observation>) -> Vec<ObservationId> {
    let mut seen = BTreeSet::new();
    observations
        .into_iter()
        .map(|o| o.id.clone())
        .filter(|id| seen.insert(id.clone()))
        .collect()
}

/// Whether nothing that was planned is missing: no failure, nothing unreached or unchecked.
pub fn all_passed<'a>(mut observations: impl Iterator<Item = &'a Observation>) -> bool {
    observations.all(|observation| observation.outcome == Outcome::Passed)
}
