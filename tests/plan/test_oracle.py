"""Every output of `plan` equals a second reading of the definition, and tools read each.

Definitions of every kind are generated: for Fargate, and for instances with each launch type and
network mode, Windows, FSx, gMSA, NFS and a log router's configuration in S3.
"""

import json
import pathlib
import re
import resource
import statistics
import subprocess
import xml.etree.ElementTree as ElementTree

import hcl2
import parliament
import pytest
import yaml

from pullprobe_testing import binaries, cli, pace
from pullprobe_testing.accounts import ACCOUNT
from pullprobe_testing.browser import Browser
from pullprobe_testing.plan_oracle import expected
from pullprobe_testing.policies import as_list
from pullprobe_testing.register_model import register_model
from pullprobe_testing.task_definitions import (
    definition,
    definition_on_instances,
    definition_with_ipv6,
)
from pullprobe_testing.templates import lint_errors

SEEDS = 18
MAX_SECONDS = 10
MODEL = pathlib.Path(__file__).parents[2] / "src/plan/task_definition/model.json"
SVG = "{http://www.w3.org/2000/svg}"
MAKERS = (definition, definition_on_instances, definition_with_ipv6)
every_definition = pytest.mark.parametrize(
    "make, seed",
    [(make, seed) for make in MAKERS for seed in range(SEEDS)],
)


def plan(case, *flags):
    """Returns what `plan` prints for a region, a definition and its flags."""
    region, document, more = case
    done = cli.run(
        *("plan", "--task-definition", "-", "--region", region, *more, *flags),
        given=json.dumps(document),
        environment={},
        timeout=pace.limit(MAX_SECONDS),
    )
    assert done.returncode == 0, (document, done.stderr)
    return done.stdout


def needs(case):
    return json.loads(plan(case, "--needs", "--format", "json"))


def allowed(policy):
    """Returns action -> ARNs."""
    found = {}
    for statement in policy["Statement"]:
        for action in as_list(statement["Action"]):
            found.setdefault(action, set()).update(as_list(statement["Resource"]))
    return found


def without_guardduty(hosts):
    return {host for host in hosts if "guardduty" not in host}


@every_definition
def test_every_output_equals_a_second_reading(make, seed):
    case = make(seed)
    region, _, flags = case
    wanted = expected(*case)
    has_guardduty = "guardduty" in flags
    text, required = plan(case, "--only", "contacts"), needs(case)

    found = re.findall(r"^(?!not )[a-z0-9.-]+\s+(\S+):(\d+)\s", text, re.M)
    contacts = {(host, int(port)) for host, port in found}
    own = {host for host in contacts if has_guardduty and host not in wanted.contacts}
    assert contacts - own == wanted.contacts
    assert all(re.match(r"\d+\.dkr\.ecr\.|api\.ecr\.|prod-", host) for host, _ in own)
    assert {one["service"] for one in required["endpoints"]} >= wanted.endpoints
    extra = {one["service"] for one in required["endpoints"]} - wanted.endpoints
    assert all(has_guardduty and re.search(r"\.(ecr\.api|ecr\.dkr|s3)$", name) for name in extra)
    others = {one["host"] for one in required.get("other_hosts", [])}
    assert others >= without_guardduty(wanted.other_hosts)
    assert all(host in text for host in others)
    policy = allowed(required[wanted.role])
    if has_guardduty:
        policy = {
            action: {arn for arn in arns if "guardduty" not in arn}
            for action, arns in policy.items()
        }
        policy = {action: arns for action, arns in policy.items() if arns}
    assert policy == wanted.allowed or (has_guardduty and policy.items() >= wanted.allowed.items())
    assert not {"execution_role_policy", "instance_role_policy"} - {wanted.role} & set(required)
    clients = {rule["group"] for rule in required["security_groups"] if rule["flow"] == "outbound"}
    assert clients == wanted.clients
    if "tasks" in wanted.clients:
        of_instances = [one for one in required["security_groups"] if one["group"] == "instances"]
        used = {host for rule in of_instances for host in rule["used_for"]}
        assert not used & wanted.of_containers, "the instance does not contact them"
    used = {host for rule in required["security_groups"] for host in rule["used_for"]}
    outside = {one["host"] for one in required["beyond"]}
    assert outside <= used, "each host without an endpoint is in a rule"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_rules_have_the_ip_versions_of_the_subnet(seed):
    case = definition_with_ipv6(seed)
    required = needs(case)
    wanted = {"::/0"} if "ipv6" in case[2] else {"0.0.0.0/0", "::/0"}
    any_address = {"0.0.0.0/0", "::/0"}
    groups = {rule["peer"].get("cidr") for rule in required["security_groups"]} & any_address
    if required["beyond"] and any(one["destination"] in any_address for one in required["beyond"]):
        assert groups == wanted
    else:
        assert groups <= wanted
    acls = required["network_acls"]
    ranges = {rule["peer"].get("cidr") for rule in acls} & any_address
    assert groups <= ranges <= wanted, "a network ACL drops what the security group allows"
    for rule in acls:
        answer = dict(rule, answers=True, from_port=1024, to_port=65535)
        answer["flow"] = {"inbound": "outbound", "outbound": "inbound"}[rule["flow"]]
        if not rule["answers"]:
            whole = dict(answer, peer={"cidr": "0.0.0.0/0"})
            assert answer in acls or whole in acls or dict(whole, peer={"cidr": "::/0"}) in acls


@every_definition
def test_the_picture_shows_every_contact_once(make, seed):
    case = make(seed)
    wanted = expected(*case)
    root = ElementTree.fromstring(plan(case, "--format", "svg"))

    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    shown = [text for text in texts if re.fullmatch(r"\S+:\d+", text)]
    # The agent and a log router may contact the same host, each through an interface of its own.
    text = plan(case, "--only", "contacts")
    for host, port in wanted.contacts:
        in_text = len(re.findall(rf"(?m)^(?!not ).*\s{re.escape(host)}:{port}\b", text))
        assert in_text >= 1 and shown.count(f"{host}:{port}") == in_text, host
    for service in wanted.endpoints:
        assert any(text.endswith(f"endpoint {service}") for text in texts), service
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text and len(root.find(f"{SVG}desc").text) > 50


@every_definition
def test_templates_and_policies_are_read_by_other_tools(make, seed):
    case = make(seed)
    region, _, _ = case
    required = needs(case)
    template = plan(case, "--format", "cloudformation")
    assert lint_errors(template, region) == []
    resources = yaml.safe_load(template)["Resources"].values()
    services = {
        one["Properties"]["ServiceName"] for one in resources if one["Type"].endswith("VPCEndpoint")
    }
    assert {name.rpartition(".")[2] for name in map(str, services)} == {
        one["service"].rpartition(".")[2] for one in required["endpoints"]
    }
    module = hcl2.loads(plan(case, "--format", "terraform"))
    assert module["resource"]
    for key in ("execution_role_policy", "instance_role_policy", "task_role_policy"):
        assert problems(required.get(key)) == []
    for statement in required["extra_statements"]:
        assert problems({"Version": "2012-10-17", "Statement": [statement["statement"]]}) == []


def problems(policy):
    """Returns what parliament finds wrong with a policy."""
    if not policy or not policy["Statement"]:
        return []
    # It knows ARNs of the partition `aws` only, and no stand-in for an account or a key.
    text = json.dumps(policy)
    text = re.sub(r"arn:aws[a-z-]*:", "arn:aws:", text).replace(
        ":*:log-group", f":{ACCOUNT}:log-group"
    )
    text = re.sub(r"us-iso-(east|west)-1", "us-east-1", text)
    found = parliament.analyze_policy_string(text).findings
    return [
        (one.issue, one.detail)
        for one in found
        # A condition on an ARN as text is right, and AWS documents the repository as a resource of
        # ecr:BatchImportUpstreamImage.
        if one.issue not in ("RESOURCE_STAR", "MISMATCHED_TYPE_BUT_USABLE")
        and "BatchImportUpstreamImage" not in str(one.detail)
    ]


def test_parliament_finds_errors():
    statement = {"Effect": "Allow", "Action": "ecr:GetAuthorisationToken", "Resource": "*"}
    assert problems({"Version": "2012-10-17", "Statement": [statement]})


def test_the_members_of_a_task_definition_are_those_of_botocore():
    assert json.loads(MODEL.read_text()) == register_model(), (
        "ECS has other members: write the output of"
        " `tests/support/python -m pullprobe_testing.register_model` into the file"
    )


def samples(kind):
    """Returns a value of a type of the model, or None if every value is right."""
    if kind.startswith("["):
        return [samples(kind[1:])]
    if kind.startswith("{"):
        return {"a": samples(kind[1:])}
    if kind in register_model():
        return {}
    return {"integer": 1, "boolean": True, "string": "a", "timestamp": "a"}.get(
        kind, kind.split("|")[0]
    )


# Members whose values have rules of their own, which another test knows.
CHECKED_ELSEWHERE = {"networkMode", "requiresCompatibilities", "repositoryCredentials"}


def test_every_member_is_known_and_a_wrong_type_is_refused_with_its_path():
    """Each scalar member of the request and of a container, with a value of each other type."""
    _, base, _ = definition(0)
    model = register_model()
    places = [
        ("RegisterTaskDefinitionRequest", "", lambda document: document),
        (
            "ContainerDefinition",
            "containerDefinitions[0].",
            lambda document: document["containerDefinitions"][0],
        ),
    ]
    for structure, path, place in places:
        for name, kind in model[structure].items():
            name = name.rstrip("!")
            if name in CHECKED_ELSEWHERE:
                continue
            wrong = 1.5 if kind[0] not in "[{" else 7
            document = json.loads(json.dumps(base))
            place(document)[name] = wrong
            done = cli.run(
                *("plan", "--task-definition", "-", "--region", "eu-west-1"),
                given=json.dumps(document),
                environment={},
            )
            assert done.returncode == 2, (name, done)
            assert re.search(rf"{re.escape(path + name)}\b.*expected", done.stderr), (
                name,
                done.stderr,
            )


def test_a_misspelt_member_of_each_name_is_named():
    _, base, _ = definition(0)
    for name in register_model()["ContainerDefinition"]:
        for misspelt in (name.upper(), name[:-1] + name[-1] * 2):
            if len(name) < 4 or misspelt == name:
                continue
            document = json.loads(json.dumps(base))
            document["containerDefinitions"][0].pop(name, None)
            document["containerDefinitions"][0][misspelt] = "x"
            done = cli.run(
                *("plan", "--task-definition", "-", "--region", "eu-west-1"),
                given=json.dumps(document),
                environment={},
            )
            assert done.returncode == 2, (misspelt, done)
            assert f"did you mean {name}?" in done.stderr, (misspelt, done.stderr)


def large(secrets):
    region, document, flags = definition(0)
    document["executionRoleArn"] = f"arn:aws:iam::{ACCOUNT}:role/exec"
    document["containerDefinitions"][0]["secrets"] = [
        {"name": f"S{n}", "valueFrom": f"/production/payments/service-{n:03}/database-password"}
        for n in range(secrets)
    ]
    return region, document, flags


@pytest.mark.parametrize("secrets", [10, 150, 600])
def test_large_definitions_keep_the_limits_of_aws(secrets):
    case = large(secrets)
    required = needs(case)
    whole = required["execution_role_policy"]
    size = len(json.dumps(whole, separators=(",", ":")))
    managed = required.get("managed_policies", [])
    assert bool(managed) == (size > 10_240)
    union = {}
    for part in managed:
        assert len(json.dumps(part, separators=(",", ":"))) <= 6_144
        assert problems(part) == []
        for action, arns in allowed(part).items():
            union.setdefault(action, set()).update(arns)
    assert not managed or union == allowed(whole)
    notes = " ".join(required["notes"])
    assert ("10240 in a role's inline policies" in notes) == bool(managed)

    template = plan(case, "--format", "cloudformation")
    assert lint_errors(template, case[0]) == []
    kinds = [one["Type"] for one in yaml.safe_load(template)["Resources"].values()]
    assert kinds.count("AWS::IAM::ManagedPolicy") == len(managed)
    assert template.startswith("# This template has") == (
        len(template.split("--s3-bucket BUCKET`.\n")[-1].encode()) > 51_200
    )
    terraform = hcl2.loads(plan(case, "--format", "terraform"))
    blocks = [kind.strip('"') for block in terraform["resource"] for kind in block]
    assert blocks.count("aws_iam_policy") == len(managed)
    assert blocks.count("aws_iam_role_policy_attachment") == len(managed)

    contacts = json.loads(plan(case, "--format", "json"))
    assert contacts["schema"] == "pullprobe/plan/v1"
    read = sum(len(group["names"]) for group in contacts["secrets"])
    assert read == secrets


def test_median_time_and_memory():
    """Of the file that the image holds: a debug build is neither fast nor small."""
    probe = binaries.require_probe()
    seconds, kilobytes = [], []
    for make in (definition, definition_on_instances):
        for seed in range(SEEDS):
            region, document, more = make(seed)
            # `time` starts the program from a small process, whose memory does not count.
            command = ["time", "-f", "%M", probe, "plan", "--task-definition", "-"]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(
                [*map(str, command), "--region", region, *more],
                input=json.dumps(document),
                capture_output=True,
                text=True,
                timeout=pace.limit(MAX_SECONDS),
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert done.returncode == 0, done
            # What other programs take from the processor does not count.
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            seconds.append(spent)
            kilobytes.append(int(done.stderr.split()[-1]))
    assert statistics.median(seconds) < 0.010, seconds
    assert statistics.median(kilobytes) < 20_000, kilobytes


TEXTS_OUTSIDE_THEIR_BOX = """[...document.querySelectorAll('g')].flatMap(group => {
    const box = group.querySelector('rect').getBoundingClientRect();
    return [...group.querySelectorAll('text')].filter(text => {
        const own = text.getBoundingClientRect();
        return own.left < box.left || own.right > box.right + 1 || own.bottom > box.bottom + 1;
    }).map(text => text.textContent);
})"""


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_fits_a_phone_and_a_screen(tmp_path, width, scheme):
    file = tmp_path / "plan.svg"
    file.write_text(plan(definition_on_instances(3), "--format", "svg"))
    with Browser() as page:
        page.open(file, width=width, scheme=scheme)
        assert page.value("document.documentElement.getBoundingClientRect().width") <= width
        assert page.value(TEXTS_OUTSIDE_THEIR_BOX) == []
        smallest = page.value(
            "Math.min(...[...document.querySelectorAll('tspan')]"
            ".map(line => line.getBoundingClientRect().height))"
        )
        assert smallest > 9, "text can be read"
        assert page.errors == [] and len(page.requests) == 1
        page.screenshot(tmp_path / f"plan-{width}-{scheme}.png")
