//! `schedule create`: creates missing resources, updates existing ones, and removes schedules of
//! removed subnets.
//!
//! UpdateSchedule and PutMetricAlarm replace everything. Settings without a flag are therefore read
//! first and kept: a disabled schedule, disabled alarm actions, a KMS key, a dead-letter queue.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};

use super::alarm::{self, MetricAlarm, subnet_of};
use super::dashboard::{dashboard_name, put_dashboard};
use super::event::{
    AlarmState, EventSink, KeepReason, RemovalReason, Resource, ScheduleChange, ScheduleEvent,
};
use super::log_group::{self, LogGroupOwner};
use super::remove::remove_schedules;
use super::scheduler_api::{self, GetScheduleResponse, GroupOwner, ScheduleRequest, concurrency};
use super::set::{RunTarget, ScheduleSet};
use super::tags::{DASHBOARD_TAG, TAG};
use crate::operator::aws::CallError;
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::account_of;
use crate::operator::error::OperatorError;

/// Existing schedules and alarms.
#[derive(Default)]
struct Existing {
    /// Subnets with a schedule.
    schedules: BTreeSet<String>,
    alarms: Vec<MetricAlarm>,
}

/// Creates or updates all resources of a set and returns the number of failures. A failure in one
/// subnet does not affect the others, and another run completes what is missing. With `enable`,
/// also enables schedules and alarm actions that the operator disabled.
pub async fn create(
    calls: &AwsCalls,
    set: &ScheduleSet,
    role: &str,
    enable: bool,
    on_event: &mut dyn FnMut(&ScheduleEvent),
) -> Result<usize, OperatorError> {
    if let Some(class) = log_group::unsuitable_class(calls, &set.log_group).await? {
        return Err(OperatorError::Usage(format!(
            "the log group {} has the class {class}. The alarms rest on metrics that CloudWatch makes of the reports, \
             which only the class STANDARD is sure to do, and a class cannot be changed: choose another --log-group",
            set.log_group
        )));
    }
    let mut events = EventSink::new(on_event);
    let group = set.group();
    let existing = match scheduler_api::group_owner(calls, &group).await? {
        GroupOwner::Ours(_) => Existing {
            schedules: scheduler_api::schedule_names(calls, &group)
                .await?
                .into_iter()
                .collect(),
            alarms: alarm::alarms(calls, &group).await?,
        },
        GroupOwner::Foreign => {
            return Err(OperatorError::Usage(format!(
                "the schedule group {group} lacks the tag {TAG}, so another tool created it, such as CloudFormation; \
                 choose another --name"
            )));
        }
        GroupOwner::None => {
            scheduler_api::create_group(calls, &group, &set.name, &set.log_group).await?;
            events.send(&ScheduleEvent::Created(Resource::ScheduleGroup(
                group.clone(),
            )));
            Existing::default()
        }
    };
    if let Err(error) = create_log_group(calls, set, &mut events).await {
        let resource = Resource::LogGroup(set.log_group.clone());
        events.send(&ScheduleEvent::failed(resource, &error));
    }
    let task_definition = set.definition.register(calls).await?;
    // A dry run registers nothing, so the account is unknown.
    let cluster = set.cluster_arn(&account_of(&task_definition));
    let target = RunTarget {
        cluster: &cluster,
        role,
        task_definition: &task_definition,
    };
    let subnets = set.launch.subnets.iter();
    let updates = subnets.map(|subnet| put_subnet(calls, set, subnet, target, &existing, enable));
    let mut updates = stream::iter(updates).buffered(concurrency(calls));
    while let Some(event) = updates.next().await {
        events.send(&event);
    }
    drop(updates);
    remove_stale(calls, set, &existing, &mut events).await;
    if set.dashboard {
        let name = dashboard_name(&group);
        let resource = Resource::Dashboard(name.clone());
        match create_dashboard(calls, set, &name).await {
            Ok(()) => events.send(&ScheduleEvent::Created(resource)),
            Err(error) => events.send(&ScheduleEvent::failed(resource, &error)),
        }
    }
    Ok(events.failures())
}

/// Creates or replaces the dashboard. The tag comes first, so that `remove` finds what was made.
async fn create_dashboard(
    calls: &AwsCalls,
    set: &ScheduleSet,
    name: &str,
) -> Result<(), CallError> {
    // In a dry run the group of a new set cannot be read.
    if !calls.is_dry() {
        scheduler_api::tag_group(calls, &set.group(), DASHBOARD_TAG, name).await?;
    }
    put_dashboard(calls, set).await
}

async fn create_log_group(
    calls: &AwsCalls,
    set: &ScheduleSet,
    events: &mut EventSink<'_>,
) -> Result<(), CallError> {
    let resource = || Resource::LogGroup(set.log_group.clone());
    match log_group::create(calls, &set.log_group, &set.name).await {
        Ok(()) => events.send(&ScheduleEvent::Created(resource())),
        Err(error) if error.code() == "ResourceAlreadyExistsException" => {
            let owner = log_group::owner(calls, &set.log_group, &set.name).await?;
            if owner != LogGroupOwner::Ours {
                let reason = KeepReason::ForeignAtCreation;
                events.send(&ScheduleEvent::Kept(resource(), reason));
                return Ok(());
            }
        }
        Err(error) => return Err(error),
    }
    log_group::set_retention(calls, &set.log_group, set.retention_days).await
}

/// Creates or updates the schedule and the alarms of a subnet.
async fn put_subnet(
    calls: &AwsCalls,
    set: &ScheduleSet,
    subnet: &str,
    target: RunTarget<'_>,
    existing: &Existing,
    enable: bool,
) -> ScheduleEvent {
    let failed =
        |error: OperatorError| ScheduleEvent::failed(Resource::Schedule(subnet.to_owned()), &error);
    let request = match set.schedule(subnet, target) {
        Ok(request) => request,
        Err(error) => return failed(error),
    };
    // The schedule comes before the alarms: without it, the alarm on missing reports would go off.
    let exists = existing.schedules.contains(subnet);
    let change = match put_schedule(calls, subnet, request, exists, enable).await {
        Ok(change) => change,
        Err(error) => return failed(error.into()),
    };
    ScheduleEvent::Scheduled {
        subnet: subnet.to_owned(),
        change,
        rate: set.rate(),
        alarms: put_alarms(calls, set, subnet, existing, enable).await,
    }
}

async fn put_alarms(
    calls: &AwsCalls,
    set: &ScheduleSet,
    subnet: &str,
    existing: &Existing,
    enable: bool,
) -> AlarmState {
    let (mut errors, mut state) = (Vec::new(), AlarmState::Enabled);
    for mut alarm in set.alarms(subnet) {
        let known = existing
            .alarms
            .iter()
            .find(|known| known.alarm_name == alarm.alarm_name);
        if known.is_some_and(|known| !known.actions_enabled) && !enable {
            alarm.actions_enabled = false;
            state = AlarmState::ActionsStillDisabled;
        }
        if let Err(error) = alarm::put_alarm(calls, &alarm).await {
            errors.push(error.to_string());
        }
    }
    if errors.is_empty() {
        state
    } else {
        AlarmState::Failed(errors)
    }
}

async fn put_schedule(
    calls: &AwsCalls,
    subnet: &str,
    request: ScheduleRequest,
    exists: bool,
    enable: bool,
) -> Result<ScheduleChange, CallError> {
    if !exists {
        match scheduler_api::create_schedule(calls, subnet, &request).await {
            // Created in the meantime, by another process or by an attempt whose response was lost.
            Err(error) if error.code() == "ConflictException" => {}
            result => return result.map(|()| ScheduleChange::Created),
        }
    }
    let existing = scheduler_api::get_schedule(calls, &request.group_name, subnet).await?;
    let update = keep_settings(request, existing, enable);
    scheduler_api::update_schedule(calls, subnet, &update).await?;
    Ok(if update.state == DISABLED {
        ScheduleChange::UpdatedStillDisabled
    } else {
        ScheduleChange::Updated
    })
}

const DISABLED: &str = "DISABLED";

/// Returns the update with the existing schedule's settings for which there is no flag.
fn keep_settings(
    mut update: ScheduleRequest,
    existing: GetScheduleResponse,
    enable: bool,
) -> ScheduleRequest {
    if existing.state == DISABLED && !enable {
        update.state = DISABLED;
    }
    update.kms_key_arn = existing.kms_key_arn;
    update.target.dead_letter_config = existing.target.dead_letter_config;
    update
}

/// Removes schedules and alarms of subnets that are no longer part of the set. An earlier run that
/// was interrupted may have left alarms without a schedule.
async fn remove_stale(
    calls: &AwsCalls,
    set: &ScheduleSet,
    existing: &Existing,
    events: &mut EventSink<'_>,
) {
    let group = set.group();
    let is_stale = |subnet: &str| set.launch.subnets.iter().all(|current| current != subnet);
    let schedules: Vec<String> = existing
        .schedules
        .iter()
        .filter(|subnet| is_stale(subnet))
        .cloned()
        .collect();
    let reason = RemovalReason::SubnetRemoved;
    remove_schedules(calls, &group, &schedules, reason, events).await;
    let alarms: Vec<String> = existing
        .alarms
        .iter()
        .map(|alarm| &alarm.alarm_name)
        .filter(|name| subnet_of(&group, name).is_some_and(is_stale))
        .cloned()
        .collect();
    if let Err(error) = alarm::delete_alarms(calls, &alarms).await {
        events.send(&ScheduleEvent::failed(Resource::StaleAlarms, &error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::schedule::scheduler_api::{
        EcsParameters, ExistingTarget, FlexibleTimeWindow, RetryPolicy,
        ScheduleAwsVpcConfiguration, ScheduleNetworkConfiguration, ScheduleTarget,
    };
    use serde_json::json;

    fn update() -> ScheduleRequest {
        ScheduleRequest {
            group_name: "pullprobe-a".into(),
            description: String::new(),
            schedule_expression: "rate(15 minutes)".into(),
            state: "ENABLED",
            flexible_time_window: FlexibleTimeWindow { mode: "OFF" },
            target: ScheduleTarget {
                arn: "a".into(),
                role_arn: String::new(),
                ecs_parameters: EcsParameters {
                    task_definition_arn: String::new(),
                    task_count: 1,
                    enable_ecs_managed_tags: true,
                    network_configuration: ScheduleNetworkConfiguration {
                        awsvpc_configuration: ScheduleAwsVpcConfiguration {
                            subnets: Vec::new(),
                            security_groups: Vec::new(),
                            assign_public_ip: None,
                        },
                    },
                    launch_type: None,
                    capacity_provider_strategy: Vec::new(),
                    platform_version: None,
                    tags: Vec::new(),
                },
                input: String::new(),
                retry_policy: RetryPolicy {
                    maximum_event_age_in_seconds: 900,
                    maximum_retry_attempts: 3,
                },
                dead_letter_config: None,
            },
            kms_key_arn: None,
        }
    }

    #[test]
    fn settings_without_a_flag_are_kept() {
        let existing = GetScheduleResponse {
            state: "DISABLED".into(),
            kms_key_arn: Some("key".into()),
            target: ExistingTarget {
                dead_letter_config: Some(json!({ "Arn": "q" })),
                ..ExistingTarget::default()
            },
            ..GetScheduleResponse::default()
        };
        let kept = keep_settings(update(), existing.clone(), false);
        let mut expected = update();
        expected.state = "DISABLED";
        expected.kms_key_arn = Some("key".into());
        expected.target.dead_letter_config = Some(json!({ "Arn": "q" }));
        assert_eq!(kept, expected);
        assert_eq!(keep_settings(update(), existing, true).state, "ENABLED");
        let plain = json!({ "State": "ENABLED", "KmsKeyArn": null, "Target": {} });
        let plain: GetScheduleResponse = serde_json::from_value(plain).unwrap();
        assert_eq!(keep_settings(update(), plain, false), update());
    }
}
