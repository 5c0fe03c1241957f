//! One failure message, parsed: its step, its strongest sign, the dependency and address affected.

use std::net::IpAddr;

use super::app_log::is_app_log;
use super::dependencies::{
    dependency_of_host, is_ecr_public, is_public_registry, step_of_action, step_of_host,
};
use super::fields::{self, Fields, is_of_host};
use super::lexicon::{self, Match, NAME, OPERATION, PART, StepHint};
use super::normalize::NormalizedText;
use super::precedence::{self, MessageSource, SignContext};
use super::sign::Sign;
use super::step::Step;
use crate::cause::Family;
use crate::endpoints::{Region, layer_host};
use crate::ip_owner::owner;
use crate::network_location::NetworkLocation;
use crate::observation::{Dependency, Scope};
use crate::redact::redact;
use crate::reference::{Reference, Registry, is_host};

/// Maximum number of bytes of a name in a sentence. A parameter's name can have 1,011 characters
/// (Systems Manager API reference, `PutParameter`), which is too many for a sentence.
const MAX_NAME_LEN: usize = 256;

/// Parts of messages of registries that Amazon ECR does not write, in the form of
/// [`NormalizedText::dense`]: of Docker Hub and the distribution registry, and of Harbor.
const OTHER_REGISTRY_WORDING: [&str; 3] = [
    "requestedaccesstotheresourceisdenied",
    "insufficient_scope",
    "unauthorizedtoaccessrepository",
];

/// A parsed failure message.
#[derive(Debug, Clone)]
pub struct ParsedMessage {
    /// The text.
    pub text: NormalizedText,
    /// Its phrases.
    pub matches: Vec<Match>,
    /// Its fields.
    pub fields: Fields,
    /// Step of the task's start that failed.
    pub step: Step,
    /// The strongest sign: how it failed.
    pub sign: Option<Sign>,
    /// Task launch dependency that failed.
    pub dependency: Option<Dependency>,
    /// Host that the request was sent to.
    pub host: Option<String>,
    /// Owner of the address, if it is a public one of AWS.
    pub owner: Option<String>,
    /// Why the registry host is not one of Amazon ECR, although it is meant to be.
    pub ecr_host_error: Option<String>,
    /// Where the message comes from.
    source: MessageSource,
    /// Whether redaction left the whole text unchanged, so that its fragments need none.
    has_no_secrets: bool,
}

impl ParsedMessage {
    /// Parses one failure message. `has_no_secrets` means that redaction leaves the text around it
    /// unchanged.
    pub fn parse(text: NormalizedText, has_no_secrets: bool) -> Self {
        let matches = lexicon::find(&text);
        let fields = fields::parse(&text);
        let public = fields
            .dial
            .as_ref()
            .filter(|dial| NetworkLocation::default().scope(dial.value) == Scope::Public);
        let owner = public.and_then(|dial| owner(dial.value));
        let mut message = Self {
            text,
            matches,
            fields,
            step: Step::Unknown,
            sign: None,
            dependency: None,
            host: None,
            owner: owner.map(str::to_owned),
            ecr_host_error: None,
            source: MessageSource::Unclear,
            has_no_secrets,
        };
        if !message.is_wrapped_by_ecs() && is_app_log(&message.text.text) {
            message.source = MessageSource::AppLog;
        } else {
            message.step = message.find_step();
            message.step = message.corrected_step();
            let is_pull = matches!(
                message.step,
                Step::ImageManifest | Step::ImageLayer | Step::Unknown
            );
            // The image of a task says nothing about the host that another step contacts.
            if message.fields.is_host_of_image && !is_pull {
                message.fields.host = None;
            }
            let has_hint = message.matches.iter().any(|found| found.step.is_some());
            if message.step != Step::Unknown || has_hint {
                message.source = MessageSource::TaskStart;
            }
        }
        message.ecr_host_error = message.find_ecr_host_error();
        message.sign = precedence::strongest(&message.matches, &message.sign_context());
        match message.sign {
            Some(Sign::WrongPlatform | Sign::NotExecutable) => message.step = Step::ImageManifest,
            // A manifest is read into memory, so what fills the disk is a layer.
            Some(Sign::DiskFull) if message.step == Step::ImageManifest => {
                message.step = Step::ImageLayer;
            }
            _ => {}
        }
        message.dependency = message.find_dependency();
        message.host = message.find_host();
        message
    }

    fn sign_context(&self) -> SignContext<'_> {
        SignContext {
            text: &self.text,
            fields: &self.fields,
            source: self.source,
            step: self.step,
            malformed_ecr_host: self.ecr_host_error.is_some(),
        }
    }

    /// Returns the family of the failure. Its causes may belong to another one: a registry's
    /// `unauthorized` is a denial, and its cause a wrong password.
    pub fn family(&self) -> Family {
        match self.sign {
            // Docker Hub's most frequent rejection is its rate limit; Amazon ECR's and Amazon S3's
            // is a policy.
            Some(Sign::UnexpectedStatus) if self.dependency == Some(Dependency::Registry) => {
                Family::Limit
            }
            Some(sign) => precedence::family(sign, self.step),
            None => Family::Unknown,
        }
    }

    /// Whether the message shows a failure before any response.
    pub fn is_path_failure(&self) -> bool {
        precedence::path_failure(&self.matches, &self.sign_context()).is_some()
            || self.sign == Some(Sign::RetriesExhausted)
    }

    /// Returns a fragment of the text with secrets removed.
    pub fn redacted(&self, fragment: &str) -> String {
        if self.has_no_secrets {
            fragment.to_owned()
        } else {
            redact(fragment)
        }
    }

    /// Whether one of the phrases has this sign.
    pub fn has(&self, sign: Sign) -> bool {
        precedence::has(&self.matches, sign)
    }

    /// Returns the first phrase with this sign, as it is written in the text.
    pub fn phrase(&self, sign: Sign) -> Option<&str> {
        self.matches
            .iter()
            .find(|found| found.sign == Some(sign))
            .map(|found| found.quote(&self.text))
    }

    /// Returns the IP address of the failed connection.
    pub fn peer(&self) -> Option<IpAddr> {
        self.fields.dial.as_ref().map(|dial| dial.value)
    }

    /// Returns where that address is located, without knowledge of the VPC's own ranges; `None` if
    /// packets to it do not leave the host.
    pub fn scope(&self) -> Option<Scope> {
        self.peer()
            .filter(|peer| !is_of_host(*peer))
            .map(|peer| NetworkLocation::default().scope(peer))
    }

    /// Returns the Region that the host, the image or an ARN names.
    pub fn region(&self) -> Option<Region> {
        let of_host = self
            .host
            .iter()
            .flat_map(|host| host.split('.'))
            .find_map(|label| label.parse().ok());
        let of_image = || {
            self.fields
                .image
                .iter()
                .flat_map(|image| image.split(['.', '/']))
                .find_map(|label| label.parse().ok())
        };
        // Not parsed as `Arn`: a message may be cut after the Region.
        let of_arns = || {
            self.fields
                .arns
                .iter()
                .find_map(|arn| arn.split(':').nth(3)?.parse().ok())
        };
        of_host.or_else(of_image).or_else(of_arns)
    }

    /// Whether a wrapper of ECS or its agents encloses the message, and not only an operation that
    /// applications call as well.
    fn is_wrapped_by_ecs(&self) -> bool {
        self.matches
            .iter()
            .filter_map(|found| found.step)
            .any(|StepHint { weight, .. }| weight >= PART || weight == NAME || weight == NAME + 1)
    }

    /// Corrects the step by what only one step can have.
    fn corrected_step(&self) -> Step {
        let dense = &self.text.dense;
        match self.step {
            // Amazon ECR serves manifests itself and stores layers in Amazon S3.
            Step::ImageManifest if self.is_s3_address() && !dense.contains("/manifests/") => {
                Step::ImageLayer
            }
            // The event is the frame, and the reason follows.
            Step::Unknown
                if dense.contains("unabletoplaceatask")
                    && self
                        .matches
                        .iter()
                        .any(|found| matches!(found.sign, Some(Sign::NotPlaced(_)))) =>
            {
                Step::NetworkInterface
            }
            // Of the two, only a secret is parsed as JSON.
            Step::Unknown
                if self.has(Sign::InvalidJson) && dense.contains("pullsecretsorregistryauth") =>
            {
                Step::Secrets
            }
            step => step,
        }
    }

    /// Whether the address belongs to Amazon S3.
    fn is_s3_address(&self) -> bool {
        self.owner
            .as_deref()
            .is_some_and(|owner| owner.starts_with("S3 "))
    }

    /// Returns the image, if it is one of a registry that is not Amazon ECR's private one.
    fn foreign_image(&self) -> Option<Reference> {
        let image: Reference = self.fields.image.as_deref()?.parse().ok()?;
        matches!(image.registry, Registry::Other { .. }).then_some(image)
    }

    /// Returns the image of Docker Hub whose name in the task definition may have no registry:
    /// Docker prints it without one, and containerd prints `docker.io` before it.
    pub fn docker_hub_image(&self) -> Option<Reference> {
        let named = self.fields.image.as_deref()?;
        let has_other_host = named
            .split_once('/')
            .is_some_and(|(first, _)| is_host(first) && first != "docker.io");
        self.foreign_image().filter(|_| !has_other_host)
    }

    /// Returns the parameter or JSON key that the message reports as missing.
    pub fn missing_name(&self) -> Option<&str> {
        let is_named = |found: &&Match| {
            matches!(
                found.sign,
                Some(Sign::JsonKeyMissing | Sign::ParameterMissing)
            )
        };
        let found = self.matches.iter().find(is_named)?;
        let after = self.text.after(found.at + found.len);
        let name = after
            .trim_start_matches([':', ' '])
            .split([' ', ','])
            .next()?;
        let name = name.trim_matches(['"', '\'', '`', '(', ')', '[', ']', '.', ';', ':', '}']);
        let is_name = !name.is_empty() && name.is_ascii() && name.len() <= MAX_NAME_LEN;
        is_name.then_some(name)
    }

    /// Whether the image is named by its digest. ECS resolves a tag to a digest when a deployment
    /// begins, and adds it.
    pub fn names_digest(&self) -> bool {
        let image = self.fields.image.as_deref().unwrap_or_default();
        image.contains("@sha256:")
            || ["/sha256:", "@sha256:"]
                .iter()
                .any(|mark| self.text.dense.contains(mark))
    }

    /// Whether the server is neither one of AWS nor a widely used public registry.
    pub fn is_own_server(&self) -> bool {
        matches!(
            self.dependency,
            Some(Dependency::Registry | Dependency::Splunk | Dependency::LogRouter)
        ) && self
            .host
            .as_deref()
            .is_some_and(|host| !is_public_registry(host))
    }

    /// Whether the registry is Amazon ECR Public.
    pub fn is_of_ecr_public(&self) -> bool {
        self.fields
            .host
            .as_ref()
            .is_some_and(|host| is_ecr_public(&host.value))
            || self.text.dense.contains("public.ecr.aws")
    }

    /// Returns the step that the strongest phrase, action or host points to; the first of equally
    /// strong ones.
    fn find_step(&self) -> Step {
        let of_phrases = self
            .matches
            .iter()
            .filter_map(|found| Some((found.step?, found.at)));
        let of_action = self
            .fields
            .denied_action()
            .and_then(|action| step_of_action(&action))
            .map(|step| {
                let weight = OPERATION;
                (StepHint { step, weight }, 0)
            });
        let of_host = self.fields.host.as_ref().and_then(|host| {
            let after = self.text.dense.get(host.to..).unwrap_or_default();
            // The path of the OCI distribution API, "/v2/", possibly after a port.
            let is_registry = after
                .trim_start_matches(|c: char| c == ':' || c.is_ascii_digit())
                .starts_with("/v2");
            let step = step_of_host(&host.value).or(is_registry.then_some(Step::ImageManifest))?;
            let weight = OPERATION - 1;
            Some((StepHint { step, weight }, host.from))
        });
        let mut best: Option<(StepHint, usize)> = None;
        for (hint, at) in of_phrases.chain(of_action).chain(of_host) {
            // The names that several steps share decide only where nothing else does.
            let weight = |hint: StepHint| (hint.step != Step::Unknown, hint.weight);
            let is_better =
                |(best, best_at): (StepHint, usize)| (weight(hint), best_at) > (weight(best), at);
            if best.is_none_or(is_better) {
                best = Some((hint, at));
            }
        }
        best.map_or(Step::Unknown, |(hint, _)| hint.step)
    }

    fn find_dependency(&self) -> Option<Dependency> {
        let host = self
            .fields
            .host
            .as_ref()
            .and_then(|host| dependency_of_host(&host.value));
        match self.step {
            Step::AssumeRole => Some(Dependency::Credentials),
            Step::Secrets => Some(host.unwrap_or_else(|| {
                if self.names_parameter_store() {
                    Dependency::Ssm
                } else {
                    Dependency::SecretsManager
                }
            })),
            Step::RegistryAuth => Some(Dependency::EcrApi),
            Step::LogDriver => Some(self.log_destination()),
            Step::ImageLayer if host == Some(Dependency::Registry) => Some(Dependency::Registry),
            // The task's own disk is not a dependency.
            Step::ImageLayer if self.sign == Some(Sign::DiskFull) => None,
            // Amazon S3 has no limit of pulls, and the text does not name the registry that has.
            Step::ImageLayer if self.sign == Some(Sign::RateLimited) && host.is_none() => None,
            // Fargate prints the image in place of the bucket's URL. A URL of the registry itself
            // was really requested from the registry.
            Step::ImageLayer
                if host == Some(Dependency::EcrDkr) && self.text.dense.contains("/blobs/") =>
            {
                Some(Dependency::EcrDkr)
            }
            Step::ImageLayer => Some(Dependency::S3),
            Step::EnvironmentFile => Some(Dependency::EnvironmentFile),
            Step::FileSystem => Some(Dependency::Efs),
            Step::ImageManifest => host
                .or_else(|| self.foreign_image().map(|_| Dependency::Registry))
                // No other registry knows the actions of Amazon ECR.
                .or_else(|| {
                    let action = self.fields.denied_action()?;
                    action.starts_with("ecr:").then_some(Dependency::EcrDkr)
                })
                .or_else(|| {
                    let is_named = ["fromtheamazonecrrepository", "ecrimagedoesn'texist"]
                        .iter()
                        .any(|name| self.text.dense.contains(name));
                    is_named.then_some(Dependency::EcrDkr)
                })
                .or_else(|| {
                    let is_worded = OTHER_REGISTRY_WORDING
                        .iter()
                        .any(|part| self.text.dense.contains(part));
                    is_worded.then_some(Dependency::Registry)
                }),
            Step::NetworkInterface | Step::ContainerStart | Step::Unknown => {
                host.filter(|dependency| *dependency != Dependency::Registry)
            }
        }
    }

    /// Returns what the log driver writes to. Docker's drivers for other collectors connect when a
    /// container is created, and their errors follow the name of the driver at once.
    fn log_destination(&self) -> Dependency {
        let host = self.fields.host.as_ref();
        let is_other_host =
            host.and_then(|host| dependency_of_host(&host.value)) == Some(Dependency::Registry);
        let dense = &self.text.dense;
        if dense.contains("loggingdriver:splunk") {
            Dependency::Splunk
        } else if is_other_host
            || [
                "loggingdriver:dial",
                "loggingdriver:gelf",
                "loggingdriver:unixsyslog",
            ]
            .iter()
            .any(|part| dense.contains(part))
        {
            Dependency::LogRouter
        } else {
            Dependency::Logs
        }
    }

    fn names_parameter_store(&self) -> bool {
        ["ssm", "parameterstore", "systemsmanager"]
            .iter()
            .any(|name| self.text.dense.contains(name))
            || self.sign == Some(Sign::ParameterMissing)
    }

    fn find_host(&self) -> Option<String> {
        let host = self.fields.host.as_ref().map(|host| host.value.clone());
        if self.step == Step::ImageLayer
            && self.is_s3_address()
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

    /// Returns the error of [`Reference`] for a registry host that is meant to be one of Amazon
    /// ECR. Users mask account IDs, so any account is accepted; a host without a Region proves
    /// nothing, because that may be masked too.
    fn find_ecr_host_error(&self) -> Option<String> {
        let field = self.fields.host.as_ref()?;
        let host = &field.value;
        // The text was wrapped within the account ID, which then ends the previous line.
        let before = field
            .from
            .checked_sub(1)
            .and_then(|at| self.text.dense.as_bytes().get(at));
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
        let error = format!("{account}.{rest}/x").parse::<Reference>().err()?;
        Some(if account.is_empty() {
            "the account ID is missing before .dkr.ecr".into()
        } else {
            error.to_string()
        })
    }
}
