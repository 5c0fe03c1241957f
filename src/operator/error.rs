//! The error of the commands that call AWS.

use std::fmt;

use super::aws::CallError;

/// Error of a command that calls AWS.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The request cannot be carried out as given; the text says what to change.
    #[error("{0}")]
    Usage(String),
    /// A call failed.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The calls succeeded, but their result is not right; the text says what to do.
    #[error("{0}")]
    Failed(String),
}

impl OperatorError {
    /// Wraps an error that is about the operator's input.
    pub(super) fn usage(error: impl fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }
}
