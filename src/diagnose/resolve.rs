//! Rules on DNS: unreachable, failing and slow resolvers, and wrong or missing answers.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Confidence::{Certain, Likely, Possible};
use super::path::blocking_unless_sibling_works;
use super::{Finding, storage};
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::network_location::is_public;
use crate::observation::{Dependency, Failure, Lookup, Observation, Phase, Purpose, Scope};
use crate::safe_text::SafeText;

const NO_ANSWER: &[Failure] = &[Failure::TimedOut, Failure::Unreachable];
const REFUSES: &[Failure] = &[Failure::ServerFailure, Failure::QueryRefused];
const NEGATIVE: &[Failure] = &[Failure::NoSuchName, Failure::NoAddress];

/// No query of the whole run was answered, not even with an error: the resolver is down, or the
/// path to it is closed. The VPC's own resolver is exempt from security groups, network ACLs and
/// routes, so for it only the resolver itself remains; for any other resolver, all three are
/// candidates. A resolver that answers some queries is up; the unanswered ones are then for a zone
/// that it forwards, which is a failure of the resolver. If this machine itself has no route to the
/// resolver, no query was sent, and nothing is known about the resolver or the filters on the path.
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
    } else if lookups().all(|l| l.failure() == Some(Failure::Unreachable)) {
        let unsent = Finding::new(Cause::ResolverUnreachable, Likely, silent);
        let to: Vec<_> = resolvers.iter().map(ToString::to_string).collect();
        let detail = format!("this machine has no route to {}", to.join(" or "));
        return unsent.map(|f| f.with_detail(&detail)).into_iter().collect();
    } else {
        let waited = silent.iter().all(|seen| seen.elapsed_ms >= LIBC_TIMEOUT_MS);
        let confidence = if waited && !filtered { Certain } else { Likely };
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

/// A later resolver on the list answered every name before the first one did: the probe queries the
/// next resolver after one second, the C library after five. A single name may be a cold cache or a
/// lost datagram; all names mean that the first resolver is silent, or so slow that it looks
/// silent.
pub(super) fn first_resolver_silent(ev: Evidence<'_>) -> Vec<Finding> {
    let resolved = ev
        .of(Phase::Resolve)
        .filter(|seen| seen.passed() && !seen.lookups.is_empty());
    let mut answered = resolved.clone().flat_map(answered);
    if resolved.clone().count() < 2 || !answered.all(by_a_later_resolver) {
        return Vec::new();
    }
    [
        Finding::new(Cause::ResolverUnreachable, Likely, resolved.clone()).map(|f| {
            f.with_detail("the first resolver did not answer within a second, the next one did")
        }),
        Finding::new(Cause::ServiceSlow, Possible, resolved).map(with_slow_resolver_remedy),
    ]
    .into_iter()
    .flatten()
    .map(Finding::not_blocking)
    .collect()
}

/// A resolver took longer than a second, where the VPC's own takes milliseconds, or answered
/// several queries only when they were repeated. The C library and Go's resolver wait five seconds
/// and then retry, so the task starts, but later. The observations do not show whether the
/// resolver, its upstream servers or the path is slow or loses packets. A single lost datagram
/// proves nothing.
pub(super) fn resolver_slow(ev: Evidence<'_>) -> Vec<Finding> {
    let resolved = || ev.of(Phase::Resolve).filter(|seen| seen.passed());
    let slow = resolved().filter(|seen| answered(seen).any(is_slow));
    let losing = resolved().filter(|seen| answered(seen).any(|lookup| lost(lookup) > 0));
    let slowest = slow
        .clone()
        .flat_map(answered)
        .max_by_key(|lookup| lookup.elapsed_ms);
    let queries_lost: usize = resolved().flat_map(answered).map(lost).sum();
    let (because, detail): (Vec<_>, _) = match slowest {
        Some(slowest) => (
            slow.collect(),
            format!(
                "the DNS resolver {} answered after {}",
                slowest.resolver.ip(),
                seconds(slowest.elapsed_ms)
            ),
        ),
        None if queries_lost > 1 => (
            losing.collect(),
            format!(
                "the DNS resolver did not answer {queries_lost} queries, and repeating them worked"
            ),
        ),
        None => return Vec::new(),
    };
    Finding::new(Cause::ServiceSlow, Likely, because)
        .map(|finding| {
            with_slow_resolver_remedy(finding)
                .with_detail(&detail)
                .not_blocking()
        })
        .into_iter()
        .collect()
}

/// Returns how many earlier queries went unanswered by the resolver that finally answered.
fn lost(lookup: &Lookup) -> usize {
    let own = |resolver: &&SocketAddr| **resolver == lookup.resolver;
    lookup.unanswered.iter().filter(own).count()
}

/// Returns the finding with the remedy for a slow resolver.
fn with_slow_resolver_remedy(mut finding: Finding) -> Finding {
    "Find out why the DNS resolver in the DHCP option set is slow, or let the AWS resolver answer."
        .clone_into(&mut finding.remedy);
    finding
}

/// Formats a time in seconds with one decimal, such as `1.5 s`.
pub(super) fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100)
}

/// The C library waits this long for an answer (resolv.conf(5)): silence for less proves little.
const LIBC_TIMEOUT_MS: u64 = 5_000;

/// An answer that takes this long is slow: the probe repeats its query after this time.
pub(super) const SLOW_ANSWER_MS: u64 = 1_000;

/// Whether the resolver that answered was slow to do so.
fn is_slow(lookup: &Lookup) -> bool {
    lookup.elapsed_ms >= SLOW_ANSWER_MS
}

/// Whether the first resolver of the list had not answered when a later one did.
fn by_a_later_resolver(lookup: &Lookup) -> bool {
    lookup
        .unanswered
        .first()
        .is_some_and(|&first| first != lookup.resolver)
}

/// Returns the lookups of the name itself that were answered.
fn answered(seen: &Observation) -> impl Iterator<Item = &Lookup> {
    seen.lookups
        .iter()
        .filter(|l| l.purpose == Purpose::Target && !is(l, NO_ANSWER) && !is(l, REFUSES))
}

/// Whether an answer was slow, or came only after a query that failed or went unanswered.
pub(super) fn is_late(seen: &Observation) -> bool {
    seen.tries.is_some() || answered(seen).any(|l| is_slow(l) || !l.unanswered.is_empty())
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

/// The resolver answers with an error: SERVFAIL, REFUSED, or something that is not DNS. If every
/// name fails, it is the resolver itself; if only some do, it may be a zone that it forwards. One
/// error proves nothing: the C library, Go's resolver and the SDKs retry, and so does the probe. A
/// retry that works lets the task start; a name that fails every time is certain after three tries.
pub(super) fn resolver_failure(ev: Evidence<'_>) -> Vec<Finding> {
    const MIN_TRIES_FOR_CERTAIN: u32 = 3;
    let failing = names_failed(ev, REFUSES);
    let some_resolve = ev.of(Phase::Resolve).any(Observation::passed);
    let each_time = |seen: &&Observation| {
        seen.tries
            .is_some_and(|tries| tries.failed == tries.of && tries.of >= MIN_TRIES_FOR_CERTAIN)
    };
    let confidence = if !some_resolve && failing.iter().all(each_time) {
        Certain
    } else {
        Likely
    };
    let worked_again = ev
        .of(Phase::Resolve)
        .filter(|seen| seen.passed() && seen.tries.is_some_and(|tries| tries.failed > 0));
    let (failed, of) = worked_again
        .clone()
        .filter_map(|seen| seen.tries)
        .fold((0, 0), |(failed, of), tries| {
            (failed + tries.failed, of + tries.of)
        });
    let repeated = match of {
        0 => String::new(),
        _ => format!("{failed} of {of} queries failed, and repeating them worked"),
    };
    let codes = [
        (Failure::ServerFailure, "SERVFAIL"),
        (Failure::QueryRefused, "REFUSED"),
    ]
    .iter()
    .filter(|(failure, _)| failing.iter().any(|seen| seen.failure() == Some(*failure)))
    .map(|(_, code)| *code)
    .collect::<Vec<_>>()
    .join(" and ");
    let finding = if failing.is_empty() {
        Finding::new(Cause::ResolverFailure, Likely, worked_again).map(Finding::not_blocking)
    } else {
        Finding::new(Cause::ResolverFailure, confidence, failing)
    };
    finding
        .map(|finding| finding.with_detail(&codes).with_detail(&repeated))
        .into_iter()
        .collect()
}

/// A name resolves to an address that no service can have: the answer comes from a sinkhole (of a
/// DNS firewall or a filter) or from a wrong record. For AWS names this is certain, except for
/// addresses that a private network may use: loopback and documentation addresses.
pub(super) fn sinkhole(ev: Evidence<'_>) -> Vec<Finding> {
    let failed = ev
        .of(Phase::Connect)
        .filter(|seen| seen.failure().is_some() && ev.cannot_be_of_a_service(seen));
    let (never, hardly): (Vec<_>, Vec<_>) = failed.partition(|seen| {
        is_of_aws(seen.dependency) && !seen.peer.is_some_and(|peer| is_used_privately(peer.ip()))
    });
    let address = |seen: &&Observation| seen.peer.map(|peer| peer.ip().to_string());
    [(Certain, never), (Likely, hardly)]
        .into_iter()
        .filter_map(|(confidence, seen)| {
            let detail = format!(
                "{} is not the address of any service",
                seen.iter().find_map(address)?
            );
            Some(Finding::new(Cause::NamePointsElsewhere, confidence, seen)?.with_detail(&detail))
        })
        .map(|finding| blocking_unless_sibling_works(ev, finding))
        .collect()
}

/// The public address of an AWS name is silent, and the published ranges of AWS do not contain it,
/// or the name is an alias of another service's name. AWS adds ranges and changes aliases, so the
/// address may still be the service's, behind a missing route or endpoint; but a record or a
/// resolver that points the name elsewhere looks the same.
pub(super) fn silent_address_of_unknown_owner(ev: Evidence<'_>) -> Vec<Finding> {
    let silent = ev
        .silent_targets()
        .into_iter()
        .filter(|target| {
            is_of_aws(target.dependency) || target.dependency == Dependency::EnvironmentFile
        })
        .flat_map(|target| target.silent)
        .filter(|seen| seen.scope == Some(Scope::Public));
    let (strange, known): (Vec<_>, Vec<_>) = silent.partition(|seen| seen.owner.is_none());
    let alias = |seen: &&Observation| {
        let resolved = ev.first(seen.target(), Phase::Resolve)?;
        resolved.lookups.iter().find_map(alias_of_another_service)
    };
    let detail = known.iter().find_map(alias);
    let detail = detail.map(|alias| format!("it is an alias of {alias}"));
    let aliased = known.into_iter().filter(|seen| alias(seen).is_some());
    let why = "AWS's published ranges do not contain its address";
    [
        Finding::new(Cause::NamePointsElsewhere, Possible, strange).map(|f| f.with_detail(why)),
        Finding::new(
            Cause::NamePointsElsewhere,
            Possible,
            aliased.collect::<Vec<_>>(),
        )
        .map(|f| f.with_detail(&detail.unwrap_or_default())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the name that this one is an alias of, if it is a Regional name of another AWS service
/// or of another Region. Amazon S3 and load balancers have such names of their own.
fn alias_of_another_service(lookup: &Lookup) -> Option<&SafeText> {
    let alias = lookup.aliases.last()?;
    let mut labels = alias.split('.');
    let (service, region) = (labels.next()?, labels.next()?);
    let is_regional = labels.eq(["amazonaws", "com"]);
    let has = |label| lookup.name.split('.').any(|own| own == label);
    let is_own = service.starts_with("s3") || has(service) && has(region);
    (is_regional && !is_own).then_some(alias)
}

/// NXDOMAIN or NODATA. The names of AWS's services exist in public DNS, so a resolver or firewall
/// in between hides them. For another name, such as a private registry's, the negative answer is
/// most often simply true.
///
/// A negative answer names the zone that gives it (RFC 2308 section 3). If that is a private hosted
/// zone of Route 53, recognized by its name servers, or a zone within the service's family of
/// names, the zone lacks the record. The same holds for a zone that has an address for its own name
/// and none for others: it lacks the wildcard.
///
/// A negative answer without a zone may come from a filter. If this resolver names zones elsewhere,
/// or a wildcard of the family has an address while the one name has none, a DNS firewall is the
/// likelier cause; otherwise, as long as other AWS names resolve, a private zone without the record
/// is. If no AWS name resolves, AWS names are blocked altogether, or one private zone covers all of
/// them.
pub(super) fn names_not_found(ev: Evidence<'_>) -> Vec<Finding> {
    // Unless no name resolves at all, the name of a file system and the upstream host of a
    // pull-through cache have their own rules.
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
    .map(|finding| {
        let because = |seen: &&Observation| finding.because.contains(&seen.id);
        let of_a_loop = ev.of(Phase::Resolve).filter(because).any(has_cname_loop);
        finding.with_detail(if of_a_loop {
            "its CNAMEs form a loop"
        } else {
            ""
        })
    })
    .collect()
}

/// Whether the name is AWS's own and the same for every customer.
fn is_of_aws(dependency: Dependency) -> bool {
    dependency == Dependency::S3 || dependency.has_interface_endpoint()
}

/// Whether a private network may use the address, although no AWS service has it: loopback and
/// documentation addresses.
fn is_used_privately(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_documentation(),
        IpAddr::V6(v6) => v6.is_loopback(),
    }
}

/// Whether a CNAME leads back to a name before it.
fn has_cname_loop(seen: &Observation) -> bool {
    seen.lookups.iter().any(|lookup| {
        lookup.aliases.split_last().is_some_and(|(last, before)| {
            *last == lookup.name.to_lowercase() || before.contains(last)
        })
    })
}

/// Whether the negative answer does not name a zone, although others of the family or the resolver
/// do.
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

/// The plan expects addresses of the VPC, and the name has a public one. This is a fact, not an
/// inference. The task still starts if that address can be reached, so the finding does not block.
/// Packets do not show the reason: the endpoint is missing, its private DNS is off, or this
/// resolver does not forward to the VPC's.
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

/// Whether a private zone hides the name: a negative answer comes from a private hosted zone, or
/// from any zone at or below the service's family (`ecr.<region>…`, `dkr.ecr.<region>…`, the name
/// itself); or the family's zone has a private address for its own name and none for a label below
/// it.
fn is_denied_by_private_zone(seen: &Observation) -> bool {
    let labels = |name: &str| name.split('.').count();
    let Some((_, parent)) = seen.host.split_once('.') else {
        return false;
    };
    // api.ecr.<region>.amazonaws.com and logs.<region>.amazonaws.com: the family is the part before
    // the Region.
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
