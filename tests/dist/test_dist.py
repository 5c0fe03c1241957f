"""The release: files without a path of this machine, which run, and an image that has them both."""

import hashlib
import json
import os
import subprocess

import pytest

from pullprobe_testing import binaries, pace
from pullprobe_testing.buildah import pulled
from pullprobe_testing.cli import operator_environment, run
from pullprobe_testing.ecr_standin import REFERENCE, REGION, VERSION, running, stored
from pullprobe_testing.probe import Probe
from pullprobe_testing.region import IMAGE, LOG_GROUP, open_region

MAX_STATIC_SIZE = 5_000_000  # bytes
AGENTS = {f"linux/{name}": f"pullprobe-agent-linux-{name}" for name in ("amd64", "arm64")}
EM = {"linux/amd64": 62, "linux/arm64": 183}  # ELF's number of the machine, at offset 18
FAULTS = {  # of the demo, and the family that the exit code names
    "s3-gateway-missing": 11,
    "tls-intercepted": 12,
    "identity-policy-denies": 14,
    "image-not-found": 15,
    "secret-not-found": 16,
}


def output(*command, code=0, **how):
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=pace.limit(60), **how
    )
    assert done.returncode == code, done
    return done.stdout


def test_failed_compile_ends_the_build(tmp_path):
    cargo = tmp_path / "bin" / "cargo"
    cargo.parent.mkdir()
    cargo.write_text('#!/bin/sh\n[ "$1" = fetch ] || exit 7\n')
    cargo.chmod(0o755)
    of_earlier = tmp_path / "dist/build/x86_64-unknown-linux-gnu/release/pullprobe"
    of_earlier.parent.mkdir(parents=True)
    of_earlier.write_text("stale")
    path = f"{cargo.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "CARGO_TARGET_DIR": str(tmp_path)}

    output(binaries.ROOT / "dist/build", "linux/amd64", code=7, env=environment)

    assert not (tmp_path / "dist" / AGENTS["linux/amd64"]).exists()


def test_checksums_are_those_of_the_files(dist):
    lines = (dist / "SHA256SUMS").read_text().splitlines()
    names = [line.split("  ")[1] for line in lines]

    assert names == [*AGENTS.values(), "pullprobe-linux-amd64"]
    for line, name in zip(lines, names, strict=True):
        content = (dist / name).read_bytes()
        assert line == f"{hashlib.sha256(content).hexdigest()}  {name}"
        for path in (binaries.ROOT, os.path.expanduser("~/.cargo")):
            assert str(path).encode() not in content, f"{name} contains {path}"


@pytest.mark.parametrize("platform", AGENTS)
def test_static_file_is_small_and_for_its_platform(dist, platform):
    content = (dist / AGENTS[platform]).read_bytes()

    assert len(content) <= MAX_STATIC_SIZE
    assert int.from_bytes(content[18:20], "little") == EM[platform]


def test_versions(dist, on_arm64):
    arm64 = on_arm64(dist / AGENTS["linux/arm64"])

    for program in (arm64, dist / AGENTS["linux/amd64"], dist / "pullprobe-linux-amd64"):
        assert output(program, "--version") == f"pullprobe {VERSION}\n"


@pytest.mark.parametrize("fault", FAULTS)
def test_demo_on_arm64_names_the_fault(dist, on_arm64, fault):
    """The whole probe against its own servers: name resolution, TLS, HTTP and judgement."""
    demo = on_arm64(dist / "pullprobe-demo-linux-arm64")
    script = 'ip link set lo up && exec "$@"'
    command = ["unshare", "--net", "sh", "-c", script, "-", demo, "demo", "--fault", fault]

    report = json.loads(output(*command, "--format", "json", code=FAULTS[fault]))

    assert report["findings"][0]["cause"] == fault, report


@pytest.fixture(scope="module")
def probe_on_arm64(dist, on_arm64):
    with pytest.MonkeyPatch.context() as patch, open_region() as region:
        patch.setattr(binaries, "PROBE", on_arm64(dist / AGENTS["linux/arm64"]))
        yield Probe(region), region


def test_real_servers_on_arm64(probe_on_arm64):
    probe, region = probe_on_arm64
    secrets = ["--secret", f"{region.secret}:password::", "--secret", region.parameter]

    healthy = probe("--image", IMAGE, "--log-group", LOG_GROUP, *secrets)

    assert (healthy.exit_code, healthy.status, healthy.causes) == (0, "pass", []), healthy
    assert healthy.report["vantage"]["platform"] == "linux/arm64", healthy
    assert healthy.outcomes("s3")["fetch"] == {"passed"}, healthy
    assert healthy.outcomes("logs")["write"] == {"passed"}, healthy
    assert healthy.outcomes("secretsmanager")["read"] == {"passed"}, healthy


def test_missing_image_on_arm64(probe_on_arm64):
    probe, _ = probe_on_arm64

    run = probe("--image", IMAGE.rsplit(":", 1)[0] + ":never-pushed")

    assert run.causes == ["image-not-found"], run


def test_release_pushes_both_files_and_both_run(dist, on_arm64, moto, tmp_path, monkeypatch):
    """`install` of the full binary as it is, without any file beside it."""
    monkeypatch.setattr(binaries, "OPERATOR", dist / "pullprobe-linux-amd64")
    with running(moto, tmp_path) as ecr:
        done = run("install", environment=operator_environment(ecr.url, REGION))

        assert done.returncode == 0 and done.stdout.startswith(f"{REFERENCE}\n"), done
        index = json.loads(stored(ecr, "manifests", VERSION)[1])
        platforms = [manifest["platform"] for manifest in index["manifests"]]
        assert platforms == [{"architecture": a, "os": "linux"} for a in ("amd64", "arm64")]
        for platform, name in AGENTS.items():
            architecture = platform.split("/")[1]
            image = ecr.registry, f"pullprobe:{VERSION}", architecture, tmp_path
            with pulled(*image) as container:
                content = container.file().read_bytes()
                assert content == (dist / name).read_bytes()
                if architecture == "amd64":
                    assert container.run("--version") == f"pullprobe {VERSION}"
                else:
                    version = output(on_arm64(container.file()), "--version")
                    assert version == f"pullprobe {VERSION}\n"
