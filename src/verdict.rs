//! The verdict over observations and findings, and the exit code that repeats it.

mod sentence;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Family};
use crate::diagnose::Finding;
use crate::observation::{
    Dependency, Failure, Observation, ObservationId, Outcome, Phase, Starvation, TargetKey,
};
use crate::safe_text::visible_lines;

/// Status of a run, best first. An unchecked dependency may fail, so inconclusive is worse than a
/// warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The task would start.
    Pass,
    /// The task would start, but something is wrong.
    Warn,
    /// Nothing failed, but not everything planned could be checked; or the probe was starved, and
    /// what failed may be due to that.
    Inconclusive,
    /// The task would not start.
    Fail,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        })
    }
}

/// The status of a run, its exit code and one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verdict {
    /// Whether the task would start.
    pub status: Status,
    /// Exit code of the process.
    pub exit_code: u8,
    /// One sentence on which the user can act.
    #[serde(deserialize_with = "visible_lines")]
    pub summary: String,
}

/// Exit code of a run that could not check everything.
pub const INCONCLUSIVE: u8 = 3;
/// Exit code of a warning.
pub const WARN: u8 = 4;

impl Verdict {
    /// Returns `fail` if a planned phase that ECS needs failed, `warn` if something is wrong but
    /// the task would start nevertheless, `inconclusive` if nothing failed but something planned
    /// was not checked, or if the probe was starved and only timeouts failed, else `pass`.
    pub fn over(observations: &[Observation], findings: &[Finding]) -> Self {
        let phases = NeededPhases::of(observations);
        let starvation = observations
            .iter()
            .filter_map(|seen| seen.starvation)
            .find(|starvation| starvation.is_severe());
        // A starved probe has too little time to see an answer, so its timeouts show nothing.
        let proves =
            |observation: &&Observation| starvation.is_none() || !observation.depends_on_time();
        let needed = || {
            phases
                .failed()
                .filter(|observation| !observation.is_optional())
        };
        let first = findings.first();
        let decisive: Vec<_> = needed().filter(proves).collect();
        let failed = cited(first, &decisive).or(decisive.first().copied());
        if let (None, Some(starvation), Some(observation)) = (failed, starvation, needed().next()) {
            return Self {
                status: Status::Inconclusive,
                exit_code: INCONCLUSIVE,
                summary: starved(starvation, observation),
            };
        }
        let optional = phases.failed().next();
        let unchecked = phases.unchecked().next();
        let (status, exit_code, summary) = match (failed, first, unchecked) {
            (Some(observation), Some(first), _) if first.blocking => (
                Status::Fail,
                first.family.exit_code(),
                sentence::of(first, observation),
            ),
            // A failure that no rule explains is still a failure; it counts as one of the network
            // family.
            (Some(observation), _, _) => (
                Status::Fail,
                11,
                format!("The task would not start: {}.", unexplained(observation)),
            ),
            (None, Some(first), _) => (
                Status::Warn,
                WARN,
                format!("The task would start, but {}.", clause(&first.summary)),
            ),
            (None, None, _) if optional.is_some() => {
                let observation = optional.map(unexplained).unwrap_or_default();
                (
                    Status::Warn,
                    WARN,
                    format!("The task would start, but {observation}."),
                )
            }
            (None, None, Some(observation)) => {
                let why = match &observation.outcome {
                    Outcome::NotReached { blocked_by } => format!("blocked by {blocked_by}"),
                    Outcome::NotChecked { why } => why.as_str().to_owned(),
                    _ => String::new(),
                };
                let what = match (observation.dependency, observation.phase) {
                    (Dependency::Credentials, Phase::Authorize) => {
                        "the permissions of the task execution role were".to_owned()
                    }
                    _ => format!("{} was", step(observation)),
                };
                let text = format!("Nothing failed, but {what} not checked ({why}).");
                (Status::Inconclusive, INCONCLUSIVE, text)
            }
            (None, None, None) => (
                Status::Pass,
                0,
                "Everything that the task needs to start works from here.".into(),
            ),
        };
        Self {
            status,
            exit_code,
            summary,
        }
    }
}

/// Returns the failed phase that the finding rests on, so that a sentence does not blame one
/// target's failure on another's cause.
fn cited<'a>(finding: Option<&Finding>, failed: &[&'a Observation]) -> Option<&'a Observation> {
    let because = &finding?.because;
    let cites = |observation: &Observation, same_phase: bool| {
        because.iter().any(|id| {
            &id.target == observation.target() && (!same_phase || id.phase == observation.phase)
        })
    };
    let find = |same_phase| failed.iter().find(|seen| cites(seen, same_phase)).copied();
    find(true).or_else(|| find(false))
}

/// Whether the cause's summary says the same as the failure, but more precisely.
fn restates(cause: Cause, failure: Failure) -> bool {
    match failure {
        Failure::NotFound | Failure::WrongForm | Failure::WrongPlatform | Failure::WrongDigest => {
            matches!(
                cause.family(),
                Family::Image | Family::Secret | Family::Logs | Family::Storage
            )
        }
        Failure::UnknownIssuer
        | Failure::WrongName
        | Failure::ExpiredCertificate
        | Failure::NotYetValidCertificate
        | Failure::Stalled => cause.family() == Family::Tls,
        Failure::NoSuchName => {
            matches!(cause, Cause::NameNotFound | Cause::FileSystemUnreachable)
        }
        Failure::NoAddress => matches!(
            cause,
            Cause::NameNotFound
                | Cause::ResolverFailure
                | Cause::HostWithoutIpv6
                | Cause::FileSystemUnreachable
        ),
        Failure::ServerFailure | Failure::QueryRefused => {
            matches!(cause, Cause::ResolverFailure | Cause::FileSystemUnreachable)
        }
        Failure::Refused | Failure::IcmpUnreachable => cause == Cause::ConnectionRefused,
        Failure::Reset => cause == Cause::ConnectionReset,
        Failure::ExpiredToken => cause == Cause::CredentialsExpired,
        Failure::Unauthenticated | Failure::InvalidSignature => {
            matches!(
                cause,
                Cause::CredentialsInvalid | Cause::RegistryLoginFailed
            )
        }
        Failure::Denied => matches!(
            cause,
            Cause::PermissionDenied | Cause::FileSystemDenied | Cause::RegistryLoginFailed
        ),
        Failure::TooSlow => cause == Cause::ServiceSlow,
        Failure::UnexpectedAnswer => cause == Cause::ServiceUnresponsive,
        _ => false,
    }
}

/// Returns why a failure of a starved probe proves nothing, and what to do.
fn starved(starvation: Starvation, observation: &Observation) -> String {
    format!(
        "This machine was too busy for a verdict: {}, but the probe waited {} ms for a CPU (longest \
         delay {} ms), which may be the reason. Run it again when the machine is less busy.",
        failed_step(observation),
        starvation.waited_ms,
        starvation.late_ms
    )
}

/// Returns what failed if no rule names a cause: step, host and detail.
fn unexplained(observation: &Observation) -> String {
    let detail = observation.detail.as_str().trim_end_matches('.');
    let place = match (observation.host.as_str(), detail) {
        ("", "") => return failed_step(observation),
        (only, "") | ("", only) => only.to_owned(),
        (host, detail) => format!("{host}; {detail}"),
    };
    format!("{} ({place})", failed_step(observation))
}

/// Returns the subject and predicate for a failed phase: `connecting to Amazon S3 timed out`.
fn failed_step(observation: &Observation) -> String {
    let outcome = observation.failure().map_or("failed", Failure::predicate);
    format!("{} {outcome}", step(observation))
}

/// Returns the subject of a sentence about a phase: `connecting to Amazon S3`.
fn step(observation: &Observation) -> String {
    let service = observation.dependency.service();
    match (observation.phase, observation.dependency) {
        (Phase::Resolve, _) => format!("the DNS lookup for {service}"),
        (Phase::Connect, _) => format!("connecting to {service}"),
        (Phase::Handshake, _) => format!("the TLS handshake with {service}"),
        (Phase::Authorize, Dependency::EcrApi) => "GetAuthorizationToken".to_owned(),
        (Phase::Authorize, _) => format!("the login to {service}"),
        (Phase::Manifest, _) => format!("pulling the image manifest from {service}"),
        (Phase::Blob, _) => format!("requesting an image layer from {service}"),
        (Phase::Fetch, _) => format!("downloading from {service}"),
        (Phase::Write, _) => format!("writing to {service}"),
        (Phase::Read, _) => format!("reading from {service}"),
        (Phase::Mount, _) => format!("mounting {service}"),
    }
}

/// Returns a summary as a clause that can follow "because".
fn clause(summary: &str) -> String {
    const DETERMINERS: [&str; 16] = [
        "The",
        "A",
        "An",
        "No",
        "This",
        "That",
        "These",
        "Some",
        "One",
        "Every",
        "Each",
        "Its",
        "Neither",
        "Nothing",
        "Something",
        "There",
    ];
    let summary = summary.trim_end_matches('.');
    let first = summary.split(' ').next().unwrap_or_default();
    if DETERMINERS.contains(&first) {
        format!("{}{}", first.to_lowercase(), &summary[first.len()..])
    } else {
        summary.to_owned()
    }
}

/// The phases that the task needs: one of a target's addresses is enough, but all images and layers
/// are needed.
struct NeededPhases<'a>(
    BTreeMap<(Dependency, &'a TargetKey, Phase, Option<&'a ObservationId>), Vec<&'a Observation>>,
);

impl<'a> NeededPhases<'a> {
    fn of(observations: &'a [Observation]) -> Self {
        let mut phases: BTreeMap<_, Vec<&Observation>> = BTreeMap::new();
        for seen in observations.iter().filter(|seen| is_needed(seen)) {
            let subject = seen.phase.is_exchange().then_some(&seen.id);
            phases
                .entry((seen.dependency, seen.target(), seen.phase, subject))
                .or_default()
                .push(seen);
        }
        Self(phases)
    }

    fn failed(&self) -> impl Iterator<Item = &'a Observation> {
        self.0
            .values()
            .filter(|seen| !seen.iter().any(|s| s.passed()))
            .filter_map(|seen| seen.iter().copied().find(|s| s.failure().is_some()))
    }

    fn unchecked(&self) -> impl Iterator<Item = &'a Observation> {
        self.0
            .values()
            .filter(|seen| !seen.iter().any(|s| s.passed()))
            .filter_map(|seen| {
                seen.iter()
                    .copied()
                    .find(|s| !s.passed() && s.failure().is_none())
            })
    }
}

/// Whether ECS needs the phase. The metadata endpoint and the clock serve only the probe, and no
/// task uses a layer bucket to which the registry does not redirect.
fn is_needed(seen: &Observation) -> bool {
    !matches!(seen.dependency, Dependency::Metadata | Dependency::Clock)
        && seen.superseded_by.is_none()
}
