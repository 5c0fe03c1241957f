//! From a stopped task to its report: from CloudWatch Logs, else from the exit code, else from the
//! stop's reason.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::definition::CONTAINER;
use super::request::Launch;
use super::stopped_reason::{self, NoLog};
use crate::operator::aws::{Api, Client, Error};
use crate::operator::ecs::Task;
use crate::plan::LogDestination;
use crate::report::{Report, SCHEMA};

/// A subnet's report, as it is told and as it was written.
#[derive(Debug, Clone)]
pub struct SubnetReport {
    /// The subnet.
    pub subnet: String,
    /// The report.
    pub report: Report,
    /// Its line: that of CloudWatch Logs as it lies there, which another version of the probe may
    /// have written.
    pub line: String,
    /// What the operator should know beside it, such as a right that is missing.
    pub note: Option<String>,
}

impl SubnetReport {
    /// A report of our own making.
    pub fn told(subnet: &str, report: Report) -> Self {
        Self {
            subnet: subnet.to_owned(),
            line: report.line(),
            report,
            note: None,
        }
    }
}

/// AwsCalls at a time. `GetLogEvents` is granted 10 or 25 a second, by region (CloudWatch Logs
/// quotas).
const AT_A_TIME: usize = 8;

/// Reads logs, some at a time.
#[derive(Debug, Clone)]
pub struct Collector {
    client: Client,
    launch: Arc<Launch>,
    turns: Arc<Semaphore>,
}

/// An event that was taken is not always read at once; the exit code is known some seconds after it
/// was written.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(700), Duration::from_secs(2)];

impl Collector {
    /// A collector of this launch.
    pub fn new(client: Client, launch: Arc<Launch>) -> Self {
        Self {
            client,
            launch,
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// The report of a task that stopped.
    pub async fn collect(self, subnet: String, document: Value) -> SubnetReport {
        let task = Task::read(&document);
        let exit_code = task
            .containers
            .iter()
            .find(|container| container.name == CONTAINER)
            .and_then(|c| c.exit_code);
        let Some(exit_code) = exit_code else {
            return SubnetReport::told(
                &subnet,
                stopped_reason::never_started(&self.launch, &subnet, &task, &document),
            );
        };
        let Some(log) = self.launch.plan.logs.first() else {
            return SubnetReport::told(
                &subnet,
                stopped_reason::exited(&self.launch, &subnet, &task, exit_code, &NoLog::NotAsked),
            );
        };
        let place = format!("the log group {}", log.group);
        let (no_log, note) = match self.look_for(log, task.id()).await {
            // Whoever can write there can write anything, but not the exit code. One that was
            // killed afterwards has none.
            Ok(Found::Report(report, line)) if agrees(&report, exit_code) => {
                return SubnetReport {
                    subnet,
                    report: *report,
                    line,
                    note: None,
                };
            }
            Ok(Found::Report(report, _)) => (
                NoLog::Other(format!(
                    "the report in {place} says {}",
                    report.verdict.exit_code
                )),
                None,
            ),
            Ok(Found::Garbage) => (
                NoLog::Other(format!(
                    "what lies in {place} is not this run's whole report"
                )),
                None,
            ),
            Ok(Found::Nothing) => (NoLog::Absent(place), None),
            Err(error) => (NoLog::Unread(error.to_string()), Some(error.to_string())),
        };
        let report = stopped_reason::exited(&self.launch, &subnet, &task, exit_code, &no_log);
        SubnetReport {
            note,
            ..SubnetReport::told(&subnet, report)
        }
    }

    async fn look_for(&self, log: &LogDestination, task: &str) -> Result<Found, Error> {
        let mut last = Found::Nothing;
        let client = self.client.in_region(log.region.clone());
        let body = json!({
            "logGroupName": log.group,
            "logStreamName": format!("{}/{CONTAINER}/{task}", log.stream_prefix),
            "startFromHead": false,
            "limit": 20,
        });
        for pause in LOOK_AGAIN.into_iter().map(Some).chain([None]) {
            let turn = self.turns.acquire().await;
            let answer = client
                .json::<Events>(Api::LOGS, "GetLogEvents", &body)
                .await;
            drop(turn);
            match answer {
                Ok(events) => {
                    if let Some(found) = events
                        .events
                        .iter()
                        .rev()
                        .find_map(|event| self.read(&event.message))
                    {
                        return Ok(found);
                    }
                    if events
                        .events
                        .iter()
                        .any(|event| event.message.contains(SCHEMA))
                    {
                        last = Found::Garbage;
                    }
                }
                Err(error) if error.code() == "ResourceNotFoundException" => {}
                Err(error) => return Err(error),
            }
            if let Some(pause) = pause {
                sleep(pause).await;
            }
        }
        Ok(last)
    }

    /// A report of this run.
    fn read(&self, message: &str) -> Option<Found> {
        let report: Report = serde_json::from_str(message).ok()?;
        let ours = report.schema == SCHEMA && report.run.id == self.launch.run_id;
        ours.then(|| Found::Report(Box::new(report), message.trim().to_owned()))
    }
}

/// What lies in the log stream.
enum Found {
    /// The report of this run, and its line.
    Report(Box<Report>, String),
    /// Something that looks like one.
    Garbage,
    Nothing,
}

/// A container that was killed after its report was written has an exit code that is no verdict,
/// and no other one to believe.
fn agrees(report: &Report, exit_code: i64) -> bool {
    i64::from(report.verdict.exit_code) == exit_code || !matches!(exit_code, 0 | 3 | 4 | 10..=20)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Events {
    events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    message: String,
}
