//! `pullprobe completions`.

use clap_complete::Shell;

use super::{Error, print};
use crate::cli::help;

/// Prints the completion script of a shell.
pub fn run(shell: Shell) -> Result<u8, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::command(), "pullprobe", &mut script);
    print(&String::from_utf8_lossy(&script))
}
