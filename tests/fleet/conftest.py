"""`pullprobe fleet` as an operator and as Lambda run it, against moto and the ECS stand-in."""

import json
import os
import subprocess

import pytest

from pullprobe_testing import binaries, pace
from pullprobe_testing.cli import operator_environment, run
from pullprobe_testing.ecs_standin import REGION
from pullprobe_testing.fleet_account import BUCKET, FleetFront
from pullprobe_testing.runtime_api import RuntimeApi

MAX_ANSWER = 60  # seconds


@pytest.fixture
def front(moto):
    front = FleetFront(moto)
    front.client("s3").create_bucket(Bucket=BUCKET)
    yield front
    front.close()


@pytest.fixture
def fleet(front):
    """Runs a command of `pullprobe` against the front."""

    def fleet(*arguments, given=None, code=0):
        environment = operator_environment(front.url, REGION)
        done = run(*arguments, given=given, environment=environment)
        assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr)
        return done

    return fleet


@pytest.fixture
def function(front):
    """Invokes the same binary as a function of AWS Lambda; returns its answers."""
    api = RuntimeApi()
    variables = {
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "PULLPROBE_FLEET_BUCKET": BUCKET,
        "PULLPROBE_FLEET_EXTERNAL_ID": "external-1",
    }
    topic = front.client("sns").create_topic(Name="fleet")["TopicArn"]
    variables["PULLPROBE_FLEET_TOPIC"] = topic
    process = subprocess.Popen(
        [binaries.OPERATOR],
        env=operator_environment(front.url, REGION) | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def invoke(event, seconds=900):
        invocation = api.begin(event, seconds)
        assert invocation.answered.wait(pace.limit(MAX_ANSWER))
        return invocation

    invoke.topic = topic
    invoke.output = lambda: os.read(process.stdout.fileno(), 1 << 20).decode()
    yield invoke
    process.kill()
    process.wait()
    api.close()


@pytest.fixture
def results():
    """Reads the results of a run from a directory."""

    def read(directory):
        files = directory.glob("results/**/*.json")
        documents = [json.loads(file.read_text()) for file in files]
        return {document["target"]["account"]: document for document in documents}

    return read
