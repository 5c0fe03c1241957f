//! What the configuration of a VPC says about a task's start: the path from every subnet to every
//! host of the plan, hop by hop, and the object and rule that close it. Pure.
//!
//! ```text
//! Snapshot ─▶ [`evaluate`]: [`name`] ─▶ [`route`] ─▶ [`filter`] ─▶ [`permission`] ─▶ [`object`] ─▶ [`Inspection`]
//!                                                            closed hop ─▶ [`change`] ─▶ [`patch`]     │
//!                                              reports of probes ─▶ [`join`] ◀─────────────────────────┘
//! ```
//!
//! Every hop is open, closed or unknown. What was not read, or cannot be read, is unknown and never
//! open.

mod address_set;
mod change;
mod evaluate;
mod filter;
mod hop;
mod inspection;
mod join;
mod name;
mod needed_request;
mod object;
mod patch;
mod permission;
mod route;
pub mod snapshot;
mod view;

pub use hop::{Hop, HopKind, Openness};
pub use inspection::{
    Basis, ConfiguredAnswer, Contradiction, INSPECTION_SCHEMA, InspectedContact, Inspection,
    InspectionFinding,
};
pub use join::{JoinedVantage, PacketReport, RuledOutByObject};
pub use patch::{Patch, PatchLanguage, joined};

use snapshot::Snapshot;

/// A request to be evaluated against the role's policies with `iam:SimulatePrincipalPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleRequest {
    /// Such as `ecr:BatchGetImage`.
    pub action: String,
    /// ARN, or `*`.
    pub resource: String,
}

/// Returns the requests that the task execution role must be allowed, each once.
pub fn role_requests(snapshot: &Snapshot) -> Vec<RoleRequest> {
    let targets = snapshot.plan.targets.iter();
    let mut requests: Vec<_> = targets
        .flat_map(|target| needed_request::requests_at(snapshot, target))
        .filter(|request| request.signer == needed_request::Signer::ExecutionRole)
        .map(|request| RoleRequest {
            action: request.action.to_owned(),
            resource: request.resource,
        })
        .collect();
    requests.sort();
    requests.dedup();
    requests
}

/// Returns the key of an image's repository among a snapshot's objects; `None` outside of Amazon
/// ECR.
pub fn repository_key(image: &crate::plan::ImagePull) -> Option<String> {
    needed_request::repository_key(image)
}

#[cfg(test)]
mod tests;
