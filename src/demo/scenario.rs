//! What the embedded AWS looks like: plain data, healthy by default, changed by a fault. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use jiff::SignedDuration;

use super::names::{LOG_GROUP, REPOSITORY, SERVICES, TAG, healthy_address};
use super::path::{HostAddress, PathState};
use super::service_error::ServiceError;
use crate::observation::Dependency;

/// Everything that a fault can change.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// How the resolver responds to queries.
    pub resolver: ResolverBehavior,
    /// Which names exist in DNS.
    pub dns_names: DnsNames,
    /// The services' hosts.
    pub hosts: BTreeMap<Dependency, Host>,
    /// What the container credentials endpoint returns.
    pub credentials: TaskCredentials,
    /// How far AWS's clocks are ahead of this machine's.
    pub clock_ahead: SignedDuration,
    /// Operations that are denied, and the error that each returns.
    pub denials: BTreeMap<Operation, ServiceError>,
    /// The resources that the services have.
    pub resources: Resources,
    /// Whether the plan expects private addresses.
    pub expect_private: bool,
}

/// One service, as the network shows it.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its addresses, in the order of the DNS answer.
    pub addresses: Vec<HostAddress>,
    /// The service that listens on these addresses: the service itself, unless the name points
    /// elsewhere.
    pub server: Dependency,
    /// The certificate that it presents.
    pub certificate: PresentedCertificate,
    /// How long it takes to respond.
    pub delay: ResponseDelay,
}

/// How a resolver responds to queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolverBehavior {
    /// It answers them.
    Answers,
    /// It returns SERVFAIL.
    ServFail,
    /// It returns REFUSED.
    Refused,
    /// It does not respond.
    Silent,
}

/// Which names exist in DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsNames {
    /// All.
    All,
    /// None below `amazonaws.com`: the resolver has an empty zone of that name, as a company's
    /// own DNS may.
    NoneOfAws,
    /// All but this service's name: a private hosted zone above it lacks the record.
    AllBut(Dependency),
}

/// The certificate that a service presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresentedCertificate {
    /// Its own.
    Valid,
    /// A trusted one for a name outside AWS.
    ForAnotherName,
    /// Its own, expired.
    Expired,
    /// One that a TLS-inspecting firewall issued, whose authority the puller does not trust.
    Intercepted,
}

/// How long a service takes to respond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseDelay {
    /// It responds at once.
    None,
    /// It responds late, but within the ECS agent's time limit.
    Slow,
    /// It reads the request and never responds.
    Forever,
}

/// What the container credentials endpoint returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskCredentials {
    /// An access key that works.
    Valid,
    /// An expired access key.
    Expired,
    /// An access key that does not exist.
    Unknown,
    /// Nothing: the task has no task role, so there is no such endpoint.
    None,
}

/// An operation that IAM authorizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `ecr:GetAuthorizationToken`.
    GetAuthorizationToken,
    /// `ecr:BatchGetImage`, which a manifest's GET needs.
    BatchGetImage,
    /// `ecr:GetDownloadUrlForLayer`, which a blob's GET needs.
    GetDownloadUrlForLayer,
    /// `s3:GetObject` through the gateway endpoint.
    GetObject,
    /// `logs:CreateLogStream`.
    CreateLogStream,
    /// `logs:PutLogEvents`.
    PutLogEvents,
    /// `secretsmanager:GetSecretValue`.
    GetSecretValue,
    /// `ssm:GetParameters`.
    GetParameters,
}

/// The resources that the services have.
#[derive(Debug, Clone)]
pub struct Resources {
    /// The repository; `None` if it was deleted.
    pub repository: Option<&'static str>,
    /// The tag.
    pub tag: &'static str,
    /// Architectures of the image.
    pub architectures: Vec<&'static str>,
    /// Whether the layer bucket still has the layers.
    pub layers: bool,
    /// Whether the registry accepts the token that the API returns.
    pub token_accepted: bool,
    /// Log groups.
    pub log_groups: BTreeSet<&'static str>,
    /// The secret's value; `None` if the secret does not exist.
    pub secret: Option<&'static str>,
    /// The parameter's value; `None` if the parameter does not exist.
    pub parameter: Option<&'static str>,
}

impl Scenario {
    /// Returns a subnet without a route to the internet but with everything that a Fargate task
    /// needs: interface endpoints for the API services and a gateway endpoint for Amazon S3.
    pub fn healthy() -> Self {
        Self {
            resolver: ResolverBehavior::Answers,
            dns_names: DnsNames::All,
            hosts: SERVICES
                .into_iter()
                .map(|service| (service, Host::healthy(service)))
                .collect(),
            credentials: TaskCredentials::Valid,
            clock_ahead: SignedDuration::ZERO,
            denials: BTreeMap::new(),
            resources: Resources {
                repository: Some(REPOSITORY),
                tag: TAG,
                architectures: vec!["amd64", "arm64"],
                layers: true,
                token_accepted: true,
                log_groups: BTreeSet::from([LOG_GROUP]),
                secret: Some(r#"{"username":"app","password":"correct horse"}"#),
                parameter: Some("battery staple"),
            },
            expect_private: false,
        }
    }

    /// Returns the host of `service`, to change it.
    pub fn host(&mut self, service: Dependency) -> &mut Host {
        self.hosts
            .entry(service)
            .or_insert_with(|| Host::healthy(service))
    }

    /// Sets the state of the path to every address of the services that `selects` accepts.
    pub fn set_path(&mut self, path: PathState, selects: impl Fn(Dependency) -> bool) {
        let selected = self
            .hosts
            .iter_mut()
            .filter(|(service, _)| selects(**service));
        for address in selected.flat_map(|(_, host)| &mut host.addresses) {
            address.path = path;
        }
    }
}

impl Host {
    fn healthy(service: Dependency) -> Self {
        Self {
            addresses: vec![HostAddress::new(healthy_address(service), PathState::Open)],
            server: service,
            certificate: PresentedCertificate::Valid,
            delay: ResponseDelay::None,
        }
    }

    /// Returns its IPv4 addresses.
    pub(super) fn ips(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.addresses.iter().map(|address| address.ip)
    }
}
