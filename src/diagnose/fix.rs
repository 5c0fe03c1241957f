//! What to copy for a remedy: the policy statement or the command, with the values that the
//! observations show. What they do not show is a word in capitals, as in the commands of `explain`.

use serde_json::{Value, json};

use super::Finding;
use crate::arn::Arn;
use crate::cause::Cause;
use crate::endpoints::{self, Region, Service};
use crate::evidence::Evidence;
use crate::observation::{Denial, Dependency, Observation, Phase};
use crate::reference::{Reference, Registry};
use crate::safe_text::shell_word;

/// Commands of one finding. A subnet without any endpoint lacks more than that.
const MAX_COMMANDS: usize = 6;

/// Adds to each finding what to copy, and names the denied action in its remedy.
pub(super) fn add(ev: Evidence<'_>, findings: &mut [Finding]) {
    for finding in findings {
        let because: Vec<&Observation> = finding
            .because
            .iter()
            .filter_map(|id| ev.all().find(|seen| &seen.id == id))
            .filter(|seen| seen.failure().is_some())
            .collect();
        let mut fix: Vec<String> = Vec::new();
        for part in because.iter().flat_map(|seen| fixes(finding.cause, seen)) {
            if !fix.contains(&part) && fix.len() < MAX_COMMANDS {
                fix.push(part);
            }
        }
        if finding.cause == Cause::IdentityPolicyMissingAction
            && let [seen] = because.as_slice()
            && let Some(call) = DeniedCall::of(seen)
        {
            finding.remedy = format!(
                "Allow {} on {} in a policy of {}.",
                call.action,
                call.resource,
                call.role_name()
                    .map_or("the task execution role".to_owned(), |name| format!(
                        "the role {name}"
                    ))
            );
        }
        finding.fix = fix;
    }
}

/// Returns what fixes this cause of this observation.
fn fixes(cause: Cause, seen: &Observation) -> Vec<String> {
    let region = region(seen).map_or("REGION".to_owned(), |region| region.to_string());
    let port = if seen.dependency == Dependency::Efs {
        2049
    } else {
        443
    };
    match cause {
        Cause::InterfaceEndpointMissing => endpoint(seen, &region).into_iter().collect(),
        Cause::S3GatewayMissing => {
            let service = endpoint_service(Service::S3, seen);
            vec![format!(
                "aws ec2 create-vpc-endpoint --region {region} --vpc-endpoint-type Gateway --service-name {service} --vpc-id VPC --route-table-ids ROUTE_TABLE"
            )]
        }
        Cause::EndpointSecurityGroup => vec![format!(
            "aws ec2 authorize-security-group-ingress --region {region} --group-id SECURITY_GROUP_OF_ENDPOINT --source-group SECURITY_GROUP_OF_TASK --protocol tcp --port {port}"
        )],
        Cause::TaskSecurityGroupEgress => vec![format!(
            "aws ec2 authorize-security-group-egress --region {region} --group-id SECURITY_GROUP_OF_TASK --protocol tcp --port {port} --cidr 0.0.0.0/0"
        )],
        Cause::NetworkAcl => [("--egress", "443", port), ("--ingress", "1024", 65_535)]
            .into_iter()
            .map(|(direction, from, to)| {
                let from = if direction == "--egress" { to.to_string() } else { from.to_owned() };
                format!(
                    "aws ec2 create-network-acl-entry --region {region} --network-acl-id NETWORK_ACL {direction} --rule-number RULE_NUMBER --protocol tcp --port-range From={from},To={to} --cidr-block 0.0.0.0/0 --rule-action allow"
                )
            })
            .collect(),
        Cause::NoEgressRoute => vec![format!(
            "aws ec2 create-route --region {region} --route-table-id ROUTE_TABLE --destination-cidr-block 0.0.0.0/0 --nat-gateway-id NAT_GATEWAY"
        )],
        Cause::ImageNotFound | Cause::RepositoryNotFound | Cause::PlatformMismatch => {
            of_image(cause, seen).unwrap_or_default()
        }
        Cause::SecretNotFound => vec![format!(
            "aws secretsmanager list-secrets --region {region} --query 'SecretList[].ARN'"
        )],
        Cause::ParameterNotFound => named(seen)
            .map(|name| {
                let name = name.parse::<Arn>().map_or(name.to_owned(), |arn| {
                    let id = arn.resource.trim_start_matches("parameter");
                    id.to_owned()
                });
                format!("aws ssm put-parameter --region {region} --name {} --type SecureString --value VALUE", shell_word(&name))
            })
            .into_iter()
            .collect(),
        Cause::LogGroupMissing => log_group(seen)
            .map(|group| format!("aws logs create-log-group --region {region} --log-group-name {}", shell_word(group)))
            .into_iter()
            .collect(),
        Cause::EnvironmentFileMissing => named(seen)
            .and_then(|file| file.strip_prefix("arn:")?.split(":::").nth(1))
            .map(|file| format!("aws s3 cp FILE {}", shell_word(&format!("s3://{file}"))))
            .into_iter()
            .collect(),
        Cause::RoleNotAssumable => vec![
            json!({
                "Effect": "Allow",
                "Principal": { "Service": "ecs-tasks.amazonaws.com" },
                "Action": "sts:AssumeRole",
            })
            .to_string(),
        ],
        _ => statement(cause, seen)
            .map(|statement| statement.to_string())
            .into_iter()
            .collect(),
    }
}

/// Returns the command that creates the interface endpoint for a dependency.
fn endpoint(seen: &Observation, region: &str) -> Option<String> {
    let service = match seen.dependency {
        Dependency::EcrApi => Service::EcrApi,
        Dependency::EcrDkr => Service::EcrDkr,
        Dependency::Logs => Service::Logs,
        Dependency::SecretsManager => Service::SecretsManager,
        Dependency::Ssm => Service::Ssm,
        Dependency::SsmMessages => Service::SsmMessages,
        Dependency::ServiceConnect => Service::EcsAgent,
        Dependency::GuardDutyData => Service::GuardDutyData,
        _ => return None,
    };
    Some(format!(
        "aws ec2 create-vpc-endpoint --region {region} --vpc-endpoint-type Interface --service-name {} --vpc-id VPC --subnet-ids SUBNETS --security-group-ids SECURITY_GROUP --private-dns-enabled",
        endpoint_service(service, seen)
    ))
}

fn endpoint_service(service: Service, seen: &Observation) -> String {
    region(seen).map_or_else(
        || format!("com.amazonaws.REGION.{}", service.name()),
        |region| endpoints::vpc_endpoint_service(service, &region),
    )
}

/// Returns the Region in the host's name, or in the ARN that the observation is about.
fn region(seen: &Observation) -> Option<Region> {
    let of_host = endpoints::is_aws_host(&seen.host)
        .then(|| seen.host.split('.').find_map(|label| label.parse().ok()))
        .flatten();
    of_host.or_else(|| {
        let arn: Arn = seen.subject.as_deref()?.parse().ok()?;
        arn.region.parse().ok()
    })
}

fn image(seen: &Observation) -> Option<Reference> {
    // A layer's subject has the digest after the image.
    seen.subject.as_deref()?.split(' ').next()?.parse().ok()
}

fn of_image(cause: Cause, seen: &Observation) -> Option<Vec<String>> {
    let image = image(seen)?;
    let reference = seen.subject.as_deref()?;
    let repository = shell_word(&image.repository);
    let ecr = match &image.registry {
        Registry::Ecr {
            account, region, ..
        } => Some((account, region)),
        Registry::Other { .. } => None,
    };
    Some(match (cause, ecr) {
        (Cause::RepositoryNotFound, Some((_, region))) => vec![format!(
            "aws ecr create-repository --region {region} --repository-name {repository}"
        )],
        (Cause::RepositoryNotFound, None) => return None,
        (Cause::PlatformMismatch, _) => {
            let platform = seen.expected.first()?;
            vec![format!(
                "docker buildx build --platform {platform} --tag {} --push .",
                shell_word(reference)
            )]
        }
        (_, ecr) => ecr
            .map(|(account, region)| {
                format!(
                    "aws ecr describe-images --region {region} --registry-id {account} --repository-name {repository} --query 'imageDetails[].imageTags[]'"
                )
            })
            .into_iter()
            .chain(
                (!reference.contains('@'))
                    .then(|| format!("docker push {}", shell_word(reference))),
            )
            .collect(),
    })
}

/// Returns the ARN or name of a secret or parameter, without the parts that only `valueFrom` has.
fn named(seen: &Observation) -> Option<&str> {
    let subject = seen.subject.as_deref()?;
    if !subject.contains(":secretsmanager:") {
        return Some(subject);
    }
    // arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME[:KEY:STAGE:VERSION]
    let end = subject.match_indices(':').nth(6).map(|(end, _)| end);
    Some(&subject[..end.unwrap_or(subject.len())])
}

/// Returns the log group of a subject `GROUP` or `GROUP:STREAM`. Neither has a colon in its name.
fn log_group(seen: &Observation) -> Option<&str> {
    seen.subject.as_deref()?.split(':').next()
}

/// A request that a service denied.
pub(crate) struct DeniedCall {
    /// IAM action, such as `ecr:BatchGetImage`.
    pub action: String,
    /// ARN, or `*`.
    pub resource: String,
    /// ARN of the caller, if the service names it.
    pub principal: Option<String>,
}

impl DeniedCall {
    /// Returns the call that the service names; otherwise the one that the phase makes.
    pub(crate) fn of(seen: &Observation) -> Option<Self> {
        let denial = seen.denial();
        let action = denial.and_then(|denial| denial.action.as_ref());
        let principal = denial.and_then(|denial| denial.principal.as_deref());
        let principal = principal.map(str::to_owned);
        if let Some(action) = action {
            return Some(Self {
                action: action.to_string(),
                resource: resource_of(denial, seen),
                principal,
            });
        }
        let (action, resource) = call_of_phase(seen)?;
        Some(Self {
            action: action.to_owned(),
            resource,
            principal,
        })
    }

    /// Returns the name of the caller's role.
    pub(crate) fn role_name(&self) -> Option<String> {
        let arn = self.principal.as_deref()?.parse::<Arn>().ok()?;
        arn.role_name().map(str::to_owned)
    }
}

fn resource_of(denial: Option<&Denial>, seen: &Observation) -> String {
    let named = denial.and_then(|denial| denial.resource.as_deref());
    let of_phase = || call_of_phase(seen).map(|(_, resource)| resource);
    named
        .map(str::to_owned)
        .or_else(of_phase)
        .unwrap_or_else(|| "*".to_owned())
}

/// Returns the IAM action and the resource of a phase's request: a service that reads secrets, or a
/// registry, may not name them.
fn call_of_phase(seen: &Observation) -> Option<(&'static str, String)> {
    let of_repository = || {
        let image = image(seen)?;
        let Registry::Ecr {
            account, region, ..
        } = &image.registry
        else {
            return None;
        };
        let resource = format!("repository/{}", image.repository);
        Some(arn_in("ecr", region, account, resource))
    };
    Some(match (seen.dependency, seen.phase) {
        (Dependency::SecretsManager, Phase::Read) => {
            ("secretsmanager:GetSecretValue", named(seen)?.to_owned())
        }
        (Dependency::Ssm, Phase::Read) => {
            let name = named(seen)?;
            let resource = if name.starts_with("arn:") {
                name.to_owned()
            } else {
                let name = name.trim_start_matches('/');
                let resource = format!("parameter/{name}");
                arn_in("ssm", &region(seen)?, "ACCOUNT", resource)
            };
            ("ssm:GetParameters", resource)
        }
        (Dependency::EcrApi, Phase::Authorize) => ("ecr:GetAuthorizationToken", "*".to_owned()),
        (Dependency::EcrDkr, Phase::Manifest) => ("ecr:BatchGetImage", of_repository()?),
        (Dependency::EcrDkr, Phase::Blob) => ("ecr:GetDownloadUrlForLayer", of_repository()?),
        (Dependency::S3, Phase::Fetch) => {
            let region = region(seen)?;
            let partition = region.partition().name();
            let bucket = endpoints::layer_bucket(&region);
            ("s3:GetObject", format!("arn:{partition}:s3:::{bucket}/*"))
        }
        (Dependency::EnvironmentFile, Phase::Fetch) => ("s3:GetObject", named(seen)?.to_owned()),
        (Dependency::Logs, Phase::Write) => {
            let resource = format!("log-group:{}:*", log_group(seen)?);
            let arn = arn_in("logs", &region(seen)?, "ACCOUNT", resource);
            ("logs:CreateLogStream", arn)
        }
        _ => return None,
    })
}

fn arn_in(service: &str, region: &Region, account: &str, resource: String) -> String {
    let partition = region.partition().name();
    Arn::pattern(partition, service, region.as_str(), Some(account), resource).to_string()
}

/// Returns the statement that allows the denied call, in a policy of the kind that denies it; none
/// where a statement denies explicitly, which no other statement overrides.
fn statement(cause: Cause, seen: &Observation) -> Option<Value> {
    let denial = seen.denial();
    if denial.is_some_and(|denial| denial.explicit) {
        return None;
    }
    if cause == Cause::KmsKeyDenies {
        // The service does not name the key: what an answer about a secret says is not kept.
        let key = denial.and_then(|denial| denial.resource.as_deref());
        let key = key.filter(|key| key.contains(":kms:")).unwrap_or("KEY_ARN");
        return Some(policy_statement("kms:Decrypt", key));
    }
    let call = DeniedCall::of(seen)?;
    match cause {
        Cause::IdentityPolicyMissingAction
        | Cause::PermissionsBoundaryDenies
        | Cause::SessionPolicyDenies
        | Cause::ServiceControlPolicyDenies
        | Cause::PermissionDenied => Some(policy_statement(&call.action, &call.resource)),
        Cause::EndpointPolicyDenies
        | Cause::S3EndpointPolicyDenies
        | Cause::ResourceControlPolicyDenies => Some(json!({
            "Effect": "Allow",
            "Principal": "*",
            "Action": call.action,
            "Resource": call.resource,
        })),
        Cause::ResourcePolicyDenies => {
            let mut statement = json!({
                "Effect": "Allow",
                "Principal": { "AWS": role_arn(&call).unwrap_or_else(|| "ROLE_ARN".to_owned()) },
                "Action": call.action,
            });
            // A repository's policy has no resource (Amazon ECR user guide, "Private repository
            // policies").
            if !statement["Action"].as_str()?.starts_with("ecr:") {
                statement["Resource"] = json!(call.resource);
            }
            Some(statement)
        }
        _ => None,
    }
}

/// Returns the statement that allows one action on one resource.
pub(crate) fn policy_statement(action: &str, resource: &str) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": resource })
}

/// Returns the ARN of the caller's role. A session does not name its path, which is `/` as a rule.
fn role_arn(call: &DeniedCall) -> Option<String> {
    let session: Arn = call.principal.as_deref()?.parse().ok()?;
    let name = session.role_name()?;
    Some(format!(
        "arn:{}:iam::{}:role/{name}",
        session.partition, session.account
    ))
}
