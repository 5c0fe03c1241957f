//! The flags of `pullprobe schedule`.

use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};

use super::DryRunArgs;
use super::duration::interval_minutes;
use super::target::TargetArgs;
use crate::arn::Arn;
use crate::endpoints::Region;
use crate::operator::schedule::{MAX_NAME_LEN, TemplateFormat};
use crate::report::ReportMetrics;

/// `pullprobe schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    #[command(subcommand)]
    pub command: ScheduleCommand,
}

/// The commands of `pullprobe schedule`.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Create or update a schedule and two alarms for each subnet, and a log group for the reports
    Create(Box<CreateArgs>),
    /// List schedules and the states of their alarms
    List {
        /// Region [default: from your environment or profile]
        #[arg(long, value_name = "REGION")]
        region: Option<Region>,
    },
    /// Print the resources of `create`, with the scheduler's role, as a CloudFormation or Terraform
    /// template
    ///
    /// Changes nothing. With --service, it reads the service from Amazon ECS. With
    /// --task-definition FILE, --subnets, --probe-image, --region and --name, it makes no AWS calls
    /// and needs no credentials.
    Print(Box<PrintArgs>),
    /// Remove the resources that `create` made
    Remove(RemoveArgs),
}

/// `pullprobe schedule create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    pub set: ScheduleSetArgs,
    /// ARN of the role that EventBridge Scheduler assumes to run tasks: it needs ecs:RunTask,
    /// ecs:TagResource, and iam:PassRole for the task execution role
    #[arg(long, value_name = "ARN", value_parser = role_arn)]
    pub scheduler_role: String,
    /// Enable schedules and alarm actions that were disabled manually [default: they stay disabled]
    #[arg(long)]
    pub enable: bool,
    #[command(flatten)]
    pub dry_run: DryRunArgs,
}

/// `pullprobe schedule print`.
#[derive(Debug, Args)]
pub struct PrintArgs {
    #[command(flatten)]
    pub set: ScheduleSetArgs,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: TemplateFormat,
}

impl ValueEnum for TemplateFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::CloudFormation, Self::Terraform]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::CloudFormation => {
                PossibleValue::new("cloudformation").help("AWS CloudFormation template in YAML")
            }
            Self::Terraform => PossibleValue::new("terraform").help("Terraform module in one file"),
        })
    }
}

/// What runs, how often, and which actions the alarms have.
#[derive(Debug, Args)]
pub struct ScheduleSetArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Name of the schedules [default: CLUSTER.SERVICE]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// Interval in whole minutes or hours, from 5m to 24h
    #[arg(long, value_name = "DURATION", value_parser = interval_minutes)]
    pub every: u32,
    /// Log group for the reports, created if it does not exist [default: /pullprobe/NAME]
    #[arg(long, value_name = "NAME")]
    pub log_group: Option<String>,
    /// Days to keep the reports; must be a retention period that CloudWatch Logs supports
    #[arg(long, value_name = "DAYS", default_value = "30", value_parser = retention)]
    pub retention: u32,
    /// Metrics in the reports; each costs $0.30 a month for each subnet
    #[arg(long, value_name = "METRICS", value_enum, default_value = "basic")]
    pub metrics: ReportMetrics,
    /// ARN of an Amazon SNS topic to notify when an alarm changes state (repeatable, at most 5)
    #[arg(long = "alarm-action", value_name = "ARN", value_parser = alarm_action)]
    pub alarm_actions: Vec<String>,
    /// Also a CloudWatch dashboard, which costs $3 a month beyond the three that are free
    #[arg(long)]
    pub dashboard: bool,
}

/// `pullprobe schedule remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Name of the schedules, as in `schedule list`
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: String,
    /// Region [default: from your environment or profile]
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
    /// Keep the log group with its reports
    #[arg(long)]
    pub keep_logs: bool,
    #[command(flatten)]
    pub dry_run: DryRunArgs,
}

/// Checks the ARN of a role.
pub(super) fn role_arn(text: &str) -> Result<String, String> {
    let is_role = |arn: &Arn| arn.service == "iam" && arn.role_name().is_some();
    if text.parse::<Arn>().is_ok_and(|arn| is_role(&arn)) {
        return Ok(text.to_owned());
    }
    Err(
        "expected the ARN of a role, such as arn:aws:iam::123456789012:role/pullprobe-scheduler"
            .into(),
    )
}

/// Checks the ARN of an alarm's action. Besides topics, alarms have actions of other services.
fn alarm_action(text: &str) -> Result<String, String> {
    let example = "such as arn:aws:sns:us-east-1:123456789012:alerts";
    match text.parse::<Arn>() {
        Ok(arn) if !arn.service.is_empty() && !arn.region.is_empty() => Ok(text.to_owned()),
        Ok(_) => Err(format!(
            "expected the ARN of an Amazon SNS topic, {example}"
        )),
        Err(error) => Err(format!(
            "it {error}; expected the ARN of an Amazon SNS topic, {example}"
        )),
    }
}

fn name(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=MAX_NAME_LEN).contains(&text.len()) && text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected 1 to {MAX_NAME_LEN} letters, digits and - _ ."
        ))
    }
}

/// Retentions in days (CloudWatch Logs API reference, PutRetentionPolicy).
const RETENTIONS: [u32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];

fn retention(text: &str) -> Result<u32, String> {
    let days = text.parse().ok().filter(|days| RETENTIONS.contains(days));
    days.ok_or_else(|| {
        format!(
            "expected a retention that CloudWatch Logs supports: {}",
            RETENTIONS.map(|days| days.to_string()).join(", ")
        )
    })
}
