//! The form of a story: what was seen, a line each, and what must follow. Unknown keys are refused.
//!
//! ```text
//! <target> <phase> [address] [same-subnet|private|public] [subject] <outcome> [123ms] [key=value…]
//! s3 connect 198.18.0.10 public timed-out 4200ms
//! ```
//! The outcome is `passed`, `not-checked`, `not-reached` or a failure's name. What a story leaves out is what the probe would
//! have seen: rungs below the first line of a target worked, rungs above its last failure were never reached.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use pullprobe::observation::{
    Answer, Certificate, Denial, Failure, Lookup, LookupResult, Observation, Outcome, Phase, PolicyKind, Purpose, Role,
    Scope, SourcePorts,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// One sentence.
    pub story: String,
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
    /// `<kind> <purpose> <failure|address…> [zone=…] [name=…]`, by observation.
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

/// The rungs of each role, in order.
fn ladder(role: Role) -> &'static [Phase] {
    use Phase::{Authorize, Blob, Connect, Fetch, Handshake, Manifest, Read, Resolve, Write};
    match role {
        Role::EcrApi => &[Resolve, Connect, Handshake, Authorize],
        Role::EcrDkr => &[Resolve, Connect, Handshake, Manifest, Blob],
        Role::S3 => &[Resolve, Connect, Handshake, Fetch],
        Role::Logs => &[Resolve, Connect, Handshake, Write],
        Role::Registry => &[Resolve, Connect, Handshake, Manifest, Blob, Fetch],
        Role::Credentials | Role::Metadata | Role::Clock => &[Read],
        _ => &[Resolve, Connect, Handshake, Read],
    }
}

fn host(target: &str, role: Role) -> String {
    match (target.split_once('@'), role) {
        (Some((_, host)), _) => host.to_owned(),
        (None, Role::EcrApi) => "api.ecr.us-east-1.amazonaws.com".into(),
        (None, Role::EcrDkr) => "123456789012.dkr.ecr.us-east-1.amazonaws.com".into(),
        (None, Role::S3) => "prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com".into(),
        (None, Role::Registry) => "registry-1.docker.io".into(),
        (None, Role::Credentials | Role::Metadata | Role::Clock) => String::new(),
        (None, other) => format!("{other}.us-east-1.amazonaws.com"),
    }
}

/// Where a target is unless its lines say otherwise: S3 and other registries on the internet, the rest in the VPC.
fn usual_address(role: Role, public: bool) -> IpAddr {
    let last = 10 + role as u8;
    let outside = public || matches!(role, Role::S3 | Role::Registry);
    if outside { [203, 0, 113, last].into() } else { [10, 0, 9, last].into() }
}

/// The task is 10.0.1.10 in 10.0.1.0/24.
fn scope_of(address: IpAddr) -> Scope {
    match address {
        IpAddr::V4(v4) if v4.octets()[..3] == [10, 0, 1] => Scope::SameSubnet,
        IpAddr::V4(v4) if v4.is_private() => Scope::Private,
        IpAddr::V6(v6) if v6.is_unique_local() => Scope::Private,
        _ => Scope::Public,
    }
}

fn word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(word.into()).ok()
}

/// What a rung of this kind can end with.
pub fn failures_of(phase: &str) -> &'static [&'static str] {
    match phase {
        "resolve" => &["timed-out", "unreachable", "no-such-name", "no-address", "server-failure", "query-refused"],
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

fn subject_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Manifest => "app:1.4",
        Phase::Blob | Phase::Fetch => "app:1.4/1a2b",
        _ => "",
    }
}

impl Story {
    /// What the probe would have recorded, sorted as it sorts. Panics with the line that cannot be read.
    pub fn observations(&self) -> Vec<Observation> {
        let mut seen: Vec<Observation> = match &self.observations {
            Some(json) => serde_json::from_str(json).unwrap_or_else(|error| panic!("observations: {error}")),
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
            let ports = SourcePorts { answered: ports.answered.clone(), silent: ports.silent.clone() };
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
        seen.sort_by(|a, b| (a.role, a.target(), a.phase, &a.id).cmp(&(b.role, b.target(), b.phase, &b.id)));
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
                let role = role(target);
                let address = usual_address(role, public);
                for &phase in ladder(role).iter().filter(|&&phase| last.is_none_or(|last| phase <= last)) {
                    let silent = last == Some(Phase::Connect) && phase == Phase::Connect;
                    let outcome = if silent { Outcome::Failed { failure: Failure::TimedOut } } else { Outcome::Passed };
                    seen.push(made(target, phase, outcome, Some(address), subject_of(phase)));
                }
            }
        }
        let mut targets: Vec<String> = seen.iter().map(|seen| seen.target().to_owned()).collect();
        targets.extend(["credentials".into(), "metadata".into()]);
        targets.sort();
        targets.dedup();
        for target in targets {
            complete(&mut seen, &target);
        }
        if !seen.iter().any(|seen| seen.role == Role::Clock) {
            let dated = seen.iter().any(|seen| seen.phase.is_exchange() && seen.passed() && !seen.host.is_empty());
            let why = "no service sent a Date header".to_owned();
            let outcome = if dated { Outcome::Passed } else { Outcome::NotChecked { why } };
            seen.push(made("clock", Phase::Read, outcome, None, ""));
        }
        seen
    }
}

/// Adds the rungs that the story leaves out.
fn complete(seen: &mut Vec<Observation>, target: &str) {
    let role = role(target);
    let told: Vec<Observation> = seen.iter().filter(|seen| seen.target() == target).cloned().collect();
    let first = told.iter().map(|seen| seen.phase).min();
    let address = told.iter().find_map(|seen| seen.peer).map_or(usual_address(role, false), |peer| peer.ip());
    for &phase in ladder(role).iter().filter(|&&phase| told.iter().all(|seen| seen.phase != phase)) {
        if first.is_none_or(|first| phase < first) {
            seen.push(made(target, phase, Outcome::Passed, Some(address), subject_of(phase)));
            continue;
        }
        let before = told.iter().filter(|seen| seen.phase < phase).max_by_key(|seen| seen.phase);
        let peers: Vec<IpAddr> = told.iter().filter(|o| o.passed()).filter_map(|o| Some(o.peer?.ip())).collect();
        if phase == Phase::Handshake && !peers.is_empty() {
            seen.extend(peers.into_iter().map(|peer| made(target, phase, Outcome::Passed, Some(peer), "")));
        } else {
            let blocked_by = before.map_or_else(String::new, |before| before.id.clone());
            let mut unreached = made(target, phase, Outcome::NotReached { blocked_by }, None, "");
            unreached.attempts = 0;
            seen.push(unreached);
        }
    }
}

fn role(target: &str) -> Role {
    let name = target.split('@').next().unwrap_or_default();
    word(name).unwrap_or_else(|| panic!("{target:?} is no role"))
}

fn made(target: &str, phase: Phase, outcome: Outcome, address: Option<IpAddr>, subject: &str) -> Observation {
    let role = role(target);
    let mut made = Observation::new(target, role, phase, outcome);
    made.host = host(target, role);
    let network = !made.host.is_empty();
    if phase == Phase::Resolve {
        made.scope = address.filter(|_| made.passed()).map(scope_of);
        let result = match made.failure() {
            None => LookupResult::Answered,
            Some(failure) => LookupResult::Failed { failure },
        };
        let addresses = address.filter(|_| made.passed()).into_iter().collect();
        made.lookups = vec![asked(&made.host, "A", Purpose::Target, result, addresses, None)];
    } else if let Some(address) = address.filter(|_| network) {
        made.peer = Some(SocketAddr::new(address, 443));
        made.scope = Some(scope_of(address));
        if !phase.is_exchange() {
            made.id = format!("{}/{address}", made.id);
        }
    }
    if !subject.is_empty() {
        made.id = format!("{}/{subject}", made.id);
        made.subject = Some(subject.to_owned());
    }
    made
}

fn observation(line: &str) -> Observation {
    let mut words = line.split_whitespace();
    let target = words.next().unwrap_or_default();
    let phase: Phase = words.next().and_then(word).unwrap_or_else(|| panic!("{line:?}: no phase"));
    let (mut address, mut scope, mut subject, mut outcome) = (None, None, String::new(), None);
    let (mut elapsed, mut keys) = (0, Vec::new());
    for part in words {
        if let Some(pair) = part.split_once('=') {
            keys.push(pair);
        } else if let Ok(parsed) = part.parse::<IpAddr>() {
            address = Some(parsed);
        } else if let Some(parsed) = word::<Scope>(part) {
            scope = Some(parsed);
        } else if let Some(number) = part.strip_suffix("ms").and_then(|number| number.parse().ok()) {
            elapsed = number;
        } else if part == "passed" {
            outcome = Some(Outcome::Passed);
        } else if part == "not-checked" {
            outcome = Some(Outcome::NotChecked { why: "left out".into() });
        } else if part == "not-reached" {
            outcome = Some(Outcome::NotReached { blocked_by: "an earlier phase".into() });
        } else if let Some(failure) = word(part) {
            outcome = Some(Outcome::Failed { failure });
        } else {
            part.clone_into(&mut subject);
        }
    }
    let outcome = outcome.unwrap_or_else(|| panic!("{line:?}: no outcome"));
    if subject.is_empty() && !matches!(outcome, Outcome::NotReached { .. }) {
        subject_of(phase).clone_into(&mut subject);
    }
    let address = address.or_else(|| Some(usual_address(role(target), scope == Some(Scope::Public))));
    let mut seen = made(target, phase, outcome, address, &subject);
    seen.scope = scope.or(seen.scope);
    seen.elapsed_ms = elapsed;
    for (key, value) in keys {
        match key {
            "attempts" => seen.attempts = value.parse().unwrap_or_else(|_| panic!("{line:?}: attempts")),
            "expect" => seen.expected = vec![format!("an address that is {value}")],
            "small" => seen.small_segments_pass = Some(value == "pass"),
            "superseded" => seen.superseded_by = Some(value.to_owned()),
            other => panic!("{line:?}: {other} is no key"),
        }
    }
    seen
}

fn asked(
    name: &str,
    kind: &str,
    purpose: Purpose,
    result: LookupResult,
    addresses: Vec<IpAddr>,
    zone: Option<String>,
) -> Lookup {
    Lookup {
        name: name.to_owned(),
        kind: kind.to_owned(),
        purpose,
        resolver: ([10, 0, 0, 2], 53).into(),
        result,
        addresses,
        aliases: Vec::new(),
        ttl_s: None,
        zone,
        over_tcp: false,
        elapsed_ms: 1,
    }
}

fn lookup(line: &str, host: &str) -> Lookup {
    let words: Vec<_> = line.split_whitespace().collect();
    let [kind, purpose, rest @ ..] = words.as_slice() else { panic!("{line:?}: kind, purpose, answer") };
    let purpose = word(purpose).unwrap_or_else(|| panic!("{line:?}: no purpose"));
    let of = |key: &str| rest.iter().find_map(|part| part.strip_prefix(key)).map(str::to_owned);
    let addresses: Vec<IpAddr> = rest.iter().filter_map(|part| part.parse().ok()).collect();
    let failure = rest.iter().find_map(|part| word(part));
    let zone = of("zone=");
    assert!(failure.is_some() || !addresses.is_empty() || zone.is_some(), "{line:?}: no answer");
    let result = failure.map_or(LookupResult::Answered, |failure| LookupResult::Failed { failure });
    asked(&of("name=").unwrap_or(host.to_owned()), kind, purpose, result, addresses, zone)
}

impl AnswerOf {
    fn read(&self) -> Answer {
        let denied = self.action.is_some() || self.policy.is_some();
        let denial = Denial {
            principal: Some("arn:aws:sts::123456789012:assumed-role/ecsTaskExecutionRole/task".into()),
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
            denial: denied.then_some(denial),
            ..Answer::default()
        }
    }
}

fn find<'a>(seen: &'a mut [Observation], id: &str) -> &'a mut Observation {
    let position = seen.iter().position(|seen| seen.id == id);
    let known: Vec<_> = seen.iter().map(|seen| seen.id.clone()).collect();
    let position = position.unwrap_or_else(|| panic!("no observation {id:?} among {known:#?}"));
    &mut seen[position]
}
