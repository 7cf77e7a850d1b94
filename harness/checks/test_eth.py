# SPDX-License-Identifier: BSD-3-Clause
"""ethtool: the driver's own self test, and its statistics against the card's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.checks.links import fresh_link
from harness.checks.witness import watched
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.emulator import CardOptions
from harness.errors import NotSeen
from harness.lab import PEER_IPV4
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound, Lab

FCS = 4
PASSED = {"register": 0, "eeprom": 0, "interrupt": 0, "loopback": 0, "link": 0}
LOOPED_FRAMES = 640
"""Ten rounds of 64 frames (Linux igb_run_loopback_test)."""


def self_test(bound: Bound, evidence: Evidence) -> None:
    """Run the offline test, then prove that the interface still works both ways."""
    with watched(bound, "FrameEmitted", "RegisterWritten", "InterruptSent") as seen:
        passed, values = bound.netif.settings.self_test(seconds=90)
        bound.netif.wait_carrier(seconds=15)
    evidence.note(guest={"passed": passed, "values": values})
    assert (passed, values) == (True, PASSED)
    if seen is not None:
        looped = seen.all("FrameEmitted", lambda event: event.looped)
        causes = {event.value for event in seen.all("RegisterWritten", lambda event: event.register == "ICS")}
        messages = len(seen.all("InterruptSent"))
        evidence.note(device={"looped frames": len(looped), "causes tried": len(causes), "messages": messages})
        assert len(looped) == LOOPED_FRAMES
        assert len(causes) > 20, "one ICS write for each cause that the driver tests"
    with bound.peer.answering():
        done = bound.netif.tool("ping", "-c", "3", "-i", "0.2", "-W", "5", PEER_IPV4, check=False)
    assert done.rc == 0, done


@claim("ETH-01")
@pytest.mark.one_queue
def test_offline_self_test_passes_and_the_interface_works_afterwards(bound: Bound, evidence: Evidence) -> None:
    """The device's own count of looped frames and tried causes shows that the tests were really run."""
    self_test(bound, evidence)


@claim("ETH-04")
@pytest.mark.parametrize("interrupts", ["msi", "intx"])
def test_offline_self_test_passes_with_one_interrupt(lab: Lab, evidence: Evidence, interrupts: str) -> None:
    """In these modes the interrupt test also checks that masked and other causes stay silent (igb_intr_test)."""
    self_test(lab.bound(CardOptions(interrupts=interrupts, patches=lab.default.patches)), evidence)


@claim("ETH-08")
@pytest.mark.one_queue
def test_statistics_agree_with_the_card_at_odd_moments(bound: Bound, evidence: Evidence) -> None:
    """Reads fall between bursts of different sizes: a counter that does not clear on read is counted twice.

    600 frames of four lengths in, 300 out; the guest's watchdog reads the counters meanwhile as well.
    """
    if bound.options.kind == "hilnic":
        fresh_link(bound)
    before = bound.netif.statistics()
    rx_before, tx_before = bound.netif.queue_packets(), bound.netif.per_queue("tx", "packets")

    def caught_up() -> bool:
        """The driver counts in its polls, which may come later."""
        received = (bound.netif.queue_packets() - rx_before).total
        sent = (bound.netif.per_queue("tx", "packets") - tx_before).total
        return received >= len(seen.all("FrameDelivered")) and sent >= len(seen.all("FrameEmitted"))

    made = bound.peer.flows(16, protocol="tcp", seed=8)
    agent = bound.guest.agent
    handle = agent.call("open_socket", kind="udp")
    peer = [PEER_IPV4, 4000]
    with bound.card.recording("FrameArrived", "FrameEmitted", "FrameDelivered") as seen:
        for size in (16, 100, 700, 1400):
            for flow in made:
                bound.peer.send(*numbered_frames(flow, 10 if size > 16 else 7, size))
            agent.call("send_numbered", handle=handle, count=75, size=size, address=peer)
            bound.netif.statistics()
        expected = 16 * (7 + 3 * 10)
        seen.wait(expected, Deadline.after(20), kind="FrameDelivered")
        seen.wait(300, Deadline.after(20), kind="FrameEmitted")
        wait_until(caught_up, Deadline.after(20), "the driver having counted what the card has done", NotSeen)
        after = bound.netif.statistics()
        rx, tx = bound.netif.queue_packets() - rx_before, bound.netif.per_queue("tx", "packets") - tx_before
        delivered, emitted = seen.all("FrameDelivered"), seen.all("FrameEmitted")
    delta = {name: after[name] - before[name] for name in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes")}
    device = {
        "rx_packets": len(delivered),
        "tx_packets": len(emitted),
        "rx_bytes": sum(event.length + FCS for event in delivered),
        "tx_bytes": sum(len(event.frame) + FCS for event in emitted),
    }
    evidence.note(guest={**delta, "rx queues": list(rx), "tx queues": list(tx)}, device=device)
    assert device["rx_packets"] >= expected
    assert delta == device
    assert (rx.total, tx.total) == (device["rx_packets"], device["tx_packets"])
