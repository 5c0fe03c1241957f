//! `connect`: opens TCP connections, from a source port of the kernel's choice or from ports spread
//! over the whole range.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::network_location::IpFamily;
use crate::observation::{Failure, SMALL_MSS, SourcePorts};
use crate::transport_failure;

/// Linux repeats an unanswered SYN after 1 s and 3 s, so no response by now means that three
/// packets were lost: they are filtered, and not lost by chance. The limit keeps a run in which
/// every target is silent within 8 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(4_200);

/// A connection that has no response by now (first SYN and first repetition unanswered) is also
/// tried from other source ports.
const PORT_TEST_AFTER: Duration = Duration::from_millis(1_200);

/// Source ports from 1024 to 65535: both ends, both sides of the usual ephemeral ranges (Linux
/// 32768-60999, IANA 49152-65535, NAT gateways 1024-65535), and enough between to see where an
/// allowed range begins. The order matters: a server or firewall that limits the number of
/// connections accepts the first ones, which must not look like a range of ports.
const TEST_PORTS: [u16; 12] = [
    42_013, 5_003, 59_999, 20_011, 35_023, 1_027, 52_009, 28_019, 64_997, 12_007, 48_991, 32_503,
];

/// Distance from a test port to its neighbor. It crosses neither edge of the usual ranges.
const NEIGHBOR_OFFSET: u16 = 97;

/// Linux repeats a SYN after a second (RFC 6298 section 2); a response that took nearly as long
/// answers the repetition.
const SYN_REPEATED_AFTER: Duration = Duration::from_millis(900);

/// Time limit of the first round of ports: a SYN and one repetition.
const FIRST_ROUND_TIMEOUT: Duration = Duration::from_millis(1_300);

/// The same limit where no other check waits for the result: on a lossy path, the third SYN may get
/// through after two were lost.
const PATIENT_ROUND_TIMEOUT: Duration = Duration::from_millis(2_200);

/// The range from which Linux, and so a Fargate task, picks its source ports
/// (`net.ipv4.ip_local_port_range`).
const LINUX_EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// How a connection is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `None` lets the kernel choose.
    pub source_port: Option<u16>,
    /// Advertise and use segments of at most [`SMALL_MSS`] bytes.
    pub small_segments: bool,
}

/// The result of connecting to one address.
pub struct ConnectResult {
    /// The connection to use, also where only some source ports get through.
    pub stream: Option<TcpStream>,
    /// How the connection from the kernel's source port failed.
    pub failure: Option<Failure>,
    /// The result of the test from several source ports, if it ran.
    pub source_ports: Option<SourcePorts>,
}

/// Connects to `peer`. If there is no response, also tries several source ports.
pub async fn connect(peer: SocketAddr) -> ConnectResult {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let ordinary = open(peer, ConnectOptions::default());
    let port_test = async {
        sleep(PORT_TEST_AFTER).await;
        test_ports(peer, FIRST_ROUND_TIMEOUT, deadline).await
    };
    tokio::pin!(ordinary, port_test);
    let mut early = None;
    let ordinary = loop {
        tokio::select! {
            result = timeout_at(deadline, &mut ordinary) => break result.unwrap_or(Err(Failure::TimedOut)),
            result = &mut port_test, if early.is_none() => early = Some(result),
        }
    };
    match ordinary {
        Ok(stream) => ConnectResult {
            stream: Some(stream),
            failure: None,
            source_ports: early.map(|test| test.ports),
        },
        Err(Failure::TimedOut) => {
            let PortTest { ports, stream, .. } = match early {
                Some(result) => result,
                None => port_test.await,
            };
            // If other ports get through and at most one is blocked, packets were lost at random
            // and the path works.
            let failure = (stream.is_none() || ports.silent.len() > 1).then_some(Failure::TimedOut);
            ConnectResult {
                stream,
                failure,
                source_ports: Some(ports),
            }
        }
        Err(failure) => ConnectResult {
            stream: None,
            failure: Some(failure),
            source_ports: None,
        },
    }
}

/// Connects to an address that is known to respond, from several source ports.
pub async fn test_source_ports(peer: SocketAddr) -> SourcePorts {
    let deadline = Instant::now() + PATIENT_ROUND_TIMEOUT + CONNECT_TIMEOUT - FIRST_ROUND_TIMEOUT;
    test_ports(peer, PATIENT_ROUND_TIMEOUT, deadline)
        .await
        .ports
}

/// Whether the silent ports can keep a Linux task from connecting. A single one may be coincidence.
pub fn blocks_ephemeral_ports(ports: &SourcePorts) -> bool {
    ports
        .silent
        .iter()
        .filter(|port| LINUX_EPHEMERAL.contains(port))
        .count()
        > 1
}

/// Connections from several source ports.
struct PortTest {
    ports: SourcePorts,
    /// The first connection that succeeded.
    stream: Option<TcpStream>,
    /// A response took longer than the first repetition of a SYN.
    lossy: bool,
}

/// Tests [`TEST_PORTS`] in two rounds. The second repeats the ports without a response, so that a
/// lost packet is not taken for a filter. If only some ports were silent, it also tests every
/// port's neighbor: a filter by port range treats neighbors alike, and chance does not.
async fn test_ports(peer: SocketAddr, first_round: Duration, deadline: Instant) -> PortTest {
    let first_deadline = (Instant::now() + first_round).min(deadline);
    let mut test = connect_from_ports(peer, &TEST_PORTS, first_deadline).await;
    if test.ports.silent.is_empty() {
        return test;
    }
    let mixed = !test.ports.answered.is_empty();
    let neighbors = TEST_PORTS
        .iter()
        .filter(|_| mixed)
        .map(|port| port + NEIGHBOR_OFFSET);
    let second_ports: Vec<u16> = neighbors.chain(test.ports.silent).collect();
    let second = connect_from_ports(peer, &second_ports, deadline).await;
    // A peer that accepted some connections and then no more, not even from neighbors, limits the
    // number of connections, not the ports.
    test.ports.silent = if mixed && second.ports.answered.is_empty() {
        Vec::new()
    } else {
        second.ports.silent
    };
    test.ports.answered.extend(second.ports.answered);
    test.ports.answered.sort_unstable();
    test.ports.silent.sort_unstable();
    test.lossy |= second.lossy;
    // Responses that came only to a repeated SYN indicate packet loss. A filter passes or drops
    // every packet of a port.
    if test.lossy && !test.ports.are_sorted() {
        test.ports.silent.clear();
    }
    test.stream = test.stream.or(second.stream);
    test
}

async fn connect_from_ports(peer: SocketAddr, ports: &[u16], deadline: Instant) -> PortTest {
    let started = Instant::now();
    let connections = ports.iter().map(|&port| async move {
        let result = timeout_at(deadline, open_near_port(peer, port, false))
            .await
            .unwrap_or(Err(Failure::TimedOut));
        (port, result, started.elapsed() > SYN_REPEATED_AFTER)
    });
    let mut test = PortTest {
        ports: SourcePorts::default(),
        stream: None,
        lossy: false,
    };
    for (port, result, late) in join_all(connections).await {
        test.lossy |= late && result.is_ok();
        match result {
            Ok(stream) if test.stream.is_none() => {
                test.ports.answered.push(port);
                test.stream = Some(stream);
            }
            Ok(stream) => {
                test.ports.answered.push(port);
                // RST instead of FIN: the port is free again at once, without TIME_WAIT.
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            Err(Failure::TimedOut) => test.ports.silent.push(port),
            // The port is in use on this machine, or the peer is unreachable or refuses: none of
            // these is evidence of a filter by port.
            Err(_) => {}
        }
    }
    test
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
            // This machine has a route, so the message came over the network.
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
                if local_address_towards(peer).is_some() =>
            {
                Failure::IcmpUnreachable
            }
            _ => failure_of(&error),
        })?;
    // The exchanges are small and wait for each other; Nagle would add a round trip.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Opens a further connection to an address that has responded before. Waits at most
/// [`CONNECT_TIMEOUT`].
pub async fn reconnect(peer: SocketAddr, options: ConnectOptions) -> Result<TcpStream, Failure> {
    let opening = async {
        match options.source_port {
            Some(port) => open_near_port(peer, port, options.small_segments).await,
            None => open(peer, options).await,
        }
    };
    timeout(CONNECT_TIMEOUT, opening)
        .await
        .unwrap_or(Err(Failure::TimedOut))
}

fn socket(peer: SocketAddr, options: ConnectOptions) -> io::Result<TcpSocket> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if options.small_segments {
        socket.set_tcp_mss(SMALL_MSS)?;
    }
    if let Some(port) = options.source_port {
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new(unspecified(peer), port).into())?;
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Returns the failure that an I/O error of a connection stands for.
pub fn failure_of(error: &io::Error) -> Failure {
    match error.kind() {
        // A firewall of this machine rejects the packet.
        io::ErrorKind::PermissionDenied => Failure::Unreachable,
        // The rest includes an occupied source port, which callers distinguish.
        _ => transport_failure::from_io(error).unwrap_or(Failure::UnexpectedAnswer),
    }
}

/// Whether this machine has a route for the address family of `peer`. A task without an IPv6
/// address is not broken because a name also has an IPv6 address.
pub fn has_route(peer: SocketAddr) -> bool {
    peer.is_ipv4() || local_address_towards(peer).is_some()
}

/// Returns the IP versions with which this machine can send to public addresses; `None` without
/// any. Sends nothing.
pub fn ip_family_of_this_machine() -> Option<IpFamily> {
    // Addresses for documentation (RFC 5737, RFC 3849), which only a default route leads to.
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

/// Returns the unspecified address of the same family as `peer`.
fn unspecified(peer: SocketAddr) -> IpAddr {
    if peer.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    }
}
