"""Four subnets with real packets, one of them broken: `launch` has to name the subnet and the cause.

The probe is the static binary, started by the ECS stand-in inside the subnet's network namespace. Needs root.
"""
import os

import pytest

from conftest import Operator, PROBE_IMAGE, deploy, network
from ecs_standin import EcsStandin, InWorld, Scripted

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='network namespaces need root')


@pytest.fixture(scope='module')
def lab():
    from lab import open_lab
    with open_lab(4) as lab:
        region = lab.region
        lab.subnets, group = network(region.client('ec2'))
        deploy(region.client('ecs'), lab.subnets, group, secrets=[f'{region.secret}:password::', region.parameter])
        yield lab


class Vpc:
    """Four subnets of the lab behind one ECS."""

    def __init__(self, lab):
        from subnet import endpoints
        self.lab = lab
        self.standin = EcsStandin(lab.region.moto.peer, {})
        self.operator = Operator(self.standin, lab.region._operator)
        for n in range(4):
            self.put(n, endpoints())

    def put(self, n, subnet):
        self.standin.behaviours[self.lab.subnets[n]] = InWorld(self.lab, self.lab.worlds[n], subnet)

    def launch(self, *arguments):
        return self.operator.launch('--service', 'web', '--probe-image', PROBE_IMAGE, *arguments)


@pytest.fixture
def vpc(lab):
    vpc = Vpc(lab)
    yield vpc
    vpc.standin.close()
    assert vpc.standin.departures == []


def faults():
    from faults import faults
    return {fault.name: fault for fault in faults()}


def causes(report):
    return [finding['cause'] for finding in report['findings']]


def test_healthy_subnets_pass_and_their_reports_are_those_of_the_log_group(vpc, lab):
    launched = vpc.launch()
    assert launched.exit_code == 0, launched
    assert set(launched.reports) == set(lab.subnets)
    for report in launched.reports.values():
        assert report['verdict']['status'] == 'pass' and report['delivery']['logs'] == 'delivered', launched
        assert report['run']['labels']['service'] == 'web'
        assert {seen['role'] for seen in report['observations']} >= {'ecr.api', 'ecr.dkr', 's3', 'logs', 'secretsmanager', 'ssm'}


NETWORK = ['endpoint-missing:ecr.api@endpoint', 'endpoint-missing:secretsmanager@endpoint', 's3-gateway-missing@endpoint',
           'endpoint-group:ecr.dkr@endpoint', 'task-group:ecr.api@endpoint', 'acl-outbound:s3@endpoint', 'acl-return:ecr.dkr@endpoint',
           'firewalled-name:ecr.api@endpoint', 'empty-zone:ecr.dkr@endpoint', 'intercepted:ecr.api@endpoint', 'reset:ecr.dkr@endpoint']


@pytest.mark.parametrize('name', NETWORK)
def test_one_broken_subnet_of_four_is_named_with_its_cause(vpc, lab, name):
    fault = faults()[name]
    vpc.put(2, fault.subnet)
    launched = vpc.launch()
    broken = launched.reports[lab.subnets[2]]
    assert set(fault.causes) & set(causes(broken)), launched
    if not fault.last:
        assert causes(broken)[0] in fault.causes, launched
    assert broken['verdict']['status'] == 'fail' and launched.exit_code == broken['verdict']['exit_code'], launched
    assert all('witness' not in seen for seen in broken['observations']), 'this report came from the log group'
    for n in (0, 1, 3):
        assert launched.reports[lab.subnets[n]]['verdict']['status'] == 'pass', launched


DARK = ['nat-deleted@nat', 'endpoint-missing:logs@endpoint', 'endpoint-group:logs@endpoint', 'resolver-silent@endpoint', 'firewalled-name:logs@endpoint',
        'intercepted:logs@endpoint', 'identity-policy-missing-action:logs']


@pytest.mark.parametrize('name', DARK)
def test_where_no_log_can_leave_the_cause_comes_through_the_exit_code(vpc, lab, name):
    fault = faults()[name]
    vpc.put(1, fault.subnet)
    launched = vpc.launch()
    dark = launched.reports[lab.subnets[1]]
    assert set(fault.causes) & set(causes(dark)), launched
    assert all(finding['confidence'] != 'certain' for finding in dark['findings']), launched
    assert dark['verdict']['status'] == 'fail' and dark['delivery']['logs'] == 'failed', launched
    probe = next(task for task in vpc.standin.tasks.values() if task.subnet == lab.subnets[1])
    assert dark['verdict']['exit_code'] == probe.exit_code == launched.exit_code, launched
    assert {seen.get('witness') for seen in dark['observations']} == {'ecs'}


def test_a_launch_that_ends_early_lets_the_probes_report(vpc, lab):
    """A subnet that hangs while the launch is interrupted: SIGTERM reaches the probe, whose report is read all the same."""
    import signal
    import time
    vpc.put(0, faults()['task-group@nat'].subnet)
    process = vpc.operator.start('launch', '--cluster', 'prod', '--format', 'json', '--service', 'web', '--probe-image', PROBE_IMAGE,
                                 '--subnets', lab.subnets[0])
    until = time.monotonic() + 20
    while not any(task.status == 'RUNNING' for task in vpc.standin.tasks.values()) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    launched = vpc.operator.finish(process)
    assert vpc.standin.running() == []
    assert launched.exit_code != 0 and lab.subnets[0] in launched.reports, launched
