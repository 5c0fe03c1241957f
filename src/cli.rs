//! The command line: flags, environment names, help. No logic beyond reading them.

#[cfg(feature = "operator")]
pub mod compare;
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

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use source::Source;

use crate::cause::Cause;
use crate::endpoints::Region;
use crate::plan::requirements::PlanPart;
use crate::plan::{AwsSidecar, Expect, Platform, ValueFrom};

/// Why does my ECS task not start? Rehearses the pull from the very subnet and names the cause.
#[derive(Debug, Parser)]
#[command(name = "pullprobe", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 pass · 1 the tool failed · 2 bad arguments · 3 inconclusive · 4 warn · 10 resolve · 11 network · 12 tls ·
13 credentials · 14 permission · 15 image · 16 secret · 17 logs · 18 storage · 19 limit · 20 placement";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the checks from here and deliver the report
    Probe(Box<Probe>),
    /// Print what a task will contact, and what it needs for that: VPC endpoints, rules, IAM
    /// policies
    Plan(Box<PlanCommand>),
    /// Explain a stopped task's text: the step, what is proven, what it may be, the next command
    Explain(Box<ExplainCommand>),
    /// Put reports side by side: the first fact that differs where it fails, and what changed over
    /// time
    #[cfg(feature = "operator")]
    Compare(Box<compare::CompareCommand>),
    /// Print the page of one cause, or the list of all
    Causes {
        /// A cause's code, such as s3-gateway-missing
        code: Option<Cause>,
    },
    /// Print the JSON Schema of what pullprobe prints
    Schema {
        /// Of which document
        #[arg(value_enum, default_value_t = Document::Report)]
        document: Document,
    },
    /// Run the probe in every subnet of a service and collect the reports
    #[cfg(feature = "operator")]
    Launch(Box<launch::LaunchCommand>),
    /// Stop what a launch left behind that was killed
    #[cfg(feature = "operator")]
    Gc(launch::GcCommand),
    /// Run the probe periodically by EventBridge Scheduler, with alarms
    #[cfg(feature = "operator")]
    Schedule(schedule::ScheduleCommand),
    /// Run the whole probe against an embedded AWS on loopback: offline, without root, with a fault
    /// of your choice
    #[cfg(feature = "demo")]
    Demo {
        /// The fault to put into the embedded AWS
        #[arg(long, value_name = "NAME", conflicts_with = "list")]
        fault: Option<String>,
        /// List the faults
        #[arg(long)]
        list: bool,
        /// How to print the reports
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// pullprobe/report/v1
    Report,
    /// pullprobe/explanation/v1
    Explanation,
    /// pullprobe/comparison/v1
    Comparison,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text on a terminal, else one JSON line
    #[default]
    Auto,
    /// One JSON line
    Json,
    /// For people
    Text,
}

/// What a task wants to start.
#[derive(Debug, Clone, Args)]
pub struct TaskArgs {
    /// Image whose pull is rehearsed (repeatable) [default: the image of this very task]
    #[arg(
        long = "image",
        value_name = "REF",
        env = "PULLPROBE_IMAGE",
        value_delimiter = ','
    )]
    pub images: Vec<String>,
    /// Task definition as `describe-task-definition` prints it (`-`: stdin). `probe` reads it from
    /// s3://BUCKET/KEY and ssm:/NAME as well
    #[arg(long, value_name = "FILE|-", env = "PULLPROBE_TASK_DEFINITION")]
    pub task_definition: Option<Source>,
    /// A container that AWS adds to the task (repeatable)
    #[arg(
        long,
        value_name = "WHAT",
        env = "PULLPROBE_EXPECT_INJECTED",
        value_enum,
        value_delimiter = ','
    )]
    pub expect_injected: Vec<AwsSidecar>,
    /// The task runs with ECS Exec, as `run-task` and `create-service` call it
    #[arg(long, env = "PULLPROBE_ENABLE_EXECUTE_COMMAND")]
    pub enable_execute_command: bool,
    /// The task's service uses Service Connect
    #[arg(long, env = "PULLPROBE_SERVICE_CONNECT")]
    pub service_connect: bool,
    /// Secret or parameter, exactly as in ECS `valueFrom` (repeatable)
    #[arg(
        long = "secret",
        value_name = "VALUE_FROM",
        env = "PULLPROBE_SECRET",
        value_delimiter = ','
    )]
    pub secrets: Vec<ValueFrom>,
    /// Log group that the task logs to; the report is written there too
    #[arg(long, value_name = "NAME", env = "PULLPROBE_LOG_GROUP")]
    pub log_group: Option<String>,
    /// First part of the log stream's name, as awslogs-stream-prefix
    #[arg(
        long,
        value_name = "P",
        env = "PULLPROBE_LOG_STREAM_PREFIX",
        default_value = "pullprobe"
    )]
    pub log_stream_prefix: String,
    /// Region of the task [default: AWS_REGION, AWS_DEFAULT_REGION, the task metadata, the first
    /// ECR image]
    #[arg(long, value_name = "R", env = "PULLPROBE_REGION")]
    pub region: Option<Region>,
    /// Platform that the task runs on, such as linux/arm64 [default: that of this binary]
    #[arg(long, value_name = "OS/ARCH", env = "PULLPROBE_PLATFORM")]
    pub platform: Option<Platform>,
    /// `private`: a public answer for a name that has an interface endpoint service is a finding
    #[arg(
        long,
        value_name = "WHAT",
        env = "PULLPROBE_EXPECT",
        value_enum,
        default_value = "any"
    )]
    pub expect: Expect,
    /// Fetch every layer whole, verify its digest, report bytes per second
    #[arg(long, env = "PULLPROBE_FULL")]
    pub full: bool,
}

/// `pullprobe probe`.
#[derive(Debug, Args)]
pub struct Probe {
    /// What to check.
    #[command(flatten)]
    pub wants: TaskArgs,
    /// A plan as `pullprobe plan --format json` prints it, instead of the flags above
    #[arg(long, value_name = "JSON", env = "PULLPROBE_PLAN")]
    pub plan: Option<String>,
    /// Ask this resolver [default: those of /etc/resolv.conf]
    #[arg(long, value_name = "IP[:PORT]", env = "PULLPROBE_RESOLVER", value_parser = resolver)]
    pub resolver: Option<SocketAddr>,
    /// The roots that the puller trusts, PEM; also AWS_CA_BUNDLE [default: Mozilla's]
    #[arg(long, value_name = "FILE", env = "PULLPROBE_CA_BUNDLE")]
    pub ca_bundle: Option<PathBuf>,
    /// The whole run ends by then, whatever hangs: 500ms, 30s, 2m
    #[arg(long, value_name = "DURATION", env = "PULLPROBE_DEADLINE", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
    /// Echoed in the report [default: generated]
    #[arg(long, value_name = "ID", env = "PULLPROBE_RUN_ID", value_parser = run_id)]
    pub run_id: Option<String>,
    /// Echoed in the report (repeatable)
    #[arg(long = "label", value_name = "K=V", env = "PULLPROBE_LABEL", value_delimiter = ',', value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// How to print the report
    #[arg(long, value_enum, env = "PULLPROBE_FORMAT", default_value_t)]
    pub format: Format,
}

impl Probe {
    /// The labels by name; the last of two wins.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.labels.iter().cloned().collect()
    }
}

/// `pullprobe plan`.
#[derive(Debug, Args)]
pub struct PlanCommand {
    /// Image to pull; the same as --image
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
    /// What the task wants.
    #[command(flatten)]
    pub wants: TaskArgs,
    /// Print what is needed and not the contacts: VPC endpoints, security group and network ACL
    /// rules, policies
    #[arg(long, conflicts_with = "only")]
    pub needs: bool,
    /// Print only this part (repeatable)
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    pub only: Vec<PlanPart>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlanFormat,
}

/// `pullprobe explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_HELP)]
pub struct ExplainCommand {
    /// The text, as ECS or a mail has it; `-` reads stdin, as does no text where stdin is no
    /// terminal
    #[arg(value_name = "TEXT", conflicts_with = "describe_tasks")]
    pub text: Vec<String>,
    /// What `aws ecs describe-tasks` or `describe-services` printed, `-` for stdin; one explanation
    /// for each task or event
    #[arg(long, value_name = "FILE")]
    pub describe_tasks: Option<PathBuf>,
    /// Ask Amazon ECS about this task, by its ARN or id
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "ARN", conflicts_with_all = ["text", "describe_tasks", "service"])]
    pub task: Option<String>,
    /// Ask Amazon ECS about this service: its newest stopped tasks, then its events
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "S", conflicts_with_all = ["text", "describe_tasks"])]
    pub service: Option<String>,
    /// The cluster of --task or --service, by its name or ARN [default: the one in the task's ARN,
    /// then `default`]
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "C", conflicts_with_all = ["text", "describe_tasks"])]
    pub cluster: Option<String>,
    /// The region of --task or --service [default: the one in an ARN, then that of environment or
    /// profile]
    #[cfg(feature = "operator")]
    #[arg(long, value_name = "R", conflicts_with_all = ["text", "describe_tasks"])]
    pub region: Option<Region>,
    /// How to print the explanation
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

const EXPLAIN_HELP: &str = "\
Exit codes: the family's, as of a report (11 network, 14 permission, …) · 3 the text is not known · 2 it cannot be read";

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people: contacts, VPC endpoints, security group and network ACL rules, policies
    Text,
    /// The contacts as `probe --plan` takes them; with --needs or --only those parts, a policy
    /// alone as the bare document
    Json,
    /// A Terraform module of one file: endpoints, rules, policies
    #[cfg(feature = "operator")]
    Terraform,
    /// An AWS CloudFormation template in YAML: endpoints, rules, policies
    #[cfg(feature = "operator")]
    #[value(name = "cloudformation")]
    CloudFormation,
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
            "an IP address with an optional port is needed, such as 10.0.0.2 or 127.0.0.1:5353"
                .to_owned()
        })
}

/// A day is longer than any run, and small enough that no sum of times overflows.
const LONGEST_DEADLINE: Duration = Duration::from_hours(24);

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        _ => return Err("a number with ms, s or m is needed, such as 500ms, 30s or 2m".into()),
    };
    let seconds = number
        .parse::<f64>()
        .map_err(|_| "a number with ms, s or m is needed, such as 30s".to_owned())?;
    let duration =
        Duration::try_from_secs_f64(seconds * scale).map_err(|error| error.to_string())?;
    if duration < Duration::from_millis(100) || duration > LONGEST_DEADLINE {
        return Err("a deadline is between 100ms and 24 hours".into());
    }
    Ok(duration)
}

/// A run id becomes part of a log stream's name, where `:` and `*` are not allowed (API reference,
/// CreateLogStream).
fn run_id(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=128).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("1 to 128 letters, digits and - _ . are needed".into())
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if (1..=128).contains(&key.len()) && value.len() <= 256 => {
            Ok((key.into(), value.into()))
        }
        _ => Err(
            "KEY=VALUE is needed, the key of 1 to 128 and the value of at most 256 characters"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1_500)));
        for wrong in [
            "",
            "s",
            "30h",
            "-1s",
            "1e99s",
            "0s",
            "99999999m",
            "NaN",
            ".",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_resolver_may_leave_its_port_out() {
        assert_eq!(resolver("10.0.0.2").unwrap().port(), 53);
        assert_eq!(resolver("[fd00::2]:5353").unwrap().port(), 5353);
        assert_eq!(resolver("fd00::2").unwrap().port(), 53);
        assert!(resolver("dns.google").is_err());
    }
}
