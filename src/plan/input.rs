//! What a plan is made from: flags, a task definition, the task metadata, or another plan's JSON.

use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Expect, Platform, Unchecked, ValueFrom};
use crate::endpoints::Region;
use crate::observation::Dependency;
use crate::reference::{InvalidReference, Reference};

/// Everything that is asked for. What will be contacted for it is the plan's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanInput {
    /// Images to pull.
    pub images: Vec<ImageInput>,
    /// Secrets and parameters.
    pub secrets: Vec<ValueFrom>,
    /// Log group that the report goes to, in the task's region.
    pub log_group: Option<String>,
    /// Log groups of the containers.
    pub logs: Vec<LogGroupInput>,
    /// First part of the log stream's name, where a container has none of its own.
    pub log_stream_prefix: String,
    /// Files of environment variables, by ARN.
    pub environment_files: Vec<String>,
    /// EFS file systems to mount.
    pub file_systems: Vec<EfsVolume>,
    /// Hosts of which only reachability is checked.
    pub connections: Vec<ReachabilityCheck>,
    /// What is known to be needed and not checked.
    pub unchecked: Vec<Unchecked>,
    /// The manifest that must exist.
    pub platform: Option<Platform>,
    /// See [`Expect`].
    pub expect: Expect,
    /// Whole layers.
    pub full: bool,
    /// Address ranges that are private whatever their number.
    pub vpc_cidrs: Vec<IpNet>,
    /// ARN of the role as which ECS starts the task.
    pub execution_role: Option<String>,
    /// ARN of the role that the containers have.
    pub task_role: Option<String>,
}

impl PlanInput {
    /// Whether there is nothing to check, nor to say.
    pub fn is_nothing(&self) -> bool {
        let Self {
            images,
            secrets,
            log_group,
            logs,
            environment_files,
            file_systems,
            connections,
            unchecked,
            ..
        } = self;
        let lists = [
            secrets.len(),
            logs.len(),
            environment_files.len(),
            file_systems.len(),
            connections.len(),
        ];
        images.is_empty()
            && log_group.is_none()
            && unchecked.is_empty()
            && lists.into_iter().all(|length| length == 0)
    }
}

/// An image to pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInput {
    /// The image.
    pub image: Reference,
    /// `repositoryCredentials.credentialsParameter`: a secret's ARN, or its name in the task's
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// AWS adds it to the task: nobody chose its tag.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub injected: bool,
}

/// A log group that a container writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogGroupInput {
    /// Log group name.
    pub group: String,
    /// Its region, if not the task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// First part of the log stream's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_prefix: Option<String>,
    /// `awslogs-create-group`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create_group: bool,
}

/// An EFS volume, as `efsVolumeConfiguration` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfsVolume {
    /// `fs-…`, or the ARN of a file system of another region.
    pub id: String,
    /// Directory to mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_directory: Option<String>,
    /// `fsap-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_point: Option<String>,
    /// Mounted as the task role, which the file system's policy may refuse.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub iam: bool,
    /// Mounted through TLS, on the same port.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transit_encryption: bool,
}

/// A host that must be reachable, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachabilityCheck {
    /// What it is to the task.
    pub dependency: Dependency,
    /// Its name.
    pub host: String,
    /// TCP port.
    #[serde(default = "https", skip_serializing_if = "is_https")]
    pub port: u16,
    /// No TLS is spoken there, or not with roots that could be known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tcp_only: bool,
    /// What it is needed for.
    pub subject: String,
}

const fn https() -> u16 {
    443
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_https(port: &u16) -> bool {
    *port == https()
}

impl FromStr for ImageInput {
    type Err = InvalidReference;

    /// An image without a login. Fails as [`Reference`] does.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self {
            image: text.parse()?,
            login: None,
            injected: false,
        })
    }
}
