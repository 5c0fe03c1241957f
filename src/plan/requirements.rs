//! What a subnet and its roles need for a plan to work: VPC endpoints, security group and network
//! ACL rules, and the least policies. Made from the plan that the probe walks, so both speak of the
//! same hosts. Pure.

mod endpoints;
mod policy;
mod rules;

use serde::Serialize;

pub use endpoints::{Kind, OutsideVpc, VpcEndpoint};
pub use policy::{
    CUSTOMER_MANAGED_KEY, IamRole, OptionalRequirement, Policy, Statement, around_account,
};
pub use rules::{AclRule, Flow, GroupRule, Peer, SecurityGroup};

use super::{Plan, Unchecked};
use crate::endpoints::Region;
use crate::observation::Dependency;

/// The name of the form that needs have as JSON.
pub const SCHEMA: &str = "pullprobe/needs/v1";

/// All that has to be there for a plan's targets to be reached and to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirements {
    /// Where the task runs.
    pub region: Region,
    /// VPC endpoints that take the place of a way to the internet.
    pub endpoints: Vec<VpcEndpoint>,
    /// Hosts that none of them leads to.
    pub beyond: Vec<OutsideVpc>,
    /// Rules of security groups.
    pub security_groups: Vec<GroupRule>,
    /// Rules of network ACLs, for those that do not let everything pass.
    pub network_acls: Vec<AclRule>,
    /// The least policy of the execution role.
    pub execution_role_policy: Policy,
    /// The least policy of the task role, as far as the plan knows it: not what the containers do
    /// once they run.
    pub task_role_policy: Policy,
    /// Statements that are needed under a condition which only the account knows.
    pub extra_statements: Vec<OptionalRequirement>,
    /// Names of the execution role and the task role, where the plan says them.
    pub role_names: [Option<String>; 2],
    /// What else has to be known, a sentence each.
    pub notes: Vec<String>,
}

/// Requirements as JSON: the members of the parts that are asked for.
#[derive(Serialize)]
struct View<'a> {
    schema: &'static str,
    region: &'a Region,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<&'a Vec<VpcEndpoint>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beyond: Option<&'a Vec<OutsideVpc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_groups: Option<&'a Vec<GroupRule>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_acls: Option<&'a Vec<AclRule>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_role_policy: Option<&'a Policy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_role_policy: Option<&'a Policy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_statements: Option<&'a Vec<OptionalRequirement>>,
}

/// A part of what is printed of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The hosts and what is tried of them
    Contacts,
    /// VPC endpoints, and the hosts that none leads to
    Endpoints,
    /// Rules of the security groups of tasks, endpoints and mount targets
    SecurityGroups,
    /// Rules of network ACLs, in both directions
    NetworkAcls,
    /// What else has to be known
    Notes,
    /// The least policy of the task role
    TaskRolePolicy,
    /// The least policy of the execution role
    Policy,
}

impl Part {
    /// What is needed, in the order in which it is printed; the contacts are what needs it.
    pub const NEEDED: [Self; 6] = [
        Self::Endpoints,
        Self::SecurityGroups,
        Self::NetworkAcls,
        Self::Notes,
        Self::TaskRolePolicy,
        Self::Policy,
    ];
}

impl Requirements {
    /// What `plan` needs.
    pub fn of(plan: &Plan) -> Self {
        let execution_role_policy = policy::of_execution_role(plan);
        let task_role_policy = policy::of_task_role(plan);
        let extra_statements = policy::extras(plan);
        let policies = [&execution_role_policy, &task_role_policy];
        let (endpoints, beyond) = endpoints::of(plan, policies, &extra_statements);
        let mut needs = Self {
            region: plan.region.clone(),
            security_groups: rules::of_groups(plan, &endpoints, &beyond),
            network_acls: rules::of_acls(plan, &endpoints, &beyond),
            endpoints,
            beyond,
            execution_role_policy,
            task_role_policy,
            extra_statements,
            role_names: [&plan.execution_role, &plan.task_role]
                .map(|arn| arn.as_deref().and_then(name_of_role)),
            notes: Vec::new(),
        };
        needs.notes = needs.remarks(plan);
        needs
    }

    /// The hosts beyond the endpoints, those of one reason together.
    pub fn beyond_by_reason(&self) -> Vec<(&str, Vec<&OutsideVpc>)> {
        let mut reasons: Vec<(&str, Vec<&OutsideVpc>)> = Vec::new();
        for one in &self.beyond {
            match reasons.iter_mut().find(|(why, _)| *why == one.why) {
                Some((_, hosts)) => hosts.push(one),
                None => reasons.push((&one.why, vec![one])),
            }
        }
        reasons
    }

    /// Whether something is reached through an interface endpoint.
    pub fn has_interface_endpoint(&self) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.kind == Kind::Interface)
    }

    /// The gateway endpoint, if one is needed.
    pub fn gateway(&self) -> Option<&VpcEndpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.kind == Kind::Gateway)
    }

    /// These parts as JSON, under their names; a policy that is asked for alone is the bare
    /// document. `None` for contacts: those are the plan's own.
    pub fn to_json(&self, parts: &[Part]) -> Option<serde_json::Result<String>> {
        let has = |part| parts.contains(&part);
        match parts {
            [Part::Policy] => {
                return Some(serde_json::to_string_pretty(&self.execution_role_policy));
            }
            [Part::TaskRolePolicy] => {
                return Some(serde_json::to_string_pretty(&self.task_role_policy));
            }
            _ if has(Part::Contacts) => return None,
            _ => {}
        }
        let policies = has(Part::Policy) || has(Part::TaskRolePolicy);
        Some(serde_json::to_string_pretty(&View {
            schema: SCHEMA,
            region: &self.region,
            endpoints: has(Part::Endpoints).then_some(&self.endpoints),
            beyond: has(Part::Endpoints).then_some(&self.beyond),
            security_groups: has(Part::SecurityGroups).then_some(&self.security_groups),
            network_acls: has(Part::NetworkAcls).then_some(&self.network_acls),
            notes: has(Part::Notes).then_some(&self.notes),
            task_role_policy: has(Part::TaskRolePolicy).then_some(&self.task_role_policy),
            execution_role_policy: has(Part::Policy).then_some(&self.execution_role_policy),
            extra_statements: policies.then_some(&self.extra_statements),
        }))
    }

    /// Whether an ARN has `*` for the account.
    fn has_open_account(&self) -> bool {
        let of_roles = [&self.execution_role_policy, &self.task_role_policy]
            .into_iter()
            .flat_map(|p| &p.statement);
        let mut statements =
            of_roles.chain(self.extra_statements.iter().map(|extra| &extra.statement));
        statements.any(|statement| {
            statement
                .resource
                .iter()
                .any(|arn| around_account(arn).is_some())
        })
    }

    fn remarks(&self, plan: &Plan) -> Vec<String> {
        let any = |dependency: Dependency| {
            plan.targets
                .iter()
                .any(|target| target.dependency == dependency)
        };
        let remarks = [
            (true, DNS),
            (self.has_interface_endpoint(), PRIVATE_DNS),
            (self.gateway().is_some(), PREFIX_LIST),
            (
                any(Dependency::SecretsManager) || any(Dependency::Ssm),
                NO_KMS,
            ),
            (any(Dependency::Efs), FILE_SYSTEM),
            (any(Dependency::EnvironmentFile), BUCKET_REGION),
            (
                any(Dependency::LogRouter)
                    || plan
                        .unchecked
                        .iter()
                        .any(|one| one.dependency == Dependency::LogRouter),
                LOG_ROUTER,
            ),
            (
                plan.images
                    .iter()
                    .any(|image| image.reference.pulls_through().is_some()),
                CACHE,
            ),
            (self.has_open_account(), ACCOUNT),
            (!self.beyond.is_empty(), BEYOND),
        ];
        let unknown = plan.unchecked.iter().map(
            |Unchecked {
                 dependency,
                 subject,
                 why,
             }| { format!("What {dependency} {subject} needs is not in here: {why}.") },
        );
        let known = remarks
            .into_iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, remark)| remark.to_owned());
        known.chain(unknown).collect()
    }
}

/// The last part: paths may stand before it.
fn name_of_role(arn: &str) -> Option<String> {
    let (_, path) = arn.split_once(":role/")?;
    path.rsplit('/').next().map(str::to_owned)
}

// Amazon VPC user guide, "Security group rules" and "Network ACLs": what they do not filter.
const DNS: &str = "Amazon's own resolver, the VPC's base address plus two, is exempt from security groups and network \
                   ACLs. A name server of your own is not: let TCP and UDP 53 out to it and, in a network ACL, TCP and \
                   UDP 1024-65535 back in.";

const PRIVATE_DNS: &str = "Private DNS needs enableDnsSupport and enableDnsHostnames on the VPC. It turns the name for the \
                           whole VPC, so every subnet that uses the service needs the way to the endpoint.";

const PREFIX_LIST: &str = "Amazon S3 has public addresses with a gateway endpoint too. A security group can name them by \
                           prefix list; a network ACL cannot, so it has to let TCP 443 out to everywhere.";

const NO_KMS: &str = "No endpoint of AWS KMS or AWS STS is needed to start the task: Secrets Manager and Parameter Store \
                      call AWS KMS themselves.";

const FILE_SYSTEM: &str = "Amazon EFS is mounted at a mount target inside the VPC, in the task's Availability Zone; the \
                           endpoint elasticfilesystem is for its API, and a mount does not need it.";

const BUCKET_REGION: &str = "A bucket's ARN names no region. If an environment file's bucket is in another region, this \
                             region's S3 endpoint and prefix list do not lead to it.";

// Amazon ECR user guide, "Considerations for Amazon ECR VPC endpoints".
const CACHE: &str = "The first pull through a cache needs a way to the internet even with these endpoints: a subnet with a \
                     NAT gateway in the same VPC. Later pulls do not.";

const LOG_ROUTER: &str = "What a log router writes it writes as the task role. Which permissions its output takes is not in \
                          the policy, and its part of an endpoint's policy is not known.";

const ACCOUNT: &str = "Where the task's account is not known, its place in an ARN is `*`. Put the account's number there; \
                       Terraform and CloudFormation do so by themselves.";

const BEYOND: &str = "A way to the internet is a NAT gateway, or an internet gateway and a public address of the task.";

#[cfg(test)]
mod tests;
