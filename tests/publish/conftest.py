"""What people meet before the program: the book, the workflows, the action, a release's files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pullprobe_testing.binaries import ROOT


@pytest.fixture(scope="session")
def tool():
    """Runs a program of target/venv, or of PATH, at the root of the repository."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(name, *arguments):
        program = shutil.which(name, path=path)
        assert program, f"{name} is not installed: run tests/run tools"
        command = [program, *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    return run


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """A program that answers as a release's does, so that no build is needed for an archive."""
    program = tmp_path_factory.mktemp("program") / "pullprobe"
    program.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        "--version) echo pullprobe 0.1.0 ;;\n"
        'completions) echo "# completions for $2" ;;\n'
        'man) for page in pullprobe pullprobe-launch; do echo ".TH $page" >"$2/$page.1"; done ;;\n'
        "esac\n"
    )
    program.chmod(0o755)
    return program
