//! Partitions, regions, and the host names that AWS gives its services in them. Pure.
//!
//! The rules are those of the endpoint rule sets that AWS's SDKs evaluate; `tests/endpoints.rs`
//! compares every region and variant with AWS's published data and names the deviations.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A set of regions with its own accounts, ARNs and domain names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// Commercial regions.
    Aws,
    /// China.
    AwsCn,
    /// The US government's.
    AwsUsGov,
    /// US intelligence community, top secret.
    AwsIso,
    /// US intelligence community, secret.
    AwsIsoB,
    /// Europe, isolated.
    AwsIsoE,
    /// US, isolated.
    AwsIsoF,
    /// European Sovereign Cloud.
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

    /// The second field of an ARN: `aws-cn`.
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

    /// The domain of IPv4 service names.
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

    /// The domain of service names that have IPv6 addresses as well.
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

    /// The domain of dual-stack registries, where AWS has published one (Amazon ECR user guide,
    /// "Making requests", and the host pattern of amazon-ecr-credential-helper).
    pub const fn registry_dual_stack_suffix(self) -> Option<&'static str> {
        match self {
            Self::Aws | Self::AwsUsGov => Some("on.aws"),
            Self::AwsCn => Some("on.amazonwebservices.com.cn"),
            _ => None,
        }
    }

    /// By the patterns of AWS's partitions.json; `None` if none matches.
    fn of(region: &str) -> Option<Self> {
        let parts: Vec<_> = region.split('-').collect();
        let [.., direction, number] = parts[..] else {
            return None;
        };
        // partitions.json says `\w+`; but every region so far is named by compass, and `us-esat-1`
        // is a slip.
        let named = COMPASS.contains(&direction);
        let numbered = matches!(number.len(), 1..=2) && number.bytes().all(|b| b.is_ascii_digit());
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
        (named && numbered).then_some(partition)
    }
}

const COMPASS: [&str; 9] = [
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

/// A region's name, possible in some partition. Whether it exists is for DNS to say: AWS opens
/// several a year.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Region(String, Partition);

impl Region {
    /// `us-east-1`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition it belongs to.
    pub fn partition(&self) -> Partition {
        self.1
    }
}

impl FromStr for Region {
    type Err = String;

    /// Fails, with a sentence, on a name that fits no partition.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if let Some(partition) = Partition::of(name) {
            return Ok(Self(name.to_owned(), partition));
        }
        let lower = name.to_ascii_lowercase();
        let example = if Partition::of(&lower).is_some() {
            &lower
        } else {
            "us-east-1"
        };
        // Longer than any region, short enough for one line.
        let shown: String = name.chars().take(40).collect();
        Err(format!(
            "{shown:?} is not an AWS region, expected a name such as {example}"
        ))
    }
}

impl TryFrom<String> for Region {
    type Error = String;

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

/// Which of a service's names is meant. The default is the plain IPv4 name, which is what Fargate
/// asks for.
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

/// The services that a starting task, or this tool's operator, speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Amazon ECR's API: registry tokens.
    EcrApi,
    /// Amazon ECR's registries.
    EcrDkr,
    /// Amazon S3.
    S3,
    /// CloudWatch Logs.
    Logs,
    /// AWS Secrets Manager.
    SecretsManager,
    /// Systems Manager, for Parameter Store.
    Ssm,
    /// The channel of ECS Exec.
    SsmMessages,
    /// AWS KMS.
    Kms,
    /// AWS STS.
    Sts,
    /// Amazon ECS.
    Ecs,
    /// Amazon EC2.
    Ec2,
    /// EventBridge Scheduler.
    Scheduler,
    /// Kinesis Data Streams.
    KinesisStreams,
    /// Amazon Data Firehose.
    Firehose,
}

impl Service {
    /// The end of its VPC endpoint service name: `ecr.api`.
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
            Self::Ec2 => "ec2",
            Self::Scheduler => "scheduler",
            Self::KinesisStreams => "kinesis-streams",
            Self::Firehose => "kinesis-firehose",
        }
    }
}

/// The host that serves `service` in `region`; for [`Service::EcrDkr`] the parent domain of
/// [`registry_host`].
pub fn api_host(service: Service, region: &Region, variant: Variant) -> String {
    use Partition::{Aws, AwsCn, AwsUsGov};

    let partition = region.partition();
    let Variant { fips, dual_stack } = variant;
    let mark = if fips { "-fips" } else { "" };
    let (plain, dual) = (partition.dns_suffix(), partition.dual_stack_suffix());
    let name = match service {
        Service::KinesisStreams => "kinesis",
        Service::Firehose => "firehose",
        _ => service.name(),
    };
    match (service, partition) {
        (Service::EcrDkr, _) => match partition
            .registry_dual_stack_suffix()
            .filter(|_| dual_stack)
        {
            Some(dual) => format!("dkr-ecr{mark}.{region}.{dual}"),
            None => format!("dkr.ecr{mark}.{region}.{plain}"),
        },
        (Service::EcrApi, _) if dual_stack => format!("ecr{mark}.{region}.{dual}"),
        // As endpoints.json and the AWS General Reference have it; the rule sets' `api.ecr-fips` is
        // in neither.
        (Service::EcrApi, Aws | AwsUsGov) if fips => format!("ecr-fips.{region}.{plain}"),
        (Service::EcrApi, _) => format!("api.ecr{mark}.{region}.{plain}"),
        (Service::S3, _) if dual_stack => format!("s3{mark}.dualstack.{region}.{plain}"),
        // Its ordinary name has IPv6 addresses here.
        (Service::SecretsManager, Aws | AwsUsGov | AwsCn) if !(fips && partition == AwsCn) => {
            format!("{name}{mark}.{region}.{plain}")
        }
        // Their ordinary endpoints in GovCloud are FIPS endpoints.
        (
            Service::Logs | Service::Ssm | Service::Sts | Service::Ec2 | Service::KinesisStreams,
            AwsUsGov,
        ) if !dual_stack => {
            format!("{name}.{region}.{plain}")
        }
        _ => format!(
            "{name}{mark}.{region}.{}",
            if dual_stack { dual } else { plain }
        ),
    }
}

/// The registry of an account. Where no dual-stack registry is published, the IPv4 one.
pub fn registry_host(account: &str, region: &Region, variant: Variant) -> String {
    format!("{account}.{}", api_host(Service::EcrDkr, region, variant))
}

/// The bucket from which Amazon ECR serves the layers of `region` (Amazon ECR user guide, "VPC
/// endpoints").
pub fn layer_bucket(region: &Region) -> String {
    format!("prod-{region}-starport-layer-bucket")
}

/// The host to which a registry redirects for layers.
pub fn layer_host(region: &Region) -> String {
    format!(
        "{}.{}",
        layer_bucket(region),
        api_host(Service::S3, region, Variant::default())
    )
}

/// The host of a bucket as if it were in `region`. A dot in its name would not match the
/// certificate, so then the name is part of the path (Amazon S3 user guide, "Virtual hosting of
/// buckets").
pub fn bucket_host(bucket: &str, region: &Region) -> String {
    let service = api_host(Service::S3, region, Variant::default());
    if bucket.contains('.') {
        service
    } else {
        format!("{bucket}.{service}")
    }
}

/// The host of an EFS file system's mount target in the task's own Availability Zone.
pub fn file_system_host(id: &str, region: &Region) -> String {
    format!("{id}.efs.{region}.{}", region.partition().dns_suffix())
}

/// The name under which a VPC endpoint for `service` is created; for Amazon S3 that of the gateway
/// endpoint.
///
/// Outside `aws` and `aws-us-gov` some names begin with the partition's own domain, reversed. The
/// list is AWS CDK's (`InterfaceVpcEndpointAwsService`), which took it from
/// `describe-vpc-endpoint-services`.
pub fn vpc_endpoint_service(service: Service, region: &Region) -> String {
    let partition = region.partition();
    let reversed = match service {
        Service::EcrApi | Service::EcrDkr => true,
        Service::Ec2 => {
            matches!(partition, Partition::AwsCn | Partition::AwsIso)
                || region.as_str() == "us-isob-east-1"
        }
        Service::Sts => partition == Partition::AwsCn,
        _ => false,
    };
    let domain = if reversed {
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
    fn impossible_regions_are_refused_in_one_sentence() {
        for (name, why) in [
            (
                "us-east",
                "\"us-east\" is not an AWS region, expected a name such as us-east-1",
            ),
            (
                "EU-WEST-1",
                "\"EU-WEST-1\" is not an AWS region, expected a name such as eu-west-1",
            ),
            (
                "mars-north-1",
                "\"mars-north-1\" is not an AWS region, expected a name such as us-east-1",
            ),
            (
                "us-esat-1",
                "\"us-esat-1\" is not an AWS region, expected a name such as us-east-1",
            ),
            (
                "us-east-1\n",
                "\"us-east-1\\n\" is not an AWS region, expected a name such as us-east-1",
            ),
        ] {
            assert_eq!(name.parse::<Region>(), Err(why.to_owned()));
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
        let long = "é".repeat(10_000).parse::<Region>().unwrap_err();
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn a_region_is_a_string_in_json() {
        let region: Region = serde_json::from_str("\"eusc-de-east-1\"").unwrap();
        assert_eq!(region.partition(), Partition::AwsEusc);
        assert_eq!(
            serde_json::to_string(&region).unwrap(),
            "\"eusc-de-east-1\""
        );
        assert!(serde_json::from_str::<Region>("\"moon\"").is_err());
    }

    #[test]
    fn registries_have_four_names() {
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
