//! `write`: the log stream that the report will go to.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use super::call::{LOGS, Said};
use super::target::{Climb, Probe, Reached};
use super::{Recorder, SharedCredentials};
use crate::aws::credentials::{Credentials, Unavailable};
use crate::observation::{Failure, Outcome, Phase};
use crate::plan::LogDestination;

/// A log stream that took its first event.
pub struct LogStream {
    probe: Probe,
    reached: Arc<Reached>,
    credentials: Arc<Result<Credentials, Unavailable>>,
    log: LogDestination,
    /// The stream's name.
    pub name: String,
}

/// Creates the stream and writes one event, as the awslogs driver does before the first container starts.
pub async fn open(
    probe: Probe,
    climb: Climb,
    credentials: SharedCredentials,
    log: LogDestination,
) -> Option<LogStream> {
    let (reached, credentials) = tokio::join!(climb.reached(), credentials);
    let reached = reached?;
    credentials.as_ref().as_ref().ok()?;
    let name = format!("{}/pullprobe/{}", log.stream_prefix, probe.setting.run_id);
    let mut stream = LogStream { probe, reached, credentials, log, name };
    let started = Instant::now();
    let created = stream.call("CreateLogStream", json!({})).await?;
    let exists = created.observation.answer.as_ref().is_some_and(|a| a.code == "ResourceAlreadyExistsException");
    let mut said = if created.observation.passed() || exists {
        let event = json!({ "schema": "pullprobe/started/v1", "run": stream.probe.setting.run_id });
        stream.put(&event.to_string()).await?
    } else {
        created
    };
    said.observation.elapsed_ms = crate::millis(started.elapsed());
    said.observation.id = format!("{}/{}", said.observation.id, stream.log.group);
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
        let Some(said) = self.put(line).await else { return Err("no credentials".into()) };
        match said.observation.outcome {
            Outcome::Passed => Ok(()),
            _ if said.answer.is_some() => Ok(()),
            _ => Err(match said.observation.failure() {
                Some(failure) => format!("{failure}: {}", said.observation.detail),
                None => said.observation.detail,
            }),
        }
    }

    async fn put(&self, message: &str) -> Option<Said> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, crate::millis);
        let mut said =
            self.call("PutLogEvents", json!({ "logEvents": [{ "timestamp": now, "message": message }] })).await?;
        // A 200 may still say that the event was thrown away (too old, too new, expired).
        let rejected = said.answer.as_ref().and_then(|answer| {
            let answer: Value = serde_json::from_slice(&answer.body).ok()?;
            answer.get("rejectedLogEventsInfo").filter(|info| !info.is_null()).map(ToString::to_string)
        });
        if let Some(info) = rejected {
            said.observation.outcome = Outcome::Failed { failure: Failure::UnexpectedAnswer };
            said.observation.detail = format!("CloudWatch Logs rejected the event: {info}");
            said.answer = None;
        }
        Some(said)
    }

    async fn call(&self, action: &str, mut input: Value) -> Option<Said> {
        let credentials = self.credentials.as_ref().as_ref().ok()?;
        input["logGroupName"] = self.log.group.clone().into();
        input["logStreamName"] = self.name.clone().into();
        let place = (&self.probe, &*self.reached, Phase::Write);
        Some(LOGS.call(action, input, place, self.log.region.as_str(), credentials).await)
    }
}
