//! The progress of a launch on standard error: a live line for each subnet on a terminal, plain
//! lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::AbortHandle;

use super::super::is_dumb_terminal;
use crate::operator::aws::Notice;
use crate::operator::launch::TaskState;
use crate::safe_text::{escape_lines, escape_message, write_stderr};
use crate::verdict::Verdict;

/// Maximum number of live lines: a terminal has 24, and shows the reports as well.
const MAX_LINES: usize = 16;

/// Shows the state of each subnet.
pub struct Progress {
    terminal: Option<LiveLines>,
    subnets: Vec<String>,
    started: Instant,
    finished: usize,
    /// `None` where live lines are shown, which show the time themselves, or no lines.
    plain: Option<PlainLines>,
}

/// Plain lines, and the task that writes one after a long silence.
struct PlainLines {
    last_line: Arc<Mutex<Instant>>,
    heartbeat: AbortHandle,
}

/// The longest silence of plain lines: a task may be PENDING for minutes.
const MAX_SILENCE: Duration = Duration::from_secs(20);

/// Writes, while nothing changes, that the launch is still running.
async fn write_heartbeat(last_line: Arc<Mutex<Instant>>, started: Instant) {
    loop {
        let silent = locked(&last_line).elapsed();
        if silent < MAX_SILENCE {
            tokio::time::sleep(MAX_SILENCE.saturating_sub(silent)).await;
            continue;
        }
        *locked(&last_line) = Instant::now();
        write_stderr(&format!(
            "{:>6.1} s  waiting for the tasks",
            started.elapsed().as_secs_f32()
        ));
    }
}

fn locked(last_line: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    last_line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The live lines of a terminal.
struct LiveLines {
    all: MultiProgress,
    /// One for each of the first subnets.
    subnets: Vec<ProgressBar>,
    total: ProgressBar,
}

impl Progress {
    pub fn new(subnets: &[String], is_quiet: bool) -> Self {
        // A terminal that only prints text cannot move its cursor, so it gets plain lines; live
        // lines would cover those of the log.
        let is_live = std::io::stderr().is_terminal() && !is_dumb_terminal();
        let is_terminal = is_live && !is_quiet && !tracing::enabled!(tracing::Level::INFO);
        let started = Instant::now();
        let plain = (!is_terminal && !is_quiet).then(|| {
            let last_line = Arc::new(Mutex::new(started));
            let heartbeat =
                tokio::spawn(write_heartbeat(Arc::clone(&last_line), started)).abort_handle();
            PlainLines {
                last_line,
                heartbeat,
            }
        });
        Self {
            plain,
            terminal: is_terminal.then(|| LiveLines::new(subnets)),
            subnets: subnets.to_vec(),
            started,
            finished: 0,
        }
    }

    /// Shows the state of a subnet's task.
    pub fn set_state(&mut self, subnet: usize, state: TaskState<'_>) {
        let text = match state {
            TaskState::Waiting(reason) => {
                format!("waiting: {}", reason.lines().next().unwrap_or(reason))
            }
            TaskState::Ecs(text) | TaskState::Function(text) => text.to_owned(),
            TaskState::Stopping => "stopping".to_owned(),
        };
        self.show(subnet, &text);
    }

    /// Shows the verdict of a subnet.
    pub fn finish(&mut self, subnet: usize, verdict: &Verdict) {
        self.finished += 1;
        let text = format!("{} ({})", verdict.status, verdict.exit_code);
        self.show(subnet, &text);
        if let Some(lines) = &self.terminal {
            if let Some(line) = lines.subnets.get(subnet) {
                line.finish();
            }
            lines.total.set_message(format!(
                "{} of {} subnets",
                self.finished,
                self.subnets.len()
            ));
        }
    }

    /// Returns what shows a notice above the live lines, if there are any.
    pub fn notice(&self) -> Option<Notice> {
        let all = self.terminal.as_ref()?.all.clone();
        Some(Arc::new(move |text: &str| {
            let _ = all.println(format!("pullprobe: {}", escape_message(text)));
        }))
    }

    /// Runs `print` with the live lines out of the way.
    pub fn suspend(&self, print: impl FnOnce()) {
        match &self.terminal {
            Some(lines) => lines.all.suspend(print),
            None => print(),
        }
    }

    /// Removes the live lines, or stops the plain ones.
    pub fn end(&mut self) {
        if let Some(lines) = self.terminal.take() {
            let _ = lines.all.clear();
        }
        if let Some(lines) = self.plain.take() {
            lines.heartbeat.abort();
        }
    }

    fn show(&self, subnet: usize, text: &str) {
        let text = escape_lines(text, false);
        if let Some(lines) = &self.terminal {
            if let Some(line) = lines.subnets.get(subnet) {
                line.set_message(text.into_owned());
            }
        } else if let Some(lines) = &self.plain {
            *locked(&lines.last_line) = Instant::now();
            write_stderr(&format!(
                "{:>6.1} s  {}  {text}",
                self.started.elapsed().as_secs_f32(),
                self.subnets[subnet]
            ));
        }
    }
}

impl LiveLines {
    fn new(subnets: &[String]) -> Self {
        let all = MultiProgress::new();
        let width = subnets.iter().map(String::len).max().unwrap_or_default();
        let subnet_line = |subnet: &String| {
            let line = all.add(ProgressBar::new_spinner());
            line.set_style(style("{spinner} {prefix} {elapsed:>5} {wide_msg}"));
            let subnet = escape_message(subnet);
            line.set_prefix(format!("{subnet:<width$}"));
            line.set_message("starting");
            line.enable_steady_tick(Duration::from_millis(250));
            line
        };
        let lines = subnets.iter().take(MAX_LINES).map(subnet_line).collect();
        let total = all.add(ProgressBar::new_spinner());
        total.set_style(style("  {wide_msg}"));
        total.set_message(format!("0 of {} subnets", subnets.len()));
        Self {
            all,
            subnets: lines,
            total,
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
