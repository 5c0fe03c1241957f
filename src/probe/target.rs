//! One target's first three rungs, and the connections that they leave behind.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::observation::{Failure, Observation, Outcome, Phase, Scope, SourcePorts, TargetKey};
use crate::plan::Target;
use crate::probe::checks::efs;
use crate::probe::net::http::{Ask, Connection, Exchange};
use crate::probe::net::path_mtu;
use crate::probe::net::tcp::{self, Shape};
use crate::probe::net::tls::{Handshaken, Tls};
use crate::probe::{ProbeContext, Recorder};

/// A path that took this long to connect is flaky: its first SYN was lost. It is looked at from
/// other source ports.
const FLAKY_AFTER: Duration = Duration::from_millis(900);

/// Everything the rungs need besides the target.
#[derive(Clone)]
pub struct Probe {
    /// How and from where.
    pub setting: Arc<ProbeContext>,
    /// TLS with the puller's roots.
    pub tls: Tls,
    /// Where observations go.
    pub recorder: Recorder,
    /// Of each target, one healthy address of each scope is tried from a spread of source ports: a
    /// network ACL's rules name addresses, so what holds for one service need not hold for the
    /// next.
    spread_done: Arc<Mutex<BTreeSet<(TargetKey, Scope)>>>,
}

impl Probe {
    /// A probe that records to `recorder`.
    pub fn new(setting: Arc<ProbeContext>, tls: Tls, recorder: Recorder) -> Self {
        Self {
            setting,
            tls,
            recorder,
            spread_done: Arc::default(),
        }
    }

    fn claims_spread(&self, target: &Target, scope: Scope) -> bool {
        self.spread_done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((target.key.clone(), scope))
    }
}

/// A target whose handshake worked, or is not known yet, or did not.
#[derive(Clone)]
pub struct TargetHandle(watch::Receiver<State>);

#[derive(Clone)]
enum State {
    Connecting,
    Reached(Arc<Reached>),
    Unreachable,
}

impl TargetHandle {
    /// Starts resolve, connect and handshake of every address.
    pub fn start(probe: Probe, target: Target) -> Self {
        let (stage, climb) = watch::channel(State::Connecting);
        let recorder = probe.recorder.clone();
        recorder.spawn(async move { climb_target(probe, target, stage).await });
        Self(climb)
    }

    /// The connections, as soon as the first address is through; none if none is.
    pub async fn reached(&self) -> Option<Arc<Reached>> {
        let mut climb = self.0.clone();
        let stage = climb
            .wait_for(|stage| !matches!(stage, State::Connecting))
            .await;
        match stage.as_deref() {
            Ok(State::Reached(reached)) => Some(Arc::clone(reached)),
            _ => None,
        }
    }
}

/// Connections to a target, kept warm.
pub struct Reached {
    /// The target.
    pub target: Target,
    tls: Tls,
    peer: SocketAddr,
    idle: Mutex<Vec<Connection>>,
    /// Ordinary segments do not get through.
    small_segments: AtomicBool,
    /// Source ports that get through, where not all do; taken in turn.
    ports: Mutex<VecDeque<u16>>,
}

/// An exchange with its history.
pub struct ExchangeAttempts {
    /// The exchange that counts, or the last that failed.
    pub exchanged: Exchange,
    /// Set if it stalled, or if only small segments were tried: whether those got through.
    pub small_segments_pass: Option<bool>,
    /// An answer that came only with small segments: enough to go on with.
    pub through_small: Option<Exchange>,
    /// The address that answered, or did not.
    pub peer: SocketAddr,
    /// Tries.
    pub attempts: u32,
}

impl Reached {
    /// Asks over a warm connection. A stall is tried again with small segments, and with ordinary
    /// ones for comparison.
    pub async fn ask(&self, ask: &Ask) -> ExchangeAttempts {
        let shape = Shape {
            small_segments: self.small_segments.load(Ordering::Relaxed),
            ..Shape::default()
        };
        let again = |retry: Shape| {
            let shape = Shape {
                small_segments: retry.small_segments || shape.small_segments,
                ..retry
            };
            Box::pin(self.ask_once(ask, shape, None))
        };
        let first = Box::pin(self.ask_once(ask, shape, self.take()));
        let watched = path_mtu::watch(first, again, |(exchanged, _)| exchanged.stalled()).await;
        if watched.through_small.is_some() {
            self.small_segments.store(true, Ordering::Relaxed);
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
        }
        let (exchanged, peer) = watched.outcome;
        let only_small = (shape.small_segments && exchanged.status.is_ok()).then_some(true);
        ExchangeAttempts {
            exchanged,
            small_segments_pass: watched.small_segments_pass.or(only_small),
            through_small: watched.through_small.map(|(exchanged, _)| exchanged),
            peer,
            attempts: watched.attempts,
        }
    }

    async fn ask_once(
        &self,
        ask: &Ask,
        shape: Shape,
        warm: Option<Connection>,
    ) -> (Exchange, SocketAddr) {
        let authority = self.authority();
        if let Some(mut connection) = warm {
            let peer = connection.peer;
            let exchanged = connection.exchange(&authority, ask).await;
            if !exchanged.unsent {
                self.keep(connection, &exchanged);
                return (exchanged, peer);
            }
        }
        let shape = Shape {
            source_port: self.next_port(),
            ..shape
        };
        let Handshaken { stream, detail, .. } =
            self.tls.open(self.peer, &self.target.host, shape).await;
        let exchanged = match stream {
            Err(failure) => Exchange::failed(failure, detail),
            Ok(stream) => match Connection::new(stream, self.peer).await {
                Err(failure) => Exchange::failed(failure, "no HTTP"),
                Ok(mut connection) => {
                    let exchanged = connection.exchange(&authority, ask).await;
                    self.keep(connection, &exchanged);
                    exchanged
                }
            },
        };
        (exchanged, self.peer)
    }

    fn next_port(&self) -> Option<u16> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let next = ports.pop_front()?;
        ports.push_back(next);
        Some(next)
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Connection::is_open);
        idle.pop()
    }

    /// Ends the connections: what was read through them lies in their buffers until then.
    pub fn close(&self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn keep(&self, connection: Connection, exchanged: &Exchange) {
        if exchanged.reusable {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }

    /// `Host`: the port is left out where it is the scheme's own (RFC 9110 section 7.2).
    pub fn authority(&self) -> String {
        match self.target.port {
            443 => self.target.host.clone(),
            port => format!("{}:{port}", self.target.host),
        }
    }
}

async fn climb_target(probe: Probe, target: Target, stage: watch::Sender<State>) {
    let started = Instant::now();
    let resolution = probe
        .setting
        .resolver
        .resolve(target.dependency, &target.host)
        .await;
    let outcome = match resolution.addresses {
        Ok(_) => Outcome::Passed,
        Err(failure) => Outcome::Failed { failure },
    };
    let mut resolved = observe(&target, Phase::Resolve, outcome, started);
    resolved.lookups = resolution.lookups;
    let addresses = resolution.addresses.unwrap_or_default();
    resolved.presented = addresses.iter().map(ToString::to_string).collect();
    if probe.setting.expect_private && target.dependency.has_interface_endpoint() {
        resolved.expected = vec!["an address inside the VPC".into()];
    }
    // Whether an answer is private is known here, where the place is known; a rule only compares.
    resolved.scope = addresses
        .iter()
        .map(|&address| probe.setting.place.scope(address))
        .max();
    probe.recorder.record(resolved);

    let peers = addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, target.port));
    let mut climbs: FuturesUnordered<_> = peers
        .map(|peer| climb_peer(&probe, &target, peer))
        .collect();
    let mut first: Option<Arc<Reached>> = None;
    while let Some(climbed) = climbs.next().await {
        let Some(Climbed {
            connection,
            peer,
            small_segments,
            ports,
        }) = climbed
        else {
            continue;
        };
        if let Some(reached) = &first {
            reached
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            continue;
        }
        let reached = Arc::new(Reached {
            target: target.clone(),
            tls: probe.tls.clone(),
            peer,
            idle: Mutex::new(vec![connection]),
            small_segments: AtomicBool::new(small_segments),
            ports: Mutex::new(ports.into()),
        });
        first = Some(Arc::clone(&reached));
        stage.send_replace(State::Reached(reached));
    }
    if first.is_none() {
        stage.send_replace(State::Unreachable);
    }
}

struct Climbed {
    connection: Connection,
    peer: SocketAddr,
    small_segments: bool,
    ports: Vec<u16>,
}

async fn climb_peer(probe: &Probe, target: &Target, peer: SocketAddr) -> Option<Climbed> {
    let (stream, ports) = connect_peer(probe, target, peer).await?;
    if target.phases.contains(&Phase::Mount) {
        efs::greet(probe, target, stream, peer).await;
        return None;
    }
    if !target.phases.contains(&Phase::Handshake) {
        return None;
    }
    let started = Instant::now();
    let host = &target.host;
    let again = |shape| Box::pin(probe.tls.open(peer, host, shape));
    let watched = path_mtu::watch(
        Box::pin(probe.tls.handshake(stream, host)),
        again,
        Handshaken::stalled,
    )
    .await;
    let Handshaken {
        stream,
        chain,
        detail,
    } = watched.outcome;
    let outcome = match &stream {
        Ok(_) => Outcome::Passed,
        Err(failure) => Outcome::Failed { failure: *failure },
    };
    let mut shaken = at(
        probe,
        observe(target, Phase::Handshake, outcome, started),
        peer,
    );
    shaken.attempts = watched.attempts;
    shaken.small_segments_pass = watched.small_segments_pass;
    shaken.detail = detail;
    let through_small = watched.through_small.and_then(|handshaken| {
        shaken.chain = handshaken.chain;
        handshaken.stream.ok()
    });
    if shaken.chain.is_empty() {
        shaken.chain = chain;
    }
    if shaken.failure() == Some(Failure::WrongName) {
        shaken.expected = vec![host.clone()];
        shaken.presented = shaken
            .chain
            .first()
            .map(|leaf| leaf.names.clone())
            .unwrap_or_default();
    }
    probe.recorder.record(shaken);
    let small_segments = through_small.is_some();
    let stream = stream.ok().or(through_small)?;
    let connection = Connection::new(stream, peer).await.ok()?;
    Some(Climbed {
        connection,
        peer,
        small_segments,
        ports,
    })
}

/// Records the connection, and, beside the climb, what a spread of source ports adds to it.
async fn connect_peer(
    probe: &Probe,
    target: &Target,
    peer: SocketAddr,
) -> Option<(TcpStream, Vec<u16>)> {
    let started = Instant::now();
    if !tcp::has_family(peer) {
        let why = "this task has no IPv6 address, so nothing is sent there".to_owned();
        let outcome = Outcome::NotChecked { why };
        probe.recorder.record(at(
            probe,
            observe(target, Phase::Connect, outcome, started),
            peer,
        ));
        return None;
    }
    let dialled = tcp::dial(peer).await;
    let outcome = match dialled.failure {
        None => Outcome::Passed,
        Some(failure) => Outcome::Failed { failure },
    };
    let connected = at(
        probe,
        observe(target, Phase::Connect, outcome, started),
        peer,
    );
    let scope = probe.setting.place.scope(peer.ip());
    let flaky = started.elapsed() > FLAKY_AFTER;
    let spread_wanted = connected.passed() && (flaky || probe.claims_spread(target, scope));
    // The kernel picks from 32768-60999; where some ports are shut, those that are known to be open
    // are used instead.
    let ports = match &dialled.source_ports {
        Some(ports) if !ports.silent.is_empty() => ports.answered.clone(),
        _ => Vec::new(),
    };
    probe
        .recorder
        .record(with_ports(connected.clone(), dialled.source_ports));
    if spread_wanted {
        let recorder = probe.recorder.clone();
        probe.recorder.spawn(async move {
            let ports = tcp::spread_of_a_healthy_path(peer).await;
            recorder.record(with_ports(connected, Some(ports)));
        });
    }
    Some((dialled.stream?, ports))
}

/// Adds the spread. A task's own ports staying silent is a failure even if this one connection got
/// through.
fn with_ports(mut connected: Observation, ports: Option<SourcePorts>) -> Observation {
    let Some(ports) = ports else { return connected };
    if connected.passed() && tcp::stops_a_task(&ports) {
        connected.outcome = Outcome::Failed {
            failure: Failure::TimedOut,
        };
    }
    if !ports.silent.is_empty() && !ports.answered.is_empty() {
        connected.detail = format!(
            "silent from source ports {:?}, answers from {:?}",
            ports.silent, ports.answered
        );
    }
    connected.source_ports = Some(ports);
    connected
}

/// An observation of `target` that began at `started` and ends now.
pub fn observe(target: &Target, phase: Phase, outcome: Outcome, started: Instant) -> Observation {
    let mut observation = Observation::new(target.key.clone(), target.dependency, phase, outcome);
    observation.host.clone_from(&target.host);
    observation.elapsed_ms = crate::millis(started.elapsed());
    observation
}

/// The same, at an address.
pub fn at(probe: &Probe, mut observation: Observation, peer: SocketAddr) -> Observation {
    if !observation.phase.is_exchange() {
        observation.id.narrow(peer.ip());
    }
    let scope = probe.setting.place.scope(peer.ip());
    observation.peer = Some(peer);
    observation.scope = Some(scope);
    observation.owner = (scope == Scope::Public)
        .then(|| crate::ip_owner::owner(peer.ip()))
        .flatten();
    observation
}
