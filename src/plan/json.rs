//! JSON form of a plan. It lists the inputs; hosts, dependencies and phases are derived from them
//! and included for readers only.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::input::{EfsVolume, ImageInput, LogGroupInput, PlanInput, ReachabilityCheck};
use super::override_size::{MAX_OVERRIDE_CHARS, override_chars};
use super::{
    Expect, FileSystem, ImagePull, InvalidValueFrom, LogDestination, MAX_PLAN_BYTES, Plan,
    PlanError, Platform, ReachabilityTarget, SCHEMA, Target, TaskHost, Unchecked, ValueFrom,
};
use crate::arn::Arn;
use crate::endpoints::Region;
use crate::network_location::IpFamily;
use crate::observation::Phase;
use crate::safe_text::escape_json;

/// The JSON object.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanDocument {
    schema: String,
    region: Region,
    platform: Platform,
    #[serde(default, skip_serializing_if = "is_default")]
    expect: Expect,
    #[serde(default, skip_serializing_if = "is_default")]
    full: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    vpc_cidrs: Vec<IpNet>,
    #[serde(default, skip_serializing_if = "is_default")]
    ip_family: IpFamily,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    execution_role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_role: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    host: TaskHost,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    images: Vec<ImageInput>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logs: Vec<LogGroupInput>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<PrefixGroup>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    environment_files: Vec<PrefixGroup>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    file_systems: Vec<EfsVolume>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    windows_file_systems: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    connections: Vec<ReachabilityCheck>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unchecked: Vec<Unchecked>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    targets: Vec<Target>,
}

/// Secrets or files with a common prefix: the forty secrets of a task usually differ only in the
/// last third of their ARNs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixGroup {
    /// `arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    prefix: String,
    /// What follows the prefix in each.
    names: Vec<String>,
}

/// Returns the complete names of all groups.
fn full_names(groups: &[PrefixGroup]) -> impl Iterator<Item = String> {
    groups.iter().flat_map(|PrefixGroup { prefix, names }| {
        names.iter().map(move |name| format!("{prefix}{name}"))
    })
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<Plan> for PlanDocument {
    fn from(plan: Plan) -> Self {
        let connections = plan
            .connections
            .iter()
            .map(|connection| reachability_check(connection, plan.target(connection.target)))
            .collect();
        let logs = plan
            .logs
            .into_iter()
            .map(|log| log_group_input(log, &plan.region))
            .collect();
        let secrets = plan
            .secrets
            .into_iter()
            .map(|secret| secret.value_from.to_string());
        Self {
            schema: SCHEMA.into(),
            platform: plan.platform,
            expect: plan.expect,
            full: plan.full,
            vpc_cidrs: plan.vpc_cidrs,
            ip_family: plan.ip_family,
            execution_role: plan.execution_role,
            task_role: plan.task_role,
            host: plan.host,
            images: plan.images.into_iter().map(image_input).collect(),
            windows_file_systems: plan.windows_file_systems,
            logs,
            secrets: group_by_prefix(secrets),
            environment_files: group_by_prefix(
                plan.environment_files.into_iter().map(|file| file.arn),
            ),
            file_systems: plan.file_systems.into_iter().map(efs_volume).collect(),
            connections,
            unchecked: plan.unchecked,
            targets: plan.targets,
            region: plan.region,
        }
    }
}

fn image_input(image: ImagePull) -> ImageInput {
    ImageInput {
        image: image.reference,
        login: image.login.map(|login| login.secret),
        added_by_aws: image.added_by_aws,
        deployment: image.deployment,
    }
}

fn log_group_input(log: LogDestination, task_region: &Region) -> LogGroupInput {
    LogGroupInput {
        group: log.group,
        region: (log.region != *task_region).then_some(log.region),
        stream_prefix: Some(log.stream_prefix),
        create_group: log.create_group,
    }
}

fn efs_volume(file_system: FileSystem) -> EfsVolume {
    EfsVolume {
        id: file_system.id,
        root_directory: file_system.root_directory,
        access_point: file_system.access_point,
        iam: file_system.iam,
        transit_encryption: file_system.transit_encryption,
    }
}

fn reachability_check(connection: &ReachabilityTarget, target: &Target) -> ReachabilityCheck {
    ReachabilityCheck {
        dependency: target.dependency,
        host: target.host.clone(),
        port: target.port,
        tcp_only: !target.phases.contains(&Phase::Handshake),
        subject: connection.subject.clone(),
    }
}

impl TryFrom<PlanDocument> for Plan {
    type Error = PlanError;

    fn try_from(document: PlanDocument) -> Result<Self, PlanError> {
        if document.schema != SCHEMA {
            return Err(PlanError::Schema(document.schema));
        }
        let secrets: Result<Vec<ValueFrom>, InvalidValueFrom> = full_names(&document.secrets)
            .map(|name| name.parse())
            .collect();
        let input = PlanInput {
            images: document.images,
            secrets: secrets?,
            log_group: None,
            logs: document.logs,
            log_stream_prefix: String::new(),
            environment_files: full_names(&document.environment_files).collect(),
            file_systems: document.file_systems,
            windows_file_systems: document.windows_file_systems,
            connections: document.connections,
            host: document.host,
            unchecked: document.unchecked,
            platform: Some(document.platform),
            expect: document.expect,
            full: document.full,
            vpc_cidrs: document.vpc_cidrs,
            ip_family: document.ip_family,
            account: None,
            execution_role: document.execution_role,
            task_role: document.task_role,
        };
        let plan = Self::new(input, document.region)?;
        if !document.targets.is_empty() && document.targets != plan.targets {
            return Err(PlanError::Targets);
        }
        Ok(plan)
    }
}

impl Plan {
    /// Returns the JSON that `probe --plan` takes, with the targets if they fit into RunTask's
    /// overrides.
    ///
    /// # Errors
    ///
    /// Fails if the plan exceeds RunTask's overrides even without its targets.
    pub fn to_json(&self) -> Result<String, PlanError> {
        let json = to_json(self)?;
        if override_chars(&json) <= MAX_OVERRIDE_CHARS {
            return Ok(json);
        }
        let json = self.to_short_json()?;
        match override_chars(&json) {
            ..=MAX_OVERRIDE_CHARS => Ok(json),
            characters => Err(PlanError::TooLongForOverride(characters)),
        }
    }

    /// Returns the JSON with the targets, whatever its size.
    ///
    /// # Errors
    ///
    /// Fails if a value cannot be written as JSON.
    pub fn to_whole_json(&self) -> Result<String, PlanError> {
        to_json(self)
    }

    /// Returns the JSON without the targets, whatever its size.
    ///
    /// # Errors
    ///
    /// Fails if a value cannot be written as JSON.
    pub fn to_short_json(&self) -> Result<String, PlanError> {
        to_json(&PlanDocument {
            targets: Vec::new(),
            ..PlanDocument::from(self.clone())
        })
    }

    /// Returns the plan of the same task in a subnet with these IP versions.
    ///
    /// # Errors
    ///
    /// Fails if the plan exceeds the limits of one run.
    pub fn in_ip_family(self, ip_family: IpFamily) -> Result<Self, PlanError> {
        if self.ip_family == ip_family {
            return Ok(self);
        }
        Self::try_from(PlanDocument {
            ip_family,
            targets: Vec::new(),
            ..PlanDocument::from(self)
        })
    }

    /// Reads a plan as `pullprobe plan --format json` prints it.
    ///
    /// # Errors
    ///
    /// Fails if the text is longer than any plan, or if it is not the JSON of a plan.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        if text.len() > 2 * MAX_PLAN_BYTES {
            return Err(PlanError::TooManyBytes(text.len()));
        }
        serde_json::from_str(text).map_err(|error| PlanError::Json(error.to_string()))
    }
}

fn to_json(value: &impl Serialize) -> Result<String, PlanError> {
    serde_json::to_string(value)
        .map(escape_json)
        .map_err(|error| PlanError::Json(error.to_string()))
}

/// Groups adjacent values of one resource type, Region and account, in order, and writes their
/// common prefix once.
fn group_by_prefix(values: impl Iterator<Item = String>) -> Vec<PrefixGroup> {
    let values: Vec<String> = values.collect();
    values
        .chunk_by(|a, b| resource_prefix(a) == resource_prefix(b))
        .map(|group| {
            let prefix = common_prefix(group);
            PrefixGroup {
                prefix: prefix.to_owned(),
                names: group
                    .iter()
                    .map(|value| value[prefix.len()..].to_owned())
                    .collect(),
            }
        })
        .collect()
}

/// Returns the ARN of a secret or parameter up to the resource's name; an empty text for everything
/// else.
fn resource_prefix(value: &str) -> &str {
    let Ok(arn) = value.parse::<Arn>() else {
        return "";
    };
    let resource_start = value.len() - arn.resource.len();
    ["secret:", "parameter"]
        .into_iter()
        .find(|kind| arn.resource.starts_with(kind))
        .map_or("", |kind| &value[..resource_start + kind.len()])
}

/// Returns the prefix of all values, up to the end of a word; an empty text for a single value.
fn common_prefix(values: &[String]) -> &str {
    let [first, others @ ..] = values else {
        return "";
    };
    let common_bytes = |other: &String| {
        let pairs = first.bytes().zip(other.bytes());
        pairs.take_while(|(a, b)| a == b).count()
    };
    // No others: a prefix would only cut the value in two.
    let length = others.iter().map(common_bytes).min().unwrap_or(0);
    let word_ends = first
        .char_indices()
        .filter(|(_, c)| "/:-_.".contains(*c))
        .map(|(at, c)| at + c.len_utf8());
    let end = word_ends.take_while(|end| *end <= length).last();
    &first[..end.unwrap_or(0)]
}
