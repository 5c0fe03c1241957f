//! Why the demo cannot start on this machine.

/// The demo could not start. The reason is this machine, not a fault of the embedded AWS.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Loopback addresses cannot be bound.
    #[error("the demo cannot listen on 127.0.0.0/8: {0}")]
    Listen(#[from] std::io::Error),
    /// The throwaway certificates cannot be generated.
    #[error("the demo cannot generate its certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot be configured.
    #[error("the demo cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The probe cannot start.
    #[error("the demo cannot start the probe: {0}")]
    Probe(String),
}
