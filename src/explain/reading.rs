//! What one failure's text says: its step, its sign, the role and address that it concerns.

use std::net::IpAddr;

use super::Step;
use super::parts::{self, Parts};
use super::phrases::OPERATION;
use super::plain::Plain;
use super::words::{self, Hit, Sign};
use crate::cause::Family;
use crate::endpoints::{Region, layer_host};
use crate::observation::{Role, Scope};
use crate::owner::owner;
use crate::place::Place;
use crate::redact::redact;
use crate::reference::Reference;

/// One failure's text, read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The text.
    pub plain: Plain,
    /// Its phrases.
    pub hits: Vec<Hit>,
    /// Its named parts.
    pub parts: Parts,
    /// Where in ECS's start order.
    pub step: Step,
    /// What shows how it failed: the strongest sign.
    pub sign: Option<Sign>,
    /// Whose way it is in.
    pub role: Option<Role>,
    /// The host that was asked.
    pub host: Option<String>,
    /// Who owns the address that was dialled.
    pub owner: Option<String>,
    /// Why the registry's host is none of Amazon ECR, though it is meant as one.
    pub mistyped: Option<String>,
    /// Nothing in the whole text had to be blanked out, so nothing in a fragment of it has to.
    clean: bool,
}

impl Reading {
    /// Read one failure's text. `clean` if the text around it has nothing secret.
    pub fn of(plain: Plain, clean: bool) -> Self {
        let hits = words::find(&plain);
        let parts = parts::parse(&plain);
        let public = parts.dial.as_ref().filter(|dial| Place::default().scope(dial.value) == Scope::Public);
        let owner = public.and_then(|dial| owner(dial.value));
        let mut reading = Self {
            plain,
            hits,
            parts,
            step: Step::Unknown,
            sign: None,
            role: None,
            host: None,
            owner,
            mistyped: None,
            clean,
        };
        reading.step = reading.find_step();
        reading.mistyped = reading.find_mistake();
        reading.sign = reading.find_sign();
        match reading.sign {
            Some(Sign::WrongPlatform) => reading.step = Step::ImageManifest,
            // A manifest is read into memory; what fills a disk is a layer.
            Some(Sign::DiskFull) if reading.step == Step::ImageManifest => reading.step = Step::ImageLayer,
            _ => {}
        }
        reading.role = reading.find_role();
        reading.host = reading.find_host();
        reading
    }

    /// The family of what the text shows. The causes behind it may be of another: a registry that says `unauthorized`
    /// said no, and the cause is a wrong password.
    pub fn family(&self) -> Family {
        match self.sign {
            // Docker Hub's commonest refusal is its rate limit; Amazon ECR's and Amazon S3's is a policy.
            Some(Sign::UnexpectedStatus) if self.role == Some(Role::Registry) => Family::Limit,
            Some(sign) => family(sign, self.step),
            None => Family::Unknown,
        }
    }

    /// A part of the text, fit to be shown.
    pub fn shown(&self, fragment: &str) -> String {
        if self.clean { fragment.to_owned() } else { redact(fragment) }
    }

    /// Whether a phrase with this sign is in the text.
    pub fn has(&self, sign: Sign) -> bool {
        self.hits.iter().any(|hit| hit.sign == Some(sign))
    }

    /// The first phrase with this sign, as it stands in the text.
    pub fn phrase(&self, sign: Sign) -> Option<&str> {
        self.hits.iter().find(|hit| hit.sign == Some(sign)).map(|hit| hit.quote(&self.plain))
    }

    /// The address that was dialled.
    pub fn peer(&self) -> Option<IpAddr> {
        self.parts.dial.as_ref().map(|dial| dial.value)
    }

    /// Where that address lies; by its number alone, for the text says no VPC.
    pub fn scope(&self) -> Option<Scope> {
        self.peer().map(|peer| Place::default().scope(peer))
    }

    /// The region that host or ARNs name.
    pub fn region(&self) -> Option<Region> {
        let of_host = self.host.iter().flat_map(|host| host.split('.')).find_map(|label| label.parse().ok());
        let of_image =
            || self.parts.image.iter().flat_map(|image| image.split(['.', '/'])).find_map(|l| l.parse().ok());
        let of_arns = || self.parts.arns.iter().find_map(|arn| arn.split(':').nth(3)?.parse().ok());
        of_host.or_else(of_image).or_else(of_arns)
    }

    /// `service:Action` of the refusal, in lower case.
    pub fn action(&self) -> Option<String> {
        Some(self.parts.denial.as_ref()?.action.as_ref()?.to_ascii_lowercase())
    }

    /// Whether a service's own answer is in the text: then name, connection and TLS are proven good.
    pub fn is_answered(&self) -> bool {
        let status = self.parts.status.as_ref().is_some_and(|status| status.value >= 100);
        status || (self.parts.request_id.is_some() && self.parts.status.as_ref().is_none_or(|s| s.value != 0))
    }

    fn is_silent(&self) -> bool {
        self.parts.status.as_ref().is_some_and(|status| status.value == 0)
    }

    /// The step that the strongest phrase, operation or host stands for; of equals the first.
    fn find_step(&self) -> Step {
        let of_phrases = self.hits.iter().filter_map(|hit| Some((hit.step?, hit.at)));
        let of_action = self.action().and_then(|action| step_of_action(&action)).map(|step| ((step, OPERATION), 0));
        let host = self.parts.host.as_ref();
        let of_host = host.and_then(|host| Some(((step_of_host(&host.value)?, OPERATION - 1), host.from)));
        let mut best: Option<((Step, u8), usize)> = None;
        for candidate in of_phrases.chain(of_action).chain(of_host) {
            if best.is_none_or(|best| (candidate.0.1, best.1) > (best.0.1, candidate.1)) {
                best = Some(candidate);
            }
        }
        best.map_or(Step::Unknown, |((step, _), _)| step)
    }

    /// The strongest sign: what is nearest to the wire goes first. An answer proves that there was no silence, but texts
    /// are cut and glued, and then silence must never be read as a refusal: so silence goes before every answer.
    fn find_sign(&self) -> Option<Sign> {
        use Sign::{
            BadReference, BadValueFrom, Capacity, ClockSkewed, ConnectionIssue, CredentialsExpired, CredentialsInvalid,
            DamagedLayer, Denied, DiskFull, Forbidden, HandshakeStalled, InterfaceNotCreated, JsonKeyMissing, Killed,
            LogGroupMissing, LoginFailed, ManifestMissing, MissingOrPrivate, MountDenied, MountFailed,
            NetworkInterface, NoAnswer, NoFreeAddress, NoSuchName, NotFound, NotJson, ObjectMissing, OutsideValidity,
            ParameterMissing, RateLimited, Refused, RegistryTokenExpired, RepositoryMissing, Reset, ResolverFailed,
            ResolverSilent, Retried, RoleNotAssumable, SecretMissing, ServiceFailure, Stalled, Throttled, TimedOut,
            Tls, TooSlow, UnexpectedStatus, UnknownIssuer, Unreachable, VersionMissing, WrongName, WrongPlatform,
        };
        let first = |signs: &[Sign]| signs.iter().copied().find(|sign| self.has(*sign));
        if let Some(sign) = first(&[RoleNotAssumable, NoFreeAddress, Capacity, InterfaceNotCreated, NetworkInterface]) {
            return Some(sign);
        }
        // ECS says "connection issue" and "check your network" of silence only: refusals kept the older wrapper.
        let silence =
            first(&[Refused, Unreachable, Reset, Stalled, TooSlow, TimedOut, NoAnswer, DamagedLayer, ConnectionIssue]);
        if self.step == Step::FileSystem {
            let failed = first(&[MountFailed, NoSuchName, ResolverFailed]).or(silence).map(|_| MountFailed);
            return first(&[MountDenied]).or(failed).or_else(|| first(&[Denied]).map(|_| MountDenied));
        }
        if let Some(sign) = first(&[NoSuchName, ResolverFailed]) {
            return Some(sign);
        }
        if self.parts.lookup.is_some() && self.has(TimedOut) && self.parts.dial.is_none() {
            return Some(ResolverSilent);
        }
        if let Some(sign) = first(&[UnknownIssuer, WrongName, OutsideValidity, HandshakeStalled, Tls]) {
            return Some(sign);
        }
        let killed = || (self.step == Step::LogDriver).then(|| first(&[Killed])).flatten();
        if let Some(sign) = silence.or_else(killed).or_else(|| self.is_silent().then_some(NoAnswer)) {
            return Some(if self.mistyped.is_some() { BadReference } else { sign });
        }
        let answer = first(&[
            ClockSkewed,
            CredentialsExpired,
            CredentialsInvalid,
            RegistryTokenExpired,
            RateLimited,
            Throttled,
            VersionMissing,
            JsonKeyMissing,
            NotJson,
            ParameterMissing,
            BadValueFrom,
            LogGroupMissing,
        ]);
        if answer.is_some() {
            return answer;
        }
        if self.parts.denial.is_some() || self.has(Denied) {
            return Some(Denied);
        }
        let answer = first(&[
            SecretMissing,
            WrongPlatform,
            RepositoryMissing,
            ManifestMissing,
            MissingOrPrivate,
            BadReference,
            Forbidden,
            LoginFailed,
            DiskFull,
            ObjectMissing,
            ServiceFailure,
        ]);
        if answer.is_some() {
            return answer;
        }
        let asked = matches!(
            self.step,
            Step::Secrets | Step::LogDriver | Step::ImageManifest | Step::ImageLayer | Step::EnvironmentFile
        );
        if asked && self.has(NotFound) {
            return Some(NotFound);
        }
        let retried = self.parts.retries.as_ref().is_some_and(|retries| retries.value >= FRUITLESS)
            && matches!(self.step, Step::Secrets | Step::RegistryAuth)
            && !self.is_answered();
        first(&[UnexpectedStatus]).or(retried.then_some(Retried))
    }

    fn find_role(&self) -> Option<Role> {
        let host = self.parts.host.as_ref().and_then(|host| role_of_host(&host.value));
        let is_ssm = || {
            let dense = &self.plain.dense;
            ["ssm", "parameterstore", "systemsmanager"].iter().any(|word| dense.contains(word))
                || self.sign == Some(Sign::ParameterMissing)
        };
        match self.step {
            Step::AssumeRole => Some(Role::Credentials),
            Step::Secrets => Some(host.unwrap_or_else(|| if is_ssm() { Role::Ssm } else { Role::SecretsManager })),
            Step::RegistryAuth => Some(Role::EcrApi),
            Step::LogDriver => Some(Role::Logs),
            // The text names the image's registry in the place of the bucket.
            Step::ImageLayer if host == Some(Role::Registry) => Some(Role::Registry),
            Step::ImageLayer => Some(Role::S3),
            Step::EnvironmentFile => Some(Role::EnvironmentFile),
            Step::FileSystem => Some(Role::Efs),
            Step::ImageManifest | Step::NetworkInterface | Step::ContainerStart | Step::Unknown => host,
        }
    }

    fn find_host(&self) -> Option<String> {
        let host = self.parts.host.as_ref().map(|host| host.value.clone());
        let in_s3 = self.owner.as_deref().is_some_and(|owner| owner.starts_with("S3 "));
        if self.step == Step::ImageLayer && in_s3 && host.as_deref().and_then(role_of_host) == Some(Role::EcrDkr) {
            let region = host.iter().flat_map(|host| host.split('.')).find_map(|label| label.parse::<Region>().ok());
            return region.map(|region| layer_host(&region)).or(host);
        }
        host
    }

    /// What [`Reference`] says against a registry host that is meant as Amazon ECR's. Accounts are masked by those who
    /// ask for help, so an account passes; a host without a region says nothing, for that may be masked too.
    fn find_mistake(&self) -> Option<String> {
        let part = self.parts.host.as_ref()?;
        let host = &part.value;
        // Wrapped inside the account, which then stands on the line before.
        let before = part.from.checked_sub(1).and_then(|at| self.plain.dense.as_bytes().get(at));
        if host.starts_with('.') && before.is_some_and(|b| b.is_ascii_digit() || *b == b'x') {
            return None;
        }
        let (account, rest) = host.split_once('.')?;
        if !["dkr.ecr", "dkr-ecr"].iter().any(|marker| rest.starts_with(marker)) {
            return None;
        }
        rest.split('.').find_map(|label| label.parse::<Region>().ok())?;
        let account = if account.is_empty() { "" } else { "123456789012" };
        let mistake = format!("{account}.{rest}/x").parse::<Reference>().err()?;
        let mistake = mistake.to_string();
        Some(if account.is_empty() { "the account is missing before .dkr.ecr".into() } else { mistake })
    }
}

/// So many times the agent tries what may pass: 3 for Amazon ECR, 5 for Secrets Manager and Parameter Store; what a
/// service has refused it tries once (facts: message corpus).
const FRUITLESS: u32 = 3;

fn family(sign: Sign, step: Step) -> Family {
    match sign {
        Sign::NoSuchName | Sign::ResolverFailed | Sign::ResolverSilent => Family::Resolve,
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
        Sign::UnknownIssuer | Sign::WrongName | Sign::OutsideValidity | Sign::HandshakeStalled | Sign::Tls => {
            Family::Tls
        }
        Sign::Denied if step == Step::AssumeRole => Family::Placement,
        Sign::Denied | Sign::Forbidden | Sign::UnexpectedStatus | Sign::LoginFailed | Sign::RegistryTokenExpired => {
            Family::Permission
        }
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
        | Sign::BadReference => Family::Image,
        Sign::RateLimited | Sign::Throttled => Family::Limit,
        Sign::DiskFull | Sign::MountFailed | Sign::MountDenied | Sign::ObjectMissing => Family::Storage,
        Sign::SecretMissing
        | Sign::VersionMissing
        | Sign::JsonKeyMissing
        | Sign::NotJson
        | Sign::ParameterMissing
        | Sign::BadValueFrom => Family::Secret,
        Sign::LogGroupMissing => Family::Logs,
        Sign::NoFreeAddress
        | Sign::NetworkInterface
        | Sign::InterfaceNotCreated
        | Sign::Capacity
        | Sign::RoleNotAssumable => Family::Placement,
        Sign::CredentialsExpired | Sign::CredentialsInvalid | Sign::ClockSkewed => Family::Credentials,
    }
}

/// The step in which ECS performs an action; `None` for actions that are no part of a task's start.
fn step_of_action(action: &str) -> Option<Step> {
    let (service, name) = action.split_once(':')?;
    match (service, name) {
        ("sts", _) => Some(Step::AssumeRole),
        ("secretsmanager" | "kms", _) => Some(Step::Secrets),
        ("ssm", name) if name.starts_with("getparameter") => Some(Step::Secrets),
        ("ecr", "getauthorizationtoken") => Some(Step::RegistryAuth),
        ("ecr", name) if name != "getdownloadurlforlayer" => Some(Step::ImageManifest),
        ("logs", _) => Some(Step::LogDriver),
        ("s3" | "ecr", _) => Some(Step::ImageLayer),
        ("elasticfilesystem", _) => Some(Step::FileSystem),
        _ => None,
    }
}

fn step_of_host(host: &str) -> Option<Step> {
    Some(match role_of_host(host)? {
        Role::EcrApi => Step::RegistryAuth,
        Role::EcrDkr | Role::Registry => Step::ImageManifest,
        Role::S3 => Step::ImageLayer,
        Role::Logs => Step::LogDriver,
        Role::SecretsManager | Role::Ssm => Step::Secrets,
        Role::Efs => Step::FileSystem,
        _ => return None,
    })
}

/// What a host is to a task that starts: by its labels, so that regions, partitions and masks do not matter.
pub(super) fn role_of_host(host: &str) -> Option<Role> {
    let labels: Vec<&str> = host.split('.').collect();
    let has = |label: &str| labels.contains(&label);
    let begins = |names: &[&str]| names.contains(&labels[0]);
    if labels.iter().any(|label| ["dkr", "dkr-ecr", "dkr-ecr-fips"].contains(label)) {
        Some(Role::EcrDkr)
    } else if has("ecr") && begins(&["api"])
        || begins(&["ecr", "ecr-fips"]) && labels.len() > 2 && !host.contains("public")
    {
        Some(Role::EcrApi)
    } else if labels.iter().any(|label| label.starts_with("s3")) {
        Some(Role::S3)
    } else if begins(&["logs", "logs-fips"]) {
        Some(Role::Logs)
    } else if begins(&["secretsmanager", "secretsmanager-fips"]) {
        Some(Role::SecretsManager)
    } else if begins(&["ssm", "ssm-fips"]) {
        Some(Role::Ssm)
    } else if has("efs") {
        Some(Role::Efs)
    } else if ["kms", "sts", "ecs", "ec2"].iter().any(|service| begins(&[service])) {
        None
    } else {
        Some(Role::Registry)
    }
}
