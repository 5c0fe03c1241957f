//! Says what a command waits for: a call that is repeated, one that takes long, or many of them.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::CallError;
use crate::safe_text::write_stderr;

/// Receives each notice.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// A call that takes less is not worth a line.
const SHORT: Duration = Duration::from_secs(1);

/// The longest silence: a third of what people take for a hang.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// Writes notices, from any number of calls at once.
#[derive(Clone)]
pub(super) struct Waiting {
    notice: Notice,
    silence: Arc<Mutex<Silence>>,
}

/// The time since the last notice.
#[derive(Debug)]
struct Silence {
    since: Instant,
    calls: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Self::new(Arc::new(|text| write_stderr(&format!("pullprobe: {text}"))))
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

impl Waiting {
    pub(super) fn new(notice: Notice) -> Self {
        let silence = Silence {
            since: Instant::now(),
            calls: 0,
        };
        Self {
            notice,
            silence: Arc::new(Mutex::new(silence)),
        }
    }

    /// Counts a call, and says where a long series of calls is.
    pub(super) fn begin(&self, action: &str) {
        let calls = {
            let mut silence = self.silence();
            silence.calls += 1;
            (silence.since.elapsed() >= MAX_SILENCE).then_some(silence.calls)
        };
        if let Some(calls) = calls {
            self.say(&format!("{calls} calls so far, now {action}"));
        }
    }

    /// Waits for a response, and says so while it does not come.
    pub(super) async fn during<T>(
        &self,
        action: &str,
        started: Instant,
        response: impl Future<Output = T>,
    ) -> T {
        let mut response = pin!(response);
        loop {
            match tokio::time::timeout(MAX_SILENCE, &mut response).await {
                Ok(response) => return response,
                Err(_) => self.say(&format!(
                    "{action}: no answer yet, after {} s",
                    started.elapsed().as_secs()
                )),
            }
        }
    }

    /// Says that a call is repeated, unless it has just begun.
    pub(super) fn retry(&self, action: &str, error: &CallError, pause: Duration, started: Instant) {
        if started.elapsed() + pause < SHORT {
            return;
        }
        let why = match error {
            error if error.is_throttling() => "throttled".to_owned(),
            CallError::NoResponse { .. } => "no response".to_owned(),
            error => format!("failed with {}", error.code()),
        };
        self.say(&format!(
            "{action}: {why}, trying again in {:.1} s ({} s so far)",
            pause.as_secs_f32(),
            started.elapsed().as_secs()
        ));
    }

    fn say(&self, text: &str) {
        self.silence().since = Instant::now();
        (self.notice)(text);
    }

    fn silence(&self) -> std::sync::MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
