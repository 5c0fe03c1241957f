//! Servers that mean harm, or do harm without meaning it: the failure is typed, time and memory are
//! bounded, and every other target is checked as if nothing had been.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot unwrap must stop, in its helpers as well"
)]

#[path = "hostile/run.rs"]
mod run;
#[path = "hostile/server.rs"]
mod server;

use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pullprobe::demo::names;
use pullprobe::observation::Dependency;
use pullprobe::report::Report;
use run::{Rehearsal, affected};
use server::{Answers, Manner, Server, Step, head, http};

/// A server, and what the report must say of it: `passed`, or a failure.
struct Bad {
    name: &'static str,
    victim: Dependency,
    manner: Manner,
    /// Where the layer bucket is somebody else's as well.
    bucket: Option<Manner>,
    expected: &'static [(&'static str, &'static str)],
}

const MANIFEST: &str = "ecr.dkr/manifest/team/app:1.4";
const WRITE: &str = "logs/write";
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const GIGABYTE: u64 = 1 << 30;
const CHUNK: usize = 64 * 1024;
const FOR_EVER: u64 = u64::MAX;
const SECOND: Duration = Duration::from_secs(1);

fn always(script: Vec<Step>) -> Manner {
    Manner::Tls(0, Arc::new(move |_| script.clone()))
}

fn logs(
    name: &'static str,
    manner: Manner,
    expected: &'static [(&'static str, &'static str)],
) -> Bad {
    Bad {
        name,
        victim: Dependency::Logs,
        manner,
        bucket: None,
        expected,
    }
}

/// A registry that answers this to every request for a manifest, and 404 to every other.
fn manifests(
    name: &'static str,
    script: Vec<Step>,
    expected: &'static [(&'static str, &'static str)],
) -> Bad {
    let answers: Answers = Arc::new(move |path| {
        if path.contains("/manifests/") {
            script.clone()
        } else {
            vec![http("404 Not Found", &[], b"")]
        }
    });
    Bad {
        name,
        victim: Dependency::EcrDkr,
        manner: Manner::Tls(0, answers),
        bucket: None,
        expected,
    }
}

fn json(body: &str) -> Vec<Step> {
    vec![http(
        "200 OK",
        &[("content-type", "application/vnd.oci.image.manifest.v1+json")],
        body.as_bytes(),
    )]
}

/// `count` bytes of body, announced.
fn large(count: u64) -> Vec<Step> {
    let mut head = head("200 OK", &[]);
    head.extend(format!("content-length: {count}\r\n\r\n").bytes());
    vec![
        Step::Send(head),
        Step::Repeat(vec![b'x'; CHUNK], count / CHUNK as u64),
    ]
}

/// A chunked body that never ends.
fn endless(chunk: usize, pause: Option<Duration>) -> Vec<Step> {
    let mut head = head("200 OK", &[("transfer-encoding", "chunked")]);
    head.extend(b"\r\n");
    let bytes = [
        format!("{chunk:x}\r\n").as_bytes(),
        &vec![b'x'; chunk],
        b"\r\n",
    ]
    .concat();
    let body = match pause {
        Some(pause) => Step::Pace(bytes, FOR_EVER, pause),
        None => Step::Repeat(bytes, FOR_EVER),
    };
    vec![Step::Send(head), body]
}

fn manifest_of(config: &str, layers: usize, layer: impl Fn(usize) -> String) -> String {
    let layers: Vec<_> = (0..layers)
        .map(|n| format!(r#"{{"digest":"{}","size":-1}}"#, layer(n)))
        .collect();
    format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"{config}","size":-9223372036854775808}},"layers":[{}]}}"#,
        layers.join(",")
    )
}

fn index_of(children: usize) -> String {
    let mut index = r#"{"schemaVersion":2,"manifests":["#.to_owned();
    for n in 0..children {
        let comma = if n == 0 { "" } else { "," };
        let platform = format!(r#"{{"os":"plan9","architecture":"mips{n}"}}"#);
        let _ = write!(
            index,
            r#"{comma}{{"digest":"sha256:{n:064x}","platform":{platform}}}"#
        );
    }
    index + "]}"
}

fn bad_logs() -> Vec<Bad> {
    let bomb = |name_length: usize, count: usize| {
        let mut headers = head("200 OK", &[]);
        (0..count).for_each(|n| {
            headers.extend(format!("x-{n}: {}\r\n", "x".repeat(name_length)).bytes())
        });
        vec![Step::Send(headers), Step::Silence]
    };
    let informational = b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n".to_vec();
    vec![
        logs(
            "a gigabyte",
            always(large(GIGABYTE)),
            &[(WRITE, "too-large")],
        ),
        logs(
            "a chunked body without end",
            always(endless(CHUNK, None)),
            &[(WRITE, "too-large")],
        ),
        logs(
            "one byte of body a second",
            always(endless(1, Some(SECOND))),
            &[(WRITE, "too-slow")],
        ),
        logs(
            "one byte of head a second",
            always(vec![Step::Pace(b"H".to_vec(), FOR_EVER, SECOND)]),
            &[(WRITE, "timed-out")],
        ),
        logs(
            "no answer",
            always(vec![Step::Silence]),
            &[(WRITE, "timed-out")],
        ),
        logs(
            "garbage instead of HTTP",
            always(vec![Step::Send(vec![0x16; 4096])]),
            &[(WRITE, "unexpected-answer")],
        ),
        logs(
            "the preface of HTTP/2",
            always(vec![Step::Send(
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            )]),
            &[(WRITE, "unexpected-answer")],
        ),
        logs(
            "a header of megabytes",
            always(bomb(10 * 1024 * 1024, 1)),
            &[(WRITE, "unexpected-answer")],
        ),
        logs(
            "ten thousand headers",
            always(bomb(100, 10_000)),
            &[(WRITE, "unexpected-answer")],
        ),
        logs(
            "the end after the request",
            always(vec![Step::Close]),
            &[(WRITE, "reset")],
        ),
        logs(
            "half an answer",
            always(vec![
                Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()),
                Step::Close,
            ]),
            &[(WRITE, "reset")],
        ),
        logs(
            "a hundred early hints",
            always(vec![
                Step::Repeat(informational.clone(), 100),
                http("200 OK", &[], b"{}"),
            ]),
            &[(WRITE, "passed")],
        ),
        logs(
            "early hints without end",
            always(vec![Step::Pace(
                informational,
                FOR_EVER,
                Duration::from_millis(1),
            )]),
            &[(WRITE, "timed-out")],
        ),
        logs(
            "a secret in a refusal",
            always(vec![http(
                "403 Forbidden",
                &[],
                br#"{"__type":"AccessDenied","message":"https://x/?X-Amz-Signature=CANARY"}"#,
            )]),
            &[(WRITE, "denied")],
        ),
        logs(
            "garbage instead of TLS",
            Manner::Plain(vec![Step::Send(b"220 smtp.example.com ESMTP\r\n".to_vec())]),
            &[("logs/handshake/", "unexpected-answer")],
        ),
        logs(
            "a gigabyte instead of TLS",
            Manner::Plain(vec![Step::Repeat(
                vec![0x16; CHUNK],
                GIGABYTE / CHUNK as u64,
            )]),
            &[("logs/handshake/", "unexpected-answer")],
        ),
        logs(
            "silence instead of TLS",
            Manner::Plain(vec![Step::Silence]),
            &[("logs/handshake/", "stalled")],
        ),
        logs(
            "one byte of TLS a second",
            Manner::Plain(vec![
                Step::Send(vec![0x16, 3, 3, 0x40, 0]),
                Step::Pace(vec![2], FOR_EVER, SECOND),
            ]),
            &[("logs/handshake/", "stalled")],
        ),
        logs(
            "a chain of a thousand certificates",
            Manner::Tls(1_000, Arc::new(|_| vec![Step::Close])),
            &[("logs/handshake/", "unexpected-answer")],
        ),
        logs(
            "a chain of a hundred certificates",
            Manner::Tls(100, Arc::new(|_| vec![http("200 OK", &[], b"{}")])),
            &[("logs/handshake/", "passed"), (WRITE, "passed")],
        ),
    ]
}

fn bad_registries() -> Vec<Bad> {
    let digest = |n: usize| format!("sha256:{n:064x}");
    let nested = format!(r#"{{"manifests":{}"#, "[".repeat(1024 * 1024));
    let long_digest = |n: usize| format!("sha256:{n:012x}{}", "a".repeat(30_000));
    let tags: Answers = Arc::new(|path| {
        if path.contains("/tags/") {
            large(GIGABYTE)
        } else {
            vec![http("404 Not Found", &[], b"")]
        }
    });
    vec![
        manifests(
            "a manifest of five megabytes",
            large(5 * 1024 * 1024),
            &[(MANIFEST, "too-large")],
        ),
        manifests(
            "a manifest nested a million deep",
            json(&nested),
            &[(MANIFEST, "unexpected-answer")],
        ),
        manifests(
            "a manifest of small numbers",
            json(&format!(r#"{{"x":[{}1]}}"#, "1,".repeat(2_000_000))),
            &[(MANIFEST, "unexpected-answer")],
        ),
        manifests(
            "a web page",
            json("<html>Sign in to the guest network</html>"),
            &[(MANIFEST, "unexpected-answer")],
        ),
        manifests(
            "ten thousand layers of negative size",
            json(&manifest_of(DIGEST, 10_000, digest)),
            &[(MANIFEST, "passed"), ("ecr.dkr/blob/", "not-found")],
        ),
        manifests(
            "digests of 30,000 digits",
            json(&manifest_of(DIGEST, 100, long_digest)),
            &[(MANIFEST, "unexpected-answer")],
        ),
        manifests(
            "digests that leave the repository",
            json(&manifest_of("../../../v2/other/blobs/x", 1, |_| {
                "a\\r\\nHost: x".into()
            })),
            &[(MANIFEST, "unexpected-answer")],
        ),
        manifests(
            "an index of 100,000 entries",
            json(&index_of(100_000)),
            &[(MANIFEST, "too-large")],
        ),
        manifests(
            "an index of 30,000 entries",
            json(&index_of(30_000)),
            &[(MANIFEST, "wrong-platform")],
        ),
        manifests(
            "an index that names itself",
            json(&format!(
                r#"{{"manifests":[{{"digest":"{DIGEST}","platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#
            )),
            &[(MANIFEST, "wrong-digest")],
        ),
        Bad {
            name: "a list of tags of a gigabyte",
            victim: Dependency::EcrDkr,
            manner: Manner::Tls(0, tags),
            bucket: None,
            expected: &[(MANIFEST, "not-found")],
        },
    ]
}

/// A registry that redirects to the bucket, and the bucket's answer.
fn bucket(
    name: &'static str,
    script: Vec<Step>,
    expected: &'static [(&'static str, &'static str)],
) -> Bad {
    Bad {
        name,
        victim: Dependency::EcrDkr,
        manner: Manner::Plain(Vec::new()),
        bucket: Some(always(script)),
        expected,
    }
}

fn bad_buckets() -> Vec<Bad> {
    let host = names::host_name(Dependency::EcrDkr);
    let back = format!("https://{host}/v2/team/app/blobs/{DIGEST}?X-Amz-Signature=CANARY");
    vec![
        bucket(
            "a redirect back to the registry",
            vec![http("307 Temporary Redirect", &[("location", &back)], b"")],
            &[
                ("ecr.dkr/blob/", "passed"),
                ("s3/fetch/", "unexpected-answer"),
            ],
        ),
        bucket(
            "a configuration of a gigabyte",
            large(GIGABYTE),
            &[
                ("s3/fetch/team/app:1.4/111111111111", "too-large"),
                ("s3/fetch/team/app:1.4/000000000000", "passed"),
            ],
        ),
        bucket(
            "a layer that comes one byte a second",
            endless(1, Some(SECOND)),
            &[("s3/fetch/", "too-slow")],
        ),
        bucket(
            "an error of a gigabyte",
            vec![
                Step::Send(
                    b"HTTP/1.1 403 Forbidden\r\ncontent-length: 1073741824\r\n\r\n".to_vec(),
                ),
                Step::Repeat(vec![b'<'; CHUNK], GIGABYTE / CHUNK as u64),
            ],
            &[("s3/fetch/", "denied")],
        ),
        bucket(
            "bytes of something else",
            vec![http("200 OK", &[], b"something else")],
            &[("s3/fetch/team/app:1.4/111111111111", "wrong-digest")],
        ),
    ]
}

async fn observe(bad: &Bad) -> Result<Report, String> {
    let mut rehearsal = Rehearsal::new();
    let mut manner = bad.manner.clone();
    let mut bucket = None;
    if let Some(answers) = &bad.bucket {
        let server = Server::start(Dependency::S3, answers.clone(), &mut rehearsal.roots);
        rehearsal.set_port(Dependency::S3, server.port);
        let place = format!(
            "https://{}:{}/layer?X-Amz-Signature=CANARY",
            names::host_name(Dependency::S3),
            server.port
        );
        let manifest = manifest_of(DIGEST, 1, |_| format!("sha256:{:064x}", 0));
        manner = Manner::Tls(
            0,
            Arc::new(move |path| {
                if path.contains("/manifests/") {
                    json(&manifest)
                } else {
                    vec![http("307 Temporary Redirect", &[("location", &place)], b"")]
                }
            }),
        );
        bucket = Some(server);
    }
    let server = Server::start(bad.victim, manner, &mut rehearsal.roots);
    rehearsal.set_port(bad.victim, server.port);
    let report = rehearsal.observe().await;
    drop((server, bucket));
    report
}

/// What is wrong with the report about this server.
fn mistake(bad: &Bad) -> Option<String> {
    let report = match run::runtime().block_on(observe(bad)) {
        Ok(report) => report,
        Err(error) => return Some(format!("{}: {error}", bad.name)),
    };
    let mut wrong = String::new();
    for (id, expected) in bad.expected {
        let seen: Vec<_> = report
            .observations
            .iter()
            .filter(|seen| seen.id.to_string().starts_with(id))
            .collect();
        let ended = |seen: &pullprobe::observation::Observation| match seen.failure() {
            Some(failure) => failure.to_string(),
            None => {
                if seen.passed() {
                    "passed".into()
                } else {
                    "not passed".into()
                }
            }
        };
        if seen.is_empty() || !seen.iter().any(|seen| ended(seen) == *expected) {
            let ends: Vec<_> = seen
                .iter()
                .take(3)
                .map(|seen| format!("{} ({})", ended(seen), seen.detail))
                .collect();
            let _ = write!(wrong, "\n    {id} is {ends:?}, not {expected}");
        }
    }
    for seen in affected(&report, bad.victim) {
        let _ = write!(
            wrong,
            "\n    {} does not pass: {:?} {}",
            seen.id, seen.outcome, seen.detail
        );
    }
    (!wrong.is_empty()).then(|| format!("{}:{wrong}", bad.name))
}

/// Where both tests run in one process, the memory of one must not count for the other.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_bad_server_is_named_and_stops_nothing_else() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let bad: Vec<_> = [bad_logs(), bad_registries(), bad_buckets()]
        .into_iter()
        .flatten()
        .collect();
    let mistakes = run::all(&bad, mistake);
    assert!(
        mistakes.is_empty(),
        "{} of {}:\n{}",
        mistakes.len(),
        bad.len(),
        mistakes.join("\n")
    );
}

/// A run beside the demo's own servers, in a debug build. A gigabyte that is kept, or JSON that
/// swells in memory, is more.
const MOST_MEMORY_KIB: u64 = 40 * 1024;

#[test]
fn no_answer_is_kept_in_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = |field: &str| -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let stories: Vec<_> = [bad_logs(), bad_registries(), bad_buckets()]
        .into_iter()
        .flatten()
        .collect();
    run::runtime()
        .block_on(async { Rehearsal::new().observe().await })
        .unwrap();
    for bad in stories {
        if [
            "gigabyte",
            "chunked",
            "megabytes",
            "numbers",
            "index",
            "layers",
        ]
        .iter()
        .any(|word| bad.name.contains(word))
        {
            // The peak so far was that of making the stories; it begins anew (proc(5), clear_refs).
            fs::write("/proc/self/clear_refs", "5").unwrap();
            let before = memory("VmRSS:");
            assert_eq!(mistake(&bad), None);
            let grown = memory("VmHWM:").saturating_sub(before);
            assert!(grown < MOST_MEMORY_KIB, "{} took {grown} KiB", bad.name);
        }
    }
}
