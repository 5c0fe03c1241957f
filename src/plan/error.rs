//! Why no plan can be derived from inputs or JSON.

use thiserror::Error;

use super::input::InvalidLogGroupName;
use super::override_size::{MAX_OVERRIDE_CHARS, TOO_LARGE_HINT};
use super::s3_object::InvalidS3ObjectArn;
use super::value_from::InvalidValueFrom;
use super::{MAX_PLAN_BYTES, MAX_TARGETS, SCHEMA};

/// Why no plan can be derived from inputs or JSON.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A log group name breaks CloudWatch Logs' rules.
    #[error(transparent)]
    LogGroup(#[from] InvalidLogGroupName),
    /// `credentialsParameter` is an ARN, but not that of a secret.
    #[error("{0:?} is not the ARN of a secret")]
    RegistryLogin(String),
    /// An environment file's ARN is not that of an S3 object.
    #[error(transparent)]
    EnvironmentFile(#[from] InvalidS3ObjectArn),
    /// A secret's `valueFrom` is not valid.
    #[error("valueFrom {text:?}: {problem}", text = .0.text, problem = .0.problem)]
    ValueFrom(#[from] InvalidValueFrom),
    /// A target's name can be used neither in DNS nor in TLS. Shortened.
    #[error("{0:?} is not a valid host name")]
    HostName(String),
    /// More images or hosts than `MAX_TARGETS`.
    #[error("{0} images or hosts exceed the limit of {MAX_TARGETS} per run; split the run")]
    TooManyTargets(usize),
    /// More bytes of JSON than `MAX_PLAN_BYTES`.
    #[error(
        "the plan has {0} bytes, which exceeds the limit of {MAX_PLAN_BYTES} per run; split the run"
    )]
    TooManyBytes(usize),
    /// More characters than RunTask accepts as an override.
    #[error(
        "the plan takes {0} characters of RunTask's overrides, which ECS limits to \
         {MAX_OVERRIDE_CHARS}: {TOO_LARGE_HINT}"
    )]
    TooLongForOverride(usize),
    /// The JSON names another schema.
    #[error("the plan's schema is {0:?}; this binary reads {SCHEMA:?}")]
    Schema(String),
    /// The JSON lists targets other than those that its inputs give.
    #[error("the targets do not match the other fields of the plan; leave them out")]
    Targets,
    /// The text is not valid JSON, or not the JSON of a plan.
    #[error("not the output of `pullprobe plan --format json`: {0}")]
    Json(String),
}
