//! `credentials/read`: whether the credentials could be loaded.

use std::time::Instant;

use crate::observation::{Dependency, Observation, Outcome, Phase, TargetKey};
use crate::probe::context::{ProbeContext, SharedCredentials};

/// Starts to record the result of loading credentials.
pub fn spawn_check(context: &ProbeContext, credentials: &SharedCredentials) {
    let (recorder, credentials) = (context.recorder.clone(), credentials.clone());
    context.recorder.spawn(async move {
        recorder.record(observe(credentials).await);
    });
}

async fn observe(credentials: SharedCredentials) -> Observation {
    let started = Instant::now();
    let credentials = credentials.await;
    let (outcome, detail) = match credentials.as_ref() {
        Ok(credentials) => (
            Outcome::Passed,
            match &credentials.role_arn {
                Some(role) => format!("credentials of {role}"),
                None => "credentials without a role name".into(),
            },
        ),
        Err(unavailable) => (
            Outcome::Failed {
                failure: unavailable.failure,
            },
            unavailable.detail.clone(),
        ),
    };
    let mut observation = Observation::new(
        TargetKey::of(Dependency::Credentials),
        Dependency::Credentials,
        Phase::Read,
        outcome,
    );
    observation.elapsed_ms = crate::millis(started.elapsed());
    observation.detail = detail;
    observation
}
