//! `write`: the log streams of the containers, as the awslogs driver opens them; the report goes to
//! the first.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::aws::credentials::{Credentials, Unavailable};
use crate::observation::{Failure, Outcome, Phase};
use crate::plan::{LogDestination, Plan, TargetMap};
use crate::probe::aws_call::{CallResult, LOGS};
use crate::probe::target::{Probe, Reached, TargetHandle};
use crate::probe::{Recorder, SharedCredentials};

/// What CreateLogStream and CreateLogGroup say where somebody was faster.
const ALREADY_EXISTS: &str = "ResourceAlreadyExistsException";

/// A log stream that took its first event.
pub struct LogStream {
    probe: Probe,
    reached: Arc<Reached>,
    credentials: Arc<Result<Credentials, Unavailable>>,
    log: LogDestination,
    /// The stream's name.
    pub name: String,
}

/// Opens a stream in every log group of the plan. The first is for the report.
pub fn begin(
    plan: &Plan,
    probe: &Probe,
    climbs: &TargetMap<TargetHandle>,
    credentials: &SharedCredentials,
) -> Option<oneshot::Receiver<LogStream>> {
    let mut first = None;
    for log in &plan.logs {
        let (opened, receive) = oneshot::channel();
        let same_group =
            |other: &&LogDestination| (&other.target, &other.group) == (&log.target, &log.group);
        let name = match plan.logs.iter().filter(same_group).count() {
            1 => log.group.clone(),
            _ => format!("{}:{}", log.group, log.stream_prefix),
        };
        let open = open(
            probe.clone(),
            climbs[log.target].clone(),
            credentials.clone(),
            log.clone(),
            name,
        );
        probe.recorder.spawn(async move {
            if let Some(stream) = open.await {
                let _ = opened.send(stream);
            }
        });
        first = first.or(Some(receive));
    }
    first
}

/// Creates the stream and writes one event, as the awslogs driver does before the first container
/// starts. Where the group is missing and the driver would create it (`awslogs-create-group`), it
/// is created here as there: the permission can be tried in no other way, and the group is the one
/// that the task's own start leaves behind.
async fn open(
    probe: Probe,
    climb: TargetHandle,
    credentials: SharedCredentials,
    log: LogDestination,
    id: String,
) -> Option<LogStream> {
    let (reached, credentials) = tokio::join!(climb.reached(), credentials);
    let reached = reached?;
    credentials.as_ref().as_ref().ok()?;
    let name = format!("{}/pullprobe/{}", log.stream_prefix, probe.setting.run_id);
    let mut stream = LogStream {
        probe,
        reached,
        credentials,
        log,
        name,
    };
    let started = Instant::now();
    let mut created = stream.call("CreateLogStream", json!({})).await?;
    let mut note = "";
    if stream.log.create_group && created.observation.failure() == Some(Failure::NotFound) {
        let attempts = created.observation.attempts;
        created = stream.create_group().await?;
        if created.observation.passed() || created.code() == ALREADY_EXISTS {
            note = "the log group was missing; it was created, as the task's start would have done";
            created = stream.call("CreateLogStream", json!({})).await?;
        }
        created.observation.attempts += attempts;
    }
    let mut said = if created.observation.passed() || created.code() == ALREADY_EXISTS {
        let event = json!({ "schema": "pullprobe/started/v1", "run": stream.probe.setting.run_id });
        stream.put(&event.to_string()).await?
    } else {
        created
    };
    said.observation.elapsed_ms = crate::millis(started.elapsed());
    said.observation.id.narrow(id);
    if said.observation.passed() && !note.is_empty() {
        note.clone_into(&mut said.observation.detail);
    }
    said.observation.subject = Some(format!("{}:{}", stream.log.group, stream.name));
    let passed = said.observation.passed();
    // Small segments alone got it through: the report can be delivered all the same.
    let usable = said.answer.is_some();
    stream.probe.recorder.record(said.observation);
    // The stream is kept for the report; its recorder must not keep the run from ending.
    stream.probe.recorder = Recorder::idle();
    (passed || usable).then_some(stream)
}

impl LogStream {
    /// Writes the report. Fails with what CloudWatch Logs or the path said.
    pub async fn deliver(&self, line: &str) -> Result<(), String> {
        let Some(said) = self.put(line).await else {
            return Err("no credentials".into());
        };
        match said.observation.outcome {
            Outcome::Passed => Ok(()),
            _ if said.answer.is_some() => Ok(()),
            _ => Err(match said.observation.failure() {
                Some(failure) => format!("{failure}: {}", said.observation.detail),
                None => said.observation.detail,
            }),
        }
    }

    async fn put(&self, message: &str) -> Option<CallResult> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, crate::millis);
        let mut said = self
            .call(
                "PutLogEvents",
                json!({ "logEvents": [{ "timestamp": now, "message": message }] }),
            )
            .await?;
        // A 200 may still say that the event was thrown away (too old, too new, expired).
        let rejected = said.answer.as_ref().and_then(|answer| {
            let answer: Value = serde_json::from_slice(&answer.body).ok()?;
            answer
                .get("rejectedLogEventsInfo")
                .filter(|info| !info.is_null())
                .map(ToString::to_string)
        });
        if let Some(info) = rejected {
            said.observation.outcome = Outcome::Failed {
                failure: Failure::UnexpectedAnswer,
            };
            said.observation.detail = format!("CloudWatch Logs rejected the event: {info}");
            said.answer = None;
        }
        Some(said)
    }

    async fn create_group(&self) -> Option<CallResult> {
        self.sign_and_call("CreateLogGroup", json!({})).await
    }

    async fn call(&self, action: &str, mut input: Value) -> Option<CallResult> {
        input["logStreamName"] = self.name.clone().into();
        self.sign_and_call(action, input).await
    }

    async fn sign_and_call(&self, action: &str, mut input: Value) -> Option<CallResult> {
        let credentials = self.credentials.as_ref().as_ref().ok()?;
        input["logGroupName"] = self.log.group.clone().into();
        let place = (&self.probe, &*self.reached, Phase::Write);
        Some(
            LOGS.call(action, input, place, self.log.region.as_str(), credentials)
                .await,
        )
    }
}
