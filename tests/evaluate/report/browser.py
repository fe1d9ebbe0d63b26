"""A headless Chromium, driven by the DevTools protocol over a pipe."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_TIMEOUT_SECONDS = 60


class Browser:
    """One page in a browser of its own."""

    def __init__(self, folder: Path):
        reader, self._write = os.pipe()
        self._read, writer = os.pipe()
        ends = tuple(fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (reader, writer))
        options = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run"
        shell = f'exec "$0" "$@" 3<&{ends[0]} 4>&{ends[1]}'  # the browser reads from 3 and writes to 4
        arguments = [*options.split(), "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", shell, str(PROGRAM), *arguments],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (reader, writer, *ends):
            os.close(end)
        self._events: list[dict[str, Any]] = []
        self._received, self._number, self._session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls a method of the protocol and gives its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self._events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def open(self, path: Path, *, width: int, scheme: str = "light", media: str = "screen") -> None:
        """Loads a file as a page of some width, in a light or a dark colour scheme, as on a screen or in print."""
        self._events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.call(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        self.call("Page.navigate", url=path.as_uri())
        while not self.take("Page.loadEventFired"):
            self._events.append(self._receive())

    def take(self, name: str) -> list[dict[str, Any]]:
        """Gives the events of a name that the browser has told of since the page was opened."""
        return [event for event in self._events if event.get("method") == name]

    def evaluate(self, expression: str) -> Any:
        """Gives the value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"]["value"]

    def take_picture(self) -> bytes:
        """Gives the whole page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def print_pdf(self) -> bytes:
        """Gives the page as it is printed on A4."""
        size = {"paperWidth": 8.27, "paperHeight": 11.69}
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, **size)["data"])

    def _receive(self) -> dict[str, Any]:
        """Gives the next message, which a zero byte ends."""
        end = time.monotonic() + _TIMEOUT_SECONDS
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            chunk = os.read(self._read, 1 << 20) if ready else b""
            if not chunk:
                raise RuntimeError("the browser has ended" if ready else "the browser does not answer")
            self._received += chunk
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)
