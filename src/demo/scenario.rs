//! What the embedded AWS looks like: plain data, healthy by default, bent by a fault. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use jiff::SignedDuration;

use super::path::Path;
use super::refusal::Refusal;
use crate::observation::Dependency;

/// Region of everything.
pub const REGION: &str = "us-east-1";
/// Account of the registry and of the role.
pub const ACCOUNT: &str = "123456789012";
/// The repository that exists.
pub const REPOSITORY: &str = "team/app";
/// The tag that exists.
pub const TAG: &str = "1.4";
/// The image that is pulled.
pub const IMAGE: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:1.4";
/// The log group that exists.
pub const LOG_GROUP: &str = "/ecs/app";
/// Platform of the task.
pub const PLATFORM: &str = "linux/amd64";
/// The secret that exists: a JSON object with the key `password`.
pub const SECRET: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf";
/// The parameter that exists.
pub const PARAMETER: &str = "/app/mode";

/// The task's address.
pub const TASK_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 10);
/// The task's subnet, in CIDR form.
pub const TASK_SUBNET: &str = "127.0.1.0/24";

/// The services, in the order in which ECS meets them.
pub const SERVICES: [Dependency; 6] = [
    Dependency::SecretsManager,
    Dependency::Ssm,
    Dependency::EcrApi,
    Dependency::Logs,
    Dependency::EcrDkr,
    Dependency::S3,
];

/// The name that the puller asks for.
pub fn host(service: Dependency) -> String {
    match service {
        Dependency::EcrApi => format!("api.ecr.{REGION}.amazonaws.com"),
        Dependency::EcrDkr => format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"),
        Dependency::S3 => format!("prod-{REGION}-starport-layer-bucket.s3.{REGION}.amazonaws.com"),
        other => format!("{other}.{REGION}.amazonaws.com"),
    }
}

/// Where a service answers inside the VPC. Another /24 than the task's, so that routes and network
/// ACLs act on the way; the same /16, so that it counts as private. Amazon S3 has none: a gateway
/// endpoint leaves its address public.
pub fn private_address(service: Dependency) -> Option<Ipv4Addr> {
    let last = match service {
        Dependency::EcrApi => 11,
        Dependency::EcrDkr => 12,
        Dependency::Logs => 13,
        Dependency::SecretsManager => 14,
        Dependency::Ssm => 15,
        _ => return None,
    };
    Some(Ipv4Addr::new(127, 0, 9, last))
}

/// Where a service answers on the internet: outside the task's /16.
pub fn public_address(service: Dependency) -> Ipv4Addr {
    Ipv4Addr::new(
        127,
        20,
        0,
        private_address(service).map_or(10, |address| address.octets()[3]),
    )
}

/// Whether an address of this world lies outside the VPC.
pub fn is_public(address: Ipv4Addr) -> bool {
    address.octets()[1] != 0
}

/// Everything that a fault can bend.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What the resolver does with a question.
    pub resolver: Resolver,
    /// Which names exist.
    pub names: Names,
    /// The services.
    pub sites: BTreeMap<Dependency, Site>,
    /// What the container credentials endpoint hands out.
    pub credentials: Credentials,
    /// How far AWS's clocks are ahead of this machine's.
    pub clock_ahead: SignedDuration,
    /// Operations that are refused, and in which words.
    pub refusals: BTreeMap<Operation, Refusal>,
    /// What exists behind the services.
    pub contents: Contents,
    /// Whether the plan expects private answers.
    pub expect_private: bool,
}

/// One service as the network shows it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its addresses, in the order of the DNS answer, and what happens on the way to each.
    pub addresses: Vec<(Ipv4Addr, Path)>,
    /// Who is at these addresses: the service itself, unless the name points elsewhere.
    pub inhabitant: Dependency,
    /// The certificate that it presents.
    pub certificate: Certificate,
    /// How fast it answers.
    pub pace: Pace,
}

/// What a resolver does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// Answers it.
    Answers,
    /// SERVFAIL.
    Fails,
    /// REFUSED.
    Refuses,
    /// Nothing.
    Silent,
}

/// Which names exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// All.
    All,
    /// None below `amazonaws.com`: the resolver holds an empty zone of that name, as a company's
    /// own DNS may.
    NoneOfAws,
    /// A private zone above this service's name does not have it.
    AllBut(Dependency),
}

/// The certificate that a service presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// Its own.
    Proper,
    /// Valid and trusted, for a name outside AWS.
    ForAnotherName,
    /// Its own, of a year long gone.
    Expired,
    /// Made on the way by a firewall whose authority the puller does not know.
    Intercepted,
}

/// How fast a service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Prompt,
    /// Later than the ECS agent likes, sooner than it gives up.
    Late,
    /// It reads the request, and that was that.
    Never,
}

/// What the container credentials endpoint hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// Keys that work.
    Valid,
    /// Keys past their time.
    Expired,
    /// Keys that no service knows.
    Unknown,
    /// The task has no role: there is no such endpoint.
    None,
}

/// What IAM decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `ecr:GetAuthorizationToken`.
    GetAuthorizationToken,
    /// `ecr:BatchGetImage`, as a manifest's GET.
    BatchGetImage,
    /// `ecr:GetDownloadUrlForLayer`, as a blob's GET.
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

/// What exists behind the services.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The repository; `None` where it was deleted.
    pub repository: Option<&'static str>,
    /// The tag.
    pub tag: &'static str,
    /// Architectures of the image.
    pub architectures: Vec<&'static str>,
    /// Whether the layer bucket still has the layers.
    pub layers: bool,
    /// Whether the registry takes the token that the API hands out.
    pub token_accepted: bool,
    /// Log groups.
    pub log_groups: BTreeSet<&'static str>,
    /// The secret's value; `None` where there is no such secret.
    pub secret: Option<&'static str>,
    /// The parameter's value; `None` where there is no such parameter.
    pub parameter: Option<&'static str>,
}

impl Scenario {
    /// A subnet without a way to the internet and with all that a Fargate task needs: interface
    /// endpoints for the API services, a gateway endpoint for S3.
    pub fn healthy() -> Self {
        Self {
            resolver: Resolver::Answers,
            names: Names::All,
            sites: SERVICES
                .into_iter()
                .map(|service| (service, Site::healthy(service)))
                .collect(),
            credentials: Credentials::Valid,
            clock_ahead: SignedDuration::ZERO,
            refusals: BTreeMap::new(),
            contents: Contents {
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

    /// A service, to bend it.
    pub fn site(&mut self, service: Dependency) -> &mut Site {
        self.sites
            .entry(service)
            .or_insert_with(|| Site::healthy(service))
    }

    /// Puts `path` before every address of the services that `which` picks.
    pub fn set_path(&mut self, path: Path, which: impl Fn(Dependency) -> bool) {
        for (_, site) in self
            .sites
            .iter_mut()
            .filter(|(service, _)| which(**service))
        {
            site.addresses
                .iter_mut()
                .for_each(|address| address.1 = path);
        }
    }
}

impl Site {
    fn healthy(service: Dependency) -> Self {
        let address = private_address(service).unwrap_or(public_address(service));
        Self {
            addresses: vec![(address, Path::Open)],
            inhabitant: service,
            certificate: Certificate::Proper,
            pace: Pace::Prompt,
        }
    }
}
