//! The role that EventBridge Scheduler assumes: trust policy and permissions.

use crate::operator::schedule::set::ScheduleSet;
use crate::render::policy::of_trees;
use crate::render::tree::Tree;

/// The name of its only policy.
pub const POLICY: &str = "run-the-probe";

/// Returns the trust policy: EventBridge Scheduler may assume the role for these schedules only.
/// Without the conditions, a schedule of another account could name the role (EventBridge Scheduler
/// user guide, "Confused deputy prevention": the source is the schedule group). `account` is the
/// account ID.
pub fn trust(set: &ScheduleSet, account: Tree) -> Tree {
    let region = &set.launch.plan.region;
    let group = format!(
        "arn:{}:scheduler:{region}:*:schedule-group/{}",
        region.partition().name(),
        set.group()
    );
    of_trees([Tree::map([
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

/// Returns the permissions: run this task definition in this cluster, tag the task, and pass its
/// role. `definition` is the task definition's ARN.
pub fn policy(set: &ScheduleSet, definition: Tree) -> Tree {
    let cluster = set.cluster_arn("*");
    // `…:cluster/prod` and `…:task/prod/*`.
    let tasks = format!("{}/*", cluster.replacen(":cluster/", ":task/", 1));
    let role = match set.definition.role() {
        arn if arn.starts_with("arn:") => arn.to_owned(),
        name => format!(
            "arn:{}:iam::*:role/{name}",
            set.launch.plan.region.partition().name()
        ),
    };
    let statements = [
        Statement {
            sid: "RunTheProbe",
            action: "ecs:RunTask",
            resource: definition,
            operator: "ArnEquals",
            key: "ecs:cluster",
            value: cluster,
        },
        Statement {
            sid: "TagItsTask",
            action: "ecs:TagResource",
            resource: tasks.into(),
            operator: "StringEquals",
            key: "ecs:CreateAction",
            value: "RunTask".into(),
        },
        Statement {
            sid: "PassTheRole",
            action: "iam:PassRole",
            resource: role.into(),
            operator: "StringEquals",
            key: "iam:PassedToService",
            value: "ecs-tasks.amazonaws.com".into(),
        },
    ];
    of_trees(statements.map(Statement::into_tree))
}

/// A statement that allows one action under one condition.
struct Statement {
    sid: &'static str,
    action: &'static str,
    resource: Tree,
    /// Condition operator.
    operator: &'static str,
    /// Condition key.
    key: &'static str,
    /// Condition value.
    value: String,
}

impl Statement {
    fn into_tree(self) -> Tree {
        let condition = Tree::map([(self.key, self.value.into())]);
        Tree::map([
            ("Sid", self.sid.into()),
            ("Effect", "Allow".into()),
            ("Action", self.action.into()),
            ("Resource", self.resource),
            ("Condition", Tree::map([(self.operator, condition)])),
        ])
    }
}
