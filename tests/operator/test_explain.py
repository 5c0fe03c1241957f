"""`pullprobe explain --task` and `--service`: against moto for the protocol, and against recorded answers for what moto,
which runs no containers, never says.
"""

import http.server
import json
import os
import pathlib
import socket
import subprocess
import threading
import time

import boto3
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("PULLPROBE_BINARY", ROOT / "target/debug/pullprobe"))
REGION, ACCOUNT = "eu-west-1", "123456789012"
LONGEST_START = 60  # seconds; moto needs two, a busy machine more

SILENT = (
    "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from "
    "Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. "
    "operation error ECR: GetAuthorizationToken, exceeded maximum number of attempts, 3, https response error "
    'StatusCode: 0, RequestID: , request send failed, Post "https://api.ecr.eu-west-1.amazonaws.com/": dial tcp '
    "10.0.3.4:443: i/o timeout"
)
LAYERS = (
    "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: failed open: failed "
    "to do request: Get 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web@sha256:0c0f: dial tcp 52.218.97.10:443: "
    "i/o timeout"
)


def explain(url, *arguments):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = subprocess.run(
        [BINARY, "explain", "--format", "json", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return done, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def moto():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [ROOT / "target/venv/bin/moto_server", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + LONGEST_START
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert time.monotonic() < end and server.poll() is None, "moto_server did not start"
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def cluster(moto):
    """A cluster with a service, and a task that was stopped for a reason."""

    def client(name):
        return boto3.client(
            name,
            endpoint_url=moto,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    ec2, ecs = client("ec2"), client("ecs")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    ecs.create_cluster(clusterName="prod")
    ecs.register_task_definition(
        family="web",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "web", "image": "web", "memory": 512}],
    )
    ecs.create_service(
        cluster="prod",
        serviceName="web",
        taskDefinition="web",
        desiredCount=0,
        launchType="FARGATE",
        networkConfiguration=network,
    )
    task = ecs.run_task(
        cluster="prod",
        taskDefinition="web",
        launchType="FARGATE",
        networkConfiguration=network,
        group="service:web",
    )["tasks"][0]
    ecs.stop_task(cluster="prod", task=task["taskArn"], reason=SILENT)
    return task["taskArn"]


def test_a_task_is_read_and_explained(moto, cluster):
    for arguments in (
        ["--task", cluster, "--cluster", "prod"],
        ["--task", cluster],
        ["--task", cluster.rsplit("/", 1)[1], "--cluster", "prod", "--region", REGION],
    ):
        done, explained = explain(moto, *arguments)
        assert done.returncode == 11, done
        assert [e["step"] for e in explained] == ["registry-auth"]
        assert explained[0]["task_arn"] == cluster and explained[0]["peer"] == "10.0.3.4"
        assert "--cluster prod" in explained[0]["next"][0]


def test_a_task_that_is_gone_is_said_to_be(moto, cluster):
    done, explained = explain(moto, "--task", cluster[:-8] + "00000000", "--cluster", "prod")
    assert (done.returncode, explained) == (2, [])
    for part in ("an hour", "--service", "--cluster", REGION):
        assert part in done.stderr, done.stderr


def test_what_is_not_there_is_named(moto, cluster):
    done, explained = explain(moto, "--service", "wbe", "--cluster", "prod")
    assert (done.returncode, explained) == (2, []) and "no service wbe" in done.stderr, done
    done, explained = explain(moto, "--task", cluster, "--cluster", "nowhere")
    assert done.returncode == 1 and "check --cluster" in done.stderr, done


def test_a_service_is_read(moto, cluster):
    done, explained = explain(moto, "--service", "web", "--cluster", "prod")
    assert done.returncode == 11, done
    assert [(e["service"], e["task_arn"], e["step"]) for e in explained] == [
        ("web", cluster, "registry-auth")
    ]


def test_a_service_without_a_failure_says_so(recorded):
    recorded.answers = {
        "DescribeServices": (200, service("(service web) has reached a steady state.")),
        "ListTasks": (200, {"taskArns": []}),
    }
    done, explained = explain(recorded.url, "--service", "web", "--cluster", "prod")
    assert done.returncode == 3, done
    assert [e["service"] for e in explained] == ["web"] and "no stopped task" in explained[0][
        "message"
    ]


class Recorded(http.server.BaseHTTPRequestHandler):
    """Answers each operation with what was recorded, page by page, and keeps what was asked."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        target = self.headers["X-Amz-Target"]
        assert target.startswith("AmazonEC2ContainerServiceV20141113.")
        assert "/eu-west-1/ecs/aws4_request" in self.headers["Authorization"]
        operation = target.split(".")[1]
        self.server.asked.append((operation, asked))
        answer = self.server.answers[operation]
        status, body = answer(asked) if callable(answer) else answer
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def recorded():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
    server.asked, server.answers = [], {}
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def arn(number):
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/{number:032x}"


def stopped(number, reason, at):
    """As DescribeTasks answers: the time is a number, the reason at the task and at its container."""
    return {
        "taskArn": arn(number),
        "clusterArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod",
        "group": "service:web",
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stopCode": "TaskFailedToStart",
        "stoppedAt": at,
        "stoppedReason": "Task failed to start",
        "containers": [{"name": "web", "lastStatus": "STOPPED", "reason": reason}],
    }


def service(*messages):
    return {
        "services": [
            {
                "serviceName": "web",
                "clusterArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod",
                "events": [
                    {"id": str(n), "createdAt": 1764000000.5 - n, "message": message}
                    for n, message in enumerate(messages)
                ],
            }
        ],
        "failures": [],
    }


def test_the_newest_stopped_tasks_go_first_and_events_follow(recorded):
    tasks = {
        t["taskArn"]: t
        for t in (
            stopped(1, LAYERS, 1763999000.0),
            stopped(2, SILENT, 1763999900.0),
            stopped(3, LAYERS, 1763999100.0),
        )
    }
    pages = {None: ([arn(1)], "more"), "more": ([arn(2), arn(3)], None)}

    def listed(asked):
        arns, more = pages[asked.get("nextToken")]
        return 200, {"taskArns": arns, **({"nextToken": more} if more else {})}

    recorded.answers = {
        "DescribeServices": (
            200,
            service(
                "(service web) has started 1 tasks: (task 0a1b).",
                f"(service web) was unable to place a task. Reason: {LAYERS}",
                "(service web) failed to launch a task with (error ECS was unable to assume the role "
                "'arn:aws:iam::123456789012:role/web' that was provided for this task.)",
            ),
        ),
        "ListTasks": listed,
        "DescribeTasks": lambda asked: (
            200,
            {"tasks": [tasks[a] for a in asked["tasks"]], "failures": []},
        ),
    }
    done, explained = explain(recorded.url, "--service", "web", "--cluster", "prod")
    assert done.returncode == 11, done
    assert [(e["step"], e.get("task_arn")) for e in explained[:2]] == [
        ("registry-auth", arn(2)),
        ("image-layer", arn(3)),
    ]
    assert explained[0]["said_at"] == "2025-11-24T15:58:20Z"
    assert [e["step"] for e in explained[2:]] in (
        ["assume-role"],
        ["image-layer", "assume-role"],
    ), explained
    assert explained[-1]["said_at"] == "2025-11-24T15:59:58Z"
    listing = [asked for operation, asked in recorded.asked if operation == "ListTasks"]
    assert all(
        (a["serviceName"], a["desiredStatus"], a["cluster"]) == ("web", "STOPPED", "prod")
        for a in listing
    )
    assert len(listing) == 2


@pytest.mark.parametrize("operation", ["DescribeServices", "ListTasks", "DescribeTasks"])
def test_a_missing_right_names_the_statement_that_grants_it(recorded, operation):
    action = f"ecs:{operation}"
    refusal = (
        400,
        {
            "__type": "AccessDeniedException",
            "message": f"User: arn:aws:sts::{ACCOUNT}:assumed-role/dev/me is not authorized to perform: {action} on resource: * "
            f"because no identity-based policy allows the {action} action",
        },
    )
    recorded.answers = {
        "DescribeServices": (200, service()),
        "ListTasks": (200, {"taskArns": [arn(1)]}),
        "DescribeTasks": (200, {"tasks": [], "failures": []}),
        operation: refusal,
    }
    done, explained = explain(recorded.url, "--service", "web", "--cluster", "prod")
    assert (done.returncode, explained) == (1, [])
    assert f'"Action":"{action}"' in done.stderr and '"Effect":"Allow"' in done.stderr, done.stderr


def test_a_task_that_has_not_stopped_is_not_guessed_at(recorded):
    pending = {
        "taskArn": arn(7),
        "clusterArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod",
        "lastStatus": "PENDING",
        "desiredStatus": "RUNNING",
        "containers": [{"name": "web", "lastStatus": "PENDING"}],
    }
    recorded.answers = {"DescribeTasks": (200, {"tasks": [pending], "failures": []})}
    done, explained = explain(recorded.url, "--task", arn(7))
    assert (done.returncode, explained[0]["family"], explained[0]["findings"]) == (3, "unknown", [])
    assert "PENDING" in explained[0]["message"]


def test_flags_that_say_nothing_alone_are_refused(recorded):
    for arguments in (
        ["--cluster", "prod"],
        ["--region", REGION],
        ["--task", arn(1), "--service", "web"],
        ["--task", arn(1), "a text"],
    ):
        done, _ = explain(recorded.url, *arguments)
        assert done.returncode == 2 and recorded.asked == [], done
