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
    Packets, Responder, Script, ScriptedResolver, Tcp, addresses, bytes, cname_loop, empty, is_a,
    negative, truncated,
};
use run::{ProbeRun, unrelated_failures};

/// How a resolver answers for CloudWatch Logs, and what must be observed.
struct Case {
    name: &'static str,
    udp: Script,
    tcp: Tcp,
    /// `passed`, or the failure.
    expected: &'static str,
    /// Whether the log stream can be written to.
    works: bool,
    /// The status of the verdict, and the first cause if there is one.
    verdict: Option<&'static str>,
    /// The longest time that it may take.
    max_ms: u64,
    /// What else must hold of the observation.
    holds: fn(&Observation) -> bool,
}

/// Milliseconds: the time limit of a lookup, and a loaded machine.
const MAX_TOTAL: u64 = 14_000;
/// Milliseconds: half a second that AAAA may take longer, and a loaded machine. Less than the wait
/// for an answer that does not come.
const MAX_PROMPT: u64 = 5_000;

/// The address of CloudWatch Logs in the demo.
const LOGS: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 13);

fn case(name: &'static str, udp: Responder, tcp: Tcp, expected: &'static str) -> Case {
    Case {
        name,
        udp: Script {
            respond: udp,
            delay: Duration::ZERO,
            fails: |_| false,
        },
        tcp,
        expected,
        works: expected == "passed",
        verdict: None,
        max_ms: MAX_TOTAL,
        holds: |_| true,
    }
}

/// A resolver that answers rightly, but this late.
fn slow(name: &'static str, milliseconds: u64) -> Case {
    let mut case = case(name, correct, Tcp::Refused, "passed");
    case.udp.delay = Duration::from_millis(milliseconds);
    case.verdict = Some("warn service-slow");
    case.holds = |observation| observation.tries.is_none();
    case
}

/// A resolver that answers rightly, except for some queries.
fn failing(name: &'static str, fails: fn(u32) -> bool) -> Case {
    let mut case = case(name, correct, Tcp::Refused, "passed");
    case.udp.fails = fails;
    case.verdict = Some("warn resolver-failure");
    case.holds = |observation| {
        observation
            .tries
            .is_some_and(|tries| tries.failed > 0 && tries.failed < tries.of)
    };
    case
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

/// Returns an address that belongs to a name without a connection to the one in question.
fn misplaced(query: &Message) -> Message {
    let mut answer = addresses(query, &[LOGS], 0);
    for record in &mut answer.answers {
        record.name = "other.example.".parse().unwrap();
    }
    answer
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

fn tried_at_least_thrice(observation: &Observation) -> bool {
    observation
        .tries
        .is_some_and(|tries| tries.failed == tries.of && tries.of >= 3)
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
            holds: tried_at_least_thrice,
            verdict: Some("fail resolver-failure"),
            ..case(
                "SERVFAIL",
                |q| bytes(&empty(q, ResponseCode::ServFail)),
                Tcp::Refused,
                "server-failure",
            )
        },
        Case {
            holds: tried_at_least_thrice,
            verdict: Some("fail resolver-failure"),
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
        slow("1.2 s", 1_200),
        slow("2.2 s", 2_200),
        slow("3.2 s", 3_200),
        slow("4.5 s", 4_500),
        Case {
            verdict: Some("fail service-slow"),
            expected: "too-slow",
            works: false,
            ..slow("6.5 s, longer than the C library waits", 6_500)
        },
        failing("SERVFAIL once", |nth| nth == 0),
        failing("SERVFAIL to every second query", |nth| nth % 2 == 0),
        failing("SERVFAIL to five queries", |nth| nth < 5),
        Case {
            max_ms: MAX_PROMPT,
            holds: |observation| observation.detail.contains("1000 addresses"),
            ..case(
                "a thousand addresses in one datagram",
                many,
                Tcp::Refused,
                "passed",
            )
        },
        Case {
            holds: |observation| {
                observation.detail.contains("the CNAMEs form a loop")
                    && observation.presented.is_empty()
            },
            ..case("a CNAME loop", cname_loop, Tcp::Refused, "no-address")
        },
        Case {
            works: false,
            verdict: Some("fail name-points-elsewhere"),
            ..case(
                "a sinkhole",
                |q| bytes(&addresses(q, &[Ipv4Addr::UNSPECIFIED], 0)),
                Tcp::Refused,
                "passed",
            )
        },
        case(
            "an address of another name",
            |q| bytes(&misplaced(q)),
            Tcp::Refused,
            "no-address",
        ),
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
    let mut report = match report {
        Ok(report) => report,
        Err(error) => return Some(format!("{}: {error}", case.name)),
    };
    run::judge_without_starvation(&mut report);
    let resolve = |observation: &&Observation| {
        (observation.dependency, observation.phase) == (Dependency::Logs, Phase::Resolve)
    };
    let Some(observation) = report.observations.iter().find(resolve) else {
        return Some(format!("{}: no observation", case.name));
    };
    let ended = observation
        .failure()
        .map_or("passed".to_owned(), |failure| failure.to_string());
    let verdict = match report.findings.first() {
        Some(first) => format!("{} {}", report.verdict.status, first.cause),
        None => report.verdict.status.to_string(),
    };
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
        (dialled <= 8, format!("{dialled} addresses were dialled")),
        (
            written == case.works,
            "the write to the log stream does not match the outcome".into(),
        ),
        (
            case.verdict.is_none_or(|expected| expected == verdict),
            format!(
                "the verdict is {verdict}: {}; the lookups: {:#?}",
                report.verdict.summary, observation.lookups
            ),
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
    run::check_all(&cases, mistake);
}
