//! HTTP over TLS: what every service of the demo shares.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::path::Path;
use super::refusal::Refusal;
use super::scenario::Pace;

/// A service's answer.
pub(super) type Answer = Response<Bytes>;

/// What one address does with those who connect.
#[derive(Clone)]
pub(super) struct Reception {
    /// Presents the certificate.
    pub(super) tls: TlsAcceptor,
    /// What happens on the way.
    pub(super) path: Path,
    /// How fast it answers.
    pub(super) pace: Pace,
}

/// A tunnel's worth: with 20 bytes of IP and 20 of TCP it fits an MTU of 1,340. Loopback offers
/// 65,483.
const LARGEST_SEGMENT: u32 = 1_300;

/// Serves TLS connections with `answer`, for ever.
pub(super) async fn serve<F, A>(listener: TcpListener, reception: Reception, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let mut clients = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // Head and body are written apart; Nagle would hold the body back until the head is
        // acknowledged.
        let _ = stream.set_nodelay(true);
        let (reception, answer) = (reception.clone(), answer.clone());
        clients.spawn(async move {
            // A client that hangs up in the middle is a client's right.
            let _ = serve_client(stream, &reception, answer).await;
        });
        while clients.try_join_next().is_some() {}
    }
}

async fn serve_client<F, A>(stream: TcpStream, reception: &Reception, answer: F) -> io::Result<()>
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    match reception.path {
        Path::Stalled => return swallow(stream).await,
        Path::LargeSegmentsLost if SockRef::from(&stream).tcp_mss()? > LARGEST_SEGMENT => {
            return swallow(stream).await;
        }
        Path::Reset => {
            stream.readable().await?;
            return stream.set_zero_linger();
        }
        _ => {}
    }
    let stream = reception.tls.accept(stream).await?;
    serve_plain(stream, reception.pace, answer).await
}

/// The ECS agent gives a call five seconds in all (facts: ecs-start, section 2).
const LATE: Duration = Duration::from_millis(3_500);

/// Reads and never answers.
async fn swallow(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Serves one connection's requests with `answer`. Fails as the connection does.
pub(super) async fn serve_plain<S, F, A>(stream: S, pace: Pace, answer: F) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Answer>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move {
            match pace {
                Pace::Prompt => {}
                Pace::Late => sleep(LATE).await,
                Pace::Never => std::future::pending().await,
            }
            Ok::<_, Infallible>(answer.await.map(Full::new))
        }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

/// An answer with a body of the given type.
pub(super) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Adds a header whose value the demo made itself, and which is therefore well formed.
pub(super) fn with_header(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// Sets the `Date` of a service whose clock shows `now` (RFC 9110 section 5.6.7).
pub(super) fn dated(answer: Answer, now: Timestamp) -> Answer {
    with_header(
        answer,
        "date",
        &now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    )
}

/// Success of a JSON protocol.
pub(super) fn json(body: &serde_json::Value) -> Answer {
    answer(
        StatusCode::OK,
        "application/x-amz-json-1.1",
        body.to_string(),
    )
}

/// An error of a JSON protocol (AWS JSON 1.1: the code in the body's `__type`).
pub(super) fn json_error(refusal: &Refusal) -> Answer {
    let body = serde_json::json!({ "__type": refusal.code, "message": refusal.message });
    answer(
        refusal.status,
        "application/x-amz-json-1.1",
        body.to_string(),
    )
}
