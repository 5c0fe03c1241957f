//! Requirements of a plan, as a CloudFormation template.

use super::infrastructure::{
    FIRST_RULE_NUMBER, header_comment, network_acl_rule_name, rule_description,
    security_group_rule_name, tier_name,
};
use super::policy::{document, of_statements};
use super::template::{RenderError, Template, attribute, is_given, only_if, reference, substitute};
use super::tree::Tree;
use crate::plan::requirements::{
    CUSTOMER_MANAGED_KEY, Direction, EndpointType, IamRole, NetworkAclRule, NetworkTier, PlanPart,
    Requirements, RulePeer, SecurityGroupRule, VpcEndpoint, parse_any_account_arn,
};

/// Returns the template for these parts of the requirements.
///
/// # Errors
///
/// Fails if the parts need no resources, or if a value cannot be written as YAML.
pub fn render(requirements: &Requirements, parts: &[PlanPart]) -> Result<String, RenderError> {
    let template = Template {
        comment: header_comment(requirements, USAGE),
        description: format!("Requirements of an ECS task in {}", requirements.region),
        ..Template::default()
    };
    let mut stack = Stack {
        requirements,
        template,
    };
    let has = |part| parts.contains(&part);
    let has_security_groups = has(PlanPart::SecurityGroups);
    if requirements.has_interface_endpoint() && (has_security_groups || has(PlanPart::Endpoints)) {
        stack.add_endpoint_security_group();
    }
    if has(PlanPart::Endpoints) {
        for endpoint in &requirements.endpoints {
            stack.add_endpoint(endpoint);
        }
    }
    for rule in &requirements.security_group_rules {
        let is_for_endpoints = rule.tier == NetworkTier::Endpoints;
        if has_security_groups || (has(PlanPart::Endpoints) && is_for_endpoints) {
            stack.add_security_group_rule(rule);
        }
    }
    if has(PlanPart::NetworkAcls) {
        for (number, rule) in (FIRST_RULE_NUMBER..).zip(&requirements.network_acl_rules) {
            stack.add_network_acl_rule(number, rule);
        }
    }
    for (part, role) in [
        (PlanPart::TaskRolePolicy, IamRole::Task),
        (PlanPart::ExecutionRolePolicy, IamRole::Execution),
    ] {
        if has(part) {
            stack.add_role_policies(role);
        }
    }
    if stack.template.resources.is_empty() {
        return Err(RenderError::NoResources);
    }
    stack.template.to_yaml()
}

const USAGE: &str = "Deploy it in that Region, with a value for each parameter without a default:
  aws cloudformation deploy --stack-name task-needs --capabilities CAPABILITY_IAM \\
      --template-file FILE --parameter-overrides VpcId=vpc-...
EC2 rejects a rule that already exists; remove it from this file.";

struct Stack<'a> {
    requirements: &'a Requirements,
    template: Template,
}

const IPV4_CIDR_PATTERN: &str = "^[0-9]{1,3}(\\.[0-9]{1,3}){3}/[0-9]{1,2}$";

impl Stack<'_> {
    fn vpc(&mut self) -> Tree {
        self.template
            .parameter("VpcId", "AWS::EC2::VPC::Id", "VPC of the tasks", &[]);
        reference("VpcId")
    }

    fn add_endpoint_security_group(&mut self) {
        let vpc = self.vpc();
        let properties = vec![
            (
                "GroupDescription",
                "VPC endpoints for starting tasks".into(),
            ),
            ("VpcId", vpc),
        ];
        self.template.resource(
            "EndpointSecurityGroup",
            "AWS::EC2::SecurityGroup",
            None,
            properties,
        );
        let id = Tree::map([
            ("Description", "Security group of the VPC endpoints".into()),
            ("Value", attribute("EndpointSecurityGroup", "GroupId")),
        ]);
        self.template
            .outputs
            .push(("EndpointSecurityGroupId".into(), id));
    }

    fn add_endpoint(&mut self, endpoint: &VpcEndpoint) {
        let mut properties = vec![
            ("VpcId", self.vpc()),
            ("ServiceName", endpoint.service.as_str().into()),
        ];
        match endpoint.endpoint_type {
            EndpointType::Interface => {
                let subnets = "Subnets for the network interfaces of the endpoints: one in each Availability Zone with tasks";
                self.template
                    .parameter("SubnetIds", "List<AWS::EC2::Subnet::Id>", subnets, &[]);
                properties.extend([
                    ("VpcEndpointType", "Interface".into()),
                    ("SubnetIds", reference("SubnetIds")),
                    (
                        "SecurityGroupIds",
                        Tree::list([attribute("EndpointSecurityGroup", "GroupId")]),
                    ),
                    ("PrivateDnsEnabled", true.into()),
                ]);
            }
            EndpointType::Gateway => {
                let tables = "Route tables of all subnets with tasks";
                self.template
                    .parameter("RouteTableIds", "CommaDelimitedList", tables, &[]);
                properties.extend([
                    ("VpcEndpointType", "Gateway".into()),
                    ("RouteTableIds", reference("RouteTableIds")),
                ]);
            }
        }
        if let Some(policy) = &endpoint.policy {
            let restrict = "Whether the endpoint policies allow only what this task needs, and so deny all other requests through the endpoints";
            self.add_switch("RestrictEndpoints", restrict);
            properties.push((
                "PolicyDocument",
                only_if("RestrictEndpointsIsOn", with_account(document(policy))),
            ));
        }
        let id = logical_id(&format!(
            "{}-endpoint",
            endpoint.short_name(&self.requirements.region)
        ));
        self.template
            .resource(&id, "AWS::EC2::VPCEndpoint", None, properties);
    }

    /// Adds a parameter that is `true` or `false`, and the condition `…IsOn`.
    fn add_switch(&mut self, name: &str, description: &str) {
        let is_new = !self.template.has_parameter(name);
        self.template
            .choice(name, description, ["true", "false"], "false");
        if is_new {
            let is_on = Tree::map([("Fn::Equals", Tree::list([reference(name), "true".into()]))]);
            self.template
                .conditions
                .push((format!("{name}IsOn"), is_on));
        }
    }

    fn security_group(&mut self, tier: NetworkTier) -> Tree {
        let (name, description) = match tier {
            NetworkTier::Endpoints => return attribute("EndpointSecurityGroup", "GroupId"),
            NetworkTier::FileSystems => (
                "FileSystemSecurityGroupId",
                "Security group of the EFS mount targets",
            ),
            NetworkTier::Instances => (
                "InstanceSecurityGroupId",
                "Security group of the container instances",
            ),
            NetworkTier::Tasks | NetworkTier::Nat => {
                ("TaskSecurityGroupId", "Security group of the tasks")
            }
        };
        self.template
            .parameter(name, "AWS::EC2::SecurityGroup::Id", description, &[]);
        reference(name)
    }

    fn add_security_group_rule(&mut self, rule: &SecurityGroupRule) {
        let (resource_type, [security_group_property, prefix_list_property]) = match rule.direction
        {
            Direction::Inbound => (
                "AWS::EC2::SecurityGroupIngress",
                ["SourceSecurityGroupId", "SourcePrefixListId"],
            ),
            Direction::Outbound => (
                "AWS::EC2::SecurityGroupEgress",
                ["DestinationSecurityGroupId", "DestinationPrefixListId"],
            ),
        };
        let (name, value) = match &rule.peer {
            RulePeer::SecurityGroup(tier) => (security_group_property, self.security_group(*tier)),
            RulePeer::PrefixList(list) => {
                let description = format!(
                    "ID of the managed prefix list {list} (aws ec2 describe-managed-prefix-lists)"
                );
                self.template.parameter(
                    "S3PrefixListId",
                    "String",
                    &description,
                    &[("AllowedPattern", "^pl-[0-9a-f]+$")],
                );
                (prefix_list_property, reference("S3PrefixListId"))
            }
            RulePeer::Cidr(cidr) if cidr.addr().is_ipv6() => ("CidrIpv6", cidr.to_string().into()),
            RulePeer::Cidr(cidr) => ("CidrIp", cidr.to_string().into()),
            RulePeer::Vpc => ("CidrIp", self.vpc_cidr()),
            RulePeer::VpcIpv6 => ("CidrIpv6", self.vpc_ipv6_cidr()),
        };
        let properties = vec![
            ("GroupId", self.security_group(rule.tier)),
            ("Description", rule_description(rule).into()),
            ("IpProtocol", rule.protocol.into()),
            ("FromPort", u32::from(rule.port).into()),
            ("ToPort", u32::from(rule.port).into()),
            (name, value),
        ];
        self.template.resource(
            &logical_id(&security_group_rule_name(rule)),
            resource_type,
            None,
            properties,
        );
    }

    fn vpc_ipv6_cidr(&mut self) -> Tree {
        let description = "IPv6 CIDR block of the VPC, for network ACL rules";
        self.template
            .parameter("VpcIpv6Cidr", "String", description, &[]);
        reference("VpcIpv6Cidr")
    }

    fn vpc_cidr(&mut self) -> Tree {
        let description = "IPv4 CIDR block of the VPC, for network ACL rules";
        self.template.parameter(
            "VpcCidr",
            "String",
            description,
            &[("AllowedPattern", IPV4_CIDR_PATTERN)],
        );
        reference("VpcCidr")
    }

    fn add_network_acl_rule(&mut self, number: u32, rule: &NetworkAclRule) {
        let parameter = logical_id(&format!("{}-network-acl-id", tier_name(rule.tier)));
        let condition = format!("{parameter}IsGiven");
        if self
            .template
            .conditions
            .iter()
            .all(|(known, _)| *known != condition)
        {
            let description = format!(
                "Network ACL of the subnets of the {}; empty for no rules",
                rule.tier.name()
            );
            self.template.parameter(
                &parameter,
                "String",
                &description,
                &[("Default", ""), ("AllowedPattern", "^$|^acl-[0-9a-f]+$")],
            );
            self.template
                .conditions
                .push((condition.clone(), is_given(&parameter)));
        }
        let (name, range) = match &rule.peer {
            RulePeer::Cidr(cidr) if cidr.addr().is_ipv6() => {
                ("Ipv6CidrBlock", cidr.to_string().into())
            }
            RulePeer::Cidr(cidr) => ("CidrBlock", cidr.to_string().into()),
            RulePeer::VpcIpv6 => ("Ipv6CidrBlock", self.vpc_ipv6_cidr()),
            _ => ("CidrBlock", self.vpc_cidr()),
        };
        let ports = Tree::map([
            ("From", u32::from(rule.from_port).into()),
            ("To", u32::from(rule.to_port).into()),
        ]);
        let properties = vec![
            ("NetworkAclId", reference(&parameter)),
            ("RuleNumber", number.into()),
            ("Egress", (rule.direction == Direction::Outbound).into()),
            ("Protocol", TCP_PROTOCOL_NUMBER.into()),
            ("RuleAction", "allow".into()),
            (name, range),
            ("PortRange", ports),
        ];
        let id = logical_id(&network_acl_rule_name(rule));
        self.template.resource(
            &id,
            "AWS::EC2::NetworkAclEntry",
            Some(&condition),
            properties,
        );
    }

    fn add_role_policies(&mut self, role: IamRole) {
        let name = match role {
            IamRole::Execution => "execution-role",
            IamRole::Task => "task-role",
        };
        let policies = &self.requirements.policies;
        let policy = policies.of_role(role);
        let managed = policies.managed(role);
        for (n, part) in managed.iter().enumerate() {
            let properties = vec![
                ("Roles", Tree::list([self.role_name(role)])),
                ("PolicyDocument", with_account(document(part))),
            ];
            let id = logical_id(&format!("{name}-policy-{}", n + 1));
            self.template
                .resource(&id, "AWS::IAM::ManagedPolicy", None, properties);
        }
        if managed.is_empty() && !policy.is_empty() {
            self.add_role_policy(name, role, None, with_account(document(policy)));
        }
        for optional in policies.optional_of(role) {
            let document = with_account(of_statements([&optional.statement].into_iter()));
            if optional.name == CUSTOMER_MANAGED_KEY {
                let keys = format!("ARNs of the keys, if {}", optional.when);
                self.template.parameter(
                    "KmsKeyArns",
                    "CommaDelimitedList",
                    &keys,
                    &[("Default", "")],
                );
                let joined =
                    Tree::map([("Fn::Join", Tree::list(["".into(), reference("KmsKeyArns")]))]);
                let is_empty = Tree::map([("Fn::Equals", Tree::list([joined, "".into()]))]);
                let is_given = Tree::map([("Fn::Not", Tree::list([is_empty]))]);
                self.template
                    .conditions
                    .push(("KmsKeyArnsIsGiven".into(), is_given));
                let document = document.with_entries("Resource", &reference("KmsKeyArns"));
                self.add_role_policy(optional.name, role, Some("KmsKeyArnsIsGiven"), document);
            } else {
                let parameter = logical_id(optional.name);
                self.add_switch(&parameter, &format!("Whether {}", optional.when));
                self.add_role_policy(
                    optional.name,
                    role,
                    Some(&format!("{parameter}IsOn")),
                    document,
                );
            }
        }
    }

    /// Declares the parameter for the role's name, and returns a reference to it.
    fn role_name(&mut self, role: IamRole) -> Tree {
        let (parameter, role_name) = match role {
            IamRole::Execution if self.requirements.uses_instance_role => {
                ("InstanceRoleName", None)
            }
            IamRole::Execution => {
                let name = self.requirements.execution_role_name.as_deref();
                ("ExecutionRoleName", name)
            }
            IamRole::Task => ("TaskRoleName", self.requirements.task_role_name.as_deref()),
        };
        let mut more = vec![("AllowedPattern", "^[A-Za-z0-9+=,.@_-]{1,64}$")];
        more.extend(role_name.map(|name| ("Default", name)));
        let description = format!("Name of the {}", self.requirements.role(role));
        self.template
            .parameter(parameter, "String", &description, &more);
        reference(parameter)
    }

    fn add_role_policy(
        &mut self,
        name: &str,
        role: IamRole,
        condition: Option<&str>,
        document: Tree,
    ) {
        let properties = vec![
            ("PolicyName", format!("task-start-{name}").into()),
            ("Roles", Tree::list([self.role_name(role)])),
            ("PolicyDocument", document),
        ];
        self.template.resource(
            &logical_id(&format!("{name}-policy")),
            "AWS::IAM::Policy",
            condition,
            properties,
        );
    }
}

/// TCP's protocol number (IANA).
const TCP_PROTOCOL_NUMBER: u32 = 6;

/// Fills in partition and account of ARNs that match every account.
pub(crate) fn with_account(tree: Tree) -> Tree {
    tree.with_texts(&|text| match parse_any_account_arn(&text) {
        None => Tree::Text(text),
        Some(arn) => {
            let literal = |part: &str| part.replace("${", "${!");
            substitute(format!(
                "arn:${{AWS::Partition}}:{}:{}:${{AWS::AccountId}}:{}",
                literal(&arn.service),
                literal(&arn.region),
                literal(&arn.resource)
            ))
        }
    })
}

/// Returns a logical ID: the words of `name`, each with a capital letter.
pub(crate) fn logical_id(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let capital = |word: &str| {
        word.chars()
            .take(1)
            .map(|c| c.to_ascii_uppercase())
            .chain(word.chars().skip(1))
            .collect()
    };
    words.map(capital).collect::<Vec<String>>().concat()
}
