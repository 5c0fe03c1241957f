//! Changes over time, in sentences that claim no more than the reports show.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fact::FactValue;
use super::history::ValueChange;
use crate::redact::shorten;

/// One change at a vantage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// Name of the vantage.
    pub vantage: String,
    /// `<dependency>/<phase>`, `<dependency>/addresses`, `<dependency>/owner`,
    /// `<dependency>/issuer`, `<dependency>/images`, `<dependency>/layers`, `verdict`, `identity`,
    /// `resolvers` or `probe`.
    pub fact: String,
    /// The previous value.
    pub before: String,
    /// The current value.
    pub after: String,
    /// When a report last showed the previous value, RFC 3339.
    pub last_before: String,
    /// When a report first showed the current value, RFC 3339; `null` if the fact goes back and
    /// forth.
    pub first_after: Option<String>,
    /// One sentence.
    pub summary: String,
}

/// Maximum number of characters of a value in a change: there may be a hundred layers or addresses.
const MAX_VALUE_CHARS: usize = 200;

impl Change {
    /// Returns the JSON form of a change at a vantage.
    pub fn new(vantage: &str, change: &ValueChange<'_>) -> Self {
        let before = shorten(&change.before.value, MAX_VALUE_CHARS);
        let after = shorten(&change.after.value, MAX_VALUE_CHARS);
        let sentence = sentence(change.property, before, after);
        let (last_before, first_after) = (change.before.last_seen, change.after.first_seen);
        let summary = if change.is_return() {
            let time = utc(last_before);
            format!("{sentence}; it goes back and forth, and last had the old value at {time}")
        } else {
            let (from, to) = (utc(last_before), utc(first_after));
            format!("{sentence}, between {from} and {to}")
        };
        Self {
            vantage: vantage.to_owned(),
            fact: change.property.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
            last_before: last_before.to_string(),
            first_after: (!change.is_return()).then(|| first_after.to_string()),
            summary,
        }
    }
}

/// Returns a time as `2026-11-24 10:00:01 UTC`.
pub(crate) fn utc(time: Timestamp) -> impl std::fmt::Display {
    time.strftime("%Y-%m-%d %H:%M:%S UTC")
}

fn sentence(property: &str, before: &str, after: &str) -> String {
    let subject = match property.rsplit_once('/') {
        Some((dependency, "layers")) => {
            return format!("{dependency} serves other layers for the image");
        }
        Some((dependency, "addresses")) => format!("the private addresses of {dependency}"),
        Some((dependency, "owner")) => format!("the owner of the addresses of {dependency}"),
        Some((dependency, "issuer")) => format!("the issuer of the certificate of {dependency}"),
        Some((_, "images")) => "the probed image".into(),
        Some((dependency, "resolve")) => match scopes(before, after) {
            Some((before, after)) => return moved(dependency, before, after),
            None => property.to_owned(),
        },
        None if property == "verdict" => "the verdict".into(),
        None if property == "identity" => "the IAM role of the probe".into(),
        None if property == "resolvers" => "the DNS resolvers of the subnet".into(),
        None if property == "probe" => "the version of the probe".into(),
        _ => property.to_owned(),
    };
    format!("{subject} changed from {before} to {after}")
}

fn scopes<'a>(before: &'a str, after: &'a str) -> Option<(&'a str, &'a str)> {
    match (FactValue::parse(before), FactValue::parse(after)) {
        (FactValue::Passed(Some(before)), FactValue::Passed(Some(after))) => Some((before, after)),
        _ => None,
    }
}

fn moved(dependency: &str, before: &str, after: &str) -> String {
    // S3 has public addresses either way, and from inside the subnet both ways look the same.
    let route = if dependency == "s3" && after.contains("public") {
        " (a gateway endpoint or NAT gateway; the addresses do not show which)"
    } else {
        ""
    };
    format!("{dependency} moved from {before} to {after} addresses{route}")
}
