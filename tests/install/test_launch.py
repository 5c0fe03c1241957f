"""`launch` finds what `install` pushed, says how to push it, or pushes it itself."""

import json

import pytest

from pullprobe_testing import binaries, launch_account
from pullprobe_testing.cli import LaunchCli, run
from pullprobe_testing.ecr_standin import HOST, REFERENCE, REGION, VERSION, stored, tags
from pullprobe_testing.ecs_standin import ApiError

DENIED = ApiError(
    "AccessDeniedException",
    "User: arn:aws:iam::123456789012:user/dev is not authorized to perform: ecr:BatchGetImage",
)


@pytest.fixture
def account(ecr, moto):
    """The account of the launch tests, with this registry."""
    standin = launch_account.create(moto)
    standin.upstream = ecr.peer
    yield standin
    standin.close()
    assert standin.schema_violations == []


@pytest.fixture
def launcher(account, ecr):
    """The command line, with every call but those of the data plane by way of the ECS stand-in."""
    return LaunchCli(account, REGION)


def images_of(account):
    requests = account.requests_of("RegisterTaskDefinition")
    return [request["containerDefinitions"][0]["image"] for request in requests]


def test_image_is_found_in_the_own_repository(operator, launcher, account):
    assert operator.install(platforms=["linux/amd64"]).returncode == 0

    launched = launcher.launch("--service", "web")

    assert launched.exit_code == 0, launched
    assert images_of(account) == [REFERENCE]


def test_installed_image_takes_precedence_over_an_earlier_launch(operator, launcher, account):
    earlier = f"{HOST}/old:0.0.1"
    assert launcher.launch("--service", "web", "--probe-image", earlier).exit_code == 0
    assert launcher.launch("--service", "web").exit_code == 0
    assert operator.install(platforms=["linux/amd64"]).returncode == 0

    assert launcher.launch("--service", "web").exit_code == 0

    assert images_of(account) == [earlier, REFERENCE]


def test_missing_image_is_named_with_the_command_that_pushes_it(launcher, account):
    launched = launcher.launch("--service", "web")

    assert launched.exit_code == 2 and launched.stdout == "", launched
    for text in (
        f"{REFERENCE} is not in Amazon ECR",
        "dist/build linux/amd64",
        f"pullprobe install --region {REGION} --agent linux/amd64=",
        "--install",
        f"--probe-image {REFERENCE}",
    ):
        assert text in launched.stderr, launched
    assert not account.requests_of("RunTask")


def test_operator_who_may_not_look_gets_the_statement(launcher, account):
    account.errors["BatchGetImage"] = DENIED

    launched = launcher.launch("--service", "web")

    assert launched.exit_code == 2, launched
    arn = "arn:aws:ecr:us-east-1:123456789012:repository/pullprobe"
    statement = f'{{"Action":"ecr:BatchGetImage","Effect":"Allow","Resource":"{arn}"}}'
    assert statement in launched.stderr and "could not be looked up" in launched.stderr, launched


def test_image_for_another_architecture_is_not_launched(operator, launcher, account):
    assert operator.install(platforms=["linux/arm64"]).returncode == 0

    launched = launcher.launch("--service", "web")

    assert launched.exit_code == 2, launched
    assert f"{REFERENCE} has no image for linux/amd64" in launched.stderr, launched
    arm = launcher.launch("--service", "web", "--probe-architecture", "ARM64")
    assert arm.exit_code == 0 and images_of(account) == [REFERENCE], arm


def test_launch_installs_once(launcher, account, ecr, files):
    flags = "--service", "web", "--install", "--agent", f"linux/amd64={files['linux/amd64']}"

    first = launcher.launch(*flags)

    assert first.exit_code == 0 and tags(ecr) == [VERSION], first
    assert images_of(account) == [REFERENCE], first
    before = len(ecr.requests)
    second = launcher.launch(*flags)
    assert second.exit_code == 0 and len(ecr.requests) == before, second
    without_files = launcher.launch("--service", "web", "--install")
    assert without_files.exit_code == 0, without_files


def test_dry_run_of_launch_and_install_changes_nothing(launcher, account, ecr, files):
    flags = "--service", "web", "--install", "--agent", f"linux/amd64={files['linux/amd64']}"

    shown = launcher.launch(*flags, "--dry-run")

    assert shown.exit_code == 0, shown
    calls = [json.loads(line) for line in shown.stdout.splitlines()]
    not_sent = {call["operation"] for call in calls if not call["sent"]}
    assert {"CreateRepository", "PutImage", "RegisterTaskDefinition", "RunTask"} <= not_sent
    assert tags(ecr) == [] and not account.requests_of("CreateRepository")
    assert not account.requests_of("RunTask") and ecr.requests == []


def test_agent_and_image_need_install(launcher, account, files):
    file = f"linux/amd64={files['linux/amd64']}"
    agent = launcher.launch("--service", "web", "--carrier", "fargate", "--agent", file)
    assert agent.exit_code == 2 and "add --install" in agent.stderr, agent
    both = launcher.launch("--service", "web", "--install", "--probe-image", REFERENCE)
    assert both.exit_code == 2 and "--install" in both.stderr, both
    assert not account.requests


@pytest.fixture
def release(monkeypatch):
    """The binary as a release builds it."""
    if not binaries.RELEASE.exists():
        pytest.fail(f"{binaries.RELEASE} is not built: run tests/run install")
    monkeypatch.setattr(binaries, "OPERATOR", binaries.RELEASE)


def test_release_contains_the_file(release, operator, ecr, files):
    source = operator.install(platforms=["linux/amd64"])
    assert source.returncode == 0, source

    done = run("install", "--repository", "packed", environment=operator.environment)

    assert done.returncode == 0, done
    packed = stored(ecr, "manifests", VERSION, "packed")
    assert packed[0] == 200 and packed == stored(ecr, "manifests", VERSION), "the same image"


def test_release_says_how_to_install_without_a_checkout(release, launcher, account):
    launched = launcher.launch("--service", "web")

    assert launched.exit_code == 2 and "dist/build" not in launched.stderr, launched
    assert f"pullprobe install --region {REGION}\n" in launched.stderr, launched
