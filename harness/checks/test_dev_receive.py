# SPDX-License-Identifier: BSD-3-Clause
"""Where QEMU's igb departs from the 82576 in receiving: counters, filters, descriptors, pause frames."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import RxLegacy, RxWriteback
from device_model.igb.spec.filters import ETQF, FTQF
from device_model.igb.spec.general import CTRL, FRTIMER
from device_model.igb.spec.receive import RDH, RQDPC, SRRCTL
from harness import frames
from harness.checks.arrivals import wait_counted
from harness.checks.spare import ALL_PROTOCOLS, DESCRIPTOR, ETHERTYPE, SLOTS, plain, receive_ring, registers, tap
from harness.checks.witness import told
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.guest.bare import PAGE, SPARE_QUEUE, offset
from harness.traffic import frame, numbered

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

ONE_BUFFER = SRRCTL.desctype.put(2, 1)
"""SRRCTL: advanced descriptors, one buffer of 2 KiB each."""

LEGACY = SRRCTL.desctype.put(2, 0)
QUADWORD = 8
PAUSE_TO = bytes.fromhex("0180c2000001")
PAUSE_TYPE, PAUSE_OPCODE = 0x8808, 0x0001
"""IEEE 802.3 annex 31B."""

PATIENCE_S = 3.0


def taken(bound: Bound, handle: int, count: int) -> list[bytes]:
    """Return the next ``count`` frames of a tap, fewer if they do not come."""
    answer = bound.guest.agent.start("receive", handle=handle, count=count, seconds=5.0, body=True).result(10.0)
    return [base64.b64decode(body) for _, _, _, body in answer["got"]]


def hashed(bound: Bound, count: int, size: int = 64) -> list[bytes]:
    """Return different UDP datagrams for the guest, all of which RSS hashes."""
    (flow,) = bound.peer.flows(1)
    return [frame(flow, numbered(flow.number, at, size + at)) for at in range(count)]


@claim("DEV-06")
def test_a_descriptor_is_complete_when_its_length_appears(bound: Bound, evidence: Evidence) -> None:
    """A CPU of the guest stares at 120 descriptors: the first change that it sees must have length and DD both."""
    sent = hashed(bound, 120)
    with receive_ring(bound, len(sent), ONE_BUFFER) as ring:
        watching = bound.guest.agent.start(
            "watch_words",
            cpus=[bound.guest.cpus - 1],
            handle=ring.memory.handle,
            first=QUADWORD,
            count=len(sent),
            stride=DESCRIPTOR,
            ready=PAGE - QUADWORD,
            seconds=10.0,
        )
        wait_until(lambda: any(ring.get(SLOTS - 1)), Deadline.after(10), "a CPU that stares")
        bound.peer.send(*sent)
        seen = [RxWriteback.decode(bytes(QUADWORD) + word.to_bytes(QUADWORD, "little")) for word in watching.result()]
    halves = [number for number, fields in enumerate(seen) if not (fields["length"] and fields["dd"])]
    evidence.note(guest={"descriptors": len(seen), "seen half written": halves}, device=told(bound, "SRRCTL[9]"))
    assert [fields["length"] for fields in seen] == [len(one) for one in sent]
    assert halves == []


@claim("DEV-07")
def test_a_short_frame_is_no_error(bound: Bound, evidence: Evidence) -> None:
    """Frames of 43 and 59 bytes arrive, and neither rx_errors nor rx_short_length_errors counts them."""
    names = ("rx_short_length_errors", "rx_errors")
    handle = tap(bound)
    before = bound.netif.statistics()
    sent = [plain(bound, size, size, to_guest=True) for size in (43, 59)]
    bound.peer.send(*sent)
    got = taken(bound, handle, len(sent))
    after = bound.netif.statistics()
    grown = {name: after[name] - before[name] for name in names}
    evidence.note(guest={"frames": [len(one) for one in got], **grown}, device=told(bound, "RUC"))
    assert [one[: len(wanted)] for one, wanted in zip(got, sent, strict=True)] == sent
    assert grown == dict.fromkeys(names, 0)


@claim("DEV-09")
def test_a_queue_counts_what_it_drops(bound: Bound, evidence: Evidence) -> None:
    """A queue with DROP_EN has 3 buffers and gets 10 frames: RQDPC must read 7, then 0 since reading clears it."""
    sent = hashed(bound, 10)
    with receive_ring(bound, 3, ONE_BUFFER | SRRCTL.drop_en.mask) as ring:
        regs = ring.registers
        regs.read(RQDPC, SPARE_QUEUE)
        bound.peer.send(*sent[:3])
        regs.wait(RDH, RDH.head.mask, 3, SPARE_QUEUE)
        bound.peer.send(*sent[3:])
        counted, patience = 0, Deadline.after(PATIENCE_S)
        while counted < len(sent) - 3 and not patience.passed:
            counted += regs.read(RQDPC, SPARE_QUEUE)
        left = regs.read(RQDPC, SPARE_QUEUE)
    evidence.note(guest={"RQDPC": [counted, left]}, device=told(bound, "RDH[9]", "RDT[9]"))
    assert (counted, left) == (7, 0)


@claim("DEV-13")
def test_legacy_receive_descriptors_are_served(bound: Bound, evidence: Evidence) -> None:
    """SRRCTL chooses the legacy type: length, DD and EOP must stand where that has them."""
    (sent,) = hashed(bound, 1, 77)
    with receive_ring(bound, 4, LEGACY) as ring:
        bound.peer.send(sent)
        ring.registers.wait(RDH, RDH.head.mask, 1, SPARE_QUEUE)
        fields = RxLegacy.decode(ring.get(0))
        body = ring.memory.load(ring.buffer(0, PAGE // 2), len(sent))
    evidence.note(guest=fields, device=told(bound, "SRRCTL[9]"))
    assert body == sent
    assert (fields["length"], fields["dd"], fields["eop"]) == (len(sent), 1, 1)


@claim("DEV-16")
def test_an_ethertype_filter_chooses_the_queue(bound: Bound, evidence: Evidence) -> None:
    """Frames that RSS does not hash go to the last queue when a filter says so, and to the first without it."""
    queues = bound.netif.queue_count[0]
    regs, last = registers(bound), queues - 1
    chooses = ETHERTYPE | ETQF.rx_queue.put(0, last) | ETQF.filter_enable.mask | ETQF.queue_enable.mask
    handle = tap(bound)
    grown = []
    with regs.kept((ETQF, 0)):
        for value in (chooses, 0):
            regs.write(ETQF, value)
            before = bound.netif.queue_packets()
            bound.peer.send(*(plain(bound, 100 + at, at, to_guest=True) for at in range(5)))
            assert len(taken(bound, handle, 5)) == 5
            wait_counted(bound, before.total + 5)
            grown.append(tuple(bound.netif.queue_packets() - before))
    evidence.note(guest={"filtered": grown[0], "not": grown[1]}, device=told(bound, "ETQF[0]"))
    nothing = (0,) * (queues - 1)
    assert last
    assert grown == [(*nothing, 5), (5, *nothing)]


@claim("DEV-16")
def test_filters_are_stored_and_the_timer_runs(bound: Bound, evidence: Evidence) -> None:
    """FTQF reads back a pattern, and FRTIMER counts microseconds while a millisecond passes in the guest."""
    regs, pattern = registers(bound), 0x6800_8011
    with regs.kept((FTQF, 1)):
        regs.write(FTQF, pattern, 1)
        stored = regs.read(FTQF, 1)
    early, _, late = regs.do((offset(FRTIMER),), (offset(FRTIMER), 0, 1, 1), (offset(FRTIMER),))
    evidence.note(guest={"FTQF": hex(stored), "FRTIMER": [early, late]}, device=told(bound, "FTQF[1]"))
    assert stored == pattern
    assert (late - early) & 0xFFFF_FFFF > 0


@claim("DEV-17")
def test_pause_frames_are_consumed_and_counted(bound: Bound, evidence: Evidence) -> None:
    """With flow control agreed on, an XOFF, two XONs and a plain frame come: three are counted, one is seen."""
    names = ("rx_flow_control_xoff", "rx_flow_control_xon")
    handle = tap(bound, ALL_PROTOCOLS)
    regs = registers(bound)
    before = bound.netif.statistics()
    wanted = plain(bound, 80, 5, to_guest=True)
    bound.peer.send(pause(bound, 0xFFFF), pause(bound, 0), pause(bound, 0), wanted)
    got = taken(bound, handle, 1)
    after = bound.netif.statistics()
    grown = {name: after[name] - before[name] for name in names}
    evidence.note(guest={**grown, "seen": [one.hex() for one in got]}, device=told(bound, "XOFFRXC", "XONRXC"))
    assert regs.read(CTRL) & CTRL.rfce.mask
    assert got == [wanted]
    assert grown == {"rx_flow_control_xoff": 1, "rx_flow_control_xon": 2}


def pause(bound: Bound, quanta: int) -> bytes:
    """Return a pause frame of the link partner."""
    body = PAUSE_OPCODE.to_bytes(2, "big") + quanta.to_bytes(2, "big")
    return frames.pad(frames.ethernet(PAUSE_TO, bound.peer.station.mac, PAUSE_TYPE, body))


@claim("DEV-23")
def test_oversize_frames_are_counted(bound: Bound, evidence: Evidence) -> None:
    """Three frames of 1600 bytes at MTU 1500, then one that fits: rx_long_length_errors grows by three."""
    handle = tap(bound)
    before = bound.netif.statistics()["rx_long_length_errors"]
    wanted = plain(bound, 1500, 5, to_guest=True)
    bound.peer.send(*(plain(bound, 1600, at, to_guest=True) for at in range(3)), wanted)
    got = taken(bound, handle, 1)
    grown = bound.netif.statistics()["rx_long_length_errors"] - before
    evidence.note(guest={"rx_long_length_errors": grown, "seen": [len(one) for one in got]}, device=told(bound, "ROC"))
    assert got == [wanted]
    assert grown == 3
