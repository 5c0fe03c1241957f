//! What changed at one place over time. Reports may come in any order and any number; what is kept
//! does not grow with it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::fact::{Facts, Kind, kind};
use super::report_view::Report;
use super::tidy;

/// Values kept of one property, those seen last. Two are compared; the third tells going back and
/// forth from one change.
const VALUES: usize = 3;

/// Properties kept of one place: a report has some sixty.
const PROPERTIES: usize = 400;

/// Parts of a property's value, such as the addresses of a name; an image has at most 127 layers.
const PARTS: usize = 160;

/// A value, and when it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeRange {
    /// The value.
    pub value: String,
    /// First, as far as is known.
    pub first: Timestamp,
    /// Last.
    pub last: Timestamp,
}

/// Every property's last values.
#[derive(Debug, Clone, Default)]
pub struct History(BTreeMap<String, Vec<TimeRange>>);

/// One property's last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange<'a> {
    /// Which property.
    pub property: &'a str,
    /// What it was.
    pub before: &'a TimeRange,
    /// What it is.
    pub after: &'a TimeRange,
}

impl StatusChange<'_> {
    /// Whether the present value had been seen before the other: it goes back and forth.
    pub fn is_return(&self) -> bool {
        self.after.first <= self.before.last
    }
}

impl History {
    /// Takes note of a report's properties. A report without a time is part of no history.
    pub fn add(&mut self, at: Option<Timestamp>, report: &Report<'_>, facts: &Facts) {
        let Some(at) = at else { return };
        for (property, value) in properties(report, facts) {
            if let Some(spans) = self.0.get_mut(&property) {
                note(spans, at, value);
            } else if self.0.len() < PROPERTIES {
                self.0.insert(
                    property,
                    vec![TimeRange {
                        value,
                        first: at,
                        last: at,
                    }],
                );
            }
        }
    }

    /// What is not as it was.
    pub fn turns(&self) -> impl Iterator<Item = StatusChange<'_>> {
        self.0.iter().filter_map(|(property, spans)| {
            let [.., before, after] = spans.as_slice() else {
                return None;
            };
            Some(StatusChange {
                property,
                before,
                after,
            })
        })
    }
}

/// Keeps the spans sorted by when they were seen last.
fn note(spans: &mut Vec<TimeRange>, at: Timestamp, value: String) {
    if let Some(known) = spans.iter_mut().find(|span| span.value == value) {
        (known.first, known.last) = (known.first.min(at), known.last.max(at));
    } else {
        spans.push(TimeRange {
            value,
            first: at,
            last: at,
        });
    }
    spans.sort_by(|a, b| (a.last, &a.value).cmp(&(b.last, &b.value)));
    if spans.len() > VALUES {
        spans.remove(0);
    }
}

/// What a report says that may change without anything failing.
fn properties(report: &Report<'_>, facts: &Facts) -> Vec<(String, String)> {
    let cause = report
        .findings
        .first()
        .map(|finding| format!(" ({})", tidy(&finding.cause)))
        .unwrap_or_default();
    let mut found = vec![
        (
            "verdict".to_owned(),
            format!("{}{cause}", report.verdict.status),
        ),
        ("probe".to_owned(), tidy(&report.run.version)),
        (
            "resolvers".to_owned(),
            set(report.vantage.resolvers.iter().map(|resolver| &**resolver)),
        ),
    ];
    let dependency = report
        .identity
        .as_ref()
        .and_then(|identity| identity.role_arn.as_deref());
    found.extend(dependency.map(|dependency| ("identity".to_owned(), tidy(dependency))));
    // What was not reached is a consequence of what changed.
    let told = facts
        .iter()
        .filter(|(_, value)| kind(value) != Kind::NotReached);
    found.extend(told.map(|(name, value)| (name.to_string(), value.clone())));
    let told =
        gather(report)
            .into_iter()
            .filter(|(property, _)| match property.strip_suffix("/layers") {
                Some(dependency) => facts.iter().any(|(name, value)| {
                    name.dependency == dependency && name.phase == "blob" && value == "passed"
                }),
                None => true,
            });
    found.extend(told.map(|(property, values)| (property, set(values.iter().map(String::as_str)))));
    found.retain(|(_, value)| !value.is_empty());
    found
}

/// What several observations say together: private addresses, owners of public ones, who issued the
/// certificates, which images were asked for and which layers they have.
fn gather(report: &Report<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut sets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let whole = report.run.shortened.is_none();
    for seen in report
        .observations
        .iter()
        .filter(|seen| seen.superseded_by.is_none())
    {
        let mut put = |what: &str, value: &str| {
            sets.entry(format!("{}/{what}", tidy(&seen.dependency)))
                .or_default()
                .insert(tidy(value));
        };
        match &*seen.phase {
            // Public addresses come in another order, and others, every minute; an interface
            // endpoint's are all there.
            "resolve" if seen.scope.as_deref().is_some_and(|scope| scope != "public") => {
                seen.presented
                    .iter()
                    .for_each(|address| put("addresses", address));
            }
            "connect" => seen.owner.iter().for_each(|owner| put("owner", owner)),
            "handshake" => seen
                .chain
                .iter()
                .take(1)
                .for_each(|leaf| put("issuer", organization(&leaf.issuer))),
            "manifest" => seen.subject.iter().for_each(|image| put("images", image)),
            "blob" if whole => seen.subject.iter().for_each(|blob| put("layers", blob)),
            _ => {}
        }
    }
    // Digests are long and many, and only whether they are the same ones matters.
    for (property, values) in &mut sets {
        if property.ends_with("/layers") {
            *values = values
                .iter()
                .map(|blob| blob.rsplit("sha256:").next().unwrap_or(blob))
                .map(|hex| hex.chars().take(12).collect())
                .collect();
        }
    }
    sets
}

/// Authorities issue from several certificates at the same time; who they are is in `O=`.
fn organization(issuer: &str) -> &str {
    let named = issuer
        .split(',')
        .find_map(|part| part.trim().strip_prefix("O="));
    named.unwrap_or(issuer)
}

fn set<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let values: BTreeSet<&str> = values.collect();
    values
        .into_iter()
        .take(PARTS)
        .collect::<Vec<_>>()
        .join(", ")
}
