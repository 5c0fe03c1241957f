//! What is probed, and from where: the flags that `launch` and `schedule` share.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::duration;
use crate::endpoints::Region;
use crate::plan::Expect;

/// A service, or a task definition with its subnets; and the probe that is sent there.
#[derive(Debug, Args)]
pub struct Target {
    /// The cluster, by its name or ARN [default: the one in an ARN, then `default`]
    #[arg(long, value_name = "C")]
    pub cluster: Option<String>,
    /// Probe what this service needs, in each of its subnets: nothing else has to be said
    #[arg(long, value_name = "S")]
    pub service: Option<String>,
    /// Probe what this task definition needs, deployed or not: a file (`-`: stdin), an ARN, or
    /// FAMILY:REVISION; beside --service, for one too large to hand over, s3://BUCKET/KEY or
    /// ssm:/NAME, where the probe reads it
    #[arg(long, value_name = "FILE|ARN")]
    pub task_definition: Option<String>,
    /// Subnets, one task in each [default: those of the service]
    #[arg(long, value_name = "SUBNET", value_delimiter = ',', num_args = 1..)]
    pub subnets: Vec<String>,
    /// Security groups of the task [default: those of the service; without one, the VPC's default
    /// group]
    #[arg(long, value_name = "SG", value_delimiter = ',', num_args = 1..)]
    pub security_groups: Vec<String>,
    /// Give the task a public address [default: as the service has it, otherwise none]
    #[arg(long)]
    pub assign_public_ip: bool,
    /// The probe's image, in your own ECR [default: that of an earlier launch]
    #[arg(long, value_name = "REF", env = "PULLPROBE_PROBE_IMAGE")]
    pub probe_image: Option<String>,
    /// Architecture that the probe's image is built for [default: the task's]
    #[arg(long, value_name = "ARCH", value_enum)]
    pub probe_architecture: Option<Architecture>,
    /// Region [default: the one in an ARN, then that of your environment or profile]
    #[arg(long, value_name = "R")]
    pub region: Option<Region>,
    /// `private`: a public answer for a name that has an interface endpoint service is a finding
    #[arg(long, value_name = "WHAT", value_enum, default_value = "any")]
    pub expect: Expect,
    /// Fetch every layer whole, verify its digest
    #[arg(long)]
    pub full: bool,
    /// The probe's run ends by then
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
}

impl Target {
    /// The first of its names that is an ARN, which says the region and often the cluster.
    pub fn arn(&self) -> Option<&str> {
        let named = [&self.cluster, &self.service, &self.task_definition];
        named
            .into_iter()
            .flatten()
            .map(String::as_str)
            .find(|name| name.starts_with("arn:"))
    }
}

/// What ECS calls the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// linux/amd64
    #[value(name = "X86_64", alias = "amd64")]
    X8664,
    /// linux/arm64
    #[value(name = "ARM64", alias = "arm64")]
    Arm64,
}

impl Architecture {
    /// As a task definition has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X8664 => "X86_64",
            Self::Arm64 => "ARM64",
        }
    }
}
