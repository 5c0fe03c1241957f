//! `mount`: checks whether the NFS server of a file system responds. Nothing is mounted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::observation::{Dependency, Failure, Observation, Outcome, Phase};
use crate::plan::{FileSystem, Plan, Target};
use crate::probe::context::ProbeContext;
use crate::probe::net::onc_rpc;
use crate::probe::target;
use crate::safe_text::safe_text;

/// Time limit of a reply. NULL does no work, so the reply takes one round trip. The EFS mount
/// helper gives a whole mount 15 s; the run has 30.
const REPLY_TIMEOUT: Duration = Duration::from_millis(4_400);

/// Starts a check that connects to each address of a mount target and calls NFS there.
pub fn spawn_check(context: &ProbeContext, target: &Target) {
    let (check_context, target) = (context.clone(), target.clone());
    context.recorder.spawn(async move {
        let peers = target::resolve(&check_context, &target).await;
        let checks = peers
            .into_iter()
            .map(|peer| check_nfs(&check_context, &target, peer));
        join_all(checks).await;
    });
}

/// Sends a NULL call over the probed connection, and records the result.
async fn check_nfs(context: &ProbeContext, target: &Target, peer: SocketAddr) {
    let Some(connection) = target::connect(context, target, peer).await else {
        return;
    };
    let started = Instant::now();
    let id = std::process::id();
    let reply = timeout(REPLY_TIMEOUT, onc_rpc::call_null(connection.stream, id)).await;
    let (failure, detail) = match reply {
        Ok(Ok(())) => (None, "NFS version 4 responds; nothing was mounted".into()),
        Ok(Err(error)) => (Some(error.failure), error.detail),
        Err(_) => (
            Some(Failure::Stalled),
            "connected, but NFS does not respond".into(),
        ),
    };
    let outcome = failure.map_or(Outcome::Passed, |failure| Outcome::Failed { failure });
    let mut observation = context.observe_at(target, Phase::Mount, outcome, started, peer);
    observation.id.narrow(peer.ip());
    observation.detail = detail;
    context.recorder.record(observation);
}

/// Records, for each volume, the options that only a mount would check.
pub fn record_unchecked_options(context: &ProbeContext, plan: &Plan) {
    for volume in &plan.file_systems {
        let options = options_of(volume);
        if options.is_empty() {
            continue;
        }
        let why = safe_text![
            "not checked: ",
            options.join(", "),
            ". The probe sends an NFS NULL call and does not mount",
        ];
        let mut observation = Observation::new(
            plan.target(volume.target).key.clone(),
            Dependency::Efs,
            Phase::Mount,
            Outcome::NotChecked { why },
        );
        observation
            .id
            .narrow(format_args!("options of {}", volume.id));
        observation.subject = Some(volume.id.clone());
        observation.attempts = 0;
        context.recorder.record(observation);
    }
}

fn options_of(volume: &FileSystem) -> Vec<String> {
    let root = volume.root_directory.as_deref().filter(|root| *root != "/");
    [
        volume
            .transit_encryption
            .then(|| "encryption in transit".into()),
        volume
            .iam
            .then(|| "the task role's permission to mount (IAM)".into()),
        volume
            .access_point
            .as_ref()
            .map(|id| format!("the access point {id}")),
        root.map(|root| format!("the root directory {root}")),
    ]
    .into_iter()
    .flatten()
    .collect()
}
