"""The action's own part: the released archive is downloaded once, verified and unpacked."""

import functools
import hashlib
import http.server
import os
import re
import shutil
import subprocess

import pytest

from pullprobe_testing.binaries import ROOT
from pullprobe_testing.loopback_http import LoopbackServer

LINUX = {"RUNNER_OS": "Linux", "RUNNER_ARCH": "X64"}
NAME = "pullprobe-0.1.0-x86_64-unknown-linux-musl.tar.gz"


@pytest.fixture(scope="module")
def archives(program, tmp_path_factory):
    """A release's archives for Linux and Windows."""
    target = tmp_path_factory.mktemp("target")
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    for triple in ("x86_64-unknown-linux-musl", "x86_64-pc-windows-msvc"):
        command = [ROOT / "dist/release", "archive", program, triple]
        subprocess.run(command, env=environment, check=True)
    return target / "release-files"


class Runner:
    """A runner with a release on loopback, and a `gh` that says what it was asked."""

    def __init__(self, directory, archives):
        self.files = directory / "served/OWNER/pullprobe/releases/download/v0.1.0"
        shutil.copytree(archives, self.files)
        self.sums = self.files / "SHA256SUMS"
        lines = [f"{'0' * 64}  other.tar.gz\n"]
        for archive in archives.iterdir():
            digest = hashlib.sha256(archive.read_bytes()).hexdigest()
            lines.append(f"{digest}  {archive.name}\n")
        self.sums.write_text("".join(lines))
        handler = functools.partial(Handler, self, directory=str(directory / "served"))
        self.server = LoopbackServer(handler)
        self.requests, self.gh_code = [], 0
        self.directory = directory
        self.action = directory / "action"
        (self.action / "dist").mkdir(parents=True)
        shutil.copy(ROOT / "dist/action", self.action / "dist")
        address = f"{self.server.url}/OWNER/pullprobe"
        manifest = (ROOT / "Cargo.toml").read_text()
        manifest = re.sub('(?m)^repository = ".*"', f'repository = "{address}"', manifest)
        (self.action / "Cargo.toml").write_text(manifest)

    def run(self, *arguments, **variables):
        tools = self.directory / "tools"
        tools.mkdir(exist_ok=True)
        gh = tools / "gh"
        gh.write_text(f'#!/bin/sh\necho "$@" >>{self.directory}/gh\nexit {self.gh_code}\n')
        gh.chmod(0o755)
        self.outputs = self.directory / "outputs"
        environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(self.directory),
            "GITHUB_OUTPUT": str(self.outputs),
            **LINUX,
            **variables,
        }
        command = [self.action / "dist/action", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    def output(self, name):
        return re.findall(f"^{name}=(.*)$", self.outputs.read_text(), re.M)[-1]

    def get(self, **variables):
        return self.run("get", self.directory / "pullprobe", **variables)


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, runner, *arguments, **named):
        self.runner = runner
        super().__init__(*arguments, **named)

    def log_message(self, *_):
        self.runner.requests.append(self.path.rsplit("/", 1)[1])


@pytest.fixture
def runner(archives, tmp_path):
    runner = Runner(tmp_path, archives)
    yield runner
    runner.server.close()


def test_release_is_downloaded_verified_and_unpacked(runner):
    assert runner.run("find").returncode == 0
    assert runner.output("archive") == NAME
    assert runner.output("directory") == str(runner.directory / "pullprobe")

    done = runner.get()

    assert done.returncode == 0, done
    version = subprocess.check_output([runner.output("binary"), "--version"], text=True)
    assert version == "pullprobe 0.1.0\n"
    asked = (runner.directory / "gh").read_text()
    workflow = "OWNER/pullprobe/.github/workflows/release.yml"
    verified = f"{runner.directory}/pullprobe/{NAME} --repo OWNER/pullprobe"
    assert asked == f"attestation verify {verified} --signer-workflow {workflow}\n"


def test_runner_of_windows_gets_its_own_archive(runner):
    windows = {"RUNNER_OS": "Windows", "RUNNER_ARCH": "X64"}
    assert runner.run("find", **windows).returncode == 0
    assert runner.output("archive") == "pullprobe-0.1.0-x86_64-pc-windows-msvc.zip"

    done = runner.get(**windows)

    assert done.returncode == 0, done
    binary = runner.output("binary")
    assert binary.endswith("/pullprobe.exe") and os.path.getsize(binary)


def test_cached_archive_is_not_downloaded_again_but_verified(runner):
    assert runner.get().returncode == 0
    runner.requests.clear()

    assert runner.get().returncode == 0

    assert runner.requests == ["SHA256SUMS"]
    assert (runner.directory / "gh").read_text().count("attestation verify") == 2


def test_other_bytes_never_run(runner):
    assert runner.get().returncode == 0
    cached = runner.directory / "pullprobe" / NAME
    cached.write_bytes(cached.read_bytes() + b"\0")
    shutil.rmtree(runner.directory / "pullprobe/unpacked")

    done = runner.get()

    assert done.returncode == 2 and "is not that of the release" in done.stdout, done
    assert not cached.exists() and not (runner.directory / "pullprobe/unpacked").exists()


def test_archive_without_a_checksum_never_runs(runner):
    runner.sums.write_text("")

    assert runner.get().returncode == 2
    assert not (runner.directory / "pullprobe/unpacked").exists()


def test_other_provenance_never_runs(runner):
    runner.gh_code = 1

    done = runner.get()

    assert done.returncode == 2 and "was not built by OWNER/pullprobe" in done.stdout, done
    assert not (runner.directory / "pullprobe/unpacked").exists()


def test_provenance_is_left_out_only_if_asked(runner):
    runner.gh_code = 1

    assert runner.get(VERIFY="checksum").returncode == 0
    assert not (runner.directory / "gh").exists()


@pytest.mark.parametrize("version", ["9.9.9", "v9.9.9"])
def test_missing_release_is_named(runner, version):
    done = runner.get(VERSION=version)

    assert done.returncode == 2, done
    assert "/releases/download/v9.9.9/pullprobe-9.9.9-x86_64" in done.stdout
    assert done.stdout.startswith("::error title=pullprobe::")


def test_unknown_machine_is_named(runner):
    done = runner.run("find", RUNNER_ARCH="RISCV64")

    assert done.returncode == 2 and "no release for Linux RISCV64" in done.stdout, done


def test_annotations_cannot_become_other_commands(runner):
    file = runner.directory / "comparison.json"
    file.write_text(
        '{"vantages": [{"name": "a,b:c", "status": "fail", "cause": "network-acl",'
        ' "summary": "50%\\n::set-output name=x::y"},'
        ' {"name": "d", "status": "inconclusive", "cause": null, "summary": "busy"},'
        ' {"name": "e", "status": "pass", "cause": null, "summary": "works"}]}'
    )

    done = runner.run("annotate", file)

    assert done.stdout.splitlines() == [
        "::error title=a%2Cb%3Ac%3A network-acl::50%25%0A::set-output name=x::y",
        "::warning title=d%3A inconclusive::busy",
    ]
    assert runner.run("annotate", runner.directory / "absent.json").stdout == ""
