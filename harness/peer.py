# SPDX-License-Identifier: BSD-3-Clause
"""The link partner: the far end of the card's datagram wire, in the hands of the harness.

The card is started with ``--wire dgram:local=CARD,remote=PEER`` and this is the socket at PEER. Towards the card
nothing is lost: sending waits for room. From the card nothing is lost in between either, because a unix datagram
socket that is connected to its sender queues without limit; what the card itself could not send stands in its
wire's ``dropped`` counter (``Card.wire_counts``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness.answers import answer
from harness.deadline import Deadline, wait_until
from harness.errors import LabBroken, NotSeen, UsageError
from harness.traffic import Flow, Station, flows, numbered_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

READ_SIZE = 1 << 17
BATCH = 256
SNDBUF_FORCE = 32
"""SO_SNDBUFFORCE of asm-generic/socket.h."""

SEND_BUFFER = 16 << 20
LOOK_MS = 50
"""How often the pump looks whether the card has come, or come again."""

REPLY_S = 2.0
"""How long an answer waits for room at the card."""

GONE = frozenset({errno.ECONNREFUSED, errno.ENOENT, errno.ENOTCONN, errno.ECONNRESET})
ETHERNET_HEADER = 14
KEPT_MAX = 2_000_000
"""Frames that are kept; more than that is a mistake in the check, and ``expect`` says so."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame that came, and when (monotonic clock, nanoseconds)."""

    t_ns: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class Burst:
    """When the first and the last of ``count`` frames were handed over (monotonic clock, nanoseconds)."""

    count: int
    first_ns: int
    last_ns: int


def _identity(path: str) -> tuple[int, int]:
    """Return what tells the file at ``path`` from one that was made there later. Raises OSError."""
    status = os.stat(path)  # noqa: PTH116 - as connect() takes it
    return status.st_ino, status.st_ctime_ns


class Peer:
    """The link partner at ``station``, bound to ``local``, whose card is bound to ``remote``.

    ``guest`` is who ``send_flows`` sends to. A thread takes frames off the socket while the context is open.
    """

    def __init__(self, local: Path | str, remote: Path | str, station: Station, guest: Station | None = None) -> None:
        self.station = station
        self.guest = guest
        self._local = Path(local)
        self._remote = str(remote)
        self._changed = threading.Condition()
        self._arrivals: list[Arrival] = []
        self._pending: list[Arrival] = []
        self._overflowed = 0
        self._answering: tuple[Callable[[bytes, Station], bytes | None], ...] = ()
        self._failure: Exception | None = None
        self._card: tuple[int, int] | None = None
        self._local.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with contextlib.suppress(PermissionError):
            self._socket.setsockopt(socket.SOL_SOCKET, SNDBUF_FORCE, SEND_BUFFER)
        self._socket.bind(str(local))
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._pump = threading.Thread(target=self._run, name="peer", daemon=True)
        self._connect()
        self._pump.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the pump and remove the socket; a second call does nothing."""
        if self._socket.fileno() < 0:
            return
        os.eventfd_write(self._stop, 1)
        self._pump.join()
        self._socket.close()
        os.close(self._stop)
        self._local.unlink(missing_ok=True)

    @property
    def connected(self) -> bool:
        """Whether the card's end of the wire is there."""
        return self._card is not None

    def wait_connected(self, deadline: Deadline | None = None) -> None:
        """Return when the card's end of the wire is there, within ``deadline`` (10 s). Raises LabBroken."""
        wait_until(lambda: self.connected, deadline or Deadline.after(10), f"the card's wire at {self._remote} opening")

    # -- sending --------------------------------------------------------------------------------------

    def send(self, *frames: bytes, deadline: Deadline | None = None) -> None:
        """Hand ``frames`` to the card, waiting for room within ``deadline`` (10 s). Raises LabBroken."""
        self.send_burst(frames, deadline)

    def send_burst(self, frames: Iterable[bytes], deadline: Deadline | None = None) -> Burst:
        """Hand over ``frames`` as fast as the card takes them; build them before, not while, if time matters."""
        until = deadline or Deadline.after(10)
        send = self._socket.send
        count = 0
        first_ns = time.monotonic_ns()
        for frame in frames:
            try:
                send(frame)
            except OSError as error:
                self._send_later(frame, error, until, count)
            count += 1
        return Burst(count, first_ns, time.monotonic_ns())

    def flows(self, count: int, *, family: int = 4, protocol: str = "udp", seed: int = 1) -> list[Flow]:
        """Return ``count`` flows from this station to the guest (harness.traffic.flows)."""
        if self.guest is None:
            raise UsageError("a peer must be made with a guest to have flows to it, not without")
        return flows(count, self.station, self.guest, family=family, protocol=protocol, seed=seed)

    def send_flows(
        self, count: int, *, family: int = 4, protocol: str = "udp", seed: int = 1, frames_each: int = 1, size: int = 16
    ) -> list[Flow]:
        """Send ``frames_each`` numbered frames of each of ``count`` flows to the guest, in turns; return the flows."""
        made = self.flows(count, family=family, protocol=protocol, seed=seed)
        trains = [list(numbered_frames(flow, frames_each, size)) for flow in made]
        self.send_burst([train[at] for at in range(frames_each) for train in trains])
        return made

    def _send_later(self, frame: bytes, error: OSError, deadline: Deadline, sent: int) -> None:
        """Send ``frame``, which met ``error``, once the card has room or has come."""
        room = select.poll()
        room.register(self._socket, select.POLLOUT)
        while True:
            if error.errno in GONE:
                if not self._connect():
                    self.wait_connected(deadline)
            elif error.errno not in (errno.EAGAIN, errno.ENOBUFS):
                raise LabBroken(f"a frame of {len(frame)} bytes must be sendable, and is not: {error}") from error
            elif deadline.passed or not room.poll(deadline.remaining * 1000):
                raise LabBroken(
                    f"the card must take every frame within {deadline.seconds:g} s, and took only {sent}"
                ) from error
            try:
                self._socket.send(frame)
            except OSError as again:
                error = again
            else:
                return

    # -- receiving ------------------------------------------------------------------------------------

    @property
    def arrivals(self) -> list[Arrival]:
        """Everything that came since the peer was made or last told to ``forget``, in order."""
        with self._changed:
            return list(self._arrivals)

    def _wait_beyond(self, looked: int, deadline: Deadline) -> bool:
        """Wait, with the lock held, until more than ``looked`` frames are pending; False when time is up."""
        return self._changed.wait_for(
            lambda: len(self._pending) > looked or self._failure is not None, deadline.remaining
        )

    def expect(
        self, count: int, where: Callable[[bytes], bool] | None = None, deadline: Deadline | None = None
    ) -> list[bytes]:
        """Return the oldest ``count`` frames that satisfy ``where`` and were not taken before; others stay.

        Waits for them within ``deadline`` (10 s). Raises NotSeen with what came instead.
        """
        until = deadline or Deadline.after(10)
        taken: list[int] = []
        looked = 0
        with self._changed:
            while len(taken) < count:
                self._check_pump()
                while looked < len(self._pending) and len(taken) < count:
                    if where is None or where(self._pending[looked].frame):
                        taken.append(looked)
                    looked += 1
                if len(taken) < count and not self._wait_beyond(looked, until):
                    raise NotSeen(
                        f"{count} such frames must come within {until.seconds:g} s, not {len(taken)} "
                        f"({looked - len(taken)} others came)"
                    )
            frames = [self._pending[at].frame for at in taken]
            chosen = set(taken)
            self._pending = [arrival for at, arrival in enumerate(self._pending) if at not in chosen]
        return frames

    def drain(self) -> list[bytes]:
        """Return all frames that came and were not taken yet, without waiting, and take them."""
        with self._changed:
            self._check_pump()
            taken, self._pending = self._pending, []
        return [arrival.frame for arrival in taken]

    def expect_silence(self, seconds: float, where: Callable[[bytes], bool] | None = None) -> None:
        """Watch for ``seconds`` that no frame satisfying ``where`` comes; raises NotSeen when one does."""
        until = Deadline.after(seconds)
        with self._changed:
            start = len(self._arrivals)
            while not until.passed:
                self._changed.wait(until.remaining)
                self._check_pump()
                for arrival in self._arrivals[start:]:
                    if where is None or where(arrival.frame):
                        raise NotSeen(f"no such frame must come within {seconds:g} s, not {arrival.frame[:64].hex()}")
                start = len(self._arrivals)

    def forget(self) -> None:
        """Drop all that came so far."""
        with self._changed:
            self._arrivals = []
            self._pending = []
            self._overflowed = 0

    @contextlib.contextmanager
    def answering(self, *more: Callable[[bytes, Station], bytes | None]) -> Iterator[None]:
        """Answer ARP, neighbour solicitation and echo for ``station`` inside the context.

        ``more`` are asked what else to answer, as harness.answers_tcp.answer_tcp.
        """
        before, self._answering = self._answering, (answer, *more)
        try:
            yield
        finally:
            self._answering = before

    # -- the pump -------------------------------------------------------------------------------------

    def _connect(self) -> bool:
        """Connect to the card's socket if it is there and is not the one we are connected to."""
        try:
            found = _identity(self._remote)
            self._socket.connect(self._remote)
        except OSError:
            self._card = None
            return False
        self._card = found
        return True

    def _card_moved(self) -> bool:
        """Say whether the socket at the card's path is another one than we are connected to."""
        try:
            return _identity(self._remote) != self._card
        except OSError:
            return True

    def _run(self) -> None:
        """Take frames off the socket until told to stop."""
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        ready.register(self._stop, select.POLLIN)
        try:
            while True:
                events = dict(ready.poll(LOOK_MS))
                if self._stop in events:
                    return
                if events:
                    self._take()
                elif self._card_moved():
                    self._connect()
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _take(self) -> None:
        """Take what the socket holds, answer what is to be answered, and tell who waits."""
        batch: list[Arrival] = []
        now = time.monotonic_ns
        with contextlib.suppress(OSError):
            while len(batch) < BATCH:
                frame = self._socket.recv(READ_SIZE)
                batch.append(Arrival(now(), frame))
        with self._changed:
            room = max(0, KEPT_MAX - len(self._arrivals))
            self._overflowed += max(0, len(batch) - room)
            self._arrivals += batch[:room]
            self._pending += batch[:room]
            self._changed.notify_all()
        for answerer in self._answering:
            for arrival in batch:
                reply = answerer(arrival.frame, self.station) if len(arrival.frame) >= ETHERNET_HEADER else None
                if reply is not None:
                    self._reply(reply)

    def _reply(self, frame: bytes) -> None:
        """Send an answer, waiting a while for room; a card that has gone or takes nothing gets none."""
        until = Deadline.after(REPLY_S)
        room = select.poll()
        room.register(self._socket, select.POLLOUT)
        while not until.passed:
            try:
                self._socket.send(frame)
            except BlockingIOError:
                room.poll(until.remaining * 1000)
            except OSError:
                return
            else:
                return

    def _check_pump(self) -> None:
        """Raise LabBroken, with the lock held, when frames were lost on our side."""
        if self._failure is not None:
            raise LabBroken(f"the peer must keep receiving, and stopped: {self._failure}") from self._failure
        if self._overflowed:
            raise LabBroken(f"a peer keeps {KEPT_MAX} frames, and {self._overflowed} more came: forget() in between")
