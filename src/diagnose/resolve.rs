//! Names.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use super::Confidence::{Certain, Likely, Possible};
use super::{Finding, storage};
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::observation::{Dependency, Failure, Lookup, Observation, Phase, Purpose, Scope};

const NO_ANSWER: &[Failure] = &[Failure::TimedOut, Failure::Unreachable];
const REFUSES: &[Failure] = &[Failure::ServerFailure, Failure::QueryRefused];
const SAYS_NO: &[Failure] = &[Failure::NoSuchName, Failure::NoAddress];

/// No question of the whole run was answered by anybody, not even with an error: the resolver is
/// down, or the way to it is closed. The VPC's own resolver is exempt from security groups, network
/// ACLs and routes, so there the resolver itself is what remains; for another one all three are
/// candidates. A resolver that answers some questions is there; then the silence belongs to a zone
/// it forwards, which is the resolver's failure.
pub(super) fn resolver_unreachable(ev: Evidence<'_>) -> Vec<Finding> {
    let lookups = || ev.of(Phase::Resolve).flat_map(|seen| &seen.lookups);
    let (cut, silent): (Vec<_>, Vec<_>) = names_that(ev, NO_ANSWER)
        .into_iter()
        .partition(|seen| seen.lookups.iter().any(|lookup| lookup.over_tcp));
    let resolvers: BTreeSet<IpAddr> = lookups()
        .filter(|l| is(l, NO_ANSWER))
        .map(|l| l.resolver.ip())
        .collect();
    let filtered = resolvers.iter().any(|&address| !is_of_the_vpc(address));
    let public = resolvers.iter().any(|&address| is_public(address));
    let heard = lookups().any(|l| !is(l, NO_ANSWER) || l.over_tcp);
    let mut findings = Vec::new();
    // Truncated over UDP, and TCP to the same resolver is silent: the filter knows UDP 53 only.
    findings.push(
        Finding::new(Cause::ResolverUnreachable, Likely, cut.clone())
            .map(|f| f.saying("TCP port 53 is silent")),
    );
    if heard {
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
    let unheard = if heard { cut } else { silent };
    for (cause, holds) in [
        (Cause::TaskSecurityGroupEgress, filtered),
        (Cause::NetworkAcl, filtered),
        (Cause::NoEgressRoute, public),
    ] {
        findings.push(Finding::new(cause, Possible, unheard.clone()).filter(|_| holds));
    }
    findings.into_iter().flatten().collect()
}

/// Names resolve, and each as soon as the next resolver is asked: the probe waits a second for
/// that, the C library five. One late name may be a cold cache or a lost datagram, and a slow
/// resolver keeps no such time; all of them are a first resolver that is silent or fails.
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
                .saying("the first resolver is silent or fails, the next one answers")
                .not_blocking()
        })
        .into_iter()
        .collect()
}

/// The probe asks the next resolver after this long.
const NEXT_RESOLVER_AFTER_MS: u64 = 1_000;

/// Every answer took as long as the probe waits before it asks the next resolver, or the same
/// again.
pub(super) fn is_late(seen: &Observation) -> bool {
    let mut target = seen.lookups.iter().filter(|l| l.purpose == Purpose::Target);
    target.clone().next().is_some()
        && target.all(|lookup| lookup.elapsed_ms >= NEXT_RESOLVER_AFTER_MS)
}

/// Nothing but the host itself is between it and the task: the VPC's resolver, which answers at
/// 169.254.169.253, fd00:ec2::253 and the VPC's base plus two (a block of a VPC begins at a
/// multiple of 16), and this machine.
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

/// Outside all ranges for private use. Where a VPC uses public ones, its resolver is taken for a
/// public one, which only adds candidates.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let carrier_grade = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || carrier_grade)
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

/// The resolver answers, and its answer is that it cannot: SERVFAIL, REFUSED or something that is
/// no DNS. If it does so for every name it is the resolver itself; for some names only, it may be a
/// zone that it forwards.
pub(super) fn resolver_failure(ev: Evidence<'_>) -> Vec<Finding> {
    let failing = names_that(ev, REFUSES);
    let some_resolve = ev.of(Phase::Resolve).any(Observation::passed);
    let confidence = if some_resolve { Likely } else { Certain };
    Finding::new(Cause::ResolverFailure, confidence, failing)
        .into_iter()
        .collect()
}

/// NXDOMAIN or NODATA. In public DNS the names of AWS's services exist, so somebody between here
/// and there says otherwise. That another name, such as that of a registry elsewhere, does not
/// exist is most often simply true.
///
/// A zone that says no names itself in the answer (RFC 2308 section 3). If that is a private hosted
/// zone of Route 53, by its name servers, or a zone inside the service's family, it is the zone
/// that lacks the record. So it is where a zone answers with an address for its own name and not
/// for others: it lacks the wildcard.
///
/// An answer that names no zone may come from a filter. If this resolver names zones elsewhere, or
/// a wildcard of the family has an address while the one name has none, a DNS firewall is the
/// likelier of the two; else, while other AWS names resolve, a private zone without the record is.
/// If no AWS name resolves, names at large are blocked, or somebody has a zone for all of them.
pub(super) fn names_not_found(ev: Evidence<'_>) -> Vec<Finding> {
    // A file system's name is missing for reasons of its own, unless no name is there.
    let of_its_own = |seen: &&Observation| {
        seen.dependency == Dependency::Efs && storage::other_names_resolve(ev)
    };
    let missing: Vec<_> = names_that(ev, SAYS_NO)
        .into_iter()
        .filter(|seen| !of_its_own(seen))
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
        .partition(|seen| has_zone_of_its_own(seen));
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

/// Whether the service's name is AWS's own, the same for everybody.
fn is_of_aws(dependency: Dependency) -> bool {
    dependency == Dependency::S3 || dependency.has_interface_endpoint()
}

/// No zone stands behind this no, while the family or the resolver shows that one would.
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

/// The plan expects addresses of the VPC and the name has a public one. A fact, not an inference.
/// The task starts all the same as long as that address can be reached, so it stops nothing by
/// itself. Why it is so, no packet says: the endpoint is not there, or its private DNS is off, or
/// this resolver does not ask the VPC's.
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

fn names_that<'a>(ev: Evidence<'a>, ways: &'static [Failure]) -> Vec<&'a Observation> {
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

/// A negative answer from a private hosted zone, or from any zone at or below the service's family
/// (`ecr.<region>…`, `dkr.ecr.<region>…`, the name itself); or a family whose zone has a private
/// address of its own and none for a label below it.
fn has_zone_of_its_own(seen: &Observation) -> bool {
    let labels = |name: &str| name.split('.').count();
    let Some((_, parent)) = seen.host.split_once('.') else {
        return false;
    };
    // api.ecr.<region>.amazonaws.com and logs.<region>.amazonaws.com: the family is what comes
    // before the region.
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
        .any(|l| l.purpose == Purpose::Wildcard && is(l, SAYS_NO));
    named || apex && nothing_below
}
