//! The tasks that run, and how long they may.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::operator::ecs::{Task, Tasks};
use crate::operator::launch::definition::CONTAINER;
use crate::operator::launch::request::Launch;

/// A task that was started, by us, in a subnet.
#[derive(Debug, Clone)]
pub struct RunningTasks {
    /// Which.
    pub subnet: usize,
    status: String,
    document: Value,
    accepted: Instant,
    running: Option<Instant>,
    /// Since when ECS says that it does not know it.
    missing: Option<Instant>,
    stop: Stop,
    /// The status when it was stopped by us.
    was: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Asked(Why),
    Done(Why, Instant),
}

/// Why it is stopped by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Not started within the timeout.
    Late,
    /// Started and not ended.
    Hung,
    /// The operator ended the launch.
    Interrupted,
}

/// A container that runs has its deadline, and this for ECS to notice both ends of it.
const SLACK: Duration = Duration::from_mins(1);

/// From StopTask to the end: ECS gives a container 30 s after SIGTERM, and the probe needs two.
const GRACE: Duration = Duration::from_secs(12);

/// What was started a moment ago is not yet known everywhere: ECS is eventually consistent (API
/// reference, RunTask).
const UNKNOWN_FOR: Duration = Duration::from_mins(1);

impl RunningTasks {
    /// As RunTask answered.
    pub fn new(subnet: usize, task: &Task, now: Instant) -> Self {
        Self {
            subnet,
            status: task.last_status.clone().unwrap_or_default(),
            document: Value::Null,
            accepted: now,
            running: None,
            missing: None,
            stop: Stop::No,
            was: String::new(),
        }
    }

    /// The task as it was seen last.
    pub fn task(&self) -> Task {
        Task::read(&self.document)
    }

    /// What is known of one that could not be waited for.
    pub fn sentence(&self, launch: &Launch) -> String {
        let known = [&self.was, &self.status]
            .into_iter()
            .find(|status| !status.is_empty());
        let status = known.map_or("unknown", String::as_str);
        match self.stop {
            Stop::Asked(Why::Late) | Stop::Done(Why::Late, _) => format!(
                "The probe's task had not started after {} s (last status {status}) and was stopped: ECS still worked on its \
                 network interface, its image or its roles, and gave no reason. A pull that hangs in silence looks so; ECS \
                 itself gives up after about five minutes and says why, so a longer --timeout may tell more",
                launch.timeout.as_secs_f32()
            ),
            Stop::Asked(Why::Hung) | Stop::Done(Why::Hung, _) => format!(
                "The probe ran and did not end within its deadline of {} s and a minute, and was stopped (last status {status})",
                launch.deadline.as_secs_f32()
            ),
            Stop::Asked(Why::Interrupted) | Stop::Done(Why::Interrupted, _) => {
                format!(
                    "Interrupted: the task was stopped before its report was there (last status {status})"
                )
            }
            Stop::No => {
                format!("Amazon ECS does not know the task any more (last status {status})")
            }
        }
    }

    /// Its container's code is known some half a minute before ECS has taken its network interface
    /// down.
    fn is_over(&self) -> bool {
        let containers = self.document["containers"].as_array();
        let mut ours = containers
            .into_iter()
            .flatten()
            .filter(|container| container["name"] == CONTAINER);
        self.status == "STOPPED" || ours.any(|container| container["exitCode"].is_i64())
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Watched {
    live: BTreeMap<String, RunningTasks>,
    turns: VecDeque<String>,
}

impl Watched {
    /// One more.
    pub fn add(&mut self, arn: String, live: RunningTasks) {
        self.turns.push_back(arn.clone());
        self.live.insert(arn, live);
    }

    /// The ARNs of all.
    pub fn all(&self) -> Vec<String> {
        self.live.keys().cloned().collect()
    }

    /// Those whose turn it is to be described.
    pub fn next(&mut self, most: usize) -> Vec<String> {
        let live = &self.live;
        self.turns.retain(|arn| live.contains_key(arn));
        let arns: Vec<String> = self.turns.drain(..most.min(self.turns.len())).collect();
        self.turns.extend(arns.iter().cloned());
        arns
    }

    /// Takes an answer; what has changed, by subnet.
    pub fn described(&mut self, answer: &Tasks, now: Instant) -> Vec<(usize, String)> {
        let mut changed = Vec::new();
        for document in &answer.tasks {
            let Some(live) = document["taskArn"]
                .as_str()
                .and_then(|arn| self.live.get_mut(arn))
            else {
                continue;
            };
            live.document = document.clone();
            live.missing = None;
            let status = document["lastStatus"].as_str().unwrap_or_default();
            if status == "RUNNING" {
                live.running.get_or_insert(now);
            }
            if live.status != status {
                status.clone_into(&mut live.status);
                changed.push((live.subnet, live.status.clone()));
            }
        }
        for missing in answer
            .failures
            .iter()
            .filter_map(|failure| failure.arn.as_ref())
        {
            if let Some(live) = self.live.get_mut(missing) {
                live.missing.get_or_insert(now);
            }
        }
        changed
    }

    /// Takes out those that are over, each with what ECS says of it. One that we stopped before it
    /// started has no reason of ECS's own, and is left to [`Watched::given_up`].
    pub fn ended(&mut self) -> Vec<(usize, Value)> {
        let is_told = |live: &RunningTasks| {
            let started = live.document["containers"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|c| c["exitCode"].is_i64());
            live.is_over()
                && (started
                    || matches!(live.stop, Stop::No)
                    || live.document["stopCode"] != "UserInitiated")
        };
        let arns: Vec<String> = self
            .live
            .iter()
            .filter(|(_, live)| is_told(live))
            .map(|(arn, _)| arn.clone())
            .collect();
        arns.iter()
            .filter_map(|arn| self.live.remove(arn))
            .map(|live| (live.subnet, live.document))
            .collect()
    }

    /// Those that are to be stopped now, marked as such.
    pub fn overdue(&mut self, now: Instant, launch: &Launch) -> Vec<(String, usize)> {
        let mut overdue = Vec::new();
        for (arn, live) in self
            .live
            .iter_mut()
            .filter(|(_, live)| live.stop == Stop::No)
        {
            let why = match live.running {
                Some(running) if now > running + launch.deadline + SLACK => Why::Hung,
                // What is on its way down will say why.
                None if now > live.accepted + launch.timeout && !is_ending(&live.status) => {
                    Why::Late
                }
                None if now > live.accepted + launch.timeout + SLACK * 2 => Why::Late,
                _ => continue,
            };
            live.stop = Stop::Asked(why);
            live.was.clone_from(&live.status);
            overdue.push((arn.clone(), live.subnet));
        }
        overdue
    }

    /// Marks it as stopped by the operator, if nobody has stopped it yet; in which subnet it is.
    pub fn interrupt(&mut self, arn: &str) -> Option<usize> {
        let live = self
            .live
            .get_mut(arn)
            .filter(|live| live.stop == Stop::No)?;
        live.stop = Stop::Asked(Why::Interrupted);
        live.was.clone_from(&live.status);
        Some(live.subnet)
    }

    /// StopTask was answered.
    pub fn was_stopped(&mut self, arn: &str, now: Instant) {
        if let Some(live) = self.live.get_mut(arn)
            && let Stop::Asked(why) = live.stop
        {
            live.stop = Stop::Done(why, now);
        }
    }

    /// Takes out those of which no more will be known in time.
    pub fn given_up(&mut self, now: Instant) -> Vec<RunningTasks> {
        let is_lost = |live: &RunningTasks| match live.stop {
            Stop::Done(_, at) => now > at + GRACE || live.status == "STOPPED",
            Stop::Asked(_) => false,
            Stop::No => live.missing.is_some_and(|since| now > since + UNKNOWN_FOR),
        };
        let arns: Vec<String> = self
            .live
            .iter()
            .filter(|(_, live)| is_lost(live))
            .map(|(arn, _)| arn.clone())
            .collect();
        arns.iter()
            .filter_map(|arn| self.live.remove(arn))
            .collect()
    }
}

fn is_ending(status: &str) -> bool {
    matches!(
        status,
        "DEACTIVATING" | "STOPPING" | "DEPROVISIONING" | "STOPPED"
    )
}
