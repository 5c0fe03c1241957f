"""task-definition.json: ECS accepts it, and nothing in it ends the probe before it can report."""

import json
import re
import subprocess

import boto3
import pytest
from moto import mock_aws

from pullprobe_testing.binaries import PROBE, ROOT

PLACEHOLDERS = {
    "ACCOUNT": "123456789012",
    "REGION": "us-east-1",
    "EXECUTION_ROLE": "ecsTaskExecutionRole",
    "CPU_ARCHITECTURE": "ARM64",
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
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    with mock_aws():
        ecs = boto3.client("ecs", region_name="us-east-1", **keys)
        registered = ecs.register_task_definition(**definition)["taskDefinition"]

    assert (registered["family"], registered["status"]) == ("pullprobe", "ACTIVE")
    assert (registered["cpu"], registered["memory"]) == ("256", "512")
    assert registered["networkMode"] == "awsvpc"


def test_task_role_is_the_execution_role(definition):
    """A container gets its task role's credentials only, and the probe needs the other's."""
    assert definition["taskRoleArn"] == definition["executionRoleArn"]


def test_container_has_no_log_driver(definition):
    """With awslogs an unreachable logs endpoint would keep the probe from starting."""
    (container,) = definition["containerDefinitions"]

    assert "logConfiguration" not in container
    assert container["essential"] and container["readonlyRootFilesystem"]


def test_binary_reads_every_environment_variable(definition):
    done = subprocess.run([PROBE, "probe", "--help"], capture_output=True, text=True, check=True)
    known = set(re.findall(r"\[env: (\w+)", done.stdout))

    names = {entry["name"] for entry in definition["containerDefinitions"][0]["environment"]}

    assert names and names <= known
    flags = set(re.findall(r"^\s+(?:-\w, )?--([a-z-]+)", done.stdout, re.M)) - {"help", "version"}
    variables = {f"PULLPROBE_{flag.upper().replace('-', '_')}" for flag in flags}
    assert variables <= known, "every flag can come from the environment"
