//! Answers that an intermediary gave in place of a service.

use super::{Confidence, Finding};
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::observation::{Dependency, Failure, Observation, Speaker};

use Confidence::{Likely, Possible};

/// TLS is verified, and the answer lacks what the service always sends. If it has another form (a
/// web page, plain text, other JSON), a proxy or a firewall gave it, or the name points to another
/// server that has a valid certificate for it. The packets look the same, so this is never certain.
/// If the answer has no form at all, the service may have sent it.
pub(super) fn answered(ev: Evidence<'_>) -> Vec<Finding> {
    let of = |speaker| {
        ev.foreign_answers()
            .filter(move |seen| seen.speaker == Some(speaker))
    };
    let foreign = of(Speaker::Intermediary);
    let undecided = of(Speaker::Unknown);
    let broken = undecided
        .clone()
        .filter(|seen| seen.failure() != Some(Failure::ServiceFailure));
    let findings = [
        Finding::new(Cause::AnsweredByIntermediary, Likely, foreign.clone()),
        Finding::new(Cause::NamePointsElsewhere, Possible, foreign),
        Finding::new(Cause::AnsweredByIntermediary, Possible, undecided),
        Finding::new(Cause::NamePointsElsewhere, Possible, broken),
    ];
    let registry = candidates_of_a_registry(ev).into_iter();
    findings
        .into_iter()
        .flatten()
        .map(|finding| with_answer(ev, finding))
        .chain(registry)
        .chain(candidates_of_aws(ev))
        .collect()
}

/// An answer that has one mark of an AWS service, and not all, may be the service's own.
fn candidates_of_aws(ev: Evidence<'_>) -> Vec<Finding> {
    let marked = |failure| {
        ev.foreign_answers().filter(move |seen| {
            seen.dependency != Dependency::Registry
                && seen.speaker == Some(Speaker::Unknown)
                && seen.failure() == Some(failure)
                && seen.answer.as_ref().is_some_and(|a| !a.code.is_empty())
        })
    };
    let of_s3 = |seen: &&Observation| seen.dependency == Dependency::S3;
    let denied = marked(Failure::Denied);
    let login = |seen: &&Observation| seen.dependency == Dependency::EcrDkr;
    [
        (
            Cause::RegistryLoginFailed,
            marked(Failure::Unauthenticated).filter(login).collect(),
        ),
        (
            Cause::S3EndpointPolicyDenies,
            denied.clone().filter(of_s3).collect::<Vec<_>>(),
        ),
        (
            Cause::LayerUnavailable,
            denied
                .clone()
                .chain(marked(Failure::NotFound))
                .filter(of_s3)
                .collect(),
        ),
        (
            Cause::PermissionDenied,
            denied.filter(|seen| !of_s3(seen)).collect(),
        ),
        (Cause::Throttled, marked(Failure::Throttled).collect()),
    ]
    .into_iter()
    .filter_map(|(cause, seen)| Finding::new(cause, Possible, seen))
    .collect()
}

/// A registry outside AWS may be any software, so a bare refusal may be its own.
fn candidates_of_a_registry(ev: Evidence<'_>) -> Vec<Finding> {
    let bare = |failure| {
        ev.foreign_answers().filter(move |seen| {
            seen.dependency == Dependency::Registry
                && seen.speaker == Some(Speaker::Unknown)
                && seen.failure() == Some(failure)
        })
    };
    let refused = bare(Failure::Unauthenticated).chain(bare(Failure::Denied));
    [
        Finding::new(Cause::RegistryLoginFailed, Possible, refused),
        Finding::new(Cause::ImageNotFound, Possible, bare(Failure::NotFound)),
        Finding::new(
            Cause::LayerUnavailable,
            Possible,
            bare(Failure::WrongDigest),
        ),
        Finding::new(
            Cause::RegistryRateLimited,
            Possible,
            bare(Failure::Throttled),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Adds the status and text of the first answer.
fn with_answer(ev: Evidence<'_>, finding: Finding) -> Finding {
    let describe = |seen: &Observation| {
        let status = seen.answer.as_ref().map_or(0, |answer| answer.status);
        match seen.detail.as_str() {
            "" => format!("status {status}"),
            detail if detail.starts_with("status ") => detail.to_owned(),
            detail => format!("status {status}: {detail}"),
        }
    };
    let first = ev
        .foreign_answers()
        .find(|seen| finding.because.first() == Some(&seen.id));
    match first.filter(|_| finding.cause == Cause::AnsweredByIntermediary) {
        Some(seen) => finding.with_detail(&describe(seen)),
        None => finding,
    }
}
