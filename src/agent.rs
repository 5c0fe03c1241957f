//! Requests to the ECS agent and to the instance: credentials and metadata.
//!
//! They use hyper on a plain socket, without proxy variables, redirects or connection pools: the
//! agent serves only this task, and only directly.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::observation::Failure;
use crate::redact::redact;
use crate::safe_text::SafeText;
use crate::transport_failure;

#[cfg(test)]
pub(crate) mod loopback;

/// Time limit of all attempts together. A healthy agent responds within milliseconds. The SDKs wait
/// longer for a slow one: botocore (`utils.py`, `ContainerMetadataFetcher`) makes three attempts of
/// two seconds each, and aws-sdk-go-v2 does not set a limit.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Time after which a request without a response is sent again on a second connection: botocore's
/// time limit. The first one may still be answered.
const SECOND_ATTEMPT_AFTER: Duration = Duration::from_secs(2);

/// Pauses before the further attempts if the first one failed, for an agent that is still starting
/// or limits its requests (40 a second). botocore also makes three attempts.
const RETRY_INTERVALS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(500)];

/// Maximum size of a response body in bytes. The metadata of a task with ten containers (ECS's
/// maximum) has about 20 KiB.
const MAX_RESPONSE: usize = 64 * 1024;

/// Why credentials or metadata are unavailable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFailure {
    /// How the request failed, or why its result is unusable.
    pub failure: Failure,
    /// What was observed and what to do next, as a sentence without secrets.
    pub detail: SafeText,
}

impl AgentFailure {
    pub(crate) fn new(failure: Failure, detail: impl fmt::Display) -> Self {
        Self {
            failure,
            detail: redact(&detail.to_string()).into(),
        }
    }
}

impl fmt::Display for AgentFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// A request to the agent or to the instance metadata.
pub(crate) struct AgentRequest<'a> {
    pub(crate) method: Method,
    pub(crate) uri: &'a Uri,
    /// A header, such as the authorization.
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
    /// Whether plain HTTP to an address is allowed.
    pub(crate) allows_http: fn(IpAddr) -> bool,
    /// Time limit of all attempts together.
    pub(crate) timeout: Duration,
}

impl<'a> AgentRequest<'a> {
    /// Returns a GET request.
    pub(crate) fn new(uri: &'a Uri, allows_http: fn(IpAddr) -> bool, timeout: Duration) -> Self {
        Self {
            method: Method::GET,
            uri,
            header: None,
            allows_http,
            timeout,
        }
    }
}

impl AgentRequest<'_> {
    /// Sends the request, at most three times and within its time limit. Returns a response with
    /// any status.
    pub(crate) async fn send(&self) -> Result<Response<Bytes>, AgentFailure> {
        let silent = || Err(self.failed(Failure::TimedOut, "does not respond"));
        timeout(self.timeout, Box::pin(self.send_again()))
            .await
            .unwrap_or_else(|_| silent())
    }

    async fn send_again(&self) -> Result<Response<Bytes>, AgentFailure> {
        let is_final = |result: &Result<Response<Bytes>, AgentFailure>| match result {
            Ok(response) => {
                let status = response.status();
                !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS
            }
            Err(err) => !matches!(err.failure, Failure::Refused | Failure::Reset),
        };
        let mut first = pin!(self.send_once());
        let early = tokio::select! {
            result = &mut first => Some(result),
            () = sleep(SECOND_ATTEMPT_AFTER) => None,
        };
        if let Some(mut result) = early {
            for pause in RETRY_INTERVALS {
                if is_final(&result) {
                    break;
                }
                sleep(pause).await;
                result = self.send_once().await;
            }
            return result;
        }
        let mut second = pin!(self.send_once());
        tokio::select! {
            result = &mut first => if is_final(&result) { result } else { second.await },
            result = &mut second => if is_final(&result) { result } else { first.await },
        }
    }

    async fn send_once(&self) -> Result<Response<Bytes>, AgentFailure> {
        let is_tls = self.uri.scheme_str() == Some("https");
        let peers = self.peers(if is_tls { 443 } else { 80 }).await?;
        if !is_tls && !peers.iter().all(|peer| (self.allows_http)(peer.ip())) {
            return Err(self.failed(
                Failure::WrongForm,
                "is not allowed over http; only loopback, 169.254.170.2, 169.254.170.23 and fd00:ec2::23 are",
            ));
        }
        let stream = self.connect(&peers).await?;
        if !is_tls {
            return self.exchange(stream).await;
        }
        let name = ServerName::try_from(self.host().to_owned())
            .map_err(|_| self.failed(Failure::WrongForm, "is not a valid TLS server name"))?;
        let stream = connector()
            .connect(name, stream)
            .await
            .map_err(|err| self.connection_failed(&err))?;
        self.exchange(stream).await
    }

    /// Returns the host without the brackets of an IPv6 address.
    fn host(&self) -> &str {
        self.uri
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    async fn peers(&self, default_port: u16) -> Result<Vec<SocketAddr>, AgentFailure> {
        let port = self.uri.port_u16().unwrap_or(default_port);
        let addresses = crate::dns::addresses(self.host()).await;
        let peers: Vec<_> = addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        if peers.is_empty() {
            Err(self.failed(Failure::NoSuchName, "does not resolve"))
        } else {
            Ok(peers)
        }
    }

    async fn connect(&self, peers: &[SocketAddr]) -> Result<TcpStream, AgentFailure> {
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        for peer in peers {
            match TcpStream::connect(peer).await {
                Ok(stream) => return Ok(stream),
                Err(err) => last = err,
            }
        }
        Err(self.connection_failed(&last))
    }

    async fn exchange<S>(&self, stream: S) -> Result<Response<Bytes>, AgentFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = self.request()?;
        exchange(stream, request, MAX_RESPONSE)
            .await
            .map_err(|err| {
                if err.is::<LengthLimitError>() {
                    self.failed(
                        Failure::TooLarge,
                        "returned more than 64 KiB, so it is not the agent",
                    )
                } else {
                    self.connection_failed(&*err)
                }
            })
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, AgentFailure> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self
            .uri
            .authority()
            .and_then(|authority| authority.as_str().rsplit('@').next())
            .unwrap_or_default();
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(path)
            .header(HOST, host)
            .header(ACCEPT, "application/json");
        if let Some((name, value)) = &self.header {
            request = request.header(name, value);
        }
        request
            .body(Full::default())
            .map_err(|_| self.failed(Failure::WrongForm, "is not valid in an HTTP request"))
    }

    fn connection_failed(&self, err: &(dyn std::error::Error + 'static)) -> AgentFailure {
        let failure = failure_of(err);
        self.failed(
            failure,
            format_args!("cannot be reached: {failure} ({err})"),
        )
    }

    /// Returns a failure that names the host but not the path: the path of the credentials
    /// endpoint is enough to read the credentials.
    pub(crate) fn failed(&self, failure: Failure, what: impl fmt::Display) -> AgentFailure {
        let port = self
            .uri
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        AgentFailure::new(
            failure,
            format_args!("{}{port} {what}", self.uri.host().unwrap_or_default()),
        )
    }
}

/// Sends a request over `stream` and reads the response, of at most `max` bytes.
pub(crate) async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    max: usize,
) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Aborts the connection when this function returns.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, max).collect().await?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// Returns the failure of the first error in the source chain that comes from the network.
fn failure_of(err: &(dyn std::error::Error + 'static)) -> Failure {
    let mut next = Some(err);
    while let Some(err) = next {
        if let Some(err) = err.downcast_ref() {
            return transport_failure::from_tls(err).unwrap_or(Failure::HandshakeRefused);
        }
        if let Some(err) = err.downcast_ref::<hyper::Error>()
            && (err.is_incomplete_message() || err.is_canceled())
        {
            return Failure::Reset;
        }
        let io = err.downcast_ref::<io::Error>();
        if let Some(failure) = io.and_then(io_failure) {
            return failure;
        }
        // The source of an `io::Error` is that of the error it wraps, not that error itself.
        next = io
            .and_then(|io| io.get_ref())
            .map(|inner| inner as _)
            .or_else(|| err.source());
    }
    Failure::UnexpectedAnswer
}

fn io_failure(err: &io::Error) -> Option<Failure> {
    match err.kind() {
        // This machine has no IPv6 address from which to connect.
        io::ErrorKind::AddrNotAvailable => Some(Failure::Unreachable),
        _ => transport_failure::from_io(err),
    }
}

/// Returns a connector that trusts Mozilla's roots, because an image built FROM scratch has none.
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
        .expect("ring supports TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
