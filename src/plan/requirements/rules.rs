//! Rules of security groups and network ACLs. A security group remembers connections, so it needs
//! one direction; a network ACL does not, so it needs both.

use std::fmt;

use ipnet::IpNet;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::endpoints::{EVERYWHERE, Kind, OutsideVpc, VpcEndpoint};
use crate::observation::Dependency;
use crate::plan::Plan;

/// Whose security group, or whose subnets' network ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecurityGroup {
    /// The tasks.
    Tasks,
    /// The interface endpoints.
    Endpoints,
    /// The mount targets of file systems.
    FileSystems,
    /// The NAT gateway; it has no security group.
    Nat,
}

/// Which way a connection is opened, or a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// In.
    Inbound,
    /// Out.
    Outbound,
}

/// The other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A security group.
    SecurityGroup(SecurityGroup),
    /// A prefix list that AWS manages, by name.
    PrefixList(String),
    /// An address range.
    Cidr(IpNet),
    /// The VPC's own address ranges.
    Vpc,
}

/// A rule of a security group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GroupRule {
    /// Whose security group.
    pub group: SecurityGroup,
    /// Which way the connection is opened.
    pub flow: Flow,
    /// Always TCP: AWS's own resolver, the only one asked by UDP, is exempt.
    pub protocol: &'static str,
    /// The server's port.
    pub port: u16,
    /// The other end.
    pub peer: Peer,
    /// Hosts or endpoint services that are reached by it.
    pub used_for: Vec<String>,
}

/// A rule of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AclRule {
    /// Whose subnets.
    pub subnets: SecurityGroup,
    /// Which way the packet goes.
    pub flow: Flow,
    /// Always TCP: AWS's own resolver, the only one asked by UDP, is exempt.
    pub protocol: &'static str,
    /// First destination port.
    pub from_port: u16,
    /// Last destination port.
    pub to_port: u16,
    /// The other end.
    pub peer: Peer,
    /// Whether it lets answers back rather than requests out.
    pub answers: bool,
}

const TCP: &str = "tcp";
const HTTPS: u16 = 443;
const NFS: u16 = 2049;

/// Ports from which clients ask. Linux takes 32768-60999, a NAT gateway 1024-65535, Windows
/// 49152-65535 (Amazon VPC user guide, "Ephemeral ports").
const EPHEMERAL: (u16, u16) = (1024, 65535);

/// The rules of the security groups of tasks, endpoints and mount targets.
pub fn of_groups(plan: &Plan, endpoints: &[VpcEndpoint], beyond: &[OutsideVpc]) -> Vec<GroupRule> {
    let mut rules = Vec::new();
    let mut add = |group, flow, port, peer, used_for: Vec<String>| {
        if !used_for.is_empty() {
            rules.push(GroupRule {
                group,
                flow,
                protocol: TCP,
                port,
                peer,
                used_for,
            });
        }
    };
    let services = |kind| {
        let of_kind = endpoints.iter().filter(|endpoint| endpoint.kind == kind);
        of_kind
            .map(|endpoint| endpoint.short_name(&plan.region).to_owned())
            .collect::<Vec<_>>()
    };
    let file_systems: Vec<String> = plan
        .targets
        .iter()
        .filter(|target| target.dependency == Dependency::Efs)
        .map(|target| target.host.clone())
        .collect();
    let interfaces = services(Kind::Interface);
    let (endpoint_group, task_group) = (
        Peer::SecurityGroup(SecurityGroup::Endpoints),
        Peer::SecurityGroup(SecurityGroup::Tasks),
    );
    add(
        SecurityGroup::Tasks,
        Flow::Outbound,
        HTTPS,
        endpoint_group,
        interfaces.clone(),
    );
    for gateway in endpoints
        .iter()
        .filter(|endpoint| endpoint.kind == Kind::Gateway)
    {
        // AWS names the list as it names the service.
        let list = Peer::PrefixList(gateway.service.clone());
        add(
            SecurityGroup::Tasks,
            Flow::Outbound,
            HTTPS,
            list,
            services(Kind::Gateway),
        );
    }
    add(
        SecurityGroup::Tasks,
        Flow::Outbound,
        NFS,
        Peer::SecurityGroup(SecurityGroup::FileSystems),
        file_systems.clone(),
    );
    for (port, destination) in ways_out(beyond) {
        let of_way = beyond
            .iter()
            .filter(|one| (one.port, one.destination) == (port, destination));
        let hosts = of_way.map(|one| one.host.clone()).collect();
        add(
            SecurityGroup::Tasks,
            Flow::Outbound,
            port,
            Peer::Cidr(destination),
            hosts,
        );
    }
    add(
        SecurityGroup::Endpoints,
        Flow::Inbound,
        HTTPS,
        task_group.clone(),
        interfaces,
    );
    add(
        SecurityGroup::FileSystems,
        Flow::Inbound,
        NFS,
        task_group,
        file_systems,
    );
    rules
}

/// Ports and destinations beyond the endpoints, each once.
fn ways_out(beyond: &[OutsideVpc]) -> Vec<(u16, IpNet)> {
    let mut ways: Vec<_> = beyond
        .iter()
        .map(|one| (one.port, one.destination))
        .collect();
    ways.sort();
    ways.dedup();
    ways
}

/// The rules of the network ACLs of the subnets in which tasks, endpoints, mount targets and the
/// NAT gateway are.
pub fn of_acls(plan: &Plan, endpoints: &[VpcEndpoint], beyond: &[OutsideVpc]) -> Vec<AclRule> {
    let mut rules: Vec<AclRule> = Vec::new();
    let mut add = |subnets, opens, port, peer: Peer| {
        let (requests, returns) = match opens {
            Flow::Outbound => (Flow::Outbound, Flow::Inbound),
            Flow::Inbound => (Flow::Inbound, Flow::Outbound),
        };
        for (flow, (from_port, to_port), answers) in
            [(requests, (port, port), false), (returns, EPHEMERAL, true)]
        {
            let peer = peer.clone();
            let rule = AclRule {
                subnets,
                flow,
                protocol: TCP,
                from_port,
                to_port,
                peer,
                answers,
            };
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    };
    let has = |kind| endpoints.iter().any(|endpoint| endpoint.kind == kind);
    if has(Kind::Interface) {
        add(SecurityGroup::Tasks, Flow::Outbound, HTTPS, Peer::Vpc);
        add(SecurityGroup::Endpoints, Flow::Inbound, HTTPS, Peer::Vpc);
    }
    if has(Kind::Gateway) {
        add(
            SecurityGroup::Tasks,
            Flow::Outbound,
            HTTPS,
            Peer::Cidr(EVERYWHERE),
        );
    }
    if plan
        .targets
        .iter()
        .any(|target| target.dependency == Dependency::Efs)
    {
        add(SecurityGroup::Tasks, Flow::Outbound, NFS, Peer::Vpc);
        add(SecurityGroup::FileSystems, Flow::Inbound, NFS, Peer::Vpc);
    }
    for (port, destination) in ways_out(beyond) {
        add(
            SecurityGroup::Tasks,
            Flow::Outbound,
            port,
            Peer::Cidr(destination),
        );
        if destination == EVERYWHERE {
            add(SecurityGroup::Nat, Flow::Inbound, port, Peer::Vpc);
            add(
                SecurityGroup::Nat,
                Flow::Outbound,
                port,
                Peer::Cidr(EVERYWHERE),
            );
        }
    }
    // What a rule for everywhere lets through needs no rule for the VPC.
    let open: Vec<AclRule> = rules
        .iter()
        .filter(|rule| rule.peer == Peer::Cidr(EVERYWHERE))
        .cloned()
        .collect();
    rules.retain(|rule| {
        let same = |wide: &AclRule| {
            AclRule {
                peer: rule.peer.clone(),
                ..wide.clone()
            } == *rule
        };
        rule.peer == Peer::Cidr(EVERYWHERE) || !open.iter().any(same)
    });
    rules.sort_by_key(|rule| (rule.subnets, rule.flow == Flow::Inbound));
    rules
}

impl SecurityGroup {
    /// Whose it is, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Endpoints => "interface endpoints",
            Self::FileSystems => "mount targets",
            Self::Nat => "NAT gateway",
        }
    }
}

/// An object with one member, whatever it is.
impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::SecurityGroup(group) => map.serialize_entry("security_group", group)?,
            Self::PrefixList(name) => map.serialize_entry("prefix_list", name)?,
            Self::Cidr(cidr) => map.serialize_entry("cidr", cidr)?,
            Self::Vpc => map.serialize_entry("vpc", &true)?,
        }
        map.end()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecurityGroup(group) => write!(f, "the security group of the {}", group.name()),
            Self::PrefixList(name) => write!(f, "the prefix list {name}"),
            Self::Cidr(cidr) => write!(f, "{cidr}"),
            Self::Vpc => f.write_str("the VPC's address range"),
        }
    }
}
