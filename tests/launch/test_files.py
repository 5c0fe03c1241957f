"""What a pipeline gets: files, exit code, a step of GitHub Actions; and what the README promises of rights."""
import json
import os
import re
import subprocess
import xml.etree.ElementTree

import yaml

from conftest import BINARY, PROBE_IMAGE, ROLE, ROOT, client
from ecs_standin import ACCOUNT, REGION, Scripted

SERVICE = '--service', 'web', '--probe-image', PROBE_IMAGE
DEAD = Scripted(exit_code=None, reason='ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: '
                'unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed caused by: '
                'Post "https://api.ecr.us-east-1.amazonaws.com/": dial tcp 52.94.184.143:443: i/o timeout')


def test_files_beside_the_text_name_the_subnet_that_is_broken(operator, account, tmp_path):
    broken = account.subnets[1]
    account.behaviours[broken] = DEAD
    summary = tmp_path / 'summary.md'
    summary.write_text('what an earlier step wrote\n')
    files = {'html': tmp_path / 'a.html', 'json': tmp_path / 'a.json', 'junit': tmp_path / 'a.xml', 'markdown': summary}
    launched = operator.launch(*SERVICE, *[part for flag, file in files.items() for part in (f'--{flag}', file)])
    assert launched.exit_code == 11, launched
    comparison = json.loads(files['json'].read_text())
    assert comparison == launched.comparison and comparison['schema'] == 'pullprobe/comparison/v1'
    statuses = {vantage['name']: vantage['status'] for vantage in comparison['vantages']}
    assert statuses == {subnet: 'fail' if subnet == broken else 'pass' for subnet in account.subnets}
    assert summary.read_text().startswith('what an earlier step wrote\n') and broken in summary.read_text()
    assert broken in files['html'].read_text() and '<html' in files['html'].read_text()
    assert any(element.tag == 'failure' for element in xml.etree.ElementTree.parse(files['junit']).iter())


def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(operator, account):
    launched = operator.launch(*SERVICE, '--html', '/nonexistent/a.html')
    assert launched.exit_code == 2 and '--html /nonexistent/a.html' in launched.stderr and not account.requests, launched


def test_text_has_each_report_as_it_lands_and_the_comparison_last(operator, account):
    account.behaviours[account.subnets[0]] = Scripted(running=3, exit_code=0)
    process = operator.start('launch', '--cluster', 'prod', '--format', 'text', *SERVICE)
    launched = operator.finish(process)
    places = [launched.stdout.index(f'── {subnet}') for subnet in account.subnets]
    assert places[0] == max(places), launched
    assert launched.exit_code == 0 and all(subnet in launched.stderr for subnet in account.subnets)


def test_the_action_runs_the_binary_with_flags_that_exist(operator, account, tmp_path):
    action = yaml.safe_load((ROOT / 'action.yml').read_text())
    [step] = action['runs']['steps']
    help_text = subprocess.run([BINARY, 'launch', '--help'], capture_output=True, text=True, check=True).stdout
    for flag in re.findall(r'--[a-z-]+', step['run'].replace('mkdir -p', '')):
        assert flag in help_text, flag
    assert set(re.findall(r'inputs\.([a-z-]+)', json.dumps(action))) == set(action['inputs'])
    account.behaviours[account.subnets[2]] = DEAD
    given = {'cluster': 'prod', 'service': 'web', 'probe-image': PROBE_IMAGE, 'binary': str(BINARY), 'directory': str(tmp_path / 'reports')}
    inputs = {name: given.get(name, about.get('default', '')) for name, about in action['inputs'].items()}
    variables = {name: re.sub(r'\$\{\{ inputs\.([a-z-]+) \}\}', lambda m: inputs[m[1]], value) for name, value in step['env'].items()}
    done = subprocess.run(['bash', '-e', '-c', step['run']], capture_output=True, text=True, env={
        **operator.environment(), **variables, 'PATH': os.environ['PATH'], 'GITHUB_STEP_SUMMARY': str(tmp_path / 'summary.md'),
        'GITHUB_OUTPUT': str(tmp_path / 'output')})
    assert done.returncode == 11, done
    assert (tmp_path / 'output').read_text() == 'exit-code=11\n'
    assert account.subnets[2] in (tmp_path / 'summary.md').read_text()
    assert sorted(file.name for file in (tmp_path / 'reports').iterdir()) == ['comparison.html', 'comparison.json', 'junit.xml']


def policy(sid):
    """The README's policy that has a statement of this name."""
    blocks = re.findall(r'```json\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    return next(json.loads(block) for block in blocks if f'"{sid}"' in block)


def actions(statements):
    return {action for statement in statements for action in ([statement['Action']] if isinstance(statement['Action'], str) else statement['Action'])}


def test_the_readmes_policy_is_what_a_launch_calls_and_no_more(operator, account):
    account.behaviours[account.subnets[0]] = Scripted(pending=60)
    operator.launch('--service', 'logged')                    # looks for an image
    operator.launch('--service', 'logged', *SERVICE[2:], '--timeout', '1s')  # registers, runs, reads, stops
    scheduled = client('scheduler', account.moto.url)        # gc keeps what schedules run
    scheduled.create_schedule_group(Name='pullprobe-prod.web')
    scheduled.create_schedule(
        GroupName='pullprobe-prod.web', Name=account.subnets[0], ScheduleExpression='rate(15 minutes)', FlexibleTimeWindow={'Mode': 'OFF'},
        Target={'Arn': f'arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod', 'RoleArn': ROLE,
                'EcsParameters': {'TaskDefinitionArn': f'arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/pullprobe-0000000000000000:1'}})
    operator('gc', '--cluster', 'prod', '--task-definitions')
    granted = actions(policy('LaunchTheProbe')['Statement'])
    # Rights that no call of ours is named after: RunTask with tags and with a role.
    assert granted - {'ecs:TagResource', 'iam:PassRole'} == account.operations()
