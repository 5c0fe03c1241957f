//! `handshake`: TLS as the puller does it, with the presented chain recorded whatever the outcome.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::observation::{Certificate, Failure};
use crate::probe::net::tcp::{self, Shape};

/// A handshake has this long. A healthy one takes two round trips; the ECS agent gives a whole
/// call, of which it is only the beginning, five seconds (facts: ecs-start, section 2,
/// `roundtripTimeout`).
const HANDSHAKE_DEADLINE: Duration = Duration::from_millis(4_400);

/// Certificates recorded of one chain. A public chain has two to four; a server may send thousands.
const MAX_CHAIN: usize = 6;

/// Names recorded of one certificate. A certificate may carry hundreds.
const MAX_NAMES: usize = 20;

/// How TLS is spoken to every target.
#[derive(Debug, Clone)]
pub struct Tls {
    verifier: Arc<WebPkiServerVerifier>,
    resumption: Resumption,
}

/// What a handshake showed.
pub struct Handshaken {
    /// The stream, or how it failed.
    pub stream: Result<TlsStream<TcpStream>, Failure>,
    /// The presented chain, leaf first.
    pub chain: Vec<Certificate>,
    /// The library's own words, where it failed.
    pub detail: String,
}

impl Tls {
    /// Trusts `roots` and nothing else. Fails if there are none.
    pub fn new(roots: Arc<RootCertStore>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| format!("the CA bundle cannot be used: {error}"))?;
        Ok(Self {
            verifier,
            resumption: Resumption::in_memory_sessions(32),
        })
    }

    /// Shakes hands over `stream`, for at most five seconds.
    pub async fn handshake(&self, stream: TcpStream, host: &str) -> Handshaken {
        let Ok(name) = ServerName::try_from(host.to_owned()) else {
            return Handshaken::failed(
                Failure::UnexpectedAnswer,
                format!("{host:?} cannot be asked for in TLS"),
            );
        };
        let presented = Arc::new(Recording {
            inner: Arc::clone(&self.verifier),
            chain: Mutex::default(),
        });
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| {
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::clone(&presented) as _)
            });
        let mut config = match config {
            Ok(config) => config.with_no_client_auth(),
            Err(error) => return Handshaken::failed(Failure::HandshakeRefused, error.to_string()),
        };
        config.resumption = self.resumption.clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connected = timeout(
            HANDSHAKE_DEADLINE,
            TlsConnector::from(Arc::new(config)).connect(name, stream),
        )
        .await;
        let chain = presented.certificates();
        match connected {
            Ok(Ok(stream)) => Handshaken {
                stream: Ok(stream),
                chain,
                detail: String::new(),
            },
            Ok(Err(error)) => {
                let failure = failure_of(&error);
                Handshaken {
                    stream: Err(failure),
                    chain,
                    detail: error.to_string(),
                }
            }
            Err(_) => Handshaken {
                stream: Err(Failure::Stalled),
                chain,
                detail: String::new(),
            },
        }
    }

    /// Connects and shakes hands.
    pub async fn open(&self, peer: SocketAddr, host: &str, shape: Shape) -> Handshaken {
        match tcp::open_again(peer, shape).await {
            Ok(stream) => self.handshake(stream, host).await,
            Err(Failure::TimedOut) => {
                Handshaken::failed(Failure::Stalled, "no further connection".into())
            }
            Err(failure) => Handshaken::failed(failure, "no further connection".into()),
        }
    }
}

impl Handshaken {
    fn failed(failure: Failure, detail: String) -> Self {
        Self {
            stream: Err(failure),
            chain: Vec::new(),
            detail,
        }
    }

    /// Whether it began and then nothing more came.
    pub fn stalled(&self) -> bool {
        matches!(self.stream, Err(Failure::Stalled))
    }
}

/// Verifies as webpki does, and keeps what was presented.
#[derive(Debug)]
struct Recording {
    inner: Arc<WebPkiServerVerifier>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl Recording {
    fn certificates(&self) -> Vec<Certificate> {
        let chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        chain.iter().filter_map(|der| read(der)).collect()
    }
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity)
            .chain(intermediates)
            .take(MAX_CHAIN);
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) =
            chain.map(|der| der.clone().into_owned()).collect();
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate;
    let names = certificate
        .get::<SubjectAltName>()
        .ok()
        .flatten()
        .map(|(_, names)| names.0)
        .unwrap_or_default();
    let names = names.into_iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(shorten(name.as_str())),
        _ => None,
    });
    Some(Certificate {
        subject: shorten(&certificate.subject.to_string()),
        issuer: shorten(&certificate.issuer.to_string()),
        names: names.take(MAX_NAMES).collect(),
        not_before: rfc3339(certificate.validity.not_before),
        not_after: rfc3339(certificate.validity.not_after),
    })
}

fn rfc3339(time: x509_cert::time::Time) -> String {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// rustls keeps the typed error inside the `io::Error`, so nothing here reads words.
fn failure_of(error: &io::Error) -> Failure {
    use rustls::Error as Tls;
    let Some(inner) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Tls>())
    else {
        return tcp::failure_of(error);
    };
    match inner {
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Failure::WrongName,
        Tls::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => Failure::ExpiredCertificate,
        Tls::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Failure::NotYetValidCertificate,
        // Whatever else is wrong with a chain, the puller cannot build a path from it to a root of
        // its own.
        Tls::InvalidCertificate(_) => Failure::UnknownIssuer,
        Tls::AlertReceived(_) | Tls::PeerIncompatible(_) | Tls::NoApplicationProtocol => {
            Failure::HandshakeRefused
        }
        _ => Failure::UnexpectedAnswer,
    }
}
