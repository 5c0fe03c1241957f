"""The workflows are valid, safe, pinned by SHA, and run the repository's own steps."""

import re
import subprocess

import pytest
import yaml

from pullprobe_testing.binaries import ROOT

WORKFLOWS = {path.stem: path for path in (ROOT / ".github/workflows").glob("*.yml")}
WITH_ACTIONS = [*WORKFLOWS.values(), ROOT / "action.yml"]


def test_there_are_three():
    assert sorted(WORKFLOWS) == ["ci", "full", "release"]


def test_actionlint_accepts_them(tool):
    done = tool("actionlint", *WORKFLOWS.values(), ROOT / "docs/examples/deploy.yml")

    assert done.returncode == 0, done.stdout


def test_zizmor_finds_nothing(tool):
    done = tool("zizmor", "--offline", "--no-progress", ".github", "action.yml", "docs/examples")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WITH_ACTIONS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_with_its_version(path):
    for line in re.findall(r"uses: (.*)", path.read_text()):
        pinned = re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
        assert pinned or line.startswith("$/"), line


def test_an_action_has_one_version():
    used = {
        tuple(line.split("@"))
        for path in WITH_ACTIONS
        for line in re.findall(r"uses: (\S+@.*)", path.read_text())
    }

    assert len({name for name, _ in used}) == len(used), sorted(used)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_workflow_may_write_unless_a_job_says_so(name):
    workflow = yaml.safe_load(WORKFLOWS[name].read_text())

    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job, about in workflow["jobs"].items():
        granted = about.get("permissions", {})
        assert set(granted.values()) <= {"read"} or name == "release", job


def test_workflows_run_existing_steps():
    listed = subprocess.check_output([ROOT / "tests/run", "--list"], text=True)
    known = {line.split()[0] for line in listed.splitlines() if line.startswith(" ")}
    fast = re.search(r"run: tests/run (.*)", WORKFLOWS["ci"].read_text())[1].split()
    full = re.findall(r"steps: (\w.*)", WORKFLOWS["full"].read_text())

    assert {"format", "lint", "test", "doc", "deny", "static"} <= set(fast)
    for step in [*fast, *" ".join(full).split()]:
        assert step in known, step


def test_toolchain_is_the_oldest_that_is_supported():
    oldest = re.search(r'rust-version = "(.*)"', (ROOT / "Cargo.toml").read_text())[1]

    for path in WORKFLOWS.values():
        assert f'RUST: "{oldest}.0"' in path.read_text()


def test_release_builds_what_action_and_documents_name():
    targets = set(re.findall(r"target: ([\w-]+)", WORKFLOWS["release"].read_text()))

    action = set(re.findall(r'\): "([\w-]+)"', (ROOT / "dist/action").read_text()))
    documented = re.findall(r"`([\w-]+?)\.(?:tar\.gz|zip)`", (ROOT / "docs/install.md").read_text())
    assert targets == action == set(documented)
    assert len(targets) == 5
    checked = re.findall(r'^    "([\w-]+)",$', (ROOT / "deny.toml").read_text(), re.M)
    assert targets <= set(checked), "the licenses of every released program are checked"


FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_issue_form_has_what_the_host_requires(path):
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert {*form} == {"blank_issues_enabled", "contact_links"}
        return
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    names = [field["id"] for field in asked]

    assert form["name"] and form["description"] and len(names) == len(set(names))
    assert all(field["attributes"]["label"] for field in asked)


def test_wrong_verdicts_come_with_their_report():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/wrong-verdict.yml").read_text())
    [report] = [field for field in form["body"] if field.get("id") == "report"]

    assert report["validations"]["required"] and "no secret" in report["attributes"]["description"]
