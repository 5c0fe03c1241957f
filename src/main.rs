//! The `pullprobe` binary: from flags to exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use pullprobe::cli::Cli;
use pullprobe::command::{self, function};
use pullprobe::safe_text::write_stderr;
use zeroizing_alloc::ZeroAlloc;

/// Wipes memory when it is freed: secrets pass through buffers of the TLS, HTTP and JSON libraries,
/// and must not stay there until the end of the run.
#[global_allocator]
static MEMORY: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    if let Some(address) = function::runtime_api() {
        return exit(function::serve(&address));
    }
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            if error.use_stderr() {
                // It quotes the argument.
                write_stderr(error.to_string().trim_end());
                let command = std::env::args().nth(1);
                if let Some(hint) = pullprobe::cli::hint(&error, command.as_deref()) {
                    write_stderr(&hint);
                }
            } else {
                let _ = error.print();
            }
            return ExitCode::from(code);
        }
    };
    exit(command::run(cli))
}

fn exit(result: Result<u8, command::Error>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            write_stderr(&format!("pullprobe: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
