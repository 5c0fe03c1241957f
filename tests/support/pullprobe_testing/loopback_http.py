"""A small HTTP server on a thread, for what no package serves."""

import http.server
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """Reads a request's body and writes a whole response; logs nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def read_body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def respond(self, status, content, content_type="application/json", headers=None):
        """Writes one response. A HEAD request gets its headers only."""
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


class LoopbackServer(http.server.ThreadingHTTPServer):
    """Serves `handler` from the moment it is made until `close`."""

    request_queue_size = 256

    def __init__(self, handler, address=("127.0.0.1", 0)):
        super().__init__(address, handler)
        self.url = f"http://{self.server_address[0]}:{self.server_port}"
        # A short interval, so that `close` does not wait half a second.
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *peer):
        """A client that was killed resets its connection: that is not an error of the server."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*peer)

    def close(self):
        self.shutdown()
        self.server_close()
