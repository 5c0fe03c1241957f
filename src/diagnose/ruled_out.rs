//! What it is not. A cause is excluded only when everything that it would have broken was tried and worked.

use super::{Finding, RuledOut};
use crate::cause::Cause;
use crate::evidence::{Evidence, Way, ids};
use crate::observation::{Observation, Outcome, Phase, Role, Scope};

/// Each cause that nothing seen could hide, with the proof.
pub(super) fn ruled_out(ev: Evidence<'_>, findings: &[Finding]) -> Vec<RuledOut> {
    let mut excluded: Vec<RuledOut> = EXCLUSIONS
        .iter()
        .filter(|(cause, _)| findings.iter().all(|finding| finding.cause != *cause))
        .filter_map(|(cause, proof)| {
            let because = ids(proof(ev)?);
            (!because.is_empty()).then_some(RuledOut { cause: *cause, because: shortened(because) })
        })
        .collect();
    excluded.sort_by_key(|excluded| excluded.cause);
    excluded
}

/// A proof by a hundred layers reads as well with three.
fn shortened(mut because: Vec<String>) -> Vec<String> {
    because.truncate(8);
    because
}

type Proof = for<'a> fn(Evidence<'a>) -> Option<Vec<&'a Observation>>;

const EXCLUSIONS: &[(Cause, Proof)] = &[
    (Cause::NoCredentials, |ev| all(ev.all().filter(|seen| seen.role == Role::Credentials))),
    (Cause::CredentialsExpired, signed_calls),
    (Cause::CredentialsInvalid, signed_calls),
    (Cause::ClockSkew, |ev| Some([signed_calls(ev)?, all(ev.all().filter(|seen| seen.role == Role::Clock))?].concat())),
    (Cause::ResolverUnreachable, |ev| all(ev.of(Phase::Resolve).filter(|seen| has_lookups(seen)))),
    (Cause::ResolverFailure, |ev| all(ev.of(Phase::Resolve).filter(|seen| has_lookups(seen)))),
    (Cause::NameNotFound, |ev| all(ev.of(Phase::Resolve).filter(|seen| has_lookups(seen)))),
    (Cause::PrivateZoneShadowsName, |ev| all(ev.of(Phase::Resolve).filter(|seen| has_lookups(seen)))),
    (Cause::PublicAnswerWherePrivateExpected, |ev| {
        let asked = all(ev.of(Phase::Resolve).filter(|seen| !seen.expected.is_empty()))?;
        asked.iter().all(|seen| seen.scope != Some(Scope::Public)).then_some(asked)
    }),
    (Cause::InterfaceEndpointMissing, |ev| {
        all(ev.of(Phase::Connect).filter(|seen| seen.role.has_interface_endpoint() && is_checked(seen)))
    }),
    (Cause::S3GatewayMissing, |ev| all(connects(ev, Way::S3))),
    // An address of the internet that answers is a way out.
    (Cause::NoEgressRoute, |ev| all(connects(ev, Way::Internet))),
    (Cause::EndpointSecurityGroup, |ev| {
        // A name without an address leaves its endpoint untried.
        let untried = ev.of(Phase::Connect).any(|seen| seen.peer.is_none() && seen.role.has_interface_endpoint());
        all(connects(ev, Way::Private)).filter(|_| !untried)
    }),
    (Cause::TaskSecurityGroupEgress, every_connect),
    (Cause::NetworkAcl, |ev| {
        let all = every_connect(ev)?;
        // Where no spread was taken, a narrow ephemeral range may still hide: the rules of an ACL name addresses.
        let whole_spread =
            |seen: &&Observation| seen.source_ports.as_ref().is_some_and(|ports| ports.silent.is_empty());
        let outside: Vec<_> = all.iter().filter(|seen| seen.scope != Some(Scope::SameSubnet)).copied().collect();
        let tried = |target: &str| outside.iter().any(|seen| seen.target() == target && whole_spread(seen));
        (!outside.is_empty() && outside.iter().all(|seen| tried(seen.target()))).then_some(all)
    }),
    (Cause::EndpointAddressUnreachable, every_connect),
    (Cause::ConnectionRefused, every_connect),
    (Cause::ConnectionReset, every_handshake),
    (Cause::TlsIntercepted, every_handshake),
    (Cause::TlsWrongName, every_handshake),
    (Cause::TlsExpired, every_handshake),
    (Cause::TlsStalled, every_handshake),
    // A layer's first bytes fill more full-sized segments than any answer of the other services.
    (Cause::MtuBlackHole, |ev| {
        Some([every_handshake(ev)?, all(ev.of(Phase::Fetch).filter(|seen| is_checked(seen)))?].concat())
    }),
    (Cause::ServiceUnresponsive, exchanges),
    (Cause::RegistryLoginFailed, pulled),
    (Cause::RepositoryNotFound, pulled),
    (Cause::ImageNotFound, pulled),
    (Cause::PlatformMismatch, fetched),
    (Cause::LayerUnavailable, fetched),
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
    (Cause::KmsKeyDenies, |ev| all(ev.of(Phase::Read).filter(|seen| !seen.host.is_empty()))),
    (Cause::SecretNotFound, |ev| all(ev.of(Phase::Read).filter(|seen| seen.role == Role::SecretsManager))),
    (Cause::SecretVersionMissing, |ev| all(ev.of(Phase::Read).filter(|seen| seen.role == Role::SecretsManager))),
    (Cause::ParameterNotFound, |ev| all(ev.of(Phase::Read).filter(|seen| seen.role == Role::Ssm))),
    (Cause::LogGroupMissing, |ev| all(ev.of(Phase::Write))),
    (Cause::Throttled, exchanges),
];

/// These, if there are any and all of them passed.
fn all<'a>(observations: impl Iterator<Item = &'a Observation>) -> Option<Vec<&'a Observation>> {
    let all: Vec<_> = observations.collect();
    (!all.is_empty() && all.iter().all(|seen| seen.passed())).then_some(all)
}

fn is_checked(seen: &Observation) -> bool {
    !matches!(seen.outcome, Outcome::NotChecked { .. })
}

fn has_lookups(seen: &Observation) -> bool {
    !seen.lookups.is_empty() || !seen.passed()
}

fn connects(ev: Evidence<'_>, way: Way) -> impl Iterator<Item = &Observation> {
    ev.of(Phase::Connect).filter(|seen| is_checked(seen)).filter(move |seen| seen.peer.is_some() && ev.way(seen) == way)
}

fn every_connect(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    all(ev.of(Phase::Connect).filter(|seen| is_checked(seen)))
}

fn every_handshake(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    all(ev.of(Phase::Handshake).filter(|seen| is_checked(seen)))
}

fn exchanges(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    all(ev.all().filter(|seen| seen.phase.is_exchange() && !seen.host.is_empty()).filter(|seen| is_checked(seen)))
}

fn signed_calls(ev: Evidence<'_>) -> Option<Vec<&Observation>> {
    let signed = |seen: &&Observation| {
        matches!(seen.phase, Phase::Authorize | Phase::Write | Phase::Read)
            && matches!(seen.role, Role::EcrApi | Role::Logs | Role::SecretsManager | Role::Ssm)
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
