# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's monitor as plain function calls: qemu.qmp on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from qemu.qmp import ExecInterruptedError, ExecuteError, QMPClient, QMPError, Runstate

from harness.errors import LabBroken

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Mapping

    from harness.deadline import Deadline

T = TypeVar("T")


class MonitorRefusedError(LabBroken):
    """QEMU understood a command and answered with an error; ``reason`` is QEMU's sentence."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"QEMU must accept {command}, but it answered: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class MonitorEvent:
    """One asynchronous QMP event, such as DEVICE_DELETED."""

    name: str
    data: Mapping[str, Any]


class Monitor:
    """A QMP session over a connected socket.

    Every call takes a deadline. ``lost`` is asked whenever the session breaks: it returns the sentence that
    says why (a dead QEMU's last words).
    """

    def __init__(self, connection: socket.socket, lost: Callable[[], str], deadline: Deadline) -> None:
        self._lost = lost
        self._client = QMPClient("hilnic")
        self._loop = asyncio.new_event_loop()
        self._events: list[MonitorEvent] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="qmp", daemon=True)
        self._thread.start()
        try:
            self._run(self._connect(connection), deadline, "the QMP greeting")
        except BaseException:
            self.close()
            raise

    async def _connect(self, connection: socket.socket) -> None:
        await self._client.connect(connection)
        self._listener = self._loop.create_task(self._listen())

    async def _listen(self) -> None:
        ended = self._loop.create_task(self._until_lost())
        while True:
            event = self._loop.create_task(self._client.events.get())
            await asyncio.wait({event, ended}, return_when=asyncio.FIRST_COMPLETED)
            with self._changed:
                if not event.done():
                    event.cancel()
                    self._closed = True
                    self._changed.notify_all()
                    return
                message = event.result()
                self._events.append(
                    MonitorEvent(str(message["event"]), cast("dict[str, Any]", message.get("data", {})))
                )
                self._changed.notify_all()

    async def _until_lost(self) -> None:
        while self._client.runstate is Runstate.RUNNING:
            await self._client.runstate_changed()

    def _run(self, work: Coroutine[Any, Any, T], deadline: Deadline, what: str) -> T:
        if self._loop.is_closed():
            work.close()
            raise LabBroken(f"{what} must be asked while QEMU's monitor is open, and it is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(deadline.remaining)
        except FutureTimeout as error:
            future.cancel()
            raise LabBroken(f"QEMU must answer {what} within {deadline.seconds:g} s, but it is silent") from error
        except ExecuteError as error:
            raise MonitorRefusedError(what, str(error)) from error
        except (ExecInterruptedError, QMPError, EOFError, OSError) as error:
            raise LabBroken(f"{what} was cut off: {self._lost()}") from error

    def execute(self, command: str, deadline: Deadline, **arguments: object) -> object:
        """Run a QMP command; underscores in argument names become dashes. Returns QEMU's answer."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self._run(self._client.execute(command, named), deadline, command)

    def human(self, line: str, deadline: Deadline) -> str:
        """Run a line of the human monitor and return what it prints."""
        return str(self.execute("human-monitor-command", deadline, command_line=line))

    def events(self) -> tuple[MonitorEvent, ...]:
        """Return every event since the start, oldest first."""
        with self._changed:
            return tuple(self._events)

    def mark(self) -> int:
        """Return the number of events so far, to be given to ``wait_event``."""
        with self._changed:
            return len(self._events)

    def wait_event(
        self, name: str, deadline: Deadline, *, since: int = 0, matches: Mapping[str, object] | None = None
    ) -> MonitorEvent:
        """Wait for an event ``name`` after position ``since`` whose data holds all of ``matches``."""
        wanted = dict(matches or {})

        def found() -> MonitorEvent | None:
            for event in self._events[since:]:
                if event.name == name and wanted.items() <= event.data.items():
                    return event
            return None

        with self._changed:
            self._changed.wait_for(lambda: found() or self._closed, deadline.remaining)
            event = found()
            if event is not None:
                return event
            closed = self._closed
        if closed:
            raise LabBroken(f"QEMU must send {name}, but the session was lost: {self._lost()}")
        raise LabBroken(f"QEMU must send {name} {wanted or ''} within {deadline.seconds:g} s, but it did not")

    def close(self) -> None:
        """End the session and its thread; QEMU itself goes on."""
        if self._loop.is_closed():
            return
        future = asyncio.run_coroutine_threadsafe(self._shut(), self._loop)
        with contextlib.suppress(Exception):
            future.result(3.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(3.0)
        if not self._thread.is_alive():
            self._loop.close()

    async def _shut(self) -> None:
        with contextlib.suppress(Exception):
            await self._client.disconnect()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
