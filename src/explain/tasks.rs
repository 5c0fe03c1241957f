//! Reads the failure messages of a `describe-tasks` or `describe-services` document.

use std::fmt;

use serde_json::Value;

use super::explanation::MessageContext;
use crate::arn::Arn;

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
                "contains no stopped task and no failure event; pass the output of \
                 `aws ecs describe-tasks`",
            ),
        }
    }
}

impl std::error::Error for InvalidDocument {}

/// Reads the messages of a document, in its order: a task's stopped reason with its containers'
/// reasons, and the failure events of a service. Accepts the list with or without the object around
/// it, a single task or service, and the EventBridge event of a task state change.
pub fn messages(document: &str) -> Result<Vec<EcsMessage>, InvalidDocument> {
    let document: Value = serde_json::from_str(document).map_err(InvalidDocument::NotJson)?;
    let (mut tasks, mut services) = (list(&document, "tasks"), list(&document, "services"));
    match &document {
        Value::Array(items) => tasks.extend(items.iter().cloned()),
        Value::Object(object) if object.contains_key("taskArn") => tasks.push(document.clone()),
        Value::Object(object) if object.contains_key("events") => services.push(document.clone()),
        Value::Object(object) => tasks.extend(object.get("detail").cloned()),
        _ => {}
    }
    let messages: Vec<EcsMessage> = tasks
        .iter()
        .filter_map(of_task)
        .chain(services.iter().flat_map(of_events))
        .collect();
    if messages.is_empty() {
        return Err(InvalidDocument::NoMessages);
    }
    Ok(messages)
}

/// Returns an array's items; none if it is missing, as ECS omits empty lists.
fn list(value: &Value, name: &str) -> Vec<Value> {
    let items = value.get(name).and_then(Value::as_array);
    items.cloned().unwrap_or_default()
}

/// Returns a string field; empty if it is missing, as ECS omits empty fields.
fn string<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn non_empty(value: &Value, name: &str) -> Option<String> {
    Some(string(value, name))
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
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
    let seconds = epoch_seconds(value.get(name)?);
    let duration = jiff::SignedDuration::try_from_secs_f64(seconds)
        .ok()
        .filter(jiff::SignedDuration::is_positive)?;
    let timestamp = jiff::Timestamp::from_second(duration.as_secs()).ok()?;
    Some(timestamp.to_string())
}

/// Reads a task's message; `None` for a value that is not a task. A task that runs or was stopped
/// by its operator has one too, which is explained as `unknown`.
pub fn of_task(task: &Value) -> Option<EcsMessage> {
    let mut reasons: Vec<&str> = vec![string(task, "stoppedReason")];
    let containers = task.get("containers").and_then(Value::as_array);
    for container in containers.into_iter().flatten() {
        let reason = string(container, "reason");
        // ECS repeats the task's reason at the container that caused it, and sometimes gives it
        // only there.
        if !reasons.iter().any(|known| known.contains(reason)) {
            reasons.push(reason);
        }
    }
    reasons.retain(|reason| !reason.is_empty());
    // `Task failed to start` and `Essential container in task exited` accompany the actual reason.
    let reason = reasons.join(" | ");
    let context = MessageContext {
        cluster: cluster_name(task),
        service: string(task, "group")
            .strip_prefix("service:")
            .map(str::to_owned),
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
        let text = string(&event, "message");
        let is_failure = ["unable to", "failed", "error", "Error"]
            .iter()
            .any(|word| text.contains(word));
        if is_failure && !messages.iter().any(|known| known.text == text) {
            messages.push(EcsMessage {
                text: text.to_owned(),
                context: MessageContext {
                    cluster: cluster_name(service),
                    service: non_empty(service, "serviceName"),
                    said_at: timestamp(&event, "createdAt"),
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
