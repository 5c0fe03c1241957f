//! A DNS resolver that plays a script for one name and forwards every other query to a working one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The packets that are sent in response to a query: none, one, or several.
pub type Packets = Vec<Vec<u8>>;

/// Returns the response to a query.
pub type Responder = fn(&Message) -> Packets;

/// How queries over UDP are answered.
#[derive(Clone, Copy)]
pub struct Script {
    pub respond: Responder,
    /// Time until the response.
    pub delay: Duration,
    /// Whether the nth query for A, or for AAAA, is answered with SERVFAIL instead.
    pub fails: fn(u32) -> bool,
}

/// What happens to a query over TCP.
#[derive(Clone, Copy)]
pub enum Tcp {
    /// The port is closed.
    Refused,
    /// It is read and not answered.
    Silent,
    /// It is answered.
    Answers(Responder),
}

/// A running resolver. It stops when it is dropped.
pub struct ScriptedResolver {
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl ScriptedResolver {
    /// Starts it. Queries for names other than `victim` are forwarded to `healthy`.
    pub fn start(victim: &str, healthy: SocketAddr, udp: Script, tcp: Tcp) -> Self {
        let (socket, listener) = loop {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(listener) = std::net::TcpListener::bind(socket.local_addr().unwrap()) {
                break (socket, listener);
            }
        };
        let address = socket.local_addr().unwrap();
        socket.set_nonblocking(true).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut tasks = JoinSet::new();
        let victim = victim.to_owned();
        tasks.spawn(serve(
            UdpSocket::from_std(socket).unwrap(),
            victim,
            healthy,
            udp,
        ));
        match tcp {
            Tcp::Refused => drop(listener),
            Tcp::Silent | Tcp::Answers(_) => {
                tasks.spawn(serve_tcp(TcpListener::from_std(listener).unwrap(), tcp));
            }
        }
        Self {
            address,
            _tasks: tasks,
        }
    }
}

async fn serve(socket: UdpSocket, victim: String, healthy: SocketAddr, udp: Script) {
    let socket = Arc::new(socket);
    let mut forwarded = JoinSet::new();
    let mut buffer = vec![0; 4096];
    let mut queries = [0; 2];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let query = buffer[..length].to_vec();
        let Ok(message) = Message::from_vec(&query) else {
            continue;
        };
        if message
            .queries
            .first()
            .is_some_and(|entry| without_final_dot(entry.name()) == victim)
        {
            let count = &mut queries[usize::from(is_a(&message))];
            let packets = if (udp.fails)(*count) {
                bytes(&empty(&message, ResponseCode::ServFail))
            } else {
                (udp.respond)(&message)
            };
            *count += 1;
            let socket = Arc::clone(&socket);
            forwarded.spawn(async move {
                sleep(udp.delay).await;
                for packet in packets {
                    let _ = socket.send_to(&packet, peer).await;
                }
            });
            continue;
        }
        let socket = Arc::clone(&socket);
        forwarded.spawn(async move {
            let Ok(upstream) = UdpSocket::bind("127.0.0.1:0").await else {
                return;
            };
            let mut answer = vec![0; 4096];
            if upstream.send_to(&query, healthy).await.is_ok()
                && let Ok(length) = upstream.recv(&mut answer).await
            {
                let _ = socket.send_to(&answer[..length], peer).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, tcp: Tcp) {
    let mut held = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut query = vec![0; usize::from(stream.read_u16().await.unwrap_or_default())];
        let read = stream.read_exact(&mut query).await.is_ok();
        if let (Tcp::Answers(reply), true, Ok(message)) = (tcp, read, Message::from_vec(&query)) {
            for packet in reply(&message) {
                let length = u16::try_from(packet.len())
                    .unwrap_or(u16::MAX)
                    .to_be_bytes();
                let _ = stream
                    .write_all(&[&length, packet.as_slice()].concat())
                    .await;
            }
        }
        held.push(stream);
    }
}

fn without_final_dot(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_lowercase()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// Whether the query is for A records.
pub fn is_a(query: &Message) -> bool {
    query.queries[0].query_type() == RecordType::A
}

/// Returns a response without records.
pub fn empty(query: &Message, code: ResponseCode) -> Message {
    let mut response = Message::response(query.metadata.id, OpCode::Query);
    response.metadata.recursion_desired = true;
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    response.add_query(query.queries[0].clone());
    response
}

/// Returns a response without records but with the SOA of `zone`.
pub fn negative(query: &Message, code: ResponseCode, zone: &str) -> Packets {
    let mut response = empty(query, code);
    let soa = SOA::new(
        name("ns.example."),
        name("root.example."),
        1,
        7200,
        900,
        1_209_600,
        60,
    );
    response.add_authority(Record::from_rdata(name(zone), 60, RData::SOA(soa)));
    bytes(&response)
}

/// Returns `addresses` for A queries and none for AAAA, behind this many CNAMEs.
pub fn addresses(query: &Message, addresses: &[Ipv4Addr], cnames: usize) -> Message {
    let mut response = empty(query, ResponseCode::NoError);
    let mut owner = query.queries[0].name().clone();
    for n in 0..cnames {
        let next = name(&format!("alias-{n}.example."));
        response.add_answer(Record::from_rdata(
            owner,
            60,
            RData::CNAME(CNAME(next.clone())),
        ));
        owner = next;
    }
    if is_a(query) {
        let record =
            |address: &Ipv4Addr| Record::from_rdata(owner.clone(), 60, RData::A(A(*address)));
        response.add_answers(addresses.iter().map(record));
    }
    response
}

/// Returns two CNAMEs that lead to each other.
pub fn cname_loop(query: &Message) -> Packets {
    let mut response = empty(query, ResponseCode::NoError);
    let (own, other) = (query.queries[0].name().clone(), name("other.example."));
    for (owner, target) in [(own.clone(), other.clone()), (other, own)] {
        response.add_answer(Record::from_rdata(owner, 60, RData::CNAME(CNAME(target))));
    }
    bytes(&response)
}

/// Returns a truncated response.
pub fn truncated(query: &Message) -> Packets {
    let mut response = empty(query, ResponseCode::NoError);
    response.metadata.truncation = true;
    bytes(&response)
}

pub fn bytes(message: &Message) -> Packets {
    vec![message.to_vec().unwrap()]
}
