//! The schedules as an AWS CloudFormation template.

use serde_json::{Value, json};

use super::preamble::{CREATE_LOG_GROUP, preamble};
use super::role;
use crate::operator::error::OperatorError;
use crate::operator::schedule::dashboard::dashboard_name;
use crate::operator::schedule::set::{RunTarget, ScheduleSet};
use crate::render::cloudformation::{logical_id, with_account};
use crate::render::template::{Template, attribute, reference};
use crate::render::tree::Tree;

/// Most resources of a template (AWS CloudFormation quotas).
const MAX_RESOURCES: usize = 500;

/// Largest template in Amazon S3, and in the request itself, in bytes (AWS CloudFormation quotas).
const MAX_SIZE: usize = 1_000_000;
const MAX_REQUEST_SIZE: usize = 51_200;

const GROUP: &str = "ScheduleGroup";
const DEFINITION: &str = "ProbeTaskDefinition";
const ROLE: &str = "SchedulerRole";
const LOG_GROUP: &str = "LogGroup";

/// Renders the template. Fails if it exceeds a quota of CloudFormation.
pub fn render(set: &ScheduleSet) -> Result<String, OperatorError> {
    let subnets = set.launch.subnets.len();
    let too_large = |what: String| {
        Err(OperatorError::Usage(format!(
            "a template for {subnets} subnets has {what}: split the subnets into several templates with --subnets and --name"
        )))
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
    add_common(set, &mut template);
    for subnet in &set.launch.subnets {
        add_subnet(set, &mut template, subnet)?;
    }
    if set.dashboard {
        let body = set.dashboard().to_string();
        template.resource(
            "Dashboard",
            "AWS::CloudWatch::Dashboard",
            None,
            vec![
                ("DashboardName", dashboard_name(&set.group()).into()),
                ("DashboardBody", body.into()),
            ],
        );
    }
    if template.resources.len() > MAX_RESOURCES {
        return too_large(format!(
            "{} resources, but CloudFormation takes {MAX_RESOURCES}",
            template.resources.len()
        ));
    }
    let body = to_yaml(&template)?;
    let bucket = if body.len() > MAX_REQUEST_SIZE - 2_000 {
        " \\\n      --s3-bucket BUCKET"
    } else {
        ""
    };
    let stack: String = set
        .group()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let usage = format!(
        "Written by pullprobe schedule print. Deploy it with:
  aws cloudformation deploy --region {} --stack-name {stack} \\
      --capabilities CAPABILITY_IAM --template-file FILE{bucket}",
        set.launch.plan.region
    );
    template.comment = preamble(set, &usage);
    let yaml = to_yaml(&template)?;
    if yaml.len() > MAX_SIZE {
        return too_large(format!(
            "{} bytes, but CloudFormation takes {MAX_SIZE}",
            yaml.len()
        ));
    }
    Ok(yaml)
}

fn to_yaml(template: &Template) -> Result<String, OperatorError> {
    template.to_yaml().map_err(OperatorError::usage)
}

/// Adds the resources that all subnets share.
fn add_common(set: &ScheduleSet, template: &mut Template) {
    template.resource(
        GROUP,
        "AWS::Scheduler::ScheduleGroup",
        None,
        vec![("Name", set.group().into())],
    );
    let log = vec![
        ("LogGroupName", set.log_group.as_str().into()),
        ("RetentionInDays", set.retention_days.into()),
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
        capitalized(&json!(set.definition.request())),
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

/// Adds the schedule and the alarms of a subnet.
fn add_subnet(
    set: &ScheduleSet,
    template: &mut Template,
    subnet: &str,
) -> Result<(), OperatorError> {
    let id = logical_id(subnet);
    // Role and task definition become references.
    let target = RunTarget {
        cluster: &set.cluster_arn("*"),
        role: "",
        task_definition: "",
    };
    let mut schedule = json!(set.schedule(subnet, target)?);
    schedule["Name"] = subnet.into();
    let ecs = &mut schedule["Target"]["EcsParameters"];
    // The API has these names in lower case, CloudFormation does not.
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
            Tree::from(&json!(alarm)),
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

/// Returns the value with every name capitalized.
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
