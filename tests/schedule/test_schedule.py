"""`pullprobe schedule` against moto: what it makes, that it leaves nothing, and that it touches nothing else."""
import json
import subprocess

from conftest import ACCOUNT, BINARY, REGION, SCHEDULER, TOPIC


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
        # One report that fails; three intervals in a row without one, as the README says.
        judged = [(a['Statistic'], a['ComparisonOperator'], a['Threshold'], a['EvaluationPeriods'], a['Period']) for a in alarms]
        assert judged == [('Maximum', 'GreaterThanOrEqualToThreshold', 1, 1, 900), ('SampleCount', 'LessThanThreshold', 1, 3, 900)]
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
