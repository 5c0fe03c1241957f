//! One subnet of a snapshot, and the addresses that a contact from it goes to.

use ipnet::IpNet;

use super::address_set::AddressSet;
use super::snapshot::{ReadEndpoint, Snapshot, Subnet, Vpc};
use crate::ip_owner;
use crate::network_location::IpFamily;

/// A subnet of a snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub snapshot: &'a Snapshot,
    pub subnet: &'a Subnet,
    pub vpc: Option<&'a Vpc>,
}

/// Where a contact goes.
#[derive(Debug, Clone)]
pub(super) struct Destination<'a> {
    /// For sentences, such as `the public addresses of Amazon S3`.
    pub name: String,
    /// Every address that the name may resolve to.
    pub all: AddressSet,
    /// Of these, the ones that AWS has published for the service's Region; all where they are known
    /// exactly. A rule or route for other addresses does not matter.
    pub published: AddressSet,
    pub is_s3: bool,
    /// Security groups of the destination, where it has some that are known.
    pub groups: &'a [String],
    /// Subnet of the destination in this VPC.
    pub subnet: Option<&'a Subnet>,
    pub port: u16,
}

impl Destination<'_> {
    /// Returns the addresses that matter where a part of all is treated differently.
    pub fn relevant(&self) -> &AddressSet {
        if self.published.is_empty() {
            &self.all
        } else {
            &self.published
        }
    }
}

impl<'a> View<'a> {
    pub fn new(snapshot: &'a Snapshot, subnet: &'a Subnet) -> Self {
        Self {
            snapshot,
            subnet,
            vpc: snapshot.vpc(&subnet.vpc),
        }
    }

    /// Whether the task has only IPv6 addresses, so that ECS contacts everything over IPv6.
    pub fn is_ipv6(&self) -> bool {
        match (self.subnet.cidr, self.subnet.ipv6_cidr) {
            (None, Some(_)) => true,
            (None, None) => self.snapshot.plan.ip_family == IpFamily::Ipv6,
            _ => false,
        }
    }

    /// Returns the addresses that the task may have.
    pub fn sources(&self) -> AddressSet {
        sources_of(self.subnet, self.is_ipv6())
    }

    /// Returns the block of a subnet, of the task's IP version.
    pub fn block_of(&self, subnet: &Subnet) -> Option<IpNet> {
        if self.is_ipv6() {
            subnet.ipv6_cidr
        } else {
            subnet.cidr
        }
    }

    /// Returns the security groups of the task: the default one of the VPC if none is named, and
    /// `None` if that is not known.
    pub fn task_groups(&self) -> Option<Vec<String>> {
        let named = &self.snapshot.task.security_groups;
        if !named.is_empty() {
            return Some(named.clone());
        }
        // The container instance makes the contacts then, with groups of its own.
        if self.snapshot.plan.host.is_instance() || self.snapshot.task.only_subnets_known {
            return None;
        }
        let groups = self.snapshot.security_groups.as_ref()?;
        let default = groups
            .iter()
            .find(|group| group.vpc == self.subnet.vpc && group.name == "default")?;
        Some(vec![default.id.clone()])
    }

    /// Returns the prefix list of Amazon S3 in the Region, if it was read.
    pub fn s3_prefix_list(&self) -> Option<&'a super::snapshot::PrefixList> {
        let end = format!(".{}.s3", self.snapshot.plan.region);
        self.snapshot
            .prefix_lists
            .iter()
            .flatten()
            .find(|list| list.name.ends_with(&end))
    }

    /// Returns the public addresses of an AWS service, or of any other host.
    pub fn public(
        &self,
        name: String,
        is_s3: bool,
        is_aws: bool,
        port: u16,
    ) -> Destination<'static> {
        let vpc = self.vpc.map(|vpc| vpc.cidrs.as_slice()).unwrap_or_default();
        let every = if self.is_ipv6() {
            AddressSet::public_ipv6(vpc)
        } else {
            AddressSet::public_ipv4(vpc)
        };
        let region = &self.snapshot.plan.region;
        let owner = |service: &str| {
            AddressSet::of(ip_owner::ranges_of(&format!("{service} {region}"))).intersection(&every)
        };
        let entries = self
            .s3_prefix_list()
            .and_then(|list| list.entries.clone())
            .map(|entries| AddressSet::of(entries).intersection(&every))
            .filter(|entries| is_s3 && !entries.is_empty());
        let published = match (is_s3, is_aws) {
            (true, _) => owner("S3"),
            (false, true) => owner("AMAZON"),
            _ => AddressSet::default(),
        };
        Destination {
            name,
            published: entries.clone().unwrap_or(published),
            all: entries.unwrap_or(every),
            is_s3,
            groups: &[],
            subnet: None,
            port,
        }
    }

    /// Returns the network interfaces of an endpoint as destinations, one for each of its subnets.
    /// Where an interface's address is not known, it is any address of the subnet.
    pub fn interfaces_of(&self, endpoint: &'a ReadEndpoint, port: u16) -> Vec<Destination<'a>> {
        let destination = |id: &String| {
            let subnet = self.snapshot.subnet(id);
            let block = subnet.and_then(|subnet| self.block_of(subnet))?;
            let known: Vec<IpNet> = endpoint
                .interfaces
                .iter()
                .filter(|interface| interface.subnet == *id)
                .flat_map(|interface| &interface.addresses)
                .filter(|address| block.contains(*address))
                .map(|address| IpNet::from(*address))
                .collect();
            let all = if known.is_empty() {
                AddressSet::of([block])
            } else {
                AddressSet::of(known)
            };
            Some(Destination {
                name: match all.only_address() {
                    Some(address) => format!("{} at {address}", endpoint.id),
                    None => format!("{} in {id}", endpoint.id),
                },
                published: all.clone(),
                all,
                is_s3: false,
                groups: &endpoint.groups,
                subnet,
                port,
            })
        };
        endpoint.subnets.iter().filter_map(destination).collect()
    }
}

/// Whether the name of an endpoint service or prefix list is Amazon S3's, in any Region.
pub(super) fn is_s3_service(name: &str) -> bool {
    name.rsplit('.').next() == Some("s3")
}

/// Returns the addresses that a task in the subnet may have.
pub(super) fn sources_of(subnet: &Subnet, is_ipv6: bool) -> AddressSet {
    let block = if is_ipv6 {
        subnet.ipv6_cidr
    } else {
        subnet.cidr
    };
    AddressSet::of(block)
}
