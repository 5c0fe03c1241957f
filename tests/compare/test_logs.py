"""Reports from CloudWatch Logs: pages, Insights queries, errors of the service."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from pullprobe_testing import aws_models, binaries, pace
from pullprobe_testing.accounts import moto_client
from pullprobe_testing.cli import operator_environment
from pullprobe_testing.loopback_http import Handler, LoopbackServer
from pullprobe_testing.reports import compare, report, short
from pullprobe_testing.waiting import wait_for

GROUP, REGION = "/ecs/app", "us-east-1"
JSON = "application/x-amz-json-1.1"
REPORTS = 2_300
MAX_WAIT = 60  # seconds on an idle machine
INSIGHTS_LIMIT = 1_000  # rows that compare asks for in one query


class LogsProxy:
    """Records the calls of CloudWatch Logs and checks them against the service model.

    It forwards them to `upstream`, or returns `answer(operation, request, number)`: a status and
    JSON.
    """

    def __init__(self, upstream=None, answer=None):
        self.calls = []
        proxy = self

        class LogsHandler(Handler):
            def do_POST(self):
                body = self.read_body()
                operation = self.headers["X-Amz-Target"].split(".")[1]
                proxy.calls.append((operation, json.loads(body)))
                if answer:
                    status, document = answer(*proxy.calls[-1], len(proxy.calls))
                    whole = isinstance(document, bytes)
                    content = document if whole else json.dumps(document).encode()
                else:
                    status, content = self.forward(body)
                self.respond(status, content, JSON)

            def forward(self, body):
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in ("host", "content-length")
                }
                request = urllib.request.Request(upstream, body, headers)
                try:
                    with urllib.request.urlopen(request) as response:
                        return response.status, response.read()
                except urllib.error.HTTPError as error:
                    return error.code, error.read()

        self.server = LoopbackServer(LogsHandler)
        url = self.server.url
        self.environment = operator_environment(
            "", REGION, AWS_ENDPOINT_URL="", AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=url
        )
        del self.environment["AWS_ENDPOINT_URL"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()
        for operation, request in self.calls:
            shape = aws_models.operation("logs", operation).input_shape
            assert aws_models.schema_violations(request, shape) == []

    def compare(self, *flags):
        output = "--format", "json"
        return compare("--log-group", GROUP, *output, *flags, env=self.environment)

    @property
    def operations(self):
        return [operation for operation, _ in self.calls]

    def requests_of(self, operation):
        return [request for name, request in self.calls if name == operation]


def templates(*places):
    """Returns the text of one report per place; the one of place 2 is broken."""
    faults = {2: "s3-gateway-missing"}
    return [json.dumps(short(report(place, faults.get(place), run="RUN"))) for place in places]


@pytest.fixture(scope="module")
def filled(moto):
    """2,300 reports of four subnets, one of them broken, among as many lines of the application."""
    logs = moto_client("logs", moto.url, REGION)
    logs.create_log_group(logGroupName=GROUP)
    streams = ("pullprobe/pullprobe/1", "pullprobe/pullprobe/2")
    for stream in streams:
        logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    now = int(time.time() * 1000)
    texts = templates(0, 1, 2, 3)
    events = []
    for number in range(REPORTS):
        day, hour, minute = number // 1440 + 1, number // 60 % 24, number % 60
        message = texts[number % 4].replace("RUN", f"r{number}")
        message = message.replace("2026-11-24T10:00", f"2026-11-{day:02}T{hour:02}:{minute:02}")
        at = now - (REPORTS - number) * 1_000
        events.append({"timestamp": at, "message": message})
        events.append({"timestamp": at, "message": f"GET /{number} 200"})
    for begin in range(0, len(events), 1_000):
        logs.put_log_events(
            logGroupName=GROUP,
            logStreamName=streams[begin // 1_000 % 2],
            logEvents=events[begin : begin + 1_000],
        )
    yield moto.url
    moto.reset()


def assert_broken_subnet_is_found(document):
    difference = document["first_difference"]
    assert difference["fact"] == "s3/connect"
    assert difference["failing"] == {"10.0.2.0/24 us-east-1c": "timed-out"}


def test_log_group_is_read_page_by_page(filled):
    with LogsProxy(filled) as proxy:
        done = proxy.compare("--since", "2h")

    assert done.returncode == 11, done.stderr
    document = json.loads(done.stdout)
    assert document["read"]["reports"] == REPORTS
    assert len(document["vantages"]) == 4
    assert_broken_subnet_is_found(document)
    assert proxy.operations == ["FilterLogEvents"] * 3, "1,000 events in a page"
    for _, request in proxy.calls:
        assert "report/v1" in request["filterPattern"] and request["logGroupName"] == GROUP
    _, first = proxy.calls[0]
    assert first["endTime"] - first["startTime"] == 2 * 3_600_000


def test_insights_reads_the_same_in_several_queries(filled):
    with LogsProxy(filled) as proxy:
        done = proxy.compare("--since", "2h", "--insights")

    assert done.returncode == 11, done.stderr
    document = json.loads(done.stdout)
    assert document["read"]["reports"] >= REPORTS
    assert_broken_subnet_is_found(document)
    queries = proxy.requests_of("StartQuery")
    assert len(queries) >= 3
    assert queries[1]["endTime"] < queries[0]["endTime"], "each ends where the last one began"


def test_infrequent_access_log_group_is_queried_and_says_why():
    text = "Operation not supported for this log class."
    refusal = {"__type": "InvalidOperationException", "message": text}
    insights = Insights(spread(20, lambda number: number * 60))

    def answer(operation, request, number):
        if operation == "FilterLogEvents":
            return 400, refusal
        return insights(operation, request, number)

    with LogsProxy(answer=answer) as proxy:
        done = proxy.compare("--since", "24h")

    assert done.returncode == 11, done.stderr
    assert json.loads(done.stdout)["read"]["reports"] == 20
    assert text in done.stderr and "CloudWatch Logs Insights" in done.stderr, done.stderr
    assert proxy.operations.count("FilterLogEvents") == 1


def test_older_reports_are_not_read(filled):
    with LogsProxy(filled) as proxy:
        done = proxy.compare("--start", "2020-01-01", "--end", "2020-01-02")

    assert done.returncode == 2 and "Widen the time range" in done.stderr, done
    assert proxy.calls[0][1]["startTime"] == 1_577_836_800_000


def test_missing_log_group_is_named(moto):
    environment = operator_environment(moto.url, REGION)
    done = compare("--log-group", "/nowhere", env=environment)

    assert done.returncode == 2, done
    assert "/nowhere" in done.stderr and "describe-log-groups" in done.stderr, done


def test_missing_permission_is_reported_with_its_statement():
    action = "logs:FilterLogEvents"
    message = (
        f"User: arn:aws:iam::123456789012:user/a is not authorized to perform: {action} "
        f"on resource: arn:aws:logs:{REGION}:123456789012:log-group:{GROUP}:log-stream: "
        f"because no identity-based policy allows the {action} action"
    )
    denied = {"__type": "AccessDeniedException", "message": message}
    with LogsProxy(answer=lambda *_: (400, denied)) as proxy:
        done = proxy.compare()

    assert done.returncode == 1 and f'"Action":"{action}"' in done.stderr, done.stderr


def event():
    return {"message": json.dumps(short(report(1)))}


def test_empty_page_is_not_the_end_but_a_repeated_token_is():
    pages = [
        {"events": [], "nextToken": "a"},
        {"nextToken": "b"},
        {"events": [event()], "nextToken": "c"},
        {"events": [], "nextToken": "c"},
    ]
    with LogsProxy(answer=lambda _, __, number: (200, pages[number - 1])) as proxy:
        done = proxy.compare()

    assert done.returncode == 0 and json.loads(done.stdout)["read"]["reports"] == 1, done
    tokens = [request.get("nextToken") for _, request in proxy.calls]
    assert tokens == [None, "a", "b", "c"]


def test_failed_query_is_reported():
    states = iter(["Scheduled", "Running", "Failed"])

    def answer(operation, *_):
        if operation == "StartQuery":
            return 200, {"queryId": "q"}
        return 200, {"status": next(states), "results": []}

    with LogsProxy(answer=answer) as proxy:
        done = proxy.compare("--insights")

    assert done.returncode == 1 and "Failed" in done.stderr and "--since" in done.stderr, done
    assert len(proxy.calls) == 4


def test_missing_credentials_are_reported_with_the_command_to_log_in(moto, tmp_path):
    environment = operator_environment(moto.url, REGION, HOME=str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[name]
    done = compare("--log-group", GROUP, env=environment)

    assert done.returncode in (1, 2) and "aws sso login" in done.stderr, done


class Insights:
    """Answers queries over (second, message) pairs as Insights does: a range includes both ends.

    A response with more than `max_rows` rows is too long.
    """

    TOO_LONG = b'{"status": "Complete", "results": [' + b" " * (65 * 1024 * 1024) + b"]}"

    def __init__(self, events, max_rows=10_000):
        self.events, self.max_rows = sorted(events, reverse=True), max_rows
        self.queries, self.scanned = {}, 0

    def __call__(self, operation, request, number):
        if operation == "StartQuery":
            self.queries[f"q{number}"] = request
            return 200, {"queryId": f"q{number}"}
        query = self.queries[request["queryId"]]
        limit = int(query["queryString"].rsplit(" ", 1)[1])
        if limit > self.max_rows:
            return 200, self.TOO_LONG
        begin, end = query["startTime"], query["endTime"]
        inside = [(at, message) for at, message in self.events if begin <= at <= end]
        self.scanned += len(inside)
        rows = [self.row(at, message) for at, message in inside[:limit]]
        return 200, {"status": "Complete", "results": rows}

    @staticmethod
    def row(at, message):
        fields = {
            "@timestamp": time.strftime("%Y-%m-%d %H:%M:%S.000", time.gmtime(at)),
            "@message": message,
            "@ptr": message[message.index('"id"') :][:20],
        }
        return [{"field": name, "value": value} for name, value in fields.items()]


def spread(count, age):
    """Yields the events of `count` runs of two subnets; run `n` was `age(n)` seconds ago."""
    now = int(time.time()) - 60
    texts = templates(1, 2)
    for number in range(count):
        at = now - age(number)
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        text = texts[number % 2].replace("RUN", f"run-{number:06}")
        yield at, text.replace(f"2026-11-24T10:00:0{1 + number % 2}Z", started)


@pytest.mark.parametrize(
    "age",
    [lambda n: n * 20, lambda n: n // 300, lambda n: n if n < 2_500 else 60_000 + n],
    ids=["even", "many a second", "a gap"],
)
def test_each_report_counts_once_however_queries_divide_the_time(age):
    insights = Insights(spread(3_700, age))
    with LogsProxy(answer=insights) as proxy:
        done = proxy.compare("--since", "24h", "--insights")

    assert done.returncode == 11, done.stderr
    read = json.loads(done.stdout)["read"]
    assert (read["reports"], read["duplicates"], read["others"]) == (3_700, 0, 0)
    assert 4 <= len(insights.queries) <= 20
    assert insights.scanned <= 3 * 3_700, "AWS bills what is scanned"


def test_more_reports_in_one_second_than_a_query_returns_are_reported():
    with LogsProxy(answer=Insights(spread(1_200, lambda _: 0))) as proxy:
        done = proxy.compare("--since", "1h", "--insights")

    assert f"more than {INSIGHTS_LIMIT} reports in one second" in done.stderr, done.stderr
    assert json.loads(done.stdout)["read"]["reports"] == INSIGHTS_LIMIT


def test_query_asks_for_fewer_rows_if_the_response_is_too_long():
    with LogsProxy(answer=Insights(spread(700, lambda n: n), max_rows=500)) as proxy:
        done = proxy.compare("--since", "1h", "--insights")

    read = {"reports": 700, "duplicates": 0, "others": 0, "unreadable": 0}
    assert json.loads(done.stdout)["read"] == read, done.stderr
    assert proxy.operations.count("StopQuery") <= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_compare_stops_its_query(number):
    """AWS bills a query that goes on."""
    answers = {
        "StartQuery": {"queryId": "q"},
        "GetQueryResults": {"status": "Running", "results": []},
        "StopQuery": {"success": True},
    }
    with LogsProxy(answer=lambda operation, *_: (200, answers[operation])) as proxy:
        running = subprocess.Popen(
            [binaries.OPERATOR, "compare", "--log-group", GROUP, "--insights"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=proxy.environment,
        )
        wait_for(lambda: "GetQueryResults" in proxy.operations, MAX_WAIT)
        running.send_signal(number)
        stdout, stderr = running.communicate(timeout=pace.limit(MAX_WAIT))

    assert proxy.calls[-1] == ("StopQuery", {"queryId": "q"})
    assert running.returncode == 1 and stdout == "" and "interrupted" in stderr, stderr


def test_throttled_call_is_repeated():
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}

    def answer(_, __, number):
        return (400, throttled) if number < 3 else (200, {"events": [event()]})

    with LogsProxy(answer=answer) as proxy:
        done = proxy.compare()

    assert done.returncode == 0 and len(proxy.calls) == 3, done


def test_expired_token_is_reported_and_not_retried():
    expired = {
        "__type": "ExpiredTokenException",
        "message": "The security token included in the request is expired",
    }
    with LogsProxy(answer=lambda *_: (400, expired)) as proxy:
        done = proxy.compare()

    assert done.returncode == 1 and "expired" in done.stderr and len(proxy.calls) == 1, done
