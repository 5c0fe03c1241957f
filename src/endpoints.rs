//! Partitions, Regions, and the host names of AWS services in them. Pure.
//!
//! The rules are those of the endpoint rule sets of the AWS SDKs. `tests/endpoints.rs` compares
//! every Region and variant with AWS's published data and lists the deviations.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The error of a command that needs a Region and has none.
pub const NO_REGION: &str = "no Region is set; pass --region, such as us-east-1, or set AWS_REGION";

/// A group of Regions with its own accounts, ARNs and domain names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// Commercial Regions.
    Aws,
    /// China.
    AwsCn,
    /// AWS GovCloud (US).
    AwsUsGov,
    /// AWS Top Secret Regions (US).
    AwsIso,
    /// AWS Secret Regions (US).
    AwsIsoB,
    /// Isolated Regions in Europe.
    AwsIsoE,
    /// Isolated Regions in the US.
    AwsIsoF,
    /// AWS European Sovereign Cloud.
    AwsEusc,
}

impl Partition {
    /// Every partition.
    pub const ALL: [Self; 8] = [
        Self::Aws,
        Self::AwsCn,
        Self::AwsUsGov,
        Self::AwsIso,
        Self::AwsIsoB,
        Self::AwsIsoE,
        Self::AwsIsoF,
        Self::AwsEusc,
    ];

    /// Returns the name in an ARN, such as `aws-cn`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
            Self::AwsIso => "aws-iso",
            Self::AwsIsoB => "aws-iso-b",
            Self::AwsIsoE => "aws-iso-e",
            Self::AwsIsoF => "aws-iso-f",
            Self::AwsEusc => "aws-eusc",
        }
    }

    /// Returns the domain of service names with IPv4 addresses only.
    pub const fn dns_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::AwsUsGov => "amazonaws.com",
            Self::AwsCn => "amazonaws.com.cn",
            Self::AwsIso => "c2s.ic.gov",
            Self::AwsIsoB => "sc2s.sgov.gov",
            Self::AwsIsoE => "cloud.adc-e.uk",
            Self::AwsIsoF => "csp.hci.ic.gov",
            Self::AwsEusc => "amazonaws.eu",
        }
    }

    /// Returns the domain of service names that have IPv6 addresses as well.
    pub const fn dual_stack_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::AwsUsGov => "api.aws",
            Self::AwsCn => "api.amazonwebservices.com.cn",
            Self::AwsIso => "api.aws.ic.gov",
            Self::AwsIsoB => "api.aws.scloud",
            Self::AwsIsoE => "api.cloud-aws.adc-e.uk",
            Self::AwsIsoF => "api.aws.hci.ic.gov",
            Self::AwsEusc => "api.amazonwebservices.eu",
        }
    }

    /// Returns the domain of dual-stack registries, if AWS has published one (Amazon ECR user
    /// guide, "Making requests", and the host pattern of amazon-ecr-credential-helper).
    pub const fn registry_dual_stack_suffix(self) -> Option<&'static str> {
        match self {
            Self::Aws | Self::AwsUsGov => Some("on.aws"),
            Self::AwsCn => Some("on.amazonwebservices.com.cn"),
            _ => None,
        }
    }

    /// Returns the partition of a Region's name by the patterns of AWS's partitions.json.
    fn of(region: &str) -> Option<Self> {
        let parts: Vec<_> = region.split('-').collect();
        let [.., direction, number] = parts[..] else {
            return None;
        };
        // partitions.json allows `\w+`, but every Region so far has a direction of the compass, and
        // `us-esat-1` is a typo.
        let has_direction = DIRECTIONS.contains(&direction);
        let has_number =
            matches!(number.len(), 1..=2) && number.bytes().all(|b| b.is_ascii_digit());
        let partition = match parts[..parts.len() - 2] {
            ["us" | "eu" | "ap" | "sa" | "ca" | "me" | "af" | "il" | "mx"] => Self::Aws,
            ["cn"] => Self::AwsCn,
            ["us", "gov"] => Self::AwsUsGov,
            ["us", "iso"] => Self::AwsIso,
            ["us", "isob"] => Self::AwsIsoB,
            ["eu", "isoe"] => Self::AwsIsoE,
            ["us", "isof"] => Self::AwsIsoF,
            ["eusc", "de"] => Self::AwsEusc,
            _ => return None,
        };
        (has_direction && has_number).then_some(partition)
    }
}

/// The directions in Regions' names.
const DIRECTIONS: [&str; 9] = [
    "north",
    "northeast",
    "east",
    "southeast",
    "south",
    "southwest",
    "west",
    "northwest",
    "central",
];

/// A Region's name that is valid in a partition. The Region may not exist: AWS opens several a
/// year, so only DNS can tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Region(String, Partition);

impl Region {
    /// Returns the name, such as `us-east-1`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns its partition.
    pub fn partition(&self) -> Partition {
        self.1
    }
}

impl FromStr for Region {
    type Err = InvalidRegion;

    /// Fails on a name that is not valid in any partition.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Partition::of(name)
            .map(|partition| Self(name.to_owned(), partition))
            .ok_or_else(|| InvalidRegion(name.to_owned()))
    }
}

/// Error of a name that is not valid in any partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRegion(String);

impl std::error::Error for InvalidRegion {}

impl fmt::Display for InvalidRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lower = self.0.to_ascii_lowercase();
        let example = if Partition::of(&lower).is_some() {
            &lower
        } else {
            "us-east-1"
        };
        // Longer than any Region, short enough for one line.
        let shown: String = self.0.chars().take(40).collect();
        write!(
            f,
            "{shown:?} is not an AWS Region; expected a name such as {example}"
        )
    }
}

impl From<InvalidRegion> for String {
    fn from(error: InvalidRegion) -> Self {
        error.to_string()
    }
}

impl TryFrom<String> for Region {
    type Error = InvalidRegion;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A variant of a service's host name. The default is the ordinary IPv4 name, which Fargate uses
/// where the task has an IPv4 address.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Variant {
    /// FIPS 140 validated cryptography.
    #[serde(default)]
    pub fips: bool,
    /// IPv4 and IPv6.
    #[serde(default)]
    pub dual_stack: bool,
}

/// The services that a starting task or the operator's commands use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Amazon ECR's API, which issues registry tokens.
    EcrApi,
    /// Amazon ECR's registries (Docker Registry API).
    EcrDkr,
    /// Amazon S3.
    S3,
    /// CloudWatch Logs.
    Logs,
    /// AWS Secrets Manager.
    SecretsManager,
    /// AWS Systems Manager, for Parameter Store.
    Ssm,
    /// The message channel of ECS Exec.
    SsmMessages,
    /// AWS KMS.
    Kms,
    /// AWS STS.
    Sts,
    /// Amazon ECS.
    Ecs,
    /// The ECS agent's service, which also configures the Service Connect proxy.
    EcsAgent,
    /// The ECS agent's service for measurements.
    EcsTelemetry,
    /// The endpoint of GuardDuty Runtime Monitoring.
    GuardDutyData,
    /// Amazon EC2.
    Ec2,
    /// The message channel of the SSM agent.
    Ec2Messages,
    /// Amazon FSx.
    Fsx,
    /// EventBridge Scheduler.
    Scheduler,
    /// Kinesis Data Streams.
    KinesisStreams,
    /// Amazon Data Firehose.
    Firehose,
}

impl Service {
    /// Returns the end of its VPC endpoint service name, such as `ecr.api`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcrApi => "ecr.api",
            Self::EcrDkr => "ecr.dkr",
            Self::S3 => "s3",
            Self::Logs => "logs",
            Self::SecretsManager => "secretsmanager",
            Self::Ssm => "ssm",
            Self::SsmMessages => "ssmmessages",
            Self::Kms => "kms",
            Self::Sts => "sts",
            Self::Ecs => "ecs",
            Self::EcsAgent => "ecs-agent",
            Self::EcsTelemetry => "ecs-telemetry",
            Self::GuardDutyData => "guardduty-data",
            Self::Ec2 => "ec2",
            Self::Ec2Messages => "ec2messages",
            Self::Fsx => "fsx",
            Self::Scheduler => "scheduler",
            Self::KinesisStreams => "kinesis-streams",
            Self::Firehose => "kinesis-firehose",
        }
    }

    /// Whether an interface endpoint can lead to the service in another Region (AWS PrivateLink
    /// guide, "Cross-region enabled AWS services").
    pub const fn has_cross_region_endpoint(self) -> bool {
        matches!(
            self,
            Self::EcrApi | Self::EcrDkr | Self::S3 | Self::Kms | Self::Ecs | Self::Firehose
        )
    }
}

/// Returns the host of `service` in `region`; for [`Service::EcrDkr`] the parent domain of
/// [`registry_host`].
pub fn api_host(service: Service, region: &Region, variant: Variant) -> String {
    use Partition::{Aws, AwsCn, AwsUsGov};

    let partition = region.partition();
    let Variant { fips, dual_stack } = variant;
    let suffix = if fips { "-fips" } else { "" };
    let (plain, dual) = (partition.dns_suffix(), partition.dual_stack_suffix());
    let name = match service {
        Service::KinesisStreams => "kinesis",
        Service::Firehose => "firehose",
        // AWS documents no host names for these two. The agent asks DiscoverPollEndpoint, which
        // answers with names under `ecs-a` and `ecs-t`; that their VPC endpoints' private DNS has
        // these names is an inference.
        Service::EcsAgent => "ecs-a",
        Service::EcsTelemetry => "ecs-t",
        _ => service.name(),
    };
    match (service, partition) {
        (Service::EcrDkr, _) => match partition
            .registry_dual_stack_suffix()
            .filter(|_| dual_stack)
        {
            Some(dual) => format!("dkr-ecr{suffix}.{region}.{dual}"),
            None => format!("dkr.ecr{suffix}.{region}.{plain}"),
        },
        (Service::EcrApi, _) if dual_stack => format!("ecr{suffix}.{region}.{dual}"),
        // The name in endpoints.json and the AWS General Reference, which do not have the rule
        // sets' `api.ecr-fips`.
        (Service::EcrApi, Aws | AwsUsGov) if fips => format!("ecr-fips.{region}.{plain}"),
        (Service::EcrApi, _) => format!("api.ecr{suffix}.{region}.{plain}"),
        (Service::S3, _) if dual_stack => format!("s3{suffix}.dualstack.{region}.{plain}"),
        // Its ordinary name has IPv6 addresses in these partitions.
        (Service::SecretsManager, Aws | AwsUsGov | AwsCn) if !(fips && partition == AwsCn) => {
            format!("{name}{suffix}.{region}.{plain}")
        }
        // Their ordinary endpoints in GovCloud are FIPS endpoints.
        (
            Service::Logs | Service::Ssm | Service::Sts | Service::Ec2 | Service::KinesisStreams,
            AwsUsGov,
        ) if !dual_stack => {
            format!("{name}.{region}.{plain}")
        }
        _ => format!(
            "{name}{suffix}.{region}.{}",
            if dual_stack { dual } else { plain }
        ),
    }
}

/// Returns the registry of an account: the IPv4 one if no dual-stack registry is published.
pub fn registry_host(account: &str, region: &Region, variant: Variant) -> String {
    format!("{account}.{}", api_host(Service::EcrDkr, region, variant))
}

/// Returns the bucket from which Amazon ECR serves the layers of `region` (Amazon ECR user guide,
/// "VPC endpoints").
pub fn layer_bucket(region: &Region) -> String {
    format!("prod-{region}-starport-layer-bucket")
}

/// Returns the host to which a registry redirects for layers.
pub fn layer_host(region: &Region) -> String {
    format!(
        "{}.{}",
        layer_bucket(region),
        api_host(Service::S3, region, Variant::default())
    )
}

/// Returns the host of a bucket in `region`. A name with a dot would not match the certificate, so
/// it becomes part of the path (Amazon S3 user guide, "Virtual hosting of buckets").
pub fn bucket_host(bucket: &str, region: &Region, variant: Variant) -> String {
    let service = api_host(Service::S3, region, variant);
    if bucket.contains('.') {
        service
    } else {
        format!("{bucket}.{service}")
    }
}

/// Whether the host is under a domain of AWS's services, in any partition.
pub fn is_aws_host(host: &str) -> bool {
    service_part(host).is_some()
}

/// Whether the host is Amazon S3's: of a bucket, an access point, a Region or an endpoint (Amazon
/// S3 user guide, "Making requests"; AWS General Reference, "Amazon S3 endpoints and quotas").
pub fn is_s3_host(host: &str) -> bool {
    let is_s3 = |label: &str| match label.strip_prefix("s3") {
        Some(
            "" | "-fips" | "-accesspoint" | "-accesspoint-fips" | "-accelerate" | "-external-1",
        ) => true,
        // s3-us-west-2: the older form.
        Some(rest) => rest
            .strip_prefix('-')
            .is_some_and(|region| region.parse::<Region>().is_ok()),
        None => false,
    };
    service_part(host).is_some_and(|service| service.split('.').any(is_s3))
}

/// Returns what precedes the domain of AWS's services; `None` for any other host.
fn service_part(host: &str) -> Option<&str> {
    let suffixes = |partition: Partition| {
        [
            Some(partition.dns_suffix()),
            Some(partition.dual_stack_suffix()),
            partition.registry_dual_stack_suffix(),
        ]
    };
    Partition::ALL
        .into_iter()
        .flat_map(suffixes)
        .flatten()
        .find_map(|suffix| host.strip_suffix(suffix)?.strip_suffix('.'))
}

/// Returns the host of an EFS file system's mount target in the task's own Availability Zone.
pub fn file_system_host(id: &str, region: &Region) -> String {
    format!("{id}.efs.{region}.{}", region.partition().dns_suffix())
}

/// Returns the service name of a VPC endpoint for `service`; for Amazon S3 that of the gateway
/// endpoint.
///
/// Outside `aws` and `aws-us-gov` some names begin with the partition's own domain, reversed. The
/// list is from AWS CDK (`InterfaceVpcEndpointAwsService`), whose source is
/// `describe-vpc-endpoint-services`.
pub fn vpc_endpoint_service(service: Service, region: &Region) -> String {
    let partition = region.partition();
    let has_own_domain = match service {
        Service::EcrApi | Service::EcrDkr => true,
        Service::Ec2 => {
            matches!(partition, Partition::AwsCn | Partition::AwsIso)
                || region.as_str() == "us-isob-east-1"
        }
        Service::Sts => partition == Partition::AwsCn,
        _ => false,
    };
    let domain = if has_own_domain {
        partition.dns_suffix()
    } else {
        Partition::Aws.dns_suffix()
    };
    let prefix: Vec<_> = domain.rsplit('.').collect();
    format!("{}.{region}.{}", prefix.join("."), service.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_regions_are_rejected_in_one_sentence() {
        for (name, message) in [
            (
                "us-east",
                "\"us-east\" is not an AWS Region; expected a name such as us-east-1",
            ),
            (
                "EU-WEST-1",
                "\"EU-WEST-1\" is not an AWS Region; expected a name such as eu-west-1",
            ),
            (
                "mars-north-1",
                "\"mars-north-1\" is not an AWS Region; expected a name such as us-east-1",
            ),
            (
                "us-esat-1",
                "\"us-esat-1\" is not an AWS Region; expected a name such as us-east-1",
            ),
            (
                "us-east-1\n",
                "\"us-east-1\\n\" is not an AWS Region; expected a name such as us-east-1",
            ),
        ] {
            assert_eq!(name.parse::<Region>().unwrap_err().to_string(), message);
        }
        for name in [
            "",
            "-",
            "us--1",
            "us-east-",
            "us-east-1a",
            "us-gov-1",
            "us-east-1-1",
            "eusc-fr-east-1",
            "aws-global",
        ] {
            assert!(name.parse::<Region>().is_err(), "{name:?}");
        }
        let long = "é"
            .repeat(10_000)
            .parse::<Region>()
            .unwrap_err()
            .to_string();
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn region_serializes_as_a_string() {
        let region: Region = serde_json::from_str("\"eusc-de-east-1\"").unwrap();
        assert_eq!(region.partition(), Partition::AwsEusc);
        assert_eq!(
            serde_json::to_string(&region).unwrap(),
            "\"eusc-de-east-1\""
        );
        assert!(serde_json::from_str::<Region>("\"moon\"").is_err());
    }

    #[test]
    fn registries_have_four_host_names() {
        let of = |region: &str, fips, dual_stack| {
            registry_host(
                "123456789012",
                &region.parse().unwrap(),
                Variant { fips, dual_stack },
            )
        };
        assert_eq!(
            of("us-east-1", false, false),
            "123456789012.dkr.ecr.us-east-1.amazonaws.com"
        );
        assert_eq!(
            of("us-east-1", true, false),
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com"
        );
        assert_eq!(
            of("us-east-1", false, true),
            "123456789012.dkr-ecr.us-east-1.on.aws"
        );
        assert_eq!(
            of("us-gov-west-1", true, true),
            "123456789012.dkr-ecr-fips.us-gov-west-1.on.aws"
        );
        assert_eq!(
            of("cn-north-1", false, true),
            "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn"
        );
        assert_eq!(
            of("us-iso-east-1", false, true),
            "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov"
        );
    }

    #[test]
    fn hosts_of_storage() {
        let china = "cn-northwest-1".parse().unwrap();
        assert_eq!(
            layer_host(&china),
            "prod-cn-northwest-1-starport-layer-bucket.s3.cn-northwest-1.amazonaws.com.cn"
        );
        assert_eq!(
            file_system_host("fs-0123", &china),
            "fs-0123.efs.cn-northwest-1.amazonaws.com.cn"
        );
    }

    #[test]
    fn hosts_of_s3_are_told_from_other_hosts() {
        for host in [
            "prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com",
            "bucket.s3.amazonaws.com",
            "s3-us-west-2.amazonaws.com",
            "s3.dualstack.eu-west-1.amazonaws.com",
            "bucket.s3.cn-north-1.amazonaws.com.cn",
            "bucket.s3.eusc-de-east-1.amazonaws.eu",
            "bucket.bucket.vpce-0123-abcd.s3.us-east-1.vpce.amazonaws.com",
        ] {
            assert!(is_s3_host(host) && is_aws_host(host), "{host}");
        }
        for host in [
            "production.cloudflare.docker.com",
            "d5l0dvt14r5h8.cloudfront.net",
            "s3.us-east-1.amazonaws.com.example.com",
            "s3.example.com",
            "xamazonaws.com",
        ] {
            assert!(!is_s3_host(host) && !is_aws_host(host), "{host}");
        }
        for host in [
            "123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "123456789012.dkr-ecr.us-east-1.on.aws",
            "s3-proxy-1234.us-east-1.elb.amazonaws.com",
        ] {
            assert!(!is_s3_host(host) && is_aws_host(host), "{host}");
        }
    }

    #[test]
    fn vpc_endpoint_services_begin_with_a_domain_reversed() {
        for (service, region, expected) in [
            (
                Service::EcrApi,
                "us-east-1",
                "com.amazonaws.us-east-1.ecr.api",
            ),
            (
                Service::EcrDkr,
                "us-gov-west-1",
                "com.amazonaws.us-gov-west-1.ecr.dkr",
            ),
            (Service::S3, "eu-west-1", "com.amazonaws.eu-west-1.s3"),
            (
                Service::EcrApi,
                "cn-north-1",
                "cn.com.amazonaws.cn-north-1.ecr.api",
            ),
            (Service::Logs, "cn-north-1", "com.amazonaws.cn-north-1.logs"),
            (Service::S3, "cn-north-1", "com.amazonaws.cn-north-1.s3"),
            (
                Service::EcrDkr,
                "us-isof-south-1",
                "gov.ic.hci.csp.us-isof-south-1.ecr.dkr",
            ),
            (
                Service::EcrDkr,
                "eusc-de-east-1",
                "eu.amazonaws.eusc-de-east-1.ecr.dkr",
            ),
            (
                Service::Ec2,
                "us-isob-west-1",
                "com.amazonaws.us-isob-west-1.ec2",
            ),
        ] {
            assert_eq!(
                vpc_endpoint_service(service, &region.parse().unwrap()),
                expected
            );
        }
    }
}
