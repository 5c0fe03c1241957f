//! The second hop: the most specific route, its target, and the gateways behind it.
//!
//! A route out of the VPC to a target that cannot be read, such as a transit gateway, is unknown.

use super::address_set::AddressSet;
use super::change::ConfigurationChange;
use super::hop::{HopFault, HopKind, JudgedHop, Openness};
use super::name::is_available;
use super::snapshot::{NatGateway, ReadEndpoint, Route, RouteTable, Subnet};
use super::view::{Destination, View, is_s3_service};
use crate::cause::Cause;

/// How a contact leaves its subnet.
#[derive(Debug, Clone)]
pub(super) enum NextHop<'a> {
    /// Inside the VPC.
    Local,
    /// Through a gateway endpoint.
    GatewayEndpoint(&'a ReadEndpoint),
    /// Through an internet gateway, with a public address, or an egress-only one.
    Internet,
    /// Through a NAT gateway in this subnet; `None` for a regional one.
    Nat(Option<&'a Subnet>),
    /// Through a NAT gateway, and from its subnet through a gateway endpoint.
    NatToEndpoint(Option<&'a Subnet>, &'a ReadEndpoint),
    /// There is none.
    Closed,
    /// It cannot be known.
    Unknown,
}

/// A route, and the addresses of the destination that take it.
struct Portion<'a> {
    route: &'a Route,
    addresses: AddressSet,
    gateway_endpoint: Option<&'a ReadEndpoint>,
}

/// The portions of a destination, most specific first, and the addresses without a route.
struct Portions<'a> {
    parts: Vec<Portion<'a>>,
    rest: AddressSet,
    /// Routes whose prefix list could not be read: each may lead any part of the destination.
    unread: Vec<&'a Route>,
}

/// Determines how a contact leaves the subnet.
pub(super) fn route<'a>(
    view: &View<'a>,
    destination: &Destination<'_>,
) -> (JudgedHop, NextHop<'a>) {
    let Some(table) = view.snapshot.route_table(view.subnet) else {
        let why = if view.snapshot.route_tables.is_none() {
            "The route tables could not be read (ec2:DescribeRouteTables)."
        } else {
            "The route table of the subnet is not among those that were read."
        };
        let step = JudgedHop::unknown(HopKind::Route, &view.subnet.id, "", why);
        return (step, NextHop::Unknown);
    };
    let Portions {
        parts: portions,
        rest,
        unread,
    } = portions(view, table, destination);
    let relevant = destination.relevant();
    if let Some(unknown) = by_unread_list(table, &portions, &unread, destination) {
        return unknown;
    }
    let mut results: Vec<_> = portions
        .iter()
        .filter(|portion| portion.addresses.intersects(relevant))
        .map(|portion| target(view, table, portion, destination))
        .collect();
    if rest.intersects(relevant) || results.is_empty() {
        results.push(no_route(view, table, destination));
    }
    combined(table, results)
}

/// Returns unknown if a route's prefix list could not be read and the destination is not inside the
/// VPC.
fn by_unread_list<'a>(
    table: &RouteTable,
    portions: &[Portion<'a>],
    unread: &[&Route],
    destination: &Destination<'_>,
) -> Option<(JudgedHop, NextHop<'a>)> {
    let is_local = !portions.is_empty()
        && portions
            .iter()
            .filter(|portion| portion.addresses.intersects(destination.relevant()))
            .all(|portion| portion.route.target == "local");
    if unread.is_empty() || is_local {
        return None;
    }
    let rules: Vec<_> = unread.iter().map(|route| rule_of(route)).collect();
    let rules = rules.join(", ");
    let why = format!(
        "{} has routes to prefix lists whose entries could not be read (ec2:GetManagedPrefixListEntries): {rules}.",
        table.id
    );
    let step = JudgedHop::unknown(HopKind::Route, &table.id, rules, why);
    Some((step, NextHop::Unknown))
}

/// Joins the results of several routes: they count as one only where they agree.
fn combined<'a>(
    table: &RouteTable,
    mut results: Vec<(JudgedHop, NextHop<'a>)>,
) -> (JudgedHop, NextHop<'a>) {
    let verdicts: Vec<_> = results.iter().map(|(step, _)| step.verdict()).collect();
    let agree = verdicts.windows(2).all(|pair| pair[0] == pair[1]);
    let kinds: Vec<_> = results
        .iter()
        .map(|(_, next_hop)| std::mem::discriminant(next_hop))
        .collect();
    let same_next_hop = kinds.windows(2).all(|pair| pair[0] == pair[1]);
    let last = results.pop();
    match last {
        // The least specific route decides for most addresses.
        Some(last) if agree && (same_next_hop || last.0.verdict() == Openness::Closed) => last,
        Some(last) => {
            results.push(last);
            let rules: Vec<_> = results
                .iter()
                .map(|(step, _)| format!("{} ({})", step.hop.rule, verdict_word(step.verdict())))
                .collect();
            let step = JudgedHop::unknown(
                HopKind::Route,
                &table.id,
                rules.join(", "),
                "The destination's addresses take different routes, and which of them the name resolves to is not known.",
            );
            (step, NextHop::Unknown)
        }
        None => (
            JudgedHop::unknown(HopKind::Route, &table.id, "", "No route was evaluated."),
            NextHop::Unknown,
        ),
    }
}

const fn verdict_word(verdict: Openness) -> &'static str {
    match verdict {
        Openness::Open => "open",
        Openness::Unknown => "unknown",
        Openness::Closed => "closed",
    }
}

/// Splits the destination by the routes of a table. The most specific route wins; of equal ones, a
/// static route wins against that of a prefix list (Amazon VPC user guide, "Route priority").
fn portions<'a>(
    view: &View<'a>,
    table: &'a RouteTable,
    destination: &Destination<'_>,
) -> Portions<'a> {
    let mut candidates: Vec<(u8, bool, AddressSet, &Route, Option<&ReadEndpoint>)> = Vec::new();
    let mut unread = Vec::new();
    for route in &table.routes {
        let endpoint = view.snapshot.endpoint(&route.target);
        let gateway_endpoint = endpoint.filter(|endpoint| endpoint.endpoint_type == "Gateway");
        let list = view.snapshot.prefix_list(&route.destination);
        // The list of a service: customers cannot give such a name to theirs (Amazon VPC user
        // guide, "AWS-managed prefix lists").
        let service_list = list.filter(|list| {
            list.name.starts_with("com.amazonaws.") || list.name.starts_with("cn.com.amazonaws.")
        });
        let is_gateway_route = gateway_endpoint.is_some()
            || (endpoint.is_none() && route.target.starts_with("vpce-") && service_list.is_some());
        if is_gateway_route {
            let is_s3 = gateway_endpoint.is_some_and(|endpoint| is_s3_service(&endpoint.service))
                || service_list.is_some_and(|list| is_s3_service(&list.name));
            // AWS keeps the list equal to the service's addresses.
            if is_s3 && destination.is_s3 {
                candidates.push((
                    u8::MAX,
                    true,
                    destination.all.clone(),
                    route,
                    gateway_endpoint,
                ));
            }
            continue;
        }
        if let Ok(block) = route.destination.parse::<ipnet::IpNet>() {
            let set = AddressSet::of([block]);
            candidates.push((block.prefix_len(), false, set, route, None));
        } else if let Some(entries) = list.and_then(|list| list.entries.as_ref()) {
            for block in entries {
                let set = AddressSet::of([*block]);
                candidates.push((block.prefix_len(), true, set, route, None));
            }
        } else {
            unread.push(route);
        }
    }
    candidates.sort_by_key(|(length, is_list, ..)| (std::cmp::Reverse(*length), *is_list));
    let mut rest = destination.all.clone();
    let mut portions: Vec<Portion<'_>> = Vec::new();
    for (_, _, set, route, gateway_endpoint) in candidates {
        let addresses = rest.intersection(&set);
        if addresses.is_empty() {
            continue;
        }
        rest = rest.without(&set);
        portions.push(Portion {
            route,
            addresses,
            gateway_endpoint,
        });
    }
    Portions {
        parts: portions,
        rest,
        unread,
    }
}

fn rule_of(route: &Route) -> String {
    format!("{} to {}", route.destination, route.target)
}

/// The default route of the task's IP version.
fn default_destination(view: &View<'_>) -> &'static str {
    if view.is_ipv6() { "::/0" } else { "0.0.0.0/0" }
}

fn no_route<'a>(
    view: &View<'a>,
    table: &RouteTable,
    destination: &Destination<'_>,
) -> (JudgedHop, NextHop<'a>) {
    let default = default_destination(view);
    let why = format!("{} has no route to {}.", table.id, destination.name);
    let fault = HopFault::new(
        Cause::NoEgressRoute,
        internet_routes(view, table, None, destination),
    );
    let step = JudgedHop::closed(
        HopKind::Route,
        &table.id,
        format!("no route to {default}"),
        why,
        fault,
    );
    (step, NextHop::Closed)
}

/// Returns changes that give a route table a route to the internet. It returns none for IPv6, which
/// takes other gateways, none for private addresses, and none that would replace another route than
/// `replaced` as the default route.
fn internet_routes(
    view: &View<'_>,
    table: &RouteTable,
    replaced: Option<&Route>,
    destination: &Destination<'_>,
) -> Vec<ConfigurationChange> {
    let vpc = view.vpc.map(|vpc| vpc.cidrs.as_slice()).unwrap_or_default();
    let is_public = AddressSet::public_ipv4(vpc).covers(&destination.all);
    let is_default = replaced.is_none_or(|route| route.destination == default_destination(view));
    if view.is_ipv6() || !is_public || !is_default {
        return Vec::new();
    }
    let is_replacement = replaced.is_some();
    // A NAT gateway whose own subnet took the new route would lead to itself.
    let is_beyond = |subnet: &Subnet| {
        let own = view.snapshot.route_table(subnet);
        own.is_some_and(|own| own.id != table.id) && reaches_internet_gateway(view, subnet)
    };
    let nats = view.snapshot.nat_gateways.iter().flatten();
    let existing = nats
        .filter(|nat| {
            nat.vpc == view.subnet.vpc
                && nat.state == "available"
                && nat.connectivity != "private"
                && nat
                    .subnet
                    .as_ref()
                    .and_then(|id| view.snapshot.subnet(id))
                    .is_some_and(is_beyond)
        })
        .map(|nat| ConfigurationChange::RouteToNat {
            route_table: table.id.clone(),
            nat: nat.id.clone(),
            replaces: is_replacement,
        })
        .next();
    let public_subnet = view
        .snapshot
        .subnets
        .iter()
        .flatten()
        .find(|subnet| {
            subnet.vpc == view.subnet.vpc && subnet.id != view.subnet.id && is_beyond(subnet)
        })
        .map(|subnet| subnet.id.clone());
    let create =
        (public_subnet.is_some() || !is_replacement).then(|| ConfigurationChange::CreateNat {
            route_table: table.id.clone(),
            public_subnet,
            replaces: is_replacement,
        });
    existing.into_iter().chain(create).collect()
}

/// Whether the subnet's default route leads to an internet gateway of its VPC.
fn reaches_internet_gateway(view: &View<'_>, subnet: &Subnet) -> bool {
    let table = view.snapshot.route_table(subnet);
    let mut routes = table.into_iter().flat_map(|table| &table.routes);
    routes.any(|route| {
        route.destination == "0.0.0.0/0"
            && route.target.starts_with("igw-")
            && route.state != "blackhole"
            && is_attached(view, &route.target) != Some(false)
    })
}

/// Whether an internet gateway is attached to the VPC; `None` if that could not be read.
fn is_attached(view: &View<'_>, id: &str) -> Option<bool> {
    let gateways = view.snapshot.internet_gateways.as_ref()?;
    let gateway = gateways.iter().find(|gateway| gateway.id == id);
    if gateway.is_none() && !view.snapshot.sees_whole_vpc(view.subnet) {
        return None;
    }
    Some(gateway.is_some_and(|gateway| gateway.vpcs.contains(&view.subnet.vpc)))
}

/// Follows one route.
fn target<'a>(
    view: &View<'a>,
    table: &RouteTable,
    portion: &Portion<'a>,
    destination: &Destination<'_>,
) -> (JudgedHop, NextHop<'a>) {
    let route = portion.route;
    let rule = rule_of(route);
    let open = |next_hop, why: String| {
        (
            JudgedHop::open(HopKind::Route, &table.id, rule.clone(), why),
            next_hop,
        )
    };
    let unknown = |why: String| {
        (
            JudgedHop::unknown(HopKind::Route, &table.id, rule.clone(), why),
            NextHop::Unknown,
        )
    };
    let closed = |object: &str, rule: String, why: String, fault: HopFault| {
        (
            JudgedHop::closed(HopKind::Route, object, rule, why, fault),
            NextHop::Closed,
        )
    };
    let target = route.target.as_str();
    if target == "local" {
        return open(NextHop::Local, "The destination is inside the VPC.".into());
    }
    if target.starts_with("nat-") {
        return through_nat(view, table, route, destination);
    }
    if route.state == "blackhole" {
        return closed(
            &table.id,
            rule.clone(),
            format!("The route's target {target} no longer exists (blackhole)."),
            HopFault::new(
                Cause::NoEgressRoute,
                internet_routes(view, table, Some(route), destination),
            ),
        );
    }
    if let Some(endpoint) = portion.gateway_endpoint {
        if is_available(endpoint) {
            return open(
                NextHop::GatewayEndpoint(endpoint),
                format!("The gateway endpoint {target} leads to Amazon S3."),
            );
        }
        return closed(
            &endpoint.id,
            format!("state {}", endpoint.state),
            format!("The gateway endpoint {target} is {}.", endpoint.state),
            HopFault::new(Cause::S3GatewayMissing, []),
        );
    }
    if target.starts_with("vpce-") && portion.route.destination.starts_with("pl-") {
        return unknown(format!(
            "The VPC endpoint {target} could not be read (ec2:DescribeVpcEndpoints)."
        ));
    }
    if target.starts_with("igw-") {
        return through_internet_gateway(view, table, route, destination);
    }
    if target.starts_with("eigw-") {
        if let Some(stopped) = blocked(view, table, route, view.subnet, false) {
            return stopped;
        }
        return open(
            NextHop::Internet,
            "The egress-only internet gateway lets outbound IPv6 connections through.".into(),
        );
    }
    unknown(format!(
        "Traffic leaves through {}, and what lies beyond cannot be seen from here.",
        describe(target)
    ))
}

/// Returns what kind of target an ID names.
fn describe(id: &str) -> String {
    let kind = match id.split('-').next().unwrap_or_default() {
        "tgw" => "the transit gateway ",
        "pcx" => "the peering connection ",
        "vgw" => "the virtual private gateway ",
        "eni" => "the network interface ",
        "i" => "the instance ",
        "vpce" => "the Gateway Load Balancer or firewall endpoint ",
        "lgw" => "the local gateway ",
        "cagw" => "the carrier gateway ",
        _ => "",
    };
    format!("{kind}{id}")
}

fn through_internet_gateway<'a>(
    view: &View<'a>,
    table: &RouteTable,
    route: &Route,
    destination: &Destination<'_>,
) -> (JudgedHop, NextHop<'a>) {
    let rule = rule_of(route);
    let gateway = route.target.as_str();
    match is_attached(view, gateway) {
        None => {
            let step = JudgedHop::unknown(
                HopKind::Route,
                &table.id,
                rule,
                format!(
                    "Whether {gateway} is attached to the VPC could not be read (ec2:DescribeInternetGateways)."
                ),
            );
            return (step, NextHop::Unknown);
        }
        Some(false) => {
            let step = JudgedHop::closed(
                HopKind::Route,
                &table.id,
                rule,
                format!("{gateway} is not attached to the VPC {}.", view.subnet.vpc),
                HopFault::new(
                    Cause::NoEgressRoute,
                    internet_routes(view, table, Some(route), destination),
                ),
            );
            return (step, NextHop::Closed);
        }
        Some(true) => {}
    }
    if let Some(stopped) = blocked(view, table, route, view.subnet, true) {
        return stopped;
    }
    let task = &view.snapshot.task;
    if !view.is_ipv6() && !task.assign_public_ip && view.snapshot.plan.host.is_instance() {
        let step = JudgedHop::unknown(
            HopKind::Route,
            &table.id,
            rule,
            "The container instance makes this contact, and whether it has a public IP address was not read.",
        );
        return (step, NextHop::Unknown);
    }
    if !view.is_ipv6() && !task.assign_public_ip && task.only_subnets_known {
        let step = JudgedHop::unknown(
            HopKind::Route,
            &table.id,
            rule,
            "Whether the task has a public address is not known; pass --service, or --assign-public-ip if it has one.",
        );
        return (step, NextHop::Unknown);
    }
    if !view.is_ipv6() && !task.assign_public_ip {
        let assign = ConfigurationChange::AssignPublicIp {
            cluster: task.cluster.clone(),
            service: task.service.clone(),
            subnets: task.subnets.clone(),
            groups: view.task_groups().unwrap_or_default(),
        };
        let others = internet_routes(view, table, Some(route), destination);
        let step = JudgedHop::closed(
            HopKind::Route,
            &table.id,
            rule,
            format!(
                "The task has no public IPv4 address (assignPublicIp is DISABLED), and {gateway} forwards only traffic from public addresses."
            ),
            HopFault::new(Cause::PublicIpMissing, [assign].into_iter().chain(others)),
        );
        return (step, NextHop::Closed);
    }
    let with = if view.is_ipv6() {
        "The internet gateway forwards traffic from the subnet's IPv6 addresses."
    } else {
        "The internet gateway forwards traffic from the task's public address."
    };
    (
        JudgedHop::open(HopKind::Route, &table.id, rule, with),
        NextHop::Internet,
    )
}

fn through_nat<'a>(
    view: &View<'a>,
    table: &RouteTable,
    route: &Route,
    destination: &Destination<'_>,
) -> (JudgedHop, NextHop<'a>) {
    let rule = rule_of(route);
    let id = route.target.as_str();
    let unknown = |why: String| {
        (
            JudgedHop::unknown(HopKind::Route, &table.id, rule.clone(), why),
            NextHop::Unknown,
        )
    };
    let unhealthy = |rule: String, why: String| {
        let mut changes = internet_routes(view, table, Some(route), destination);
        changes.retain(
            |change| !matches!(change, ConfigurationChange::RouteToNat { nat, .. } if nat == id),
        );
        let step = JudgedHop::closed(
            HopKind::Route,
            id,
            rule,
            why,
            HopFault::new(Cause::NatGatewayUnhealthy, changes),
        );
        (step, NextHop::Closed)
    };
    let in_table = format!("{} of {}", rule, table.id);
    let Some(nat) = view.snapshot.nat_gateway(id) else {
        if route.state == "blackhole" {
            return unhealthy(
                format!("blackhole {in_table}"),
                format!(
                    "The NAT gateway {id} no longer exists, and the route to it is a blackhole."
                ),
            );
        }
        if view.snapshot.nat_gateways.is_none() || !view.snapshot.sees_whole_vpc(view.subnet) {
            return unknown(format!(
                "The NAT gateway {id} cannot be seen from this account (ec2:DescribeNatGateways, in the account that owns the VPC)."
            ));
        }
        return unhealthy(
            format!("does not exist; {in_table}"),
            format!("The NAT gateway {id} does not exist."),
        );
    };
    if nat.state != "available" || route.state == "blackhole" {
        let failure = nat.failure.as_deref().map(|text| format!(": {text}"));
        return unhealthy(
            format!("state {}; {in_table}", nat.state),
            format!(
                "The NAT gateway {id} is {}{}.",
                nat.state,
                failure.unwrap_or_default()
            ),
        );
    }
    if nat.connectivity == "private" {
        return unknown(format!(
            "The NAT gateway {id} is private, and where it leads cannot be seen from here."
        ));
    }
    beyond_nat(view, table, route, nat, destination)
}

/// Follows the path beyond a healthy public NAT gateway: through its own subnet's route table.
fn beyond_nat<'a>(
    view: &View<'a>,
    table: &RouteTable,
    route: &Route,
    nat: &NatGateway,
    destination: &Destination<'_>,
) -> (JudgedHop, NextHop<'a>) {
    let rule = rule_of(route);
    let unknown = |why: String| {
        (
            JudgedHop::unknown(HopKind::Route, &table.id, rule.clone(), why),
            NextHop::Unknown,
        )
    };
    if view.is_ipv6() {
        return unknown(format!(
            "pullprobe does not follow the path through NAT64 of the NAT gateway {}.",
            nat.id
        ));
    }
    let subnet = nat.subnet.as_ref().and_then(|id| view.snapshot.subnet(id));
    let tables = view.snapshot.route_tables.iter().flatten();
    let own = match (subnet, &nat.route_table) {
        (Some(subnet), _) => view.snapshot.route_table(subnet),
        (None, Some(id)) => tables.into_iter().find(|table| table.id == *id),
        (None, None) => None,
    };
    let Some(own) = own else {
        // AWS makes a regional NAT gateway's route table with a route to the internet gateway.
        if nat.is_regional {
            return match blocked(view, table, route, view.subnet, false) {
                Some(stopped) => stopped,
                None => (
                    JudgedHop::open(
                        HopKind::Route,
                        &table.id,
                        rule,
                        format!("The regional NAT gateway {} is available.", nat.id),
                    ),
                    NextHop::Nat(None),
                ),
            };
        }
        return unknown(format!(
            "The subnet or route table of the NAT gateway {} could not be read.",
            nat.id
        ));
    };
    let Portions {
        parts: portions,
        rest,
        unread,
    } = portions(view, own, destination);
    if let Some(unknown) = by_unread_list(own, &portions, &unread, destination) {
        return unknown;
    }
    let relevant = destination.relevant();
    let from = NatSubnet {
        table,
        rule: &rule,
        nat,
        own,
        subnet,
    };
    let mut results: Vec<_> = portions
        .iter()
        .filter(|portion| portion.addresses.intersects(relevant))
        .map(|portion| from.target(view, portion))
        .collect();
    if rest.intersects(relevant) || results.is_empty() {
        let change =
            attached_gateway(view).map(|gateway| ConfigurationChange::RouteToInternetGateway {
                route_table: own.id.clone(),
                gateway,
                replaces: false,
            });
        let step = JudgedHop::closed(
            HopKind::Route,
            &own.id,
            "no route to 0.0.0.0/0",
            format!(
                "The subnet of the NAT gateway {} has no route to an internet gateway, so the NAT gateway has no internet access.",
                nat.id
            ),
            HopFault::new(Cause::NoEgressRoute, change),
        );
        results.push((step, NextHop::Closed));
    }
    combined(own, results)
}

/// The subnet of a NAT gateway, from which the path continues.
struct NatSubnet<'a, 'b> {
    /// Table and rule that lead to the NAT gateway.
    table: &'b RouteTable,
    rule: &'b str,
    nat: &'b NatGateway,
    /// Table of the NAT gateway's subnet.
    own: &'a RouteTable,
    subnet: Option<&'a Subnet>,
}

impl<'a> NatSubnet<'a, '_> {
    /// Follows one route of the NAT gateway's subnet.
    fn target(&self, view: &View<'a>, portion: &Portion<'a>) -> (JudgedHop, NextHop<'a>) {
        let Self {
            table,
            rule,
            nat,
            own,
            subnet,
        } = *self;
        let next = portion.route;
        let unknown = |why: String| {
            (
                JudgedHop::unknown(HopKind::Route, &table.id, rule, why),
                NextHop::Unknown,
            )
        };
        if let Some(endpoint) = portion.gateway_endpoint
            && next.state != "blackhole"
            && is_available(endpoint)
        {
            let why = format!(
                "The NAT gateway {} is available, and its own route table {} leads to the gateway endpoint {}.",
                nat.id, own.id, endpoint.id
            );
            let step = JudgedHop::open(HopKind::Route, &table.id, rule, why);
            return (step, NextHop::NatToEndpoint(subnet, endpoint));
        }
        if !next.target.starts_with("igw-") {
            return unknown(format!(
                "Beyond the NAT gateway {}, traffic leaves through {}, and what lies beyond cannot be seen from here.",
                nat.id,
                describe(&next.target)
            ));
        }
        if next.state == "blackhole" || is_attached(view, &next.target) == Some(false) {
            let gateway = attached_gateway(view).filter(|_| next.destination == "0.0.0.0/0");
            let change = gateway.map(|gateway| ConfigurationChange::RouteToInternetGateway {
                route_table: own.id.clone(),
                gateway,
                replaces: true,
            });
            let step = JudgedHop::closed(
                HopKind::Route,
                &own.id,
                rule_of(next),
                format!(
                    "The subnet of the NAT gateway {} routes to {}, which is not attached to the VPC.",
                    nat.id, next.target
                ),
                HopFault::new(Cause::NoEgressRoute, change),
            );
            return (step, NextHop::Closed);
        }
        if is_attached(view, &next.target).is_none() {
            return unknown(format!(
                "Whether {} is attached to the VPC could not be read (ec2:DescribeInternetGateways).",
                next.target
            ));
        }
        if let Some(stopped) = blocked(view, own, next, subnet.unwrap_or(view.subnet), false) {
            return stopped;
        }
        let step = JudgedHop::open(
            HopKind::Route,
            &table.id,
            rule,
            format!(
                "The NAT gateway {} is available, and its own route table {} leads to {}.",
                nat.id, own.id, next.target
            ),
        );
        (step, NextHop::Nat(subnet))
    }
}

/// Returns an internet gateway that is attached to the VPC.
fn attached_gateway(view: &View<'_>) -> Option<String> {
    let gateways = view.snapshot.internet_gateways.iter().flatten();
    gateways
        .filter(|gateway| gateway.vpcs.contains(&view.subnet.vpc))
        .map(|gateway| gateway.id.clone())
        .next()
}

/// Checks VPC Block Public Access where a path crosses the internet gateway from `subnet`: in mode
/// `block-ingress` only NAT gateways and egress-only gateways let traffic out, in mode
/// `block-bidirectional` nothing does, unless the subnet or its VPC is excluded (Amazon VPC user
/// guide, "Block public access to VPCs and subnets").
fn blocked<'a>(
    view: &View<'a>,
    table: &RouteTable,
    route: &Route,
    subnet: &Subnet,
    is_direct: bool,
) -> Option<(JudgedHop, NextHop<'a>)> {
    let unknown = |why: &str| {
        Some((
            JudgedHop::unknown(HopKind::Route, &table.id, rule_of(route), why.to_owned()),
            NextHop::Unknown,
        ))
    };
    let Some(block) = &view.snapshot.block_public_access else {
        return unknown(
            "Whether VPC Block Public Access blocks this traffic could not be read (ec2:DescribeVpcBlockPublicAccessOptions).",
        );
    };
    let stops = match block.mode.as_str() {
        "off" => return None,
        "block-ingress" => is_direct,
        "block-bidirectional" => true,
        _ => return unknown("VPC Block Public Access is in a mode that pullprobe does not know."),
    };
    if !stops {
        return None;
    }
    let Some(exclusions) = &block.exclusions else {
        return unknown(
            "VPC Block Public Access is on, and its exclusions could not be read (ec2:DescribeVpcBlockPublicAccessExclusions).",
        );
    };
    let own = exclusions.iter().filter(|exclusion| {
        let id = exclusion.resource.rsplit('/').next().unwrap_or_default();
        let is_enough = exclusion.mode == "allow-bidirectional" || !is_direct;
        (id == subnet.id || id == subnet.vpc) && is_enough
    });
    let states: Vec<_> = own.map(|exclusion| exclusion.state.as_str()).collect();
    if states
        .iter()
        .any(|state| ["create-complete", "update-complete"].contains(state))
    {
        return None;
    }
    // One that failed to change may still have its old mode.
    let is_changing = |state: &&str| state.ends_with("-in-progress") || *state == "update-failed";
    if states.iter().any(is_changing) {
        return unknown(
            "VPC Block Public Access is on, and its exclusion is being changed; run this command again when that is done.",
        );
    }
    let change = ConfigurationChange::ExcludeFromBlock {
        subnet: subnet.id.clone(),
        mode: if is_direct {
            "allow-bidirectional"
        } else {
            "allow-egress"
        },
    };
    let step = JudgedHop::closed(
        HopKind::Route,
        &subnet.vpc,
        format!("VPC Block Public Access {}", block.mode),
        format!(
            "VPC Block Public Access is in {} mode, and neither {} nor its VPC is excluded.",
            block.mode, subnet.id
        ),
        HopFault::new(Cause::VpcBlockPublicAccess, [change]),
    );
    Some((step, NextHop::Closed))
}
