//! One `RunTask` call, and whether it is repeated.

use std::time::{Duration, Instant};

use crate::observation::Failure;
use crate::operator::aws::{Api, CallError, Client};
use crate::operator::ecs::{RunTaskRequest, Task, TasksResponse};
use crate::operator::launch::rate_limiter::{RateLimiter, backoff, jitter};

/// A subnet without a task.
#[derive(Debug, Clone, Copy)]
pub struct PendingStart {
    /// Index of the subnet.
    pub subnet: usize,
    /// Earliest time of the next call.
    pub due: Instant,
    attempts: u32,
    first_attempt: Option<Instant>,
}

impl PendingStart {
    pub fn new(subnet: usize) -> Self {
        Self {
            subnet,
            due: Instant::now(),
            attempts: 0,
            first_attempt: None,
        }
    }
}

/// Result of a `RunTask` call.
pub struct RunTaskResult {
    pub pending: PendingStart,
    sent: Instant,
    result: Result<TasksResponse, CallError>,
}

/// What a `RunTask` call means for its subnet.
pub enum StartResult {
    Started(Box<Task>),
    /// The call is repeated later, for this reason.
    Retry(String, PendingStart),
    /// No task in this subnet, for this reason.
    NotStarted(String),
    /// No task in any subnet.
    Fatal(CallError),
}

/// Calls `RunTask` once. The client token makes it safe to repeat the call.
pub async fn run_task(
    client: Client,
    request: RunTaskRequest,
    pending: PendingStart,
    sent: Instant,
) -> RunTaskResult {
    let result = client.json(Api::ECS, "RunTask", &request).await;
    RunTaskResult {
        pending,
        sent,
        result,
    }
}

/// Maximum number of attempts of a call that fails in transport, or is throttled after the timeout.
const MAX_ATTEMPTS: u32 = 8;

impl RunTaskResult {
    /// Evaluates the result at `now`. Throttling slows down all subnets; missing capacity and
    /// transport errors delay only this one.
    pub fn evaluate(
        self,
        limiter: &mut RateLimiter,
        now: Instant,
        timeout: Duration,
    ) -> StartResult {
        let Self {
            mut pending,
            sent,
            result,
        } = self;
        let first_attempt = *pending.first_attempt.get_or_insert(sent);
        let in_time = now < first_attempt + timeout;
        match result {
            Ok(response) => {
                limiter.accepted();
                let task = response.tasks.first().map(Task::read);
                if let Some(task) = task.filter(|task| !task.task_arn.is_empty()) {
                    return StartResult::Started(Box::new(task));
                }
                let reason = response.failures.first().map_or_else(
                    || "RunTask returned no task and no reason".to_owned(),
                    ToString::to_string,
                );
                if is_capacity_problem(&reason) && in_time {
                    retry(reason, pending, now)
                } else {
                    StartResult::NotStarted(reason)
                }
            }
            Err(error) if error.is_throttling() => {
                limiter.throttled(sent, now);
                pending.attempts += 1;
                // The limiter keeps the rate; this pause only changes the order of the subnets.
                pending.due = now + backoff(1, jitter());
                if in_time || pending.attempts < MAX_ATTEMPTS {
                    StartResult::Retry("throttled".into(), pending)
                } else {
                    StartResult::NotStarted(error.to_string())
                }
            }
            Err(error) if error.is_transient() => {
                if pending.attempts < MAX_ATTEMPTS {
                    retry(error.to_string(), pending, now)
                } else {
                    StartResult::Fatal(error)
                }
            }
            Err(error) if is_fatal(&error) => StartResult::Fatal(error),
            Err(error) => {
                let reason = error.to_string();
                if is_capacity_problem(&reason) && in_time {
                    retry(reason, pending, now)
                } else {
                    StartResult::NotStarted(reason)
                }
            }
        }
    }
}

fn retry(reason: String, mut pending: PendingStart, now: Instant) -> StartResult {
    pending.attempts += 1;
    pending.due = now + backoff(pending.attempts, jitter());
    StartResult::Retry(reason, pending)
}

/// Whether every subnet would meet the error.
fn is_fatal(error: &CallError) -> bool {
    let concerns_operator = matches!(
        error.failure(),
        None | Some(
            Failure::Denied
                | Failure::Unauthenticated
                | Failure::InvalidSignature
                | Failure::ExpiredToken
                | Failure::ClockSkewed
        )
    );
    concerns_operator
        || matches!(
            error.code(),
            "ClusterNotFoundException" | "BlockedException"
        )
}

/// Whether the same call may succeed in a moment: when there is capacity again, or when other tasks
/// of this launch no longer use a quota. ECS has no error code for it, only this wording.
fn is_capacity_problem(reason: &str) -> bool {
    [
        "Capacity is unavailable",
        "RESOURCE:",
        "concurrently",
        "LimitExceeded",
    ]
    .iter()
    .any(|word| reason.contains(word))
}
