//! Reads a task definition, as `register-task-definition` takes it or `describe-task-definition`
//! prints it.
//!
//! Read by hand instead of with derived types, because an error must point at the JSON path, and
//! most errors are about meaning. Members that no check needs are ignored; a member that is `null`
//! is absent.

mod container;
mod error;
mod firelens;
mod log;
#[cfg(feature = "operator")]
mod members;
mod node;
mod order;
// The image reads definitions that ECS has registered, and so checked.
#[cfg(feature = "operator")]
mod rules;
mod volume;

use serde_json::Value;

pub use error::{InvalidTaskDefinition, Problem, TaskDefinitionError};
#[cfg(feature = "operator")]
pub use members::convert_scalars;
#[cfg(feature = "operator")]
pub use node::{OPEN, open_parts};

use super::{LaunchType, PlanInput, Platform, TaskHost, shorten};
use node::Node;

/// Maximum number of bytes. ECS accepts task definitions of 64 KiB (service quotas);
/// `describe-task-definition` adds members of its own, and indentation takes more.
pub const MAX_SIZE: usize = 256 * 1024;

/// Maximum number of containers of a task definition (ECS service quotas).
const MAX_CONTAINERS: usize = 10;

/// Reads a task definition, with or without the outer `taskDefinition`.
///
/// # Errors
///
/// Fails if the document is not UTF-8 JSON of at most [`MAX_SIZE`] bytes, or with every value that
/// ECS would reject.
pub fn read(json: &[u8]) -> Result<PlanInput, InvalidTaskDefinition> {
    if json.len() > MAX_SIZE {
        return Err(InvalidTaskDefinition::TooLarge);
    }
    let text = std::str::from_utf8(json).map_err(|_| InvalidTaskDefinition::NotUtf8)?;
    // PowerShell and editors on Windows begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(InvalidTaskDefinition::Empty);
    }
    let document: Value = serde_json::from_str(text)
        .map_err(|error| InvalidTaskDefinition::NotJson(error.to_string()))?;
    Ok(read_value(&document)?.0)
}

/// Reads a task definition, with or without the outer `taskDefinition`. Also returns, as
/// [`Problem::Open`], the values that a template leaves open, which are left out.
///
/// # Errors
///
/// Fails with every value that ECS would reject.
pub fn read_value(
    document: &Value,
) -> Result<(PlanInput, Vec<TaskDefinitionError>), InvalidTaskDefinition> {
    let mut reader = TaskDefinitionReader::default();
    let result = reader.read(&Node::document(document));
    reader.note(result);
    if reader.errors.is_empty() {
        Ok((reader.input, reader.open))
    } else {
        Err(InvalidTaskDefinition::Rejected(reader.errors))
    }
}

/// Collects inputs and errors.
#[derive(Default)]
struct TaskDefinitionReader {
    input: PlanInput,
    errors: Vec<TaskDefinitionError>,
    /// Values that a template leaves open.
    open: Vec<TaskDefinitionError>,
    /// Whether the definition names FARGATE, so that ECS checks it for Fargate.
    names_fargate: bool,
    /// Whether the task can run on Fargate, as far as the definition shows.
    fargate: bool,
    /// Whether a container has a `firelensConfiguration`.
    has_log_router: bool,
}

impl TaskDefinitionReader {
    /// Records an error, so that reading continues.
    fn note(&mut self, result: Result<(), TaskDefinitionError>) {
        let Err(error) = result else { return };
        let list = match error.problem {
            Problem::Open { .. } => &mut self.open,
            _ => &mut self.errors,
        };
        // Two checks may read the same value.
        if !list.contains(&error) {
            list.push(error);
        }
    }

    fn read(&mut self, document: &Node<'_>) -> Result<(), TaskDefinitionError> {
        let inner = document
            .member("taskDefinition")
            .map_err(|_| not_a_task_definition(document))?;
        if let Some(name) = &inner
            && name.value().is_string()
        {
            return Err(document.error(
                "it names its task definition, as a service or a task does; pass the output of \
                 `aws ecs describe-task-definition --task-definition NAME`",
            ));
        }
        let definition = inner.as_ref().unwrap_or(document);
        let compatibilities = definition.elements("requiresCompatibilities")?;
        let compatibilities = compatibilities
            .iter()
            .map(Node::text)
            .collect::<Result<Vec<_>, _>>()?;
        self.names_fargate = compatibilities.contains(&"FARGATE");
        self.input.host = task_host(definition, &compatibilities)?;
        self.fargate = !self.input.host.is_instance();
        let containers = definition.elements("containerDefinitions")?;
        if containers.is_empty() && definition.member("containerDefinitions")?.is_none() {
            return Err(not_a_task_definition(definition));
        }
        if !(1..=MAX_CONTAINERS).contains(&containers.len()) {
            let count = containers.len();
            return Err(definition
                .required("containerDefinitions")?
                .error(format_args!(
                    "{count} containers; ECS accepts 1 to {MAX_CONTAINERS}"
                )));
        }
        let platform = definition
            .member("runtimePlatform")
            .and_then(|runtime| runtime.as_ref().map(platform).transpose());
        match platform {
            // Fargate's default (ECS developer guide, "runtimePlatform"). An EC2 instance has its
            // own platform.
            Ok(None) if self.fargate => self.input.platform = Some(Platform::of("linux", "amd64")),
            Ok(platform) => self.input.platform = platform,
            Err(error) => self.note(Err(error)),
        }
        for name in ["executionRoleArn", "taskRoleArn"] {
            let result = role_arn(definition, name).map(|role| match name {
                "taskRoleArn" => self.input.task_role = role,
                _ => self.input.execution_role = role,
            });
            self.note(result);
        }
        self.has_log_router =
            firelens::log_routers(&containers).is_ok_and(|routers| !routers.is_empty());
        for container in &containers {
            self.read_container(container);
        }
        let routers = firelens::read_log_routers(&containers, self.names_fargate, &mut self.input);
        self.note(routers);
        self.note(order::check(&containers));
        #[cfg(feature = "operator")]
        self.check_rules(definition, &containers);
        let volumes = self.read_volumes(definition, &containers);
        self.note(volumes);
        #[cfg(feature = "operator")]
        for error in members::check(definition) {
            // The rules above say more about a value than its type does.
            if self.errors.iter().all(|known| known.path != error.path) {
                self.errors.push(error);
            }
        }
        Ok(())
    }
}

/// Returns where the task can run. A definition without a network mode has the default one, which
/// is not Fargate's (ECS API reference, RegisterTaskDefinition). A document without a family is
/// only a part of a definition.
fn task_host(definition: &Node<'_>, required: &[&str]) -> Result<TaskHost, TaskDefinitionError> {
    let mode = definition.member("networkMode")?;
    let mode = mode.map(|mode| mode.text().map(str::to_owned)).transpose();
    // Another check reports a mode that is not a text.
    let mode = mode.unwrap_or(Some("awsvpc".into()));
    let described = definition.elements("compatibilities")?;
    let described: Vec<_> = described
        .iter()
        .filter_map(|name| name.text().ok())
        .collect();
    let names = if required.is_empty() {
        &described
    } else {
        required
    };
    let mut launch_types: Vec<_> = names
        .iter()
        .filter_map(|name| LaunchType::of(name))
        .collect();
    let is_whole = ["family", "taskDefinitionArn"]
        .iter()
        .any(|name| matches!(definition.text_of(name), Ok(Some(_))));
    if launch_types.is_empty() && is_whole && mode.as_deref() != Some("awsvpc") {
        launch_types = vec![LaunchType::Ec2, LaunchType::External];
    }
    let mut host = TaskHost {
        launch_types,
        ..TaskHost::default()
    };
    if host.is_instance() {
        host.has_own_interface = mode.as_deref() == Some("awsvpc");
        host.uses_instance_role = !has_role(definition, "executionRoleArn")?;
    }
    Ok(host)
}

/// Returns an error that recognizes documents which are often passed by mistake.
fn not_a_task_definition(found: &Node<'_>) -> TaskDefinitionError {
    let has = |name: &str| matches!(found.member(name), Ok(Some(_)));
    let problem = if found.member("").is_err() {
        "expected an object with containerDefinitions; wrap an array of containers in one"
    } else if has("ContainerDefinitions") || has("Resources") || has("Properties") {
        "this is a CloudFormation template; pass the output of `aws ecs describe-task-definition`"
    } else if has("tasks") || has("services") {
        "containerDefinitions is missing, because this describes tasks or services; pass the output of \
         `aws ecs describe-task-definition` for its taskDefinitionArn"
    } else {
        "containerDefinitions is missing; pass the output of `aws ecs describe-task-definition`"
    };
    found.error(problem)
}

/// Returns the ARN of a role. ECS also accepts a role's name, which gives neither account nor
/// partition and is ignored.
fn role_arn(definition: &Node<'_>, name: &str) -> Result<Option<String>, TaskDefinitionError> {
    Ok(definition
        .text_of(name)?
        .filter(|role| role.starts_with("arn:"))
        .map(str::to_owned))
}

/// Whether a role is set. Tools print one that is absent as an empty text.
fn has_role(definition: &Node<'_>, name: &str) -> Result<bool, TaskDefinitionError> {
    let role = definition.member(name)?;
    Ok(role.is_some_and(|role| role.value().as_str() != Some("")))
}

/// Returns the platform of the image. Windows images also differ by build; all of them are
/// `windows/amd64` in a manifest.
fn platform(runtime: &Node<'_>) -> Result<Platform, TaskDefinitionError> {
    let architecture = match runtime.member("cpuArchitecture")? {
        Some(architecture) if architecture.one_of(&["X86_64", "ARM64"])? == "ARM64" => "arm64",
        _ => "amd64",
    };
    let os = match runtime.member("operatingSystemFamily")? {
        Some(family) => match family.text()? {
            "LINUX" => "linux",
            windows if windows.starts_with("WINDOWS_SERVER_") => "windows",
            other => {
                return Err(family.error(format_args!(
                    "{:?} is not a value that ECS supports",
                    shorten(other)
                )));
            }
        },
        None => "linux",
    };
    Ok(Platform::of(os, architecture))
}

#[cfg(test)]
mod tests;
