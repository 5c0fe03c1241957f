//! The flags that `launch` and `schedule` share: what the probe checks and where it runs.

use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::duration::run_duration;
use crate::endpoints::Region;
use crate::operator::launch::Architecture;
use crate::plan::Expect;

/// A service, or a task definition with its subnets, and the probe that runs there.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// Cluster, by name or ARN [default: from an ARN, then `default`]
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// Probe what this service needs, in each of its subnets; no other flag is required
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Probe what this task definition needs, deployed or not: a file (`-` reads stdin), an ARN or
    /// FAMILY:REVISION. With --service also s3://BUCKET/KEY or ssm:/NAME, from which the probe
    /// reads a task definition that is too large to pass
    #[arg(long, value_name = "FILE|ARN")]
    pub task_definition: Option<String>,
    /// Subnets, with one task in each [default: from the service]
    #[arg(long, value_name = "SUBNET", value_delimiter = ',', num_args = 1..)]
    pub subnets: Vec<String>,
    /// Security groups of the task [default: from the service, otherwise the VPC's default security
    /// group]
    #[arg(long, value_name = "SECURITY_GROUP", value_delimiter = ',', num_args = 1..)]
    pub security_groups: Vec<String>,
    /// Assign a public IP address to the task [default: the service's setting, otherwise none]
    #[arg(long)]
    pub assign_public_ip: bool,
    /// Image of the probe in your ECR registry [default: the one that `pullprobe install` pushed,
    /// otherwise that of an earlier launch]
    #[arg(long, value_name = "REF", env = "PULLPROBE_PROBE_IMAGE")]
    pub probe_image: Option<String>,
    /// Architecture of the probe's image [default: the task's]
    #[arg(long, value_name = "ARCH", value_enum)]
    pub probe_architecture: Option<Architecture>,
    /// Region [default: from an ARN, then from your environment or profile]
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
    /// Expected addresses of names that an interface VPC endpoint can serve; with `private`, a
    /// public address is a finding
    #[arg(long, value_name = "ADDRESSES", value_enum, default_value = "any")]
    pub expect: Expect,
    /// Download whole layers, verify digests and measure throughput
    #[arg(long)]
    pub full: bool,
    /// Time limit for the probe's run, such as 500ms, 30s or 2m
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = run_duration)]
    pub deadline: Duration,
}

impl ValueEnum for Architecture {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::X8664, Self::Arm64]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let value = PossibleValue::new(self.name());
        Some(match self {
            Self::X8664 => value.alias("amd64").help("linux/amd64"),
            Self::Arm64 => value.alias("arm64").help("linux/arm64"),
        })
    }
}
