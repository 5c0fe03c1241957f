//! Certificates that a server presents.

use serde::{Deserialize, Serialize};

/// One certificate of the presented chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Certificate {
    /// RFC 4514 form. Absent in a report that passes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// RFC 4514 form.
    pub issuer: String,
    /// DNS names, leaf only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// RFC 3339. Absent in a report that passes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub not_before: String,
    /// RFC 3339.
    pub not_after: String,
    /// Past `not_after` when it was presented.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// Whether the issuer calls itself a public certificate authority. The chain is then incomplete,
    /// because an inspecting device has a certificate authority of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public_issuer: bool,
}
