//! Reads the lines of a story, and fills in what a line leaves out.

use std::net::{IpAddr, SocketAddr};

use pullprobe::observation::{
    Dependency, Failure, Lookup, LookupResult, Observation, Outcome, Phase, Purpose, Scope,
    Speaker, Starvation, Tries,
};
use serde::de::DeserializeOwned;

/// Returns the phases of each dependency, in order. A token service also has `authorize`.
pub fn phases_of(dependency: Dependency) -> &'static [Phase] {
    use Phase::{
        Authorize, Blob, Connect, Fetch, Handshake, Manifest, Mount, Read, Resolve, Write,
    };
    match dependency {
        Dependency::EcrApi => &[Resolve, Connect, Handshake, Authorize],
        Dependency::EcrDkr => &[Resolve, Connect, Handshake, Manifest, Blob],
        Dependency::S3 | Dependency::EnvironmentFile => &[Resolve, Connect, Handshake, Fetch],
        Dependency::Logs => &[Resolve, Connect, Handshake, Write],
        Dependency::Registry => &[Resolve, Connect, Handshake, Manifest, Blob, Fetch],
        Dependency::Efs => &[Resolve, Connect, Mount],
        Dependency::Splunk
        | Dependency::LogRouter
        | Dependency::SsmMessages
        | Dependency::ServiceConnect
        | Dependency::GuardDutyData
        | Dependency::EcsAgent => &[Resolve, Connect, Handshake],
        Dependency::Credentials | Dependency::Metadata | Dependency::Clock => &[Read],
        _ => &[Resolve, Connect, Handshake, Read],
    }
}

fn host(target: &str, dependency: Dependency) -> String {
    match (target.split_once('@'), dependency) {
        (Some((_, host)), _) => host.to_owned(),
        (None, Dependency::EcrApi) => "api.ecr.us-east-1.amazonaws.com".into(),
        (None, Dependency::EcrDkr) => "123456789012.dkr.ecr.us-east-1.amazonaws.com".into(),
        (None, Dependency::S3) => {
            "prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com".into()
        }
        (None, Dependency::Efs) => "fs-0123456789abcdef0.efs.us-east-1.amazonaws.com".into(),
        (None, Dependency::EnvironmentFile) => "app-config.s3.us-east-1.amazonaws.com".into(),
        (None, Dependency::Splunk) => "http-inputs.splunk.example.com".into(),
        (None, Dependency::Registry) => "registry-1.docker.io".into(),
        (None, Dependency::Credentials | Dependency::Metadata | Dependency::Clock) => String::new(),
        (None, other) => format!("{other}.us-east-1.amazonaws.com"),
    }
}

/// Returns the address of a target whose lines have none: public for S3 and other registries,
/// private for the rest.
pub fn default_address(dependency: Dependency, public: bool) -> IpAddr {
    let last = 10 + dependency as u8;
    let is_public = public
        || matches!(
            dependency,
            Dependency::S3
                | Dependency::Registry
                | Dependency::EnvironmentFile
                | Dependency::Splunk
        );
    if is_public {
        [203, 0, 113, last].into()
    } else {
        [10, 0, 9, last].into()
    }
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

/// Reads `word` as the JSON string of a unit variant.
fn parse_word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(word.into()).ok()
}

pub fn default_subject(phase: Phase) -> &'static str {
    match phase {
        Phase::Manifest => "app:1.4",
        Phase::Blob | Phase::Fetch => "app:1.4/1a2b",
        _ => "",
    }
}

pub fn dependency(target: &str) -> Dependency {
    let name = target.split('@').next().unwrap_or_default();
    parse_word(name).unwrap_or_else(|| panic!("{target:?} is not a dependency"))
}

/// Returns an observation as the probe would record it.
pub fn new_observation(
    target: &str,
    phase: Phase,
    outcome: Outcome,
    address: Option<IpAddr>,
    subject: &str,
) -> Observation {
    let dependency = dependency(target);
    let mut new = Observation::new(target.parse().unwrap(), dependency, phase, outcome);
    new.host = host(target, dependency);
    let network = !new.host.is_empty();
    if phase == Phase::Resolve {
        new.scope = address.filter(|_| new.passed()).map(scope_of);
        let result = match new.failure() {
            None => LookupResult::Answered,
            Some(failure) => LookupResult::Failed { failure },
        };
        let addresses = address.filter(|_| new.passed()).into_iter().collect();
        new.lookups = vec![new_lookup(
            &new.host,
            "A",
            Purpose::Target,
            result,
            addresses,
            None,
        )];
    } else if let Some(address) = address.filter(|_| network) {
        new.peer = Some(SocketAddr::new(address, 443));
        new.scope = Some(scope_of(address));
        // The published ranges contain the addresses of AWS's services.
        let of_aws = matches!(dependency, Dependency::S3 | Dependency::EnvironmentFile)
            || dependency.has_interface_endpoint();
        new.owner = (of_aws && new.scope == Some(Scope::Public)).then(|| "AMAZON us-east-1".into());
        if !phase.is_exchange() {
            new.id.narrow(address);
        }
    }
    if !subject.is_empty() {
        new.id.narrow(subject);
        new.subject = Some(subject.to_owned());
    }
    new.speaker = has_http_answer(&new).then_some(Speaker::Service);
    new
}

/// Whether the outcome of this exchange came in an HTTP answer.
fn has_http_answer(seen: &Observation) -> bool {
    let is_http = seen.phase.is_exchange() && seen.phase != Phase::Mount && !seen.host.is_empty();
    let answered = match &seen.outcome {
        Outcome::Passed => true,
        Outcome::Failed { failure } => !matches!(
            failure,
            Failure::TimedOut
                | Failure::Refused
                | Failure::Reset
                | Failure::Unreachable
                | Failure::Stalled
                | Failure::TooSlow
                | Failure::TooLarge
        ),
        _ => false,
    };
    is_http && answered
}

/// Reads a line of `seen`. Panics if it is invalid.
pub fn parse_observation(line: &str) -> Observation {
    let mut words = line.split_whitespace();
    let target = words.next().unwrap_or_default();
    let phase: Phase = words
        .next()
        .and_then(parse_word)
        .unwrap_or_else(|| panic!("{line:?}: phase missing"));
    let (mut address, mut scope, mut subject, mut outcome) = (None, None, String::new(), None);
    let (mut elapsed, mut keys) = (0, Vec::new());
    for part in words {
        if let Some(pair) = part.split_once('=') {
            keys.push(pair);
        } else if let Ok(parsed) = part.parse::<IpAddr>() {
            address = Some(parsed);
        } else if let Some(parsed) = parse_word::<Scope>(part) {
            scope = Some(parsed);
        } else if let Some(number) = part
            .strip_suffix("ms")
            .and_then(|number| number.parse().ok())
        {
            elapsed = number;
        } else if part == "passed" {
            outcome = Some(Outcome::Passed);
        } else if part == "not-checked" {
            outcome = Some(Outcome::NotChecked {
                why: "left out".into(),
            });
        } else if part == "not-reached" {
            outcome = Some(Outcome::NotReached {
                blocked_by: "an earlier phase".into(),
            });
        } else if let Some(failure) = parse_word(part) {
            outcome = Some(Outcome::Failed { failure });
        } else {
            part.clone_into(&mut subject);
        }
    }
    let outcome = outcome.unwrap_or_else(|| panic!("{line:?}: outcome missing"));
    if subject.is_empty() && !matches!(outcome, Outcome::NotReached { .. }) {
        default_subject(phase).clone_into(&mut subject);
    }
    let address = address.or_else(|| {
        Some(default_address(
            dependency(target),
            scope == Some(Scope::Public),
        ))
    });
    let mut observation = new_observation(target, phase, outcome, address, &subject);
    observation.scope = scope.or(observation.scope);
    observation.elapsed_ms = elapsed;
    for (key, value) in keys {
        match key {
            "attempts" => {
                observation.attempts = value
                    .parse()
                    .unwrap_or_else(|_| panic!("{line:?}: invalid attempts"));
            }
            "expect" => observation.expected = vec![format!("an address that is {value}").into()],
            "presented" => observation.presented = vec![value.to_owned().into()],
            "small" => observation.small_segments_pass = Some(value == "pass"),
            "largest" => observation.largest_segment = Some(value.parse().unwrap()),
            "speaker" => {
                observation.speaker =
                    Some(parse_word(value).unwrap_or_else(|| panic!("{line:?}: invalid speaker")));
            }
            "tries" => observation.tries = Some(parse_tries(value)),
            "owner" => {
                observation.owner = Some(value.to_owned())
                    .filter(|owner| owner != "none")
                    .map(Into::into);
            }
            "roots" => observation.custom_roots = value == "ca-bundle",
            "earlier" => {
                observation.earlier_failure =
                    Some(parse_word(value).unwrap_or_else(|| panic!("{line:?}: invalid failure")));
            }
            "late" => {
                let late_ms = value
                    .strip_suffix("ms")
                    .and_then(|ms| ms.parse().ok())
                    .unwrap_or_else(|| panic!("{line:?}: expected late=NUMBERms"));
                observation.starvation = Some(Starvation {
                    late_ms,
                    ..Starvation::default()
                });
            }
            "deployment" => {
                observation.deployment = parse_word(value);
                assert!(
                    observation.deployment.is_some(),
                    "{line:?}: invalid deployment"
                );
            }
            "superseded" => observation.superseded_by = Some(value.to_owned()),
            other => panic!("{line:?}: unknown key {other}"),
        }
    }
    observation
}

/// Reads `FAILED/OF`.
fn parse_tries(value: &str) -> Tries {
    let (failed, of) = value
        .split_once('/')
        .and_then(|(failed, of)| Some((failed.parse().ok()?, of.parse().ok()?)))
        .unwrap_or_else(|| panic!("{value:?}: expected tries=FAILED/OF"));
    Tries { failed, of }
}

fn new_lookup(
    name: &str,
    kind: &str,
    purpose: Purpose,
    result: LookupResult,
    addresses: Vec<IpAddr>,
    zone: Option<String>,
) -> Lookup {
    Lookup {
        name: name.to_owned(),
        kind: kind.to_owned().into(),
        purpose,
        resolver: ([10, 0, 0, 2], 53).into(),
        unanswered: Vec::new(),
        result,
        addresses,
        aliases: Vec::new(),
        ttl_s: None,
        zone: zone.map(Into::into),
        zone_server: None,
        over_tcp: false,
        elapsed_ms: 1,
    }
}

/// Reads a line of `lookups`. Panics if it is invalid.
pub fn parse_lookup(line: &str, host: &str) -> Lookup {
    let words: Vec<_> = line.split_whitespace().collect();
    let [kind, purpose, rest @ ..] = words.as_slice() else {
        panic!("{line:?}: expected kind, purpose and result")
    };
    let purpose = parse_word(purpose).unwrap_or_else(|| panic!("{line:?}: purpose missing"));
    let value_of = |key: &str| {
        rest.iter()
            .find_map(|part| part.strip_prefix(key))
            .map(str::to_owned)
    };
    let addresses: Vec<IpAddr> = rest.iter().filter_map(|part| part.parse().ok()).collect();
    let failure = rest.iter().find_map(|part| parse_word(part));
    let zone = value_of("zone=");
    assert!(
        failure.is_some() || !addresses.is_empty() || zone.is_some(),
        "{line:?}: result missing"
    );
    let result = failure.map_or(LookupResult::Answered, |failure| LookupResult::Failed {
        failure,
    });
    let mut lookup = new_lookup(
        &value_of("name=").unwrap_or(host.to_owned()),
        kind,
        purpose,
        result,
        addresses,
        zone,
    );
    lookup.zone_server = value_of("server=").map(Into::into);
    lookup.over_tcp = rest.contains(&"over-tcp");
    let resolver = |address: &str| {
        let address = address.parse();
        SocketAddr::new(
            address.unwrap_or_else(|_| panic!("{line:?}: invalid resolver")),
            53,
        )
    };
    if let Some(address) = value_of("resolver=") {
        lookup.resolver = resolver(&address);
    }
    if let Some(aliases) = value_of("alias=") {
        lookup.aliases = aliases
            .split(',')
            .map(|alias| alias.to_owned().into())
            .collect();
    }
    if let Some(addresses) = value_of("unanswered=") {
        lookup.unanswered = addresses.split(',').map(resolver).collect();
    }
    if let Some(elapsed) = rest
        .iter()
        .find_map(|part| part.strip_suffix("ms")?.parse().ok())
    {
        lookup.elapsed_ms = elapsed;
    }
    lookup
}
