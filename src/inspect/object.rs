//! Whether the repository, image, secret, parameter and log group exist.

use super::change::ConfigurationChange;
use super::hop::{HopFault, HopKind, JudgedHop};
use super::needed_request::repository_key;
use super::snapshot::{ObjectKind, ObjectState, Snapshot};
use crate::cause::Cause;
use crate::plan::{Target, TargetIndex, ValueFrom};

/// Returns one hop for each object at a target.
pub(super) fn objects_at(snapshot: &Snapshot, target: &Target) -> Vec<JudgedHop> {
    let plan = &snapshot.plan;
    let is_here = |index: TargetIndex| plan.target(index).key == target.key;
    let mut steps = Vec::new();
    for image in plan.images.iter().filter(|image| is_here(image.registry)) {
        let Some(key) = repository_key(image) else {
            continue;
        };
        let repository = &image.reference.repository;
        let step = object_step(
            snapshot,
            ObjectKind::Repository,
            &key,
            &format!("The repository {repository}"),
            Cause::RepositoryNotFound,
            None,
        );
        let exists = snapshot
            .object(ObjectKind::Repository, &key)
            .is_some_and(|object| object.state == ObjectState::Found);
        steps.push(step);
        steps.extend(key_of(snapshot, ObjectKind::Repository, &key));
        steps.extend(registry_policy(snapshot, &key));
        if exists {
            let reference = image.reference.to_string();
            steps.push(object_step(
                snapshot,
                ObjectKind::Image,
                &reference,
                &format!("The image {reference}"),
                Cause::ImageNotFound,
                None,
            ));
        }
    }
    let secrets = plan
        .secrets
        .iter()
        .filter(|secret| is_here(secret.target))
        .map(|secret| match &secret.value_from {
            ValueFrom::Secret { arn, .. } => (ObjectKind::Secret, arn),
            ValueFrom::Parameter { name, .. } => (ObjectKind::Parameter, name),
        });
    let logins = plan.images.iter().filter_map(|image| image.login.as_ref());
    let logins = logins
        .filter(|login| is_here(login.target))
        .map(|login| (ObjectKind::Secret, &login.secret));
    for (kind, key) in secrets.chain(logins) {
        let (noun, cause) = if kind == ObjectKind::Secret {
            ("secret", Cause::SecretNotFound)
        } else {
            ("parameter", Cause::ParameterNotFound)
        };
        let name = format!("The {noun} {key}");
        steps.push(object_step(snapshot, kind, key, &name, cause, None));
        steps.extend(key_of(snapshot, kind, key));
    }
    for log in plan.logs.iter().filter(|log| is_here(log.target)) {
        // A missing group is created.
        if log.create_group {
            continue;
        }
        let key = format!("{}/{}", log.region, log.group);
        let change = ConfigurationChange::CreateLogGroup {
            name: log.group.clone(),
        };
        steps.push(object_step(
            snapshot,
            ObjectKind::LogGroup,
            &key,
            &format!("The log group {}", log.group),
            Cause::LogGroupMissing,
            Some(change),
        ));
    }
    let files = plan.environment_files.iter();
    for file in files.filter(|file| is_here(file.target)) {
        steps.push(JudgedHop::unknown(
            HopKind::Object,
            &file.arn,
            "",
            format!(
                "The environment file {} and the policy and encryption of its bucket are not read.",
                file.arn
            ),
        ));
    }
    let mut unique: Vec<JudgedHop> = Vec::new();
    for step in steps {
        if !unique.contains(&step) {
            unique.push(step);
        }
    }
    unique
}

/// Returns an unknown hop for an object that a customer managed key encrypts: neither the key's
/// state nor its policy is read, and the task execution role needs `kms:Decrypt` for secrets and
/// parameters.
fn key_of(snapshot: &Snapshot, kind: ObjectKind, key: &str) -> Option<JudgedHop> {
    let object = snapshot.object(kind, key)?;
    let kms_key = object.kms_key.as_deref()?;
    let why = format!(
        "The KMS key {kms_key} encrypts {}; its state, its policy and who may use it are not read.",
        object.arn.as_deref().unwrap_or(key)
    );
    Some(JudgedHop::unknown(HopKind::Object, kms_key, "", why))
}

/// Returns an unknown hop unless the policy of a repository's registry was read and there is none:
/// it may deny pulls (Amazon ECR user guide, "Private registry permissions").
fn registry_policy(snapshot: &Snapshot, repository: &str) -> Option<JudgedHop> {
    let mut parts = repository.splitn(3, '/');
    let (account, region) = (parts.next()?, parts.next()?);
    let registry = format!("{account}/{region}");
    let object = snapshot.object(ObjectKind::Registry, &registry);
    let why = match object {
        Some(object) if object.is_policy_read && object.policy.is_none() => return None,
        Some(object) if object.policy.is_some() => format!(
            "The private registry of account {account} in {region} has a registry policy, which may deny pulls and is not \
             evaluated."
        ),
        _ => format!(
            "The registry policy of account {account} in {region}, which may deny pulls, was not read \
             (ecr:GetRegistryPolicy, in that account)."
        ),
    };
    Some(JudgedHop::unknown(
        HopKind::ResourcePolicy,
        &registry,
        "",
        why,
    ))
}

fn object_step(
    snapshot: &Snapshot,
    kind: ObjectKind,
    key: &str,
    name: &str,
    cause: Cause,
    change: Option<ConfigurationChange>,
) -> JudgedHop {
    let object = snapshot.object(kind, key);
    let shown = object.and_then(|object| object.arn.as_deref());
    // The Region of a log group's key is not part of its name.
    let bare = match kind {
        ObjectKind::LogGroup | ObjectKind::Repository => {
            let parts = if kind == ObjectKind::LogGroup { 2 } else { 3 };
            key.splitn(parts, '/').last().unwrap_or(key)
        }
        _ => key,
    };
    let shown = shown.unwrap_or(bare);
    match object.map(|object| &object.state) {
        Some(ObjectState::Found) => {
            JudgedHop::open(HopKind::Object, shown, "exists", format!("{name} exists."))
        }
        Some(ObjectState::Missing) => JudgedHop::closed(
            HopKind::Object,
            shown,
            "does not exist",
            format!("{name} does not exist."),
            HopFault::new(cause, change),
        ),
        Some(ObjectState::Unusable(why)) => JudgedHop::closed(
            HopKind::Object,
            shown,
            why.clone(),
            format!("{name} cannot be used: it {why}."),
            HopFault::new(cause, []),
        ),
        Some(ObjectState::Unknown(why)) => JudgedHop::unknown(
            HopKind::Object,
            shown,
            "",
            format!("Whether it exists could not be determined: {why}."),
        ),
        None => JudgedHop::unknown(
            HopKind::Object,
            shown,
            "",
            "Whether it exists was not read.",
        ),
    }
}
