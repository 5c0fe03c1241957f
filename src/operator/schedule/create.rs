//! `schedule create`: makes what is missing, updates what is there, removes the schedules of subnets that are gone.

use hyper::Method;
use serde_json::{Value, json};

use super::remove::{Log, log_group, members, owner, remove_alarms, remove_schedule};
use super::set::Set;
use super::{TAG, send};
use crate::operator::aws;
use crate::operator::calls::Calls;
use crate::operator::launch::Error;

/// Makes or updates it all, and says what was done, a line each. What fails in one subnet does not keep the others from
/// being made; the number of failures is returned, and a repetition makes what is missing.
pub async fn create(calls: &Calls, set: &Set, role: &str, say: &mut dyn FnMut(String)) -> Result<usize, Error> {
    let group = set.group();
    match owner(calls, &group).await? {
        Some((_, true)) => {}
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
            send::scheduler(calls, "CreateScheduleGroup", (Method::POST, &path), Some(&body)).await?;
            say(format!("schedule group {group}: created"));
        }
    }
    log(calls, set, say).await?;
    let definition = set.definition.ready(calls).await?;
    let cluster = cluster_arn(&set.launch.cluster, &definition, set.launch.plan.region.partition().name());
    let there = if calls.is_dry() { Vec::new() } else { members(calls, &group).await? };
    let mut failures = 0;
    for subnet in &set.launch.subnets {
        let body = set.schedule(subnet, (&cluster, role, &definition)).map_err(Error::Usage)?;
        let done = match put_schedule(calls, subnet, &body).await {
            Ok(done) => put_alarms(calls, set, subnet).await.map(|()| done),
            Err(error) => Err(error),
        };
        match done {
            Ok(done) => say(format!("{subnet}: {done}, {}, with two alarms", set.rate())),
            Err(error) => {
                failures += 1;
                say(format!("{subnet}: FAILED: {error}"));
            }
        }
    }
    for gone in there.iter().filter(|there| !set.launch.subnets.contains(there)) {
        remove_schedule(calls, &group, gone).await?;
        remove_alarms(calls, &format!("{group}/{gone}/")).await?;
        say(format!("{gone}: removed, it is none of the subnets any more"));
    }
    Ok(failures)
}

/// The tag that remembers the log group.
pub const LOG_TAG: &str = "pullprobe:log-group";

async fn log(calls: &Calls, set: &Set, say: &mut dyn FnMut(String)) -> Result<(), Error> {
    let name = &set.log_group;
    let body = json!({ "logGroupName": name, "tags": { TAG: set.name } });
    match send::change_logs(calls, "CreateLogGroup", &body).await {
        Ok(()) => say(format!("log group {name}: created")),
        Err(error) if error.code() == "ResourceAlreadyExistsException" => {
            if log_group(calls, name, &set.name).await? != Log::Ours {
                say(format!("log group {name}: is not of these schedules, and keeps its retention"));
                return Ok(());
            }
        }
        Err(error) => return Err(error.into()),
    }
    let body = json!({ "logGroupName": name, "retentionInDays": set.retention });
    Ok(send::change_logs(calls, "PutRetentionPolicy", &body).await?)
}

async fn put_schedule(calls: &Calls, name: &str, body: &Value) -> Result<&'static str, aws::Error> {
    let path = format!("/schedules/{name}");
    match send::scheduler(calls, "CreateSchedule", (Method::POST, &path), Some(body)).await {
        Ok(_) => Ok("created"),
        Err(error) if error.code() == "ConflictException" => {
            send::scheduler(calls, "UpdateSchedule", (Method::PUT, &path), Some(body)).await?;
            Ok("updated")
        }
        Err(error) => Err(error),
    }
}

async fn put_alarms(calls: &Calls, set: &Set, subnet: &str) -> Result<(), aws::Error> {
    for alarm in set.alarms(subnet) {
        send::change_alarms(calls, "PutMetricAlarm", &set.alarm_fields(subnet, &alarm)).await?;
    }
    Ok(())
}

/// A schedule's target wants an ARN. Account and region are those of the task definition, which lies beside the cluster.
fn cluster_arn(cluster: &str, definition: &str, partition: &str) -> String {
    if cluster.starts_with("arn:") {
        return cluster.to_owned();
    }
    let parts: Vec<_> = definition.split(':').collect();
    match parts[..] {
        ["arn", partition, "ecs", region, account, ..] => {
            format!("arn:{partition}:ecs:{region}:{account}:cluster/{cluster}")
        }
        // In a dry run nothing is registered.
        _ => format!("arn:{partition}:ecs:REGION:ACCOUNT:cluster/{cluster}"),
    }
}
