# SPDX-License-Identifier: BSD-3-Clause
"""Chromium without windows, told what to do over its debugging pipe (JSON, each message ended by a zero byte).

The protocol is Chromium's own (DevTools, https://chromedevtools.github.io/devtools-protocol); the few commands that
these tests need are not worth a driver program and a library of which Chromium would be the smaller part.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from harness.child import Child
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.setup.chromium import Browser

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
FONTS_CONF = '<?xml version="1.0"?><fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>'
PATIENCE_S = 60.0
READ_SIZE = 1 << 16
FIRST_DESCRIPTOR = 20


class PageError(AssertionError):
    """The browser refused a command, or a script on the page raised."""


class Tab:
    """One page of the browser. ``complaints`` and ``requests`` hold what it has said and fetched so far."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._number = 0
        self._session: str | None = None
        self._rest = b""
        self._loaded = False
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, path: Path, fragment: str = "") -> None:
        """Load the file anew and wait until its scripts have run."""
        for address in ("about:blank", path.as_uri() + fragment):
            self._loaded = False
            self._call("Page.navigate", url=address)
            self._wait_loaded()

    def follow(self, selector: str) -> str:
        """Click a link that leads to another file, wait for it, and return its address."""
        self._loaded = False
        self.ask(f"document.querySelector({json.dumps(selector)}).click()")
        self._wait_loaded()
        return str(self.ask("location.href"))

    def _wait_loaded(self) -> None:
        deadline = Deadline.after(PATIENCE_S)
        while not self._loaded:
            self._take(self._message(deadline))

    def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        wait_until(lambda: self.ask(expression), Deadline.after(PATIENCE_S), f"{expression} being true", NotSeen)

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Give the page a window of this size, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self._call("Emulation.setDeviceMetricsOverride", **metrics)

    def media(self, kind: str = "", scheme: str = "light") -> None:
        """Show the page on screen or paper (``print``), in a ``light`` or ``dark`` scheme."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", media=kind, features=features)

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise PageError(f"{expression}: {answer['exceptionDetails']['exception'].get('description')}")
        return answer["result"].get("value")

    def picture(self, *, whole: bool = True) -> bytes:
        """Return what the page looks like, as PNG."""
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def paper(self) -> bytes:
        """Return the page as PDF."""
        return base64.b64decode(self._call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        request: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            request["sessionId"] = self._session
        data = json.dumps(request).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        deadline = Deadline.after(PATIENCE_S)
        while True:
            message = self._message(deadline)
            if message.get("id") == self._number:
                if "error" in message:
                    raise PageError(f"{method}: {message['error']}")
                return message["result"]
            self._take(message)

    def _message(self, deadline: Deadline) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._answers], [], [], deadline.remaining)[0]:
                raise PageError(f"the browser must answer within {PATIENCE_S:g} s, and did not")
            data = os.read(self._answers, READ_SIZE)
            if not data:
                raise PageError("the browser must go on running, and has ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _take(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.complaints.append(str(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(str([each.get("value") for each in parameters["args"]]))
            case "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])


@contextmanager
def browsing(browser: Browser, folder: Path) -> Iterator[Tab]:
    """Start the browser with ``folder`` for its own files, and hand out a page of it."""
    theirs_in, commands = map(_out_of_the_way, os.pipe())
    answers, theirs_out = map(_out_of_the_way, os.pipe())
    with ExitStack() as undo:
        undo.callback(os.close, commands)
        undo.callback(os.close, answers)
        # The pipe must be descriptors 3 and 4 there, which only a shell says in a line.
        redirected = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out} {theirs_in}<&- {theirs_out}>&-'
        argv = ("bash", "-c", redirected, "chromium", "env", *_settings(browser, folder), str(browser.program), *FLAGS)
        try:
            child = Child(
                "Chromium", (*argv, f"--user-data-dir={folder / 'profile'}"), folder / "chromium.log",
                fds=(theirs_in, theirs_out),
            )  # fmt: skip
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        undo.callback(child.stop)
        yield Tab(commands, answers)


def _out_of_the_way(descriptor: int) -> int:
    """Return the descriptor under a number that is neither 3 nor 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
    os.close(descriptor)
    return moved


def _settings(browser: Browser, folder: Path) -> Iterator[str]:
    """Yield the variables that only the browser may see: its libraries would be of no good to others."""
    yield f"HOME={folder}"
    if browser.libraries:
        yield f"LD_LIBRARY_PATH={':'.join(map(str, browser.libraries))}"
    if browser.fonts is not None:
        conf = folder / "fonts.conf"
        conf.write_text(FONTS_CONF.format(fonts=browser.fonts, cache=folder / "fonts"), encoding="utf-8")
        yield f"FONTCONFIG_FILE={conf}"
