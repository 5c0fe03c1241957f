"""Formats of `compare`: JUnit by its schema, Markdown by its size limit, JSON, and files."""

import json
import pathlib
import subprocess
import xml.etree.ElementTree as xml

import fastjsonschema

from pullprobe_testing import cli
from pullprobe_testing.reports import compare, comparison_of, lines, report

SCHEMA = pathlib.Path(__file__).with_name("junit.xsd")
MAX_STEP_SUMMARY = 1024 * 1024  # bytes; what GitHub Actions accepts
HOSTILE = (
    "`|</details><script>alert(1)</script> ]]> [a](http://x) ![i](u) **b** \x01\ufffe \u202e \"'&"
)
BROKEN = "10.0.2.0/24 us-east-1c"  # name of the vantage report(2)


def junit(file, *reports):
    """Returns the root of the JUnit output, once it is valid by its schema."""
    file.write_text(compare("-", "--format", "junit", given=lines(*reports)).stdout)
    command = ["xmllint", "--noout", "--schema", SCHEMA, file]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr[:2000]
    return xml.parse(file).getroot()


def markdown(*reports):
    return compare("-", "--format", "markdown", given=lines(*reports)).stdout


def test_junit_has_a_suite_per_vantage_and_a_case_per_fact(tmp_path):
    reports = [report(1), report(2, "s3-gateway-missing"), report(3, "no-credentials")]
    suites = {suite.get("name"): suite for suite in junit(tmp_path / "junit.xml", *reports)}
    comparison = comparison_of(*reports)

    assert set(suites) == {vantage["name"] for vantage in comparison["vantages"]}
    for name, suite in suites.items():
        cases = {case.get("name"): case for case in suite.iter("testcase")}
        facts = {fact["fact"]: fact["values"].get(name, "") for fact in comparison["facts"]}
        listed = {fact["fact"] for fact in comparison["facts"] if name in fact["values"]}
        assert set(cases) == listed
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
        for fact, value in facts.items():
            assert_case_shows(cases[fact], value)
    failure = suites[BROKEN].find("testcase[@name='s3/connect']/failure").get("message")
    assert failure.startswith("s3-gateway-missing (") and "What to do: Create an S3" in failure
    properties = {item.get("name"): item.get("value") for item in suites[BROKEN].iter("property")}
    assert properties["cause"] == "s3-gateway-missing"
    assert "no route to Amazon S3" in properties["verdict"]


def assert_case_shows(case, value):
    tags = [child.tag for child in case]
    if value.startswith("passed"):
        assert tags == [], value
    elif value.startswith("not-"):
        assert tags == ["skipped"], value
    else:
        assert tags == ["failure"], value
        assert case[0].get("type") == value
        assert "What to do: " in case[0].get("message")


def test_unchecked_vantage_is_a_failure_in_junit_and_a_warning_is_not(tmp_path):
    unchecked = report(1)
    unchecked["observations"], unchecked["findings"] = [], []
    summary = "The probe never started."
    unchecked["verdict"] = {"status": "inconclusive", "exit_code": 3, "summary": summary}
    [suite] = junit(tmp_path / "junit.xml", unchecked)
    failure = suite.find("testcase[@name='verdict']/failure")
    assert failure.get("type") == "inconclusive"

    [suite] = junit(tmp_path / "junit.xml", report(1, "service-slow"))
    assert int(suite.get("failures")) == 0, "a warning stops no pipeline"


def hostile():
    """Returns a report with markup in all of its text."""
    document = report(1, "s3-gateway-missing", vantage=HOSTILE)
    finding = document["findings"][0]
    document["verdict"]["summary"] = finding["summary"] = finding["remedy"] = HOSTILE
    for observation in document["observations"]:
        observation["detail"] = HOSTILE
    first, second, *_ = document["observations"]
    first["dependency"] = second["phase"] = HOSTILE
    document["run"]["started_at"], document["vantage"]["address"] = "yesterday", " "
    return document


def test_markup_in_a_report_stays_text(tmp_path):
    junit(tmp_path / "junit.xml", hostile(), report(2))

    text = markdown(hostile(), report(2, "s3-gateway-missing"))
    for markup in ("<script", "](http", "![", "\x01"):
        assert markup not in text
    assert text.count("<details>") == text.count("</details>") > 0
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("| ")]
    widths = {row.count("|") for row in rows if "first" not in row}
    assert len(widths) <= 2, "no name breaks a table"

    text = compare("-", "--format", "text", given=lines(hostile())).stdout
    assert "\x1b" not in text and "\u202e" not in text


def test_markdown_shows_the_difference_and_folds_the_rest():
    text = markdown(report(1), report(2, "s3-gateway-missing"), report(3))

    head, folded = text.split("<details>", 1)
    titles = ("## ✗ pullprobe&#58;", "## ✗ pullprobe: 1 of 3 vantages fails")
    assert head.startswith(titles)
    assert "**What to do:** Create an S3 gateway endpoint" in head
    assert "| first difference | s3/connect | where |" in head
    assert f"| failing | ✗ timed-out | {BROKEN} |" in head
    assert "**s3/connect**" in head and "ssm/read" not in head
    assert "ssm/read" in folded and "S3 gateway endpoint" in folded


def test_markdown_fits_a_step_summary():
    faults = [
        "s3-gateway-missing",
        "interface-endpoint-missing",
        "no-credentials",
        "tls-intercepted",
    ]
    many = []
    for number in range(400):
        document = report(number, faults[number % 4])
        observation = document["observations"][number % 20]
        observation["failure"], observation["outcome"] = f"oddly-{number}", "failed"
        document["findings"] = document["findings"] * 3
        for finding in document["findings"]:
            finding["summary"] = "long " * 400
        many.append(document)

    text = markdown(*many)

    assert len(text.encode()) < MAX_STEP_SUMMARY
    assert text.count("<details>") == text.count("</details>")
    assert "step summary" in text


def test_json_is_valid_by_its_schema():
    schema = cli.run("schema", "comparison")
    assert schema.returncode == 0, schema
    reports = [
        report(1),
        report(2, "s3-gateway-missing"),
        report(3, "interface-endpoint-missing"),
        report(3, hour=8),
    ]
    document = comparison_of(*reports)

    fastjsonschema.validate(json.loads(schema.stdout), document)
    assert document["schema"] == "pullprobe/comparison/v1"
    for vantage in document["vantages"]:
        assert {"name", "status", "exit_code", "cause"} <= set(vantage)
    facts = {fact["fact"]: fact["values"] for fact in document["facts"]}
    assert facts["s3/connect"][BROKEN] == "timed-out"
    assert {"fact", "passing", "failing"} <= set(document["first_difference"])
    assert document["changes"], "the same vantage at two times"


def test_output_files_are_written_in_the_format_of_their_extension(tmp_path):
    starts = {
        "a.html": "<!doctype html>",
        "a.svg": '<svg class="vpc wide"',
        "b.md": "## ",
        "c.xml": "<?xml",
        "d.json": '{"schema":"pullprobe/comparison/v1"',
        "e.txt": "✗ FAIL",
    }
    flags = [part for name in starts for part in ("--output", tmp_path / name)]
    given = lines(report(1), report(2, "s3-gateway-missing"))

    done = compare("-", "--format", "text", *flags, given=given)

    assert done.returncode == 11 and done.stdout.startswith(
        "✗ FAIL The task would not start in 1 of 2"
    )
    for name, start in starts.items():
        assert (tmp_path / name).read_text().startswith(start), name

    refused = compare("-", "--output", tmp_path / "report.pdf", given=lines(report(1)))
    assert refused.returncode == 2 and ".html" in refused.stderr
    absent = compare("-", "--output", tmp_path / "nowhere" / "a.html", given=lines(report(1)))
    assert absent.returncode == 1 and "nowhere" in absent.stderr
