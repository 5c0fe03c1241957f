"""benches/fleet-scale [TARGETS [REPORTS]]   A fleet's two engines at scale. 0 leaves one out.

map      the printed state machine over 5,000 targets, executed by ministack with stubbed workers:
         transitions and workers at the same time, beside what is planned
reduce   1,000,000 reports in 5,000 objects, of 100,000 vantages: `pullprobe compare s3://…`, and
         DuckDB counting the same NDJSON by status and cause, on one thread. The data are generated
         while they are read and stored nowhere.

Processor seconds are those of the reader alone, so that the rate is that of one core. Needs
`cargo build --release`, /usr/bin/time of Debian, tests/support/install-emulators, and
`target/emulators/bin/pip install duckdb`.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import yaml
from compare_scale import BINARY, FAULT, KIB_OF_MB, MEGABYTE, REGIONS, demo

from pullprobe_testing import emulators
from pullprobe_testing.cli import operator_environment
from pullprobe_testing.s3_standin import GeneratedBucket
from pullprobe_testing.step_functions import StepFunctions
from pullprobe_testing.templates import resources_of_type

BUCKET, KEY = "fleet", "targets/targets.jsonl"
CONCURRENCY = 50
THROTTLED_EVERY = 100  # one worker in so many is throttled once
TRANSITIONS_OF_TARGET, TRANSITIONS_OF_RUN = 3, 6  # as `fleet print` estimates
OBJECTS = 5_000
SUBNETS_OF_TARGET, RUNS = 20, 10
QUERY = """
SELECT verdict.status, findings[1].cause, count(*), count(DISTINCT run.labels)
FROM read_ndjson('{file}', columns = {{
  run: 'STRUCT(labels MAP(VARCHAR, VARCHAR))', verdict: 'STRUCT(status VARCHAR)',
  findings: 'STRUCT(cause VARCHAR)[]'}})
GROUP BY 1, 2 ORDER BY 3 DESC
"""
# Notes when it began and ended, and is throttled at the first attempt of some targets.
WORKER = """
import os, time
class Throttled(Exception):
    pass
Throttled.__name__ = "Pullprobe.Throttled"
def handler(event, context):
    began = time.time()
    service = event["target"]["service"]
    mark = os.path.join({directory!r}, "throttled-" + service)
    if int(service[1:]) % {every} == 0 and not os.path.exists(mark):
        open(mark, "w").close()
        raise Throttled("Rate exceeded")
    time.sleep(0.5)
    with open(os.path.join({directory!r}, "calls"), "a") as out:
        out.write(f"{{began}} {{time.time()}}\\n")
    return {{"outcome": "probed"}}
"""
REDUCE = "def handler(event, context):\n    return {'run': event['run']}\n"


def definition(names):
    command = [BINARY, "fleet", "print", "--format", "cloudformation"]
    command += ["--max-concurrency", str(CONCURRENCY)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [machine] = resources_of_type(yaml.safe_load(printed), "AWS::StepFunctions::StateMachine")
    text = json.dumps(machine["Definition"])
    for name in machine["DefinitionSubstitutions"]:
        text = text.replace("${" + name + "}", names[name])
    return json.loads(text)


def run_map(directory, targets):
    """Prints transitions and concurrency of a map over `targets` targets."""
    with StepFunctions.running(directory) as engine:
        stub = WORKER.format(directory=str(directory), every=THROTTLED_EVERY)
        worker = engine.create_function("worker", stub, {}, "python3.11")
        reducer = engine.create_function("reduce", REDUCE, {}, "python3.11")
        s3 = engine.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        lines = [
            json.dumps(
                {
                    "account": str(100_000_000_000 + number // 20),
                    "region": REGIONS[number % len(REGIONS)],
                    "cluster": "prod",
                    "service": f"s{number}",
                }
            )
            for number in range(targets)
        ]
        s3.put_object(Bucket=BUCKET, Key=KEY, Body="\n".join(lines).encode())
        names = {"Worker": worker, "Reducer": reducer, "Bucket": BUCKET}
        machine = engine.create_machine(definition(names))
        began = time.monotonic()
        execution = engine.execute(machine, {"targets": KEY}, seconds=3_600)
        took = time.monotonic() - began
        run = engine.map_run(execution)
        children = engine.children(run)
    attempts = sum(kinds.count("TaskScheduled") for _, _, kinds in children)
    throttled = len(list(directory.glob("throttled-*")))
    # A child starts, runs its states, and ends; a repeated attempt is another transition.
    counted = attempts + 2 * len(children) + TRANSITIONS_OF_RUN
    planned = TRANSITIONS_OF_TARGET * targets + throttled + TRANSITIONS_OF_RUN
    counts = run["itemCounts"]
    print(
        f"map     {execution['status']}: {counts['total']} targets, {counts['succeeded']} probed, "
        f"{counts['failed']} failed, {throttled} throttled once, {took:.0f} s\n"
        f"        {counted} transitions (planned: {planned}), at most {most_at_once(directory)} "
        f"workers at once (planned: {CONCURRENCY})",
        flush=True,
    )


def most_at_once(directory):
    """Returns how many calls of the worker overlapped at most."""
    changes = []
    for line in (directory / "calls").read_text().splitlines():
        began, ended = map(float, line.split())
        changes += [(began, 1), (ended, -1)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


class Reports:
    """`count` reports in OBJECTS objects, as the workers of a fleet store them."""

    def __init__(self, count):
        healthy, broken = demo(None), demo(FAULT)
        self.of_object = max(count // OBJECTS, 1)
        lines = []
        for number in range(self.of_object):
            subnet, hour = number % SUBNETS_OF_TARGET, number // SUBNETS_OF_TARGET % RUNS
            text = broken if subnet % 7 == 0 else healthy
            text = text.replace("run-NUMBER", f"run-{hour}-NUMBER").replace(
                "NUMBER", f"TARGET-{subnet}"
            )
            lines.append(text.replace("T03:00:00Z", f"T{hour:02}:00:00Z") + "\n")
        self.template = "".join(lines).encode()
        self.bytes = self.reports = 0
        self.keys = []
        for number in range(OBJECTS):
            place = f"account={self.account(number)}/region={REGIONS[number % len(REGIONS)]}"
            self.keys.append(f"reports/date=2026-11-27/{place}/night.{number:08x}.ndjson")

    @staticmethod
    def account(number):
        return 100_000_000_000 + number // 20

    def body(self, key):
        number = int(key.split(".")[-2], 16)
        body = self.template
        for mark, value in (
            ("REGION", REGIONS[number % len(REGIONS)]),
            ("ACCOUNT", self.account(number)),
            ("TARGET", f"{number:08x}"),
            ("127.0.9.", f"10.{number % 250}.9."),
        ):
            body = body.replace(mark.encode(), str(value).encode())
        self.bytes += len(body)
        self.reports += self.of_object
        return body


def measure(command, environment, output):
    """Returns wall and processor seconds, and the peak memory in MB."""
    usage = output.with_suffix(".usage")
    timed = ["/usr/bin/time", "--quiet", "--format", "%e %U %S %M", "--output", usage]
    with output.open("w") as out:
        subprocess.run([*timed, *command], env=environment, stdout=out, check=False)
    wall, user, system, peak = map(float, usage.read_text().splitlines()[-1].split())
    return wall, user + system, peak / KIB_OF_MB


def show(name, reports, measured):
    wall, seconds, peak = measured
    size = reports.bytes / MEGABYTE
    print(
        f"{name:9} {reports.reports} reports in {OBJECTS} objects, {size:.0f} MB: {seconds:.0f} s "
        f"of a processor ({wall:.0f} s), {size / seconds:.0f} MB/s, {peak:.0f} MB peak",
        flush=True,
    )


def run_reduce(directory, count):
    reports = Reports(count)
    bucket = GeneratedBucket(reports.keys, reports.body)
    environment = operator_environment(bucket.url, "us-east-1")
    command = [BINARY, "compare", f"s3://{BUCKET}/reports/", "--format", "json"]
    output = directory / "comparison.json"
    measured = measure(command, environment, output)
    bucket.close()
    show("pullprobe", reports, measured)
    comparison = json.loads(output.read_text())
    statuses = collections.Counter(at["status"] for at in comparison["vantages"])
    print(f"          {len(comparison['vantages'])} vantages: {dict(statuses)}", flush=True)

    reports = Reports(count)
    pipe = directory / "reports.ndjson"
    os.mkfifo(pipe)

    def write():
        with pipe.open("wb") as out:
            for key in reports.keys:
                out.write(reports.body(key))

    threading.Thread(target=write, daemon=True).start()
    script = "import duckdb, sys; c = duckdb.connect(); c.execute('SET threads = 1'); "
    script += "c.execute('SET enable_progress_bar = false'); "
    script += "[print(*row) for row in c.execute(sys.argv[1]).fetchall()]"
    command = [emulators.program("python"), "-c", script, QUERY.format(file=pipe)]
    output = directory / "duckdb.txt"
    show("duckdb", reports, measure(command, None, output))
    print("          " + output.read_text().strip().replace("\n", "\n          "), flush=True)


def main():
    counts = [int(text) for text in sys.argv[1:]] + [5_000, 1_000_000][len(sys.argv) - 1 :]
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        if counts[0]:
            run_map(directory, counts[0])
        if counts[1]:
            run_reduce(directory, counts[1])


if __name__ == "__main__":
    main()
