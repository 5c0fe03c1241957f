//! Changes as text: AWS CLI commands, Terraform, and CloudFormation.
//!
//! A resource that exists already keeps its other settings: there, Terraform and CloudFormation
//! show the setting to change in its own definition.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::change::{ConfigurationChange, Peer};
use crate::safe_text::{shell_word, visible};

/// A change in three languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Patch {
    /// What it does, as a clause without a subject.
    pub title: String,
    /// What it costs, where there are alternatives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// Commands of the AWS CLI, for a POSIX shell.
    pub cli: Vec<String>,
    /// Terraform resources.
    pub terraform: String,
    /// A CloudFormation template in JSON with only these resources; `null` where CloudFormation has
    /// none.
    pub cloudformation: Option<String>,
    /// The changes themselves, for one document of several patches.
    #[serde(skip)]
    changes: Vec<ConfigurationChange>,
}

/// A language of patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchLanguage {
    /// Terraform.
    Terraform,
    /// AWS CloudFormation.
    CloudFormation,
    /// The AWS CLI.
    Cli,
}

impl Patch {
    /// Writes changes that belong together.
    pub(super) fn of(changes: &[ConfigurationChange], region: &str) -> Self {
        let titles: Vec<_> = changes.iter().map(ConfigurationChange::title).collect();
        let mut template = CloudFormationTemplate::default();
        let can_form = changes.iter().all(|change| template.add(change));
        let region = shell_word(region);
        Self {
            title: visible(&titles.join(", and "), MAX_COMMENT),
            cost: changes
                .iter()
                .find_map(ConfigurationChange::cost)
                .map(str::to_owned),
            cli: changes
                .iter()
                .flat_map(cli)
                .map(|command| {
                    // A later line of one change uses what an earlier one has set.
                    if command.starts_with("aws ") {
                        format!("{command} --region {region}")
                    } else {
                        command.replace("--region REGION", &format!("--region {region}"))
                    }
                })
                .collect(),
            terraform: terraform_of(changes, 0),
            cloudformation: can_form.then(|| template.text()),
            changes: changes.to_vec(),
        }
    }
}

/// Maximum number of characters of a comment.
const MAX_COMMENT: usize = 4096;

/// Returns a text as a comment of one line, in a shell, Terraform and YAML.
fn comment(text: &str) -> String {
    format!("# {}\n", visible(text, MAX_COMMENT))
}

/// Writes the patches of several findings as one text, with each finding as a comment and each
/// change once. `findings` are the comment, the patch, and the remedy where there is no patch.
pub fn joined<'a>(
    findings: impl Iterator<Item = (String, Option<&'a Patch>, &'a str)>,
    language: PatchLanguage,
) -> String {
    let mut written: Vec<&ConfigurationChange> = Vec::new();
    let mut template = CloudFormationTemplate::default();
    let mut text = String::new();
    for (title, patch, remedy) in findings {
        if !text.is_empty() && language != PatchLanguage::CloudFormation {
            text.push('\n');
        }
        text.push_str(&comment(&title));
        let Some(patch) = patch else {
            text.push_str(&comment(remedy));
            continue;
        };
        let new: Vec<_> = patch
            .changes
            .iter()
            .filter(|change| !written.contains(change))
            .collect();
        if new.is_empty() && !patch.changes.is_empty() {
            text.push_str(&comment("The same change as above."));
            continue;
        }
        match language {
            PatchLanguage::Cli => {
                text.push_str(&patch.cli.join("\n"));
                text.push('\n');
            }
            PatchLanguage::Terraform => {
                let new: Vec<_> = new.iter().map(|change| (*change).clone()).collect();
                text.push_str(&terraform_of(&new, written.len()));
            }
            PatchLanguage::CloudFormation => {
                if patch.cloudformation.is_some() {
                    for change in &new {
                        template.add(change);
                    }
                } else {
                    text.push_str(&comment(NO_CLOUDFORMATION));
                    for command in &patch.cli {
                        text.push_str(&comment(command));
                    }
                }
            }
        }
        written.extend(new);
    }
    if !template.resources.is_empty() {
        text.push_str(&template.text());
        text.push('\n');
    }
    text
}

/// Comment in place of resources that CloudFormation does not have.
const NO_CLOUDFORMATION: &str = "CloudFormation has no resource for this; use the AWS CLI:";

/// Returns changes as Terraform, each with its own resource names. `before` is the number of
/// changes before them in the same document.
fn terraform_of(changes: &[ConfigurationChange], before: usize) -> String {
    changes
        .iter()
        .zip(before..)
        .map(|(change, number)| match number {
            0 => terraform(change, "pullprobe"),
            number => terraform(change, &format!("pullprobe_{number}")),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// A CloudFormation template, with its own name for each resource.
#[derive(Default)]
struct CloudFormationTemplate {
    resources: serde_json::Map<String, Value>,
    changes: usize,
}

impl CloudFormationTemplate {
    /// Adds a change. Returns whether CloudFormation can express it.
    fn add(&mut self, change: &ConfigurationChange) -> bool {
        let Some(made) = cloudformation(change) else {
            return false;
        };
        let number = self.changes;
        self.changes += 1;
        let names: Vec<&str> = made.iter().map(|(name, _)| *name).collect();
        let renamed = |name: &str| match number {
            0 => name.to_owned(),
            number => format!("{name}{number}"),
        };
        for (name, mut resource) in made.clone() {
            // Only a new NAT gateway has resources that refer to each other.
            if names.len() > 1 {
                rename_references(&mut resource, &names, &renamed);
            }
            self.resources.insert(renamed(name), resource);
        }
        true
    }

    fn text(&self) -> String {
        let template = json!({
            "AWSTemplateFormatVersion": "2010-09-09",
            "Resources": self.resources,
        });
        serde_json::to_string_pretty(&template).unwrap_or_default()
    }
}

/// Renames what `Ref` and `Fn::GetAtt` refer to.
fn rename_references(value: &mut Value, names: &[&str], renamed: &impl Fn(&str) -> String) {
    let rename = |name: &mut Value| {
        if let Some(known) = name.as_str().filter(|name| names.contains(name)) {
            *name = json!(renamed(known));
        }
    };
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match (key.as_str(), member) {
                    ("Ref", name) => rename(name),
                    ("Fn::GetAtt", Value::Array(parts)) => {
                        parts.iter_mut().take(1).for_each(rename);
                    }
                    (_, member) => rename_references(member, names, renamed),
                }
            }
        }
        Value::Array(members) => {
            for member in members {
                rename_references(member, names, renamed);
            }
        }
        _ => {}
    }
}

fn shell_words(texts: &[String]) -> String {
    let words: Vec<_> = texts.iter().map(|text| shell_word(text)).collect();
    words.join(" ")
}

/// Quotes a Terraform string, in which nothing is a template.
fn hcl(text: &str) -> String {
    let quoted = json!(text).to_string();
    quoted.replace("${", "$${").replace("%{", "%%{")
}

/// Returns a list of Terraform strings.
fn hcl_list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| hcl(text)).collect();
    format!("[{}]", texts.join(", "))
}

fn ip_permissions(port: u16, peer: &Peer) -> Value {
    let mut permission = json!({ "IpProtocol": "tcp", "FromPort": port, "ToPort": port });
    match peer {
        Peer::Group(id) => permission["UserIdGroupPairs"] = json!([{ "GroupId": id }]),
        Peer::PrefixList(id) => permission["PrefixListIds"] = json!([{ "PrefixListId": id }]),
        Peer::Cidr(cidr @ ipnet::IpNet::V4(_)) => {
            permission["IpRanges"] = json!([{ "CidrIp": cidr }]);
        }
        Peer::Cidr(cidr) => permission["Ipv6Ranges"] = json!([{ "CidrIpv6": cidr }]),
    }
    json!([permission])
}

/// Placeholder for the security groups of a new endpoint, which the operator chooses.
const ENDPOINT_GROUP: &str = "sg-ENDPOINT";
/// Placeholder for a public subnet, where none was found.
const PUBLIC_SUBNET: &str = "subnet-PUBLIC";

fn or_placeholder(ids: &[String], placeholder: &str) -> Vec<String> {
    if ids.is_empty() {
        vec![placeholder.to_owned()]
    } else {
        ids.to_vec()
    }
}

fn route_command(replaces: bool) -> &'static str {
    if replaces {
        "replace-route"
    } else {
        "create-route"
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one short arm for each change, which are easier to compare in one place"
)]
fn cli(change: &ConfigurationChange) -> Vec<String> {
    match change {
        ConfigurationChange::AddSecurityGroupRule {
            group,
            is_egress,
            port,
            peer,
        } => {
            let direction = if *is_egress { "egress" } else { "ingress" };
            let permissions = shell_word(&ip_permissions(*port, peer).to_string());
            vec![format!(
                "aws ec2 authorize-security-group-{direction} --group-id {} --ip-permissions {permissions}",
                shell_word(group)
            )]
        }
        ConfigurationChange::AddAclEntry {
            acl,
            number,
            is_egress,
            cidr,
            ports: (from, to),
            ..
        } => {
            let direction = if *is_egress { "--egress" } else { "--ingress" };
            let block = match cidr {
                ipnet::IpNet::V4(_) => "--cidr-block",
                ipnet::IpNet::V6(_) => "--ipv6-cidr-block",
            };
            vec![format!(
                "aws ec2 create-network-acl-entry --network-acl-id {} {direction} --rule-number {number} --protocol 6 \
                 --port-range From={from},To={to} {block} {cidr} --rule-action allow",
                shell_word(acl)
            )]
        }
        ConfigurationChange::EnablePrivateDns { endpoint, .. } => vec![format!(
            "aws ec2 modify-vpc-endpoint --vpc-endpoint-id {} --private-dns-enabled",
            shell_word(endpoint)
        )],
        ConfigurationChange::EnableVpcDns { vpc, attribute } => {
            let flag = if *attribute == "enableDnsSupport" {
                "--enable-dns-support"
            } else {
                "--enable-dns-hostnames"
            };
            vec![format!(
                r#"aws ec2 modify-vpc-attribute --vpc-id {} {flag} '{{"Value":true}}'"#,
                shell_word(vpc)
            )]
        }
        ConfigurationChange::CreateInterfaceEndpoint {
            vpc,
            service,
            subnets,
            groups,
        } => vec![format!(
            "aws ec2 create-vpc-endpoint --vpc-id {} --vpc-endpoint-type Interface --service-name {} \
             --subnet-ids {} --security-group-ids {} --private-dns-enabled",
            shell_word(vpc),
            shell_word(service),
            shell_words(subnets),
            shell_words(&or_placeholder(groups, ENDPOINT_GROUP))
        )],
        ConfigurationChange::CreateGatewayEndpoint {
            vpc,
            service,
            route_table,
        } => vec![format!(
            "aws ec2 create-vpc-endpoint --vpc-id {} --vpc-endpoint-type Gateway --service-name {} \
             --route-table-ids {}",
            shell_word(vpc),
            shell_word(service),
            shell_word(route_table)
        )],
        ConfigurationChange::AssociateRouteTable {
            endpoint,
            route_table,
            ..
        } => vec![format!(
            "aws ec2 modify-vpc-endpoint --vpc-endpoint-id {} --add-route-table-ids {}",
            shell_word(endpoint),
            shell_word(route_table)
        )],
        ConfigurationChange::RouteToNat {
            route_table,
            nat,
            replaces,
        } => vec![format!(
            "aws ec2 {} --route-table-id {} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id {}",
            route_command(*replaces),
            shell_word(route_table),
            shell_word(nat)
        )],
        ConfigurationChange::RouteToInternetGateway {
            route_table,
            gateway,
            replaces,
        } => vec![format!(
            "aws ec2 {} --route-table-id {} --destination-cidr-block 0.0.0.0/0 --gateway-id {}",
            route_command(*replaces),
            shell_word(route_table),
            shell_word(gateway)
        )],
        ConfigurationChange::CreateNat {
            route_table,
            public_subnet,
            replaces,
        } => {
            let subnet = shell_word(public_subnet.as_deref().unwrap_or(PUBLIC_SUBNET));
            vec![
                "ADDRESS=$(aws ec2 allocate-address --domain vpc --query AllocationId --output text --region REGION)".to_owned(),
                format!(
                    "NAT=$(aws ec2 create-nat-gateway --subnet-id {subnet} --allocation-id \"$ADDRESS\" \
                     --query NatGateway.NatGatewayId --output text --region REGION)"
                ),
                "aws ec2 wait nat-gateway-available --nat-gateway-ids \"$NAT\"".to_owned(),
                format!(
                    "aws ec2 {} --route-table-id {} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id \"$NAT\"",
                    route_command(*replaces),
                    shell_word(route_table)
                ),
            ]
        }
        ConfigurationChange::AssignPublicIp {
            cluster,
            service,
            subnets,
            groups,
        } => {
            let network = format!(
                "awsvpcConfiguration={{subnets=[{}],securityGroups=[{}],assignPublicIp=ENABLED}}",
                subnets.join(","),
                groups.join(",")
            );
            vec![format!(
                "aws ecs update-service --cluster {} --service {} --network-configuration {}",
                shell_word(cluster.as_deref().unwrap_or("CLUSTER")),
                shell_word(service.as_deref().unwrap_or("SERVICE")),
                shell_word(&network)
            )]
        }
        ConfigurationChange::SetEndpointPolicy {
            endpoint, document, ..
        } => vec![format!(
            "aws ec2 modify-vpc-endpoint --vpc-endpoint-id {} --policy-document {}",
            shell_word(endpoint),
            shell_word(&document.to_string())
        )],
        ConfigurationChange::PutRolePolicy {
            role,
            name,
            document,
        } => vec![format!(
            "aws iam put-role-policy --role-name {} --policy-name {} --policy-document {}",
            shell_word(role),
            shell_word(name),
            shell_word(&document.to_string())
        )],
        ConfigurationChange::CreateLogGroup { name } => vec![format!(
            "aws logs create-log-group --log-group-name {}",
            shell_word(name)
        )],
        ConfigurationChange::ExcludeFromBlock { subnet, mode } => vec![format!(
            "aws ec2 create-vpc-block-public-access-exclusion --subnet-id {} --internet-gateway-exclusion-mode {}",
            shell_word(subnet),
            shell_word(mode)
        )],
    }
}

/// Returns a policy document as Terraform's `jsonencode(…)`: JSON is valid there, apart from
/// templates.
fn hcl_json(document: &Value) -> String {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    let text = text.replace("${", "$${").replace("%{", "%%{");
    format!("jsonencode({})", text.replace('\n', "\n  "))
}

fn terraform_block(kind: &str, name: &str, attributes: &[(&str, String)]) -> String {
    let width = attributes
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    let lines: Vec<_> = attributes
        .iter()
        .map(|(name, value)| format!("  {name:<width$} = {value}\n"))
        .collect();
    format!("resource \"{kind}\" \"{name}\" {{\n{}}}\n", lines.concat())
}

/// Returns the setting to change in the definition of a resource that exists.
fn terraform_setting(kind: &str, id: &str, attributes: &[(&str, String)]) -> String {
    let lines: Vec<_> = attributes
        .iter()
        .map(|(name, value)| format!("#   {name} = {}\n", value.replace('\n', "\n# ")))
        .collect();
    format!("# In the {kind} with the ID {id}, set:\n{}", lines.concat())
}

#[expect(
    clippy::too_many_lines,
    reason = "one short arm for each change, which are easier to compare in one place"
)]
fn terraform(change: &ConfigurationChange, name: &str) -> String {
    match change {
        ConfigurationChange::AddSecurityGroupRule {
            group,
            is_egress,
            port,
            peer,
        } => {
            let kind = if *is_egress {
                "aws_vpc_security_group_egress_rule"
            } else {
                "aws_vpc_security_group_ingress_rule"
            };
            let peer = match peer {
                Peer::Group(id) => ("referenced_security_group_id", hcl(id)),
                Peer::PrefixList(id) => ("prefix_list_id", hcl(id)),
                Peer::Cidr(cidr @ ipnet::IpNet::V4(_)) => ("cidr_ipv4", hcl(&cidr.to_string())),
                Peer::Cidr(cidr) => ("cidr_ipv6", hcl(&cidr.to_string())),
            };
            terraform_block(
                kind,
                name,
                &[
                    ("security_group_id", hcl(group)),
                    ("ip_protocol", hcl("tcp")),
                    ("from_port", port.to_string()),
                    ("to_port", port.to_string()),
                    peer,
                ],
            )
        }
        ConfigurationChange::AddAclEntry {
            acl,
            number,
            is_egress,
            cidr,
            ports: (from, to),
            ..
        } => {
            let block = match cidr {
                ipnet::IpNet::V4(_) => "cidr_block",
                ipnet::IpNet::V6(_) => "ipv6_cidr_block",
            };
            terraform_block(
                "aws_network_acl_rule",
                name,
                &[
                    ("network_acl_id", hcl(acl)),
                    ("rule_number", number.to_string()),
                    ("egress", is_egress.to_string()),
                    ("protocol", hcl("tcp")),
                    ("rule_action", hcl("allow")),
                    (block, hcl(&cidr.to_string())),
                    ("from_port", from.to_string()),
                    ("to_port", to.to_string()),
                ],
            )
        }
        ConfigurationChange::EnablePrivateDns { endpoint, .. } => terraform_setting(
            "aws_vpc_endpoint",
            endpoint,
            &[("private_dns_enabled", "true".into())],
        ),
        ConfigurationChange::EnableVpcDns { vpc, attribute } => {
            let setting = if *attribute == "enableDnsSupport" {
                "enable_dns_support"
            } else {
                "enable_dns_hostnames"
            };
            terraform_setting("aws_vpc", vpc, &[(setting, "true".into())])
        }
        ConfigurationChange::CreateInterfaceEndpoint {
            vpc,
            service,
            subnets,
            groups,
        } => terraform_block(
            "aws_vpc_endpoint",
            name,
            &[
                ("vpc_id", hcl(vpc)),
                ("vpc_endpoint_type", hcl("Interface")),
                ("service_name", hcl(service)),
                ("subnet_ids", hcl_list(subnets)),
                (
                    "security_group_ids",
                    hcl_list(&or_placeholder(groups, ENDPOINT_GROUP)),
                ),
                ("private_dns_enabled", "true".into()),
            ],
        ),
        ConfigurationChange::CreateGatewayEndpoint {
            vpc,
            service,
            route_table,
        } => terraform_block(
            "aws_vpc_endpoint",
            name,
            &[
                ("vpc_id", hcl(vpc)),
                ("vpc_endpoint_type", hcl("Gateway")),
                ("service_name", hcl(service)),
                ("route_table_ids", format!("[{}]", hcl(route_table))),
            ],
        ),
        ConfigurationChange::AssociateRouteTable {
            endpoint,
            route_table,
            ..
        } => terraform_block(
            "aws_vpc_endpoint_route_table_association",
            name,
            &[
                ("vpc_endpoint_id", hcl(endpoint)),
                ("route_table_id", hcl(route_table)),
            ],
        ),
        ConfigurationChange::RouteToNat {
            route_table,
            nat,
            replaces,
        } => terraform_route(name, route_table, ("nat_gateway_id", hcl(nat)), *replaces),
        ConfigurationChange::RouteToInternetGateway {
            route_table,
            gateway,
            replaces,
        } => terraform_route(name, route_table, ("gateway_id", hcl(gateway)), *replaces),
        ConfigurationChange::CreateNat {
            route_table,
            public_subnet,
            replaces,
        } => {
            let subnet = public_subnet.as_deref().unwrap_or(PUBLIC_SUBNET);
            [
                terraform_block("aws_eip", name, &[("domain", hcl("vpc"))]),
                terraform_block(
                    "aws_nat_gateway",
                    name,
                    &[
                        ("subnet_id", hcl(subnet)),
                        ("allocation_id", format!("aws_eip.{name}.id")),
                    ],
                ),
                terraform_route(
                    name,
                    route_table,
                    ("nat_gateway_id", format!("aws_nat_gateway.{name}.id")),
                    *replaces,
                ),
            ]
            .join("\n")
        }
        ConfigurationChange::AssignPublicIp { service, .. } => terraform_setting(
            "aws_ecs_service",
            service.as_deref().unwrap_or("SERVICE"),
            &[("network_configuration.assign_public_ip", "true".into())],
        ),
        ConfigurationChange::SetEndpointPolicy {
            endpoint, document, ..
        } => terraform_block(
            "aws_vpc_endpoint_policy",
            name,
            &[
                ("vpc_endpoint_id", hcl(endpoint)),
                ("policy", hcl_json(document)),
            ],
        ),
        ConfigurationChange::PutRolePolicy {
            role,
            name: policy,
            document,
        } => terraform_block(
            "aws_iam_role_policy",
            name,
            &[
                ("role", hcl(role)),
                ("name", hcl(policy)),
                ("policy", hcl_json(document)),
            ],
        ),
        ConfigurationChange::CreateLogGroup { name: group } => {
            terraform_block("aws_cloudwatch_log_group", name, &[("name", hcl(group))])
        }
        ConfigurationChange::ExcludeFromBlock { subnet, mode } => terraform_block(
            "aws_vpc_block_public_access_exclusion",
            name,
            &[
                ("subnet_id", hcl(subnet)),
                ("internet_gateway_exclusion_mode", hcl(mode)),
            ],
        ),
    }
}

fn terraform_route(
    name: &str,
    route_table: &str,
    target: (&str, String),
    replaces: bool,
) -> String {
    let block = terraform_block(
        "aws_route",
        name,
        &[
            ("route_table_id", hcl(route_table)),
            ("destination_cidr_block", hcl("0.0.0.0/0")),
            target,
        ],
    );
    if replaces {
        format!("# This replaces the route that exists: change it where it is defined.\n{block}")
    } else {
        block
    }
}

type Resources = Vec<(&'static str, Value)>;

fn resource(kind: &str, properties: &Value) -> Value {
    json!({ "Type": kind, "Properties": properties })
}

/// Returns the resources of a change; `None` where CloudFormation cannot express it.
#[expect(
    clippy::too_many_lines,
    reason = "one short arm for each change, which are easier to compare in one place"
)]
fn cloudformation(change: &ConfigurationChange) -> Option<Resources> {
    Some(match change {
        ConfigurationChange::AddSecurityGroupRule {
            group,
            is_egress,
            port,
            peer,
        } => {
            let mut properties = json!({
                "GroupId": group, "IpProtocol": "tcp", "FromPort": port, "ToPort": port,
            });
            let (kind, side) = if *is_egress {
                ("AWS::EC2::SecurityGroupEgress", "Destination")
            } else {
                ("AWS::EC2::SecurityGroupIngress", "Source")
            };
            match peer {
                Peer::Group(id) => properties[format!("{side}SecurityGroupId")] = json!(id),
                Peer::PrefixList(id) => properties[format!("{side}PrefixListId")] = json!(id),
                Peer::Cidr(cidr @ ipnet::IpNet::V4(_)) => properties["CidrIp"] = json!(cidr),
                Peer::Cidr(cidr) => properties["CidrIpv6"] = json!(cidr),
            }
            vec![("SecurityGroupRule", resource(kind, &properties))]
        }
        ConfigurationChange::AddAclEntry {
            acl,
            number,
            is_egress,
            cidr,
            ports: (from, to),
            ..
        } => {
            let mut properties = json!({
                "NetworkAclId": acl, "RuleNumber": number, "Egress": is_egress, "Protocol": 6,
                "RuleAction": "allow", "PortRange": { "From": from, "To": to },
            });
            let block = match cidr {
                ipnet::IpNet::V4(_) => "CidrBlock",
                ipnet::IpNet::V6(_) => "Ipv6CidrBlock",
            };
            properties[block] = json!(cidr);
            vec![(
                "NetworkAclEntry",
                resource("AWS::EC2::NetworkAclEntry", &properties),
            )]
        }
        ConfigurationChange::CreateInterfaceEndpoint {
            vpc,
            service,
            subnets,
            groups,
        } => vec![(
            "Endpoint",
            resource(
                "AWS::EC2::VPCEndpoint",
                &json!({
                    "VpcId": vpc, "VpcEndpointType": "Interface", "ServiceName": service, "SubnetIds": subnets,
                    "SecurityGroupIds": or_placeholder(groups, ENDPOINT_GROUP), "PrivateDnsEnabled": true,
                }),
            ),
        )],
        ConfigurationChange::CreateGatewayEndpoint {
            vpc,
            service,
            route_table,
        } => vec![(
            "Endpoint",
            resource(
                "AWS::EC2::VPCEndpoint",
                &json!({
                    "VpcId": vpc, "VpcEndpointType": "Gateway", "ServiceName": service, "RouteTableIds": [route_table],
                }),
            ),
        )],
        ConfigurationChange::RouteToNat {
            route_table,
            nat,
            replaces: false,
        } => vec![(
            "Route",
            route_resource(route_table, "NatGatewayId", &json!(nat)),
        )],
        ConfigurationChange::RouteToInternetGateway {
            route_table,
            gateway,
            replaces: false,
        } => vec![(
            "Route",
            route_resource(route_table, "GatewayId", &json!(gateway)),
        )],
        ConfigurationChange::CreateNat {
            route_table,
            public_subnet,
            replaces: false,
        } => {
            let subnet = public_subnet.as_deref().unwrap_or(PUBLIC_SUBNET);
            vec![
                (
                    "Address",
                    resource("AWS::EC2::EIP", &json!({ "Domain": "vpc" })),
                ),
                (
                    "NatGateway",
                    resource(
                        "AWS::EC2::NatGateway",
                        &json!({
                            "SubnetId": subnet, "AllocationId": { "Fn::GetAtt": ["Address", "AllocationId"] },
                        }),
                    ),
                ),
                (
                    "Route",
                    route_resource(route_table, "NatGatewayId", &json!({ "Ref": "NatGateway" })),
                ),
            ]
        }
        ConfigurationChange::PutRolePolicy {
            role,
            name,
            document,
        } => vec![(
            "RolePolicy",
            resource(
                "AWS::IAM::RolePolicy",
                &json!({ "RoleName": role, "PolicyName": name, "PolicyDocument": document }),
            ),
        )],
        ConfigurationChange::CreateLogGroup { name } => vec![(
            "LogGroup",
            resource("AWS::Logs::LogGroup", &json!({ "LogGroupName": name })),
        )],
        ConfigurationChange::ExcludeFromBlock { subnet, mode } => vec![(
            "Exclusion",
            resource(
                "AWS::EC2::VPCBlockPublicAccessExclusion",
                &json!({ "SubnetId": subnet, "InternetGatewayExclusionMode": mode }),
            ),
        )],
        // These change a resource that exists, which only its own template can do.
        ConfigurationChange::EnablePrivateDns { .. }
        | ConfigurationChange::EnableVpcDns { .. }
        | ConfigurationChange::AssociateRouteTable { .. }
        | ConfigurationChange::SetEndpointPolicy { .. }
        | ConfigurationChange::AssignPublicIp { .. }
        | ConfigurationChange::RouteToNat { .. }
        | ConfigurationChange::RouteToInternetGateway { .. }
        | ConfigurationChange::CreateNat { .. } => return None,
    })
}

fn route_resource(route_table: &str, target: &str, id: &Value) -> Value {
    let mut properties = json!({
        "RouteTableId": route_table, "DestinationCidrBlock": "0.0.0.0/0",
    });
    properties[target] = id.clone();
    resource("AWS::EC2::Route", &properties)
}
