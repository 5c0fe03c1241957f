//! Every parser of what comes from the network or from users, each as a function of any bytes that
//! panics if a promise is broken. `fuzz/run` searches for such bytes; the tests try the seeds in
//! `fuzz/seeds` and variations of them.
//!
//! Compiled for tests and for `fuzz/` only.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken promise must stop the search"
)]

use std::io::Cursor;
use std::sync::LazyLock;

use serde_json::Value;

use crate::cli::help;
use crate::command::compare::input;
use crate::command::mcp::tool;
use crate::compare::ComparisonBuilder;
use crate::inspect::Inspection;
use crate::inspect::snapshot::Snapshot;
use crate::operator::fuzz::{ecs_answer, xml_answer};
use crate::plan::requirements::{PlanPart, Requirements};
use crate::plan::{Plan, task_definition};
use crate::policy::{PolicyDecision, PolicyDocument, PolicyRequest, RequestPrincipal, decide};
use crate::probe::fuzz::{dns_message, http_response, manifest, token_and_location};
use crate::render;
use crate::render::style::Style;
use crate::safe_text::is_hidden;
use crate::template::{TaskTemplate, TemplatePurpose};

/// A parser's name, and the check.
pub type Parser = (&'static str, fn(&[u8]));

/// Every parser. `fuzz/fuzz_targets/parsers.rs` has three more, which only use what is public.
pub const PARSERS: &[Parser] = &[
    ("dns", dns_message),
    ("http", http_response),
    ("manifest", manifest),
    ("ecr-and-s3", token_and_location),
    ("ecs", ecs_answer),
    ("xml", xml_answer),
    ("task-definition", task_definition_file),
    ("plan", plan_json),
    ("report", reports),
    ("snapshot", snapshot),
    ("policy", policy),
    ("mcp", mcp_call),
];

/// A task definition in any form, through to the policies and templates that it needs.
fn task_definition_file(bytes: &[u8]) {
    let _ = task_definition::read(bytes);
    let set = [("IMAGE".to_owned(), "app:1".to_owned())];
    let Ok(template) = TaskTemplate::parse(bytes, &set) else {
        return;
    };
    // A template may have many, which are read alike.
    for position in 0..template.names().count().min(4) {
        let Ok(definition) = template.definition(position, None, None) else {
            continue;
        };
        let region = definition
            .facts()
            .region(None)
            .ok()
            .and_then(|found| found.0);
        let region = region.unwrap_or_else(|| "us-east-1".parse().unwrap());
        let account = Some("123456789012");
        let Ok(definition) = template.definition(position, Some(&region), account) else {
            continue;
        };
        let Ok(reading) = definition.read(Some(&region), TemplatePurpose::Print) else {
            continue;
        };
        if let Ok(plan) = Plan::new(reading.input, region) {
            check_plan(&plan);
        }
    }
}

/// A plan as `plan --format json` prints it.
fn plan_json(bytes: &[u8]) {
    if let Ok(plan) = Plan::from_json(&String::from_utf8_lossy(bytes)) {
        check_plan(&plan);
    }
}

/// What is printed for a plan is complete: it reads back as the same plan.
fn check_plan(plan: &Plan) {
    if let Ok(json) = plan.to_json() {
        assert_line(&json);
        let again = Plan::from_json(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        assert_eq!(again.to_json().ok(), Some(json));
    }
    let requirements = Requirements::of(plan);
    let parts = PlanPart::REQUIREMENTS;
    render::plan::render(plan, &requirements, &parts, Style::default());
    render::terraform::render(&requirements, &parts);
    let _ = render::cloudformation::render(&requirements, &parts);
    if let Some(Ok(json)) = requirements.to_json(&parts) {
        serde_json::from_str::<Value>(&json).expect("the requirements are JSON");
    }
}

/// Files for `compare`.
fn reports(bytes: &[u8]) {
    let mut builder = ComparisonBuilder::default();
    input::read_from(Cursor::new(bytes), "file", &mut builder).ok();
    if builder.counts().reports == 0 {
        return;
    }
    let output = builder.finish();
    assert_json(&output.line());
    render::comparison::render(&output, Style::default());
    render::markdown::render(&output);
    render::html::render(&output);
    let xml = render::junit::render(&output);
    let mut reader = quick_xml::Reader::from_str(&xml);
    while reader.read_event().expect("JUnit is XML") != quick_xml::events::Event::Eof {}
}

/// A file for `inspect --from`.
fn snapshot(bytes: &[u8]) {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(bytes) else {
        return;
    };
    if snapshot.problem().is_some() {
        return;
    }
    let inspection = Inspection::of(&snapshot);
    assert_json(&inspection.line());
    render::inspection::render(&inspection, Style::default());
    let code = inspection.verdict.exit_code;
    assert!(matches!(code, 0 | 3 | 4 | 10..=20), "exit code {code}");
}

/// A policy of any kind. A statement that allows everything never takes a permission away, and one
/// that denies everything always does.
fn policy(bytes: &[u8]) {
    const ALLOW: &str = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    const DENY: &str = r#"{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    let Ok(document) = PolicyDocument::parse(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    let (allow, deny): (PolicyDocument, PolicyDocument) = [ALLOW, DENY]
        .map(|text| PolicyDocument::parse(text).unwrap())
        .into();
    let role = RequestPrincipal::Role {
        arn: "arn:aws:iam::123456789012:role/ecsTaskExecutionRole".into(),
    };
    let bucket = "arn:aws:s3:::prod-us-east-1-starport-layer-bucket/a";
    let request = PolicyRequest::new(role, "s3:GetObject", bucket);
    let alone = decide(&[("its", &document)], &request);
    let with_allow = decide(&[("its", &document), ("other", &allow)], &request);
    let with_deny = decide(&[("its", &document), ("other", &deny)], &request);
    assert!(matches!(with_deny, PolicyDecision::ExplicitlyDenied { .. }));
    assert_ne!(with_allow, PolicyDecision::NotAllowed);
    if matches!(alone, PolicyDecision::Allowed { .. }) {
        assert!(matches!(with_allow, PolicyDecision::Allowed { .. }));
    }
}

/// A call of a tool: `{"name": …, "arguments": {…}}`. Whatever a client sends, it sets only the
/// flags of its tool, names no file, and is read by the command line as one command.
fn mcp_call(bytes: &[u8]) {
    static COMMAND: LazyLock<clap::Command> = LazyLock::new(help::command);
    const FILES: [&str; 11] = [
        "outputs",
        "html",
        "json",
        "junit",
        "markdown",
        "save",
        "from",
        "describe_tasks",
        "agents",
        "files",
        "ca_bundle",
    ];
    let Ok(Value::Object(call)) = serde_json::from_slice(bytes) else {
        return;
    };
    let (Some(name), Some(Value::Object(arguments))) = (call.get("name"), call.get("arguments"))
    else {
        return;
    };
    for allow_launch in [false, true] {
        let name = name.as_str().unwrap_or_default();
        let call = match tool::read_call(name, arguments.clone(), allow_launch) {
            Ok(call) => call,
            Err(tool::RefusedCall::UnknownTool(text) | tool::RefusedCall::Arguments(text)) => {
                assert_line(&text);
                continue;
            }
        };
        assert!(allow_launch || call.tool.name() != "launch");
        for argument in &call.arguments[1..] {
            let is_flag = argument.starts_with("--");
            let is_value = argument == "-" || (name == "causes" && !argument.starts_with('-'));
            assert!(is_flag || is_value, "{argument:?}");
        }
        let words = std::iter::once("pullprobe".to_owned()).chain(call.arguments.clone());
        // A value may be one that the flag does not take.
        let Ok(matches) = COMMAND.clone().try_get_matches_from(words) else {
            continue;
        };
        let (command, matches) = matches.subcommand().expect("a command");
        assert_eq!(command, name);
        for file in FILES {
            let Ok(Some(values)) = matches.try_get_raw(file) else {
                continue;
            };
            assert!(values.into_iter().all(|value| value == "-"), "{file}");
        }
    }
}

fn assert_line(text: &str) {
    assert!(!text.chars().any(is_hidden), "{text:?}");
}

fn assert_json(line: &str) {
    assert_line(line);
    serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Variations of a seed that a test tries: enough to break what breaks easily, in a second.
    const VARIATIONS: u64 = 40;

    /// Returns the seed with some bytes replaced, removed or repeated.
    fn varied(seed: &[u8], number: u64) -> Vec<u8> {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % below.max(1)
        };
        let mut bytes = seed.to_vec();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 if !bytes.is_empty() => bytes[at] = u8::try_from(random(256)).unwrap(),
                1 => bytes.truncate(at),
                2 => {
                    let end = (at + random(40)).min(bytes.len());
                    let part = bytes[at.min(end)..end].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => {
                    let end = (at + random(8)).min(bytes.len());
                    bytes.drain(at.min(end)..end);
                }
            }
        }
        bytes
    }

    #[test]
    fn parsers_keep_their_promises_on_seeds_and_variations() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        for (name, check) in PARSERS {
            let seeds: Vec<_> = fs::read_dir(root.join(name))
                .unwrap_or_else(|error| panic!("fuzz/seeds/{name}: {error}"))
                .map(|entry| fs::read(entry.unwrap().path()).unwrap())
                .collect();
            assert!(!seeds.is_empty(), "fuzz/seeds/{name} is empty");
            check(&[]);
            for seed in &seeds {
                check(seed);
                for number in 0..VARIATIONS {
                    check(&varied(seed, number));
                }
            }
        }
    }
}
