"""What `install` pushes, when it pushes nothing, and what it refuses before it begins."""

import base64
import gzip
import io
import json
import pathlib
import tarfile
import tomllib

import pytest

from pullprobe_testing import binaries, images
from pullprobe_testing.accounts import ACCOUNT, moto_client
from pullprobe_testing.buildah import pulled
from pullprobe_testing.ecr_standin import (
    HOST,
    REFERENCE,
    REGION,
    VERSION,
    denial,
    digest_of,
    stored,
    tags,
)
from pullprobe_testing.policies import actions_of, documented_policy

UPLOADS = {"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"}


def test_image_is_an_index_of_one_layer_for_each_platform(operator, ecr, files):
    package = tomllib.loads((binaries.ROOT / "Cargo.toml").read_text())["package"]
    done = operator.install()

    assert done.returncode == 0, done
    _, index = stored(ecr, "manifests", VERSION)
    reference, *rest = done.stdout.splitlines()
    assert reference == REFERENCE, done
    assert digest_of(index) in done.stdout and "linux/amd64 and linux/arm64" in done.stdout, done
    assert f"pullprobe launch --region {REGION} --cluster" in rest[-1], done
    index = json.loads(index)
    assert index["mediaType"] == images.INDEX
    platforms = [manifest["platform"] for manifest in index["manifests"]]
    assert platforms == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]
    for descriptor in index["manifests"]:
        _, content = stored(ecr, "manifests", descriptor["digest"])
        assert len(content) == descriptor["size"]
        manifest = json.loads(content)
        assert manifest["mediaType"] == descriptor["mediaType"] == images.MANIFEST
        for document in (index, manifest):
            annotations = document["annotations"]
            assert annotations["org.opencontainers.image.version"] == VERSION
            assert annotations["org.opencontainers.image.licenses"] == package["license"]
            # A URL, which Cargo.toml has as soon as the repository is public.
            assert annotations.get("org.opencontainers.image.source") == package.get("repository")
        [layer] = manifest["layers"]
        _, packed = stored(ecr, "blobs", layer["digest"])
        assert len(packed) == layer["size"] and layer["mediaType"] == images.LAYER
        archive = gzip.decompress(packed)
        _, config = stored(ecr, "blobs", manifest["config"]["digest"])
        config = json.loads(config)
        assert config["architecture"] == descriptor["platform"]["architecture"]
        assert config["rootfs"] == {"type": "layers", "diff_ids": [digest_of(archive)]}
        assert config["created"] == "1970-01-01T00:00:00Z"
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            [entry] = tar
            content = tar.extractfile(entry).read()
        assert (entry.name, entry.mode, entry.mtime, entry.uid) == ("pullprobe", 0o755, 0, 0)
        assert content == files[f"linux/{config['architecture']}"].read_bytes()


def test_configuration_is_that_of_the_dockerfile(operator, ecr):
    operator.install(platforms=["linux/amd64"])

    _, index = stored(ecr, "manifests", VERSION)
    [descriptor] = json.loads(index)["manifests"]
    manifest = json.loads(stored(ecr, "manifests", descriptor["digest"])[1])
    config = json.loads(stored(ecr, "blobs", manifest["config"]["digest"])[1])["config"]
    lines = dict(
        line.split(" ", 1) for line in (binaries.ROOT / "Dockerfile").read_text().splitlines()
    )
    assert config == {
        "User": lines["USER"],
        "Entrypoint": json.loads(lines["ENTRYPOINT"]),
        "Cmd": json.loads(lines["CMD"]),
    }


def test_pushed_image_runs(operator, ecr, tmp_path):
    assert operator.install().returncode == 0

    with pulled(ecr.registry, f"pullprobe:{VERSION}", "amd64", tmp_path) as image:
        assert image.run("--version") == f"pullprobe {VERSION}"
        assert "s3-gateway-missing" in image.run("causes")


def test_docker_registry_itself_is_enough(operator, ecr):
    """Its uploads have absolute locations with a state, and no action is checked."""
    ecr.endpoint = "http://{}:{}".format(*ecr.registry)

    done = operator.install(platforms=["linux/amd64"])

    assert done.returncode == 0 and tags(ecr) == [VERSION], done
    again = operator.install(platforms=["linux/amd64"])
    assert again.returncode == 0 and "already exists" in again.stdout, again
    assert ecr.requests == []


def test_registry_without_encryption_is_for_tests_only(operator, ecr):
    """The API's answer cannot lead the token to an address that is not encrypted or not a URL."""
    for endpoint in ("ftp://127.0.0.1/", "not a url"):
        ecr.endpoint = endpoint
        done = operator.install(platforms=["linux/amd64"])
        assert done.returncode == 1 and "AWS_ENDPOINT_URL" in done.stderr, done


def test_repository_is_created_with_immutable_tags(operator, ecr, moto):
    done = operator.install("--repository", "team/probe")

    assert done.returncode == 0 and done.stdout.startswith(f"{HOST}/team/probe:{VERSION}\n"), done
    assert f"--probe-image {HOST}/team/probe:{VERSION}" in done.stdout, done
    client = moto_client("ecr", moto.url, REGION)
    [repository] = client.describe_repositories()["repositories"]
    assert repository["repositoryName"] == "team/probe"
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert tags(ecr, "team/probe") == [VERSION]


def test_second_time_nothing_is_pushed(operator, ecr):
    first = operator.install()
    before = len(ecr.requests)

    second = operator.install()

    assert first.returncode == second.returncode == 0, second
    assert "already exists" in second.stdout, second
    assert first.stdout.splitlines()[2] == second.stdout.splitlines()[2], "the same digest"
    again = {request.action for request in ecr.requests[before:]}
    assert again == {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage"}, second


def test_what_is_there_already_is_not_uploaded_again(operator, ecr):
    """Of an interrupted installation the layers are there, and no tag."""
    ecr.denied.add("ecr:PutImage")
    assert operator.install(platforms=["linux/amd64"]).returncode == 1
    ecr.denied.clear()
    before = len(ecr.requests)

    done = operator.install(platforms=["linux/amd64"])

    assert done.returncode == 0 and tags(ecr) == [VERSION], done
    assert not UPLOADS & {request.action for request in ecr.requests[before:]}, done


def test_same_files_have_the_same_digest_anywhere(operator, ecr, tmp_path, files):
    operator.install()
    copy = tmp_path / "copy"
    copy.write_bytes(files["linux/amd64"].read_bytes())
    other = f"--agent=linux/amd64={copy}", f"--agent=linux/arm64={files['linux/arm64']}"

    done = operator("install", "--repository", "other", *reversed(other))

    assert done.returncode == 0, done
    assert stored(ecr, "manifests", VERSION, "other") == stored(ecr, "manifests", VERSION)


def test_tag_with_another_digest_is_not_replaced(operator, ecr):
    operator.install(platforms=["linux/amd64"])
    before = stored(ecr, "manifests", VERSION)
    requests = len(ecr.requests)

    done = operator.install()

    assert done.returncode == 2 and done.stdout == "", done
    for text in (REFERENCE, digest_of(before[1]), "--repository", "batch-delete-image"):
        assert text in done.stderr, done
    assert stored(ecr, "manifests", VERSION) == before
    assert {request.method for request in ecr.requests[requests:]} == {"GET"}, "nothing was sent"


def test_dry_run_changes_nothing(operator, ecr, moto):
    first = operator.install("--dry-run", "--verbose")

    assert first.returncode == 0 and REFERENCE in first.stderr, first
    assert "would be pushed" in first.stderr, first
    client = moto_client("ecr", moto.url, REGION)
    assert client.describe_repositories()["repositories"] == []
    shown = [json.loads(line) for line in first.stdout.splitlines() if line.startswith("{")]
    assert {call["operation"] for call in shown if not call["sent"]} == {
        "CreateRepository",
        "InitiateLayerUpload",
        "UploadLayerPart",
        "CompleteLayerUpload",
        "PutImage",
    }
    assert ecr.requests == []

    operator.install("--repository", "there", platforms=["linux/amd64"])
    before = len(ecr.requests)
    second = operator.install("--dry-run", "--repository", "there", platforms=["linux/amd64"])
    assert second.returncode == 0 and "already exists" in second.stderr, second
    assert "changed nothing" in second.stdout and "{" not in second.stdout, second
    assert {request.method for request in ecr.requests[before:]} <= {"GET", "HEAD"}, second


def test_documented_policy_grants_exactly_what_install_calls(operator, ecr):
    assert operator.install().returncode == 0

    granted = actions_of(documented_policy("InstallTheProbe")["Statement"])
    assert granted == ecr.called_actions()


@pytest.mark.parametrize(
    "action", sorted(actions_of(documented_policy("InstallTheProbe")["Statement"]))
)
def test_missing_permission_is_reported_with_its_statement(operator, ecr, action):
    ecr.denied.add(action)

    done = operator.install()

    assert done.returncode == 1 and done.stdout == "", done
    name = "*" if action == "ecr:GetAuthorizationToken" else "pullprobe"
    resource = denial(action, name).split("resource: ")[1].split(" ")[0]
    statement = json.dumps(
        {"Action": action, "Effect": "Allow", "Resource": resource}, separators=(",", ":")
    )
    assert statement in done.stderr, done
    assert tags(ecr) == []


def bad_files(files, tmp_path):
    good = files["linux/amd64"].read_bytes()
    (tmp_path / "script").write_text("#!/bin/sh\n")
    (tmp_path / "half").write_bytes(good[: len(good) // 2])
    (tmp_path / "header").write_bytes(good[:64])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "relocatable").write_bytes(good[:16] + b"\x01" + good[17:])
    return {
        pathlib.Path("/bin/true"): "linked dynamically",
        tmp_path / "script": "not a Linux executable",
        tmp_path / "half": "not a complete",
        tmp_path / "header": "not a complete",
        tmp_path / "empty": "not a Linux executable",
        tmp_path / "relocatable": "not an executable",
        tmp_path / "absent": "No such file",
        tmp_path: "directory",
        files["linux/arm64"]: "is for linux/arm64",
    }


def test_file_that_cannot_run_in_the_image_is_refused(operator, ecr, files, tmp_path):
    for file, text in bad_files(files, tmp_path).items():
        done = operator("install", f"--agent=linux/amd64={file}")
        assert done.returncode == 2 and text in done.stderr and str(file) in done.stderr, done
        if text != "directory":
            assert "dist/build linux/amd64" in done.stderr, done
    assert ecr.api_requests == [] and ecr.requests == []


def test_flags_that_contradict_each_other_are_refused(operator, ecr, files):
    amd64 = f"--agent=linux/amd64={files['linux/amd64']}"
    for flags, text in [
        ([], "does not contain the probe's static files"),
        ([amd64, "--platform", "linux/amd64,linux/arm64"], "--agent linux/arm64=FILE"),
        ([amd64, amd64], "two files"),
        ([amd64, "--platform", "linux/arm64"], "leaves out"),
        ([amd64, "--platform", "windows/amd64"], "linux/amd64 or linux/arm64"),
        (["--agent", "linux/amd64"], "PLATFORM=FILE"),
        ([amd64, "--repository", "ghcr.io/me/probe"], "private Amazon ECR registry"),
        ([amd64, "--repository", "probe:1"], "leave out the tag"),
        (
            [amd64, "--repository", f"{HOST.replace(ACCOUNT, '2' * 12)}/probe"],
            "account 222222222222",
        ),
        ([amd64, "--repository", f"{HOST}/probe", "--region", "eu-west-1"], "--region us-east-1"),
    ]:
        done = operator("install", *flags)
        assert done.returncode == 2 and text in done.stderr and done.stdout == "", done
    assert ecr.requests == []
    assert ("ecr", "CreateRepository") not in {request[:2] for request in ecr.api_requests}


def test_uri_and_arn_of_the_own_repository_are_accepted(operator, ecr):
    uri = operator.install("--repository", f"{HOST}/team/probe", platforms=["linux/amd64"])
    assert uri.returncode == 0 and uri.stdout.startswith(f"{HOST}/team/probe:{VERSION}"), uri
    arn = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/probe"
    again = operator.install("--repository", arn, platforms=["linux/amd64"])
    assert again.returncode == 0 and "already exists" in again.stdout, again


def test_no_token_is_printed(operator, ecr):
    ecr.denied.add("ecr:PutImage")
    done = operator.install()
    for token in ecr.tokens:
        password = base64.b64decode(token).decode().removeprefix("AWS:")
        assert token not in done.stdout + done.stderr, done
        assert password not in done.stdout + done.stderr, done


def test_unknown_program_is_pushed_with_a_warning(operator, ecr, files, tmp_path):
    other = tmp_path / "other"
    content = files["linux/amd64"].read_bytes()
    other.write_bytes(content.replace(b"PULLPROBE_DEADLINE", b"SOMETHING_DEADLINE"))

    done = operator("install", f"--agent=linux/amd64={other}")

    assert done.returncode == 0 and "does not look like a pullprobe probe" in done.stderr, done
