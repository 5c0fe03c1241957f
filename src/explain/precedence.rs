//! Which of a text's signs is the strongest, and the family that it stands for.

use super::Step;
use super::parsed::Reading;
use super::sign::Sign;
use crate::cause::Family;

/// So many times the agent tries what may pass: 3 for Amazon ECR, 5 for Secrets Manager and
/// Parameter Store; what a service has refused it tries once (facts: message corpus).
const FRUITLESS: u32 = 3;

/// What happened to the path. Of several the first counts: it is the nearest to the wire.
const SILENCE: [Sign; 10] = [
    Sign::Refused,
    Sign::Unreachable,
    Sign::Reset,
    Sign::Stalled,
    Sign::TooSlow,
    Sign::TimedOut,
    Sign::NoAnswer,
    Sign::DamagedLayer,
    Sign::StrangeAnswer,
    Sign::ConnectionIssue,
];

/// What says more than any denial.
const BEFORE_A_DENIAL: [Sign; 12] = [
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
    Sign::BadValueFrom,
    Sign::LogGroupMissing,
];

/// What a denial says more than.
const AFTER_A_DENIAL: [Sign; 12] = [
    Sign::SecretMissing,
    Sign::WrongPlatform,
    Sign::NotExecutable,
    Sign::RepositoryMissing,
    Sign::ManifestMissing,
    Sign::MissingOrPrivate,
    Sign::BadReference,
    Sign::Forbidden,
    Sign::LoginFailed,
    Sign::DiskFull,
    Sign::ObjectMissing,
    Sign::ServiceFailure,
];

/// The strongest sign: what is nearest to the wire goes first. An answer proves that there was no
/// silence, but texts are cut and glued, and then silence must never be read as a refusal: so
/// silence goes before every answer.
///
/// `None` for a text that says nothing of a task's start: timeouts and refusals are in every log of
/// every application.
pub fn strongest(reading: &Reading) -> Option<Sign> {
    if reading.is_foreign {
        return None;
    }
    let first = |signs: &[Sign]| signs.iter().copied().find(|sign| reading.has(*sign));
    let path = path(reading);
    if !reading.is_of_a_start {
        // These are whole sentences of AWS, of which the start is no part: that a policy refused,
        // and which; or a limit.
        let refused = reading.has(Sign::Denied)
            && ["becauseno", "explicitdeny"]
                .iter()
                .any(|clause| reading.plain.dense.contains(clause));
        let limited = reading.has(Sign::Throttled).then_some(Sign::Throttled);
        return refused
            .then_some(Sign::Denied)
            .or(limited)
            .filter(|_| path.is_none());
    }
    // What a process that was started waits for is its own affair.
    let own = reading.step == Step::ContainerStart && path.is_some();
    let before = before_the_path(reading);
    if own {
        before
    } else {
        before.or(path).or_else(|| answer(reading, &first))
    }
}

/// The task has no interface or no role yet, so it has asked nobody.
fn before_the_path(reading: &Reading) -> Option<Sign> {
    let signs = [
        Sign::RoleNotAssumable,
        Sign::NoCredentials,
        Sign::NoFreeAddress,
        Sign::Capacity,
        Sign::InterfaceNotCreated,
        Sign::NetworkInterface,
    ];
    signs.into_iter().find(|sign| reading.has(*sign))
}

/// What the text says of the path, whether or not it is a task's.
pub fn path(reading: &Reading) -> Option<Sign> {
    let first = |signs: &[Sign]| signs.iter().copied().find(|sign| reading.has(*sign));
    // ECS says "connection issue" and "check your network" of silence only: refusals kept the older
    // wrapper.
    let silence = first(&SILENCE);
    if reading.step == Step::FileSystem {
        let failed =
            first(&[Sign::MountFailed, Sign::NoSuchName, Sign::ResolverFailed]).or(silence);
        let denied = || first(&[Sign::Denied]).map(|_| Sign::MountDenied);
        return first(&[Sign::MountDenied])
            .or(failed.map(|_| Sign::MountFailed))
            .or_else(denied);
    }
    if let Some(sign) = first(&[Sign::NoSuchName, Sign::ResolverFailed]) {
        return Some(sign);
    }
    let gave_up = first(&[Sign::TimedOut, Sign::Refused, Sign::Unreachable]);
    if reading.parts.lookup.is_some() && gave_up.is_some() && reading.parts.dial.is_none() {
        return Some(Sign::ResolverSilent);
    }
    let tls = [
        Sign::NotTls,
        Sign::UnknownIssuer,
        Sign::WrongName,
        Sign::OutsideValidity,
        Sign::HandshakeStalled,
        Sign::Tls,
    ];
    if let Some(sign) = first(&tls) {
        return Some(sign);
    }
    // The helpers of ECS are killed at their deadline. A container's own process is killed for
    // other reasons.
    let helped = !matches!(
        reading.step,
        Step::ImageManifest | Step::ImageLayer | Step::ContainerStart
    ) || reading.plain.dense.contains("resourceinitialization");
    let killed = || first(&[Sign::Killed]).filter(|_| helped);
    let silent = reading
        .parts
        .status
        .as_ref()
        .is_some_and(|status| status.value == 0);
    let sign = silence
        .or_else(killed)
        .or_else(|| silent.then_some(Sign::NoAnswer))?;
    Some(if reading.mistyped.is_some() {
        Sign::BadReference
    } else {
        sign
    })
}

fn answer(reading: &Reading, first: &dyn Fn(&[Sign]) -> Option<Sign>) -> Option<Sign> {
    let step = reading.step;
    let of_secrets = || {
        first(&[Sign::KeyUnusable, Sign::InvalidInput, Sign::BrokenJson])
            .filter(|_| step == Step::Secrets)
    };
    if let Some(sign) = first(&BEFORE_A_DENIAL).or_else(of_secrets) {
        return Some(sign);
    }
    let again = reading
        .parts
        .retries
        .as_ref()
        .is_some_and(|retries| retries.value >= FRUITLESS);
    let retried =
        again && matches!(step, Step::Secrets | Step::RegistryAuth) && !reading.is_answered();
    // So the refusal of a text that was tried again and again is of another text.
    if retried {
        return Some(Sign::Retried);
    }
    if reading.parts.denial.is_some() || reading.has(Sign::Denied) {
        return Some(Sign::Denied);
    }
    if let Some(sign) = first(&AFTER_A_DENIAL) {
        return Some(sign);
    }
    let pulled = matches!(step, Step::ImageManifest | Step::ImageLayer);
    let asked = pulled
        || matches!(
            step,
            Step::Secrets | Step::LogDriver | Step::EnvironmentFile
        );
    let vague = first(&[Sign::RegistryRefused]).filter(|_| pulled);
    if let Some(sign) = vague.or_else(|| first(&[Sign::NotFound]).filter(|_| asked)) {
        return Some(sign);
    }
    // A refusal is final. What is asked again is not one, whatever its status was.
    first(&[Sign::UnexpectedStatus]).filter(|_| !again)
}

/// The family of a sign. Where something is missing or refused, the step says what.
pub fn family(sign: Sign, step: Step) -> Family {
    match sign {
        Sign::NoSuchName | Sign::ResolverFailed | Sign::ResolverSilent | Sign::StrangeAnswer => {
            Family::Resolve
        }
        Sign::TimedOut
        | Sign::Killed
        | Sign::NoAnswer
        | Sign::ConnectionIssue
        | Sign::Stalled
        | Sign::TooSlow
        | Sign::Refused
        | Sign::Reset
        | Sign::Unreachable
        | Sign::DamagedLayer
        | Sign::ServiceFailure
        | Sign::Retried => Family::Network,
        Sign::NotTls
        | Sign::UnknownIssuer
        | Sign::WrongName
        | Sign::OutsideValidity
        | Sign::HandshakeStalled
        | Sign::Tls => Family::Tls,
        Sign::Denied if step == Step::AssumeRole => Family::Placement,
        Sign::Denied
        | Sign::Forbidden
        | Sign::UnexpectedStatus
        | Sign::LoginFailed
        | Sign::RegistryRefused
        | Sign::RegistryTokenExpired
        | Sign::KeyUnusable => Family::Permission,
        Sign::NotFound => match step {
            Step::Secrets => Family::Secret,
            Step::LogDriver => Family::Logs,
            Step::EnvironmentFile => Family::Storage,
            _ => Family::Image,
        },
        Sign::RepositoryMissing
        | Sign::ManifestMissing
        | Sign::MissingOrPrivate
        | Sign::WrongPlatform
        | Sign::NotExecutable
        | Sign::BadReference => Family::Image,
        Sign::RateLimited | Sign::Throttled => Family::Limit,
        Sign::DiskFull | Sign::MountFailed | Sign::MountDenied | Sign::ObjectMissing => {
            Family::Storage
        }
        Sign::SecretMissing
        | Sign::VersionMissing
        | Sign::JsonKeyMissing
        | Sign::NotJson
        | Sign::ParameterMissing
        | Sign::BadValueFrom
        | Sign::InvalidInput
        | Sign::BrokenJson => Family::Secret,
        Sign::LogGroupMissing => Family::Logs,
        Sign::NoFreeAddress
        | Sign::NetworkInterface
        | Sign::InterfaceNotCreated
        | Sign::Capacity
        | Sign::RoleNotAssumable => Family::Placement,
        Sign::NoCredentials
        | Sign::CredentialsExpired
        | Sign::CredentialsInvalid
        | Sign::ClockSkewed => Family::Credentials,
    }
}
