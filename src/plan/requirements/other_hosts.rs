//! Hosts that the start of a task contacts besides the plan's targets: those to which registries
//! redirect, and those of the container agent. They are not checked by name, because only the
//! registry's response shows which of them a pull contacts.

use serde::Serialize;

use super::endpoints::is_outside_vpc;
use crate::endpoints::{self, Region, Service, Variant};
use crate::observation::{Dependency, TargetKey};
use crate::plan::{LaunchType, Plan, Unchecked};
use crate::reference::Registry;

/// A host that is contacted and not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherHost {
    /// Host name; `*` stands for a part that the service chooses.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What it is contacted for.
    pub purpose: String,
    /// The registry that redirects to it, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Key of the plan's target that leads to it.
    #[serde(skip)]
    pub target: Option<TargetKey>,
    /// The service whose VPC endpoint serves it.
    #[serde(skip)]
    pub service: Option<Service>,
}

/// Month in which the hosts of registries were last looked up.
pub const REGISTRY_HOSTS_DATE: &str = "November 2026";

const TOKEN: &str = "token";
const LAYERS: &str = "layers";

/// Hosts to which registries redirect, and their purpose. Sources: "Allowlist for Docker Desktop"
/// of the Docker documentation; "Configuring your firewall" of the OpenShift documentation for
/// quay.io; Microsoft, client-firewall-rules.md of microsoft/containerregistry; "GitLab.com
/// settings" of the GitLab documentation; the troubleshooting page of Trivy for ghcr.io; the source
/// of registry.k8s.io (`cmd/archeio`); the requirements of Amazon EKS Anywhere for two
/// distributions of Amazon ECR Public, which may have more. No list was found for gcr.io, pkg.dev
/// and docker.elastic.co: their entries are hosts that their responses are known to name, and
/// unconfirmed.
const REGISTRIES: [(&str, &[(&str, &str)]); 12] = [
    (
        "registry-1.docker.io",
        &[
            ("auth.docker.io", TOKEN),
            ("production.cloudflare.docker.com", LAYERS),
            ("production.cloudfront.docker.com", LAYERS),
            (
                "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
                LAYERS,
            ),
        ],
    ),
    (
        "ghcr.io",
        &[("pkg-containers.githubusercontent.com", LAYERS)],
    ),
    (
        "quay.io",
        &[
            ("cdn.quay.io", LAYERS),
            ("cdn01.quay.io", LAYERS),
            ("cdn02.quay.io", LAYERS),
            ("cdn03.quay.io", LAYERS),
            ("cdn04.quay.io", LAYERS),
            ("cdn05.quay.io", LAYERS),
            ("cdn06.quay.io", LAYERS),
        ],
    ),
    (
        "public.ecr.aws",
        &[
            ("d5l0dvt14r5h8.cloudfront.net", LAYERS),
            ("d2glxqk2uabbnd.cloudfront.net", LAYERS),
            ("*.cloudfront.net", LAYERS),
        ],
    ),
    ("gcr.io", &[("storage.googleapis.com", LAYERS)]),
    (".gcr.io", &[("storage.googleapis.com", LAYERS)]),
    (".pkg.dev", &[("storage.googleapis.com", LAYERS)]),
    (
        "registry.k8s.io",
        &[
            ("*.pkg.dev", LAYERS),
            (
                "prod-registry-k8s-io-*.s3.dualstack.*.amazonaws.com",
                LAYERS,
            ),
        ],
    ),
    ("mcr.microsoft.com", &[("*.data.mcr.microsoft.com", LAYERS)]),
    (
        "registry.gitlab.com",
        &[
            ("gitlab.com", TOKEN),
            ("cdn.registry.gitlab-static.net", LAYERS),
            ("storage.googleapis.com", LAYERS),
        ],
    ),
    ("registry.access.redhat.com", &[("*.quay.io", LAYERS)]),
    (
        "docker.elastic.co",
        &[
            ("docker-auth.elastic.co", TOKEN),
            ("*.cloudfront.net", LAYERS),
        ],
    ),
];

/// Hosts of the layers that Windows images take from Microsoft: in images on base images that were
/// built before 2023, these layers are "foreign" and in no registry but Microsoft's (Amazon ECS
/// developer guide, "Amazon ECS interface VPC endpoints").
const WINDOWS_LAYERS: [&str; 2] = ["mcr.microsoft.com", "*.data.mcr.microsoft.com"];

/// Returns the hosts, each once, in the order of the targets that lead to them.
pub fn of(plan: &Plan) -> Vec<OtherHost> {
    let mut hosts: Vec<OtherHost> = Vec::new();
    let mut add = |host: OtherHost| {
        let is_target = plan.targets.iter().any(|target| target.host == host.host);
        if !is_target && hosts.iter().all(|known| known.host != host.host) {
            hosts.push(host);
        }
    };
    for image in &plan.images {
        if matches!(image.reference.registry, Registry::Ecr { .. }) {
            continue;
        }
        let target = plan.target(image.registry);
        for (host, purpose) in hosts_of_registry(&target.host) {
            add(OtherHost {
                host: (*host).to_owned(),
                port: 443,
                purpose: (*purpose).to_owned(),
                registry: Some(target.host.clone()),
                target: Some(target.key.clone()),
                service: None,
            });
        }
    }
    if plan.platform.os == "windows" {
        for image in &plan.images {
            for host in WINDOWS_LAYERS {
                add(OtherHost {
                    host: host.to_owned(),
                    port: 443,
                    purpose: "Windows foreign layers".to_owned(),
                    registry: None,
                    target: Some(plan.target(image.registry).key.clone()),
                    service: None,
                });
            }
        }
    }
    if let Some(target) = pulls_of_unknown_account(plan) {
        let host = endpoints::api_host(Service::EcrDkr, &plan.region, Variant::default());
        add(OtherHost {
            host: format!("*.{host}"),
            port: 443,
            purpose: "manifests of an image whose account is not known".to_owned(),
            registry: None,
            target: Some(target),
            service: Some(Service::EcrDkr),
        });
    }
    for (host, purpose, service) in services_of_agent(plan) {
        add(OtherHost {
            host,
            port: 443,
            purpose: purpose.to_owned(),
            registry: None,
            target: None,
            service: Some(service),
        });
    }
    hosts
}

/// Returns the key of the target that issues the token for an image in the task's Region of which
/// only the account, or the repository's name, is not known.
fn pulls_of_unknown_account(plan: &Plan) -> Option<TargetKey> {
    let own = format!(".{}.", plan.region);
    let is_pull = |unchecked: &Unchecked| {
        let subject = &unchecked.subject;
        unchecked.dependency == Dependency::EcrDkr
            && (subject.contains(&own) || !subject.contains("ecr."))
    };
    if !plan.unchecked.iter().any(is_pull) {
        return None;
    }
    let host = endpoints::api_host(Service::EcrApi, &plan.region, Variant::default());
    let target = plan.targets.iter().find(|target| target.host == host)?;
    Some(target.key.clone())
}

fn hosts_of_registry(registry: &str) -> &'static [(&'static str, &'static str)] {
    let known = REGISTRIES.iter().find(|(known, _)| {
        *known == registry || (known.starts_with('.') && registry.ends_with(known))
    });
    known.map_or(&[], |(_, hosts)| hosts)
}

/// Returns the services that the container agent of an instance contacts for itself (Amazon ECS
/// developer guide, "Amazon ECS interface VPC endpoints"), and that of FSx for Windows File Server.
/// The agent asks Amazon ECS for the numbers in the names of the first two.
fn services_of_agent(plan: &Plan) -> Vec<(String, &'static str, Service)> {
    let region: &Region = &plan.region;
    let variant = plan.ip_family.variant();
    let host = |service| endpoints::api_host(service, region, variant);
    let mut services = Vec::new();
    if plan.host.is_instance() {
        let numbered = |service| {
            let host = endpoints::api_host(service, region, Variant::default());
            host.replacen('.', "-*.", 1)
        };
        services.extend([
            (host(Service::Ecs), "container agent", Service::Ecs),
            (
                numbered(Service::EcsAgent),
                "container agent",
                Service::EcsAgent,
            ),
            (
                numbered(Service::EcsTelemetry),
                "container agent",
                Service::EcsTelemetry,
            ),
        ]);
    }
    if plan.host.allows(LaunchType::External) && plan.host.launch_types.len() == 1 {
        services.push((host(Service::Ssm), "SSM agent", Service::Ssm));
        services.push((
            host(Service::SsmMessages),
            "SSM agent",
            Service::SsmMessages,
        ));
        services.push((
            host(Service::Ec2Messages),
            "SSM agent",
            Service::Ec2Messages,
        ));
    }
    if !plan.windows_file_systems.is_empty() {
        services.push((
            host(Service::Fsx),
            "lookup of the file system's host",
            Service::Fsx,
        ));
    }
    services
}

/// Returns the names of the endpoint services that an instance uses for itself.
pub fn agent_endpoints(plan: &Plan) -> impl Iterator<Item = String> {
    let services = services_of_agent(plan).into_iter();
    services.map(|(_, _, service)| endpoints::vpc_endpoint_service(service, &plan.region))
}

/// Returns the hosts without a VPC endpoint that `target` leads to.
pub fn led_to_by<'a>(
    hosts: &'a [OtherHost],
    target: &'a TargetKey,
) -> impl Iterator<Item = &'a OtherHost> {
    hosts
        .iter()
        .filter(move |host| host.target.as_ref() == Some(target) && is_outside_vpc(host))
}
