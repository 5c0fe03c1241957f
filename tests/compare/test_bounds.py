"""Input without bounds: `compare` and `explain` bound their memory and say what they cut."""

import itertools
import json
import resource

import pytest

from pullprobe_testing.cli import run, run_measured
from pullprobe_testing.reports import report, short

MEBIBYTE = 1 << 20
IDLE = 40 * 1024  # KiB that a command of the debug binary needs for a small input
A_REPORT = json.dumps(short(report(1))).encode() + b"\n"


def letters(mebibytes):
    return b"A" * MEBIBYTE, mebibytes


def document(*parts):
    """Returns chunks of the parts: bytes, or bytes and how many times they come."""
    for part in parts:
        chunk, count = part if isinstance(part, tuple) else (part, 1)
        yield from itertools.repeat(chunk, count)


LONG = {
    "a line": [letters(200), b"\n"],
    "a line that begins a document": [b'{"schema":"x","y":"', letters(200), b'"}\n'],
    "a document with a string": [b'{\n"schema":"x","y":"', letters(600), b'"}\n'],
    "a list with a string": [b'["', letters(600), b'"]\n'],
    "a name": [b'{\n"', letters(100), b'":1}\n'],
    "a number": [b"[", (b"1" * MEBIBYTE, 100), b"]\n"],
    "an event": [b'{"events": [{"message": "', letters(100), b'"}]}\n'],
    "small members": [b"{\n", (b'"name":12345,' * 1_000, 500), b'"z":1}\n'],
    "small items": [b"[\n", (b"[1,2],{}," * 1_000, 200), b"1]\n"],
    "an item of small members": [b"[{", (b'"name":12345,' * 1_000, 2_000), b'"z":1}]\n'],
    "nested arrays": [b"[" * 1_000_000, b"]" * 1_000_000],
    "nested arrays that do not end": [b"[" * 1_000_000],
    "nested events": [b'{"events":' * 1_000_000],
    "nested objects of several lines": [b"{\n", b'"a":{' * 1_000_000],
    "blanks": [b"[", (b" " * MEBIBYTE, 50), b"1]\n"],
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("what", LONG)
def test_long_input_is_cut_and_named(what, first):
    parts = LONG[what] if first else [A_REPORT, *LONG[what]]

    stdout, stderr, exit_code, peak = run_measured(
        "compare", "-", "--format", "json", chunks=document(*parts)
    )

    assert peak < IDLE + 24 * 1024, f"{peak} KiB"
    if first:
        assert exit_code == 2 and "no report in stdin" in stderr and len(stderr) < 2_000
    else:
        read = json.loads(stdout)["read"]
        assert exit_code == 0 and read["reports"] == 1 and read["others"] >= 1, stderr


def test_a_document_with_a_long_value_says_what_was_not_read():
    parts = [b"[\n", A_REPORT, b",", b'"', letters(50), b'",', A_REPORT, b"]"]

    stdout, stderr, *_ = run_measured("compare", "-", "--format", "json", chunks=document(*parts))

    assert json.loads(stdout)["read"]["reports"] == 1
    assert "the rest of stdin was not read" in stderr and "more than 2097152 bytes" in stderr


def test_report_with_millions_of_labels_is_no_report():
    def with_labels(count):
        labels = ",".join(f'"l{n}":"x"' for n in range(count))
        return A_REPORT.replace(b'"labels": {}', f'"labels": {{{labels}}}'.encode())

    millions, many = with_labels(2_000_000), with_labels(110_000)
    assert len(millions) > 20 * MEBIBYTE and MEBIBYTE < len(many) < 2 * MEBIBYTE

    _, stderr, _, peak = run_measured(
        "compare", "-", "--format", "json", chunks=[A_REPORT, millions, many]
    )

    assert peak < IDLE + 64 * 1024, f"{peak} KiB"
    assert "longer than any report" in stderr and "a report has at most 256 KiB" in stderr


def tiny(number, failure=None):
    outcome = {"outcome": "failed", "failure": failure} if failure else {"outcome": "passed"}
    seen = {"id": "s3/connect", "dependency": "s3", "phase": "connect", "elapsed_ms": 1, **outcome}
    verdict = {"status": "fail", "exit_code": 11} if failure else {"status": "pass", "exit_code": 0}
    return {
        "schema": "pullprobe/report/v1",
        "run": {"id": f"r{number}", "labels": {"subnet": f"subnet-{number}"}},
        "vantage": {},
        "verdict": verdict | {"summary": "x" * 300},
        "observations": [seen],
    }


def tiny_lines(count, failure=lambda _: None):
    for number in range(count):
        yield json.dumps(tiny(number, failure(number))).encode() + b"\n"


def test_memory_of_a_vantage_is_bounded():
    stdout, _, exit_code, peak = run_measured(
        "compare", "-", "--format", "json", chunks=tiny_lines(40_000)
    )

    assert (json.loads(stdout)["read"]["reports"], exit_code) == (40_000, 0)
    assert peak < 160 * 1024, f"{peak} KiB"


def processor_seconds(vantages):
    """Returns the time that `compare` needs where one vantage of two fails, each in its own way."""
    lines = b"".join(tiny_lines(vantages, lambda n: f"failure-{n}" if n % 2 else None))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    process = run("compare", "-", "--format", "html", given=lines.decode())
    assert process.returncode == 11, process.stderr
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def test_time_grows_with_the_vantages_and_not_with_their_square():
    few, many = 1_000, 8_000

    ratio = processor_seconds(many) / processor_seconds(few)

    # A square would be 64; half of it leaves room for a busy machine.
    assert ratio < 32, f"{many // few} times the vantages take {ratio:.1f} times as long"


def test_junit_does_not_repeat_every_failure_in_every_suite():
    stdout, _, exit_code, peak = run_measured(
        "compare", "-", "--format", "junit", chunks=tiny_lines(2_000, lambda n: f"failure-{n:06}")
    )

    assert exit_code == 11 and stdout.count("<testsuite ") == 2_000
    assert len(stdout) < 2_000 * 4_096 and peak < 160 * 1024, (len(stdout), peak)
    assert "and 1992 other ways" in stdout


EXPLAINED = {
    "a text": [letters(200)],
    "a document": [b'{"tasks":[{"stoppedReason":"', letters(200), b'"}]}'],
    "nested arrays": [b"[" * 1_000_000],
    "nested tasks": [b'{"tasks":[' * 300_000],
    "small items": [b'{"tasks":[', (b"[],{}," * 1_000, 600), b"{}]}"],
    "many tasks": [b'{"tasks":[', (b'{"stoppedReason":"i/o timeout"},', 30_000), b"{}]}"],
}


@pytest.mark.parametrize("what", EXPLAINED)
def test_explain_reads_and_writes_no_more_than_it_says(what):
    stdout, stderr, exit_code, peak = run_measured(
        "explain", "-", "--format", "json", chunks=document(*EXPLAINED[what])
    )

    assert peak < 400 * 1024, f"{peak} KiB"
    assert stdout.count("\n") <= 1_000 and len(stdout) < 8 * MEBIBYTE
    assert exit_code == 1 or "first 32768 characters" in stderr or "not explained" in stderr, stderr


def test_explain_refuses_a_document_that_is_too_long(tmp_path):
    file = tmp_path / "tasks.json"
    file.write_bytes(b'{"tasks":[' + b'{"stoppedReason":"x"},' * 300_000 + b"{}]}")

    _, stderr, exit_code, _ = run_measured("explain", "--describe-tasks", file)

    assert exit_code == 2 and "longer than 4 MiB" in stderr
