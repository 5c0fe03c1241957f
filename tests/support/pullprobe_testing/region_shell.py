"""tests/real/inside COMMAND…   run a command inside the test region, with a task's environment.

Without COMMAND it runs a shell.
"""

import os
import subprocess
import sys

from pullprobe_testing.region import open_region


def interactive_environment(region, task_environment):
    """Returns a task's environment with this machine's PATH and the region's roots."""
    roots = ("AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    return {
        **os.environ,
        **task_environment,
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        **dict.fromkeys(roots, str(region.ca_bundle)),
    }


def shell():
    return [os.environ.get("SHELL", "/bin/sh")]


def main():
    with open_region() as region:
        environment = interactive_environment(region, region.task_environment())
        return subprocess.run(sys.argv[1:] or shell(), env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
