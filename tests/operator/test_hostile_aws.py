"""Commands with the operator's credentials, when an answer of AWS has hostile text in any place.

The answers are recorded once from a healthy run and then replayed with the text in one place.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import socket
import struct
import tempfile
import time

import pytest

from pullprobe_testing import binaries, cli, hostile_aws, images, launch_account, pace, reports
from pullprobe_testing.accounts import ACCOUNT, moto_client, registry_host
from pullprobe_testing.configuration_standin import ConfigurationStandin
from pullprobe_testing.ecr_standin import EcrStandin
from pullprobe_testing.ecs_standin import REGION, Instance, Scripted
from pullprobe_testing.hostile_aws import FLATTENED, TYPES, HostileAws
from pullprobe_testing.inspected_vpc import InspectedVpc
from pullprobe_testing.lambda_standin import ROLE, ScriptedFunction
from pullprobe_testing.registries import Distribution
from pullprobe_testing.schedule_account import PROBE_IMAGE, SCHEDULER, TOPIC, ScheduleAccount

LOG_GROUP = launch_account.LOG_GROUP
CODES = {0, 1, 2, 3, 4, *range(10, 21)}
MAX_COMMAND = 90  # seconds on an idle machine
NO_ROUTE = Scripted(
    exit_code=None,
    reason="ResourceInitializationError: unable to pull secrets or registry auth: "
    'Post "https://api.ecr.us-east-1.amazonaws.com/": dial tcp 52.94.184.143:443: i/o timeout',
    container_reason="CannotPullContainerError: i/o timeout",
)

INTERFACE = hostile_aws.xml_answer(
    "<DescribeNetworkInterfacesResponse><networkInterfaceSet><item><groupSet><item>"
    "<groupId>sg-0123456789abcdef0</groupId></item></groupSet></item></networkInterfaceSet>"
    "</DescribeNetworkInterfacesResponse>"
)
ALARMS = hostile_aws.xml_answer(
    "<DescribeAlarmsResponse><DescribeAlarmsResult><MetricAlarms><member><AlarmName>a</AlarmName>"
    "</member></MetricAlarms><NextToken></NextToken></DescribeAlarmsResult></DescribeAlarmsResponse>"
)
MANIFEST = {"schemaVersion": 2, "mediaType": images.MANIFEST, "layers": []}
STORED_IMAGE = hostile_aws.json_answer(
    {"images": [{"registryId": ACCOUNT, "imageManifest": json.dumps(MANIFEST)}], "failures": []}
)


@dataclasses.dataclass
class Command:
    """A command, and the answers that a healthy run of it got."""

    arguments: list
    recording: object = None
    region: str = REGION
    files: tuple = ()

    @property
    def output(self):
        at = self.arguments.index("--format") if "--format" in self.arguments else None
        return "text" if at is None else self.arguments[at + 1]

    def run(self, aws):
        """Returns the finished command and everything that it printed and wrote."""
        environment = cli.operator_environment(aws.url, self.region)
        with tempfile.TemporaryDirectory() as directory:
            files = {name: pathlib.Path(directory) / name for name in self.files}
            flags = [
                part
                for name, file in files.items()
                for part in (f"--{name.removesuffix('-file')}", file)
            ]
            done = cli.run(
                *self.arguments, *flags, environment=environment, timeout=pace.limit(MAX_COMMAND)
            )
            outputs = {"stdout": done.stdout, "stderr": done.stderr, self.output: done.stdout}
            for name, file in files.items():
                outputs[name] = file.read_text() if file.exists() else ""
        return done, outputs


def record(*arguments, upstream, region=REGION, code=None, files=(), before=None):
    """Runs a command against healthy servers; returns it with the answers that it got."""
    with HostileAws(upstream) as aws:
        if before:
            before(aws.url)
        command = Command(list(map(str, arguments)), region=region, files=files)
        done, _ = command.run(aws)
        assert code is None or done.returncode == code, done
        command.recording = Recording(aws.url, with_ended_tasks(aws.answers))
        if arguments[0] == "launch":
            command.arguments += ["--timeout", "2s"]  # a status that is not one is waited for
    return command


def with_ended_tasks(answers):
    """Returns the answers with the last state of every task instead of all that were asked for."""
    tasks = {}
    for answer in answers.get("DescribeTasks", []):
        tasks |= {task["taskArn"]: task for task in json.loads(answer.body).get("tasks", [])}
    if not tasks:
        return dict(answers)
    ended = hostile_aws.json_answer({"tasks": list(tasks.values()), "failures": []})
    return answers | {"DescribeTasks": [ended]}


@dataclasses.dataclass
class Recording:
    url: str
    answers: dict

    def at(self, url):
        """Returns the answers as if they had come from another server."""

        def moved(answer):
            headers = {name: value.replace(self.url, url) for name, value in answer.headers.items()}
            body = answer.body.replace(self.url.encode(), url.encode())
            return dataclasses.replace(answer, headers=headers, body=body)

        return {name: [moved(answer) for answer in all] for name, all in self.answers.items()}


class Reporting(Scripted):
    """A task that writes its report to the log group, as the probe does."""

    def __init__(self, logs):
        super().__init__()
        self.logs = logs

    def run(self, task):
        environment = task.environment()
        report = json.loads(reports.demo())
        report["run"]["id"] = environment["PULLPROBE_RUN_ID"]
        report["run"]["labels"] = {"subnet": task.subnet}
        stream = f"ecs/pullprobe/{task.id}"
        self.logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
        event = {"timestamp": int(time.time() * 1000), "message": json.dumps(report)}
        self.logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=[event])
        super().run(task)


def agent_file(directory):
    """Returns a file that has the form of the probe's static binary."""
    size = 64 + 56 + 32
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)
    file = directory / "agent"
    file.write_bytes((header + segment + b"PULLPROBE_DEADLINE").ljust(size, b"\0"))
    return file


def schedule_commands(moto):
    account = ScheduleAccount(moto)
    account.proxy.close()
    flags = ["--cluster", "prod", "--service", "web", "--every", "15m", "--alarm-action", TOPIC]
    flags += ["--scheduler-role", SCHEDULER, "--probe-image", PROBE_IMAGE]
    here = {"upstream": moto.peer, "region": "eu-west-1", "code": 0}
    yield "schedule create", record("schedule", "create", *flags, **here)
    yield "schedule create again", record("schedule", "create", *flags, **here)
    yield "schedule list", record("schedule", "list", **here)
    alarms = hostile_aws.Stubbed(moto.peer, {"DescribeAlarms": ALARMS})
    yield "schedule list, more alarms", record("schedule", "list", **(here | {"upstream": alarms}))
    yield "schedule gc", record("gc", "--cluster", "prod", "--task-definitions", **here)
    yield "schedule remove", record("schedule", "remove", "prod.web", **here)


def launch_commands(moto, standin):
    logs = moto_client("logs", moto.url, REGION)
    for number, subnet in enumerate(standin.subnets):
        standin.behaviours[subnet] = NO_ROUTE if number % 2 else Reporting(logs)
    image = ["--probe-image", launch_account.PROBE_IMAGE]
    two = ["--subnets", ",".join(standin.subnets[:2])]
    here = {"upstream": split_peer(standin.url)}
    launch = ["launch", "--cluster", "prod", "--service", "logged", *two]
    files = ("html", "json-file", "junit", "markdown")
    named = ["--run-id", "hostile", "--format"]
    yield "launch", record(*launch, *image, *named, "json", files=files, **here)
    yield "launch as text", record(*launch, *named, "text", **here)
    failed = next(t for t in standin.tasks.values() if t.subnet == standin.subnets[1])
    like = ["launch", "--cluster", "prod", "--like", failed.arn, "--dry-run", *image]
    interface = hostile_aws.Stubbed(here["upstream"], {"DescribeNetworkInterfaces": INTERFACE})
    yield "launch like a task", record(*like, upstream=interface)
    unnamed = [*launch, "--dry-run", *named, "text"]
    stored = hostile_aws.Stubbed(here["upstream"], {"BatchGetImage": STORED_IMAGE})
    yield "launch of a stored image", record(*unnamed, upstream=stored)
    for output in ("text", "json"):
        task = ["explain", "--task", failed.arn, "--cluster", "prod", "--format", output]
        yield f"explain task as {output}", record(*task, **here)
        service = ["explain", "--service", "web", "--cluster", "prod", "--format", output]
        yield f"explain service as {output}", record(*service, **here)
    standin.behaviours[standin.subnets[2]] = Scripted(running=600)
    request = failed.request | {"startedBy": "pullprobe/left"}
    request["networkConfiguration"] = {"awsvpcConfiguration": {"subnets": [standin.subnets[2]]}}
    request.pop("clientToken", None)
    standin.RunTask(request)
    yield "gc", record("gc", "--cluster", "prod", "--task-definitions", **here)


def instance_commands(standin):
    """Launches on capacity of the account's own, and one with pinned digests."""
    here = {"upstream": split_peer(standin.url)}
    image = ["--probe-image", launch_account.PROBE_IMAGE, "--run-id", "hostile"]
    standin.instances = [Instance(standin.subnets[0], "own", number=1)]
    standin.providers = [{"name": "own", "autoScalingGroupProvider": {"autoScalingGroupArn": "a"}}]
    strategy = [{"capacityProvider": "own", "weight": 1, "base": 0}]
    launch_account.deploy_on_instances(standin, strategy)
    launch = ["launch", "--cluster", "prod", "--service"]
    yield "launch on instances", record(*launch, "old", *image, **here)
    for lists in (True, False):
        standin.lists_revisions = lists
        launch_account.record_revision(standin, f"sha256:{'a' * 64}")
        pinned = [*launch, "web", *image, "--subnets", standin.subnets[0]]
        yield f"launch of a digest, {lists}", record(*pinned, **here)


def function_commands(standin):
    """Launches with functions of Lambda: reporting, failing, refused, and left behind."""
    here = {"upstream": split_peer(standin.url)}
    agent = [f"--agent=linux/amd64={binaries.PROBE}", "--run-id", "hostile"]
    lambdas = ["launch", "--cluster", "prod", "--service", "web", "--carrier", "lambda", *agent]
    lambdas += ["--subnets", ",".join(standin.subnets[:3])]
    standin.functions.behaviours = {
        standin.subnets[0]: ScriptedFunction(json.loads(reports.demo())),
        standin.subnets[1]: ScriptedFunction({}, failure=("SubnetOutOfIPAddresses", "no address")),
        standin.subnets[2]: ScriptedFunction(
            {"errorType": "Runtime.ExitError", "errorMessage": ""}
        ),
    }
    yield "launch with functions", record(*lambdas, "--lambda-role", ROLE, **here)
    yield "launch with the account's role", record(*lambdas, **here)
    left = standin.functions.deleted[0]
    left.created -= 86_400
    standin.functions.functions[left.name] = left
    yield "gc of functions", record("gc", "--cluster", "prod", **here)


def inspect_commands(moto):
    """Inspections of VPCs with interface endpoints and with a NAT gateway."""
    for way in ("private", "nat"):
        standin = ConfigurationStandin(moto.peer)
        with contextlib.closing(standin):
            vpc = InspectedVpc(moto, way)
            standin.on_route_table = vpc.route_s3
            inspect = ["inspect", "--cluster", "prod", "--service", "web", "--format"]
            here = {"upstream": split_peer(standin.url)}
            yield f"inspect {way}", record(*inspect, "json", files=("save",), **here)
            yield f"inspect {way} as text", record(*inspect, "text", **here)


def compare_commands(moto):
    for output in ("text", "json", "markdown", "junit", "html"):
        compare = ["compare", "--log-group", LOG_GROUP, "--format", output]
        yield f"compare as {output}", record(*compare, upstream=moto.peer, code=0)
    refused = {"__type": "InvalidOperationException", "message": "Infrequent Access"}
    fields = [{"field": "@message", "value": reports.demo()}]
    insights = {
        "FilterLogEvents": hostile_aws.json_answer(refused, 400),
        "StartQuery": hostile_aws.json_answer({"queryId": "q"}),
        "GetQueryResults": hostile_aws.json_answer({"status": "Complete", "results": [fields]}),
    }
    queried = hostile_aws.Stubbed(moto.peer, insights)
    compare = ["compare", "--log-group", LOG_GROUP, "--format", "text"]
    yield "compare by queries", record(*compare, upstream=queried, code=0)


def install_commands(moto, directory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    registry = Distribution(directory, "docker-registry", port, auth={}).start().ready()
    standin = EcrStandin(registry.peer, moto.peer)
    install = ["install", f"--agent=linux/amd64={agent_file(directory)}"]

    def own_endpoint(url):
        standin.endpoint = url

    here = {"upstream": split_peer(standin.url), "code": 0, "before": own_endpoint}
    with contextlib.closing(standin):
        yield "install", record(*install, **here)
        yield "install again", record(*install, **here)
        named = [*install, "--repository", f"{registry_host(REGION)}/pullprobe", "--dry-run"]
        yield "install into a repository", record(*named, **here)
        role = [*install, "--lambda"]
        yield "install with a role", record(*role, **here)
        yield "install with a role again", record(*role, **here)
    registry.stop()


def split_peer(url):
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


@pytest.fixture(scope="module")
def commands(moto, tmp_path_factory):
    found = dict(schedule_commands(moto))
    standin = launch_account.create(moto)
    with contextlib.closing(standin):
        found |= launch_commands(moto, standin)
        found |= instance_commands(standin)
        found |= function_commands(standin)
        found |= compare_commands(moto)
        found |= install_commands(moto, tmp_path_factory.mktemp("install"))
        found |= inspect_commands(moto)
        yield found


def run_case(command, case):
    with HostileAws(None, plant={case.operation: case.plant}) as aws:
        aws.recording = command.recording.at(aws.url)
        done, outputs = command.run(aws)
    wrong = hostile_aws.find_hostile(outputs)
    if done.returncode not in CODES or "panicked" in done.stderr:
        wrong.append(("exit", done.returncode, done.stderr[-300:]))
    return wrong, case.operation in aws.served


@pytest.fixture(scope="module")
def finished(commands):
    """(command, case) -> what is wrong, and whether the answer was asked for."""
    known = set()
    todo = [
        (name, case)
        for name, command in commands.items()
        for case in hostile_aws.cases(
            command.arguments[0], command.output, command.recording.answers, known
        )
    ]
    began = time.monotonic()
    # A launch mostly waits.
    with concurrent.futures.ThreadPoolExecutor(pace.concurrent(6, 12)) as pool:
        results = list(pool.map(lambda item: run_case(commands[item[0]], item[1]), todo))
    print(f"{len(todo)} answers in {time.monotonic() - began:.0f} s")
    return list(zip(todo, results, strict=True))


def test_every_place_was_served(finished):
    missing = [item for item, (_, served) in finished if not served]
    assert not missing, missing[:20]


def test_nothing_of_an_answer_acts_and_everything_is_bounded(finished):
    wrong = [(*item, *what) for item, (found, _) in finished for what in found]
    assert not wrong, "\n".join(map(str, wrong[:30])) + f"\n{len(wrong)} in all"


def test_every_text_that_is_read_was_planted(finished):
    covered = {what for (_, case), _ in finished for what in case.covers}
    wanted = {
        (kind, member)
        for kind in TYPES
        for member, value in TYPES[kind].items()
        if value.replace("[]", "") in hostile_aws.TEXTS and not member.startswith(FLATTENED)
    }
    assert wanted <= covered, sorted(wanted - covered)
