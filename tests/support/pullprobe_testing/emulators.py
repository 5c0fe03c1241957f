"""Emulators of AWS that others wrote, in an environment of their own.

`tests/support/install-emulators` installs them.
"""

from pullprobe_testing import binaries

DIRECTORY = binaries.ROOT / "target" / "emulators"


def is_installed():
    return (DIRECTORY / "installed").exists()


def program(name):
    """Returns the path of a program of theirs."""
    return DIRECTORY / "bin" / name
