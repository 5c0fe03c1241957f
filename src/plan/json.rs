//! A plan as JSON: what is wanted. Hosts, dependencies and phases follow from it; they are printed
//! for who reads, and not needed.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::input::{EfsVolume, ImageInput, LogGroupInput, PlanInput, ReachabilityCheck};
use super::{Expect, Plan, Platform, SCHEMA, Target, Unchecked, ValueFrom};
use crate::endpoints::Region;
use crate::observation::Phase;

/// RunTask takes overrides of 8,192 characters (ECS API reference, TaskOverride).
pub const MAX_OVERRIDES: usize = 8_192;

/// How a task with a larger plan is probed all the same.
pub const TOO_LARGE_HINT: &str = "put the task definition where the probe can read it, and name that place instead: \
                           --task-definition s3://BUCKET/KEY or --task-definition ssm:/NAME";

/// The members of the JSON object.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    execution_role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_role: Option<String>,
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
    connections: Vec<ReachabilityCheck>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unchecked: Vec<Unchecked>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    targets: Vec<Target>,
}

/// Names that begin alike: the forty secrets of a task usually differ in their last third.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixGroup {
    /// `arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    prefix: String,
    /// What follows it, each.
    names: Vec<String>,
}

fn whole(groups: &[PrefixGroup]) -> impl Iterator<Item = String> {
    groups.iter().flat_map(|group| {
        group
            .names
            .iter()
            .map(|name| format!("{}{name}", group.prefix))
    })
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<Plan> for PlanDocument {
    fn from(plan: Plan) -> Self {
        let connections: Vec<(String, Target)> = plan
            .connections
            .iter()
            .map(|connection| {
                (
                    connection.subject.clone(),
                    plan.target(connection.target).clone(),
                )
            })
            .collect();
        let Plan {
            region,
            platform,
            expect,
            full,
            vpc_cidrs,
            execution_role,
            task_role,
            unchecked,
            targets,
            ..
        } = plan;
        let connections = connections.into_iter().map(|(subject, target)| {
            let (dependency, host, port) = (target.dependency, target.host.clone(), target.port);
            let tcp_only = !target.phases.contains(&Phase::Handshake);
            ReachabilityCheck {
                dependency,
                host,
                port,
                tcp_only,
                subject,
            }
        });
        let connections = connections.collect();
        let images = plan.images.into_iter().map(|image| ImageInput {
            image: image.reference,
            login: image.login.map(|login| login.secret),
            injected: image.injected,
        });
        let logs = plan.logs.into_iter().map(|log| LogGroupInput {
            group: log.group,
            region: (log.region != region).then_some(log.region),
            stream_prefix: Some(log.stream_prefix),
            create_group: log.create_group,
        });
        let file_systems = plan.file_systems.into_iter().map(|fs| EfsVolume {
            id: fs.id,
            root_directory: fs.root_directory,
            access_point: fs.access_point,
            iam: fs.iam,
            transit_encryption: fs.transit_encryption,
        });
        Self {
            schema: SCHEMA.into(),
            images: images.collect(),
            logs: logs.collect(),
            secrets: group(
                plan.secrets
                    .into_iter()
                    .map(|secret| secret.value_from.to_string()),
            ),
            environment_files: group(plan.environment_files.into_iter().map(|file| file.arn)),
            file_systems: file_systems.collect(),
            connections,
            region,
            platform,
            expect,
            full,
            vpc_cidrs,
            execution_role,
            task_role,
            unchecked,
            targets,
        }
    }
}

impl TryFrom<PlanDocument> for Plan {
    type Error = String;

    /// Fails with one sentence on what is wrong.
    fn try_from(form: PlanDocument) -> Result<Self, String> {
        if form.schema != SCHEMA {
            return Err(format!(
                "the plan's schema is {:?}, this binary reads {SCHEMA:?}",
                form.schema
            ));
        }
        let secrets = form.secrets.iter().flat_map(|group| {
            group
                .names
                .iter()
                .map(|name| format!("{}{name}", group.prefix).parse::<ValueFrom>())
        });
        let wanted = PlanInput {
            images: form.images,
            secrets: secrets.collect::<Result<_, _>>()?,
            log_group: None,
            logs: form.logs,
            log_stream_prefix: String::new(),
            environment_files: whole(&form.environment_files).collect(),
            file_systems: form.file_systems,
            connections: form.connections,
            unchecked: form.unchecked,
            platform: Some(form.platform),
            expect: form.expect,
            full: form.full,
            vpc_cidrs: form.vpc_cidrs,
            execution_role: form.execution_role,
            task_role: form.task_role,
        };
        let plan = Self::new(wanted, form.region)?;
        if !form.targets.is_empty() && form.targets != plan.targets {
            return Err(
                "its targets are not those that follow from the rest of it: leave them out".into(),
            );
        }
        Ok(plan)
    }
}

impl Plan {
    /// The JSON that `probe --plan` takes: with the targets where they fit. Fails with the size and
    /// the way out if it is more than RunTask takes.
    pub fn to_json(&self) -> Result<String, String> {
        let whole = serde_json::to_string(self).map_err(|error| error.to_string())?;
        if size_as_override(&whole) <= MAX_OVERRIDES {
            return Ok(whole);
        }
        let short = self.to_short_json()?;
        match size_as_override(&short) {
            ..=MAX_OVERRIDES => Ok(short),
            size => Err(format!(
                "as an override the plan takes {size} characters, more than the {MAX_OVERRIDES} that RunTask takes: {TOO_LARGE_HINT}"
            )),
        }
    }

    /// The shortest JSON of this plan, for an override that it shares with others.
    pub fn to_short_json(&self) -> Result<String, String> {
        let form = PlanDocument {
            targets: Vec::new(),
            ..PlanDocument::from(self.clone())
        };
        serde_json::to_string(&form).map_err(|error| error.to_string())
    }

    /// Reads a plan as `pullprobe plan --format json` prints it. Fails with one sentence on what is
    /// wrong.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let size = text.chars().count();
        if size > MAX_OVERRIDES {
            return Err(format!(
                "the plan has {size} characters, more than the {MAX_OVERRIDES} of RunTask's overrides: {TOO_LARGE_HINT}"
            ));
        }
        serde_json::from_str(text).map_err(|error| format!("the plan cannot be read: {error}"))
    }
}

/// Characters of what stands around the plan: the container's name, and the variables that are
/// emptied or set besides.
const FRAME: usize = 256;

/// Characters in RunTask's overrides, where the plan is a string and each of its quotes is escaped.
fn size_as_override(json: &str) -> usize {
    FRAME + json.chars().count() + json.matches(['"', '\\']).count()
}

/// Neighbours of one kind and place together, in their order, with all that they begin with said
/// once.
fn group(values: impl Iterator<Item = String>) -> Vec<PrefixGroup> {
    let values: Vec<String> = values.collect();
    let runs = values.chunk_by(|a, b| a[..place_length(a)] == b[..place_length(b)]);
    let of_run = |run: &[String]| {
        let prefix = common_prefix(run);
        PrefixGroup {
            prefix: prefix.to_owned(),
            names: run
                .iter()
                .map(|value| value[prefix.len()..].to_owned())
                .collect(),
        }
    };
    runs.map(of_run).collect()
}

/// Up to the resource's name, in an ARN.
fn place_length(value: &str) -> usize {
    let end = |marker: &str| value.find(marker).map(|at| at + marker.len());
    if value.starts_with("arn:") {
        end(":secret:").or_else(|| end(":parameter")).unwrap_or(0)
    } else {
        0
    }
}

/// Whole words of it. None of a single value, which it would only cut in two.
fn common_prefix(values: &[String]) -> &str {
    let [first, others @ ..] = values else {
        return "";
    };
    let same = |other: &String| {
        first
            .bytes()
            .zip(other.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    let length = others.iter().map(same).min().unwrap_or(0);
    let words = first
        .char_indices()
        .filter(|(_, c)| "/:-_.".contains(*c))
        .map(|(at, c)| at + c.len_utf8());
    &first[..words.take_while(|end| *end <= length).last().unwrap_or(0)]
}
