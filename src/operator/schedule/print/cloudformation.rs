//! The schedules as an AWS CloudFormation template.

use serde_json::Value;

use super::{CREATE_LOG_GROUP, preamble, role};
use crate::operator::schedule::Set;
use crate::render::cloudformation::{logical_id, with_account};
use crate::render::template::{Template, attribute, reference};
use crate::render::tree::Tree;

/// Resources of one template (AWS CloudFormation quotas).
const MOST_RESOURCES: usize = 500;

/// Bytes of a template in Amazon S3, and of one in the request itself (AWS CloudFormation quotas).
const LARGEST: usize = 1_000_000;
const LARGEST_IN_REQUEST: usize = 51_200;

const GROUP: &str = "ScheduleGroup";
const DEFINITION: &str = "ProbeTaskDefinition";
const ROLE: &str = "SchedulerRole";
const LOG_GROUP: &str = "LogGroup";

/// The template. Fails, with a sentence, where CloudFormation cannot take it.
pub fn render(set: &Set) -> Result<String, String> {
    let subnets = set.launch.subnets.len();
    let too_large = |what: String| {
        Err(format!(
            "a template for {subnets} subnets has {what}: make several, with some of the subnets each (--subnets, --name)"
        ))
    };
    let mut template = Template {
        description: format!(
            "pullprobe {}: rehearses the start of a task every {}",
            set.name,
            set.interval()
        ),
        ..Template::default()
    };
    template.choice(
        "CreateLogGroup",
        CREATE_LOG_GROUP,
        ["true", "false"],
        "true",
    );
    let create = Tree::map([(
        "Fn::Equals",
        Tree::list([reference("CreateLogGroup"), "true".into()]),
    )]);
    template
        .conditions
        .push(("LogGroupIsCreated".into(), create));
    base(set, &mut template);
    for subnet in &set.launch.subnets {
        vantage(set, &mut template, subnet)?;
    }
    if template.resources.len() > MOST_RESOURCES {
        return too_large(format!(
            "{} resources, where CloudFormation takes {MOST_RESOURCES}",
            template.resources.len()
        ));
    }
    let body = template.to_yaml().map_err(|error| error.to_string())?;
    let bucket = if body.len() > LARGEST_IN_REQUEST - 2_000 {
        " \\\n      --s3-bucket BUCKET"
    } else {
        ""
    };
    let stack: String = set
        .group()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let how = format!(
        "By pullprobe schedule print; to set it up:
  aws cloudformation deploy --region {} --stack-name {stack} \\
      --capabilities CAPABILITY_IAM --template-file FILE{bucket}",
        set.launch.plan.region
    );
    template.comment = preamble(set, &how);
    let yaml = template.to_yaml().map_err(|error| error.to_string())?;
    if yaml.len() > LARGEST {
        return too_large(format!(
            "{} bytes, where CloudFormation takes {LARGEST}",
            yaml.len()
        ));
    }
    Ok(yaml)
}

/// What all subnets share.
fn base(set: &Set, template: &mut Template) {
    template.resource(
        GROUP,
        "AWS::Scheduler::ScheduleGroup",
        None,
        vec![("Name", set.group().into())],
    );
    let log = vec![
        ("LogGroupName", set.log_group.as_str().into()),
        ("RetentionInDays", set.retention.into()),
    ];
    template.resource(
        LOG_GROUP,
        "AWS::Logs::LogGroup",
        Some("LogGroupIsCreated"),
        log,
    );
    add(
        template,
        DEFINITION,
        "AWS::ECS::TaskDefinition",
        capitalized(&set.definition.body()),
    );
    let policy = Tree::map([
        ("PolicyName", role::POLICY.into()),
        ("PolicyDocument", role::policy(set, reference(DEFINITION))),
    ]);
    let role = Tree::map([
        (
            "Description",
            format!("EventBridge Scheduler runs the probe: {}", set.name).into(),
        ),
        (
            "AssumeRolePolicyDocument",
            role::trust(set, reference("AWS::AccountId")),
        ),
        ("Policies", Tree::List(vec![policy])),
    ]);
    add(template, ROLE, "AWS::IAM::Role", role);
}

fn vantage(set: &Set, template: &mut Template, subnet: &str) -> Result<(), String> {
    let id = logical_id(subnet);
    let mut schedule = set.schedule(subnet, (&set.cluster_arn("*"), "", ""))?;
    schedule["Name"] = subnet.into();
    let ecs = &mut schedule["Target"]["EcsParameters"];
    // The API has these names in lower case, CloudFormation's schema has them as its own.
    for member in ["NetworkConfiguration", "CapacityProviderStrategy"] {
        if !ecs[member].is_null() {
            ecs[member] = with_capitals(&ecs[member]);
        }
    }
    let schedule = Tree::from(&schedule)
        .with_entries("GroupName", &reference(GROUP))
        .with_entries("TaskDefinitionArn", &reference(DEFINITION))
        .with_entries("RoleArn", &attribute(ROLE, "Arn"));
    add(
        template,
        &format!("Schedule{id}"),
        "AWS::Scheduler::Schedule",
        schedule,
    );
    for (name, alarm) in ["FailedAlarm", "NoDataAlarm"]
        .into_iter()
        .zip(set.alarms(subnet))
    {
        add(
            template,
            &format!("{name}{id}"),
            "AWS::CloudWatch::Alarm",
            Tree::from(&alarm),
        );
    }
    Ok(())
}

fn add(template: &mut Template, id: &str, kind: &str, properties: Tree) {
    let Tree::Map(entries) = with_account(properties) else {
        return;
    };
    let properties = entries
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    template.resource(id, kind, None, properties);
}

fn capitalized(value: &Value) -> Tree {
    Tree::from(&with_capitals(value))
}

/// The same with a capital at the beginning of every name.
fn with_capitals(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
                (first.to_ascii_uppercase() + rest, with_capitals(value))
            })
            .collect(),
        Value::Array(items) => items.iter().map(with_capitals).collect(),
        other => other.clone(),
    }
}
