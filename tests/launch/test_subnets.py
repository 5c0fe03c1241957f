"""Four subnets with real packets, one of them broken: `launch` must name the subnet and the cause.

The ECS stand-in starts the static binary inside the subnet's network namespace, which needs root.
A broken subnet is mostly silence to wait for, so launches run at the same time. Each has its own
ECS and its own VPC for the broken subnet; all share three healthy VPCs and the servers of the
region.
"""

import concurrent.futures
import contextlib
import functools
import os
import queue
import signal
import time

import pytest

from pullprobe_testing import launch_account, pace
from pullprobe_testing.accounts import create_network, log_configuration, registry_host
from pullprobe_testing.cli import LaunchCli
from pullprobe_testing.ecs_standin import (
    REGION,
    EcsStandin,
    Instance,
    ProbeInVpc,
    ProbeOnInstance,
)
from pullprobe_testing.instance_metadata import ADDRESS, instance_metadata, serve
from pullprobe_testing.lab import faults
from pullprobe_testing.lab.lab import open_lab
from pullprobe_testing.lab.subnet import DEPENDENCIES, FILE_SYSTEM, endpoints, mixed
from pullprobe_testing.lab.zones import AGENT_ADDRESS, AGENT_HOSTS
from pullprobe_testing.servers import TlsServer
from pullprobe_testing.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
# More at once would make the servers slow, which is a fault as well: a launch computes in four
# probes, in nginx and in the servers of this process.
LAUNCHES_PER_CORE, MOST_LAUNCHES = 3, 6
# A launch that the machine starved is repeated alone if its result is not the expected one.
TRIES = 3
HEALTHY_VPCS = 3
BROKEN = 2  # position of the broken subnet among the four
# Faults of an image, which affect every subnet.
IMAGE_FAULTS = {"hub-repository", "hub-tag", "hub-platform", "hub-misspelt"}


def network_faults():
    """Returns one variant of every network fault: its first path, limits in turn.

    Those that a run meets by chance only are judged in the lab.
    """
    chosen = []
    for fault in faults.NETWORK:
        limit = fault.limits[len(chosen) % len(fault.limits)]
        chosen.append(f"{fault.name}{':' + limit if limit else ''}@{fault.paths[0]}")
    by_chance = {fault.name for fault in faults.faults() if fault.kind}
    return [
        name
        for name in dict.fromkeys(chosen)
        if name.split("@")[0] not in IMAGE_FAULTS and name not in by_chance
    ]


NETWORK = network_faults()
# Faults that keep the report from the log group as well.
NO_LOGS = [
    "nat-deleted@nat",
    "endpoint-missing:logs@endpoint",
    "endpoint-group:logs@endpoint",
    "resolver-silent@endpoint",
    "firewalled-name:logs@endpoint",
    "intercepted:logs@endpoint",
    "identity-policy-missing-action:logs",
]


def requirements(subnet):
    """Returns what this subnet's task needs besides: a second image, whether a file system."""
    return subnet.hub_image, subnet.file_system != ""


class FourSubnets:
    """Four subnets of the lab behind one ECS; one of them is in `vpc`, as `subnet` says."""

    def __init__(self, launches, subnet, vpc):
        lab = launches.lab
        self.standin = EcsStandin(lab.region.moto.peer, {})
        self.operator = LaunchCli(self.standin, REGION, lab.region.operator_keys)
        self.flags = ["--service", launches.services[requirements(subnet)]]
        self.flags += ["--probe-image", launch_account.PROBE_IMAGE]
        if subnet.expect_private:
            self.flags += ["--expect", "private"]
        vpc.apply(subnet)
        healthy = iter(lab.vpcs[:HEALTHY_VPCS])
        for position, name in enumerate(launches.subnets):
            chosen = vpc if position == BROKEN else next(healthy)
            self.standin.behaviours[name] = ProbeInVpc(lab, chosen)

    @property
    def tasks(self):
        return list(self.standin.tasks.values())

    def close(self):
        self.standin.close()
        assert self.standin.schema_violations == []


class Launches:
    """Runs launches as soon as VPCs are free. `of` waits for one."""

    def __init__(self, lab, names):
        self.lab, self.free, self.running = lab, queue.SimpleQueue(), {}
        self.faults = {fault.name: fault for fault in faults.faults()}
        self._deploy(self.faults[name].subnet for name in names)
        # The healthy VPCs have what any task needs, so only the broken subnet is broken.
        healthy = endpoints()
        healthy.internet, healthy.file_system = "nat", "answers"
        healthy.hub_image = faults.HUB_IMAGE
        for vpc in lab.vpcs[:HEALTHY_VPCS]:
            vpc.apply(healthy)
        for vpc in lab.vpcs[HEALTHY_VPCS:]:
            self.free.put(vpc)
        # A server dies with the thread that started it: these threads live as long as the lab.
        most = pace.concurrent(LAUNCHES_PER_CORE, MOST_LAUNCHES)
        self.gate = pace.Gate(most)
        self.threads = concurrent.futures.ThreadPoolExecutor(MOST_LAUNCHES)
        self.repeated = []

    def _deploy(self, subnets):
        """Creates the subnets, and a service for every combination of requirements."""
        region = self.lab.region
        self.subnets, group = create_network(region.client("ec2"), 4)
        self.services = {}
        configuration = {"fileSystemId": FILE_SYSTEM}
        volumes = [{"name": "data", "efsVolumeConfiguration": configuration}]
        for hub_image, file_system in [("", False), *map(requirements, subnets)]:
            key = hub_image, file_system
            if key not in self.services:
                self.services[key] = f"web-{len(self.services)}"
                launch_account.deploy(
                    region.client("ecs"),
                    self.subnets,
                    group,
                    secrets=[f"{region.secret}:password::", region.parameter],
                    service=self.services[key],
                    sidecars=[hub_image] if hub_image else [],
                    volumes=volumes if file_system else [],
                )

    def begin(self, names):
        for name in names:
            self.running[name] = self.threads.submit(self._launch, name)

    def judge(self, name, check):
        """Calls `check` with the fault, the result of its launch, and ECS's tasks."""
        for number in range(TRIES):
            if number:
                launched, tasks, was_starved = self._launch(name, alone=True)
            else:
                launched, tasks, was_starved = self.running[name].result()
            try:
                return check(self.faults[name], launched, tasks)
            except AssertionError:
                if not was_starved or number + 1 == TRIES:
                    raise
                self.repeated.append(name)

    def _launch(self, name, alone=False):
        subnet = self.faults[name].subnet
        with (
            self.gate.enter(alone),
            self.vpc() as vpc,
            contextlib.closing(FourSubnets(self, subnet, vpc)) as four,
        ):
            began = time.monotonic()
            launched = four.operator.launch(*four.flags)
            return launched, four.tasks, pace.starved(began)

    @contextlib.contextmanager
    def vpc(self):
        """Borrows a free VPC."""
        vpc = self.free.get()
        try:
            yield vpc
        finally:
            self.free.put(vpc)


@pytest.fixture(scope="module")
def launches(request):
    with open_lab(HEALTHY_VPCS + MOST_LAUNCHES) as lab:
        launches = Launches(lab, {*NETWORK, *NO_LOGS})
        selected = {
            item.callspec.params["name"]
            for item in request.session.items
            if getattr(item, "callspec", None) and item.module is request.module
        }
        launches.begin(sorted(selected))
        yield launches
        launches.threads.shutdown(cancel_futures=True)
        if launches.repeated:
            print(f"repeated on a busy machine: {', '.join(launches.repeated)}")


def causes(report):
    return [finding["cause"] for finding in report["findings"]]


def confidences(report):
    return {finding["confidence"] for finding in report["findings"]}


def is_witnessed_by_ecs(report):
    """Whether the report was made from what ECS says about the task."""
    return {observation.get("witness") for observation in report["observations"]} == {"ecs"}


def exit_code_of(tasks, subnet):
    [probe] = [task for task in tasks if task.subnet == subnet]
    return probe.exit_code


def test_healthy_subnets_pass_with_the_reports_of_the_log_group(launches):
    with (
        launches.gate.enter(alone=True),
        launches.vpc() as vpc,
        contextlib.closing(FourSubnets(launches, endpoints(), vpc)) as four,
    ):
        launched = four.operator.launch(*four.flags)

    assert launched.exit_code == 0, launched
    assert set(launched.reports) == set(launches.subnets)
    for report in launched.reports.values():
        assert report["verdict"]["status"] == "pass", launched
        assert report["delivery"]["logs"] == "delivered", launched
        assert report["run"]["labels"]["service"] == "web-0"
        observed = {observation["dependency"] for observation in report["observations"]}
        assert observed >= set(DEPENDENCIES)


@pytest.mark.parametrize("name", NETWORK)
def test_broken_subnet_is_named_with_its_cause(launches, name):
    """The report comes from the log group, or from the exit code if no log leaves."""
    subnet = launches.subnets[BROKEN]
    launches.judge(name, functools.partial(assert_broken, launches.subnets, subnet))


def assert_broken(subnets, subnet, fault, launched, tasks):
    broken = launched.reports[subnet]
    verdict = broken["verdict"]

    assert set(fault.causes) & set(causes(broken)), launched
    if is_witnessed_by_ecs(broken):
        assert "certain" not in confidences(broken), launched
    elif not fault.ambiguous:
        assert causes(broken)[0] in fault.causes, launched
    # What packets cannot distinguish from one dead address of three may be a warning, as that is.
    failing = ["warn", "fail"] if fault.ambiguous else ["fail"]
    assert verdict["status"] in (["warn"] if fault.starts else failing), launched
    assert launched.exit_code == verdict["exit_code"] == exit_code_of(tasks, subnet), launched
    for other in set(subnets) - {subnet}:
        assert launched.reports[other]["verdict"]["status"] == "pass", launched
    vantages = {vantage["name"]: vantage for vantage in launched.comparison["vantages"]}
    assert vantages[subnet]["cause"] == causes(broken)[0], launched
    assert vantages[subnet]["status"] == verdict["status"], launched


@pytest.mark.parametrize("name", NO_LOGS)
def test_exit_code_gives_the_cause_if_no_log_leaves_the_subnet(launches, name):
    subnet = launches.subnets[BROKEN]
    launches.judge(name, functools.partial(assert_cause_of_exit_code, subnet))


def assert_cause_of_exit_code(subnet, fault, launched, tasks):
    report = launched.reports[subnet]

    assert set(fault.causes) & set(causes(report)), launched
    assert "certain" not in confidences(report), launched
    assert report["verdict"]["status"] == "fail", launched
    assert report["delivery"]["logs"] == "failed", launched
    exit_code = report["verdict"]["exit_code"]
    assert exit_code == exit_code_of(tasks, subnet) == launched.exit_code, launched
    assert is_witnessed_by_ecs(report)


def test_stopped_probe_delivers_what_it_observed(launches):
    """SIGTERM reaches the probe while it waits for a silent service."""
    subnet = launches.faults["task-group:ecr.api@endpoint"].subnet
    broken = launches.subnets[BROKEN]
    with (
        launches.gate.enter(alone=True),
        launches.vpc() as vpc,
        contextlib.closing(FourSubnets(launches, subnet, vpc)) as four,
    ):
        process = four.operator.start_launch(*four.flags, "--subnets", broken)
        wait_for(lambda: any(task.status == "RUNNING" for task in four.tasks))
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        launched = four.operator.finish(process)
        [probe] = four.tasks

    assert four.standin.running() == [] and launched.seconds < pace.limit(6), launched
    report = launched.reports[broken]
    assert not is_witnessed_by_ecs(report), launched
    assert report["delivery"]["logs"] == "delivered", launched
    assert report["run"]["elapsed_ms"] < pace.limit(3500), launched
    exit_code = report["verdict"]["exit_code"]
    assert exit_code == probe.exit_code == launched.exit_code != 0, launched
    unreached = {
        observation["dependency"]
        for observation in report["observations"]
        if observation["outcome"] == "not-reached"
    }
    assert "ecr.api" in unreached, launched


@contextlib.contextmanager
def instance(launches, subnet, role):
    """Borrows a VPC for a container instance: its metadata, and what its agent calls.

    The role of its instance profile has the rights of the task execution role.
    """
    region = launches.lab.region
    with contextlib.ExitStack() as stack:
        vpc = stack.enter_context(launches.vpc())
        vpc.apply(subnet)
        credentials = region.credentials_document()
        values = instance_metadata(REGION, "10.0.1.0/24", subnet.task, role, credentials)
        vpc.task.ip(f"address replace {ADDRESS}/32 dev lo")
        vpc.internet.ip(f"address replace {AGENT_ADDRESS}/32 dev lo")
        with vpc.task.entered():
            stack.callback(serve(values, (ADDRESS, 80)).close)
        certificate = region.authority.issue("ecs-agent", AGENT_HOSTS)
        server = TlsServer(vpc.directory, "ecs-agent", AGENT_ADDRESS, certificate, "")
        stack.callback(server.stop)
        with vpc.internet.entered():
            server.start().ready()
        yield vpc


def deploy_without_a_role(ecs):
    """Creates a service on EC2 capacity whose task definition names no role."""
    app = {
        "name": "app",
        "image": f"{registry_host(REGION)}/team/app:1.4",
        "memory": 128,
        "logConfiguration": log_configuration(launch_account.LOG_GROUP, REGION),
    }
    ecs.register_task_definition(family="old", networkMode="bridge", containerDefinitions=[app])
    service = {"serviceName": "old", "taskDefinition": "old", "desiredCount": 1}
    ecs.create_service(cluster="prod", launchType="EC2", **service)


def test_instances_pull_by_their_own_interface_and_with_their_own_role(launches):
    closed = mixed()
    closed.endpoint_groups = {"ecr.api"}
    # Healthy; a closed endpoint; no way to what only the agent calls; no instance profile.
    subnets = [(mixed(), "ecs"), (closed, "ecs"), (endpoints(), "ecs"), (mixed(), None)]
    region = launches.lab.region
    deploy_without_a_role(region.client("ecs"))
    with launches.gate.enter(alone=True), contextlib.ExitStack() as stack:
        standin = EcsStandin(region.moto.peer, {})
        stack.callback(standin.close)
        for number, (name, parts) in enumerate(zip(launches.subnets, subnets, strict=True)):
            vpc = stack.enter_context(instance(launches, *parts))
            standin.behaviours[name] = ProbeOnInstance(launches.lab, vpc)
            standin.instances.append(Instance(name, number=number))
        operator = LaunchCli(standin, REGION, region.operator_keys)
        launched = operator.launch("--service", "old", "--probe-image", launch_account.PROBE_IMAGE)
        exit_codes = [exit_code_of(standin.tasks.values(), name) for name in launches.subnets]

    reports = [launched.reports[name] for name in launches.subnets]
    assert exit_codes == [0, 11, 4, 13] and launched.exit_code == 11, launched
    assert {report["vantage"]["carrier"] for report in reports} == {"ec2"}, launched
    healthy, silent, warned, without_profile = reports
    assert healthy["verdict"]["status"] == "pass", launched
    assert healthy["identity"]["source"] == "instance-profile", launched
    agent = [seen for seen in healthy["observations"] if seen["dependency"] == "ecs-agent"]
    assert {seen["host"] for seen in agent if "host" in seen} == set(AGENT_HOSTS), launched
    assert {seen["phase"] for seen in agent} == {"resolve", "connect", "handshake"}, launched
    assert {seen["outcome"] for seen in agent} == {"passed"}, [agent, launched]
    assert causes(silent)[0] == "endpoint-security-group", launched
    assert not is_witnessed_by_ecs(silent), "its log group is reached by another endpoint"
    assert {finding["dependency"] for finding in warned["findings"]} == {"ecs-agent"}, launched
    assert is_witnessed_by_ecs(without_profile), "without credentials no log is written"
    assert causes(without_profile)[0] == "no-credentials", launched
