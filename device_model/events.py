# SPDX-License-Identifier: BSD-3-Clause
"""What a NIC tells its observers: the device's own account of what happened, event by event.

Every event is a frozen dataclass whose fields are integers, strings, Booleans or bytes, so that one
function turns any of them into JSON. ``t_ns`` is the device clock.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Observer = Callable[["Event"], None]
    Watcher = Callable[["Event", bool], None]


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened at ``t_ns`` (device clock, nanoseconds)."""

    t_ns: int


@dataclass(frozen=True, slots=True)
class RegisterRead(Event):
    """The guest read ``value`` at BAR 0 ``offset``; ``register`` is its name with index, as ``RDT[3]``."""

    offset: int
    register: str
    value: int


@dataclass(frozen=True, slots=True)
class RegisterWritten(Event):
    """The guest wrote ``value`` at BAR 0 ``offset``."""

    offset: int
    register: str
    value: int


@dataclass(frozen=True, slots=True)
class DmaRead(Event):
    """The device read ``size`` bytes at ``iova`` for ``purpose``: rx-descriptor, tx-descriptor or tx-payload."""

    iova: int
    size: int
    purpose: str
    queue: int


@dataclass(frozen=True, slots=True)
class DmaWrite(Event):
    """The device wrote ``size`` bytes at ``iova``; rx-payload, rx-write-back, tx-write-back or tx-head."""

    iova: int
    size: int
    purpose: str
    queue: int


@dataclass(frozen=True, slots=True)
class TxDescriptor(Event):
    """One transmit descriptor was fetched from slot ``index``; ``raw`` holds its 16 bytes."""

    queue: int
    index: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class TxWriteBack(Event):
    """DD was set in slot ``index`` of transmit queue ``queue``."""

    queue: int
    index: int


@dataclass(frozen=True, slots=True)
class RxDescriptor(Event):
    """One receive descriptor was fetched from slot ``index``; ``raw`` holds its 16 bytes in read format."""

    queue: int
    index: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class RxWriteBack(Event):
    """A receive descriptor was written back; ``raw`` holds its 16 bytes."""

    queue: int
    index: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class FrameEmitted(Event):
    """A frame left for the wire (or, with ``looped``, for the card's own receiver)."""

    queue: int
    frame: bytes
    looped: bool


@dataclass(frozen=True, slots=True)
class FrameArrived(Event):
    """A frame came from the wire, before any filter."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class FrameDelivered(Event):
    """A frame was stored in receive queue ``queue``; ``rss_type`` and ``rss_hash`` as written back."""

    queue: int
    length: int
    rss_type: int
    rss_hash: int


@dataclass(frozen=True, slots=True)
class FrameDropped(Event):
    """A frame ended in the card; ``reason`` is one of the words of ``receive.DropReason``."""

    reason: str
    length: int
    queue: int


@dataclass(frozen=True, slots=True)
class CauseRaised(Event):
    """An interrupt cause for ``vector`` appeared (``cause``: rx-3, tx-0, other, tcp-timer, software)."""

    vector: int
    cause: str


@dataclass(frozen=True, slots=True)
class InterruptSent(Event):
    """A message left for the guest; ``mode`` is msix, msi or intx; ``why`` is event, unmask, timer, fault."""

    vector: int
    mode: str
    why: str


@dataclass(frozen=True, slots=True)
class InterruptWithheld(Event):
    """A pending message was not sent; ``why`` is masked, throttled, held or dropped."""

    vector: int
    why: str


@dataclass(frozen=True, slots=True)
class AutoMasked(Event):
    """Sending the message cleared EIMS bit ``vector`` (GPIE.EIAME with EIAM)."""

    vector: int


@dataclass(frozen=True, slots=True)
class LinkChanged(Event):
    """The link went up at ``speed_mbps``, or down (0)."""

    speed_mbps: int
    full_duplex: bool


@dataclass(frozen=True, slots=True)
class PauseFrame(Event):
    """A pause frame of ``quanta`` units of 512 bit times was sent, or (``sent`` False) received and obeyed."""

    sent: bool
    quanta: int


@dataclass(frozen=True, slots=True)
class DeviceReset(Event):
    """The device was reset; ``how`` is software (CTRL.RST), power-on, function-level or lost-client."""

    how: str


@dataclass(frozen=True, slots=True)
class GuestError(Event):
    """The guest asked for nonsense and got silicon's answer; ``what`` says it in a sentence."""

    what: str


def to_json(event: Event) -> dict[str, int | str | bool]:
    """Return the event as a JSON object: its fields, bytes in hexadecimal, and ``kind``, the class name."""
    out: dict[str, int | str | bool] = {"kind": type(event).__name__}
    for field in fields(event):
        value = getattr(event, field.name)
        out[field.name] = value.hex() if isinstance(value, bytes) else value
    return out


TOLD_BEFORE = frozenset({RegisterWritten, InterruptSent})
"""Kinds that are told before the act; all others are told after it."""

TWO_SIDED = TOLD_BEFORE | {RegisterRead, DmaRead, DmaWrite}
"""Kinds whose act has another side, which only a watcher hears of; a read that is yet to come has value 0."""


class Tell:
    """Where a NIC's blocks report events; ``on`` is False while nobody listens, so that silence costs nothing.

    Besides its observers there is at most one watcher. It is called at the very place where an event happens and may
    hold the card there; ``two_sided`` says that it wants to be called on the other side of some acts, too.
    """

    __slots__ = ("_observers", "_other_sides", "_watched", "_watcher", "on", "two_sided")

    def __init__(self) -> None:
        """Start with nobody listening."""
        self._observers: tuple[Observer, ...] = ()
        self._watcher: Watcher | None = None
        self._watched: frozenset[type[Event]] = frozenset()
        self._other_sides: frozenset[type[Event]] = frozenset()
        self.on = False
        self.two_sided = False

    def __call__(self, event: Event) -> None:
        """Pass ``event`` to every observer, and to the watcher."""
        for observer in self._observers:
            observer(event)
        if type(event) in self._watched:
            self.watched(event, other_side=False)

    def other_side(self, event: Event) -> None:
        """Pass ``event`` to the watcher on the side of the act on which it is not told."""
        if type(event) in self._other_sides:
            self.watched(event, other_side=True)

    def watched(self, event: Event, *, other_side: bool) -> None:
        """Call the watcher."""
        if self._watcher is not None:
            self._watcher(event, other_side)

    def watch(
        self, watcher: Watcher, kinds: frozenset[type[Event]], other_sides: frozenset[type[Event]] = frozenset()
    ) -> None:
        """Call ``watcher`` where an event of ``kinds`` is told, and at ``other_sides``: in place of whoever watched."""
        self._watcher, self._watched, self._other_sides = watcher, kinds, other_sides
        self.listen()

    def listen(self) -> None:
        """Tell what somebody wants to know."""
        self.two_sided = bool(self._other_sides)
        self.on = bool(self._observers or self._watched)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Add ``observer``; the returned function takes it away again."""
        self._observers = (*self._observers, observer)
        self.listen()

        def end() -> None:
            self._observers = tuple(other for other in self._observers if other is not observer)
            self.listen()

        return end
