//! Maps hosts and IAM actions to steps and dependencies of a task's start.

use super::step::Step;
use crate::observation::Dependency;

/// Returns the step in which ECS performs an IAM action, in lower case; `None` for actions that are
/// not part of a task's start.
pub fn step_of_action(action: &str) -> Option<Step> {
    let (service, name) = action.split_once(':')?;
    match (service, name) {
        ("sts", _) => Some(Step::AssumeRole),
        ("secretsmanager" | "kms", _) => Some(Step::Secrets),
        ("ssm", name) if name.starts_with("getparameter") => Some(Step::Secrets),
        // The text may be cut or wrapped within the action.
        ("ecr", name) if name.starts_with("getauth") => Some(Step::RegistryAuth),
        ("ecr", name) if name.starts_with("getdownload") => Some(Step::ImageLayer),
        ("ecr", _) => Some(Step::ImageManifest),
        ("logs", _) => Some(Step::LogDriver),
        ("elasticfilesystem", _) => Some(Step::FileSystem),
        // The infrastructure role of Amazon ECS launches instances and attaches interfaces.
        ("ec2", _) => Some(Step::NetworkInterface),
        // An S3 action may concern a layer or an environment file; the message's phrases decide.
        _ => None,
    }
}

/// Returns the step that contacts a host. An unknown host may be a registry, so the message must
/// name the step.
pub fn step_of_host(host: &str) -> Option<Step> {
    Some(match dependency_of_host(host)? {
        Dependency::EcrApi => Step::RegistryAuth,
        Dependency::EcrDkr => Step::ImageManifest,
        Dependency::Registry if is_public_registry(host) => Step::ImageManifest,
        Dependency::S3 => Step::ImageLayer,
        Dependency::Logs => Step::LogDriver,
        Dependency::SecretsManager | Dependency::Ssm => Step::Secrets,
        Dependency::Efs => Step::FileSystem,
        _ => return None,
    })
}

/// Returns the dependency that a host belongs to; `None` for AWS services that are not a launch
/// dependency. Compares labels only, so that Regions, partitions and masked accounts do not matter.
pub fn dependency_of_host(host: &str) -> Option<Dependency> {
    let labels: Vec<&str> = host.split('.').collect();
    let has = |label: &str| labels.contains(&label);
    let first_is = |names: &[&str]| names.contains(&labels[0]);
    if labels
        .iter()
        .any(|label| ["dkr", "dkr-ecr", "dkr-ecr-fips"].contains(label))
    {
        Some(Dependency::EcrDkr)
    } else if has("ecr") && first_is(&["api"])
        || first_is(&["ecr", "ecr-fips"]) && labels.len() > 2 && !host.contains("public")
    {
        Some(Dependency::EcrApi)
    } else if labels.iter().any(|label| label.starts_with("s3")) {
        Some(Dependency::S3)
    } else if first_is(&["logs", "logs-fips"]) {
        Some(Dependency::Logs)
    } else if first_is(&["secretsmanager", "secretsmanager-fips"]) {
        Some(Dependency::SecretsManager)
    } else if first_is(&["ssm", "ssm-fips"]) {
        Some(Dependency::Ssm)
    } else if has("efs") {
        Some(Dependency::Efs)
    } else if ["kms", "sts", "ecs", "ec2"]
        .iter()
        .any(|service| first_is(&[service]))
    {
        None
    } else {
        Some(Dependency::Registry)
    }
}

/// Whether the host is one of Amazon ECR Public, which takes pulls without a login.
pub fn is_ecr_public(host: &str) -> bool {
    host == "public.ecr.aws"
}

/// Widely used public registries.
const PUBLIC_REGISTRIES: [&str; 9] = [
    "docker.io",
    "public.ecr.aws",
    "ghcr.io",
    "quay.io",
    "gcr.io",
    "azurecr.io",
    "pkg.dev",
    "mcr.microsoft.com",
    "registry.gitlab.com",
];

/// Whether the host is one of a widely used public registry, whose certificate every puller trusts.
pub fn is_public_registry(host: &str) -> bool {
    PUBLIC_REGISTRIES
        .iter()
        .any(|registry| host.ends_with(registry))
}
