//! A change of the configuration that opens a closed hop, as a value. [`super::patch`] writes it.

use ipnet::IpNet;

/// Source or destination of a security group rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    /// The members of a security group.
    Group(String),
    /// A prefix list.
    PrefixList(String),
    /// A CIDR block.
    Cidr(IpNet),
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConfigurationChange {
    AddSecurityGroupRule {
        group: String,
        is_egress: bool,
        port: u16,
        peer: Peer,
    },
    AddAclEntry {
        acl: String,
        number: u32,
        /// Further numbers that are free, best first: two patches of one ACL need two.
        others: Vec<u32>,
        is_egress: bool,
        cidr: IpNet,
        ports: (u16, u16),
    },
    EnablePrivateDns {
        endpoint: String,
        vpc: String,
        service: String,
    },
    EnableVpcDns {
        vpc: String,
        /// `enableDnsSupport` or `enableDnsHostnames`.
        attribute: &'static str,
    },
    CreateInterfaceEndpoint {
        vpc: String,
        service: String,
        subnets: Vec<String>,
        groups: Vec<String>,
    },
    CreateGatewayEndpoint {
        vpc: String,
        service: String,
        route_table: String,
    },
    AssociateRouteTable {
        endpoint: String,
        vpc: String,
        service: String,
        route_table: String,
    },
    /// The default route leads to a NAT gateway that exists already.
    RouteToNat {
        route_table: String,
        nat: String,
        replaces: bool,
    },
    RouteToInternetGateway {
        route_table: String,
        gateway: String,
        replaces: bool,
    },
    /// A new NAT gateway in a subnet with a route to an internet gateway.
    CreateNat {
        route_table: String,
        /// Such a subnet, if there is one.
        public_subnet: Option<String>,
        replaces: bool,
    },
    AssignPublicIp {
        cluster: Option<String>,
        service: Option<String>,
        subnets: Vec<String>,
        groups: Vec<String>,
    },
    SetEndpointPolicy {
        endpoint: String,
        vpc: String,
        service: String,
        is_gateway: bool,
        document: serde_json::Value,
    },
    PutRolePolicy {
        role: String,
        name: String,
        document: serde_json::Value,
    },
    CreateLogGroup {
        name: String,
    },
    ExcludeFromBlock {
        subnet: String,
        /// `allow-bidirectional` or `allow-egress`.
        mode: &'static str,
    },
}

impl ConfigurationChange {
    /// Returns the cost of a change that has alternatives at another cost (AWS pricing pages of AWS
    /// PrivateLink and Amazon VPC; prices differ by Region).
    pub fn cost(&self) -> Option<&'static str> {
        match self {
            Self::CreateInterfaceEndpoint { .. } => {
                Some("an hourly charge for each Availability Zone, and a charge for each GB")
            }
            Self::CreateGatewayEndpoint { .. } | Self::AssociateRouteTable { .. } => {
                Some("no charge")
            }
            Self::CreateNat { .. } => Some(
                "an hourly charge for the NAT gateway and for its public address, and a higher charge for each GB",
            ),
            Self::RouteToNat { .. } => Some("a charge for each GB through the NAT gateway"),
            Self::AssignPublicIp { .. } => Some("an hourly charge for each public address"),
            _ => None,
        }
    }

    /// Returns what the change does, as a clause without a subject.
    pub fn title(&self) -> String {
        let direction = |is_egress: bool| if is_egress { "outbound" } else { "inbound" };
        match self {
            Self::AddSecurityGroupRule {
                group,
                is_egress,
                port,
                peer,
            } => {
                let peer = match peer {
                    Peer::Group(id) | Peer::PrefixList(id) => id.clone(),
                    Peer::Cidr(cidr) => cidr.to_string(),
                };
                let preposition = if *is_egress { "to" } else { "from" };
                format!(
                    "allow {} TCP {port} {preposition} {peer} in {group}",
                    direction(*is_egress)
                )
            }
            Self::AddAclEntry {
                acl,
                number,
                is_egress,
                cidr,
                ports: (from, to),
                ..
            } => {
                let ports = if from == to {
                    from.to_string()
                } else {
                    format!("{from}-{to}")
                };
                let preposition = if *is_egress { "to" } else { "from" };
                format!(
                    "add {} rule {number} to {acl}, which allows TCP {ports} {preposition} {cidr}",
                    direction(*is_egress)
                )
            }
            Self::EnablePrivateDns { endpoint, .. } => format!("enable private DNS on {endpoint}"),
            Self::EnableVpcDns { vpc, attribute } => format!("enable {attribute} on {vpc}"),
            Self::CreateInterfaceEndpoint { service, .. } => {
                format!("create an interface endpoint for {service}")
            }
            Self::CreateGatewayEndpoint { service, .. } => {
                format!("create a gateway endpoint for {service}")
            }
            Self::AssociateRouteTable {
                endpoint,
                route_table,
                ..
            } => format!("associate {endpoint} with {route_table}"),
            Self::RouteToNat {
                route_table, nat, ..
            } => format!("route 0.0.0.0/0 of {route_table} to {nat}"),
            Self::RouteToInternetGateway {
                route_table,
                gateway,
                ..
            } => format!("route 0.0.0.0/0 of {route_table} to {gateway}"),
            Self::CreateNat { route_table, .. } => {
                format!("create a NAT gateway and route 0.0.0.0/0 of {route_table} to it")
            }
            Self::AssignPublicIp { .. } => "assign a public IP address to the task".to_owned(),
            Self::SetEndpointPolicy { endpoint, .. } => {
                format!("allow the requests in the policy of {endpoint}")
            }
            Self::PutRolePolicy { role, .. } => format!("allow the action for the role {role}"),
            Self::CreateLogGroup { name } => format!("create the log group {name}"),
            Self::ExcludeFromBlock { subnet, mode } => {
                format!("exclude {subnet} from VPC Block Public Access ({mode})")
            }
        }
    }
}
