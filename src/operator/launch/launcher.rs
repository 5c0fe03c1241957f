//! Who watches a task: its launch's process, so that `gc` can tell what was left behind from what
//! somebody still waits for.

use std::fs;
use std::sync::OnceLock;

use crate::operator::ecs::digest;

/// Tag of our tasks: `MACHINE/PID/START/SECONDS`, the process and for how long after the task's
/// creation it may watch.
pub const LAUNCHER_TAG: &str = "pullprobe:launcher";

/// A process, as no other one is named on any machine: where its number counts, its number, and
/// when it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    machine: String,
    pid: u32,
    start: String,
}

impl Launcher {
    /// This process.
    pub fn this() -> &'static Self {
        static THIS: OnceLock<Launcher> = OnceLock::new();
        THIS.get_or_init(|| {
            let pid = std::process::id();
            // Where /proc tells nothing, the time is as good as the start to tell two processes
            // apart.
            let start = stat(pid).map_or_else(
                || jiff::Timestamp::now().as_nanosecond().to_string(),
                |(_, start)| start,
            );
            Self {
                machine: machine(),
                pid,
                start,
            }
        })
    }

    /// The tag's value, of a task that is watched for so many seconds.
    pub fn tag(&self, seconds: u64) -> String {
        let Self {
            machine,
            pid,
            start,
        } = self;
        format!("{machine}/{pid}/{start}/{seconds}")
    }

    /// Reads a tag's value.
    pub fn read(tag: &str) -> Option<(Self, u64)> {
        let mut parts = tag.split('/');
        let (machine, pid, start, seconds) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let launcher = Self {
            machine: machine.into(),
            pid: pid.parse().ok()?,
            start: start.into(),
        };
        Some((launcher, seconds.parse().ok()?))
    }

    /// Its number, if it still runs on this machine; `None` if it is of another machine, where
    /// nobody can tell.
    pub fn runs_here(&self) -> Option<Option<u32>> {
        if self.machine != machine() {
            return None;
        }
        // A zombie has ended and was not waited for yet.
        let runs = stat(self.pid)
            .is_some_and(|(state, start)| !matches!(state, 'Z' | 'X') && start == self.start);
        Some(runs.then_some(self.pid))
    }
}

/// The boot and the PID namespace in which a process's number counts, as a digest; something else
/// each time where /proc is not Linux's, and so never the same machine.
fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    match fs::read_link("/proc/self/ns/pid") {
        Ok(namespace) if !boot.is_empty() => {
            digest(&[boot.trim(), &namespace.to_string_lossy()], 6)
        }
        _ => format!("unknown{}", jiff::Timestamp::now().as_nanosecond()),
    }
}

/// State and start of a process (proc(5), `/proc/PID/stat`: members 3 and 22; the second may have
/// spaces and brackets).
fn stat(pid: u32) -> Option<(char, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut members = rest.split_whitespace();
    let state = members.next()?.chars().next()?;
    Some((state, members.nth(18)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_while_it_runs_and_not_after() {
        let (this, seconds) = Launcher::read(&Launcher::this().tag(510)).unwrap();
        assert_eq!((&this, seconds), (Launcher::this(), 510));
        assert_eq!(this.runs_here(), Some(Some(std::process::id())));
        // Its number, taken again by another process.
        assert_eq!(
            Launcher {
                start: "1".into(),
                ..this.clone()
            }
            .runs_here(),
            Some(None)
        );
        assert_eq!(
            Launcher {
                machine: "elsewhere".into(),
                ..this
            }
            .runs_here(),
            None
        );
    }

    #[test]
    fn a_process_that_ended_and_was_not_waited_for_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let begin = std::time::Instant::now();
        let (_, start) = stat(child.id()).unwrap();
        let launcher = Launcher {
            pid: child.id(),
            start,
            ..Launcher::this().clone()
        };
        while launcher.runs_here() != Some(None) {
            assert!(begin.elapsed().as_secs() < 10);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert_eq!(launcher.runs_here(), Some(None));
    }

    #[test]
    fn a_value_fits_a_tag() {
        // 256 letters, digits, spaces and `_ . : / = + - @` (ECS API reference, Tag).
        let tag = Launcher::this().tag(90_000);
        assert!(
            tag.len() < 128 && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '/'),
            "{tag}"
        );
        assert!(Launcher::read("garbage").is_none() && Launcher::read("").is_none());
    }
}
