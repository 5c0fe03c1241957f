//! A plan and its requirements as text for a terminal, to read and to copy from.

use std::fmt::Write as _;

use serde::Serialize;

use super::style::Style;
use crate::network_location::IpFamily;
use crate::plan::Plan;
use crate::plan::requirements::{
    Direction, EndpointType, IamRole, NetworkAclRule, NetworkTier, OtherHost, OutsideVpc, PlanPart,
    Requirements, SecurityGroupRule,
};

/// Returns the parts as text, in this order.
pub fn render(
    plan: &Plan,
    requirements: &Requirements,
    parts: &[PlanPart],
    style: Style,
) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            PlanPart::Contacts => {
                write_contacts(&mut text, plan, style);
                write_other_hosts(&mut text, requirements, style);
            }
            PlanPart::Endpoints => write_endpoints(&mut text, requirements, style),
            PlanPart::SecurityGroups => write_security_groups(&mut text, requirements, style),
            PlanPart::NetworkAcls => write_network_acls(&mut text, requirements, style),
            PlanPart::Notes => write_notes(&mut text, requirements, style),
            PlanPart::TaskRolePolicy => write_policy(&mut text, requirements, IamRole::Task, style),
            PlanPart::ExecutionRolePolicy => {
                write_policy(&mut text, requirements, IamRole::Execution, style);
            }
        }
    }
    text
}

/// Writes a heading with an empty line before and after it.
fn write_heading(text: &mut String, heading: &str, style: Style) {
    write_sentence(text, heading, style);
    text.push('\n');
}

/// Writes a sentence after an empty line.
fn write_sentence(text: &mut String, sentence: &str, style: Style) {
    let space = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{space}{}", style.wrap(sentence, 0));
}

/// Writes each target on one line if all lines fit the terminal, else on two.
fn write_contacts(text: &mut String, plan: &Plan, style: Style) {
    let Plan {
        region, platform, ..
    } = plan;
    let platform = if plan.host.has_unknown_platform {
        format!("platform unknown, {platform} assumed")
    } else {
        format!("platform {platform}")
    };
    let host = if plan.host.is_unknown() {
        ", launch type unknown".to_owned()
    } else if plan.host.is_instance() {
        format!(", launch type {}", plan.host.launch_type_names())
    } else {
        String::new()
    };
    let subnet = match plan.ip_family {
        IpFamily::Ipv4 => "",
        IpFamily::DualStack => ", dual-stack subnet",
        IpFamily::Ipv6 => ", IPv6-only subnet",
    };
    write_heading(
        text,
        &format!("Contacts (Region {region}, {platform}{host}{subnet}):"),
        style,
    );
    let lines = plan.to_string();
    if lines
        .lines()
        .all(|line| line.chars().count() <= style.width())
    {
        text.push_str(&lines);
    } else {
        write_targets_on_two_lines(text, plan, style);
    }
    for unchecked in &plan.unchecked {
        let line = format!(
            "not checked: {} {}: {}",
            unchecked.dependency, unchecked.subject, unchecked.why
        );
        let _ = writeln!(text, "{}", style.wrap(&line, 0));
    }
}

/// Writes the hosts that are contacted besides the targets, by what leads to them.
fn write_other_hosts(text: &mut String, requirements: &Requirements, style: Style) {
    let mut last_leader = None;
    for other in &requirements.other_hosts {
        let leader = match &other.registry {
            Some(registry) => {
                format!(
                    "{registry} usually redirects to these hosts, which are not checked by name:"
                )
            }
            None => "Also contacted, not checked:".to_owned(),
        };
        if last_leader.as_ref() != Some(&leader) {
            write_sentence(text, &leader, style);
            last_leader = Some(leader);
        }
        let OtherHost {
            host,
            port,
            purpose,
            ..
        } = other;
        let line = format!("  {host}:{port}  {purpose}");
        if line.chars().count() <= style.width() {
            let _ = writeln!(text, "{line}");
        } else {
            let _ = writeln!(text, "  {host}:{port}\n    {purpose}");
        }
    }
}

fn write_targets_on_two_lines(text: &mut String, plan: &Plan, style: Style) {
    let dependency_width = plan
        .targets
        .iter()
        .map(|target| target.dependency.name().len())
        .max()
        // Without targets there is no line to align.
        .unwrap_or_default();
    for target in &plan.targets {
        let host = target.to_string();
        let phases: Vec<_> = target.phases.iter().map(|phase| phase.name()).collect();
        // A name that does not fit beside its dependency gets its own line.
        let fits = dependency_width + 2 + host.chars().count() <= style.width();
        let space = if fits {
            " ".repeat(dependency_width - target.dependency.name().len())
        } else {
            "\n".into()
        };
        let _ = writeln!(text, "{}{space}  {host}", target.dependency);
        let _ = writeln!(text, "{:dependency_width$}    {}", "", phases.join(" "));
    }
}

fn write_endpoints(text: &mut String, requirements: &Requirements, style: Style) {
    write_heading(
        text,
        "VPC endpoints for a subnet without a route to the internet:",
        style,
    );
    let width = requirements
        .endpoints
        .iter()
        .map(|endpoint| endpoint.service.len())
        .max()
        // Without endpoints there is no line to align.
        .unwrap_or_default();
    for endpoint in &requirements.endpoints {
        let (endpoint_type, setting) = match endpoint.endpoint_type {
            EndpointType::Interface => ("interface", "private DNS enabled"),
            EndpointType::Gateway => ("gateway", "in the route tables"),
        };
        let service = &endpoint.service;
        let _ = writeln!(text, "{endpoint_type:<10} {service:<width$}  {setting}");
    }
    if requirements.endpoints.is_empty() {
        text.push_str("none\n");
    }
    let foreign: Vec<_> = requirements.hosts_of_foreign_layers().collect();
    if !foreign.is_empty() {
        write_heading(
            text,
            "Images with foreign layers need these hosts too, and a route to the internet:",
            style,
        );
        for other in foreign {
            let _ = writeln!(text, "{}:{}", other.host, other.port);
        }
    }
    if requirements.outside_vpc.is_empty() {
        return;
    }
    let only_private = requirements
        .outside_vpc
        .iter()
        .all(OutsideVpc::is_private_address);
    let route = if only_private {
        "They need a route in your own network"
    } else {
        "They need a route to the internet"
    };
    write_heading(
        text,
        &format!("No VPC endpoint serves these hosts. {route}:"),
        style,
    );
    for (reason, hosts) in requirements.outside_vpc_by_reason() {
        for host in hosts {
            let _ = writeln!(text, "{}:{}", host.host, host.port);
            for other in requirements.hosts_behind(&host.target) {
                let _ = writeln!(text, "  and {}:{}", other.host, other.port);
            }
        }
        let _ = writeln!(text, "{}", style.wrap(&format!("because {reason}"), 4));
    }
}

fn write_security_groups(text: &mut String, requirements: &Requirements, style: Style) {
    write_heading(text, "Security groups must allow at least:", style);
    let mut last_title = None;
    for rule in &requirements.security_group_rules {
        let SecurityGroupRule {
            tier,
            direction,
            protocol,
            port,
            peer,
            used_for,
        } = rule;
        let title = (tier, direction);
        if last_title != Some(title) {
            let _ = writeln!(text, "{}, {}", tier.name(), direction.name());
            last_title = Some(title);
        }
        let preposition = preposition(*direction);
        let _ = writeln!(text, "  {protocol} {port:<5} {preposition} {peer}");
        if matches!(tier, NetworkTier::Tasks | NetworkTier::Instances) {
            let hosts = format!("for {}", used_for.join(", "));
            let _ = writeln!(text, "{}", style.wrap(&hosts, 14));
        }
    }
    if requirements.security_group_rules.is_empty() {
        text.push_str("nothing\n");
    }
}

fn write_network_acls(text: &mut String, requirements: &Requirements, style: Style) {
    write_heading(
        text,
        "Network ACLs must allow at least (the default network ACL allows all traffic):",
        style,
    );
    let mut last_tier = None;
    for rule in &requirements.network_acl_rules {
        let NetworkAclRule {
            tier,
            direction,
            protocol,
            from_port,
            to_port,
            peer,
            is_response,
        } = rule;
        if last_tier != Some(tier) {
            let _ = writeln!(text, "subnets of the {}", tier.name());
            last_tier = Some(tier);
        }
        let ports = if from_port == to_port {
            from_port.to_string()
        } else {
            format!("{from_port}-{to_port}")
        };
        let traffic = if *is_response {
            "responses"
        } else {
            "requests"
        };
        let (name, preposition) = (direction.name(), preposition(*direction));
        let _ = writeln!(
            text,
            "  {name:<8}  {protocol} {ports:<10}  {traffic:<9}  {preposition} {peer}"
        );
    }
    if requirements.network_acl_rules.is_empty() {
        text.push_str("nothing\n");
    }
}

const fn preposition(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "from",
        Direction::Outbound => "to",
    }
}

fn write_notes(text: &mut String, requirements: &Requirements, style: Style) {
    write_heading(text, "Notes:", style);
    for note in &requirements.notes {
        let _ = writeln!(text, "- {}", style.wrap(note, 2).trim_start());
    }
}

/// Writes the optional statements first, so that the policy is last and can be copied from below
/// its heading to the end.
fn write_policy(text: &mut String, requirements: &Requirements, role: IamRole, style: Style) {
    let name = requirements.role(role);
    let scope = match role {
        IamRole::Execution if requirements.uses_instance_role => {
            "at least, besides the permissions of the agent"
        }
        IamRole::Execution => "at least",
        IamRole::Task => "at least, besides the permissions of the application",
    };
    for optional in requirements.policies.optional_of(role) {
        let heading = format!("The {name} also needs this statement if {}:", optional.when);
        write_heading(text, &heading, style);
        write_json(text, &optional.statement);
    }
    let managed = requirements.policies.managed(role);
    for (n, policy) in managed.iter().enumerate() {
        let heading = format!(
            "The {name} needs {scope}, as managed policy {} of {}:",
            n + 1,
            managed.len()
        );
        write_heading(text, &heading, style);
        write_json(text, policy);
    }
    if !managed.is_empty() {
        return;
    }
    let policy = requirements.policies.of_role(role);
    if policy.is_empty() {
        write_sentence(
            text,
            &format!("The {name} needs no permissions to start the task."),
            style,
        );
    } else {
        write_heading(text, &format!("The {name} needs {scope}:"), style);
        write_json(text, policy);
    }
}

fn write_json(text: &mut String, value: &impl Serialize) {
    // Policies have only string keys, so they can always be written as JSON.
    let json = serde_json::to_string_pretty(value).unwrap_or_default();
    let _ = writeln!(text, "{json}");
}
