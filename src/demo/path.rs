//! What happens to packets on the way to an address, without privileges: a listening socket, and
//! who is at it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

/// What happens on the way to one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Nothing.
    Open,
    /// Every packet is dropped, as by a security group or a missing route.
    Silent,
    /// Nobody listens.
    Refused,
    /// The connection is reset when the `ClientHello` arrives, as by a middlebox.
    Reset,
    /// The connection stands, and nobody ever says anything.
    Stalled,
    /// Segments larger than a tunnel's MTU vanish, and so does the ICMP message that should say so.
    LargeSegmentsLost,
}

/// A bound address.
#[derive(Debug)]
pub(super) enum Door {
    /// Connections can arrive.
    Listening(TcpListener),
    /// Held so that nobody else listens there.
    Held(Holder),
}

/// Keeps an address, and whether it answers.
#[derive(Debug)]
pub(super) struct Holder {
    _socket: Socket,
    _crowd: Option<TcpStream>,
}

impl Holder {
    /// Holds for as long as the demo runs.
    pub(super) async fn hold(self) {
        let _held = self;
        std::future::pending::<()>().await;
    }
}

/// How often a port is tried. One that is free on one loopback address is nearly always free on
/// all.
const TRIES: usize = 32;

/// Binds all of `addresses` to one port that is free on each. Fails if there is none, or without a
/// 127/8 loopback.
pub(super) fn claim(addresses: &[(Ipv4Addr, Path)]) -> io::Result<(u16, Vec<Door>)> {
    until_free(|| claim_from(0, addresses))
}

/// Repeats `attempt` while what it binds is in use. Fails as it does.
pub(super) fn until_free<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
    attempt()
}

/// Binds all of `addresses` to `port`; where it is 0, to the one that the first gets. Fails if one
/// of them is in use.
pub(super) fn claim_from(
    mut port: u16,
    addresses: &[(Ipv4Addr, Path)],
) -> io::Result<(u16, Vec<Door>)> {
    let mut doors = Vec::new();
    for (address, path) in addresses {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddrV4::new(*address, port).into())?;
        port = socket
            .local_addr()?
            .as_socket()
            .map_or(port, |bound| bound.port());
        doors.push(door(socket, *path)?);
    }
    Ok((port, doors))
}

fn door(socket: Socket, path: Path) -> io::Result<Door> {
    match path {
        Path::Refused => Ok(Door::Held(Holder {
            _socket: socket,
            _crowd: None,
        })),
        Path::Silent => silence(socket).map(Door::Held),
        Path::Open | Path::Reset | Path::Stalled | Path::LargeSegmentsLost => {
            socket.listen(BACKLOG)?;
            TcpListener::from_std(socket.into()).map(Door::Listening)
        }
    }
}

/// Room for a probe that tries many source ports at once.
const BACKLOG: i32 = 128;

/// Linux drops every SYN to a listener whose accept queue is full, and says nothing
/// (`tcp_conn_request` in `net/ipv4/tcp_input.c`). A queue of length 0 takes one connection, and
/// nobody ever accepts it. A socket filter would do as well, if a TCP socket could have one without
/// `CAP_NET_ADMIN`.
fn silence(socket: Socket) -> io::Result<Holder> {
    socket.listen(0)?;
    let address = socket
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let crowd = TcpStream::connect(address)?;
    Ok(Holder {
        _socket: socket,
        _crowd: Some(crowd),
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 77);

    fn one(path: Path) -> (SocketAddr, Vec<Door>) {
        let (port, doors) = claim(&[(HERE, path)]).unwrap();
        ((HERE, port).into(), doors)
    }

    #[tokio::test]
    async fn silence_is_no_answer_at_all() {
        let (peer, _doors) = one(Path::Silent);
        for _ in 0..3 {
            assert!(
                timeout(Duration::from_millis(200), TcpStream::connect(peer))
                    .await
                    .is_err()
            );
        }
    }

    #[tokio::test]
    async fn refusal_is_an_answer() {
        let (peer, _doors) = one(Path::Refused);
        let error = timeout(Duration::from_secs(1), TcpStream::connect(peer))
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn all_addresses_share_one_port() {
        let addresses = [11, 12, 13].map(|last| (Ipv4Addr::new(127, 0, 9, last), Path::Open));
        let (port, doors) = claim(&addresses).unwrap();
        assert_eq!(doors.len(), 3);
        for (address, _) in addresses {
            assert!(TcpStream::connect((address, port)).await.is_ok());
        }
    }
}
