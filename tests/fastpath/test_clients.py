# SPDX-License-Identifier: BSD-3-Clause
"""Clients that talk nonsense to a native card: what tests/protocol asks of a card, and registers written at random."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest

from tests.protocol.client import BAR0, CONFIG, REGION_WRITE
from tests.protocol.conftest import CardProcess, card, client  # noqa: F401 - fixtures
from tests.protocol.test_nonsense import *  # noqa: F403 - the same tests, another card

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.protocol.client import Client

NO_REPLY = 0x10


@pytest.fixture(scope="module")
def shared_card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CardProcess]:
    made = CardProcess(tmp_path_factory.mktemp("card"), "--engine", "native", module="emulator")
    made.wait_ready()
    yield made
    status, _, err = made.stop()
    assert status == 0, err


@pytest.mark.parametrize("seed", range(4))
def test_posted_writes_of_anything_anywhere_leave_a_card_that_serves(client: Client, seed: int) -> None:  # noqa: F811 - the fixture
    choose = random.Random(seed)  # noqa: S311 - reproducible, not secret
    for _ in range(3000):
        size = choose.choice((4, 4, 4, 4, 1, 2, 8, 3, 16))
        offset = choose.choice((choose.randrange(0x20000) & ~3, choose.randrange(0x20000), 0x1FFFC, 0x20000))
        client.send(
            REGION_WRITE,
            struct.pack("<QII", offset, choose.choice((BAR0, BAR0, BAR0, 1, 2, 3)), size) + choose.randbytes(size),
            flags=NO_REPLY,
        )
    client.reset()
    client.enable()
    assert client.read(CONFIG, 0) == 0x10C9_8086
    client.write(BAR0, 0x5400, 0x1234_5678)
    assert client.read(BAR0, 0x5400) == 0x1234_5678, "the data path's registers answer"
