//! The commands: from flags to output and exit code.

#[cfg(feature = "operator")]
mod aws;
#[cfg(feature = "operator")]
mod causes;
#[cfg(feature = "operator")]
pub mod compare;
#[cfg(feature = "operator")]
mod completions;
#[cfg(feature = "demo")]
pub mod demo;
#[cfg(feature = "operator")]
mod dry_run;
pub mod explain;
#[cfg(feature = "operator")]
pub mod fleet;
pub mod function;
#[cfg(feature = "operator")]
pub mod gc;
#[cfg(feature = "operator")]
pub mod inspect;
#[cfg(feature = "operator")]
pub mod install;
#[cfg(feature = "operator")]
pub mod launch;
#[cfg(feature = "operator")]
mod log;
#[cfg(feature = "operator")]
mod man;
#[cfg(feature = "operator")]
pub mod mcp;
mod page;
pub mod plan;
mod plan_input;
pub mod probe;
#[cfg(feature = "operator")]
pub mod schedule;

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use clap::CommandFactory;

use crate::cause::Cause;
#[cfg(feature = "operator")]
use crate::cli::CausesFormat;
use crate::cli::{Cli, Command, SchemaDocument};
#[cfg(feature = "operator")]
use crate::operator::aws::{AwsSettings, use_settings};
use crate::render::{self, style::Style};
#[cfg(feature = "operator")]
use crate::safe_text::escape_message;
use crate::safe_text::{escape_lines, write_stderr};
use crate::vault::Vault;

/// Whether to print colors on standard output: on a terminal that has some, unless NO_COLOR is set
/// (no-color.org).
fn color() -> bool {
    io::stdout().is_terminal()
        && !is_dumb_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether the terminal only prints text, as that of an editor or a log.
pub(crate) fn is_dumb_terminal() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Returns the style of standard output: as wide as COLUMNS says, or as the terminal is.
fn style() -> Style {
    let from_environment = || std::env::var("COLUMNS").ok()?.trim().parse().ok();
    let columns = from_environment().or_else(terminal_columns);
    columns
        .map_or_else(Style::default, Style::new)
        .with_color(color())
}

/// Returns the columns of the terminal of standard output.
#[cfg(all(unix, feature = "operator"))]
fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// Returns nothing: a container's output is not a terminal.
#[cfg(not(all(unix, feature = "operator")))]
const fn terminal_columns() -> Option<usize> {
    None
}

/// Error of a command, with exit code 1 or 2.
#[derive(Debug)]
pub enum Error {
    /// Exit code 2: invalid arguments, plan or input.
    Usage(String),
    /// Exit code 1: an error of this program, this machine or an AWS call.
    Tool(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The text may quote an argument or a file.
            Self::Usage(text) | Self::Tool(text) => f.write_str(&escape_lines(text, false)),
        }
    }
}

impl Error {
    /// Returns the exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Tool(_) => 1,
        }
    }

    /// Removes the secrets of a run.
    fn without_secrets(self, vault: &Vault) -> Self {
        match self {
            Self::Usage(text) => Self::Usage(vault.redact(&text)),
            Self::Tool(text) => Self::Tool(vault.redact(&text)),
        }
    }
}

/// Returns a document's JSON Schema. The build embeds it without indentation, which is restored
/// here: a line that ends with an opening bracket indents the lines up to the closing one.
fn schema(document: SchemaDocument) -> String {
    let lines = match document {
        SchemaDocument::Report => include_str!(concat!(env!("OUT_DIR"), "/report-v1.json")),
        SchemaDocument::Explanation => {
            include_str!(concat!(env!("OUT_DIR"), "/explanation-v1.json"))
        }
        SchemaDocument::Comparison => include_str!(concat!(env!("OUT_DIR"), "/comparison-v1.json")),
        #[cfg(feature = "operator")]
        SchemaDocument::Inspection => include_str!(concat!(env!("OUT_DIR"), "/inspection-v1.json")),
    };
    let mut text = String::new();
    let mut depth: usize = 0;
    for line in lines.lines() {
        depth -= usize::from(line.starts_with(['}', ']']));
        text.push_str(&"  ".repeat(depth));
        text.push_str(line);
        text.push('\n');
        depth += usize::from(line.ends_with(['{', '[']));
    }
    text
}

/// Runs the command and returns its exit code.
pub fn run(cli: Cli) -> Result<u8, Error> {
    #[cfg(feature = "operator")]
    log::start(cli.log, matches!(cli.command, Command::Mcp { .. }));
    #[cfg(feature = "operator")]
    use_settings(AwsSettings {
        profile: cli.aws.profile,
        endpoint_url: cli.aws.endpoint_url,
    });
    match cli.command {
        Command::Probe(args) => probe::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Explain(args) => explain::run(&args),
        #[cfg(feature = "operator")]
        Command::Compare(args) => compare::run(&args),
        #[cfg(feature = "operator")]
        Command::Causes {
            code,
            format: CausesFormat::Json,
        } => print(&causes::json(code.as_deref().map(find_cause).transpose()?)),
        Command::Causes {
            code: Some(code), ..
        } => {
            let cause = find_cause(&code)?;
            print(&render::page::render(cause.page(), style()))
        }
        Command::Causes { code: None, .. } => print(&list_of_causes()),
        Command::Schema { document } => print(&schema(document)),
        #[cfg(feature = "operator")]
        Command::Launch(args) => launch::run(&args),
        #[cfg(feature = "operator")]
        Command::Inspect(args) => inspect::run(&args),
        #[cfg(feature = "operator")]
        Command::Install(args) => install::run(&args),
        #[cfg(feature = "operator")]
        Command::Gc(args) => gc::run(&args),
        #[cfg(feature = "operator")]
        Command::Schedule(args) => schedule::run(&args),
        #[cfg(feature = "operator")]
        Command::Fleet(args) => fleet::run(&args),
        #[cfg(feature = "operator")]
        Command::Mcp { allow_launch } => mcp::run(allow_launch),
        #[cfg(feature = "operator")]
        Command::Completions { shell } => completions::run(shell),
        #[cfg(feature = "operator")]
        Command::Man { directory } => man::run(directory.as_deref()),
        #[cfg(feature = "demo")]
        Command::Demo {
            fault,
            list,
            format,
            screen,
        } => demo::run(fault.as_deref(), list, format, screen.verbose),
    }
}

/// Writes to stdout. A closed pipe, as with `| head`, is not an error. Fails if stdout cannot be
/// written.
pub(crate) fn print(text: &str) -> Result<u8, Error> {
    let text = escape_lines(text, color());
    let mut stdout = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Tool(format!("stdout: {error}")))
        }
        _ => Ok(0),
    }
}

/// Writes a note to stderr.
pub(crate) fn note(text: &str) {
    write_stderr(&format!("pullprobe: {text}"));
}

/// Writes a message to stdout; see [`print`].
#[cfg(feature = "operator")]
pub(crate) fn print_message(text: &str) -> Result<u8, Error> {
    print(&escape_message(text))
}

/// Returns a hint at the name that is most similar to `word`, if one is similar enough: `; did you
/// mean …?`.
#[cfg(feature = "operator")]
pub(crate) fn did_you_mean<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    /// As clap's: alike in most letters, in about the same order.
    const MIN_SIMILARITY: f64 = 0.8;
    let best = names
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((similarity, name)) if similarity >= MIN_SIMILARITY => {
            format!("; did you mean {name}?")
        }
        _ => String::new(),
    }
}

/// Returns no hint: the image has no room for one.
#[cfg(not(feature = "operator"))]
pub(crate) fn did_you_mean<'a>(_: &str, _: impl Iterator<Item = &'a str>) -> String {
    String::new()
}

fn find_cause(code: &str) -> Result<Cause, Error> {
    code.parse().map_err(|error| {
        let codes = Cause::ALL.iter().map(|cause| cause.code());
        Error::Usage(format!("{error}{}", did_you_mean(code, codes)))
    })
}

fn list_of_causes() -> String {
    let width = Cause::ALL
        .iter()
        .map(|cause| cause.code().len())
        .max()
        .unwrap_or_default();
    let mut causes = Cause::ALL.to_vec();
    causes.sort_by_key(|cause| cause.family());
    let paragraph = |family: &[Cause]| {
        let lines = family
            .iter()
            .map(|cause| format!("  {:<width$}  {}", cause.code(), cause.summary()));
        let heading = family.first().map(|cause| cause.family().to_string());
        heading
            .into_iter()
            .chain(lines)
            .collect::<Vec<_>>()
            .join("\n")
    };
    causes
        .chunk_by(|a, b| a.family() == b.family())
        .map(paragraph)
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// Returns the environment variables that can set a command's flags.
pub fn environment_names(command: &str) -> Vec<String> {
    let cli = Cli::command();
    let Some(command) = cli.find_subcommand(command) else {
        return Vec::new();
    };
    command
        .get_arguments()
        .filter_map(|arg| arg.get_env())
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}
