//! The result of `explain`, and what is known about a message besides its text.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::stated::StatedReason;
use super::step::Step;
use crate::cause::Family;
use crate::diagnose::Finding;
use crate::observation::Dependency;
use crate::safe_text::json_line;

/// Schema name of the JSON document.
pub const SCHEMA: &str = "pullprobe/explanation/v1";

/// Explanation of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explanation {
    /// Always `pullprobe/explanation/v1`.
    pub schema: String,
    /// The message on one line, with secrets removed, at most 4,096 characters.
    pub message: String,
    /// ARN of the stopped task, if a task was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// ECS service that the message or the task names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `stopCode` of the task, if a task was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// When the task stopped or the service event occurred, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_at: Option<String>,
    /// Container whose failure the text describes, if it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Whether the text says that the task had started, so that no step of its start failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub had_started: bool,
    /// Reason that the text states, if no cause has a code for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<StatedReason>,
    /// Step of the task's start that failed.
    pub step: Step,
    /// Family of the failure in the message; it decides the exit code. A cause in `findings` may
    /// belong to another family.
    pub family: Family,
    /// Task launch dependency that failed.
    pub dependency: Option<Dependency>,
    /// Host that the request was sent to.
    pub host: Option<String>,
    /// IP address of the failed connection.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub peer: Option<IpAddr>,
    /// AWS service and Region that own the address, by AWS's published IP ranges.
    pub owner: Option<String>,
    /// What the message proves, each statement with the fragment that proves it.
    pub proven: Vec<String>,
    /// Possible causes, most likely first, never more certain than the message. `because` holds
    /// fragments of the message.
    pub findings: Vec<Finding<String>>,
    /// Commands that narrow the cause down, ready to copy.
    pub next: Vec<String>,
    /// Later steps that this failure prevented, in order.
    pub next_failures: Vec<String>,
}

impl Explanation {
    /// Returns the exit code of the process.
    pub fn exit_code(&self) -> u8 {
        self.family.exit_code()
    }

    /// Returns the JSON document on one line.
    pub fn line(&self) -> String {
        json_line(SCHEMA, self)
    }
}

/// What is known about a message besides its text. It completes the suggested commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageContext {
    /// Name or ARN of the cluster.
    pub cluster: Option<String>,
    /// Name of the ECS service.
    pub service: Option<String>,
    /// Name of the container whose reason the text is.
    pub container: Option<String>,
    /// ARN of the task.
    pub task_arn: Option<String>,
    /// `TaskFailedToStart` and so on.
    pub stop_code: Option<String>,
    /// When the task stopped or the service event occurred, RFC 3339.
    pub said_at: Option<String>,
}
