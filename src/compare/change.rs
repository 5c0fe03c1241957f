//! Changes over time in sentences that claim no more than the reports show.

use serde::{Deserialize, Serialize};

use super::fact::{Kind, kind};
use super::history::{StatusChange, TimeRange};
use crate::redact::shorten;

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// Where.
    pub vantage: String,
    /// `<dependency>/<phase>`, `<dependency>/addresses`, `<dependency>/owner`,
    /// `<dependency>/issuer`, `<dependency>/images`, `<dependency>/layers`, `verdict`, `identity`,
    /// `resolvers` or `probe`.
    pub fact: String,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
    /// When it was seen to be as it was for the last time, RFC 3339.
    pub last_before: String,
    /// When it was seen to be as it is for the first time since, RFC 3339; `null` where it goes
    /// back and forth.
    pub first_after: Option<String>,
    /// One sentence.
    pub summary: String,
}

/// Longest value in a change, characters. Layers and addresses can be a hundred.
const LONGEST_VALUE: usize = 200;

impl Change {
    /// The change at a vantage.
    pub fn of(vantage: &str, turn: &StatusChange<'_>) -> Self {
        let when = if turn.is_return() {
            format!(
                "goes back and forth; last the other way at {}",
                second(turn.before)
            )
        } else {
            format!(
                "between {} and {}",
                second(turn.before),
                turn.after.first.strftime(SECOND)
            )
        };
        Self {
            vantage: vantage.to_owned(),
            fact: turn.property.to_owned(),
            before: shorten(&turn.before.value, LONGEST_VALUE).to_owned(),
            after: shorten(&turn.after.value, LONGEST_VALUE).to_owned(),
            last_before: turn.before.last.to_string(),
            first_after: (!turn.is_return()).then(|| turn.after.first.to_string()),
            summary: format!(
                "{}, {when}",
                sentence(turn.property, &turn.before.value, &turn.after.value)
            ),
        }
    }
}

const SECOND: &str = "%Y-%m-%d %H:%M:%S UTC";

fn second(span: &TimeRange) -> impl std::fmt::Display {
    span.last.strftime(SECOND)
}

fn sentence(property: &str, before: &str, after: &str) -> String {
    let (before, after) = (
        shorten(before, LONGEST_VALUE),
        shorten(after, LONGEST_VALUE),
    );
    match property.rsplit_once('/') {
        None if property == "verdict" => format!("the verdict was {before} and is {after}"),
        None if property == "identity" => format!("the role was {before} and is {after}"),
        None if property == "resolvers" => {
            format!("the subnet's resolvers were {before} and are {after}")
        }
        None if property == "probe" => format!("the probe was version {before} and is {after}"),
        Some((dependency, "addresses")) => {
            format!("the private addresses of {dependency} were {before} and are {after}")
        }
        Some((dependency, "owner")) => {
            format!("the addresses of {dependency} belonged to {before} and belong to {after}")
        }
        Some((dependency, "issuer")) => {
            format!("the certificate of {dependency} was issued by {before} and is by {after}")
        }
        Some((_, "images")) => format!("the probe asked for {before} and asks for {after}"),
        Some((dependency, "layers")) => {
            format!("what {dependency} serves for the image has other layers than it had")
        }
        Some((dependency, phase)) => moved(dependency, phase, before, after),
        None => format!("{property} was {before} and is {after}"),
    }
}

fn moved(dependency: &str, phase: &str, before: &str, after: &str) -> String {
    let place = |value: &str| {
        value
            .strip_prefix("passed (")
            .and_then(|rest| rest.strip_suffix(')'))
            .map(str::to_owned)
    };
    match (place(before), place(after), kind(before), kind(after)) {
        (Some(from), Some(to), ..) => {
            // From inside the subnet the two look the same: S3 has public addresses either way.
            let way = if dependency == "s3" && to.contains("public") {
                " (a gateway endpoint or NAT: they do not say)"
            } else {
                ""
            };
            format!("{dependency} moved from {from} to {to} addresses{way}")
        }
        (_, _, Kind::Passed, _) => format!("{dependency}/{phase} passed and now is {after}"),
        (_, _, _, Kind::Passed) => format!("{dependency}/{phase} was {before} and now passes"),
        _ => format!("{dependency}/{phase} was {before} and is {after}"),
    }
}
