"""`pullprobe demo` works without root, without a network and without AWS.

It runs unprivileged in a network namespace that has nothing but loopback.
"""

import os
import re
import shutil
import subprocess

import pytest

from pullprobe_testing import binaries, cli, pace

EXIT_CODES = {3, 4, *range(10, 21)}
INCONCLUSIVE = 3  # what a demo says that had too little of the processor
TRIES = 4
MAX_DEMO = 30  # seconds; five are promised, on a machine that is not busy
NOBODY = "65534"
SCRIPT = (
    f"ip link set lo up && exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "
    '"$0" demo "$@"'
)


def faults():
    """Returns the first word of each line of `demo --list` that lists a fault."""
    listed = cli.run("demo", "--list").stdout
    return re.findall(r"^\s*([a-z0-9]+(?:-[a-z0-9]+)+)\b", listed, re.M)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    assert os.geteuid() == 0, "an empty network namespace needs root: sudo tests/run demo"
    directory = tmp_path_factory.mktemp("demo")
    for parent in (directory, *directory.parents[:3]):
        parent.chmod(0o755)  # an unprivileged user may not read root's temporary directories
    binary = shutil.copy(binaries.OPERATOR, directory / "pullprobe")

    def demo(*arguments):
        return subprocess.run(
            ["unshare", "--net", "sh", "-c", SCRIPT, binary, *arguments],
            cwd="/",
            env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=pace.limit(MAX_DEMO),
        )

    return demo


def test_demo_shows_a_healthy_subnet_and_a_broken_one(demo):
    done = demo()

    assert done.returncode == 0, done
    assert "✓" in done.stdout and "✗" in done.stdout, done.stdout


def test_demo_lists_many_faults():
    assert len(faults()) >= 12


@pytest.mark.parametrize("fault", faults())
def test_fault_of_the_demo_is_named(demo, fault):
    for _ in range(TRIES):
        done = demo("--fault", fault)
        if done.returncode != INCONCLUSIVE:
            break

    assert done.returncode in EXIT_CODES, done
    assert fault in done.stdout, done.stdout


def test_unknown_fault_is_refused(demo):
    done = demo("--fault", "gremlins")

    assert done.returncode == 2, done
    assert "gremlins" in done.stderr
