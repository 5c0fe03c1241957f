"""`launch` with scripted tasks: services, files, refusals, stopped tasks, dry runs."""

import json

import pytest

from pullprobe_testing import images
from pullprobe_testing.accounts import EXECUTION_ROLE
from pullprobe_testing.ecs_standin import ApiError, Scripted
from pullprobe_testing.launch_account import LOG_GROUP, PROBE_IMAGE, client

IMAGE = "--probe-image", PROBE_IMAGE
SERVICE = "--service", "web", *IMAGE
LOGGED = "--service", "logged", *IMAGE
BAD_SUBNET = "subnet-00000000000000bad"


def networks(account):
    """Returns the network of every RunTask request."""
    requests = account.requests_of("RunTask")
    return [run["networkConfiguration"]["awsvpcConfiguration"] for run in requests]


def deployed_service(account, name="web"):
    ecs = client("ecs", account.moto.url)
    return ecs.describe_services(cluster="prod", services=[name])["services"][0]


def run_task(account, subnet):
    """Runs a task of the service's task definition and returns it."""
    request = {
        "cluster": "prod",
        "taskDefinition": deployed_service(account)["taskDefinition"],
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": [subnet]}},
    }
    [task] = account.RunTask(request)["tasks"]
    return account.tasks[task["taskArn"]]


def test_launch_needs_only_cluster_and_service(operator, account):
    launched = operator.launch(*SERVICE)

    assert launched.exit_code == 0, launched
    assert set(launched.reports) == set(account.subnets)
    probed = sorted(network["subnets"] for network in networks(account))
    assert probed == sorted([subnet] for subnet in account.subnets)
    for network in networks(account):
        assert network["securityGroups"] == [account.group]
        assert network["assignPublicIp"] == "DISABLED"
    for run in account.requests_of("RunTask"):
        assert (run["count"], run["launchType"], run["platformVersion"]) == (1, "FARGATE", "1.4.0")
        run_id = run["startedBy"].removeprefix("pullprobe/")
        assert {"key": "pullprobe:run", "value": run_id} in run["tags"]
        assert run_id in launched.stderr
        assert len(run["clientToken"]) <= 64 and len(run["startedBy"]) <= 128
    assert len({run["clientToken"] for run in account.requests_of("RunTask")}) == 4


def test_task_definition_of_the_probe_is_registered_once(operator, account):
    for _ in range(2):
        assert operator.launch(*SERVICE).exit_code == 0

    [registered] = account.requests_of("RegisterTaskDefinition")
    assert registered["executionRoleArn"] == registered["taskRoleArn"] == EXECUTION_ROLE
    [container] = registered["containerDefinitions"]
    assert container["image"] == PROBE_IMAGE and "logConfiguration" not in container
    platform = {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}
    assert registered["runtimePlatform"] == platform
    assert len({run["taskDefinition"] for run in account.requests_of("RunTask")}) == 1

    arm = "--probe-image", f"{PROBE_IMAGE}-arm", "--probe-architecture", "ARM64"
    operator.launch("--service", "web", *arm)
    assert len(account.requests_of("RegisterTaskDefinition")) == 2


def test_probe_image_defaults_to_that_of_an_earlier_launch(operator, account):
    first = operator.launch("--service", "web")
    assert first.exit_code == 2 and f"--probe-image {PROBE_IMAGE}" in first.stderr, first
    for command in ("dist/build linux/amd64", "pullprobe install --region us-east-1", "--install"):
        assert command in first.stderr, first

    assert operator.launch(*SERVICE).exit_code == 0
    again = operator.launch("--service", "web")
    assert again.exit_code == 0 and PROBE_IMAGE in again.stderr, again


def test_probe_image_is_found_in_the_own_registry(operator, account):
    ecr = client("ecr", account.moto.url)
    ecr.create_repository(repositoryName="pullprobe")
    platform = {"os": "linux", "architecture": "amd64"}
    manifests = [{"mediaType": images.MANIFEST, "digest": "sha256:0", "size": 1}]
    index = {"schemaVersion": 2, "mediaType": images.INDEX, "manifests": manifests}
    manifests[0]["platform"] = platform
    ecr.put_image(
        repositoryName="pullprobe",
        imageManifest=json.dumps(index),
        imageManifestMediaType=images.INDEX,
        imageTag=PROBE_IMAGE.rsplit(":")[-1],
    )

    launched = operator.launch("--service", "web")

    assert launched.exit_code == 0, launched
    [registered] = account.requests_of("RegisterTaskDefinition")
    assert registered["containerDefinitions"][0]["image"] == PROBE_IMAGE


def test_task_definition_file_is_probed_before_it_is_deployed(operator, account, tmp_path):
    container = {
        "name": "app",
        "image": PROBE_IMAGE.replace("pullprobe", "new/app"),
        "secrets": [{"name": "A", "valueFrom": "/new/secret"}],
    }
    definition = {
        "family": "new",
        "executionRoleArn": EXECUTION_ROLE,
        "runtimePlatform": {"cpuArchitecture": "ARM64"},
        "containerDefinitions": [container],
    }
    file = tmp_path / "task-definition.json"
    file.write_text(json.dumps(definition))
    subnet, other, *_ = account.subnets

    launched = operator.launch(
        *("--task-definition", file, "--subnets", f"{subnet},{other}"),
        *("--security-groups", account.group, "--assign-public-ip", *IMAGE),
    )
    assert launched.exit_code == 0 and list(launched.reports) != [], launched
    assert [network["assignPublicIp"] for network in networks(account)] == ["ENABLED"] * 2
    plan = launched.reports[subnet]["plan"]
    assert plan["images"][0]["image"].endswith("/new/app:0.1.0")
    assert plan["platform"] == "linux/arm64"
    [registered] = account.requests_of("RegisterTaskDefinition")
    assert registered["runtimePlatform"]["cpuArchitecture"] == "ARM64"
    assert "no log group" in launched.reports[subnet]["verdict"]["summary"]

    absent = tmp_path / "absent.json"
    missing = operator.launch("--task-definition", absent, "--subnets", subnet, *IMAGE)
    assert missing.exit_code == 2 and str(absent) in missing.stderr, missing
    without_subnets = operator.launch("--task-definition", file, *IMAGE)
    assert without_subnets.exit_code == 2 and "--subnets" in without_subnets.stderr, without_subnets


def test_failed_task_is_probed_in_its_own_subnet(operator, account):
    subnet = account.subnets[2]
    reason = "ResourceInitializationError: x"
    account.behaviours[subnet] = Scripted(exit_code=None, reason=reason)
    task = run_task(account, subnet)
    task.group = "service:web"

    launched = operator("launch", "--like", task.arn, "--format", "json", *IMAGE)
    assert list(launched.reports) == [subnet], launched
    assert networks(account)[0]["securityGroups"] == [account.group]
    assert account.requests_of("RunTask")[0]["cluster"] == "prod"

    gone = operator("launch", "--like", task.arn[:-4] + "0000", *IMAGE)
    assert gone.exit_code == 2 and "hour" in gone.stderr, gone


def test_standalone_task_gets_the_groups_of_its_network_interface(operator, account):
    subnet = account.subnets[2]
    task = run_task(account, subnet)
    like = "launch", "--like", task.arn, "--format", "json", *IMAGE

    gone = operator(*like)
    assert gone.exit_code == 2 and "--security-groups" in gone.stderr, gone
    assert not account.requests_of("RunTask")

    ec2 = client("ec2", account.moto.url)
    interface = ec2.create_network_interface(SubnetId=subnet, Groups=[account.group])
    task.interface = interface["NetworkInterface"]["NetworkInterfaceId"]
    launched = operator(*like)
    assert list(launched.reports) == [subnet], launched
    assert networks(account)[0]["securityGroups"] == [account.group], launched


REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
STOPPED_REASONS = [
    (
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
        "retrieval failed: unable to retrieve ecr registry auth: service call has been retried "
        "3 time(s): RequestError: send request failed caused by: "
        'Post "https://api.ecr.us-east-1.amazonaws.com/": dial tcp 10.0.9.11:443: i/o timeout',
        11,
        "endpoint-security-group",
    ),
    (
        "CannotPullContainerError: pull image manifest has been retried 5 time(s): "
        f"failed to resolve ref {REGISTRY}/pullprobe:0.1.0: failed to do request: "
        f'Head "https://{REGISTRY}/v2/pullprobe/manifests/0.1.0": dial tcp 52.94.1.1:443: '
        "i/o timeout",
        11,
        "no-egress-route",
    ),
    (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
        f"failed to resolve ref {REGISTRY}/pullprobe:9: {REGISTRY}/pullprobe:9: not found",
        3,
        None,
    ),
    (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
        f"failed to resolve ref {REGISTRY}/pullprobe:0.1.0: unexpected status from HEAD request to "
        f"https://{REGISTRY}/v2/pullprobe/manifests/0.1.0: 403 Forbidden",
        3,
        None,
    ),
    (
        "Timeout waiting for network interface provisioning to complete.",
        20,
        "network-interface-unavailable",
    ),
    ("Task stopped by the moon", 3, None),
    ("", 3, None),
]


@pytest.mark.parametrize("reason, exit_code, cause", STOPPED_REASONS)
def test_stopped_reason_gives_the_cause_if_the_probe_cannot_start(
    operator, account, reason, exit_code, cause
):
    account.behaviours[account.subnets[1]] = Scripted(exit_code=None, reason=reason)

    launched = operator.launch(*SERVICE)

    report = launched.reports[account.subnets[1]]
    assert launched.exit_code == report["verdict"]["exit_code"] == exit_code, launched
    assert report["verdict"]["status"] in ("fail", "inconclusive")
    assert cause in [None, *(finding["cause"] for finding in report["findings"])], launched
    assert {observation["witness"] for observation in report["observations"]} <= {"ecs"}
    assert not report["ruled_out"]
    for observation in report["observations"]:
        assert not {"elapsed_ms", "attempts"} & set(observation), "nothing was measured"
    if cause is None:
        assert report["findings"] == [], launched


def test_missing_image_of_the_probe_says_what_to_do(operator, account):
    reason = f"CannotPullContainerError: failed to resolve ref {PROBE_IMAGE}: not found"
    account.behaviours[account.subnets[1]] = Scripted(exit_code=None, reason=reason)

    launched = operator.finish(operator.start_launch(*SERVICE, output="text"))

    assert launched.exit_code == 3, launched
    said = " ".join(launched.stdout.split())
    assert "The probe could not be started" in said and "--probe-image" in said, launched
    assert reason in said and "would not start" not in said, launched


def test_task_that_stays_pending_is_stopped_and_reported(operator, account):
    account.behaviours[account.subnets[0]] = Scripted(pending=600)

    launched = operator.launch(*SERVICE, "--timeout", "2s")

    verdict = launched.reports[account.subnets[0]]["verdict"]
    assert launched.exit_code == 3 and verdict["status"] == "inconclusive", launched
    assert "after 2 s" in verdict["summary"] and "PENDING" in verdict["summary"], launched
    assert account.running() == [] and len(account.requests_of("StopTask")) == 1


OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


@pytest.mark.parametrize(
    "exit_code, reason, status",
    [
        (137, OUT_OF_MEMORY, "inconclusive"),
        (139, "", "inconclusive"),
        (143, "", "inconclusive"),
        (1, "", "inconclusive"),
        (2, "", "inconclusive"),
        (101, "", "inconclusive"),
        (4, "", "warn"),
    ],
)
def test_killed_probe_is_not_a_pass(operator, account, exit_code, reason, status):
    account.behaviours[account.subnets[0]] = Scripted(exit_code=exit_code, container_reason=reason)

    launched = operator.launch(*SERVICE)

    verdict = launched.reports[account.subnets[0]]["verdict"]
    assert verdict["status"] == status, launched
    assert launched.exit_code == (4 if status == "warn" else 3), launched
    assert str(exit_code) in verdict["summary"] and reason in verdict["summary"], launched


class WritesReport(Scripted):
    """A task that logs `text` and then ends."""

    def __init__(self, logs, text, exit_code=11):
        super().__init__(exit_code=exit_code)
        self.logs, self.text = logs, text

    def run(self, task):
        super().run(task)
        stream = {"logGroupName": LOG_GROUP, "logStreamName": f"ecs/pullprobe/{task.id}"}
        event = {"timestamp": int(task.created * 1000), "message": self.text}
        self.logs.create_log_stream(**stream)
        self.logs.put_log_events(**stream, logEvents=[event])


def test_logged_report_counts_only_if_the_exit_code_agrees(operator, account):
    logs = client("logs", account.moto.url)
    report = operator.launch(*SERVICE, "--run-id", "one").reports[account.subnets[0]]
    passed = json.dumps({**report, "run": {**report["run"], "id": "two"}})
    other_run, truncated = json.dumps(report), passed[: len(passed) // 2]
    texts = [passed, truncated, other_run, '{"schema":"pullprobe/report/v1"}']
    account.behaviours = {
        subnet: WritesReport(logs, text)
        for subnet, text in zip(account.subnets, texts, strict=True)
    }

    launched = operator.launch(*LOGGED, "--run-id", "two")

    assert launched.exit_code == 11 and len(launched.reports) == 4, launched
    for report in launched.reports.values():
        witnesses = {observation["witness"] for observation in report["observations"]}
        assert report["verdict"]["exit_code"] == 11 and witnesses == {"ecs"}, launched
        assert "did not reach" not in report["verdict"]["summary"], launched
        assert LOG_GROUP in report["verdict"]["summary"], launched


def test_rejected_subnet_is_reported_and_the_others_are_probed(operator, account):
    launched = operator.launch(*SERVICE, "--subnets", account.subnets[0], BAD_SUBNET)

    assert launched.reports[account.subnets[0]]["verdict"]["status"] == "pass", launched
    verdict = launched.reports[BAD_SUBNET]["verdict"]
    assert verdict["exit_code"] == launched.exit_code == 3, launched
    assert "does not exist" in verdict["summary"], launched


def test_missing_capacity_is_waited_for_until_the_timeout(operator, account):
    subnet = account.subnets[3]
    reason = "Capacity is unavailable at this time. "
    reason += "Please try again later or in a different availability zone"
    account.run_errors[subnet] = {"reason": reason}

    launched = operator.launch(*SERVICE, "--timeout", "3s")

    report = launched.reports[subnet]
    assert report["verdict"]["exit_code"] == launched.exit_code == 20, launched
    assert report["findings"][0]["cause"] == "capacity-unavailable"
    attempts = [network for network in networks(account) if subnet in network["subnets"]]
    assert 1 < len(attempts) < 12


def denied(action, resource):
    """Returns IAM's message for an action that no policy allows."""
    return (
        "User: arn:aws:iam::123456789012:user/dev is not authorized to perform: "
        f"{action} on resource: {resource} because no identity-based policy allows "
        f"the {action} action"
    )


PASS_ROLE = denied("iam:PassRole", EXECUTION_ROLE)
TASK_DEFINITION = "arn:aws:ecs:us-east-1:123456789012:task-definition/pullprobe-0:1"


@pytest.mark.parametrize(
    "operation, action, message",
    [
        ("RunTask", "ecs:RunTask", denied("ecs:RunTask", TASK_DEFINITION)),
        ("RunTask", "iam:PassRole", PASS_ROLE),
        ("RegisterTaskDefinition", "iam:PassRole", PASS_ROLE),
        ("DescribeServices", "ecs:DescribeServices", denied("ecs:DescribeServices", "*")),
        ("DescribeTasks", "ecs:DescribeTasks", denied("ecs:DescribeTasks", "*")),
    ],
)
def test_missing_permission_is_reported_with_its_statement_and_stops_everything(
    operator, account, operation, action, message
):
    account.behaviours = {subnet: Scripted(pending=60) for subnet in account.subnets}
    account.errors[operation] = ApiError("AccessDeniedException", message)

    launched = operator.launch(*SERVICE)

    assert launched.exit_code == 1 and f'"Action":"{action}"' in launched.stderr, launched
    assert account.running() == []


GROUP_ARN = f"arn:aws:logs:us-east-1:123456789012:log-group:{LOG_GROUP}"


@pytest.mark.parametrize("exit_code, status", [(0, "pass"), (3, "inconclusive"), (11, "fail")])
def test_operator_who_may_not_read_the_log_gets_the_exit_code(operator, account, exit_code, status):
    message = denied("logs:GetLogEvents", f"{GROUP_ARN}:log-stream:ecs/pullprobe/0123")
    account.errors["GetLogEvents"] = ApiError("AccessDeniedException", message)
    account.behaviours = {subnet: Scripted(exit_code=exit_code) for subnet in account.subnets}

    launched = operator.launch(*LOGGED)

    assert launched.exit_code == exit_code, launched
    statement = f'{{"Action":"logs:GetLogEvents","Effect":"Allow","Resource":"{GROUP_ARN}:*"}}'
    assert launched.stderr.count(statement) == 1, launched
    for report in launched.reports.values():
        verdict = report["verdict"]
        assert (verdict["status"], verdict["exit_code"]) == (status, exit_code), launched
        first, _, rest = verdict["summary"].partition(statement)
        assert first.startswith("The probe's report could not be read: your credentials"), verdict
        assert f"exit code {exit_code}" in rest or exit_code in (0, 3), verdict
        assert {finding["cause"] for finding in report["findings"]} <= {"unknown"}, launched
        assert report["delivery"]["logs"] == "unknown", launched

    shown = operator.finish(operator.start_launch(*LOGGED, output="text"))
    for invented in ("timed-out", " 0 ms", "Not written", "no-egress-route"):
        assert invented not in shown.stdout, shown


NOT_FOR_CLASS = "The specified operation is not supported for this log class."


def test_report_in_an_infrequent_access_log_group_is_queried(operator, account):
    text = json.dumps(operator.launch(*SERVICE, "--run-id", "one").reports[account.subnets[0]])
    logs = client("logs", account.moto.url)
    account.behaviours = {subnet: Scripted() for subnet in account.subnets}
    account.behaviours[account.subnets[0]] = WritesReport(logs, text, exit_code=0)
    account.errors["GetLogEvents"] = ApiError("InvalidOperationException", NOT_FOR_CLASS)

    launched = operator.launch(*LOGGED, "--run-id", "one", "--subnets", account.subnets[0])

    assert launched.exit_code == 0, launched
    assert launched.reports[account.subnets[0]] == json.loads(text), launched
    assert launched.stderr.count("CloudWatch Logs Insights") == 1, launched
    [query] = account.requests_of("StartQuery")
    assert query["logGroupName"] == LOG_GROUP and "ecs/pullprobe/" in query["queryString"]


def test_missing_permission_to_query_is_named(operator, account):
    account.errors["GetLogEvents"] = ApiError("InvalidOperationException", NOT_FOR_CLASS)
    message = denied("logs:StartQuery", f"{GROUP_ARN}:log-stream:")
    account.errors["StartQuery"] = ApiError("AccessDeniedException", message)

    launched = operator.launch(*LOGGED)

    assert launched.exit_code == 0, launched
    assert launched.stderr.count('"Action":"logs:StartQuery"') == 1, launched


def test_dry_run_prints_every_request_and_changes_nothing(operator, account):
    launched = operator.launch(*LOGGED, "--dry-run")
    assert launched.exit_code == 0, launched
    printed = [json.loads(line) for line in launched.stdout.splitlines()]
    sent = {operation for _, operation, _ in account.requests}
    assert sent == {request["operation"] for request in printed if request["sent"]}
    assert not {"RunTask", "RegisterTaskDefinition", "StopTask"} & sent
    changes = {"RegisterTaskDefinition", "RunTask", "DescribeTasks", "GetLogEvents", "StopTask"}
    assert changes <= {request["operation"] for request in printed}

    runs = [request["body"] for request in printed if request["operation"] == "RunTask"]
    real = operator.launch(*LOGGED, "--run-id", runs[0]["startedBy"].removeprefix("pullprobe/"))
    assert real.exit_code == 0

    def comparable(run):
        tags = [tag for tag in run["tags"] if tag["key"] != "pullprobe:launcher"]
        return str({**run, "taskDefinition": None, "clientToken": None, "tags": tags})

    requested = account.requests_of("RunTask")
    assert sorted(map(comparable, runs)) == sorted(map(comparable, requested))


def test_dry_run_as_text_is_one_sentence_for_each_action(operator, account):
    launched = operator.finish(operator.start_launch(*LOGGED, "--dry-run", output="text"))

    assert launched.exit_code == 0, launched
    first, *sentences = launched.stdout.splitlines()
    text = " ".join(" ".join(sentences).split())
    assert "changed nothing" in first, launched
    for part in ("registers task definition", "runs 4 tasks", "about $0.0008", "reports from log"):
        assert part in text, launched
    assert "{" not in text and "--verbose" in text, launched


def test_last_lines_of_a_launch_are_what_to_do(operator, account):
    account.behaviours = {subnet: Scripted(exit_code=0) for subnet in account.subnets}
    account.behaviours[account.subnets[0]] = Scripted(exit_code=14)

    for flags in ([], ["--quiet"]):
        launched = operator.finish(operator.start_launch(*SERVICE, *flags, output="text"))
        lines = launched.stdout.splitlines()
        assert launched.exit_code == 14, launched
        assert lines[-1].startswith("  more: pullprobe causes"), launched
        assert "What to do" in lines and "Ruled out" not in launched.stdout, launched
        passing = [f"✓ {subnet}" in launched.stdout for subnet in account.subnets[1:]]
        assert all(passing) if not flags else not any(passing), launched


def test_reused_run_id_starts_new_tasks(operator, account):
    for exit_code in (0, 14):
        account.behaviours = {subnet: Scripted(exit_code=exit_code) for subnet in account.subnets}
        launched = operator.launch(*SERVICE, "--run-id", "ci-42")
        assert launched.exit_code == exit_code, launched
    assert len(account.tasks) == 8


def test_unknown_service_is_reported_with_the_command_that_lists_services(operator, account):
    absent = operator.launch("--service", "absent", *IMAGE)
    assert absent.exit_code == 2 and "aws ecs list-services" in absent.stderr, absent


def test_service_on_external_instances_needs_subnets(operator, account):
    deployed = deployed_service(account)
    client("ecs", account.moto.url).create_service(
        cluster="prod",
        serviceName="old",
        taskDefinition=deployed["taskDefinition"],
        desiredCount=1,
        launchType="EC2",
        networkConfiguration=deployed["networkConfiguration"],
    )
    account.launch_types["old"] = "EXTERNAL"  # which moto does not take

    launched = operator.launch("--service", "old", *IMAGE)
    assert launched.exit_code == 2, launched
    assert "instance" in launched.stderr and "--subnets" in launched.stderr, launched

    named = operator.launch("--service", "old", *IMAGE, "--subnets", account.subnets[0])
    assert named.exit_code == 0, named
    assert account.requests_of("RunTask")[0]["launchType"] == "FARGATE", named
