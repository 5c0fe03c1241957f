"""`pullprobe install` as an operator runs it, against moto, docker-registry and what ECR adds."""

import pytest

from pullprobe_testing import binaries
from pullprobe_testing.cli import operator_environment, run
from pullprobe_testing.ecr_standin import REGION, running

EM_AARCH64 = 183  # ELF's number of the machine, at offset 18


class InstallCli:
    """The operator's command line in front of an EcrStandin."""

    def __init__(self, ecr, files):
        self.ecr, self.files = ecr, files

    @property
    def environment(self):
        return operator_environment(self.ecr.url, REGION)

    def __call__(self, *arguments):
        return run(*arguments, environment=self.environment)

    def install(self, *arguments, platforms=("linux/amd64", "linux/arm64")):
        agents = [f"--agent={platform}={self.files[platform]}" for platform in platforms]
        return self("install", *agents, *arguments)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """The static file for each platform. That for ARM64 says so and cannot run."""
    amd64 = binaries.require_probe()
    content = bytearray(amd64.read_bytes())
    content[18:20] = EM_AARCH64.to_bytes(2, "little")
    arm64 = tmp_path_factory.mktemp("agents") / "pullprobe-arm64"
    arm64.write_bytes(content)
    return {"linux/amd64": amd64, "linux/arm64": arm64}


@pytest.fixture
def ecr(moto, tmp_path):
    with running(moto, tmp_path) as standin:
        yield standin


@pytest.fixture
def operator(ecr, files):
    return InstallCli(ecr, files)
