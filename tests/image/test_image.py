"""The image: one static file, run from a file system that holds nothing else, as somebody without rights."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
IN_CONTEXT = pathlib.Path("target/x86_64-unknown-linux-gnu/release/pullprobe")
BINARY = pathlib.Path(os.environ.get("PULLPROBE_BINARY", ROOT / IN_CONTEXT))
# What the container runtime puts into every container; it is not in the image.
MOUNTED = {"dev", "etc", "proc", "run", "sys", "tmp"}


class Image:
    """The image of the Dockerfile and one container of it. buildah keeps both under `store`, away from the machine's own."""

    def __init__(self, store):
        self.base = [
            "buildah",
            "--root",
            store / "root",
            "--runroot",
            store / "run",
            "--storage-driver",
            "vfs",
        ]
        context = store / "context"
        (context / IN_CONTEXT.parent).mkdir(parents=True)
        shutil.copy(BINARY, context / IN_CONTEXT)
        shutil.copy(ROOT / ".dockerignore", context)
        self.buildah(
            "bud",
            "--isolation",
            "chroot",
            "--file",
            ROOT / "Dockerfile",
            "--tag",
            "pullprobe",
            context,
        )
        inspected = json.loads(self.buildah("inspect", "--type", "image", "pullprobe"))
        self.config, self.layers = (
            inspected["OCIv1"]["config"],
            inspected["OCIv1"]["rootfs"]["diff_ids"],
        )
        self.container = self.buildah("from", "pullprobe").strip()

    def buildah(self, *arguments):
        done = subprocess.run([*self.base, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, f"buildah {arguments[0]}: {done.stderr}"
        return done.stdout

    def command(self, *arguments):
        """As the container runtime puts it together: the entrypoint, then the arguments, or else the image's own."""
        return [
            *self.base,
            "run",
            "--isolation",
            "chroot",
            self.container,
            "--",
            *self.config["Entrypoint"],
            *(arguments or self.config["Cmd"]),
        ]

    def run(self, *arguments):
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    assert os.geteuid() == 0, "buildah --isolation chroot needs root: sudo tests/run image"
    assert BINARY.exists(), f"{BINARY} is not built: tests/run static"
    image = Image(tmp_path_factory.mktemp("buildah"))
    yield image
    image.buildah("rm", "--all")
    image.buildah("rmi", "--all", "--force")


def test_its_file_system_is_one_file_of_one_layer(image):
    root = pathlib.Path(image.buildah("mount", image.container).strip())

    files = {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if not path.is_dir() and path.relative_to(root).parts[0] not in MOUNTED
    }

    assert files == {"pullprobe"}
    assert len(image.layers) == 1
    assert (root / "pullprobe").stat().st_mode & 0o111 == 0o111


def test_it_runs_and_says_its_version(image):
    version = next(
        line
        for line in (ROOT / "Cargo.toml").read_text().splitlines()
        if line.startswith("version")
    ).split('"')[1]

    done = image.run("--version")

    assert (done.returncode, done.stdout.strip()) == (0, f"pullprobe {version}"), done


def test_without_arguments_it_probes(image):
    """Outside ECS nothing says which image to rehearse: that is an error in the arguments of `probe`, not a crash."""
    done = image.run()

    assert done.returncode == 2, done
    assert "--image" in done.stderr, done


def test_it_runs_as_a_user_without_rights(image):
    """Numeric, since there is no /etc/passwd to look a name up in."""
    assert image.config["User"] == "65532:65532"
    process = subprocess.Popen(
        image.command("probe", "--task-definition", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert uids_of(wait_for_descendant(process.pid, "pullprobe")) == {65532}
    finally:
        process.stdin.close()
        process.wait(30)


def wait_for_descendant(ancestor, name):
    """The process called `name` somewhere below `ancestor`; it waits for its standard input there."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            pid = int(status.parent.name)
            if name_of(pid) == name and ancestor in ancestors(pid):
                return pid
        time.sleep(0.05)
    raise AssertionError(f"no process {name} below {ancestor}")


def field(pid, key):
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{key}:")), "")


def name_of(pid):
    return field(pid, "Name")


def ancestors(pid):
    found = []
    while pid > 1:
        pid = int(field(pid, "PPid") or 0)
        found.append(pid)
    return found


def uids_of(pid):
    return {int(uid) for uid in field(pid, "Uid").split()}
