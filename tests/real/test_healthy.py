"""A subnet in which everything works: what the probe does there, and what it leaves behind."""

import json
import subprocess

from pullprobe_testing.region import IMAGE, LOG_GROUP, REGISTRY_HOST, ROLE_ARN, TASK_ARN


def test_a_healthy_subnet_passes(region, probe):
    run = probe(
        "--image",
        IMAGE,
        "--log-group",
        LOG_GROUP,
        "--secret",
        f"{region.secret}:password::",
        "--secret",
        region.parameter,
    )

    assert (run.exit_code, run.status, run.causes) == (0, "pass", []), run
    passed = {"passed"}
    ladder = {"resolve": passed, "connect": passed, "handshake": passed}
    assert run.outcomes("ecr.api") == {**ladder, "authorize": passed}, run
    assert run.outcomes("ecr.dkr") == {**ladder, "manifest": passed, "blob": passed}, run
    assert run.outcomes("s3") == {**ladder, "fetch": passed}, run
    assert run.outcomes("logs") == {**ladder, "write": passed}, run
    assert run.outcomes("secretsmanager") == {**ladder, "read": passed}, run
    assert run.outcomes("ssm") == {**ladder, "read": passed}, run
    assert run.seconds < 10, "it ends with its last check and not with its deadline"


def test_the_report_says_where_it_was_made_and_as_whom(region, probe):
    report = probe("--image", IMAGE).report

    assert report["vantage"]["region"] == "us-east-1"
    assert report["vantage"]["availability_zone"] == "us-east-1a"
    assert report["vantage"]["subnet_cidr"] == "10.0.1.0/24"
    assert report["vantage"]["address"] == "10.0.1.10"
    assert report["vantage"]["task_arn"] == TASK_ARN
    assert report["vantage"]["resolvers"] == ["10.0.0.2"]
    assert report["vantage"]["platform"] == "linux/amd64"
    assert report["identity"]["role_arn"] == ROLE_ARN
    assert report["identity"]["source"] == "container"


def test_with_no_flag_at_all_the_image_is_that_of_the_task(region, probe):
    before = len(region.servers["ecr.dkr"].requests())

    run = probe()

    assert run.exit_code == 0, run
    asked = region.servers["ecr.dkr"].requests()[before:]
    assert f"200 GET {REGISTRY_HOST} /v2/team/app/manifests/1.4" in asked, asked


def test_every_flag_can_come_from_the_environment(region, probe, log_group):
    run = probe(
        environment={
            "PULLPROBE_IMAGE": IMAGE,
            "PULLPROBE_LOG_GROUP": log_group,
            "PULLPROBE_RUN_ID": "deploy-42",
            "PULLPROBE_LOG_STREAM_PREFIX": "preflight",
        }
    )

    assert run.exit_code == 0, run
    assert run.report["run"]["id"] == "deploy-42"
    assert [stream.split("/")[0] for stream in region.log_messages(log_group)] == ["preflight"]


def test_the_report_is_the_second_event_in_the_log_group(region, probe, log_group):
    run = probe("--image", IMAGE, "--log-group", log_group)

    streams = region.log_messages(log_group)
    assert len(streams) == 1, streams
    started, report = next(iter(streams.values()))
    assert "started" in started
    assert report == run.stdout.strip(), "the same line in both places"
    assert run.report["delivery"]["logs"] == "delivered"
    probe.assert_no_secrets(started, report)


def test_the_first_bytes_of_every_layer_come_from_the_bucket(region, probe):
    before = len(region.servers["s3"].requests())

    run = probe("--image", IMAGE)

    asked = region.servers["s3"].requests()[before:]
    for digest in region.repository.layers["1.4"]["amd64"]:
        # 206: a part of it. 400 would be S3's answer to the registry's Authorization header.
        assert any(
            line.startswith("206 GET") and region.layer_key(digest) in line for line in asked
        ), (digest, asked, run)
    assert not [line for line in asked if not line.startswith("20")], asked
    for digest in region.repository.layers["1.4"]["arm64"]:
        assert not any(region.layer_key(digest) in line for line in asked), (
            "a layer of a platform that is not ours"
        )


def test_a_full_run_reads_and_verifies_every_layer(region, probe):
    before = len(region.servers["s3"].requests())

    run = probe("--image", IMAGE, "--full")

    assert run.exit_code == 0, run
    asked = region.servers["s3"].requests()[before:]
    for digest in region.repository.layers["1.4"]["amd64"]:
        assert any(region.layer_key(digest) in line for line in asked), (digest, asked)


def test_an_image_can_be_named_by_its_digest(region, probe):
    by_digest = f"{REGISTRY_HOST}/team/app@{region.repository.digests['1.4']}"

    assert probe("--image", by_digest).exit_code == 0


def test_two_images_are_rehearsed_in_one_run(region, probe):
    run = probe("--image", IMAGE, "--image", f"{REGISTRY_HOST}/team/app:arm-only")

    assert (run.exit_code, run.causes) == (15, ["platform-mismatch"]), run


def test_the_task_definition_says_what_to_rehearse(region, probe, log_group):
    definition = {
        "taskDefinition": {
            "family": "app",
            "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
            "containerDefinitions": [
                {
                    "name": "app",
                    "image": IMAGE,
                    "secrets": [
                        {"name": "PASSWORD", "valueFrom": f"{region.secret}:password::"},
                        {"name": "TOKEN", "valueFrom": "/prod/app/token"},
                    ],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": log_group,
                            "awslogs-region": "us-east-1",
                            "awslogs-stream-prefix": "app",
                        },
                    },
                }
            ],
        }
    }
    file = region.directory / "task-definition.json"
    file.write_text(json.dumps(definition))

    run = probe("--task-definition", file)

    assert run.exit_code == 0, run
    for role, phase in (
        ("secretsmanager", "read"),
        ("ssm", "read"),
        ("logs", "write"),
        ("s3", "fetch"),
    ):
        assert run.outcomes(dependency).get(phase) == {"passed"}, run


def test_a_proxy_in_the_environment_is_reported_and_not_used(region, probe):
    run = probe(
        "--image",
        IMAGE,
        environment={
            "HTTPS_PROXY": "http://10.0.9.99:3128",
            "https_proxy": "http://10.0.9.99:3128",
        },
    )

    assert run.exit_code == 0, run
    assert "HTTPS_PROXY" in run.report["vantage"]["proxy_variables"]


def test_people_get_a_text(region, probe):
    done = subprocess.run(
        [
            probe.binary,
            "probe",
            "--format",
            "text",
            "--ca-bundle",
            region.ca_bundle,
            "--image",
            IMAGE,
        ],
        env=region.task_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done
    assert "ecr.dkr" in done.stdout and "✓" in done.stdout
    assert "\x1b[" not in done.stdout, "colour, though this is no terminal"
    probe.assert_no_secrets(done.stdout, done.stderr)
