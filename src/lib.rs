//! Rehearses an ECS task's start from the subnet it will run in, and names the cause of what fails.
#![forbid(unsafe_code)]

pub mod endpoints;
pub mod agent;
pub mod aws;
pub mod observation;
pub mod owner;
pub mod reference;
pub mod redact;
pub mod vantage;
