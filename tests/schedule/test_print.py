"""`schedule print` needs no credentials and prints exactly what `schedule create` sends."""

import hashlib
import json

import pytest
import yaml

from pullprobe_testing import cli
from pullprobe_testing.accounts import ACCOUNT, EXECUTION_ROLE
from pullprobe_testing.schedule_account import PROBE_IMAGE, REGION, SCHEDULER, TOPIC
from pullprobe_testing.templates import (
    capitalize_keys,
    lint_errors,
    resolve,
    resources_of_type,
    snake_case,
    terraform_resources,
)

SUBNETS = [f"subnet-0a1b2c3d4e5f6070{number}" for number in range(3)]
SECRETS_NEAR_THE_LIMIT = 150  # their plan nearly fills an override
GROUP = "sg-0a1b2c3d4e5f60708"
MAX_INPUT = 8192  # characters
SPOT = [
    {"capacityProvider": "FARGATE_SPOT", "weight": 3, "base": 1},
    {"capacityProvider": "FARGATE", "weight": 1},
]


def pairs(items, key="Key", value="Value"):
    """Returns tags or dimensions as a dictionary."""
    return {item[key]: item[value] for item in items}


def sorted_by(key, items):
    return sorted(items, key=lambda item: item[key])


def snake_case_keys(structure):
    return {snake_case(name): value for name, value in structure.items()}


def print_offline(
    tmp_path,
    region=REGION,
    subnets=SUBNETS,
    secrets=0,
    actions=(TOPIC,),
    partition="aws",
    output="cloudformation",
    code=0,
):
    """Returns the output of `schedule print` without credentials, or its errors with `code`."""
    suffix = ".cn" if partition == "aws-cn" else ""
    registry = f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com{suffix}"

    def parameter(number):
        # Template syntax of both tools, and text that does not compress.
        digest = hashlib.sha256(bytes([number])).hexdigest()[:40]
        name = f"team-x/%{{y}}/{digest}"
        return f"arn:{partition}:ssm:{region}:{ACCOUNT}:parameter/{name}"

    container = {
        "name": "app",
        "image": f"{registry}/team/app:1.4",
        "essential": True,
        "secrets": [
            {"name": f"S{number}", "valueFrom": parameter(number)} for number in range(secrets)
        ],
    }
    definition = {
        "family": "app",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": EXECUTION_ROLE.replace("arn:aws:", f"arn:{partition}:"),
        "containerDefinitions": [container],
    }
    file = tmp_path / "app.json"
    file.write_text(json.dumps(definition))
    flags = ["--task-definition", file, "--region", region, "--subnets", *subnets]
    flags += ["--security-groups", GROUP, "--name", "prod.web-", "--cluster", "prod"]
    flags += ["--probe-image", f"{registry}/pullprobe:0.1.0", "--every", "15m", "--format", output]
    for topic in actions:
        flags += ["--alarm-action", topic]
    # Port 9 refuses connections, so any call would fail; and there are no credentials.
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "HOME": "/nonexistent"}
    done = cli.run("schedule", "print", *flags, environment=environment, timeout=30)
    assert done.returncode == code, done
    assert code or not done.stderr, done
    return done.stderr if code else done.stdout


class Sent:
    """The requests of one `schedule create`."""

    def __init__(self, proxy):
        [self.task_definition] = proxy.requests_of("RegisterTaskDefinition")
        [self.group] = proxy.requests_of("CreateScheduleGroup")
        [self.log_group] = proxy.requests_of("CreateLogGroup")
        [self.retention] = proxy.requests_of("PutRetentionPolicy")
        self.schedules = proxy.requests_of("CreateSchedule")
        self.alarms = proxy.requests_of("PutMetricAlarm")
        self.dashboards = proxy.requests_of("PutDashboard")


@pytest.mark.parametrize("spot", [False, True])
def test_printed_resources_are_those_that_create_sends(account, spot):
    flags = ["--service", "web", "--cluster", "prod", "--probe-image", PROBE_IMAGE]
    flags += ["--full", "--expect", "private", "--deadline", "20s"]
    if spot:
        account.proxy.strategy = SPOT
        flags += ["--every", "3h", "--retention", "90"]
    else:
        flags += ["--every", "15m", "--alarm-action", TOPIC, "--dashboard"]
    cloudformation, terraform = (
        account.schedule("print", *flags, "--format", output).stdout
        for output in ("cloudformation", "terraform")
    )
    called = {operation for _, operation, _ in account.proxy.requests}
    assert called == {"DescribeServices", "DescribeTaskDefinition"}

    account.schedule("create", *flags, "--scheduler-role", SCHEDULER)
    sent = Sent(account.proxy)
    assert len(sent.schedules) == 2 and len(sent.alarms) == 4
    assert_cloudformation_is(sent, cloudformation)
    assert_terraform_is(sent, terraform, spot)
    assert ("dashboard, unless it is one of the three that are free" in cloudformation) != spot


def assert_dashboard_is_cloudformation(sent, template):
    printed = resources_of_type(template, "AWS::CloudWatch::Dashboard")
    assert [pairs_of(one) for one in printed] == [pairs_of(one) for one in sent.dashboards]
    for _, body in map(pairs_of, printed):
        graphs = [widget for widget in body["widgets"] if widget["type"] == "metric"]
        metrics = [tuple(one[:6]) for graph in graphs for one in graph["properties"]["metrics"]]
        # Those of the alarms, so that the dashboard shows what they watch.
        watched = {
            (alarm["Namespace"], alarm["MetricName"], *dimensions_of(alarm))
            for alarm in sent.alarms
        }
        assert watched <= set(metrics) and len(metrics) == 2 * len(sent.schedules)


def dimensions_of(alarm):
    return [part for one in alarm["Dimensions"] for part in (one["Name"], one["Value"])]


def pairs_of(dashboard):
    return dashboard["DashboardName"], json.loads(dashboard["DashboardBody"])


def assert_cloudformation_is(sent, text):
    assert lint_errors(text, REGION) == []
    names = {
        "AWS::AccountId": ACCOUNT,
        "ScheduleGroup": sent.group["Name"],
        "ProbeTaskDefinition": sent.schedules[0]["Target"]["EcsParameters"]["TaskDefinitionArn"],
        "SchedulerRole.Arn": SCHEDULER,
    }
    template = resolve({"Resources": yaml.safe_load(text)["Resources"]}, names, ACCOUNT)

    groups = resources_of_type(template, "AWS::Scheduler::ScheduleGroup")
    assert groups == [{"Name": sent.group["Name"]}]
    log_group = {
        "LogGroupName": sent.log_group["logGroupName"],
        "RetentionInDays": sent.retention["retentionInDays"],
    }
    assert resources_of_type(template, "AWS::Logs::LogGroup") == [log_group]
    task_definition = capitalize_keys(sent.task_definition)
    assert resources_of_type(template, "AWS::ECS::TaskDefinition") == [task_definition]
    printed = sorted_by("Name", resources_of_type(template, "AWS::Scheduler::Schedule"))
    expected = [
        {name: value for name, value in schedule.items() if name != "ClientToken"}
        for schedule in sorted_by("Name", sent.schedules)
    ]
    assert capitalize_keys(printed) == capitalize_keys(expected)
    for schedule in printed:
        network = schedule["Target"]["EcsParameters"]["NetworkConfiguration"]
        assert "AwsvpcConfiguration" in network
    alarms = resources_of_type(template, "AWS::CloudWatch::Alarm")
    assert sorted_by("AlarmName", alarms) == sorted_by("AlarmName", sent.alarms)
    assert_dashboard_is_cloudformation(sent, template)


def assert_terraform_is(sent, text, spot):
    resources = terraform_resources(text)

    printed = resources["aws_cloudwatch_metric_alarm"].values()
    alarms = {alarm["alarm_name"]: alarm for alarm in printed}
    assert len(printed) == len(alarms) == len(sent.alarms)
    for request in sent.alarms:
        tags, dimensions = pairs(request["Tags"]), pairs(request["Dimensions"], "Name")
        expected = {**request, "Tags": tags, "Dimensions": dimensions}
        assert alarms[request["AlarmName"]] == snake_case_keys(expected)

    boards = resources.get("aws_cloudwatch_dashboard", {}).values()
    assert [one["dashboard_name"] for one in boards] == [
        one["DashboardName"] for one in sent.dashboards
    ]

    printed = resources["aws_scheduler_schedule"].values()
    schedules = {schedule["name"]: schedule for schedule in printed}
    assert len(printed) == len(schedules) == len(sent.schedules)
    for request in sent.schedules:
        assert_terraform_schedule_is(request, schedules[request["Name"]], spot)

    [task] = resources["aws_ecs_task_definition"].values()
    assert task["family"] == sent.task_definition["family"]
    assert task["task_role_arn"] == task["execution_role_arn"] == EXECUTION_ROLE
    assert f'image                  = "{PROBE_IMAGE}"' in text
    assert "logConfiguration" not in text
    retention = resources["aws_cloudwatch_log_group"]["probe"]["retention_in_days"]
    assert retention == sent.retention["retentionInDays"]


def assert_terraform_schedule_is(request, schedule, spot):
    [target] = schedule["target"]
    [ecs] = target["ecs_parameters"]
    parameters = request["Target"]["EcsParameters"]
    network = parameters["NetworkConfiguration"]["awsvpcConfiguration"]
    assert schedule["schedule_expression"] == request["ScheduleExpression"]
    assert schedule["flexible_time_window"] == [{"mode": "OFF"}]
    assert (schedule["description"], schedule["state"]) == (request["Description"], "ENABLED")
    assert target["input"] == request["Target"]["Input"]
    assert target["retry_policy"] == [snake_case_keys(request["Target"]["RetryPolicy"])]
    public = network["AssignPublicIp"] == "ENABLED"
    assert ecs["network_configuration"] == [
        {
            "subnets": network["Subnets"],
            "security_groups": network["SecurityGroups"],
            "assign_public_ip": public,
        }
    ]
    strategy = parameters.get("CapacityProviderStrategy", [])
    assert ecs.get("capacity_provider_strategy", []) == [snake_case_keys(one) for one in strategy]
    assert ecs.get("launch_type") == parameters.get("LaunchType")
    assert ("CapacityProviderStrategy" in parameters) == spot
    assert ecs["tags"] == pairs(parameters["Tags"], "key", "value")
    assert ecs["enable_ecs_managed_tags"] is True


@pytest.mark.parametrize(
    "region, partition, subnets, secrets",
    [
        ("eu-west-1", "aws", 1, 0),
        ("cn-north-1", "aws-cn", 3, 2),
        ("us-gov-west-1", "aws-us-gov", 2, SECRETS_NEAR_THE_LIMIT),
    ],
)
def test_template_of_every_partition_needs_no_credentials(
    tmp_path, region, partition, subnets, secrets
):
    topics = [f"arn:{partition}:sns:{region}:{ACCOUNT}:oncall"] if secrets else []
    how = {"region": region, "partition": partition, "subnets": SUBNETS[:subnets]}
    how |= {"secrets": secrets, "actions": topics}
    text = print_offline(tmp_path, **how)

    assert lint_errors(text, region) == []
    names = {
        "AWS::AccountId": ACCOUNT,
        "ScheduleGroup": "pullprobe-prod.web-",
        "ProbeTaskDefinition": "DEFINITION",
        "SchedulerRole.Arn": SCHEDULER,
    }
    resources = {"Resources": yaml.safe_load(text)["Resources"]}
    template = resolve(resources, names, ACCOUNT, partition)
    schedules = resources_of_type(template, "AWS::Scheduler::Schedule")
    assert [schedule["Name"] for schedule in schedules] == SUBNETS[:subnets]
    assert len(resources_of_type(template, "AWS::CloudWatch::Alarm")) == 2 * subnets
    cluster = f"arn:{partition}:ecs:{region}:{ACCOUNT}:cluster/prod"
    assert {schedule["Target"]["Arn"] for schedule in schedules} == {cluster}

    module = terraform_resources(print_offline(tmp_path, **how, output="terraform"))
    inputs = {
        schedule["name"]: schedule["target"][0]["input"]
        for schedule in module["aws_scheduler_schedule"].values()
    }
    for schedule in schedules:
        text = schedule["Target"]["Input"]
        assert inputs[schedule["Name"]] == text
        assert len(text) <= MAX_INPUT
        assert secrets < SECRETS_NEAR_THE_LIMIT or len(text) > 7000
        [override] = json.loads(text)["containerOverrides"]
        variables = pairs(override["environment"], "name", "value")
        # Template syntax in a name stays text.
        plan = json.dumps(json.loads(variables["PULLPROBE_PLAN"]))
        assert ("team-x/%{y}/" in plan) == (secrets > 0)
    assert_scheduler_role(template, region, partition, cluster)


def assert_scheduler_role(template, region, partition, cluster):
    [role] = resources_of_type(template, "AWS::IAM::Role")
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    group = f"arn:{partition}:scheduler:{region}:{ACCOUNT}:schedule-group/pullprobe-prod.web-"
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnEquals": {"aws:SourceArn": group},
    }
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    granted = {
        statement["Action"]: (statement["Resource"], statement["Condition"])
        for statement in statements
    }
    assert len(granted) == len(statements)
    tasks = cluster.replace(":cluster/", ":task/") + "/*"
    execution_role = EXECUTION_ROLE.replace("arn:aws:", f"arn:{partition}:")
    assert granted == {
        "ecs:RunTask": ("DEFINITION", {"ArnEquals": {"ecs:cluster": cluster}}),
        "ecs:TagResource": (tasks, {"StringEquals": {"ecs:CreateAction": "RunTask"}}),
        "iam:PassRole": (
            execution_role,
            {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
    }


def test_linter_finds_errors_in_a_template(tmp_path):
    text = print_offline(tmp_path)

    assert lint_errors(text.replace("MaximumRetryAttempts", "MaximumRetries"), REGION)
    assert lint_errors(text.replace("Ref: ScheduleGroup", "Ref: Nothing"), REGION)


def test_template_that_cloudformation_rejects_is_refused(tmp_path):
    many = [f"subnet-{number:017x}" for number in range(166)]
    refused = print_offline(tmp_path, subnets=many, code=2)
    assert "500" in refused and "--subnets" in refused

    assert "--s3-bucket" in print_offline(tmp_path, subnets=many[:20])
    assert "--s3-bucket" not in print_offline(tmp_path)
    terraform = print_offline(tmp_path, subnets=many, output="terraform")
    assert terraform.count('resource "aws_scheduler_schedule" ') == 166
    assert "8192" in print_offline(tmp_path, secrets=200, code=2)
    assert "subnet" in print_offline(tmp_path, subnets=["10.0.0.0/24"], code=2)
