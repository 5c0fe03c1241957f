"""What a server says, in every place where it can: no secret comes out, and nothing acts."""

import json

import pytest

from pullprobe_testing import canaries, cli, planting, planting_cloud


@pytest.fixture(scope="module")
def finished(cloud):
    made = planting.plantings(["secrets", "encodings", "long"])
    runs, never_served = planting.run_all(cloud, made)
    print(f"{len(made)} texts in {len(runs)} runs")
    return made, runs, never_served


@pytest.fixture(scope="module")
def leaks(finished):
    return planting.find_leaks(finished[1])


def test_every_type_that_reads_an_answer_is_planted():
    roots = {kind for kinds in planting_cloud.ROOTS.values() for kind in kinds}
    covered = roots | set(planting_cloud.ERROR_TYPES + planting_cloud.INSIDE)
    covered |= set(planting_cloud.NOT_OF_A_SERVER)
    pending = list(covered)
    while pending:
        kind = pending.pop()
        for value in planting_cloud.PLACES["types"][kind].values():
            inner = f"{kind.split('::')[0]}::{value.removesuffix('[]')}"
            if inner in planting_cloud.PLACES["types"] and inner not in covered:
                covered.add(inner)
                pending.append(inner)
    missing = set(planting_cloud.PLACES["types"]) - covered
    assert not missing, f"name the endpoint of {missing} in planting_cloud.ROOTS"


def test_every_place_was_served(finished):
    made, runs, never_served = finished
    places = {(p.endpoint, p.place) for run in runs for p in run.planted}
    assert not never_served, planting.as_table([(p,) for p in never_served])
    assert places == {(p.endpoint, p.place) for p in made}
    # The outputs are those of runs that got far: most of them deliver their report.
    assert sum(len(run.reports) > 0 for run in runs) > len(runs) / 2


def test_no_secret_is_in_any_output(leaks):
    excerpts = "\n".join(list(leaks.values())[:5])
    assert not leaks, f"{planting.as_table(leaks)}\n{excerpts}"


def test_nothing_of_a_server_acts_and_everything_is_bounded(finished):
    found = [row for run in finished[1] for row in planting.find_hostile(run)]
    assert not found, planting.as_table(found)


def test_every_run_ends_with_a_verdict(finished):
    odd = [
        (run.exit_code, run.outputs["stderr"][-200:], [p.place for p in run.planted])
        for run in finished[1]
        if run.exit_code == 1
        and not any(p.endpoint.startswith("definition") for p in run.planted)
        or "panicked" in run.outputs["stderr"]
    ]
    assert not odd, odd[:5]


@pytest.mark.parametrize("output", ["text", "json", "html", "markdown", "junit"])
def test_no_secret_and_no_markup_is_in_a_comparison_of_the_reports(
    finished, leaks, output, tmp_path
):
    _, runs, _ = finished
    file = tmp_path / "reports.ndjson"
    lines = []
    for number, run in enumerate(runs):
        for report in run.reports[-1:]:
            document = json.loads(report)
            document["run"]["labels"] = {"n": str(number)}
            lines.append(json.dumps(document))
    file.write_text("\n".join(lines[:400]))

    done = cli.run("compare", file, "--format", output)

    names = set() if leaks else set(canaries.SECRETS)
    found = canaries.leaks(done.stdout + done.stderr, names)
    hit = canaries.INVISIBLE.search(done.stdout.replace("\n", ""))
    assert done.stdout and not found, found
    assert not hit, ascii(done.stdout[max(0, hit.start() - 200) : hit.end() + 20])
    if output in ("html", "markdown", "junit"):
        for markup in canaries.MARKUP:
            at = done.stdout.find(markup)
            assert at < 0, ascii(done.stdout[max(0, at - 100) : at + 40])
