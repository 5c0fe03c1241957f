//! The flags of `pullprobe launch` and `pullprobe gc`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::target::Target;
use super::{Format, duration, label};
use crate::endpoints::Region;

/// `pullprobe launch`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct LaunchCommand {
    /// What is probed.
    #[command(flatten)]
    pub target: Target,
    /// Probe what this task needed, in its subnet. ECS forgets a stopped task after about an hour
    #[arg(long, value_name = "TASK_ARN", conflicts_with_all = ["service", "task_definition"])]
    pub like: Option<String>,
    /// Log group for the reports [default: that of the task definition]
    #[arg(long, value_name = "NAME")]
    pub log_group: Option<String>,
    /// A task that has not started by then is stopped and reported as such
    #[arg(long, value_name = "DURATION", default_value = "6m", value_parser = duration)]
    pub timeout: Duration,
    /// Echoed in the reports, and part of `startedBy` and of the tags [default: generated]
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub run_id: Option<String>,
    /// Echoed in the reports (repeatable)
    #[arg(long = "label", value_name = "K=V", value_parser = plain_label)]
    pub labels: Vec<(String, String)>,
    /// Print every request to AWS with its body. What only reads is sent, what would change
    /// something is not
    #[arg(long)]
    pub dry_run: bool,
    /// How to print reports and comparison: text, or a line of JSON for each report and one for the
    /// comparison
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
    /// Also write the comparison as Markdown, such as for $GITHUB_STEP_SUMMARY; what is in the file
    /// stays
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
    /// Only the tasks of this run, and all of them [default: of every run, except those that a
    /// launch may still watch]
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub run_id: Option<String>,
    /// Only tasks that were started so long ago, and all of them, whether a launch watches them or
    /// not
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub older_than: Option<Duration>,
    /// Deregister the probe's task definitions as well, but for those that schedules run; the next
    /// launch registers what it needs
    #[arg(long)]
    pub task_definitions: bool,
    /// Print what would be stopped, and every request; send only what reads
    #[arg(long)]
    pub dry_run: bool,
}

/// `startedBy` takes 128 letters, digits, hyphens, slashes and underscores (ECS API reference,
/// RunTask); `pullprobe/` is before it.
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
    if text.contains(',') {
        Err("a comma cannot be in a label".into())
    } else {
        label(text)
    }
}
