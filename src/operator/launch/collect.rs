//! Gets the report of a stopped task: from CloudWatch Logs, else from the exit code, else from the
//! stopped reason.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::definition::CONTAINER;
use super::request::Launch;
use super::stopped_reason::{self, MissingReport};
use crate::operator::aws::{Api, CallError, Client};
use crate::operator::ecs::Task;
use crate::plan::LogDestination;
use crate::report::{Report, SCHEMA};

/// A subnet's report, parsed and verbatim.
#[derive(Debug, Clone)]
pub struct SubnetReport {
    pub subnet: String,
    pub report: Report,
    /// The report's line exactly as CloudWatch Logs returns it, because another version of the
    /// probe may have written it.
    pub line: String,
    /// A problem of the launch itself, such as a missing permission of the operator.
    pub note: Option<String>,
}

impl SubnetReport {
    /// Builds a report for a task that produced none.
    pub fn synthetic(subnet: &str, report: Report) -> Self {
        Self {
            subnet: subnet.to_owned(),
            line: report.line(),
            report,
            note: None,
        }
    }
}

/// Maximum number of concurrent reads. `GetLogEvents` is limited to 10 or 25 calls a second, by
/// region (CloudWatch Logs quotas).
const MAX_CONCURRENT_READS: usize = 8;

/// Pauses before each retry of a read: an accepted event can be invisible for a moment, and the
/// exit code is known a few seconds after the report was written.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(700), Duration::from_secs(2)];

/// Maximum number of events that are read from the end of a log stream.
const MAX_EVENTS: u32 = 20;

/// Reads the reports of a launch.
#[derive(Debug, Clone)]
pub struct Collector {
    client: Client,
    launch: Arc<Launch>,
    reads: Arc<Semaphore>,
}

impl Collector {
    pub fn new(client: Client, launch: Arc<Launch>) -> Self {
        Self {
            client,
            launch,
            reads: Arc::new(Semaphore::new(MAX_CONCURRENT_READS)),
        }
    }

    /// Returns the report of a stopped task. `document` is the task as `DescribeTasks` returned it.
    pub async fn collect(self, subnet: String, document: Value) -> SubnetReport {
        let task = Task::read(&document);
        let exit_code = task
            .containers
            .iter()
            .find(|container| container.name == CONTAINER)
            .and_then(|container| container.exit_code);
        let Some(exit_code) = exit_code else {
            let report = stopped_reason::never_started(&self.launch, &subnet, &task, &document);
            return SubnetReport::synthetic(&subnet, report);
        };
        let (missing, note) = match self.launch.plan.logs.first() {
            None => (MissingReport::NoLogGroup, None),
            Some(log) => match self.read_log(log, &task, exit_code).await {
                Ok((report, line)) => {
                    return SubnetReport {
                        subnet,
                        report: *report,
                        line,
                        note: None,
                    };
                }
                Err(missing) => {
                    let note = match &missing {
                        MissingReport::ReadFailed(error) => Some(error.clone()),
                        _ => None,
                    };
                    (missing, note)
                }
            },
        };
        let report = stopped_reason::exited(&self.launch, &subnet, &task, exit_code, &missing);
        SubnetReport {
            note,
            ..SubnetReport::synthetic(&subnet, report)
        }
    }

    /// Reads the task's report and its line, and compares it with the exit code.
    async fn read_log(
        &self,
        log: &LogDestination,
        task: &Task,
        exit_code: i64,
    ) -> Result<(Box<Report>, String), MissingReport> {
        let log_group = format!("the log group {}", log.group);
        match self.find_report(log, task.id()).await {
            // Others may be able to write to the log group, but not to set the exit code.
            Ok(LogReport::Complete(report, line)) if agrees(&report, exit_code) => {
                Ok((report, line))
            }
            Ok(LogReport::Complete(report, _)) => Err(MissingReport::Mismatch(format!(
                "the report in {log_group} has exit code {}",
                report.verdict.exit_code
            ))),
            Ok(LogReport::Incomplete) => Err(MissingReport::Mismatch(format!(
                "{log_group} does not contain a complete report of this run"
            ))),
            Ok(LogReport::None) => Err(MissingReport::NotDelivered(log_group)),
            Err(error) => Err(MissingReport::ReadFailed(error.to_string())),
        }
    }

    async fn find_report(&self, log: &LogDestination, task: &str) -> Result<LogReport, CallError> {
        let mut last = LogReport::None;
        let client = self.client.in_region(log.region.clone());
        let request = log_request(log, task);
        for pause in RETRY_PAUSES.into_iter().map(Some).chain([None]) {
            let permit = self.reads.acquire().await;
            let response = client
                .json::<GetLogEventsResponse>(Api::LOGS, "GetLogEvents", &request)
                .await;
            drop(permit);
            match response {
                Ok(response) => {
                    let messages = || response.events.iter().rev().map(|event| &event.message);
                    if let Some(report) = messages().find_map(|message| self.parse(message)) {
                        return Ok(report);
                    }
                    if messages().any(|message| message.contains(SCHEMA)) {
                        last = LogReport::Incomplete;
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

    /// Parses a message, if it is a report of this run.
    fn parse(&self, message: &str) -> Option<LogReport> {
        let report: Report = serde_json::from_str(message).ok()?;
        let is_of_this_run = report.schema == SCHEMA && report.run.id == self.launch.run_id;
        is_of_this_run.then(|| LogReport::Complete(Box::new(report), message.trim().to_owned()))
    }
}

/// What the log stream contains.
enum LogReport {
    /// A report of this run, and its line.
    Complete(Box<Report>, String),
    /// A message with the report's schema that cannot be read.
    Incomplete,
    None,
}

/// Whether the report can be from a container with this exit code. A container that was killed
/// after it wrote its report has an exit code that is not a verdict.
fn agrees(report: &Report, exit_code: i64) -> bool {
    i64::from(report.verdict.exit_code) == exit_code || !matches!(exit_code, 0 | 3 | 4 | 10..=20)
}

/// Returns the request for the end of a task's log stream.
pub fn log_request(log: &LogDestination, task_id: &str) -> GetLogEventsRequest {
    GetLogEventsRequest {
        log_group_name: log.group.clone(),
        log_stream_name: format!("{}/{CONTAINER}/{task_id}", log.stream_prefix),
        start_from_head: false,
        limit: MAX_EVENTS,
    }
}

/// `GetLogEvents`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GetLogEventsRequest {
    log_group_name: String,
    log_stream_name: String,
    start_from_head: bool,
    limit: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GetLogEventsResponse {
    events: Vec<OutputLogEvent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutputLogEvent {
    message: String,
}
