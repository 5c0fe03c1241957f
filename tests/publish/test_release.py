"""The files of a release beside the programs: archives, bill of materials, formula, notes."""

import json
import os
import re
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from pullprobe_testing.binaries import ROOT

LINUX = "x86_64-unknown-linux-musl"
WINDOWS = "x86_64-pc-windows-msvc"
MANIFEST = tomllib.loads((ROOT / "Cargo.toml").read_text())
VERSION = MANIFEST["package"]["version"]


@pytest.fixture
def release(tmp_path):
    def release(*arguments):
        environment = {**os.environ, "CARGO_TARGET_DIR": str(tmp_path)}
        command = [ROOT / "dist/release", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done
        return done.stdout.strip()

    return release


def test_archive_has_program_documents_pages_and_completions(release, program, tmp_path):
    with tarfile.open(release("archive", program, LINUX)) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    names = {str(p.relative_to(tmp_path / "unpacked")) for p in (tmp_path / "unpacked").rglob("*")}

    assert {"pullprobe", "README.md", "LICENSE-MIT", "man/pullprobe-launch.1"} <= names
    assert {"completions/pullprobe.bash", "completions/pullprobe.fish"} <= names
    assert (
        tmp_path / "unpacked/completions/pullprobe.zsh"
    ).read_text() == "# completions for zsh\n"
    assert os.access(tmp_path / "unpacked/pullprobe", os.X_OK)


def test_archive_for_windows_is_a_zip(release, program):
    path = release("archive", program, WINDOWS)

    assert path.endswith(f"pullprobe-{VERSION}-{WINDOWS}.zip")
    assert "pullprobe.exe" in zipfile.ZipFile(path).namelist()


@pytest.mark.parametrize("target", [LINUX, WINDOWS])
def test_same_program_gives_the_same_bytes(release, program, target):
    first = Path(release("archive", program, target)).read_bytes()
    os.utime(program, (0, 0))

    assert Path(release("archive", program, target)).read_bytes() == first


def test_bill_of_materials_is_what_the_lock_file_has(release):
    path = release("sbom", LINUX)
    first = Path(path).read_text()
    document = json.loads(first)
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {
        (package["name"], package["version"]): package.get("checksum") for package in locked
    }

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == "pullprobe"
    assert len(document["components"]) > 100
    for component in document["components"]:
        expected = checksums[component["name"], component["version"]]
        assert component["hashes"] == [{"alg": "SHA-256", "content": expected}]
    names = {component["name"] for component in document["components"]}
    assert {"rustls", "hyper", "tokio", "clap"} <= names
    assert not names & {"toml", "windows-sys"}, "only what this program is compiled from"
    known = {entry["ref"] for entry in document["dependencies"]}
    assert {other for entry in document["dependencies"] for other in entry["dependsOn"]} <= known
    assert Path(release("sbom", LINUX)).read_text() == first


def test_formula_has_the_checksum_of_each_archive(release, tmp_path):
    targets = [
        *re.findall(r"target: ([\w-]+)", (ROOT / ".github/workflows/release.yml").read_text())
    ]
    suffixes = ["zip" if "windows" in target else "tar.gz" for target in targets]
    names = [
        f"pullprobe-{VERSION}-{each}" for each in map(".".join, zip(targets, suffixes, strict=True))
    ]
    sums = {name: f"{number:064}" for number, name in enumerate(names)}
    checksums = tmp_path / "SHA256SUMS"
    checksums.write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))

    formula = release("formula", checksums)

    found = re.findall(r'url "(.*)"\n\s*sha256 "(.*)"', formula)
    base = f"{MANIFEST['package']['repository']}/releases/download/v{VERSION}/"
    expected = {(base + name, digest) for name, digest in sums.items() if "windows" not in name}
    assert set(found) == expected and len(found) == 4
    assert len(re.findall(r"\b(?:do|def)\b|^class", formula, re.M)) == len(
        re.findall(r"^\s*end$", formula, re.M)
    )


def test_binstall_finds_the_same_archives(release, program):
    metadata = MANIFEST["package"]["metadata"]["binstall"]
    values = {
        "repo": MANIFEST["package"]["repository"],
        "version": VERSION,
        "name": "pullprobe",
        "bin": "pullprobe",
    }

    def filled(template, target, suffix, binary_suffix):
        more = {"target": target, "archive-suffix": suffix, "binary-ext": binary_suffix}
        return re.sub(r"\{ ([\w-]+) \}", lambda match: {**values, **more}[match[1]], template)

    for target, suffix, binary in [(LINUX, ".tar.gz", ""), (WINDOWS, ".zip", ".exe")]:
        path = release("archive", program, target)
        url = filled(metadata["pkg-url"], target, suffix, binary)
        assert url.rsplit("/", 1)[1] == os.path.basename(path)
        assert filled(metadata["bin-dir"], target, suffix, binary) == f"pullprobe{binary}"
    assert metadata["overrides"][WINDOWS]["pkg-fmt"] == "zip" and metadata["pkg-fmt"] == "tgz"


def test_notes_are_the_changes_of_the_version(tmp_path):
    script = (ROOT / "dist/release").read_text()
    namespace = {"__name__": "release", "__file__": str(ROOT / "dist/release")}
    exec(compile(script, "release", "exec"), namespace)
    changelog = (
        f"# Changelog\n\n## [Unreleased]\n\n## [{VERSION}]: today\n\n- A change.\n\n## [0.0.1]\n"
    )

    assert namespace["notes"](changelog) == "- A change."
    with pytest.raises(SystemExit, match="RELEASING.md"):
        namespace["notes"]("# Changelog\n\n## [Unreleased]\n")
