"""No core dump of a probe: it reads secrets, and a core file stays."""

import os
import resource
import signal
import socket
import subprocess
import time

import pytest

from pullprobe_testing import binaries, planting_cloud
from pullprobe_testing.waiting import wait_for

MAX_WAIT = 20  # seconds on an idle machine


def allow_core_dumps():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def dumps_core(process, directory):
    """Aborts a process; returns whether it dumped core."""
    process.send_signal(signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGABRT, status
    return os.WCOREDUMP(status) or any(directory.iterdir())


@pytest.fixture
def started(tmp_path):
    """Starts a command that may dump core into `tmp_path`."""
    processes = []

    def start(*command, **options):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(
            command, cwd=tmp_path, preexec_fn=allow_core_dumps, **quiet, **options
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()


def test_a_probe_that_holds_secrets_dumps_no_core(cloud, started, tmp_path):
    try:
        control = started("sleep", "60")
    except (ValueError, subprocess.SubprocessError):
        pytest.skip("this machine lets no process dump core")
    time.sleep(0.2)
    if not dumps_core(control, tmp_path):
        pytest.skip("this machine lets no process dump core")
    for file in tmp_path.iterdir():
        file.unlink()

    slot = cloud.slots[1]
    slot.reset()
    # A resolver that never answers keeps the probe waiting, with the role's keys in its memory.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((slot.address(3), 53))
        command = [binaries.OPERATOR, "probe", "--region", planting_cloud.REGION, "--image"]
        command += ["public.ecr.aws/nginx/nginx", "--resolver", f"{slot.address(3)}:53"]
        probe = started(*map(str, command), env=planting_cloud.agent_environment(slot))
        wait_for(lambda: slot.held, MAX_WAIT)
        assert probe.poll() is None, probe.returncode

        assert not dumps_core(probe, tmp_path)
