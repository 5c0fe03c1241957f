"""`compare` of reports of strangers: hostile text in every text of the schema."""

import json
import re

import pytest

from pullprobe_testing import cli, hostile_aws, hostile_reports

FORMATS = ["text", "json", "markdown", "junit", "html", "svg"]
LONG = "A" * 200_000  # a report has at most 1 MiB
TAG = re.compile(r"tag(\d{4})s")


@pytest.fixture(scope="module", params=["", LONG], ids=["short", "long"])
def planted(request, tmp_path_factory):
    """The reports, and a file with one of them in each line."""
    found = hostile_reports.reports(request.param)
    file = tmp_path_factory.mktemp("reports") / "reports.ndjson"
    file.write_text("\n".join(json.dumps(report) for report in found.values()))
    return found, file


@pytest.mark.parametrize("output", FORMATS)
def test_nothing_of_a_report_acts(planted, output):
    reports, file = planted
    done = cli.run("compare", file, "--format", output)

    assert done.returncode in (0, 3, 4, *range(10, 21)), done.stderr
    wrong = hostile_aws.find_hostile(
        {"stdout": done.stdout, "stderr": done.stderr, output: done.stdout}
    )
    assert not [row for row in wrong if row[0] != "all"], wrong[:10]
    # Every report has the bound of what is kept of a text, and so has the page.
    assert len(done.stdout) < 60_000 * len(reports), len(done.stdout)


def test_texts_of_reports_are_shown_at_all(planted):
    reports, file = planted
    shown = set()
    for output in FORMATS:
        done = cli.run("compare", file, "--format", output)
        shown |= set(TAG.findall(done.stdout))
    # A comparison shows facts; of texts, those of the vantage and of its first finding.
    assert len(shown) >= 5, [list(reports)[int(number)] for number in shown]


@pytest.mark.parametrize("output", ["text", "json"])
def test_nothing_of_a_report_acts_in_an_explanation(planted, output):
    """A report that is pasted into `explain`, as it is and as text."""
    reports, _ = planted
    for given in map(json.dumps, list(reports.values())[::5]):
        for text in (given, json.loads(given)["verdict"]["summary"]):
            done = cli.run("explain", "-", "--format", output, given=text)
            outputs = {"stdout": done.stdout, "stderr": done.stderr}
            wrong = hostile_aws.find_hostile(outputs)
            assert done.returncode not in (1, 101) and not wrong, (wrong, done.stderr)
