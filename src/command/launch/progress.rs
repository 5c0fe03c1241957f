//! A live line for each subnet on a terminal, plain lines elsewhere; on standard error, which is
//! not the reports' place.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::operator::launch::State;
use crate::verdict::Verdict;

/// RunningTasks lines at once; a terminal has 24, and the reports go through it too.
const MOST_LINES: usize = 16;

/// What is seen of a launch while it runs.
pub struct Progress {
    terminal: Option<(MultiProgress, Vec<ProgressBar>, ProgressBar)>,
    subnets: Vec<String>,
    begun: Instant,
    done: usize,
}

impl Progress {
    /// One line for each of these.
    pub fn new(subnets: &[String]) -> Self {
        let terminal = std::io::stderr().is_terminal().then(|| lines(subnets));
        Self {
            terminal,
            subnets: subnets.to_vec(),
            begun: Instant::now(),
            done: 0,
        }
    }

    /// A subnet's task is somewhere else.
    pub fn state(&mut self, subnet: usize, state: State<'_>) {
        let text = match state {
            State::Waiting(why) => format!("waiting: {}", why.lines().next().unwrap_or_default()),
            State::Ecs(status) => status.to_owned(),
            State::Stopping => "stopping".to_owned(),
        };
        self.say(subnet, &text);
    }

    /// A subnet's report is there.
    pub fn landed(&mut self, subnet: usize, verdict: &Verdict) {
        self.done += 1;
        let text = format!("{} ({})", verdict.status, verdict.exit_code);
        self.say(subnet, &text);
        if let Some((_, lines, total)) = &self.terminal {
            if let Some(line) = lines.get(subnet) {
                line.finish();
            }
            total.set_message(format!("{} of {} subnets", self.done, self.subnets.len()));
        }
    }

    /// Prints without tearing the live lines.
    pub fn aside(&self, print: impl FnOnce()) {
        match &self.terminal {
            Some((all, ..)) => all.suspend(print),
            None => print(),
        }
    }

    /// Takes the live lines away.
    pub fn end(&mut self) {
        if let Some((all, ..)) = self.terminal.take() {
            let _ = all.clear();
        }
    }

    fn say(&self, subnet: usize, text: &str) {
        match &self.terminal {
            Some((_, lines, _)) => {
                if let Some(line) = lines.get(subnet) {
                    line.set_message(text.to_owned());
                }
            }
            None => eprintln!(
                "{:>6.1} s  {}  {text}",
                self.begun.elapsed().as_secs_f32(),
                self.subnets[subnet]
            ),
        }
    }
}

fn lines(subnets: &[String]) -> (MultiProgress, Vec<ProgressBar>, ProgressBar) {
    let all = MultiProgress::new();
    let width = subnets.iter().map(String::len).max().unwrap_or_default();
    let style = |template: &str| {
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
    };
    let line = |subnet: &String| {
        let line = all.add(ProgressBar::new_spinner());
        line.set_style(style("{spinner} {prefix} {elapsed:>5} {wide_msg}"));
        line.set_prefix(format!("{subnet:<width$}"));
        line.set_message("starting");
        line.enable_steady_tick(Duration::from_millis(250));
        line
    };
    let lines: Vec<_> = subnets.iter().take(MOST_LINES).map(line).collect();
    let total = all.add(ProgressBar::new_spinner());
    total.set_style(style("  {wide_msg}"));
    total.set_message(format!("0 of {} subnets", subnets.len()));
    (all, lines, total)
}
