//! A DNS resolver over UDP and TCP, which answers, fails or is silent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::names::RESOLVER_ADDRESS;
use super::path::{self, HostAddress, Listener, PathState};
use super::scenario::{ResolverBehavior, Scenario};
use super::zone::{self, DnsZone};

/// Bytes that a client without EDNS accepts over UDP (RFC 1035 section 4.2.1).
const MAX_UDP_WITHOUT_EDNS: u16 = 512;

struct Server {
    behavior: ResolverBehavior,
    zones: Vec<DnsZone>,
}

/// Starts the server in `tasks` and returns its address. Fails if no port is free.
pub(super) fn start(scenario: &Scenario, tasks: &mut JoinSet<()>) -> io::Result<SocketAddr> {
    let path = if scenario.resolver == ResolverBehavior::Silent {
        PathState::Silent
    } else {
        PathState::Open
    };
    let (udp, listeners) = path::retry_while_in_use(|| {
        let udp = std::net::UdpSocket::bind((RESOLVER_ADDRESS, 0))?;
        let address = HostAddress::new(RESOLVER_ADDRESS, path);
        let (_, listeners) = path::bind_port(udp.local_addr()?.port(), &[address])?;
        Ok((udp, listeners))
    })?;
    udp.set_nonblocking(true)?;
    let address = udp.local_addr()?;
    let server = Arc::new(Server {
        behavior: scenario.resolver,
        zones: zone::zones(scenario),
    });
    tasks.spawn(serve_udp(UdpSocket::from_std(udp)?, Arc::clone(&server)));
    for listener in listeners {
        match listener {
            Listener::Accepting(listener) => tasks.spawn(serve_tcp(listener, Arc::clone(&server))),
            Listener::Unserved(bound) => tasks.spawn(bound.hold()),
        };
    }
    Ok(address)
}

async fn serve_udp(socket: UdpSocket, server: Arc<Server>) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Some(Reply { message, max_udp }) = server.reply(&buffer[..length]) else {
            continue;
        };
        let Ok(whole) = message.to_vec() else {
            continue;
        };
        let sent = if whole.len() > usize::from(max_udp) {
            message.truncate().to_vec().unwrap_or_default()
        } else {
            whole
        };
        // The client may be gone.
        let _ = socket.send_to(&sent, peer).await;
    }
}

async fn serve_tcp(listener: TcpListener, server: Arc<Server>) {
    let mut clients = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let server = Arc::clone(&server);
        clients.spawn(async move {
            let _ = serve_client(stream, &server).await;
        });
    }
}

/// Answers length-prefixed queries (RFC 7766 section 8) until the client closes the connection.
async fn serve_client(mut stream: TcpStream, server: &Server) -> io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut question).await?;
        let answer = server
            .reply(&question)
            .and_then(|reply| reply.message.to_vec().ok());
        let Some(answer) = answer else { return Ok(()) };
        stream
            .write_u16(u16::try_from(answer.len()).unwrap_or(u16::MAX))
            .await?;
        stream.write_all(&answer).await?;
    }
}

/// A response, and how much of it the client accepts over UDP, in bytes.
struct Reply {
    message: Message,
    max_udp: u16,
}

impl Server {
    /// Returns the response to `question`, or `None` if the resolver is silent.
    fn reply(&self, question: &[u8]) -> Option<Reply> {
        let request = Message::from_vec(question).ok()?;
        let query = request.queries.first()?;
        let mut response = Message::response(request.metadata.id, OpCode::Query);
        response.metadata.recursion_desired = request.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        response.add_query(query.clone());
        if let Some(edns) = &request.edns {
            response.set_edns(edns.clone());
        }
        match self.behavior {
            ResolverBehavior::Answers => zone::answer(&self.zones, query, &mut response),
            ResolverBehavior::ServFail => response.metadata.response_code = ResponseCode::ServFail,
            ResolverBehavior::Refused => response.metadata.response_code = ResponseCode::Refused,
            ResolverBehavior::Silent => return None,
        }
        let max_udp = request
            .edns
            .as_ref()
            .map_or(MAX_UDP_WITHOUT_EDNS, |_| request.max_payload());
        Some(Reply {
            message: response,
            max_udp,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use hickory_resolver::proto::op::Query;
    use hickory_resolver::proto::rr::{Name, RecordType};
    use tokio::time::timeout;

    use super::*;
    use crate::demo::names::host_name;
    use crate::observation::Dependency;

    fn question(name: &str) -> Message {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        query
    }

    async fn over_udp(server: SocketAddr, question: &Message) -> Option<Message> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket
            .send_to(&question.to_vec().unwrap(), server)
            .await
            .unwrap();
        let mut buffer = [0; 4096];
        let length = timeout(Duration::from_millis(300), socket.recv(&mut buffer))
            .await
            .ok()?
            .unwrap();
        Some(Message::from_vec(&buffer[..length]).unwrap())
    }

    async fn over_tcp(server: SocketAddr, question: &Message) -> Message {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let bytes = question.to_vec().unwrap();
        stream
            .write_u16(bytes.len().try_into().unwrap())
            .await
            .unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }

    #[tokio::test]
    async fn large_answer_is_truncated_over_udp_and_complete_over_tcp() {
        let mut aws = Scenario::healthy();
        let many = (1..=40)
            .map(|last| HostAddress::new(Ipv4Addr::new(127, 0, 9, last), PathState::Open))
            .collect();
        aws.host(Dependency::EcrApi).addresses = many;
        let mut tasks = JoinSet::new();
        let server = start(&aws, &mut tasks).unwrap();
        let question = question(&host_name(Dependency::EcrApi));
        let truncated = over_udp(server, &question).await.unwrap();
        assert!(truncated.metadata.truncation && truncated.answers.is_empty());
        let whole = over_tcp(server, &question).await;
        assert_eq!(
            (whole.metadata.id, whole.answers.len()),
            (question.metadata.id, 40)
        );
    }

    #[tokio::test]
    async fn each_behavior_returns_its_response_code() {
        for (behavior, expected) in [
            (ResolverBehavior::Answers, Some(ResponseCode::NoError)),
            (ResolverBehavior::ServFail, Some(ResponseCode::ServFail)),
            (ResolverBehavior::Refused, Some(ResponseCode::Refused)),
            (ResolverBehavior::Silent, None),
        ] {
            let mut tasks = JoinSet::new();
            let server = start(
                &Scenario {
                    resolver: behavior,
                    ..Scenario::healthy()
                },
                &mut tasks,
            )
            .unwrap();
            let answer = over_udp(server, &question(&host_name(Dependency::Logs))).await;
            assert_eq!(answer.map(|answer| answer.metadata.response_code), expected);
        }
    }
}
