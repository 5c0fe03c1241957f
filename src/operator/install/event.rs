//! What happens while the image is pushed.

use std::time::Duration;

use crate::plan::Platform;

/// A step of an installation.
#[derive(Debug)]
pub enum InstallEvent<'a> {
    /// The repository did not exist.
    RepositoryCreated { uri: &'a str },
    /// A layer is being uploaded.
    Uploading {
        platform: &'a Platform,
        bytes: usize,
    },
    /// A request failed and is repeated.
    Retrying { reason: &'a str, pause: Duration },
}

/// Receives each step.
pub type ShowEvent<'a> = dyn FnMut(&InstallEvent<'_>) + 'a;
