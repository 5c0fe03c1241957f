//! The two alarms of a subnet, on failures and on missing reports, and CloudWatch's calls for them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::set::ScheduleSet;
use super::tags::TAG;
use crate::operator::aws::{Api, CallError};
use crate::operator::dry_run::{AwsCalls, to_json};
use crate::operator::paging::{Page, all_pages};

/// Periods without a report before the alarm. A single report can be lost to missing capacity or a
/// deployment, and a report that is late by a minute can leave one period empty and put two reports
/// into the next. Three empty periods mean that two runs in a row are missing.
const SILENT_PERIODS: u32 = 3;

/// Last part of an alarm's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmKind {
    /// The probe reported a failure.
    Failed,
    /// The probe did not report.
    NoData,
}

impl AlarmKind {
    pub const ALL: [Self; 2] = [Self::Failed, Self::NoData];

    const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::NoData => "no-data",
        }
    }
}

/// `PutMetricAlarm`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutMetricAlarmRequest {
    pub alarm_name: String,
    alarm_description: String,
    namespace: &'static str,
    metric_name: &'static str,
    dimensions: [Dimension; 2],
    statistic: &'static str,
    comparison_operator: &'static str,
    threshold: u32,
    evaluation_periods: u32,
    /// Seconds.
    period: u32,
    treat_missing_data: &'static str,
    pub actions_enabled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alarm_actions: Vec<String>,
    #[serde(rename = "OKActions", skip_serializing_if = "Vec::is_empty")]
    ok_actions: Vec<String>,
    tags: [AlarmTag; 1],
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: &'static str,
    value: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AlarmTag {
    key: &'static str,
    value: String,
}

impl ScheduleSet {
    /// Builds the alarms of a subnet, in the order of `AlarmKind::ALL`.
    pub fn alarms(&self, subnet: &str) -> [PutMetricAlarmRequest; 2] {
        AlarmKind::ALL.map(|kind| self.alarm(subnet, kind))
    }

    fn alarm(&self, subnet: &str, kind: AlarmKind) -> PutMetricAlarmRequest {
        let Self {
            name, log_group, ..
        } = self;
        let alarm = PutMetricAlarmRequest {
            alarm_name: alarm_name(&self.group(), subnet, kind),
            alarm_description: String::new(),
            namespace: "PullProbe",
            metric_name: "Failed",
            dimensions: [
                Dimension {
                    name: "Region",
                    value: self.launch.plan.region.to_string(),
                },
                Dimension {
                    name: "Schedule",
                    value: self.dimension(subnet),
                },
            ],
            statistic: "Maximum",
            comparison_operator: "GreaterThanOrEqualToThreshold",
            threshold: 1,
            evaluation_periods: 1,
            period: self.interval_minutes * 60,
            // A missing report concerns the other alarm, and must not end this one.
            treat_missing_data: "ignore",
            actions_enabled: true,
            alarm_actions: self.alarm_actions.clone(),
            ok_actions: self.alarm_actions.clone(),
            tags: [AlarmTag {
                key: TAG,
                value: name.clone(),
            }],
        };
        match kind {
            AlarmKind::Failed => PutMetricAlarmRequest {
                alarm_description: format!(
                    "{name}: the probe in {subnet} found a problem that keeps tasks from starting; its report is in the log group {log_group}"
                ),
                ..alarm
            },
            AlarmKind::NoData => PutMetricAlarmRequest {
                alarm_description: format!(
                    "{name}: no report from {subnet} for {} minutes; the probe did not start or cannot reach CloudWatch Logs. Run pullprobe launch to find the cause",
                    self.interval_minutes * SILENT_PERIODS
                ),
                statistic: "SampleCount",
                comparison_operator: "LessThanThreshold",
                evaluation_periods: SILENT_PERIODS,
                treat_missing_data: "breaching",
                ..alarm
            },
        }
    }
}

/// Returns an alarm's name. The name of a set contains no slash, so that `pullprobe-NAME/` is the
/// prefix of its own alarms only.
pub fn alarm_name(group: &str, subnet: &str, kind: AlarmKind) -> String {
    format!("{group}/{subnet}/{}", kind.name())
}

/// Returns the prefix of the names of a group's alarms.
fn alarm_name_prefix(group: &str) -> String {
    format!("{group}/")
}

/// Returns the subnet of an alarm's name, if it is an alarm of this group.
pub fn subnet_of<'a>(group: &str, alarm: &'a str) -> Option<&'a str> {
    let rest = alarm.strip_prefix(group)?.strip_prefix('/')?;
    let (subnet, kind) = rest.split_once('/')?;
    AlarmKind::ALL
        .iter()
        .any(|known| known.name() == kind)
        .then_some(subnet)
}

/// The fields of `MetricAlarm` that are used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MetricAlarm {
    pub alarm_name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    #[serde(default)]
    pub state_value: String,
    /// `false` after `aws cloudwatch disable-alarm-actions`.
    #[serde(default = "enabled")]
    pub actions_enabled: bool,
}

fn enabled() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeAlarmsResponse {
    describe_alarms_result: DescribeAlarmsResult,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeAlarmsResult {
    #[serde(default)]
    metric_alarms: MetricAlarms,
    next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct MetricAlarms {
    #[serde(default)]
    member: Vec<MetricAlarm>,
}

/// Maximum number of pages of DescribeAlarms, of a hundred alarms each: a launch has up to 1,000
/// subnets with two alarms each.
const MAX_PAGES: usize = 100;

/// Returns the alarms of a schedule group.
pub async fn alarms(calls: &AwsCalls, group: &str) -> Result<Vec<MetricAlarm>, CallError> {
    const ACTION: &str = "DescribeAlarms";
    all_pages(Api::CLOUDWATCH, ACTION, MAX_PAGES, async |token| {
        let mut fields = vec![
            ("AlarmNamePrefix".to_owned(), alarm_name_prefix(group)),
            ("MaxRecords".to_owned(), "100".to_owned()),
        ];
        fields.extend(token.map(|token| ("NextToken".to_owned(), token)));
        let response: DescribeAlarmsResponse =
            calls.read_query(Api::CLOUDWATCH, ACTION, &fields).await?;
        let result = response.describe_alarms_result;
        Ok(Page {
            items: result.metric_alarms.member,
            next_token: result.next_token,
        })
    })
    .await
}

/// Creates or replaces an alarm.
pub async fn put_alarm(calls: &AwsCalls, alarm: &PutMetricAlarmRequest) -> Result<(), CallError> {
    let fields = query_fields(&to_json(alarm)?);
    calls
        .change_query(Api::CLOUDWATCH, "PutMetricAlarm", &fields)
        .await
}

/// Maximum number of alarms of one DeleteAlarms (CloudWatch API reference).
const MAX_DELETED_ALARMS: usize = 100;

/// Deletes alarms and returns their number. Makes every call, even after one has failed.
pub async fn delete_alarms(calls: &AwsCalls, names: &[String]) -> Result<usize, CallError> {
    let mut result = Ok(names.len());
    for names in names.chunks(MAX_DELETED_ALARMS) {
        let fields = query_fields(&json!({ "AlarmNames": names }));
        let deleted = calls
            .change_query(Api::CLOUDWATCH, "DeleteAlarms", &fields)
            .await;
        if let Err(error) = deleted {
            result = Err(error);
        }
    }
    result
}

/// Flattens a structure to fields such as `Dimensions.member.1.Name` (Smithy, `awsQuery`).
fn query_fields(input: &Value) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    add_fields(&mut fields, "", input);
    fields
}

fn add_fields(fields: &mut Vec<(String, String)>, name: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            let dot = if name.is_empty() { "" } else { "." };
            for (member, value) in members {
                add_fields(fields, &format!("{name}{dot}{member}"), value);
            }
        }
        Value::Array(items) => {
            for (n, item) in (1..).zip(items) {
                add_fields(fields, &format!("{name}.member.{n}"), item);
            }
        }
        Value::String(text) => fields.push((name.to_owned(), text.clone())),
        other => fields.push((name.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarm_name_belongs_to_one_subnet_of_one_group() {
        let name = alarm_name("pullprobe-a.b-", "subnet-1", AlarmKind::NoData);
        assert_eq!(subnet_of("pullprobe-a.b-", &name), Some("subnet-1"));
        for other in [
            "pullprobe-a.b/subnet-1/failed",
            "pullprobe-a.b-/subnet-1/theirs",
            "pullprobe-a.b-/subnet-1",
        ] {
            assert_eq!(subnet_of("pullprobe-a.b-", other), None, "{other}");
        }
    }

    #[test]
    fn structures_are_flattened_for_the_query_protocol() {
        let input = json!({
            "A": "x", "D": [{ "Name": "n", "Value": 1 }, { "Name": "m" }], "L": ["y"], "On": true
        });
        let fields: Vec<_> = query_fields(&input)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            fields,
            [
                "A=x",
                "D.member.1.Name=n",
                "D.member.1.Value=1",
                "D.member.2.Name=m",
                "L.member.1=y",
                "On=true"
            ]
        );
    }
}
