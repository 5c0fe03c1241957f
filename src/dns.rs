//! One question to one resolver, and the resolvers of this machine.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::DnsRequestSender;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::observation::Failure;

/// One resolver has this long. A lost datagram is sent again each second (`RESEND`), so three
/// losses in a row are needed for a false silence: one in a thousand questions on a path that drops
/// every tenth packet.
const RESOLVER_DEADLINE: Duration = Duration::from_millis(3_500);

/// Time after which a question is sent again. Answers from a VPC's resolver take a few
/// milliseconds.
const RESEND: Duration = Duration::from_secs(1);

/// The resolvers of `/etc/resolv.conf`, in order. Fails if it cannot be read.
pub fn resolvers_of_this_machine() -> io::Result<Vec<SocketAddr>> {
    Ok(name_servers(&fs::read_to_string("/etc/resolv.conf")?))
}

/// The `nameserver` lines of resolv.conf(5). Nothing else in it concerns names that are asked fully
/// qualified.
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

/// The IPv4 addresses of a name that is not under observation, by the first resolver. The C
/// library's own look-up would add its whole name service to a static binary.
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
    let Ok(reply) = question(server, host, RecordType::A).await else {
        return Vec::new();
    };
    let address = |data: &RData| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        _ => None,
    };
    reply
        .message
        .answers
        .iter()
        .filter_map(|record| address(&record.data))
        .collect()
}

/// An answer, and whether it took TCP.
pub struct Reply {
    /// As it came.
    pub message: Message,
    /// It did not fit UDP.
    pub over_tcp: bool,
}

/// How a resolver did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoReply {
    /// In which way.
    pub failure: Failure,
    /// It did answer over UDP, only not whole, and TCP is what failed.
    pub over_tcp: bool,
}

/// Asks `server` for records of `kind`. Fails with how it did not answer.
pub async fn question(server: SocketAddr, name: &str, kind: RecordType) -> Result<Reply, NoReply> {
    let over_udp = |failure| NoReply {
        failure,
        over_tcp: false,
    };
    // Fully qualified: a search domain must not answer for AWS.
    let mut name = Name::from_ascii(name).map_err(|_| over_udp(Failure::NoSuchName))?;
    name.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, kind));

    let mut options = DnsRequestOptions::default();
    options.retry_interval = RESEND;
    let mut udp = UdpClientStream::builder(server, TokioRuntimeProvider::new())
        .with_timeout(Some(RESOLVER_DEADLINE))
        .with_max_retries(4)
        .with_os_port_selection(true)
        .build();
    let answer = udp
        .send_message(DnsRequest::new(message.clone(), options))
        .next()
        .await;
    match answer {
        Some(Ok(response)) if !response.metadata.truncation => Ok(Reply {
            message: response.into_message(),
            over_tcp: false,
        }),
        // A truncated answer may also be cut inside a record, which reads as a protocol error.
        Some(Ok(_) | Err(NetError::Proto(_))) => {
            match timeout(RESOLVER_DEADLINE, over_tcp(server, &message)).await {
                Ok(Some(message)) => Ok(Reply {
                    message,
                    over_tcp: true,
                }),
                Ok(None) => Err(NoReply {
                    failure: Failure::ServerFailure,
                    over_tcp: true,
                }),
                Err(_) => Err(NoReply {
                    failure: Failure::TimedOut,
                    over_tcp: true,
                }),
            }
        }
        Some(Err(NetError::Dns(DnsError::ResponseCode(code)))) => {
            Err(over_udp(failure_of(code).unwrap_or(Failure::ServerFailure)))
        }
        Some(Err(NetError::Timeout)) | None => Err(over_udp(Failure::TimedOut)),
        Some(Err(_)) => Err(over_udp(Failure::Unreachable)),
    }
}

/// DNS over TCP: a two-byte length, then the message (RFC 1035 section 4.2.2). At most 64 KiB by
/// construction.
async fn over_tcp(server: SocketAddr, question: &Message) -> Option<Message> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    let question = question.to_vec().ok()?;
    let length = u16::try_from(question.len()).ok()?.to_be_bytes();
    stream
        .write_all(&[&length, question.as_slice()].concat())
        .await
        .ok()?;
    let mut answer = vec![0; usize::from(stream.read_u16().await.ok()?)];
    stream.read_exact(&mut answer).await.ok()?;
    Message::from_vec(&answer).ok()
}

/// What a response code means; none for success.
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
    fn resolv_conf_is_read_as_libc_reads_it() {
        let text = "# comment\nsearch ec2.internal\nnameserver 10.0.0.2\n nameserver\tfd00::2%eth0\nnameservers 1.1.1.1\n\
            nameserver host.example\noptions timeout:1\n";
        let servers: Vec<_> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "[fd00::2]:53"]);
    }
}
