//! The checks, one file each.

pub mod clock;
pub mod ecr_token;
pub mod efs;
pub mod environment_file;
pub mod image_pull;
pub mod layer;
pub mod log_stream;
pub mod manifest;
pub mod registry_auth;
pub mod secrets;
