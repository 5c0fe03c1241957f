"""A subnet in which everything works: what the probe does there, and what it leaves behind."""

import subprocess

from pullprobe_testing import pace
from pullprobe_testing.accounts import log_configuration
from pullprobe_testing.region import IMAGE, LOG_GROUP, REGISTRY_HOST, ROLE_ARN, TASK_ARN

PASSED = {"passed"}
LADDER = {"resolve": PASSED, "connect": PASSED, "handshake": PASSED}


def test_healthy_subnet_passes(region, probe):
    secrets = ["--secret", f"{region.secret}:password::", "--secret", region.parameter]
    run = probe("--image", IMAGE, "--log-group", LOG_GROUP, *secrets)

    assert (run.exit_code, run.status, run.causes) == (0, "pass", []), run
    assert run.outcomes("ecr.api") == {**LADDER, "authorize": PASSED}, run
    assert run.outcomes("ecr.dkr") == {**LADDER, "manifest": PASSED, "blob": PASSED}, run
    assert run.outcomes("s3") == {**LADDER, "fetch": PASSED}, run
    assert run.outcomes("logs") == {**LADDER, "write": PASSED}, run
    assert run.outcomes("secretsmanager") == {**LADDER, "read": PASSED}, run
    assert run.outcomes("ssm") == {**LADDER, "read": PASSED}, run
    assert run.seconds < pace.limit(10), "the run ends with its last check, not with its deadline"


def test_report_names_vantage_and_identity(probe):
    report = probe("--image", IMAGE).report

    expected = {
        "region": "us-east-1",
        "availability_zone": "us-east-1a",
        "subnet_cidr": "10.0.1.0/24",
        "address": "10.0.1.10",
        "task_arn": TASK_ARN,
        "resolvers": ["10.0.0.2"],
        "platform": "linux/amd64",
    }
    assert {key: report["vantage"][key] for key in expected} == expected
    assert report["identity"]["role_arn"] == ROLE_ARN
    assert report["identity"]["source"] == "container"


def test_image_defaults_to_that_of_the_task(region, probe):
    before = len(region.servers["ecr.dkr"].requests())

    run = probe()

    assert run.exit_code == 0, run
    requests = region.servers["ecr.dkr"].requests()[before:]
    assert f"200 GET {REGISTRY_HOST} /v2/team/app/manifests/1.4" in requests, requests


def test_flags_can_come_from_the_environment(region, probe, log_group):
    environment = {
        "PULLPROBE_IMAGE": IMAGE,
        "PULLPROBE_LOG_GROUP": log_group,
        "PULLPROBE_RUN_ID": "deploy-42",
        "PULLPROBE_LOG_STREAM_PREFIX": "preflight",
    }
    run = probe(environment=environment)

    assert run.exit_code == 0, run
    assert run.report["run"]["id"] == "deploy-42"
    prefixes = [stream.split("/")[0] for stream in region.log_messages(log_group)]
    assert prefixes == ["preflight"]


def test_report_is_the_second_event_in_the_log_group(region, probe, log_group):
    run = probe("--image", IMAGE, "--log-group", log_group)

    streams = region.log_messages(log_group)
    assert len(streams) == 1, streams
    started, report = next(iter(streams.values()))
    assert "started" in started
    assert report == run.stdout.strip(), "the same line in both places"
    assert run.report["delivery"]["logs"] == "delivered"
    probe.assert_no_secrets(started, report)


def test_first_bytes_of_every_layer_come_from_the_bucket(region, probe):
    before = len(region.servers["s3"].requests())

    run = probe("--image", IMAGE)

    requests = region.servers["s3"].requests()[before:]
    for digest in region.repository.layers["1.4"]["amd64"]:
        # 206: a part of it. 400 would be S3's response to the registry's Authorization header.
        ranges = [line for line in requests if line.startswith("206 GET")]
        assert any(region.layer_key(digest) in line for line in ranges), (digest, requests, run)
    assert not [line for line in requests if not line.startswith("20")], requests
    for digest in region.repository.layers["1.4"]["arm64"]:
        key = region.layer_key(digest)
        assert not any(key in line for line in requests), "a layer of another platform"


def test_full_run_reads_every_layer(region, probe):
    before = len(region.servers["s3"].requests())

    run = probe("--image", IMAGE, "--full")

    assert run.exit_code == 0, run
    requests = region.servers["s3"].requests()[before:]
    for digest in region.repository.layers["1.4"]["amd64"]:
        key = region.layer_key(digest)
        assert any(key in line for line in requests), (digest, requests)


def test_image_can_be_named_by_digest(region, probe):
    by_digest = f"{REGISTRY_HOST}/team/app@{region.repository.digests['1.4']}"

    assert probe("--image", by_digest).exit_code == 0


def test_two_images_are_checked_in_one_run(probe):
    run = probe("--image", IMAGE, "--image", f"{REGISTRY_HOST}/team/app:arm-only")

    assert (run.exit_code, run.causes) == (15, ["platform-mismatch"]), run


def test_task_definition_gives_images_secrets_and_logs(region, probe, log_group):
    secrets = {"PASSWORD": f"{region.secret}:password::", "TOKEN": "/prod/app/token"}
    container = {
        "name": "app",
        "image": IMAGE,
        "secrets": [{"name": name, "valueFrom": value} for name, value in secrets.items()],
        "logConfiguration": log_configuration(log_group, "us-east-1", "app"),
    }
    platform = {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}

    run = probe.of_task([container], definition={"runtimePlatform": platform})

    assert run.exit_code == 0, run
    for dependency, phase in (
        ("secretsmanager", "read"),
        ("ssm", "read"),
        ("logs", "write"),
        ("s3", "fetch"),
    ):
        assert run.outcomes(dependency).get(phase) == PASSED, run


def test_proxy_variables_are_reported_and_not_used(probe):
    proxy = "http://10.0.9.99:3128"
    environment = {"HTTPS_PROXY": proxy, "https_proxy": proxy}

    run = probe("--image", IMAGE, environment=environment)

    assert run.exit_code == 0, run
    assert "HTTPS_PROXY" in run.report["vantage"]["proxy_variables"]


def test_text_format_is_for_people(region, probe):
    command = [probe.binary, "probe", "--format", "text", "--ca-bundle", region.ca_bundle]
    for flags, has_table in (([], False), (["--verbose"], True)):
        done = subprocess.run(
            [*command, "--image", IMAGE, *flags],
            env=region.task_environment(),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=pace.limit(60),
        )

        assert done.returncode == 0 and done.stdout.startswith("✓ PASS"), done
        assert ("ecr.dkr" in done.stdout) == has_table, done
        assert "\x1b[" not in done.stdout, "colors outside a terminal"
        probe.assert_no_secrets(done.stdout, done.stderr)
