"""Many subnets against ECS's rate limits, and launches that are interrupted or killed."""

import random
import re
import signal
import time

import pytest

from pullprobe_testing import pace
from pullprobe_testing.ecs_standin import Scripted, TokenBucket
from pullprobe_testing.launch_account import PROBE_IMAGE
from pullprobe_testing.waiting import wait_for

IMAGE = "--probe-image", PROBE_IMAGE
SERVICE = "--service", "web", *IMAGE
# Fargate's limits for RunTask (ECS developer guide, "Throttling the RunTask API in Fargate").
BURST, RATE = 20, 20


def use_subnets(account, count, **how):
    """Replaces the account's subnets by `count` others."""
    subnets = [f"subnet-{number:017x}" for number in range(count)]
    account.behaviours = {subnet: Scripted(**how) for subnet in subnets}
    return subnets


def gc(operator, *flags):
    return operator("gc", "--cluster", "prod", *flags)


def kept_tasks(collected):
    """Returns the lines of `gc` about tasks that it did not stop."""
    lines = [line for line in collected.stdout.splitlines() if ":task/" in line]
    return [line for line in lines if not line.startswith(("stopped", "would stop"))]


def test_500_subnets_take_at_most_a_tenth_longer_than_the_rate_limit(operator, account):
    subnets = use_subnets(account, 500, exit_code=14)
    account.buckets = {
        "RunTask": TokenBucket(BURST, RATE),
        "DescribeTasks": TokenBucket(40, 20),
        "StopTask": TokenBucket(40, 20),
    }
    began = time.monotonic()
    # The task definition has no log group, because reading logs has its own rate limit.
    launched = operator.launch("--task-definition", "app", *IMAGE, "--subnets", *subnets)
    took = time.monotonic() - began

    ideal, started = (500 - BURST) / RATE, account.last_run - account.first_run
    run_tasks = len(account.requests_of("RunTask"))
    describe_tasks = len(account.requests_of("DescribeTasks"))
    assert launched.exit_code == 14 and len(launched.reports) == 500, launched
    assert len(account.tasks) == 500
    assert started <= pace.mean_limit(ideal * 1.1, began), f"{started:.1f} s instead of {ideal} s"
    assert took <= pace.mean_limit(ideal * 1.1 + 6, began), f"{took:.1f} s"
    print(f"{took:.1f} s, RunTask {started:.1f} s of {ideal} s")
    print(f"{run_tasks} calls of RunTask, {describe_tasks} of DescribeTasks")
    assert run_tasks < 1000
    # Twice a second, however many subnets there are.
    assert describe_tasks <= 2 * took + 5


def test_ctrl_c_stops_all_tasks_and_prints_the_known_reports(operator, account):
    account.behaviours = {subnet: Scripted(pending=60) for subnet in account.subnets}
    account.behaviours[account.subnets[0]] = Scripted(exit_code=11)
    process = operator.start_launch(*SERVICE)
    wait_for(lambda: len(account.tasks) == 4)
    wait_for(lambda: any(task.status == "STOPPED" for task in account.tasks.values()))
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)

    launched = operator.finish(process)

    assert launched.exit_code == 11 and launched.seconds < pace.limit(15), launched
    assert launched.reports[account.subnets[0]]["verdict"]["exit_code"] == 11
    for subnet in account.subnets[1:]:
        verdict = launched.reports[subnet]["verdict"]
        assert verdict["status"] == "inconclusive", launched
        assert "interrupted" in verdict["summary"].lower(), launched
    assert account.running() == []


def test_second_signal_ends_at_once_and_names_gc(operator, account):
    slow = Scripted(pending=60, ignores_stop=True)
    account.behaviours = dict.fromkeys(account.subnets, slow)
    process = operator.start("launch", "--cluster", "prod", *SERVICE, "--run-id", "mine")
    wait_for(lambda: len(account.tasks) == 4)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)

    launched = operator.finish(process)

    assert launched.seconds < pace.limit(3) and launched.exit_code == 3, launched
    command = "pullprobe gc --cluster prod --region us-east-1 --run-id mine"
    assert command in launched.stderr, launched


@pytest.mark.parametrize("seed", range(12))
def test_gc_finds_everything_that_a_killed_launch_left(operator, account, seed):
    subnets = use_subnets(account, 40, pending=60)
    moment = random.Random(seed)
    process = operator.start("launch", "--cluster", "prod", *SERVICE, "--subnets", *subnets)
    if seed:
        enough = moment.randrange(0, 40)
        wait_for(lambda: len(account.tasks) >= enough)
    time.sleep(moment.random() * 0.3)
    process.kill()
    process.communicate()
    time.sleep(0.3)  # requests that were sent arrive
    left = [task.arn for task in account.running()]

    collected = gc(operator)

    assert collected.exit_code == 0, collected
    assert account.running() == [] and all(arn in collected.stdout for arn in left), collected
    kept = re.findall(r"\bpullprobe-[0-9a-f]{16}\b", collected.stdout)
    assert len(kept) == len(account.requests_of("RegisterTaskDefinition")), collected


def test_gc_keeps_tasks_of_others_and_of_running_launches(operator, account):
    account.behaviours = {subnet: Scripted(pending=60) for subnet in account.subnets}
    subnets = {"awsvpcConfiguration": {"subnets": [account.subnets[0]]}}
    task = {"cluster": "prod", "taskDefinition": "app", "networkConfiguration": subnets}
    account.RunTask({**task, "startedBy": "ecs-svc/123"})
    running = operator.start("launch", "--cluster", "prod", *SERVICE, "--run-id", "running")
    wait_for(lambda: len(account.running()) == 5)

    collected = gc(operator)
    assert len(kept_tasks(collected)) == 4 and len(account.running()) == 5, collected
    assert f"process {running.pid}" in collected.stdout, collected
    for running_task in account.running():
        if running_task.request["startedBy"] == "pullprobe/running":
            assert running_task.arn in collected.stdout, collected

    tags = {"pullprobe:run": "elsewhere", "pullprobe:launcher": "0123456789ab/7/42/690"}
    elsewhere = {
        **task,
        "startedBy": "pullprobe/elsewhere",
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    [started] = account.RunTask(elsewhere)["tasks"]
    other = account.tasks[started["taskArn"]]
    collected = gc(operator)
    assert any(other.arn in line for line in kept_tasks(collected)), collected
    assert "another machine" in collected.stdout and "--run-id" in collected.stdout, collected
    assert other in account.running()
    other.created -= 700
    assert f"stopped {other.arn}" in gc(operator).stdout
    assert gc(operator, "--run-id", "running").stdout.count("stopped arn") == 4
    operator.finish(running)


def start_and_kill(operator, account, run_id):
    """Starts a launch and kills it once its four tasks run."""
    process = operator.start("launch", "--cluster", "prod", *SERVICE, "--run-id", run_id)

    def started():
        requests = (task.request for task in account.tasks.values())
        return sum(request.get("startedBy") == f"pullprobe/{run_id}" for request in requests)

    wait_for(lambda: started() == 4)
    process.kill()
    process.communicate()


def test_gc_selects_tasks_by_age_and_run(operator, account):
    account.behaviours = {subnet: Scripted(pending=60) for subnet in account.subnets}
    subnets = {"awsvpcConfiguration": {"subnets": [account.subnets[0]]}}
    task = {"cluster": "prod", "taskDefinition": "app", "networkConfiguration": subnets}
    account.RunTask({**task, "startedBy": "ecs-svc/123"})
    for run_id in ("mine", "theirs"):
        start_and_kill(operator, account, run_id)

    assert kept_tasks(gc(operator, "--older-than", "10m"))
    shown = gc(operator, "--dry-run")
    assert shown.stdout.count("would stop") == 8 and len(account.running()) == 9, shown
    assert gc(operator, "--run-id", "mine").exit_code == 0
    assert len(account.running()) == 5
    assert gc(operator, "--task-definitions").stdout.count("deregistered ") == 1
    assert [task.request["startedBy"] for task in account.running()] == ["ecs-svc/123"]
    last = gc(operator)
    assert last.exit_code == 0 and "prod" in last.stdout and "arn:" not in last.stdout, last
