//! Agents on real sockets that respond, fail or misbehave.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The request heads that an agent has received, in order.
pub(crate) type RecordedRequests = Arc<Mutex<Vec<String>>>;

/// How an agent misbehaves.
#[derive(Clone, Copy)]
pub(crate) enum Misbehavior {
    /// Accepts connections and never responds.
    Silent,
    /// Closes the connection at once.
    Closes,
    /// Sends one byte of a body every 100 ms.
    Trickles,
    /// Sends a gigabyte as fast as it is read.
    Floods,
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

/// Returns the URL of a closed port.
pub(crate) async fn closed_port() -> String {
    listen().await.1
}

/// Starts an agent that responds with `respond(path)`, a status and a body, and always sends a
/// `Location`. Returns its URL.
pub(crate) async fn responds(
    respond: impl Fn(&str) -> (u16, String) + Send + 'static,
) -> (String, RecordedRequests) {
    let (listener, base) = listen().await;
    let requests = RecordedRequests::default();
    let received = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_head(&mut stream).await;
            let (status, body) = respond(request.split(' ').nth(1).unwrap_or_default());
            received.lock().unwrap().push(request);
            let length = body.len();
            let reply = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nLocation: /elsewhere\r\n\r\n"
            );
            stream.write_all((reply + &body).as_bytes()).await.unwrap();
        }
    });
    (base, requests)
}

/// Starts an agent that responds to each request after `delay`. Returns its URL.
pub(crate) async fn responds_after(delay: Duration, body: String) -> String {
    let (listener, base) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = body.clone();
            tokio::spawn(async move {
                read_head(&mut stream).await;
                sleep(delay).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes()).await;
            });
        }
    });
    base
}

/// Starts an agent that misbehaves. Returns its URL.
pub(crate) async fn misbehaves(misbehavior: Misbehavior) -> String {
    let (listener, base) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(misbehave(stream, misbehavior));
        }
    });
    base
}

async fn misbehave(mut stream: TcpStream, misbehavior: Misbehavior) {
    read_head(&mut stream).await;
    let chunk = vec![b' '; 1 << 16];
    match misbehavior {
        Misbehavior::Silent => sleep(Duration::from_mins(1)).await,
        Misbehavior::Closes => {}
        Misbehavior::Trickles => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                .await;
            while stream.write_all(b" ").await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
        }
        Misbehavior::Floods => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
                .await;
            while stream.write_all(&chunk).await.is_ok() {}
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Starts an agent behind TLS with a self-signed certificate for `localhost`. Returns its URL.
#[cfg(feature = "demo")]
pub(crate) async fn self_signed() -> String {
    use tokio_rustls::{TlsAcceptor, rustls};

    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, base) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    base.replace("http://127.0.0.1", "https://localhost")
}
