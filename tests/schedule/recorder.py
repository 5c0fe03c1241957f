"""A proxy before moto that keeps every request, each held against botocore's model of its service."""
import http.client
import http.server
import json
import threading
import time
import urllib.parse

import botocore.loaders
import botocore.model
import botocore.validate

_loader = botocore.loaders.Loader()
MODELS = {name: botocore.model.ServiceModel(_loader.load_service_model(name, 'service-2'), name)
          for name in ('ecs', 'logs', 'scheduler', 'cloudwatch')}
TARGETS = {'AmazonEC2ContainerServiceV20141113': 'ecs', 'Logs_20140328': 'logs'}


def from_form(shape, fields):
    """Query protocol: `Dimensions.member.1.Name=Region` as the structure it stands for, by the shape of the input."""
    if shape.type_name == 'structure':
        known, made = shape.members, {}
        for head in {name.split('.')[0] for name in fields}:
            assert head in known, f'{head} is no member of {shape.name}'
            inner = {name.partition('.')[2]: value for name, value in fields.items() if name.split('.')[0] == head}
            made[head] = from_form(known[head], inner)
        return made
    if shape.type_name == 'list':
        numbers = sorted({int(name.split('.')[1]) for name in fields})
        assert numbers == list(range(1, len(numbers) + 1)), fields
        prefix = 'member.{}'
        return [from_form(shape.member, {name[len(prefix.format(n)):].lstrip('.'): value for name, value in fields.items()
                                         if name == prefix.format(n) or name.startswith(prefix.format(n) + '.')}) for n in numbers]
    value = fields['']
    kinds = {'integer': int, 'double': float, 'boolean': lambda text: {'true': True, 'false': False}[text]}
    return kinds.get(shape.type_name, str)(value)


def strangers(shape, value, path=''):
    """Members that the model does not have: botocore's validator passes them over."""
    if shape.type_name == 'structure':
        for name, inner in value.items():
            if name not in shape.members:
                yield f'{path}.{name}'
            else:
                yield from strangers(shape.members[name], inner, f'{path}.{name}')
    elif shape.type_name == 'list':
        for inner in value:
            yield from strangers(shape.member, inner, f'{path}[]')


def rest_operation(method, path, query, body):
    """The operation of Scheduler whose method and URI these are, and its input."""
    for name in MODELS['scheduler'].operation_names:
        operation = MODELS['scheduler'].operation_model(name)
        pattern, parts = operation.http['requestUri'].split('/'), path.split('/')
        if operation.http['method'] != method or len(pattern) != len(parts):
            continue
        if all(want.startswith('{') or want == part for want, part in zip(pattern, parts)):
            made = dict(body)
            made.update({want.strip('{}'): urllib.parse.unquote(part) for want, part in zip(pattern, parts) if want.startswith('{')})
            places = {shape.serialization.get('name', member): member for member, shape in operation.input_shape.members.items()
                      if shape.serialization.get('location') == 'querystring'}
            for key, value in query.items():
                member = places[key]
                made[member] = int(value) if operation.input_shape.members[member].type_name == 'integer' else value
            return 'scheduler', name, made
    raise AssertionError(f'{method} {path} is no operation of Scheduler')


def read(method, target, headers, body):
    """Service, operation and input of a request."""
    if 'x-amz-target' in headers:
        prefix, operation = headers['x-amz-target'].split('.')
        return TARGETS[prefix], operation, json.loads(body)
    if headers.get('content-type', '').startswith('application/x-www-form-urlencoded'):
        fields = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        action = fields.pop('Action')
        assert fields.pop('Version') == MODELS['cloudwatch'].api_version
        return 'cloudwatch', action, from_form(MODELS['cloudwatch'].operation_model(action).input_shape, fields)
    url = urllib.parse.urlsplit(target)
    return rest_operation(method, url.path, dict(urllib.parse.parse_qsl(url.query)), json.loads(body or b'{}'))


def denial(service, operation):
    """A refusal as IAM words it, in the protocol of the service: status, headers, body."""
    action = f'{service}:{operation}'
    words = (f'User: arn:aws:iam::123456789012:user/me is not authorized to perform: {action} on resource: '
             f'arn:aws:{service}:eu-west-1:123456789012:x/y because no identity-based policy allows the {action} action')
    if service == 'cloudwatch':
        return 403, {}, f'<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>{words}</Message></Error></ErrorResponse>'.encode()
    if service == 'scheduler':
        return 403, {'x-amzn-errortype': 'AccessDeniedException'}, json.dumps({'Message': words}).encode()
    return 400, {}, json.dumps({'__type': 'AccessDeniedException', 'message': words}).encode()


def placed_by(strategy, answer):
    """A service with a capacity provider strategy, which has no launch type then: moto does not give it back."""
    answer = json.loads(answer)
    for service in answer['services']:
        for placed in (service, *service.get('deployments', [])):
            placed.pop('launchType', None)
            placed['capacityProviderStrategy'] = strategy
    return json.dumps(answer).encode()


EMPTY = {'scheduler': b'{}', 'cloudwatch': b'<Response></Response>'}


class Recorder:
    """Listens on loopback, sends on to `upstream` and keeps (service, operation, input).

    refuse   operation -> how many are denied
    stubs    operations that are answered here, with nothing in the answer
    delay    seconds that every answer takes
    bucket   what throttles PutMetricAlarm: `take()` is false where it is refused
    page     items of a page, where lists are to have several
    strategy of the capacity providers of every service
    """

    def __init__(self, upstream, alarms=None):
        self.requests, self.departures, self.refuse, self.stubs = [], [], {}, set()
        self.delay, self.bucket, self.page, self.alarms, self.upstream, self.strategy = 0, None, None, alarms, upstream, None
        self.lock = threading.Lock()
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            disable_nagle_algorithm = True

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get('content-length', 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, headers, answer = recorder.answer(self.command, self.path, headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ('content-length', 'connection', 'transfer-encoding', 'date', 'server'):
                        self.send_header(name, value)
                self.send_header('content-length', str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        # A client that has ended resets the connection that it kept open.
        self.server.handle_error = lambda *_: None
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()

    def answer(self, method, path, headers, body):
        service, operation, made = self.keep(method, path, headers, body)
        time.sleep(self.delay)
        with self.lock:
            refused = self.refuse.get(operation, 0) > 0
            self.refuse[operation] = self.refuse.get(operation, 0) - refused
        if refused:
            return denial(service, operation)
        if operation == 'PutMetricAlarm' and self.bucket and not self.bucket.take():
            return 400, {}, b'<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>'
        if operation in self.stubs:
            return 200, {}, EMPTY[service]
        if operation == 'DescribeAlarms' and self.page:
            return 200, {}, self.some_alarms(made)
        if operation in ('ListSchedules', 'ListScheduleGroups') and self.page:
            path += f'&MaxResults={self.page}'
        onward = http.client.HTTPConnection(*self.upstream, timeout=30)
        onward.request(method, path, body, headers)
        got = onward.getresponse()
        answer = got.read()
        if operation == 'DescribeServices' and self.strategy:
            answer = placed_by(self.strategy, answer)
        return got.status, dict(got.getheaders()), answer

    def some_alarms(self, made):
        """A page of DescribeAlarms: moto has one for all."""
        found = [one for one in self.alarms() if one['AlarmName'].startswith(made['AlarmNamePrefix'])]
        begin = int(made.get('NextToken', 0))
        members = ''.join(f'<member><AlarmName>{one["AlarmName"]}</AlarmName><StateValue>{one["StateValue"]}</StateValue>'
                          f'<ActionsEnabled>{str(one["ActionsEnabled"]).lower()}</ActionsEnabled></member>' for one in found[begin:begin + self.page])
        more = f'<NextToken>{begin + self.page}</NextToken>' if begin + self.page < len(found) else ''
        return (f'<DescribeAlarmsResponse><DescribeAlarmsResult><MetricAlarms>{members}</MetricAlarms>{more}'
                '</DescribeAlarmsResult></DescribeAlarmsResponse>').encode()

    def keep(self, *request):
        kept = '?', '?', {}
        try:
            service, operation, made = kept = read(*request)
            shape = MODELS[service].operation_model(operation).input_shape
            report = botocore.validate.ParamValidator().validate(made, shape)
            wrong = ([report.generate_report()] if report.has_errors() else []) + list(strangers(shape, made))
            self.departures += [f'{operation}: {one}' for one in wrong]
        except Exception as error:
            self.departures.append(f'{request}: {error!r}')
        self.requests.append(kept)
        return kept

    def operations(self):
        """Every operation that was asked for, as IAM names it."""
        return {f'{service}:{operation}' for service, operation, _ in self.requests}

    def inputs(self, operation):
        return [made for _, name, made in self.requests if name == operation]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
