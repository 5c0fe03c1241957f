"""The container image: one static file, run unprivileged from a file system with nothing else."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from pullprobe_testing import pace
from pullprobe_testing.binaries import PROBE, ROOT, STATIC_PATH, require_probe
from pullprobe_testing.buildah import Buildah, isolated
from pullprobe_testing.waiting import wait_for

# Directories that the container runtime adds to every container.
RUNTIME_DIRECTORIES = {"dev", "etc", "proc", "run", "sys", "tmp"}
IMAGE_USER = 65532


class Image:
    """The image of the Dockerfile and one container of it, in buildah's storage at `store`."""

    def __init__(self, store):
        self.buildah = Buildah(store)
        context = store / "context"
        (context / STATIC_PATH.parent).mkdir(parents=True)
        shutil.copy(PROBE, context / STATIC_PATH)
        shutil.copy(ROOT / ".dockerignore", context)
        build = ["bud", "--isolation", "chroot", "--platform", "linux/amd64"]
        build += ["--file", ROOT / "Dockerfile"]
        self.buildah(*build, "--tag", "pullprobe", context)
        inspected = json.loads(self.buildah("inspect", "--type", "image", "pullprobe"))["OCIv1"]
        self.config, self.layers = inspected["config"], inspected["rootfs"]["diff_ids"]
        self.container = self.buildah("from", "pullprobe")

    def command(self, *arguments):
        """Returns the command of a container: the entrypoint, and arguments or the image's own."""
        command = [*self.config["Entrypoint"], *(arguments or self.config["Cmd"])]
        return [*self.buildah.base, *isolated(self.container, *command)]

    def run(self, *arguments):
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=pace.limit(60),
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    assert os.geteuid() == 0, "buildah --isolation chroot needs root: sudo tests/run image"
    require_probe()
    image = Image(tmp_path_factory.mktemp("buildah"))
    yield image
    image.buildah.clean()


def test_file_system_is_one_file_in_one_layer(image):
    root = pathlib.Path(image.buildah("mount", image.container))

    paths = (path.relative_to(root) for path in root.rglob("*") if not path.is_dir())
    files = {str(path) for path in paths if path.parts[0] not in RUNTIME_DIRECTORIES}

    assert files == {"pullprobe"}
    assert len(image.layers) == 1
    assert (root / "pullprobe").stat().st_mode & 0o111 == 0o111


def test_container_prints_its_version(image):
    lines = (ROOT / "Cargo.toml").read_text().splitlines()
    version = next(line for line in lines if line.startswith("version")).split('"')[1]

    done = image.run("--version")

    assert (done.returncode, done.stdout.strip()) == (0, f"pullprobe {version}"), done


def test_default_command_is_probe(image):
    """Outside ECS the image to check is unknown: `probe` reports a missing argument."""
    done = image.run()

    assert done.returncode == 2, done
    assert "--image" in done.stderr, done


def test_container_runs_unprivileged(image):
    """The user is numeric, because the image has no /etc/passwd."""
    assert image.config["User"] == f"{IMAGE_USER}:{IMAGE_USER}"
    process = subprocess.Popen(
        image.command("probe", "--task-definition", "-"),  # it waits for its standard input
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        pid = wait_for(lambda: find_descendant(process.pid, "pullprobe"))
        assert {int(uid) for uid in status_of(pid)["Uid"].split()} == {IMAGE_USER}
    finally:
        process.stdin.close()
        process.wait(30)


def status_of(pid):
    """Returns the fields of /proc/PID/status; none if the process has ended."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def find_descendant(ancestor, name):
    """Returns the pid of the process `name` below `ancestor`, or `None`."""
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        if status_of(pid).get("Name") == name and ancestor in ancestors(pid):
            return pid
    return None


def ancestors(pid):
    found = []
    while pid > 1:
        pid = int(status_of(pid).get("PPid", 0))
        found.append(pid)
    return found
