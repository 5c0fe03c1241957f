//! Inputs of a plan: from flags, a task definition, the task metadata, or another plan's JSON.

use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Expect, Platform, TaskHost, Unchecked, ValueFrom};
use crate::endpoints::Region;
use crate::network_location::IpFamily;
use crate::observation::{Dependency, ImageDeployment};
use crate::reference::{InvalidReference, Reference};

/// Inputs of a plan. [`Plan`](super::Plan) derives the hosts from them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanInput {
    /// Images to pull.
    pub images: Vec<ImageInput>,
    /// Secrets and parameters to read.
    pub secrets: Vec<ValueFrom>,
    /// Log group for the report, in the task's Region.
    pub log_group: Option<String>,
    /// Log groups of the containers.
    pub logs: Vec<LogGroupInput>,
    /// First part of the log stream's name, for log groups without their own.
    pub log_stream_prefix: String,
    /// Environment files, by ARN.
    pub environment_files: Vec<String>,
    /// EFS file systems to mount.
    pub file_systems: Vec<EfsVolume>,
    /// File systems of Amazon FSx for Windows File Server to mount, by ID. Their hosts are known
    /// only to the API of FSx.
    pub windows_file_systems: Vec<String>,
    /// Hosts that are checked for reachability only.
    pub connections: Vec<ReachabilityCheck>,
    /// Dependencies of the task that are not checked.
    pub unchecked: Vec<Unchecked>,
    /// Platform of the task.
    pub platform: Option<Platform>,
    /// Where the task runs.
    pub host: TaskHost,
    /// See [`Expect`].
    pub expect: Expect,
    /// Whether to download whole layers.
    pub full: bool,
    /// Address ranges of the VPC and of connected networks.
    pub vpc_cidrs: Vec<IpNet>,
    /// The IP versions of the task's subnet, which decide the names of AWS services.
    pub ip_family: IpFamily,
    /// The task's account, if it is known from more than the ARNs of its roles.
    pub account: Option<String>,
    /// ARN of the task execution role.
    pub execution_role: Option<String>,
    /// ARN of the task role.
    pub task_role: Option<String>,
}

impl PlanInput {
    /// Whether there is nothing to check and nothing to report as not checked.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
            && self.secrets.is_empty()
            && self.log_group.is_none()
            && self.logs.is_empty()
            && self.environment_files.is_empty()
            && self.file_systems.is_empty()
            && self.windows_file_systems.is_empty()
            && self.connections.is_empty()
            && self.unchecked.is_empty()
    }
}

/// An image to pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInput {
    /// The image.
    pub image: Reference,
    /// `repositoryCredentials.credentialsParameter`: a secret's ARN, or its name in the task's
    /// Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Whether AWS adds the container, and so chooses the tag.
    #[serde(
        rename = "injected",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub added_by_aws: bool,
    /// The service's deployment whose tasks pull it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<ImageDeployment>,
}

/// A log group that a container writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogGroupInput {
    /// Log group name.
    pub group: String,
    /// Region of the log group, if not the task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// First part of the log stream's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_prefix: Option<String>,
    /// `awslogs-create-group`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create_group: bool,
}

/// An EFS volume, as in `efsVolumeConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfsVolume {
    /// `fs-…`
    pub id: String,
    /// Directory to mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_directory: Option<String>,
    /// `fsap-…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_point: Option<String>,
    /// Whether the task role is used to mount it, which the file system's policy may deny.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub iam: bool,
    /// Whether it is mounted through TLS, on the same port.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transit_encryption: bool,
}

/// A host that must be reachable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachabilityCheck {
    /// The dependency that the host serves.
    pub dependency: Dependency,
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    #[serde(default = "https_port", skip_serializing_if = "is_https_port")]
    pub port: u16,
    /// Whether the check ends with TCP: the host does not use TLS, or its root certificates are
    /// unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tcp_only: bool,
    /// What uses the host, such as `ECS Exec`.
    pub subject: String,
}

const fn https_port() -> u16 {
    443
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_https_port(port: &u16) -> bool {
    *port == https_port()
}

impl FromStr for ImageInput {
    type Err = InvalidReference;

    /// Parses the reference of an image that is pulled without `repositoryCredentials`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self {
            image: text.parse()?,
            login: None,
            added_by_aws: false,
            deployment: None,
        })
    }
}

/// A name that CloudWatch Logs does not accept for a log group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidLogGroupName {
    /// Its length, in characters.
    #[error("a log group name has 1 to {MAX_LOG_GROUP_NAME} characters; this one has {0}")]
    Length(usize),
    /// A character that is not allowed.
    #[error("{0:?} is not allowed in a log group name; use letters, digits and _ - / . #")]
    Character(char),
}

/// Maximum number of characters of a log group name (CloudWatch Logs API reference,
/// CreateLogGroup).
const MAX_LOG_GROUP_NAME: usize = 512;

/// Checks the length and the characters of a log group name (CloudWatch Logs API reference,
/// CreateLogGroup: `a-z A-Z 0-9 _ - / . #`).
///
/// # Errors
///
/// Fails if CloudWatch Logs would reject the name.
pub fn check_log_group_name(name: &str) -> Result<(), InvalidLogGroupName> {
    let length = name.chars().count();
    if !(1..=MAX_LOG_GROUP_NAME).contains(&length) {
        return Err(InvalidLogGroupName::Length(length));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-/.#".contains(c);
    match name.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(InvalidLogGroupName::Character(c)),
        None => Ok(()),
    }
}
