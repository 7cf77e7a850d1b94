# SPDX-License-Identifier: BSD-3-Clause
"""MSI-X, MSI and INTx through the socket, to eventfds as QEMU connects them."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest

from tests.protocol import client as protocol
from tests.protocol.client import (
    ACTION_TRIGGER,
    BAR0,
    BAR3,
    CONFIG,
    DATA_BOOL,
    DATA_EVENTFD,
    DATA_NONE,
    INTX,
    MSI,
    MSIX,
    Client,
)
from tests.protocol.fakes import COMMAND, COUNT_CHANGES, INTX_OFF, INTX_ON, RESULT, SEND, SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.protocol.conftest import CardProcess

MSI_CONTROL, MSI_MASK, MSIX_CONTROL = 0x52, 0x60, 0x72
MSI_ENABLE, MSIX_ENABLE = 1, 0x8000


@pytest.fixture
def bells() -> Iterator[tuple[int, ...]]:
    fds = tuple(os.eventfd(0, os.EFD_NONBLOCK) for _ in range(10))
    yield fds
    for fd in fds:
        os.close(fd)


def rings(fd: int) -> int:
    """Return how often ``fd`` was signalled since the last call."""
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


def obey(client: Client, command: int, vector: int = 0) -> int:
    client.write(BAR0, SOURCE, vector, 8)
    client.write(BAR0, COMMAND, command, 8)
    return client.read(BAR0, RESULT, 8)


def heard(bells: tuple[int, ...]) -> dict[int, int]:
    return {index: count for index, fd in enumerate(bells) if (count := rings(fd))}


def test_each_msix_vector_rings_its_own_bell(client: Client, bells: tuple[int, ...]) -> None:
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    client.connect_eventfds(MSIX, bells[:6])
    client.connect_eventfds(MSIX, bells[6:], start=6)
    for vector in (9, 0, 4, 4, 7):
        obey(client, SEND, vector)
    assert heard(bells) == {0: 1, 4: 2, 7: 1, 9: 1}


def test_a_vector_past_the_table_rings_nothing(client: Client, bells: tuple[int, ...]) -> None:
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    client.connect_eventfds(MSIX, bells)
    for vector in (10, 31, 1 << 40):
        assert obey(client, SEND, vector) == SEND
    assert heard(bells) == {}


def test_a_vector_without_bell_is_harmless(client: Client, bells: tuple[int, ...]) -> None:
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    client.connect_eventfds(MSIX, bells[3:4], start=3)
    assert obey(client, SEND, 2) == SEND
    obey(client, SEND, 3)
    assert heard(bells) == {3: 1}


def test_no_message_leaves_while_no_message_scheme_is_on(client: Client, bells: tuple[int, ...]) -> None:
    client.connect_eventfds(MSIX, bells)
    obey(client, SEND, 1)
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    obey(client, SEND, 2)
    client.write(CONFIG, MSIX_CONTROL, 0, 2)
    obey(client, SEND, 3)
    assert heard(bells) == {2: 1}


def test_no_message_leaves_without_bus_mastering(client: Client, bells: tuple[int, ...]) -> None:
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    client.connect_eventfds(MSIX, bells)
    client.enable(protocol.COMMAND_MEMORY)
    obey(client, SEND, 5)
    assert heard(bells) == {}


def test_disconnecting_some_vectors_leaves_the_others(client: Client, bells: tuple[int, ...]) -> None:
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    client.connect_eventfds(MSIX, bells)
    client.set_irqs(DATA_EVENTFD | ACTION_TRIGGER, MSIX, 5, 3)  # no descriptors: QEMU's way to say -1
    for vector in range(10):
        obey(client, SEND, vector)
    assert heard(bells) == dict.fromkeys((0, 1, 2, 3, 4, 8, 9), 1)
    client.set_irqs(DATA_NONE | ACTION_TRIGGER, MSIX, 0, 0)
    for vector in range(10):
        obey(client, SEND, vector)
    assert heard(bells) == {}


def test_a_client_can_ring_bells_itself(client: Client, bells: tuple[int, ...]) -> None:
    client.connect_eventfds(MSIX, bells)
    client.set_irqs(DATA_BOOL | ACTION_TRIGGER, MSIX, 3, 3, data=b"\1\0\1")
    client.set_irqs(DATA_NONE | ACTION_TRIGGER, MSIX, 8, 2)
    assert heard(bells) == {3: 1, 5: 1, 8: 1, 9: 1}


def test_err_and_req_have_bells_of_their_own(client: Client, bells: tuple[int, ...]) -> None:
    """QEMU connects INTx first, then ERR and REQ; INTx must still ring INTx's bell."""
    client.connect_eventfds(INTX, bells[:1])
    client.connect_eventfds(protocol.ERR, bells[1:2])
    client.connect_eventfds(protocol.REQ, bells[2:3])
    obey(client, INTX_ON)
    assert heard(bells) == {0: 1}
    client.set_irqs(DATA_NONE | ACTION_TRIGGER, protocol.ERR, 0, 1)
    client.set_irqs(DATA_BOOL | ACTION_TRIGGER, protocol.REQ, 0, 1, data=b"\1")
    assert heard(bells) == {1: 1, 2: 1}
    client.connect_eventfds(protocol.ERR, bells[3:4])
    client.set_irqs(DATA_NONE | ACTION_TRIGGER, protocol.REQ, 0, 0)
    client.set_irqs(DATA_NONE | ACTION_TRIGGER, protocol.ERR, 0, 1)
    client.set_irqs(DATA_NONE | ACTION_TRIGGER, protocol.REQ, 0, 1)
    assert heard(bells) == {3: 1}


def test_a_bell_that_is_full_or_none_at_all_blocks_nobody(client: Client, bells: tuple[int, ...]) -> None:
    reader, writer = os.pipe()
    full = os.eventfd((1 << 32) - 1)
    os.eventfd_write(full, (1 << 64) - 2 - ((1 << 32) - 1))
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    client.connect_eventfds(MSIX, (full, writer, reader, bells[3]))
    for _ in range(10_000):
        client.post(BAR0, SOURCE, struct.pack("<Q", 1))
        client.post(BAR0, COMMAND, struct.pack("<Q", SEND))
    for vector in (0, 1, 2, 3):
        assert obey(client, SEND, vector) == SEND
    assert heard(bells) == {3: 1}
    for fd in (reader, writer, full):
        os.close(fd)


def test_messages_masked_by_the_client_wait_for_its_unmask(client: Client, bells: tuple[int, ...]) -> None:
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    client.connect_eventfds(MSIX, bells)
    client.mask(MSIX, start=4, count=2)
    for vector in (3, 4, 4, 5):
        obey(client, SEND, vector)
    assert heard(bells) == {3: 1}
    assert client.read(BAR3, 0x2000, 8) == 0b11_0000, "the pending bits"
    client.unmask(MSIX, start=4, count=1)
    assert heard(bells) == {4: 1}
    assert client.read(BAR3, 0x2000) == 0b10_0000


def test_msi_has_one_message(client: Client, bells: tuple[int, ...]) -> None:
    client.write(CONFIG, MSI_CONTROL, MSI_ENABLE, 2)
    client.connect_eventfds(MSI, bells[:1])
    obey(client, SEND, 1)
    obey(client, SEND, 0)
    assert heard(bells) == {0: 1}


def test_a_masked_msi_waits_and_is_sent_once(client: Client, bells: tuple[int, ...]) -> None:
    client.write(CONFIG, MSI_CONTROL, MSI_ENABLE, 2)
    client.connect_eventfds(MSI, bells[:1])
    client.write(CONFIG, MSI_MASK, 1)
    obey(client, SEND, 0)
    obey(client, SEND, 0)
    assert heard(bells) == {}
    client.write(CONFIG, MSI_MASK, 0)
    assert heard(bells) == {0: 1}


def test_intx_rings_once_and_again_after_the_unmask_while_asserted(client: Client, bells: tuple[int, ...]) -> None:
    bell = bells[:1]
    client.connect_eventfds(INTX, bell)
    obey(client, INTX_ON)
    obey(client, INTX_ON)
    assert heard(bell) == {0: 1}
    client.unmask(INTX)
    assert heard(bell) == {0: 1}, "still asserted: it must ring again"
    obey(client, INTX_OFF)
    client.unmask(INTX)
    assert heard(bell) == {}, "deasserted: silence"
    obey(client, INTX_ON)
    assert heard(bell) == {0: 1}


def test_an_edge_that_comes_before_the_unmask_is_not_lost(client: Client, bells: tuple[int, ...]) -> None:
    bell = bells[:1]
    client.connect_eventfds(INTX, bell)
    obey(client, INTX_ON)
    assert heard(bell) == {0: 1}
    obey(client, INTX_OFF)
    obey(client, INTX_ON)
    assert heard(bell) == {}, "the client has masked the line since the first ring"
    client.unmask(INTX)
    assert heard(bell) == {0: 1}


def test_a_line_that_was_asserted_first_rings_when_the_bell_comes(client: Client, bells: tuple[int, ...]) -> None:
    obey(client, INTX_ON)
    client.connect_eventfds(INTX, bells[:1])
    assert heard(bells) == {0: 1}


def test_intx_shows_in_the_status_register_and_obeys_the_disable_bit(client: Client, bells: tuple[int, ...]) -> None:
    client.connect_eventfds(INTX, bells[:1])
    client.enable(7 | protocol.COMMAND_INTX_DISABLE)
    obey(client, INTX_ON)
    assert heard(bells) == {}
    assert client.read(CONFIG, 0x06, 2) & 8
    client.enable(7)
    assert heard(bells) == {0: 1}
    obey(client, INTX_OFF)
    assert not client.read(CONFIG, 0x06, 2) & 8


def test_intx_is_silent_while_messages_are_on(client: Client, bells: tuple[int, ...]) -> None:
    client.connect_eventfds(MSIX, bells)
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    obey(client, INTX_ON)
    assert heard(bells) == {}


def test_the_nic_hears_of_every_change_of_scheme_and_of_nothing_else(client: Client) -> None:
    before = obey(client, COUNT_CHANGES)
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    client.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
    client.write(CONFIG, 0x3C, 0x0B, 1)
    assert obey(client, COUNT_CHANGES) == before + 1
    client.write(CONFIG, MSIX_CONTROL, 0, 2)
    client.write(CONFIG, MSI_CONTROL, MSI_ENABLE, 2)
    assert obey(client, COUNT_CHANGES) == before + 3


def test_the_next_client_inherits_neither_bells_nor_masks(card: CardProcess, bells: tuple[int, ...]) -> None:
    with card.connect() as first:
        first.enable()
        first.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
        first.connect_eventfds(MSIX, bells)
        first.mask(MSIX, start=0, count=10)
        obey(first, SEND, 2)
    with card.connect() as second:
        second.enable()
        assert second.read(CONFIG, MSIX_CONTROL, 2) == 9
        second.write(CONFIG, MSIX_CONTROL, MSIX_ENABLE, 2)
        obey(second, SEND, 2)
        assert heard(bells) == {}
        second.connect_eventfds(MSIX, bells)
        obey(second, SEND, 2)
        assert heard(bells) == {2: 1}
