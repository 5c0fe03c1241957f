//! What one failure's text says: its step, its sign, the role and address that it concerns.

use std::net::IpAddr;

use super::Step;
use super::app_log::is_foreign;
use super::dependencies::{dependency_of_host, step_of_action, step_of_host};
use super::fields::{self, Parts};
use super::lexicon::{NAME, OPERATION, PART};
use super::normalize::Plain;
use super::precedence;
use super::sign::{self, Hit, Sign};
use crate::cause::Family;
use crate::endpoints::{Region, layer_host};
use crate::ip_owner::owner;
use crate::network_location::NetworkLocation;
use crate::observation::{Dependency, Scope};
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
    pub dependency: Option<Dependency>,
    /// The host that was asked.
    pub host: Option<String>,
    /// Who owns the address that was dialled.
    pub owner: Option<String>,
    /// Why the registry's host is none of Amazon ECR, though it is meant as one.
    pub mistyped: Option<String>,
    /// An application's own log, as its form says, and nothing of ECS around it.
    pub is_foreign: bool,
    /// Something in it is of a task's start: words of ECS and its agents, or whom only they ask.
    pub is_of_a_start: bool,
    /// Nothing in the whole text had to be blanked out, so nothing in a fragment of it has to.
    clean: bool,
}

impl Reading {
    /// Read one failure's text. `clean` if the text around it has nothing secret.
    pub fn of(plain: Plain, clean: bool) -> Self {
        let hits = sign::find(&plain);
        let parts = fields::parse(&plain);
        let public = parts
            .dial
            .as_ref()
            .filter(|dial| NetworkLocation::default().scope(dial.value) == Scope::Public);
        let owner = public.and_then(|dial| owner(dial.value));
        let mut reading = Self {
            plain,
            hits,
            parts,
            step: Step::Unknown,
            sign: None,
            dependency: None,
            host: None,
            owner,
            mistyped: None,
            is_foreign: false,
            is_of_a_start: false,
            clean,
        };
        reading.is_foreign = !reading.is_wrapped() && is_foreign(&reading.plain.text);
        reading.step = if reading.is_foreign {
            Step::Unknown
        } else {
            reading.find_step()
        };
        let in_words = reading.hits.iter().any(|hit| hit.step.is_some());
        reading.is_of_a_start = !reading.is_foreign && (reading.step != Step::Unknown || in_words);
        reading.mistyped = reading.find_mistake();
        reading.sign = precedence::strongest(&reading);
        match reading.sign {
            Some(Sign::WrongPlatform | Sign::NotExecutable) => reading.step = Step::ImageManifest,
            // A manifest is read into memory; what fills a disk is a layer.
            Some(Sign::DiskFull) if reading.step == Step::ImageManifest => {
                reading.step = Step::ImageLayer
            }
            _ => {}
        }
        reading.dependency = reading.find_dependency();
        reading.host = reading.find_host();
        reading
    }

    /// The family of what the text shows. The causes behind it may be of another: a registry that
    /// says `unauthorized` said no, and the cause is a wrong password.
    pub fn family(&self) -> Family {
        match self.sign {
            // Docker Hub's commonest refusal is its rate limit; Amazon ECR's and Amazon S3's is a
            // policy.
            Some(Sign::UnexpectedStatus) if self.dependency == Some(Dependency::Registry) => {
                Family::Limit
            }
            Some(sign) => precedence::family(sign, self.step),
            None => Family::Unknown,
        }
    }

    /// A part of the text, fit to be shown.
    pub fn shown(&self, fragment: &str) -> String {
        if self.clean {
            fragment.to_owned()
        } else {
            redact(fragment)
        }
    }

    /// Whether a phrase with this sign is in the text.
    pub fn has(&self, sign: Sign) -> bool {
        self.hits.iter().any(|hit| hit.sign == Some(sign))
    }

    /// The first phrase with this sign, as it stands in the text.
    pub fn phrase(&self, sign: Sign) -> Option<&str> {
        self.hits
            .iter()
            .find(|hit| hit.sign == Some(sign))
            .map(|hit| hit.quote(&self.plain))
    }

    /// The address that was dialled.
    pub fn peer(&self) -> Option<IpAddr> {
        self.parts.dial.as_ref().map(|dial| dial.value)
    }

    /// Where that address lies; by its number alone, for the text says no VPC.
    pub fn scope(&self) -> Option<Scope> {
        self.peer()
            .map(|peer| NetworkLocation::default().scope(peer))
    }

    /// The region that host or ARNs name.
    pub fn region(&self) -> Option<Region> {
        let of_host = self
            .host
            .iter()
            .flat_map(|host| host.split('.'))
            .find_map(|label| label.parse().ok());
        let of_image = || {
            self.parts
                .image
                .iter()
                .flat_map(|image| image.split(['.', '/']))
                .find_map(|l| l.parse().ok())
        };
        let of_arns = || {
            self.parts
                .arns
                .iter()
                .find_map(|arn| arn.split(':').nth(3)?.parse().ok())
        };
        of_host.or_else(of_image).or_else(of_arns)
    }

    /// `service:Action` of the refusal, in lower case.
    pub fn action(&self) -> Option<String> {
        Some(
            self.parts
                .denial
                .as_ref()?
                .action
                .as_ref()?
                .to_ascii_lowercase(),
        )
    }

    /// Whether a service's own answer is in the text: then name, connection and TLS are proven
    /// good.
    pub fn is_answered(&self) -> bool {
        let status = self
            .parts
            .status
            .as_ref()
            .is_some_and(|status| status.value >= 100);
        status
            || (self.parts.request_id.is_some()
                && self.parts.status.as_ref().is_none_or(|s| s.value != 0))
    }

    /// Whether a wrapper of ECS or of its agents is around it, and not only an operation that
    /// others call as well.
    fn is_wrapped(&self) -> bool {
        let weights = self
            .hits
            .iter()
            .filter_map(|hit| hit.step)
            .map(|(_, weight)| weight);
        weights
            .into_iter()
            .any(|weight| weight >= PART || weight == NAME || weight == NAME + 1)
    }

    /// The step that the strongest phrase, operation or host stands for; of equals the first.
    fn find_step(&self) -> Step {
        let of_phrases = self.hits.iter().filter_map(|hit| Some((hit.step?, hit.at)));
        let of_action = self
            .action()
            .and_then(|action| step_of_action(&action))
            .map(|step| ((step, OPERATION), 0));
        let host = self.parts.host.as_ref();
        let of_host = host.and_then(|host| {
            let after = self.plain.dense.get(host.to..).unwrap_or_default();
            // The path of the registries' interface (OCI distribution, "/v2/"), after a port
            // perhaps.
            let is_asked = after
                .trim_start_matches(|c: char| c == ':' || c.is_ascii_digit())
                .starts_with("/v2");
            let step = step_of_host(&host.value).or(is_asked.then_some(Step::ImageManifest))?;
            Some(((step, OPERATION - 1), host.from))
        });
        let mut best: Option<((Step, u8), usize)> = None;
        for candidate in of_phrases.chain(of_action).chain(of_host) {
            if best.is_none_or(|best| (candidate.0.1, best.1) > (best.0.1, candidate.1)) {
                best = Some(candidate);
            }
        }
        best.map_or(Step::Unknown, |((step, _), _)| step)
    }

    fn find_dependency(&self) -> Option<Dependency> {
        let host = self
            .parts
            .host
            .as_ref()
            .and_then(|host| dependency_of_host(&host.value));
        let is_ssm = || {
            let dense = &self.plain.dense;
            ["ssm", "parameterstore", "systemsmanager"]
                .iter()
                .any(|word| dense.contains(word))
                || self.sign == Some(Sign::ParameterMissing)
        };
        match self.step {
            Step::AssumeRole => Some(Dependency::Credentials),
            Step::Secrets => Some(host.unwrap_or_else(|| {
                if is_ssm() {
                    Dependency::Ssm
                } else {
                    Dependency::SecretsManager
                }
            })),
            Step::RegistryAuth => Some(Dependency::EcrApi),
            Step::LogDriver => Some(Dependency::Logs),
            Step::ImageLayer if host == Some(Dependency::Registry) => Some(Dependency::Registry),
            // The task's own disk is nobody's way.
            Step::ImageLayer if self.sign == Some(Sign::DiskFull) => None,
            // In the place of the bucket's URL the text has the image. A URL of the registry is the
            // registry's.
            Step::ImageLayer
                if host == Some(Dependency::EcrDkr) && self.plain.dense.contains("/blobs/") =>
            {
                Some(Dependency::EcrDkr)
            }
            Step::ImageLayer => Some(Dependency::S3),
            Step::EnvironmentFile => Some(Dependency::EnvironmentFile),
            Step::FileSystem => Some(Dependency::Efs),
            Step::ImageManifest => host,
            Step::NetworkInterface | Step::ContainerStart | Step::Unknown => {
                host.filter(|dependency| *dependency != Dependency::Registry)
            }
        }
    }

    fn find_host(&self) -> Option<String> {
        let host = self.parts.host.as_ref().map(|host| host.value.clone());
        let in_s3 = self
            .owner
            .as_deref()
            .is_some_and(|owner| owner.starts_with("S3 "));
        if self.step == Step::ImageLayer
            && in_s3
            && host.as_deref().and_then(dependency_of_host) == Some(Dependency::EcrDkr)
        {
            let region = host
                .iter()
                .flat_map(|host| host.split('.'))
                .find_map(|label| label.parse::<Region>().ok());
            return region.map(|region| layer_host(&region)).or(host);
        }
        host
    }

    /// What [`Reference`] says against a registry host that is meant as Amazon ECR's. Accounts are
    /// masked by those who ask for help, so an account passes; a host without a region says
    /// nothing, for that may be masked too.
    fn find_mistake(&self) -> Option<String> {
        let part = self.parts.host.as_ref()?;
        let host = &part.value;
        // Wrapped inside the account, which then stands on the line before.
        let before = part
            .from
            .checked_sub(1)
            .and_then(|at| self.plain.dense.as_bytes().get(at));
        if host.starts_with('.') && before.is_some_and(|b| b.is_ascii_digit() || *b == b'x') {
            return None;
        }
        let (account, rest) = host.split_once('.')?;
        if !["dkr.ecr", "dkr-ecr"]
            .iter()
            .any(|marker| rest.starts_with(marker))
        {
            return None;
        }
        rest.split('.')
            .find_map(|label| label.parse::<Region>().ok())?;
        let account = if account.is_empty() {
            ""
        } else {
            "123456789012"
        };
        let mistake = format!("{account}.{rest}/x").parse::<Reference>().err()?;
        let mistake = mistake.to_string();
        Some(if account.is_empty() {
            "the account is missing before .dkr.ecr".into()
        } else {
            mistake
        })
    }
}
