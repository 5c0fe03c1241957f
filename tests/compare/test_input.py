"""Input of `compare`: files of every form, output of the AWS CLI, more reports than fit memory."""

import json
import subprocess
import sys

import pytest

from pullprobe_testing import binaries, pace
from pullprobe_testing.cli import MAX_COMMAND
from pullprobe_testing.reports import compare, demo, lines, report, short

MEBIBYTE_IN_KIB = 1024
LOG_STREAM = "pullprobe/pullprobe/1"


def each(template):
    """Returns a form in which every report is formatted alone, `{}` being its JSON."""
    return lambda *reports: "".join(template.replace("{}", json.dumps(one)) for one in reports)


def pretty(*reports, end="\n"):
    return "".join(json.dumps(one, indent=2) + end for one in reports)


def filter_log_events(*reports, indent=4):
    """Returns the output of `aws logs filter-log-events`, with a line of the task itself."""
    messages = ["GET /health 200", *map(json.dumps, reports)]
    events = [
        {"timestamp": number, "message": message, "eventId": "0", "logStreamName": LOG_STREAM}
        for number, message in enumerate(messages)
    ]
    return json.dumps({"events": events, "searchedLogStreams": []}, indent=indent)


def get_query_results(*reports):
    rows = [
        [{"field": "@message", "value": json.dumps(one)}, {"field": "@ptr", "value": "x"}]
        for one in reports
    ]
    return json.dumps({"status": "Complete", "results": rows}, indent=4)


def subscription(*reports):
    events = [{"id": "1", "timestamp": 1, "message": json.dumps(one)} for one in reports]
    message = {"messageType": "DATA_MESSAGE", "logGroup": "/ecs/app", "logEvents": events}
    return json.dumps(message)


FORMS = {
    "ndjson": lines,
    "documents of several lines": pretty,
    "a list": lambda *reports: json.dumps(reports),
    "a list of several lines": lambda *reports: json.dumps(reports, indent=4),
    "filter-log-events": filter_log_events,
    "filter-log-events in one line": lambda *reports: filter_log_events(*reports, indent=None),
    "get-query-results": get_query_results,
    "a subscription": subscription,
    "an export to S3": each("2026-11-24T10:00:00.000Z {}\n"),
    "logs tail": each(f"2026-11-24T10:00:00+00:00 {LOG_STREAM} {{}}\n"),
    "fluent bit": lambda *reports: lines(
        *({"log": json.dumps(one), "container_id": "x"} for one in reports)
    ),
    "saved by PowerShell": lambda *reports: "\ufeff" + pretty(*reports, end="\r\n"),
    "sorted members": lambda first, *others: (
        json.dumps(first, sort_keys=True, indent=1) + lines(*others)
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_reports_are_found_in_every_form(form, tmp_path):
    reports = [report(1), report(2, "s3-gateway-missing"), report(3)]
    file = tmp_path / "reports"
    file.write_text(FORMS[form](*reports))

    done = compare(file, "--format", "json")

    document = json.loads(done.stdout)
    assert done.returncode == 11, done.stderr
    assert document["read"]["reports"] == 3 and len(document["vantages"]) == 3
    assert document["first_difference"]["fact"] == "s3/connect"


def test_other_lines_in_several_files_are_counted(tmp_path):
    clean, mixed = tmp_path / "a.json", tmp_path / "b.log"
    clean.write_text(lines(report(1)))
    parts = [
        b'starting\n\xff\xfe\n{"a": 1}\n',
        lines(report(2)).encode(),
        b'{"schema":"pullprobe/report/v1","run":\n',
        lines(report(3) | {"schema": "pullprobe/report/v9"}).encode(),
        b"x" * 3_000_000 + b"\n",
        lines(report(4)).encode(),
    ]
    mixed.write_bytes(b"".join(parts))

    done = compare(clean, mixed, "--format", "json")

    read = {"reports": 3, "duplicates": 0, "others": 4, "unreadable": 2}
    assert (done.returncode, json.loads(done.stdout)["read"]) == (0, read)
    assert "pullprobe/report/v9" in done.stderr and "truncated" in done.stderr


def test_vantages_without_a_place_are_named_after_their_files(tmp_path):
    for name, fault in (("blue", None), ("green", "s3-gateway-missing")):
        document = report(1, fault) | {"vantage": {"platform": "linux/amd64"}}
        (tmp_path / f"{name}.json").write_text(lines(document))

    done = compare(tmp_path / "blue.json", tmp_path / "green.json", "--format", "json")

    document = json.loads(done.stdout)
    assert [vantage["name"] for vantage in document["vantages"]] == ["green", "blue"]
    assert document["first_difference"]["passing"] == {"blue": "passed"}


@pytest.mark.parametrize(
    "arguments, given, words",
    [
        (["/nowhere.json"], None, ["/nowhere.json"]),
        (["/tmp"], None, ["directory"]),
        (["-"], "", ["stdin", "empty", "probe --format json"]),
        (["-"], "hello\nworld\n", ["2 records", "--log-group"]),
        (["-"], '{"schema": "pullprobe/report/v7"}', ["unknown report schema"]),
        (["-", "--since", "1h"], "x", ["--log-group"]),
        (["-", "--log-group", "x"], "x", ["--log-group"]),
        (["--log-group", "x", "--since", "yesterday"], None, ["24h"]),
        (["--log-group", "x", "--start", "2026-11-25", "--end", "2026-11-24"], None, ["before"]),
        (["--insights"], None, ["--log-group"]),
        (["-", "--format", "pdf"], "x", ["junit"]),
    ],
)
def test_input_that_cannot_be_compared_is_refused(arguments, given, words):
    done = compare(*arguments, given=given)

    assert done.returncode == 2 and done.stdout == "", done
    assert all(word in done.stderr for word in words), done.stderr


def test_compressed_file_is_refused_with_the_command_to_read_it(tmp_path):
    file = tmp_path / "a.gz"
    file.write_bytes(b"\x1f\x8b\x08rest")

    done = compare(file)

    assert done.returncode == 2 and "zcat" in done.stderr


def measure(source, tmp_path, stdin=None):
    """Runs `compare` over a file or `-`; returns its peak memory in KiB, and its output."""
    usage = tmp_path / "peak"
    time = ["/usr/bin/time", "--format", "%M", "--output", usage, "--quiet"]
    command = [*time, binaries.OPERATOR, "compare", source, "--format", "json"]
    done = subprocess.run(
        command, stdin=stdin, capture_output=True, text=True, timeout=pace.limit(MAX_COMMAND)
    )
    return int(usage.read_text().split()[-1]), done.stdout


GENERATOR = """
import sys
templates = {templates!r}
for number in range({count}):
    hour, minute = divmod(number // 12, 60)
    day, year = hour // 24 % 28 + 1, 2000 + hour // 24 // 28
    text = templates[number % 12 * 2 + number // 5000 % 2]
    started = f"{{year:04}}-01-{{day:02}}T{{hour % 24:02}}:{{minute:02}}"
    print(text.replace("RUN", str(number)).replace("2026-11-24TIME", started))
"""


def compare_many(count, tmp_path):
    """Compares `count` runs of twelve subnets; returns peak memory in KiB and the result."""
    faults = (None, "s3-gateway-missing")
    templates = [
        json.dumps(short(report(place, fault, run="RUN"))).replace("T10:00", "TIME")
        for place in range(12)
        for fault in faults
    ]
    script = tmp_path / "generator.py"
    script.write_text(GENERATOR.format(templates=templates, count=count))
    generator = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE)
    peak, output = measure("-", tmp_path, stdin=generator.stdout)
    generator.wait()
    document = json.loads(output)
    assert document["read"]["reports"] == count and len(document["vantages"]) == 12
    return peak, document


def test_memory_grows_with_vantages_and_not_with_reports(tmp_path):
    few, _ = compare_many(1_000, tmp_path)
    many, document = compare_many(100_000, tmp_path)

    assert many < few + 4 * MEBIBYTE_IN_KIB, (few, many)
    assert sum(vantage["reports"] for vantage in document["vantages"]) == 100_000
    assert document["changes"], "the subnets broke and recovered"


def write_document(file, count):
    reports = (report(number % 5, run=f"r{number}", hour=number % 20) for number in range(count))
    events = ",".join(json.dumps({"message": json.dumps(one)}) for one in reports)
    file.write_text(f'{{"events": [{events}]}}')
    return file


def test_large_document_is_streamed(tmp_path):
    few, _ = measure(write_document(tmp_path / "few.json", 100), tmp_path)
    file = write_document(tmp_path / "events.json", 2_000)
    many, _ = measure(file, tmp_path)

    size = file.stat().st_size
    assert size > 8 * len(demo())
    assert size > 20 * MEBIBYTE_IN_KIB * 1024
    assert many < few + size / 1024 / 2, (few, many)
