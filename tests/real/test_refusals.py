"""The path works and a service says no: what it said is what the report has to name."""

import uuid

import pytest

from pullprobe_testing.region import (
    ACCOUNT,
    IMAGE,
    LOG_GROUP,
    REGION,
    REGISTRY_HOST,
    S3_ACCESS_DENIED,
)


@pytest.mark.parametrize(
    "image, cause",
    [
        (f"{REGISTRY_HOST}/team/app:1.5", "image-not-found"),
        (f"{REGISTRY_HOST}/team/app@sha256:{'0' * 64}", "image-not-found"),
        (f"{REGISTRY_HOST}/other/app:1.4", "repository-not-found"),
        (f"{REGISTRY_HOST}/team/app:arm-only", "platform-mismatch"),
        (f"{REGISTRY_HOST}/team/app:arm-manifest", "platform-mismatch"),
    ],
)
def test_an_image_that_cannot_be_pulled(region, probe, image, cause):
    run = probe("--image", image)

    assert (run.exit_code, run.causes) == (15, [cause]), run
    assert run.finding(cause)["dependency"] == "ecr.dkr"


def test_a_layer_that_is_gone_from_the_bucket(region, probe):
    region.repository.push("vanishing")
    digest = region.repository.layers["vanishing"]["amd64"][2]
    assert probe("--image", f"{REGISTRY_HOST}/team/app:vanishing").exit_code == 0
    region.bucket_delete(digest)

    run = probe("--image", f"{REGISTRY_HOST}/team/app:vanishing")

    assert (run.exit_code, run.causes) == (15, ["layer-unavailable"]), run
    assert digest[7:19] in run.finding("layer-unavailable")["because"][0], "which layer"


def test_only_a_full_run_notices_a_layer_that_was_altered(region, probe):
    region.repository.push("altered")
    image = f"{REGISTRY_HOST}/team/app:altered"
    region.bucket_alter(region.repository.layers["altered"]["amd64"][1])

    assert probe("--image", image).exit_code == 0
    run = probe("--image", image, "--full")

    assert (run.exit_code, run.causes) == (15, ["layer-unavailable"]), run


def test_an_endpoint_policy_that_forgot_the_layer_bucket(region, probe):
    """S3's recorded answer to a request that a VPC endpoint policy does not allow: no policy is named in it."""
    with region.servers["s3"].replaced_by(locations=S3_ACCESS_DENIED):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.causes[0]) == (14, "s3-endpoint-policy-denies"), run
    assert run.failures("s3", "fetch")[0] == "denied", run


@pytest.mark.parametrize(
    "action, role, phase",
    [
        ("ecr:GetAuthorizationToken", "ecr.api", "authorize"),
        ("logs:CreateLogStream", "logs", "write"),
        ("secretsmanager:GetSecretValue", "secretsmanager", "read"),
        ("ssm:GetParameters", "ssm", "read"),
    ],
)
def test_a_role_that_may_not(region, probe, action, role, phase):
    with region.role_denied(action):
        run = probe(
            "--image",
            IMAGE,
            "--log-group",
            LOG_GROUP,
            "--secret",
            region.secret,
            "--secret",
            region.parameter,
        )

    assert (run.exit_code, run.status) == (14, "fail"), run
    assert "denied" in run.failures(dependency, phase), run
    assert action in run.stdout, "the action is what has to be allowed"
    assert {finding["dependency"] for finding in run.report["findings"]} == {role}, run


def test_a_log_group_that_does_not_exist(region, probe):
    run = probe("--image", IMAGE, "--log-group", "/ecs/nowhere")

    assert (run.exit_code, run.causes) == (17, ["log-group-missing"]), run
    assert "/ecs/nowhere" in run.stdout
    assert run.report["delivery"]["logs"] == "failed"


@pytest.mark.parametrize(
    "value_from, cause",
    [
        (f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/none-AbCdEf", "secret-not-found"),
        ("SECRET:passwort::", "secret-json-key-missing"),
        (f"SECRET:password::{uuid.uuid4()}", "secret-version-missing"),
        ("/prod/app/none", "parameter-not-found"),
    ],
)
def test_a_secret_that_ecs_could_not_read(region, probe, value_from, cause):
    run = probe("--image", IMAGE, "--secret", value_from.replace("SECRET", region.secret))

    assert (run.exit_code, run.causes) == (16, [cause]), run


def test_a_secret_that_is_not_json(region, probe):
    run = probe("--image", IMAGE, "--secret", f"{region.plain_secret}:password::")

    assert (run.exit_code, run.causes) == (16, ["secret-not-json"]), run


@pytest.mark.parametrize(
    "flags",
    [
        ("--image", "app:"),
        ("--image", f"{ACCOUNT}.dkr.ecr.us-east-1.amazonawss.com/App"),
        ("--image", IMAGE, "--region", "us-east-99x"),
        ("--image", IMAGE, "--log-group", "x" * 600),
        ("--task-definition", "/nonexistent.json"),
        ("--plan", "{"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(region, probe, flags):
    asked = [len(server.requests()) for server in region.servers.values()]

    run = probe(*flags, report=False)

    assert run.exit_code == 2, run
    assert flags[-2] in run.stderr and len(run.stderr) < 2000, run
    assert [len(server.requests()) for server in region.servers.values()] == asked
