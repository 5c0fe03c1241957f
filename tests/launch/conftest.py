"""`pullprobe launch` as an operator runs it, against moto and the ECS stand-in."""

import pytest

from pullprobe_testing import launch_account
from pullprobe_testing.cli import LaunchCli
from pullprobe_testing.ecs_standin import REGION


@pytest.fixture
def account(moto):
    standin = launch_account.create(moto)
    yield standin
    standin.close()
    assert standin.schema_violations == []


@pytest.fixture
def operator(account):
    return LaunchCli(account, REGION)
