# SPDX-License-Identifier: BSD-3-Clause
"""Doorbells without a trap: what a guest writes into the page is found, and what the card changes is shown there."""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

import pytest

from device_model.events import RegisterWritten
from device_model.igb.spec.general import CTRL
from device_model.igb.spec.transmit import TDBAL, TDH, TDLEN, TDT, TXDCTL
from device_model.nic import Reset
from emulator.assembly import DOORBELL_PAGE
from tests.fastpath.world import NativeWorld
from tests.model.igb.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from device_model.declare import Register

BAR0 = 0x20000


class Page:
    """A world whose guest maps the page: ``driver`` writes to it, and traps everywhere else."""

    def __init__(self, memory: mmap.mmap, fd: int) -> None:
        self.memory = memory
        self.world = NativeWorld()
        assert self.world.engine.lib.fp_shared_open(self.world.engine.e, fd)
        self.driver = Driver(self.world)

    def get(self, reg: type[Register], queue: int = 0) -> int:
        return int(struct.unpack_from("<I", self.memory, self._at(reg, queue))[0])

    def put(self, reg: type[Register], value: int, queue: int = 0) -> None:
        struct.pack_into("<I", self.memory, self._at(reg, queue), value)

    @staticmethod
    def _at(reg: type[Register], queue: int) -> int:
        offset = reg.aliases[0][0] + queue * reg.aliases[0][2]
        assert offset in DOORBELL_PAGE
        return offset

    def look(self) -> None:
        """Wake as the loop does."""
        self.world.engine.lib.fp_look_at_tails(self.world.engine.e)
        self.world.clock.advance(1_000_000)


@pytest.fixture
def page() -> Iterator[Page]:
    fd = os.memfd_create("bar0")
    os.ftruncate(fd, BAR0)
    with mmap.mmap(fd, BAR0) as memory:
        yield Page(memory, fd)
    os.close(fd)


def test_a_tail_in_the_page_sends_what_it_hands_over(page: Page) -> None:
    driver = page.driver
    driver.up()
    last = driver.send(1, bytes(12) + b"\x88\xb5" + bytes(46), ring=False)
    page.put(TDT, driver.tx_tail[1], 1)
    page.look()
    assert len(page.world.cable.frames) == 1
    assert driver.done(1, last)
    assert [event.register for event in page.world.take(RegisterWritten)][-1:] == ["TDT[1]"]  # type: ignore[attr-defined]


def test_the_page_shows_what_the_registers_are(page: Page) -> None:
    driver = page.driver
    driver.up()
    assert (page.get(TDLEN), page.get(TDBAL, 1)) == (driver.slots * 16, driver.tx_ring(1) & 0xFFFF_FFFF)
    driver.send(0, bytes(12) + b"\x88\xb5" + bytes(46))
    page.world.clock.advance(1_000_000)
    page.world.read(CTRL.at)
    assert (page.get(TDT), page.get(TDH)) == (1, 1)
    page.world.nic.reset(Reset.FUNCTION_LEVEL)
    assert (page.get(TDT), page.get(TDLEN), page.get(TXDCTL)) == (0, 0, TXDCTL.resets[0])


def test_rules_hold_from_the_next_look_on(page: Page) -> None:
    page.put(TDBAL, 0xFFFF_FFFF)
    page.put(TDT, 7, 1)
    page.world.read(CTRL.at)  # an access that traps looks at the whole page first
    assert page.get(TDBAL) == TDBAL.mask()
    assert page.get(TDT, 1) == 0, "a queue that is off takes no tail"


def test_a_queue_is_switched_on_in_the_page_and_takes_the_tail_that_came_with_it(page: Page) -> None:
    driver = page.driver
    driver.up()
    page.put(TXDCTL, 0)
    page.world.read(CTRL.at)
    driver.tx_tail[0] = 0
    driver.send(0, bytes(12) + b"\x88\xb5" + bytes(46), ring=False)
    page.put(TDT, 1)
    page.put(TXDCTL, TXDCTL.enable.mask)
    page.world.read(CTRL.at)
    page.world.clock.advance(1_000_000)
    assert len(page.world.cable.frames) == 1


def test_a_function_that_does_not_decode_takes_nothing_from_the_page(page: Page) -> None:
    driver = page.driver
    driver.up()
    driver.send(0, bytes(12) + b"\x88\xb5" + bytes(46), ring=False)
    page.world.engine.e.decodes = False
    page.put(TDT, driver.tx_tail[0])
    page.look()
    assert not page.world.cable.frames
