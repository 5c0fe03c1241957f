//! The two alarms of a subnet: on what the probe finds, and on its silence.

use serde_json::{Value, json};

use super::spec::Set;
use super::{PREFIX, TAG};

/// Runs without a report before the alarm: one may be lost to capacity or a deployment, and a
/// report that is late by a minute can leave one period empty and put two into the next. Three
/// empty ones mean that two runs in a row are missing.
const SILENT_PERIODS: u32 = 3;

/// What the names of both end in.
pub const KINDS: [&str; 2] = ["failed", "no-data"];

impl Set {
    /// Value of the dimension `Schedule`, by which an alarm sees one subnet of one service.
    pub fn dimension(&self, subnet: &str) -> String {
        format!("{}/{subnet}", self.name)
    }

    /// The input of PutMetricAlarm, for both.
    pub fn alarms(&self, subnet: &str) -> [Value; 2] {
        let Self {
            name,
            every,
            log_group,
            ..
        } = self;
        let mut failed = self.alarm(subnet, KINDS[0]);
        failed["AlarmDescription"] = json!(format!(
            "{name}: the probe in {subnet} found what keeps a task from starting; its report is in the log group {log_group}"
        ));
        failed["Statistic"] = json!("Maximum");
        failed["ComparisonOperator"] = json!("GreaterThanOrEqualToThreshold");
        failed["EvaluationPeriods"] = json!(1);
        // A gap is the other alarm's: it must not end this one.
        failed["TreatMissingData"] = json!("ignore");
        let mut silent = self.alarm(subnet, KINDS[1]);
        silent["AlarmDescription"] = json!(format!(
            "{name}: no report from {subnet} for {} minutes: the probe did not start, or cannot reach CloudWatch Logs; pullprobe launch says why",
            every * SILENT_PERIODS
        ));
        silent["Statistic"] = json!("SampleCount");
        silent["ComparisonOperator"] = json!("LessThanThreshold");
        silent["EvaluationPeriods"] = json!(SILENT_PERIODS);
        silent["TreatMissingData"] = json!("breaching");
        [failed, silent]
    }

    /// What both have in common.
    fn alarm(&self, subnet: &str, kind: &str) -> Value {
        let mut alarm = json!({
            "AlarmName": alarm_name(&self.group(), subnet, kind),
            "Namespace": "PullProbe",
            "MetricName": "Failed",
            "Dimensions": [
                { "Name": "Region", "Value": self.launch.plan.region.to_string() },
                { "Name": "Schedule", "Value": self.dimension(subnet) },
            ],
            "Period": self.every * 60,
            "Threshold": 1,
            "ActionsEnabled": true,
            "Tags": [{ "Key": TAG, "Value": self.name }],
        });
        if !self.alarm_actions.is_empty() {
            alarm["AlarmActions"] = json!(self.alarm_actions);
            alarm["OKActions"] = json!(self.alarm_actions);
        }
        alarm
    }
}

/// The alarm's whole name. A slash cannot be in a set's name, so that `pullprobe-NAME/` is the
/// prefix of its own only.
pub fn alarm_name(group: &str, subnet: &str, kind: &str) -> String {
    format!("{group}/{subnet}/{kind}")
}

/// The subnet in an alarm's name.
pub fn subnet_of<'a>(group: &str, alarm: &'a str) -> Option<&'a str> {
    let rest = alarm.strip_prefix(group)?.strip_prefix('/')?;
    let (subnet, kind) = rest.split_once('/')?;
    KINDS.contains(&kind).then_some(subnet)
}

/// The name of the set that a group has, without `pullprobe-`.
pub fn set_of(group: &str) -> &str {
    group.strip_prefix(PREFIX).unwrap_or(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_of_one_subnet_of_one_group() {
        let name = alarm_name("pullprobe-a.b-", "subnet-1", "no-data");
        assert_eq!(subnet_of("pullprobe-a.b-", &name), Some("subnet-1"));
        for other in [
            "pullprobe-a.b/subnet-1/failed",
            "pullprobe-a.b-/subnet-1/theirs",
            "pullprobe-a.b-/subnet-1",
        ] {
            assert_eq!(subnet_of("pullprobe-a.b-", other), None, "{other}");
        }
    }
}
