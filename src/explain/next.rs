//! Commands that narrow the cause down: a launch of the probe, and read-only AWS CLI calls.

use super::ending::Ending;
use super::explanation::{Explanation, MessageContext};
use super::parsed::ParsedMessage;
use super::sign::Sign;
use super::stated::Look;
use super::step::Step;
use crate::arn::Arn;
use crate::cause::{Cause, Family};
use crate::endpoints::Region;
use crate::observation::{Dependency, Scope};
use crate::reference::Reference;

/// Returns the commands, the most informative first.
pub fn commands(
    explanation: &Explanation,
    message: &ParsedMessage,
    context: &MessageContext,
    ending: Option<Ending>,
    look: Option<Look>,
) -> Vec<String> {
    let mut next = Vec::new();
    if ending == Some(Ending::Deployment) {
        return of_deployment(explanation, context);
    }
    if explanation.family == Family::Unknown {
        return more_input(explanation, context, ending, look);
    }
    let region = message.region();
    let is_local = explanation.peer.is_some_and(|peer| peer.is_loopback());
    if is_path_failure(explanation) && !is_local {
        next.push(launch(explanation, context, region.as_ref()));
    }
    next.extend(aws_reads(explanation, message, region.as_ref()));
    if let Some(first) = explanation.findings.first() {
        next.push(format!("pullprobe causes {}", first.cause));
    }
    next
}

fn is_path_failure(explanation: &Explanation) -> bool {
    matches!(
        explanation.family,
        Family::Network | Family::Resolve | Family::Tls
    ) || explanation
        .findings
        .iter()
        .any(|finding| finding.cause == Cause::FileSystemUnreachable)
}

/// Returns the commands that read the reasons of a deployment's tasks.
fn of_deployment(explanation: &Explanation, context: &MessageContext) -> Vec<String> {
    let cluster = context.cluster.as_deref().unwrap_or("CLUSTER");
    let service = explanation.service.as_deref().unwrap_or("SERVICE");
    let events = format!(
        "aws ecs describe-services --cluster {cluster} --services {service} --query 'services[0].events[:10].message'"
    );
    if cfg!(feature = "operator") {
        let explain = format!("pullprobe explain --service {service} --cluster {cluster}");
        vec![explain, events]
    } else {
        vec![events]
    }
}

/// Returns the commands that fetch more text, for a message that is not understood.
fn more_input(
    explanation: &Explanation,
    context: &MessageContext,
    ending: Option<Ending>,
    look: Option<Look>,
) -> Vec<String> {
    let cluster = context.cluster.as_deref().unwrap_or("CLUSTER");
    let service = explanation.service.as_deref().unwrap_or("SERVICE");
    let query = |part: &str| {
        format!(
            "aws ecs describe-task-definition --task-definition TASK_DEFINITION --query \
             'taskDefinition.containerDefinitions[].[name,{part}]'"
        )
    };
    match look {
        Some(Look::Command) => {
            return vec![query("image,entryPoint,command,user,workingDirectory")];
        }
        Some(Look::LogOptions) => return vec![query("logConfiguration")],
        _ => {}
    }
    let mut next = if context.task_arn.is_some() {
        // The task has no further reasons; its service may have some.
        vec![format!(
            "aws ecs describe-services --cluster {cluster} --services {service} --query 'services[0].events[:10].message'"
        )]
    } else if cfg!(feature = "operator") {
        vec![
            format!("pullprobe explain --task TASK --cluster {cluster}"),
            format!("pullprobe explain --service {service} --cluster {cluster}"),
        ]
    } else {
        vec![
            format!("aws ecs describe-tasks --cluster {cluster} --tasks TASK > task.json"),
            "pullprobe explain --describe-tasks task.json".to_owned(),
        ]
    };
    if explanation.had_started {
        // The task had started, so a probe would pass.
        next.push(format!(
            "aws ecs describe-tasks --cluster {cluster} --tasks TASK --query 'tasks[].containers[].[name,exitCode,reason]'"
        ));
    } else if ending.is_none()
        && matches!(look, None | Some(Look::Launch))
        // The probe starts no container of the task, and needs a place itself.
        && !matches!(
            explanation.step,
            Step::ContainerStart | Step::NetworkInterface
        )
    {
        next.push(launch(explanation, context, None));
    }
    next
}

/// Returns the command that runs the probe where the task failed: in the subnets of its service, or
/// in the task's own.
fn launch(explanation: &Explanation, context: &MessageContext, region: Option<&Region>) -> String {
    let target = match (explanation.service.as_deref(), context.task_arn.as_deref()) {
        (None, Some(task)) => format!("--like {task}"),
        (service, _) => {
            let cluster = context.cluster.as_deref().unwrap_or("CLUSTER");
            let at = region_flag(region);
            format!(
                "--cluster {cluster} --service {}{at}",
                service.unwrap_or("SERVICE")
            )
        }
    };
    let note = if cfg!(feature = "operator") {
        ""
    } else {
        "  # requires the pullprobe CLI; the image does not have this command"
    };
    format!("pullprobe launch {target}{note}")
}

fn region_flag(region: Option<&Region>) -> String {
    region
        .map(|region| format!(" --region {region}"))
        .unwrap_or_default()
}

/// Returns the read-only AWS CLI calls for the family of the failure.
fn aws_reads(
    explanation: &Explanation,
    message: &ParsedMessage,
    region: Option<&Region>,
) -> Vec<String> {
    let at = region_flag(region);
    let mut reads = Vec::new();
    match explanation.family {
        Family::Network => {
            if let (Some(peer), Some(Scope::Private)) = (explanation.peer, message.scope()) {
                reads.push(format!(
                    "aws ec2 describe-network-interfaces{at} --filters Name=addresses.private-ip-address,Values={peer}"
                ));
            } else if let Some(service) = explanation.dependency.and_then(endpoint_service) {
                let region = region.map_or("REGION".to_owned(), ToString::to_string);
                reads.push(format!(
                    "aws ec2 describe-vpc-endpoints{at} --filters Name=service-name,Values=com.amazonaws.{region}.{service}"
                ));
            }
        }
        Family::Resolve => {
            reads.push(format!(
                "aws ec2 describe-vpc-attribute{at} --attribute enableDnsSupport --vpc-id VPC"
            ));
        }
        Family::Permission | Family::Placement if explanation.step == Step::AssumeRole => {
            let role = message
                .fields
                .arn_of("iam")
                .filter(|arn| is_shell_safe(arn));
            let role = role.and_then(role_name).unwrap_or("ROLE".into());
            reads.push(format!(
                "aws iam get-role --role-name {role} --query Role.AssumeRolePolicyDocument"
            ));
        }
        Family::Permission | Family::Image
            if explanation.dependency == Some(Dependency::Registry) =>
        {
            reads.push(inspect_image(message));
        }
        Family::Permission => {
            reads.extend(create_log_group(message, &at));
            reads.extend(policy_reads(explanation, message, region));
        }
        Family::Image if message.sign == Some(Sign::InvalidReference) => {
            reads.push(format!(
                "aws ecs describe-task-definition{at} --task-definition TASK_DEFINITION --query \
                 'taskDefinition.containerDefinitions[].[name,image]'"
            ));
        }
        // `describe-images` does not show an image's platforms.
        Family::Image
            if matches!(
                message.sign,
                Some(Sign::WrongPlatform | Sign::NotExecutable)
            ) =>
        {
            reads.push(inspect_image(message));
            reads.push(format!(
                "aws ecs describe-task-definition{at} --task-definition TASK_DEFINITION --query taskDefinition.runtimePlatform"
            ));
        }
        Family::Image => {
            let repository = repository(message);
            reads.push(format!(
                "aws ecr describe-images{at} --repository-name {repository}"
            ));
        }
        Family::Secret if explanation.dependency == Some(Dependency::Ssm) => {
            let is_name_char = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            let name = message
                .missing_name()
                .filter(|name| name.chars().all(is_name_char));
            let name = name.unwrap_or("NAME");
            reads.push(format!("aws ssm get-parameters{at} --names {name}"));
        }
        Family::Secret => {
            let secret = quoted_arn(message, "secretsmanager", "SECRET");
            reads.push(format!(
                "aws secretsmanager describe-secret{at} --secret-id {secret}"
            ));
        }
        Family::Logs => reads.push(format!(
            "aws logs describe-log-groups{at} --log-group-name-prefix GROUP"
        )),
        Family::Storage if explanation.step == Step::FileSystem => {
            reads.push(format!(
                "aws efs describe-mount-targets{at} --file-system-id FILE_SYSTEM"
            ));
        }
        Family::Placement if matches!(message.sign, Some(Sign::NotPlaced(_))) => {
            if let Some(Sign::NotPlaced(refusal)) = message.sign {
                reads.extend(refusal.command().map(|command| format!("{command}{at}")));
            }
        }
        Family::Placement if message.sign != Some(Sign::CapacityUnavailable) => {
            reads.push(format!("aws ec2 describe-subnets{at} --query 'Subnets[].[SubnetId,AvailableIpAddressCount]'"));
        }
        _ => {}
    }
    reads
}

/// Returns the command that shows an image's tags and platforms, in any registry.
fn inspect_image(message: &ParsedMessage) -> String {
    let image = message
        .fields
        .image
        .as_deref()
        .and_then(|image| image.parse::<Reference>().ok());
    let image = image.map_or("IMAGE".to_owned(), |image| image.to_string());
    format!("docker buildx imagetools inspect {image}")
}

/// Returns the command that creates the log group which the agent may not create.
fn create_log_group(message: &ParsedMessage, at: &str) -> Option<String> {
    let action = message.fields.denied_action()?;
    if action != "logs:createloggroup" {
        return None;
    }
    let denial = message.fields.denial.as_ref()?;
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || "/_.#-".contains(c);
    let group = denial
        .resource
        .as_deref()
        .and_then(|arn| arn.split(":log-group:").nth(1)?.split(':').next())
        .filter(|group| !group.is_empty() && group.chars().all(is_name_char))
        .unwrap_or("GROUP");
    Some(format!(
        "aws logs create-log-group{at} --log-group-name {group}"
    ))
}

/// Returns the calls that read the policies which may deny the action, by the first finding's
/// cause.
fn policy_reads(
    explanation: &Explanation,
    message: &ParsedMessage,
    region: Option<&Region>,
) -> Vec<String> {
    let Some(first) = explanation.findings.first() else {
        return Vec::new();
    };
    let at = region_flag(region);
    let principal = message
        .fields
        .denial
        .as_ref()
        .and_then(|denial| denial.principal.as_deref());
    let role = principal.and_then(role_name).unwrap_or("ROLE".into());
    let organization = |kind: &str| {
        let account = principal
            .and_then(|arn| Some(arn.replace(' ', "").parse::<Arn>().ok()?.account))
            .filter(|account| !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit()))
            .unwrap_or("ACCOUNT".into());
        vec![format!(
            "aws organizations list-policies-for-target --target-id {account} --filter {kind}_CONTROL_POLICY"
        )]
    };
    match first.cause {
        Cause::EndpointPolicyDenies | Cause::S3EndpointPolicyDenies => {
            let dependency = explanation.dependency.unwrap_or(first.dependency);
            let service = endpoint_service(dependency).map_or("SERVICE".to_owned(), |endpoint| {
                format!(
                    "com.amazonaws.{}.{endpoint}",
                    region.map_or("REGION".to_owned(), ToString::to_string)
                )
            });
            vec![format!(
                "aws ec2 describe-vpc-endpoints{at} --filters Name=service-name,Values={service} \
                 --query 'VpcEndpoints[].PolicyDocument'"
            )]
        }
        Cause::PermissionsBoundaryDenies => {
            vec![format!(
                "aws iam get-role --role-name {role} --query Role.PermissionsBoundary"
            )]
        }
        Cause::ServiceControlPolicyDenies => organization("SERVICE"),
        Cause::ResourceControlPolicyDenies => organization("RESOURCE"),
        Cause::KmsKeyDenies => {
            vec![format!(
                "aws kms get-key-policy{at} --key-id {} --policy-name default",
                quoted_arn(message, "kms", "KEY")
            )]
        }
        Cause::ResourcePolicyDenies if explanation.step == Step::Secrets => {
            let secret = quoted_arn(message, "secretsmanager", "SECRET");
            vec![format!(
                "aws secretsmanager get-resource-policy{at} --secret-id {secret}"
            )]
        }
        Cause::ResourcePolicyDenies => {
            vec![format!(
                "aws ecr get-repository-policy{at} --repository-name {}",
                repository(message)
            )]
        }
        Cause::RegistryLoginFailed => Vec::new(),
        _ => match principal.and_then(user_name) {
            Some(user) => vec![
                format!("aws iam list-attached-user-policies --user-name {user}"),
                format!("aws iam list-user-policies --user-name {user}"),
                format!("aws iam list-groups-for-user --user-name {user}"),
            ],
            None => vec![
                format!("aws iam list-attached-role-policies --role-name {role}"),
                format!("aws iam list-role-policies --role-name {role}"),
            ],
        },
    }
}

/// Returns the first ARN of a service in the message, quoted for a shell, or the placeholder.
fn quoted_arn(message: &ParsedMessage, service: &str, placeholder: &str) -> String {
    let arn = message
        .fields
        .arn_of(service)
        .filter(|arn| is_shell_safe(arn));
    arn.map_or(placeholder.to_owned(), |arn| format!("'{arn}'"))
}

/// Whether an ARN can be put between single quotes.
fn is_shell_safe(arn: &str) -> bool {
    arn.is_ascii() && !arn.contains('\'')
}

/// Returns the repository of the image in the message, or a placeholder.
fn repository(message: &ParsedMessage) -> String {
    let image = message
        .fields
        .image
        .as_deref()
        .and_then(|image| image.parse::<Reference>().ok());
    image.map_or("REPOSITORY".into(), |image| image.repository)
}

/// Returns the last part of the name of the VPC endpoint service, `com.amazonaws.REGION.…`.
fn endpoint_service(dependency: Dependency) -> Option<&'static str> {
    match dependency {
        Dependency::EcrApi => Some("ecr.api"),
        Dependency::EcrDkr => Some("ecr.dkr"),
        Dependency::S3 | Dependency::EnvironmentFile => Some("s3"),
        Dependency::Logs => Some("logs"),
        Dependency::SecretsManager => Some("secretsmanager"),
        Dependency::Ssm => Some("ssm"),
        Dependency::Efs => Some("elasticfilesystem"),
        _ => None,
    }
}

/// Returns the name of the role or of the assumed role, if it has only the characters of IAM names,
/// none of which is special in a shell.
fn role_name(arn: &str) -> Option<String> {
    iam_name(arn, Arn::role_name)
}

/// Returns the name of the IAM user, under the same condition.
fn user_name(arn: &str) -> Option<String> {
    iam_name(arn, Arn::user_name)
}

fn iam_name(arn: &str, name: impl Fn(&Arn) -> Option<&str>) -> Option<String> {
    // A space within an ARN is a line break of the pasted message.
    let arn: Arn = arn.replace(' ', "").parse().ok()?;
    let name = name(&arn)?;
    let is_iam_char = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    (!name.is_empty() && name.chars().all(is_iam_char)).then(|| name.to_owned())
}
