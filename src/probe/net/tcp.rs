//! `connect`: TCP, from one source port or a spread of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::observation::{Failure, SMALL_MSS, SourcePorts};

/// Linux sends an unanswered SYN again after 1 s and 3 s, so silence until here is three packets
/// lost: filtered, not unlucky. It keeps a run in which everything is silent within 8 s.
pub const CONNECT_DEADLINE: Duration = Duration::from_millis(4_200);

/// A path that has not answered by now (first SYN and its first repetition unanswered) is also
/// tried from other ports.
const SUSPICIOUS_AFTER: Duration = Duration::from_millis(1_200);

/// Source ports from 1024 to 65535: both ends, both sides of the usual ephemeral ranges (Linux
/// 32768-60999, IANA 49152-65535, NAT gateways 1024-65535), and enough between to see where an
/// allowed range begins. They are dialled in this order: a server or a firewall that takes only so
/// many connections lets the first through, which must not look like a range of ports.
const SPREAD: [u16; 12] = [
    42_013, 5_003, 59_999, 20_011, 35_023, 1_027, 52_009, 28_019, 64_997, 12_007, 48_991, 32_503,
];

/// How far a port's neighbour is. It crosses neither edge of the usual ranges.
const NEIGHBOUR: u16 = 97;

/// Linux repeats a SYN after a second (RFC 6298 section 2); an answer that took nearly as long is
/// one to the repetition.
const REPETITION: Duration = Duration::from_millis(900);

/// A first round that has ended so long after it began had a SYN and one repetition.
const FIRST_ROUND: Duration = Duration::from_millis(1_300);

/// The same where nobody waits: a packet that was lost twice on a bad path comes through on the
/// third try.
const PATIENT_ROUND: Duration = Duration::from_millis(2_200);

/// The range from which Linux, and so a Fargate task, picks its source ports
/// (`net.ipv4.ip_local_port_range`).
const LINUX_EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// How a connection is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// Source port; the kernel's choice if none.
    pub source_port: Option<u16>,
    /// Advertise and use segments of at most [`SMALL_MSS`] bytes.
    pub small_segments: bool,
}

/// What one address showed.
pub struct Dialled {
    /// The connection to go on with, also where only some source ports get through.
    pub stream: Option<TcpStream>,
    /// How the ordinary connection failed.
    pub failure: Option<Failure>,
    /// The spread, if it was tried.
    pub source_ports: Option<SourcePorts>,
}

/// Connects to `peer`. Silence brings a spread of source ports.
pub async fn dial(peer: SocketAddr) -> Dialled {
    let deadline = Instant::now() + CONNECT_DEADLINE;
    let ordinary = open(peer, Shape::default());
    let others = async {
        sleep(SUSPICIOUS_AFTER).await;
        spread(peer, FIRST_ROUND, deadline).await
    };
    tokio::pin!(ordinary, others);
    let mut early = None;
    let ordinary = loop {
        tokio::select! {
            result = timeout_at(deadline, &mut ordinary) => break result.unwrap_or(Err(Failure::TimedOut)),
            result = &mut others, if early.is_none() => early = Some(result),
        }
    };
    match ordinary {
        Ok(stream) => Dialled {
            stream: Some(stream),
            failure: None,
            source_ports: early.map(|(ports, _)| ports),
        },
        Err(Failure::TimedOut) => {
            let (ports, stream) = match early {
                Some(result) => result,
                None => others.await,
            };
            // Other ports answer, and none is known to be shut: the packets were lost, and the path
            // is there.
            let failure = (stream.is_none() || ports.silent.len() > 1).then_some(Failure::TimedOut);
            Dialled {
                stream,
                failure,
                source_ports: Some(ports),
            }
        }
        Err(failure) => Dialled {
            stream: None,
            failure: Some(failure),
            source_ports: None,
        },
    }
}

/// Tries a path that works from the spread of source ports.
pub async fn spread_of_a_healthy_path(peer: SocketAddr) -> SourcePorts {
    spread(
        peer,
        PATIENT_ROUND,
        Instant::now() + PATIENT_ROUND + CONNECT_DEADLINE - FIRST_ROUND,
    )
    .await
    .0
}

/// Whether silence from these ports stops a Linux task from connecting. One port may be bad luck.
pub fn stops_a_task(ports: &SourcePorts) -> bool {
    ports
        .silent
        .iter()
        .filter(|port| LINUX_EPHEMERAL.contains(port))
        .count()
        > 1
}

/// Two rounds. In the second, the ports that were silent are tried again, so that a lost packet is
/// not taken for a filter; where only some were, every port's neighbour as well, which a filter by
/// port treats alike and chance does not.
async fn spread(
    peer: SocketAddr,
    first: Duration,
    deadline: Instant,
) -> (SourcePorts, Option<TcpStream>) {
    let Tried {
        mut ports,
        mut kept,
        lossy,
    } = from_ports(peer, &SPREAD, (Instant::now() + first).min(deadline)).await;
    if ports.silent.is_empty() {
        return (ports, kept);
    }
    let mixed = !ports.answered.is_empty();
    let neighbours = SPREAD.iter().filter(|_| mixed).map(|port| port + NEIGHBOUR);
    let wanted: Vec<u16> = neighbours.chain(ports.silent).collect();
    let again = from_ports(peer, &wanted, deadline).await;
    // Who answered some and then nobody, neighbours included, goes by how many, not by port.
    ports.silent = if mixed && again.ports.answered.is_empty() {
        Vec::new()
    } else {
        again.ports.silent
    };
    ports.answered.extend(again.ports.answered);
    ports.answered.sort_unstable();
    ports.silent.sort_unstable();
    // Answers that came only to a repeated SYN speak of loss. A filter lets through at once or
    // never.
    if (lossy || again.lossy) && !ports.are_sorted() {
        ports.silent.clear();
    }
    kept = kept.or(again.kept);
    (ports, kept)
}

/// What one round of source ports showed.
struct Tried {
    ports: SourcePorts,
    /// The first connection.
    kept: Option<TcpStream>,
    /// An answer took longer than a SYN's first repetition.
    lossy: bool,
}

async fn from_ports(peer: SocketAddr, ports: &[u16], deadline: Instant) -> Tried {
    let started = Instant::now();
    let tries = ports.iter().map(|&port| async move {
        let shape = Shape {
            source_port: Some(port),
            ..Shape::default()
        };
        let result = timeout_at(deadline, open_near(peer, shape))
            .await
            .unwrap_or(Err(Failure::TimedOut));
        (port, result, started.elapsed() > REPETITION)
    });
    let (mut seen, mut kept, mut lossy) = (SourcePorts::default(), None, false);
    for (port, result, late) in join_all(tries).await {
        lossy |= late && result.is_ok();
        match result {
            Ok(stream) if kept.is_none() => {
                seen.answered.push(port);
                kept = Some(stream);
            }
            Ok(stream) => {
                seen.answered.push(port);
                // RST instead of FIN: the port is free again at once and no TIME_WAIT stays behind.
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            Err(Failure::TimedOut) => seen.silent.push(port),
            // Taken on this machine, refused, unreachable: says nothing about a filter by port.
            Err(_) => {}
        }
    }
    Tried {
        ports: seen,
        kept,
        lossy,
    }
}

/// As [`open`], from the next port if the wanted one is taken on this machine.
async fn open_near(peer: SocketAddr, shape: Shape) -> Result<TcpStream, Failure> {
    let wanted = shape.source_port.unwrap_or_default();
    let mut result = Err(Failure::UnexpectedAnswer);
    for port in wanted..wanted.saturating_add(3) {
        result = open(
            peer,
            Shape {
                source_port: Some(port),
                ..shape
            },
        )
        .await;
        if result.as_ref().err() != Some(&Failure::UnexpectedAnswer) {
            break;
        }
    }
    result
}

/// One connection. The caller sets the time limit.
async fn open(peer: SocketAddr, shape: Shape) -> Result<TcpStream, Failure> {
    let socket = socket(peer, shape).map_err(|error| failure_of(&error))?;
    let stream = socket
        .connect(peer)
        .await
        .map_err(|error| failure_of(&error))?;
    // The exchanges are small and wait for each other; Nagle would add a round trip.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// A further connection to an address that has answered before, for at most [`CONNECT_DEADLINE`].
pub async fn open_again(peer: SocketAddr, shape: Shape) -> Result<TcpStream, Failure> {
    let opening = async {
        match shape.source_port {
            Some(_) => open_near(peer, shape).await,
            None => open(peer, shape).await,
        }
    };
    timeout(CONNECT_DEADLINE, opening)
        .await
        .unwrap_or(Err(Failure::TimedOut))
}

fn socket(peer: SocketAddr, shape: Shape) -> io::Result<TcpSocket> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if shape.small_segments {
        socket.set_tcp_mss(SMALL_MSS)?;
    }
    if let Some(port) = shape.source_port {
        let any: IpAddr = if peer.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new(any, port).into())?;
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// What the kernel's word for a failed connection means.
pub fn failure_of(error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Failure::Refused,
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::UnexpectedEof => Failure::Reset,
        Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::NetworkDown
        | Kind::PermissionDenied => Failure::Unreachable,
        Kind::TimedOut => Failure::TimedOut,
        _ => Failure::UnexpectedAnswer,
    }
}

/// Whether this machine has a way to send to `peer`'s address family at all. A task without an IPv6
/// address is not broken because a name also has an IPv6 answer.
pub fn has_family(peer: SocketAddr) -> bool {
    if peer.is_ipv4() {
        return true;
    }
    let socket = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0));
    socket.and_then(|socket| socket.connect(peer)).is_ok()
}

/// The address that this machine would use towards `peer`.
pub fn own_address(peer: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if peer.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
