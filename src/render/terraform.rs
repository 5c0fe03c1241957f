//! What a plan needs, as a Terraform module of one file.

use super::hcl::{Expression, Item, attribute, block, file, json, quote, raw};
use super::infrastructure::{
    FIRST_RULE, describe, name_of, name_of_acl_rule, name_of_group_rule, preamble,
};
use super::policy::{document, of_statements};
use super::tree::Tree;
use crate::plan::requirements::{
    AclRule, CUSTOMER_MANAGED_KEY, Flow, GroupRule, IamRole, Kind, OptionalRequirement, Part, Peer,
    Requirements, SecurityGroup, VpcEndpoint, around_account,
};

/// The module with these parts of what is needed.
pub fn render(needs: &Requirements, parts: &[Part]) -> String {
    let mut module = Module {
        needs,
        variables: Vec::new(),
        data: Vec::new(),
        resources: Vec::new(),
    };
    let has = |part| parts.contains(&part);
    let groups = has(Part::SecurityGroups);
    if needs.has_interface_endpoint() && (groups || has(Part::Endpoints)) {
        module.endpoint_group();
    }
    if has(Part::Endpoints) {
        needs
            .endpoints
            .iter()
            .for_each(|endpoint| module.endpoint(endpoint));
    }
    for rule in &needs.security_groups {
        if groups || (has(Part::Endpoints) && rule.group == SecurityGroup::Endpoints) {
            module.group_rule(rule);
        }
    }
    if has(Part::NetworkAcls) {
        needs
            .network_acls
            .iter()
            .enumerate()
            .for_each(|(n, rule)| module.acl_rule(n, rule));
    }
    for (part, role) in [
        (Part::TaskRolePolicy, IamRole::Task),
        (Part::Policy, IamRole::Execution),
    ] {
        if has(part) {
            module.role_policies(role);
        }
    }
    let mut items = vec![Item::Comment(preamble(needs, HOW))];
    for list in [module.variables, module.data, module.resources] {
        items.extend(list.into_iter().flat_map(|item| [Item::Space, item]));
    }
    file(&items)
}

const HOW: &str =
    "A module of one file: put it into a directory of its own and call it with its variables.
It takes the provider hashicorp/aws, version 5 or newer, for that region. A rule that
is there already is refused as a duplicate: take it out of this file.";

struct Module<'a> {
    needs: &'a Requirements,
    variables: Vec<Item>,
    data: Vec<Item>,
    resources: Vec<Item>,
}

impl Module<'_> {
    /// Declares the variable, once, and returns the reference to it.
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
        self.variable("vpc_id", "string", "The VPC in which the tasks run", None)
    }

    fn resource(&mut self, kind: &str, name: &str, items: Vec<Item>) {
        self.resources.push(block(
            format!("resource {} {}", quote(kind), quote(name)),
            items,
        ));
    }

    fn endpoint_group(&mut self) {
        let vpc = self.vpc();
        let items = vec![
            attribute("name_prefix", "task-endpoints-"),
            attribute("description", "VPC endpoints that tasks start through"),
            attribute("vpc_id", vpc),
        ];
        self.resource("aws_security_group", "endpoints", items);
    }

    fn endpoint(&mut self, endpoint: &VpcEndpoint) {
        let mut items = vec![
            attribute("vpc_id", self.vpc()),
            attribute("service_name", endpoint.service.as_str()),
        ];
        match endpoint.kind {
            Kind::Interface => {
                let subnets = "Subnets for the endpoints' network interfaces: one in each Availability Zone with tasks";
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
            Kind::Gateway => {
                let tables = "The route table of every subnet with tasks";
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
            let narrow = "Whether the endpoints allow only what this task needs. Everything else that goes through them is then refused";
            self.variable("restrict_endpoints", "bool", narrow, Some(raw("false")));
            let policy = self.policy(document(policy));
            let before = "var.restrict_endpoints ? jsonencode(".to_owned();
            items.push(attribute(
                "policy",
                Expression::Around(before, Box::new(policy), ") : null".into()),
            ));
        }
        self.resource(
            "aws_vpc_endpoint",
            &identifier(endpoint.short_name(&self.needs.region)),
            items,
        );
    }

    fn group(&mut self, group: SecurityGroup) -> Expression {
        match group {
            SecurityGroup::Endpoints => raw("aws_security_group.endpoints.id"),
            SecurityGroup::FileSystems => {
                let whose = "Security group of the file systems' mount targets";
                self.variable("file_system_security_group_id", "string", whose, None)
            }
            SecurityGroup::Tasks | SecurityGroup::Nat => self.variable(
                "task_security_group_id",
                "string",
                "Security group of the tasks",
                None,
            ),
        }
    }

    fn group_rule(&mut self, rule: &GroupRule) {
        let GroupRule {
            group,
            flow,
            protocol,
            port,
            peer,
            ..
        } = rule;
        let kind = match flow {
            Flow::Inbound => "aws_vpc_security_group_ingress_rule",
            Flow::Outbound => "aws_vpc_security_group_egress_rule",
        };
        let (attribute_name, value) = match peer {
            Peer::SecurityGroup(other) => ("referenced_security_group_id", self.group(*other)),
            Peer::PrefixList(name) => {
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
            Peer::Cidr(cidr) if cidr.addr().is_ipv6() => ("cidr_ipv6", cidr.to_string().into()),
            Peer::Cidr(cidr) => ("cidr_ipv4", cidr.to_string().into()),
            Peer::Vpc => ("cidr_ipv4", self.vpc_cidr()),
        };
        let items = vec![
            attribute("security_group_id", self.group(*group)),
            attribute("description", describe(rule)),
            attribute("ip_protocol", *protocol),
            attribute("from_port", raw(port.to_string())),
            attribute("to_port", raw(port.to_string())),
            attribute(attribute_name, value),
        ];
        self.resource(kind, &identifier(&name_of_group_rule(rule)), items);
    }

    fn vpc_cidr(&mut self) -> Expression {
        let whose = "IPv4 range of the VPC, if not its first: tasks and endpoints are in it";
        let cidr = self.variable("vpc_cidr", "string", whose, Some(raw("null")));
        let vpc = self.vpc();
        declare(
            &mut self.data,
            r#"data "aws_vpc" "tasks""#.into(),
            vec![attribute("id", vpc)],
        );
        let Expression::Raw(cidr) = cidr else {
            return cidr;
        };
        raw(format!("coalesce({cidr}, data.aws_vpc.tasks.cidr_block)"))
    }

    fn acl_rule(&mut self, n: usize, rule: &AclRule) {
        let AclRule {
            subnets,
            flow,
            protocol,
            from_port,
            to_port,
            peer,
            ..
        } = rule;
        let whose = format!(
            "Network ACL of the subnets of the {}; none: no rules for it",
            subnets.name()
        );
        let variable = format!("{}_network_acl_id", identifier(name_of(*subnets)));
        self.variable(&variable, "string", &whose, Some(raw("null")));
        let first = "Number of the first rule in a network ACL: free, as are those after it, and lower than any deny";
        self.variable(
            "first_rule_number",
            "number",
            first,
            Some(raw(FIRST_RULE.to_string())),
        );
        let (range, value) = match peer {
            Peer::Cidr(cidr) if cidr.addr().is_ipv6() => {
                ("ipv6_cidr_block", cidr.to_string().into())
            }
            Peer::Cidr(cidr) => ("cidr_block", cidr.to_string().into()),
            _ => ("cidr_block", self.vpc_cidr()),
        };
        let items = vec![
            attribute("count", raw(format!("var.{variable} == null ? 0 : 1"))),
            attribute("network_acl_id", raw(format!("var.{variable}"))),
            attribute("rule_number", raw(format!("var.first_rule_number + {n}"))),
            attribute("egress", raw((*flow == Flow::Outbound).to_string())),
            attribute("protocol", *protocol),
            attribute("rule_action", "allow"),
            attribute(range, value),
            attribute("from_port", raw(from_port.to_string())),
            attribute("to_port", raw(to_port.to_string())),
        ];
        self.resource(
            "aws_network_acl_rule",
            &identifier(&name_of_acl_rule(rule)),
            items,
        );
    }

    fn role_policies(&mut self, role: IamRole) {
        let (name, policy) = match role {
            IamRole::Execution => ("execution_role", &self.needs.execution_role_policy),
            IamRole::Task => ("task_role", &self.needs.task_role_policy),
        };
        if !policy.is_empty() {
            let document = self.policy(document(policy));
            self.role_policy(name, role, None, document);
        }
        for extra in self
            .needs
            .extra_statements
            .iter()
            .filter(|extra| extra.role == role)
        {
            let name = identifier(extra.name);
            let (count, document) = self.extra(&name, extra);
            self.role_policy(&name, role, Some(count), document);
        }
    }

    /// When it is there, and its document.
    fn extra(&mut self, name: &str, extra: &OptionalRequirement) -> (String, Expression) {
        let document = self.policy(of_statements([&extra.statement].into_iter()));
        if extra.name != CUSTOMER_MANAGED_KEY {
            self.variable(
                name,
                "bool",
                &format!("Whether {}", extra.when),
                Some(raw("false")),
            );
            return (format!("var.{name} ? 1 : 0"), document);
        }
        self.variable(
            "kms_key_arns",
            "list(string)",
            &format!("The keys, if {}", extra.when),
            Some(raw("[]")),
        );
        (
            String::from("length(var.kms_key_arns) > 0 ? 1 : 0"),
            with_resource(document, &raw("var.kms_key_arns")),
        )
    }

    fn role_policy(
        &mut self,
        name: &str,
        role: IamRole,
        count: Option<String>,
        document: Expression,
    ) {
        let [of_execution, of_task] = self.needs.role_names.clone();
        let (variable, whose, known) = match role {
            IamRole::Execution => (
                "execution_role_name",
                "Name of the task definition's execution role",
                of_execution,
            ),
            IamRole::Task => (
                "task_role_name",
                "Name of the task definition's task role",
                of_task,
            ),
        };
        let role = self.variable(variable, "string", whose, known.map(Into::into));
        let mut items: Vec<_> = count
            .map(|count| attribute("count", raw(count)))
            .into_iter()
            .collect();
        let own_name = format!("task-start-{}", name.replace('_', "-"));
        items.extend([
            attribute("name", own_name),
            attribute("role", role),
            attribute("policy", json(document)),
        ]);
        self.resource("aws_iam_role_policy", name, items);
    }

    /// The document, with the account's number where an ARN leaves it open.
    fn policy(&mut self, document: Tree) -> Expression {
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

/// The account of whoever applies the module.
pub(crate) const ACCOUNT: &str = "data.aws_caller_identity.current.account_id";

/// The account's number where an ARN leaves it open.
pub(crate) fn with_account(tree: Tree) -> Expression {
    match tree {
        Tree::Text(text) => match around_account(&text) {
            None => text.into(),
            Some((before, after)) => {
                let (before, after) = (quote(before), quote(after));
                raw(format!(
                    "{}${{{ACCOUNT}}}{}",
                    &before[..before.len() - 1],
                    &after[1..]
                ))
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

/// The document with another value for each `Resource`.
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

/// Adds a block, unless one with this head is there.
fn declare(blocks: &mut Vec<Item>, head: String, items: Vec<Item>) {
    if !blocks
        .iter()
        .any(|item| matches!(item, Item::Block(known, _) if *known == head))
    {
        blocks.push(block(head, items));
    }
}

/// Letters, digits and underscores.
pub(crate) fn identifier(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}
