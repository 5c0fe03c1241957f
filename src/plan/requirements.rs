//! Requirements of a plan on the subnet and the roles: VPC endpoints, security group and network
//! ACL rules, and least-privilege policies. Derived from the plan that the probe runs, so both name
//! the same hosts. Pure.

mod endpoints;
mod notes;
#[cfg(feature = "operator")]
mod official_images;
mod other_hosts;
mod policy;
mod rules;

use serde::Serialize;

pub use endpoints::{EndpointType, NoEndpointReason, OutsideVpc, VpcEndpoint};
pub use other_hosts::OtherHost;
pub use policy::{
    CUSTOMER_MANAGED_KEY, IamRole, MAX_INLINE_CHARS, MAX_MANAGED_CHARS, OptionalRequirement,
    Policy, RolePolicies, Statement, parse_any_account_arn,
};
pub use rules::{
    Direction, NetworkAclRule, NetworkTier, RulePeer, SecurityGroupRule, opens_from_task,
};

use super::Plan;
use crate::arn::Arn;
use crate::endpoints::Region;
use crate::observation::TargetKey;

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
    /// Hosts that are contacted besides the plan's targets.
    pub other_hosts: Vec<OtherHost>,
    /// Whether the container instance's role takes the part of the task execution role.
    pub uses_instance_role: bool,
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
    other_hosts: Option<&'a [OtherHost]>,
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
    /// In place of that of the task execution role.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_role_policy: Option<&'a Policy>,
    /// The same in policies that IAM takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    managed_policies: Vec<Policy>,
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
        let other_hosts = other_hosts::of(plan);
        let (endpoints, outside_vpc) = endpoints::of(plan, &policies, &other_hosts);
        let mut requirements = Self {
            region: plan.region.clone(),
            security_group_rules: rules::security_group_rules(
                plan,
                &endpoints,
                &outside_vpc,
                &other_hosts,
            ),
            network_acl_rules: rules::network_acl_rules(plan, &endpoints, &outside_vpc),
            endpoints,
            outside_vpc,
            other_hosts,
            uses_instance_role: plan.host.uses_instance_role,
            policies,
            execution_role_name: role_name(plan.execution_role.as_deref()),
            task_role_name: role_name(plan.task_role.as_deref()),
            notes: Vec::new(),
        };
        requirements.notes = notes::of(&requirements, plan);
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

    /// Returns the hosts without a VPC endpoint to which the target leads.
    pub fn hosts_behind<'a>(
        &'a self,
        target: &'a TargetKey,
    ) -> impl Iterator<Item = &'a OtherHost> {
        other_hosts::led_to_by(&self.other_hosts, target)
    }

    /// Returns the hosts without a VPC endpoint to which only some images lead: those with foreign
    /// layers.
    pub fn hosts_of_foreign_layers(&self) -> impl Iterator<Item = &OtherHost> {
        let hosts = self.other_hosts.iter();
        hosts.filter(|host| host.registry.is_none() && host.service.is_none())
    }

    /// Returns the role for sentences: without a task execution role, an instance's own takes its
    /// part.
    pub const fn role(&self, role: IamRole) -> &'static str {
        match role {
            IamRole::Execution if self.uses_instance_role => "role of the container instances",
            IamRole::Execution => "task execution role",
            IamRole::Task => "task role",
        }
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
        let has_start_role = has(PlanPart::ExecutionRolePolicy);
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
            execution_role_policy: (has_start_role && !self.uses_instance_role)
                .then_some(execution_role),
            instance_role_policy: (has_start_role && self.uses_instance_role)
                .then_some(execution_role),
            managed_policies: if has_start_role {
                self.policies.managed(IamRole::Execution)
            } else {
                Vec::new()
            },
            other_hosts: (has(PlanPart::Endpoints) && !self.other_hosts.is_empty())
                .then_some(&self.other_hosts),
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
}

fn role_name(arn: Option<&str>) -> Option<String> {
    let arn: Arn = arn?.parse().ok()?;
    arn.role_name().map(str::to_owned)
}

#[cfg(test)]
mod tests;
