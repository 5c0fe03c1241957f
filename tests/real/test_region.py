"""The region behaves as AWS does, as seen by curl and the AWS CLI."""

import os
import pathlib
import subprocess
import sys

import pytest

from pullprobe_testing import pace
from pullprobe_testing.region import HOST, LAYER_BUCKET, REGISTRY_HOST, S3_HOST

AWS = pathlib.Path(sys.executable).parent / "aws"
REPOSITORY = f"https://{REGISTRY_HOST}/v2/team/app"
MANIFEST = f"{REPOSITORY}/manifests/1.4"
URL = {
    "ecr.api": f"https://{HOST['ecr.api']}/",
    "ecr.dkr": MANIFEST,
    "s3": f"https://{LAYER_BUCKET}.{S3_HOST}/",
    "logs": f"https://{HOST['logs']}/",
}
RESOLVE, REFUSED, TIMED_OUT, CERTIFICATE = 6, 7, 28, 60  # curl's exit codes


@pytest.fixture
def execute(region):
    """Runs a command as a person in the task would; returns its exit code and its output."""
    environment = {
        **region.task_environment(),
        "PATH": os.environ["PATH"],
        "AWS_CA_BUNDLE": str(region.ca_bundle),
        "CURL_CA_BUNDLE": str(region.ca_bundle),
    }

    def execute(*command):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=pace.limit(60)
        )
        return done.returncode, done.stdout.strip() or done.stderr.strip()

    return execute


@pytest.fixture
def curl(execute):
    command = "curl", "--silent", "--show-error", "--max-time", "2"
    return lambda url, *flags: execute(*command, *flags, url)


def written(variables):
    """Returns curl's flags to print variables of the response in place of its body."""
    return "--write-out", variables, "--output", "/dev/null"


def test_image_can_be_pulled_by_hand(region, execute, curl):
    code, password = execute(AWS, "ecr", "get-login-password")
    assert (code, password) == (0, region.registry_token)
    login = "--user", f"AWS:{password}"
    status = written("%{http_code} %{redirect_url}")

    assert curl(MANIFEST, *status) == (0, "401")
    digest = region.repository.layers["1.4"]["amd64"][0]
    _, redirect = curl(f"{REPOSITORY}/blobs/{digest}", *status, *login)
    assert redirect.startswith(f"307 https://{LAYER_BUCKET}.{S3_HOST}/"), redirect
    url = redirect.split()[1]
    part = curl(url, "--range", "0-1023", *written("%{http_code} %{size_download}"))
    assert part == (0, "206 1024")
    _, refused = curl(url, *login)
    assert "Only one auth mechanism allowed" in refused


def test_signatures_and_policies_are_checked(region, execute):
    log_stream = "--log-group-name", "/ecs/app", "--log-stream-name", "by-hand"
    assert execute(AWS, "logs", "create-log-stream", *log_stream)[0] == 0

    with region.role_denied("ecr:GetAuthorizationToken"):
        code, output = execute(AWS, "ecr", "get-login-password")
    assert code != 0
    assert "is not authorized to perform: ecr:GetAuthorizationToken" in output

    wrong_key = region.credentials_document(SecretAccessKey="w" * 40)
    with region.task_endpoint.returns(region.credentials_path, wrong_key):
        code, output = execute(AWS, "ecr", "get-login-password")
    assert code != 0 and "SignatureDoesNotMatch" in output


@pytest.mark.parametrize("dependency", URL)
def test_faults_look_to_curl_as_they_are_named(region, curl, dependency):
    server = region.servers[dependency]
    forged = region.corporate.issue(f"curl-{dependency}", ["*.amazonaws.com"])

    def exit_code():
        return curl(URL[dependency])[0]

    assert exit_code() == 0
    with region.silent(dependency):
        assert exit_code() == TIMED_OUT
    with server.stopped():
        assert exit_code() == REFUSED
    with region.unknown_name(dependency):
        assert exit_code() == RESOLVE
    with server.replaced_by(certificate=forged):
        assert exit_code() == CERTIFICATE
    assert exit_code() == 0


def test_registry_reaches_s3_whatever_the_subnet_does(region, curl):
    digest = region.repository.layers["1.4"]["arm64"][0]
    login = "--user", f"AWS:{region.registry_token}"
    with region.silent("s3"):
        result = curl(f"{REPOSITORY}/blobs/{digest}", *login, *written("%{http_code}"))
    assert result == (0, "307")
