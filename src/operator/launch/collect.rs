//! Gets the report of a stopped task from CloudWatch Logs or, failing that, derives one from the
//! exit code or the stopped reason.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::definition::CONTAINER;
use super::request::Launch;
use super::stopped_reason::{self, MissingReport};
use crate::operator::aws::{Api, CallError, Client};
use crate::operator::ecs::{Task, account_of};
use crate::operator::log_insights::{self, InsightsQuery, field, is_refused_for_class};
use crate::operator::pause;
use crate::plan::LogDestination;
use crate::report::{Report, SCHEMA};
use crate::safe_text::is_visible_document;

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
    /// Whether the probe's task did not start for a reason that does not affect a function.
    pub wants_function: bool,
}

impl SubnetReport {
    /// Wraps a report that was built for a task without one.
    pub fn synthetic(subnet: &str, report: Report) -> Self {
        Self {
            subnet: subnet.to_owned(),
            line: report.line(),
            report,
            note: None,
            wants_function: false,
        }
    }
}

/// Maximum number of concurrent reads. `GetLogEvents` is limited to 10 or 25 calls a second,
/// depending on the Region (CloudWatch Logs quotas).
const MAX_CONCURRENT_READS: usize = 8;

/// Pauses before each retry of a read: an accepted event can be invisible for a moment, but the
/// exit code becomes known only a few seconds after the report was written.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(700), Duration::from_secs(2)];

/// Pauses before each retry of a query, to which events become visible some seconds later than to a
/// read.
const QUERY_PAUSES: [Duration; 3] = [
    Duration::from_secs(3),
    Duration::from_secs(7),
    Duration::from_secs(15),
];

/// Maximum number of concurrent queries. CloudWatch Logs runs five at once in log groups of the
/// class INFREQUENT_ACCESS (CloudWatch Logs quotas); one is left for others.
const MAX_CONCURRENT_QUERIES: usize = 4;

/// Number of seconds by which a query's time range exceeds the task's lifetime, because clocks
/// differ.
const QUERY_MARGIN: i64 = 60;

/// Maximum number of events that are read from the end of a log stream.
const MAX_EVENTS: u32 = 20;

/// Reads the reports of a launch.
#[derive(Debug, Clone)]
pub struct Collector {
    client: Client,
    launch: Arc<Launch>,
    reads: Arc<Semaphore>,
    queries: Arc<Semaphore>,
}

impl Collector {
    pub fn new(client: Client, launch: Arc<Launch>) -> Self {
        Self {
            client,
            launch,
            reads: Arc::new(Semaphore::new(MAX_CONCURRENT_READS)),
            queries: Arc::new(Semaphore::new(MAX_CONCURRENT_QUERIES)),
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
            return SubnetReport {
                wants_function: stopped_reason::is_of_the_path(&report),
                ..SubnetReport::synthetic(&subnet, report)
            };
        };
        let (missing, note) = match self.launch.plan.logs.first() {
            None => (MissingReport::NoLogGroup, None),
            Some(log) => match self.read_log(log, &task, exit_code).await {
                Ok(read) => return SubnetReport { subnet, ..read },
                Err(missing) => {
                    let note = match &missing {
                        MissingReport::ReadFailed(why) => {
                            Some(format!("the reports could not be read: {why}"))
                        }
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

    /// Reads the task's report, and compares it with the exit code.
    async fn read_log(
        &self,
        log: &LogDestination,
        task: &Task,
        exit_code: i64,
    ) -> Result<SubnetReport, MissingReport> {
        let log_group = format!("the log group {}", log.group);
        let found = self.find_report(log, task).await;
        let (found, note) = found
            .map_err(|error| MissingReport::ReadFailed(self.describe_unreadable(log, &error)))?;
        match found {
            // Others may be able to write to the log group, but not to set the exit code.
            LogReport::Complete(report, line) if agrees(&report, exit_code) => Ok(SubnetReport {
                subnet: String::new(),
                report: *report,
                line,
                note,
                wants_function: false,
            }),
            LogReport::Complete(report, _) => Err(MissingReport::Mismatch(format!(
                "the report in {log_group} has exit code {}",
                report.verdict.exit_code
            ))),
            LogReport::Incomplete => Err(MissingReport::Mismatch(format!(
                "{log_group} does not contain a complete report of this run"
            ))),
            LogReport::None => Err(MissingReport::NotDelivered(log_group)),
        }
    }

    /// Reads the end of the task's log stream, or queries it if CloudWatch Logs refuses a read for
    /// the log group's class.
    async fn find_report(
        &self,
        log: &LogDestination,
        task: &Task,
    ) -> Result<(LogReport, Option<String>), CallError> {
        let client = self.client.in_region(log.region.clone());
        let (mut last, mut note) = (LogReport::None, None);
        let mut pauses = RETRY_PAUSES.iter();
        loop {
            let messages = if note.is_none() {
                self.read_stream(&client, log, task.id()).await
            } else {
                self.query_stream(&client, log, task).await
            };
            match messages {
                Ok(messages) => {
                    if let Some(report) = messages.iter().find_map(|message| self.parse(message)) {
                        return Ok((report, note));
                    }
                    if messages.iter().any(|message| message.contains(SCHEMA)) {
                        last = LogReport::Incomplete;
                    }
                }
                Err(error) if note.is_none() && is_refused_for_class(&error) => {
                    note = Some(format!(
                        "CloudWatch Logs refuses {} for the class of log group {}, so the reports were read with \
                         CloudWatch Logs Insights; AWS bills the data that a query scans",
                        error.action(),
                        log.group
                    ));
                    pauses = QUERY_PAUSES.iter();
                    continue;
                }
                Err(error)
                    if matches!(
                        error.code(),
                        "ResourceNotFoundException" | "LimitExceededException"
                    ) => {}
                Err(error) => return Err(error),
            }
            let Some(pause) = pauses.next() else {
                return Ok((last, note));
            };
            pause::pause(*pause, "the report is not in the log group").await;
        }
    }

    /// Returns the last messages of a task's log stream, newest first.
    async fn read_stream(
        &self,
        client: &Client,
        log: &LogDestination,
        task_id: &str,
    ) -> Result<Vec<String>, CallError> {
        let request = log_request(log, task_id);
        let _permit = self.reads.acquire().await;
        let response: GetLogEventsResponse =
            client.json(Api::LOGS, "GetLogEvents", &request).await?;
        let events = response.events.into_iter().rev();
        Ok(events.map(|event| event.message).collect())
    }

    /// Returns the same messages with a query.
    async fn query_stream(
        &self,
        client: &Client,
        log: &LogDestination,
        task: &Task,
    ) -> Result<Vec<String>, CallError> {
        let stream = log_stream(log, task.id()).replace('"', "\\\"");
        let now = Timestamp::now().as_second();
        let created = task.created_at.and_then(|at| {
            let since = jiff::SignedDuration::try_from_secs_f64(at).ok()?;
            Some(since.as_secs())
        });
        let query = InsightsQuery {
            log_group: &log.group,
            start: created.unwrap_or(now) - QUERY_MARGIN,
            end: now + QUERY_MARGIN,
            text: format!(
                "fields @message | filter @logStream = \"{stream}\" | sort @timestamp desc | limit {MAX_EVENTS}"
            ),
        };
        let _permit = self.queries.acquire().await;
        let id = log_insights::start(client, &query).await?;
        let output = log_insights::poll(client, &id).await?;
        if output.status != "Complete" {
            return Err(CallError::Unreadable {
                action: Api::LOGS.action("GetQueryResults"),
                detail: format!("the query ended with status {}", output.status),
            });
        }
        let messages = output
            .results
            .iter()
            .filter_map(|row| field(row, "@message"));
        Ok(messages.map(str::to_owned).collect())
    }

    /// Describes why the log group could not be read, with the statement that lets the operator
    /// read it.
    fn describe_unreadable(&self, log: &LogDestination, error: &CallError) -> String {
        let LogDestination { group, region, .. } = log;
        let partition = region.partition().name();
        let account = account_of(&self.launch.definition);
        // This action has no resource (service authorization reference of CloudWatch Logs).
        let resource = if error.action() == "logs:GetQueryResults" {
            "*".to_owned()
        } else {
            format!("arn:{partition}:logs:{region}:{account}:log-group:{group}:*")
        };
        match error.denial_hint(&resource) {
            Some(hint) => format!(
                "your credentials lack {} on log group {group}; {hint}",
                error.action()
            ),
            None => format!("log group {group}: {error}"),
        }
    }

    /// Parses a message, if it is a report of this run.
    fn parse(&self, message: &str) -> Option<LogReport> {
        let (report, line) = read_report(message).ok()?;
        let is_of_this_run = report.schema == SCHEMA && report.run.id == self.launch.run_id;
        is_of_this_run.then(|| LogReport::Complete(Box::new(report), line))
    }
}

/// Maximum number of bytes of a report (contract of the report's format).
const MAX_REPORT_LINE: usize = 256 * 1024;

/// Reads a report that a task or function wrote, and returns it with its line. Members that this
/// version does not know are kept, unless a text in it acts on a terminal or hides. Fails with
/// serde's error if it is not a report.
pub fn read_report(text: &str) -> Result<(Report, String), serde_json::Error> {
    let document: Value = serde_json::from_str(text)?;
    let report: Report = serde_json::from_str(text)?;
    let line = text.trim();
    let is_harmless = line.len() <= MAX_REPORT_LINE && is_visible_document(&document);
    let line = if is_harmless {
        line.to_owned()
    } else {
        report.line()
    };
    Ok((report, line))
}

/// What the log stream contains.
enum LogReport {
    /// A report of this run, and its line.
    Complete(Box<Report>, String),
    /// A message with the report's schema that is not a complete report.
    Incomplete,
    None,
}

/// Whether the report can be from a container with this exit code. A container that was killed
/// after it wrote its report has an exit code that is not a verdict.
fn agrees(report: &Report, exit_code: i64) -> bool {
    i64::from(report.verdict.exit_code) == exit_code || !matches!(exit_code, 0 | 3 | 4 | 10..=20)
}

/// Returns the name of a task's log stream.
fn log_stream(log: &LogDestination, task_id: &str) -> String {
    format!("{}/{CONTAINER}/{task_id}", log.stream_prefix)
}

/// Returns the request for the end of a task's log stream.
pub fn log_request(log: &LogDestination, task_id: &str) -> GetLogEventsRequest {
    GetLogEventsRequest {
        log_group_name: log.group.clone(),
        log_stream_name: log_stream(log, task_id),
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
