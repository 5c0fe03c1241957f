//! The fleet as a Terraform module of one file.

use serde_json::json;

use super::spec::{
    DEFAULT_TARGETS, EXPIRING_PREFIXES, EXTERNAL_ID, FleetPart, FleetTemplate, HUB_ACCOUNT,
    LOG_DAYS, OBJECT_DAYS, REDUCE_MB, WORKER_MB, event_patterns,
};
use super::value::{cloudformation, terraform as with_references};
use super::{dashboard, policy, state_machine, table};
use crate::operator::fleet::role::SPOKE_ROLE;
use crate::render::hcl::{
    self, Expression, Item, attribute, block, quote, raw, resource, spaced_file,
};
use crate::render::tree::Tree;

const USAGE: &str =
    "A module in one file, written by pullprobe fleet print: put it into its own directory.
It needs the provider hashicorp/aws, version 5 or newer.";

/// Renders the module.
pub fn render(fleet: &FleetTemplate) -> String {
    let mut module = Module {
        fleet,
        items: vec![Item::Comment(fleet.preamble(USAGE))],
    };
    let has_dashboard = fleet.dashboard && fleet.part != FleetPart::Spoke;
    let region = has_dashboard.then_some("aws_region");
    for data in ["aws_caller_identity", "aws_partition"]
        .into_iter()
        .chain(region)
    {
        let head = format!("data {} \"current\"", quote(data));
        module.items.push(block(head, Vec::new()));
    }
    match fleet.part {
        FleetPart::Hub => module.add_hub(),
        FleetPart::Spoke => module.add_spokes(),
        FleetPart::FailedStarts => module.add_failed_starts(),
    }
    if has_dashboard {
        let body = with_references(dashboard::body(fleet));
        module.add(
            "aws_cloudwatch_dashboard",
            "fleet",
            vec![
                attribute("dashboard_name", fleet.dashboard_name()),
                attribute("dashboard_body", hcl::json(body)),
            ],
        );
    }
    spaced_file(module.items)
}

struct Module<'a> {
    fleet: &'a FleetTemplate,
    items: Vec<Item>,
}

impl Module<'_> {
    fn add(&mut self, kind: &str, name: &str, items: Vec<Item>) {
        self.items.push(resource(kind, name, items));
    }

    fn variable(&mut self, name: &str, description: &str, kind: &str, default: Option<&str>) {
        let mut items = vec![
            attribute("type", raw(kind)),
            attribute("description", description),
        ];
        items.extend(default.map(|default| attribute("default", raw(default))));
        self.items
            .push(block(format!("variable {}", quote(name)), items));
    }

    fn add_external_id(&mut self) {
        self.variable("external_id", EXTERNAL_ID, "string", None);
    }

    fn add_hub(&mut self) {
        self.add_external_id();
        self.add_shared();
        self.add_function("worker", policy::worker(), WORKER_MB);
        self.add_function("reduce", policy::reducer(), REDUCE_MB);
        let name = self.fleet.name.as_str();
        self.add_role(
            "state_machine",
            "states.amazonaws.com",
            policy::state_machine(name),
        );
        let definition = with_references(state_machine::definition(self.fleet));
        self.add(
            "aws_sfn_state_machine",
            "fleet",
            vec![
                attribute("name", name),
                attribute("role_arn", raw("aws_iam_role.state_machine.arn")),
                attribute("definition", hcl::json(definition)),
            ],
        );
        self.add_role("schedule", "scheduler.amazonaws.com", policy::schedule());
        let input = json!({ "targets": DEFAULT_TARGETS }).to_string();
        self.add(
            "aws_scheduler_schedule",
            "fleet",
            vec![
                attribute("description", "pullprobe fleet: the nightly run"),
                attribute("schedule_expression", self.fleet.schedule.as_str()),
                Item::Space,
                block("flexible_time_window", vec![attribute("mode", "OFF")]),
                Item::Space,
                block(
                    "target",
                    vec![
                        attribute("arn", raw("aws_sfn_state_machine.fleet.arn")),
                        attribute("role_arn", raw("aws_iam_role.schedule.arn")),
                        attribute("input", input),
                    ],
                ),
            ],
        );
        self.add_table();
        self.output(
            "bucket",
            "Bucket of the list and of the results",
            "aws_s3_bucket.fleet.id",
        );
        self.output(
            "topic_arn",
            "Topic of the message about each run",
            "aws_sns_topic.fleet.arn",
        );
        self.output(
            "state_machine_arn",
            "State machine of a run",
            "aws_sfn_state_machine.fleet.arn",
        );
    }

    fn add_failed_starts(&mut self) {
        self.add_shared();
        self.add_function("worker", policy::failed_start(), WORKER_MB);
        for (name, (_, pattern)) in ["failed_task", "impaired_service"]
            .into_iter()
            .zip(event_patterns())
        {
            let pattern: Expression = Tree::from(&pattern).into();
            self.add(
                "aws_cloudwatch_event_rule",
                name,
                vec![
                    attribute("description", "pullprobe: a task failed to start"),
                    attribute("event_pattern", hcl::json(pattern)),
                ],
            );
            self.add(
                "aws_cloudwatch_event_target",
                name,
                vec![
                    attribute(
                        "rule",
                        raw(format!("aws_cloudwatch_event_rule.{name}.name")),
                    ),
                    attribute("arn", raw("aws_lambda_function.worker.arn")),
                ],
            );
            self.add(
                "aws_lambda_permission",
                name,
                vec![
                    attribute("action", "lambda:InvokeFunction"),
                    attribute(
                        "function_name",
                        raw("aws_lambda_function.worker.function_name"),
                    ),
                    attribute("principal", "events.amazonaws.com"),
                    attribute(
                        "source_arn",
                        raw(format!("aws_cloudwatch_event_rule.{name}.arn")),
                    ),
                ],
            );
        }
        // EventBridge invokes asynchronously, and a second attempt would probe again.
        self.add(
            "aws_lambda_function_event_invoke_config",
            "worker",
            vec![
                attribute(
                    "function_name",
                    raw("aws_lambda_function.worker.function_name"),
                ),
                attribute("maximum_retry_attempts", raw("0")),
                attribute("maximum_event_age_in_seconds", raw("900")),
            ],
        );
        self.output(
            "topic_arn",
            "Topic of the verdicts",
            "aws_sns_topic.fleet.arn",
        );
    }

    fn add_spokes(&mut self) {
        const HAS_UNITS: &str = "length(var.organizational_unit_ids) > 0 ? 1 : 0";

        self.add_external_id();
        self.variable("hub_account", HUB_ACCOUNT, "string", None);
        self.variable(
            "organizational_unit_ids",
            "IDs of the organizational units whose accounts get the role; empty for this account alone",
            "list(string)",
            Some("[]"),
        );
        self.output("role_arn", "Role in this account", "aws_iam_role.spoke.arn");
        let trust = with_references(policy::trust_of_spoke());
        self.add(
            "aws_iam_role",
            "spoke",
            vec![
                attribute("name", SPOKE_ROLE),
                attribute(
                    "description",
                    "pullprobe fleet probes the tasks of this account",
                ),
                attribute("assume_role_policy", hcl::json(trust)),
            ],
        );
        self.add(
            "aws_iam_role_policy",
            "spoke",
            vec![
                attribute("name", "probe"),
                attribute("role", raw("aws_iam_role.spoke.id")),
                attribute("policy", hcl::json(with_references(policy::spoke()))),
            ],
        );
        // The template of the members is this role in CloudFormation's form: the account of its
        // policy is the member's.
        let role = Expression::Object(vec![
            ("Type".into(), "AWS::IAM::Role".into()),
            (
                "Properties".into(),
                Expression::Object(vec![
                    ("RoleName".into(), SPOKE_ROLE.into()),
                    (
                        "AssumeRolePolicyDocument".into(),
                        with_references(policy::trust_of_spoke()),
                    ),
                    (
                        "Policies".into(),
                        Expression::List(vec![Expression::Object(vec![
                            ("PolicyName".into(), "probe".into()),
                            (
                                "PolicyDocument".into(),
                                cloudformation(policy::spoke()).into(),
                            ),
                        ])]),
                    ),
                ]),
            ),
        ]);
        let body = Expression::Object(vec![(
            "Resources".into(),
            Expression::Object(vec![("SpokeRole".into(), role)]),
        )]);
        let only_with_units = || attribute("count", raw(HAS_UNITS));
        self.add(
            "aws_cloudformation_stack_set",
            "spokes",
            vec![
                only_with_units(),
                attribute("name", format!("{}-spokes", self.fleet.name)),
                attribute("permission_model", "SERVICE_MANAGED"),
                attribute("capabilities", raw("[\"CAPABILITY_NAMED_IAM\"]")),
                attribute("template_body", hcl::json(body)),
                Item::Space,
                block(
                    "auto_deployment",
                    vec![
                        attribute("enabled", raw("true")),
                        attribute("retain_stacks_on_account_removal", raw("false")),
                    ],
                ),
            ],
        );
        self.add(
            "aws_cloudformation_stack_set_instance",
            "spokes",
            vec![
                only_with_units(),
                attribute(
                    "stack_set_name",
                    raw("aws_cloudformation_stack_set.spokes[0].name"),
                ),
                Item::Space,
                block(
                    "deployment_targets",
                    vec![attribute(
                        "organizational_unit_ids",
                        raw("var.organizational_unit_ids"),
                    )],
                ),
            ],
        );
    }

    /// Adds the code's variables, the bucket and the topic.
    fn add_shared(&mut self) {
        let parameters = self.fleet.code_parameters();
        for (name, (description, default)) in
            ["code_bucket", "code_key"].into_iter().zip(parameters)
        {
            let default = (!default.is_empty()).then(|| quote(default));
            self.variable(name, description, "string", default.as_deref());
        }
        self.add(
            "aws_s3_bucket",
            "fleet",
            vec![attribute("bucket_prefix", format!("{}-", self.fleet.name))],
        );
        let of_bucket = || attribute("bucket", raw("aws_s3_bucket.fleet.id"));
        let block_all = [
            "block_public_acls",
            "block_public_policy",
            "ignore_public_acls",
            "restrict_public_buckets",
        ];
        let block_all = block_all.map(|name| attribute(name, raw("true")));
        self.add(
            "aws_s3_bucket_public_access_block",
            "fleet",
            [of_bucket()].into_iter().chain(block_all).collect(),
        );
        let mut rules = vec![of_bucket()];
        for prefix in EXPIRING_PREFIXES {
            rules.push(Item::Space);
            rules.push(block(
                "rule",
                vec![
                    attribute("id", prefix.trim_end_matches('/')),
                    attribute("status", "Enabled"),
                    Item::Space,
                    block("filter", vec![attribute("prefix", prefix)]),
                    Item::Space,
                    block(
                        "expiration",
                        vec![attribute("days", raw(OBJECT_DAYS.to_string()))],
                    ),
                ],
            ));
        }
        self.add("aws_s3_bucket_lifecycle_configuration", "fleet", rules);
        self.add(
            "aws_sns_topic",
            "fleet",
            vec![
                attribute("name_prefix", format!("{}-", self.fleet.name)),
                attribute("display_name", "pullprobe"),
            ],
        );
    }

    fn add_role(&mut self, name: &str, service: &str, policy: Tree) {
        let trust = with_references(policy::trust_of_service(service));
        self.add(
            "aws_iam_role",
            name,
            vec![
                attribute(
                    "name_prefix",
                    format!("pullprobe-{}-", name.replace('_', "-")),
                ),
                attribute("assume_role_policy", hcl::json(trust)),
            ],
        );
        self.add(
            "aws_iam_role_policy",
            name,
            vec![
                attribute("name", "least-privilege"),
                attribute("role", raw(format!("aws_iam_role.{name}.id"))),
                attribute("policy", hcl::json(with_references(policy))),
            ],
        );
    }

    /// Adds a function with its role and its log group.
    fn add_function(&mut self, name: &str, policy: Tree, memory: u32) {
        self.add(
            "aws_cloudwatch_log_group",
            name,
            vec![
                attribute("name", format!("/pullprobe/{}/{name}", self.fleet.name)),
                attribute("retention_in_days", raw(LOG_DAYS.to_string())),
            ],
        );
        self.add_role(name, "lambda.amazonaws.com", policy);
        let variables = self.fleet.variables().into_iter();
        let variables = variables
            .map(|(name, value)| (name.to_owned(), with_references(value.into())))
            .collect();
        self.add(
            "aws_lambda_function",
            name,
            vec![
                attribute("function_name", format!("{}-{name}", self.fleet.name)),
                attribute("description", format!("pullprobe fleet: {name}")),
                attribute("runtime", "provided.al2023"),
                attribute("handler", "bootstrap"),
                attribute("architectures", raw("[\"x86_64\"]")),
                attribute("s3_bucket", raw("var.code_bucket")),
                attribute("s3_key", raw("var.code_key")),
                attribute("memory_size", raw(memory.to_string())),
                attribute("timeout", raw(state_machine::WORKER_SECONDS.to_string())),
                attribute("role", raw(format!("aws_iam_role.{name}.arn"))),
                Item::Space,
                block(
                    "environment",
                    vec![attribute("variables", Expression::Object(variables))],
                ),
                Item::Space,
                block(
                    "logging_config",
                    vec![
                        attribute("log_format", "Text"),
                        attribute(
                            "log_group",
                            raw(format!("aws_cloudwatch_log_group.{name}.name")),
                        ),
                    ],
                ),
            ],
        );
    }

    fn add_table(&mut self) {
        self.add(
            "aws_glue_catalog_database",
            "fleet",
            vec![attribute("name", self.fleet.database())],
        );
        let properties = Tree::map(table::PROPERTIES.map(|(name, value)| (name, value.into())));
        let mut storage = vec![
            attribute("location", with_references(table::LOCATION.into())),
            attribute("input_format", table::INPUT_FORMAT),
            attribute("output_format", table::OUTPUT_FORMAT),
            Item::Space,
            block(
                "ser_de_info",
                vec![attribute("serialization_library", table::SERDE)],
            ),
        ];
        for (name, kind) in table::COLUMNS {
            storage.push(Item::Space);
            storage.push(block(
                "columns",
                vec![attribute("name", name), attribute("type", kind)],
            ));
        }
        self.add(
            "aws_glue_catalog_table",
            "reports",
            vec![
                attribute("name", "reports"),
                attribute("database_name", raw("aws_glue_catalog_database.fleet.name")),
                attribute("table_type", "EXTERNAL_TABLE"),
                attribute("parameters", with_references(properties)),
                Item::Space,
                block(
                    "partition_keys",
                    vec![
                        attribute("name", table::PARTITION),
                        attribute("type", "string"),
                    ],
                ),
                Item::Space,
                block("storage_descriptor", storage),
            ],
        );
    }

    fn output(&mut self, name: &str, description: &str, value: &str) {
        let items = vec![
            attribute("description", description),
            attribute("value", raw(value)),
        ];
        self.items
            .push(block(format!("output {}", quote(name)), items));
    }
}
