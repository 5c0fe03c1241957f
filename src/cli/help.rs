//! Help beyond the flags' own texts: groups of options, and examples of every command.
//!
//! It is one table and not attributes at the flags, because the image is built without it.

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The headings, in the order in which help shows them, each with the names of its options. An
/// option has the same name, and so the same heading, in every command.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "What the task needs",
        &[
            "images",
            "task_definition",
            "plan",
            "set",
            "resource",
            "secrets",
            "log_group",
            "log_stream_prefix",
            "expect_injected",
            "enable_execute_command",
            "service_connect",
            "platform",
            "ip_family",
            "expect",
            "full",
            "plan_only",
        ],
    ),
    (
        "Where it runs",
        &[
            "cluster",
            "service",
            "like",
            "task",
            "subnets",
            "security_groups",
            "assign_public_ip",
            "region",
            "regions",
            "accounts",
            "role_name",
            "external_id",
            "assume_everywhere",
        ],
    ),
    (
        "The probe",
        &[
            "probe_image",
            "probe_architecture",
            "repository",
            "platforms",
            "install",
            "agents",
            "lambda",
            "carrier",
            "lambda_role",
            "scheduler_role",
            "resolver",
            "ca_bundle",
            "deadline",
            "timeout",
            "run_id",
            "labels",
            "metrics",
            "inspect",
            "concurrency",
            "target_timeout",
            "dry_run",
        ],
    ),
    (
        "The schedule",
        &["name", "every", "retention", "alarm_actions", "enable"],
    ),
    (
        "The fleet",
        &[
            "targets",
            "spoke",
            "on_failure",
            "code",
            "max_concurrency",
            "tolerated_failures",
            "schedule",
        ],
    ),
    ("Which reports", &["since", "start", "end", "insights"]),
    (
        "Input and output",
        &[
            "dashboard",
            "describe_tasks",
            "from",
            "save",
            "needs",
            "only",
            "patch",
            "print",
            "format",
            "outputs",
            "html",
            "json",
            "junit",
            "markdown",
            "report",
            "output",
            "quiet",
            "verbose",
        ],
    ),
];

/// Commands with fewer options fit on a screen without groups.
const MIN_OPTIONS_FOR_GROUPS: usize = 8;

/// What the command line does, and the command line. `pullprobe` alone has those for a first visit.
type Example = (&'static str, &'static str);

/// Examples of each command.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            (
                "See a whole run, offline, with one fault",
                "pullprobe demo --fault s3-gateway-missing",
            ),
            (
                "Explain why a task stopped",
                "pullprobe explain --cluster prod --service web",
            ),
            (
                "Push the probe's image, then check every subnet of a service",
                "pullprobe launch --cluster prod --service web --install",
            ),
        ],
    ),
    (
        "probe",
        &[
            (
                "Rehearse the pull of an image, from here",
                "pullprobe probe --image 123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1.4",
            ),
            (
                "Rehearse the start of a task definition, and trust a company's root certificates",
                "pullprobe probe --task-definition task-definition.json --ca-bundle roots.pem --format text",
            ),
        ],
    ),
    (
        "plan",
        &[
            (
                "Print what a task contacts and what it needs",
                "pullprobe plan task-definition.json",
            ),
            (
                "Print the VPC endpoints, rules and policies as Terraform",
                "pullprobe plan task-definition.json --format terraform",
            ),
            (
                "Fill in the placeholders of a template",
                "pullprobe plan template.yaml --set IMAGE_TAG=1.4 --only policy",
            ),
        ],
    ),
    (
        "explain",
        &[
            (
                "Explain a text",
                "pullprobe explain 'CannotPullContainerError: pull image manifest has been retried 5 time(s): dial tcp 10.0.9.11:443: i/o timeout'",
            ),
            (
                "Explain a task by its ARN",
                "pullprobe explain --task arn:aws:ecs:us-east-1:123456789012:task/prod/0123456789abcdef0123456789abcdef",
            ),
            (
                "Explain what the AWS CLI printed",
                "pullprobe explain --describe-tasks tasks.json --format json",
            ),
        ],
    ),
    (
        "compare",
        &[
            (
                "Find the first difference between subnets",
                "pullprobe compare a.json b.json",
            ),
            (
                "Read the reports of a day, and write a page",
                "pullprobe compare --log-group /ecs/pullprobe --since 24h --output reports.html",
            ),
        ],
    ),
    (
        "causes",
        &[
            (
                "Print the page of a cause",
                "pullprobe causes s3-gateway-missing",
            ),
            (
                "Print every code, for a program",
                "pullprobe causes --format json",
            ),
        ],
    ),
    (
        "schema",
        &[(
            "Print the schema of a comparison",
            "pullprobe schema comparison",
        )],
    ),
    (
        "launch",
        &[
            (
                "Check every subnet of a service",
                "pullprobe launch --cluster prod --service web",
            ),
            (
                "Check a task definition before it is deployed, in two subnets",
                "pullprobe launch --cluster prod --task-definition task-definition.json --subnets subnet-0aa subnet-0bb",
            ),
            (
                "Work where no task starts, and write a page",
                "pullprobe launch --cluster prod --service web --carrier lambda --html report.html",
            ),
            (
                "Show what would be done",
                "pullprobe launch --cluster prod --service web --dry-run",
            ),
        ],
    ),
    (
        "inspect",
        &[
            (
                "Name what is closed for a service",
                "pullprobe inspect --cluster prod --service web",
            ),
            (
                "Print the smallest change that opens it",
                "pullprobe inspect --cluster prod --service web --patch terraform",
            ),
            (
                "Save what was read, and judge it elsewhere",
                "pullprobe inspect --cluster prod --service web --save vpc.json",
            ),
        ],
    ),
    (
        "install",
        &[
            (
                "Push the image for every platform",
                "pullprobe install --region us-east-1",
            ),
            (
                "Also make the role of functions",
                "pullprobe install --lambda",
            ),
        ],
    ),
    (
        "gc",
        &[(
            "Show what an interrupted launch left behind",
            "pullprobe gc --cluster prod --dry-run",
        )],
    ),
    (
        "schedule create",
        &[(
            "Check a service every hour",
            "pullprobe schedule create --cluster prod --service web --every 1h \
             --scheduler-role arn:aws:iam::123456789012:role/scheduler",
        )],
    ),
    (
        "schedule print",
        &[(
            "Print the same for CloudFormation",
            "pullprobe schedule print --cluster prod --service web --every 1h --format cloudformation",
        )],
    ),
    (
        "schedule list",
        &[(
            "List the schedules of a Region",
            "pullprobe schedule list --region us-east-1",
        )],
    ),
    (
        "schedule remove",
        &[(
            "Remove a schedule, and keep its reports",
            "pullprobe schedule remove web --keep-logs",
        )],
    ),
    (
        "fleet targets",
        &[(
            "List the services of an organization's accounts",
            "pullprobe fleet targets --regions us-east-1 --role-name pullprobe-fleet ",
        )],
    ),
    (
        "fleet run",
        &[(
            "Probe them from this machine",
            "pullprobe fleet run --targets targets.jsonl --output results",
        )],
    ),
    (
        "fleet print",
        &[(
            "Print what does it every night, for CloudFormation",
            "pullprobe fleet print --format cloudformation",
        )],
    ),
    (
        "fleet bundle",
        &[(
            "Write the code of its functions",
            "pullprobe fleet bundle --output pullprobe.zip",
        )],
    ),
    (
        "mcp",
        &[
            ("Serve the tools that only read", "pullprobe mcp"),
            ("Serve launch too", "pullprobe mcp --allow-launch"),
        ],
    ),
    (
        "completions",
        &[("Complete in this shell", "pullprobe completions bash")],
    ),
    (
        "man",
        &[("Write every page", "pullprobe man ~/.local/share/man/man1")],
    ),
    (
        "demo",
        &[
            ("List the faults", "pullprobe demo --list"),
            ("Run with a fault", "pullprobe demo --fault network-acl"),
        ],
    ),
];

/// Returns the command line with groups and examples.
pub fn command() -> Command {
    with_help(Cli::command(), "")
}

/// Adds groups and examples to a command and to those below it. `path` is its name without
/// `pullprobe`.
fn with_help(command: Command, path: &str) -> Command {
    let mut command = command;
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    for name in names {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(name, |sub| with_help(sub, path.trim_start()));
    }
    if command.get_opts().count() >= MIN_OPTIONS_FOR_GROUPS {
        command = command.mut_args(|arg| match heading_of(arg.get_id().as_str()) {
            Some(heading) if !arg.is_positional() => arg.help_heading(heading),
            _ => arg,
        });
    }
    let Some((_, examples)) = EXAMPLES.iter().find(|(of, _)| *of == path) else {
        return command;
    };
    let lines: Vec<String> = examples
        .iter()
        .map(|(what, line)| format!("  {what}:\n      {line}"))
        .collect();
    let mut text = format!("Examples:\n{}", lines.join("\n"));
    if let Some(more) = command.get_after_help() {
        text = format!("{text}\n\n{more}");
    }
    command.after_long_help(text)
}

fn heading_of(name: &str) -> Option<&'static str> {
    GROUPS
        .iter()
        .find(|(_, names)| names.contains(&name))
        .map(|(heading, _)| *heading)
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    /// Returns every command that does something, with its path.
    fn commands(of: &Command, path: &str) -> Vec<(String, Command)> {
        let below: Vec<_> = of
            .get_subcommands()
            .flat_map(|sub| commands(sub, format!("{path} {}", sub.get_name()).trim_start()))
            .collect();
        if below.is_empty() {
            return vec![(path.to_owned(), of.clone())];
        }
        below
    }

    #[test]
    fn every_command_has_examples_that_parse() {
        for (path, _) in commands(&Cli::command(), "") {
            let examples = EXAMPLES.iter().find(|(of, _)| *of == path);
            assert!(
                examples.is_some_and(|(_, examples)| !examples.is_empty()),
                "{path}: add an example to EXAMPLES"
            );
        }
        for (path, examples) in EXAMPLES {
            for (what, line) in *examples {
                let words = shlex::split(line).unwrap();
                assert!(
                    line.starts_with(format!("pullprobe {path}").trim()),
                    "{line}"
                );
                assert!(!what.ends_with(['.', ':']), "{what}");
                let matches = command().try_get_matches_from(&words);
                let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
                assert!(parsed.is_ok(), "{line}: {parsed:?}");
            }
        }
    }

    #[test]
    fn options_of_long_commands_are_in_groups() {
        for (path, command) in commands(&command(), "") {
            let options: Vec<_> = command
                .get_opts()
                .filter(|arg| !arg.is_hide_set())
                .collect();
            if options.len() < MIN_OPTIONS_FOR_GROUPS {
                continue;
            }
            for option in options {
                let name = option.get_id();
                assert!(
                    option.get_help_heading().is_some(),
                    "{path}: {name} has no heading: add it to GROUPS"
                );
            }
        }
    }

    #[test]
    fn groups_name_only_options_that_exist() {
        let all = commands(&command(), "");
        for name in GROUPS.iter().flat_map(|(_, names)| *names) {
            let exists = |(_, command): &(String, Command)| {
                command.get_arguments().any(|arg| arg.get_id() == name)
            };
            assert!(all.iter().any(exists), "no command has {name}");
        }
    }
}
