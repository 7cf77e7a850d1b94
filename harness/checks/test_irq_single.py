# SPDX-License-Identifier: BSD-3-Clause
"""Cards with one interrupt for everything: MSI, or a level-triggered line."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from harness.checks.arrivals import strangers
from harness.checks.sending import Sender
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.emulator import CardOptions
from harness.errors import NotSeen
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound, Lab
    from harness.seen import Recording

ETH_P_IP = 0x0800
INT_ASSERTED = 1 << 31
CAUSES = 0x5000009D
"""What igb_irq_enable writes to IMS and IAM: DRSTA, DOUTSYNC, RXT0, RXDMT0, RXSEQ, LSC, TXDW."""

TXDCTL, RXDCTL = 0x02100108, 0x02040808
"""Enabled, with the thresholds that go without MSI-X: write back 16 (transmit) and 4 (igb_configure_tx_ring)."""

FRAMES_IN, FRAMES_OUT = 30, 20


def rest(bound: Bound) -> None:
    """Wait until the driver has unmasked its causes again and none stands."""

    def look() -> bool:
        now = bound.card.registers("IMS", "IAM", "ICR")
        return now["IAM"] == CAUSES and now["IMS"] == CAUSES and not now["ICR"] & CAUSES

    wait_until(look, Deadline.after(15), "IMS being as IAM, without a cause", NotSeen)
    for cpu in range(bound.guest.cpus):
        bound.guest.agent.call("clock", cpus=[cpu])


def both_ways(bound: Bound, seen: Recording) -> tuple[int, int]:
    """Pass numbered frames one by one in, then out; return how many came through byte for byte, each way."""
    agent = bound.guest.agent
    tap = agent.call("open_socket", kind="packet", protocol=ETH_P_IP)
    agent.call("bind", handle=tap, address=[bound.netif.name, ETH_P_IP])
    [flow] = strangers(bound, 1, protocol="udp")
    frames = list(numbered_frames(flow, FRAMES_IN))
    for number, frame in enumerate(frames):
        bound.peer.send(frame)
        seen.wait(number + 1, kind="FrameDelivered")
        rest(bound)
    answer = agent.call("receive", handle=tap, count=FRAMES_IN + 1, seconds=5.0, quiet_s=0.2, body=True)
    received = [base64.b64decode(body) for _, _, _, body in answer["got"]]
    handle = agent.call("open_socket", kind="packet")
    agent.call("bind", handle=handle, address=[bound.netif.name, 0])
    sender = Sender(bound, handle, queue=0, cpu=1)
    sender.send(FRAMES_OUT)
    came = bound.peer.expect(FRAMES_OUT, where=sender.is_mine)
    rest(bound)
    good_in = sum(got == sent for got, sent in zip(received, frames, strict=False))
    good_out = sum(got == sent for got, sent in zip(came, sender.frames(FRAMES_OUT), strict=True))
    return good_in if len(received) == len(frames) else -1, good_out


@claim("IRQ-11")
@pytest.mark.parametrize(("interrupts", "vectors"), [("msi", None), ("msix", 8)])
def test_without_enough_msix_vectors_one_msi_serves_one_queue_pair(
    lab: Lab, evidence: Evidence, interrupts: str, vectors: int | None
) -> None:
    """MSI-X absent, and a table one entry short of the nine that four CPUs ask for: both must end in one MSI.

    30 frames in one by one and 20 out, ticks off: each message has a cause, and the guest must count as many.
    """
    bound = lab.bound(CardOptions(interrupts=interrupts, msix_vectors=vectors, patches=lab.default.patches))
    bound.card.fault("ignore_eics", on=True)
    rest(bound)
    [irq] = bound.netif.irqs().values()
    with bound.card.recording("FrameDelivered", "InterruptSent") as seen:
        passed = both_ways(bound, seen)
        [after] = bound.netif.irqs().values()
    registers = bound.card.registers("GPIE", "IMS", "IAM", "TXDCTL[0]", "RXDCTL[0]")
    sent = [(event.mode, event.vector) for event in seen.all("InterruptSent")]
    channels = bound.netif.settings.channels().combined
    evidence.note(
        guest={"handler": irq.name, "chip": irq.chip, "interrupts": after.total - irq.total, "channels": channels},
        device={**{name: hex(value) for name, value in registers.items()}, "messages": len(sent)},
    )
    assert (irq.name, irq.chip.partition("-0000")[0]) == ("eth0", "PCI-MSI")
    assert (channels, bound.netif.queue_count) == (1, (1, 1))
    assert list(registers.values()) == [0, CAUSES, CAUSES, TXDCTL, RXDCTL]
    assert passed == (FRAMES_IN, FRAMES_OUT)
    assert sent == [("msi", 0)] * len(sent)
    assert after.total - irq.total == len(sent) > FRAMES_IN


@claim("IRQ-12")
def test_without_msi_the_driver_shares_a_level_triggered_line(lab: Lab, evidence: Evidence) -> None:
    """30 frames in one by one and 20 out, ticks off: each assertion must be answered by one ICR read with bit 31."""
    bound = lab.bound(CardOptions(interrupts="intx", patches=lab.default.patches))
    bound.card.fault("ignore_eics", on=True)
    rest(bound)
    [irq] = bound.netif.irqs().values()
    with bound.card.recording("FrameDelivered", "InterruptSent", "RegisterRead") as seen:
        passed = both_ways(bound, seen)
        [after] = bound.netif.irqs().values()
    asserted = [(event.mode, event.vector) for event in seen.all("InterruptSent")]
    reads = [event.value for event in seen.all("RegisterRead", lambda event: event.register == "ICR")]
    claimed = [value for value in reads if value & INT_ASSERTED]
    complaints = [r.text for r in bound.guest.proc.log() if "nobody cared" in r.text or "Disabling IRQ" in r.text]
    evidence.note(
        guest={"handler": irq.name, "chip": irq.chip, "interrupts": after.total - irq.total, "complaints": complaints},
        device={"assertions": len(asserted), "ICR reads": len(reads), "with bit 31": len(claimed)},
    )
    assert (irq.name, irq.chip) == ("eth0", "IO-APIC")
    assert passed == (FRAMES_IN, FRAMES_OUT)
    assert asserted == [("intx", 0)] * len(asserted)
    assert len(claimed) == len(asserted) > FRAMES_IN
    assert after.total - irq.total >= len(asserted)
    assert complaints == []
