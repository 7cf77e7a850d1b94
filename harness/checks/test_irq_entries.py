# SPDX-License-Identifier: BSD-3-Clause
"""The MSI-X table: what becomes of messages whose entry is masked, and of a queue whose entry is rewritten under load.

No program in the guest can reach an entry's own mask bit (the BAR is the driver's), but all entries together are masked
by the capability's Function Mask (PCI 3.0 6.8.2.3), which is in configuration space.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from harness.checks.bursts import calm, messages, place, quiet, receive_vector, steer_to, stream, unanswered
from harness.checks.test_irq import queues_in_use
from harness.claims import claim

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

CONFIG = "device/config"
FIRST_CAPABILITY = 0x34
MSIX = 0x11
FUNCTION_MASK = 0x40
"""Bit 14 of message control, in its upper byte."""

QUEUE, CPU = 2, 3
FLIPS, FRAMES_EACH = 80, 10


def mask_function(bound: Bound, *, on: bool) -> None:
    """Set or clear Function Mask from within the guest; it is clear again after the check."""
    path = bound.netif.path(CONFIG)
    config = bound.guest.agent.read_bytes(path)
    at = config[FIRST_CAPABILITY]
    while config[at] != MSIX:
        at = config[at + 1]
    upper = config[at + 3] | FUNCTION_MASK if on else config[at + 3] & ~FUNCTION_MASK
    if on:
        bound.guest.undo.remember("function mask", lambda: mask_function(bound, on=False))
    data = base64.b64encode(bytes([upper])).decode()
    bound.guest.agent.call("write_at", path=path, offset=at + 3, data=data)


@claim("IRQ-21")
def test_messages_of_masked_entries_wait_and_unmasking_sends_one(bound: Bound, evidence: Evidence) -> None:
    """Masked, queue n gets n frames' worth of messages, the first with a frame: none comes until the mask is gone.

    Then each line grows by one however many there were, and the queue without a message by none.
    """
    queues = range(queues_in_use(bound))
    quiet(bound)
    vectors = [receive_vector(bound, queue) for queue in queues]
    packets = bound.netif.queue_packets()
    lines = [{name: irq.total for name, irq in bound.netif.irqs().items()}]
    received = []
    with bound.card.recording("InterruptSent", "RegisterWritten", "FrameDelivered") as seen:
        mask_function(bound, on=True)
        for queue in queues[1:]:
            steer_to(bound, queue)
            bound.peer.send(*unanswered(bound, 1))
            seen.wait(queue, kind="FrameDelivered")
            for _ in range(queue - 1):
                bound.card.fault("spurious_interrupt", vector=vectors[queue])
        for unmasked in (False, True):
            if unmasked:
                mask_function(bound, on=False)
                calm(bound)
            lines.append({name: irq.total for name, irq in bound.netif.irqs().items()})
            received.append(list(bound.netif.queue_packets() - packets))
    sent = [len(messages(seen, vector)) for vector in vectors]
    grown = [[after[f"eth0-rx-{queue}"] - lines[0][f"eth0-rx-{queue}"] for queue in queues] for after in lines[1:]]
    evidence.note(
        guest={"interrupts masked, unmasked": grown, "frames masked, unmasked": received}, device={"messages": sent}
    )
    assert sent == list(queues)
    assert grown == [[0, 0, 0, 0], [0, 1, 1, 1]]
    assert received == [[0, 0, 0, 0], [0, 1, 1, 1]]


@claim("IRQ-21")
def test_no_message_is_lost_while_the_affinity_is_flipped(bound: Bound, evidence: Evidence) -> None:
    """80 changes with 10 frames after each, none waited for: with the ticks off a lost message would stop the queue."""
    steer_to(bound, QUEUE)
    vector = receive_vector(bound, QUEUE)
    irq = place(bound, f"eth0-rx-{QUEUE}", vector, CPU)
    quiet(bound)
    frames = unanswered(bound, FLIPS * FRAMES_EACH)
    packets = bound.netif.queue_packets()
    with bound.card.recording("InterruptSent", "RegisterWritten", "FrameDelivered") as seen:
        bound.card.hold_interrupts(vector)
        calm(bound)
        earlier = len(messages(seen, vector))
        before = bound.netif.irqs()[f"eth0-rx-{QUEUE}"]
        bound.card.release_interrupts(vector)
        for flip in range(FLIPS):
            bound.guest.proc.set_affinity(irq, [flip % bound.guest.cpus])
            stream(bound, seen, frames[flip * FRAMES_EACH :][:FRAMES_EACH])
        calm(bound)
        after = bound.netif.irqs()[f"eth0-rx-{QUEUE}"]
        sent = len(messages(seen, vector)) - earlier
    received = list(bound.netif.queue_packets() - packets)
    by_cpu = [late - early for late, early in zip(after.counts, before.counts, strict=True)]
    evidence.note(guest={"interrupts of each CPU": by_cpu, "frames": received}, device={"messages": sent})
    assert received == [0, 0, len(frames), 0]
    assert sum(by_cpu) == sent
    assert min(by_cpu) > 0, "the entry must have been rewritten for each CPU"
