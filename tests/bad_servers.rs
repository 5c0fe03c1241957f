//! Hostile and broken servers: the failure has a type, time and memory are bounded, and every other
//! target is checked as usual.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test panic as the test does"
)]

#[path = "support/hostile/proxy.rs"]
mod proxy;
#[path = "support/hostile/run.rs"]
mod run;
#[path = "support/hostile/server.rs"]
mod server;

use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proxy::{Fault, FaultOf};
use pullprobe::cause::Cause;
use pullprobe::demo::names;
use pullprobe::diagnose::{Confidence, Finding};
use pullprobe::observation::Dependency;
use pullprobe::report::Report;
use pullprobe::verdict::Status;
use run::{ProbeRun, unrelated_failures};
use server::{Behavior, Responses, SERVICES, Server, Step, head, http, of_unknown_authority};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A server, and the outcomes that the report must have: `passed`, or a failure.
struct Case {
    name: &'static str,
    victim: Dependency,
    behavior: Behavior,
    /// The layer bucket, where it is replaced as well.
    bucket: Option<Behavior>,
    expected: &'static [(&'static str, &'static str)],
}

const MANIFEST: &str = "ecr.dkr/manifest/team/app:1.4";
const WRITE: &str = "logs/write";
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const GIGABYTE: u64 = 1 << 30;
const CHUNK: usize = 64 * 1024;
const FOREVER: u64 = u64::MAX;
/// What CloudWatch Logs sends with every answer.
const REQUEST_ID: (&str, &str) = ("x-amzn-requestid", "11111111-2222-3333-4444-555555555555");
const SECOND: Duration = Duration::from_secs(1);

fn always(script: Vec<Step>) -> Behavior {
    Behavior::Tls(0, Arc::new(move |_| script.clone()))
}

fn logs(
    name: &'static str,
    behavior: Behavior,
    expected: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        name,
        victim: Dependency::Logs,
        behavior,
        bucket: None,
        expected,
    }
}

/// Returns a registry that plays `script` for every manifest and returns 404 for everything else.
fn manifests(
    name: &'static str,
    script: Vec<Step>,
    expected: &'static [(&'static str, &'static str)],
) -> Case {
    let responses: Responses = Arc::new(move |path| {
        if path.contains("/manifests/") {
            script.clone()
        } else {
            vec![http("404 Not Found", &[], b"")]
        }
    });
    Case {
        name,
        victim: Dependency::EcrDkr,
        behavior: Behavior::Tls(0, responses),
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

/// Returns a body of `count` bytes with its Content-Length.
fn large(count: u64) -> Vec<Step> {
    let mut head = head("200 OK", &[]);
    head.extend(format!("content-length: {count}\r\n\r\n").bytes());
    vec![
        Step::Send(head),
        Step::Repeat(vec![b'x'; CHUNK], count / CHUNK as u64),
    ]
}

/// Returns a chunked body that never ends.
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
        Some(pause) => Step::Pace(bytes, FOREVER, pause),
        None => Step::Repeat(bytes, FOREVER),
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

#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn bad_logs() -> Vec<Case> {
    let bomb = |name_length: usize, count: usize| {
        let mut headers = head("200 OK", &[]);
        for n in 0..count {
            headers.extend(format!("x-{n}: {}\r\n", "x".repeat(name_length)).bytes());
        }
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
            "an endless chunked body",
            always(endless(CHUNK, None)),
            &[(WRITE, "too-large")],
        ),
        logs(
            "one byte of body per second",
            always(endless(1, Some(SECOND))),
            &[(WRITE, "too-slow")],
        ),
        logs(
            "one byte of head per second",
            always(vec![Step::Pace(b"H".to_vec(), FOREVER, SECOND)]),
            &[(WRITE, "timed-out")],
        ),
        logs(
            "no response",
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
            "a header of several megabytes",
            always(bomb(10 * 1024 * 1024, 1)),
            &[(WRITE, "unexpected-answer")],
        ),
        logs(
            "ten thousand headers",
            always(bomb(100, 10_000)),
            &[(WRITE, "unexpected-answer")],
        ),
        logs(
            "the connection closed after the request",
            always(vec![Step::Close]),
            &[(WRITE, "reset")],
        ),
        logs(
            "half a response",
            always(vec![
                Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()),
                Step::Close,
            ]),
            &[(WRITE, "reset")],
        ),
        logs(
            "a hundred Early Hints",
            always(vec![
                Step::Repeat(informational.clone(), 100),
                http("200 OK", &[REQUEST_ID], b"{}"),
            ]),
            &[(WRITE, "passed")],
        ),
        logs(
            "endless Early Hints",
            always(vec![Step::Pace(
                informational,
                FOREVER,
                Duration::from_millis(1),
            )]),
            &[(WRITE, "timed-out")],
        ),
        logs(
            "a secret in an error message",
            always(vec![http(
                "403 Forbidden",
                &[],
                br#"{"__type":"AccessDenied","message":"https://x/?X-Amz-Signature=CANARY"}"#,
            )]),
            &[(WRITE, "denied")],
        ),
        logs(
            "garbage instead of TLS",
            Behavior::Plain(vec![Step::Send(b"220 smtp.example.com ESMTP\r\n".to_vec())]),
            &[("logs/handshake/", "unexpected-answer")],
        ),
        logs(
            "a gigabyte instead of TLS",
            Behavior::Plain(vec![Step::Repeat(
                vec![0x16; CHUNK],
                GIGABYTE / CHUNK as u64,
            )]),
            &[("logs/handshake/", "unexpected-answer")],
        ),
        logs(
            "silence instead of TLS",
            Behavior::Plain(vec![Step::Silence]),
            &[("logs/handshake/", "stalled")],
        ),
        logs(
            "one byte of TLS per second",
            Behavior::Plain(vec![
                Step::Send(vec![0x16, 3, 3, 0x40, 0]),
                Step::Pace(vec![2], FOREVER, SECOND),
            ]),
            &[("logs/handshake/", "stalled")],
        ),
        logs(
            "a chain of a thousand certificates",
            Behavior::Tls(1_000, Arc::new(|_| vec![Step::Close])),
            &[("logs/handshake/", "unexpected-answer")],
        ),
        logs(
            "a chain of a hundred certificates",
            Behavior::Tls(
                100,
                Arc::new(|_| vec![http("200 OK", &[REQUEST_ID], b"{}")]),
            ),
            &[("logs/handshake/", "passed"), (WRITE, "passed")],
        ),
    ]
}

fn bad_registries() -> Vec<Case> {
    let digest = |n: usize| format!("sha256:{n:064x}");
    let nested = format!(r#"{{"manifests":{}"#, "[".repeat(1024 * 1024));
    let long_digest = |n: usize| format!("sha256:{n:012x}{}", "a".repeat(30_000));
    let tags: Responses = Arc::new(|path| {
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
            "a manifest of two million numbers",
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
            &[(MANIFEST, "wrong-form")],
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
            "an index that refers to itself",
            json(&format!(
                r#"{{"manifests":[{{"digest":"{DIGEST}","platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#
            )),
            &[(MANIFEST, "wrong-digest")],
        ),
        Case {
            name: "a list of tags of a gigabyte",
            victim: Dependency::EcrDkr,
            behavior: Behavior::Tls(0, tags),
            bucket: None,
            expected: &[(MANIFEST, "not-found")],
        },
    ]
}

/// Returns a registry that redirects to a bucket that plays `script`.
fn bucket(
    name: &'static str,
    script: Vec<Step>,
    expected: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        name,
        victim: Dependency::EcrDkr,
        behavior: Behavior::Plain(Vec::new()),
        bucket: Some(always(script)),
        expected,
    }
}

fn bad_buckets() -> Vec<Case> {
    let redirect = |location: &str| {
        vec![http(
            "307 Temporary Redirect",
            &[("location", location)],
            b"",
        )]
    };
    let moved_once: Responses = Arc::new(move |path| {
        if path.contains("moved") {
            large(CHUNK as u64)
        } else {
            redirect("/moved?X-Amz-Signature=CANARY")
        }
    });
    vec![
        Case {
            bucket: Some(Behavior::Tls(0, moved_once)),
            ..bucket(
                "a redirect of S3 to another path",
                Vec::new(),
                &[("s3/fetch/team/app:1.4/000000000000", "passed")],
            )
        },
        bucket(
            "redirects without end",
            redirect("/again?X-Amz-Signature=CANARY"),
            &[
                ("ecr.dkr/blob/", "passed"),
                ("s3/fetch/", "unexpected-answer"),
            ],
        ),
        bucket(
            "a redirect to plain HTTP",
            redirect("http://example.com/layer?X-Amz-Signature=CANARY"),
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
            "a layer of one byte per second",
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
            "bytes of another object",
            vec![http("200 OK", &[], b"something else")],
            &[("s3/fetch/team/app:1.4/111111111111", "wrong-digest")],
        ),
    ]
}

async fn observe(case: &Case) -> Result<Report, String> {
    let mut run = ProbeRun::new();
    let mut behavior = case.behavior.clone();
    let mut bucket = None;
    if let Some(responses) = &case.bucket {
        let server = Server::start(Dependency::S3, responses.clone(), &mut run.roots);
        run.set_port(Dependency::S3, server.port);
        let location = format!(
            "https://{}:{}/layer?X-Amz-Signature=CANARY",
            names::host_name(Dependency::S3),
            server.port
        );
        let manifest = manifest_of(DIGEST, 1, |_| format!("sha256:{:064x}", 0));
        behavior = Behavior::Tls(
            0,
            Arc::new(move |path| {
                if path.contains("/manifests/") {
                    json(&manifest)
                } else {
                    vec![http(
                        "307 Temporary Redirect",
                        &[("location", &location)],
                        b"",
                    )]
                }
            }),
        );
        bucket = Some(server);
    }
    let server = Server::start(case.victim, behavior, &mut run.roots);
    run.set_port(case.victim, server.port);
    let report = run.observe().await;
    drop((server, bucket));
    report
}

/// Returns what is wrong with the report about this server.
fn mistake(case: &Case) -> Option<String> {
    let report = match run::runtime().block_on(observe(case)) {
        Ok(report) => report,
        Err(error) => return Some(format!("{}: {error}", case.name)),
    };
    let mut wrong = String::new();
    for (id, expected) in case.expected {
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
            let _ = write!(wrong, "\n    {id} is {ends:?}, expected {expected}");
        }
    }
    for seen in unrelated_failures(&report, case.victim) {
        let _ = write!(
            wrong,
            "\n    unrelated: {} is {:?} {}",
            seen.id, seen.outcome, seen.detail
        );
    }
    (!wrong.is_empty()).then(|| format!("{}:{wrong}", case.name))
}

/// Returns a registry that redirects its manifest to another path and its blobs to `location`.
fn registry_redirecting_to(location: String) -> Behavior {
    let manifest = manifest_of(DIGEST, 1, |_| format!("sha256:{:064x}", 0));
    let redirect = |location: &str| {
        vec![http(
            "307 Temporary Redirect",
            &[("location", location)],
            b"",
        )]
    };
    Behavior::Tls(
        0,
        Arc::new(move |path| {
            if path.contains("/blobs/") {
                redirect(&location)
            } else if path.contains("/moved") {
                json(&manifest)
            } else {
                redirect("/moved")
            }
        }),
    )
}

/// Returns the report of a run in which `server` replaces the dependency's.
fn report_with(
    dependency: Dependency,
    server: impl FnOnce(&mut rustls::RootCertStore) -> Server,
) -> Report {
    run::runtime().block_on(async {
        let mut run = ProbeRun::new();
        let server = server(&mut run.roots);
        run.set_port(dependency, server.port);
        let report = run.observe().await.unwrap();
        drop(server);
        report
    })
}

fn ends_of(report: &Report, id: &str) -> Vec<String> {
    report
        .observations
        .iter()
        .filter(|seen| seen.id.to_string().starts_with(id))
        .map(|seen| match seen.failure() {
            Some(failure) => failure.to_string(),
            None => format!("{:?}", seen.outcome),
        })
        .collect()
}

fn findings_of(report: &Report) -> Vec<String> {
    let name = |finding: &Finding| format!("{} {:?}", finding.cause, finding.confidence);
    report.findings.iter().map(name).collect()
}

#[test]
fn redirect_to_an_upstream_without_a_name_is_not_a_fault_of_s3() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let location = "https://production.cloudflare.example/layer?X-Amz-Signature=CANARY";
    let report = report_with(Dependency::EcrDkr, |roots| {
        let behavior = registry_redirecting_to(location.into());
        Server::start(Dependency::EcrDkr, behavior, roots)
    });
    assert_eq!(ends_of(&report, MANIFEST), ["Passed"]);
    assert_eq!(
        ends_of(&report, "registry@production.cloudflare.example/resolve"),
        ["no-such-name"]
    );
    let findings = findings_of(&report);
    assert_eq!(
        findings.first().map(String::as_str),
        Some("pull-through-upstream-unreachable Likely"),
        "{findings:?}"
    );
    for cause in ["private-zone-shadows-name", "s3-gateway-missing"] {
        assert!(
            findings.iter().all(|finding| !finding.starts_with(cause)),
            "{findings:?}"
        );
    }
}

#[test]
fn untrusted_certificate_is_described_by_its_issuer() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for (organization, expired, expected, detail) in [
        (
            "Amazon",
            false,
            ["tls-untrusted Likely", "tls-intercepted Possible"],
            "the chain is incomplete, or --ca-bundle lacks its root",
        ),
        (
            "Example Corp",
            true,
            ["tls-intercepted Likely", "tls-untrusted Possible"],
            "expired on 2021-01-01T00:00:00Z, checked against the roots of --ca-bundle",
        ),
    ] {
        let report = report_with(Dependency::Logs, |_| {
            let host = names::host_name(Dependency::Logs);
            let tls = of_unknown_authority(&host, organization, expired);
            Server::start_presenting(Dependency::Logs, always(json("{}")), tls)
        });
        assert_eq!(ends_of(&report, "logs/handshake/"), ["unknown-issuer"]);
        assert_eq!(findings_of(&report), expected, "{organization}");
        let summary = &report.findings[0].summary;
        assert!(summary.contains(detail), "{summary}");
    }
}

/// What a proxy, a firewall or a portal answers: status, content type, body.
const FOREIGN_ANSWERS: [(&str, &str, &str); 9] = [
    (
        "403 Forbidden",
        "text/html",
        "<html><title>Blocked</title></html>",
    ),
    (
        "403 Forbidden",
        "application/json",
        r#"{"message":"Forbidden"}"#,
    ),
    ("403 Forbidden", "text/plain", "Blocked by firewall policy"),
    ("401 Unauthorized", "text/plain", "Log in to the proxy"),
    ("404 Not Found", "text/plain", "404 page not found"),
    ("429 Too Many Requests", "text/plain", "Too many requests"),
    (
        "302 Found",
        "text/html",
        "<a href=\"https://portal.example.com/\">Found</a>",
    ),
    ("200 OK", "application/json", "{}"),
    ("200 OK", "text/plain", ""),
];

/// Returns each foreign answer at each service.
fn intermediaries() -> Vec<Case> {
    let answers = FOREIGN_ANSWERS.iter().map(|(status, kind, body)| {
        let headers = [
            ("content-type", *kind),
            ("location", "https://portal.example.com/"),
        ];
        (*status, vec![http(status, &headers, body.as_bytes())])
    });
    let answers: Vec<_> = answers.collect();
    let case = |victim, (name, script): &(&'static str, Vec<Step>)| match victim {
        Dependency::S3 => bucket(name, script.clone(), &[]),
        _ => Case {
            name,
            victim,
            behavior: always(script.clone()),
            bucket: None,
            expected: &[],
        },
    };
    SERVICES
        .into_iter()
        .flat_map(|victim| answers.iter().map(move |answer| case(victim, answer)))
        .collect()
}

/// Returns what is wrong with the diagnosis of an intermediary's answer.
fn misread(case: &Case) -> Option<String> {
    let report = match run::runtime().block_on(observe(case)) {
        Ok(report) => report,
        Err(error) => return Some(format!("{}: {error}", case.name)),
    };
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| format!("{} {:?}", finding.cause, finding.confidence))
        .collect();
    let expected = [
        "answered-by-intermediary Likely",
        "name-points-elsewhere Possible",
    ];
    (found != expected).then(|| format!("{:?} {}: {found:?}", case.victim, case.name))
}

#[test]
fn intermediary_is_not_taken_for_the_service() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let cases = intermediaries();
    run::check_all(&cases, misread);
}

/// Returns CloudWatch Logs with these answers, in turn; the last is repeated.
fn logs_in_turn(answers: &'static [(&'static str, &'static str)]) -> Case {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let responses: Responses = Arc::new(move |_| {
        let turn = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (status, body) = answers[turn.min(answers.len() - 1)];
        let json = ("content-type", "application/x-amz-json-1.1");
        vec![http(status, &[REQUEST_ID, json], body.as_bytes())]
    });
    logs("in turn", Behavior::Tls(0, responses), &[])
}

#[test]
fn log_stream_that_was_deleted_is_created_again() {
    const CREATED: (&str, &str) = ("200 OK", "");
    const WRITTEN: (&str, &str) = ("200 OK", "{}");
    const GONE: (&str, &str) = (
        "400 Bad Request",
        r#"{"__type":"ResourceNotFoundException","message":"The specified log stream does not exist."}"#,
    );
    const REJECTED: (&str, &str) = (
        "200 OK",
        r#"{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1}}"#,
    );
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let findings = |answers| {
        let report = run::runtime()
            .block_on(observe(&logs_in_turn(answers)))
            .unwrap();
        let findings = report.findings.iter();
        let found = findings.map(|finding| (finding.cause.code(), finding.blocking));
        found.collect::<Vec<_>>()
    };
    assert_eq!(findings(&[CREATED, GONE, CREATED, WRITTEN]), []);
    assert_eq!(
        findings(&[CREATED, GONE, CREATED, GONE]),
        [("log-stream-missing", false)]
    );
    assert_eq!(findings(&[CREATED, REJECTED]), [("clock-skew", false)]);
}

/// Serializes the tests of one process, so that one does not count the memory of the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn bad_server_is_reported_and_does_not_affect_other_targets() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let cases: Vec<_> = [bad_logs(), bad_registries(), bad_buckets()]
        .into_iter()
        .flatten()
        .collect();
    run::check_all(&cases, mistake);
}

/// One run with the demo's own servers, in a debug build. A buffered gigabyte, or JSON that expands
/// in memory, needs more.
const MAX_MEMORY_KIB: u64 = 40 * 1024;

#[test]
fn large_responses_are_not_kept_in_memory() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = |field: &str| -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let cases: Vec<_> = [bad_logs(), bad_registries(), bad_buckets()]
        .into_iter()
        .flatten()
        .collect();
    run::runtime()
        .block_on(async { ProbeRun::new().observe().await })
        .unwrap();
    for case in cases {
        if [
            "gigabyte",
            "chunked",
            "megabytes",
            "numbers",
            "index",
            "layers",
        ]
        .iter()
        .any(|word| case.name.contains(word))
        {
            // Resets the peak, which building the cases has set (proc(5), clear_refs).
            fs::write("/proc/self/clear_refs", "5").unwrap();
            let before = memory("VmRSS:");
            assert_eq!(mistake(&case), None);
            let grown = memory("VmHWM:").saturating_sub(before);
            assert!(
                grown < MAX_MEMORY_KIB,
                "{}: memory grew by {grown} KiB",
                case.name
            );
        }
    }
}

/// The services behind a path that treats some connections differently.
struct Path {
    name: &'static str,
    fault_of: FaultOf,
    limit: usize,
    refusing: Duration,
    /// A finding that must be a warning, unless the path may pass unnoticed.
    expected: Option<Cause>,
}

fn faulty(
    name: &'static str,
    fault: Fault,
    is_faulty: impl Fn(usize) -> bool + Send + Sync + 'static,
    expected: Cause,
) -> Path {
    Path {
        name,
        fault_of: Arc::new(move |number| is_faulty(number).then_some(fault)),
        limit: Semaphore::MAX_PERMITS,
        refusing: Duration::ZERO,
        expected: Some(expected),
    }
}

fn first(number: usize) -> bool {
    number == 0
}

fn limited(name: &'static str, limit: usize) -> Path {
    Path {
        name,
        fault_of: Arc::new(|_| None),
        limit,
        refusing: Duration::ZERO,
        expected: None,
    }
}

fn paths_that_a_task_survives() -> Vec<Path> {
    use Cause::{ConnectionRefused, ConnectionReset, ServiceUnresponsive, TlsStalled};
    let even = |number: usize| number.is_multiple_of(2);
    let odd = |number: usize| !number.is_multiple_of(2);
    let third = |number: usize| number.is_multiple_of(3);
    vec![
        faulty("first reset", Fault::Reset, first, ConnectionReset),
        faulty("first closed", Fault::Close, first, ConnectionReset),
        faulty(
            "first cut in the handshake",
            Fault::CutHandshake,
            first,
            ConnectionReset,
        ),
        faulty(
            "first cut after the request",
            Fault::CutRequest,
            first,
            ConnectionReset,
        ),
        Path {
            refusing: Duration::from_millis(200),
            ..faulty("first refused", Fault::Reset, |_| false, ConnectionRefused)
        },
        faulty("first hangs", Fault::Hang, first, TlsStalled),
        faulty("every second hangs", Fault::Hang, even, TlsStalled),
        faulty("every third hangs", Fault::Hang, third, TlsStalled),
        faulty(
            "every second hangs after the handshake",
            Fault::HangAfterHandshake,
            even,
            ServiceUnresponsive,
        ),
        Path {
            expected: None,
            ..faulty("the others hang", Fault::Hang, odd, TlsStalled)
        },
        limited("four connections at a time", 4),
        limited("six connections at a time", 6),
    ]
}

async fn observe_path(path: &Path) -> Result<Report, String> {
    let mut run = ProbeRun::new();
    let mut tasks = JoinSet::new();
    let limit = Arc::new(Semaphore::new(path.limit));
    for dependency in [
        Dependency::EcrApi,
        Dependency::EcrDkr,
        Dependency::Logs,
        Dependency::SecretsManager,
        Dependency::Ssm,
    ] {
        let port = proxy::start(
            &mut tasks,
            run::address(dependency),
            run.aws.port,
            Arc::clone(&path.fault_of),
            Arc::clone(&limit),
            path.refusing,
        );
        run.set_port(dependency, port);
    }
    run.observe().await
}

/// Returns what is wrong with the report about this path.
fn path_mistake(path: &Path) -> Option<String> {
    const OWN_LOAD: [Cause; 3] = [
        Cause::EndpointSecurityGroup,
        Cause::NetworkAcl,
        Cause::TaskSecurityGroupEgress,
    ];
    let mut report = match run::runtime().block_on(observe_path(path)) {
        Ok(report) => report,
        Err(error) => return Some(format!("{}: {error}", path.name)),
    };
    run::judge_without_starvation(&mut report);
    let warned = |cause: Cause| {
        report
            .findings
            .iter()
            .any(|finding| finding.cause == cause && !finding.blocking && finding.tries.is_some())
    };
    let right = match path.expected {
        Some(cause) => report.verdict.status == Status::Warn && warned(cause),
        None => report.verdict.status <= Status::Warn,
    };
    let wrong = report.findings.iter().any(|finding| {
        finding.confidence == Confidence::Certain || OWN_LOAD.contains(&finding.cause)
    });
    let failed: Vec<_> = report
        .observations
        .iter()
        .filter(|seen| seen.tries.is_some() || seen.failure().is_some())
        .map(|seen| {
            format!(
                "\n    {} {:?} {:?} {:?} small {:?} {} ms",
                seen.id,
                seen.outcome,
                seen.tries,
                seen.earlier_failure,
                seen.small_segments_pass,
                seen.elapsed_ms
            )
        })
        .collect();
    (!right || wrong).then(|| {
        format!(
            "{}: {} ({} ms){}",
            path.name,
            report.verdict.summary,
            report.run.elapsed_ms,
            failed.concat()
        )
    })
}

#[test]
fn what_works_when_repeated_is_a_warning() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let paths = paths_that_a_task_survives();
    run::check_all(&paths, path_mistake);
}
