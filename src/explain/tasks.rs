//! The texts of a `describe-tasks` or `describe-services` document.

use serde_json::Value;

use super::Known;

/// One text, and what the document knows beside it.
pub type Told = (String, Known);

/// The texts of a document, in its order: a task's stop reason with its containers' reasons, a
/// service's events. With or without the object around the list, and for one task alone. Fails on
/// what is neither.
pub fn texts(document: &str) -> Result<Vec<Told>, String> {
    let document: Value =
        serde_json::from_str(document).map_err(|error| format!("this is no JSON: {error}"))?;
    let listed = |name: &str| document.get(name).and_then(Value::as_array).cloned();
    let mut tasks = listed("tasks").unwrap_or_default();
    let mut services = listed("services").unwrap_or_default();
    match &document {
        Value::Array(items) => tasks.extend(items.iter().cloned()),
        Value::Object(object) if object.contains_key("taskArn") => tasks.push(document.clone()),
        Value::Object(object) if object.contains_key("events") => services.push(document.clone()),
        // What EventBridge sends when a task changes its state.
        Value::Object(object) if object.contains_key("detail") => {
            tasks.extend(object.get("detail").cloned())
        }
        _ => {}
    }
    let told: Vec<Told> = tasks
        .iter()
        .filter_map(task)
        .chain(services.iter().flat_map(events))
        .collect();
    if told.is_empty() {
        return Err(
            "this has no task with a reason in it: `aws ecs describe-tasks` prints one".into(),
        );
    }
    Ok(told)
}

fn string<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn known(value: &Value, name: &str) -> Option<String> {
    Some(string(value, name))
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Seconds since 1970: the API writes a number, the AWS CLI RFC 3339. 0 for neither.
pub fn seconds(time: &Value) -> f64 {
    let written = || time.as_str()?.parse::<jiff::Timestamp>().ok();
    let written = || Some(written()?.as_duration().as_secs_f64());
    time.as_f64().or_else(written).unwrap_or_default()
}

/// RFC 3339, to the second.
fn at(value: &Value, name: &str) -> Option<String> {
    let seconds = seconds(value.get(name)?);
    let duration = jiff::SignedDuration::try_from_secs_f64(seconds)
        .ok()
        .filter(jiff::SignedDuration::is_positive)?;
    Some(
        jiff::Timestamp::from_second(duration.as_secs())
            .ok()?
            .to_string(),
    )
}

/// A task that says something. One that runs and one that was stopped for a reason of its owner's
/// are texts as well: they are answered `unknown`.
pub fn task(task: &Value) -> Option<Told> {
    let mut reasons: Vec<&str> = vec![string(task, "stoppedReason")];
    let containers = task.get("containers").and_then(Value::as_array);
    for reason in containers
        .into_iter()
        .flatten()
        .map(|container| string(container, "reason"))
    {
        // ECS repeats the task's reason at the container that caused it, and sometimes only there.
        if !reasons.iter().any(|known| known.contains(reason)) {
            reasons.push(reason);
        }
    }
    reasons.retain(|reason| !reason.is_empty());
    // `Task failed to start` and `Essential container in task exited` are said beside the reason
    // proper.
    let text = reasons.join(" | ");
    let service = string(task, "group")
        .strip_prefix("service:")
        .map(str::to_owned);
    let cluster =
        known(task, "clusterArn").map(|arn| arn.rsplit('/').next().unwrap_or_default().to_owned());
    let about = Known {
        cluster,
        service,
        task_arn: known(task, "taskArn"),
        stop_code: known(task, "stopCode"),
        said_at: at(task, "stoppedAt").or_else(|| at(task, "stoppingAt")),
    };
    let is_task = about.task_arn.is_some() || about.stop_code.is_some() || !text.is_empty();
    let status = known(task, "lastStatus").unwrap_or_else(|| "not given".to_owned());
    is_task.then(|| {
        (
            if text.is_empty() {
                format!("(no reason; last status: {status})")
            } else {
                text
            },
            about,
        )
    })
}

/// The events of a service that report a failure, the newest first; the others say that it is
/// steady.
pub fn events(service: &Value) -> Vec<Told> {
    let cluster = known(service, "clusterArn")
        .map(|arn| arn.rsplit('/').next().unwrap_or_default().to_owned());
    let about = Known {
        cluster,
        service: known(service, "serviceName"),
        ..Known::default()
    };
    let events = service
        .get("events")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let failed = |text: &str| {
        ["unable to", "failed", "error", "Error"]
            .iter()
            .any(|word| text.contains(word))
    };
    let mut told: Vec<Told> = Vec::new();
    for event in events
        .iter()
        .filter(|event| failed(string(event, "message")))
    {
        let text = string(event, "message");
        // A service tries again every few minutes and says the same each time.
        if !told.iter().any(|(known, _)| known == text) {
            told.push((
                text.to_owned(),
                Known {
                    said_at: at(event, "createdAt"),
                    ..about.clone()
                },
            ));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_tells_its_reasons_once_and_where_it_ran() {
        let task = r#"{"taskArn":"arn:aws:ecs:eu-west-1:1:task/prod/a1","clusterArn":"arn:aws:ecs:eu-west-1:1:cluster/prod",
            "group":"service:web","stopCode":"TaskFailedToStart","stoppedReason":"Task failed to start",
            "stoppedAt":"2026-11-24T10:00:00.5+01:00","containers":[{"reason":"CannotPullContainerError: x"},{"reason":"CannotPullContainerError: x"},{}]}"#;
        for document in [
            task.to_owned(),
            format!("[{task}]"),
            format!("{{\"tasks\":[{task}],\"failures\":[]}}"),
        ] {
            let told = texts(&document).unwrap();
            assert_eq!(told.len(), 1);
            assert_eq!(
                told[0].0,
                "Task failed to start | CannotPullContainerError: x"
            );
            assert_eq!(told[0].1.service.as_deref(), Some("web"));
            assert_eq!(told[0].1.cluster.as_deref(), Some("prod"));
            assert_eq!(told[0].1.stop_code.as_deref(), Some("TaskFailedToStart"));
            assert_eq!(told[0].1.said_at.as_deref(), Some("2026-11-24T09:00:00Z"));
        }
    }

    #[test]
    fn a_service_tells_its_failures() {
        let service = r#"{"services":[{"serviceName":"web","clusterArn":"arn:aws:ecs:eu-west-1:1:cluster/prod","events":[
            {"message":"(service web) has reached a steady state."},
            {"message":"(service web) was unable to place a task. Reason: x","createdAt":1764000000.25},
            {"message":"(service web) was unable to place a task. Reason: x"}]}]}"#;
        let told = texts(service).unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].0.ends_with("Reason: x"));
        assert_eq!(told[0].1.said_at.as_deref(), Some("2025-11-24T16:00:00Z"));
    }

    #[test]
    fn a_task_without_a_reason_says_how_it_is() {
        let told = texts(
            r#"{"tasks":[{"taskArn":"arn:aws:ecs:eu-west-1:1:task/a/b","lastStatus":"PENDING"}]}"#,
        )
        .unwrap();
        assert_eq!(told[0].0, "(no reason; last status: PENDING)");
    }

    #[test]
    fn what_is_no_task_is_refused() {
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
            assert!(texts(wrong).is_err(), "{wrong}");
        }
    }
}
