"""Reports from CloudWatch Logs, against moto_server: pages, queries, and what the service refuses."""
import json
import pathlib
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
from reports import compare, report, short

GROUP = '/ecs/app'
KEYS = {'AWS_ACCESS_KEY_ID': 'AKIAIOSFODNN7EXAMPLE', 'AWS_SECRET_ACCESS_KEY': 'secret', 'AWS_REGION': 'us-east-1',
        'AWS_EC2_METADATA_DISABLED': 'true'}
START_DEADLINE = 60  # seconds, on a busy machine
MODEL = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model('logs', 'service-2'), 'logs')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.fixture(scope='module')
def moto(tmp_path_factory):
    port = free_port()
    log = (tmp_path_factory.mktemp('moto') / 'log').open('w')
    server = subprocess.Popen([sys.executable, '-m', 'moto.server', '-H', '127.0.0.1', '-p', str(port)], stdout=log, stderr=log)
    until = time.monotonic() + START_DEADLINE
    while True:
        try:
            socket.create_connection(('127.0.0.1', port), timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < until, 'moto_server does not start'
            time.sleep(0.1)
    yield f'http://127.0.0.1:{port}'
    server.terminate()
    server.wait()


class Between:
    """Stands between the binary and a service, keeps what was asked and checks it against botocore's model."""

    def __init__(self, upstream=None, answer=None):
        self.calls, between = [], self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                operation = self.headers['X-Amz-Target'].split('.')[1]
                between.calls.append((operation, json.loads(body)))
                status, kind, sent = answer(operation, json.loads(body), len(between.calls)) if answer else self.forward(body)
                self.send_response(status)
                self.send_header('Content-Type', kind)
                self.send_header('Content-Length', str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def forward(self, body):
                import urllib.error
                import urllib.request
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ('host', 'content-length')}
                try:
                    with urllib.request.urlopen(urllib.request.Request(upstream, body, headers)) as got:
                        return got.status, got.headers['Content-Type'], got.read()
                except urllib.error.HTTPError as refused:
                    return refused.code, refused.headers['Content-Type'], refused.read()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}'

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        for operation, sent in self.calls:
            wrong = botocore.validate.ParamValidator().validate(sent, MODEL.operation_model(operation).input_shape)
            assert not wrong.has_errors(), wrong.generate_report()

    def compare(self, *arguments):
        return compare('--log-group', GROUP, '--format', 'json', *arguments, env={**KEYS, 'AWS_ENDPOINT_URL_CLOUDWATCH_LOGS': self.url})


@pytest.fixture(scope='module')
def filled(moto):
    """2,300 reports of four subnets, one of them broken, among as many lines of the application itself."""
    logs = boto3.client('logs', endpoint_url=moto, region_name='us-east-1', aws_access_key_id='a', aws_secret_access_key='b')
    logs.create_log_group(logGroupName=GROUP)
    now = int(time.time() * 1000)
    for stream in ('pullprobe/pullprobe/1', 'pullprobe/pullprobe/2'):
        logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    templates = [json.dumps(short(report(place, 's3-gateway-missing' if place == 2 else None, run='RUN'))) for place in range(4)]
    events = []
    for n in range(2_300):
        at = now - (2_300 - n) * 1_000
        message = templates[n % 4].replace('RUN', f'r{n}').replace('2026-11-24T10:00', f'2026-11-{n // 1440 + 1:02}T{n // 60 % 24:02}:{n % 60:02}')
        events += [{'timestamp': at, 'message': message}, {'timestamp': at, 'message': f'GET /{n} 200'}]
    for at in range(0, len(events), 1_000):
        logs.put_log_events(logGroupName=GROUP, logStreamName=f'pullprobe/pullprobe/{1 + at // 1_000 % 2}', logEvents=events[at:at + 1_000])
    return moto


def check(document, reports=2_300):
    assert document['read']['reports'] == reports
    assert len(document['vantages']) == 4
    assert document['first_difference']['fact'] == 's3/connect'
    assert document['first_difference']['failing'] == {'10.0.2.0/24 us-east-1c': 'timed-out'}


def test_a_log_group_is_read_page_by_page(filled):
    with Between(filled) as between:
        done = between.compare('--since', '2h')
    assert done.returncode == 11, done.stderr
    check(json.loads(done.stdout))
    operations = [operation for operation, _ in between.calls]
    assert operations == ['FilterLogEvents'] * 3, '1,000 a page'
    assert all('report/v1' in sent['filterPattern'] and sent['logGroupName'] == GROUP for _, sent in between.calls)
    span = between.calls[0][1]['endTime'] - between.calls[0][1]['startTime']
    assert span == 2 * 3_600_000


def test_insights_reads_the_same_in_several_queries(filled):
    with Between(filled) as between:
        done = between.compare('--since', '2h', '--insights')
    assert done.returncode == 11, done.stderr
    document = json.loads(done.stdout)
    assert document['read']['reports'] >= 2_300
    assert document['first_difference']['failing'] == {'10.0.2.0/24 us-east-1c': 'timed-out'}
    queries = [sent for operation, sent in between.calls if operation == 'StartQuery']
    assert len(queries) >= 3 and queries[1]['endTime'] < queries[0]['endTime'], 'each ends where the last one began'


def test_what_is_older_is_not_read(filled):
    with Between(filled) as between:
        done = between.compare('--start', '2020-01-01', '--end', '2020-01-02')
    assert done.returncode == 2 and 'widen the time' in done.stderr, done
    assert between.calls[0][1]['startTime'] == 1_577_836_800_000


def test_a_log_group_that_is_not_there_is_named(moto):
    done = compare('--log-group', '/nowhere', env={**KEYS, 'AWS_ENDPOINT_URL': moto})
    assert done.returncode == 2 and '/nowhere' in done.stderr and 'describe-log-groups' in done.stderr


def test_a_missing_right_is_named_with_the_statement_that_grants_it():
    def refuse(*_):
        message = ('User: arn:aws:iam::123456789012:user/a is not authorized to perform: logs:FilterLogEvents on resource: '
                   f'arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}:log-stream: because no identity-based policy allows '
                   'the logs:FilterLogEvents action')
        return 400, 'application/x-amz-json-1.1', json.dumps({'__type': 'AccessDeniedException', 'message': message}).encode()
    with Between(answer=refuse) as between:
        done = between.compare()
    assert done.returncode == 1 and '"Action":"logs:FilterLogEvents"' in done.stderr, done.stderr


def test_empty_pages_are_not_the_end_and_a_repeated_token_is():
    event = {'message': json.dumps(short(report(1)))}
    pages = [{'events': [], 'nextToken': 'a'}, {'nextToken': 'b'}, {'events': [event], 'nextToken': 'c'}, {'events': [], 'nextToken': 'c'}]
    with Between(answer=lambda _, __, n: (200, 'application/x-amz-json-1.1', json.dumps(pages[n - 1]).encode())) as between:
        done = between.compare()
    assert done.returncode == 0 and json.loads(done.stdout)['read']['reports'] == 1, done
    assert [sent.get('nextToken') for _, sent in between.calls] == [None, 'a', 'b', 'c']


def test_a_query_is_waited_for_and_its_failure_is_said():
    states = iter(['Scheduled', 'Running', 'Failed'])

    def answer(operation, *_):
        got = {'queryId': 'q'} if operation == 'StartQuery' else {'status': next(states), 'results': []}
        return 200, 'application/x-amz-json-1.1', json.dumps(got).encode()
    with Between(answer=answer) as between:
        done = between.compare('--insights')
    assert done.returncode == 1 and 'Failed' in done.stderr and '--since' in done.stderr, done
    assert len(between.calls) == 4


def test_without_credentials_the_way_to_some_is_said(moto, tmp_path):
    env = {'HOME': str(tmp_path), 'AWS_EC2_METADATA_DISABLED': 'true', 'AWS_REGION': 'us-east-1', 'AWS_ENDPOINT_URL': moto}
    done = compare('--log-group', GROUP, env=env)
    assert done.returncode in (1, 2) and 'aws sso login' in done.stderr, done
