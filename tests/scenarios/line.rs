//! The lines of a story, and what a line leaves out.

use std::net::{IpAddr, SocketAddr};

use pullprobe::observation::{
    Dependency, Lookup, LookupResult, Observation, Outcome, Phase, Purpose, Scope,
};
use serde::de::DeserializeOwned;

/// The rungs of each role, in order; a token service has `authorize` besides.
pub fn ladder(dependency: Dependency) -> &'static [Phase] {
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
        | Dependency::ServiceConnect => &[Resolve, Connect, Handshake],
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

/// Where a target is unless its lines say otherwise: S3 and other registries on the internet, the
/// rest in the VPC.
pub fn usual_address(dependency: Dependency, public: bool) -> IpAddr {
    let last = 10 + dependency as u8;
    let outside = public
        || matches!(
            dependency,
            Dependency::S3
                | Dependency::Registry
                | Dependency::EnvironmentFile
                | Dependency::Splunk
        );
    if outside {
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

fn word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(word.into()).ok()
}

pub fn subject_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Manifest => "app:1.4",
        Phase::Blob | Phase::Fetch => "app:1.4/1a2b",
        _ => "",
    }
}

pub fn dependency(target: &str) -> Dependency {
    let name = target.split('@').next().unwrap_or_default();
    word(name).unwrap_or_else(|| panic!("{target:?} is no role"))
}

pub fn made(
    target: &str,
    phase: Phase,
    outcome: Outcome,
    address: Option<IpAddr>,
    subject: &str,
) -> Observation {
    let dependency = dependency(target);
    let mut made = Observation::new(target.parse().unwrap(), dependency, phase, outcome);
    made.host = host(target, dependency);
    let network = !made.host.is_empty();
    if phase == Phase::Resolve {
        made.scope = address.filter(|_| made.passed()).map(scope_of);
        let result = match made.failure() {
            None => LookupResult::Answered,
            Some(failure) => LookupResult::Failed { failure },
        };
        let addresses = address.filter(|_| made.passed()).into_iter().collect();
        made.lookups = vec![asked(
            &made.host,
            "A",
            Purpose::Target,
            result,
            addresses,
            None,
        )];
    } else if let Some(address) = address.filter(|_| network) {
        made.peer = Some(SocketAddr::new(address, 443));
        made.scope = Some(scope_of(address));
        if !phase.is_exchange() {
            made.id.narrow(address);
        }
    }
    if !subject.is_empty() {
        made.id.narrow(subject);
        made.subject = Some(subject.to_owned());
    }
    made
}

pub fn observation(line: &str) -> Observation {
    let mut words = line.split_whitespace();
    let target = words.next().unwrap_or_default();
    let phase: Phase = words
        .next()
        .and_then(word)
        .unwrap_or_else(|| panic!("{line:?}: no phase"));
    let (mut address, mut scope, mut subject, mut outcome) = (None, None, String::new(), None);
    let (mut elapsed, mut keys) = (0, Vec::new());
    for part in words {
        if let Some(pair) = part.split_once('=') {
            keys.push(pair);
        } else if let Ok(parsed) = part.parse::<IpAddr>() {
            address = Some(parsed);
        } else if let Some(parsed) = word::<Scope>(part) {
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
    let address = address.or_else(|| {
        Some(usual_address(
            dependency(target),
            scope == Some(Scope::Public),
        ))
    });
    let mut seen = made(target, phase, outcome, address, &subject);
    seen.scope = scope.or(seen.scope);
    seen.elapsed_ms = elapsed;
    for (key, value) in keys {
        match key {
            "attempts" => {
                seen.attempts = value
                    .parse()
                    .unwrap_or_else(|_| panic!("{line:?}: attempts"))
            }
            "expect" => seen.expected = vec![format!("an address that is {value}")],
            "presented" => seen.presented = vec![value.to_owned()],
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
        zone_server: None,
        over_tcp: false,
        elapsed_ms: 1,
    }
}

pub fn lookup(line: &str, host: &str) -> Lookup {
    let words: Vec<_> = line.split_whitespace().collect();
    let [kind, purpose, rest @ ..] = words.as_slice() else {
        panic!("{line:?}: kind, purpose, answer")
    };
    let purpose = word(purpose).unwrap_or_else(|| panic!("{line:?}: no purpose"));
    let of = |key: &str| {
        rest.iter()
            .find_map(|part| part.strip_prefix(key))
            .map(str::to_owned)
    };
    let addresses: Vec<IpAddr> = rest.iter().filter_map(|part| part.parse().ok()).collect();
    let failure = rest.iter().find_map(|part| word(part));
    let zone = of("zone=");
    assert!(
        failure.is_some() || !addresses.is_empty() || zone.is_some(),
        "{line:?}: no answer"
    );
    let result = failure.map_or(LookupResult::Answered, |failure| LookupResult::Failed {
        failure,
    });
    let mut lookup = asked(
        &of("name=").unwrap_or(host.to_owned()),
        kind,
        purpose,
        result,
        addresses,
        zone,
    );
    lookup.zone_server = of("server=");
    lookup.over_tcp = rest.contains(&"over-tcp");
    if let Some(resolver) = of("resolver=") {
        lookup.resolver = SocketAddr::new(
            resolver
                .parse()
                .unwrap_or_else(|_| panic!("{line:?}: resolver")),
            53,
        );
    }
    if let Some(elapsed) = rest
        .iter()
        .find_map(|part| part.strip_suffix("ms")?.parse().ok())
    {
        lookup.elapsed_ms = elapsed;
    }
    lookup
}
