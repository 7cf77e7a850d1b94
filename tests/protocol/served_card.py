# SPDX-License-Identifier: BSD-3-Clause
"""A card model with its control socket, served in a thread by a loop like the emulator's."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulator.control import ControlServer
from emulator.rules import Rules
from emulator.wires.loopback import LoopbackWire
from tests.model.igb.world import Clock, Memory, Messages, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from device_model.igb.nic import Igb
    from emulator.bundle.log import Log
    from emulator.control.card import ControlledCard


@dataclass
class Bench:
    """What the emulator's Card is, around a world turned by hand."""

    nic: Igb
    wire: LoopbackWire
    clock: Clock
    memory: Memory
    interrupts: Messages
    log: Log | None = None
    rules: Rules = field(init=False)

    def __post_init__(self) -> None:
        self.rules = Rules(self.nic, self.clock)


@dataclass
class Served:
    """A served card: tests talk to ``path``; ``nic`` may be touched only while nobody else asks."""

    path: Path
    nic: Igb
    server: ControlServer


@contextmanager
def serving(path: Path) -> Iterator[Served]:
    world = World()
    bench: ControlledCard = Bench(world.nic, LoopbackWire(), world.clock, world.memory, world.messages)
    server = ControlServer(str(path), bench)
    stop, told = socket.socketpair()

    def loop() -> None:
        while True:
            ready, _, _ = select.select([*server.filenos(), told.fileno()], [], [])
            if told.fileno() in ready:
                return
            for descriptor in ready:
                server.ready(descriptor)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield Served(path, world.nic, server)
    finally:
        stop.close()
        thread.join()
        told.close()
        server.close()
        bench.wire.close()
    assert not path.exists()
