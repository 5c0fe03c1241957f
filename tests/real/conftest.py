"""One region for all tests. Each test breaks what it needs inside a `with`, which repairs it."""

import os
import re

import pytest

from pullprobe_testing.probe import Probe
from pullprobe_testing.region import open_region


@pytest.fixture(scope="session")
def region():
    if os.geteuid() != 0:
        pytest.exit("network namespaces need root: sudo tests/run real", returncode=1)
    with open_region() as region:
        yield region


@pytest.fixture(scope="session")
def probe(region):
    return Probe(region)


@pytest.fixture
def log_group(region, request):
    """A log group for one test, so that all of its events come from one run."""
    name = "/ecs/" + re.sub(r"[^\w.-]", "-", request.node.name)
    region.client("logs").create_log_group(logGroupName=name)
    return name
