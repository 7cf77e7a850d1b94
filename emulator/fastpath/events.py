# SPDX-License-Identifier: BSD-3-Clause
"""Events as the native engine keeps them, records of numbers (tell.h), and as ``device_model.events``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_model.events import Event

KINDS: tuple[type[Event], ...] = (
    events.RegisterRead,
    events.RegisterWritten,
    events.DmaRead,
    events.DmaWrite,
    events.TxDescriptor,
    events.TxWriteBack,
    events.RxDescriptor,
    events.RxWriteBack,
    events.FrameEmitted,
    events.FrameArrived,
    events.FrameDelivered,
    events.FrameDropped,
    events.CauseRaised,
    events.InterruptSent,
    events.InterruptWithheld,
    events.AutoMasked,
    events.LinkChanged,
    events.PauseFrame,
    events.DeviceReset,
    events.GuestError,
)
"""In the order of ``enum fp_kind``."""

NUMBER = {kind: number for number, kind in enumerate(KINDS)}
PURPOSES = ("rx-descriptor", "tx-descriptor", "tx-payload", "rx-payload", "rx-write-back", "tx-write-back", "tx-head")
REASONS = (
    "disabled", "link", "oversize", "address", "vlan", "pause", "mac-control", "no-descriptor", "packet-buffer-full",
)  # fmt: skip
CAUSES = ("rx-{}", "tx-{}", "other", "tcp-timer", "software")
MODES = ("msix", "msi", "intx")
WHYS = ("event", "unmask", "timer", "fault")
WITHHELD = ("masked", "throttled", "held", "dropped")


def decode(kind: int, t_ns: int, words: tuple[int, int, int, int], data: bytes, name_at: Callable[[int], str]) -> Event:
    """Return the event of a record; ``name_at`` names the register at an offset."""
    a, b, c, d = words
    made = KINDS[kind]
    if made in (events.RegisterRead, events.RegisterWritten):
        return made(t_ns, a, name_at(a), b)
    return made(t_ns, *_FIELDS[made](a, b, c, d, data))


_FIELDS: dict[type[Event], Callable[[int, int, int, int, bytes], tuple[Any, ...]]] = {
    events.DmaRead: lambda a, b, c, d, _: (a, b, PURPOSES[c], d),
    events.DmaWrite: lambda a, b, c, d, _: (a, b, PURPOSES[c], d),
    events.TxDescriptor: lambda a, b, _c, _d, data: (a, b, data),
    events.TxWriteBack: lambda a, b, _c, _d, _: (a, b),
    events.RxDescriptor: lambda a, b, _c, _d, data: (a, b, data),
    events.RxWriteBack: lambda a, b, _c, _d, data: (a, b, data),
    events.FrameEmitted: lambda a, b, _c, _d, data: (a, data, bool(b)),
    events.FrameArrived: lambda _a, _b, _c, _d, data: (data,),
    events.FrameDelivered: lambda a, b, c, d, _: (a, b, c, d),
    events.FrameDropped: lambda a, b, c, _d, _: (REASONS[a], b, c),
    events.CauseRaised: lambda a, b, c, _d, _: (a, CAUSES[b].format(c)),
    events.InterruptSent: lambda a, b, c, _d, _: (a, MODES[b], WHYS[c]),
    events.InterruptWithheld: lambda a, b, _c, _d, _: (a, WITHHELD[b]),
    events.AutoMasked: lambda a, _b, _c, _d, _: (a,),
    events.LinkChanged: lambda a, b, _c, _d, _: (a, bool(b)),
    events.PauseFrame: lambda a, b, _c, _d, _: (bool(a), b),
    events.DeviceReset: lambda _a, _b, _c, _d, data: (data.decode(),),
    events.GuestError: lambda _a, _b, _c, _d, data: (data.decode(),),
}


def encode(event: Event) -> tuple[int, tuple[int, int, int, int], bytes]:
    """Return kind, words and data of an event that Python tells; those that only the data path tells are a KeyError."""
    kind = type(event)
    a, b, data = _WORDS[kind](event)
    return NUMBER[kind], (a, b, 0, 0), data


_WORDS: dict[type[Event], Callable[[Any], tuple[int, int, bytes]]] = {
    events.RegisterRead: lambda event: (event.offset, event.value, b""),
    events.RegisterWritten: lambda event: (event.offset, event.value, b""),
    events.LinkChanged: lambda event: (event.speed_mbps, event.full_duplex, b""),
    events.PauseFrame: lambda event: (event.sent, event.quanta, b""),
    events.DeviceReset: lambda event: (0, 0, event.how.encode()),
    events.GuestError: lambda event: (0, 0, event.what.encode()),
}
