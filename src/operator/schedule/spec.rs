//! The operator's input for a set of schedules.

use crate::operator::launch::TargetSpec;
pub use crate::render::template::TemplateFormat;
use crate::report::ReportMetrics;

/// Maximum length of a set's name, in characters. The name of a schedule group has at most 64
/// characters (EventBridge Scheduler API reference, CreateScheduleGroup), of which `pullprobe-`
/// takes ten.
pub const MAX_NAME_LEN: usize = 54;

/// Input of `schedule create` and `schedule print`.
#[derive(Debug, Clone)]
pub struct ScheduleSpec {
    pub target: TargetSpec,
    /// Name of the set; `CLUSTER.SERVICE` by default.
    pub name: Option<String>,
    /// Interval in minutes.
    pub interval_minutes: u32,
    /// Log group for the reports; `/pullprobe/NAME` by default.
    pub log_group: Option<String>,
    pub retention_days: u32,
    /// Metrics in the reports.
    pub metrics: ReportMetrics,
    /// ARNs of SNS topics, for both alarms of each subnet.
    pub alarm_actions: Vec<String>,
    /// Whether there is a dashboard.
    pub dashboard: bool,
}
