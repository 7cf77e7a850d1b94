# SPDX-License-Identifier: BSD-3-Clause
"""The DMA sanitizer's account: sound use is not told, and every kind of wrong is, with its descriptor and its stack."""

from __future__ import annotations

from typing import Any

import pytest

from device_model.igb.spec.descriptors import RxRead, RxWriteback, TxData
from harness.guest.ringbuffer import Record
from harness.guest.trace import STACK
from harness.sanitizer import judge
from harness.sanitizer.judge import AFTER, OUTSIDE, OVERLAP, TWICE, UNWRITTEN, Finding
from harness.sanitizer.mappings import MAP, UNMAP, Mappings
from harness.sanitizer.poison import unwritten
from harness.sanitizer.postings import Postings
from harness.seen import Seen

DEVICE = "0000:01:00.0"
PAGE, DATA = 0x30000, 0x50000
MS = 1_000_000
ERROR = 10_000
NAMES = {1: "trace_event_raw_event_dma_map", 2: "igb_xmit_frame_ring", 3: "dev_hard_start_xmit"}


def event(kind: str, t_ms: float, **fields: Any) -> Seen:
    return Seen(kind, round(t_ms * MS), 0, fields)


def dma(kind: str, t_ms: float, iova: int, size: int, purpose: str) -> Seen:
    return event(kind, t_ms, iova=iova, size=size, purpose=purpose, queue=1)


def sent(t_ms: float, index: int, address: int = DATA, size: int = 100) -> Seen:
    raw = TxData.encode(address=address, dtalen=size, dtyp=3, dext=1, eop=1, rs=1)
    return event("TxDescriptor", t_ms, queue=1, index=index, raw=raw)


def posted(t_ms: float, index: int, address: int) -> Seen:
    return event("RxDescriptor", t_ms, queue=1, index=index, raw=RxRead.encode(packet_address=address))


def received(t_ms: float, index: int, length: int = 60) -> Seen:
    return event("RxWriteBack", t_ms, queue=1, index=index, raw=RxWriteback.encode(length=length, dd=1))


def record(name: str, t_ms: float, cpu: int = 0, **fields: Any) -> Record:
    return Record(name, cpu, round(t_ms * MS), 7, "ping", 0, fields)


def mapped(t_ms: float, address: int, size: int, cpu: int = 0, device: str = DEVICE) -> list[Record]:
    words = b"".join(number.to_bytes(8, "little") for number in (1, 2, 3)) + b"rubbish"
    return [
        record(MAP, t_ms, cpu, device=device, dma_addr=address, size=size),
        record(STACK, t_ms, cpu, size=3, caller=words),
    ]


def unmapped(t_ms: float, address: int, size: int) -> list[Record]:
    return [record(UNMAP, t_ms, device=DEVICE, addr=address, size=size)]


def judged(events: list[Seen], records: list[Record], *, reset: bool = True) -> list[Finding]:
    postings, mappings = Postings(), Mappings()
    postings.follow([*([event("DeviceReset", 0.1, how="software")] if reset else []), *events])
    mappings.follow(records, DEVICE, lambda ns: ns, lambda address: NAMES.get(address, ""))
    return [
        *judge.judge(postings.all, mappings, ERROR, (0, 1000 * MS)),
        *judge.strays(postings.strays, mappings),
        *judge.clashes(postings.clashes),
    ]


SENDING = [sent(2, 0), dma("DmaRead", 2.1, DATA, 100, "tx-payload"), event("TxWriteBack", 3, queue=1, index=0)]
RECEIVING = [posted(2, 0, PAGE + 64), dma("DmaWrite", 5, PAGE + 64, 60, "rx-payload"), received(5, 0)]


def test_sound_use_is_not_told() -> None:
    again = [posted(6, 1, PAGE + 2048 + 64), dma("DmaWrite", 7, PAGE + 2048 + 64, 60, "rx-payload"), received(7, 1)]
    records = [*mapped(1, DATA, 100), *mapped(1, PAGE, 4096), *unmapped(3.1, DATA, 100), *unmapped(8, PAGE, 4096)]
    assert judged([*SENDING, *RECEIVING, *again], records) == []


def test_use_after_unmap_names_descriptor_stack_and_claim() -> None:
    [found] = judged(SENDING, [*mapped(1, DATA, 100), *unmapped(1.5, DATA, 100)])
    assert (found.kind, found.claim) == (AFTER, "ROB-14")
    assert "tx-1 slot 0, 100 bytes at 0x50000" in found.title
    assert "the card reported it 1500.0 µs after it was unmapped (±10.0 µs)" in found.lines[0]
    assert "by ping-7 on CPU 0: igb_xmit_frame_ring < dev_hard_start_xmit" in found.lines[1]


def test_an_unmap_that_may_have_come_in_time_is_not_told() -> None:
    assert judged(SENDING, [*mapped(1, DATA, 100), *unmapped(2.995, DATA, 100)]) == []


def test_a_page_that_is_recycled_unmapped_is_told() -> None:
    [found] = judged(RECEIVING, [*mapped(1, PAGE, 4096), *unmapped(1.2, PAGE, 4096)])
    assert found.kind == AFTER


def test_memory_that_was_never_mapped_is_told() -> None:
    [found] = judged(SENDING, mapped(1, DATA, 60))
    assert found.kind == OUTSIDE
    assert judged(SENDING, mapped(1, DATA, 100, device="0000:00:02.0"))[0].kind == OUTSIDE


def test_memory_that_is_mapped_too_late_is_told() -> None:
    [found] = judged(SENDING, mapped(2.5, DATA, 100))
    assert (found.kind, "before it was mapped" in found.lines[0]) == (OUTSIDE, True)


def test_what_was_mapped_before_the_account_is_not_judged() -> None:
    assert judged(RECEIVING, [], reset=False) == []


def test_dma_outside_of_what_is_owned_is_told() -> None:
    records = [*mapped(1, DATA, 100), *unmapped(3.5, DATA, 100)]
    [found] = judged([*SENDING, dma("DmaRead", 4, DATA, 100, "tx-payload")], records)
    assert found.kind == OUTSIDE
    assert "unmapped at" in found.lines[-1]
    [longer] = judged([*RECEIVING[:1], dma("DmaWrite", 5, PAGE + 1600, 60, "rx-payload")], mapped(1, PAGE, 4096))
    assert longer.kind == OUTSIDE


@pytest.mark.parametrize(("address", "kind"), [(PAGE + 64, TWICE), (PAGE + 1000, OVERLAP)])
def test_memory_that_is_handed_over_twice_is_told(address: int, kind: str) -> None:
    [found] = judged([posted(2, 0, PAGE + 64), posted(2, 1, address)], mapped(1, PAGE, 4096))
    assert (found.kind, found.claim) == (kind, "ROB-15")
    assert "rx-1 slot 0" in found.lines[0]


def test_transmit_buffers_may_share_memory_but_not_with_a_receive_buffer() -> None:
    assert judged([sent(2, 0), sent(2, 1)], [*mapped(1, DATA, 100), *mapped(1, DATA, 100)]) == []
    [found] = judged([sent(2, 0), posted(2, 1, DATA + 50)], [*mapped(1, DATA, 100), *mapped(1, DATA, 4096)])
    assert found.kind == OVERLAP


def test_a_receive_report_without_a_length_gives_nothing_back() -> None:
    events = [posted(2, 0, PAGE + 64), received(3, 0, length=0), posted(4, 1, PAGE + 64)]
    assert judged(events, mapped(1, PAGE, 4096))[0].kind == TWICE


def test_a_reset_gives_everything_back() -> None:
    events = [sent(2, 0), event("DeviceReset", 3, how="software"), posted(4, 1, DATA)]
    assert judged(events, [*mapped(1, DATA, 100), *unmapped(3.1, DATA, 100), *mapped(3.5, DATA, 4096)]) == []


def test_what_a_viommu_refuses_is_told() -> None:
    what = "a buffer of tx[1] cannot be read, the packet is dropped: DMA of 100 bytes at 0x50000 must lie in mapped …"
    mappings = Mappings()
    mappings.follow([*mapped(1, DATA, 100), *unmapped(1.5, DATA, 100)], DEVICE, lambda ns: ns, lambda _: "igb_x")
    [found] = judge.refused([event("GuestError", 2, what=what)], mappings, ERROR)
    assert (found.kind, "unmapped at" in found.lines[-1]) == (AFTER, True)
    assert "the packet is dropped" in found.lines[0]
    [never] = judge.refused([event("GuestError", 2, what=what.replace("0x50000", "0x90000"))], mappings, ERROR)
    assert never.kind == OUTSIDE
    assert list(judge.refused([event("GuestError", 2, what=what.replace("tx[1]", "tx[9]"))], mappings, ERROR)) == []


def test_poison_on_the_wire_is_told() -> None:
    frames = [bytes(60), bytes(30) + b"k" * 16 + bytes(20), bytes(30) + b"k" * 15]
    events = [sent(2, 5), *(event("FrameEmitted", 3, queue=1, looped=False, frame=frame) for frame in frames)]
    [found] = unwritten(events)
    assert (found.kind, found.claim) == (UNWRITTEN, "ROB-15")
    assert "tx-1 slot 5, bytes 30 to 45 of a frame of 66" in found.title


def test_rings_that_are_read_at_once_show_what_lies_in_them_twice() -> None:
    sound = [("rx", 0, 0, PAGE, 1522), ("rx", 0, 1, PAGE + 4096, 1522)]
    assert list(judge.in_rings(sound)) == []
    kinds = [found.kind for found in judge.in_rings([*sound, ("rx", 1, 5, PAGE, 1522), ("rx", 1, 6, PAGE + 5000, 100)])]
    assert kinds == [TWICE, OVERLAP]
