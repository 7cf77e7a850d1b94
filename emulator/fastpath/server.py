# SPDX-License-Identifier: BSD-3-Clause
"""The event loop of a native card: the engine's, which comes back here for what is Python's affair."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from emulator.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.card import Card
    from emulator.fastpath.engine import Engine
    from emulator.fastpath.nic import NativeIgb
    from emulator.server import Controls, StopSignal

NEVER = (1 << 63) - 1


class NativeServer(Server):
    """Serves one native card until ``stop`` becomes readable."""

    def __init__(self, card: Card, nic: NativeIgb, engine: Engine, controls: Controls | None, stop: StopSignal) -> None:
        """Serve ``card``, and ``controls`` if given."""
        super().__init__(card, controls, stop)
        self._nic = nic
        self._engine = engine
        self._turn = engine.ffi.new("struct fp_turn *")
        self._others = select.epoll()
        self._others.register(stop.fileno(), select.EPOLLIN)
        for fd in controls.filenos() if controls else ():
            self._others.register(fd, select.EPOLLIN)
        self._turn.other_fd = self._others.fileno()

    def serve(self) -> None:
        """Run until asked to stop. What a bug of ours raises comes out here."""
        self._engine.lib.fp_loop_begin()
        try:
            super().serve()
        finally:
            self._others.close()

    def turn(self) -> Iterable[int]:
        """Let the engine run until something is Python's affair, and do that; return what was readable."""
        card, lib, turn = self._card, self._engine.lib, self._turn
        self._nic.settle()
        turn.client_fd = card.context.fileno()
        turn.wire_fd = -1 if (wire := card.wire.fileno()) is None else wire
        turn.run, turn.context = card.context.runner(self._engine.ffi)
        deadline = card.clock.next_deadline_ns()
        turn.deadline = NEVER if deadline is None else deadline
        why = lib.fp_turn(self._engine.e, turn)
        card.context.raise_kept()
        card.clock.run_due()
        if why & lib.FP_CLIENT:
            self._look_at_client(turn.client_errno)
        if not why & lib.FP_OTHER:
            return ()
        for frame in card.wire.poll():
            card.receive(frame)
        ready = [fd for fd, _ in self._others.poll(0)]
        for fd in ready:
            if self._controls and fd != self._stop.fileno():
                self._controls.ready(fd)
        return ready

    def _look_at_client(self, error: int) -> None:
        """Accept a client, or take note of why one has gone."""
        if error:
            self._card.context.ended(error)
        else:
            self._card.context.step()
