//! Containers and hosts that AWS adds to a task beyond its task definition.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ImageInput, Platform, ReachabilityCheck};
use crate::endpoints::{self, Partition, Region, Service, Variant};
use crate::network_location::IpFamily;
use crate::observation::Dependency;
use crate::reference::{Reference, Registry};

/// A sidecar container that AWS adds to the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AwsSidecar {
    /// The security agent of GuardDuty Runtime Monitoring.
    GuardDuty,
}

/// Why the image or host that AWS adds is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AwsSidecarError {
    /// The Region is not in the table of GuardDuty's registries.
    #[error(
        "the account of GuardDuty's registry in {0} is unknown (table of {GUARDDUTY_DATE}); find \
         it in the GuardDuty user guide, \"Amazon ECR repository hosting GuardDuty agent\", and \
         pass the image with --image"
    )]
    GuardDutyAccount(Region),
    /// The task does not run on Linux.
    #[error("GuardDuty adds its agent only to tasks on Linux, and this one runs on {0}")]
    GuardDutyPlatform(Platform),
    /// The host is not documented for the Region's partition.
    #[error("the host that configures the Service Connect proxy in {0} is unknown; leave it out")]
    ServiceConnect(Region),
}

/// Date on which the accounts below were copied from a stored copy of the GuardDuty user guide.
pub const GUARDDUTY_DATE: &str = "2026-11-24";

/// Accounts of the registries with the agent for Fargate (GuardDuty user guide, "ECR Repository for
/// GuardDuty agent on AWS Fargate"; AWS GovCloud (US) user guide, "Amazon GuardDuty").
const GUARDDUTY: [(&str, &str); 35] = [
    ("af-south-1", "197869348890"),
    ("ap-east-1", "258348409381"),
    ("ap-east-2", "259886477082"),
    ("ap-northeast-1", "533107202818"),
    ("ap-northeast-2", "914738172881"),
    ("ap-northeast-3", "273192626886"),
    ("ap-south-1", "251508486986"),
    ("ap-south-2", "950823858135"),
    ("ap-southeast-1", "174946120834"),
    ("ap-southeast-2", "005257825471"),
    ("ap-southeast-3", "510637619217"),
    ("ap-southeast-4", "251357961535"),
    ("ap-southeast-5", "156041399949"),
    ("ap-southeast-7", "054037130133"),
    ("ca-central-1", "354763396469"),
    ("ca-west-1", "339712888787"),
    ("eu-central-1", "323658145986"),
    ("eu-central-2", "529164026651"),
    ("eu-north-1", "591436053604"),
    ("eu-south-1", "266869475730"),
    ("eu-south-2", "919611009337"),
    ("eu-west-1", "694911143906"),
    ("eu-west-2", "892757235363"),
    ("eu-west-3", "665651866788"),
    ("il-central-1", "870907303882"),
    ("me-central-1", "000014521398"),
    ("me-south-1", "536382113932"),
    ("mx-central-1", "311141559934"),
    ("sa-east-1", "758426053663"),
    ("us-east-1", "593207742271"),
    ("us-east-2", "307168627858"),
    ("us-gov-east-1", "383115532789"),
    ("us-gov-west-1", "383110348953"),
    ("us-west-1", "684579721401"),
    ("us-west-2", "733349766148"),
];

impl AwsSidecar {
    /// Returns the image, named as in ECS's messages:
    /// `aws-guardduty-agent-fargate:v1.0.1-Fg_x86_64`. The version is one that every partition had;
    /// AWS uses the current one.
    ///
    /// # Errors
    ///
    /// Fails if the Region's registry is unknown, or if AWS does not add the sidecar on this
    /// platform.
    pub fn image(
        self,
        region: &Region,
        platform: &Platform,
    ) -> Result<ImageInput, AwsSidecarError> {
        let Some((_, account)) = GUARDDUTY
            .iter()
            .find(|(known, _)| *known == region.as_str())
        else {
            return Err(AwsSidecarError::GuardDutyAccount(region.clone()));
        };
        if platform.os != "linux" {
            return Err(AwsSidecarError::GuardDutyPlatform(platform.clone()));
        }
        let architecture = if platform.architecture == "arm64" {
            "aarch64"
        } else {
            "x86_64"
        };
        let image = Reference {
            registry: Registry::Ecr {
                account: (*account).to_owned(),
                region: region.clone(),
                variant: Variant::default(),
            },
            repository: "aws-guardduty-agent-fargate".into(),
            tag: Some(format!("v1.8.0-Fg_{architecture}")),
            digest: None,
        };
        Ok(ImageInput {
            image,
            login: None,
            added_by_aws: true,
            deployment: None,
        })
    }
}

/// Returns the endpoint to which the agent of ECS Exec opens its channel, as the task role (ECS
/// developer guide, "Monitor Amazon ECS containers with ECS Exec").
pub fn execute_command(region: &Region, ip_family: IpFamily) -> ReachabilityCheck {
    ReachabilityCheck {
        dependency: Dependency::SsmMessages,
        host: endpoints::api_host(Service::SsmMessages, region, ip_family.variant()),
        port: 443,
        tcp_only: false,
        subject: "ECS Exec".into(),
    }
}

/// Returns the endpoint to which the agent of GuardDuty Runtime Monitoring reports. GuardDuty
/// creates the VPC endpoint for it (GuardDuty user guide, "Prerequisites for AWS Fargate (Amazon
/// ECS only) support"), so in a VPC without one, or without its private DNS, the same name leads to
/// the internet.
pub fn guard_duty_data(region: &Region) -> ReachabilityCheck {
    ReachabilityCheck {
        dependency: Dependency::GuardDutyData,
        host: endpoints::api_host(Service::GuardDutyData, region, Variant::default()),
        port: 443,
        tcp_only: false,
        subject: "GuardDuty Runtime Monitoring".into(),
    }
}

/// Returns the services that the container agent of an instance calls for itself (Amazon ECS
/// developer guide, "Amazon ECS interface VPC endpoints"). On the internet, the names of the last
/// two have numbers that only Amazon ECS tells the agent; without them they are those of the VPC
/// endpoints.
pub fn container_agent(region: &Region, ip_family: IpFamily) -> [ReachabilityCheck; 3] {
    let hosts = [
        endpoints::api_host(Service::Ecs, region, ip_family.variant()),
        endpoints::api_host(Service::EcsAgent, region, Variant::default()),
        endpoints::api_host(Service::EcsTelemetry, region, Variant::default()),
    ];
    hosts.map(|host| ReachabilityCheck {
        dependency: Dependency::EcsAgent,
        host,
        port: 443,
        tcp_only: false,
        subject: "container agent".into(),
    })
}

/// Returns the hosts that configure the Service Connect proxy, of which one is enough: that of the
/// VPC endpoint for `ecs-agent`, and the one on the internet, which serves a VPC without the
/// endpoint (Amazon ECS developer guide, "Amazon ECS interface VPC endpoints"; amazon-ecs-agent,
/// `serviceconnect/manager_linux.go`). The host name of the former is not documented: see
/// [`endpoints::api_host`].
///
/// # Errors
///
/// Fails outside the `aws` partition, where the host names are unknown.
pub fn service_connect(region: &Region) -> Result<[ReachabilityCheck; 2], AwsSidecarError> {
    if region.partition() != Partition::Aws {
        return Err(AwsSidecarError::ServiceConnect(region.clone()));
    }
    let hosts = [
        format!("ecs-sc.{region}.{}", region.partition().dual_stack_suffix()),
        endpoints::api_host(Service::EcsAgent, region, Variant::default()),
    ];
    Ok(hosts.map(|host| ReachabilityCheck {
        dependency: Dependency::ServiceConnect,
        host,
        port: 443,
        tcp_only: false,
        subject: "Service Connect".into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guardduty_agent_is_chosen_by_region_and_architecture() {
        let image = |region: &str, platform: &str| {
            let image =
                AwsSidecar::GuardDuty.image(&region.parse().unwrap(), &platform.parse().unwrap());
            image.map(|input| input.image.to_string())
        };
        assert_eq!(
            image("us-east-1", "linux/amd64").unwrap(),
            "593207742271.dkr.ecr.us-east-1.amazonaws.com/aws-guardduty-agent-fargate:v1.8.0-Fg_x86_64"
        );
        assert!(
            image("us-gov-west-1", "linux/arm64")
                .unwrap()
                .contains("383110348953.dkr.ecr.us-gov-west-1")
        );
        let unknown = image("cn-north-1", "linux/amd64").unwrap_err().to_string();
        assert!(
            unknown.contains(GUARDDUTY_DATE) && unknown.contains("--image"),
            "{unknown}"
        );
        assert!(image("us-east-1", "windows/amd64").is_err());
    }

    #[test]
    fn every_guardduty_account_gives_a_valid_image_reference() {
        for (region, _) in GUARDDUTY {
            let platform = "linux/arm64".parse().unwrap();
            let input = AwsSidecar::GuardDuty
                .image(&region.parse().unwrap(), &platform)
                .unwrap();
            assert_eq!(
                input.image.to_string().parse::<Reference>().unwrap(),
                input.image
            );
        }
    }
}
