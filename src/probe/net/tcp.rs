//! `connect`: opens TCP connections, from a source port of the kernel's choice or from ports spread
//! over the whole range.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{OnceCell, Semaphore, SetError, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::network_location::{IpFamily, unspecified};
use crate::observation::{Failure, SMALL_MSS, SMALL_MSS_IPV6, SourcePorts, Tries};
use crate::os;
use crate::transport_failure;

/// Time limit of a connection. Linux retransmits an unanswered SYN after 1 s and 3 s, so silence
/// for this long means that three packets were lost, which is a filter rather than chance. The
/// limit keeps a run in which every target is silent within 8 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(4_200);

/// A connection without a response for this long is tried again in parallel, from another source
/// port: its first SYN and the retransmission a second later are lost.
const RETRY_AFTER_SILENCE: Duration = Duration::from_millis(1_200);

/// Pause before the next try after a refusal or a reset.
const RETRY_PAUSE: Duration = Duration::from_millis(400);

/// Maximum number of connections that are opened to see whether a failure persists; the AWS SDKs
/// make as many attempts.
const MAX_TRIES: u32 = 3;

/// Source ports from 1024 to 65535 that are tested: both ends, both sides of the usual ephemeral
/// ranges (Linux 32768-60999, IANA 49152-65535, NAT gateways 1024-65535), and enough in between to
/// show where an allowed range begins. The order matters: a server or firewall that limits the
/// number of connections accepts the first ones, which must not look like a range of ports.
const TEST_PORTS: [u16; 12] = [
    42_013, 5_003, 59_999, 20_011, 35_023, 1_027, 52_009, 28_019, 64_997, 12_007, 48_991, 32_503,
];

/// The ports of [`screen_source_ports`]: both ends of the range from which Linux picks. An allowed
/// range that cuts off either end blocks one of them; only a gap between them is missed.
const SCREEN_PORTS: [u16; 2] = [35_023, 59_999];

/// Maximum number of test connections that wait for a response at the same time: about as many as a
/// task opens, so that the test does not hit a limit that the task would not.
const MAX_CONCURRENT_TESTS: usize = 2;

/// A test connection without a response for this long no longer counts against
/// [`MAX_CONCURRENT_TESTS`], although its SYN may still be answered.
const TEST_SPACING: Duration = Duration::from_millis(250);

/// Distance from a test port to its neighbor. It crosses neither edge of the usual ranges.
const NEIGHBOR_OFFSET: u16 = 97;

/// Time limit of each test connection: a SYN and one retransmission.
const ROUND_TIMEOUT: Duration = Duration::from_millis(1_300);

/// The range from which Linux, and so a Fargate task, picks its source ports
/// (`net.ipv4.ip_local_port_range`).
const LINUX_EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// How to open a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `None` lets the kernel choose.
    pub source_port: Option<u16>,
    /// Whether to advertise and use segments of at most [`SMALL_MSS`] bytes, or [`SMALL_MSS_IPV6`]
    /// for IPv6.
    pub small_segments: bool,
    /// Advertises and uses segments of at most this many bytes instead.
    pub max_segment: Option<u32>,
    /// How long to wait for the connection.
    pub timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            source_port: None,
            small_segments: false,
            max_segment: None,
            timeout: CONNECT_TIMEOUT,
        }
    }
}

/// The result of connecting to one address.
pub struct ConnectResult {
    pub stream: Result<TcpStream, Failure>,
    /// How many tries failed, of how many; `None` if the first was answered.
    pub tries: Option<Tries>,
    /// The failure of the earlier tries, if a later one was answered.
    pub earlier_failure: Option<Failure>,
}

/// Connects to `peer`, from source ports of the kernel's choice. A try that is silent, refused or
/// reset is repeated, so that only a persistent failure counts.
pub async fn connect(peer: SocketAddr) -> ConnectResult {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let mut opening = FuturesUnordered::new();
    let (mut started, mut errors) = (0, 0);
    let mut failure = None;
    let mut next = Instant::now();
    loop {
        tokio::select! {
            // A response that has arrived counts, even if the probe is late to read it.
            biased;
            Some((index, result)) = opening.next() => match result {
                Ok(stream) => {
                    let silent_before = index - errors.min(index);
                    let failed = errors + silent_before;
                    return ConnectResult {
                        stream: Ok(stream),
                        tries: (failed > 0).then_some(Tries { failed, of: failed + 1 }),
                        earlier_failure: (failed > 0)
                            .then(|| failure.unwrap_or(Failure::TimedOut)),
                    };
                }
                Err(error) => {
                    errors += 1;
                    failure = Some(error);
                    next = Instant::now() + RETRY_PAUSE;
                    if errors == MAX_TRIES {
                        break;
                    }
                }
            },
            () = sleep_until(next), if started < MAX_TRIES => {
                let index = started;
                opening.push(async move { (index, open(peer, ConnectOptions::default()).await) });
                started += 1;
                next = Instant::now() + RETRY_AFTER_SILENCE;
            }
            () = sleep_until(deadline) => break,
        }
    }
    ConnectResult {
        stream: Err(failure.unwrap_or(Failure::TimedOut)),
        tries: Some(Tries {
            failed: started,
            of: started,
        }),
        earlier_failure: None,
    }
}

/// Whether the silent ports can keep a Linux task from connecting. A single silent port may be
/// chance.
pub fn blocks_ephemeral_ports(ports: &SourcePorts) -> bool {
    ports
        .silent
        .iter()
        .filter(|port| LINUX_EPHEMERAL.contains(port))
        .count()
        > 1
}

/// The result of connecting from several source ports.
pub struct PortTest {
    pub ports: SourcePorts,
    /// The first connection that was answered.
    pub stream: Option<TcpStream>,
}

/// Connects to `peer` from [`TEST_PORTS`] and, if only some of them are answered, once more from
/// each of them and from its neighbor. A filter by source port treats a port the same each time,
/// and its neighbor like it. If the results differ, packets are lost at random, or something limits
/// new or simultaneous connections; then no port counts as silent. Opens no connection while
/// `holds` is not 0.
pub async fn test_source_ports(peer: SocketAddr, holds: watch::Receiver<usize>) -> PortTest {
    let mut test = connect_from_ports(peer, &TEST_PORTS, &holds).await;
    if test.ports.silent.is_empty() || test.ports.answered.is_empty() {
        test.ports.sort();
        return test;
    }
    let neighbors = TEST_PORTS.map(|port| port + NEIGHBOR_OFFSET);
    let repeated: Vec<u16> = TEST_PORTS
        .iter()
        .zip(&neighbors)
        .flat_map(|(port, neighbor)| [*port, *neighbor])
        .collect();
    let again = connect_from_ports(peer, &repeated, &holds).await;
    let changes = |first: &[u16], later: &[u16]| {
        first
            .iter()
            .any(|port| later.contains(port) || later.contains(&(port + NEIGHBOR_OFFSET)))
    };
    let by_chance = changes(&test.ports.answered, &again.ports.silent)
        || changes(&test.ports.silent, &again.ports.answered);
    for (known, new) in [
        (&mut test.ports.answered, again.ports.answered),
        (&mut test.ports.silent, again.ports.silent),
    ] {
        known.extend(new);
    }
    test.ports.sort();
    if by_chance {
        test.ports.silent.clear();
    }
    test.stream = test.stream.or(again.stream);
    test
}

/// Whether any of [`SCREEN_PORTS`] gets no response, so that [`test_source_ports`] is worth its
/// load.
pub async fn screen_source_ports(peer: SocketAddr, holds: watch::Receiver<usize>) -> bool {
    let test = connect_from_ports(peer, &SCREEN_PORTS, &holds).await;
    !test.ports.silent.is_empty()
}

/// Tries `ports` in order, at most [`MAX_CONCURRENT_TESTS`] at a time. Keeps the first connection
/// that is answered, and closes the others at once, because they would count against a limit on
/// connections.
async fn connect_from_ports(
    peer: SocketAddr,
    ports: &[u16],
    holds: &watch::Receiver<usize>,
) -> PortTest {
    let slots = Semaphore::new(MAX_CONCURRENT_TESTS);
    let first = OnceCell::new();
    let (slots, kept) = (&slots, &first);
    let connections = ports.iter().map(|&port| async move {
        let mut slot = slots.acquire().await.ok();
        // Without a sender, no check is waiting.
        let _ = holds.clone().wait_for(|waiting| *waiting == 0).await;
        let opening = timeout(ROUND_TIMEOUT, open_near_port(peer, port, false));
        tokio::pin!(opening);
        let result = tokio::select! {
            result = &mut opening => result,
            () = sleep(TEST_SPACING) => {
                slot = None;
                opening.await
            }
        };
        drop(slot);
        let result = result.unwrap_or(Err(Failure::TimedOut));
        let further = result.map(|stream| kept.set(stream).err());
        if let Ok(Some(SetError::AlreadyInitializedError(stream))) = &further {
            // RST instead of FIN: the port is free again at once, without TIME_WAIT.
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        (port, further.map(drop))
    });
    let mut ports = SourcePorts::default();
    for (port, result) in join_all(connections).await {
        match result {
            Ok(()) => ports.answered.push(port),
            Err(Failure::TimedOut) => ports.silent.push(port),
            // The port is in use on this machine, or the peer is unreachable or refuses the
            // connection. None of these is evidence of a filter by port.
            Err(_) => {}
        }
    }
    PortTest {
        ports,
        stream: first.into_inner(),
    }
}

/// Connects from `port`, or from one of the next two if it is in use on this machine.
async fn open_near_port(
    peer: SocketAddr,
    port: u16,
    small_segments: bool,
) -> Result<TcpStream, Failure> {
    let mut result = Err(Failure::UnexpectedAnswer);
    for source_port in port..port.saturating_add(3) {
        let options = ConnectOptions {
            source_port: Some(source_port),
            small_segments,
            ..ConnectOptions::default()
        };
        result = open(peer, options).await;
        if result.as_ref().err() != Some(&Failure::UnexpectedAnswer) {
            break;
        }
    }
    result
}

/// Opens one connection. The caller sets the time limit.
async fn open(peer: SocketAddr, options: ConnectOptions) -> Result<TcpStream, Failure> {
    let socket = socket(peer, options).map_err(|error| failure_of(&error))?;
    let stream = socket
        .connect(peer)
        .await
        .map_err(|error| match error.kind() {
            // This machine has a route, so the ICMP message came over the network.
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
                if local_address_towards(peer).is_some() =>
            {
                Failure::IcmpUnreachable
            }
            _ => failure_of(&error),
        })?;
    // The exchanges are small and wait for each other, so Nagle's algorithm would add a round trip.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Opens a further connection to an address that has responded before.
pub async fn reconnect(peer: SocketAddr, options: ConnectOptions) -> Result<TcpStream, Failure> {
    let opening = async {
        match options.source_port {
            Some(port) => open_near_port(peer, port, options.small_segments).await,
            None => open(peer, options).await,
        }
    };
    timeout(options.timeout, opening)
        .await
        .unwrap_or(Err(Failure::TimedOut))
}

fn socket(peer: SocketAddr, options: ConnectOptions) -> io::Result<TcpSocket> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    let small = match peer {
        SocketAddr::V4(_) => SMALL_MSS,
        SocketAddr::V6(_) => SMALL_MSS_IPV6,
    };
    let small = options.small_segments.then_some(small);
    if let Some(size) = options.max_segment.or(small) {
        os::set_max_segment_size(&socket, size)?;
    }
    if let Some(port) = options.source_port {
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new(unspecified(peer), port).into())?;
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Converts an I/O error of a connection to a failure.
pub fn failure_of(error: &io::Error) -> Failure {
    match error.kind() {
        // A firewall of this machine rejects the packet.
        io::ErrorKind::PermissionDenied => Failure::Unreachable,
        // Other errors include an occupied source port, which callers distinguish.
        _ => transport_failure::from_io(error).unwrap_or(Failure::UnexpectedAnswer),
    }
}

/// Whether this machine can send to `peer`. IPv4 always counts as routed; without an IPv6 route, an
/// additional IPv6 address of a name is not a failure.
pub fn has_route(peer: SocketAddr) -> bool {
    peer.is_ipv4() || local_address_towards(peer).is_some()
}

/// Returns the IP versions with which this machine can send to public addresses; `None` without
/// any. Sends nothing.
pub fn ip_family_of_this_machine() -> Option<IpFamily> {
    // Documentation addresses (RFC 5737, RFC 3849), to which only a default route leads.
    let v4 = SocketAddr::from(([192, 0, 2, 1], 443));
    let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 443));
    let has_route = |peer| local_address_towards(peer).is_some();
    IpFamily::of(has_route(v4), has_route(v6))
}

/// Returns the source address that the kernel picks for packets to `peer`. Sends nothing.
pub fn local_address_towards(peer: SocketAddr) -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((unspecified(peer), 0)).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
