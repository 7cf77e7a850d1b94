# SPDX-License-Identifier: BSD-3-Clause
"""The event loop: vfio-user messages, timers, the wire and control connections, in one thread."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import FrameType

    from emulator.card import Card

MESSAGE_BATCH = 64
"""How many vfio-user messages are handled at most before wires and control connections have their turn."""

NS_PER_S = 1_000_000_000


class Controls(Protocol):
    """Something with descriptors of its own that wants to be served by the loop."""

    def filenos(self) -> Sequence[int]:
        """Return the descriptors to wait for."""

    @property
    def connected(self) -> bool:
        """Whether somebody is there."""

    def ready(self, fd: int) -> None:
        """Do a bounded piece of work for ``fd``, which is readable; never block."""


class StopSignal:
    """A descriptor that becomes readable when the process is asked to end (SIGTERM, SIGINT).

    A context manager: the previous handlers come back at its end.
    """

    def __init__(self, signals: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> None:
        """Take over ``signals``; only the main thread may."""
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._previous_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._note) for number in signals}

    def __enter__(self) -> Self:
        """Return the signal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        os.close(self._read_end)
        os.close(self._write_end)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._read_end

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Do nothing here: the byte in the pipe ends the loop at a safe place."""


class Server:
    """Serves one card until ``stop`` becomes readable."""

    def __init__(
        self, card: Card, controls: Controls | None, stop: StopSignal, held: Callable[[], bool] = lambda: False
    ) -> None:
        """Serve ``card``, and ``controls`` if given; while ``held``, nothing is taken off the wire."""
        self._held = held
        self._card = card
        self._controls = controls
        self._stop = stop
        card.rules.halt.served_by(controls, stop)

    def serve(self) -> None:
        """Run until asked to stop. What a bug of ours raises comes out here."""
        stop = self._stop.fileno()
        while stop not in self.turn():
            pass

    def turn(self) -> Iterable[int]:
        """Wait for something to do, but not past the next timer, and do it once; return what was readable."""
        card = self._card
        wire = card.wire.fileno()
        client = card.context.fileno()
        controls = self._controls.filenos() if self._controls else ()
        watched = [self._stop.fileno(), client, *controls]
        if wire is not None and not self._held():
            watched.append(wire)
        ready = set(select.select(watched, (), (), self._patience())[0])
        card.clock.run_due()
        if client in ready:
            self._handle_messages()
        if wire in ready:
            for frame in card.wire.poll():
                card.receive(frame)
        for fd in controls:
            if self._controls and fd in ready:
                self._controls.ready(fd)
        return ready

    def _patience(self) -> float | None:
        """Return how many seconds the loop may sleep: to the next timer, or for ever (None)."""
        clock = self._card.clock
        deadline = clock.next_deadline_ns()
        return None if deadline is None else max(0, deadline - clock.real_ns()) / NS_PER_S

    def _handle_messages(self) -> None:
        """Handle what the client has sent, up to MESSAGE_BATCH messages; timers are served in between."""
        context, clock = self._card.context, self._card.clock
        for _ in range(MESSAGE_BATCH):
            if not context.step():
                return
            clock.run_due()
