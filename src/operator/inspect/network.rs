//! Reads the VPC: everything that decides over name, route and filters.

use std::collections::BTreeSet;

use super::reader::Reader;
use super::xml::XmlNode;
use crate::inspect::snapshot::{
    AclEntry, BlockPublicAccess, EndpointInterface, InternetGateway, NatGateway, NetworkAcl,
    Permission, PrefixList, PublicAccessExclusion, ReadEndpoint, Route, RouteTable, SecurityGroup,
    Snapshot, Subnet, Vpc,
};
use crate::operator::aws::{Api, CallError};

/// Items of a page of most lists (EC2 API reference).
const PAGE: Option<u32> = Some(1_000);

/// Items of a page of route tables and prefix lists (ibid.).
const SMALL_PAGE: Option<u32> = Some(100);

/// Reads the subnets by ID.
pub(super) async fn subnets(reader: &Reader, ids: &[String]) -> Result<Vec<Subnet>, CallError> {
    let items = reader
        .ec2(
            "DescribeSubnets",
            "subnetSet",
            None,
            &[("subnet-id", ids)],
            &[],
        )
        .await?;
    Ok(items.iter().map(subnet).collect())
}

/// Fills in what belongs to the VPCs of the subnets.
pub(super) async fn read(reader: &Reader, snapshot: &mut Snapshot) {
    let vpcs: BTreeSet<String> = snapshot
        .subnets
        .iter()
        .flatten()
        .map(|subnet| subnet.vpc.clone())
        .collect();
    let vpcs: Vec<String> = vpcs.into_iter().collect();
    let in_vpc: &[(&str, &[String])] = &[("vpc-id", &vpcs)];
    let attached: &[(&str, &[String])] = &[("attachment.vpc-id", &vpcs)];
    let (of_vpcs, subnets, tables, acls, endpoints, nats, gateways, block) = tokio::join!(
        read_vpcs(reader, &vpcs),
        reader.ec2("DescribeSubnets", "subnetSet", PAGE, in_vpc, &[]),
        reader.ec2(
            "DescribeRouteTables",
            "routeTableSet",
            SMALL_PAGE,
            in_vpc,
            &[]
        ),
        reader.ec2("DescribeNetworkAcls", "networkAclSet", PAGE, in_vpc, &[]),
        reader.ec2("DescribeVpcEndpoints", "vpcEndpointSet", PAGE, in_vpc, &[]),
        reader.ec2("DescribeNatGateways", "natGatewaySet", PAGE, in_vpc, &[]),
        reader.ec2(
            "DescribeInternetGateways",
            "internetGatewaySet",
            PAGE,
            attached,
            &[]
        ),
        block_public_access(reader),
    );
    snapshot.vpcs = of_vpcs;
    if let Some(all) = reader.or_unread(subnets, "the subnets of endpoints and NAT gateways") {
        let known = snapshot.subnets.get_or_insert_default();
        for subnet in all.iter().map(subnet) {
            if !known.iter().any(|other| other.id == subnet.id) {
                known.push(subnet);
            }
        }
    }
    let list = |result: Result<Vec<XmlNode>, CallError>, adds: &str| reader.or_unread(result, adds);
    snapshot.route_tables =
        list(tables, "the routes of each subnet").map(|all| map(&all, route_table));
    snapshot.network_acls = list(acls, "the network ACLs").map(|all| map(&all, network_acl));
    snapshot.endpoints = list(
        endpoints,
        "the VPC endpoints, their policies and private DNS",
    )
    .map(|all| map(&all, endpoint));
    snapshot.nat_gateways =
        list(nats, "the state of NAT gateways").map(|all| map(&all, nat_gateway));
    snapshot.internet_gateways = list(gateways, "whether internet gateways are attached")
        .map(|all| map(&all, internet_gateway));
    snapshot.block_public_access = block;
    let mut endpoints = snapshot.endpoints.take();
    let (groups, interfaces, lists) = tokio::join!(
        security_groups(reader, snapshot, endpoints.as_deref(), &vpcs),
        read_interfaces(reader, endpoints.as_deref()),
        prefix_lists(reader),
    );
    for endpoint in endpoints.iter_mut().flatten() {
        for interface in &mut endpoint.interfaces {
            if let Some(read) = interfaces.iter().find(|read| read.id == interface.id) {
                interface.clone_from(read);
            }
        }
    }
    snapshot.endpoints = endpoints;
    snapshot.security_groups = groups;
    snapshot.prefix_lists = lists;
    entries_of_prefix_lists(reader, snapshot).await;
}

fn map<T>(items: &[XmlNode], read: impl Fn(&XmlNode) -> T) -> Vec<T> {
    items.iter().map(read).collect()
}

async fn read_vpcs(reader: &Reader, ids: &[String]) -> Option<Vec<Vpc>> {
    let items = reader
        .ec2("DescribeVpcs", "vpcSet", None, &[("vpc-id", ids)], &[])
        .await;
    let items = reader.or_unread(items, "the VPC's address ranges and DNS settings")?;
    let mut vpcs = Vec::new();
    for item in &items {
        let mut vpc = vpc(item);
        let (support, hostnames, options) = tokio::join!(
            attribute(reader, &vpc.id, "enableDnsSupport"),
            attribute(reader, &vpc.id, "enableDnsHostnames"),
            resolvers(reader, vpc.dhcp_options.as_deref()),
        );
        vpc.enable_dns_support = support;
        vpc.enable_dns_hostnames = hostnames;
        vpc.resolvers = options;
        vpcs.push(vpc);
    }
    Some(vpcs)
}

async fn attribute(reader: &Reader, vpc: &str, name: &str) -> Option<bool> {
    let fields = [
        ("VpcId".to_owned(), vpc.to_owned()),
        ("Attribute".to_owned(), name.to_owned()),
    ];
    let response = reader
        .query(Api::EC2, "DescribeVpcAttribute", &fields)
        .await;
    let response = reader.or_unread(response, "whether DNS is enabled in the VPC")?;
    Some(response.child(name)?.is_true("value"))
}

async fn resolvers(reader: &Reader, options: Option<&str>) -> Option<Vec<String>> {
    // `default`: Amazon's resolver.
    let id = options.filter(|id| id.starts_with("dopt-"));
    let Some(id) = id else {
        return Some(Vec::new());
    };
    let items = reader
        .ec2(
            "DescribeDhcpOptions",
            "dhcpOptionsSet",
            None,
            &[("dhcp-options-id", &[id.to_owned()])],
            &[],
        )
        .await;
    let items = reader.or_unread(items, "which resolver the VPC's tasks use")?;
    let configurations = items
        .iter()
        .flat_map(|item| item.items("dhcpConfigurationSet"));
    let servers = configurations
        .filter(|one| one.text("key") == Some("domain-name-servers"))
        .flat_map(|one| one.texts("valueSet", Some("value")));
    Some(servers.collect())
}

async fn block_public_access(reader: &Reader) -> Option<BlockPublicAccess> {
    let response = reader
        .query(Api::EC2, "DescribeVpcBlockPublicAccessOptions", &[])
        .await;
    let response = reader.or_unread(
        response,
        "whether VPC Block Public Access blocks the traffic",
    )?;
    let options = response.child("vpcBlockPublicAccessOptions")?;
    let mode = options.string("internetGatewayBlockMode");
    let exclusions = if mode == "off" {
        Some(Vec::new())
    } else {
        let items = reader
            .ec2(
                "DescribeVpcBlockPublicAccessExclusions",
                "vpcBlockPublicAccessExclusionSet",
                PAGE,
                &[],
                &[],
            )
            .await;
        let items = reader.or_unread(items, "the exclusions from VPC Block Public Access");
        items.map(|items| map(&items, exclusion))
    };
    Some(BlockPublicAccess { mode, exclusions })
}

fn exclusion(item: &XmlNode) -> PublicAccessExclusion {
    PublicAccessExclusion {
        id: item.string("exclusionId"),
        resource: item.string("resourceArn"),
        mode: item.string("internetGatewayExclusionMode"),
        state: item.string("state"),
    }
}

/// Reads only the groups that matter: of the task, of the endpoints, and the default ones where the
/// task names none. A VPC can have thousands.
async fn security_groups(
    reader: &Reader,
    snapshot: &Snapshot,
    endpoints: Option<&[ReadEndpoint]>,
    vpcs: &[String],
) -> Option<Vec<SecurityGroup>> {
    const ADDS: &str = "the security groups of the task and of the endpoints";
    let named = &snapshot.task.security_groups;
    let of_endpoints = endpoints.into_iter().flatten();
    let ids: BTreeSet<String> = of_endpoints
        .flat_map(|endpoint| endpoint.groups.iter())
        .chain(named)
        .cloned()
        .collect();
    let ids: Vec<String> = ids.into_iter().collect();
    let mut groups = Vec::new();
    if !ids.is_empty() {
        let items = reader
            .ec2(
                "DescribeSecurityGroups",
                "securityGroupInfo",
                PAGE,
                &[("group-id", &ids)],
                &[],
            )
            .await;
        groups.extend(reader.or_unread(items, ADDS)?);
    }
    if named.is_empty() {
        let default = ["default".to_owned()];
        let items = reader
            .ec2(
                "DescribeSecurityGroups",
                "securityGroupInfo",
                PAGE,
                &[("group-name", &default), ("vpc-id", vpcs)],
                &[],
            )
            .await;
        groups.extend(reader.or_unread(items, ADDS)?);
    }
    let mut groups = map(&groups, security_group);
    groups.dedup_by(|a, b| a.id == b.id);
    Some(groups)
}

async fn prefix_lists(reader: &Reader) -> Option<Vec<PrefixList>> {
    let items = reader
        .ec2(
            "DescribeManagedPrefixLists",
            "prefixListSet",
            SMALL_PAGE,
            &[],
            &[],
        )
        .await;
    let items = reader.or_unread(items, "the prefix lists of routes and rules")?;
    Some(map(&items, |item| PrefixList {
        id: item.string("prefixListId"),
        name: item.string("prefixListName"),
        entries: None,
    }))
}

/// Reads the entries of the prefix lists that a route or rule names, and of Amazon S3's.
async fn entries_of_prefix_lists(reader: &Reader, snapshot: &mut Snapshot) {
    let routes = snapshot
        .route_tables
        .iter()
        .flatten()
        .flat_map(|table| &table.routes);
    let mut named: BTreeSet<String> = routes.map(|route| route.destination.clone()).collect();
    for group in snapshot.security_groups.iter().flatten() {
        let permissions = group.ingress.iter().chain(&group.egress);
        named.extend(permissions.flat_map(|one| one.prefix_lists.iter().cloned()));
    }
    let s3 = format!(".{}.s3", snapshot.plan.region);
    for list in snapshot.prefix_lists.iter_mut().flatten() {
        if !named.contains(&list.id) && !list.name.ends_with(&s3) {
            continue;
        }
        let items = reader
            .ec2(
                "GetManagedPrefixListEntries",
                "entrySet",
                SMALL_PAGE,
                &[],
                &[("PrefixListId", &list.id)],
            )
            .await;
        let items = reader.or_unread(items, "the addresses of prefix lists");
        list.entries =
            items.map(|items| items.iter().filter_map(|item| item.parse("cidr")).collect());
    }
}

async fn read_interfaces(
    reader: &Reader,
    endpoints: Option<&[ReadEndpoint]>,
) -> Vec<EndpointInterface> {
    let of_endpoints = endpoints.into_iter().flatten();
    let ids: Vec<String> = of_endpoints
        .flat_map(|endpoint| &endpoint.interfaces)
        .map(|interface| interface.id.clone())
        .collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let items = reader
        .ec2(
            "DescribeNetworkInterfaces",
            "networkInterfaceSet",
            PAGE,
            &[("network-interface-id", &ids)],
            &[],
        )
        .await;
    let items = reader.or_unread(items, "the addresses of the endpoints' network interfaces");
    let read = |item: &XmlNode| {
        let own = item.parse("privateIpAddress");
        let others = item.items("privateIpAddressesSet");
        let ipv4 = others.filter_map(|one| one.parse("privateIpAddress"));
        let ipv6 = item
            .items("ipv6AddressesSet")
            .filter_map(|one| one.parse("ipv6Address"));
        let mut addresses: Vec<std::net::IpAddr> =
            own.into_iter().chain(ipv4).chain(ipv6).collect();
        addresses.sort_unstable();
        addresses.dedup();
        EndpointInterface {
            id: item.string("networkInterfaceId"),
            subnet: item.string("subnetId"),
            addresses,
        }
    };
    items.map(|items| map(&items, read)).unwrap_or_default()
}

/// Whether the association is in force: EC2 lists ended and failed ones for a while.
fn is_associated(association: &XmlNode, state: &str) -> bool {
    let state = association
        .child(state)
        .and_then(|state| state.text("state"));
    state.is_none_or(|state| state == "associated")
}

fn vpc(item: &XmlNode) -> Vpc {
    let ipv4 = item
        .items("cidrBlockAssociationSet")
        .filter(|one| is_associated(one, "cidrBlockState"))
        .filter_map(|one| one.parse("cidrBlock"));
    let ipv6 = item
        .items("ipv6CidrBlockAssociationSet")
        .filter(|one| is_associated(one, "ipv6CidrBlockState"))
        .filter_map(|one| one.parse::<ipnet::IpNet>("ipv6CidrBlock"));
    let mut cidrs: Vec<ipnet::IpNet> = item.parse("cidrBlock").into_iter().chain(ipv4).collect();
    cidrs.dedup();
    cidrs.extend(ipv6);
    Vpc {
        id: item.string("vpcId"),
        owner: item.text("ownerId").map(str::to_owned),
        cidrs,
        dhcp_options: item.text("dhcpOptionsId").map(str::to_owned),
        ..Vpc::default()
    }
}

fn subnet(item: &XmlNode) -> Subnet {
    let ipv6 = item.items("ipv6CidrBlockAssociationSet").find_map(|one| {
        one.parse("ipv6CidrBlock")
            .filter(|_| is_associated(one, "ipv6CidrBlockState"))
    });
    Subnet {
        id: item.string("subnetId"),
        vpc: item.string("vpcId"),
        owner: item.text("ownerId").map(str::to_owned),
        availability_zone: item.text("availabilityZone").map(str::to_owned),
        cidr: item
            .parse("cidrBlock")
            .filter(|_| !item.is_true("ipv6Native")),
        ipv6_cidr: ipv6,
        enable_dns64: item.is_true("enableDns64"),
    }
}

fn route_table(item: &XmlNode) -> RouteTable {
    let associations: Vec<_> = item
        .items("associationSet")
        .filter(|one| is_associated(one, "associationState"))
        .collect();
    RouteTable {
        id: item.string("routeTableId"),
        vpc: item.string("vpcId"),
        is_main: associations.iter().any(|one| one.is_true("main")),
        subnets: associations
            .iter()
            .filter_map(|one| one.text("subnetId"))
            .map(str::to_owned)
            .collect(),
        routes: item.items("routeSet").map(route).collect(),
    }
}

/// Members of a route that name its target (EC2 API reference, `Route`).
const ROUTE_TARGETS: [&str; 10] = [
    "natGatewayId",
    "transitGatewayId",
    "vpcPeeringConnectionId",
    "egressOnlyInternetGatewayId",
    "networkInterfaceId",
    "instanceId",
    "localGatewayId",
    "carrierGatewayId",
    "coreNetworkArn",
    "gatewayId",
];

fn route(item: &XmlNode) -> Route {
    let destinations = [
        "destinationCidrBlock",
        "destinationIpv6CidrBlock",
        "destinationPrefixListId",
    ];
    let first = |names: &[&str]| {
        let mut texts = names.iter().filter_map(|name| item.text(name));
        texts.next().unwrap_or_default().to_owned()
    };
    Route {
        destination: first(&destinations),
        target: first(&ROUTE_TARGETS),
        state: item.string("state"),
    }
}

fn network_acl(item: &XmlNode) -> NetworkAcl {
    NetworkAcl {
        id: item.string("networkAclId"),
        vpc: item.string("vpcId"),
        is_default: item.is_true("default"),
        subnets: item.texts("associationSet", Some("subnetId")),
        entries: item.items("entrySet").map(acl_entry).collect(),
    }
}

fn acl_entry(item: &XmlNode) -> AclEntry {
    let ports = item.child("portRange");
    let port = |name| ports.and_then(|ports| ports.parse::<u16>(name));
    AclEntry {
        number: item.parse("ruleNumber").unwrap_or_default(),
        is_egress: item.is_true("egress"),
        allows: item.text("ruleAction") == Some("allow"),
        protocol: item.string("protocol"),
        cidr: item
            .parse("cidrBlock")
            .or_else(|| item.parse("ipv6CidrBlock")),
        from_port: port("from"),
        to_port: port("to"),
    }
}

fn security_group(item: &XmlNode) -> SecurityGroup {
    SecurityGroup {
        id: item.string("groupId"),
        name: item.string("groupName"),
        vpc: item.string("vpcId"),
        ingress: item.items("ipPermissions").map(permission).collect(),
        egress: item.items("ipPermissionsEgress").map(permission).collect(),
    }
}

fn permission(item: &XmlNode) -> Permission {
    let ipv4 = item.items("ipRanges").filter_map(|one| one.parse("cidrIp"));
    let ipv6 = item
        .items("ipv6Ranges")
        .filter_map(|one| one.parse("cidrIpv6"));
    Permission {
        protocol: item.string("ipProtocol"),
        from_port: item.parse("fromPort"),
        to_port: item.parse("toPort"),
        cidrs: ipv4.chain(ipv6).collect(),
        prefix_lists: item.texts("prefixListIds", Some("prefixListId")),
        groups: item.texts("groups", Some("groupId")),
    }
}

fn endpoint(item: &XmlNode) -> ReadEndpoint {
    let options = item.child("dnsOptions");
    let interfaces = item.texts("networkInterfaceIdSet", None);
    ReadEndpoint {
        id: item.string("vpcEndpointId"),
        vpc: item.string("vpcId"),
        endpoint_type: item.string("vpcEndpointType"),
        service: item.string("serviceName"),
        state: item.string("state"),
        policy: item.text("policyDocument").map(str::to_owned),
        private_dns_enabled: item.is_true("privateDnsEnabled"),
        private_dns_only_for_inbound: options
            .is_some_and(|options| options.is_true("privateDnsOnlyForInboundResolverEndpoint")),
        subnets: item.texts("subnetIdSet", None),
        groups: item.texts("groupSet", Some("groupId")),
        interfaces: interfaces
            .into_iter()
            .map(|id| EndpointInterface {
                id,
                ..EndpointInterface::default()
            })
            .collect(),
    }
}

fn nat_gateway(item: &XmlNode) -> NatGateway {
    NatGateway {
        id: item.string("natGatewayId"),
        vpc: item.string("vpcId"),
        subnet: item.text("subnetId").map(str::to_owned),
        state: item.string("state"),
        failure: item.text("failureMessage").map(str::to_owned),
        connectivity: item.text("connectivityType").unwrap_or("public").to_owned(),
        is_regional: item.text("availabilityMode") == Some("regional"),
        route_table: item.text("routeTableId").map(str::to_owned),
    }
}

fn internet_gateway(item: &XmlNode) -> InternetGateway {
    InternetGateway {
        id: item.string("internetGatewayId"),
        vpcs: item
            .items("attachmentSet")
            .filter(|one| matches!(one.text("state"), Some("available" | "attached") | None))
            .map(|one| one.string("vpcId"))
            .collect(),
    }
}
