//! What was read of an account's configuration: a plain value, which can be saved and read back.
//!
//! A list that is `None` was not read. That differs from an empty one: what was not read is unknown
//! and never missing.

#![allow(
    missing_docs,
    reason = "most members are named as in the AWS API reference"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// Name of the snapshot's format.
pub const SNAPSHOT_SCHEMA: &str = "pullprobe/snapshot/v1";

/// Everything that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Always [`SNAPSHOT_SCHEMA`].
    pub schema: String,
    /// When it was read, RFC 3339, UTC.
    pub read_at: String,
    /// Account of the operator's credentials.
    #[serde(default)]
    pub account: Option<String>,
    /// The task's own settings.
    pub task: TaskNetwork,
    /// What the task contacts.
    pub plan: Plan,
    /// Whether neither role nor objects were read, because nothing is deployed yet.
    #[serde(default)]
    pub network_only: bool,
    #[serde(default)]
    pub vpcs: Option<Vec<Vpc>>,
    #[serde(default)]
    pub subnets: Option<Vec<Subnet>>,
    #[serde(default)]
    pub route_tables: Option<Vec<RouteTable>>,
    #[serde(default)]
    pub prefix_lists: Option<Vec<PrefixList>>,
    #[serde(default)]
    pub security_groups: Option<Vec<SecurityGroup>>,
    #[serde(default)]
    pub network_acls: Option<Vec<NetworkAcl>>,
    #[serde(default)]
    pub endpoints: Option<Vec<ReadEndpoint>>,
    #[serde(default)]
    pub nat_gateways: Option<Vec<NatGateway>>,
    #[serde(default)]
    pub internet_gateways: Option<Vec<InternetGateway>>,
    #[serde(default)]
    pub block_public_access: Option<BlockPublicAccess>,
    /// Zones that are associated with the VPC.
    #[serde(default)]
    pub hosted_zones: Option<Vec<HostedZone>>,
    /// Rules of Route 53 Resolver that are associated with the VPC.
    #[serde(default)]
    pub resolver_rules: Option<Vec<ResolverRule>>,
    /// IDs of the Route 53 Profiles that are associated with the VPC: they bring zones and rules.
    #[serde(default)]
    pub dns_profiles: Option<Vec<String>>,
    /// IDs of the DNS Firewall rule groups that are associated with the VPC.
    #[serde(default)]
    pub dns_firewalls: Option<Vec<String>>,
    /// Repositories, images, secrets, parameters and log groups of the plan.
    #[serde(default)]
    pub objects: Vec<ReadObject>,
    /// The task execution role.
    #[serde(default)]
    pub role: Option<ReadRole>,
    /// Permissions that are missing, and what they would have added.
    #[serde(default)]
    pub unread: Vec<Unread>,
}

/// Network settings of the task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskNetwork {
    pub cluster: Option<String>,
    pub service: Option<String>,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub assign_public_ip: bool,
    /// Whether only the subnets are known, as from a report that names neither service nor task.
    pub only_subnets_known: bool,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Unread {
    /// IAM action, such as `ec2:DescribeNetworkAcls`.
    pub action: String,
    /// What it would have added, as a clause that can follow "without it".
    pub adds: String,
    /// Why it failed.
    pub why: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vpc {
    pub id: String,
    pub owner: Option<String>,
    pub cidrs: Vec<IpNet>,
    /// `None` if the attribute could not be read.
    pub enable_dns_support: Option<bool>,
    /// `None` if the attribute could not be read.
    pub enable_dns_hostnames: Option<bool>,
    pub dhcp_options: Option<String>,
    /// `domain-name-servers` of the DHCP option set; `None` if it could not be read.
    pub resolvers: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subnet {
    pub id: String,
    pub vpc: String,
    pub owner: Option<String>,
    pub availability_zone: Option<String>,
    pub cidr: Option<IpNet>,
    pub ipv6_cidr: Option<IpNet>,
    pub enable_dns64: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteTable {
    pub id: String,
    pub vpc: String,
    pub is_main: bool,
    pub subnets: Vec<String>,
    pub routes: Vec<Route>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// CIDR block or ID of a prefix list.
    pub destination: String,
    /// `local`, or the ID of a gateway, endpoint or interface.
    pub target: String,
    /// `active` or `blackhole`.
    pub state: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PrefixList {
    pub id: String,
    pub name: String,
    /// `None` if the entries could not be read.
    pub entries: Option<Vec<IpNet>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityGroup {
    pub id: String,
    pub name: String,
    pub vpc: String,
    pub ingress: Vec<Permission>,
    pub egress: Vec<Permission>,
}

/// `IpPermission`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permission {
    /// `tcp`, a number, or `-1` for all.
    pub protocol: String,
    pub from_port: Option<i64>,
    pub to_port: Option<i64>,
    pub cidrs: Vec<IpNet>,
    pub prefix_lists: Vec<String>,
    pub groups: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAcl {
    pub id: String,
    pub vpc: String,
    pub is_default: bool,
    pub subnets: Vec<String>,
    pub entries: Vec<AclEntry>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AclEntry {
    pub number: u32,
    pub is_egress: bool,
    pub allows: bool,
    /// Protocol number, `-1` for all.
    pub protocol: String,
    pub cidr: Option<IpNet>,
    pub from_port: Option<u16>,
    pub to_port: Option<u16>,
}

/// A VPC endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadEndpoint {
    pub id: String,
    pub vpc: String,
    /// `Interface`, `Gateway`, `GatewayLoadBalancer`, …
    pub endpoint_type: String,
    pub service: String,
    pub state: String,
    pub policy: Option<String>,
    pub private_dns_enabled: bool,
    /// `PrivateDnsOnlyForInboundResolverEndpoint`.
    pub private_dns_only_for_inbound: bool,
    pub subnets: Vec<String>,
    pub groups: Vec<String>,
    /// Its network interfaces, where they could be read.
    pub interfaces: Vec<EndpointInterface>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointInterface {
    pub id: String,
    pub subnet: String,
    pub addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NatGateway {
    pub id: String,
    pub vpc: String,
    /// `None` for a regional NAT gateway.
    pub subnet: Option<String>,
    pub state: String,
    pub failure: Option<String>,
    /// `public` or `private`.
    pub connectivity: String,
    pub is_regional: bool,
    /// Of a regional NAT gateway.
    pub route_table: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InternetGateway {
    pub id: String,
    pub vpcs: Vec<String>,
}

/// VPC Block Public Access of the account in the Region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockPublicAccess {
    /// `off`, `block-bidirectional` or `block-ingress`.
    pub mode: String,
    /// `None` if the exclusions could not be read.
    pub exclusions: Option<Vec<PublicAccessExclusion>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublicAccessExclusion {
    pub id: String,
    /// ARN of a VPC or subnet.
    pub resource: String,
    /// `allow-bidirectional` or `allow-egress`.
    pub mode: String,
    pub state: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostedZone {
    pub id: String,
    /// Without the final dot.
    pub name: String,
    /// Set if an AWS service owns the zone, such as that of an endpoint's private DNS.
    pub owning_service: Option<String>,
    /// The records of the names in the plan; `None` if they could not be read.
    pub records: Option<Vec<ZoneRecord>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZoneRecord {
    /// Without the final dot; may begin with `*.`.
    pub name: String,
    pub record_type: String,
    pub values: Vec<String>,
    /// DNS name of an alias.
    pub alias: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResolverRule {
    pub id: String,
    /// Without the final dot; empty for the root.
    pub domain: String,
    /// `FORWARD`, `SYSTEM`, `RECURSIVE` or `DELEGATE`.
    pub rule_type: String,
    pub targets: Vec<String>,
}

/// A kind of object that a task's start depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    Repository,
    Image,
    Secret,
    Parameter,
    LogGroup,
    /// Private registry of an account in a Region, for its policy.
    Registry,
}

/// Whether an object exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectState {
    Found,
    Missing,
    /// It exists and cannot be used, as a clause that can follow "it".
    Unusable(String),
    /// Not known, and why.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadObject {
    pub kind: ObjectKind,
    /// Repository `ACCOUNT/REGION/NAME`, image reference, `valueFrom`, log group `REGION/NAME`,
    /// registry `ACCOUNT/REGION`.
    pub key: String,
    pub state: ObjectState,
    /// Its complete ARN, where the service names it.
    #[serde(default)]
    pub arn: Option<String>,
    /// Its resource-based policy; `None` if it has none or it could not be read.
    #[serde(default)]
    pub policy: Option<String>,
    /// Whether the policy could be read.
    #[serde(default)]
    pub is_policy_read: bool,
    /// The KMS key that encrypts it, unless it is the default one of its service.
    #[serde(default)]
    pub kms_key: Option<String>,
}

/// The task execution role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadRole {
    pub arn: String,
    /// Whether the role exists; `None` if it could not be read.
    pub exists: Option<bool>,
    pub trust_policy: Option<String>,
    /// Name and document of each attached and inline policy; `None` if one could not be read.
    pub policies: Option<BTreeMap<String, String>>,
    /// `None` if it could not be read.
    pub has_boundary: Option<bool>,
    pub boundary: Option<String>,
    /// Results of `iam:SimulatePrincipalPolicy`; `None` if it could not be called.
    pub simulation: Option<Vec<SimulatedAction>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SimulatedAction {
    pub action: String,
    pub resource: String,
    /// `allowed`, `explicitDeny` or `implicitDeny`.
    pub decision: String,
    /// Names of the policies that decide.
    pub policies: Vec<String>,
    pub missing_context: Vec<String>,
    pub denied_by_boundary: bool,
    pub denied_by_organization: bool,
}

impl Snapshot {
    pub fn vpc(&self, id: &str) -> Option<&Vpc> {
        self.vpcs.iter().flatten().find(|vpc| vpc.id == id)
    }

    pub fn subnet(&self, id: &str) -> Option<&Subnet> {
        self.subnets.iter().flatten().find(|subnet| subnet.id == id)
    }

    pub fn security_group(&self, id: &str) -> Option<&SecurityGroup> {
        self.security_groups
            .iter()
            .flatten()
            .find(|group| group.id == id)
    }

    pub fn prefix_list(&self, id: &str) -> Option<&PrefixList> {
        self.prefix_lists
            .iter()
            .flatten()
            .find(|list| list.id == id)
    }

    pub fn endpoint(&self, id: &str) -> Option<&ReadEndpoint> {
        self.endpoints.iter().flatten().find(|one| one.id == id)
    }

    pub fn nat_gateway(&self, id: &str) -> Option<&NatGateway> {
        self.nat_gateways.iter().flatten().find(|nat| nat.id == id)
    }

    /// Returns the route table of a subnet: its own, or the main one of its VPC.
    pub fn route_table(&self, subnet: &Subnet) -> Option<&RouteTable> {
        let tables = || self.route_tables.iter().flatten();
        tables()
            .find(|table| table.subnets.contains(&subnet.id))
            .or_else(|| tables().find(|table| table.is_main && table.vpc == subnet.vpc))
    }

    /// Returns the network ACL of a subnet.
    pub fn network_acl(&self, subnet: &Subnet) -> Option<&NetworkAcl> {
        let acls = || self.network_acls.iter().flatten();
        acls()
            .find(|acl| acl.subnets.contains(&subnet.id))
            .or_else(|| acls().find(|acl| acl.is_default && acl.vpc == subnet.vpc))
    }

    /// Whether the operator's account owns the subnet's VPC, and so sees everything in it. A
    /// participant of a shared VPC does not see the owner's endpoints and gateways (Amazon VPC user
    /// guide, "Responsibilities and permissions for owners and participants").
    pub fn sees_whole_vpc(&self, subnet: &Subnet) -> bool {
        match (&self.account, &subnet.owner) {
            (Some(account), Some(owner)) => account == owner,
            // An unknown owner counts as another account.
            _ => false,
        }
    }

    pub fn object(&self, kind: ObjectKind, key: &str) -> Option<&ReadObject> {
        self.objects
            .iter()
            .find(|object| object.kind == kind && object.key == key)
    }

    /// Returns what is wrong with the named subnets and security groups, and what to do, as far as
    /// they were read.
    pub fn problem(&self) -> Option<String> {
        let region = &self.plan.region;
        let subnets = self.subnets.as_ref()?;
        let known = |id: &String| subnets.iter().find(|subnet| subnet.id == *id);
        if let Some(id) = self.task.subnets.iter().find(|id| known(id).is_none()) {
            return Some(format!(
                "{id} does not exist in {region}, or this account cannot see it; list the subnets with `aws ec2 \
                 describe-subnets --region {region}`"
            ));
        }
        let first = self.task.subnets.iter().find_map(known)?;
        let other = self.task.subnets.iter().filter_map(known);
        if let Some(other) = other.into_iter().find(|other| other.vpc != first.vpc) {
            return Some(format!(
                "{} is in {} and {} is in {}, but the subnets of a task must be in one VPC; pass the subnets of one VPC",
                first.id, first.vpc, other.id, other.vpc
            ));
        }
        let groups = self.security_groups.as_ref()?;
        for id in &self.task.security_groups {
            match groups.iter().find(|group| group.id == *id) {
                None => {
                    return Some(format!(
                        "the security group {id} does not exist in {region}, or this account cannot see it; check \
                         --security-groups"
                    ));
                }
                Some(group) if group.vpc != first.vpc => {
                    return Some(format!(
                        "the security group {id} belongs to {}, but {} is in {}; pass security groups of the VPC of the subnets",
                        group.vpc, first.id, first.vpc
                    ));
                }
                Some(_) => {}
            }
        }
        None
    }

    /// Returns the task's account: that of its role, else the operator's.
    pub fn task_account(&self) -> Option<String> {
        let role = self.plan.execution_role.as_deref();
        let of_role = role.and_then(|role| role.split(':').nth(4));
        let of_role = of_role
            .filter(|account| account.len() == 12)
            .map(str::to_owned);
        of_role.or_else(|| self.account.clone())
    }
}
