//! AWS's error messages, verbatim (docs/facts/denials.md), in the form of each protocol.

use hyper::StatusCode;

use super::names::{PRINCIPAL, repository_arn};

/// An error that a service returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// HTTP status.
    pub status: StatusCode,
    /// The error code: an exception's name, a registry's code in capitals, or an S3 code.
    pub code: &'static str,
    /// The error message.
    pub message: String,
}

impl ServiceError {
    /// Returns an error of the given protocol-specific code.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// Returns an error of a JSON service, whose status is always 400.
    pub fn json(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Returns IAM's denial from a JSON service. `reason` is the clause that names the policy type;
    /// it may be empty.
    pub fn access_denied(action: &str, resource: &str, reason: &str) -> Self {
        Self::json(
            "AccessDeniedException",
            not_authorized(action, resource, reason),
        )
    }

    /// Returns IAM's denial from the registry, which authorizes every call.
    pub fn pull_denied(action: &str, reason: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "DENIED",
            not_authorized(action, &repository_arn(), reason),
        )
    }
}

fn not_authorized(action: &str, resource: &str, reason: &str) -> String {
    let message =
        format!("User: {PRINCIPAL} is not authorized to perform: {action} on resource: {resource}");
    if reason.is_empty() {
        message
    } else {
        format!("{message} {reason}")
    }
}
