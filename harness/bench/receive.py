# SPDX-License-Identifier: BSD-3-Clause
"""Receive: short UDP frames of many flows, as fast as the card takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import frames
from harness.bench.figures import Quantity
from harness.bench.wirings import DISCARD
from harness.deadline import Deadline, wait_still
from harness.traffic import Flow, Station, frame

if TYPE_CHECKING:
    from harness.bench.rig import Side

FLOWS = 64
FOR_S = 1.5
WARM_S = 0.2
SETTLE_S = 10.0
STILL_LOOKS = 6
"""With wait_until's pauses these span more than a tenth of a second."""

FIRST_HOST, FIRST_PORT = 10, 20_000
NOTHING_V6 = bytes(16)
BUFFER = 4096


def flood(side: Side, count: int = FLOWS) -> list[bytes]:
    """Return the shortest frame of each flow; both addresses and ports differ, so any hash spreads them."""
    here = Station(frames.mac(side.mac), frames.ip(side.address), NOTHING_V6)
    network = frames.ip(side.partner)[:3]
    made = []
    for number in range(count):
        there = Station(frames.mac(side.partner_mac), network + bytes((FIRST_HOST + number,)), NOTHING_V6)
        made.append(frame(Flow(there, here, source_port=FIRST_PORT + number, destination_port=DISCARD), b""))
    return made


@dataclass(frozen=True, slots=True)
class Receive:
    """64-byte frames over FLOWS flows, first to a socket that nobody reads, then to one that a program reads.

    What the driver counts is what counts. ``wire`` names the kind of wire of the rig that this is for.
    """

    wire: str

    @property
    def name(self) -> str:
        """How the workload is called."""
        return f"receive 64 B, {FLOWS} flows, {self.wire}"

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What it measures: frames that reached the stack, and where the others ended by the driver's account."""
        return (
            Quantity(f"{self.name}, by the driver", "packets/s"),
            Quantity(f"{self.name}, to a program", "packets/s"),
            Quantity(f"{self.name}, dropped by the card", "% of sent", more_is_better=False),
            Quantity(f"{self.name}, lost unseen", "% of sent", more_is_better=False),
        )

    def measure(self, side: Side) -> tuple[float, ...]:
        """Send for a while, wait until all that came has been counted."""
        sent = flood(side)
        agent = side.guest.agent
        side.spread()
        handle = agent.call("open_socket", kind="udp")
        try:
            agent.call("bind", handle=handle, address=[side.address, DISCARD])
            agent.call("buffers", handle=handle, send=None, receive=BUFFER)
            side.wire.blast(sent, WARM_S)
            before = settled(side)
            blast = side.wire.blast(sent, FOR_S)
            after = settled(side)
            reading = agent.start("drain", handle=handle, seconds=FOR_S)
            side.wire.blast(sent, FOR_S)
            read = reading.result(FOR_S + SETTLE_S) / FOR_S
        finally:
            agent.call("close", handle=handle)
        delivered, dropped = after.delivered - before.delivered, after.dropped - before.dropped
        unseen = max(0, blast.frames - delivered - dropped)
        return delivered / blast.seconds, read, 100.0 * dropped / blast.frames, 100.0 * unseen / blast.frames


@dataclass(frozen=True, slots=True)
class Counters:
    """Frames that the driver delivered, and frames that the card told it of having dropped (MPC and RQDPC)."""

    delivered: int
    dropped: int


def counters(side: Side) -> Counters:
    """Read them; rx_fifo_errors adds up both of what the card tells (Linux igb_update_stats)."""
    delivered, dropped = (side.netif.counter(name) for name in ("rx_packets", "rx_fifo_errors"))
    return Counters(delivered, dropped)


def settled(side: Side) -> Counters:
    """Return the driver's counters, once they have been the same several times in a row."""
    what = f"the receive counters of {side.netif.name}"
    return wait_still(lambda: counters(side), STILL_LOOKS, Deadline.after(SETTLE_S), what)
