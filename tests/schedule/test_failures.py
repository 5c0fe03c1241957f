"""What fails in one place does not keep the rest; a repetition completes it; many subnets are worked on together."""
import json
import time

import pytest

from conftest import ACCOUNT, REGION, REPOSITORY, SCHEDULER
from test_rights import CREATE, LIST, REMOVE

GROUP = 'pullprobe-prod.web'


@pytest.mark.parametrize('operation', ['CreateSchedule', 'PutMetricAlarm', 'CreateLogGroup', 'PutRetentionPolicy'])
def test_create_goes_on_and_a_repetition_completes_it(account, operation):
    account.recorder.refuse[operation] = 1
    done = account.create(code=1)
    assert done.stdout.count('FAILED') == 1 and f':{operation}"' in done.stdout and '1 failed' in done.stderr, done
    whole = len(account.subnets) - (operation == 'CreateSchedule')
    assert len(account.left()[1]) == whole and len(account.left()[2]) == 2 * whole - (operation == 'PutMetricAlarm')
    account.create()
    groups, schedules, alarms, logs = account.left()
    assert len(schedules) == 2 and len(alarms) == 4 and account.logs.describe_log_groups()['logGroups'][0]['retentionInDays'] == 30


@pytest.mark.parametrize('operation', ['DeleteSchedule', 'DeleteAlarms', 'DeleteLogGroup', 'DescribeAlarms', 'DeleteScheduleGroup'])
def test_remove_goes_on_and_a_repetition_completes_it(account, operation):
    account.create()
    account.recorder.refuse[operation] = 1
    done = account.run('remove', 'prod.web', code=1)
    assert done.stdout.count('FAILED') == 1 and f':{operation}"' in done.stdout and '1 failed' in done.stderr, done
    groups, schedules, alarms, logs = account.left()
    assert groups == [GROUP], 'what finds the rest again'
    assert [len(schedules), len(alarms), len(logs)] == {'DeleteSchedule': [1, 0, 0], 'DeleteAlarms': [0, 4, 0], 'DescribeAlarms': [0, 4, 0],
                                                        'DeleteLogGroup': [0, 0, 1], 'DeleteScheduleGroup': [0, 0, 0]}[operation]
    last = account.run('remove', 'prod.web')
    assert account.left() == ([], [], [], [])
    if operation == 'DeleteSchedule':
        assert SCHEDULER in last.stdout and 'gc --task-definitions' in last.stdout, last


def test_subnets_that_are_gone_are_removed_also_after_a_failure_and_shown_in_a_dry_run(account):
    account.create()
    gone, stays = account.subnets
    before = account.left()
    shown = [json.loads(line) for line in account.create('--subnets', stays, '--dry-run').stdout.splitlines()]
    unsent = [one for one in shown if not one['sent']]
    assert [one['operation'] for one in unsent][-2:] == ['DeleteSchedule', 'DeleteAlarms'] and gone in json.dumps(unsent[-2])
    assert sorted(name for key, name in unsent[-1]['body'].items()) == [f'{GROUP}/{gone}/failed', f'{GROUP}/{gone}/no-data']
    assert 'UpdateSchedule' in [one['operation'] for one in unsent] and account.left() == before

    account.recorder.refuse['DeleteAlarms'] = 1
    assert 'cloudwatch:DeleteAlarms' in account.create('--subnets', stays, code=1).stdout
    assert len(account.left()[1]) == 1 and len(account.left()[2]) == 4
    account.create('--subnets', stays)
    assert len(account.left()[1]) == 1 and len(account.left()[2]) == 2, 'the alarms that had no schedule any more'


def test_what_somebody_disabled_stays_disabled_and_is_said(account):
    account.create()
    subnet = account.subnets[0]
    there = account.scheduler.get_schedule(GroupName=GROUP, Name=subnet)
    target = {**there['Target'], 'DeadLetterConfig': {'Arn': f'arn:aws:sqs:{REGION}:{ACCOUNT}:lost'}}
    account.scheduler.update_schedule(GroupName=GROUP, Name=subnet, ScheduleExpression='rate(1 hour)', FlexibleTimeWindow={'Mode': 'OFF'},
                                      Target=target, State='DISABLED')
    account.cloudwatch.disable_alarm_actions(AlarmNames=[f'{GROUP}/{subnet}/failed'])
    assert 'tells nobody' in account.run('list').stdout
    said = account.create().stdout.splitlines()
    [line] = [line for line in said if subnet in line]
    assert 'still DISABLED' in line and 'tells nobody' in line and line.count('--enable') == 2, said
    assert sum('DISABLED' in line for line in said) == 1
    now = account.scheduler.get_schedule(GroupName=GROUP, Name=subnet)
    assert (now['State'], now['ScheduleExpression'], now['Target']['DeadLetterConfig']) == ('DISABLED', 'rate(15 minutes)', target['DeadLetterConfig'])
    enabled = {alarm['AlarmName']: alarm['ActionsEnabled'] for alarm in account.cloudwatch.describe_alarms()['MetricAlarms']}
    assert [name for name, on in enabled.items() if not on] == [f'{GROUP}/{subnet}/failed']

    assert 'DISABLED' not in account.create('--enable').stdout
    assert account.scheduler.get_schedule(GroupName=GROUP, Name=subnet)['State'] == 'ENABLED'
    assert all(alarm['ActionsEnabled'] for alarm in account.cloudwatch.describe_alarms()['MetricAlarms'])


class Bucket:
    """CloudWatch's tokens for PutMetricAlarm."""

    def __init__(self, rate):
        self.rate, self.tokens, self.at, self.refused = rate, rate, time.monotonic(), 0

    def take(self):
        now = time.monotonic()
        self.tokens, self.at = min(self.rate, self.tokens + (now - self.at) * self.rate), now
        taken = self.tokens >= 1
        self.tokens -= taken
        self.refused += not taken
        return taken


def create_many(account, subnets):
    began = time.monotonic()
    done = account.create('--subnets', *subnets)
    lines = [line.split(':')[0] for line in done.stdout.splitlines() if line.startswith('subnet-')]
    assert lines == subnets, 'in their order'
    return time.monotonic() - began


def test_a_hundred_subnets_do_not_take_a_hundred_times_the_latency(account):
    account.recorder.stubs = {'CreateSchedule', 'PutMetricAlarm'}
    account.recorder.delay = 0.1
    took = create_many(account, [f'subnet-{n:017x}' for n in range(100)])
    one_after_another = 100 * 3 * account.recorder.delay
    assert took < one_after_another / 4, took
    assert len(account.recorder.inputs('PutMetricAlarm')) == 200


def test_an_account_that_throttles_gets_every_alarm(account):
    account.recorder.stubs = {'CreateSchedule', 'PutMetricAlarm'}
    account.recorder.bucket = Bucket(rate=10)
    create_many(account, [f'subnet-{n:017x}' for n in range(20)])
    assert account.recorder.bucket.refused > 0


def test_more_than_one_page_of_everything(account):
    for name in ('a', 'b.', 'c-', 'd..e--f_'):
        account.create('--name', name)
    account.recorder.page = 1
    listed = account.run('list').stdout.splitlines()
    rows = [line.split()[:2] for line in listed[1:]]
    assert rows == [[name, subnet] for name in ('a', 'b.', 'c-', 'd..e--f_') for subnet in account.subnets] and 'MISSING' not in ''.join(listed)
    assert len({line.index('15 minutes') for line in listed[1:]}) == 1, listed
    account.create('--name', 'b.', '--subnets', account.subnets[0])
    account.run('remove', 'c-')
    account.recorder.page = None
    assert [group for group, _ in account.left()[1]] == ['pullprobe-a'] * 2 + ['pullprobe-b.'] + ['pullprobe-d..e--f_'] * 2
    assert len(account.left()[2]) == 10


def test_a_stacks_schedules_are_listed_and_left_alone(account):
    account.scheduler.create_schedule_group(Name=f'{GROUP}-stack', Tags=[{'Key': 'aws:cloudformation:stack-name', 'Value': 'probes'}])
    account.create()
    made = account.scheduler.get_schedule(GroupName=GROUP, Name=account.subnets[0])
    account.scheduler.create_schedule(GroupName=f'{GROUP}-stack', Name=account.subnets[0], Target=made['Target'], FlexibleTimeWindow={'Mode': 'OFF'},
                                      ScheduleExpression='rate(1 hour)')
    rows = [line for line in account.run('list').stdout.splitlines() if line.startswith('prod.web-stack ')]
    assert len(rows) == 1 and 'stack probes' in rows[0] and rows[0].count('MISSING') == 2, rows
    assert 'Remove the stack' in account.run('remove', 'prod.web-stack', code=2).stderr
    assert 'another --name' in account.create('--name', 'prod.web-stack', code=2).stderr


def test_what_is_wrong_is_refused_before_anything_is_made(account):
    container = {'name': 'app', 'image': f'{REPOSITORY}/team/app:1.4', 'essential': True,
                 'secrets': [{'name': f'S{n}', 'valueFrom': f'arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/team/{n}/{"x" * 60}'} for n in range(150)]}
    account.ecs.register_task_definition(family='huge', networkMode='awsvpc', requiresCompatibilities=['FARGATE'], cpu='256', memory='512',
                                         executionRoleArn='arn:aws:iam::123456789012:role/r', containerDefinitions=[container])
    before = account.left()
    flags = ['--scheduler-role', SCHEDULER, '--probe-image', f'{REPOSITORY}/pullprobe:0.1.0', '--name', 'n']
    huge = account.run('create', '--task-definition', 'huge:1', '--subnets', 'subnet-1', '--every', '15m', *flags, code=2)
    assert '8192' in huge.stderr and 's3://' in huge.stderr, huge
    for every in ('4m', '25h', '1d', '90s'):
        assert '15m or 6h' in account.create(every=every, code=2).stderr
    for name in ('a/b', 'x' * 55, ''):
        assert '54 letters' in account.create('--name', name, code=2).stderr
    assert 'at most 5' in account.create(*['--alarm-action', 'arn:aws:sns:eu-west-1:123456789012:t'] * 5, code=2).stderr
    assert account.left() == before and not [name for _, name, _ in account.recorder.requests if name.startswith(('Create', 'Register', 'Put'))]


@pytest.mark.parametrize('command, operation', [
    *[('create', name) for name in sorted(CREATE)], *[('list', name) for name in sorted(LIST)], *[('remove', name) for name in sorted(REMOVE)]])
def test_a_missing_right_is_named_with_the_statement_that_grants_it(account, command, operation):
    account.create()
    # What only an update calls, or only the first time.
    if operation in ('CreateScheduleGroup', 'CreateSchedule', 'RegisterTaskDefinition'):
        account.run('remove', 'prod.web')
        account.ecs.deregister_task_definition(taskDefinition=account.ecs.list_task_definitions(sort='ASC')['taskDefinitionArns'][-1])
    if operation in ('DeleteSchedule', 'DeleteAlarms') and command == 'create':
        account.subnets.pop()
    account.recorder.refuse[operation] = 1_000
    run = {'create': lambda: account.create('--subnets', *account.subnets, code=1), 'list': lambda: account.run('list', code=1),
           'remove': lambda: account.run('remove', 'prod.web', code=1)}[command]
    done = run()
    assert re_action(operation) in done.stdout + done.stderr, done


def re_action(operation):
    from test_rights import ACTIONS
    return json.dumps({'Action': ACTIONS[operation], 'Effect': 'Allow'}, separators=(',', ':'))[:-len(',"Effect":"Allow"}')]
