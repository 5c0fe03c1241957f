//! What Amazon ECS answers, as far as `launch` and `gc` read it. Names and shapes are those of the
//! API reference.

#![expect(clippy::struct_field_names, reason = "the API's names")]

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// `DescribeServices`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Services {
    pub services: Vec<Service>,
}

/// A service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    pub service_name: Option<String>,
    pub status: Option<String>,
    pub task_definition: Option<String>,
    pub enable_execute_command: bool,
    #[serde(flatten)]
    pub placed: Placed,
    pub deployments: Vec<Deployment>,
    /// Of the deployment controllers CODE_DEPLOY and EXTERNAL, which leave the service's own
    /// members empty.
    pub task_sets: Vec<Deployment>,
}

impl Service {
    /// Its deployments and task sets, the one that is to stay first.
    fn rollouts(&self) -> impl Iterator<Item = &Deployment> {
        let all = || self.deployments.iter().chain(&self.task_sets);
        let is_primary = |rollout: &&Deployment| rollout.status.as_deref() == Some("PRIMARY");
        all().filter(is_primary).chain(all())
    }

    /// The subnets and security groups of its tasks.
    pub fn network(&self) -> Option<&Awsvpc> {
        let placed =
            std::iter::once(&self.placed).chain(self.rollouts().map(|rollout| &rollout.placed));
        placed.into_iter().find_map(|placed| {
            placed
                .network_configuration
                .as_ref()?
                .awsvpc_configuration
                .as_ref()
        })
    }

    /// Its task definition's ARN.
    pub fn definition(&self) -> Option<&str> {
        self.task_definition.as_deref().or_else(|| {
            self.rollouts()
                .find_map(|rollout| rollout.task_definition.as_deref())
        })
    }

    /// How its tasks are placed.
    pub fn placed(&self) -> &Placed {
        let says = |placed: &&Placed| {
            placed.launch_type.is_some() || !placed.capacity_provider_strategy.is_empty()
        };
        let mut placed =
            std::iter::once(&self.placed).chain(self.rollouts().map(|rollout| &rollout.placed));
        placed.find(says).unwrap_or(&self.placed)
    }

    /// Whether AWS adds the proxy of Service Connect to its tasks.
    pub fn connects(&self) -> bool {
        let configuration = self
            .rollouts()
            .find_map(|rollout| rollout.service_connect_configuration.as_ref());
        configuration.is_some_and(|configuration| configuration.enabled)
    }
}

/// A deployment, or a task set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployment {
    pub status: Option<String>,
    pub task_definition: Option<String>,
    #[serde(flatten)]
    pub placed: Placed,
    pub service_connect_configuration: Option<ServiceConnect>,
}

/// How and where tasks are placed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Placed {
    pub network_configuration: Option<NetworkConfiguration>,
    pub launch_type: Option<String>,
    pub capacity_provider_strategy: Vec<Value>,
    pub platform_version: Option<String>,
}

/// `networkConfiguration`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkConfiguration {
    pub awsvpc_configuration: Option<Awsvpc>,
}

/// `awsvpcConfiguration`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Awsvpc {
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub assign_public_ip: Option<String>,
}

/// `serviceConnectConfiguration`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ServiceConnect {
    pub enabled: bool,
}

/// `DescribeTaskDefinition` and `RegisterTaskDefinition`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribedDefinition {
    pub task_definition: Value,
}

/// `RunTask` and `DescribeTasks`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tasks {
    pub tasks: Vec<Value>,
    pub failures: Vec<Unmet>,
}

/// Why a 200 answer lacks a task.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Unmet {
    pub arn: Option<String>,
    pub reason: Option<String>,
    pub detail: Option<String>,
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [self.reason.as_deref(), self.detail.as_deref()];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(": "))
    }
}

/// A task, as far as it is watched.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Task {
    pub task_arn: String,
    pub cluster_arn: Option<String>,
    pub last_status: Option<String>,
    pub availability_zone: Option<String>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub started_by: Option<String>,
    pub task_definition_arn: Option<String>,
    pub created_at: Option<f64>,
    pub started_at: Option<f64>,
    pub group: Option<String>,
    pub launch_type: Option<String>,
    pub capacity_provider_name: Option<String>,
    pub platform_version: Option<String>,
    pub enable_execute_command: bool,
    pub containers: Vec<Container>,
    pub attachments: Vec<Attachment>,
    pub overrides: Overrides,
    pub tags: Vec<Tag>,
}

/// A task's container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: String,
    pub exit_code: Option<i64>,
    pub reason: Option<String>,
}

/// A task's network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Attachment {
    pub r#type: String,
    pub details: Vec<Detail>,
}

/// A member of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Detail {
    pub name: String,
    pub value: String,
}

/// `overrides` of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Overrides {
    pub execution_role_arn: Option<String>,
}

/// A tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

impl Task {
    /// Reads one of `DescribeTasks`'s answers.
    pub fn read(task: &Value) -> Self {
        Self::deserialize(task).unwrap_or_default()
    }

    /// A detail of its network interface: `subnetId`, `privateIPv4Address`.
    pub fn interface(&self, name: &str) -> Option<&str> {
        let interfaces = self
            .attachments
            .iter()
            .filter(|attachment| attachment.r#type == "ElasticNetworkInterface");
        let details = interfaces.flat_map(|interface| &interface.details);
        details
            .into_iter()
            .find(|detail| detail.name == name)
            .map(|detail| detail.value.as_str())
    }

    /// The last part of its ARN.
    pub fn id(&self) -> &str {
        self.task_arn.rsplit('/').next().unwrap_or_default()
    }
}

/// `ListTasks`, `ListTaskDefinitions`, `ListTaskDefinitionFamilies`: one of the lists, and the next
/// page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Page {
    #[serde(alias = "taskArns", alias = "taskDefinitionArns")]
    pub families: Vec<String>,
    pub next_token: Option<String>,
}

/// The cluster that a task's or a service's ARN names, in the form of ARNs since 2018:
/// `…:task/CLUSTER/ID`.
pub fn cluster_of(arn: &str) -> Option<&str> {
    let mut parts = arn
        .strip_prefix("arn:")?
        .split(':')
        .nth(4)?
        .split('/')
        .skip(1);
    let cluster = parts.next()?;
    parts.next().map(|_| cluster)
}

/// The account that an ARN names; where there is none, the word that stands for it.
pub fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or("ACCOUNT")
}

/// The beginning of a text's SHA-256, in hexadecimal digits.
pub fn digest(parts: &[&str], bytes: usize) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(parts.join("\n"));
    digest
        .iter()
        .take(bytes)
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_arn_says_in_which_cluster_its_task_is() {
        let arn =
            "arn:aws-cn:ecs:cn-north-1:123456789012:task/prod/0123456789abcdef0123456789abcdef";
        assert_eq!(cluster_of(arn), Some("prod"));
        assert_eq!(
            cluster_of("arn:aws:ecs:eu-west-1:123456789012:service/prod/web"),
            Some("prod")
        );
        assert_eq!(
            cluster_of("arn:aws:ecs:eu-west-1:123456789012:task/0123456789abcdef"),
            None
        );
    }

    #[test]
    fn a_service_of_code_deploy_has_its_network_in_its_task_set() {
        let service: Service = serde_json::from_value(json!({ "serviceName": "web", "deployments": [],
            "taskSets": [{ "status": "PRIMARY", "taskDefinition": "app:2", "launchType": "FARGATE", "networkConfiguration":
                { "awsvpcConfiguration": { "subnets": ["subnet-a"], "securityGroups": ["sg-1"] } } }] }))
        .unwrap();
        assert_eq!(service.network().unwrap().subnets, ["subnet-a"]);
        assert_eq!(service.definition(), Some("app:2"));
        assert_eq!(service.placed().launch_type.as_deref(), Some("FARGATE"));
    }
}
