//! What a plan needs, as a CloudFormation template.

use super::infrastructure::{
    FIRST_RULE, describe, name_of, name_of_acl_rule, name_of_group_rule, preamble,
};
use super::policy::{document, of_statements};
use super::template::{Template, attribute, is_given, only_if, reference, substitute};
use super::tree::Tree;
use crate::plan::requirements::{
    AclRule, CUSTOMER_MANAGED_KEY, Flow, GroupRule, IamRole, Kind, Part, Peer, Requirements,
    SecurityGroup, VpcEndpoint, around_account,
};

/// The template with these parts of what is needed. Fails, with a sentence, if YAML cannot say it.
pub fn render(needs: &Requirements, parts: &[Part]) -> Result<String, String> {
    let template = Template {
        comment: preamble(needs, HOW),
        description: format!("What a task in {} needs to start", needs.region),
        ..Template::default()
    };
    let mut stack = Stack { needs, template };
    let has = |part| parts.contains(&part);
    let groups = has(Part::SecurityGroups);
    if needs.has_interface_endpoint() && (groups || has(Part::Endpoints)) {
        stack.endpoint_group();
    }
    if has(Part::Endpoints) {
        needs
            .endpoints
            .iter()
            .for_each(|endpoint| stack.endpoint(endpoint));
    }
    for rule in &needs.security_groups {
        if groups || (has(Part::Endpoints) && rule.group == SecurityGroup::Endpoints) {
            stack.group_rule(rule);
        }
    }
    if has(Part::NetworkAcls) {
        (FIRST_RULE..)
            .zip(&needs.network_acls)
            .for_each(|(number, rule)| stack.acl_rule(number, rule));
    }
    for (part, role) in [
        (Part::TaskRolePolicy, IamRole::Task),
        (Part::Policy, IamRole::Execution),
    ] {
        if has(part) {
            stack.role_policies(role);
        }
    }
    if stack.template.resources.is_empty() {
        return Err("nothing of it has to be set up, and CloudFormation takes no template without resources: ask for --format text".into());
    }
    stack.template.to_yaml()
}

const HOW: &str =
    "To set it up, in that region and with a value for each parameter that has no default:
  aws cloudformation deploy --stack-name task-needs --capabilities CAPABILITY_IAM \\
      --template-file FILE --parameter-overrides VpcId=vpc-...
A rule that is there already is refused as a duplicate: take it out of this file.";

struct Stack<'a> {
    needs: &'a Requirements,
    template: Template,
}

const IPV4_RANGE: &str = "^[0-9]{1,3}(\\.[0-9]{1,3}){3}/[0-9]{1,2}$";

impl Stack<'_> {
    fn vpc(&mut self) -> Tree {
        self.template.parameter(
            "VpcId",
            "AWS::EC2::VPC::Id",
            "The VPC in which the tasks run",
            &[],
        );
        reference("VpcId")
    }

    fn endpoint_group(&mut self) {
        let vpc = self.vpc();
        let properties = vec![
            (
                "GroupDescription",
                "VPC endpoints that tasks start through".into(),
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

    fn endpoint(&mut self, endpoint: &VpcEndpoint) {
        let mut properties = vec![
            ("VpcId", self.vpc()),
            ("ServiceName", endpoint.service.as_str().into()),
        ];
        match endpoint.kind {
            Kind::Interface => {
                let subnets = "Subnets for the endpoints' network interfaces: one in each Availability Zone with tasks";
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
            Kind::Gateway => {
                let tables = "The route table of every subnet with tasks";
                self.template
                    .parameter("RouteTableIds", "CommaDelimitedList", tables, &[]);
                properties.extend([
                    ("VpcEndpointType", "Gateway".into()),
                    ("RouteTableIds", reference("RouteTableIds")),
                ]);
            }
        }
        if let Some(policy) = &endpoint.policy {
            let narrow = "Whether the endpoints allow only what this task needs. Everything else that goes through them is then refused";
            self.switch("RestrictEndpoints", narrow);
            properties.push((
                "PolicyDocument",
                only_if("RestrictEndpointsIsOn", with_account(document(policy))),
            ));
        }
        let id = logical_id(&format!(
            "{}-endpoint",
            endpoint.short_name(&self.needs.region)
        ));
        self.template
            .resource(&id, "AWS::EC2::VPCEndpoint", None, properties);
    }

    /// A parameter that is on or off, and the condition `…IsOn`.
    fn switch(&mut self, name: &str, description: &str) {
        let is_new = self
            .template
            .parameters
            .iter()
            .all(|(known, _)| known != name);
        self.template
            .choice(name, description, ["true", "false"], "false");
        if is_new {
            let is_on = Tree::map([("Fn::Equals", Tree::list([reference(name), "true".into()]))]);
            self.template
                .conditions
                .push((format!("{name}IsOn"), is_on));
        }
    }

    fn group(&mut self, group: SecurityGroup) -> Tree {
        let (name, whose) = match group {
            SecurityGroup::Endpoints => return attribute("EndpointSecurityGroup", "GroupId"),
            SecurityGroup::FileSystems => (
                "FileSystemSecurityGroupId",
                "Security group of the file systems' mount targets",
            ),
            SecurityGroup::Tasks | SecurityGroup::Nat => {
                ("TaskSecurityGroupId", "Security group of the tasks")
            }
        };
        self.template
            .parameter(name, "AWS::EC2::SecurityGroup::Id", whose, &[]);
        reference(name)
    }

    fn group_rule(&mut self, rule: &GroupRule) {
        let (kind, [of_group, of_list]) = match rule.flow {
            Flow::Inbound => (
                "AWS::EC2::SecurityGroupIngress",
                ["SourceSecurityGroupId", "SourcePrefixListId"],
            ),
            Flow::Outbound => (
                "AWS::EC2::SecurityGroupEgress",
                ["DestinationSecurityGroupId", "DestinationPrefixListId"],
            ),
        };
        let (name, value) = match &rule.peer {
            Peer::SecurityGroup(group) => (of_group, self.group(*group)),
            Peer::PrefixList(list) => {
                let how = format!(
                    "Id of the managed prefix list {list}, by aws ec2 describe-managed-prefix-lists"
                );
                self.template.parameter(
                    "S3PrefixListId",
                    "String",
                    &how,
                    &[("AllowedPattern", "^pl-[0-9a-f]+$")],
                );
                (of_list, reference("S3PrefixListId"))
            }
            Peer::Cidr(cidr) if cidr.addr().is_ipv6() => ("CidrIpv6", cidr.to_string().into()),
            Peer::Cidr(cidr) => ("CidrIp", cidr.to_string().into()),
            Peer::Vpc => ("CidrIp", self.vpc_cidr()),
        };
        let properties = vec![
            ("GroupId", self.group(rule.group)),
            ("Description", describe(rule).into()),
            ("IpProtocol", rule.protocol.into()),
            ("FromPort", u32::from(rule.port).into()),
            ("ToPort", u32::from(rule.port).into()),
            (name, value),
        ];
        self.template.resource(
            &logical_id(&name_of_group_rule(rule)),
            kind,
            None,
            properties,
        );
    }

    fn vpc_cidr(&mut self) -> Tree {
        let whose = "IPv4 range of the VPC, for the rules of network ACLs";
        self.template.parameter(
            "VpcCidr",
            "String",
            whose,
            &[("AllowedPattern", IPV4_RANGE)],
        );
        reference("VpcCidr")
    }

    fn acl_rule(&mut self, number: u32, rule: &AclRule) {
        let parameter = logical_id(&format!("{}-network-acl-id", name_of(rule.subnets)));
        let condition = format!("{parameter}IsGiven");
        if self
            .template
            .conditions
            .iter()
            .all(|(known, _)| *known != condition)
        {
            let whose = format!(
                "Network ACL of the subnets of the {}; none: no rules for it",
                rule.subnets.name()
            );
            self.template.parameter(
                &parameter,
                "String",
                &whose,
                &[("Default", ""), ("AllowedPattern", "^$|^acl-[0-9a-f]+$")],
            );
            self.template
                .conditions
                .push((condition.clone(), is_given(&parameter)));
        }
        let (name, range) = match &rule.peer {
            Peer::Cidr(cidr) if cidr.addr().is_ipv6() => ("Ipv6CidrBlock", cidr.to_string().into()),
            Peer::Cidr(cidr) => ("CidrBlock", cidr.to_string().into()),
            _ => ("CidrBlock", self.vpc_cidr()),
        };
        let ports = Tree::map([
            ("From", u32::from(rule.from_port).into()),
            ("To", u32::from(rule.to_port).into()),
        ]);
        let properties = vec![
            ("NetworkAclId", reference(&parameter)),
            ("RuleNumber", number.into()),
            ("Egress", (rule.flow == Flow::Outbound).into()),
            ("Protocol", IP_PROTOCOL_TCP.into()),
            ("RuleAction", "allow".into()),
            (name, range),
            ("PortRange", ports),
        ];
        let id = logical_id(&name_of_acl_rule(rule));
        self.template.resource(
            &id,
            "AWS::EC2::NetworkAclEntry",
            Some(&condition),
            properties,
        );
    }

    fn role_policies(&mut self, role: IamRole) {
        let (name, policy) = match role {
            IamRole::Execution => ("execution-role", &self.needs.execution_role_policy),
            IamRole::Task => ("task-role", &self.needs.task_role_policy),
        };
        if !policy.is_empty() {
            self.role_policy(name, role, None, with_account(document(policy)));
        }
        for extra in self
            .needs
            .extra_statements
            .iter()
            .filter(|extra| extra.role == role)
        {
            let document = with_account(of_statements([&extra.statement].into_iter()));
            if extra.name == CUSTOMER_MANAGED_KEY {
                let keys = format!("ARNs of the keys, if {}", extra.when);
                self.template.parameter(
                    "KmsKeyArns",
                    "CommaDelimitedList",
                    &keys,
                    &[("Default", "")],
                );
                let joined =
                    Tree::map([("Fn::Join", Tree::list(["".into(), reference("KmsKeyArns")]))]);
                let none = Tree::map([("Fn::Equals", Tree::list([joined, "".into()]))]);
                let given = Tree::map([("Fn::Not", Tree::list([none]))]);
                self.template
                    .conditions
                    .push(("KmsKeyArnsIsGiven".into(), given));
                let document = document.with_entries("Resource", &reference("KmsKeyArns"));
                self.role_policy(extra.name, role, Some("KmsKeyArnsIsGiven"), document);
            } else {
                let parameter = logical_id(extra.name);
                self.switch(&parameter, &format!("Whether {}", extra.when));
                self.role_policy(
                    extra.name,
                    role,
                    Some(&format!("{parameter}IsOn")),
                    document,
                );
            }
        }
    }

    fn role_policy(&mut self, name: &str, role: IamRole, condition: Option<&str>, document: Tree) {
        let [of_execution, of_task] = &self.needs.role_names;
        let (parameter, whose, known) = match role {
            IamRole::Execution => (
                "ExecutionRoleName",
                "Name of the task definition's execution role",
                of_execution,
            ),
            IamRole::Task => (
                "TaskRoleName",
                "Name of the task definition's task role",
                of_task,
            ),
        };
        let mut more = vec![("AllowedPattern", "^[A-Za-z0-9+=,.@_-]{1,64}$")];
        more.extend(known.as_deref().map(|name| ("Default", name)));
        self.template.parameter(parameter, "String", whose, &more);
        let properties = vec![
            ("PolicyName", format!("task-start-{name}").into()),
            ("Roles", Tree::list([reference(parameter)])),
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

/// IANA's number.
const IP_PROTOCOL_TCP: u32 = 6;

/// The account's number where an ARN leaves it open.
pub(crate) fn with_account(tree: Tree) -> Tree {
    tree.with_texts(&|text| match around_account(&text) {
        None => Tree::Text(text),
        Some((before, after)) => {
            let literal = |part: &str| part.replace("${", "${!");
            let before = before.splitn(3, ':').last().unwrap_or_default();
            substitute(format!(
                "arn:${{AWS::Partition}}:{}${{AWS::AccountId}}{}",
                literal(before),
                literal(after)
            ))
        }
    })
}

/// Letters and digits, each word with a capital.
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
