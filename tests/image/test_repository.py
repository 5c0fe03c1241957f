"""What the repository says about itself is true."""

import re
import subprocess

from pullprobe_testing.binaries import ROOT


def steps():
    """Returns the steps of `tests/run --list`, which indents them below their group."""
    listed = subprocess.check_output([ROOT / "tests/run", "--list"], text=True).splitlines()
    return [line.split()[0] for line in listed if line.startswith(" ")]


def test_contributing_names_every_step_in_its_order():
    # A cell of a table that has nothing but names: one step, or the steps of a group.
    cell = r"\| ((?:`[\w-]+`(?:, )?)+) (?=\|)"
    cells = re.findall(cell, (ROOT / "CONTRIBUTING.md").read_text())

    assert re.findall(r"`([\w-]+)`", " ".join(cells)) == steps()


def test_ci_runs_only_the_test_command():
    lines = (ROOT / ".ci/run").read_text().splitlines()

    assert lines[1:] == ['cd "$(dirname "$0")/.." && exec tests/run']


def test_every_python_package_is_pinned():
    lines = (ROOT / "tests/requirements.txt").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]

    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", package) for package in packages), packages
