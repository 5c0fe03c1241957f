//! A server that plays a script, over TLS with a certificate that the probe trusts, or without TLS.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use pullprobe::demo::names;
use pullprobe::observation::Dependency;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// The services of AWS that a start contacts and that answer over HTTP.
pub const SERVICES: [Dependency; 6] = [
    Dependency::EcrApi,
    Dependency::EcrDkr,
    Dependency::S3,
    Dependency::Logs,
    Dependency::SecretsManager,
    Dependency::Ssm,
];

/// A step of a response.
#[derive(Clone)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes this many times, as fast as they are read.
    Repeat(Vec<u8>, u64),
    /// Sends these bytes this many times, with a pause before each.
    Pace(Vec<u8>, u64, Duration),
    /// Closes the connection.
    Close,
    /// Sends nothing more and keeps the connection open.
    Silence,
}

/// Returns the response to a request for a path.
pub type Responses = Arc<dyn Fn(&str) -> Vec<Step> + Send + Sync>;

/// How a server treats its connections.
#[derive(Clone)]
pub enum Behavior {
    /// Plays the script at once, without TLS.
    Plain(Vec<Step>),
    /// Accepts TLS with this many certificates after the leaf, then responds to requests.
    Tls(usize, Responses),
}

/// A running server. It stops when it is dropped.
pub struct Server {
    pub port: u16,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Starts it on the address of `dependency` in the demo, on a free port, and adds its authority
    /// to `roots`.
    pub fn start(dependency: Dependency, behavior: Behavior, roots: &mut RootCertStore) -> Self {
        let extra = if let Behavior::Tls(extra, _) = &behavior {
            *extra
        } else {
            0
        };
        let tls = server_config(&names::host_name(dependency), extra, roots);
        Self::start_presenting(dependency, behavior, tls)
    }

    /// Starts it with the certificate of `tls`.
    pub fn start_presenting(
        dependency: Dependency,
        behavior: Behavior,
        tls: Arc<ServerConfig>,
    ) -> Self {
        let address: Ipv4Addr = super::run::address(dependency);
        let listener = std::net::TcpListener::bind((address, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = TcpListener::from_std(listener).unwrap();
        let tls = TlsAcceptor::from(tls);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                clients.spawn(serve(stream, behavior.clone(), tls.clone()));
            }
        });
        Self {
            port,
            _tasks: tasks,
        }
    }
}

async fn serve(mut stream: TcpStream, behavior: Behavior, tls: TlsAcceptor) {
    match behavior {
        Behavior::Plain(script) => {
            let _ = play(&mut stream, &script).await;
        }
        Behavior::Tls(_, responses) => {
            let Ok(mut stream) = tls.accept(stream).await else {
                return;
            };
            while let Some(path) = read_request(&mut stream).await {
                if !play(&mut stream, &responses(&path)).await.unwrap_or(false) {
                    break;
                }
            }
            let _ = stream.shutdown().await;
        }
    }
}

/// Reads the next request and its body, and returns its path.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(head.split(' ').nth(1)?.to_owned())
}

/// Plays a script. Returns whether the connection stays open.
async fn play(stream: &mut (impl AsyncWrite + Unpin), script: &[Step]) -> std::io::Result<bool> {
    for step in script {
        match step {
            Step::Send(bytes) => stream.write_all(bytes).await?,
            Step::Repeat(bytes, times) => {
                for _ in 0..*times {
                    stream.write_all(bytes).await?;
                }
            }
            Step::Pace(bytes, times, pause) => {
                for _ in 0..*times {
                    sleep(*pause).await;
                    stream.write_all(bytes).await?;
                    stream.flush().await?;
                }
            }
            Step::Close => return Ok(false),
            Step::Silence => std::future::pending().await,
        }
        stream.flush().await?;
    }
    Ok(true)
}

fn server_config(host: &str, extra: usize, roots: &mut RootCertStore) -> Arc<ServerConfig> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    roots.add(issuer.der().clone()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([host.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let mut chain: Vec<CertificateDer<'static>> = vec![leaf.into()];
    chain.extend(std::iter::repeat_n(issuer.der().clone(), extra));
    present(chain, &key)
}

/// Returns the configuration of a server that presents a certificate for `host` alone, issued by an
/// authority of this organization that is not in the roots.
#[allow(dead_code, reason = "bad_resolvers.rs does not use it")]
pub fn of_unknown_authority(host: &str, organization: &str, expired: bool) -> Arc<ServerConfig> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let name = &mut params.distinguished_name;
    name.push(DnType::OrganizationName, organization);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new([host.to_owned()]).unwrap();
    leaf.distinguished_name.push(DnType::CommonName, host);
    if expired {
        leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    present(vec![leaf.into()], &key)
}

fn present(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Returns a complete response.
pub fn http(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Step {
    let mut response = head(status, headers);
    response.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
    response.extend_from_slice(body);
    Step::Send(response)
}

/// Returns a status line and headers without the empty line that ends them.
pub fn head(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.into_bytes()
}
