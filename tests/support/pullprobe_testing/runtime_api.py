"""The Runtime API of AWS Lambda, as its documentation describes it (version 2018-06-01).

invoke ──▶ RuntimeApi ◀── GET  /runtime/invocation/next, which waits
                      ◀── POST /runtime/invocation/ID/response, …/error, /runtime/init/error
"""

import dataclasses
import json
import queue
import threading
import time
import uuid

from pullprobe_testing.loopback_http import Handler, LoopbackServer

PREFIX = "/2018-06-01/runtime"


@dataclasses.dataclass
class Invocation:
    """One event, and what the runtime answered."""

    event: bytes
    seconds: float  # until Lambda ends the function
    id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))
    began: float = dataclasses.field(default_factory=time.time)
    answer: bytes | None = None
    error_type: str | None = None  # set if the answer is an error
    answered: threading.Event = dataclasses.field(default_factory=threading.Event)
    ended: float = 0.0

    @property
    def document(self):
        return json.loads(self.answer)

    @property
    def took(self):
        return self.ended - self.began


class RuntimeApi:
    """Serves one function on loopback of the calling thread's network namespace."""

    def __init__(self):
        self.events, self.invocations = queue.SimpleQueue(), {}
        self.init_error, self.closed = None, threading.Event()
        self.statuses = {}  # path suffix -> status that it is answered with
        api = self

        class RuntimeApiHandler(Handler):
            def do_GET(self):
                assert self.path == f"{PREFIX}/invocation/next", self.path
                invocation = api.wait()
                if invocation is None:
                    self.close_connection = True
                    return
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": invocation.id,
                    "Lambda-Runtime-Deadline-Ms": str(
                        int((invocation.began + invocation.seconds) * 1000)
                    ),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:"
                    "function:pullprobe",
                    "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
                }
                status = api.statuses.get("next", 200)
                self.respond(status, invocation.event, headers=headers)

            def do_POST(self):
                body = self.read_body()
                kind = self.headers.get("Lambda-Runtime-Function-Error-Type")
                if self.path == f"{PREFIX}/init/error":
                    api.init_error = kind, json.loads(body)
                    self.respond(202, b'{"status":"OK"}')
                    return
                *_, request_id, last = self.path.split("/")
                assert self.path == f"{PREFIX}/invocation/{request_id}/{last}", self.path
                invocation = api.invocations[request_id]
                invocation.answer, invocation.ended = body, time.time()
                if last == "error":
                    invocation.error_type = kind
                self.respond(api.statuses.get(last, 202), b'{"status":"OK"}')
                invocation.answered.set()

        self._server = LoopbackServer(RuntimeApiHandler)
        self.address = self._server.url.removeprefix("http://")

    def wait(self):
        while not self.closed.is_set():
            try:
                return self.events.get(timeout=0.1)
            except queue.Empty:
                continue
        return None

    def begin(self, event, seconds=40):
        """Invokes the function; the result's `answered` is set when it has answered."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        invocation = Invocation(body, seconds)
        self.invocations[invocation.id] = invocation
        self.events.put(invocation)
        return invocation

    def close(self):
        self.closed.set()
        self._server.close()
