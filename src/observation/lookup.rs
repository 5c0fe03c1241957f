//! DNS queries and their results.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Failure, ForEach};
use crate::safe_text::{SafeText, visible_string};

/// One DNS query and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Lookup {
    /// The name, without the trailing dot of the query.
    #[serde(deserialize_with = "visible_string")]
    pub name: String,
    /// `A`, `AAAA` or `SOA`.
    pub kind: SafeText,
    /// Why the probe looked it up.
    pub purpose: Purpose,
    /// The resolver that gave this result.
    pub resolver: SocketAddr,
    /// The resolvers of earlier queries for these records that were still unanswered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<SocketAddr>,
    /// The result.
    #[serde(flatten)]
    pub result: LookupResult,
    /// Addresses in the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// CNAMEs in the answer, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<SafeText>,
    /// Smallest time to live, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
    /// The zone: owner name of the SOA record in a negative answer (RFC 2308 section 3), or of the
    /// SOA record that was queried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<SafeText>,
    /// The primary name server in this SOA (RFC 1035 section 3.3.13, MNAME), which shows who hosts
    /// the zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_server: Option<SafeText>,
    /// Whether the UDP answer was truncated and the query repeated over TCP (RFC 7766 section 5),
    /// with this result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_tcp: bool,
    /// Time from the answered query to its answer, in milliseconds. Without an answer, the time
    /// spent on all queries.
    pub elapsed_ms: u64,
}

impl Lookup {
    pub(super) fn for_each_text(
        &mut self,
        text: ForEach<'_, SafeText>,
        for_name: ForEach<'_, String>,
    ) {
        let Self {
            name,
            kind,
            purpose: _,
            resolver: _,
            unanswered: _,
            result: _,
            addresses: _,
            aliases,
            ttl_s: _,
            zone,
            zone_server,
            over_tcp: _,
            elapsed_ms: _,
        } = self;
        for_name(name);
        text(kind);
        aliases
            .iter_mut()
            .chain(zone)
            .chain(zone_server)
            .for_each(text);
    }
}

/// Why a name was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The plan needs the name.
    Target,
    /// Another name of the same service, which shows whether the service resolves at all.
    Sibling,
    /// A random label, which shows whether there is a wildcard record.
    Wildcard,
    /// The SOA, which names the zone that answers.
    Zone,
    /// A name outside AWS, which shows whether the resolver answers at all.
    Control,
}

/// Result of a DNS query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum LookupResult {
    /// The answer has records.
    Answered,
    /// The answer has no records, or is an error, or did not come.
    Failed {
        /// How it failed.
        failure: Failure,
    },
}
