"""The lab starts in seconds, changes faults without a restart, and leaves the machine as it was."""

import contextlib
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import types

import pytest

from pullprobe_testing.lab import __main__ as lab_run
from pullprobe_testing.lab.faults import faults
from pullprobe_testing.lab.matrix import Matrix, Row, document
from pullprobe_testing.waiting import wait_for

RUN = pathlib.Path(__file__).resolve().parent / "run"
MAX_START = 60  # seconds on a busy machine; five on an idle one
MAX_FAULT = 10  # seconds for a fault that answers at once, with its configuration
SLEEP = "sh", "-c", "echo inside; exec sleep 600"


def network_of_machine():
    """Returns the machine's own network: devices, addresses, routes, rules, filters."""
    commands = (
        "ip -brief link",
        "ip -brief address",
        "ip route show table all",
        "ip -6 route show table all",
        "ip rule",
        "ip netns",
        "nft list ruleset",
    )

    def output(command):
        text = subprocess.run(command.split(), capture_output=True, text=True).stdout
        return re.sub(r"expires \d+sec", "", text)

    return {command: output(command) for command in commands}


def descendants(pid):
    """Returns the pids of all processes that this one started, directly or not."""
    children = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += [int(child) for child in task.read_text().split()]
    return children + [pid for child in children for pid in descendants(child)]


def is_running(pid):
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return fields[0] not in "ZX"
    return False


def assert_ended(pids):
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: not any(map(is_running, pids)), 10)
    assert [pid for pid in pids if is_running(pid)] == []


def files_of(lab):
    return pathlib.Path(tempfile.gettempdir(), f"pullprobe-lab-{lab.pid}")


@contextlib.contextmanager
def inside(fault, *command):
    """Runs a command in the subnet of a fault, from the first line that it prints."""
    process = subprocess.Popen(
        [RUN, fault, "--", *command],
        stdout=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background ignores SIGINT, and its children inherit
        # that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        process.first_line = process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


def test_killed_run_ends_its_processes_and_the_next_run_removes_its_files():
    before = network_of_machine()
    with inside("healthy/nat", *SLEEP) as lab:
        assert lab.first_line == "inside\n"
        started = descendants(lab.pid)
        assert len(started) > 8, started  # servers, and the command
        assert network_of_machine() == before
        lab.send_signal(signal.SIGKILL)
        lab.wait()
        assert_ended(started)
    assert files_of(lab).exists()
    subprocess.run([RUN, "tag"], check=True, stdout=subprocess.DEVNULL)
    assert not files_of(lab).exists()
    assert network_of_machine() == before


def test_subnet_cannot_reach_the_machine():
    """A server on all addresses of the machine gets no connection from inside."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        port, accepted = server.getsockname()[1], []
        threading.Thread(target=lambda: accepted.append(server.accept()), daemon=True).start()
        own = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
        targets = " ".join(address for address in ["127.0.0.1", *own] if ":" not in address)
        request = f"curl --silent --max-time 1 http://$address:{port}/"
        script = f'echo inside; for address in {targets}; do {request}; echo "$?"; done'
        with inside("healthy/nat", "sh", "-c", script) as lab:
            codes = lab.stdout.read().split()
        assert codes and "0" not in codes, codes
        assert accepted == []
        with socket.create_connection(("127.0.0.1", port), 5):  # the server does accept
            pass


def test_lab_starts_in_seconds_and_changes_faults_in_one_vpc():
    faults = [
        "tag",
        "refused:logs@endpoint",
        "intercepted:s3@nat",
        "empty-zone:logs@endpoint",
        "healthy/vpc-100.64",
        "custom-resolver-silent@nat",
        "secret",
    ]
    began = time.monotonic()
    run = subprocess.run([RUN, "--vpcs", "1", *faults], capture_output=True, text=True)
    took = time.monotonic() - began

    assert run.returncode == 0, run.stdout + run.stderr
    start = float(re.search(r"up after ([0-9.]+) s", run.stdout)[1])
    assert run.stdout.count("✓") >= len(faults)
    assert start < MAX_START
    assert took - start < MAX_FAULT * len(faults), f"{took - start:.0f} s"


def test_middlebox_answers_in_the_place_of_a_service_and_no_other():
    """The task trusts its certificate, and the service itself has not seen the request."""
    request = "curl --silent --write-out '%{http_code} %{ssl_verify_result}\\n'"
    hosts = [f"https://{name}.us-east-1.amazonaws.com/" for name in ("logs", "ssm")]
    script = f"echo inside; {request} {hosts[0]}; {request} --output /dev/null {hosts[1]}"
    with inside("answers/403-json:logs@endpoint", "sh", "-c", script) as lab:
        assert lab.stdout.read().split("\n")[:2] == ['{"message":"Forbidden"}403 0', "400 0"]


def test_task_with_ipv6_only_reaches_dual_stack_names():
    hosts = "ecr.us-east-1.api.aws 123456789012.dkr-ecr.us-east-1.on.aws registry-1.docker.io"
    request = "curl --silent --output /dev/null --write-out '%{remote_ip} %{ssl_verify_result}\n'"
    script = f"echo inside; for host in {hosts}; do {request} https://$host/v2/; done; ip -4 route"
    with inside("ipv6_only/dns64-registry@nat", "sh", "-c", script) as lab:
        assert lab.stdout.read().split("\n") == [
            "2600:1f18:7::11 0",
            "2600:1f18:7::12 0",
            "64:ff9b::2cd0:fec2 0",
            "",
        ]


def runs_of(*causes):
    """Returns scores of runs of which each reports these causes."""
    return [types.SimpleNamespace(causes=list(c), first=c[0], errors=[]) for c in causes]


FAULT = next(fault for fault in faults() if fault.name == "acl-narrow@endpoint")
KNOWN = "network-acl", "task-security-group-egress"
SIBLING = *KNOWN, "endpoint-security-group"  # not in the document's row
ODD_RUNS = {
    "also reports": (SIBLING, "acl-narrow@endpoint: also reports endpoint-security-group"),
    "no longer reports": (
        KNOWN[:1],
        "acl-narrow@endpoint: no longer reports task-security-group-egress",
    ),
    "first": (KNOWN[::-1], "acl-narrow@endpoint: first is task-security-group-egress"),
}


@pytest.mark.parametrize("odd,line", ODD_RUNS.values(), ids=ODD_RUNS)
@pytest.mark.parametrize("usual", [False, True], ids=["once", "twice"])
def test_document_is_stale_by_what_most_runs_report(odd, line, usual, tmp_path, capsys):
    """The first run is odd; of the two further ones none or one is."""
    file = tmp_path / "matrix.md"
    file.write_text(document([FAULT], {FAULT.name: Row([KNOWN[0]], [KNOWN[0]], [KNOWN[1]], [])}))
    matrix, asked = Matrix([FAULT]), []
    matrix.runs[FAULT.name] = runs_of(odd)

    def run_all(again, done):
        asked.extend((fault.name, fault.repeats) for fault in again)
        matrix.runs[FAULT.name] += runs_of(KNOWN, odd if usual else KNOWN)

    lab_run.run_odd_again(types.SimpleNamespace(run_all=run_all), matrix, file, None)

    assert asked == [(FAULT.name, 2)]
    assert matrix.check(file) == int(usual)
    assert (f"STALE {line}" in capsys.readouterr().out) == usual


def test_fault_that_reports_what_the_document_says_does_not_run_again(tmp_path):
    file = tmp_path / "matrix.md"
    file.write_text(document([FAULT], {FAULT.name: Row([KNOWN[0]], [KNOWN[0]], [KNOWN[1]], [])}))
    matrix = Matrix([FAULT])
    matrix.runs[FAULT.name] = runs_of(KNOWN)
    lab_run.run_odd_again(None, matrix, file, None)
    assert matrix.check(file) == 0


def test_interrupted_run_leaves_neither_process_nor_file():
    with inside("healthy/endpoints", *SLEEP) as lab:
        started = descendants(lab.pid)
        lab.send_signal(signal.SIGINT)
        lab.wait(30)
        assert_ended(started)
    assert not files_of(lab).exists()
