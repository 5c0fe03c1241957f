//! The role that EventBridge Scheduler assumes: who may, and what it may then do.

use crate::operator::schedule::Set;
use crate::render::tree::Tree;

/// The name of its only policy.
pub const POLICY: &str = "run-the-probe";

/// Who may assume it: EventBridge Scheduler, for these schedules alone. Without the conditions it
/// could be made to use this role by whoever names it in a schedule elsewhere (EventBridge
/// Scheduler user guide, "Confused deputy prevention": the source is the schedule group). `account`
/// is the account's number.
pub fn trust(set: &Set, account: Tree) -> Tree {
    let region = &set.launch.plan.region;
    let group = format!(
        "arn:{}:scheduler:{region}:*:schedule-group/{}",
        region.partition().name(),
        set.group()
    );
    document([Tree::map([
        ("Effect", "Allow".into()),
        (
            "Principal",
            Tree::map([("Service", "scheduler.amazonaws.com".into())]),
        ),
        ("Action", "sts:AssumeRole".into()),
        (
            "Condition",
            Tree::map([
                ("StringEquals", Tree::map([("aws:SourceAccount", account)])),
                ("ArnEquals", Tree::map([("aws:SourceArn", group.into())])),
            ]),
        ),
    ])])
}

/// What it may do: run this task definition on this cluster, tag the task that it starts, and hand
/// it its role. `definition` is the task definition's ARN.
pub fn policy(set: &Set, definition: Tree) -> Tree {
    let cluster = set.cluster_arn("*");
    // `…:cluster/prod` and `…:task/prod/*`.
    let tasks = format!("{}/*", cluster.replacen(":cluster/", ":task/", 1));
    let role = match set.definition.role.as_str() {
        arn if arn.starts_with("arn:") => arn.to_owned(),
        name => format!(
            "arn:{}:iam::*:role/{name}",
            set.launch.plan.region.partition().name()
        ),
    };
    document([
        statement(
            ("RunTheProbe", "ecs:RunTask"),
            definition,
            ("ArnEquals", "ecs:cluster", cluster),
        ),
        statement(
            ("TagItsTask", "ecs:TagResource"),
            tasks.into(),
            ("StringEquals", "ecs:CreateAction", "RunTask".into()),
        ),
        statement(
            ("PassTheRole", "iam:PassRole"),
            role.into(),
            (
                "StringEquals",
                "iam:PassedToService",
                "ecs-tasks.amazonaws.com".into(),
            ),
        ),
    ])
}

fn document<const N: usize>(statements: [Tree; N]) -> Tree {
    Tree::map([
        ("Version", crate::plan::requirements::Policy::VERSION.into()),
        ("Statement", Tree::List(statements.into())),
    ])
}

fn statement(
    (sid, action): (&str, &str),
    resource: Tree,
    (operator, key, value): (&str, &str, String),
) -> Tree {
    Tree::map([
        ("Sid", sid.into()),
        ("Effect", "Allow".into()),
        ("Action", action.into()),
        ("Resource", resource),
        (
            "Condition",
            Tree::map([(operator, Tree::map([(key, value.into())]))]),
        ),
    ])
}
