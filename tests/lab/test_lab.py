"""The lab itself: up in seconds, faults switched without rebuilding, nothing left behind, nothing of the machine's touched."""

import contextlib
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

RUN = pathlib.Path(__file__).resolve().parent / "run"
SLOWEST_START = 60  # seconds on a machine that does much else; alone it takes about five
ONE_RUN = 10  # seconds for a fault that answers at once, with everything that is switched for it


def machine():
    """The machine's own network: devices, addresses, routes, rules, filters."""
    commands = (
        ["ip", "-brief", "link"],
        ["ip", "-brief", "address"],
        ["ip", "route", "show", "table", "all"],
        ["ip", "-6", "route", "show", "table", "all"],
        ["ip", "rule"],
        ["ip", "netns"],
        ["nft", "list", "ruleset"],
    )
    said = {
        " ".join(command): subprocess.run(command, capture_output=True, text=True).stdout
        for command in commands
    }
    return {command: re.sub(r"expires \d+sec", "", text) for command, text in said.items()}


def descendants(pid):
    """Every process that this one started, and those that they started."""
    children = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += [int(child) for child in task.read_text().split()]
    return children + [grandchild for child in children for grandchild in descendants(child)]


def runs(pid):
    with contextlib.suppress(OSError):
        return (
            pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
        )
    return False


@contextlib.contextmanager
def inside(fault, *command):
    """A command in the subnet of a fault, once it is there and has said its first line."""
    process = subprocess.Popen(
        [RUN, fault, "--", *command],
        stdout=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background had it ignored, and it is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        process.first_line = process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_killed_run_ends_with_all_that_it_started_and_the_next_removes_its_files():
    before = machine()
    with inside("healthy/nat", "sh", "-c", "echo inside; exec sleep 600") as lab:
        assert lab.first_line == "inside\n"
        started = descendants(lab.pid)
        assert len(started) > 8, started  # servers, and the command
        assert machine() == before
        lab.send_signal(signal.SIGKILL)
        lab.wait()
        until = time.monotonic() + 10
        while any(runs(pid) for pid in started) and time.monotonic() < until:
            time.sleep(0.05)
        assert [pid for pid in started if runs(pid)] == []
    left = pathlib.Path(tempfile.gettempdir(), f"pullprobe-lab-{lab.pid}")
    assert left.exists()
    subprocess.run([RUN, "tag"], check=True, stdout=subprocess.DEVNULL)
    assert not left.exists()
    assert machine() == before


def test_nothing_inside_reaches_the_machine():
    """A server on every address of the machine hears nothing of a subnet with a NAT gateway, whatever that subnet asks for."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        port, heard = server.getsockname()[1], []
        threading.Thread(target=lambda: heard.append(server.accept()), daemon=True).start()
        own = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
        targets = " ".join(address for address in ["127.0.0.1", *own] if ":" not in address)
        ask = (
            f'for a in {targets}; do curl --silent --max-time 1 http://$a:{port}/; echo "$?"; done'
        )
        with inside("healthy/nat", "sh", "-c", f"echo inside; {ask}") as lab:
            codes = lab.stdout.read().split()
        assert codes and "0" not in codes, codes
        assert heard == []
        with socket.create_connection(("127.0.0.1", port), 5):  # it would have heard
            pass


def test_it_is_up_in_seconds_and_switches_faults_in_one_and_the_same_world():
    faults = [
        "tag",
        "refused:logs@endpoint",
        "intercepted:s3@nat",
        "empty-zone:logs@endpoint",
        "healthy/vpc-100.64",
        "secret",
    ]
    began = time.monotonic()
    run = subprocess.run([RUN, "--worlds", "1", *faults], capture_output=True, text=True)
    took = time.monotonic() - began
    assert run.returncode == 0, run.stdout
    up = float(re.search(r"up after ([0-9.]+) s", run.stdout)[1])
    assert run.stdout.count("✓") >= len(faults)
    assert up < SLOWEST_START
    assert took - up < ONE_RUN * len(faults), f"{took - up:.0f} s for {len(faults)} faults"


def test_an_interrupted_run_leaves_neither_process_nor_file():
    with inside("healthy/endpoints", "sh", "-c", "echo inside; exec sleep 600") as lab:
        started = descendants(lab.pid)
        lab.send_signal(signal.SIGINT)
        lab.wait(30)
        until = time.monotonic() + 10
        while any(runs(pid) for pid in started) and time.monotonic() < until:
            time.sleep(0.05)
        assert [pid for pid in started if runs(pid)] == []
    assert not pathlib.Path(tempfile.gettempdir(), f"pullprobe-lab-{lab.pid}").exists()
