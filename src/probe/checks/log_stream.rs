//! `write`: opens the containers' log streams as the awslogs driver does. The report is written to
//! the first one.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::observation::{Failure, Outcome, Phase};
use crate::plan::{LogDestination, Plan, TargetMap};
use crate::probe::aws_call::{CallResult, LOGS, PhaseClient};
use crate::probe::context::{LoadedCredentials, ProbeContext, SharedCredentials};
use crate::probe::recorder::Recorder;
use crate::probe::target::{ConnectedTarget, TargetHandle, add_tries};
use crate::safe_text::{SafeText, safe_text};

/// Error code of CreateLogStream and CreateLogGroup for a name that already exists.
const ALREADY_EXISTS: &str = "ResourceAlreadyExistsException";

/// `answer.code` of a write whose event CloudWatch Logs rejected because of its timestamp.
const EVENT_REJECTED: &str = "RejectedLogEvents";

/// Members of `rejectedLogEventsInfo`, and what each means (CloudWatch Logs API reference).
const REJECTIONS: [(&str, &str); 3] = [
    ("tooNewLogEventStartIndex", "too new"),
    ("tooOldLogEventEndIndex", "too old"),
    ("expiredLogEventEndIndex", "older than the retention period"),
];

/// A log stream that accepted its first event.
pub struct LogStream {
    context: ProbeContext,
    target: Arc<ConnectedTarget>,
    credentials: LoadedCredentials,
    destination: LogDestination,
    /// The stream's name.
    pub name: String,
}

/// Starts a check for every log group of the plan, which opens a stream. Returns the receiver of
/// the first stream, for the report.
pub fn spawn_checks(
    plan: &Plan,
    context: &ProbeContext,
    targets: &TargetMap<TargetHandle>,
    credentials: &SharedCredentials,
) -> Option<oneshot::Receiver<LogStream>> {
    let mut first = None;
    for log in &plan.logs {
        let (opened, receive) = oneshot::channel();
        let same_group =
            |other: &&LogDestination| (&other.target, &other.group) == (&log.target, &log.group);
        let id = match plan.logs.iter().filter(same_group).count() {
            1 => log.group.clone(),
            _ => format!("{}:{}", log.group, log.stream_prefix),
        };
        let check = open_stream(
            context.clone(),
            targets[log.target].clone(),
            credentials.clone(),
            log.clone(),
            id,
        );
        context.recorder.spawn(async move {
            if let Some(stream) = check.await {
                let _ = opened.send(stream);
            }
        });
        first = first.or(Some(receive));
    }
    first
}

/// Creates the stream and writes one event, as the awslogs driver does before the first container
/// starts. Creates a missing group if the driver would (`awslogs-create-group`): this is the only
/// way to check the permission, and the task's start leaves the same group behind. Records the
/// result under `id`.
async fn open_stream(
    context: ProbeContext,
    target: TargetHandle,
    credentials: SharedCredentials,
    destination: LogDestination,
    id: String,
) -> Option<LogStream> {
    let (target, credentials) = tokio::join!(target.connected(), credentials);
    let target = target?;
    credentials.as_ref().as_ref().ok()?;
    let name = format!(
        "{}/pullprobe/{}",
        destination.stream_prefix, context.settings.run_id
    );
    let mut stream = LogStream {
        context,
        target,
        credentials,
        destination,
        name,
    };
    let started = Instant::now();
    let mut created = stream.create_stream().await?;
    let mut created_group = false;
    if stream.destination.create_group && created.observation.failure() == Some(Failure::NotFound) {
        let attempts = created.observation.attempts;
        created = stream.call("CreateLogGroup", json!({})).await?;
        if exists(&created) {
            created_group = true;
            created = stream.create_stream().await?;
        }
        created.observation.attempts += attempts;
    }
    let mut result = if exists(&created) {
        let run_id = &stream.context.settings.run_id;
        let event = json!({ "schema": "pullprobe/started/v1", "run": run_id });
        let mut put = stream.put_event(&event.to_string()).await?;
        if is_stream_missing(&put) {
            // Before the container starts, the driver only creates the stream, which worked.
            put.observation.outcome = Outcome::Passed;
        }
        add_tries(&mut put.observation, &created.observation);
        put
    } else {
        created
    };
    result.observation.elapsed_ms = crate::millis(started.elapsed());
    result.observation.id.narrow(id);
    if result.observation.passed() && created_group {
        result.observation.detail =
            "the log group was missing and was created, as the task's start would have done".into();
    }
    let group = &stream.destination.group;
    result.observation.subject = Some(format!("{group}:{}", stream.name));
    // A response that came only over small segments is a failed check, but the report can be
    // delivered.
    let usable = result.observation.passed() || result.response.is_some();
    stream.context.recorder.record(result.observation);
    // The stream is kept for the report, but its recorder must not keep the run open.
    stream.context.recorder = Recorder::detached();
    usable.then_some(stream)
}

/// Whether a call created the stream or group, or found that it exists.
fn exists(created: &CallResult) -> bool {
    created.observation.passed() || created.error_code() == ALREADY_EXISTS
}

/// Whether CloudWatch Logs reports that the stream is missing, not the group.
fn is_stream_missing(result: &CallResult) -> bool {
    result.observation.failure() == Some(Failure::NotFound)
        && result.observation.is_of_the_service()
        && result.observation.detail.contains("log stream")
}

impl LogStream {
    /// Writes the report as one event. Fails with the error of CloudWatch Logs or of the network.
    pub async fn deliver(&self, line: &str) -> Result<(), SafeText> {
        let Some(result) = self.put_event(line).await else {
            return Err("no credentials".into());
        };
        match result.observation.outcome {
            Outcome::Passed if result.error_code() == EVENT_REJECTED => {
                Err(result.observation.detail)
            }
            Outcome::Passed => Ok(()),
            _ if result.response.is_some() => Ok(()),
            _ => Err(match result.observation.failure() {
                Some(failure) => safe_text![failure.to_string(), ": ", result.observation.detail],
                None => result.observation.detail,
            }),
        }
    }

    /// Writes an event. If the stream has been deleted in the meantime, creates it again and
    /// retries. Returns `None` without credentials.
    async fn put_event(&self, message: &str) -> Option<CallResult> {
        let result = self.put_event_once(message).await?;
        if !is_stream_missing(&result) {
            return Some(result);
        }
        let created = self.create_stream().await?;
        if !exists(&created) {
            return Some(created);
        }
        let mut again = self.put_event_once(message).await?;
        again.observation.attempts += result.observation.attempts;
        Some(again)
    }

    async fn put_event_once(&self, message: &str) -> Option<CallResult> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, crate::millis);
        let mut result = self
            .call_stream(
                "PutLogEvents",
                json!({ "logEvents": [{ "timestamp": now, "message": message }] }),
            )
            .await?;
        // A response with status 200 may still reject the event (PutLogEvents, API reference).
        let rejected = result.response.as_ref().and_then(|response| {
            let body: Value = serde_json::from_slice(&response.body).ok()?;
            let info = body.get("rejectedLogEventsInfo")?;
            let is_set = |(member, _): &&(&str, &str)| info.get(*member).is_some_and(Value::is_u64);
            Some(REJECTIONS.iter().find(is_set)?.1)
        });
        if let Some(why) = rejected {
            // The driver ignores this, so the task starts.
            result.observation.detail = safe_text!["CloudWatch Logs rejected the event as ", why];
            if let Some(answer) = &mut result.observation.answer {
                answer.code = EVENT_REJECTED.into();
            }
            result.response = None;
        }
        Some(result)
    }

    async fn create_stream(&self) -> Option<CallResult> {
        self.call_stream("CreateLogStream", json!({})).await
    }

    /// Calls `action` for this stream. Returns `None` without credentials.
    async fn call_stream(&self, action: &str, mut input: Value) -> Option<CallResult> {
        input["logStreamName"] = self.name.clone().into();
        self.call(action, input).await
    }

    /// Calls `action` for this stream's group. Returns `None` without credentials.
    async fn call(&self, action: &str, mut input: Value) -> Option<CallResult> {
        let credentials = self.credentials.as_ref().as_ref().ok()?;
        input["logGroupName"] = self.destination.group.clone().into();
        let client = PhaseClient {
            context: &self.context,
            target: &self.target,
            phase: Phase::Write,
        };
        let region = self.destination.region.as_str();
        Some(LOGS.call(client, action, &input, region, credentials).await)
    }
}
