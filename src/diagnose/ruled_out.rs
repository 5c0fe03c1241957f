//! Causes that the evidence excludes. A cause is excluded only if everything that it would have
//! broken was tried and worked at the first attempt. Only the service at its end proves a network
//! path, because an interceptor answers before it.

use std::collections::BTreeSet;

use super::path::SEGMENT;
use super::resolve::is_late;
use super::{Finding, RuledOut};
use crate::cause::Cause;
use crate::evidence::{Evidence, NetworkPath, ids};
use crate::observation::{
    Dependency, Failure, Observation, Outcome, Phase, Scope, TargetKey, Tries,
};

/// Returns each cause that the observations exclude, with the proof.
pub(super) fn ruled_out(ev: Evidence<'_>, findings: &[Finding]) -> Vec<RuledOut> {
    let mut excluded: Vec<RuledOut> = EXCLUSIONS
        .iter()
        .filter(|(cause, _)| findings.iter().all(|finding| finding.cause != *cause))
        .filter_map(|(cause, proof)| {
            let mut because = ids(proof(ev)?);
            because.truncate(MAX_PROOFS);
            (!because.is_empty()).then_some(RuledOut {
                cause: *cause,
                because,
            })
        })
        .collect();
    excluded.sort_by_key(|excluded| excluded.cause);
    excluded
}

/// Maximum number of observations that a proof lists: a hundred layers would prove no more.
const MAX_PROOFS: usize = 8;

type Proof = for<'a> fn(Evidence<'a>) -> Option<Vec<&'a Observation>>;

const EXCLUSIONS: &[(Cause, Proof)] = &[
    (Cause::NoCredentials, |ev| {
        all(ev
            .all()
            .filter(|seen| seen.dependency == Dependency::Credentials))
    }),
    (Cause::CredentialsExpired, signed_calls),
    (Cause::CredentialsInvalid, signed_calls),
    (Cause::ClockSkew, |ev| {
        Some(
            [
                signed_calls(ev)?,
                all(ev.all().filter(|seen| seen.dependency == Dependency::Clock))?,
            ]
            .concat(),
        )
    }),
    (Cause::ResolverUnreachable, resolvers),
    (Cause::ResolverFailure, resolvers),
    (Cause::NameNotFound, names),
    (Cause::PrivateZoneShadowsName, names),
    (Cause::PublicAnswerWherePrivateExpected, |ev| {
        let checked = all(ev
            .of(Phase::Resolve)
            .filter(|seen| !seen.expected.is_empty()))?;
        checked
            .iter()
            .all(|seen| seen.scope != Some(Scope::Public))
            .then_some(checked)
    }),
    // A service that answers at a public address needs no endpoint.
    (Cause::InterfaceEndpointMissing, |ev| {
        let services = all(ev
            .of(Phase::Connect)
            .filter(|seen| seen.dependency.has_interface_endpoint() && is_checked(seen)))?;
        services
            .iter()
            .all(|seen| ev.network_path(seen) == NetworkPath::Private)
            .then_some(identified(ev, services)?)
    }),
    (Cause::S3GatewayMissing, |ev| {
        identified(ev, all(connects(ev, NetworkPath::S3))?)
            .filter(|_| connects(ev, NetworkPath::Internet).next().is_none())
    }),
    // An internet address that answers proves a route out.
    (Cause::NoEgressRoute, |ev| {
        identified(ev, all(connects(ev, NetworkPath::Internet))?)
    }),
    (Cause::EndpointSecurityGroup, |ev| {
        // Without an address, the endpoint was not tried.
        let untried = ev
            .of(Phase::Connect)
            .any(|seen| seen.peer.is_none() && seen.dependency.has_interface_endpoint());
        identified(ev, all(connects(ev, NetworkPath::Private))?).filter(|_| !untried)
    }),
    // These two also stop queries to a custom resolver.
    (Cause::TaskSecurityGroupEgress, |ev| {
        resolvers(ev).and(identified(ev, every_connect(ev)?))
    }),
    (Cause::NetworkAcl, |ev| {
        let all = resolvers(ev).and(identified(ev, every_connect(ev)?))?;
        // If source ports were not varied for an address, an ACL with a narrow ephemeral range may
        // go unnoticed, because its rules name addresses.
        let whole_spread = |seen: &&Observation| {
            seen.source_ports
                .as_ref()
                .is_some_and(|ports| ports.silent.is_empty())
        };
        let outside: Vec<_> = all
            .iter()
            .filter(|seen| seen.scope != Some(Scope::SameSubnet))
            .copied()
            .collect();
        let whole_spread_at = |target: &TargetKey| {
            outside
                .iter()
                .any(|seen| seen.target() == target && whole_spread(seen))
        };
        (!outside.is_empty() && outside.iter().all(|seen| whole_spread_at(seen.target())))
            .then_some(all)
    }),
    (Cause::EndpointAddressUnreachable, |ev| {
        identified(ev, every_connect(ev)?)
    }),
    (Cause::ConnectionRefused, |ev| {
        every_connect(ev).filter(|_| ev.failed(&[Failure::Refused]).next().is_none())
    }),
    (Cause::ConnectionReset, every_handshake),
    // Only its answers reveal an interceptor whose certificate authority is trusted.
    (Cause::TlsIntercepted, |ev| {
        every_handshake(ev).filter(|_| ev.foreign_answers().next().is_none())
    }),
    (Cause::TlsUntrusted, every_handshake),
    (Cause::TlsWrongName, every_handshake),
    (Cause::TlsExpired, every_handshake),
    // Every further connection performs a handshake as well, as part of its exchange.
    (Cause::TlsStalled, |ev| {
        every_handshake(ev).filter(|_| nothing_stalled(ev))
    }),
    (Cause::MtuBlackHole, full_sized_packets),
    (Cause::ServiceUnresponsive, at_first_attempt),
    (Cause::RegistryLoginFailed, pulled),
    (Cause::RepositoryNotFound, pulled),
    (Cause::ImageNotFound, pulled),
    (Cause::PlatformMismatch, fetched),
    (Cause::TooManyLayers, pulled),
    // The first bytes of a layer say nothing about the rest.
    (Cause::LayerUnavailable, |ev| {
        let whole = |seen: &&Observation| {
            seen.answer
                .as_ref()
                .is_some_and(|answer| answer.bytes_per_s.is_some())
        };
        fetched(ev).filter(|_| ev.of(Phase::Fetch).any(|seen| whole(&seen)))
    }),
    (Cause::S3EndpointPolicyDenies, fetched),
    (Cause::IdentityPolicyMissingAction, exchanges),
    (Cause::IdentityPolicyDenies, exchanges),
    (Cause::PermissionsBoundaryDenies, exchanges),
    (Cause::SessionPolicyDenies, exchanges),
    (Cause::ServiceControlPolicyDenies, exchanges),
    (Cause::ResourceControlPolicyDenies, exchanges),
    (Cause::EndpointPolicyDenies, exchanges),
    (Cause::ResourcePolicyDenies, exchanges),
    (Cause::PermissionDenied, exchanges),
    (Cause::KmsKeyDenies, |ev| {
        all(ev.of(Phase::Read).filter(|seen| !seen.host.is_empty()))
    }),
    (Cause::SecretNotFound, |ev| {
        all(ev
            .of(Phase::Read)
            .filter(|seen| seen.dependency == Dependency::SecretsManager))
    }),
    (Cause::SecretIsBinary, |ev| {
        all(ev
            .of(Phase::Read)
            .filter(|seen| seen.dependency == Dependency::SecretsManager))
    }),
    (Cause::SecretVersionMissing, |ev| {
        all(ev
            .of(Phase::Read)
            .filter(|seen| seen.dependency == Dependency::SecretsManager))
    }),
    (Cause::ParameterNotFound, |ev| {
        all(ev
            .of(Phase::Read)
            .filter(|seen| seen.dependency == Dependency::Ssm))
    }),
    (Cause::LogGroupMissing, |ev| all(ev.of(Phase::Write))),
    (Cause::LogStreamMissing, |ev| all(ev.of(Phase::Write))),
    (Cause::AnsweredByIntermediary, exchanges),
    (Cause::FileSystemUnreachable, |ev| {
        all(ev.of(Phase::Mount).filter(|seen| is_checked(seen)))
    }),
    (Cause::EnvironmentFileMissing, |ev| {
        all(ev
            .of(Phase::Fetch)
            .filter(|seen| seen.dependency == Dependency::EnvironmentFile))
    }),
    (Cause::RegistryRateLimited, |ev| {
        all(ev
            .all()
            .filter(|seen| seen.dependency == Dependency::Registry && seen.phase.is_exchange())
            .filter(|seen| is_checked(seen)))
    }),
    (Cause::Throttled, at_first_attempt),
];

/// Returns the observations if there are any, all of them passed at every try, and all answers are
/// the service's own.
fn all<'a>(observations: impl Iterator<Item = &'a Observation>) -> Option<Vec<&'a Observation>> {
    let all: Vec<_> = observations.collect();
    let proven = |seen: &&Observation| {
        seen.passed() && seen.is_of_the_service() && !seen.tries.is_some_and(Tries::are_mixed)
    };
    (!all.is_empty() && all.iter().all(proven)).then_some(all)
}

fn is_checked(seen: &Observation) -> bool {
    !matches!(seen.outcome, Outcome::NotChecked { .. })
}

fn has_lookups(seen: &Observation) -> bool {
    !seen.lookups.is_empty() || !seen.passed()
}

fn connects(ev: Evidence<'_>, path: NetworkPath) -> impl Iterator<Item = &Observation> {
    ev.of(Phase::Connect)
        .filter(|seen| is_checked(seen))
        .filter(move |seen| seen.peer.is_some() && ev.network_path(seen) == path)
}

fn every_connect(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    all(ev.of(Phase::Connect).filter(|seen| is_checked(seen)))
}

/// Returns the connections if each reached a peer that the puller trusts as its service and that
/// did not turn out to be another host.
fn identified<'a>(
    ev: Evidence<'a>,
    connects: Vec<&'a Observation>,
) -> Option<Vec<&'a Observation>> {
    let has_handshake = |connect: &&Observation| {
        ev.of(Phase::Handshake).any(|seen| {
            seen.target() == connect.target() && seen.peer == connect.peer && seen.passed()
        }) && ev
            .foreign_answers()
            .all(|seen| seen.target() != connect.target())
    };
    connects.iter().all(has_handshake).then_some(connects)
}

fn every_handshake(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    all(ev.of(Phase::Handshake).filter(|seen| is_checked(seen)))
}

/// Returns every exchange, if all passed: one that was not checked could be denied.
fn exchanges(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    all(ev.all().filter(|seen| {
        seen.phase.is_exchange()
            && !matches!(seen.dependency, Dependency::Clock | Dependency::Metadata)
    }))
}

/// Returns every exchange, if all passed at the first attempt.
fn at_first_attempt(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    exchanges(ev).filter(|exchanges| {
        exchanges
            .iter()
            .all(|seen| seen.attempts <= 1 || seen.dependency == Dependency::Credentials)
            && nothing_stalled(ev)
    })
}

/// Whether no try stalled, not even one that was repeated with success.
fn nothing_stalled(ev: Evidence<'_>) -> bool {
    !ev.all().any(|seen| {
        [seen.failure(), seen.earlier_failure]
            .iter()
            .any(|failure| matches!(failure, Some(Failure::Stalled | Failure::TimedOut)))
    })
}

fn names(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    all(ev.of(Phase::Resolve).filter(|seen| has_lookups(seen)))
}

/// Returns the lookups if all passed, and each at the first attempt and in time.
fn resolvers(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    names(ev).filter(|names| !names.iter().any(|seen| is_late(seen)))
}

/// Returns proof that full-sized packets pass in both directions: a layer's first bytes arrived,
/// and every service received a request longer than a segment.
fn full_sized_packets(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    let fetched = all(ev.of(Phase::Fetch).filter(|seen| is_checked(seen)))?;
    if !nothing_stalled(ev) {
        return None;
    }
    let exchanges = exchanges(ev)?;
    let targets: BTreeSet<&TargetKey> = exchanges
        .iter()
        .filter(|seen| seen.peer.is_some())
        .map(|seen| seen.target())
        .collect();
    let sent = |seen: &&Observation| {
        seen.answer
            .as_ref()
            .is_some_and(|answer| answer.request_bytes > SEGMENT)
    };
    let proven = |target: &&TargetKey| {
        exchanges
            .iter()
            .any(|seen| seen.target() == *target && sent(seen))
    };
    targets
        .iter()
        .all(proven)
        .then_some([every_handshake(ev)?, fetched].concat())
}

fn signed_calls(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    let signed = |seen: &&Observation| {
        matches!(seen.phase, Phase::Authorize | Phase::Write | Phase::Read)
            && matches!(
                seen.dependency,
                Dependency::EcrApi
                    | Dependency::Logs
                    | Dependency::SecretsManager
                    | Dependency::Ssm
            )
    };
    all(ev.all().filter(signed))
}

fn pulled(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    all(ev.of(Phase::Manifest))
}

fn fetched(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    Some(
        [
            pulled(ev)?,
            all(ev.of(Phase::Blob).filter(|seen| is_checked(seen)))?,
            all(ev.of(Phase::Fetch).filter(|seen| is_checked(seen)))?,
        ]
        .concat(),
    )
}
