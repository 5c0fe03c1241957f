//! What will be asked, as a value: computed before any socket exists, printable, comparable, sent
//! through an environment variable, tested without a network. Pure.

mod aws_sidecar;
mod input;
mod json;
mod platform;
pub mod requirements;
mod targets;
pub mod task_definition;
mod value_from;

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use aws_sidecar::{AwsSidecar, execute_command, service_connect};
pub use input::{EfsVolume, ImageInput, LogGroupInput, PlanInput, ReachabilityCheck};
pub use json::{MAX_OVERRIDES, TOO_LARGE_HINT};
pub use platform::Platform;
pub use value_from::ValueFrom;

use crate::endpoints::Region;
use crate::observation::{Dependency, Phase, TargetKey};
use crate::reference::Reference;
pub(crate) use targets::object_of;
use targets::{LogGroup, Targets};
pub use targets::{TargetIndex, TargetMap};

/// Everything that one run will contact, and what for. As JSON it is what is wanted, from which the
/// rest follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "json::PlanDocument", into = "json::PlanDocument")]
pub struct Plan {
    /// Where the task runs.
    pub region: Region,
    /// What the task runs on: the manifest that must exist.
    pub platform: Platform,
    /// Whether a public answer for an interface endpoint's name is a finding.
    pub expect: Expect,
    /// Fetch layers whole and verify their digests.
    pub full: bool,
    /// Address ranges that are private whatever their number: the VPC's own, and those joined to
    /// it.
    pub vpc_cidrs: Vec<IpNet>,
    /// ARN of the role as which ECS starts the task, where the task definition says it.
    pub execution_role: Option<String>,
    /// ARN of the role that the containers have, where the task definition says it.
    pub task_role: Option<String>,
    /// Images to pull.
    pub images: Vec<ImagePull>,
    /// Where the task logs to. The report goes to the first.
    pub logs: Vec<LogDestination>,
    /// Secrets and parameters to read, those of one target together.
    pub secrets: Vec<SecretRead>,
    /// Files of environment variables to fetch.
    pub environment_files: Vec<EnvironmentFile>,
    /// EFS file systems to mount.
    pub file_systems: Vec<FileSystem>,
    /// Hosts of which only reachability is checked.
    pub connections: Vec<Connection>,
    /// What the task needs and nobody checks here, so that silence is not taken for a pass.
    pub unchecked: Vec<Unchecked>,
    /// The hosts, each once, in the order in which ECS meets them (facts: ecs-start, section 1).
    pub targets: Vec<Target>,
}

/// Something that the task needs and the plan leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unchecked {
    /// What it is to the task.
    pub dependency: Dependency,
    /// Which one.
    pub subject: String,
    /// The reason.
    pub why: String,
}

/// The name of the plan's form.
pub const SCHEMA: &str = "pullprobe/plan/v1";

/// A host and port with a dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The dependency's name; `dependency@host` from the second target of a dependency on.
    /// Observation ids begin with it.
    pub key: TargetKey,
    /// What it is to the task.
    pub dependency: Dependency,
    /// The name that the puller asks for.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What will be tried, in order.
    pub phases: Vec<Phase>,
}

/// One image and the targets that its pull travels through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePull {
    /// The image.
    pub reference: Reference,
    /// The secret with the user name and password for its registry.
    pub login: Option<Login>,
    /// AWS adds it to the task. Its tag is AWS's choice, so one that does not exist says nothing
    /// about the task.
    pub injected: bool,
    /// The target that hands out the token; none for other registries.
    pub token: Option<TargetIndex>,
    /// The registry.
    pub registry: TargetIndex,
    /// The target where layers are expected; the registry's redirect has the last word.
    pub layers: Option<TargetIndex>,
}

/// A secret that holds `{"username":"…","password":"…"}` (ECS developer guide, "Private registry
/// authentication").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// `SecretId`: an ARN, or a name in the task's region.
    pub secret: String,
    /// Where it is.
    pub region: Region,
    /// The target.
    pub target: TargetIndex,
}

/// A log group and the target to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDestination {
    /// Log group name.
    pub group: String,
    /// First part of the log stream's name.
    pub stream_prefix: String,
    /// Where the log group is.
    pub region: Region,
    /// `awslogs-create-group`: where the group is missing it is created, which
    /// `logs:CreateLogGroup` must allow.
    pub create_group: bool,
    /// The target.
    pub target: TargetIndex,
}

/// A secret or parameter and the target to read it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRead {
    /// As in a task definition.
    pub value_from: ValueFrom,
    /// The target.
    pub target: TargetIndex,
}

/// A file of environment variables in Amazon S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// `arn:aws:s3:::bucket/key`, which names no region: GetBucketLocation tells it.
    pub arn: String,
    /// Bucket name.
    pub bucket: String,
    /// Object key, as it stands in the ARN.
    pub key: String,
    /// The target: the bucket as if it were in the task's region.
    pub target: TargetIndex,
}

/// An EFS file system and its mount target in the task's Availability Zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// `fs-…`
    pub id: String,
    /// Directory to mount.
    pub root_directory: Option<String>,
    /// `fsap-…`
    pub access_point: Option<String>,
    /// Mounted as the task role.
    pub iam: bool,
    /// Mounted through TLS, on the same port.
    pub transit_encryption: bool,
    /// The target.
    pub target: TargetIndex,
}

/// A host that must be reachable: up to TLS, or to TCP where its phases end there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// What it is needed for.
    pub subject: String,
    /// The target.
    pub target: TargetIndex,
}

/// What the names of interface endpoint services should resolve to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// Whatever works.
    #[default]
    Any,
    /// Addresses inside the VPC.
    Private,
}

impl Plan {
    /// What a task that wants this will contact, in `region`. Fails with one sentence on what is
    /// wrong.
    pub fn new(wanted: PlanInput, region: Region) -> Result<Self, String> {
        let logs = log_groups(&wanted, &region)?;
        let mut targets = Targets {
            region: &region,
            all: Vec::new(),
        };
        let secrets = unique(wanted.secrets)
            .into_iter()
            .map(|value_from| targets.secret(value_from));
        let mut secrets: Vec<_> = secrets.collect();
        secrets.sort_by_key(|secret| secret.target);
        let mut pulls = Vec::new();
        for image in unique(wanted.images) {
            let login = image
                .login
                .clone()
                .map(|secret| targets.login(secret))
                .transpose()?;
            pulls.push((image, login));
        }
        let pulls: Vec<_> = pulls
            .into_iter()
            .map(|(image, login)| (targets.token(&image), image, login))
            .collect();
        let logs = logs.into_iter().map(|log| targets.log(log)).collect();
        let files = unique(wanted.environment_files)
            .into_iter()
            .map(|arn| targets.environment_file(arn));
        let environment_files = files.collect::<Result<_, _>>()?;
        let file_systems = unique(wanted.file_systems)
            .into_iter()
            .map(|fs| targets.file_system(fs))
            .collect();
        let connections = unique(wanted.connections)
            .into_iter()
            .map(|wanted| targets.connection(wanted))
            .collect();
        let images = pulls
            .into_iter()
            .map(|(token, image, login)| targets.image(image, token, login))
            .collect();
        let targets = targets.all;
        let plan = Self {
            region,
            platform: wanted.platform.unwrap_or_else(Platform::of_this_binary),
            expect: wanted.expect,
            full: wanted.full,
            vpc_cidrs: wanted.vpc_cidrs,
            execution_role: wanted.execution_role,
            task_role: wanted.task_role,
            images,
            logs,
            secrets,
            environment_files,
            file_systems,
            connections,
            unchecked: wanted.unchecked,
            targets,
        };
        plan.within_bounds()
    }

    /// Whether anything in it is asked as an IAM role.
    pub fn needs_credentials(&self) -> bool {
        let of_images = self
            .images
            .iter()
            .any(|image| image.token.is_some() || image.login.is_some());
        of_images
            || !(self.logs.is_empty()
                && self.secrets.is_empty()
                && self.environment_files.is_empty())
    }

    fn within_bounds(self) -> Result<Self, String> {
        let most = self.targets.len().max(self.images.len());
        if most > MAX_TARGETS {
            return Err(format!(
                "{most} images or hosts are more than the {MAX_TARGETS} of one run: split the run"
            ));
        }
        if let Some(target) = self.targets.iter().find(|target| !is_host(&target.host)) {
            return Err(format!(
                "{:?} cannot be the name of a host",
                target.host.chars().take(200).collect::<String>()
            ));
        }
        let size = serde_json::to_vec(&self).map_or(0, |json| json.len());
        if size > MAX_SIZE {
            return Err(format!(
                "the plan has {size} bytes, more than the {MAX_SIZE} of one run: split the run"
            ));
        }
        Ok(self)
    }
}

/// A task has at most ten containers; the rest is room for cross-region images. Bounds what a plan
/// from outside can ask for.
const MAX_TARGETS: usize = 64;

/// Bytes of a plan as JSON. ECS takes task definitions of 64 KiB, and the plan is part of a report
/// that must fit 256 KiB.
const MAX_SIZE: usize = 64 * 1024;

/// Whether it can be asked for in DNS and in TLS; and it becomes a part of observations' ids, which
/// slashes divide.
fn is_host(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (1..=253).contains(&name.len()) && name.chars().all(plain)
}

/// Each group, region and stream prefix once. The one for the report goes first.
fn log_groups(wanted: &PlanInput, task_region: &Region) -> Result<Vec<LogGroup>, String> {
    let mut logs: Vec<LogGroup> = Vec::new();
    let own = wanted.log_group.clone();
    let own = own.map(|group| LogGroupInput {
        group,
        region: None,
        stream_prefix: None,
        create_group: false,
    });
    for log in own.iter().chain(&wanted.logs) {
        valid_log_group(&log.group).map_err(|error| format!("log group: {error}"))?;
        let log = LogGroup {
            group: log.group.clone(),
            stream_prefix: log
                .stream_prefix
                .clone()
                .unwrap_or_else(|| wanted.log_stream_prefix.clone()),
            region: log.region.clone().unwrap_or_else(|| task_region.clone()),
            create_group: log.create_group,
        };
        let same = |known: &&mut LogGroup| {
            (&known.group, &known.region, &known.stream_prefix)
                == (&log.group, &log.region, &log.stream_prefix)
        };
        match logs.iter_mut().find(same) {
            Some(known) => known.create_group |= log.create_group,
            None => logs.push(log),
        }
    }
    Ok(logs)
}

/// Each once, in the order of first mention.
fn unique<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

/// CloudWatch Logs: 1 to 512 characters of `a-z A-Z 0-9 _ - / . #` (API reference, CreateLogGroup).
pub(crate) fn valid_log_group(name: &str) -> Result<(), String> {
    let length = name.chars().count();
    if !(1..=512).contains(&length) {
        return Err(format!(
            "a log group's name has 1 to 512 characters, this one has {length}"
        ));
    }
    match name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"_-/.#".contains(*c))
    {
        Some(c) => Err(format!(
            "{c:?} cannot be in a log group's name: use letters, digits and _ - / . #"
        )),
        None => Ok(()),
    }
}

impl fmt::Display for Plan {
    /// One line a target: dependency, host and port, phases.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |target: &Target| format!("{}:{}", target.host, target.port);
        let width = self
            .targets
            .iter()
            .map(|target| place(target).len())
            .max()
            .unwrap_or_default();
        let dependencies = self
            .targets
            .iter()
            .map(|target| target.dependency.name().len())
            .max()
            .unwrap_or_default();
        for target in &self.targets {
            let phases: Vec<_> = target.phases.iter().map(|phase| phase.name()).collect();
            writeln!(
                f,
                "{:<dependencies$}  {:<width$}  {}",
                target.dependency,
                place(target),
                phases.join(" ")
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
