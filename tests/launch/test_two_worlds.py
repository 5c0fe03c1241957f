"""One model, two worlds: each subnet of the lab with real packets, and as objects of moto.

`inspect --report` joins the probe's report with the configuration: it must name the injected object
and its rule first, and be certain. What no configuration shows must have no object. Needs root.
"""

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable

import pytest

from pullprobe_testing import cli, launch_account
from pullprobe_testing.accounts import EXECUTION_ROLE
from pullprobe_testing.cli import LaunchCli
from pullprobe_testing.configuration_standin import ConfigurationStandin
from pullprobe_testing.ecs_standin import REGION, EcsStandin, ProbeInVpc
from pullprobe_testing.lab import faults
from pullprobe_testing.lab.configuration import (
    ConfiguredVpc,
    create_images,
    own_bucket_only,
    without_manifests,
)
from pullprobe_testing.lab.faults import Fault
from pullprobe_testing.lab.lab import open_lab
from pullprobe_testing.lab.subnet import endpoints
from pullprobe_testing.region import EXECUTION_POLICY, IMAGE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
VPCS = 6
[STATEMENT] = EXECUTION_POLICY["Statement"]


@dataclasses.dataclass
class Case:
    """A fault of the lab.

    cause     code of the first finding; none where no configuration shows the fault
    object    ConfiguredVpc -> the id that must be named
    rule      text that the rule must contain
    configure ConfiguredVpc -> context in which the configuration has the fault, if the model
              lacks it
    patch     whether the printed commands are run: `inspect` must say open then, and a probe pass
    """

    fault: str
    cause: str = ""
    object: Callable = lambda vpc: None
    rule: str = ""
    configure: Callable = lambda vpc: contextlib.nullcontext()
    patch: bool = False
    lacks_route: bool = False
    variant: str = ""

    @property
    def name(self):
        return self.fault + self.variant

    @property
    def path(self):
        _, _, path = self.name.partition("@")
        return path.split(" ")[0] or "endpoint"


def limit(endpoint, make):
    def configure(vpc):
        vpc.limit_endpoint(endpoint, make())
        return contextlib.nullcontext()

    return configure


def without(action):
    kept = [one for one in STATEMENT["Action"] if one != action]
    return lambda vpc: vpc.region.role_limited_to(kept)


CASES = [
    Case(
        "endpoint-missing:logs@endpoint",
        "interface-endpoint-missing",
        lambda vpc: vpc.vpc,
        f"com.amazonaws.{REGION}.logs",
    ),
    Case(
        "private-dns-off:ecr.api@endpoint",
        "private-dns-disabled",
        lambda vpc: vpc.endpoints["ecr.api"],
        "private DNS is disabled",
        patch=True,
    ),
    Case(
        "endpoint-group:ecr.dkr@endpoint",
        "endpoint-security-group",
        lambda vpc: vpc.groups["ecr.dkr"],
        "TCP 443 from sg-",
        patch=True,
    ),
    Case(
        "task-group@endpoint",
        "task-security-group-egress",
        lambda vpc: vpc.task_group,
        "no outbound rule allows TCP 443",
    ),
    Case(
        "task-group:logs@endpoint",
        "task-security-group-egress",
        lambda vpc: vpc.task_group,
        "TCP 443 to sg-",
    ),
    Case(
        "group-without-s3:s3@endpoint",
        "task-security-group-egress",
        lambda vpc: vpc.task_group,
        "TCP 443 to pl-",
    ),
    Case("acl-outbound@nat", "network-acl", lambda vpc: vpc.acl, "outbound rule *", patch=True),
    Case("acl-return@endpoint", "network-acl", lambda vpc: vpc.acl, "inbound rule *"),
    Case("acl-narrow@nat", "network-acl", lambda vpc: vpc.acl, "inbound rule *"),
    Case("nat-subnet-acl-out@nat", "network-acl", lambda vpc: vpc.public_acl, "outbound rule *"),
    Case(
        "s3-gateway-missing@endpoint",
        "s3-gateway-missing",
        lambda vpc: vpc.route_table,
        "no route to pl-",
    ),
    Case("nat-deleted@nat", "nat-gateway-unhealthy", lambda vpc: vpc.nat, "0.0.0.0/0 to nat-"),
    Case(
        "nat-deleted@nat",
        "no-egress-route",
        lambda vpc: vpc.route_table,
        "no route to 0.0.0.0/0",
        lacks_route=True,
        variant=" (no route)",
    ),
    Case(
        "no-public-address@nat",
        "public-ip-missing",
        lambda vpc: vpc.route_table,
        "0.0.0.0/0 to igw-",
        patch=True,
    ),
    Case(
        "s3-endpoint-policy",
        "s3-endpoint-policy-denies",
        lambda vpc: vpc.endpoints["s3"],
        "s3:GetObject",
        limit("s3", own_bucket_only),
        patch=True,
    ),
    Case(
        "endpoint-policy-denies:manifest",
        "endpoint-policy-denies",
        lambda vpc: vpc.endpoints["ecr.dkr"],
        "ecr:BatchGetImage",
        limit("ecr.dkr", without_manifests),
    ),
    Case(
        "identity-policy-missing-action:logs",
        "identity-policy-missing-action",
        lambda vpc: EXECUTION_ROLE,
        "logs:CreateLogStream",
        without("logs:CreateLogStream"),
    ),
    Case("log-group", "log-group-missing", lambda vpc: "/ecs/absent", "does not exist"),
    Case("tag", "image-not-found", lambda vpc: IMAGE.replace("1.4", "1.5"), "does not exist"),
    # No configuration shows these.
    Case("dead-server"),
    Case("refused:logs@endpoint"),
    Case("reset:ecr.dkr@endpoint"),
    Case("healthy/endpoints"),
    Case("healthy/nat", variant="@nat"),
    Case("healthy/public-address", variant="@nat"),
]


def dead_server():
    """Returns a subnet in which an endpoint has died, with all that leads to it."""
    subnet = endpoints()
    subnet.dead.update(subnet.endpoint("logs"))
    return subnet


class Worlds:
    """Both worlds of every case: the report of a probe, and a VPC in moto."""

    def __init__(self, lab):
        self.lab = lab
        known = {fault.name: fault for fault in faults.faults()}
        known["dead-server"] = Fault("dead-server", (), dead_server())
        self.subnets = {case.fault: known[case.fault].subnet for case in CASES}
        self.reports, self.errors = {}, {}
        names = dict.fromkeys(case.fault for case in CASES)
        lab.run_all([known[name] for name in names], self.done)
        create_images(lab.region)
        self.standin = ConfigurationStandin(lab.region.moto.peer)
        self.standin.has_zones = False
        keys = lab.region.operator_keys
        self.environment = cli.operator_environment(self.standin.url, REGION, keys)

    def done(self, fault, run):
        self.reports[fault.name], self.errors[fault.name] = run.stdout, run.stderr

    def configured(self, case):
        service = f"web-{CASES.index(case)}"
        vpc = ConfiguredVpc(
            self.lab.region, service, self.subnets[case.fault], case.path, case.lacks_route
        )
        self.standin.on_route_table = vpc.route_s3
        vpc.private_dns = self.standin.private_dns
        return vpc

    def inspect(self, vpc, *arguments, given=None):
        target = "inspect", "--cluster", "prod", "--service", vpc.name, "--format", "json"
        result = cli.run(*target, *arguments, given=given, environment=self.environment)
        assert result.stdout, result.stderr
        inspection = json.loads(result.stdout)
        assert inspection["verdict"]["exit_code"] == result.returncode
        return inspection

    def joined(self, case, vpc):
        report = self.reports[case.fault]
        assert report, self.errors[case.fault]
        return self.inspect(vpc, "--report", "-", given=report)

    def apply(self, commands):
        script = "\n".join(["set -e", *commands])
        keys = self.lab.region.operator_keys
        return cli.run_shell(script, self.standin.url, REGION, keys)


@pytest.fixture(scope="module")
def worlds():
    with open_lab(VPCS) as lab:
        worlds = Worlds(lab)
        try:
            yield worlds
        finally:
            worlds.standin.close()


def brief(findings):
    members = "cause", "confidence", "basis", "object", "rule"
    return [[finding[name] for name in members] for finding in findings]


def unknown_hops(inspection):
    hops = [hop for contact in inspection["contacts"] for hop in contact["hops"]]
    return sorted({hop["why"] for hop in hops if hop["verdict"] == "unknown"})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_injected_object_is_named_first_and_nothing_else_is_certain(case, worlds):
    vpc = worlds.configured(case)
    with case.configure(vpc):
        joined = worlds.joined(case, vpc)
        shown = brief(joined["findings"]), joined["unread"], unknown_hops(joined)
        if not case.cause:
            assert [finding for finding in joined["findings"] if finding["object"]] == [], shown
            report = json.loads(worlds.reports[case.fault])
            assert joined["verdict"]["status"] == report["verdict"]["status"], shown
            assert not [one for one in joined["findings"] if one["basis"] == "both"], shown
            if case.fault.startswith("healthy"):
                assert {hop["verdict"] for c in joined["contacts"] for hop in c["hops"]} == {"open"}
            return
        first = joined["findings"][0]
        expected = case.object(vpc)
        assert (first["cause"], first["confidence"]) == (case.cause, "certain"), shown
        assert expected in first["object"] and case.rule in first["rule"], shown
        others = joined["findings"][1:]
        sure = [one for one in others if one["confidence"] == "certain"]
        assert {one["object"] for one in sure} <= {first["object"]}, shown
        excluded = {one["cause"] for one in joined["packets"][0]["ruled_out"]}
        assert case.cause not in excluded, shown
        alone = worlds.inspect(vpc)
        assert (alone["findings"][0]["cause"], alone["findings"][0]["object"]) == (
            first["cause"],
            first["object"],
        )
    if case.patch:
        for finding in alone["findings"]:
            applied = worlds.apply(finding["patch"]["cli"])
            assert applied.returncode == 0, (finding["patch"]["cli"], applied.stderr)
        repaired = worlds.inspect(vpc)
        assert repaired["verdict"]["status"] == "pass", brief(repaired["findings"])
        # The lab becomes what moto is now.
        worlds.lab.run_all([Fault("repaired", (), vpc.read_back())], worlds.done)
        report = json.loads(worlds.reports["repaired"])
        assert report["verdict"]["status"] == "pass", report["verdict"]
        # The packets of before contradict it now, so that nothing is certain.
        stale = worlds.joined(case, vpc)
        assert not [one for one in stale["findings"] if one["basis"] == "both"]


@contextlib.contextmanager
def launched_in(worlds, configuration):
    """Yields a command line, a VPC in moto whose first subnet is in the lab, and flags for it."""
    case = next(case for case in CASES if case.fault == "endpoint-group:ecr.dkr@endpoint")
    vpc = worlds.configured(case)
    lab_vpc = worlds.lab.vpcs[0]
    lab_vpc.apply(worlds.subnets[case.fault])
    standin = EcsStandin(worlds.lab.region.moto.peer, {})
    standin.configuration = configuration
    standin.behaviours[vpc.subnets[0]] = ProbeInVpc(worlds.lab, lab_vpc)
    operator = LaunchCli(standin, REGION, worlds.lab.region.operator_keys)
    operator.inspects = "auto"
    flags = "--service", vpc.name, "--subnets", vpc.subnets[0]
    try:
        yield operator, vpc, [*flags, "--probe-image", launch_account.PROBE_IMAGE]
    finally:
        standin.close()


def test_launch_names_the_object_where_the_operator_may_read_it(worlds):
    with launched_in(worlds, worlds.standin) as (operator, vpc, flags):
        launched = operator.launch(*flags)
        first = launched.inspection["findings"][0]
        assert (first["cause"], first["confidence"], first["object"]) == (
            "endpoint-security-group",
            "certain",
            vpc.groups["ecr.dkr"],
        ), launched
        assert launched.exit_code == launched.comparison["exit_code"] == 11
        text = operator.finish(operator.start_launch(*flags, output="text")).stdout
        assert "What the configuration says" in text and vpc.groups["ecr.dkr"] in text
        operator.inspects = "only"
        only = operator.launch(*flags)
        assert only.inspection["findings"][0]["object"] == vpc.groups["ecr.dkr"]
        assert only.exit_code == 11


def test_launch_says_which_rights_are_missing_and_loses_no_finding(worlds):
    with launched_in(worlds, None) as (operator, vpc, flags):
        began = time.monotonic()
        launched = operator.launch(*flags)
        report, inspection = launched.reports[vpc.subnets[0]], launched.inspection
        assert launched.exit_code == report["verdict"]["exit_code"] == 11, launched
        causes = [finding["cause"] for finding in report["findings"]]
        assert [finding["cause"] for finding in inspection["findings"]] == causes
        assert not [finding for finding in inspection["findings"] if finding["object"]]
        missing = {unread["action"] for unread in inspection["unread"]}
        assert {"ec2:DescribeRouteTables", "ec2:DescribeNetworkAcls"} <= missing
        assert all(unread["adds"] for unread in inspection["unread"])
        assert time.monotonic() - began < 60
