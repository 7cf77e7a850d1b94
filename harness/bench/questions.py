# SPDX-License-Identifier: BSD-3-Clause
"""Short exchanges with the host's kernel: a datagram and its answer, a connection and its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.bench.far_kernel import ECHO, KNOCK
from harness.bench.figures import Quantity, percentile

if TYPE_CHECKING:
    from harness.bench.rig import Side

PATIENCE_S = 5.0
WITHIN_S = 60.0
QUESTIONS, WARM = 500, 20
SIZE = 64
CONNECTIONS, FIRST = 300, 20


@dataclass(frozen=True, slots=True)
class RequestResponse:
    """One datagram at a time, answered by a program at the far end; the next goes as soon as the answer is there."""

    name: str = "udp request/response"

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What it measures: whole round trips, from one send call to the end of the receive call."""
        return (
            Quantity(f"{self.name} p50", "µs", more_is_better=False),
            Quantity(f"{self.name} p99", "µs", more_is_better=False),
        )

    def measure(self, side: Side) -> tuple[float, ...]:
        """Ask, and leave out the first few."""
        agent = side.guest.agent
        handle = agent.call("open_socket", kind="udp")
        try:
            asking = agent.start(
                "ask",
                handle=handle,
                address=[side.partner, ECHO],
                count=QUESTIONS + WARM,
                size=SIZE,
                seconds=PATIENCE_S,
            )
            times = [ns / 1000 for ns in asking.result(WITHIN_S)[WARM:]]
        finally:
            agent.call("close", handle=handle)
        return percentile(times, 50), percentile(times, 99)


@dataclass(frozen=True, slots=True)
class Connections:
    """One TCP connection after the other, which the far end ends at once."""

    name: str = "tcp connections"

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What it measures."""
        return (Quantity(self.name, "connections/s"),)

    def measure(self, side: Side) -> tuple[float, ...]:
        """Connect, wait for the end, close."""
        agent, address = side.guest.agent, [side.partner, KNOCK]
        for count in (FIRST, CONNECTIONS):
            took_ns = agent.start("knock", address=address, count=count, seconds=PATIENCE_S).result(WITHIN_S)
        return (CONNECTIONS * 1e9 / took_ns,)
