//! The `pullprobe` binary: from flags to exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use pullprobe::cli::Cli;
use pullprobe::command;
use pullprobe::safe_text::write_stderr;
use zeroizing_alloc::ZeroAlloc;

/// Wipes memory when it is freed: secrets pass through buffers of the TLS, HTTP and JSON libraries,
/// and must not stay there until the end of the run.
#[global_allocator]
static MEMORY: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            if error.use_stderr() {
                // It quotes the argument.
                write_stderr(error.to_string().trim_end());
            } else {
                let _ = error.print();
            }
            return ExitCode::from(code);
        }
    };
    match command::run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            write_stderr(&format!("pullprobe: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
