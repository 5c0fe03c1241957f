//! Resolves and connects one target, and keeps its connections for the checks.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::observation::{Failure, Observation, Outcome, Phase, Scope, SourcePorts};
use crate::plan::Target;
use crate::probe::context::{ProbeContext, observe};
use crate::probe::net::http::{Exchange, HttpConnection, HttpRequest};
use crate::probe::net::path_mtu::{self, SegmentSizeTest};
use crate::probe::net::tcp::{self, ConnectOptions};
use crate::probe::net::tls::{Handshake, TlsClient};

/// The first SYN was lost if a connection takes this long. Such a path is tested from other source
/// ports.
const FLAKY_AFTER: Duration = Duration::from_millis(900);

/// Time limit of connections that are opened before they are needed: they save two round trips
/// each, which a path slower than this does not notice.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// A target whose connections are being opened. Cheap to clone.
#[derive(Clone)]
pub struct TargetHandle(watch::Receiver<State>);

#[derive(Clone)]
enum State {
    Connecting,
    Connected(Arc<ConnectedTarget>),
    Unreachable,
}

impl TargetHandle {
    /// Starts to resolve `target` and to open a TLS connection to each of its addresses.
    pub fn connect(context: &ProbeContext, target: &Target) -> Self {
        let (state, handle) = watch::channel(State::Connecting);
        let (context, target) = (context.clone(), target.clone());
        let recorder = context.recorder.clone();
        recorder.spawn(async move { connect_target(context, target, state).await });
        Self(handle)
    }

    /// Returns the handle of a target that takes no TLS connection.
    pub fn without_tls() -> Self {
        Self(watch::channel(State::Unreachable).1)
    }

    /// Opens `count` more connections in the background, once the first address is connected.
    pub fn warm_up(&self, context: &ProbeContext, count: usize) {
        let handle = self.clone();
        context.recorder.spawn(async move {
            if let Some(target) = handle.connected().await {
                target.open_idle(count).await;
            }
        });
    }

    /// Waits until the first address is connected. Returns `None` if none can be.
    pub async fn connected(&self) -> Option<Arc<ConnectedTarget>> {
        let mut handle = self.0.clone();
        let state = handle
            .wait_for(|state| !matches!(state, State::Connecting))
            .await;
        match state.as_deref() {
            Ok(State::Connected(target)) => Some(Arc::clone(target)),
            _ => None,
        }
    }
}

/// A target with open connections.
pub struct ConnectedTarget {
    pub target: Target,
    tls: TlsClient,
    /// The first address that was connected. Further connections go there.
    peer: SocketAddr,
    idle: Mutex<Vec<HttpConnection>>,
    /// Whether only small segments get through.
    small_segments: AtomicBool,
    /// Source ports that get through, if others are blocked; used in turn. Otherwise empty.
    source_ports: Mutex<VecDeque<u16>>,
}

/// An exchange with its retries.
pub struct ExchangeAttempts {
    /// The exchange that succeeded, or the last that failed.
    pub exchange: Exchange,
    /// Whether small segments got through. Set after a stall, or if only small segments were used.
    pub small_segments_pass: Option<bool>,
    /// The exchange over small segments, if only those got through. Its response is usable.
    pub over_small_segments: Option<Exchange>,
    /// The address of `exchange`.
    pub peer: SocketAddr,
    pub attempts: u32,
}

/// An exchange, and the address that it was sent to.
struct PeerExchange {
    exchange: Exchange,
    peer: SocketAddr,
}

impl ConnectedTarget {
    /// Sends `request`, over an idle connection if there is one. If it stalls, it is sent again
    /// with small segments, and with ordinary ones as a control.
    pub async fn exchange(&self, request: &HttpRequest) -> ExchangeAttempts {
        let options = ConnectOptions {
            small_segments: self.small_segments.load(Ordering::Relaxed),
            ..ConnectOptions::default()
        };
        let retry = |retry: ConnectOptions| {
            let options = ConnectOptions {
                small_segments: retry.small_segments || options.small_segments,
                ..retry
            };
            Box::pin(self.exchange_once(request, options, None))
        };
        let first = Box::pin(self.exchange_once(request, options, self.take_idle()));
        let test = path_mtu::retry_with_small_segments(first, retry, |attempt: &PeerExchange| {
            attempt.exchange.stalled()
        })
        .await;
        if test.over_small_segments.is_some() {
            self.small_segments.store(true, Ordering::Relaxed);
            self.close_idle();
        }
        let PeerExchange { exchange, peer } = test.result;
        let only_small = (options.small_segments && exchange.status.is_ok()).then_some(true);
        ExchangeAttempts {
            exchange,
            small_segments_pass: test.small_segments_pass.or(only_small),
            over_small_segments: test.over_small_segments.map(|attempt| attempt.exchange),
            peer,
            attempts: test.attempts,
        }
    }

    async fn exchange_once(
        &self,
        request: &HttpRequest,
        options: ConnectOptions,
        idle: Option<HttpConnection>,
    ) -> PeerExchange {
        let authority = self.authority();
        if let Some(mut connection) = idle {
            let peer = connection.peer;
            let exchange = connection.exchange(&authority, request).await;
            if !exchange.unsent {
                self.keep(connection, &exchange);
                return PeerExchange { exchange, peer };
            }
        }
        let options = ConnectOptions {
            source_port: self.next_source_port(),
            ..options
        };
        let Handshake { stream, detail, .. } = self
            .tls
            .reconnect(self.peer, &self.target.host, options)
            .await;
        let exchange = match stream {
            Err(failure) => Exchange::failed(failure, detail),
            Ok(stream) => match HttpConnection::new(stream, self.peer).await {
                Err(failure) => Exchange::failed(failure, "the server does not speak HTTP"),
                Ok(mut connection) => {
                    let exchange = connection.exchange(&authority, request).await;
                    self.keep(connection, &exchange);
                    exchange
                }
            },
        };
        PeerExchange {
            exchange,
            peer: self.peer,
        }
    }

    /// Opens `count` more connections for later exchanges, and gives up after [`WARM_UP_TIMEOUT`].
    /// Records nothing: an exchange that finds no idle connection opens one, and reports what
    /// happens to it.
    async fn open_idle(&self, count: usize) {
        let options = ConnectOptions::default();
        if self.small_segments.load(Ordering::Relaxed) || self.next_source_port().is_some() {
            return;
        }
        let open = || async {
            let host = &self.target.host;
            let handshake = self.tls.reconnect(self.peer, host, options).await;
            let connection = HttpConnection::new(handshake.stream.ok()?, self.peer).await;
            self.idle().push(connection.ok()?);
            Some(())
        };
        let opening = futures_util::future::join_all((0..count).map(|_| open()));
        // The deadline of each connection is far longer than its use here.
        let _ = timeout(WARM_UP_TIMEOUT, opening).await;
    }

    fn next_source_port(&self) -> Option<u16> {
        let mut ports = self
            .source_ports
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let next = ports.pop_front()?;
        ports.push_back(next);
        Some(next)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<HttpConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<HttpConnection> {
        let mut idle = self.idle();
        idle.retain(HttpConnection::is_open);
        idle.pop()
    }

    /// Drops idle connections, so that secrets in their read buffers are wiped.
    pub fn close_idle(&self) {
        self.idle().clear();
    }

    fn keep(&self, connection: HttpConnection, exchange: &Exchange) {
        if exchange.reusable {
            self.idle().push(connection);
        }
    }

    /// Returns the value of `Host`, which omits the scheme's default port (RFC 9110 section 7.2).
    pub fn authority(&self) -> String {
        match self.target.port {
            443 => self.target.host.clone(),
            port => format!("{}:{port}", self.target.host),
        }
    }
}

async fn connect_target(context: ProbeContext, target: Target, state: watch::Sender<State>) {
    let peers = resolve(&context, &target).await;
    let mut connections: FuturesUnordered<_> = peers
        .into_iter()
        .map(|peer| open_https(&context, &target, peer))
        .collect();
    let mut first: Option<Arc<ConnectedTarget>> = None;
    while let Some(opened) = connections.next().await {
        let Some(opened) = opened else {
            continue;
        };
        if let Some(connected) = &first {
            connected.idle().push(opened.connection);
            continue;
        }
        let connected = Arc::new(ConnectedTarget {
            target: target.clone(),
            tls: context.tls.clone(),
            peer: opened.connection.peer,
            idle: Mutex::new(vec![opened.connection]),
            small_segments: AtomicBool::new(opened.small_segments),
            source_ports: Mutex::new(opened.source_ports.into()),
        });
        first = Some(Arc::clone(&connected));
        state.send_replace(State::Connected(connected));
    }
    if first.is_none() {
        state.send_replace(State::Unreachable);
    }
}

/// Resolves the target's host name, records the result, and returns the addresses.
pub async fn resolve(context: &ProbeContext, target: &Target) -> Vec<SocketAddr> {
    let started = Instant::now();
    let resolution = context
        .settings
        .resolver
        .resolve(target.dependency, &target.host)
        .await;
    let outcome = match resolution.addresses {
        Ok(_) => Outcome::Passed,
        Err(failure) => Outcome::Failed { failure },
    };
    let mut resolved = observe(target, Phase::Resolve, outcome, started);
    resolved.lookups = resolution.lookups;
    resolved.tries = resolution.tries;
    resolved.detail = resolution.detail;
    // The failure is in the observation; without addresses there is nothing to connect to.
    let addresses = resolution.addresses.unwrap_or_default();
    resolved.presented = addresses.iter().map(ToString::to_string).collect();
    if context.settings.expect_private && target.dependency.has_interface_endpoint() {
        resolved.expected = vec!["an address inside the VPC".into()];
    }
    // The scope is decided here, where the VPC's address ranges are known. Rules only compare it.
    resolved.scope = addresses
        .iter()
        .map(|&address| context.settings.location.scope(address))
        .max();
    context.recorder.record(resolved);
    let is_useless = |address: &IpAddr| context.settings.location.why_not_sent(*address).is_some();
    if !addresses.is_empty() && addresses.iter().all(is_useless) {
        let outcome = Outcome::Failed {
            failure: Failure::NoAddress,
        };
        let mut no_ipv6 = observe(target, Phase::Connect, outcome, started);
        no_ipv6.detail = "the host has IPv4 addresses only, and this task has none".into();
        no_ipv6.attempts = 0;
        context.recorder.record(no_ipv6);
    }
    addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, target.port))
        .collect()
}

/// An open HTTPS connection.
struct HttpsConnection {
    connection: HttpConnection,
    small_segments: bool,
    source_ports: Vec<u16>,
}

/// Connects to `peer`, performs the handshake if the target has one, and records both.
async fn open_https(
    context: &ProbeContext,
    target: &Target,
    peer: SocketAddr,
) -> Option<HttpsConnection> {
    let TcpConnection {
        stream,
        source_ports,
    } = connect(context, target, peer).await?;
    if !target.phases.contains(&Phase::Handshake) {
        return None;
    }
    let started = Instant::now();
    let host = &target.host;
    let retry = |options| Box::pin(context.tls.reconnect(peer, host, options));
    let SegmentSizeTest {
        result: handshake,
        over_small_segments,
        small_segments_pass,
        attempts,
    } = path_mtu::retry_with_small_segments(
        Box::pin(context.tls.handshake(stream, host)),
        retry,
        Handshake::stalled,
    )
    .await;
    let outcome = match &handshake.stream {
        Ok(_) => Outcome::Passed,
        Err(failure) => Outcome::Failed { failure: *failure },
    };
    let mut observation = context.observe_at(target, Phase::Handshake, outcome, started, peer);
    observation.attempts = attempts;
    observation.small_segments_pass = small_segments_pass;
    observation.detail = handshake.detail;
    observation.custom_roots =
        observation.failure() == Some(Failure::UnknownIssuer) && context.tls.has_custom_roots();
    let over_small_segments = over_small_segments.and_then(|handshake| {
        observation.chain = handshake.chain;
        handshake.stream.ok()
    });
    if observation.chain.is_empty() {
        observation.chain = handshake.chain;
    }
    if observation.failure() == Some(Failure::WrongName) {
        observation.expected = vec![host.clone()];
        observation.presented = observation
            .chain
            .first()
            .map(|leaf| leaf.names.clone())
            // No chain is recorded if its certificates cannot be parsed.
            .unwrap_or_default();
    }
    context.recorder.record(observation);
    let small_segments = over_small_segments.is_some();
    let stream = handshake.stream.ok().or(over_small_segments)?;
    Some(HttpsConnection {
        connection: HttpConnection::new(stream, peer).await.ok()?,
        small_segments,
        source_ports,
    })
}

/// An open TCP connection.
pub struct TcpConnection {
    pub stream: TcpStream,
    /// Source ports that get through, if others are blocked; otherwise empty.
    source_ports: Vec<u16>,
}

/// Connects to `peer` and records the result. In the background, tests several source ports of the
/// first healthy address of each scope, and of a path that loses packets.
pub async fn connect(
    context: &ProbeContext,
    target: &Target,
    peer: SocketAddr,
) -> Option<TcpConnection> {
    let started = Instant::now();
    let no_ipv6 = || {
        (!tcp::has_route(peer))
            .then_some("this task has no IPv6 address, so nothing is sent to this one")
    };
    let why_not_sent = context.settings.location.why_not_sent(peer.ip());
    if let Some(why) = why_not_sent.or_else(no_ipv6) {
        let outcome = Outcome::NotChecked {
            why: why.to_owned(),
        };
        let skipped = context.observe_at(target, Phase::Connect, outcome, started, peer);
        context.recorder.record(skipped);
        return None;
    }
    let connection = tcp::connect(peer).await;
    let scope = context.settings.location.scope(peer.ip());
    let outcome = match connection.failure {
        None => Outcome::Passed,
        // No router is in between: nothing in the subnet has this address.
        Some(Failure::IcmpUnreachable) if scope == Scope::SameSubnet => Outcome::Failed {
            failure: Failure::Unreachable,
        },
        Some(failure) => Outcome::Failed { failure },
    };
    let observation = context.observe_at(target, Phase::Connect, outcome, started, peer);
    let flaky = started.elapsed() > FLAKY_AFTER;
    let tests_ports = observation.passed() && (flaky || context.claim_port_test(target, scope));
    // The kernel picks from 32768-60999; if some ports are blocked, later connections use those
    // that are known to be open.
    let source_ports = match &connection.source_ports {
        Some(ports) if !ports.silent.is_empty() => ports.answered.clone(),
        _ => Vec::new(),
    };
    context.recorder.record(with_source_ports(
        observation.clone(),
        connection.source_ports,
    ));
    if tests_ports {
        let recorder = context.recorder.clone();
        context.recorder.spawn(async move {
            let ports = tcp::test_source_ports(peer).await;
            recorder.record(with_source_ports(observation, Some(ports)));
        });
    }
    Some(TcpConnection {
        stream: connection.stream?,
        source_ports,
    })
}

/// Adds the test of several source ports. If ports are blocked that a task uses, it is a failure
/// even though this one connection got through.
fn with_source_ports(mut observation: Observation, ports: Option<SourcePorts>) -> Observation {
    let Some(ports) = ports else {
        return observation;
    };
    if observation.passed() && tcp::blocks_ephemeral_ports(&ports) {
        observation.outcome = Outcome::Failed {
            failure: Failure::TimedOut,
        };
    }
    if !ports.silent.is_empty() && !ports.answered.is_empty() {
        observation.detail = format!(
            "no response to source ports {:?}, responses to {:?}",
            ports.silent, ports.answered
        );
    }
    observation.source_ports = Some(ports);
    observation
}
