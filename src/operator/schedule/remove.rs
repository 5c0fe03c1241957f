//! `schedule remove`.

use futures_util::{StreamExt as _, stream};

use super::alarm;
use super::dashboard::delete_dashboard;
use super::event::{EventSink, KeepReason, RemovalReason, Resource, ScheduleEvent};
use super::log_group::{self, LogGroupOwner};
use super::scheduler_api::{self, GroupOwner, concurrency};
use super::tags::{DASHBOARD_TAG, LOG_GROUP_TAG, TAG, group_name};
use crate::operator::aws::CallError;
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::last_segment;
use crate::operator::error::OperatorError;

/// Removes schedules, alarms, log group and, last, the schedule group: as long as it exists,
/// running the command again finds the rest. Returns the number of failures; a failure does not
/// stop the other removals.
pub async fn remove(
    calls: &AwsCalls,
    name: &str,
    keep_logs: bool,
    on_event: &mut dyn FnMut(&ScheduleEvent),
) -> Result<usize, OperatorError> {
    let mut events = EventSink::new(on_event);
    let group = group_name(name);
    let tags = match scheduler_api::group_owner(calls, &group).await? {
        GroupOwner::Ours(tags) => tags,
        GroupOwner::Foreign => {
            return Err(OperatorError::Usage(format!(
                "the schedule group {group} lacks the tag {TAG}, so another tool created it; remove it with that tool, such as \
                 by deleting its CloudFormation stack"
            )));
        }
        GroupOwner::None => {
            return Err(OperatorError::Usage(format!(
                "there are no schedules named {name} in this Region; list them with `pullprobe schedule list`"
            )));
        }
    };
    let subnets = scheduler_api::schedule_names(calls, &group).await?;
    let first = match subnets.first() {
        // Needed only for the last message, so an error does not matter.
        Some(first) => scheduler_api::get_schedule(calls, &group, first).await.ok(),
        None => None,
    };
    let reason = RemovalReason::SetRemoved;
    remove_schedules(calls, &group, &subnets, reason, &mut events).await;
    match remove_alarms(calls, &group).await {
        Ok(removed) => events.send(&ScheduleEvent::AlarmsRemoved(removed)),
        Err(error) => events.send(&ScheduleEvent::failed(Resource::Alarms, &error)),
    }
    if let Some(name) = tags.get(DASHBOARD_TAG) {
        let resource = Resource::Dashboard(name.clone());
        match delete_dashboard(calls, name).await {
            Ok(()) => events.send(&ScheduleEvent::Removed(resource)),
            Err(error) => events.send(&ScheduleEvent::failed(resource, &error)),
        }
    }
    if let Some(log_group) = tags.get(LOG_GROUP_TAG) {
        match remove_log_group(calls, log_group, name, keep_logs).await {
            Ok(event) => event.iter().for_each(|event| events.send(event)),
            Err(error) => {
                let resource = Resource::LogGroup(log_group.clone());
                events.send(&ScheduleEvent::failed(resource, &error));
            }
        }
    }
    if events.failures() > 0 {
        return Ok(events.failures());
    }
    let resource = Resource::ScheduleGroup(group.clone());
    match scheduler_api::delete_group(calls, &group).await {
        Ok(()) => events.send(&ScheduleEvent::Removed(resource)),
        Err(error) => events.send(&ScheduleEvent::failed(resource, &error)),
    }
    if let Some(schedule) = first {
        let task_definition = schedule.task_definition().map(last_segment);
        events.send(&ScheduleEvent::NotRemoved {
            task_definition: task_definition.map(str::to_owned),
            role: schedule.target.role_arn,
        });
    }
    Ok(events.failures())
}

/// Removes schedules concurrently and reports them in their order.
pub(super) async fn remove_schedules(
    calls: &AwsCalls,
    group: &str,
    subnets: &[String],
    reason: RemovalReason,
    events: &mut EventSink<'_>,
) {
    let removals = subnets.iter().map(|subnet| async move {
        let subnet = subnet.clone();
        match scheduler_api::delete_schedule(calls, group, &subnet).await {
            Ok(()) => ScheduleEvent::Unscheduled { subnet, reason },
            Err(error) => ScheduleEvent::failed(Resource::Schedule(subnet), &error),
        }
    });
    let mut removals = stream::iter(removals).buffered(concurrency(calls));
    while let Some(event) = removals.next().await {
        events.send(&event);
    }
}

async fn remove_alarms(calls: &AwsCalls, group: &str) -> Result<usize, CallError> {
    let alarms = alarm::alarms(calls, group).await?;
    let names: Vec<String> = alarms.into_iter().map(|alarm| alarm.alarm_name).collect();
    alarm::delete_alarms(calls, &names).await
}

/// Removes the log group, unless it is not the set's. Returns `None` if there is none.
async fn remove_log_group(
    calls: &AwsCalls,
    log_group: &str,
    set: &str,
    keep: bool,
) -> Result<Option<ScheduleEvent>, CallError> {
    let resource = Resource::LogGroup(log_group.to_owned());
    Ok(match log_group::owner(calls, log_group, set).await? {
        LogGroupOwner::Ours if keep => Some(ScheduleEvent::Kept(resource, KeepReason::Requested)),
        LogGroupOwner::Ours => {
            log_group::delete(calls, log_group).await?;
            Some(ScheduleEvent::Removed(resource))
        }
        LogGroupOwner::Foreign => Some(ScheduleEvent::Kept(resource, KeepReason::ForeignAtRemoval)),
        LogGroupOwner::None => None,
    })
}
