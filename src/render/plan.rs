//! A plan and what it needs, for a person at a terminal who copies from it.

use std::fmt::Write as _;

use serde::Serialize;

use super::text::{WIDTH, wrap};
use crate::plan::Plan;
use crate::plan::requirements::{
    AclRule, Flow, GroupRule, IamRole, Kind, Part, Requirements, SecurityGroup,
};

/// The parts as text, in the order in which somebody sets them up.
pub fn render(plan: &Plan, needs: &Requirements, parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Contacts => contacts(&mut text, plan),
            Part::Endpoints => endpoints(&mut text, needs),
            Part::SecurityGroups => security_groups(&mut text, needs),
            Part::NetworkAcls => network_acls(&mut text, needs),
            Part::Notes => list(&mut text, "To know", &needs.notes),
            Part::TaskRolePolicy => policy(&mut text, needs, IamRole::Task),
            Part::Policy => policy(&mut text, needs, IamRole::Execution),
        }
    }
    text
}

fn heading(text: &mut String, heading: &str) {
    let space = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{space}{}\n", wrap(heading, 0));
}

/// In one line each where all fit into the terminal, else in two.
fn contacts(text: &mut String, plan: &Plan) {
    heading(
        text,
        &format!(
            "Contacts (region {}, platform {}):",
            plan.region, plan.platform
        ),
    );
    let lines = plan.to_string();
    if lines.lines().all(|line| line.chars().count() <= WIDTH) {
        text.push_str(&lines);
    } else {
        let first = plan
            .targets
            .iter()
            .map(|target| target.dependency.name().len())
            .max()
            .unwrap_or_default();
        for target in &plan.targets {
            let place = format!("{}:{}", target.host, target.port);
            let phases: Vec<_> = target.phases.iter().map(|phase| phase.name()).collect();
            // A name that would not fit beside its dependency has a line of its own.
            let fits = first + 2 + place.chars().count() <= WIDTH;
            let space = if fits {
                format!("{:1$}", "", first - target.dependency.name().len())
            } else {
                "\n".into()
            };
            let _ = writeln!(text, "{}{space}  {place}", target.dependency);
            let _ = writeln!(text, "{:first$}    {}", "", phases.join(" "));
        }
    }
    for unchecked in &plan.unchecked {
        let line = format!(
            "not checked: {} {}: {}",
            unchecked.dependency, unchecked.subject, unchecked.why
        );
        let _ = writeln!(text, "{}", wrap(&line, 0));
    }
}

fn endpoints(text: &mut String, needs: &Requirements) {
    heading(
        text,
        "VPC endpoints that a subnet without a way to the internet needs:",
    );
    let width = needs
        .endpoints
        .iter()
        .map(|endpoint| endpoint.service.len())
        .max()
        .unwrap_or_default();
    for endpoint in &needs.endpoints {
        let (kind, how) = match endpoint.kind {
            Kind::Interface => ("interface", "private DNS on"),
            Kind::Gateway => ("gateway", "in the route tables"),
        };
        let _ = writeln!(text, "{kind:<10} {:<width$}  {how}", endpoint.service);
    }
    if needs.endpoints.is_empty() {
        text.push_str("none\n");
    }
    if needs.beyond.is_empty() {
        return;
    }
    let public = needs.beyond.iter().any(|one| !one.is_private());
    let what = if public {
        "They need a way to the internet"
    } else {
        "They need a route of your own"
    };
    heading(
        text,
        &format!("No VPC endpoint leads to these hosts. {what}:"),
    );
    for (why, hosts) in needs.beyond_by_reason() {
        for one in hosts {
            let _ = writeln!(text, "{}:{}", one.host, one.port);
        }
        let _ = writeln!(text, "{}", wrap(&format!("because {why}"), 4));
    }
}

fn security_groups(text: &mut String, needs: &Requirements) {
    heading(text, "Security groups let through at least:");
    let mut of_group = None;
    for rule in &needs.security_groups {
        let title = (rule.group, rule.flow);
        if of_group != Some(title) {
            let _ = writeln!(text, "{} of the {}", flow(rule.flow), rule.group.name());
            of_group = Some(title);
        }
        let GroupRule {
            protocol,
            port,
            peer,
            used_for,
            ..
        } = rule;
        let _ = writeln!(
            text,
            "  {protocol} {port:<5} {} {peer}",
            direction(rule.flow)
        );
        if rule.group == SecurityGroup::Tasks {
            let _ = writeln!(
                text,
                "{}",
                wrap(&format!("for {}", used_for.join(", ")), 14)
            );
        }
    }
    if needs.security_groups.is_empty() {
        text.push_str("nothing\n");
    }
}

fn network_acls(text: &mut String, needs: &Requirements) {
    heading(
        text,
        "Network ACLs, unless they let everything pass as the default one does:",
    );
    let mut of_subnets = None;
    for rule in &needs.network_acls {
        if of_subnets != Some(rule.subnets) {
            let _ = writeln!(text, "subnets of the {}", rule.subnets.name());
            of_subnets = Some(rule.subnets);
        }
        let AclRule {
            protocol,
            from_port,
            to_port,
            peer,
            ..
        } = rule;
        let ports = if from_port == to_port {
            from_port.to_string()
        } else {
            format!("{from_port}-{to_port}")
        };
        let why = if rule.answers { "answers" } else { "requests" };
        let (flow, way) = (flow(rule.flow), direction(rule.flow));
        let _ = writeln!(
            text,
            "  {flow:<8}  {protocol} {ports:<10}  {why:<8}  {way} {peer}"
        );
    }
    if needs.network_acls.is_empty() {
        text.push_str("nothing\n");
    }
}

const fn flow(flow: Flow) -> &'static str {
    match flow {
        Flow::Inbound => "inbound",
        Flow::Outbound => "outbound",
    }
}

const fn direction(flow: Flow) -> &'static str {
    match flow {
        Flow::Inbound => "from",
        Flow::Outbound => "to",
    }
}

fn list(text: &mut String, title: &str, lines: &[String]) {
    heading(text, &format!("{title}:"));
    for line in lines {
        let _ = writeln!(text, "- {}", wrap(line, 2).trim_start());
    }
}

/// What is needed under conditions first, so that the whole policy comes last and can be cut off
/// below its heading.
fn policy(text: &mut String, needs: &Requirements, role: IamRole) {
    let (whose, policy, what) = match role {
        IamRole::Execution => ("execution role", &needs.execution_role_policy, "at least"),
        IamRole::Task => (
            "task role",
            &needs.task_role_policy,
            "at least, besides what the containers do themselves",
        ),
    };
    for extra in needs
        .extra_statements
        .iter()
        .filter(|extra| extra.role == role)
    {
        heading(
            text,
            &format!("The {whose} needs this statement too, if {}:", extra.when),
        );
        json(text, &extra.statement);
    }
    if policy.is_empty() {
        heading(
            text,
            &format!("The {whose} needs nothing for the task to start."),
        );
    } else {
        heading(text, &format!("The {whose} needs {what}:"));
        json(text, policy);
    }
}

fn json(text: &mut String, value: &impl Serialize) {
    let _ = writeln!(
        text,
        "{}",
        serde_json::to_string_pretty(value).unwrap_or_default()
    );
}
