"""What a server says, in every place where it can: no secret comes out, and nothing acts."""

import collections
import json

import pytest

from pullprobe_testing import canaries, cli, planting, planting_cloud


@pytest.fixture(scope="module")
def finished(cloud):
    made = planting.plantings()
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


def test_every_text_of_a_lookup_and_of_a_certificate_is_planted():
    for kind, members in planting_cloud.PLACES["observed"].items():
        planted = planting_cloud.OBSERVED[kind]
        assert set(members) - planting_cloud.OWN_WORDS == set(planted), kind
        known = {*planting_cloud.NAMES, *planting_cloud.CERTIFICATES, *planting_cloud.GENERAL}
        assert set(planted.values()) <= known


def test_every_secret_in_every_encoding_was_served(finished):
    texts = collections.defaultdict(set)
    for run in finished[1]:
        for planted in run.planted:
            texts[planted.place].add(planted.text.partition(" ")[2])
    for place in {*planting_cloud.GENERAL, *planting_cloud.NAMES, *planting_cloud.CERTIFICATES}:
        plant = {**planting_cloud.NAMES, **planting_cloud.CERTIFICATES}.get(place)
        wanted = canaries.secret_texts(getattr(plant, "most", canaries.MAX_TEXT))
        served = "\n".join(texts[place])
        missing = [text for text in wanted if text not in served]
        assert not missing, (place, missing)


def test_names_and_certificates_are_shown(finished):
    shown = collections.Counter()
    for run in finished[1]:
        for planted in run.planted:
            if planted.endpoint.startswith(("names of", "certificate of")):
                tags = planted.tag, planted.tag.encode("utf-16-be").hex()
                texts = run.outputs.values()
                shown[planted.place] += any(tag in text for tag in tags for text in texts)
    assert set(shown) == {*planting_cloud.NAMES, *planting_cloud.CERTIFICATES}
    assert all(shown.values()), shown


def test_every_place_was_served(finished):
    made, runs, never_served = finished
    assert sum(run.starved for run in runs) < len(runs) / 2, "this machine is too busy"
    places = {(p.endpoint, p.place) for run in runs for p in run.planted}
    assert not never_served, planting.as_table([(p,) for p in never_served])
    assert places == {(p.endpoint, p.place) for p in made}
    # The outputs are those of runs that got far: most of them deliver their report.
    assert sum(len(run.reports) > 0 for run in runs) > len(runs) / 2


def test_secrets_are_sent_only_where_they_belong(finished):
    """Whatever a server asks for, and wherever it redirects to."""
    aws = {host for host in planting_cloud.HOSTS if host.endswith(".amazonaws.com")}
    registry = {"registry.example.com"}
    allowed = {
        "session token": lambda host: host in aws,
        "agent token": lambda host: host.startswith("127."),
        "registry token": lambda host: host == planting_cloud.REGISTRY_HOST,
        # The registry names the token service.
        "login": lambda host: host.endswith(".example.com"),
        "bearer token": lambda host: host in registry,
        # Of a pre-signed URL, which the registry gave.
        "signature": lambda host: host not in aws - {planting_cloud.REGISTRY_HOST},
    }
    sent = {pair for run in finished[1] for pair in run.sent}
    wrong = [pair for pair in sent if not allowed.get(pair[0], lambda _: False)(pair[1])]
    assert {name for name, _ in sent} == set(allowed), sent
    assert not wrong, wrong


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
    # A run shows a secret that it never held, like any text; most hold these.
    held = {name for name in canaries.SECRETS if 2 * sum(name in r.held for r in runs) > len(runs)}
    assert {"session token", "secret access key", "signature"} <= held
    runs = [run for run in runs if run.held >= held]
    file = tmp_path / "reports.ndjson"
    lines = []
    for number, run in enumerate(runs):
        for report in run.reports[-1:]:
            document = json.loads(report)
            document["run"]["labels"] = {"n": str(number)}
            lines.append(json.dumps(document))
    file.write_text("\n".join(lines[:400]))

    done = cli.run("compare", file, "--format", output)

    # What a starved run did not read it could not know.
    starved = any(run.starved for run in runs)
    names = set() if leaks or starved else held
    found = canaries.leaks(done.stdout + done.stderr, names)
    hit = canaries.INVISIBLE.search(done.stdout.replace("\n", ""))
    assert done.stdout and not found, found
    assert not hit, ascii(done.stdout[max(0, hit.start() - 200) : hit.end() + 20])
    for markup in canaries.MARKUP.get(output, ()):
        at = done.stdout.find(markup)
        assert at < 0, ascii(done.stdout[max(0, at - 100) : at + 40])
