"""`pullprobe probe` on a machine: what an instance and profiles of the AWS CLI provide."""

import json
import socket

import pytest

from pullprobe_testing import cli
from pullprobe_testing.instance_metadata import instance_metadata, serve

ROLE = "ecsInstanceRole"
CREDENTIALS = {
    "AccessKeyId": "ASIAEXAMPLE000000000",
    "SecretAccessKey": "instance/secret",
    "Token": "instance-token",
    "Expiration": "2999-01-01T00:00:00Z",
}
METADATA = instance_metadata("eu-west-1", "10.0.3.0/24", "10.0.3.7", ROLE, CREDENTIALS)


@pytest.fixture
def metadata():
    server = serve(METADATA)
    yield server.url
    server.close()


def closed_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def probe(tmp_path, *flags, **variables):
    """Runs the probe with a resolver that refuses, so that it ends at once."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **variables}
    flags = "--resolver", f"127.0.0.1:{closed_port()}", "--deadline", "5s", *flags
    run = cli.run("probe", "--format", "json", *flags, environment=environment)
    assert run.stdout, run
    assert "instance/secret" not in run.stdout + run.stderr
    return json.loads(run.stdout)


def names(report):
    return {
        check["host"].split(".", 1)[0]: check["dependency"]
        for check in report["plan"]["connections"]
    }


def test_instance_needs_no_setting(tmp_path, metadata):
    report = probe(tmp_path, AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata)

    vantage = report["vantage"]
    assert (vantage["carrier"], vantage["region"]) == ("local", "eu-west-1"), report
    assert vantage["availability_zone"] == "eu-west-1b" and vantage["address"] == "10.0.3.7"
    assert vantage["subnet_cidr"] == "10.0.3.0/24"
    assert report["identity"]["source"] == "instance-profile"
    assert sorted(names(report).values()) == ["ecr.api", "ecr.dkr", "s3"]
    resolved = [seen for seen in report["observations"] if seen["phase"] == "resolve"]
    assert len(resolved) == 3 and {seen["outcome"] for seen in resolved} == {"failed"}, report


def test_role_of_the_instance_is_named(tmp_path, metadata):
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1"
    report = probe(tmp_path, "--image", image, AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata)
    [credentials] = [seen for seen in report["observations"] if seen["dependency"] == "credentials"]
    assert credentials["outcome"] == "passed" and ROLE in credentials["detail"], credentials


def write_profile(tmp_path, credentials, config):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(credentials)
    (tmp_path / ".aws" / "config").write_text(config)


def test_profile_of_the_cli_has_credentials_and_region(tmp_path):
    keys = "aws_access_key_id = AKIAEXAMPLE0000000AB\naws_secret_access_key = instance/secret\n"
    write_profile(tmp_path, f"[team]\n{keys}", "[profile team]\nregion = ap-south-1\n")

    report = probe(tmp_path, AWS_PROFILE="team")

    assert report["identity"]["source"] == "profile", report
    assert report["vantage"]["region"] == "ap-south-1"


def test_environment_comes_before_profile_and_instance(tmp_path, metadata):
    keys = "aws_access_key_id = AKIAEXAMPLE0000000AB\naws_secret_access_key = other\n"
    write_profile(tmp_path, f"[default]\n{keys}", "")
    report = probe(
        tmp_path,
        AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata,
        AWS_ACCESS_KEY_ID="AKIAEXAMPLE0000000CD",
        AWS_SECRET_ACCESS_KEY="keys",
        AWS_REGION="us-west-2",
    )
    assert report["identity"]["source"] == "environment", report
    assert report["plan"]["region"] == "us-west-2"
    assert report["vantage"]["region"] == "eu-west-1", "where the instance is"


def test_expired_session_says_how_to_log_in(tmp_path):
    start = "https://team.awsapps.com/start"
    session = f"[sso-session team]\nsso_start_url = {start}\nsso_region = us-east-1\n"
    profile = "[default]\nsso_session = team\nsso_account_id = 123456789012\nsso_role_name = dev\n"
    write_profile(tmp_path, "", session + profile)
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1"

    report = probe(tmp_path, "--image", image)

    [credentials] = [seen for seen in report["observations"] if seen["dependency"] == "credentials"]
    assert credentials["outcome"] == "not-checked", credentials
    assert "aws sso login" in credentials["why"], credentials


def test_machine_without_metadata_is_not_asked_for_it(tmp_path):
    report = probe(tmp_path, AWS_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true")
    assert report["identity"] is None and report["vantage"]["carrier"] == "local", report
    assert len(names(report)) == 3
