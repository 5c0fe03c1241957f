"""Environment files: a bucket that has to be located, and an object that has to be read, as the execution role."""

import contextlib
import http.server
import json
import threading
import uuid

import pytest

from pullprobe_testing.region import IMAGE, ROLE, S3_HOST

BUCKET = "app-config"
CANARY = f"canary-{uuid.uuid4()}"
ALLOWED = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::*/*"},
        {"Effect": "Allow", "Action": "s3:GetBucketLocation", "Resource": "arn:aws:s3:::*"},
    ],
}

# S3's recorded answers where a bucket lives in another region: nearly everywhere, and at its oldest endpoint.
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
# S3's words for a missing object, where the role may not list the bucket.
MAY_NOT_LIST = """
        location / {
            default_type application/xml;
            return 403 '<?xml version="1.0" encoding="UTF-8"?>\\n<Error><Code>AccessDenied</Code><Message>User: arn:aws:sts::123456789012:assumed-role/ecsTaskExecutionRole/x is not authorized to perform: s3:ListBucket on resource: "arn:aws:s3:::app-config" because no identity-based policy allows the s3:ListBucket action</Message></Error>';
        }
"""


@pytest.fixture(scope="module")
def bucket(region):
    """The team's bucket, at the same S3 as the layers: only moto's other half judges who may read it."""
    s3, elsewhere = region.client("s3"), region.client("s3", region="eu-west-1")
    s3.create_bucket(Bucket=BUCKET)
    for key, body in {
        "prod/app.env": f"TOKEN={CANARY}\n",
        "empty.env": "",
        "an odd+name=ü.env": "A=B\n",
    }.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body.encode())
    s3.create_bucket(Bucket="dotted.bucket.example")
    s3.put_object(Bucket="dotted.bucket.example", Key="a.env", Body=b"A=B\n")
    elsewhere.create_bucket(
        Bucket="in-ireland", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    elsewhere.put_object(Bucket="in-ireland", Key="app.env", Body=b"A=B\n")
    region.client("iam").put_role_policy(
        RoleName=ROLE, PolicyName="files", PolicyDocument=json.dumps(ALLOWED)
    )
    both = f"""
        set $upstream {region.s3_moto.url};
        if ($http_host ~ "^(app-config|dotted|in-ireland|absent)") {{ set $upstream {region.moto.url}; }}
        if ($uri ~ "^/dotted") {{ set $upstream {region.moto.url}; }}
        location / {{ proxy_pass $upstream; }}
"""
    with region.servers["s3"].replaced_by(locations=both):
        yield region.servers["s3"]
    region.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="files")


@pytest.fixture
def fetch(region, probe):
    """A run of a task with these environment files."""

    def fetch(*arns):
        file = region.directory / "env-task.json"
        file.write_text(
            json.dumps(
                {
                    "family": "app",
                    "containerDefinitions": [
                        {
                            "name": "app",
                            "image": IMAGE,
                            "environmentFiles": [
                                {"type": "s3", "value": f"arn:aws:s3:::{arn}"} for arn in arns
                            ],
                        }
                    ],
                }
            )
        )
        run = probe("--task-definition", file)
        assert CANARY not in run.stdout + run.stderr, "the content is in the report"
        return run

    return fetch


@contextlib.contextmanager
def denied(region, action):
    iam = region.client("iam")
    iam.put_role_policy(
        RoleName=ROLE,
        PolicyName="deny-s3",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Deny", "Action": action, "Resource": "*"}],
            }
        ),
    )
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=ROLE, PolicyName="deny-s3")


def objects(run):
    """ARN -> failure, without the buckets'."""
    return {
        seen["subject"].removeprefix("arn:aws:s3:::"): seen.get("failure")
        for seen in run.observations("environment-file", "fetch")
        if "/" in seen["subject"]
    }


def test_files_that_are_there_are_found_by_name_and_not_kept(fetch, bucket):
    before = len(bucket.requests())
    arns = [
        "app-config/prod/app.env",
        "app-config/empty.env",
        "app-config/an odd+name=ü.env",
        "dotted.bucket.example/a.env",
    ]

    run = fetch(*arns)

    assert (run.exit_code, run.status) == (0, "pass"), run
    assert objects(run) == dict.fromkeys(arns), run
    asked = [line for line in bucket.requests()[before:] if "app-config" in line]
    assert (
        f"200 HEAD {BUCKET}.{S3_HOST} /prod/app.env" in asked
        and f"206 GET {BUCKET}.{S3_HOST} /prod/app.env" in asked
    ), asked
    assert len([line for line in asked if line.startswith(f"200 GET {BUCKET}.{S3_HOST} /")]) == 1, (
        "one GetBucketLocation"
    )


@pytest.mark.parametrize("arn", ["app-config/prod/none.env", "absent-bucket/app.env"])
def test_a_file_that_is_not_there(fetch, bucket, arn):
    run = fetch("app-config/prod/app.env", arn)

    assert (run.exit_code, run.causes) == (18, ["environment-file-missing"]), run
    assert run.finding("environment-file-missing")["confidence"] == "certain"
    assert objects(run) == {"app-config/prod/app.env": None, arn: "not-found"}, run


def test_a_refusal_without_words_may_be_a_missing_file(region, fetch, bucket):
    with denied(region, "s3:GetObject"):
        run = fetch("app-config/prod/app.env")

    assert set(run.causes) == {"permission-denied", "environment-file-missing"}, run
    assert {finding["confidence"] for finding in run.report["findings"]} == {"possible"}, (
        "neither is certain"
    )
    assert objects(run) == {"app-config/prod/app.env": "denied"}


def test_a_role_that_may_not_locate_the_bucket(region, fetch, bucket):
    with denied(region, "s3:GetBucketLocation"):
        run = fetch("app-config/prod/app.env")

    assert (run.exit_code, run.causes) == (14, ["permission-denied"]), run
    assert objects(run) == {"app-config/prod/app.env": None}, "the object itself may be read"


def test_a_file_that_is_missing_though_s3_names_a_right_to_list(fetch, bucket):
    with bucket.replaced_by(
        locations='if ($http_host ~ "^app-config") { rewrite ^ /may-not-list; }\n'
        + MAY_NOT_LIST.replace("location /", "location /may-not-list")
        + bucket.locations
    ):
        run = fetch("app-config/prod/none.env")

    assert (run.exit_code, run.causes[0]) == (18, "environment-file-missing"), run
    assert "certain" not in [
        finding["confidence"]
        for finding in run.report["findings"]
        if finding["dependency"] == "environment-file"
        and finding["cause"] == "environment-file-missing"
    ], run


@contextlib.contextmanager
def s3_that_sends_elsewhere(port, status, code, message):
    """nginx knows no 301 with a body, so this one is Python."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
            self.send_response(status)
            for name, value in {
                "x-amz-bucket-region": "eu-west-1",
                "Content-Type": "application/xml",
                "Content-Length": len(body),
            }.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body if self.command == "GET" else b"")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{port}"
        server.shutdown()


@pytest.mark.parametrize("port, answer", [(5031, MOVED), (5032, MALFORMED)])
def test_a_bucket_of_another_region_is_read_there(region, fetch, bucket, port, answer):
    ireland = "s3.eu-west-1.amazonaws.com"
    with s3_that_sends_elsewhere(port, *answer) as url, region.serves(ireland, "198.18.0.11"):
        redirect = f'if ($http_host ~ "^in-ireland") {{ set $upstream {url}; }}\n        location /'
        with bucket.replaced_by(locations=bucket.locations.replace("location /", redirect)):
            run = fetch("in-ireland/app.env")

    assert (run.exit_code, run.status) == (0, "pass"), run
    hosts = {
        seen["host"]
        for seen in run.observations("environment-file", "fetch")
        if seen["subject"].endswith(".env")
    }
    assert hosts == {f"in-ireland.{ireland}"}, run
    located = run.observations("environment-file", "fetch")[0]
    assert (located["outcome"], located["answer"]["redirect_host"]) == (
        "passed",
        f"in-ireland.{ireland}",
    ), run


def test_a_subnet_without_a_way_to_s3(region, fetch, bucket):
    with region.silent("s3"):
        run = fetch("app-config/prod/app.env")

    assert (run.exit_code, run.causes[0]) == (11, "s3-gateway-missing"), run
    assert "environment-file-missing" not in run.causes, run
