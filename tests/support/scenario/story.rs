//! The format of a story: one line for each observation, and the expected diagnosis. Unknown keys
//! are rejected.
//!
//! ```text
//! <target> <phase> [address] [same-subnet|private|public] [subject] <outcome> [123ms] [key=value…]
//! s3 connect 198.18.0.10 public timed-out 4200ms
//! ```
//! Keys: `attempts=2`, `tries=1/3` (failed of all), `earlier=reset`, `late=900ms`,
//! `speaker=intermediary`, `small=pass`, `presented=…`, `expect=…`, `owner=none`, `superseded=…`,
//! `roots=ca-bundle`, `deployment=next`. The outcome is `passed`, `not-checked`, `not-reached` or a failure's name. What a story leaves
//! out is what the probe would have recorded: phases before the first line of a target passed,
//! phases after its last failure were not reached.

use std::collections::BTreeMap;
use std::net::IpAddr;

use pullprobe::diagnose::{Diagnosis, diagnose};
use pullprobe::function_limits::{RehearsedTask, diagnose_in_function};
use pullprobe::observation::{
    Answer, Certificate, Denial, Dependency, Failure, Observation, Outcome, Phase, PolicyKind,
    SourcePorts,
};
use serde::Deserialize;

use crate::line::{
    default_address, default_subject, dependency, new_observation, parse_lookup, parse_observation,
    phases_of,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "the files name the key so")]
pub struct Story {
    /// One sentence.
    #[serde(rename = "story")]
    pub sentence: String,
    /// Targets whose phases all pass.
    #[serde(default)]
    healthy: Vec<String>,
    /// The same, at a public address.
    #[serde(default)]
    healthy_public: Vec<String>,
    /// Targets that are connected and whose later phases were not reached.
    #[serde(default)]
    reached: Vec<String>,
    /// The same, at a public address.
    #[serde(default)]
    reached_public: Vec<String>,
    /// Targets that resolve and do not answer connections.
    #[serde(default)]
    silent: Vec<String>,
    /// The same, at a public address.
    #[serde(default)]
    silent_public: Vec<String>,
    #[serde(default)]
    seen: Vec<String>,
    /// `<kind> <purpose> <failure|address…> [zone=…] [server=…] [name=…] [resolver=…]
    /// [unanswered=resolver,…] [alias=name,…] [over-tcp] [1ms]`, by observation.
    #[serde(default)]
    lookups: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    answers: BTreeMap<String, ResponseFields>,
    #[serde(default)]
    ports: BTreeMap<String, Ports>,
    #[serde(default)]
    leaf: BTreeMap<String, Leaf>,
    /// The observations of a report, verbatim.
    observations: Option<String>,
    /// The task, if the probe is a function of AWS Lambda.
    pub function: Option<RehearsedTask>,
    pub expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub status: String,
    pub exit: u8,
    /// What is really wrong in this story. It must not be ruled out, and no other cause may be
    /// certain.
    pub truth: Vec<String>,
    /// Every finding as `<cause> <confidence>`, in order.
    pub findings: Vec<String>,
    /// Causes that must be ruled out; others may be.
    #[serde(default)]
    pub ruled_out: Vec<String>,
    /// Causes that must not be ruled out, besides the findings and the truth.
    #[serde(default)]
    pub never_ruled_out: Vec<String>,
    /// A part of the verdict's summary.
    #[serde(default)]
    pub says: String,
    /// Observations that must be `not-checked`, by their IDs.
    #[serde(default)]
    pub not_checked: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseFields {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    redirect_host: Option<String>,
    #[serde(default)]
    first_byte_ms: u64,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    request_bytes: u64,
    action: Option<String>,
    resource: Option<String>,
    policy: Option<PolicyKind>,
    #[serde(default)]
    explicit: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ports {
    answered: Vec<u16>,
    silent: Vec<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaf {
    issuer: String,
    names: Vec<String>,
    #[serde(default)]
    expired: bool,
    #[serde(default)]
    public_issuer: bool,
}

/// Returns the failures that `phase` can end with.
pub fn failures_of(phase: &str) -> &'static [&'static str] {
    match phase {
        "resolve" => &[
            "timed-out",
            "unreachable",
            "no-such-name",
            "no-address",
            "server-failure",
            "query-refused",
        ],
        "connect" => &[
            "timed-out",
            "refused",
            "reset",
            "unreachable",
            "icmp-unreachable",
            "no-address",
        ],
        "handshake" => &[
            "stalled",
            "reset",
            "unknown-issuer",
            "wrong-name",
            "expired-certificate",
            "not-yet-valid-certificate",
            "handshake-refused",
            "unexpected-answer",
        ],
        "mount" => &[
            "stalled",
            "reset",
            "unreachable",
            "denied",
            "service-failure",
            "unexpected-answer",
        ],
        _ => &[
            "timed-out",
            "stalled",
            "too-slow",
            "reset",
            "refused",
            "unreachable",
            "denied",
            "unauthenticated",
            "not-found",
            "invalid-signature",
            "clock-skewed",
            "expired-token",
            "throttled",
            "service-failure",
            "too-large",
            "unexpected-answer",
        ],
    }
}

/// Returns what the probe would have recorded for `lines`, in its order.
pub fn observations_from(lines: &[&str]) -> Vec<Observation> {
    let lines: Vec<_> = lines.iter().map(|line| format!("{line:?}")).collect();
    let text = format!(
        "story = ''\nseen = [{}]\n[expect]\nstatus = ''\nexit = 0\ntruth = []\nfindings = []",
        lines.join(", ")
    );
    let story: Story = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    story.observations()
}

impl Story {
    /// Returns what the report contains, and its diagnosis.
    pub fn diagnosed(&self) -> (Vec<Observation>, Diagnosis) {
        let mut observations = self.observations();
        let diagnosis = match &self.function {
            Some(task) => diagnose_in_function(&mut observations, task),
            None => diagnose(&observations),
        };
        (observations, diagnosis)
    }

    /// Returns what the probe would have recorded, in its order. Panics with the line that is
    /// invalid.
    pub fn observations(&self) -> Vec<Observation> {
        let mut observations: Vec<Observation> = match &self.observations {
            Some(json) => {
                serde_json::from_str(json).unwrap_or_else(|error| panic!("observations: {error}"))
            }
            None => self.described_observations(),
        };
        for (id, lookups) in &self.lookups {
            let observation = find(&mut observations, id);
            let host = observation.host.clone();
            observation.lookups = lookups
                .iter()
                .map(|line| parse_lookup(line, &host))
                .collect();
        }
        for (id, answer) in &self.answers {
            find(&mut observations, id).answer = Some(answer.to_answer());
        }
        for (id, ports) in &self.ports {
            let ports = SourcePorts {
                answered: ports.answered.clone(),
                silent: ports.silent.clone(),
            };
            find(&mut observations, id).source_ports = Some(ports);
        }
        for (id, leaf) in &self.leaf {
            find(&mut observations, id).chain = vec![Certificate {
                subject: "CN=leaf".into(),
                issuer: (&leaf.issuer).into(),
                names: leaf.names.iter().map(Into::into).collect(),
                not_before: "2026-01-01T00:00:00Z".into(),
                not_after: "2027-01-01T00:00:00Z".into(),
                expired: leaf.expired,
                public_issuer: leaf.public_issuer,
            }];
            find(&mut observations, id).presented = leaf.names.iter().map(Into::into).collect();
        }
        observations.sort_by(|a, b| {
            (a.dependency, a.target(), a.phase, &a.id).cmp(&(
                b.dependency,
                b.target(),
                b.phase,
                &b.id,
            ))
        });
        observations
    }

    fn described_observations(&self) -> Vec<Observation> {
        let mut observations: Vec<Observation> = self
            .seen
            .iter()
            .map(|line| parse_observation(line))
            .collect();
        let lists = [
            (&self.healthy, false, None),
            (&self.healthy_public, true, None),
            (&self.reached, false, Some(Phase::Handshake)),
            (&self.reached_public, true, Some(Phase::Handshake)),
            (&self.silent, false, Some(Phase::Connect)),
            (&self.silent_public, true, Some(Phase::Connect)),
        ];
        for (targets, public, last) in lists {
            for target in targets {
                let dependency = dependency(target);
                let address = default_address(dependency, public);
                for &phase in phases_of(dependency)
                    .iter()
                    .filter(|&&phase| last.is_none_or(|last| phase <= last))
                {
                    let silent = last == Some(Phase::Connect) && phase == Phase::Connect;
                    let outcome = if silent {
                        Outcome::Failed {
                            failure: Failure::TimedOut,
                        }
                    } else {
                        Outcome::Passed
                    };
                    observations.push(new_observation(
                        target,
                        phase,
                        outcome,
                        Some(address),
                        default_subject(phase),
                    ));
                }
            }
        }
        let mut targets: Vec<String> = observations
            .iter()
            .map(|o| o.target().to_string())
            .collect();
        targets.extend(["credentials".into(), "metadata".into()]);
        targets.sort();
        targets.dedup();
        for target in targets {
            fill_in_phases(&mut observations, &target);
        }
        if !observations
            .iter()
            .any(|o| o.dependency == Dependency::Clock)
        {
            let dated = observations
                .iter()
                .any(|o| o.phase.is_exchange() && o.passed() && !o.host.is_empty());
            let why = "no service sent a Date header".into();
            let outcome = if dated {
                Outcome::Passed
            } else {
                Outcome::NotChecked { why }
            };
            let mut clock = new_observation("clock", Phase::Read, outcome, None, "");
            clock.answer = dated.then(|| Answer {
                clock_offset_s: Some(0),
                ..Answer::default()
            });
            observations.push(clock);
        }
        observations
    }
}

/// Adds the phases that the story leaves out.
fn fill_in_phases(observations: &mut Vec<Observation>, target: &str) {
    let dependency = dependency(target);
    let described: Vec<Observation> = observations
        .iter()
        .filter(|o| o.target().as_str() == target)
        .cloned()
        .collect();
    let first = described.iter().map(|o| o.phase).min();
    let address = described
        .iter()
        .find_map(|o| o.peer)
        .map_or(default_address(dependency, false), |peer| peer.ip());
    for &phase in phases_of(dependency)
        .iter()
        .filter(|&&phase| described.iter().all(|o| o.phase != phase))
    {
        if first.is_none_or(|first| phase < first) {
            observations.push(new_observation(
                target,
                phase,
                Outcome::Passed,
                Some(address),
                default_subject(phase),
            ));
            continue;
        }
        let before = described
            .iter()
            .filter(|o| o.phase < phase)
            .max_by_key(|o| o.phase);
        let peers: Vec<IpAddr> = described
            .iter()
            .filter(|o| o.passed())
            .filter_map(|o| Some(o.peer?.ip()))
            .collect();
        if phase == Phase::Handshake && !peers.is_empty() {
            observations.extend(
                peers
                    .into_iter()
                    .map(|peer| new_observation(target, phase, Outcome::Passed, Some(peer), "")),
            );
        } else {
            let blocked_by = before
                .map_or_else(String::new, |before| before.id.to_string())
                .into();
            let mut unreached =
                new_observation(target, phase, Outcome::NotReached { blocked_by }, None, "");
            unreached.attempts = 0;
            observations.push(unreached);
        }
    }
}

impl ResponseFields {
    fn to_answer(&self) -> Answer {
        let denied = self.action.is_some() || self.policy.is_some();
        let denial = Denial {
            principal: Some(
                "arn:aws:sts::123456789012:assumed-role/ecsTaskExecutionRole/task".into(),
            ),
            action: self.action.as_ref().map(Into::into),
            resource: self.resource.as_ref().map(Into::into),
            policy: self.policy,
            explicit: self.explicit,
            policy_arn: None,
        };
        Answer {
            status: self.status,
            code: (&self.code).into(),
            message: (&self.message).into(),
            redirect_host: self.redirect_host.clone(),
            first_byte_ms: self.first_byte_ms,
            bytes: self.bytes,
            request_bytes: self.request_bytes,
            denial: denied.then_some(denial),
            ..Answer::default()
        }
    }
}

fn find<'a>(observations: &'a mut [Observation], id: &str) -> &'a mut Observation {
    let position = observations.iter().position(|o| o.id == *id);
    let known: Vec<_> = observations.iter().map(|o| o.id.clone()).collect();
    let position = position.unwrap_or_else(|| panic!("observation {id:?} is not among {known:#?}"));
    &mut observations[position]
}
