//! `handshake`: TLS with the puller's root certificates. The presented certificate chain is
//! recorded whether or not the handshake succeeds.

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
use x509_cert::der::oid::db::rfc4519;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use crate::observation::{Certificate, Failure};
use crate::probe::net::path_mtu::TryEnd;
use crate::probe::net::tcp::{self, ConnectOptions};
use crate::safe_text::{SafeText, safe_text};
use crate::transport_failure;

/// Time limit of a handshake. A healthy one takes two round trips; the ECS agent gives a whole
/// call, of which the handshake is only the beginning, five seconds (docs/facts/ecs-start.md#2,
/// `roundtripTimeout`).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(4_400);

/// Maximum number of certificates recorded of one chain. A public chain has two to four; a server
/// may send thousands.
const MAX_CHAIN_LENGTH: usize = 6;

/// Maximum size in bytes of a DER tag and length (X.690 section 8.1), for a value of up to 64 KiB.
const MAX_DER_HEADER_LENGTH: usize = 4;

/// Maximum number of names recorded of one certificate. A certificate may have hundreds.
const MAX_NAMES: usize = 20;

/// Maximum number of characters recorded of a name in a certificate: a distinguished name with
/// several attributes is shorter.
const MAX_NAME_LENGTH: usize = 200;

/// Opens TLS connections.
#[derive(Debug, Clone)]
pub struct TlsClient {
    verifier: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    resumption: Resumption,
}

/// The result of a handshake.
pub struct Handshake {
    pub stream: Result<TlsStream<TcpStream>, Failure>,
    /// The presented chain, leaf first.
    pub chain: Vec<Certificate>,
    /// The error message of the TLS library; empty on success.
    pub detail: SafeText,
    /// Whether the TCP connection was open.
    pub connected: bool,
}

impl TlsClient {
    /// Returns a client that trusts only `roots`. Fails if there are none.
    pub fn new(roots: Arc<RootCertStore>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider)
            .build()
            .map_err(|error| format!("cannot use the CA bundle: {error}"))?;
        Ok(Self {
            verifier,
            roots,
            resumption: Resumption::in_memory_sessions(32),
        })
    }

    /// Whether the roots are not Mozilla's.
    pub fn has_custom_roots(&self) -> bool {
        self.roots.roots != webpki_roots::TLS_SERVER_ROOTS
    }

    /// Performs a handshake over `stream`, within [`HANDSHAKE_TIMEOUT`].
    pub async fn handshake(&self, stream: TcpStream, host: &str) -> Handshake {
        let Ok(name) = ServerName::try_from(host.to_owned()) else {
            return Handshake::failed(
                Failure::UnexpectedAnswer,
                safe_text![host.to_owned(), " is not a valid TLS server name"],
            );
        };
        let recording = Arc::new(RecordingVerifier {
            verifier: Arc::clone(&self.verifier),
            roots: Arc::clone(&self.roots),
            chain: Mutex::default(),
        });
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| {
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::clone(&recording) as _)
            });
        let mut config = match config {
            Ok(config) => config.with_no_client_auth(),
            Err(error) => {
                return Handshake::failed(Failure::HandshakeRefused, error.to_string().into());
            }
        };
        config.resumption = self.resumption.clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connected = timeout(
            HANDSHAKE_TIMEOUT,
            TlsConnector::from(Arc::new(config)).connect(name, stream),
        )
        .await;
        let (stream, detail) = match connected {
            Ok(Ok(stream)) => (Ok(stream), SafeText::default()),
            Ok(Err(error)) => (Err(failure_of(&error)), error.to_string().into()),
            Err(_) => (Err(Failure::Stalled), SafeText::default()),
        };
        Handshake {
            stream,
            chain: recording.certificates(),
            detail,
            connected: true,
        }
    }

    /// Opens a further connection to an address that has responded before, with its handshake.
    pub async fn reconnect(
        &self,
        peer: SocketAddr,
        host: &str,
        options: ConnectOptions,
    ) -> Handshake {
        match tcp::reconnect(peer, options).await {
            Ok(stream) => self.handshake(stream, host).await,
            Err(failure) => Handshake {
                connected: false,
                ..Handshake::failed(failure, "could not open a second connection".into())
            },
        }
    }
}

impl Handshake {
    fn failed(failure: Failure, detail: SafeText) -> Self {
        Self {
            stream: Err(failure),
            chain: Vec::new(),
            detail,
            connected: true,
        }
    }

    /// Returns how this try ended.
    pub fn end(&self) -> TryEnd {
        match self.stream {
            Err(Failure::Stalled) => TryEnd::Stalled,
            Err(Failure::Reset) => TryEnd::Broken,
            Err(_) if !self.connected => TryEnd::Broken,
            _ => TryEnd::Answered,
        }
    }
}

/// Verifies certificates as webpki does, and records the presented chain.
#[derive(Debug)]
struct RecordingVerifier {
    verifier: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl RecordingVerifier {
    /// Whether the issuer of a presented certificate has the name of a root. `true` if no
    /// certificate can be parsed.
    fn ends_below_a_root(&self) -> bool {
        let chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let issuers: Vec<Vec<u8>> = chain
            .iter()
            .filter_map(|der| x509_cert::Certificate::from_der(der).ok())
            .filter_map(|certificate| certificate.tbs_certificate.issuer.to_der().ok())
            .collect();
        // An anchor's subject lacks the tag and length of the sequence around it.
        let is_root = |issuer: &Vec<u8>| {
            let is_subject = |subject: &[u8]| {
                issuer.ends_with(subject) && issuer.len() <= subject.len() + MAX_DER_HEADER_LENGTH
            };
            self.roots
                .roots
                .iter()
                .any(|root| is_subject(&root.subject))
        };
        issuers.is_empty() || issuers.iter().any(is_root)
    }

    fn certificates(&self) -> Vec<Certificate> {
        let chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        chain.iter().filter_map(|der| parse(der)).collect()
    }
}

impl ServerCertVerifier for RecordingVerifier {
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
            .take(MAX_CHAIN_LENGTH);
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) =
            chain.map(|der| der.clone().into_owned()).collect();
        let verify = |now| {
            let verifier = &self.verifier;
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let result = verify(now);
        // webpki checks the dates before the issuer. Verifying at a time within the dates shows
        // whether the issuer is trusted.
        match &result {
            Err(rustls::Error::InvalidCertificate(error)) if is_about_dates(error) => {
                match valid_at(end_entity).map(verify) {
                    Some(Err(rustls::Error::InvalidCertificate(other)))
                        if !is_about_dates(&other)
                            && !matches!(
                                other,
                                CertificateError::NotValidForName
                                    | CertificateError::NotValidForNameContext { .. }
                            ) =>
                    {
                        Err(rustls::Error::InvalidCertificate(other))
                    }
                    // There may be no time at which every certificate of the chain is valid.
                    _ if !self.ends_below_a_root() => {
                        let unknown = CertificateError::UnknownIssuer;
                        Err(rustls::Error::InvalidCertificate(unknown))
                    }
                    _ => result,
                }
            }
            _ => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

fn is_about_dates(error: &CertificateError) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
    )
}

/// Returns the last second in which a certificate was valid.
fn valid_at(der: &CertificateDer<'_>) -> Option<UnixTime> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let not_after = certificate.tbs_certificate.validity.not_after;
    Some(UnixTime::since_unix_epoch(not_after.to_unix_duration()))
}

/// Organizations of public certificate authorities whose roots bear another organization's name
/// (Common CA Database, "Intermediate certificates").
const MORE_PUBLIC_ISSUERS: [&[u8]; 5] = [
    b"Let's Encrypt",
    b"ZeroSSL",
    b"Google Trust Services",
    b"Microsoft Corporation",
    b"Apple Inc.",
];

/// Whether the organization in this name is that of a public certificate authority: one of
/// Mozilla's roots has it, or [`MORE_PUBLIC_ISSUERS`] lists it.
fn is_public(issuer: &Name) -> bool {
    /// `organizationName`: 2.5.4.10 (RFC 5280 appendix A.1).
    const ORGANIZATION: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x0a];
    let organization = issuer
        .0
        .iter()
        .flat_map(|names| names.0.iter())
        .find(|name| name.oid == rfc4519::ORGANIZATION_NAME);
    let Some(organization) = organization.map(|name| name.value.value()) else {
        return false;
    };
    let is_of_root = |subject: &[u8]| {
        // The OID is followed by a string's tag and length.
        let start = subject
            .windows(ORGANIZATION.len())
            .position(|window| window == ORGANIZATION);
        let string = start.and_then(|start| subject.get(start + ORGANIZATION.len() + 1..));
        string
            .and_then(<[u8]>::split_first)
            .is_some_and(|(&length, value)| {
                usize::from(length) == organization.len() && value.starts_with(organization)
            })
    };
    !organization.is_empty()
        && (MORE_PUBLIC_ISSUERS.contains(&organization)
            || webpki_roots::TLS_SERVER_ROOTS
                .iter()
                .any(|root| is_of_root(&root.subject)))
}

fn parse(der: &CertificateDer<'_>) -> Option<Certificate> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate;
    let names = certificate
        .get::<SubjectAltName>()
        .ok()
        .flatten()
        .map(|(_, names)| names.0)
        // Without the extension, the certificate is not valid for any name, because webpki ignores
        // the subject.
        .unwrap_or_default();
    let names = names.into_iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(shorten(name.as_str())),
        _ => None,
    });
    Some(Certificate {
        subject: shorten(&certificate.subject.to_string()),
        issuer: shorten(&certificate.issuer.to_string()),
        names: names.take(MAX_NAMES).collect(),
        not_before: rfc3339(certificate.validity.not_before).into(),
        not_after: rfc3339(certificate.validity.not_after).into(),
        expired: certificate.validity.not_after.to_unix_duration().as_secs()
            < UnixTime::now().as_secs(),
        public_issuer: is_public(&certificate.issuer),
    })
}

fn rfc3339(time: x509_cert::time::Time) -> String {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    // Empty for a time after the year 9999.
    Timestamp::from_second(seconds)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

fn shorten(text: &str) -> SafeText {
    SafeText::foreign(text, MAX_NAME_LENGTH)
}

/// Converts an error of the handshake to a failure. rustls keeps its typed error inside the
/// `io::Error`, so no message is parsed.
fn failure_of(error: &io::Error) -> Failure {
    use rustls::Error as Tls;
    let Some(inner) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Tls>())
    else {
        return tcp::failure_of(error);
    };
    if let Some(failure) = transport_failure::from_tls(inner) {
        return failure;
    }
    match inner {
        Tls::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Failure::NotYetValidCertificate,
        // Any other defect of the chain: the puller cannot build a path from it to a trusted root.
        Tls::InvalidCertificate(_) => Failure::UnknownIssuer,
        Tls::AlertReceived(_) | Tls::PeerIncompatible(_) | Tls::NoApplicationProtocol => {
            Failure::HandshakeRefused
        }
        _ => Failure::UnexpectedAnswer,
    }
}
