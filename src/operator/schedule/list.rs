//! `schedule list`: the schedules with the states of their alarms.

use super::alarm::{self, AlarmKind, MetricAlarm, alarm_name};
use super::scheduler_api;
use super::tags::{Tags, is_managed, set_name};
use crate::operator::aws::CallError;
use crate::operator::dry_run::AwsCalls;

/// Tag that CloudFormation adds to the resources of a stack (CloudFormation user guide, "Resource
/// tags").
const STACK_TAG: &str = "aws:cloudformation:stack-name";

/// A schedule in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedSchedule {
    pub set: String,
    /// `None` for a set without schedules.
    pub subnet: Option<String>,
    /// Such as `15 minutes`.
    pub interval: String,
    /// `ENABLED` or `DISABLED`.
    pub state: String,
    /// State of the alarm on failures.
    pub failed: String,
    /// State of the alarm on missing reports.
    pub no_data: String,
    pub made_by: String,
}

/// Returns all schedules with the states of their alarms.
pub async fn list(calls: &AwsCalls) -> Result<Vec<ListedSchedule>, CallError> {
    let mut rows = Vec::new();
    for group in scheduler_api::groups(calls).await? {
        let tags = scheduler_api::tags(calls, &group.arn).await?;
        let schedules = scheduler_api::schedules(calls, &group.name).await?;
        let set = set_name(&group.name);
        if schedules.is_empty() && is_managed(&tags, set) {
            rows.push(ListedSchedule {
                set: set.to_owned(),
                made_by: "an incomplete `schedule create`; run it again, or run `schedule remove`"
                    .into(),
                ..ListedSchedule::default()
            });
            continue;
        }
        let alarms = alarm::alarms(calls, &group.name).await?;
        for (subnet, schedule) in schedules {
            let [failed, no_data] = AlarmKind::ALL
                .map(|kind| alarm_state(&alarms, &alarm_name(&group.name, &subnet, kind)));
            rows.push(ListedSchedule {
                set: set.to_owned(),
                subnet: Some(subnet),
                interval: interval(&schedule.schedule_expression).to_owned(),
                state: schedule.state,
                failed,
                no_data,
                made_by: made_by(&tags, set),
            });
        }
    }
    Ok(rows)
}

fn alarm_state(alarms: &[MetricAlarm], name: &str) -> String {
    match alarms.iter().find(|alarm| alarm.alarm_name == name) {
        None => "MISSING".to_owned(),
        Some(alarm) if alarm.actions_enabled => alarm.state_value.clone(),
        Some(alarm) => format!("{} (actions disabled)", alarm.state_value),
    }
}

fn made_by(tags: &Tags, set: &str) -> String {
    match tags.get(STACK_TAG) {
        Some(stack) => format!("stack {stack}"),
        None if is_managed(tags, set) => "schedule create".into(),
        None => "others".into(),
    }
}

/// Returns `15 minutes` for `rate(15 minutes)`, and other expressions unchanged.
fn interval(expression: &str) -> &str {
    expression
        .strip_prefix("rate(")
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(expression)
}
