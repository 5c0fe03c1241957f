"""A fleet over real packets: three accounts, two Regions, four subnets each, five faults.

The ECS stand-in starts the static binary inside the lab's network namespaces, which needs root. The
accounts have ECS, EC2 and roles in a moto of their own; images, secrets and logs are those of the
lab's Region, also for the services of the second Region. This module comes last, because the lab
moves the process into another network.
"""

import contextlib
import json
import os
import time

import pytest

from pullprobe_testing import cli, pace
from pullprobe_testing.accounts import log_configuration
from pullprobe_testing.ecs_standin import REGION, ProbeInVpc, Scripted
from pullprobe_testing.fleet_account import (
    BUCKET,
    DENIED,
    MEMBER,
    OWN,
    SLOW,
    THROTTLED,
    FleetFront,
)
from pullprobe_testing.lab import faults
from pullprobe_testing.lab.lab import open_lab
from pullprobe_testing.lab.subnet import endpoints
from pullprobe_testing.region import IMAGE, LOG_GROUP
from pullprobe_testing.servers import Moto

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
ACCOUNTS = (OWN, MEMBER, "555566667777")
REGIONS = (REGION, "eu-west-1")
SUBNETS = 4  # of each service
HEALTHY_VPCS = 2
# (account, Region, position of the subnet) of each fault.
BROKEN = {
    "endpoint-group:ecr.dkr@endpoint": (ACCOUNTS[0], REGIONS[0], 1),
    "s3-gateway-missing@endpoint": (ACCOUNTS[0], REGIONS[1], 3),
    "endpoint-missing:secretsmanager@endpoint": (ACCOUNTS[1], REGIONS[0], 0),
    "intercepted:ecr.dkr@endpoint": (ACCOUNTS[2], REGIONS[1], 2),
    "identity-policy-missing-action:manifest": (ACCOUNTS[2], REGIONS[1], 0),
}
CONCURRENCY = 3  # launches; each has four probes
MAX_LAUNCH = 60  # seconds, on a busy machine
TRIES = 2  # of a run that the machine starved


class LabFleet:
    """The accounts, each service's subnets, and the faults by subnet."""

    def __init__(self, lab, front):
        self.front, self.faults, self.targets = front, {}, []
        region = lab.region
        front.client("s3").create_bucket(Bucket=BUCKET)
        front.logs = region.client("logs")
        front.read_configuration()
        secret = {"name": "PASSWORD", "valueFrom": f"{region.secret}:password::"}
        container = {
            "image": IMAGE,
            "secrets": [secret],
            "logConfiguration": log_configuration(LOG_GROUP, REGION),
        }
        known = {fault.name: fault for fault in faults.faults()}
        places = {place: known[name] for name, place in BROKEN.items()}
        for vpc in lab.vpcs[:HEALTHY_VPCS]:
            vpc.apply(endpoints())
        free = iter(lab.vpcs[HEALTHY_VPCS:])
        # First, because it takes all the time that a target has.
        self.waiting = front.deploy(SLOW, behaviour=Scripted(pending=600))
        for account in (SLOW, DENIED, THROTTLED):
            self.add(account, REGION)
        for account in ACCOUNTS:
            for name in REGIONS:
                subnets = front.deploy(account, count=SUBNETS, region=name, container=container)
                self.add(account, name)
                for position, subnet in enumerate(subnets):
                    vpc = lab.vpcs[len(front.standin.behaviours) % HEALTHY_VPCS]
                    fault = places.get((account, name, position))
                    if fault:
                        vpc = next(free)
                        vpc.apply(fault.subnet)
                        self.faults[subnet] = fault
                    front.standin.behaviours[subnet] = ProbeInVpc(lab, vpc)

    def add(self, account, region):
        names = {"account": account, "region": region, "cluster": "prod", "service": "web"}
        self.targets.append(json.dumps(names))

    def run(self, directory):
        """Returns the exit code and the comparison, and what became of each target."""
        directory.mkdir()
        file = directory / "targets.jsonl"
        file.write_text("\n".join(self.targets))
        output = directory / "out"
        # A launch is stopped 75 s before the end of its target, so that it has 30 s or more.
        flags = ["--external-id", "external-1", "--carrier", "fargate", "--format", "json"]
        flags += ["--target-timeout", f"{75 + round(min(pace.limit(30), MAX_LAUNCH))}s"]
        flags += ["--concurrency", CONCURRENCY, "--targets", file, "--output", output]
        environment = cli.operator_environment(self.front.url, REGION)
        done = cli.run("fleet", "run", *flags, environment=environment, timeout=240)
        assert done.stdout, done.stderr
        results = [json.loads(file.read_text()) for file in output.glob("results/**/*.json")]
        return done, json.loads(done.stdout), results


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with (
        open_lab(HEALTHY_VPCS + len(BROKEN)) as lab,
        Moto.running(tmp_path_factory.mktemp("accounts")) as moto,
        contextlib.closing(FleetFront(moto)) as front,
    ):
        yield LabFleet(lab, front)


def test_reduced_comparison_names_every_fault(fleet, tmp_path):
    for number in range(TRIES):
        began = time.monotonic()
        ran = fleet.run(tmp_path / str(number))
        try:
            return assert_all_named(fleet, *ran)
        except AssertionError:
            if not pace.starved(began) or number + 1 == TRIES:
                raise
    raise AssertionError


def assert_all_named(fleet, done, comparison, results):
    vantages = comparison["vantages"]
    by_subnet = {vantage["name"].split(",")[0]: vantage for vantage in vantages}
    waiting = {by_subnet.pop(subnet)["status"] for subnet in fleet.waiting}
    assert waiting == {"inconclusive"} and len(vantages) == len(by_subnet) + len(fleet.waiting)
    assert len(by_subnet) == len(ACCOUNTS) * len(REGIONS) * SUBNETS, done.stderr
    for subnet, fault in fleet.faults.items():
        assert by_subnet[subnet]["status"] == "fail", (fault.name, by_subnet[subnet])
        assert by_subnet[subnet]["cause"] in fault.causes, (fault.name, by_subnet[subnet])
    others = {name: at for name, at in by_subnet.items() if name not in fleet.faults}
    assert {at["status"] for at in others.values()} == {"pass"}, others

    # What cannot be probed is a result of its account, and the others are complete.
    outcomes = {}
    for result in results:
        outcomes.setdefault(result["target"]["account"], set()).add(result["outcome"])
    assert outcomes == {
        **{account: {"probed"} for account in ACCOUNTS},
        DENIED: {"role-not-assumed"},
        THROTTLED: {"throttled"},
        SLOW: {"timed-out"},
    }, done.stderr
    assert done.returncode == comparison["exit_code"] != 0
    assert fleet.front.standin.running() == []
