//! What is AWS's own: credentials, signatures, and the ways in which its services say no.

pub mod credentials;
pub mod denial;
pub mod refusal;
pub mod s3;
pub mod sign;
