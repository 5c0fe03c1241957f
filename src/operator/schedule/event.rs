//! Progress of `schedule create` and `schedule remove`.

use std::fmt;

/// Progress event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleEvent {
    Created(Resource),
    Removed(Resource),
    Kept(Resource, KeepReason),
    /// The schedule of a subnet was created or updated.
    Scheduled {
        subnet: String,
        change: ScheduleChange,
        /// Schedule expression.
        rate: String,
        alarms: AlarmState,
    },
    /// The schedule of a subnet was removed.
    Unscheduled {
        subnet: String,
        reason: RemovalReason,
    },
    /// This many alarms were removed.
    AlarmsRemoved(usize),
    Failed {
        resource: Resource,
        error: String,
    },
    /// Kept, because launches and other schedules may use them.
    NotRemoved {
        /// ARN of the role that EventBridge Scheduler assumes.
        role: Option<String>,
        /// `FAMILY:REVISION`.
        task_definition: Option<String>,
    },
}

/// Resource of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    ScheduleGroup(String),
    LogGroup(String),
    /// The schedule of this subnet.
    Schedule(String),
    /// All alarms of the set.
    Alarms,
    /// The dashboard of the set.
    Dashboard(String),
    /// Alarms of subnets that are no longer part of the set.
    StaleAlarms,
}

/// What happened to a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleChange {
    Created,
    Updated,
    /// Updated, but still disabled, because the operator disabled it.
    UpdatedStillDisabled,
}

/// State of a subnet's alarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlarmState {
    Enabled,
    /// The actions of an alarm are still disabled, because the operator disabled them.
    ActionsStillDisabled,
    /// An alarm could not be created or updated.
    Failed(Vec<String>),
}

/// Why a log group is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepReason {
    /// `create` found it and does not change its retention.
    ForeignAtCreation,
    /// `remove` found it and did not create it.
    ForeignAtRemoval,
    /// The operator requested to keep it.
    Requested,
}

/// Why a schedule is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalReason {
    /// `remove` removes the whole set.
    SetRemoved,
    /// Its subnet is no longer part of the set.
    SubnetRemoved,
}

impl ScheduleEvent {
    /// Whether a step failed.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. }
                | Self::Scheduled {
                    alarms: AlarmState::Failed(_),
                    ..
                }
        )
    }

    pub(super) fn failed(resource: Resource, error: &dyn fmt::Display) -> Self {
        Self::Failed {
            resource,
            error: error.to_string(),
        }
    }
}

/// Passes events on and counts failures.
pub(super) struct EventSink<'a> {
    on_event: &'a mut dyn FnMut(&ScheduleEvent),
    failures: usize,
}

impl<'a> EventSink<'a> {
    pub fn new(on_event: &'a mut dyn FnMut(&ScheduleEvent)) -> Self {
        Self {
            on_event,
            failures: 0,
        }
    }

    pub fn send(&mut self, event: &ScheduleEvent) {
        self.failures += usize::from(event.is_failure());
        (self.on_event)(event);
    }

    /// Returns the number of failures so far.
    pub fn failures(&self) -> usize {
        self.failures
    }
}
