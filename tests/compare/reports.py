"""Reports as the binary itself makes them, from places of our choice."""
import copy
import functools
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get('PULLPROBE_BINARY', ROOT / 'target/debug/pullprobe'))
LONGEST = 120  # seconds; a hundred thousand reports take ten


@functools.cache
def demo(fault=None):
    """A report of the demo, with a fault or the healthy one."""
    arguments = ['--fault', fault] if fault else []
    done = subprocess.run([BINARY, 'demo', *arguments, '--format', 'json'], capture_output=True, text=True, timeout=LONGEST)
    return done.stdout.splitlines()[0]


def report(place=1, fault=None, hour=10, run=None, **labels):
    """One report: from the subnet 10.0.`place`.0/24, at that hour."""
    report = json.loads(demo(fault))
    report['vantage'] |= {'subnet_cidr': f'10.{place >> 8}.{place & 255}.0/24', 'availability_zone': 'us-east-1' + 'abcdef'[place % 6],
                          'address': f'10.{place >> 8}.{place & 255}.10'}
    report['run'] |= {'id': run or f'run-{place}-{hour}', 'started_at': f'2026-11-24T{hour:02}:00:{place % 60:02}Z', 'labels': labels}
    return report


def short(report):
    """The report without evidence: a tenth of its length."""
    report = copy.deepcopy(report)
    report['plan'], report['_aws'], report['ruled_out'] = {}, {}, []
    keep = ('id', 'dependency', 'phase', 'outcome', 'failure', 'scope', 'elapsed_ms', 'attempts', 'owner')
    report['observations'] = [{key: seen[key] for key in keep if key in seen} for seen in report['observations']
                              if seen['dependency'] in ('credentials', 'ecr.api', 's3')]
    return report


def lines(*reports):
    return ''.join(json.dumps(report) + '\n' for report in reports)


def compare(*arguments, given=None, env=None):
    return subprocess.run([BINARY, 'compare', *map(str, arguments)], input=given, capture_output=True, text=True,
                          timeout=LONGEST, env={'PATH': os.environ['PATH'], **(env or {})})


def compared(*reports):
    """The comparison of these as JSON."""
    done = compare('-', '--format', 'json', given=lines(*reports))
    assert done.stdout.count('\n') == 1, done
    return json.loads(done.stdout)
