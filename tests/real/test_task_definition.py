"""Task definitions in Amazon S3 or Parameter Store: the way for plans larger than an override."""

import json
import subprocess
import time

import pytest

from pullprobe_testing import pace
from pullprobe_testing.accounts import log_configuration
from pullprobe_testing.region import (
    ACCOUNT,
    ADDRESS,
    IMAGE,
    LOG_GROUP,
    REGION,
    S3_ACCESS_DENIED,
    S3_HOST,
)

BUCKET, DOTTED = "configuration", "configuration.example"
KEY = "prod/task definition+1.json"
SOURCE = f"s3://{BUCKET}/{KEY}"
MAX_SIZE = 262144  # bytes of a task definition that the probe reads


def container(**more):
    logs = log_configuration(LOG_GROUP, REGION, "app")
    return {"name": "app", "image": IMAGE, "logConfiguration": logs, **more}


def task_definition(**more):
    return {
        "family": "app",
        "executionRoleArn": "ecsTaskExecutionRole",
        "containerDefinitions": [container(**more)],
    }


@pytest.fixture(scope="module")
def document(region):
    """A task definition that starts here, as `describe-task-definition` prints it."""
    secrets = {"PASSWORD": f"{region.secret}:password::", "TOKEN": region.parameter}
    listed = [{"name": name, "valueFrom": value} for name, value in secrets.items()]
    return json.dumps({"taskDefinition": task_definition(secrets=listed)})


@pytest.fixture(scope="module")
def s3(region, document):
    s3 = region.client("s3", region.s3_moto)
    for bucket in (BUCKET, DOTTED):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key=KEY, Body=document.encode())
    s3.put_object(Bucket=BUCKET, Key="large.json", Body=b" " * 300_000)
    s3.put_object(Bucket=BUCKET, Key="no-definition.json", Body=b'{"tasks": []}')
    return s3


@pytest.fixture(scope="module")
def parameter(region, document):
    region.client("ssm").put_parameter(Name="/prod/app/task", Type="String", Value=document)
    return "/prod/app/task"


def observed(run):
    """Returns the observed dependencies, without those that every run has."""
    dependencies = {observation["dependency"] for observation in run.report["observations"]}
    return dependencies - {"metadata", "clock", "credentials"}


def plan(probe, text):
    """Runs `plan` with a task definition on standard input."""
    command = [probe.binary, "plan", "--task-definition", "-", "--format", "json"]
    environment = {"AWS_REGION": REGION}
    return subprocess.run(command, input=text, text=True, capture_output=True, env=environment)


@pytest.mark.parametrize("bucket", [BUCKET, DOTTED])
def test_task_definition_is_read_from_s3(region, probe, s3, bucket):
    before = len(region.servers["s3"].requests())

    run = probe("--task-definition", f"s3://{bucket}/{KEY}")

    assert (run.exit_code, run.status) == (0, "pass"), run
    assert observed(run) == {"ecr.api", "ecr.dkr", "s3", "logs", "secretsmanager", "ssm"}, run
    # A name with dots does not match the wildcard certificate of S3.
    virtual, by_path = f"{bucket}.{S3_HOST} /{KEY}", f"{S3_HOST} /{bucket}/{KEY}"
    request = region.servers["s3"].requests()[before]
    assert request == f"200 GET {by_path if bucket == DOTTED else virtual}"


@pytest.mark.parametrize("architecture, exit_code", [(None, 15), ("X86_64", 15), ("ARM64", 0)])
def test_runtime_platform_decides_which_manifest_is_read(probe, architecture, exit_code):
    arm_only = container(image=IMAGE.replace("1.4", "arm-only"))
    platform = {"runtimePlatform": {"cpuArchitecture": architecture}} if architecture else {}

    run = probe.of_task([arm_only], definition=platform)

    assert run.exit_code == exit_code, run
    if exit_code:
        assert run.finding("platform-mismatch")["confidence"] == "certain", run
        manifest = run.observations("ecr.dkr", "manifest")[0]
        assert manifest["presented"] == ["linux/arm64"], run


def test_task_definition_is_read_from_parameter_store_by_name_and_arn(probe, parameter):
    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{parameter}"
    for source in (f"ssm:{parameter}", arn):
        run = probe("--task-definition", source)
        assert (run.exit_code, run.status) == (0, "pass"), run
        assert "secretsmanager" in observed(run), run


def test_plan_that_is_too_large_for_an_override_is_read_from_s3(region, probe, s3):
    suffix = "settings-of-a-service-with-a-long-name" * 2
    names = [f"/prod/app/{number:03}/{suffix}" for number in range(120)]
    for name in names:
        region.client("ssm").put_parameter(Name=name, Type="String", Value="x")
    secrets = [{"name": f"S{number}", "valueFrom": name} for number, name in enumerate(names)]
    large = json.dumps(task_definition(secrets=secrets))
    s3.put_object(Bucket=BUCKET, Key="many-secrets.json", Body=large.encode())

    printed = plan(probe, large)
    assert printed.returncode == 0 and len(printed.stdout) > 8192, printed
    assert "8192" in printed.stderr, printed
    assert "--task-definition s3://BUCKET/KEY" in printed.stderr, printed

    run = probe("--task-definition", f"s3://{BUCKET}/many-secrets.json")
    assert (run.exit_code, run.status) == (0, "pass"), run
    assert len(run.observations("ssm", "read")) == 120, run


def test_printed_plan_is_what_is_probed(probe, document):
    printed = plan(probe, document)
    assert printed.returncode == 0, printed

    variables = {"PULLPROBE_PLAN": printed.stdout, "PULLPROBE_IMAGE": ""}
    run = probe(environment={**variables, "PULLPROBE_LOG_GROUP": ""})

    plan_of_run = json.loads(printed.stdout)
    assert (run.exit_code, run.report["plan"]) == (0, plan_of_run), run
    planned = {
        (target["key"], phase) for target in plan_of_run["targets"] for phase in target["phases"]
    }
    observed = {
        (observation["id"].split("/")[0], observation["phase"])
        for observation in run.report["observations"]
    }
    assert planned <= observed, planned - observed


@pytest.mark.parametrize(
    "source, words",
    [
        (f"s3://{BUCKET}/gone.json", ["not-found"]),
        (f"s3://{BUCKET}/large.json", [str(MAX_SIZE)]),
        (f"s3://{BUCKET}/no-definition.json", ["containerDefinitions", "describe-task-definition"]),
        ("ssm:/prod/app/gone", ["parameter", REGION]),
        ("ssm:/prod/app/token", ["JSON"]),
    ],
)
def test_unreadable_source_is_reported_and_nothing_else_is_contacted(
    region, probe, s3, source, words
):
    others = [region.servers[name] for name in ADDRESS if name not in ("s3", "ssm")]
    before = [server.requests() for server in others]

    run = probe("--task-definition", source, report=False)

    assert (run.exit_code, run.stdout) == (2, ""), run
    assert all(word in run.stderr for word in [source, *words]), run
    assert [server.requests() for server in others] == before


def test_denial_names_the_permission(region, probe, s3, parameter):
    with region.role_denied("ssm:GetParameters"):
        run = probe("--task-definition", f"ssm:{parameter}", report=False)
    assert run.exit_code == 2, run
    assert "ssm:GetParameters" in run.stderr and "AccessDenied" in run.stderr, run

    with region.servers["s3"].replaced_by(locations=S3_ACCESS_DENIED):
        run = probe("--task-definition", SOURCE, report=False)
    assert run.exit_code == 2, run
    assert f"s3:GetObject on arn:aws:s3:::{BUCKET}/{KEY}" in run.stderr, run
    assert "s3:ListBucket" in run.stderr, run


def test_silent_s3_is_reported_in_time(region, probe, s3):
    with region.silent("s3"):
        run = probe("--task-definition", SOURCE, report=False)

    assert run.exit_code == 2, run
    assert f"connect timed-out at {ADDRESS['s3']}:443" in run.stderr, run
    assert "--plan" in run.stderr, run
    assert run.seconds < pace.limit(15), run


def test_deadline_and_signal_end_the_reading_of_a_task_definition(region, probe, s3):
    flags = "--task-definition", SOURCE
    with region.silent("s3"):
        run = probe(*flags, "--deadline", "2s", report=False)
        assert (run.exit_code, run.stdout) == (2, "") and run.seconds < pace.limit(2), run

        process = probe.start(*flags)
        time.sleep(1)
        probe.interrupt(process)
        run = probe.finish(process, report=False)
    assert (run.exit_code, run.stdout) == (1, "") and run.seconds < pace.limit(1), run
    assert "SIGTERM" in run.stderr, run


def test_bucket_in_another_region_is_followed_there(region, probe, s3):
    other = "s3.eu-west-1.amazonaws.com"
    names = [f"*.{S3_HOST}", S3_HOST, f"*.{other}", other]
    certificate = region.authority.issue("s3-of-two-regions", names)
    here = f"{BUCKET}.{S3_HOST}"
    locations = f"""
        location / {{
            if ($host = "{here}") {{
                add_header x-amz-bucket-region eu-west-1 always;
                return 301;
            }}
            proxy_set_header Host $host;
            proxy_pass {region.s3_moto.url};
        }}
    """
    with (
        region.dns.with_zones({other: [ADDRESS["s3"]]}),
        region.servers["s3"].replaced_by(certificate, locations),
    ):
        before = len(region.servers["s3"].requests())
        run = probe("--task-definition", SOURCE)
        requests = region.servers["s3"].requests()[before:]

    assert (run.exit_code, run.status) == (0, "pass"), run
    expected = [f"301 GET {here} /{KEY}", f"200 GET {BUCKET}.{other} /{KEY}"]
    assert requests[:2] == expected, requests
