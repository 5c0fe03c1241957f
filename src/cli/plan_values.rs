//! Values of `plan`'s types on the command line: the plan itself does not depend on clap.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::plan::requirements::PlanPart;
use crate::plan::{AwsSidecar, Expect};

impl ValueEnum for Expect {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Any, Self::Private]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Any => ("any", "Whatever works"),
            Self::Private => ("private", "Addresses inside the VPC"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

impl ValueEnum for AwsSidecar {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::GuardDuty]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let Self::GuardDuty = self;
        let help = "The security agent of GuardDuty Runtime Monitoring";
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
            Self::Contacts => ("contacts", "The hosts and what is tried of them"),
            Self::Endpoints => (
                "endpoints",
                "VPC endpoints, and the hosts that none leads to",
            ),
            Self::SecurityGroups => (
                "security-groups",
                "Rules of the security groups of tasks, endpoints and mount targets",
            ),
            Self::NetworkAcls => ("network-acls", "Rules of network ACLs, in both directions"),
            Self::Notes => ("notes", "What else has to be known"),
            Self::TaskRolePolicy => ("task-role-policy", "The least policy of the task role"),
            Self::ExecutionRolePolicy => ("policy", "The least policy of the execution role"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}
