# SPDX-License-Identifier: BSD-3-Clause
"""Every message of the protocol, said properly."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import pytest

from tests.protocol import client as protocol
from tests.protocol.client import BAR0, BAR1, BAR2, BAR3, CONFIG, Client, Refused
from tests.protocol.fakes import COMMAND, COUNT_RESETS, RESULT

if TYPE_CHECKING:
    from tests.protocol.conftest import CardProcess


def test_version_is_negotiated_down_to_what_both_speak(card: CardProcess) -> None:
    with card.connect(negotiate=False) as client:
        major, minor, capabilities = client.negotiate(major=0, minor=7)
    assert (major, minor) == (0, 1)
    assert capabilities["max_msg_fds"] >= 8
    assert capabilities["max_data_xfer_size"] == 1 << 20


def test_version_without_capabilities_is_accepted(card: CardProcess) -> None:
    with card.connect(negotiate=False) as client:
        assert client.call(protocol.VERSION, struct.pack("<HH", 0, 0))[:4] == struct.pack("<HH", 0, 0)
        assert client.device_info()[1] == 10


def test_device_is_a_pci_device_that_can_be_reset(client: Client) -> None:
    assert client.device_info() == (0b11, 10, 5)


@pytest.mark.parametrize(
    ("index", "size"),
    [(BAR0, 0x20000), (BAR1, 0x20000), (BAR2, 32), (BAR3, 0x4000), (4, 0), (5, 0), (6, 0), (CONFIG, 4096)],
)
def test_regions_have_the_sizes_of_the_data_sheet(client: Client, index: int, size: int) -> None:
    info = client.region_info(index)
    assert info.size == size
    assert info.flags == (0b11 if size else 0)


@pytest.mark.parametrize(("index", "count"), [(0, 1), (1, 1), (2, 10), (3, 1), (4, 1)])
def test_interrupts_are_intx_msi_and_ten_msix_by_eventfd(client: Client, index: int, count: int) -> None:
    assert client.irq_info(index) == (1, count)


@pytest.mark.parametrize(("size", "value"), [(1, 0xA5), (2, 0xB1E5), (4, 0xC0FF_EE11), (8, 0x0123_4567_89AB_CDEF)])
def test_a_write_arrives_with_its_width_and_reads_back(client: Client, size: int, value: int) -> None:
    client.write(BAR0, 0x2818, 0xFFFF_FFFF_FFFF_FFFF, 8)
    client.write(BAR0, 0x2818, value, size)
    assert client.read(BAR0, 0x2818, size) == value
    assert client.read(BAR0, 0x2818, 8) == (0xFFFF_FFFF_FFFF_FFFF >> (8 * size) << (8 * size)) | value


def test_bars_do_not_share_storage(client: Client) -> None:
    for bar, value in ((BAR0, 0x1111_2222), (BAR1, 0x3333_4444), (BAR2, 0x5555_6666)):
        client.write(bar, 0x10, value)
    assert [client.read(bar, 0x10) for bar in (BAR0, BAR1, BAR2)] == [0x1111_2222, 0x3333_4444, 0x5555_6666]


def test_a_long_unaligned_transfer_keeps_every_byte(client: Client) -> None:
    data = bytes(range(251)) * 3
    client.write_bytes(BAR0, 0x1003, data)
    assert client.read_bytes(BAR0, 0x1003, len(data)) == data


def test_the_last_bytes_of_a_bar_can_be_reached(client: Client) -> None:
    client.write(BAR0, 0x1FFFC, 0x600D_CAFE)
    assert client.read(BAR0, 0x1FFFC) == 0x600D_CAFE


def test_posted_writes_take_effect_in_order_and_are_not_answered(client: Client) -> None:
    for value in range(500):
        client.post(BAR0, 0x40, struct.pack("<I", 0x1000 + value))
    assert client.read(BAR0, 0x40) == 0x1000 + 499


def test_a_failed_posted_write_is_not_answered_either(client: Client) -> None:
    client.post(BAR0, 0x20000, b"beyond the end")
    assert client.read(CONFIG, 0) == 0x10C9_8086


def test_a_transfer_of_no_bytes_does_nothing(client: Client) -> None:
    assert client.call(protocol.REGION_READ, struct.pack("<QII", 0x10, BAR0, 0)) == b""


def test_reset_reaches_the_nic_and_clears_configuration_space(client: Client) -> None:
    client.write(BAR0, COMMAND, COUNT_RESETS, 8)
    before = client.read(BAR0, RESULT, 8)
    client.write(CONFIG, 0x3C, 0x5B, 1)
    client.reset()
    assert client.read(CONFIG, 0x04, 2) == 0
    assert client.read(CONFIG, 0x3C, 1) == 0
    client.enable()
    client.write(BAR0, COMMAND, COUNT_RESETS, 8)
    assert client.read(BAR0, RESULT, 8) == before + 1


@pytest.mark.parametrize("command", [protocol.DMA_READ, protocol.DMA_WRITE, 15, 0, 0xFFFF, protocol.VERSION])
def test_commands_that_a_server_does_not_take_are_refused(client: Client, command: int) -> None:
    with pytest.raises(Refused) as refused:
        client.call(command, bytes(24))
    assert refused.value.errno == errno.EINVAL
    assert client.read(CONFIG, 0) == 0x10C9_8086


def test_dirty_page_logging_is_not_supported(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        client.call(protocol.DIRTY_PAGES, struct.pack("<II", 8, 1))
    assert refused.value.errno == errno.ENOTSUP


def test_a_bar_has_no_descriptors_to_map(client: Client) -> None:
    answer = client.call(protocol.GET_REGION_IO_FDS, struct.pack("<IIII", 16, 0, BAR0, 0))
    assert struct.unpack("<IIII", answer) == (16, 0, BAR0, 0)
