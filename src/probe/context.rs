//! What every check needs: settings, TLS, the recorder and shared connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{Notify, watch};

use crate::aws::credentials::{AgentFailure, Credentials};
use crate::endpoints::Variant;
use crate::network_location::{IpFamily, NetworkLocation, nat64_target};
use crate::observation::{Observation, Outcome, Phase, Scope, TargetKey};
use crate::plan::Target;
use crate::probe::net::http::HttpConnection;
use crate::probe::net::resolve::StubResolver;
use crate::probe::net::tls::TlsClient;
use crate::probe::recorder::Recorder;
use crate::vantage::ClockDrift;
use crate::vault::Vault;

/// The result of loading credentials.
pub type LoadedCredentials = Arc<Result<Credentials, AgentFailure>>;

/// Credentials that are loaded once and awaited by several checks.
pub type SharedCredentials = Shared<BoxFuture<'static, LoadedCredentials>>;

/// The settings of a run: where it probes from, and what it expects.
pub struct ProbeSettings {
    /// Resolves the names of all targets.
    pub resolver: StubResolver,
    /// The task's location in its VPC, which determines which addresses are private.
    pub location: NetworkLocation,
    /// Whether names with an interface VPC endpoint must resolve to addresses inside the VPC.
    pub expect_private: bool,
    /// Whether this is a machine that should have credentials: an ECS task, or one that names a
    /// source of them.
    pub expect_credentials: bool,
    /// Part of the log stream's name: the task ID on ECS, the run ID elsewhere.
    pub run_id: String,
    /// Clock drift reported by the task metadata endpoint.
    pub clock_drift: Option<ClockDrift>,
    /// The secrets of the run.
    pub vault: Arc<Vault>,
}

impl ProbeSettings {
    /// Returns settings for fetching the task definition before a run. The rest of the location is
    /// left unknown, because it matters only for reported observations.
    pub fn for_fetch(resolver: StubResolver, ip_family: IpFamily, vault: Arc<Vault>) -> Self {
        Self {
            resolver: resolver.for_family(ip_family),
            location: NetworkLocation {
                ip_family: Some(ip_family),
                ..NetworkLocation::default()
            },
            expect_private: false,
            expect_credentials: true,
            run_id: String::new(),
            clock_drift: None,
            vault,
        }
    }
}

/// The context that all checks of a run share.
#[derive(Clone)]
pub struct ProbeContext {
    pub settings: Arc<ProbeSettings>,
    /// Trusts the puller's root certificates.
    pub tls: TlsClient,
    /// Receives the observations.
    pub recorder: Recorder,
    /// What the connections of all targets share.
    pub connections: Arc<Connections>,
}

/// Maximum number of targets whose source ports are tested because of a silent address. If more are
/// silent, the reason does not lie with one service, and the tests would only add load.
const MAX_SUSPECTS: usize = 3;

/// What the connections of all targets share. A task opens few at a time, and a device on the path
/// may allow no more. The probe therefore opens no others before the first are answered, and closes
/// idle ones if another target needs them.
#[derive(Default)]
pub struct Connections {
    idle: Mutex<Vec<(TargetKey, HttpConnection)>>,
    /// Number of targets whose first connections are neither answered nor given up.
    pending: watch::Sender<usize>,
    /// Targets with an address that answered.
    answered: Mutex<BTreeSet<TargetKey>>,
    /// Number of addresses in a row that failed when tried alone. Locked by the one that is being
    /// tried.
    alone: tokio::sync::Mutex<u32>,
    /// Scopes whose source ports have been tested. If all are healthy, one target of each scope is
    /// enough: a second test would double the load and show the same.
    tested_ports: Mutex<BTreeSet<Scope>>,
    /// Number of overdue connections that checks wait for. Meanwhile, no test opens a connection.
    waited_for: watch::Sender<usize>,
    /// Number of port tests that are not finished.
    port_tests: watch::Sender<usize>,
    /// Targets whose source ports are being or have been screened: a network ACL's rules may single
    /// out one service.
    screened: Mutex<BTreeSet<TargetKey>>,
    /// Locked by the targets that are being screened: at most two at a time, after everything that
    /// a task does itself has its connections.
    screens: [tokio::sync::Mutex<()>; 2],
    /// Targets with a silent address or port whose source ports have been tested.
    suspects: Mutex<BTreeSet<TargetKey>>,
    /// Notified when a connection becomes idle.
    returned: Notify,
    /// Source ports that are answered in scopes where others are not; used in turn.
    open_ports: Mutex<BTreeMap<Scope, VecDeque<u16>>>,
}

impl Connections {
    /// Registers a target that is about to connect.
    pub fn begin(&self) {
        self.pending.send_modify(|pending| *pending += 1);
    }

    /// Removes a target whose first connections are answered or given up.
    pub fn end(&self) {
        self.pending
            .send_modify(|pending| *pending = pending.saturating_sub(1));
    }

    /// Waits until the first connections of every target are answered or given up.
    pub async fn first_answers(&self) {
        let mut pending = self.pending.subscribe();
        // The sender is in `self`, so it cannot be gone.
        let _ = pending.wait_for(|pending| *pending == 0).await;
    }

    /// Notes that an address of `target` answered.
    pub fn note_answer(&self, target: &TargetKey) {
        lock(&self.answered).insert(target.clone());
    }

    /// Whether any address has answered.
    pub fn any_answered(&self) -> bool {
        !lock(&self.answered).is_empty()
    }

    /// Waits until no other silent address is being tried alone. If another address of `target` has
    /// answered, first waits for [`Self::first_answers`]. Returns the number of addresses in a row
    /// that failed when tried alone.
    pub async fn turn_alone(&self, target: &TargetKey) -> tokio::sync::MutexGuard<'_, u32> {
        let has_answer = lock(&self.answered).contains(target);
        if has_answer {
            self.first_answers().await;
        }
        self.alone.lock().await
    }

    /// Keeps the tests of source ports from opening connections until the guard is dropped.
    pub fn hold_tests(&self) -> TestHold<'_> {
        self.waited_for.send_modify(|waiting| *waiting += 1);
        TestHold(&self.waited_for)
    }

    /// Returns a receiver of the number of guards of [`Self::hold_tests`].
    pub fn holds(&self) -> watch::Receiver<usize> {
        self.waited_for.subscribe()
    }

    /// Whether the caller is the first to claim this scope, and so tests the source ports.
    pub fn claim_port_test(&self, scope: Scope) -> bool {
        lock(&self.tested_ports).insert(scope)
    }

    /// Whether the caller is the first to claim this target, and so screens its source ports.
    pub fn claim_screen(&self, target: &TargetKey) -> bool {
        lock(&self.screened).insert(target.clone())
    }

    /// Notes that a port test is about to begin.
    pub fn begin_port_test(&self) {
        self.port_tests.send_modify(|tests| *tests += 1);
    }

    /// Notes that a port test has ended.
    pub fn end_port_test(&self) {
        self.port_tests
            .send_modify(|tests| *tests = tests.saturating_sub(1));
    }

    /// Waits until no port test is running and at most one other target is being screened. The turn
    /// lasts until the guard is dropped.
    pub async fn turn_to_screen(&self) -> tokio::sync::MutexGuard<'_, ()> {
        let mut tests = self.port_tests.subscribe();
        // The sender is in `self`, so it cannot be gone.
        let _ = tests.wait_for(|tests| *tests == 0).await;
        let [one, other] = &self.screens;
        tokio::select! {
            turn = one.lock() => turn,
            turn = other.lock() => turn,
        }
    }

    /// Whether the caller is the first to claim this target, which has a silent address or port,
    /// and so tests its source ports.
    pub fn claim_suspect(&self, target: &TargetKey) -> bool {
        let mut suspects = lock(&self.suspects);
        suspects.len() < MAX_SUSPECTS && suspects.insert(target.clone())
    }

    /// Makes further connections to `scope` use these source ports.
    pub fn use_ports(&self, scope: Scope, ports: &[u16]) {
        lock(&self.open_ports).insert(scope, ports.iter().copied().collect());
    }

    /// Returns the source port for the next connection to `scope`; `None` lets the kernel choose.
    pub fn next_port(&self, scope: Scope) -> Option<u16> {
        let mut ports = lock(&self.open_ports);
        let ports = ports.get_mut(&scope)?;
        let next = ports.pop_front()?;
        ports.push_back(next);
        Some(next)
    }

    /// Returns an idle connection of `target`, if one is open.
    pub fn take_idle(&self, target: &TargetKey) -> Option<HttpConnection> {
        let mut idle = lock(&self.idle);
        idle.retain(|(_, connection)| connection.is_open());
        let index = idle.iter().rposition(|(owner, _)| owner == target)?;
        Some(idle.remove(index).1)
    }

    /// Returns how many idle connections of `target` are open.
    pub fn idle(&self, target: &TargetKey) -> usize {
        let mut idle = lock(&self.idle);
        idle.retain(|(_, connection)| connection.is_open());
        idle.iter().filter(|(owner, _)| owner == target).count()
    }

    /// Keeps a connection for the next exchange of `target`.
    pub fn keep_idle(&self, target: &TargetKey, connection: HttpConnection) {
        lock(&self.idle).push((target.clone(), connection));
        self.returned.notify_waiters();
    }

    /// Waits for an idle connection of `target`.
    pub async fn returned(&self, target: &TargetKey) -> HttpConnection {
        loop {
            let returned = self.returned.notified();
            tokio::pin!(returned);
            // Notices connections that are returned from here on.
            returned.as_mut().enable();
            if let Some(connection) = self.take_idle(target) {
                return connection;
            }
            returned.await;
        }
    }

    /// Drops the idle connections of `target`, or of all targets.
    pub fn close_idle(&self, target: Option<&TargetKey>) {
        lock(&self.idle).retain(|(owner, _)| target.is_some_and(|target| owner != target));
    }
}

/// Keeps tests from opening connections, which could take the place of one that a check waits for.
pub struct TestHold<'a>(&'a watch::Sender<usize>);

impl Drop for TestHold<'_> {
    fn drop(&mut self) {
        self.0
            .send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProbeContext {
    /// Returns the context of a new run.
    pub fn new(settings: ProbeSettings, tls: TlsClient, recorder: Recorder) -> Self {
        Self {
            settings: Arc::new(settings),
            tls,
            recorder,
            connections: Arc::default(),
        }
    }

    /// Returns which names of AWS services the task uses.
    pub fn variant(&self) -> Variant {
        let family = self.settings.location.ip_family;
        // The family may be unknown outside ECS, and most tasks have IPv4.
        family.unwrap_or_default().variant()
    }

    /// Returns an observation of `target` at `peer` that began at `started` and ends now.
    pub fn observe_at(
        &self,
        target: &Target,
        phase: Phase,
        outcome: Outcome,
        started: Instant,
        peer: SocketAddr,
    ) -> Observation {
        let mut observation = observe(target, phase, outcome, started);
        if !phase.is_exchange() {
            observation.id.narrow(peer.ip());
        }
        let scope = self.settings.location.scope(peer.ip());
        observation.peer = Some(peer);
        observation.scope = Some(scope);
        observation.owner = (scope == Scope::Public)
            .then(|| crate::ip_owner::owner(nat64_target(peer.ip()).unwrap_or(peer.ip())))
            .flatten()
            .map(Into::into);
        observation
    }
}

/// Returns an observation of `target` that began at `started` and ends now.
pub fn observe(target: &Target, phase: Phase, outcome: Outcome, started: Instant) -> Observation {
    let mut observation = Observation::new(target.key.clone(), target.dependency, phase, outcome);
    observation.host.clone_from(&target.host);
    observation.elapsed_ms = crate::millis(started.elapsed());
    observation
}
