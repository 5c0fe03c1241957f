//! Why ECS would reject a task definition.

use std::fmt;

use thiserror::Error;

use super::MAX_SIZE;
use crate::reference::InvalidReference;

/// Maximum number of problems of a task definition that are listed at once.
pub(super) const MAX_LISTED_PROBLEMS: usize = 5;

/// Why a document is not a task definition that ECS would accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidTaskDefinition {
    /// It is larger than [`MAX_SIZE`].
    TooLarge,
    /// It is not UTF-8.
    NotUtf8,
    /// It is empty.
    Empty,
    /// It is not JSON; contains the parser's message.
    NotJson(String),
    /// The JSON breaks ECS's rules. Never empty.
    Rejected(Vec<TaskDefinitionError>),
}

/// A value that ECS would reject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDefinitionError {
    /// JSON path, such as `containerDefinitions[0].image`; empty for the whole document.
    pub path: String,
    /// What is wrong with the value.
    pub problem: Problem,
}

impl fmt::Display for TaskDefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, problem } = self;
        if path.is_empty() {
            write!(f, "not a task definition: {problem}")
        } else {
            write!(f, "{path}: {problem}")
        }
    }
}

impl std::error::Error for TaskDefinitionError {}

/// What is wrong with a value of a task definition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// One sentence.
    #[error("{0}")]
    Rule(String),
    /// An image reference, quoted on a line of its own with carets under the mistake.
    #[error(transparent)]
    ImageReference(InvalidReference),
    /// A template leaves the value open. The reader leaves it out and goes on.
    #[error("{text:?} is {reason}")]
    Open {
        /// As in the template.
        text: String,
        /// A clause that follows "is".
        reason: String,
    },
}

impl InvalidTaskDefinition {
    /// Returns the error with `label` as the name of the document. Problems follow a colon: on the
    /// same line if it is one sentence, else on the lines below.
    pub fn with_label(&self, label: impl fmt::Display) -> String {
        match self {
            Self::TooLarge => format!(
                "{label} has more than {MAX_SIZE} bytes; ECS accepts task definitions of at most 65536"
            ),
            Self::NotUtf8 => format!("{label} is not UTF-8 text; save it as UTF-8"),
            Self::Empty => {
                format!("{label} is empty; pass the output of `aws ecs describe-task-definition`")
            }
            Self::NotJson(error) => format!("{label} is not valid JSON: {error}"),
            Self::Rejected(errors) => match errors.as_slice() {
                [only] if only.path.is_empty() => format!("{label} is {only}"),
                [only] if !matches!(only.problem, Problem::ImageReference(_)) => {
                    format!("{label}: {only}")
                }
                _ => format!("{label}:\n{self}"),
            },
        }
    }
}

impl fmt::Display for InvalidTaskDefinition {
    /// Writes one line, or the first problems, each on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(errors) => {
                for (n, error) in errors.iter().take(MAX_LISTED_PROBLEMS).enumerate() {
                    let separator = if n == 0 { "" } else { "\n" };
                    write!(f, "{separator}{error}")?;
                }
                match errors.len().saturating_sub(MAX_LISTED_PROBLEMS) {
                    0 => Ok(()),
                    1 => f.write_str("\nand 1 more problem"),
                    more => write!(f, "\nand {more} more problems"),
                }
            }
            _ => f.write_str(&self.with_label("the task definition")),
        }
    }
}

impl std::error::Error for InvalidTaskDefinition {}
