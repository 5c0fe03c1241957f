//! The flags of `pullprobe inspect`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::endpoints::Region;
use crate::inspect::PatchLanguage;
use crate::operator::launch::{ProbeUse, TargetSpec};
use crate::plan::Expect;

/// `pullprobe inspect`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct InspectArgs {
    /// Cluster, by name or ARN [default: from an ARN, then `default`]
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// Inspect what this service needs, from each of its subnets; no other flag is required
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Inspect what this task needs, from its subnet
    #[arg(long, value_name = "TASK_ARN", conflicts_with_all = ["service", "task_definition"])]
    pub like: Option<String>,
    /// Inspect what this task definition needs, deployed or not: a file (`-` reads stdin), an ARN
    /// or FAMILY:REVISION
    #[arg(long, value_name = "FILE|ARN")]
    pub task_definition: Option<String>,
    /// Subnets to inspect [default: from the service]
    #[arg(long, value_name = "SUBNET", value_delimiter = ',', num_args = 1..)]
    pub subnets: Vec<String>,
    /// Security groups of the task [default: from the service, otherwise the VPC's default security
    /// group]
    #[arg(long, value_name = "SECURITY_GROUP", value_delimiter = ',', num_args = 1..)]
    pub security_groups: Vec<String>,
    /// The task gets a public IP address [default: the service's setting, otherwise none]
    #[arg(long)]
    pub assign_public_ip: bool,
    /// Region [default: from an ARN, then from your environment or profile]
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
    /// Inspect only the network, before anything is deployed; skip the role, images, secrets and
    /// log groups
    #[arg(long)]
    pub plan_only: bool,
    /// Write everything that was read to FILE
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Evaluate the file that --save wrote, offline and without credentials
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "cluster", "service", "like", "task_definition", "subnets", "security_groups", "assign_public_ip", "region",
        "save",
    ])]
    pub from: Option<PathBuf>,
    /// Join the configuration with what packets showed: a report of `probe`, or of `launch` with
    /// one line for each subnet (`-` reads stdin). Without other flags its service or task is read,
    /// then its subnet
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print only the smallest changes that let the task start, in this language
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    pub patch: Option<PatchLanguage>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: InspectFormat,
}

const HELP: &str = "\
Exit codes: 10 to 20 by the family of the first finding · otherwise 3 if a hop depends on something that cannot be read or seen,
4 if the task would start but something is wrong, 0 if every hop is open · 1 an AWS call failed · 2 invalid arguments.
With --report packets decide whether the task starts, and the configuration which object is at fault";

/// How an inspection is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum InspectFormat {
    /// Human-readable text
    #[default]
    Text,
    /// One line of JSON (pullprobe/inspection/v1)
    Json,
}

impl ValueEnum for PatchLanguage {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Terraform, Self::CloudFormation, Self::Cli]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(match self {
            Self::Terraform => clap::builder::PossibleValue::new("terraform"),
            Self::CloudFormation => clap::builder::PossibleValue::new("cloudformation"),
            Self::Cli => clap::builder::PossibleValue::new("cli").help("Commands of the AWS CLI"),
        })
    }
}

impl From<&InspectArgs> for TargetSpec {
    fn from(args: &InspectArgs) -> Self {
        Self {
            cluster: args.cluster.clone(),
            service: args.service.clone(),
            task_definition: args.task_definition.clone(),
            subnets: args.subnets.clone(),
            security_groups: args.security_groups.clone(),
            assign_public_ip: args.assign_public_ip,
            // No probe runs, so none of these is used.
            probe_image: None,
            probe_architecture: None,
            use_of_probe: ProbeUse::Once,
            region: args.region.clone(),
            expect: Expect::Any,
            full: false,
            deadline: Duration::ZERO,
        }
    }
}
