//! AWS protocols: credentials, request signing, error responses and authorization errors.

pub mod credentials;
pub mod denial;
pub mod error_response;
pub mod instance_metadata;
pub mod json_api;
pub mod s3;
pub mod sign;
pub mod withheld;
