"""AWS Step Functions as an emulator executes it, with this binary as the functions.

    StepFunctions: ministack ─┬─ S3 (the list), distributed map, retries, Catch
                              └─ functions: the binary behind the Lambda Runtime API ──▶ `endpoint`

It executes neither ResultWriter nor the jitter of a retry, and does not wait between two attempts.
`tests/support/install-emulators` installs it.
"""

import contextlib
import io
import json
import os
import signal
import socket
import time
import zipfile

from pullprobe_testing import emulators
from pullprobe_testing.accounts import moto_client
from pullprobe_testing.namespace import die_with_parent
from pullprobe_testing.servers import Server
from pullprobe_testing.waiting import wait_for

ACCOUNT, REGION = "000000000000", "us-east-1"  # the emulator's own
MAX_EXECUTION = 60  # seconds on an idle machine


def lead_group():
    """Makes the child the leader of a group, in which its functions are as well."""
    os.setpgid(0, 0)
    die_with_parent()


class StepFunctions(Server):
    """The emulator."""

    begin = staticmethod(lead_group)

    def __init__(self, directory, port):
        super().__init__(directory, "step-functions", ("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{port}"
        self.group = None

    def command(self):
        return [emulators.program("python"), "-m", "ministack"]

    def environment(self):
        return {
            **super().environment(),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.peer[1]),
            "TMPDIR": str(self.directory),
            "SFN_WAIT_SCALE": "0",
            "LAMBDA_ACCOUNT_CONCURRENCY": "0",
            "SERVICES": "s3,lambda,states,stepfunctions,sts,iam",
            "LOG_LEVEL": "WARNING",
        }

    def start(self):
        super().start()
        self.group = self.process.pid
        return self

    def stop(self):
        super().stop()
        # Functions outlive the emulator.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)

    @classmethod
    @contextlib.contextmanager
    def running(cls, directory):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = cls(directory, port)
        try:
            yield server.start().ready()
        finally:
            server.stop()

    def client(self, service):
        return moto_client(service, self.url, REGION, (ACCOUNT, "secret"))

    def create_function(self, name, bootstrap, variables, runtime="provided.al2023", seconds=900):
        """Creates a function of one file; returns its ARN."""
        file = "bootstrap" if runtime.startswith("provided") else "index.py"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as code:
            entry = zipfile.ZipInfo(file)
            entry.external_attr = 0o755 << 16
            code.writestr(entry, bootstrap)
        made = self.client("lambda").create_function(
            FunctionName=name,
            Runtime=runtime,
            Role=f"arn:aws:iam::{ACCOUNT}:role/any",
            Handler=file if file == "bootstrap" else "index.handler",
            Code={"ZipFile": packed.getvalue()},
            Timeout=seconds,
            MemorySize=512,
            Environment={"Variables": variables},
        )
        return made["FunctionArn"]

    def create_machine(self, definition):
        """Creates the state machine; returns its ARN."""
        made = self.client("stepfunctions").create_state_machine(
            name="pullprobe-fleet",
            definition=json.dumps(definition),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/any",
        )
        return made["stateMachineArn"]

    def execute(self, machine, document, seconds=MAX_EXECUTION):
        """Runs an execution to its end and returns its description."""
        states = self.client("stepfunctions")
        arn = states.start_execution(
            stateMachineArn=machine, name=f"night-{time.time_ns()}", input=json.dumps(document)
        )["executionArn"]
        wait_for(
            lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING",
            seconds=seconds,
        )
        return states.describe_execution(executionArn=arn)

    def map_run(self, execution):
        """Returns the description of an execution's only distributed map."""
        states = self.client("stepfunctions")
        [run] = states.list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
        return states.describe_map_run(mapRunArn=run["mapRunArn"])

    def children(self, run):
        """Returns input and attempts of each child: the tasks that were scheduled, by function."""
        states, found = self.client("stepfunctions"), []
        pages = states.get_paginator("list_executions").paginate(mapRunArn=run["mapRunArn"])
        for child in (child for page in pages for child in page["executions"]):
            described = states.describe_execution(executionArn=child["executionArn"])
            history = states.get_execution_history(executionArn=child["executionArn"])
            kinds = [event["type"] for event in history["events"]]
            found.append((json.loads(described["input"]), described["status"], kinds))
        return found
