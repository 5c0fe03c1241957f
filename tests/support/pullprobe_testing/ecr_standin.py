"""Amazon ECR with a data plane, which moto does not have.

    install ──▶ EcrStandin ──┬─ GetAuthorizationToken, BatchGetImage: answered here
                             ├─ /v2/…: checked as ECR checks it, then docker-registry
                             └─ repositories, identities and everything else: moto_server

Debian's docker-registry stores the images. In front of it this adds what ECR has: tokens that
expire, IAM actions, immutable tags, uploads with an offset that the registry keeps. `faults` are
what goes wrong, request by request.
"""

import base64
import contextlib
import dataclasses
import hashlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable

from pullprobe_testing import images
from pullprobe_testing.accounts import ACCOUNT, registry_host
from pullprobe_testing.loopback_http import Handler, LoopbackServer
from pullprobe_testing.registries import Distribution

REGION = "us-east-1"
VERSION = "0.1.0"  # of Cargo.toml: the tag
HOST = registry_host(REGION)
REFERENCE = f"{HOST}/pullprobe:{VERSION}"
API_TARGET = "AmazonEC2ContainerRegistry_V20150921"
# (method, part of the path) -> the IAM action that permits the request
ACTIONS = {
    ("HEAD", "blobs"): "ecr:BatchCheckLayerAvailability",
    ("GET", "blobs"): "ecr:GetDownloadUrlForLayer",
    ("POST", "uploads"): "ecr:InitiateLayerUpload",
    ("GET", "uploads"): "ecr:UploadLayerPart",
    ("PATCH", "uploads"): "ecr:UploadLayerPart",
    ("PUT", "uploads"): "ecr:CompleteLayerUpload",
    ("GET", "manifests"): "ecr:BatchGetImage",
    ("HEAD", "manifests"): "ecr:BatchGetImage",
    ("PUT", "manifests"): "ecr:PutImage",
}
EXPIRED = "Your authorization token has expired. Reauthenticate and try again."


@dataclasses.dataclass
class Request:
    """A request of the data plane."""

    method: str
    path: str
    kind: str  # blobs, uploads or manifests
    headers: dict
    body: bytes

    @property
    def action(self):
        return ACTIONS[self.method, self.kind]


@dataclasses.dataclass
class Fault:
    """Answers the requests of one action with `answer(standin, request)`, `times` times.

    `answer` returns (status, headers, body); `None` closes the connection without a response.
    """

    action: str
    answer: Callable
    times: int = 10**6


def errors(code, message, status=400, **headers):
    """Returns an error response of the distribution protocol."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return status, {"Content-Type": "application/json", **headers}, body


def denial(action, name):
    """Returns IAM's message as ECR passes it on."""
    resource = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}"
    return (
        f"User: arn:aws:iam::{ACCOUNT}:user/dev is not authorized to perform: {action} "
        f"on resource: {resource} because no identity-based policy allows the {action} action"
    )


class EcrStandin:
    """Listens on loopback; `registry` and `upstream` are the (host, port) of the real servers."""

    def __init__(self, registry, upstream):
        self.registry, self.upstream = registry, upstream
        self.faults, self.denied = [], set()
        self.requests, self.api_requests = [], []
        self.tokens, self.expired, self.issued = set(), set(), 0
        self.uploads, self.offsets = {}, {}
        self.endpoint = None  # of the data plane, if it is not this server
        self.lock = threading.Lock()
        standin = self

        class EcrHandler(Handler):
            def do_POST(self):
                if self.path.startswith("/v2/"):
                    return self.data_plane()
                standin.answer_api(self)

            def data_plane(self):
                body = self.read_body()
                headers = {name.title(): value for name, value in self.headers.items()}
                answer = standin.answer(self.command, self.path, headers, body)
                if answer is None:
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                if isinstance(answer, Endless):
                    return answer.send(self)
                status, headers, content = answer
                length = headers.pop("Content-Length", None)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def do_GET(self):
                if self.path.startswith("/v2/"):
                    return self.data_plane()
                self.respond(*standin.forward(self))

            do_PUT = do_PATCH = do_HEAD = data_plane

        self._server = LoopbackServer(EcrHandler)
        self.url, self.peer = self._server.url, self._server.server_address
        self.close = self._server.close

    def called_actions(self):
        """Returns every operation that was called, as IAM names its action."""
        data = {request.action for request in self.requests}
        return data | {f"{service}:{operation}" for service, operation, _ in self.api_requests}

    def requests_of(self, action):
        return [request for request in self.requests if request.action == action]

    def expire_tokens(self):
        self.expired |= self.tokens
        self.tokens = set()

    # The API

    def answer_api(self, handler):
        target = handler.headers.get("X-Amz-Target", "")
        body = handler.read_body()
        prefix, _, operation = target.partition(".")
        if prefix != API_TARGET:
            if action := re.search(rb"Action=(\w+)", body):
                self.api_requests.append(("sts", action[1].decode(), {}))
            return handler.respond(*self.forward(handler, body))
        request = json.loads(body or b"{}")
        self.api_requests.append(("ecr", operation, request))
        if f"ecr:{operation}" in self.denied:
            name = (request.get("repositoryNames") or [request.get("repositoryName", "*")])[0]
            message = denial(f"ecr:{operation}", name)
            content = json.dumps({"__type": "AccessDeniedException", "message": message})
            return handler.respond(400, content.encode(), "application/x-amz-json-1.1")
        own = {
            "GetAuthorizationToken": self.get_authorization_token,
            "BatchGetImage": self.batch_get_image,
        }
        if operation not in own:
            return handler.respond(*self.forward(handler, body))
        status, document = own[operation](request)
        handler.respond(status, json.dumps(document).encode(), "application/x-amz-json-1.1")

    def get_authorization_token(self, _):
        self.issued += 1
        token = base64.b64encode(f"AWS:eyJwYXlsb2FkIjoi{self.issued:04}".encode()).decode()
        self.tokens.add(token)
        data = {
            "authorizationToken": token,
            "expiresAt": time.time() + 12 * 3600,
            "proxyEndpoint": self.endpoint or self.url,
        }
        return 200, {"authorizationData": [data]}

    def batch_get_image(self, request):
        name = request["repositoryName"]
        found, failures = [], []
        for image_id in request["imageIds"]:
            reference = image_id.get("imageTag") or image_id["imageDigest"]
            accept = ", ".join(request.get("acceptedMediaTypes", [images.MANIFEST]))
            status, headers, body = self.to_registry(
                "GET", f"/v2/{name}/manifests/{reference}", {"Accept": accept}, b""
            )
            if status != 200:
                failures.append({"imageId": image_id, "failureCode": "ImageNotFound"})
                continue
            document = {"registryId": ACCOUNT, "repositoryName": name}
            document |= {"imageId": image_id, "imageManifest": body.decode()}
            found.append(document | {"imageManifestMediaType": headers["Content-Type"]})
        return 200, {"images": found, "failures": failures}

    def forward(self, handler, body=b""):
        """Sends a request of another API to moto."""
        connection = http.client.HTTPConnection(*self.upstream, timeout=60)
        kept = {name: value for name, value in handler.headers.items() if name != "Connection"}
        connection.request(handler.command, handler.path, body, kept)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content, answer.headers.get("Content-Type")

    # The data plane

    def answer(self, method, path, headers, body):
        kind = next(part for part in ("uploads", "blobs", "manifests") if f"/{part}/" in path)
        request = Request(method, path, kind, headers, body)
        with self.lock:
            self.requests.append(request)
        if refusal := self.refuse(request):
            return refusal
        with self.lock:
            matching = (fault for fault in self.faults if fault.action == request.action)
            fault = next((fault for fault in matching if fault.times > 0), None)
            if fault:
                fault.times -= 1
        return fault.answer(self, request) if fault else self.serve(request)

    def refuse(self, request):
        name = request.path.removeprefix("/v2/").split(f"/{request.kind}/")[0]
        name = name.removesuffix("/blobs")
        token = request.headers.get("Authorization", "").removeprefix("Basic ")
        if token in self.expired:
            return errors("DENIED", EXPIRED, 403)
        if token not in self.tokens:
            headers = {"Www-Authenticate": f'Basic realm="{self.url}/",service="ecr.amazonaws.com"'}
            return 401, headers, b"Not Authorized\n"
        if request.action in self.denied:
            return errors("DENIED", denial(request.action, name), 403)
        tag = request.path.rsplit("/", 1)[1]
        if request.action == "ecr:PutImage" and not tag.startswith("sha256:"):
            status, _, stored = self.to_registry(
                "GET", request.path, {"Accept": f"{images.INDEX}, {images.MANIFEST}"}, b""
            )
            if status == 200 and stored != request.body:
                message = f"The image tag '{tag}' already exists in the '{name}' repository and "
                message += "cannot be overwritten because the repository is immutable."
                return errors("TAG_INVALID", message)
        return None

    def serve(self, request):
        """Answers as a registry without faults."""
        if request.kind != "uploads":
            return self.to_registry(request.method, request.path, request.headers, request.body)
        path, _, query = request.path.partition("?")
        if request.method == "POST":
            answer = self.to_registry("POST", path, {"Content-Length": "0"}, b"")
            return self.remember(answer, 0)
        upload = path.rsplit("/", 1)[1]
        if upload not in self.uploads:
            return errors("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", 404)
        offset = self.offsets[upload]
        at = {"Location": path, "Range": f"0-{max(offset - 1, 0)}"}
        if request.method == "GET":
            return 204, at, b""
        location = self.uploads[upload]
        if request.method == "PUT":
            separator = "&" if "?" in location else "?"
            return self.to_registry("PUT", f"{location}{separator}{query}", {}, request.body)
        start = int(request.headers["Content-Range"].split("-")[0])
        if start != offset:
            return errors("RANGE_INVALID", "wrong offset", 416, **at)
        kept = {"Content-Type": "application/octet-stream"}
        answer = self.to_registry("PATCH", location, kept, request.body)
        return self.remember(answer, offset + len(request.body))

    def remember(self, answer, offset):
        """Keeps docker-registry's location, and gives out one without its state, as ECR does."""
        status, headers, body = answer
        location = headers["Location"].removeprefix(f"http://{self.registry[0]}:{self.registry[1]}")
        path = location.split("?")[0]
        upload = path.rsplit("/", 1)[1]
        self.uploads[upload], self.offsets[upload] = location, offset
        headers = {**headers, "Location": path, "Range": f"0-{max(offset - 1, 0)}"}
        return status, headers, body

    def to_registry(self, method, path, headers, body):
        connection = http.client.HTTPConnection(*self.registry, timeout=60)
        dropped = ("connection", "authorization", "content-range", "content-length", "host")
        kept = {name: value for name, value in headers.items() if name.lower() not in dropped}
        connection.request(method, path, body, kept)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        dropped = ("connection", "date", "transfer-encoding")
        if method != "HEAD":
            dropped += ("content-length",)
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in dropped}
        return answer.status, kept, content


@contextlib.contextmanager
def running(moto, directory):
    """An EcrStandin before an empty account of moto and an empty docker-registry."""
    moto.reset()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    registry = Distribution(directory, "docker-registry", port, auth={}).start().ready()
    standin = EcrStandin(registry.peer, moto.peer)
    try:
        yield standin
    finally:
        standin.close()
        registry.stop()


class Endless:
    """A response that does not end."""

    def __init__(self, status=200):
        self.status = status

    def send(self, handler):
        handler.send_response(self.status)
        handler.send_header("Content-Length", str(5 * 2**30))
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(bytes(65536))
        handler.close_connection = True


def stored(ecr, part, reference, name="pullprobe"):
    """Returns what docker-registry has, as (status, bytes)."""
    path = f"/v2/{name}/{part}/{reference}"
    accept = f"{images.INDEX}, {images.MANIFEST}"
    status, _, body = ecr.to_registry("GET", path, {"Accept": accept}, b"")
    return status, body


def tags(ecr, name="pullprobe"):
    status, body = stored(ecr, "tags", "list", name)
    return (json.loads(body)["tags"] or []) if status == 200 else []


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


# Answers of a registry with faults


def drops(standin, request):
    """Closes the connection and does nothing."""


def loses_response(standin, request):
    """Carries out the request, and closes the connection without a response."""
    standin.serve(request)


def breaks_off(standin, request):
    """Receives half of the chunk, then the connection breaks."""
    half = dataclasses.replace(request, body=request.body[: len(request.body) // 2])
    standin.serve(half)


def takes_half(standin, request):
    """Receives half of the chunk and says so."""
    half = dataclasses.replace(request, body=request.body[: len(request.body) // 2])
    return standin.serve(half)


def returns(*response):
    """Returns always the same."""
    return lambda standin, request: tuple(map(_copy, response))


def _copy(part):
    return dict(part) if isinstance(part, dict) else part


def names_digest(digest):
    """Carries out the request, and names another digest."""

    def answer(standin, request):
        status, headers, body = standin.serve(request)
        kept = {name: value for name, value in headers.items() if "digest" not in name.lower()}
        return status, {**kept, "Docker-Content-Digest": digest}, body

    return answer
