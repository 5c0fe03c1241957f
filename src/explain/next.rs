//! The exact next commands: the probe as a task of its own, and reads.

use super::parsed::Reading;
use super::{Explanation, Known, Sign, Step};
use crate::cause::{Cause, Family};
use crate::endpoints::Region;
use crate::observation::{Dependency, Scope};
use crate::reference::Reference;

/// What tells more, the most telling first.
pub fn commands(explanation: &Explanation, reading: &Reading, known: &Known) -> Vec<String> {
    let mut next = Vec::new();
    if explanation.family == Family::Unknown {
        return unknown(explanation, known);
    }
    let region = reading.region();
    if on_the_way(explanation) {
        next.push(probe_where(explanation, known, region.as_ref()));
    }
    next.extend(reads(explanation, reading, region.as_ref()));
    if let Some(first) = explanation.findings.first() {
        next.push(format!("pullprobe causes {}", first.cause));
    }
    next
}

fn on_the_way(explanation: &Explanation) -> bool {
    matches!(
        explanation.family,
        Family::Network | Family::Resolve | Family::Tls
    ) || explanation
        .findings
        .iter()
        .any(|finding| finding.cause == Cause::FileSystemUnreachable)
}

/// What to send where the text alone says nothing.
fn unknown(explanation: &Explanation, known: &Known) -> Vec<String> {
    let cluster = known.cluster.as_deref().unwrap_or("CLUSTER");
    let service = explanation.service.as_deref().unwrap_or("SERVICE");
    let mut next = if known.task_arn.is_some() {
        // The task has said all that it says.
        vec![format!(
            "aws ecs describe-services --cluster {cluster} --services {service} --query 'services[0].events[:10].message'"
        )]
    } else if cfg!(feature = "operator") {
        vec![format!("pullprobe explain --task TASK --cluster {cluster}")]
    } else {
        vec![
            format!("aws ecs describe-tasks --cluster {cluster} --tasks TASK > task.json"),
            "pullprobe explain --describe-tasks task.json".to_owned(),
        ]
    };
    next.push(probe_where(explanation, known, None));
    next
}

/// Runs the probe where the task was to run: in the subnets of its service, or in the task's own.
/// The image, which has no such command, says where to find it.
fn probe_where(explanation: &Explanation, known: &Known, region: Option<&Region>) -> String {
    let target = match (explanation.service.as_deref(), known.task_arn.as_deref()) {
        (None, Some(task)) => format!("--like {task}"),
        (service, _) => {
            let cluster = known.cluster.as_deref().unwrap_or("CLUSTER");
            let at = region
                .map(|region| format!(" --region {region}"))
                .unwrap_or_default();
            format!(
                "--cluster {cluster} --service {}{at}",
                service.unwrap_or("SERVICE")
            )
        }
    };
    let elsewhere = if cfg!(feature = "operator") {
        ""
    } else {
        "  # pullprobe as built from its repository, not the image's"
    };
    format!("pullprobe launch {target}{elsewhere}")
}

fn reads(explanation: &Explanation, reading: &Reading, region: Option<&Region>) -> Vec<String> {
    let at = region
        .map(|region| format!(" --region {region}"))
        .unwrap_or_default();
    let mut reads = Vec::new();
    match explanation.family {
        Family::Network => {
            if let (Some(peer), Some(Scope::Private)) = (explanation.peer, reading.scope()) {
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
            let role =
                role_name(named(reading, "iam", "").trim_matches('\'')).unwrap_or("ROLE".into());
            reads.push(format!(
                "aws iam get-role --role-name {role} --query Role.AssumeRolePolicyDocument"
            ));
        }
        Family::Permission => reads.extend(policies(explanation, reading, region)),
        Family::Image => {
            let repository = repository(reading);
            reads.push(format!(
                "aws ecr describe-images{at} --repository-name {repository}"
            ));
        }
        Family::Secret if explanation.dependency == Some(Dependency::Ssm) => {
            reads.push(format!("aws ssm get-parameters{at} --names NAME"));
        }
        Family::Secret => {
            let secret = named(reading, "secretsmanager", "SECRET");
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
        Family::Placement if reading.sign != Some(Sign::Capacity) => {
            reads.push(format!("aws ec2 describe-subnets{at} --query 'Subnets[].[SubnetId,AvailableIpAddressCount]'"));
        }
        _ => {}
    }
    reads
}

/// Reads of the policies that may be in the way, of the first finding's kind.
fn policies(explanation: &Explanation, reading: &Reading, region: Option<&Region>) -> Vec<String> {
    let Some(first) = explanation.findings.first() else {
        return Vec::new();
    };
    let at = region
        .map(|region| format!(" --region {region}"))
        .unwrap_or_default();
    let denial = reading.parts.denial.clone().unwrap_or_default();
    let role = denial
        .principal
        .as_deref()
        .and_then(role_name)
        .unwrap_or("ROLE".into());
    let organization = |kind: &str| {
        let account = denial
            .principal
            .as_deref()
            .and_then(|arn| arn.split(':').nth(4));
        let account = account
            .filter(|account| account.bytes().all(|b| b.is_ascii_digit()))
            .unwrap_or("ACCOUNT");
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
                named(reading, "kms", "KEY")
            )]
        }
        Cause::ResourcePolicyDenies if explanation.step == Step::Secrets => {
            let secret = named(reading, "secretsmanager", "SECRET");
            vec![format!(
                "aws secretsmanager get-resource-policy{at} --secret-id {secret}"
            )]
        }
        Cause::ResourcePolicyDenies => {
            vec![format!(
                "aws ecr get-repository-policy{at} --repository-name {}",
                repository(reading)
            )]
        }
        Cause::RegistryLoginFailed => Vec::new(),
        _ => vec![
            format!("aws iam list-attached-role-policies --role-name {role}"),
            format!("aws iam list-role-policies --role-name {role}"),
        ],
    }
}

/// The first ARN of a service in the text, quoted for a shell.
fn named(reading: &Reading, service: &str, otherwise: &str) -> String {
    let arn = reading
        .parts
        .arns
        .iter()
        .find(|arn| arn.split(':').nth(2) == Some(service));
    let arn = arn.filter(|arn| arn.is_ascii() && !arn.contains('\''));
    arn.map_or(otherwise.to_owned(), |arn| format!("'{arn}'"))
}

/// Of the image that the text names.
fn repository(reading: &Reading) -> String {
    let image = reading
        .parts
        .image
        .as_deref()
        .and_then(|image| image.parse::<Reference>().ok());
    image.map_or("REPOSITORY".into(), |image| image.repository)
}

/// The last part of a VPC endpoint service's name.
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

/// `NAME` of `…:assumed-role/NAME/session` or `…:role/NAME`; nothing that a shell would read.
fn role_name(arn: &str) -> Option<String> {
    let (kind, rest) = arn.rsplit(':').next()?.split_once('/')?;
    let name = match kind {
        "assumed-role" => rest.split('/').next(),
        "role" => rest.rsplit('/').next(),
        _ => None,
    }?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}
