"""After a failure a command does the rest, and repeating it completes what is missing."""

import json
import time

import pytest

from pullprobe_testing.accounts import EXECUTION_ROLE
from pullprobe_testing.ecs_standin import TokenBucket
from pullprobe_testing.schedule_account import (
    ACCOUNT,
    NOTHING,
    PROBE_IMAGE,
    REGION,
    REPOSITORY,
    SCHEDULER,
)
from pullprobe_testing.schedule_calls import ACTIONS, CREATE, LIST, REMOVE

GROUP = "pullprobe-prod.web"


def assert_one_failure(done, operation):
    assert done.stdout.count("FAILED") == 1, done
    assert f':{operation}"' in done.stdout and "1 failed" in done.stderr, done


@pytest.mark.parametrize(
    "operation", ["CreateSchedule", "PutMetricAlarm", "CreateLogGroup", "PutRetentionPolicy"]
)
def test_create_continues_after_a_failure_and_can_be_repeated(account, operation):
    account.proxy.deny[operation] = 1
    assert_one_failure(account.create(code=1), operation)
    complete = len(account.subnets) - (operation == "CreateSchedule")
    _, schedules, alarms, _ = account.resources()
    assert len(schedules) == complete
    assert len(alarms) == 2 * complete - (operation == "PutMetricAlarm")

    account.create()
    _, schedules, alarms, _ = account.resources()
    assert (len(schedules), len(alarms)) == (2, 4)
    assert account.log_groups()[0]["retentionInDays"] == 30


@pytest.mark.parametrize(
    "operation, left",
    [
        ("DeleteSchedule", (1, 0, 0)),
        ("DeleteAlarms", (0, 4, 0)),
        ("DescribeAlarms", (0, 4, 0)),
        ("DeleteLogGroup", (0, 0, 1)),
        ("DeleteScheduleGroup", (0, 0, 0)),
    ],
)
def test_remove_continues_after_a_failure_and_can_be_repeated(account, operation, left):
    account.create()
    account.proxy.deny[operation] = 1
    assert_one_failure(account.schedule("remove", "prod.web", code=1), operation)
    groups, *others = account.resources()
    assert groups == [GROUP], "the group is what finds the rest again"
    assert tuple(map(len, others)) == left

    last = account.schedule("remove", "prod.web")
    assert account.resources() == NOTHING
    if operation == "DeleteSchedule":
        assert SCHEDULER in last.stdout and "gc --task-definitions" in last.stdout, last


def test_schedules_of_removed_subnets_are_deleted(account):
    account.create()
    removed, kept = account.subnets
    before = account.resources()
    shown = account.create("--subnets", kept, "--dry-run", "--verbose").stdout.splitlines()
    requests = [json.loads(line) for line in shown if line.startswith("{")]
    unsent = [request for request in requests if not request["sent"]]
    operations = [request["operation"] for request in unsent]
    assert operations[-2:] == ["DeleteSchedule", "DeleteAlarms"]
    assert removed in json.dumps(unsent[-2])
    alarms = [f"{GROUP}/{removed}/{kind}" for kind in ("failed", "no-data")]
    assert sorted(unsent[-1]["body"].values()) == alarms
    assert "UpdateSchedule" in operations and account.resources() == before

    account.proxy.deny["DeleteAlarms"] = 1
    assert "cloudwatch:DeleteAlarms" in account.create("--subnets", kept, code=1).stdout
    _, schedules, alarms, _ = account.resources()
    assert (len(schedules), len(alarms)) == (1, 4)
    account.create("--subnets", kept)
    _, schedules, alarms, _ = account.resources()
    assert (len(schedules), len(alarms)) == (1, 2), "alarms without a schedule are deleted as well"


def test_disabled_schedules_and_alarms_stay_disabled(account):
    account.create()
    subnet = account.subnets[0]

    def schedule():
        return account.scheduler.get_schedule(GroupName=GROUP, Name=subnet)

    dead_letters = {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:lost"}
    account.scheduler.update_schedule(
        GroupName=GROUP,
        Name=subnet,
        ScheduleExpression="rate(1 hour)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={**schedule()["Target"], "DeadLetterConfig": dead_letters},
        State="DISABLED",
    )
    account.cloudwatch.disable_alarm_actions(AlarmNames=[f"{GROUP}/{subnet}/failed"])
    rows = {line.split()[1]: line for line in account.schedule("list").stdout.splitlines()}
    # A state in parentheses follows the state of an alarm whose actions are disabled.
    assert [name for name in account.subnets if "(" in rows[name]] == [subnet], rows

    lines = account.create().stdout.splitlines()
    [line] = [line for line in lines if subnet in line]
    assert "disabled" in line.lower() and line.count("--enable") == 2, lines
    assert sum("disabled" in line.lower() for line in lines) == 1, lines
    updated = schedule()
    assert (updated["State"], updated["ScheduleExpression"]) == ("DISABLED", "rate(15 minutes)")
    assert updated["Target"]["DeadLetterConfig"] == dead_letters
    disabled = [alarm["AlarmName"] for alarm in account.alarms() if not alarm["ActionsEnabled"]]
    assert disabled == [f"{GROUP}/{subnet}/failed"]

    assert "disabled" not in account.create("--enable").stdout.lower()
    assert schedule()["State"] == "ENABLED"
    assert all(alarm["ActionsEnabled"] for alarm in account.alarms())


def create_many(account, subnets):
    """Creates schedules for these subnets and returns how many seconds it took."""
    began = time.monotonic()
    done = account.create("--subnets", *subnets)
    printed = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert [name for name in printed if name.startswith("subnet-")] == subnets, "in their order"
    return time.monotonic() - began


def test_subnets_are_created_concurrently(account):
    account.proxy.stubs = {"CreateSchedule", "PutMetricAlarm"}
    account.proxy.delay = 0.1

    took = create_many(account, [f"subnet-{number:017x}" for number in range(100)])

    one_after_another = 100 * 3 * account.proxy.delay
    assert took < one_after_another / 4, took
    assert len(account.proxy.requests_of("PutMetricAlarm")) == 200


def test_throttled_account_gets_every_alarm(account):
    account.proxy.stubs = {"CreateSchedule", "PutMetricAlarm"}
    account.proxy.bucket = TokenBucket(burst=10, rate=10)

    create_many(account, [f"subnet-{number:017x}" for number in range(20)])

    assert account.proxy.bucket.refused > 0


def test_all_pages_of_every_list_are_read(account):
    names = ["a", "b.", "c-", "d..e--f_"]
    for name in names:
        account.create("--name", name)
    account.proxy.page = 1
    lines = account.schedule("list").stdout.splitlines()[1:]
    rows = [line.split()[:2] for line in lines]
    assert rows == [[name, subnet] for name in names for subnet in account.subnets]
    assert "MISSING" not in "".join(lines)
    assert len({line.index("15 minutes") for line in lines}) == 1, lines

    account.create("--name", "b.", "--subnets", account.subnets[0])
    account.schedule("remove", "c-")
    account.proxy.page = None
    _, schedules, alarms, _ = account.resources()
    groups = [group for group, _ in schedules]
    assert groups == ["pullprobe-a"] * 2 + ["pullprobe-b."] + ["pullprobe-d..e--f_"] * 2
    assert len(alarms) == 10


def test_schedules_of_a_stack_are_listed_and_not_changed(account):
    tags = [{"Key": "aws:cloudformation:stack-name", "Value": "probes"}]
    account.scheduler.create_schedule_group(Name=f"{GROUP}-stack", Tags=tags)
    account.create()
    schedule = account.scheduler.get_schedule(GroupName=GROUP, Name=account.subnets[0])
    account.scheduler.create_schedule(
        GroupName=f"{GROUP}-stack",
        Name=account.subnets[0],
        Target=schedule["Target"],
        FlexibleTimeWindow={"Mode": "OFF"},
        ScheduleExpression="rate(1 hour)",
    )

    lines = account.schedule("list").stdout.splitlines()
    [row] = [line for line in lines if line.startswith("prod.web-stack ")]
    assert "stack probes" in row and row.count("MISSING") == 2, row
    refused = account.schedule("remove", "prod.web-stack", code=2)
    assert "stack" in refused.stderr.replace("prod.web-stack", ""), refused
    assert "--name" in account.create("--name", "prod.web-stack", code=2).stderr


def test_invalid_arguments_are_refused_before_anything_is_created(account):
    prefix = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/team"
    secrets = [
        {"name": f"S{number}", "valueFrom": f"{prefix}/{number}/{'x' * 60}"}
        for number in range(150)
    ]
    image = f"{REPOSITORY}/team/app:1.4"
    container = {"name": "app", "image": image, "essential": True, "secrets": secrets}
    account.ecs.register_task_definition(
        family="huge",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        executionRoleArn=EXECUTION_ROLE,
        containerDefinitions=[container],
    )
    before = account.resources()

    flags = ["--task-definition", "huge:1", "--subnets", "subnet-1", "--every", "15m"]
    flags += ["--scheduler-role", SCHEDULER, "--probe-image", PROBE_IMAGE, "--name", "n"]
    huge = account.schedule("create", *flags, code=2)
    assert "8192" in huge.stderr and "s3://" in huge.stderr, huge
    for every in ("4m", "25h", "2d", "90s"):
        assert "15m or 6h" in account.create(every=every, code=2).stderr
    for name in ("a/b", "x" * 55, ""):
        assert "54" in account.create("--name", name, code=2).stderr
    topics = ["--alarm-action", "arn:aws:sns:eu-west-1:123456789012:t"] * 5
    assert "at most 5" in account.create(*topics, code=2).stderr

    assert account.resources() == before
    called = [operation for _, operation, _ in account.proxy.requests]
    changes = ("Create", "Register", "Put")
    assert not [operation for operation in called if operation.startswith(changes)]


@pytest.mark.parametrize(
    "command, operation",
    [
        (command, operation)
        for command, operations in (("create", CREATE), ("list", LIST), ("remove", REMOVE))
        for operation in sorted(operations)
    ],
)
def test_missing_permission_is_reported_with_its_statement(account, command, operation):
    account.create()
    # Operations of a first `create` and of one with fewer subnets need such a state.
    if operation in ("CreateScheduleGroup", "CreateSchedule", "RegisterTaskDefinition"):
        account.schedule("remove", "prod.web")
        definitions = account.ecs.list_task_definitions(sort="ASC")["taskDefinitionArns"]
        account.ecs.deregister_task_definition(taskDefinition=definitions[-1])
    if operation in ("DeleteSchedule", "DeleteAlarms") and command == "create":
        account.subnets.pop()
    account.proxy.deny[operation] = 1_000

    if command == "create":
        done = account.create("--subnets", *account.subnets, code=1)
    else:
        names = ["prod.web"] if command == "remove" else []
        done = account.schedule(command, *names, code=1)

    assert f'{{"Action":"{ACTIONS[operation]}"' in done.stdout + done.stderr, done


def test_log_group_of_another_class_is_refused_before_anything_is_created(account):
    account.logs.create_log_group(logGroupName="/rare")

    def set_class(response):  # which moto does not return
        for group in response["logGroups"]:
            group["logGroupClass"] = "INFREQUENT_ACCESS"

    account.proxy.edits["DescribeLogGroups"] = set_class

    done = account.create("--log-group", "/rare", code=2)

    assert "/rare" in done.stderr and "INFREQUENT_ACCESS" in done.stderr, done
    assert "STANDARD" in done.stderr and "--log-group" in done.stderr, done
    groups, schedules, alarms, logs = account.resources()
    assert (groups, schedules, alarms, logs) == ([], [], [], ["/rare"])
