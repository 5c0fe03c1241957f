"""`pullprobe launch` as an operator runs it, against moto and the ECS stand-in."""

import pytest

from pullprobe_testing import launch_account
from pullprobe_testing.cli import LaunchCli
from pullprobe_testing.ecs_standin import REGION


def pytest_addoption(parser):
    parser.addoption(
        "--every-function-fault",
        action="store_true",
        help="run functions in the subnets of every network fault, not of a few",
    )


@pytest.fixture
def account(moto):
    standin = launch_account.create(moto)
    yield standin
    standin.close()
    assert standin.schema_violations == []


@pytest.fixture
def operator(account):
    return LaunchCli(account, REGION)
