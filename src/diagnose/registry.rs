//! Registries other than Amazon ECR: logins and limits.

use super::{Confidence, Finding};
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::observation::{Dependency, Failure, NO_LOGIN, Observation, Phase, RateLimit};
use crate::safe_text::SafeText;

use Confidence::{Certain, Likely, Possible};

type Candidates = Vec<(Cause, Confidence)>;

/// Returns the candidates for a registry's 401 or 403; `None` for other dependencies.
///
/// If a token service refuses a presented login, there is only one explanation. An anonymous puller
/// gets a 401 both for a private repository and for one that does not exist (Docker Hub, GitHub),
/// and so does an account without access to the repository. Layers come from another host, through
/// a signed URL.
pub(super) fn refused(seen: &Observation) -> Option<Candidates> {
    let login_rejected = match seen.failure()? {
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
        Phase::Authorize if with_login && login_rejected => {
            vec![(Cause::RegistryLoginFailed, Certain)]
        }
        Phase::Authorize | Phase::Manifest if with_login && !login_rejected => {
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

/// The registry reports too many requests, in its status and headers. It answered, so the network
/// path works.
pub(super) fn rate_limited(ev: Evidence<'_>) -> Vec<Finding> {
    let throttled = ev
        .refused(&[Failure::Throttled])
        .filter(|seen| seen.dependency == Dependency::Registry);
    let limit = throttled
        .clone()
        .find_map(|seen| seen.answer.as_ref()?.rate_limit.clone());
    let detail = limit.map(|limit| describe(&limit)).unwrap_or_default();
    let finding = Finding::new(Cause::RegistryRateLimited, Certain, throttled);
    finding
        .map(|finding| finding.with_detail(&detail))
        .into_iter()
        .collect()
}

fn describe(limit: &RateLimit) -> String {
    let part =
        |word: &str, part: &Option<SafeText>| part.as_ref().map(|part| format!("{word} {part}"));
    let parts = [
        part("limit", &limit.limit),
        part("remaining", &limit.remaining),
        part("counted for", &limit.source),
        part("retry after", &limit.retry_after),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
