//! `schedule create`: makes what is missing, updates what is there, removes the schedules of
//! subnets that are gone.
//!
//! UpdateSchedule and PutMetricAlarm replace everything. What somebody set by hand and no flag says
//! is read first and kept: that a schedule is disabled, that an alarm tells nobody, a key of one's
//! own, a queue for what failed.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use hyper::Method;
use serde_json::{Value, json};

use super::alarm::subnet_of;
use super::lookup::{Log, log_group, members, owner, schedule};
use super::remove::{remove_alarms, remove_schedules};
use super::spec::Set;
use super::{TAG, api};
use crate::operator::aws;
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::account_of;
use crate::operator::launch::Error;

/// The tag that remembers the log group.
pub const LOG_TAG: &str = "pullprobe:log-group";

/// What is there of a set.
#[derive(Default)]
struct Existing {
    schedules: BTreeSet<String>,
    alarms: Vec<api::Alarm>,
}

/// Makes or updates it all, and says what was done, a line each. What fails in one subnet does not
/// keep the others from being made; the number of failures is returned, and a repetition makes what
/// is missing. With `enable`, what was disabled by hand is enabled.
pub async fn create(
    calls: &AwsCalls,
    set: &Set,
    role: &str,
    enable: bool,
    say: &mut dyn FnMut(String),
) -> Result<usize, Error> {
    let group = set.group();
    let there = match owner(calls, &group).await? {
        Some((_, true)) => Existing {
            schedules: members(calls, &group).await?.into_iter().collect(),
            alarms: api::alarms(calls, &format!("{group}/")).await?,
        },
        Some((_, false)) => {
            return Err(Error::Usage(format!(
                "there is a schedule group {group} without the tag {TAG}, made by something else, such as a stack: choose \
                 another --name"
            )));
        }
        None => {
            let tags = json!([{ "Key": TAG, "Value": set.name }, { "Key": LOG_TAG, "Value": set.log_group }]);
            let path = format!("/schedule-groups/{group}");
            let body = json!({ "Tags": tags });
            api::scheduler(
                calls,
                "CreateScheduleGroup",
                (Method::POST, &path),
                Some(&body),
            )
            .await?;
            say(format!("schedule group {group}: created"));
            Existing::default()
        }
    };
    let mut failures = 0;
    if let Err(error) = log(calls, set, say).await {
        failures += 1;
        say(format!("log group {}: FAILED: {error}", set.log_group));
    }
    let definition = set.definition.ready(calls).await?;
    // In a dry run nothing is registered, and the account is not known.
    let cluster = set.cluster_arn(account_of(&definition));
    let made_of = (cluster.as_str(), role, definition.as_str());
    let vantages = set
        .launch
        .subnets
        .iter()
        .map(|subnet| put(calls, set, subnet, made_of, &there, enable));
    let mut vantages = stream::iter(vantages).buffered(api::at_once(calls));
    while let Some(done) = vantages.next().await {
        failures += usize::from(done.is_err());
        say(done.unwrap_or_else(|failed| failed));
    }
    drop(vantages);
    failures += remove_stale(calls, set, &there, say).await;
    Ok(failures)
}

async fn log(calls: &AwsCalls, set: &Set, say: &mut dyn FnMut(String)) -> Result<(), aws::Error> {
    let name = &set.log_group;
    let body = json!({ "logGroupName": name, "tags": { TAG: set.name } });
    match api::change_logs(calls, "CreateLogGroup", &body).await {
        Ok(()) => say(format!("log group {name}: created")),
        Err(error) if error.code() == "ResourceAlreadyExistsException" => {
            if log_group(calls, name, &set.name).await? != Log::Ours {
                say(format!(
                    "log group {name}: is not of these schedules, and keeps its retention"
                ));
                return Ok(());
            }
        }
        Err(error) => return Err(error),
    }
    let body = json!({ "logGroupName": name, "retentionInDays": set.retention });
    api::change_logs(calls, "PutRetentionPolicy", &body).await
}

/// One subnet's schedule and alarms. Returns the line that says so, as an error where something of
/// it failed.
async fn put(
    calls: &AwsCalls,
    set: &Set,
    subnet: &str,
    made_of: (&str, &str, &str),
    there: &Existing,
    enable: bool,
) -> Result<String, String> {
    let body = set
        .schedule(subnet, made_of)
        .map_err(|error| format!("{subnet}: FAILED: {error}"))?;
    let exists = there.schedules.contains(subnet);
    // Without its schedule an alarm would go off for a silence that is none.
    let done = put_schedule(calls, &set.group(), subnet, body, exists, enable).await;
    let done = done.map_err(|error| format!("{subnet}: FAILED: {error}"))?;
    let (mut failed, mut muted) = (Vec::new(), false);
    for mut alarm in set.alarms(subnet) {
        let known = there
            .alarms
            .iter()
            .find(|known| alarm["AlarmName"] == known.alarm_name.as_str());
        if known.is_some_and(|known| !known.actions_enabled) && !enable {
            alarm["ActionsEnabled"] = json!(false);
            muted = true;
        }
        if let Err(error) = api::change_alarms(calls, "PutMetricAlarm", &alarm).await {
            failed.push(error.to_string());
        }
    }
    let muted = if muted {
        "; an alarm still tells nobody, as somebody set it (--enable ends that)"
    } else {
        ""
    };
    match failed.as_slice() {
        [] => Ok(format!(
            "{subnet}: {done}, {}, with two alarms{muted}",
            set.rate()
        )),
        failed => Err(format!(
            "{subnet}: {done}, but its alarms FAILED: {}",
            failed.join("; ")
        )),
    }
}

async fn put_schedule(
    calls: &AwsCalls,
    group: &str,
    name: &str,
    body: Value,
    exists: bool,
    enable: bool,
) -> Result<&'static str, aws::Error> {
    let path = format!("/schedules/{name}");
    if !exists {
        match api::scheduler(calls, "CreateSchedule", (Method::POST, &path), Some(&body)).await {
            // Made meanwhile, by somebody else or by a call whose answer was lost.
            Err(error) if error.code() == "ConflictException" => {}
            other => return other.map(|_| "created"),
        }
    }
    let (body, disabled) = kept(body, &schedule(calls, group, name).await?, enable);
    api::scheduler(calls, "UpdateSchedule", (Method::PUT, &path), Some(&body)).await?;
    Ok(if disabled {
        "updated, and still DISABLED, as somebody set it (--enable ends that)"
    } else {
        "updated"
    })
}

/// The update, with what was set by hand, and whether the schedule stays disabled.
fn kept(mut body: Value, there: &Value, enable: bool) -> (Value, bool) {
    let disabled = there["State"] == "DISABLED" && !enable;
    if disabled {
        body["State"] = json!("DISABLED");
    }
    if there["KmsKeyArn"].is_string() {
        body["KmsKeyArn"] = there["KmsKeyArn"].clone();
    }
    if there["Target"]["DeadLetterConfig"].is_object() {
        body["Target"]["DeadLetterConfig"] = there["Target"]["DeadLetterConfig"].clone();
    }
    (body, disabled)
}

/// Subnets that have a schedule or an alarm and are none of the set's any more. A run that broke
/// off may have left alarms.
async fn remove_stale(
    calls: &AwsCalls,
    set: &Set,
    there: &Existing,
    say: &mut dyn FnMut(String),
) -> usize {
    let group = set.group();
    let wanted = |subnet: &str| set.launch.subnets.iter().any(|wanted| wanted == subnet);
    let gone: Vec<String> = there
        .schedules
        .iter()
        .filter(|subnet| !wanted(subnet))
        .cloned()
        .collect();
    let mut failures = remove_schedules(
        calls,
        &group,
        &gone,
        "removed, it is none of the subnets any more",
        say,
    )
    .await;
    let is_stale = |alarm: &&api::Alarm| {
        subnet_of(&group, &alarm.alarm_name).is_some_and(|subnet| !wanted(subnet))
    };
    let alarms: Vec<_> = there
        .alarms
        .iter()
        .filter(is_stale)
        .map(|alarm| alarm.alarm_name.clone())
        .collect();
    if let Err(error) = remove_alarms(calls, alarms).await {
        failures += 1;
        say(format!("alarms of subnets that are gone: FAILED: {error}"));
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_by_hand_stays() {
        let body = json!({ "State": "ENABLED", "Target": { "Arn": "a" } });
        let there = json!({ "State": "DISABLED", "KmsKeyArn": "key", "Target": { "Arn": "b", "DeadLetterConfig": { "Arn": "q" } } });
        let (update, disabled) = kept(body.clone(), &there, false);
        let expected = json!({
            "State": "DISABLED", "KmsKeyArn": "key", "Target": { "Arn": "a", "DeadLetterConfig": { "Arn": "q" } }
        });
        assert_eq!((update, disabled), (expected, true));
        let (update, disabled) = kept(body.clone(), &there, true);
        assert_eq!((&update["State"], disabled), (&json!("ENABLED"), false));
        let plain = json!({ "State": "ENABLED", "KmsKeyArn": null, "Target": {} });
        assert_eq!(kept(body.clone(), &plain, false), (body, false));
    }
}
