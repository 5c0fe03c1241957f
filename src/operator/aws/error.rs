//! Why a call did not do what it was asked for, and what to do next.

use std::fmt;

use aws_credential_types::provider::error::CredentialsError;

use super::Api;
use crate::aws::error_response::ErrorResponse;
use crate::observation::{Failure, PolicyKind};
use crate::redact::{one_line, redact, shorten};

/// A call that failed. Nothing secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was sent: no region, no credentials, or a request that cannot be written.
    #[error("{0}")]
    Setup(String),
    /// Nobody answered, or the answer broke off.
    #[error("{action}: {detail}")]
    Unanswered {
        /// `ecs:RunTask`.
        action: String,
        /// What happened, and what to look at.
        detail: String,
        /// Whether the request can have reached the service.
        sent: bool,
    },
    /// The service answered with something that is not its own.
    #[error("{action}: the answer cannot be read: {detail}")]
    Unreadable {
        /// `ecs:RunTask`.
        action: String,
        /// The parser's words.
        detail: String,
    },
    /// The service said no.
    #[error("{}", said(.action, .refusal))]
    Refused {
        /// `ecs:RunTask`.
        action: String,
        /// In which words.
        refusal: Box<ErrorResponse>,
    },
}

impl Error {
    pub(super) fn no_credentials(error: &CredentialsError) -> Self {
        let detail = chain(error);
        Self::Setup(format!(
            "no credentials of yours were found ({detail}): log in (`aws sso login`), name a profile with AWS_PROFILE, or \
             set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ))
    }

    pub(super) fn transport(api: Api, operation: &str, error: &reqwest::Error) -> Self {
        let hint = if error.is_connect() {
            "; check the network and the region, or the proxy that HTTPS_PROXY names"
        } else if error.is_timeout() {
            "; try again, or check the network"
        } else {
            ""
        };
        let detail = format!("{}{hint}", chain(error));
        Self::Unanswered {
            action: api.action(operation),
            detail,
            sent: !error.is_connect(),
        }
    }

    pub(super) fn unreadable(api: Api, operation: &str, error: &dyn fmt::Display) -> Self {
        Self::Unreadable {
            action: api.action(operation),
            detail: shorten(&one_line(&error.to_string()), 300).to_owned(),
        }
    }

    pub(super) fn refused(api: Api, operation: &str, refusal: ErrorResponse) -> Self {
        Self::Refused {
            action: api.action(operation),
            refusal: Box::new(refusal),
        }
    }

    /// Whether the same call may work in a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Setup(_) | Self::Unreadable { .. } => false,
            Self::Unanswered { .. } => true,
            Self::Refused { refusal, .. } => matches!(
                refusal.failure,
                Failure::Throttled | Failure::ServiceFailure
            ),
        }
    }

    /// Whether the answer was longer than a call may return: asking for less may help.
    pub fn is_too_long(&self) -> bool {
        matches!(self, Self::Unreadable { detail, .. } if detail == super::TOO_LONG)
    }

    /// Whether the service asked to be called less often.
    pub fn is_throttling(&self) -> bool {
        self.failure() == Some(Failure::Throttled)
    }

    /// In which way the service said no, if it did.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.failure),
            _ => None,
        }
    }

    /// The service's error code, such as `ClusterNotFoundException`; empty if it gave none.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { refusal, .. } => &refusal.code,
            _ => "",
        }
    }
}

/// The refusal in the service's words, and where a permission is missing the statement that grants
/// it.
fn said(action: &str, refusal: &ErrorResponse) -> String {
    let ErrorResponse {
        code,
        message,
        failure,
        denial,
        ..
    } = refusal;
    let words: Vec<_> = [code.as_str(), message.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    let next = match failure {
        Failure::Denied => {
            let denial = denial.as_ref();
            // A refused RunTask may be about `iam:PassRole`, which the text names.
            let action = denial
                .and_then(|denial| denial.action.as_deref())
                .unwrap_or(action);
            let resource = denial
                .and_then(|denial| denial.resource.as_deref())
                .unwrap_or("*");
            match denial
                .and_then(|denial| denial.policy)
                .filter(|_| denial.is_some_and(|denial| denial.explicit))
            {
                Some(policy) => {
                    format!(
                        "; {} says no in so many words: change it, an allow elsewhere does not help",
                        kind(policy)
                    )
                }
                None => format!(
                    "; this statement in a policy of yours grants it: {}",
                    serde_json::json!({ "Effect": "Allow", "Action": action, "Resource": resource })
                ),
            }
        }
        Failure::ExpiredToken => "; log in again (`aws sso login`, or new temporary keys)".into(),
        Failure::Unauthenticated | Failure::InvalidSignature => {
            "; check AWS_PROFILE and the keys: AWS does not know them, or not in this region".into()
        }
        Failure::ClockSkewed => "; set this machine's clock".into(),
        Failure::Throttled => {
            "; too many calls in this account and region: try again in a minute".into()
        }
        _ => String::new(),
    };
    format!("{action}: {}{next}", words.join(": "))
}

fn kind(policy: PolicyKind) -> &'static str {
    match policy {
        PolicyKind::Identity => "a policy of your own",
        PolicyKind::Resource => "the resource's policy",
        PolicyKind::VpcEndpoint => "the VPC endpoint's policy",
        PolicyKind::PermissionsBoundary => "your permissions boundary",
        PolicyKind::Session => "the session policy",
        PolicyKind::ServiceControl => "a service control policy of the organization",
        PolicyKind::ResourceControl => "a resource control policy of the organization",
        PolicyKind::RoleTrust => "the role's trust policy",
        PolicyKind::KmsKey => "the key's policy",
    }
}

/// An error with its causes: the libraries keep what happened in the last of them.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = error.source();
    }
    shorten(&redact(&one_line(&text)), 500).to_owned()
}
