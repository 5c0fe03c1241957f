"""Images and containers by buildah, in a storage of their own. It needs root."""

import contextlib
import pathlib
import subprocess

from pullprobe_testing import pace

MAX_COMMAND = 60  # seconds


def isolated(container, *command):
    """Returns the arguments that run a command in a container."""
    return "run", "--isolation", "chroot", container, "--", *command


class Buildah:
    """buildah, whose images and containers are in `directory`."""

    def __init__(self, directory):
        self.base = ["buildah", "--root", directory / "root", "--runroot", directory / "run"]
        self.base += ["--storage-driver", "vfs"]

    def __call__(self, *arguments):
        done = subprocess.run(
            [*self.base, *arguments],
            capture_output=True,
            text=True,
            timeout=pace.limit(MAX_COMMAND),
        )
        assert done.returncode == 0, f"buildah {arguments[0]}: {done.stderr}"
        return done.stdout.strip()

    def clean(self):
        self("rm", "--all")
        self("rmi", "--all", "--force")


class Container:
    """A container of an image with the probe."""

    def __init__(self, buildah, name):
        self.buildah, self.name = buildah, name

    def run(self, *arguments):
        """Runs the probe in the container, which must be for this machine."""
        return self.buildah(*isolated(self.name, "/pullprobe", *arguments))

    def file(self):
        """Returns the path of the probe, as this machine sees it."""
        return pathlib.Path(self.buildah("mount", self.name)) / "pullprobe"


@contextlib.contextmanager
def pulled(registry, reference, architecture, directory):
    """A container of what the registry has for an architecture."""
    buildah = Buildah(directory)
    image = f"docker://{registry[0]}:{registry[1]}/{reference}"
    try:
        name = buildah("from", "--tls-verify=false", "--arch", architecture, image)
        yield Container(buildah, name)
    finally:
        buildah.clean()
