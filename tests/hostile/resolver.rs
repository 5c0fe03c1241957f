//! A resolver that does as its script says with one name, and passes every other question on to one
//! that works.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// What is sent for a question: nothing, a packet, or several.
pub type Packets = Vec<Vec<u8>>;

/// The reply to a question that was read.
pub type Reply = fn(&Message) -> Packets;

/// What becomes of a question that comes over TCP.
#[derive(Clone, Copy)]
pub enum Tcp {
    /// Nobody listens.
    Refused,
    /// It is taken, and that was that.
    Silent,
    /// It is answered.
    Answers(Reply),
}

/// A running resolver. Ends when it is dropped.
pub struct Resolver {
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Resolver {
    /// Starts it. Questions about other names than `victim` go to `healthy`.
    pub fn start(victim: &str, healthy: SocketAddr, udp: Reply, tcp: Tcp) -> Self {
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

async fn serve(socket: UdpSocket, victim: String, healthy: SocketAddr, udp: Reply) {
    let socket = Arc::new(socket);
    let mut passed_on = JoinSet::new();
    let mut buffer = vec![0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let question = buffer[..length].to_vec();
        let Ok(message) = Message::from_vec(&question) else {
            continue;
        };
        if message
            .queries
            .first()
            .is_some_and(|query| plain(query.name()) == victim)
        {
            for packet in udp(&message) {
                let _ = socket.send_to(&packet, peer).await;
            }
            continue;
        }
        let socket = Arc::clone(&socket);
        passed_on.spawn(async move {
            let Ok(upstream) = UdpSocket::bind("127.0.0.1:0").await else {
                return;
            };
            let mut answer = vec![0; 4096];
            if upstream.send_to(&question, healthy).await.is_ok()
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
        let mut question = vec![0; usize::from(stream.read_u16().await.unwrap_or_default())];
        let read = stream.read_exact(&mut question).await.is_ok();
        if let (Tcp::Answers(reply), true, Ok(message)) = (tcp, read, Message::from_vec(&question))
        {
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

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_lowercase()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

pub fn is_a(question: &Message) -> bool {
    question.queries[0].query_type() == RecordType::A
}

/// A response without records.
pub fn empty(question: &Message, code: ResponseCode) -> Message {
    let mut response = Message::response(question.metadata.id, OpCode::Query);
    response.metadata.recursion_desired = true;
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    response.add_query(question.queries[0].clone());
    response
}

/// The same, with the zone that says no.
pub fn denied(question: &Message, code: ResponseCode, zone: &str) -> Packets {
    let mut response = empty(question, code);
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

/// Addresses for A, none for AAAA, behind so many aliases.
pub fn addresses(question: &Message, addresses: &[Ipv4Addr], aliases: usize) -> Message {
    let mut response = empty(question, ResponseCode::NoError);
    let mut owner = question.queries[0].name().clone();
    for n in 0..aliases {
        let next = name(&format!("alias-{n}.example."));
        response.add_answer(Record::from_rdata(
            owner,
            60,
            RData::CNAME(CNAME(next.clone())),
        ));
        owner = next;
    }
    if is_a(question) {
        let record =
            |address: &Ipv4Addr| Record::from_rdata(owner.clone(), 60, RData::A(A(*address)));
        response.add_answers(addresses.iter().map(record));
    }
    response
}

/// Cut short, as it is told over UDP.
pub fn truncated(question: &Message) -> Packets {
    let mut response = empty(question, ResponseCode::NoError);
    response.metadata.truncation = true;
    bytes(&response)
}

pub fn bytes(message: &Message) -> Packets {
    vec![message.to_vec().unwrap()]
}
