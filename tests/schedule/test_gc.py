"""`gc --task-definitions` keeps the task definitions that schedules run."""

GC = "gc", "--cluster", "prod", "--task-definitions"


def active(account):
    """Returns the probe's active task definitions."""
    found = account.ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
    return [arn for arn in found if "/pullprobe-" in arn]


def test_task_definition_of_a_schedule_is_kept(account):
    account.create()
    [used] = active(account)
    registered = account.ecs.register_task_definition(
        family="pullprobe-0123456789abcdef", containerDefinitions=[]
    )
    unused = registered["taskDefinition"]["taskDefinitionArn"]

    done = account.pullprobe(*GC)
    assert f"kept {used}" in done.stdout and f"deregistered {unused}" in done.stdout, done
    assert active(account) == [used]

    account.schedule("remove", "prod.web")
    account.pullprobe(*GC)
    assert active(account) == []


def test_task_definition_of_a_stack_is_kept_even_if_named_by_family(account):
    account.create()
    [used] = active(account)
    schedule = account.scheduler.get_schedule(
        GroupName="pullprobe-prod.web", Name=account.subnets[0]
    )
    schedule["Target"]["EcsParameters"]["TaskDefinitionArn"] = used.rsplit(":", 1)[0]
    account.schedule("remove", "prod.web")
    account.scheduler.create_schedule_group(Name="pullprobe-stack")
    account.scheduler.create_schedule(
        GroupName="pullprobe-stack",
        Name="any",
        Target=schedule["Target"],
        ScheduleExpression="rate(1 hour)",
        FlexibleTimeWindow={"Mode": "OFF"},
    )

    assert f"kept {used}" in account.pullprobe(*GC).stdout
    assert active(account) == [used]


def test_nothing_is_deregistered_without_permission_to_read_schedules(account):
    account.create()
    before = active(account)
    for operation in ("ListScheduleGroups", "ListSchedules", "GetSchedule"):
        account.proxy.deny = {operation: 100}
        done = account.pullprobe(*GC, code=1)
        assert "kept" in done.stderr, done
        assert f'"Action":"scheduler:{operation}"' in done.stderr, done
        assert active(account) == before
