"""Where a task's logs and sessions go: groups that the driver creates, and hosts that only have to be reachable."""

import json

import pytest

from pullprobe_testing.region import IMAGE, LOG_GROUP, REGION, ROLE

SPLUNK = "http-inputs.splunk.example.com"


@pytest.fixture
def task(region, probe):
    """A run of a task of these containers' log configurations."""

    def task(*logs, flags=()):
        file = region.directory / "log-task.json"
        file.write_text(
            json.dumps(
                {
                    "family": "app",
                    "containerDefinitions": [
                        {"name": f"c{n}", "image": IMAGE, "logConfiguration": log}
                        for n, log in enumerate(logs)
                    ]
                    or [{"name": "c", "image": IMAGE}],
                }
            )
        )
        return probe("--task-definition", file, *flags)

    return task


def awslogs(group, prefix="app", region=REGION, **options):
    return {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": group,
            "awslogs-region": region,
            "awslogs-stream-prefix": prefix,
            **options,
        },
    }


def groups(region):
    return {
        group["logGroupName"] for group in region.client("logs").describe_log_groups()["logGroups"]
    }


def writes(run):
    return {
        seen["subject"].split(":")[0]: seen.get("failure")
        for seen in run.observations("logs", "write")
    }


def test_each_container_has_its_group_and_its_prefix(region, task, log_group):
    run = task(
        awslogs(log_group, "web"), awslogs(LOG_GROUP, "worker"), awslogs(log_group, "sidecar")
    )

    assert run.exit_code == 0, run
    assert writes(run) == {log_group: None, LOG_GROUP: None}
    assert sorted(stream.split("/")[0] for stream in region.log_messages(log_group)) == [
        "sidecar",
        "web",
    ]
    assert len(run.observations("logs", "write")) == 3, "each stream is a fact of its own"


def test_a_group_that_the_driver_would_create_is_created(region, task):
    region.client("iam").put_role_policy(
        RoleName=ROLE,
        PolicyName="groups",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Action": "logs:CreateLogGroup", "Resource": "*"}
                ],
            }
        ),
    )
    try:
        run = task(awslogs("/ecs/born-today", **{"awslogs-create-group": "true"}))
    finally:
        region.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="groups")

    assert run.exit_code == 0, run
    assert "/ecs/born-today" in groups(region)
    assert "was created" in run.observations("logs", "write")[0]["detail"]


def test_a_group_that_exists_takes_no_right_to_create_one(region, task, log_group):
    run = task(awslogs(log_group, **{"awslogs-create-group": "true"}))

    assert run.exit_code == 0, run


def test_a_group_that_the_role_may_not_create(region, task):
    run = task(awslogs("/ecs/never-born", **{"awslogs-create-group": "true"}))

    assert run.exit_code == 14, run
    assert run.failures("logs", "write") == ["denied"] and "logs:CreateLogGroup" in run.stdout, run
    assert "/ecs/never-born" not in groups(region)


def test_a_group_that_nobody_asked_to_create_is_not_created(region, task):
    run = task(awslogs("/ecs/never-asked-for"))

    assert (run.exit_code, run.causes) == (17, ["log-group-missing"]), run
    assert "/ecs/never-asked-for" not in groups(region)


def test_a_group_of_another_region_is_written_to_there(region, task):
    region.client("logs", region="eu-west-1").create_log_group(logGroupName="/ecs/ireland")
    with region.serves("logs.eu-west-1.amazonaws.com", "10.0.9.33"):
        run = task(awslogs("/ecs/ireland", region="eu-west-1"))

    assert run.exit_code == 0, run
    assert {seen["host"] for seen in run.observations("logs", "write")} == {
        "logs.eu-west-1.amazonaws.com"
    }


@pytest.fixture(scope="module")
def collector(region):
    with region.serves(SPLUNK, "203.0.113.40", "location / { return 400; }") as server:
        yield server


def splunk(url):
    return {
        "logDriver": "splunk",
        "options": {"splunk-url": url, "splunk-token": "canary-token-of-splunk"},
    }


def test_a_splunk_collector_is_reached_and_not_spoken_to(task, collector):
    before = len(collector.requests())

    run = task(splunk(f"https://{SPLUNK}:443"))

    assert run.exit_code == 0, run
    assert run.outcomes("splunk") == {
        phase: {"passed"} for phase in ("resolve", "connect", "handshake")
    }, run
    assert len(collector.requests()) == before, "a token is not for us to use"
    assert "canary-token-of-splunk" not in run.stdout


def test_a_splunk_collector_out_of_reach_stops_the_task(region, task, collector):
    with region.silent_address("203.0.113.40"):
        run = task(splunk(f"https://{SPLUNK}:443"))

    assert run.exit_code == 11 and run.failures("splunk", "connect") == ["timed-out"], run


def test_a_splunk_collector_with_another_certificate(region, task, collector):
    with collector.replaced_by(
        certificate=region.authority.issue("somebody-else", ["somebody-else.example.com"])
    ):
        run = task(splunk(f"https://{SPLUNK}:443"))

    assert (run.exit_code, run.failures("splunk", "handshake")) == (12, ["wrong-name"]), run


def test_ecs_exec_is_checked_and_stops_nothing(region, task):
    host = f"ssmmessages.{REGION}.amazonaws.com"
    with region.serves(host, "10.0.9.36"):
        well = task(flags=["--enable-execute-command"])
        with region.silent_address("10.0.9.36"):
            ill = task(flags=["--enable-execute-command"])

    assert well.exit_code == 0 and well.outcomes("ssmmessages")["handshake"] == {"passed"}, well
    assert (ill.exit_code, ill.status) == (4, "warn"), ill
    assert ill.failures("ssmmessages", "connect") == ["timed-out"], ill
