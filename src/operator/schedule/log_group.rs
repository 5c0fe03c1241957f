//! The log group of a set's reports.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::tags::{TAG, Tags, is_managed};
use crate::operator::aws::{Api, CallError};
use crate::operator::dry_run::AwsCalls;

/// Owner of a log group.
#[derive(Debug, PartialEq, Eq)]
pub enum LogGroupOwner {
    /// `create` created the log group for this set.
    Ours,
    /// The log group existed before, or belongs to another set.
    Foreign,
    /// There is no such log group.
    None,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribeLogGroupsResponse {
    #[serde(default)]
    log_groups: Vec<LogGroup>,
}

#[derive(Deserialize)]
struct LogGroup {
    #[serde(rename = "logGroupName")]
    name: String,
    arn: String,
    /// `STANDARD`, `INFREQUENT_ACCESS` or `DELIVERY`; missing in older responses.
    #[serde(rename = "logGroupClass")]
    class: Option<String>,
}

#[derive(Deserialize)]
struct ListTagsForResourceResponse {
    #[serde(default)]
    tags: Tags,
}

/// Returns the owner of a log group, according to the tag that `create` sets.
pub async fn owner(calls: &AwsCalls, name: &str, set: &str) -> Result<LogGroupOwner, CallError> {
    let Some(log_group) = describe(calls, name).await? else {
        return Ok(LogGroupOwner::None);
    };
    let body = json!({ "resourceArn": log_group.arn.trim_end_matches(":*") });
    let response: ListTagsForResourceResponse =
        calls.read(Api::LOGS, "ListTagsForResource", &body).await?;
    Ok(if is_managed(&response.tags, set) {
        LogGroupOwner::Ours
    } else {
        LogGroupOwner::Foreign
    })
}

async fn describe(calls: &AwsCalls, name: &str) -> Result<Option<LogGroup>, CallError> {
    // The first page suffices, because a name sorts before all longer names that begin with it.
    let body = json!({ "logGroupNamePrefix": name });
    let response: DescribeLogGroupsResponse =
        calls.read(Api::LOGS, "DescribeLogGroups", &body).await?;
    let mut log_groups = response.log_groups.into_iter();
    Ok(log_groups.find(|log_group| log_group.name == name))
}

/// Returns the class of an existing log group if the alarms cannot rely on it: only STANDARD has
/// all features of CloudWatch Logs (API reference, CreateLogGroup), and AWS does not document that
/// CloudWatch extracts metrics from the reports in another class.
pub async fn unsuitable_class(calls: &AwsCalls, name: &str) -> Result<Option<String>, CallError> {
    let class = describe(calls, name)
        .await?
        .and_then(|log_group| log_group.class);
    Ok(class.filter(|class| class != "STANDARD"))
}

/// Creates a log group with the set's tag.
pub async fn create(calls: &AwsCalls, name: &str, set: &str) -> Result<(), CallError> {
    let body = json!({ "logGroupName": name, "tags": { TAG: set } });
    change(calls, "CreateLogGroup", &body).await
}

/// Sets the retention of a log group, in days.
pub async fn set_retention(calls: &AwsCalls, name: &str, days: u32) -> Result<(), CallError> {
    let body = json!({ "logGroupName": name, "retentionInDays": days });
    change(calls, "PutRetentionPolicy", &body).await
}

/// Deletes a log group and the reports in it.
pub async fn delete(calls: &AwsCalls, name: &str) -> Result<(), CallError> {
    change(calls, "DeleteLogGroup", &json!({ "logGroupName": name })).await
}

async fn change(calls: &AwsCalls, operation: &str, body: &Value) -> Result<(), CallError> {
    let response = calls.change::<IgnoredAny>(Api::LOGS, operation, body).await;
    response.map(|_| ())
}
