# SPDX-License-Identifier: BSD-3-Clause
"""Where QEMU's igb departs from the 82576 in transmitting: legacy descriptors, enabling a queue, tags, pace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import TxContext, TxData, TxLegacy
from device_model.igb.spec.general import CTRL
from device_model.igb.spec.transmit import TDH, TDT, TXDCTL
from harness.checks.spare import data, plain, send_plain, transmit_ring
from harness.checks.witness import told
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.guest.bare import SPARE_QUEUE, offset

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

HEADER = 12
"""MAC addresses; a tag follows them."""

TAG = 0x2ABC
FRAMES, LARGE = 200, 1514
"""They take 2.4 ms on a link of 1 Gb/s."""

LOOKS = 40


@claim("DEV-13")
def test_legacy_transmit_descriptors_are_served(bound: Bound, evidence: Evidence) -> None:
    """One frame in buffers of 100 and 200 bytes, RS on the last descriptor only: DD must come there and only there."""
    sent = plain(bound, 300, 1, to_guest=False)
    with transmit_ring(bound) as ring:
        address = ring.memory.address(ring.buffer(0))
        ring.memory.store(ring.buffer(0), sent)
        ring.put(0, TxLegacy.encode(address=address, length=100, ifcs=1))
        ring.put(1, TxLegacy.encode(address=address + 100, length=200, ifcs=1, eop=1, rs=1))
        ring.registers.write(TDT, 2, SPARE_QUEUE)
        ring.registers.wait(TDH, TDH.head.mask, 2, SPARE_QUEUE)
        (frame,) = bound.peer.expect(1, lambda one: one[HEADER:14] == sent[HEADER:14])
        done = [TxLegacy.decode(ring.get(index))["dd"] for index in (0, 1)]
    evidence.note(guest={"DD": done, "on the wire": len(frame)}, device=told(bound, "TDH[9]"))
    assert frame == sent
    assert done == [0, 1]


@claim("DEV-19")
def test_enabling_a_queue_starts_it_anew(bound: Bound, evidence: Evidence) -> None:
    """Three frames move the head to 3; a doorbell of the disabled queue is not taken; enabled, it begins at 0."""
    sent = [plain(bound, 80 + at, at, to_guest=False) for at in range(3)]
    with transmit_ring(bound) as ring:
        regs = ring.registers
        send_plain(ring, 0, sent)
        regs.wait(TDH, TDH.head.mask, 3, SPARE_QUEUE)
        got = bound.peer.expect(3, lambda one: one in sent)
        head, tail = (offset(TDH, SPARE_QUEUE),), (offset(TDT, SPARE_QUEUE),)
        control = offset(TXDCTL, SPARE_QUEUE)
        found = regs.do(head, (control, 0), (*tail, 17), tail, (*tail, 3), (control, TXDCTL.enable.mask), head, tail)
    before, ignored, *after = found
    evidence.note(guest={"head": before, "tail while disabled": ignored, "anew": after}, device=told(bound, "TDH[9]"))
    assert got == sent
    assert before == 3
    assert ignored != 17
    assert after == [0, 0]


@claim("DEV-24")
def test_a_tag_is_inserted_only_with_vlan_mode(bound: Bound, evidence: Evidence) -> None:
    """The same packet asks for a tag twice: it leaves with one while CTRL.VME is 1, and without while it is 0."""
    sent = plain(bound, 90, 9, to_guest=False)
    left = []
    with transmit_ring(bound) as ring:
        regs = ring.registers
        ring.memory.store(ring.buffer(0), sent)
        control = regs.read(CTRL)
        with regs.kept((CTRL, 0)):
            for turn, value in enumerate((control | CTRL.vme.mask, control & ~CTRL.vme.mask)):
                regs.write(CTRL, value)
                ring.put(2 * turn, TxContext.encode(dtyp=TxContext.DTYP, dext=1, maclen=14, vlan=TAG))
                ring.put(2 * turn + 1, data(ring.memory.address(ring.buffer(0)), len(sent), vle=1))
                regs.write(TDT, 2 * turn + 2, SPARE_QUEUE)
                left += bound.peer.expect(1, lambda one: one[:HEADER] == sent[:HEADER])
    evidence.note(guest={"on the wire": [one[:18].hex() for one in left]}, device=told(bound, "CTRL"))
    tagged = sent[:HEADER] + b"\x81\x00" + TAG.to_bytes(2, "big") + sent[HEADER:]
    assert left == [tagged, sent]


@claim("DEV-25")
def test_the_doorbell_does_not_wait_for_the_wire(bound: Bound, evidence: Evidence) -> None:
    """200 large frames are rung for at once: a look at the head meanwhile finds it on its way, not at the end.

    Only the last descriptor asks for a report. A guest may lose its CPU right after the doorbell, so up to 10 turns.
    """
    sent = plain(bound, LARGE, 3, to_guest=False)
    turns = []
    with transmit_ring(bound) as ring:
        regs, address = ring.registers, ring.memory.address(ring.buffer(0))
        ring.memory.store(ring.buffer(0), sent)
        looks = [(offset(TDH, SPARE_QUEUE),)] * LOOKS
        for _ in range(10):
            regs.do((offset(TXDCTL, SPARE_QUEUE), 0), (offset(TXDCTL, SPARE_QUEUE), TXDCTL.enable.mask))
            start = regs.read(TDH, SPARE_QUEUE)
            end = (start + FRAMES) % 256
            for at in range(FRAMES):
                ring.put((start + at) % 256, data(address, len(sent), rs=int(at == FRAMES - 1)))
            turns.append([(head - start) % 256 for head in regs.do((offset(TDT, SPARE_QUEUE), end), *looks)])
            regs.wait(TDH, TDH.head.mask, end, SPARE_QUEUE)
            bound.peer.expect(FRAMES, lambda one: one == sent)
            if any(head < FRAMES for head in turns[-1]):
                break
        last = (end - 1) % 256
        wait_until(lambda: TxData.decode(ring.get(last))["dd"], Deadline.after(5), "the last descriptor's report")
        early = TxData.decode(ring.get((end - 2) % 256))["dd"]
    evidence.note(guest={"heads": turns[-1][:8], "turns": len(turns)}, device=told(bound, "TDH[9]"))
    assert early == 0
    assert any(head < FRAMES for head in turns[-1])
