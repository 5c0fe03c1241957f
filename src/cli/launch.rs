//! The flags of `pullprobe launch` and `pullprobe gc`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Format, duration, label};
use crate::endpoints::Region;
use crate::plan::Expect;

/// `pullprobe launch`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct LaunchCommand {
    /// The cluster, by its name or ARN [default: the one in an ARN, then `default`]
    #[arg(long, value_name = "C")]
    pub cluster: Option<String>,
    /// Probe what this service needs, in each of its subnets: nothing else has to be said
    #[arg(long, value_name = "S")]
    pub service: Option<String>,
    /// Probe what this task definition needs, deployed or not: a file (`-`: stdin), an ARN, or FAMILY:REVISION; beside
    /// --service, for one too large to hand over, s3://BUCKET/KEY or ssm:/NAME, where the probe reads it
    #[arg(long, value_name = "FILE|ARN")]
    pub task_definition: Option<String>,
    /// Probe what this task needed, in its subnet. ECS forgets a stopped task after about an hour
    #[arg(long, value_name = "TASK_ARN", conflicts_with_all = ["service", "task_definition"])]
    pub like: Option<String>,
    /// Subnets, one task in each [default: those of the service]
    #[arg(long, value_name = "SUBNET", value_delimiter = ',', num_args = 1..)]
    pub subnets: Vec<String>,
    /// Security groups of the task [default: those of the service; without one, the VPC's default group]
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
    /// Log group for the reports [default: that of the task definition]
    #[arg(long, value_name = "NAME")]
    pub log_group: Option<String>,
    /// `private`: a public answer for a name that has an interface endpoint service is a finding
    #[arg(long, value_name = "WHAT", value_enum, default_value = "any")]
    pub expect: Expect,
    /// Fetch every layer whole, verify its digest
    #[arg(long)]
    pub full: bool,
    /// The probe's run ends by then
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
    /// A task that has not started by then is stopped and reported as such
    #[arg(long, value_name = "DURATION", default_value = "6m", value_parser = duration)]
    pub timeout: Duration,
    /// Echoed in the reports, and part of `startedBy` and of the tags [default: generated]
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub run_id: Option<String>,
    /// Echoed in the reports (repeatable)
    #[arg(long = "label", value_name = "K=V", value_parser = plain_label)]
    pub labels: Vec<(String, String)>,
    /// Print every request to AWS with its body. What only reads is sent, what would change something is not
    #[arg(long)]
    pub dry_run: bool,
    /// How to print reports and comparison: text, or a line of JSON for each report and one for the comparison
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Also write the comparison as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Also write the comparison as pullprobe/comparison/v1
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Also write the comparison as a JUnit test report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also write the comparison as Markdown, such as for $GITHUB_STEP_SUMMARY; what is in the file stays
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

const HELP: &str = "\
Exit codes: that of the worst subnet: a failure's (10 to 20), else 3 inconclusive or not started, 4 warn, 0 pass ·
1 AWS refused a call, or it could not be made · 2 bad arguments";

/// `pullprobe gc`.
#[derive(Debug, Args)]
pub struct GcCommand {
    /// The cluster, by its name or ARN [default: `default`]
    #[arg(long, value_name = "C")]
    pub cluster: Option<String>,
    /// Region [default: the one in the cluster's ARN, then that of your environment or profile]
    #[arg(long, value_name = "R")]
    pub region: Option<Region>,
    /// Only the tasks of this run
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub run_id: Option<String>,
    /// Only tasks that were started so long ago: 10m leaves alone what others launch right now
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub older_than: Option<Duration>,
    /// Deregister the probe's task definitions as well; the next launch registers what it needs
    #[arg(long)]
    pub task_definitions: bool,
    /// Print what would be stopped, and every request; send only what reads
    #[arg(long)]
    pub dry_run: bool,
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

/// `startedBy` takes 128 letters, digits, hyphens, slashes and underscores (ECS API reference, RunTask); `pullprobe/` is
/// before it.
fn run_id(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if (1..=100).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("1 to 100 letters, digits, - and _ are needed".into())
    }
}

/// Labels travel in one environment variable, with commas between them.
fn plain_label(text: &str) -> Result<(String, String), String> {
    if text.contains(',') { Err("a comma cannot be in a label".into()) } else { label(text) }
}
