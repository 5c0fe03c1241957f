//! The operator's input for a launch.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::endpoints::Region;
use crate::plan::{Expect, Platform};

/// What the operator lets run the probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CarrierChoice {
    /// A task where one can start, otherwise a function.
    #[default]
    Auto,
    /// A task on Fargate, or on the service's own capacity.
    Fargate,
    /// A function of AWS Lambda.
    Lambda,
}

impl CarrierChoice {
    /// Returns the value of `--carrier`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fargate => "fargate",
            Self::Lambda => "lambda",
        }
    }
}

/// What functions of AWS Lambda are made of.
#[derive(Debug, Clone, Default)]
pub struct FunctionSpec {
    /// ARN of their role, instead of the one that `install --lambda` made.
    pub role: Option<String>,
    /// Static files that replace those in this binary.
    pub agents: Vec<(Platform, PathBuf)>,
}

/// Input of a launch.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    pub target: TargetSpec,
    pub carrier: CarrierChoice,
    pub function: FunctionSpec,
    /// ARN of a task whose definition and network are used instead of a service's.
    pub like: Option<String>,
    /// Log group for the reports, instead of the task definition's.
    pub log_group: Option<String>,
    /// Time limit from RunTask to the start of the container.
    pub timeout: Duration,
    pub run_id: String,
    pub labels: BTreeMap<String, String>,
}

/// How often the probe runs, and on which capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeUse {
    /// Again and again on Fargate. A schedule outlives the digests that a deployment pins.
    Scheduled,
    /// Once and now, on Fargate.
    OnceOnFargate,
    /// Once and now, on the target's own instances if it has any.
    Once,
}

impl ProbeUse {
    /// Returns how a launch with these flags uses the probe. A task on an instance has no security
    /// groups of its own, so they ask for Fargate.
    pub fn once(carrier: CarrierChoice, security_groups: &[String]) -> Self {
        if carrier == CarrierChoice::Lambda || !security_groups.is_empty() {
            Self::OnceOnFargate
        } else {
            Self::Once
        }
    }
}

/// A service, or a task definition with its subnets, and the probe that runs there. `launch` and
/// `schedule` share it.
#[derive(Debug, Clone)]
pub struct TargetSpec {
    /// Name or ARN.
    pub cluster: Option<String>,
    /// Name or ARN.
    pub service: Option<String>,
    /// File, `-`, ARN, `FAMILY:REVISION`, `s3://BUCKET/KEY` or `ssm:/NAME`.
    pub task_definition: Option<String>,
    /// If empty, those of the service are used.
    pub subnets: Vec<String>,
    /// If empty, those of the service are used.
    pub security_groups: Vec<String>,
    /// `false` keeps the service's setting.
    pub assign_public_ip: bool,
    pub probe_image: Option<String>,
    pub probe_architecture: Option<Architecture>,
    pub region: Option<Region>,
    pub expect: Expect,
    pub use_of_probe: ProbeUse,
    /// Whether the probe downloads whole layers.
    pub full: bool,
    /// Time limit of the probe's run.
    pub deadline: Duration,
}

impl TargetSpec {
    /// Returns its first ARN, which contains the Region and often the cluster.
    pub fn arn(&self) -> Option<&str> {
        [&self.cluster, &self.service, &self.task_definition]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .find(|name| name.starts_with("arn:"))
    }
}

/// CPU architecture of the probe's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    X8664,
    Arm64,
}

impl Architecture {
    /// Returns the value of `cpuArchitecture` in a task definition.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X8664 => "X86_64",
            Self::Arm64 => "ARM64",
        }
    }

    /// Returns the platform in OCI's terms.
    pub fn platform(self) -> Platform {
        Platform::of(
            "linux",
            match self {
                Self::X8664 => "amd64",
                Self::Arm64 => "arm64",
            },
        )
    }
}
