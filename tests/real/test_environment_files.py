"""Environment files in Amazon S3, read as ECS reads them with the execution role."""

import contextlib
import uuid

import pytest

from pullprobe_testing.loopback_http import Handler, LoopbackServer
from pullprobe_testing.policies import policy
from pullprobe_testing.region import ACCOUNT, IMAGE, ROLE, S3_HOST, nginx_string, s3_error

BUCKET = "app-config"
DOTTED = "dotted.bucket.example"
OTHER_REGION, OTHER_S3_HOST = "eu-west-1", "s3.eu-west-1.amazonaws.com"
CANARY = f"canary-{uuid.uuid4()}"
FILE = f"{BUCKET}/prod/app.env"
MISSING_FILE = f"{BUCKET}/prod/none.env"
READ_FILES = policy(["s3:GetObject", "s3:GetBucketLocation"], "arn:aws:s3:::*")

# S3's recorded responses for a bucket in another region: of nearly all endpoints, and of the
# oldest.
MOVED = (
    301,
    "PermanentRedirect",
    "The bucket you are attempting to access must be addressed using the specified endpoint.",
)
MALFORMED = (
    400,
    "AuthorizationHeaderMalformed",
    "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'",
)
# S3's message for a missing object if the role may not list the bucket.
MAY_NOT_LIST = (
    f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/x is not authorized to perform: "
    's3:ListBucket on resource: "arn:aws:s3:::app-config" because no identity-based policy allows '
    "the s3:ListBucket action"
)


@pytest.fixture(scope="module")
def bucket(region):
    """Buckets of the team behind the name of S3. Their moto server checks policies."""
    s3, other = region.client("s3"), region.client("s3", region=OTHER_REGION)
    s3.create_bucket(Bucket=BUCKET)
    s3.create_bucket(Bucket=DOTTED)
    other.create_bucket(
        Bucket="in-ireland", CreateBucketConfiguration={"LocationConstraint": OTHER_REGION}
    )
    s3.put_object(Bucket=BUCKET, Key="prod/app.env", Body=f"TOKEN={CANARY}\n".encode())
    s3.put_object(Bucket=BUCKET, Key="empty.env", Body=b"")
    s3.put_object(Bucket=BUCKET, Key="an odd+name=ü.env", Body=b"A=B\n")
    s3.put_object(Bucket=DOTTED, Key="a.env", Body=b"A=B\n")
    other.put_object(Bucket="in-ireland", Key="app.env", Body=b"A=B\n")
    names = "^(app-config|dotted|in-ireland|absent)"
    locations = f"""
        set $upstream {region.s3_moto.url};
        if ($http_host ~ "{names}") {{ set $upstream {region.moto.url}; }}
        if ($uri ~ "^/dotted") {{ set $upstream {region.moto.url}; }}
        location / {{ proxy_pass $upstream; }}
"""
    with (
        region.role_policy(READ_FILES, name="files"),
        region.servers["s3"].replaced_by(locations=locations),
    ):
        yield region.servers["s3"]


@pytest.fixture
def fetch(probe):
    """Runs the probe for a task with these environment files, named without `arn:aws:s3:::`."""

    def fetch(*names):
        files = [{"type": "s3", "value": f"arn:aws:s3:::{name}"} for name in names]
        run = probe.of_task([{"name": "app", "image": IMAGE, "environmentFiles": files}])
        assert CANARY not in run.stdout + run.stderr, "the content is in the report"
        return run

    return fetch


def file_failures(run):
    """Returns file -> failure."""
    return {
        observation["subject"].removeprefix("arn:aws:s3:::"): observation.get("failure")
        for observation in run.observations("environment-file", "fetch")
        if "/" in observation["subject"]  # others are about a bucket
    }


def test_existing_files_are_read(fetch, bucket):
    before = len(bucket.requests())
    odd, dotted = f"{BUCKET}/an odd+name=ü.env", f"{DOTTED}/a.env"
    names = [FILE, f"{BUCKET}/empty.env", odd, dotted]

    run = fetch(*names)

    assert (run.exit_code, run.status) == (0, "pass"), run
    assert file_failures(run) == dict.fromkeys(names), run
    requests = [line for line in bucket.requests()[before:] if BUCKET in line]
    assert f"200 HEAD {BUCKET}.{S3_HOST} /prod/app.env" in requests, requests
    assert f"206 GET {BUCKET}.{S3_HOST} /prod/app.env" in requests, requests
    locations = [line for line in requests if line.startswith(f"200 GET {BUCKET}.{S3_HOST} /")]
    assert len(locations) == 1, "one GetBucketLocation"


@pytest.mark.parametrize("missing", [MISSING_FILE, "absent-bucket/app.env"])
def test_missing_file_is_named(fetch, bucket, missing):
    run = fetch(FILE, missing)

    assert (run.exit_code, run.causes) == (18, ["environment-file-missing"]), run
    assert run.finding("environment-file-missing")["confidence"] == "certain"
    assert file_failures(run) == {FILE: None, missing: "not-found"}, run


def test_denial_without_a_message_may_be_a_missing_file(region, fetch, bucket):
    with region.role_denied("s3:GetObject"):
        run = fetch(FILE)

    assert set(run.causes) == {"permission-denied", "environment-file-missing"}, run
    assert set(run.confidences) == {"possible"}, "neither is certain"
    assert file_failures(run) == {FILE: "denied"}


def test_role_that_may_not_locate_the_bucket_is_denied(region, fetch, bucket):
    with region.role_denied("s3:GetBucketLocation"):
        run = fetch(FILE)

    assert (run.exit_code, run.causes) == (14, ["permission-denied"]), run
    assert file_failures(run) == {FILE: None}, "the role may read the object"


def test_denied_list_bucket_means_a_missing_file(fetch, bucket):
    locations = f"""
        if ($http_host ~ "^app-config") {{ rewrite ^ /may-not-list; }}
        location /may-not-list {{
            default_type application/xml;
            return 403 {nginx_string(s3_error("AccessDenied", MAY_NOT_LIST))};
        }}
{bucket.locations}"""
    with bucket.replaced_by(locations=locations):
        run = fetch(MISSING_FILE)

    assert (run.exit_code, run.causes[0]) == (18, "environment-file-missing"), run
    finding = run.finding("environment-file-missing")
    assert finding["dependency"] == "environment-file", run
    assert finding["confidence"] != "certain", run


@contextlib.contextmanager
def redirecting_s3(port, status, code, message):
    """Runs an S3 that sends clients to another region; nginx cannot return a 301 with a body."""

    class RedirectHandler(Handler):
        def do_GET(self):
            headers = {"x-amz-bucket-region": OTHER_REGION}
            self.respond(status, s3_error(code, message).encode(), "application/xml", headers)

        do_HEAD = do_GET

    with contextlib.closing(LoopbackServer(RedirectHandler, ("127.0.0.1", port))) as server:
        yield server.url


@pytest.mark.parametrize("port, response", [(5031, MOVED), (5032, MALFORMED)])
def test_bucket_in_another_region_is_read_there(region, fetch, bucket, port, response):
    with redirecting_s3(port, *response) as url, region.serves(OTHER_S3_HOST, "198.18.0.11"):
        redirect = f'if ($http_host ~ "^in-ireland") {{ set $upstream {url}; }}\n        location /'
        with bucket.replaced_by(locations=bucket.locations.replace("location /", redirect)):
            run = fetch("in-ireland/app.env")

    assert (run.exit_code, run.status) == (0, "pass"), run
    observations = run.observations("environment-file", "fetch")
    read = [found for found in observations if found["subject"].endswith(".env")]
    assert {found["host"] for found in read} == {f"in-ireland.{OTHER_S3_HOST}"}, run
    assert observations[0]["outcome"] == "passed", run


def test_subnet_without_a_route_to_s3_is_not_a_missing_file(region, fetch, bucket):
    with region.silent("s3"):
        run = fetch(FILE)

    assert (run.exit_code, run.causes[0]) == (11, "s3-gateway-missing"), run
    assert "environment-file-missing" not in run.causes, run
