//! The words in which AWS says no, verbatim (facts: denials), in the form of each protocol.

use hyper::StatusCode;

use super::scenario::{ACCOUNT, REGION, REPOSITORY};

/// A service's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// The error code: an exception's name, a registry's code in capitals, an S3 code.
    pub code: &'static str,
    /// What it says.
    pub message: String,
}

/// Who the services see: the execution role, which the task runs with.
pub(super) const PRINCIPAL: &str =
    "arn:aws:sts::123456789012:assumed-role/ecsTaskExecutionRole/0b69d5c0d2a94ff2a2f2dbff0d7f8b2e";

/// ARN of the repository.
pub(super) fn repository_arn() -> String {
    format!("arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{REPOSITORY}")
}

impl Refusal {
    /// An error of a JSON protocol: always 400, whatever the error.
    pub fn json(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message: message.into(),
        }
    }

    /// An error of the registry.
    pub fn registry(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// IAM's no from a JSON service; `reason` is the clause that names the policy, or nothing.
    pub fn access(action: &str, resource: &str, reason: &str) -> Self {
        Self::json(
            "AccessDeniedException",
            not_authorized(action, resource, reason),
        )
    }

    /// IAM's no from the registry, which asks it again at every call.
    pub fn pull(action: &str, reason: &str) -> Self {
        Self::registry(
            StatusCode::FORBIDDEN,
            "DENIED",
            not_authorized(action, &repository_arn(), reason),
        )
    }
}

fn not_authorized(action: &str, resource: &str, reason: &str) -> String {
    let refusal =
        format!("User: {PRINCIPAL} is not authorized to perform: {action} on resource: {resource}");
    if reason.is_empty() {
        refusal
    } else {
        format!("{refusal} {reason}")
    }
}
