//! The VPC endpoints for a plan's targets, and the targets without one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::other_hosts::OtherHost;
use super::policy::{Policy, RolePolicies};
use crate::endpoints::{self, Region, Service, Variant};
use crate::network_location::{IpFamily, NetworkLocation};
use crate::observation::{Dependency, Scope, TargetKey};
use crate::plan::{Plan, Target};

/// A VPC endpoint, for subnets without a route to the internet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VpcEndpoint {
    /// Name of the endpoint service, such as `com.amazonaws.eu-west-1.ecr.api`.
    pub service: String,
    /// Interface or gateway endpoint.
    #[serde(rename = "kind")]
    pub endpoint_type: EndpointType,
    /// Whether private DNS must be enabled, because ECS uses the service's public name.
    pub private_dns: bool,
    /// Keys of the plan's targets that the endpoint serves.
    pub targets: Vec<TargetKey>,
    /// The least-privilege endpoint policy, if the plan knows all requests through the endpoint.
    /// Without a policy, the endpoint allows every request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

impl VpcEndpoint {
    /// Returns the AWS Security Hub control that requires this endpoint in every VPC (Security Hub
    /// user guide, "Security Hub controls for Amazon EC2"). The guide has three more such controls,
    /// for endpoints that no task start needs: EC2.10 for the Amazon EC2 API, and EC2.58 and EC2.60
    /// for Systems Manager Incident Manager.
    pub fn security_hub_control(&self, region: &Region) -> Option<&'static str> {
        match self.short_name(region) {
            "ecr.api" => Some("EC2.55"),
            "ecr.dkr" => Some("EC2.56"),
            "ssm" => Some("EC2.57"),
            _ => None,
        }
    }

    /// Returns the end of the endpoint service's name, such as `ecr.api`.
    pub fn short_name(&self, region: &Region) -> &str {
        self.service
            .split_once(&format!("{region}."))
            .map_or(&self.service, |(_, name)| name)
    }
}

/// Type of a VPC endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointType {
    /// A network interface with security groups in each of the endpoint's subnets.
    Interface,
    /// A route in each of the endpoint's route tables.
    Gateway,
}

/// Whether no VPC endpoint serves the host.
pub fn is_outside_vpc(host: &OtherHost) -> bool {
    host.service.is_none()
}

/// A target without a VPC endpoint in the task's Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutsideVpc {
    /// Key of the plan's target.
    pub target: TargetKey,
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Address range for security group and network ACL rules: the host's own address, or
    /// `0.0.0.0/0`, or `::/0` from an IPv6-only subnet.
    pub destination: IpNet,
    /// Why it has no VPC endpoint.
    #[serde(rename = "why")]
    pub reason: NoEndpointReason,
}

/// Why no VPC endpoint in the task's Region serves a target.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoEndpointReason {
    /// The service has no cross-Region VPC endpoint (AWS PrivateLink guide, "Cross-region enabled
    /// AWS services").
    #[error("it is in {host_region}, and its VPC endpoints serve only their own Region")]
    OtherRegion {
        /// Region of the host.
        host_region: Region,
    },
    /// An interface endpoint in the task's Region can lead to the service in the host's Region
    /// (same page).
    #[error(
        "it is in {host_region}; instead of the route, an interface endpoint in {task_region} with the \
         service Region {host_region} can serve it (a cross-Region endpoint)"
    )]
    CrossRegionEndpoint {
        /// Region of the host.
        host_region: Region,
        /// Region of the task.
        task_region: Region,
    },
    /// The private DNS of the VPC endpoint covers the ordinary name only.
    #[error("private DNS of AWS's VPC endpoints does not cover FIPS names")]
    Fips,
    /// Amazon ECR's endpoints have had IPv6 since November 2025 (Amazon ECR user guide, "Document
    /// history"); which names their private DNS covers is not documented.
    #[error(
        "AWS does not document that the private DNS of its VPC endpoint covers the dual-stack name"
    )]
    DualStack,
    /// VPC endpoints do not serve Amazon ECR Public (Amazon ECR user guide, "VPC endpoints").
    #[error("Amazon ECR Public has no VPC endpoint")]
    EcrPublic,
    /// The host is an IP address that is not public.
    #[error("it is a private IP address")]
    PrivateAddress,
    /// The host belongs to an AWS service whose endpoint is not in pullprobe's list.
    #[error("its VPC endpoint, if AWS offers one, is unknown to pullprobe")]
    UnknownAwsService,
    /// A registry on the internet.
    #[error("it is not an AWS service")]
    PublicRegistry,
    /// A host that may be on the internet or in a network that the VPC is connected to.
    #[error("it is not an AWS service; if it is in your own network, a route to it is enough")]
    NotAws,
}

impl Serialize for NoEndpointReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `0.0.0.0/0`.
pub const ANY_IPV4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));

/// `::/0`.
pub const ANY_IPV6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0));

/// Returns the range of every address that ECS may contact from a subnet with these IP versions.
pub const fn any_address(ip_family: IpFamily) -> IpNet {
    match ip_family {
        IpFamily::Ipv4 | IpFamily::DualStack => ANY_IPV4,
        IpFamily::Ipv6 => ANY_IPV6,
    }
}

/// Derives the VPC endpoints of `plan`, and the targets without one. An endpoint's policy contains
/// the statements of the roles' policies whose requests go through it.
pub fn of(
    plan: &Plan,
    policies: &RolePolicies,
    others: &[OtherHost],
) -> (Vec<VpcEndpoint>, Vec<OutsideVpc>) {
    let (mut endpoints, mut outside) = (Vec::<VpcEndpoint>::new(), Vec::new());
    // An EFS mount target is already inside the VPC.
    let targets = plan
        .targets
        .iter()
        .filter(|target| target.dependency != Dependency::Efs);
    for target in targets {
        let service = match endpoint_service(target, &plan.region) {
            Ok(service) => service,
            Err(reason) => {
                outside.push(OutsideVpc::new(target, reason, plan.ip_family));
                continue;
            }
        };
        let name = endpoints::vpc_endpoint_service(service, &plan.region);
        match endpoints.iter_mut().find(|known| known.service == name) {
            Some(known) => known.targets.push(target.key.clone()),
            None => endpoints.push(VpcEndpoint {
                service: name,
                endpoint_type: if service == Service::S3 {
                    EndpointType::Gateway
                } else {
                    EndpointType::Interface
                },
                private_dns: service != Service::S3,
                targets: vec![target.key.clone()],
                policy: Some(policies.of_endpoint(service, plan)),
            }),
        }
    }
    for service in others.iter().filter_map(|host| host.service) {
        let name = endpoints::vpc_endpoint_service(service, &plan.region);
        match endpoints.iter_mut().find(|known| known.service == name) {
            // The agent's own requests are unknown, so there is no least-privilege policy.
            Some(known) => known.policy = None,
            None => endpoints.push(VpcEndpoint {
                service: name,
                endpoint_type: EndpointType::Interface,
                private_dns: true,
                targets: Vec::new(),
                policy: None,
            }),
        }
    }
    // A policy that leaves out an unchecked dependency would deny its requests.
    for unchecked in &plan.unchecked {
        let services: &[Service] = match unchecked.dependency {
            Dependency::EcrDkr => &[Service::EcrApi, Service::EcrDkr, Service::S3],
            Dependency::EnvironmentFile => &[Service::S3],
            Dependency::Logs => &[Service::Logs],
            Dependency::SecretsManager => &[Service::SecretsManager, Service::Ssm],
            Dependency::Ssm => &[Service::Ssm],
            _ => &[],
        };
        for service in services {
            let name = endpoints::vpc_endpoint_service(*service, &plan.region);
            for endpoint in endpoints.iter_mut().filter(|known| known.service == name) {
                endpoint.policy = None;
            }
        }
    }
    // The requests of a log router are unknown.
    let is_log_router = |key: &TargetKey| {
        plan.targets
            .iter()
            .any(|target| target.key == *key && target.dependency == Dependency::LogRouter)
    };
    for endpoint in &mut endpoints {
        if endpoint.targets.iter().any(is_log_router) {
            endpoint.policy = None;
        }
    }
    (endpoints, outside)
}

/// Returns the service whose endpoint in `region` serves the target's name. Fails with the reason
/// if there is none.
fn endpoint_service(target: &Target, region: &Region) -> Result<Service, NoEndpointReason> {
    let (service, has_subdomains) = match target.dependency {
        Dependency::EcrApi => (Service::EcrApi, false),
        Dependency::EcrDkr => (Service::EcrDkr, true),
        Dependency::S3 | Dependency::EnvironmentFile => (Service::S3, true),
        Dependency::Logs => (Service::Logs, false),
        Dependency::SecretsManager => (Service::SecretsManager, false),
        Dependency::Ssm => (Service::Ssm, false),
        Dependency::SsmMessages => (Service::SsmMessages, false),
        // The endpoint replaces both hosts.
        Dependency::ServiceConnect => return Ok(Service::EcsAgent),
        Dependency::GuardDutyData => (Service::GuardDutyData, false),
        _ => return service_by_host(target, region),
    };
    let service_host = endpoints::api_host(service, region, Variant::default());
    if target.host == service_host
        || (has_subdomains && target.host.ends_with(&format!(".{service_host}")))
    {
        return Ok(service);
    }
    Err(match region_of_aws_host(&target.host) {
        Some(host_region) if host_region != *region => {
            in_other_region(service, host_region, region)
        }
        _ if target.host.contains("-fips.") => NoEndpointReason::Fips,
        _ => NoEndpointReason::DualStack,
    })
}

/// Returns why the endpoints of `task_region` do not serve `service` in `host_region`.
fn in_other_region(
    service: Service,
    host_region: Region,
    task_region: &Region,
) -> NoEndpointReason {
    if service.has_cross_region_endpoint() && host_region.partition() == task_region.partition() {
        NoEndpointReason::CrossRegionEndpoint {
            host_region,
            task_region: task_region.clone(),
        }
    } else {
        NoEndpointReason::OtherRegion { host_region }
    }
}

/// Recognizes the service of a target that the task definition chooses: a log router's destination,
/// a registry or a log collector.
fn service_by_host(target: &Target, region: &Region) -> Result<Service, NoEndpointReason> {
    let log_router_services = [
        Service::Logs,
        Service::KinesisStreams,
        Service::Firehose,
        Service::S3,
    ];
    let service = log_router_services.into_iter().find(|service| {
        let service_host = endpoints::api_host(*service, region, Variant::default());
        let is_bucket =
            *service == Service::S3 && target.host.ends_with(&format!(".{service_host}"));
        target.dependency == Dependency::LogRouter && (is_bucket || target.host == service_host)
    });
    if let Some(service) = service {
        return Ok(service);
    }
    Err(match target.host.as_str() {
        "public.ecr.aws" => NoEndpointReason::EcrPublic,
        host if is_private_address(host) => NoEndpointReason::PrivateAddress,
        host => match region_of_aws_host(host) {
            Some(host_region) if host_region != *region => {
                NoEndpointReason::OtherRegion { host_region }
            }
            Some(_) => NoEndpointReason::UnknownAwsService,
            None if PUBLIC_REGISTRIES.contains(&host) => NoEndpointReason::PublicRegistry,
            None => NoEndpointReason::NotAws,
        },
    })
}

/// Registries that exist only on the internet.
const PUBLIC_REGISTRIES: [&str; 8] = [
    "registry-1.docker.io",
    "ghcr.io",
    "quay.io",
    "gcr.io",
    "registry.k8s.io",
    "mcr.microsoft.com",
    "registry.gitlab.com",
    "docker.elastic.co",
];

impl OutsideVpc {
    fn new(target: &Target, reason: NoEndpointReason, ip_family: IpFamily) -> Self {
        let address = target.host.parse::<IpAddr>();
        Self {
            target: target.key.clone(),
            host: target.host.clone(),
            port: target.port,
            destination: address.map_or(any_address(ip_family), IpNet::from),
            reason,
        }
    }

    /// Whether the host is a private IP address, which needs no route to the internet.
    pub fn is_private_address(&self) -> bool {
        is_private_address(&self.host)
    }
}

fn is_private_address(host: &str) -> bool {
    host.parse()
        .is_ok_and(|address: IpAddr| NetworkLocation::default().scope(address) != Scope::Public)
}

/// Returns the Region in the name of an AWS host.
fn region_of_aws_host(host: &str) -> Option<Region> {
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
