"""The actions that `plan` prints for the execution role: with them the probe passes, without any of them it does not.

moto verifies actions. It does not know these services' resources, so each statement is for all of them here.
"""

import contextlib
import json
import subprocess

import pytest

from pullprobe_testing.region import EXECUTION_POLICY, IMAGE, LOG_GROUP, ROLE

PERMISSION = 14


@pytest.fixture
def wants(region):
    return [
        "--image",
        IMAGE,
        "--log-group",
        LOG_GROUP,
        "--secret",
        f"{region.secret}:password::",
        "--secret",
        region.parameter,
    ]


@pytest.fixture
def actions(probe, wants):
    done = subprocess.run(
        [
            probe.binary,
            "plan",
            *wants,
            "--region",
            "us-east-1",
            "--only",
            "policy",
            "--format",
            "json",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    said = [statement["Action"] for statement in json.loads(done.stdout)["Statement"]]
    return [action for one in said for action in (one if isinstance(one, list) else [one])]


@contextlib.contextmanager
def only_allowed(region, actions):
    iam = region.client("iam")
    iam.put_role_policy(
        RoleName=ROLE,
        PolicyName="execution",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
            }
        ),
    )
    try:
        yield
    finally:
        iam.put_role_policy(
            RoleName=ROLE, PolicyName="execution", PolicyDocument=json.dumps(EXECUTION_POLICY)
        )


def test_what_plan_prints_is_enough(region, probe, wants, actions):
    with only_allowed(region, actions):
        run = probe(*wants)

    assert run.exit_code == 0, run


def test_what_plan_prints_is_the_least(region, probe, wants, actions):
    # The registry's own permissions go with its token, which docker-registry does not look into.
    asked = [
        action
        for action in actions
        if action not in ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    ]
    assert len(asked) == 5
    for left_out in asked:
        with only_allowed(region, [action for action in actions if action != left_out]):
            run = probe(*wants)

        assert run.exit_code == PERMISSION, (left_out, run)
