//! Starts every server on loopback, in this process and without privileges, and stops them when
//! dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{RootCertStore, ServerConfig};
use tokio::task::JoinSet;

use super::authority::{CertificateAuthority, EXPIRED_YEARS, VALID_YEARS};
use super::http::{self, Acceptor};
use super::names::host_name;
use super::path::{self, Listener};
use super::scenario::{PresentedCertificate, Scenario};
use super::start_error::StartError;
use super::state::{CloudState, LogStreams};
use super::{cloud, resolver, task};
use crate::observation::Dependency;

/// The running servers.
#[derive(Debug)]
pub struct EmbeddedAws {
    /// Address of the DNS resolver.
    pub resolver: SocketAddr,
    /// The port on which every service listens.
    pub port: u16,
    /// The roots that a puller trusts.
    pub roots: Arc<RootCertStore>,
    /// The variables that ECS sets in a container's environment.
    pub variables: BTreeMap<String, String>,
    state: Arc<CloudState>,
    _tasks: JoinSet<()>,
}

impl EmbeddedAws {
    /// Starts the servers of `scenario`, inside a Tokio runtime. Fails if loopback cannot be bound.
    pub fn start(scenario: Scenario) -> Result<Self, StartError> {
        let mut tasks = JoinSet::new();
        let resolver = resolver::start(&scenario, &mut tasks)?;
        let variables = task::start(&scenario, &mut tasks)?;
        let trusted = CertificateAuthority::new("Demo Trust Services")?;
        let certificates = certificates(&scenario, &trusted)?;

        let (mut services, mut addresses) = (Vec::new(), Vec::new());
        for (service, host) in &scenario.hosts {
            services.extend(host.addresses.iter().map(|_| *service));
            addresses.extend_from_slice(&host.addresses);
        }
        let (port, listeners) = path::bind(&addresses)?;
        let state = Arc::new(CloudState::new(scenario, port));
        for ((service, address), listener) in services.into_iter().zip(addresses).zip(listeners) {
            match listener {
                Listener::Unserved(bound) => tasks.spawn(bound.hold()),
                Listener::Accepting(listener) => {
                    let (Some(host), Some(tls)) = (
                        state.scenario.hosts.get(&service),
                        certificates.get(&service),
                    ) else {
                        continue;
                    };
                    let acceptor = Acceptor {
                        tls: Arc::clone(tls).into(),
                        path: address.path,
                        delay: host.delay,
                    };
                    let (state, server) = (Arc::clone(&state), host.server);
                    tasks.spawn(http::serve(listener, acceptor, move |request| {
                        let state = Arc::clone(&state);
                        async move { cloud::respond(&state, server, request).await }
                    }))
                }
            };
        }
        Ok(Self {
            resolver,
            port,
            roots: Arc::new(trusted.roots()?),
            variables,
            state,
            _tasks: tasks,
        })
    }

    /// Returns the messages that were written to log streams, by `(log group, log stream)`.
    pub fn log_streams(&self) -> LogStreams {
        self.state.log_streams().clone()
    }
}

fn certificates(
    scenario: &Scenario,
    trusted: &CertificateAuthority,
) -> Result<BTreeMap<Dependency, Arc<ServerConfig>>, StartError> {
    let middlebox = CertificateAuthority::new("Example Corp TLS Inspection")?;
    let mut servers = BTreeMap::new();
    for (service, host) in &scenario.hosts {
        let names = presented_names(host.server);
        let server = match host.certificate {
            PresentedCertificate::Valid => trusted.server(&names, VALID_YEARS),
            PresentedCertificate::ForAnotherName => {
                trusted.server(&["console.example.com".into()], VALID_YEARS)
            }
            PresentedCertificate::Expired => trusted.server(&names, EXPIRED_YEARS),
            PresentedCertificate::Intercepted => middlebox.server(&names, VALID_YEARS),
        };
        servers.insert(*service, server?);
    }
    Ok(servers)
}

/// Returns the names in a service's certificate, with wildcards where AWS has them.
fn presented_names(service: Dependency) -> Vec<String> {
    let host = host_name(service);
    match (service, host.split_once('.')) {
        (Dependency::EcrDkr | Dependency::S3, Some((_, parent))) => {
            vec![format!("*.{parent}"), parent.to_owned()]
        }
        _ => vec![host],
    }
}

#[cfg(test)]
mod tests;
