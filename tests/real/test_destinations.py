"""Where a task's logs and sessions go: log groups, and hosts that only have to be reachable."""

import pytest

from pullprobe_testing.accounts import log_configuration
from pullprobe_testing.policies import policy
from pullprobe_testing.region import IMAGE, LOG_GROUP, REGION

SPLUNK, SPLUNK_ADDRESS = "http-inputs.splunk.example.com", "203.0.113.40"
SPLUNK_TOKEN = "canary-token-of-splunk"
SSM_MESSAGES_ADDRESS = "10.0.9.36"


@pytest.fixture
def task(probe):
    """Runs the probe for a task whose containers have these log configurations."""

    def task(*logs, flags=()):
        containers = [
            {"name": f"c{number}", "image": IMAGE, "logConfiguration": log}
            for number, log in enumerate(logs)
        ]
        return probe.of_task(containers or [{"name": "c", "image": IMAGE}], *flags)

    return task


def awslogs(group, prefix="app", region=REGION, **options):
    return log_configuration(group, region, prefix, **options)


def log_groups(region):
    found = region.client("logs").describe_log_groups()["logGroups"]
    return {group["logGroupName"] for group in found}


def write_failures(run):
    """Returns log group -> failure."""
    return {
        observation["subject"].split(":")[0]: observation.get("failure")
        for observation in run.observations("logs", "write")
    }


def test_each_container_writes_to_its_group_and_prefix(region, task, log_group):
    run = task(
        awslogs(log_group, "web"), awslogs(LOG_GROUP, "worker"), awslogs(log_group, "sidecar")
    )

    assert run.exit_code == 0, run
    assert write_failures(run) == {log_group: None, LOG_GROUP: None}
    prefixes = sorted(stream.split("/")[0] for stream in region.log_messages(log_group))
    assert prefixes == ["sidecar", "web"]
    assert len(run.observations("logs", "write")) == 3, "one observation per stream"


def test_group_is_created_if_the_log_driver_would_create_it(region, task):
    with region.role_policy(policy("logs:CreateLogGroup")):
        run = task(awslogs("/ecs/born-today", **{"awslogs-create-group": "true"}))

    assert run.exit_code == 0, run
    assert "/ecs/born-today" in log_groups(region)
    assert "created" in run.observations("logs", "write")[0]["detail"]


def test_existing_group_needs_no_permission_to_create_it(task, log_group):
    run = task(awslogs(log_group, **{"awslogs-create-group": "true"}))

    assert run.exit_code == 0, run


def test_denied_create_log_group_is_named(region, task):
    run = task(awslogs("/ecs/never-born", **{"awslogs-create-group": "true"}))

    assert run.exit_code == 14, run
    assert run.failures("logs", "write") == ["denied"], run
    assert "logs:CreateLogGroup" in run.stdout, run
    assert "/ecs/never-born" not in log_groups(region)


def test_missing_group_is_not_created_without_the_option(region, task):
    run = task(awslogs("/ecs/never-asked-for"))

    assert (run.exit_code, run.causes) == (17, ["log-group-missing"]), run
    assert "/ecs/never-asked-for" not in log_groups(region)


def test_group_in_another_region_is_written_to_there(region, task):
    region.client("logs", region="eu-west-1").create_log_group(logGroupName="/ecs/ireland")
    host = "logs.eu-west-1.amazonaws.com"
    with region.serves(host, "10.0.9.33"):
        run = task(awslogs("/ecs/ireland", region="eu-west-1"))

    assert run.exit_code == 0, run
    assert {found["host"] for found in run.observations("logs", "write")} == {host}


@pytest.fixture(scope="module")
def collector(region):
    with region.serves(SPLUNK, SPLUNK_ADDRESS, "location / { return 400; }") as server:
        yield server


def splunk(url=f"https://{SPLUNK}:443"):
    options = {"splunk-url": url, "splunk-token": SPLUNK_TOKEN}
    return {"logDriver": "splunk", "options": options}


def test_splunk_collector_is_reached_without_a_request(task, collector):
    before = len(collector.requests())

    run = task(splunk())

    assert run.exit_code == 0, run
    phases = ("resolve", "connect", "handshake")
    assert run.outcomes("splunk") == {phase: {"passed"} for phase in phases}, run
    assert len(collector.requests()) == before, "the probe does not use the token"
    assert SPLUNK_TOKEN not in run.stdout


def test_silent_splunk_collector_is_a_failure(region, task, collector):
    with region.silent_address(SPLUNK_ADDRESS):
        run = task(splunk())

    assert run.exit_code == 11, run
    assert run.failures("splunk", "connect") == ["timed-out"], run


def test_splunk_collector_with_a_wrong_certificate_is_a_failure(region, task, collector):
    wrong = region.authority.issue("other-collector", ["other-collector.example.com"])
    with collector.replaced_by(certificate=wrong):
        run = task(splunk())

    assert (run.exit_code, run.failures("splunk", "handshake")) == (12, ["wrong-name"]), run


def test_unreachable_ecs_exec_is_only_a_warning(region, task):
    with region.serves(f"ssmmessages.{REGION}.amazonaws.com", SSM_MESSAGES_ADDRESS):
        healthy = task(flags=["--enable-execute-command"])
        with region.silent_address(SSM_MESSAGES_ADDRESS):
            silent = task(flags=["--enable-execute-command"])

    assert healthy.exit_code == 0, healthy
    assert healthy.outcomes("ssmmessages")["handshake"] == {"passed"}, healthy
    assert (silent.exit_code, silent.status) == (4, "warn"), silent
    assert silent.failures("ssmmessages", "connect") == ["timed-out"], silent
