"""Headless Chromium, controlled over the DevTools protocol."""

import base64
import json
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request

import websocket

from pullprobe_testing.waiting import wait_for

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    "--force-device-scale-factor=1",
]
MAX_WAIT = 30  # seconds
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " ")}


class Browser:
    """One page. `requests` lists the URLs that it requested, `errors` what it logged."""

    def __enter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp())
        command = ["chromium", *FLAGS, f"--user-data-dir={self.directory}", "about:blank"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port_file = self.directory / "DevToolsActivePort"
        wait_for(lambda: port_file.exists() and port_file.read_text().count("\n") >= 1)
        port = port_file.read_text().split("\n")[0]

        def pages():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as response:
                return [page for page in json.load(response) if page["type"] == "page"]

        url = wait_for(pages)[0]["webSocketDebuggerUrl"]
        self.socket = websocket.create_connection(url, timeout=MAX_WAIT)
        self.number, self.requests, self.errors = 0, [], []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __call__(self, method, **parameters):
        """Calls a method of the DevTools protocol and returns its result."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            if message.get("method") == "Log.entryAdded":
                self.errors.append(message["params"]["entry"]["text"])
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def open(self, file, width=1280, height=900, scheme="light", phone=False):
        self.requests.clear()
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        self(
            "Emulation.setEmulatedMedia",
            media="",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self("Page.navigate", url=pathlib.Path(file).absolute().as_uri())
        wait_for(
            lambda: (
                self.value("document.readyState") == "complete"
                and self.value("location.protocol") == "file:"
            )
        )

    def value(self, expression):
        """Returns the value of a JavaScript expression."""
        result = self("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def press(self, key):
        code, text = KEYS[key]
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            self(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **typed,
            )

    def screenshot(self, file):
        size = self("Page.getLayoutMetrics")["cssContentSize"]
        shot = self(
            "Page.captureScreenshot",
            captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1},
        )
        pathlib.Path(file).write_bytes(base64.b64decode(shot["data"]))

    def print_to(self, file):
        printed = self(
            "Page.printToPDF",
            printBackground=False,
            preferCSSPageSize=True,
            paperWidth=8.27,
            paperHeight=11.69,
        )
        pathlib.Path(file).write_bytes(base64.b64decode(printed["data"]))
