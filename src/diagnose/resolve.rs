//! Names.

use super::{Confidence, Finding};
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::observation::{Failure, Lookup, Observation, Phase, Purpose, Scope};

const NO_ANSWER: &[Failure] = &[Failure::TimedOut, Failure::Unreachable];
const REFUSES: &[Failure] = &[Failure::ServerFailure, Failure::QueryRefused];
const SAYS_NO: &[Failure] = &[Failure::NoSuchName, Failure::NoAddress];

/// No question of the whole run was answered by anybody, not even with an error: the resolver is down, or the way to it
/// is closed. The VPC's own resolver is exempt from security groups and network ACLs; a custom one is not, so both are
/// this cause. A resolver that answers some questions is there; then the silence belongs to a zone it forwards, which is
/// the resolver's failure.
pub(super) fn resolver_unreachable(ev: Evidence<'_>) -> Vec<Finding> {
    let silent = names_that(ev, NO_ANSWER);
    let heard = ev.of(Phase::Resolve).flat_map(|seen| &seen.lookups).any(|l| !is(l, NO_ANSWER));
    if heard {
        return Finding::new(Cause::ResolverFailure, Confidence::Possible, silent.clone())
            .into_iter()
            .chain(Finding::new(Cause::ResolverUnreachable, Confidence::Possible, silent))
            .collect();
    }
    Finding::new(Cause::ResolverUnreachable, Confidence::Certain, silent).into_iter().collect()
}

/// The resolver answers, and its answer is that it cannot: SERVFAIL, REFUSED or something that is no DNS. If it does so
/// for every name it is the resolver itself; for some names only, it may be a zone that it forwards.
pub(super) fn resolver_failure(ev: Evidence<'_>) -> Vec<Finding> {
    let failing = names_that(ev, REFUSES);
    let some_resolve = ev.of(Phase::Resolve).any(Observation::passed);
    let confidence = if some_resolve { Confidence::Likely } else { Confidence::Certain };
    Finding::new(Cause::ResolverFailure, confidence, failing).into_iter().collect()
}

/// NXDOMAIN or NODATA. In public DNS all of these names exist, so somebody between here and there says otherwise. If
/// other AWS names resolve, the likely somebody is a private hosted zone for this service's family without the record; a
/// negative answer whose SOA lies inside the family proves it, for the public zones are cut at the region or above. A DNS
/// firewall rule for one name looks the same without the SOA. If no AWS name resolves, names at large are blocked.
pub(super) fn names_not_found(ev: Evidence<'_>) -> Vec<Finding> {
    let missing = names_that(ev, SAYS_NO);
    let others_resolve = ev.of(Phase::Resolve).any(|seen| {
        seen.passed() && !seen.lookups.is_empty()
            || seen.lookups.iter().any(|l| l.purpose == Purpose::Sibling && l.failure().is_none())
    });
    if others_resolve {
        let (shadowed, unclear): (Vec<_>, Vec<_>) = missing.into_iter().partition(|seen| has_zone_of_its_own(seen));
        return [
            Finding::new(Cause::PrivateZoneShadowsName, Confidence::Certain, shadowed),
            Finding::new(Cause::PrivateZoneShadowsName, Confidence::Likely, unclear.clone()),
            Finding::new(Cause::NameNotFound, Confidence::Possible, unclear),
        ]
        .into_iter()
        .flatten()
        .collect();
    }
    // One name alone may still be shadowed, with its sibling blocked by the same zone.
    let confidence = if missing.len() > 1 { Confidence::Certain } else { Confidence::Likely };
    let at_large = Finding::new(Cause::NameNotFound, confidence, missing.clone());
    let shadowed = Finding::new(Cause::PrivateZoneShadowsName, Confidence::Possible, missing)
        .filter(|_| confidence < Confidence::Certain);
    at_large.into_iter().chain(shadowed).collect()
}

/// The plan expects addresses of the VPC and the name has a public one. A fact, not an inference. The task starts all the
/// same as long as that address can be reached, so it stops nothing by itself.
pub(super) fn public_answer(ev: Evidence<'_>) -> Vec<Finding> {
    let public = ev
        .of(Phase::Resolve)
        .filter(|seen| seen.passed() && !seen.expected.is_empty() && seen.scope == Some(Scope::Public));
    let finding = Finding::new(Cause::PublicAnswerWherePrivateExpected, Confidence::Certain, public);
    finding.map(Finding::not_blocking).into_iter().collect()
}

fn names_that<'a>(ev: Evidence<'a>, ways: &'static [Failure]) -> Vec<&'a Observation> {
    ev.of(Phase::Resolve).filter(|seen| seen.failure().is_some_and(|failure| ways.contains(&failure))).collect()
}

fn is(lookup: &Lookup, ways: &[Failure]) -> bool {
    lookup.failure().is_some_and(|failure| ways.contains(&failure))
}

/// A negative answer from a zone at or below the service's family (`ecr.<region>…`, `dkr.ecr.<region>…`, the name itself).
fn has_zone_of_its_own(seen: &Observation) -> bool {
    let labels = |name: &str| name.split('.').count();
    let Some((_, parent)) = seen.host.split_once('.') else { return false };
    // api.ecr.<region>.amazonaws.com and logs.<region>.amazonaws.com: the family is what comes before the region.
    let region_at = parent.split('.').position(|label| label.split('-').count() >= 3).unwrap_or_default();
    let public_cut = labels(parent) - region_at;
    seen.lookups
        .iter()
        .filter(|lookup| matches!(lookup.purpose, Purpose::Target | Purpose::Zone))
        .filter_map(|lookup| lookup.zone.as_deref())
        .any(|zone| labels(zone) > public_cut && (seen.host == zone || seen.host.ends_with(&format!(".{zone}"))))
}
