"""Whatever reports come in: files of every form, what the AWS CLI prints, and more of them than fit memory."""

import json
import subprocess
import sys

import pytest

from pullprobe_testing.reports import BINARY, LONGEST, compare, demo, lines, report, short

MEBIBYTE_IN_KIB = 1024


def events(*reports):
    """As `aws logs filter-log-events` prints them, with what the task itself logs in between."""
    logged = [
        {"timestamp": 1, "message": "GET /health 200", "eventId": "0", "logStreamName": "app"}
    ]
    for one in reports:
        logged.append(
            {
                "timestamp": 2,
                "message": json.dumps(one),
                "eventId": "1",
                "logStreamName": "pullprobe/pullprobe/1",
            }
        )
    return {"events": logged, "searchedLogStreams": []}


FORMS = {
    "ndjson": lambda *reports: lines(*reports),
    "documents of several lines": lambda *reports: "".join(
        json.dumps(one, indent=2) + "\n" for one in reports
    ),
    "a list": lambda *reports: json.dumps(list(reports)),
    "a list of several lines": lambda *reports: json.dumps(list(reports), indent=4),
    "filter-log-events": lambda *reports: json.dumps(events(*reports), indent=4),
    "filter-log-events in one line": lambda *reports: json.dumps(events(*reports)),
    "get-query-results": lambda *reports: json.dumps(
        {
            "status": "Complete",
            "results": [
                [{"field": "@message", "value": json.dumps(one)}, {"field": "@ptr", "value": "x"}]
                for one in reports
            ],
        },
        indent=4,
    ),
    "a subscription": lambda *reports: json.dumps(
        {
            "messageType": "DATA_MESSAGE",
            "logGroup": "/ecs/app",
            "logEvents": [
                {"id": "1", "timestamp": 1, "message": json.dumps(one)} for one in reports
            ],
        }
    ),
    "an export to S3": lambda *reports: "".join(
        f"2026-11-24T10:00:00.000Z {json.dumps(one)}\n" for one in reports
    ),
    "logs tail": lambda *reports: "".join(
        f"2026-11-24T10:00:00+00:00 pullprobe/pullprobe/1 {json.dumps(one)}\n" for one in reports
    ),
    "fluent bit": lambda *reports: "".join(
        json.dumps({"log": json.dumps(one), "container_id": "x"}) + "\n" for one in reports
    ),
    "saved by PowerShell": lambda *reports: (
        "\ufeff" + "".join(json.dumps(one, indent=2) + "\r\n" for one in reports)
    ),
    "sorted members": lambda *reports: (
        json.dumps(reports[0], sort_keys=True, indent=1) + lines(*reports[1:])
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


def test_several_files_and_what_is_none_of_it(tmp_path):
    (tmp_path / "a.json").write_text(lines(report(1)))
    (tmp_path / "b.log").write_bytes(
        b'starting\n\xff\xfe\n{"a": 1}\n'
        + lines(report(2)).encode()
        + b'{"schema":"pullprobe/report/v1","run":\n'
        + lines(report(3) | {"schema": "pullprobe/report/v9"}).encode()
        + b"x" * 3_000_000
        + b"\n"
        + lines(report(4)).encode()
    )
    done = compare(tmp_path / "a.json", tmp_path / "b.log", "--format", "json")
    read = json.loads(done.stdout)["read"]
    assert (done.returncode, read) == (
        0,
        {"reports": 3, "duplicates": 0, "others": 4, "unreadable": 2},
    )
    assert "pullprobe/report/v9 is of another version" in done.stderr and "cut off" in done.stderr


def test_places_that_reports_know_nothing_of_are_named_after_their_files(tmp_path):
    for name, fault in (("blue", None), ("green", "s3-gateway-missing")):
        one = report(1, fault)
        one["vantage"] = {"platform": "linux/amd64"}
        (tmp_path / f"{name}.json").write_text(lines(one))
    document = json.loads(
        compare(tmp_path / "blue.json", tmp_path / "green.json", "--format", "json").stdout
    )
    assert [vantage["name"] for vantage in document["vantages"]] == ["green", "blue"]
    assert document["first_difference"]["passing"] == {"blue": "passed"}


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (["/nowhere.json"], None, ["/nowhere.json"]),
        (["/tmp"], None, ["directory"]),
        (["-"], "", ["stdin", "empty", "probe --format json"]),
        (["-"], "hello\nworld\n", ["2 things", "--log-group"]),
        (["-"], '{"schema": "pullprobe/report/v7"}', ["another version"]),
        (["-", "--since", "1h"], "x", ["--log-group"]),
        (["-", "--log-group", "x"], "x", ["--log-group"]),
        (["--log-group", "x", "--since", "yesterday"], None, ["24h"]),
        (["--log-group", "x", "--start", "2026-11-25", "--end", "2026-11-24"], None, ["before"]),
        (["--insights"], None, ["--log-group"]),
        (["-", "--format", "pdf"], "x", ["junit"]),
    ],
)
def test_what_cannot_be_compared_is_said_with_the_way_out(arguments, given, words):
    done = compare(*arguments, given=given)
    assert done.returncode == 2 and done.stdout == "", done
    assert all(word in done.stderr for word in words), done.stderr


def test_a_compressed_file_is_told_how_to_be_read(tmp_path):
    (tmp_path / "a.gz").write_bytes(b"\x1f\x8b\x08rest")
    done = compare(tmp_path / "a.gz")
    assert done.returncode == 2 and "zcat" in done.stderr


def peak(reports, tmp_path):
    """KiB at the most, and the comparison, of that many runs of twelve subnets."""
    source = tmp_path / "source.py"
    templates = [
        json.dumps(short(report(place, fault, run="RUN"))).replace("T10:00", "TIME")
        for place in range(12)
        for fault in (None, "s3-gateway-missing")
    ]
    source.write_text(
        f"import sys\ntemplates = {templates!r}\nfor n in range({reports}):\n"
        "    hour, minute = divmod(n // 12, 60)\n"
        '    sys.stdout.write(templates[n % 12 * 2 + (n // 5000) % 2].replace("RUN", str(n)).replace("2026-11-24TIME", '
        'f"{2000 + hour // 24 // 28:04}-01-{hour // 24 % 28 + 1:02}T{hour % 24:02}:{minute:02}") + "\\n")\n'
    )
    feed = subprocess.Popen([sys.executable, source], stdout=subprocess.PIPE)
    usage = tmp_path / "peak"
    done = subprocess.run(
        [
            "/usr/bin/time",
            "--format",
            "%M",
            "--output",
            usage,
            "--quiet",
            BINARY,
            "compare",
            "-",
            "--format",
            "json",
        ],
        stdin=feed.stdout,
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )
    feed.wait()
    document = json.loads(done.stdout)
    assert document["read"]["reports"] == reports and len(document["vantages"]) == 12
    return int(usage.read_text().split()[-1]), document


def test_memory_grows_with_vantages_and_not_with_reports(tmp_path):
    few, _ = peak(1_000, tmp_path)
    many, document = peak(100_000, tmp_path)
    assert many < few + 4 * MEBIBYTE_IN_KIB, (few, many)
    assert sum(vantage["reports"] for vantage in document["vantages"]) == 100_000
    assert document["changes"], "they went back and forth"


def test_a_document_larger_than_a_line_is_streamed(tmp_path):
    file = tmp_path / "events.json"
    with file.open("w") as out:
        out.write('{"events": [')
        out.write(
            ",".join(
                json.dumps({"message": json.dumps(report(n % 5, run=f"r{n}", hour=n % 20))})
                for n in range(400)
            )
        )
        out.write("]}")
    usage = tmp_path / "peak"
    subprocess.run(
        [
            "/usr/bin/time",
            "--format",
            "%M",
            "--output",
            usage,
            "--quiet",
            BINARY,
            "compare",
            file,
            "--format",
            "json",
        ],
        capture_output=True,
        check=False,
    )
    assert file.stat().st_size > 8 * len(demo())
    assert int(usage.read_text().split()[-1]) * 1024 < file.stat().st_size + 24 * 1024 * 1024
