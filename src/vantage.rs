//! Where the probe looks from: the task metadata endpoint, version 4.
//!
//! Format: amazon-ecs-agent, `tmds/handlers/v4/state/response.go`. Every field may be missing:
//! which of them are there depends on the launch type, the platform version and the moment.

use std::env::consts;
use std::net::IpAddr;

use hyper::{StatusCode, Uri};
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::agent::{Ask, Unavailable};
use crate::aws::error_response;
use crate::observation::Failure;

const METADATA_URI: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// The place from which everything in a report was seen. What is not known is `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Vantage {
    /// From the task's ARN.
    pub region: Option<String>,
    /// Fargate from platform version 1.4.0 on.
    pub availability_zone: Option<String>,
    /// The task's subnet; IPv6 only where it has no IPv4.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub subnet_cidr: Option<IpNet>,
    /// The task's own address in that subnet.
    pub address: Option<IpAddr>,
    /// The task.
    pub task_arn: Option<String>,
    /// The cluster's name: Fargate gives its ARN and EC2 its name.
    pub cluster: Option<String>,
    /// DNS servers that the subnet's DHCP options name. Anything but the VPC's base + 2 is a
    /// resolver of one's own.
    pub resolvers: Vec<String>,
    /// Operating system and architecture of this binary, as in an image index: `linux/amd64`.
    pub platform: String,
    /// Proxy variables that are set: their names, for their values may hold a password. Fargate
    /// does not use them.
    pub proxy_variables: Vec<String>,
}

impl Vantage {
    /// What is known without asking anybody.
    pub fn here(env: &impl Fn(&str) -> Option<String>) -> Self {
        let variables = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"].map(str::to_owned);
        let both_cases = variables
            .into_iter()
            .flat_map(|name| [name.to_lowercase(), name]);
        Self {
            platform: platform(),
            proxy_variables: both_cases
                .filter(|name| env(name).is_some_and(|value| !value.is_empty()))
                .collect(),
            ..Self::default()
        }
    }
}

/// In the words of the OCI image specification, which are Go's.
fn platform() -> String {
    let architecture = match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", consts::OS)
}

/// What the task metadata endpoint knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// Where the task runs.
    pub vantage: Vantage,
    /// The image of the container that asks.
    pub image: Option<String>,
    /// What the host's time service says of this clock; not on EC2 without chrony, nor on old
    /// agents.
    pub clock: Option<ClockDrift>,
}

/// A second opinion on the clock, from below the container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockDrift {
    /// Whether the host's clock follows a time source.
    pub synchronized: bool,
    /// How far it may be off, milliseconds.
    pub error_bound_ms: f64,
}

/// Ask the task metadata endpoint; `None` outside ECS, where `ECS_CONTAINER_METADATA_URI_V4` is not
/// set. Takes at most two seconds.
pub async fn discover(
    env: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Metadata>, Unavailable> {
    let Some(base) = env(METADATA_URI).map(|uri| uri.trim().trim_end_matches('/').to_owned())
    else {
        return Ok(None);
    };
    if base.is_empty() {
        return Ok(None);
    }
    let task_uri = format!("{base}/task");
    let (task, own) = tokio::join!(fetch::<Task>(&task_uri), fetch::<Container>(&base));
    // Without the answer about the container that asks, the task's list still has it.
    Ok(Some(describe(task?, own.ok().as_ref(), Vantage::here(env))))
}

async fn fetch<T: DeserializeOwned>(uri: &str) -> Result<T, Unavailable> {
    let invalid = || {
        Unavailable::new(
            Failure::WrongForm,
            format_args!("{METADATA_URI} is not an http:// address"),
        )
    };
    let uri: Uri = uri.parse().map_err(|_| invalid())?;
    if uri.scheme_str() != Some("http") {
        return Err(invalid());
    }
    let ask = Ask {
        uri: &uri,
        authorization: None,
        permits: |_| true,
    };
    let answer = ask.get().await?;
    if answer.status() != StatusCode::OK {
        let refusal =
            error_response::read(answer.status().as_u16(), answer.headers(), answer.body());
        let what = format_args!("answers {}: {}", answer.status().as_u16(), refusal.message);
        return Err(ask.unavailable(refusal.failure, what));
    }
    serde_json::from_slice(answer.body()).map_err(|err| {
        ask.unavailable(
            Failure::UnexpectedAnswer,
            format_args!("answers, but not with task metadata: {err}"),
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

fn describe(task: Task, own: Option<&Container>, here: Vantage) -> Metadata {
    let own_id = own.and_then(|own| own.docker_id.as_deref());
    let listed = task.containers.unwrap_or_default();
    // The one that asks, as it sees itself and as the task lists it; else the first that is not the
    // agent's own.
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
    // On a Docker bridge the address is no address of the VPC.
    let networks = candidates
        .iter()
        .filter_map(|container| container.networks.as_ref())
        .flatten();
    let network = networks
        .into_iter()
        .find(|network| network.mode.as_deref() == Some("awsvpc"));

    let arn = task.arn.filter(|arn| !arn.is_empty());
    let cluster = task.cluster.filter(|cluster| !cluster.is_empty());
    let region = [arn.as_deref(), cluster.as_deref()]
        .into_iter()
        .flatten()
        .find_map(region_of_arn);
    Metadata {
        vantage: Vantage {
            region: region.or_else(|| region_of_zone(task.availability_zone.as_deref()?)),
            availability_zone: task.availability_zone,
            subnet_cidr: network.and_then(Network::subnet),
            address: network.and_then(Network::address),
            cluster: cluster
                .as_deref()
                .map(cluster_name)
                .or_else(|| arn.as_deref().and_then(cluster_of_task)),
            task_arn: arn,
            resolvers: network
                .and_then(|network| network.domain_name_servers.clone())
                .unwrap_or_default(),
            ..here
        },
        image,
        clock: task.clock_drift.and_then(|drift| drift.read()),
    }
}

impl Network {
    /// A subnet's gateway comes with the length of its prefix, so it tells the subnet as well.
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
    fn read(&self) -> Option<ClockDrift> {
        Some(ClockDrift {
            synchronized: self.clock_synchronization_status.as_deref()? == "SYNCHRONIZED",
            error_bound_ms: self.clock_error_bound?,
        })
    }
}

/// `arn:partition:service:region:account:…`.
fn region_of_arn(arn: &str) -> Option<String> {
    arn.strip_prefix("arn:")?
        .split(':')
        .nth(2)
        .filter(|region| !region.is_empty())
        .map(str::to_owned)
}

/// The region of a zone ends with its first number, also in a Local Zone: `us-west-2` of
/// `us-west-2-lax-1a`.
fn region_of_zone(zone: &str) -> Option<String> {
    let digits = zone.find(|c: char| c.is_ascii_digit())?;
    let end = zone[digits..]
        .find(|c: char| !c.is_ascii_digit())
        .map_or(zone.len(), |len| digits + len);
    Some(zone[..end].to_owned())
}

fn cluster_name(cluster: &str) -> String {
    cluster.rsplit('/').next().unwrap_or(cluster).to_owned()
}

/// `task/<cluster>/<id>`; ARNs of the old format have no cluster.
fn cluster_of_task(arn: &str) -> Option<String> {
    let mut parts = arn.split(":task/").nth(1)?.split('/');
    let cluster = parts.next()?;
    parts.next().map(|_| cluster.to_owned())
}

#[cfg(test)]
mod tests;
