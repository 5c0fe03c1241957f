//! What is there already. Nothing here changes anything.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::alarm::set_of;
use super::{PREFIX, TAG, api};
use crate::operator::aws::{self, Api, encode};
use crate::operator::dry_run::AwsCalls;

/// The tags of something.
pub type Tags = BTreeMap<String, String>;

/// The schedule groups whose names begin as ours do, with their ARNs, in the order of their names.
pub async fn groups(calls: &AwsCalls) -> Result<Vec<(String, String)>, aws::Error> {
    let path = format!("/schedule-groups?NamePrefix={PREFIX}");
    let found = api::pages(calls, "ListScheduleGroups", &path, "ScheduleGroups").await?;
    let named = |group: &Value| {
        Some((
            group["Name"].as_str()?.to_owned(),
            group["Arn"].as_str()?.to_owned(),
        ))
    };
    // Whatever a service makes of the prefix.
    let mut groups: Vec<_> = found
        .iter()
        .filter_map(named)
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    groups.sort();
    Ok(groups)
}

/// The group's tags, and whether it is ours; `None` if there is no such group.
pub async fn owner(calls: &AwsCalls, group: &str) -> Result<Option<(Tags, bool)>, aws::Error> {
    let path = format!("/schedule-groups/{group}");
    let found = match api::scheduler(calls, "GetScheduleGroup", (Method::GET, &path), None).await {
        Ok(found) => found,
        Err(error) if error.code() == "ResourceNotFoundException" => return Ok(None),
        Err(error) => return Err(error),
    };
    let tags = tags(calls, found["Arn"].as_str().unwrap_or_default()).await?;
    let ours = is_ours(group, &tags);
    Ok(Some((tags, ours)))
}

/// The tags of a schedule group.
pub async fn tags(calls: &AwsCalls, arn: &str) -> Result<Tags, aws::Error> {
    let path = format!("/tags/{}", encode(arn));
    let answer = api::scheduler(calls, "ListTagsForResource", (Method::GET, &path), None).await?;
    let pair = |tag: &Value| {
        Some((
            tag["Key"].as_str()?.to_owned(),
            tag["Value"].as_str()?.to_owned(),
        ))
    };
    Ok(answer["Tags"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(pair)
        .collect())
}

/// Whether `create` made this group.
pub fn is_ours(group: &str, tags: &Tags) -> bool {
    tags.get(TAG).is_some_and(|name| name == set_of(group))
}

/// The schedules of a group, which have the names of subnets.
pub async fn members(calls: &AwsCalls, group: &str) -> Result<Vec<String>, aws::Error> {
    let path = format!("/schedules?ScheduleGroup={group}");
    let found = api::pages(calls, "ListSchedules", &path, "Schedules").await?;
    Ok(found
        .iter()
        .filter_map(|schedule| Some(schedule["Name"].as_str()?.to_owned()))
        .collect())
}

/// One schedule.
pub async fn schedule(calls: &AwsCalls, group: &str, name: &str) -> Result<Value, aws::Error> {
    let path = format!("/schedules/{name}?groupName={group}");
    api::scheduler(calls, "GetSchedule", (Method::GET, &path), None).await
}

/// The schedules of a group, in the order of their names.
pub async fn schedules(calls: &AwsCalls, group: &str) -> Result<Vec<(String, Value)>, aws::Error> {
    let mut names = members(calls, group).await?;
    names.sort();
    let each = names.into_iter().map(|name| async {
        let found = schedule(calls, group, &name).await?;
        Ok((name, found))
    });
    stream::iter(each)
        .buffered(api::at_once(calls))
        .try_collect()
        .await
}

/// The task definition that a schedule runs: an ARN with a revision, as `create` and a stack have
/// it.
pub fn definition(schedule: &Value) -> Option<&str> {
    schedule["Target"]["EcsParameters"]["TaskDefinitionArn"].as_str()
}

/// The task definitions that schedules run, those of stacks among them: of every group whose name
/// begins as ours do.
pub async fn definitions_in_use(calls: &AwsCalls) -> Result<BTreeSet<String>, aws::Error> {
    let mut used = BTreeSet::new();
    for (group, _) in groups(calls).await? {
        let schedules = schedules(calls, &group).await?;
        used.extend(
            schedules
                .iter()
                .filter_map(|(_, schedule)| Some(definition(schedule)?.to_owned())),
        );
    }
    Ok(used)
}

/// Whose a log group is.
#[derive(Debug, PartialEq, Eq)]
pub enum Log {
    /// Made for these schedules.
    Ours,
    /// Was there before.
    Others,
    /// Existing is none.
    Missing,
}

#[derive(Deserialize)]
struct Tagged {
    #[serde(default)]
    tags: Tags,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogGroups {
    #[serde(default)]
    log_groups: Vec<LogGroup>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogGroup {
    log_group_name: String,
    arn: String,
}

/// By its tag, which only CreateLogGroup sets.
pub async fn log_group(calls: &AwsCalls, name: &str, owner: &str) -> Result<Log, aws::Error> {
    // The first page begins with the whole name, which sorts before all that it is a prefix of.
    let groups: LogGroups = api::read_logs(
        calls,
        "DescribeLogGroups",
        &json!({ "logGroupNamePrefix": name }),
    )
    .await?;
    let Some(group) = groups
        .log_groups
        .into_iter()
        .find(|group| group.log_group_name == name)
    else {
        return Ok(Log::Missing);
    };
    let body = json!({ "resourceArn": group.arn.trim_end_matches(":*") });
    let answer: Tagged = calls.read(Api::LOGS, "ListTagsForResource", &body).await?;
    Ok(
        if answer.tags.get(TAG).is_some_and(|value| value == owner) {
            Log::Ours
        } else {
            Log::Others
        },
    )
}
