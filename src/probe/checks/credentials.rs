//! `credentials/read`: whether the credentials could be loaded.

use std::time::Instant;

use crate::aws::credentials::NOT_SET;
use crate::observation::{Dependency, Failure, Observation, Outcome, Phase, TargetKey};
use crate::probe::context::{ProbeContext, SharedCredentials};
use crate::safe_text::{SafeText, safe_text};

/// Starts a check that records whether the credentials could be loaded.
pub fn spawn_check(context: &ProbeContext, credentials: &SharedCredentials) {
    let (recorder, credentials) = (context.recorder.clone(), credentials.clone());
    let expected = context.settings.expect_credentials;
    context.recorder.spawn(async move {
        recorder.record(observe(credentials, expected).await);
    });
}

/// Why missing credentials are not a failure on a machine outside ECS.
const NOT_EXPECTED: &str = "this machine is not an ECS task and has no AWS credentials; run the probe \
    in a task whose task role is the task execution role (pullprobe launch does), or set \
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the instance an instance profile";

async fn observe(credentials: SharedCredentials, expected: bool) -> Observation {
    let started = Instant::now();
    let credentials = credentials.await;
    // The credentials were requested before the checks began.
    let elapsed = match credentials.as_ref() {
        Ok(credentials) => credentials.elapsed,
        Err(_) => started.elapsed(),
    };
    let (outcome, detail) = match credentials.as_ref() {
        Ok(credentials) => (
            Outcome::Passed,
            match (&credentials.role_arn, &credentials.role_name) {
                (Some(role), _) => safe_text!["credentials of ", role.to_string()],
                (None, Some(role)) => safe_text!["credentials of the instance's role ", role],
                (None, None) => "credentials without a role name".into(),
            },
        ),
        Err(unavailable) if !expected && unavailable.failure == Failure::NoCredentials => (
            Outcome::NotChecked {
                // Profiles and instances report their own reason.
                why: if unavailable.detail.starts_with(NOT_SET) {
                    NOT_EXPECTED.into()
                } else {
                    unavailable.detail.clone()
                },
            },
            SafeText::default(),
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
    observation.elapsed_ms = crate::millis(elapsed);
    observation.detail = detail;
    observation
}
