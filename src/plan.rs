//! The plan of a run: which hosts it contacts and what it checks there. Pure.
//!
//! A plan is a value: computed before any socket exists, printed, compared, passed to a task in an
//! environment variable, and tested without a network.

mod aws_sidecar;
mod error;
mod input;
mod json;
mod override_size;
mod platform;
pub mod requirements;
mod s3_object;
mod targets;
pub mod task_definition;
mod task_host;
mod value_from;

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use aws_sidecar::{
    AwsSidecar, AwsSidecarError, container_agent, execute_command, guard_duty_data, service_connect,
};
pub use error::PlanError;
pub use input::{
    EfsVolume, ImageInput, InvalidLogGroupName, LogGroupInput, PlanInput, ReachabilityCheck,
    check_log_group_name,
};
pub use override_size::MAX_OVERRIDE_CHARS;
pub use platform::{InvalidPlatform, Platform};
#[cfg(feature = "operator")]
pub(crate) use s3_object::is_bucket_name;
pub use s3_object::{InvalidS3ObjectArn, S3Object};
pub use task_host::{LaunchType, TaskHost};
pub use value_from::{InvalidValueFrom, ValueFrom, ValueFromProblem};

use crate::endpoints::Region;
use crate::network_location::IpFamily;
use crate::observation::{Dependency, ImageDeployment, Phase, TargetKey};
use crate::redact;
use crate::reference::Reference;
use targets::{ResolvedLogGroup, TargetList};
pub use targets::{TargetIndex, TargetMap};

/// Name of the plan's JSON schema.
pub const SCHEMA: &str = "pullprobe/plan/v1";

/// Maximum number of images, and of hosts, of one run. A task has at most ten containers; the rest
/// is room for images of other Regions. Bounds what a plan from outside can make the probe contact.
const MAX_TARGETS: usize = 64;

/// Maximum number of bytes of a plan as JSON. ECS accepts task definitions of 64 KiB, and the plan
/// is part of a report that must fit 256 KiB.
const MAX_PLAN_BYTES: usize = 64 * 1024;

/// Maximum number of characters of an invalid value that an error quotes.
const MAX_QUOTED_CHARS: usize = 200;

/// The hosts that one run contacts, and the checks on each. Its JSON lists the inputs, from which
/// the targets are derived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "json::PlanDocument", into = "json::PlanDocument")]
pub struct Plan {
    /// Region of the task.
    pub region: Region,
    /// Platform of the task, for which each image needs a manifest.
    pub platform: Platform,
    /// Expected addresses of names that could have an interface endpoint.
    pub expect: Expect,
    /// Whether whole layers are downloaded and their digests verified.
    pub full: bool,
    /// Address ranges of the VPC and of connected networks, private even if publicly routable.
    pub vpc_cidrs: Vec<IpNet>,
    /// The IP versions of the task's subnet, which decide the names of AWS services.
    pub ip_family: IpFamily,
    /// The task's account, if it is known from more than the ARNs of its roles. Only policies need
    /// it, so it is not part of the JSON.
    pub account: Option<String>,
    /// ARN of the task execution role, if the task definition names it.
    pub execution_role: Option<String>,
    /// ARN of the task role, if the task definition names it.
    pub task_role: Option<String>,
    /// Where the task runs.
    pub host: TaskHost,
    /// Images to pull.
    pub images: Vec<ImagePull>,
    /// Log groups that the task writes to. The report goes to the first.
    pub logs: Vec<LogDestination>,
    /// Secrets and parameters to read, grouped by target.
    pub secrets: Vec<SecretRead>,
    /// Environment files to download.
    pub environment_files: Vec<EnvironmentFile>,
    /// EFS file systems to mount.
    pub file_systems: Vec<FileSystem>,
    /// FSx for Windows file systems to mount.
    pub windows_file_systems: Vec<String>,
    /// Hosts that are checked for reachability only.
    pub connections: Vec<ReachabilityTarget>,
    /// Dependencies of the task that are not checked, so that their absence from the results is
    /// not mistaken for a pass.
    pub unchecked: Vec<Unchecked>,
    /// The hosts, each once, in the order in which ECS contacts them (docs/facts/ecs-start.md#1).
    pub targets: Vec<Target>,
}

/// A dependency of the task that is not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unchecked {
    /// The kind of dependency.
    pub dependency: Dependency,
    /// Its name or ID, such as `fs-0123456789abcdef0`.
    pub subject: String,
    /// Why it is not checked.
    pub why: String,
}

/// A host and port that the task depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The dependency's name; `dependency@host` from the second target of a dependency on.
    /// Observation IDs begin with it.
    pub key: TargetKey,
    /// The dependency that the host serves.
    pub dependency: Dependency,
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Phases to check, in order.
    pub phases: Vec<Phase>,
}

/// An image, and the targets that its pull contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePull {
    /// The image.
    pub reference: Reference,
    /// The secret with the credentials for its registry.
    pub login: Option<RegistryLogin>,
    /// Whether AWS adds the container. AWS then chooses the tag, so a tag that does not exist is
    /// not a fault of the task.
    pub added_by_aws: bool,
    /// The service's deployment whose tasks pull it, if known.
    pub deployment: Option<ImageDeployment>,
    /// Where the authorization token comes from; `None` for registries other than Amazon ECR.
    pub token: Option<TargetIndex>,
    /// The registry.
    pub registry: TargetIndex,
    /// Where layers are expected; the registry's redirect decides. `None` if the host is not known
    /// in advance.
    pub layers: Option<TargetIndex>,
}

/// A secret that holds `{"username":"…","password":"…"}` for a private registry (ECS developer
/// guide, "Private registry authentication").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// `SecretId`: an ARN, or a name in the task's Region.
    pub secret: String,
    /// Region of the secret.
    pub region: Region,
    /// The Secrets Manager endpoint.
    pub target: TargetIndex,
}

/// A log group, and the target to write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDestination {
    /// Log group name.
    pub group: String,
    /// First part of the log stream's name.
    pub stream_prefix: String,
    /// Region of the log group.
    pub region: Region,
    /// `awslogs-create-group`: a missing log group is created, which needs `logs:CreateLogGroup`.
    pub create_group: bool,
    /// The CloudWatch Logs endpoint.
    pub target: TargetIndex,
}

/// A secret or parameter, and the target to read it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRead {
    /// As in the task definition.
    pub value_from: ValueFrom,
    /// The Secrets Manager or Systems Manager endpoint.
    pub target: TargetIndex,
}

/// A file of environment variables in Amazon S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// `arn:aws:s3:::bucket/key`. It names no Region; `GetBucketLocation` returns it.
    pub arn: String,
    /// Bucket name.
    pub bucket: String,
    /// Object key, as written in the ARN.
    pub key: String,
    /// The bucket's host, as if it were in the task's Region.
    pub target: TargetIndex,
}

/// An EFS file system, and its mount target in the task's Availability Zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// `fs-…`
    pub id: String,
    /// Directory to mount.
    pub root_directory: Option<String>,
    /// `fsap-…`
    pub access_point: Option<String>,
    /// Whether the task role is used to mount it.
    pub iam: bool,
    /// Whether it is mounted through TLS, on the same port.
    pub transit_encryption: bool,
    /// The mount target.
    pub target: TargetIndex,
}

/// A host that must be reachable: up to TLS, or up to TCP where its phases end there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachabilityTarget {
    /// What uses the host, such as `ECS Exec`.
    pub subject: String,
    /// The host.
    pub target: TargetIndex,
}

/// Which addresses the names of services with interface endpoints should resolve to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// Any address.
    #[default]
    Any,
    /// Addresses inside the VPC.
    Private,
}

impl Plan {
    /// Derives the targets of a task in `region` from its inputs.
    ///
    /// # Errors
    ///
    /// Fails if an input is not valid, or if the plan exceeds the limits of one run.
    pub fn new(input: PlanInput, region: Region) -> Result<Self, PlanError> {
        let logs = resolve_log_groups(&input, &region)?;
        let mut targets = TargetList::new(&region, input.ip_family.variant());
        let mut secrets: Vec<_> = unique(input.secrets)
            .into_iter()
            .map(|value_from| targets.add_secret(value_from))
            .collect();
        secrets.sort_by_key(|secret| secret.target);
        // Targets are listed in the order in which ECS contacts them: registry credentials first,
        // registries last.
        let mut images = Vec::new();
        for image in unique(input.images) {
            let login = image.login.clone();
            let login = login.map(|secret| targets.add_registry_login(secret));
            images.push((image, login.transpose()?));
        }
        let images: Vec<_> = images
            .into_iter()
            .map(|(image, login)| (targets.add_token_endpoint(&image), image, login))
            .collect();
        let logs = logs
            .into_iter()
            .map(|log| targets.add_log_group(log))
            .collect();
        let environment_files = unique(input.environment_files)
            .into_iter()
            .map(|arn| targets.add_environment_file(arn))
            .collect::<Result<_, _>>()?;
        let file_systems = unique(input.file_systems)
            .into_iter()
            .map(|volume| targets.add_file_system(volume))
            .collect();
        let connections = unique(input.connections)
            .into_iter()
            .map(|check| targets.add_reachability_check(check))
            .collect();
        let images = images
            .into_iter()
            .map(|(token, image, login)| targets.add_image(image, token, login))
            .collect();
        let targets = targets.into_targets();
        let mut host = input.host;
        host.has_unknown_platform |= host.is_instance() && input.platform.is_none();
        let plan = Self {
            host,
            windows_file_systems: unique(input.windows_file_systems),
            region,
            platform: input.platform.unwrap_or_else(Platform::of_this_binary),
            expect: input.expect,
            full: input.full,
            vpc_cidrs: input.vpc_cidrs,
            ip_family: input.ip_family,
            account: input.account,
            execution_role: input.execution_role,
            task_role: input.task_role,
            images,
            logs,
            secrets,
            environment_files,
            file_systems,
            connections,
            unchecked: input.unchecked,
            targets,
        };
        plan.check_limits()?;
        Ok(plan)
    }

    /// Whether any check needs AWS credentials.
    pub fn needs_credentials(&self) -> bool {
        let for_images = self
            .images
            .iter()
            .any(|image| image.token.is_some() || image.login.is_some());
        for_images
            || !(self.logs.is_empty()
                && self.secrets.is_empty()
                && self.environment_files.is_empty())
    }

    fn check_limits(&self) -> Result<(), PlanError> {
        let count = self.targets.len().max(self.images.len());
        if count > MAX_TARGETS {
            return Err(PlanError::TooManyTargets(count));
        }
        if let Some(target) = self
            .targets
            .iter()
            .find(|target| !is_host_name(&target.host))
        {
            return Err(PlanError::HostName(shorten(&target.host)));
        }
        // A plan that cannot be written as JSON fails where it is written.
        let bytes = serde_json::to_vec(self).map_or(0, |json| json.len());
        if bytes > MAX_PLAN_BYTES {
            return Err(PlanError::TooManyBytes(bytes));
        }
        Ok(())
    }
}

/// Whether the name can be used in DNS and TLS, and in observation IDs, whose parts `/` separates.
pub(crate) fn is_host_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (1..=253).contains(&name.len()) && name.chars().all(allowed)
}

/// Returns each combination of log group, Region and stream prefix once. The log group for the
/// report comes first.
fn resolve_log_groups(
    input: &PlanInput,
    task_region: &Region,
) -> Result<Vec<ResolvedLogGroup>, InvalidLogGroupName> {
    let mut logs: Vec<ResolvedLogGroup> = Vec::new();
    let for_report = input.log_group.clone().map(|group| LogGroupInput {
        group,
        region: None,
        stream_prefix: None,
        create_group: false,
    });
    for log in for_report.iter().chain(&input.logs) {
        check_log_group_name(&log.group)?;
        let log = ResolvedLogGroup {
            group: log.group.clone(),
            stream_prefix: log
                .stream_prefix
                .clone()
                .unwrap_or_else(|| input.log_stream_prefix.clone()),
            region: log.region.clone().unwrap_or_else(|| task_region.clone()),
            create_group: log.create_group,
        };
        match logs.iter_mut().find(|known| known.is_same_stream(&log)) {
            Some(known) => known.create_group |= log.create_group,
            None => logs.push(log),
        }
    }
    Ok(logs)
}

/// Returns each value once, in the order of first occurrence.
fn unique<T: PartialEq>(values: Vec<T>) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

/// Returns as much of an invalid value as an error quotes.
fn shorten(text: &str) -> String {
    redact::shorten(text, MAX_QUOTED_CHARS).to_owned()
}

impl fmt::Display for Target {
    /// Writes `host:port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.host, self.port))
    }
}

impl fmt::Display for Plan {
    /// Writes one line for each target: dependency, host and port, phases.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = self.targets.iter();
        let lengths =
            targets.map(|target| (target.dependency.name().len(), target.to_string().len()));
        let (dependency_width, host_width) = lengths
            .reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
            // Without targets there is no line to align.
            .unwrap_or_default();
        for target in &self.targets {
            let phases: Vec<_> = target.phases.iter().map(|phase| phase.name()).collect();
            writeln!(
                f,
                "{:<dependency_width$}  {target:<host_width$}  {}",
                target.dependency,
                phases.join(" ")
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
