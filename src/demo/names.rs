//! The account, the Region, the resources and the addresses of the embedded AWS. Pure.

use std::net::Ipv4Addr;

use crate::observation::Dependency;

/// The Region of every resource.
pub const REGION: &str = "us-east-1";
/// The account that owns the registry and the role.
pub const ACCOUNT: &str = "123456789012";
/// The repository that exists.
pub const REPOSITORY: &str = "team/app";
/// The tag that exists.
pub const TAG: &str = "1.4";
/// The image that the task pulls.
pub const IMAGE: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:1.4";
/// The log group that exists.
pub const LOG_GROUP: &str = "/ecs/app";
/// The task's platform.
pub const PLATFORM: &str = "linux/amd64";
/// The secret that exists: a JSON object with the key `password`.
pub const SECRET: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf";
/// The parameter that exists.
pub const PARAMETER: &str = "/app/mode";
/// The session of the execution role, which the task runs with: the services see this principal.
pub(super) const PRINCIPAL: &str =
    "arn:aws:sts::123456789012:assumed-role/ecsTaskExecutionRole/0b69d5c0d2a94ff2a2f2dbff0d7f8b2e";

/// The task's address.
pub const TASK_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 10);
/// The task's subnet, in CIDR notation.
pub const TASK_SUBNET: &str = "127.0.1.0/24";
/// The VPC's resolver, at the VPC's base plus two.
pub(super) const RESOLVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The services, in the order in which ECS contacts them.
pub const SERVICES: [Dependency; 6] = [
    Dependency::SecretsManager,
    Dependency::Ssm,
    Dependency::EcrApi,
    Dependency::Logs,
    Dependency::EcrDkr,
    Dependency::S3,
];

/// Returns the host name that a puller resolves for `service`.
pub fn host_name(service: Dependency) -> String {
    match service {
        Dependency::EcrApi => format!("api.ecr.{REGION}.amazonaws.com"),
        Dependency::EcrDkr => format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"),
        Dependency::S3 => format!("prod-{REGION}-starport-layer-bucket.s3.{REGION}.amazonaws.com"),
        other => format!("{other}.{REGION}.amazonaws.com"),
    }
}

/// Returns the address of the service's interface endpoint. It is in another /24 than the task, so
/// that routes and network ACLs apply, and in the same /16, so that it counts as private. Amazon S3
/// has none: a gateway endpoint leaves its addresses public.
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

/// Returns the service's public address, outside the task's /16.
pub fn public_address(service: Dependency) -> Ipv4Addr {
    let last = private_address(service).map_or(10, |address| address.octets()[3]);
    Ipv4Addr::new(127, 20, 0, last)
}

/// Returns the address of the service in a healthy subnet.
pub fn healthy_address(service: Dependency) -> Ipv4Addr {
    private_address(service).unwrap_or(public_address(service))
}

/// Whether `address` is outside the VPC.
pub fn is_public(address: Ipv4Addr) -> bool {
    address.octets()[1] != 0
}

/// Returns the ARN of the repository.
pub(super) fn repository_arn() -> String {
    format!("arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{REPOSITORY}")
}
