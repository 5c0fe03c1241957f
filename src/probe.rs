//! The only part that touches the network on the task's behalf: climbs every ladder of a plan and
//! says what was seen.
//!
//! Tasks hand back observations, one place folds them: nothing is shared, and the order in which
//! tasks finish never reaches the report. The probe does not judge; that is [`crate::diagnose`]'s.

mod authorize;
mod blob;
mod call;
mod clock;
mod complete;
mod connect;
mod discovered;
mod document;
mod environment_file;
mod exchange;
mod form;
mod handshake;
mod login;
mod manifest;
mod mount;
mod pull;
mod read;
mod resolve;
mod rpc;
mod stall;
mod target;
mod write;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, Shared};
use rustls::RootCertStore;
use tokio::sync::{mpsc, oneshot};

pub use connect::own_address;
pub use document::{Document, LOCAL_FILE_HINT, read as read_document};
pub use resolve::Resolver;
pub use write::LogStream;

use crate::aws::credentials::{Credentials, Unavailable};
use crate::network_location::NetworkLocation;
use crate::observation::{Dependency, Observation, ObservationId, Outcome, Phase, TargetKey};
use crate::plan::{Plan, TargetIndex, TargetMap, Unchecked};
use target::{Probe, TargetHandle};

/// How and from where a plan is carried out.
pub struct ProbeContext {
    /// Who is asked for names.
    pub resolver: Resolver,
    /// Where the task sits.
    pub place: NetworkLocation,
    /// Whether the plan expects private answers.
    pub expect_private: bool,
    /// The run's id, part of the log stream's name.
    pub run_id: String,
    /// The clock's own opinion of itself, from the task metadata.
    pub clock: Option<crate::vantage::ClockDrift>,
}

impl ProbeContext {
    /// Of a lookup before the run, whose place does not matter.
    pub fn of_a_lookup(resolver: Resolver) -> Self {
        Self {
            resolver,
            place: NetworkLocation::default(),
            expect_private: false,
            run_id: String::new(),
            clock: None,
        }
    }
}

/// Credentials that several ladders wait for.
pub type SharedCredentials = Shared<BoxFuture<'static, Arc<Result<Credentials, Unavailable>>>>;

/// Why a run ended before its plan did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interruption(pub String);

/// What a run saw.
pub struct Seen {
    /// Sorted by target, phase and id.
    pub observations: Vec<Observation>,
    /// The open log stream, for the report.
    pub log: Option<LogStream>,
}

/// Carries out `plan` until it is done or `until` happens; then everything not seen is
/// `not-reached`.
pub async fn run(
    plan: &Plan,
    setting: ProbeContext,
    roots: Arc<RootCertStore>,
    credentials: SharedCredentials,
    sight: &ObservationLog,
    until: impl Future<Output = Interruption>,
) -> Result<Seen, String> {
    let tls = handshake::Tls::new(roots)?;
    let clock_drift = setting.clock;
    let (recorder, mut events) = Recorder::new();
    let mut log = begin(
        plan,
        &Probe::new(Arc::new(setting), tls, recorder),
        &credentials,
    );

    let ended = {
        let done = async {
            while let Some(observation) = events.recv().await {
                sight.add(*observation);
            }
        };
        tokio::select! {
            () = done => None,
            interruption = until => Some(interruption),
        }
    };
    while let Ok(observation) = events.try_recv() {
        sight.add(*observation);
    }
    let observations = complete(plan, sight.snapshot(), clock_drift.as_ref(), ended.as_ref());
    Ok(Seen {
        observations,
        log: log.as_mut().and_then(|log| log.try_recv().ok()),
    })
}

/// Adds what the observations say together, and what of the plan was never reached.
pub fn complete(
    plan: &Plan,
    mut observations: Vec<Observation>,
    drift: Option<&crate::vantage::ClockDrift>,
    ended: Option<&Interruption>,
) -> Vec<Observation> {
    observations.push(clock::observe(&observations, drift));
    complete::complete(&mut observations, plan, ended);
    observations
}

/// Starts every task of the plan. They end by themselves, each within its own deadlines.
fn begin(
    plan: &Plan,
    probe: &Probe,
    credentials: &SharedCredentials,
) -> Option<oneshot::Receiver<LogStream>> {
    let climbs = plan.map_targets(|target| TargetHandle::start(probe.clone(), target.clone()));
    let recorder = probe.recorder.clone();
    if plan.needs_credentials() {
        recorder.spawn(report_credentials(recorder.clone(), credentials.clone()));
    }

    let discovered = discovered::RedirectTargets::default();
    begin_pulls(plan, probe, &climbs, credentials, &discovered);
    read::begin(plan, probe, &climbs, credentials);
    environment_file::begin(plan, probe, &climbs, credentials, &discovered);
    for (n, unchecked) in plan.unchecked.iter().enumerate() {
        recorder.record(not_checked(n, unchecked));
    }
    for file_system in &plan.file_systems {
        mount::say_what_is_not_tried(probe, plan.target(file_system.target), file_system);
    }
    write::begin(plan, probe, &climbs, credentials)
}

fn begin_pulls(
    plan: &Plan,
    probe: &Probe,
    climbs: &TargetMap<TargetHandle>,
    credentials: &SharedCredentials,
    discovered: &discovered::RedirectTargets,
) {
    let mut tokens: BTreeMap<TargetIndex, authorize::SharedToken> = BTreeMap::new();
    let mut logins: BTreeMap<(TargetIndex, &str), login::SharedLogin> = BTreeMap::new();
    for image in &plan.images {
        let token = image.token.map(|target| {
            tokens
                .entry(target)
                .or_insert_with(|| {
                    let climb = climbs[target].clone();
                    authorize::share(probe, climb, credentials, &image.reference)
                })
                .clone()
        });
        let login = image.login.as_ref().map(|login| {
            let shared = logins
                .entry((login.target, &login.secret))
                .or_insert_with(|| {
                    read::share_login(probe, &climbs[login.target], credentials, login)
                })
                .clone();
            pull::LoginOfPull {
                secret: login.secret.clone(),
                read: read::login_id(plan.target(login.target), login),
                login: shared,
            }
        });
        let layers = image
            .layers
            .map(|target| (plan.target(target).clone(), climbs[target].clone()));
        let pull = pull::Pull {
            probe: probe.clone(),
            reference: image.reference.clone(),
            injected: image.added_by_aws,
            platform: plan.platform.clone(),
            full: plan.full,
            registry: climbs[image.registry].clone(),
            token,
            login,
            layers,
            discovered: discovered.clone(),
        };
        probe.recorder.spawn(pull.rehearse());
    }
}

/// Says of something that the task needs that it was left out.
fn not_checked(n: usize, unchecked: &Unchecked) -> Observation {
    let phase = match unchecked.dependency {
        Dependency::Efs => Phase::Mount,
        Dependency::EnvironmentFile => Phase::Fetch,
        Dependency::Registry => Phase::Manifest,
        _ => Phase::Write,
    };
    let outcome = Outcome::NotChecked {
        why: unchecked.why.clone(),
    };
    let mut observation = Observation::new(
        TargetKey::of(unchecked.dependency),
        unchecked.dependency,
        phase,
        outcome,
    );
    observation.id.narrow(format_args!("unchecked-{n}"));
    observation.subject = Some(unchecked.subject.clone());
    observation.attempts = 0;
    observation
}

async fn report_credentials(recorder: Recorder, credentials: SharedCredentials) {
    let started = std::time::Instant::now();
    let credentials = credentials.await;
    let outcome = match credentials.as_ref() {
        Ok(_) => Outcome::Passed,
        Err(unavailable) => Outcome::Failed {
            failure: unavailable.failure,
        },
    };
    let mut observation = Observation::new(
        TargetKey::of(Dependency::Credentials),
        Dependency::Credentials,
        Phase::Read,
        outcome,
    );
    observation.elapsed_ms = crate::millis(started.elapsed());
    observation.detail = match credentials.as_ref() {
        Ok(credentials) => match &credentials.role_arn {
            Some(role) => format!("credentials of {role}"),
            None => "credentials without a role's name".into(),
        },
        Err(unavailable) => unavailable.detail.clone(),
    };
    recorder.record(observation);
}

/// Takes observations from tasks, and the tasks themselves: when the last one drops its recorder,
/// the run is over.
#[derive(Clone)]
pub struct Recorder(mpsc::UnboundedSender<Box<Observation>>);

impl Recorder {
    fn new() -> (Self, mpsc::UnboundedReceiver<Box<Observation>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// One to which nobody listens: the run does not wait for whoever keeps it.
    fn idle() -> Self {
        Self::new().0
    }

    /// Records what was seen. A later observation with the same id replaces the earlier one.
    pub fn record(&self, observation: Observation) {
        // Nobody listens any more once the run has ended.
        let _ = self.0.send(Box::new(observation));
    }

    /// Runs a part of the plan beside the others.
    pub fn spawn(&self, part: impl Future<Output = ()> + Send + 'static) {
        let keep_open = self.clone();
        tokio::spawn(async move {
            part.await;
            drop(keep_open);
        });
    }
}

/// What has been seen so far, by id. Readable from outside, so that a run which a bug ends can
/// still tell.
#[derive(Clone, Default)]
pub struct ObservationLog(Arc<Mutex<BTreeMap<ObservationId, Observation>>>);

impl ObservationLog {
    fn add(&self, observation: Observation) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(observation.id.clone(), observation);
    }

    /// A copy of what there is; nothing if it is being written to this very moment.
    pub fn snapshot(&self) -> Vec<Observation> {
        self.0
            .try_lock()
            .map(|seen| seen.values().cloned().collect())
            .unwrap_or_default()
    }
}
