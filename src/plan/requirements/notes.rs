//! Notes on the requirements: what the lists and rules do not say.

use super::other_hosts::REGISTRY_HOSTS_DATE;
use super::{IamRole, MAX_INLINE_CHARS, MAX_MANAGED_CHARS, Requirements};
use crate::arn::Arn;
use crate::network_location::IpFamily;
use crate::observation::Dependency;
#[cfg(feature = "operator")]
use crate::plan::ValueFrom;
use crate::plan::{ImagePull, LaunchType, Plan, Unchecked};
use crate::reference::Registry;

/// The extension of an environment file (Amazon ECS developer guide, "Use a file to pass
/// environment variables to a container").
const ENVIRONMENT_FILE_EXTENSION: &str = ".env";

/// Returns the notes on a plan.
pub fn of(requirements: &Requirements, plan: &Plan) -> Vec<String> {
    let has_target = |dependency: Dependency| {
        plan.targets
            .iter()
            .any(|target| target.dependency == dependency)
    };
    let has_unchecked_log_router = plan
        .unchecked
        .iter()
        .any(|unchecked| unchecked.dependency == Dependency::LogRouter);
    let has_pull_through_cache = plan
        .images
        .iter()
        .any(|image| image.reference.pulls_through().is_some());
    let has_ecr_image = has_target(Dependency::EcrDkr);
    let is_instance = plan.host.is_instance();
    let has_other_file = plan
        .environment_files
        .iter()
        .any(|file| !file.arn.ends_with(ENVIRONMENT_FILE_EXTENSION));
    let is_ipv6_only = plan.ip_family == IpFamily::Ipv6;
    let has_internet_host = !requirements.outside_vpc.is_empty();
    let reads_secrets = has_target(Dependency::SecretsManager) || has_target(Dependency::Ssm);
    let has_log_router = has_target(Dependency::LogRouter) || has_unchecked_log_router;
    let notes = [
        (is_instance, INSTANCE_NOTE),
        (
            is_instance && plan.host.has_own_interface,
            OWN_INTERFACE_NOTE,
        ),
        (
            is_instance && !plan.host.has_own_interface,
            SHARED_INTERFACE_NOTE,
        ),
        (plan.host.uses_instance_role, INSTANCE_ROLE_NOTE),
        (
            is_instance && plan.host.allows(LaunchType::External),
            EXTERNAL_NOTE,
        ),
        (
            is_instance && plan.host.allows(LaunchType::ManagedInstances),
            MANAGED_INSTANCES_NOTE,
        ),
        (plan.host.is_unknown(), UNKNOWN_HOST_NOTE),
        (true, DNS_NOTE),
        (requirements.has_interface_endpoint(), PRIVATE_DNS_NOTE),
        (requirements.gateway_endpoint().is_some(), PREFIX_LIST_NOTE),
        (reads_secrets, KMS_NOTE),
        (has_target(Dependency::Efs), EFS_NOTE),
        (has_target(Dependency::EnvironmentFile), BUCKET_REGION_NOTE),
        (has_other_file, OTHER_FILE_NOTE),
        (
            !plan.windows_file_systems.is_empty(),
            WINDOWS_FILE_SYSTEM_NOTE,
        ),
        (plan.platform.os == "windows", WINDOWS_LAYERS_NOTE),
        (has_log_router, LOG_ROUTER_NOTE),
        (has_pull_through_cache, PULL_THROUGH_CACHE_NOTE),
        (requirements.has_any_account_arn(), ACCOUNT_NOTE),
        (has_ecr_image && !has_pull_through_cache, CACHE_PREFIX_NOTE),
        (plan.ip_family == IpFamily::DualStack, DUAL_STACK_NOTE),
        (is_ipv6_only, IPV6_NOTE),
        (is_ipv6_only && has_ecr_image, IPV6_LAYER_NOTE),
        (has_target(Dependency::ServiceConnect), SERVICE_CONNECT_NOTE),
        (
            is_ipv6_only && has_target(Dependency::SsmMessages),
            IPV6_EXEC_NOTE,
        ),
        (has_internet_host && is_ipv6_only, IPV6_ROUTE_NOTE),
        (
            has_internet_host && !is_ipv6_only && !is_instance,
            INTERNET_ROUTE_NOTE,
        ),
        (
            has_internet_host && !is_ipv6_only && is_instance,
            INSTANCE_ROUTE_NOTE,
        ),
    ];
    #[cfg(feature = "operator")]
    let stand_ins = super::official_images::notes(plan).chain(parameter_names(plan));
    #[cfg(not(feature = "operator"))]
    let stand_ins = std::iter::empty();
    notes
        .into_iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, note)| note.to_owned())
        .chain(account_hint(requirements, plan))
        .chain(platform_note(plan))
        .chain(registries_note(plan))
        .chain(security_hub_note(requirements))
        .chain(size_notes(requirements))
        .chain(dual_stack_uris(plan))
        .chain(stand_ins)
        .chain(plan.unchecked.iter().map(unchecked_note))
        .collect()
}

/// Returns a note for each image whose URI has IPv4 only, in an IPv6-only subnet.
fn dual_stack_uris(plan: &Plan) -> impl Iterator<Item = String> {
    plan.images
        .iter()
        .filter(|_| plan.ip_family == IpFamily::Ipv6)
        .filter_map(|image| image.reference.dual_stack())
        .map(|uri| {
            format!(
                "In an IPv6-only subnet, the task definition must name the image by its dual-stack URI: {uri}."
            )
        })
}

/// Returns the one account that images and secrets name, if the task's is unknown.
fn account_hint(requirements: &Requirements, plan: &Plan) -> Option<String> {
    let images = plan
        .images
        .iter()
        .filter_map(|image| match &image.reference.registry {
            Registry::Ecr { account, .. } => Some(account.clone()),
            Registry::Other { .. } => None,
        });
    let secrets = plan.secrets.iter().filter_map(|secret| {
        let arn: Arn = secret.value_from.to_string().parse().ok()?;
        (!arn.matches_any_account()).then_some(arn.account)
    });
    let mut accounts: Vec<_> = images.chain(secrets).collect();
    accounts.sort();
    accounts.dedup();
    match accounts.as_slice() {
        [account] if requirements.has_any_account_arn() => Some(format!(
            "The task's images and secrets name one account, {account}. If it is the task's own, it replaces the `*`."
        )),
        _ => None,
    }
}

fn platform_note(plan: &Plan) -> Option<String> {
    let platform = &plan.platform;
    plan.host.has_unknown_platform.then(|| {
        format!(
            "The platform is unknown: the task definition does not name it, and each instance has its own. {platform} is \
             assumed; for Graviton instances pass --platform linux/arm64."
        )
    })
}

/// Returns a note for each parameter whose name no parameter can have: Parameter Store takes a name
/// with a slash only if it begins with one (Systems Manager API reference, PutParameter, "Name").
#[cfg(feature = "operator")]
fn parameter_names(plan: &Plan) -> impl Iterator<Item = String> {
    plan.secrets
        .iter()
        .filter_map(|secret| match &secret.value_from {
            ValueFrom::Parameter { name, region: None }
                if name.contains('/') && !name.starts_with('/') =>
            {
                Some(format!(
                    "{name:?} is not an ARN, so ECS reads it from Parameter Store, where a name with a slash begins with one. \
                     If it is a secret in Secrets Manager, valueFrom needs its ARN."
                ))
            }
            _ => None,
        })
}

/// Returns a note on the limits of the list of registry hosts.
fn registries_note(plan: &Plan) -> Option<String> {
    let is_other = |image: &ImagePull| matches!(image.reference.registry, Registry::Other { .. });
    plan.images.iter().any(is_other).then(|| {
        format!(
            "A registry other than Amazon ECR answers with the hosts of its tokens and layers. The usual ones, as of \
             {REGISTRY_HOSTS_DATE}, are listed where pullprobe knows them; such a list is never complete. Only a pull, as in \
             `pullprobe probe`, shows where it is redirected."
        )
    })
}

fn security_hub_note(requirements: &Requirements) -> Option<String> {
    let controls: Vec<String> = requirements
        .endpoints
        .iter()
        .filter_map(|endpoint| {
            let control = endpoint.security_hub_control(&requirements.region)?;
            Some(format!(
                "{control} ({})",
                endpoint.short_name(&requirements.region)
            ))
        })
        .collect();
    match controls.as_slice() {
        [] => None,
        [only] => Some(format!(
            "In each VPC that has this endpoint, it satisfies the AWS Security Hub control {only}."
        )),
        several => Some(format!(
            "In each VPC that has these endpoints, they satisfy the AWS Security Hub controls {}.",
            several.join(", ")
        )),
    }
}

/// Returns a note for each role whose policies are too long to be inline.
fn size_notes(requirements: &Requirements) -> impl Iterator<Item = String> {
    let roles = [IamRole::Execution, IamRole::Task];
    roles.into_iter().filter_map(|role| {
        let policies = &requirements.policies;
        let managed = policies.managed(role);
        (!managed.is_empty()).then(|| {
            format!(
                "The policies of the {} have {} characters; IAM takes {MAX_INLINE_CHARS} in a role's inline policies. They are \
                 split into {} managed policies of at most {MAX_MANAGED_CHARS} each, of which a role can have 10 by default.",
                requirements.role(role),
                policies.inline_size(role),
                managed.len()
            )
        })
    })
}

fn unchecked_note(unchecked: &Unchecked) -> String {
    let Unchecked {
        dependency,
        subject,
        why,
    } = unchecked;
    format!("Requirements of {dependency} {subject} are not included: {why}.")
}

// Traffic that they do not filter: Amazon VPC user guide, "Security group rules", "Network ACLs".
const DNS_NOTE: &str = "Security groups and network ACLs do not filter traffic to the Amazon DNS server (the VPC's base \
                        address plus two). For a custom DNS server, allow outbound TCP and UDP 53 and, in network ACLs, \
                        inbound TCP and UDP 1024-65535.";

const PRIVATE_DNS_NOTE: &str = "Private DNS needs enableDnsSupport and enableDnsHostnames on the VPC. It changes what the \
                                service's name resolves to in the whole VPC, so every subnet that uses the service needs \
                                access to the endpoint.";

const PREFIX_LIST_NOTE: &str = "Amazon S3 has public IP addresses even with a gateway endpoint. A security group rule can \
                                refer to them by prefix list; a network ACL rule cannot, so it must allow TCP 443 to \
                                0.0.0.0/0.";

const KMS_NOTE: &str = "Starting the task needs no VPC endpoint for AWS KMS or AWS STS: Secrets Manager and Parameter Store \
                        call AWS KMS themselves.";

const EFS_NOTE: &str = "Amazon EFS is mounted through a mount target in the VPC, in the task's Availability Zone. The \
                        interface endpoint for elasticfilesystem serves the EFS API and is not needed to mount.";

const BUCKET_REGION_NOTE: &str = "A bucket's ARN does not name its Region. If the bucket of an environment file is in another \
                                  Region, the S3 gateway endpoint and prefix list of this Region do not cover it.";

// Amazon ECR user guide, "Considerations for Amazon ECR VPC endpoints".
const PULL_THROUGH_CACHE_NOTE: &str = "The first pull through a pull-through cache needs a route to the internet even with \
                                       these endpoints, such as a subnet with a NAT gateway in the same VPC. Later pulls do \
                                       not.";

// Amazon ECR user guide, "Creating a pull through cache rule": any prefix is allowed, and `ROOT`
// applies to every repository.
const CACHE_PREFIX_NOTE: &str = "A pull through cache rule can have any prefix, or apply to all repositories (ROOT). If the \
                                 image comes through such a rule, the role that fills the cache also needs \
                                 ecr:BatchImportUpstreamImage and ecr:CreateRepository on the repository, and the first pull \
                                 a route to the internet.";

// Amazon ECS developer guide, "Amazon ECS task networking options for Fargate"; Go and most other
// clients try IPv6 first (RFC 8305).
const DUAL_STACK_NOTE: &str = "In a dual-stack subnet, ECS still starts the task over IPv4. The rules for ::/0 are for clients that \
                               try a host's IPv6 addresses first; without them, they fall back to IPv4.";

const IPV6_NOTE: &str = "In an IPv6-only subnet, ECS uses the dual-stack names of AWS services. VPC endpoints then need the IP \
                         address type dualstack or ipv6. AWS does not document whether their private DNS covers dual-stack \
                         names; in a subnet that has only endpoints, `pullprobe probe --expect private` shows it.";

const IPV6_LAYER_NOTE: &str = "Image layers come from Amazon S3, from the host to which Amazon ECR redirects. For IPv6-only tasks AWS \
                               does not document its name, so it is not listed. It needs a route for ::/0, or an S3 gateway \
                               endpoint with IPv6.";

// Amazon ECS developer guide, "Amazon ECS interface VPC endpoints".
const SERVICE_CONNECT_NOTE: &str = "The Service Connect proxy uses the endpoint for ecs-agent, and in a VPC without it the host \
                                    ecs-sc on the internet. One of the two is enough. AWS documents no host name of the \
                                    endpoint for ecs-agent; ecs-a is an inference, and its failure alone proves nothing.";

const IPV6_EXEC_NOTE: &str = "ECS Exec does not work in IPv6-only subnets on Fargate.";

const IPV6_ROUTE_NOTE: &str = "A route to the internet is a route for ::/0 to an egress-only internet gateway or an internet gateway. \
                               A host without IPv6 needs DNS64 on the subnet and a route for 64:ff9b::/96 to a NAT gateway.";

const LOG_ROUTER_NOTE: &str = "The log router writes with the task role. The permissions for its output are in neither the task \
                               role's policy nor the endpoint policies.";

const ACCOUNT_NOTE: &str = "If the task's account is unknown, ARNs have `*` as the account. Replace it with the account ID; \
                            Terraform and CloudFormation fill it in themselves.";

const INTERNET_ROUTE_NOTE: &str = "A route to the internet is a NAT gateway, or an internet gateway and a public IP address of \
                                   the task.";

// amazon-ecs-agent: its task engine, `taskresource` and Docker, which run on the instance.
const INSTANCE_NOTE: &str = "The task starts on a container instance. Its agent and Docker pull the images, write logs and read secrets \
                             and files through the instance's own network interface and security group. The agent itself \
                             needs the VPC endpoints ecs, ecs-agent and ecs-telemetry.";

const OWN_INTERFACE_NOTE: &str = "In the network mode awsvpc, the task has its own network interface and security group for what its \
                                  containers contact and for Amazon EFS, not for the pull.";

const SHARED_INTERFACE_NOTE: &str = "Without the network mode awsvpc, the task has no network interface and no security group of its own: its \
                                     containers use those of the instance too.";

// Amazon ECS developer guide, "Amazon ECS container instance IAM role" and "Amazon ECS task
// execution IAM role".
const INSTANCE_ROLE_NOTE: &str = "Without executionRoleArn, the instance's role pulls the images and writes the logs. Besides the policy here, it needs \
                                  the agent's own permissions: the managed policy AmazonEC2ContainerServiceforEC2Role.";

const EXTERNAL_NOTE: &str = "An external instance is not in a VPC. The endpoints and rules here apply to it only if its traffic to AWS goes \
                             through one; the firewall of its own network must allow the same hosts. AWS asks for a task \
                             execution role there to pull from Amazon ECR and to write logs.";

const MANAGED_INSTANCES_NOTE: &str = "On ECS Managed Instances, the primary network interface of the instance pulls images, reads secrets and \
                                      environment files and writes logs, also for tasks with an interface of their own: its subnet and \
                                      security groups are those of the capacity provider.";

const UNKNOWN_HOST_NOTE: &str = "The launch type is unknown: the task definition does not name it, or allows several (requiresCompatibilities). \
                                 This describes a task on Fargate. On a container instance, the instance's network interface and \
                                 security group and, without executionRoleArn, its role are used to pull images and write logs; its \
                                 agent also needs the VPC endpoints ecs, ecs-agent and ecs-telemetry.";

const INSTANCE_ROUTE_NOTE: &str = "A route to the internet is a NAT gateway, or an internet gateway and a public IP address of the instance. A task's own \
                                   network interface on an instance gets no public IP address.";

const OTHER_FILE_NOTE: &str = "A log router's configuration and a gMSA's credential specification in Amazon S3 are listed as environment files: the agent \
                               downloads them in the same way, with the task execution role.";

const WINDOWS_FILE_SYSTEM_NOTE: &str = "Amazon FSx for Windows File Server is mounted at TCP 445, at the address that fsx:DescribeFileSystems returns. The file \
                                        system's security group must allow it from the instances, and the Active Directory's DNS must resolve it.";

// Microsoft has built its base images without foreign layers since 2023.
const WINDOWS_LAYERS_NOTE: &str = "Windows images on base images from before 2023 have foreign layers, which no registry but Microsoft's has: the pull \
                                   then also needs a route to mcr.microsoft.com and its data hosts. Push the image with \
                                   --allow-nondistributable-artifacts, or rebuild it, to have all layers in Amazon ECR.";
