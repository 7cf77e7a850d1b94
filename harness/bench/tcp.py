# SPDX-License-Identifier: BSD-3-Clause
"""What users see: TCP throughput by iperf3 and round trips by ping, with a real network stack at the far end."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.bench.figures import Quantity, percentile
from harness.errors import GuestFault

if TYPE_CHECKING:
    from harness.bench.rig import Side

FOR_S = 2
SLACK_S = 30.0
PINGS, WARM_PINGS = 200, 10
INTERVAL_S = 0.01
TIME = re.compile(r"\btime=([\d.]+) ms$", re.MULTILINE)
SERVER = ("usr/bin/iperf3", "--server", "--forceflush")
SERVING = b"Server listening"


def parse_iperf3(text: str) -> float:
    """Return the megabits per second that the receiver of a test counted (iperf3 --json)."""
    try:
        found = json.loads(text)
        return float(found["end"]["sum_received"]["bits_per_second"]) / 1e6
    except (ValueError, KeyError, TypeError) as error:
        raise GuestFault(f"iperf3 must end with what was received, not with {text.strip()[-200:]!r}") from error


def parse_ping(text: str) -> list[float]:
    """Return each round trip in microseconds."""
    return [float(time) * 1000 for time in TIME.findall(text)]


@dataclass(frozen=True, slots=True)
class Stream:
    """TCP connections, ``parallel`` at once. ``reverse``: from the far end to the guest."""

    reverse: bool
    parallel: int = 1

    @property
    def name(self) -> str:
        """How the workload is called."""
        return f"tcp {'to' if self.reverse else 'from'} the guest, {self.parallel} at once"

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What it measures."""
        return (Quantity(self.name, "Mbit/s"),)

    def measure(self, side: Side) -> tuple[float, ...]:
        """Send for FOR_S seconds."""
        way = ("--reverse",) if self.reverse else ()
        many = ("--parallel", str(self.parallel))
        argv = ("iperf3", "--client", side.partner, "--json", "--time", str(FOR_S), *many, *way)
        return (parse_iperf3(side.run(*argv, seconds=FOR_S + SLACK_S)),)


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One echo at a time."""

    name: str = "ping"

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What it measures."""
        return (
            Quantity(f"{self.name} p50", "µs", more_is_better=False),
            Quantity(f"{self.name} p99", "µs", more_is_better=False),
        )

    def measure(self, side: Side) -> tuple[float, ...]:
        """Ping, and leave out the first few, which meet cold caches and an unknown neighbour."""
        count = PINGS + WARM_PINGS
        said = side.run("ping", "-n", "-c", str(count), "-i", str(INTERVAL_S), "-W", "1", side.partner, seconds=SLACK_S)
        times = parse_ping(said)[WARM_PINGS:]
        if len(times) < PINGS // 2:
            raise GuestFault(f"most of {count} echoes must be answered, and {len(times)} were")
        return percentile(times, 50), percentile(times, 99)
