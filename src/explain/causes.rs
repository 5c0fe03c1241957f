//! From a reading to causes, ranked, and never more certain than the text.
//!
//! A text about the network names an address at most, and every filter on the way to it looks the
//! same: so nothing of the network, of names or of TLS is ever certain here. What a service has
//! answered may be.

use super::Step;
use super::parsed::Reading;
use super::sign::Sign;
use crate::cause::Cause;
use crate::diagnose::Confidence::{self, Certain, Likely, Possible};
use crate::diagnose::{Finding, denying_cause};
use crate::observation::{Dependency, PolicyKind, Scope};

/// The findings of a reading. Also where nothing is known: see [`refused_at_once`].
pub fn findings(reading: &Reading) -> Vec<Finding<String>> {
    let causes = match reading.sign {
        Some(sign) => causes(reading, sign),
        None => refused_at_once(reading),
    };
    // The task's own interface and place are nobody's way: the role of what knows them stands in.
    let dependency = reading.dependency.unwrap_or(match reading.step {
        Step::ImageManifest => Dependency::EcrDkr,
        Step::ImageLayer => Dependency::S3,
        _ => Dependency::Metadata,
    });
    let because = because(reading);
    let about = about(reading);
    causes
        .into_iter()
        .map(|(cause, confidence)| Finding {
            cause,
            family: cause.family(),
            dependency,
            confidence,
            blocking: true,
            summary: summary(reading, cause, &about),
            remedy: cause.remedy().to_owned(),
            because: because.clone(),
        })
        .collect()
}

fn causes(reading: &Reading, sign: Sign) -> Vec<(Cause, Confidence)> {
    let layer = reading.step == Step::ImageLayer;
    match sign {
        Sign::TimedOut
        | Sign::Killed
        | Sign::NoAnswer
        | Sign::ConnectionIssue
        | Sign::Retried
        | Sign::Unreachable => silent(reading),
        // Connected, so no filter drops everything: what is large, what is slow, or who is behind
        // it.
        Sign::Stalled => possible(&[
            Cause::ServiceUnresponsive,
            Cause::MtuBlackHole,
            Cause::ServiceSlow,
            Cause::S3GatewayMissing,
        ]),
        Sign::TooSlow => possible(&[
            Cause::ServiceSlow,
            Cause::MtuBlackHole,
            Cause::NoEgressRoute,
        ]),
        Sign::ServiceFailure => vec![(Cause::ServiceUnresponsive, Likely)],
        Sign::Refused => vec![
            (Cause::ConnectionRefused, Likely),
            (Cause::NamePointsElsewhere, Possible),
        ],
        Sign::Reset => vec![
            (Cause::ConnectionReset, Likely),
            (Cause::MtuBlackHole, Possible),
        ],
        Sign::DamagedLayer => possible(&[
            Cause::ConnectionReset,
            Cause::LayerUnavailable,
            Cause::DiskFull,
        ]),
        Sign::NoSuchName => no_such_name(reading),
        Sign::ResolverFailed => vec![(Cause::ResolverFailure, Likely)],
        Sign::ResolverSilent => vec![
            (Cause::ResolverUnreachable, Likely),
            (Cause::NetworkAcl, Possible),
        ],
        Sign::UnknownIssuer => vec![(Cause::TlsIntercepted, Likely)],
        Sign::WrongName => vec![
            (Cause::TlsWrongName, Likely),
            (Cause::NamePointsElsewhere, Possible),
        ],
        Sign::OutsideValidity => vec![(Cause::TlsExpired, Likely), (Cause::ClockSkew, Possible)],
        Sign::HandshakeStalled => possible(&[
            Cause::TlsStalled,
            Cause::MtuBlackHole,
            Cause::ServiceUnresponsive,
        ]),
        Sign::NotTls => possible(&[Cause::NamePointsElsewhere, Cause::TlsIntercepted]),
        Sign::StrangeAnswer => possible(&[Cause::NamePointsElsewhere, Cause::ServiceUnresponsive]),
        Sign::Tls => possible(&[
            Cause::TlsIntercepted,
            Cause::TlsWrongName,
            Cause::TlsExpired,
        ]),
        Sign::Denied => denied(reading),
        Sign::Forbidden => forbidden(reading),
        Sign::UnexpectedStatus if reading.dependency == Some(Dependency::Registry) => possible(&[
            Cause::RegistryRateLimited,
            Cause::PermissionDenied,
            Cause::ImageNotFound,
        ]),
        Sign::UnexpectedStatus if layer => possible(&[
            Cause::S3EndpointPolicyDenies,
            Cause::LayerUnavailable,
            Cause::RegistryRateLimited,
        ]),
        Sign::UnexpectedStatus => possible(&[
            Cause::PermissionDenied,
            Cause::ImageNotFound,
            Cause::RegistryRateLimited,
        ]),
        Sign::LoginFailed => vec![(Cause::RegistryLoginFailed, Certain)],
        Sign::RegistryRefused => possible(&[
            Cause::RegistryLoginFailed,
            Cause::PermissionDenied,
            Cause::RepositoryNotFound,
        ]),
        Sign::RegistryTokenExpired => {
            vec![
                (Cause::RegistryLoginFailed, Likely),
                (Cause::CredentialsExpired, Possible),
            ]
        }
        Sign::RepositoryMissing => vec![(Cause::RepositoryNotFound, Certain)],
        Sign::ManifestMissing => vec![(Cause::ImageNotFound, Certain)],
        Sign::MissingOrPrivate => possible(&[
            Cause::RepositoryNotFound,
            Cause::RegistryLoginFailed,
            Cause::PermissionDenied,
        ]),
        Sign::NotFound => not_found(reading),
        // Where the registry says so it is so. To the kernel a script without its first line is no
        // program either.
        Sign::NotExecutable => possible(&[Cause::PlatformMismatch]),
        Sign::WrongPlatform => vec![(Cause::PlatformMismatch, Certain)],
        Sign::BadReference if reading.mistyped.is_some() => {
            vec![
                (Cause::InvalidImageReference, Likely),
                (Cause::NoEgressRoute, Possible),
            ]
        }
        Sign::BadReference => vec![(Cause::InvalidImageReference, Certain)],
        Sign::RateLimited if !reading.has(Sign::Throttled) => {
            vec![(Cause::RegistryRateLimited, Certain)]
        }
        Sign::Throttled if reading.step == Step::Unknown => vec![(Cause::Throttled, Likely)],
        Sign::RateLimited | Sign::Throttled => vec![(Cause::Throttled, Certain)],
        Sign::DiskFull => vec![(Cause::DiskFull, Certain)],
        Sign::SecretMissing => vec![(Cause::SecretNotFound, Certain)],
        Sign::VersionMissing => vec![(Cause::SecretVersionMissing, Certain)],
        Sign::JsonKeyMissing => vec![(Cause::SecretJsonKeyMissing, Certain)],
        Sign::NotJson => vec![(Cause::SecretNotJson, Certain)],
        Sign::BrokenJson => vec![(Cause::SecretNotJson, Likely)],
        Sign::ParameterMissing => vec![(Cause::ParameterNotFound, Certain)],
        Sign::BadValueFrom => vec![(Cause::InvalidValueFrom, Certain)],
        Sign::InvalidInput => vec![(Cause::InvalidValueFrom, Likely)],
        Sign::KeyUnusable => vec![(Cause::KmsKeyDenies, Likely)],
        Sign::LogGroupMissing => vec![(Cause::LogGroupMissing, Certain)],
        Sign::MountFailed => {
            vec![
                (Cause::FileSystemUnreachable, Likely),
                (Cause::NameNotFound, Possible),
                (Cause::NetworkAcl, Possible),
            ]
        }
        Sign::MountDenied => vec![(Cause::FileSystemDenied, Certain)],
        Sign::ObjectMissing => vec![(Cause::EnvironmentFileMissing, Certain)],
        Sign::NoFreeAddress => vec![(Cause::NoFreeAddress, Certain)],
        Sign::InterfaceNotCreated => {
            possible(&[Cause::NoFreeAddress, Cause::NetworkInterfaceUnavailable])
        }
        Sign::NetworkInterface => {
            vec![
                (Cause::NetworkInterfaceUnavailable, Likely),
                (Cause::NoFreeAddress, Possible),
            ]
        }
        Sign::Capacity => vec![(Cause::CapacityUnavailable, Likely)],
        Sign::RoleNotAssumable => vec![(Cause::RoleNotAssumable, Likely)],
        Sign::NoCredentials => vec![
            (Cause::NoCredentials, Likely),
            (Cause::RoleNotAssumable, Possible),
        ],
        Sign::CredentialsExpired => vec![(Cause::CredentialsExpired, Certain)],
        Sign::CredentialsInvalid => vec![(Cause::CredentialsInvalid, Likely)],
        Sign::ClockSkewed => vec![(Cause::ClockSkew, Likely)],
    }
}

fn possible(causes: &[Cause]) -> Vec<(Cause, Confidence)> {
    causes.iter().map(|cause| (*cause, Possible)).collect()
}

/// Nothing came. The address decides what may be in the way: a private one is an interface
/// endpoint's, so there is one; a public one needs a way out of the VPC, or an endpoint that is
/// missing. Where the text has none, both may be. All of it is only possible: the task's security
/// group, a network ACL and a route that is missing stay silent alike.
fn silent(reading: &Reading) -> Vec<(Cause, Confidence)> {
    use Cause::{
        EndpointSecurityGroup, InterfaceEndpointMissing, NamePointsElsewhere, NetworkAcl,
        NoEgressRoute, ResolverUnreachable, S3GatewayMissing, TaskSecurityGroupEgress,
    };
    let scope = reading.scope();
    possible(match (reading.dependency, scope) {
        (Some(Dependency::Registry), Some(Scope::Private | Scope::SameSubnet)) => {
            &[TaskSecurityGroupEgress, NetworkAcl, NamePointsElsewhere]
        }
        // No endpoint leads to a registry that is not Amazon ECR's own.
        (Some(Dependency::Registry), _) => &[NoEgressRoute, TaskSecurityGroupEgress, NetworkAcl],
        (_, Some(Scope::Private | Scope::SameSubnet)) => &[
            EndpointSecurityGroup,
            TaskSecurityGroupEgress,
            NetworkAcl,
            NamePointsElsewhere,
        ],
        // Registry and login were reached before the layer was asked for, so there is a way to
        // them.
        (Some(Dependency::S3), _) => &[
            S3GatewayMissing,
            TaskSecurityGroupEgress,
            NetworkAcl,
            NoEgressRoute,
        ],
        (Some(Dependency::EnvironmentFile), _) => &[
            S3GatewayMissing,
            NoEgressRoute,
            TaskSecurityGroupEgress,
            NetworkAcl,
        ],
        (_, Some(Scope::Public)) => &[
            NoEgressRoute,
            InterfaceEndpointMissing,
            TaskSecurityGroupEgress,
            NetworkAcl,
        ],
        // Even the name may not have resolved: the agents' deadline swallows what came before it.
        (_, None) => &[
            NoEgressRoute,
            InterfaceEndpointMissing,
            EndpointSecurityGroup,
            TaskSecurityGroupEgress,
            ResolverUnreachable,
            NetworkAcl,
            NamePointsElsewhere,
        ],
    })
}

fn no_such_name(reading: &Reading) -> Vec<(Cause, Confidence)> {
    match reading.dependency {
        _ if reading.mistyped.is_some() => {
            vec![
                (Cause::InvalidImageReference, Likely),
                (Cause::NameNotFound, Possible),
            ]
        }
        Some(Dependency::Registry) => {
            possible(&[Cause::NameNotFound, Cause::InvalidImageReference])
        }
        _ => possible(&[Cause::NameNotFound, Cause::PrivateZoneShadowsName]),
    }
}

fn denied(reading: &Reading) -> Vec<(Cause, Confidence)> {
    let layer = reading.dependency == Some(Dependency::S3);
    let denial = reading.parts.denial.as_ref();
    if let Some(policy) = denial.and_then(|denial| denial.policy) {
        // "does not exist, … or you are not allowed": three causes in one sentence of AWS KMS.
        let vague = policy == PolicyKind::KmsKey && reading.plain.dense.contains("ciphertextref");
        return vec![(
            denying_cause(
                policy,
                denial,
                layer || reading.step == Step::EnvironmentFile,
            ),
            if vague { Likely } else { Certain },
        )];
    }
    let action = reading.action().unwrap_or_default();
    if reading.step == Step::AssumeRole || action.starts_with("sts:") {
        return vec![(Cause::RoleNotAssumable, Likely)];
    }
    if layer && !action.starts_with("ecr:") {
        return vec![
            (Cause::S3EndpointPolicyDenies, Likely),
            (Cause::LayerUnavailable, Possible),
        ];
    }
    // Amazon S3 says the same of what is not there to those who may not list.
    if reading.step == Step::EnvironmentFile {
        return forbidden(reading);
    }
    // The Docker daemon says both of what it may not pull: that it does not exist, or wants a
    // login.
    if denial.is_none() && reading.has(Sign::MissingOrPrivate) {
        return vec![
            (Cause::PermissionDenied, Likely),
            (Cause::RepositoryNotFound, Possible),
        ];
    }
    let mut causes = vec![(Cause::PermissionDenied, Certain)];
    causes.extend(possible(&[
        Cause::IdentityPolicyMissingAction,
        Cause::EndpointPolicyDenies,
    ]));
    if !action.ends_with(":getauthorizationtoken") && reading.step != Step::LogDriver {
        causes.push((Cause::ResourcePolicyDenies, Possible));
    }
    causes
}

/// HTTP 403 without the service's words: containerd asks with HEAD, which has no body.
fn forbidden(reading: &Reading) -> Vec<(Cause, Confidence)> {
    match reading.step {
        // ECR signs the layer's URL, so Amazon S3 asks no policy of the role: only the endpoint's.
        Step::ImageLayer if reading.dependency == Some(Dependency::S3) => {
            vec![
                (Cause::S3EndpointPolicyDenies, Likely),
                (Cause::LayerUnavailable, Possible),
            ]
        }
        Step::EnvironmentFile => vec![
            (Cause::PermissionDenied, Likely),
            // Amazon S3 says 403 for what is not there to those who may not list.
            (Cause::EnvironmentFileMissing, Possible),
            (Cause::S3EndpointPolicyDenies, Possible),
        ],
        _ => vec![
            (Cause::PermissionDenied, Likely),
            (Cause::IdentityPolicyMissingAction, Possible),
            (Cause::ResourcePolicyDenies, Possible),
            (Cause::EndpointPolicyDenies, Possible),
            // A digest that was overwritten has been answered with 403.
            (Cause::ImageNotFound, Possible),
        ],
    }
}

fn not_found(reading: &Reading) -> Vec<(Cause, Confidence)> {
    match (reading.step, reading.dependency) {
        (Step::Secrets, Some(Dependency::Ssm)) => vec![(Cause::ParameterNotFound, Likely)],
        (Step::Secrets, _) => vec![(Cause::SecretNotFound, Likely)],
        (Step::LogDriver, _) => vec![(Cause::LogGroupMissing, Likely)],
        (Step::EnvironmentFile, _) => vec![(Cause::EnvironmentFileMissing, Likely)],
        (Step::ImageLayer, _) => vec![(Cause::LayerUnavailable, Likely)],
        _ => vec![
            (Cause::ImageNotFound, Likely),
            (Cause::RepositoryNotFound, Possible),
        ],
    }
}

/// The reason is cut off, but one try was enough: the service answered, and no. Family and exit
/// code stay `unknown`, for the text does not say what it said.
fn refused_at_once(reading: &Reading) -> Vec<(Cause, Confidence)> {
    let once = reading
        .parts
        .retries
        .as_ref()
        .is_some_and(|retries| retries.value == 1);
    match reading.step {
        Step::Secrets if once && reading.dependency == Some(Dependency::Ssm) => possible(&[
            Cause::ParameterNotFound,
            Cause::PermissionDenied,
            Cause::KmsKeyDenies,
        ]),
        Step::Secrets if once => possible(&[
            Cause::PermissionDenied,
            Cause::SecretNotFound,
            Cause::SecretJsonKeyMissing,
            Cause::KmsKeyDenies,
        ]),
        Step::RegistryAuth if once => possible(&[Cause::PermissionDenied, Cause::Throttled]),
        _ => Vec::new(),
    }
}

/// Whom and what it concerns here.
fn about(reading: &Reading) -> String {
    let mut about: Vec<String> = reading.host.iter().cloned().collect();
    if let Some(denial) = &reading.parts.denial {
        about.extend(denial.action.clone());
        about.extend(denial.resource.clone().filter(|resource| resource != "*"));
    }
    reading.shown(&about.join(" "))
}

fn summary(reading: &Reading, cause: Cause, about: &str) -> String {
    let about = match &reading.mistyped {
        Some(mistake) if cause == Cause::InvalidImageReference => mistake,
        _ => about,
    };
    let bare = cause.summary().trim_end_matches('.');
    if about.is_empty() {
        cause.summary().to_owned()
    } else {
        format!("{bare}: {about}")
    }
}

/// The fragments that findings rest on: what shows the failure, and the address.
fn because(reading: &Reading) -> Vec<String> {
    let mut fragments: Vec<String> = Vec::new();
    let phrase = reading.sign.and_then(|sign| reading.phrase(sign));
    let dial = reading
        .parts
        .dial
        .as_ref()
        .map(|dial| dial.quote(&reading.plain));
    let status = reading
        .parts
        .status
        .as_ref()
        .map(|status| status.quote(&reading.plain));
    let retries = reading
        .parts
        .retries
        .as_ref()
        .map(|retries| retries.quote(&reading.plain));
    for fragment in [phrase, dial, status, retries].into_iter().flatten() {
        let fragment = reading.shown(fragment);
        if !fragments.contains(&fragment) {
            fragments.push(fragment);
        }
    }
    fragments
}
