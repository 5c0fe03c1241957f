//! The dashboard of a fleet.

use super::spec::{FleetPart, FleetTemplate};
use crate::render::dashboard::{Dashboard, DashboardMetric};
use crate::render::tree::Tree;

/// Seconds of a point: a day for what a run counts, an hour for what its functions do.
const DAY: u32 = 86_400;
const HOUR: u32 = 3_600;

/// Returns the body, with references.
pub fn body(fleet: &FleetTemplate) -> Tree {
    let mut dashboard = Dashboard::of("{{Region}}");
    let of_fleet = |name: &'static str, label: &str| DashboardMetric {
        namespace: "PullProbe",
        name,
        dimensions: vec![("Fleet", fleet.name.clone())],
        label: label.to_owned(),
    };
    let of_worker = |name: &'static str, label: &str| DashboardMetric {
        namespace: "AWS/Lambda",
        name,
        dimensions: vec![("FunctionName", "{{WorkerName}}".to_owned())],
        label: label.to_owned(),
    };
    let of_machine = |name: &'static str, label: &str| DashboardMetric {
        namespace: "AWS/States",
        name,
        dimensions: vec![("StateMachineArn", "{{StateMachine}}".to_owned())],
        label: label.to_owned(),
    };
    let log = |function: &str| format!("/pullprobe/{}/{function}", fleet.name);
    if fleet.part == FleetPart::Hub {
        let failing = [
            of_fleet("Failing", "subnets in which a task would not start"),
            of_fleet("NoReport", "targets without a complete report"),
        ];
        dashboard.graph("What fails", &failing, "Maximum", DAY);
        let all = [of_fleet("Vantages", "subnets with a report")];
        dashboard.graph("What was probed", &all, "Maximum", DAY);
        let runs = [
            of_machine("ExecutionsSucceeded", "succeeded"),
            of_machine("ExecutionsFailed", "failed"),
            of_machine("ExecutionsTimedOut", "timed out"),
        ];
        dashboard.graph("Runs", &runs, "Sum", DAY);
    }
    let workers = [
        of_worker("Invocations", "invoked"),
        of_worker("Errors", "failed"),
        of_worker("Throttles", "throttled"),
    ];
    dashboard.graph("Workers", &workers, "Sum", HOUR);
    if fleet.part == FleetPart::Hub {
        let query = "filter ispresent(NoReport) | fields @timestamp, Vantages, Failing, NoReport | \
            sort @timestamp desc | limit 30";
        dashboard.table("The last runs", &log("reduce"), query);
    } else {
        let query = "filter pullprobe = 'failed-start' | \
            fields @timestamp, service, status, causes.0, summary | sort @timestamp desc | limit 50";
        dashboard.table("Tasks that did not start", &log("worker"), query);
    }
    Tree::from(&dashboard.body())
}
