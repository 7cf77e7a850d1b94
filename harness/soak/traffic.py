# SPDX-License-Identifier: BSD-3-Clause
"""Mixed traffic through the interface: iperf3 one way or the other, pings beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import random

    from harness.bench.namespace import Namespace
    from harness.bench.rig import Side
    from harness.child import Child
    from harness.guest.agent import Pending

PORT = 5201
GRACE_S = 4
"""A program that has not ended by itself so long after its time is ended: its connection did not survive a change."""

KINDS: tuple[tuple[str, ...], ...] = (
    ("--parallel", "4"),
    ("--parallel", "4", "--reverse"),
    ("--parallel", "2", "--bidir"),
    ("--parallel", "4", "--udp", "--bitrate", "0", "--length", "1400"),
    ("--parallel", "4", "--udp", "--bitrate", "0", "--length", "64"),
    ("--parallel", "4", "--udp", "--bitrate", "0", "--length", "1400", "--reverse"),
    ("--parallel", "4", "--udp", "--bitrate", "0", "--length", "64", "--reverse"),
)
"""At full speed: --bitrate 0 sends as fast as sending goes."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Traffic under way; ``words`` say which."""

    words: tuple[str, ...]
    server: Child
    pending: tuple[Pending, ...]
    wait_s: float

    @classmethod
    def start(cls, side: Side, namespace: Namespace, dice: random.Random, seconds: int) -> Self:
        """Start something for ``seconds``. Each time has a server of its own: one that lost its client waits long."""
        words = dice.choice(KINDS)
        server = namespace.serve(
            "usr/bin/iperf3", "--server", "--one-off", "--forceflush", "--port", str(PORT), until=b"Server listening"
        )
        most = str(seconds + GRACE_S)
        programs = (
            ("iperf3", "--client", side.partner, "--port", str(PORT), "--time", str(seconds), *words),
            ("ping", "-q", "-i", "0.01", "-s", str(dice.choice((8, 56, 1000, 4000))), "-w", str(seconds), side.partner),
        )
        pending = tuple(
            side.guest.agent.start(
                "run",
                cpus=list(range(side.guest.cpus)),
                argv=["timeout", "-s", "KILL", most, *argv],
                seconds=float(most) + 10,
            )
            for argv in programs
        )
        return cls(words, server, pending, float(most) + 20)

    def wait(self) -> None:
        """Wait for its end, good or bad: a connection need not survive a driver's reload."""
        try:
            for each in self.pending:
                each.result(self.wait_s)
        finally:
            self.server.stop()
