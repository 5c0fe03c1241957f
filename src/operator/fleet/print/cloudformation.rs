//! The fleet as AWS CloudFormation templates.

use serde_json::json;

use super::spec::{
    DEFAULT_TARGETS, EXPIRING_PREFIXES, EXTERNAL_ID, FleetPart, FleetTemplate, HUB_ACCOUNT,
    LOG_DAYS, OBJECT_DAYS, REDUCE_MB, WORKER_MB, event_patterns,
};
use super::value::{cloudformation as with_references, definition};
use super::{dashboard, policy, state_machine, table};
use crate::operator::error::OperatorError;
use crate::operator::fleet::role::SPOKE_ROLE;
use crate::render::template::{Template, attribute, is_given, is_not_empty, reference};
use crate::render::tree::Tree;

/// Renders the template.
pub fn render(fleet: &FleetTemplate) -> Result<String, OperatorError> {
    let usage = |more: &str| {
        format!(
            "Written by pullprobe fleet print. Deploy it with:
  aws cloudformation deploy --stack-name {} --template-file FILE \\
      --capabilities CAPABILITY_NAMED_IAM{more}",
            fleet.name
        )
    };
    let (description, usage) = match fleet.part {
        FleetPart::Hub => (
            "pullprobe fleet: rehearses the start of tasks in many accounts",
            usage(" --parameter-overrides ExternalId=ID"),
        ),
        FleetPart::Spoke => (
            "pullprobe fleet: the role that probes in this account, and in those of the organization",
            usage(
                " \\\n      --parameter-overrides HubAccount=ACCOUNT ExternalId=ID OrganizationalUnitIds=ou-...",
            ),
        ),
        FleetPart::FailedStarts => (
            "pullprobe: finds the cause of tasks that fail to start",
            usage(""),
        ),
    };
    let mut stack = Stack {
        fleet,
        template: Template {
            comment: fleet.preamble(&usage),
            description: description.into(),
            ..Template::default()
        },
    };
    match fleet.part {
        FleetPart::Hub => stack.add_hub(),
        FleetPart::Spoke => stack.add_spokes()?,
        FleetPart::FailedStarts => stack.add_failed_starts(),
    }
    if fleet.dashboard && fleet.part != FleetPart::Spoke {
        stack.add_dashboard();
    }
    stack.template.to_yaml().map_err(OperatorError::usage)
}

struct Stack<'a> {
    fleet: &'a FleetTemplate,
    template: Template,
}

/// Characters of an external ID (IAM user guide, "IAM and AWS STS quotas").
const EXTERNAL_ID_PATTERN: &str = "^[A-Za-z0-9+=,.@:/_-]{2,1224}$";

impl Stack<'_> {
    fn add(&mut self, id: &str, kind: &str, properties: Vec<(&str, Tree)>) {
        let properties = properties
            .into_iter()
            .map(|(name, value)| (name, with_references(value)))
            .collect();
        self.template.resource(id, kind, None, properties);
    }

    /// Adds the dashboard. Its body is a text for CloudFormation.
    fn add_dashboard(&mut self) {
        let body = serde_json::to_string(&dashboard::body(self.fleet)).unwrap_or_default();
        self.add(
            "Dashboard",
            "AWS::CloudWatch::Dashboard",
            vec![
                ("DashboardName", self.fleet.dashboard_name().into()),
                ("DashboardBody", body.into()),
            ],
        );
    }

    fn add_hub(&mut self) {
        self.add_external_id();
        self.add_code_parameters();
        self.add_bucket();
        self.add_topic();
        self.add_function("Worker", policy::worker(), WORKER_MB);
        self.add_function("Reduce", policy::reducer(), REDUCE_MB);
        let name = self.fleet.name.as_str();
        let machine = policy::state_machine(name);
        self.add_role("StateMachineRole", "states.amazonaws.com", machine);
        let (definition, substitutions) = definition(state_machine::definition(self.fleet));
        // Its references are substitutions, not functions.
        self.template.resource(
            "StateMachine",
            "AWS::StepFunctions::StateMachine",
            None,
            vec![
                ("StateMachineName", name.into()),
                ("RoleArn", attribute("StateMachineRole", "Arn")),
                ("Definition", definition),
                ("DefinitionSubstitutions", substitutions),
            ],
        );
        self.add_role(
            "ScheduleRole",
            "scheduler.amazonaws.com",
            policy::schedule(),
        );
        let input = json!({ "targets": DEFAULT_TARGETS }).to_string();
        let target = Tree::map([
            ("Arn", reference("StateMachine")),
            ("RoleArn", attribute("ScheduleRole", "Arn")),
            ("Input", input.into()),
        ]);
        self.add(
            "Schedule",
            "AWS::Scheduler::Schedule",
            vec![
                ("Description", "pullprobe fleet: the nightly run".into()),
                ("ScheduleExpression", self.fleet.schedule.as_str().into()),
                ("FlexibleTimeWindow", Tree::map([("Mode", "OFF".into())])),
                ("Target", target),
            ],
        );
        self.add_table();
        self.output(
            "BucketName",
            "Bucket of the list and of the results",
            reference("Bucket"),
        );
        self.output(
            "TopicArn",
            "Topic of the message about each run",
            reference("Topic"),
        );
        self.output(
            "StateMachineArn",
            "State machine of a run",
            reference("StateMachine"),
        );
    }

    fn add_failed_starts(&mut self) {
        self.add_code_parameters();
        self.add_bucket();
        self.add_topic();
        self.add_function("Worker", policy::failed_start(), WORKER_MB);
        for (id, pattern) in event_patterns() {
            let target = Tree::map([
                ("Id", "probe".into()),
                ("Arn", attribute("WorkerFunction", "Arn")),
            ]);
            self.add(
                id,
                "AWS::Events::Rule",
                vec![
                    ("Description", "pullprobe: a task failed to start".into()),
                    ("EventPattern", Tree::from(&pattern)),
                    ("Targets", Tree::List(vec![target])),
                ],
            );
            self.add(
                &format!("{id}Permission"),
                "AWS::Lambda::Permission",
                vec![
                    ("Action", "lambda:InvokeFunction".into()),
                    ("FunctionName", reference("WorkerFunction")),
                    ("Principal", "events.amazonaws.com".into()),
                    ("SourceArn", attribute(id, "Arn")),
                ],
            );
        }
        // EventBridge invokes asynchronously, and a second attempt would probe again.
        self.add(
            "WorkerInvocations",
            "AWS::Lambda::EventInvokeConfig",
            vec![
                ("FunctionName", reference("WorkerFunction")),
                ("Qualifier", "$LATEST".into()),
                ("MaximumRetryAttempts", 0.into()),
                ("MaximumEventAgeInSeconds", 900.into()),
            ],
        );
        self.output("TopicArn", "Topic of the verdicts", reference("Topic"));
    }

    fn add_spokes(&mut self) -> Result<(), OperatorError> {
        self.add_external_id();
        self.add_hub_account();
        self.add_spoke_role();
        self.template.parameter(
            "OrganizationalUnitIds",
            "CommaDelimitedList",
            "IDs of the organizational units, or of the root, whose accounts get the role; empty for this account alone",
            &[("Default", "")],
        );
        let joined = Tree::map([(
            "Fn::Join",
            Tree::list(["".into(), reference("OrganizationalUnitIds")]),
        )]);
        self.template
            .conditions
            .push(("UnitsAreGiven".into(), is_not_empty(joined)));
        let member = self.member_template()?;
        let parameter = |name: &str| {
            Tree::map([
                ("ParameterKey", name.into()),
                ("ParameterValue", reference(name)),
            ])
        };
        let group = Tree::map([
            (
                "DeploymentTargets",
                Tree::map([("OrganizationalUnitIds", reference("OrganizationalUnitIds"))]),
            ),
            ("Regions", Tree::list([reference("AWS::Region")])),
        ]);
        self.template.resource(
            "SpokeStackSet",
            "AWS::CloudFormation::StackSet",
            Some("UnitsAreGiven"),
            vec![
                ("StackSetName", format!("{}-spokes", self.fleet.name).into()),
                (
                    "Description",
                    "pullprobe fleet: the role that probes in an account".into(),
                ),
                ("PermissionModel", "SERVICE_MANAGED".into()),
                (
                    "AutoDeployment",
                    Tree::map([
                        ("Enabled", true.into()),
                        ("RetainStacksOnAccountRemoval", false.into()),
                    ]),
                ),
                ("Capabilities", Tree::list(["CAPABILITY_NAMED_IAM"])),
                (
                    "Parameters",
                    Tree::List(vec![parameter("HubAccount"), parameter("ExternalId")]),
                ),
                ("StackInstancesGroup", Tree::List(vec![group])),
                ("TemplateBody", member.into()),
            ],
        );
        self.output(
            "RoleArn",
            "Role in this account",
            attribute("SpokeRole", "Arn"),
        );
        Ok(())
    }

    /// Returns the template of a member account: the role alone.
    fn member_template(&self) -> Result<String, OperatorError> {
        let mut member = Stack {
            fleet: self.fleet,
            template: Template {
                description: "pullprobe fleet: the role that probes in this account".into(),
                ..Template::default()
            },
        };
        member.add_external_id();
        member.add_hub_account();
        member.add_spoke_role();
        member.template.to_yaml().map_err(OperatorError::usage)
    }

    fn add_spoke_role(&mut self) {
        let policies = Tree::map([
            ("PolicyName", "probe".into()),
            ("PolicyDocument", policy::spoke()),
        ]);
        self.add(
            "SpokeRole",
            "AWS::IAM::Role",
            vec![
                ("RoleName", SPOKE_ROLE.into()),
                (
                    "Description",
                    "pullprobe fleet probes the tasks of this account".into(),
                ),
                ("AssumeRolePolicyDocument", policy::trust_of_spoke()),
                ("Policies", Tree::List(vec![policies])),
            ],
        );
    }

    fn add_external_id(&mut self) {
        self.template.parameter(
            "ExternalId",
            "String",
            EXTERNAL_ID,
            &[("AllowedPattern", EXTERNAL_ID_PATTERN)],
        );
    }

    fn add_hub_account(&mut self) {
        self.template.parameter(
            "HubAccount",
            "String",
            HUB_ACCOUNT,
            &[("AllowedPattern", "^[0-9]{12}$")],
        );
    }

    fn add_code_parameters(&mut self) {
        let parameters = self.fleet.code_parameters();
        for (name, (description, default)) in ["CodeBucket", "CodeKey"].into_iter().zip(parameters)
        {
            let more: Vec<(&str, &str)> = if default.is_empty() {
                Vec::new()
            } else {
                vec![("Default", default)]
            };
            self.template.parameter(name, "String", description, &more);
        }
    }

    fn add_bucket(&mut self) {
        let block = [
            "BlockPublicAcls",
            "BlockPublicPolicy",
            "IgnorePublicAcls",
            "RestrictPublicBuckets",
        ];
        let block = block.map(|name| (name.to_owned(), Tree::Flag(true)));
        let encryption = Tree::map([(
            "ServerSideEncryptionConfiguration",
            Tree::List(vec![Tree::map([(
                "ServerSideEncryptionByDefault",
                Tree::map([("SSEAlgorithm", "AES256".into())]),
            )])]),
        )]);
        let rules = EXPIRING_PREFIXES.map(|prefix| {
            Tree::map([
                ("Id", prefix.trim_end_matches('/').into()),
                ("Status", "Enabled".into()),
                ("Prefix", prefix.into()),
                ("ExpirationInDays", OBJECT_DAYS.into()),
            ])
        });
        self.add(
            "Bucket",
            "AWS::S3::Bucket",
            vec![
                ("BucketEncryption", encryption),
                ("PublicAccessBlockConfiguration", Tree::Map(block.into())),
                (
                    "LifecycleConfiguration",
                    Tree::map([("Rules", Tree::List(rules.into()))]),
                ),
            ],
        );
        // They are evidence.
        if let Some((_, Tree::Map(entries))) = self.template.resources.last_mut() {
            for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
                entries.push((policy.to_owned(), "Retain".into()));
            }
        }
    }

    fn add_topic(&mut self) {
        self.template.parameter(
            "Email",
            "String",
            "Address that gets the messages; empty for none",
            &[("Default", "")],
        );
        self.template
            .conditions
            .push(("EmailIsGiven".into(), is_given("Email")));
        self.add(
            "Topic",
            "AWS::SNS::Topic",
            vec![("DisplayName", "pullprobe".into())],
        );
        self.template.resource(
            "Subscription",
            "AWS::SNS::Subscription",
            Some("EmailIsGiven"),
            vec![
                ("TopicArn", reference("Topic")),
                ("Protocol", "email".into()),
                ("Endpoint", reference("Email")),
            ],
        );
    }

    fn add_role(&mut self, id: &str, service: &str, policy: Tree) {
        let policies = Tree::map([
            ("PolicyName", "least-privilege".into()),
            ("PolicyDocument", policy),
        ]);
        self.add(
            id,
            "AWS::IAM::Role",
            vec![
                (
                    "AssumeRolePolicyDocument",
                    policy::trust_of_service(service),
                ),
                ("Policies", Tree::List(vec![policies])),
            ],
        );
    }

    /// Adds a function with its role and its log group.
    fn add_function(&mut self, id: &str, policy: Tree, memory: u32) {
        let lower = id.to_lowercase();
        self.add(
            &format!("{id}Log"),
            "AWS::Logs::LogGroup",
            vec![
                (
                    "LogGroupName",
                    format!("/pullprobe/{}/{lower}", self.fleet.name).into(),
                ),
                ("RetentionInDays", LOG_DAYS.into()),
            ],
        );
        self.add_role(&format!("{id}Role"), "lambda.amazonaws.com", policy);
        let variables = self.fleet.variables();
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()));
        let code = Tree::map([
            ("S3Bucket", reference("CodeBucket")),
            ("S3Key", reference("CodeKey")),
        ]);
        let environment = Tree::map([("Variables", Tree::Map(variables.collect()))]);
        self.add(
            &format!("{id}Function"),
            "AWS::Lambda::Function",
            vec![
                ("Description", format!("pullprobe fleet: {lower}").into()),
                ("Runtime", "provided.al2023".into()),
                ("Handler", "bootstrap".into()),
                ("Architectures", Tree::list(["x86_64"])),
                ("Code", code),
                ("MemorySize", memory.into()),
                ("Timeout", state_machine::WORKER_SECONDS.into()),
                ("Role", attribute(&format!("{id}Role"), "Arn")),
                ("Environment", environment),
                (
                    "LoggingConfig",
                    Tree::map([("LogGroup", reference(&format!("{id}Log")))]),
                ),
            ],
        );
    }

    fn add_table(&mut self) {
        let catalog = || reference("AWS::AccountId");
        self.add(
            "Database",
            "AWS::Glue::Database",
            vec![
                ("CatalogId", catalog()),
                (
                    "DatabaseInput",
                    Tree::map([("Name", self.fleet.database().into())]),
                ),
            ],
        );
        let column =
            |name: &str, kind: &str| Tree::map([("Name", name.into()), ("Type", kind.into())]);
        let columns = table::COLUMNS.map(|(name, kind)| column(name, kind));
        let storage = Tree::map([
            ("Columns", Tree::List(columns.into())),
            ("Location", table::LOCATION.into()),
            ("InputFormat", table::INPUT_FORMAT.into()),
            ("OutputFormat", table::OUTPUT_FORMAT.into()),
            (
                "SerdeInfo",
                Tree::map([("SerializationLibrary", table::SERDE.into())]),
            ),
        ]);
        let input = Tree::map([
            ("Name", "reports".into()),
            ("TableType", "EXTERNAL_TABLE".into()),
            (
                "Parameters",
                Tree::map(table::PROPERTIES.map(|(name, value)| (name, value.into()))),
            ),
            (
                "PartitionKeys",
                Tree::List(vec![column(table::PARTITION, "string")]),
            ),
            ("StorageDescriptor", storage),
        ]);
        self.add(
            "Table",
            "AWS::Glue::Table",
            vec![
                ("CatalogId", catalog()),
                ("DatabaseName", reference("Database")),
                ("TableInput", input),
            ],
        );
    }

    fn output(&mut self, name: &str, description: &str, value: Tree) {
        let output = Tree::map([("Description", description.into()), ("Value", value)]);
        self.template.outputs.push((name.to_owned(), output));
    }
}
