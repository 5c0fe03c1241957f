"""`pullprobe inspect` as an operator runs it, against moto and a stand-in for what it lacks."""

import json

import pytest

from pullprobe_testing import cli
from pullprobe_testing.configuration_standin import ConfigurationStandin
from pullprobe_testing.inspected_vpc import REGION, InspectedVpc


class Operator:
    """Runs `inspect` for the service of the tests' VPC, and the AWS CLI against moto."""

    def __init__(self, moto, standin):
        self.moto, self.standin = moto, standin
        self.environment = cli.operator_environment(standin.url, REGION)

    def run(self, *arguments):
        return cli.run("inspect", *arguments, environment=self.environment)

    def inspect(self, *arguments):
        """Returns the inspection of the service as JSON, and checks that only reads were made."""
        target = ("--cluster", "prod", "--service", "web", "--format", "json")
        result = self.run(*target, *arguments)
        assert result.stdout, result.stderr
        inspection = json.loads(result.stdout)
        assert inspection["verdict"]["exit_code"] == result.returncode
        assert self.standin.changes == []
        return inspection

    def apply(self, commands):
        """Runs the commands of a patch in a shell, with the AWS CLI, against the stand-in."""
        return cli.run_shell("\n".join(["set -e", *commands]), self.standin.url, REGION)


@pytest.fixture
def standin(moto):
    standin = ConfigurationStandin(moto.peer)
    yield standin
    standin.close()


@pytest.fixture
def operator(moto, standin):
    return Operator(moto, standin)


@pytest.fixture
def world(moto, standin):
    """Returns a function that makes the healthy VPC of a way."""

    def make(way="private"):
        vpc = InspectedVpc(moto, way)
        standin.on_route_table = vpc.route_s3
        return vpc

    return make
