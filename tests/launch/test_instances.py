"""Services on EC2 capacity and Managed Instances: the probe runs in an instance's network."""

import json

import pytest

from pullprobe_testing.accounts import EXECUTION_ROLE
from pullprobe_testing.ecs_standin import REGION, ApiError, Instance, Scripted
from pullprobe_testing.launch_account import PROBE_IMAGE, deploy_on_instances

SERVICE = "--service", "old", "--probe-image", PROBE_IMAGE
AGENT_HOSTS = {f"{name}.{REGION}.amazonaws.com" for name in ("ecs", "ecs-a", "ecs-t")}


@pytest.fixture
def capacity(account):
    """Instances in the first two subnets, of which the tasks' own network says nothing."""
    account.instances = [
        Instance(subnet, number=number) for number, subnet in enumerate(account.subnets[:2])
    ]
    return account.instances


def runs(account):
    return account.requests_of("RunTask")


def test_probe_runs_on_the_instances_in_each_of_their_subnets(operator, account, capacity):
    deploy_on_instances(account)

    launched = operator.launch(*SERVICE)

    assert launched.exit_code == 0, launched
    assert set(launched.reports) == {instance.subnet for instance in capacity}
    for run in runs(account):
        assert run["launchType"] == "EC2"
        assert not {"networkConfiguration", "platformVersion"} & set(run)
    expressions = {run["placementConstraints"][0]["expression"] for run in runs(account)}
    assert expressions == {f"attribute:ecs.subnet-id == {one.subnet}" for one in capacity}
    [registered] = account.requests_of("RegisterTaskDefinition")
    assert registered["networkMode"] == "host"
    assert registered["requiresCompatibilities"] == ["EC2"]
    assert registered["taskRoleArn"] == registered["executionRoleArn"] == EXECUTION_ROLE
    for report in launched.reports.values():
        assert report["vantage"]["carrier"] == "ec2", launched
        plan = report["plan"]
        assert plan["host"]["launch_types"] == ["EC2"]
        assert {check["host"] for check in plan["connections"]} == AGENT_HOSTS


def test_without_an_execution_role_the_probe_has_the_role_of_the_instance(
    operator, account, capacity
):
    deploy_on_instances(account, executionRoleArn=None)

    launched = operator.launch(*SERVICE)

    assert launched.exit_code == 0, launched
    [registered] = account.requests_of("RegisterTaskDefinition")
    assert not {"executionRoleArn", "taskRoleArn", "runtimePlatform"} & set(registered)
    for report in launched.reports.values():
        assert report["plan"]["host"]["uses_instance_role"] is True


def test_only_instances_of_the_capacity_provider_with_an_agent_are_used(operator, account):
    one, other, disconnected, _ = account.subnets
    account.instances = [
        Instance(one, "own", number=1),
        Instance(other, "another", number=2),
        Instance(disconnected, "own", connected=False, number=3),
    ]
    account.providers = [{"name": "own", "autoScalingGroupProvider": {"autoScalingGroupArn": "a"}}]
    strategy = [{"capacityProvider": "own", "weight": 1, "base": 0}]
    deploy_on_instances(account, strategy)

    launched = operator.launch(*SERVICE)

    assert list(launched.reports) == [one], launched
    [run] = runs(account)
    assert run["capacityProviderStrategy"] == strategy and "launchType" not in run


def test_managed_instances_are_started_in_their_own_subnets(operator, account):
    """ECS starts an instance for the probe where there is none yet."""
    subnets = account.subnets[:2]
    network = {"subnets": subnets, "securityGroups": [account.group]}
    template = {"ec2InstanceProfileArn": "arn", "networkConfiguration": network}
    provider = {"infrastructureRoleArn": "arn", "instanceLaunchTemplate": template}
    account.providers = [{"name": "managed", "managedInstancesProvider": provider}]
    account.instances = [Instance(subnet, "managed", number=n) for n, subnet in enumerate(subnets)]
    deploy_on_instances(
        account,
        [{"capacityProvider": "managed", "weight": 1}],
        networkMode="awsvpc",
        requiresCompatibilities=["MANAGED_INSTANCES"],
        cpu="256",
        memory="512",
    )

    launched = operator.launch(*SERVICE)

    assert set(launched.reports) == set(subnets), launched
    assert not account.requests_of("ListContainerInstances")
    [registered] = account.requests_of("RegisterTaskDefinition")
    assert registered["requiresCompatibilities"] == ["MANAGED_INSTANCES"]
    assert registered["networkMode"] == "host"
    for report in launched.reports.values():
        assert report["plan"]["host"]["launch_types"] == ["MANAGED_INSTANCES"]


def test_what_the_task_contacts_by_its_own_interface_is_not_checked(operator, account, capacity):
    configuration = {"fileSystemId": "fs-0123456789abcdef0"}
    deploy_on_instances(
        account,
        networkMode="awsvpc",
        volumes=[{"name": "data", "efsVolumeConfiguration": configuration}],
    )

    launched = operator.launch(*SERVICE)

    plan = launched.reports[capacity[0].subnet]["plan"]
    [unchecked] = plan["unchecked"]
    assert unchecked["dependency"] == "efs" and "own network interface" in unchecked["why"]
    assert "file_systems" not in plan


def test_subnet_without_an_instance_says_what_to_do(operator, account, capacity):
    deploy_on_instances(account)
    empty = account.subnets[3]

    launched = operator.launch(*SERVICE, "--subnets", f"{capacity[0].subnet},{empty}")

    assert launched.exit_code == 3, launched
    assert launched.reports[capacity[0].subnet]["verdict"]["status"] == "pass", launched
    report = launched.reports[empty]
    summary = report["verdict"]["summary"]
    assert report["verdict"]["status"] == "inconclusive" and report["findings"] == [], launched
    for hint in ("aws ecs list-attributes --cluster prod", "--security-groups", "pullprobe probe"):
        assert hint in summary, launched


def test_cluster_without_instances_says_what_to_do(operator, account):
    deploy_on_instances(account)
    launched = operator.launch(*SERVICE)
    assert launched.exit_code == 2 and "aws ecs list-attributes" in launched.stderr, launched
    assert not runs(account)


def test_security_groups_ask_for_a_fargate_task_in_the_subnet(operator, account, capacity):
    deploy_on_instances(account)
    subnet = account.subnets[3]
    named = operator.launch(*SERVICE, "--subnets", subnet, "--security-groups", account.group)
    assert named.exit_code == 0, named
    [run] = runs(account)
    assert run["launchType"] == "FARGATE", named
    assert named.reports[subnet]["vantage"]["carrier"] == "fargate"


def test_task_on_an_instance_is_probed_on_that_instance(operator, account, capacity):
    definition = deploy_on_instances(account)
    request = {
        "cluster": "prod",
        "taskDefinition": definition,
        "launchType": "EC2",
        "placementConstraints": [
            {"type": "memberOf", "expression": f"attribute:ecs.subnet-id == {capacity[1].subnet}"}
        ],
    }
    [task] = account.RunTask(request)["tasks"]
    capacity[1].connected = False  # as it may be after the failure

    launched = operator.launch("--like", task["taskArn"], "--probe-image", PROBE_IMAGE)

    assert list(launched.reports) == [capacity[1].subnet], launched


@pytest.mark.parametrize("operation", ["ListContainerInstances", "DescribeContainerInstances"])
def test_missing_right_is_named_with_its_statement(operator, account, capacity, operation):
    deploy_on_instances(account)
    message = (
        f"User: arn:aws:iam::123456789012:user/dev is not authorized to perform: ecs:{operation} "
        f"because no identity-based policy allows the ecs:{operation} action"
    )
    account.errors[operation] = ApiError("AccessDeniedException", message)
    launched = operator.launch(*SERVICE)
    assert launched.exit_code == 1 and f'"Action":"ecs:{operation}"' in launched.stderr, launched


def test_schedule_still_asks_for_subnets(operator, account, capacity):
    deploy_on_instances(account)
    role = "arn:aws:iam::123456789012:role/scheduler"
    create = "schedule", "create", "--every", "15m", "--scheduler-role", role, "--dry-run"
    asked = operator(*create, "--cluster", "prod", *SERVICE)
    assert asked.exit_code == 2 and "--subnets" in asked.stderr, asked


def test_dry_run_shows_the_placement(operator, account, capacity):
    deploy_on_instances(account)
    launched = operator.launch(*SERVICE, "--dry-run")
    shown = [json.loads(line) for line in launched.stdout.splitlines()]
    placed = [call["body"] for call in shown if call["operation"] == "RunTask"]
    assert len(placed) == 2 and all(body["launchType"] == "EC2" for body in placed), launched
    assert not runs(account)


def test_probe_that_ends_without_a_log_has_its_exit_code(operator, account, capacity):
    deploy_on_instances(account)
    account.behaviours[capacity[0].subnet] = Scripted(exit_code=11)
    launched = operator.launch(*SERVICE)
    report = launched.reports[capacity[0].subnet]
    assert launched.exit_code == 11 and report["vantage"]["carrier"] == "ec2", launched
