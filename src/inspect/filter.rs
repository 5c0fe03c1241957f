//! The filters on a path: security groups, which are stateful, and network ACLs, which are not.

use super::address_set::AddressSet;
use super::change::{ConfigurationChange, Peer};
use super::hop::{HopFault, HopKind, JudgedHop, Openness};
use super::snapshot::{AclEntry, NetworkAcl, Permission, SecurityGroup, Subnet};
use super::view::{Destination, View};
use crate::cause::Cause;

/// The ephemeral ports of all systems together: NAT gateways and Lambda use all of them (Amazon VPC
/// user guide, "Ephemeral ports").
const EPHEMERAL: (u16, u16) = (1024, 65535);

/// The ports that Linux uses by default (`net.ipv4.ip_local_port_range`).
const EPHEMERAL_OF_LINUX: (u16, u16) = (32768, 60999);

/// Number of the last rule of every network ACL, which denies all traffic and cannot be removed.
/// That for IPv6 has the next number (Amazon VPC user guide, "Default network ACL").
const LAST_RULE: u32 = 32767;

/// Distance to the previous rule's number, as AWS recommends to leave room for others (Amazon VPC
/// user guide, "Network ACL rules").
const RULE_DISTANCE: u32 = 10;

/// Maximum number of free rule numbers that are kept: an ACL has at most 40 rules in each direction
/// (Amazon VPC quotas).
const MAX_FREE_NUMBERS: u32 = 40;

/// The part of a destination that a set of rules allows.
struct Allowed {
    addresses: AddressSet,
    /// Prefix lists whose entries are not known.
    unread: Vec<String>,
    rules: Vec<String>,
}

/// Adds what a security group's rules allow for `port`. `whole` is the set of addresses in
/// question; a rule that names one of `groups` allows all of it.
fn allow(
    view: &View<'_>,
    allowed: &mut Allowed,
    permissions: &[Permission],
    port: u16,
    whole: &AddressSet,
    groups: &[String],
    is_s3: bool,
) {
    for permission in permissions.iter().filter(|one| has_port(one, port)) {
        let mut set = AddressSet::of(permission.cidrs.iter().copied());
        let mut peers: Vec<String> = permission.cidrs.iter().map(ToString::to_string).collect();
        for id in &permission.prefix_lists {
            let list = view.snapshot.prefix_list(id);
            let is_s3_list = is_s3 && view.s3_prefix_list().is_some_and(|list| list.id == *id);
            match list.and_then(|list| list.entries.as_ref()) {
                _ if is_s3_list => set = set.union(whole),
                Some(entries) => set = set.union(&AddressSet::of(entries.iter().copied())),
                None => allowed.unread.push(id.clone()),
            }
            peers.push(id.clone());
        }
        for id in permission.groups.iter().filter(|id| groups.contains(id)) {
            set = set.union(whole);
            peers.push(id.clone());
        }
        if set.intersects(whole) {
            allowed.rules.push(describe(permission, &peers));
            allowed.addresses = allowed.addresses.union(&set.intersection(whole));
        }
    }
}

/// Whether a rule covers TCP on `port`.
fn has_port(permission: &Permission, port: u16) -> bool {
    match permission.protocol.as_str() {
        "-1" => true,
        "tcp" | "6" => {
            let port = i64::from(port);
            permission.from_port.is_none_or(|from| from <= port)
                && permission.to_port.is_none_or(|to| port <= to)
        }
        _ => false,
    }
}

fn describe(permission: &Permission, peers: &[String]) -> String {
    let ports = match (
        permission.protocol.as_str(),
        permission.from_port,
        permission.to_port,
    ) {
        ("-1", ..) => "all traffic".to_owned(),
        (_, Some(from), Some(to)) if from == to => format!("TCP {from}"),
        (_, Some(from), Some(to)) => format!("TCP {from}-{to}"),
        _ => "TCP".to_owned(),
    };
    format!("{ports}, {}", peers.join(", "))
}

/// Several security groups, whose rules add up.
struct Groups<'a> {
    found: Vec<&'a SecurityGroup>,
    missing: Vec<String>,
}

impl<'a> Groups<'a> {
    fn of(view: &View<'a>, ids: &[String]) -> Self {
        let mut groups = Self {
            found: Vec::new(),
            missing: Vec::new(),
        };
        for id in ids {
            match view.snapshot.security_group(id) {
                Some(group) => groups.found.push(group),
                None => groups.missing.push(id.clone()),
            }
        }
        groups
    }
}

/// Checks the task's security groups, outbound.
pub(super) fn task_security_groups(view: &View<'_>, destination: &Destination<'_>) -> JudgedHop {
    const KIND: HopKind = HopKind::SecurityGroup;
    let Some(ids) = view.task_groups() else {
        let why = if view.snapshot.plan.host.is_instance() {
            "The container instance makes this contact, and its security groups were not read."
        } else if view.snapshot.task.only_subnets_known {
            "The task's security groups are not known; pass them with --security-groups."
        } else {
            "The task has no security group of its own, and the VPC's default security group could not be read (ec2:DescribeSecurityGroups)."
        };
        return JudgedHop::unknown(KIND, &view.subnet.vpc, "", why);
    };
    let groups = Groups::of(view, &ids);
    let mut allowed = Allowed {
        addresses: AddressSet::default(),
        unread: Vec::new(),
        rules: Vec::new(),
    };
    for group in &groups.found {
        allow(
            view,
            &mut allowed,
            &group.egress,
            destination.port,
            &destination.all,
            destination.groups,
            destination.is_s3,
        );
    }
    let ids = ids.join(", ");
    let port = destination.port;
    if allowed.addresses.covers(&destination.all) {
        let why = format!("Outbound TCP {port} to {} is allowed.", destination.name);
        return JudgedHop::open(KIND, &ids, allowed.rules.join("; "), why);
    }
    if let Some(unknown) = not_certain(KIND, &ids, &groups, &allowed) {
        return unknown;
    }
    if allowed.addresses.intersects(destination.relevant()) {
        let why = format!(
            "Outbound TCP {port} is allowed only to a part of {}, and which address the name resolves to is not known.",
            destination.name
        );
        return JudgedHop::unknown(KIND, &ids, allowed.rules.join("; "), why);
    }
    let first = groups.found.first().map(|group| group.id.clone());
    let peer = peer_of(view, destination);
    let to = match &peer {
        Some(Peer::Group(id) | Peer::PrefixList(id)) => id.clone(),
        Some(Peer::Cidr(cidr)) => cidr.to_string(),
        None => destination.name.clone(),
    };
    let change = first
        .zip(peer)
        .map(|(group, peer)| ConfigurationChange::AddSecurityGroupRule {
            group,
            is_egress: true,
            port,
            peer,
        });
    JudgedHop::closed(
        KIND,
        &ids,
        format!("no outbound rule allows TCP {port} to {to}"),
        format!(
            "No outbound rule of {ids} allows TCP {port} to {}.",
            destination.name
        ),
        HopFault::new(Cause::TaskSecurityGroupEgress, change),
    )
}

/// Returns an unknown hop if an unread security group or prefix list may change the answer.
fn not_certain(
    kind: HopKind,
    ids: &str,
    groups: &Groups<'_>,
    allowed: &Allowed,
) -> Option<JudgedHop> {
    if !groups.missing.is_empty() {
        let missing = groups.missing.join(", ");
        return Some(JudgedHop::unknown(
            kind,
            ids,
            "",
            format!(
                "The security group {missing} could not be read: it does not exist, or ec2:DescribeSecurityGroups is not allowed."
            ),
        ));
    }
    if !allowed.unread.is_empty() {
        let lists = allowed.unread.join(", ");
        return Some(JudgedHop::unknown(
            kind,
            ids,
            lists.clone(),
            format!(
                "A rule names the prefix list {lists}, whose entries could not be read (ec2:GetManagedPrefixListEntries)."
            ),
        ));
    }
    None
}

/// Returns the narrowest peer that includes the destination.
fn peer_of(view: &View<'_>, destination: &Destination<'_>) -> Option<Peer> {
    if let Some(group) = destination.groups.first() {
        return Some(Peer::Group(group.clone()));
    }
    if destination.is_s3
        && let Some(list) = view.s3_prefix_list()
        && list.entries.is_some()
    {
        return Some(Peer::PrefixList(list.id.clone()));
    }
    cidr_of(view, destination).map(Peer::Cidr)
}

/// Returns the CIDR block for a rule that must include the destination.
fn cidr_of(view: &View<'_>, destination: &Destination<'_>) -> Option<ipnet::IpNet> {
    if let Some(address) = destination.all.only_address() {
        return Some(address.into());
    }
    if let Some(subnet) = destination.subnet {
        return view.block_of(subnet);
    }
    let any = if view.is_ipv6() { "::/0" } else { "0.0.0.0/0" };
    any.parse().ok()
}

/// Checks the security groups of an interface endpoint, inbound.
pub(super) fn endpoint_security_groups(
    view: &View<'_>,
    endpoint: &str,
    destination: &Destination<'_>,
) -> JudgedHop {
    const KIND: HopKind = HopKind::EndpointSecurityGroup;
    let port = destination.port;
    if destination.groups.is_empty() {
        return JudgedHop::unknown(
            KIND,
            endpoint,
            "",
            "The endpoint's security groups were not read.",
        );
    }
    let groups = Groups::of(view, destination.groups);
    let Some(task) = view.task_groups() else {
        return JudgedHop::unknown(
            KIND,
            endpoint,
            "",
            "The task's security groups are not known, so it is not known whether a rule that names one applies.",
        );
    };
    let sources = view.sources();
    let mut allowed = Allowed {
        addresses: AddressSet::default(),
        unread: Vec::new(),
        rules: Vec::new(),
    };
    for group in &groups.found {
        allow(
            view,
            &mut allowed,
            &group.ingress,
            port,
            &sources,
            &task,
            false,
        );
    }
    let ids = destination.groups.join(", ");
    if !sources.is_empty() && allowed.addresses.covers(&sources) {
        let why = format!("Inbound TCP {port} from {} is allowed.", view.subnet.id);
        return JudgedHop::open(KIND, &ids, allowed.rules.join("; "), why);
    }
    if let Some(unknown) = not_certain(KIND, &ids, &groups, &allowed) {
        return unknown;
    }
    if sources.is_empty() || allowed.addresses.intersects(&sources) {
        let why = format!(
            "Inbound TCP {port} is allowed only from a part of {}, and the task's address is not known before it runs.",
            view.subnet.id
        );
        return JudgedHop::unknown(KIND, &ids, allowed.rules.join("; "), why);
    }
    let by_group = task.first().map(|id| Peer::Group(id.clone()));
    let by_block = view.block_of(view.subnet).map(Peer::Cidr);
    let changes = groups.found.first().into_iter().flat_map(|group| {
        let peers = by_group.clone().into_iter().chain(by_block.clone());
        peers.map(|peer| ConfigurationChange::AddSecurityGroupRule {
            group: group.id.clone(),
            is_egress: false,
            port,
            peer,
        })
    });
    JudgedHop::closed(
        KIND,
        &ids,
        format!("no inbound rule allows TCP {port} from {}", task.join(", ")),
        format!(
            "No inbound rule of {ids}, the security group of {endpoint}, allows TCP {port} from the task."
        ),
        HopFault::new(Cause::EndpointSecurityGroup, changes),
    )
}

/// One direction of a network ACL.
struct AclCheck<'a> {
    acl: &'a NetworkAcl,
    is_egress: bool,
    /// Addresses of the other side.
    all: &'a AddressSet,
    /// The part of `all` that the contact may use.
    relevant: &'a AddressSet,
    /// CIDR block for a rule that would allow the traffic.
    block: Option<ipnet::IpNet>,
    name: String,
    ports: (u16, u16),
    /// Whether it is enough that the ports that Linux uses are open.
    linux_is_enough: bool,
}

/// What an ACL does to a range of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    ports: (u16, u16),
    verdict: Openness,
    /// Number of the rule that decides, as text; `*` for the last one.
    rule: String,
    number: u32,
}

/// Checks the network ACLs between the task's subnet and a destination inside the VPC. Traffic
/// within one subnet does not pass an ACL.
pub(super) fn acls_to_subnet(view: &View<'_>, destination: &Destination<'_>) -> Vec<JudgedHop> {
    let Some(other) = destination.subnet else {
        return Vec::new();
    };
    if other.id == view.subnet.id {
        return Vec::new();
    }
    let sources = view.sources();
    let port = (destination.port, destination.port);
    let is_linux = view.snapshot.plan.platform.os == "linux";
    let check = |subnet: &Subnet, is_egress, is_reply: bool| {
        let is_tasks = subnet.id == view.subnet.id;
        let (all, name) = if is_tasks {
            (&destination.all, destination.name.clone())
        } else {
            (&sources, view.subnet.id.clone())
        };
        let block = view.block_of(if is_tasks { other } else { view.subnet });
        check_acl(view, subnet, |acl| AclCheck {
            acl,
            is_egress,
            all,
            relevant: all,
            block,
            name: name.clone(),
            ports: if is_reply { EPHEMERAL } else { port },
            linux_is_enough: is_linux,
        })
    };
    vec![
        check(view.subnet, true, false),
        check(other, false, false),
        check(other, true, true),
        check(view.subnet, false, true),
    ]
}

/// Checks the network ACLs to a public destination: those of the task's subnet and, if the route
/// leads through a NAT gateway, those of its subnet.
pub(super) fn acls_to_public(
    view: &View<'_>,
    destination: &Destination<'_>,
    nat: Option<&Subnet>,
) -> Vec<JudgedHop> {
    let port = (destination.port, destination.port);
    let is_linux = view.snapshot.plan.platform.os == "linux";
    let sources = view.sources();
    let public = |subnet: &Subnet, is_egress, ports, linux_is_enough| {
        check_acl(view, subnet, |acl| AclCheck {
            acl,
            is_egress,
            all: &destination.all,
            relevant: destination.relevant(),
            block: cidr_of(view, destination),
            name: destination.name.clone(),
            ports,
            linux_is_enough,
        })
    };
    let mut steps = vec![public(view.subnet, true, port, false)];
    if let Some(nat) = nat.filter(|nat| nat.id != view.subnet.id) {
        let task = |is_egress, ports| {
            check_acl(view, nat, |acl| AclCheck {
                acl,
                is_egress,
                all: &sources,
                relevant: &sources,
                block: view.block_of(view.subnet),
                name: view.subnet.id.clone(),
                ports,
                linux_is_enough: is_linux,
            })
        };
        steps.push(task(false, port));
        steps.push(public(nat, true, port, false));
        // Replies go to the NAT gateway's own ports.
        steps.push(public(nat, false, EPHEMERAL, false));
        steps.push(task(true, EPHEMERAL));
    }
    steps.push(public(view.subnet, false, EPHEMERAL, is_linux));
    steps
}

fn check_acl<'a>(
    view: &View<'a>,
    subnet: &Subnet,
    check: impl FnOnce(&'a NetworkAcl) -> AclCheck<'a>,
) -> JudgedHop {
    match view.snapshot.network_acl(subnet) {
        Some(acl) => check(acl).step(subnet),
        None => JudgedHop::unknown(
            HopKind::NetworkAcl,
            &subnet.id,
            "",
            "The network ACL of the subnet could not be read (ec2:DescribeNetworkAcls).",
        ),
    }
}

impl AclCheck<'_> {
    fn step(&self, subnet: &Subnet) -> JudgedHop {
        const KIND: HopKind = HopKind::NetworkAcl;
        let id = &self.acl.id;
        let direction = if self.is_egress {
            "outbound"
        } else {
            "inbound"
        };
        let preposition = if self.is_egress { "to" } else { "from" };
        let ports = ports_text(self.ports);
        let what = format!("{direction} TCP {ports} {preposition} {}", self.name);
        let segments = self.segments();
        let rules = |segments: &[&Segment]| {
            let mut rules: Vec<_> = segments
                .iter()
                .map(|segment| format!("{direction} rule {}", segment.rule))
                .collect();
            rules.dedup();
            rules.join(", ")
        };
        let is_open = |segment: &&Segment| segment.verdict == Openness::Open;
        let all: Vec<_> = segments.iter().collect();
        // The segments of the ports that will be used. If all are closed, no connection works.
        let mut decisive = all.clone();
        if all.iter().all(is_open) {
            return JudgedHop::open(
                KIND,
                id,
                rules(&all),
                format!("The network ACL of {} allows {what}.", subnet.id),
            );
        }
        if self.linux_is_enough && self.ports == EPHEMERAL {
            let (from, to) = EPHEMERAL_OF_LINUX;
            let of_linux: Vec<_> = segments
                .iter()
                .filter(|segment| segment.ports.0 <= to && segment.ports.1 >= from)
                .collect();
            decisive.clone_from(&of_linux);
            if of_linux.iter().all(is_open) {
                return JudgedHop::open(
                    KIND,
                    id,
                    rules(&of_linux),
                    format!(
                        "The network ACL of {} allows {direction} TCP {from}-{to} {preposition} {}: the ports that Linux uses by default.",
                        subnet.id, self.name
                    ),
                );
            }
        }
        let closed: Vec<_> = segments
            .iter()
            .filter(|segment| segment.verdict == Openness::Closed)
            .collect();
        let Some(first) = closed.first() else {
            return JudgedHop::unknown(
                KIND,
                id,
                rules(&all),
                format!(
                    "The network ACL of {} allows {what} only for a part of the addresses, and which of them the contact uses is not known.",
                    subnet.id
                ),
            );
        };
        let rule = if first.number >= LAST_RULE {
            let peer = self
                .block
                .map_or_else(|| self.name.clone(), |block| block.to_string());
            format!("{direction} rule * (no rule allows TCP {ports} {preposition} {peer})")
        } else {
            format!("{direction} rule {}", first.number)
        };
        let why = if closed.len() == segments.len() {
            format!("The network ACL of {} denies {what}.", subnet.id)
        } else {
            let denied: Vec<_> = closed
                .iter()
                .map(|segment| ports_text(segment.ports))
                .collect();
            format!(
                "The network ACL of {} denies {direction} TCP {} {preposition} {}, so some connections time out.",
                subnet.id,
                denied.join(", "),
                self.name
            )
        };
        let mut fault = HopFault::new(Cause::NetworkAcl, []);
        // Some connections work.
        fault.blocking = decisive
            .iter()
            .all(|segment| segment.verdict == Openness::Closed);
        // An explicit deny rule is deliberate, so no change is proposed against it.
        let is_explicit = closed.iter().any(|segment| segment.number < LAST_RULE);
        let changes = self.changes(&closed);
        if !is_explicit && !changes.is_empty() {
            fault.alternatives.push(changes);
        }
        JudgedHop::closed(KIND, id, rule, why, fault)
    }

    /// Returns the entries that allow the closed ports, numbered after every rule that denies
    /// something.
    fn changes(&self, closed: &[&Segment]) -> Vec<ConfigurationChange> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for segment in closed {
            match ranges.last_mut() {
                Some(last) if last.1.checked_add(1) == Some(segment.ports.0) => {
                    last.1 = segment.ports.1;
                }
                _ => ranges.push(segment.ports),
            }
        }
        let changes: Vec<_> = ranges
            .into_iter()
            .filter_map(|ports| self.change(ports))
            .collect();
        changes
    }

    fn change(&self, ports: (u16, u16)) -> Option<ConfigurationChange> {
        let used: Vec<u32> = self
            .acl
            .entries
            .iter()
            .filter(|entry| entry.is_egress == self.is_egress)
            .map(|entry| entry.number)
            .collect();
        let denies = self.acl.entries.iter().filter(|entry| {
            entry.is_egress == self.is_egress && !entry.allows && entry.number < LAST_RULE
        });
        let last_deny = denies.map(|entry| entry.number).max().unwrap_or_default();
        let last = used.iter().filter(|number| **number < LAST_RULE).max();
        let next = last.map_or(100, |last| (last / RULE_DISTANCE + 1) * RULE_DISTANCE);
        let after = (0..MAX_FREE_NUMBERS).map(|step| next + step * RULE_DISTANCE);
        let between = (1..LAST_RULE).rev();
        let free: Vec<u32> = after
            .filter(|number| *number < LAST_RULE)
            .chain(between)
            .filter(|number| !used.contains(number) && *number > last_deny)
            .take(MAX_FREE_NUMBERS as usize)
            .collect();
        let (number, others) = free.split_first()?;
        Some(ConfigurationChange::AddAclEntry {
            acl: self.acl.id.clone(),
            number: *number,
            others: others.to_vec(),
            is_egress: self.is_egress,
            cidr: self.block?,
            ports,
        })
    }

    /// Splits the range of ports at the ports that the rules name.
    fn segments(&self) -> Vec<Segment> {
        let mut entries: Vec<&AclEntry> = self
            .acl
            .entries
            .iter()
            .filter(|entry| entry.is_egress == self.is_egress)
            .filter(|entry| matches!(entry.protocol.as_str(), "-1" | "6" | "tcp"))
            .collect();
        entries.sort_by_key(|entry| entry.number);
        let (from, to) = self.ports;
        let mut starts = vec![from];
        // Splits at the limits of Linux's default range, so that no segment crosses them.
        if from != to {
            starts.extend([EPHEMERAL_OF_LINUX.0, EPHEMERAL_OF_LINUX.1 + 1]);
        }
        for entry in &entries {
            if let (Some(first), Some(last), false) =
                (entry.from_port, entry.to_port, entry.protocol == "-1")
            {
                starts.push(first);
                starts.extend(last.checked_add(1));
            }
        }
        starts.retain(|start| (from..=to).contains(start));
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().skip(1).map(|next| next - 1).chain([to]);
        let mut segments: Vec<Segment> = Vec::new();
        for (start, end) in starts.iter().zip(ends) {
            let (verdict, number) = self.verdict(&entries, *start);
            let rule = if number >= LAST_RULE {
                "*".to_owned()
            } else {
                number.to_string()
            };
            match segments.last_mut() {
                // Linux's range stays separate.
                Some(last)
                    if last.verdict == verdict
                        && last.number == number
                        && *start != EPHEMERAL_OF_LINUX.0
                        && *start != EPHEMERAL_OF_LINUX.1 + 1 =>
                {
                    last.ports.1 = end;
                }
                _ => segments.push(Segment {
                    ports: (*start, end),
                    verdict,
                    rule,
                    number,
                }),
            }
        }
        segments
    }

    /// Evaluates the rules in order for one port: the first that includes an address decides.
    fn verdict(&self, entries: &[&AclEntry], port: u16) -> (Openness, u32) {
        let mut rest = self.all.clone();
        let mut allowed = AddressSet::default();
        let mut denied = AddressSet::default();
        let (mut allowing, mut denying) = (None, None);
        for entry in entries {
            if !has_acl_port(entry, port) || rest.is_empty() {
                continue;
            }
            // A rule whose addresses could not be read may deny what a later one allows.
            let Some(cidr) = entry.cidr else {
                return (Openness::Unknown, entry.number);
            };
            let set = AddressSet::of([cidr]);
            let portion = rest.intersection(&set);
            if portion.is_empty() {
                continue;
            }
            rest = rest.without(&set);
            let relevant = portion.intersects(self.relevant);
            if entry.allows {
                allowed = allowed.union(&portion);
                allowing = allowing.or(Some(entry.number));
            } else {
                denied = denied.union(&portion);
                denying = denying.or(Some(entry.number).filter(|_| relevant));
            }
        }
        let is_denied = denied.intersects(self.relevant);
        let last = LAST_RULE;
        if self.all.is_empty() {
            return (Openness::Unknown, last);
        }
        if rest.is_empty() && !is_denied && allowing.is_some() {
            return (Openness::Open, allowing.unwrap_or(last));
        }
        if allowed.intersects(self.relevant) {
            return (Openness::Unknown, denying.unwrap_or(last));
        }
        (Openness::Closed, denying.unwrap_or(last))
    }
}

fn has_acl_port(entry: &AclEntry, port: u16) -> bool {
    entry.protocol == "-1"
        || (entry.from_port.is_none_or(|from| from <= port)
            && entry.to_port.is_none_or(|to| port <= to))
}

fn ports_text((from, to): (u16, u16)) -> String {
    if from == to {
        from.to_string()
    } else {
        format!("{from}-{to}")
    }
}
