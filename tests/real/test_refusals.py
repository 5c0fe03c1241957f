"""The path works and a service returns an error: the report must name it."""

import pytest

from pullprobe_testing.region import (
    ACCOUNT,
    IMAGE,
    LOG_GROUP,
    REGION,
    REGISTRY_HOST,
    S3_ACCESS_DENIED,
)

TEAM = f"{REGISTRY_HOST}/team/app"


@pytest.mark.parametrize(
    "image, cause",
    [
        (f"{TEAM}:1.5", "image-not-found"),
        (f"{TEAM}@sha256:{'0' * 64}", "image-not-found"),
        (f"{REGISTRY_HOST}/other/app:1.4", "repository-not-found"),
        (f"{TEAM}:arm-only", "platform-mismatch"),
        (f"{TEAM}:arm-manifest", "platform-mismatch"),
    ],
)
def test_image_that_cannot_be_pulled_is_named(probe, image, cause):
    run = probe("--image", image)

    assert (run.exit_code, run.causes) == (15, [cause]), run
    assert run.finding(cause)["dependency"] == "ecr.dkr"


def test_layer_deleted_from_the_bucket_is_named(region, probe):
    region.repository.push("vanishing")
    digest = region.repository.layers["vanishing"]["amd64"][2]
    assert probe("--image", f"{TEAM}:vanishing").exit_code == 0
    region.bucket_delete(digest)

    run = probe("--image", f"{TEAM}:vanishing")

    assert (run.exit_code, run.causes) == (15, ["layer-unavailable"]), run
    assert digest[7:19] in run.finding("layer-unavailable")["because"][0], "which layer"


def test_only_a_full_run_finds_an_altered_layer(region, probe):
    region.repository.push("altered")
    region.bucket_alter(region.repository.layers["altered"]["amd64"][1])

    assert probe("--image", f"{TEAM}:altered").exit_code == 0
    run = probe("--image", f"{TEAM}:altered", "--full")

    assert (run.exit_code, run.causes) == (15, ["layer-unavailable"]), run


def test_endpoint_policy_without_the_layer_bucket_denies(region, probe):
    """S3's recorded response to a request that a VPC endpoint policy denies names no policy."""
    with region.servers["s3"].replaced_by(locations=S3_ACCESS_DENIED):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.causes[0]) == (14, "s3-endpoint-policy-denies"), run
    assert run.failures("s3", "fetch")[0] == "denied", run


@pytest.mark.parametrize(
    "action, dependency, phase",
    [
        ("ecr:GetAuthorizationToken", "ecr.api", "authorize"),
        ("logs:CreateLogStream", "logs", "write"),
        ("secretsmanager:GetSecretValue", "secretsmanager", "read"),
        ("ssm:GetParameters", "ssm", "read"),
    ],
)
def test_denied_action_is_named(region, probe, action, dependency, phase):
    secrets = ["--secret", region.secret, "--secret", region.parameter]
    with region.role_denied(action):
        run = probe("--image", IMAGE, "--log-group", LOG_GROUP, *secrets)

    assert (run.exit_code, run.status) == (14, "fail"), run
    assert "denied" in run.failures(dependency, phase), run
    assert action in run.stdout, "the action is what the policy must allow"
    assert {finding["dependency"] for finding in run.report["findings"]} == {dependency}, run


def test_missing_log_group_is_named(probe):
    run = probe("--image", IMAGE, "--log-group", "/ecs/nowhere")

    assert (run.exit_code, run.causes) == (17, ["log-group-missing"]), run
    assert "/ecs/nowhere" in run.stdout
    assert run.report["delivery"]["logs"] == "failed"


@pytest.mark.parametrize(
    "value_from, cause",
    [
        (
            f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/none-AbCdEf",
            "secret-not-found",
        ),
        ("SECRET:passwort::", "secret-json-key-missing"),
        ("SECRET:password::5e0b3c4e-8c1f-4a52-9b0e-2f1a6c7d8e90", "secret-version-missing"),
        ("/prod/app/none", "parameter-not-found"),
    ],
)
def test_secret_that_ecs_could_not_read_is_named(region, probe, value_from, cause):
    run = probe("--image", IMAGE, "--secret", value_from.replace("SECRET", region.secret))

    assert (run.exit_code, run.causes) == (16, [cause]), run


def test_secret_that_is_not_json_has_no_key(region, probe):
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
def test_invalid_arguments_are_refused_before_any_request(region, probe, flags):
    servers = region.servers.values()
    before = [len(server.requests()) for server in servers]

    run = probe(*flags, report=False)

    assert run.exit_code == 2, run
    assert flags[-2] in run.stderr and len(run.stderr) < 2000, run
    assert [len(server.requests()) for server in servers] == before
