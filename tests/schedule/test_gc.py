"""`gc --task-definitions` keeps what schedules run."""


def active(account):
    found = account.ecs.list_task_definitions(status='ACTIVE')['taskDefinitionArns']
    return [arn for arn in found if '/pullprobe-' in arn]


def test_a_definition_that_a_schedule_runs_is_kept_and_others_go(account):
    account.create()
    [used] = active(account)
    other = account.ecs.register_task_definition(family='pullprobe-0123456789abcdef', containerDefinitions=[])['taskDefinition']['taskDefinitionArn']
    done = account.pullprobe('gc', '--cluster', 'prod', '--task-definitions')
    assert f'kept {used}' in done.stdout and f'deregistered {other}' in done.stdout and active(account) == [used]
    account.run('remove', 'prod.web')
    account.pullprobe('gc', '--cluster', 'prod', '--task-definitions')
    assert active(account) == []


def test_a_stacks_definition_is_kept_too_also_by_its_family(account):
    account.create()
    [used] = active(account)
    made = account.scheduler.get_schedule(GroupName='pullprobe-prod.web', Name=account.subnets[0])
    made['Target']['EcsParameters']['TaskDefinitionArn'] = used.rsplit(':', 1)[0]
    account.run('remove', 'prod.web')
    account.scheduler.create_schedule_group(Name='pullprobe-stack')
    account.scheduler.create_schedule(GroupName='pullprobe-stack', Name='any', Target=made['Target'], ScheduleExpression='rate(1 hour)',
                                      FlexibleTimeWindow={'Mode': 'OFF'})
    assert f'kept {used}' in account.pullprobe('gc', '--cluster', 'prod', '--task-definitions').stdout and active(account) == [used]


def test_who_may_not_read_schedules_deregisters_nothing(account):
    account.create()
    before = active(account)
    for operation in ('ListScheduleGroups', 'ListSchedules', 'GetSchedule'):
        account.recorder.refuse = {operation: 100}
        done = account.pullprobe('gc', '--cluster', 'prod', '--task-definitions', code=1)
        assert 'kept' in done.stderr and f'"Action":"scheduler:{operation}"' in done.stderr and active(account) == before, done
