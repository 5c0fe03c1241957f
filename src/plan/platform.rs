//! The platform that an image is built for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Operating system and architecture of an image, in the terms of the OCI image specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform {
    /// As in an image index, such as `linux`.
    pub os: String,
    /// As in an image index, such as `arm64`.
    pub architecture: String,
}

/// A text that is not of the form `os/architecture`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not of the form os/architecture, such as linux/arm64")]
pub struct InvalidPlatform(String);

impl Platform {
    /// Returns the platform that this binary was built for.
    pub fn of_this_binary() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self::of("linux", architecture)
    }

    pub(crate) fn of(os: &str, architecture: &str) -> Self {
        Self {
            os: os.into(),
            architecture: architecture.into(),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((os, architecture)) if !os.is_empty() && !architecture.is_empty() => {
                Ok(Self::of(os, architecture))
            }
            _ => Err(InvalidPlatform(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Platform {
    type Error = InvalidPlatform;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}
