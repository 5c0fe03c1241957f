//! The schedules as a Terraform module of one file.

use serde_json::{Value, json};

use super::preamble::{CREATE_LOG_GROUP, preamble};
use super::role;
use crate::operator::error::OperatorError;
use crate::operator::schedule::dashboard::dashboard_name;
use crate::operator::schedule::set::{RunTarget, ScheduleSet};
use crate::render::hcl::{self, Expression, Item, attribute, block, raw, resource, spaced_file};
use crate::render::terraform::{ACCOUNT, identifier, with_account};
use crate::render::tree::Tree;

const USAGE: &str =
    "A module in one file, written by pullprobe schedule print: put it into its own directory.
It needs the provider hashicorp/aws, version 5 or newer, for that region.";

const GROUP: &str = "aws_scheduler_schedule_group.probe.name";
const DEFINITION: &str = "aws_ecs_task_definition.probe.arn";
const ROLE: &str = "aws_iam_role.scheduler.arn";

/// Renders the module. Fails if a request cannot be built.
pub fn render(set: &ScheduleSet) -> Result<String, OperatorError> {
    let create = vec![
        attribute("type", raw("bool")),
        attribute("description", CREATE_LOG_GROUP),
        attribute("default", raw("true")),
    ];
    let mut items = vec![
        Item::Comment(preamble(set, USAGE)),
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
        attribute("retention_in_days", raw(set.retention_days.to_string())),
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
                self::alarm(json!(alarm)),
            ));
        }
    }
    if set.dashboard {
        let body: Expression = Tree::from(&set.dashboard()).into();
        items.push(resource(
            "aws_cloudwatch_dashboard",
            "probe",
            vec![
                attribute("dashboard_name", dashboard_name(&set.group())),
                attribute("dashboard_body", hcl::json(body)),
            ],
        ));
    }
    Ok(spaced_file(items))
}

fn definition(set: &ScheduleSet) -> Vec<Item> {
    let mut body = json!(set.definition.request());
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

fn scheduler_role(set: &ScheduleSet) -> [Item; 2] {
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

/// Returns a schedule's arguments and blocks. The provider flattens `awsvpcConfiguration`, and its
/// `assign_public_ip` is a boolean.
fn schedule(set: &ScheduleSet, subnet: &str) -> Result<Vec<Item>, OperatorError> {
    let target = RunTarget {
        cluster: &set.cluster_arn("*"),
        role: &marked(ROLE),
        task_definition: &marked(DEFINITION),
    };
    let mut body = json!(set.schedule(subnet, target)?);
    body["Name"] = subnet.into();
    body["GroupName"] = marked(GROUP).into();
    let ecs = &mut body["Target"]["EcsParameters"];
    ecs["NetworkConfiguration"] = ecs["NetworkConfiguration"]["awsvpcConfiguration"].take();
    let public = &mut ecs["NetworkConfiguration"]["AssignPublicIp"];
    *public = json!(*public == "ENABLED");
    ecs["Tags"] = pairs(&ecs["Tags"], "key", "value");
    let mut items = members(&body);
    // Without the policy, the first run would be denied.
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

/// Converts a list of names and values to an object.
fn pairs(list: &Value, name: &str, value: &str) -> Value {
    let pair = |item: &Value| Some((item[name].as_str()?.to_owned(), item[value].clone()));
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(pair)
        .collect()
}

/// Objects that are arguments of the provider; all others are blocks.
const MAPS: [&str; 2] = ["tags", "dimensions"];

/// Converts the members of a request to arguments and blocks, arguments first.
fn members(structure: &Value) -> Vec<Item> {
    let (mut arguments, mut blocks) = (Vec::new(), Vec::new());
    for (name, value) in structure.as_object().into_iter().flatten() {
        let name = snake(name);
        match value {
            Value::Object(_) if !MAPS.contains(&name.as_str()) => {
                blocks.push(block(name, members(value)));
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

/// Marks a string that is a reference. No name, ID or ARN contains this character.
const MARK: char = '\u{1}';

fn marked(reference: &str) -> String {
    format!("{MARK}{reference}")
}

/// Converts marked strings to references.
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

/// Converts `EnableECSManagedTags` to `enable_ecs_managed_tags`.
fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (n, letter) in letters.iter().enumerate() {
        let before = n.checked_sub(1).and_then(|n| letters.get(n));
        let after = letters.get(n + 1);
        let begins_word = before.is_some_and(|before| {
            before.is_ascii_lowercase()
                || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
        });
        if letter.is_ascii_uppercase() && begins_word {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::hcl::quote;

    #[test]
    fn names_are_converted_to_snake_case() {
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
    fn only_marked_strings_become_references() {
        let written = |text: &str| match referring(text.into()) {
            Expression::Raw(raw) => raw,
            other => format!("{other:?}"),
        };
        assert_eq!(written(&marked(ROLE)), ROLE);
        assert_eq!(written(ROLE), quote(ROLE));
    }
}
