//! `schedule remove`.

use futures_util::{StreamExt as _, stream};
use hyper::Method;
use serde_json::json;

use super::create::LOG_TAG;
use super::lookup::{Log, definition, log_group, members, owner, schedule};
use super::{PREFIX, TAG, api};
use crate::operator::aws;
use crate::operator::dry_run::AwsCalls;
use crate::operator::launch::Error;

/// Removes schedules, alarms, log group and, last, the schedule group: as long as it is there, a
/// repetition finds the rest. What fails does not keep the others from being removed; the number of
/// failures is returned.
pub async fn remove(
    calls: &AwsCalls,
    name: &str,
    keep_logs: bool,
    say: &mut dyn FnMut(String),
) -> Result<usize, Error> {
    let group = format!("{PREFIX}{name}");
    let tags = match owner(calls, &group).await? {
        Some((tags, true)) => tags,
        Some((_, false)) => {
            return Err(Error::Usage(format!(
                "the schedule group {group} has no tag {TAG}: `schedule create` has not made it. Remove the stack that did"
            )));
        }
        None => {
            return Err(Error::Usage(format!(
                "there are no schedules {name} here: `pullprobe schedule list`"
            )));
        }
    };
    let subnets = members(calls, &group).await?;
    let left = match subnets.first() {
        // It is said at the end, and nothing depends on it.
        Some(first) => schedule(calls, &group, first).await.ok(),
        None => None,
    };
    let mut failures = remove_schedules(calls, &group, &subnets, "schedule removed", say).await;
    let alarms = match api::alarms(calls, &format!("{group}/")).await {
        Ok(alarms) => {
            remove_alarms(
                calls,
                alarms.into_iter().map(|alarm| alarm.alarm_name).collect(),
            )
            .await
        }
        Err(error) => Err(error),
    };
    match alarms {
        Ok(removed) => say(format!("{removed} alarms removed")),
        Err(error) => failed(&mut failures, say, "alarms", &error),
    }
    if let Some(log) = tags.get(LOG_TAG) {
        match remove_log_group(calls, log, name, keep_logs).await {
            Ok(Some(done)) => say(format!("log group {log}: {done}")),
            Ok(None) => {}
            Err(error) => failed(&mut failures, say, &format!("log group {log}"), &error),
        }
    }
    if failures > 0 {
        return Ok(failures);
    }
    let path = format!("/schedule-groups/{group}");
    match api::scheduler(calls, "DeleteScheduleGroup", (Method::DELETE, &path), None).await {
        Ok(_) => say(format!("schedule group {group}: removed")),
        Err(error) => failed(
            &mut failures,
            say,
            &format!("schedule group {group}"),
            &error,
        ),
    }
    if let Some(left) = left {
        let definition = definition(&left).map(|arn| arn.rsplit('/').next().unwrap_or(arn));
        say(format!(
            "left: the role {}, and the probe's task definition {}, which costs nothing and which launches use again \
             (`pullprobe gc --task-definitions` deregisters those that no schedule runs)",
            left["Target"]["RoleArn"]
                .as_str()
                .unwrap_or("of the schedules"),
            definition.unwrap_or_default(),
        ));
    }
    Ok(failures)
}

fn failed(failures: &mut usize, say: &mut dyn FnMut(String), what: &str, error: &aws::Error) {
    *failures += 1;
    say(format!("{what}: FAILED: {error}"));
}

/// Removes these schedules, some at the same time, and says so in their order. Returns how many
/// failed.
pub async fn remove_schedules(
    calls: &AwsCalls,
    group: &str,
    subnets: &[String],
    done: &str,
    say: &mut dyn FnMut(String),
) -> usize {
    let mut failures = 0;
    let mut removals = stream::iter(
        subnets
            .iter()
            .map(|subnet| async move { (subnet, remove_schedule(calls, group, subnet).await) }),
    )
    .buffered(api::at_once(calls));
    while let Some((subnet, removed)) = removals.next().await {
        match removed {
            Ok(()) => say(format!("{subnet}: {done}")),
            Err(error) => failed(&mut failures, say, subnet, &error),
        }
    }
    failures
}

/// One that is gone already is as good.
async fn remove_schedule(calls: &AwsCalls, group: &str, name: &str) -> Result<(), aws::Error> {
    let path = format!("/schedules/{name}?groupName={group}");
    match api::scheduler(calls, "DeleteSchedule", (Method::DELETE, &path), None).await {
        Err(error) if error.code() != "ResourceNotFoundException" => Err(error),
        _ => Ok(()),
    }
}

/// Alarms of one call (CloudWatch API reference, DeleteAlarms).
const ALARMS_AT_ONCE: usize = 100;

/// Removes alarms by their names. Each call is tried, whatever became of the one before.
pub async fn remove_alarms(calls: &AwsCalls, names: Vec<String>) -> Result<usize, aws::Error> {
    let mut result = Ok(names.len());
    for some in names.chunks(ALARMS_AT_ONCE) {
        if let Err(error) =
            api::change_alarms(calls, "DeleteAlarms", &json!({ "AlarmNames": some })).await
        {
            result = Err(error);
        }
    }
    result
}

async fn remove_log_group(
    calls: &AwsCalls,
    log: &str,
    owner: &str,
    keep: bool,
) -> Result<Option<&'static str>, aws::Error> {
    match log_group(calls, log, owner).await? {
        Log::Ours if keep => Ok(Some("kept")),
        Log::Ours => {
            api::change_logs(calls, "DeleteLogGroup", &json!({ "logGroupName": log })).await?;
            Ok(Some("removed"))
        }
        Log::Others => Ok(Some("kept, it was there before")),
        Log::Missing => Ok(None),
    }
}
