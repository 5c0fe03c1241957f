//! What services answered: credentials, policies, things that do not exist, limits.
//!
//! Everything here rests on an authenticated answer. A timeout is never a permission.

use std::collections::BTreeSet;

use super::{Confidence, Finding, reference, registry, storage};
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::observation::{Answer, Denial, Dependency, Failure, Observation, Phase, PolicyKind};

use Confidence::{Certain, Likely, Possible};

/// The credentials themselves: none to be had, past their time, or not known to the service that
/// was asked. Only a service that knows no signature of ours can say the latter; one that merely
/// disagrees with the signature may also have been handed an altered request, and one that does not
/// know keys which another service takes is not about the keys alone (a region that the account has
/// not opted in to answers so). A request that arrived without its signature lost it on the way.
/// Keys that only look old by this machine's clock may be good, and the clock wrong, unless
/// services told the time.
pub(super) fn credentials(ev: Evidence<'_>) -> Vec<Finding> {
    let own = |wanted: &'static [Failure]| {
        ev.failed(wanted)
            .filter(|seen| seen.dependency == Dependency::Credentials)
    };
    let signed = |wanted: &'static [Failure]| ev.failed(wanted).filter(|seen| is_signed(seen));
    let unreadable = ev.all().filter(|seen| {
        seen.dependency == Dependency::Credentials
            && seen
                .failure()
                .is_some_and(|f| !matches!(f, Failure::NoCredentials | Failure::ExpiredToken))
    });
    let look_old = own(&[Failure::ExpiredToken]);
    let by_own_clock = if ev.clock_agrees() { Certain } else { Likely };
    let clock_unknown = look_old.clone().filter(|_| {
        ev.of(Phase::Read)
            .all(|seen| seen.dependency != Dependency::Clock || !seen.passed())
    });
    let unsigned = signed(&[Failure::Unauthenticated]).filter(|seen| is_unsigned(seen));
    let unknown_key = signed(&[Failure::Unauthenticated]).filter(|seen| !is_unsigned(seen));
    let taken_elsewhere = ev
        .all()
        .any(|seen| is_signed(seen) && seen.phase.is_exchange() && seen.passed());
    let unknown = if taken_elsewhere { Likely } else { Certain };
    [
        Finding::new(
            Cause::NoCredentials,
            Certain,
            own(&[Failure::NoCredentials]),
        )
        .map(with_detail(ev)),
        Finding::new(Cause::NoCredentials, Likely, unreadable).map(with_detail(ev)),
        Finding::new(Cause::CredentialsExpired, by_own_clock, look_old).map(with_detail(ev)),
        Finding::new(Cause::ClockSkew, Possible, clock_unknown),
        Finding::new(
            Cause::CredentialsExpired,
            Certain,
            signed(&[Failure::ExpiredToken]),
        )
        .map(with_detail(ev)),
        Finding::new(Cause::CredentialsInvalid, unknown, unknown_key).map(with_detail(ev)),
        Finding::new(Cause::CredentialsInvalid, Possible, unsigned.clone()).map(with_detail(ev)),
        Finding::new(Cause::NamePointsElsewhere, Possible, unsigned),
        Finding::new(
            Cause::CredentialsInvalid,
            Likely,
            signed(&[Failure::InvalidSignature]),
        )
        .map(with_detail(ev)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A service that refuses a signature for its time says so. If two do, or its date and another's
/// agree with each other and not with us, it is this machine's clock. If one refuses while another
/// takes our signature, or the dates agree with us, it is more likely that service's. `Date`
/// headers alone are weaker: the task starts as long as no service minds.
pub(super) fn clock_skew(ev: Evidence<'_>) -> Vec<Finding> {
    // Layers and manifests are asked for with what ECR signed, by its clock.
    let refused: Vec<_> = ev
        .failed(&[Failure::ClockSkewed])
        .filter(|seen| is_signed(seen))
        .collect();
    let dates: Vec<_> = ev
        .failed(&[Failure::ClockSkewed])
        .filter(|seen| seen.dependency == Dependency::Clock)
        .collect();
    let two_dates = dates.iter().any(|seen| seen.attempts > 1);
    if refused.is_empty() {
        // One server with a wrong clock of its own would look the same.
        let confidence = if two_dates { Likely } else { Possible };
        return Finding::new(Cause::ClockSkew, confidence, dates)
            .map(Finding::not_blocking)
            .into_iter()
            .collect();
    }
    let taken = ev
        .all()
        .any(|seen| is_signed(seen) && seen.phase.is_exchange() && seen.passed());
    let services: BTreeSet<_> = refused.iter().map(|seen| seen.target()).collect();
    let confidence = if !taken && (services.len() > 1 || two_dates) {
        Certain
    } else {
        Likely
    };
    let finding = Finding::new(
        Cause::ClockSkew,
        confidence,
        refused.into_iter().chain(dates),
    )
    .map(with_detail(ev));
    let alone = taken || ev.clock_agrees();
    let words = "other services agree with this machine's clock: that service's own, or whoever answers for it, is off";
    finding
        .map(|finding| {
            if alone {
                finding.saying(words)
            } else {
                finding
            }
        })
        .into_iter()
        .collect()
}

/// A refusal, by the kind of policy that it names. Where the text names none, S3's refusal of a
/// pre-signed layer is the endpoint's policy (ECR signed the URL, so no policy of the role is
/// asked), unless other layers came through the same bucket; everywhere else the honest answer is
/// that some policy said no.
pub(super) fn denied(ev: Evidence<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in ev
        .failed(&[Failure::Denied])
        .filter(|seen| seen.phase.is_exchange())
    {
        let denial = seen
            .answer
            .as_ref()
            .and_then(|answer| answer.denial.as_ref());
        let layer = seen.dependency == Dependency::S3;
        let of_s3 = layer || seen.dependency == Dependency::EnvironmentFile;
        let elsewhere = storage::denied(seen)
            .or_else(|| registry::refused(seen))
            .or_else(|| reference::undecipherable(seen));
        let candidates = match denial.and_then(|denial| denial.policy) {
            _ if elsewhere.is_some() => elsewhere.unwrap_or_default(),
            Some(policy) => vec![(named(policy, denial, of_s3), Certain)],
            None if layer
                && ev
                    .of(Phase::Fetch)
                    .any(|other| other.passed() && other.host == seen.host) =>
            {
                vec![
                    (Cause::LayerUnavailable, Likely),
                    (Cause::S3EndpointPolicyDenies, Possible),
                ]
            }
            None if layer => vec![
                (Cause::S3EndpointPolicyDenies, Likely),
                (Cause::LayerUnavailable, Possible),
            ],
            None if denial.is_some_and(is_kms) => vec![(Cause::KmsKeyDenies, Certain)],
            None => vec![(Cause::PermissionDenied, Certain)],
        };
        for (cause, confidence) in candidates {
            let known = findings
                .iter_mut()
                .find(|f: &&mut Finding| (f.cause, f.dependency) == (cause, seen.dependency));
            match known {
                Some(known) => *known = known.clone().and([seen]),
                None => findings.extend(
                    Finding::new(cause, confidence, [seen]).map(|f| f.saying(&who_and_what(seen))),
                ),
            }
        }
    }
    findings
}

pub(crate) fn named(policy: PolicyKind, denial: Option<&Denial>, of_s3: bool) -> Cause {
    let explicit = denial.is_some_and(|denial| denial.explicit);
    match policy {
        PolicyKind::Identity if explicit => Cause::IdentityPolicyDenies,
        // The service was allowed and KMS was not: whether role or key has to say so, it is the key
        // that is closed.
        PolicyKind::Identity | PolicyKind::Resource if denial.is_some_and(is_kms) => {
            Cause::KmsKeyDenies
        }
        PolicyKind::Identity => Cause::IdentityPolicyMissingAction,
        PolicyKind::Resource => Cause::ResourcePolicyDenies,
        PolicyKind::VpcEndpoint if of_s3 => Cause::S3EndpointPolicyDenies,
        PolicyKind::VpcEndpoint => Cause::EndpointPolicyDenies,
        PolicyKind::PermissionsBoundary => Cause::PermissionsBoundaryDenies,
        PolicyKind::Session => Cause::SessionPolicyDenies,
        PolicyKind::ServiceControl => Cause::ServiceControlPolicyDenies,
        PolicyKind::ResourceControl => Cause::ResourceControlPolicyDenies,
        PolicyKind::RoleTrust => Cause::RoleNotAssumable,
        PolicyKind::KmsKey => Cause::KmsKeyDenies,
    }
}

fn is_kms(denial: &Denial) -> bool {
    denial
        .action
        .as_deref()
        .is_some_and(|action| action.to_lowercase().starts_with("kms:"))
}

fn who_and_what(seen: &Observation) -> String {
    let Some(denial) = seen
        .answer
        .as_ref()
        .and_then(|answer| answer.denial.as_ref())
    else {
        return String::new();
    };
    let part =
        |word: &str, part: &Option<String>| part.as_ref().map(|part| format!("{word}{part}"));
    let parts = [
        denial.action.clone(),
        part("on ", &denial.resource).filter(|on| on != "on *"),
        part("as ", &denial.principal),
        part("by ", &denial.policy_arn),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The service was asked, knew us, and does not have the thing.
pub(super) fn not_found(ev: Evidence<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let ways = &[
        Failure::NotFound,
        Failure::WrongPlatform,
        Failure::WrongDigest,
        Failure::Unauthenticated,
        Failure::ExpiredToken,
        Failure::InvalidSignature,
        Failure::ClockSkewed,
    ];
    for seen in ev.failed(ways).filter(|seen| !seen.host.is_empty()) {
        for (cause, confidence) in missing(seen) {
            let known = findings.iter_mut().find(|f| {
                (f.cause, f.confidence, f.dependency) == (cause, confidence, seen.dependency)
            });
            if let Some(known) = known {
                *known = known.clone().and([seen]);
                continue;
            }
            let subject = seen.subject.as_deref().unwrap_or_default();
            let words = [subject, &seen.detail]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(": ");
            findings.extend(Finding::new(cause, confidence, [seen]).map(|f| f.saying(&words)));
        }
    }
    findings
}

fn missing(seen: &Observation) -> Vec<(Cause, Confidence)> {
    let elsewhere = storage::missing(seen)
        .or_else(|| registry::refused(seen))
        .or_else(|| reference::missing(seen));
    if let Some(candidates) = elsewhere {
        return candidates;
    }
    let answer = seen.answer.as_ref();
    let code = answer
        .map(|answer| answer.code.as_str())
        .unwrap_or_default();
    let message = answer
        .map(|answer| answer.message.to_lowercase())
        .unwrap_or_default();
    let registry = matches!(seen.dependency, Dependency::EcrDkr | Dependency::Registry);
    let not_taken = matches!(
        seen.failure(),
        Some(
            Failure::Unauthenticated
                | Failure::ExpiredToken
                | Failure::InvalidSignature
                | Failure::ClockSkewed
        )
    );
    match (seen.failure(), seen.phase) {
        (Some(Failure::WrongPlatform), _) => vec![(Cause::PlatformMismatch, Certain)],
        (Some(Failure::WrongDigest), Phase::Manifest) => vec![(Cause::ImageNotFound, Likely)],
        (Some(Failure::WrongDigest), _) => vec![(Cause::LayerUnavailable, Likely)],
        // The registry does not know the token that ECR has just handed out, or wants one that we
        // do not have.
        (Some(Failure::Unauthenticated), _) if seen.dependency == Dependency::EcrDkr => {
            vec![(Cause::RegistryLoginFailed, Certain)]
        }
        // Docker Hub asks whoever is not logged in to log in also for a repository that does not
        // exist.
        (Some(Failure::Unauthenticated), Phase::Manifest) if registry => {
            vec![
                (Cause::RegistryLoginFailed, Likely),
                (Cause::RepositoryNotFound, Possible),
            ]
        }
        _ if not_taken && registry => vec![(Cause::RegistryLoginFailed, Likely)],
        // ECR signed the URL a moment ago: the task's own keys and clock are not in it.
        (_, Phase::Fetch) if not_taken => vec![(Cause::LayerUnavailable, Likely)],
        _ if not_taken => Vec::new(),
        // A JSON service that does not have the thing says so in a code; a bare 404 is somebody
        // else's.
        (_, Phase::Write | Phase::Read) if answer.is_some_and(is_bare) => Vec::new(),
        (_, Phase::Authorize) if registry => vec![(Cause::RegistryLoginFailed, Likely)],
        (_, Phase::Manifest) if code.eq_ignore_ascii_case("NAME_UNKNOWN") => {
            vec![(Cause::RepositoryNotFound, Certain)]
        }
        (_, Phase::Manifest) if code.eq_ignore_ascii_case("MANIFEST_UNKNOWN") => {
            vec![(Cause::ImageNotFound, Certain)]
        }
        (_, Phase::Manifest) => vec![
            (Cause::ImageNotFound, Possible),
            (Cause::RepositoryNotFound, Possible),
        ],
        (_, Phase::Blob | Phase::Fetch) => vec![(Cause::LayerUnavailable, Certain)],
        (_, Phase::Write) => vec![(Cause::LogGroupMissing, Certain)],
        (_, Phase::Read) if seen.dependency == Dependency::Ssm => {
            vec![(Cause::ParameterNotFound, Certain)]
        }
        (_, Phase::Read)
            if code == "VersionMissing"
                || message.contains("staging label")
                || message.contains("versionid") =>
        {
            vec![(Cause::SecretVersionMissing, Certain)]
        }
        (_, Phase::Read) if seen.dependency == Dependency::SecretsManager => {
            vec![(Cause::SecretNotFound, Certain)]
        }
        _ => Vec::new(),
    }
}

/// The secret is there and not of the form that `valueFrom` asks for.
pub(super) fn wrong_form(ev: Evidence<'_>) -> Vec<Finding> {
    let with_code = |code: &'static str| {
        ev.failed(&[Failure::WrongForm])
            .filter(move |seen| seen.answer.as_ref().is_some_and(|a| a.code == code))
    };
    [
        Finding::new(
            Cause::SecretJsonKeyMissing,
            Certain,
            with_code("JsonKeyMissing"),
        )
        .map(with_detail(ev)),
        Finding::new(Cause::SecretNotJson, Certain, with_code("NotJson")).map(with_detail(ev)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Three tries, three times too many requests. Registries other than ECR have a rule of their own.
pub(super) fn rate_limited(ev: Evidence<'_>) -> Vec<Finding> {
    let throttled = ev
        .failed(&[Failure::Throttled])
        .filter(|seen| seen.dependency != Dependency::Registry);
    Finding::new(Cause::Throttled, Certain, throttled)
        .into_iter()
        .collect()
}

/// TLS is proven, and the answer is none that the service gives: a proxy's page, another service, a
/// huge or garbled body.
pub(super) fn not_understood(ev: Evidence<'_>) -> Vec<Finding> {
    let strange = ev
        .failed(&[Failure::UnexpectedAnswer, Failure::TooLarge])
        .filter(|seen| seen.phase.is_exchange() && !seen.host.is_empty());
    // There is nothing to be found or not at `GetAuthorizationToken`, and no service says it
    // without a code.
    let lost = ev.failed(&[Failure::NotFound]).filter(|seen| {
        seen.dependency == Dependency::EcrApi
            || is_signed(seen) && seen.answer.as_ref().is_some_and(is_bare)
    });
    let strange = strange.chain(lost);
    [
        Finding::new(Cause::NamePointsElsewhere, Possible, strange.clone()).map(with_detail(ev)),
        Finding::new(Cause::ServiceUnresponsive, Possible, strange),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A 404 and nothing else.
fn is_bare(answer: &Answer) -> bool {
    answer.status == 404 && answer.code.is_empty()
}

/// "Missing Authentication Token": we signed it.
fn is_unsigned(seen: &Observation) -> bool {
    seen.answer.as_ref().is_some_and(|answer| {
        answer
            .code
            .to_lowercase()
            .starts_with("missingauthenticationtoken")
    })
}

fn is_signed(seen: &Observation) -> bool {
    matches!(
        seen.dependency,
        Dependency::EcrApi
            | Dependency::Logs
            | Dependency::SecretsManager
            | Dependency::Ssm
            | Dependency::EnvironmentFile
    )
}

/// Adds the first observation's own words.
fn with_detail(ev: Evidence<'_>) -> impl Fn(Finding) -> Finding {
    move |finding| {
        let first = finding
            .because
            .first()
            .and_then(|id| ev.all().find(|seen| &seen.id == id));
        match first {
            Some(seen) => finding.saying(&seen.detail),
            None => finding,
        }
    }
}
