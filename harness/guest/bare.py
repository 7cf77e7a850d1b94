# SPDX-License-Identifier: BSD-3-Clause
"""The card without its driver: a program of the guest works registers and rings itself, beside the driver.

It takes what igb leaves alone whatever the number of CPUs: queue SPARE_QUEUE and vector SPARE_VECTOR.
"""

from __future__ import annotations

import base64
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import NotSeen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from device_model.declare import Register
    from harness.guest.agent import Agent

SPARE_QUEUE = 9
"""igb uses at most queues 0 to 7 each way (igb_get_max_rss_queues)."""

SPARE_VECTOR = 9
"""The last of the MSI-X table's ten: igb never asks for more than nine without virtual functions."""

PAGE = 4096
PATIENCE_S = 5.0


def offset(reg: type[Register], n: int = 0) -> int:
    """Return where element ``n`` lies in the register window."""
    return reg.at + n * reg.stride


class Registers:
    """The card's registers, as a program of the guest maps them (sysfs, resource0)."""

    def __init__(self, agent: Agent, interface: str) -> None:
        self._agent = agent
        self.path = f"/sys/class/net/{interface}/device/resource0"

    def do(self, *steps: Sequence[int]) -> list[int]:
        """Do the steps in one go, see Bare.mmio; return what they read."""
        return [int(value) for value in self._agent.call("mmio", path=self.path, steps=[list(s) for s in steps])]

    def read(self, reg: type[Register], n: int = 0) -> int:
        """Return the value of a register."""
        (value,) = self.do((offset(reg, n),))
        return value

    def write(self, reg: type[Register], value: int, n: int = 0) -> None:
        """Write a register."""
        self.do((offset(reg, n), value))

    def wait(self, reg: type[Register], mask: int, wanted: int, n: int = 0) -> int:
        """Wait until the bits of ``mask`` are ``wanted``. Raises NotSeen with what the register shows instead."""
        (value,) = self.do((offset(reg, n), mask, wanted, round(PATIENCE_S * 1000)))
        if value & mask != wanted:
            raise NotSeen(
                f"{reg.title(n)} & {mask:#x} must become {wanted:#x}, and is {value & mask:#x} ({value:#010x})"
            )
        return value

    @contextmanager
    def kept(self, *places: tuple[type[Register], int]) -> Iterator[None]:
        """Write back what the registers (and element numbers) hold now, at the end of the block."""
        before = self.do(*((offset(reg, n),) for reg, n in places))
        try:
            yield
        finally:
            self.do(*((offset(reg, n), value) for (reg, n), value in zip(places, before, strict=True)))


@dataclass(frozen=True, slots=True)
class Block:
    """Memory of the guest, and the addresses at which the card finds its pages."""

    agent: Agent
    handle: int
    pages: tuple[int, ...]

    def address(self, at: int) -> int:
        """Return where the card finds the byte at ``at``; what follows it on the page is behind it."""
        return self.pages[at // PAGE] + at % PAGE

    def store(self, at: int, data: bytes) -> None:
        """Store bytes."""
        self.agent.call("block_store", handle=self.handle, at=at, data=base64.b64encode(data).decode("ascii"))

    def load(self, at: int, size: int) -> bytes:
        """Return bytes."""
        return base64.b64decode(self.agent.call("block_load", handle=self.handle, at=at, size=size))


@contextmanager
def block(agent: Agent, pages: int) -> Iterator[Block]:
    """Own ``pages`` of memory until the end of the block; whoever told the card must take it back."""
    handle, addresses = agent.call("block_open", pages=pages)
    try:
        yield Block(agent, handle, tuple(addresses))
    finally:
        agent.call("block_close", handle=handle)
