//! The steps of a task's start, in the order in which Fargate takes them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Step of a task's start that failed. Declared in Fargate's order
/// (docs/facts/message-corpus.md#3); the places of environment files and file systems in that order
/// are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// ECS assumes the task execution role and the task role.
    AssumeRole,
    /// Capacity, the elastic network interface and its IP address.
    NetworkInterface,
    /// Secrets from AWS Secrets Manager and Parameter Store.
    Secrets,
    /// The authorization token of Amazon ECR.
    RegistryAuth,
    /// The log driver creates its log stream.
    LogDriver,
    /// The image name is resolved to its manifest.
    ImageManifest,
    /// The image's layers are downloaded.
    ImageLayer,
    /// Environment files are downloaded from Amazon S3.
    EnvironmentFile,
    /// The Amazon EFS file system is mounted.
    FileSystem,
    /// The container's own process starts.
    ContainerStart,
    /// The message does not name the step.
    Unknown,
}

impl Step {
    /// Returns the name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AssumeRole => "assume-role",
            Self::NetworkInterface => "network-interface",
            Self::Secrets => "secrets",
            Self::RegistryAuth => "registry-auth",
            Self::LogDriver => "log-driver",
            Self::ImageManifest => "image-manifest",
            Self::ImageLayer => "image-layer",
            Self::EnvironmentFile => "environment-file",
            Self::FileSystem => "file-system",
            Self::ContainerStart => "container-start",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the description for text output, such as "downloading the image layers".
    pub const fn title(self) -> &'static str {
        match self {
            Self::AssumeRole => "assuming the task's IAM roles",
            Self::NetworkInterface => "placing the task and attaching its network interface",
            Self::Secrets => "retrieving secrets and parameters",
            Self::RegistryAuth => "authenticating to Amazon ECR",
            Self::LogDriver => "initializing the log driver",
            Self::ImageManifest => "resolving the image manifest",
            Self::ImageLayer => "downloading the image layers",
            Self::EnvironmentFile => "downloading environment files from Amazon S3",
            Self::FileSystem => "mounting the Amazon EFS file system",
            Self::ContainerStart => "starting the container",
            Self::Unknown => "an unknown step",
        }
    }

    /// The steps whose order is established.
    const ORDER: [Self; 8] = [
        Self::AssumeRole,
        Self::NetworkInterface,
        Self::Secrets,
        Self::RegistryAuth,
        Self::LogDriver,
        Self::ImageManifest,
        Self::ImageLayer,
        Self::ContainerStart,
    ];

    fn position(self) -> Option<usize> {
        Self::ORDER.iter().position(|step| *step == self)
    }

    /// Returns the steps before this one; none if its place in the order is not known.
    pub fn before(self) -> &'static [Self] {
        &Self::ORDER[..self.position().unwrap_or(0)]
    }

    /// Returns the steps after this one, without the container's own start; none if its place in
    /// the order is not known.
    pub fn after(self) -> &'static [Self] {
        let last = Self::ORDER.len() - 1;
        let next = self.position().map_or(last, |at| (at + 1).min(last));
        &Self::ORDER[next..last]
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
