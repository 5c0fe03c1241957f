//! What a task mounts and fetches besides its image: file systems and environment files.

use super::{Confidence, Finding};
use crate::cause::Cause;
use crate::evidence::{Evidence, NetworkPath};
use crate::observation::{Dependency, Failure, Observation, Phase};

use Confidence::{Certain, Likely, Possible};

type Candidates = Vec<(Cause, Confidence)>;

/// A file system's name exists in a VPC only where a mount target stands in the task's Availability
/// Zone (EFS user guide, "Mounting on Amazon EC2 with a DNS name"). If other names resolve, the
/// name server is there and its answer is to be believed; what remains besides is a zone of one's
/// own or a DNS firewall. If none resolves, it is not about this name: see [`super::resolve`].
///
/// A mount target that is silent has a security group of its own, which has to let TCP 2049 in; the
/// task's own group and the network ACLs are the other candidates, and more than that only where
/// nothing else answers either. A refusal comes from something that is no mount target. Once
/// connected, a file server that stays silent, breaks off or says that it is broken is not to be
/// mounted, whatever ails it.
pub(super) fn file_system_unreachable(ev: Evidence<'_>) -> Vec<Finding> {
    let ours =
        |phase, ways: &'static [Failure]| ev.failed(ways).filter(move |seen| is_of(seen, phase));
    let nameless = ours(Phase::Resolve, &[Failure::NoSuchName, Failure::NoAddress])
        .filter(|_| other_names_resolve(ev));
    let silent = ours(Phase::Connect, &[Failure::TimedOut, Failure::Unreachable]);
    let something_answers = [NetworkPath::Private, NetworkPath::S3, NetworkPath::Internet]
        .into_iter()
        .any(|way| !ev.answering(way).is_empty());
    let refused = ours(Phase::Connect, &[Failure::Refused]);
    let mute = ours(Phase::Mount, UNRESPONSIVE);
    let strange = ours(Phase::Mount, &[Failure::UnexpectedAnswer, Failure::Reset]);
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
        Finding::new(Cause::FileSystemUnreachable, Likely, mute.clone()),
        Finding::new(Cause::ServiceUnresponsive, Possible, mute),
        Finding::new(Cause::FileSystemUnreachable, Possible, strange),
    ]
    .into_iter()
    .flatten()
    .map(|finding| {
        match ev
            .all()
            .find(|seen| finding.because.first() == Some(&seen.id))
        {
            Some(seen) => finding.saying(&seen.detail),
            None => finding,
        }
    })
    .collect()
}

/// How a service behaves that is connected and of no use.
pub(super) const UNRESPONSIVE: &[Failure] = &[
    Failure::TimedOut,
    Failure::Stalled,
    Failure::ServiceFailure,
    Failure::Unreachable,
];

/// Whether names besides those of file systems resolve.
pub(super) fn other_names_resolve(ev: Evidence<'_>) -> bool {
    let heard = |seen: &Observation| {
        seen.dependency != Dependency::Efs && seen.passed()
            || seen
                .lookups
                .iter()
                .any(|lookup| lookup.name != seen.host && !lookup.addresses.is_empty())
    };
    ev.of(Phase::Resolve).any(heard)
}

fn is_of(seen: &Observation, phase: Phase) -> bool {
    seen.dependency == Dependency::Efs && seen.phase == phase
}

/// What a refusal by a file system or by S3 means; none for other dependencies, and where S3 names
/// the policy.
///
/// S3 does not tell whoever may not list a bucket that an object is missing: it answers 403 as to a
/// forbidden one. If the words name `s3:ListBucket`, which ECS never asks for, the object is
/// missing and only the right to know it is too. Without words, absent and forbidden cannot be told
/// apart.
pub(super) fn denied(seen: &Observation) -> Option<Candidates> {
    match seen.dependency {
        Dependency::Efs => Some(vec![(Cause::FileSystemDenied, Certain)]),
        Dependency::EnvironmentFile => {
            let denial = seen
                .answer
                .as_ref()
                .and_then(|answer| answer.denial.as_ref());
            let action = denial
                .and_then(|denial| denial.action.as_deref())
                .unwrap_or_default();
            let policy = denial.and_then(|denial| denial.policy);
            if action.eq_ignore_ascii_case("s3:ListBucket") {
                let to_list = policy.map_or(Cause::PermissionDenied, |policy| {
                    super::denied_by(policy, denial, true)
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

/// `arn:aws:s3:::bucket/key`, where `GetBucketLocation` is about the bucket alone.
fn is_object(seen: &Observation) -> bool {
    seen.subject
        .as_ref()
        .is_some_and(|subject| subject.contains('/'))
}

/// What an answer means that something is not there; none for other dependencies. An authenticated
/// service that names object or bucket in its code is sure; a bare 404 may be somebody else's.
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
