//! Ranks the possible causes of a parsed message, never more certain than the message.
//!
//! A message about the network names an address at most, and every filter on the path to it looks
//! the same. So no cause of the families network, resolve or tls is ever certain here; an error
//! that a service returned may be.

use super::advice;
use super::parsed::ParsedMessage;
use super::sign::Sign;
use super::step::Step;
use crate::cause::Cause;
use crate::diagnose::Confidence::{self, Certain, Likely, Possible};
use crate::diagnose::{Finding, denying_cause};
use crate::observation::{Dependency, PolicyKind, Scope};

/// Returns the findings of a message, most likely first. A message without a sign may have some
/// too: see [`failed_at_first_attempt`].
pub fn findings(message: &ParsedMessage) -> Vec<Finding<String>> {
    let causes = match message.sign {
        Some(sign) => causes_of_sign(message, sign),
        None => failed_at_first_attempt(message),
    };
    let is_alone = causes.len() == 1;
    // A finding needs a dependency, and the task's network interface and capacity are not one.
    // The task metadata, which describes both, takes their place.
    let dependency = message.dependency.unwrap_or(match message.step {
        Step::ImageManifest => Dependency::EcrDkr,
        Step::ImageLayer => Dependency::S3,
        _ => Dependency::Metadata,
    });
    let because = fragments(message);
    let subject = subject(message);
    causes
        .into_iter()
        .map(|(cause, confidence)| Finding {
            cause,
            family: cause.family(),
            dependency,
            // A cause is not certain if another one explains the message as well.
            confidence: if is_alone {
                confidence
            } else {
                confidence.min(Likely)
            },
            blocking: true,
            tries: None,
            summary: summary(message, cause, &subject),
            remedy: advice::remedy(message, cause).unwrap_or_else(|| cause.remedy_for(dependency)),
            fix: advice::fix(message, cause),
            because: because.clone(),
        })
        .collect()
}

#[allow(clippy::too_many_lines, reason = "one row per sign")]
fn causes_of_sign(message: &ParsedMessage, sign: Sign) -> Vec<(Cause, Confidence)> {
    let is_layer = message.step == Step::ImageLayer;
    let is_registry = message.dependency == Some(Dependency::Registry);
    let is_ecr = message.dependency == Some(Dependency::EcrDkr);
    match sign {
        Sign::TimedOut
        | Sign::HelperKilled
        | Sign::NoResponse
        | Sign::ConnectionIssue
        | Sign::RetriesExhausted => no_response(message),
        // AWS names a missing route. A full disk also ends the pull like this.
        Sign::Canceled => [no_response(message), possible(&[Cause::DiskFull])].concat(),
        // A router or firewall that rejects packets looks the same to Go as an address without a
        // host, and as an address whose IP version the task does not have.
        Sign::Unreachable => [
            no_response(message),
            possible(&[Cause::ConnectionRefused, Cause::HostWithoutIpv6]),
        ]
        .concat(),
        // TCP connected, so no filter drops everything: large segments are lost, or the service is
        // slow, or something else answers at the address.
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
        // Nothing of the network is on the way to the host's own address.
        Sign::ConnectionRefused if message.peer().is_some_and(|peer| peer.is_loopback()) => {
            vec![(Cause::ConnectionRefused, Likely)]
        }
        Sign::ConnectionRefused => vec![
            (Cause::ConnectionRefused, Likely),
            (Cause::NamePointsElsewhere, Possible),
        ],
        Sign::ConnectionReset => vec![
            (Cause::ConnectionReset, Likely),
            (Cause::MtuBlackHole, Possible),
        ],
        Sign::CorruptLayer => possible(&[
            Cause::ConnectionReset,
            Cause::LayerUnavailable,
            Cause::DiskFull,
        ]),
        Sign::NoSuchName => no_such_name(message),
        Sign::ResolverFailed => vec![(Cause::ResolverFailure, Likely)],
        Sign::ResolverSilent => vec![
            (Cause::ResolverUnreachable, Likely),
            (Cause::NetworkAcl, Possible),
        ],
        // A private registry or log collector often has a certificate of a private authority.
        Sign::UnknownIssuer if message.is_own_server() => vec![
            (Cause::TlsUntrusted, Likely),
            (Cause::TlsIntercepted, Possible),
        ],
        Sign::UnknownIssuer => vec![
            (Cause::TlsIntercepted, Likely),
            (Cause::TlsUntrusted, Possible),
        ],
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
        Sign::ProxyAnswered => vec![(Cause::AnsweredByIntermediary, Likely)],
        Sign::ForeignResponse => {
            possible(&[Cause::NamePointsElsewhere, Cause::ServiceUnresponsive])
        }
        Sign::TlsFailure => possible(&[
            Cause::TlsIntercepted,
            Cause::TlsWrongName,
            Cause::TlsExpired,
        ]),
        Sign::Denied => denied(message),
        Sign::Forbidden => forbidden(message),
        Sign::UnexpectedStatus if is_registry => possible(&[
            Cause::RegistryRateLimited,
            Cause::RegistryLoginFailed,
            Cause::ImageNotFound,
        ]),
        Sign::UnexpectedStatus if is_layer => possible(&[
            Cause::S3EndpointPolicyDenies,
            Cause::LayerUnavailable,
            Cause::RegistryRateLimited,
        ]),
        Sign::UnexpectedStatus => possible(&[
            Cause::PermissionDenied,
            Cause::ImageNotFound,
            Cause::RegistryRateLimited,
        ]),
        // A stale login, or a name that does not exist: pulls need no login there.
        Sign::LoginFailed if message.is_of_ecr_public() => {
            possible(&[Cause::RegistryLoginFailed, Cause::RepositoryNotFound])
        }
        // Some registries answer this for a repository that does not exist, too.
        Sign::LoginFailed if is_registry && message.text.dense.contains("/manifests/") => vec![
            (Cause::RegistryLoginFailed, Likely),
            (Cause::RepositoryNotFound, Possible),
        ],
        Sign::LoginFailed => vec![(Cause::RegistryLoginFailed, Certain)],
        Sign::RegistryDenied if is_registry => {
            possible(&[Cause::RegistryLoginFailed, Cause::RepositoryNotFound])
        }
        // The agent logs in to Amazon ECR by itself.
        Sign::RegistryDenied | Sign::MissingOrPrivate if is_ecr => possible(&[
            Cause::RepositoryNotFound,
            Cause::PermissionDenied,
            Cause::ResourcePolicyDenies,
        ]),
        Sign::RegistryDenied => possible(&[
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
        // Amazon ECR distinguishes the two. The distribution registry calls both an unknown
        // manifest.
        Sign::ManifestMissing if is_ecr => vec![(Cause::ImageNotFound, Certain)],
        Sign::ManifestMissing => vec![
            (Cause::ImageNotFound, Likely),
            (Cause::RepositoryNotFound, Possible),
        ],
        Sign::DigestRefused if is_registry => vec![
            (Cause::ImageNotFound, Likely),
            (Cause::RegistryLoginFailed, Possible),
        ],
        // Across accounts, the 404 before may also hide a policy.
        Sign::DigestRefused => vec![
            (Cause::ImageNotFound, Likely),
            (Cause::ResourcePolicyDenies, Possible),
            (Cause::PermissionDenied, Possible),
        ],
        Sign::WrongDigest => possible(&[Cause::LayerUnavailable, Cause::AnsweredByIntermediary]),
        Sign::MissingOrPrivate if is_registry => {
            possible(&[Cause::RepositoryNotFound, Cause::RegistryLoginFailed])
        }
        Sign::MissingOrPrivate => possible(&[
            Cause::RepositoryNotFound,
            Cause::RegistryLoginFailed,
            Cause::PermissionDenied,
        ]),
        Sign::NotFound => not_found(message),
        // Only a registry's own statement is certain: the kernel also rejects a script without an
        // interpreter line.
        Sign::NotExecutable => possible(&[Cause::PlatformMismatch]),
        Sign::WrongPlatform => vec![(Cause::PlatformMismatch, Certain)],
        Sign::InvalidReference if message.ecr_host_error.is_some() => {
            vec![
                (Cause::InvalidImageReference, Likely),
                (Cause::NoEgressRoute, Possible),
            ]
        }
        Sign::InvalidReference => vec![(Cause::InvalidImageReference, Certain)],
        Sign::RateLimited if !message.has(Sign::Throttled) => {
            vec![(Cause::RegistryRateLimited, Certain)]
        }
        Sign::Throttled if message.step == Step::Unknown => vec![(Cause::Throttled, Likely)],
        Sign::RateLimited | Sign::Throttled => vec![(Cause::Throttled, Certain)],
        Sign::DiskFull => vec![(Cause::DiskFull, Certain)],
        Sign::SecretMissing => vec![(Cause::SecretNotFound, Certain)],
        Sign::VersionMissing => vec![(Cause::SecretVersionMissing, Certain)],
        Sign::JsonKeyMissing => vec![(Cause::SecretJsonKeyMissing, Certain)],
        Sign::NotJson => vec![(Cause::SecretNotJson, Certain)],
        Sign::InvalidJson => vec![(Cause::SecretNotJson, Likely)],
        Sign::ParameterMissing => vec![(Cause::ParameterNotFound, Certain)],
        Sign::InvalidValueFrom => vec![(Cause::InvalidValueFrom, Certain)],
        Sign::InvalidInput => vec![(Cause::InvalidValueFrom, Likely)],
        Sign::KmsKeyUnusable => vec![(Cause::KmsKeyDenies, Likely)],
        Sign::LogGroupMissing => vec![(Cause::LogGroupMissing, Certain)],
        Sign::MountFailed => {
            vec![
                (Cause::FileSystemUnreachable, Likely),
                (Cause::NameNotFound, Possible),
                (Cause::NetworkAcl, Possible),
            ]
        }
        Sign::MountDenied => vec![(Cause::FileSystemDenied, Certain)],
        // No cause has this name; the server refuses the mount.
        Sign::DirectoryMissing => vec![(Cause::FileSystemDenied, Likely)],
        Sign::ObjectMissing => vec![(Cause::EnvironmentFileMissing, Certain)],
        Sign::NoFreeAddress => vec![(Cause::NoFreeAddress, Certain)],
        Sign::NetworkInterfaceNotCreated => {
            possible(&[Cause::NoFreeAddress, Cause::NetworkInterfaceUnavailable])
        }
        Sign::NetworkInterfaceFailed => {
            vec![
                (Cause::NetworkInterfaceUnavailable, Likely),
                (Cause::NoFreeAddress, Possible),
            ]
        }
        Sign::CapacityUnavailable => vec![(Cause::CapacityUnavailable, Likely)],
        Sign::NotPlaced(refusal) => refusal.causes(),
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

/// Causes of a request without a response. The address decides: a private one belongs to an
/// interface VPC endpoint, so that exists; a public one needs a route out of the VPC, or the
/// endpoint that is missing. A message without an address allows both. All are only possible:
/// security groups, network ACLs and missing routes drop packets alike.
fn no_response(message: &ParsedMessage) -> Vec<(Cause, Confidence)> {
    use Cause::{
        EndpointSecurityGroup, InterfaceEndpointMissing, NamePointsElsewhere, NetworkAcl,
        NoEgressRoute, PublicIpMissing, ResolverUnreachable, S3GatewayMissing,
        TaskSecurityGroupEgress,
    };
    let scope = message.scope();
    possible(match (message.dependency, scope) {
        (
            Some(Dependency::Registry | Dependency::Splunk | Dependency::LogRouter),
            Some(Scope::Private | Scope::SameSubnet),
        ) => &[TaskSecurityGroupEgress, NetworkAcl, NamePointsElsewhere],
        // No VPC endpoint leads to a registry outside Amazon ECR, or to a log collector.
        (Some(Dependency::Registry | Dependency::Splunk | Dependency::LogRouter), _) => &[
            NoEgressRoute,
            PublicIpMissing,
            TaskSecurityGroupEgress,
            NetworkAcl,
        ],
        (_, Some(Scope::Private | Scope::SameSubnet)) => &[
            EndpointSecurityGroup,
            TaskSecurityGroupEgress,
            NetworkAcl,
            NamePointsElsewhere,
        ],
        // Amazon ECR was reached before the layer was requested, so there is a route to it.
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
            PublicIpMissing,
            InterfaceEndpointMissing,
            TaskSecurityGroupEgress,
            NetworkAcl,
        ],
        // Even DNS may have failed: after its deadline the agent reports no earlier error.
        (_, None) => &[
            NoEgressRoute,
            PublicIpMissing,
            InterfaceEndpointMissing,
            EndpointSecurityGroup,
            TaskSecurityGroupEgress,
            ResolverUnreachable,
            NetworkAcl,
            NamePointsElsewhere,
        ],
    })
}

fn no_such_name(message: &ParsedMessage) -> Vec<(Cause, Confidence)> {
    match message.dependency {
        _ if message.ecr_host_error.is_some() => {
            vec![
                (Cause::InvalidImageReference, Likely),
                (Cause::NameNotFound, Possible),
            ]
        }
        Some(Dependency::Registry) => {
            possible(&[Cause::NameNotFound, Cause::InvalidImageReference])
        }
        Some(Dependency::Splunk | Dependency::LogRouter) => possible(&[Cause::NameNotFound]),
        _ => possible(&[Cause::NameNotFound, Cause::PrivateZoneShadowsName]),
    }
}

fn denied(message: &ParsedMessage) -> Vec<(Cause, Confidence)> {
    let is_s3 = message.dependency == Some(Dependency::S3);
    let denial = message.fields.denial.as_ref();
    if let Some(policy) = denial.and_then(|denial| denial.policy) {
        // "does not exist, … or you are not allowed": AWS KMS names three causes in one sentence.
        let is_ambiguous =
            policy == PolicyKind::KmsKey && message.text.dense.contains("ciphertextref");
        return vec![(
            denying_cause(
                policy,
                denial,
                is_s3 || message.step == Step::EnvironmentFile,
            ),
            if is_ambiguous { Likely } else { Certain },
        )];
    }
    let action = message.fields.denied_action().unwrap_or_default();
    if message.step == Step::AssumeRole || action.starts_with("sts:") {
        return vec![(Cause::RoleNotAssumable, Likely)];
    }
    if is_s3 && !action.starts_with("ecr:") {
        return vec![
            (Cause::S3EndpointPolicyDenies, Likely),
            (Cause::LayerUnavailable, Possible),
        ];
    }
    // Amazon S3 also denies access to a missing object if the caller may not list the bucket.
    if message.step == Step::EnvironmentFile {
        return forbidden(message);
    }
    // The Docker daemon's message covers both: the repository does not exist, or it requires a
    // login.
    if denial.is_none() && message.has(Sign::MissingOrPrivate) {
        return vec![
            (Cause::PermissionDenied, Likely),
            (Cause::RepositoryNotFound, Possible),
        ];
    }
    if !advice::is_policy_of_aws(message) {
        return possible(&[Cause::RegistryLoginFailed, Cause::RepositoryNotFound]);
    }
    let mut causes = vec![
        (Cause::PermissionDenied, Likely),
        (Cause::IdentityPolicyMissingAction, Possible),
    ];
    if advice::is_sent_elsewhere(message) {
        return causes;
    }
    causes.push((Cause::EndpointPolicyDenies, Possible));
    let has_resource = !action.ends_with(":getauthorizationtoken")
        && !matches!(message.step, Step::RegistryAuth | Step::LogDriver);
    if has_resource {
        causes.push((Cause::ResourcePolicyDenies, Possible));
    }
    causes
}

/// Causes of an HTTP 403 without an error message: containerd sends HEAD, whose response has no
/// body.
fn forbidden(message: &ParsedMessage) -> Vec<(Cause, Confidence)> {
    match message.step {
        // ECR presigns the layer's URL, so only the endpoint policy applies, not the role's
        // policies.
        Step::ImageLayer if message.dependency == Some(Dependency::S3) => {
            vec![
                (Cause::S3EndpointPolicyDenies, Likely),
                (Cause::LayerUnavailable, Possible),
            ]
        }
        Step::EnvironmentFile => vec![
            (Cause::PermissionDenied, Likely),
            // Amazon S3 returns 403 for a missing object if the caller may not list the bucket.
            (Cause::EnvironmentFileMissing, Possible),
            (Cause::S3EndpointPolicyDenies, Possible),
        ],
        // A registry outside AWS, and its content delivery network, do not evaluate AWS policies.
        Step::ImageLayer if message.dependency == Some(Dependency::Registry) => possible(&[
            Cause::RegistryLoginFailed,
            Cause::LayerUnavailable,
            Cause::AnsweredByIntermediary,
        ]),
        _ if message.dependency == Some(Dependency::Registry) => vec![
            (Cause::RegistryLoginFailed, Likely),
            (Cause::RepositoryNotFound, Possible),
            (Cause::ImageNotFound, Possible),
        ],
        _ => vec![
            (Cause::PermissionDenied, Likely),
            (Cause::IdentityPolicyMissingAction, Possible),
            (Cause::ResourcePolicyDenies, Possible),
            (Cause::EndpointPolicyDenies, Possible),
            // Registries have returned 403 for a digest that was overwritten.
            (Cause::ImageNotFound, Possible),
        ],
    }
}

fn not_found(message: &ParsedMessage) -> Vec<(Cause, Confidence)> {
    match (message.step, message.dependency) {
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

/// Causes of a message whose reason is cut off, after a single attempt: the service returned an
/// error. Family and exit code stay `unknown`, because the message does not say which one.
fn failed_at_first_attempt(message: &ParsedMessage) -> Vec<(Cause, Confidence)> {
    let once = message
        .fields
        .attempts
        .as_ref()
        .is_some_and(|attempts| attempts.value == 1);
    match message.step {
        Step::Secrets if once && message.dependency == Some(Dependency::Ssm) => possible(&[
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

/// Returns the host, the IAM action and the resource that a summary names.
fn subject(message: &ParsedMessage) -> String {
    if let Some(name) = message.missing_name().filter(|_| {
        matches!(
            message.sign,
            Some(Sign::JsonKeyMissing | Sign::ParameterMissing)
        )
    }) {
        return message.redacted(name);
    }
    let mut subject: Vec<String> = message.host.iter().cloned().collect();
    if let Some(denial) = &message.fields.denial {
        subject.extend(denial.action.as_deref().map(str::to_owned));
        let resource = denial
            .resource
            .as_deref()
            .filter(|&resource| resource != "*");
        subject.extend(resource.map(str::to_owned));
    }
    message.redacted(&subject.join(" "))
}

fn summary(message: &ParsedMessage, cause: Cause, subject: &str) -> String {
    let subject = match &message.ecr_host_error {
        Some(error) if cause == Cause::InvalidImageReference => error,
        _ => subject,
    };
    let sentence = advice::summary(message, cause).unwrap_or(cause.summary());
    let bare = sentence.trim_end_matches('.');
    if subject.is_empty() {
        sentence.to_owned()
    } else {
        format!("{bare}: {subject}")
    }
}

/// Returns the fragments that the findings rest on: what shows the failure, and the address.
fn fragments(message: &ParsedMessage) -> Vec<String> {
    let ParsedMessage { text, fields, .. } = message;
    let quotes = [
        message.sign.and_then(|sign| message.phrase(sign)),
        fields.dial.as_ref().map(|dial| dial.quote(text)),
        fields.status.as_ref().map(|status| status.quote(text)),
        fields
            .attempts
            .as_ref()
            .map(|attempts| attempts.quote(text)),
    ];
    let mut fragments: Vec<String> = Vec::new();
    for quote in quotes.into_iter().flatten() {
        let fragment = message.redacted(quote);
        if !fragments.contains(&fragment) {
            fragments.push(fragment);
        }
    }
    fragments
}
