//! Commands that run with the operator's credentials, outside the task's subnet: `launch`,
//! `inspect`, `install`, `schedule`, `gc`, and `explain` for a task or service.
//!
//! Only [`crate::cli`] and [`crate::command`] import it. All of it is behind the feature
//! `operator`, without which the image is built.

#![allow(
    missing_docs,
    reason = "most members are named as in the AWS API reference"
)]

pub mod aws;
pub mod dry_run;
mod ecs;
mod error;
pub mod fleet;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod gc;
pub mod inspect;
pub mod install;
pub mod launch;
pub mod log_insights;
mod paging;
mod pause;
pub mod price;
pub mod s3;
pub mod schedule;
pub mod stopped;

pub use ecs::{last_segment, with_cluster_hint};
pub use error::OperatorError;
