"""`schedule print`: without credentials and without a call, what it prints is what `create` sends, property by property."""
import hashlib
import json
import re
import subprocess

import hcl2
import pytest
import yaml
from cfnlint.api import ManualArgs, lint
from cfnlint.core import get_rules

from conftest import ACCOUNT, BINARY, REGION, REPOSITORY, ROLE, SCHEDULER, TOPIC

RULES = get_rules([], [], ['E', 'W'])
SUBNETS = [f'subnet-0a1b2c3d4e5f6070{n}' for n in range(3)]
NEAR_THE_LIMIT = 150  # secrets
GROUP = 'sg-0a1b2c3d4e5f60708'


def complaints(template, region=REGION):
    return [f'{match.rule.id} {match.linenumber}: {match.message}' for match in lint(template, rules=RULES, config=ManualArgs(regions=[region]))]


def resolved(value, names, partition='aws'):
    """A value of a template with its references in place."""
    if isinstance(value, list):
        return [resolved(one, names, partition) for one in value]
    if not isinstance(value, dict):
        return value
    if list(value) == ['Ref']:
        return names[value['Ref']]
    if list(value) == ['Fn::GetAtt']:
        return names['.'.join(value['Fn::GetAtt'])]
    if list(value) == ['Fn::Sub']:
        return value['Fn::Sub'].replace('${AWS::Partition}', partition).replace('${AWS::AccountId}', ACCOUNT).replace('${!', '${')
    return {name: resolved(one, names, partition) for name, one in value.items()}


def capitals(value):
    if isinstance(value, list):
        return [capitals(one) for one in value]
    return {name[0].upper() + name[1:]: capitals(one) for name, one in value.items()} if isinstance(value, dict) else value


def snake(name):
    return re.sub(r'(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name).lower()


def of_kind(template, kind):
    return [one['Properties'] for one in template['Resources'].values() if one['Type'] == kind]


def terraform(text):
    """Resources by type and name, each value as Terraform would have it; an expression stays a text."""
    def plain(value):
        if isinstance(value, list):
            return [plain(one) for one in value]
        if isinstance(value, dict):
            return {plain(name): plain(one) for name, one in value.items() if not name.startswith('__')}
        if isinstance(value, str) and value.startswith('"'):
            return json.loads(value).replace('$${', '${').replace('%%{', '%{')
        return value
    made = {}
    for block in plain(hcl2.loads(text)['resource']):
        [(kind, named)] = block.items()
        made.setdefault(kind, {}).update(named)
    return made


def offline(tmp_path, region=REGION, subnets=SUBNETS, secrets=0, actions=(TOPIC,), partition='aws', text='cloudformation', code=0, more=()):
    suffix = '.cn' if partition == 'aws-cn' else ''
    registry = f'{ACCOUNT}.dkr.ecr.{region}.amazonaws.com{suffix}'
    container = {'name': 'app', 'image': f'{registry}/team/app:1.4', 'essential': True, 'secrets': [
        {'name': f'S{n}', 'valueFrom': f'arn:{partition}:ssm:{region}:{ACCOUNT}:parameter/team-${{x}}/%{{y}}/{hashlib.sha256(bytes([n])).hexdigest()[:40]}'} for n in range(secrets)]}
    file = tmp_path / 'app.json'
    file.write_text(json.dumps({'family': 'app', 'networkMode': 'awsvpc', 'requiresCompatibilities': ['FARGATE'], 'cpu': '256', 'memory': '512',
                                'executionRoleArn': ROLE.replace('arn:aws:', f'arn:{partition}:'), 'containerDefinitions': [container]}))
    arguments = ['--task-definition', file, '--region', region, '--subnets', *subnets, '--security-groups', GROUP, '--name', 'prod.web-', '--cluster', 'prod',
                 '--probe-image', f'{registry}/pullprobe:0.1.0', '--every', '15m', '--format', text, *more]
    # Port 9 refuses: whatever is called fails, and there is nobody to call as.
    done = subprocess.run([BINARY, 'schedule', 'print', *arguments, *[part for arn in actions for part in ('--alarm-action', arn)]],
                          capture_output=True, text=True, timeout=30, env={'AWS_ENDPOINT_URL': 'http://127.0.0.1:9', 'HOME': '/nowhere'})
    assert done.returncode == code, done
    assert code or not done.stderr, done
    return done.stdout if code == 0 else done.stderr


@pytest.mark.parametrize('spot', [False, True])
def test_what_is_printed_is_what_create_sends(account, spot):
    if spot:
        account.recorder.strategy = [{'capacityProvider': 'FARGATE_SPOT', 'weight': 3, 'base': 1}, {'capacityProvider': 'FARGATE', 'weight': 1}]
    flags = ['--service', 'web', '--every', '3h', '--retention', '90'] if spot else ['--service', 'web', '--every', '15m', '--alarm-action', TOPIC]
    flags += ['--cluster', 'prod', '--probe-image', f'{REPOSITORY}/pullprobe:0.1.0', '--full', '--expect', 'private', '--deadline', '20s']
    recorder = account.recorder
    text = {form: account.run('print', *flags, '--format', form).stdout for form in ('cloudformation', 'terraform')}
    assert {operation for service, operation, _ in recorder.requests} == {'DescribeServices', 'DescribeTaskDefinition'}
    account.run('create', *flags, '--scheduler-role', SCHEDULER)

    [registered], [group] = recorder.inputs('RegisterTaskDefinition'), recorder.inputs('CreateScheduleGroup')
    [log], [retention] = recorder.inputs('CreateLogGroup'), recorder.inputs('PutRetentionPolicy')
    schedules, alarms = recorder.inputs('CreateSchedule'), recorder.inputs('PutMetricAlarm')
    assert len(schedules) == 2 and len(alarms) == 4
    definition = schedules[0]['Target']['EcsParameters']['TaskDefinitionArn']

    assert complaints(text['cloudformation']) == []
    names = {'AWS::AccountId': ACCOUNT, 'ScheduleGroup': group['Name'], 'ProbeTaskDefinition': definition, 'SchedulerRole.Arn': SCHEDULER}
    template = {**yaml.safe_load(text['cloudformation'])}
    made = resolved({'Resources': template['Resources']}, names)
    assert of_kind(made, 'AWS::Scheduler::ScheduleGroup') == [{'Name': group['Name']}]
    assert of_kind(made, 'AWS::Logs::LogGroup') == [{'LogGroupName': log['logGroupName'], 'RetentionInDays': retention['retentionInDays']}]
    assert of_kind(made, 'AWS::ECS::TaskDefinition') == [capitals(registered)]
    by_name = {key: sorted(found, key=lambda one: one[name]) for key, name, found in (('s', 'Name', schedules), ('a', 'AlarmName', alarms))}
    printed = sorted(of_kind(made, 'AWS::Scheduler::Schedule'), key=lambda one: one['Name'])
    assert capitals(printed) == capitals([{name: one for name, one in sent.items() if name != 'ClientToken'} for sent in by_name['s']])
    assert all('AwsvpcConfiguration' in one['Target']['EcsParameters']['NetworkConfiguration'] for one in printed)
    assert sorted(of_kind(made, 'AWS::CloudWatch::Alarm'), key=lambda one: one['AlarmName']) == by_name['a']

    module = terraform(text['terraform'])
    for sent in alarms:
        [alarm] = [one for one in module['aws_cloudwatch_metric_alarm'].values() if one['alarm_name'] == sent['AlarmName']]
        flat = {**sent, 'Tags': {one['Key']: one['Value'] for one in sent['Tags']}, 'Dimensions': {one['Name']: one['Value'] for one in sent['Dimensions']}}
        assert alarm == {snake(name): value for name, value in flat.items()}
    for sent in schedules:
        [schedule] = [one for one in module['aws_scheduler_schedule'].values() if one['name'] == sent['Name']]
        [target] = schedule['target']
        [ecs] = target['ecs_parameters']
        wanted = sent['Target']['EcsParameters']
        network = wanted['NetworkConfiguration']['awsvpcConfiguration']
        assert schedule['schedule_expression'] == sent['ScheduleExpression'] and schedule['flexible_time_window'] == [{'mode': 'OFF'}]
        assert (schedule['description'], schedule['state']) == (sent['Description'], 'ENABLED') and target['input'] == sent['Target']['Input']
        assert target['retry_policy'] == [{snake(name): value for name, value in sent['Target']['RetryPolicy'].items()}]
        assert ecs['network_configuration'] == [{'subnets': network['Subnets'], 'security_groups': network['SecurityGroups'],
                                                 'assign_public_ip': network['AssignPublicIp'] == 'ENABLED'}]
        assert ecs.get('capacity_provider_strategy', []) == [{snake(name): value for name, value in one.items()} for one in wanted.get('CapacityProviderStrategy', [])]
        assert ecs.get('launch_type') == wanted.get('LaunchType') and ('CapacityProviderStrategy' in wanted) == spot
        assert ecs['tags'] == {one['key']: one['value'] for one in wanted['Tags']} and ecs['enable_ecs_managed_tags'] is True
    [task] = module['aws_ecs_task_definition'].values()
    assert task['family'] == registered['family'] and task['task_role_arn'] == task['execution_role_arn'] == ROLE
    assert f'image                  = "{REPOSITORY}/pullprobe:0.1.0"' in text['terraform'] and 'logConfiguration' not in text['terraform']
    assert module['aws_cloudwatch_log_group']['probe']['retention_in_days'] == retention['retentionInDays']


@pytest.mark.parametrize('region, partition, subnets, secrets, actions', [
    ('eu-west-1', 'aws', 1, 0, ()), ('cn-north-1', 'aws-cn', 3, 2, ('arn:aws-cn:sns:cn-north-1:123456789012:oncall',)),
    ('us-gov-west-1', 'aws-us-gov', 2, NEAR_THE_LIMIT, ('arn:aws-us-gov:sns:us-gov-west-1:123456789012:oncall',))])
def test_it_needs_no_credentials_and_no_call_in_any_partition(tmp_path, region, partition, subnets, secrets, actions):
    shape = dict(region=region, partition=partition, subnets=SUBNETS[:subnets], secrets=secrets, actions=actions)
    text = offline(tmp_path, **shape)
    assert complaints(text, region) == []
    template = yaml.safe_load(text)
    names = {'AWS::AccountId': ACCOUNT, 'ScheduleGroup': 'pullprobe-prod.web-', 'ProbeTaskDefinition': 'DEFINITION', 'SchedulerRole.Arn': SCHEDULER}
    made = resolved({'Resources': template['Resources']}, names, partition)
    schedules = of_kind(made, 'AWS::Scheduler::Schedule')
    assert [one['Name'] for one in schedules] == SUBNETS[:subnets] and len(of_kind(made, 'AWS::CloudWatch::Alarm')) == 2 * subnets
    cluster = f'arn:{partition}:ecs:{region}:{ACCOUNT}:cluster/prod'
    assert {one['Target']['Arn'] for one in schedules} == {cluster}
    # A template of either tool in a name stays a text; and near the limit the input is whole.
    module = terraform(offline(tmp_path, **shape, text='terraform'))
    for one in schedules:
        inner = json.loads(one['Target']['Input'])
        assert len(one['Target']['Input']) <= 8192 and (secrets < NEAR_THE_LIMIT or len(one['Target']['Input']) > 7000)
        plan = json.loads(next(pair['value'] for pair in inner['containerOverrides'][0]['environment'] if pair['name'] == 'PULLPROBE_PLAN'))
        assert ('team-${x}/%{y}/' in json.dumps(plan)) == (secrets > 0)
        [printed] = [schedule for schedule in module['aws_scheduler_schedule'].values() if schedule['name'] == one['Name']]
        assert printed['target'][0]['input'] == one['Target']['Input']

    [role] = of_kind(made, 'AWS::IAM::Role')
    [trust] = role['AssumeRolePolicyDocument']['Statement']
    assert trust['Principal'] == {'Service': 'scheduler.amazonaws.com'} and trust['Condition'] == {
        'StringEquals': {'aws:SourceAccount': ACCOUNT},
        'ArnEquals': {'aws:SourceArn': f'arn:{partition}:scheduler:{region}:{ACCOUNT}:schedule-group/pullprobe-prod.web-'}}
    statements = {one['Action']: one for one in role['Policies'][0]['PolicyDocument']['Statement']}
    assert {action: (one['Resource'], one['Condition']) for action, one in statements.items()} == {
        'ecs:RunTask': ('DEFINITION', {'ArnEquals': {'ecs:cluster': cluster}}),
        'ecs:TagResource': (cluster.replace(':cluster/', ':task/') + '/*', {'StringEquals': {'ecs:CreateAction': 'RunTask'}}),
        'iam:PassRole': (f'arn:{partition}:iam::{ACCOUNT}:role/ecsTaskExecutionRole', {'StringEquals': {'iam:PassedToService': 'ecs-tasks.amazonaws.com'}})}


def test_the_linter_complains_where_there_is_something(tmp_path):
    text = offline(tmp_path)
    assert complaints(text.replace('MaximumRetryAttempts', 'MaximumRetries')) and complaints(text.replace('Ref: ScheduleGroup', 'Ref: Nothing'))


def test_a_template_that_cloudformation_would_not_take_is_refused(tmp_path):
    many = [f'subnet-{n:017x}' for n in range(166)]
    assert 'takes 500' in offline(tmp_path, subnets=many, code=2) and '--subnets' in offline(tmp_path, subnets=many, code=2)
    assert '--s3-bucket' in offline(tmp_path, subnets=many[:20]) and '--s3-bucket' not in offline(tmp_path)
    assert offline(tmp_path, subnets=many, text='terraform').count('resource "aws_scheduler_schedule" ') == 166
    assert '8192' in offline(tmp_path, secrets=200, code=2)
    assert 'subnet' in offline(tmp_path, subnets=['10.0.0.0/24'], code=2)
