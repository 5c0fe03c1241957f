//! Servers that say secrets and hostile characters wherever a text of theirs may be: none of it is in
//! any form of the report. The probe runs over real sockets.
#![cfg(all(feature = "demo", feature = "operator"))]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test panic as the test does"
)]

#[path = "support/hostile/run.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod run;
#[path = "support/hostile/server.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod server;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pullprobe::compare::ComparisonBuilder;
use pullprobe::observation::Dependency;
use pullprobe::render;
use pullprobe::report::Report;
use pullprobe::safe_text::is_hidden;
use run::ProbeRun;
use server::{Behavior, SERVICES, Server, Step, http};

/// What the run holds once it has read everything: keys, the session token, a secret's and a
/// parameter's value.
const SECRETS: [&str; 4] = [
    "demo/secret/valid",
    "demo-session-token-valid",
    "correct horse",
    "battery staple",
];

/// Characters that act on a terminal or hide.
const HOSTILE: &str =
    "\u{1b}]52;c;QQ==\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{2066}\u{200b}\u{e0041}\u{feff}\u{7f}";

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().concat()
}

/// Returns the ways in which a server may write a secret.
fn encodings(secret: &str) -> Vec<String> {
    let percent = join(secret.bytes().map(|byte| format!("%{byte:02x}")));
    let unicode = join(secret.bytes().map(|byte| format!("\\u{byte:04x}")));
    let mut all = vec![
        secret.to_owned(),
        secret.to_uppercase(),
        hex::encode(secret),
        hex::encode_upper(secret),
        percent,
        unicode,
        STANDARD.encode(hex::encode(secret)),
    ];
    for before in ["", "a", "ab", "AWS:"] {
        all.push(STANDARD.encode(format!("{before}{secret}")));
        all.push(URL_SAFE_NO_PAD.encode(format!("{before}{secret}")));
    }
    all
}

/// Returns everything a server says: every secret in every encoding, and hostile characters.
fn everything() -> String {
    let all: Vec<String> = SECRETS
        .iter()
        .flat_map(|secret| encodings(secret))
        .collect();
    format!("{HOSTILE} {} {HOSTILE}", all.join(" "))
}

/// Each protocol's places for text. `said` is put where a server chooses the words.
fn answers(status: &'static str, said: &str) -> Vec<(&'static str, Step)> {
    let json = serde_json::to_string(said).unwrap();
    // Headers cannot carry controls.
    let header: String = said.chars().filter(char::is_ascii_graphic).collect();
    let header = &header[..header.len().min(8_000)];
    let aws = [
        ("x-amzn-requestid", "11111111-2222-3333-4444-555555555555"),
        ("content-type", "application/x-amz-json-1.1"),
    ];
    let answer = |headers: &[(&str, &str)], body: String| http(status, headers, body.as_bytes());
    vec![
        (
            "AWS JSON",
            answer(
                &aws,
                format!("{{\"__type\":\"AccessDeniedException\",\"message\":{json}}}"),
            ),
        ),
        (
            "a denial",
            answer(
                &aws,
                format!(
                    "{{\"__type\":\"AccessDeniedException\",\"Message\":\"User: {s} is not authorized to perform: {s} on resource: {s} \
             because no identity-based policy allows it: {s}\"}}",
                    s = &json[1..json.len() - 1]
                ),
            ),
        ),
        (
            "a code",
            answer(
                &aws,
                format!("{{\"__type\":{json},\"code\":{json},\"message\":\"x\"}}"),
            ),
        ),
        (
            "a registry",
            answer(
                &[],
                format!(
                    "{{\"errors\":[{{\"code\":{json},\"message\":{json},\"detail\":{json}}}]}}"
                ),
            ),
        ),
        (
            "XML",
            answer(
                &[("x-amz-request-id", "79104EXAMPLEB723")],
                format!(
                    "<Error><Code>AccessDenied</Code><Message><![CDATA[{said}]]></Message><RequestId><![CDATA[{said}]]></RequestId></Error>"
                ),
            ),
        ),
        (
            "a page",
            answer(
                &[("content-type", "text/html")],
                format!("<html><title>{said}</title></html>"),
            ),
        ),
        ("plain text", answer(&[], said.to_owned())),
        (
            "headers",
            answer(
                &[
                    ("x-amzn-requestid", header),
                    ("x-amz-request-id", header),
                    ("x-amzn-errortype", header),
                    ("www-authenticate", header),
                    ("location", header),
                    ("retry-after", header),
                    ("ratelimit-limit", header),
                    ("ratelimit-remaining", header),
                    ("docker-ratelimit-source", header),
                    ("x-amz-bucket-region", header),
                ],
                String::new(),
            ),
        ),
    ]
}

/// Fails if eight characters in a row of a secret, in any encoding, or a hostile character are in
/// any form of the report.
fn check(report: &Report) -> Result<(), String> {
    let line = report.line();
    let text = render::text::render(report, render::style::Style::default());
    let mut builder = ComparisonBuilder::default();
    builder.add(report);
    let output = builder.finish();
    let (html, markdown) = (
        render::html::render(&output),
        render::markdown::render(&output),
    );
    let junit = render::junit::render(&output);
    let comparison = output.line();
    if line.len() > 256 * 1024 {
        return Err(format!("{} bytes", line.len()));
    }
    for (form, text) in [
        ("JSON", &line),
        ("text", &text),
        ("comparison", &comparison),
        ("HTML", &html),
        ("Markdown", &markdown),
        ("JUnit", &junit),
    ] {
        if let Some(c) = text.chars().find(|&c| c != '\n' && is_hidden(c)) {
            return Err(format!("{form}: {c:?}"));
        }
        for secret in SECRETS {
            for encoded in encodings(secret) {
                let found = encoded
                    .as_bytes()
                    .windows(8)
                    .map(|window| str::from_utf8(window).unwrap())
                    // A word of this program; and escapes of single characters, as of a hostile one.
                    .filter(|window| !window.contains("u00") && *window != "correct ")
                    .find(|window| text.contains(window));
                if let Some(window) = found {
                    let at = text.find(window).unwrap_or_default();
                    let around = &text[at.saturating_sub(120)..(at + 60).min(text.len())];
                    return Err(format!("{form}: {window:?} of {secret:?} in …{around}…"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn nothing_that_a_server_says_is_secret_or_acts() {
    let said = everything();
    let mut cases: Vec<(Dependency, &str, &str, Step)> = Vec::new();
    for victim in SERVICES {
        for status in [
            "400 Bad Request",
            "403 Forbidden",
            "307 Temporary Redirect",
            "200 OK",
        ] {
            let answers = answers(status, &said).into_iter();
            // Of a redirect, the headers count.
            let answers = answers.filter(|(place, _)| match status {
                "400 Bad Request" => matches!(*place, "AWS JSON" | "a registry"),
                "307 Temporary Redirect" => *place == "headers",
                "200 OK" => matches!(*place, "a code" | "plain text" | "headers"),
                _ => true,
            });
            cases.extend(answers.map(|(place, step)| (victim, status, place, step)));
        }
    }
    run::check_all(&cases, |(victim, status, place, step)| {
        let step = step.clone();
        let report = run::runtime().block_on(async {
            let mut probe = ProbeRun::new();
            let behavior = Behavior::Tls(0, Arc::new(move |_| vec![step.clone()]));
            let server = Server::start(*victim, behavior, &mut probe.roots);
            probe.set_port(*victim, server.port);
            probe.observe().await
        });
        let case = format!("{victim}, {status}, {place}");
        match report {
            Ok(report) => check(&report).err().map(|wrong| format!("{case}: {wrong}")),
            Err(wrong) => Some(format!("{case}: {wrong}")),
        }
    });
}

#[test]
fn a_platform_is_one_of_the_known_forms() {
    let said = serde_json::to_string(&format!("{} {}", everything(), "x".repeat(300_000))).unwrap();
    let index = format!(
        "{{\"schemaVersion\":2,\"manifests\":[{{\"digest\":\"sha256:aa\",\"platform\":{{\"os\":{said},\"architecture\":{said}}}}},\
         {{\"digest\":\"sha256:bb\",\"platform\":{{\"os\":\"linux\",\"architecture\":\"s390x\"}}}}]}}"
    );
    let step = http(
        "200 OK",
        &[("content-type", "application/vnd.oci.image.index.v1+json")],
        index.as_bytes(),
    );
    let report = run::runtime().block_on(async {
        let mut probe = ProbeRun::new();
        let behavior = Behavior::Tls(0, Arc::new(move |_| vec![step.clone()]));
        let server = Server::start(Dependency::EcrDkr, behavior, &mut probe.roots);
        probe.set_port(Dependency::EcrDkr, server.port);
        probe.observe().await
    });
    let report = report.unwrap();
    check(&report).unwrap();
    let presented: Vec<_> = report
        .observations
        .iter()
        .filter(|seen| !seen.presented.is_empty() && seen.dependency == Dependency::EcrDkr)
        .map(|seen| seen.presented.clone())
        .collect();
    assert!(
        presented
            .iter()
            .any(|seen| seen.iter().eq(["linux/s390x", "not a platform"])),
        "{presented:?}"
    );
}
