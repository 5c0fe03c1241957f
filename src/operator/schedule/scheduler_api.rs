//! Calls of EventBridge Scheduler, named as in its API reference.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::tags::{LOG_GROUP_TAG, PREFIX, TAG, Tags, is_managed, set_name};
use crate::operator::aws::{Api, CallError, RestCall, percent_encode};
use crate::operator::dry_run::{AwsCalls, to_json};
use crate::operator::ecs::{CapacityProviderStrategyItem, Tag};
use crate::operator::paging::{Page, all_pages};

/// Maximum number of subnets that are processed concurrently. Scheduler accepts hundreds of calls a
/// second; PutMetricAlarm as few as three (CloudWatch service quotas), and the client retries
/// throttled calls.
const MAX_CONCURRENT_SUBNETS: usize = 8;

/// Maximum number of pages of a list, of a hundred items each: more than the quota of 500 schedule
/// groups, and more than the schedules of one group, which has one for each subnet.
const MAX_PAGES: usize = 100;

/// Returns how many subnets to process concurrently: one in a dry run, so that requests are shown
/// in order.
pub fn concurrency(calls: &AwsCalls) -> usize {
    if calls.is_dry() {
        1
    } else {
        MAX_CONCURRENT_SUBNETS
    }
}

/// `CreateSchedule` and `UpdateSchedule`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleRequest {
    pub group_name: String,
    pub description: String,
    pub schedule_expression: String,
    /// `ENABLED` or `DISABLED`.
    pub state: &'static str,
    pub flexible_time_window: FlexibleTimeWindow,
    pub target: ScheduleTarget,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
}

/// `FlexibleTimeWindow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FlexibleTimeWindow {
    pub mode: &'static str,
}

/// `Target`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleTarget {
    /// ARN of the cluster.
    pub arn: String,
    pub role_arn: String,
    pub ecs_parameters: EcsParameters,
    /// `TaskOverride` of ECS, as JSON.
    pub input: String,
    pub retry_policy: RetryPolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_config: Option<Value>,
}

/// `EcsParameters`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EcsParameters {
    pub task_definition_arn: String,
    pub task_count: u32,
    #[serde(rename = "EnableECSManagedTags")]
    pub enable_ecs_managed_tags: bool,
    pub network_configuration: ScheduleNetworkConfiguration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    pub tags: Vec<Tag>,
}

/// `NetworkConfiguration`, whose member begins with a lower-case letter, unlike those of
/// `AwsVpcConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleNetworkConfiguration {
    pub awsvpc_configuration: ScheduleAwsVpcConfiguration,
}

/// `AwsVpcConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleAwsVpcConfiguration {
    pub subnets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    pub assign_public_ip: Option<String>,
}

/// `RetryPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RetryPolicy {
    pub maximum_event_age_in_seconds: u32,
    pub maximum_retry_attempts: u32,
}

/// Response of `GetSchedule`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetScheduleResponse {
    pub state: String,
    pub schedule_expression: String,
    pub kms_key_arn: Option<String>,
    pub target: ExistingTarget,
}

/// `Target` of an existing schedule.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExistingTarget {
    pub role_arn: Option<String>,
    pub dead_letter_config: Option<Value>,
    pub ecs_parameters: Option<ExistingEcsParameters>,
}

/// `EcsParameters` of an existing schedule.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExistingEcsParameters {
    pub task_definition_arn: Option<String>,
}

impl GetScheduleResponse {
    /// Returns the ARN of its task definition.
    pub fn task_definition(&self) -> Option<&str> {
        let parameters = self.target.ecs_parameters.as_ref()?;
        parameters.task_definition_arn.as_deref()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListSchedulesResponse {
    schedules: Vec<ScheduleSummary>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduleSummary {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListScheduleGroupsResponse {
    schedule_groups: Vec<ScheduleGroup>,
    next_token: Option<String>,
}

/// `ScheduleGroupSummary`, and the response of `GetScheduleGroup`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleGroup {
    pub name: String,
    pub arn: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListTagsResponse {
    tags: Vec<SchedulerTag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SchedulerTag {
    key: String,
    value: String,
}

/// Owner of a schedule group.
#[derive(Debug, PartialEq, Eq)]
pub enum GroupOwner {
    /// `create` created the group, with these tags.
    Ours(Tags),
    /// Another tool, such as CloudFormation, created the group.
    Foreign,
    /// There is no such group.
    None,
}

/// Reads a schedule group and its tags.
pub async fn group_owner(calls: &AwsCalls, group: &str) -> Result<GroupOwner, CallError> {
    let path = format!("/schedule-groups/{group}");
    let call = get("GetScheduleGroup", &path);
    let found: ScheduleGroup = match calls.read_rest(Api::SCHEDULER, &call).await {
        Ok(found) => found,
        Err(error) if error.code() == "ResourceNotFoundException" => return Ok(GroupOwner::None),
        Err(error) => return Err(error),
    };
    let tags = tags(calls, &found.arn).await?;
    Ok(if is_managed(&tags, set_name(group)) {
        GroupOwner::Ours(tags)
    } else {
        GroupOwner::Foreign
    })
}

/// Returns the tags of a schedule group.
pub async fn tags(calls: &AwsCalls, arn: &str) -> Result<Tags, CallError> {
    let path = format!("/tags/{}", percent_encode(arn));
    let call = get("ListTagsForResource", &path);
    let response: ListTagsResponse = calls.read_rest(Api::SCHEDULER, &call).await?;
    let tags = response.tags.into_iter();
    Ok(tags.map(|tag| (tag.key, tag.value)).collect())
}

/// Creates the schedule group of a set.
pub async fn create_group(
    calls: &AwsCalls,
    group: &str,
    set: &str,
    log_group: &str,
) -> Result<(), CallError> {
    let body = json!({
        "Tags": [{ "Key": TAG, "Value": set }, { "Key": LOG_GROUP_TAG, "Value": log_group }],
    });
    let path = format!("/schedule-groups/{group}");
    let call = RestCall {
        operation: "CreateScheduleGroup",
        method: Method::POST,
        path: &path,
    };
    calls.change_rest(Api::SCHEDULER, &call, Some(&body)).await
}

/// Adds a tag to a schedule group, or replaces it.
pub async fn tag_group(
    calls: &AwsCalls,
    group: &str,
    key: &str,
    value: &str,
) -> Result<(), CallError> {
    let path = format!("/schedule-groups/{group}");
    let call = get("GetScheduleGroup", &path);
    let found: ScheduleGroup = calls.read_rest(Api::SCHEDULER, &call).await?;
    let body = json!({ "Tags": [{ "Key": key, "Value": value }] });
    let path = format!("/tags/{}", percent_encode(&found.arn));
    let call = RestCall {
        operation: "TagResource",
        method: Method::POST,
        path: &path,
    };
    calls.change_rest(Api::SCHEDULER, &call, Some(&body)).await
}

/// Deletes a schedule group.
pub async fn delete_group(calls: &AwsCalls, group: &str) -> Result<(), CallError> {
    let path = format!("/schedule-groups/{group}");
    let call = RestCall {
        operation: "DeleteScheduleGroup",
        method: Method::DELETE,
        path: &path,
    };
    calls.change_rest(Api::SCHEDULER, &call, None).await
}

/// Returns the schedule groups whose names begin with pullprobe's prefix, sorted by name.
pub async fn groups(calls: &AwsCalls) -> Result<Vec<ScheduleGroup>, CallError> {
    const OPERATION: &str = "ListScheduleGroups";
    let path = format!("/schedule-groups?NamePrefix={PREFIX}");
    let mut groups = all_pages(Api::SCHEDULER, OPERATION, MAX_PAGES, async |token| {
        let path = with_token(&path, token);
        let call = get(OPERATION, &path);
        let response: ListScheduleGroupsResponse = calls.read_rest(Api::SCHEDULER, &call).await?;
        Ok(Page {
            items: response.schedule_groups,
            next_token: response.next_token,
        })
    })
    .await?;
    // Does not rely on the service's filter.
    groups.retain(|group| group.name.starts_with(PREFIX));
    groups.sort();
    Ok(groups)
}

/// Returns the names of a group's schedules, which are the IDs of their subnets.
pub async fn schedule_names(calls: &AwsCalls, group: &str) -> Result<Vec<String>, CallError> {
    const OPERATION: &str = "ListSchedules";
    let path = format!("/schedules?ScheduleGroup={group}");
    let schedules = all_pages(Api::SCHEDULER, OPERATION, MAX_PAGES, async |token| {
        let path = with_token(&path, token);
        let call = get(OPERATION, &path);
        let response: ListSchedulesResponse = calls.read_rest(Api::SCHEDULER, &call).await?;
        Ok(Page {
            items: response.schedules,
            next_token: response.next_token,
        })
    })
    .await?;
    Ok(schedules
        .into_iter()
        .map(|schedule| schedule.name)
        .collect())
}

/// Reads a schedule.
pub async fn get_schedule(
    calls: &AwsCalls,
    group: &str,
    name: &str,
) -> Result<GetScheduleResponse, CallError> {
    let path = format!("/schedules/{name}?groupName={group}");
    let call = get("GetSchedule", &path);
    calls.read_rest(Api::SCHEDULER, &call).await
}

/// Reads the schedules of a group, sorted by name.
pub async fn schedules(
    calls: &AwsCalls,
    group: &str,
) -> Result<Vec<(String, GetScheduleResponse)>, CallError> {
    let mut names = schedule_names(calls, group).await?;
    names.sort();
    let reads = names.into_iter().map(|name| async {
        let schedule = get_schedule(calls, group, &name).await?;
        Ok((name, schedule))
    });
    stream::iter(reads)
        .buffered(concurrency(calls))
        .try_collect()
        .await
}

/// Creates a schedule.
pub async fn create_schedule(
    calls: &AwsCalls,
    name: &str,
    request: &ScheduleRequest,
) -> Result<(), CallError> {
    write_schedule(calls, "CreateSchedule", Method::POST, name, request).await
}

/// Replaces a schedule.
pub async fn update_schedule(
    calls: &AwsCalls,
    name: &str,
    request: &ScheduleRequest,
) -> Result<(), CallError> {
    write_schedule(calls, "UpdateSchedule", Method::PUT, name, request).await
}

async fn write_schedule(
    calls: &AwsCalls,
    operation: &'static str,
    method: Method,
    name: &str,
    request: &ScheduleRequest,
) -> Result<(), CallError> {
    let path = format!("/schedules/{name}");
    let call = RestCall {
        operation,
        method,
        path: &path,
    };
    let body = to_json(request)?;
    calls.change_rest(Api::SCHEDULER, &call, Some(&body)).await
}

/// Deletes a schedule. Succeeds if it no longer exists.
pub async fn delete_schedule(calls: &AwsCalls, group: &str, name: &str) -> Result<(), CallError> {
    let path = format!("/schedules/{name}?groupName={group}");
    let call = RestCall {
        operation: "DeleteSchedule",
        method: Method::DELETE,
        path: &path,
    };
    match calls.change_rest(Api::SCHEDULER, &call, None).await {
        Err(error) if error.code() == "ResourceNotFoundException" => Ok(()),
        result => result,
    }
}

/// Returns the task definitions that schedules run, in every group whose name begins with
/// pullprobe's prefix, including groups of stacks.
pub async fn definitions_in_use(calls: &AwsCalls) -> Result<BTreeSet<String>, CallError> {
    let mut used = BTreeSet::new();
    for group in groups(calls).await? {
        let schedules = schedules(calls, &group.name).await?;
        let definitions = schedules
            .iter()
            .filter_map(|(_, schedule)| schedule.task_definition());
        used.extend(definitions.map(str::to_owned));
    }
    Ok(used)
}

fn get<'a>(operation: &'static str, path: &'a str) -> RestCall<'a> {
    RestCall {
        operation,
        method: Method::GET,
        path,
    }
}

fn with_token(path: &str, token: Option<String>) -> String {
    match token {
        None => path.to_owned(),
        Some(token) => format!("{path}&NextToken={}", percent_encode(&token)),
    }
}
