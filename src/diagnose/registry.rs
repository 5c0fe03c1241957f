//! Registries other than Amazon ECR: logins and limits.

use super::{Confidence, Finding};
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::observation::{Dependency, Failure, NO_LOGIN, Observation, Phase, RateLimit};

use Confidence::{Certain, Likely, Possible};

type Candidates = Vec<(Cause, Confidence)>;

/// What a registry's "log in first" or "not you" means; none for other dependencies.
///
/// A token service that refuses a login that was presented to it leaves one reading. Whoever comes
/// without a login is sent to get one for a private repository and for one that does not exist
/// alike (Docker Hub, GitHub), and an account without access to a repository is told no more. A
/// layer is served by somebody else, who was asked with a signed URL.
pub(super) fn refused(seen: &Observation) -> Option<Candidates> {
    let not_taken = match seen.failure()? {
        Failure::Unauthenticated => true,
        Failure::Denied => false,
        _ => return None,
    };
    if seen.dependency != Dependency::Registry {
        return None;
    }
    let with_login = seen
        .presented
        .first()
        .is_some_and(|presented| presented != NO_LOGIN);
    Some(match seen.phase {
        Phase::Authorize if with_login && not_taken => vec![(Cause::RegistryLoginFailed, Certain)],
        Phase::Authorize | Phase::Manifest if with_login && !not_taken => {
            vec![
                (Cause::RegistryLoginFailed, Likely),
                (Cause::PermissionDenied, Possible),
            ]
        }
        Phase::Authorize | Phase::Manifest => {
            vec![
                (Cause::RegistryLoginFailed, Likely),
                (Cause::RepositoryNotFound, Possible),
            ]
        }
        _ => vec![
            (Cause::LayerUnavailable, Likely),
            (Cause::RegistryLoginFailed, Possible),
        ],
    })
}

/// Too many requests, in the registry's own words and headers. It answered, so the way there is
/// good.
pub(super) fn rate_limited(ev: Evidence<'_>) -> Vec<Finding> {
    let throttled = ev
        .failed(&[Failure::Throttled])
        .filter(|seen| seen.dependency == Dependency::Registry);
    let limit = throttled
        .clone()
        .find_map(|seen| seen.answer.as_ref()?.rate_limit.clone());
    let words = limit.map(|limit| words(&limit)).unwrap_or_default();
    let finding = Finding::new(Cause::RegistryRateLimited, Certain, throttled);
    finding
        .map(|finding| finding.saying(&words))
        .into_iter()
        .collect()
}

fn words(limit: &RateLimit) -> String {
    let part =
        |word: &str, part: &Option<String>| part.as_ref().map(|part| format!("{word} {part}"));
    let parts = [
        part("limit", &limit.limit),
        part("remaining", &limit.remaining),
        part("counted for", &limit.source),
        part("to be asked again after", &limit.retry_after),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
