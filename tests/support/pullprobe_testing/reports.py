"""Reports as the demo produces them, moved to other places and times; and `pullprobe compare`."""

import copy
import functools
import json
import os

from pullprobe_testing import cli


@functools.cache
def demo(fault=None):
    """Returns the line of a report of the demo: healthy, or with a fault."""
    arguments = ["--fault", fault] if fault else []
    return cli.run("demo", *arguments, "--format", "json").stdout.splitlines()[0]


def report(place=1, fault=None, hour=10, run=None, **labels):
    """Returns a report from the subnet 10.0.`place`.0/24 at that hour."""
    report = json.loads(demo(fault))
    prefix = f"10.{place >> 8}.{place & 255}"
    report["vantage"] |= {
        "subnet_cidr": f"{prefix}.0/24",
        "availability_zone": "us-east-1" + "abcdef"[place % 6],
        "address": f"{prefix}.10",
    }
    report["run"] |= {
        "id": run or f"run-{place}-{hour}",
        "started_at": f"2026-11-24T{hour:02}:00:{place % 60:02}Z",
        "labels": labels,
    }
    return report


def short(report):
    """Returns the report without most of its evidence: a tenth of its length."""
    report = copy.deepcopy(report)
    report["plan"], report["_aws"], report["ruled_out"] = {}, {}, []
    keys = "id dependency phase outcome failure scope elapsed_ms attempts owner".split()
    report["observations"] = [
        {key: observation[key] for key in keys if key in observation}
        for observation in report["observations"]
        if observation["dependency"] in ("credentials", "ecr.api", "s3")
    ]
    return report


def lines(*reports):
    """Returns NDJSON."""
    return "".join(json.dumps(report) + "\n" for report in reports)


def compare(*arguments, given=None, env=None):
    environment = {"PATH": os.environ["PATH"], **(env or {})}
    return cli.run("compare", *arguments, given=given, environment=environment)


def comparison_of(*reports):
    """Returns the comparison of these reports as JSON."""
    done = compare("-", "--format", "json", given=lines(*reports))
    assert done.stdout.count("\n") == 1, done
    return json.loads(done.stdout)
