//! Answers of services: status, error code, denial, rate limit.

use serde::{Deserialize, Serialize};

use super::ForEach;
use crate::safe_text::{SafeText, visible_option};

/// A service's answer, without secrets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The service's error code.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub code: SafeText,
    /// The service's error message, shortened.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub message: SafeText,
    /// The service's request ID, for a support case.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub request_id: SafeText,
    /// The parts of a denial that names an action, a resource or a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
    /// Host of the redirect, without path and query, which carry a signature.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "visible_option"
    )]
    pub redirect_host: Option<String>,
    /// The service's clock minus this machine's, in seconds, from the `Date` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_s: Option<i64>,
    /// Number of bytes of the request, head and body. A request longer than a segment proves that
    /// full-sized packets reach the service.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub request_bytes: u64,
    /// Number of bytes of the body that were read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Throughput of a whole layer, in bytes a second (`--full`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<u64>,
    /// Time until the first byte of the answer, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_byte_ms: u64,
    /// The service's rate limit headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

impl Answer {
    pub(super) fn for_each_text(&mut self, text: ForEach<'_, SafeText>, name: ForEach<'_, String>) {
        let Self {
            status: _,
            code,
            message,
            request_id,
            denial,
            redirect_host,
            clock_offset_s: _,
            request_bytes: _,
            bytes: _,
            bytes_per_s: _,
            first_byte_ms: _,
            rate_limit,
        } = self;
        [code, message, request_id].into_iter().for_each(&mut *text);
        if let Some(host) = redirect_host {
            name(host);
        }
        if let Some(RateLimit {
            limit,
            remaining,
            source,
            retry_after,
        }) = rate_limit
        {
            let values = [limit, remaining, source, retry_after];
            values.into_iter().flatten().for_each(&mut *text);
        }
        if let Some(Denial {
            principal,
            action,
            resource,
            policy: _,
            explicit: _,
            policy_arn,
        }) = denial
        {
            let values = [principal, action, resource, policy_arn];
            values.into_iter().flatten().for_each(text);
        }
    }
}

/// A service's rate limit, from its headers (Docker Hub, "Pull usage and limits").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RateLimit {
    /// `ratelimit-limit`: `100;w=21600` is 100 requests in six hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<SafeText>,
    /// `ratelimit-remaining`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<SafeText>,
    /// `docker-ratelimit-source`: the address or account that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SafeText>,
    /// `retry-after`: seconds, or a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<SafeText>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde's skip_serializing_if asks for"
)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// An authorization denial, in parts (grammar: AWS IAM user guide, "Troubleshoot access denied
/// error messages").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Denial {
    /// ARN of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<SafeText>,
    /// `service:Action`, in the service's spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<SafeText>,
    /// ARN or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<SafeText>,
    /// The kind of policy that denies; `None` if the message does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyKind>,
    /// Whether the denial is explicit ("with an explicit deny") rather than implicit ("because no …
    /// allows").
    #[serde(default)]
    pub explicit: bool,
    /// The policy's ARN, which newer messages contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_arn: Option<SafeText>,
}

/// The kinds of policy that AWS names in a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// Identity-based policy of the role.
    Identity,
    /// Resource-based policy of the repository, secret, bucket or key.
    Resource,
    /// Policy of the VPC endpoint through which the request went.
    VpcEndpoint,
    /// Permissions boundary of the role.
    PermissionsBoundary,
    /// Session policy, passed when the role was assumed.
    Session,
    /// Service control policy of AWS Organizations.
    ServiceControl,
    /// Resource control policy of AWS Organizations.
    ResourceControl,
    /// Trust policy of the role.
    RoleTrust,
    /// Key policy of the KMS key that encrypts a secret.
    KmsKey,
}
