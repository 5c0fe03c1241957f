//! Where an address lies, seen from the task.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::observation::Scope;

/// What is known of where the task itself sits.
#[derive(Debug, Clone, Default)]
pub struct NetworkLocation {
    /// The task's own address.
    pub address: Option<IpAddr>,
    /// Its subnet.
    pub subnet: Option<IpNet>,
    /// Address ranges that are private whatever their number.
    pub vpc_cidrs: Vec<IpNet>,
}

impl NetworkLocation {
    /// An address is private to the VPC when it lies in a range that is named, in the ranges set
    /// aside for private use (RFC 1918, RFC 6598, RFC 4193), or in the same /16 as the task: a
    /// VPC's range is at most a /16 (Amazon VPC user guide, "VPC CIDR blocks"), and VPCs in
    /// 172.40.0.0/16 exist.
    pub fn scope(&self, address: IpAddr) -> Scope {
        let address = address.to_canonical();
        if self.subnet.is_some_and(|subnet| subnet.contains(&address)) {
            return Scope::SameSubnet;
        }
        let named = self.vpc_cidrs.iter().any(|cidr| cidr.contains(&address));
        if named || is_set_aside(address) || self.shares_a_16(address) {
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

fn is_set_aside(address: IpAddr) -> bool {
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
    fn private_is_what_the_contract_says() {
        let place = NetworkLocation {
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
            assert_eq!(place.scope(address.parse().unwrap()), scope, "{address}");
        }
    }
}
