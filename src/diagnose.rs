//! Infers causes from what was seen. Pure: no I/O, no clock, no environment.
//!
//! Each rule is a function whose comment is its argument, listed once in `RULES`. What the evidence
//! cannot separate is all listed, most common first, none of it certain; what it excludes is in
//! `ruled_out` with the proof.

mod path;
mod reference;
mod registry;
mod resolve;
mod ruled_out;
mod service_errors;
mod storage;
mod tls;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Family};
use crate::evidence::{Evidence, ids};
use crate::observation::{Dependency, Observation, ObservationId, TargetKey};

pub(crate) use service_errors::named as denied_by;

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Packets alone cannot tell it from its neighbours in the list.
    Possible,
    /// Another cause would need an odd set-up.
    Likely,
    /// No other cause explains all that was seen.
    Certain,
}

/// A cause with its proof: the observations that it rests on, or the quotations (`String`) of a
/// text that `explain` read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Finding"))]
pub struct Finding<Proof = ObservationId> {
    /// What is wrong.
    pub cause: Cause,
    /// Its family.
    pub family: Family,
    /// Whose way it is in; the first of several.
    pub dependency: Dependency,
    /// How sure.
    pub confidence: Confidence,
    /// Whether the task would not start.
    pub blocking: bool,
    /// One sentence: what is wrong here.
    pub summary: String,
    /// What to change.
    pub remedy: String,
    /// What it rests on.
    pub because: Vec<Proof>,
}

/// A cause that the evidence excludes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuledOut {
    /// What is not wrong.
    pub cause: Cause,
    /// The observations that exclude it.
    pub because: Vec<ObservationId>,
}

/// What was inferred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Ranked: what stops the task first, then how sure, then how much it explains, then how
    /// common.
    pub findings: Vec<Finding>,
    /// What it is not.
    pub ruled_out: Vec<RuledOut>,
}

/// A rule reads evidence and says what it allows.
type Rule = fn(Evidence<'_>) -> Vec<Finding>;

/// Every rule.
const RULES: &[Rule] = &[
    resolve::resolver_unreachable,
    resolve::first_resolver_silent,
    resolve::resolver_failure,
    resolve::names_not_found,
    resolve::public_answer,
    path::no_egress_route,
    path::interface_endpoint_missing,
    path::s3_gateway_missing,
    path::endpoint_security_group,
    path::task_security_group_egress,
    path::network_acl,
    path::stale_name,
    path::endpoint_address_unreachable,
    path::refused,
    path::reset,
    path::mtu_black_hole,
    path::service_unresponsive,
    path::service_slow,
    tls::untrusted_issuer,
    tls::wrong_name,
    tls::outside_validity,
    tls::stalled,
    tls::answers_as_somebody_else,
    service_errors::credentials,
    service_errors::clock_skew,
    service_errors::denied,
    service_errors::not_found,
    service_errors::wrong_form,
    service_errors::rate_limited,
    service_errors::not_understood,
    registry::rate_limited,
    storage::file_system_unreachable,
];

/// Infers causes from observations.
pub fn diagnose(observations: &[Observation]) -> Diagnosis {
    let evidence = Evidence::new(observations);
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(evidence)).collect();
    unite_clock_skews(&mut findings);
    for finding in findings
        .iter_mut()
        .filter(|finding| concerns_only_what_can_wait(evidence, finding))
    {
        finding.blocking = false;
    }
    let masked: BTreeSet<(Cause, Vec<ObservationId>)> = findings
        .iter()
        .flat_map(|root| findings.iter().filter(|other| masks(root, other)))
        .map(|finding| (finding.cause, finding.because.clone()))
        .collect();
    findings.retain(|finding| !masked.contains(&(finding.cause, finding.because.clone())));
    findings.sort_by_key(|f| {
        (
            !f.blocking,
            Reverse(f.confidence),
            Reverse(f.because.len()),
            f.cause,
            f.dependency,
        )
    });
    let ruled_out = ruled_out::ruled_out(evidence, &findings);
    Diagnosis {
        findings,
        ruled_out,
    }
}

/// Whether it rests on nothing but dependencies without which a task starts.
fn concerns_only_what_can_wait(ev: Evidence<'_>, finding: &Finding) -> bool {
    let because = |id: &ObservationId| ev.all().find(|seen| &seen.id == id);
    finding
        .because
        .iter()
        .filter_map(because)
        .all(|seen| seen.dependency.starts_without())
}

/// A machine has one clock: what signatures, certificates and dates say of it is one finding, as
/// sure as the surest.
fn unite_clock_skews(findings: &mut Vec<Finding>) {
    let (mut skews, others): (Vec<_>, Vec<_>) = findings
        .drain(..)
        .partition(|f| f.cause == Cause::ClockSkew);
    skews.sort_by_key(|finding| Reverse(finding.confidence));
    *findings = others;
    findings.extend(skews.into_iter().reduce(|mut surest, other| {
        surest.blocking |= other.blocking;
        surest.because.extend(
            other
                .because
                .into_iter()
                .filter(|id| !surest.because.contains(id))
                .collect::<Vec<_>>(),
        );
        surest
    }));
}

/// Whether `other` is only a consequence of `root`: a finding that rests on nothing that `root`
/// does not explain as well.
fn masks(root: &Finding, other: &Finding) -> bool {
    let consequences: &[Cause] = match root.cause {
        // A clock that is off makes good signatures look bad, and keys that are still good look old
        // to whoever holds them against it. A service that calls a token expired does so by its own
        // clock, and a certificate a year past its time is so by any.
        Cause::ClockSkew if other.dependency == Dependency::Credentials => {
            &[Cause::CredentialsExpired]
        }
        Cause::ClockSkew => &[Cause::CredentialsInvalid],
        // The endpoint that is not there is why the answer is public.
        Cause::InterfaceEndpointMissing | Cause::NoEgressRoute => {
            &[Cause::PublicAnswerWherePrivateExpected]
        }
        // Losing large packets is why nothing came, unless small ones did not help either.
        Cause::MtuBlackHole if root.confidence == Confidence::Certain => {
            &[Cause::ServiceUnresponsive, Cause::TlsStalled]
        }
        // Connections that a filter lets through only from some ports fail later as well, at
        // whatever comes first, and now and then with the one size of segments and not with the
        // other.
        Cause::NetworkAcl if root.confidence == Confidence::Certain => {
            &[Cause::ServiceUnresponsive, Cause::TlsStalled]
        }
        Cause::NetworkAcl => &[
            Cause::ServiceUnresponsive,
            Cause::TlsStalled,
            Cause::MtuBlackHole,
        ],
        _ => &[],
    };
    // A public answer is a fact, and so always certain; whether it is a consequence is the root's
    // to say.
    let fact = other.cause == Cause::PublicAnswerWherePrivateExpected;
    let weight = if fact {
        Confidence::Likely
    } else {
        other.confidence
    };
    let targets = |finding: &Finding| -> BTreeSet<TargetKey> {
        finding.because.iter().map(|id| id.target.clone()).collect()
    };
    let explained = root.cause == Cause::ClockSkew || targets(other).is_subset(&targets(root));
    root.confidence >= weight && consequences.contains(&other.cause) && explained
}

impl<Proof> Finding<Proof> {
    /// Returns the finding, resting on `because` instead.
    pub fn resting_on<Other>(self, because: Vec<Other>) -> Finding<Other> {
        Finding {
            cause: self.cause,
            family: self.family,
            dependency: self.dependency,
            confidence: self.confidence,
            blocking: self.blocking,
            summary: self.summary,
            remedy: self.remedy,
            because,
        }
    }
}

impl Finding {
    /// A finding about what these observations show, in the words of the cause's page.
    fn new<'a>(
        cause: Cause,
        confidence: Confidence,
        because: impl IntoIterator<Item = &'a Observation> + Clone,
    ) -> Option<Self> {
        let first = because.clone().into_iter().next()?;
        Some(Self {
            cause,
            family: cause.family(),
            dependency: first.dependency,
            confidence,
            blocking: true,
            summary: about(cause, because.clone()),
            remedy: cause.remedy().to_owned(),
            because: ids(because),
        })
    }

    /// The same, resting on these as well.
    fn and<'a>(mut self, also: impl IntoIterator<Item = &'a Observation>) -> Self {
        for id in ids(also) {
            if !self.because.contains(&id) {
                self.because.push(id);
            }
        }
        self
    }

    /// The same, and the task starts all the same.
    fn not_blocking(mut self) -> Self {
        self.blocking = false;
        self
    }

    /// The same, with the service's or the probe's own words.
    fn saying(mut self, words: &str) -> Self {
        if !words.is_empty() {
            self.summary = format!("{} ({words})", self.summary.trim_end_matches('.'));
        }
        self
    }
}

/// The cause's own sentence, and whom it concerns here.
fn about<'a>(cause: Cause, because: impl IntoIterator<Item = &'a Observation>) -> String {
    let mut hosts: Vec<&str> = Vec::new();
    for observation in because {
        if !observation.host.is_empty() && !hosts.contains(&observation.host.as_str()) {
            hosts.push(&observation.host);
        }
    }
    let whom = match hosts.as_slice() {
        [] => return cause.summary().to_owned(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    };
    format!("{}: {whom}", cause.summary().trim_end_matches('.'))
}
