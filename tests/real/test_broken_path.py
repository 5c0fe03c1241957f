"""Names that do not resolve, packets that vanish, ports that nobody listens on: the network between the subnet and AWS."""

import pytest

from pullprobe_testing import namespace
from pullprobe_testing.region import ADDRESS, HOST, IMAGE, LOG_GROUP, SECOND_DKR_ADDRESS

ROLES_OF_A_PULL = ["ecr.api", "ecr.dkr", "s3", "logs"]


@pytest.mark.parametrize("role", ROLES_OF_A_PULL)
def test_a_service_that_drops_packets_is_a_network_failure_of_that_service(region, probe, role):
    with region.silent(role):
        run = probe("--image", IMAGE, "--log-group", LOG_GROUP)

    assert (run.exit_code, run.status) == (11, "fail"), run
    assert set(run.failures(dependency, "connect")) == {"timed-out"}, run
    assert {finding["dependency"] for finding in run.report["findings"]} == {role}, run
    for other in ROLES_OF_A_PULL:
        if other != role:
            assert run.outcomes(other)["handshake"] == {"passed"}, run


def test_a_silent_layer_bucket_beside_private_endpoints_is_a_missing_gateway(region, probe):
    with region.silent("s3"):
        run = probe("--image", IMAGE)

    assert run.causes[0] == "s3-gateway-missing", run
    assert "resolver-unreachable" in [excluded["cause"] for excluded in run.report["ruled_out"]], (
        run
    )


@pytest.mark.parametrize("role", ROLES_OF_A_PULL)
def test_a_port_that_nobody_listens_on_is_refused(region, probe, role):
    with region.servers[role].stopped():
        run = probe("--image", IMAGE, "--log-group", LOG_GROUP)

    assert (run.exit_code, run.causes[0]) == (11, "connection-refused"), run
    # Packets cannot tell a closed port from an address that was never the service's.
    assert set(run.causes) <= {"connection-refused", "name-points-elsewhere"}, run
    assert set(run.failures(dependency, "connect")) == {"refused"}, run
    assert run.finding("connection-refused")["dependency"] == role


@pytest.mark.parametrize("role", ["ecr.api", "logs"])
def test_a_name_that_does_not_exist_is_a_failure_to_resolve(region, probe, role):
    with region.unknown_name(role):
        run = probe("--image", IMAGE, "--log-group", LOG_GROUP)

    assert run.exit_code == 10, run
    assert "no-such-name" in run.failures(dependency, "resolve"), run
    assert {"name-not-found", "private-zone-shadows-name"} & set(run.causes), run


def test_a_private_zone_without_the_record_is_told_from_a_name_that_nobody_has(region, probe):
    """Somebody made the zone for the registry by hand and left out the wildcard: what the public DNS says is hidden."""
    with region.dns.with_zones({HOST["ecr.dkr"]: []}):
        run = probe("--image", IMAGE, "--log-group", LOG_GROUP)

    assert (run.exit_code, run.causes) == (10, ["private-zone-shadows-name"]), run
    assert run.finding("private-zone-shadows-name")["dependency"] == "ecr.dkr", run


def test_all_names_gone_is_one_finding(region, probe):
    with region.dns.with_zones(dict.fromkeys(HOST.values())):
        run = probe("--image", IMAGE, "--log-group", LOG_GROUP)

    assert (run.exit_code, run.causes[0]) == (10, "name-not-found"), run


def test_a_resolver_that_is_not_there_is_one_finding(region, probe):
    with region.dns.stopped():
        run = probe("--image", IMAGE, "--log-group", LOG_GROUP)

    assert (run.exit_code, run.causes) == (10, ["resolver-unreachable"]), run


def test_one_dead_address_of_two_is_a_warning(region, probe):
    both = [ADDRESS["ecr.dkr"], SECOND_DKR_ADDRESS]
    with region.dns.with_zones({HOST["ecr.dkr"]: both}), namespace.silent(SECOND_DKR_ADDRESS):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.status, run.causes[0]) == (
        4,
        "warn",
        "endpoint-address-unreachable",
    ), run
    assert {observation["peer"] for observation in run.observations("ecr.dkr", "connect")} == {
        f"{address}:443" for address in both
    }


def test_two_independent_faults_are_both_reported(region, probe):
    with region.silent("s3"), region.servers["logs"].stopped():
        run = probe("--image", IMAGE, "--log-group", LOG_GROUP)

    assert {finding["dependency"] for finding in run.report["findings"]} == {"s3", "logs"}, run


def test_a_silent_log_service_leaves_the_report_on_stdout(region, probe, log_group):
    with region.silent("logs"):
        run = probe("--image", IMAGE, "--log-group", log_group)

    assert run.report["delivery"]["logs"] == "failed", run
    assert region.log_messages(log_group) == {}
