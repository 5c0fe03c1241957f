//! The instances that tasks of EC2 capacity and of ECS Managed Instances run on, by their subnets.
//!
//! There an instance pulls images, reads secrets and writes logs through its own network interface
//! (Amazon ECS developer guide, "Allocate a network interface for tasks on Amazon ECS Managed
//! Instances"; amazon-ecs-agent), so its subnet is the one to probe, and not that of the task.

use std::collections::BTreeSet;

use crate::operator::aws::{Api, CallError};
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::{
    CapacityProviderStrategyItem, ContainerInstance, DescribeCapacityProvidersRequest,
    DescribeCapacityProvidersResponse, DescribeContainerInstancesRequest,
    DescribeContainerInstancesResponse, ListContainerInstancesRequest, ListResponse,
};
use crate::operator::error::OperatorError;
use crate::operator::paging::{Page, all_pages};
use crate::safe_text::write_stderr;

/// The attribute that the container agent gives every instance in a VPC (amazon-ecs-agent,
/// `agent/app/agent_capability.go`), by which a task is placed in a subnet.
pub const SUBNET_ATTRIBUTE: &str = "ecs.subnet-id";

/// Instances of one page, and of one `DescribeContainerInstances` (ECS API reference).
const PAGE_SIZE: usize = 100;

/// Maximum number of pages. A cluster has at most 5,000 instances (Amazon ECS service quotas).
const MAX_PAGES: usize = 50;

/// The capacity of a service on instances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceCapacity {
    /// Empty for the launch type EC2.
    pub strategy: Vec<CapacityProviderStrategyItem>,
    /// Whether ECS manages the instances.
    pub is_managed: bool,
    /// Subnets in which ECS starts managed instances.
    pub subnets: Vec<String>,
}

impl InstanceCapacity {
    /// Reads which kind of capacity the strategy names. If the operator may not read it, says so
    /// and takes it for an Auto Scaling group.
    pub async fn read(
        calls: &AwsCalls,
        cluster: &str,
        strategy: &[CapacityProviderStrategyItem],
    ) -> Self {
        let mut capacity = Self {
            strategy: strategy.to_vec(),
            ..Self::default()
        };
        if strategy.is_empty() {
            return capacity;
        }
        let request = DescribeCapacityProvidersRequest {
            capacity_providers: capacity.names().collect(),
            cluster,
        };
        let response: Result<DescribeCapacityProvidersResponse, CallError> = calls
            .read(Api::ECS, "DescribeCapacityProviders", &request)
            .await;
        let providers = match response {
            Ok(response) => response.capacity_providers,
            Err(error) => {
                let hint = error.denial_hint("*");
                write_stderr(&format!(
                    "pullprobe: the capacity provider is assumed to be that of an Auto Scaling group: {}",
                    hint.unwrap_or_else(|| error.to_string())
                ));
                return capacity;
            }
        };
        let managed: Vec<_> = providers
            .iter()
            .filter(|provider| {
                strategy
                    .iter()
                    .any(|item| item.capacity_provider == provider.name)
            })
            .filter_map(|provider| provider.managed_instances_provider.as_ref())
            .collect();
        capacity.is_managed = !managed.is_empty();
        let subnets = managed.iter().filter_map(|provider| {
            provider["instanceLaunchTemplate"]["networkConfiguration"]["subnets"].as_array()
        });
        capacity.subnets = subnets
            .flatten()
            .filter_map(|subnet| subnet.as_str().map(str::to_owned))
            .collect();
        capacity
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.strategy
            .iter()
            .map(|item| item.capacity_provider.as_str())
    }

    /// Returns the subnets to probe: those in which ECS starts managed instances, else those of the
    /// instances in the cluster, or only that of `instance`.
    ///
    /// # Errors
    ///
    /// Fails if there are none, with what to do.
    pub async fn subnets(
        &self,
        calls: &AwsCalls,
        cluster: &str,
        instance: Option<&String>,
    ) -> Result<Vec<String>, OperatorError> {
        if instance.is_none() && !self.subnets.is_empty() {
            return Ok(self.subnets.clone());
        }
        let arns = match instance {
            Some(arn) => vec![arn.clone()],
            None => list(calls, cluster).await?,
        };
        let mut subnets = BTreeSet::new();
        for some in arns.chunks(PAGE_SIZE) {
            let request = DescribeContainerInstancesRequest {
                cluster,
                container_instances: some,
            };
            let response: DescribeContainerInstancesResponse = calls
                .read(Api::ECS, "DescribeContainerInstances", &request)
                .await?;
            let usable = response.container_instances.into_iter();
            let usable = usable.filter(|found| instance.is_some() || self.can_run_on(found));
            subnets.extend(usable.filter_map(|found| subnet_of(&found)));
        }
        if subnets.is_empty() {
            return Err(OperatorError::Usage(format!(
                "cluster {cluster} has no container instance with a connected agent on which these tasks could run, so no \
                 subnet is known. {}",
                no_instance_hint(cluster)
            )));
        }
        Ok(subnets.into_iter().collect())
    }

    fn can_run_on(&self, instance: &ContainerInstance) -> bool {
        let provider = instance.capacity_provider_name.as_deref();
        let is_of_strategy =
            self.strategy.is_empty() || self.names().any(|name| Some(name) == provider);
        instance.agent_connected && is_of_strategy
    }
}

fn subnet_of(instance: &ContainerInstance) -> Option<String> {
    let mut attributes = instance.attributes.iter();
    attributes
        .find(|attribute| attribute.name == SUBNET_ATTRIBUTE)?
        .value
        .clone()
}

async fn list(calls: &AwsCalls, cluster: &str) -> Result<Vec<String>, CallError> {
    all_pages(
        Api::ECS,
        "ListContainerInstances",
        MAX_PAGES,
        async |next_token| {
            let request = ListContainerInstancesRequest {
                cluster,
                status: "ACTIVE",
                max_results: PAGE_SIZE,
                next_token,
            };
            let page: ListResponse = calls
                .read(Api::ECS, "ListContainerInstances", &request)
                .await?;
            Ok(Page {
                items: page.items,
                next_token: page.next_token,
            })
        },
    )
    .await
}

/// Returns what to do where no instance can run the probe.
pub fn no_instance_hint(cluster: &str) -> String {
    format!(
        "Start one there, or pass the subnets of others with --subnets (aws ecs list-attributes --cluster {cluster} \
         --target-type container-instance --attribute-name {SUBNET_ATTRIBUTE}). Without an instance, --subnets with \
         --security-groups probes the subnet from a Fargate task; where one runs and ECS cannot use it, run \
         `pullprobe probe` on it"
    )
}

/// Whether ECS placed no task because no instance is in the subnet that the request asks for.
pub fn is_without_instance(reason: &str) -> bool {
    // Amazon ECS developer guide, "Amazon ECS API failure reasons".
    [
        "placement constraint unsatisfied",
        "No Container Instances",
        "NO ACTIVE INSTANCES",
    ]
    .iter()
    .any(|known| reason.contains(known))
}
