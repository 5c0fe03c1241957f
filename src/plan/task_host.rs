//! Where a task runs, and so whose network interface, security group and role start it.

use serde::{Deserialize, Serialize};

/// A launch type, as `requiresCompatibilities` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LaunchType {
    /// AWS Fargate.
    Fargate,
    /// Container instances in Amazon EC2.
    Ec2,
    /// Machines outside AWS (ECS Anywhere).
    External,
    /// Instances in Amazon EC2 that ECS manages.
    ManagedInstances,
}

impl LaunchType {
    /// Returns the launch type of this name.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "FARGATE" => Self::Fargate,
            "EC2" => Self::Ec2,
            "EXTERNAL" => Self::External,
            "MANAGED_INSTANCES" => Self::ManagedInstances,
            _ => return None,
        })
    }

    /// Returns the name for sentences.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fargate => "Fargate",
            Self::Ec2 => "EC2",
            Self::External => "external",
            Self::ManagedInstances => "ECS Managed Instances",
        }
    }
}

/// Where a task can run, according to its task definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskHost {
    /// Launch types that the task definition allows; empty if it does not say.
    #[serde(default)]
    pub launch_types: Vec<LaunchType>,
    /// Whether the task has its own network interface (the network mode awsvpc).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_own_interface: bool,
    /// Whether the instance's role pulls and logs, because there is no task execution role.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uses_instance_role: bool,
    /// Whether the task definition leaves the platform to the instance.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_unknown_platform: bool,
}

impl Default for TaskHost {
    /// Returns that of a task without a task definition: Fargate.
    fn default() -> Self {
        Self {
            launch_types: vec![LaunchType::Fargate],
            has_own_interface: true,
            uses_instance_role: false,
            has_unknown_platform: false,
        }
    }
}

impl TaskHost {
    /// Whether the task runs on an instance, on which the container agent starts it.
    pub fn is_instance(&self) -> bool {
        !self.launch_types.is_empty() && !self.launch_types.contains(&LaunchType::Fargate)
    }

    /// Returns the names of the launch types, as in a sentence.
    pub fn launch_type_names(&self) -> String {
        let names: Vec<_> = self.launch_types.iter().map(|one| one.name()).collect();
        names.join(" or ")
    }

    /// Whether the task definition allows this launch type.
    pub fn allows(&self, launch_type: LaunchType) -> bool {
        self.launch_types.contains(&launch_type)
    }

    /// Whether the task may run on Fargate or on an instance.
    pub fn is_unknown(&self) -> bool {
        !self.is_instance() && self.launch_types != [LaunchType::Fargate]
    }
}
