//! `modules/schedule` is what `schedule print --format terraform` prints, with variables in place of
//! the values.
#![cfg(feature = "operator")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test panic as the test does"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What a user of the module chooses, and `print` has as flags.
struct Values {
    name: &'static str,
    cluster: &'static str,
    region: &'static str,
    account: &'static str,
    role: &'static str,
    subnet: &'static str,
    security_group: &'static str,
    probe_image: &'static str,
    architecture: &'static str,
    minutes: u32,
    retention: u32,
    topic: &'static str,
    public_ip: bool,
}

/// The values that the module's file is made from. None is part of another, or of the text around.
const MADE_FROM: Values = Values {
    name: "the-name",
    cluster: "the-cluster",
    region: "eu-central-1",
    account: "111122223333",
    role: "arn:aws:iam::111122223333:role/the-role",
    subnet: "subnet-0aaaaaaaa",
    security_group: "sg-0bbbbbbbb",
    probe_image: "111122223333.dkr.ecr.eu-central-1.amazonaws.com/the-probe:9.8.7",
    architecture: "ARM64",
    minutes: 37,
    retention: 731,
    topic: "arn:aws:sns:eu-central-1:111122223333:the-topic",
    public_ip: true,
};

/// Other values, with which the module must become what is printed for them.
const CHECKED_WITH: Values = Values {
    name: "prod.web",
    cluster: "prod",
    region: "us-west-2",
    account: "444455556666",
    role: "arn:aws:iam::444455556666:role/ecsTaskExecutionRole",
    subnet: "subnet-0123456789abcdef0",
    security_group: "sg-0123456789abcdef0",
    probe_image: "444455556666.dkr.ecr.us-west-2.amazonaws.com/pullprobe:0.1.0",
    architecture: "X86_64",
    minutes: 15,
    retention: 30,
    topic: "arn:aws:sns:us-west-2:444455556666:oncall",
    public_ip: false,
};

/// Returns the task definition to probe.
fn definition(values: &Values) -> String {
    let (account, region) = (values.account, values.region);
    json!({
        "family": "app",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": values.role,
        "runtimePlatform": { "cpuArchitecture": values.architecture },
        "containerDefinitions": [{
            "name": "app",
            "image": format!("{account}.dkr.ecr.{region}.amazonaws.com/team/app:1.4"),
            "secrets": [{ "name": "MODE", "valueFrom": "/app/mode" }],
        }],
    })
    .to_string()
}

/// Runs the program with a task definition on stdin, in an empty environment.
fn run(arguments: &[&str], input: &str) -> String {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut program = Command::new(env!("CARGO_BIN_EXE_pullprobe"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let done = program.wait_with_output().unwrap();
    assert!(done.status.success(), "{arguments:?}");
    String::from_utf8(done.stdout).unwrap()
}

fn printed(values: &Values) -> String {
    let (every, retention) = (format!("{}m", values.minutes), values.retention.to_string());
    let mut arguments = vec!["schedule", "print", "--format", "terraform"];
    arguments.extend(["--every", &every, "--name", values.name]);
    arguments.extend(["--cluster", values.cluster, "--region", values.region]);
    arguments.extend(["--task-definition", "-", "--subnets", values.subnet]);
    arguments.extend(["--security-groups", values.security_group]);
    arguments.extend(["--probe-image", values.probe_image]);
    arguments.extend(["--retention", &retention, "--alarm-action", values.topic]);
    if values.public_ip {
        arguments.push("--assign-public-ip");
    }
    run(&arguments, &definition(values))
}

/// Returns the line of `text` that begins with `start`, without the spaces before it.
fn line<'a>(text: &'a str, start: &str) -> &'a str {
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with(start));
    line.unwrap_or_else(|| panic!("no line {start:?}"))
        .trim_start()
}

/// What is printed for some values, and what the module has in its place, in the order in which it
/// is replaced.
fn places(values: &Values, printed: &str) -> Vec<(String, String)> {
    let (subnet, region, minutes) = (values.subnet, values.region, values.minutes);
    let identifier = subnet.replace('-', "_");
    let each = "var.subnets[count.index]";
    let counted = |kind: &str, name: &str| {
        format!("resource \"{kind}\" \"{name}\" {{\n  count               = length(var.subnets)\n")
    };
    let opened = |kind: &str, name: &str| format!("resource \"{kind}\" \"{name}\" {{\n");
    let alarm = "aws_cloudwatch_metric_alarm";
    let (partition, here) = (
        "${data.aws_partition.current.partition}",
        "${data.aws_region.current.id}",
    );
    let quoted = |text: &str| format!("\"{text}\"");
    let name = values.name;
    let pairs: Vec<(String, String)> = vec![
        (
            line(printed, "family ").into(),
            "family                   = local.family".into(),
        ),
        (
            line(printed, "input ").into(),
            "input    = local.inputs[count.index]".into(),
        ),
        (
            opened("aws_scheduler_schedule", &identifier),
            counted("aws_scheduler_schedule", "probe"),
        ),
        (
            opened(alarm, &format!("failed_{identifier}")),
            counted(alarm, "failed"),
        ),
        (
            opened(alarm, &format!("no_data_{identifier}")),
            counted(alarm, "no_data"),
        ),
        (quoted(values.role), "var.execution_role_arn".into()),
        (quoted(values.probe_image), "var.probe_image".into()),
        (
            format!("[{}]", quoted(values.topic)),
            "var.alarm_actions".into(),
        ),
        (
            format!("[{}]", quoted(values.security_group)),
            "var.security_groups".into(),
        ),
        (quoted(subnet), each.into()),
        (subnet.into(), format!("${{{each}}}")),
        (
            format!("rate({minutes} minutes)"),
            "rate(${var.interval_minutes} minutes)".into(),
        ),
        (
            format!("for {} minutes", minutes * 3),
            "for ${var.interval_minutes * 3} minutes".into(),
        ),
        (
            format!("= {}\n", minutes * 60),
            "= var.interval_minutes * 60\n".into(),
        ),
        (
            format!("_in_days = {}", values.retention),
            "_in_days = var.retention_days".into(),
        ),
        (quoted(values.architecture), "var.cpu_architecture".into()),
        (
            format!("assign_public_ip = {}", values.public_ip),
            "assign_public_ip = var.assign_public_ip".into(),
        ),
        (
            format!("arn:aws:ecs:{region}:"),
            format!("arn:{partition}:ecs:{here}:"),
        ),
        (
            format!("arn:aws:scheduler:{region}:"),
            format!("arn:{partition}:scheduler:{here}:"),
        ),
        (quoted(region), "data.aws_region.current.id".into()),
        (
            format!("cluster/{}\"", values.cluster),
            "cluster/${var.cluster}\"".into(),
        ),
        (
            format!("task/{}/", values.cluster),
            "task/${var.cluster}/".into(),
        ),
        (format!("\"/pullprobe/{name}\""), "local.log_group".into()),
        (
            format!("/pullprobe/{name}\""),
            "${local.log_group}\"".into(),
        ),
        (format!("pullprobe-{name}"), "pullprobe-${var.name}".into()),
        (quoted(name), "var.name".into()),
        (format!("\"{name}"), "\"${var.name}".into()),
        (format!(": {name}"), ": ${var.name}".into()),
    ];
    pairs
}

/// Returns the environment that a schedule gives to the probe, as the items of an HCL list.
fn environment(values: &Values, printed: &str) -> String {
    let input = line(printed, "input ");
    let text: String = serde_json::from_str(input.split_once("= ").unwrap().1).unwrap();
    let input: Value = serde_json::from_str(&text).unwrap();
    let overrides = &input["containerOverrides"];
    assert_eq!(input.as_object().unwrap().len(), 1, "{input}");
    assert_eq!(overrides.as_array().unwrap().len(), 1, "{input}");
    assert_eq!(overrides[0]["name"], "pullprobe", "{input}");
    let mut items = String::new();
    for variable in overrides[0]["environment"].as_array().unwrap() {
        let (name, value) = (
            variable["name"].as_str().unwrap(),
            variable["value"].as_str().unwrap(),
        );
        let value = if name == "PULLPROBE_PLAN" {
            "var.plan".to_owned()
        } else {
            let value = value.replace(values.subnet, "${subnet}");
            format!("\"{}\"", value.replace(values.name, "${var.name}"))
        };
        let _ = writeln!(items, "        {{ name = \"{name}\", value = {value} }},");
    }
    items
}

/// Returns the file of the module that is made from what is printed.
fn module(values: &Values) -> String {
    let printed = printed(values);
    let (_, resources) = printed.split_once("data \"aws_caller_identity\"").unwrap();
    let mut resources = format!("data \"aws_caller_identity\"{resources}");
    for (value, variable) in places(values, &printed) {
        assert!(resources.contains(&value), "{value:?} is not printed");
        resources = resources.replace(&value, &variable);
    }
    let environment = environment(values, &printed);
    format!(
        r#"# What `pullprobe schedule print --format terraform` prints, with variables in place of the values.
# Made by `REFRESH_DOCS=1 cargo test --test modules`: change the program and not this file.

data "aws_region" "current" {{}}

data "aws_partition" "current" {{}}

{resources}
locals {{
  family    = "pullprobe-${{replace(var.name, "/[^0-9A-Za-z_-]/", "-")}}"
  log_group = "/pullprobe/${{var.name}}"
  inputs = [for subnet in var.subnets : jsonencode({{
    containerOverrides = [{{
      environment = [
{environment}      ]
      name = "pullprobe"
    }}]
  }})]
}}
"#
    )
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join("modules/schedule").join(file)).unwrap()
}

#[test]
fn schedule_is_what_is_printed() {
    let made = module(&MADE_FROM);
    if std::env::var_os("REFRESH_DOCS").is_some() {
        fs::write(Path::new(ROOT).join("modules/schedule/main.tf"), &made).unwrap();
        return;
    }
    assert!(read("main.tf") == made, "REFRESH_DOCS=1 writes main.tf");
}

/// Every value that can be chosen is a variable, because other values give the same module.
#[test]
fn schedule_has_a_variable_for_every_value() {
    assert_eq!(module(&CHECKED_WITH), module(&MADE_FROM));
    let made = module(&MADE_FROM);
    for value in [
        MADE_FROM.name,
        MADE_FROM.cluster,
        MADE_FROM.region,
        MADE_FROM.account,
    ] {
        assert!(!made.contains(value), "{value}");
    }
}

/// Returns the names after `keyword` in a file of the module.
fn declared(file: &str, keyword: &str) -> BTreeSet<String> {
    let start = format!("{keyword} \"");
    read(file)
        .lines()
        .filter_map(|line| Some(line.strip_prefix(&start)?.split('"').next()?.to_owned()))
        .collect()
}

#[test]
fn schedule_declares_and_describes_what_it_uses() {
    let main = read("main.tf");
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = main.split("var.").skip(1);
    let used: BTreeSet<_> = names
        .map(|rest| rest.split(|c| !is_part(c)).next().unwrap().to_owned())
        .collect();
    let variables = declared("variables.tf", "variable");
    assert_eq!(used, variables);
    let readme = read("README.md");
    let outputs = declared("outputs.tf", "output");
    assert!(!outputs.is_empty());
    for name in variables.iter().chain(&outputs) {
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
    }
    let example = read("examples/service/main.tf");
    let optional: BTreeSet<_> = variables_with_default().collect();
    for name in variables.difference(&optional) {
        assert!(example.contains(&format!("  {name} ")), "{name}");
    }
}

/// Returns the variables that need not be set.
fn variables_with_default() -> impl Iterator<Item = String> {
    let text = read("variables.tf");
    let blocks: Vec<_> = text.split("\nvariable \"").map(str::to_owned).collect();
    let optional = blocks
        .into_iter()
        .filter(|block| block.contains("\n  default "));
    optional.map(|block| {
        let name = block.trim_start_matches("variable \"");
        name.split('"').next().unwrap().to_owned()
    })
}
