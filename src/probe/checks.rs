//! The checks of a task's dependencies. A module comes after all that it imports.

/// Whether the credentials could be loaded.
pub mod credentials;

/// Compares this machine's clock with those of the services.
pub mod clock;

/// ECR's registry token.
pub mod ecr_token;

/// Authentication at other registries.
pub mod registry_auth;

/// Parsing of image manifests and indexes.
pub mod manifest;

/// Requests to the registry of one image.
pub mod registry_session;

/// An image's configuration and layers.
pub mod layer;

/// Secrets and parameters, for containers and for registries.
pub mod secrets;

/// An image, from its reference to its layers.
pub mod image_pull;

/// Log streams of the awslogs driver.
pub mod log_stream;

/// The NFS servers of Amazon EFS file systems.
pub mod efs;

/// Environment files in Amazon S3.
pub mod environment_file;
