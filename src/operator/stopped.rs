//! What Amazon ECS says of tasks that stopped and of services that cannot start theirs.
//!
//! ```text
//! --task ARN   ─▶ DescribeTasks ──────────────────────────────▶ its reasons
//! --service S  ─▶ DescribeServices, ListTasks ─▶ DescribeTasks ─▶ reasons of the newest, then events of failures
//! ```

use serde_json::{Value, json};

use super::aws::{Api, Client, Error};
use crate::endpoints::Region;
use crate::explain::MessageContext;
use crate::explain::tasks::{self, EcsMessage};

/// Texts of each kind. A service that cannot start its task says the same every few minutes.
const MOST_TEXTS: usize = 5;

/// Pages of a hundred stopped tasks that are looked at. A service that restarts in a loop stops
/// some hundred in the hour that they are kept.
const MOST_PAGES: usize = 5;

/// Tasks of one `DescribeTasks` (API reference: up to 100), and of one page of `ListTasks`.
const PAGE: usize = 100;

/// Why there is nothing to explain.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The call failed; a refusal names the statement that grants it.
    #[error("{0}{1}")]
    Call(Error, &'static str),
    /// ECS does not know it, or not any more.
    #[error("{0}")]
    Unknown(String),
}

impl From<Error> for Missing {
    fn from(error: Error) -> Self {
        let hint = match error.code() {
            "ClusterNotFoundException" => {
                ": check --cluster and the region (`aws ecs list-clusters`)"
            }
            "InvalidParameterException" => ": check --task and --cluster",
            _ => "",
        };
        Self::Call(error, hint)
    }
}

/// Where a task's or a cluster's ARN says it is: `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`.
pub fn region_of(arn: &str) -> Option<Region> {
    arn.strip_prefix("arn:")?.split(':').nth(2)?.parse().ok()
}

/// The cluster that a task's ARN names, in the form of ARNs since 2018.
pub fn cluster_of(arn: &str) -> Option<&str> {
    let (cluster, _) = arn
        .strip_prefix("arn:")?
        .rsplit_once(":task/")?
        .1
        .split_once('/')?;
    Some(cluster)
}

/// The reasons of one task, by its ARN or id.
pub async fn task(client: &Client, cluster: &str, task: &str) -> Result<Vec<EcsMessage>, Missing> {
    let described = describe(client, cluster, &[task.to_owned()]).await?;
    let told: Vec<EcsMessage> = described.iter().filter_map(tasks::of_task).collect();
    if !told.is_empty() {
        return Ok(told);
    }
    let region = client.region();
    Err(Missing::Unknown(format!(
        "Amazon ECS in {region} does not know the task {task} in the cluster {cluster}. A stopped task can be described for \
         about an hour. If it is older, its service still has the events (`pullprobe explain --service SERVICE --cluster \
         {cluster}`), and the next task that fails will have the reason. If not, check --cluster and the region."
    )))
}

/// The reasons of a service's newest stopped tasks, then its events of failures, the newest first
/// in both. Each text once.
pub async fn service(
    client: &Client,
    cluster: &str,
    service: &str,
) -> Result<Vec<EcsMessage>, Missing> {
    let input = json!({ "cluster": cluster, "services": [service] });
    let answer: Value = client.json(Api::ECS, "DescribeServices", &input).await?;
    let Some(described) = answer["services"].get(0) else {
        let region = client.region();
        return Err(Missing::Unknown(format!(
            "Amazon ECS in {region} has no service {service} in the cluster {cluster}. Check both, and the region: `aws ecs \
             list-services --cluster {cluster} --region {region}`"
        )));
    };
    let name = described["serviceName"].as_str().unwrap_or(service);
    let mut stopped = stopped(client, cluster, name).await?;
    stopped.sort_by(|a, b| {
        tasks::epoch_seconds(&b["stoppedAt"]).total_cmp(&tasks::epoch_seconds(&a["stoppedAt"]))
    });
    let of_tasks = distinct(stopped.iter().filter_map(tasks::of_task));
    let events = tasks::of_events(described).into_iter();
    // `… was unable to place a task. Reason: X` where a task with the reason X is there.
    let repeats = |text: &str| {
        of_tasks
            .iter()
            .any(|told| !told.text.is_empty() && text.contains(told.text.as_str()))
    };
    let of_events = distinct(events.filter(|event| !repeats(&event.text)));
    let told: Vec<EcsMessage> = of_tasks.into_iter().chain(of_events).collect();
    if told.is_empty() {
        let context = MessageContext {
            cluster: Some(cluster.rsplit('/').next().unwrap_or(cluster).to_owned()),
            service: Some(name.to_owned()),
            ..MessageContext::default()
        };
        return Ok(vec![EcsMessage {
            text: "(no stopped task, and no event that reports a failure)".to_owned(),
            context,
        }]);
    }
    Ok(told)
}

async fn stopped(client: &Client, cluster: &str, service: &str) -> Result<Vec<Value>, Missing> {
    let mut described = Vec::new();
    let mut next = Value::Null;
    for _ in 0..MOST_PAGES {
        let mut input = json!({ "cluster": cluster, "serviceName": service, "desiredStatus": "STOPPED", "maxResults": PAGE });
        if !next.is_null() {
            input["nextToken"] = next;
        }
        let mut page: Value = client.json(Api::ECS, "ListTasks", &input).await?;
        let arns: Vec<String> = serde_json::from_value(page["taskArns"].take()).unwrap_or_default();
        if !arns.is_empty() {
            described.extend(describe(client, cluster, &arns).await?);
        }
        next = page["nextToken"].take();
        if next.is_null() {
            break;
        }
    }
    Ok(described)
}

async fn describe(client: &Client, cluster: &str, arns: &[String]) -> Result<Vec<Value>, Error> {
    let input = json!({ "cluster": cluster, "tasks": arns });
    let mut answer: Value = client.json(Api::ECS, "DescribeTasks", &input).await?;
    Ok(serde_json::from_value(answer["tasks"].take()).unwrap_or_default())
}

/// The first few texts, each once.
fn distinct(told: impl Iterator<Item = EcsMessage>) -> Vec<EcsMessage> {
    let mut kept: Vec<EcsMessage> = Vec::new();
    for message in told {
        if kept.len() < MOST_TEXTS && !kept.iter().any(|other| other.text == message.text) {
            kept.push(message);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_where_its_task_is() {
        let arn =
            "arn:aws-cn:ecs:cn-north-1:123456789012:task/prod/0123456789abcdef0123456789abcdef";
        assert_eq!(region_of(arn).unwrap().as_str(), "cn-north-1");
        assert_eq!(cluster_of(arn), Some("prod"));
        assert_eq!(
            cluster_of("arn:aws:ecs:eu-west-1:123456789012:task/0123456789abcdef"),
            None
        );
        assert_eq!(region_of("0123456789abcdef"), None);
    }

    #[test]
    fn what_is_said_again_and_again_is_told_once() {
        let told = ["a", "b", "a", "c", "d", "e", "f"].map(|text| EcsMessage {
            text: text.to_owned(),
            ..EcsMessage::default()
        });
        let texts: Vec<String> = distinct(told.into_iter())
            .into_iter()
            .map(|message| message.text)
            .collect();
        assert_eq!(texts, ["a", "b", "c", "d", "e"]);
    }
}
