# SPDX-License-Identifier: BSD-3-Clause
"""The harness's side of the agent: requests over the guest's virtio serial port, several under way at once."""

from __future__ import annotations

import base64
import itertools
import json
import secrets
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from harness.deadline import Deadline
from harness.errors import LabBroken

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

CALL_S = 20.0
LARGE_FILE_S = 120.0
HELLO_EVERY_S = 0.25


class AgentRefusedError(LabBroken):
    """The guest could not do what was asked; ``kind`` and ``errno`` are those of the exception in the guest."""

    def __init__(self, call: str, kind: str, message: str, errno: int | None) -> None:
        super().__init__(f"the guest must do {call}, but answered {kind}: {message}")
        self.kind = kind
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Done:
    """How a program in the guest ended."""

    rc: int
    out: str
    err: str


class Pending:
    """A request under way."""

    def __init__(self, call: str, future: Future[Any], check: Callable[[], None], lost: Callable[[], str]) -> None:
        self._call = call
        self._lost = lost
        self._future = future
        self._check = check

    @property
    def done(self) -> bool:
        """Whether the answer is here."""
        return self._future.done()

    def result(self, seconds: float = CALL_S) -> Any:  # noqa: ANN401 - JSON
        """Wait for the answer. Raises AgentRefusedError, GuestFault (the kernel died) or LabBroken (silence)."""
        deadline = Deadline.after(seconds)
        while True:
            try:
                answer = self._future.result(min(0.5, deadline.remaining))
            except FutureTimeout:
                self._check()
                if deadline.passed:
                    raise LabBroken(f"the guest must answer {self._call} within {seconds:g} s, but is silent") from None
                continue
            if answer is None:
                self._check()
                raise LabBroken(f"the guest must answer {self._call}, but its line was cut: {self._lost()}")
            if "error" in answer:
                error = answer["error"]
                raise AgentRefusedError(self._call, error["type"], error["message"], error["errno"])
            return answer["value"]


class Agent:
    """Requests and answers over one connected socket.

    ``check`` is called while an answer is overdue; it raises if the guest or QEMU is known to be dead. ``lost`` says
    why the line was cut.
    """

    def __init__(self, line: socket.socket, check: Callable[[], None], lost: Callable[[], str]) -> None:
        self._lost = lost
        self._line = line
        self._check = check
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, name="agent", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        rest = b""
        while True:
            try:
                piece = self._line.recv(1 << 20)
            except OSError:
                piece = b""
            if not piece:
                break
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._deliver(line)
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_result(None)

    def _deliver(self, line: bytes) -> None:
        try:
            answer = json.loads(line)
        except ValueError:
            return
        with self._lock:
            future = self._waiting.pop(answer.get("id"), None)
        if future is not None:
            future.set_result(answer)

    def start(self, call: str, /, *, cpus: Sequence[int] = (), **args: object) -> Pending:
        """Send a request that runs beside others, pinned to ``cpus`` if given."""
        return self._send(call, args, {"thread": True, "cpus": list(cpus)})

    def _send(self, call: str, args: dict[str, object], how: dict[str, object]) -> Pending:
        number = next(self._numbers)
        future: Future[Any] = Future()
        data = json.dumps({"id": number, "call": call, "args": args, **how}).encode() + b"\n"
        with self._lock:
            self._waiting[number] = future
        try:
            self._line.sendall(data)
        except OSError as error:
            self._check()
            raise LabBroken(f"the guest must take {call}, but its port is closed: {error.strerror}") from error
        return Pending(call, future, self._check, self._lost)

    def call(self, name: str, /, *, within_s: float = CALL_S, cpus: Sequence[int] = (), **args: object) -> Any:  # noqa: ANN401
        """Do one request and return its value; in a thread of its own if pinned to ``cpus``."""
        if cpus:
            return self.start(name, cpus=cpus, **args).result(within_s)
        return self._send(name, args, {}).result(within_s)

    def wait_ready(self, deadline: Deadline) -> dict[str, Any]:
        """Greet the agent until it answers to this greeting; return what it says of itself."""
        word = secrets.token_hex(4)
        self._line.sendall(b"\n")
        while True:
            pending = self._send("hello", {"word": word}, {})
            try:
                answer: dict[str, Any] = pending.result(min(HELLO_EVERY_S, deadline.remaining))
            except AgentRefusedError:
                raise
            except LabBroken:
                if deadline.passed:
                    raise LabBroken(f"the agent must answer within {deadline.seconds:g} s, but is silent") from None
                self._check()
                continue
            if answer["word"] == word:
                return answer

    # the calls that everyone needs, typed

    def read(self, path: str) -> str:
        """Return a file as text."""
        return str(self.call("read", path=path))

    def read_bytes(self, path: str) -> bytes:
        """Return a file as bytes."""
        return base64.b64decode(self.call("read", within_s=LARGE_FILE_S, path=path, binary=True))

    def read_many(self, paths: Sequence[str]) -> list[str | None]:
        """Return files as text, None for each that cannot be read."""
        return list(self.call("read_many", paths=list(paths)))

    def write(self, path: str, text: str) -> None:
        """Write to a file in one system call, without truncating it."""
        self.call("write", path=path, text=text)

    def write_many(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Write to several files, in order."""
        self.call("write_many", pairs=[list(pair) for pair in pairs])

    def store(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Create a file."""
        self.call("store", path=path, data=base64.b64encode(data).decode("ascii"), mode=mode)

    def exists(self, path: str) -> bool:
        """Return whether a path is there."""
        return bool(self.call("exists", path=path))

    def listdir(self, path: str) -> list[str]:
        """Return the sorted names in a folder."""
        return list(self.call("listdir", path=path))

    def run(self, argv: Sequence[str], seconds: float = CALL_S) -> Done:
        """Run a program to its end, without a shell. Raises LabBroken if it does not end in time."""
        answer = self.start("run", argv=list(argv), seconds=seconds).result(seconds + 5.0)
        if answer["rc"] is None:
            raise LabBroken(f"{' '.join(argv)} must end within {seconds:g} s in the guest, but it runs")
        return Done(answer["rc"], answer["out"], answer["err"])

    def ethtool_ioctl(self, name: str, data: bytes) -> bytes:
        """Do SIOCETHTOOL on interface ``name``; return the structure as the kernel left it."""
        return base64.b64decode(self.call("ethtool_ioctl", name=name, data=base64.b64encode(data).decode("ascii")))

    def close(self) -> None:
        """Forget the guest; its agent goes on."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
