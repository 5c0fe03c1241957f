"""What a pipeline gets from `launch`: files, exit code, a step of GitHub Actions, permissions."""

import json
import os
import re
import subprocess
import xml.etree.ElementTree

import yaml

from pullprobe_testing import binaries
from pullprobe_testing.accounts import EXECUTION_ROLE
from pullprobe_testing.ecs_standin import ACCOUNT, REGION, Instance, Scripted
from pullprobe_testing.launch_account import (
    PROBE_IMAGE,
    client,
    deploy_on_instances,
    record_revision,
)
from pullprobe_testing.policies import actions_of, documented_policy

IMAGE = "--probe-image", PROBE_IMAGE
SERVICE = "--service", "web", *IMAGE
NO_ROUTE_TO_ECR = Scripted(
    exit_code=None,
    reason="ResourceInitializationError: unable to pull secrets or registry auth: execution "
    "resource retrieval failed: unable to retrieve ecr registry auth: service call has been "
    "retried 3 time(s): RequestError: send request failed caused by: "
    'Post "https://api.ecr.us-east-1.amazonaws.com/": dial tcp 52.94.184.143:443: i/o timeout',
)


def test_files_name_the_broken_subnet(operator, account, tmp_path):
    broken = account.subnets[1]
    account.behaviours[broken] = NO_ROUTE_TO_ECR
    summary = tmp_path / "summary.md"
    summary.write_text("summary of an earlier step\n")
    files = {
        "html": tmp_path / "a.html",
        "json": tmp_path / "a.json",
        "junit": tmp_path / "a.xml",
        "markdown": summary,
    }
    flags = [part for name, file in files.items() for part in (f"--{name}", file)]

    launched = operator.launch(*SERVICE, *flags)

    assert launched.exit_code == 11, launched
    comparison = json.loads(files["json"].read_text())
    assert comparison == launched.comparison
    assert comparison["schema"] == "pullprobe/comparison/v1"
    statuses = {vantage["name"]: vantage["status"] for vantage in comparison["vantages"]}
    assert statuses == {**dict.fromkeys(account.subnets, "pass"), broken: "fail"}
    assert summary.read_text().startswith("summary of an earlier step\n")
    assert broken in summary.read_text()
    assert broken in files["html"].read_text() and "<html" in files["html"].read_text()
    elements = xml.etree.ElementTree.parse(files["junit"]).iter()
    assert any(element.tag == "failure" for element in elements)


def test_unwritable_file_is_refused_before_anything_runs(operator, account):
    launched = operator.launch(*SERVICE, "--html", "/nonexistent/a.html")

    assert launched.exit_code == 2 and "--html /nonexistent/a.html" in launched.stderr, launched
    assert not account.requests


def test_text_has_reports_as_tasks_end_and_the_comparison_last(operator, account):
    account.behaviours[account.subnets[0]] = Scripted(running=3, exit_code=0)

    launched = operator.finish(operator.start_launch(*SERVICE, output="text"))

    positions = [launched.stdout.index(f"✓ {subnet}") for subnet in account.subnets]
    assert positions[0] == max(positions), launched
    assert launched.stdout.splitlines()[-1].startswith("✓ PASS The task would start"), launched
    assert launched.exit_code == 0 and all(subnet in launched.stderr for subnet in account.subnets)


def test_github_action_runs_the_binary_with_existing_flags(operator, account, tmp_path):
    action = yaml.safe_load((binaries.ROOT / "action.yml").read_text())
    [step] = [step for step in action["runs"]["steps"] if step.get("id") == "launch"]
    help_text = operator("launch", "--help").stdout
    for flag in re.findall(r"--[a-z-]+", step["run"].replace("mkdir -p", "")):
        assert flag in help_text, flag
    assert set(re.findall(r"inputs\.([a-z-]+)", json.dumps(action))) == set(action["inputs"])

    account.behaviours[account.subnets[2]] = NO_ROUTE_TO_ECR
    inputs = {name: about.get("default", "") for name, about in action["inputs"].items()}
    inputs |= {
        "cluster": "prod",
        "service": "web",
        "probe-image": PROBE_IMAGE,
        "directory": str(tmp_path / "reports"),
    }
    variables = {
        name: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda match: inputs[match[1]], value)
        for name, value in step["env"].items()
    }
    environment = {
        **operator.environment(),
        **variables,
        "PATH": os.environ["PATH"],
        "BINARY": str(binaries.OPERATOR),
        "GITHUB_ACTION_PATH": str(binaries.ROOT),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    command = ["bash", "-e", "-c", step["run"]]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 11, done
    [annotation] = re.findall("^::error title=(.*?)::(.*)$", done.stdout, re.MULTILINE)
    assert annotation[0] == f"{account.subnets[2]}%3A no-egress-route", annotation
    assert "did not start" in annotation[1] and "i/o timeout" in annotation[1], annotation
    assert (tmp_path / "output").read_text() == "exit-code=11\n"
    assert account.subnets[2] in (tmp_path / "summary.md").read_text()
    written = sorted(file.name for file in (tmp_path / "reports").iterdir())
    assert written == ["comparison.html", "comparison.json", "junit.xml"]


def test_documented_policy_grants_exactly_what_launch_calls(operator, account):
    account.behaviours[account.subnets[0]] = Scripted(pending=60)
    logged = "--service", "logged"
    operator.launch(*logged)  # looks for an image
    account.lists_revisions = False
    record_revision(account, f"sha256:{'a' * 64}", "logged")
    operator.launch(*logged, *IMAGE, "--timeout", "1s")  # registers, runs, reads, stops
    strategy = [{"capacityProvider": "own", "weight": 1}]
    deploy_on_instances(account, strategy)
    operator.launch("--service", "old", *IMAGE)  # finds no instance
    account.instances = [Instance(account.subnets[1], "own")]
    operator.launch("--service", "old", *IMAGE, "--timeout", "1s")
    # `gc` keeps the task definitions of schedules, so it reads schedules.
    arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
    definition = f"{arn}:task-definition/pullprobe-0000000000000000:1"
    scheduler = client("scheduler", account.moto.url)
    scheduler.create_schedule_group(Name="pullprobe-prod.web")
    scheduler.create_schedule(
        GroupName="pullprobe-prod.web",
        Name=account.subnets[0],
        ScheduleExpression="rate(15 minutes)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": f"{arn}:cluster/prod",
            "RoleArn": EXECUTION_ROLE,
            "EcsParameters": {"TaskDefinitionArn": definition},
        },
    )
    operator("gc", "--cluster", "prod", "--task-definitions")

    granted = actions_of(documented_policy("LaunchTheProbe")["Statement"])
    # RunTask with tags and with a role needs two permissions that have no operation.
    assert granted - {"ecs:TagResource", "iam:PassRole"} == account.called_actions()
