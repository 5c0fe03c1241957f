//! HTTP/1.1 over a probed connection, with limits on time and memory whatever the server sends.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{DATE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::observation::{Answer, Failure, RateLimit};
use crate::probe::net::path_mtu::TryEnd;
use crate::safe_text::{SafeText, safe_text};

/// Time limit for the head of a response: the HTTP clients of the ECS agent give a whole call,
/// including the connection, five seconds (docs/facts/ecs-start.md#2, `roundtripTimeout`).
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(4_400);

/// A body that makes no progress for this long has stalled. Within that time, TCP retransmits a
/// lost segment four times (first after 200 ms, then after twice as long each time).
const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(4);

/// A body that is still incomplete after this long is too slow, unless a whole layer was requested.
/// The largest other body is a manifest of 4 MiB.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Size of hyper's buffer for one connection. A larger head is rejected: real ones are below 8 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Maximum number of bytes kept of the body of an error response. Those of AWS are below 4 KiB.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;

/// Maximum number of characters kept of a rate limit header: enough for an IPv6 address or an
/// account's UUID.
const MAX_RATE_LIMIT_LENGTH: usize = 64;

/// Maximum number of characters of a request ID: a UUID has 36, Amazon S3's have 16.
const MAX_REQUEST_ID_LENGTH: usize = 64;

/// A request, and how to read the response.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub method: Method,
    /// Path and query. Never recorded: the query of a layer's URL is a signature.
    pub path: String,
    /// Headers except `Host`.
    pub headers: HeaderMap,
    pub body: Bytes,
    pub read_body: ReadBody,
}

impl HttpRequest {
    /// Returns a GET request without headers.
    pub fn get(path: impl Into<String>, read_body: ReadBody) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            read_body,
        }
    }

    fn with_host(
        &self,
        authority: &str,
    ) -> Result<hyper::Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = hyper::Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .body(Full::new(self.body.clone()))?;
        *request.headers_mut() = self.headers.clone();
        request
            .headers_mut()
            .insert(HOST, HeaderValue::from_str(authority)?);
        Ok(request)
    }

    /// Returns the size of path, headers and body in bytes. `Host` and the rest of the request line
    /// are not counted.
    fn size(&self) -> u64 {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
        (self.path.len() + headers.sum::<usize>() + self.body.len()) as u64
    }
}

/// How much of a response body to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBody {
    /// The whole body, which fails if it has more than this many bytes.
    Whole(usize),
    /// Only this many bytes.
    Prefix(usize),
    /// The whole body, to compute its digest. None of it is kept.
    Digest,
}

/// A request and its response.
#[derive(Debug)]
pub struct Exchange {
    pub status: Result<StatusCode, Failure>,
    /// Headers of the response.
    pub headers: HeaderMap,
    /// The part of the response body that was kept.
    pub body: Bytes,
    /// Lower-case hex SHA-256 of the body, for [`ReadBody::Digest`].
    pub sha256: Option<String>,
    /// Facts about the response, for the observation.
    pub answer: Answer,
    /// A one-line reason for the failure; empty on success.
    pub detail: SafeText,
    /// Time from the first byte sent to the last byte read.
    pub elapsed: Duration,
    /// Whether the connection can carry another exchange.
    pub reusable: bool,
    /// Whether the server closed the connection before it received the request.
    pub unsent: bool,
}

impl Exchange {
    /// Whether the status is a success.
    pub fn succeeded(&self) -> bool {
        self.status.is_ok_and(|status| status.is_success())
    }

    /// Returns an exchange that failed before the request was sent.
    pub fn failed(failure: Failure, detail: impl Into<SafeText>) -> Self {
        Self {
            status: Err(failure),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            sha256: None,
            answer: Answer::default(),
            detail: detail.into(),
            elapsed: Duration::ZERO,
            reusable: false,
            unsent: false,
        }
    }

    /// Returns how this try ended, given that the connection was open.
    pub fn end(&self) -> TryEnd {
        match self.status {
            Err(Failure::Stalled | Failure::TimedOut) => TryEnd::Stalled,
            Err(Failure::Reset | Failure::Refused | Failure::Unreachable) => TryEnd::Broken,
            _ => TryEnd::Answered,
        }
    }
}

/// A connection that carries exchanges, one after the other.
#[derive(Debug)]
pub struct HttpConnection {
    pub peer: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl HttpConnection {
    /// Starts HTTP/1.1 over `stream`. Fails only if the server has already sent something that is
    /// not HTTP.
    pub async fn new(stream: TlsStream<TcpStream>, peer: SocketAddr) -> Result<Self, Failure> {
        let handshake = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, driver) = handshake.map_err(|_| Failure::UnexpectedAnswer)?;
        tokio::spawn(async move {
            // The sender returns the driver's error to the next request.
            let _ = driver.await;
        });
        Ok(Self { peer, sender })
    }

    /// Whether the server has not closed the connection.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends `request` and reads the response.
    pub async fn exchange(&mut self, authority: &str, request: &HttpRequest) -> Exchange {
        let started = Instant::now();
        let outgoing = match request.with_host(authority) {
            Ok(outgoing) => outgoing,
            Err(error) => return Exchange::failed(Failure::UnexpectedAnswer, error.to_string()),
        };
        let response = async {
            // Detects, before the request is sent, that the server has closed an idle connection.
            self.sender.ready().await?;
            self.sender.send_request(outgoing).await
        };
        let response = match timeout(RESPONSE_TIMEOUT, response).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let mut failed = Exchange::failed(failure_of(&error), with_source(&error));
                failed.unsent = error.is_canceled() || error.is_closed();
                failed.elapsed = started.elapsed();
                return failed;
            }
            Err(_) => {
                let mut failed = Exchange::failed(
                    Failure::TimedOut,
                    "connected, but no response to the request",
                );
                failed.elapsed = started.elapsed();
                return failed;
            }
        };
        let first_byte = started.elapsed();
        let (head, body) = response.into_parts();
        let mut reader = BodyReader::new(request.read_body, head.status);
        let result = reader.read(body).await;
        let elapsed = started.elapsed();
        let answer = Answer {
            status: head.status.as_u16(),
            request_id: request_id(&head.headers),
            clock_offset_s: clock_offset(&head.headers),
            request_bytes: request.size(),
            bytes: reader.bytes,
            first_byte_ms: crate::millis(first_byte),
            rate_limit: rate_limit(&head.headers),
            ..Answer::default()
        };
        Exchange {
            status: result.map(|()| head.status),
            headers: head.headers,
            body: reader.kept.into(),
            sha256: reader.hasher.map(|hasher| lower_hex(&hasher.finalize())),
            answer,
            detail: if result.is_ok() {
                SafeText::default()
            } else {
                safe_text![
                    "response body ended after ",
                    reader.bytes.to_string(),
                    " bytes",
                ]
            },
            elapsed,
            reusable: reader.complete && self.is_open(),
            unsent: false,
        }
    }
}

struct BodyReader {
    mode: ReadBody,
    bytes: u64,
    kept: Vec<u8>,
    hasher: Option<Sha256>,
    complete: bool,
}

impl BodyReader {
    fn new(mode: ReadBody, status: StatusCode) -> Self {
        let mode = if status.is_success() {
            mode
        } else {
            ReadBody::Prefix(MAX_ERROR_BODY_BYTES)
        };
        let hasher = (mode == ReadBody::Digest).then(Sha256::new);
        Self {
            mode,
            bytes: 0,
            kept: Vec::new(),
            hasher,
            complete: false,
        }
    }

    async fn read(&mut self, mut body: Incoming) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            let frame = match timeout(BODY_STALL_TIMEOUT, body.frame()).await {
                Err(_) => return Err(Failure::Stalled),
                Ok(None) => {
                    self.complete = true;
                    return Ok(());
                }
                Ok(Some(Err(error))) => return Err(failure_of(&error)),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.bytes += data.len() as u64;
            match self.mode {
                ReadBody::Whole(limit) if self.kept.len() + data.len() > limit => {
                    return Err(Failure::TooLarge);
                }
                ReadBody::Whole(_) => self.kept.extend_from_slice(&data),
                ReadBody::Prefix(limit) => {
                    let room = limit - self.kept.len();
                    self.kept.extend_from_slice(&data[..data.len().min(room)]);
                    if self.kept.len() == limit {
                        // The rest is not read. Unless the body happens to end here, the
                        // connection cannot be used again.
                        self.complete = body.is_end_stream();
                        return Ok(());
                    }
                }
                ReadBody::Digest => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&data);
                    }
                }
            }
            if self.mode != ReadBody::Digest && started.elapsed() > BODY_TIMEOUT {
                return Err(Failure::TooSlow);
            }
        }
    }
}

fn failure_of(error: &hyper::Error) -> Failure {
    // Only hyper's server has an error kind for a head that is too large. Here, the detail names
    // it.
    if error.is_parse() || error.is_parse_status() {
        Failure::UnexpectedAnswer
    } else if error.is_timeout() {
        Failure::TimedOut
    } else {
        Failure::Reset
    }
}

/// Returns the error's message with that of its source.
fn with_source(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn request_id(headers: &HeaderMap) -> SafeText {
    let names = ["x-amzn-requestid", "x-amz-request-id", "x-amz-requestid"];
    let value = names
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok());
    let is_id = |id: &&str| {
        id.len() <= MAX_REQUEST_ID_LENGTH
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    // Registries other than ECR send none.
    value
        .filter(is_id)
        .map(|id| id.to_owned().into())
        .unwrap_or_default()
}

/// Returns the rate limit that the headers describe, if any.
fn rate_limit(headers: &HeaderMap) -> Option<RateLimit> {
    let value = |name: &str, has_form: fn(&str) -> bool| {
        let value = headers.get(name)?.to_str().ok()?.trim();
        let is_value = value.len() <= MAX_RATE_LIMIT_LENGTH && has_form(value);
        is_value.then(|| value.to_owned().into())
    };
    let is_quota = |value: &str| {
        let digits = value.replace(";w=", "");
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    // An IP address, or an account's UUID.
    let is_source = |value: &str| {
        value.parse::<IpAddr>().is_ok()
            || value.len() >= 32 && value.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
    };
    let is_delay = |value: &str| {
        value.parse::<u32>().is_ok()
            || rfc2822::DateTimeParser::new()
                .parse_timestamp(value)
                .is_ok()
    };
    let limit = RateLimit {
        limit: value("ratelimit-limit", is_quota),
        remaining: value("ratelimit-remaining", is_quota),
        source: value("docker-ratelimit-source", is_source),
        retry_after: value("retry-after", is_delay),
    };
    (limit != RateLimit::default()).then_some(limit)
}

/// Returns the service's clock minus this machine's, in seconds.
fn clock_offset(headers: &HeaderMap) -> Option<i64> {
    let date = rfc2822::DateTimeParser::new()
        .parse_timestamp(headers.get(DATE)?.to_str().ok()?)
        .ok()?;
    Some(date.as_second() - Timestamp::now().as_second())
}

/// Returns the lower-case hex SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    lower_hex(&Sha256::digest(bytes))
}

/// Instantiates the generic encoder only once, which keeps the binary small.
fn lower_hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}
