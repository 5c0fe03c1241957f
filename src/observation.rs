//! The vocabulary: what was looked at, what was seen. A leaf: it imports nothing of ours.
//!
//! An [`Observation`] is one phase of one target at one address, with everything a rule may want to
//! ask about it. [`crate::diagnose`] needs nothing else, so an old report can be diagnosed again by
//! a newer binary.

mod id;
mod seen;

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use id::{InvalidObservationId, ObservationId, TargetKey};
pub use seen::{
    Answer, Certificate, Denial, Lookup, LookupResult, PolicyKind, Purpose, RateLimit, Scope,
    SourcePorts, Witness,
};

/// What a target is to the task that is about to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Dependency {
    /// The container credentials endpoint, or the environment's keys.
    Credentials,
    /// The task metadata endpoint, version 4.
    Metadata,
    /// `api.ecr.<region>`: hands out the registry token.
    #[serde(rename = "ecr.api")]
    EcrApi,
    /// `<account>.dkr.ecr.<region>`: manifests, and redirects to layers.
    #[serde(rename = "ecr.dkr")]
    EcrDkr,
    /// The layer bucket.
    S3,
    /// CloudWatch Logs.
    Logs,
    /// AWS Secrets Manager.
    #[serde(rename = "secretsmanager")]
    SecretsManager,
    /// Systems Manager Parameter Store.
    Ssm,
    /// Any registry that is not Amazon ECR.
    Registry,
    /// Amazon EFS.
    Efs,
    /// The S3 bucket of an environment file.
    EnvironmentFile,
    /// The HTTP event collector that the splunk log driver writes to.
    Splunk,
    /// What the log router of the awsfirelens log driver writes to.
    LogRouter,
    /// The channel of ECS Exec.
    #[serde(rename = "ssmmessages")]
    SsmMessages,
    /// Where the Service Connect proxy gets its configuration.
    ServiceConnect,
    /// This machine's clock against those of the services.
    Clock,
}

impl Dependency {
    /// Every dependency, in the order in which ECS meets them.
    pub const ALL: [Self; 16] = [
        Self::Credentials,
        Self::Metadata,
        Self::EcrApi,
        Self::EcrDkr,
        Self::S3,
        Self::Logs,
        Self::SecretsManager,
        Self::Ssm,
        Self::Registry,
        Self::Efs,
        Self::EnvironmentFile,
        Self::Splunk,
        Self::LogRouter,
        Self::SsmMessages,
        Self::ServiceConnect,
        Self::Clock,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Metadata => "metadata",
            Self::EcrApi => "ecr.api",
            Self::EcrDkr => "ecr.dkr",
            Self::S3 => "s3",
            Self::Logs => "logs",
            Self::SecretsManager => "secretsmanager",
            Self::Ssm => "ssm",
            Self::Registry => "registry",
            Self::Efs => "efs",
            Self::EnvironmentFile => "environment-file",
            Self::Splunk => "splunk",
            Self::LogRouter => "log-router",
            Self::SsmMessages => "ssmmessages",
            Self::ServiceConnect => "service-connect",
            Self::Clock => "clock",
        }
    }

    /// Whether AWS offers an interface endpoint that the puller would use for it. Amazon S3 has one
    /// as well, but image layers reach S3 through a gateway endpoint (facts: ecs-start, section 7).
    pub const fn has_interface_endpoint(self) -> bool {
        matches!(
            self,
            Self::EcrApi
                | Self::EcrDkr
                | Self::Logs
                | Self::SecretsManager
                | Self::Ssm
                | Self::SsmMessages
        )
    }

    /// Whether a task starts without it: a log router retries, a session fails when somebody asks
    /// for one, and how long the Service Connect proxy waits AWS does not say. The splunk driver,
    /// in contrast, tests its collector first.
    pub const fn starts_without(self) -> bool {
        matches!(
            self,
            Self::LogRouter | Self::SsmMessages | Self::ServiceConnect
        )
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A rung of the ladder. Each needs the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Name to addresses.
    Resolve,
    /// TCP.
    Connect,
    /// TLS.
    Handshake,
    /// `GetAuthorizationToken`.
    Authorize,
    /// The image's manifest, down to the platform's own.
    Manifest,
    /// The registry's redirect for a config or layer.
    Blob,
    /// Bytes, from where the redirect points.
    Fetch,
    /// `CreateLogStream` and `PutLogEvents`.
    Write,
    /// `GetSecretValue`, `GetParameters`; the credentials and metadata endpoints; the clock.
    Read,
    /// NFS answers.
    Mount,
}

impl Phase {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Authorize => "authorize",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Fetch => "fetch",
            Self::Write => "write",
            Self::Read => "read",
            Self::Mount => "mount",
        }
    }

    /// Every phase, in the order of the ladder.
    pub const ALL: [Self; 10] = [
        Self::Resolve,
        Self::Connect,
        Self::Handshake,
        Self::Authorize,
        Self::Manifest,
        Self::Blob,
        Self::Fetch,
        Self::Write,
        Self::Read,
        Self::Mount,
    ];

    /// Returns the phase of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// Whether this phase is an exchange with a service that is already connected.
    pub const fn is_exchange(self) -> bool {
        !matches!(self, Self::Resolve | Self::Connect | Self::Handshake)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a phase ended. The four are never folded into each other: "not checked" is not "no".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It works.
    Passed,
    /// It was tried and does not.
    Failed {
        /// In which way.
        failure: Failure,
    },
    /// Something before it failed, so it was never tried.
    NotReached {
        /// The id of the observation that stood in the way, or what ended the run.
        blocked_by: String,
    },
    /// It was left out, or cannot be tried from here.
    NotChecked {
        /// The reason, for a person.
        why: String,
    },
}

/// How a target failed. Data, not an error: it deliberately does not implement `std::error::Error`,
/// so that a failing target cannot slip into a `?` chain meant for a failing tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// Silence until the deadline.
    TimedOut,
    /// RST in answer to SYN, or ICMP port unreachable.
    Refused,
    /// The established connection was reset or closed before an answer.
    Reset,
    /// ICMP said the host or network cannot be reached, or the kernel has no route.
    Unreachable,
    /// NXDOMAIN.
    NoSuchName,
    /// NODATA: the name exists without an address.
    NoAddress,
    /// SERVFAIL, FORMERR or an answer that is no DNS.
    ServerFailure,
    /// The resolver answered REFUSED.
    QueryRefused,
    /// The certificate's issuer is not among the puller's roots.
    UnknownIssuer,
    /// A trusted certificate, for other names.
    WrongName,
    /// Past `notAfter`.
    ExpiredCertificate,
    /// Before `notBefore`.
    NotYetValidCertificate,
    /// TLS, and not one that could be agreed on.
    HandshakeRefused,
    /// It began and then nothing more came.
    Stalled,
    /// It works too slowly to be waited for.
    TooSlow,
    /// A policy said no.
    Denied,
    /// The service does not know this credential, or wants one.
    Unauthenticated,
    /// The thing asked for does not exist.
    NotFound,
    /// The signature does not match.
    InvalidSignature,
    /// The request's time is outside what the service accepts.
    ClockSkewed,
    /// The credentials are past their time.
    ExpiredToken,
    /// There are no credentials.
    NoCredentials,
    /// Rate limit.
    Throttled,
    /// The image exists, for other platforms.
    WrongPlatform,
    /// The bytes are not those that the digest promises.
    WrongDigest,
    /// It exists and does not have the asked form.
    WrongForm,
    /// The service says that it is broken (5xx).
    ServiceFailure,
    /// Larger than anything legitimate.
    TooLarge,
    /// None of the above; `detail` has it.
    UnexpectedAnswer,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = serde_json::to_value(self).ok();
        f.pad(
            name.as_ref()
                .and_then(|name| name.as_str())
                .unwrap_or("failed"),
        )
    }
}

/// One phase of one target: the fact that rules reason about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Observation {
    /// `<target>/<phase>[/<peer or subject>]`, unique in a report.
    pub id: ObservationId,
    /// What the target is to the task.
    pub dependency: Dependency,
    /// The name that was asked for; empty for dependencies without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// The address that was dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// Where that address lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Who owns a public address, by AWS's published ranges; `null` where they do not say.
    pub owner: Option<String>,
    /// The image, digest, log group or secret that the phase is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The rung.
    pub phase: Phase,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// One line for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How long the phase took.
    pub elapsed_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// What would have been right, where something else was presented.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<String>,
    /// What was presented instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub presented: Vec<String>,
    /// `resolve`: each question and its answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<Lookup>,
    /// `connect`: what a spread of source ports showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<SourcePorts>,
    /// `handshake`: the presented chain, leaf first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Certificate>,
    /// Set when segments of at most [`SMALL_MSS`] bytes were used, after a stall here or earlier at
    /// this target: whether that worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_segments_pass: Option<bool>,
    /// What the service answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The redirect named another host, so what happens to this one does not matter to the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// Who saw it, where it was not the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
}

/// `presented` of a registry's refusal where no login was presented; else it names the secret that
/// the login is from.
pub const NO_LOGIN: &str = "no login";

/// Segment size of the second try after a stall, bytes. 1,200 of payload fit every path that IPv6
/// allows (1,280, RFC 8200 section 5) and every tunnel in use, so what then works was stopped by
/// packet size alone.
pub const SMALL_MSS: u32 = 1_200;

impl Observation {
    /// An observation without evidence yet.
    pub fn new(target: TargetKey, dependency: Dependency, phase: Phase, outcome: Outcome) -> Self {
        Self {
            id: ObservationId::new(target, phase),
            dependency,
            host: String::new(),
            peer: None,
            scope: None,
            owner: None,
            subject: None,
            phase,
            outcome,
            detail: String::new(),
            elapsed_ms: 0,
            attempts: 1,
            expected: Vec::new(),
            presented: Vec::new(),
            lookups: Vec::new(),
            source_ports: None,
            chain: Vec::new(),
            small_segments_pass: None,
            answer: None,
            superseded_by: None,
            witness: None,
        }
    }

    /// Whether the phase works.
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }

    /// The failure, if it failed.
    pub fn failure(&self) -> Option<Failure> {
        match self.outcome {
            Outcome::Failed { failure } => Some(failure),
            _ => None,
        }
    }

    /// The target's key.
    pub fn target(&self) -> &TargetKey {
        &self.id.target
    }
}
