//! Resolves one target, connects to it, and keeps its connections for the checks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};

use crate::observation::{Failure, Observation, Outcome, Phase, Scope, SourcePorts, Tries};
use crate::plan::Target;
use crate::probe::context::{Connections, ProbeContext, observe};
use crate::probe::net::http::{Exchange, HttpConnection, HttpRequest};
use crate::probe::net::path_mtu::{self, SegmentSizeTest, TryEnd};
use crate::probe::net::tcp::{self, ConnectOptions, PortTest};
use crate::probe::net::tls::{Handshake, TlsClient};
use crate::safe_text::safe_text;

/// Delays before a failed handshake or call is repeated. The AWS SDKs also make three attempts in
/// all; these delays are shorter, because the run has a deadline.
pub const RETRY_INTERVALS: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(800)];

/// If no target has answered after this time (three SYNs from two source ports), the source ports
/// of one silent address of each scope are tested: nothing else finds a filter that passes only
/// other ports.
const SPREAD_AFTER_SILENCE: Duration = Duration::from_millis(2_400);

/// How long a silent address is tried alone, while the probe closes its idle connections: a SYN and
/// one retransmission. With [`tcp::CONNECT_TIMEOUT`] and [`MAX_ALONE_FAILURES`], a silent run stays
/// within 8 s.
const ALONE_TIMEOUT: Duration = Duration::from_millis(1_300);

/// Number of addresses in a row that may fail when tried alone before no more are tried: whatever
/// silences two is not a limit on connections.
const MAX_ALONE_FAILURES: u32 = 2;

/// How often idle connections are closed meanwhile.
const CLOSE_IDLE_INTERVAL: Duration = Duration::from_millis(200);

/// Idle connections are closed once a further connection takes this long: Linux retransmits a SYN
/// after one second.
const CLOSE_IDLE_AFTER: Duration = Duration::from_millis(900);

/// Whether an exchange may use a connection that is already open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reuse {
    Idle,
    No,
}

/// Counts the tries of a phase.
#[derive(Debug, Clone, Copy, Default)]
pub struct TryCount {
    failed: u32,
    of: u32,
    attempts: u32,
    earlier_failure: Option<Failure>,
}

impl TryCount {
    /// Adds one try that ended with `failure`, or `tries` if it was repeated.
    pub fn add(&mut self, tries: Option<Tries>, attempts: u32, failure: Option<Failure>) {
        let failed = u32::from(failure.is_some());
        let tries = tries.unwrap_or(Tries { failed, of: 1 });
        self.failed += tries.failed;
        self.of += tries.of;
        self.attempts += attempts;
        if tries.failed > 0 {
            let stalled = Some(Failure::Stalled);
            self.earlier_failure = self.earlier_failure.or(failure).or(stalled);
        }
    }

    /// Writes the attempts to the observation and, if a failed try was repeated, the count.
    pub fn record(self, observation: &mut Observation) {
        observation.attempts = self.attempts;
        observation.tries = (self.failed > 0 && self.of > 1).then_some(Tries {
            failed: self.failed,
            of: self.of,
        });
        if observation.passed() {
            observation.earlier_failure = self.earlier_failure;
        }
    }
}

/// Adds the failed tries of an earlier call that belongs to the same observation.
pub fn add_tries(observation: &mut Observation, earlier: &Observation) {
    let Some(before) = earlier.tries.filter(|tries| tries.are_mixed()) else {
        return;
    };
    let failed = u32::from(observation.failure().is_some());
    let own = observation.tries.unwrap_or(Tries { failed, of: 1 });
    observation.tries = Some(Tries {
        failed: before.failed + own.failed,
        of: before.of + own.of,
    });
    if observation.passed() {
        observation.earlier_failure = earlier.earlier_failure.or(observation.earlier_failure);
    }
}

/// Time limit for connections that are opened before they are needed: each saves two round trips,
/// which do not matter on a path slower than this.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// A handle to a target whose connections are being opened. Cheap to clone.
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
        context.connections.begin();
        let recorder = context.recorder.clone();
        recorder.spawn(async move { connect_target(context, target, state).await });
        Self(handle)
    }

    /// Returns the handle of a target that does not use TLS.
    pub fn without_tls() -> Self {
        Self(watch::channel(State::Unreachable).1)
    }

    /// Opens `count` more connections in the background, once the first address is connected.
    pub fn warm_up(&self, context: &ProbeContext, count: usize) {
        self.open(context, move |_| count);
    }

    /// Opens the missing connections in the background, so that each of `count` exchanges finds
    /// one.
    pub fn warm_up_to(&self, context: &ProbeContext, count: usize) {
        self.open(context, move |idle| count.saturating_sub(idle));
    }

    fn open(&self, context: &ProbeContext, missing: impl FnOnce(usize) -> usize + Send + 'static) {
        let handle = self.clone();
        context.recorder.spawn(async move {
            if let Some(target) = handle.connected().await {
                let idle = target.connections.idle(&target.target.key);
                target.open_idle(missing(idle)).await;
            }
        });
    }

    /// Waits until the probe is connected to one address. Returns `None` if it cannot connect to
    /// any.
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
    /// The first address that the probe connected to. Further connections go there.
    peer: SocketAddr,
    scope: Scope,
    connections: Arc<Connections>,
    /// Whether only small segments get through.
    small_segments: AtomicBool,
}

/// An exchange with its retries.
pub struct ExchangeAttempts {
    /// The exchange that succeeded, or the last that failed.
    pub exchange: Exchange,
    /// Whether small segments got through. Set after a stall, or if only small segments were used.
    pub small_segments_pass: Option<bool>,
    /// The largest segment that got through, if larger than a small one.
    pub largest_segment: Option<u32>,
    /// The exchange over small segments, if only those got through. Its response is usable.
    pub over_small_segments: Option<Exchange>,
    /// The address of `exchange`.
    pub peer: SocketAddr,
    pub attempts: u32,
    pub tries: Option<Tries>,
}

/// An exchange, and the address that it was sent to.
struct PeerExchange {
    exchange: Exchange,
    peer: SocketAddr,
    /// Whether a TCP connection was open.
    connected: bool,
}

impl PeerExchange {
    fn end(&self) -> TryEnd {
        if self.connected {
            self.exchange.end()
        } else {
            TryEnd::Broken
        }
    }
}

impl ConnectedTarget {
    /// Sends `request`, over an idle connection if there is one. If it stalls, sends it again with
    /// small segments, and with ordinary ones as a control.
    pub async fn exchange(&self, request: &HttpRequest) -> ExchangeAttempts {
        let options = ConnectOptions {
            small_segments: self.small_segments.load(Ordering::Relaxed),
            ..ConnectOptions::default()
        };
        let retry = |retry: ConnectOptions| {
            // Idle connections may use up a limit on connections.
            self.connections.close_idle(None);
            let options = ConnectOptions {
                small_segments: retry.small_segments || options.small_segments,
                ..retry
            };
            Box::pin(self.exchange_once(request, options, Reuse::No))
        };
        let first = Box::pin(self.exchange_once(request, options, Reuse::Idle));
        let test = path_mtu::retry_with_small_segments(first, retry, PeerExchange::end).await;
        if test.over_small_segments.is_some() {
            self.small_segments.store(true, Ordering::Relaxed);
            self.close_idle();
        }
        let PeerExchange { exchange, peer, .. } = test.result;
        let only_small = (options.small_segments && exchange.status.is_ok()).then_some(true);
        ExchangeAttempts {
            exchange,
            small_segments_pass: test.small_segments_pass.or(only_small),
            largest_segment: test.largest_segment,
            over_small_segments: test.over_small_segments.map(|attempt| attempt.exchange),
            peer,
            attempts: test.attempts,
            tries: test.tries,
        }
    }

    async fn exchange_once(
        &self,
        request: &HttpRequest,
        options: ConnectOptions,
        reuse: Reuse,
    ) -> PeerExchange {
        if reuse == Reuse::Idle
            && let Some(connection) = self.connections.take_idle(&self.target.key)
            && let Some(done) = self.exchange_over(connection, request).await
        {
            return done;
        }
        let options = ConnectOptions {
            source_port: self.connections.next_port(self.scope),
            ..options
        };
        let opening = self.reconnect(options);
        tokio::pin!(opening);
        // Uses whichever comes first, a new connection or one that another exchange returns, as
        // Go's client does: a path that allows few connections must not keep the request waiting.
        let Handshake {
            stream,
            detail,
            connected,
            ..
        } = loop {
            tokio::select! {
                handshake = &mut opening => break handshake,
                connection = self.connections.returned(&self.target.key), if reuse == Reuse::Idle => {
                    if let Some(done) = self.exchange_over(connection, request).await {
                        return done;
                    }
                }
            }
        };
        let authority = self.authority();
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
            connected,
        }
    }

    /// Sends `request` over a connection that was idle. Returns `None` if the server had closed it.
    async fn exchange_over(
        &self,
        mut connection: HttpConnection,
        request: &HttpRequest,
    ) -> Option<PeerExchange> {
        let peer = connection.peer;
        let exchange = connection.exchange(&self.authority(), request).await;
        if exchange.unsent {
            return None;
        }
        self.keep(connection, &exchange);
        Some(PeerExchange {
            exchange,
            peer,
            connected: true,
        })
    }

    /// Opens `count` more connections for later exchanges, and gives up after [`WARM_UP_TIMEOUT`].
    /// Records nothing: an exchange that finds no idle connection opens one and reports the result.
    async fn open_idle(&self, count: usize) {
        self.connections.first_answers().await;
        let options = ConnectOptions {
            source_port: self.connections.next_port(self.scope),
            ..ConnectOptions::default()
        };
        if self.small_segments.load(Ordering::Relaxed) || options.source_port.is_some() {
            return;
        }
        let open = || async {
            let host = &self.target.host;
            let handshake = self.tls.reconnect(self.peer, host, options).await;
            let connection = HttpConnection::new(handshake.stream.ok()?, self.peer).await;
            self.connections
                .keep_idle(&self.target.key, connection.ok()?);
            Some(())
        };
        let opening = futures_util::future::join_all((0..count).map(|_| open()));
        // The deadline of each connection is far longer than its use here.
        let _ = timeout(WARM_UP_TIMEOUT, opening).await;
    }

    /// Opens another connection. If that takes long, idle connections may be using up a limit, so
    /// they are closed before the SYN is retransmitted.
    async fn reconnect(&self, options: ConnectOptions) -> Handshake {
        let opening = self.tls.reconnect(self.peer, &self.target.host, options);
        tokio::pin!(opening);
        if let Ok(handshake) = timeout(CLOSE_IDLE_AFTER, &mut opening).await {
            return handshake;
        }
        while_closing_idle(&self.connections, opening).await
    }

    /// Drops idle connections, so that secrets in their read buffers are wiped.
    pub fn close_idle(&self) {
        self.connections.close_idle(Some(&self.target.key));
    }

    fn keep(&self, connection: HttpConnection, exchange: &Exchange) {
        if exchange.reusable {
            self.connections.keep_idle(&self.target.key, connection);
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
        .map(|peer| connect(&context, &target, peer))
        .collect();
    let mut opening = FuturesUnordered::new();
    let mut first: Option<Arc<ConnectedTarget>> = None;
    let mut waiting = true;
    loop {
        if waiting && (connections.is_empty() || !opening.is_empty()) {
            waiting = false;
            context.connections.end();
        }
        let opened = tokio::select! {
            Some(connection) = connections.next() => {
                opening.extend(connection.map(|open| open_https(&context, &target, open)));
                continue;
            }
            Some(opened) = opening.next() => opened,
            else => break,
        };
        let Some(opened) = opened else {
            continue;
        };
        if first.is_some() {
            context
                .connections
                .keep_idle(&target.key, opened.connection);
            continue;
        }
        let peer = opened.connection.peer;
        let connected = Arc::new(ConnectedTarget {
            target: target.clone(),
            tls: context.tls.clone(),
            peer,
            scope: context.settings.location.scope(peer.ip()),
            connections: Arc::clone(&context.connections),
            small_segments: AtomicBool::new(opened.small_segments),
        });
        context
            .connections
            .keep_idle(&target.key, opened.connection);
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
    resolved.presented = addresses
        .iter()
        .map(|address| address.to_string().into())
        .collect();
    if context.settings.expect_private && target.dependency.has_interface_endpoint() {
        resolved.expected = vec!["an address inside the VPC".into()];
    }
    // Rules do not know the VPC's address ranges, so the scope is decided here.
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
}

/// Performs the handshake if the target has one, and records it. A failed handshake is repeated
/// over a fresh connection: one server of several may be broken, or a firewall may have been
/// changing its rules.
async fn open_https(
    context: &ProbeContext,
    target: &Target,
    TcpConnection { stream, peer }: TcpConnection,
) -> Option<HttpsConnection> {
    if !target.phases.contains(&Phase::Handshake) {
        return None;
    }
    let started = Instant::now();
    let host = &target.host;
    let retry = |options| {
        // Idle connections may use up a limit on connections.
        context.connections.close_idle(None);
        Box::pin(context.tls.reconnect(peer, host, options))
    };
    let mut count = TryCount::default();
    let mut stream = Some(stream);
    let mut intervals = RETRY_INTERVALS.iter();
    let (handshake, over_small_segments, small_segments_pass, largest_segment) = loop {
        let stream = stream.take();
        let first = async {
            match stream {
                Some(stream) => context.tls.handshake(stream, host).await,
                None => retry(ConnectOptions::default()).await,
            }
        };
        let SegmentSizeTest {
            result,
            over_small_segments,
            small_segments_pass,
            largest_segment,
            attempts,
            tries,
        } = path_mtu::retry_with_small_segments(Box::pin(first), retry, Handshake::end).await;
        let failure = result.stream.as_ref().err().copied();
        count.add(tries, attempts, failure);
        // A stall has already been retried.
        let lasts = failure.is_none() || failure == Some(Failure::Stalled);
        match intervals.next() {
            Some(&interval) if !lasts => sleep(interval).await,
            _ => {
                break (
                    result,
                    over_small_segments,
                    small_segments_pass,
                    largest_segment,
                );
            }
        }
    };
    let outcome = match &handshake.stream {
        Ok(_) => Outcome::Passed,
        Err(failure) => Outcome::Failed { failure: *failure },
    };
    let mut observation = context.observe_at(target, Phase::Handshake, outcome, started, peer);
    count.record(&mut observation);
    observation.small_segments_pass = small_segments_pass;
    observation.largest_segment = largest_segment;
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
        observation.expected = vec![host.into()];
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
    })
}

/// An open TCP connection.
pub struct TcpConnection {
    pub stream: TcpStream,
    peer: SocketAddr,
}

/// Connects to `peer` and records the result. Once the first connections to all targets have been
/// answered, tests several source ports towards the first healthy address of each scope, in the
/// background.
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
        let outcome = Outcome::NotChecked { why: why.into() };
        let skipped = context.observe_at(target, Phase::Connect, outcome, started, peer);
        context.recorder.record(skipped);
        return None;
    }
    let connections = &context.connections;
    let scope = context.settings.location.scope(peer.ip());
    let claimed = AtomicBool::new(false);
    let spread = async {
        sleep(SPREAD_AFTER_SILENCE).await;
        let first = !connections.any_answered() && connections.claim_port_test(scope);
        if !first && !connections.claim_suspect(&target.key) {
            return None;
        }
        claimed.store(true, Ordering::Relaxed);
        Some(Box::pin(tcp::test_source_ports(peer, connections.holds())).await)
    };
    tokio::pin!(spread);
    let ordinary = tcp::connect(peer);
    tokio::pin!(ordinary);
    let (mut connection, mut tested) = tokio::select! {
        connection = &mut ordinary => match connection.stream {
            Err(Failure::TimedOut) => (connection, spread.await),
            _ => (connection, None),
        },
        tested = &mut spread => (ordinary.await, tested),
    };
    if matches!(connection.stream, Err(Failure::TimedOut)) {
        let stream = match tested.as_mut().and_then(|test| test.stream.take()) {
            Some(stream) => Some(stream),
            None => try_alone(context, target, peer).await,
        };
        if let Some(stream) = stream {
            connection.stream = Ok(stream);
            connection.earlier_failure = Some(Failure::TimedOut);
            connection.tries = connection.tries.map(|tries| Tries {
                of: tries.of + 1,
                ..tries
            });
        }
    }
    let outcome = match connection.stream {
        Ok(_) => Outcome::Passed,
        // There is no router within a subnet, so nothing in it has this address.
        Err(Failure::IcmpUnreachable) if scope == Scope::SameSubnet => Outcome::Failed {
            failure: Failure::Unreachable,
        },
        Err(failure) => Outcome::Failed { failure },
    };
    let mut observation = context.observe_at(target, Phase::Connect, outcome, started, peer);
    observation.attempts = connection.tries.map_or(1, |tries| tries.of);
    observation.tries = connection.tries.filter(|tries| tries.of > 1);
    observation.earlier_failure = connection.earlier_failure;
    let stream = connection.stream.ok();
    if stream.is_some() {
        connections.note_answer(&target.key);
    }
    let claimed = claimed.load(Ordering::Relaxed);
    let suspect = observation.tries.is_some();
    let test_ports = stream.is_some()
        && tested.is_none()
        && (claimed
            || connections.claim_port_test(scope)
            || suspect && connections.claim_suspect(&target.key));
    let observation = match tested {
        Some(PortTest { ports, .. }) => with_source_ports(context, observation, ports),
        None => observation,
    };
    context.recorder.record(observation.clone());
    if stream.is_some() {
        test_ports_later(context, target, peer, observation, test_ports);
    }
    Some(TcpConnection {
        stream: stream?,
        peer,
    })
}

/// Tests several source ports towards an address that answered, or screens a few, in the
/// background.
fn test_ports_later(
    context: &ProbeContext,
    target: &Target,
    peer: SocketAddr,
    observation: Observation,
    test: bool,
) {
    let is_first = context.connections.claim_screen(&target.key);
    let background = context.clone();
    if test {
        context.connections.begin_port_test();
        context.recorder.spawn(async move {
            background.connections.first_answers().await;
            record_port_test(&background, observation, peer).await;
            background.connections.end_port_test();
        });
    } else if is_first && observation.source_ports.is_none() {
        let key = target.key.clone();
        context.recorder.spawn(async move {
            let connections = &background.connections;
            connections.first_answers().await;
            let _turn = connections.turn_to_screen().await;
            if tcp::screen_source_ports(peer, connections.holds()).await
                && connections.claim_suspect(&key)
            {
                record_port_test(&background, observation, peer).await;
            }
        });
    }
}

async fn record_port_test(context: &ProbeContext, observation: Observation, peer: SocketAddr) {
    let holds = context.connections.holds();
    let PortTest { ports, .. } = Box::pin(tcp::test_source_ports(peer, holds)).await;
    let observation = with_source_ports(context, observation, ports);
    context.recorder.record(observation);
}

/// Tries a silent address once more if others have answered: alone, and while the probe closes its
/// idle connections. A device that limits connections would otherwise look like a filter.
async fn try_alone(context: &ProbeContext, target: &Target, peer: SocketAddr) -> Option<TcpStream> {
    let connections = &context.connections;
    if !connections.any_answered() {
        return None;
    }
    let mut failures = connections.turn_alone(&target.key).await;
    if *failures >= MAX_ALONE_FAILURES {
        return None;
    }
    let reconnect = timeout(
        ALONE_TIMEOUT,
        tcp::reconnect(peer, ConnectOptions::default()),
    );
    let opened = while_closing_idle(connections, reconnect).await;
    let stream = opened.ok().and_then(Result::ok);
    *failures = if stream.is_some() { 0 } else { *failures + 1 };
    stream
}

/// Waits for `opening` while closing idle connections at short intervals and holding up tests.
async fn while_closing_idle<T>(connections: &Connections, opening: impl Future<Output = T>) -> T {
    let mut ticks = interval(CLOSE_IDLE_INTERVAL);
    let _hold = connections.hold_tests();
    tokio::pin!(opening);
    loop {
        tokio::select! {
            result = &mut opening => return result,
            _ = ticks.tick() => connections.close_idle(None),
        }
    }
}

/// Adds the test of several source ports. If a range of ports that a task uses is blocked, the
/// observation fails even though this one connection got through.
fn with_source_ports(
    context: &ProbeContext,
    mut observation: Observation,
    ports: SourcePorts,
) -> Observation {
    if ports.are_sorted() {
        // The kernel picks from 32768-60999, so further connections use ports that are known to
        // pass.
        if let Some(scope) = observation.scope {
            context.connections.use_ports(scope, &ports.answered);
        }
        if observation.passed() && tcp::blocks_ephemeral_ports(&ports) {
            observation.outcome = Outcome::Failed {
                failure: Failure::TimedOut,
            };
            observation.earlier_failure = None;
        }
    }
    if !ports.silent.is_empty() && !ports.answered.is_empty() {
        let ports = format!("{:?}, responses to {:?}", ports.silent, ports.answered);
        observation.detail = safe_text!["no response to source ports ", ports];
    }
    observation.source_ports = Some(ports);
    observation
}
