//! Requirements of a plan on the subnet and the roles: VPC endpoints, security group and network
//! ACL rules, and least-privilege policies. Derived from the plan that the probe runs, so both name
//! the same hosts. Pure.

mod endpoints;
#[cfg(feature = "operator")]
mod official_images;
mod policy;
mod rules;

use serde::Serialize;

pub use endpoints::{EndpointType, NoEndpointReason, OutsideVpc, VpcEndpoint};
pub use policy::{
    CUSTOMER_MANAGED_KEY, IamRole, OptionalRequirement, Policy, RolePolicies, Statement,
    parse_any_account_arn,
};
pub use rules::{Direction, NetworkAclRule, NetworkTier, RulePeer, SecurityGroupRule};

use super::{Plan, Unchecked};
use crate::arn::Arn;
use crate::endpoints::Region;
use crate::network_location::IpFamily;
use crate::observation::Dependency;
use crate::reference::Registry;

/// Name of the JSON schema.
const SCHEMA: &str = "pullprobe/needs/v1";

/// What must exist for a plan's targets to be reachable and to allow the requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirements {
    /// Region of the task.
    pub region: Region,
    /// VPC endpoints that replace a route to the internet.
    pub endpoints: Vec<VpcEndpoint>,
    /// Hosts without a VPC endpoint.
    pub outside_vpc: Vec<OutsideVpc>,
    /// Security group rules.
    pub security_group_rules: Vec<SecurityGroupRule>,
    /// Network ACL rules, for network ACLs that do not allow all traffic.
    pub network_acl_rules: Vec<NetworkAclRule>,
    /// Least-privilege policies of the task execution role and the task role.
    pub policies: RolePolicies,
    /// Name of the task execution role, if the plan has its ARN.
    pub execution_role_name: Option<String>,
    /// Name of the task role, if the plan has its ARN.
    pub task_role_name: Option<String>,
    /// Notes, one or more sentences each.
    pub notes: Vec<String>,
}

/// Requirements as JSON: the members of the selected parts.
#[derive(Serialize)]
struct RequirementsDocument<'a> {
    schema: &'static str,
    region: &'a Region,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<&'a [VpcEndpoint]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beyond: Option<&'a [OutsideVpc]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_groups: Option<&'a [SecurityGroupRule]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_acls: Option<&'a [NetworkAclRule]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_role_policy: Option<&'a Policy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_role_policy: Option<&'a Policy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_statements: Option<&'a [OptionalRequirement]>,
}

/// A part of the output of `pullprobe plan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanPart {
    /// The targets, and the checks on each.
    Contacts,
    /// VPC endpoints, and the hosts without one.
    Endpoints,
    /// Security group rules of tasks, interface endpoints and mount targets.
    SecurityGroups,
    /// Network ACL rules, in both directions.
    NetworkAcls,
    /// Notes.
    Notes,
    /// Least-privilege policy of the task role.
    TaskRolePolicy,
    /// Least-privilege policy of the task execution role.
    ExecutionRolePolicy,
}

impl PlanPart {
    /// The requirements, in the order in which they are printed.
    pub const REQUIREMENTS: [Self; 6] = [
        Self::Endpoints,
        Self::SecurityGroups,
        Self::NetworkAcls,
        Self::Notes,
        Self::TaskRolePolicy,
        Self::ExecutionRolePolicy,
    ];
}

impl Requirements {
    /// Derives the requirements of `plan`.
    pub fn of(plan: &Plan) -> Self {
        let policies = RolePolicies::of(plan);
        let (endpoints, outside_vpc) = endpoints::of(plan, &policies);
        let mut requirements = Self {
            region: plan.region.clone(),
            security_group_rules: rules::security_group_rules(plan, &endpoints, &outside_vpc),
            network_acl_rules: rules::network_acl_rules(plan, &endpoints, &outside_vpc),
            endpoints,
            outside_vpc,
            policies,
            execution_role_name: role_name(plan.execution_role.as_deref()),
            task_role_name: role_name(plan.task_role.as_deref()),
            notes: Vec::new(),
        };
        requirements.notes = requirements.notes_on(plan);
        requirements
    }

    /// Returns the hosts without a VPC endpoint, grouped by the reason.
    pub fn outside_vpc_by_reason(&self) -> Vec<(&NoEndpointReason, Vec<&OutsideVpc>)> {
        let mut reasons: Vec<(&NoEndpointReason, Vec<&OutsideVpc>)> = Vec::new();
        for host in &self.outside_vpc {
            match reasons
                .iter_mut()
                .find(|(reason, _)| **reason == host.reason)
            {
                Some((_, hosts)) => hosts.push(host),
                None => reasons.push((&host.reason, vec![host])),
            }
        }
        reasons
    }

    /// Whether an interface endpoint is required.
    pub fn has_interface_endpoint(&self) -> bool {
        self.endpoint_of_type(EndpointType::Interface).is_some()
    }

    /// Returns the gateway endpoint, if one is required.
    pub fn gateway_endpoint(&self) -> Option<&VpcEndpoint> {
        self.endpoint_of_type(EndpointType::Gateway)
    }

    fn endpoint_of_type(&self, endpoint_type: EndpointType) -> Option<&VpcEndpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.endpoint_type == endpoint_type)
    }

    /// Returns the JSON of these parts, or the bare policy document if that is the only part.
    /// `None` if the contacts are among them: those are part of the plan's own JSON.
    pub fn to_json(&self, parts: &[PlanPart]) -> Option<serde_json::Result<String>> {
        let has = |part| parts.contains(&part);
        let RolePolicies {
            execution_role,
            task_role,
            optional,
        } = &self.policies;
        match parts {
            [PlanPart::ExecutionRolePolicy] => {
                return Some(serde_json::to_string_pretty(execution_role));
            }
            [PlanPart::TaskRolePolicy] => return Some(serde_json::to_string_pretty(task_role)),
            _ if has(PlanPart::Contacts) => return None,
            _ => {}
        }
        let has_policy = has(PlanPart::ExecutionRolePolicy) || has(PlanPart::TaskRolePolicy);
        Some(serde_json::to_string_pretty(&RequirementsDocument {
            schema: SCHEMA,
            region: &self.region,
            endpoints: has(PlanPart::Endpoints).then_some(&self.endpoints),
            beyond: has(PlanPart::Endpoints).then_some(&self.outside_vpc),
            security_groups: has(PlanPart::SecurityGroups).then_some(&self.security_group_rules),
            network_acls: has(PlanPart::NetworkAcls).then_some(&self.network_acl_rules),
            notes: has(PlanPart::Notes).then_some(&self.notes),
            task_role_policy: has(PlanPart::TaskRolePolicy).then_some(task_role),
            execution_role_policy: has(PlanPart::ExecutionRolePolicy).then_some(execution_role),
            extra_statements: has_policy.then_some(optional),
        }))
    }

    /// Whether an ARN in a policy matches every account.
    fn has_any_account_arn(&self) -> bool {
        self.policies
            .statements()
            .flat_map(|statement| &statement.resource)
            .any(|arn| parse_any_account_arn(arn).is_some())
    }

    /// Returns the one account that images and secrets name, if the task's is unknown.
    fn account_hint(&self, plan: &Plan) -> Option<String> {
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
            [account] if self.has_any_account_arn() => Some(format!(
                "The task's images and secrets name one account, {account}. If it is the task's own, it replaces the `*`."
            )),
            _ => None,
        }
    }

    fn notes_on(&self, plan: &Plan) -> Vec<String> {
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
        let is_ipv6_only = plan.ip_family == IpFamily::Ipv6;
        let has_internet_host = !self.outside_vpc.is_empty();
        let reads_secrets = has_target(Dependency::SecretsManager) || has_target(Dependency::Ssm);
        let has_log_router = has_target(Dependency::LogRouter) || has_unchecked_log_router;
        let notes = [
            (true, DNS_NOTE),
            (self.has_interface_endpoint(), PRIVATE_DNS_NOTE),
            (self.gateway_endpoint().is_some(), PREFIX_LIST_NOTE),
            (reads_secrets, KMS_NOTE),
            (has_target(Dependency::Efs), EFS_NOTE),
            (has_target(Dependency::EnvironmentFile), BUCKET_REGION_NOTE),
            (has_log_router, LOG_ROUTER_NOTE),
            (has_pull_through_cache, PULL_THROUGH_CACHE_NOTE),
            (self.has_any_account_arn(), ACCOUNT_NOTE),
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
            (has_internet_host && !is_ipv6_only, INTERNET_ROUTE_NOTE),
        ];
        let ipv4_registries = plan
            .images
            .iter()
            .filter(|_| is_ipv6_only)
            .filter_map(|image| image.reference.dual_stack())
            .map(|uri| {
                format!(
                    "In an IPv6-only subnet, the task definition must name the image by its dual-stack URI: {uri}."
                )
            });
        #[cfg(feature = "operator")]
        let stand_ins = official_images::notes(plan);
        #[cfg(not(feature = "operator"))]
        let stand_ins = std::iter::empty();
        notes
            .into_iter()
            .filter(|(applies, _)| *applies)
            .map(|(_, note)| note.to_owned())
            .chain(self.account_hint(plan))
            .chain(ipv4_registries)
            .chain(stand_ins)
            .chain(plan.unchecked.iter().map(unchecked_note))
            .collect()
    }
}

fn unchecked_note(unchecked: &Unchecked) -> String {
    let Unchecked {
        dependency,
        subject,
        why,
    } = unchecked;
    format!("Requirements of {dependency} {subject} are not included: {why}.")
}

fn role_name(arn: Option<&str>) -> Option<String> {
    let arn: Arn = arn?.parse().ok()?;
    arn.role_name().map(str::to_owned)
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

const BUCKET_REGION_NOTE: &str = "A bucket's ARN does not name its region. If the bucket of an environment file is in another \
                                  region, the S3 gateway endpoint and prefix list of this region do not cover it.";

// Amazon ECR user guide, "Considerations for Amazon ECR VPC endpoints".
const PULL_THROUGH_CACHE_NOTE: &str = "The first pull through a pull-through cache needs a route to the internet even with \
                                       these endpoints, such as a subnet with a NAT gateway in the same VPC. Later pulls do \
                                       not.";

// Amazon ECR user guide, "Creating a pull through cache rule": the prefix is free, and `ROOT` applies to
// every repository.
const CACHE_PREFIX_NOTE: &str = "A pull through cache rule can have any prefix, or apply to all repositories (ROOT). If the \
                                 image comes through such a rule, the role that fills the cache also needs \
                                 ecr:BatchImportUpstreamImage and ecr:CreateRepository on the repository, and the first pull \
                                 a route to the internet.";

// Amazon ECS developer guide, "Amazon ECS task networking options for Fargate"; Go and most other clients
// try IPv6 first (RFC 8305).
const DUAL_STACK_NOTE: &str = "In a dual-stack subnet, ECS still starts the task over IPv4. The rules for ::/0 are for clients that \
                               try a host's IPv6 addresses first; without them, they fall back to IPv4.";

const IPV6_NOTE: &str = "In an IPv6-only subnet, ECS uses the dual-stack names of AWS services. VPC endpoints then need the IP \
                         address type dualstack or ipv6. AWS does not document whether their private DNS covers dual-stack \
                         names; in a subnet with endpoints only, `pullprobe probe --expect private` shows it.";

const IPV6_LAYER_NOTE: &str = "Image layers come from Amazon S3, from the host to which Amazon ECR redirects. For IPv6-only tasks AWS \
                               does not document its name, so it is not listed. It needs a route for ::/0, or an S3 gateway \
                               endpoint with IPv6.";

// Amazon ECS developer guide, "Amazon ECS interface VPC endpoints".
const SERVICE_CONNECT_NOTE: &str = "The Service Connect proxy uses the endpoint for ecs-agent, and in a VPC without it the host \
                                    ecs-sc on the internet. One of the two is enough.";

const IPV6_EXEC_NOTE: &str = "ECS Exec does not work in IPv6-only subnets on Fargate.";

const IPV6_ROUTE_NOTE: &str = "A route to the internet is a route for ::/0 to an egress-only internet gateway or an internet gateway. \
                               A host without IPv6 needs DNS64 on the subnet and a route for 64:ff9b::/96 to a NAT gateway.";

const LOG_ROUTER_NOTE: &str = "The log router writes with the task role. The permissions for its output are in neither the task \
                               role's policy nor the endpoint policies.";

const ACCOUNT_NOTE: &str = "Where the task's account is unknown, ARNs have `*` as the account. Replace it with the account ID; \
                            Terraform and CloudFormation fill it in by themselves.";

const INTERNET_ROUTE_NOTE: &str = "A route to the internet is a NAT gateway, or an internet gateway and a public IP address of \
                                   the task.";

#[cfg(test)]
mod tests;
