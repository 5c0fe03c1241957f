//! `schedule`: runs the probe in each subnet with EventBridge Scheduler, with alarms on failures
//! and on missing reports.
//!
//! All resources of a set share its name. The schedule group `pullprobe-NAME` is created first and
//! removed last, so that an incomplete run can be repeated, and its tag shows that `create` made
//! it, so that resources made by other tools are not touched.

mod alarm;
mod create;
mod dashboard;
mod event;
mod list;
mod log_group;
mod print;
mod remove;
mod scheduler_api;
mod set;
mod spec;
mod tags;

pub use create::create;
pub use event::{AlarmState, KeepReason, RemovalReason, Resource, ScheduleChange, ScheduleEvent};
pub use list::{ListedSchedule, list};
pub use print::print;
pub use remove::remove;
pub use scheduler_api::definitions_in_use;
pub use set::{ScheduleSet, resolve};
pub use spec::{MAX_NAME_LEN, ScheduleSpec, TemplateFormat};
