"""`pullprobe schedule` as an operator runs it, against moto, every request held against AWS's models."""
import json
import os
import pathlib
import socket
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


@pytest.fixture(scope='module')
def moto(tmp_path_factory):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    server = Moto(tmp_path_factory.mktemp('moto'), 'schedule', port)
    try:
        yield server.start().ready()
    finally:
        server.stop()


class Account:
    def __init__(self, url):
        self.recorder = None
        keys = dict(endpoint_url=url, region_name=REGION, aws_access_key_id='test', aws_secret_access_key='test')
        self.ec2, self.ecs, self.logs, self.scheduler, self.cloudwatch = (
            boto3.client(name, **keys) for name in ('ec2', 'ecs', 'logs', 'scheduler', 'cloudwatch'))

    def run(self, *arguments, code=0):
        environment = {'PATH': os.environ['PATH'], 'HOME': '/nowhere', 'AWS_ENDPOINT_URL': self.recorder.url, 'AWS_REGION': REGION,
                       'AWS_ACCESS_KEY_ID': 'test', 'AWS_SECRET_ACCESS_KEY': 'test', 'AWS_EC2_METADATA_DISABLED': 'true'}
        done = subprocess.run([BINARY, 'schedule', *arguments], env=environment, capture_output=True, text=True, timeout=60,
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
    import urllib.request
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(f'{moto.url}/moto-api/reset', b'')).close()
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
    account.recorder = Recorder(moto.peer)
    yield account
    account.recorder.close()
    assert account.recorder.departures == []


def test_create_list_create_again_remove_and_nothing_is_left(account):
    account.create()
    groups, schedules, alarms, logs = account.left()
    assert groups == ['pullprobe-prod.web'] and schedules == [(groups[0], subnet) for subnet in account.subnets]
    assert alarms == [f'{groups[0]}/{subnet}/{kind}' for subnet in account.subnets for kind in ('failed', 'no-data')]
    assert logs == ['/pullprobe/prod.web']
    assert account.logs.describe_log_groups()['logGroups'][0]['retentionInDays'] == 30

    listed = account.run('list').stdout.splitlines()
    assert len(listed) == 3 and listed[0].startswith('NAME '), listed
    assert all('  15 minutes  ' in line and 'MISSING' not in line for line in listed[1:]), listed

    before = account.left()
    account.create('--retention', '7', every='2h')
    assert account.left() == before
    for subnet in account.subnets:
        assert account.scheduler.get_schedule(GroupName=groups[0], Name=subnet)['ScheduleExpression'] == 'rate(2 hours)'
    assert {alarm['Period'] for alarm in account.cloudwatch.describe_alarms()['MetricAlarms']} == {7200}
    assert account.logs.describe_log_groups()['logGroups'][0]['retentionInDays'] == 7

    account.create('--subnets', account.subnets[1])
    assert account.left()[1] == [(groups[0], account.subnets[1])] and len(account.left()[2]) == 2

    account.run('remove', 'prod.web')
    assert account.left() == ([], [], [], [])
    assert account.run('list').stdout == 'no schedules\n'


def test_an_alarm_watches_what_the_scheduled_probe_reports(account):
    account.create()
    for made in account.recorder.inputs('CreateSchedule'):
        subnet, target = made['Name'], made['Target']
        assert target['Arn'] == f'arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod' and target['RoleArn'] == SCHEDULER
        assert target['EcsParameters']['NetworkConfiguration']['awsvpcConfiguration'] == {
            'Subnets': [subnet], 'SecurityGroups': [account.group], 'AssignPublicIp': 'DISABLED'}
        (override,) = json.loads(target['Input'])['containerOverrides']
        variables = {pair['name']: pair['value'] for pair in override['environment']}
        assert 'PULLPROBE_RUN_ID' not in variables
        # The probe itself, with what the schedule hands it. Here it finds no AWS, and that is a report as well.
        done = subprocess.run([BINARY, 'probe', '--format', 'json'], capture_output=True, text=True, timeout=60, env={
            **variables, 'PULLPROBE_DEADLINE': '500ms', 'PULLPROBE_RESOLVER': '127.0.0.1:9', 'AWS_ACCESS_KEY_ID': 'test',
            'AWS_SECRET_ACCESS_KEY': 'test'})
        report = json.loads(done.stdout)
        (directive,) = report['_aws']['CloudWatchMetrics']
        alarms = [alarm for alarm in account.recorder.inputs('PutMetricAlarm') if f'/{subnet}/' in alarm['AlarmName']]
        assert [alarm['TreatMissingData'] for alarm in alarms] == ['ignore', 'breaching']
        for alarm in alarms:
            assert (alarm['Namespace'], alarm['AlarmActions']) == (directive['Namespace'], [TOPIC])
            assert alarm['MetricName'] in [metric['Name'] for metric in directive['Metrics']]
            dimensions = {one['Name']: one['Value'] for one in alarm['Dimensions']}
            assert list(dimensions) in directive['Dimensions'] and dimensions == {name: report[name] for name in dimensions}
            assert alarm['Period'] * alarm['EvaluationPeriods'] <= 7 * 86_400


def test_what_fails_in_one_subnet_is_said_and_a_repetition_completes_it(account):
    account.recorder.refuse['CreateSchedule'] = 1
    done = account.create(code=1)
    assert f'{account.subnets[0]}: FAILED' in done.stdout and '"Action":"scheduler:CreateSchedule"' in done.stdout
    assert 'not complete, 1 failed' in done.stderr and len(account.left()[1]) == 1
    account.create()
    assert len(account.left()[1]) == 2 and len(account.left()[2]) == 4

    account.recorder.refuse['DeleteScheduleGroup'] = 1
    account.run('remove', 'prod.web', code=1)
    account.run('remove', 'prod.web')
    assert account.left() == ([], [], [], [])


def test_what_others_made_stays(account):
    account.logs.create_log_group(logGroupName='/pullprobe/prod.web')
    account.cloudwatch.put_metric_alarm(AlarmName='pullprobe-prod.web2/x/failed', Namespace='n', MetricName='m', Period=60, Statistic='Sum',
                                        EvaluationPeriods=1, Threshold=1, ComparisonOperator='GreaterThanThreshold')
    account.create()
    assert 'retentionInDays' not in account.logs.describe_log_groups()['logGroups'][0]
    account.run('remove', 'prod.web')
    assert account.left() == ([], [], ['pullprobe-prod.web2/x/failed'], ['/pullprobe/prod.web'])

    # Another name: moto gives a group that is made anew the tags of the one that was removed.
    account.scheduler.create_schedule_group(Name='pullprobe-theirs')
    assert 'another --name' in account.create('--name', 'theirs', code=2).stderr
    assert 'has no tag' in account.run('remove', 'theirs', code=2).stderr
    assert account.left()[0] == ['pullprobe-theirs']


def test_a_dry_run_changes_nothing_and_shows_every_request(account):
    before = account.left()
    shown = [json.loads(line) for line in account.create('--dry-run').stdout.splitlines()]
    assert account.left() == before
    unsent = [one['operation'] for one in shown if not one['sent']]
    assert unsent == ['CreateScheduleGroup', 'CreateLogGroup', 'PutRetentionPolicy', 'RegisterTaskDefinition',
                      *['CreateSchedule', 'PutMetricAlarm', 'PutMetricAlarm'] * 2]
