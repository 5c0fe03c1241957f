//! Relays connections to a healthy server, except for some, and no more than a limit at a time.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What happens to a connection instead of being relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Reset at once.
    Reset,
    /// Closed at once.
    Close,
    /// Closed in the middle of the handshake.
    CutHandshake,
    /// Closed after the request.
    CutRequest,
    /// Accepted and never answered.
    Hang,
    /// Answers the handshake and not the request.
    HangAfterHandshake,
}

/// More bytes than ClientHello and Finished have, and fewer than a signed request adds.
const HANDSHAKE_BYTES: usize = 700;

/// How often a listener looks for a connection: without one it must not hold a permit.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Decides by the connection's number, from 0.
pub type FaultOf = Arc<dyn Fn(usize) -> Option<Fault> + Send + Sync>;

/// Starts a proxy to `upstream` on a free port of the same address, and returns the port. It refuses
/// connections for `refusing`, and then accepts only while `limit` has permits.
pub fn start(
    tasks: &mut JoinSet<()>,
    address: Ipv4Addr,
    upstream: u16,
    fault_of: FaultOf,
    limit: Arc<Semaphore>,
    refusing: Duration,
) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut socket = Some(socket);
    let mut listener = None;
    if refusing.is_zero() {
        listener = socket.take().map(|socket| socket.listen(1).unwrap());
    }
    tasks.spawn(async move {
        let listener = match (listener, socket) {
            (Some(listener), _) => listener,
            (None, Some(socket)) => {
                sleep(refusing).await;
                socket.listen(1).unwrap()
            }
            (None, None) => return,
        };
        let listener = listener.into_std().unwrap();
        let mut clients = JoinSet::new();
        let mut numbers = 0..;
        loop {
            // Meanwhile a connection waits in the kernel's queue, which drops the SYN of the next
            // but one.
            let permit = Arc::clone(&limit).acquire_owned().await.unwrap();
            let Ok((client, _)) = listener.accept() else {
                drop(permit);
                sleep(POLL_INTERVAL).await;
                continue;
            };
            client.set_nonblocking(true).unwrap();
            let client = TcpStream::from_std(client).unwrap();
            let fault = numbers.next().and_then(|number| fault_of(number));
            clients.spawn(async move {
                let _ = relay(client, (address, upstream), fault).await;
                drop(permit);
            });
        }
    });
    port
}

async fn relay(
    mut client: TcpStream,
    upstream: (Ipv4Addr, u16),
    fault: Option<Fault>,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    match fault {
        Some(Fault::Reset) => {
            // Waits for the ClientHello, so that the connection is established before it is reset.
            client.readable().await?;
            return socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
        }
        Some(Fault::Close) => return Ok(()),
        Some(Fault::Hang) => {
            let mut nothing = [0; 1024];
            while client.read(&mut nothing).await? > 0 {}
            return Ok(());
        }
        _ => {}
    }
    let mut server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    if fault.is_none() {
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let (mut sent, mut up, mut down) = (0, [0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            count = client.read(&mut up) => {
                let count = count?;
                sent += count;
                if count == 0 || sent > HANDSHAKE_BYTES && fault == Some(Fault::CutRequest) {
                    return Ok(());
                }
                if sent <= HANDSHAKE_BYTES {
                    server.write_all(&up[..count]).await?;
                }
            }
            count = server.read(&mut down) => {
                let count = count?;
                if fault == Some(Fault::CutHandshake) {
                    client.write_all(&down[..count / 2]).await?;
                    return Ok(());
                }
                if count == 0 {
                    return Ok(());
                }
                client.write_all(&down[..count]).await?;
            }
        }
    }
}
