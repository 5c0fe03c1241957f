//! Errors of AWS calls, each with the next step for the operator.

use std::fmt;

use crate::aws::error_response::ErrorResponse;
use crate::diagnose::policy_statement;
use crate::observation::{Failure, PolicyKind};
use crate::redact::{one_line, redact, shorten};

/// A failed call. Contains no secrets.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent: no Region, no credentials, or an invalid request.
    #[error("{0}")]
    Setup(String),
    /// No response, or an incomplete one.
    #[error("{action}: {detail}")]
    NoResponse {
        /// IAM action, such as `ecs:RunTask`.
        action: String,
        /// Transport error and what to check.
        detail: String,
    },
    /// The response does not have the service's format.
    #[error("{action}: cannot read the response: {detail}")]
    Unreadable { action: String, detail: String },
    /// The response is larger than `limit` bytes.
    #[error("{action}: the response is larger than {} MiB", limit / (1024 * 1024))]
    TooLarge { action: String, limit: usize },
    /// A list has more than the `pages` that are read.
    #[error("{action} returned more than {pages} pages")]
    TooManyPages { action: String, pages: usize },
    /// The service refused.
    #[error("{}", describe_refusal(.action, .refusal))]
    Refused {
        action: String,
        refusal: Box<ErrorResponse>,
    },
}

impl CallError {
    /// Describes a request without a response, and what to check.
    pub fn transport(action: String, error: &reqwest::Error) -> Self {
        let hint = if error.is_connect() {
            "; check the network, the Region and the proxy in HTTPS_PROXY"
        } else if error.is_timeout() {
            "; try again, or check the network"
        } else {
            ""
        };
        let detail = format!("{}{hint}", chain(error));
        Self::NoResponse { action, detail }
    }

    pub fn unreadable(action: String, error: &dyn fmt::Display) -> Self {
        Self::Unreadable {
            action,
            detail: shorten(&one_line(&error.to_string()), 300).to_owned(),
        }
    }

    /// Wraps the error response of a service.
    pub fn refused(action: String, refusal: ErrorResponse) -> Self {
        Self::Refused {
            action,
            refusal: Box::new(refusal),
        }
    }

    /// Whether the same call may succeed if repeated.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoResponse { .. } => true,
            Self::Refused { refusal, .. } => matches!(
                refusal.failure,
                Failure::Throttled | Failure::ServiceFailure
            ),
            Self::Setup(_)
            | Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::TooManyPages { .. } => false,
        }
    }

    /// Whether the response was too large, so that a narrower call may succeed.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. })
    }

    /// Whether the service throttled the call.
    pub fn is_throttling(&self) -> bool {
        self.failure() == Some(Failure::Throttled)
    }

    /// Returns the kind of the refusal, if the service refused the call.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.failure),
            _ => None,
        }
    }

    /// Names the policy that explicitly denies the call, or the statement that would grant it: on
    /// `resource`, unless the service names a different action from the one that was called.
    /// Returns `None` if the service did not deny the call.
    pub fn denial_hint(&self, resource: &str) -> Option<String> {
        match self {
            Self::Refused { action, refusal } if refusal.failure == Failure::Denied => {
                let named = refusal.denial.as_ref().and_then(|d| d.action.as_ref());
                let is_same = named.is_none_or(|named| named == action);
                let hint = describe_denial(action, refusal, is_same.then_some(resource));
                Some(hint.trim_start_matches("; ").to_owned())
            }
            _ => None,
        }
    }

    /// Returns the IAM action of the call, such as `ecs:RunTask`; empty if nothing was sent.
    pub fn action(&self) -> &str {
        match self {
            Self::Setup(_) => "",
            Self::NoResponse { action, .. }
            | Self::Unreadable { action, .. }
            | Self::TooLarge { action, .. }
            | Self::TooManyPages { action, .. }
            | Self::Refused { action, .. } => action,
        }
    }

    /// Returns the error code, or what else went wrong, for the log.
    pub fn in_short(&self) -> String {
        match self {
            Self::Refused { refusal, .. } => refusal.code.as_str().to_owned(),
            other => other.to_string(),
        }
    }

    /// Returns the service's error code, such as `ClusterNotFoundException`; empty if there is
    /// none.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { refusal, .. } => &refusal.code,
            _ => "",
        }
    }
}

/// Formats the service's error code and message, with the policy statement that grants a missing
/// permission, or another next step.
fn describe_refusal(action: &str, refusal: &ErrorResponse) -> String {
    let message: Vec<_> = [refusal.code.as_str(), refusal.message.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    let next_step = match refusal.failure {
        Failure::Denied => describe_denial(action, refusal, None),
        Failure::ExpiredToken => "; log in again (`aws sso login`, or new temporary keys)".into(),
        Failure::Unauthenticated | Failure::InvalidSignature => {
            "; check AWS_PROFILE and the access keys: AWS does not accept them in this Region"
                .into()
        }
        Failure::ClockSkewed => "; set this machine's clock".into(),
        Failure::Throttled => {
            "; too many calls in this account and Region: try again in a minute".into()
        }
        _ => String::new(),
    };
    let message = message.join(": ");
    let message = if next_step.is_empty() {
        &message
    } else {
        message.trim_end_matches('.')
    };
    format!("{action}: {message}{next_step}")
}

/// Names the policy that denies explicitly, or the statement that would grant the missing
/// permission, on `resource` or the resource in the service's message.
fn describe_denial(action: &str, refusal: &ErrorResponse, resource: Option<&str>) -> String {
    let denial = refusal.denial.as_ref();
    let explicit = denial.filter(|denial| denial.explicit);
    if let Some(policy) = explicit.and_then(|denial| denial.policy) {
        return format!(
            "; {} contains an explicit deny; an allow elsewhere cannot override it",
            policy_name(policy)
        );
    }
    // A refused RunTask may be about `iam:PassRole`, which the message names.
    let called = action;
    let action = denial
        .and_then(|denial| denial.action.as_deref())
        .unwrap_or(action);
    let resource = resource
        .or_else(|| denial?.resource.as_deref())
        .unwrap_or("*");
    let mut statement = policy_statement(action, resource);
    if action == "iam:PassRole" {
        // Without it, the role could be passed to any service.
        statement["Condition"] = serde_json::json!(
            { "StringEquals": { "iam:PassedToService": receiver_of_role(called) } }
        );
    }
    format!("; this statement in one of your policies grants it: {statement}")
}

/// Returns the service that assumes a role which a call passes on.
fn receiver_of_role(called: &str) -> &'static str {
    match called.split(':').next() {
        Some("scheduler") => "scheduler.amazonaws.com",
        Some("lambda") => "lambda.amazonaws.com",
        _ => "ecs-tasks.amazonaws.com",
    }
}

fn policy_name(policy: PolicyKind) -> &'static str {
    match policy {
        PolicyKind::Identity => "one of your identity-based policies",
        PolicyKind::Resource => "the resource-based policy",
        PolicyKind::VpcEndpoint => "the VPC endpoint policy",
        PolicyKind::PermissionsBoundary => "your permissions boundary",
        PolicyKind::Session => "the session policy",
        PolicyKind::ServiceControl => "a service control policy of the organization",
        PolicyKind::ResourceControl => "a resource control policy of the organization",
        PolicyKind::RoleTrust => "the role's trust policy",
        PolicyKind::KmsKey => "the KMS key policy",
    }
}

/// Formats an error with its sources: the libraries put the actual reason into the last one.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        next = error.source();
    }
    shorten(&redact(&one_line(&text)), 500).to_owned()
}
