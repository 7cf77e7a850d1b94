# SPDX-License-Identifier: BSD-3-Clause
"""Guest memory as the engine sees it: only what is mapped for the access, and no crash when it has gone."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

import pytest

from device_model.ports import MemoryFault
from emulator.fastpath.engine import Engine
from emulator.fastpath.ports import NativeMemory
from emulator.vfu.device import DmaRegion

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = mmap.PAGESIZE
IOVA = 0x1_0000_0000


class Host:
    """Two pages of a file, mapped here."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("host")
        os.ftruncate(self.fd, 2 * PAGE)
        self.bytes = mmap.mmap(self.fd, 2 * PAGE)
        self.engine = Engine()
        self._view = self.engine.ffi.from_buffer(self.bytes)
        self.address = int(self.engine.ffi.cast("uintptr_t", self._view))
        self.memory = NativeMemory(self.engine)
        self.memory.enabled = True

    def map(self, iova: int, size: int, at: int = 0, *, mapped: int | None = None, writable: bool = True) -> None:
        whole = size if mapped is None else mapped
        self.memory.map(DmaRegion(iova, size, self.address + at, whole, readable=True, writable=writable))

    def close(self) -> None:
        self.engine.close()
        self.engine.ffi.release(self._view)
        self.bytes.close()
        os.close(self.fd)


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


def test_regions_that_adjoin_are_one_and_a_gap_is_none(host: Host) -> None:
    host.map(IOVA, PAGE, PAGE)
    host.map(IOVA + PAGE, PAGE, 0)
    host.memory.write(IOVA + PAGE - 3, b"abcdef")
    assert (host.bytes[2 * PAGE - 3 : 2 * PAGE], host.bytes[:3]) == (b"abc", b"def")
    assert host.memory.read(IOVA + PAGE - 3, 6) == b"abcdef"
    for iova, size in ((IOVA - 1, 2), (IOVA + 2 * PAGE - 1, 2), (0, 1), ((1 << 64) - 1, 2)):
        with pytest.raises(MemoryFault):
            host.memory.read(iova, size)
    host.memory.unmap(IOVA, PAGE)
    with pytest.raises(MemoryFault):
        host.memory.read(IOVA, 1)


def test_nothing_is_stored_unless_all_may_be(host: Host) -> None:
    host.map(IOVA, PAGE, 0)
    host.map(IOVA + PAGE, PAGE, PAGE, writable=False)
    with pytest.raises(MemoryFault):
        host.memory.write(IOVA + PAGE - 2, b"wxyz")
    assert host.bytes[PAGE - 2 : PAGE + 2] == bytes(4)
    assert host.memory.read(IOVA + PAGE, 4) == bytes(4)


def test_a_function_that_is_no_bus_master_reaches_nothing(host: Host) -> None:
    host.map(IOVA, PAGE)
    host.memory.enabled = False
    with pytest.raises(MemoryFault):
        host.memory.store64(IOVA, 1)


def test_a_region_that_is_not_all_there_ends_where_it_ends(host: Host) -> None:
    host.map(IOVA, 2 * PAGE, mapped=PAGE)
    host.map(IOVA + 2 * PAGE, PAGE, PAGE)
    assert host.memory.read(IOVA + PAGE - 1, 1) == b"\0"
    for iova, size in ((IOVA + PAGE, 1), (IOVA + PAGE - 1, PAGE + 2)):
        with pytest.raises(MemoryFault):
            host.memory.read(iova, size)


def test_memory_that_the_client_takes_away_is_a_fault_and_no_crash(host: Host) -> None:
    host.map(IOVA, 2 * PAGE)
    host.memory.store32(IOVA, 0x01020304)
    os.ftruncate(host.fd, 0)
    for act in (
        lambda: host.memory.read(IOVA, 8),
        lambda: host.memory.write(IOVA, b"gone"),
        lambda: host.memory.store64(IOVA, 1),
        lambda: host.memory.store32(IOVA, 1),
    ):
        with pytest.raises(MemoryFault):
            act()
    os.ftruncate(host.fd, 2 * PAGE)
    assert host.memory.read(IOVA, 4) == bytes(4)
