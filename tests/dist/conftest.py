"""What dist/build has built, for both platforms. qemu-user runs what is for ARM64."""

import os
import shutil

import pytest

from pullprobe_testing.binaries import TARGET

DIST = TARGET / "dist"
QEMU = "qemu-aarch64"


@pytest.fixture(scope="session")
def dist():
    """The directory of the release."""
    if not (DIST / "SHA256SUMS").exists():
        pytest.exit(f"{DIST} has no release: run tests/run dist", returncode=1)
    return DIST


@pytest.fixture(scope="session")
def on_arm64(tmp_path_factory):
    """Returns a program that runs a copy of a file by qemu, also as another user."""
    directory = tmp_path_factory.mktemp("arm64")
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o755)  # an unprivileged user may not read root's temporary directories
    qemu = shutil.which(QEMU)
    assert qemu and os.geteuid() == 0, "run tests/run tools-dist, and this as root"

    def on_arm64(file):
        copy = shutil.copy(file, directory / file.name)
        program = directory / f"{file.name}-by-qemu"
        program.write_text(f'#!/bin/sh\nexec {qemu} {copy} "$@"\n')
        program.chmod(0o755)
        return program

    return on_arm64
