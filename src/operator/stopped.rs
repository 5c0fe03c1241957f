//! Reads from Amazon ECS why tasks stopped, and why services cannot start tasks.
//!
//! ```text
//! --task ARN   ─▶ DescribeTasks ──────────────────────────────▶ its reasons
//! --service S  ─▶ DescribeServices, ListTasks ─▶ DescribeTasks ─▶ reasons of the newest, then events of failures
//! ```

use serde_json::Value;

use super::aws::{Api, CallError, Client};
use super::ecs::{
    DescribeServicesRequest, DescribeTasksRequest, ListResponse, ListTasksRequest,
    MAX_DESCRIBED_TASKS, TasksResponse, last_segment, with_cluster_hint,
};
use super::error::OperatorError;
use crate::arn::Arn;
use crate::endpoints::Region;
use crate::explain::MessageContext;
use crate::explain::tasks::{self, EcsMessage};

/// Maximum number of messages of each kind. A service that cannot start its task repeats the same
/// event every few minutes.
const MAX_TEXTS: usize = 5;

/// Maximum number of pages of a hundred stopped tasks that are read; the rest is skipped. ECS keeps
/// them for an hour, in which a service that restarts in a loop stops a few hundred.
const MAX_PAGES: usize = 5;

/// Says what to check for a call that names a task or a cluster.
fn with_hint(error: CallError, cluster: &str, client: &Client) -> OperatorError {
    if error.code() == "InvalidParameterException" {
        return OperatorError::Usage(format!("{error}; check --task and --cluster"));
    }
    with_cluster_hint(error, cluster, client)
}

/// Whether the name looks like an ARN but is not that of an ECS `kind`, such as `task`.
pub fn is_other_arn(name: &str, kind: &str) -> bool {
    let is_kind = |arn: &Arn| arn.service == "ecs" && arn.resource_type() == Some(kind);
    name.starts_with("arn:") && !name.parse().is_ok_and(|arn| is_kind(&arn))
}

/// Returns the Region of an ARN.
pub fn region_of(arn: &str) -> Option<Region> {
    arn.parse::<Arn>().ok()?.region.parse().ok()
}

/// Returns the cluster of a task's ARN in the long format.
pub fn cluster_of(arn: &str) -> Option<String> {
    let arn = arn.parse::<Arn>().ok()?;
    let is_task = arn.resource_type() == Some("task");
    arn.cluster_name().filter(|_| is_task).map(str::to_owned)
}

/// Returns the reasons of a task, by its ARN or ID.
pub async fn task(
    client: &Client,
    cluster: &str,
    task: &str,
) -> Result<Vec<EcsMessage>, OperatorError> {
    let described = describe(client, cluster, &[task.to_owned()]).await?;
    let messages: Vec<EcsMessage> = described.iter().filter_map(tasks::of_task).collect();
    if !messages.is_empty() {
        return Ok(messages);
    }
    let region = client.region();
    Err(OperatorError::Usage(format!(
        "Amazon ECS did not find task {task} in cluster {cluster} in {region}. A stopped task can be described for about \
         an hour; for an older one, explain the events of its service with `pullprobe explain --service SERVICE --cluster \
         {cluster}`. Otherwise check --cluster and --region."
    )))
}

/// Returns the reasons of a service's stopped tasks, then its events of failures, both newest first
/// and each text once.
pub async fn service(
    client: &Client,
    cluster: &str,
    service: &str,
) -> Result<Vec<EcsMessage>, OperatorError> {
    let request = DescribeServicesRequest {
        cluster,
        services: [service],
    };
    let response: Value = client
        .json(Api::ECS, "DescribeServices", &request)
        .await
        .map_err(|error| with_hint(error, cluster, client))?;
    let Some(described) = response["services"].get(0) else {
        let region = client.region();
        return Err(OperatorError::Usage(format!(
            "Amazon ECS did not find service {service} in cluster {cluster} in {region}; list the services with `aws ecs \
             list-services --cluster {cluster} --region {region}`"
        )));
    };
    let name = described["serviceName"].as_str().unwrap_or(service);
    let mut stopped = stopped_tasks(client, cluster, name).await?;
    stopped.sort_by(|a, b| {
        tasks::epoch_seconds(&b["stoppedAt"]).total_cmp(&tasks::epoch_seconds(&a["stoppedAt"]))
    });
    let of_tasks = distinct(stopped.iter().filter_map(tasks::of_task));
    let events = tasks::of_events(described).into_iter();
    // `… was unable to place a task. Reason: X` if there is a task with the reason X.
    let repeats_task = |text: &str| {
        of_tasks
            .iter()
            .any(|message| !message.text.is_empty() && text.contains(message.text.as_str()))
    };
    let of_events = distinct(events.filter(|event| !repeats_task(&event.text)));
    let messages: Vec<EcsMessage> = of_tasks.into_iter().chain(of_events).collect();
    if !messages.is_empty() {
        return Ok(messages);
    }
    let context = MessageContext {
        cluster: Some(last_segment(cluster).to_owned()),
        service: Some(name.to_owned()),
        ..MessageContext::default()
    };
    let text = "(no stopped task, and no event that reports a failure)".to_owned();
    Ok(vec![EcsMessage { text, context }])
}

async fn stopped_tasks(
    client: &Client,
    cluster: &str,
    service: &str,
) -> Result<Vec<Value>, OperatorError> {
    let mut stopped = Vec::new();
    let mut next_token = None;
    for _ in 0..MAX_PAGES {
        let request = ListTasksRequest {
            cluster,
            service_name: Some(service),
            desired_status: "STOPPED",
            max_results: MAX_DESCRIBED_TASKS,
            next_token,
            ..ListTasksRequest::default()
        };
        let page: ListResponse = client.json(Api::ECS, "ListTasks", &request).await?;
        if !page.items.is_empty() {
            stopped.extend(describe(client, cluster, &page.items).await?);
        }
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    Ok(stopped)
}

async fn describe(
    client: &Client,
    cluster: &str,
    tasks: &[String],
) -> Result<Vec<Value>, OperatorError> {
    let request = DescribeTasksRequest {
        cluster,
        tasks,
        include: &[],
    };
    let response: TasksResponse = client
        .json(Api::ECS, "DescribeTasks", &request)
        .await
        .map_err(|error| with_hint(error, cluster, client))?;
    Ok(response.tasks)
}

/// Returns the first [`MAX_TEXTS`] messages with different texts.
fn distinct(messages: impl Iterator<Item = EcsMessage>) -> Vec<EcsMessage> {
    let mut kept: Vec<EcsMessage> = Vec::new();
    for message in messages {
        if kept.len() < MAX_TEXTS && !kept.iter().any(|other| other.text == message.text) {
            kept.push(message);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_and_cluster_are_read_from_an_arn() {
        let arn =
            "arn:aws-cn:ecs:cn-north-1:123456789012:task/prod/0123456789abcdef0123456789abcdef";
        assert_eq!(region_of(arn).unwrap().as_str(), "cn-north-1");
        assert_eq!(cluster_of(arn).as_deref(), Some("prod"));
        assert_eq!(
            cluster_of("arn:aws:ecs:eu-west-1:123456789012:task/0123456789abcdef"),
            None
        );
        assert_eq!(region_of("0123456789abcdef"), None);
    }

    #[test]
    fn an_arn_of_another_kind_is_recognized() {
        let task = "arn:aws:ecs:eu-west-1:123456789012:task/prod/0123456789abcdef";
        assert!(!is_other_arn(task, "task") && !is_other_arn("0123456789abcdef", "task"));
        for wrong in ["arn:aws:ecs:bad", "arn:aws:s3:::task/a"] {
            assert!(is_other_arn(wrong, "task"), "{wrong}");
        }
        assert!(is_other_arn(task, "service"));
    }

    #[test]
    fn repeated_texts_are_returned_once() {
        let all = ["a", "b", "a", "c", "d", "e", "f"].map(|text| EcsMessage {
            text: text.to_owned(),
            ..EcsMessage::default()
        });
        let kept = distinct(all.into_iter());
        let texts: Vec<String> = kept.into_iter().map(|message| message.text).collect();
        assert_eq!(texts, ["a", "b", "c", "d", "e"]);
    }
}
