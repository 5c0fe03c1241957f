"""What the repository says about itself is so."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_contributing_names_every_step_in_its_order():
    steps = [
        line.split()[0]
        for line in subprocess.check_output([ROOT / "tests/run", "--list"], text=True).splitlines()
    ]

    assert re.findall(r"^\| `([\w-]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.M) == steps


def test_ci_runs_the_test_command_and_nothing_else():
    assert (ROOT / ".ci/run").read_text().splitlines()[1:] == [
        'cd "$(dirname "$0")/.." && exec tests/run'
    ]


def test_every_python_package_is_pinned():
    lines = [
        line
        for line in (ROOT / "tests/requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]

    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), lines
