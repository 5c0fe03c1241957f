"""The printed state machine is executed: list, map, retries, Catch, tolerated failures, last step.

`ministack` executes the definition unchanged, with this binary as both functions; their AWS is moto
and the ECS stand-in. What it does not check is held against a schema of the States Language.
"""

import json

import pytest
import yaml

from pullprobe_testing import binaries, emulators
from pullprobe_testing.cli import operator_environment, run
from pullprobe_testing.ecs_standin import REGION, Scripted
from pullprobe_testing.fleet_account import BUCKET, DENIED, MEMBER, OWN, THROTTLED
from pullprobe_testing.step_functions import StepFunctions
from pullprobe_testing.templates import lint_errors, resources_of_type

KEY = "targets/targets.jsonl"
ATTEMPTS = 6  # of a throttled worker: one, and five retries
NO_S3 = (
    "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to copy: "
    "httpReadSeeker: failed open: failed to do request: Get "
    '"https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/a": dial tcp '
    "52.217.1.1:443: i/o timeout"
)


def printed(*flags):
    flags = ["--code", "s3://code-bucket/pullprobe.zip", *flags]
    done = run("fleet", "print", "--format", "cloudformation", *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def definition(names, *flags):
    """Returns the printed definition, with a value in place of each substitution."""
    [machine] = resources_of_type(
        yaml.safe_load(printed(*flags)), "AWS::StepFunctions::StateMachine"
    )
    text = json.dumps(machine["Definition"])
    for name in machine["DefinitionSubstitutions"]:
        text = text.replace("${" + name + "}", names[name])
    return json.loads(text)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    if not emulators.is_installed():
        pytest.skip("the emulator is not installed: run tests/support/install-emulators")
    with StepFunctions.running(tmp_path_factory.mktemp("states")) as engine:
        yield engine


@pytest.fixture
def machine(engine, front):
    """The printed state machine, with the binary as its functions."""
    variables = {
        **operator_environment(front.url, REGION),
        "PULLPROBE_FLEET_BUCKET": BUCKET,
        "PULLPROBE_FLEET_EXTERNAL_ID": "external-1",
        "PULLPROBE_FLEET_CARRIER": "fargate",
        "PULLPROBE_FLEET_TOPIC": front.client("sns").create_topic(Name="fleet")["TopicArn"],
    }
    bootstrap = f"#!/bin/sh\nexec {binaries.OPERATOR}\n"
    worker = engine.create_function("worker", bootstrap, variables)
    reducer = engine.create_function("reduce", bootstrap, variables)
    names = {"Worker": worker, "Reducer": reducer, "Bucket": BUCKET}
    engine.client("s3").create_bucket(Bucket=BUCKET)
    return engine.create_machine(definition(names, "--max-concurrency", "3"))


def put_list(engine, front, lines):
    """Writes the list where the map and the last step read it."""
    for client in (engine.client("s3"), front.client("s3")):
        client.put_object(Bucket=BUCKET, Key=KEY, Body="".join(lines).encode())


def test_map_probes_every_target_and_repeats_only_throttling(engine, machine, front):
    front.deploy(OWN)
    front.deploy(MEMBER, behaviour=Scripted(exit_code=None, reason=NO_S3))

    def line(account, **more):
        named = {"account": account, "region": REGION, "cluster": "prod", "service": "web"}
        return json.dumps(named | more) + "\n"

    unreadable = line(OWN, region="nowhere")
    accounts = (OWN, MEMBER, DENIED, THROTTLED)
    put_list(engine, front, [*map(line, accounts), unreadable])

    execution = engine.execute(machine, {"targets": KEY})

    assert execution["status"] == "SUCCEEDED", execution
    summary = json.loads(execution["output"])
    assert (summary["vantages"], summary["failing"]) == (4, 2), summary
    # Two could not be probed. The unreadable line is no target.
    assert summary["no_report"] == 2 and summary["exit_code"] == 11, summary
    described = engine.map_run(execution)
    assert described["maxConcurrency"] == 3 and described["toleratedFailurePercentage"] == 100
    counts = described["itemCounts"]
    assert (counts["total"], counts["succeeded"], counts["failed"]) == (5, 4, 1)

    attempts, statuses = {}, {}
    for item, status, kinds in engine.children(described):
        place = item["target"]["account"], item["target"]["region"]
        attempts[place], statuses[place] = kinds.count("TaskScheduled"), status
    assert attempts == {
        (OWN, REGION): 1,
        (MEMBER, REGION): 1,
        (DENIED, REGION): 1,
        (THROTTLED, REGION): ATTEMPTS + 1,  # then it is recorded
        (OWN, "nowhere"): 2,  # the worker and the record cannot read it
    }
    assert statuses.pop((OWN, "nowhere")) == "FAILED" and set(statuses.values()) == {"SUCCEEDED"}

    keys = front.objects("results/")
    stored = [front.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"] for key in keys]
    outcomes = {result["target"]["account"]: result["outcome"] for result in map(json.load, stored)}
    assert outcomes == {
        OWN: "probed",
        MEMBER: "probed",
        DENIED: "role-not-assumed",
        THROTTLED: "throttled",
    }
    parts = {key.split("/RUN")[0].rsplit("/", 1)[0].split("/", 2)[2] for key in keys}
    assert parts == {f"account={account}/region={REGION}" for account in accounts}


# What the emulator does not check, each with a mistake that the schema of cfn-lint must find.
MISTAKES = {
    "ResultWriter": ("ResultWriter:", "ResultWritter:"),
    "the tolerated percentage": (
        "ToleratedFailurePercentage: 100",
        "ToleratedFailurePercentage: many",
    ),
    "the first state": ("StartAt: ProbeTargets", "StartAt: Nowhere"),
}


def test_schema_of_the_states_language_finds_mistakes():
    text = printed()
    for part, (right, wrong) in MISTAKES.items():
        assert right in text, part
        assert lint_errors(text.replace(right, wrong), REGION), part
