//! Certificates that a server presents.

use serde::{Deserialize, Serialize};

use super::ForEach;
use crate::safe_text::SafeText;

/// One certificate of the presented chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Certificate {
    /// Distinguished name in RFC 4514 form. Absent in a report that passes.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub subject: SafeText,
    /// RFC 4514 form.
    pub issuer: SafeText,
    /// DNS names, leaf only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<SafeText>,
    /// RFC 3339. Absent in a report that passes.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub not_before: SafeText,
    /// RFC 3339. Absent in a report that passes.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub not_after: SafeText,
    /// Whether `not_after` had passed when the certificate was presented.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// Whether the issuer calls itself a public certificate authority. The chain is then
    /// incomplete, because an inspecting device has a certificate authority of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public_issuer: bool,
}

impl Certificate {
    pub(super) fn for_each_text(&mut self, text: ForEach<'_, SafeText>) {
        let Self {
            subject,
            issuer,
            names,
            not_before,
            not_after,
            expired: _,
            public_issuer: _,
        } = self;
        let single = [subject, issuer, not_before, not_after];
        single.into_iter().chain(names).for_each(text);
    }
}
