//! `mount`: whether NFS itself answers. Nothing is mounted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::observation::{Dependency, Failure, Observation, Outcome, Phase};
use crate::plan::{FileSystem, Target};
use crate::probe::net::onc_rpc;
use crate::probe::target::{self, Probe};

/// NULL does no work, so an answer takes one round trip. The EFS mount helper gives a whole mount
/// 15 s; the run has 30.
const ANSWER_DEADLINE: Duration = Duration::from_millis(4_400);

/// Greets the file system over the connection that was probed, and records what came back.
pub async fn greet(probe: &Probe, file_system: &Target, stream: TcpStream, peer: SocketAddr) {
    let started = Instant::now();
    let id = std::process::id();
    let answered = timeout(ANSWER_DEADLINE, onc_rpc::call_null(stream, id)).await;
    let (outcome, detail) = match answered {
        Ok(Ok(())) => (
            Outcome::Passed,
            "NFS version 4 answers; nothing was mounted".to_owned(),
        ),
        Ok(Err(refused)) => (
            Outcome::Failed {
                failure: refused.failure,
            },
            refused.detail,
        ),
        Err(_) => (
            Outcome::Failed {
                failure: Failure::Stalled,
            },
            "connected, and NFS does not answer".into(),
        ),
    };
    let mut greeted = target::at(
        probe,
        target::observe(file_system, Phase::Mount, outcome, started),
        peer,
    );
    greeted.id.narrow(peer.ip());
    greeted.detail = detail;
    probe.recorder.record(greeted);
}

/// Says which options of the volume only a mount would try.
pub fn say_what_is_not_tried(probe: &Probe, target: &Target, volume: &FileSystem) {
    let root = volume.root_directory.as_deref().filter(|root| *root != "/");
    let options: Vec<String> = [
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
    .collect();
    if options.is_empty() {
        return;
    }
    let why = format!(
        "only a mount would try {}; here NFS is greeted, no more",
        options.join(", ")
    );
    let mut left_out = Observation::new(
        target.key.clone(),
        Dependency::Efs,
        Phase::Mount,
        Outcome::NotChecked { why },
    );
    left_out.id.narrow(format_args!("options of {}", volume.id));
    left_out.subject = Some(volume.id.clone());
    left_out.attempts = 0;
    probe.recorder.record(left_out);
}
