//! Changes as text: AWS CLI commands, Terraform, and CloudFormation.
//!
//! A resource that exists already keeps its other settings: there, Terraform and CloudFormation show
//! the setting to change in its own definition.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::change::{ConfigurationChange, Peer};

/// A change in three languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Patch {
    /// What it does, as a clause without a subject.
    pub title: String,
    /// What it costs, where there are several ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// Commands of the AWS CLI, for a POSIX shell.
    pub cli: Vec<String>,
    /// Terraform resources.
    pub terraform: String,
    /// A CloudFormation template in JSON with only these resources; `null` where CloudFormation has
    /// none.
    pub cloudformation: Option<String>,
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
    /// Returns the text in one language.
    pub fn text(&self, language: PatchLanguage) -> String {
        match language {
            PatchLanguage::Cli => self.cli.join("\n"),
            PatchLanguage::Terraform => self.terraform.clone(),
            PatchLanguage::CloudFormation => self.cloudformation.clone().unwrap_or_else(|| {
                format!(
                    "# CloudFormation has no resource for this; use the AWS CLI:\n# {}",
                    self.cli.join("\n# ")
                )
            }),
        }
    }

    /// Writes changes that belong together.
    pub(super) fn of(changes: &[ConfigurationChange], region: &str) -> Self {
        let titles: Vec<_> = changes.iter().map(ConfigurationChange::title).collect();
        let mut resources = serde_json::Map::new();
        let mut can_form = true;
        for (number, change) in changes.iter().enumerate() {
            match cloudformation(change) {
                Some(made) => {
                    for (name, resource) in made {
                        let name = if number == 0 {
                            name.to_owned()
                        } else {
                            format!("{name}{number}")
                        };
                        resources.insert(name, resource);
                    }
                }
                None => can_form = false,
            }
        }
        let template = json!({
            "AWSTemplateFormatVersion": "2010-09-09",
            "Resources": resources,
        });
        Self {
            title: titles.join(", and "),
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
                        command.replace("REGION", region)
                    }
                })
                .collect(),
            terraform: changes
                .iter()
                .enumerate()
                .map(|(number, change)| numbered(terraform(change), number))
                .collect::<Vec<_>>()
                .join("\n"),
            cloudformation: can_form
                .then(|| serde_json::to_string_pretty(&template).unwrap_or_default()),
        }
    }
}

/// Returns a change's Terraform with resource names of its own, where others come before it.
fn numbered(text: String, number: usize) -> String {
    if number == 0 {
        return text;
    }
    let name = format!("pullprobe_{number}");
    text.replace("\"pullprobe\" {", &format!("\"{name}\" {{"))
        .replace(".pullprobe.", &format!(".{name}."))
}

/// Quotes an argument for a POSIX shell, unless it has only plain characters.
fn shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
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
            let permissions = shell(&ip_permissions(*port, peer).to_string());
            vec![format!(
                "aws ec2 authorize-security-group-{direction} --group-id {group} --ip-permissions {permissions}"
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
                "aws ec2 create-network-acl-entry --network-acl-id {acl} {direction} --rule-number {number} --protocol 6 \
                 --port-range From={from},To={to} {block} {cidr} --rule-action allow"
            )]
        }
        ConfigurationChange::EnablePrivateDns { endpoint, .. } => vec![format!(
            "aws ec2 modify-vpc-endpoint --vpc-endpoint-id {endpoint} --private-dns-enabled"
        )],
        ConfigurationChange::EnableVpcDns { vpc, attribute } => {
            let flag = if *attribute == "enableDnsSupport" {
                "--enable-dns-support"
            } else {
                "--enable-dns-hostnames"
            };
            vec![format!(
                r#"aws ec2 modify-vpc-attribute --vpc-id {vpc} {flag} '{{"Value":true}}'"#
            )]
        }
        ConfigurationChange::CreateInterfaceEndpoint {
            vpc,
            service,
            subnets,
            groups,
        } => vec![format!(
            "aws ec2 create-vpc-endpoint --vpc-id {vpc} --vpc-endpoint-type Interface --service-name {service} \
             --subnet-ids {} --security-group-ids {} --private-dns-enabled",
            subnets.join(" "),
            or_placeholder(groups, ENDPOINT_GROUP).join(" ")
        )],
        ConfigurationChange::CreateGatewayEndpoint {
            vpc,
            service,
            route_table,
        } => vec![format!(
            "aws ec2 create-vpc-endpoint --vpc-id {vpc} --vpc-endpoint-type Gateway --service-name {service} \
             --route-table-ids {route_table}"
        )],
        ConfigurationChange::AssociateRouteTable {
            endpoint,
            route_table,
            ..
        } => vec![format!(
            "aws ec2 modify-vpc-endpoint --vpc-endpoint-id {endpoint} --add-route-table-ids {route_table}"
        )],
        ConfigurationChange::RouteToNat {
            route_table,
            nat,
            replaces,
        } => vec![format!(
            "aws ec2 {} --route-table-id {route_table} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id {nat}",
            route_command(*replaces)
        )],
        ConfigurationChange::RouteToInternetGateway {
            route_table,
            gateway,
            replaces,
        } => vec![format!(
            "aws ec2 {} --route-table-id {route_table} --destination-cidr-block 0.0.0.0/0 --gateway-id {gateway}",
            route_command(*replaces)
        )],
        ConfigurationChange::CreateNat {
            route_table,
            public_subnet,
            replaces,
        } => {
            let subnet = public_subnet.as_deref().unwrap_or(PUBLIC_SUBNET);
            vec![
                "ADDRESS=$(aws ec2 allocate-address --domain vpc --query AllocationId --output text --region REGION)".to_owned(),
                format!(
                    "NAT=$(aws ec2 create-nat-gateway --subnet-id {subnet} --allocation-id \"$ADDRESS\" \
                     --query NatGateway.NatGatewayId --output text --region REGION)"
                ),
                "aws ec2 wait nat-gateway-available --nat-gateway-ids \"$NAT\"".to_owned(),
                format!(
                    "aws ec2 {} --route-table-id {route_table} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id \"$NAT\"",
                    route_command(*replaces)
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
                shell(cluster.as_deref().unwrap_or("CLUSTER")),
                shell(service.as_deref().unwrap_or("SERVICE")),
                shell(&network)
            )]
        }
        ConfigurationChange::SetEndpointPolicy {
            endpoint, document, ..
        } => vec![format!(
            "aws ec2 modify-vpc-endpoint --vpc-endpoint-id {endpoint} --policy-document {}",
            shell(&document.to_string())
        )],
        ConfigurationChange::PutRolePolicy {
            role,
            name,
            document,
        } => vec![format!(
            "aws iam put-role-policy --role-name {} --policy-name {name} --policy-document {}",
            shell(role),
            shell(&document.to_string())
        )],
        ConfigurationChange::CreateLogGroup { name } => vec![format!(
            "aws logs create-log-group --log-group-name {}",
            shell(name)
        )],
        ConfigurationChange::ExcludeFromBlock { subnet, mode } => vec![format!(
            "aws ec2 create-vpc-block-public-access-exclusion --subnet-id {subnet} --internet-gateway-exclusion-mode {mode}"
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
    format!("# In the {kind} whose id is {id}, set:\n{}", lines.concat())
}

#[expect(
    clippy::too_many_lines,
    reason = "one short arm for each change, which are easier to compare in one place"
)]
fn terraform(change: &ConfigurationChange) -> String {
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
                "pullprobe",
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
                "pullprobe",
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
            let name = if *attribute == "enableDnsSupport" {
                "enable_dns_support"
            } else {
                "enable_dns_hostnames"
            };
            terraform_setting("aws_vpc", vpc, &[(name, "true".into())])
        }
        ConfigurationChange::CreateInterfaceEndpoint {
            vpc,
            service,
            subnets,
            groups,
        } => terraform_block(
            "aws_vpc_endpoint",
            "pullprobe",
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
            "pullprobe",
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
            "pullprobe",
            &[
                ("vpc_endpoint_id", hcl(endpoint)),
                ("route_table_id", hcl(route_table)),
            ],
        ),
        ConfigurationChange::RouteToNat {
            route_table,
            nat,
            replaces,
        } => terraform_route(route_table, ("nat_gateway_id", hcl(nat)), *replaces),
        ConfigurationChange::RouteToInternetGateway {
            route_table,
            gateway,
            replaces,
        } => terraform_route(route_table, ("gateway_id", hcl(gateway)), *replaces),
        ConfigurationChange::CreateNat {
            route_table,
            public_subnet,
            replaces,
        } => {
            let subnet = public_subnet.as_deref().unwrap_or(PUBLIC_SUBNET);
            [
                terraform_block("aws_eip", "pullprobe", &[("domain", hcl("vpc"))]),
                terraform_block(
                    "aws_nat_gateway",
                    "pullprobe",
                    &[
                        ("subnet_id", hcl(subnet)),
                        ("allocation_id", "aws_eip.pullprobe.id".into()),
                    ],
                ),
                terraform_route(
                    route_table,
                    ("nat_gateway_id", "aws_nat_gateway.pullprobe.id".into()),
                    *replaces,
                ),
            ]
            .join("\n")
        }
        ConfigurationChange::AssignPublicIp { service, .. } => {
            let name = service.as_deref().unwrap_or("SERVICE");
            terraform_setting(
                "aws_ecs_service",
                name,
                &[("network_configuration.assign_public_ip", "true".into())],
            )
        }
        ConfigurationChange::SetEndpointPolicy {
            endpoint, document, ..
        } => terraform_block(
            "aws_vpc_endpoint_policy",
            "pullprobe",
            &[
                ("vpc_endpoint_id", hcl(endpoint)),
                ("policy", hcl_json(document)),
            ],
        ),
        ConfigurationChange::PutRolePolicy {
            role,
            name,
            document,
        } => terraform_block(
            "aws_iam_role_policy",
            "pullprobe",
            &[
                ("role", hcl(role)),
                ("name", hcl(name)),
                ("policy", hcl_json(document)),
            ],
        ),
        ConfigurationChange::CreateLogGroup { name } => terraform_block(
            "aws_cloudwatch_log_group",
            "pullprobe",
            &[("name", hcl(name))],
        ),
        ConfigurationChange::ExcludeFromBlock { subnet, mode } => terraform_block(
            "aws_vpc_block_public_access_exclusion",
            "pullprobe",
            &[
                ("subnet_id", hcl(subnet)),
                ("internet_gateway_exclusion_mode", hcl(mode)),
            ],
        ),
    }
}

fn terraform_route(route_table: &str, target: (&str, String), replaces: bool) -> String {
    let block = terraform_block(
        "aws_route",
        "pullprobe",
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
