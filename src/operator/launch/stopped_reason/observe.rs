//! Converts the explanation of a stopped reason to the observation that a probe would have made.

use std::net::{IpAddr, SocketAddr};

use crate::cause::{Cause, Family};
use crate::explain::{Explanation, Step};
use crate::network_location::NetworkLocation;
use crate::observation::{Dependency, Failure, Observation, Outcome, Phase, TargetKey};

/// Returns the failed check. `own` is the address of the task.
pub fn observe(explanation: &Explanation, own: Option<IpAddr>) -> Observation {
    let dependency = explanation
        .dependency
        .unwrap_or_else(|| dependency_of(explanation.step));
    let phase = phase_of(explanation.family, explanation.step);
    let first = explanation.findings.first().map(|finding| finding.cause);
    let failure = first
        .and_then(failure_of)
        .unwrap_or_else(|| usual_failure(explanation.family));
    let mut observation = Observation::reported_by_ecs(
        TargetKey::of(dependency),
        dependency,
        phase,
        Outcome::Failed { failure },
    );
    observation.host = explanation.host.clone().unwrap_or_default();
    observation.owner = explanation.owner.as_ref().map(Into::into);
    observation.detail = (&explanation.message).into();
    if let Some(peer) = explanation.peer {
        observation.id.narrow(peer);
        observation.peer = Some(SocketAddr::new(peer, 443));
        observation.scope = Some(
            NetworkLocation {
                address: own,
                ..NetworkLocation::default()
            }
            .scope(peer),
        );
    }
    observation
}

/// Returns the dependency of a step, if the text names none.
fn dependency_of(step: Step) -> Dependency {
    match step {
        Step::Secrets => Dependency::SecretsManager,
        Step::RegistryAuth => Dependency::EcrApi,
        Step::LogDriver => Dependency::Logs,
        Step::ImageManifest => Dependency::EcrDkr,
        Step::ImageLayer => Dependency::S3,
        Step::EnvironmentFile => Dependency::EnvironmentFile,
        Step::FileSystem => Dependency::Efs,
        Step::AssumeRole => Dependency::Credentials,
        Step::NetworkInterface | Step::ContainerStart | Step::Unknown => Dependency::Metadata,
    }
}

fn phase_of(family: Family, step: Step) -> Phase {
    match (family, step) {
        (Family::Resolve, _) => Phase::Resolve,
        (Family::Network, _) => Phase::Connect,
        (Family::Tls, _) => Phase::Handshake,
        (_, Step::RegistryAuth) => Phase::Authorize,
        (_, Step::LogDriver) => Phase::Write,
        (_, Step::ImageManifest) => Phase::Manifest,
        (_, Step::ImageLayer | Step::EnvironmentFile) => Phase::Fetch,
        (_, Step::FileSystem) => Phase::Mount,
        _ => Phase::Read,
    }
}

/// Returns the failure that a probe observes for a cause, if there is only one.
fn failure_of(cause: Cause) -> Option<Failure> {
    Some(match cause {
        Cause::NameNotFound | Cause::PrivateZoneShadowsName => Failure::NoSuchName,
        Cause::ResolverFailure => Failure::ServerFailure,
        Cause::ResolverUnreachable => Failure::TimedOut,
        Cause::ConnectionRefused => Failure::Refused,
        Cause::ConnectionReset => Failure::Reset,
        Cause::TlsIntercepted => Failure::UnknownIssuer,
        Cause::TlsWrongName => Failure::WrongName,
        Cause::TlsExpired => Failure::ExpiredCertificate,
        Cause::PlatformMismatch => Failure::WrongPlatform,
        Cause::NoCredentials => Failure::NoCredentials,
        Cause::CredentialsExpired => Failure::ExpiredToken,
        Cause::ClockSkew => Failure::ClockSkewed,
        Cause::RegistryLoginFailed => Failure::Unauthenticated,
        _ => return None,
    })
}

/// Returns the failure of a family's most common cause.
fn usual_failure(family: Family) -> Failure {
    match family {
        Family::Resolve => Failure::NoSuchName,
        Family::Network => Failure::TimedOut,
        Family::Tls => Failure::Stalled,
        Family::Credentials => Failure::Unauthenticated,
        Family::Permission => Failure::Denied,
        Family::Image | Family::Secret | Family::Logs | Family::Storage => Failure::NotFound,
        Family::Limit => Failure::Throttled,
        Family::Placement | Family::Unknown => Failure::UnexpectedAnswer,
    }
}
