//! The flags of `pullprobe fleet`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Format;
use super::duration::run_duration;
use super::install::AgentArgs;
use crate::endpoints::Region;
use crate::operator::fleet::role::SPOKE_ROLE;
use crate::operator::launch::CarrierChoice;
use crate::operator::s3::S3Uri;
use crate::plan::Expect;
use crate::render::template::TemplateFormat;

/// `pullprobe fleet`.
#[derive(Debug, Args)]
pub struct FleetArgs {
    #[command(subcommand)]
    pub command: FleetCommand,
}

/// The commands of `pullprobe fleet`.
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// List the services of an organization's accounts, or check a list of your own
    Targets(TargetsArgs),
    /// Probe the targets of a list from this machine, for a few accounts
    Run(Box<RunArgs>),
    /// Print what runs a fleet every night on AWS's own engines, as a template
    ///
    /// Makes no AWS calls and needs no credentials.
    Print(FleetPrintArgs),
    /// Pack this binary as the code of the functions of `fleet print`
    Bundle(BundleArgs),
}

/// The role of the member accounts.
#[derive(Debug, Args)]
pub struct RoleArgs {
    /// Role to assume in each account but your own, by its name
    #[arg(long, value_name = "NAME", default_value = SPOKE_ROLE, value_parser = role_name)]
    pub role_name: String,
    /// External ID that the role requires
    #[arg(long, value_name = "ID")]
    pub external_id: Option<String>,
    /// Assume the role in your own account as well
    #[arg(long)]
    pub assume_everywhere: bool,
}

/// `pullprobe fleet targets`.
#[derive(Debug, Args)]
#[command(after_help = TARGETS_HELP)]
pub struct TargetsArgs {
    /// Check this list and print it as JSON lines: CSV with the columns account, region, cluster,
    /// service, task_definition, subnets, security_groups, or JSON lines; `-` reads stdin
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["accounts", "regions"])]
    pub from: Option<PathBuf>,
    /// Accounts [default: the active accounts of your organization]
    #[arg(long, value_name = "ACCOUNT", value_delimiter = ',')]
    pub accounts: Vec<String>,
    /// Regions to look in
    #[arg(
        long,
        value_name = "REGION",
        value_delimiter = ',',
        required_unless_present = "from"
    )]
    pub regions: Vec<Region>,
    #[command(flatten)]
    pub role: RoleArgs,
}

const TARGETS_HELP: &str = "\
Exit codes: 0 the list is complete · 3 an account could not be read, or a line is not a target · 1 an AWS call failed ·
2 invalid arguments, or no line is a target";

/// `pullprobe fleet run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// List of targets, as `fleet targets` prints it, or as CSV; `-` reads stdin
    #[arg(long, value_name = "FILE|-")]
    pub targets: PathBuf,
    /// Directory or s3://BUCKET/PREFIX for reports, comparisons and results
    #[arg(long, value_name = "DIRECTORY|S3_URI")]
    pub output: String,
    #[command(flatten)]
    pub role: RoleArgs,
    /// Targets that are probed at the same time, from 1 to 50
    #[arg(long, value_name = "NUMBER", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=50))]
    pub concurrency: u16,
    /// What runs the probe in each subnet
    #[arg(long, value_name = "CARRIER", value_enum, default_value = "auto")]
    pub carrier: CarrierChoice,
    /// Expected addresses of names that an interface VPC endpoint can serve
    #[arg(long, value_name = "ADDRESSES", value_enum, default_value = "any")]
    pub expect: Expect,
    /// Time limit of a target, after which its tasks and functions are removed
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = run_duration)]
    pub target_timeout: Duration,
    /// Run ID: a target that was probed in this run before is not probed again [default: generated]
    #[arg(long, value_name = "ID", value_parser = super::run_id)]
    pub run_id: Option<String>,
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Region of the first calls [default: from your environment or profile]
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
    /// Output format of the comparison
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

const RUN_HELP: &str = "\
Exit codes: those of the worst vantage, as of `launch`; 3 also if a target has no report, or a line of the list is not a target ·
1 the results could not be stored · 2 invalid arguments, or no line is a target";

/// `pullprobe fleet print`.
#[derive(Debug, Args)]
pub struct FleetPrintArgs {
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: TemplateFormat,
    /// Print the role of the member accounts, and the stack set that makes it in all of them
    #[arg(long, conflicts_with = "on_failure")]
    pub spoke: bool,
    /// Print the rule that probes in place of a task that failed to start, for one account and
    /// Region
    #[arg(long)]
    pub on_failure: bool,
    /// Name of the fleet, which becomes part of the names of its resources
    #[arg(long, value_name = "NAME", default_value = SPOKE_ROLE, value_parser = fleet_name)]
    pub name: String,
    /// Where you upload the zip file of `fleet bundle`: s3://BUCKET/KEY [default: a parameter]
    #[arg(long, value_name = "S3_URI")]
    pub code: Option<S3Uri>,
    /// What runs the probe in each subnet
    #[arg(long, value_name = "CARRIER", value_enum, default_value = "auto")]
    pub carrier: CarrierChoice,
    /// Workers at the same time, from 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_concurrency: u32,
    /// Percentage of the targets whose workers may fail without a result, from 0 to 100
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub tolerated_failures: u32,
    /// Schedule expression of the run, in UTC
    #[arg(long, value_name = "EXPRESSION", default_value = "cron(0 3 * * ? *)")]
    pub schedule: String,
    /// Also a CloudWatch dashboard, which costs $3 a month beyond the three that are free
    #[arg(long, conflicts_with = "spoke")]
    pub dashboard: bool,
    /// Number of targets, for the estimate of the cost
    #[arg(long, value_name = "NUMBER", default_value = "1000")]
    pub targets: u32,
    /// Number of their subnets, for the estimate of the cost
    #[arg(long, value_name = "NUMBER", default_value = "4000")]
    pub subnets: u32,
}

/// `pullprobe fleet bundle`.
#[derive(Debug, Args)]
pub struct BundleArgs {
    /// Zip file to write
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Static binary for linux/amd64 with all commands [default: this binary]
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
}

fn role_name(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-/".contains(c);
    if (1..=512).contains(&text.len()) && text.chars().all(is_allowed) {
        Ok(text.trim_start_matches('/').to_owned())
    } else {
        Err("expected the name of an IAM role, such as pullprobe-fleet, not its ARN".into())
    }
}

/// Parses the name of a fleet. The names of roles, functions and buckets are formed with it.
fn fleet_name(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    if (1..=30).contains(&text.len()) && begins && text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 30 lower-case letters, digits and -, beginning with a letter".into())
    }
}
