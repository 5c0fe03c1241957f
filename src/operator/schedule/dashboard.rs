//! The dashboard of a set, and CloudWatch's calls for it.

use serde_json::Value;

use super::set::ScheduleSet;
use crate::operator::aws::{Api, CallError};
use crate::operator::dry_run::AwsCalls;
use crate::render::dashboard::{Dashboard, DashboardMetric};

/// Subnets of a graph: more lines cannot be told apart.
const SUBNETS_OF_GRAPH: usize = 50;

/// The reports that do not pass, the last first.
const FAILING_REPORTS: &str = "filter verdict.status = 'fail' | \
    fields @timestamp, run.labels.schedule, verdict.summary | sort @timestamp desc | limit 50";

/// Returns the name of a set's dashboard. It may have no dots, which the names of sets have.
pub fn dashboard_name(group: &str) -> String {
    group.replace('.', "__")
}

impl ScheduleSet {
    /// Returns the body of the dashboard: failures and durations by subnet, and the reports that
    /// fail.
    pub fn dashboard(&self) -> Value {
        let region = self.launch.plan.region.to_string();
        let mut dashboard = Dashboard::of(region.as_str());
        for subnets in self.launch.subnets.chunks(SUBNETS_OF_GRAPH) {
            for (title, name) in [
                ("Runs in which the task would not start", "Failed"),
                ("Milliseconds of a run", "DurationMs"),
            ] {
                let metrics: Vec<_> = subnets
                    .iter()
                    .map(|subnet| DashboardMetric {
                        namespace: "PullProbe",
                        name,
                        dimensions: vec![
                            ("Region", region.clone()),
                            ("Schedule", self.dimension(subnet)),
                        ],
                        label: subnet.clone(),
                    })
                    .collect();
                dashboard.graph(title, &metrics, "Maximum", self.interval_minutes * 60);
            }
        }
        let title = "Reports of subnets in which the task would not start";
        dashboard.table(title, &self.log_group, FAILING_REPORTS);
        dashboard.body()
    }
}

/// Creates or replaces the dashboard of a set.
pub async fn put_dashboard(calls: &AwsCalls, set: &ScheduleSet) -> Result<(), CallError> {
    let fields = [
        ("DashboardName".to_owned(), dashboard_name(&set.group())),
        ("DashboardBody".to_owned(), set.dashboard().to_string()),
    ];
    calls
        .change_query(Api::CLOUDWATCH, "PutDashboard", &fields)
        .await
}

/// Deletes the dashboard of a schedule group, if it is there still.
pub async fn delete_dashboard(calls: &AwsCalls, name: &str) -> Result<(), CallError> {
    let fields = [("DashboardNames.member.1".to_owned(), name.to_owned())];
    match calls
        .change_query(Api::CLOUDWATCH, "DeleteDashboards", &fields)
        .await
    {
        // CloudWatch API reference, DeleteDashboards: ResourceNotFound.
        Err(error) if error.code() == "ResourceNotFound" => Ok(()),
        done => done,
    }
}
