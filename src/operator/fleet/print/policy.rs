//! The policies of the roles, each with the actions that are called and no other.

use crate::operator::fleet::role::SPOKE_ROLE;
use crate::operator::install::DEFAULT_REPOSITORY;
use crate::operator::launch::FAMILY_PREFIX;
use crate::operator::launch::function::role::ROLE_NAME;
use crate::render::policy::of_trees;
use crate::render::tree::Tree;

/// A statement that allows actions.
struct AllowStatement {
    sid: &'static str,
    actions: Vec<&'static str>,
    resources: Vec<String>,
    /// Operator, key and values.
    condition: Option<(&'static str, &'static str, Vec<&'static str>)>,
}

fn allow(sid: &'static str, actions: &[&'static str], resources: &[&str]) -> AllowStatement {
    AllowStatement {
        sid,
        actions: actions.to_vec(),
        resources: resources
            .iter()
            .map(|resource| (*resource).to_owned())
            .collect(),
        condition: None,
    }
}

impl AllowStatement {
    fn when(mut self, operator: &'static str, key: &'static str, values: &[&'static str]) -> Self {
        self.condition = Some((operator, key, values.to_vec()));
        self
    }

    fn into_tree(self) -> Tree {
        let mut entries = vec![
            ("Sid".to_owned(), self.sid.into()),
            ("Effect".to_owned(), "Allow".into()),
            ("Action".to_owned(), Tree::list(self.actions)),
            ("Resource".to_owned(), Tree::list(self.resources)),
        ];
        if let Some((operator, key, values)) = self.condition {
            let condition = Tree::map([(key, Tree::list(values))]);
            entries.push(("Condition".to_owned(), Tree::map([(operator, condition)])));
        }
        Tree::Map(entries)
    }
}

fn document(statements: Vec<AllowStatement>) -> Tree {
    of_trees(statements.into_iter().map(AllowStatement::into_tree))
}

/// Returns the trust policy of a role that a service assumes.
pub fn trust_of_service(service: &str) -> Tree {
    of_trees([Tree::map([
        ("Effect", "Allow".into()),
        ("Principal", Tree::map([("Service", service.into())])),
        ("Action", "sts:AssumeRole".into()),
    ])])
}

/// Returns the trust policy of the role of a spoke: the hub's worker, and the operator who runs
/// `fleet` in the hub account, with the external ID.
pub fn trust_of_spoke() -> Tree {
    let principal = Tree::map([("AWS", "arn:{{Partition}}:iam::{{HubAccount}}:root".into())]);
    let statement = |action: &str, condition: Tree| {
        Tree::map([
            ("Effect", "Allow".into()),
            ("Principal", principal.clone()),
            ("Action", action.into()),
            ("Condition", condition),
        ])
    };
    let id = Tree::map([(
        "StringEquals",
        Tree::map([("sts:ExternalId", "{{ExternalId}}".into())]),
    )]);
    let tags = Tree::map([(
        "ForAllValues:StringEquals",
        Tree::map([("aws:TagKeys", Tree::list(["pullprobe:run"]))]),
    )]);
    of_trees([
        statement("sts:AssumeRole", id),
        statement("sts:TagSession", tags),
    ])
}

/// The worker of the hub: it assumes the roles of the spokes, and stores what it found.
pub fn worker() -> Tree {
    document(vec![
        allow(
            "AssumeTheRolesOfTheSpokes",
            &["sts:AssumeRole", "sts:TagSession"],
            &[&format!("arn:{{{{Partition}}}}:iam::*:role/{SPOKE_ROLE}")],
        ),
        allow(
            "FindEarlierResults",
            &["s3:GetObject"],
            &["{{BucketArn}}/results/*"],
        ),
        allow(
            "StoreResults",
            &["s3:PutObject"],
            &[
                "{{BucketArn}}/results/*",
                "{{BucketArn}}/reports/*",
                "{{BucketArn}}/comparisons/*",
                "{{BucketArn}}/inspections/*",
            ],
        ),
        // Without it, Amazon S3 denies a request for a key that does not exist.
        allow(
            "DistinguishAbsentFromDenied",
            &["s3:ListBucket"],
            &["{{BucketArn}}"],
        ),
        write_log("{{WorkerLog}}"),
    ])
}

/// The last step: it reads all reports, stores their comparison, and publishes a message.
pub fn reducer() -> Tree {
    document(vec![
        allow("FindReports", &["s3:ListBucket"], &["{{BucketArn}}"]),
        allow(
            "ReadReports",
            &["s3:GetObject"],
            &[
                "{{BucketArn}}/targets/*",
                "{{BucketArn}}/results/*",
                "{{BucketArn}}/reports/*",
                "{{BucketArn}}/summaries/*",
            ],
        ),
        allow(
            "StoreTheComparison",
            &["s3:PutObject"],
            &[
                "{{BucketArn}}/comparisons/*",
                "{{BucketArn}}/pages/*",
                "{{BucketArn}}/summaries/*",
            ],
        ),
        allow("PublishTheMessage", &["sns:Publish"], &["{{Topic}}"]),
        write_log("{{ReduceLog}}"),
    ])
}

/// The state machine (Step Functions developer guide, "IAM policies for Distributed Map",
/// "ItemReader", "ResultWriter").
pub fn state_machine(name: &str) -> Tree {
    let machine = format!("arn:{{{{Partition}}}}:states:*:{{{{Account}}}}:stateMachine:{name}");
    let executions = format!("arn:{{{{Partition}}}}:states:*:{{{{Account}}}}:execution:{name}/*");
    document(vec![
        allow(
            "InvokeTheFunctions",
            &["lambda:InvokeFunction"],
            &["{{Worker}}", "{{Reducer}}"],
        ),
        allow("StartTheMap", &["states:StartExecution"], &[&machine]),
        allow(
            "WatchTheMap",
            &["states:DescribeExecution", "states:StopExecution"],
            &[&executions],
        ),
        allow(
            "ReadTheTargets",
            &["s3:GetObject"],
            &["{{BucketArn}}/targets/*"],
        ),
        allow(
            "WriteTheMapsResults",
            &[
                "s3:AbortMultipartUpload",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
            ],
            &["{{BucketArn}}/map-runs/*"],
        ),
    ])
}

/// The schedule that starts the state machine.
pub fn schedule() -> Tree {
    let start = allow(
        "StartTheRun",
        &["states:StartExecution"],
        &["{{StateMachine}}"],
    );
    document(vec![start])
}

/// The role of a spoke: what `launch`, `inspect` and `fleet targets` call.
pub fn spoke() -> Tree {
    let mut statements = vec![allow(
        "ListServices",
        &["ecs:ListClusters", "ecs:ListServices"],
        &["*"],
    )];
    statements.extend(launch());
    statements.extend(inspect());
    document(statements)
}

/// The worker that probes in place of a task that failed to start, in its own account.
pub fn failed_start() -> Tree {
    let mut statements = vec![
        allow(
            "ProbeEachServiceOnceAnHour",
            &["s3:GetObject", "s3:PutObject"],
            &["{{BucketArn}}/claims/*"],
        ),
        allow(
            "StoreReports",
            &["s3:PutObject"],
            &["{{BucketArn}}/reports/*"],
        ),
        // Without it, Amazon S3 denies a request for a key that does not exist.
        allow(
            "DistinguishAbsentFromDenied",
            &["s3:ListBucket"],
            &["{{BucketArn}}"],
        ),
        allow("PublishTheVerdict", &["sns:Publish"], &["{{Topic}}"]),
        write_log("{{WorkerLog}}"),
    ];
    statements.extend(launch());
    statements.extend(inspect());
    document(statements)
}

fn write_log(group: &str) -> AllowStatement {
    let actions = ["logs:CreateLogStream", "logs:PutLogEvents"];
    allow("WriteItsLog", &actions, &[group])
}

/// What `launch` calls, in any Region of the account, with the probe's tasks and functions only.
fn launch() -> Vec<AllowStatement> {
    let of = |service: &str, resource: &str| {
        format!("arn:{{{{Partition}}}}:{service}:*:{{{{Account}}}}:{resource}")
    };
    let role = |name: &str| format!("arn:{{{{Partition}}}}:iam::{{{{Account}}}}:role/{name}");
    let definitions = of("ecs", &format!("task-definition/{FAMILY_PREFIX}*"));
    let (tasks, functions) = (
        of("ecs", "task/*"),
        of("lambda", &format!("function:{FAMILY_PREFIX}*")),
    );
    let repository = of("ecr", &format!("repository/{DEFAULT_REPOSITORY}"));
    let function_role = role(ROLE_NAME);
    vec![
        allow(
            "ReadTheService",
            &["ecs:DescribeServices", "ecs:ListServiceDeployments"],
            &[&of("ecs", "service/*")],
        ),
        allow(
            "ReadItsDigests",
            &["ecs:DescribeServiceRevisions"],
            &[&of("ecs", "service-revision/*")],
        ),
        allow(
            "FindTheInstances",
            &[
                "ecs:DescribeCapacityProviders",
                "ecs:DescribeContainerInstances",
                "ecs:ListContainerInstances",
            ],
            &["*"],
        ),
        allow("LaunchTheProbe", &["ecs:RunTask"], &[&definitions]),
        allow(
            "WatchAndStopIt",
            &["ecs:DescribeTasks", "ecs:StopTask"],
            &[&tasks],
        ),
        allow(
            "ItsTaskDefinition",
            &[
                "ecs:DescribeTaskDefinition",
                "ecs:ListTaskDefinitionFamilies",
                "ecs:RegisterTaskDefinition",
            ],
            &["*"],
        ),
        allow("TagBoth", &["ecs:TagResource"], &[&definitions, &tasks]).when(
            "StringEquals",
            "ecs:CreateAction",
            &["RegisterTaskDefinition", "RunTask"],
        ),
        // The probe's task has the execution role of the task that it stands in for.
        allow("PassTheRole", &["iam:PassRole"], &[&role("*")]).when(
            "StringEquals",
            "iam:PassedToService",
            &["ecs-tasks.amazonaws.com"],
        ),
        allow(
            "ReadTheReport",
            &["logs:GetLogEvents"],
            &[&of("logs", "log-group:*:log-stream:*/pullprobe/*")],
        ),
        allow("FindItsImage", &["ecr:BatchGetImage"], &[&repository]),
        allow(
            "RunItAsAFunction",
            &[
                "lambda:CreateFunction",
                "lambda:DeleteFunction",
                "lambda:GetFunction",
                "lambda:InvokeFunction",
                "lambda:TagResource",
            ],
            &[&functions],
        ),
        allow(
            "ReadItsSubnets",
            &[
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
                "ec2:GetSecurityGroupsForVpc",
            ],
            &["*"],
        ),
        allow("FindItsRole", &["iam:GetRole"], &[&function_role]),
        allow("PassItsRole", &["iam:PassRole"], &[&function_role]).when(
            "StringEquals",
            "iam:PassedToService",
            &["lambda.amazonaws.com"],
        ),
    ]
}

/// What `inspect` reads around a task that does not start. None of it changes anything, and of
/// secrets and parameters it reads what describes them, not their values.
fn inspect() -> Vec<AllowStatement> {
    let roles = "arn:{{Partition}}:iam::{{Account}}:role/*";
    vec![
        allow(
            "ReadTheNetwork",
            &[
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeInternetGateways",
                "ec2:DescribeManagedPrefixLists",
                "ec2:DescribeNatGateways",
                "ec2:DescribeNetworkAcls",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeRouteTables",
                "ec2:DescribeVpcAttribute",
                "ec2:DescribeVpcBlockPublicAccessExclusions",
                "ec2:DescribeVpcBlockPublicAccessOptions",
                "ec2:DescribeVpcEndpoints",
                "ec2:GetManagedPrefixListEntries",
                "route53:ListHostedZonesByVPC",
                "route53:ListResourceRecordSets",
                "route53profiles:ListProfileAssociations",
                "route53resolver:GetResolverRule",
                "route53resolver:ListFirewallRuleGroupAssociations",
                "route53resolver:ListResolverRuleAssociations",
                "sts:GetCallerIdentity",
            ],
            &["*"],
        ),
        allow(
            "ReadTheTasksRole",
            &[
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:SimulatePrincipalPolicy",
            ],
            &[roles],
        ),
        // Those of AWS as well.
        allow(
            "ReadItsPolicies",
            &["iam:GetPolicy", "iam:GetPolicyVersion"],
            &["*"],
        ),
        allow(
            "ReadTheObjects",
            &[
                "ecr:DescribeImages",
                "ecr:DescribePullThroughCacheRules",
                "ecr:DescribeRepositories",
                "ecr:GetRegistryPolicy",
                "ecr:GetRepositoryPolicy",
                "logs:DescribeLogGroups",
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetResourcePolicy",
                "ssm:DescribeParameters",
            ],
            &["*"],
        ),
    ]
}
