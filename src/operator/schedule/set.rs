//! A set of schedules, one for each subnet, and the requests that create it.

use serde_json::json;

use super::scheduler_api::{
    EcsParameters, FlexibleTimeWindow, RetryPolicy, ScheduleAwsVpcConfiguration,
    ScheduleNetworkConfiguration, ScheduleRequest, ScheduleTarget,
};
use super::spec::{MAX_NAME_LEN, ScheduleSpec};
use super::tags::{TAG, group_name};
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::{KeyValuePair, RunTaskRequest, Tag, digest, last_segment};
use crate::operator::error::OperatorError;
use crate::operator::launch::{
    self, DEFAULT_CLUSTER, Launch, Placement, ProbeDefinition, RUN_ID_VARIABLE,
};
use crate::operator::price::{
    ALARM, DASHBOARD, DASHBOARD_ITEM, HOURS_A_MONTH, LOG_GB, METRIC, MonthlyCost, REPORT_GB,
    SCHEDULER_INVOCATION, TASK_MINUTE,
};
use crate::report::ReportMetrics;

/// The schedules under one name.
#[derive(Debug)]
pub struct ScheduleSet {
    /// The name, without `pullprobe-`.
    pub name: String,
    /// Interval in minutes.
    pub interval_minutes: u32,
    /// Log group for the reports.
    pub log_group: String,
    pub retention_days: u32,
    /// Metrics in the reports.
    pub metrics: ReportMetrics,
    /// ARNs of alarm actions.
    pub alarm_actions: Vec<String>,
    /// Whether the set has a dashboard.
    pub dashboard: bool,
    /// What runs in each subnet.
    pub launch: Launch,
    /// The task definition that runs.
    pub definition: ProbeDefinition,
    /// Where the schedules differ from the service, and why.
    pub notes: Vec<String>,
}

/// The target of a schedule.
#[derive(Debug, Clone, Copy)]
pub struct RunTarget<'a> {
    /// ARN of the cluster.
    pub cluster: &'a str,
    /// ARN of the role that EventBridge Scheduler assumes.
    pub role: &'a str,
    /// ARN of the probe's task definition.
    pub task_definition: &'a str,
}

/// Maximum number of retries of one run. EventBridge Scheduler's default of 185 within 24 hours
/// would run a probe long after its time.
const MAX_RETRY_ATTEMPTS: u32 = 3;

/// Alarms of a subnet: on failures, and on missing reports.
const ALARMS: f64 = 2.0;

/// Metrics of a report: `Failed` and `DurationMs`, and with those of five dependencies of four
/// phases.
const BASIC_METRICS: f64 = 2.0;
const ALL_METRICS: f64 = 22.0;

/// Maximum number of actions of an alarm (CloudWatch API reference, PutMetricAlarm).
const MAX_ALARM_ACTIONS: usize = 5;

/// Reads the target of the schedules and checks that every request can be built. Creates nothing.
pub async fn resolve(calls: &AwsCalls, spec: &ScheduleSpec) -> Result<ScheduleSet, OperatorError> {
    if spec.alarm_actions.len() > MAX_ALARM_ACTIONS {
        return Err(OperatorError::Usage(format!(
            "an alarm has at most {MAX_ALARM_ACTIONS} actions; pass fewer --alarm-action, and fan out from one SNS topic"
        )));
    }
    let name = match (&spec.name, &spec.target.service) {
        (Some(name), _) => name.clone(),
        (None, Some(service)) => {
            let cluster = spec.target.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER);
            default_name(cluster, service)
        }
        (None, None) => {
            return Err(OperatorError::Usage(
                "pass --service SERVICE, whose name the schedules then have, or name them with --name NAME".into(),
            ));
        }
    };
    let log_group = spec
        .log_group
        .clone()
        .unwrap_or_else(|| format!("/pullprobe/{name}"));
    let (mut launch, definition) =
        launch::resolve(calls, &spec.target, None, Some(&log_group), true).await?;
    launch.definition = definition.family();
    let notes = translate(&mut launch);
    let set = ScheduleSet {
        name,
        interval_minutes: spec.interval_minutes,
        log_group,
        retention_days: spec.retention_days,
        metrics: spec.metrics,
        alarm_actions: spec.alarm_actions.clone(),
        dashboard: spec.dashboard,
        launch,
        definition,
        notes,
    };
    // Rejects invalid and oversized input before anything is created.
    for subnet in &set.launch.subnets {
        check_subnet_id(subnet)?;
        set.run_task(subnet)?;
    }
    Ok(set)
}

/// Replaces values that RunTask accepts and EventBridge Scheduler does not, and returns a note on
/// each change that matters. AssignPublicIp may be ENABLED only with the launch type FARGATE, and
/// PlatformVersion is numeric (EventBridge Scheduler API reference, AwsVpcConfiguration and
/// EcsParameters).
fn translate(launch: &mut Launch) -> Vec<String> {
    let mut notes = Vec::new();
    if launch.assign_public_ip && launch.placement != Placement::Fargate {
        launch.placement = Placement::Fargate;
        notes.push(
            "the service uses capacity providers and a public IP address; EventBridge Scheduler allows a public IP \
             address only with the launch type FARGATE, so the probes run with that"
                .to_owned(),
        );
    }
    // Without a version, Fargate takes the latest, which is what LATEST means.
    let is_numeric = |version: &String| {
        version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    launch.platform_version = launch.platform_version.take().filter(is_numeric);
    notes
}

/// Checks a subnet ID, which becomes part of the names of schedules and alarms.
fn check_subnet_id(text: &str) -> Result<(), OperatorError> {
    let is_valid = text.strip_prefix("subnet-").is_some_and(|id| {
        (1..=40).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    if is_valid {
        return Ok(());
    }
    Err(OperatorError::Usage(format!(
        "{text:?} is not a subnet ID; expected `subnet-` followed by letters and digits"
    )))
}

/// Returns `CLUSTER.SERVICE`. Names of clusters and services contain no dots, so no two services
/// share a name; a name that would be too long ends in a digest.
fn default_name(cluster: &str, service: &str) -> String {
    let name = format!("{}.{}", last_segment(cluster), last_segment(service));
    if name.len() <= MAX_NAME_LEN {
        return name;
    }
    format!(
        "{}-{}",
        name.chars().take(MAX_NAME_LEN - 17).collect::<String>(),
        digest(&[&name], 8)
    )
}

impl ScheduleSet {
    /// Returns the schedule group's name.
    pub fn group(&self) -> String {
        group_name(&self.name)
    }

    /// Returns the interval as in a schedule expression, such as `15 minutes`.
    pub fn interval(&self) -> String {
        match (self.interval_minutes % 60, self.interval_minutes / 60) {
            (0, 1) => "1 hour".into(),
            (0, hours) => format!("{hours} hours"),
            _ => format!("{} minutes", self.interval_minutes),
        }
    }

    /// Estimates what the schedules cost each month.
    pub fn monthly_cost(&self) -> MonthlyCost {
        let subnets = f64::from(u32::try_from(self.launch.subnets.len()).unwrap_or(u32::MAX));
        let runs = subnets * HOURS_A_MONTH * 60.0 / f64::from(self.interval_minutes);
        let metrics = match self.metrics {
            ReportMetrics::Basic => BASIC_METRICS,
            ReportMetrics::All => ALL_METRICS,
        };
        let mut cost = MonthlyCost::default();
        cost.add("task minutes on Fargate", runs, TASK_MINUTE);
        cost.add("custom metrics", subnets * metrics, METRIC);
        cost.add("alarms", subnets * ALARMS, ALARM);
        cost.add("GB of reports in CloudWatch Logs", runs * REPORT_GB, LOG_GB);
        cost.add("runs of EventBridge Scheduler", runs, SCHEDULER_INVOCATION);
        if self.dashboard {
            cost.add(DASHBOARD_ITEM, 1.0, DASHBOARD);
        }
        cost.assume("a task of 256 CPU units and 512 MB runs for less than the minute that Fargate bills at least");
        cost.assume("a report has 20 KB; metrics are billed for each hour with a report");
        if self.metrics == ReportMetrics::All {
            cost.assume(format!(
                "a report has {ALL_METRICS:.0} metrics: one for each dependency and phase"
            ));
        }
        cost
    }

    /// Returns the schedule expression, such as `rate(15 minutes)`.
    pub fn rate(&self) -> String {
        format!("rate({})", self.interval())
    }

    /// Returns the cluster's ARN, which the target of a schedule must be.
    pub fn cluster_arn(&self, account: &str) -> String {
        let region = &self.launch.plan.region;
        match self.launch.cluster.as_str() {
            arn if arn.starts_with("arn:") => arn.to_owned(),
            name => format!(
                "arn:{}:ecs:{region}:{account}:cluster/{name}",
                region.partition().name()
            ),
        }
    }

    /// Returns the value of the metric dimension `Schedule` for a subnet of this set.
    pub fn dimension(&self, subnet: &str) -> String {
        format!("{}/{subnet}", self.name)
    }

    /// Builds the RunTask request of each run, without a run ID.
    fn run_task(&self, subnet: &str) -> Result<RunTaskRequest, OperatorError> {
        let mut launch = self.launch.clone();
        launch
            .labels
            .insert("schedule".into(), self.dimension(subnet));
        let mut request = launch.run_task(subnet)?;
        for container in &mut request.overrides.container_overrides {
            container
                .environment
                .retain(|pair| pair.name != RUN_ID_VARIABLE);
            if self.metrics == ReportMetrics::All {
                // It is shorter than what was removed.
                container.environment.push(KeyValuePair {
                    name: "PULLPROBE_METRICS".into(),
                    value: "all".into(),
                });
            }
        }
        Ok(request)
    }

    /// Builds the request of CreateSchedule and UpdateSchedule. It has no flexible time window,
    /// because the alarms rely on the interval.
    pub fn schedule(
        &self,
        subnet: &str,
        target: RunTarget<'_>,
    ) -> Result<ScheduleRequest, OperatorError> {
        let run_task = self.run_task(subnet)?;
        let input = json!(run_task.overrides).to_string();
        // `Launch::run_task` always sets the configuration.
        let network = run_task
            .network_configuration
            .and_then(|network| network.awsvpc_configuration)
            .unwrap_or_default();
        let ecs_parameters = EcsParameters {
            task_definition_arn: target.task_definition.to_owned(),
            task_count: 1,
            enable_ecs_managed_tags: true,
            network_configuration: ScheduleNetworkConfiguration {
                awsvpc_configuration: ScheduleAwsVpcConfiguration {
                    subnets: network.subnets,
                    security_groups: network.security_groups,
                    assign_public_ip: network.assign_public_ip,
                },
            },
            launch_type: run_task.launch_type,
            capacity_provider_strategy: run_task.capacity_provider_strategy,
            platform_version: run_task.platform_version,
            tags: vec![Tag::new(TAG, self.name.as_str())],
        };
        Ok(ScheduleRequest {
            group_name: self.group(),
            description: format!("pullprobe: {} from {subnet}", self.name),
            schedule_expression: self.rate(),
            state: "ENABLED",
            flexible_time_window: FlexibleTimeWindow { mode: "OFF" },
            target: ScheduleTarget {
                arn: target.cluster.to_owned(),
                role_arn: target.role.to_owned(),
                ecs_parameters,
                input,
                retry_policy: RetryPolicy {
                    // A run is useless once the next one starts. The minimum is 60 s (API
                    // reference, RetryPolicy).
                    maximum_event_age_in_seconds: self.interval_minutes * 60,
                    maximum_retry_attempts: MAX_RETRY_ATTEMPTS,
                },
                dead_letter_config: None,
            },
            kms_key_arn: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_scheduler_rejects_are_replaced() {
        let strategy = Placement::CapacityProviders(Vec::new());
        for (public, placement, version, expected, expected_version, notes) in [
            (
                true,
                strategy.clone(),
                Some("LATEST"),
                Placement::Fargate,
                None,
                1,
            ),
            (
                false,
                strategy.clone(),
                Some("1.4.0"),
                strategy,
                Some("1.4.0"),
                0,
            ),
            (true, Placement::Fargate, None, Placement::Fargate, None, 0),
        ] {
            let mut launch = Launch {
                assign_public_ip: public,
                placement,
                platform_version: version.map(str::to_owned),
                ..launch::sample_launch(0)
            };
            assert_eq!(translate(&mut launch).len(), notes);
            assert_eq!(launch.placement, expected);
            assert_eq!(launch.platform_version.as_deref(), expected_version);
        }
    }

    #[test]
    fn default_name_is_unique_per_service_and_short_enough() {
        assert_eq!(
            default_name("arn:aws:ecs:eu-west-1:123456789012:cluster/prod", "web"),
            "prod.web"
        );
        assert_ne!(default_name("a-b", "c"), default_name("a", "b-c"));
        let long = default_name("prod", &"s".repeat(255));
        assert_eq!(long.len(), MAX_NAME_LEN);
        assert_ne!(long, default_name("prod", &"s".repeat(254)));
    }
}
