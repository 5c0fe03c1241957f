//! The requests that ECS makes at a target: for endpoint policies, role policies and resource
//! policies.

use super::snapshot::{ObjectKind, Snapshot};
use crate::arn::Arn;
use crate::endpoints;
use crate::plan::{ImagePull, Target, TargetIndex, ValueFrom};
use crate::reference::Registry;

/// Whose credentials sign a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    /// The task execution role.
    ExecutionRole,
    /// Amazon ECR, which signs the URLs of layers.
    Ecr,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NeededRequest {
    /// Such as `ecr:BatchGetImage`.
    pub action: &'static str,
    /// ARN that policies are matched against, or `*`.
    pub resource: String,
    /// ARN for a statement that allows it.
    pub pattern: String,
    pub signer: Signer,
    /// The object, for its resource-based policy and its existence.
    pub object: Option<(ObjectKind, String)>,
}

/// The object's key of a repository.
pub(super) fn repository_key(image: &ImagePull) -> Option<String> {
    match &image.reference.registry {
        Registry::Ecr {
            account, region, ..
        } => Some(format!("{account}/{region}/{}", image.reference.repository)),
        Registry::Other { .. } => None,
    }
}

/// Returns the ARN of an image's repository in Amazon ECR.
pub(super) fn repository_arn(image: &ImagePull) -> Option<String> {
    let Registry::Ecr {
        account, region, ..
    } = &image.reference.registry
    else {
        return None;
    };
    let resource = format!("repository/{}", image.reference.repository);
    let partition = region.partition().name();
    Some(Arn::pattern(partition, "ecr", region.as_str(), Some(account), resource).to_string())
}

/// Returns the requests at a target.
pub(super) fn requests_at(snapshot: &Snapshot, target: &Target) -> Vec<NeededRequest> {
    let plan = &snapshot.plan;
    let account = snapshot.task_account();
    let is_here = |index: TargetIndex| plan.target(index).key == target.key;
    let request = |action, resource: String, object| NeededRequest {
        action,
        pattern: resource.clone(),
        resource,
        signer: Signer::ExecutionRole,
        object,
    };
    let mut requests = Vec::new();
    for image in &plan.images {
        if image.token.is_some_and(is_here) {
            requests.push(request("ecr:GetAuthorizationToken", "*".into(), None));
        }
        if is_here(image.registry)
            && let (Some(arn), key) = (repository_arn(image), repository_key(image))
        {
            let object = key.map(|key| (ObjectKind::Repository, key));
            for action in ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] {
                requests.push(request(action, arn.clone(), object.clone()));
            }
        }
        if image.layers.is_some_and(is_here)
            && let Registry::Ecr { region, .. } = &image.reference.registry
        {
            let partition = region.partition().name();
            let bucket = endpoints::layer_bucket(region);
            requests.push(NeededRequest {
                action: "s3:GetObject",
                resource: format!("arn:{partition}:s3:::{bucket}/layer"),
                pattern: format!("arn:{partition}:s3:::{bucket}/*"),
                signer: Signer::Ecr,
                object: None,
            });
        }
        if let Some(login) = &image.login
            && is_here(login.target)
        {
            let arn = secret_arn(snapshot, &login.secret, account.as_deref());
            let object = Some((ObjectKind::Secret, login.secret.clone()));
            requests.push(request("secretsmanager:GetSecretValue", arn, object));
        }
    }
    for log in plan.logs.iter().filter(|log| is_here(log.target)) {
        let (partition, region) = (log.region.partition().name(), log.region.as_str());
        let of = |resource: String| {
            Arn::pattern(partition, "logs", region, account.as_deref(), resource).to_string()
        };
        let object = Some((ObjectKind::LogGroup, format!("{region}/{}", log.group)));
        let mut actions = vec![
            ("logs:CreateLogStream", "log-stream:".to_owned()),
            (
                "logs:PutLogEvents",
                format!("log-stream:{}/container/task", log.stream_prefix),
            ),
        ];
        if log.create_group {
            actions.push(("logs:CreateLogGroup", "log-stream:".to_owned()));
        }
        for (action, end) in actions {
            requests.push(NeededRequest {
                pattern: of(format!("log-group:{}:*", log.group)),
                ..request(
                    action,
                    of(format!("log-group:{}:{end}", log.group)),
                    object.clone(),
                )
            });
        }
    }
    for secret in plan.secrets.iter().filter(|secret| is_here(secret.target)) {
        match &secret.value_from {
            ValueFrom::Secret { arn, .. } => {
                let object = Some((ObjectKind::Secret, arn.clone()));
                let arn = secret_arn(snapshot, arn, account.as_deref());
                requests.push(request("secretsmanager:GetSecretValue", arn, object));
            }
            ValueFrom::Parameter { name, region } => {
                let region = region.as_ref().unwrap_or(&plan.region);
                let arn = if name.starts_with("arn:") {
                    name.clone()
                } else {
                    let resource = format!("parameter/{}", name.trim_start_matches('/'));
                    let partition = region.partition().name();
                    Arn::pattern(
                        partition,
                        "ssm",
                        region.as_str(),
                        account.as_deref(),
                        resource,
                    )
                    .to_string()
                };
                let object = Some((ObjectKind::Parameter, name.clone()));
                requests.push(request("ssm:GetParameters", arn, object));
            }
        }
    }
    for file in plan
        .environment_files
        .iter()
        .filter(|file| is_here(file.target))
    {
        requests.push(request("s3:GetObject", file.arn.clone(), None));
        let partition = plan.region.partition().name();
        let bucket = format!("arn:{partition}:s3:::{}", file.bucket);
        requests.push(request("s3:GetBucketLocation", bucket, None));
    }
    let mut unique: Vec<NeededRequest> = Vec::new();
    for request in requests {
        if !unique.contains(&request) {
            unique.push(request);
        }
    }
    unique
}

/// Returns the complete ARN of a secret, as far as it is known: Secrets Manager ends every ARN with
/// six random characters, which only its answer tells.
fn secret_arn(snapshot: &Snapshot, secret: &str, account: Option<&str>) -> String {
    let read = snapshot.object(ObjectKind::Secret, secret);
    if let Some(arn) = read.and_then(|object| object.arn.clone()) {
        return arn;
    }
    if secret.starts_with("arn:") {
        return secret.to_owned();
    }
    let region = &snapshot.plan.region;
    let (partition, resource) = (region.partition().name(), format!("secret:{secret}-??????"));
    Arn::pattern(
        partition,
        "secretsmanager",
        region.as_str(),
        account,
        resource,
    )
    .to_string()
}
