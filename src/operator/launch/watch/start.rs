//! One `RunTask`, and what its answer means for the next.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::observation::Failure;
use crate::operator::aws::{Api, Client, Error};
use crate::operator::ecs::{Task, Tasks};
use crate::operator::launch::rate_limiter::{Pace, backoff, jitter};

/// A subnet without a task yet.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Which.
    pub subnet: usize,
    /// Not before.
    pub due: Instant,
    /// AwsCalls so far that were not throttled.
    attempts: u32,
    /// The first of them.
    since: Option<Instant>,
}

impl Waiting {
    /// A subnet that was not tried yet.
    pub fn first(subnet: usize) -> Self {
        Self {
            subnet,
            due: Instant::now(),
            attempts: 0,
            since: None,
        }
    }
}

/// An answer, or none.
pub struct Answer {
    /// Of which subnet.
    pub waiting: Waiting,
    sent: Instant,
    result: Result<Tasks, Error>,
}

/// What it comes to.
pub enum Started {
    /// A task.
    Task(Box<Task>),
    /// The same again, later.
    Again(String, Waiting),
    /// None, for this reason.
    Not(String),
    /// None, nor in any other subnet.
    Fatal(Error),
}

/// AwsCalls once; the client token makes it safe to call again.
pub async fn start(client: Client, body: Value, waiting: Waiting, sent: Instant) -> Answer {
    let result = client.json(Api::ECS, "RunTask", &body).await;
    Answer {
        waiting,
        sent,
        result,
    }
}

/// Tries of a call that gets no answer.
const TRIES: u32 = 8;

impl Answer {
    /// Reads it at `now`. Throttling changes the pace of all; no capacity and no answer only put
    /// this one off.
    pub fn read(self, pace: &mut Pace, now: Instant, timeout: Duration) -> Started {
        let Self {
            mut waiting,
            sent,
            result,
        } = self;
        let since = *waiting.since.get_or_insert(sent);
        let in_time = now < since + timeout;
        match result {
            Ok(answer) => {
                pace.accepted();
                if let Some(task) = answer
                    .tasks
                    .first()
                    .map(Task::read)
                    .filter(|task| !task.task_arn.is_empty())
                {
                    return Started::Task(Box::new(task));
                }
                let why = answer
                    .failures
                    .first()
                    .map_or_else(|| "no task and no reason".to_owned(), ToString::to_string);
                if is_scarce(&why) && in_time {
                    again(why, waiting, now)
                } else {
                    Started::Not(why)
                }
            }
            Err(error) if error.is_throttling() => {
                pace.refused(sent, now);
                waiting.attempts += 1;
                // The pace of all is what keeps the rate; this only mixes them.
                waiting.due = now + backoff(1, jitter());
                if in_time || waiting.attempts < TRIES {
                    Started::Again("throttled".into(), waiting)
                } else {
                    Started::Not(error.to_string())
                }
            }
            Err(error) if error.is_passing() => {
                if waiting.attempts < TRIES {
                    again(error.to_string(), waiting, now)
                } else {
                    Started::Fatal(error)
                }
            }
            Err(error) => {
                let text = error.to_string();
                match error.failure() {
                    Some(
                        Failure::Denied
                        | Failure::Unauthenticated
                        | Failure::InvalidSignature
                        | Failure::ExpiredToken
                        | Failure::ClockSkewed,
                    )
                    | None => Started::Fatal(error),
                    Some(_)
                        if matches!(
                            error.code(),
                            "ClusterNotFoundException" | "BlockedException"
                        ) =>
                    {
                        Started::Fatal(error)
                    }
                    Some(_) if is_scarce(&text) && in_time => again(text, waiting, now),
                    Some(_) => Started::Not(text),
                }
            }
        }
    }
}

fn again(why: String, mut waiting: Waiting, now: Instant) -> Started {
    waiting.attempts += 1;
    waiting.due = now + backoff(waiting.attempts, jitter());
    Started::Again(why, waiting)
}

/// Whether what is missing may be there in a moment: capacity, or room below a quota that other
/// tasks of this launch use.
fn is_scarce(why: &str) -> bool {
    [
        "Capacity is unavailable",
        "RESOURCE:",
        "concurrently",
        "LimitExceeded",
    ]
    .iter()
    .any(|word| why.contains(word))
}
