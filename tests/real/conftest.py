"""The region is started once for all stories; each story breaks what it needs broken inside a `with` and leaves it whole."""
import os
import re

import pytest

from probe import Probe
from region import open_region


def pytest_configure():
    if os.geteuid() != 0:
        pytest.exit('these tests own a network namespace and need root: sudo tests/run real', returncode=1)


@pytest.fixture(scope='session')
def region():
    with open_region() as region:
        yield region


@pytest.fixture(scope='session')
def probe(region):
    return Probe(region)


@pytest.fixture
def log_group(region, request):
    """A log group of the story's own, so that what is in it comes from one run."""
    name = '/ecs/' + re.sub(r'[^\w.-]', '-', request.node.name)
    region.client('logs').create_log_group(logGroupName=name)
    return name
