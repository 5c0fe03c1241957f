//! The only module that uses the network on the task's behalf: checks every target of a plan and
//! returns what it observed.
//!
//! Checks send their observations to one receiver and share nothing else, so the report does not
//! depend on the order in which they finish. The probe does not diagnose; that is
//! [`crate::diagnose`].
//!
//! A module comes after all that it imports.

/// Network protocols.
mod net;

/// Collects observations.
mod recorder;

/// What every check needs.
mod context;

/// Resolves and connects a target.
mod target;

/// Who sent an answer.
mod speaker;

/// Calls to a connected target, and signed AWS calls.
mod aws_call;

/// Hosts that a response names.
mod redirects;

/// Whether a secret's value has the required shape.
mod secret_shape;

/// The checks, one module each.
mod checks;

/// Fetches the task definition before a run.
mod remote_task_definition;

/// Adds what was not reached.
mod unreached;

/// Measures how long the machine kept the probe waiting.
mod starvation;

/// What is read from the network, for fuzzing.
#[cfg(all(feature = "operator", any(test, fuzzing)))]
pub(crate) mod fuzz;

use std::sync::Arc;

use rustls::RootCertStore;
use tokio::sync::oneshot;

pub use checks::log_stream::LogStream;
pub use context::{ProbeSettings, SharedCredentials};
pub use net::resolve::StubResolver;
pub use net::tcp::{ip_family_of_this_machine, local_address_towards};
pub use recorder::ObservationLog;
pub use remote_task_definition::{LOCAL_FILE_HINT, TaskDefinitionLocation, fetch_task_definition};
pub use unreached::Interruption;

use crate::observation::{Dependency, Observation, Phase};
use crate::plan::Plan;
use crate::vantage::ClockDrift;
use checks::{clock, credentials, efs, environment_file, image_pull, log_stream, secrets};
use context::ProbeContext;
use net::tls::TlsClient;
use recorder::Recorder;
use redirects::RedirectTargets;
use starvation::StarvationMeter;
use target::TargetHandle;

/// The result of a run.
pub struct ProbeResult {
    /// Sorted by target, phase and ID.
    pub observations: Vec<Observation>,
    /// The log stream that the report can be written to.
    pub log: Option<LogStream>,
}

/// Runs the checks of `plan` until all are done or `until` completes; phases that were not observed
/// by then are `not-reached`. Fails if the root certificates are unusable.
pub async fn run(
    plan: &Plan,
    settings: ProbeSettings,
    roots: Arc<RootCertStore>,
    credentials: SharedCredentials,
    observation_log: &ObservationLog,
    until: impl Future<Output = Interruption>,
) -> Result<ProbeResult, String> {
    let tls = TlsClient::new(roots)?;
    let meter = StarvationMeter::start();
    let clock_drift = settings.clock_drift;
    let (recorder, mut observations) = Recorder::new();
    let mut log = spawn_checks(
        plan,
        &ProbeContext::new(settings, tls, recorder),
        &credentials,
    );

    let interruption = {
        let done = async {
            while let Some(observation) = observations.recv().await {
                observation_log.insert(*observation);
            }
        };
        tokio::select! {
            () = done => None,
            interruption = until => Some(interruption),
        }
    };
    while let Ok(observation) = observations.try_recv() {
        observation_log.insert(*observation);
    }
    let mut observations = add_derived(
        plan,
        observation_log.snapshot(),
        clock_drift.as_ref(),
        interruption.as_ref(),
    );
    let starvation = meter.stop();
    for clock in observations
        .iter_mut()
        .filter(|seen| seen.dependency == Dependency::Clock)
    {
        clock.starvation = starvation;
    }
    Ok(ProbeResult {
        observations,
        log: log.as_mut().and_then(|log| log.try_recv().ok()),
    })
}

/// Adds the observations that follow from the others: the clock, and what was not reached.
pub fn add_derived(
    plan: &Plan,
    mut observations: Vec<Observation>,
    clock_drift: Option<&ClockDrift>,
    interruption: Option<&Interruption>,
) -> Vec<Observation> {
    observations.push(clock::check_clock(&observations, clock_drift));
    unreached::fill_unreached(&mut observations, plan, interruption);
    observations
}

/// Starts every check of the plan. Each ends by itself, within its own timeouts. The returned
/// receiver yields the log stream for the report once it is open.
fn spawn_checks(
    plan: &Plan,
    context: &ProbeContext,
    credentials: &SharedCredentials,
) -> Option<oneshot::Receiver<LogStream>> {
    let targets = plan.map_targets(|target| {
        if target.phases.contains(&Phase::Mount) {
            efs::spawn_check(context, target);
            TargetHandle::without_tls()
        } else {
            TargetHandle::connect(context, target)
        }
    });
    if plan.needs_credentials() {
        credentials::spawn_check(context, credentials);
    }
    let redirects = RedirectTargets::default();
    image_pull::spawn_image_pulls(plan, context, &targets, credentials, &redirects);
    secrets::spawn_checks(plan, context, &targets, credentials);
    environment_file::spawn_checks(plan, context, &targets, credentials, &redirects);
    for unchecked in unreached::observe_unchecked(plan) {
        context.recorder.record(unchecked);
    }
    efs::record_unchecked_options(context, plan);
    log_stream::spawn_checks(plan, context, &targets, credentials)
}
