"""Paths of the built binaries. `tests/run` sets the variables that override them."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
# The path of the static file in the repository, as the Dockerfile has it.
STATIC_PATH = pathlib.Path("target/dist/pullprobe-agent-linux-amd64")

# What runs in a subnet: the static file of the image.
PROBE = pathlib.Path(os.environ.get("PULLPROBE_BINARY", TARGET / STATIC_PATH.relative_to("target")))
# What an operator runs: every command, as developed.
OPERATOR = pathlib.Path(os.environ.get("PULLPROBE_OPERATOR", TARGET / "debug" / "pullprobe"))
# The same as a release builds it: it contains the static file.
RELEASE = pathlib.Path(os.environ.get("PULLPROBE_RELEASE", TARGET / "debug" / "pullprobe-release"))


def require_probe():
    """Returns the path of the static binary, or fails with the command that builds it."""
    if not PROBE.exists():
        raise RuntimeError(f"{PROBE} is not built: run tests/run static")
    return PROBE
