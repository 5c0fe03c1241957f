//! Queries to one resolver, and the resolvers of this machine.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::network_location::unspecified;
use crate::observation::Failure;

/// How long the C library and Go's resolver wait for the answer to one query (resolv.conf(5),
/// `timeout`).
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The error that Linux returns if a filter on the same machine drops a packet. For an address to
/// which a program may not send, it is `EACCES`, which the standard library does not distinguish.
const EPERM: i32 = 1;

/// Returns the resolvers of `/etc/resolv.conf`, in order. Fails if it cannot be read.
pub fn resolvers_of_this_machine() -> io::Result<Vec<SocketAddr>> {
    Ok(name_servers(&fs::read_to_string("/etc/resolv.conf")?))
}

/// Reads the `nameserver` lines of resolv.conf(5). The other lines do not apply to fully qualified
/// names.
fn name_servers(resolv_conf: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words
            .next()
            .filter(|word| *word == "nameserver")
            .and_then(|_| words.next())?;
        // An IPv6 address may name its interface.
        address.split('%').next()?.parse().ok()
    };
    resolv_conf
        .lines()
        .filter_map(address)
        .map(|address| SocketAddr::new(address, 53))
        .collect()
}

/// Returns the IPv4 addresses of `host` from the first resolver, or none on failure, without an
/// observation. The C library's lookup would add its whole name service to a static binary.
pub async fn addresses(host: &str) -> Vec<IpAddr> {
    if let Ok(literal) = host.parse() {
        return vec![literal];
    }
    // RFC 6761 section 6.3.
    if host.eq_ignore_ascii_case("localhost") {
        return vec![
            IpAddr::from([127, 0, 0, 1]),
            std::net::Ipv6Addr::LOCALHOST.into(),
        ];
    }
    let servers = resolvers_of_this_machine().unwrap_or_default();
    let Some(&server) = servers.first() else {
        return Vec::new();
    };
    let Ok(response) = query(server, host, RecordType::A, ANSWER_TIMEOUT).await else {
        return Vec::new();
    };
    let address = |data: &RData| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        _ => None,
    };
    response
        .message
        .answers
        .iter()
        .filter_map(|record| address(&record.data))
        .collect()
}

/// A resolver's response.
pub struct DnsResponse {
    /// The DNS message.
    pub message: Message,
    /// Whether the message did not fit into a UDP datagram and was read over TCP.
    pub over_tcp: bool,
}

/// Why a resolver did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryFailure {
    /// The reason.
    pub failure: Failure,
    /// Whether the UDP answer was truncated and the TCP retry failed.
    pub over_tcp: bool,
}

/// Sends one query for records of `kind` to `server`, and waits up to `limit` for the answer.
pub async fn query(
    server: SocketAddr,
    name: &str,
    kind: RecordType,
    limit: Duration,
) -> Result<DnsResponse, QueryFailure> {
    let over_udp = |failure| QueryFailure {
        failure,
        over_tcp: false,
    };
    let over_tcp = |failure| QueryFailure {
        failure,
        over_tcp: true,
    };
    // Fully qualified, so that no search domain is appended.
    let mut name = Name::from_ascii(name).map_err(|_| over_udp(Failure::NoSuchName))?;
    name.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, kind));
    match timeout(limit, query_udp(server, &message)).await {
        Err(_) => Err(over_udp(Failure::TimedOut)),
        Ok(Err(_)) => Err(over_udp(Failure::Unreachable)),
        Ok(Ok(Some(message))) if !message.metadata.truncation => Ok(DnsResponse {
            message,
            over_tcp: false,
        }),
        // A message that cannot be parsed may have been cut off within a record.
        Ok(Ok(_)) => match timeout(limit.min(ANSWER_TIMEOUT), query_tcp(server, &message)).await {
            Ok(Some(message)) => Ok(DnsResponse {
                message,
                over_tcp: true,
            }),
            Ok(None) => Err(over_tcp(Failure::ServerFailure)),
            Err(_) => Err(over_tcp(Failure::TimedOut)),
        },
    }
}

/// Sends `query` over UDP. Returns the answer, or `None` if it is not valid DNS. Ignores messages
/// from other hosts and answers to other queries, as RFC 5452 section 9.1 requires of resolvers.
/// Fails if the query cannot be sent.
async fn query_udp(server: SocketAddr, query: &Message) -> io::Result<Option<Message>> {
    // The kernel picks a port for each query, so a late answer to an earlier one does not arrive
    // here.
    let socket = UdpSocket::bind((unspecified(server), 0)).await?;
    let sent = query.to_vec().map_err(io::Error::other)?;
    match socket.send_to(&sent, server).await {
        // A packet filter on this machine dropped the query, which counts as sent and unanswered.
        Err(error) if error.raw_os_error() == Some(EPERM) => {}
        sent => drop(sent?),
    }
    let mut packet = vec![0; usize::from(u16::MAX)];
    loop {
        let (length, from) = socket.recv_from(&mut packet).await?;
        let packet = &packet[..length];
        if (from.ip(), from.port()) != (server.ip(), server.port())
            || packet.first_chunk() != sent.first_chunk::<2>()
        {
            continue;
        }
        match Message::from_vec(packet) {
            Ok(answer) if answer.queries != query.queries => {}
            answer => return Ok(answer.ok()),
        }
    }
}

/// Sends `query` over TCP: a two-byte length, then the message (RFC 1035 section 4.2.2). The length
/// limits a response to 64 KiB.
async fn query_tcp(server: SocketAddr, query: &Message) -> Option<Message> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    let sent = query.to_vec().ok()?;
    let length = u16::try_from(sent.len()).ok()?.to_be_bytes();
    stream
        .write_all(&[&length, sent.as_slice()].concat())
        .await
        .ok()?;
    let mut answer = vec![0; usize::from(stream.read_u16().await.ok()?)];
    stream.read_exact(&mut answer).await.ok()?;
    Message::from_vec(&answer)
        .ok()
        .filter(|answer| answer.queries == query.queries)
}

/// Returns the failure that a response code stands for, or `None` for success.
pub fn failure_of(code: ResponseCode) -> Option<Failure> {
    match code {
        ResponseCode::NoError => None,
        ResponseCode::NXDomain => Some(Failure::NoSuchName),
        ResponseCode::Refused => Some(Failure::QueryRefused),
        _ => Some(Failure::ServerFailure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_resolv_conf_like_libc() {
        let text = "# comment\nsearch ec2.internal\nnameserver 10.0.0.2\n nameserver\tfd00::2%eth0\nnameservers 1.1.1.1\n\
            nameserver host.example\noptions timeout:1\n";
        let servers: Vec<_> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "[fd00::2]:53"]);
    }
}
