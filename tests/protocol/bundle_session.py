# SPDX-License-Identifier: BSD-3-Clause
"""A session with a card whose log is kept: a driver of our own over vfio-user, frames on the wire, faults, resets."""

from __future__ import annotations

import mmap
import os
import random
import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

from device_model.igb.spec.general import STATUS
from device_model.igb.spec.interrupts import EIMS, EITR
from device_model.igb.spec.receive import RCTL
from harness.card import Card
from harness.deadline import Deadline, wait_until
from tests.model.igb.driver import Driver
from tests.model.igb.world import BASE
from tests.model.packet import frames
from tests.protocol.client import BAR0, CONFIG, INTX, MSIX
from tests.protocol.conftest import CardProcess

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.model.igb.world import World
    from tests.protocol.client import Client

SIZE = 1 << 20
QUEUES, SLOTS, VECTORS = 2, 32, 10
GUEST = bytes.fromhex("525400825760")
MSIX_CONTROL = 0x72


class SharedMemory:
    """Guest memory that the card maps."""

    def __init__(self, undo: ExitStack) -> None:
        self.fd = os.memfd_create("guest")
        undo.callback(os.close, self.fd)
        os.ftruncate(self.fd, SIZE)
        self.bytes = undo.enter_context(mmap.mmap(self.fd, SIZE))

    def read(self, iova: int, size: int) -> bytes:
        return self.bytes[iova - BASE : iova - BASE + size]

    def write(self, iova: int, data: bytes) -> None:
        self.bytes[iova - BASE : iova - BASE + len(data)] = data


class Guest:
    """What tests.model.igb.driver needs of a world, over vfio-user."""

    def __init__(self, client: Client, memory: SharedMemory) -> None:
        self.client = client
        self.memory = memory

    def write(self, offset: int, value: int) -> None:
        self.client.post(BAR0, offset, struct.pack("<I", value & 0xFFFFFFFF))

    def read(self, offset: int, size: int = 4) -> int:
        return self.client.read(BAR0, offset, size)


def session(
    folder: Path,
    engine: str,
    seed: int,
    steps: int = 150,
    *,
    arguments: tuple[str, ...] = (),
    end: Callable[[subprocess.Popen[str]], None] | None = None,
) -> Path:
    """Hold one and return the log; ``end`` ends the card otherwise than by asking it to."""
    folder.mkdir(parents=True, exist_ok=True)
    log, far_path, near_path = folder / "log", folder / "far", folder / "near"
    choose = random.Random(seed)  # noqa: S311 - reproducible, not secret
    with ExitStack() as undo:
        far = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        far.bind(str(far_path))
        far.setblocking(False)
        card = CardProcess(
            folder,
            *("--engine", engine, "--wire", f"dgram:local={near_path},remote={far_path}"),
            *("--control", str(folder / "control"), "--bundle-log", str(log), *arguments),
            module="emulator",
        )
        undo.callback(lambda: card.process.kill() if card.alive() else None)
        card.wait_ready()
        memory = SharedMemory(undo)
        client = undo.enter_context(card.connect())
        control = undo.enter_context(Card(folder / "control"))
        client.dma_map(BASE, SIZE, memory.fd)
        eventfds = tuple(os.eventfd(0, os.EFD_NONBLOCK) for _ in range(VECTORS))
        for fd in eventfds:
            undo.callback(os.close, fd)
        client.enable()
        client.connect_eventfds(INTX, eventfds[:1])
        intx = seed % 4 == 3
        if not intx:
            client.write(CONFIG, MSIX_CONTROL, 0x8000 | client.read(CONFIG, MSIX_CONTROL, 2), 2)
            client.connect_eventfds(MSIX, eventfds)
        control.link_up(1000)
        guest = Guest(client, memory)
        driver = Driver(cast("World", guest), SLOTS, QUEUES)
        driver.up()
        for n in range(5):
            driver.put(EITR, choose.choice((0, 20 << 2, 500 << 2)), n)
        wait_until(lambda: control.register("STATUS") & STATUS.lu.mask, Deadline.after(10.0), "the link")
        for _ in range(steps):
            _step(choose, driver, client, control, far, near_path)
            drain(far)
        guest.read(0)
        if end is not None:
            end(card.process)
            card.ended()
            return log
        client.close()
        status, _, err = card.stop()
        assert status == 0, err
    return log


def drain(far: socket.socket) -> None:
    """Take what has come."""
    try:
        while far.recv(1 << 16):
            pass
    except BlockingIOError:
        pass


def _step(choose: random.Random, driver: Driver, client: Client, control: Card, far: socket.socket, near: Path) -> None:
    kind = choose.randrange(20)
    queue = choose.randrange(QUEUES)
    if kind < 6:
        data = some_frame(choose)
        fields: dict[str, Any] = {"ifcs": 1}
        context = None
        if not choose.randrange(3):
            data += choose.randbytes(5000)
            context = {"mss": 1000, "maclen": 14, "iplen": 20, "l4len": 8, "l4t": 0, "ipv4": 1, "vlan": 0, "idx": 0}
            fields["tse"] = 1
        driver.send(queue, data, context=context, pieces=choose.choice((1, 2, 3)), **fields)
    elif kind < 11:
        for _ in range(choose.randrange(1, 20)):
            try:
                far.sendto(some_frame(choose), str(near))
            except BlockingIOError:
                break
    elif kind < 14:
        driver.post(queue, choose.randrange(1, SLOTS // 2))
    elif kind == 14:
        driver.put(EIMS, 0x1F)
    elif kind == 15:
        client.read(BAR0, choose.choice((0x8, 0xC0, 0x1580, 0x4074, 0x1680, 0xB600, 0x2810, 0x14, 0x5B50)))
    elif kind == 16:
        name, arguments = choose.choice(FAULTS)
        control.fault(name, **arguments)
    elif kind == 17:
        driver.get(RCTL)
        client.read(CONFIG, choose.choice((0, 4, 6)), 2)
    elif kind == 18:
        control.inject(some_frame(choose))
    else:
        client.mask(MSIX, 1, 1)
        client.unmask(MSIX, 1, 1)


FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hold_interrupts", {"vector": 1}),
    ("release_interrupts", {"vector": 1}),
    ("withhold_completions", {"queue": 0}),
    ("release_completions", {"queue": 0}),
    ("spurious_interrupt", {"vector": 2}),
    ("duplicate_interrupts", {"vector": 3}),
    ("clear", {}),
)


def some_frame(choose: random.Random) -> bytes:
    payload = choose.randbytes(choose.choice((1, 18, 60, 400, 1400)))
    frame = frames.udp_frame(payload, choose.randbytes(4), choose.randbytes(4), (choose.randrange(65536), 5000))
    return GUEST + frame[6:]
