//! Starts everything on loopback, in this process and without privileges, and stops it when
//! dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{RootCertStore, ServerConfig};
use tokio::task::JoinSet;

use super::StartError;
use super::authority::{Authority, LONG_AGO, NOW};
use super::cloud::Cloud;
use super::http::Reception;
use super::path::{self, Door};
use super::scenario::{self, Certificate, Scenario};
use super::{http, resolver, task};
use crate::observation::Dependency;

/// A running AWS.
#[derive(Debug)]
pub struct World {
    /// Where names are asked.
    pub resolver: SocketAddr,
    /// The port at which every service answers.
    pub port: u16,
    /// What a puller trusts.
    pub roots: Arc<RootCertStore>,
    /// What ECS puts into a container's environment.
    pub variables: BTreeMap<String, String>,
    cloud: Arc<Cloud>,
    _tasks: JoinSet<()>,
}

impl World {
    /// Starts the servers of `setting`, inside a Tokio runtime. Fails if loopback cannot be bound.
    pub fn start(setting: Scenario) -> Result<Self, StartError> {
        let mut tasks = JoinSet::new();
        let resolver = resolver::start(&setting, &mut tasks)?;
        let variables = task::start(&setting, &mut tasks)?;
        let trusted = Authority::new("Demo Trust Services")?;
        let certificates = certificates(&setting, &trusted)?;

        let addresses: Vec<_> = setting
            .sites
            .iter()
            .flat_map(|(service, site)| {
                site.addresses
                    .iter()
                    .map(|(address, path)| (*service, *address, *path))
            })
            .collect();
        let bound: Vec<_> = addresses
            .iter()
            .map(|(_, address, path)| (*address, *path))
            .collect();
        let (port, doors) = path::claim(&bound)?;
        let cloud = Arc::new(Cloud::new(setting, port));
        for ((service, _, path), door) in addresses.into_iter().zip(doors) {
            match door {
                Door::Held(holder) => tasks.spawn(holder.hold()),
                Door::Listening(listener) => {
                    let (Some(site), Some(tls)) = (
                        cloud.setting.sites.get(&service),
                        certificates.get(&service),
                    ) else {
                        continue;
                    };
                    let reception = Reception {
                        tls: Arc::clone(tls).into(),
                        path,
                        pace: site.pace,
                    };
                    let (cloud, inhabitant) = (Arc::clone(&cloud), site.inhabitant);
                    tasks.spawn(http::serve(listener, reception, move |request| {
                        let cloud = Arc::clone(&cloud);
                        async move { cloud.answer(inhabitant, request).await }
                    }))
                }
            };
        }
        Ok(Self {
            resolver,
            port,
            roots: Arc::new(trusted.roots()?),
            variables,
            cloud,
            _tasks: tasks,
        })
    }

    /// The messages that were put into log streams, by `(group, stream)`.
    pub fn log_streams(&self) -> BTreeMap<(String, String), Vec<String>> {
        self.cloud.streams().clone()
    }
}

fn certificates(
    setting: &Scenario,
    trusted: &Authority,
) -> Result<BTreeMap<Dependency, Arc<ServerConfig>>, StartError> {
    let middlebox = Authority::new("Example Corp TLS Inspection")?;
    let mut servers = BTreeMap::new();
    for (service, site) in &setting.sites {
        let names = presented_names(site.inhabitant);
        let server = match site.certificate {
            Certificate::Proper => trusted.server(&names, NOW),
            Certificate::ForAnotherName => trusted.server(&["console.example.com".into()], NOW),
            Certificate::Expired => trusted.server(&names, LONG_AGO),
            Certificate::Intercepted => middlebox.server(&names, NOW),
        };
        servers.insert(*service, server?);
    }
    Ok(servers)
}

/// The names on a service's certificate: wildcards where the real one has them.
fn presented_names(service: Dependency) -> Vec<String> {
    let host = scenario::host(service);
    match (service, host.split_once('.')) {
        (Dependency::EcrDkr | Dependency::S3, Some((_, parent))) => {
            vec![format!("*.{parent}"), parent.to_owned()]
        }
        _ => vec![host],
    }
}

#[cfg(test)]
mod tests;
