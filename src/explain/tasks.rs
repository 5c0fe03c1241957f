//! Reads the failure messages of a `describe-tasks` or `describe-services` document.

use std::fmt;

use serde_json::Value;

use super::explanation::MessageContext;
use crate::arn::Arn;
use crate::safe_text::visible;

/// A stopped task's reasons or a service event, and its context in the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EcsMessage {
    /// The text.
    pub text: String,
    /// Cluster, service, task and time.
    pub context: MessageContext,
}

/// Why a document has no messages. Displays as a predicate, to follow the name of the document.
#[derive(Debug)]
pub enum InvalidDocument {
    /// It is not JSON.
    NotJson(serde_json::Error),
    /// It is JSON without a task or a failure event.
    NoMessages,
}

impl fmt::Display for InvalidDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(error) => write!(f, "is not valid JSON: {error}"),
            Self::NoMessages => f.write_str(
                "contains no stopped task, no failure and no failure event; pass the output of \
                 `aws ecs describe-tasks`",
            ),
        }
    }
}

impl std::error::Error for InvalidDocument {}

/// Maximum depth to which documents are searched: a Step Functions event within a list has five
/// levels.
const MAX_DEPTH: usize = 8;

/// Reads the messages of a document, in its order: a task's stopped reason with its containers'
/// reasons, the failure events of a service, the failures of RunTask, the jobs of AWS Batch, and
/// the events that Amazon EventBridge and AWS Step Functions make of them, wherever they are in it.
pub fn messages(document: &str) -> Result<Vec<EcsMessage>, InvalidDocument> {
    let document: Value = serde_json::from_str(document).map_err(InvalidDocument::NotJson)?;
    let mut messages = Vec::new();
    collect(&document, MAX_DEPTH, &mut messages);
    if messages.is_empty() {
        return Err(InvalidDocument::NoMessages);
    }
    Ok(messages)
}

/// Returns the messages of a text that is such a document; `None` for any other text.
pub fn messages_of_document(text: &str) -> Option<Vec<EcsMessage>> {
    text.trim_start()
        .starts_with(['{', '['])
        .then(|| messages(text).ok())?
}

/// Adds the messages of a value. What is a task, a service or a job is not searched further.
fn collect(value: &Value, depth: usize, messages: &mut Vec<EcsMessage>) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    match value {
        Value::Array(items) => {
            for item in items {
                collect(item, depth, messages);
            }
        }
        Value::Object(members) => {
            let has = |name: &str| !field(value, name).is_null();
            // Step Functions and CloudTrail have events, too, but without a message.
            let is_service = list(value, "events")
                .iter()
                .any(|event| !string(event, "message").is_empty());
            if is_service {
                messages.extend(of_events(value));
            } else if (has("jobId") || has("jobArn")) && (has("statusReason") || has("container")) {
                messages.extend(of_job(value));
            } else if has("taskArn") || has("stoppedReason") || has("stopCode") {
                messages.extend(of_task(value));
            } else if has("eventName") || has("failureType") {
                messages.extend(of_service_action(value));
            } else if has("reason") && !has("containerArn") {
                messages.extend(of_failure(value));
            } else {
                for member in members.values() {
                    collect(member, depth, messages);
                }
            }
        }
        // Step Functions gives the cause of a failed state as JSON within a string.
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            if let Ok(inner) = serde_json::from_str::<Value>(text) {
                collect(&inner, depth, messages);
            }
        }
        _ => {}
    }
}

/// Returns a member of an object. Step Functions begins its name with a capital.
fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    const NULL: &Value = &Value::Null;
    let capital = || {
        let (first, rest) = name.split_at_checked(1)?;
        value.get(first.to_ascii_uppercase() + rest)
    };
    value.get(name).or_else(capital).unwrap_or(NULL)
}

/// Reads a failure of RunTask or StartTask: why no task was placed.
fn of_failure(failure: &Value) -> Option<EcsMessage> {
    let (reason, detail) = (string(failure, "reason"), string(failure, "detail"));
    let text = format!("TaskFailedToStart: {reason} {detail}");
    (!reason.is_empty()).then(|| EcsMessage {
        text: text.trim_end().to_owned(),
        context: MessageContext::default(),
    })
}

/// Reads the detail of an EventBridge event about a service, a deployment or a daemon.
fn of_service_action(detail: &Value) -> Option<EcsMessage> {
    let name = [string(detail, "eventName"), string(detail, "failureType")].concat();
    let text = format!("{name}: {}", string(detail, "reason"));
    let is_failure = string(detail, "eventType") != "INFO";
    is_failure.then(|| EcsMessage {
        text: text.trim_end_matches([':', ' ']).to_owned(),
        context: MessageContext {
            cluster: cluster_name(detail),
            said_at: timestamp(detail, "createdAt"),
            ..MessageContext::default()
        },
    })
}

/// Reads a job of AWS Batch: its status reason and that of its container.
fn of_job(job: &Value) -> Option<EcsMessage> {
    let attempts = list(job, "attempts");
    let last = attempts.last().map(|attempt| field(attempt, "container"));
    let container = Some(field(job, "container"))
        .filter(|container| !string(container, "reason").is_empty())
        .or(last);
    let reasons = [
        string(job, "statusReason"),
        container.map_or("", |container| string(container, "reason")),
    ];
    let text = join(&reasons);
    (!text.is_empty()).then(|| EcsMessage {
        text,
        context: MessageContext {
            task_arn: container.and_then(|container| non_empty(container, "taskArn")),
            ..MessageContext::default()
        },
    })
}

/// Joins reasons, each once. ECS repeats the task's reason at the container that caused it, and
/// sometimes gives it only there. `Task failed to start` and `Essential container in task exited`
/// accompany the actual reason.
fn join(reasons: &[&str]) -> String {
    let mut known: Vec<&str> = Vec::new();
    for reason in reasons.iter().filter(|reason| !reason.is_empty()) {
        if !known.iter().any(|known| known.contains(reason)) {
            known.push(reason);
        }
    }
    known.join(" | ")
}

/// Returns an array's items; none if it is missing, as ECS omits empty lists.
fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    field(value, name).as_array().map_or(&[], Vec::as_slice)
}

/// Returns a string field; empty if it is missing, as ECS omits empty fields.
fn string<'a>(value: &'a Value, name: &str) -> &'a str {
    field(value, name).as_str().unwrap_or_default()
}

/// Maximum number of characters of a name: an ARN has at most 2,048 (IAM user guide, "IAM and STS
/// quotas").
const MAX_NAME: usize = 2_048;

fn non_empty(value: &Value, name: &str) -> Option<String> {
    Some(string(value, name))
        .filter(|text| !text.is_empty())
        .map(|text| visible(text, MAX_NAME))
}

fn cluster_name(value: &Value) -> Option<String> {
    let cluster = non_empty(value, "clusterArn")?;
    let arn = cluster.parse::<Arn>().ok();
    Some(arn.map_or(cluster, |arn| arn.name().to_owned()))
}

/// Returns a timestamp in seconds since 1970: the API returns a number, the AWS CLI RFC 3339. 0 if
/// it is neither.
pub fn epoch_seconds(time: &Value) -> f64 {
    let of_text = || {
        let timestamp: jiff::Timestamp = time.as_str()?.parse().ok()?;
        Some(timestamp.as_duration().as_secs_f64())
    };
    time.as_f64().or_else(of_text).unwrap_or_default()
}

/// Returns a timestamp field as RFC 3339, in whole seconds.
fn timestamp(value: &Value, name: &str) -> Option<String> {
    let seconds = epoch_seconds(field(value, name));
    let duration = jiff::SignedDuration::try_from_secs_f64(seconds)
        .ok()
        .filter(jiff::SignedDuration::is_positive)?;
    let timestamp = jiff::Timestamp::from_second(duration.as_secs()).ok()?;
    Some(timestamp.to_string())
}

/// Reads a task's message; `None` for a value that is not a task. A task that runs or was stopped
/// by its operator has one too, which is explained as `unknown`.
pub fn of_task(task: &Value) -> Option<EcsMessage> {
    let containers = list(task, "containers");
    let reason = |value| string(value, "reason");
    // AWS Batch gives the reason of a job's container next to the task's ARN.
    let mut reasons = vec![string(task, "stoppedReason"), reason(task)];
    reasons.extend(containers.iter().map(reason));
    let failed = containers
        .iter()
        .find(|container| !reason(container).is_empty());
    let reason = join(&reasons);
    let context = MessageContext {
        cluster: cluster_name(task),
        service: string(task, "group")
            .strip_prefix("service:")
            .map(str::to_owned),
        container: failed.and_then(|container| non_empty(container, "name")),
        task_arn: non_empty(task, "taskArn"),
        stop_code: non_empty(task, "stopCode"),
        said_at: timestamp(task, "stoppedAt").or_else(|| timestamp(task, "stoppingAt")),
    };
    let is_task = context.task_arn.is_some() || context.stop_code.is_some() || !reason.is_empty();
    let text = if reason.is_empty() {
        let status = non_empty(task, "lastStatus").unwrap_or_else(|| "not given".to_owned());
        format!("(no reason; last status: {status})")
    } else {
        reason
    };
    is_task.then_some(EcsMessage { text, context })
}

/// Reads the failure events of a service, newest first and each text once: a service that retries
/// reports the same failure every few minutes. Events of a steady state are skipped.
pub fn of_events(service: &Value) -> Vec<EcsMessage> {
    let mut messages: Vec<EcsMessage> = Vec::new();
    for event in list(service, "events") {
        let text = string(event, "message");
        let is_failure = [
            "unable to",
            "failed",
            "error",
            "Error",
            "throttled",
            "unhealthy",
        ]
        .iter()
        .any(|word| text.contains(word));
        if is_failure && !messages.iter().any(|known| known.text == text) {
            messages.push(EcsMessage {
                text: text.to_owned(),
                context: MessageContext {
                    cluster: cluster_name(service),
                    service: non_empty(service, "serviceName"),
                    said_at: timestamp(event, "createdAt"),
                    ..MessageContext::default()
                },
            });
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_reason_once_and_the_context_of_a_task() {
        let task = r#"{"taskArn":"arn:aws:ecs:eu-west-1:1:task/prod/a1","clusterArn":"arn:aws:ecs:eu-west-1:1:cluster/prod",
            "group":"service:web","stopCode":"TaskFailedToStart","stoppedReason":"Task failed to start",
            "stoppedAt":"2026-11-24T10:00:00.5+01:00","containers":[{"reason":"CannotPullContainerError: x"},{"reason":"CannotPullContainerError: x"},{}]}"#;
        for document in [
            task.to_owned(),
            format!("[{task}]"),
            format!("{{\"tasks\":[{task}],\"failures\":[]}}"),
        ] {
            let read = messages(&document).unwrap();
            assert_eq!(read.len(), 1);
            assert_eq!(
                read[0].text,
                "Task failed to start | CannotPullContainerError: x"
            );
            assert_eq!(read[0].context.service.as_deref(), Some("web"));
            assert_eq!(read[0].context.cluster.as_deref(), Some("prod"));
            assert_eq!(
                read[0].context.stop_code.as_deref(),
                Some("TaskFailedToStart")
            );
            assert_eq!(
                read[0].context.said_at.as_deref(),
                Some("2026-11-24T09:00:00Z")
            );
        }
    }

    #[test]
    fn reads_the_failure_events_of_a_service() {
        let service = r#"{"services":[{"serviceName":"web","clusterArn":"arn:aws:ecs:eu-west-1:1:cluster/prod","events":[
            {"message":"(service web) has reached a steady state."},
            {"message":"(service web) was unable to place a task. Reason: x","createdAt":1764000000.25},
            {"message":"(service web) was unable to place a task. Reason: x"}]}]}"#;
        let read = messages(service).unwrap();
        assert_eq!(read.len(), 1);
        assert!(read[0].text.ends_with("Reason: x"));
        assert_eq!(
            read[0].context.said_at.as_deref(),
            Some("2025-11-24T16:00:00Z")
        );
    }

    #[test]
    fn a_task_without_a_reason_has_its_status() {
        let read = messages(
            r#"{"tasks":[{"taskArn":"arn:aws:ecs:eu-west-1:1:task/a/b","lastStatus":"PENDING"}]}"#,
        )
        .unwrap();
        assert_eq!(read[0].text, "(no reason; last status: PENDING)");
    }

    #[test]
    fn reads_the_failures_of_run_task() {
        let read = messages(r#"{"tasks":[],"failures":[{"arn":"arn:aws:ecs:eu-west-1:1:container-instance/a","reason":"RESOURCE:MEMORY"},{"reason":"AGENT","detail":"x"}]}"#).unwrap();
        let texts: Vec<&str> = read.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "TaskFailedToStart: RESOURCE:MEMORY",
                "TaskFailedToStart: AGENT x"
            ]
        );
    }

    #[test]
    fn reads_what_other_services_make_of_a_task() {
        let reason = "CannotPullContainerError: x";
        let of_step_functions = format!(
            r#"{{"ClusterArn":"arn:aws:ecs:eu-west-1:1:cluster/prod","Containers":[{{"Name":"web","Image":"a"}},{{"Name":"agent","Reason":"{reason}"}}],"StoppedReason":"Essential container in task exited"}}"#
        );
        let cause = serde_json::to_string(&of_step_functions).unwrap();
        let history = format!(
            r#"{{"events":[{{"id":1,"type":"ExecutionStarted"}},{{"id":2,"type":"TaskFailed","taskFailedEventDetails":{{"error":"States.TaskFailed","cause":{cause}}}}}]}}"#
        );
        let event = of_step_functions.replace("Containers", "containers");
        let event = format!(r#"{{"source":"aws.ecs","detail":{event}}}"#);
        for document in [of_step_functions, history, event] {
            let read = messages(&document).unwrap();
            assert_eq!(read.len(), 1, "{document}");
            assert_eq!(
                read[0].text,
                format!("Essential container in task exited | {reason}")
            );
            assert_eq!(read[0].context.container.as_deref(), Some("agent"));
            assert_eq!(read[0].context.cluster.as_deref(), Some("prod"));
        }
        let job = format!(
            r#"{{"jobs":[{{"jobId":"a","statusReason":"Task failed to start","container":{{}},"attempts":[{{"container":{{"reason":"{reason}"}}}}]}}]}}"#
        );
        assert_eq!(
            messages(&job).unwrap()[0].text,
            format!("Task failed to start | {reason}")
        );
        let action = r#"{"detail-type":"ECS Service Action","detail":{"eventType":"ERROR","eventName":"SERVICE_TASK_PLACEMENT_FAILURE","reason":"RESOURCE:FARGATE"}}"#;
        assert_eq!(
            messages(action).unwrap()[0].text,
            "SERVICE_TASK_PLACEMENT_FAILURE: RESOURCE:FARGATE"
        );
    }

    #[test]
    fn documents_are_read_to_a_depth() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(messages(&deep).is_err());
        let wide = format!("[{}]", vec![r#"{"reason":"AGENT"}"#; 5_000].join(","));
        assert_eq!(messages(&wide).unwrap().len(), 5_000);
    }

    #[test]
    fn rejects_documents_without_a_task() {
        for wrong in [
            "",
            "{",
            "1",
            "[]",
            "{}",
            "{\"tasks\":[]}",
            "[1]",
            "{\"tasks\":[\"a\"]}",
        ] {
            assert!(messages(wrong).is_err(), "{wrong}");
        }
    }
}
