"""The region is what it claims to be, as curl and the AWS CLI see it: a story about the probe that fails here is no story."""

import os
import pathlib
import subprocess
import sys

import pytest

from pullprobe_testing.region import HOST, LAYER_BUCKET, REGISTRY_HOST, S3_HOST

AWS = pathlib.Path(sys.executable).parent / "aws"
MANIFEST = f"https://{REGISTRY_HOST}/v2/team/app/manifests/1.4"
URL = {
    "ecr.api": f"https://{HOST['ecr.api']}/",
    "ecr.dkr": MANIFEST,
    "s3": f"https://{LAYER_BUCKET}.{S3_HOST}/",
    "logs": f"https://{HOST['logs']}/",
}
RESOLVE, REFUSED, TIMED_OUT, CERTIFICATE = 6, 7, 28, 60  # curl's exit codes


@pytest.fixture
def by_hand(region):
    environment = {
        **region.task_environment(),
        "PATH": os.environ["PATH"],
        "AWS_CA_BUNDLE": str(region.ca_bundle),
        "CURL_CA_BUNDLE": str(region.ca_bundle),
    }

    def run(*command):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout.strip() or done.stderr.strip()

    return run


@pytest.fixture
def curl(by_hand):
    return lambda url, *flags: by_hand(
        "curl", "--silent", "--show-error", "--max-time", "2", *flags, url
    )


def test_an_image_can_be_pulled_by_hand(region, by_hand, curl):
    code, password = by_hand(AWS, "ecr", "get-login-password")
    assert (code, password) == (0, region.registry_token)

    digest = region.repository.layers["1.4"]["amd64"][0]
    blob = f"https://{REGISTRY_HOST}/v2/team/app/blobs/{digest}"
    status = "%{http_code} %{redirect_url}"
    assert curl(MANIFEST, "--write-out", status, "--output", "/dev/null") == (0, "401")
    _, answer = curl(
        blob, "--write-out", status, "--output", "/dev/null", "--user", f"AWS:{password}"
    )
    assert answer.startswith(f"307 https://{LAYER_BUCKET}.{S3_HOST}/"), answer
    where = answer.split()[1]
    code, size = curl(
        where,
        "--range",
        "0-1023",
        "--write-out",
        "%{http_code} %{size_download}",
        "--output",
        "/dev/null",
    )
    assert (code, size) == (0, "206 1024")
    _, refused = curl(where, "--user", f"AWS:{password}")
    assert "Only one auth mechanism allowed" in refused


def test_calls_are_held_against_signature_and_policy(region, by_hand):
    assert (
        by_hand(
            AWS,
            "logs",
            "create-log-stream",
            "--log-group-name",
            "/ecs/app",
            "--log-stream-name",
            "by-hand",
        )[0]
        == 0
    )
    with region.role_denied("ecr:GetAuthorizationToken"):
        code, words = by_hand(AWS, "ecr", "get-login-password")
    assert code != 0 and "is not authorized to perform: ecr:GetAuthorizationToken" in words
    with region.task_endpoint.returns(
        region.credentials_path, region.credentials_document(SecretAccessKey="w" * 40)
    ):
        code, words = by_hand(AWS, "ecr", "get-login-password")
    assert code != 0 and "SignatureDoesNotMatch" in words


@pytest.mark.parametrize("role", URL)
def test_each_fault_is_what_it_is_called(region, curl, role):
    assert curl(URL[role])[0] == 0
    with region.silent(role):
        assert curl(URL[role])[0] == TIMED_OUT
    with region.servers[role].stopped():
        assert curl(URL[role])[0] == REFUSED
    with region.unknown_name(role):
        assert curl(URL[role])[0] == RESOLVE
    with region.servers[role].replaced_by(
        certificate=region.corporate.issue(f"curl-{role}", ["*.amazonaws.com"])
    ):
        assert curl(URL[role])[0] == CERTIFICATE
    assert curl(URL[role])[0] == 0


def test_the_path_of_the_registry_to_s3_is_its_own(region, curl):
    with region.silent("s3"):
        code, answer = curl(
            f"https://{REGISTRY_HOST}/v2/team/app/blobs/{region.repository.layers['1.4']['arm64'][0]}",
            "--user",
            f"AWS:{region.registry_token}",
            "--write-out",
            "%{http_code}",
            "--output",
            "/dev/null",
        )
    assert (code, answer) == (0, "307")
