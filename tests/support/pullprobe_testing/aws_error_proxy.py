"""Proxy that returns the AWS errors moto does not implement, with AWS's wording.

Every request of every subnet of the lab passes through here, from nginx over a Unix socket. nginx
names the dependency and the faulty behaviour in two headers. Without the second header the request
goes on to moto or docker-registry unchanged. A request is denied only if its signature is valid,
as AWS does it; botocore's signer verifies signatures, so the check shares no code with the probe.
The wordings are AWS's own; the pages of the causes name their sources.
"""

import base64
import datetime
import email.utils
import http.client
import json
import os
import socketserver
import threading
import time
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from pullprobe_testing.loopback_http import Handler
from pullprobe_testing.region import (
    ACCOUNT,
    HOST,
    LAYER_BUCKET,
    REGION,
    ROLE,
    TASK_ID,
    s3_error,
)

PRINCIPAL = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/{TASK_ID}"
# dependency -> the service name in a signature's scope
SIGNING_NAME = {
    "ecr.api": "ecr",
    "logs": "logs",
    "secretsmanager": "secretsmanager",
    "ssm": "ssm",
}
MAX_CLOCK_SKEW = 300  # seconds; AWS: "(20171218T081147Z - 5 min.)"
TIMESTAMP = "%Y%m%dT%H%M%SZ"
HANG = 90  # seconds: longer than any run of the probe

SERVICE_CONTROL_POLICY = (
    f"arn:aws:organizations::{ACCOUNT}:policy/o-y3vn941x7j/service_control_policy/p-kfhxcsd9"
)
# cause -> the clause in which AWS names the policy that denies
POLICY_CLAUSE = {
    "identity-policy-missing-action": "because no identity-based policy allows the {action} action",
    "identity-policy-denies": "with an explicit deny in an identity-based policy",
    "permissions-boundary-denies": "because no permissions boundary allows the {action} action",
    "session-policy-denies": "because no session policy allows the {action} action",
    "service-control-policy-denies": "with an explicit deny in a service control policy: "
    + SERVICE_CONTROL_POLICY,
    "resource-control-policy-denies": "with an explicit deny in a resource control policy",
    "endpoint-policy-denies": "because no VPC endpoint policy allows the {action} action",
    "resource-policy-denies": "because no resource-based policy allows the {action} action",
    "permission-denied": "",
}
_ARN = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:{{}}"
REPOSITORY = _ARN.format("ecr", "repository/team/app")
LOG_STREAM = _ARN.format("logs", "log-group:/ecs/app:log-stream:pullprobe")
SECRET = _ARN.format("secretsmanager", "secret:prod/app")
PARAMETER = _ARN.format("ssm", "parameter/prod/app/token")
# step -> (dependency, action, resource)
STEP = {
    "token": ("ecr.api", "ecr:GetAuthorizationToken", "*"),
    "manifest": ("ecr.dkr", "ecr:BatchGetImage", REPOSITORY),
    "layer": ("ecr.dkr", "ecr:GetDownloadUrlForLayer", REPOSITORY),
    "logs": ("logs", "logs:CreateLogStream", LOG_STREAM),
    "secret": ("secretsmanager", "secretsmanager:GetSecretValue", SECRET),
    "parameter": ("ssm", "ssm:GetParameters", PARAMETER),
    "bytes": ("s3", "s3:GetObject", f'"arn:aws:s3:::{LAYER_BUCKET}/*"'),
}
PLAIN_S3 = "plain"  # S3's older error, which names no policy
# AWS's tokens are long: a session token has more than 1,000 characters and a registry token nearly
# 2,000, so that real requests do not fit one packet. moto's tokens are short, so the task is given
# longer ones.
LONG_SESSION_TOKEN = "IQoJb3JpZ2luX2VjE" * 60
LONG_REGISTRY_PASSWORD = "eyJwYXlsb2FkIjoi" * 85

DOCKER_HUB_LIMIT = {
    "code": "TOOMANYREQUESTS",
    "message": "You have reached your unauthenticated pull rate limit. "
    "https://www.docker.com/increase-rate-limit",
}
DOCKER_HUB_LIMIT_HEADERS = {
    "RateLimit-Limit": "100;w=21600",
    "RateLimit-Remaining": "0;w=21600",
    "Docker-RateLimit-Source": "203.0.113.10",
    "Retry-After": "21600",
}
# What the forwarded request and its response leave out: the proxy has its own.
PROXY_HEADERS = ("date", "server", "connection", "transfer-encoding")


def denial(cause, step):
    """Returns the behaviour, for nginx's header, that denies `step` because of `cause`."""
    return f"deny:{cause}:{step}"


class AwsErrorProxy:
    """The proxy on the Unix socket `socket`.

    `upstream` maps a dependency to the (host, port) of its server; `credentials()` returns the
    role's credentials as moto knows them.
    """

    def __init__(self, socket, upstream, credentials):
        self.upstream, self.credentials = upstream, credentials
        proxy = self

        class ProxyHandler(Handler):
            disable_nagle_algorithm = False  # a Unix socket has no such option

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def do_GET(self):
                proxy.answer(self)

            do_HEAD = do_POST = do_PUT = do_GET

            def address_string(self):
                return "nginx"

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(str(socket), ProxyHandler)
        os.chmod(socket, 0o777)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request):
        body = request.read_body()
        dependency = request.headers["X-Lab-Dependency"]
        header = request.headers.get("X-Lab-Behaviour") or ""
        behaviours = [part.split(":") for part in header.split(",") if part]
        skew = sum(int(rest[0]) for name, *rest in behaviours if name == "clock")
        response = None
        if dependency in SIGNING_NAME:
            response = self._signature_error(request, dependency, body, skew)
        for name, *rest in behaviours:
            if name == "hang" and applies_to(request, rest):
                time.sleep(HANG)
            if name == "slow" and applies_to(request, rest[1:]):
                time.sleep(float(rest[0]))
            response = response or self._faulty_response(request, dependency, name, rest)
        status, headers, content = response or self._forward(request, dependency, body)
        date = email.utils.formatdate(time.time() + skew, usegmt=True)
        send(request, status, {**headers, "Date": date}, content)

    def _faulty_response(self, request, dependency, name, rest):
        if name == "deny" and applies_to(request, rest[1:]):
            return access_denied(dependency, rest[0], rest[1])
        if name == "expired-token" and dependency in SIGNING_NAME:
            return json_error(
                "ExpiredTokenException", "The security token included in the request is expired"
            )
        if name == "throttled":
            return json_error("ThrottlingException", "Rate exceeded")
        if name == "rate-limited":
            content = json.dumps({"errors": [DOCKER_HUB_LIMIT]}).encode()
            return 429, {"Content-Type": "application/json", **DOCKER_HUB_LIMIT_HEADERS}, content
        if name == "broken":
            return 503, {"Content-Type": "text/plain", **request_id()}, b"Service Unavailable\n"
        if name == "login":
            realm = f"https://{request.headers['Host']}/"
            headers = {
                "Docker-Distribution-Api-Version": "registry/2.0",
                "Content-Type": "text/plain; charset=utf-8",
                "Www-Authenticate": f'Basic realm="{realm}",service="ecr.amazonaws.com"',
            }
            return 401, headers, b"Not Authorized\n"
        if name == "page":
            page = b"<html><title>Access to this site was blocked</title></html>"
            return 200, {"Content-Type": "text/html"}, page
        if name == "kms":
            return json_error("AccessDeniedException", "Access to KMS is not allowed")
        return None

    def _signature_error(self, request, dependency, body, skew):
        """Returns AWS's error for this signature, checked in AWS's order; `None` if it is valid."""
        authorization = request.headers.get("Authorization") or ""
        parts = authorization.removeprefix("AWS4-HMAC-SHA256").split(",")
        fields = dict(part.strip().split("=", 1) for part in parts if "=" in part)
        if "Signature" not in fields:
            return json_error("MissingAuthenticationTokenException", "Missing Authentication Token")
        stamp = request.headers["X-Amz-Date"]
        now = datetime.datetime.fromtimestamp(time.time() + skew, datetime.UTC)
        signed_at = datetime.datetime.strptime(stamp, TIMESTAMP).replace(tzinfo=datetime.UTC)
        if abs((now - signed_at).total_seconds()) > MAX_CLOCK_SKEW:
            return json_error("InvalidSignatureException", skew_message(stamp, signed_at, now))
        key = self.credentials()
        if fields["Credential"].split("/")[0] != key["AccessKeyId"]:
            return json_error(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        names = fields["SignedHeaders"].split(";")
        copy = aws_request(request, body, {name: request.headers[name] for name in names})
        copy.context["timestamp"] = stamp
        signer = signer_of(key, dependency, key["SessionToken"] + LONG_SESSION_TOKEN)
        to_sign = signer.string_to_sign(copy, signer.canonical_request(copy))
        if signer.signature(to_sign, copy) != fields["Signature"]:
            return json_error(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method. "
                "Consult the service documentation for details.",
            )
        return None

    def _forward(self, request, dependency, body):
        """Forwards to moto or the registry. Only tokens are replaced, by longer ones."""
        connection = http.client.HTTPConnection(*self.upstream[dependency], timeout=60)
        headers = {
            name: value
            for name, value in request.headers.items()
            if not name.startswith("X-Lab") and name != "Connection"
        }
        if dependency in SIGNING_NAME:
            headers = self._signed_with_short_token(request, dependency, body, headers)
        connection.request(request.command, request.path, body or None, headers)
        response = connection.getresponse()
        content = response.read()
        kept = {
            name: value
            for name, value in response.getheaders()
            if name.lower() not in PROXY_HEADERS
        }
        connection.close()
        if (
            dependency == "ecr.api"
            and response.status == 200
            and b'"authorizationToken"' in content
        ):
            document = json.loads(content)
            for token in document["authorizationData"]:
                pair = f"AWS:{LONG_REGISTRY_PASSWORD}"
                token["authorizationToken"] = base64.b64encode(pair.encode()).decode()
            content = json.dumps(document).encode()
        return response.status, kept, content

    def _signed_with_short_token(self, request, dependency, body, headers):
        """Returns the headers of the request, signed again with moto's short session token."""
        key = self.credentials()
        if headers["Host"] != HOST[dependency]:  # moto does not know dual-stack names
            headers = {**headers, "Host": HOST[dependency]}
        kept = ("x-amz-target", "content-type", "host")
        again = aws_request(
            request, body, {name: headers[name] for name in headers if name.lower() in kept}
        )
        signer_of(key, dependency, key["SessionToken"]).add_auth(again)
        signature = ("authorization", "x-amz-date", "x-amz-security-token")
        unsigned = {name: headers[name] for name in headers if name.lower() not in signature}
        added = {
            name: value
            for name, value in again.headers.items()
            if name.lower() not in ("content-length", *kept)
        }
        return {**unsigned, **added}


def aws_request(request, body, headers):
    """Returns the request as botocore's signer takes it."""
    url = f"https://{request.headers['Host']}{request.path}"
    return botocore.awsrequest.AWSRequest(request.command, url, data=body, headers=headers)


def signer_of(key, dependency, token):
    credentials = botocore.credentials.Credentials(
        key["AccessKeyId"], key["SecretAccessKey"], token
    )
    return botocore.auth.SigV4Auth(credentials, SIGNING_NAME[dependency], REGION)


def applies_to(request, where):
    """Whether a behaviour limited to a step applies: manifests and layers share a host."""
    if not where or where[0] not in ("manifest", "layer"):
        return True
    return ("/manifests/" in request.path) == (where[0] == "manifest")


def access_denied(dependency, cause, step):
    """Returns AWS's denial of a step: status, headers, body."""
    _, action, resource = STEP[step]
    if cause == PLAIN_S3:
        message = "Access Denied"
    else:
        clause = POLICY_CLAUSE[cause].format(action=action)
        message = (
            f"User: {PRINCIPAL} is not authorized to perform: {action} "
            f"on resource: {resource} {clause}"
        ).strip()
    if dependency == "s3":
        ids = "<RequestId>835EB39A43ACC922</RequestId><HostId>pomMsqh5</HostId>"
        xml = s3_error("AccessDenied", message.replace('"', "&quot;"), ids)
        return 403, {"Content-Type": "application/xml", **request_id()}, xml.encode()
    if dependency == "ecr.dkr":
        content = json.dumps({"errors": [{"code": "DENIED", "message": message}]}).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Docker-Distribution-Api-Version": "registry/2.0",
        }
        return 403, headers, content
    return json_error("AccessDeniedException", message)


def request_id():
    """Returns the header with which AWS labels every answer."""
    return {"x-amzn-RequestId": str(uuid.uuid4())}


def json_error(code, message):
    """Returns an error of a JSON protocol, which always has HTTP status 400."""
    headers = {"Content-Type": "application/x-amz-json-1.1", **request_id()}
    return 400, headers, json.dumps({"__type": code, "message": message}).encode()


def skew_message(stamp, signed_at, now):
    """Returns AWS's message for a signature whose time is too far from the service's clock."""
    tolerance = datetime.timedelta(seconds=MAX_CLOCK_SKEW)
    if signed_at < now:
        return (
            f"Signature expired: {stamp} is now earlier than "
            f"{(now - tolerance).strftime(TIMESTAMP)} ({now.strftime(TIMESTAMP)} - 5 min.)"
        )
    return (
        f"Signature not yet current: {stamp} is still later than "
        f"{(now + tolerance).strftime(TIMESTAMP)} ({now.strftime(TIMESTAMP)} + 5 min.)"
    )


def send(request, status, headers, content):
    """Writes the response; one to HEAD keeps the length that the upstream server named."""
    request.send_response_only(status)
    for name, value in headers.items():
        if name.lower() != "content-length":
            request.send_header(name, value)
    is_head = request.command == "HEAD"
    length = headers.get("Content-Length", len(content)) if is_head else len(content)
    request.send_header("Content-Length", str(length))
    request.end_headers()
    if not is_head:
        request.wfile.write(content)
