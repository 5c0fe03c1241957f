//! The vocabulary: what was looked at, what was seen. A leaf: it imports nothing of ours.
//!
//! An [`Observation`] is one phase of one target at one address, with everything a rule may want to ask about it.
//! [`crate::diagnose`] needs nothing else, so an old report can be diagnosed again by a newer binary.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// What a target is to the task that is about to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
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
    /// This machine's clock against those of the services.
    Clock,
}

impl Role {
    /// Every role, in the order in which ECS meets them.
    pub const ALL: [Self; 12] = [
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
            Self::Clock => "clock",
        }
    }

    /// Whether AWS offers an interface endpoint that the puller would use for it. Amazon S3 has one as well, but
    /// image layers reach S3 through a gateway endpoint (facts: ecs-start, section 7).
    pub const fn has_interface_endpoint(self) -> bool {
        matches!(self, Self::EcrApi | Self::EcrDkr | Self::Logs | Self::SecretsManager | Self::Ssm)
    }
}

impl fmt::Display for Role {
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

/// How a target failed. Data, not an error: it deliberately does not implement `std::error::Error`, so that a failing
/// target cannot slip into a `?` chain meant for a failing tool.
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
        f.pad(name.as_ref().and_then(|name| name.as_str()).unwrap_or("failed"))
    }
}

/// Where an address lies, seen from the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// In the task's own subnet: no network ACL and no route table acts on the way.
    SameSubnet,
    /// In the VPC, or a network joined to it.
    Private,
    /// Everywhere else.
    Public,
}

/// One phase of one target: the fact that rules reason about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Observation {
    /// `<target>/<phase>[/<peer or subject>]`, unique in a report.
    pub id: String,
    /// What the target is to the task.
    pub role: Role,
    /// The name that was asked for; empty for roles without one.
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
    /// Set when a stall was tried again with segments of at most [`SMALL_MSS`] bytes: whether that worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_segments_pass: Option<bool>,
    /// What the service answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The redirect named another host, so what happens to this one does not matter to the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
}

/// Segment size of the second try after a stall, bytes. 1,200 of payload fit every path that IPv6 allows (1,280, RFC 8200
/// section 5) and every tunnel in use, so what then works was stopped by packet size alone.
pub const SMALL_MSS: u32 = 1_200;

impl Observation {
    /// An observation without evidence yet. `target` is the target's key.
    pub fn new(target: &str, role: Role, phase: Phase, outcome: Outcome) -> Self {
        Self {
            id: format!("{target}/{phase}"),
            role,
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

    /// The target's key: the id up to the phase.
    pub fn target(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }
}

/// One DNS question and what came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Lookup {
    /// The name, without the trailing dot that it is asked with.
    pub name: String,
    /// `A`, `AAAA` or `SOA`.
    pub kind: String,
    /// Why it was asked.
    pub purpose: Purpose,
    /// Who was asked last.
    pub resolver: SocketAddr,
    /// What came back.
    #[serde(flatten)]
    pub result: LookupResult,
    /// Addresses in the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Aliases on the way, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Smallest time to live, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
    /// The zone that says no: owner name of the SOA in a negative answer (RFC 2308 section 3), or of the SOA asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The answer did not fit UDP and was asked for again over TCP (RFC 7766 section 5).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_tcp: bool,
    /// Time until the answer.
    pub elapsed_ms: u64,
}

/// Why a name was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The plan needs it.
    Target,
    /// Another name of the same service family: does the family resolve at all?
    Sibling,
    /// A random label: is there a wildcard?
    Wildcard,
    /// Whose zone answers?
    Zone,
    /// A name outside AWS's: does the resolver answer anything?
    Control,
}

/// What a DNS question came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum LookupResult {
    /// Records.
    Answered,
    /// No records, no error, or an error.
    Failed {
        /// Which.
        failure: Failure,
    },
}

/// Connections from a spread of source ports to one address. A stateless filter (a network ACL with a narrow ephemeral
/// range) makes the answer depend on the port; a security group, being stateful, cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourcePorts {
    /// Ports from which the peer answered.
    pub answered: Vec<u16>,
    /// Ports from which it stayed silent, twice.
    pub silent: Vec<u16>,
}

/// One certificate of the presented chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Certificate {
    /// RFC 4514 form.
    pub subject: String,
    /// RFC 4514 form.
    pub issuer: String,
    /// DNS names, leaf only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// RFC 3339.
    pub not_before: String,
    /// RFC 3339.
    pub not_after: String,
}

/// What a service said, without anything secret in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The service's error code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The service's own words, shortened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The service's request id, for a support case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// A refusal that names action, resource or policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
    /// Host of the redirect; its path and query are left out, for they carry a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_host: Option<String>,
    /// The service's clock minus ours, seconds, from the `Date` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_s: Option<i64>,
    /// Bytes of body read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Throughput of a whole layer (`--full`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<u64>,
    /// Time until the first byte of the answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_byte_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde's skip_serializing_if asks for")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// An authorisation refusal, taken apart (grammar: AWS IAM user guide, "Troubleshoot access denied error messages").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Denial {
    /// ARN of who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// `service:Action`, in the case that the service used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// ARN or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The kind of policy that said no; `None` where the text does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyKind>,
    /// True for "with an explicit deny", false for "because no … allows".
    #[serde(default)]
    pub explicit: bool,
    /// The policy's ARN, in the newest form of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_arn: Option<String>,
}

/// The kinds of policy that AWS names in a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// On the role itself.
    Identity,
    /// On the repository, secret, bucket or key.
    Resource,
    /// On the VPC endpoint that the request travelled through.
    VpcEndpoint,
    /// Permissions boundary of the role.
    PermissionsBoundary,
    /// Passed when the role was assumed.
    Session,
    /// AWS Organizations.
    ServiceControl,
    /// AWS Organizations.
    ResourceControl,
    /// Trust policy of the role.
    RoleTrust,
    /// The KMS key behind a secret.
    KmsKey,
}
