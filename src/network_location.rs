//! Whether an address is in the task's subnet, in its VPC, or public, and which IP versions the
//! task has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::endpoints::Variant;
use crate::observation::Scope;

/// The IP versions of a task's addresses, which its subnet determines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum IpFamily {
    /// IPv4 only.
    #[default]
    Ipv4,
    /// IPv4 and IPv6. ECS still starts the task over IPv4 (Amazon ECS developer guide, "Amazon ECS
    /// task networking options for Fargate"; containers-roadmap#2792).
    DualStack,
    /// IPv6 only: the task has no IPv4 address.
    Ipv6,
}

impl IpFamily {
    /// Every family.
    pub const ALL: [Self; 3] = [Self::Ipv4, Self::DualStack, Self::Ipv6];

    /// Returns the family of a task with addresses of these versions; `None` without any.
    pub const fn of(has_ipv4: bool, has_ipv6: bool) -> Option<Self> {
        match (has_ipv4, has_ipv6) {
            (true, true) => Some(Self::DualStack),
            (true, false) => Some(Self::Ipv4),
            (false, true) => Some(Self::Ipv6),
            (false, false) => None,
        }
    }

    /// Returns the name in reports and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::DualStack => "dual-stack",
            Self::Ipv6 => "ipv6",
        }
    }

    /// Returns which names of AWS services the ECS agent uses: dual-stack names only where the task
    /// has no IPv4 address (amazon-ecs-agent 1.105.1, `agent/ecr/factory.go` and the other
    /// clients). For Fargate's agent this is inferred: the ECS developer guide requires the
    /// dual-stack registry name there, and does not mention the other services.
    pub const fn variant(self) -> Variant {
        Variant {
            fips: false,
            dual_stack: matches!(self, Self::Ipv6),
        }
    }
}

/// Returns the IPv4 address inside an address with the well-known NAT64 prefix (RFC 6052 section
/// 2.1), which Route 53 Resolver's DNS64 and NAT gateways use.
pub fn nat64_target(address: IpAddr) -> Option<IpAddr> {
    let prefix = Ipv6Net::new_assert([0x64, 0xff9b, 0, 0, 0, 0, 0, 0].into(), 96);
    let IpAddr::V6(v6) = address else { return None };
    let [.., a, b, c, d] = v6.octets();
    prefix.contains(&v6).then(|| IpAddr::from([a, b, c, d]))
}

/// Returns the unspecified address of the same IP version as `peer`, for a socket whose address the
/// kernel chooses.
pub fn unspecified(peer: SocketAddr) -> IpAddr {
    if peer.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    }
}

/// The task's own place in the network, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct NetworkLocation {
    /// The task's own address.
    pub address: Option<IpAddr>,
    /// The task's subnet.
    pub subnet: Option<IpNet>,
    /// Further CIDR blocks that are private.
    pub vpc_cidrs: Vec<IpNet>,
    /// The IP versions of the task.
    pub ip_family: Option<IpFamily>,
}

impl NetworkLocation {
    /// Returns the scope of `address`. The address is private if it is in one of `vpc_cidrs`, in a
    /// range for private use (RFC 1918, RFC 6598, RFC 4193), or in the same /16 as the task: a
    /// VPC's CIDR block is at most a /16 (Amazon VPC user guide, "VPC CIDR blocks"), and VPCs in
    /// 172.40.0.0/16 exist. The same applies to IPv6 within a /56, the size of the blocks that AWS
    /// assigns (same page).
    pub fn scope(&self, address: IpAddr) -> Scope {
        let address = address.to_canonical();
        if self.subnet.is_some_and(|subnet| subnet.contains(&address)) {
            return Scope::SameSubnet;
        }
        let in_vpc_cidrs = self.vpc_cidrs.iter().any(|cidr| cidr.contains(&address));
        if in_vpc_cidrs || is_private_use(address) || self.shares_a_block(address) {
            Scope::Private
        } else {
            Scope::Public
        }
    }

    fn shares_a_block(&self, address: IpAddr) -> bool {
        // A Lambda function knows only its subnet, whose addresses share the block.
        let own = self.address.or(self.subnet.map(|subnet| subnet.network()));
        match (own, address) {
            (Some(IpAddr::V4(own)), IpAddr::V4(other)) => own.octets()[..2] == other.octets()[..2],
            (Some(IpAddr::V6(own)), IpAddr::V6(other)) => own.octets()[..7] == other.octets()[..7],
            _ => false,
        }
    }

    /// Returns why nothing is sent to `address`, if the task has no address of its version.
    pub fn why_not_sent(&self, address: IpAddr) -> Option<&'static str> {
        (self.ip_family == Some(IpFamily::Ipv6) && address.is_ipv4())
            .then_some("this task has no IPv4 address, so nothing is sent to this one")
    }
}

/// Whether an address is outside all private ranges. If a VPC uses public ranges, its resolver
/// counts as public, which only adds candidate causes.
pub fn is_public(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_private_use(address) || address.is_loopback() || is_link_local)
}

fn is_private_use(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let carrier_grade = Ipv4Net::new_assert([100, 64, 0, 0].into(), 10);
            v4.is_private() || carrier_grade.contains(&v4)
        }
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_subnet_private_and_public_addresses() {
        let location = NetworkLocation {
            address: Some([172, 40, 1, 10].into()),
            subnet: Some("172.40.1.0/24".parse().unwrap()),
            vpc_cidrs: vec!["198.51.100.0/24".parse().unwrap()],
            ip_family: None,
        };
        for (address, scope) in [
            ("172.40.1.77", Scope::SameSubnet),
            ("172.40.200.1", Scope::Private),
            ("172.41.0.1", Scope::Public),
            ("10.9.9.9", Scope::Private),
            ("192.168.3.4", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("100.64.0.1", Scope::Private),
            ("100.128.0.1", Scope::Public),
            ("198.51.100.7", Scope::Private),
            ("52.216.1.1", Scope::Public),
            ("fd00:1::1", Scope::Private),
            ("2600:1f18::1", Scope::Public),
            ("::ffff:10.0.0.1", Scope::Private),
        ] {
            assert_eq!(location.scope(address.parse().unwrap()), scope, "{address}");
        }
    }

    #[test]
    fn vpc_addresses_are_recognized_from_the_subnet_alone() {
        let location = NetworkLocation {
            subnet: Some("172.40.1.0/24".parse().unwrap()),
            ..NetworkLocation::default()
        };
        for (address, scope) in [
            ("172.40.1.77", Scope::SameSubnet),
            ("172.40.200.1", Scope::Private),
            ("172.41.0.1", Scope::Public),
        ] {
            assert_eq!(location.scope(address.parse().unwrap()), scope, "{address}");
        }
    }

    #[test]
    fn globally_routable_ipv6_addresses_of_the_vpc_are_private() {
        let location = NetworkLocation {
            address: Some("2600:1f18:4a2:ff01::10".parse().unwrap()),
            subnet: Some("2600:1f18:4a2:ff01::/64".parse().unwrap()),
            vpc_cidrs: Vec::new(),
            ip_family: Some(IpFamily::Ipv6),
        };
        for (address, scope) in [
            ("2600:1f18:4a2:ff01::77", Scope::SameSubnet),
            ("2600:1f18:4a2:ff02::77", Scope::Private),
            ("2600:1f18:4a2:fe01::77", Scope::Public),
            // NAT64 leads out through the NAT gateway, whatever the IPv4 address.
            ("64:ff9b::34d8:1", Scope::Public),
            ("64:ff9b::a00:90b", Scope::Public),
        ] {
            assert_eq!(location.scope(address.parse().unwrap()), scope, "{address}");
        }
        assert!(location.why_not_sent([10, 0, 0, 1].into()).is_some());
        assert!(location.why_not_sent("2600::1".parse().unwrap()).is_none());
        let dual_stack = NetworkLocation {
            ip_family: Some(IpFamily::DualStack),
            ..location
        };
        assert!(dual_stack.why_not_sent([10, 0, 0, 1].into()).is_none());
    }

    #[test]
    fn nat64_addresses_contain_an_ipv4_address() {
        let target = |address: &str| nat64_target(address.parse().unwrap());
        assert_eq!(target("64:ff9b::52.216.0.1"), Some([52, 216, 0, 1].into()));
        assert_eq!(target("64:ff9b:1::52.216.0.1"), None);
        assert_eq!(target("52.216.0.1"), None);
    }
}
