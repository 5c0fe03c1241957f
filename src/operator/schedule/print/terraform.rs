//! The schedules as a Terraform module of one file.

use serde_json::{Value, json};

use super::{CREATE_LOG_GROUP, preamble, role};
use crate::operator::schedule::Set;
use crate::render::hcl::{self, Expression, Item, attribute, block, file, quote, raw};
use crate::render::terraform::{ACCOUNT, identifier, with_account};
use crate::render::tree::Tree;

const HOW: &str =
    "A module of one file, by pullprobe schedule print: put it into a directory of its own.
It takes the provider hashicorp/aws, version 5 or newer, for that region.";

const GROUP: &str = "aws_scheduler_schedule_group.probe.name";
const DEFINITION: &str = "aws_ecs_task_definition.probe.arn";
const ROLE: &str = "aws_iam_role.scheduler.arn";

/// The module.
pub fn render(set: &Set) -> Result<String, String> {
    let create = vec![
        attribute("type", raw("bool")),
        attribute("description", CREATE_LOG_GROUP),
        attribute("default", raw("true")),
    ];
    let mut items = vec![
        Item::Comment(preamble(set, HOW)),
        block(r#"variable "create_log_group""#, create),
        block(r#"data "aws_caller_identity" "current""#, Vec::new()),
        resource(
            "aws_scheduler_schedule_group",
            "probe",
            vec![attribute("name", set.group())],
        ),
    ];
    let log = vec![
        attribute("count", raw("var.create_log_group ? 1 : 0")),
        attribute("name", set.log_group.as_str()),
        attribute("retention_in_days", raw(set.retention.to_string())),
    ];
    items.push(resource("aws_cloudwatch_log_group", "probe", log));
    items.push(resource(
        "aws_ecs_task_definition",
        "probe",
        definition(set),
    ));
    items.extend(scheduler_role(set));
    for subnet in &set.launch.subnets {
        let name = identifier(subnet);
        items.push(resource(
            "aws_scheduler_schedule",
            &name,
            schedule(set, subnet)?,
        ));
        for (kind, alarm) in ["failed", "no_data"].into_iter().zip(set.alarms(subnet)) {
            items.push(resource(
                "aws_cloudwatch_metric_alarm",
                &format!("{kind}_{name}"),
                self::alarm(alarm),
            ));
        }
    }
    let spaced = items
        .into_iter()
        .flat_map(|item| [Item::Space, item])
        .skip(1);
    Ok(file(&spaced.collect::<Vec<_>>()))
}

fn resource(kind: &str, name: &str, items: Vec<Item>) -> Item {
    block(format!("resource {} {}", quote(kind), quote(name)), items)
}

fn definition(set: &Set) -> Vec<Item> {
    let mut body = set.definition.body();
    let containers = Tree::from(&body["containerDefinitions"].take());
    body["tags"] = pairs(&body["tags"], "key", "value");
    let mut items = members(&body);
    items.retain(
        |item| !matches!(item, Item::Attribute(name, _) if name == "container_definitions"),
    );
    items.push(attribute(
        "container_definitions",
        hcl::json(containers.into()),
    ));
    items
}

fn scheduler_role(set: &Set) -> [Item; 2] {
    let trust = role::trust(set, marked(ACCOUNT).into());
    let policy = role::policy(set, marked(DEFINITION).into());
    let role = vec![
        attribute("name_prefix", "pullprobe-scheduler-"),
        attribute(
            "description",
            format!("EventBridge Scheduler runs the probe: {}", set.name),
        ),
        attribute(
            "assume_role_policy",
            hcl::json(referring(with_account(trust))),
        ),
    ];
    let policy = vec![
        attribute("name", role::POLICY),
        attribute("role", raw("aws_iam_role.scheduler.id")),
        attribute("policy", hcl::json(referring(with_account(policy)))),
    ];
    [
        resource("aws_iam_role", "scheduler", role),
        resource("aws_iam_role_policy", "scheduler", policy),
    ]
}

/// The provider flattens `awsvpcConfiguration`, and has a flag for the public address.
fn schedule(set: &Set, subnet: &str) -> Result<Vec<Item>, String> {
    let mut body = set.schedule(subnet, ("", &marked(ROLE), &marked(DEFINITION)))?;
    body["Name"] = subnet.into();
    body["GroupName"] = marked(GROUP).into();
    let ecs = &mut body["Target"]["EcsParameters"];
    ecs["NetworkConfiguration"] = ecs["NetworkConfiguration"]["awsvpcConfiguration"].take();
    let public = &mut ecs["NetworkConfiguration"]["AssignPublicIp"];
    *public = json!(*public == "ENABLED");
    ecs["Tags"] = pairs(&ecs["Tags"], "key", "value");
    body["Target"]["Arn"] = set.cluster_arn("*").into();
    let mut items = members(&body);
    // Without the policy the first run would be refused.
    items.push(attribute(
        "depends_on",
        raw("[aws_iam_role_policy.scheduler]"),
    ));
    Ok(items)
}

fn alarm(mut alarm: Value) -> Vec<Item> {
    alarm["Dimensions"] = pairs(&alarm["Dimensions"], "Name", "Value");
    alarm["Tags"] = pairs(&alarm["Tags"], "Key", "Value");
    members(&alarm)
}

/// A list of names and values as one object.
fn pairs(list: &Value, name: &str, value: &str) -> Value {
    let pair = |one: &Value| Some((one[name].as_str()?.to_owned(), one[value].clone()));
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(pair)
        .collect()
}

/// Objects that are arguments; all others are blocks.
const MAPS: [&str; 2] = ["tags", "dimensions"];

/// The members of an API's structure as a resource's arguments and blocks, arguments first.
fn members(structure: &Value) -> Vec<Item> {
    let (mut arguments, mut blocks) = (Vec::new(), Vec::new());
    for (name, value) in structure.as_object().into_iter().flatten() {
        let name = snake(name);
        match value {
            Value::Object(_) if !MAPS.contains(&name.as_str()) => {
                blocks.push(block(name, members(value)))
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                blocks.extend(items.iter().map(|item| block(name.as_str(), members(item))));
            }
            value => arguments.push(attribute(&name, referring(with_account(value.into())))),
        }
    }
    arguments
        .into_iter()
        .chain(blocks.into_iter().flat_map(|block| [Item::Space, block]))
        .collect()
}

/// Stands before a reference among texts: no name, id or ARN has it.
const MARK: char = '\u{1}';

fn marked(reference: &str) -> String {
    format!("{MARK}{reference}")
}

/// The same with the references that are marked.
fn referring(expression: Expression) -> Expression {
    match expression {
        Expression::Raw(text) => match text
            .strip_prefix("\"\\u0001")
            .and_then(|rest| rest.strip_suffix('"'))
        {
            Some(reference) => raw(reference),
            None => raw(text),
        },
        Expression::List(items) => Expression::List(items.into_iter().map(referring).collect()),
        Expression::Object(entries) => Expression::Object(
            entries
                .into_iter()
                .map(|(name, value)| (name, referring(value)))
                .collect(),
        ),
        around @ Expression::Around(..) => around,
    }
}

/// `enable_ecs_managed_tags` of `EnableECSManagedTags`.
fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (n, letter) in letters.iter().enumerate() {
        let before = n.checked_sub(1).and_then(|n| letters.get(n));
        let after = letters.get(n + 1);
        let begins = before.is_some_and(|before| {
            before.is_ascii_lowercase()
                || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
        });
        if letter.is_ascii_uppercase() && begins {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_provider() {
        for (api, provider) in [
            ("EnableECSManagedTags", "enable_ecs_managed_tags"),
            ("OKActions", "ok_actions"),
            ("MaximumEventAgeInSeconds", "maximum_event_age_in_seconds"),
            ("taskRoleArn", "task_role_arn"),
            ("Arn", "arn"),
        ] {
            assert_eq!(snake(api), provider);
        }
    }

    #[test]
    fn a_reference_is_marked_and_a_text_is_none() {
        let written = |text: &str| match referring(text.into()) {
            Expression::Raw(raw) => raw,
            other => format!("{other:?}"),
        };
        assert_eq!(written(&marked(ROLE)), ROLE);
        assert_eq!(written(ROLE), quote(ROLE));
    }
}
