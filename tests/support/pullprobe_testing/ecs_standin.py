"""Amazon ECS with tasks that run, which moto does not have.

    launch ──▶ EcsStandin ──┬─ RunTask, DescribeTasks, StopTask, ListTasks: answered here
                            ├─ functions: LambdaStandin
                            └─ services, task definitions, logs: moto_server

Every request and every response of the stand-in is checked against AWS's service models. A request
that violates its model is refused as AWS refuses it, and recorded in `schema_violations`.
"""

import dataclasses
import http.client
import json
import threading
import time
import urllib.parse
import uuid

from pullprobe_testing import aws_models, pace
from pullprobe_testing.configuration_standin import ConfigurationStandin, denial
from pullprobe_testing.lambda_standin import LambdaStandin
from pullprobe_testing.loopback_http import Handler, LoopbackServer

ACCOUNT, REGION = "123456789012", "us-east-1"
SERVICES = {
    "AmazonEC2ContainerServiceV20141113": "ecs",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "Logs_20140328": "logs",
}
# What `launch` calls for itself, in the Query protocol; the rest reads the configuration.
OWN_QUERIES = {
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "GetCallerIdentity",
    "GetRole",
}
MAX_OVERRIDE_LENGTH = 8192  # characters (RunTask API reference)
MAX_DESCRIBED_TASKS = 100  # DescribeTasks API reference
MAX_RUN = 90  # seconds on an idle machine; the probe's own deadline is 30


class Behaviour:
    """What happens to a task.

    `run` is called in a thread and returns when the container has ended.
    """

    def run(self, task):
        raise NotImplementedError

    def stop(self, task):
        """Delivers SIGTERM."""


@dataclasses.dataclass
class Scripted(Behaviour):
    """A task without a container: seconds in each state, and how it ends."""

    pending: float = 0.05
    running: float = 0.05
    exit_code: int | None = 0  # `None`: the task fails to start
    reason: str = ""  # why it failed to start
    container_reason: str = ""  # why the container ended, such as OutOfMemoryError
    ignores_stop: bool = False

    def run(self, task):
        if task.wait_for_stop(self.pending):
            return
        if self.exit_code is None:
            task.fail_to_start(self.reason, self.container_reason)
            return
        task.container_reason = self.container_reason
        task.mark_running()
        stopped = task.wait_for_stop(self.running) and not self.ignores_stop
        task.exit_code = 143 if stopped else self.exit_code


class ProbeInVpc(Behaviour):
    """The static binary in a VPC of the lab, with the environment of the task's overrides."""

    def __init__(self, lab, vpc):
        self.lab, self.vpc = lab, vpc

    def environment(self, task):
        """Returns the environment of the task's container, and serves its metadata."""
        # Concurrent launches have tasks in the same VPC, so each task has its own metadata path.
        environment = self.vpc.environment()
        shared, own = environment["ECS_CONTAINER_METADATA_URI_V4"], f"/v4/{task.id}-1"
        documents = self.vpc.task_endpoint.documents
        for part in ("", "/task"):
            document = documents[urllib.parse.urlsplit(shared).path + part]
            changes = {"TaskARN": task.arn, "AvailabilityZone": task.zone} if part else {}
            documents[own + part] = self.metadata({**document, **changes})
        environment["ECS_CONTAINER_METADATA_URI_V4"] = urllib.parse.urljoin(shared, own)
        return environment

    def metadata(self, document):
        """Returns task or container metadata as this capacity has it."""
        return document

    def run(self, task):
        environment = self.environment(task) | task.environment()
        environment["PULLPROBE_CA_BUNDLE"] = str(self.lab.region.ca_bundle)
        task.mark_running()
        command = [self.lab.binary, "probe", "--format", "json"]
        with self.vpc.load():
            task.process = self.vpc.start(command, environment)
        task.output = task.process.communicate(timeout=pace.limit(MAX_RUN))
        task.exit_code = task.process.returncode

    def stop(self, task):
        if task.process:
            task.process.terminate()


class ProbeOnInstance(ProbeInVpc):
    """The same in the network of a container instance, whose task of the mode `host` shares it.

    The agent's metadata is then that of Docker: no address, and the short name of the cluster. The
    role of the instance is behind its own metadata, and a task without a role has no other.
    """

    def environment(self, task):
        environment = super().environment(task)
        environment["AWS_EXECUTION_ENV"] = "AWS_ECS_EC2"
        [registered] = task.standin.requests_of("RegisterTaskDefinition")
        if "taskRoleArn" not in registered:
            del environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
        return environment

    def metadata(self, document):
        network = {"NetworkMode": "host", "IPv4Addresses": [""]}
        if "Containers" not in document:
            return {**document, "Networks": [network]}
        containers = [self.metadata(container) for container in document["Containers"]]
        return {**document, "Containers": containers, "LaunchType": "EC2", "Cluster": "prod"}


@dataclasses.dataclass
class Instance:
    """A container instance that is registered with the cluster."""

    subnet: str
    provider: str | None = None
    connected: bool = True
    number: int = 0

    @property
    def arn(self):
        return f"arn:aws:ecs:{REGION}:{ACCOUNT}:container-instance/prod/{self.number:032x}"

    def document(self):
        document = {
            "containerInstanceArn": self.arn,
            "ec2InstanceId": f"i-{self.number:017x}",
            "agentConnected": self.connected,
            "status": "ACTIVE",
            "attributes": [
                {"name": "ecs.os-type", "value": "linux"},
                {"name": "ecs.capability.docker-remote-api.1.44"},
                {"name": "ecs.subnet-id", "value": self.subnet},
            ],
        }
        return document | ({"capacityProviderName": self.provider} if self.provider else {})


class Task:
    """One task, and its document as `DescribeTasks` returns it."""

    def __init__(self, standin, request, subnet, number, instance=None):
        self.standin, self.request, self.subnet = standin, request, subnet
        self.instance = instance
        self.behaviour = standin.behaviours[subnet]
        self.id = uuid.uuid4().hex
        cluster = request.get("cluster", "default").rsplit("/")[-1]
        self.cluster = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}"
        self.arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{self.id}"
        self.zone = f"{REGION}{'abcdef'[number % 6]}"
        self.status, self.exit_code = "PROVISIONING", None
        self.stop_code = self.reason = self.container_reason = self.stop_reason = ""
        self.created, self.started, self.ended = time.time(), None, None
        self.group = request.get("group", "family:pullprobe")
        self.interface = "eni-0123456789abcdef0"
        self.process, self.output = None, None
        self._stop = threading.Event()

    @property
    def stop_requested(self):
        return self._stop.is_set()

    def environment(self):
        overrides = self.request.get("overrides", {}).get("containerOverrides", [])
        return {
            pair["name"]: pair["value"]
            for override in overrides
            for pair in override.get("environment", [])
        }

    def run(self):
        self.status = "PENDING"
        self.behaviour.run(self)
        if not self.reason:
            if self.stop_requested:
                self.stop_code, self.reason = "UserInitiated", self.stop_reason
            else:
                self.stop_code = "EssentialContainerExited"
                started = self.exit_code is not None
                self.reason = "Essential container in task exited" if started else ""
        self.ended = time.time()
        self.status = "STOPPED"

    def mark_running(self):
        self.started, self.status = time.time(), "RUNNING"

    def wait_for_stop(self, seconds):
        """Returns whether a stop was requested within `seconds`."""
        return self._stop.wait(seconds)

    def fail_to_start(self, reason, container_reason=""):
        self.stop_code, self.reason = "TaskFailedToStart", reason
        self.container_reason = container_reason

    def stop(self, reason):
        self.stop_reason = reason
        self._stop.set()
        self.behaviour.stop(self)

    def document(self, tags=False):
        overrides = self.request.get("overrides", {})
        container = {
            "containerArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:container/{self.id}",
            "taskArn": self.arn,
            "name": overrides["containerOverrides"][0]["name"] if overrides else "pullprobe",
            "lastStatus": self.status,
            "networkInterfaces": [],
        }
        details = {
            "subnetId": self.subnet,
            "networkInterfaceId": self.interface,
            "privateIPv4Address": "10.0.1.10",
        }
        attachment = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, self.id)),
            "type": "ElasticNetworkInterface",
            "status": "ATTACHED",
            "details": [{"name": name, "value": value} for name, value in details.items()],
        }
        ending = self.stop_requested or self.status == "STOPPED"
        document = {
            "taskArn": self.arn,
            "clusterArn": self.cluster,
            "taskDefinitionArn": task_definition_arn(self.request["taskDefinition"]),
            "lastStatus": self.status,
            "desiredStatus": "STOPPED" if ending else "RUNNING",
            "startedBy": self.request.get("startedBy", ""),
            "createdAt": self.created,
            "availabilityZone": self.zone,
            "cpu": "256",
            "memory": "512",
            "group": self.group,
            "version": 3,
            "enableExecuteCommand": False,
            "tags": self.request.get("tags", []) if tags else [],
            "overrides": overrides,
            "containers": [container],
            "attachments": [attachment],
        }
        if self.instance:
            provider = self.instance.provider
            placed = {"capacityProviderName": provider} if provider else {"launchType": "EC2"}
            document |= {"containerInstanceArn": self.instance.arn, "attachments": [], **placed}
        else:
            document |= {"launchType": "FARGATE", "platformVersion": "1.4.0"}
        if self.started:
            document["startedAt"] = self.started
        if self.status == "STOPPED":
            document["stoppedAt"] = self.ended
            document |= {"stopCode": self.stop_code, "stoppedReason": self.reason}
            if self.exit_code is not None:
                container["exitCode"] = self.exit_code
            if self.container_reason:
                container["reason"] = self.container_reason
        return document


class TokenBucket:
    """The throttle of one API operation: `burst` requests at once, then `rate` a second."""

    def __init__(self, burst, rate):
        self.burst, self.rate, self.tokens = burst, rate, float(burst)
        self.refilled, self.refused, self.lock = time.monotonic(), 0, threading.Lock()

    def take(self):
        """Returns whether a request is allowed now."""
        with self.lock:
            now = time.monotonic()
            self.tokens = min(self.burst, self.tokens + (now - self.refilled) * self.rate)
            self.refilled = now
            allowed = self.tokens >= 1
            self.tokens -= allowed
            self.refused += not allowed
            return allowed


class ApiError(Exception):
    """An error response of the JSON protocol."""

    def __init__(self, code, message, status=400):
        super().__init__(code, message)
        self.code, self.message, self.status = code, message, status

    def response(self):
        body = {"__type": self.code, "message": self.message}
        return self.status, json.dumps(body).encode()


class EcsStandin:
    """Listens on loopback and forwards to moto what it does not answer itself.

    upstream      moto's (host, port)
    behaviours    subnet -> Behaviour of its tasks
    buckets       operation -> TokenBucket
    errors        operation -> ApiError that it is answered with
    run_errors    subnet -> ApiError, or the `failures` entry that RunTask returns for it
    revisions     service -> its revisions as `DescribeServiceRevisions` returns them, oldest first
    instances     container instances
    launch_types  service -> its launch type, if moto does not know it
    strategies    service -> its capacity provider strategy
    providers     capacity providers as `DescribeCapacityProviders` returns them
    configuration  a ConfigurationStandin; without one its reads are denied
    lists_revisions    whether `DescribeServices` lists the newest of them
    is_deploying       whether the service still has tasks of all of them
    """

    def __init__(self, upstream, behaviours):
        self.upstream, self.behaviours = upstream, behaviours
        self.tasks, self.client_tokens, self.requests, self.schema_violations = {}, {}, [], []
        self.buckets, self.errors, self.run_errors = {}, {}, {}
        self.revisions, self.lists_revisions, self.is_deploying = {}, True, False
        self.configuration = None
        self.instances, self.providers = [], []
        self.strategies, self.launch_types = {}, {}
        self.first_run = self.last_run = None
        self.lock = threading.Lock()
        self.functions = LambdaStandin({})
        standin = self

        class EcsHandler(Handler):
            def do_POST(self):
                body = self.read_body()
                if standin.functions.route("POST", self.path):
                    answer = standin.functions.answer("POST", self.path, body)
                elif "X-Amz-Target" in self.headers:
                    target, operation = self.headers["X-Amz-Target"].split(".")
                    if target in SERVICES and operation != "DescribePullThroughCacheRules":
                        answer = standin.answer(self.headers, SERVICES[target], operation, body)
                    else:
                        answer = standin.read_configuration(self, body)
                elif (action := urllib.parse.parse_qs(body.decode())["Action"][0]) not in (
                    OWN_QUERIES
                ):
                    answer = standin.read_configuration(self, body)
                else:  # the Query protocol of EC2, which only moto serves
                    service = "iam" if action == "GetRole" else "ec2"
                    standin.requests.append((service, action, body.decode()))
                    answer = standin.forward(self.headers, body)
                self.respond(*answer, content_type="application/x-amz-json-1.1")

            def do_GET(self):
                """EventBridge Scheduler's REST API, which `gc` reads and only moto serves."""
                if standin.functions.route("GET", self.path):
                    self.respond(*standin.functions.answer("GET", self.path, b""))
                elif not self.path.startswith("/schedule"):
                    self.respond(*standin.read_configuration(self, b""))
                else:
                    self.respond(*standin.read_schedules(self.headers, self.path))

            def do_DELETE(self):
                self.respond(*standin.functions.answer("DELETE", self.path, b""))

        self._server = LoopbackServer(EcsHandler)
        self.url = self._server.url

    def close(self):
        for task in self.tasks.values():
            if task.status != "STOPPED":
                task.stop("the test is over")
        self._server.close()

    def called_actions(self):
        """Returns every operation that was called, as IAM names its action."""
        own = {f"{service}:{operation}" for service, operation, _ in self.requests}
        return own | self.functions.called_actions()

    def requests_of(self, operation):
        return [body for _, name, body in self.requests if name == operation]

    def running(self):
        """Returns the tasks that run and were not told to stop."""
        return [
            task
            for task in self.tasks.values()
            if task.status != "STOPPED" and not task.stop_requested
        ]

    def answer(self, headers, service, operation, body):
        request = json.loads(body or b"{}")
        with self.lock:
            self.requests.append((service, operation, request))
        model = aws_models.operation(service, operation)
        violations = aws_models.schema_violations(request, model.input_shape)
        if violations:
            self.schema_violations += [f"{operation}: {line}" for line in violations]
            return ApiError("InvalidParameterException", "; ".join(violations)).response()
        try:
            if operation in self.errors:
                raise self.errors[operation]
            if operation in self.buckets and not self.buckets[operation].take():
                raise ApiError("ThrottlingException", "Rate exceeded")
            method = getattr(self, operation, None)
            if method is None or service != "ecs":
                answer = self.forward(headers, body)
                return self.completed(answer) if operation == "DescribeServices" else answer
            answer = method(request)
        except ApiError as error:
            return error.response()
        violations = aws_models.schema_violations(answer, model.output_shape)
        self.schema_violations += [f"{operation}, response: {line}" for line in violations]
        return 200, json.dumps(answer).encode()

    def read_configuration(self, handler, body):
        """Answers a call that only reads the configuration, which few operators may do."""
        headers = {name.lower(): value for name, value in handler.headers.items()}
        if self.configuration is None:
            action = ConfigurationStandin.action_of(handler.path, headers, body)
            status, _, content = denial(action, headers)
        else:
            request = handler.command, handler.path, headers, body
            status, _, content = self.configuration.answer(*request)
        return status, content

    def read_schedules(self, headers, path):
        parts = path.split("?")[0].split("/")
        operation = {
            "schedule-groups": "ListScheduleGroups",
            "schedules": "ListSchedules" if len(parts) == 2 else "GetSchedule",
        }[parts[1]]
        with self.lock:
            self.requests.append(("scheduler", operation, path))
        if operation in self.errors:
            return self.errors[operation].response()
        return self.forward(headers, None, "GET", path)

    def forward(self, headers, body, method="POST", path="/"):
        connection = http.client.HTTPConnection(*self.upstream, timeout=pace.limit(60))
        kept = {name: value for name, value in headers.items() if name != "Connection"}
        connection.request(method, path, body, kept)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def completed(self, answer):
        """Returns moto's answer to DescribeServices with the members that moto does not have."""
        status, content = answer
        document = json.loads(content)
        for service in document.get("services", []):
            for placed in (service, *service["deployments"]):
                if launch_type := self.launch_types.get(service["serviceName"]):
                    placed["launchType"] = launch_type
            if strategy := self.strategies.get(service["serviceName"]):
                # moto reports the launch type EC2 in place of a strategy.
                for placed in (service, *service["deployments"]):
                    placed.pop("launchType", None)
                    placed["capacityProviderStrategy"] = strategy
            revisions = self.revisions.get(service["serviceName"], [])
            if revisions and self.lists_revisions:
                current = revisions if self.is_deploying else revisions[-1:]
                service["currentServiceRevisions"] = [
                    {"arn": revision["serviceRevisionArn"], "requestedTaskCount": 1}
                    for revision in current
                ]
        return status, json.dumps(document).encode()

    def ListServiceDeployments(self, request):
        name = request["service"].rsplit("/")[-1]
        deployments = [
            {
                "serviceDeploymentArn": revision["serviceRevisionArn"].replace(
                    "revision", "deployment"
                ),
                "targetServiceRevisionArn": revision["serviceRevisionArn"],
                "createdAt": revision["createdAt"],
                "status": "SUCCESSFUL",
            }
            for revision in self.revisions.get(name, [])
        ]
        return {"serviceDeployments": deployments}

    def DescribeServiceRevisions(self, request):
        wanted = request["serviceRevisionArns"]
        known = [revision for revisions in self.revisions.values() for revision in revisions]
        found = [revision for revision in known if revision["serviceRevisionArn"] in wanted]
        return {"serviceRevisions": found, "failures": []}

    # The operations that need a running task, named as ECS names them.

    def RunTask(self, request):
        now = time.monotonic()
        with self.lock:
            self.first_run = self.first_run or now
            on_instance = "networkConfiguration" not in request
            subnets = self.subnets_of(request)
            if len(json.dumps(request.get("overrides", {}))) > MAX_OVERRIDE_LENGTH:
                raise ApiError(
                    "InvalidParameterException",
                    f"Overrides length exceeds the limit of {MAX_OVERRIDE_LENGTH} characters.",
                )
            known = self.client_tokens.get(request.get("clientToken"))
            if known:
                return {"tasks": [known.document()], "failures": []}
            subnet = subnets[len(self.tasks) % len(subnets)]
            if subnet in self.run_errors:
                error = self.run_errors[subnet]
                if isinstance(error, ApiError):
                    raise error
                return {"tasks": [], "failures": [error]}
            instance = self.instance_for(request, subnet) if on_instance else None
            if on_instance and instance is None:
                failure = {"reason": "MemberOf placement constraint unsatisfied."}
                return {"tasks": [], "failures": [failure]}
            if subnet not in self.behaviours:
                raise ApiError(
                    "InvalidParameterException",
                    f"Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' "
                    "does not exist (ErrorCode: InvalidSubnetID.NotFound)",
                )
            task = Task(self, request, subnet, len(self.tasks), instance)
            self.tasks[task.arn] = task
            if request.get("clientToken"):
                self.client_tokens[request["clientToken"]] = task
            self.last_run = now
        document = task.document(tags=True)
        threading.Thread(target=task.run, daemon=True).start()
        return {"tasks": [document], "failures": []}

    def subnets_of(self, request):
        """Returns the subnets of a request: of its network, or of its placement constraint."""
        if "networkConfiguration" in request:
            return request["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
        [constraint] = request["placementConstraints"]
        attribute, operator, subnet = constraint["expression"].split()
        assert (constraint["type"], attribute, operator) == (
            "memberOf",
            "attribute:ecs.subnet-id",
            "==",
        )
        return [subnet]

    def instance_for(self, request, subnet):
        """Returns the instance on which ECS places the task."""
        strategy = request.get("capacityProviderStrategy", [])
        providers = [item["capacityProvider"] for item in strategy]
        for instance in self.instances:
            if instance.subnet == subnet and (not providers or instance.provider in providers):
                return instance
        return None

    def ListContainerInstances(self, request):
        return {"containerInstanceArns": [instance.arn for instance in self.instances]}

    def DescribeContainerInstances(self, request):
        wanted = request["containerInstances"]
        found = [instance for instance in self.instances if instance.arn in wanted]
        return {"containerInstances": [instance.document() for instance in found], "failures": []}

    def DescribeCapacityProviders(self, request):
        names = request["capacityProviders"]
        found = [provider for provider in self.providers if provider["name"] in names]
        return {"capacityProviders": found, "failures": []}

    def DescribeTasks(self, request):
        arns = request["tasks"]
        if len(arns) > MAX_DESCRIBED_TASKS:
            raise ApiError(
                "InvalidParameterException",
                f"tasks can have at most {MAX_DESCRIBED_TASKS} items.",
            )
        tags = "TAGS" in request.get("include", [])
        return {
            "tasks": [self.tasks[arn].document(tags) for arn in arns if arn in self.tasks],
            "failures": [
                {"arn": arn, "reason": "MISSING"} for arn in arns if arn not in self.tasks
            ],
        }

    def StopTask(self, request):
        task = self.tasks.get(request["task"])
        if task is None:
            raise ApiError("InvalidParameterException", "The referenced task was not found.")
        task.stop(request.get("reason", ""))
        return {"task": task.document()}

    def ListTasks(self, request):
        status = request.get("desiredStatus", "RUNNING")
        cluster = request.get("cluster", "default").rsplit("/")[-1]
        found = [
            task.arn
            for task in self.tasks.values()
            if task.document()["desiredStatus"] == status
            and request.get("startedBy") in (None, task.request.get("startedBy"))
            and task.cluster.rsplit("/")[-1] == cluster
        ]
        size, begin = request.get("maxResults", 100), int(request.get("nextToken", 0))
        page = {"taskArns": found[begin : begin + size]}
        return page | ({"nextToken": str(begin + size)} if begin + size < len(found) else {})


def task_definition_arn(name):
    if name.startswith("arn:"):
        return name
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{name}:1"
