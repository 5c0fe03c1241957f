"""task-definition.json: what ECS takes, and nothing that would kill the probe before it can report."""

import json
import os
import pathlib
import re
import subprocess

import boto3
import pytest
from moto import mock_aws

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(
    os.environ.get("PULLPROBE_BINARY", ROOT / "target/x86_64-unknown-linux-gnu/release/pullprobe")
)
PLACEHOLDERS = {
    "ACCOUNT": "123456789012",
    "REGION": "us-east-1",
    "EXECUTION_ROLE": "ecsTaskExecutionRole",
    "REPOSITORY": "team/app",
    "TAG": "1.4",
    "LOG_GROUP": "/ecs/app",
}


@pytest.fixture
def definition():
    text = (ROOT / "task-definition.json").read_text()
    assert set(re.findall(r"<(\w+)>", text)) == set(PLACEHOLDERS)
    return json.loads(re.sub(r"<(\w+)>", lambda match: PLACEHOLDERS[match[1]], text))


def test_ecs_registers_it_once_the_placeholders_are_replaced(definition):
    with mock_aws():
        ecs = boto3.client(
            "ecs", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        registered = ecs.register_task_definition(**definition)["taskDefinition"]

    assert (registered["family"], registered["status"]) == ("pullprobe", "ACTIVE")
    assert (registered["cpu"], registered["memory"], registered["networkMode"]) == (
        "256",
        "512",
        "awsvpc",
    )


def test_the_execution_role_is_the_task_role_too(definition):
    """A container never sees the execution role's credentials, and that role is the one whose pull is rehearsed."""
    assert definition["taskRoleArn"] == definition["executionRoleArn"]


def test_it_has_no_log_driver(definition):
    """With awslogs a dead logs endpoint would kill the probe before it starts; it writes its events itself."""
    (container,) = definition["containerDefinitions"]

    assert "logConfiguration" not in container
    assert container["essential"] and container["readonlyRootFilesystem"]


def test_every_environment_name_is_one_that_the_binary_reads(definition):
    done = subprocess.run([BINARY, "probe", "--help"], capture_output=True, text=True, check=True)
    known = set(re.findall(r"\[env: (\w+)", done.stdout))

    names = {entry["name"] for entry in definition["containerDefinitions"][0]["environment"]}

    assert names and names <= known
    flags = set(re.findall(r"^\s+(?:-\w, )?--([a-z-]+)", done.stdout, re.M)) - {"help", "version"}
    assert {f"PULLPROBE_{flag.upper().replace('-', '_')}" for flag in flags} <= known, (
        "every flag can come from the environment"
    )
