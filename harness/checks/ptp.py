# SPDX-License-Identifier: BSD-3-Clause
"""The card's clock as the guest knows it, and PTP messages to be stamped (IEEE 1588-2008)."""

from __future__ import annotations

import base64
import itertools
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device_model.igb.spec.timesync import SYSTIMH, SYSTIML
from harness import frames
from harness.traffic import Flow, frame

if TYPE_CHECKING:
    from harness.lab import Bound
    from harness.seen import Recording, Seen

NS_SHIFT = 19
"""SYSTIM counts units of 2^-19 ns (Linux IGB_82576_TSYNC_SHIFT)."""

STEP_NS = 16
"""SYSTIM goes on every 16 ns (82576 8.16)."""

LATE_NS = 100_000_000
"""By how much the card may record a reading late: it may lose its processor in between."""

TX_OFF, TX_ON = 0, 1
FILTER_NONE, FILTER_ALL, FILTER_PTP_V2_EVENT = 0, 1, 12
"""Linux include/uapi/linux/net_tstamp.h."""

SO_TIMESTAMPING = 37
TX_HARDWARE, RX_HARDWARE, RAW_HARDWARE, TSONLY = 1 << 0, 1 << 2, 1 << 6, 1 << 11
EVENT_PORT = 319
ETHERTYPE_PTP = 0x88F7
PTP_MULTICAST = bytes.fromhex("011b19000000")
SYNC, DELAY_REQUEST, PDELAY_REQUEST, PDELAY_RESPONSE, FOLLOW_UP = 0, 1, 2, 3, 8
SOURCE = bytes.fromhex("525400fffe7065650001")


def message(kind: int, sequence: int, version: int = 2) -> bytes:
    """Return a PTP message's header with a body of ten zeros."""
    head = struct.pack("!BBHBxHQ4x", kind, version, 44, 0, 0, 0)
    return head + SOURCE + struct.pack("!HBb", sequence, 0, 0) + bytes(10)


def over_ethernet(bound: Bound, kind: int, sequence: int, version: int = 2) -> bytes:
    """Return the frame that carries a message right over Ethernet (IEEE 1588 annex F)."""
    body = message(kind, sequence, version)
    station = frames.mac(bound.netif.mac)
    return frames.pad(frames.ethernet(station, bound.peer.station.mac, ETHERTYPE_PTP, body))


def over_udp(bound: Bound, kind: int, sequence: int) -> bytes:
    """Return the frame that carries a message over UDP and IPv4 (IEEE 1588 annex D)."""
    assert bound.peer.guest is not None
    flow = Flow(bound.peer.station, bound.peer.guest, 4, "udp", EVENT_PORT, EVENT_PORT)
    return frame(flow, message(kind, sequence))


def sequence_of(answer: dict[str, Any]) -> int:
    """Return the sequence number of a message that ``receive_stamped`` returned, with or without a header before it."""
    data = base64.b64decode(answer["data"])
    start = data.index(SOURCE)
    return int.from_bytes(data[start + len(SOURCE) :][:2], "big")


def clock_path(bound: Bound) -> str:
    """Return the device of the clock that ``ethtool -T`` names."""
    index = re.search(r"(?:PTP Hardware Clock|Hardware timestamp provider index): (\d+)", bound.netif.ethtool("-T").out)
    assert index, "ethtool -T must name a clock"
    return f"/dev/ptp{index[1]}"


def stamping(bound: Bound, *, send: bool = False, receive: int = FILTER_NONE) -> list[int]:
    """Switch hardware stamps on, until the check is over; return what the driver made of the request."""
    name, agent = bound.netif.name, bound.guest.agent

    def ask(tx_type: int, rx_filter: int) -> list[int]:
        answer: list[int] = agent.call("hardware_stamps", name=name, tx_type=tx_type, rx_filter=rx_filter)
        return answer

    bound.guest.undo.remember((name, "stamps"), lambda: ask(TX_OFF, FILTER_NONE))
    return ask(TX_ON if send else TX_OFF, receive)


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the clock: the guest's time in ns, SYSTIM that the card gave for it, and the card's own time."""

    guest_ns: int
    systim: int
    card_ns: int

    def guest_time(self, systim: int) -> int:
        """Return the guest's ns for another value of SYSTIM, at most one off (the kernel keeps fractions)."""
        return self.guest_ns + (systim - self.systim >> NS_SHIFT)

    def card_time(self, systim: int) -> int:
        """Return the card's time for another value of SYSTIM: late by what passed before the reading was recorded."""
        return self.card_ns + (systim - self.systim >> NS_SHIFT)

    def lies_between(self, systim: int, before: Seen, after: Seen) -> bool:
        """Tell whether SYSTIM was ``systim`` between two events of the card; it counts in steps of 16 ns."""
        return before.t_ns - 2 * STEP_NS <= self.card_time(systim) <= after.t_ns + LATE_NS


def pairs(seen: Recording, low: str, high: str) -> list[tuple[int, Seen]]:
    """Return each 64-bit value that the driver read from registers ``low`` and ``high``, with the read of ``high``."""
    reads = seen.all("RegisterRead", lambda event: event.register in (low, high))
    return [
        (second.value << 32 | first.value, second)
        for first, second in itertools.pairwise(reads)
        if (first.register, second.register) == (low, high)
    ]


def read_clock(bound: Bound, seen: Recording, path: str) -> Reading:
    """Read the clock once; ``seen`` must record RegisterRead."""
    before = len(pairs(seen, SYSTIML.__name__, SYSTIMH.__name__))
    guest_ns: int = bound.guest.agent.call("ptp_time", path=path)
    (systim, event), *others = pairs(seen, SYSTIML.__name__, SYSTIMH.__name__)[before:]
    assert not others, "nobody else reads the clock meanwhile: the driver's own look is every few minutes"
    return Reading(guest_ns, systim, event.t_ns)


def stamped_socket(bound: Bound, flags: int, **how: Any) -> int:  # noqa: ANN401 - arguments of the agent's call
    """Open a socket that asks for the stamps of ``flags`` and reports them raw."""
    handle: int = bound.guest.agent.call("open_socket", **how)
    bound.guest.agent.call("setsockopt", handle=handle, level=1, option=SO_TIMESTAMPING, value=flags | RAW_HARDWARE)
    return handle
