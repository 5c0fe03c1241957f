"""`pullprobe demo`: the whole probe against an embedded AWS, for somebody without rights, without a network and without AWS.

It runs as nobody in a network namespace that has loopback and nothing else, so it cannot lean on more than it promises.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("PULLPROBE_BINARY", ROOT / "target/debug/pullprobe"))
EXIT_CODES = {3, 4, *range(10, 21)}
LONGEST_DEMO = 30  # seconds; five is the promise, a busy machine is no fault of it


def faults():
    """The names of `demo --list`: the first word of each line that lists one."""
    done = subprocess.run([BINARY, "demo", "--list"], capture_output=True, text=True, check=True)
    return re.findall(r"^\s*([a-z0-9]+(?:-[a-z0-9]+)+)\b", done.stdout, re.M)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    assert os.geteuid() == 0, (
        "a network without anything in it needs root to be made: sudo tests/run demo"
    )
    directory = tmp_path_factory.mktemp("demo")
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o755)  # nobody may not look into root's temporary directories
    binary = shutil.copy(BINARY, directory / "pullprobe")

    def run(*arguments):
        return subprocess.run(
            [
                "unshare",
                "--net",
                "sh",
                "-c",
                'ip link set lo up && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"',
                "sh",
                binary,
                "demo",
                *arguments,
            ],
            cwd="/",
            env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=LONGEST_DEMO,
        )

    return run


def test_the_demo_shows_a_healthy_subnet_and_a_broken_one(demo):
    done = demo()

    assert done.returncode == 0, done
    assert "✓" in done.stdout and "✗" in done.stdout, done.stdout


def test_there_are_faults_of_many_kinds():
    assert len(faults()) >= 12


@pytest.mark.parametrize("fault", faults())
def test_a_fault_of_the_demo_is_named(demo, fault):
    done = demo("--fault", fault)

    assert done.returncode in EXIT_CODES, done
    assert fault in done.stdout, done.stdout


def test_a_fault_that_is_not_listed_is_refused(demo):
    done = demo("--fault", "gremlins")

    assert done.returncode == 2, done
    assert "gremlins" in done.stderr
