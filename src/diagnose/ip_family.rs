//! Hosts without IPv6, seen from a task without IPv4.

use super::Confidence::{Certain, Likely, Possible};
use super::Finding;
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::network_location::nat64_target;
use crate::observation::{Dependency, Failure, LookupResult, Observation, Outcome, Phase, Purpose};

/// The task has no IPv4 address, and the DNS resolver returned only IPv4 addresses for a host. If
/// the plan has an address in place of a name, that is conclusive. For a name, a filter that hides
/// AAAA records would look the same, unless the resolver returned an IPv6 address for another name.
/// AWS's dual-stack names have IPv6 addresses in public DNS, so for them a private zone (also that
/// of an IPv4-only VPC endpoint) or a filter is as likely. If the resolver did not answer the AAAA
/// query, the host may well have an IPv6 address.
pub(super) fn host_without_ipv6(ev: Evidence<'_>) -> Vec<Finding> {
    let unusable = ev
        .failed(&[Failure::NoAddress])
        .filter(|seen| seen.phase == Phase::Connect);
    let (unanswered, answered): (Vec<_>, Vec<_>) =
        unusable.partition(|seen| !is_answered(ev, seen));
    let (hidden, without): (Vec<_>, Vec<_>) = answered
        .into_iter()
        .partition(|seen| is_dual_stack(seen) || !(is_address(seen) || has_ipv6_elsewhere(ev)));
    [
        Finding::new(Cause::HostWithoutIpv6, Certain, without),
        Finding::new(Cause::HostWithoutIpv6, Likely, hidden.clone()),
        Finding::new(Cause::PrivateZoneShadowsName, Possible, hidden.clone()),
        Finding::new(Cause::NameNotFound, Possible, hidden),
        Finding::new(Cause::ResolverFailure, Likely, unanswered.clone()),
        Finding::new(Cause::HostWithoutIpv6, Possible, unanswered),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A registry of Amazon ECR is reached by its IPv4 name through DNS64 and NAT64, but ECS requires
/// the dual-stack name in an IPv6-only subnet (Amazon ECS developer guide, "Amazon ECS task
/// networking options for Fargate"). This does not test whether Fargate's own puller also gets
/// through.
pub(super) fn reached_through_nat64(ev: Evidence<'_>) -> Vec<Finding> {
    let has_no_ipv4 = |seen: &Observation| {
        ev.of(Phase::Connect).any(|other| {
            other.target() == seen.target()
                && matches!(other.outcome, Outcome::NotChecked { .. })
                && other.peer.is_some_and(|peer| peer.is_ipv4())
        })
    };
    let through_nat64 = ev.of(Phase::Connect).filter(|seen| {
        let peer = seen.peer.filter(|_| seen.passed());
        has_ipv4_registry_name(seen)
            && peer.is_some_and(|peer| nat64_target(peer.ip()).is_some())
            && has_no_ipv4(seen)
    });
    let through_nat64: Vec<_> = through_nat64.collect();
    Finding::new(Cause::HostWithoutIpv6, Possible, through_nat64)
        .map(|finding| finding.with_detail(NAT64_DETAIL).not_blocking())
        .into_iter()
        .collect()
}

const NAT64_DETAIL: &str = "it answers through NAT64, but ECS requires the dual-stack registry name in an IPv6-only subnet";

/// Whether the AAAA query for the target was answered, even if negatively. `true` for an address,
/// which needs no query.
fn is_answered(ev: Evidence<'_>, seen: &Observation) -> bool {
    let negative = |result: LookupResult| match result {
        LookupResult::Answered => true,
        LookupResult::Failed { failure } => {
            matches!(failure, Failure::NoAddress | Failure::NoSuchName)
        }
    };
    is_address(seen)
        || ev
            .first(seen.target(), Phase::Resolve)
            .is_some_and(|resolved| {
                resolved.lookups.iter().any(|lookup| {
                    lookup.kind == "AAAA"
                        && lookup.purpose == Purpose::Target
                        && negative(lookup.result)
                })
            })
}

/// Whether the plan has an address in place of a host name.
fn is_address(seen: &Observation) -> bool {
    seen.host.parse::<std::net::IpAddr>().is_ok()
}

/// Whether the name is AWS's and has IPv6 addresses in public DNS. The plan of an IPv6-only task
/// uses such names, unless the task definition chooses the name.
fn is_dual_stack(seen: &Observation) -> bool {
    let is_of_aws = matches!(
        seen.dependency,
        Dependency::S3 | Dependency::EnvironmentFile
    ) || seen.dependency.has_interface_endpoint();
    is_of_aws && !has_ipv4_registry_name(seen)
}

/// Whether the host is the IPv4-only name of an Amazon ECR registry.
fn has_ipv4_registry_name(seen: &Observation) -> bool {
    seen.dependency == Dependency::EcrDkr && seen.host.contains(".dkr.ecr")
}

/// Whether DNS returned an IPv6 address for any name.
fn has_ipv6_elsewhere(ev: Evidence<'_>) -> bool {
    ev.of(Phase::Resolve)
        .flat_map(|seen| &seen.lookups)
        .flat_map(|lookup| &lookup.addresses)
        .any(std::net::IpAddr::is_ipv6)
}
