//! Resolvers that answer wrongly, too much, or not at all, for one name: its failure is typed and
//! in time, and every other target is checked as if nothing had been.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot unwrap must stop, in its helpers as well"
)]

#[path = "hostile/resolver.rs"]
mod resolver;
#[path = "hostile/run.rs"]
mod run;

use std::net::Ipv4Addr;

use hickory_resolver::proto::op::{Message, ResponseCode};
use pullprobe::demo::names;
use pullprobe::observation::{Dependency, Observation, Phase};
use resolver::{Packets, Reply, Resolver, Tcp, addresses, bytes, denied, empty, is_a, truncated};
use run::{Rehearsal, affected};

/// What a resolver does with the name of CloudWatch Logs, and what must be seen.
struct Bad {
    name: &'static str,
    udp: Reply,
    tcp: Tcp,
    /// `passed`, or a failure.
    expected: &'static str,
    /// At most, ms: for what must not wait.
    within_ms: u64,
    /// What must hold of the observation besides.
    and: fn(&Observation) -> bool,
}

/// Three losses of a second each and the last answer's time, TCP after it, and a loaded machine.
const ANY_TIME: u64 = 9_000;
/// Half a second of grace for AAAA, and a loaded machine.
const SOON: u64 = 2_000;

const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 13);

fn bad(name: &'static str, udp: Reply, tcp: Tcp, expected: &'static str) -> Bad {
    Bad {
        name,
        udp,
        tcp,
        expected,
        within_ms: ANY_TIME,
        and: |_| true,
    }
}

fn right(question: &Message) -> Packets {
    bytes(&addresses(question, &[OWN], 0))
}

fn nothing(_: &Message) -> Packets {
    Vec::new()
}

fn garbage(_: &Message) -> Packets {
    vec![vec![0xff; 300]]
}

fn wrong_id(question: &Message) -> Packets {
    let mut answer = addresses(question, &[OWN], 0);
    answer.metadata.id = !question.metadata.id;
    bytes(&answer)
}

/// The right id, and an answer to a question that nobody asked.
fn wrong_question(question: &Message) -> Packets {
    let mut asked = question.clone();
    asked.queries[0].set_name("somebody.example.".parse().unwrap());
    bytes(&addresses(&asked, &[OWN], 0))
}

/// A header that promises records, and names that point at themselves (RFC 1035 section 4.1.4).
fn compression_bomb(question: &Message) -> Packets {
    let mut packet = question.to_vec().unwrap();
    packet[2] |= 0x80;
    packet[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
    let at = u16::try_from(packet.len()).unwrap() | 0xc000;
    (0..200).for_each(|_| packet.extend(at.to_be_bytes()));
    vec![packet]
}

fn many(question: &Message) -> Packets {
    let others = (0..999u16).map(|n| Ipv4Addr::new(127, 0, 77, u8::try_from(n % 250).unwrap()));
    bytes(&addresses(
        question,
        &std::iter::once(OWN).chain(others).collect::<Vec<_>>(),
        0,
    ))
}

fn of_target(seen: &Observation) -> impl Iterator<Item = &pullprobe::observation::Lookup> {
    seen.lookups
        .iter()
        .filter(|lookup| lookup.name == seen.host)
}

fn all() -> Vec<Bad> {
    let zone_told = |seen: &Observation| {
        of_target(seen).any(|lookup| lookup.zone.as_deref() == Some("us-east-1.amazonaws.com"))
    };
    vec![
        Bad {
            and: |seen| of_target(seen).any(|lookup| lookup.over_tcp),
            ..bad(
                "truncated, whole over TCP",
                truncated,
                Tcp::Answers(right),
                "passed",
            )
        },
        bad(
            "truncated, TCP refused",
            truncated,
            Tcp::Refused,
            "server-failure",
        ),
        bad("truncated, TCP silent", truncated, Tcp::Silent, "timed-out"),
        bad(
            "truncated, garbage over TCP",
            truncated,
            Tcp::Answers(garbage),
            "server-failure",
        ),
        Bad {
            and: zone_told,
            within_ms: SOON,
            ..bad(
                "NODATA",
                |q| denied(q, ResponseCode::NoError, "us-east-1.amazonaws.com."),
                Tcp::Refused,
                "no-address",
            )
        },
        Bad {
            and: zone_told,
            within_ms: SOON,
            ..bad(
                "NXDOMAIN",
                |q| denied(q, ResponseCode::NXDomain, "us-east-1.amazonaws.com."),
                Tcp::Refused,
                "no-such-name",
            )
        },
        Bad {
            within_ms: SOON,
            ..bad(
                "NXDOMAIN without a zone",
                |q| bytes(&empty(q, ResponseCode::NXDomain)),
                Tcp::Refused,
                "no-such-name",
            )
        },
        Bad {
            within_ms: SOON,
            ..bad(
                "SERVFAIL",
                |q| bytes(&empty(q, ResponseCode::ServFail)),
                Tcp::Refused,
                "server-failure",
            )
        },
        Bad {
            within_ms: SOON,
            ..bad(
                "REFUSED",
                |q| bytes(&empty(q, ResponseCode::Refused)),
                Tcp::Refused,
                "query-refused",
            )
        },
        bad("no answer", nothing, Tcp::Refused, "timed-out"),
        bad(
            "garbage under another id",
            garbage,
            Tcp::Refused,
            "timed-out",
        ),
        bad(
            "garbage under the right id",
            |q| vec![[&q.to_vec().unwrap()[..2], &[0xff; 300]].concat()],
            Tcp::Refused,
            "server-failure",
        ),
        bad(
            "a compression bomb",
            compression_bomb,
            Tcp::Refused,
            "server-failure",
        ),
        bad("another id", wrong_id, Tcp::Refused, "timed-out"),
        Bad {
            within_ms: SOON,
            ..bad(
                "another id, then the right one",
                |q| [wrong_id(q), right(q)].concat(),
                Tcp::Refused,
                "passed",
            )
        },
        bad(
            "an answer to another question",
            wrong_question,
            Tcp::Refused,
            "timed-out",
        ),
        Bad {
            within_ms: SOON,
            and: |seen| of_target(seen).any(|lookup| lookup.aliases.len() == 12),
            ..bad(
                "twelve aliases",
                |q| bytes(&addresses(q, &[OWN], 12)),
                Tcp::Refused,
                "passed",
            )
        },
        Bad {
            within_ms: SOON,
            ..bad(
                "aliases that lead nowhere",
                |q| bytes(&addresses(q, &[], 3)),
                Tcp::Refused,
                "no-address",
            )
        },
        Bad {
            and: |seen| seen.presented.len() <= 32,
            ..bad(
                "a thousand addresses",
                truncated,
                Tcp::Answers(many),
                "passed",
            )
        },
        Bad {
            within_ms: SOON,
            ..bad(
                "A at once and AAAA never",
                |q| if is_a(q) { right(q) } else { nothing(q) },
                Tcp::Refused,
                "passed",
            )
        },
        bad(
            "AAAA at once and A never",
            |q| if is_a(q) { nothing(q) } else { right(q) },
            Tcp::Refused,
            "timed-out",
        ),
    ]
}

fn mistake(bad: &Bad) -> Option<String> {
    let host = names::host_name(Dependency::Logs);
    let report = run::runtime().block_on(async {
        let mut rehearsal = Rehearsal::new();
        let resolver = Resolver::start(&host, rehearsal.resolver, bad.udp, bad.tcp);
        rehearsal.resolver = resolver.address;
        rehearsal.observe().await
    });
    let report = match report {
        Ok(report) => report,
        Err(error) => return Some(format!("{}: {error}", bad.name)),
    };
    let resolve =
        |seen: &&Observation| (seen.dependency, seen.phase) == (Dependency::Logs, Phase::Resolve);
    let Some(seen) = report.observations.iter().find(resolve) else {
        return Some(format!("{}: not seen", bad.name));
    };
    let ended = seen
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
    let affected: Vec<_> = affected(&report, Dependency::Logs)
        .iter()
        .map(|seen| seen.id.clone())
        .collect();
    let holds = [
        (
            ended == bad.expected,
            format!("{ended}, not {}: {:#?}", bad.expected, seen.lookups),
        ),
        ((bad.and)(seen), format!("the lookups: {:#?}", seen.lookups)),
        (
            seen.elapsed_ms <= bad.within_ms,
            format!("it took {} ms", seen.elapsed_ms),
        ),
        (dialled <= 16, format!("{dialled} addresses were dialled")),
        (
            written == (bad.expected == "passed"),
            "the log stream's being written does not follow".into(),
        ),
        (
            affected.is_empty(),
            format!("these do not pass: {affected:?}"),
        ),
    ];
    let wrong: Vec<_> = holds
        .into_iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, what)| what)
        .collect();
    (!wrong.is_empty()).then(|| format!("{}: {}", bad.name, wrong.join("; ")))
}

#[test]
fn a_bad_resolver_is_named_and_stops_nothing_else() {
    let bad = all();
    let mistakes = run::all(&bad, mistake);
    assert!(
        mistakes.is_empty(),
        "{} of {}:\n{}",
        mistakes.len(),
        bad.len(),
        mistakes.join("\n")
    );
}
