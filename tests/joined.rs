//! What packets show, joined with what the configuration says: each rule in three directions. The
//! configuration agrees, contradicts, or is not known.
#![cfg(feature = "operator")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test panic as the test does"
)]

#[allow(dead_code, reason = "the scenarios use all of it")]
#[path = "support/scenario/line.rs"]
mod line;
#[allow(dead_code, reason = "the scenarios use all of it")]
#[path = "support/scenario/story.rs"]
mod story;

use pullprobe::diagnose::diagnose;
use pullprobe::inspect::snapshot::Snapshot;
use pullprobe::inspect::{Inspection, InspectionFinding, JoinedVantage, PacketReport};
use pullprobe::observation::Observation;
use pullprobe::verdict::Verdict;
use serde_json::{Value, json};

const ROLE: &str = "arn:aws:iam::123456789012:role/app";
const REPOSITORY: &str = "arn:aws:ecr:us-east-1:123456789012:repository/team/app";

/// A VPC as it was read: `private` with endpoints and no way out, `nat` or `public` without
/// endpoints. Two subnets of the task, with a route table each.
fn vpc(way: &str) -> Value {
    let endpoint = |service: &str, last: u8| {
        json!({
            "id": format!("vpce-{service}"), "vpc": "vpc-1", "endpoint_type": "Interface",
            "service": format!("com.amazonaws.us-east-1.{service}"), "state": "available",
            "private_dns_enabled": true, "subnets": ["subnet-endpoints"], "groups": ["sg-endpoints"],
            "interfaces": [{
                "id": format!("eni-{service}"), "subnet": "subnet-endpoints", "addresses": [format!("10.0.9.{last}")],
            }],
        })
    };
    let mut endpoints = Vec::new();
    let mut routes =
        vec![json!({ "destination": "10.0.0.0/16", "target": "local", "state": "active" })];
    let default =
        |target: &str| json!({ "destination": "0.0.0.0/0", "target": target, "state": "active" });
    match way {
        "private" => {
            // The addresses that a story gives to each service.
            endpoints = vec![
                endpoint("ecr.api", 12),
                endpoint("ecr.dkr", 13),
                endpoint("logs", 15),
            ];
            endpoints.push(json!({
                "id": "vpce-s3", "vpc": "vpc-1", "endpoint_type": "Gateway",
                "service": "com.amazonaws.us-east-1.s3", "state": "available",
            }));
            routes.push(json!({ "destination": "pl-s3", "target": "vpce-s3", "state": "active" }));
        }
        "nat" => routes.push(default("nat-1")),
        _ => routes.push(default("igw-1")),
    }
    let subnet = |id: &str, cidr: &str| json!({ "id": id, "vpc": "vpc-1", "owner": "123456789012", "availability_zone": "us-east-1a", "cidr": cidr });
    let table = |id: &str, subnet: &str, routes: &[Value]| json!({ "id": id, "vpc": "vpc-1", "is_main": false, "subnets": [subnet], "routes": routes });
    let all = json!([{ "protocol": "-1", "cidrs": ["0.0.0.0/0"] }]);
    let from_task =
        json!([{ "protocol": "tcp", "from_port": 443, "to_port": 443, "groups": ["sg-task"] }]);
    let acl = |id: &str, subnets: Value| {
        let entry = |is_egress: bool| json!({ "number": 100, "is_egress": is_egress, "allows": true, "protocol": "-1", "cidr": "0.0.0.0/0" });
        json!({ "id": id, "vpc": "vpc-1", "is_default": false, "subnets": subnets, "entries": [entry(true), entry(false)] })
    };
    let allow = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["ecr:*", "logs:*"], "Resource": "*" },
    ]});
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole",
    }]});
    let found = |kind: &str, key: &str, arn: &str| json!({ "kind": kind, "key": key, "state": "found", "arn": arn, "is_policy_read": true });
    let image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:1.4";
    json!({
        "schema": "pullprobe/snapshot/v1", "read_at": "2026-11-23T10:05:00Z", "account": "123456789012",
        "task": { "subnets": ["subnet-1", "subnet-2"], "security_groups": ["sg-task"], "assign_public_ip": way == "public" },
        "plan": {
            "schema": "pullprobe/plan/v1", "region": "us-east-1", "platform": "linux/amd64", "execution_role": ROLE,
            "images": [{ "image": image }], "logs": [{ "group": "/ecs/app", "stream_prefix": "app" }],
        },
        "vpcs": [{
            "id": "vpc-1", "owner": "123456789012", "cidrs": ["10.0.0.0/16"],
            "enable_dns_support": true, "enable_dns_hostnames": true, "resolvers": ["AmazonProvidedDNS"],
        }],
        "subnets": [
            subnet("subnet-1", "10.0.1.0/24"), subnet("subnet-2", "10.0.2.0/24"),
            subnet("subnet-endpoints", "10.0.9.0/24"), subnet("subnet-public", "10.0.100.0/24"),
        ],
        "route_tables": [
            table("rtb-1", "subnet-1", &routes), table("rtb-2", "subnet-2", &routes),
            table("rtb-public", "subnet-public", &[routes[0].clone(), default("igw-1")]),
            table("rtb-endpoints", "subnet-endpoints", &routes[..1]),
        ],
        "prefix_lists": [{ "id": "pl-s3", "name": "com.amazonaws.us-east-1.s3", "entries": ["198.18.0.0/24"] }],
        "security_groups": [
            { "id": "sg-task", "name": "task", "vpc": "vpc-1", "ingress": [], "egress": all },
            { "id": "sg-endpoints", "name": "endpoints", "vpc": "vpc-1", "ingress": from_task, "egress": all },
        ],
        "network_acls": [
            acl("acl-task", json!(["subnet-1", "subnet-2"])), acl("acl-endpoints", json!(["subnet-endpoints"])),
            acl("acl-public", json!(["subnet-public"])),
        ],
        "endpoints": endpoints,
        "nat_gateways": [{
            "id": "nat-1", "vpc": "vpc-1", "subnet": "subnet-public", "state": "available", "connectivity": "public",
        }],
        "internet_gateways": [{ "id": "igw-1", "vpcs": ["vpc-1"] }],
        "block_public_access": { "mode": "off", "exclusions": [] },
        "hosted_zones": [], "resolver_rules": [], "dns_profiles": [], "dns_firewalls": [],
        "objects": [
            found("repository", "123456789012/us-east-1/team/app", REPOSITORY),
            found("image", image, image),
            found("registry", "123456789012/us-east-1", ""),
            found("log-group", "us-east-1//ecs/app", "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/app"),
        ],
        "role": {
            "arn": ROLE, "exists": true, "trust_policy": trust.to_string(), "has_boundary": false,
            "policies": { "start": allow.to_string() },
        },
    })
}

/// What a probe saw where everything is private and works, except for these lines.
fn seen(lines: &[&str]) -> Vec<Observation> {
    let healthy = [
        "ecr.api authorize passed",
        "ecr.dkr blob passed",
        "s3 fetch passed",
        "logs write passed",
    ];
    with_healthy(&healthy, lines)
}

/// The same with public addresses.
fn seen_public(lines: &[&str]) -> Vec<Observation> {
    let healthy = [
        "ecr.api authorize 203.0.113.12 public passed",
        "ecr.dkr blob 203.0.113.13 public passed",
        "s3 fetch 203.0.113.14 public passed",
        "logs write 203.0.113.15 public passed",
    ];
    with_healthy(&healthy, lines)
}

fn with_healthy(healthy: &[&str], lines: &[&str]) -> Vec<Observation> {
    let is_described = |line: &str| {
        let target = line.split(' ').next();
        lines.iter().any(|other| other.split(' ').next() == target)
    };
    let rest = healthy.iter().filter(|line| !is_described(line));
    let all: Vec<_> = rest.chain(lines).copied().collect();
    story::observations_from(&all)
}

fn join(vpc: &Value, observations: &[Observation]) -> (Inspection, JoinedVantage) {
    join_as(vpc, observations, true)
}

fn join_as(
    vpc: &Value,
    observations: &[Observation],
    is_signed_by_role: bool,
) -> (Inspection, JoinedVantage) {
    let snapshot: Snapshot = serde_json::from_value(vpc.clone()).unwrap();
    let diagnosis = diagnose(observations);
    let verdict = Verdict::over(observations, &diagnosis.findings);
    let report = PacketReport {
        subnet: "subnet-1",
        run: "run",
        probed_at: "2026-11-23T10:00:00Z",
        verdict: &verdict,
        findings: &diagnosis.findings,
        ruled_out: &diagnosis.ruled_out,
        observations,
        is_signed_by_role,
    };
    let inspection = Inspection::of(&snapshot).joined_with(&[report]);
    let vantage = inspection.packets[0].clone();
    (inspection, vantage)
}

/// Returns a finding as `cause confidence basis object`.
fn line_of(finding: &InspectionFinding) -> String {
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let confidence = word(serde_json::to_value(finding.confidence).unwrap());
    let basis = word(serde_json::to_value(finding.basis).unwrap());
    let object = finding.object.as_deref().unwrap_or("-");
    format!("{} {confidence} {basis} {object}", finding.cause)
}

fn lines_of(vantage: &JoinedVantage) -> Vec<String> {
    vantage.findings.iter().map(line_of).collect()
}

fn ruled_out(vantage: &JoinedVantage) -> Vec<String> {
    let ruled = vantage.ruled_out.iter();
    ruled
        .map(|one| format!("{} {}", one.cause, one.objects.join(",")))
        .collect()
}

/// Replaces a value: `security_groups/sg-task/egress` is a member of an item of a list, by its ID.
fn change(vpc: &mut Value, path: &str, value: Value) {
    let [list, id, member]: [&str; 3] = path.split('/').collect::<Vec<_>>().try_into().unwrap();
    let items = vpc[list].as_array_mut().unwrap();
    let item = items.iter_mut().find(|item| item["id"] == id);
    item.unwrap_or_else(|| panic!("there is no {path}"))[member] = value;
}

/// Removes the rule by which the task reaches the endpoints.
fn close_endpoints(vpc: &mut Value) {
    change(vpc, "security_groups/sg-endpoints/ingress", json!([]));
}

/// Leaves in these tables the route within the VPC only.
fn keep_local_routes(vpc: &mut Value, tables: &[&str]) {
    for table in tables {
        let local = json!([{ "destination": "10.0.0.0/16", "target": "local", "state": "active" }]);
        change(vpc, &format!("route_tables/{table}/routes"), local);
    }
}

/// Lets the role use Amazon ECR only.
fn deny_logs(vpc: &mut Value) {
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["ecr:*"], "Resource": "*" },
    ]});
    vpc["role"]["policies"]["start"] = json!(policy.to_string());
}

/// Gives the gateway endpoint of Amazon S3 a policy.
fn limit_s3(vpc: &mut Value, policy: &str) {
    change(vpc, "endpoints/vpce-s3/policy", json!(policy));
}

fn remove(vpc: &mut Value, list: &str, id: &str) {
    vpc[list]
        .as_array_mut()
        .unwrap()
        .retain(|item| item["id"] != id);
}

const SILENT_PRIVATE: &str = "ecr.api connect timed-out 4000ms";
const SILENT_LOGS: &str = "logs connect timed-out 4000ms";
const SILENT_S3: &str = "s3 connect 198.18.0.10 public timed-out 4000ms";
const SILENT_PUBLIC: [&str; 4] = [
    "ecr.api connect 203.0.113.12 public timed-out 4000ms",
    "ecr.dkr connect 203.0.113.13 public timed-out 4000ms",
    "s3 connect 198.18.0.10 public timed-out 4000ms",
    "logs connect 203.0.113.15 public timed-out 4000ms",
];
const ALL_SILENT: [&str; 4] = [
    "ecr.api connect timed-out 4000ms",
    "ecr.dkr connect timed-out 4000ms",
    SILENT_S3,
    "logs connect timed-out 4000ms",
];

#[expect(clippy::too_many_lines, reason = "a list of cases")]
/// Faults of the configuration, the packets that they cause, and the first finding.
fn agreeing() -> Vec<(&'static str, Value, Vec<Observation>, &'static str)> {
    let mut cases = Vec::new();
    let mut case = |name, way: &str, change: &dyn Fn(&mut Value), observations, first| {
        let mut vpc = vpc(way);
        change(&mut vpc);
        cases.push((name, vpc, observations, first));
    };
    case(
        "missing endpoint",
        "private",
        &|vpc| remove(vpc, "endpoints", "vpce-logs"),
        seen(&["logs connect 203.0.113.15 public timed-out 4000ms"]),
        "interface-endpoint-missing certain both vpc-1",
    );
    case(
        "private DNS off",
        "private",
        &|vpc| {
            change(vpc, "endpoints/vpce-logs/private_dns_enabled", json!(false));
        },
        seen(&["logs connect 203.0.113.15 public timed-out 4000ms"]),
        "private-dns-disabled certain both vpce-logs",
    );
    case(
        "endpoint's group without the task",
        "private",
        &close_endpoints,
        seen(&[
            "ecr.api connect timed-out 4000ms",
            "ecr.dkr connect timed-out 4000ms",
            SILENT_LOGS,
        ]),
        "endpoint-security-group certain both sg-endpoints",
    );
    case(
        "task's group without outbound rules",
        "private",
        &|vpc| change(vpc, "security_groups/sg-task/egress", json!([])),
        seen(&ALL_SILENT),
        "task-security-group-egress certain both sg-task",
    );
    case(
        "task's group without S3",
        "private",
        &|vpc| {
            let to_endpoints = json!([{ "protocol": "tcp", "from_port": 443, "to_port": 443, "groups": ["sg-endpoints"] }]);
            change(vpc, "security_groups/sg-task/egress", to_endpoints);
        },
        seen(&[SILENT_S3]),
        "task-security-group-egress certain both sg-task",
    );
    let without_inbound = |vpc: &mut Value, acl: &str| {
        let outbound = json!([{ "number": 100, "is_egress": true, "allows": true, "protocol": "-1", "cidr": "0.0.0.0/0" }]);
        change(vpc, &format!("network_acls/{acl}/entries"), outbound);
    };
    case(
        "ACL without the ephemeral ports",
        "private",
        &|vpc| without_inbound(vpc, "acl-task"),
        seen(&ALL_SILENT),
        "network-acl certain both acl-task",
    );
    case(
        "ACL of the endpoints",
        "private",
        &|vpc| without_inbound(vpc, "acl-endpoints"),
        seen(&[
            "ecr.api connect timed-out 4000ms",
            "ecr.dkr connect timed-out 4000ms",
            SILENT_LOGS,
        ]),
        "network-acl certain both acl-endpoints",
    );
    case(
        "gateway endpoint not associated",
        "private",
        &|vpc| keep_local_routes(vpc, &["rtb-1", "rtb-2"]),
        seen(&[SILENT_S3]),
        "s3-gateway-missing certain both rtb-1",
    );
    case(
        "no route to the NAT gateway",
        "nat",
        &|vpc| keep_local_routes(vpc, &["rtb-1", "rtb-2"]),
        seen_public(&SILENT_PUBLIC),
        "no-egress-route certain both rtb-1",
    );
    case(
        "NAT gateway failed",
        "nat",
        &|vpc| change(vpc, "nat_gateways/nat-1/state", json!("failed")),
        seen_public(&SILENT_PUBLIC),
        "nat-gateway-unhealthy certain both nat-1",
    );
    case(
        "no public address",
        "public",
        &|vpc| vpc["task"]["assign_public_ip"] = json!(false),
        seen_public(&SILENT_PUBLIC),
        "public-ip-missing certain both rtb-1",
    );
    case(
        "VPC Block Public Access",
        "public",
        &|vpc| vpc["block_public_access"]["mode"] = json!("block-ingress"),
        seen_public(&SILENT_PUBLIC),
        "vpc-block-public-access certain both vpc-1",
    );
    case(
        "role without an action",
        "private",
        &deny_logs,
        seen(&["logs write denied"]),
        "identity-policy-missing-action certain both arn:aws:iam::123456789012:role/app",
    );
    case(
        "endpoint policy",
        "private",
        &|vpc| {
            let policy = json!({ "Statement": [
                { "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::own/*" },
            ]});
            limit_s3(vpc, &policy.to_string());
        },
        seen(&["s3 fetch denied"]),
        "s3-endpoint-policy-denies certain both vpce-s3",
    );
    case(
        "repository",
        "private",
        &|vpc| vpc["objects"][0]["state"] = json!("missing"),
        seen(&["ecr.dkr manifest team/app:1.4 not-found"]),
        "repository-not-found certain both arn:aws:ecr:us-east-1:123456789012:repository/team/app",
    );
    case(
        "log group",
        "private",
        &|vpc| vpc["objects"][3]["state"] = json!("missing"),
        seen(&["logs write not-found"]),
        "log-group-missing certain both arn:aws:logs:us-east-1:123456789012:log-group:/ecs/app",
    );
    case(
        "zone without the record",
        "private",
        &|vpc| {
            vpc["hosted_zones"] =
                json!([{ "id": "Z1", "name": "logs.us-east-1.amazonaws.com", "records": [] }]);
        },
        seen(&["logs resolve no-such-name"]),
        "private-zone-shadows-name certain both Z1",
    );
    case(
        "DNS support disabled",
        "private",
        &|vpc| change(vpc, "vpcs/vpc-1/enable_dns_support", json!(false)),
        seen(&[
            "ecr.api resolve timed-out",
            "ecr.dkr resolve timed-out",
            "s3 resolve timed-out",
            "logs resolve timed-out",
        ]),
        "resolver-unreachable certain both vpc-1",
    );
    cases
}

#[test]
fn where_both_agree_the_first_finding_is_certain_and_names_the_object() {
    for (name, vpc, observations, first) in agreeing() {
        let (inspection, vantage) = join(&vpc, &observations);
        let lines = lines_of(&vantage);
        assert_eq!(lines[0], first, "{name}: {lines:#?}");
        let of_finding = &vantage.findings[0];
        assert!(!of_finding.because.is_empty(), "{name}");
        assert!(of_finding.rule.is_some(), "{name}");
        // Nothing else is certain, but for another of the same object.
        for other in &vantage.findings[1..] {
            let is_sure = line_of(other).contains(" certain ");
            assert!(
                !is_sure || other.object == of_finding.object,
                "{name}: {lines:#?}"
            );
        }
        assert_eq!(
            vantage.verdict.exit_code,
            of_finding.family.exit_code(),
            "{name}"
        );
        assert_eq!(inspection.verdict, vantage.verdict, "{name}");
        // What is true is never ruled out.
        let causes: Vec<_> = vantage.ruled_out.iter().map(|one| one.cause).collect();
        assert!(!causes.contains(&of_finding.cause), "{name}");
    }
}

#[test]
fn what_packets_pass_makes_no_closed_hop_certain_and_no_verdict_fail() {
    for (name, vpc, observations, _) in agreeing() {
        let healthy = if observations.iter().any(|seen| {
            seen.target().as_str() == "ecr.api"
                && seen.scope == Some(pullprobe::observation::Scope::Public)
        }) {
            seen_public(&[])
        } else {
            seen(&[])
        };
        let (_, vantage) = join(&vpc, &healthy);
        let lines = lines_of(&vantage);
        assert!(
            lines.iter().all(|line| !line.contains(" certain ")),
            "{name}: {lines:#?}"
        );
        assert_eq!(vantage.verdict.exit_code, 4, "{name}: {lines:#?}");
        let first = &vantage.findings[0];
        let said = first
            .contradiction
            .as_ref()
            .unwrap_or_else(|| panic!("{name}: {lines:#?}"));
        for part in [
            &said.packets,
            &said.configuration,
            &said.packets_cannot_see,
            &said.configuration_cannot_see,
        ] {
            assert!(!part.is_empty(), "{name}");
        }
    }
}

#[test]
fn what_was_not_read_rules_nothing_out_and_makes_nothing_certain() {
    let unread = [
        "route_tables",
        "security_groups",
        "network_acls",
        "endpoints",
        "subnets",
        "vpcs",
        "nat_gateways",
        "internet_gateways",
        "block_public_access",
        "hosted_zones",
        "resolver_rules",
        "prefix_lists",
    ];
    for (name, mut vpc, observations, _) in agreeing() {
        for list in unread {
            vpc[list] = Value::Null;
        }
        vpc["role"] = Value::Null;
        vpc["objects"] = json!([]);
        let (_, vantage) = join(&vpc, &observations);
        let alone = diagnose(&observations).findings;
        let causes: Vec<_> = vantage.findings.iter().map(|one| one.cause).collect();
        let packets: Vec<_> = alone.iter().map(|one| one.cause).collect();
        assert_eq!(causes, packets, "{name}");
        assert_eq!(ruled_out(&vantage), [""; 0], "{name}");
        assert!(
            vantage.findings.iter().all(|one| one.object.is_none()),
            "{name}"
        );
    }
}

#[test]
fn open_hops_leave_the_list_with_their_objects_where_another_cause_remains() {
    let mut vpc = vpc("private");
    close_endpoints(&mut vpc);
    let (_, vantage) = join(&vpc, &seen(&[SILENT_PRIVATE]));
    let out = ruled_out(&vantage);
    assert!(
        out.contains(&"task-security-group-egress sg-task".to_owned()),
        "{out:#?}"
    );
    assert!(
        out.contains(&"network-acl acl-task,acl-endpoints".to_owned()),
        "{out:#?}"
    );
    // Packets passed at the other endpoints, whose group lacks the same rule.
    assert!(
        lines_of(&vantage)[0].starts_with("endpoint-security-group"),
        "{:#?}",
        lines_of(&vantage)
    );
}

#[test]
fn silence_that_the_configuration_does_not_explain_names_no_object() {
    for (way, observations) in [
        ("private", seen(&[SILENT_PRIVATE])),
        ("private", seen(&[SILENT_S3])),
        ("private", seen(&ALL_SILENT)),
        ("nat", seen_public(&SILENT_PUBLIC)),
        ("public", seen_public(&SILENT_PUBLIC)),
        ("private", seen(&["logs handshake reset"])),
        ("private", seen(&["logs handshake stalled"])),
        ("private", seen(&["logs write timed-out"])),
        ("private", seen(&["logs connect refused"])),
        ("private", seen(&["ecr.dkr handshake unknown-issuer"])),
        (
            "nat",
            seen_public(&["ecr.api connect 203.0.113.12 public timed-out 4000ms"]),
        ),
    ] {
        let (_, vantage) = join(&vpc(way), &observations);
        let (lines, out) = (lines_of(&vantage), ruled_out(&vantage));
        assert_eq!(
            vantage.verdict.status.to_string(),
            "fail",
            "{way} {lines:#?}"
        );
        assert!(!lines.is_empty(), "{way}");
        assert!(
            vantage.findings.iter().all(|one| one.object.is_none()),
            "{way} {lines:#?}"
        );
        assert!(
            lines.iter().all(|line| !line.contains(" certain both")),
            "{way} {lines:#?}"
        );
        // Everything that was silent has a finding left.
        let diagnosis = diagnose(&observations);
        let left: Vec<_> = vantage
            .findings
            .iter()
            .flat_map(|one| &one.because)
            .collect();
        for id in diagnosis.findings.iter().flat_map(|one| &one.because) {
            assert!(left.contains(&id), "{way} {id}: {lines:#?} {out:#?}");
        }
    }
}

#[test]
fn what_leaves_the_vpc_stays_possible_while_filters_are_ruled_out() {
    let mut vpc = vpc("nat");
    let routes = json!([
        { "destination": "10.0.0.0/16", "target": "local", "state": "active" },
        { "destination": "0.0.0.0/0", "target": "tgw-1", "state": "active" },
    ]);
    change(&mut vpc, "route_tables/rtb-1/routes", routes);
    let (_, vantage) = join(&vpc, &seen_public(&SILENT_PUBLIC));
    let (lines, out) = (lines_of(&vantage), ruled_out(&vantage));
    assert!(
        lines.iter().any(|line| line.starts_with("no-egress-route")),
        "{lines:#?}"
    );
    assert_eq!(out, ["task-security-group-egress sg-task"], "{lines:#?}");
}

#[test]
fn another_address_than_the_configured_one_is_a_contradiction() {
    let mut vpc = vpc("private");
    close_endpoints(&mut vpc);
    let lines = [
        "ecr.api connect 203.0.113.12 public timed-out 4000ms",
        "ecr.dkr connect 203.0.113.13 public timed-out 4000ms",
        "logs connect 203.0.113.15 public timed-out 4000ms",
    ];
    let (_, vantage) = join(&vpc, &seen(&lines));
    let found = &vantage.findings;
    let group = found
        .iter()
        .find(|one| one.cause.code() == "endpoint-security-group")
        .unwrap();
    let said = group.contradiction.as_ref().unwrap();
    assert!(
        said.packets.contains("resolved to 203.0.113.12"),
        "{said:?}"
    );
    assert!(found.iter().all(|one| !line_of(one).contains(" certain ")));
    assert_eq!(ruled_out(&vantage), [""; 0]);
}

#[test]
fn packets_show_the_address_where_zones_could_not_be_read() {
    let mut vpc = vpc("private");
    vpc["hosted_zones"] = Value::Null;
    close_endpoints(&mut vpc);
    let silent = [
        "ecr.api connect timed-out",
        "ecr.dkr connect timed-out",
        SILENT_LOGS,
    ];
    let (_, vantage) = join(&vpc, &seen(&silent));
    let first = "endpoint-security-group certain both sg-endpoints";
    assert_eq!(lines_of(&vantage)[0], first);
    // Without the addresses of the endpoints the silent ones may be of something else.
    for endpoint in vpc["endpoints"].as_array_mut().unwrap() {
        endpoint["interfaces"] = json!([]);
    }
    let (_, vantage) = join(&vpc, &seen(&silent));
    let first = "endpoint-security-group likely both sg-endpoints";
    assert_eq!(lines_of(&vantage)[0], first);
}

#[test]
fn route_that_another_subnet_has_is_named() {
    let mut vpc = vpc("private");
    keep_local_routes(&mut vpc, &["rtb-1"]);
    let (_, vantage) = join(&vpc, &seen(&[SILENT_S3]));
    let lines = lines_of(&vantage);
    assert_eq!(
        lines[..2],
        [
            "s3-gateway-missing certain both rtb-1",
            "route-table-differs certain both rtb-1"
        ]
    );
    assert!(
        vantage.findings[1]
            .rule
            .as_ref()
            .unwrap()
            .contains("rtb-2 has pl-s3")
    );
}

#[test]
fn probe_of_another_identity_says_nothing_about_the_role() {
    let mut vpc = vpc("private");
    deny_logs(&mut vpc);
    let (_, vantage) = join_as(&vpc, &seen(&[]), false);
    assert_eq!(
        lines_of(&vantage),
        [format!(
            "identity-policy-missing-action likely configuration {ROLE}"
        )]
    );
}

#[test]
fn one_missing_object_is_not_confirmed_by_another() {
    let mut vpc = vpc("private");
    let secret =
        |name: &str| format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}");
    let [one, other] = ["one-AbCdEf", "other-AbCdEf"].map(secret);
    vpc["plan"]["secrets"] = json!([{ "names": [one, other] }]);
    let objects = vpc["objects"].as_array_mut().unwrap();
    for (arn, state) in [(&one, "missing"), (&other, "found")] {
        objects.push(json!({ "kind": "secret", "key": arn, "state": state, "arn": arn, "is_policy_read": true }));
    }
    let lines = |subject: &str| {
        let line = format!("secretsmanager read {subject} not-found");
        lines_of(&join(&vpc, &seen(&[line.as_str()])).1)
    };
    assert_eq!(
        lines(&one)[0],
        format!("secret-not-found certain both {one}")
    );
    let of_other = lines(&other);
    assert!(
        !of_other.iter().any(|line| line.contains(" both ")),
        "{of_other:#?}"
    );
}

#[test]
fn independent_faults_are_each_certain() {
    let mut vpc = vpc("private");
    close_endpoints(&mut vpc);
    keep_local_routes(&mut vpc, &["rtb-1", "rtb-2"]);
    let (_, vantage) = join(&vpc, &seen(&ALL_SILENT));
    let mut lines = lines_of(&vantage);
    lines.truncate(2);
    lines.sort();
    assert_eq!(
        lines,
        [
            "endpoint-security-group certain both sg-endpoints",
            "s3-gateway-missing certain both rtb-1"
        ]
    );
}

/// Returns the hops of a kind at a contact of `subnet-1`, as `verdict object`.
fn hops(vpc: &Value, target: &str, kind: &str) -> Vec<String> {
    let snapshot: Snapshot = serde_json::from_value(vpc.clone()).unwrap();
    let inspection = serde_json::to_value(Inspection::of(&snapshot)).unwrap();
    let contacts = inspection["contacts"].as_array().unwrap().clone();
    let contact = contacts
        .iter()
        .find(|contact| contact["subnet"] == "subnet-1" && contact["target"] == target)
        .unwrap();
    let of_kind = contact["hops"].as_array().unwrap().iter();
    of_kind
        .filter(|hop| hop["hop"] == kind)
        .map(|hop| {
            format!(
                "{} {}",
                hop["verdict"].as_str().unwrap(),
                hop["object"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn ten_thousand_statements_are_each_read() {
    let statement = |n: usize| json!({ "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": format!("arn:aws:s3:::b-{n}/*") });
    let mut statements: Vec<_> = (0..10_000).map(statement).collect();
    let mut vpc = vpc("private");
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    limit_s3(&mut vpc, &policy.to_string());
    assert_eq!(hops(&vpc, "s3", "endpoint-policy"), ["closed vpce-s3"]);
    statements[9_999]["Resource"] = json!("*");
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    limit_s3(&mut vpc, &policy.to_string());
    assert_eq!(hops(&vpc, "s3", "endpoint-policy"), ["open vpce-s3"]);
}

#[test]
fn what_cannot_be_understood_is_never_open() {
    let rule = |peer: Value| {
        let mut rule = json!({ "protocol": "tcp", "from_port": 443, "to_port": 443 });
        rule.as_object_mut()
            .unwrap()
            .extend(peer.as_object().unwrap().clone());
        json!([rule])
    };
    let changed = |way: &str, path: &str, value: Value| {
        let mut vpc = vpc(way);
        change(&mut vpc, path, value);
        vpc
    };
    // A list of lists, whose entries are not blocks.
    let egress = rule(json!({ "prefix_lists": ["pl-a"] }));
    let mut of_lists = changed("private", "security_groups/sg-task/egress", egress);
    let lists = of_lists["prefix_lists"].as_array_mut().unwrap();
    lists.push(json!({ "id": "pl-a", "name": "a", "entries": null }));
    let found = hops(&of_lists, "logs", "security-group");
    assert_eq!(found, ["unknown sg-task"]);
    // A group of a peered VPC, of which the task is not a member.
    let ingress = rule(json!({ "groups": ["sg-of-peer"] }));
    let peered = changed("private", "security_groups/sg-endpoints/ingress", ingress);
    let found = hops(&peered, "logs", "endpoint-security-group");
    assert_eq!(found, ["closed sg-endpoints"]);
    // Groups that name each other.
    let ingress = rule(json!({ "groups": ["sg-endpoints"] }));
    let mut cyclic = changed(
        "private",
        "security_groups/sg-endpoints/ingress",
        ingress.clone(),
    );
    change(&mut cyclic, "security_groups/sg-task/ingress", ingress);
    let found = hops(&cyclic, "logs", "endpoint-security-group");
    assert_eq!(found, ["closed sg-endpoints"]);
    // A rule without addresses before one that allows all.
    let entries = json!([
        { "number": 90, "is_egress": true, "allows": false, "protocol": "-1" },
        { "number": 100, "is_egress": true, "allows": true, "protocol": "-1", "cidr": "0.0.0.0/0" },
        { "number": 100, "is_egress": false, "allows": true, "protocol": "-1", "cidr": "0.0.0.0/0" },
    ]);
    let acl = changed("private", "network_acls/acl-task/entries", entries);
    assert!(hops(&acl, "logs", "network-acl").contains(&"unknown acl-task".to_owned()));
    // A peering connection into an account that may not be read.
    let routes = json!([{ "destination": "0.0.0.0/0", "target": "pcx-1", "state": "active" }]);
    let peering = changed("nat", "route_tables/rtb-1/routes", routes);
    assert_eq!(hops(&peering, "logs", "route"), ["unknown rtb-1"]);
    // Policies that are not JSON, or not policies.
    for policy in ["Allow *", "[]", "{}", "\"*\"", "{\"Statement\": 1}"] {
        let mut vpc = vpc("private");
        limit_s3(&mut vpc, policy);
        let found = hops(&vpc, "s3", "endpoint-policy");
        assert_eq!(found, ["unknown vpce-s3"], "{policy}");
    }
}

#[test]
fn subnets_and_groups_of_another_vpc_are_refused_in_a_sentence() {
    let problem = |change: &dyn Fn(&mut Value)| {
        let mut vpc = vpc("private");
        change(&mut vpc);
        let snapshot: Snapshot = serde_json::from_value(vpc).unwrap();
        snapshot.problem().unwrap_or_default()
    };
    let deleted = problem(&|vpc| remove(vpc, "subnets", "subnet-2"));
    assert!(deleted.contains("subnet-2 does not exist"), "{deleted}");
    let other = problem(&|vpc| change(vpc, "subnets/subnet-2/vpc", json!("vpc-2")));
    assert!(other.contains("vpc-2"), "{other}");
    let group = problem(&|vpc| change(vpc, "security_groups/sg-task/vpc", json!("vpc-2")));
    assert!(group.contains("sg-task belongs to vpc-2"), "{group}");
}
