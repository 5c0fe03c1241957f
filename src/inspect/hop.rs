//! A hop of a path, open, closed or unknown, and the fault that closes it.

use serde::{Deserialize, Serialize};

use super::change::ConfigurationChange;
use crate::cause::Cause;
use crate::safe_text::{MAX_FOREIGN_CHARS, visible};

/// Whether a hop lets the contact through. What is unknown is never open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Openness {
    /// The configuration lets it through.
    Open,
    /// It depends on something that was not read, or cannot be read.
    Unknown,
    /// The configuration stops it.
    Closed,
}

/// A kind of hop, in the order in which a contact passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HopKind {
    /// What the name resolves to.
    Name,
    /// Route table, gateway, and VPC Block Public Access.
    Route,
    /// The task's security groups, outbound.
    SecurityGroup,
    /// A network ACL, one direction.
    NetworkAcl,
    /// The security groups of the interface endpoint, inbound.
    EndpointSecurityGroup,
    /// The policy of the VPC endpoint.
    EndpointPolicy,
    /// The trust policy of the task execution role.
    TrustPolicy,
    /// The policies of the task execution role.
    RolePolicy,
    /// The policy of the repository or secret.
    ResourcePolicy,
    /// Whether the repository, image, secret, parameter or log group exists.
    Object,
}

impl HopKind {
    /// Returns the name for text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Route => "route",
            Self::SecurityGroup => "security group",
            Self::NetworkAcl => "network ACL",
            Self::EndpointSecurityGroup => "endpoint's security group",
            Self::EndpointPolicy => "endpoint policy",
            Self::TrustPolicy => "trust policy",
            Self::RolePolicy => "role's policies",
            Self::ResourcePolicy => "resource policy",
            Self::Object => "object",
        }
    }
}

/// One hop of the path from a subnet to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hop {
    /// What kind of hop it is.
    pub hop: HopKind,
    /// ID of the object that decides, such as `sg-…`, `acl-…`, `rtb-…`, `vpce-…`, or an ARN.
    pub object: String,
    /// The rule of the object, or the one that it lacks.
    pub rule: String,
    /// Whether it lets the contact through.
    pub verdict: Openness,
    /// Why, in one sentence.
    pub why: String,
}

/// Why a closed hop is closed, and what opens it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HopFault {
    pub cause: Cause,
    /// The changes that open the hop, the smallest first; each is enough.
    pub alternatives: Vec<Vec<ConfigurationChange>>,
    /// Whether it keeps the task from starting.
    pub blocking: bool,
    /// Whether it rests on something that was not read.
    pub is_assumed: bool,
}

impl HopFault {
    pub fn new(cause: Cause, alternatives: impl IntoIterator<Item = ConfigurationChange>) -> Self {
        Self {
            cause,
            alternatives: alternatives
                .into_iter()
                .map(|change| vec![change])
                .collect(),
            blocking: true,
            is_assumed: false,
        }
    }
}

/// Returns a sentence as a clause: names keep their case.
pub(super) fn clause(sentence: &str) -> String {
    const DETERMINERS: [&str; 10] = [
        "The", "No", "A", "An", "As", "What", "Whether", "Parts", "Nothing", "Neither",
    ];
    let first = sentence.split(' ').next().unwrap_or_default();
    if DETERMINERS.contains(&first) {
        format!("{}{}", first.to_lowercase(), &sentence[first.len()..])
    } else {
        sentence.to_owned()
    }
}

/// A hop with its fault, if it is closed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JudgedHop {
    pub hop: Hop,
    pub fault: Option<HopFault>,
}

/// Maximum number of characters of a sentence, which quotes several foreign texts.
const MAX_WHY_CHARS: usize = 4 * MAX_FOREIGN_CHARS;

impl JudgedHop {
    /// Returns a hop. IDs, rules and policies are foreign texts.
    fn new(
        hop: HopKind,
        object: &str,
        rule: impl Into<String>,
        verdict: Openness,
        why: impl Into<String>,
    ) -> Self {
        Self {
            hop: Hop {
                hop,
                object: visible(object, MAX_FOREIGN_CHARS),
                rule: visible(&rule.into(), MAX_FOREIGN_CHARS),
                verdict,
                why: visible(&why.into(), MAX_WHY_CHARS),
            },
            fault: None,
        }
    }

    pub fn open(
        hop: HopKind,
        object: &str,
        rule: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(hop, object, rule, Openness::Open, why)
    }

    pub fn unknown(
        hop: HopKind,
        object: &str,
        rule: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(hop, object, rule, Openness::Unknown, why)
    }

    pub fn closed(
        hop: HopKind,
        object: &str,
        rule: impl Into<String>,
        why: impl Into<String>,
        fault: HopFault,
    ) -> Self {
        Self {
            fault: Some(fault),
            ..Self::new(hop, object, rule, Openness::Closed, why)
        }
    }

    pub fn verdict(&self) -> Openness {
        self.hop.verdict
    }
}
