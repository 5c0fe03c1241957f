"""Faults of the network between the subnet and AWS: names, lost packets, closed ports."""

import pytest

from pullprobe_testing import namespace
from pullprobe_testing.region import ADDRESS, HOST, IMAGE, LOG_GROUP, SECOND_DKR_ADDRESS

PULL = ["ecr.api", "ecr.dkr", "s3", "logs"]  # dependencies of a pull
FLAGS = "--image", IMAGE, "--log-group", LOG_GROUP


def affected(run):
    """Returns the dependencies that have a finding."""
    return {finding["dependency"] for finding in run.report["findings"]}


@pytest.mark.parametrize("dependency", PULL)
def test_silent_dependency_is_a_network_failure(region, probe, dependency):
    with region.silent(dependency):
        run = probe(*FLAGS)

    assert (run.exit_code, run.status) == (11, "fail"), run
    assert set(run.failures(dependency, "connect")) == {"timed-out"}, run
    assert affected(run) == {dependency}, run
    for other in set(PULL) - {dependency}:
        assert run.outcomes(other)["handshake"] == {"passed"}, run


def test_silent_layer_bucket_with_private_endpoints_is_a_missing_gateway(region, probe):
    with region.silent("s3"):
        run = probe("--image", IMAGE)

    assert run.causes[0] == "s3-gateway-missing", run
    ruled_out = [excluded["cause"] for excluded in run.report["ruled_out"]]
    assert "resolver-unreachable" in ruled_out, run


@pytest.mark.parametrize("dependency", PULL)
def test_closed_port_refuses_connections(region, probe, dependency):
    with region.servers[dependency].stopped():
        run = probe(*FLAGS)

    assert (run.exit_code, run.causes[0]) == (11, "connection-refused"), run
    # Packets cannot distinguish a closed port from an address that is not the service's.
    assert set(run.causes) <= {"connection-refused", "name-points-elsewhere"}, run
    assert set(run.failures(dependency, "connect")) == {"refused"}, run
    assert run.finding("connection-refused")["dependency"] == dependency


@pytest.mark.parametrize("dependency", ["ecr.api", "logs"])
def test_missing_name_is_a_resolve_failure(region, probe, dependency):
    with region.unknown_name(dependency):
        run = probe(*FLAGS)

    assert run.exit_code == 10, run
    assert "no-such-name" in run.failures(dependency, "resolve"), run
    assert {"name-not-found", "private-zone-shadows-name"} & set(run.causes), run


def test_private_zone_without_the_record_is_told_from_a_missing_name(region, probe):
    """The zone for the registry was created by hand, without the wildcard record."""
    with region.dns.with_zones({HOST["ecr.dkr"]: []}):
        run = probe(*FLAGS)

    assert (run.exit_code, run.causes) == (10, ["private-zone-shadows-name"]), run
    assert run.finding("private-zone-shadows-name")["dependency"] == "ecr.dkr", run


def test_all_missing_names_are_one_finding(region, probe):
    with region.dns.with_zones(dict.fromkeys(HOST.values())):
        run = probe(*FLAGS)

    assert (run.exit_code, run.causes[0]) == (10, "name-not-found"), run


def test_missing_resolver_is_one_finding(region, probe):
    with region.dns.stopped():
        run = probe(*FLAGS)

    assert (run.exit_code, run.causes) == (10, ["resolver-unreachable"]), run


def test_one_dead_address_of_two_is_a_warning(region, probe):
    both = [ADDRESS["ecr.dkr"], SECOND_DKR_ADDRESS]
    with (
        region.dns.with_zones({HOST["ecr.dkr"]: both}),
        namespace.silent(SECOND_DKR_ADDRESS),
    ):
        run = probe("--image", IMAGE)

    cause = "endpoint-address-unreachable"
    assert (run.exit_code, run.status, run.causes[0]) == (4, "warn", cause), run
    peers = {observation["peer"] for observation in run.observations("ecr.dkr", "connect")}
    assert peers == {f"{address}:443" for address in both}


def test_two_independent_faults_are_both_reported(region, probe):
    with region.silent("s3"), region.servers["logs"].stopped():
        run = probe(*FLAGS)

    assert affected(run) == {"s3", "logs"}, run


def test_report_is_on_stdout_if_the_log_service_is_silent(region, probe, log_group):
    with region.silent("logs"):
        run = probe("--image", IMAGE, "--log-group", log_group)

    assert run.report["delivery"]["logs"] == "failed", run
    assert region.log_messages(log_group) == {}
