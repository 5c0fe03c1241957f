//! Infers causes from observations. Pure: no I/O, no clock, no environment.
//!
//! Each rule is a function whose comment is its argument, and `RULES` lists each once. Causes that
//! the evidence cannot distinguish are all reported, the most common first and none of them
//! certain; causes that it excludes are in `ruled_out`, with the proof.

mod fix;
mod intermediary;
mod ip_family;
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
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Family};
use crate::evidence::{Evidence, ids};
use crate::observation::{Dependency, Observation, ObservationId, Phase, TargetKey, Tries};
use crate::safe_text::{visible_lines, visible_list};

pub(crate) use fix::{DeniedCall, policy_statement};
pub(crate) use service_errors::denying_cause;

/// How certain a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Packets alone cannot distinguish it from the causes next to it in the list.
    Possible,
    /// Another cause is possible only in an unusual setup.
    Likely,
    /// No other cause explains all the evidence.
    Certain,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        })
    }
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
    /// The first dependency that it affects.
    pub dependency: Dependency,
    /// How certain it is.
    pub confidence: Confidence,
    /// Whether the task would not start.
    pub blocking: bool,
    /// How many tries failed, of how many, if some worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Tries>,
    /// One sentence: what is wrong, and at which host.
    #[serde(deserialize_with = "visible_lines")]
    pub summary: String,
    /// What to change.
    #[serde(deserialize_with = "visible_lines")]
    pub remedy: String,
    /// What to copy for it: policy statements as JSON, or commands. Words in capitals are to be
    /// replaced.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "visible_list"
    )]
    pub fix: Vec<String>,
    /// The proof.
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

/// The result of a diagnosis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Ranked: blocking findings first, then by confidence, by whether the cause fits the design of
    /// the network and explains all silence by itself, and by how common it is. How many
    /// observations a finding cites is not evidence.
    pub findings: Vec<Finding>,
    /// Causes that the evidence excludes.
    pub ruled_out: Vec<RuledOut>,
}

/// A rule returns the findings that the evidence supports.
type Rule = fn(Evidence<'_>) -> Vec<Finding>;

/// Every rule.
const RULES: &[Rule] = &[
    resolve::resolver_unreachable,
    resolve::first_resolver_silent,
    resolve::resolver_slow,
    resolve::resolver_failure,
    resolve::names_not_found,
    resolve::sinkhole,
    resolve::silent_address_of_unknown_owner,
    resolve::public_answer,
    ip_family::host_without_ipv6,
    ip_family::reached_through_nat64,
    path::no_egress_route,
    path::pull_through_upstream_unreachable,
    path::interface_endpoint_missing,
    path::s3_gateway_missing,
    path::endpoint_security_group,
    path::task_security_group_egress,
    path::network_acl,
    path::stale_record,
    path::endpoint_address_unreachable,
    path::refused,
    path::reset,
    path::intermittent,
    path::mtu_black_hole,
    path::service_unresponsive,
    path::service_slow,
    tls::untrusted_issuer,
    tls::wrong_name,
    tls::outside_validity,
    tls::stalled,
    tls::not_the_service,
    service_errors::credentials,
    service_errors::credentials_slow,
    service_errors::clock_skew,
    service_errors::denied,
    service_errors::not_found,
    service_errors::wrong_form,
    service_errors::rate_limited,
    service_errors::not_understood,
    service_errors::event_not_written,
    intermediary::answered,
    registry::rate_limited,
    storage::file_system_unreachable,
];

/// Infers causes from observations.
pub fn diagnose(observations: &[Observation]) -> Diagnosis {
    let evidence = Evidence::new(observations);
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(evidence)).collect();
    if evidence.is_starved() {
        findings.retain(|finding| stands_without_time(evidence, finding));
    }
    merge_clock_skews(&mut findings);
    for finding in findings
        .iter_mut()
        .filter(|finding| concerns_only_optional_dependencies(evidence, finding))
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
        let rank = path::rank(evidence, f);
        (
            !f.blocking,
            Reverse(f.confidence),
            rank,
            f.cause,
            f.dependency,
        )
    });
    fix::add(evidence, &mut findings);
    let ruled_out = ruled_out::ruled_out(evidence, &findings);
    Diagnosis {
        findings,
        ruled_out,
    }
}

/// Whether a finding rests on more than delays that a starved probe may have caused itself.
fn stands_without_time(ev: Evidence<'_>, finding: &Finding) -> bool {
    let because = |id: &ObservationId| ev.all().find(|seen| &seen.id == id);
    let rests_on: Vec<_> = finding.because.iter().filter_map(because).collect();
    let own_delay_ms = ev.all().filter_map(|seen| seen.starvation);
    let own_delay_ms: u64 = own_delay_ms.map(|own| own.late_ms + own.waited_ms).sum();
    // Slow even without all the time that the probe lost in the whole run.
    let was_slow = |seen: &&Observation| {
        let limit_ms = match seen.dependency {
            _ if seen.phase == Phase::Resolve => resolve::SLOW_ANSWER_MS,
            Dependency::Credentials => resolve::SLOW_ANSWER_MS,
            _ => path::SLOW_MS,
        };
        seen.elapsed_ms >= own_delay_ms + limit_ms
    };
    let failed: Vec<_> = rests_on
        .iter()
        .filter(|seen| seen.failure().or(seen.earlier_failure).is_some())
        .collect();
    if failed.is_empty() {
        finding.cause != Cause::ServiceSlow || rests_on.iter().any(was_slow)
    } else {
        failed.iter().any(|seen| !seen.depends_on_time())
    }
}

/// Whether a finding rests only on dependencies that a task can start without.
fn concerns_only_optional_dependencies(ev: Evidence<'_>, finding: &Finding) -> bool {
    let because = |id: &ObservationId| ev.all().find(|seen| &seen.id == id);
    finding
        .because
        .iter()
        .filter_map(because)
        .all(Observation::is_optional)
}

/// Merges the clock findings: a machine has one clock, so what signatures, certificates and dates
/// show is one finding, as certain as the most certain of them.
fn merge_clock_skews(findings: &mut Vec<Finding>) {
    let (mut skews, others): (Vec<_>, Vec<_>) = findings
        .drain(..)
        .partition(|f| f.cause == Cause::ClockSkew);
    skews.sort_by_key(|finding| Reverse(finding.confidence));
    *findings = others;
    findings.extend(skews.into_iter().reduce(|mut strongest, other| {
        strongest.blocking |= other.blocking;
        strongest.because.extend(
            other
                .because
                .into_iter()
                .filter(|id| !strongest.because.contains(id))
                .collect::<Vec<_>>(),
        );
        strongest
    }));
}

/// Whether `other` is only a consequence of `root`: `root` explains every target that `other` rests
/// on.
fn masks(root: &Finding, other: &Finding) -> bool {
    let consequences: &[Cause] = match root.cause {
        // A wrong clock makes valid signatures look invalid and, if this machine compares them with
        // its own clock, valid keys look expired. A service that reports an expired token uses its
        // own clock, and a certificate that expired a year ago has expired by any clock.
        Cause::ClockSkew if other.dependency == Dependency::Credentials => {
            &[Cause::CredentialsExpired]
        }
        Cause::ClockSkew => &[Cause::CredentialsInvalid],
        // The answer is public because the endpoint is missing.
        Cause::InterfaceEndpointMissing | Cause::NoEgressRoute => {
            &[Cause::PublicAnswerWherePrivateExpected]
        }
        // No answer came because large packets are lost, unless small ones did not help either.
        // Connections that a filter passes only from some source ports also fail later, in
        // whichever phase comes first.
        Cause::MtuBlackHole | Cause::NetworkAcl if root.confidence == Confidence::Certain => {
            &[Cause::ServiceUnresponsive, Cause::TlsStalled]
        }
        // An uncertain filter may also look as if segments of one size passed and those of another
        // did not.
        Cause::NetworkAcl => &[
            Cause::ServiceUnresponsive,
            Cause::TlsStalled,
            Cause::MtuBlackHole,
        ],
        _ => &[],
    };
    // A public answer is a fact, and so always certain; whether it is a consequence depends on the
    // root's confidence.
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
    /// Returns the finding with `because` as its proof instead.
    pub fn resting_on<Other>(self, because: Vec<Other>) -> Finding<Other> {
        Finding {
            cause: self.cause,
            family: self.family,
            dependency: self.dependency,
            confidence: self.confidence,
            blocking: self.blocking,
            tries: self.tries,
            summary: self.summary,
            remedy: self.remedy,
            fix: self.fix,
            because,
        }
    }
}

impl Finding {
    /// Returns a finding that rests on these observations, with the summary and remedy of the
    /// cause's page. Returns `None` without observations.
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
            tries: None,
            summary: summary(cause, because.clone()),
            remedy: cause.remedy_for(first.dependency),
            fix: Vec::new(),
            because: ids(because),
        })
    }

    /// Returns the finding with these observations added to its proof.
    fn and<'a>(mut self, also: impl IntoIterator<Item = &'a Observation>) -> Self {
        for id in ids(also) {
            if !self.because.contains(&id) {
                self.because.push(id);
            }
        }
        self
    }

    /// Returns the finding, marked as not preventing the task's start.
    fn not_blocking(mut self) -> Self {
        self.blocking = false;
        self
    }

    /// Returns the finding with `detail`, such as the service's message, added to the summary.
    fn with_detail(mut self, detail: &str) -> Self {
        let detail = detail.trim_end_matches('.');
        if !detail.is_empty() {
            self.summary = match self.summary.strip_suffix(')') {
                Some(with_host) => format!("{with_host}; {detail})"),
                None => format!("{} ({detail})", self.summary.trim_end_matches('.')),
            };
        }
        self
    }
}

/// Returns the cause's summary with the hosts that it affects here, in parentheses.
fn summary<'a>(cause: Cause, because: impl IntoIterator<Item = &'a Observation>) -> String {
    let mut hosts: Vec<&str> = Vec::new();
    for observation in because {
        if !observation.host.is_empty() && !hosts.contains(&observation.host.as_str()) {
            hosts.push(&observation.host);
        }
    }
    let affected = match hosts.as_slice() {
        [] => return cause.summary().to_owned(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    };
    format!("{} ({affected})", cause.summary().trim_end_matches('.'))
}
