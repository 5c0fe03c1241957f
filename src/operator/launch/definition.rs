//! The probe's task definition: registered once for each image, role and architecture, then reused.

use serde_json::Value;

use crate::operator::aws::{Api, CallError};
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::{
    DescribeTaskDefinitionRequest, ListResponse, ListTaskDefinitionsRequest, ProbeContainer,
    RegisterTaskDefinitionRequest, RuntimePlatform, Tag, TaskDefinition, TaskDefinitionResponse,
    digest,
};

/// Prefix of the families that `launch` registers, by which `gc` finds them.
pub const FAMILY_PREFIX: &str = "pullprobe-";

/// Name of the probe's container, which is also part of its log stream's name.
pub const CONTAINER: &str = "pullprobe";

/// The inputs of the probe's task definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeDefinition {
    /// The probe's image.
    pub image: String,
    /// The target's task execution role, by name or ARN. On instances a target may have none; the
    /// role of the instance then pulls.
    pub role: Option<String>,
    /// `X86_64` or `ARM64`; `None` leaves it to the instance.
    pub architecture: Option<&'static str>,
    pub host: ProbeHost,
}

/// What the probe's task runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeHost {
    Fargate,
    Instance,
    ManagedInstance,
}

impl ProbeHost {
    /// Returns the launch type, for `requiresCompatibilities`.
    const fn compatibility(self) -> &'static str {
        match self {
            Self::Fargate => "FARGATE",
            Self::Instance => "EC2",
            Self::ManagedInstance => "MANAGED_INSTANCES",
        }
    }

    /// Returns the network mode. Instances pull through their own network interface, which a task
    /// shares in the mode `host`.
    const fn network_mode(self) -> &'static str {
        match self {
            Self::Fargate => "awsvpc",
            Self::Instance | Self::ManagedInstance => "host",
        }
    }

    /// Returns CPU units and memory in MiB. The probe needs a tenth of this memory; an instance may
    /// have little left.
    const fn size(self) -> (&'static str, &'static str) {
        match self {
            Self::Fargate | Self::ManagedInstance => ("256", "512"),
            Self::Instance => ("128", "128"),
        }
    }
}

/// The image of the probe in a task definition that an earlier launch registered.
#[derive(Debug)]
pub struct RegisteredImage {
    pub image: String,
    /// `FAMILY:REVISION`.
    pub task_definition: String,
}

impl ProbeDefinition {
    /// Returns the family: `pullprobe-` and 16 hexadecimal digits of image, role and architecture.
    pub fn family(&self) -> String {
        let mut parts = vec![
            self.image.as_str(),
            self.role(),
            self.architecture.unwrap_or_default(),
        ];
        if self.host != ProbeHost::Fargate {
            parts.push(self.host.compatibility());
        }
        format!("{FAMILY_PREFIX}{}", digest(&parts, 8))
    }

    /// Returns the target's task execution role; empty without one.
    pub fn role(&self) -> &str {
        self.role.as_deref().unwrap_or_default()
    }

    /// Returns the request that registers it.
    ///
    /// It has no log driver: without a path to CloudWatch Logs the driver would keep the probe from
    /// starting. The execution role is also the task role, because a container never gets the
    /// execution role's credentials, and the execution role is what the probe tests. Without one,
    /// the probe uses the role of the instance, as the instance does.
    pub fn request(&self) -> RegisterTaskDefinitionRequest<'_> {
        let (cpu, memory) = self.host.size();
        RegisterTaskDefinitionRequest {
            family: self.family(),
            requires_compatibilities: [self.host.compatibility()],
            network_mode: self.host.network_mode(),
            cpu,
            memory,
            runtime_platform: self.architecture.map(|architecture| RuntimePlatform {
                cpu_architecture: architecture.to_owned(),
                operating_system_family: "LINUX".to_owned(),
            }),
            execution_role_arn: self.role.as_deref(),
            task_role_arn: self.role.as_deref(),
            container_definitions: [ProbeContainer {
                name: CONTAINER,
                image: &self.image,
                essential: true,
                readonly_root_filesystem: true,
            }],
            tags: vec![Tag::new("purpose", "image pull rehearsal")],
        }
    }

    /// Whether a registered task definition is equivalent to this one. The family alone does not
    /// prove it: other tools can register revisions of it.
    fn matches(&self, registered: &TaskDefinition) -> bool {
        let [container] = registered.container_definitions.as_slice() else {
            return false;
        };
        let architecture = registered
            .runtime_platform
            .as_ref()
            .map(|platform| platform.cpu_architecture.as_str());
        let role = self.role.as_deref();
        let is_unset = |list: Option<usize>| list.is_none_or(|len| len == 0);
        registered.execution_role_arn.as_deref() == role
            && registered.task_role_arn.as_deref() == role
            && registered.network_mode.as_deref() == Some(self.host.network_mode())
            && architecture == self.architecture
            && registered.status.as_deref() != Some("INACTIVE")
            && container.name == CONTAINER
            && container.image == self.image
            && container.log_configuration.is_none()
            && is_unset(container.entry_point.as_ref().map(Vec::len))
            && is_unset(container.command.as_ref().map(Vec::len))
            && is_unset(container.environment.as_ref().map(Vec::len))
            && is_unset(container.secrets.as_ref().map(Vec::len))
    }

    /// Returns the ARN of the registered task definition, and registers it first if necessary. A
    /// dry run registers nothing and returns the family.
    pub async fn register(&self, calls: &AwsCalls) -> Result<String, CallError> {
        let family = self.family();
        if let Some(registered) = describe(calls, &family).await?
            && let Some(registered) = TaskDefinition::read(&registered)
            && self.matches(&registered)
            && let Some(arn) = registered.task_definition_arn
        {
            return Ok(arn);
        }
        let response: Option<TaskDefinitionResponse> = calls
            .change(Api::ECS, "RegisterTaskDefinition", &self.request())
            .await?;
        let arn = response
            .and_then(|response| TaskDefinition::read(&response.task_definition))
            .and_then(|registered| registered.task_definition_arn);
        Ok(arn.unwrap_or(family))
    }
}

/// Reads a task definition. Returns `None` if ECS does not find it, which is a `ClientException`.
pub async fn describe(calls: &AwsCalls, name: &str) -> Result<Option<Value>, CallError> {
    let request = DescribeTaskDefinitionRequest {
        task_definition: name,
    };
    let response: Result<TaskDefinitionResponse, _> = calls
        .read(Api::ECS, "DescribeTaskDefinition", &request)
        .await;
    match response {
        Ok(response) => Ok(Some(response.task_definition)),
        Err(error) if error.code() == "ClientException" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Maximum number of families that are searched for a registered image: each takes one call.
const MAX_FAMILIES: usize = 10;

/// Returns the image of the probe that was registered last. Returns `None` if there is none, and
/// also if the operator may not list task definitions, because a flag can name the image.
pub async fn last_registered_image(calls: &AwsCalls) -> Option<RegisteredImage> {
    let request = ListTaskDefinitionsRequest {
        family_prefix: "pullprobe",
        status: "ACTIVE",
        max_results: Some(MAX_FAMILIES),
        next_token: None,
    };
    let families: ListResponse = calls
        .read(Api::ECS, "ListTaskDefinitionFamilies", &request)
        .await
        .ok()?;
    let mut last: Option<(f64, RegisteredImage)> = None;
    for family in families.items.iter().take(MAX_FAMILIES) {
        let Ok(Some(registered)) = describe(calls, family).await else {
            continue;
        };
        let Some(registered) = TaskDefinition::read(&registered) else {
            continue;
        };
        let mut containers = registered.container_definitions.into_iter();
        let Some(container) = containers.find(|container| container.name == CONTAINER) else {
            continue;
        };
        // ECS always sets it; a task definition without it counts as the oldest.
        let registered_at = registered.registered_at.unwrap_or_default();
        if last.as_ref().is_none_or(|(at, _)| *at < registered_at) {
            let task_definition = format!("{family}:{}", registered.revision.unwrap_or_default());
            let image = RegisteredImage {
                image: container.image,
                task_definition,
            };
            last = Some((registered_at, image));
        }
    }
    last.map(|(_, image)| image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn definition() -> ProbeDefinition {
        ProbeDefinition {
            image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pullprobe:0.1.0".into(),
            role: Some("arn:aws:iam::123456789012:role/ecsTaskExecutionRole".into()),
            architecture: Some("X86_64"),
            host: ProbeHost::Fargate,
        }
    }

    #[test]
    fn family_depends_on_image_role_and_architecture() {
        let family = definition().family();
        assert_eq!(family, definition().family());
        assert_eq!(family.len(), FAMILY_PREFIX.len() + 16);
        let other_architecture = ProbeDefinition {
            architecture: Some("ARM64"),
            ..definition()
        };
        assert_ne!(family, other_architecture.family());
        let other_role = ProbeDefinition {
            role: Some("arn:aws:iam::123456789012:role/other".into()),
            ..definition()
        };
        assert_ne!(family, other_role.family());
        let on_instance = ProbeDefinition {
            host: ProbeHost::Instance,
            ..definition()
        };
        assert_ne!(family, on_instance.family());
    }

    #[test]
    fn on_instances_the_probe_shares_their_network_and_their_role() {
        let definition = ProbeDefinition {
            role: None,
            architecture: None,
            host: ProbeHost::ManagedInstance,
            ..definition()
        };
        let request = json!(definition.request());
        assert_eq!(request["networkMode"], "host");
        assert_eq!(
            request["requiresCompatibilities"],
            json!(["MANAGED_INSTANCES"])
        );
        for absent in ["executionRoleArn", "taskRoleArn", "runtimePlatform"] {
            assert_eq!(request.get(absent), None, "{absent}");
        }
        assert!(definition.matches(&TaskDefinition::read(&request).unwrap()));
    }

    #[test]
    fn only_an_unchanged_task_definition_is_reused() {
        let matches =
            |registered: &Value| definition().matches(&TaskDefinition::read(registered).unwrap());
        let registered = json!(definition().request());
        assert!(matches(&registered));
        for (path, value) in [
            (
                "/taskRoleArn",
                json!("arn:aws:iam::123456789012:role/admin"),
            ),
            (
                "/containerDefinitions/0/image",
                json!("elsewhere/pullprobe"),
            ),
            ("/status", json!("INACTIVE")),
        ] {
            let mut other = registered.clone();
            other["status"] = json!("ACTIVE");
            *other.pointer_mut(path).unwrap() = value;
            assert!(!matches(&other), "{path}");
        }
        let mut logging = registered.clone();
        logging["containerDefinitions"][0]["logConfiguration"] = json!({ "logDriver": "awslogs" });
        assert!(!matches(&logging));
        let mut null = registered;
        null["containerDefinitions"][0]["logConfiguration"] = Value::Null;
        null["containerDefinitions"][0]["entryPoint"] = json!([]);
        assert!(matches(&null));
    }
}
