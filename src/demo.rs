//! An embedded AWS on loopback, and a run of the probe against it: offline, unprivileged and in one
//! process.
//!
//! ```text
//!  fault ──▶ Scenario ──▶ EmbeddedAws: DNS · metadata, credentials · ECR API · registry · layer bucket · Logs · secrets
//!            (data)        ▲
//!                          └── probe, with only its resolver, its roots and its ports changed
//! ```
//!
//! Each module imports only those before it: names, `start_error`, `service_error`, path,
//! scenario, fault, image, http, authority, signature, zone, resolver, task, state, ecr, bucket,
//! registry, logs, secrets, cloud, `embedded_aws`.

mod authority;
mod bucket;
mod cloud;
mod ecr;
pub mod embedded_aws;
pub mod fault;
mod http;
mod image;
mod logs;
pub mod names;
pub mod path;
mod registry;
mod resolver;
pub mod scenario;
mod secrets;
pub mod service_error;
mod signature;
mod start_error;
mod state;
mod task;
mod zone;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{Expect, Plan, PlanInput};
use crate::probe::ObservationLog;
use crate::report::{Report, ReportMetrics};
use crate::run::{self, Environment, RunOptions};
use crate::vantage;
use crate::vault::Vault;
use embedded_aws::EmbeddedAws;
pub use fault::Fault;
use scenario::Scenario;
pub use start_error::StartError;

/// Longer than the sum of the probe's own deadlines, so that a demo is never cut off.
pub const RUN_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns every fault of the demo.
pub fn faults() -> &'static [Fault] {
    fault::ALL
}

/// Runs the probe in a healthy subnet, or in one with `fault`. Fails only if the demo itself cannot
/// start.
pub async fn observe(fault: Option<&Fault>) -> Result<Report, StartError> {
    let scenario = fault.map_or_else(Scenario::healthy, Fault::scenario);
    let mut plan =
        plan(scenario.expect_private).map_err(|error| StartError::Probe(error.to_string()))?;
    let aws = EmbeddedAws::start(scenario)?;
    for target in &mut plan.targets {
        target.port = aws.port;
    }
    let run = run::run(options(&aws, plan).await, std::future::pending());
    Box::pin(run).await.map_err(StartError::Probe)
}

/// Returns the plan of the demo's task.
fn plan(expect_private: bool) -> Result<Plan, Box<dyn std::error::Error>> {
    let input = PlanInput {
        images: vec![names::IMAGE.parse()?],
        secrets: vec![
            format!("{}:password::", names::SECRET).parse()?,
            names::PARAMETER.parse()?,
        ],
        log_group: Some(names::LOG_GROUP.into()),
        log_stream_prefix: "pullprobe".into(),
        platform: Some(names::PLATFORM.parse()?),
        expect: if expect_private {
            Expect::Private
        } else {
            Expect::Any
        },
        ..PlanInput::default()
    };
    Ok(Plan::new(input, names::REGION.parse()?)?)
}

async fn options(aws: &EmbeddedAws, plan: Plan) -> RunOptions {
    let variables = aws.variables.clone();
    let environment: Environment = Arc::new(move |name: &str| variables.get(name).cloned());
    let vault = Arc::<Vault>::default();
    let credentials = run::spawn_credentials(&environment, &vault);
    RunOptions {
        metrics: ReportMetrics::default(),
        instance: None,
        plan,
        metadata: vantage::discover(&|name: &str| environment(name)).await,
        resolvers: vec![aws.resolver],
        roots: Arc::clone(&aws.roots),
        environment,
        credentials,
        deadline: RUN_TIMEOUT,
        run_id: "demo".into(),
        labels: BTreeMap::new(),
        vault,
        observation_log: ObservationLog::default(),
        function: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_aws_has_every_host_of_the_plan() {
        let plan = plan(false).unwrap();
        assert_eq!(plan.targets.len(), names::SERVICES.len());
        for target in plan.targets {
            assert_eq!(
                target.host,
                names::host_name(target.dependency),
                "{}",
                target.dependency
            );
        }
    }
}
