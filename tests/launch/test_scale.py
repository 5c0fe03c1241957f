"""Many subnets against ECS's token bucket, and launches that are killed."""
import random
import signal
import time

import pytest

from conftest import PROBE_IMAGE, wait_for
from ecs_standin import Bucket, Scripted

SERVICE = '--service', 'web', '--probe-image', PROBE_IMAGE
BURST, RATE = 20, 20  # what Fargate grants RunTask (ECS developer guide, "Throttling the RunTask API in Fargate")


def many(account, count, **how):
    subnets = [f'subnet-{n:017x}' for n in range(count)]
    account.behaviours = {subnet: Scripted(**how) for subnet in subnets}
    return subnets


def test_five_hundred_subnets_take_what_the_rate_limit_allows_and_a_tenth(operator, account):
    subnets = many(account, 500, exit_code=14)
    account.buckets = {'RunTask': Bucket(BURST, RATE), 'DescribeTasks': Bucket(40, 20), 'StopTask': Bucket(40, 20)}
    began = time.monotonic()
    # Without a log group to wait for: that has a rate of its own.
    launched = operator.launch('--task-definition', 'app', '--probe-image', PROBE_IMAGE, '--subnets', *subnets)
    took = time.monotonic() - began
    ideal = (500 - BURST) / RATE
    assert launched.exit_code == 14 and len(launched.reports) == 500, launched
    assert len(account.tasks) == 500
    assert account.last_run - account.first_run <= ideal * 1.1, f'{account.last_run - account.first_run:.1f} s for what {ideal} s allow'
    assert took <= ideal * 1.1 + 6, f'{took:.1f} s'
    print(f'{took:.1f} s, RunTask {account.last_run - account.first_run:.1f} s of {ideal} s, {len(account.asked("RunTask"))} calls of it, '
          f'{len(account.asked("DescribeTasks"))} of DescribeTasks')
    assert len(account.asked('RunTask')) < 1000
    # Looking does not grow with the subnets: twice a second, whatever there is to see.
    assert len(account.asked('DescribeTasks')) <= 2 * took + 5


def test_ctrl_c_stops_what_was_started_and_reports_what_is_known(operator, account):
    account.behaviours = {**{subnet: Scripted(pending=60) for subnet in account.subnets}, account.subnets[0]: Scripted(exit_code=11)}
    process = operator.start('launch', '--cluster', 'prod', '--format', 'json', *SERVICE)
    wait_for(lambda: any(task.status == 'STOPPED' for task in account.tasks.values()) and len(account.tasks) == 4)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    launched = operator.finish(process)
    assert launched.exit_code == 11 and launched.seconds < 15, launched
    assert launched.reports[account.subnets[0]]['verdict']['exit_code'] == 11
    others = [launched.reports[subnet]['verdict'] for subnet in account.subnets[1:]]
    assert all(verdict['status'] == 'inconclusive' and 'nterrupted' in verdict['summary'] for verdict in others), launched
    assert account.running() == []


def test_a_second_signal_does_not_wait_and_names_gc(operator, account):
    account.behaviours = {subnet: Scripted(pending=60, ignores_stop=True) for subnet in account.subnets}
    process = operator.start('launch', '--cluster', 'prod', *SERVICE, '--run-id', 'mine')
    wait_for(lambda: len(account.tasks) == 4)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    launched = operator.finish(process)
    assert launched.seconds < 3 and launched.exit_code == 3, launched
    assert 'pullprobe gc --cluster prod --region us-east-1 --run-id mine' in launched.stderr, launched


@pytest.mark.parametrize('seed', range(12))
def test_killed_at_any_moment_nothing_is_left_that_gc_does_not_find(operator, account, seed):
    many(account, 40, pending=60)
    moment = random.Random(seed)
    process = operator.start('launch', '--cluster', 'prod', *SERVICE, '--subnets', *account.behaviours)
    if seed:
        enough = moment.randrange(0, 40)
        wait_for(lambda: len(account.tasks) >= enough)
    time.sleep(moment.random() * 0.3)
    process.kill()
    process.communicate()
    time.sleep(0.3)  # what was on its way arrives
    left = [task.arn for task in account.running()]
    found = operator('gc', '--cluster', 'prod')
    assert found.exit_code == 0, found
    assert account.running() == [] and all(arn in found.stdout for arn in left), found
    registered = len(account.asked('RegisterTaskDefinition'))
    assert found.stdout.count('kept for the next launch: pullprobe-') == registered, found


def test_gc_leaves_alone_what_is_not_a_launchs_or_not_old_enough(operator, account):
    account.behaviours = {subnet: Scripted(pending=60) for subnet in account.subnets}
    network = {'awsvpcConfiguration': {'subnets': [account.subnets[0]]}}
    account.RunTask({'cluster': 'prod', 'taskDefinition': 'app', 'networkConfiguration': network, 'startedBy': 'ecs-svc/123'})
    running = operator.start('launch', '--cluster', 'prod', *SERVICE, '--run-id', 'running')
    wait_for(lambda: len(account.running()) == 5)
    kept = operator('gc', '--cluster', 'prod')
    assert kept.stdout.count('left alone') == 4 and f'process {running.pid}' in kept.stdout and len(account.running()) == 5, kept
    assert all(task.arn in kept.stdout for task in account.running() if task.request['startedBy'] == 'pullprobe/running'), kept
    elsewhere = {'cluster': 'prod', 'taskDefinition': 'app', 'networkConfiguration': network, 'startedBy': 'pullprobe/elsewhere', 'tags': [
        {'key': 'pullprobe:run', 'value': 'elsewhere'}, {'key': 'pullprobe:launcher', 'value': '0123456789ab/7/42/690'}]}
    [theirs] = [account.tasks[task['taskArn']] for task in account.RunTask(elsewhere)['tasks']]
    kept = operator('gc', '--cluster', 'prod')
    assert theirs.arn in kept.stdout and 'another machine' in kept.stdout and '--run-id' in kept.stdout and theirs in account.running(), kept
    theirs.created -= 700
    assert f'stopped {theirs.arn}' in operator('gc', '--cluster', 'prod').stdout
    assert operator('gc', '--cluster', 'prod', '--run-id', 'running').stdout.count('stopped arn') == 4
    operator.finish(running)
    for run in ('mine', 'theirs'):
        process = operator.start('launch', '--cluster', 'prod', *SERVICE, '--run-id', run)
        wait_for(lambda: sum(task.request.get('startedBy') == f'pullprobe/{run}' for task in account.tasks.values()) == 4)
        process.kill()
        process.communicate()
    assert 'left alone' in operator('gc', '--cluster', 'prod', '--older-than', '10m').stdout
    shown = operator('gc', '--cluster', 'prod', '--dry-run')
    assert shown.stdout.count('would stop') == 8 and len(account.running()) == 9, shown
    assert operator('gc', '--cluster', 'prod', '--run-id', 'mine').exit_code == 0
    assert len(account.running()) == 5
    assert operator('gc', '--cluster', 'prod', '--task-definitions').stdout.count('deregistered ') == 1
    assert [task.request['startedBy'] for task in account.running()] == ['ecs-svc/123']
    assert 'no task of a launch runs' in operator('gc', '--cluster', 'prod').stdout
