//! Resolvers that answer wrongly, too much, or not at all, for one name: its failure has a type and
//! is reported in time, and every other target is checked as usual.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test panic as the test does"
)]

#[path = "support/hostile/resolver.rs"]
mod resolver;
#[path = "support/hostile/run.rs"]
mod run;

use std::net::Ipv4Addr;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use pullprobe::demo::names;
use pullprobe::observation::{Dependency, Observation, Phase};
use resolver::{
    Packets, Responder, ScriptedResolver, Tcp, addresses, bytes, empty, is_a, negative, truncated,
};
use run::{ProbeRun, unrelated_failures};

/// How a resolver answers for CloudWatch Logs, and what must be observed.
struct Case {
    name: &'static str,
    udp: Responder,
    tcp: Tcp,
    /// `passed`, or the failure.
    expected: &'static str,
    /// The longest time that it may take.
    max_ms: u64,
    /// What else must hold of the observation.
    holds: fn(&Observation) -> bool,
}

/// Milliseconds: three lost queries, the time limit of the last one, TCP after it, and a loaded
/// machine.
const MAX_TOTAL: u64 = 9_000;
/// Milliseconds: half a second that AAAA may take longer, and a loaded machine.
const MAX_PROMPT: u64 = 2_000;

/// The address of CloudWatch Logs in the demo.
const LOGS: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 13);

fn case(name: &'static str, udp: Responder, tcp: Tcp, expected: &'static str) -> Case {
    Case {
        name,
        udp,
        tcp,
        expected,
        max_ms: MAX_TOTAL,
        holds: |_| true,
    }
}

fn correct(query: &Message) -> Packets {
    bytes(&addresses(query, &[LOGS], 0))
}

fn silent(_: &Message) -> Packets {
    Vec::new()
}

fn garbage(_: &Message) -> Packets {
    vec![vec![0xff; 300]]
}

fn wrong_id(query: &Message) -> Packets {
    let mut answer = addresses(query, &[LOGS], 0);
    answer.metadata.id = !query.metadata.id;
    bytes(&answer)
}

/// Returns the right ID with the answer to another query.
fn wrong_question(query: &Message) -> Packets {
    let mut other = query.clone();
    other.queries[0].set_name("other.example.".parse().unwrap());
    bytes(&addresses(&other, &[LOGS], 0))
}

/// Returns a header that announces records, and names that refer to themselves (RFC 1035 section
/// 4.1.4).
fn compression_bomb(query: &Message) -> Packets {
    let mut packet = query.to_vec().unwrap();
    packet[2] |= 0x80;
    packet[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
    let at = u16::try_from(packet.len()).unwrap() | 0xc000;
    (0..200).for_each(|_| packet.extend(at.to_be_bytes()));
    vec![packet]
}

fn many(query: &Message) -> Packets {
    let others = (0..999u16).map(|n| Ipv4Addr::new(127, 0, 77, u8::try_from(n % 250).unwrap()));
    bytes(&addresses(
        query,
        &std::iter::once(LOGS).chain(others).collect::<Vec<_>>(),
        0,
    ))
}

fn target_lookups(
    observation: &Observation,
) -> impl Iterator<Item = &pullprobe::observation::Lookup> {
    observation
        .lookups
        .iter()
        .filter(|lookup| lookup.name == observation.host)
}

#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn cases() -> Vec<Case> {
    let zone_reported = |observation: &Observation| {
        target_lookups(observation)
            .any(|lookup| lookup.zone.as_deref() == Some("us-east-1.amazonaws.com"))
    };
    vec![
        Case {
            holds: |observation| target_lookups(observation).any(|lookup| lookup.over_tcp),
            ..case(
                "truncated, complete over TCP",
                truncated,
                Tcp::Answers(correct),
                "passed",
            )
        },
        case(
            "truncated, TCP refused",
            truncated,
            Tcp::Refused,
            "server-failure",
        ),
        case("truncated, TCP silent", truncated, Tcp::Silent, "timed-out"),
        case(
            "truncated, garbage over TCP",
            truncated,
            Tcp::Answers(garbage),
            "server-failure",
        ),
        Case {
            holds: zone_reported,
            max_ms: MAX_PROMPT,
            ..case(
                "NODATA",
                |q| negative(q, ResponseCode::NoError, "us-east-1.amazonaws.com."),
                Tcp::Refused,
                "no-address",
            )
        },
        Case {
            holds: zone_reported,
            max_ms: MAX_PROMPT,
            ..case(
                "NXDOMAIN",
                |q| negative(q, ResponseCode::NXDomain, "us-east-1.amazonaws.com."),
                Tcp::Refused,
                "no-such-name",
            )
        },
        Case {
            max_ms: MAX_PROMPT,
            ..case(
                "NXDOMAIN without a zone",
                |q| bytes(&empty(q, ResponseCode::NXDomain)),
                Tcp::Refused,
                "no-such-name",
            )
        },
        Case {
            max_ms: MAX_PROMPT,
            ..case(
                "SERVFAIL",
                |q| bytes(&empty(q, ResponseCode::ServFail)),
                Tcp::Refused,
                "server-failure",
            )
        },
        Case {
            max_ms: MAX_PROMPT,
            ..case(
                "REFUSED",
                |q| bytes(&empty(q, ResponseCode::Refused)),
                Tcp::Refused,
                "query-refused",
            )
        },
        case("no answer", silent, Tcp::Refused, "timed-out"),
        case(
            "garbage with another ID",
            garbage,
            Tcp::Refused,
            "timed-out",
        ),
        case(
            "garbage with the right ID",
            |q| vec![[&q.to_vec().unwrap()[..2], &[0xff; 300]].concat()],
            Tcp::Refused,
            "server-failure",
        ),
        case(
            "a compression bomb",
            compression_bomb,
            Tcp::Refused,
            "server-failure",
        ),
        case("another ID", wrong_id, Tcp::Refused, "timed-out"),
        Case {
            max_ms: MAX_PROMPT,
            ..case(
                "another ID, then the right one",
                |q| [wrong_id(q), correct(q)].concat(),
                Tcp::Refused,
                "passed",
            )
        },
        case(
            "an answer to another query",
            wrong_question,
            Tcp::Refused,
            "timed-out",
        ),
        Case {
            max_ms: MAX_PROMPT,
            holds: |observation| {
                target_lookups(observation).any(|lookup| lookup.aliases.len() == 12)
            },
            ..case(
                "twelve CNAMEs",
                |q| bytes(&addresses(q, &[LOGS], 12)),
                Tcp::Refused,
                "passed",
            )
        },
        Case {
            max_ms: MAX_PROMPT,
            ..case(
                "CNAMEs without an address",
                |q| bytes(&addresses(q, &[], 3)),
                Tcp::Refused,
                "no-address",
            )
        },
        Case {
            holds: |observation| observation.presented.len() <= 32,
            ..case(
                "a thousand addresses",
                truncated,
                Tcp::Answers(many),
                "passed",
            )
        },
        Case {
            max_ms: MAX_PROMPT,
            ..case(
                "A at once, AAAA never",
                |q| if is_a(q) { correct(q) } else { silent(q) },
                Tcp::Refused,
                "passed",
            )
        },
        case(
            "AAAA at once, A never",
            |q| if is_a(q) { silent(q) } else { correct(q) },
            Tcp::Refused,
            "timed-out",
        ),
    ]
}

fn mistake(case: &Case) -> Option<String> {
    let host = names::host_name(Dependency::Logs);
    let report = run::runtime().block_on(async {
        let mut run = ProbeRun::new();
        let resolver = ScriptedResolver::start(&host, run.resolver, case.udp, case.tcp);
        run.resolver = resolver.address;
        run.observe().await
    });
    let report = match report {
        Ok(report) => report,
        Err(error) => return Some(format!("{}: {error}", case.name)),
    };
    let resolve = |observation: &&Observation| {
        (observation.dependency, observation.phase) == (Dependency::Logs, Phase::Resolve)
    };
    let Some(observation) = report.observations.iter().find(resolve) else {
        return Some(format!("{}: no observation", case.name));
    };
    let ended = observation
        .failure()
        .map_or("passed".to_owned(), |failure| failure.to_string());
    let dialled = report
        .observations
        .iter()
        .filter(|o| (o.dependency, o.phase) == (Dependency::Logs, Phase::Connect))
        .count();
    let written = report
        .observations
        .iter()
        .any(|o| (o.dependency, o.phase) == (Dependency::Logs, Phase::Write) && o.passed());
    let unrelated: Vec<_> = unrelated_failures(&report, Dependency::Logs)
        .iter()
        .map(|observation| observation.id.clone())
        .collect();
    let holds = [
        (
            ended == case.expected,
            format!("{ended}, not {}: {:#?}", case.expected, observation.lookups),
        ),
        (
            (case.holds)(observation),
            format!("the lookups: {:#?}", observation.lookups),
        ),
        (
            Duration::from_millis(observation.elapsed_ms)
                <= Duration::from_millis(case.max_ms).mul_f64(run::pace::slowdown()),
            format!("resolve took {} ms", observation.elapsed_ms),
        ),
        (dialled <= 16, format!("{dialled} addresses were dialled")),
        (
            written == (case.expected == "passed"),
            "the write to the log stream does not match the outcome".into(),
        ),
        (
            unrelated.is_empty(),
            format!("unrelated checks fail: {unrelated:?}"),
        ),
    ];
    let wrong: Vec<_> = holds
        .into_iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, what)| what)
        .collect();
    (!wrong.is_empty()).then(|| format!("{}: {}", case.name, wrong.join("; ")))
}

#[test]
fn bad_resolver_is_reported_and_does_not_affect_other_targets() {
    let cases = cases();
    let mistakes = run::check_all(&cases, mistake);
    assert!(
        mistakes.is_empty(),
        "{} of {}:\n{}",
        mistakes.len(),
        cases.len(),
        mistakes.join("\n")
    );
}
