//! Whether an address is in the task's subnet, in its VPC, or public.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::observation::Scope;

/// The task's own place in the network, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct NetworkLocation {
    /// The task's own address.
    pub address: Option<IpAddr>,
    /// The task's subnet.
    pub subnet: Option<IpNet>,
    /// Further CIDR blocks that are private.
    pub vpc_cidrs: Vec<IpNet>,
}

impl NetworkLocation {
    /// Returns the scope of `address`. It is private to the VPC if it is in one of `vpc_cidrs`, in
    /// a range for private use (RFC 1918, RFC 6598, RFC 4193), or in the same /16 as the task: a
    /// VPC's CIDR block is at most a /16 (Amazon VPC user guide, "VPC CIDR blocks"), and VPCs in
    /// 172.40.0.0/16 exist.
    pub fn scope(&self, address: IpAddr) -> Scope {
        let address = address.to_canonical();
        if self.subnet.is_some_and(|subnet| subnet.contains(&address)) {
            return Scope::SameSubnet;
        }
        let in_vpc_cidrs = self.vpc_cidrs.iter().any(|cidr| cidr.contains(&address));
        if in_vpc_cidrs || is_private_use(address) || self.shares_a_16(address) {
            Scope::Private
        } else {
            Scope::Public
        }
    }

    fn shares_a_16(&self, address: IpAddr) -> bool {
        let (Some(IpAddr::V4(own)), IpAddr::V4(other)) = (self.address, address) else {
            return false;
        };
        own.octets()[..2] == other.octets()[..2]
    }
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
}
