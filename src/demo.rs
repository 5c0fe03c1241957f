//! An embedded AWS on loopback, and the very probe against it: offline, unprivileged, in one
//! process.
//!
//! ```text
//!  fault ──▶ Scenario ──▶ World: DNS · metadata, credentials · ECR API · registry · layer bucket · Logs · secrets
//!            (data)        ▲
//!                          └── probe, with its resolver, its roots and its ports changed, and nothing else
//! ```

mod authority;
mod bucket;
mod cloud;
mod ecr;
pub mod fault;
mod http;
mod image;
mod logs;
pub mod path;
pub mod refusal;
mod registry;
mod resolver;
pub mod scenario;
mod secrets;
mod signature;
mod task;
pub mod world;
mod zone;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{Expect, Plan, PlanInput};
use crate::probe::ObservationLog;
use crate::report::Report;
use crate::run::{self, Environment, RunOptions};
use crate::vantage;
pub use fault::Fault;
use scenario::Scenario;
use world::World;

/// Why the demo could not start. Not a fault of the demo's AWS: this machine's.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Loopback.
    #[error("the demo cannot listen on 127.0.0.0/8: {0}")]
    Listen(#[from] std::io::Error),
    /// The throw-away authority.
    #[error("the demo cannot make its certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS.
    #[error("the demo cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The probe.
    #[error("the demo cannot start the probe: {0}")]
    Probe(String),
}

/// Longer than every deadline of the probe's own together, so that a demo shows what it found and
/// not that it was cut.
const DEADLINE: Duration = Duration::from_secs(30);

/// Every fault that can be chosen.
pub fn faults() -> &'static [Fault] {
    fault::ALL
}

/// Runs the probe in a healthy subnet, or in one with a fault. Fails only if the demo itself cannot
/// start.
pub async fn observe(fault: Option<&Fault>) -> Result<Report, StartError> {
    let setting = fault.map_or_else(Scenario::healthy, Fault::setting);
    let mut plan =
        plan(setting.expect_private).map_err(|error| StartError::Probe(error.to_string()))?;
    let world = World::start(setting)?;
    for target in &mut plan.targets {
        target.port = world.port;
    }
    let run = run::run(options(&world, plan).await, std::future::pending());
    Box::pin(run).await.map_err(StartError::Probe)
}

/// What the task of the demo wants.
fn plan(expect_private: bool) -> Result<Plan, Box<dyn std::error::Error>> {
    let wanted = PlanInput {
        images: vec![
            scenario::IMAGE
                .parse()
                .map_err(|error| format!("{error}"))?,
        ],
        secrets: vec![
            format!("{}:password::", scenario::SECRET).parse()?,
            scenario::PARAMETER.parse()?,
        ],
        log_group: Some(scenario::LOG_GROUP.into()),
        log_stream_prefix: "pullprobe".into(),
        platform: Some(scenario::PLATFORM.parse()?),
        expect: if expect_private {
            Expect::Private
        } else {
            Expect::Any
        },
        ..PlanInput::default()
    };
    Ok(Plan::new(wanted, scenario::REGION.parse()?)?)
}

async fn options(world: &World, plan: Plan) -> RunOptions {
    let variables = world.variables.clone();
    let environment: Environment = Arc::new(move |name: &str| variables.get(name).cloned());
    let credentials = run::spawn_credentials(&environment);
    RunOptions {
        plan,
        metadata: vantage::discover(&|name: &str| environment(name)).await,
        resolvers: vec![world.resolver],
        roots: Arc::clone(&world.roots),
        environment,
        credentials,
        deadline: DEADLINE,
        run_id: "demo".into(),
        labels: BTreeMap::new(),
        observation_log: ObservationLog::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_has_every_host_of_the_plan() {
        let plan = plan(false).unwrap();
        assert_eq!(plan.targets.len(), scenario::SERVICES.len());
        for target in plan.targets {
            assert_eq!(
                target.host,
                scenario::host(target.dependency),
                "{}",
                target.dependency
            );
        }
    }
}
