# SPDX-License-Identifier: BSD-3-Clause
"""Clients that talk nonsense: each is answered or dropped, and the next client is served as if nothing had been.

The ``card`` fixture checks the latter after every test.
"""

from __future__ import annotations

import errno
import os
import random
import struct
import time
from typing import TYPE_CHECKING

import pytest

from tests.protocol import client as protocol
from tests.protocol.client import (
    ACTION_MASK,
    ACTION_TRIGGER,
    ACTION_UNMASK,
    BAR0,
    CONFIG,
    DATA_BOOL,
    DATA_EVENTFD,
    DATA_NONE,
    HEADER,
    MSIX,
    Client,
    HungUp,
    Refused,
)

if TYPE_CHECKING:
    from tests.protocol.conftest import CardProcess

IRQS = struct.Struct("<IIIII")


def refuses(client: Client, command: int, body: bytes, number: int = errno.EINVAL, fds: tuple[int, ...] = ()) -> None:
    with pytest.raises(Refused) as refused:
        client.call(command, body, fds)
    assert refused.value.errno == number
    assert client.read(CONFIG, 0) == 0x10C9_8086, "the connection must survive"


# -- the first message --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<HH", 1, 0),
        struct.pack("<HH", 0xFFFF, 0) + b"{}\0",
        b"\0\0",
        struct.pack("<HH", 0, 1) + b'{"capabilities":{}}',
        struct.pack("<HH", 0, 1) + b"\xff\xfe nonsense\0",
        struct.pack("<HH", 0, 1) + b'{"capabilities":5}\0',
        struct.pack("<HH", 0, 1) + b'{"capabilities":{"max_msg_fds":"many"}}\0',
        struct.pack("<HH", 0, 1) + b'{"capabilities":{"max_msg_fds":-1}}\0',
        struct.pack("<HH", 0, 1) + b'{"capabilities":{"max_msg_fds":99999}}\0',
        struct.pack("<HH", 0, 1) + b'{"capabilities":' * 200 + b"\0",
    ],
    ids=["major", "major-most", "short", "no-nul", "no-json", "not-object", "text", "negative", "many", "deep"],
)
def test_a_bad_version_is_refused_and_the_connection_ends(card: CardProcess, body: bytes) -> None:
    with card.connect(negotiate=False) as client:
        with pytest.raises(Refused) as refused:
            client.call(protocol.VERSION, body)
        assert refused.value.errno == errno.EINVAL
        assert client.hung_up()


def test_a_first_message_that_is_no_version_ends_the_connection(card: CardProcess) -> None:
    with card.connect(negotiate=False) as client:
        with pytest.raises(Refused):
            client.call(protocol.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0))
        assert client.hung_up()


def test_a_client_that_says_nothing_is_dropped_in_seconds(card: CardProcess) -> None:
    with card.connect(negotiate=False) as client:
        before = time.monotonic()
        assert client.hung_up()
        assert time.monotonic() - before < 8


def test_a_client_that_leaves_at_once_is_forgotten(card: CardProcess) -> None:
    for _ in range(20):
        card.connect(negotiate=False).close()


# -- headers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 15, 0x20_0000, 0xFFFF_FFFF])
def test_an_impossible_size_ends_the_connection(card: CardProcess, size: int) -> None:
    with card.connect() as client:
        client.send_raw(HEADER.pack(9, protocol.GET_INFO, size, 0, 0) + bytes(16))
        answer = client.receive()
        assert (answer.number, answer.errno) == (9, errno.EINVAL)
        assert client.hung_up()


def test_a_reply_that_nobody_asked_for_ends_the_connection(card: CardProcess) -> None:
    with card.connect() as client:
        client.send_raw(HEADER.pack(9, protocol.GET_INFO, HEADER.size + 16, protocol.REPLY, 0) + bytes(16))
        assert client.receive().errno == errno.EINVAL
        assert client.hung_up()


def test_half_a_header_ends_the_connection(card: CardProcess) -> None:
    with card.connect() as client:
        client.send_raw(b"half")
        assert client.hung_up()


def test_a_body_that_does_not_come_ends_the_connection_in_seconds(card: CardProcess) -> None:
    with card.connect() as client:
        client.send_raw(HEADER.pack(9, protocol.REGION_READ, HEADER.size + 16, 0, 0) + b"half")
        before = time.monotonic()
        assert client.hung_up()
        assert time.monotonic() - before < 8


def test_a_client_that_leaves_in_the_middle_of_a_message_is_forgotten(card: CardProcess) -> None:
    with card.connect() as client:
        client.send_raw(HEADER.pack(9, protocol.REGION_WRITE, HEADER.size + 4096, 0, 0) + b"half")


def test_a_client_that_reads_no_answers_does_not_hold_the_card_for_ever(card: CardProcess) -> None:
    def ask_for_ever(client: Client) -> None:
        read = struct.pack("<QII", 0, BAR0, 0x20000)
        while True:
            client.send(protocol.REGION_READ, read)

    with card.connect(patience_s=0.5) as client, pytest.raises((TimeoutError, OSError)):
        ask_for_ever(client)


@pytest.mark.parametrize("command", [c for c in range(1, 15) if c != protocol.DEVICE_RESET])
def test_a_message_without_body_is_refused(card: CardProcess, command: int) -> None:
    with card.connect() as client:
        refuses(client, command, b"")


@pytest.mark.parametrize("command", [c for c in range(2, 15) if c != protocol.DEVICE_RESET])
@pytest.mark.parametrize("size", [1, 4, 7])
def test_a_message_that_is_too_short_is_refused(card: CardProcess, command: int, size: int) -> None:
    with card.connect() as client:
        refuses(client, command, b"\xff" * size)


def test_descriptors_where_none_belong_are_closed(card: CardProcess) -> None:
    with card.connect() as client:
        before = card.descriptors()
        fds = tuple(os.eventfd(0) for _ in range(8))
        for _ in range(10):
            client.send(protocol.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0), fds=fds)
            client.receive()
        client.read(CONFIG, 0)  # the descriptors of a message are closed after its answer
        assert card.descriptors() == before
        for fd in fds:
            os.close(fd)


# -- regions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", [4, 5, 6, 8, 9, 10, 0xFFFF_FFFF])
@pytest.mark.parametrize("command", [protocol.REGION_READ, protocol.REGION_WRITE])
def test_a_region_that_is_not_there_is_refused(card: CardProcess, region: int, command: int) -> None:
    with card.connect() as client:
        data = bytes(4) if command == protocol.REGION_WRITE else b""
        refuses(client, command, struct.pack("<QII", 0, region, 4) + data)


@pytest.mark.parametrize("offset", [0x1FFFD, 0x20000, 1 << 40, (1 << 64) - 4, (1 << 64) - 1])
@pytest.mark.parametrize("command", [protocol.REGION_READ, protocol.REGION_WRITE])
def test_an_access_past_the_end_is_refused(card: CardProcess, offset: int, command: int) -> None:
    with card.connect() as client:
        data = bytes(4) if command == protocol.REGION_WRITE else b""
        refuses(client, command, struct.pack("<QII", offset, BAR0, 4) + data)


@pytest.mark.parametrize("count", [0x20001, 0x10_0001, 0xFFFF_FFFF])
def test_an_absurd_count_is_refused(card: CardProcess, count: int) -> None:
    with card.connect() as client:
        refuses(client, protocol.REGION_READ, struct.pack("<QII", 0, BAR0, count))
        refuses(client, protocol.REGION_WRITE, struct.pack("<QII", 0, BAR0, count) + bytes(4))


def test_a_write_with_less_data_than_it_says_is_refused(card: CardProcess) -> None:
    with card.connect() as client:
        refuses(client, protocol.REGION_WRITE, struct.pack("<QII", 0, BAR0, 8) + bytes(7))


@pytest.mark.parametrize("command", [protocol.GET_INFO, protocol.GET_REGION_INFO, protocol.GET_IRQ_INFO])
def test_a_reply_size_that_is_too_small_is_refused(card: CardProcess, command: int) -> None:
    with card.connect() as client:
        refuses(client, command, struct.pack("<IIIIQQ", 8, 0, 0, 0, 0, 0))


def test_indexes_out_of_range_are_refused(card: CardProcess) -> None:
    with card.connect() as client:
        refuses(client, protocol.GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, 10, 0, 0, 0))
        refuses(client, protocol.GET_IRQ_INFO, struct.pack("<IIII", 16, 0, 5, 0))
        refuses(client, protocol.GET_REGION_IO_FDS, struct.pack("<IIII", 16, 0, 10, 0))


# -- interrupts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "index", "start", "count"),
    [
        (DATA_EVENTFD | ACTION_TRIGGER, 5, 0, 1),
        (DATA_EVENTFD | ACTION_TRIGGER, 0xFFFF_FFFF, 0, 1),
        (DATA_EVENTFD | ACTION_TRIGGER, MSIX, 10, 1),
        (DATA_EVENTFD | ACTION_TRIGGER, MSIX, 1, 10),
        (DATA_EVENTFD | ACTION_TRIGGER, MSIX, 9, 0xFFFF_FFFF),
        (DATA_NONE | ACTION_TRIGGER, MSIX, 3, 0xFFFF_FFFF),
        (DATA_NONE | ACTION_UNMASK, MSIX, 3, 0xFFFF_FFFE),
        (DATA_NONE | ACTION_MASK, MSIX, 0xFFFF_FFFF, 1),
        (DATA_NONE | ACTION_MASK, MSIX, 0, 0),
        (DATA_NONE | ACTION_MASK, protocol.ERR, 0, 1),
        (DATA_EVENTFD | ACTION_TRIGGER, protocol.REQ, 0, 2),
        (DATA_NONE | DATA_BOOL | ACTION_TRIGGER, MSIX, 0, 1),
        (DATA_NONE | ACTION_MASK | ACTION_UNMASK, MSIX, 0, 1),
        (DATA_BOOL | ACTION_TRIGGER, MSIX, 0, 4),
        (0, MSIX, 0, 1),
        (0xFFFF_FFFF, MSIX, 0, 1),
    ],
)
def test_interrupts_that_are_not_there_are_refused(
    card: CardProcess, flags: int, index: int, start: int, count: int
) -> None:
    with card.connect() as client:
        refuses(client, protocol.SET_IRQS, IRQS.pack(20, flags, index, start, count))


def test_more_eventfds_than_vectors_are_refused(card: CardProcess) -> None:
    fds = (os.eventfd(0), os.eventfd(0), os.eventfd(0))
    with card.connect() as client:
        body = IRQS.pack(20, DATA_EVENTFD | ACTION_TRIGGER, MSIX, 0, 2)
        refuses(client, protocol.SET_IRQS, body, fds=fds)
    for fd in fds:
        os.close(fd)


# -- everything at once --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_noise_ends_nothing_but_its_own_connection(card: CardProcess, seed: int) -> None:
    noise = random.Random(seed)  # noqa: S311 - noise, not secrets
    for _ in range(150):
        with card.connect(patience_s=5.0) as client:
            for _ in range(noise.randrange(1, 6)):
                command = noise.choice([noise.randrange(1, 15), noise.randrange(1 << 16)])
                body = noise.randbytes(noise.choice([0, 1, 8, 16, 20, 24, 32, 64, 500]))
                if noise.random() < 0.5:
                    body = b"".join(
                        struct.pack("<I", noise.choice([0, 1, 2, 3, 4, 16, 32, 0x21, 0xFFFF_FFFF, 1 << 31]))
                        for _ in range(8)
                    )
                try:
                    client.send(command, body)
                    client.receive()
                except (HungUp, BrokenPipeError, ConnectionResetError):
                    break
