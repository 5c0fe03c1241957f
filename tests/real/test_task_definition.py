"""The task definition that lies in Amazon S3 or Parameter Store: the way for plans that are larger than an override."""

import json
import subprocess
import time

import pytest

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


def definition(**container):
    return {
        "family": "app",
        "containerDefinitions": [
            {
                "name": "app",
                "image": IMAGE,
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": LOG_GROUP,
                        "awslogs-region": REGION,
                        "awslogs-stream-prefix": "app",
                    },
                },
                **container,
            }
        ],
    }


@pytest.fixture(scope="module")
def document(region):
    """A task definition that starts here, as `describe-task-definition` prints it."""
    return json.dumps(
        {
            "taskDefinition": definition(
                secrets=[
                    {"name": "PASSWORD", "valueFrom": f"{region.secret}:password::"},
                    {"name": "TOKEN", "valueFrom": region.parameter},
                ]
            )
        }
    )


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


def roles(run):
    return {observation["dependency"] for observation in run.report["observations"]} - {
        "metadata",
        "clock",
        "credentials",
    }


@pytest.mark.parametrize("bucket", [BUCKET, DOTTED])
def test_it_is_read_from_s3_and_rehearsed(region, probe, s3, bucket):
    before = len(region.servers["s3"].requests())

    run = probe("--task-definition", f"s3://{bucket}/{KEY}")

    assert (run.exit_code, run.status) == (0, "pass"), run
    assert roles(run) == {"ecr.api", "ecr.dkr", "s3", "logs", "secretsmanager", "ssm"}, run
    host, path = (
        (S3_HOST, f"/{bucket}/{KEY}") if bucket == DOTTED else (f"{bucket}.{S3_HOST}", f"/{KEY}")
    )
    assert region.servers["s3"].requests()[before] == f"200 GET {host} {path}"


def test_the_runtime_platform_decides_the_manifest(region, probe):
    arm_only = IMAGE.replace("1.4", "arm-only")
    for architecture, exit_code in ((None, 15), ("X86_64", 15), ("ARM64", 0)):
        document = definition(image=arm_only) | (
            {"runtimePlatform": {"cpuArchitecture": architecture}} if architecture else {}
        )
        file = region.directory / "platform.json"
        file.write_text(json.dumps(document))
        run = probe("--task-definition", file)
        assert run.exit_code == exit_code, run
        if exit_code:
            assert run.finding("platform-mismatch")["confidence"] == "certain", run
            assert run.observations("ecr.dkr", "manifest")[0]["presented"] == ["linux/arm64"], run


def test_it_is_read_from_parameter_store_by_name_and_by_arn(region, probe, parameter):
    for source in (f"ssm:{parameter}", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{parameter}"):
        run = probe("--task-definition", source)
        assert (run.exit_code, run.status) == (0, "pass"), run
        assert "secretsmanager" in roles(run), run


def test_a_task_whose_plan_is_too_large_for_an_override_goes_this_way(region, probe, s3):
    names = [f"/prod/app/{n:03}/{'settings-of-a-service-with-a-long-name' * 2}" for n in range(120)]
    for name in names:
        region.client("ssm").put_parameter(Name=name, Type="String", Value="x")
    secrets = [{"name": f"S{n}", "valueFrom": name} for n, name in enumerate(names)]
    large = json.dumps(definition(secrets=secrets))
    s3.put_object(Bucket=BUCKET, Key="many-secrets.json", Body=large.encode())

    printed = subprocess.run(
        [probe.binary, "plan", "--task-definition", "-", "--format", "json"],
        input=large,
        text=True,
        capture_output=True,
        env={"AWS_REGION": REGION},
    )
    assert (printed.returncode, printed.stdout) == (2, ""), printed
    assert "8192" in printed.stderr and "--task-definition s3://BUCKET/KEY" in printed.stderr, (
        printed
    )

    run = probe("--task-definition", f"s3://{BUCKET}/many-secrets.json")
    assert (run.exit_code, run.status) == (0, "pass"), run
    assert len(run.observations("ssm", "read")) == 120, run


def test_what_plan_prints_of_it_is_what_is_probed(region, probe, document):
    printed = subprocess.run(
        [probe.binary, "plan", "--task-definition", "-", "--format", "json"],
        input=document,
        text=True,
        capture_output=True,
        env={"AWS_REGION": REGION},
    )
    assert printed.returncode == 0, printed

    run = probe(
        environment={
            "PULLPROBE_PLAN": printed.stdout,
            "PULLPROBE_IMAGE": "",
            "PULLPROBE_LOG_GROUP": "",
        }
    )

    assert (run.exit_code, run.report["plan"]) == (0, json.loads(printed.stdout)), run
    planned = {
        (target["key"], phase)
        for target in run.report["plan"]["targets"]
        for phase in target["phases"]
    }
    seen = {
        (observation["id"].split("/")[0], observation["phase"])
        for observation in run.report["observations"]
    }
    assert planned <= seen, planned - seen


@pytest.mark.parametrize(
    "source, words",
    [
        (f"s3://{BUCKET}/gone.json", ["fetch not-found", "there is no such object"]),
        (f"s3://{BUCKET}/large.json", ["more than 262144 bytes"]),
        (
            f"s3://{BUCKET}/no-definition.json",
            ["containerDefinitions is missing", "describe-task-definition"],
        ),
        ("ssm:/prod/app/gone", ["there is no such parameter in us-east-1"]),
        ("ssm:/prod/app/token", ["not JSON"]),
    ],
)
def test_what_is_not_there_or_no_task_definition_is_said_and_nothing_else_is_asked(
    region, probe, s3, source, words
):
    others = [region.servers[role] for role in ADDRESS if role not in ("s3", "ssm")]
    before = [server.requests() for server in others]

    run = probe("--task-definition", source, report=False)

    assert (run.exit_code, run.stdout) == (2, ""), run
    assert all(word in run.stderr for word in [source, *words]), run
    assert [server.requests() for server in others] == before


def test_a_refusal_names_the_permission(region, probe, s3, parameter):
    with region.role_denied("ssm:GetParameters"):
        run = probe("--task-definition", f"ssm:{parameter}", report=False)
    assert (
        run.exit_code == 2 and "ssm:GetParameters" in run.stderr and "AccessDenied" in run.stderr
    ), run

    with region.servers["s3"].replaced_by(locations=S3_ACCESS_DENIED):
        run = probe("--task-definition", f"s3://{BUCKET}/{KEY}", report=False)
    assert run.exit_code == 2, run
    assert (
        f"s3:GetObject on arn:aws:s3:::{BUCKET}/{KEY}" in run.stderr
        and "s3:ListBucket" in run.stderr
    ), run


def test_a_silent_path_is_said_in_time(region, probe, s3):
    with region.silent("s3"):
        run = probe("--task-definition", f"s3://{BUCKET}/{KEY}", report=False)
    assert run.exit_code == 2, run
    assert f"connect timed-out at {ADDRESS['s3']}:443" in run.stderr and "--plan" in run.stderr, run
    assert run.seconds < 15, run


def test_the_deadline_and_a_signal_end_the_reading_too(region, probe, s3):
    source = ("--task-definition", f"s3://{BUCKET}/{KEY}")
    with region.silent("s3"):
        run = probe(*source, "--deadline", "2s", report=False)
        assert (run.exit_code, run.stdout) == (2, "") and run.seconds < 2, run

        process = probe.start(*source)
        time.sleep(1)
        probe.interrupt(process)
        run = probe.finish(process, report=False)
    assert (run.exit_code, run.stdout) == (1, "") and run.seconds < 1, run
    assert "SIGTERM before the task definition was read" in run.stderr, run


def test_a_bucket_of_another_region_is_followed_there(region, probe, s3):
    elsewhere = "s3.eu-west-1.amazonaws.com"
    certificate = region.authority.issue(
        "s3-of-two-regions", [f"*.{S3_HOST}", S3_HOST, f"*.{elsewhere}", elsewhere]
    )
    here = f"{BUCKET}.{S3_HOST}"
    locations = f"""
        location / {{
            if ($host = "{here}") {{ add_header x-amz-bucket-region eu-west-1 always; return 301; }}
            proxy_set_header Host $host;
            proxy_pass {region.s3_moto.url};
        }}
    """
    with (
        region.dns.with_zones({elsewhere: [ADDRESS["s3"]]}),
        region.servers["s3"].replaced_by(certificate, locations),
    ):
        before = len(region.servers["s3"].requests())
        run = probe("--task-definition", f"s3://{BUCKET}/{KEY}")
        asked = region.servers["s3"].requests()[before:]
    assert (run.exit_code, run.status) == (0, "pass"), run
    assert asked[:2] == [f"301 GET {here} /{KEY}", f"200 GET {BUCKET}.{elsewhere} /{KEY}"], asked
