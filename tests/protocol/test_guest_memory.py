# SPDX-License-Identifier: BSD-3-Clause
"""DMA through the socket: what a client maps is what the card reaches, at once and no further."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from typing import TYPE_CHECKING

import pytest

from emulator.guest_memory import GuestMemory
from emulator.vfu.context import native
from emulator.vfu.device import DmaRegion
from tests.protocol import client as protocol
from tests.protocol.client import BAR0, CONFIG, READABLE, WRITABLE, Client, Refused
from tests.protocol.fakes import COMMAND, COPY, FAULTED, RESULT, SOURCE, STORE32, STORE64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.protocol.conftest import CardProcess

PAGE = 4096
LOW, HIGH = 0x10_0000, 0xFFFF_FFFF_FFFF_0000


class Memory:
    """A memfd of ``size`` bytes, mapped here too."""

    def __init__(self, size: int = 16 * PAGE) -> None:
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, size)
        self.data = mmap.mmap(self.fd, size)


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory()
    yield made
    os.close(made.fd)


def obey(client: Client, command: int, source: int = 0, target: int = 0, length: int = 0) -> int:
    client.write_bytes(BAR0, SOURCE, struct.pack("<QQQ", source, target, length))
    client.write(BAR0, COMMAND, command, 8)
    return client.read(BAR0, RESULT, 8)


@pytest.mark.parametrize("iova", [LOW, HIGH, 0])
def test_mapped_memory_is_read_and_written_where_it_lies(client: Client, memory: Memory, iova: int) -> None:
    client.dma_map(iova, 4 * PAGE, memory.fd, offset=2 * PAGE)
    text = bytes(range(1, 200))
    memory.data[2 * PAGE + 5 : 2 * PAGE + 5 + len(text)] = text
    assert obey(client, COPY, iova + 5, iova + 3 * PAGE + 7, len(text)) == COPY
    assert memory.data[5 * PAGE + 7 : 5 * PAGE + 7 + len(text)] == text
    assert memory.data[6 * PAGE :] == bytes(10 * PAGE), "nothing else may have changed"


def test_words_are_stored_little_endian(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, PAGE, memory.fd)
    assert obey(client, STORE64, 0x1122_3344_5566_7788, LOW + 16) == STORE64
    assert obey(client, STORE32, 0xA1B2_C3D4, LOW + 28) == STORE32
    assert memory.data[16:32] == bytes.fromhex("8877665544332211 00000000 d4c3b2a1")


def test_an_access_may_cross_adjoining_regions(client: Client, memory: Memory) -> None:
    client.dma_map(LOW + PAGE, PAGE, memory.fd, offset=7 * PAGE)
    client.dma_map(LOW, PAGE, memory.fd, offset=3 * PAGE)
    memory.data[4 * PAGE - 3 : 4 * PAGE] = b"abc"
    memory.data[7 * PAGE : 7 * PAGE + 3] = b"def"
    assert obey(client, COPY, LOW + PAGE - 3, LOW + 100, 6) == COPY
    assert memory.data[3 * PAGE + 100 : 3 * PAGE + 106] == b"abcdef"


def test_a_transfer_longer_than_the_scratch_buffer_is_whole(client: Client) -> None:
    memory = Memory(1 << 20)
    client.dma_map(LOW, 1 << 20, memory.fd)
    text = os.urandom(100_001)
    memory.data[: len(text)] = text
    assert obey(client, COPY, LOW, LOW + 0x80000, len(text)) == COPY
    assert memory.data[0x80000 : 0x80000 + len(text)] == text
    os.close(memory.fd)


@pytest.mark.parametrize(
    ("source", "length"),
    [(LOW - 1, 1), (LOW - 1, 2), (LOW + PAGE, 1), (LOW + PAGE - 1, 2), (0, 8), (HIGH, 8), ((1 << 64) - 4, 8)],
)
def test_memory_that_is_not_mapped_faults(client: Client, memory: Memory, source: int, length: int) -> None:
    client.dma_map(LOW, PAGE, memory.fd)
    assert obey(client, COPY, source, LOW, length) == FAULTED


def test_a_write_that_does_not_fit_stores_nothing(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, PAGE, memory.fd)
    memory.data[:16] = b"0123456789abcdef"
    assert obey(client, COPY, LOW, LOW + PAGE - 8, 16) == FAULTED
    assert memory.data[PAGE - 8 : PAGE + 8] == bytes(16)


def test_unmapping_takes_effect_at_once(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, PAGE, memory.fd)
    assert obey(client, STORE32, 7, LOW) == STORE32
    client.dma_unmap(LOW, PAGE)
    assert obey(client, STORE32, 9, LOW) == FAULTED
    assert memory.data[0] == 7
    client.dma_map(LOW, PAGE, memory.fd, offset=PAGE)
    assert obey(client, STORE32, 11, LOW) == STORE32
    assert (memory.data[0], memory.data[PAGE]) == (7, 11)


def test_unmapping_all_takes_everything(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, PAGE, memory.fd)
    client.dma_map(HIGH, PAGE, memory.fd)
    client.dma_unmap(0, 0, flags=2)
    assert obey(client, STORE32, 9, LOW) == FAULTED
    assert obey(client, STORE32, 9, HIGH) == FAULTED


def test_permissions_are_respected(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, PAGE, memory.fd, flags=READABLE)
    client.dma_map(HIGH, PAGE, memory.fd, offset=PAGE, flags=WRITABLE)
    assert obey(client, STORE64, 1, LOW) == FAULTED
    assert obey(client, COPY, HIGH, HIGH, 4) == FAULTED
    memory.data[:4] = b"read"
    assert obey(client, COPY, LOW, HIGH, 4) == COPY
    assert memory.data[PAGE : PAGE + 4] == b"read"


def test_memory_without_permissions_is_mapped_but_never_touched(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, PAGE, memory.fd, flags=0)
    assert obey(client, COPY, LOW, LOW, 4) == FAULTED


def test_a_region_without_descriptor_faults(client: Client) -> None:
    client.dma_map(LOW, PAGE)
    assert obey(client, STORE32, 1, LOW) == FAULTED
    client.dma_unmap(LOW, PAGE)


def test_without_bus_mastering_nothing_is_reached(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, PAGE, memory.fd)
    client.enable(protocol.COMMAND_MEMORY)
    assert obey(client, STORE32, 1, LOW) == FAULTED
    client.enable(protocol.COMMAND_MEMORY | protocol.COMMAND_MASTER)
    assert obey(client, STORE32, 1, LOW) == STORE32


def test_memory_survives_a_device_reset(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, PAGE, memory.fd)
    client.reset()
    client.enable()
    assert obey(client, STORE32, 5, LOW + 8) == STORE32
    assert memory.data[8] == 5


def test_memory_goes_with_the_client(card: CardProcess, memory: Memory) -> None:
    with card.connect() as first:
        first.dma_map(LOW, PAGE, memory.fd)
    with card.connect() as second:
        second.enable()
        assert obey(second, STORE32, 5, LOW) == FAULTED
        descriptors = card.descriptors()
    assert memory.data[0] == 0
    assert descriptors < 16


@pytest.mark.parametrize("command", [COPY, STORE32, STORE64])
def test_a_file_shorter_than_its_region_faults_and_kills_nobody(client: Client, command: int) -> None:
    memory = Memory(2 * PAGE)
    client.dma_map(LOW, 8 * PAGE, memory.fd)
    assert obey(client, command, 0x1234, LOW + 4 * PAGE, 8) == FAULTED
    assert obey(client, STORE32, 0x77, LOW + PAGE) == STORE32
    assert memory.data[PAGE] == 0x77
    os.close(memory.fd)


def test_a_file_that_is_truncated_later_faults_and_kills_nobody(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, 16 * PAGE, memory.fd)
    assert obey(client, COPY, LOW + 15 * PAGE, LOW, 64) == COPY
    os.ftruncate(memory.fd, PAGE)
    assert obey(client, COPY, LOW + 15 * PAGE, LOW, 64) == FAULTED
    assert obey(client, COPY, LOW, LOW + PAGE - 32, 64) == FAULTED, "even where only the second half has gone"
    assert obey(client, COPY, LOW, LOW + 64, 64) == COPY


def test_an_offset_inside_a_page_reaches_the_whole_region(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, PAGE, memory.fd, offset=0x800)
    assert obey(client, STORE64, 0x0807_0605_0403_0201, LOW + PAGE - 8) == STORE64
    assert memory.data[PAGE + 0x7F8 : PAGE + 0x800] == bytes(range(1, 9))


def test_words_in_a_region_at_an_odd_address_are_stored_all_the_same(client: Client, memory: Memory) -> None:
    client.dma_map(LOW, PAGE, memory.fd, offset=0x803)
    assert obey(client, STORE64, 0x0807_0605_0403_0201, LOW + 8) == STORE64
    assert memory.data[0x80B:0x813] == bytes(range(1, 9))


def test_more_regions_than_libvfio_user_had_room_for_can_be_mapped(client: Client, memory: Memory) -> None:
    for page in range(200):
        client.dma_map(LOW + 2 * PAGE * page, PAGE, memory.fd, offset=(page % 16) * PAGE)
    assert obey(client, STORE32, 0x5A, LOW + 2 * PAGE * 199 + 4) == STORE32
    assert memory.data[7 * PAGE + 4] == 0x5A
    assert obey(client, STORE32, 1, LOW + PAGE) == FAULTED
    for page in range(200):
        client.dma_unmap(LOW + 2 * PAGE * page, PAGE)


def test_mapping_the_same_again_is_accepted_and_leaks_nothing(
    card: CardProcess, client: Client, memory: Memory
) -> None:
    client.dma_map(LOW, PAGE, memory.fd)
    before = card.descriptors()
    for _ in range(20):
        client.dma_map(LOW, PAGE, memory.fd)
    client.read(CONFIG, 0)
    assert card.descriptors() == before
    client.dma_unmap(LOW, PAGE)
    assert obey(client, STORE32, 1, LOW) == FAULTED


def map_body(iova: int, size: int, *, argsz: int = 32, flags: int = 3, offset: int = 0) -> bytes:
    return struct.pack("<IIQQQ", argsz, flags, offset, iova, size)


@pytest.mark.parametrize(
    "body",
    [
        map_body(LOW, PAGE, argsz=31),
        map_body(LOW, PAGE, flags=7),
        map_body(LOW, PAGE, flags=0xFFFF_FFFF),
        map_body(LOW, 0),
        map_body(HIGH, 0x1_0001),
        map_body(LOW, PAGE, offset=1 << 63),
    ],
    ids=["argsz", "flag", "flags", "empty", "wraps", "offset"],
)
def test_a_map_that_cannot_be_is_refused(client: Client, memory: Memory, body: bytes) -> None:
    before = client
    with pytest.raises(Refused):
        before.call(protocol.DMA_MAP, body, (memory.fd,))
    assert obey(client, STORE32, 1, LOW) == FAULTED


def test_a_map_larger_than_any_machine_is_refused(client: Client, memory: Memory) -> None:
    with pytest.raises(Refused) as refused:
        client.dma_map(0, 1 << 50, memory.fd)
    assert refused.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("iova", "size"), [(LOW + PAGE, PAGE), (LOW - PAGE, 2 * PAGE), (LOW - PAGE, 9 * PAGE), (LOW, PAGE)]
)
def test_an_overlapping_map_is_refused_and_the_first_stays(
    client: Client, memory: Memory, iova: int, size: int
) -> None:
    client.dma_map(LOW, 4 * PAGE, memory.fd)
    with pytest.raises(Refused) as refused:
        client.dma_map(iova, size, memory.fd, offset=PAGE)
    assert refused.value.errno == errno.EINVAL
    assert obey(client, STORE32, 3, LOW + PAGE) == STORE32
    assert memory.data[PAGE] == 3


def test_a_descriptor_that_cannot_be_mapped_is_refused_and_closed(card: CardProcess, client: Client) -> None:
    before = card.descriptors()
    eventfd = os.eventfd(0)
    for _ in range(5):
        with pytest.raises(Refused):
            client.dma_map(LOW, PAGE, eventfd)
    client.read(CONFIG, 0)
    assert card.descriptors() == before
    os.close(eventfd)


@pytest.mark.parametrize(("iova", "size"), [(LOW, 2 * PAGE), (LOW + PAGE, PAGE), (HIGH, PAGE)])
def test_unmapping_what_is_not_mapped_is_refused(client: Client, memory: Memory, iova: int, size: int) -> None:
    client.dma_map(LOW, PAGE, memory.fd)
    with pytest.raises(Refused) as refused:
        client.dma_unmap(iova, size)
    assert refused.value.errno == errno.ENOENT
    assert obey(client, STORE32, 3, LOW) == STORE32


@pytest.mark.parametrize("flags", [1, 3, 4, 0xFFFF_FFFF])
def test_unmapping_with_flags_that_make_no_sense_is_refused(client: Client, memory: Memory, flags: int) -> None:
    client.dma_map(LOW, PAGE, memory.fd)
    bitmap = struct.pack("<QQ", PAGE, 1 << 62)
    with pytest.raises(Refused):
        client.call(protocol.DMA_UNMAP, struct.pack("<IIQQ", 1 << 16, flags, LOW, PAGE) + bitmap)
    assert obey(client, STORE32, 3, LOW) == STORE32


def test_a_region_announced_again_replaces_the_one_in_use() -> None:
    ffi = native().ffi
    old, new = (ffi.new("unsigned char[]", bytes([filler]) * PAGE) for filler in (0xAA, 0xBB))
    memory = GuestMemory()
    memory.enabled = True
    for buffer, found in ((old, b"\xaa\xaa"), (new, b"\xbb\xbb")):
        memory.map(DmaRegion(LOW, PAGE, int(ffi.cast("uintptr_t", buffer)), PAGE, readable=True, writable=True))
        assert memory.read(LOW + 5, 2) == found
