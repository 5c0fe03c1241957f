//! What runs where the operator sits, not in the task's subnet: calls to AWS with the operator's
//! own credentials.
//!
//! Nothing imports this but [`crate::command`]. All of it is behind the feature `operator`, which
//! the image is built without.

pub mod aws;
pub mod dry_run;
mod ecs;
pub mod gc;
pub mod launch;
pub mod schedule;
pub mod stopped;
