//! Events of the functions in the templates of `fleet print`, and their settings.

use serde::Deserialize;
use serde_json::Value;

use super::failed_start::FailedStart;
use super::target::FleetTarget;

/// Environment variables of the functions.
pub const BUCKET_VARIABLE: &str = "PULLPROBE_FLEET_BUCKET";
pub const ROLE_VARIABLE: &str = "PULLPROBE_FLEET_ROLE";
pub const EXTERNAL_ID_VARIABLE: &str = "PULLPROBE_FLEET_EXTERNAL_ID";
pub const TOPIC_VARIABLE: &str = "PULLPROBE_FLEET_TOPIC";
pub const NAME_VARIABLE: &str = "PULLPROBE_FLEET_NAME";
pub const CARRIER_VARIABLE: &str = "PULLPROBE_FLEET_CARRIER";

/// `errorType` of a call that AWS throttled: the state machine retries it.
pub const THROTTLED: &str = "Pullprobe.Throttled";

/// What a function is invoked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FleetEvent {
    /// A step of the state machine.
    Step(FleetStep),
    /// A task that failed to start.
    FailedStart(FailedStart),
    /// An event of EventBridge that is about something else.
    Unrelated,
}

/// A step of the state machine: `{"fleet": "probe", …}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "fleet", rename_all = "kebab-case")]
pub enum FleetStep {
    /// Probes a target.
    Probe {
        /// ID of the execution.
        run: String,
        /// When the execution began.
        date: String,
        target: FleetTarget,
    },
    /// Records that a worker ended without a result.
    NoResult {
        run: String,
        date: String,
        target: FleetTarget,
        error: StateError,
    },
    /// Compares all reports.
    Reduce {
        run: String,
        date: String,
        /// Key of the list of targets.
        targets: String,
    },
}

/// The output of a failed state (Step Functions developer guide, "Error output").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StateError {
    pub error: String,
    #[serde(default)]
    pub cause: String,
}

impl StateError {
    /// Whether the worker was throttled until the last attempt.
    pub fn is_throttling(&self) -> bool {
        self.error == THROTTLED || self.error.contains("TooManyRequests")
    }

    /// Whether the worker did not end in time.
    pub fn is_timeout(&self) -> bool {
        ["States.Timeout", "Sandbox.Timedout"]
            .iter()
            .any(|timeout| self.error.contains(timeout))
            || self.cause.contains("Task timed out")
    }
}

impl FleetEvent {
    /// Reads an event; `None` if it is not one of a fleet. Fails if it is, but is not valid.
    pub fn read(body: &[u8]) -> Option<Result<Self, serde_json::Error>> {
        let event: Value = serde_json::from_slice(body).ok()?;
        if event.get("fleet").is_some() {
            return Some(serde_json::from_value(event).map(Self::Step));
        }
        event.get("detail-type")?;
        Some(Ok(
            FailedStart::read(&event).map_or(Self::Unrelated, Self::FailedStart)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_of_a_fleet_are_told_from_those_of_a_launch() {
        let read = |event: Value| FleetEvent::read(event.to_string().as_bytes());
        assert!(read(json!({ "arguments": ["--image=x"] })).is_none());
        assert!(matches!(
            read(json!({ "source": "aws.s3", "detail-type": "Object Created", "detail": {} })),
            Some(Ok(FleetEvent::Unrelated))
        ));
        let target = json!({ "account": "123456789012", "region": "eu-west-1", "service": "web" });
        let probe = json!({ "fleet": "probe", "run": "r", "date": "2026-11-27", "target": target });
        assert!(matches!(
            read(probe.clone()),
            Some(Ok(FleetEvent::Step(FleetStep::Probe { .. })))
        ));
        let mut bad = probe;
        bad["target"]["region"] = "nowhere".into();
        assert!(read(bad).unwrap().is_err());
    }

    #[test]
    fn error_of_a_state_says_why_there_is_no_result() {
        let error = |error: &str| StateError {
            error: error.into(),
            cause: String::new(),
        };
        assert!(error(THROTTLED).is_throttling());
        assert!(error("Lambda.TooManyRequestsException").is_throttling());
        assert!(error("States.Timeout").is_timeout() && !error("States.TaskFailed").is_timeout());
    }
}
