"""A newcomer's way: the commands of the README, as they stand there, until the first verdict."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from pullprobe_testing import binaries, launch_account
from pullprobe_testing.cli import run_shell
from pullprobe_testing.ecr_standin import REFERENCE, REGION, VERSION, tags

TARGET = "x86_64-unknown-linux-musl"


def commands():
    """Returns what the sections `Install` and `In your account` of the README tell to type."""
    text = (binaries.ROOT / "README.md").read_text()
    sections = dict(re.findall(r"^## (.*)\n((?:(?!^## ).*\n)*)", text, re.MULTILINE))
    shown = sections["Install"] + sections["In your account"]
    return "".join(re.findall(r"```sh\n(.*?)```", shown, re.DOTALL)).splitlines()


@pytest.fixture
def directory(tmp_path):
    """A directory with nothing but the archive of a release."""
    if not binaries.RELEASE.exists():
        pytest.fail(f"{binaries.RELEASE} is not built: run tests/run install")
    pack = [sys.executable, binaries.ROOT / "dist/release", "archive", binaries.RELEASE, TARGET]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(tmp_path)}
    subprocess.run(pack, env=environment, check=True)
    return tmp_path / "release-files"


def test_three_commands_lead_to_the_first_verdict(directory, ecr, moto):
    account = launch_account.create(moto)
    account.upstream = ecr.peer
    typed = commands()
    assert len(typed) == 3, typed

    script = "\n".join(["set -e", f"cd {shlex.quote(str(directory))}", *typed])
    done = run_shell(script, account.url, REGION)

    account.close()
    assert done.returncode == 0, done
    assert tags(ecr) == [VERSION]
    requests = account.requests_of("RegisterTaskDefinition")
    assert [each["containerDefinitions"][0]["image"] for each in requests] == [REFERENCE]
    launched = [each["networkConfiguration"] for each in account.requests_of("RunTask")]
    subnets = [each["awsvpcConfiguration"]["subnets"] for each in launched]
    assert sorted(subnet for [subnet] in subnets) == sorted(account.subnets)
