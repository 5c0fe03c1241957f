//! `launch`: one probe in each subnet, their reports as they land.
//!
//! ```text
//! service ─▶ [`target`] ─▶ Launch ─▶ [`watch`]: RunTask ─▶ DescribeTasks ─▶ [`collect`]: log ─┬─▶ Report
//!                             │                                                   exit code ─┤
//!              [`definition`]: registered once                        [`witness`]: reason ───┘
//! ```

mod collect;
mod definition;
mod interface;
mod launcher;
mod rate_limiter;
mod request;
mod stopped_reason;
mod target;
mod watch;

pub use collect::SubnetReport;
pub use definition::{CONTAINER, FAMILY, Wanted as ProbeDefinition};
pub use launcher::{LAUNCHER_TAG, Launcher};
pub use request::{Launch, RUN_TAG, STARTED_BY, started_by};
pub use target::{DEFAULT_CLUSTER, resolve};
pub use watch::{Event, State, run};

use serde_json::json;

use super::aws::{self, Api};
use super::dry_run::AwsCalls;
use crate::cli::launch::LaunchCommand;

/// Subnets of one launch. A VPC has 200 by default (Amazon VPC quotas).
const MOST_SUBNETS: usize = 1_000;

/// Why a launch could not be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for cannot be done; the text says what to change.
    #[error("{0}")]
    Usage(String),
    /// AWS refused a call, or it could not be made.
    #[error("{0}")]
    Call(#[from] aws::Error),
}

/// Reads what is to be probed and has the probe's task definition registered. In a dry run the
/// calls that would follow are shown as well, and there is nothing to run.
pub async fn prepare(
    calls: &AwsCalls,
    flags: &LaunchCommand,
    run_id: String,
) -> Result<Option<Launch>, Error> {
    let (found, wanted) = target::resolve(
        calls,
        &flags.target,
        flags.like.as_deref(),
        flags.log_group.as_deref(),
    )
    .await?;
    let labels = flags.labels.iter().cloned().collect();
    let mut launch = Launch {
        run_id,
        labels,
        timeout: flags.timeout,
        ..found
    };
    // Before anything is registered: a plan that does not fit is refused.
    launch.definition = wanted.family();
    if let Some(subnet) = launch.subnets.first() {
        launch.body(subnet).map_err(Error::Usage)?;
    }
    launch.definition = wanted.ready(calls).await?;
    if !calls.is_dry() {
        return Ok(Some(launch));
    }
    for subnet in &launch.subnets {
        calls.shown(
            Api::ECS,
            "RunTask",
            &launch.body(subnet).map_err(Error::Usage)?,
            false,
        );
    }
    let task = format!(
        "arn:{}:ecs:{}:ACCOUNT:task/CLUSTER/TASK",
        launch.plan.region.partition().name(),
        launch.plan.region
    );
    calls.shown(
        Api::ECS,
        "DescribeTasks",
        &json!({ "cluster": launch.cluster, "tasks": [task] }),
        false,
    );
    if let Some(log) = launch.plan.logs.first() {
        let stream = format!("{}/{}/TASK", log.stream_prefix, definition::CONTAINER);
        let body = json!({ "logGroupName": log.group, "logStreamName": stream, "startFromHead": false, "limit": 20 });
        calls.shown(Api::LOGS, "GetLogEvents", &body, false);
    }
    let body = json!({ "cluster": launch.cluster, "task": task, "reason": watch::OVERDUE });
    calls.shown(Api::ECS, "StopTask", &body, false);
    Ok(None)
}
