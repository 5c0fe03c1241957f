"""Secrets and parameters exactly as ECS asks for them, and nothing left of a value anywhere."""

import json
import os
import resource
import signal
import time

import pytest

from pullprobe_testing import memory
from pullprobe_testing.region import ACCOUNT, IMAGE, REGION

REFERENCE = "/aws/reference/secretsmanager/"

# Recorded answers. Secrets Manager names neither role nor key; Parameter Store passes on what KMS said.
KMS_OF_SECRETS_MANAGER = ("AccessDeniedException", "Access to KMS is not allowed")
KMS_OF_SSM = (
    "AccessDeniedException",
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you "
    "are not allowed to access. (Service: AWSKMS; Status Code: 400; Error Code: AccessDeniedException; "
    "Request ID: 3ee54ab1-2f1b-4d9d-8735-e46987cb5355; Proxy: null)",
)
KMS_NAMED = (
    "AccessDeniedException",
    f"User: arn:aws:sts::{ACCOUNT}:assumed-role/ecsTaskExecutionRole/x is not authorized to perform: kms:Decrypt on "
    f"resource: arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab because no identity-based "
    "policy allows the kms:Decrypt action",
)


def says(code, message):
    body = json.dumps({"__type": code, "message": message}).replace("'", "\\'")
    return f"        default_type application/x-amz-json-1.1;\n        location / {{ return 400 '{body}'; }}\n"


@pytest.fixture(scope="module")
def parameters(region):
    """Twelve parameters of the team's."""
    names = [f"/prod/app/p{number:02}" for number in range(12)]
    for name in names:
        region.client("ssm").put_parameter(
            Name=name, Type="SecureString", Value=region.secret_value, Overwrite=True
        )
    return names


def secrets(*values_from):
    return [flag for value_from in values_from for flag in ("--secret", value_from)]


def read(run, role):
    """subject -> failure, of a role's reads."""
    return {seen["subject"]: seen.get("failure") for seen in run.observations(role, "read")}


def test_parameters_are_asked_for_ten_at_a_time(region, probe, parameters):
    before = len(region.servers["ssm"].requests())

    run = probe("--image", IMAGE, *secrets(*parameters))

    assert run.exit_code == 0, run
    assert read(run, "ssm") == dict.fromkeys(parameters), (
        "each of them is an observation of its own"
    )
    asked = region.servers["ssm"].requests()[before:]
    assert asked == [f"200 POST ssm.{REGION}.amazonaws.com /"] * 2, asked


def test_the_one_of_ten_that_is_missing_is_named(region, probe, parameters):
    run = probe("--image", IMAGE, *secrets(*parameters[:9], "/prod/app/none"))

    assert (run.exit_code, run.causes) == (16, ["parameter-not-found"]), run
    assert read(run, "ssm") == {**dict.fromkeys(parameters[:9]), "/prod/app/none": "not-found"}, run


def test_a_secret_can_be_read_through_parameter_store(region, probe, parameters):
    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{REFERENCE}prod/plain"

    run = probe("--image", IMAGE, *secrets(f"{REFERENCE}prod/app", arn, *parameters[:3]))

    assert run.exit_code == 0, run
    assert len(read(run, "ssm")) == 5, run


def test_a_secret_that_parameter_store_cannot_find_does_not_blame_the_others(
    region, probe, parameters
):
    """Parameter Store refuses the whole call: asked alone, the others are there."""
    run = probe("--image", IMAGE, *secrets(f"{REFERENCE}prod/none", *parameters[:4]))

    assert (run.exit_code, run.causes[0]) == (16, "secret-not-found"), run
    assert read(run, "ssm") == {
        **dict.fromkeys(parameters[:4]),
        f"{REFERENCE}prod/none": "not-found",
    }, run
    assert "certain" not in [finding["confidence"] for finding in run.report["findings"]], run


@pytest.mark.parametrize(
    "role, answer",
    [
        ("secretsmanager", KMS_OF_SECRETS_MANAGER),
        ("secretsmanager", KMS_NAMED),
        ("ssm", KMS_OF_SSM),
        ("ssm", KMS_NAMED),
    ],
)
def test_a_key_that_does_not_admit_the_role_is_told_from_the_secret(region, probe, role, answer):
    value_from = region.secret if role == "secretsmanager" else region.parameter
    with region.servers[role].replaced_by(locations=says(*answer)):
        run = probe("--image", IMAGE, *secrets(value_from))

    assert (run.exit_code, run.causes) == (14, ["kms-key-denies"]), run
    assert run.finding("kms-key-denies")["dependency"] == role


def test_a_secret_of_another_region_is_read_there(region, probe):
    elsewhere = region.client("secretsmanager", region="eu-west-1").create_secret(
        Name="prod/elsewhere", SecretString='{"a": "' + region.secret_value + '"}'
    )["ARN"]
    with region.serves("secretsmanager.eu-west-1.amazonaws.com", "10.0.9.34"):
        run = probe(
            "--image", IMAGE, *secrets(f"{elsewhere}:a::", region.secret, f"{elsewhere}:b::")
        )

    assert (run.exit_code, run.causes) == (16, ["secret-json-key-missing"]), run
    hosts = {seen["host"] for seen in run.observations("secretsmanager", "read")}
    assert hosts == {f"secretsmanager.{part}.amazonaws.com" for part in (REGION, "eu-west-1")}, run


def test_a_previous_version_is_asked_for_by_its_stage(region, probe):
    manager = region.client("secretsmanager")
    arn = manager.create_secret(
        Name="prod/rotated", SecretString='{"old": "' + region.secret_value + '"}'
    )["ARN"]
    manager.put_secret_value(SecretId=arn, SecretString='{"new": "' + region.secret_value + '"}')

    assert probe("--image", IMAGE, *secrets(f"{arn}:old:AWSPREVIOUS:")).exit_code == 0
    run = probe("--image", IMAGE, *secrets(f"{arn}:old:AWSCURRENT:", f"{arn}:new:AWSPENDING:"))

    assert (run.exit_code, set(run.causes)) == (
        16,
        {"secret-json-key-missing", "secret-version-missing"},
    ), run


def while_it_waits_for_s3(region, probe):
    """A run that has read its secrets and still waits: (process, its finish)."""
    count = [len(region.servers[role].requests()) for role in ("secretsmanager", "ssm")]
    process = probe.start(
        "--image",
        IMAGE,
        *secrets(f"{region.secret}:password::", region.plain_secret, region.parameter),
        limits={resource.RLIMIT_CORE: resource.RLIM_INFINITY},
        cwd=region.directory / "cores",
    )
    until = time.monotonic() + 4
    while [len(region.servers[role].requests()) for role in ("secretsmanager", "ssm")] != [
        count[0] + 2,
        count[1] + 1,
    ]:
        assert time.monotonic() < until and process.poll() is None, "the secrets are not read"
        time.sleep(0.02)
    time.sleep(0.3)
    return process


@pytest.fixture
def cores(region):
    """A directory where anybody may write a core."""
    directory = region.directory / "cores"
    directory.mkdir(exist_ok=True)
    directory.chmod(0o777)
    return directory


def test_nothing_of_a_value_is_in_the_memory_of_the_run(region, probe, cores):
    with region.silent("s3"):
        process = while_it_waits_for_s3(region, probe)
        held = memory.holds(process.pid, region.secret_value, "team/app")
        run = probe.finish(process)

    assert held == {"team/app"}, (
        "the value is still in memory" if region.secret_value in held else "nothing was searched"
    )
    assert {
        seen["outcome"]
        for seen in run.observations("secretsmanager", "read") + run.observations("ssm", "read")
    } == {"passed"}, run
    assert any("2 keys" in seen["detail"] for seen in run.observations("secretsmanager", "read")), (
        run
    )


def test_a_run_that_is_aborted_leaves_no_core(region, probe, cores):
    with region.silent("s3"):
        process = while_it_waits_for_s3(region, probe)
        os.kill(process.pid, signal.SIGABRT)
        _, status = os.waitpid(process.pid, 0)
    process.stdout.close(), process.stderr.close()

    assert os.WTERMSIG(status) == signal.SIGABRT and not os.WCOREDUMP(status)
    assert list(cores.iterdir()) == []
