//! The form of a story: what was seen, a line each, and what must follow. Unknown keys are refused.
//!
//! ```text
//! <target> <phase> [address] [same-subnet|private|public] [subject] <outcome> [123ms] [key=value…]
//! s3 connect 198.18.0.10 public timed-out 4200ms
//! ```
//! The outcome is `passed`, `not-checked`, `not-reached` or a failure's name. What a story leaves
//! out is what the probe would have seen: rungs below the first line of a target worked, rungs
//! above its last failure were never reached.

use std::collections::BTreeMap;
use std::net::IpAddr;

use pullprobe::observation::{
    Answer, Certificate, Denial, Dependency, Failure, Observation, Outcome, Phase, PolicyKind,
    SourcePorts,
};
use serde::Deserialize;

use crate::line::{dependency, ladder, lookup, made, observation, subject_of, usual_address};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "the key reads so in the files")]
pub struct Story {
    /// One sentence.
    #[serde(rename = "story")]
    pub sentence: String,
    /// Targets of which every rung works.
    #[serde(default)]
    healthy: Vec<String>,
    /// The same, at a public address.
    #[serde(default)]
    healthy_public: Vec<String>,
    /// Targets that are connected, and whose turn never came.
    #[serde(default)]
    reached: Vec<String>,
    /// The same, at a public address.
    #[serde(default)]
    reached_public: Vec<String>,
    /// Targets that resolve and stay silent.
    #[serde(default)]
    silent: Vec<String>,
    /// The same, at a public address.
    #[serde(default)]
    silent_public: Vec<String>,
    #[serde(default)]
    seen: Vec<String>,
    /// `<kind> <purpose> <failure|address…> [zone=…] [server=…] [name=…] [resolver=…] [over-tcp]
    /// [1ms]`, by observation.
    #[serde(default)]
    lookups: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    answers: BTreeMap<String, AnswerOf>,
    #[serde(default)]
    ports: BTreeMap<String, Ports>,
    #[serde(default)]
    leaf: BTreeMap<String, Leaf>,
    /// The observations of a report, as they were pasted.
    observations: Option<String>,
    pub expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub status: String,
    pub exit: u8,
    /// What is really wrong in this story. Never ruled out, and nothing else is ever certain.
    pub truth: Vec<String>,
    /// `<cause> <confidence>`, all of them, in order.
    pub findings: Vec<String>,
    /// At least these.
    #[serde(default)]
    pub ruled_out: Vec<String>,
    /// None of these, nor anything found, nor the truth.
    #[serde(default)]
    pub never_ruled_out: Vec<String>,
    /// Words of the verdict.
    #[serde(default)]
    pub says: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerOf {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
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
}

/// What a rung of this kind can end with.
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
        "connect" => &["timed-out", "refused", "reset", "unreachable"],
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

/// What the probe would have recorded beside these lines, sorted as it sorts.
pub fn told_in(lines: &[&str]) -> Vec<Observation> {
    let lines: Vec<_> = lines.iter().map(|line| format!("{line:?}")).collect();
    let text = format!(
        "story = ''\nseen = [{}]\n[expect]\nstatus = ''\nexit = 0\ntruth = []\nfindings = []",
        lines.join(", ")
    );
    let story: Story = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    story.observations()
}

impl Story {
    /// What the probe would have recorded, sorted as it sorts. Panics with the line that cannot be
    /// read.
    pub fn observations(&self) -> Vec<Observation> {
        let mut seen: Vec<Observation> = match &self.observations {
            Some(json) => {
                serde_json::from_str(json).unwrap_or_else(|error| panic!("observations: {error}"))
            }
            None => self.told(),
        };
        for (id, lookups) in &self.lookups {
            let of = find(&mut seen, id);
            let name = of.host.clone();
            of.lookups = lookups.iter().map(|line| lookup(line, &name)).collect();
        }
        for (id, answer) in &self.answers {
            find(&mut seen, id).answer = Some(answer.read());
        }
        for (id, ports) in &self.ports {
            let ports = SourcePorts {
                answered: ports.answered.clone(),
                silent: ports.silent.clone(),
            };
            find(&mut seen, id).source_ports = Some(ports);
        }
        for (id, leaf) in &self.leaf {
            find(&mut seen, id).chain = vec![Certificate {
                subject: "CN=leaf".into(),
                issuer: leaf.issuer.clone(),
                names: leaf.names.clone(),
                not_before: "2026-01-01T00:00:00Z".into(),
                not_after: "2027-01-01T00:00:00Z".into(),
            }];
            find(&mut seen, id).presented.clone_from(&leaf.names);
        }
        seen.sort_by(|a, b| {
            (a.dependency, a.target(), a.phase, &a.id).cmp(&(
                b.dependency,
                b.target(),
                b.phase,
                &b.id,
            ))
        });
        seen
    }

    fn told(&self) -> Vec<Observation> {
        let mut seen: Vec<Observation> = self.seen.iter().map(|line| observation(line)).collect();
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
                let address = usual_address(dependency, public);
                for &phase in ladder(dependency)
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
                    seen.push(made(
                        target,
                        phase,
                        outcome,
                        Some(address),
                        subject_of(phase),
                    ));
                }
            }
        }
        let mut targets: Vec<String> = seen.iter().map(|seen| seen.target().to_string()).collect();
        targets.extend(["credentials".into(), "metadata".into()]);
        targets.sort();
        targets.dedup();
        for target in targets {
            complete(&mut seen, &target);
        }
        if !seen.iter().any(|seen| seen.dependency == Dependency::Clock) {
            let dated = seen
                .iter()
                .any(|seen| seen.phase.is_exchange() && seen.passed() && !seen.host.is_empty());
            let why = "no service sent a Date header".to_owned();
            let outcome = if dated {
                Outcome::Passed
            } else {
                Outcome::NotChecked { why }
            };
            let mut clock = made("clock", Phase::Read, outcome, None, "");
            clock.answer = dated.then(|| Answer {
                clock_offset_s: Some(0),
                ..Answer::default()
            });
            seen.push(clock);
        }
        seen
    }
}

/// Adds the rungs that the story leaves out.
fn complete(seen: &mut Vec<Observation>, target: &str) {
    let dependency = dependency(target);
    let told: Vec<Observation> = seen
        .iter()
        .filter(|seen| seen.target().as_str() == target)
        .cloned()
        .collect();
    let first = told.iter().map(|seen| seen.phase).min();
    let address = told
        .iter()
        .find_map(|seen| seen.peer)
        .map_or(usual_address(dependency, false), |peer| peer.ip());
    for &phase in ladder(dependency)
        .iter()
        .filter(|&&phase| told.iter().all(|seen| seen.phase != phase))
    {
        if first.is_none_or(|first| phase < first) {
            seen.push(made(
                target,
                phase,
                Outcome::Passed,
                Some(address),
                subject_of(phase),
            ));
            continue;
        }
        let before = told
            .iter()
            .filter(|seen| seen.phase < phase)
            .max_by_key(|seen| seen.phase);
        let peers: Vec<IpAddr> = told
            .iter()
            .filter(|o| o.passed())
            .filter_map(|o| Some(o.peer?.ip()))
            .collect();
        if phase == Phase::Handshake && !peers.is_empty() {
            seen.extend(
                peers
                    .into_iter()
                    .map(|peer| made(target, phase, Outcome::Passed, Some(peer), "")),
            );
        } else {
            let blocked_by = before.map_or_else(String::new, |before| before.id.to_string());
            let mut unreached = made(target, phase, Outcome::NotReached { blocked_by }, None, "");
            unreached.attempts = 0;
            seen.push(unreached);
        }
    }
}

impl AnswerOf {
    fn read(&self) -> Answer {
        let denied = self.action.is_some() || self.policy.is_some();
        let denial = Denial {
            principal: Some(
                "arn:aws:sts::123456789012:assumed-role/ecsTaskExecutionRole/task".into(),
            ),
            action: self.action.clone(),
            resource: self.resource.clone(),
            policy: self.policy,
            explicit: self.explicit,
            policy_arn: None,
        };
        Answer {
            status: self.status,
            code: self.code.clone(),
            message: self.message.clone(),
            first_byte_ms: self.first_byte_ms,
            bytes: self.bytes,
            request_bytes: self.request_bytes,
            denial: denied.then_some(denial),
            ..Answer::default()
        }
    }
}

fn find<'a>(seen: &'a mut [Observation], id: &str) -> &'a mut Observation {
    let position = seen.iter().position(|seen| seen.id == *id);
    let known: Vec<_> = seen.iter().map(|seen| seen.id.clone()).collect();
    let position = position.unwrap_or_else(|| panic!("no observation {id:?} among {known:#?}"));
    &mut seen[position]
}
