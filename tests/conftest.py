"""Fixtures of every suite."""

import pytest

from pullprobe_testing.servers import Moto


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    """A moto server on a free port. A test that needs an empty account calls `reset`."""
    with Moto.running(tmp_path_factory.mktemp("moto")) as server:
        yield server
