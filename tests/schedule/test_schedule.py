"""`schedule` against moto: what it creates, what it leaves, and what it does not change."""

import json

import pytest

from pullprobe_testing import aws_models, cli
from pullprobe_testing.schedule_account import (
    ACCOUNT,
    NOTHING,
    REGION,
    SCHEDULER,
    TOPIC,
)


def test_create_update_and_remove_leave_nothing(account):
    account.create()
    groups, schedules, alarms, logs = account.resources()
    assert groups == ["pullprobe-prod.web"]
    assert schedules == [(groups[0], subnet) for subnet in account.subnets]
    kinds = ("failed", "no-data")
    assert alarms == [
        f"{groups[0]}/{subnet}/{kind}" for subnet in account.subnets for kind in kinds
    ]
    assert logs == ["/pullprobe/prod.web"]
    assert account.log_groups()[0]["retentionInDays"] == 30

    head, *rows = account.schedule("list").stdout.splitlines()
    assert head.startswith("NAME ") and len(rows) == 2, rows
    assert all("  15 minutes  " in row and "MISSING" not in row for row in rows), rows

    before = account.resources()
    account.create("--retention", "7", every="2h")
    assert account.resources() == before
    for subnet in account.subnets:
        schedule = account.scheduler.get_schedule(GroupName=groups[0], Name=subnet)
        assert schedule["ScheduleExpression"] == "rate(2 hours)"
    assert {alarm["Period"] for alarm in account.alarms()} == {7200}
    assert account.log_groups()[0]["retentionInDays"] == 7

    account.create("--subnets", account.subnets[1])
    _, schedules, alarms, _ = account.resources()
    assert schedules == [(groups[0], account.subnets[1])] and len(alarms) == 2

    account.schedule("remove", "prod.web")
    assert account.resources() == NOTHING
    assert account.schedule("list").stdout == "no schedules\n"


def test_alarms_watch_the_metrics_of_the_scheduled_probe(account):
    account.create()
    for request in account.proxy.requests_of("CreateSchedule"):
        subnet, target = request["Name"], request["Target"]
        assert target["Arn"] == f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod"
        assert target["RoleArn"] == SCHEDULER
        network = target["EcsParameters"]["NetworkConfiguration"]["awsvpcConfiguration"]
        assert network == {
            "Subnets": [subnet],
            "SecurityGroups": [account.group],
            "AssignPublicIp": "DISABLED",
        }
        (override,) = json.loads(target["Input"])["containerOverrides"]
        variables = {pair["name"]: pair["value"] for pair in override["environment"]}
        assert "PULLPROBE_RUN_ID" not in variables
        assert_alarms_fit(account, subnet, report_of_probe(variables))


def report_of_probe(variables):
    """Runs the probe with the variables of a schedule, without AWS, and returns its report."""
    environment = {
        **variables,
        "PULLPROBE_DEADLINE": "500ms",
        "PULLPROBE_RESOLVER": "127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    return json.loads(cli.run("probe", "--format", "json", environment=environment).stdout)


def assert_alarms_fit(account, subnet, report):
    (directive,) = report["_aws"]["CloudWatchMetrics"]
    requests = account.proxy.requests_of("PutMetricAlarm")
    alarms = [alarm for alarm in requests if f"/{subnet}/" in alarm["AlarmName"]]
    assert [alarm["TreatMissingData"] for alarm in alarms] == ["ignore", "breaching"]
    # One report that fails; three intervals in a row without a report, as documented.
    keys = ("Statistic", "ComparisonOperator", "Threshold", "EvaluationPeriods", "Period")
    conditions = [tuple(alarm[key] for key in keys) for alarm in alarms]
    assert conditions == [
        ("Maximum", "GreaterThanOrEqualToThreshold", 1, 1, 900),
        ("SampleCount", "LessThanThreshold", 1, 3, 900),
    ]
    for alarm in alarms:
        assert (alarm["Namespace"], alarm["AlarmActions"]) == (directive["Namespace"], [TOPIC])
        assert alarm["MetricName"] in [metric["Name"] for metric in directive["Metrics"]]
        dimensions = {pair["Name"]: pair["Value"] for pair in alarm["Dimensions"]}
        assert list(dimensions) in directive["Dimensions"]
        assert dimensions == {name: report[name] for name in dimensions}
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= 7 * 86_400


def test_failure_in_one_subnet_is_reported_and_repeating_completes_it(account):
    account.proxy.deny["CreateSchedule"] = 1
    done = account.create(code=1)
    # Subnets are created concurrently, so the denial may hit either.
    assert sum(f"{subnet}: FAILED" in done.stdout for subnet in account.subnets) == 1, done
    assert '"Action":"scheduler:CreateSchedule"' in done.stdout, done
    assert "1 failed" in done.stderr and len(account.resources()[1]) == 1
    account.create()
    _, schedules, alarms, _ = account.resources()
    assert (len(schedules), len(alarms)) == (2, 4)

    account.proxy.deny["DeleteScheduleGroup"] = 1
    account.schedule("remove", "prod.web", code=1)
    account.schedule("remove", "prod.web")
    assert account.resources() == NOTHING


def test_resources_of_others_are_not_changed(account):
    account.logs.create_log_group(logGroupName="/pullprobe/prod.web")
    other_alarm = "pullprobe-prod.web2/x/failed"
    account.cloudwatch.put_metric_alarm(
        AlarmName=other_alarm,
        Namespace="n",
        MetricName="m",
        Period=60,
        Statistic="Sum",
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    account.create()
    assert "retentionInDays" not in account.log_groups()[0]
    account.schedule("remove", "prod.web")
    assert account.resources() == ([], [], [other_alarm], ["/pullprobe/prod.web"])

    # Another name: moto gives a recreated group the tags of the deleted one.
    account.scheduler.create_schedule_group(Name="pullprobe-theirs")
    assert "--name" in account.create("--name", "theirs", code=2).stderr
    assert "tag" in account.schedule("remove", "theirs", code=2).stderr
    assert account.resources()[0] == ["pullprobe-theirs"]


def test_dry_run_prints_every_request_and_changes_nothing(account):
    before = account.resources()
    shown = account.create("--dashboard", "--dry-run", "--verbose").stdout.splitlines()
    printed = [json.loads(line) for line in shown if line.startswith("{")]
    assert account.resources() == before
    unsent = [request["operation"] for request in printed if not request["sent"]]
    assert unsent == [
        "CreateScheduleGroup",
        "CreateLogGroup",
        "PutRetentionPolicy",
        "RegisterTaskDefinition",
        *["CreateSchedule", "PutMetricAlarm", "PutMetricAlarm"] * 2,
        "PutDashboard",
    ]


def test_dry_run_says_what_would_happen(account):
    before = account.resources()
    first, second = account.subnets
    said = account.create("--dry-run", "--log-group", "/checks/web").stdout
    assert account.resources() == before
    for sentence in (
        "This dry run changed nothing. Without --dry-run, this command:",
        "creates schedule group pullprobe-prod.web",
        "creates log group /checks/web",
        "keeps the reports in this log group for 30 days",
        f"creates 2 schedules: {first}, {second}",
        "writes 4 alarms: ",
        "--dry-run --verbose",
    ):
        assert sentence in said, said
    assert "{" not in said, said

    account.create()
    before = account.resources()
    said = account.schedule("remove", "prod.web", "--dry-run").stdout
    assert account.resources() == before
    assert "deletes 2 schedules: " in said and first in said and second in said, said
    assert "deletes schedule group pullprobe-prod.web" in said, said


SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]


@pytest.mark.parametrize("public", ["ENABLED", "DISABLED"])
def test_scheduler_gets_only_what_its_api_accepts(account, public):
    """AssignPublicIp may be ENABLED only with LaunchType FARGATE; versions are numeric."""

    def deploy(response):
        for service in response["services"]:
            for placed in (service, *service["deployments"]):
                placed["platformVersion"] = "LATEST"
                network = placed.get("networkConfiguration", {})
                network.get("awsvpcConfiguration", {})["assignPublicIp"] = public

    account.proxy.strategy = SPOT
    account.proxy.edits["DescribeServices"] = deploy

    done = account.create()

    requests = account.proxy.requests_of("CreateSchedule")
    assert len(requests) == 2
    for request in requests:
        parameters = request["Target"]["EcsParameters"]
        assert "PlatformVersion" not in parameters, parameters
        if public == "ENABLED":
            assert parameters["LaunchType"] == "FARGATE", parameters
            assert "CapacityProviderStrategy" not in parameters, parameters
        else:
            assert parameters["CapacityProviderStrategy"] == SPOT, parameters
            assert "LaunchType" not in parameters, parameters
    assert ("launch type FARGATE" in done.stderr) == (public == "ENABLED"), done


def test_rules_of_the_scheduler_are_those_of_its_model():
    """What the commands translate is what the API's own documentation restricts."""
    scheduler = aws_models.service_model("scheduler")
    members = scheduler.shape_for("AwsVpcConfiguration").members
    public = members["AssignPublicIp"].documentation
    assert "ENABLED" in public and "LaunchType" in public and "FARGATE" in public, public
    version = scheduler.shape_for("EcsParameters").members["PlatformVersion"]
    assert "numeric portion" in version.documentation, version.documentation
