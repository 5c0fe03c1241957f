//! Values of `plan`'s types on the command line: the plan itself does not depend on clap.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::network_location::IpFamily;
use crate::plan::requirements::PlanPart;
use crate::plan::{AwsSidecar, Expect};

impl ValueEnum for Expect {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Any, Self::Private]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Any => ("any", "Public or private addresses"),
            Self::Private => (
                "private",
                "Private addresses, for services with interface VPC endpoints",
            ),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

impl ValueEnum for IpFamily {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Ipv4 => "IPv4 only",
            Self::DualStack => "IPv4 and IPv6; ECS starts the task over IPv4",
            Self::Ipv6 => "IPv6 only; ECS uses the dual-stack names of AWS services",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

impl ValueEnum for AwsSidecar {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::GuardDuty]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let Self::GuardDuty = self;
        let help = "Security agent of GuardDuty Runtime Monitoring";
        Some(PossibleValue::new("guardduty").help(help))
    }
}

impl ValueEnum for PlanPart {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Contacts,
            Self::Endpoints,
            Self::SecurityGroups,
            Self::NetworkAcls,
            Self::Notes,
            Self::TaskRolePolicy,
            Self::ExecutionRolePolicy,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Contacts => ("contacts", "Targets, and the checks on each"),
            Self::Endpoints => ("endpoints", "VPC endpoints, and hosts without one"),
            Self::SecurityGroups => (
                "security-groups",
                "Security group rules of tasks, interface endpoints and mount targets",
            ),
            Self::NetworkAcls => ("network-acls", "Network ACL rules, in both directions"),
            Self::Notes => ("notes", "Notes on DNS, Regions and accounts"),
            Self::TaskRolePolicy => (
                "task-role-policy",
                "Least-privilege policy of the task role",
            ),
            Self::ExecutionRolePolicy => (
                "policy",
                "Least-privilege policy of the task execution role",
            ),
        };
        Some(PossibleValue::new(name).help(help))
    }
}
