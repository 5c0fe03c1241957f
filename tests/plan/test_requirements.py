"""`plan` prints what a task needs in every format.

cfn-lint accepts the CloudFormation template, python-hcl2 reads the Terraform module, both say what
the JSON says, and the JSON covers every target of the plan.
"""

import json
import os
import re
import shutil
import subprocess

import hcl2
import pytest
import yaml

from pullprobe_testing import cli, pace
from pullprobe_testing.accounts import ACCOUNT
from pullprobe_testing.policies import as_list
from pullprobe_testing.task_definitions import REGIONS, definition
from pullprobe_testing.templates import lint_errors, unquote

DEFINITIONS = 18
EVERYTHING = 1  # the seed of the definition with every part
MAX_SECONDS = 10
MAX_COLUMNS = 80
NFS = 2049
every_definition = pytest.mark.parametrize("seed", range(DEFINITIONS))


def plan(seed, *flags):
    """Returns what `plan` prints for a task definition."""
    region, document, more = definition(seed)
    done = cli.run(
        *("plan", "--task-definition", "-", "--region", region, *more, *flags),
        given=json.dumps(document),
        environment={},
        timeout=pace.limit(MAX_SECONDS),
    )
    assert done.returncode == 0 and not done.stderr, (document, done)
    return done.stdout


def requirements(seed):
    return json.loads(plan(seed, "--needs", "--format", "json"))


def statements(policy):
    """Returns a policy's statements without the account, which the tools fill in."""

    def plain(resource):
        text = resource["Fn::Sub"] if isinstance(resource, dict) else resource
        return text.replace("${AWS::AccountId}", "*")

    return [
        {
            **statement,
            "Action": as_list(statement["Action"]),
            "Resource": [plain(arn) for arn in as_list(statement["Resource"])],
        }
        for statement in policy["Statement"]
    ]


def cidrs(rules):
    return {rule["peer"]["cidr"] for rule in rules if "cidr" in rule["peer"]}


def acl_rules(required):
    return sorted(
        (rule["flow"] == "outbound", rule["from_port"], rule["to_port"])
        for rule in required["network_acls"]
    )


@every_definition
def test_every_target_is_covered_or_listed_as_outside_the_vpc(seed):
    region, _, _ = definition(seed)
    contacts, required = plan(seed, "--only", "contacts"), requirements(seed)
    targets = re.findall(r"^[a-z0-9.-]+\s+(\S+):(\d+)", contacts, re.M)
    covered = {key for endpoint in required["endpoints"] for key in endpoint["targets"]}
    outside = {(target["host"], str(target["port"])) for target in required["beyond"]}
    mounted = {
        host
        for rule in required["security_groups"]
        if rule["port"] == NFS
        for host in rule["used_for"]
    }

    assert targets
    assert len(targets) == len(covered) + len(outside) + len(mounted)
    for host, port in targets:
        regional = f".{region}." in host
        is_outside = (host, port) in outside
        assert host in mounted or is_outside != regional, (host, required)


@every_definition
def test_cloudformation_passes_cfn_lint_and_equals_the_json(seed):
    region, _, _ = definition(seed)
    required, text = requirements(seed), plan(seed, "--format", "cloudformation")

    assert lint_errors(text, region) == []
    template = yaml.safe_load(text.replace("${AWS::Partition}", REGIONS[region][0]))
    resources = {}
    for name, resource in template["Resources"].items():
        kind = resource["Type"].split("::", 1)[1]
        resources.setdefault(kind, {})[name] = resource["Properties"]

    def of_type(*kinds):
        return [properties for kind in kinds for properties in resources.get(kind, {}).values()]

    endpoints = {one["ServiceName"]: one for one in of_type("EC2::VPCEndpoint")}
    assert set(endpoints) == {one["service"] for one in required["endpoints"]}
    for expected in required["endpoints"]:
        endpoint = endpoints[expected["service"]]
        assert endpoint["VpcEndpointType"].lower() == expected["kind"]
        assert endpoint.get("PrivateDnsEnabled", False) == expected["private_dns"]
        assert ("RouteTableIds" in endpoint) == (expected["kind"] == "gateway")
        assert ("PolicyDocument" in endpoint) == ("policy" in expected)
        if "policy" in expected:
            policy = endpoint["PolicyDocument"]["Fn::If"][1]
            assert statements(policy) == statements(expected["policy"])
    groups = required["security_groups"]
    rules = of_type("EC2::SecurityGroupEgress", "EC2::SecurityGroupIngress")
    assert sorted(rule["FromPort"] for rule in rules) == sorted(rule["port"] for rule in groups)
    assert {rule.get("CidrIp") for rule in rules} - {None} == cidrs(groups)
    acls = of_type("EC2::NetworkAclEntry")
    printed = [
        (rule["Egress"], rule["PortRange"]["From"], rule["PortRange"]["To"]) for rule in acls
    ]
    assert sorted(printed) == acl_rules(required)
    assert len({rule["RuleNumber"] for rule in acls}) == len(acls)
    policies = resources.get("IAM::Policy", {})
    for name, key in (
        ("ExecutionRolePolicy", "execution_role_policy"),
        ("TaskRolePolicy", "task_role_policy"),
    ):
        policy = policies.get(name, {}).get("PolicyDocument", {"Statement": []})
        assert statements(policy) == statements(required[key])
    own = ("execution_role_policy", "task_role_policy")
    filled = sum(bool(required[key]["Statement"]) for key in own)
    assert len(policies) == len(required["extra_statements"]) + filled
    used = set(re.findall(r'"Ref": "(\w+)"', json.dumps(template)))
    assert used >= set(template["Parameters"]), "every parameter is used"


@every_definition
def test_terraform_is_read_by_python_hcl2_and_equals_the_json(seed):
    required, text = requirements(seed), plan(seed, "--format", "terraform")

    module = hcl2.loads(text)
    resources, names = {}, set()
    for block in module["resource"]:
        [(kind, named)] = block.items()
        [(name, resource)] = named.items()
        values = {key: unquote(value) for key, value in resource.items()}
        resources.setdefault(unquote(kind), []).append(values)
        assert (kind, name) not in names, "a name occurs twice"
        names.add((kind, name))
    declared = {unquote(name) for block in module["variable"] for name in block}
    assert declared == set(re.findall(r"\bvar\.(\w+)", text)), "declared and used"
    for kind, name in re.findall(r"\bdata\.(\w+)\.(\w+)", text):
        assert f'data "{kind}" "{name}"' in text
    assert ("aws_security_group.endpoints" in text) == ("aws_security_group" in resources)
    endpoints = resources.get("aws_vpc_endpoint", [])
    printed = {(one["service_name"], one["vpc_endpoint_type"].lower()) for one in endpoints}
    assert len(printed) == len(endpoints)
    assert printed == {(one["service"], one["kind"]) for one in required["endpoints"]}
    groups = required["security_groups"]
    rules = resources.get("aws_vpc_security_group_egress_rule", [])
    rules += resources.get("aws_vpc_security_group_ingress_rule", [])
    assert sorted(rule["from_port"] for rule in rules) == sorted(rule["port"] for rule in groups)
    assert {rule.get("cidr_ipv4") for rule in rules} - {None} == cidrs(groups)
    acls = resources.get("aws_network_acl_rule", [])
    printed = [(rule["egress"], rule["from_port"], rule["to_port"]) for rule in acls]
    assert sorted(printed) == acl_rules(required)
    assert len({rule["rule_number"] for rule in acls}) == len(acls)
    plain = text.replace("${data.aws_caller_identity.current.account_id}", "*")
    for policy in (required["execution_role_policy"], required["task_role_policy"]):
        for statement in statements(policy):
            for word in statement["Action"] + statement["Resource"]:
                assert f'"{word}"' in plain, word


def test_terraform_fmt_changes_nothing(tmp_path):
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed")
    for seed in range(DEFINITIONS):
        (tmp_path / f"{seed}.tf").write_text(plan(seed, "--format", "terraform"))

    command = ["terraform", "fmt", "-check", "-diff", tmp_path]
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "part", ["endpoints", "security-groups", "network-acls", "policy", "task-role-policy"]
)
def test_one_part_is_complete_in_every_format(part):
    region, _, _ = definition(EVERYTHING)
    template = plan(EVERYTHING, "--only", part, "--format", "cloudformation")
    assert lint_errors(template, region) == []

    text = plan(EVERYTHING, "--only", part, "--format", "terraform")
    declared = {unquote(name) for block in hcl2.loads(text)["variable"] for name in block}
    assert declared == set(re.findall(r"\bvar\.(\w+)", text))
    is_declared = 'resource "aws_security_group" "endpoints"' in text
    assert ("aws_security_group.endpoints" in text) == is_declared

    whole = requirements(EVERYTHING)
    alone = json.loads(plan(EVERYTHING, "--only", part, "--format", "json"))
    if part == "policy":
        assert alone == whole["execution_role_policy"]
    elif part == "task-role-policy":
        assert alone == whole["task_role_policy"]
    else:
        key = part.replace("-", "_")
        assert alone[key] == whole[key]
    assert plan(EVERYTHING, "--only", part).strip() in plan(EVERYTHING)


@pytest.mark.parametrize(
    "part, output",
    [
        ("contacts", "terraform"),
        ("notes", "cloudformation"),
        ("task-role-policy", "cloudformation"),
        ("contacts,policy", "json"),
    ],
)
def test_part_that_a_format_cannot_express_is_refused(part, output):
    flags = "--region", "eu-west-1", "--only", part, "--format", output
    done = cli.run("plan", "nginx", *flags, environment={}, timeout=MAX_SECONDS)

    assert (done.returncode, done.stdout) == (2, ""), done
    assert len(done.stderr) > 50, done


def test_linter_finds_errors_in_a_template():
    region, _, _ = definition(EVERYTHING)
    text = plan(EVERYTHING, "--format", "cloudformation")

    assert lint_errors(text.replace("IpProtocol: tcp", "IpProtocl: tcp", 1), region)
    unused_parameter = text.replace("Ref: VpcCidr", "Ref: VpcId")
    assert lint_errors(unused_parameter, region)


@every_definition
def test_text_fits_eighty_columns(seed):
    wide = [line for line in plan(seed).splitlines() if len(line) > MAX_COLUMNS]

    # A long name is not broken, so that it can be copied.
    assert all(max(map(len, line.split())) > 50 for line in wide), wide


@every_definition
def test_account_is_not_guessed(seed):
    _, document, _ = definition(seed)
    document = document.get("taskDefinition", document)
    roles = [document.get(name, "") for name in ("executionRoleArn", "taskRoleArn")]
    known = any(role.startswith("arn:") for role in roles)
    required = requirements(seed)["execution_role_policy"]["Statement"]
    logs = [arn for one in required for arn in as_list(one["Resource"]) if ":logs:" in arn]
    assert all((f":{ACCOUNT}:" in arn) == known for arn in logs), (known, logs)
