# SPDX-License-Identifier: BSD-3-Clause
"""The account of who owns which memory: what it allows, and every kind of trespass that it must name."""

from __future__ import annotations

from typing import Any

import pytest

from device_model.igb.spec.descriptors import RxRead, TxData
from device_model.igb.spec.receive import RXDCTL
from device_model.igb.spec.transmit import TXDCTL
from harness.checks.ownership import Owner
from harness.seen import Seen

RX, TX, BUFFER, DATA = 0x10000, 0x20000, 0x30000, 0x40000
ROOM = 2048


def event(kind: str, **fields: Any) -> Seen:
    return Seen(kind, 0, 0, fields)


def written(register: str, value: int) -> Seen:
    return event("RegisterWritten", register=register, value=value)


def dma(kind: str, iova: int, size: int, purpose: str) -> Seen:
    return event(kind, iova=iova, size=size, purpose=purpose, queue=0)


def up() -> list[Seen]:
    """Bring up ring 0 each way with 8 slots, of which the driver hands over two."""
    return [
        written("RDBAL[0]", RX),
        written("RDLEN[0]", 128),
        written("RXDCTL[0]", RXDCTL.enable.mask),
        written("RDT[0]", 2),
        written("TDBAL[0]", TX),
        written("TDLEN[0]", 128),
        written("TXDCTL[0]", TXDCTL.enable.mask),
        written("TDT[0]", 2),
    ]


def fetched() -> list[Seen]:
    """Fetch what was handed over."""
    data = {"dtyp": 3, "dext": 1, "eop": 1, "rs": 1}
    return [
        dma("DmaRead", RX, 32, "rx-descriptor"),
        *(event("RxDescriptor", queue=0, index=n, raw=RxRead.encode(packet_address=BUFFER + n * ROOM)) for n in (0, 1)),
        dma("DmaRead", TX, 32, "tx-descriptor"),
        *(
            event("TxDescriptor", queue=0, index=n, raw=TxData.encode(address=DATA + n * 100, dtalen=100, **data))
            for n in (0, 1)
        ),
    ]


def judged(*more: Seen) -> list[str]:
    owner = Owner(ROOM)
    owner.follow([*up(), *fetched(), *more])
    return owner.violations


USED = (
    dma("DmaWrite", BUFFER, 60, "rx-payload"),
    dma("DmaWrite", RX, 16, "rx-write-back"),
    dma("DmaRead", DATA + 100, 100, "tx-payload"),
    dma("DmaWrite", TX + 16 + 12, 4, "tx-write-back"),
)


def test_proper_use_is_allowed() -> None:
    assert judged(*USED) == []


@pytest.mark.parametrize(
    "trespass",
    [
        dma("DmaRead", RX + 32, 16, "rx-descriptor"),
        dma("DmaRead", TX, 16, "tx-descriptor"),
        dma("DmaWrite", BUFFER + 2 * ROOM, 60, "rx-payload"),
        dma("DmaWrite", BUFFER + ROOM + 1, ROOM, "rx-payload"),
        dma("DmaWrite", BUFFER, 60, "rx-payload"),
        dma("DmaWrite", RX, 16, "rx-write-back"),
        dma("DmaWrite", RX + 32, 16, "rx-write-back"),
        dma("DmaRead", DATA + 100, 100, "tx-payload"),
        dma("DmaRead", DATA + 150, 60, "tx-payload"),
        dma("DmaWrite", TX + 16 + 12, 4, "tx-write-back"),
        dma("DmaWrite", TX + 48 + 12, 4, "tx-write-back"),
    ],
    ids=str,
)
def test_trespass_is_named(trespass: Seen) -> None:
    [violation] = judged(*USED, trespass)
    assert trespass.purpose in violation


@pytest.mark.parametrize("end", [event("DeviceReset", how="software"), written("TXDCTL[0]", 0)], ids=str)
def test_nothing_may_be_touched_once_the_queue_has_ended(end: Seen) -> None:
    [violation] = judged(end, USED[3])
    assert "a disabled ring" in violation


@pytest.mark.parametrize(("kib", "wrong"), [(2, 0), (1, 1)])
def test_buffers_have_the_size_that_srrctl_says_when_they_are_fetched(kib: int, wrong: int) -> None:
    owner = Owner(ROOM)
    owner.follow([*up(), written("SRRCTL[0]", kib), *fetched(), dma("DmaWrite", BUFFER, 1025, "rx-payload")])
    assert len(owner.violations) == wrong
