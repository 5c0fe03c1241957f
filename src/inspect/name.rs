//! The first hop: what a host's name resolves to, as the VPC is configured.
//!
//! Route 53 Resolver answers by the most specific of the Resolver rules and private hosted zones
//! that are associated with the VPC, where a rule wins against a zone of the same name (Route 53
//! developer guide, "Considerations when working with a private hosted zone"); an interface
//! endpoint with private DNS is such a zone, which AWS owns. It needs both DNS attributes of the
//! VPC (AWS PrivateLink guide, "Private DNS names").

use std::net::IpAddr;

use super::change::ConfigurationChange;
use super::hop::{HopFault, HopKind, JudgedHop, Openness};
use super::snapshot::{HostedZone, ReadEndpoint, ZoneRecord};
use super::view::View;
use crate::cause::Cause;
use crate::endpoints::is_aws_host;

/// What a name resolves to.
#[derive(Debug, Clone)]
pub(super) enum ResolvedName<'a> {
    /// The network interfaces of an interface endpoint.
    Endpoint(&'a ReadEndpoint),
    /// The public addresses of the host. An interface endpoint that could serve the name does not,
    /// for this reason.
    Public(Option<Unused<'a>>),
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// It does not resolve.
    Nowhere,
    /// It cannot be known.
    Unknown,
}

/// Why an existing interface endpoint does not serve the service's name.
#[derive(Debug, Clone)]
pub(super) struct Unused<'a> {
    pub endpoint: &'a ReadEndpoint,
    pub reason: UnusedReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnusedReason {
    PrivateDnsDisabled,
    DnsHostnamesDisabled,
    NotAvailable,
}

/// Values of `domain-name-servers` that stand for Amazon's own resolver.
const AMAZON_RESOLVERS: [&str; 3] = ["AmazonProvidedDNS", "169.254.169.253", "fd00:ec2::253"];

/// Determines what `host` resolves to. `service` is the endpoint service that serves the name.
#[expect(
    clippy::too_many_lines,
    reason = "a list of cases, each with its own sentence"
)]
pub(super) fn resolve<'a>(
    view: &View<'a>,
    host: &str,
    service: Option<&str>,
    is_known_public: bool,
) -> (JudgedHop, ResolvedName<'a>) {
    let step = |object: &str, rule: &str, why: String| {
        JudgedHop::open(HopKind::Name, object, rule.to_owned(), why)
    };
    let unknown = |object: &str, rule: &str, why: String| {
        (
            JudgedHop::unknown(HopKind::Name, object, rule.to_owned(), why),
            ResolvedName::Unknown,
        )
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return (
            step("", "", format!("{host} is an address")),
            ResolvedName::Addresses(vec![address]),
        );
    }
    let Some(vpc) = view.vpc else {
        return unknown(
            &view.subnet.vpc,
            "",
            "The VPC could not be read, so what the name resolves to is not known.".into(),
        );
    };
    if let Some(custom) = custom_resolver(view) {
        return unknown(
            vpc.dhcp_options.as_deref().unwrap_or(&vpc.id),
            &format!("domain-name-servers {custom}"),
            format!(
                "The DHCP option set names the resolver {custom}, whose answers cannot be seen from here."
            ),
        );
    }
    if vpc.enable_dns_support == Some(false) {
        let change = ConfigurationChange::EnableVpcDns {
            vpc: vpc.id.clone(),
            attribute: "enableDnsSupport",
        };
        let step = JudgedHop::closed(
            HopKind::Name,
            &vpc.id,
            "enableDnsSupport is false",
            "DNS support is disabled in the VPC, so the AWS resolver does not answer.",
            HopFault::new(Cause::ResolverUnreachable, [change]),
        );
        return (step, ResolvedName::Nowhere);
    }
    let rule = view
        .snapshot
        .resolver_rules
        .iter()
        .flatten()
        .filter(|rule| is_within(host, &rule.domain))
        .max_by_key(|rule| rule.domain.len());
    let zone = view
        .snapshot
        .hosted_zones
        .iter()
        .flatten()
        .filter(|zone| !is_of_endpoint(zone) && is_within(host, &zone.name))
        .max_by_key(|zone| zone.name.len());
    if let Some(rule) = rule
        && matches!(rule.rule_type.as_str(), "FORWARD" | "DELEGATE")
        && zone.is_none_or(|zone| zone.name.len() <= rule.domain.len())
    {
        return unknown(
            &rule.id,
            &format!("{} to {}", rule.domain, rule.targets.join(", ")),
            format!(
                "A Resolver rule forwards the name to {}, whose answers cannot be seen from here.",
                rule.targets.join(", ")
            ),
        );
    }
    let profiles = view.snapshot.dns_profiles.iter().flatten();
    let profiles: Vec<_> = profiles.map(String::as_str).collect();
    if !profiles.is_empty() {
        return unknown(
            &profiles.join(", "),
            "",
            "A Route 53 Profile is associated with the VPC, and the zones and rules in it are not read.".into(),
        );
    }
    let by_endpoint = by_endpoint(view, host, service);
    let zone = zone.filter(|zone| {
        !(matches!(
            by_endpoint.1,
            ResolvedName::Endpoint(_) | ResolvedName::Unknown
        ) && zone.name.len() < endpoint_zone(host, service).len())
    });
    let has_zone = zone.is_some();
    let (step, resolution) = match zone {
        Some(zone) => in_zone(view, host, zone),
        None => by_endpoint,
    };
    // What was not read may answer differently.
    let unread = [
        ("ec2:DescribeDhcpOptions", vpc.resolvers.is_none()),
        ("ec2:DescribeVpcAttribute", vpc.enable_dns_support.is_none()),
        (
            "route53:ListHostedZonesByVPC",
            view.snapshot.hosted_zones.is_none(),
        ),
        (
            "route53resolver:ListResolverRuleAssociations",
            view.snapshot.resolver_rules.is_none(),
        ),
        (
            "route53profiles:ListProfileAssociations",
            view.snapshot.dns_profiles.is_none(),
        ),
        (
            "route53resolver:ListFirewallRuleGroupAssociations",
            view.snapshot.dns_firewalls.is_none(),
        ),
    ];
    let unread: Vec<_> = unread
        .into_iter()
        .filter(|(_, is_unread)| *is_unread)
        .map(|(action, _)| action)
        .collect();
    let firewalls = view.snapshot.dns_firewalls.iter().flatten();
    let firewalls: Vec<_> = firewalls.map(String::as_str).collect();
    let doubt = if !unread.is_empty() {
        format!(
            "{} The VPC's DNS settings, private hosted zones, Resolver rules or DNS Firewall may answer differently: they could not be read ({}).",
            step.hop.why,
            unread.join(", ")
        )
    } else if !firewalls.is_empty() && step.verdict() != Openness::Closed {
        format!(
            "{} The DNS Firewall rule group {} filters the names of this VPC, and whether it blocks this one cannot be seen from here.",
            step.hop.why,
            firewalls.join(", ")
        )
    } else if service.is_none() && !is_known_public && !has_zone {
        format!("The addresses of {host} are not known here and are assumed to be public.")
    } else {
        return (step, resolution);
    };
    // A service's own name in a doubtful VPC still resolves to what was found, or not at all.
    let (object, rule) = (step.hop.object.clone(), step.hop.rule.clone());
    (
        JudgedHop::unknown(HopKind::Name, &object, rule, doubt),
        resolution,
    )
}

/// Whether AWS made the zone for the private DNS of an interface endpoint.
fn is_of_endpoint(zone: &HostedZone) -> bool {
    zone.owning_service
        .as_deref()
        .is_some_and(|owner| owner.contains("vpce"))
}

/// Returns the name of the zone that AWS makes for a service's private DNS: the service's own name,
/// below which the registry of each account lies.
fn endpoint_zone<'a>(host: &'a str, service: Option<&str>) -> &'a str {
    let is_registry = service.is_some_and(|service| service.ends_with(".ecr.dkr"));
    match host.split_once('.') {
        Some((_, zone)) if is_registry => zone,
        _ => host,
    }
}

/// Returns the first resolver of the DHCP option set that is not Amazon's.
fn custom_resolver(view: &View<'_>) -> Option<String> {
    let vpc = view.vpc?;
    let bases: Vec<IpAddr> = vpc
        .cidrs
        .iter()
        .filter_map(|cidr| match cidr.network() {
            IpAddr::V4(base) => Some(IpAddr::from(
                u32::from(base).saturating_add(2).to_be_bytes(),
            )),
            IpAddr::V6(_) => None,
        })
        .collect();
    vpc.resolvers
        .iter()
        .flatten()
        .find(|resolver| {
            let address = resolver.parse::<IpAddr>();
            !AMAZON_RESOLVERS.contains(&resolver.as_str())
                && !address.is_ok_and(|address| bases.contains(&address))
        })
        .cloned()
}

/// Whether a host is a domain's name or below it.
fn is_within(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    domain.is_empty() || host == domain || host.ends_with(&format!(".{domain}"))
}

/// Resolves a name by a private hosted zone of the account's own.
#[expect(
    clippy::too_many_lines,
    reason = "a list of cases, each with its own sentence"
)]
fn in_zone<'a>(view: &View<'a>, host: &str, zone: &HostedZone) -> (JudgedHop, ResolvedName<'a>) {
    let rule = |record: &ZoneRecord| format!("{} {}", record.name, record.record_type);
    let Some(records) = &zone.records else {
        return (
            JudgedHop::unknown(
                HopKind::Name,
                &zone.id,
                zone.name.clone(),
                format!(
                    "The private hosted zone {} answers for this name, and its records could not be read.",
                    zone.name
                ),
            ),
            ResolvedName::Unknown,
        );
    };
    let wanted = if view.is_ipv6() { "AAAA" } else { "A" };
    let is_usable =
        |record: &&ZoneRecord| record.record_type == wanted || record.record_type == "CNAME";
    let exact = records
        .iter()
        .filter(is_usable)
        .find(|record| record.name.eq_ignore_ascii_case(host));
    // A name with records of any type hides the wildcard.
    let has_name = records
        .iter()
        .any(|record| record.name.eq_ignore_ascii_case(host));
    let wildcard = records
        .iter()
        .filter(is_usable)
        .filter(|record| {
            let parent = record
                .name
                .strip_prefix("*.")
                .or_else(|| record.name.strip_prefix("\\052."));
            parent.is_some_and(|parent| host != parent && is_within(host, parent))
        })
        .filter(|_| !has_name)
        .max_by_key(|record| record.name.len());
    let Some(record) = exact.or(wildcard) else {
        let step = JudgedHop::closed(
            HopKind::Name,
            &zone.id,
            format!("zone {} has no record for {host}", zone.name),
            format!(
                "The private hosted zone {} is associated with the VPC and has no {wanted} record for {host}, so the name \
                 does not resolve.",
                zone.name
            ),
            HopFault::new(Cause::PrivateZoneShadowsName, []),
        );
        return (step, ResolvedName::Nowhere);
    };
    let target = record.alias.iter().chain(&record.values);
    let endpoint = target.clone().find_map(|value| {
        view.snapshot.endpoints.iter().flatten().find(|endpoint| {
            endpoint.vpc == view.subnet.vpc
                && value
                    .to_ascii_lowercase()
                    .split(['.', '-'])
                    .collect::<Vec<_>>()
                    .windows(2)
                    .any(|words| format!("{}-{}", words[0], words[1]) == endpoint.id)
        })
    });
    if let Some(endpoint) = endpoint {
        return (
            JudgedHop::open(
                HopKind::Name,
                &zone.id,
                rule(record),
                format!(
                    "The private hosted zone {} answers with the interface endpoint {}.",
                    zone.name, endpoint.id
                ),
            ),
            ResolvedName::Endpoint(endpoint),
        );
    }
    let addresses: Vec<IpAddr> = record
        .values
        .iter()
        .filter_map(|value| value.parse().ok())
        .collect();
    if addresses.is_empty() {
        return (
            JudgedHop::unknown(
                HopKind::Name,
                &zone.id,
                rule(record),
                format!(
                    "The private hosted zone {} answers with {}, whose addresses cannot be seen from here.",
                    zone.name,
                    target.map(String::as_str).collect::<Vec<_>>().join(", ")
                ),
            ),
            ResolvedName::Unknown,
        );
    }
    (
        JudgedHop::open(
            HopKind::Name,
            &zone.id,
            rule(record),
            format!(
                "The private hosted zone {} answers with {}.",
                zone.name,
                record.values.join(", ")
            ),
        ),
        ResolvedName::Addresses(addresses),
    )
}

/// Resolves a service's own name: to an interface endpoint with private DNS, else to the service's
/// public addresses.
#[expect(
    clippy::too_many_lines,
    reason = "a list of cases, each with its own sentence"
)]
fn by_endpoint<'a>(
    view: &View<'a>,
    host: &str,
    service: Option<&str>,
) -> (JudgedHop, ResolvedName<'a>) {
    let open = |object: &str, rule: &str, why: String| {
        JudgedHop::open(HopKind::Name, object, rule.to_owned(), why)
    };
    let Some(service) = service else {
        let mut endpoints = view.snapshot.endpoints.iter().flatten();
        let may_serve = |endpoint: &ReadEndpoint| {
            endpoint.vpc == view.subnet.vpc
                && endpoint.endpoint_type == "Interface"
                && endpoint.private_dns_enabled
        };
        if is_aws_host(host) && endpoints.any(may_serve) {
            let why = format!(
                "AWS does not document whether the private DNS of the VPC's interface endpoints covers {host}."
            );
            let step = JudgedHop::unknown(HopKind::Name, &view.subnet.vpc, "", why);
            return (step, ResolvedName::Unknown);
        }
        let step = open(
            "",
            "",
            format!("{host} has no VPC endpoint; it resolves to its public addresses."),
        );
        return (step, ResolvedName::Public(None));
    };
    let Some(endpoints) = &view.snapshot.endpoints else {
        let step = JudgedHop::unknown(
            HopKind::Name,
            &view.subnet.vpc,
            "",
            "The VPC endpoints could not be read (ec2:DescribeVpcEndpoints), so whether the name resolves to one is not known.",
        );
        return (step, ResolvedName::Unknown);
    };
    let candidates: Vec<_> = endpoints
        .iter()
        .filter(|endpoint| {
            endpoint.vpc == view.subnet.vpc
                && endpoint.endpoint_type == "Interface"
                && endpoint.service == service
                && !is_deleted(endpoint)
        })
        .collect();
    let vpc = view.vpc;
    let hostnames = vpc.and_then(|vpc| vpc.enable_dns_hostnames);
    let is_public_by_design = |endpoint: &ReadEndpoint| endpoint.private_dns_only_for_inbound;
    let private = candidates.iter().copied().find(|endpoint| {
        endpoint.private_dns_enabled && is_available(endpoint) && !is_public_by_design(endpoint)
    });
    match private {
        Some(endpoint) if hostnames == Some(true) => {
            let step = open(
                &endpoint.id,
                "private DNS enabled",
                format!("{host} resolves to the interface endpoint {}.", endpoint.id),
            );
            return (step, ResolvedName::Endpoint(endpoint));
        }
        Some(endpoint) if hostnames.is_none() => {
            let step = JudgedHop::unknown(
                HopKind::Name,
                &endpoint.id,
                "private DNS enabled",
                "Private DNS needs enableDnsHostnames on the VPC, which could not be read (ec2:DescribeVpcAttribute).",
            );
            return (step, ResolvedName::Unknown);
        }
        Some(endpoint) => {
            let step = open(
                &view.subnet.vpc,
                "enableDnsHostnames is false",
                format!(
                    "Private DNS of {} needs enableDnsHostnames on the VPC, which is false, so {host} resolves to public addresses.",
                    endpoint.id
                ),
            );
            let unused = Unused {
                endpoint,
                reason: UnusedReason::DnsHostnamesDisabled,
            };
            return (step, ResolvedName::Public(Some(unused)));
        }
        None => {}
    }
    if !view.snapshot.sees_whole_vpc(view.subnet) {
        let owner = view.subnet.owner.as_deref().unwrap_or("another account");
        let step = JudgedHop::unknown(
            HopKind::Name,
            &view.subnet.vpc,
            "",
            format!(
                "The VPC belongs to account {owner}, whose VPC endpoints and zones cannot be seen from here; run pullprobe inspect there as well."
            ),
        );
        return (step, ResolvedName::Unknown);
    }
    let usable = candidates
        .iter()
        .copied()
        .filter(|endpoint| !is_public_by_design(endpoint));
    let unused = usable
        .clone()
        .find(|endpoint| is_available(endpoint))
        .map(|endpoint| Unused {
            endpoint,
            reason: UnusedReason::PrivateDnsDisabled,
        });
    let unused = unused.or_else(|| {
        usable.clone().next().map(|endpoint| Unused {
            endpoint,
            reason: UnusedReason::NotAvailable,
        })
    });
    let step = match &unused {
        Some(Unused {
            endpoint,
            reason: UnusedReason::NotAvailable,
        }) => open(
            &endpoint.id,
            &format!("state {}", endpoint.state),
            format!(
                "The interface endpoint {} is {}, so {host} resolves to public addresses.",
                endpoint.id, endpoint.state
            ),
        ),
        Some(Unused { endpoint, .. }) => open(
            &endpoint.id,
            "private DNS disabled",
            format!(
                "The interface endpoint {} has private DNS disabled, so {host} resolves to public addresses.",
                endpoint.id
            ),
        ),
        None => open(
            "",
            "",
            format!(
                "{host} resolves to public addresses; no interface endpoint for {service} has its name."
            ),
        ),
    };
    (step, ResolvedName::Public(unused))
}

/// Whether the endpoint is or is being deleted; AWS still describes it for a while.
fn is_deleted(endpoint: &ReadEndpoint) -> bool {
    let state = endpoint.state.to_ascii_lowercase();
    state == "deleted" || state == "deleting"
}

/// Whether the endpoint's state is `available`; AWS spells it in two ways.
pub(super) fn is_available(endpoint: &ReadEndpoint) -> bool {
    endpoint.state.eq_ignore_ascii_case("available")
}
