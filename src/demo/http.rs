//! HTTP over TLS, for every service of the demo.

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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::path::PathState;
use super::scenario::ResponseDelay;
use super::service_error::ServiceError;
use crate::os;

/// A service's response.
pub(super) type HttpResponse = Response<Bytes>;

/// What one address does with its connections.
#[derive(Clone)]
pub(super) struct Acceptor {
    /// Presents the certificate.
    pub(super) tls: TlsAcceptor,
    pub(super) path: PathState,
    pub(super) delay: ResponseDelay,
}

/// Size in bytes of the largest segment that passes the tunnel: with 20 bytes of IP header and 20
/// of TCP header, it fits an MTU of 1,340. Loopback offers 65,483.
const MAX_TUNNEL_SEGMENT: u32 = 1_300;

/// Serves TLS connections forever, with the responses of `respond`.
pub(super) async fn serve<F, R>(listener: TcpListener, acceptor: Acceptor, respond: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = HttpResponse> + Send + 'static,
{
    let mut clients = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // Head and body are written separately; Nagle's algorithm would delay the body until the
        // head is acknowledged.
        let _ = stream.set_nodelay(true);
        let (acceptor, respond) = (acceptor.clone(), respond.clone());
        clients.spawn(async move {
            // A client may close its connection at any time.
            let _ = serve_client(stream, &acceptor, respond).await;
        });
        while clients.try_join_next().is_some() {}
    }
}

async fn serve_client<F, R>(stream: TcpStream, acceptor: &Acceptor, respond: F) -> io::Result<()>
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = HttpResponse> + Send + 'static,
{
    match acceptor.path {
        PathState::Stalled => return discard(stream).await,
        PathState::LargeSegmentsLost if os::max_segment_size(&stream)? > MAX_TUNNEL_SEGMENT => {
            return discard(stream).await;
        }
        PathState::Reset => {
            stream.readable().await?;
            return stream.set_zero_linger();
        }
        _ => {}
    }
    let stream = acceptor.tls.accept(stream).await?;
    serve_plain(stream, acceptor.delay, respond).await
}

/// Delay of a slow response: within the five seconds that the ECS agent allows a whole call
/// (docs/facts/ecs-start.md#2).
const SLOW_RESPONSE: Duration = Duration::from_millis(3_500);

/// Reads everything and never responds.
async fn discard(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Serves the requests of one connection with the responses of `respond`. Fails if the connection
/// does.
pub(super) async fn serve_plain<S, F, R>(
    stream: S,
    delay: ResponseDelay,
    respond: F,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = HttpResponse>,
{
    let service = service_fn(|request| {
        let response = respond(request);
        async move {
            match delay {
                ResponseDelay::None => {}
                ResponseDelay::Slow => sleep(SLOW_RESPONSE).await,
                ResponseDelay::Forever => std::future::pending().await,
            }
            Ok::<_, Infallible>(response.await.map(Full::new))
        }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

/// Returns a response with a body of the given type.
pub(super) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> HttpResponse {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds a header. The demo composes all values itself, so they are valid.
pub(super) fn with_header(
    mut response: HttpResponse,
    name: &'static str,
    value: &str,
) -> HttpResponse {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Sets the `Date` header of a service whose clock shows `now` (RFC 9110 section 5.6.7).
pub(super) fn with_date(response: HttpResponse, now: Timestamp) -> HttpResponse {
    with_header(
        response,
        "date",
        &now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    )
}

/// Returns a successful response of a JSON service.
pub(super) fn json(body: &serde_json::Value) -> HttpResponse {
    response(
        StatusCode::OK,
        "application/x-amz-json-1.1",
        body.to_string(),
    )
}

/// Returns an error of a JSON service (AWS JSON 1.1: the code is in the body's `__type`).
pub(super) fn json_error(error: &ServiceError) -> HttpResponse {
    let body = serde_json::json!({ "__type": error.code, "message": error.message });
    response(error.status, "application/x-amz-json-1.1", body.to_string())
}
