"""`explain --task` and `--service`, against moto and against recorded responses of ECS.

moto runs no containers, so it never returns the reasons of tasks that failed to start.
"""

import contextlib
import json

import pytest

from pullprobe_testing import cli
from pullprobe_testing.accounts import (
    ACCOUNT,
    create_service,
    moto_client,
    register_task_definition,
)
from pullprobe_testing.loopback_http import Handler, LoopbackServer

REGION = "eu-west-1"
CLUSTER_ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod"
TARGET = "AmazonEC2ContainerServiceV20141113."
SERVICE = "--service", "web", "--cluster", "prod"

NO_ROUTE_TO_ECR = (
    "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull "
    "registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. "
    "Check your task network configuration. operation error ECR: GetAuthorizationToken, exceeded "
    "maximum number of attempts, 3, https response error StatusCode: 0, RequestID: , request send "
    'failed, Post "https://api.ecr.eu-west-1.amazonaws.com/": dial tcp 10.0.3.4:443: i/o timeout'
)
NO_ROUTE_TO_S3 = (
    "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: "
    "httpReadSeeker: failed open: failed to do request: "
    "Get 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web@sha256:0c0f: "
    "dial tcp 52.218.97.10:443: i/o timeout"
)
NO_ROLE = (
    "(service web) failed to launch a task with (error ECS was unable to assume the role "
    "'arn:aws:iam::123456789012:role/web' that was provided for this task.)"
)


def explain(url, *arguments):
    """Returns the finished command, and its explanations."""
    environment = cli.operator_environment(url, REGION)
    done = cli.run("explain", "--format", "json", *arguments, environment=environment)
    return done, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def task(moto):
    """The ARN of a stopped task of the service `web`."""
    moto.reset()
    ecs, ec2 = (moto_client(name, moto.url, REGION) for name in ("ecs", "ec2"))
    # moto's RunTask only works in a default VPC.
    subnets = [ec2.describe_subnets()["Subnets"][0]["SubnetId"]]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    definition = register_task_definition(
        ecs, [{"name": "web", "image": "web", "memory": 512}], family="web"
    )
    create_service(ecs, subnets, group, definition)
    network = {"awsvpcConfiguration": {"subnets": subnets, "securityGroups": [group]}}
    [task] = ecs.run_task(
        cluster="prod",
        taskDefinition="web",
        launchType="FARGATE",
        networkConfiguration=network,
        group="service:web",
    )["tasks"]
    ecs.stop_task(cluster="prod", task=task["taskArn"], reason=NO_ROUTE_TO_ECR)
    return task["taskArn"]


def test_task_is_explained_by_arn_or_by_id(moto, task):
    task_id = task.rsplit("/", 1)[1]
    for arguments in (
        ["--task", task, "--cluster", "prod"],
        ["--task", task],
        ["--task", task_id, "--cluster", "prod", "--region", REGION],
    ):
        done, explanations = explain(moto.url, *arguments)
        assert done.returncode == 11, done
        [explanation] = explanations
        assert explanation["step"] == "registry-auth"
        assert explanation["task_arn"] == task and explanation["peer"] == "10.0.3.4"
        assert "--cluster prod" in explanation["next"][0]


def test_expired_task_is_reported_with_what_to_try(moto, task):
    done, explanations = explain(moto.url, "--task", f"{task[:-8]}00000000", "--cluster", "prod")

    assert (done.returncode, explanations) == (2, [])
    for part in ("hour", "--service", "--cluster", REGION):
        assert part in done.stderr, done.stderr


def test_unknown_service_and_cluster_are_named(moto, task):
    done, explanations = explain(moto.url, "--service", "wbe", "--cluster", "prod")
    assert (done.returncode, explanations) == (2, []) and "wbe" in done.stderr, done

    done, explanations = explain(moto.url, "--task", task, "--cluster", "nowhere")
    assert done.returncode == 2 and "--cluster" in done.stderr and REGION in done.stderr, done


def test_service_is_explained_by_its_stopped_tasks(moto, task):
    done, explanations = explain(moto.url, *SERVICE)

    assert done.returncode == 11, done
    [explanation] = explanations
    found = explanation["service"], explanation["task_arn"], explanation["step"]
    assert found == ("web", task, "registry-auth")


class RecordedEcs:
    """Answers each operation with its entry in `responses`: (status, JSON), or a function."""

    def __init__(self):
        self.requests, self.responses = [], {}
        ecs = self

        class EcsHandler(Handler):
            def do_POST(self):
                request = json.loads(self.read_body())
                target = self.headers["X-Amz-Target"]
                assert target.startswith(TARGET)
                assert f"/{REGION}/ecs/aws4_request" in self.headers["Authorization"]
                operation = target.removeprefix(TARGET)
                ecs.requests.append((operation, request))
                response = ecs.responses[operation]
                status, document = response(request) if callable(response) else response
                content = json.dumps(document).encode()
                self.respond(status, content, "application/x-amz-json-1.1")

        self._server = LoopbackServer(EcsHandler)
        self.url, self.close = self._server.url, self._server.close


@pytest.fixture
def ecs():
    with contextlib.closing(RecordedEcs()) as ecs:
        yield ecs


def task_arn(number):
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/{number:032x}"


def stopped_task(number, reason, at):
    """Returns a task as DescribeTasks does: times are numbers, its container has the reason."""
    container = {"name": "web", "lastStatus": "STOPPED", "reason": reason}
    return {
        "taskArn": task_arn(number),
        "clusterArn": CLUSTER_ARN,
        "group": "service:web",
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stopCode": "TaskFailedToStart",
        "stoppedAt": at,
        "stoppedReason": "Task failed to start",
        "containers": [container],
    }


def service_with_events(*messages):
    """Returns a response of DescribeServices; the newest event is the first."""
    events = [
        {"id": str(number), "createdAt": 1764000000.5 - number, "message": message}
        for number, message in enumerate(messages)
    ]
    service = {"serviceName": "web", "clusterArn": CLUSTER_ARN, "events": events}
    return 200, {"services": [service], "failures": []}


def test_service_without_a_failure_is_reported(ecs):
    ecs.responses = {
        "DescribeServices": service_with_events("(service web) has reached a steady state."),
        "ListTasks": (200, {"taskArns": []}),
    }
    done, [explanation] = explain(ecs.url, *SERVICE)

    assert done.returncode == 3, done
    assert explanation["service"] == "web" and "no stopped task" in explanation["message"]


def test_newest_stopped_tasks_come_first_and_events_follow(ecs):
    stopped = (
        stopped_task(1, NO_ROUTE_TO_S3, 1763999000.0),
        stopped_task(2, NO_ROUTE_TO_ECR, 1763999900.0),
        stopped_task(3, NO_ROUTE_TO_S3, 1763999100.0),
    )
    tasks = {task["taskArn"]: task for task in stopped}
    pages = {
        None: {"taskArns": [task_arn(1)], "nextToken": "more"},
        "more": {"taskArns": [task_arn(2), task_arn(3)]},
    }
    ecs.responses = {
        "DescribeServices": service_with_events(
            "(service web) has started 1 tasks: (task 0a1b).",
            f"(service web) was unable to place a task. Reason: {NO_ROUTE_TO_S3}",
            NO_ROLE,
        ),
        "ListTasks": lambda request: (200, pages[request.get("nextToken")]),
        "DescribeTasks": lambda request: (
            200,
            {"tasks": [tasks[arn] for arn in request["tasks"]], "failures": []},
        ),
    }
    done, explanations = explain(ecs.url, *SERVICE)

    assert done.returncode == 11, done
    steps = [explanation["step"] for explanation in explanations]
    arns = [explanation.get("task_arn") for explanation in explanations]
    assert steps[:2] == ["registry-auth", "image-layer"]
    assert arns[:2] == [task_arn(2), task_arn(3)]
    assert steps[2:] in (["assume-role"], ["image-layer", "assume-role"]), explanations
    assert explanations[0]["said_at"] == "2025-11-24T15:58:20Z"
    assert explanations[-1]["said_at"] == "2025-11-24T15:59:58Z"
    requests = [request for operation, request in ecs.requests if operation == "ListTasks"]
    assert len(requests) == 2
    for request in requests:
        chosen = request["serviceName"], request["desiredStatus"], request["cluster"]
        assert chosen == ("web", "STOPPED", "prod")


@pytest.mark.parametrize("operation", ["DescribeServices", "ListTasks", "DescribeTasks"])
def test_missing_permission_is_reported_with_its_statement(ecs, operation):
    action = f"ecs:{operation}"
    message = (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/dev/me is not authorized to perform: {action} "
        f"on resource: * because no identity-based policy allows the {action} action"
    )
    ecs.responses = {
        "DescribeServices": service_with_events(),
        "ListTasks": (200, {"taskArns": [task_arn(1)]}),
        "DescribeTasks": (200, {"tasks": [], "failures": []}),
        operation: (400, {"__type": "AccessDeniedException", "message": message}),
    }
    done, explanations = explain(ecs.url, *SERVICE)

    assert (done.returncode, explanations) == (1, [])
    assert f'"Action":"{action}"' in done.stderr, done.stderr
    assert '"Effect":"Allow"' in done.stderr, done.stderr


def test_running_task_is_not_explained(ecs):
    pending = {
        "taskArn": task_arn(7),
        "clusterArn": CLUSTER_ARN,
        "lastStatus": "PENDING",
        "desiredStatus": "RUNNING",
        "containers": [{"name": "web", "lastStatus": "PENDING"}],
    }
    ecs.responses = {"DescribeTasks": (200, {"tasks": [pending], "failures": []})}
    done, [explanation] = explain(ecs.url, "--task", task_arn(7))

    assert done.returncode == 3, done
    assert (explanation["family"], explanation["findings"]) == ("unknown", [])
    assert "PENDING" in explanation["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cluster", "prod"],
        ["--region", REGION],
        ["--task", task_arn(1), "--service", "web"],
        ["--task", task_arn(1), "a text"],
    ],
)
def test_flags_that_do_not_fit_together_are_refused(ecs, arguments):
    done, _ = explain(ecs.url, *arguments)

    assert done.returncode == 2 and ecs.requests == [], done
