//! What a fleet costs each month.

use crate::operator::launch::CarrierChoice;
use crate::operator::price::{
    LAMBDA_GB_SECOND, LAMBDA_REQUEST, LOG_GB, METRIC, MonthlyCost, REPORT_GB, S3_READ, S3_WRITE,
    STATE_TRANSITION, TASK_MINUTE,
};

/// State transitions of a child execution: start, the worker, and end; and of the execution around
/// it.
const TRANSITIONS_OF_TARGET: f64 = 3.0;
const TRANSITIONS_OF_RUN: f64 = 6.0;

/// Gigabytes of a worker's memory, and seconds that it waits for its tasks.
const WORKER_GB: f64 = 0.5;
const WORKER_SECONDS: f64 = 90.0;

/// Gigabyte-seconds of the function that carries the probe: 512 MB for half the deadline.
const CARRIER_GB_SECONDS: f64 = 0.5 * 15.0;

/// Gigabytes and seconds of the last step, for each thousand reports.
const REDUCE_GB: f64 = 3.0;
const REDUCE_SECONDS_PER_THOUSAND: f64 = 5.0;

/// Objects that a worker writes, and the last step reads, for each target.
const WRITES_OF_TARGET: f64 = 3.0;
const READS_OF_TARGET: f64 = 3.0;

/// Metrics of a fleet: `Vantages`, `Failing`, `NoReport`.
const METRICS: f64 = 3.0;

/// Nights of a month.
const NIGHTS: f64 = 30.4;

/// Estimates the cost of nightly runs over `targets` services with `subnets` subnets in total.
pub fn nightly(targets: u32, subnets: u32, carrier: CarrierChoice) -> MonthlyCost {
    let runs = f64::from(targets) * NIGHTS;
    let probes = f64::from(subnets) * NIGHTS;
    let mut cost = MonthlyCost::default();
    if carrier == CarrierChoice::Lambda {
        cost.add(
            "functions as carriers",
            probes,
            LAMBDA_REQUEST + CARRIER_GB_SECONDS * LAMBDA_GB_SECOND,
        );
    } else {
        cost.add("task minutes on Fargate", probes, TASK_MINUTE);
    }
    cost.add(
        "workers on AWS Lambda",
        runs,
        LAMBDA_REQUEST + WORKER_GB * WORKER_SECONDS * LAMBDA_GB_SECOND,
    );
    cost.add(
        "state transitions",
        runs * TRANSITIONS_OF_TARGET + NIGHTS * TRANSITIONS_OF_RUN,
        STATE_TRANSITION,
    );
    let seconds = probes / 1_000.0 * REDUCE_SECONDS_PER_THOUSAND;
    cost.add(
        "seconds of the last step",
        seconds,
        REDUCE_GB * LAMBDA_GB_SECOND,
    );
    cost.add(
        "objects written to Amazon S3",
        runs * WRITES_OF_TARGET,
        S3_WRITE,
    );
    cost.add(
        "objects read from Amazon S3",
        runs * READS_OF_TARGET,
        S3_READ,
    );
    cost.add(
        "GB of reports in CloudWatch Logs",
        probes * REPORT_GB,
        LOG_GB,
    );
    cost.add("custom metrics of the fleet", METRICS, METRIC);
    cost.assume(format!(
        "{targets} targets with {subnets} subnets in total, once a night"
    ));
    cost.assume("a task of 256 CPU units and 512 MB runs for less than one minute, the minimum that Fargate bills");
    cost.assume("a worker has 512 MB and waits 90 s for its tasks; a report has 20 KB");
    cost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_thousand_subnets_cost_tens_of_dollars_a_month() {
        let tasks = nightly(1_000, 4_000, CarrierChoice::Auto).total();
        let functions = nightly(1_000, 4_000, CarrierChoice::Lambda).total();
        assert!((40.0..80.0).contains(&tasks), "{tasks}");
        assert!(functions < tasks, "{functions}");
    }
}
