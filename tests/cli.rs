//! Runs the built binary without a network: help, invalid arguments, and commands that do not call
//! AWS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step must end the test, in helpers as well"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pullprobe::command::environment_names;
use serde_json::Value;

const ECR: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

/// Returns the binary with an empty environment.
fn pullprobe(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pullprobe"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    pullprobe(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Writes a file into the directory of this test.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
#[cfg(all(feature = "demo", feature = "operator"))]
fn help_matches_snapshots() {
    let refresh = std::env::var_os("REFRESH_HELP").is_some();
    let mut stale = Vec::new();
    let commands = [
        "",
        "probe",
        "plan",
        "compare",
        "launch",
        "inspect",
        "install",
        "gc",
        "explain",
        "causes",
        "schema",
        "mcp",
        "completions",
        "man",
        "demo",
    ];
    for command in commands.into_iter().chain([
        "fleet",
        "fleet targets",
        "fleet run",
        "fleet print",
        "fleet bundle",
        "schedule create",
        "schedule list",
        "schedule print",
        "schedule remove",
        "schedule",
    ]) {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let output = run(&arguments);
        let help = text(&output.stdout);
        assert_eq!(
            (output.status.code(), output.stderr.is_empty()),
            (Some(0), true),
            "{command}"
        );
        let name = if command.is_empty() {
            "pullprobe".into()
        } else {
            command.replace(' ', "-")
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/help/{name}.txt"));
        if refresh {
            fs::write(&path, &help).unwrap();
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        if known != help {
            stale.push(format!(
                "{}:\n{}",
                path.display(),
                difference(&known, &help)
            ));
        }
    }
    assert!(
        stale.is_empty(),
        "help has changed. To accept it: REFRESH_HELP=1 cargo test --test cli help\n{}",
        stale.join("\n")
    );
}

/// Returns the lines that only one of the texts has.
#[cfg(all(feature = "demo", feature = "operator"))]
fn difference(known: &str, now: &str) -> String {
    let only = |a: &str, b: &str, mark: &str| -> Vec<String> {
        a.lines()
            .filter(|line| b.lines().all(|other| other != *line))
            .map(|line| format!("{mark} {line}"))
            .collect()
    };
    [only(known, now, "-"), only(now, known, "+")]
        .concat()
        .join("\n")
}

/// Checks for exit code 2, no output, and a short error with each of `words`.
fn assert_rejected(output: &Output, words: &[&str]) -> Result<(), String> {
    let (error, printed) = (text(&output.stderr), text(&output.stdout));
    let complete = words.iter().all(|word| error.contains(word));
    let is_short = !error.contains("panicked") && error.lines().count() <= 8 && error.len() < 1_500;
    if output.status.code() == Some(2) && printed.is_empty() && complete && is_short {
        return Ok(());
    }
    Err(format!(
        "exit {:?}, stdout {printed:?}, stderr without one of {words:?}:\n{error}",
        output.status.code()
    ))
}

#[test]
fn invalid_arguments_are_rejected_with_flag_and_fix() {
    let image = format!("{ECR}/app:1.4");
    let plan = text(&run(&["plan", &image, "--format", "json"]).stdout);
    let unknown_field = plan.replacen('{', r#"{"color":"red","#, 1);
    let long_group = "x".repeat(600);
    let upper = format!("{ECR}/App:1");
    let empty_tag = format!("{ECR}/app:");
    let typo = "123456789012.dkr.ecr.us-east-1.amazonawss.com/app:1";
    let cases: &[(&[&str], &[&str])] = &[
        (&["--region", "us-east-99x"], &["--region"]),
        (&["--region", "eu west 1"], &["--region"]),
        (&["--region", ""], &["--region"]),
        (&["--log-group", &long_group], &["--log-group", "600"]),
        (&["--log-group", "a b"], &["--log-group"]),
        (
            &["--secret", "arn:aws:secretsmanager:us-east-1:12:secret"],
            &["--secret"],
        ),
        (
            &["--secret", "arn:aws:s3:::bucket/key"],
            &["--secret", "secretsmanager and ssm"],
        ),
        (&["--resolver", "dns.google"], &["--resolver", "10.0.0.2"]),
        (&["--deadline", "0"], &["--deadline", "100ms"]),
        (&["--deadline", "soon"], &["--deadline", "30s"]),
        (&["--label", "color"], &["--label", "KEY=VALUE"]),
        (&["--run-id", "a:b"], &["--run-id", "letters"]),
        (&["--platform", "arm64"], &["--platform", "linux/arm64"]),
        (&["--color", "red"], &["--color"]),
    ];
    let with_image = cases
        .iter()
        .map(|(flags, words)| ([&["probe", "--image", &image], *flags].concat(), *words));
    let no_definition = file("no-definition.json", b"{\"family\": 1");
    let alone: [(Vec<&str>, &[&str]); 11] = [
        (
            vec!["probe", "--task-definition", "/nowhere/task.json"],
            &["--task-definition", "/nowhere/task.json"],
        ),
        (
            vec![
                "probe",
                "--task-definition",
                no_definition.to_str().unwrap(),
            ],
            &["--task-definition", "line 1"],
        ),
        (
            vec!["plan", "--task-definition", "-"],
            &["--task-definition - is empty", "describe-task-definition"],
        ),
        (
            vec!["probe", "--plan", "{"],
            &["--plan is not the output of `pullprobe plan"],
        ),
        (vec!["probe", "--plan", ""], &["--plan"]),
        (
            vec!["probe", "--plan", &unknown_field],
            &["--plan", "color"],
        ),
        (
            vec!["probe", "--plan", "{}", "--image", &image],
            &["--plan", "--image"],
        ),
        (
            vec!["probe", "--image", &upper],
            &["--image: repository names must be lowercase", "^"],
        ),
        (vec!["probe", "--image", &empty_tag], &["--image", "^"]),
        (
            vec!["probe", "--image", typo],
            &["--image", "^", "amazonaws.com"],
        ),
        (
            vec!["causes", "nonsense"],
            &["nonsense", "pullprobe causes"],
        ),
    ];
    let mistakes: Vec<String> = with_image
        .chain(alone)
        .filter_map(|(arguments, words)| {
            let shown: Vec<_> = arguments
                .iter()
                .map(|argument| &argument[..argument.len().min(60)])
                .collect();
            assert_rejected(&run(&arguments), words)
                .err()
                .map(|error| format!("{}: {error}", shown.join(" ")))
        })
        .collect();
    assert!(
        mistakes.is_empty(),
        "{} mistakes:\n{}",
        mistakes.len(),
        mistakes.join("\n")
    );
}

#[test]
fn invalid_ca_bundles_are_rejected() {
    let image = format!("{ECR}/app:1.4");
    let text_file = file("not-pem.txt", b"this is not a certificate\n");
    let empty = file("empty.pem", b"");
    let broken = file(
        "broken.pem",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let cases: [(&[&str], &[&str]); 4] = [
        (
            &["--ca-bundle", "/nowhere/ca.pem"],
            &["--ca-bundle", "/nowhere/ca.pem"],
        ),
        (
            &["--ca-bundle", text_file.to_str().unwrap()],
            &["--ca-bundle", "PEM"],
        ),
        (
            &["--ca-bundle", empty.to_str().unwrap()],
            &["--ca-bundle", "PEM"],
        ),
        (
            &["--ca-bundle", broken.to_str().unwrap()],
            &["--ca-bundle", "certificate"],
        ),
    ];
    for (flags, words) in cases {
        let arguments = [&["probe", "--image", &image], flags].concat();
        assert_rejected(&run(&arguments), words).unwrap();
    }
}

#[test]
fn caret_marks_the_mistake() {
    let output = run(&[
        "plan",
        "123456789012.dkr.ecr.us-east-1.amazonawss.com/app:1",
    ]);
    let error = text(&output.stderr);
    let lines: Vec<_> = error.lines().collect();
    let caret = lines
        .iter()
        .position(|line| line.trim_start().starts_with('^'))
        .unwrap_or_else(|| panic!("{error}"));
    let column = lines[caret].find('^').unwrap();
    assert!(
        lines[caret - 1][column..].starts_with("amazonawss.com"),
        "{error}"
    );
}

#[test]
fn missing_input_is_rejected() {
    assert_rejected(&run(&["probe"]), &["--image"]).unwrap();
    assert_rejected(&run(&["plan"]), &["--image"]).unwrap();
    assert_rejected(&run(&["plan", "nginx"]), &["--region", "us-east-1"]).unwrap();
    assert_rejected(&run(&[]), &["Usage"])
        .unwrap_or_else(|error| assert!(error.contains("Usage"), "{error}"));
}

#[test]
fn flags_are_read_from_the_environment() {
    let mut command = pullprobe(&["probe"]);
    command
        .env("PULLPROBE_IMAGE", format!("{ECR}/app:1.4"))
        .env("PULLPROBE_DEADLINE", "0");
    assert_rejected(&command.output().unwrap(), &["--deadline"]).unwrap();
    let names: BTreeSet<String> = environment_names("probe").into_iter().collect();
    for name in [
        "IMAGE",
        "PLAN",
        "SECRET",
        "LOG_GROUP",
        "REGION",
        "RESOLVER",
        "DEADLINE",
        "RUN_ID",
        "LABEL",
        "FORMAT",
    ] {
        assert!(names.contains(&format!("PULLPROBE_{name}")), "{name}");
    }
}

#[test]
fn task_definition_sets_only_known_variables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("task-definition.json");
    let definition: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let known = environment_names("probe");
    let containers = definition["containerDefinitions"].as_array().unwrap();
    let variables: Vec<_> = containers
        .iter()
        .flat_map(|c| c["environment"].as_array().unwrap())
        .collect();
    assert!(!variables.is_empty());
    for variable in variables {
        let name = variable["name"].as_str().unwrap();
        assert!(
            known.iter().any(|known| known == name),
            "{name} is not read by the binary: {known:?}"
        );
    }
}

#[test]
fn causes_are_listed_and_have_pages() {
    let list = text(&run(&["causes"]).stdout);
    for cause in pullprobe::cause::Cause::ALL {
        assert!(
            list.contains(&format!("  {cause} ")),
            "{cause} is not in the list"
        );
    }
    let page = run(&["causes", "s3-gateway-missing"]);
    assert_eq!(page.status.code(), Some(0));
    assert!(text(&page.stdout).starts_with("s3-gateway-missing\n"));
    #[cfg(feature = "operator")]
    {
        let typo = run(&["causes", "s3-gatway-missing"]);
        assert_rejected(
            &typo,
            &["s3-gatway-missing", "did you mean s3-gateway-missing?"],
        )
        .unwrap();
    }
}

/// Removes what the image's schemas leave out.
fn remove_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.retain(|name, value| name != "description" || !value.is_string());
            members.values_mut().for_each(remove_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_descriptions),
        _ => {}
    }
}

#[test]
fn schema_prints_the_file_of_each_document() {
    let of_operator: &[&str] = if cfg!(feature = "operator") {
        &["inspection"]
    } else {
        &[]
    };
    let documents = ["report", "explanation", "comparison"];
    for document in documents.iter().chain(of_operator) {
        let path = format!("{}/schemas/{document}-v1.json", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read_to_string(path).unwrap();
        let printed = text(&run(&["schema", document]).stdout);
        if cfg!(feature = "operator") {
            assert_eq!(printed, file, "{document}");
        } else {
            let mut expected: Value = serde_json::from_str(&file).unwrap();
            remove_descriptions(&mut expected);
            let printed: Value = serde_json::from_str(&printed).unwrap();
            assert_eq!(printed, expected, "{document}");
        }
    }
    let schema: Value = serde_json::from_slice(&run(&["schema"]).stdout).unwrap();
    assert!(schema["$schema"].is_string() && schema["properties"]["verdict"].is_object());
}

#[test]
fn printed_plan_is_accepted_by_probe() {
    let image = format!("{ECR}/team/app:1.4");
    let printed = text(&run(&["plan", &image, "--log-group", "/ecs/app"]).stdout);
    for part in [
        "api.ecr.us-east-1.amazonaws.com:443",
        "com.amazonaws.us-east-1.s3",
        "ecr:BatchGetImage",
    ] {
        assert!(printed.contains(part), "{part} is not in\n{printed}");
    }
    let json = text(
        &run(&[
            "plan",
            &image,
            "--log-group",
            "/ecs/app",
            "--format",
            "json",
        ])
        .stdout,
    );
    assert_eq!(json.lines().count(), 1);
    let plan: Value = serde_json::from_str(&json).unwrap();
    // A resolver on a closed port: the probe ends within a second, with a report.
    let closed = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut command = pullprobe(&[
        "probe",
        "--resolver",
        &closed.to_string(),
        "--deadline",
        "4s",
    ]);
    // As in an override, which cannot unset variables of the task definition, only empty them.
    command
        .env("PULLPROBE_PLAN", &json)
        .env("PULLPROBE_IMAGE", "")
        .env("PULLPROBE_LOG_GROUP", "");
    let output = command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["plan"], plan);
    assert_eq!(report["verdict"]["status"], "fail");
    assert_eq!(
        Some(i64::from(output.status.code().unwrap())),
        report["verdict"]["exit_code"].as_i64()
    );
}

/// A resolver and an ECS agent that the probe must not contact.
struct UnusedServers {
    resolver: std::net::UdpSocket,
    agent: std::net::TcpListener,
}

impl UnusedServers {
    fn new() -> Self {
        let resolver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let agent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        resolver.set_nonblocking(true).unwrap();
        agent.set_nonblocking(true).unwrap();
        Self { resolver, agent }
    }

    /// Returns `pullprobe probe` in a task with these servers.
    fn probe(&self, arguments: &[&str]) -> Command {
        let resolver = self.resolver.local_addr().unwrap().to_string();
        let agent = format!("http://{}", self.agent.local_addr().unwrap());
        let mut command = pullprobe(
            &[
                &["probe", "--resolver", &resolver, "--region", "us-east-1"],
                arguments,
            ]
            .concat(),
        );
        command.env("ECS_CONTAINER_METADATA_URI_V4", format!("{agent}/v4/x"));
        command.env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("{agent}/credentials"),
        );
        command
    }

    fn were_contacted(&self) -> bool {
        self.resolver.recv(&mut [0; 512]).is_ok() || self.agent.accept().is_ok()
    }
}

#[test]
fn the_path_of_the_credentials_endpoint_hides_no_word_of_the_report() {
    for path in [
        "/v1/credentials",
        "/v2/credentials/5f1a7c2e-93d4-4b8e-a6f0-2c1d9e8b7a65",
    ] {
        let output = pullprobe(&[
            "probe",
            "--image",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1",
            "--region",
            "us-east-1",
            "--resolver",
            "127.0.0.1:9",
            "--deadline",
            "3s",
            "--format",
            "json",
        ])
        .env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://127.0.0.1:9{path}"),
        )
        .output()
        .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let observations = report["observations"].as_array().unwrap();
        let credentials = observations
            .iter()
            .find(|seen| seen["id"] == "credentials/read")
            .unwrap_or_else(|| panic!("{report}"));
        let detail = credentials["detail"].as_str().unwrap();
        assert!(!detail.contains("[redacted]"), "{detail}");
        assert!(!report.to_string().contains("5f1a7c2e"), "{report}");
    }
}

#[test]
fn invalid_task_definitions_and_plans_are_rejected_before_any_request() {
    let containers = |count: usize| -> Vec<Value> {
        (0..count).map(|n| serde_json::json!({ "name": format!("c{n}"), "image": format!("{ECR}/app:{n}") })).collect()
    };
    let definition = |containers: &[Value]| {
        serde_json::json!({ "family": "app", "executionRoleArn": "role", "containerDefinitions": containers })
            .to_string()
    };
    let mut cyclic = containers(3);
    for (n, container) in cyclic.iter_mut().enumerate() {
        let next = format!("c{}", (n + 1) % 3);
        container["dependsOn"] =
            serde_json::json!([{ "containerName": next, "condition": "START" }]);
    }
    let mut secrets = containers(10);
    for (n, container) in secrets.iter_mut().enumerate() {
        let secret = |m| {
            let name = format!("{n}-{m}-{}", "a-secret-with-a-long-name".repeat(3));
            serde_json::json!({ "name": "A", "valueFrom": format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}") })
        };
        container["secrets"] = (0..12).map(secret).collect();
    }
    let servers = UnusedServers::new();
    for (name, document, words) in [
        (
            "cut.json",
            "{\"containerDefinitions\": [".into(),
            &["cut.json is not valid JSON", "line 1"][..],
        ),
        (
            "5-mb.json",
            definition(&containers(60_000)),
            &["262144 bytes"],
        ),
        (
            "300.json",
            definition(&containers(300)),
            &["containerDefinitions: 300 containers", "1 to 10"],
        ),
        (
            "cyclic.json",
            definition(&cyclic),
            &["containerDefinitions[0]", "c0 → c1 → c2 → c0"],
        ),
        ("deep.json", "[".repeat(200_000), &["recursion limit"]),
        (
            "type.json",
            definition(&[serde_json::json!({ "image": 1 })]),
            &["containerDefinitions[0].image", "a number"],
        ),
    ] {
        let path = file(name, document.as_bytes());
        let output = servers
            .probe(&["--task-definition", path.to_str().unwrap()])
            .output()
            .unwrap();
        assert_rejected(&output, &[&["--task-definition"], words].concat()).unwrap();
        let output = run(&[
            "plan",
            "--region",
            "us-east-1",
            "--task-definition",
            path.to_str().unwrap(),
        ]);
        assert_rejected(&output, words).unwrap();
    }
    let large = file("large.json", definition(&secrets).as_bytes());
    let from_file = [
        "plan",
        "--region",
        "us-east-1",
        "--task-definition",
        large.to_str().unwrap(),
    ];
    assert!(run(&from_file).status.success());
    // Only RunTask has a limit, so the plan is printed, and the limit with what to do about it.
    let output = run(&[&from_file[..], &["--format", "json"]].concat());
    assert!(output.status.success() && output.stdout.len() > 8_192);
    let note = String::from_utf8(output.stderr).unwrap();
    for words in ["8192", "characters", "--task-definition s3://BUCKET/KEY"] {
        assert!(note.contains(words), "{note}");
    }
    let output = servers
        .probe(&["--plan", &format!("{{{}}}", " ".repeat(9_000))])
        .output()
        .unwrap();
    assert_rejected(&output, &["pullprobe plan --format json"]).unwrap();
    assert!(!servers.were_contacted());
}

#[test]
fn unreadable_remote_task_definition_is_an_error_with_an_alternative() {
    let remote = "s3://configuration/task.json";
    assert_rejected(
        &run(&["plan", "--task-definition", remote]),
        &["offline", "--task-definition -"],
    )
    .unwrap();
    assert_rejected(
        &run(&[
            "probe",
            "--task-definition",
            "arn:aws:ecs:us-east-1:123456789012:task-definition/a:1",
        ]),
        &["describe"],
    )
    .unwrap();
    let closed = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let arguments = [
        "probe",
        "--task-definition",
        remote,
        "--region",
        "us-east-1",
        "--resolver",
        &closed,
        "--deadline",
        "30s",
    ];
    let mut command = pullprobe(&arguments);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "x");
    let words = [
        remote,
        "cannot connect to configuration.s3.us-east-1.amazonaws.com",
        "resolve",
        "--plan",
    ];
    assert_rejected(&command.output().unwrap(), &words).unwrap();
    assert_rejected(
        &run(&[&arguments[..], &["--image", "App"]].concat()),
        &["--image"],
    )
    .unwrap();
    let without = pullprobe(&arguments)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    assert_rejected(&without, &["credentials"]).unwrap();
}

#[test]
fn plan_includes_sidecars_or_the_error_names_an_alternative() {
    let image = format!("{ECR}/app:1");
    let plan = |region: &str, flags: &[&str]| {
        run(&[&["plan", &image, "--region", region], flags].concat())
    };
    let printed = text(
        &plan(
            "us-east-1",
            &[
                "--enable-execute-command",
                "--service-connect",
                "--expect-injected",
                "guardduty",
            ],
        )
        .stdout,
    );
    for host in [
        "ssmmessages.us-east-1.amazonaws.com:443",
        "ecs-sc.us-east-1.api.aws:443",
        "ecs-a.us-east-1.amazonaws.com:443",
        "593207742271.dkr.ecr",
    ] {
        assert!(printed.contains(host), "{host} is not in\n{printed}");
    }
    assert_rejected(
        &plan("cn-north-1", &["--expect-injected", "guardduty"]),
        &["--expect-injected", "--image"],
    )
    .unwrap();
    assert_rejected(
        &plan("cn-north-1", &["--service-connect"]),
        &["--service-connect"],
    )
    .unwrap();
}

/// A process that cannot open connections must not blame the network.
#[test]
#[cfg(unix)]
fn low_limit_of_open_files_is_an_error_of_the_tool() {
    for limit in ["12", "16", "64"] {
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        let output = Command::new("/bin/sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_pullprobe"), "probe"])
            .args([
                "--image",
                &format!("{ECR}/app:1"),
                "--resolver",
                "127.0.0.1:9",
            ])
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.contains(&format!("may open only {limit} files")) && error.contains("ulimit -n"),
            "{error}"
        );
        assert!(output.stdout.is_empty(), "there is no report");
    }
}

/// Missing credentials say nothing about a task where the probe does not run in one.
#[test]
fn missing_credentials_outside_ecs_are_not_a_failure() {
    let run = |variables: &[(&str, &str)]| {
        let output = pullprobe(&["probe", "--format", "json", "--resolver", "127.0.0.1:9"])
            .args([
                "--log-group",
                "/app",
                "--region",
                "us-east-1",
                "--deadline",
                "3s",
            ])
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        let read = |o: &&Value| o["id"] == "credentials/read";
        let observations = report["observations"].as_array().unwrap();
        observations.iter().find(read).unwrap().clone()
    };
    let outside = run(&[]);
    assert_eq!(outside["outcome"], "not-checked", "{outside}");
    assert!(
        outside["why"].to_string().contains("task execution role"),
        "{outside}"
    );
    let inside = run(&[("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:9/v4/x")]);
    assert_eq!(inside["failure"], "no-credentials", "{inside}");
}

#[test]
fn closed_pipe_is_not_an_error() {
    for arguments in [&["causes"][..], &["schema"], &["causes", "network-acl"]] {
        let mut child = pullprobe(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut error = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut error)
            .unwrap();
        let status = child.wait().unwrap();
        assert!(
            status.success() && error.is_empty(),
            "{arguments:?}: {status} {error}"
        );
    }
    let _ = std::io::stdout().flush();
}

/// The binary in the probe's image has no pages, and says where they are.
#[test]
#[cfg(not(feature = "operator"))]
fn small_binary_names_the_full_one() {
    for format in ["html", "svg"] {
        let output = run(&["probe", "--image", ECR, "--format", format]);
        assert_eq!(output.status.code(), Some(2));
        let error = text(&output.stderr);
        assert!(
            error.contains("pullprobe compare - --format html"),
            "{error}"
        );
        assert!(output.stdout.is_empty());
    }
}

/// Commands of the full binary that a completion offers.
#[cfg(all(feature = "demo", feature = "operator"))]
const COMPLETED: [&str; 4] = ["launch", "inspect", "explain", "completions"];

#[test]
#[cfg(all(feature = "demo", feature = "operator"))]
fn completions_load_in_their_shell() {
    let script = |shell| {
        let output = run(&["completions", shell]);
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), String::new())
        );
        text(&output.stdout)
    };
    let bash = file("completions.bash", script("bash").as_bytes());
    let complete = "source \"$1\"; COMP_WORDS=(pullprobe \"$2\"); COMP_CWORD=1; \
                    _pullprobe pullprobe \"$2\" pullprobe; printf '%s\\n' \"${COMPREPLY[@]}\"";
    for command in COMPLETED {
        let begun = &command[..3];
        let bash = bash.to_str().unwrap();
        let output = Command::new("bash")
            .args(["--norc", "--noprofile", "-c", complete, "bash", bash, begun])
            .output()
            .unwrap();
        let offered = text(&output.stdout);
        assert!(
            offered.lines().any(|line| line == command),
            "{begun}: {offered:?}"
        );
        assert_eq!(text(&output.stderr), "");
    }
    let zsh = script("zsh");
    assert!(zsh.starts_with("#compdef pullprobe"));
    let load = "autoload -U compinit; compinit -u -D; source \"$1\"; whence -w _pullprobe";
    let zsh = file("completions.zsh", zsh.as_bytes());
    let loaded = Command::new("zsh")
        .args(["-f", "-c", load, "zsh"])
        .arg(&zsh)
        .output();
    if let Ok(loaded) = loaded {
        assert_eq!(text(&loaded.stderr), "");
        assert_eq!(text(&loaded.stdout), "_pullprobe: function\n");
    } else {
        // Not every machine has it; the script's commands are those of bash.
        let zsh = fs::read_to_string(zsh).unwrap();
        assert!(
            COMPLETED
                .iter()
                .all(|command| zsh.contains(&format!("({command})")))
        );
    }
    for shell in ["fish", "powershell", "elvish"] {
        assert!(script(shell).contains("pullprobe"), "{shell}");
    }
    let unknown = run(&["completions", "tcsh"]);
    assert_rejected(&unknown, &["tcsh", "bash", "zsh"]).unwrap();
}

#[test]
#[cfg(all(feature = "demo", feature = "operator"))]
fn manual_pages_render() {
    /// Requests of `man(7)` and `groff(7)` that the pages use.
    const REQUESTS: [&str; 12] = [
        ".TH", ".SH", ".SS", ".TP", ".PP", ".RS", ".RE", ".br", ".ie", ".el", ".IP", ".nf",
    ];
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("man");
    let output = run(&["man", directory.to_str().unwrap()]);
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(0), String::new())
    );
    for page in [
        "pullprobe",
        "pullprobe-launch",
        "pullprobe-schedule-create",
        "pullprobe-mcp",
    ] {
        let path = directory.join(format!("{page}.1"));
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
        for line in source.lines().filter(|line| line.starts_with('.')) {
            let request = line.split(' ').next().unwrap();
            assert!(REQUESTS.contains(&request), "{page}: {line:?}");
        }
        let groff = Command::new("groff")
            .args(["-man", "-Tutf8", "-P-cbou", "-wall"])
            .arg(&path)
            .output();
        let Ok(groff) = groff else { continue };
        assert_eq!(text(&groff.stderr), "", "{page}");
        let rendered = text(&groff.stdout);
        for part in ["NAME", "SYNOPSIS", "OPTIONS", "Examples:"] {
            assert!(rendered.contains(part), "{page}: no {part}");
        }
    }
    let one = text(&run(&["man"]).stdout);
    assert!(
        one.contains(".TH pullprobe 1") && one.contains("launch"),
        "{one}"
    );
    let nowhere = run(&["man", "/proc/nowhere"]);
    assert_rejected(&nowhere, &["/proc/nowhere", "pullprobe man"]).unwrap();
}

#[test]
#[cfg(feature = "operator")]
fn causes_are_a_closed_list_for_programs() {
    let line = text(&run(&["causes", "--format", "json"]).stdout);
    let list: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(list["schema"], "pullprobe/causes/v1");
    let causes = list["causes"].as_array().unwrap();
    assert_eq!(causes.len(), pullprobe::cause::Cause::ALL.len());
    let page = text(&run(&["causes", "network-acl", "--format", "json"]).stdout);
    let page: Value = serde_json::from_str(&page).unwrap();
    let [cause] = page["causes"].as_array().unwrap().as_slice() else {
        panic!("{page}")
    };
    assert_eq!(
        (&cause["family"], &cause["exit_code"]),
        (&"network".into(), &11.into())
    );
    // The page is Markdown there, and text for people.
    assert_eq!(
        cause["page"],
        pullprobe::cause::Cause::NetworkAcl.page(),
        "{cause}"
    );
    let shown = text(&run(&["causes", "network-acl"]).stdout);
    assert!(shown.contains(cause["summary"].as_str().unwrap()) && !shown.contains("##"));
}

/// Answers each connection with the next of `answers`, and the last one for ever.
#[cfg(feature = "operator")]
fn serve(answers: &'static [&'static str]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for number in 0.. {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 16 * 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answers[number.min(answers.len() - 1)].as_bytes());
        }
    });
    format!("http://someone:password-canary@{address}")
}

/// Each secret of a call has a place of its own: the credentials, the URL, the answer's headers and body.
#[test]
#[cfg(feature = "operator")]
fn the_log_names_calls_and_waits_and_no_secret() {
    const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYcanary01";
    const TOKEN: &str = "IQoJb3JpZ2luX2VjcanaryToken0123456789";
    const THROTTLED: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nx-amzn-RequestId: 0f1e-throttled\r\n\
        Set-Cookie: session=cookie-canary\r\n\r\n{\"__type\":\"ThrottlingException\",\"message\":\"body-canary\"}";
    const REFUSED: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nx-amzn-RequestId: token=id-canary\r\n\
        \r\n{\"__type\":\"password=type-canary\u{202e}\",\"message\":\"body-canary\"}";
    let described = |flags: &[&str]| {
        let endpoint = serve(&[THROTTLED, REFUSED]);
        let arguments = [&["explain", "--service", "web", "--cluster", "prod"], flags].concat();
        let output = pullprobe(&arguments)
            .envs([
                ("AWS_ENDPOINT_URL", endpoint.as_str()),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7CANARY1"),
                ("AWS_SECRET_ACCESS_KEY", SECRET),
                ("AWS_SESSION_TOKEN", TOKEN),
                ("AWS_EC2_METADATA_DISABLED", "true"),
            ])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let log = |error: &str| -> Vec<String> {
        let is_log = |line: &&str| line.contains(" INFO ") || line.contains("DEBUG ");
        error.lines().filter(is_log).map(str::to_owned).collect()
    };
    // The command's own error is the only line.
    let silent = described(&[]);
    assert_eq!(
        (silent.lines().count(), log(&silent).len()),
        (1, 0),
        "{silent}"
    );
    let once = log(&described(&["-v"]));
    let calls: Vec<_> = once
        .iter()
        .filter(|line| line.contains("AWS call"))
        .collect();
    assert_eq!(calls.len(), 2, "{once:?}");
    for (part, call) in [
        "status=400",
        "ThrottlingException",
        "0f1e-throttled",
        "attempt=1",
    ]
    .map(|part| (part, calls[0]))
    .into_iter()
    .chain(["ecs:DescribeServices", "eu-west-1", "attempt=2", "ms="].map(|part| (part, calls[1])))
    {
        assert!(call.contains(part), "no {part} in {call:?}");
    }
    assert!(
        once.iter().any(|line| line.contains("pause_ms=")),
        "{once:?}"
    );
    let twice = log(&described(&["explain", "-vv"][1..]));
    assert!(
        twice.iter().any(|line| line.contains("host=\"127.0.0.1\"")),
        "{twice:?}"
    );
    assert!(twice.len() > once.len());
    for line in once.iter().chain(&twice) {
        for canary in [
            "canary",
            "CANARY",
            "\u{1b}",
            "\u{202e}",
            "Signature",
            "services",
        ] {
            assert!(!line.contains(canary), "{canary:?} in {line:?}");
        }
    }
}

#[test]
#[cfg(feature = "operator")]
fn messages_are_pages_and_pictures() {
    let timeout = "unable to retrieve ecr registry auth: service call has been retried 3 time(s): \
                   RequestError: send request failed caused by: Post \
                   \"https://api.ecr.us-east-1.amazonaws.com/\": dial tcp 52.94.133.131:443: i/o timeout";
    let page = run(&["explain", "--format", "html", timeout]);
    assert_eq!(page.status.code(), Some(11));
    assert!(text(&page.stdout).starts_with("<!doctype html>"));
    let drawn = run(&["explain", "--format", "svg", timeout]);
    assert_eq!(drawn.status.code(), Some(11));
    assert!(text(&drawn.stdout).starts_with("<svg "));

    let nothing = run(&[
        "explain",
        "--format",
        "svg",
        "OutOfMemoryError: container killed",
    ]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).contains("use --format html"));
    // It prints each report as it comes, which no page can be.
    let refused = run(&[
        "launch",
        "--cluster",
        "prod",
        "--service",
        "web",
        "--format",
        "html",
    ]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("auto, json, text"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
#[cfg(feature = "operator")]
fn a_tool_server_without_a_client_says_who_starts_it() {
    assert_rejected(&run(&["mcp"]), &["MCP client", "\"args\": [\"mcp\"]"]).unwrap();
}
