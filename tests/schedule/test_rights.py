"""What the README promises of rights is what is called, and no more; and the scheduler's role is the printed one."""
import json
import re

from conftest import ACCOUNT, REGION, REPOSITORY, ROOT, SCHEDULER

# By command, as the recorder names operations.
CREATE = {'DescribeServices', 'DescribeTaskDefinition', 'RegisterTaskDefinition', 'GetScheduleGroup', 'ListTagsForResource', 'CreateScheduleGroup',
          'ListSchedules', 'GetSchedule', 'CreateSchedule', 'UpdateSchedule', 'DeleteSchedule', 'CreateLogGroup', 'PutRetentionPolicy', 'DescribeAlarms',
          'PutMetricAlarm', 'DeleteAlarms', 'DescribeLogGroups'}
LIST = {'ListScheduleGroups', 'ListTagsForResource', 'ListSchedules', 'GetSchedule', 'DescribeAlarms'}
REMOVE = {'GetScheduleGroup', 'ListTagsForResource', 'ListSchedules', 'DeleteSchedule', 'DeleteScheduleGroup', 'DescribeAlarms', 'DeleteAlarms',
          'DescribeLogGroups', 'DeleteLogGroup'}
ACTIONS = {name: f'{service}:{name}' for service, names in {
    'ecs': ['DescribeServices', 'DescribeTaskDefinition', 'RegisterTaskDefinition'],
    'logs': ['CreateLogGroup', 'PutRetentionPolicy', 'DescribeLogGroups', 'DeleteLogGroup'],
    'cloudwatch': ['DescribeAlarms', 'PutMetricAlarm', 'DeleteAlarms'],
    'scheduler': ['GetScheduleGroup', 'ListTagsForResource', 'CreateScheduleGroup', 'ListScheduleGroups', 'ListSchedules', 'GetSchedule', 'CreateSchedule',
                  'UpdateSchedule', 'DeleteSchedule', 'DeleteScheduleGroup']}.items() for name in names}

# Rights that no call of ours is named after: tags that come with what is created, and roles that are handed on.
UNCALLED = {'ecs:TagResource', 'scheduler:TagResource', 'logs:TagResource', 'cloudwatch:TagResource', 'iam:PassRole'}


def policy(sid):
    """The README's policy that has a statement of this name."""
    blocks = re.findall(r'```json\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    return next(json.loads(block) for block in blocks if f'"{sid}"' in block)


def actions(statements):
    return {action for statement in statements for action in ([statement['Action']] if isinstance(statement['Action'], str) else statement['Action'])}


def test_the_readmes_policy_is_what_schedule_calls_and_no_more(account):
    account.create()
    account.create('--subnets', account.subnets[0])
    account.run('list')
    account.run('remove', 'prod.web')
    granted = actions(policy('MakeSchedules')['Statement'])
    assert granted - UNCALLED == account.recorder.operations() and UNCALLED <= granted


def test_the_schedulers_role_in_the_readme_is_the_one_that_is_printed(account):
    import yaml
    from test_print import of_kind, resolved
    done = account.run('print', '--cluster', 'prod', '--service', 'web', '--every', '15m', '--probe-image', f'{REPOSITORY}/pullprobe:0.1.0', '--format', 'cloudformation')
    names = {'AWS::AccountId': ACCOUNT, 'ScheduleGroup': '', 'SchedulerRole.Arn': SCHEDULER,
             'ProbeTaskDefinition': f'arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/pullprobe-*'}
    [role] = of_kind(resolved({'Resources': yaml.safe_load(done.stdout)['Resources']}, names), 'AWS::IAM::Role')
    here = lambda document: json.loads(json.dumps(document).replace('us-east-1', REGION))  # noqa: E731
    assert here(policy('RunTheScheduledProbe')) == json.loads(
        json.dumps(role['Policies'][0]['PolicyDocument']).replace('RunTheProbe', 'RunTheScheduledProbe'))
    assert here(policy('TrustTheScheduler')) == {**role['AssumeRolePolicyDocument'], 'Statement': [
        {'Sid': 'TrustTheScheduler', **role['AssumeRolePolicyDocument']['Statement'][0]}]}
