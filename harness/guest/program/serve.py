# SPDX-License-Identifier: BSD-3-Clause
"""The agent's main loop: JSON requests in, JSON answers out, one a line.

A request is ``{"id": 7, "call": "read", "args": {...}, "cpus": [2], "thread": true}``; ``cpus`` pins the work to
those CPUs and ``thread`` lets it run beside other requests (a pinned request always has a thread of its own). The
answer is ``{"id": 7, "value": ...}`` or ``{"id": 7, "error": {"type": ..., "message": ..., "errno": ...}}``. Bytes
travel in base64.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from .bare import Bare
from .files import Files
from .messages import Messages
from .netlink import Netlink
from .programs import Programs
from .sockets import Sockets
from .stamps import Stamps
from .verdicts import Verdicts
from .xdp import Xdp
from .zerocopy import ZeroCopy


class Port:
    """The virtio serial port (or standard input and output): lines in, lines out, several writers."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        self._rest = b""

    def line(self) -> bytes | None:
        """Return the next line; None at the end of a pipe. A port without a host reads as empty: wait for one."""
        while b"\n" not in self._rest:
            piece = os.read(self._source, 65536)
            if not piece:
                if self._source == 0:
                    return None
                time.sleep(0.02)
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def say(self, answer: dict[str, Any]) -> None:
        """Write one answer, whole."""
        data = json.dumps(answer).encode() + b"\n"
        with self._lock:
            view = memoryview(data)
            while view:
                view = view[os.write(self._sink, view) :]


class Agent:
    """Finds the call that a request names."""

    def __init__(self) -> None:
        self._programs = Programs()
        self._sockets = Sockets()
        self._zerocopy = ZeroCopy()
        self._parts = (
            self,
            Files(),
            self._programs,
            self._sockets,
            self._zerocopy,
            Messages(),
            Verdicts(),
            Xdp(),
            Netlink(),
            Bare(),
            Stamps(),
        )

    def hello(self, word: str) -> dict[str, Any]:
        """Return who answers; ``word`` comes back so that an old answer is told from a new one."""
        uname = os.uname()
        return {"word": word, "kernel": uname.release, "cpus": os.cpu_count(), "python": sys.version.split()[0]}

    def close_all(self) -> int:
        """Close every socket, kill every program, let go of every page; return how many of the first two there were."""
        self._zerocopy.forget_gathered()
        return self._sockets.close_sockets() + self._programs.end_programs()

    def do(self, name: str, args: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever the call answers
        """Do one call."""
        for part in self._parts:
            if not name.startswith("_") and hasattr(part, name):
                return getattr(part, name)(**args)
        raise AttributeError(f"a call must be one of the agent's, not {name!r}")


def serve(agent: Agent, port: Port, request: dict[str, Any]) -> None:
    """Do one request and answer it."""
    try:
        if request.get("cpus"):
            os.sched_setaffinity(0, request["cpus"])
        answer = {"id": request["id"], "value": agent.do(request["call"], request.get("args", {}))}
    except Exception as error:  # noqa: BLE001 - every fault is the asker's to see
        fault = {"type": type(error).__name__, "message": str(error), "errno": getattr(error, "errno", None)}
        answer = {"id": request.get("id"), "error": fault}
    port.say(answer)


def main(argv: list[str]) -> None:
    """Serve requests from the port named on the command line, or from standard input.

    The agent stays on CPU 0, as its port's interrupts do: what it does for itself disturbs no other CPU.
    """
    if len(argv) > 1:
        handle = os.open(argv[1], os.O_RDWR)
        port = Port(handle, handle)
    else:
        port = Port(0, 1)
    agent = Agent()
    os.sched_setaffinity(0, [0])
    while True:
        line = port.line()
        if line is None:
            return
        if not line.strip():
            continue
        try:
            request = json.loads(line)
        except ValueError as error:
            port.say({"id": None, "error": {"type": "ValueError", "message": f"not JSON: {error}", "errno": None}})
            continue
        if request.get("thread") or request.get("cpus"):
            threading.Thread(target=serve, args=(agent, port, request), daemon=True).start()
        else:
            serve(agent, port, request)
