//! `modules/schedule` is what `schedule print --format terraform` prints, and `modules/fleet` what
//! `fleet print` prints, with variables in place of the values.
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
    read_of("schedule", file)
}

fn read_of(module: &str, file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join("modules").join(module).join(file)).unwrap()
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

/// Returns the names after `keyword` in a file of a module.
fn declared(module: &str, file: &str, keyword: &str) -> BTreeSet<String> {
    let start = format!("{keyword} \"");
    read_of(module, file)
        .lines()
        .filter_map(|line| Some(line.strip_prefix(&start)?.split('"').next()?.to_owned()))
        .collect()
}

#[test]
fn schedule_declares_and_describes_what_it_uses() {
    let example = read("examples/service/main.tf");
    assert_declared_and_described("schedule", &example);
}

/// Every variable that `main.tf` uses is declared, and the reverse; variables and outputs are in the
/// README, and the example sets what has no default.
fn assert_declared_and_described(module: &str, example: &str) {
    let main = read_of(module, "main.tf");
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = main.split("var.").skip(1);
    let used: BTreeSet<_> = names
        .map(|rest| rest.split(|c| !is_part(c)).next().unwrap().to_owned())
        .collect();
    let variables = declared(module, "variables.tf", "variable");
    assert_eq!(used, variables, "{module}");
    let readme = read_of(module, "README.md");
    let outputs = declared(module, "outputs.tf", "output");
    assert!(!outputs.is_empty());
    for name in variables.iter().chain(&outputs) {
        assert!(
            readme.contains(&format!("| `{name}` |")),
            "{module}: {name}"
        );
    }
    let optional: BTreeSet<_> = variables_with_default(module).collect();
    for name in variables.difference(&optional) {
        assert!(example.contains(&format!("  {name} ")), "{module}: {name}");
    }
}

/// Returns the variables that need not be set.
fn variables_with_default(module: &str) -> impl Iterator<Item = String> {
    let text = read_of(module, "variables.tf");
    let blocks: Vec<_> = text.split("\nvariable \"").map(str::to_owned).collect();
    let optional = blocks
        .into_iter()
        .filter(|block| block.contains("\n  default "));
    optional.map(|block| {
        let name = block.trim_start_matches("variable \"");
        name.split('"').next().unwrap().to_owned()
    })
}

/// A module of the fleet: its directory, the flags of `fleet print`, and the variables that replace
/// values.
struct FleetModule {
    directory: &'static str,
    part: &'static [&'static str],
    variables: &'static str,
}

const FLEET: [FleetModule; 3] = [
    FleetModule {
        directory: "fleet",
        part: &["--dashboard"],
        variables: r#"variable "name" {
  type        = string
  description = "Name of the fleet, which becomes part of the names of its resources"
  default     = "pullprobe-fleet"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.name))
    error_message = "The name has 1 to 30 lower-case letters, digits and -, and begins with a letter."
  }
}

variable "carrier" {
  type        = string
  description = "What runs the probe in each subnet: auto, fargate or lambda"
  default     = "auto"

  validation {
    condition     = contains(["auto", "fargate", "lambda"], var.carrier)
    error_message = "The carrier is auto, fargate or lambda."
  }
}

variable "max_concurrency" {
  type        = number
  description = "Workers at the same time, from 1 to 1000"
  default     = 50
}

variable "tolerated_failures" {
  type        = number
  description = "Percentage of the targets whose workers may fail without a result"
  default     = 100
}

variable "schedule" {
  type        = string
  description = "Schedule expression of the run, in UTC"
  default     = "cron(0 3 * * ? *)"
}

variable "dashboard" {
  type        = bool
  description = "Whether there is a CloudWatch dashboard, which costs $3 a month beyond the three that are free"
  default     = false
}
"#,
    },
    FleetModule {
        directory: "fleet/modules/spoke",
        part: &["--spoke"],
        variables: r#"variable "name" {
  type        = string
  description = "Name of the fleet, which becomes part of the name of the stack set"
  default     = "pullprobe-fleet"
}
"#,
    },
    FleetModule {
        directory: "fleet/modules/on-failure",
        part: &["--on-failure", "--dashboard"],
        variables: r#"variable "name" {
  type        = string
  description = "Name of the resources, which becomes part of the names of each"
  default     = "pullprobe-fleet"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.name))
    error_message = "The name has 1 to 30 lower-case letters, digits and -, and begins with a letter."
  }
}

variable "dashboard" {
  type        = bool
  description = "Whether there is a CloudWatch dashboard, which costs $3 a month beyond the three that are free"
  default     = false
}
"#,
    },
];

/// Values of `fleet print`, none of which is part of another or of the text around.
struct FleetValues {
    name: &'static str,
    carrier: &'static str,
    concurrency: &'static str,
    tolerated: &'static str,
    schedule: &'static str,
}

const FLEET_MADE_FROM: FleetValues = FleetValues {
    name: "the-one",
    carrier: "lambda",
    concurrency: "777",
    tolerated: "13",
    schedule: "cron(1 2 * * ? *)",
};

const FLEET_CHECKED_WITH: FleetValues = FleetValues {
    name: "acme-7",
    carrier: "fargate",
    concurrency: "20",
    tolerated: "5",
    schedule: "rate(12 hours)",
};

/// Returns `main.tf`, `variables.tf` and `outputs.tf` of a module.
fn fleet_files(module: &FleetModule, values: &FleetValues) -> [(&'static str, String); 3] {
    let mut arguments = vec![
        "fleet",
        "print",
        "--format",
        "terraform",
        "--name",
        values.name,
    ];
    arguments.extend(["--carrier", values.carrier, "--schedule", values.schedule]);
    arguments.extend(["--max-concurrency", values.concurrency]);
    arguments.extend(["--tolerated-failures", values.tolerated]);
    arguments.extend(module.part);
    let printed = run(&arguments, "");
    let (mut main, mut variables, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks(&printed) {
        match block.split(' ').next() {
            Some("variable") => variables.push(block),
            Some("output") => outputs.push(block),
            _ => main.push(block),
        }
    }
    variables.push(module.variables.to_owned());
    let mut main = main.join("\n");
    let name = values.name;
    let database = "resource \"aws_glue_catalog_database\" \"fleet\" {\n  name = \"";
    let of_hub = [
        // Before the name itself, which is its database's name if it has no hyphen.
        (
            format!("{database}{}\"", name.replace('-', "_")),
            format!(
                "{}replace(var.name, \"-\", \"_\")",
                database.trim_end_matches('"')
            ),
        ),
        (
            format!("MaxConcurrency = {}", values.concurrency),
            "MaxConcurrency = var.max_concurrency".into(),
        ),
        (
            format!("ToleratedFailurePercentage = {}", values.tolerated),
            "ToleratedFailurePercentage = var.tolerated_failures".into(),
        ),
        (format!("\"{}\"", values.schedule), "var.schedule".into()),
        (
            format!("_CARRIER     = \"{}\"", values.carrier),
            "_CARRIER     = var.carrier".into(),
        ),
    ];
    let has_dashboard = module.part.contains(&"--dashboard");
    let opened = "resource \"aws_cloudwatch_dashboard\" \"fleet\" {\n";
    let counted = format!("{opened}  count          = var.dashboard ? 1 : 0\n");
    let of_dashboard = [(opened.to_owned(), counted)];
    let is_hub = module.directory == "fleet";
    let mut places: Vec<_> = Vec::new();
    places.extend(of_hub.into_iter().filter(|_| is_hub));
    places.extend(of_dashboard.into_iter().filter(|_| has_dashboard));
    let quoted = format!("\"{name}\"");
    if main.contains(&quoted) {
        places.push((quoted, "var.name".to_owned()));
    }
    places.push((name.to_owned(), "${var.name}".to_owned()));
    for (value, variable) in places {
        assert!(main.contains(&value), "{value:?} is not printed");
        main = main.replace(&value, &variable);
    }
    let flags = [&["--format terraform"], module.part].concat().join(" ");
    let made = format!(
        "# What `pullprobe fleet print {flags}` prints, with variables in place of the values.\n\
         # Made by `REFRESH_DOCS=1 cargo test --test modules`: change the program and not this file.\n\n{main}"
    );
    [
        ("main.tf", made),
        ("variables.tf", variables.join("\n")),
        ("outputs.tf", outputs.join("\n")),
    ]
}

/// Returns the blocks of a file, each with the line break at its end, without comments.
fn blocks(text: &str) -> Vec<String> {
    let (mut blocks, mut block) = (Vec::new(), String::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if block.is_empty() && line.is_empty() {
            continue;
        }
        let _ = writeln!(block, "{line}");
        if line == "}" || (block.lines().count() == 1 && line.ends_with("{}")) {
            blocks.push(std::mem::take(&mut block));
        }
    }
    assert_eq!(block, "", "a block does not end");
    blocks
}

#[test]
fn fleet_is_what_is_printed() {
    for module in &FLEET {
        for (file, made) in fleet_files(module, &FLEET_MADE_FROM) {
            let path = Path::new(ROOT)
                .join("modules")
                .join(module.directory)
                .join(file);
            if std::env::var_os("REFRESH_DOCS").is_some() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &made).unwrap();
                continue;
            }
            let kept = read_of(module.directory, file);
            assert!(kept == made, "{}: REFRESH_DOCS=1 writes it", path.display());
        }
    }
}

/// Every value that can be chosen is a variable, because other values give the same module.
#[test]
fn fleet_has_a_variable_for_every_value() {
    for module in &FLEET {
        let made = fleet_files(module, &FLEET_MADE_FROM);
        let other = fleet_files(module, &FLEET_CHECKED_WITH);
        assert!(other == made, "{}", module.directory);
        for value in [FLEET_MADE_FROM.name, FLEET_MADE_FROM.concurrency] {
            assert!(
                made.iter().all(|(_, text)| !text.contains(value)),
                "{value}"
            );
        }
    }
}

#[test]
fn fleet_declares_and_describes_what_it_uses() {
    let example = read_of("fleet", "examples/organization/main.tf");
    for module in &FLEET {
        assert_declared_and_described(module.directory, &example);
    }
}
