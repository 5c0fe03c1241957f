"""The function in ministack, an emulator of AWS by others: it runs the bootstrap of the zip file.

It is alone in a network namespace, so the function finds no resolver. What the stand-in for AWS
Lambda also holds is in `test_functions.py`; here nobody who knows pullprobe wrote the other side.
"""

import json
import os
import sys

import pytest

from pullprobe_testing import binaries
from pullprobe_testing.accounts import ACCOUNT, EXECUTION_ROLE, create_network, registry_host
from pullprobe_testing.cli import LaunchCli
from pullprobe_testing.ecs_standin import REGION
from pullprobe_testing.launch_account import client
from pullprobe_testing.namespace import Namespace
from pullprobe_testing.policies import trust_policy
from pullprobe_testing.servers import Server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


class Ministack(Server):
    def __init__(self, directory):
        super().__init__(directory, "ministack", ("127.0.0.1", 4566))
        self.url = "http://127.0.0.1:4566"

    def command(self):
        return [sys.executable, "-m", "ministack"]

    def environment(self):
        return {
            **super().environment(),
            "BIND_HOST": "127.0.0.1",
            "IOT_MTLS_ENABLED": "0",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "SERVICES": "ec2,iam,lambda",
            "TMPDIR": str(self.directory),
        }


@pytest.fixture
def ministack(tmp_path):
    with Namespace().entered():
        server = Ministack(tmp_path)
        try:
            yield server.start().ready()
        finally:
            server.stop()


def test_function_is_made_active_invoked_and_deleted(ministack, tmp_path):
    subnets, group = create_network(client("ec2", ministack.url), 2)
    trust = json.dumps(trust_policy("lambda"))
    role = client("iam", ministack.url).create_role(
        RoleName="pullprobe-lambda", AssumeRolePolicyDocument=trust
    )["Role"]["Arn"]
    definition = tmp_path / "task.json"
    app = {"name": "app", "image": f"{registry_host(REGION)}/team/app:1.4"}
    members = {"family": "app", "executionRoleArn": EXECUTION_ROLE, "containerDefinitions": [app]}
    definition.write_text(json.dumps(members))

    where = "--subnets", ",".join(subnets), "--security-groups", group
    what = "--task-definition", definition, "--agent", f"linux/amd64={binaries.require_probe()}"
    launched = LaunchCli(ministack, REGION).launch("--carrier", "lambda", *where, *what)

    assert launched.exit_code == 10 and set(launched.reports) == set(subnets), launched
    for report in launched.reports.values():
        assert report["vantage"]["carrier"] == "lambda", launched
        assert report["identity"]["role_arn"] == role, "found by its name"
        assert report["findings"][0]["cause"] == "resolver-unreachable", launched
        unchecked = {seen["id"]: seen for seen in report["observations"] if "why" in seen}
        assert EXECUTION_ROLE in unchecked["credentials/authorize"]["why"], launched
    assert client("lambda", ministack.url).list_functions()["Functions"] == []
