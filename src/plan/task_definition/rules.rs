//! What ECS rejects beyond names and types: members that exclude or need each other, above all on
//! Fargate.

use serde_json::Value;

use super::error::TaskDefinitionError;
use super::node::{Node, open_parts};
use super::{TaskDefinitionReader, has_role};
use crate::arn::{Arn, is_account_id};
use crate::plan::shorten;
use crate::reference::{Reference, Registry};

/// CPU units of a task on Fargate, and the MiB of memory with each: the smallest, the largest, and
/// the step between two (Amazon ECS developer guide, "Troubleshoot Amazon ECS task definition
/// invalid CPU or memory errors"; 32 vCPU: "Task size").
const FARGATE_SIZES: [(u32, u32, u32, u32); 8] = [
    (256, 512, 2_048, 1_024),
    (512, 1_024, 4_096, 1_024),
    (1_024, 2_048, 8_192, 1_024),
    (2_048, 4_096, 16_384, 1_024),
    (4_096, 8_192, 30_720, 1_024),
    (8_192, 16_384, 61_440, 4_096),
    (16_384, 32_768, 122_880, 8_192),
    // Which of these ECS takes is not in the sources, so none is refused.
    (32_768, 61_440, 249_856, 1),
];

/// Members of a container that Fargate does not support, unless they are empty or false (Amazon ECS
/// developer guide, "Fargate considerations for Amazon ECS").
const NOT_ON_FARGATE: [&str; 6] = [
    "privileged",
    "dockerSecurityOptions",
    "extraHosts",
    "dnsServers",
    "dnsSearchDomains",
    "disableNetworking",
];

/// Members of `linuxParameters` that Fargate does not support (ECS API reference, LinuxParameters).
const LINUX_PARAMETERS_NOT_ON_FARGATE: [&str; 4] =
    ["devices", "sharedMemorySize", "maxSwap", "swappiness"];

const NOT_SUPPORTED: &str = "Fargate does not support this member; remove it";

/// The one capability that a container on Fargate can add (ECS API reference, KernelCapabilities).
const FARGATE_CAPABILITY: &str = "SYS_PTRACE";

/// GiB of ephemeral storage of a task on Fargate (ECS API reference, EphemeralStorage).
const EPHEMERAL_STORAGE: std::ops::RangeInclusive<i64> = 21..=200;

/// Whether the definition names FARGATE, and so must be one that Fargate takes "even if EC2 is also
/// specified" (same source).
fn is_for_fargate(definition: &Node<'_>) -> Result<bool, TaskDefinitionError> {
    let names = definition.elements("requiresCompatibilities")?;
    Ok(names.iter().any(|name| name.text() == Ok("FARGATE")))
}

impl TaskDefinitionReader {
    /// Records what ECS would reject in the definition as a whole.
    pub(super) fn check_rules(&mut self, definition: &Node<'_>, containers: &[Node<'_>]) {
        let rules = [
            check_family,
            check_network_mode,
            check_size,
            check_essential,
            check_execution_role,
            check_role_arns,
            check_memory,
            check_sums,
            check_completion,
            check_fargate_task,
        ];
        for rule in rules {
            let result = rule(definition, containers);
            self.note(result);
        }
        let mode = definition.member("networkMode").ok().flatten();
        let mode = mode.and_then(|mode| mode.text().ok().map(str::to_owned));
        let is_fargate = is_for_fargate(definition) == Ok(true);
        for container in containers {
            let name = container.required("name").map(drop);
            self.note(name);
            let links = check_links(container, is_fargate, mode.as_deref());
            self.note(links);
            let ports = check_ports(container, mode.as_deref());
            self.note(ports);
            let environment = check_environment(container);
            self.note(environment);
            let accounts = check_accounts(container);
            self.note(accounts);
            if is_fargate {
                self.check_fargate_container(container);
            }
        }
        for volume in definition.elements("volumes").unwrap_or_default() {
            if is_fargate && let Ok(Some(docker)) = volume.member("dockerVolumeConfiguration") {
                self.note(Err(docker.error("Fargate does not support Docker volumes")));
            }
            if is_fargate
                && let Ok(Some(host)) = volume.member("host")
                && let Ok(Some(path)) = host.member("sourcePath")
                && is_set(&path)
            {
                let problem = "Fargate has no host for a volume; remove it for an empty volume, or use Amazon EFS";
                self.note(Err(path.error(problem)));
            }
        }
    }
}

impl TaskDefinitionReader {
    fn check_fargate_container(&mut self, container: &Node<'_>) {
        for name in NOT_ON_FARGATE {
            let result = refuse_on_fargate(container, name);
            self.note(result);
        }
        for requirement in container
            .elements("resourceRequirements")
            .unwrap_or_default()
        {
            if requirement.text_of("type") == Ok(Some("GPU")) {
                self.note(Err(requirement.error("Fargate has no GPU; remove it")));
            }
        }
        let Ok(Some(linux)) = container.member("linuxParameters") else {
            return;
        };
        for name in LINUX_PARAMETERS_NOT_ON_FARGATE {
            let result = refuse_on_fargate(&linux, name);
            self.note(result);
            if let Ok(Some(size)) = linux.member(name)
                && size.value().as_i64().is_some_and(|size| size != 0)
            {
                self.note(Err(size.error(NOT_SUPPORTED)));
            }
        }
        let Ok(Some(capabilities)) = linux.member("capabilities") else {
            return;
        };
        for added in capabilities.elements("add").unwrap_or_default() {
            if added.text().is_ok_and(|name| name != FARGATE_CAPABILITY) {
                self.note(Err(added.error(format_args!(
                    "Fargate adds no capability but {FARGATE_CAPABILITY}; remove it"
                ))));
            }
        }
    }
}

/// Fails if a member that Fargate does not support is set.
fn refuse_on_fargate(parent: &Node<'_>, name: &str) -> Result<(), TaskDefinitionError> {
    match parent.member(name)? {
        Some(member) if is_set(&member) => Err(member.error(NOT_SUPPORTED)),
        _ => Ok(()),
    }
}

/// Whether a value of the right type is neither empty nor false, as tools print members that are
/// not set.
fn is_set(member: &Node<'_>) -> bool {
    match member.value() {
        Value::Bool(on) => *on,
        Value::String(text) => !text.is_empty() && open_parts(member.value()).is_none(),
        Value::Array(elements) => !elements.is_empty(),
        _ => false,
    }
}

/// Whether the document is a part of a task definition, as a file of containers is: what it lacks
/// is elsewhere.
fn is_part(definition: &Node<'_>) -> bool {
    [
        "family",
        "taskDefinitionArn",
        "networkMode",
        "requiresCompatibilities",
        "cpu",
        "memory",
    ]
    .iter()
    .all(|name| matches!(definition.member(name), Ok(None)))
}

/// Every task definition belongs to a family; the ARN of a registered one ends in it.
fn check_family(definition: &Node<'_>, _: &[Node<'_>]) -> Result<(), TaskDefinitionError> {
    match definition.member("family")? {
        Some(family) => {
            let name = family.text()?;
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            if (1..=255).contains(&name.len()) && name.chars().all(allowed) {
                Ok(())
            } else {
                Err(family.error(format_args!(
                    "{:?} is not a family: 1 to 255 letters, digits, - and _",
                    shorten(name)
                )))
            }
        }
        None if definition.member("taskDefinitionArn")?.is_some() => Ok(()),
        None if is_part(definition) => Ok(()),
        None => Err(definition.absent("family", "ECS needs a name for the task definition")),
    }
}

fn check_network_mode(definition: &Node<'_>, _: &[Node<'_>]) -> Result<(), TaskDefinitionError> {
    if !is_for_fargate(definition)? {
        return Ok(());
    }
    match definition.member("networkMode")? {
        Some(mode) if mode.text()? == "awsvpc" => Ok(()),
        Some(mode) => Err(mode.error("Fargate supports only the network mode awsvpc")),
        None => Err(definition.absent("networkMode", "Fargate needs \"awsvpc\"")),
    }
}

/// Checks the CPU and memory of a task on Fargate.
fn check_size(definition: &Node<'_>, _: &[Node<'_>]) -> Result<(), TaskDefinitionError> {
    if !is_for_fargate(definition)? {
        return Ok(());
    }
    let required = |name| {
        let example = "Fargate needs cpu and memory of the task, such as \"256\" and \"512\"";
        definition
            .member(name)?
            .ok_or_else(|| definition.absent(name, example))
    };
    let (cpu, memory) = (required("cpu")?, required("memory")?);
    let (cpu_text, memory_text) = (cpu.text()?, memory.text()?);
    let units = parse_size(cpu_text, &["vcpu", "cpu"]);
    let size = FARGATE_SIZES
        .iter()
        .find(|(known, ..)| Some(*known) == units);
    let Some((units, least, most, step)) = size else {
        let known: Vec<_> = FARGATE_SIZES
            .iter()
            .map(|(cpu, ..)| cpu.to_string())
            .collect();
        return Err(cpu.error(format_args!(
            "{:?} is not a Fargate task size; use one of {}",
            shorten(cpu_text),
            known.join(", ")
        )));
    };
    // "The CPU units cannot be less than 1 vCPU when you use Windows containers on Fargate" (ECS
    // API reference, RegisterTaskDefinition).
    let runtime = definition.member("runtimePlatform")?;
    let family = runtime.map(|runtime| runtime.member("operatingSystemFamily"));
    let family = family.transpose()?.flatten();
    let family = family.as_ref().and_then(|family| family.value().as_str());
    if *units < 1_024 && family.is_some_and(|family| family.starts_with("WINDOWS")) {
        return Err(cpu.error("Windows on Fargate needs at least 1024 CPU units"));
    }
    let fits = |mib: u32| match *units {
        256 => [512, 1_024, 2_048].contains(&mib),
        _ => (*least..=*most).contains(&mib) && (mib - least).is_multiple_of(*step),
    };
    if parse_size(memory_text, &["gb"]).is_some_and(fits) {
        return Ok(());
    }
    let allowed = match *units {
        256 => "512, 1024 or 2048".to_owned(),
        _ => format!("{least} to {most} in steps of {step}"),
    };
    Err(memory.error(format_args!(
        "Fargate has no task size with {units} CPU units and memory {:?}; use {allowed}",
        shorten(memory_text)
    )))
}

/// Returns CPU units or MiB: a number of these, or of 1,024 of these before the unit, as in
/// `.5 vCPU` or `2 GB`.
fn parse_size(text: &str, large_units: &[&str]) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    let (number, factor) = large_units
        .iter()
        .find_map(|unit| Some((text.strip_suffix(unit)?.trim_end(), 1_024)))
        .unwrap_or((&text, 1));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.len() <= 7 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: u32 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let (numerator, denominator) = match fraction.trim_end_matches('0') {
        "" => (0, 1),
        fraction => (
            fraction.parse::<u32>().ok()?,
            10_u32.pow(u32::try_from(fraction.len()).ok()?),
        ),
    };
    let part = u64::from(numerator) * factor;
    let is_whole = part.is_multiple_of(u64::from(denominator));
    let size = u64::from(whole) * factor + part / u64::from(denominator);
    is_whole.then(|| u32::try_from(size).ok()).flatten()
}

fn check_essential(_: &Node<'_>, containers: &[Node<'_>]) -> Result<(), TaskDefinitionError> {
    for container in containers {
        let essential = container.member("essential")?;
        if essential.is_none_or(|essential| essential.value().as_bool() != Some(false)) {
            return Ok(());
        }
    }
    match containers.first() {
        Some(first) => {
            Err(first.error("no container is essential; ECS needs one with \"essential\": true"))
        }
        None => Ok(()),
    }
}

/// Checks that there is a task execution role where ECS asks for one when the definition is
/// registered (hashicorp/terraform-provider-aws#3051, virtual-kubelet#193, fabfuel/ecs-deploy#87).
fn check_execution_role(
    definition: &Node<'_>,
    containers: &[Node<'_>],
) -> Result<(), TaskDefinitionError> {
    if has_role(definition, "executionRoleArn")? || is_part(definition) {
        return Ok(());
    }
    let is_fargate = is_for_fargate(definition)?;
    let missing = |needs: &Node<'_>, what: &str| {
        let problem = format!("{what} need a task execution role ({})", needs.path());
        Err(definition.absent("executionRoleArn", &problem))
    };
    for container in containers {
        for (parent, list) in [
            (Some(container.clone()), "secrets"),
            (container.member("logConfiguration")?, "secretOptions"),
        ] {
            let secrets = parent.map(|parent| parent.elements(list)).transpose()?;
            if let Some(first) = secrets.unwrap_or_default().first() {
                return missing(first, "secrets");
            }
        }
        if let Some(credentials) = container.member("repositoryCredentials")? {
            return missing(&credentials, "registry credentials");
        }
        if !is_fargate {
            continue;
        }
        if let Some(image) = container.member("image")?
            && let Ok(text) = image.text()
            && let Ok(reference) = text.parse::<Reference>()
            && matches!(reference.registry, Registry::Ecr { .. })
        {
            return missing(&image, "on Fargate, images in Amazon ECR");
        }
        if let Some(log) = container.member("logConfiguration")?
            && log.text_of("logDriver") == Ok(Some("awslogs"))
        {
            return missing(&log, "on Fargate, logs in CloudWatch");
        }
    }
    Ok(())
}

/// A role is named by its ARN or its name: "Role is not valid" otherwise.
fn check_role_arns(definition: &Node<'_>, _: &[Node<'_>]) -> Result<(), TaskDefinitionError> {
    for name in ["executionRoleArn", "taskRoleArn"] {
        let Some(role) = definition.member(name)? else {
            continue;
        };
        let is_role = |text: &str| {
            text.parse::<Arn>().is_ok_and(|arn| {
                arn.service == "iam"
                    && is_account_id(&arn.account)
                    && arn.resource.starts_with("role/")
            })
        };
        if let Some(text) = role.value().as_str()
            && text.starts_with("arn:")
            && !is_role(text)
        {
            return Err(role.error(format_args!(
                "{:?} is not the ARN of a role; expected arn:aws:iam::ACCOUNT:role/NAME with an account ID of 12 digits, \
                 or the name alone",
                shorten(text)
            )));
        }
    }
    Ok(())
}

/// "At least one of 'memory' or 'memoryReservation' must be specified" for each container on
/// instances, unless the task has memory of its own (aws/aws-cli#4453). What ECS Managed Instances
/// need is not in the sources, and a definition that names neither launch type nor network mode may
/// be an excerpt.
fn check_memory(definition: &Node<'_>, containers: &[Node<'_>]) -> Result<(), TaskDefinitionError> {
    let names = definition.elements("requiresCompatibilities")?;
    let is_named = |launch_type: &str| names.iter().any(|name| name.text() == Ok(launch_type));
    let mode = definition.member("networkMode")?;
    let mode = mode.as_ref().and_then(|mode| mode.value().as_str());
    let is_on_instances = if names.is_empty() {
        matches!(mode, Some("bridge" | "host" | "none"))
    } else {
        !is_named("FARGATE") && !is_named("MANAGED_INSTANCES")
    };
    let is_registered = definition.member("taskDefinitionArn")?.is_some();
    if !is_on_instances || is_registered || definition.member("memory")?.is_some() {
        return Ok(());
    }
    for container in containers {
        let has = |name| container.member(name).map(|member| member.is_some());
        if !has("memory")? && !has("memoryReservation")? {
            return Err(container.absent(
                "memory",
                "on instances, each container needs memory or memoryReservation, or the task memory",
            ));
        }
    }
    Ok(())
}

/// "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'"
/// (aws/aws-cdk#1553); "The 'memory' setting for container … is greater than for the task"
/// (pulumi/pulumi-awsx#1220).
fn check_sums(definition: &Node<'_>, containers: &[Node<'_>]) -> Result<(), TaskDefinitionError> {
    let of_task = |name: &str, units: &[&str]| {
        let value = definition.member(name)?;
        let text = value.as_ref().and_then(|value| value.value().as_str());
        Ok(text.and_then(|text| parse_size(text, units)).map(i64::from))
    };
    let of_container = |container: &Node<'_>, name: &str| {
        let value = container.member(name)?;
        Ok(value.and_then(|value| value.value().as_i64()))
    };
    if let Some(memory) = of_task("memory", &["gb"])? {
        for container in containers {
            if let Some(own) = of_container(container, "memory")?
                && own > memory
            {
                return Err(container.required("memory")?.error(format_args!(
                    "{own} is greater than the memory of the task, {memory}"
                )));
            }
        }
    }
    let Some(cpu) = of_task("cpu", &["vcpu", "cpu"])? else {
        return Ok(());
    };
    let mut sum = 0_i64;
    for container in containers {
        sum = sum.saturating_add(of_container(container, "cpu")?.unwrap_or_default());
        if sum > cpu {
            return Err(container.required("cpu")?.error(format_args!(
                "the containers' CPU units, {sum} so far, are more than those of the task, {cpu}"
            )));
        }
    }
    Ok(())
}

/// COMPLETE and SUCCESS "can't be set on an essential container" (ECS API reference,
/// ContainerDependency).
fn check_completion(_: &Node<'_>, containers: &[Node<'_>]) -> Result<(), TaskDefinitionError> {
    let is_essential = |name: &str| {
        containers.iter().any(|container| {
            let essential = container.member("essential").ok().flatten();
            container.text_of("name") == Ok(Some(name))
                && essential.is_none_or(|essential| essential.value().as_bool() == Some(true))
        })
    };
    for container in containers {
        for dependency in container.elements("dependsOn")? {
            let (Some(name), Some(condition)) = (
                dependency.text_of("containerName")?,
                dependency.member("condition")?,
            ) else {
                continue;
            };
            if matches!(condition.text()?, "COMPLETE" | "SUCCESS") && is_essential(name) {
                return Err(condition.error(format_args!(
                    "{:?} is essential, and a task stops when such a container ends; set \"essential\": false there",
                    shorten(name)
                )));
            }
        }
    }
    Ok(())
}

/// Checks members of the task that Fargate does not support (Amazon ECS developer guide, "Fargate
/// considerations for Amazon ECS"; ECS API reference, RegisterTaskDefinition).
fn check_fargate_task(definition: &Node<'_>, _: &[Node<'_>]) -> Result<(), TaskDefinitionError> {
    if !is_for_fargate(definition)? {
        return Ok(());
    }
    for name in ["ipcMode", "placementConstraints"] {
        refuse_on_fargate(definition, name)?;
    }
    if let Some(mode) = definition.member("pidMode")?
        && mode.text()? == "host"
    {
        return Err(mode.error("Fargate supports only the PID mode task"));
    }
    if let Some(storage) = definition.member("ephemeralStorage")?
        && let Some(size) = storage.member("sizeInGiB")?
        && let Some(gib) = size.value().as_i64()
        && !EPHEMERAL_STORAGE.contains(&gib)
    {
        return Err(size.error(format_args!(
            "ECS takes {} to {} GiB",
            EPHEMERAL_STORAGE.start(),
            EPHEMERAL_STORAGE.end()
        )));
    }
    Ok(())
}

/// Finds secrets among the environment variables, where ECS does not read them.
fn check_environment(container: &Node<'_>) -> Result<(), TaskDefinitionError> {
    for variable in container.elements("environment")? {
        if let Some(reference) = variable.member("valueFrom")? {
            return Err(reference.error(
                "ECS does not read it here; move the variable to secrets, which take valueFrom",
            ));
        }
    }
    Ok(())
}

/// Checks the accounts in the ARNs of secrets: with another text in their place, no policy could
/// allow the read.
fn check_accounts(container: &Node<'_>) -> Result<(), TaskDefinitionError> {
    let mut references = container.elements("secrets")?;
    if let Some(log) = container.member("logConfiguration")? {
        references.extend(log.elements("secretOptions")?);
    }
    references.extend(container.member("repositoryCredentials")?);
    for reference in references {
        for name in ["valueFrom", "credentialsParameter"] {
            if let Some(value) = reference.member(name)?
                && let Some(Ok(arn)) = value.value().as_str().map(str::parse::<Arn>)
                && !arn.matches_any_account()
                && !is_account_id(&arn.account)
            {
                return Err(value.error(format_args!(
                    "{:?} is not an AWS account ID; expected 12 digits",
                    shorten(&arn.account)
                )));
            }
        }
    }
    Ok(())
}

/// Links exist only in the network modes bridge and none (ECS API reference, ContainerDefinition).
fn check_links(
    container: &Node<'_>,
    is_fargate: bool,
    mode: Option<&str>,
) -> Result<(), TaskDefinitionError> {
    let links = container.elements("links")?;
    let Some(first) = links.first() else {
        return Ok(());
    };
    match mode {
        _ if is_fargate => Err(first.error("Fargate does not support links; containers of a task reach each other at 127.0.0.1")),
        Some(mode @ ("awsvpc" | "host")) => Err(first.error(format_args!(
            "links need the network mode bridge; in {mode}, containers reach each other at 127.0.0.1"
        ))),
        _ => Ok(()),
    }
}

/// In the network modes awsvpc and host, a container's ports are those of the network interface
/// (ECS API reference, PortMapping). A host port of 0 counts as none.
fn check_ports(container: &Node<'_>, mode: Option<&str>) -> Result<(), TaskDefinitionError> {
    let Some(mode @ ("awsvpc" | "host")) = mode else {
        return Ok(());
    };
    for mapping in container.elements("portMappings")? {
        let (Some(host), Some(port)) = (
            mapping.member("hostPort")?,
            mapping.member("containerPort")?,
        ) else {
            continue;
        };
        let (host_port, port) = (host.value().as_i64(), port.value().as_i64());
        if let (Some(host_port), Some(port)) = (host_port, port)
            && host_port != 0
            && host_port != port
        {
            return Err(host.error(format_args!(
                "in the network mode {mode}, hostPort must equal containerPort ({port}) or be left out"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_or_numbers_with_a_unit() {
        for (text, size) in [
            ("256", Some(256)),
            (".25 vCPU", Some(256)),
            ("0.5vcpu", Some(512)),
            ("1 vCPU", Some(1_024)),
            ("32 vCPU", Some(32_768)),
            ("0.3 vCPU", None),
            ("", None),
            (".", None),
            ("1.5", None),
            ("-1", None),
            ("99999999999", None),
        ] {
            assert_eq!(parse_size(text, &["vcpu"]), size, "{text:?}");
        }
        assert_eq!(parse_size("0.5GB", &["gb"]), Some(512));
        assert_eq!(parse_size("30 GB", &["gb"]), Some(30_720));
    }
}
