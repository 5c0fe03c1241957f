"""The probe needs exactly the actions that `plan` prints for the execution role.

moto checks actions. It does not know the resources of these services, so each statement allows all.
"""

import json
import subprocess

import pytest

from pullprobe_testing.policies import actions_of
from pullprobe_testing.region import IMAGE, LOG_GROUP

PERMISSION = 14  # exit code
# docker-registry checks its token, not the permissions of the registry.
OF_THE_REGISTRY = {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}


@pytest.fixture
def flags(region):
    secrets = ["--secret", f"{region.secret}:password::", "--secret", region.parameter]
    return ["--image", IMAGE, "--log-group", LOG_GROUP, *secrets]


@pytest.fixture
def actions(probe, flags):
    command = [probe.binary, "plan", *flags, "--region", "us-east-1"]
    command += ["--only", "policy", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    return sorted(actions_of(json.loads(done.stdout)["Statement"]))


def test_printed_policy_is_enough(region, probe, flags, actions):
    with region.role_limited_to(actions):
        run = probe(*flags)

    assert run.exit_code == 0, run


def test_every_printed_action_is_needed(region, probe, flags, actions):
    needed = [action for action in actions if action not in OF_THE_REGISTRY]
    assert len(needed) == 5
    for removed in needed:
        with region.role_limited_to([action for action in actions if action != removed]):
            run = probe(*flags)

        assert run.exit_code == PERMISSION, (removed, run)
