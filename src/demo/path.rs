//! What happens to packets on the path to an address, without privileges: a listening socket, and
//! what becomes of its connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

/// What happens on the path to one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathState {
    /// Every packet arrives.
    Open,
    /// Every packet is dropped, as by a security group or a missing route.
    Silent,
    /// The port is closed.
    Refused,
    /// The connection is reset when the `ClientHello` arrives, as by a middlebox.
    Reset,
    /// The connection is established, and no byte ever comes back.
    Stalled,
    /// Segments larger than a tunnel's MTU are dropped, and so is the ICMP message that should
    /// report it.
    LargeSegmentsLost,
}

/// An address, and what happens on the path to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAddress {
    /// The address.
    pub ip: Ipv4Addr,
    /// What happens on the path.
    pub path: PathState,
}

impl HostAddress {
    /// Returns an address with its path.
    pub const fn new(ip: Ipv4Addr, path: PathState) -> Self {
        Self { ip, path }
    }
}

/// A bound address.
#[derive(Debug)]
pub(super) enum Listener {
    /// It accepts connections.
    Accepting(TcpListener),
    /// It is bound so that no other process can listen there.
    Unserved(BoundAddress),
}

/// Keeps an address bound without accepting connections.
#[derive(Debug)]
pub(super) struct BoundAddress {
    _socket: Socket,
    /// The connection that fills the accept queue, where the address drops SYNs.
    _queued: Option<TcpStream>,
}

impl BoundAddress {
    /// Keeps the address bound while the demo runs.
    pub(super) async fn hold(self) {
        let _bound = self;
        std::future::pending::<()>().await;
    }
}

/// Attempts to find a free port. One that is free on one loopback address is nearly always free on
/// all.
const MAX_BIND_ATTEMPTS: usize = 32;

/// Binds all of `addresses` to one port that is free on each, and returns the port. Fails if there
/// is none, or without a 127/8 loopback.
pub(super) fn bind(addresses: &[HostAddress]) -> io::Result<(u16, Vec<Listener>)> {
    retry_while_in_use(|| bind_port(0, addresses))
}

/// Repeats `attempt` while its address is in use. Fails as `attempt` does.
pub(super) fn retry_while_in_use<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..MAX_BIND_ATTEMPTS {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
    attempt()
}

/// Binds all of `addresses` to `port`, or, if it is 0, to the port that the first one gets. Fails
/// if one of them is in use.
pub(super) fn bind_port(
    mut port: u16,
    addresses: &[HostAddress],
) -> io::Result<(u16, Vec<Listener>)> {
    let mut listeners = Vec::new();
    for HostAddress { ip, path } in addresses {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddrV4::new(*ip, port).into())?;
        port = socket
            .local_addr()?
            .as_socket()
            .map_or(port, |bound| bound.port());
        listeners.push(listen(socket, *path)?);
    }
    Ok((port, listeners))
}

fn listen(socket: Socket, path: PathState) -> io::Result<Listener> {
    match path {
        PathState::Refused => Ok(Listener::Unserved(BoundAddress {
            _socket: socket,
            _queued: None,
        })),
        PathState::Silent => drop_connections(socket).map(Listener::Unserved),
        PathState::Open | PathState::Reset | PathState::Stalled | PathState::LargeSegmentsLost => {
            socket.listen(BACKLOG)?;
            TcpListener::from_std(socket.into()).map(Listener::Accepting)
        }
    }
}

/// Room for a probe that tries many source ports at once.
const BACKLOG: i32 = 128;

/// Linux silently drops every SYN to a listener whose accept queue is full (`tcp_conn_request` in
/// `net/ipv4/tcp_input.c`). A queue of length 0 takes one connection, which is never accepted. A
/// socket filter would do as well if it did not need `CAP_NET_ADMIN`.
fn drop_connections(socket: Socket) -> io::Result<BoundAddress> {
    socket.listen(0)?;
    let address = socket
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let queued = TcpStream::connect(address)?;
    Ok(BoundAddress {
        _socket: socket,
        _queued: Some(queued),
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 77);

    fn bind_one(path: PathState) -> (SocketAddr, Vec<Listener>) {
        let (port, listeners) = bind(&[HostAddress::new(ADDRESS, path)]).unwrap();
        ((ADDRESS, port).into(), listeners)
    }

    #[tokio::test]
    async fn silent_path_does_not_answer_connections() {
        let (peer, _listeners) = bind_one(PathState::Silent);
        for _ in 0..3 {
            assert!(
                timeout(Duration::from_millis(200), TcpStream::connect(peer))
                    .await
                    .is_err()
            );
        }
    }

    #[tokio::test]
    async fn closed_port_refuses_connections() {
        let (peer, _listeners) = bind_one(PathState::Refused);
        let error = timeout(Duration::from_secs(1), TcpStream::connect(peer))
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn all_addresses_share_one_port() {
        let addresses = [11, 12, 13]
            .map(|last| HostAddress::new(Ipv4Addr::new(127, 0, 9, last), PathState::Open));
        let (port, listeners) = bind(&addresses).unwrap();
        assert_eq!(listeners.len(), 3);
        for address in addresses {
            assert!(TcpStream::connect((address.ip, port)).await.is_ok());
        }
    }
}
