//! The flags of `pullprobe launch` and `pullprobe gc`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::duration::{age, run_duration};
use super::install::AgentArgs;
use super::schedule::role_arn;
use super::target::TargetArgs;
use super::{DryRunArgs, Format, ScreenArgs, label, printed_format};
use crate::endpoints::Region;
use crate::operator::launch::CarrierChoice;

/// `pullprobe launch`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct LaunchArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Probe what this task needs, in its subnet. Amazon ECS keeps a stopped task for about an hour
    #[arg(long, value_name = "TASK_ARN", conflicts_with_all = ["service", "task_definition"])]
    pub like: Option<String>,
    /// What runs the probe in each subnet
    #[arg(long, value_name = "CARRIER", value_enum, default_value = "auto")]
    pub carrier: CarrierChoice,
    /// Execution role of the Lambda functions [default: the one that `pullprobe install --lambda`
    /// created]
    #[arg(long, value_name = "ARN", value_parser = role_arn)]
    pub lambda_role: Option<String>,
    /// Log group for the reports [default: from the task definition]
    #[arg(long, value_name = "NAME")]
    pub log_group: Option<String>,
    /// How long to wait for a task to start before stopping it
    #[arg(long, value_name = "DURATION", default_value = "6m", value_parser = run_duration)]
    pub timeout: Duration,
    /// Run ID to include in the reports, in `startedBy` and in a tag of the tasks [default:
    /// generated]
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub run_id: Option<String>,
    /// Label to include in the reports (repeatable)
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label_without_comma)]
    pub labels: Vec<(String, String)>,
    /// Push the probe's image first, as `pullprobe install` does, if it is not in your Amazon ECR
    /// registry
    #[arg(long, conflicts_with = "probe_image")]
    pub install: bool,
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Read the configuration as well, to name the object and rule behind a finding
    #[arg(
        long, value_name = "WHEN", value_enum, default_value = "auto", num_args = 0..=1,
        default_missing_value = "auto"
    )]
    pub inspect: InspectWhen,
    /// Print what would happen, one sentence for each action; with --verbose or --format json,
    /// every AWS request with its body. Sends only the read-only ones
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub screen: ScreenArgs,
    /// Print only the result and what to do, without progress and passing subnets
    #[arg(long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Output format of reports and comparison; JSON has one line for each report and one for the
    /// comparison
    #[arg(long, value_parser = printed_format(), default_value = "auto")]
    pub format: Format,
    /// Also write the comparison as a self-contained HTML page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Also write the comparison as JSON (pullprobe/comparison/v1)
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Also write the comparison as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also append the comparison as Markdown, such as to $GITHUB_STEP_SUMMARY
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

const HELP: &str = "\
Exit codes: those of the worst subnet: 10 to 20 for a failure; otherwise 3 inconclusive or not started, 4 warn, 0 pass ·
1 an AWS call failed · 2 invalid arguments";

/// When a launch reads the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InspectWhen {
    /// For the subnets that do not pass. What may not be read is named, and costs no finding
    Auto,
    /// Never
    Off,
    /// Instead of a probe, as `pullprobe inspect` does
    Only,
}

impl ValueEnum for CarrierChoice {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Fargate, Self::Lambda]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Auto => {
                "Fargate, then also Lambda where the network keeps the task from starting, if the Lambda role is known"
            }
            Self::Fargate => "A task on Fargate",
            Self::Lambda => {
                "An AWS Lambda function, whose code and result do not pass through the subnet"
            }
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

/// `pullprobe gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Cluster, by name or ARN [default: `default`]
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// Region [default: from the cluster's ARN, then from your environment or profile]
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
    /// Only tasks of this run, even if a launch is still watching them [default: all runs, except
    /// tasks that a launch may still be watching]
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub run_id: Option<String>,
    /// Only tasks older than DURATION, such as 30m or 2h, even if a launch is still watching them
    #[arg(long, value_name = "DURATION", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Deregister the probe's task definitions too, except those used by schedules; the next launch
    /// registers its own again
    #[arg(long)]
    pub task_definitions: bool,
    #[command(flatten)]
    pub dry_run: DryRunArgs,
}

/// Parses a run ID. `startedBy` takes 128 letters, digits, hyphens, slashes and underscores (ECS
/// API reference, RunTask), of which the prefix `pullprobe/` takes ten.
fn run_id(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if (1..=100).contains(&text.len()) && text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 100 letters, digits, - and _".into())
    }
}

/// Parses a label. The labels are separated by commas in one environment variable.
fn label_without_comma(text: &str) -> Result<(String, String), String> {
    if text.contains(',') {
        Err("a label cannot contain a comma".into())
    } else {
        label(text)
    }
}
