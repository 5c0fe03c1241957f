"""169.254.170.2: where the role's credentials and the task's own description come from."""

from pullprobe_testing.region import IMAGE, LOG_GROUP, METADATA_PATH

# A hanging endpoint may cost two seconds; a healthy run takes well under one.
AT_MOST = 2 + 1.5


def test_metadata_that_never_answers_costs_two_seconds(region, probe):
    with region.task_endpoint.hangs(METADATA_PATH):
        run = probe("--image", IMAGE, "--region", "us-east-1")

    assert run.status in ("pass", "inconclusive"), run
    assert run.seconds < AT_MOST, run
    assert run.outcomes("ecr.dkr")["manifest"] == {"passed"}, run


def test_credentials_that_never_come_cost_two_seconds(region, probe):
    with region.task_endpoint.hangs(region.credentials_path):
        run = probe("--image", IMAGE, "--log-group", LOG_GROUP)

    assert (run.exit_code, run.causes) == (13, ["no-credentials"]), run
    assert run.seconds < AT_MOST, run
    assert run.outcomes("ecr.dkr")["handshake"] == {"passed"}, (
        "the network was looked at all the same"
    )


def test_a_task_without_a_role_is_told_so(region, probe):
    run = probe("--image", IMAGE, without=["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])

    assert (run.exit_code, run.causes) == (13, ["no-credentials"]), run
    assert "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" in run.stdout


def test_a_credentials_id_that_the_endpoint_does_not_know(region, probe):
    run = probe(
        "--image",
        IMAGE,
        environment={"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/unknown"},
    )

    assert (run.exit_code, run.causes) == (13, ["no-credentials"]), run


def test_a_wrong_secret_key_is_noticed_by_the_service(region, probe):
    """moto checks the signature with botocore's signer, so this also shows that the healthy runs were signed right."""
    wrong = region.credentials_document(SecretAccessKey="w" * 40)
    with region.task_endpoint.returns(region.credentials_path, wrong):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.causes) == (13, ["credentials-invalid"]), run
    assert run.failures("ecr.api", "authorize") == ["invalid-signature"], run


def test_a_key_that_nobody_issued(region, probe):
    with region.task_endpoint.returns(
        region.credentials_path, region.credentials_document(AccessKeyId="ASIAEXAMPLEEXAMPLE00")
    ):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.causes) == (13, ["credentials-invalid"]), run


def test_outside_ecs_the_image_has_to_be_named(region, probe):
    run = probe(without=["ECS_CONTAINER_METADATA_URI_V4"], report=False)

    assert run.exit_code == 2, run
    assert "--image" in run.stderr, run
