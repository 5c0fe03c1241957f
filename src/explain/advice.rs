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
        (_, Cause::S3GatewayMissing) if message.step == Step::EnvironmentFile => {
            Some("The subnet has no route to Amazon S3, which stores the environment file.")
        }
        (Sign::NotTls, Cause::NamePointsElsewhere) if message.is_own_server() => {
            Some("The server speaks HTTP without TLS, or is not the one that is meant.")
        }
        (Sign::Denied, Cause::IdentityPolicyMissingAction) if is_of_user(message) => {
            Some("No identity-based policy of the IAM user allows this action.")
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
        (
            sign,
            Cause::NoEgressRoute
            | Cause::TaskSecurityGroupEgress
            | Cause::ConnectionRefused
            | Cause::NamePointsElsewhere
            | Cause::TlsIntercepted
            | Cause::RegistryRateLimited,
        ) => outside_aws(message, sign, cause),
        (_, Cause::RoleNotAssumable) => role_not_assumable(message).map(str::to_owned),
        (Sign::Denied, Cause::PermissionDenied) if action != "logs:createloggroup" => {
            let caller = other_caller(message)?;
            Some(format!(
                "Allow the action and resource that the message names in a policy of {caller}, \
                 unless CloudTrail shows that another policy denies them."
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

/// Returns what to change on the way to a registry or log collector outside AWS, which has no VPC
/// endpoint.
fn outside_aws(message: &ParsedMessage, sign: Sign, cause: Cause) -> Option<String> {
    let dependency = message.dependency?;
    let is_collector = matches!(dependency, Dependency::Splunk | Dependency::LogRouter);
    let is_registry = dependency == Dependency::Registry;
    let remedy = match cause {
        Cause::NoEgressRoute if is_registry => {
            "Add a default route to a NAT gateway to the subnet's route table, or copy the image \
             to Amazon ECR, to which endpoints lead."
        }
        Cause::NoEgressRoute if is_collector => {
            "Add a default route to a NAT gateway to the subnet's route table, or use a log \
             collector in the VPC."
        }
        Cause::TaskSecurityGroupEgress if message.text.dense.contains("proxyconnect") => {
            "Allow outbound traffic to the proxy's address and port, or correct the proxy in the \
             configuration of Docker and the ECS agent."
        }
        Cause::TaskSecurityGroupEgress if is_registry => {
            "Allow outbound TCP 443 to the registry in the task's security group."
        }
        Cause::TaskSecurityGroupEgress if is_collector => {
            "Allow outbound traffic to the log collector's port in the task's security group."
        }
        Cause::ConnectionRefused if is_collector => {
            "Start the log collector before the task's containers, and check its address and port \
             in logConfiguration."
        }
        Cause::NamePointsElsewhere if sign == Sign::NotTls && message.is_own_server() => {
            "Put a certificate of a public certificate authority on the server, because ECS pulls \
             over HTTPS, or correct the host name and port in the task definition."
        }
        Cause::TlsIntercepted if is_registry => {
            "Exempt the registry's host names from TLS inspection, or route this traffic around \
             the inspecting device."
        }
        Cause::RegistryRateLimited if message.is_of_ecr_public() => {
            "Pull through an ECR pull-through cache, or copy the image to a repository of your own."
        }
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// Returns what to change where the role is not one of a task.
fn role_not_assumable(message: &ParsedMessage) -> Option<&'static str> {
    let dense = &message.text.dense;
    if dense.contains("role/aws-service-role/") {
        Some(
            "Name another role in the task definition: only ECS itself can assume a service-linked \
             role, and its trust policy cannot be changed.",
        )
    } else if dense.contains("infrastructurerole") {
        Some(
            "Let ecs.amazonaws.com assume the infrastructure role in its trust policy, and allow \
             the launching principal iam:PassRole on it.",
        )
    } else if dense.contains("authenticationconfiguration") {
        Some(
            "Let build.apprunner.amazonaws.com assume the access role in its trust policy, and \
             attach AWSAppRunnerServicePolicyForECRAccess to it.",
        )
    } else {
        None
    }
}

/// Whether the caller of the denied request is an IAM user.
fn is_of_user(message: &ParsedMessage) -> bool {
    message
        .fields
        .denial
        .as_ref()
        .and_then(|denial| denial.principal.as_deref())
        .is_some_and(|principal| principal.contains(":user/"))
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

/// How the sessions of the infrastructure role are named, in which ECS itself sends requests
/// (Amazon ECS developer guide, "infrastructure IAM role").
const INFRASTRUCTURE_SESSIONS: [&str; 4] = [
    "ManagedInstances",
    "ECSTaskVolumesForEBS",
    "ECSServiceConnectForTLS",
    "ECSNetworkingWithVPCLattice",
];

fn is_of_infrastructure(principal: &str) -> bool {
    INFRASTRUCTURE_SESSIONS
        .iter()
        .any(|session| principal.contains(session))
}

/// Whether the denied request was not sent from the task's subnet: ECS itself, a person or a
/// pipeline sent it.
pub fn is_sent_elsewhere(message: &ParsedMessage) -> bool {
    let action = message.fields.denied_action().unwrap_or_default();
    let principal = message
        .fields
        .denial
        .as_ref()
        .and_then(|denial| denial.principal.as_deref());
    principal.is_some_and(is_of_infrastructure)
        || ["iam:", "ec2:", "ecs:"]
            .iter()
            .any(|service| action.starts_with(service))
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
    if message.step == Step::NetworkInterface || is_of_infrastructure(&principal) {
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
