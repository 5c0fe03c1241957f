//! One HTTP exchange over the very connection that was probed, bounded in time and memory whatever
//! the server does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{DATE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::observation::{Answer, Failure, RateLimit};

/// The head of an answer must be there by then: the ECS agent's HTTP clients give a whole call,
/// connection included, five seconds (facts: ecs-start, section 2, `roundtripTimeout`).
const ANSWER_DEADLINE: Duration = Duration::from_millis(4_400);

/// A body without a byte for this long has stalled.
const STALL: Duration = Duration::from_secs(4);

/// A body that is still coming after this long is too slow, unless a whole layer was asked for.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// hyper's buffer for one connection. A head that does not fit is refused: real ones are below 8
/// KiB.
const HEAD_LIMIT: usize = 64 * 1024;

/// Characters kept of one header on rate limits: an IPv6 address or an account's UUID, and room.
const LONGEST_RATE_LIMIT: usize = 64;

/// What to ask.
#[derive(Debug, Clone)]
pub struct Ask {
    /// HTTP method.
    pub method: Method,
    /// Path and query. Never recorded: a layer's query is a signature.
    pub path: String,
    /// Headers, `Host` excepted.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// How much of the answer's body to read.
    pub read: Read,
}

impl Ask {
    /// A GET without headers.
    pub fn get(path: impl Into<String>, read: Read) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            read,
        }
    }
}

/// How much of a body to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// All, and at most this many bytes: more is a failure.
    All(usize),
    /// The first bytes only. An error's body is read up to [`ERROR_LIMIT`].
    First(usize),
    /// All, for its digest. Nothing is kept.
    Digest,
}

/// Bytes kept of an error's body. AWS's are below 4 KiB.
const ERROR_LIMIT: usize = 64 * 1024;

/// What came back.
#[derive(Debug)]
pub struct Exchange {
    /// Status, or how it failed.
    pub status: Result<StatusCode, Failure>,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// What was read of the body and kept.
    pub body: Bytes,
    /// Lower-case hex, for [`Read::Digest`].
    pub sha256: Option<String>,
    /// Facts for the observation.
    pub answer: Answer,
    /// The library's words, where it failed.
    pub detail: String,
    /// From the first byte sent to the last byte read.
    pub elapsed: Duration,
    /// The connection may be used again.
    pub reusable: bool,
    /// The server closed the connection before it saw the request: nothing was asked yet.
    pub unsent: bool,
}

impl Exchange {
    /// Nothing was sent.
    pub fn failed(failure: Failure, detail: impl Into<String>) -> Self {
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

    /// Whether the server went silent on us.
    pub fn stalled(&self) -> bool {
        matches!(self.status, Err(Failure::Stalled | Failure::TimedOut))
    }
}

/// A connection that can carry exchanges, one after the other.
#[derive(Debug)]
pub struct Connection {
    /// The address at the other end.
    pub peer: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Speaks HTTP/1.1 over `stream`. Fails only if the server has already said something that is
    /// no HTTP.
    pub async fn new(stream: TlsStream<TcpStream>, peer: SocketAddr) -> Result<Self, Failure> {
        let handshake = http1::Builder::new()
            .max_buf_size(HEAD_LIMIT)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, driver) = handshake.map_err(|_| Failure::UnexpectedAnswer)?;
        tokio::spawn(async move {
            // Its errors come back through the sender, to whoever asks next.
            let _ = driver.await;
        });
        Ok(Self { peer, sender })
    }

    /// Whether the server still listens.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Asks, and reads as much of the answer as wanted.
    pub async fn exchange(&mut self, authority: &str, ask: &Ask) -> Exchange {
        let started = Instant::now();
        let request = match request(authority, ask) {
            Ok(request) => request,
            Err(error) => return Exchange::failed(Failure::UnexpectedAnswer, error.to_string()),
        };
        let answer = async {
            // An idle connection that the server has closed shows here, before the request leaves.
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let response = match timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let mut failed = Exchange::failed(failure_of(&error), words(&error));
                failed.unsent = error.is_canceled() || error.is_closed();
                failed.elapsed = started.elapsed();
                return failed;
            }
            Err(_) => {
                let mut failed =
                    Exchange::failed(Failure::TimedOut, "connected, and no answer to the request");
                failed.elapsed = started.elapsed();
                return failed;
            }
        };
        let first_byte = started.elapsed();
        let (head, body) = response.into_parts();
        let mut reader = Reader::new(ask.read, head.status);
        let ended = reader.read(body).await;
        let elapsed = started.elapsed();
        let answer = Answer {
            status: head.status.as_u16(),
            request_id: request_id(&head.headers),
            clock_offset_s: clock_offset(&head.headers),
            request_bytes: request_bytes(ask),
            bytes: reader.bytes,
            first_byte_ms: crate::millis(first_byte),
            rate_limit: rate_limit(&head.headers),
            ..Answer::default()
        };
        Exchange {
            status: ended.map(|()| head.status),
            headers: head.headers,
            body: reader.kept.into(),
            sha256: reader.hasher.map(|hasher| hex(&hasher.finalize())),
            answer,
            detail: match ended {
                Ok(()) => String::new(),
                Err(_) => format!("the answer's body ended after {} bytes", reader.bytes),
            },
            elapsed,
            reusable: reader.complete && self.is_open(),
            unsent: false,
        }
    }
}

struct Reader {
    want: Read,
    bytes: u64,
    kept: Vec<u8>,
    hasher: Option<Sha256>,
    complete: bool,
}

impl Reader {
    fn new(want: Read, status: StatusCode) -> Self {
        let want = if status.is_success() {
            want
        } else {
            Read::First(ERROR_LIMIT)
        };
        let hasher = (want == Read::Digest).then(Sha256::new);
        Self {
            want,
            bytes: 0,
            kept: Vec::new(),
            hasher,
            complete: false,
        }
    }

    async fn read(&mut self, mut body: Incoming) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            let frame = match timeout(STALL, body.frame()).await {
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
            match self.want {
                Read::All(limit) if self.kept.len() + data.len() > limit => {
                    return Err(Failure::TooLarge);
                }
                Read::All(_) => self.kept.extend_from_slice(&data),
                Read::First(limit) => {
                    let room = limit - self.kept.len();
                    self.kept.extend_from_slice(&data[..data.len().min(room)]);
                    if self.kept.len() == limit {
                        // The rest is not wanted, so the connection is given up. Whether the body
                        // ends exactly here does not matter.
                        self.complete = body_is_over(&body);
                        return Ok(());
                    }
                }
                Read::Digest => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&data);
                    }
                }
            }
            if self.want != Read::Digest && started.elapsed() > BODY_DEADLINE {
                return Err(Failure::TooSlow);
            }
        }
    }
}

fn body_is_over(body: &Incoming) -> bool {
    hyper::body::Body::is_end_stream(body)
}

fn request(authority: &str, ask: &Ask) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(&ask.path)
        .body(Full::new(ask.body.clone()))?;
    *request.headers_mut() = ask.headers.clone();
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_str(authority)?);
    Ok(request)
}

/// Bytes of a request, to within its request line and `Host`.
fn request_bytes(ask: &Ask) -> u64 {
    let headers = ask
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    (ask.path.len() + headers.sum::<usize>() + ask.body.len()) as u64
}

fn failure_of(error: &hyper::Error) -> Failure {
    // A head that is too large is told apart by hyper's server only; the detail has it.
    if error.is_parse() || error.is_parse_status() {
        Failure::UnexpectedAnswer
    } else if error.is_timeout() {
        Failure::TimedOut
    } else {
        Failure::Reset
    }
}

fn words(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn request_id(headers: &HeaderMap) -> String {
    let names = ["x-amzn-requestid", "x-amz-request-id", "x-amz-requestid"];
    let value = names
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok());
    value
        .map(|id| id.chars().take(100).collect())
        .unwrap_or_default()
}

/// What the headers say of a limit; none if they do not.
fn rate_limit(headers: &HeaderMap) -> Option<RateLimit> {
    let said = |name: &str| {
        let words = headers.get(name)?.to_str().ok()?;
        Some(words.chars().take(LONGEST_RATE_LIMIT).collect())
    };
    let limit = RateLimit {
        limit: said("ratelimit-limit"),
        remaining: said("ratelimit-remaining"),
        source: said("docker-ratelimit-source"),
        retry_after: said("retry-after"),
    };
    (limit != RateLimit::default()).then_some(limit)
}

/// The service's clock minus ours, seconds.
fn clock_offset(headers: &HeaderMap) -> Option<i64> {
    let date = rfc2822::DateTimeParser::new()
        .parse_timestamp(headers.get(DATE)?.to_str().ok()?)
        .ok()?;
    Some(date.as_second() - Timestamp::now().as_second())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Lower-case hex SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
