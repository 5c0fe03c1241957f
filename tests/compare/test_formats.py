"""JUnit's XML by its schema, Markdown by the limit of a step summary, JSON by the contract, and files beside the text."""

import json
import pathlib
import subprocess
import xml.etree.ElementTree as xml

import fastjsonschema

from pullprobe_testing.reports import BINARY, compare, compared, lines, report

SCHEMA = pathlib.Path(__file__).with_name("junit.xsd")
MIB = 1024 * 1024
HOSTILE = (
    "`|</details><script>alert(1)</script> ]]> [a](http://x) ![i](u) **b** \x01\ufffe \u202e \"'&"
)


def junit(file, *reports):
    done = compare("-", "--format", "junit", given=lines(*reports))
    file.write_text(done.stdout)
    checked = subprocess.run(
        ["xmllint", "--noout", "--schema", SCHEMA, file], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr[:2000]
    return xml.parse(file).getroot()


def test_a_suite_for_each_vantage_and_a_case_for_each_step(tmp_path):
    reports = [report(1), report(2, "s3-gateway-missing"), report(3, "no-credentials")]
    suites = {suite.get("name"): suite for suite in junit(tmp_path / "junit.xml", *reports)}
    matrix = compared(*reports)
    assert set(suites) == {vantage["name"] for vantage in matrix["vantages"]}
    for name, suite in suites.items():
        cases = {case.get("name"): case for case in suite.iter("testcase")}
        assert set(cases) == {fact["fact"] for fact in matrix["facts"] if name in fact["values"]}
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
        for fact in matrix["facts"]:
            value = fact["values"].get(name, "")
            case = cases[fact["fact"]]
            ends = [child.tag for child in case]
            expected = (
                []
                if value.startswith("passed")
                else ["skipped"]
                if value.startswith("not-")
                else ["failure"]
            )
            assert ends == expected, (fact["fact"], value)
            if expected == ["failure"]:
                assert case[0].get("type") == case[0].get("message") == value
    broken = suites["10.0.2.0/24 us-east-1c"]
    told = {property.get("name"): property.get("value") for property in broken.iter("property")}
    assert told["cause"] == "s3-gateway-missing" and "no route to S3" in told["verdict"]


def test_a_vantage_that_was_never_checked_is_no_success(tmp_path):
    never = report(1)
    never["observations"], never["findings"] = [], []
    never["verdict"] = {
        "status": "inconclusive",
        "exit_code": 3,
        "summary": "The probe never started.",
    }
    [suite] = junit(tmp_path / "junit.xml", never)
    assert suite.find("testcase[@name='verdict']/failure").get("type") == "inconclusive"
    [suite] = junit(tmp_path / "junit.xml", report(1, "service-slow"))
    assert int(suite.get("failures")) == 0, "a warning stops no pipeline"


def hostile():
    bad = report(1, "s3-gateway-missing", vantage=HOSTILE)
    bad["verdict"]["summary"] = bad["findings"][0]["summary"] = bad["findings"][0]["remedy"] = (
        HOSTILE
    )
    for seen in bad["observations"]:
        seen["detail"] = HOSTILE
    bad["observations"][0]["role"] = bad["observations"][1]["phase"] = HOSTILE
    bad["run"]["started_at"], bad["vantage"]["address"] = "yesterday", " "
    return bad


def test_hostile_reports_stay_text(tmp_path):
    junit(tmp_path / "junit.xml", hostile(), report(2))
    markdown = compare(
        "-", "--format", "markdown", given=lines(hostile(), report(2, "s3-gateway-missing"))
    ).stdout
    assert (
        "<script" not in markdown
        and "](http" not in markdown
        and "![" not in markdown
        and "\x01" not in markdown
    )
    assert markdown.count("<details>") == markdown.count("</details>") > 0
    widths = {
        line.replace("\\|", "").count("|")
        for line in markdown.splitlines()
        if line.startswith("| ") and "first" not in line
    }
    assert len(widths) <= 2, "no name breaks a table"
    text = compare("-", "--format", "text", given=lines(hostile())).stdout
    assert "\x1b" not in text and "\u202e" not in text


def test_markdown_names_the_difference_and_folds_the_rest():
    markdown = compare(
        "-",
        "--format",
        "markdown",
        given=lines(report(1), report(2, "s3-gateway-missing"), report(3)),
    ).stdout
    head, folded = markdown.split("<details>", 1)
    assert head.startswith("## ✗ pullprobe&#58;") or head.startswith(
        "## ✗ pullprobe: 1 of 3 vantages fails"
    )
    assert "| first difference | s3/connect | where |" in head
    assert "| failing | ✗ timed-out | 10.0.2.0/24 us-east-1c |" in head
    assert (
        "**s3/connect**" in head
        and "ssm/read" not in head
        and "ssm/read" in folded
        and "Create an S3 gateway endpoint" in folded
    )


def test_markdown_fits_a_step_summary_whatever_is_compared():
    faults = [
        "s3-gateway-missing",
        "interface-endpoint-missing",
        "no-credentials",
        "tls-intercepted",
    ]
    many = []
    for n in range(400):
        one = report(n, faults[n % 4])
        one["observations"][n % 20]["failure"], one["observations"][n % 20]["outcome"] = (
            f"oddly-{n}",
            "failed",
        )
        one["findings"] = one["findings"] * 3
        for finding in one["findings"]:
            finding["summary"] = "long " * 400
        many.append(one)
    markdown = compare("-", "--format", "markdown", given=lines(*many)).stdout
    assert len(markdown.encode()) < MIB
    assert markdown.count("<details>") == markdown.count("</details>")
    assert "left out to fit a step summary" in markdown


def test_the_json_is_what_its_schema_says():
    schema = json.loads(
        subprocess.run([BINARY, "schema", "comparison"], capture_output=True, check=True).stdout
    )
    reports = [
        report(1),
        report(2, "s3-gateway-missing"),
        report(3, "interface-endpoint-missing"),
        report(3, hour=8),
    ]
    document = compared(*reports)
    fastjsonschema.validate(schema, document)
    assert document["schema"] == "pullprobe/comparison/v1"
    for vantage in document["vantages"]:
        assert {"name", "status", "exit_code", "cause"} <= set(vantage)
    assert {fact["fact"]: fact["values"] for fact in document["facts"]}["s3/connect"][
        "10.0.2.0/24 us-east-1c"
    ] == "timed-out"
    assert {"fact", "passing", "failing"} <= set(document["first_difference"])
    assert document["changes"], "the same vantage at two times"


def test_files_are_written_beside_the_text(tmp_path):
    files = [tmp_path / name for name in ("a.html", "b.md", "c.xml", "d.json", "e.txt")]
    done = compare(
        "-",
        "--format",
        "text",
        *[part for file in files for part in ("--output", file)],
        given=lines(report(1), report(2, "s3-gateway-missing")),
    )
    assert done.returncode == 11 and done.stdout.startswith("✗ FAIL 1 of 2 vantages fails")
    starts = ("<!doctype html>", "## ", "<?xml", '{"schema":"pullprobe/comparison/v1"', "✗ FAIL")
    for file, start in zip(files, starts, strict=True):
        assert file.read_text().startswith(start), file
    refused = compare("-", "--output", tmp_path / "report.pdf", given=lines(report(1)))
    assert refused.returncode == 2 and ".html" in refused.stderr
    lost = compare("-", "--output", tmp_path / "nowhere" / "a.html", given=lines(report(1)))
    assert lost.returncode == 1 and "nowhere" in lost.stderr
