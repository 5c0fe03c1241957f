"""benches/by-hand [RUNS]   a healthy probe beside the same steps by hand; its cost; silence.

Prints medians and ratios; slow results are not failures. It runs in the region of tests/real, so
both sides use the same servers. Needs root, and `tests/run tools static` before.
"""

import dataclasses
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import time

from pullprobe_testing import binaries, namespace
from pullprobe_testing.lab.faults import faults
from pullprobe_testing.lab.lab import open_lab
from pullprobe_testing.probe import Probe
from pullprobe_testing.region import (
    ADDRESS,
    IMAGE,
    LOG_GROUP,
    REGISTRY_HOST,
    RESOLVER,
    open_region,
)

VENV = binaries.ROOT / "target" / "venv" / "bin"
RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 9
MEBIBYTE_IN_KIB = 1024
ROUND_TRIP_MS = 20
FLOOR = pathlib.Path(__file__).with_name("floor.py")
FLAGS = ["--image", IMAGE, "--log-group", LOG_GROUP]

# What a careful person types in a shell in the subnet.
BY_HAND = f"""
set -euo pipefail
password=$(aws ecr get-login-password)
registry=https://{REGISTRY_HOST}/v2/team/app
index=application/vnd.oci.image.index.v1+json
accept="Accept: $index, application/vnd.oci.image.manifest.v1+json"
fetch() {{
    curl --silent --show-error --fail --user "AWS:$password" --header "$accept" --location "$@"
}}
digests() {{ grep -o 'sha256:[0-9a-f]*'; }}
child=$(fetch "$registry/manifests/1.4" | digests | head -n 1)
blobs=$(fetch "$registry/manifests/$child" | digests)
fetch "$registry/blobs/$(head -n 1 <<<"$blobs")" >/dev/null
for layer in $(tail -n +2 <<<"$blobs"); do
    fetch --range 0-1023 "$registry/blobs/$layer" >/dev/null
done
stream=(--log-group-name {LOG_GROUP} --log-stream-name "by-hand-$1")
aws logs create-log-stream "${{stream[@]}}"
aws logs put-log-events "${{stream[@]}}" \\
    --log-events "timestamp=$(date +%s)000,message=started" >/dev/null
"""


def main():
    # One process each: a process cannot leave the mounts of its first region for a second one.
    for part in [measure_in_region, compare_with_floor]:
        process = multiprocessing.get_context("fork").Process(target=part)
        process.start()
        process.join()
        if process.exitcode != 0:
            sys.exit(f"{part.__name__} failed; its traceback is above")


def measure_in_region():
    with open_region() as region:
        probe = Probe(region)
        compare_with_steps_by_hand(region, probe)
        measure_cost(region, probe)
        measure_silence(region, probe)


def compare_with_steps_by_hand(region, probe):
    environment = {
        **region.task_environment(),
        "PATH": f"{VENV}:/usr/bin:/bin",
        "AWS_CA_BUNDLE": str(region.ca_bundle),
        "CURL_CA_BUNDLE": str(region.ca_bundle),
    }
    ours, by_hand = [], []
    for number in range(RUNS):  # in turn, so that other load of the machine affects both
        run = probe(*FLAGS)
        assert run.exit_code == 0, run
        ours.append(run.seconds)
        began = time.monotonic()
        command = ["bash", "-c", BY_HAND, "by-hand", str(number)]
        subprocess.run(command, env=environment, check=True)
        by_hand.append(time.monotonic() - began)
    ratio = statistics.median(by_hand) / statistics.median(ours)
    print(
        f"healthy run, median of {RUNS}:  pullprobe {milliseconds(ours)}   "
        f"by hand {milliseconds(by_hand)}   {ratio:.1f} times faster (goal: 8)"
    )


def measure_cost(region, probe):
    processor, memory = [], []
    for _ in range(RUNS):
        process = probe.start(*FLAGS)
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        processor.append(usage.ru_utime + usage.ru_stime)
        memory.append(peak_memory(region, probe))
    peak = statistics.median(memory) / MEBIBYTE_IN_KIB
    print(f"processor time, median:  {milliseconds(processor)} (goal: 40 ms)")
    print(f"peak memory, median:  {peak:.1f} MiB (goal: 12)")


def peak_memory(region, probe):
    """Returns KiB.

    GNU time starts the probe, because a child of Python starts with Python's peak.
    """
    file = region.directory / "peak"
    command = ["/usr/bin/time", "--format", "%M", "--output", file, probe.binary, "probe"]
    command += ["--format", "json", "--ca-bundle", region.ca_bundle, *FLAGS]
    environment, nowhere = region.task_environment(), subprocess.DEVNULL
    subprocess.run(command, env=environment, stdout=nowhere, stderr=nowhere, check=True)
    return int(file.read_text())


def measure_silence(region, probe):
    other = REGISTRY_HOST.replace("123456789012", "210987654321")
    more = ["--image", f"{other}/team/other:1", "--image", f"{REGISTRY_HOST}/team/app:arm-only"]
    more += ["--secret", region.secret, "--secret", region.parameter]
    tasks = {"one image": FLAGS, "three images, two secrets": [*FLAGS, *more]}
    silent = {
        "services": (list(ADDRESS.values()), 8),
        # A resolver is asked twice and waited for five seconds each time, as libc does.
        "services and resolver": ([*ADDRESS.values(), RESOLVER], 11),
    }
    for what, (addresses, goal) in silent.items():
        for task, flags in tasks.items():
            with namespace.silent(*addresses):
                run = probe(*flags)
            print(
                f'{what} silent, {task}:  verdict "{run.status}" {run.causes} '
                f"after {run.seconds:.2f} s (goal: {goal})"
            )


def compare_with_floor():
    """Compares a healthy run with its chain of exchanges on open connections and two round trips.

    The two are the least that connecting takes: TCP and TLS 1.3.
    """
    healthy = next(fault.subnet for fault in faults() if not fault.causes)
    subnet = dataclasses.replace(healthy, latency_ms=ROUND_TRIP_MS)
    ours, floor = [], []
    with open_lab(1) as lab:
        vpc = lab.vpcs[0]
        script = [sys.executable, FLOOR, lab.region.ca_bundle]
        environment = {**lab.region.task_environment(), "PYTHONPATH": os.environ["PYTHONPATH"]}
        for _ in range(RUNS):
            run = lab.probe(vpc, subnet)
            assert run.exit_code == 0, run
            ours.append(run.report["run"]["elapsed_ms"] / 1000)
            with vpc.load(), vpc.task.entered():
                command = vpc.command(script, unprivileged=False)
                seconds = subprocess.check_output(command, env=environment)
            floor.append(float(seconds) + 2 * ROUND_TRIP_MS / 1000)
    ratio = statistics.median(ours) / statistics.median(floor)
    print(
        f"healthy run at a round trip of {ROUND_TRIP_MS} ms, median of {RUNS}:  "
        f"{milliseconds(ours)}   floor {milliseconds(floor)}   ratio {ratio:.2f} (goal: 1.25)"
    )


def milliseconds(seconds):
    return f"{statistics.median(seconds) * 1000:.0f} ms"


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("network namespaces need root: sudo benches/by-hand")
    main()
