# SPDX-License-Identifier: BSD-3-Clause
"""Where QEMU's igb departs from the 82576 in time stamps: which packets get one, how many, and setting the clock."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_model.igb.spec.timesync import SYSTIMH, SYSTIML
from harness import frames
from harness.checks.ptp import (
    ETHERTYPE_PTP,
    FILTER_NONE,
    FILTER_PTP_V2_EVENT,
    RAW_HARDWARE,
    RX_HARDWARE,
    SO_TIMESTAMPING,
    TX_OFF,
)
from harness.checks.spare import ALL_PROTOCOLS, registers, tap
from harness.checks.witness import told
from harness.claims import claim
from harness.deadline import Deadline
from harness.guest.bare import offset
from harness.traffic import frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.evidence import Evidence
    from harness.lab import Bound

PTP_EVENT, PTP_GENERAL = 319, 320
"""UDP ports (IEEE 1588 annex D)."""

SYNC, DELAY_REQ, PDELAY_REQ, FOLLOW_UP = 0, 1, 2, 8
"""Message types; those below 8 are event messages (IEEE 1588 13.3.2.2)."""

PATIENCE_S = 5.0
STEP = 0x1000
"""How far the high half of the clock is set forward: hours, at igb's 2^-19 nanoseconds."""


def message(kind: int, number: int) -> bytes:
    """Return a PTPv2 message whose sequence id is ``number``."""
    head = bytearray(44)
    head[0], head[1], head[3] = kind, 2, len(head)
    head[20:30] = bytes(range(0x20, 0x2A))
    head[30:32] = number.to_bytes(2, "big")
    return bytes(head)


@dataclass(frozen=True, slots=True)
class Sent:
    """A PTP message: over UDP to ``port``, or in a frame of its own if that is 0."""

    name: str
    kind: int
    port: int = 0
    stamped: bool = True

    def frame(self, bound: Bound, number: int) -> bytes:
        """Return it as the frame for the guest."""
        body = message(self.kind, number)
        if not self.port:
            return frames.pad(frames.ethernet(frames.mac(bound.netif.mac), bound.peer.station.mac, ETHERTYPE_PTP, body))
        (flow,) = bound.peer.flows(1)
        return frame(type(flow)(flow.source, flow.destination, source_port=9000, destination_port=self.port), body)


@contextmanager
def stamping(bound: Bound) -> Iterator[int]:
    """Have PTP event messages stamped; yield a packet socket that sees every frame with its stamp."""
    agent = bound.guest.agent
    handle = tap(bound, ALL_PROTOCOLS)
    agent.call("setsockopt", handle=handle, level=1, option=SO_TIMESTAMPING, value=RX_HARDWARE | RAW_HARDWARE)
    agent.call("hardware_stamps", name=bound.netif.name, tx_type=TX_OFF, rx_filter=FILTER_PTP_V2_EVENT)
    try:
        yield handle
    finally:
        agent.call("hardware_stamps", name=bound.netif.name, tx_type=TX_OFF, rx_filter=FILTER_NONE)
        agent.call("close", handle=handle)


def stamp_of(bound: Bound, handle: int, wanted: bytes, name: str) -> int:
    """Return the stamp that ``wanted`` comes with, or 0; the socket sees the guest's own frames (MLD) too."""
    deadline = Deadline.after(PATIENCE_S)
    seen: list[bytes] = []
    while not deadline.passed:
        left = max(0.1, deadline.remaining)
        for answer in bound.guest.agent.start("receive_stamped", handle=handle, count=1, seconds=left).result(10.0):
            seen.append(base64.b64decode(answer["data"]))
            if seen[-1] == wanted:
                return int(answer["hardware"])
    raise AssertionError(f"{name} must come within {PATIENCE_S:g} s; what came is {[each.hex() for each in seen]}")


def stamps(bound: Bound, handle: int, sent: list[Sent]) -> list[int]:
    """Send the messages one by one, each when the guest has got the one before; return the stamp of each, or 0."""
    found = []
    for number, one in enumerate(sent, 0x1000):
        wanted = one.frame(bound, number)
        bound.peer.send(wanted)
        found.append(stamp_of(bound, handle, wanted, one.name))
    return found


@claim("DEV-04")
def test_every_sync_gets_a_stamp(bound: Bound, evidence: Evidence) -> None:
    """Four Sync messages in frames of their own: the driver reads each stamp, and must find the next one later."""
    with stamping(bound) as handle:
        found = stamps(bound, handle, [Sent("Sync", SYNC)] * 4)
    evidence.note(guest={"stamps, ns": found}, device=told(bound, "TSYNCRXCTL", "RXSTMPH"))
    assert 0 < found[0] < found[1] < found[2] < found[3]


@claim("DEV-05")
def test_every_event_message_gets_a_stamp(bound: Bound, evidence: Evidence) -> None:
    """Delay_Req and Pdelay_Req by Ethernet, Sync and Delay_Req by UDP to 319: stamped; what is no event: not."""
    sent = [
        Sent("Follow_Up by Ethernet", FOLLOW_UP, stamped=False),
        Sent("Delay_Req by Ethernet", DELAY_REQ),
        Sent("Delay_Req by UDP", DELAY_REQ, PTP_EVENT),
        Sent("Follow_Up by UDP", FOLLOW_UP, PTP_GENERAL, stamped=False),
        Sent("Pdelay_Req by Ethernet", PDELAY_REQ),
        Sent("Sync by UDP", SYNC, PTP_EVENT),
    ]
    with stamping(bound) as handle:
        found = dict(zip((one.name for one in sent), stamps(bound, handle, sent), strict=True))
    evidence.note(guest=found, device=told(bound, "TSYNCRXCTL", "TSYNCRXCFG"))
    assert {name: stamp > 0 for name, stamp in found.items()} == {one.name: one.stamped for one in sent}


@claim("DEV-18")
def test_the_clock_can_be_set(bound: Bound, evidence: Evidence) -> None:
    """The high half is written forward by hours, and read back at once; then it is set to what it was."""
    regs = registers(bound)
    low, high = regs.do((offset(SYSTIML),), (offset(SYSTIMH),))
    try:
        _, stepped = regs.do(
            (offset(SYSTIML), low), (offset(SYSTIMH), high + STEP), (offset(SYSTIML),), (offset(SYSTIMH),)
        )
    finally:
        regs.do((offset(SYSTIML), low), (offset(SYSTIMH), high))
    _, back = regs.do((offset(SYSTIML),), (offset(SYSTIMH),))
    evidence.note(guest={"before": high, "stepped": stepped, "back": back}, device=told(bound, "SYSTIMH", "TIMINCA"))
    assert high + STEP <= stepped < high + 2 * STEP
    assert high <= back < high + STEP
