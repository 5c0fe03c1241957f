//! The flags of `pullprobe schedule`.

use clap::{Args, Subcommand};

use super::target::Target;
use crate::endpoints::Region;

/// `pullprobe schedule`.
#[derive(Debug, Args)]
pub struct ScheduleCommand {
    /// What to do with schedules.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with schedules.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Create or update: in each subnet a schedule and two alarms, and one log group for their
    /// reports
    Create(Box<Create>),
    /// List schedules, and the states of their alarms
    List {
        /// Region [default: that of your environment or profile]
        #[arg(long, value_name = "R")]
        region: Option<Region>,
    },
    /// Print what `create` makes, and the scheduler's role, for CloudFormation or Terraform
    ///
    /// It changes nothing. With --service it reads Amazon ECS. With --task-definition FILE,
    /// --subnets, --probe-image, --region and --name it calls nothing and needs no credentials.
    Print(Box<Print>),
    /// Remove what `create` made, and nothing else
    Remove(Remove),
}

/// `pullprobe schedule create`.
#[derive(Debug, Args)]
pub struct Create {
    /// What is made.
    #[command(flatten)]
    pub what: What,
    /// ARN of the role that EventBridge Scheduler runs tasks with: it needs ecs:RunTask and
    /// ecs:TagResource, and iam:PassRole for the execution role
    #[arg(long, value_name = "ARN")]
    pub scheduler_role: String,
    /// Enable schedules and alarm actions that somebody disabled by hand [default: they stay
    /// disabled]
    #[arg(long)]
    pub enable: bool,
    /// Print every request to AWS with its body. What only reads is sent, what would change
    /// something is not
    #[arg(long)]
    pub dry_run: bool,
}

/// `pullprobe schedule print`.
#[derive(Debug, Args)]
pub struct Print {
    /// What is printed.
    #[command(flatten)]
    pub what: What,
    /// For which tool
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: PrintFormat,
}

/// A tool that sets things up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PrintFormat {
    /// An AWS CloudFormation template in YAML
    #[value(name = "cloudformation")]
    CloudFormation,
    /// A Terraform module of one file
    Terraform,
}

/// What is run, how often, and who is told.
#[derive(Debug, Args)]
pub struct What {
    /// What is probed.
    #[command(flatten)]
    pub target: Target,
    /// Name of the schedules [default: CLUSTER.SERVICE]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// How often: whole minutes or hours, from 5m to 24h
    #[arg(long, value_name = "DURATION", value_parser = every)]
    pub every: u32,
    /// Log group for the reports, which is made where there is none [default: /pullprobe/NAME]
    #[arg(long, value_name = "NAME")]
    pub log_group: Option<String>,
    /// Days that reports are kept; one of the numbers that CloudWatch Logs takes
    #[arg(long, value_name = "DAYS", default_value = "30", value_parser = retention)]
    pub retention: u32,
    /// Told by both alarms when they change: an Amazon SNS topic's ARN (repeatable, at most 5)
    #[arg(long = "alarm-action", value_name = "ARN")]
    pub alarm_actions: Vec<String>,
}

/// `pullprobe schedule remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// Name of the schedules, as `schedule list` has it
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: String,
    /// Region [default: that of your environment or profile]
    #[arg(long, value_name = "R")]
    pub region: Option<Region>,
    /// Leave the log group with its reports
    #[arg(long)]
    pub keep_logs: bool,
    /// Print every request to AWS with its body. What only reads is sent, what would change
    /// something is not
    #[arg(long)]
    pub dry_run: bool,
}

/// A schedule group's name has 64 letters, digits and `- _ .` (EventBridge Scheduler API reference,
/// CreateScheduleGroup), and `pullprobe-` is before it.
pub const LONGEST_NAME: usize = 54;

fn name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "1 to {LONGEST_NAME} letters, digits and - _ . are needed"
        ))
    }
}

/// Minutes. A task takes up to some minutes to start, so that more often than every five its runs
/// would meet; and an alarm looks back over seven days at most, of which it needs three times this
/// (CloudWatch API reference, PutMetricAlarm).
fn every(text: &str) -> Result<u32, String> {
    let wrong =
        || "whole minutes or hours between 5m and 24h are needed, such as 15m or 6h".to_owned();
    let (number, scale) = match (text.strip_suffix('m'), text.strip_suffix('h')) {
        (Some(minutes), _) => (minutes, 1),
        (_, Some(hours)) => (hours, 60),
        _ => return Err(wrong()),
    };
    let minutes = number
        .parse::<u32>()
        .ok()
        .and_then(|number| number.checked_mul(scale));
    minutes
        .filter(|minutes| (5..=24 * 60).contains(minutes))
        .ok_or_else(wrong)
}

/// CloudWatch Logs API reference, PutRetentionPolicy.
const RETENTIONS: [u32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];

fn retention(text: &str) -> Result<u32, String> {
    let days = text.parse().ok().filter(|days| RETENTIONS.contains(days));
    days.ok_or_else(|| {
        format!(
            "CloudWatch Logs takes {}",
            RETENTIONS.map(|days| days.to_string()).join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_a_unit_and_bounds() {
        assert_eq!(every("15m"), Ok(15));
        assert_eq!(every("24h"), Ok(1_440));
        for wrong in [
            "",
            "m",
            "4m",
            "25h",
            "1441m",
            "15",
            "1.5h",
            "-5m",
            "99999999999h",
            "30s",
        ] {
            assert!(every(wrong).is_err(), "{wrong}");
        }
    }
}
