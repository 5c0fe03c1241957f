//! What a task definition wants to start, as `register-task-definition` takes it or
//! `describe-task-definition` prints it.
//!
//! Read by hand, and not by derived types, because a mistake must be pointed at by its JSON path,
//! and most mistakes are of meaning. Members that nothing here depends on are not looked at; a
//! member that is `null` is not there.

mod container;
mod firelens;
mod log;
mod node;
mod order;
mod volume;

use serde_json::Value;

use super::{PlanInput, Platform};
use node::{Mistake, Node};

/// Bytes. ECS takes task definitions of 64 KiB (service quotas); `describe` adds a few of its own,
/// and layout some more.
pub const MAX_SIZE: usize = 256 * 1024;

/// ECS takes ten containers (service quotas).
const MAX_CONTAINERS: usize = 10;

/// Mistakes that are told at once.
const TOLD: usize = 5;

/// Reads a task definition, with or without the outer `taskDefinition`. Fails with a line for each
/// thing that ECS would reject, with its JSON path.
pub fn read(json: &[u8]) -> Result<PlanInput, String> {
    if json.len() > MAX_SIZE {
        return Err(format!(
            "it has more than {MAX_SIZE} bytes, and ECS takes task definitions of at most 65536"
        ));
    }
    let text = std::str::from_utf8(json)
        .map_err(|_| "it is not UTF-8 text: save it as UTF-8".to_owned())?;
    // PowerShell and editors of its system put a mark in front.
    let text = text.trim_start_matches('\u{feff}');
    let document: Value =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let mut reader = Reader::default();
    if let Err(mistake) = reader.definition(&Node::document(&document)) {
        reader.mistakes.push(mistake);
    }
    let Reader {
        wanted, mistakes, ..
    } = reader;
    if mistakes.is_empty() {
        return Ok(wanted);
    }
    let mut lines: Vec<_> = mistakes
        .iter()
        .take(TOLD)
        .map(|Mistake(text)| text.clone())
        .collect();
    if mistakes.len() > TOLD {
        lines.push(format!("and {} mistakes more", mistakes.len() - TOLD));
    }
    Err(lines.join("\n"))
}

/// What was found so far.
#[derive(Default)]
struct Reader {
    wanted: PlanInput,
    mistakes: Vec<Mistake>,
    /// Whether the task can run on Fargate, as far as the definition says.
    fargate: bool,
    /// Whether some container routes logs.
    routes_logs: bool,
}

impl Reader {
    /// Goes on after a mistake.
    fn note(&mut self, result: Result<(), Mistake>) {
        self.mistakes.extend(result.err());
    }

    fn definition(&mut self, document: &Node<'_>) -> Result<(), Mistake> {
        let inner = document
            .member("taskDefinition")
            .map_err(|_| not_a_definition(document))?;
        let definition = inner.as_ref().unwrap_or(document);
        let compatible = definition.elements("requiresCompatibilities")?;
        let compatible = compatible
            .iter()
            .map(Node::text)
            .collect::<Result<Vec<_>, _>>()?;
        self.fargate = compatible.is_empty() || compatible.contains(&"FARGATE");
        if let Some(mode) = definition.member("networkMode")?
            && compatible.contains(&"FARGATE")
            && mode.text()? != "awsvpc"
        {
            self.note(Err(
                mode.mistake("Fargate knows the network mode awsvpc only")
            ));
        }
        let containers = definition.elements("containerDefinitions")?;
        if containers.is_empty() && definition.member("containerDefinitions")?.is_none() {
            return Err(not_a_definition(definition));
        }
        if !(1..=MAX_CONTAINERS).contains(&containers.len()) {
            let count = containers.len();
            let text = format!("{count} containers: ECS takes 1 to {MAX_CONTAINERS}");
            return Err(definition.needed("containerDefinitions")?.mistake(text));
        }
        let platform = definition
            .member("runtimePlatform")
            .and_then(|runtime| runtime.as_ref().map(platform).transpose());
        match platform {
            // ECS developer guide, "runtimePlatform": Fargate's default. An instance's is its own.
            Ok(None) if self.fargate => self.wanted.platform = Some(Platform::of("linux", "amd64")),
            Ok(platform) => self.wanted.platform = platform,
            Err(mistake) => self.mistakes.push(mistake),
        }
        self.wanted.execution_role = role(definition, "executionRoleArn")?;
        self.wanted.task_role = role(definition, "taskRoleArn")?;
        self.routes_logs = firelens::routers(&containers).is_ok_and(|routers| !routers.is_empty());
        for container in &containers {
            self.container(container);
        }
        let routers = firelens::check_routers(&containers);
        self.note(routers);
        let order = order::check(&containers);
        self.note(order);
        self.volumes(definition, &containers)
    }
}

/// What people hand over instead of a task definition.
fn not_a_definition(found: &Node<'_>) -> Mistake {
    let has = |name: &str| matches!(found.member(name), Ok(Some(_)));
    let what = if found.member("").is_err() {
        "an object with containerDefinitions is needed; an array of containers goes under that name"
    } else if has("ContainerDefinitions") || has("Resources") || has("Properties") {
        "containerDefinitions is missing; of a CloudFormation template's, take what describe-task-definition prints"
    } else if has("tasks") || has("services") {
        "containerDefinitions is missing; take what describe-task-definition prints for its taskDefinitionArn"
    } else {
        "containerDefinitions is missing: it is not a task definition"
    };
    found.mistake(what)
}

/// A role's ARN. ECS takes a role's name too, which says less than is asked here.
fn role(definition: &Node<'_>, name: &str) -> Result<Option<String>, Mistake> {
    Ok(definition
        .text_of(name)?
        .filter(|role| role.starts_with("arn:"))
        .map(str::to_owned))
}

/// Windows images are told apart by build as well; the manifest's platform is `windows/amd64` for
/// all.
fn platform(runtime: &Node<'_>) -> Result<Platform, Mistake> {
    let architecture = match runtime.member("cpuArchitecture")? {
        Some(architecture) if architecture.one_of(&["X86_64", "ARM64"])? == "ARM64" => "arm64",
        _ => "amd64",
    };
    let os = match runtime.member("operatingSystemFamily")? {
        Some(family) => match family.text()? {
            "LINUX" => "linux",
            windows if windows.starts_with("WINDOWS_SERVER_") => "windows",
            other => {
                return Err(family.mistake(format_args!(
                    "{:?} is none that ECS knows",
                    node::shorten(other)
                )));
            }
        },
        None => "linux",
    };
    Ok(Platform::of(os, architecture))
}

#[cfg(test)]
mod tests;
