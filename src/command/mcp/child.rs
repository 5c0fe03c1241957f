//! Runs a command as a child process, with limits on time and memory whatever it does.

use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::tool::ToolCall;
use crate::operator::aws::settings;
use crate::os;
use crate::redact::redact;
use crate::safe_text::escape_message;

/// Maximum number of bytes of an answer. The report of one subnet has at most 256 KiB, and no model
/// reads more than this.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;

/// Maximum number of bytes of a line on stderr, and of lines that are passed on.
const MAX_NOTE: u64 = 16 * 1024;
const MAX_NOTES: usize = 200;

/// Time for a launch to stop its tasks and delete its functions.
pub(super) const GRACE: Duration = Duration::from_mins(2);

/// What ends a call early: the end of the server, or the client.
pub(super) struct Stop {
    pub stopped: watch::Receiver<bool>,
    pub cancelled: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Stop {
    async fn wait(self) {
        let mut stopped = self.stopped;
        tokio::select! {
            // Also if the sender is gone.
            _ = stopped.wait_for(|stopped| *stopped) => {}
            () = self.cancelled => {}
        }
    }
}

/// What a command printed.
pub struct ChildAnswer {
    pub exit_code: i32,
    pub stdout: String,
}

/// Runs a command. Its stderr goes to `notes`, line by line. Fails, with a sentence, if it does not
/// end by itself.
pub(super) async fn run(
    call: ToolCall,
    stop: Stop,
    notes: mpsc::UnboundedSender<String>,
) -> Result<ChildAnswer, String> {
    let name = call.tool.name();
    let failed = |error: std::io::Error| format!("{name} could not be run: {error}");
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(&call.arguments)
        .args(settings().flags())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let process = child.id();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A command that refuses its flags reads nothing.
            let _ = stdin.write_all(call.stdin.as_bytes()).await;
        }
    };
    let work = async {
        let (status, stdout, (), ()) = tokio::join!(
            child.wait(),
            read_answer(stdout),
            pass_notes(stderr, notes),
            write
        );
        (status, stdout)
    };
    tokio::pin!(work);
    let why = tokio::select! {
        (status, stdout) = &mut work => {
            let stdout = stdout.map_err(|_| {
                format!(
                    "the answer of {name} is larger than {} MiB; ask for less, such as for one subnet or a shorter time",
                    MAX_ANSWER / 1024 / 1024
                )
            })?;
            let exit_code = status.map_err(failed)?.code().unwrap_or(1);
            return Ok(ChildAnswer { exit_code, stdout });
        }
        () = stop.wait() => format!("{name} was stopped, because the client cancelled the call or disconnected"),
        () = sleep(call.tool.time_limit()) => format!(
            "{name} had not ended after {} s and was stopped; ask for less, or run `pullprobe {name}` in a shell",
            call.tool.time_limit().as_secs()
        ),
    };
    if process.is_some_and(os::interrupt) {
        let _ = timeout(GRACE, work).await;
    }
    Err(why)
}

/// An answer is larger than [`MAX_ANSWER`].
struct TooLarge;

async fn read_answer(stdout: Option<impl AsyncRead + Unpin>) -> Result<String, TooLarge> {
    let mut bytes = Vec::new();
    if let Some(stdout) = stdout {
        // What was read until an error is not a document, which is found where it is parsed.
        let _ = stdout.take(MAX_ANSWER + 1).read_to_end(&mut bytes).await;
    }
    if bytes.len() as u64 > MAX_ANSWER {
        return Err(TooLarge);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn pass_notes(stderr: Option<impl AsyncRead + Unpin>, notes: mpsc::UnboundedSender<String>) {
    let Some(stderr) = stderr else { return };
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut count = 0;
    loop {
        line.clear();
        match (&mut reader)
            .take(MAX_NOTE)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => count += 1,
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if count <= MAX_NOTES && !text.is_empty() {
            let _ = notes.send(redact(&escape_message(text)));
        }
    }
}
