//! The exact next commands: the probe as a task of its own, and reads.

use super::reading::Reading;
use super::{Explanation, Known, Sign, Step};
use crate::cause::{Cause, Family};
use crate::endpoints::Region;
use crate::observation::{Role, Scope};

/// What tells more, the most telling first.
pub fn commands(explanation: &Explanation, reading: &Reading, known: &Known) -> Vec<String> {
    let mut next = Vec::new();
    if explanation.family == Family::Unknown {
        return unknown(explanation, known);
    }
    let region = reading.region();
    let cluster = known.cluster.as_deref().unwrap_or("CLUSTER");
    let service = explanation.service.as_deref().unwrap_or("SERVICE");
    if on_the_way(explanation) {
        next.push(probe_where(cluster, service));
    }
    next.extend(reads(explanation, reading, region.as_ref()));
    if let Some(first) = explanation.findings.first() {
        next.push(format!("pullprobe causes {}", first.cause));
    }
    next
}

fn on_the_way(explanation: &Explanation) -> bool {
    matches!(explanation.family, Family::Network | Family::Resolve | Family::Tls)
        || explanation.findings.iter().any(|finding| finding.cause == Cause::FileSystemUnreachable)
}

/// What to send where the text alone says nothing.
fn unknown(explanation: &Explanation, known: &Known) -> Vec<String> {
    let cluster = known.cluster.as_deref().unwrap_or("CLUSTER");
    let task = known.task_arn.as_deref().unwrap_or("TASK");
    let mut next = vec![
        format!("aws ecs describe-tasks --cluster {cluster} --tasks {task} > task.json"),
        "pullprobe explain --describe-tasks task.json".to_owned(),
    ];
    next.push(probe_where(cluster, explanation.service.as_deref().unwrap_or("SERVICE")));
    next
}

/// Runs the probe in the service's own subnets, with its security groups (README, "In your own subnet").
fn probe_where(cluster: &str, service: &str) -> String {
    format!(
        "aws ecs run-task --cluster {cluster} --launch-type FARGATE --task-definition pullprobe --network-configuration \
         \"$(aws ecs describe-services --cluster {cluster} --services {service} \
         --query 'services[0].networkConfiguration' --output json)\""
    )
}

fn reads(explanation: &Explanation, reading: &Reading, region: Option<&Region>) -> Vec<String> {
    let at = region.map(|region| format!(" --region {region}")).unwrap_or_default();
    let named = |service: &str, otherwise: &'static str| {
        let arn = reading.parts.arns.iter().find(|arn| arn.split(':').nth(2) == Some(service));
        arn.filter(|arn| arn.is_ascii() && !arn.contains('\'')).cloned().unwrap_or_else(|| otherwise.to_owned())
    };
    let mut reads = Vec::new();
    match explanation.family {
        Family::Network => {
            if let (Some(peer), Some(Scope::Private)) = (explanation.peer, reading.scope()) {
                reads.push(format!(
                    "aws ec2 describe-network-interfaces{at} --filters Name=addresses.private-ip-address,Values={peer}"
                ));
            } else if let Some(service) = explanation.role.and_then(endpoint_service) {
                let region = region.map_or("REGION".to_owned(), ToString::to_string);
                reads.push(format!(
                    "aws ec2 describe-vpc-endpoints{at} --filters Name=service-name,Values=com.amazonaws.{region}.{service}"
                ));
            }
        }
        Family::Resolve => {
            reads.push(format!("aws ec2 describe-vpc-attribute{at} --attribute enableDnsSupport --vpc-id VPC"));
        }
        Family::Permission | Family::Placement if explanation.step == Step::AssumeRole => {
            let role = role_name(&named("iam", "")).unwrap_or("ROLE".into());
            reads.push(format!("aws iam get-role --role-name {role} --query Role.AssumeRolePolicyDocument"));
        }
        Family::Permission => {
            if let Some(endpoint) = endpoint_policy(explanation) {
                reads.push(format!(
                    "aws ec2 describe-vpc-endpoints{at} --filters Name=service-name,Values=com.amazonaws.{}.{endpoint} \
                     --query 'VpcEndpoints[].PolicyDocument'",
                    region.map_or("REGION".to_owned(), ToString::to_string)
                ));
            }
            let denial = reading.parts.denial.clone().unwrap_or_default();
            let role = denial.principal.as_deref().and_then(role_name).unwrap_or("ROLE".into());
            reads.push(format!("aws iam list-attached-role-policies --role-name {role}"));
        }
        Family::Image => {
            let repository = reading.parts.image.as_deref().and_then(|image| image.parse().ok());
            let repository = repository.map_or("REPOSITORY".into(), |r: crate::reference::Reference| r.repository);
            reads.push(format!("aws ecr describe-images{at} --repository-name {repository}"));
        }
        Family::Secret if explanation.role == Some(Role::Ssm) => {
            reads.push(format!("aws ssm get-parameters{at} --names NAME"));
        }
        Family::Secret => {
            let secret = named("secretsmanager", "SECRET");
            reads.push(format!("aws secretsmanager describe-secret{at} --secret-id '{secret}'"));
        }
        Family::Logs => reads.push(format!("aws logs describe-log-groups{at} --log-group-name-prefix GROUP")),
        Family::Storage if explanation.step == Step::FileSystem => {
            reads.push(format!("aws efs describe-mount-targets{at} --file-system-id FILE_SYSTEM"));
        }
        Family::Placement if reading.sign != Some(Sign::Capacity) => {
            reads.push(format!("aws ec2 describe-subnets{at} --query 'Subnets[].[SubnetId,AvailableIpAddressCount]'"));
        }
        _ => {}
    }
    reads
}

/// The last part of a VPC endpoint service's name.
fn endpoint_service(role: Role) -> Option<&'static str> {
    match role {
        Role::EcrApi => Some("ecr.api"),
        Role::EcrDkr => Some("ecr.dkr"),
        Role::S3 | Role::EnvironmentFile => Some("s3"),
        Role::Logs => Some("logs"),
        Role::SecretsManager => Some("secretsmanager"),
        Role::Ssm => Some("ssm"),
        Role::Efs => Some("elasticfilesystem"),
        _ => None,
    }
}

fn endpoint_policy(explanation: &Explanation) -> Option<&'static str> {
    let endpoint = |cause| matches!(cause, Cause::EndpointPolicyDenies | Cause::S3EndpointPolicyDenies);
    let first = explanation.findings.first().filter(|first| endpoint(first.cause))?;
    endpoint_service(explanation.role.unwrap_or(first.role))
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
