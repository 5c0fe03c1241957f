//! Rules of security groups and network ACLs. Security groups are stateful, so a connection needs a
//! rule in one direction; network ACLs are stateless, so it needs rules in both.

use std::fmt;

use ipnet::IpNet;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::endpoints::{ANY_IPV4, ANY_IPV6, EndpointType, OutsideVpc, VpcEndpoint, any_address};
use super::other_hosts::{self, OtherHost};
use crate::endpoints::vpc_endpoint_service;
use crate::network_location::IpFamily;
use crate::observation::{Dependency, TargetKey};
use crate::plan::{Plan, Target};

/// Resources of the VPC that share security groups and subnets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkTier {
    /// The tasks.
    Tasks,
    /// The container instances.
    Instances,
    /// The interface endpoints.
    Endpoints,
    /// The mount targets of EFS file systems.
    FileSystems,
    /// The NAT gateway, which has no security group.
    Nat,
}

/// Direction of a rule, as seen from its security group or network ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// An inbound rule.
    Inbound,
    /// An outbound rule.
    Outbound,
}

/// Source of an inbound rule, or destination of an outbound rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulePeer {
    /// A security group.
    SecurityGroup(NetworkTier),
    /// An AWS-managed prefix list, by name.
    PrefixList(String),
    /// An address range.
    Cidr(IpNet),
    /// The VPC's own IPv4 address ranges.
    Vpc,
    /// The VPC's own IPv6 address ranges.
    VpcIpv6,
}

/// A rule of a security group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SecurityGroupRule {
    /// Resources with the security group.
    #[serde(rename = "group")]
    pub tier: NetworkTier,
    /// Direction in which the connection is opened.
    #[serde(rename = "flow")]
    pub direction: Direction,
    /// Always TCP: the Amazon DNS server, the only one reached by UDP, is exempt.
    pub protocol: &'static str,
    /// The server's port.
    pub port: u16,
    /// Source or destination.
    pub peer: RulePeer,
    /// Hosts or endpoint services that are reached through the rule.
    pub used_for: Vec<String>,
}

/// A rule of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NetworkAclRule {
    /// Resources in the subnets of the network ACL.
    #[serde(rename = "subnets")]
    pub tier: NetworkTier,
    /// Direction of the packets.
    #[serde(rename = "flow")]
    pub direction: Direction,
    /// Always TCP: the Amazon DNS server, the only one reached by UDP, is exempt.
    pub protocol: &'static str,
    /// First destination port.
    pub from_port: u16,
    /// Last destination port.
    pub to_port: u16,
    /// Source or destination.
    pub peer: RulePeer,
    /// Whether the rule allows responses instead of requests.
    #[serde(rename = "answers")]
    pub is_response: bool,
}

const TCP: &str = "tcp";
const HTTPS_PORT: u16 = 443;
const NFS_PORT: u16 = 2049;

/// SMB, by which Windows mounts FSx for Windows File Server (Amazon FSx user guide, "File system
/// access control with Amazon VPC").
const SMB_PORT: u16 = 445;

/// Source ports of clients. Linux uses 32768-60999, a NAT gateway 1024-65535, Windows 49152-65535
/// (Amazon VPC user guide, "Ephemeral ports").
const EPHEMERAL_PORTS: (u16, u16) = (1024, 65535);

/// Derives the security group rules of tasks, interface endpoints and mount targets.
pub fn security_group_rules(
    plan: &Plan,
    endpoints: &[VpcEndpoint],
    outside_vpc: &[OutsideVpc],
    others: &[OtherHost],
) -> Vec<SecurityGroupRule> {
    use Direction::{Inbound, Outbound};
    use NetworkTier::{Endpoints, FileSystems, Instances};
    let clients = Clients(plan);
    let mut rules = Vec::new();
    let mut add = |tier, direction, port, peer, used_for: &[String]| {
        if !used_for.is_empty() {
            rules.push(SecurityGroupRule {
                tier,
                direction,
                protocol: TCP,
                port,
                peer,
                used_for: used_for.to_vec(),
            });
        }
    };
    let services = |endpoint_type, tier: Option<NetworkTier>| -> Vec<String> {
        endpoints
            .iter()
            .filter(|endpoint| endpoint.endpoint_type == endpoint_type)
            .filter(|endpoint| tier.is_none_or(|tier| clients.use_endpoint(tier, endpoint)))
            .map(|endpoint| endpoint.short_name(&plan.region).to_owned())
            .collect()
    };
    let file_systems = |tier: Option<NetworkTier>| -> Vec<String> {
        clients
            .file_systems()
            .filter(|target| tier.is_none_or(|tier| clients.of_target(target).contains(&tier)))
            .map(|target| target.host.clone())
            .collect()
    };
    for tier in clients.tiers() {
        let peer = RulePeer::SecurityGroup(Endpoints);
        let interfaces = services(EndpointType::Interface, Some(tier));
        add(tier, Outbound, HTTPS_PORT, peer, &interfaces);
        let gateways = endpoints
            .iter()
            .filter(|endpoint| endpoint.endpoint_type == EndpointType::Gateway);
        for gateway in gateways {
            // The prefix list has the name of the endpoint service.
            let peer = RulePeer::PrefixList(gateway.service.clone());
            let gateways = services(EndpointType::Gateway, Some(tier));
            add(tier, Outbound, HTTPS_PORT, peer, &gateways);
        }
        let peer = RulePeer::SecurityGroup(FileSystems);
        add(tier, Outbound, NFS_PORT, peer, &file_systems(Some(tier)));
        let outside_vpc: Vec<_> = outside_vpc
            .iter()
            .filter(|host| clients.use_target(tier, &host.target))
            .collect();
        for (port, destination) in destinations(&outside_vpc, plan.ip_family) {
            let is_there = |host: &&&OutsideVpc| {
                host.destination == destination
                    || (host.destination, destination) == (ANY_IPV4, ANY_IPV6)
            };
            let mut hosts: Vec<String> = Vec::new();
            let named = outside_vpc.iter().filter(|host| host.port == port);
            for host in named.filter(is_there) {
                let others = other_hosts::led_to_by(others, &host.target);
                let others = others.map(|other| other.host.clone());
                hosts.extend([host.host.clone()].into_iter().chain(others));
            }
            add(tier, Outbound, port, RulePeer::Cidr(destination), &hosts);
        }
        let windows: Vec<String> = plan
            .windows_file_systems
            .iter()
            .filter(|_| tier == Instances)
            .cloned()
            .collect();
        add(tier, Outbound, SMB_PORT, RulePeer::Vpc, &windows);
    }
    for tier in clients.tiers() {
        let peer = RulePeer::SecurityGroup(tier);
        let interfaces = services(EndpointType::Interface, Some(tier));
        add(Endpoints, Inbound, HTTPS_PORT, peer, &interfaces);
    }
    for tier in clients.tiers() {
        let peer = RulePeer::SecurityGroup(tier);
        add(
            FileSystems,
            Inbound,
            NFS_PORT,
            peer,
            &file_systems(Some(tier)),
        );
    }
    rules
}

/// Whether a task on an instance contacts the target through its own network interface.
pub fn opens_from_task(plan: &Plan, target: &Target) -> bool {
    plan.host.is_instance() && Clients(plan).of_target(target) == [NetworkTier::Tasks]
}

/// Which network interfaces open the connections of a plan.
struct Clients<'a>(&'a Plan);

impl Clients<'_> {
    /// Returns the resources that open any connection.
    fn tiers(&self) -> Vec<NetworkTier> {
        let host = &self.0.host;
        match (host.is_instance(), host.has_own_interface) {
            (false, _) => vec![NetworkTier::Tasks],
            (true, false) => vec![NetworkTier::Instances],
            (true, true) => vec![NetworkTier::Tasks, NetworkTier::Instances],
        }
    }

    /// Returns the resources that open connections to `target`. On an instance, its agent and
    /// Docker pull, log, and read secrets and files through its own interface. A task with its own
    /// interface uses that for what its containers contact, and for EFS (amazon-ecs-agent,
    /// `taskresource`; Amazon ECS developer guide, "Allocate a network interface for tasks on
    /// Amazon ECS Managed Instances").
    fn of_target(&self, target: &Target) -> Vec<NetworkTier> {
        let host = &self.0.host;
        if !host.is_instance() {
            return vec![NetworkTier::Tasks];
        }
        let is_for_containers = match target.dependency {
            Dependency::LogRouter
            | Dependency::SsmMessages
            | Dependency::ServiceConnect
            | Dependency::GuardDutyData => true,
            // Docker mounts its own volumes.
            Dependency::Efs => self
                .0
                .file_systems
                .iter()
                .any(|volume| self.0.target(volume.target).key == target.key),
            _ => false,
        };
        if host.has_own_interface && is_for_containers {
            return vec![NetworkTier::Tasks];
        }
        vec![NetworkTier::Instances]
    }

    fn use_target(&self, tier: NetworkTier, key: &TargetKey) -> bool {
        let mut targets = self.0.targets.iter().filter(|target| target.key == *key);
        targets.any(|target| self.of_target(target).contains(&tier))
    }

    fn use_endpoint(&self, tier: NetworkTier, endpoint: &VpcEndpoint) -> bool {
        let is_for_agent =
            || other_hosts::agent_endpoints(self.0).any(|name| name == endpoint.service);
        (tier == NetworkTier::Instances && is_for_agent())
            || endpoint
                .targets
                .iter()
                .any(|key| self.use_target(tier, key))
            || self.leads_to(tier, endpoint)
    }

    /// Whether a target of the tier leads to a host that is not checked, behind the endpoint.
    fn leads_to(&self, tier: NetworkTier, endpoint: &VpcEndpoint) -> bool {
        let plan = self.0;
        other_hosts::of(plan).iter().any(|host| {
            let name = |service| vpc_endpoint_service(service, &plan.region);
            host.service.map(name).as_ref() == Some(&endpoint.service)
                && host
                    .target
                    .as_ref()
                    .is_some_and(|key| self.use_target(tier, key))
        })
    }

    fn file_systems(&self) -> impl Iterator<Item = &Target> {
        let targets = self.0.targets.iter();
        targets.filter(|target| target.dependency == Dependency::Efs)
    }
}

/// Returns the ports and address ranges of the hosts without a VPC endpoint, each once. In a
/// dual-stack subnet, clients try a host's IPv6 addresses as well.
fn destinations(outside_vpc: &[&OutsideVpc], ip_family: IpFamily) -> Vec<(u16, IpNet)> {
    let mut destinations: Vec<_> = outside_vpc
        .iter()
        .map(|host| (host.port, host.destination))
        .collect();
    if ip_family == IpFamily::DualStack {
        let any = destinations.clone();
        let any = any.iter().filter(|(_, range)| *range == ANY_IPV4);
        destinations.extend(any.map(|(port, _)| (*port, ANY_IPV6)));
    }
    destinations.sort();
    destinations.dedup();
    destinations
}

/// Derives the network ACL rules for the subnets of tasks, interface endpoints, mount targets and
/// the NAT gateway.
pub fn network_acl_rules(
    plan: &Plan,
    endpoints: &[VpcEndpoint],
    outside_vpc: &[OutsideVpc],
) -> Vec<NetworkAclRule> {
    use Direction::{Inbound, Outbound};
    use NetworkTier::{Endpoints, FileSystems, Instances, Nat};
    let clients = Clients(plan);
    let anywhere = RulePeer::Cidr(any_address(plan.ip_family));
    let vpc = match plan.ip_family {
        IpFamily::Ipv4 | IpFamily::DualStack => RulePeer::Vpc,
        IpFamily::Ipv6 => RulePeer::VpcIpv6,
    };
    let mut rules: Vec<NetworkAclRule> = Vec::new();
    // Allows requests in `direction`, and their responses in the other.
    let mut allow = |tier, direction: Direction, port: u16, peer: RulePeer| {
        let request = NetworkAclRule {
            tier,
            direction,
            protocol: TCP,
            from_port: port,
            to_port: port,
            peer,
            is_response: false,
        };
        let response = NetworkAclRule {
            direction: direction.opposite(),
            from_port: EPHEMERAL_PORTS.0,
            to_port: EPHEMERAL_PORTS.1,
            is_response: true,
            ..request.clone()
        };
        for rule in [request, response] {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    };
    let use_endpoint = |tier, endpoint_type| {
        let mut of_type = endpoints
            .iter()
            .filter(|endpoint| endpoint.endpoint_type == endpoint_type);
        of_type.any(|endpoint| clients.use_endpoint(tier, endpoint))
    };
    for tier in clients.tiers() {
        if use_endpoint(tier, EndpointType::Interface) {
            allow(tier, Outbound, HTTPS_PORT, vpc.clone());
            allow(Endpoints, Inbound, HTTPS_PORT, vpc.clone());
        }
        if use_endpoint(tier, EndpointType::Gateway) {
            allow(tier, Outbound, HTTPS_PORT, anywhere.clone());
        }
        let mounts = clients
            .file_systems()
            .any(|target| clients.of_target(target).contains(&tier));
        if mounts {
            allow(tier, Outbound, NFS_PORT, vpc.clone());
            allow(FileSystems, Inbound, NFS_PORT, vpc.clone());
        }
        if tier == Instances && !plan.windows_file_systems.is_empty() {
            allow(tier, Outbound, SMB_PORT, vpc.clone());
        }
        let outside_vpc: Vec<_> = outside_vpc
            .iter()
            .filter(|host| clients.use_target(tier, &host.target))
            .collect();
        for (port, destination) in destinations(&outside_vpc, plan.ip_family) {
            allow(tier, Outbound, port, RulePeer::Cidr(destination));
            // IPv6 needs no NAT gateway.
            if destination == ANY_IPV4 {
                allow(Nat, Inbound, port, RulePeer::Vpc);
                allow(Nat, Outbound, port, anywhere.clone());
            }
        }
    }
    // A rule for all addresses includes the same rule for a smaller range of the same IP version.
    let is_of_other_version = |peer: &RulePeer| match peer {
        RulePeer::Cidr(range) => (range.addr().is_ipv6()) != (plan.ip_family == IpFamily::Ipv6),
        peer => *peer != vpc,
    };
    let any_address_rules: Vec<NetworkAclRule> = rules
        .iter()
        .filter(|rule| rule.peer == anywhere)
        .cloned()
        .collect();
    rules.retain(|rule| {
        let widened = NetworkAclRule {
            peer: anywhere.clone(),
            ..rule.clone()
        };
        rule.peer == anywhere
            || is_of_other_version(&rule.peer)
            || !any_address_rules.contains(&widened)
    });
    rules.sort_by_key(|rule| (rule.tier, rule.direction == Inbound));
    rules
}

impl Direction {
    const fn opposite(self) -> Self {
        match self {
            Self::Inbound => Self::Outbound,
            Self::Outbound => Self::Inbound,
        }
    }

    /// Returns `inbound` or `outbound`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl NetworkTier {
    /// Returns the resources, as a plural for sentences.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Instances => "container instances",
            Self::Endpoints => "interface endpoints",
            Self::FileSystems => "mount targets",
            Self::Nat => "NAT gateway",
        }
    }
}

impl Serialize for RulePeer {
    /// Writes an object with one member, named after the kind of peer.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::SecurityGroup(tier) => map.serialize_entry("security_group", tier)?,
            Self::PrefixList(name) => map.serialize_entry("prefix_list", name)?,
            Self::Cidr(cidr) => map.serialize_entry("cidr", cidr)?,
            Self::Vpc => map.serialize_entry("vpc", &true)?,
            Self::VpcIpv6 => map.serialize_entry("vpc_ipv6", &true)?,
        }
        map.end()
    }
}

impl fmt::Display for RulePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecurityGroup(tier) => write!(f, "the security group of the {}", tier.name()),
            Self::PrefixList(name) => write!(f, "the prefix list {name}"),
            Self::Cidr(cidr) => write!(f, "{cidr}"),
            Self::Vpc => f.write_str("the VPC's address range"),
            Self::VpcIpv6 => f.write_str("the VPC's IPv6 address range"),
        }
    }
}
