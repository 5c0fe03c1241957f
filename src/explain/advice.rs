//! What a cause's page cannot know: remedies that depend on the service and the caller.
//!
//! A page speaks of the task execution role and of Amazon ECR. Another registry has no IAM
//! role, and a call of the infrastructure role is not fixed in the execution role.

use super::parsed::ParsedMessage;
use super::sign::Sign;
use super::step::Step;
use crate::arn::Arn;
use crate::cause::Cause;
use crate::diagnose::policy_statement;
use crate::observation::{Dependency, PolicyKind};
use crate::safe_text::SafeText;

/// Beginnings of the session names of callers other than tasks: AWS `CodeBuild`, the AWS CLI and
/// the AWS SDK for Python, GitHub's action for credentials, and Amazon `SageMaker`. The session
/// name of a task is its ID.
const OTHER_SESSIONS: [&str; 4] = [
    "AWSCodeBuild-",
    "botocore-session-",
    "GitHubActions",
    "SageMaker",
];

/// Returns one sentence on what is wrong, if the message says more than the cause's page.
pub fn summary(message: &ParsedMessage, cause: Cause) -> Option<&'static str> {
    match (message.sign?, cause) {
        (Sign::NotPlaced(refusal), _) => Some(refusal.summary()),
        (Sign::DirectoryMissing, _) => {
            Some("The file system responds, but does not contain the directory that is mounted.")
        }
        (Sign::WrongDigest, Cause::LayerUnavailable) => {
            Some("The content that the registry returns does not match the requested digest.")
        }
        _ => None,
    }
}

/// Returns one sentence on what to change, if the page's remedy would be wrong or vague here.
pub fn remedy(message: &ParsedMessage, cause: Cause) -> Option<String> {
    let action = message.fields.denied_action().unwrap_or_default();
    match (message.sign?, cause) {
        (Sign::NotPlaced(refusal), _) => Some(refusal.remedy().to_owned()),
        (Sign::WrongPlatform | Sign::NotExecutable, Cause::PlatformMismatch) => {
            let platform = ["linux/amd64", "linux/arm64"]
                .into_iter()
                .find(|platform| message.text.dense.contains(platform))?;
            Some(format!(
                "Build the image with `docker buildx build --platform {platform}`, or set \
                 runtimePlatform in the task definition to the image's platform."
            ))
        }
        (_, Cause::NoCredentials) => Some(
            "Set a task execution role (executionRoleArn); on EC2 capacity without one, attach an \
             instance profile to the container instance."
                .to_owned(),
        ),
        (Sign::DirectoryMissing, _) => Some(
            "Create the directory on the file system, mount its root, or use an access point, \
             which creates its own root directory."
                .to_owned(),
        ),
        (_, Cause::ImageNotFound) if message.names_digest() => Some(
            "Start a new deployment after the image is pushed: ECS resolved the tag to this digest \
             when the deployment began, and keeps requesting it."
                .to_owned(),
        ),
        (_, Cause::ImageNotFound | Cause::RepositoryNotFound | Cause::RegistryLoginFailed)
            if message.docker_hub_image().is_some() =>
        {
            Some(
                "If you did not mean Docker Hub, put the registry before the image's name in the \
                 task definition; otherwise correct the name and tag, or log in with \
                 repositoryCredentials."
                    .to_owned(),
            )
        }
        (_, Cause::RegistryLoginFailed) if message.is_of_ecr_public() => Some(
            "Pull without a login, which Amazon ECR Public allows: an expired login is in the \
             way, so run `docker logout public.ecr.aws` on the instance."
                .to_owned(),
        ),
        (Sign::Denied, Cause::IdentityPolicyMissingAction | Cause::PermissionDenied)
            if action == "logs:createloggroup" =>
        {
            let caller = other_caller(message).unwrap_or("the task execution role".to_owned());
            Some(format!(
                "Create the log group and leave out awslogs-create-group, or allow \
                 logs:CreateLogGroup in a policy of {caller}."
            ))
        }
        (Sign::Denied, Cause::IdentityPolicyMissingAction | Cause::IdentityPolicyDenies) => {
            let caller = other_caller(message)?;
            Some(match cause {
                Cause::IdentityPolicyDenies => {
                    format!("Remove or narrow the deny statement in the policies of {caller}.")
                }
                _ => format!(
                    "Allow the action and resource that the message names in a policy of {caller}."
                ),
            })
        }
        _ => None,
    }
}

/// Returns the policy statement that allows the denied request; none where a policy denies it
/// explicitly, or where the message does not name the action.
pub fn fix(message: &ParsedMessage, cause: Cause) -> Vec<String> {
    let is_missing = matches!(
        cause,
        Cause::IdentityPolicyMissingAction
            | Cause::PermissionsBoundaryDenies
            | Cause::SessionPolicyDenies
            | Cause::ServiceControlPolicyDenies
            | Cause::PermissionDenied
            | Cause::KmsKeyDenies
    );
    let Some(denial) = message.fields.denial.as_ref().filter(|_| is_missing) else {
        return Vec::new();
    };
    // A space within a name is a line break of the pasted message.
    let whole = |part: &Option<SafeText>| part.as_ref().map(|part| part.replace(' ', ""));
    match (whole(&denial.action), whole(&denial.resource)) {
        (Some(action), resource) if !denial.explicit => {
            let resource = resource.unwrap_or_else(|| "*".to_owned());
            vec![policy_statement(&action, &resource).to_string()]
        }
        _ => Vec::new(),
    }
}

/// Returns the caller of a denied request if it is not the task execution role.
fn other_caller(message: &ParsedMessage) -> Option<String> {
    let denial = message.fields.denial.as_ref()?;
    // A space within an ARN is a line break of the pasted message.
    let principal = denial.principal.as_deref()?.replace(' ', "");
    let named = principal
        .parse::<Arn>()
        .ok()
        .and_then(|arn| arn.role_name().map(|role| format!(" {role}")))
        .unwrap_or_default();
    if message.step == Step::NetworkInterface || principal.contains("ManagedInstances") {
        return Some(format!("the ECS infrastructure role{named}"));
    }
    let arn = principal.parse::<Arn>().ok();
    if let Some(user) = arn.as_ref().and_then(Arn::user_name) {
        return Some(format!("the IAM user {user}"));
    }
    let session = principal.rsplit('/').next().unwrap_or_default();
    if session.starts_with("i-") {
        return Some(format!("the instance role{named}"));
    }
    if OTHER_SESSIONS.iter().any(|name| session.starts_with(name)) {
        return Some(format!("the role{named}, which is not the task's"));
    }
    let action = message.fields.denied_action().unwrap_or_default();
    // The person or pipeline that starts a task passes its roles.
    (action == "iam:passrole" || action.starts_with("ecs:"))
        .then(|| format!("the caller{named}, who starts the task"))
}

/// Whether AWS policies decide the denied request: those of Amazon S3, AWS KMS or the role itself.
/// A registry outside AWS does not evaluate them.
pub fn is_policy_of_aws(message: &ParsedMessage) -> bool {
    message.dependency != Some(Dependency::Registry)
        || message.fields.denial.as_ref().is_some_and(|denial| {
            denial
                .policy
                .is_some_and(|policy| policy != PolicyKind::KmsKey)
        })
}
