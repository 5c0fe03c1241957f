"""Subnets in which nothing can be pulled: `launch` must still name the injected cause, by packets.

The ECS stand-in fails every pull, as it is in a broken subnet, and the stand-in for AWS Lambda runs
the zip's bootstrap inside that subnet. A few faults of each family run always;
`--every-function-fault` runs all network faults of the lab.
"""

import concurrent.futures
import contextlib
import os
import queue
import time

import pytest

from pullprobe_testing import binaries, launch_account, pace
from pullprobe_testing.accounts import EXECUTION_ROLE, create_network
from pullprobe_testing.cli import LaunchCli
from pullprobe_testing.ecs_standin import REGION, EcsStandin, Scripted
from pullprobe_testing.lab import faults
from pullprobe_testing.lab.lab import open_lab
from pullprobe_testing.lab.subnet import FILE_SYSTEM, endpoints
from pullprobe_testing.lambda_standin import ROLE, BootstrapInVpc

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
LAUNCHES = 4  # at the same time, if the machine keeps up
TRIES = 3
# One of each kind: no route, an endpoint, the gateway, filters, the resolver, TLS.
ALWAYS = [
    "nat-deleted@nat",
    "endpoint-missing:logs@endpoint",
    "s3-gateway-missing@endpoint",
    "endpoint-group:logs@endpoint",
    "acl-narrow@nat",
    "resolver-silent@endpoint",
    "intercepted:logs@endpoint",
]
# Of an image or of a registry's limit, and of a clock, which a function has of its own.
OTHER_FAULTS = {
    "hub-repository",
    "hub-tag",
    "hub-platform",
    "hub-misspelt",
    "hub-rate-limited",
    "clock-of-one-service",
}
# Of what the probe's own task does not need: ECS's text is then about something else.
BESIDE = ("hub-", "file-system-")
# What ECS prints, by the dependency that fails: the step, and the URL.
TEXTS = {
    "ecr.api": (
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
        "retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 "
        "time(s): RequestError: send request failed caused by: ",
        'Post "https://api.ecr.us-east-1.amazonaws.com/": ',
    ),
    "ecr.dkr": (
        "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to do "
        "request: ",
        'Head "https://123456789012.dkr.ecr.us-east-1.amazonaws.com/v2/team/app/manifests/1.4": ',
    ),
    "s3": (
        "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: "
        "httpReadSeeker: failed open: failed to do request: ",
        'Get "https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/a": ',
    ),
    "logs": (
        "ResourceInitializationError: failed to validate logger args: create stream has been "
        "retried 1 times: failed to create Cloudwatch log stream: RequestError: send request "
        "failed caused by: ",
        'Post "https://logs.us-east-1.amazonaws.com/": ',
    ),
}
# How it fails, by the family of the cause.
FAILURES = {
    "resolve": "dial tcp: lookup {host} on 10.0.0.2:53: no such host",
    "tls": "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    "network": "dial tcp 10.0.9.11:443: i/o timeout",
}
RESOLVE = ("resolver-", "name-", "private-zone")


def network_faults():
    """Returns every network fault that is there all the time: one variant for each path."""
    by_name = {fault.name: fault for fault in faults.faults()}
    names = []
    for fault in faults.NETWORK:
        for number, path in enumerate(fault.paths):
            limit = fault.limits[(len(names) + number) % len(fault.limits)]
            names.append(f"{fault.name}{':' + limit if limit else ''}@{path}")
    return [
        name
        for name in dict.fromkeys(names)
        if name in by_name
        and not by_name[name].kind
        and name.split("@")[0].split(":")[0] not in OTHER_FAULTS
    ]


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-function-fault")
        metafunc.parametrize("name", network_faults() if every else ALWAYS)


def reason_of(fault):
    cause = fault.causes[0]
    family = "resolve" if cause.startswith(RESOLVE) else "tls" if "tls" in cause else "network"
    limit = fault.name.split("@")[0].partition(":")[2]
    dependency = "s3" if cause == "s3-gateway-missing" else limit or "ecr.api"
    step, url = TEXTS.get(dependency, TEXTS["ecr.api"])
    return step + url + FAILURES[family].format(host=url.split("/")[2])


class BrokenSubnets:
    """Launches into one broken subnet each, in free VPCs."""

    def __init__(self, lab):
        self.lab, self.free = lab, queue.SimpleQueue()
        for vpc in lab.vpcs:
            self.free.put(vpc)
        self.faults = {fault.name: fault for fault in faults.faults()}
        self.threads = concurrent.futures.ThreadPoolExecutor(LAUNCHES)
        self.gate = pace.Gate(pace.concurrent(2, LAUNCHES))
        self.running = {}
        region = lab.region
        [self.subnet], self.group = create_network(region.client("ec2"), 1)
        self.services = {}

    def service_of(self, subnet):
        """Returns the service with what this subnet's task needs."""
        key = subnet.hub_image, subnet.file_system != ""
        if key not in self.services:
            region = self.lab.region
            volume = {"name": "data", "efsVolumeConfiguration": {"fileSystemId": FILE_SYSTEM}}
            self.services[key] = f"function-{len(self.services)}"
            launch_account.deploy(
                region.client("ecs"),
                [self.subnet],
                self.group,
                secrets=[f"{region.secret}:password::", region.parameter],
                service=self.services[key],
                sidecars=[key[0]] if key[0] else [],
                volumes=[volume] if key[1] else [],
            )
        return self.services[key]

    def begin(self, name):
        self.running[name] = self.threads.submit(self.launch, name)

    def launch(self, name, alone=False):
        fault = self.faults[name]
        with self.gate.enter(alone), contextlib.ExitStack() as stack:
            vpc = self.free.get()
            stack.callback(self.free.put, vpc)
            vpc.apply(fault.subnet)
            standin = EcsStandin(self.lab.region.moto.peer, {})
            stack.callback(standin.close)
            standin.behaviours[self.subnet] = Scripted(exit_code=None, reason=reason_of(fault))
            standin.functions.behaviours[self.subnet] = BootstrapInVpc(self.lab, vpc)
            operator = LaunchCli(standin, REGION, self.lab.region.operator_keys)
            arguments = ["--service", self.service_of(fault.subnet)]
            arguments += ["--probe-image", launch_account.PROBE_IMAGE]
            arguments += ["--agent", f"linux/amd64={binaries.require_probe()}"]
            arguments += ["--lambda-role", ROLE]
            if fault.subnet.expect_private:
                arguments += ["--expect", "private"]
            began = time.monotonic()
            launched = operator.launch(*arguments)
            assert standin.schema_violations == standin.functions.schema_violations == []
            assert standin.functions.functions == {}, "it deletes what it made"
            return launched, pace.starved(began)


@pytest.fixture(scope="module")
def subnets(request):
    with open_lab(LAUNCHES) as lab:
        broken = BrokenSubnets(lab)
        names = {
            item.callspec.params["name"]
            for item in request.session.items
            if getattr(item, "callspec", None)
            and item.module is request.module
            and "name" in item.callspec.params
        }
        for fault in sorted(names):
            broken.service_of(broken.faults[fault].subnet)
        for fault in sorted(names):
            broken.begin(fault)
        yield broken
        broken.threads.shutdown(cancel_futures=True)


def causes(report):
    return [finding["cause"] for finding in report["findings"]]


def test_cause_is_named_where_nothing_can_be_pulled(subnets, name):
    for number in range(TRIES):
        if number:
            launched, starved = subnets.launch(name, alone=True)
        else:
            launched, starved = subnets.running[name].result()
        try:
            is_first = assert_named(subnets, subnets.faults[name], launched)
        except AssertionError:
            if not starved or number + 1 == TRIES:
                raise
            continue
        # Which ports the kernel picks behind a NAT gateway is a matter of luck, and a narrow ACL
        # drops some of them: the order of two possible causes may differ from run to run.
        if is_first:
            return
    assert is_first, launched


def assert_named(subnets, fault, launched):
    """Checks a launch, and returns whether the fault comes first where it has to."""
    report = launched.reports[subnets.subnet]
    assert report["vantage"]["carrier"] == "lambda", launched
    witnesses = {seen.get("witness") for seen in report["observations"]}
    assert witnesses == {None, "ecs"}, launched
    assert set(fault.causes) & set(causes(report)), launched
    for finding in report["findings"]:
        known = finding["cause"] in {*fault.causes, *fault.also}
        assert known or finding["confidence"] != "certain", launched
    assert not set(fault.causes) & {ruled["cause"] for ruled in report["ruled_out"]}, launched
    by_packets = {seen["id"] for seen in report["observations"] if not seen.get("witness")}
    injected = [finding for finding in report["findings"] if finding["cause"] in fault.causes]
    assert any(set(finding["because"]) & by_packets for finding in injected), launched
    # ECS could not start the task, whatever the function met.
    assert report["verdict"]["status"] == "fail", launched
    limit = fault.name.split("@")[0].partition(":")[2]
    is_beside = fault.name.startswith(BESIDE) or (limit and limit not in TEXTS)
    may_follow = bool(fault.ambiguous or fault.starts or is_beside)
    return may_follow or causes(report)[0] in fault.causes


def test_healthy_subnet_says_what_a_function_cannot_show(subnets):
    with contextlib.ExitStack() as stack:
        vpc = subnets.free.get()
        stack.callback(subnets.free.put, vpc)
        vpc.apply(endpoints())
        standin = EcsStandin(subnets.lab.region.moto.peer, {})
        stack.callback(standin.close)
        standin.functions.behaviours[subnets.subnet] = BootstrapInVpc(subnets.lab, vpc)
        operator = LaunchCli(standin, REGION, subnets.lab.region.operator_keys)
        common = ["--service", subnets.service_of(endpoints()), "--carrier", "lambda"]
        common += ["--agent", f"linux/amd64={binaries.require_probe()}"]
        other = operator.launch(*common, "--lambda-role", ROLE)
        same = operator.launch(*common, "--lambda-role", EXECUTION_ROLE)
    report = other.reports[subnets.subnet]
    assert report["verdict"]["status"] == "inconclusive" and report["findings"] == [], other
    assert EXECUTION_ROLE in report["verdict"]["summary"], other
    report = same.reports[subnets.subnet]
    assert report["verdict"]["status"] == "pass", same
    assert report["vantage"]["carrier"] == "lambda" and same.exit_code == 0
