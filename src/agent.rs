//! One GET to the task's own agent: credentials and metadata.
//!
//! Plain hyper on a socket of our own, so that no proxy variable, redirect or connection pool can
//! come between: the agent answers only to this task, and only directly.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;

use crate::observation::Failure;
use crate::redact::{one_line, redact, shorten};

#[cfg(test)]
pub(crate) mod loopback;

/// Everything together. The agent is on this very host and answers within milliseconds, so two
/// seconds of silence mean that nobody is there; more would be taken from the probe's own deadline.
const DEADLINE: Duration = Duration::from_secs(2);

/// The first of two tries. Half of it all, so that a lost packet (resent after 1 s at first, RFC
/// 6298) costs one try.
const FIRST_TRY: Duration = Duration::from_secs(1);

/// Between the tries: an agent that is still starting needs a moment, and its rate limit is 40
/// requests a second.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes of an answer. Metadata of a task with ten containers (the most that ECS allows) has about
/// 20 KiB.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Something that the agent should have given and did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// In which way.
    pub failure: Failure,
    /// What was seen and what to do next, for a person. Nothing secret.
    pub detail: String,
}

impl Unavailable {
    pub(crate) fn new(failure: Failure, detail: impl fmt::Display) -> Self {
        Self {
            failure,
            detail: shorten(&redact(&one_line(&detail.to_string())), 1_000).to_owned(),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// What to ask.
pub(crate) struct Ask<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) authorization: Option<HeaderValue>,
    /// Whether an address may be asked over plain HTTP.
    pub(crate) permits: fn(IpAddr) -> bool,
}

impl Ask<'_> {
    /// GET it, within [`DEADLINE`] and with at most two tries; any status counts as an answer.
    pub(crate) async fn get(&self) -> Result<Response<Bytes>, Unavailable> {
        let end = Instant::now() + DEADLINE;
        match self.get_by(Instant::now() + FIRST_TRY).await {
            Ok(answer) if answer.status().is_server_error() => {}
            Err(err)
                if matches!(
                    err.failure,
                    Failure::TimedOut | Failure::Refused | Failure::Reset
                ) => {}
            settled => return settled,
        }
        sleep(PAUSE).await;
        self.get_by(end).await
    }

    async fn get_by(&self, end: Instant) -> Result<Response<Bytes>, Unavailable> {
        let silence = |_| Err(self.unavailable(Failure::TimedOut, "does not answer"));
        timeout_at(end, self.get_once())
            .await
            .unwrap_or_else(silence)
    }

    async fn get_once(&self) -> Result<Response<Bytes>, Unavailable> {
        let is_tls = self.uri.scheme_str() == Some("https");
        let peers = self.peers(if is_tls { 443 } else { 80 }).await?;
        if !is_tls && !peers.iter().all(|peer| (self.permits)(peer.ip())) {
            return Err(self.unavailable(
                Failure::WrongForm,
                "may not be asked over http: only loopback, 169.254.170.2, 169.254.170.23 and fd00:ec2::23 may",
            ));
        }
        let stream = self.connect(&peers).await?;
        if !is_tls {
            return self.exchange(stream).await;
        }
        let name = ServerName::try_from(self.host().to_owned()).map_err(|_| {
            self.unavailable(
                Failure::WrongForm,
                "has a host name that no certificate can carry",
            )
        })?;
        let stream = connector()
            .connect(name, stream)
            .await
            .map_err(|err| self.broken(&err))?;
        self.exchange(stream).await
    }

    /// Without the brackets of an IPv6 address.
    fn host(&self) -> &str {
        self.uri
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    async fn peers(&self, default_port: u16) -> Result<Vec<SocketAddr>, Unavailable> {
        let port = self.uri.port_u16().unwrap_or(default_port);
        let addresses = crate::dns::addresses(self.host()).await;
        let peers: Vec<_> = addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        if peers.is_empty() {
            Err(self.unavailable(Failure::NoSuchName, "does not resolve"))
        } else {
            Ok(peers)
        }
    }

    async fn connect(&self, peers: &[SocketAddr]) -> Result<TcpStream, Unavailable> {
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        for peer in peers {
            match TcpStream::connect(peer).await {
                Ok(stream) => return Ok(stream),
                Err(err) => last = err,
            }
        }
        Err(self.broken(&last))
    }

    async fn exchange<S>(&self, stream: S) -> Result<Response<Bytes>, Unavailable>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = self.request()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|err| self.broken(&err))?;
        // Ends with this function, whichever way it ends.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(|err| self.broken(&err))?
            .into_parts();
        let body = Limited::new(body, LONGEST_ANSWER)
            .collect()
            .await
            .map_err(|err| {
                if err.is::<LengthLimitError>() {
                    self.unavailable(
                        Failure::TooLarge,
                        "answers with more than 64 KiB, so it is not the agent",
                    )
                } else {
                    self.broken(&*err)
                }
            })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, Unavailable> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self
            .uri
            .authority()
            .and_then(|authority| authority.as_str().rsplit('@').next())
            .unwrap_or_default();
        let mut request = Request::get(path)
            .header(HOST, host)
            .header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request
            .body(Empty::new())
            .map_err(|_| self.unavailable(Failure::WrongForm, "cannot be written as a request"))
    }

    fn broken(&self, err: &(dyn std::error::Error + 'static)) -> Unavailable {
        let failure = failure_of(err);
        self.unavailable(failure, format_args!("cannot be asked: {failure} ({err})"))
    }

    /// The host is named and the path is not: that of the credentials endpoint is all one needs to
    /// read them.
    pub(crate) fn unavailable(&self, failure: Failure, what: impl fmt::Display) -> Unavailable {
        let port = self
            .uri
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        Unavailable::new(
            failure,
            format_args!("{}{port} {what}", self.uri.host().unwrap_or_default()),
        )
    }
}

/// The first cause in the chain that says what happened on the wire.
fn failure_of(err: &(dyn std::error::Error + 'static)) -> Failure {
    let mut next = Some(err);
    while let Some(err) = next {
        if let Some(err) = err.downcast_ref() {
            return failure_of_tls(err);
        }
        if let Some(err) = err.downcast_ref::<hyper::Error>()
            && (err.is_incomplete_message() || err.is_canceled())
        {
            return Failure::Reset;
        }
        let io = err.downcast_ref::<io::Error>();
        if let Some(failure) = io.and_then(failure_of_io) {
            return failure;
        }
        // An `io::Error` passes over what it wraps when it is asked for its source.
        next = io
            .and_then(|io| io.get_ref())
            .map(|inner| inner as _)
            .or_else(|| err.source());
    }
    Failure::UnexpectedAnswer
}

fn failure_of_io(err: &io::Error) -> Option<Failure> {
    Some(match err.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        io::ErrorKind::TimedOut => Failure::TimedOut,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Failure::Reset,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Failure::Unreachable,
        _ => return None,
    })
}

fn failure_of_tls(err: &rustls::Error) -> Failure {
    use CertificateError as Certificate;
    match err {
        rustls::Error::InvalidCertificate(Certificate::UnknownIssuer) => Failure::UnknownIssuer,
        rustls::Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => Failure::WrongName,
        rustls::Error::InvalidCertificate(
            Certificate::Expired | Certificate::ExpiredContext { .. },
        ) => Failure::ExpiredCertificate,
        _ => Failure::HandshakeRefused,
    }
}

/// The roots are Mozilla's: an image built from nothing has none of its own.
fn connector() -> TlsConnector {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(rustls::ALL_VERSIONS);
    #[expect(
        clippy::expect_used,
        reason = "ring has cipher suites for every version of rustls"
    )]
    let config = versions
        .expect("ring speaks TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
