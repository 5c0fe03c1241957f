//! `-v`: what the operator's commands do, on stderr. Without it nothing is written.
//!
//! Events name a call, its status and its time, never a header, an argument or a body. What a
//! service sent, such as its error code, goes through [`crate::redact`] as well.

use std::fmt;
use std::io;
use std::time::Instant;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::redact::redact;
use crate::safe_text::write_stderr;

/// Starts the log: with 1 calls and waits, with 2 more about each. Only this crate's events are
/// written: those of libraries may contain secrets. A server also writes the errors of its
/// protocol, such as a message that is too long and gets no answer.
pub fn start(verbosity: u8, is_server: bool) {
    let level = match verbosity {
        0 if !is_server => return,
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .with_timer(SinceStart(Instant::now()))
        .with_writer(|| RedactedLine);
    let mut own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    if is_server {
        own = own.with_target("rmcp", LevelFilter::ERROR);
    }
    // Fails only if there is a log already.
    let _ = tracing_subscriber::registry()
        .with(own)
        .with(lines)
        .try_init();
}

/// Seconds since the log began.
struct SinceStart(Instant);

impl FormatTime for SinceStart {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{:8.3} s", self.0.elapsed().as_secs_f64())
    }
}

/// Writes one line, which the formatter passes whole.
struct RedactedLine;

impl io::Write for RedactedLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write_stderr(&redact(String::from_utf8_lossy(line).trim_end()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
