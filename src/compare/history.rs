//! Changes at one vantage over time. Reports may come in any order and number: memory use does not
//! grow with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::fact::{FactValue, Facts};
use super::pool::{Pool, Properties};
use super::report_view::{ObservationView, ReportView, bounded_line};

/// Maximum number of values kept for one property, the latest ones. Two are compared; the third
/// distinguishes a value that goes back and forth from one that changed once.
const MAX_VALUES: usize = 3;

/// Maximum number of properties kept for one vantage: a report has about sixty.
const MAX_PROPERTIES: usize = 400;

/// Maximum number of items in a property's value, such as the addresses of a name; an image has at
/// most 127 layers.
const MAX_ITEMS: usize = 160;

/// Number of hexadecimal digits kept of a layer's digest: enough to tell layers apart.
const DIGEST_CHARS: usize = 12;

/// A value of a property, and when reports showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedValue {
    /// The value.
    pub value: Arc<str>,
    /// When a report first showed it, as far back as values are kept.
    pub first_seen: Timestamp,
    /// When a report last showed it.
    pub last_seen: Timestamp,
}

/// The last values of each property of a vantage.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The properties, as long as all reports are alike.
    alike: Option<AlikeReports>,
    /// The last values, once two reports differ.
    values: BTreeMap<Arc<str>, Vec<ObservedValue>>,
}

/// Reports with the same properties, and when the first and the last was made.
#[derive(Debug, Clone)]
struct AlikeReports {
    properties: Arc<Properties>,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

/// The last change of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueChange<'a> {
    /// Such as `s3/connect` or `verdict`.
    pub property: &'a str,
    /// The previous value.
    pub before: &'a ObservedValue,
    /// The current value.
    pub after: &'a ObservedValue,
}

impl ValueChange<'_> {
    /// Whether the current value was seen before the previous one: the property goes back and
    /// forth.
    pub fn is_return(&self) -> bool {
        self.after.first_seen <= self.before.last_seen
    }
}

impl History {
    /// Adds the properties of a report. One without a time has no place in a history.
    pub fn add(
        &mut self,
        at: Option<Timestamp>,
        report: &ReportView<'_>,
        facts: &Facts,
        pool: &mut Pool,
    ) {
        let Some(at) = at else { return };
        let properties = properties(report, facts).into_iter();
        let shared = properties
            .take(MAX_PROPERTIES)
            .map(|(property, value)| (pool.text(&property), pool.text(&value)));
        let shared = shared.collect();
        let properties = pool.properties(shared);
        match &mut self.alike {
            None if self.values.is_empty() => {
                self.alike = Some(AlikeReports {
                    properties,
                    first_seen: at,
                    last_seen: at,
                });
            }
            Some(alike) if Arc::ptr_eq(&alike.properties, &properties) => {
                alike.first_seen = alike.first_seen.min(at);
                alike.last_seen = alike.last_seen.max(at);
            }
            _ => {
                if let Some(alike) = self.alike.take() {
                    self.record_all(&alike.properties, alike.first_seen);
                    self.record_all(&alike.properties, alike.last_seen);
                }
                self.record_all(&properties, at);
            }
        }
    }

    fn record_all(&mut self, properties: &Properties, at: Timestamp) {
        for (property, value) in properties {
            if let Some(values) = self.values.get_mut(property) {
                record(values, at, value);
            } else if self.values.len() < MAX_PROPERTIES {
                let mut values = Vec::new();
                record(&mut values, at, value);
                self.values.insert(Arc::clone(property), values);
            }
        }
    }

    /// Returns about how many bytes are kept, without what the pool keeps.
    pub fn kept_bytes(&self) -> usize {
        let properties = self.values.values();
        let sizes = properties.map(|values| {
            size_of::<(Arc<str>, Vec<ObservedValue>)>() + size_of_val(values.as_slice())
        });
        sizes.sum()
    }

    /// Returns the last change of each property that changed.
    pub fn changes(&self) -> impl Iterator<Item = ValueChange<'_>> {
        self.values.iter().filter_map(|(property, values)| {
            let [.., before, after] = values.as_slice() else {
                return None;
            };
            Some(ValueChange {
                property,
                before,
                after,
            })
        })
    }
}

/// Keeps the values sorted by when they were last seen.
fn record(values: &mut Vec<ObservedValue>, at: Timestamp, value: &Arc<str>) {
    if let Some(known) = values.iter_mut().find(|known| known.value == *value) {
        known.first_seen = known.first_seen.min(at);
        known.last_seen = known.last_seen.max(at);
    } else {
        values.push(ObservedValue {
            value: Arc::clone(value),
            first_seen: at,
            last_seen: at,
        });
    }
    values.sort_by(|a, b| (a.last_seen, &a.value).cmp(&(b.last_seen, &b.value)));
    if values.len() > MAX_VALUES {
        values.remove(0);
    }
}

/// Returns what a report shows that may change even if nothing fails.
fn properties(report: &ReportView<'_>, facts: &Facts) -> Vec<(String, String)> {
    let cause = report
        .findings
        .first()
        .map(|finding| format!(" ({})", bounded_line(&finding.cause)))
        .unwrap_or_default();
    let resolvers = report.vantage.resolvers.iter().map(|resolver| &**resolver);
    let role = report
        .identity
        .as_ref()
        .and_then(|identity| identity.role_arn.as_deref());
    let mut properties = vec![
        (
            "verdict".into(),
            format!("{}{cause}", report.verdict.status),
        ),
        ("probe".into(), bounded_line(&report.run.version)),
        ("resolvers".into(), sorted_list(resolvers)),
        (
            "identity".into(),
            role.map(bounded_line).unwrap_or_default(),
        ),
    ];
    for (name, value) in facts {
        // What was not reached follows from what changed.
        if FactValue::parse(value) != FactValue::NotReached {
            properties.push((name.to_string(), value.clone()));
        }
    }
    for (property, items) in collected(report) {
        if all_layers_known(&property, facts) {
            properties.push((property, sorted_list(items.iter().map(String::as_str))));
        }
    }
    properties.retain(|(_, value)| !value.is_empty());
    properties
}

/// Whether the layers of a `…/layers` property are all there: the registry served each of them.
fn all_layers_known(property: &str, facts: &Facts) -> bool {
    property.strip_suffix("/layers").is_none_or(|dependency| {
        facts.iter().any(|(name, value)| {
            name.dependency == dependency && name.phase == "blob" && value == "passed"
        })
    })
}

/// Returns what several observations show together: private addresses, owners of public ones,
/// issuers of certificates, images and their layers.
fn collected(report: &ReportView<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut sets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let complete = report.run.shortened.is_none();
    for observation in report.observations.iter().filter(|o| o.affects_task()) {
        let Some((kind, items)) = items(observation, complete) else {
            continue;
        };
        for item in items {
            sets.entry(format!("{}/{kind}", bounded_line(&observation.dependency)))
                .or_default()
                .insert(item);
        }
    }
    sets
}

/// Returns the kind of property to which an observation contributes, and its items.
fn items(observation: &ObservationView<'_>, complete: bool) -> Option<(&'static str, Vec<String>)> {
    let line = |text: &str| bounded_line(text);
    let subject = observation.subject.as_deref();
    match &*observation.phase {
        // Public addresses vary from minute to minute; those of an interface VPC endpoint do not.
        "resolve" if observation.scope.as_deref().is_some_and(|s| s != "public") => {
            let addresses = observation.presented.iter().map(|address| line(address));
            Some(("addresses", addresses.collect()))
        }
        "connect" => {
            let owner = observation.owner.as_deref().map(line);
            Some(("owner", owner.into_iter().collect()))
        }
        "handshake" => {
            let leaf = observation.chain.first();
            let issuer = leaf.map(|leaf| line(organization(&leaf.issuer)));
            Some(("issuer", issuer.into_iter().collect()))
        }
        "manifest" => Some(("images", subject.map(line).into_iter().collect())),
        "blob" if complete => Some(("layers", subject.map(short_digest).into_iter().collect())),
        _ => None,
    }
}

/// Shortens a digest: digests are long and numerous, and only whether two are equal matters.
fn short_digest(blob: &str) -> String {
    let blob = bounded_line(blob);
    let digest = blob.rsplit("sha256:").next().unwrap_or(&blob);
    digest.chars().take(DIGEST_CHARS).collect()
}

/// Returns the organization of a distinguished name. An authority issues from several certificates
/// at the same time; `O=` is the same in all of them.
fn organization(issuer: &str) -> &str {
    issuer
        .split(',')
        .find_map(|attribute| attribute.trim().strip_prefix("O="))
        .unwrap_or(issuer)
}

fn sorted_list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: BTreeSet<&str> = items.collect();
    let items: Vec<&str> = items.into_iter().take(MAX_ITEMS).collect();
    items.join(", ")
}
