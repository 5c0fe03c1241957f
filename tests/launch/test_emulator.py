"""The function in emulators of AWS Lambda that others wrote: ministack, and cargo-lambda.

Each is alone in a network namespace, so the function finds no resolver. The stand-in of the other
suites answers more faithfully, but was written with pullprobe in mind.
"""

import contextlib
import json
import os
import subprocess
import urllib.request

import pytest

from pullprobe_testing import binaries, emulators, pace
from pullprobe_testing.accounts import ACCOUNT, EXECUTION_ROLE, create_network, registry_host
from pullprobe_testing.cli import OPERATOR_KEYS, LaunchCli
from pullprobe_testing.ecs_standin import REGION
from pullprobe_testing.launch_account import client
from pullprobe_testing.namespace import Namespace, die_with_parent
from pullprobe_testing.policies import trust_policy
from pullprobe_testing.servers import Server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


class Ministack(Server):
    """Runs the bootstrap of the zip file."""

    def __init__(self, directory):
        super().__init__(directory, "ministack", ("127.0.0.1", 4566))
        self.url = "http://127.0.0.1:4566"

    def command(self):
        return [emulators.program("python"), "-m", "ministack"]

    def environment(self):
        return {
            **super().environment(),
            "BIND_HOST": "127.0.0.1",
            "IOT_MTLS_ENABLED": "0",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "SERVICES": "ec2,iam,lambda",
            "TMPDIR": str(self.directory),
        }


class CargoLambda(Server):
    """Serves only the Runtime API, and the call that invokes the function."""

    def __init__(self, directory):
        super().__init__(directory, "cargo-lambda", ("127.0.0.1", 9177))
        (directory / "main.rs").write_text("fn main() {}\n")
        package = (
            '[package]\nname = "a"\nversion = "0.0.0"\n[[bin]]\nname = "a"\npath = "main.rs"\n'
        )
        (directory / "Cargo.toml").write_text(package)

    def command(self):
        program = emulators.program("cargo-lambda")
        where = ["--invoke-address", self.peer[0], "--invoke-port", str(self.peer[1])]
        return [program, "lambda", "watch", "--only-lambda-apis", *where]

    def environment(self):
        # It asks cargo for the function's name, and rustup for cargo.
        return {**super().environment(), "PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}


@contextlib.contextmanager
def alone(kind, directory):
    with Namespace().entered():
        server = kind(directory)
        try:
            yield server.start().ready()
        finally:
            server.stop()


def test_function_is_made_active_invoked_and_deleted_in_ministack(tmp_path):
    definition = tmp_path / "task.json"
    app = {"name": "app", "image": f"{registry_host(REGION)}/team/app:1.4"}
    members = {"family": "app", "executionRoleArn": EXECUTION_ROLE, "containerDefinitions": [app]}
    definition.write_text(json.dumps(members))
    with alone(Ministack, tmp_path) as ministack:
        subnets, group = create_network(client("ec2", ministack.url), 2)
        trust = json.dumps(trust_policy("lambda"))
        role = client("iam", ministack.url).create_role(
            RoleName="pullprobe-lambda", AssumeRolePolicyDocument=trust
        )["Role"]["Arn"]
        where = "--subnets", ",".join(subnets), "--security-groups", group
        what = "--task-definition", definition, "--agent", f"linux/amd64={binaries.require_probe()}"
        launched = LaunchCli(ministack, REGION).launch("--carrier", "lambda", *where, *what)
        left = client("lambda", ministack.url).list_functions()["Functions"]

    assert launched.exit_code == 10 and set(launched.reports) == set(subnets), launched
    for report in launched.reports.values():
        assert report["vantage"]["carrier"] == "lambda", launched
        assert report["identity"]["role_arn"] == role, "found by its name"
        assert report["findings"][0]["cause"] == "resolver-unreachable", launched
        unchecked = {seen["id"]: seen for seen in report["observations"] if "why" in seen}
        assert EXECUTION_ROLE in unchecked["credentials/authorize"]["why"], launched
    assert left == [], launched


def test_runtime_api_of_cargo_lambda(tmp_path):
    environment = {
        "AWS_LAMBDA_RUNTIME_API": "http://127.0.0.1:9177/.rt",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": OPERATOR_KEYS[0],
        "AWS_SECRET_ACCESS_KEY": OPERATOR_KEYS[1],
    }
    event = {"arguments": [f"--image={registry_host(REGION)}/team/app:1.4", "--run-id=mine"]}
    invoke = "http://127.0.0.1:9177/2015-03-31/functions/_/invocations"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with alone(CargoLambda, tmp_path):
        bootstrap = subprocess.Popen(
            [binaries.require_probe()], env=environment, preexec_fn=die_with_parent
        )
        try:
            for _ in range(2):
                with direct.open(invoke, json.dumps(event).encode(), pace.limit(30)) as answer:
                    report = json.load(answer)
                assert report["run"]["id"] == "mine"
                assert report["vantage"]["carrier"] == "lambda"
                assert report["findings"][0]["cause"] == "resolver-unreachable", report
            assert bootstrap.poll() is None
        finally:
            bootstrap.kill()
            bootstrap.wait()
