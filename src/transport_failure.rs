//! Maps I/O and TLS errors to failures, for the probe and for requests to the ECS agent.
//!
//! `None` means that the two classify the error differently. The agent is not the target under
//! test, so any other TLS error is a refused handshake there, while the probe distinguishes it
//! further. For a request to the agent, an unavailable address means a missing IPv6 address; for
//! the probe, an occupied source port. Only the probe treats a local firewall's rejection as
//! unreachable.

use std::io::{self, ErrorKind};

use rustls::CertificateError;

use crate::observation::Failure;

/// Returns the failure of an I/O error.
pub fn from_io(error: &io::Error) -> Option<Failure> {
    match error.kind() {
        ErrorKind::ConnectionRefused => Some(Failure::Refused),
        ErrorKind::TimedOut => Some(Failure::TimedOut),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Some(Failure::Reset),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Some(Failure::Unreachable)
        }
        _ => None,
    }
}

/// Returns the failure of a TLS error.
pub fn from_tls(error: &rustls::Error) -> Option<Failure> {
    let rustls::Error::InvalidCertificate(error) = error else {
        return None;
    };
    match error {
        CertificateError::UnknownIssuer => Some(Failure::UnknownIssuer),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some(Failure::WrongName)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some(Failure::ExpiredCertificate)
        }
        _ => None,
    }
}
