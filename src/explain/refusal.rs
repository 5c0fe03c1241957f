//! Why ECS or Amazon EC2 does not place a task. One cause, `capacity-unavailable`, covers most of
//! them, and each has a remedy of its own.
//!
//! The wordings are those of the Amazon ECS developer guide ("Service event messages", "API failure
//! reasons", "Amazon ECS Managed Instances errors") and of service events in public reports.

use crate::cause::Cause;
use crate::diagnose::Confidence::{self, Likely, Possible};

/// Why a task is not placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// AWS has blocked the account, or still verifies it.
    AccountBlocked,
    /// The quota for Spot instances is reached.
    SpotQuota,
    /// The quota for vCPUs of EC2 instances is reached.
    VcpuQuota,
    /// A quota of AWS Fargate is reached.
    FargateQuota,
    /// EC2 has no instance of the requested types.
    InstanceShortage,
    /// No instance type meets the requirements of the capacity provider and the task.
    InstanceTypes,
    /// An instance lacks an attribute.
    AttributeMissing,
    /// A placement constraint is not met.
    ConstraintUnmet,
    /// The host port is taken.
    PortTaken,
    /// The agent of the instance is disconnected.
    AgentDisconnected,
    /// The instances have too little CPU.
    CpuShortage,
    /// The instances have too little memory.
    MemoryShortage,
    /// The instances have no free GPU.
    GpuShortage,
    /// The cluster or capacity provider has no instances.
    NoInstances,
    /// A tag policy forbids the tags of the network interface.
    TagPolicy,
    /// EC2 denied the call that creates the interface or instance.
    DeniedByEc2,
    /// The instance could not set up the network interface.
    NetworkPlugin,
    /// Something internal to ECS.
    InternalError,
    /// No instance meets the requirements, and the text does not say which.
    NoInstanceFits,
    /// The capacity provider could not launch instances, and the text does not say why.
    NotLaunched,
}

impl Refusal {
    /// Returns the possible causes.
    pub fn causes(self) -> Vec<(Cause, Confidence)> {
        match self {
            Self::TagPolicy | Self::NetworkPlugin => {
                vec![(Cause::NetworkInterfaceUnavailable, Likely)]
            }
            Self::DeniedByEc2 => vec![
                (Cause::PermissionDenied, Likely),
                (Cause::NetworkInterfaceUnavailable, Possible),
            ],
            Self::InternalError | Self::NotLaunched => {
                vec![(Cause::CapacityUnavailable, Possible)]
            }
            _ => vec![(Cause::CapacityUnavailable, Likely)],
        }
    }

    /// Returns one sentence on what is wrong.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::AccountBlocked => "AWS has blocked the account, or has not verified it yet.",
            Self::SpotQuota => "The account has reached its quota for Spot Instances.",
            Self::VcpuQuota => "The account has reached its vCPU quota for these EC2 instances.",
            Self::FargateQuota => "The account has reached its quota for AWS Fargate.",
            Self::InstanceShortage => {
                "Amazon EC2 has no free capacity for the instance types of the capacity provider."
            }
            Self::InstanceTypes => {
                "Amazon EC2 cannot meet the instance requirements of the capacity provider."
            }
            Self::AttributeMissing => {
                "No container instance has every attribute that the task definition requires."
            }
            Self::ConstraintUnmet => "No container instance satisfies the placement constraints.",
            Self::PortTaken => {
                "Another task already uses the host port on every suitable container instance."
            }
            Self::AgentDisconnected => {
                "The ECS agent of the container instance is not connected to Amazon ECS."
            }
            Self::CpuShortage => "No container instance has enough free CPU units for the task.",
            Self::MemoryShortage => "No container instance has enough free memory for the task.",
            Self::GpuShortage => "No container instance has enough free GPUs for the task.",
            Self::NoInstances => {
                "The cluster or capacity provider has no registered container instance."
            }
            Self::TagPolicy => {
                "A tag policy of the organization does not allow the tags of the network interface."
            }
            Self::DeniedByEc2 => "Amazon EC2 denies the call that Amazon ECS makes for the task.",
            Self::NetworkPlugin => {
                "The container instance could not set up the task's network interface."
            }
            Self::InternalError => "Amazon ECS reports an internal error.",
            Self::NoInstanceFits => "No container instance meets all requirements of the task.",
            Self::NotLaunched => "The capacity provider could not launch a container instance.",
        }
    }

    /// Returns one sentence on what to change.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::AccountBlocked => {
                "Open a case with AWS Support for account and billing; until it is resolved, the \
                 account cannot launch anything."
            }
            Self::SpotQuota => {
                "Request a higher Spot quota for Amazon EC2 in Service Quotas, or add a capacity \
                 provider with On-Demand instances."
            }
            Self::VcpuQuota => {
                "Request a higher vCPU quota for Amazon EC2 in Service Quotas, or allow instance \
                 types that fall under another quota."
            }
            Self::FargateQuota => {
                "Stop unused tasks, or request a higher quota for AWS Fargate in Service Quotas."
            }
            Self::InstanceShortage => {
                "Allow more instance types and Availability Zones in the capacity provider, or \
                 retry later."
            }
            Self::InstanceTypes => {
                "Widen the instance requirements of the capacity provider: instance types, CPU, \
                 memory, accelerators, Availability Zones."
            }
            Self::AttributeMissing => {
                "Compare requiresAttributes of the task definition with the attributes of the \
                 instance; then update the agent, its configuration or the AMI, or change the task \
                 definition."
            }
            Self::ConstraintUnmet => {
                "Correct the placement constraints of the service or task definition, or add an \
                 instance that satisfies them."
            }
            Self::PortTaken => {
                "Let ECS choose the port (hostPort 0), use the awsvpc network mode, or add \
                 instances."
            }
            Self::AgentDisconnected => {
                "Restart the agent on the instance, and check its log, its instance role and its \
                 network path to Amazon ECS."
            }
            Self::CpuShortage => {
                "Add or enlarge container instances, or lower the CPU of the task definition."
            }
            Self::MemoryShortage => {
                "Add or enlarge container instances, or lower the memory of the task definition; \
                 during a deployment, old and new tasks share an instance."
            }
            Self::GpuShortage => {
                "Add container instances with GPUs, or let the deployment stop the old task first \
                 (minimumHealthyPercent 0)."
            }
            Self::NoInstances => {
                "Check that the Auto Scaling group or capacity provider launches instances, and \
                 that their agents can reach Amazon ECS and register with this cluster."
            }
            Self::TagPolicy => {
                "Correct the tags that the service or task propagates, or the tag policy in AWS \
                 Organizations."
            }
            Self::DeniedByEc2 => {
                "Check the service-linked role AWSServiceRoleForECS, service control policies and, \
                 in a shared VPC, whether the subnet is still shared with the account; CloudTrail \
                 shows the denied call."
            }
            Self::NetworkPlugin => {
                "Update the ECS agent and the AMI of the instance, and read the agent's log on it."
            }
            Self::InternalError => {
                "Let ECS retry; if the event repeats, open a case with AWS Support."
            }
            Self::NoInstanceFits => {
                "Read the whole service event: what follows `closest matching` names the missing \
                 requirement."
            }
            Self::NotLaunched => {
                "Read the next service events, which give the reason, and check the infrastructure \
                 role and instance profile of the capacity provider."
            }
        }
    }

    /// Returns a read-only command that shows more, if there is one.
    pub const fn command(self) -> Option<&'static str> {
        match self {
            Self::SpotQuota | Self::VcpuQuota => {
                Some("aws service-quotas list-service-quotas --service-code ec2")
            }
            Self::FargateQuota => {
                Some("aws service-quotas list-service-quotas --service-code fargate")
            }
            Self::InstanceShortage | Self::InstanceTypes | Self::NotLaunched => {
                Some("aws ecs describe-capacity-providers --include TAGS")
            }
            Self::AttributeMissing => Some(
                "aws ecs describe-task-definition --task-definition TASK_DEFINITION --query \
                 taskDefinition.requiresAttributes",
            ),
            Self::PortTaken
            | Self::AgentDisconnected
            | Self::CpuShortage
            | Self::MemoryShortage
            | Self::GpuShortage
            | Self::NoInstances
            | Self::NoInstanceFits => Some(
                "aws ecs list-container-instances --cluster CLUSTER --query containerInstanceArns",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Refusal; 20] = [
        Refusal::AccountBlocked,
        Refusal::SpotQuota,
        Refusal::VcpuQuota,
        Refusal::FargateQuota,
        Refusal::InstanceShortage,
        Refusal::InstanceTypes,
        Refusal::AttributeMissing,
        Refusal::ConstraintUnmet,
        Refusal::PortTaken,
        Refusal::AgentDisconnected,
        Refusal::CpuShortage,
        Refusal::MemoryShortage,
        Refusal::GpuShortage,
        Refusal::NoInstances,
        Refusal::TagPolicy,
        Refusal::DeniedByEc2,
        Refusal::NetworkPlugin,
        Refusal::InternalError,
        Refusal::NoInstanceFits,
        Refusal::NotLaunched,
    ];

    #[test]
    fn every_refusal_has_its_own_sentences() {
        let mut sentences: Vec<_> = ALL
            .iter()
            .flat_map(|refusal| [refusal.summary(), refusal.remedy()])
            .collect();
        for sentence in &sentences {
            assert!(
                sentence.ends_with('.') && !sentence.contains('\n'),
                "{sentence}"
            );
        }
        sentences.sort_unstable();
        sentences.dedup();
        assert_eq!(sentences.len(), 2 * ALL.len());
    }
}
