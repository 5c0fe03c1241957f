//! The commands: from flags to output and exit code.

#[cfg(feature = "operator")]
pub mod compare;
#[cfg(feature = "demo")]
pub mod demo;
pub mod explain;
#[cfg(feature = "operator")]
pub mod gc;
#[cfg(feature = "operator")]
pub mod launch;
pub mod plan;
mod plan_input;
pub mod probe;
#[cfg(feature = "operator")]
pub mod schedule;
mod signals;

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use clap::CommandFactory;

use crate::cause::Cause;
use crate::cli::{Cli, Command, Document};

/// Whether standard output shows colours: a terminal, unless its owner wants none (no-color.org).
fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The tool could not do its work: exit 1 or 2, one sentence for a person.
#[derive(Debug)]
pub enum Error {
    /// Exit 2: arguments, plan or input.
    Usage(String),
    /// Exit 1: something of ours or of this machine.
    Tool(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Tool(text) => f.write_str(text),
        }
    }
}

impl Error {
    /// The process exits with this.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Tool(_) => 1,
        }
    }
}

/// Does what the command line says and returns the exit code.
pub fn run(cli: Cli) -> Result<u8, Error> {
    match cli.command {
        Command::Probe(flags) => probe::run(&flags),
        Command::Plan(flags) => plan::run(&flags),
        Command::Explain(flags) => explain::run(&flags),
        #[cfg(feature = "operator")]
        Command::Compare(flags) => compare::run(&flags),
        Command::Causes { code: Some(cause) } => print(cause.page()),
        Command::Causes { code: None } => print(&list_of_causes()),
        Command::Schema {
            document: Document::Report,
        } => print(include_str!("../schemas/report-v1.json")),
        Command::Schema {
            document: Document::Explanation,
        } => print(include_str!("../schemas/explanation-v1.json")),
        Command::Schema {
            document: Document::Comparison,
        } => print(include_str!("../schemas/comparison-v1.json")),
        #[cfg(feature = "operator")]
        Command::Launch(flags) => launch::run(&flags),
        #[cfg(feature = "operator")]
        Command::Gc(flags) => gc::run(&flags),
        #[cfg(feature = "operator")]
        Command::Schedule(flags) => schedule::run(&flags),
        #[cfg(feature = "demo")]
        Command::Demo {
            fault,
            list,
            format,
        } => demo::run(fault.as_deref(), list, format),
    }
}

/// Writes to stdout. A reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<u8, Error> {
    let mut stdout = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Tool(format!("stdout: {error}")))
        }
        _ => Ok(0),
    }
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

/// The names of the environment variables that flags of this command can come from.
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
