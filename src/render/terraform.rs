//! Requirements of a plan, as a Terraform module of one file.

use super::hcl::{Expression, Item, attribute, block, file, json, quote, raw, resource};
use super::infrastructure::{
    FIRST_RULE_NUMBER, header_comment, network_acl_rule_name, rule_description,
    security_group_rule_name, tier_name,
};
use super::policy::{document, of_statements};
use super::tree::Tree;
use crate::plan::requirements::{
    CUSTOMER_MANAGED_KEY, Direction, EndpointType, IamRole, NetworkAclRule, NetworkTier,
    OptionalRequirement, PlanPart, Policy, Requirements, RulePeer, SecurityGroupRule, VpcEndpoint,
    parse_any_account_arn,
};

/// Returns the module for these parts of the requirements.
pub fn render(requirements: &Requirements, parts: &[PlanPart]) -> String {
    let mut module = Module {
        requirements,
        variables: Vec::new(),
        data: Vec::new(),
        resources: Vec::new(),
    };
    let has = |part| parts.contains(&part);
    let has_security_groups = has(PlanPart::SecurityGroups);
    if requirements.has_interface_endpoint() && (has_security_groups || has(PlanPart::Endpoints)) {
        module.add_endpoint_security_group();
    }
    if has(PlanPart::Endpoints) {
        for endpoint in &requirements.endpoints {
            module.add_endpoint(endpoint);
        }
    }
    for rule in &requirements.security_group_rules {
        let is_for_endpoints = rule.tier == NetworkTier::Endpoints;
        if has_security_groups || (has(PlanPart::Endpoints) && is_for_endpoints) {
            module.add_security_group_rule(rule);
        }
    }
    if has(PlanPart::NetworkAcls) {
        for (n, rule) in requirements.network_acl_rules.iter().enumerate() {
            module.add_network_acl_rule(n, rule);
        }
    }
    for (part, role) in [
        (PlanPart::TaskRolePolicy, IamRole::Task),
        (PlanPart::ExecutionRolePolicy, IamRole::Execution),
    ] {
        if has(part) {
            module.add_role_policies(role);
        }
    }
    let mut items = vec![Item::Comment(header_comment(requirements, USAGE))];
    for list in [module.variables, module.data, module.resources] {
        items.extend(list.into_iter().flat_map(|item| [Item::Space, item]));
    }
    file(&items)
}

const USAGE: &str =
    "This is a module: put the file into its own directory and set its variables in the call.
It needs the provider hashicorp/aws, version 5 or later, in that Region. EC2 rejects a
rule that already exists; remove it from this file.";

struct Module<'a> {
    requirements: &'a Requirements,
    variables: Vec<Item>,
    data: Vec<Item>,
    resources: Vec<Item>,
}

impl Module<'_> {
    /// Declares the variable, unless it is declared, and returns a reference to it.
    fn variable(
        &mut self,
        name: &str,
        kind: &str,
        description: &str,
        default: Option<Expression>,
    ) -> Expression {
        let mut items = vec![
            attribute("type", raw(kind)),
            attribute("description", description),
        ];
        items.extend(default.map(|default| attribute("default", default)));
        declare(
            &mut self.variables,
            format!("variable {}", quote(name)),
            items,
        );
        raw(format!("var.{name}"))
    }

    fn vpc(&mut self) -> Expression {
        self.variable("vpc_id", "string", "VPC of the tasks", None)
    }

    fn resource(&mut self, kind: &str, name: &str, items: Vec<Item>) {
        self.resources.push(resource(kind, name, items));
    }

    fn add_endpoint_security_group(&mut self) {
        let vpc = self.vpc();
        let items = vec![
            attribute("name_prefix", "task-endpoints-"),
            attribute("description", "VPC endpoints for starting tasks"),
            attribute("vpc_id", vpc),
        ];
        self.resource("aws_security_group", "endpoints", items);
    }

    fn add_endpoint(&mut self, endpoint: &VpcEndpoint) {
        let mut items = vec![
            attribute("vpc_id", self.vpc()),
            attribute("service_name", endpoint.service.as_str()),
        ];
        match endpoint.endpoint_type {
            EndpointType::Interface => {
                let subnets = "Subnets for the network interfaces of the endpoints: one in each Availability Zone with tasks";
                items.extend([
                    attribute("vpc_endpoint_type", "Interface"),
                    attribute(
                        "subnet_ids",
                        self.variable("subnet_ids", "set(string)", subnets, None),
                    ),
                    attribute(
                        "security_group_ids",
                        raw("[aws_security_group.endpoints.id]"),
                    ),
                    attribute("private_dns_enabled", raw("true")),
                ]);
            }
            EndpointType::Gateway => {
                let tables = "Route tables of all subnets with tasks";
                items.extend([
                    attribute("vpc_endpoint_type", "Gateway"),
                    attribute(
                        "route_table_ids",
                        self.variable("route_table_ids", "set(string)", tables, None),
                    ),
                ]);
            }
        }
        if let Some(policy) = &endpoint.policy {
            let restrict = "Whether the endpoint policies allow only what this task needs, and so deny all other requests through the endpoints";
            self.variable("restrict_endpoints", "bool", restrict, Some(raw("false")));
            let policy = self.policy_document(document(policy));
            let before = "var.restrict_endpoints ? jsonencode(".to_owned();
            items.push(attribute(
                "policy",
                Expression::Around(before, Box::new(policy), ") : null".into()),
            ));
        }
        self.resource(
            "aws_vpc_endpoint",
            &identifier(endpoint.short_name(&self.requirements.region)),
            items,
        );
    }

    fn security_group(&mut self, tier: NetworkTier) -> Expression {
        match tier {
            NetworkTier::Endpoints => raw("aws_security_group.endpoints.id"),
            NetworkTier::FileSystems => {
                let description = "Security group of the EFS mount targets";
                self.variable("file_system_security_group_id", "string", description, None)
            }
            NetworkTier::Instances => self.variable(
                "instance_security_group_id",
                "string",
                "Security group of the container instances",
                None,
            ),
            NetworkTier::Tasks | NetworkTier::Nat => self.variable(
                "task_security_group_id",
                "string",
                "Security group of the tasks",
                None,
            ),
        }
    }

    fn add_security_group_rule(&mut self, rule: &SecurityGroupRule) {
        let SecurityGroupRule {
            tier,
            direction,
            protocol,
            port,
            peer,
            ..
        } = rule;
        let resource_type = match direction {
            Direction::Inbound => "aws_vpc_security_group_ingress_rule",
            Direction::Outbound => "aws_vpc_security_group_egress_rule",
        };
        let (attribute_name, value) = match peer {
            RulePeer::SecurityGroup(tier) => {
                ("referenced_security_group_id", self.security_group(*tier))
            }
            RulePeer::PrefixList(name) => {
                let items = vec![attribute("name", name.as_str())];
                declare(
                    &mut self.data,
                    r#"data "aws_ec2_managed_prefix_list" "s3""#.into(),
                    items,
                );
                (
                    "prefix_list_id",
                    raw("data.aws_ec2_managed_prefix_list.s3.id"),
                )
            }
            RulePeer::Cidr(cidr) if cidr.addr().is_ipv6() => ("cidr_ipv6", cidr.to_string().into()),
            RulePeer::Cidr(cidr) => ("cidr_ipv4", cidr.to_string().into()),
            RulePeer::Vpc => ("cidr_ipv4", self.vpc_cidr()),
            RulePeer::VpcIpv6 => ("cidr_ipv6", self.vpc_ipv6_cidr()),
        };
        let items = vec![
            attribute("security_group_id", self.security_group(*tier)),
            attribute("description", rule_description(rule)),
            attribute("ip_protocol", *protocol),
            attribute("from_port", raw(port.to_string())),
            attribute("to_port", raw(port.to_string())),
            attribute(attribute_name, value),
        ];
        let name = identifier(&security_group_rule_name(rule));
        self.resource(resource_type, &name, items);
    }

    fn declare_vpc(&mut self) {
        let vpc = self.vpc();
        declare(
            &mut self.data,
            r#"data "aws_vpc" "tasks""#.into(),
            vec![attribute("id", vpc)],
        );
    }

    fn vpc_ipv6_cidr(&mut self) -> Expression {
        self.declare_vpc();
        raw("data.aws_vpc.tasks.ipv6_cidr_block")
    }

    fn vpc_cidr(&mut self) -> Expression {
        let description =
            "IPv4 CIDR block of the VPC with the tasks and endpoints, if not the primary one";
        let cidr = self.variable("vpc_cidr", "string", description, Some(raw("null")));
        self.declare_vpc();
        let Expression::Raw(cidr) = cidr else {
            return cidr;
        };
        raw(format!("coalesce({cidr}, data.aws_vpc.tasks.cidr_block)"))
    }

    fn add_network_acl_rule(&mut self, n: usize, rule: &NetworkAclRule) {
        let NetworkAclRule {
            tier,
            direction,
            protocol,
            from_port,
            to_port,
            peer,
            ..
        } = rule;
        let description = format!(
            "Network ACL of the subnets of the {}; null for no rules",
            tier.name()
        );
        let variable = format!("{}_network_acl_id", identifier(tier_name(*tier)));
        self.variable(&variable, "string", &description, Some(raw("null")));
        let description = "Number of the first network ACL rule. This and the following numbers must be unused, and lower than those of deny rules";
        self.variable(
            "first_rule_number",
            "number",
            description,
            Some(raw(FIRST_RULE_NUMBER.to_string())),
        );
        let (range, value) = match peer {
            RulePeer::Cidr(cidr) if cidr.addr().is_ipv6() => {
                ("ipv6_cidr_block", cidr.to_string().into())
            }
            RulePeer::Cidr(cidr) => ("cidr_block", cidr.to_string().into()),
            RulePeer::VpcIpv6 => ("ipv6_cidr_block", self.vpc_ipv6_cidr()),
            _ => ("cidr_block", self.vpc_cidr()),
        };
        let items = vec![
            attribute("count", raw(format!("var.{variable} == null ? 0 : 1"))),
            attribute("network_acl_id", raw(format!("var.{variable}"))),
            attribute("rule_number", raw(format!("var.first_rule_number + {n}"))),
            attribute(
                "egress",
                raw((*direction == Direction::Outbound).to_string()),
            ),
            attribute("protocol", *protocol),
            attribute("rule_action", "allow"),
            attribute(range, value),
            attribute("from_port", raw(from_port.to_string())),
            attribute("to_port", raw(to_port.to_string())),
        ];
        self.resource(
            "aws_network_acl_rule",
            &identifier(&network_acl_rule_name(rule)),
            items,
        );
    }

    fn add_role_policies(&mut self, role: IamRole) {
        let name = match role {
            IamRole::Execution => "execution_role",
            IamRole::Task => "task_role",
        };
        let policies = &self.requirements.policies;
        let policy = policies.of_role(role);
        let managed = policies.managed(role);
        for (n, part) in managed.iter().enumerate() {
            self.add_managed_policy(&format!("{name}_{}", n + 1), role, part);
        }
        if managed.is_empty() && !policy.is_empty() {
            let document = self.policy_document(document(policy));
            self.add_role_policy(name, role, None, document);
        }
        for optional in policies.optional_of(role) {
            let name = identifier(optional.name);
            let (count, document) = self.optional_policy(&name, optional);
            self.add_role_policy(&name, role, Some(count), document);
        }
    }

    /// Returns the `count` of an optional policy, and its document.
    fn optional_policy(
        &mut self,
        name: &str,
        optional: &OptionalRequirement,
    ) -> (String, Expression) {
        let document = self.policy_document(of_statements([&optional.statement].into_iter()));
        if optional.name != CUSTOMER_MANAGED_KEY {
            self.variable(
                name,
                "bool",
                &format!("Whether {}", optional.when),
                Some(raw("false")),
            );
            return (format!("var.{name} ? 1 : 0"), document);
        }
        self.variable(
            "kms_key_arns",
            "list(string)",
            &format!("ARNs of the keys, if {}", optional.when),
            Some(raw("[]")),
        );
        (
            String::from("length(var.kms_key_arns) > 0 ? 1 : 0"),
            with_resource(document, &raw("var.kms_key_arns")),
        )
    }

    fn add_role_policy(
        &mut self,
        name: &str,
        role: IamRole,
        count: Option<String>,
        document: Expression,
    ) {
        let role = self.role_variable(role);
        let mut items: Vec<_> = count
            .map(|count| attribute("count", raw(count)))
            .into_iter()
            .collect();
        let policy_name = format!("task-start-{}", name.replace('_', "-"));
        items.extend([
            attribute("name", policy_name),
            attribute("role", role),
            attribute("policy", json(document)),
        ]);
        self.resource("aws_iam_role_policy", name, items);
    }

    /// Adds a part of a role's policy that is too long to be inline.
    fn add_managed_policy(&mut self, name: &str, role: IamRole, policy: &Policy) {
        let document = self.policy_document(document(policy));
        let role = self.role_variable(role);
        let policy_name = format!("task-start-{}-", name.replace('_', "-"));
        let items = vec![
            attribute("name_prefix", policy_name),
            attribute("policy", json(document)),
        ];
        self.resource("aws_iam_policy", name, items);
        let items = vec![
            attribute("role", role),
            attribute("policy_arn", raw(format!("aws_iam_policy.{name}.arn"))),
        ];
        self.resource("aws_iam_role_policy_attachment", name, items);
    }

    fn role_variable(&mut self, role: IamRole) -> Expression {
        let (variable, role_name) = match role {
            IamRole::Execution if self.requirements.uses_instance_role => {
                ("instance_role_name", &None)
            }
            IamRole::Execution => (
                "execution_role_name",
                &self.requirements.execution_role_name,
            ),
            IamRole::Task => ("task_role_name", &self.requirements.task_role_name),
        };
        let default = role_name.clone().map(Into::into);
        let description = format!("Name of the {}", self.requirements.role(role));
        self.variable(variable, "string", &description, default)
    }

    /// Returns the document, with the account filled in where an ARN matches every account.
    fn policy_document(&mut self, document: Tree) -> Expression {
        let expression = with_account(document);
        if format!("{expression:?}").contains(ACCOUNT) {
            declare(
                &mut self.data,
                r#"data "aws_caller_identity" "current""#.into(),
                Vec::new(),
            );
        }
        expression
    }
}

/// The account to which the module is applied.
pub(crate) const ACCOUNT: &str = "data.aws_caller_identity.current.account_id";

/// Fills in the account of ARNs that match every account.
pub(crate) fn with_account(tree: Tree) -> Expression {
    match tree {
        Tree::Text(text) => match parse_any_account_arn(&text) {
            None => text.into(),
            Some(arn) => {
                let before = quote(&format!(
                    "arn:{}:{}:{}:",
                    arn.partition, arn.service, arn.region
                ));
                let after = quote(&format!(":{}", arn.resource));
                // One quoted text with the reference in its middle.
                let (before, after) = (&before[..before.len() - 1], &after[1..]);
                raw(format!("{before}${{{ACCOUNT}}}{after}"))
            }
        },
        Tree::List(items) => Expression::List(items.into_iter().map(with_account).collect()),
        Tree::Map(entries) => Expression::Object(
            entries
                .into_iter()
                .map(|(name, value)| (name, with_account(value)))
                .collect(),
        ),
        other => other.into(),
    }
}

/// Replaces the value of every `Resource`.
fn with_resource(document: Expression, value: &Expression) -> Expression {
    match document {
        Expression::Object(entries) => {
            let replaced = entries.into_iter().map(|(name, entry)| {
                let entry = if name == "Resource" {
                    value.clone()
                } else {
                    with_resource(entry, value)
                };
                (name, entry)
            });
            Expression::Object(replaced.collect())
        }
        Expression::List(items) => Expression::List(
            items
                .into_iter()
                .map(|item| with_resource(item, value))
                .collect(),
        ),
        other => other,
    }
}

/// Adds a block, unless there is one with this header.
fn declare(blocks: &mut Vec<Item>, head: String, items: Vec<Item>) {
    if !blocks
        .iter()
        .any(|item| matches!(item, Item::Block(known, _) if *known == head))
    {
        blocks.push(block(head, items));
    }
}

/// Returns an identifier: letters, digits and underscores.
pub(crate) fn identifier(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}
