//! `schedule list` and `schedule remove`.

use std::collections::BTreeMap;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::create::LOG_TAG;
use super::{PREFIX, TAG, send};
use crate::operator::aws::{self, Api, encode};
use crate::operator::calls::Calls;
use crate::operator::launch::Error;

/// A line for each schedule: name, subnet, how often, state, and the states of its alarms.
pub async fn list(calls: &Calls) -> Result<Vec<String>, Error> {
    let path = format!("/schedule-groups?NamePrefix={PREFIX}");
    let groups = send::pages(calls, "ListScheduleGroups", &path, "ScheduleGroups").await?;
    let mut lines = Vec::new();
    for group in groups {
        let Some(group) = group["Name"].as_str() else { continue };
        let Some((_, true)) = owner(calls, group).await? else { continue };
        let alarms = send::alarms(calls, &format!("{group}/")).await?;
        for subnet in members(calls, group).await? {
            let path = format!("/schedules/{subnet}?groupName={group}");
            let schedule = send::scheduler(calls, "GetSchedule", (Method::GET, &path), None).await?;
            let state = |kind: &str| {
                let name = format!("{group}/{subnet}/{kind}");
                let alarm = alarms.iter().find(|alarm| alarm.alarm_name == name);
                format!("{kind} {}", alarm.map_or("MISSING", |alarm| alarm.state_value.as_str()))
            };
            lines.push(format!(
                "{}  {subnet}  {}  {}  {}, {}",
                group.trim_start_matches(PREFIX),
                schedule["ScheduleExpression"].as_str().unwrap_or_default(),
                schedule["State"].as_str().unwrap_or_default(),
                state("failed"),
                state("no-data")
            ));
        }
    }
    Ok(lines)
}

/// Removes alarms, schedules, log group and, last, the schedule group: as long as it is there, a repetition finds the rest.
pub async fn remove(calls: &Calls, name: &str, keep_logs: bool, say: &mut dyn FnMut(String)) -> Result<(), Error> {
    let group = format!("{PREFIX}{name}");
    let tags = match owner(calls, &group).await? {
        Some((tags, true)) => tags,
        Some((_, false)) => {
            return Err(Error::Usage(format!(
                "the schedule group {group} has no tag {TAG}: `schedule create` has not made it. Remove the stack that did"
            )));
        }
        None => return Err(Error::Usage(format!("there are no schedules {name} here: `pullprobe schedule list`"))),
    };
    for subnet in members(calls, &group).await? {
        remove_schedule(calls, &group, &subnet).await?;
        say(format!("{subnet}: schedule removed"));
    }
    let alarms = remove_alarms(calls, &format!("{group}/")).await?;
    say(format!("{alarms} alarms removed"));
    if let Some(log) = tags.get(LOG_TAG) {
        match log_group(calls, log, name).await? {
            Log::Ours if keep_logs => say(format!("log group {log}: kept")),
            Log::Ours => {
                send::change_logs(calls, "DeleteLogGroup", &json!({ "logGroupName": log })).await?;
                say(format!("log group {log}: removed"));
            }
            Log::Others => say(format!("log group {log}: kept, it was there before")),
            Log::Missing => {}
        }
    }
    send::scheduler(calls, "DeleteScheduleGroup", (Method::DELETE, &format!("/schedule-groups/{group}")), None).await?;
    say(format!("schedule group {group}: removed"));
    Ok(())
}

/// The group's tags, and whether it is ours; `None` if there is no such group.
pub async fn owner(calls: &Calls, group: &str) -> Result<Option<(BTreeMap<String, String>, bool)>, aws::Error> {
    let path = format!("/schedule-groups/{group}");
    let found = match send::scheduler(calls, "GetScheduleGroup", (Method::GET, &path), None).await {
        Ok(found) => found,
        Err(error) if error.code() == "ResourceNotFoundException" => return Ok(None),
        Err(error) => return Err(error),
    };
    let path = format!("/tags/{}", encode(found["Arn"].as_str().unwrap_or_default()));
    let answer = send::scheduler(calls, "ListTagsForResource", (Method::GET, &path), None).await?;
    let pair = |tag: &Value| Some((tag["Key"].as_str()?.to_owned(), tag["Value"].as_str()?.to_owned()));
    let tags: BTreeMap<_, _> = answer["Tags"].as_array().into_iter().flatten().filter_map(pair).collect();
    let ours = tags.get(TAG).is_some_and(|name| Some(name.as_str()) == group.strip_prefix(PREFIX));
    Ok(Some((tags, ours)))
}

/// The schedules of a group, which have the names of subnets.
pub async fn members(calls: &Calls, group: &str) -> Result<Vec<String>, aws::Error> {
    let path = format!("/schedules?ScheduleGroup={group}");
    let found = send::pages(calls, "ListSchedules", &path, "Schedules").await?;
    Ok(found.iter().filter_map(|schedule| Some(schedule["Name"].as_str()?.to_owned())).collect())
}

/// One that is gone already is as good.
pub async fn remove_schedule(calls: &Calls, group: &str, name: &str) -> Result<(), aws::Error> {
    let path = format!("/schedules/{name}?groupName={group}");
    match send::scheduler(calls, "DeleteSchedule", (Method::DELETE, &path), None).await {
        Err(error) if error.code() != "ResourceNotFoundException" => Err(error),
        _ => Ok(()),
    }
}

/// Alarms of one call (CloudWatch API reference, DeleteAlarms).
const ALARMS_AT_ONCE: usize = 100;

/// Removes the alarms whose names begin so.
pub async fn remove_alarms(calls: &Calls, prefix: &str) -> Result<usize, aws::Error> {
    let alarms = send::alarms(calls, prefix).await?;
    for some in alarms.chunks(ALARMS_AT_ONCE) {
        let field =
            |(number, alarm): (usize, &send::Alarm)| (format!("AlarmNames.member.{number}"), alarm.alarm_name.clone());
        let fields: Vec<_> = (1..).zip(some).map(field).collect();
        send::change_alarms(calls, "DeleteAlarms", &fields).await?;
    }
    Ok(alarms.len())
}

/// Whose a log group is.
#[derive(Debug, PartialEq, Eq)]
pub enum Log {
    /// Made for these schedules.
    Ours,
    /// Was there before.
    Others,
    /// There is none.
    Missing,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
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
pub async fn log_group(calls: &Calls, name: &str, owner: &str) -> Result<Log, aws::Error> {
    let groups: Groups = send::read_logs(calls, "DescribeLogGroups", &json!({ "logGroupNamePrefix": name })).await?;
    let Some(group) = groups.log_groups.into_iter().find(|group| group.log_group_name == name) else {
        return Ok(Log::Missing);
    };
    let body = json!({ "resourceArn": group.arn.trim_end_matches(":*") });
    let answer: Tags = calls.read(Api::LOGS, "ListTagsForResource", &body).await?;
    Ok(if answer.tags.get(TAG).is_some_and(|value| value == owner) { Log::Ours } else { Log::Others })
}
