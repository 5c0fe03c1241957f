//! The corpus: 123 real messages, labeled by hand. Its families are finer than those of
//! pullprobe; a table maps them.

use serde::Deserialize;

use crate::cause::{Cause, Family};
use crate::explain::{Step, explain};

const CORPUS: &str = include_str!("../../../tests/corpus/messages.jsonl");

/// Minimum share of correct steps with families, and of correct first causes.
const MIN_SHARE: f64 = 0.95;

#[derive(Debug, Deserialize)]
pub(super) struct Labeled {
    pub(super) message: String,
    pub(super) family: String,
    #[serde(default)]
    pub(super) cause: String,
}

pub(super) fn corpus() -> Vec<Labeled> {
    CORPUS
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What a label of the corpus allows.
pub(super) struct Expected {
    /// Steps; any if empty.
    steps: &'static [Step],
    family: Family,
    /// Causes that may come first.
    causes: &'static [Cause],
}

const PATH: &[Cause] = &[
    Cause::NoEgressRoute,
    Cause::InterfaceEndpointMissing,
    Cause::EndpointSecurityGroup,
    Cause::TaskSecurityGroupEgress,
    Cause::NetworkAcl,
];
const DENIED: &[Cause] = &[
    Cause::IdentityPolicyMissingAction,
    Cause::IdentityPolicyDenies,
    Cause::ResourcePolicyDenies,
    Cause::PermissionDenied,
    Cause::RegistryLoginFailed,
];

/// Returns what a family of the corpus allows; `None` for `other`, which has no family.
#[allow(clippy::too_many_lines, reason = "one row per family")]
fn expected(family: &str) -> Option<Expected> {
    use Step::{
        AssumeRole, ContainerStart, ImageLayer, ImageManifest, LogDriver, NetworkInterface,
        RegistryAuth, Secrets,
    };
    let (steps, family, causes): (&[Step], Family, &[Cause]) = match family {
        "registry-auth-network" => (&[RegistryAuth], Family::Network, PATH),
        "registry-auth-iam" => (&[RegistryAuth], Family::Permission, DENIED),
        "pull-network" => (
            &[ImageManifest],
            Family::Network,
            &[
                Cause::NoEgressRoute,
                Cause::InterfaceEndpointMissing,
                Cause::EndpointSecurityGroup,
                Cause::TaskSecurityGroupEgress,
                Cause::ServiceSlow,
                Cause::ServiceUnresponsive,
                Cause::MtuBlackHole,
            ],
        ),
        "pull-iam" => (&[ImageManifest, ImageLayer], Family::Permission, DENIED),
        "pull-not-found" => (
            &[ImageManifest],
            Family::Image,
            &[
                Cause::ImageNotFound,
                Cause::RepositoryNotFound,
                Cause::InvalidImageReference,
            ],
        ),
        "pull-platform-mismatch" => (&[ImageManifest], Family::Image, &[Cause::PlatformMismatch]),
        "pull-rate-limit" | "pull-toomany" => (
            &[ImageManifest, ImageLayer],
            Family::Limit,
            &[Cause::RegistryRateLimited, Cause::Throttled],
        ),
        "pull-disk" => (
            &[ImageLayer, ContainerStart],
            Family::Storage,
            &[Cause::DiskFull],
        ),
        "pull-tls" => (
            &[],
            Family::Tls,
            &[Cause::TlsIntercepted, Cause::TlsStalled],
        ),
        "secrets-network" | "ssm-network" => (&[Secrets], Family::Network, PATH),
        "secrets-iam" | "ssm-iam" => (&[Secrets], Family::Permission, DENIED),
        "kms-iam" => (&[Secrets], Family::Permission, &[Cause::KmsKeyDenies]),
        "secrets-not-found" => (
            &[Secrets],
            Family::Secret,
            &[Cause::SecretNotFound, Cause::SecretVersionMissing],
        ),
        "secrets-bad-json-key" => (
            &[Secrets],
            Family::Secret,
            &[
                Cause::SecretJsonKeyMissing,
                Cause::SecretNotJson,
                Cause::InvalidValueFrom,
            ],
        ),
        "ssm-not-found" => (&[Secrets], Family::Secret, &[Cause::ParameterNotFound]),
        "logs-network" => (&[LogDriver], Family::Network, PATH),
        "logs-iam" => (&[LogDriver], Family::Permission, DENIED),
        "logs-group-missing" => (&[LogDriver], Family::Logs, &[Cause::LogGroupMissing]),
        "s3-layer-network" => (
            &[ImageLayer],
            Family::Network,
            &[
                Cause::S3GatewayMissing,
                Cause::ConnectionReset,
                Cause::LayerUnavailable,
            ],
        ),
        "s3-layer-403" => (
            &[ImageLayer],
            Family::Permission,
            &[Cause::S3EndpointPolicyDenies],
        ),
        "endpoint-policy" => (
            &[],
            Family::Permission,
            &[Cause::EndpointPolicyDenies, Cause::S3EndpointPolicyDenies],
        ),
        "dns" => (
            &[],
            Family::Resolve,
            &[
                Cause::NameNotFound,
                Cause::InvalidImageReference,
                Cause::ResolverUnreachable,
            ],
        ),
        "eni-capacity" => (
            &[NetworkInterface],
            Family::Placement,
            &[
                Cause::NoFreeAddress,
                Cause::NetworkInterfaceUnavailable,
                Cause::CapacityUnavailable,
            ],
        ),
        "role-assume" => (&[AssumeRole], Family::Placement, &[Cause::RoleNotAssumable]),
        // Steps without a place in the order.
        "efs-mount" => (
            &[Step::FileSystem],
            Family::Storage,
            &[Cause::FileSystemUnreachable, Cause::FileSystemDenied],
        ),
        "env-file" => (
            &[Step::EnvironmentFile],
            Family::Network,
            &[Cause::S3GatewayMissing, Cause::NoEgressRoute],
        ),
        "other" => return None,
        unmapped => panic!("no row for {unmapped}"),
    };
    Some(Expected {
        steps,
        family,
        causes,
    })
}

#[test]
fn explains_the_corpus() {
    let (mut mapped, mut placed, mut named) = (0, 0, 0);
    for labeled in corpus() {
        let Some(Expected {
            steps,
            family,
            causes,
        }) = expected(&labeled.family)
        else {
            continue;
        };
        let explained = explain(&labeled.message);
        mapped += 1;
        let place =
            (steps.is_empty() || steps.contains(&explained.step)) && explained.family == family;
        let first = explained.findings.first().map(|first| first.cause);
        let cause = first.is_some_and(|first| causes.contains(&first));
        placed += usize::from(place);
        named += usize::from(cause);
        if !place || !cause {
            println!(
                "MISS {} got ({}, {}, {first:?})\n     {}\n     label: {}",
                labeled.family, explained.step, explained.family, labeled.message, labeled.cause
            );
        }
    }
    println!("of {mapped} messages: step and family {placed}, first cause {named}");
    let share = |right: u32| f64::from(right) / f64::from(mapped);
    assert!(
        share(u32::try_from(placed).unwrap()) >= MIN_SHARE,
        "step and family of {placed} of {mapped}"
    );
    assert!(
        share(u32::try_from(named).unwrap()) >= MIN_SHARE,
        "first cause of {named} of {mapped}"
    );
}

/// Messages that the corpus calls `other` must not be guessed to be about the network or a policy.
#[test]
fn other_messages_stay_unknown() {
    for labeled in corpus().iter().filter(|labeled| labeled.family == "other") {
        let explained = explain(&labeled.message);
        println!(
            "{} {}: {}",
            explained.step, explained.family, labeled.message
        );
        assert!(
            matches!(explained.family, Family::Unknown | Family::Placement),
            "{}",
            labeled.message
        );
    }
}
