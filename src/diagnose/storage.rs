//! File systems and environment files, which a task may need in addition to its image.

use super::{Confidence, Finding};
use crate::cause::Cause;
use crate::evidence::{Evidence, NetworkPath};
use crate::observation::{Dependency, Failure, Observation, Phase};

use Confidence::{Certain, Likely, Possible};

type Candidates = Vec<(Cause, Confidence)>;

/// A file system's name exists in a VPC only if there is a mount target in the task's Availability
/// Zone (EFS user guide, "Mounting on Amazon EC2 with a DNS name"). If other names resolve, the
/// resolver works and its answer is credible; the only other explanations are a private hosted zone
/// and a DNS firewall. If no name resolves, the fault is not specific to this name: see
/// [`super::resolve`].
///
/// A silent mount target has its own security group, which must allow inbound TCP 2049. The task's
/// security group and the network ACLs are the other candidates; there are more only if nothing
/// else answers either. A refusal comes from a host that is not a mount target. A file server that
/// accepts the connection and then stays silent, closes it or reports an error cannot be mounted,
/// whatever the reason.
pub(super) fn file_system_unreachable(ev: Evidence<'_>) -> Vec<Finding> {
    let of_efs =
        |phase, ways: &'static [Failure]| ev.failed(ways).filter(move |seen| is_of(seen, phase));
    let nameless = of_efs(Phase::Resolve, &[Failure::NoSuchName, Failure::NoAddress])
        .filter(|_| other_names_resolve(ev));
    let silent = of_efs(Phase::Connect, &[Failure::TimedOut, Failure::Unreachable]);
    let something_answers = [NetworkPath::Private, NetworkPath::S3, NetworkPath::Internet]
        .into_iter()
        .any(|path| !ev.answering(path).is_empty());
    let refused = of_efs(
        Phase::Connect,
        &[Failure::Refused, Failure::IcmpUnreachable],
    );
    let unresponsive = of_efs(Phase::Mount, UNRESPONSIVE);
    let strange = of_efs(Phase::Mount, &[Failure::UnexpectedAnswer, Failure::Reset]);
    [
        Finding::new(Cause::FileSystemUnreachable, Likely, nameless.clone()),
        Finding::new(Cause::NameNotFound, Possible, nameless),
        Finding::new(
            Cause::FileSystemUnreachable,
            if something_answers { Likely } else { Possible },
            silent,
        ),
        Finding::new(Cause::FileSystemUnreachable, Likely, refused.clone()),
        Finding::new(Cause::ConnectionRefused, Possible, refused),
        Finding::new(Cause::FileSystemUnreachable, Likely, unresponsive.clone()),
        Finding::new(Cause::ServiceUnresponsive, Possible, unresponsive),
        Finding::new(Cause::FileSystemUnreachable, Possible, strange),
    ]
    .into_iter()
    .flatten()
    .map(|finding| {
        match ev
            .all()
            .find(|seen| finding.because.first() == Some(&seen.id))
        {
            Some(seen) => finding.with_detail(&seen.detail),
            None => finding,
        }
    })
    .collect()
}

/// Failures after a connection that show an unresponsive server.
pub(super) const UNRESPONSIVE: &[Failure] = &[
    Failure::TimedOut,
    Failure::Stalled,
    Failure::ServiceFailure,
    Failure::Unreachable,
    Failure::IcmpUnreachable,
];

/// Whether any name other than a file system's resolves.
pub(super) fn other_names_resolve(ev: Evidence<'_>) -> bool {
    let resolves = |seen: &Observation| {
        seen.dependency != Dependency::Efs && seen.passed()
            || seen
                .lookups
                .iter()
                .any(|lookup| lookup.name != seen.host && !lookup.addresses.is_empty())
    };
    ev.of(Phase::Resolve).any(resolves)
}

fn is_of(seen: &Observation, phase: Phase) -> bool {
    seen.dependency == Dependency::Efs && seen.phase == phase
}

/// Returns the candidates for a refusal by a file system or by S3. Returns `None` for other
/// dependencies, and if S3 names the policy.
///
/// S3 does not tell a caller without `s3:ListBucket` that an object is missing: it answers 403, as
/// for a forbidden object. If the message names `s3:ListBucket`, which ECS never calls, both the
/// object and the permission to learn that are missing. Without a message, absent and forbidden
/// cannot be distinguished.
pub(super) fn denied(seen: &Observation) -> Option<Candidates> {
    match seen.dependency {
        Dependency::Efs => Some(vec![(Cause::FileSystemDenied, Certain)]),
        Dependency::EnvironmentFile => {
            let denial = seen.denial();
            let action = denial
                .and_then(|denial| denial.action.as_deref())
                .unwrap_or_default();
            let policy = denial.and_then(|denial| denial.policy);
            if action.eq_ignore_ascii_case("s3:ListBucket") {
                let to_list = policy.map_or(Cause::PermissionDenied, |policy| {
                    super::denying_cause(policy, denial, true)
                });
                return Some(vec![
                    (Cause::EnvironmentFileMissing, Likely),
                    (to_list, Possible),
                ]);
            }
            let unsaid = policy.is_none() && is_object(seen);
            unsaid.then(|| {
                vec![
                    (Cause::PermissionDenied, Possible),
                    (Cause::EnvironmentFileMissing, Possible),
                ]
            })
        }
        _ => None,
    }
}

/// Whether the subject is an object, `arn:aws:s3:::bucket/key`; that of `GetBucketLocation` is a
/// bucket.
fn is_object(seen: &Observation) -> bool {
    seen.subject
        .as_ref()
        .is_some_and(|subject| subject.contains('/'))
}

/// Returns the candidates for a not-found answer; `None` for other dependencies. An error code that
/// names the object or bucket makes it certain; a bare 404 may come from another server.
pub(super) fn missing(seen: &Observation) -> Option<Candidates> {
    if seen.dependency != Dependency::EnvironmentFile {
        return None;
    }
    let code = seen
        .answer
        .as_ref()
        .map(|answer| answer.code.as_str())
        .unwrap_or_default();
    Some(match seen.failure() {
        Some(Failure::NotFound) if code.starts_with("NoSuch") => {
            vec![(Cause::EnvironmentFileMissing, Certain)]
        }
        Some(Failure::NotFound) => {
            vec![
                (Cause::EnvironmentFileMissing, Likely),
                (Cause::NamePointsElsewhere, Possible),
            ]
        }
        _ => Vec::new(),
    })
}
