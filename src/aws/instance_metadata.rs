//! The metadata of an EC2 instance, version 2: the role of its instance profile, and its location.
//!
//! Sources: Amazon EC2 user guide, "Use the Instance Metadata Service to access instance metadata";
//! botocore (`utils.py`, `InstanceMetadataFetcher`) for the time limits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use ipnet::IpNet;

use crate::agent::{AgentFailure, AgentRequest};
use crate::aws::credentials::{self, CredentialSource, Credentials};
use crate::observation::Failure;

/// Address of the instance metadata. There is an IPv6 address as well, but only if it is enabled.
const ENDPOINT: &str = "http://169.254.169.254";

/// Replaces the address, as in the AWS SDKs.
const ENDPOINT_VARIABLE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// Disables the instance metadata, as in the AWS SDKs.
const DISABLED_VARIABLE: &str = "AWS_EC2_METADATA_DISABLED";

/// Names the kind of capacity in every container of Amazon ECS.
const EXECUTION_VARIABLE: &str = "AWS_EXECUTION_ENV";

/// Time limit of one request, as in the AWS CLI and SDKs. On a machine outside Amazon EC2, nothing
/// answers.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

/// Seconds for which the token is valid: longer than a run.
const TTL: HeaderValue = HeaderValue::from_static("300");

/// Maximum number of characters of a value that is part of a path or a text: the name of a role has
/// at most 64, that of a Region and a MAC address have fewer.
const MAX_VALUE: usize = 128;

/// A session with the instance metadata.
pub struct InstanceMetadata {
    base: String,
    token: HeaderValue,
}

/// Whether this process is on an Amazon EC2 instance whose metadata it may read. Elsewhere nothing
/// would answer, so nothing is sent: neither on Fargate nor on a machine whose firmware does not
/// name Amazon EC2.
pub fn is_expected(env: &impl Fn(&str) -> Option<String>) -> bool {
    let is_off = env(DISABLED_VARIABLE).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_on_instance = || match env(EXECUTION_VARIABLE).as_deref() {
        Some("AWS_ECS_EC2" | "AWS_ECS_MANAGED_INSTANCES") => true,
        Some(_) => false,
        None if credentials::is_in_ecs(env) => false,
        None => env(ENDPOINT_VARIABLE).is_some_and(|base| !base.is_empty()) || is_of_amazon_ec2(),
    };
    !is_off && is_on_instance()
}

/// Whether the firmware of this machine identifies it as an EC2 instance (Amazon EC2 user guide,
/// "Detect whether a host is an EC2 instance").
fn is_of_amazon_ec2() -> bool {
    const IDENTIFIERS: [(&str, &str); 3] = [
        ("/sys/class/dmi/id/sys_vendor", "amazon ec2"),
        ("/sys/class/dmi/id/board_vendor", "amazon ec2"),
        ("/sys/hypervisor/uuid", "ec2"),
    ];
    IDENTIFIERS.iter().any(|(file, start)| {
        std::fs::read_to_string(file)
            .is_ok_and(|text| text.trim_start().to_ascii_lowercase().starts_with(start))
    })
}

/// The location of an instance, from its metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceLocation {
    /// Region.
    pub region: Option<String>,
    /// Availability Zone.
    pub zone: Option<String>,
    /// Address of the primary network interface, and its subnet.
    pub interface: Option<(IpAddr, IpNet)>,
}

/// Reads the location of this instance. Returns `None` on any other machine. Takes at most two
/// seconds, and a few milliseconds on an instance.
pub async fn locate(env: &impl Fn(&str) -> Option<String>) -> Option<InstanceLocation> {
    if !is_expected(env) {
        return None;
    }
    let read = async {
        let metadata = InstanceMetadata::open(env).await.ok()?;
        let (region, zone, interface) =
            tokio::join!(metadata.region(), metadata.zone(), metadata.interface());
        Some(InstanceLocation {
            region,
            zone,
            interface,
        })
    };
    tokio::time::timeout(2 * REQUEST_TIMEOUT, read).await.ok()?
}

impl InstanceMetadata {
    /// Gets a token. Takes at most a second.
    pub async fn open(env: &impl Fn(&str) -> Option<String>) -> Result<Self, AgentFailure> {
        let base = env(ENDPOINT_VARIABLE)
            .map(|base| base.trim().trim_end_matches('/').to_owned())
            .filter(|base| !base.is_empty())
            .unwrap_or_else(|| ENDPOINT.to_owned());
        let uri = parse(&base, "/latest/api/token")?;
        let request = AgentRequest {
            method: Method::PUT,
            header: Some((TOKEN_TTL, TTL)),
            ..AgentRequest::new(&uri, is_metadata, REQUEST_TIMEOUT)
        };
        let response = request.send().await.map_err(|error| {
            // A router between the container and the instance uses up one hop of the response.
            let hint = match error.failure {
                Failure::TimedOut => {
                    "; in a container with its own network the instance needs a hop limit of 2 (aws ec2 \
                     modify-instance-metadata-options --http-put-response-hop-limit 2), and outside of Amazon EC2 there \
                     is no instance metadata"
                }
                _ => "; outside of Amazon EC2 there is no instance metadata",
            };
            AgentFailure::new(error.failure, format_args!("{error}{hint}"))
        })?;
        let token = HeaderValue::from_bytes(response.body()).ok();
        let token = token.filter(|token| response.status() == StatusCode::OK && !token.is_empty());
        let Some(mut token) = token else {
            let hint = match response.status().as_u16() {
                403 => "the instance's metadata is disabled, or its IMDSv2 is",
                _ => "this is not the instance metadata of Amazon EC2",
            };
            let status = response.status().as_u16();
            return Err(request.failed(
                Failure::UnexpectedAnswer,
                format_args!("returned {status} to the request for a token: {hint}"),
            ));
        };
        token.set_sensitive(true);
        Ok(Self { base, token })
    }

    /// Returns a value; `None` if the instance does not have it.
    async fn get(&self, path: &str) -> Result<Option<String>, AgentFailure> {
        let uri = parse(&self.base, path)?;
        let request = AgentRequest {
            header: Some((TOKEN, self.token.clone())),
            ..AgentRequest::new(&uri, is_metadata, REQUEST_TIMEOUT)
        };
        let response = request.send().await?;
        match response.status().as_u16() {
            200 => Ok(Some(String::from_utf8_lossy(response.body()).into_owned())),
            404 => Ok(None),
            status => {
                Err(request.failed(Failure::UnexpectedAnswer, format_args!("returned {status}")))
            }
        }
    }

    /// Returns the first line of a value that is a name.
    async fn name(&self, path: &str) -> Option<String> {
        name_in(&self.get(path).await.ok()??)
    }

    /// Returns the Region of the instance.
    async fn region(&self) -> Option<String> {
        self.name("/latest/meta-data/placement/region").await
    }

    /// Returns the Availability Zone of the instance.
    async fn zone(&self) -> Option<String> {
        self.name("/latest/meta-data/placement/availability-zone")
            .await
    }

    /// Returns the address and subnet of the instance's primary network interface.
    async fn interface(&self) -> Option<(IpAddr, IpNet)> {
        let mac = self.name("/latest/meta-data/mac").await?;
        let base = format!("/latest/meta-data/network/interfaces/macs/{mac}");
        let subnet = self.name(&format!("{base}/subnet-ipv4-cidr-block")).await?;
        let address = self.name("/latest/meta-data/local-ipv4").await?;
        Some((address.parse().ok()?, subnet.parse().ok()?))
    }

    /// Returns the credentials of the instance's role. Fails if there is no role, or if the
    /// metadata cannot be read.
    pub async fn credentials(&self) -> Result<Credentials, AgentFailure> {
        const PATH: &str = "/latest/meta-data/iam/security-credentials/";
        let started = Instant::now();
        let no_profile = || {
            AgentFailure::new(
                Failure::NoCredentials,
                "the instance has no instance profile, so there is no role to pull images with; attach one (aws ec2 \
                 associate-iam-instance-profile)",
            )
        };
        // Silence or a refusal does not show that there is no profile.
        let names = self.get(PATH).await?.unwrap_or_default();
        if names.trim().is_empty() {
            return Err(no_profile());
        }
        let Some(role) = name_in(&names) else {
            return Err(AgentFailure::new(
                Failure::WrongForm,
                "the instance metadata does not name the role of the instance profile",
            ));
        };
        let found = self.get(&format!("{PATH}{role}")).await?;
        let found = found.ok_or_else(no_profile)?;
        let uri = parse(&self.base, PATH)?;
        let request = AgentRequest::new(&uri, is_metadata, REQUEST_TIMEOUT);
        let read = credentials::read(&request, found.as_bytes(), started);
        let read = read.map_err(|error| match error.failure {
            // The response then has an error such as `"Code": "AssumeRoleUnauthorizedAccess"` and
            // no keys.
            Failure::WrongForm => AgentFailure::new(
                Failure::NoCredentials,
                "the instance metadata has no credentials for the role of the instance profile; check that the role exists \
                 and that its trust policy names ec2.amazonaws.com",
            ),
            _ => error,
        })?;
        Ok(Credentials {
            source: CredentialSource::InstanceProfile,
            role_name: Some(role),
            ..read
        })
    }
}

/// Returns the first line of a value, if it is a name.
fn name_in(value: &str) -> Option<String> {
    let name = value.lines().next()?.trim().trim_end_matches('/');
    let is_name_char = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-:/".contains(&b);
    ((1..=MAX_VALUE).contains(&name.len()) && name.bytes().all(is_name_char))
        .then(|| name.to_owned())
}

fn parse(base: &str, path: &str) -> Result<Uri, AgentFailure> {
    let uri: Option<Uri> = format!("{base}{path}").parse().ok();
    uri.filter(|uri| uri.scheme_str() == Some("http"))
        .ok_or_else(|| {
            AgentFailure::new(
                Failure::WrongForm,
                format_args!("{ENDPOINT_VARIABLE} is not an http:// URL"),
            )
        })
}

/// Whether `address` is that of the instance metadata or of this host.
fn is_metadata(address: IpAddr) -> bool {
    const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
    address.is_loopback() || matches!(address, V4 | V6)
}

#[cfg(test)]
mod tests;
