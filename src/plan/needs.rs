//! What a subnet and a role need for a plan to work: VPC endpoints and the least execution-role policy. Pure.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Plan, Target, ValueFrom};
use crate::endpoints::{self, Region, Service};
use crate::observation::Role;
use crate::reference::Registry;

/// A VPC endpoint that a subnet without a way to the internet needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VpcEndpoint {
    /// The endpoint service's name, e.g. `com.amazonaws.eu-west-1.ecr.api`.
    pub service: String,
    /// `interface` or `gateway`.
    pub kind: &'static str,
    /// Whether private DNS must be on. ECS asks for the service's public name.
    pub private_dns: bool,
    /// The role it serves.
    pub role: Role,
}

/// The endpoints for `plan`, and the hosts for which none exists (other registries, other regions).
pub fn vpc_endpoints(plan: &Plan) -> (Vec<VpcEndpoint>, Vec<&Target>) {
    let (mut endpoints, mut beyond) = (Vec::new(), Vec::new());
    for target in &plan.targets {
        let service = match target.role {
            Role::EcrApi => Service::EcrApi,
            Role::EcrDkr => Service::EcrDkr,
            Role::S3 => Service::S3,
            Role::Logs => Service::Logs,
            Role::SecretsManager => Service::SecretsManager,
            Role::Ssm => Service::Ssm,
            _ => {
                beyond.push(target);
                continue;
            }
        };
        // An endpoint serves its own region only (AWS PrivateLink guide, "Considerations").
        if !target.host.contains(plan.region.as_str()) {
            beyond.push(target);
            continue;
        }
        let gateway = target.role == Role::S3;
        endpoints.push(VpcEndpoint {
            service: endpoints::vpc_endpoint_service(service, &plan.region),
            kind: if gateway { "gateway" } else { "interface" },
            private_dns: !gateway,
            role: target.role,
        });
    }
    endpoints.dedup();
    (endpoints, beyond)
}

/// The least policy that lets an execution role start the task. KMS is left out: a key's use shows only when the secret
/// is read, and AWS managed keys need no statement.
pub fn execution_role_policy(plan: &Plan) -> Value {
    let mut statements = Vec::new();
    let repositories: Vec<String> = plan.images.iter().filter_map(|image| repository_arn(&image.reference)).collect();
    if !repositories.is_empty() {
        statements.push(json!({ "Sid": "RegistryToken", "Effect": "Allow",
            "Action": "ecr:GetAuthorizationToken", "Resource": "*" }));
        statements.push(json!({ "Sid": "PullImages", "Effect": "Allow",
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], "Resource": unique(repositories) }));
    }
    let streams = plan.logs.iter().map(|log| {
        let partition = log.region.partition().name();
        format!("arn:{partition}:logs:{}:*:log-group:{}:log-stream:*", log.region, log.group)
    });
    let streams = unique(streams.collect());
    if !streams.is_empty() {
        statements.push(json!({ "Sid": "WriteLogs", "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": streams }));
    }
    let secrets = |secret: &ValueFrom| match secret {
        ValueFrom::Secret { arn, .. } => Some(arn.clone()),
        ValueFrom::Parameter { .. } => None,
    };
    let parameters = |secret: &ValueFrom| match secret {
        ValueFrom::Parameter { name, region } => Some(parameter_arn(name, region.as_ref(), &plan.region)),
        ValueFrom::Secret { .. } => None,
    };
    let read: Vec<String> = plan.secrets.iter().filter_map(|secret| secrets(&secret.value_from)).collect();
    if !read.is_empty() {
        statements.push(json!({ "Sid": "ReadSecrets", "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue", "Resource": unique(read) }));
    }
    let read: Vec<String> = plan.secrets.iter().filter_map(|secret| parameters(&secret.value_from)).collect();
    if !read.is_empty() {
        statements.push(json!({ "Sid": "ReadParameters", "Effect": "Allow",
            "Action": "ssm:GetParameters", "Resource": unique(read) }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn repository_arn(reference: &crate::reference::Reference) -> Option<String> {
    let Registry::Ecr { account, region, .. } = &reference.registry else { return None };
    let partition = region.partition().name();
    Some(format!("arn:{partition}:ecr:{region}:{account}:repository/{}", reference.repository))
}

fn parameter_arn(name: &str, region: Option<&Region>, task_region: &Region) -> String {
    if region.is_some() {
        return name.to_owned();
    }
    let partition = task_region.partition().name();
    format!("arn:{partition}:ssm:{task_region}:*:parameter/{}", name.trim_start_matches('/'))
}

fn unique(mut arns: Vec<String>) -> Vec<String> {
    arns.sort();
    arns.dedup();
    arns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Wanted;

    fn plan(wanted: Wanted) -> Plan {
        Plan::new(wanted, "eu-west-1".parse().unwrap()).unwrap()
    }

    #[test]
    fn the_endpoints_are_those_that_the_task_uses() {
        let bare = plan(Wanted {
            images: vec!["123456789012.dkr.ecr.eu-west-1.amazonaws.com/app".parse().unwrap()],
            ..Wanted::default()
        });
        let services = |plan: &Plan| vpc_endpoints(plan).0.into_iter().map(|e| e.service).collect::<Vec<_>>();
        let those_of_a_pull = ["ecr.api", "ecr.dkr", "s3"].map(|s| format!("com.amazonaws.eu-west-1.{s}"));
        assert_eq!(services(&bare), those_of_a_pull);
        let more = plan(Wanted {
            images: vec!["123456789012.dkr.ecr.eu-west-1.amazonaws.com/app".parse().unwrap(), "nginx".parse().unwrap()],
            log_group: Some("/ecs/app".into()),
            secrets: vec!["/app/db".parse().unwrap()],
            ..Wanted::default()
        });
        assert_eq!(services(&more).len(), 5);
        assert_eq!(vpc_endpoints(&more).1[0].host, "registry-1.docker.io");
    }

    #[test]
    fn an_image_of_another_region_is_beyond_this_regions_endpoints() {
        let plan = plan(Wanted {
            images: vec!["123456789012.dkr.ecr.us-east-1.amazonaws.com/app".parse().unwrap()],
            ..Wanted::default()
        });
        let (endpoints, beyond) = vpc_endpoints(&plan);
        assert!(endpoints.is_empty());
        assert_eq!(beyond.len(), 3);
    }

    #[test]
    fn the_policy_names_the_repository_and_nothing_wider() {
        let plan = plan(Wanted {
            images: vec!["123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1".parse().unwrap()],
            log_group: Some("/ecs/app".into()),
            secrets: vec!["/app/db".parse().unwrap()],
            ..Wanted::default()
        });
        let policy = execution_role_policy(&plan);
        let resources: Vec<_> = policy["Statement"].as_array().unwrap().iter().map(|s| s["Resource"].clone()).collect();
        assert_eq!(
            resources,
            [
                json!("*"),
                json!(["arn:aws:ecr:eu-west-1:123456789012:repository/team/app"]),
                json!(["arn:aws:logs:eu-west-1:*:log-group:/ecs/app:log-stream:*"]),
                json!(["arn:aws:ssm:eu-west-1:*:parameter/app/db"]),
            ]
        );
    }
}
