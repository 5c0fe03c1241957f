"""169.254.170.2, the source of the role's credentials and of the task metadata."""

from pullprobe_testing import pace
from pullprobe_testing.instance_metadata import instance_metadata, serve
from pullprobe_testing.region import IMAGE, LOG_GROUP, METADATA_PATH, REGION

CREDENTIALS_URI = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
# Seconds: an endpoint that hangs may cost two, and a healthy run takes well under one and a half.
MAX_SECONDS = 2 + 1.5


def test_hanging_metadata_costs_two_seconds(region, probe):
    with region.task_endpoint.hangs(METADATA_PATH):
        run = probe("--image", IMAGE, "--region", "us-east-1")

    assert run.status in ("pass", "inconclusive"), run
    assert run.seconds < pace.limit(MAX_SECONDS), run
    assert run.outcomes("ecr.dkr")["manifest"] == {"passed"}, run


def test_hanging_credentials_cost_two_seconds(region, probe):
    with region.task_endpoint.hangs(region.credentials_path):
        run = probe("--image", IMAGE, "--log-group", LOG_GROUP)

    assert (run.exit_code, run.causes) == (13, ["no-credentials"]), run
    assert run.seconds < pace.limit(MAX_SECONDS), run
    assert run.outcomes("ecr.dkr")["handshake"] == {"passed"}, "the network is checked all the same"


def test_task_without_a_role_has_no_credentials(probe):
    run = probe("--image", IMAGE, without=[CREDENTIALS_URI])

    assert (run.exit_code, run.causes) == (13, ["no-credentials"]), run
    assert CREDENTIALS_URI in run.stdout


def test_unknown_credentials_id_gives_no_credentials(probe):
    unknown = {CREDENTIALS_URI: "/v2/credentials/unknown"}
    run = probe("--image", IMAGE, environment=unknown)

    assert (run.exit_code, run.causes) == (13, ["no-credentials"]), run


def test_wrong_secret_key_is_reported_as_invalid_credentials(region, probe):
    """moto verifies the signature with botocore, so healthy runs are signed correctly."""
    wrong = region.credentials_document(SecretAccessKey="w" * 40)
    with region.task_endpoint.returns(region.credentials_path, wrong):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.causes) == (13, ["credentials-invalid"]), run
    assert run.failures("ecr.api", "authorize") == ["invalid-signature"], run


def test_unknown_access_key_is_reported_as_invalid_credentials(region, probe):
    unknown = region.credentials_document(AccessKeyId="ASIAEXAMPLEEXAMPLE00")
    with region.task_endpoint.returns(region.credentials_path, unknown):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.causes) == (13, ["credentials-invalid"]), run


def test_without_a_task_the_endpoints_of_the_region_are_checked(probe):
    run = probe(without=["ECS_CONTAINER_METADATA_URI_V4"])

    assert (run.exit_code, run.status) == (0, "pass"), run
    assert "pass --image or --task-definition" in run.report["verdict"]["summary"], run
    for dependency in ("ecr.api", "ecr.dkr", "s3"):
        [handshake] = run.observations(dependency, "handshake")
        assert handshake["outcome"] == "passed", run


def test_instance_in_the_subnet_needs_no_setting(region, probe):
    keys = region.credentials_document()
    values = instance_metadata(REGION, "10.0.1.0/24", "10.0.1.10", "ecsInstanceRole", keys)
    server = serve(values)
    # The variable stands for the firmware that names Amazon EC2.
    endpoint = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url}
    run = probe(environment=endpoint, without=region.task_environment())
    server.close()

    assert (run.exit_code, run.status) == (0, "pass"), run
    assert run.report["vantage"]["carrier"] == "local", run
    assert run.report["vantage"]["region"] == REGION, run
    assert run.report["identity"]["source"] == "instance-profile", run
    for dependency in ("ecr.api", "ecr.dkr", "s3"):
        assert run.outcomes(dependency)["handshake"] == {"passed"}, run
