//! Checks README.md against the binary, and CONTRIBUTING.md against tests/run.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test panic as the test does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use pullprobe::cause::Cause;
use pullprobe::cli::Cli;
use pullprobe::command::{Error, environment_names};
use pullprobe::{demo, ip_owner, verdict};
use serde_json::Value;

const README: &str = include_str!("../README.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Marks omitted lines.
const OMISSION: &str = "…";

/// A fenced code block.
struct Block {
    language: &'static str,
    lines: Vec<&'static str>,
}

impl Block {
    fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// Returns the code blocks of the README, and the lines outside of them.
fn blocks_and_prose() -> (Vec<Block>, Vec<&'static str>) {
    let (mut blocks, mut prose): (Vec<Block>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut inside = false;
    for line in README.lines() {
        match (line.strip_prefix("```"), blocks.last_mut()) {
            (Some(_), _) if inside => inside = false,
            (Some(language), _) => {
                inside = true;
                blocks.push(Block {
                    language,
                    lines: Vec::new(),
                });
            }
            (None, Some(block)) if inside => block.lines.push(line),
            (None, _) => prose.push(line),
        }
    }
    (blocks, prose)
}

fn blocks(language: &str) -> impl Iterator<Item = Block> {
    blocks_and_prose()
        .0
        .into_iter()
        .filter(move |block| block.language == language)
}

/// Returns the inline code outside of blocks.
fn inline_code() -> Vec<&'static str> {
    blocks_and_prose()
        .1
        .into_iter()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

fn section(title: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("\n## {title}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// Returns the rows of a section's table whose first cell `accept` accepts, as trimmed cells.
fn rows(title: &str, accept: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.replace("\\|", "\u{0}");
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().replace('\u{0}', "|"))
            .collect()
    };
    let rows = section(title)
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(cells);
    rows.filter(|cells| accept(&cells[0])).collect()
}

/// Returns every long flag of each command.
fn flags() -> BTreeMap<String, BTreeSet<String>> {
    /// Returns those of a command and of its subcommands (`schedule create`).
    fn long(command: &clap::Command) -> BTreeSet<String> {
        let own = command
            .get_arguments()
            .filter_map(|arg| Some(format!("--{}", arg.get_long()?)));
        own.chain(command.get_subcommands().flat_map(long))
            .collect()
    }
    Cli::command()
        .get_subcommands()
        .map(|command| (command.get_name().to_owned(), long(command)))
        .collect()
}

/// Returns the binary's output in an empty environment.
fn output(arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_pullprobe"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    assert!(
        done.stderr.is_empty(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn readme_begins_with_the_two_commands() {
    assert_eq!(
        blocks_and_prose().0[0].lines,
        ["cargo run -- demo", "tests/run"]
    );
}

#[test]
fn readme_causes_match_code() {
    let row = |cause: &Cause| format!("| `{cause}` | {} | {} |\n", cause.summary(), cause.remedy());
    let table: String = Cause::ALL.iter().map(row).collect();
    let head = "| code | what it means | what to change |\n| --- | --- | --- |\n";
    let rows = section("Causes")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .count();
    let matches = rows == Cause::ALL.len() && section("Causes").contains(&format!("{head}{table}"));
    assert!(matches, "the table of causes must be\n\n{head}{table}");
}

#[test]
fn readme_lists_causes_without_a_rule() {
    let directory = Path::new(ROOT).join("src/diagnose");
    let files = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let rules: String = files
        .chain([Path::new(ROOT).join("src/diagnose.rs")])
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let named = |cause: &&Cause| {
        rules
            .match_indices(&format!("Cause::{cause:?}"))
            .any(|(at, name)| !rules[at + name.len()..].starts_with(char::is_alphanumeric))
    };
    let expected: Vec<_> = Cause::ALL
        .iter()
        .filter(|cause| !named(cause))
        .map(|cause| cause.code())
        .collect();
    let paragraph = section("Causes")
        .split("\n\n")
        .find(|text| text.contains("never names"))
        .unwrap();
    let (_, sentence) = paragraph.split_once("never names").unwrap();
    let stated: Vec<_> = sentence.split('`').skip(1).step_by(2).collect();
    assert_eq!(stated, expected);
}

#[test]
fn readme_exit_codes_match_code() {
    let known = [
        (0, "pass".to_owned()),
        (
            Error::Tool(String::new()).exit_code(),
            "the tool itself failed".to_owned(),
        ),
        (
            Error::Usage(String::new()).exit_code(),
            "bad arguments".to_owned(),
        ),
        (verdict::INCONCLUSIVE, "inconclusive".to_owned()),
        (verdict::WARN, "warn".to_owned()),
    ];
    let families = Cause::ALL
        .iter()
        .map(|cause| cause.family())
        .filter(|family| family.name() != "unknown");
    let families = families.map(|family| (family.exit_code(), format!("`{family}`")));
    let expected: BTreeMap<u8, String> = known.into_iter().chain(families).collect();
    let stated = rows("Exit codes", |code| code.parse::<u8>().is_ok());
    assert_eq!(stated.len(), expected.len(), "{expected:?}");
    for row in stated {
        let [code, family, meaning] = row.as_slice() else {
            panic!("{row:?}")
        };
        let expected = &expected[&code.parse::<u8>().unwrap()];
        assert!(
            family == expected || family.is_empty() && meaning.starts_with(expected),
            "{row:?} is not {expected}"
        );
    }
}

#[test]
fn readme_commands_and_flags_exist() {
    let flags = flags();
    let exists = |flag: &str| flags.values().any(|known| known.contains(flag));
    let typed: Vec<_> = blocks_and_prose()
        .0
        .into_iter()
        .flat_map(|block| block.lines)
        .collect();
    for span in inline_code().iter().filter(|span| span.starts_with("--")) {
        for flag in span
            .split_whitespace()
            .filter(|word| word.starts_with("--"))
        {
            assert!(exists(flag), "`{span}`: no command has the flag {flag}");
        }
    }
    let mut named = BTreeSet::new();
    for code in typed.into_iter().chain(inline_code()) {
        let code = code.trim_start_matches("$ ").trim_start_matches("./");
        let invocation = code
            .strip_prefix("pullprobe ")
            .or_else(|| code.strip_prefix("cargo run -- "));
        let mut words = invocation.unwrap_or(code).split_whitespace();
        let Some(command) = words.next() else {
            continue;
        };
        let Some(known) = flags.get(command) else {
            assert!(invocation.is_none(), "`{code}`: unknown command {command}");
            continue;
        };
        if invocation.is_some() {
            named.insert(command.to_owned());
        }
        for flag in words.filter(|word| word.starts_with("--")) {
            assert!(
                known.contains(flag),
                "`{code}`: {command} does not have {flag}"
            );
        }
    }
    assert_eq!(
        named,
        flags.into_keys().collect(),
        "every command is mentioned"
    );
}

/// Flags for printing a plan, which another section documents.
const PLAN_ONLY_FLAGS: [&str; 5] = ["--format", "--needs", "--only", "--resource", "--set"];

#[test]
fn readme_table_has_every_flag_of_probe_with_variable_and_default() {
    let cli = Cli::command();
    let probe = cli.find_subcommand("probe").unwrap();
    let rows = rows("Commands and flags", |cell| cell.starts_with("`--"));
    for arg in probe
        .get_arguments()
        .filter(|arg| arg.get_long().is_some_and(|long| long != "help"))
    {
        let (flag, variable) = (
            format!("--{}", arg.get_long().unwrap()),
            arg.get_env().unwrap().to_string_lossy(),
        );
        let row = rows
            .iter()
            .find(|row| row[0].trim_matches('`').split(' ').next() == Some(&flag));
        let row = row.unwrap_or_else(|| {
            panic!("row missing for {flag}: | `{flag} …` | `{variable}` | … | … |")
        });
        assert_eq!(row[1], format!("`{variable}`"), "{flag}");
        if let Some(value) = arg
            .get_default_values()
            .first()
            .filter(|_| arg.get_action().takes_values())
        {
            assert_eq!(row[3], format!("`{}`", value.to_string_lossy()), "{flag}");
        }
    }
    let flags_of_plan: BTreeSet<_> = flags()["plan"]
        .iter()
        .filter(|flag| !PLAN_ONLY_FLAGS.contains(&flag.as_str()))
        .cloned()
        .collect();
    let until_full = rows.iter().map(|row| {
        row[0]
            .trim_matches('`')
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    });
    let until_full: Vec<_> = until_full.collect();
    let until_full = &until_full[..=until_full.iter().position(|flag| flag == "--full").unwrap()];
    assert_eq!(
        until_full.iter().cloned().collect::<BTreeSet<_>>(),
        flags_of_plan,
        "`plan` has the flags up to --full"
    );
    assert_eq!(
        rows.len(),
        flags()["probe"].len(),
        "every row is a flag of `probe`"
    );
}

#[test]
fn readme_environment_variables_exist() {
    let known = environment_names("probe");
    for (at, _) in README.match_indices("PULLPROBE_") {
        let name: String = README[at..]
            .chars()
            .take_while(|c| c.is_ascii_uppercase() || *c == '_')
            .collect();
        assert!(known.contains(&name), "{name}");
    }
}

#[test]
fn readme_json_and_shell_are_valid() {
    for block in blocks("json") {
        let read: Result<Value, _> = serde_json::from_str(&block.text());
        assert!(read.is_ok(), "{}:\n{}", read.unwrap_err(), block.text());
    }
    for block in blocks("sh") {
        let done = Command::new("bash")
            .args(["-n", "-c", &block.text()])
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

#[test]
fn readme_links_exist() {
    let anchor = |title: &str| title.to_lowercase().replace(' ', "-");
    let anchors: Vec<_> = README
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(anchor)
        .collect();
    let targets: Vec<_> = README
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
        .collect();
    assert!(!targets.is_empty());
    for target in targets {
        match target.strip_prefix('#') {
            Some(linked) => assert!(anchors.iter().any(|anchor| anchor == linked), "{target}"),
            None => assert!(Path::new(ROOT).join(target).exists(), "{target}"),
        }
    }
}

/// Checks numbers that other files define.
#[test]
fn readme_numbers_match_repository() {
    let cargo: toml::Table = include_str!("../Cargo.toml").parse().unwrap();
    let package = cargo["package"].as_table().unwrap();
    let user = include_str!("../Dockerfile")
        .split_once("USER ")
        .unwrap()
        .1
        .split(':')
        .next()
        .unwrap();
    let limit = include_str!("../dist/build")
        .split_once("MAX_STATIC_SIZE=")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap();
    for stated in [
        format!("{} faults", demo::faults().len()),
        format!("published ranges of {}", ip_owner::RANGES_DATE),
        format!(
            "Rust {} or newer",
            package["rust-version"].as_str().unwrap()
        ),
        format!("/pullprobe:{}", package["version"].as_str().unwrap()),
        format!("user {user}"),
        format!("below {}", limit.replace("5000000", "5,000,000")),
    ] {
        assert!(README.contains(&stated), "{stated}");
    }
}

#[test]
fn readme_replaces_every_placeholder_of_the_task_definition() {
    let definition = include_str!("../task-definition.json");
    let placeholders: BTreeSet<_> = definition
        .split('<')
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap())
        .collect();
    let shell: String = blocks("sh").map(|block| block.text()).collect();
    for name in placeholders {
        assert!(shell.contains(&format!("s|<{name}>|$")), "{name}");
    }
}

/// Replaces numbers and joins spaces, because numbers and columns differ from run to run.
fn without_numbers(line: &str) -> String {
    let mut shape = String::new();
    for c in line
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
    {
        match c.is_ascii_digit() {
            true if shape.ends_with('#') => {}
            true => shape.push('#'),
            false => shape.push(c),
        }
    }
    shape
}

#[test]
fn readme_quotations_match_output() {
    let mut quoted = 0;
    for block in blocks("text") {
        let arguments: Vec<_> = block.lines[0]
            .strip_prefix("$ pullprobe ")
            .unwrap()
            .split(' ')
            .collect();
        let text = output(&[arguments.as_slice(), &["--format", "text"]].concat());
        let mut printed = text.lines().filter(|line| !line.is_empty());
        let mut anywhere = false;
        for line in block.lines[1..].iter().filter(|line| !line.is_empty()) {
            let same = |printed: &str| without_numbers(printed) == without_numbers(line);
            let found = match *line {
                OMISSION => true,
                _ if anywhere => printed.any(same),
                _ => printed.next().is_some_and(same),
            };
            assert!(
                found,
                "{:?} is missing or in another order:\n\n{text}",
                *line
            );
            anywhere = *line == OMISSION;
            quoted += 1;
        }
        if let Some((_, policy)) = text.split_once("needs at least:\n") {
            let policy: Value = serde_json::from_str(policy).unwrap();
            let same = blocks("json")
                .any(|block| serde_json::from_str::<Value>(&block.text()).unwrap() == policy);
            assert!(same, "the policy should be\n{policy:#}");
        }
    }
    assert!(quoted > 20, "the README quotes a report");
}

/// Compares the commands, without flags that only reduce their output.
#[test]
fn contributing_lists_the_commands_of_each_step() {
    let script = include_str!("run");
    let is_part = |words: &[&str], line: &str| {
        let mut line = line
            .split_whitespace()
            .map(|word| word.trim_matches([';', '(']));
        words
            .iter()
            .all(|word| line.any(|other| other == *word || other.ends_with(&format!("/{word}"))))
    };
    let steps = include_str!("../CONTRIBUTING.md")
        .lines()
        .filter(|line| line.starts_with("| `"));
    let mut checked = 0;
    for row in steps {
        let mut spans = row.split('`').skip(1).step_by(2);
        let step = spans.next().unwrap();
        let (_, body) = script.split_once(&format!("step_{step}() {{")).unwrap();
        let body = body.split("\n\n").next().unwrap();
        let body = if step == "tools" { script } else { body };
        let commands: Vec<Vec<_>> = spans.map(|span| span.split(' ').collect()).collect();
        let runs = |words: &[&str]| body.lines().any(|line| is_part(words, line));
        for words in commands
            .iter()
            .filter(|words| words.len() > 1 && words[0] != "pullprobe")
        {
            assert!(runs(words), "{step} does not run {words:?}");
            checked += 1;
        }
        let started = body
            .lines()
            .filter(|line| ["cargo ", "pytest "].iter().any(|name| line.contains(name)));
        for line in started.filter(|_| step != "tools" && step != "deny") {
            assert!(
                commands.iter().any(|words| is_part(words, line)),
                "{step} runs {line:?}, which CONTRIBUTING.md does not list"
            );
        }
    }
    assert!(checked >= 12, "{checked}");
}
