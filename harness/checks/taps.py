# SPDX-License-Identifier: BSD-3-Clause
"""A packet socket of the guest that sees all frames of the interface, as tcpdump would."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.dissect import dissect
from harness.frames import UDP

if TYPE_CHECKING:
    from harness.lab import Bound

EVERYTHING = 3
"""ETH_P_ALL (Linux include/uapi/linux/if_ether.h)."""

ROOM = 16 << 20
HALT = "tap"
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Tap:
    """An open tap; what it has seen waits in its socket."""

    bound: Bound
    handle: int

    def datagrams(self) -> list[bytes]:
        """Return the frames with UDP over IPv4 that the tap has seen since it was opened or asked last."""
        agent = self.bound.guest.agent
        agent.call("halt", stop=HALT)
        got = agent.call("receive", handle=self.handle, count=0, seconds=PATIENCE_S, body=True, stop=HALT)["got"]
        frames = [base64.b64decode(body) for _, _, _, body in got]
        return [frame for frame in frames if (dissect(frame).family, dissect(frame).protocol) == (4, UDP)]


def tap(bound: Bound) -> Tap:
    """Open a tap; it is closed after the check."""
    agent = bound.guest.agent
    handle = agent.call("open_socket", kind="packet", protocol=EVERYTHING)
    agent.call("bind", handle=handle, address=[bound.netif.name, 0])
    agent.call("buffers", handle=handle, send=None, receive=ROOM)
    return Tap(bound, handle)
