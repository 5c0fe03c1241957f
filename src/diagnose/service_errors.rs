//! Errors that services return: credentials, policies, missing resources, limits.
//!
//! Every rule here needs an authenticated answer. A timeout is never reported as a permission
//! problem.

use std::collections::BTreeSet;

use super::resolve::{SLOW_ANSWER_MS, seconds};
use super::{Confidence, Finding, reference, registry, storage};
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::observation::{
    Answer, Denial, Dependency, Failure, ImageDeployment, Observation, Phase, PolicyKind,
};
use crate::reference::Reference;
use crate::safe_text::SafeText;

use Confidence::{Certain, Likely, Possible};

/// The credentials are missing, expired, or unknown to the service. Only services that reject all
/// of the probe's signatures prove the last. A service that finds a signature wrong may have
/// received an altered request, and one that does not know keys which another service accepts may
/// have another reason (a Region that the account has not opted in to answers like that). A request
/// that arrived without its signature lost it on the path. Keys that only look expired by this
/// machine's clock may be valid and the clock wrong, unless services sent their time.
pub(super) fn credentials(ev: Evidence<'_>) -> Vec<Finding> {
    let own = |failures: &'static [Failure]| {
        ev.failed(failures)
            .filter(|seen| seen.dependency == Dependency::Credentials)
    };
    let signed = |failures: &'static [Failure]| ev.refused(failures).filter(|seen| is_signed(seen));
    let unreadable = ev.all().filter(|seen| {
        seen.dependency == Dependency::Credentials
            && seen
                .failure()
                .is_some_and(|f| !matches!(f, Failure::NoCredentials | Failure::ExpiredToken))
    });
    let look_expired = own(&[Failure::ExpiredToken]);
    let by_own_clock = if ev.clock_agrees() { Certain } else { Likely };
    let clock_unknown = look_expired.clone().filter(|_| {
        ev.of(Phase::Read)
            .all(|seen| seen.dependency != Dependency::Clock || !seen.passed())
    });
    let unsigned = signed(&[Failure::Unauthenticated]).filter(|seen| is_unsigned(seen));
    let unknown_key = signed(&[Failure::Unauthenticated]).filter(|seen| !is_unsigned(seen));
    let accepted_elsewhere = ev.all().any(is_accepted_signature);
    let unknown = if accepted_elsewhere { Likely } else { Certain };
    [
        Finding::new(
            Cause::NoCredentials,
            Certain,
            own(&[Failure::NoCredentials]),
        )
        .map(and_detail(ev)),
        Finding::new(Cause::NoCredentials, Likely, unreadable).map(and_detail(ev)),
        Finding::new(Cause::CredentialsExpired, by_own_clock, look_expired).map(and_detail(ev)),
        Finding::new(Cause::ClockSkew, Possible, clock_unknown),
        Finding::new(
            Cause::CredentialsExpired,
            unknown,
            signed(&[Failure::ExpiredToken]),
        )
        .map(and_detail(ev)),
        Finding::new(Cause::CredentialsInvalid, unknown, unknown_key).map(and_detail(ev)),
        Finding::new(Cause::CredentialsInvalid, Possible, unsigned.clone()).map(and_detail(ev)),
        Finding::new(Cause::NamePointsElsewhere, Possible, unsigned),
        Finding::new(
            Cause::CredentialsInvalid,
            Likely,
            signed(&[Failure::InvalidSignature]),
        )
        .map(and_detail(ev)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The credentials endpoint is on the same host and answers within milliseconds. The SDKs wait for
/// it, and ECS starts a task without it, so a slow one is only a warning.
pub(super) fn credentials_slow(ev: Evidence<'_>) -> Vec<Finding> {
    let slow = ev.all().filter(|seen| {
        seen.dependency == Dependency::Credentials
            && seen.passed()
            && seen.elapsed_ms >= SLOW_ANSWER_MS
    });
    let detail = slow.clone().next().map(|seen| {
        let time = seconds(seen.elapsed_ms);
        format!("the credentials endpoint answered after {time}")
    });
    Finding::new(Cause::ServiceSlow, Likely, slow)
        .map(|mut finding| {
            "Find out why the ECS agent on this host is slow; the task's own start does not need it."
                .clone_into(&mut finding.remedy);
            finding
                .with_detail(&detail.unwrap_or_default())
                .not_blocking()
        })
        .into_iter()
        .collect()
}

/// A service that rejects a signature because of its time says so. If two do, or their `Date`
/// headers agree with each other and not with this machine, this machine's clock is wrong. If one
/// service rejects a signature while another accepts one, or the dates agree with this machine,
/// that service's clock is more likely to be wrong. `Date` headers alone are weaker evidence: the
/// task starts as long as no service rejects a request.
pub(super) fn clock_skew(ev: Evidence<'_>) -> Vec<Finding> {
    // Layers and manifests are requested with tokens and URLs that ECR issued by its own clock.
    let refused: Vec<_> = ev
        .refused(&[Failure::ClockSkewed])
        .filter(|seen| is_signed(seen))
        .collect();
    let dates: Vec<_> = ev
        .failed(&[Failure::ClockSkewed])
        .filter(|seen| seen.dependency == Dependency::Clock)
        .collect();
    let two_dates = dates.iter().any(|seen| seen.attempts > 1);
    if refused.is_empty() {
        // One server with a wrong clock would look the same.
        let confidence = if two_dates { Likely } else { Possible };
        return Finding::new(Cause::ClockSkew, confidence, dates)
            .map(Finding::not_blocking)
            .into_iter()
            .collect();
    }
    let accepted = ev.all().any(is_accepted_signature);
    let services: BTreeSet<_> = refused.iter().map(|seen| seen.target()).collect();
    let confidence = if !accepted && (services.len() > 1 || two_dates) {
        Certain
    } else {
        Likely
    };
    let finding = Finding::new(
        Cause::ClockSkew,
        confidence,
        refused.into_iter().chain(dates),
    )
    .map(and_detail(ev));
    let only_this_service = accepted || ev.clock_agrees();
    let detail = "other services agree with this machine's clock; the clock of that service, or of a proxy answering for it, is wrong";
    finding
        .map(|finding| {
            if only_this_service {
                finding.with_detail(detail)
            } else {
                finding
            }
        })
        .into_iter()
        .collect()
}

/// A refusal, classified by the kind of policy that it names. If the message names none, S3's
/// refusal of a pre-signed layer is the endpoint policy's (ECR signed the URL, so the role's
/// policies do not apply), unless other layers came from the same bucket; everywhere else, the
/// honest answer is that some policy denies.
pub(super) fn denied(ev: Evidence<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in ev
        .refused(&[Failure::Denied])
        .filter(|seen| seen.phase.is_exchange())
    {
        let denial = seen.denial();
        let layer = seen.dependency == Dependency::S3;
        let of_s3 = layer || seen.dependency == Dependency::EnvironmentFile;
        let by_other_rule = storage::denied(seen)
            .or_else(|| registry::refused(seen))
            .or_else(|| reference::not_decrypted(seen));
        let candidates = match denial.and_then(|denial| denial.policy) {
            _ if by_other_rule.is_some() => by_other_rule.unwrap_or_default(),
            Some(policy) => vec![(denying_cause(policy, denial, of_s3), Certain)],
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
                    Finding::new(cause, confidence, [seen])
                        .map(|f| f.with_detail(&denied_request(seen))),
                ),
            }
        }
    }
    findings
}

pub(crate) fn denying_cause(policy: PolicyKind, denial: Option<&Denial>, of_s3: bool) -> Cause {
    let explicit = denial.is_some_and(|denial| denial.explicit);
    match policy {
        PolicyKind::Identity if explicit => Cause::IdentityPolicyDenies,
        // The service call was allowed and the KMS call was not. Whether the role or the key policy
        // must allow it, the key blocks.
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

fn denied_request(seen: &Observation) -> String {
    let Some(denial) = seen.denial() else {
        return String::new();
    };
    let part =
        |word: &str, part: &Option<SafeText>| part.as_ref().map(|part| format!("{word}{part}"));
    let parts = [
        part("", &denial.action),
        part("on ", &denial.resource).filter(|on| on != "on *"),
        part("as ", &denial.principal),
        part("by ", &denial.policy_arn),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The service accepted the request's credentials and does not have the resource.
pub(super) fn not_found(ev: Evidence<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let failures = &[
        Failure::NotFound,
        Failure::WrongPlatform,
        Failure::WrongDigest,
        Failure::WrongForm,
        Failure::Unauthenticated,
        Failure::ExpiredToken,
        Failure::InvalidSignature,
        Failure::ClockSkewed,
    ];
    for seen in ev.refused(failures).filter(|seen| !seen.host.is_empty()) {
        for (cause, confidence) in missing(seen) {
            let known = findings.iter_mut().find(|f| {
                (f.cause, f.confidence, f.dependency) == (cause, confidence, seen.dependency)
            });
            if let Some(known) = known {
                *known = known.clone().and([seen]);
                continue;
            }
            let subject = seen.subject.as_deref().unwrap_or_default();
            let detail = [subject, &seen.detail]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(": ");
            findings
                .extend(Finding::new(cause, confidence, [seen]).map(|f| f.with_detail(&detail)));
        }
    }
    for finding in &mut findings {
        if finding.cause == Cause::ImageNotFound && tag_works(ev, finding) {
            finding.remedy = DEPLOY_AGAIN.into();
        }
    }
    findings
}

/// Remedy for a digest that no longer exists while the tag can be pulled.
const DEPLOY_AGAIN: &str = "Deploy the service again, which resolves the tag to the image that it names \
    now: aws ecs update-service --cluster CLUSTER --service SERVICE --force-new-deployment. Amazon ECS \
    pins the digest that the tag had at the last deployment, so let no lifecycle rule remove images in use";

/// Whether a service's current deployment pins every missing image, and the tag in its repository
/// can be pulled.
fn tag_works(ev: Evidence<'_>, finding: &Finding) -> bool {
    let repository = |seen: &Observation| {
        let subject = seen.subject.as_deref()?;
        let image: Reference = subject.parse().ok()?;
        Some((image.host(), image.repository))
    };
    let works = |missing: &Observation| {
        ev.of(Phase::Manifest).any(|seen| {
            seen.passed()
                && seen.deployment == Some(ImageDeployment::Next)
                && repository(seen) == repository(missing)
        })
    };
    finding
        .because
        .iter()
        .filter_map(|id| ev.all().find(|seen| &seen.id == id))
        .all(|seen| seen.deployment == Some(ImageDeployment::Current) && works(seen))
}

fn missing(seen: &Observation) -> Vec<(Cause, Confidence)> {
    let by_other_rule = storage::missing(seen)
        .or_else(|| registry::refused(seen))
        .or_else(|| reference::missing(seen));
    if let Some(candidates) = by_other_rule {
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
    let login_rejected = matches!(
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
        (Some(Failure::WrongForm), Phase::Manifest) => vec![(Cause::TooManyLayers, Likely)],
        // `wrong_form` decides whether a secret has the required form.
        (Some(Failure::WrongForm), _) => Vec::new(),
        (Some(Failure::WrongDigest), Phase::Manifest) => vec![(Cause::ImageNotFound, Likely)],
        (Some(Failure::WrongDigest), _) => vec![(Cause::LayerUnavailable, Likely)],
        // The registry rejects the token that ECR has just issued, or requires one that the probe
        // does not have.
        (Some(Failure::Unauthenticated), _) if seen.dependency == Dependency::EcrDkr => {
            vec![(Cause::RegistryLoginFailed, Certain)]
        }
        // Docker Hub also asks an anonymous puller to log in if the repository does not exist.
        (Some(Failure::Unauthenticated), Phase::Manifest) if registry => {
            vec![
                (Cause::RegistryLoginFailed, Likely),
                (Cause::RepositoryNotFound, Possible),
            ]
        }
        _ if login_rejected && registry => vec![(Cause::RegistryLoginFailed, Likely)],
        // ECR signed the URL a moment ago: the task's keys and clock are not involved.
        (_, Phase::Fetch) if login_rejected => vec![(Cause::LayerUnavailable, Likely)],
        _ if login_rejected => Vec::new(),
        // An AWS JSON service reports a missing resource with an error code; a bare 404 comes from
        // another server.
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

/// `answer.code` of a secret that was stored as binary.
const BINARY: &str = "SecretBinary";

/// The secret exists but does not have the form that `valueFrom` requires.
pub(super) fn wrong_form(ev: Evidence<'_>) -> Vec<Finding> {
    let with_code = |code: &'static str| {
        ev.refused(&[Failure::WrongForm])
            .filter(move |seen| seen.answer.as_ref().is_some_and(|a| a.code == code))
    };
    // Without a JSON key, the ECS agent passes on an empty value, so the task starts.
    let empty = ev
        .of(Phase::Read)
        .filter(|seen| seen.passed() && seen.answer.as_ref().is_some_and(|a| a.code == BINARY));
    [
        Finding::new(Cause::SecretIsBinary, Certain, with_code(BINARY)).map(and_detail(ev)),
        Finding::new(Cause::SecretIsBinary, Certain, empty).map(Finding::not_blocking),
        Finding::new(
            Cause::SecretJsonKeyMissing,
            Certain,
            with_code("JsonKeyMissing"),
        )
        .map(and_detail(ev)),
        Finding::new(Cause::SecretNotJson, Certain, with_code("NotJson")).map(and_detail(ev)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The service throttled all three tries. Registries other than ECR have their own rule.
pub(super) fn rate_limited(ev: Evidence<'_>) -> Vec<Finding> {
    let throttled = ev
        .refused(&[Failure::Throttled])
        .filter(|seen| seen.dependency != Dependency::Registry);
    Finding::new(Cause::Throttled, Certain, throttled)
        .into_iter()
        .collect()
}

/// TLS is verified, and the answer is not one that the service gives: the body is huge or garbled,
/// or another service's. Answers known to be an intermediary's have their own rule, and what the
/// service itself sent does not come from elsewhere.
pub(super) fn not_understood(ev: Evidence<'_>) -> Vec<Finding> {
    let unexpected = ev
        .refused(&[Failure::UnexpectedAnswer, Failure::TooLarge])
        .filter(|seen| seen.phase.is_exchange() && !seen.host.is_empty());
    // `GetAuthorizationToken` names no resource that could be missing, and no service reports one
    // without an error code.
    let bare = ev.refused(&[Failure::NotFound]).filter(|seen| {
        seen.dependency == Dependency::EcrApi
            || is_signed(seen) && seen.answer.as_ref().is_some_and(is_bare)
    });
    let unexpected = unexpected.chain(bare);
    let elsewhere = unexpected.clone().filter(|seen| seen.speaker.is_none());
    [
        Finding::new(Cause::NamePointsElsewhere, Possible, elsewhere.clone()).map(and_detail(ev)),
        Finding::new(Cause::AnsweredByIntermediary, Possible, elsewhere),
        Finding::new(Cause::ServiceUnresponsive, Possible, unexpected).map(and_detail(ev)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The stream was created, but the first event is not in it. Either CloudWatch Logs rejected the
/// event because of its timestamp, which is this machine's time, or the stream was deleted twice.
/// The driver creates the stream before the container starts and does not look at its events, so
/// the task starts.
pub(super) fn event_not_written(ev: Evidence<'_>) -> Vec<Finding> {
    let with_code = |code: &'static str| {
        let has_code = move |answer: &Answer| answer.code == code;
        ev.of(Phase::Write)
            .filter(move |seen| seen.passed() && seen.answer.as_ref().is_some_and(has_code))
    };
    [
        Finding::new(Cause::ClockSkew, Possible, with_code("RejectedLogEvents")),
        Finding::new(
            Cause::LogStreamMissing,
            Certain,
            with_code("ResourceNotFoundException"),
        ),
    ]
    .into_iter()
    .flatten()
    .map(and_detail(ev))
    .map(Finding::not_blocking)
    .collect()
}

/// Whether the answer is a 404 without an error code.
fn is_bare(answer: &Answer) -> bool {
    answer.status == 404 && answer.code.is_empty()
}

/// Whether the service reports a missing authentication token, although the request was signed.
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

/// Whether the service accepted a signature of the probe.
fn is_accepted_signature(seen: &Observation) -> bool {
    is_signed(seen) && seen.phase.is_exchange() && seen.passed() && seen.is_of_the_service()
}

/// Adds the detail of the first observation.
fn and_detail(ev: Evidence<'_>) -> impl Fn(Finding) -> Finding {
    move |finding| {
        let first = finding
            .because
            .first()
            .and_then(|id| ev.all().find(|seen| &seen.id == id));
        match first {
            Some(seen) => finding.with_detail(&seen.detail),
            None => finding,
        }
    }
}
