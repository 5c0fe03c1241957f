"""One cloud that plants text for all tests, in a network of its own."""

import os

import pytest

from pullprobe_testing import namespace
from pullprobe_testing.planting_cloud import Cloud

SLOTS = 12


@pytest.fixture(scope="session")
def cloud(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.exit("network namespaces need root: sudo tests/run canary", returncode=1)
    directory = tmp_path_factory.mktemp("cloud")
    resolv_conf = directory / "resolv.conf"
    resolv_conf.write_text("nameserver 10.9.1.2\n")
    namespace.enter([], resolv_conf)
    namespace.run("ip", "address", "add", "10.9.0.0/16", "dev", "lo")
    return Cloud(directory, SLOTS)
