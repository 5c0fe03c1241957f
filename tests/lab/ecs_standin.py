"""Amazon ECS where moto ends: tasks that run. Everything else goes on to moto, and everything is held against AWS's models.

    launch ──▶ EcsStandin ──┬─ RunTask, DescribeTasks, StopTask, ListTasks: answered here, a task is a `Behaviour`
                            └─ services, task definitions, logs: moto_server

A request whose members are not those of the service's model is refused as AWS refuses it, and remembered in `departures`;
so is an answer of ours. Nothing of the binary under test is used here: the models are botocore's.
"""
import dataclasses
import http.client
import http.server
import json
import socketserver
import sys
import threading
import time
import urllib.parse
import uuid

import botocore.loaders
import botocore.model
import botocore.validate

ACCOUNT, REGION = '123456789012', 'us-east-1'
MODELS = {'AmazonEC2ContainerServiceV20141113': 'ecs', 'Logs_20140328': 'logs'}
_loader = botocore.loaders.Loader()
_models = {name: botocore.model.ServiceModel(_loader.load_service_model(name, 'service-2'), name) for name in MODELS.values()}


class Behaviour:
    """How a task goes. `begin` is called in a thread of the task's own and returns when its container has ended."""

    def begin(self, task):
        raise NotImplementedError

    def stop(self, task):
        """SIGTERM."""


@dataclasses.dataclass
class Scripted(Behaviour):
    """A task without a container: what ECS says of it, and after how many seconds."""
    pending: float = 0.05
    running: float = 0.05
    exit_code: int | None = 0
    reason: str = ''           # with exit_code None: why it did not start
    container_reason: str = ''  # such as why it was killed
    ignores_stop: bool = False

    def begin(self, task):
        if task.wait(self.pending):
            return
        if self.exit_code is None:
            task.fail(self.reason, self.container_reason)
            return
        task.container_reason = self.container_reason
        task.runs()
        if not task.wait(self.running) or self.ignores_stop:
            task.exit_code = self.exit_code
        else:
            task.exit_code = 143


class InWorld(Behaviour):
    """The real binary in a world of the lab as it is, with the environment that the overrides name."""

    def __init__(self, lab, world):
        self.lab, self.world = lab, world

    def begin(self, task):
        import subprocess

        from namespace import die_with_parent
        world = self.world
        # Launches beside each other have tasks in the same world: each has metadata of its own.
        environment = world.environment()
        shared, own = environment['ECS_CONTAINER_METADATA_URI_V4'], f'/v4/{task.id}-1'
        for part in ('', '/task'):
            document = world.task_endpoint.documents[urllib.parse.urlsplit(shared).path + part]
            told = {'TaskARN': task.arn, 'AvailabilityZone': task.zone} if part else {}
            world.task_endpoint.documents[own + part] = {**document, **told}
        environment['ECS_CONTAINER_METADATA_URI_V4'] = urllib.parse.urljoin(shared, own)
        environment |= {**task.environment(), 'PULLPROBE_CA_BUNDLE': str(self.lab.region.ca_bundle)}
        task.runs()
        with world.busy(), world.task.entered():
            process = subprocess.Popen(world.command([self.lab.binary, 'probe', '--format', 'json'], True), env=environment, cwd='/',
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       preexec_fn=die_with_parent)
        task.process = process
        task.output = process.communicate(timeout=90)
        task.exit_code = process.returncode

    def stop(self, task):
        if getattr(task, 'process', None):
            task.process.terminate()


class Task:
    """One task, and the document that `DescribeTasks` has of it."""

    def __init__(self, standin, request, subnet, number):
        self.standin, self.request, self.subnet, self.behaviour = standin, request, subnet, standin.behaviours[subnet]
        self.id = uuid.uuid4().hex
        cluster = request.get('cluster', 'default').rsplit('/')[-1]
        self.cluster = f'arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}'
        self.arn = f'arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{self.id}'
        self.zone = f'{REGION}{"abcdef"[number % 6]}'
        self.status, self.exit_code, self.stop_code, self.reason, self.container_reason = 'PROVISIONING', None, '', '', ''
        self.created, self.started, self.ended = time.time(), None, None
        self.group, self.asked_reason = request.get('group', 'family:pullprobe'), ''
        self.interface = 'eni-0123456789abcdef0'
        self._stop = threading.Event()

    def environment(self):
        overrides = self.request.get('overrides', {}).get('containerOverrides', [])
        return {pair['name']: pair['value'] for override in overrides for pair in override.get('environment', [])}

    def run(self):
        self.status = 'PENDING'
        self.behaviour.begin(self)
        if not self.reason:
            started = self.exit_code is not None
            asked = self._stop.is_set()
            self.stop_code = 'UserInitiated' if asked else 'EssentialContainerExited'
            self.reason = self.asked_reason if asked else 'Essential container in task exited' if started else ''
        self.ended = time.time()
        self.status = 'STOPPED'

    def runs(self):
        self.started, self.status = time.time(), 'RUNNING'

    def wait(self, seconds):
        """True when it was stopped meanwhile."""
        return self._stop.wait(seconds)

    def fail(self, reason, container_reason=''):
        self.stop_code, self.reason, self.container_reason = 'TaskFailedToStart', reason, container_reason

    def stop(self, reason):
        self.asked_reason = reason
        self._stop.set()
        self.behaviour.stop(self)

    def document(self, tags=False):
        name = self.request['overrides']['containerOverrides'][0]['name'] if self.request.get('overrides') else 'pullprobe'
        container = {'containerArn': f'arn:aws:ecs:{REGION}:{ACCOUNT}:container/{self.id}', 'taskArn': self.arn, 'name': name,
                     'lastStatus': self.status, 'networkInterfaces': []}
        document = {
            'taskArn': self.arn, 'clusterArn': self.cluster, 'taskDefinitionArn': self.standin.definition_arn(self.request['taskDefinition']),
            'lastStatus': self.status, 'desiredStatus': 'STOPPED' if self._stop.is_set() or self.status == 'STOPPED' else 'RUNNING',
            'startedBy': self.request.get('startedBy', ''), 'createdAt': self.created, 'availabilityZone': self.zone, 'launchType': 'FARGATE',
            'platformVersion': '1.4.0', 'cpu': '256', 'memory': '512', 'group': self.group, 'version': 3,
            'enableExecuteCommand': False, 'tags': self.request.get('tags', []) if tags else [], 'overrides': self.request.get('overrides', {}),
            'containers': [container], 'attachments': [{'id': str(uuid.uuid5(uuid.NAMESPACE_OID, self.id)), 'type': 'ElasticNetworkInterface',
                                                        'status': 'ATTACHED', 'details': [{'name': 'subnetId', 'value': self.subnet},
                                                                                          {'name': 'networkInterfaceId', 'value': self.interface},
                                                                                          {'name': 'privateIPv4Address', 'value': '10.0.1.10'}]}]}
        if self.started:
            document['startedAt'] = self.started
        if self.status == 'STOPPED':
            document |= {'stoppedAt': self.ended, 'stopCode': self.stop_code, 'stoppedReason': self.reason}
            if self.exit_code is not None:
                container['exitCode'] = self.exit_code
            if self.container_reason:
                container['reason'] = self.container_reason
        return document


class Bucket:
    """ECS's token bucket, for the calls of one operation."""

    def __init__(self, burst, rate):
        self.burst, self.rate, self.tokens, self.at, self.lock = burst, rate, float(burst), time.monotonic(), threading.Lock()

    def take(self):
        with self.lock:
            now = time.monotonic()
            self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
            self.at = now
            taken = self.tokens >= 1
            self.tokens -= taken
            return taken


class Refusal(Exception):
    def __init__(self, code, message, status=400):
        self.code, self.message, self.status = code, message, status


class EcsStandin:
    """Listens on loopback. `upstream` is moto's (host, port); `behaviours` says how a subnet's tasks go."""

    def __init__(self, upstream, behaviours):
        self.upstream, self.behaviours = upstream, behaviours
        self.tasks, self.tokens, self.requests, self.departures = {}, {}, [], []
        self.buckets, self.refusals, self.run_refusals = {}, {}, {}  # operation -> Bucket; operation -> Refusal; subnet -> answer
        self.first_run = self.last_run = None
        self.lock = threading.Lock()
        standin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
                if 'X-Amz-Target' in self.headers:
                    target, operation = self.headers['X-Amz-Target'].split('.')
                    status, content = standin.answer(self.headers, MODELS[target], operation, body)
                else:  # the Query protocol, which is moto's alone
                    standin.requests.append(('ec2', urllib.parse.parse_qs(body.decode())['Action'][0], body.decode()))
                    status, content = standin.forward(self.headers, body)
                self.send_response(status)
                self.send_header('Content-Type', 'application/x-amz-json-1.1')
                self.send_header('Content-Length', str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self):
                """EventBridge Scheduler, which `gc` reads: REST, and moto's."""
                status, content = standin.read_schedules(self.headers, self.path)
                self.send_response(status)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *peer):
                if not isinstance(sys.exception(), ConnectionError):  # a launch that was killed hears no answer
                    super().handle_error(*peer)

        self._server = Server(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._server.server_address[1]}'
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        for task in self.tasks.values():
            if task.status != 'STOPPED':
                task.stop('the test is over')
        self._server.shutdown()
        self._server.server_close()

    def operations(self):
        """Every operation that was asked for, as IAM names it."""
        return {f'{service}:{operation}' for service, operation, _ in self.requests}

    def asked(self, operation):
        return [body for _, name, body in self.requests if name == operation]

    def definition_arn(self, name):
        return name if name.startswith('arn:') else f'arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{name}:1'

    def running(self):
        return [task for task in self.tasks.values() if task.status != 'STOPPED' and not task._stop.is_set()]

    def answer(self, headers, service, operation, body):
        request = json.loads(body or b'{}')
        with self.lock:
            self.requests.append((service, operation, request))
        model = _models[service].operation_model(operation)
        wrong = departures(request, model.input_shape)
        if wrong:
            self.departures += [f'{operation}: {line}' for line in wrong]
            return error(Refusal('InvalidParameterException', '; '.join(wrong)))
        try:
            if operation in self.refusals:
                raise self.refusals[operation]
            if operation in self.buckets and not self.buckets[operation].take():
                raise Refusal('ThrottlingException', 'Rate exceeded')
            ours = getattr(self, operation, None)
            if ours is None or service != 'ecs':
                return self.forward(headers, body)
            answer = ours(request)
            wrong = departures(answer, model.output_shape)
            self.departures += [f'{operation}, answer: {line}' for line in wrong]
            return 200, json.dumps(answer).encode()
        except Refusal as refusal:
            return error(refusal)

    def read_schedules(self, headers, path):
        place = path.split('?')[0].split('/')
        operation = {'schedule-groups': 'ListScheduleGroups', 'schedules': 'ListSchedules' if len(place) == 2 else 'GetSchedule'}[place[1]]
        with self.lock:
            self.requests.append(('scheduler', operation, path))
        if operation in self.refusals:
            return error(self.refusals[operation])
        return self.forward(headers, None, 'GET', path)

    def forward(self, headers, body, method='POST', path='/'):
        connection = http.client.HTTPConnection(*self.upstream, timeout=60)
        kept = {name: value for name, value in headers.items() if name != 'Connection'}
        connection.request(method, path, body, kept)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    # What moto has no machines for. Each is checked against the model before and after.

    def RunTask(self, request):
        now = time.monotonic()
        with self.lock:
            self.first_run = self.first_run or now
            subnets = request['networkConfiguration']['awsvpcConfiguration']['subnets']
            if len(json.dumps(request.get('overrides', {}))) > 8192:
                raise Refusal('InvalidParameterException', 'Overrides length exceeds the limit of 8192 characters.')
            known = self.tokens.get(request.get('clientToken'))
            if known:
                return {'tasks': [known.document()], 'failures': []}
            subnet = subnets[len(self.tasks) % len(subnets)]
            if subnet in self.run_refusals:
                refusal = self.run_refusals[subnet]
                if isinstance(refusal, Refusal):
                    raise refusal
                return {'tasks': [], 'failures': [refusal]}
            if subnet not in self.behaviours:
                raise Refusal('InvalidParameterException', f"Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' does not exist (ErrorCode: InvalidSubnetID.NotFound)")
            task = Task(self, request, subnet, len(self.tasks))
            self.tasks[task.arn] = task
            if request.get('clientToken'):
                self.tokens[request['clientToken']] = task
            self.last_run = now
        document = task.document(tags=True)
        threading.Thread(target=task.run, daemon=True).start()
        return {'tasks': [document], 'failures': []}

    def DescribeTasks(self, request):
        if len(request['tasks']) > 100:
            raise Refusal('InvalidParameterException', 'tasks can have at most 100 items.')
        found = [self.tasks[arn] for arn in request['tasks'] if arn in self.tasks]
        missing = [{'arn': arn, 'reason': 'MISSING'} for arn in request['tasks'] if arn not in self.tasks]
        return {'tasks': [task.document('TAGS' in request.get('include', [])) for task in found], 'failures': missing}

    def StopTask(self, request):
        task = self.tasks.get(request['task'])
        if task is None:
            raise Refusal('InvalidParameterException', 'The referenced task was not found.')
        task.stop(request.get('reason', ''))
        return {'task': task.document()}

    def ListTasks(self, request):
        wanted = request.get('desiredStatus', 'RUNNING')
        found = [task for task in self.tasks.values() if task.document()['desiredStatus'] == wanted
                 and request.get('startedBy') in (None, task.request.get('startedBy'))
                 and task.cluster.rsplit('/')[-1] == request.get('cluster', 'default').rsplit('/')[-1]]
        size = request.get('maxResults', 100)
        begin = int(request.get('nextToken', 0))
        page = {'taskArns': [task.arn for task in found[begin:begin + size]]}
        return page | ({'nextToken': str(begin + size)} if begin + size < len(found) else {})


def error(refusal):
    content = json.dumps({'__type': refusal.code, 'message': refusal.message}).encode()
    return refusal.status, content


def departures(value, shape):
    """What is not as the model says: botocore's own validator, and members that the model does not have."""
    report = botocore.validate.ParamValidator().validate(value, shape)
    wrong = [report.generate_report()] if report.has_errors() else []
    return wrong + list(unknown(value, shape, shape.name))


def unknown(value, shape, path):
    if shape.type_name == 'structure' and isinstance(value, dict):
        for name, inner in value.items():
            if name not in shape.members:
                yield f'{path}.{name}: the model has no such member'
            else:
                yield from unknown(inner, shape.members[name], f'{path}.{name}')
    elif shape.type_name == 'list' and isinstance(value, list):
        for inner in value:
            yield from unknown(inner, shape.member, f'{path}[]')
    elif 'enum' in shape.metadata and value not in shape.enum:
        yield f'{path}: {value!r} is none of {shape.enum}'
