//! A DNS server over UDP and TCP, with the moods of a resolver.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::path::{self, Door, Path};
use super::scenario::{Resolver, Scenario};
use super::zone::{self, Zone};

/// Where it answers: in the VPC, as the resolver at the VPC's base plus two does.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What a client without EDNS can take over UDP (RFC 1035 section 4.2.1).
const PLAIN_UDP: u16 = 512;

struct Server {
    mood: Resolver,
    zones: Vec<Zone>,
}

/// Starts the server in `tasks` and says where it is asked. Fails if no port is free.
pub(super) fn start(setting: &Scenario, tasks: &mut JoinSet<()>) -> io::Result<SocketAddr> {
    let path = if setting.resolver == Resolver::Silent {
        Path::Silent
    } else {
        Path::Open
    };
    let (udp, doors) = path::until_free(|| {
        let udp = std::net::UdpSocket::bind((ADDRESS, 0))?;
        let (_, doors) = path::claim_from(udp.local_addr()?.port(), &[(ADDRESS, path)])?;
        Ok((udp, doors))
    })?;
    udp.set_nonblocking(true)?;
    let address = udp.local_addr()?;
    let server = Arc::new(Server {
        mood: setting.resolver,
        zones: zone::zones(setting),
    });
    tasks.spawn(serve_udp(UdpSocket::from_std(udp)?, Arc::clone(&server)));
    for door in doors {
        match door {
            Door::Listening(listener) => tasks.spawn(serve_tcp(listener, Arc::clone(&server))),
            Door::Held(holder) => tasks.spawn(holder.hold()),
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
        let Some((response, room)) = server.answer(&buffer[..length]) else {
            continue;
        };
        let Ok(whole) = response.to_vec() else {
            continue;
        };
        let cut = if whole.len() > usize::from(room) {
            response.truncate().to_vec().unwrap_or_default()
        } else {
            whole
        };
        // A client that has gone away is not the server's business.
        let _ = socket.send_to(&cut, peer).await;
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

/// Answers questions with a length before each (RFC 7766 section 8) until the client is through.
async fn serve_client(mut stream: TcpStream, server: &Server) -> io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut question).await?;
        let answer = server
            .answer(&question)
            .and_then(|(response, _)| response.to_vec().ok());
        let Some(answer) = answer else { return Ok(()) };
        stream
            .write_u16(u16::try_from(answer.len()).unwrap_or(u16::MAX))
            .await?;
        stream.write_all(&answer).await?;
    }
}

impl Server {
    /// The response and how much of it the client can take over UDP; nothing for the silent.
    fn answer(&self, question: &[u8]) -> Option<(Message, u16)> {
        let request = Message::from_vec(question).ok()?;
        let query = request.queries.first()?;
        let mut response = Message::response(request.metadata.id, OpCode::Query);
        response.metadata.recursion_desired = request.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        response.add_query(query.clone());
        if let Some(edns) = &request.edns {
            response.set_edns(edns.clone());
        }
        match self.mood {
            Resolver::Answers => zone::answer(&self.zones, query, &mut response),
            Resolver::Fails => response.metadata.response_code = ResponseCode::ServFail,
            Resolver::Refuses => response.metadata.response_code = ResponseCode::Refused,
            Resolver::Silent => return None,
        }
        let room = request
            .edns
            .as_ref()
            .map_or(PLAIN_UDP, |_| request.max_payload());
        Some((response, room))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hickory_resolver::proto::op::Query;
    use hickory_resolver::proto::rr::{Name, RecordType};
    use tokio::time::timeout;

    use super::*;
    use crate::demo::scenario::host;
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
    async fn an_answer_too_large_for_udp_is_cut_and_whole_over_tcp() {
        let mut aws = Scenario::healthy();
        let many = (1..=40)
            .map(|last| (Ipv4Addr::new(127, 0, 9, last), Path::Open))
            .collect();
        aws.site(Dependency::EcrApi).addresses = many;
        let mut tasks = JoinSet::new();
        let server = start(&aws, &mut tasks).unwrap();
        let question = question(&host(Dependency::EcrApi));
        let cut = over_udp(server, &question).await.unwrap();
        assert!(cut.metadata.truncation && cut.answers.is_empty());
        let whole = over_tcp(server, &question).await;
        assert_eq!(
            (whole.metadata.id, whole.answers.len()),
            (question.metadata.id, 40)
        );
    }

    #[tokio::test]
    async fn each_mood_is_a_different_answer() {
        for (mood, expected) in [
            (Resolver::Answers, Some(ResponseCode::NoError)),
            (Resolver::Fails, Some(ResponseCode::ServFail)),
            (Resolver::Refuses, Some(ResponseCode::Refused)),
            (Resolver::Silent, None),
        ] {
            let mut tasks = JoinSet::new();
            let server = start(
                &Scenario {
                    resolver: mood,
                    ..Scenario::healthy()
                },
                &mut tasks,
            )
            .unwrap();
            let answer = over_udp(server, &question(&host(Dependency::Logs))).await;
            assert_eq!(answer.map(|answer| answer.metadata.response_code), expected);
        }
    }
}
