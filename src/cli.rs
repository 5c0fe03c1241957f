//! The command line: flags, environment variables and help. Only parses; [`crate::command`] acts.

#![allow(missing_docs, reason = "doc comments of arguments are help texts")]

#[cfg(feature = "operator")]
pub mod compare;
mod duration;
#[cfg(feature = "operator")]
pub mod fleet;
#[cfg(feature = "operator")]
pub mod help;
#[cfg(feature = "operator")]
pub mod inspect;
#[cfg(feature = "operator")]
pub mod install;
#[cfg(feature = "operator")]
pub mod launch;
mod plan_values;
#[cfg(feature = "operator")]
pub mod schedule;
mod source;
#[cfg(feature = "operator")]
pub mod target;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
#[cfg(feature = "operator")]
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use duration::run_duration;
pub use source::Source;

use crate::endpoints::Region;
use crate::network_location::IpFamily;
use crate::plan::requirements::PlanPart;
use crate::plan::{AwsSidecar, Expect, Platform, ValueFrom};
use crate::report::ReportMetrics;

/// Find out why an ECS task does not start: rehearse its start from its own subnet and name the
/// cause
#[derive(Debug, Parser)]
#[command(name = "pullprobe", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Log each call to AWS and each wait on stderr; -vv adds hosts, sizes and the credentials'
    /// time
    #[cfg(feature = "operator")]
    #[arg(short = 'v', global = true, action = clap::ArgAction::Count)]
    pub log: u8,
    #[cfg(feature = "operator")]
    #[command(flatten)]
    pub aws: AwsArgs,
}

/// Which AWS the commands call that use your credentials.
#[cfg(feature = "operator")]
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "AWS options, as those of the AWS CLI")]
pub struct AwsArgs {
    /// Profile of the AWS CLI, for credentials and Region [default: AWS_PROFILE]
    #[arg(long, value_name = "NAME", global = true)]
    pub profile: Option<String>,
    /// URL that receives every AWS call of the operator's commands, such as http://localhost:4566
    /// [default: AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL", global = true)]
    pub endpoint_url: Option<String>,
}

impl Cli {
    /// Parses the arguments of this process.
    pub fn read() -> Result<Self, clap::Error> {
        #[cfg(feature = "operator")]
        {
            use clap::FromArgMatches as _;
            let mut command = help::command();
            let matches = command.try_get_matches_from_mut(std::env::args_os())?;
            Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
        }
        #[cfg(not(feature = "operator"))]
        Self::try_parse()
    }
}

const AFTER_HELP: &str = "\
Exit codes: 0 pass · 1 error of pullprobe or of an AWS call · 2 invalid arguments or input · 3 inconclusive · 4 warn ·
10 resolve · 11 network · 12 tls · 13 credentials · 14 permission · 15 image · 16 secret · 17 logs · 18 storage ·
19 limit · 20 placement";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// From this machine, check everything that the task needs to start, and write a report
    Probe(Box<ProbeArgs>),
    /// Print the hosts that a task contacts, and the VPC endpoints, rules and IAM policies that it
    /// needs
    Plan(Box<PlanArgs>),
    /// Explain the stopped reason of a task: the failed step, the possible causes, the next command
    Explain(Box<ExplainArgs>),
    /// Compare reports: find the first check that differs where a task fails, and what changed over
    /// time
    #[cfg(feature = "operator")]
    Compare(Box<compare::CompareArgs>),
    /// Print the page of a cause, or the list of all causes
    Causes {
        /// Code of a cause, such as s3-gateway-missing
        code: Option<String>,
        /// Output format
        #[cfg(feature = "operator")]
        #[arg(long, value_enum, default_value_t)]
        format: CausesFormat,
    },
    /// Print the JSON Schema of a document
    Schema {
        /// Document to describe
        #[arg(value_enum, default_value_t = SchemaDocument::Report)]
        document: SchemaDocument,
    },
    /// Run the probe in every subnet of a service and collect the reports
    #[cfg(feature = "operator")]
    Launch(Box<launch::LaunchArgs>),
    /// Read the AWS configuration around a service: name the resource and rule that stop its tasks,
    /// and the smallest change that fixes it
    #[cfg(feature = "operator")]
    Inspect(Box<inspect::InspectArgs>),
    /// Push the probe's image to your Amazon ECR registry, without Docker
    #[cfg(feature = "operator")]
    Install(Box<install::InstallArgs>),
    /// Stop tasks and delete functions left behind by an interrupted launch
    #[cfg(feature = "operator")]
    Gc(launch::GcArgs),
    /// Run the probe periodically with EventBridge Scheduler, with alarms
    #[cfg(feature = "operator")]
    Schedule(schedule::ScheduleArgs),
    /// Probe the services of many accounts and Regions: from here, every night on AWS's own
    /// engines, or when a task fails to start
    #[cfg(feature = "operator")]
    Fleet(fleet::FleetArgs),
    /// Serve explain, plan, compare, causes and inspect as tools to an AI agent, over stdio (Model
    /// Context Protocol)
    #[cfg(feature = "operator")]
    Mcp {
        /// Also serve launch, which starts tasks in your account
        #[arg(long)]
        allow_launch: bool,
    },
    /// Print the completion script of a shell
    #[cfg(feature = "operator")]
    Completions {
        /// Shell to complete in
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the pages of all commands to a directory
    #[cfg(feature = "operator")]
    Man {
        /// Directory for pullprobe.1, pullprobe-launch.1 and the other pages [default: print
        /// pullprobe.1]
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Run the probe offline against an embedded AWS on loopback, with a fault of your choice
    #[cfg(feature = "demo")]
    Demo {
        /// Fault of the embedded AWS
        #[arg(long, value_name = "NAME", conflicts_with = "list")]
        fault: Option<String>,
        /// List the faults
        #[arg(long)]
        list: bool,
        /// Output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        #[command(flatten)]
        screen: ScreenArgs,
    },
}

/// How causes are printed.
#[cfg(feature = "operator")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CausesFormat {
    /// Human-readable text
    #[default]
    Text,
    /// One line of JSON (pullprobe/causes/v1)
    Json,
}

/// A document with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaDocument {
    /// pullprobe/report/v1
    Report,
    /// pullprobe/explanation/v1
    Explanation,
    /// pullprobe/comparison/v1
    Comparison,
    /// pullprobe/inspection/v1
    #[cfg(feature = "operator")]
    Inspection,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text, also into a pipe; but `probe` prints one line of JSON into a pipe
    #[default]
    Auto,
    /// One line of JSON
    Json,
    /// Human-readable text
    Text,
    /// Self-contained HTML page
    #[cfg_attr(not(feature = "operator"), value(hide = true))]
    Html,
    /// Picture of the VPC, in SVG: the subnet, its zone, the path to each service, and the hop that
    /// fails
    #[cfg_attr(not(feature = "operator"), value(hide = true))]
    Svg,
}

impl Format {
    /// Whether this is a document of its own, which cannot be printed piece by piece.
    pub const fn is_page(self) -> bool {
        matches!(self, Self::Html | Self::Svg)
    }

    /// Whether to print text rather than JSON.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Auto | Self::Text)
    }
}

/// Returns a parser of the formats that can be printed piece by piece.
#[cfg(feature = "operator")]
fn printed_format() -> impl TypedValueParser<Value = Format> {
    let formats = Format::value_variants().iter();
    let printed = formats.filter(|format| !format.is_page());
    let names = printed.filter_map(ValueEnum::to_possible_value);
    PossibleValuesParser::new(names).try_map(|name| Format::from_str(&name, true))
}

/// How much a screen shows.
#[derive(Debug, Clone, Copy, Args)]
pub struct ScreenArgs {
    /// Show every check, all the evidence, and the causes that are ruled out
    #[arg(long, env = "PULLPROBE_VERBOSE")]
    pub verbose: bool,
}

/// A dry run of a command that changes something in the account.
#[cfg(feature = "operator")]
#[derive(Debug, Clone, Copy, Args)]
pub struct DryRunArgs {
    /// Print what would happen, one sentence for each action. Sends only the read-only requests
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run, print every AWS request with its body
    #[arg(long, requires = "dry_run")]
    pub verbose: bool,
}

/// What a task needs to start.
#[derive(Debug, Clone, Args)]
pub struct TaskArgs {
    #[cfg_attr(
        feature = "operator",
        doc = "Image whose pull to rehearse (repeatable) [default: this task's own image]. NAME=REF sets the image of that \
               container of the task definition"
    )]
    #[cfg_attr(
        not(feature = "operator"),
        doc = "Image whose pull to rehearse (repeatable) [default: this task's own image]"
    )]
    #[arg(
        long = "image",
        value_name = "REF",
        env = "PULLPROBE_IMAGE",
        value_delimiter = ','
    )]
    pub images: Vec<String>,
    #[cfg_attr(
        feature = "operator",
        doc = "Task definition: JSON or YAML as `aws ecs` takes and prints it, an array of containers, a CloudFormation \
               template, or `terraform show -json` (`-` reads stdin). `probe` also accepts s3://BUCKET/KEY and ssm:/NAME"
    )]
    #[cfg_attr(
        not(feature = "operator"),
        doc = "Task definition in the JSON of `aws ecs describe-task-definition` (`-` reads stdin). `probe` also accepts \
               s3://BUCKET/KEY and ssm:/NAME"
    )]
    #[arg(long, value_name = "FILE|-", env = "PULLPROBE_TASK_DEFINITION")]
    pub task_definition: Option<Source>,
    /// Sidecar that AWS adds to the task (repeatable)
    #[arg(
        long,
        value_name = "SIDECAR",
        env = "PULLPROBE_EXPECT_INJECTED",
        value_enum,
        value_delimiter = ','
    )]
    pub expect_injected: Vec<AwsSidecar>,
    /// The Region of this machine, used if nothing else names one.
    #[arg(skip)]
    pub default_region: Option<Region>,
    /// The task uses ECS Exec (`--enable-execute-command` of `aws ecs run-task`)
    #[arg(long, env = "PULLPROBE_ENABLE_EXECUTE_COMMAND")]
    pub enable_execute_command: bool,
    /// The task's service uses Service Connect
    #[arg(long, env = "PULLPROBE_SERVICE_CONNECT")]
    pub service_connect: bool,
    /// Secret or parameter to read, in ECS `valueFrom` syntax (repeatable)
    #[arg(
        long = "secret",
        value_name = "VALUE_FROM",
        env = "PULLPROBE_SECRET",
        value_delimiter = ','
    )]
    pub secrets: Vec<ValueFrom>,
    /// Log group of the task; the report is also written to it
    #[arg(long, value_name = "NAME", env = "PULLPROBE_LOG_GROUP")]
    pub log_group: Option<String>,
    /// First part of the log stream's name, as in `awslogs-stream-prefix`
    #[arg(
        long,
        value_name = "PREFIX",
        env = "PULLPROBE_LOG_STREAM_PREFIX",
        default_value = "pullprobe"
    )]
    pub log_stream_prefix: String,
    /// Region of the task [default, in this order: for `plan`, that of the task definition;
    /// AWS_REGION, AWS_DEFAULT_REGION, the task metadata, the first ECR image]
    #[arg(long, value_name = "REGION", env = "PULLPROBE_REGION")]
    pub region: Option<Region>,
    /// Platform of the task, such as linux/arm64 [default: this binary's own]
    #[arg(long, value_name = "OS/ARCH", env = "PULLPROBE_PLATFORM")]
    pub platform: Option<Platform>,
    /// IP versions of the task's subnet [default: from the task metadata, else ipv4]
    #[arg(long, value_name = "FAMILY", env = "PULLPROBE_IP_FAMILY", value_enum)]
    pub ip_family: Option<IpFamily>,
    /// Expected addresses of names that an interface VPC endpoint can serve; with `private`, a
    /// public address is a finding
    #[arg(
        long,
        value_name = "ADDRESSES",
        env = "PULLPROBE_EXPECT",
        value_enum,
        default_value = "any"
    )]
    pub expect: Expect,
    /// Download whole layers, verify digests and measure throughput
    #[arg(long, env = "PULLPROBE_FULL")]
    pub full: bool,
}

/// `pullprobe probe`.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    #[command(flatten)]
    pub task: TaskArgs,
    /// Plan as JSON, as `pullprobe plan --format json` prints it, instead of the flags above
    #[arg(long, value_name = "JSON", env = "PULLPROBE_PLAN")]
    pub plan: Option<String>,
    /// DNS resolver to use [default: from /etc/resolv.conf]
    #[arg(long, value_name = "IP[:PORT]", env = "PULLPROBE_RESOLVER", value_parser = resolver)]
    pub resolver: Option<SocketAddr>,
    /// PEM file with the root certificates to trust [default: AWS_CA_BUNDLE, then Mozilla's]
    #[arg(long, value_name = "FILE", env = "PULLPROBE_CA_BUNDLE")]
    pub ca_bundle: Option<PathBuf>,
    /// Time limit for the whole run, such as 500ms, 30s or 2m
    #[arg(long, value_name = "DURATION", env = "PULLPROBE_DEADLINE", default_value = "30s", value_parser = run_duration)]
    pub deadline: Duration,
    /// Run ID to include in the report [default: generated]
    #[arg(long, value_name = "ID", env = "PULLPROBE_RUN_ID", value_parser = run_id)]
    pub run_id: Option<String>,
    /// Label to include in the report (repeatable)
    #[arg(long = "label", value_name = "KEY=VALUE", env = "PULLPROBE_LABEL", value_delimiter = ',', value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Metrics to include in the report, in CloudWatch's embedded metric format
    #[arg(
        long,
        value_name = "METRICS",
        env = "PULLPROBE_METRICS",
        value_enum,
        default_value = "basic"
    )]
    pub metrics: ReportMetrics,
    /// Output format
    #[arg(long, value_enum, env = "PULLPROBE_FORMAT", default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub screen: ScreenArgs,
}

impl ValueEnum for ReportMetrics {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Basic, Self::All]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Basic => PossibleValue::new("basic").help("Failed and DurationMs"),
            Self::All => {
                PossibleValue::new("all").help("Also the time of each dependency's slowest phase")
            }
        })
    }
}

impl ProbeArgs {
    /// Returns the labels by key. A later label replaces an earlier one of the same key.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.labels.iter().cloned().collect()
    }
}

/// `pullprobe plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// File of a task definition, or image to pull; the same as --task-definition or --image
    #[arg(value_name = "FILE|IMAGE")]
    pub subject: Option<String>,
    #[command(flatten)]
    pub task: TaskArgs,
    /// Value of a placeholder in the file, such as `${VAR}`, `<VAR>` or `{{ VAR }}`, or of a
    /// parameter of a CloudFormation template (repeatable)
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "VAR=VALUE", value_parser = placeholder_value)]
    pub set: Vec<(String, String)>,
    /// Task definition to plan in a file with several: its logical ID, address or family [default:
    /// all, as text]
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "NAME")]
    pub resource: Option<String>,
    /// Print only the requirements, without the hosts: VPC endpoints, security group and network
    /// ACL rules, and IAM policies
    #[arg(long)]
    pub needs: bool,
    /// Print only this part (repeatable)
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    pub only: Vec<PlanPart>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlanFormat,
}

/// `pullprobe explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_HELP)]
pub struct ExplainArgs {
    /// Message to explain, or a file that contains it; `-` or a pipe reads stdin
    #[arg(value_name = "TEXT", conflicts_with = "describe_tasks")]
    pub text: Vec<String>,
    /// Output of `aws ecs describe-tasks` or `describe-services` (`-` reads stdin); prints one
    /// explanation for each task or event
    #[arg(long, value_name = "FILE")]
    pub describe_tasks: Option<PathBuf>,
    /// Read a task from Amazon ECS, by its ARN or ID
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "TASK", conflicts_with_all = ["text", "describe_tasks", "service"])]
    pub task: Option<String>,
    /// Read a service from Amazon ECS: its newest stopped tasks, then its events
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["text", "describe_tasks"])]
    pub service: Option<String>,
    /// Cluster of --task or --service, by name or ARN [default: from the task's ARN, then
    /// `default`]
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "CLUSTER", conflicts_with_all = ["text", "describe_tasks"])]
    pub cluster: Option<String>,
    /// Region of --task or --service [default: from an ARN, then from your environment or profile]
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "REGION", conflicts_with_all = ["text", "describe_tasks"])]
    pub region: Option<Region>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub screen: ScreenArgs,
}

const EXPLAIN_HELP: &str = "\
Exit codes: 10 to 20 by the family of the cause, as in a report (11 network, 14 permission, …) · 3 unknown message · 2 invalid input";

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// Human-readable text
    Text,
    /// JSON: the contacts, for `probe --plan`; with --needs or --only those parts, and a single
    /// policy as a plain IAM document
    Json,
    /// Terraform module in one file: VPC endpoints, rules, policies
    #[cfg(feature = "operator")]
    Terraform,
    /// AWS CloudFormation template in YAML: VPC endpoints, rules, policies
    #[cfg(feature = "operator")]
    #[value(name = "cloudformation")]
    CloudFormation,
    /// SVG diagram of what the task contacts, and through which endpoint or route
    #[cfg(feature = "operator")]
    Svg,
}

/// Returns the flag that was meant by an argument without one.
pub fn hint(error: &clap::Error, command: Option<&str>) -> Option<String> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    if error.kind() != ErrorKind::UnknownArgument || argument.starts_with('-') {
        return None;
    }
    let flag = match command? {
        "demo" => "--fault",
        "launch" | "inspect" | "schedule" => "--service",
        _ => return None,
    };
    Some(format!("\ndid you mean {flag} {argument}?"))
}

fn resolver(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse::<SocketAddr>();
    let address = text
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    with_port
        .or_else(|_| address.map(|address| SocketAddr::new(address, 53)))
        .map_err(|_| {
            "expected an IP address with an optional port, such as 10.0.0.2 or 127.0.0.1:5353"
                .to_owned()
        })
}

/// Parses a run ID, which becomes part of a log stream's name. That excludes `:` and `*` (API
/// reference, CreateLogStream).
fn run_id(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=128).contains(&text.len()) && text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 128 letters, digits and - _ .".into())
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if (1..=128).contains(&key.len()) && value.len() <= 256 => {
            Ok((key.into(), value.into()))
        }
        _ => Err(
            "expected KEY=VALUE with 1 to 128 characters in the key and at most 256 in the value"
                .into(),
        ),
    }
}

#[cfg(feature = "operator")]
fn placeholder_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected VAR=VALUE, such as IMAGE_TAG=1.4".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn resolver_port_is_optional() {
        assert_eq!(resolver("10.0.0.2").unwrap().port(), 53);
        assert_eq!(resolver("[fd00::2]:5353").unwrap().port(), 5353);
        assert_eq!(resolver("fd00::2").unwrap().port(), 53);
        assert!(resolver("dns.google").is_err());
    }
}
