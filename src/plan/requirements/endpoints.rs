//! The VPC endpoints that lead to a plan's targets, and the targets to which none leads.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::Serialize;

use super::policy::{self, OptionalRequirement, Policy};
use crate::endpoints::{self, Region, Service, Variant};
use crate::network_location::NetworkLocation;
use crate::observation::{Dependency, Scope, TargetKey};
use crate::plan::{Plan, Target};

/// A VPC endpoint, for subnets without a way to the internet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VpcEndpoint {
    /// The endpoint service's name, e.g. `com.amazonaws.eu-west-1.ecr.api`.
    pub service: String,
    /// What it is made of.
    pub kind: Kind,
    /// Whether private DNS must be on: ECS asks for the service's public name.
    pub private_dns: bool,
    /// Keys of the plan's targets that it leads to.
    pub targets: Vec<TargetKey>,
    /// The least policy that the endpoint may have, where the plan knows all that goes through it.
    /// Without one it allows everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

impl VpcEndpoint {
    /// The service's own part of its name: `ecr.api`.
    pub fn short_name(&self, region: &Region) -> &str {
        let (_, name) = self
            .service
            .split_once(&format!("{region}."))
            .unwrap_or(("", &self.service));
        name
    }
}

/// The two kinds of VPC endpoint that a task needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A network interface in each subnet that it is given, behind a security group.
    Interface,
    /// A route in each route table that it is given.
    Gateway,
}

/// A target that no VPC endpoint of the region leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutsideVpc {
    /// Key of the plan's target.
    pub target: TargetKey,
    /// Its host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Where it may be: one address, or anywhere.
    pub destination: IpNet,
    /// Why no endpoint leads there.
    pub why: String,
}

/// `0.0.0.0/0`.
pub const EVERYWHERE: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));

/// The endpoints for `plan`, and what is beyond them. Each endpoint's policy is the part of the
/// roles' that goes through it.
pub fn of(
    plan: &Plan,
    policies: [&Policy; 2],
    extras: &[OptionalRequirement],
) -> (Vec<VpcEndpoint>, Vec<OutsideVpc>) {
    let (mut endpoints, mut beyond) = (Vec::<VpcEndpoint>::new(), Vec::new());
    // Amazon EFS is reached at a mount target, which is inside the VPC already.
    for target in plan
        .targets
        .iter()
        .filter(|target| target.dependency != Dependency::Efs)
    {
        match service(target, &plan.region) {
            Err(why) => beyond.push(outside(target, why)),
            Ok(service) => {
                let name = endpoints::vpc_endpoint_service(service, &plan.region);
                match endpoints.iter_mut().find(|known| known.service == name) {
                    Some(known) => known.targets.push(target.key.clone()),
                    None => endpoints.push(VpcEndpoint {
                        service: name,
                        kind: if service == Service::S3 {
                            Kind::Gateway
                        } else {
                            Kind::Interface
                        },
                        private_dns: service != Service::S3,
                        targets: vec![target.key.clone()],
                        policy: Some(policy::of_endpoint(service, plan, policies, extras)),
                    }),
                }
            }
        }
    }
    // What a log router writes, and where, is its own affair.
    let written_to = |key: &TargetKey| {
        plan.targets
            .iter()
            .any(|target| target.key == *key && target.dependency == Dependency::LogRouter)
    };
    for endpoint in endpoints
        .iter_mut()
        .filter(|endpoint| endpoint.targets.iter().any(written_to))
    {
        endpoint.policy = None;
    }
    (endpoints, beyond)
}

/// The service behind a target, if an endpoint of `region` serves the very name that is asked for;
/// else why not.
fn service(target: &Target, region: &Region) -> Result<Service, String> {
    let (service, of_its_own) = match target.dependency {
        Dependency::EcrApi => (Service::EcrApi, false),
        Dependency::EcrDkr => (Service::EcrDkr, true),
        Dependency::S3 | Dependency::EnvironmentFile => (Service::S3, true),
        Dependency::Logs => (Service::Logs, false),
        Dependency::SecretsManager => (Service::SecretsManager, false),
        Dependency::Ssm => (Service::Ssm, false),
        Dependency::SsmMessages => (Service::SsmMessages, false),
        _ => return other(target, region),
    };
    let serves = endpoints::api_host(service, region, Variant::default());
    let below = of_its_own && target.host.ends_with(&format!(".{serves}"));
    if below || target.host == serves {
        return Ok(service);
    }
    Err(match region_in(&target.host) {
        Some(elsewhere) if elsewhere != *region => in_another(&elsewhere, region),
        // Amazon ECR user guide, "Making requests": no PrivateLink over dual-stack names.
        _ => "the private DNS of AWS's VPC endpoints has the plain names only, not FIPS or dual-stack ones".to_owned(),
    })
}

/// Targets whose host is somebody's choice: a log router's, a registry's, a collector's.
fn other(target: &Target, region: &Region) -> Result<Service, String> {
    let host = |service| endpoints::api_host(service, region, Variant::default());
    let written_to = [
        Service::Logs,
        Service::KinesisStreams,
        Service::Firehose,
        Service::S3,
    ];
    let named = written_to.into_iter().find(|service| {
        let bucket =
            *service == Service::S3 && target.host.ends_with(&format!(".{}", host(Service::S3)));
        target.dependency == Dependency::LogRouter && (bucket || target.host == host(*service))
    });
    if let Some(service) = named {
        return Ok(service);
    }
    Err(match target.host.as_str() {
        // Amazon ECR user guide, "VPC endpoints": Amazon ECR Public is not supported.
        "public.ecr.aws" => "Amazon ECR Public has no VPC endpoint".to_owned(),
        host if is_private(host) => "it has an address of its own in a private range".to_owned(),
        _ if target.dependency == Dependency::ServiceConnect => format!(
            "AWS does not say which VPC endpoint leads Service Connect's proxy to its configuration; \
             com.amazonaws.{region}.ecs-agent is the likely one"
        ),
        host => match region_in(host) {
            Some(elsewhere) if elsewhere != *region => in_another(&elsewhere, region),
            Some(_) => "its VPC endpoint, if AWS has one for it, is not known here".to_owned(),
            None if PUBLIC.contains(&host) => "it is not a service of AWS".to_owned(),
            None => {
                "it is not a service of AWS; if it is in a network of yours, a route there will do"
                    .to_owned()
            }
        },
    })
}

/// An endpoint serves its own region only (AWS PrivateLink guide, "Considerations").
fn in_another(elsewhere: &Region, region: &Region) -> String {
    format!("it is in {elsewhere}, and the VPC endpoints of {region} lead to {region} only")
}

/// Registries that are nowhere but on the internet.
const PUBLIC: [&str; 8] = [
    "registry-1.docker.io",
    "ghcr.io",
    "quay.io",
    "gcr.io",
    "registry.k8s.io",
    "mcr.microsoft.com",
    "registry.gitlab.com",
    "docker.elastic.co",
];

fn outside(target: &Target, why: String) -> OutsideVpc {
    let destination = target
        .host
        .parse::<IpAddr>()
        .map_or(EVERYWHERE, IpNet::from);
    OutsideVpc {
        target: target.key.clone(),
        host: target.host.clone(),
        port: target.port,
        destination,
        why,
    }
}

impl OutsideVpc {
    /// Whether its name is an address in a private range: then no way to the internet is needed.
    pub fn is_private(&self) -> bool {
        is_private(&self.host)
    }
}

fn is_private(host: &str) -> bool {
    host.parse()
        .is_ok_and(|address: IpAddr| NetworkLocation::default().scope(address) != Scope::Public)
}

/// The region that a host name of AWS has among its labels.
fn region_in(host: &str) -> Option<Region> {
    let region: Region = host.split('.').find_map(|label| label.parse().ok())?;
    let partition = region.partition();
    let domains = [
        Some(partition.dns_suffix()),
        Some(partition.dual_stack_suffix()),
        partition.registry_dual_stack_suffix(),
    ];
    domains
        .into_iter()
        .flatten()
        .any(|domain| host.ends_with(&format!(".{domain}")))
        .then_some(region)
}
