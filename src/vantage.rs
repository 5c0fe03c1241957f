//! Where the probe runs: the task metadata endpoint, version 4.
//!
//! Format: amazon-ecs-agent, `tmds/handlers/v4/state/response.go`. Every field may be missing,
//! depending on the launch type, the platform version and the task's state.

use std::env::consts;
use std::net::IpAddr;

use hyper::{StatusCode, Uri};
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::agent::{AgentFailure, AgentRequest, REQUEST_TIMEOUT};
use crate::arn::Arn;
use crate::aws::error_response;
use crate::network_location::IpFamily;
use crate::observation::{Failure, ForEach};
use crate::plan::LaunchType;
use crate::safe_text::{SafeText, safe_text};

const METADATA_URI: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// Set by Lambda for a function's runtime: host and port of the Runtime API (Lambda developer
/// guide, "Using the Lambda runtime API for custom runtimes").
pub const RUNTIME_API_VARIABLE: &str = "AWS_LAMBDA_RUNTIME_API";

/// What runs the probe at its vantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// A one-off task on AWS Fargate.
    Fargate,
    /// A function of AWS Lambda in the subnet.
    Lambda,
    /// A task on a container instance or managed instance.
    Ec2,
    /// A machine outside Amazon ECS on which `pullprobe probe` was started.
    Local,
}

impl Carrier {
    /// Returns the name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fargate => "fargate",
            Self::Lambda => "lambda",
            Self::Ec2 => "ec2",
            Self::Local => "local",
        }
    }

    /// Returns the carrier of a process without task metadata.
    fn without_metadata(env: &impl Fn(&str) -> Option<String>) -> Self {
        match env(RUNTIME_API_VARIABLE).filter(|address| !address.is_empty()) {
            Some(_) => Self::Lambda,
            None => Self::Local,
        }
    }

    /// Returns the carrier of a task; `None` for a machine outside AWS (ECS Anywhere).
    const fn of_task(launch_type: LaunchType) -> Option<Self> {
        match launch_type {
            LaunchType::Fargate => Some(Self::Fargate),
            LaunchType::Ec2 | LaunchType::ManagedInstances => Some(Self::Ec2),
            LaunchType::External => None,
        }
    }
}

/// Where the probe of a report ran. Unknown values are `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Vantage {
    /// Region of the task's ARN, or else of its Availability Zone.
    pub region: Option<SafeText>,
    /// Known on Fargate from platform version 1.4.0.
    pub availability_zone: Option<SafeText>,
    /// The task's subnet: its IPv6 CIDR block only if it has no IPv4 block.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub subnet_cidr: Option<IpNet>,
    /// The task's address in that subnet.
    pub address: Option<IpAddr>,
    /// The IP versions of the task's addresses.
    pub ip_family: Option<IpFamily>,
    /// ARN of the task.
    pub task_arn: Option<SafeText>,
    /// The cluster's name. Fargate reports its ARN, EC2 its name.
    pub cluster: Option<SafeText>,
    /// DNS resolvers in the VPC's DHCP options. Any but the VPC's base + 2 is a custom resolver.
    pub resolvers: Vec<SafeText>,
    /// Operating system and architecture of this binary in OCI notation, such as `linux/amd64`.
    pub platform: SafeText,
    /// Names of the proxy variables that are set. Their values may hold a password, and Fargate
    /// does not use them.
    pub proxy_variables: Vec<SafeText>,
    /// What ran the probe, if the task metadata or the environment shows it.
    pub carrier: Option<Carrier>,
}

impl Vantage {
    /// Returns what is known without the metadata endpoint.
    pub fn local(env: &impl Fn(&str) -> Option<String>) -> Self {
        let is_set = |name: &&'static str| env(name).is_some_and(|value| !value.is_empty());
        Self {
            carrier: Some(Carrier::without_metadata(env)),
            platform: platform(),
            proxy_variables: PROXY_VARIABLES
                .into_iter()
                .filter(is_set)
                .map(SafeText::from)
                .collect(),
            ..Self::default()
        }
    }
}

impl Vantage {
    /// Calls `each` with every text.
    pub fn for_each_text(&mut self, each: ForEach<'_, SafeText>) {
        let Self {
            region,
            availability_zone,
            subnet_cidr: _,
            address: _,
            ip_family: _,
            task_arn,
            cluster,
            resolvers,
            platform,
            proxy_variables,
            carrier: _,
        } = self;
        let single = [region, availability_zone, task_arn, cluster];
        single.into_iter().flatten().for_each(&mut *each);
        each(platform);
        resolvers.iter_mut().chain(proxy_variables).for_each(each);
    }
}

/// The variables that configure proxies, in lower and upper case.
pub const PROXY_VARIABLES: [&str; 8] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// Returns the platform of this binary with the names of the OCI image specification.
fn platform() -> SafeText {
    let architecture = match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    safe_text![consts::OS, "/", architecture]
}

/// Information from the task metadata endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// Where the task runs.
    pub vantage: Vantage,
    /// The image of the probe's own container.
    pub image: Option<String>,
    /// Clock drift reported by the host's time service; `None` on EC2 without chrony and with old
    /// agents.
    pub clock: Option<ClockDrift>,
}

/// Clock drift reported by the task metadata endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockDrift {
    /// Whether the host's clock is synchronized with a time source.
    pub synchronized: bool,
    /// The largest error of the clock, in milliseconds.
    pub error_bound_ms: f64,
}

/// Reads the task metadata. Returns `None` outside ECS, where `ECS_CONTAINER_METADATA_URI_V4` is
/// not set. Takes at most five seconds.
pub async fn discover(
    env: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Metadata>, AgentFailure> {
    let Some(base) = env(METADATA_URI).map(|uri| uri.trim().trim_end_matches('/').to_owned())
    else {
        return Ok(None);
    };
    if base.is_empty() {
        return Ok(None);
    }
    let task_uri = format!("{base}/task");
    let (task, own) = tokio::join!(fetch::<Task>(&task_uri), fetch::<Container>(&base));
    // If only the container's metadata fails, the task's list of containers still has it.
    Ok(Some(describe(
        task?,
        own.ok().as_ref(),
        Vantage::local(env),
    )))
}

async fn fetch<T: DeserializeOwned>(uri: &str) -> Result<T, AgentFailure> {
    let invalid = || {
        AgentFailure::new(
            Failure::WrongForm,
            format_args!("{METADATA_URI} is not an http:// URL"),
        )
    };
    let uri: Uri = uri.parse().map_err(|_| invalid())?;
    if uri.scheme_str() != Some("http") {
        return Err(invalid());
    }
    let request = AgentRequest::new(&uri, |_| true, REQUEST_TIMEOUT);
    let response = request.send().await?;
    if response.status() != StatusCode::OK {
        let status = response.status().as_u16();
        let error = error_response::read(status, response.headers(), response.body());
        return Err(request.failed(error.failure, format_args!("returned {status}")));
    }
    // The parser's own message may quote what it read.
    serde_json::from_slice(response.body()).map_err(|err| {
        let (line, column) = (err.line(), err.column());
        request.failed(
            Failure::UnexpectedAnswer,
            format_args!(
                "did not return task metadata: not the expected JSON at line {line} column {column}"
            ),
        )
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    cluster: Option<String>,
    #[serde(rename = "TaskARN")]
    arn: Option<String>,
    availability_zone: Option<String>,
    launch_type: Option<String>,
    containers: Option<Vec<Container>>,
    clock_drift: Option<Drift>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    docker_id: Option<String>,
    image: Option<String>,
    r#type: Option<String>,
    networks: Option<Vec<Network>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    #[serde(rename = "NetworkMode")]
    mode: Option<String>,
    #[serde(rename = "IPv4Addresses")]
    ipv4_addresses: Option<Vec<String>>,
    #[serde(rename = "IPv6Addresses")]
    ipv6_addresses: Option<Vec<String>>,
    #[serde(rename = "IPv4SubnetCIDRBlock")]
    ipv4_subnet_cidr_block: Option<String>,
    #[serde(rename = "IPv6SubnetCIDRBlock")]
    ipv6_subnet_cidr_block: Option<String>,
    subnet_gateway_ipv4_address: Option<String>,
    subnet_gateway_ipv6_address: Option<String>,
    domain_name_servers: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Drift {
    clock_error_bound: Option<f64>,
    clock_synchronization_status: Option<String>,
}

fn describe(task: Task, own: Option<&Container>, local: Vantage) -> Metadata {
    let own_id = own.and_then(|own| own.docker_id.as_deref());
    // The list is missing while a task is being set up.
    let listed = task.containers.unwrap_or_default();
    // The probe's own container, from its own metadata or the task's list; else the first container
    // that the agent did not add.
    let same = listed
        .iter()
        .filter(|container| own_id.is_some() && container.docker_id.as_deref() == own_id);
    let normal = listed.iter().filter(|container| {
        container
            .r#type
            .as_deref()
            .is_none_or(|kind| kind == "NORMAL")
    });
    let candidates: Vec<_> = own.into_iter().chain(same).chain(normal).collect();

    let image = candidates
        .iter()
        .find_map(|container| container.image.clone().filter(|image| !image.is_empty()));
    // On a Docker bridge, the address is not one of the VPC's.
    let networks = candidates
        .iter()
        .filter_map(|container| container.networks.as_ref())
        .flatten();
    let network = networks
        .into_iter()
        .find(|network| network.mode.as_deref() == Some("awsvpc"));

    // Values without their documented form are dropped.
    let of_ecs = |arn: &str| {
        let arn: Arn = arn.parse().ok()?;
        (arn.service == "ecs" && arn.is_plain()).then_some(arn)
    };
    let task_arn = task.arn.as_deref().and_then(of_ecs);
    let cluster_arn = task.cluster.as_deref().and_then(of_ecs);
    let zone = task
        .availability_zone
        .filter(|zone| is_name(zone, MAX_ZONE_LENGTH));
    let region = [&task_arn, &cluster_arn]
        .into_iter()
        .flatten()
        .map(|arn| arn.region.clone())
        .find(|region| is_name(region, MAX_ZONE_LENGTH));
    let named_cluster = task
        .cluster
        .filter(|name| is_name(name, MAX_CLUSTER_LENGTH));
    Metadata {
        vantage: Vantage {
            // Old agents do not report it.
            carrier: task
                .launch_type
                .as_deref()
                .and_then(LaunchType::of)
                .and_then(Carrier::of_task),
            region: region
                .or_else(|| region_of_zone(zone.as_deref()?))
                .map(Into::into),
            availability_zone: zone.map(Into::into),
            subnet_cidr: network.and_then(Network::subnet),
            address: network.and_then(Network::address),
            ip_family: network.and_then(Network::ip_family),
            cluster: [&cluster_arn, &task_arn]
                .into_iter()
                .flatten()
                .find_map(Arn::cluster_name)
                .map(str::to_owned)
                .or(named_cluster)
                .map(Into::into),
            task_arn: task_arn.as_ref().map(|arn| arn.to_string().into()),
            // Missing where the network mode is not awsvpc.
            resolvers: network
                .and_then(|network| network.domain_name_servers.as_ref())
                .into_iter()
                .flatten()
                .filter_map(|resolver| resolver.parse::<IpAddr>().ok())
                .take(MAX_RESOLVERS)
                .map(|resolver| resolver.to_string().into())
                .collect(),
            ..local
        },
        image,
        clock: task.clock_drift.and_then(|drift| drift.to_clock_drift()),
    }
}

impl Network {
    /// Returns the subnet, from its CIDR block or from its gateway's address, which has a prefix
    /// length.
    fn subnet(&self) -> Option<IpNet> {
        let blocks = [
            &self.ipv4_subnet_cidr_block,
            &self.subnet_gateway_ipv4_address,
            &self.ipv6_subnet_cidr_block,
            &self.subnet_gateway_ipv6_address,
        ];
        blocks
            .into_iter()
            .flatten()
            .find_map(|block| block.parse::<IpNet>().ok())
            .map(|block| block.trunc())
    }

    /// Returns the IP versions of the task. The lists of addresses decide: the agent's own address,
    /// 169.254.170.2, is IPv4 even in an IPv6-only task.
    fn ip_family(&self) -> Option<IpFamily> {
        let has_any =
            |list: &Option<Vec<String>>| list.iter().flatten().any(|text| !text.is_empty());
        IpFamily::of(has_any(&self.ipv4_addresses), has_any(&self.ipv6_addresses))
    }

    fn address(&self) -> Option<IpAddr> {
        let addresses = [&self.ipv4_addresses, &self.ipv6_addresses]
            .into_iter()
            .flatten()
            .flatten();
        addresses
            .into_iter()
            .find_map(|address| address.parse().ok())
    }
}

impl Drift {
    fn to_clock_drift(&self) -> Option<ClockDrift> {
        Some(ClockDrift {
            synchronized: self.clock_synchronization_status.as_deref()? == "SYNCHRONIZED",
            error_bound_ms: self.clock_error_bound?,
        })
    }
}

/// Returns the Region of an Availability Zone or Local Zone: `us-west-2` for `us-west-2-lax-1a`.
fn region_of_zone(zone: &str) -> Option<String> {
    let digits = zone.find(|c: char| c.is_ascii_digit())?;
    let end = zone[digits..]
        .find(|c: char| !c.is_ascii_digit())
        .map_or(zone.len(), |len| digits + len);
    Some(zone[..end].to_owned())
}

/// Maximum number of characters of a Region's or zone's name. The longest, of a Local Zone, has 20.
const MAX_ZONE_LENGTH: usize = 40;

/// Maximum number of characters of a cluster's name (ECS API reference, CreateCluster).
const MAX_CLUSTER_LENGTH: usize = 255;

/// Maximum number of resolvers that are kept. A DHCP option set has at most four.
const MAX_RESOLVERS: usize = 8;

/// Whether the text is a name that consists of letters, digits, hyphens and underscores.
fn is_name(text: &str, max: usize) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=max).contains(&text.len()) && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests;
