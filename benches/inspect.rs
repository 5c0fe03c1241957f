//! A large VPC: 5,000 security groups with 60 rules each, 200 route tables, 1,000 endpoints, inspected
//! from 50 subnets. `cargo bench --bench inspect` prints processor time and memory; the bars are 3 s
//! and 200 MB.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its result and stops at what it cannot do"
)]

use std::fs;

use pullprobe::inspect::Inspection;
use pullprobe::inspect::snapshot::{
    AclEntry, BlockPublicAccess, EndpointInterface, InternetGateway, NatGateway, NetworkAcl,
    Permission, PrefixList, ReadEndpoint, Route, RouteTable, SecurityGroup, Snapshot, Subnet,
    TaskNetwork, Vpc,
};
use serde_json::json;

const GROUPS: usize = 5_000;
const RULES: usize = 60;
const ROUTE_TABLES: usize = 200;
const ENDPOINTS: usize = 1_000;
const SUBNETS: usize = 50;
/// Ticks of the processor times in /proc (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;
const MAX_SECONDS: f64 = 3.0;
const MAX_MEGABYTES: f64 = 200.0;

fn rule(number: usize) -> Permission {
    Permission {
        protocol: "tcp".into(),
        from_port: Some(443),
        to_port: Some(443),
        cidrs: vec![
            format!("10.{}.{}.0/24", 100 + number / 256, number % 256)
                .parse()
                .unwrap(),
        ],
        ..Permission::default()
    }
}

fn group(number: usize) -> SecurityGroup {
    let mut ingress: Vec<_> = (0..RULES / 2).map(rule).collect();
    let mut egress: Vec<_> = (0..RULES / 2).map(rule).collect();
    // The last rules are those that matter.
    ingress.pop();
    egress.pop();
    let all = Permission {
        protocol: "-1".into(),
        cidrs: vec!["0.0.0.0/0".parse().unwrap()],
        ..Permission::default()
    };
    ingress.push(all.clone());
    egress.push(all);
    SecurityGroup {
        id: format!("sg-{number:05}"),
        name: format!("group-{number}"),
        vpc: "vpc-1".into(),
        ingress,
        egress,
    }
}

fn route(destination: &str, target: &str) -> Route {
    Route {
        destination: destination.into(),
        target: target.into(),
        state: "active".into(),
    }
}

fn route_table(number: usize) -> RouteTable {
    let mut routes: Vec<_> = (0..40)
        .map(|n| route(&format!("172.16.{n}.0/24"), "tgw-1"))
        .collect();
    routes.push(route("10.0.0.0/8", "local"));
    routes.push(route("pl-s3", "vpce-s3"));
    routes.push(route("0.0.0.0/0", "nat-1"));
    RouteTable {
        id: format!("rtb-{number:03}"),
        vpc: "vpc-1".into(),
        is_main: false,
        subnets: vec![format!("subnet-{number:03}")],
        routes,
    }
}

fn subnet(number: usize) -> Subnet {
    Subnet {
        id: format!("subnet-{number:03}"),
        vpc: "vpc-1".into(),
        owner: Some("123456789012".into()),
        availability_zone: Some("us-east-1a".into()),
        cidr: Some(format!("10.{number}.0.0/20").parse().unwrap()),
        ..Subnet::default()
    }
}

/// Most endpoints are of other services; the last ones are the task's.
fn endpoint(number: usize) -> ReadEndpoint {
    let own = ["ecr.api", "ecr.dkr", "logs"];
    let service = match number.checked_sub(ENDPOINTS - own.len()) {
        Some(at) => format!("com.amazonaws.us-east-1.{}", own[at]),
        None => format!("com.amazonaws.vpce.us-east-1.vpce-svc-{number}"),
    };
    ReadEndpoint {
        id: format!("vpce-{number:04}"),
        vpc: "vpc-1".into(),
        endpoint_type: "Interface".into(),
        service,
        state: "available".into(),
        private_dns_enabled: true,
        subnets: (0..6).map(|n| format!("subnet-{n:03}")).collect(),
        groups: (0..5)
            .map(|n| format!("sg-{:05}", GROUPS - 10 - n))
            .collect(),
        interfaces: (0..6)
            .map(|n| EndpointInterface {
                id: format!("eni-{number}-{n}"),
                subnet: format!("subnet-{n:03}"),
                addresses: vec![
                    format!("10.{n}.{}.{}", number / 200, number % 200 + 10)
                        .parse()
                        .unwrap(),
                ],
            })
            .collect(),
        ..ReadEndpoint::default()
    }
}

fn snapshot() -> Snapshot {
    let plan = json!({
        "schema": "pullprobe/plan/v1", "region": "us-east-1", "platform": "linux/amd64",
        "images": [{ "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:1.4" }],
        "logs": [{ "group": "/ecs/app", "stream_prefix": "app" }],
    });
    let entry = |is_egress| AclEntry {
        number: 100,
        is_egress,
        allows: true,
        protocol: "-1".into(),
        cidr: Some("0.0.0.0/0".parse().unwrap()),
        ..AclEntry::default()
    };
    let mut snapshot: Snapshot = serde_json::from_value(json!({
        "schema": "pullprobe/snapshot/v1", "read_at": "2026-11-23T10:00:00Z", "account": "123456789012",
        "task": {}, "plan": plan, "network_only": true,
        "hosted_zones": [], "resolver_rules": [], "dns_profiles": [], "dns_firewalls": [],
    }))
    .unwrap();
    snapshot.plan.account = Some("123456789012".into());
    snapshot.task = TaskNetwork {
        subnets: (0..SUBNETS).map(|n| format!("subnet-{n:03}")).collect(),
        security_groups: (0..5)
            .map(|n| format!("sg-{:05}", GROUPS - 1 - n))
            .collect(),
        ..TaskNetwork::default()
    };
    snapshot.vpcs = Some(vec![Vpc {
        id: "vpc-1".into(),
        owner: Some("123456789012".into()),
        cidrs: vec!["10.0.0.0/8".parse().unwrap()],
        enable_dns_support: Some(true),
        enable_dns_hostnames: Some(true),
        resolvers: Some(vec!["AmazonProvidedDNS".into()]),
        ..Vpc::default()
    }]);
    snapshot.subnets = Some((0..ROUTE_TABLES).map(subnet).collect());
    snapshot.route_tables = Some((0..ROUTE_TABLES).map(route_table).collect());
    snapshot.prefix_lists = Some(vec![PrefixList {
        id: "pl-s3".into(),
        name: "com.amazonaws.us-east-1.s3".into(),
        entries: Some(vec!["52.216.0.0/15".parse().unwrap()]),
    }]);
    snapshot.security_groups = Some((0..GROUPS).map(group).collect());
    snapshot.network_acls = Some(vec![NetworkAcl {
        id: "acl-1".into(),
        vpc: "vpc-1".into(),
        is_default: true,
        subnets: Vec::new(),
        entries: vec![entry(true), entry(false)],
    }]);
    let mut endpoints: Vec<_> = (0..ENDPOINTS).map(endpoint).collect();
    endpoints.push(ReadEndpoint {
        id: "vpce-s3".into(),
        vpc: "vpc-1".into(),
        endpoint_type: "Gateway".into(),
        service: "com.amazonaws.us-east-1.s3".into(),
        state: "available".into(),
        ..ReadEndpoint::default()
    });
    snapshot.endpoints = Some(endpoints);
    snapshot.nat_gateways = Some(vec![NatGateway {
        id: "nat-1".into(),
        vpc: "vpc-1".into(),
        subnet: Some("subnet-199".into()),
        state: "available".into(),
        connectivity: "public".into(),
        ..NatGateway::default()
    }]);
    snapshot.internet_gateways = Some(vec![InternetGateway {
        id: "igw-1".into(),
        vpcs: vec!["vpc-1".into()],
    }]);
    snapshot.block_public_access = Some(BlockPublicAccess {
        mode: "off".into(),
        exclusions: Some(Vec::new()),
    });
    snapshot
}

/// Returns the processor time of this process, in seconds.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name in parentheses may contain spaces; user and system time are the 14th and 15th field.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum();
    ticks / TICKS_PER_SECOND
}

/// Returns the most memory that this process has had, in megabytes.
fn peak_megabytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes / 1024.0
}

fn main() {
    let snapshot = snapshot();
    let before = processor_seconds();
    let inspection = Inspection::of(&snapshot);
    let seconds = processor_seconds() - before;
    let megabytes = peak_megabytes();
    let open = inspection.contacts.iter();
    let open = open
        .filter(|contact| format!("{:?}", contact.verdict) == "Open")
        .count();
    println!(
        "{} contacts, {open} of them open: {seconds:.2} s of processor time, {megabytes:.0} MB",
        inspection.contacts.len()
    );
    assert_eq!(open, inspection.contacts.len(), "every way is open");
    assert!(seconds < MAX_SECONDS, "more than {MAX_SECONDS} s");
    assert!(megabytes < MAX_MEGABYTES, "more than {MAX_MEGABYTES} MB");
}
