//! The running tasks, and how long each may run.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::operator::ecs::{Task, TasksResponse};
use crate::operator::launch::definition::CONTAINER;
use crate::operator::launch::request::Launch;

/// A task of this launch.
#[derive(Debug, Clone)]
pub struct RunningTask {
    /// Index of the subnet.
    pub subnet: usize,
    status: String,
    /// The task as ECS described it last.
    document: Value,
    /// When RunTask returned it.
    accepted: Instant,
    /// When its status was first seen as RUNNING.
    running: Option<Instant>,
    /// When ECS first failed to find it.
    missing: Option<Instant>,
    stop: Stop,
    /// Its status when this launch stopped it.
    status_at_stop: String,
}

/// Whether this launch stops a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// StopTask was sent.
    Requested(StopCause),
    /// StopTask was answered.
    Answered(StopCause, Instant),
}

/// Why this launch stops a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopCause {
    /// It did not start within the timeout.
    NotStarted,
    /// It started and did not end.
    NotEnded,
    /// The operator interrupted the launch.
    Interrupted,
}

/// Time beyond the probe's deadline for ECS to report start and end of the container.
const STATUS_DELAY: Duration = Duration::from_mins(1);

/// From StopTask to the end of the task: ECS waits up to 30 s after SIGTERM, but the probe ends
/// within two.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);

/// How long ECS may fail to find a task that it has just started: it is eventually consistent (API
/// reference, RunTask).
const CONSISTENCY_DELAY: Duration = Duration::from_mins(1);

impl RunningTask {
    fn new(subnet: usize, task: &Task, now: Instant) -> Self {
        Self {
            subnet,
            // Unknown until the first DescribeTasks.
            status: task.last_status.clone().unwrap_or_default(),
            document: Value::Null,
            accepted: now,
            running: None,
            missing: None,
            stop: Stop::No,
            status_at_stop: String::new(),
        }
    }

    /// Returns the task as ECS described it last.
    pub fn task(&self) -> Task {
        Task::read(&self.document)
    }

    /// Describes a task that ended without result.
    pub fn sentence(&self, launch: &Launch) -> String {
        let status = [&self.status_at_stop, &self.status]
            .into_iter()
            .find(|status| !status.is_empty())
            .map_or("unknown", String::as_str);
        let cause = match self.stop {
            Stop::No => None,
            Stop::Requested(cause) | Stop::Answered(cause, _) => Some(cause),
        };
        match cause {
            Some(StopCause::NotStarted) => format!(
                "The probe's task had not started after {} s (last status {status}) and was stopped: ECS was still preparing \
                 its network interface, image or roles, and gave no reason. A pull that hangs without an answer looks like \
                 this; ECS gives up after about five minutes and reports why, so a longer --timeout may show the reason",
                launch.timeout.as_secs_f32()
            ),
            Some(StopCause::NotEnded) => format!(
                "The probe started but did not end within a minute after its deadline of {} s, and was stopped (last status \
                 {status})",
                launch.deadline.as_secs_f32()
            ),
            Some(StopCause::Interrupted) => format!(
                "Interrupted: the task was stopped before it reported (last status {status})"
            ),
            None => format!("Amazon ECS can no longer find the task (last status {status})"),
        }
    }

    /// Whether the task did not start in time and ECS was preparing its image, which a pull does
    /// that hangs.
    pub fn hung_in_pending(&self) -> bool {
        let cause = match self.stop {
            Stop::No => None,
            Stop::Requested(cause) | Stop::Answered(cause, _) => Some(cause),
        };
        cause == Some(StopCause::NotStarted)
            && matches!(self.status_at_stop.as_str(), "PENDING" | "ACTIVATING")
    }

    fn has_exit_code(&self, is_counted: impl Fn(&Value) -> bool) -> bool {
        let containers = self.document["containers"].as_array();
        containers
            .into_iter()
            .flatten()
            .any(|container| is_counted(container) && container["exitCode"].is_i64())
    }

    /// Whether the task is over. The container's exit code is known about half a minute before ECS
    /// has removed the network interface.
    fn is_over(&self) -> bool {
        self.status == "STOPPED" || self.has_exit_code(|container| container["name"] == CONTAINER)
    }

    /// Whether the task is over and ECS reports why. A task that this launch
    /// stopped before it started has no reason of its own, and is left to
    /// [`RunningTasks::take_lost`].
    fn has_result(&self) -> bool {
        self.is_over()
            && (self.has_exit_code(|_| true)
                || self.stop == Stop::No
                || self.document["stopCode"] != "UserInitiated")
    }

    /// Whether ECS will report nothing more about the task in time.
    fn is_lost(&self, now: Instant) -> bool {
        match self.stop {
            Stop::Answered(_, at) => now > at + STOP_TIMEOUT || self.status == "STOPPED",
            Stop::Requested(_) => false,
            Stop::No => self
                .missing
                .is_some_and(|since| now > since + CONSISTENCY_DELAY),
        }
    }

    /// Returns why the task has to be stopped, if it is overdue.
    fn overdue(&self, now: Instant, launch: &Launch) -> Option<StopCause> {
        let start_deadline = self.accepted + launch.timeout;
        match self.running {
            Some(running) if now > running + launch.deadline + STATUS_DELAY => {
                Some(StopCause::NotEnded)
            }
            // A task that is already ending will have a reason.
            None if now > start_deadline && !is_ending(&self.status) => Some(StopCause::NotStarted),
            None if now > start_deadline + STATUS_DELAY * 2 => Some(StopCause::NotStarted),
            _ => None,
        }
    }

    fn request_stop(&mut self, cause: StopCause) {
        self.stop = Stop::Requested(cause);
        self.status_at_stop.clone_from(&self.status);
    }
}

/// All running tasks of a launch.
#[derive(Debug, Default)]
pub struct RunningTasks {
    by_arn: BTreeMap<String, RunningTask>,
    /// ARNs in the order in which they are described.
    queue: VecDeque<String>,
}

impl RunningTasks {
    /// Adds a task that RunTask returned. Returns the subnet of another task with this ARN, which
    /// ECS never has: of that one nothing more will be known.
    pub fn add(&mut self, subnet: usize, task: &Task, now: Instant) -> Option<usize> {
        self.queue.push_back(task.task_arn.clone());
        let added = RunningTask::new(subnet, task, now);
        let other = self.by_arn.insert(task.task_arn.clone(), added)?;
        (other.subnet != subnet).then_some(other.subnet)
    }

    pub fn arns(&self) -> Vec<String> {
        self.by_arn.keys().cloned().collect()
    }

    /// Returns the next tasks to describe, at most `max`, and puts them at the end of the queue.
    pub fn next_batch(&mut self, max: usize) -> Vec<String> {
        let by_arn = &self.by_arn;
        self.queue.retain(|arn| by_arn.contains_key(arn));
        let arns: Vec<String> = self.queue.drain(..max.min(self.queue.len())).collect();
        self.queue.extend(arns.iter().cloned());
        arns
    }

    /// Applies a response of `DescribeTasks`. Returns subnet and status of changed tasks.
    pub fn update(&mut self, response: &TasksResponse, now: Instant) -> Vec<(usize, String)> {
        let mut changed = Vec::new();
        for document in &response.tasks {
            let arn = document["taskArn"].as_str();
            let Some(task) = arn.and_then(|arn| self.by_arn.get_mut(arn)) else {
                continue;
            };
            task.document = document.clone();
            task.missing = None;
            // An unknown status is empty.
            let status = document["lastStatus"].as_str().unwrap_or_default();
            if status == "RUNNING" {
                task.running.get_or_insert(now);
            }
            if task.status != status {
                status.clone_into(&mut task.status);
                changed.push((task.subnet, task.status.clone()));
            }
        }
        let missing = response
            .failures
            .iter()
            .filter_map(|failure| failure.arn.as_ref());
        for arn in missing {
            if let Some(task) = self.by_arn.get_mut(arn) {
                task.missing.get_or_insert(now);
            }
        }
        changed
    }

    /// Removes tasks that are over, and returns their subnet and their description by ECS.
    pub fn take_finished(&mut self) -> Vec<(usize, Value)> {
        self.by_arn
            .extract_if(.., |_, task| task.has_result())
            .map(|(_, task)| (task.subnet, task.document))
            .collect()
    }

    /// Marks overdue tasks as stopped, and returns their ARN and subnet. They stay in the list.
    pub fn mark_overdue(&mut self, now: Instant, launch: &Launch) -> Vec<(String, usize)> {
        let mut overdue = Vec::new();
        let candidates = self
            .by_arn
            .iter_mut()
            .filter(|(_, task)| task.stop == Stop::No);
        for (arn, task) in candidates {
            if let Some(cause) = task.overdue(now, launch) {
                task.request_stop(cause);
                overdue.push((arn.clone(), task.subnet));
            }
        }
        overdue
    }

    /// Marks a task as stopped by the operator, unless it is being stopped, and returns its subnet.
    pub fn interrupt(&mut self, arn: &str) -> Option<usize> {
        let task = self
            .by_arn
            .get_mut(arn)
            .filter(|task| task.stop == Stop::No)?;
        task.request_stop(StopCause::Interrupted);
        Some(task.subnet)
    }

    /// Records the response of StopTask.
    pub fn stop_answered(&mut self, arn: &str, now: Instant) {
        if let Some(task) = self.by_arn.get_mut(arn)
            && let Stop::Requested(cause) = task.stop
        {
            task.stop = Stop::Answered(cause, now);
        }
    }

    /// Removes and returns tasks about which ECS will report nothing more in time.
    pub fn take_lost(&mut self, now: Instant) -> Vec<RunningTask> {
        self.by_arn
            .extract_if(.., |_, task| task.is_lost(now))
            .map(|(_, task)| task)
            .collect()
    }
}

fn is_ending(status: &str) -> bool {
    matches!(
        status,
        "DEACTIVATING" | "STOPPING" | "DEPROVISIONING" | "STOPPED"
    )
}
