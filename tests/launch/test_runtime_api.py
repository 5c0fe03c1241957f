"""The static file as a function of AWS Lambda: invocations, errors, deadlines, and nothing kept."""

import contextlib
import os
import resource
import socket
import statistics
import subprocess

import pytest

from pullprobe_testing import binaries, pace
from pullprobe_testing.runtime_api import RuntimeApi

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1.4"
EXECUTION_ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE00000000A", "AWS_SECRET_ACCESS_KEY": "s" * 40}
PATIENCE = 30  # seconds for what takes one or two


@contextlib.contextmanager
def silent_resolver():
    """Yields an address at which nothing answers queries."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unread:
        unread.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{unread.getsockname()[1]}"


@contextlib.contextmanager
def function(limits=None):
    """Runs the static file as Lambda does: as bootstrap, without arguments."""
    api = RuntimeApi()
    environment = {"AWS_LAMBDA_RUNTIME_API": api.address, "AWS_REGION": "us-east-1", **KEYS}
    process = subprocess.Popen(
        [binaries.require_probe()],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=limits,
    )
    try:
        yield api, process
    finally:
        process.kill()
        process.communicate()
        api.close()


def event(*arguments, **more):
    return {"arguments": [f"--image={IMAGE}", *arguments], **more}


def invoke(api, *arguments, seconds=40, **more):
    invocation = api.begin(event(*arguments, **more), seconds)
    assert invocation.answered.wait(pace.limit(PATIENCE))
    return invocation


def test_each_invocation_is_one_run_and_nothing_is_kept():
    with function() as (api, process):
        for run in ("first", "second", "third"):
            with silent_resolver() as resolver:
                label = f"--label=turn={run}"
                answer = invoke(
                    api, f"--resolver={resolver}", f"--run-id={run}", "--deadline=3s", label
                )
            assert answer.error_type is None
            report = answer.document
            assert report["schema"] == "pullprobe/report/v1"
            assert (report["run"]["id"], report["run"]["labels"]) == (run, {"turn": run})
            assert report["vantage"]["carrier"] == "lambda"
            assert report["verdict"]["status"] == "fail"
            assert report["findings"][0]["family"] == "resolve"
            ids = [seen["id"] for seen in report["observations"]]
            assert len(ids) == len(set(ids))
        assert process.poll() is None, "it waits for the next invocation"


def test_event_says_what_a_function_cannot_find_out():
    subnet = {"availability_zone": "us-east-1a", "cidr": "10.0.1.0/24", "cluster": "prod"}
    role = "arn:aws:iam::123456789012:role/pullprobe-lambda"
    task = {"execution_role": EXECUTION_ROLE, "function_role": role}
    with function() as (api, _), silent_resolver() as resolver:
        arguments = f"--resolver={resolver}", "--deadline=2s"
        report = invoke(api, *arguments, subnet=subnet, task=task).document
    vantage = report["vantage"]
    assert (vantage["availability_zone"], vantage["subnet_cidr"]) == ("us-east-1a", "10.0.1.0/24")
    assert vantage["cluster"] == "prod" and report["identity"]["role_arn"] == role
    outcomes = {seen["id"]: seen for seen in report["observations"]}
    assert EXECUTION_ROLE in outcomes["credentials/authorize"]["why"]
    assert "metadata endpoint" in outcomes["metadata/read"]["why"]


def test_run_ends_before_lambda_ends_the_function():
    with function() as (api, _), silent_resolver() as resolver:
        answer = invoke(api, f"--resolver={resolver}", "--deadline=30s", seconds=4)
    assert answer.took < 4
    assert {seen["outcome"] for seen in answer.document["observations"]} >= {"not-reached"}


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"not JSON", "the event is not what"),
        ({"key1": "value1"}, "unknown field `key1`"),
        ({}, "--image"),
        ({"arguments": ["--image", "UPPER"]}, "UPPER"),
        ({"arguments": ["--no-such-flag"]}, "--no-such-flag"),
    ],
)
def test_invalid_event_is_an_error_and_the_function_goes_on(sent, words):
    with function() as (api, process):
        for _ in range(2):
            invocation = api.begin(sent)
            assert invocation.answered.wait(pace.limit(PATIENCE))
            assert invocation.error_type == "Pullprobe.InvalidEvent"
            assert words in invocation.document["errorMessage"], invocation.document
            assert invocation.document["errorType"] == invocation.error_type
        assert process.poll() is None


def test_failure_to_start_is_reported():
    def limits():
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    with function(limits) as (api, process):
        assert process.wait(pace.limit(PATIENCE)) == 1
        kind, document = api.init_error
    assert kind == "Pullprobe.InitFailed" and "256" in document["errorMessage"]


def test_broken_runtime_api_ends_the_process():
    with function() as (api, process), silent_resolver() as resolver:
        api.statuses["response"] = 500
        invoke(api, f"--resolver={resolver}", "--deadline=1s")
        assert process.wait(pace.limit(PATIENCE)) == 1


def test_no_answer_contains_the_keys_of_the_function():
    with function() as (api, process), silent_resolver() as resolver:
        answers = [
            invoke(api, f"--resolver={resolver}", "--deadline=1s").answer,
            invoke(api, f"--label=key={KEYS['AWS_SECRET_ACCESS_KEY']}", "--no-such").answer,
        ]
        process.kill()
        answers += process.communicate()
    # The second is an argument of the event: what the operator sent comes back.
    assert KEYS["AWS_SECRET_ACCESS_KEY"].encode() not in answers[0]


def test_with_arguments_it_is_the_command_line():
    environment = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "PATH": os.environ["PATH"]}
    shown = subprocess.run(
        [binaries.require_probe(), "--version"], env=environment, capture_output=True, text=True
    )
    assert shown.stdout.startswith("pullprobe "), shown


def test_outside_of_a_function_memory_and_time_do_not_grow():
    """The code that serves a function is only read in one."""

    def measure(environment):
        command = ["/usr/bin/time", "--format", "%e %M", binaries.require_probe(), "causes"]
        # Python's own pages would count for a process that it forks.
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        seconds, memory = done.stderr.split()
        return float(seconds), int(memory)

    runs = [measure({}) for _ in range(9)]
    assert statistics.median(memory for _, memory in runs) < 6 * 1024  # KiB
    assert statistics.median(seconds for seconds, _ in runs) < pace.limit(0.05)


def test_memory_of_a_warm_function_does_not_grow():
    def memory(process):
        with open(f"/proc/{process.pid}/status") as status:
            [line] = [line for line in status if line.startswith("VmRSS")]
        return int(line.split()[1])

    with function() as (api, process), silent_resolver() as resolver:
        sizes = []
        for _ in range(12):
            invoke(api, f"--resolver={resolver}", "--deadline=300ms")
            sizes.append(memory(process))
    assert max(sizes) - sizes[2] < 1024, sizes  # KiB
