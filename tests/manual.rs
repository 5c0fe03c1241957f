//! Checks README.md and the chapters of docs against the binary, and CONTRIBUTING.md against
//! tests/run.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test panic as the test does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use pullprobe::cause::Cause;
use pullprobe::cli::Cli;
use pullprobe::command::{Error, environment_names};
use pullprobe::{demo, ip_owner, verdict};
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Marks omitted lines.
const OMISSION: &str = "…";

/// The README is read to its end, so it has at most this many lines. The rest is in docs.
const MAX_README_LINES: usize = 220;

/// The arguments of the run that the README shows as a picture.
const PICTURED: &[&str] = &["demo", "--fault", "s3-gateway-missing", "--format", "text"];

/// README.md and the chapters directly below docs, each with its path.
fn documents() -> Vec<(PathBuf, String)> {
    let docs = std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let mut paths: Vec<_> = docs
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .chain([Path::new(ROOT).join("README.md")])
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(ROOT).unwrap().to_owned(), text)
        })
        .collect()
}

fn document(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// A fenced code block.
struct Block {
    language: String,
    lines: Vec<String>,
}

impl Block {
    fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// Returns the code blocks of a document, and the lines outside of them.
fn blocks_and_prose(markdown: &str) -> (Vec<Block>, Vec<String>) {
    let (mut blocks, mut prose): (Vec<Block>, Vec<String>) = (Vec::new(), Vec::new());
    let mut inside = false;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), blocks.last_mut()) {
            (Some(_), _) if inside => inside = false,
            (Some(language), _) => {
                inside = true;
                blocks.push(Block {
                    language: language.to_owned(),
                    lines: Vec::new(),
                });
            }
            (None, Some(block)) if inside => block.lines.push(line.to_owned()),
            (None, _) => prose.push(line.to_owned()),
        }
    }
    (blocks, prose)
}

/// Returns the code blocks of all documents.
fn all_blocks() -> impl Iterator<Item = Block> {
    let documents = documents().into_iter();
    documents.flat_map(|(_, text)| blocks_and_prose(&text).0)
}

fn blocks(language: &str) -> impl Iterator<Item = Block> {
    all_blocks().filter(move |block| block.language == language)
}

/// Returns the inline code of all documents, outside of blocks.
fn inline_code() -> Vec<String> {
    let prose = documents()
        .into_iter()
        .flat_map(|(_, text)| blocks_and_prose(&text).1);
    prose.flat_map(|line| spans(&line)).collect()
}

/// Returns what a line has in backticks.
fn spans(line: &str) -> Vec<String> {
    let spans = line.split('`').skip(1).step_by(2);
    spans.map(str::to_owned).collect()
}

/// Returns the part of a document below a heading of the second level.
fn section(path: &str, title: &str) -> String {
    let text = document(path);
    let (_, rest) = text.split_once(&format!("\n## {title}\n")).unwrap();
    rest.split("\n## ").next().unwrap().to_owned()
}

/// Returns the rows of a text's tables whose first cell `accept` accepts, as trimmed cells.
fn rows(text: &str, accept: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.replace("\\|", "\u{0}");
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().replace('\u{0}', "|"))
            .collect()
    };
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(cells);
    rows.filter(|cells| accept(&cells[0])).collect()
}

/// Returns the policies that docs/permissions.md explains, each with its path.
fn policies() -> Vec<(PathBuf, String)> {
    let files = std::fs::read_dir(Path::new(ROOT).join("docs/policies")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// Every policy has its place in the text.
#[test]
fn permissions_link_every_policy() {
    let text = document("docs/permissions.md");
    for (path, _) in policies() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            text.contains(&format!("→ [policies/{name}](policies/{name})")),
            "{name}"
        );
    }
}

/// Returns the long flags of a command itself.
fn own_flags(command: &clap::Command) -> impl Iterator<Item = String> {
    let arguments = command.get_arguments();
    arguments.filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
}

/// Returns every long flag of each command, without those that all have.
fn flags() -> BTreeMap<String, BTreeSet<String>> {
    /// Returns those of a command and of its subcommands (`schedule create`).
    fn long(command: &clap::Command) -> BTreeSet<String> {
        own_flags(command)
            .chain(command.get_subcommands().flat_map(long))
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
fn readme_is_read_to_its_end() {
    let lines = document("README.md").lines().count();
    assert!(lines <= MAX_README_LINES, "README.md has {lines} lines");
}

#[test]
fn readme_has_the_two_commands() {
    let (blocks, _) = blocks_and_prose(&section("README.md", "In a checkout: two commands"));
    assert_eq!(blocks[0].lines, ["cargo run -- demo", "tests/run"]);
}

/// Unpack, install, launch: a newcomer types nothing else.
#[test]
fn readme_counts_the_commands_to_the_first_verdict() {
    let sections = ["Install", "In your account"].map(|title| section("README.md", title));
    let blocks = sections.iter().flat_map(|text| blocks_and_prose(text).0);
    let commands: Vec<_> = blocks.flat_map(|block| block.lines).collect();
    let programs: Vec<_> = commands
        .iter()
        .map(|line| line.split(" --").next().unwrap())
        .collect();
    let expected = [
        "tar -xzf pullprobe-*.tar.gz",
        "./pullprobe install",
        "./pullprobe launch",
    ];
    assert_eq!(programs, expected);
}

/// `REFRESH_DOCS=1` writes the table.
#[test]
fn causes_match_code() {
    let row = |cause: &Cause| {
        let page = format!("../src/cause/pages/{cause}.md");
        let (summary, remedy) = (cause.summary(), cause.remedy());
        format!("| [`{cause}`]({page}) | {summary} | {remedy} |\n")
    };
    let table: String = Cause::ALL.iter().map(row).collect();
    let head = "| code | what it means | what to change |\n| --- | --- | --- |\n";
    let text = document("docs/causes.md");
    let (before, _) = text.split_once(head).unwrap();
    let expected = format!("{before}{head}{table}");
    if std::env::var_os("REFRESH_DOCS").is_some() {
        std::fs::write(Path::new(ROOT).join("docs/causes.md"), &expected).unwrap();
        return;
    }
    assert!(text == expected, "REFRESH_DOCS=1 writes the table");
}

#[test]
fn causes_without_a_rule_are_listed() {
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
    let text = document("docs/causes.md");
    let paragraph = text
        .split("\n\n")
        .find(|text| text.contains("never names"))
        .unwrap();
    let (_, sentence) = paragraph.split_once("never names").unwrap();
    let stated: Vec<_> = sentence.split('`').skip(1).step_by(2).collect();
    assert_eq!(stated, expected);
}

#[test]
fn exit_codes_match_code() {
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
    let [stated, repeated] = ["README.md", "docs/exit-codes.md"]
        .map(|path| rows(&document(path), |code| code.parse::<u8>().is_ok()));
    assert_eq!(stated, repeated, "README.md and docs/exit-codes.md");
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
fn commands_and_flags_exist() {
    let global: BTreeSet<String> = own_flags(&Cli::command()).collect();
    let mut flags = flags();
    for known in flags.values_mut() {
        known.extend(global.iter().cloned());
    }
    let exists = |flag: &str| flags.values().any(|known| known.contains(flag));
    let typed: Vec<_> = all_blocks().flat_map(|block| block.lines).collect();
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
            let is_known = invocation.is_none() || ["--version", "help"].contains(&command);
            assert!(is_known, "`{code}`: unknown command {command}");
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
fn table_has_every_flag_of_probe_with_variable_and_default() {
    let cli = Cli::command();
    let probe = cli.find_subcommand("probe").unwrap();
    let commands = document("docs/commands.md");
    let rows = rows(&commands, |cell| cell.starts_with("`--"));
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
fn environment_variables_exist() {
    let mut known = environment_names("probe");
    known.push("PULLPROBE_AGENTS".into()); // of build.rs
    for (path, text) in documents() {
        for (at, _) in text.match_indices("PULLPROBE_") {
            let name: String = text[at..]
                .chars()
                .take_while(|c| c.is_ascii_uppercase() || *c == '_')
                .collect();
            assert!(known.contains(&name), "{}: {name}", path.display());
        }
    }
}

#[test]
fn json_and_shell_are_valid() {
    for (path, text) in policies() {
        let policy: Result<Value, _> = serde_json::from_str(&text);
        let policy = policy.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(policy["Version"], "2012-10-17", "{}", path.display());
    }
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

/// Checks numbers that other files define.
#[test]
fn numbers_match_repository() {
    let manual: String = documents().into_iter().map(|(_, text)| text).collect();
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
        assert!(manual.contains(&stated), "{stated}");
    }
}

#[test]
fn every_placeholder_of_the_task_definition_is_replaced() {
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
fn quotations_match_output() {
    let mut quoted = 0;
    for block in blocks("text") {
        // Other blocks are drawings.
        let Some(arguments) = block.lines[0].strip_prefix("$ pullprobe ") else {
            continue;
        };
        let arguments: Vec<_> = arguments.split(' ').collect();
        let text = output(&[arguments.as_slice(), &["--format", "text"]].concat());
        let mut printed = text.lines().filter(|line| !line.is_empty());
        let mut anywhere = false;
        for line in block.lines[1..].iter().filter(|line| !line.is_empty()) {
            let same = |printed: &str| without_numbers(printed) == without_numbers(line);
            let found = match line.as_str() {
                OMISSION => true,
                _ if anywhere => printed.any(same),
                _ => printed.next().is_some_and(same),
            };
            assert!(found, "{line:?} is missing or in another order:\n\n{text}");
            anywhere = line == OMISSION;
            quoted += 1;
        }
        if let Some((_, policy)) = text.split_once("needs at least:\n") {
            let policy: Value = serde_json::from_str(policy).unwrap();
            let text = document("docs/policies/task-execution-role.json");
            let same = serde_json::from_str::<Value>(&text).unwrap() == policy;
            assert!(same, "the policy should be\n{policy:#}");
        }
    }
    assert!(quoted > 20, "docs quote a report");
}

/// What the README quotes of the pictured run is in it, in this order.
#[test]
fn readme_reads_the_pictured_report_from_the_top() {
    let printed = without_numbers(&output(PICTURED).replace('\n', " "));
    let mut rest = printed.as_str();
    let section = section("README.md", "A report");
    let (_, bullets) = section.split_once("\n- ").unwrap();
    let mut quoted = 0;
    for bullet in bullets.split("\n- ") {
        let quotation = bullet.split("**").nth(1).unwrap_or_default();
        for part in spans(quotation)
            .iter()
            .flat_map(|span| span.split(OMISSION))
        {
            let part = without_numbers(part);
            let at = rest.find(&part);
            let at = at.unwrap_or_else(|| panic!("{part:?} is not in {rest:?}"));
            rest = &rest[at + part.len()..];
            quoted += 1;
        }
    }
    assert!(quoted >= 8, "{quoted}");
}

/// Width of a character and height of a line of the picture, in pixels.
const CHARACTER: (usize, usize) = (8, 18);

/// Draws a run in a terminal. Each word has its own place, so that columns are straight in any font.
fn draw(command: &str, text: &str) -> String {
    let (width, height) = CHARACTER;
    let escape = |word: &str| word.replace('&', "&amp;").replace('<', "&lt;");
    let mut lines = vec![format!("$ {command}"), String::new()];
    lines.extend(text.lines().map(str::to_owned));
    let columns = lines.iter().map(|line| line.chars().count()).max().unwrap();
    let (mut body, mut mark) = (String::new(), "");
    for (row, line) in lines.iter().enumerate() {
        let heading = row == 0 || line.starts_with(|c: char| c.is_alphabetic());
        let mut column = 0;
        // A remedy is continued on the lines below, until the line with its page.
        if mark != "remedy" || line.trim_start().starts_with("more:") {
            mark = "";
        }
        for word in line.split(' ') {
            let length = word.chars().count();
            mark = match word {
                "✓" => "pass",
                "✗" => "fail",
                "→" => "remedy",
                _ if mark == "remedy" => mark,
                _ if word.chars().all(|c| c.is_ascii_digit()) || word == "FAIL" => mark,
                _ => "",
            };
            if length > 0 {
                let bold = if heading { " bold" } else { "" };
                let class = format!("{mark}{bold}");
                let (x, y) = (width * (column + 2), height * (row + 2));
                let _ = writeln!(
                    body,
                    r#"<text x="{x}" y="{y}" textLength="{}" class="{}">{}</text>"#,
                    width * length,
                    class.trim(),
                    escape(word)
                );
            }
            column += length + 1;
        }
    }
    let (w, h) = (width * (columns + 4), height * (lines.len() + 2));
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img">
<title>{}</title>
<style>
text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d0d7de; }}
.bold {{ font-weight: bold; fill: #ffffff; }}
.pass {{ fill: #56d364; }}
.fail {{ fill: #ff7b72; }}
.remedy {{ fill: #79c0ff; }}
</style>
<rect width="{w}" height="{h}" rx="8" fill="#0d1117"/>
{body}</svg>
"##,
        escape(command)
    )
}

/// `REFRESH_DOCS=1` draws it again.
#[test]
fn picture_shows_what_the_demo_prints() {
    let text = output(PICTURED);
    let (shown, _) = text.split_once("\nIt could also be").unwrap();
    let drawn = draw(
        "pullprobe demo --fault s3-gateway-missing",
        shown.trim_end(),
    );
    let path = Path::new(ROOT).join("docs/pictures/demo.svg");
    if std::env::var_os("REFRESH_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, drawn).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(path).unwrap();
    let same = without_numbers(&kept) == without_numbers(&drawn);
    assert!(same, "REFRESH_DOCS=1 draws the picture again");
}

/// Compares the commands, without flags that only reduce their output.
#[test]
fn contributing_lists_the_commands_of_each_step() {
    // Both run the same suites.
    let script = include_str!("run").replace("pytest_parallel ", "pytest ");
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
        let body = if step == "tools" {
            script.as_str()
        } else {
            body
        };
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
