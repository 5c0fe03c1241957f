//! The steps of a launch before the first RunTask.

use serde_json::json;

use super::collect;
use super::function::{self, PreparedLaunch};
use super::request::Launch;
use super::spec::{CarrierChoice, LaunchSpec};
use super::target;
use super::watch::TIMED_OUT_REASON;
use crate::operator::aws::Api;
use crate::operator::dry_run::{AwsCalls, Effect, to_json};
use crate::operator::ecs::{DescribeTasksRequest, StopTaskRequest};
use crate::operator::error::OperatorError;
use crate::safe_text::write_stderr;
use crate::vantage::Carrier;

/// Reads the target and registers the probe's task definition, or reads what functions need. In a
/// dry run also shows the calls that would follow, and returns `None`.
pub async fn prepare(
    calls: &AwsCalls,
    spec: &LaunchSpec,
) -> Result<Option<PreparedLaunch>, OperatorError> {
    let (launch, definition) = target::resolve(
        calls,
        &spec.target,
        spec.like.as_deref(),
        spec.log_group.as_deref(),
        spec.carrier != CarrierChoice::Lambda,
    )
    .await?;
    let mut launch = Launch {
        run_id: spec.run_id.clone(),
        labels: spec.labels.clone(),
        timeout: spec.timeout,
        ..launch
    };
    if spec.carrier == CarrierChoice::Lambda {
        let setup = function::prepare(calls, &launch, &spec.function).await?;
        if launch.security_groups.is_empty() {
            write_stderr(
                "pullprobe: without --security-groups, the functions get the default security group of their VPC, as tasks do",
            );
        }
        if !calls.is_dry() {
            return Ok(Some((launch, Some(setup))));
        }
        let cost = function::show_calls(calls, &launch, &setup)?;
        write_stderr(&format!(
            "pullprobe: dry run, nothing was changed; at most {cost}"
        ));
        return Ok(None);
    }
    // A plan that does not fit into the overrides is rejected before anything is registered.
    launch.definition = definition.family();
    if let Some(subnet) = launch.subnets.first() {
        launch.run_task(subnet)?;
    }
    launch.definition = definition.register(calls).await?;
    if !calls.is_dry() {
        return Ok(Some((launch, None)));
    }
    show_following_calls(calls, &launch)?;
    if spec.carrier == CarrierChoice::Auto && launch.placement.carrier() == Carrier::Fargate {
        let cost = function::cost_at_most(&launch);
        write_stderr(&format!(
            "pullprobe: dry run, nothing was changed. Where the probe's task does not start, and the role {} or --lambda-role is \
             there, a function follows: CreateFunction, GetFunction, Invoke and DeleteFunction (see --carrier lambda \
             --dry-run), in all subnets at most {cost}",
            function::role::ROLE_NAME
        ));
    }
    Ok(None)
}

/// Shows the calls that would follow RunTask, which a dry run does not send.
fn show_following_calls(calls: &AwsCalls, launch: &Launch) -> Result<(), OperatorError> {
    for subnet in &launch.subnets {
        let body = to_json(&launch.run_task(subnet)?)?;
        calls.show(Api::ECS, "RunTask", &body, Effect::Changes);
    }
    let region = &launch.plan.region;
    let tasks = [format!(
        "arn:{}:ecs:{region}:ACCOUNT:task/CLUSTER/TASK",
        region.partition().name()
    )];
    let describe = DescribeTasksRequest {
        cluster: &launch.cluster,
        tasks: &tasks,
        include: &[],
    };
    calls.show(
        Api::ECS,
        "DescribeTasks",
        &to_json(&describe)?,
        Effect::Changes,
    );
    if let Some(log) = launch.plan.logs.first() {
        let body = json!(collect::log_request(log, "TASK"));
        calls.show(Api::LOGS, "GetLogEvents", &body, Effect::Changes);
    }
    let stop = StopTaskRequest {
        cluster: &launch.cluster,
        task: &tasks[0],
        reason: TIMED_OUT_REASON,
    };
    calls.show(Api::ECS, "StopTask", &to_json(&stop)?, Effect::Changes);
    Ok(())
}
