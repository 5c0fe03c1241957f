"""Secrets and parameters, read as ECS reads them; no value is left anywhere."""

import json
import os
import resource
import signal
import time

import pytest

from pullprobe_testing.memory import find_in_memory
from pullprobe_testing.region import ACCOUNT, IMAGE, REGION, ROLE, nginx_string

REFERENCE = "/aws/reference/secretsmanager/"
OTHER_REGION = "eu-west-1"

# Recorded errors. Secrets Manager names neither role nor key; Parameter Store passes on KMS's
# message.
KMS_OF_SECRETS_MANAGER = "Access to KMS is not allowed"
KMS_OF_SSM = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this "
    "region, or you are not allowed to access. (Service: AWSKMS; Status Code: 400; Error Code: "
    "AccessDeniedException; Request ID: 3ee54ab1-2f1b-4d9d-8735-e46987cb5355; Proxy: null)"
)
KMS_NAMED = (
    f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/x is not authorized to perform: "
    f"kms:Decrypt on resource: arn:aws:kms:{REGION}:{ACCOUNT}:key/"
    "1234abcd-12ab-34cd-56ef-1234567890ab because no identity-based policy allows the kms:Decrypt "
    "action"
)


def access_denied(message):
    """Returns nginx's clauses for a service that denies every request."""
    body = json.dumps({"__type": "AccessDeniedException", "message": message})
    return f"""
        default_type application/x-amz-json-1.1;
        location / {{ return 400 {nginx_string(body)}; }}
"""


@pytest.fixture(scope="module")
def parameters(region):
    """The names of twelve parameters."""
    names = [f"/prod/app/p{number:02}" for number in range(12)]
    for name in names:
        region.client("ssm").put_parameter(
            Name=name, Type="SecureString", Value=region.secret_value, Overwrite=True
        )
    return names


def secrets(*values_from):
    return [flag for value_from in values_from for flag in ("--secret", value_from)]


def read_failures(run, dependency):
    """Returns secret or parameter -> failure."""
    return {
        observation["subject"]: observation.get("failure")
        for observation in run.observations(dependency, "read")
    }


def test_parameters_are_read_ten_at_a_time(region, probe, parameters):
    before = len(region.servers["ssm"].requests())

    run = probe("--image", IMAGE, *secrets(*parameters))

    assert run.exit_code == 0, run
    assert read_failures(run, "ssm") == dict.fromkeys(parameters), "one observation for each"
    requests = region.servers["ssm"].requests()[before:]
    assert requests == [f"200 POST ssm.{REGION}.amazonaws.com /"] * 2, requests


def test_missing_parameter_of_ten_is_named(probe, parameters):
    missing = "/prod/app/none"
    run = probe("--image", IMAGE, *secrets(*parameters[:9], missing))

    assert (run.exit_code, run.causes) == (16, ["parameter-not-found"]), run
    expected = {**dict.fromkeys(parameters[:9]), missing: "not-found"}
    assert read_failures(run, "ssm") == expected, run


def test_secret_can_be_read_through_parameter_store(probe, parameters):
    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{REFERENCE}prod/plain"

    run = probe("--image", IMAGE, *secrets(f"{REFERENCE}prod/app", arn, *parameters[:3]))

    assert run.exit_code == 0, run
    assert len(read_failures(run, "ssm")) == 5, run


def test_missing_secret_in_parameter_store_does_not_blame_the_others(probe, parameters):
    """Parameter Store refuses the whole call; read alone, the other parameters are there."""
    missing = f"{REFERENCE}prod/none"
    run = probe("--image", IMAGE, *secrets(missing, *parameters[:4]))

    assert (run.exit_code, run.causes[0]) == (16, "secret-not-found"), run
    expected = {**dict.fromkeys(parameters[:4]), missing: "not-found"}
    assert read_failures(run, "ssm") == expected, run
    assert "certain" not in run.confidences, run


@pytest.mark.parametrize(
    "dependency, message",
    [
        ("secretsmanager", KMS_OF_SECRETS_MANAGER),
        ("secretsmanager", KMS_NAMED),
        ("ssm", KMS_OF_SSM),
        ("ssm", KMS_NAMED),
    ],
)
def test_denied_key_is_told_from_a_denied_secret(region, probe, dependency, message):
    value_from = region.secret if dependency == "secretsmanager" else region.parameter
    with region.servers[dependency].replaced_by(locations=access_denied(message)):
        run = probe("--image", IMAGE, *secrets(value_from))

    assert (run.exit_code, run.causes) == (14, ["kms-key-denies"]), run
    assert run.finding("kms-key-denies")["dependency"] == dependency


def test_secret_in_another_region_is_read_there(region, probe):
    manager = region.client("secretsmanager", region=OTHER_REGION)
    text = json.dumps({"a": region.secret_value})
    other = manager.create_secret(Name="prod/elsewhere", SecretString=text)["ARN"]
    with region.serves(f"secretsmanager.{OTHER_REGION}.amazonaws.com", "10.0.9.34"):
        run = probe("--image", IMAGE, *secrets(f"{other}:a::", region.secret, f"{other}:b::"))

    assert (run.exit_code, run.causes) == (16, ["secret-json-key-missing"]), run
    hosts = {observation["host"] for observation in run.observations("secretsmanager", "read")}
    expected = {f"secretsmanager.{name}.amazonaws.com" for name in (REGION, OTHER_REGION)}
    assert hosts == expected, run


def test_secret_version_is_chosen_by_its_stage(region, probe):
    manager = region.client("secretsmanager")
    old, new = (json.dumps({key: region.secret_value}) for key in ("old", "new"))
    arn = manager.create_secret(Name="prod/rotated", SecretString=old)["ARN"]
    manager.put_secret_value(SecretId=arn, SecretString=new)

    assert probe("--image", IMAGE, *secrets(f"{arn}:old:AWSPREVIOUS:")).exit_code == 0
    run = probe("--image", IMAGE, *secrets(f"{arn}:old:AWSCURRENT:", f"{arn}:new:AWSPENDING:"))

    causes = {"secret-json-key-missing", "secret-version-missing"}
    assert (run.exit_code, set(run.causes)) == (16, causes), run


def start_and_read_secrets(region, probe):
    """Starts a run that reads its secrets and then waits for a silent S3; returns its process."""

    def counts():
        return [len(region.servers[name].requests()) for name in ("secretsmanager", "ssm")]

    before = counts()
    values_from = f"{region.secret}:password::", region.plain_secret, region.parameter
    process = probe.start(
        *("--image", IMAGE, *secrets(*values_from)),
        limits={resource.RLIMIT_CORE: resource.RLIM_INFINITY},
        cwd=region.directory / "cores",
    )
    until = time.monotonic() + 4
    while counts() != [before[0] + 2, before[1] + 1]:
        assert time.monotonic() < until and process.poll() is None, "the secrets are not read"
        time.sleep(0.02)
    time.sleep(0.3)
    return process


@pytest.fixture
def cores(region):
    """A directory in which every user may write a core dump."""
    directory = region.directory / "cores"
    directory.mkdir(exist_ok=True)
    directory.chmod(0o777)
    return directory


def test_no_secret_value_is_in_memory(region, probe, cores):
    control = "team/app"  # must be found, or the search does not work
    with region.silent("s3"):
        process = start_and_read_secrets(region, probe)
        found = find_in_memory(process.pid, region.secret_value, control)
        run = probe.finish(process)

    assert found == {control}
    secrets_read = run.observations("secretsmanager", "read")
    observations = [*secrets_read, *run.observations("ssm", "read")]
    assert {observation["outcome"] for observation in observations} == {"passed"}, run
    assert any("2 keys" in observation["detail"] for observation in secrets_read), run


def test_aborted_run_leaves_no_core_dump(region, probe, cores):
    with region.silent("s3"):
        process = start_and_read_secrets(region, probe)
        os.kill(process.pid, signal.SIGABRT)
        _, status = os.waitpid(process.pid, 0)
    process.stdout.close()
    process.stderr.close()

    assert os.WTERMSIG(status) == signal.SIGABRT and not os.WCOREDUMP(status)
    assert list(cores.iterdir()) == []
