//! What hosts and IAM actions are to a task that starts.

use super::Step;
use crate::observation::Dependency;

/// The step in which ECS performs an action; `None` for actions that are no part of a task's start.
pub fn step_of_action(action: &str) -> Option<Step> {
    let (service, name) = action.split_once(':')?;
    match (service, name) {
        ("sts", _) => Some(Step::AssumeRole),
        ("secretsmanager" | "kms", _) => Some(Step::Secrets),
        ("ssm", name) if name.starts_with("getparameter") => Some(Step::Secrets),
        ("ecr", "getauthorizationtoken") => Some(Step::RegistryAuth),
        ("ecr", name) if name != "getdownloadurlforlayer" => Some(Step::ImageManifest),
        ("logs", _) => Some(Step::LogDriver),
        // Amazon S3 is everybody's: the bucket says whether it is a layer's, and the wrapper
        // whether a file's.
        ("ecr", _) => Some(Step::ImageLayer),
        ("elasticfilesystem", _) => Some(Step::FileSystem),
        _ => None,
    }
}

/// The step that asks a host; any other host may be a registry's, and the text has to say so.
pub fn step_of_host(host: &str) -> Option<Step> {
    Some(match dependency_of_host(host)? {
        Dependency::EcrApi => Step::RegistryAuth,
        Dependency::EcrDkr => Step::ImageManifest,
        Dependency::Registry if is_registry(host) => Step::ImageManifest,
        Dependency::S3 => Step::ImageLayer,
        Dependency::Logs => Step::LogDriver,
        Dependency::SecretsManager | Dependency::Ssm => Step::Secrets,
        Dependency::Efs => Step::FileSystem,
        _ => return None,
    })
}

/// What a host is to a task that starts: by its labels, so that regions, partitions and masks do
/// not matter.
pub fn dependency_of_host(host: &str) -> Option<Dependency> {
    let labels: Vec<&str> = host.split('.').collect();
    let has = |label: &str| labels.contains(&label);
    let begins = |names: &[&str]| names.contains(&labels[0]);
    if labels
        .iter()
        .any(|label| ["dkr", "dkr-ecr", "dkr-ecr-fips"].contains(label))
    {
        Some(Dependency::EcrDkr)
    } else if has("ecr") && begins(&["api"])
        || begins(&["ecr", "ecr-fips"]) && labels.len() > 2 && !host.contains("public")
    {
        Some(Dependency::EcrApi)
    } else if labels.iter().any(|label| label.starts_with("s3")) {
        Some(Dependency::S3)
    } else if begins(&["logs", "logs-fips"]) {
        Some(Dependency::Logs)
    } else if begins(&["secretsmanager", "secretsmanager-fips"]) {
        Some(Dependency::SecretsManager)
    } else if begins(&["ssm", "ssm-fips"]) {
        Some(Dependency::Ssm)
    } else if has("efs") {
        Some(Dependency::Efs)
    } else if ["kms", "sts", "ecs", "ec2"]
        .iter()
        .any(|service| begins(&[service]))
    {
        None
    } else {
        Some(Dependency::Registry)
    }
}

/// Registries that many pull from.
const REGISTRIES: [&str; 9] = [
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

fn is_registry(host: &str) -> bool {
    REGISTRIES.iter().any(|registry| host.ends_with(registry))
}
