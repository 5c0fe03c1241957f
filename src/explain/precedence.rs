//! Chooses the strongest of a message's signs, and the family that it stands for.

use super::fields::{Fields, is_link_local};
use super::lexicon::Match;
use super::normalize::NormalizedText;
use super::refusal::Refusal;
use super::sign::Sign;
use super::step::Step;
use crate::cause::Family;

/// From this number of attempts on, the failure was transient: the agent makes 3 attempts for
/// Amazon ECR and 5 for Secrets Manager and Parameter Store, but only one if a service returned an
/// error (docs/facts/message-corpus.md#3).
const MIN_ATTEMPTS_IF_TRANSIENT: u32 = 3;

/// Failures of the network path. The first that is present counts: it is the closest to the wire.
const PATH_FAILURES: [Sign; 12] = [
    Sign::ProxyAnswered,
    Sign::ConnectionRefused,
    Sign::Unreachable,
    Sign::ConnectionReset,
    Sign::Stalled,
    Sign::TooSlow,
    Sign::TimedOut,
    Sign::NoResponse,
    Sign::CorruptLayer,
    Sign::ForeignResponse,
    Sign::ConnectionIssue,
    Sign::Canceled,
];

/// Failures of TLS, the most specific first.
const TLS_FAILURES: [Sign; 6] = [
    Sign::NotTls,
    Sign::UnknownIssuer,
    Sign::WrongName,
    Sign::OutsideValidity,
    Sign::HandshakeStalled,
    Sign::TlsFailure,
];

/// Returns the rank of a sign among the failures before the task has a role and a network
/// interface, so before any request is sent; `None` for other signs.
const fn early_rank(sign: Sign) -> Option<u8> {
    match sign {
        Sign::RoleNotAssumable => Some(0),
        Sign::NoCredentials => Some(1),
        Sign::NoFreeAddress => Some(2),
        // These two only wrap another reason.
        Sign::NotPlaced(Refusal::NoInstanceFits | Refusal::NotLaunched) => Some(5),
        Sign::NotPlaced(_) => Some(3),
        Sign::CapacityUnavailable
        | Sign::NetworkInterfaceNotCreated
        | Sign::NetworkInterfaceFailed => Some(4),
        _ => None,
    }
}

/// Returns the failure before any request that the text shows.
fn early_failure(matches: &[Match], context: &SignContext<'_>) -> Option<Sign> {
    let names_denied_call = context.fields.denied_action().is_some();
    let is_early = |sign: &Sign| match sign {
        Sign::NotPlaced(Refusal::DeniedByEc2) => {
            context.step == Step::NetworkInterface && !names_denied_call
        }
        Sign::NotPlaced(Refusal::NotLaunched) => !names_denied_call,
        _ => true,
    };
    matches
        .iter()
        .filter_map(|found| found.sign)
        .filter(is_early)
        .filter_map(|sign| Some((early_rank(sign)?, sign)))
        .min()
        .map(|(_, sign)| sign)
}

/// Signs that are more specific than a denial.
const STRONGER_THAN_DENIAL: [Sign; 12] = [
    Sign::ClockSkewed,
    Sign::CredentialsExpired,
    Sign::CredentialsInvalid,
    Sign::RegistryTokenExpired,
    Sign::RateLimited,
    Sign::Throttled,
    Sign::VersionMissing,
    Sign::JsonKeyMissing,
    Sign::NotJson,
    Sign::ParameterMissing,
    Sign::InvalidValueFrom,
    Sign::LogGroupMissing,
];

/// Signs that are less specific than a denial.
const WEAKER_THAN_DENIAL: [Sign; 13] = [
    Sign::SecretMissing,
    Sign::WrongDigest,
    Sign::WrongPlatform,
    Sign::NotExecutable,
    Sign::RepositoryMissing,
    Sign::ManifestMissing,
    Sign::MissingOrPrivate,
    Sign::InvalidReference,
    Sign::Forbidden,
    Sign::LoginFailed,
    Sign::DiskFull,
    Sign::ObjectMissing,
    Sign::ServiceFailure,
];

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageSource {
    /// An application's own log, without a wrapper of ECS.
    AppLog,
    /// A task's start: it has wording of ECS or its agents, or a host that only they contact.
    TaskStart,
    /// The text does not show which.
    Unclear,
}

/// What decides besides the phrases.
#[derive(Debug, Clone, Copy)]
pub struct SignContext<'a> {
    /// The message.
    pub text: &'a NormalizedText,
    /// Its fields.
    pub fields: &'a Fields,
    /// Where it comes from.
    pub source: MessageSource,
    /// The step that failed.
    pub step: Step,
    /// Whether the registry host is meant to be one of Amazon ECR, but is malformed.
    pub malformed_ecr_host: bool,
}

/// Whether one of the phrases has this sign.
pub fn has(matches: &[Match], sign: Sign) -> bool {
    matches.iter().any(|found| found.sign == Some(sign))
}

/// Returns the first of `signs` that one of the phrases has.
fn first_present(matches: &[Match], signs: &[Sign]) -> Option<Sign> {
    signs.iter().copied().find(|sign| has(matches, *sign))
}

/// Returns the strongest sign: the one closest to the wire.
///
/// A response proves that there was no timeout, but messages are cut and concatenated, and even
/// then a timeout must never be reported as a permission problem. So a failure of the path outranks
/// every response.
///
/// Returns `None` for a text that does not come from a task's start: timeouts and denials occur in
/// the log of every application.
pub fn strongest(matches: &[Match], context: &SignContext<'_>) -> Option<Sign> {
    let path = path_failure(matches, context);
    match context.source {
        MessageSource::AppLog => None,
        MessageSource::Unclear => {
            // These are complete AWS error messages, which do not mention a task's start: that a
            // policy denies an action, or that calls are throttled.
            let denied = has(matches, Sign::Denied)
                && ["becauseno", "explicitdeny"]
                    .iter()
                    .any(|clause| context.text.dense.contains(clause));
            let throttled = has(matches, Sign::Throttled).then_some(Sign::Throttled);
            denied
                .then_some(Sign::Denied)
                .or(throttled)
                .filter(|_| path.is_none())
        }
        MessageSource::TaskStart => {
            let early = early_failure(matches, context);
            // The agent answers at a link-local address, with the credentials of a role.
            let is_of_agent = context
                .fields
                .dial
                .as_ref()
                .is_some_and(|dial| is_link_local(dial.value));
            let path = path.map(|sign| {
                if is_of_agent {
                    Sign::NoCredentials
                } else {
                    sign
                }
            });
            // The peers of the container's own process are not dependencies of the start.
            if context.step == Step::ContainerStart && path.is_some() {
                early
            } else {
                early.or(path).or_else(|| response(matches, context))
            }
        }
    }
}

/// Returns the failure of DNS, connection or TLS that the text shows, whatever its source.
pub fn path_failure(matches: &[Match], context: &SignContext<'_>) -> Option<Sign> {
    let first = |signs: &[Sign]| first_present(matches, signs);
    // ECS writes "connection issue" and "check your network" only if there was no response; its
    // messages about errors that a service returned kept the older wording.
    let connection =
        first(&PATH_FAILURES).filter(|sign| *sign != Sign::Canceled || is_canceled_pull(context));
    if context.step == Step::FileSystem {
        let failed =
            first(&[Sign::MountFailed, Sign::NoSuchName, Sign::ResolverFailed]).or(connection);
        let denied = || first(&[Sign::Denied]).map(|_| Sign::MountDenied);
        return first(&[Sign::MountDenied, Sign::DirectoryMissing])
            .or(failed.map(|_| Sign::MountFailed))
            .or_else(denied);
    }
    if let Some(sign) = first(&[Sign::NoSuchName, Sign::ResolverFailed]) {
        return Some(sign);
    }
    let not_reached = first(&[Sign::TimedOut, Sign::ConnectionRefused, Sign::Unreachable]);
    if context.fields.lookup.is_some() && not_reached.is_some() && context.fields.dial.is_none() {
        return Some(Sign::ResolverSilent);
    }
    if let Some(sign) = first(&TLS_FAILURES) {
        return Some(sign);
    }
    // ECS kills its helper processes at their deadline. A container's own process is killed for
    // other reasons.
    let is_helper = !matches!(
        context.step,
        Step::ImageManifest | Step::ImageLayer | Step::ContainerStart
    ) || context.text.dense.contains("resourceinitialization");
    let killed = || first(&[Sign::HelperKilled]).filter(|_| is_helper);
    let status = context.fields.status.as_ref().map(|status| status.value);
    let sign = connection
        .or_else(killed)
        .or_else(|| (status == Some(0)).then_some(Sign::NoResponse))?;
    Some(if context.malformed_ecr_host {
        Sign::InvalidReference
    } else {
        sign
    })
}

/// Whether "context canceled" is about a request of the pull, and not about unpacking a layer or
/// stopping the task.
fn is_canceled_pull(context: &SignContext<'_>) -> bool {
    matches!(context.step, Step::ImageManifest | Step::ImageLayer)
        && !context.text.dense.contains("extractlayer")
}

/// Returns the strongest sign of what a service or registry returned.
fn response(matches: &[Match], context: &SignContext<'_>) -> Option<Sign> {
    let first = |signs: &[Sign]| first_present(matches, signs);
    let SignContext { fields, step, .. } = *context;
    let of_secrets = || {
        first(&[Sign::KmsKeyUnusable, Sign::InvalidInput, Sign::InvalidJson])
            .filter(|_| step == Step::Secrets)
    };
    if let Some(sign) = first(&STRONGER_THAN_DENIAL).or_else(of_secrets) {
        return Some(sign);
    }
    if fields.denial.is_some() || has(matches, Sign::Denied) {
        return Some(Sign::Denied);
    }
    let is_blob_request = step == Step::ImageManifest && context.text.dense.contains("/blobs/");
    if is_blob_request && first(&[Sign::Forbidden, Sign::UnexpectedStatus]).is_some() {
        return Some(Sign::DigestRefused);
    }
    if let Some(sign) = first(&WEAKER_THAN_DENIAL) {
        return Some(sign);
    }
    let is_pull = matches!(step, Step::ImageManifest | Step::ImageLayer);
    let names_resource = is_pull
        || matches!(
            step,
            Step::Secrets | Step::LogDriver | Step::EnvironmentFile
        );
    let unspecific = first(&[Sign::RegistryDenied]).filter(|_| is_pull);
    if let Some(sign) = unspecific.or_else(|| first(&[Sign::NotFound]).filter(|_| names_resource)) {
        return Some(sign);
    }
    let is_transient = fields
        .attempts
        .as_ref()
        .is_some_and(|attempts| attempts.value >= MIN_ATTEMPTS_IF_TRANSIENT);
    // An answer in the text is stronger than the number of attempts; here there is none.
    if is_transient
        && matches!(step, Step::Secrets | Step::RegistryAuth)
        && !fields.is_service_response()
    {
        return Some(Sign::RetriesExhausted);
    }
    // ECS begins so where no response arrived, and the end is cut off. Where the role or the image
    // is at fault, it writes "can't pull" (developer guide, "CannotPullContainer task errors").
    let dense = &context.text.dense;
    if is_pull && dense.contains("thetaskcannotpull") && dense.contains("fromtheregistry") {
        return Some(Sign::ConnectionIssue);
    }
    // A denial is final. What is retried is not one, whatever its status.
    first(&[Sign::UnexpectedStatus]).filter(|_| !is_transient)
}

/// Returns the family of a sign. Where something is missing or denied, the step decides.
pub fn family(sign: Sign, step: Step) -> Family {
    match sign {
        Sign::NoSuchName | Sign::ResolverFailed | Sign::ResolverSilent | Sign::ForeignResponse => {
            Family::Resolve
        }
        Sign::TimedOut
        | Sign::HelperKilled
        | Sign::NoResponse
        | Sign::ConnectionIssue
        | Sign::Stalled
        | Sign::TooSlow
        | Sign::Canceled
        | Sign::ConnectionRefused
        | Sign::ConnectionReset
        | Sign::Unreachable
        | Sign::CorruptLayer
        | Sign::ProxyAnswered
        | Sign::ServiceFailure
        | Sign::RetriesExhausted => Family::Network,
        Sign::NotTls
        | Sign::UnknownIssuer
        | Sign::WrongName
        | Sign::OutsideValidity
        | Sign::HandshakeStalled
        | Sign::TlsFailure => Family::Tls,
        Sign::Denied if step == Step::AssumeRole => Family::Placement,
        Sign::Denied
        | Sign::Forbidden
        | Sign::UnexpectedStatus
        | Sign::LoginFailed
        | Sign::RegistryDenied
        | Sign::RegistryTokenExpired
        | Sign::KmsKeyUnusable => Family::Permission,
        Sign::NotFound => match step {
            Step::Secrets => Family::Secret,
            Step::LogDriver => Family::Logs,
            Step::EnvironmentFile => Family::Storage,
            _ => Family::Image,
        },
        Sign::RepositoryMissing
        | Sign::ManifestMissing
        | Sign::MissingOrPrivate
        | Sign::DigestRefused
        | Sign::WrongDigest
        | Sign::WrongPlatform
        | Sign::NotExecutable
        | Sign::InvalidReference => Family::Image,
        Sign::RateLimited | Sign::Throttled => Family::Limit,
        Sign::DiskFull
        | Sign::MountFailed
        | Sign::MountDenied
        | Sign::DirectoryMissing
        | Sign::ObjectMissing => Family::Storage,
        Sign::SecretMissing
        | Sign::VersionMissing
        | Sign::JsonKeyMissing
        | Sign::NotJson
        | Sign::ParameterMissing
        | Sign::InvalidValueFrom
        | Sign::InvalidInput
        | Sign::InvalidJson => Family::Secret,
        Sign::LogGroupMissing => Family::Logs,
        Sign::NoFreeAddress
        | Sign::NetworkInterfaceFailed
        | Sign::NetworkInterfaceNotCreated
        | Sign::CapacityUnavailable
        | Sign::NotPlaced(_)
        | Sign::RoleNotAssumable => Family::Placement,
        Sign::NoCredentials
        | Sign::CredentialsExpired
        | Sign::CredentialsInvalid
        | Sign::ClockSkewed => Family::Credentials,
    }
}
