"""Reports from CloudWatch Logs, against moto_server: pages, queries, and what the service refuses."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import botocore.loaders
import botocore.model
import botocore.validate
import pytest

from pullprobe_testing.reports import BINARY, compare, report, short

GROUP = "/ecs/app"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
START_DEADLINE = 60  # seconds, on a busy machine
MODEL = botocore.model.ServiceModel(
    botocore.loaders.Loader().load_service_model("logs", "service-2"), "logs"
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    port = free_port()
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=log,
        stderr=log,
    )
    until = time.monotonic() + START_DEADLINE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < until, "moto_server does not start"
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


class Between:
    """Stands between the binary and a service, keeps what was asked and checks it against botocore's model."""

    def __init__(self, upstream=None, answer=None):
        self.calls, between = [], self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers["X-Amz-Target"].split(".")[1]
                between.calls.append((operation, json.loads(body)))
                status, kind, sent = (
                    answer(operation, json.loads(body), len(between.calls))
                    if answer
                    else self.forward(body)
                )
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def forward(self, body):
                import urllib.error
                import urllib.request

                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in ("host", "content-length")
                }
                try:
                    with urllib.request.urlopen(
                        urllib.request.Request(upstream, body, headers)
                    ) as got:
                        return got.status, got.headers["Content-Type"], got.read()
                except urllib.error.HTTPError as refused:
                    return refused.code, refused.headers["Content-Type"], refused.read()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        for operation, sent in self.calls:
            wrong = botocore.validate.ParamValidator().validate(
                sent, MODEL.operation_model(operation).input_shape
            )
            assert not wrong.has_errors(), wrong.generate_report()

    def compare(self, *arguments):
        return compare(
            "--log-group",
            GROUP,
            "--format",
            "json",
            *arguments,
            env={**KEYS, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": self.url},
        )


@pytest.fixture(scope="module")
def filled(moto):
    """2,300 reports of four subnets, one of them broken, among as many lines of the application itself."""
    logs = boto3.client(
        "logs",
        endpoint_url=moto,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    logs.create_log_group(logGroupName=GROUP)
    now = int(time.time() * 1000)
    for stream in ("pullprobe/pullprobe/1", "pullprobe/pullprobe/2"):
        logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    templates = [
        json.dumps(short(report(place, "s3-gateway-missing" if place == 2 else None, run="RUN")))
        for place in range(4)
    ]
    events = []
    for n in range(2_300):
        at = now - (2_300 - n) * 1_000
        message = (
            templates[n % 4]
            .replace("RUN", f"r{n}")
            .replace(
                "2026-11-24T10:00", f"2026-11-{n // 1440 + 1:02}T{n // 60 % 24:02}:{n % 60:02}"
            )
        )
        events += [
            {"timestamp": at, "message": message},
            {"timestamp": at, "message": f"GET /{n} 200"},
        ]
    for at in range(0, len(events), 1_000):
        logs.put_log_events(
            logGroupName=GROUP,
            logStreamName=f"pullprobe/pullprobe/{1 + at // 1_000 % 2}",
            logEvents=events[at : at + 1_000],
        )
    return moto


def check(document, reports=2_300):
    assert document["read"]["reports"] == reports
    assert len(document["vantages"]) == 4
    assert document["first_difference"]["fact"] == "s3/connect"
    assert document["first_difference"]["failing"] == {"10.0.2.0/24 us-east-1c": "timed-out"}


def test_a_log_group_is_read_page_by_page(filled):
    with Between(filled) as between:
        done = between.compare("--since", "2h")
    assert done.returncode == 11, done.stderr
    check(json.loads(done.stdout))
    operations = [operation for operation, _ in between.calls]
    assert operations == ["FilterLogEvents"] * 3, "1,000 a page"
    assert all(
        "report/v1" in sent["filterPattern"] and sent["logGroupName"] == GROUP
        for _, sent in between.calls
    )
    span = between.calls[0][1]["endTime"] - between.calls[0][1]["startTime"]
    assert span == 2 * 3_600_000


def test_insights_reads_the_same_in_several_queries(filled):
    with Between(filled) as between:
        done = between.compare("--since", "2h", "--insights")
    assert done.returncode == 11, done.stderr
    document = json.loads(done.stdout)
    assert document["read"]["reports"] >= 2_300
    assert document["first_difference"]["failing"] == {"10.0.2.0/24 us-east-1c": "timed-out"}
    queries = [sent for operation, sent in between.calls if operation == "StartQuery"]
    assert len(queries) >= 3 and queries[1]["endTime"] < queries[0]["endTime"], (
        "each ends where the last one began"
    )


def test_what_is_older_is_not_read(filled):
    with Between(filled) as between:
        done = between.compare("--start", "2020-01-01", "--end", "2020-01-02")
    assert done.returncode == 2 and "widen the time" in done.stderr, done
    assert between.calls[0][1]["startTime"] == 1_577_836_800_000


def test_a_log_group_that_is_not_there_is_named(moto):
    done = compare("--log-group", "/nowhere", env={**KEYS, "AWS_ENDPOINT_URL": moto})
    assert (
        done.returncode == 2 and "/nowhere" in done.stderr and "describe-log-groups" in done.stderr
    )


def test_a_missing_right_is_named_with_the_statement_that_grants_it():
    def refuse(*_):
        message = (
            "User: arn:aws:iam::123456789012:user/a is not authorized to perform: logs:FilterLogEvents on resource: "
            f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}:log-stream: because no identity-based policy allows "
            "the logs:FilterLogEvents action"
        )
        return (
            400,
            "application/x-amz-json-1.1",
            json.dumps({"__type": "AccessDeniedException", "message": message}).encode(),
        )

    with Between(answer=refuse) as between:
        done = between.compare()
    assert done.returncode == 1 and '"Action":"logs:FilterLogEvents"' in done.stderr, done.stderr


def test_empty_pages_are_not_the_end_and_a_repeated_token_is():
    event = {"message": json.dumps(short(report(1)))}
    pages = [
        {"events": [], "nextToken": "a"},
        {"nextToken": "b"},
        {"events": [event], "nextToken": "c"},
        {"events": [], "nextToken": "c"},
    ]
    with Between(
        answer=lambda _, __, n: (
            200,
            "application/x-amz-json-1.1",
            json.dumps(pages[n - 1]).encode(),
        )
    ) as between:
        done = between.compare()
    assert done.returncode == 0 and json.loads(done.stdout)["read"]["reports"] == 1, done
    assert [sent.get("nextToken") for _, sent in between.calls] == [None, "a", "b", "c"]


def test_a_query_is_waited_for_and_its_failure_is_said():
    states = iter(["Scheduled", "Running", "Failed"])

    def answer(operation, *_):
        got = (
            {"queryId": "q"}
            if operation == "StartQuery"
            else {"status": next(states), "results": []}
        )
        return 200, "application/x-amz-json-1.1", json.dumps(got).encode()

    with Between(answer=answer) as between:
        done = between.compare("--insights")
    assert done.returncode == 1 and "Failed" in done.stderr and "--since" in done.stderr, done
    assert len(between.calls) == 4


def test_without_credentials_the_way_to_some_is_said(moto, tmp_path):
    env = {
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto,
    }
    done = compare("--log-group", GROUP, env=env)
    assert done.returncode in (1, 2) and "aws sso login" in done.stderr, done


JSON = "application/x-amz-json-1.1"


class Insights:
    """Queries of given (second, message) pairs as Insights answers them: both ends of the range belong to it."""

    def __init__(self, events, longest=10_000):
        self.events, self.longest, self.asked, self.scanned = (
            sorted(events, reverse=True),
            longest,
            {},
            0,
        )

    def __call__(self, operation, sent, n):
        if operation == "StartQuery":
            self.asked[f"q{n}"] = sent
            return 200, JSON, json.dumps({"queryId": f"q{n}"}).encode()
        sent = self.asked[sent["queryId"]]
        limit = int(sent["queryString"].rsplit(" ", 1)[1])
        if limit > self.longest:
            return (
                200,
                JSON,
                b'{"status": "Complete", "results": [' + b" " * (65 * 1024 * 1024) + b"]}",
            )
        inside = [
            (at, message)
            for at, message in self.events
            if sent["startTime"] <= at <= sent["endTime"]
        ]
        self.scanned += len(inside)
        rows = [
            [
                {
                    "field": "@timestamp",
                    "value": time.strftime("%Y-%m-%d %H:%M:%S.000", time.gmtime(at)),
                },
                {"field": "@message", "value": message},
                {"field": "@ptr", "value": message[message.index('"id"') :][:20]},
            ]
            for at, message in inside[:limit]
        ]
        return 200, JSON, json.dumps({"status": "Complete", "results": rows}).encode()


def spread(count, seconds):
    """So many runs of two subnets, `seconds(n)` ago."""
    now = int(time.time()) - 60
    templates = [
        json.dumps(short(report(place, "s3-gateway-missing" if place == 2 else None, run="RUN")))
        for place in (1, 2)
    ]
    for n in range(count):
        at = now - seconds(n)
        yield (
            at,
            templates[n % 2]
            .replace("RUN", f"run-{n:06}")
            .replace(
                f"2026-11-24T10:00:0{1 + n % 2}Z",
                time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
            ),
        )


@pytest.mark.parametrize(
    "seconds",
    [lambda n: n * 20, lambda n: n // 300, lambda n: n if n < 2_500 else 60_000 + n],
    ids=["even", "many a second", "a gap"],
)
def test_each_report_counts_once_however_queries_are_cut(seconds):
    insights = Insights(spread(3_700, seconds))
    with Between(answer=insights) as between:
        done = between.compare("--since", "24h", "--insights")
    assert done.returncode == 11, done.stderr
    read = json.loads(done.stdout)["read"]
    assert (read["reports"], read["duplicates"], read["others"]) == (3_700, 0, 0)
    assert 4 <= len(insights.asked) <= 20
    assert insights.scanned <= 3 * 3_700, "what is scanned is billed"


def test_more_in_one_second_than_a_query_returns_is_said():
    with Between(answer=Insights(spread(1_200, lambda n: 0))) as between:
        done = between.compare("--since", "1h", "--insights")
    assert (
        "more than 1000 reports in one second" in done.stderr
        and json.loads(done.stdout)["read"]["reports"] == 1_000
    ), done.stderr


def test_fewer_rows_are_asked_for_where_an_answer_would_be_too_long():
    insights = Insights(spread(700, lambda n: n), longest=500)
    with Between(answer=insights) as between:
        done = between.compare("--since", "1h", "--insights")
    assert json.loads(done.stdout)["read"] == {
        "reports": 700,
        "duplicates": 0,
        "others": 0,
        "unreadable": 0,
    }, done.stderr
    assert sum(operation == "StopQuery" for operation, _ in between.calls) <= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_it_stops_the_query_that_is_billed(number):
    answers = {
        "StartQuery": {"queryId": "q"},
        "GetQueryResults": {"status": "Running", "results": []},
        "StopQuery": {"success": True},
    }
    with Between(
        answer=lambda operation, *_: (200, JSON, json.dumps(answers[operation]).encode())
    ) as between:
        running = subprocess.Popen(
            [BINARY, "compare", "--log-group", GROUP, "--insights"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**KEYS, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": between.url},
        )
        until = time.monotonic() + START_DEADLINE
        while not any(operation == "GetQueryResults" for operation, _ in between.calls):
            assert time.monotonic() < until
            time.sleep(0.02)
        running.send_signal(number)
        out, err = running.communicate(timeout=START_DEADLINE)
    assert between.calls[-1] == ("StopQuery", {"queryId": "q"})
    assert running.returncode == 1 and out == "" and "interrupted; it was stopped" in err, err


def test_throttling_is_waited_out_and_an_expired_token_is_said():
    event = {"message": json.dumps(short(report(1)))}

    def throttle(_, __, n):
        if n < 3:
            return 400, JSON, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
        return 200, JSON, json.dumps({"events": [event]}).encode()

    with Between(answer=throttle) as between:
        done = between.compare()
    assert done.returncode == 0 and len(between.calls) == 3, done
    expired = b'{"__type": "ExpiredTokenException", "message": "The security token included in the request is expired"}'
    with Between(answer=lambda *_: (400, JSON, expired)) as between:
        done = between.compare()
    assert done.returncode == 1 and "expired" in done.stderr and len(between.calls) == 1, done
