"""An account of moto with a service, and the binary as its operator runs it."""
import functools
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / 'tests' / 'real'), str(ROOT / 'tests' / 'schedule')]

import boto3  # noqa: E402
import pytest  # noqa: E402

from recorder import Recorder  # noqa: E402
from servers import Moto  # noqa: E402

BINARY = pathlib.Path(os.environ.get('PULLPROBE_BINARY', ROOT / 'target/debug/pullprobe'))
REGION, ACCOUNT = 'eu-west-1', '123456789012'
REPOSITORY = f'{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com'
ROLE = f'arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole'
SCHEDULER = f'arn:aws:iam::{ACCOUNT}:role/scheduler'
TOPIC = f'arn:aws:sns:{REGION}:{ACCOUNT}:oncall'


@pytest.fixture(scope='session')
def moto(tmp_path_factory):
    with Moto.running(tmp_path_factory.mktemp('moto'), 'schedule') as server:
        yield server


@functools.cache
def clients(url):
    keys = dict(endpoint_url=url, region_name=REGION, aws_access_key_id='test', aws_secret_access_key='test')
    return [boto3.client(name, **keys) for name in ('ec2', 'ecs', 'logs', 'scheduler', 'cloudwatch')]


class Account:
    def __init__(self, url):
        self.recorder = None
        self.ec2, self.ecs, self.logs, self.scheduler, self.cloudwatch = clients(url)

    def run(self, *arguments, code=0):
        return self.pullprobe('schedule', *arguments, code=code)

    def pullprobe(self, *arguments, code=0, **more):
        environment = {'PATH': os.environ['PATH'], 'HOME': '/nowhere', 'AWS_ENDPOINT_URL': self.recorder.url, 'AWS_REGION': REGION,
                       'AWS_ACCESS_KEY_ID': 'test', 'AWS_SECRET_ACCESS_KEY': 'test', 'AWS_EC2_METADATA_DISABLED': 'true', **more}
        done = subprocess.run([BINARY, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == code, done
        return done

    def create(self, *more, every='15m', code=0):
        return self.run('create', '--cluster', 'prod', '--service', 'web', '--every', every, '--scheduler-role', SCHEDULER,
                        '--probe-image', f'{REPOSITORY}/pullprobe:0.1.0', '--alarm-action', TOPIC, *more, code=code)

    def left(self):
        """All that there is, by name."""
        groups = [group['Name'] for group in self.scheduler.list_schedule_groups()['ScheduleGroups'] if group['Name'] != 'default']
        schedules = sorted((s['GroupName'], s['Name']) for s in self.scheduler.list_schedules()['Schedules'])
        alarms = sorted(alarm['AlarmName'] for alarm in self.cloudwatch.describe_alarms()['MetricAlarms'])
        logs = sorted(group['logGroupName'] for group in self.logs.describe_log_groups()['logGroups'])
        return groups, schedules, alarms, logs


@pytest.fixture
def account(moto):
    moto.reset()
    account = Account(moto.url)
    vpc = account.ec2.create_vpc(CidrBlock='10.0.0.0/16')['Vpc']['VpcId']
    account.subnets = sorted(account.ec2.create_subnet(VpcId=vpc, CidrBlock=f'10.0.{n}.0/24')['Subnet']['SubnetId'] for n in (1, 2))
    account.group = account.ec2.create_security_group(GroupName='task', Description='task', VpcId=vpc)['GroupId']
    account.ecs.create_cluster(clusterName='prod')
    container = {'name': 'app', 'image': f'{REPOSITORY}/team/app:1.4', 'essential': True}
    definition = account.ecs.register_task_definition(
        family='app', networkMode='awsvpc', requiresCompatibilities=['FARGATE'], cpu='256', memory='512', executionRoleArn=ROLE,
        containerDefinitions=[container])['taskDefinition']['taskDefinitionArn']
    account.ecs.create_service(cluster='prod', serviceName='web', taskDefinition=definition, desiredCount=1, launchType='FARGATE',
                               networkConfiguration={'awsvpcConfiguration': {'subnets': account.subnets, 'securityGroups': [account.group],
                                                                             'assignPublicIp': 'DISABLED'}})
    account.recorder = Recorder(moto.peer, lambda: account.cloudwatch.describe_alarms()['MetricAlarms'])
    yield account
    account.recorder.close()
    assert account.recorder.departures == []
