//! DNS.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use super::Confidence::{Certain, Likely, Possible};
use super::{Finding, storage};
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::observation::{Dependency, Failure, Lookup, Observation, Phase, Purpose, Scope};

const NO_ANSWER: &[Failure] = &[Failure::TimedOut, Failure::Unreachable];
const REFUSES: &[Failure] = &[Failure::ServerFailure, Failure::QueryRefused];
const NEGATIVE: &[Failure] = &[Failure::NoSuchName, Failure::NoAddress];

/// No query of the whole run was answered, not even with an error: the resolver is down, or the
/// path to it is closed. The VPC's own resolver is exempt from security groups, network ACLs and
/// routes, so there only the resolver itself remains; for any other all three are candidates. A
/// resolver that answers some queries is up; the silence then belongs to a zone that it forwards,
/// which is a failure of the resolver.
pub(super) fn resolver_unreachable(ev: Evidence<'_>) -> Vec<Finding> {
    let lookups = || ev.of(Phase::Resolve).flat_map(|seen| &seen.lookups);
    let (tcp_blocked, silent): (Vec<_>, Vec<_>) = names_failed(ev, NO_ANSWER)
        .into_iter()
        .partition(|seen| seen.lookups.iter().any(|lookup| lookup.over_tcp));
    let resolvers: BTreeSet<IpAddr> = lookups()
        .filter(|l| is(l, NO_ANSWER))
        .map(|l| l.resolver.ip())
        .collect();
    let filtered = resolvers.iter().any(|&address| !is_of_the_vpc(address));
    let public = resolvers.iter().any(|&address| is_public(address));
    let answered = lookups().any(|l| !is(l, NO_ANSWER) || l.over_tcp);
    let mut findings = Vec::new();
    // The UDP answer was truncated, and TCP to the same resolver is silent: a filter allows UDP 53
    // only.
    findings.push(
        Finding::new(Cause::ResolverUnreachable, Likely, tcp_blocked.clone())
            .map(|f| f.with_detail("TCP port 53 does not answer")),
    );
    if answered {
        findings.push(Finding::new(
            Cause::ResolverFailure,
            Possible,
            silent.clone(),
        ));
        findings.push(Finding::new(
            Cause::ResolverUnreachable,
            Possible,
            silent.clone(),
        ));
    } else {
        let confidence = if filtered { Likely } else { Certain };
        findings.push(Finding::new(
            Cause::ResolverUnreachable,
            confidence,
            silent.clone(),
        ));
    }
    let filtered_candidates = if answered { tcp_blocked } else { silent };
    for (cause, holds) in [
        (Cause::TaskSecurityGroupEgress, filtered),
        (Cause::NetworkAcl, filtered),
        (Cause::NoEgressRoute, public),
    ] {
        findings.push(Finding::new(cause, Possible, filtered_candidates.clone()).filter(|_| holds));
    }
    findings.into_iter().flatten().collect()
}

/// Every name resolves just after the probe turns to the next resolver, which it does after one
/// second (the C library after five). One late name may be a cold cache or a lost datagram, and a
/// slow resolver does not answer on such a schedule; all names late means that the first resolver
/// is silent or fails.
pub(super) fn first_resolver_silent(ev: Evidence<'_>) -> Vec<Finding> {
    const SOON_AFTER_MS: u64 = 500;
    let resolved = ev
        .of(Phase::Resolve)
        .filter(|seen| seen.passed() && !seen.lookups.is_empty());
    let mut lookups = resolved.clone().flat_map(|seen| &seen.lookups);
    let on_time = lookups.all(|lookup| lookup.elapsed_ms % NEXT_RESOLVER_AFTER_MS < SOON_AFTER_MS);
    if resolved.clone().count() < 2 || !on_time || !resolved.clone().all(is_late) {
        return Vec::new();
    }
    Finding::new(Cause::ResolverUnreachable, Likely, resolved)
        .map(|finding| {
            finding
                .with_detail("the first resolver is silent or fails, the next one answers")
                .not_blocking()
        })
        .into_iter()
        .collect()
}

/// The probe queries the next resolver after this time.
const NEXT_RESOLVER_AFTER_MS: u64 = 1_000;

/// Whether every answer took at least as long as the probe waits before it queries the next
/// resolver.
pub(super) fn is_late(seen: &Observation) -> bool {
    let mut target = seen.lookups.iter().filter(|l| l.purpose == Purpose::Target);
    target.clone().next().is_some()
        && target.all(|lookup| lookup.elapsed_ms >= NEXT_RESOLVER_AFTER_MS)
}

/// Whether the resolver is the VPC's own or runs on this machine, so that no security group,
/// network ACL or route acts on the path. The VPC's resolver answers at 169.254.169.253,
/// fd00:ec2::253 and the VPC's base plus two (a VPC's CIDR block begins at a multiple of 16).
fn is_of_the_vpc(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || !is_public(address) && v4.octets()[3] % 16 == 2
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253)
        }
    }
}

/// Whether an address is outside all private ranges. Where a VPC uses public ranges, its resolver
/// counts as public, which only adds candidates.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let carrier_grade = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || carrier_grade)
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

/// The resolver answers with an error: SERVFAIL, REFUSED, or something that is not DNS. For every
/// name, it is the resolver itself; for some names only, it may be a zone that it forwards.
pub(super) fn resolver_failure(ev: Evidence<'_>) -> Vec<Finding> {
    let failing = names_failed(ev, REFUSES);
    let some_resolve = ev.of(Phase::Resolve).any(Observation::passed);
    let confidence = if some_resolve { Likely } else { Certain };
    Finding::new(Cause::ResolverFailure, confidence, failing)
        .into_iter()
        .collect()
}

/// NXDOMAIN or NODATA. In public DNS the names of AWS's services exist, so a resolver or firewall
/// in between denies them. That another name, such as a private registry's, does not exist is most
/// often simply true.
///
/// A zone that gives a negative answer names itself in it (RFC 2308 section 3). If that is a
/// private hosted zone of Route 53, by its name servers, or a zone within the service's family of
/// names, the zone lacks the record. The same holds where a zone has an address for its own name
/// and none for others: it lacks the wildcard.
///
/// A negative answer without a zone may come from a filter. If this resolver names zones elsewhere,
/// or a wildcard of the family has an address while the one name has none, a DNS firewall is the
/// likelier of the two; otherwise, while other AWS names resolve, a private zone without the record
/// is. If no AWS name resolves, AWS names are blocked altogether, or one private zone covers all of
/// them.
pub(super) fn names_not_found(ev: Evidence<'_>) -> Vec<Finding> {
    // A missing file system name has its own rule, and so has the upstream's host of a pull through
    // cache, unless no name resolves at all.
    let has_own_rule = |seen: &&Observation| {
        (seen.dependency == Dependency::Efs || ev.is_pull_through_upstream(seen))
            && storage::other_names_resolve(ev)
    };
    let missing: Vec<_> = names_failed(ev, NEGATIVE)
        .into_iter()
        .filter(|seen| !has_own_rule(seen))
        .collect();
    let others_resolve = ev.of(Phase::Resolve).any(|seen| {
        seen.passed() && !seen.lookups.is_empty()
            || seen
                .lookups
                .iter()
                .any(|l| l.purpose == Purpose::Sibling && l.failure().is_none())
    });
    let names_zones = ev
        .of(Phase::Resolve)
        .flat_map(|seen| &seen.lookups)
        .any(|l| l.zone.is_some());
    let (shadowed, unclear): (Vec<_>, Vec<_>) = missing
        .into_iter()
        .partition(|seen| is_denied_by_private_zone(seen));
    let (filtered, missing): (Vec<_>, Vec<_>) = unclear.into_iter().partition(|seen| {
        !others_resolve || !is_of_aws(seen.dependency) || is_filtered(seen, names_zones)
    });
    [
        Finding::new(Cause::PrivateZoneShadowsName, Certain, shadowed),
        Finding::new(Cause::PrivateZoneShadowsName, Likely, missing.clone()),
        Finding::new(Cause::NameNotFound, Possible, missing),
        Finding::new(Cause::NameNotFound, Likely, filtered.clone()),
        Finding::new(Cause::PrivateZoneShadowsName, Possible, filtered),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether the name is AWS's own and the same for every customer.
fn is_of_aws(dependency: Dependency) -> bool {
    dependency == Dependency::S3 || dependency.has_interface_endpoint()
}

/// Whether the negative answer names no zone, although the family or the resolver shows that a zone
/// would be named.
fn is_filtered(seen: &Observation, names_zones: bool) -> bool {
    let nameless = seen
        .lookups
        .iter()
        .filter(|l| l.purpose != Purpose::Sibling)
        .all(|l| l.zone.is_none());
    let wildcard = seen
        .lookups
        .iter()
        .any(|l| l.purpose == Purpose::Wildcard && l.failure().is_none());
    wildcard || nameless && names_zones
}

/// The plan expects addresses of the VPC and the name has a public one. This is a fact, not an
/// inference. The task still starts as long as that address can be reached, so it stops nothing by
/// itself. Packets do not show the reason: the endpoint is missing, or its private DNS is off, or
/// this resolver does not forward to the VPC's.
pub(super) fn public_answer(ev: Evidence<'_>) -> Vec<Finding> {
    let public = ev.of(Phase::Resolve).filter(|seen| {
        seen.passed() && !seen.expected.is_empty() && seen.scope == Some(Scope::Public)
    });
    let reached = public
        .clone()
        .filter(|seen| ev.works(seen.target(), Phase::Connect));
    [
        Finding::new(Cause::PublicAnswerWherePrivateExpected, Certain, public),
        Finding::new(Cause::InterfaceEndpointMissing, Possible, reached),
    ]
    .into_iter()
    .flatten()
    .map(Finding::not_blocking)
    .collect()
}

fn names_failed<'a>(ev: Evidence<'a>, ways: &'static [Failure]) -> Vec<&'a Observation> {
    ev.of(Phase::Resolve)
        .filter(|seen| {
            seen.failure()
                .is_some_and(|failure| ways.contains(&failure))
        })
        .collect()
}

fn is(lookup: &Lookup, ways: &[Failure]) -> bool {
    lookup
        .failure()
        .is_some_and(|failure| ways.contains(&failure))
}

/// The name servers of every private hosted zone (Route 53 developer guide, "Working with private
/// hosted zones").
const PRIVATE_HOSTED_ZONE: [&str; 4] = [
    "ns-0.awsdns-00.com",
    "ns-512.awsdns-00.net",
    "ns-1024.awsdns-00.org",
    "ns-1536.awsdns-00.co.uk",
];

/// Whether a private zone denies the name: a negative answer from a private hosted zone, or from
/// any zone at or below the service's family (`ecr.<region>…`, `dkr.ecr.<region>…`, the name
/// itself); or a family whose zone has a private address for its own name and none for a label
/// below it.
fn is_denied_by_private_zone(seen: &Observation) -> bool {
    let labels = |name: &str| name.split('.').count();
    let Some((_, parent)) = seen.host.split_once('.') else {
        return false;
    };
    // api.ecr.<region>.amazonaws.com and logs.<region>.amazonaws.com: the family is the part before
    // the region.
    let region_at = parent
        .split('.')
        .position(|label| label.split('-').count() >= 3)
        .unwrap_or_default();
    let public_cut = labels(parent) - region_at;
    let named = seen
        .lookups
        .iter()
        .filter(|l| matches!(l.purpose, Purpose::Target | Purpose::Zone))
        .any(|lookup| {
            let Some(zone) = lookup.zone.as_deref() else {
                return false;
            };
            let above = seen.host == zone || seen.host.ends_with(&format!(".{zone}"));
            let hosted = lookup
                .zone_server
                .as_deref()
                .is_some_and(|server| PRIVATE_HOSTED_ZONE.contains(&server));
            above && (hosted || labels(zone) > public_cut)
        });
    let apex = seen
        .lookups
        .iter()
        .any(|l| l.name == parent && l.addresses.iter().any(|&a| !is_public(a)));
    let nothing_below = seen
        .lookups
        .iter()
        .any(|l| l.purpose == Purpose::Wildcard && is(l, NEGATIVE));
    named || apex && nothing_below
}
