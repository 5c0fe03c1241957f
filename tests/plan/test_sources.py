"""`plan` reads task definitions in every form; a second reading in Python says the same."""

import json
import re
import statistics
import subprocess
import sys

import pytest

from pullprobe_testing import binaries, cli, pace
from pullprobe_testing.second_reading import SecondReading
from pullprobe_testing.task_sources import FORMS, REGIONS, source

SEEDS = 24
MAX_SECONDS = 10
MAX_MEDIAN = 0.010  # seconds
MAX_MEMORY = 20_000  # KiB
DEBUG_MEMORY = 18_000  # KiB more in a build that is not optimized: its code is ten times as large
# Prints seconds and KiB of a command. A process counts the memory of the one that forked it,
# so a small one has to start it.
MEASURE = """
import os, sys, time
started = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], {}, file_actions=[
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
])
_, status, usage = os.wait4(child, 0)
assert status == 0, status
print(time.perf_counter() - started, usage.ru_maxrss)
"""
ELSEWHERE = "sa-east-1"


def plan(text, *flags, environment=None):
    return cli.run(
        *("plan", "--task-definition", "-", *flags),
        given=text,
        environment=environment or {},
        timeout=MAX_SECONDS,
    )


def names(groups):
    return {group.get("prefix", "") + name for group in groups for name in group["names"]}


def canonical(image):
    """Returns an image as pullprobe prints it: Docker Hub's names in full."""
    host, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if "." in host or ":" in host else f"docker.io/{image}"


def secret(text):
    """Returns a secret without empty parts at its end."""
    return re.sub(r":::$", "", text)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("form", FORMS)
def test_plan_says_what_a_second_reading_says(form, seed):
    made = source(form, seed)
    given = made.flags[made.flags.index("--region") + 1] if "--region" in made.flags else None
    expected = SecondReading(made.text, given)
    region = given or expected.region
    more = () if region else ("--region", ELSEWHERE)
    if not region:
        done = plan(made.text)
        assert done.returncode == 2 and "--region" in done.stderr, (made.text, done)

    done = plan(made.text, *made.flags, *more, "--format", "json")

    assert done.returncode == 0, (made.text, done)
    printed = json.loads(done.stdout)
    assert printed["region"] == (region or ELSEWHERE)
    assert {one["image"] for one in printed.get("images", [])} == set(
        map(canonical, expected.images)
    ), made.text
    assert names(printed.get("secrets", [])) == set(map(secret, expected.secrets)), made.text
    assert {one["group"] for one in printed.get("logs", [])} == expected.groups, made.text
    unchecked = printed.get("unchecked", [])
    assert (len(unchecked) == 0) == (expected.open == 0), (made.text, unchecked)
    assert len(unchecked) <= expected.open

    done = plan(made.text, *made.flags, *more, "--only", "policy", "--format", "json")

    policy = json.loads(done.stdout)
    for statement in policy["Statement"]:
        for arn in (
            [statement["Resource"]]
            if isinstance(statement["Resource"], str)
            else statement["Resource"]
        ):
            assert re.fullmatch(r"[\w*:/?.+=@-]+", arn), arn
            if ":logs:" in arn:
                assert arn.split(":")[4] == (expected.account or "*"), (made.text, arn)


@pytest.mark.parametrize("form", FORMS)
def test_environment_that_differs_from_the_file_is_noted(form):
    warned = 0
    for seed in range(SEEDS):
        made = source(form, seed)
        region = SecondReading(made.text, REGIONS[0]).region if "--region" not in made.flags else 0
        if not region:
            continue
        for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            done = plan(made.text, "--format", "json", environment={variable: ELSEWHERE})
            assert json.loads(done.stdout)["region"] == region
            assert variable in done.stderr and region in done.stderr and "--region" in done.stderr
            same = plan(made.text, "--format", "json", environment={variable: region})
            assert same.stdout == done.stdout and "warning" not in same.stderr
        flag = plan(made.text, "--format", "json", "--region", ELSEWHERE)
        assert json.loads(flag.stdout)["region"] == ELSEWHERE and "warning" not in flag.stderr
        warned += 1
    assert warned > SEEDS // 3 or form == "cloudformation"


@pytest.mark.parametrize(
    "placeholder",
    ["<VAR>", "${VAR}", "$VAR", "{{ VAR }}", "{{VAR}}", "%VAR%", "__VAR__", "${{ VAR }}"],
)
def test_set_fills_placeholders_of_every_form(placeholder):
    definition = {
        "containerDefinitions": [{"name": "web", "image": f"acme/web:{placeholder}"}],
    }
    text = json.dumps(definition)
    done = plan(text, "--region", ELSEWHERE, "--set", "VAR=1.4", "--format", "json")
    assert json.loads(done.stdout)["images"][0]["image"] == "docker.io/acme/web:1.4", done
    assert done.stderr == ""
    done = plan(text, "--region", ELSEWHERE, "--set", "OTHER=1.4", "--format", "json")
    assert "--set OTHER" in done.stderr
    unchecked = json.loads(done.stdout)["unchecked"]
    assert placeholder in unchecked[0]["subject"]
    done = plan(text, "--region", ELSEWHERE, "--image", "web=acme/web:7", "--format", "json")
    assert json.loads(done.stdout)["images"][0]["image"] == "docker.io/acme/web:7", done


def test_file_is_also_taken_without_a_flag(tmp_path):
    for form in FORMS:
        made = source(form, 0)
        path = tmp_path / f"{form}.{'json' if made.text.startswith(('{', '[')) else 'yaml'}"
        path.write_text(made.text)
        flags = made.flags or ("--region", ELSEWHERE)
        alone = cli.run("plan", path, *flags, environment={}, timeout=MAX_SECONDS)
        flag = cli.run("plan", "--task-definition", path, *flags, environment={})
        assert alone.returncode == 0 and alone.stdout == flag.stdout, alone


def test_several_task_definitions_are_planned_one_after_the_other(tmp_path):
    task = "Type: AWS::ECS::TaskDefinition"
    text = "Resources:\n" + "".join(
        f"  {name}:\n    {task}\n    Properties:\n      Family: shop-{name}\n"
        f"      ContainerDefinitions: [{{Name: c, Image: ghcr.io/acme/{name.lower()}}}]\n"
        for name in ("Job", "Web")
    )
    flags = "--region", ELSEWHERE
    done = plan(text, *flags)
    assert done.stdout.index("# Job") < done.stdout.index("# Web"), done
    refused = plan(text, *flags, "--format", "json")
    assert refused.returncode == 2 and "--resource" in refused.stderr, refused
    one = plan(text, *flags, "--format", "json", "--resource", "shop-Web")
    assert json.loads(one.stdout)["images"][0]["image"] == "ghcr.io/acme/web"
    none = plan(text, *flags, "--resource", "Other")
    assert none.returncode == 2 and "Job, Web" in none.stderr


def test_time_and_memory(tmp_path):
    taken, memory = [], []
    for form in FORMS:
        for seed in range(4):
            made = source(form, seed)
            path = tmp_path / f"{form}-{seed}"
            path.write_text(made.text)
            flags = made.flags or ("--region", ELSEWHERE)
            command = [binaries.OPERATOR, "plan", "--task-definition", path, *flags]
            measured = subprocess.run(
                [sys.executable, "-I", "-S", "-c", MEASURE, *map(str, command)],
                capture_output=True,
                check=True,
                env={},
            )
            seconds, kilobytes = measured.stdout.split()
            taken.append(float(seconds))
            memory.append(int(kilobytes))
    started = cost_of_start()
    assert statistics.median(taken) - started < pace.limit(MAX_MEDIAN), (taken, started)
    assert statistics.median(memory) < MAX_MEMORY + DEBUG_MEMORY, memory


def cost_of_start():
    """Returns the seconds that this build takes to print its version."""
    command = [sys.executable, "-I", "-S", "-c", MEASURE, str(binaries.OPERATOR), "--version"]
    measured = [subprocess.run(command, capture_output=True, env={}) for _ in range(9)]
    return statistics.median(float(one.stdout.split()[0]) for one in measured)
