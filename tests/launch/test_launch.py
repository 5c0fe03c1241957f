"""The plain path and what can go wrong beside the subnets, with tasks that are scripted."""
import json

import pytest

from conftest import PROBE_IMAGE, ROLE, client, deploy
from ecs_standin import Refusal, Scripted

SERVICE = '--service', 'web', '--probe-image', PROBE_IMAGE
LOGGED = '--service', 'logged', '--probe-image', PROBE_IMAGE


def networks(account):
    return [run['networkConfiguration']['awsvpcConfiguration'] for run in account.asked('RunTask')]


def test_cluster_and_service_are_enough(operator, account):
    launched = operator.launch(*SERVICE)
    assert launched.exit_code == 0, launched
    assert set(launched.reports) == set(account.subnets)
    assert sorted(network['subnets'] for network in networks(account)) == sorted([subnet] for subnet in account.subnets)
    for run in account.asked('RunTask'):
        assert run['count'] == 1 and run['launchType'] == 'FARGATE' and run['platformVersion'] == '1.4.0'
        assert run['networkConfiguration']['awsvpcConfiguration']['securityGroups'] == [account.group]
        assert run['networkConfiguration']['awsvpcConfiguration']['assignPublicIp'] == 'DISABLED'
        run_id = run['startedBy'].removeprefix('pullprobe/')
        assert {'key': 'pullprobe:run', 'value': run_id} in run['tags'] and run_id in launched.stderr
        assert len(run['clientToken']) <= 64 and len(run['startedBy']) <= 128
    assert len({run['clientToken'] for run in account.asked('RunTask')}) == 4


def test_the_probes_task_definition_is_registered_once_and_used_again(operator, account):
    for _ in range(2):
        assert operator.launch(*SERVICE).exit_code == 0
    [registered] = account.asked('RegisterTaskDefinition')
    assert registered['executionRoleArn'] == registered['taskRoleArn'] == ROLE
    [container] = registered['containerDefinitions']
    assert container['image'] == PROBE_IMAGE and 'logConfiguration' not in container
    assert registered['runtimePlatform'] == {'cpuArchitecture': 'X86_64', 'operatingSystemFamily': 'LINUX'}
    assert len({run['taskDefinition'] for run in account.asked('RunTask')}) == 1
    operator.launch('--service', 'web', '--probe-image', PROBE_IMAGE + '-arm', '--probe-architecture', 'ARM64')
    assert len(account.asked('RegisterTaskDefinition')) == 2


def test_the_probes_image_is_that_of_an_earlier_launch_and_without_one_the_error_says_how(operator, account):
    first = operator.launch('--service', 'web')
    assert first.exit_code == 2 and f'--probe-image {PROBE_IMAGE}' in first.stderr, first
    for command in ('cargo static', f'buildah build --tag {PROBE_IMAGE} .', 'aws ecr create-repository --region us-east-1', f'buildah push {PROBE_IMAGE}'):
        assert command in first.stderr, first
    assert operator.launch(*SERVICE).exit_code == 0
    again = operator.launch('--service', 'web')
    assert again.exit_code == 0 and PROBE_IMAGE in again.stderr, again


def test_what_is_not_deployed_yet_is_probed_from_a_file(operator, account, tmp_path):
    definition = tmp_path / 'task-definition.json'
    definition.write_text(json.dumps({'family': 'new', 'executionRoleArn': ROLE, 'runtimePlatform': {'cpuArchitecture': 'ARM64'}, 'containerDefinitions': [
        {'name': 'app', 'image': PROBE_IMAGE.replace('pullprobe', 'new/app'), 'secrets': [{'name': 'A', 'valueFrom': '/new/secret'}]}]}))
    launched = operator.launch('--task-definition', definition, '--subnets', f'{account.subnets[0]},{account.subnets[1]}', '--security-groups', account.group,
                               '--assign-public-ip', '--probe-image', PROBE_IMAGE)
    assert launched.exit_code == 0 and list(launched.reports) != [], launched
    assert [network['assignPublicIp'] for network in networks(account)] == ['ENABLED'] * 2
    plan = launched.reports[account.subnets[0]]['plan']
    assert plan['images'][0]['image'].endswith('/new/app:0.1.0') and plan['platform'] == 'linux/arm64'
    assert account.asked('RegisterTaskDefinition')[0]['runtimePlatform']['cpuArchitecture'] == 'ARM64'
    assert 'no log group' in launched.reports[account.subnets[0]]['verdict']['summary']
    missing = operator.launch('--task-definition', tmp_path / 'absent.json', '--subnets', account.subnets[0], '--probe-image', PROBE_IMAGE)
    assert missing.exit_code == 2 and 'no such file' in missing.stderr, missing
    nowhere = operator.launch('--task-definition', definition, '--probe-image', PROBE_IMAGE)
    assert nowhere.exit_code == 2 and '--subnets' in nowhere.stderr, nowhere


def test_a_task_that_failed_is_probed_in_its_own_subnet(operator, account):
    account.behaviours[account.subnets[2]] = Scripted(exit_code=None, reason='ResourceInitializationError: x')
    definition = client('ecs', account.moto.url).describe_services(cluster='prod', services=['web'])['services'][0]['taskDefinition']
    failed = account.RunTask({'cluster': 'prod', 'taskDefinition': definition, 'networkConfiguration': {'awsvpcConfiguration': {'subnets': [account.subnets[2]]}}})
    task = account.tasks[failed['tasks'][0]['taskArn']]
    task.group = 'service:web'
    launched = operator('launch', '--like', task.arn, '--format', 'json', '--probe-image', PROBE_IMAGE)
    assert list(launched.reports) == [account.subnets[2]], launched
    assert networks(account)[0]['securityGroups'] == [account.group] and account.asked('RunTask')[0]['cluster'] == 'prod'
    gone = operator('launch', '--like', task.arn[:-4] + '0000', '--probe-image', PROBE_IMAGE)
    assert gone.exit_code == 2 and 'about an hour' in gone.stderr, gone


def test_a_task_of_no_service_has_the_groups_of_its_network_interface(operator, account):
    definition = client('ecs', account.moto.url).describe_services(cluster='prod', services=['web'])['services'][0]['taskDefinition']
    alone = account.RunTask({'cluster': 'prod', 'taskDefinition': definition, 'networkConfiguration': {'awsvpcConfiguration': {'subnets': [account.subnets[2]]}}})
    task = account.tasks[alone['tasks'][0]['taskArn']]
    like = 'launch', '--like', task.arn, '--format', 'json', '--probe-image', PROBE_IMAGE
    gone = operator(*like)
    assert gone.exit_code == 2 and '--security-groups' in gone.stderr and not account.asked('RunTask'), gone
    ec2 = client('ec2', account.moto.url)
    task.interface = ec2.create_network_interface(SubnetId=account.subnets[2], Groups=[account.group])['NetworkInterface']['NetworkInterfaceId']
    launched = operator(*like)
    assert list(launched.reports) == [account.subnets[2]] and networks(account)[0]['securityGroups'] == [account.group], launched


STOPPED = [
    ('ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: '
     'service call has been retried 3 time(s): RequestError: send request failed caused by: Post "https://api.ecr.us-east-1.amazonaws.com/": '
     'dial tcp 10.0.9.11:443: i/o timeout', 11, 'endpoint-security-group'),
    ('CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref 123456789012.dkr.ecr.us-east-1.amazonaws.com/pullprobe:0.1.0: '
     'failed to do request: Head "https://123456789012.dkr.ecr.us-east-1.amazonaws.com/v2/pullprobe/manifests/0.1.0": dial tcp 52.94.1.1:443: i/o timeout', 11,
     'no-egress-route'),
    ('CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref 123456789012.dkr.ecr.us-east-1.amazonaws.com/pullprobe:9: '
     '123456789012.dkr.ecr.us-east-1.amazonaws.com/pullprobe:9: not found', 15, 'image-not-found'),
    ('Timeout waiting for network interface provisioning to complete.', 20, 'network-interface-unavailable'),
    ('Task stopped by the moon', 3, None),
    ('', 3, None),
]


@pytest.mark.parametrize('reason, exit_code, cause', STOPPED)
def test_an_unpullable_probe_gives_its_cause_through_the_stopped_reason(operator, account, reason, exit_code, cause):
    account.behaviours[account.subnets[1]] = Scripted(exit_code=None, reason=reason)
    launched = operator.launch(*SERVICE)
    report = launched.reports[account.subnets[1]]
    assert launched.exit_code == report['verdict']['exit_code'] == exit_code, launched
    assert report['verdict']['status'] in ('fail', 'inconclusive')
    assert cause in [None, *(finding['cause'] for finding in report['findings'])], launched
    assert all(seen['witness'] == 'ecs' for seen in report['observations'])
    assert not report['ruled_out']


def test_a_task_that_stays_pending_is_stopped_and_said_to_be(operator, account):
    account.behaviours[account.subnets[0]] = Scripted(pending=600)
    launched = operator.launch(*SERVICE, '--timeout', '2s')
    report = launched.reports[account.subnets[0]]
    assert launched.exit_code == 3 and report['verdict']['status'] == 'inconclusive', launched
    assert 'had not started after 2 s' in report['verdict']['summary'] and 'PENDING' in report['verdict']['summary']
    assert account.running() == [] and len(account.asked('StopTask')) == 1


@pytest.mark.parametrize('exit_code, reason, status', [
    (137, 'OutOfMemoryError: Container killed due to memory usage', 'inconclusive'), (139, '', 'inconclusive'), (143, '', 'inconclusive'),
    (1, '', 'inconclusive'), (2, '', 'inconclusive'), (101, '', 'inconclusive'), (4, '', 'warn')])
def test_a_probe_that_did_not_end_by_itself_is_no_success(operator, account, exit_code, reason, status):
    account.behaviours[account.subnets[0]] = Scripted(exit_code=exit_code, container_reason=reason)
    launched = operator.launch(*SERVICE)
    verdict = launched.reports[account.subnets[0]]['verdict']
    assert verdict['status'] == status and launched.exit_code == (4 if status == 'warn' else 3), launched
    assert str(exit_code) in verdict['summary'] and reason in verdict['summary'], launched


def test_what_lies_in_the_log_group_is_believed_only_where_the_exit_code_agrees(operator, account):
    logs, whole = client('logs', account.moto.url), operator.launch(*SERVICE, '--run-id', 'one').reports[account.subnets[0]]

    def write(run_id, text):
        def begin(task):
            Scripted.begin(account.behaviours[task.subnet], task)
            logs.create_log_stream(logGroupName='/ecs/app', logStreamName=f'ecs/pullprobe/{task.id}')
            logs.put_log_events(logGroupName='/ecs/app', logStreamName=f'ecs/pullprobe/{task.id}', logEvents=[
                {'timestamp': int(task.created * 1000), 'message': text}])
        return begin
    passed = json.dumps({**whole, 'run': {**whole['run'], 'id': 'two'}})
    lies = {'passes': passed, 'cut': passed[:len(passed) // 2], 'other run': json.dumps(whole), 'garbage': '{"schema":"pullprobe/report/v1"}'}
    account.behaviours = {}
    for subnet, text in zip(account.subnets, lies.values()):
        account.behaviours[subnet] = Scripted(exit_code=11)
        account.behaviours[subnet].begin = write('two', text)
    launched = operator.launch(*LOGGED, '--run-id', 'two')
    assert launched.exit_code == 11, launched
    for report in launched.reports.values():
        assert report['verdict']['exit_code'] == 11 and {seen['witness'] for seen in report['observations']} == {'ecs'}, launched
        assert 'did not reach' not in report['verdict']['summary'] and '/ecs/app' in report['verdict']['summary'], launched


def test_a_refused_subnet_is_reported_and_the_others_go_on(operator, account):
    launched = operator.launch(*SERVICE, '--subnets', account.subnets[0], 'subnet-00000000000000bad')
    assert launched.reports[account.subnets[0]]['verdict']['status'] == 'pass', launched
    bad = launched.reports['subnet-00000000000000bad']
    assert bad['verdict']['exit_code'] == launched.exit_code == 3 and 'does not exist' in bad['verdict']['summary'], launched


def test_no_capacity_is_waited_for_and_then_said(operator, account):
    account.run_refusals[account.subnets[3]] = {'reason': 'Capacity is unavailable at this time. Please try again later or in a different availability zone'}
    launched = operator.launch(*SERVICE, '--timeout', '3s')
    report = launched.reports[account.subnets[3]]
    assert report['verdict']['exit_code'] == launched.exit_code == 20, launched
    assert report['findings'][0]['cause'] == 'capacity-unavailable'
    assert 1 < sum(subnet == account.subnets[3] for network in networks(account) for subnet in network['subnets']) < 12


PASS_ROLE = ('User: arn:aws:iam::123456789012:user/dev is not authorized to perform: iam:PassRole on resource: '
             f'{ROLE} because no identity-based policy allows the iam:PassRole action')
RUN_TASK = ('User: arn:aws:iam::123456789012:user/dev is not authorized to perform: ecs:RunTask on resource: '
            'arn:aws:ecs:us-east-1:123456789012:task-definition/pullprobe-0:1 because no identity-based policy allows the ecs:RunTask action')


@pytest.mark.parametrize('operation, message, action', [
    ('RunTask', RUN_TASK, 'ecs:RunTask'), ('RunTask', PASS_ROLE, 'iam:PassRole'), ('RegisterTaskDefinition', PASS_ROLE, 'iam:PassRole'),
    ('DescribeServices', RUN_TASK.replace('RunTask', 'DescribeServices'), 'ecs:DescribeServices'),
    ('DescribeTasks', RUN_TASK.replace('RunTask', 'DescribeTasks'), 'ecs:DescribeTasks')])
def test_a_missing_right_is_named_with_the_statement_that_grants_it_and_nothing_runs_on(operator, account, operation, message, action):
    account.behaviours = {subnet: Scripted(pending=60) for subnet in account.subnets}
    account.refusals[operation] = Refusal('AccessDeniedException', message)
    launched = operator.launch(*SERVICE)
    assert launched.exit_code == 1 and f'"Action":"{action}"' in launched.stderr, launched
    assert account.running() == []


def test_a_right_to_read_logs_that_is_missing_is_said_once_and_the_exit_code_speaks(operator, account):
    account.refusals['GetLogEvents'] = Refusal('AccessDeniedException', RUN_TASK.replace('ecs:RunTask', 'logs:GetLogEvents'))
    launched = operator.launch(*LOGGED)
    assert launched.exit_code == 0 and launched.stderr.count('"Action":"logs:GetLogEvents"') == 1, launched


def test_a_dry_run_prints_every_request_and_changes_nothing(operator, account):
    launched = operator.launch(*LOGGED, '--dry-run')
    assert launched.exit_code == 0, launched
    shown = [json.loads(line) for line in launched.stdout.splitlines()]
    runs = [request['body'] for request in shown if request['operation'] == 'RunTask']
    assert {name for _, name, _ in account.requests} == {request['operation'] for request in shown if request['sent']}
    assert not {'RunTask', 'RegisterTaskDefinition', 'StopTask'} & {name for _, name, _ in account.requests}
    assert {'RegisterTaskDefinition', 'RunTask', 'DescribeTasks', 'GetLogEvents', 'StopTask'} <= {request['operation'] for request in shown}
    real = operator.launch(*LOGGED, '--run-id', runs[0]['startedBy'].removeprefix('pullprobe/'))
    assert real.exit_code == 0
    def of_any_process(run):
        return str({**run, 'taskDefinition': None, 'clientToken': None, 'tags': [tag for tag in run['tags'] if tag['key'] != 'pullprobe:launcher']})
    assert sorted(map(of_any_process, runs)) == sorted(map(of_any_process, account.asked('RunTask')))


def test_a_run_id_that_is_used_again_starts_tasks_of_its_own(operator, account):
    for exit_code in (0, 14):
        account.behaviours = {subnet: Scripted(exit_code=exit_code) for subnet in account.subnets}
        launched = operator.launch(*SERVICE, '--run-id', 'ci-42')
        assert launched.exit_code == exit_code, launched
    assert len(account.tasks) == 8


def test_a_service_elsewhere_is_missed_with_the_next_command(operator, account):
    absent = operator.launch('--service', 'absent', '--probe-image', PROBE_IMAGE)
    assert absent.exit_code == 2 and 'aws ecs list-services' in absent.stderr, absent


def test_tasks_on_instances_are_refused_with_what_to_do(operator, account):
    ecs = client('ecs', account.moto.url)
    deployed = ecs.describe_services(cluster='prod', services=['web'])['services'][0]
    ecs.create_service(cluster='prod', serviceName='old', taskDefinition=deployed['taskDefinition'], desiredCount=1, launchType='EC2',
                       networkConfiguration=deployed['networkConfiguration'])
    launched = operator.launch('--service', 'old', '--probe-image', PROBE_IMAGE)
    assert launched.exit_code == 2 and 'instance' in launched.stderr and '--subnets' in launched.stderr, launched
    named = operator.launch('--service', 'old', '--probe-image', PROBE_IMAGE, '--subnets', account.subnets[0])
    assert named.exit_code == 0 and account.asked('RunTask')[0]['launchType'] == 'FARGATE', named
