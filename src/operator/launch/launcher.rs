//! Records which process started a task, so that `gc` can distinguish orphans from live launches.

use std::fs;
use std::sync::OnceLock;

use crate::operator::ecs::digest;

/// Tag of the probe's tasks with the value `MACHINE/PID/START/SECONDS`: the process, and how long
/// after the task's creation it may watch the task.
pub const LAUNCHER_TAG: &str = "pullprobe:launcher";

/// A process of `launch`, identified across machines and reboots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    /// Digest of boot ID and PID namespace.
    machine: String,
    pid: u32,
    /// Start time as in `/proc`, because PIDs are reused.
    start: String,
}

/// State of a [`Launcher`], as seen from this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LauncherProcess {
    /// It runs on this machine with this PID.
    Running(u32),
    /// It ran on this machine and has ended.
    Gone,
    /// Its state cannot be read from here.
    OnAnotherMachine,
}

impl Launcher {
    /// Returns this process.
    pub fn this() -> &'static Self {
        static THIS: OnceLock<Launcher> = OnceLock::new();
        THIS.get_or_init(|| {
            let pid = std::process::id();
            // Without /proc the current time distinguishes processes as well.
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

    /// Formats the tag's value for a task that is watched for `seconds`.
    pub fn tag(&self, seconds: u64) -> String {
        let Self {
            machine,
            pid,
            start,
        } = self;
        format!("{machine}/{pid}/{start}/{seconds}")
    }

    /// Parses a tag's value into the process and the seconds.
    pub fn read(tag: &str) -> Option<(Self, u64)> {
        let mut fields = tag.split('/');
        let (machine, pid, start, seconds) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        );
        let launcher = Self {
            machine: machine.into(),
            pid: pid.parse().ok()?,
            start: start.into(),
        };
        Some((launcher, seconds.parse().ok()?))
    }

    /// Looks for the process on this machine.
    pub fn local_process(&self) -> LauncherProcess {
        if self.machine != machine() {
            return LauncherProcess::OnAnotherMachine;
        }
        // A zombie has ended and its parent has not waited for it yet.
        match stat(self.pid) {
            Some((state, start)) if !matches!(state, 'Z' | 'X') && start == self.start => {
                LauncherProcess::Running(self.pid)
            }
            _ => LauncherProcess::Gone,
        }
    }
}

/// Returns a digest of the boot ID and the PID namespace, within which a PID is unique. Without
/// Linux's /proc it differs on each call, so that no machine equals another.
fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    match fs::read_link("/proc/self/ns/pid") {
        Ok(namespace) if !boot.is_empty() => {
            digest(&[boot.trim(), &namespace.to_string_lossy()], 6)
        }
        _ => format!("unknown{}", jiff::Timestamp::now().as_nanosecond()),
    }
}

/// Reads state and start time of a process: fields 3 and 22 of `/proc/PID/stat`, of which field 2
/// may contain spaces and parentheses (proc(5)).
fn stat(pid: u32) -> Option<(char, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_process_is_found_and_reused_pid_is_not() {
        let (this, seconds) = Launcher::read(&Launcher::this().tag(510)).unwrap();
        assert_eq!((&this, seconds), (Launcher::this(), 510));
        assert_eq!(
            this.local_process(),
            LauncherProcess::Running(std::process::id())
        );
        // The same PID, reused by another process.
        let other_start = Launcher {
            start: "1".into(),
            ..this.clone()
        };
        assert_eq!(other_start.local_process(), LauncherProcess::Gone);
        let other_machine = Launcher {
            machine: "elsewhere".into(),
            ..this
        };
        assert_eq!(
            other_machine.local_process(),
            LauncherProcess::OnAnotherMachine
        );
    }

    #[test]
    fn zombie_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let begin = std::time::Instant::now();
        let (_, start) = stat(child.id()).unwrap();
        let launcher = Launcher {
            pid: child.id(),
            start,
            ..Launcher::this().clone()
        };
        while launcher.local_process() != LauncherProcess::Gone {
            assert!(begin.elapsed().as_secs() < 10);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert_eq!(launcher.local_process(), LauncherProcess::Gone);
    }

    #[test]
    fn value_is_a_valid_tag() {
        // 256 letters, digits, spaces and `_ . : / = + - @` (ECS API reference, Tag).
        let tag = Launcher::this().tag(90_000);
        assert!(
            tag.len() < 128 && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '/'),
            "{tag}"
        );
        assert!(Launcher::read("garbage").is_none() && Launcher::read("").is_none());
    }
}
