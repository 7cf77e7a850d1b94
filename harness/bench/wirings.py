# SPDX-License-Identifier: BSD-3-Clause
"""What the cards of a rig are wired to, and the addresses at both ends."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.bench.far_end import FarEnd
from harness.bench.far_kernel import TapEnd
from harness.bench.far_stream import StreamEnd
from harness.deadline import Deadline
from harness.machine import datagram_netdev

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.bench.far_end import Blast
    from harness.bench.namespace import Namespace

CONNECT_S = 10.0
PLACES = 4
"""Cards that a guest can have."""

DISCARD = 9
"""UDP port that is measured with (RFC 863); pktgen's default too."""

PARTNER_MAC = "52:54:00:70:65:65"


class Sender(Protocol):
    """A far end that can send."""

    def blast(self, frames: Sequence[bytes], seconds: float) -> Blast:
        """Send ``frames`` over and over for ``seconds``."""


class Wiring(Protocol):
    """What the cards of a rig are wired to."""

    @property
    def enter(self) -> tuple[str, ...]:
        """The first words of the command lines of QEMU and the card."""

    def wire(self, place: int) -> str:
        """Return the emulator's ``--wire`` for the card at ``place``."""

    def netdev(self, place: int, ident: str) -> dict[str, Any]:
        """Return QEMU's backend for the card at ``place``."""

    def connect(self, place: int) -> Sender | None:
        """Make the far end work, once the card's end is there; return it if there is one."""

    def close(self) -> None:
        """Take the far ends away."""


class Datagrams:
    """Wires of Unix datagrams to far ends in this process."""

    enter: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._folder = Path(self._undo.enter_context(tempfile.TemporaryDirectory(prefix="hilnic-bench-")))
        self._ends = [
            self._undo.enter_context(FarEnd(self._path("far", place), self._path("near", place), DISCARD))
            for place in range(PLACES)
        ]

    def _path(self, which: str, place: int) -> Path:
        return self._folder / f"{which}-{place}"

    def wire(self, place: int) -> str:
        """Return the emulator's ``--wire``."""
        return f"dgram:local={self._path('near', place)},remote={self._path('far', place)}"

    def netdev(self, place: int, ident: str) -> dict[str, Any]:
        """Return QEMU's backend."""
        return datagram_netdev(ident, self._path("near", place), self._path("far", place))

    def connect(self, place: int) -> FarEnd:
        """Connect the far end to the card's end."""
        self._ends[place].connect(Deadline.after(CONNECT_S))
        return self._ends[place]

    def close(self) -> None:
        """Close the far ends."""
        self._undo.close()


class Streams:
    """Wires of Unix streams to far ends in this process, whom the cards call."""

    enter: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._folder = Path(self._undo.enter_context(tempfile.TemporaryDirectory(prefix="hilnic-bench-")))
        self._ends = [self._undo.enter_context(StreamEnd(self._path(place))) for place in range(PLACES)]

    def _path(self, place: int) -> Path:
        return self._folder / f"far-{place}"

    def wire(self, place: int) -> str:
        """Return the emulator's ``--wire``."""
        return f"stream:connect={self._path(place)}"

    def netdev(self, place: int, ident: str) -> dict[str, Any]:
        """Return QEMU's backend."""
        return {
            "type": "stream",
            "id": ident,
            "server": False,
            "addr": {"type": "unix", "path": str(self._path(place))},
        }

    def connect(self, place: int) -> StreamEnd:
        """Take the card's call."""
        self._ends[place].connect(Deadline.after(CONNECT_S))
        return self._ends[place]

    def close(self) -> None:
        """Close the far ends."""
        self._undo.close()


class Nobody:
    """Cables that lead nowhere, the cheapest there are: an own hub in QEMU, and the emulator's null wire."""

    enter: tuple[str, ...] = ()

    def wire(self, place: int) -> str:  # noqa: ARG002 - all are alike
        """Return the emulator's ``--wire``."""
        return "null"

    def netdev(self, place: int, ident: str) -> dict[str, Any]:
        """Return QEMU's backend."""
        return {"type": "hubport", "id": ident, "hubid": place}

    def connect(self, place: int) -> None:
        """Do nothing: nobody is there."""

    def close(self) -> None:
        """Do nothing."""


class Taps:
    """TAP interfaces in a network namespace, where the host's kernel answers."""

    def __init__(self, namespace: Namespace, *, offload: bool = True) -> None:
        self._namespace = namespace
        self._option = "" if offload else ",offload=off"
        self.enter = namespace.enter

    def wire(self, place: int) -> str:
        """Return the emulator's ``--wire``; the interface comes to be when it is opened."""
        return f"tap:tap{place}{self._option}"

    def netdev(self, place: int, ident: str) -> dict[str, Any]:
        """Return QEMU's backend."""
        return {"type": "tap", "id": ident, "ifname": f"tap{place}", "script": "no", "downscript": "no"}

    def connect(self, place: int) -> TapEnd:
        """Give the host's end its address."""
        self._namespace.address(f"tap{place}", f"{partner_of(place)}/24")
        return TapEnd(self._namespace, f"tap{place}")

    def close(self) -> None:
        """Leave the interfaces to whoever holds them."""


def mac_of(place: int) -> str:
    """Return the address of the card at ``place``."""
    return f"52:54:00:82:57:{0x60 + place:02x}"


def address_of(place: int) -> str:
    """Return the guest's address on the card at ``place`` (RFC 2544's benchmarking range)."""
    return f"198.18.{place + 1}.1"


def partner_of(place: int) -> str:
    """Return the far end's address."""
    return f"198.18.{place + 1}.2"
