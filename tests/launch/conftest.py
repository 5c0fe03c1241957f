"""`pullprobe launch` as an operator runs it, against moto and the ECS stand-in."""
import functools
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / 'tests' / 'real'), str(ROOT / 'tests' / 'lab')]

import boto3  # noqa: E402
import botocore.config  # noqa: E402
import pytest  # noqa: E402

from ecs_standin import ACCOUNT, REGION, EcsStandin, Scripted  # noqa: E402
from servers import Moto  # noqa: E402

BINARY = pathlib.Path(os.environ.get('PULLPROBE_OPERATOR', ROOT / 'target' / 'debug' / 'pullprobe'))
PROBE_IMAGE = f'{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pullprobe:0.1.0'
ROLE = f'arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole'
LONGEST = 120  # seconds of one command


class Operator:
    """Somebody with credentials and the binary, and an account with a service."""

    def __init__(self, standin, keys=('AKIDEXAMPLE00000000A', 'secret')):
        self.standin, self.keys = standin, keys

    def environment(self):
        return {'AWS_ENDPOINT_URL': self.standin.url, 'AWS_REGION': REGION, 'AWS_ACCESS_KEY_ID': self.keys[0], 'HOME': '/nonexistent',
                'AWS_SECRET_ACCESS_KEY': self.keys[1], 'AWS_EC2_METADATA_DISABLED': 'true', 'PATH': '/usr/bin:/bin'}

    def start(self, *arguments, **variables):
        return subprocess.Popen([BINARY, *map(str, arguments)], env={**self.environment(), **variables}, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, process):
        began = time.monotonic()
        try:
            stdout, stderr = process.communicate(timeout=LONGEST)
        finally:
            process.kill()
        return Launched(stdout, stderr, process.returncode, time.monotonic() - began)

    def __call__(self, *arguments, **variables):
        return self.finish(self.start(*arguments, **variables))

    def launch(self, *arguments, **variables):
        return self('launch', '--cluster', 'prod', '--format', 'json', *arguments, **variables)


class Launched:
    """What a command printed, and how it ended."""

    def __init__(self, stdout, stderr, exit_code, seconds):
        self.stdout, self.stderr, self.exit_code, self.seconds = stdout, stderr, exit_code, seconds

    @property
    def documents(self):
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def reports(self):
        """Each subnet's, in the order in which they landed."""
        reports = [document for document in self.documents if document['schema'] == 'pullprobe/report/v1']
        return {report['run']['labels']['subnet']: report for report in reports}

    @property
    def comparison(self):
        return next(document for document in self.documents if document['schema'] == 'pullprobe/comparison/v1')

    def __repr__(self):
        return f'exit {self.exit_code} after {self.seconds:.2f} s\nstdout: {self.stdout[:3000]}\nstderr: {self.stderr[-3000:]}'


@functools.cache  # a client reads its service's whole model
def client(service, url, keys=('AKIDEXAMPLE00000000A', 'secret')):
    return boto3.client(service, endpoint_url=url, region_name=REGION, aws_access_key_id=keys[0], aws_secret_access_key=keys[1],
                        config=botocore.config.Config(proxies={}))


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, 'it did not come to that'
        time.sleep(0.01)


def network(ec2, count=4):
    """A VPC with subnets and a security group, as EC2 numbers them."""
    vpc = ec2.create_vpc(CidrBlock='10.0.0.0/16')['Vpc']['VpcId']
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f'10.0.{n + 1}.0/24')['Subnet']['SubnetId'] for n in range(count)]
    return subnets, ec2.create_security_group(GroupName='task', Description='task', VpcId=vpc)['GroupId']


def deploy(ecs, subnets, group, image=f'{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/team/app:1.4', secrets=(), log_group='/ecs/app', service='web',
           sidecars=(), **definition):
    """A cluster, a task definition and a service in moto, as a team has them."""
    container = {'name': 'app', 'image': image, 'essential': True, 'secrets': [{'name': f'S{n}', 'valueFrom': s} for n, s in enumerate(secrets)]}
    if log_group:
        container['logConfiguration'] = {'logDriver': 'awslogs', 'options': {
            'awslogs-group': log_group, 'awslogs-region': REGION, 'awslogs-stream-prefix': 'ecs'}}
    ecs.create_cluster(clusterName='prod')
    arn = ecs.register_task_definition(**{**dict(
        family='app', networkMode='awsvpc', requiresCompatibilities=['FARGATE'], cpu='256', memory='512', executionRoleArn=ROLE,
        runtimePlatform={'cpuArchitecture': 'X86_64', 'operatingSystemFamily': 'LINUX'},
        containerDefinitions=[container, *({'name': f'sidecar-{n}', 'image': image} for n, image in enumerate(sidecars))]), **definition}
    )['taskDefinition']['taskDefinitionArn']
    ecs.create_service(cluster='prod', serviceName=service, taskDefinition=arn, desiredCount=1, launchType='FARGATE', platformVersion='1.4.0',
                       networkConfiguration={'awsvpcConfiguration': {'subnets': subnets, 'securityGroups': [group], 'assignPublicIp': 'DISABLED'}})
    return arn


@pytest.fixture(scope='session')
def moto(tmp_path_factory):
    with Moto.running(tmp_path_factory.mktemp('moto'), 'launch') as server:
        yield server


@pytest.fixture
def account(moto):
    """An account with two services in four subnets, `web` and, with a log group, `logged`; tasks that end well."""
    moto.reset()
    subnets, group = network(client('ec2', moto.url))
    # Scripted tasks write no report, and a launch looks for one for some seconds: most tests are about something else.
    deploy(client('ecs', moto.url), subnets, group, service='logged')
    deploy(client('ecs', moto.url), subnets, group, log_group=None)
    client('logs', moto.url).create_log_group(logGroupName='/ecs/app')
    standin = EcsStandin(moto.peer, {subnet: Scripted() for subnet in subnets})
    standin.subnets, standin.group, standin.moto = subnets, group, moto
    yield standin
    standin.close()
    assert standin.departures == []


@pytest.fixture
def operator(account):
    return Operator(account)
