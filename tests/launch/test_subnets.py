"""Four subnets with real packets, one of them broken: `launch` has to name the subnet and the cause.

The probe is the static binary, started by the ECS stand-in inside the subnet's network namespace. Needs root.
A broken subnet is mostly silence to wait for, so launches run side by side: each has an ECS of its own, a world of its
own for the broken subnet, and the three healthy worlds are everybody's, as are the servers behind them.
"""
import concurrent.futures
import os
import queue
import signal
import time

import pytest

from conftest import Operator, PROBE_IMAGE, deploy, network, wait_for
from ecs_standin import EcsStandin, InWorld

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='network namespaces need root')
AT_A_TIME = 11  # launches; with more, two processors make the servers slow enough to be a fault themselves


def faults():
    import faults
    return faults


def each_network_fault():
    """Every network fault of the lab, on the first path that it can act on; one of those that can be limited to one service is."""
    chosen = []
    for name, _, paths, services, *_ in faults().NETWORK:
        service = services[len(chosen) % len(services)]
        chosen.append(f'{name}{":" + service if service else ""}@{paths[0]}')
    # An image that is not there is not there for any subnet.
    of_the_image = {'hub-repository', 'hub-tag', 'hub-platform', 'hub-misspelt'}
    return [name for name in dict.fromkeys(chosen) if name.split('@')[0] not in of_the_image]


DARK = ['nat-deleted@nat', 'endpoint-missing:logs@endpoint', 'endpoint-group:logs@endpoint', 'resolver-silent@endpoint', 'firewalled-name:logs@endpoint',
        'intercepted:logs@endpoint', 'identity-policy-missing-action:logs']
NETWORK = each_network_fault()


class Vpc:
    """Four subnets of the lab behind one ECS; one of them is in the world that is given."""

    def __init__(self, lab, subnet, world, place=2):
        self.lab, self.place = lab, place
        self.standin = EcsStandin(lab.region.moto.peer, {})
        self.operator = Operator(self.standin, lab.region._operator)
        world.apply(subnet)
        worlds = [world if n == place else lab.worlds[n % 3] for n in range(4)]
        self.standin.behaviours = {name: InWorld(lab, world) for name, world in zip(lab.subnets, worlds)}

    def arguments(self, subnet):
        """The service whose tasks need what this subnet's task asks for."""
        return ['--service', self.lab.service(subnet), '--probe-image', PROBE_IMAGE, *(['--expect', 'private'] if subnet.expect_private else [])]

    def close(self):
        self.standin.close()
        assert self.standin.departures == []


class Launches:
    """Launches that were asked for run as soon as a world is free; whoever needs one waits for it."""

    def __init__(self, lab):
        self.lab, self.free, self.running = lab, queue.SimpleQueue(), {}
        for world in lab.worlds[3:]:
            self.free.put(world)
        # A server dies with the thread that started it: these live as long as the lab.
        self.threads = concurrent.futures.ThreadPoolExecutor(AT_A_TIME)

    def begin(self, names):
        for name in names:
            self.running[name] = self.threads.submit(self.launch, name)

    def launch(self, name):
        fault = self.lab.faults[name]
        world = self.free.get()
        try:
            vpc = Vpc(self.lab, fault.subnet, world)
            try:
                return vpc.operator.launch(*vpc.arguments(fault.subnet)), list(vpc.standin.tasks.values())
            finally:
                vpc.close()
        finally:
            self.free.put(world)

    def of(self, name):
        return self.running[name].result()


@pytest.fixture(scope='module')
def lab(request):
    from lab import open_lab
    from subnet import FILE_SYSTEM, endpoints
    with open_lab(3 + AT_A_TIME) as lab:
        region = lab.region
        lab.subnets, group = network(region.client('ec2'))
        ecs, secrets = region.client('ecs'), [f'{region.secret}:password::', region.parameter]
        lab.faults = {fault.name: fault for fault in faults().faults()}
        services = {}

        def service(subnet):
            return services.get((subnet.hub_image, subnet.file_system != ''), 'web')
        lab.service = service
        deploy(ecs, lab.subnets, group, secrets=secrets)
        for fault in (lab.faults[name] for name in {*NETWORK, *DARK}):
            needs = fault.subnet.hub_image, fault.subnet.file_system != ''
            if any(needs) and needs not in services:
                services[needs] = f'web-{len(services)}'
                deploy(ecs, lab.subnets, group, secrets=secrets, service=services[needs], sidecars=[needs[0]] if needs[0] else [],
                       volumes=[{'name': 'data', 'efsVolumeConfiguration': {'fileSystemId': FILE_SYSTEM}}] if needs[1] else [])
        for world in lab.worlds[:3]:
            # Whatever some task needs besides, it reaches from here: only the broken subnet is broken.
            healthy = endpoints()
            healthy.internet, healthy.hub_image, healthy.file_system = 'nat', faults().HUB_IMAGE, 'answers'
            world.apply(healthy)
        lab.launches = Launches(lab)
        chosen = {item.callspec.params['name'] for item in request.session.items
                  if getattr(item, 'callspec', None) and item.module is request.module}
        lab.launches.begin(sorted(chosen))
        yield lab
        lab.launches.threads.shutdown(cancel_futures=True)


@pytest.fixture
def world(lab):
    world = lab.launches.free.get()
    yield world
    lab.launches.free.put(world)


def causes(report):
    return [finding['cause'] for finding in report['findings']]


def is_told_by_ecs(report):
    return {seen.get('witness') for seen in report['observations']} == {'ecs'}


def test_healthy_subnets_pass_and_their_reports_are_those_of_the_log_group(lab, world):
    from subnet import endpoints
    vpc = Vpc(lab, endpoints(), world)
    launched = vpc.operator.launch(*vpc.arguments(endpoints()))
    vpc.close()
    assert launched.exit_code == 0, launched
    assert set(launched.reports) == set(lab.subnets)
    for report in launched.reports.values():
        assert report['verdict']['status'] == 'pass' and report['delivery']['logs'] == 'delivered', launched
        assert report['run']['labels']['service'] == 'web'
        assert {seen['role'] for seen in report['observations']} >= {'ecr.api', 'ecr.dkr', 's3', 'logs', 'secretsmanager', 'ssm'}


@pytest.mark.parametrize('name', NETWORK)
def test_one_broken_subnet_of_four_is_named_with_its_cause(lab, name):
    """From the log group; through the exit code where the fault is in the way of the report as well."""
    fault, (launched, tasks) = lab.faults[name], lab.launches.of(name)
    broken = launched.reports[lab.subnets[2]]
    assert set(fault.causes) & set(causes(broken)), launched
    if is_told_by_ecs(broken):
        assert all(finding['confidence'] != 'certain' for finding in broken['findings']), launched
    elif not fault.last:
        assert causes(broken)[0] in fault.causes, launched
    # What packets cannot tell from an address that is dead, of three, may warn as that does.
    assert broken['verdict']['status'] in (['warn'] if fault.starts else ['warn', 'fail'] if fault.last else ['fail']), launched
    probe = next(task for task in tasks if task.subnet == lab.subnets[2])
    assert launched.exit_code == broken['verdict']['exit_code'] == probe.exit_code, launched
    for n in (0, 1, 3):
        assert launched.reports[lab.subnets[n]]['verdict']['status'] == 'pass', launched
    vantage = next(vantage for vantage in launched.comparison['vantages'] if vantage['name'] == lab.subnets[2])
    assert vantage['cause'] == causes(broken)[0] and vantage['status'] == broken['verdict']['status'], launched


@pytest.mark.parametrize('name', DARK)
def test_where_no_log_can_leave_the_cause_comes_through_the_exit_code(lab, name):
    fault, (launched, tasks) = lab.faults[name], lab.launches.of(name)
    dark = launched.reports[lab.subnets[2]]
    assert set(fault.causes) & set(causes(dark)), launched
    assert all(finding['confidence'] != 'certain' for finding in dark['findings']), launched
    assert dark['verdict']['status'] == 'fail' and dark['delivery']['logs'] == 'failed', launched
    probe = next(task for task in tasks if task.subnet == lab.subnets[2])
    assert dark['verdict']['exit_code'] == probe.exit_code == launched.exit_code, launched
    assert is_told_by_ecs(dark)


def test_a_probe_that_is_stopped_says_what_it_saw_and_that_is_read(lab, world):
    """SIGTERM reaches the probe in the middle of a silence; its report is in the log group and read from there."""
    subnet = lab.faults['task-group:ecr.api@endpoint'].subnet
    vpc = Vpc(lab, subnet, world)
    process = vpc.operator.start('launch', '--cluster', 'prod', '--format', 'json', *vpc.arguments(subnet), '--subnets', lab.subnets[2])
    wait_for(lambda: any(task.status == 'RUNNING' for task in vpc.standin.tasks.values()))
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    launched = vpc.operator.finish(process)
    [probe] = vpc.standin.tasks.values()
    vpc.close()
    assert vpc.standin.running() == [] and launched.seconds < 6, launched
    report = launched.reports[lab.subnets[2]]
    assert not is_told_by_ecs(report) and report['delivery']['logs'] == 'delivered', launched
    assert report['run']['elapsed_ms'] < 3500 and report['verdict']['exit_code'] == probe.exit_code == launched.exit_code != 0, launched
    unreached = {seen['role'] for seen in report['observations'] if seen['outcome'] == 'not-reached'}
    assert 'ecr.api' in unreached, launched
