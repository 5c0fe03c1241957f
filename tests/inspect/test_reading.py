"""What may not be read, cannot be seen or is not valid: named, never open, no finding lost."""

import json

import pytest

from pullprobe_testing.accounts import ACCOUNT
from pullprobe_testing.inspected_vpc import REGION
from pullprobe_testing.policies import actions_of, documented_policy

SIMULATED = (
    "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults>"
    "{}</EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
)


@pytest.mark.parametrize(
    "action",
    [
        "ec2:DescribeNetworkAcls",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeRouteTables",
        "ec2:DescribeVpcEndpoints",
        "ec2:DescribeVpcAttribute",
        "ec2:DescribeSubnets",
        "route53:ListHostedZonesByVPC",
        "route53resolver:ListResolverRuleAssociations",
        "route53resolver:ListFirewallRuleGroupAssociations",
        "route53profiles:ListProfileAssociations",
        "ecr:DescribeImages",
        "ecr:GetRegistryPolicy",
        "logs:DescribeLogGroups",
        "secretsmanager:DescribeSecret",
        "iam:GetRole",
        "iam:GetRolePolicy",
    ],
)
def test_missing_right_is_named_and_makes_nothing_open_or_closed(action, world, operator):
    world()
    operator.standin.denied = {action}
    inspection = operator.inspect()
    assert inspection["findings"] == []
    assert inspection["verdict"]["status"] == "inconclusive"
    assert inspection["verdict"]["exit_code"] == 3
    assert action in [unread["action"] for unread in inspection["unread"]]
    assert all(unread["adds"] and unread["why"] for unread in inspection["unread"])


def test_missing_right_costs_no_finding(world, operator):
    vpc = world()
    vpc.acl_entry(vpc.acl, 90, True, (443, 443), "10.0.9.0/24", "deny")
    operator.standin.denied = {
        "ecr:DescribeImages",
        "route53:ListHostedZonesByVPC",
        "iam:GetRole",
        "iam:ListAttachedRolePolicies",
    }
    [first] = operator.inspect()["findings"]
    assert (first["cause"], first["object"]) == ("network-acl", vpc.acl)
    # A zone may answer otherwise.
    assert first["confidence"] == "possible"


def test_snapshot_gives_the_same_inspection_without_a_network(world, operator, tmp_path):
    vpc = world()
    vpc.delete_acl_entry(vpc.acl, egress=True)
    file = tmp_path / "snapshot.json"
    live = operator.inspect("--save", file)
    assert "planted-value" not in file.read_text()
    operator.environment = {"PATH": "/usr/bin:/bin"}
    again = operator.run("--from", file, "--format", "json")
    assert json.loads(again.stdout) == live
    assert again.returncode == live["verdict"]["exit_code"] == 11
    commands = operator.run("--from", file, "--patch", "cli").stdout
    assert f"create-network-acl-entry --network-acl-id {vpc.acl}" in commands
    terraform = operator.run("--from", file, "--patch", "terraform").stdout
    assert 'resource "aws_network_acl_rule"' in terraform
    template = operator.run("--from", file, "--patch", "cloudformation").stdout
    assert "AWS::EC2::NetworkAclEntry" in template
    text = operator.run("--from", file).stdout
    assert vpc.acl in text and "outbound rule *" in text


@pytest.mark.parametrize("content", ["", "{}", '{"schema":"pullprobe/report/v1"}', "[]"])
def test_what_is_not_a_snapshot_is_refused(content, operator, tmp_path):
    file = tmp_path / "snapshot.json"
    file.write_text(content)
    result = operator.run("--from", file)
    assert result.returncode == 2 and "inspect --save" in result.stderr


def test_deleted_subnet_and_foreign_group_are_refused(world, operator):
    vpc = world()
    target = ("--cluster", "prod", "--service", "web")
    result = operator.run(*target, "--subnets", "subnet-0123456789abcdef0")
    assert result.returncode == 2 and "subnet-0123456789abcdef0 does not exist" in result.stderr
    result = operator.run(*target, "--security-groups", "sg-0123456789abcdef0")
    assert result.returncode == 2 and "sg-0123456789abcdef0 does not exist" in result.stderr
    other = vpc.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = vpc.ec2.create_security_group(GroupName="x", Description="x", VpcId=other)["GroupId"]
    result = operator.run(*target, "--security-groups", group)
    assert result.returncode == 2 and other in result.stderr


def test_plan_only_asks_nothing_of_objects(world, operator):
    vpc = world()
    vpc.ecr.delete_repository(repositoryName="team/app", force=True)
    inspection = operator.inspect("--plan-only")
    assert inspection["verdict"]["status"] == "pass"
    assert not [a for a in operator.standin.called if a.startswith(("iam:", "ecr:", "secrets"))]


def test_policy_that_is_not_json_is_unknown(world, operator, tmp_path):
    vpc = world()
    file = tmp_path / "snapshot.json"
    operator.inspect("--save", file)
    snapshot = json.loads(file.read_text())
    for endpoint in snapshot["endpoints"]:
        if endpoint["id"] == vpc.endpoints["logs"]:
            endpoint["policy"] = "Allow *"
    file.write_text(json.dumps(snapshot))
    result = operator.run("--from", file, "--format", "json")
    assert result.returncode == 3
    hops = [h for c in json.loads(result.stdout)["contacts"] for h in c["hops"]]
    [hop] = {h["why"] for h in hops if h["verdict"] == "unknown"}
    assert "is not valid JSON" in hop


def test_what_leaves_the_vpc_is_unknown(world, operator):
    vpc = world("nat")
    gateway = vpc.ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    vpc.ec2.replace_route(
        RouteTableId=vpc.route_table,
        DestinationCidrBlock="0.0.0.0/0",
        TransitGatewayId=gateway,
    )
    inspection = operator.inspect()
    assert inspection["findings"] == [] and inspection["verdict"]["exit_code"] == 3
    assert f"the transit gateway {gateway}" in inspection["verdict"]["summary"]


def test_custom_resolver_and_dns_firewall_are_unknown(world, operator):
    vpc = world()
    operator.standin.firewalls = [{"FirewallRuleGroupId": "rslvr-frg-1", "VpcId": vpc.vpc}]
    assert "rslvr-frg-1" in operator.inspect()["verdict"]["summary"]
    operator.standin.firewalls = []
    servers = {"Key": "domain-name-servers", "Values": ["10.0.0.53"]}
    options = vpc.ec2.create_dhcp_options(DhcpConfigurations=[servers])["DhcpOptions"]
    vpc.ec2.associate_dhcp_options(DhcpOptionsId=options["DhcpOptionsId"], VpcId=vpc.vpc)
    inspection = operator.inspect()
    assert inspection["verdict"]["exit_code"] == 3
    assert "10.0.0.53" in inspection["verdict"]["summary"]


def test_profile_of_route_53_is_unknown(world, operator):
    vpc = world()
    operator.standin.profiles = [{"ProfileId": "rp-1", "ResourceId": vpc.vpc}]
    inspection = operator.inspect()
    assert (inspection["findings"], inspection["verdict"]["exit_code"]) == ([], 3)
    assert "Route 53 Profile" in inspection["verdict"]["summary"]


@pytest.mark.parametrize("prefix", ["team", "ROOT"])
def test_what_a_cache_rule_may_create_is_unknown(prefix, world, operator):
    vpc = world()
    vpc.ecr.delete_repository(repositoryName="team/app", force=True)
    operator.standin.cache_rules = [{"ecrRepositoryPrefix": prefix}]
    inspection = operator.inspect()
    assert (inspection["findings"], inspection["verdict"]["exit_code"]) == ([], 3)
    operator.standin.cache_rules = [{"ecrRepositoryPrefix": "tea"}]
    assert operator.inspect()["findings"][0]["cause"] == "repository-not-found"


def test_shared_vpc_does_not_miss_what_its_owner_has(world, operator, tmp_path):
    world("nat")
    file = tmp_path / "snapshot.json"
    operator.inspect("--save", file)
    snapshot = json.loads(file.read_text())
    for subnet in snapshot["subnets"]:
        subnet["owner"] = "999988887777"
    snapshot["nat_gateways"] = []
    file.write_text(json.dumps(snapshot))
    result = operator.run("--from", file, "--format", "json")
    inspection = json.loads(result.stdout)
    assert (result.returncode, inspection["findings"]) == (3, [])
    assert "999988887777" in inspection["verdict"]["summary"]


def test_simulation_is_used_where_it_is_allowed(world, operator):
    world()

    def evaluated(decision, more=""):
        return SIMULATED.format(
            "<member><EvalActionName>ecr:BatchGetImage</EvalActionName>"
            f"<EvalDecision>{decision}</EvalDecision>{more}</member>"
        ).encode()

    operator.standin.simulation = evaluated("explicitDeny")
    findings = operator.inspect()["findings"]
    assert findings[0]["cause"] == "identity-policy-denies"
    assert "iam:SimulatePrincipalPolicy" in findings[0]["summary"]
    boundary = (
        "<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>false"
        "</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>"
    )
    operator.standin.simulation = evaluated("implicitDeny", boundary)
    assert operator.inspect()["findings"][0]["cause"] == "permissions-boundary-denies"
    context = "<MissingContextValues><member>aws:PrincipalTag/a</member></MissingContextValues>"
    operator.standin.simulation = evaluated("implicitDeny", context)
    inspection = operator.inspect()
    assert inspection["findings"] == []
    # What was not simulated is unknown.
    assert inspection["verdict"]["status"] == "inconclusive"


def test_archived_image_cannot_be_pulled(world, operator):
    world()

    def archive(content):
        document = json.loads(content)
        document["imageDetails"][0]["imageStatus"] = "ARCHIVED"
        return json.dumps(document).encode()

    operator.standin.edits["ecr:DescribeImages"] = archive
    [finding] = operator.inspect()["findings"]
    assert finding["cause"] == "image-not-found" and "archived" in finding["rule"]
    assert ACCOUNT in finding["object"] and REGION in finding["object"]


@pytest.mark.parametrize("way", ["private", "nat"])
def test_documented_rights_are_enough(way, world, operator):
    world(way)
    operator.inspect()
    granted = actions_of(documented_policy("ReadTheNetwork")["Statement"])
    assert set(operator.standin.called) <= granted
