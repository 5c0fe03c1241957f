"""What a plan needs, in every format: CloudFormation passes cfn-lint, Terraform is read by python-hcl2, and both say what
the JSON says, which in turn leaves out none of the plan's targets."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import hcl2
import pytest
import yaml
from cfnlint.api import ManualArgs, lint
from cfnlint.core import get_rules

from pullprobe_testing.task_definitions import ACCOUNT, REGIONS, definition

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("PULLPROBE_BINARY", ROOT / "target/debug/pullprobe"))
DEFINITIONS = 18
RULES = get_rules([], [], ["E", "W"])


def plan(seed, *arguments):
    region, made, flags = definition(seed)
    done = subprocess.run(
        [BINARY, "plan", "--task-definition", "-", "--region", region, *flags, *arguments],
        text=True,
        input=json.dumps(made),
        capture_output=True,
        env={},
        timeout=10,
    )
    assert done.returncode == 0 and not done.stderr, (made, done)
    return done.stdout


def needs(seed):
    return json.loads(plan(seed, "--needs", "--format", "json"))


def complaints(template, region):
    return [
        f"{match.rule.id} {match.linenumber}: {match.message}"
        for match in lint(template, rules=RULES, config=ManualArgs(regions=[region]))
    ]


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(policy):
    """A policy without the account, which Terraform and CloudFormation fill in by themselves."""

    def plain(text):
        if isinstance(text, dict):
            text = text["Fn::Sub"]
        return text.replace("${AWS::AccountId}", "*")

    return [
        {
            **statement,
            "Action": listed(statement["Action"]),
            "Resource": [plain(arn) for arn in listed(statement["Resource"])],
        }
        for statement in policy["Statement"]
    ]


def partition_filled_in(value, partition):
    return json.loads(json.dumps(value).replace("${AWS::Partition}", partition))


@pytest.mark.parametrize("seed", range(DEFINITIONS))
def test_every_target_is_served_or_said_to_be_beyond(seed):
    region, _, _ = definition(seed)
    text, needed = plan(seed, "--only", "contacts"), needs(seed)
    hosts = re.findall(r"^[a-z0-9.-]+\s+(\S+):(\d+)", text, re.M)
    served = {key for endpoint in needed["endpoints"] for key in endpoint["targets"]}
    beyond = {(one["host"], str(one["port"])) for one in needed["beyond"]}
    mounted = {
        host
        for rule in needed["security_groups"]
        if rule["port"] == 2049
        for host in rule["used_for"]
    }

    assert hosts
    assert len(hosts) == len(served) + len(beyond) + len(mounted)
    for host, port in hosts:
        of_the_region = f".{region}." in host and not host.startswith("ecs-sc.")
        assert host in mounted or ((host, port) in beyond) != of_the_region, (host, needed)


@pytest.mark.parametrize("seed", range(DEFINITIONS))
def test_cloudformation_passes_cfn_lint_and_says_the_same(seed):
    region, _, _ = definition(seed)
    needed, text = needs(seed), plan(seed, "--format", "cloudformation")

    assert complaints(text, region) == []
    template = partition_filled_in(yaml.safe_load(text), REGIONS[region][0])
    made = {}
    for name, resource in template["Resources"].items():
        made.setdefault(resource["Type"].split("::", 1)[1], {})[name] = resource["Properties"]
    endpoints = {one["ServiceName"]: one for one in made.get("EC2::VPCEndpoint", {}).values()}
    assert set(endpoints) == {one["service"] for one in needed["endpoints"]}
    for one in needed["endpoints"]:
        given = endpoints[one["service"]]
        assert given["VpcEndpointType"].lower() == one["kind"]
        assert given.get("PrivateDnsEnabled", False) == one["private_dns"]
        assert ("RouteTableIds" in given) == (one["kind"] == "gateway")
        assert ("policy" in one) == ("PolicyDocument" in given)
        if "policy" in one:
            assert statements(given["PolicyDocument"]["Fn::If"][1]) == statements(one["policy"])
    rules = list(made.get("EC2::SecurityGroupEgress", {}).values()) + list(
        made.get("EC2::SecurityGroupIngress", {}).values()
    )
    assert sorted(rule["FromPort"] for rule in rules) == sorted(
        rule["port"] for rule in needed["security_groups"]
    )
    assert {rule.get("CidrIp") for rule in rules} - {None} == cidrs(needed["security_groups"])
    acls = list(made.get("EC2::NetworkAclEntry", {}).values())
    assert sorted(
        (rule["Egress"], rule["PortRange"]["From"], rule["PortRange"]["To"]) for rule in acls
    ) == acl_rules(needed)
    assert len({rule["RuleNumber"] for rule in acls}) == len(acls)
    policies = made.get("IAM::Policy", {})
    for name, key in (
        ("ExecutionRolePolicy", "execution_role_policy"),
        ("TaskRolePolicy", "task_role_policy"),
    ):
        assert statements(
            policies.get(name, {}).get("PolicyDocument", {"Statement": []})
        ) == statements(needed[key])
    assert len(policies) == len(needed["extra_statements"]) + sum(
        bool(needed[key]["Statement"]) for key in ("execution_role_policy", "task_role_policy")
    )
    assert set(re.findall(r'"Ref": "(\w+)"', json.dumps(template))) >= set(
        template["Parameters"]
    ), "each is used"


def cidrs(rules):
    return {rule["peer"]["cidr"] for rule in rules if "cidr" in rule["peer"]}


def acl_rules(needed):
    return sorted(
        (rule["flow"] == "outbound", rule["from_port"], rule["to_port"])
        for rule in needed["network_acls"]
    )


def unquoted(value):
    return value[1:-1] if isinstance(value, str) and value.startswith('"') else value


@pytest.mark.parametrize("seed", range(DEFINITIONS))
def test_terraform_is_read_by_python_hcl2_and_says_the_same(seed):
    needed, text = needs(seed), plan(seed, "--format", "terraform")

    module = hcl2.loads(text)
    made, names = {}, set()
    for block in module["resource"]:
        [(kind, named)] = block.items()
        [(name, resource)] = named.items()
        made.setdefault(unquoted(kind), []).append(
            {key: unquoted(value) for key, value in resource.items()}
        )
        assert (kind, name) not in names, "no name twice"
        names.add((kind, name))
    declared = {unquoted(name) for block in module["variable"] for name in block}
    assert declared == set(re.findall(r"\bvar\.(\w+)", text)), "each variable is declared, and used"
    for kind, name in re.findall(r"\bdata\.(\w+)\.(\w+)", text):
        assert f'data "{kind}" "{name}"' in text
    assert ("aws_security_group.endpoints" in text) == ("aws_security_group" in made)
    endpoints = {one["service_name"]: one for one in made.get("aws_vpc_endpoint", [])}
    assert {(name, one["vpc_endpoint_type"].lower()) for name, one in endpoints.items()} == {
        (one["service"], one["kind"]) for one in needed["endpoints"]
    }
    rules = made.get("aws_vpc_security_group_egress_rule", []) + made.get(
        "aws_vpc_security_group_ingress_rule", []
    )
    assert sorted(rule["from_port"] for rule in rules) == sorted(
        rule["port"] for rule in needed["security_groups"]
    )
    assert {rule.get("cidr_ipv4") for rule in rules} - {None} == cidrs(needed["security_groups"])
    acls = made.get("aws_network_acl_rule", [])
    assert sorted(
        (rule["egress"], rule["from_port"], rule["to_port"]) for rule in acls
    ) == acl_rules(needed)
    assert len({rule["rule_number"] for rule in acls}) == len(acls)
    plain = text.replace("${data.aws_caller_identity.current.account_id}", "*")
    for policy in (needed["execution_role_policy"], needed["task_role_policy"]):
        for statement in statements(policy):
            for word in statement["Action"] + statement["Resource"]:
                assert f'"{word}"' in plain, word


def test_terraform_is_what_terraform_fmt_leaves(tmp_path):
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed")
    for seed in range(DEFINITIONS):
        (tmp_path / f"{seed}.tf").write_text(plan(seed, "--format", "terraform"))
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CLI_CONFIG_FILE": os.devnull},
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "part", ["endpoints", "security-groups", "network-acls", "policy", "task-role-policy"]
)
def test_a_part_stands_on_its_own_in_every_format(part):
    region, _, _ = definition(1)

    assert complaints(plan(1, "--only", part, "--format", "cloudformation"), region) == []
    text = plan(1, "--only", part, "--format", "terraform")
    assert {unquoted(name) for block in hcl2.loads(text)["variable"] for name in block} == set(
        re.findall(r"\bvar\.(\w+)", text)
    )
    assert ("aws_security_group.endpoints" in text) == (
        'resource "aws_security_group" "endpoints"' in text
    )
    whole, alone = needs(1), json.loads(plan(1, "--only", part, "--format", "json"))
    if part.endswith("policy"):
        assert alone == whole["execution_role_policy" if part == "policy" else "task_role_policy"]
    else:
        assert alone[part.replace("-", "_")] == whole[part.replace("-", "_")]
    assert plan(1, "--only", part).strip() in plan(1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("contacts", "terraform"),
        ("notes", "cloudformation"),
        ("task-role-policy", "cloudformation"),
        ("contacts,policy", "json"),
    ],
)
def test_what_cannot_be_printed_is_refused_with_the_way_out(arguments):
    part, form = arguments
    done = subprocess.run(
        [BINARY, "plan", "nginx", "--region", "eu-west-1", "--only", part, "--format", form],
        text=True,
        capture_output=True,
        env={},
        timeout=10,
    )

    assert (done.returncode, done.stdout) == (2, ""), done
    assert len(done.stderr) > 50, done


def test_a_template_that_is_wrong_is_seen():
    region, _, _ = definition(1)
    text = plan(1, "--format", "cloudformation")

    assert complaints(text.replace("IpProtocol: tcp", "IpProtocl: tcp", 1), region)
    assert complaints(text.replace("Ref: VpcCidr", "Ref: VpcId"), region), (
        "a parameter that nothing uses is a warning"
    )


@pytest.mark.parametrize("seed", range(DEFINITIONS))
def test_the_text_is_for_eighty_columns(seed):
    wide = [line for line in plan(seed).splitlines() if len(line) > 80]

    # A name is copied, so it stays whole.
    assert all(max(map(len, line.split())) > 50 for line in wide), wide


def test_the_account_is_no_guess():
    for seed in range(DEFINITIONS):
        _, made, _ = definition(seed)
        made = made.get("taskDefinition", made)
        known = any(role in made for role in ("executionRoleArn", "taskRoleArn"))
        logs = [
            arn
            for one in needs(seed)["execution_role_policy"]["Statement"]
            for arn in listed(one["Resource"])
            if ":logs:" in arn
        ]
        assert all((f":{ACCOUNT}:" in arn) == known for arn in logs), (known, logs)
