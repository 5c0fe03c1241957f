//! Agents of every temper, on real sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// What an agent was asked, in order: whole request heads.
pub(crate) type Heard = Arc<Mutex<Vec<String>>>;

/// How an agent answers.
#[derive(Clone, Copy)]
pub(crate) enum Temper {
    /// Accepts and never says a word.
    Silent,
    /// Closes at once.
    HangsUp,
    /// One byte of a body every 100 ms.
    Trickles,
    /// A gigabyte, as fast as it is read.
    Floods,
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> String {
    listen().await.1
}

/// An agent that gives `answer(path)` as `(status, body)`. A 3xx status also names a `Location`.
pub(crate) async fn answers(
    answer: impl Fn(&str) -> (u16, String) + Send + 'static,
) -> (String, Heard) {
    let (listener, base) = listen().await;
    let heard = Heard::default();
    let ears = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_head(&mut stream).await;
            let (status, body) = answer(request.split(' ').nth(1).unwrap_or_default());
            ears.lock().unwrap().push(request);
            let length = body.len();
            let reply = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nLocation: /elsewhere\r\n\r\n"
            );
            stream.write_all((reply + &body).as_bytes()).await.unwrap();
        }
    });
    (base, heard)
}

/// An agent without an answer.
pub(crate) async fn misbehaves(temper: Temper) -> String {
    let (listener, base) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(misbehave(stream, temper));
        }
    });
    base
}

async fn misbehave(mut stream: TcpStream, temper: Temper) {
    read_head(&mut stream).await;
    let chunk = vec![b' '; 1 << 16];
    match temper {
        Temper::Silent => sleep(Duration::from_mins(1)).await,
        Temper::HangsUp => {}
        Temper::Trickles => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                .await;
            while stream.write_all(b" ").await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
        }
        Temper::Floods => {
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

/// An agent behind TLS, with a certificate for `localhost` from nobody in particular.
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
