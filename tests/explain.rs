//! The `explain` command: its input, its output and its exit codes.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot unwrap must stop, in its helpers as well"
)]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const TIMEOUT: &str = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval \
                       failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: \
                       send request failed caused by: Post \"https://api.ecr.us-west-2.amazonaws.com/\": dial tcp \
                       52.94.184.143:443: i/o timeout";

fn explain(arguments: &[&str], stdin: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_pullprobe"));
    program
        .arg("explain")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = program.spawn().unwrap();
    // A process that does not read stdin may have exited before the write.
    let _ = running.stdin.take().unwrap().write_all(stdin.as_bytes());
    running.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn reads_the_text_from_arguments_or_stdin() {
    let words: Vec<&str> = TIMEOUT.split(' ').collect();
    for (arguments, stdin) in [
        (&[TIMEOUT][..], ""),
        (&words, ""),
        (&["-"], TIMEOUT),
        (&[], TIMEOUT),
    ] {
        let arguments = [arguments, &["--format", "json"]].concat();
        let output = explain(&arguments, stdin);
        assert_eq!(output.status.code(), Some(11), "{arguments:?}");
        let explained = &lines(&output)[0];
        assert_eq!(explained["schema"], "pullprobe/explanation/v1");
        assert_eq!(explained["message"], TIMEOUT);
        let facts = ["step", "family", "dependency", "host", "peer"]
            .map(|name| explained[name].as_str().unwrap());
        assert_eq!(
            facts,
            [
                "registry-auth",
                "network",
                "ecr.api",
                "api.ecr.us-west-2.amazonaws.com",
                "52.94.184.143"
            ]
        );
        assert_eq!(explained["findings"][0]["cause"], "no-egress-route");
        assert_eq!(explained["findings"][0]["confidence"], "possible");
        let next = explained["next"][0].as_str().unwrap_or_default();
        assert!(
            next.starts_with(
                "pullprobe launch --cluster CLUSTER --service SERVICE --region us-west-2"
            ),
            "{next}"
        );
    }
}

#[test]
fn reads_a_file() {
    let directory = std::env::temp_dir().join(format!("pullprobe-explain-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let failures = json!({ "tasks": [], "failures": [{ "reason": "RESOURCE:MEMORY" }] });
    for (name, content, code) in [
        ("reason.txt", TIMEOUT.to_owned(), 11),
        ("reason", TIMEOUT.to_owned(), 11),
        ("failures.json", failures.to_string(), 20),
    ] {
        let file = directory.join(name);
        std::fs::write(&file, content).unwrap();
        let output = explain(&[file.to_str().unwrap()], "");
        assert_eq!(output.status.code(), Some(code), "{name}");
    }
    let missing = directory.join("missing.json");
    std::fs::remove_dir_all(&directory).unwrap();
    let output = explain(&[missing.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("does not exist"), "{error}");
}

#[test]
fn prints_text() {
    let output = explain(&[TIMEOUT, "--format", "text"], "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "authenticating to Amazon ECR (step registry-auth",
        "52.94.184.143",
        "What the message proves",
        "i/o timeout",
        "Next",
        "log-driver",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn explains_each_task() {
    let task = |n: u32, reason: &str| {
        json!({ "taskArn": format!("arn:aws:ecs:us-west-2:123456789012:task/prod/{n}"), "group": "service:web",
                "clusterArn": "arn:aws:ecs:us-west-2:123456789012:cluster/prod", "stopCode": "TaskFailedToStart",
                "stoppedReason": reason, "containers": [{ "name": "web" }] })
    };
    let tasks = json!({ "tasks": [task(1, "Scaling activity initiated by deployment"), task(2, TIMEOUT)], "failures": [] });
    let output = explain(
        &["--describe-tasks", "-", "--format", "json"],
        &tasks.to_string(),
    );
    assert_eq!(output.status.code(), Some(11));
    let explained = lines(&output);
    assert_eq!(explained.len(), 2);
    assert_eq!(explained[0]["family"], "unknown");
    let next = explained[1]["next"][0].as_str().unwrap_or_default();
    assert!(
        next.starts_with("pullprobe launch --cluster prod --service web"),
        "{next}"
    );
    assert_eq!(
        explained[1]["task_arn"],
        "arn:aws:ecs:us-west-2:123456789012:task/prod/2"
    );
    assert_eq!(explained[1]["stop_code"], "TaskFailedToStart");
}

#[test]
fn unknown_messages_and_invalid_input_have_their_exit_codes() {
    let output = explain(&["my task does not start", "--format", "text"], "");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Pass the whole message"));
    for (arguments, stdin) in [
        (&["--describe-tasks", "/nowhere/task.json"][..], ""),
        (&["--describe-tasks", "-"], "no JSON"),
        (&["--describe-tasks", "-"], "{}"),
        (&["--describe-tasks", "-", "text"], "{}"),
        (&["-"], "  \n"),
        (&["--format", "xml", "text"], ""),
    ] {
        let output = explain(arguments, stdin);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
#[cfg(feature = "operator")]
fn an_arn_of_something_else_is_an_error_of_its_flag() {
    for (flag, name, error) in [
        ("--task", "arn:aws:ecs:bad", "is not a task ARN"),
        (
            "--service",
            "arn:aws:ecs:us-east-1:123456789012:task/prod/0123",
            "is not a service ARN",
        ),
    ] {
        let output = explain(&[flag, name], "");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains(&format!("{flag} {name} {error}")),
            "{stderr}"
        );
    }
}

#[test]
fn prints_the_schema() {
    let output = Command::new(env!("CARGO_BIN_EXE_pullprobe"))
        .args(["schema", "explanation"])
        .output()
        .unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["title"], "Explanation");
}
