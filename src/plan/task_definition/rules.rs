//! What ECS rejects beyond names and types: members that exclude or need each other, above all on
//! Fargate.

use serde_json::Value;

use super::TaskDefinitionReader;
use super::error::TaskDefinitionError;
use super::node::Node;
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
            if is_fargate {
                self.check_fargate_container(container);
            }
        }
        for volume in definition.elements("volumes").unwrap_or_default() {
            if is_fargate && let Ok(Some(docker)) = volume.member("dockerVolumeConfiguration") {
                self.note(Err(docker.error("Fargate does not support Docker volumes")));
            }
        }
    }
}

impl TaskDefinitionReader {
    fn check_fargate_container(&mut self, container: &Node<'_>) {
        for name in NOT_ON_FARGATE {
            let Ok(Some(member)) = container.member(name) else {
                continue;
            };
            let is_set = match member.value() {
                Value::Bool(on) => *on,
                Value::Array(elements) => !elements.is_empty(),
                _ => false,
            };
            if is_set {
                self.note(Err(
                    member.error("Fargate does not support this member; remove it")
                ));
            }
        }
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
    if definition.member("executionRoleArn")?.is_some() || is_part(definition) {
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
