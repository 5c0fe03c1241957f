"""AWS Lambda with functions that run, which moto does not have.

Requests and responses are checked against AWS's service models. What Lambda does between two calls
is a `FunctionBehaviour`: scripted, or the real bootstrap of the zip file in a VPC of the lab.
"""

import base64
import dataclasses
import io
import json
import pathlib
import re
import shutil
import tempfile
import threading
import time
import urllib.parse
import zipfile

from pullprobe_testing import aws_models, pace
from pullprobe_testing.runtime_api import RuntimeApi

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/pullprobe-lambda"
MAX_ZIP = 5_000_000
MAX_PAYLOAD = 6 * 1024 * 1024
ROUTES = [
    ("POST", r"/2015-03-31/functions/?", "CreateFunction"),
    ("GET", r"/2015-03-31/functions/?", "ListFunctions"),
    ("GET", r"/2015-03-31/functions/([^/]+)", "GetFunction"),
    ("DELETE", r"/2015-03-31/functions/([^/]+)", "DeleteFunction"),
    ("POST", r"/2015-03-31/functions/([^/]+)/invocations", "Invoke"),
    ("GET", r"/2017-03-31/tags/(.+)", "ListTags"),
]


class LambdaError(Exception):
    """An error response of the REST protocol."""

    def __init__(self, code, message, status=400):
        super().__init__(code, message)
        self.code, self.message, self.status = code, message, status


class FunctionBehaviour:
    """What a function answers."""

    pending = 0.05  # seconds until it is active
    failure = None  # (StateReasonCode, StateReason) of a function that cannot be attached

    def invoke(self, function, event):
        raise NotImplementedError

    def close(self):
        pass


@dataclasses.dataclass
class ScriptedFunction(FunctionBehaviour):
    """Answers with a document, after some seconds."""

    answer: dict
    pending: float = 0.05
    running: float = 0.05
    failure: tuple | None = None

    def invoke(self, function, event):
        time.sleep(self.running)
        return json.dumps(self.answer).encode()


class BootstrapInVpc(FunctionBehaviour):
    """The zip's bootstrap in a VPC of the lab, with a Runtime API beside it in its namespace."""

    def __init__(self, lab, vpc):
        self.lab, self.vpc = lab, vpc

    def invoke(self, function, event):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="bootstrap-"))
        try:
            directory.chmod(0o755)
            bootstrap = directory / "bootstrap"
            bootstrap.write_bytes(function.bootstrap)
            bootstrap.chmod(0o755)
            return self._run(bootstrap, event, function.request["Timeout"])
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _run(self, bootstrap, event, seconds):
        with self.vpc.task.entered():
            api = RuntimeApi()
        try:
            keys = self.lab.credentials_document()
            environment = {
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "AWS_LAMBDA_FUNCTION_NAME": "pullprobe",
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
                "AWS_SESSION_TOKEN": keys["Token"],
                "LAMBDA_TASK_ROOT": "/var/task",
                "PULLPROBE_CA_BUNDLE": str(self.lab.region.ca_bundle),
            }
            invocation = api.begin(event, pace.limit(seconds))
            with self.vpc.load():
                process = self.vpc.start([bootstrap], environment)
                answered = invocation.answered.wait(pace.limit(seconds))
            process.kill()
            output = process.communicate()
            if not answered:
                return error("Sandbox.Timedout", f"Task timed out: {output}")
            return invocation.answer
        finally:
            api.close()


def error(kind, message):
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


class Function:
    """One function, and its configuration as `GetFunction` returns it."""

    def __init__(self, request, behaviour, code):
        self.request, self.behaviour = request, behaviour
        self.name, self.created = request["FunctionName"], time.time()
        self.arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            assert archive.testzip() is None
            [entry] = archive.infolist()
            assert entry.filename == "bootstrap"
            assert (entry.external_attr >> 16) & 0o777 == 0o755
            self.bootstrap = archive.read(entry)
        self.code = code

    @property
    def subnet(self):
        [subnet] = self.request["VpcConfig"]["SubnetIds"]
        return subnet

    @property
    def state(self):
        if time.time() < self.created + self.behaviour.pending:
            return "Pending"
        return "Failed" if self.behaviour.failure else "Active"

    def configuration(self):
        modified = time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime(self.created))
        configuration = {
            "FunctionName": self.name,
            "FunctionArn": self.arn,
            "Runtime": self.request["Runtime"],
            "Role": self.request["Role"],
            "State": self.state,
            "LastModified": modified,
        }
        if self.state == "Failed":
            code, reason = self.behaviour.failure
            configuration |= {"StateReasonCode": code, "StateReason": reason}
        return configuration


class LambdaStandin:
    """Answers the REST API of AWS Lambda.

    behaviours    subnet -> FunctionBehaviour of its functions
    errors        operation -> list of LambdaErrors that its next calls are answered with
    """

    def __init__(self, behaviours):
        self.behaviours, self.errors = behaviours, {}
        self.functions, self.deleted, self.requests, self.schema_violations = {}, [], [], []
        self.invoked, self.most_at_once, self._at_once = [], 0, 0
        self.lock = threading.Lock()

    def route(self, method, path):
        """Returns operation and resource of a request; `None` if it is not Lambda's."""
        path = urllib.parse.urlsplit(path).path
        for wanted, pattern, operation in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == wanted:
                return operation, urllib.parse.unquote(match[1]) if match.groups() else None
        return None

    def answer(self, method, path, body):
        """Returns status and body of a response."""
        operation, resource = self.route(method, path)
        with self.lock:
            self.requests.append((operation, body))
            planned = self.errors.get(operation)
            planned = planned.pop(0) if planned else None
        try:
            if planned:
                raise planned
            return getattr(self, operation)(resource, body)
        except LambdaError as failed:
            document = {"Type": "User", "message": failed.message, "__type": failed.code}
            return failed.status, json.dumps(document).encode()

    def called_actions(self):
        """Returns every operation that was called, as IAM names its action."""
        names = {"Invoke": "InvokeFunction"}
        return {f"lambda:{names.get(name, name)}" for name, _ in self.requests}

    def check(self, document, operation, part):
        shape = getattr(aws_models.operation("lambda", operation), f"{part}_shape")
        violations = aws_models.schema_violations(document, shape)
        self.schema_violations += [f"{operation}, {part}: {line}" for line in violations]
        return violations

    def CreateFunction(self, _, body):
        request = json.loads(body)
        code = base64.b64decode(request["Code"]["ZipFile"])
        assert len(code) <= MAX_ZIP
        checked = {**request, "Code": {"ZipFile": code}}
        violations = self.check(checked, "CreateFunction", "input")
        if violations:
            raise LambdaError("InvalidParameterValueException", "; ".join(violations))
        [subnet] = request["VpcConfig"]["SubnetIds"]
        if subnet not in self.behaviours:
            raise LambdaError("InvalidParameterValueException", f"The subnet {subnet} is unknown")
        function = Function(request, self.behaviours[subnet], code)
        with self.lock:
            if function.name in self.functions:
                message = f"Function already exist: {function.name}"
                raise LambdaError("ResourceConflictException", message, 409)
            self.functions[function.name] = function
        document = function.configuration()
        self.check(document, "CreateFunction", "output")
        return 201, json.dumps(document).encode()

    def find(self, name):
        if name not in self.functions:
            raise LambdaError("ResourceNotFoundException", f"Function not found: {name}", 404)
        return self.functions[name]

    def GetFunction(self, name, _):
        function = self.find(name)
        document = {"Configuration": function.configuration(), "Tags": function.request["Tags"]}
        self.check(document, "GetFunction", "output")
        return 200, json.dumps(document).encode()

    def Invoke(self, name, body):
        function = self.find(name)
        if function.state != "Active":
            message = f"The function is currently in the following state: {function.state}"
            raise LambdaError("ResourceConflictException", message, 409)
        assert len(body) <= MAX_PAYLOAD
        with self.lock:
            self.invoked.append((function.subnet, json.loads(body)))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            answer = function.behaviour.invoke(function, body)
        finally:
            with self.lock:
                self._at_once -= 1
        assert len(answer) <= MAX_PAYLOAD
        return 200, answer

    def DeleteFunction(self, name, _):
        self.deleted.append(self.find(name))
        del self.functions[name]
        return 204, b""

    def ListFunctions(self, _, __):
        document = {"Functions": [f.configuration() for f in self.functions.values()]}
        self.check(document, "ListFunctions", "output")
        return 200, json.dumps(document).encode()

    def ListTags(self, arn, _):
        function = self.find(arn.rsplit(":", 1)[-1])
        return 200, json.dumps({"Tags": function.request["Tags"]}).encode()
