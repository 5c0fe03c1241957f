//! The parts of Amazon ECS's requests and responses that are used here, named as in the API
//! reference. Members that ECS omits are empty.

#![expect(clippy::struct_field_names, reason = "the names of the API reference")]

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::aws::{CallError, Client};
use super::error::OperatorError;
use crate::arn::Arn;

/// `DescribeServices`.
#[derive(Debug, Serialize)]
pub struct DescribeServicesRequest<'a> {
    pub cluster: &'a str,
    pub services: [&'a str; 1],
}

/// Response of `DescribeServices`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DescribeServicesResponse {
    pub services: Vec<EcsService>,
}

/// A service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EcsService {
    pub service_arn: Option<String>,
    pub service_name: Option<String>,
    pub status: Option<String>,
    pub task_definition: Option<String>,
    pub enable_execute_command: bool,
    #[serde(flatten)]
    pub placement: TaskPlacement,
    pub deployments: Vec<Deployment>,
    /// Used by the deployment controllers CODE_DEPLOY and EXTERNAL, which leave the service's own
    /// members empty.
    pub task_sets: Vec<Deployment>,
    /// The revisions that have running or requested tasks: one, or two during a deployment.
    pub current_service_revisions: Vec<CurrentServiceRevision>,
}

impl EcsService {
    /// Returns its deployments and task sets, the primary one first.
    fn rollouts(&self) -> impl Iterator<Item = &Deployment> {
        let all = || self.deployments.iter().chain(&self.task_sets);
        let is_primary = |rollout: &&Deployment| rollout.status.as_deref() == Some("PRIMARY");
        all().filter(is_primary).chain(all())
    }

    fn placements(&self) -> impl Iterator<Item = &TaskPlacement> {
        std::iter::once(&self.placement).chain(self.rollouts().map(|rollout| &rollout.placement))
    }

    /// Returns the subnets and security groups of its tasks.
    pub fn network(&self) -> Option<&AwsVpcConfiguration> {
        self.placements().find_map(|placement| {
            let network = placement.network_configuration.as_ref()?;
            network.awsvpc_configuration.as_ref()
        })
    }

    /// Returns the ARN of its task definition.
    pub fn task_definition(&self) -> Option<&str> {
        self.task_definition.as_deref().or_else(|| {
            self.rollouts()
                .find_map(|rollout| rollout.task_definition.as_deref())
        })
    }

    /// Returns the launch type or capacity providers of its tasks.
    pub fn placement(&self) -> &TaskPlacement {
        let is_set = |placement: &&TaskPlacement| {
            placement.launch_type.is_some() || !placement.capacity_provider_strategy.is_empty()
        };
        self.placements().find(is_set).unwrap_or(&self.placement)
    }

    /// Whether AWS adds the Service Connect proxy to its tasks.
    pub fn uses_service_connect(&self) -> bool {
        let configuration = self
            .rollouts()
            .find_map(|rollout| rollout.service_connect_configuration.as_ref());
        configuration.is_some_and(|configuration| configuration.enabled)
    }
}

/// `ServiceCurrentRevisionSummary`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CurrentServiceRevision {
    pub arn: String,
    pub requested_task_count: i64,
}

/// `ListServiceDeployments`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListServiceDeploymentsRequest<'a> {
    pub cluster: &'a str,
    pub service: &'a str,
    pub status: [&'static str; 3],
}

/// Response of `ListServiceDeployments`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListServiceDeploymentsResponse {
    pub service_deployments: Vec<ServiceDeployment>,
}

/// `ServiceDeploymentBrief`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceDeployment {
    pub target_service_revision_arn: Option<String>,
    /// Seconds since 1970.
    pub created_at: f64,
}

/// `DescribeServiceRevisions`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeServiceRevisionsRequest {
    pub service_revision_arns: Vec<String>,
}

/// Response of `DescribeServiceRevisions`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeServiceRevisionsResponse {
    pub service_revisions: Vec<ServiceRevision>,
}

/// `ServiceRevision`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceRevision {
    /// ARN.
    pub task_definition: Option<String>,
    pub container_images: Vec<ContainerImage>,
    /// Whether Runtime Monitoring of GuardDuty adds its agent to the tasks.
    pub guard_duty_enabled: bool,
    /// Seconds since 1970.
    pub created_at: f64,
}

/// `ContainerImage`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerImage {
    pub container_name: String,
    /// Missing if the container's `versionConsistency` is `disabled`.
    pub image_digest: Option<String>,
}

/// A deployment, or a task set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployment {
    pub status: Option<String>,
    pub task_definition: Option<String>,
    #[serde(flatten)]
    pub placement: TaskPlacement,
    pub service_connect_configuration: Option<ServiceConnectConfiguration>,
}

/// The members of services, deployments and task sets that determine where tasks run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskPlacement {
    pub network_configuration: Option<NetworkConfiguration>,
    pub launch_type: Option<String>,
    pub capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    pub platform_version: Option<String>,
}

/// `CapacityProviderStrategyItem`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityProviderStrategyItem {
    pub capacity_provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<i64>,
}

/// `NetworkConfiguration`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkConfiguration {
    pub awsvpc_configuration: Option<AwsVpcConfiguration>,
}

/// `AwsVpcConfiguration`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AwsVpcConfiguration {
    pub subnets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// `ENABLED` or `DISABLED`.
    pub assign_public_ip: Option<String>,
}

/// `ServiceConnectConfiguration`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ServiceConnectConfiguration {
    pub enabled: bool,
}

/// `RegisterTaskDefinition`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisterTaskDefinitionRequest<'a> {
    pub family: String,
    pub requires_compatibilities: [&'static str; 1],
    pub network_mode: &'static str,
    pub cpu: &'static str,
    pub memory: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_platform: Option<RuntimePlatform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<&'a str>,
    pub container_definitions: [ProbeContainer<'a>; 1],
    pub tags: Vec<Tag>,
}

/// The container definition of the probe.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeContainer<'a> {
    pub name: &'static str,
    pub image: &'a str,
    pub essential: bool,
    pub readonly_root_filesystem: bool,
}

/// `RuntimePlatform`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimePlatform {
    pub cpu_architecture: String,
    pub operating_system_family: String,
}

/// `DescribeTaskDefinition`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeTaskDefinitionRequest<'a> {
    pub task_definition: &'a str,
}

/// Response of `DescribeTaskDefinition` and `RegisterTaskDefinition`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskDefinitionResponse {
    /// Unparsed, because [`crate::plan::task_definition`] reads it whole.
    pub task_definition: Value,
}

/// The members of a registered task definition that `launch` compares or uses.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskDefinition {
    pub task_definition_arn: Option<String>,
    pub status: Option<String>,
    pub revision: Option<i64>,
    /// Seconds since 1970.
    pub registered_at: Option<f64>,
    pub execution_role_arn: Option<String>,
    pub task_role_arn: Option<String>,
    pub network_mode: Option<String>,
    pub runtime_platform: Option<RuntimePlatform>,
    pub container_definitions: Vec<ContainerDefinition>,
}

/// `ContainerDefinition`: name, image, and the members that change what the container does.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerDefinition {
    pub name: String,
    pub image: String,
    pub log_configuration: Option<Value>,
    pub entry_point: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
    pub environment: Option<Vec<Value>>,
    pub secrets: Option<Vec<Value>>,
}

impl TaskDefinition {
    /// Reads the member `taskDefinition` of a response. Returns `None` if it does not have the
    /// API's format.
    pub fn read(definition: &Value) -> Option<Self> {
        Self::deserialize(definition).ok()
    }
}

/// `DeregisterTaskDefinition`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeregisterTaskDefinitionRequest<'a> {
    pub task_definition: &'a str,
}

/// `RunTask`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunTaskRequest {
    pub cluster: String,
    pub task_definition: String,
    pub count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_configuration: Option<NetworkConfiguration>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub placement_constraints: Vec<PlacementConstraint>,
    pub overrides: TaskOverride,
    pub started_by: String,
    pub tags: Vec<Tag>,
    pub client_token: String,
}

/// `PlacementConstraint`.
#[derive(Debug, Clone, Serialize)]
pub struct PlacementConstraint {
    /// `memberOf`.
    pub r#type: &'static str,
    /// In the cluster query language.
    pub expression: String,
}

/// `TaskOverride` of a request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskOverride {
    pub container_overrides: Vec<ContainerOverride>,
}

/// `ContainerOverride`.
#[derive(Debug, Clone, Serialize)]
pub struct ContainerOverride {
    pub name: &'static str,
    pub environment: Vec<KeyValuePair>,
}

/// `KeyValuePair`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyValuePair {
    pub name: String,
    pub value: String,
}

/// `StopTask`.
#[derive(Debug, Serialize)]
pub struct StopTaskRequest<'a> {
    pub cluster: &'a str,
    pub task: &'a str,
    pub reason: &'a str,
}

/// `DescribeTasks`.
#[derive(Debug, Serialize)]
pub struct DescribeTasksRequest<'a> {
    pub cluster: &'a str,
    /// IDs or ARNs, at most [`MAX_DESCRIBED_TASKS`].
    pub tasks: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub include: &'a [&'static str],
}

/// Maximum number of tasks in one `DescribeTasks`, and in one page of `ListTasks` (ECS API
/// reference).
pub const MAX_DESCRIBED_TASKS: usize = 100;

/// Response of `RunTask` and `DescribeTasks`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TasksResponse {
    /// Unparsed, because [`crate::explain::tasks`] reads them whole.
    pub tasks: Vec<Value>,
    pub failures: Vec<EcsFailure>,
}

/// `Failure`: why a response with status 200 lacks a task.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EcsFailure {
    pub arn: Option<String>,
    pub reason: Option<String>,
    pub detail: Option<String>,
}

impl fmt::Display for EcsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = [self.reason.as_deref(), self.detail.as_deref()];
        f.write_str(&text.into_iter().flatten().collect::<Vec<_>>().join(": "))
    }
}

/// A task.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Task {
    pub task_arn: String,
    pub last_status: Option<String>,
    pub availability_zone: Option<String>,
    pub stop_code: Option<String>,
    pub started_by: Option<String>,
    pub task_definition_arn: Option<String>,
    /// The instance that it runs on.
    pub container_instance_arn: Option<String>,
    /// Seconds since 1970.
    pub created_at: Option<f64>,
    /// Seconds since 1970.
    pub started_at: Option<f64>,
    pub group: Option<String>,
    pub launch_type: Option<String>,
    pub capacity_provider_name: Option<String>,
    pub platform_version: Option<String>,
    pub enable_execute_command: bool,
    pub containers: Vec<Container>,
    pub attachments: Vec<Attachment>,
    pub overrides: AppliedOverrides,
    pub tags: Vec<Tag>,
}

/// `Container`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: String,
    pub exit_code: Option<i64>,
    pub reason: Option<String>,
}

/// `Attachment`, such as a task's network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Attachment {
    pub r#type: String,
    pub details: Vec<KeyValuePair>,
}

/// `TaskOverride` of a described task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppliedOverrides {
    pub execution_role_arn: Option<String>,
}

/// `Tag`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

impl Tag {
    pub fn new(key: &str, value: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            value: value.into(),
        }
    }
}

impl Task {
    /// Reads one task of a response. A task that does not have the API's format is read as empty:
    /// its status is then unknown, and the launch waits for the next response.
    pub fn read(task: &Value) -> Self {
        Self::deserialize(task).unwrap_or_default()
    }

    /// Returns a detail of its network interface, such as `subnetId` or `privateIPv4Address`.
    pub fn network_interface(&self, name: &str) -> Option<&str> {
        let interfaces = self
            .attachments
            .iter()
            .filter(|attachment| attachment.r#type == "ElasticNetworkInterface");
        interfaces
            .flat_map(|interface| &interface.details)
            .find(|detail| detail.name == name)
            .map(|detail| detail.value.as_str())
    }

    /// Returns the task ID, the last segment of its ARN.
    pub fn id(&self) -> &str {
        last_segment(&self.task_arn)
    }
}

/// `ListTasks`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListTasksRequest<'a> {
    pub cluster: &'a str,
    /// `RUNNING` or `STOPPED`.
    pub desired_status: &'static str,
    pub max_results: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// `ListTaskDefinitionFamilies` and `ListTaskDefinitions`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListTaskDefinitionsRequest<'a> {
    pub family_prefix: &'a str,
    /// `ACTIVE`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// `ListContainerInstances`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListContainerInstancesRequest<'a> {
    pub cluster: &'a str,
    /// `ACTIVE`.
    pub status: &'static str,
    pub max_results: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// `DescribeContainerInstances`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeContainerInstancesRequest<'a> {
    pub cluster: &'a str,
    /// At most 100.
    pub container_instances: &'a [String],
}

/// Response of `DescribeContainerInstances`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeContainerInstancesResponse {
    pub container_instances: Vec<ContainerInstance>,
}

/// `ContainerInstance`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerInstance {
    pub agent_connected: bool,
    pub capacity_provider_name: Option<String>,
    pub attributes: Vec<Attribute>,
}

/// `Attribute`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Attribute {
    pub name: String,
    pub value: Option<String>,
}

/// `DescribeCapacityProviders`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeCapacityProvidersRequest<'a> {
    pub capacity_providers: Vec<&'a str>,
    pub cluster: &'a str,
}

/// Response of `DescribeCapacityProviders`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeCapacityProvidersResponse {
    pub capacity_providers: Vec<CapacityProvider>,
}

/// `CapacityProvider`. Its `managedInstancesProvider` is unparsed, because only one of its lists is
/// used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityProvider {
    pub name: String,
    pub managed_instances_provider: Option<Value>,
}

/// Response of `ListTasks`, `ListContainerInstances`, `ListTaskDefinitions` and
/// `ListTaskDefinitionFamilies`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListResponse {
    #[serde(
        alias = "taskArns",
        alias = "containerInstanceArns",
        alias = "taskDefinitionArns",
        alias = "families"
    )]
    pub items: Vec<String>,
    pub next_token: Option<String>,
}

/// Returns the account ID of an ARN, or the placeholder `ACCOUNT` for a name that is not an ARN.
pub fn account_of(arn: &str) -> String {
    arn.parse::<Arn>()
        .map_or_else(|_| "ACCOUNT".to_owned(), |arn| arn.account)
}

/// Returns the text after the last slash: a name without its ARN.
pub fn last_segment(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Returns the first `bytes` bytes of the SHA-256 of `parts`, one part per line, as lower-case hex.
pub fn digest(parts: &[&str], bytes: usize) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    hex::encode(&digest[..bytes.min(digest.len())])
}

/// Says what to check if the cluster does not exist in this Region.
pub fn with_cluster_hint(error: CallError, cluster: &str, client: &Client) -> OperatorError {
    if error.code() == "ClusterNotFoundException" {
        let region = client.region();
        return OperatorError::Usage(format!(
            "Amazon ECS did not find cluster {cluster} in {region}; check --cluster and --region, and list the clusters with \
             `aws ecs list-clusters --region {region}`"
        ));
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn network_of_a_code_deploy_service_comes_from_its_task_set() {
        let service: EcsService = serde_json::from_value(json!({
            "serviceName": "web",
            "deployments": [],
            "taskSets": [{
                "status": "PRIMARY", "taskDefinition": "app:2", "launchType": "FARGATE",
                "networkConfiguration": {
                    "awsvpcConfiguration": { "subnets": ["subnet-a"], "securityGroups": ["sg-1"] }
                }
            }]
        }))
        .unwrap();
        assert_eq!(service.network().unwrap().subnets, ["subnet-a"]);
        assert_eq!(service.task_definition(), Some("app:2"));
        assert_eq!(service.placement().launch_type.as_deref(), Some("FARGATE"));
    }

    #[test]
    fn account_comes_from_an_arn_only() {
        let role = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole";
        assert_eq!(account_of(role), "123456789012");
        assert_eq!(account_of("pullprobe-0123456789abcdef"), "ACCOUNT");
    }
}
