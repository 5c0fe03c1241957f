//! What an observation may carry besides its outcome: the evidence of each phase.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Failure;

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
    /// The zone that says no: owner name of the SOA in a negative answer (RFC 2308 section 3), or
    /// of the SOA asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The primary name server that this SOA names (RFC 1035 section 3.3.13, MNAME): whose zone it
    /// is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_server: Option<String>,
    /// The answer did not fit UDP and was asked for again over TCP (RFC 7766 section 5), with this
    /// result.
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

/// Connections from a spread of source ports to one address. A stateless filter (a network ACL with
/// a narrow ephemeral range) makes the answer depend on the port; a security group, being stateful,
/// cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourcePorts {
    /// Ports from which the peer answered.
    pub answered: Vec<u16>,
    /// Ports from which it stayed silent.
    pub silent: Vec<u16>,
}

impl SourcePorts {
    /// The silent ports form one or two blocks at the edges of those that answer, two at least on
    /// each side. Lost packets do not sort themselves by port number.
    pub fn are_sorted(&self) -> bool {
        let (Some(first), Some(last)) = (self.answered.iter().min(), self.answered.iter().max())
        else {
            return false;
        };
        let outside = self.silent.iter().all(|port| port < first || port > last);
        outside && self.silent.len() > 1 && self.answered.len() > 1
    }
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
    /// Bytes of the request, head and body: one longer than a segment proves the path there for
    /// full-sized packets.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub request_bytes: u64,
    /// Bytes of body read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Throughput of a whole layer (`--full`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<u64>,
    /// Time until the first byte of the answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_byte_ms: u64,
    /// What the service says of its limit, in headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

/// A service's own words on how often it may be asked, as its headers have them (Docker Hub: "Pull
/// usage and limits").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RateLimit {
    /// `ratelimit-limit`: `100;w=21600` is a hundred in six hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// `ratelimit-remaining`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<String>,
    /// `docker-ratelimit-source`: the address or account that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `retry-after`: seconds, or a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde's skip_serializing_if asks for"
)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// An authorisation refusal, taken apart (grammar: AWS IAM user guide, "Troubleshoot access denied
/// error messages").
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

/// Somebody other than the probe whose word an observation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// Amazon ECS: a stopped task's reasons, a container's exit code.
    Ecs,
}
