//! The vocabulary: dependency, phase, outcome, failure, observation. This module imports nothing
//! from this crate except the type of its texts.
//!
//! An [`Observation`] is one phase of one target at one address, with all the evidence that rules
//! need. [`crate::diagnose`] needs nothing else, so a newer binary can diagnose an old report
//! again.

mod certificate;
mod connection;
mod id;
mod lookup;
mod response;

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use certificate::Certificate;
pub use connection::{Scope, SourcePorts};
pub use id::{InvalidObservationId, ObservationId, TargetKey};
pub use lookup::{Lookup, LookupResult, Purpose};
pub use response::{Answer, Denial, PolicyKind, RateLimit};

use crate::safe_text::{SafeText, safe_text, visible_option, visible_string};

/// What a task's launch depends on. AWS calls these task launch dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Dependency {
    /// The container credentials endpoint, or access keys in the environment.
    Credentials,
    /// The task metadata endpoint, version 4.
    Metadata,
    /// `api.ecr.<region>`: issues the registry token.
    #[serde(rename = "ecr.api")]
    EcrApi,
    /// `<account>.dkr.ecr.<region>`: manifests, and redirects to layers.
    #[serde(rename = "ecr.dkr")]
    EcrDkr,
    /// Amazon S3, where ECR stores image layers.
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
    /// The HTTP Event Collector that the splunk log driver writes to.
    Splunk,
    /// A destination of the log router (the awsfirelens log driver).
    LogRouter,
    /// The Systems Manager message channel of ECS Exec.
    #[serde(rename = "ssmmessages")]
    SsmMessages,
    /// The endpoint from which the Service Connect proxy gets its configuration.
    ServiceConnect,
    /// The endpoint to which the agent of GuardDuty Runtime Monitoring reports.
    #[serde(rename = "guardduty-data")]
    GuardDutyData,
    /// The services that the container agent of an instance calls: `ecs`, `ecs-agent` and
    /// `ecs-telemetry`.
    EcsAgent,
    /// This machine's clock, compared with those of the services.
    Clock,
}

impl Dependency {
    /// Every dependency, in the order in which a Fargate task contacts them: secrets, registry
    /// token, log stream, manifest, layers (as observed; the place of environment files and file
    /// systems is not known), then what a task starts without. The clock is last: it is read from
    /// the services' answers, and if it is wrong, the requests that failed because of it come
    /// first.
    pub const START_ORDER: [Self; 18] = [
        Self::Metadata,
        Self::Credentials,
        Self::SecretsManager,
        Self::Ssm,
        Self::EcrApi,
        Self::Logs,
        Self::Splunk,
        Self::EcrDkr,
        Self::Registry,
        Self::S3,
        Self::EnvironmentFile,
        Self::Efs,
        Self::LogRouter,
        Self::SsmMessages,
        Self::ServiceConnect,
        Self::GuardDutyData,
        Self::EcsAgent,
        Self::Clock,
    ];

    /// Returns the name in reports.
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
            Self::GuardDutyData => "guardduty-data",
            Self::EcsAgent => "ecs-agent",
            Self::Clock => "clock",
        }
    }

    /// Returns the service's name for a sentence.
    pub const fn service(self) -> &'static str {
        match self {
            Self::Credentials => "the credentials endpoint",
            Self::Metadata => "the task metadata endpoint",
            Self::EcrApi => "the Amazon ECR API",
            Self::EcrDkr => "the Amazon ECR registry",
            Self::S3 => "Amazon S3",
            Self::Logs => "CloudWatch Logs",
            Self::SecretsManager => "Secrets Manager",
            Self::Ssm => "Parameter Store",
            Self::Registry => "the registry",
            Self::Efs => "the EFS file system",
            Self::EnvironmentFile => "the environment file's S3 bucket",
            Self::Splunk => "the Splunk collector",
            Self::LogRouter => "the log router's destination",
            Self::SsmMessages => "the ECS Exec channel",
            Self::ServiceConnect => "the Service Connect endpoint",
            Self::GuardDutyData => "the GuardDuty endpoint",
            Self::EcsAgent => "the container agent's endpoint",
            Self::Clock => "the clock",
        }
    }

    /// Whether AWS offers an interface VPC endpoint that the puller would use. Amazon S3 has one as
    /// well, but image layers come through a gateway endpoint (docs/facts/ecs-start.md#7).
    pub const fn has_interface_endpoint(self) -> bool {
        matches!(
            self,
            Self::EcrApi
                | Self::EcrDkr
                | Self::Logs
                | Self::SecretsManager
                | Self::Ssm
                | Self::SsmMessages
                | Self::GuardDutyData
                | Self::EcsAgent
        )
    }

    /// Whether a task starts without it: a log router retries, an ECS Exec session fails only when
    /// opened, and AWS does not document how long the Service Connect proxy waits. GuardDuty's
    /// agent is not essential. An instance whose agent has lost its connection to ECS runs no new
    /// task, but a probe that runs on the instance shows that it has not. The splunk log driver, in
    /// contrast, checks its collector first.
    pub const fn starts_without(self) -> bool {
        matches!(
            self,
            Self::LogRouter
                | Self::SsmMessages
                | Self::ServiceConnect
                | Self::GuardDutyData
                | Self::EcsAgent
        )
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A phase of a target's check. Each needs the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// DNS lookup.
    Resolve,
    /// TCP connection.
    Connect,
    /// TLS handshake.
    Handshake,
    /// `GetAuthorizationToken`.
    Authorize,
    /// The image's manifest, through the index to that of the platform.
    Manifest,
    /// The registry's redirect for a config or layer.
    Blob,
    /// Bytes from where the redirect points.
    Fetch,
    /// `CreateLogStream` and `PutLogEvents`.
    Write,
    /// `GetSecretValue`, `GetParameters`; the credentials and metadata endpoints; the clock.
    Read,
    /// An NFS call to the file system.
    Mount,
}

impl Phase {
    /// Returns the name in reports.
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

    /// Every phase, in order.
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

    /// Whether this phase is an exchange over an established connection.
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
    /// The phase works.
    Passed,
    /// The phase was tried and failed.
    Failed {
        /// How it failed.
        failure: Failure,
    },
    /// An earlier phase failed, so this one was not tried.
    NotReached {
        /// The ID of the failed observation, or what ended the run.
        blocked_by: SafeText,
    },
    /// The phase was left out, or cannot be tried from here.
    NotChecked {
        /// The reason, as text.
        why: SafeText,
    },
}

/// How a phase failed. Data, not an error: it deliberately does not implement
/// `std::error::Error`, so that a failing target cannot slip into a `?` chain meant for a failing
/// tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// No answer until the deadline.
    TimedOut,
    /// RST in answer to SYN, or ICMP port unreachable.
    Refused,
    /// The established connection was reset or closed before an answer.
    Reset,
    /// The kernel has no route, or nothing in the task's subnet has the address.
    Unreachable,
    /// A router or firewall on the path answered with ICMP "destination unreachable".
    IcmpUnreachable,
    /// NXDOMAIN.
    NoSuchName,
    /// NODATA: the name exists without an address.
    NoAddress,
    /// SERVFAIL, FORMERR or an answer that is not DNS.
    ServerFailure,
    /// REFUSED.
    QueryRefused,
    /// The certificate's issuer is not among the puller's roots.
    UnknownIssuer,
    /// A trusted certificate, for other names.
    WrongName,
    /// The certificate is past its `notAfter`.
    ExpiredCertificate,
    /// The certificate is not valid before its `notBefore`, which is still to come.
    NotYetValidCertificate,
    /// The peer and the puller do not agree on a TLS version or cipher suite.
    HandshakeRefused,
    /// The exchange began, and then no more data arrived.
    Stalled,
    /// Works, but too slowly for the puller's deadline.
    TooSlow,
    /// A policy denied the request.
    Denied,
    /// The service does not accept the credential, or requires one.
    Unauthenticated,
    /// The requested resource does not exist.
    NotFound,
    /// The signature does not match.
    InvalidSignature,
    /// The request's timestamp is outside what the service accepts.
    ClockSkewed,
    /// The credentials have expired.
    ExpiredToken,
    /// There are no credentials.
    NoCredentials,
    /// The rate limit was exceeded.
    Throttled,
    /// The image exists for other platforms only.
    WrongPlatform,
    /// The content does not match its digest.
    WrongDigest,
    /// The value exists but does not have the required form.
    WrongForm,
    /// The service reports a server error (5xx).
    ServiceFailure,
    /// The answer is larger than any legitimate one.
    TooLarge,
    /// None of the above; see `detail`.
    UnexpectedAnswer,
}

impl Failure {
    /// Returns the predicate of a sentence about the failed step.
    pub const fn predicate(self) -> &'static str {
        match self {
            Self::TimedOut => "timed out",
            Self::Refused => "was refused",
            Self::Reset => "was reset",
            Self::Unreachable => "failed with no route to the host",
            Self::IcmpUnreachable => "was rejected by a router or firewall on the path",
            Self::NoSuchName => "returned NXDOMAIN",
            Self::NoAddress => "returned no address",
            Self::ServerFailure => "returned SERVFAIL",
            Self::QueryRefused => "returned REFUSED",
            Self::UnknownIssuer => "failed on an untrusted certificate",
            Self::WrongName => "failed on a certificate for another name",
            Self::ExpiredCertificate => "failed on an expired certificate",
            Self::NotYetValidCertificate => "failed on a certificate that is not valid yet",
            Self::Stalled => "stalled",
            Self::TooSlow => "was too slow",
            Self::Denied => "was denied",
            Self::Unauthenticated => "failed authentication",
            Self::NotFound => "failed with \"not found\"",
            Self::InvalidSignature => "was rejected for its signature",
            Self::ClockSkewed => "was rejected for its timestamp",
            Self::ExpiredToken => "was rejected for expired credentials",
            Self::NoCredentials => "returned no credentials",
            Self::Throttled => "was throttled",
            Self::WrongPlatform => "found no image for this platform",
            Self::WrongDigest => "returned content with another digest",
            Self::WrongForm => "returned a value of the wrong form",
            Self::ServiceFailure => "failed with a server error",
            Self::TooLarge => "returned too much data",
            Self::UnexpectedAnswer => "returned an unexpected response",
            Self::HandshakeRefused => "failed",
        }
    }
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

/// One phase of one target: the facts that rules reason about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Observation {
    /// `<target>/<phase>[/<peer or subject>]`, unique in a report.
    pub id: ObservationId,
    /// What the task needs the target for.
    pub dependency: Dependency,
    /// Host name; empty for dependencies without one.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "visible_string"
    )]
    pub host: String,
    /// The address to which the probe connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// Where that address is, as seen from the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Owner of a public address according to AWS's published ranges; `null` if no range contains
    /// it.
    #[serde(default)]
    pub owner: Option<SafeText>,
    /// The image, digest, log group or secret that the phase is about.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "visible_option"
    )]
    pub subject: Option<String>,
    /// The phase.
    pub phase: Phase,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// One line of explanation.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub detail: SafeText,
    /// How long the phase took, in milliseconds; missing if a witness reports it.
    #[serde(default)]
    pub elapsed_ms: u64,
    /// How often the phase was tried; missing if a witness reports it.
    #[serde(default)]
    pub attempts: u32,
    /// How many of several equal tries failed, if the phase was repeated to see whether a failure
    /// persists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Tries>,
    /// The failure of the earlier tries, if a later one passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_failure: Option<Failure>,
    /// `clock`: how long this machine kept the probe waiting, if noticeably.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starvation: Option<Starvation>,
    /// Who sent the answer, if there is one. For AWS services, only `service` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<Speaker>,
    /// What was expected, if something else was presented.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<SafeText>,
    /// What was presented instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub presented: Vec<SafeText>,
    /// `resolve`: each query and its answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<Lookup>,
    /// `connect`: results from a spread of source ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<SourcePorts>,
    /// `handshake`: the presented chain, leaf first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Certificate>,
    /// `handshake` that failed with `unknown-issuer`: whether the certificate was checked against
    /// the roots of `--ca-bundle`, not Mozilla's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub custom_roots: bool,
    /// Whether segments of at most [`SMALL_MSS`] bytes ([`SMALL_MSS_IPV6`] for IPv6) got through,
    /// if they were used after a stall of this target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_segments_pass: Option<bool>,
    /// Size in bytes of the largest of several segments that got through, if small ones did and
    /// ordinary ones did not; absent if none of these did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_segment: Option<u32>,
    /// The service's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The host that is used instead, so that this one does not matter to the task.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "visible_option"
    )]
    pub superseded_by: Option<String>,
    /// The source of the observation, if it is not the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// Whether a report omits what its other observations repeat.
    #[serde(skip)]
    pub brief: bool,
    /// Which of a service's deployments pulls this image, if `launch` knows the service's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<ImageDeployment>,
}

/// The value of `presented` in a registry's refusal without a login; with one, it names the secret
/// that holds the login.
pub const NO_LOGIN: &str = "no login";

/// Segment size in bytes of the tries that test packet size: every IPv4 path carries it (RFC 9293
/// section 3.7.1), so whatever then works was stopped by packet size alone.
pub const SMALL_MSS: u32 = 536;

/// The same for IPv6, whose paths carry packets of 1,280 bytes (RFC 8200 section 5).
pub const SMALL_MSS_IPV6: u32 = 1_220;

/// Number of alternations of ordinary and small segments that prove that size decides. If half of
/// all connections hang at random, six stalls and five answers come in this order once in 2,000
/// runs.
const PROVING_TRIES: u32 = 5;

impl Observation {
    /// Returns an observation without evidence.
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
            detail: SafeText::default(),
            elapsed_ms: 0,
            attempts: 1,
            tries: None,
            earlier_failure: None,
            starvation: None,
            speaker: None,
            expected: Vec::new(),
            presented: Vec::new(),
            lookups: Vec::new(),
            source_ports: None,
            chain: Vec::new(),
            custom_roots: false,
            small_segments_pass: None,
            largest_segment: None,
            answer: None,
            superseded_by: None,
            witness: None,
            brief: false,
            deployment: None,
        }
    }

    /// Returns an observation that Amazon ECS reports, for which nothing was timed or tried.
    pub fn reported_by_ecs(
        target: TargetKey,
        dependency: Dependency,
        phase: Phase,
        outcome: Outcome,
    ) -> Self {
        Self {
            attempts: 0,
            witness: Some(Witness::Ecs),
            ..Self::new(target, dependency, phase, outcome)
        }
    }

    /// Whether the phase passed.
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }

    /// Returns the failure, if the phase failed.
    pub fn failure(&self) -> Option<Failure> {
        match self.outcome {
            Outcome::Failed { failure } => Some(failure),
            _ => None,
        }
    }

    /// Returns the denial that the service explained, in parts.
    pub fn denial(&self) -> Option<&Denial> {
        self.answer.as_ref()?.denial.as_ref()
    }

    /// Whether a current task starts although the phase failed: it concerns only a dependency
    /// without which a task starts, or only the next deployment.
    pub fn is_optional(&self) -> bool {
        self.dependency.starts_without() || self.deployment == Some(ImageDeployment::Next)
    }

    /// Whether starvation of the probe may have caused the failure, or that of earlier tries: the
    /// probe or the other side stopped waiting. The kernel opens connections without the probe, so
    /// their silence counts. Segments of one size that all stall, in turns with those of another
    /// size that all pass, show the same on a busy machine.
    pub fn depends_on_time(&self) -> bool {
        let failure = self.failure().or(self.earlier_failure);
        self.phase != Phase::Connect
            && !self.is_decided_by_size()
            && matches!(
                failure,
                Some(Failure::TimedOut | Failure::Stalled | Failure::TooSlow | Failure::Reset)
            )
    }

    /// Whether the segment size decided: at least six ordinary tries all stalled, in turns with
    /// five small ones that passed.
    pub fn is_decided_by_size(&self) -> bool {
        let tries = self.tries.unwrap_or(Tries { failed: 0, of: 0 });
        let small = self.attempts.saturating_sub(tries.of);
        self.small_segments_pass == Some(true)
            && tries.failed == tries.of
            && tries.of > PROVING_TRIES
            && small >= PROVING_TRIES
    }

    /// Whether the observation says something about the service: the service sent the answer,
    /// Amazon ECS reports it, or it comes from an older report, which does not say who sent it.
    pub fn is_of_the_service(&self) -> bool {
        matches!(self.speaker, None | Some(Speaker::Service))
    }

    /// Marks the observation as failed, because an intermediary answered in the service's place.
    pub fn reject_foreign_answer(&mut self) {
        let status = self.answer.as_ref().map_or(0, |answer| answer.status);
        self.outcome = Outcome::Failed {
            failure: Failure::UnexpectedAnswer,
        };
        self.detail = safe_text![
            "status ",
            status.to_string(),
            ", but not an answer of the service; it may come from a proxy",
        ];
    }

    /// Returns the target's key.
    pub fn target(&self) -> &TargetKey {
        &self.id.target
    }

    /// Calls `text` with every text and `name` with every name that can come from outside. Each
    /// type is destructured completely, so that a new field is not forgotten.
    pub fn for_each_text(&mut self, text: ForEach<'_, SafeText>, name: ForEach<'_, String>) {
        let Self {
            id,
            dependency: _,
            host,
            peer: _,
            scope: _,
            owner,
            subject,
            phase: _,
            outcome,
            detail,
            elapsed_ms: _,
            attempts: _,
            tries: _,
            earlier_failure: _,
            starvation: _,
            speaker: _,
            expected,
            presented,
            lookups,
            source_ports: _,
            chain,
            custom_roots: _,
            small_segments_pass: _,
            largest_segment: _,
            answer,
            superseded_by,
            witness: _,
            brief: _,
            deployment: _,
        } = self;
        id.for_each_name(name);
        name(host);
        for part in [subject, superseded_by].into_iter().flatten() {
            name(part);
        }
        match outcome {
            Outcome::Passed | Outcome::Failed { failure: _ } => {}
            // An observation's ID is a name, and must remain equal to that observation's own ID.
            Outcome::NotReached { blocked_by } => match blocked_by.parse::<ObservationId>() {
                Ok(mut id) => {
                    id.for_each_name(name);
                    *blocked_by = id.to_string().into();
                }
                Err(_) => text(blocked_by),
            },
            Outcome::NotChecked { why } => text(why),
        }
        text(detail);
        owner
            .iter_mut()
            .chain(expected)
            .chain(presented)
            .for_each(&mut *text);
        for lookup in lookups {
            lookup.for_each_text(text, name);
        }
        for certificate in chain {
            certificate.for_each_text(text);
        }
        if let Some(answer) = answer {
            answer.for_each_text(text, name);
        }
    }
}

/// A function that is called with each text of an observation.
pub type ForEach<'a, T> = &'a mut dyn FnMut(&mut T);

/// How many of several equal tries failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tries {
    /// Tries that failed.
    pub failed: u32,
    /// All tries.
    pub of: u32,
}

impl Tries {
    /// Whether some tries failed and some did not, so that the fault is intermittent.
    pub const fn are_mixed(self) -> bool {
        self.failed > 0 && self.failed < self.of
    }
}

/// How long the machine kept the probe from running. Timeouts and stalls of a starved probe prove
/// nothing about the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Starvation {
    /// Longest delay with which a timer of the probe fired, in milliseconds.
    pub late_ms: u64,
    /// Total time that the probe was runnable and waited for a processor, in milliseconds.
    pub waited_ms: u64,
    /// How long the run took, in milliseconds.
    pub run_ms: u64,
}

impl Starvation {
    /// Whether the starvation may have caused a timeout. The shortest time after which the probe
    /// repeats something is 1,200 ms: half a second at a stretch, or a quarter of a run that lasts
    /// for seconds, is a large part of that.
    pub const fn is_severe(self) -> bool {
        self.late_ms >= 500 || self.waited_ms >= 1_000 && self.waited_ms * 4 >= self.run_ms
    }
}

/// Who sent an answer. A refusal, a "not found", a throttle and a success prove something about a
/// service only if the service itself sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Speaker {
    /// The service: the answer has what this service always sends.
    Service,
    /// A proxy, a firewall or a captive portal that answers in the service's place.
    Intermediary,
    /// The answer does not show who sent it.
    Unknown,
}

/// Which of a service's deployments pulls an image. Amazon ECS resolves a tag to a digest when it
/// deploys, and all tasks of that deployment pull the digest (Amazon ECS developer guide,
/// "Container image resolution").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ImageDeployment {
    /// The current deployment: the digest that its revision pins.
    Current,
    /// The next deployment: the tag in the task definition.
    Next,
}

/// The source of an observation that the probe did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// Amazon ECS: a stopped task's reason, a container's exit code.
    Ecs,
    /// AWS Lambda: why a function could not be attached to a subnet, or did not answer.
    Lambda,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_order_lists_each_dependency_once() {
        let mut names = Dependency::START_ORDER.map(Dependency::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Dependency::Clock as usize + 1);
    }

    #[test]
    fn phases_are_listed_as_they_are_declared() {
        assert!(Phase::ALL.is_sorted());
        assert_eq!(Phase::ALL.len(), Phase::Mount as usize + 1);
    }
}
