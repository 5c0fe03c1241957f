//! Evaluates a snapshot: the path from every subnet to every host of the plan, hop by hop.

use std::net::IpAddr;

use ipnet::IpNet;

use super::address_set::AddressSet;
use super::change::ConfigurationChange;
use super::filter;
use super::hop::{HopFault, HopKind, JudgedHop, Openness, clause};
use super::inspection::ConfiguredAnswer;
use super::name::{self, ResolvedName, Unused, UnusedReason};
use super::needed_request::{NeededRequest, requests_at};
use super::object::objects_at;
use super::permission;
use super::route::{self, NextHop};
use super::snapshot::{ReadEndpoint, Snapshot};
use super::view::{Destination, View, is_s3_service};
use crate::cause::Cause;
use crate::endpoints;
use crate::observation::Dependency;
use crate::plan::Target;
use crate::plan::requirements::{NoEndpointReason, Requirements};

/// A contact from one subnet, as steps.
pub(super) struct EvaluatedContact<'a> {
    pub subnet: &'a str,
    pub vpc: Option<&'a str>,
    pub availability_zone: Option<&'a str>,
    pub target: &'a Target,
    pub answer: ConfiguredAnswer,
    pub verdict: Openness,
    pub steps: Vec<JudgedHop>,
}

/// A target with what is the same in every subnet.
struct TargetFacts<'a> {
    target: &'a Target,
    /// Name of the endpoint service for the target's name.
    service: Option<String>,
    /// Whether the host is known to be on the internet.
    is_known_public: bool,
    requests: Vec<NeededRequest>,
    /// Requests of every target that the same endpoint serves.
    endpoint_requests: Vec<NeededRequest>,
    /// Role, policies and objects.
    steps: Vec<JudgedHop>,
}

/// Evaluates every contact.
pub(super) fn contacts(snapshot: &Snapshot) -> Vec<EvaluatedContact<'_>> {
    let facts = facts(snapshot);
    let mut contacts = Vec::new();
    for id in &snapshot.task.subnets {
        let subnet = snapshot.subnet(id);
        for target in &facts {
            let (answer, verdict, mut steps) = if let Some(subnet) = subnet {
                network(&View::new(snapshot, subnet), target)
            } else {
                let why = if snapshot.subnets.is_none() {
                    "The subnet could not be read (ec2:DescribeSubnets)."
                } else {
                    "The subnet does not exist, or is not visible to this account."
                };
                let step = JudgedHop::unknown(HopKind::Route, id, "", why);
                (ConfiguredAnswer::Unknown, Openness::Unknown, vec![step])
            };
            let of_objects = target.steps.iter().map(JudgedHop::verdict).max();
            steps.extend(target.steps.iter().cloned());
            contacts.push(EvaluatedContact {
                subnet: id,
                vpc: subnet.map(|subnet| subnet.vpc.as_str()),
                availability_zone: subnet.and_then(|one| one.availability_zone.as_deref()),
                target: target.target,
                answer,
                verdict: verdict.max(of_objects.unwrap_or(Openness::Open)),
                steps,
            });
        }
    }
    contacts
}

fn facts(snapshot: &Snapshot) -> Vec<TargetFacts<'_>> {
    let requirements = Requirements::of(&snapshot.plan);
    let trust = permission::trust_policy(snapshot);
    let mut facts: Vec<TargetFacts<'_>> = Vec::new();
    for target in &snapshot.plan.targets {
        let endpoint = requirements
            .endpoints
            .iter()
            .find(|endpoint| endpoint.targets.contains(&target.key));
        let requests = requests_at(snapshot, target);
        let role = permission::role_policies(snapshot, &requests);
        let mut steps: Vec<JudgedHop> = Vec::new();
        if !snapshot.network_only {
            if role.is_some() {
                steps.extend(trust.clone());
            }
            steps.extend(role);
            steps.extend(permission::resource_policies(snapshot, &requests));
            steps.extend(objects_at(snapshot, target));
        }
        facts.push(TargetFacts {
            target,
            service: endpoint.map(|endpoint| endpoint.service.clone()),
            is_known_public: endpoints::is_aws_host(&target.host)
                || requirements.outside_vpc.iter().any(|outside| {
                    outside.target == target.key
                        && matches!(
                            outside.reason,
                            NoEndpointReason::PublicRegistry | NoEndpointReason::EcrPublic
                        )
                }),
            endpoint_requests: requests.clone(),
            requests,
            steps,
        });
    }
    for at in 0..facts.len() {
        let others: Vec<NeededRequest> = facts
            .iter()
            .filter(|other| other.service.is_some() && other.service == facts[at].service)
            .flat_map(|other| other.requests.clone())
            .collect();
        if !others.is_empty() {
            facts[at].endpoint_requests = others;
        }
    }
    facts
}

/// Returns the worst verdict: one closed hop closes the path.
fn worst(steps: &[JudgedHop]) -> Openness {
    steps
        .iter()
        .map(|step| match &step.fault {
            // Some connections work.
            Some(fault) if !fault.blocking => Openness::Unknown,
            _ => step.verdict(),
        })
        .max()
        .unwrap_or(Openness::Open)
}

/// Evaluates name, route, filters and the endpoint's policy.
fn network(
    view: &View<'_>,
    facts: &TargetFacts<'_>,
) -> (ConfiguredAnswer, Openness, Vec<JudgedHop>) {
    let target = facts.target;
    if target.dependency == Dependency::Efs {
        let why = "Amazon EFS mount targets are not read, so the path to them is not known.";
        let step = JudgedHop::unknown(HopKind::Name, &target.host, "", why);
        return (ConfiguredAnswer::Unknown, Openness::Unknown, vec![step]);
    }
    let (name, resolution) = name::resolve(
        view,
        &target.host,
        facts.service.as_deref(),
        facts.is_known_public,
    );
    let is_assumed = name.verdict() == Openness::Unknown;
    let answer = answer_of(view, &resolution, target.port);
    let (verdict, steps) = match resolution {
        ResolvedName::Nowhere | ResolvedName::Unknown => (name.verdict(), vec![name]),
        ResolvedName::Endpoint(endpoint) => through_endpoint(view, facts, name, endpoint),
        ResolvedName::Addresses(addresses) => to_addresses(view, facts, name, &addresses),
        ResolvedName::Public(unused) => to_public(view, facts, name, unused.as_ref()),
    };
    // Where the name may resolve to another address, no later hop is certain.
    let verdict = if is_assumed {
        Openness::Unknown
    } else {
        verdict
    };
    let steps = steps.into_iter().map(|mut step| {
        if let Some(fault) = &mut step.fault {
            fault.is_assumed |= is_assumed;
        }
        step
    });
    (answer, verdict, steps.collect())
}

/// Returns the addresses of a name as configured, to compare them with those that a probe saw.
fn answer_of(view: &View<'_>, resolution: &ResolvedName<'_>, port: u16) -> ConfiguredAnswer {
    match resolution {
        ResolvedName::Endpoint(endpoint) => {
            let interfaces = view.interfaces_of(endpoint, port);
            let addresses: Option<Vec<IpAddr>> = interfaces
                .iter()
                .map(|interface| interface.all.only_address())
                .collect();
            let is_whole = interfaces.len() == endpoint.subnets.len();
            ConfiguredAnswer::InterfaceEndpoint {
                endpoint: endpoint.id.clone(),
                addresses: addresses.filter(|_| is_whole).unwrap_or_default(),
            }
        }
        ResolvedName::Public(_) => ConfiguredAnswer::Public,
        ResolvedName::Addresses(addresses) => ConfiguredAnswer::Addresses {
            addresses: addresses.clone(),
        },
        ResolvedName::Nowhere => ConfiguredAnswer::Nowhere,
        ResolvedName::Unknown => ConfiguredAnswer::Unknown,
    }
}

/// Joins the paths to several addresses of a name: one open path is enough for the task to start.
fn any_of(
    name: JudgedHop,
    paths: Vec<Vec<JudgedHop>>,
    shared: Vec<JudgedHop>,
) -> (Openness, Vec<JudgedHop>) {
    let best = paths.iter().map(|path| worst(path)).min();
    let best = best.unwrap_or(Openness::Unknown);
    let mut steps = vec![name];
    for mut step in paths.into_iter().flatten() {
        if let Some(fault) = &mut step.fault
            && best != Openness::Closed
        {
            fault.blocking = false;
        }
        if !steps.iter().any(|known| known.hop == step.hop) {
            steps.push(step);
        }
    }
    // The order of hops, whichever address they belong to.
    steps.sort_by_key(|step| step.hop.hop);
    let verdict = best.max(worst(&shared)).max(steps[0].verdict());
    steps.extend(shared);
    (verdict, steps)
}

fn through_endpoint(
    view: &View<'_>,
    facts: &TargetFacts<'_>,
    name: JudgedHop,
    endpoint: &ReadEndpoint,
) -> (Openness, Vec<JudgedHop>) {
    let unknown = |rule: String, why: String| {
        let step = JudgedHop::unknown(HopKind::Route, &endpoint.id, rule, why);
        (Openness::Unknown, vec![name.clone(), step])
    };
    // A customer's own zone may name any endpoint.
    if !name::is_available(endpoint) {
        let state = &endpoint.state;
        let why = format!(
            "{} resolves to the interface endpoint {}, which is {state}.",
            facts.target.host, endpoint.id
        );
        return unknown(format!("state {state}"), why);
    }
    if let Some(service) = &facts.service
        && *service != endpoint.service
    {
        let why = format!(
            "{} resolves to the interface endpoint {}, which belongs to {} and not to {service}; which service answers there is not known.",
            facts.target.host, endpoint.id, endpoint.service
        );
        return unknown(endpoint.service.clone(), why);
    }
    let interfaces = view.interfaces_of(endpoint, facts.target.port);
    if interfaces.is_empty() {
        let why =
            "None of the subnets that were read contains a network interface of the endpoint.";
        let step = JudgedHop::unknown(HopKind::Route, &endpoint.id, "", why);
        return (Openness::Unknown, vec![name, step]);
    }
    let paths = interfaces
        .iter()
        .map(|destination| {
            let (step, next_hop) = route::route(view, destination);
            let mut steps = vec![step];
            if matches!(next_hop, NextHop::Local) {
                steps.push(filter::task_security_groups(view, destination));
                steps.extend(filter::acls_to_subnet(view, destination));
                steps.push(filter::endpoint_security_groups(
                    view,
                    &endpoint.id,
                    destination,
                ));
            }
            steps
        })
        .collect();
    let policy = permission::endpoint_policy(
        view.snapshot,
        endpoint,
        &facts.requests,
        &facts.endpoint_requests,
    );
    any_of(name, paths, policy.into_iter().collect())
}

/// Evaluates the paths to known addresses: those of a private hosted zone, or one in place of a
/// name.
fn to_addresses(
    view: &View<'_>,
    facts: &TargetFacts<'_>,
    name: JudgedHop,
    addresses: &[IpAddr],
) -> (Openness, Vec<JudgedHop>) {
    let endpoints = || view.snapshot.endpoints.iter().flatten();
    let of_address = |address: &IpAddr| {
        endpoints().find(|endpoint| {
            let mut interfaces = endpoint.interfaces.iter();
            endpoint.vpc == view.subnet.vpc
                && interfaces.any(|interface| interface.addresses.contains(address))
        })
    };
    if let Some(endpoint) = addresses.first().and_then(of_address)
        && addresses
            .iter()
            .all(|address| of_address(address).is_some_and(|other| other.id == endpoint.id))
    {
        return through_endpoint(view, facts, name, endpoint);
    }
    let paths = addresses
        .iter()
        .map(|address| to_address(view, *address, facts.target.port))
        .collect();
    any_of(name, paths, Vec::new())
}

fn to_address(view: &View<'_>, address: IpAddr, port: u16) -> Vec<JudgedHop> {
    let subnets = view.snapshot.subnets.iter().flatten();
    let subnet = subnets
        .filter(|subnet| subnet.vpc == view.subnet.vpc)
        .find(|subnet| {
            let blocks: [Option<IpNet>; 2] = [subnet.cidr, subnet.ipv6_cidr];
            blocks
                .into_iter()
                .flatten()
                .any(|block| block.contains(&address))
        });
    let all = AddressSet::of_address(address);
    let destination = Destination {
        name: address.to_string(),
        published: all.clone(),
        all,
        is_s3: false,
        groups: &[],
        subnet,
        port,
    };
    let (step, next_hop) = route::route(view, &destination);
    let mut steps = vec![step, filter::task_security_groups(view, &destination)];
    match next_hop {
        NextHop::Local => {
            steps.extend(filter::acls_to_subnet(view, &destination));
            steps.push(JudgedHop::unknown(
                HopKind::EndpointSecurityGroup,
                &address.to_string(),
                "",
                "The owner of the address and its security groups are not known.",
            ));
        }
        NextHop::Internet => steps.extend(filter::acls_to_public(view, &destination, None)),
        NextHop::Nat(nat) | NextHop::NatToEndpoint(nat, _) => {
            steps.extend(filter::acls_to_public(view, &destination, nat));
        }
        NextHop::GatewayEndpoint(_) | NextHop::Closed | NextHop::Unknown => {}
    }
    steps
}

fn to_public(
    view: &View<'_>,
    facts: &TargetFacts<'_>,
    name: JudgedHop,
    unused: Option<&Unused<'_>>,
) -> (Openness, Vec<JudgedHop>) {
    let target = facts.target;
    let is_s3 = facts.service.as_deref().is_some_and(is_s3_service);
    let is_aws = endpoints::is_aws_host(&target.host);
    let destination = view.public(
        format!("the public addresses of {}", target.host),
        is_s3,
        is_aws,
        target.port,
    );
    let (mut route, next_hop) = route::route(view, &destination);
    let mut name = name;
    if route.verdict() == Openness::Closed && view.is_ipv6() && view.subnet.enable_dns64 {
        let why = format!(
            "{} DNS64 is enabled in the subnet, and pullprobe does not follow the path through NAT64.",
            route.hop.why
        );
        let (object, rule) = (route.hop.object.clone(), route.hop.rule.clone());
        let step = JudgedHop::unknown(HopKind::Route, &object, rule, why);
        return (Openness::Unknown, vec![name, step]);
    }
    if route.verdict() == Openness::Closed {
        refine(view, facts, &mut name, &mut route, unused, is_s3);
    }
    let mut steps = vec![name, route];
    match next_hop {
        // Filters and policies depend on the route that the task does not have yet.
        NextHop::Closed => {}
        NextHop::GatewayEndpoint(endpoint) => {
            steps.push(filter::task_security_groups(view, &destination));
            steps.extend(filter::acls_to_public(view, &destination, None));
            steps.extend(permission::endpoint_policy(
                view.snapshot,
                endpoint,
                &facts.requests,
                &facts.endpoint_requests,
            ));
        }
        NextHop::Internet | NextHop::Local => {
            steps.push(filter::task_security_groups(view, &destination));
            steps.extend(filter::acls_to_public(view, &destination, None));
        }
        NextHop::Nat(nat) => {
            steps.push(filter::task_security_groups(view, &destination));
            steps.extend(filter::acls_to_public(view, &destination, nat));
        }
        NextHop::NatToEndpoint(nat, endpoint) => {
            steps.push(filter::task_security_groups(view, &destination));
            steps.extend(filter::acls_to_public(view, &destination, nat));
            steps.extend(permission::endpoint_policy(
                view.snapshot,
                endpoint,
                &facts.requests,
                &facts.endpoint_requests,
            ));
        }
        NextHop::Unknown => steps.push(filter::task_security_groups(view, &destination)),
    }
    (worst(&steps), steps)
}

/// Names the cause of a missing route to a service by the VPC's design: where the VPC has VPC
/// endpoints, the service's own is missing; otherwise a route to the internet is.
#[expect(
    clippy::too_many_lines,
    reason = "a list of cases, each with its own sentence"
)]
fn refine(
    view: &View<'_>,
    facts: &TargetFacts<'_>,
    name: &mut JudgedHop,
    route: &mut JudgedHop,
    unused: Option<&Unused<'_>>,
    is_s3: bool,
) {
    let Some(fault) = &route.fault else { return };
    if !matches!(fault.cause, Cause::NoEgressRoute | Cause::PublicIpMissing) {
        return;
    }
    let others: Vec<Vec<ConfigurationChange>> = fault.alternatives.clone();
    if let Some(Unused { endpoint, reason }) = unused {
        let (rule, cause, change) = match reason {
            UnusedReason::PrivateDnsDisabled => (
                "private DNS is disabled".to_owned(),
                Cause::PrivateDnsDisabled,
                Some(ConfigurationChange::EnablePrivateDns {
                    endpoint: endpoint.id.clone(),
                    vpc: endpoint.vpc.clone(),
                    service: endpoint.service.clone(),
                }),
            ),
            UnusedReason::DnsHostnamesDisabled => (
                "enableDnsHostnames is false".to_owned(),
                Cause::PrivateDnsDisabled,
                Some(ConfigurationChange::EnableVpcDns {
                    vpc: view.subnet.vpc.clone(),
                    attribute: "enableDnsHostnames",
                }),
            ),
            UnusedReason::NotAvailable => (
                format!("state {}", endpoint.state),
                Cause::InterfaceEndpointMissing,
                None,
            ),
        };
        let object = if *reason == UnusedReason::DnsHostnamesDisabled {
            &view.subnet.vpc
        } else {
            &endpoint.id
        };
        let mut found = HopFault::new(cause, change);
        found.alternatives.extend(others);
        let why = format!(
            "{} This subnet has no path to those: {}",
            name.hop.why, route.hop.why
        );
        let is_unknown = name.verdict() == Openness::Unknown;
        *name = JudgedHop::closed(HopKind::Name, object, rule, why, found);
        if is_unknown && let Some(fault) = &mut name.fault {
            fault.is_assumed = true;
        }
        route.fault = None;
        return;
    }
    let vpc = &view.subnet.vpc;
    let endpoints = || {
        let all = view.snapshot.endpoints.iter().flatten();
        all.filter(|endpoint| endpoint.vpc == *vpc && name::is_available(endpoint))
    };
    let has_interface_endpoints = endpoints()
        .any(|endpoint| endpoint.endpoint_type == "Interface" && endpoint.private_dns_enabled);
    let Some(service) = &facts.service else {
        return;
    };
    let table = view.snapshot.route_table(view.subnet);
    let gateway = endpoints()
        .find(|endpoint| endpoint.endpoint_type == "Gateway" && endpoint.service == *service);
    if is_s3 && (has_interface_endpoints || gateway.is_some()) {
        let Some(table) = table else { return };
        let list = view
            .s3_prefix_list()
            .map_or("the prefix list of Amazon S3", |list| list.id.as_str());
        let (rule, why, change) = match gateway {
            Some(endpoint) => (
                format!("no route to {list} through {}", endpoint.id),
                format!(
                    "The gateway endpoint {} for Amazon S3 is not associated with {}, and {}",
                    endpoint.id,
                    table.id,
                    clause(&route.hop.why)
                ),
                ConfigurationChange::AssociateRouteTable {
                    endpoint: endpoint.id.clone(),
                    vpc: vpc.clone(),
                    service: service.clone(),
                    route_table: table.id.clone(),
                },
            ),
            None => (
                format!("no route to {list}"),
                format!(
                    "{vpc} has no gateway endpoint for Amazon S3, and {}",
                    clause(&route.hop.why)
                ),
                ConfigurationChange::CreateGatewayEndpoint {
                    vpc: vpc.clone(),
                    service: service.clone(),
                    route_table: table.id.clone(),
                },
            ),
        };
        let mut found = HopFault::new(Cause::S3GatewayMissing, [change]);
        found.alternatives.extend(others);
        *route = JudgedHop::closed(HopKind::Route, &table.id, rule, why, found);
        return;
    }
    let create = match table {
        Some(table) if is_s3 => ConfigurationChange::CreateGatewayEndpoint {
            vpc: vpc.clone(),
            service: service.clone(),
            route_table: table.id.clone(),
        },
        _ => create_endpoint(view, service),
    };
    if has_interface_endpoints {
        let mut found = HopFault::new(Cause::InterfaceEndpointMissing, [create]);
        found.alternatives.extend(others);
        let why = format!(
            "{vpc} has no interface endpoint for {service}, and {}",
            clause(&route.hop.why)
        );
        *route = JudgedHop::closed(
            HopKind::Route,
            vpc,
            format!("no interface endpoint for {service}"),
            why,
            found,
        );
    } else if let Some(fault) = &mut route.fault {
        fault.alternatives.push(vec![create]);
    }
}

/// Returns the change that creates an endpoint like the VPC's other ones.
fn create_endpoint(view: &View<'_>, service: &str) -> ConfigurationChange {
    let like = view.snapshot.endpoints.iter().flatten().find(|endpoint| {
        endpoint.vpc == view.subnet.vpc
            && endpoint.endpoint_type == "Interface"
            && name::is_available(endpoint)
    });
    ConfigurationChange::CreateInterfaceEndpoint {
        vpc: view.subnet.vpc.clone(),
        service: service.to_owned(),
        subnets: like.map_or_else(
            || vec![view.subnet.id.clone()],
            |endpoint| endpoint.subnets.clone(),
        ),
        groups: like
            .map(|endpoint| endpoint.groups.clone())
            .unwrap_or_default(),
    }
}
