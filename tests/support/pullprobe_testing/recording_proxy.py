"""A proxy in front of moto that records every request and checks it against its service's model."""

import http.client
import json
import threading
import time
import urllib.parse

from pullprobe_testing import aws_models, pace
from pullprobe_testing.loopback_http import Handler, LoopbackServer

TARGETS = {
    "AmazonEC2ContainerServiceV20141113": "ecs",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "Logs_20140328": "logs",
}
HOP_HEADERS = {"content-length", "connection", "transfer-encoding", "date", "server"}
EMPTY_RESPONSES = {"scheduler": b"{}", "cloudwatch": b"<Response></Response>"}


def parse_form(shape, fields):
    """Returns the structure behind form fields of the Query protocol.

    `Dimensions.member.1.Name=Region` is a member of a list of structures, as `shape` tells.
    """
    if shape.type_name == "structure":
        structure = {}
        for head in {name.split(".")[0] for name in fields}:
            assert head in shape.members, f"{shape.name} has no member {head}"
            inner = {
                name.partition(".")[2]: value
                for name, value in fields.items()
                if name.split(".")[0] == head
            }
            structure[head] = parse_form(shape.members[head], inner)
        return structure
    if shape.type_name == "list":
        items = {}
        for name, value in fields.items():
            _, number, *rest = name.split(".", 2)
            items.setdefault(int(number), {})["".join(rest)] = value
        assert sorted(items) == list(range(1, len(items) + 1)), fields
        return [parse_form(shape.member, items[number]) for number in sorted(items)]
    convert = {"integer": int, "double": float, "boolean": {"true": True, "false": False}.get}
    return convert.get(shape.type_name, str)(fields[""])


def parse_rest(method, path, query, body):
    """Returns service, operation and input of a REST request by its method and path."""
    service = "lambda" if path.startswith("/2015-03-31/functions") else "scheduler"
    model = aws_models.service_model(service)
    for name in model.operation_names:
        operation = model.operation_model(name)
        pattern, parts = operation.http["requestUri"].split("/"), path.split("/")
        if operation.http["method"] != method or len(pattern) != len(parts):
            continue
        pairs = list(zip(pattern, parts, strict=True))
        if all(expected.startswith("{") or expected == part for expected, part in pairs):
            members = operation.input_shape.members
            request = dict(body)
            for expected, part in pairs:
                if expected.startswith("{"):
                    request[expected.strip("{}")] = urllib.parse.unquote(part)
            names = {
                shape.serialization.get("name", member): member
                for member, shape in members.items()
                if shape.serialization.get("location") == "querystring"
            }
            for key, value in query.items():
                is_integer = members[names[key]].type_name == "integer"
                request[names[key]] = int(value) if is_integer else value
            return service, name, request
    raise AssertionError(f"{service} has no operation for {method} {path}")


def parse(method, target, headers, body):
    """Returns the service, the operation and the input of a request."""
    if "x-amz-target" in headers:
        prefix, operation = headers["x-amz-target"].split(".")
        return TARGETS[prefix], operation, json.loads(body)
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        fields = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        action = fields.pop("Action")
        assert fields.pop("Version") == aws_models.service_model("cloudwatch").api_version
        shape = aws_models.operation("cloudwatch", action).input_shape
        return "cloudwatch", action, parse_form(shape, fields)
    url = urllib.parse.urlsplit(target)
    query = dict(urllib.parse.parse_qsl(url.query))
    return parse_rest(method, url.path, query, json.loads(body or b"{}"))


def access_denied(service, operation):
    """Returns IAM's denial in the protocol of the service: status, headers, body."""
    action = f"{service}:{operation}"
    message = (
        f"User: arn:aws:iam::123456789012:user/me is not authorized to perform: {action} "
        f"on resource: arn:aws:{service}:eu-west-1:123456789012:x/y "
        f"because no identity-based policy allows the {action} action"
    )
    if service == "cloudwatch":
        return 403, {}, query_error("AccessDenied", message)
    if service == "scheduler":
        headers = {"x-amzn-errortype": "AccessDeniedException"}
        return 403, headers, json.dumps({"Message": message}).encode()
    return 400, {}, json.dumps({"__type": "AccessDeniedException", "message": message}).encode()


def query_error(code, message):
    return (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>{message}</Message></Error></ErrorResponse>"
    ).encode()


def with_capacity_providers(response, strategy):
    """Adds a capacity provider strategy to every service of a response, in place of a launch type.

    moto accepts a strategy and does not return it.
    """
    response = json.loads(response)
    for service in response["services"]:
        for deployment in (service, *service.get("deployments", [])):
            deployment.pop("launchType", None)
            deployment["capacityProviderStrategy"] = strategy
    return json.dumps(response).encode()


class RecordingProxy:
    """Listens on loopback, forwards to `upstream` and records (service, operation, input).

    deny       operation -> how many more requests of it are denied
    stubs      operations that are answered with an empty response
    delay      seconds that every response takes
    bucket     TokenBucket of PutMetricAlarm
    page       items in a page of a list
    strategy   capacity provider strategy of every service
    edits      operation -> function that changes its response, which is JSON
    """

    def __init__(self, upstream, alarms=None):
        self.upstream, self.alarms = upstream, alarms
        self.requests, self.schema_violations, self.deny, self.stubs = [], [], {}, set()
        self.delay, self.bucket, self.page, self.strategy = 0, None, None, None
        self.edits = {}
        self.lock = threading.Lock()
        proxy = self

        class ProxyHandler(Handler):
            def do_GET(self):
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, headers, content = proxy.answer(
                    self.command, self.path, headers, self.read_body()
                )
                kept = {
                    name: value
                    for name, value in headers.items()
                    if name.lower() not in HOP_HEADERS
                }
                self.respond(status, content, content_type=None, headers=kept)

            do_POST = do_PUT = do_DELETE = do_GET

        self._server = LoopbackServer(ProxyHandler)
        self.url, self.close = self._server.url, self._server.close

    def answer(self, method, path, headers, body):
        service, operation, request = self.record(method, path, headers, body)
        time.sleep(self.delay)
        with self.lock:
            denied = self.deny.get(operation, 0) > 0
            self.deny[operation] = self.deny.get(operation, 0) - denied
        if denied:
            return access_denied(service, operation)
        if operation == "PutMetricAlarm" and self.bucket and not self.bucket.take():
            return 400, {}, query_error("Throttling", "Rate exceeded")
        if operation in self.stubs:
            return 200, {}, EMPTY_RESPONSES[service]
        if operation == "DescribeAlarms" and self.page:
            return 200, {}, self.page_of_alarms(request)
        if operation in ("ListSchedules", "ListScheduleGroups") and self.page:
            path += f"&MaxResults={self.page}"
        connection = http.client.HTTPConnection(*self.upstream, timeout=pace.limit(30))
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        if operation == "DescribeServices" and self.strategy:
            content = with_capacity_providers(content, self.strategy)
        if operation in self.edits:
            document = json.loads(content)
            self.edits[operation](document)
            content = json.dumps(document).encode()
        return response.status, dict(response.getheaders()), content

    def page_of_alarms(self, request):
        """Returns one page of DescribeAlarms; moto returns all alarms in one."""
        prefix, begin = request["AlarmNamePrefix"], int(request.get("NextToken", 0))
        found = [alarm for alarm in self.alarms() if alarm["AlarmName"].startswith(prefix)]
        end = begin + self.page
        members = "".join(
            f"<member><AlarmName>{alarm['AlarmName']}</AlarmName>"
            f"<StateValue>{alarm['StateValue']}</StateValue>"
            f"<ActionsEnabled>{str(alarm['ActionsEnabled']).lower()}</ActionsEnabled></member>"
            for alarm in found[begin:end]
        )
        more = f"<NextToken>{end}</NextToken>" if end < len(found) else ""
        return (
            f"<DescribeAlarmsResponse><DescribeAlarmsResult><MetricAlarms>{members}</MetricAlarms>"
            f"{more}</DescribeAlarmsResult></DescribeAlarmsResponse>"
        ).encode()

    def record(self, *request):
        recorded = "?", "?", {}
        try:
            service, operation, body = recorded = parse(*request)
            shape = aws_models.operation(service, operation).input_shape
            violations = aws_models.schema_violations(body, shape)
            self.schema_violations += [f"{operation}: {line}" for line in violations]
        except Exception as error:
            self.schema_violations.append(f"{request}: {error!r}")
        self.requests.append(recorded)
        return recorded

    def called_actions(self):
        """Returns every operation that was called, as IAM names its action."""
        return {f"{service}:{operation}" for service, operation, _ in self.requests}

    def requests_of(self, operation):
        return [request for _, name, request in self.requests if name == operation]
