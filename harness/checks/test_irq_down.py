# SPDX-License-Identifier: BSD-3-Clause
"""Interrupts that must not come: while the interface is down, and on a vector that is masked for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.bursts import (
    calm,
    messages,
    one_by_one,
    place,
    quiet,
    receive_vector,
    steer_to,
    unanswered,
)
from harness.checks.test_irq import queues_in_use
from harness.checks.test_irq_faults import is_tick
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.oracles import vectors

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording, Seen

ICS, EICS = 0x00C8, 0x1520
LSC = 1 << 2
ALL_ONES = 0xFFFFFFFF
OTHER_CAUSES = 0x50000004
"""What igb_irq_enable writes to IMS with MSI-X: LSC, DOUTSYNC, DRSTA."""

MASKS = ("EIAM", "EIMC", "EIAC", "IAM", "IMC", "EIMS", "IMS")
COMPLAINTS = ("nobody cared", "Disabling IRQ", "spurious", "No irq handler")
QUEUE, CPU = 1, 2
FRAMES = 12


def mask_writes(seen: Recording) -> list[Seen]:
    """Return the writes to the registers that mask and unmask, in order."""
    return seen.all("RegisterWritten", lambda event: event.register in MASKS)


@claim("IRQ-10")
def test_down_masks_every_vector_and_up_arms_them_again(bound: Bound, evidence: Evidence) -> None:
    """While down every queue's event and a link change are caused by hand, and a frame arrives: nothing may be sent.

    Frames on each queue before and after show that messages came and come again, on lines that were gone between. What
    was caused while down is announced when the vectors are armed, and its polls arm their own vector again.
    """
    count = queues_in_use(bound)
    all_vectors = (1 << len(vectors.handlers(count))) - 1
    log = bound.guest.proc.log()[-1].sequence
    frames = unanswered(bound, 2 * count + 1)
    lines = []
    quiet(bound)
    with bound.card.recording("InterruptSent", "RegisterWritten", "FrameDropped", "FrameDelivered") as seen:
        for queue in range(count):
            steer_to(bound, queue)
            one_by_one(bound, seen, [frames.pop()])
        lines.append(sorted(bound.netif.irqs()))
        begun = mask_writes(seen)[-1].number
        bound.netif.down()
        lines.append(sorted(bound.netif.irqs()))
        bound.card.fault("ignore_eics", on=False)
        bound.card.write_register(EICS, all_vectors & ~1)
        bound.card.write_register(ICS, LSC)
        bound.peer.send(frames.pop())
        seen.wait(1, kind="FrameDropped")
        standing = bound.card.registers("EICR", "ICR", "EIMS", "IMS")
        bound.netif.up()
        bound.netif.wait_carrier()
        lines.append(sorted(bound.netif.irqs()))
        quiet(bound)
        settled = len(seen.all())
        for queue in range(count):
            steer_to(bound, queue)
            one_by_one(bound, seen, [frames.pop()])
    writes = [event for event in mask_writes(seen) if event.number > begun]
    [off] = [event for event in writes if event.register == "EIMC"]
    armed = next(event for event in writes if event.register == "EIMS")
    told = [(e.register, e.value) for e in writes if e.register != "EIMS" or e.value == all_vectors]
    at = told.index(("EIMS", all_vectors))
    between = [str(e) for e in seen.all("InterruptSent") if off.number < e.number < armed.number]
    after = [event.vector for event in seen.all()[settled:] if event.kind == "InterruptSent"]
    complaints = [r.text for r in bound.guest.proc.log(log) if any(words in r.text for words in COMPLAINTS)]
    evidence.note(
        guest={"lines up, down, up": [len(names) for names in lines], "complaints": complaints},
        device={"writes": told, "sent while masked": between, "standing while down": standing, "sent after up": after},
    )
    assert told[:5] == [("EIAM", 0), ("EIMC", all_vectors), ("EIAC", 0), ("IAM", 0), ("IMC", ALL_ONES)]
    assert told[at - 2 : at + 2] == [
        *(("EIAC", all_vectors), ("EIAM", all_vectors)),
        *(("EIMS", all_vectors), ("IMS", OTHER_CAUSES)),
    ]
    assert between == []
    assert standing["EICR"] & all_vectors == all_vectors & ~1
    assert standing["ICR"] & LSC
    assert (standing["EIMS"], standing["IMS"]) == (0, 0)
    assert after == [receive_vector(bound, queue) for queue in range(count)]
    assert lines == [sorted(vectors.handlers(count)), [], sorted(vectors.handlers(count))]
    assert complaints == []


@claim("IRQ-19")
def test_a_message_lost_after_auto_mask_leaves_its_vector_dead_until_reset(bound: Bound, evidence: Evidence) -> None:
    """A tick, its cause by hand and twelve frames after the loss nothing has come of that queue; others get theirs.

    Down and up revive it: twelve frames more, all received.
    """
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    place(bound, f"eth0-rx-{QUEUE}", vector, CPU)
    frames = unanswered(bound, 4 * FRAMES)
    before = bound.netif.queue_packets()
    masks = []
    with bound.card.recording("InterruptWithheld", "InterruptSent", "RegisterWritten", "FrameDelivered") as seen:
        bound.card.fault("drop_interrupts", vector=vector, count=1, when="after-mask")
        bound.peer.send(frames.pop())
        [lost] = seen.wait(1, kind="InterruptWithheld", where=lambda event: event.why == "dropped")
        seen.wait(1, Deadline.after(10), kind="RegisterWritten", where=lambda e: follows(e, lost))
        masks.append(bits_of(bound, vector))
        bound.card.write_register(EICS, 1 << vector)
        masks.append(bits_of(bound, vector))
        bound.peer.send(*(frames.pop() for _ in range(FRAMES)))
        seen.wait(1 + FRAMES, kind="FrameDelivered")
        bound.card.fault("ignore_eics", on=True)
        others_rest(bound, vector)
        for queue in (0, 3):
            steer_to(bound, queue)
            one_by_one(bound, seen, [frames.pop() for _ in range(FRAMES // 2)])
        others_rest(bound, vector)
        masks.append(bits_of(bound, vector))
        dead = [message for message in messages(seen, vector) if message.number > lost.number]
        still = list(bound.netif.queue_packets() - before)
        bound.netif.down()
        bound.netif.up()
        bound.netif.wait_carrier()
        calm(bound)
        revived_from = bound.netif.queue_packets()
        steer_to(bound, QUEUE)
        one_by_one(bound, seen, [frames.pop() for _ in range(FRAMES)])
        calm(bound)
        revived = list(bound.netif.queue_packets() - revived_from)
    evidence.note(
        guest={"frames while dead": still, "frames after down and up": revived},
        device={"(EICR, EIMS) bits of the vector": masks, "messages while dead": len(dead)},
    )
    assert masks == [(1, 0)] * 3
    assert dead == []
    assert still == [FRAMES // 2, 0, 0, FRAMES // 2]
    assert revived == [0, FRAMES, 0, 0]


def others_rest(bound: Bound, vector: int) -> None:
    """Wait until every vector but ``vector`` is armed, and no CPU of the guest is still inside a softirq."""

    def armed() -> bool:
        now = bound.card.registers("EIMS", "EIAC")
        return now["EIMS"] | 1 << vector == now["EIAC"]

    wait_until(armed, Deadline.after(15), f"every vector but {vector} being armed", NotSeen)
    for cpu in range(bound.guest.cpus):
        bound.guest.agent.call("clock", cpus=[cpu])


def follows(event: Seen, lost: Seen) -> bool:
    """Tell whether ``event`` is a tick after the loss."""
    return event.number > lost.number and is_tick(event)


def bits_of(bound: Bound, vector: int) -> tuple[int, int]:
    """Return the bits of ``vector`` in EICR and EIMS."""
    now = bound.card.registers("EICR", "EIMS")
    return now["EICR"] >> vector & 1, now["EIMS"] >> vector & 1
