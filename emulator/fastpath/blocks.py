# SPDX-License-Identifier: BSD-3-Clause
"""The blocks of the data path as ``device_model.igb`` knows them, each a thin hand on the native engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.events import Tell
from device_model.igb.flow_control import FlowControl
from emulator.fastpath.events import KINDS, NUMBER, REASONS, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from device_model.events import Event, Observer, Watcher
    from emulator.fastpath.engine import Engine

ALL_KINDS = 0xFFFF_FFFF


def bits(kinds: Iterable[type[Event]]) -> int:
    """Return ``kinds`` as the engine takes them: a bit each."""
    return sum(1 << NUMBER[kind] for kind in kinds)


class NativeRing:
    """A ring's pointers, read where they are."""

    def __init__(self, ring: Any, direction: str, queue: int) -> None:  # noqa: ANN401 - cffi's objects have no types
        self._ring = ring
        self.direction = direction
        self.queue = queue

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - cffi's objects have no types
        """Return base, count, head, fetched, tail, enabled or halted."""
        return getattr(self._ring, name)


class NativeTxQueue:
    """A transmit queue: its ring."""

    def __init__(self, ring: NativeRing) -> None:
        self.ring = ring


class NativeFlowControl(FlowControl):
    """The model's, whose state the engine shares: it sends pause frames itself where nobody listens."""

    def __init__(self, engine: Engine, *arguments: Any) -> None:  # noqa: ANN401 - the model's own
        self._xoff = engine.e.link
        super().__init__(*arguments)

    @property
    def xoff_sent(self) -> bool:
        """Our partner was told to pause, and not yet to go on."""
        return bool(self._xoff.xoff)

    @xoff_sent.setter
    def xoff_sent(self, on: bool) -> None:
        self._xoff.xoff = on


class NativeInterrupts:
    """The interrupt registers and what follows from them: interrupts.c."""

    def __init__(self, engine: Engine) -> None:
        self._e, self._lib = engine.e, engine.lib

    @property
    def sent(self) -> list[int]:
        """Messages by vector, since the card was made."""
        return list(self._e.messages_sent)

    @property
    def least_gap_us(self) -> int:
        """Time between two messages of a moderated vector, if it is more than EITR asks for."""
        return int(self._e.least_gap_us)

    @least_gap_us.setter
    def least_gap_us(self, gap_us: int) -> None:
        self._e.least_gap_us = gap_us

    @property
    def paced(self) -> bool:
        """Messages come at the guest's own pace."""
        return bool(self._e.paced)

    @paced.setter
    def paced(self, on: bool) -> None:
        self._e.paced = on

    def raise_receive(self, queue: int) -> None:
        """A descriptor of receive queue ``queue`` was written back."""
        self._lib.fp_raise_receive(self._e, queue)

    def raise_transmit(self, queue: int, many: int = 1) -> None:
        """``many`` descriptors of transmit queue ``queue`` were written back."""
        self._lib.fp_raise_transmit(self._e, queue, many)

    def raise_causes(self, causes: int) -> None:
        """Set bits of ICR."""
        self._lib.fp_raise_causes(self._e, causes)

    def reset(self) -> None:
        """Forget pending work after the registers were reset."""
        self._lib.fp_reset_interrupts(self._e)

    def mode_changed(self) -> None:
        """Look again at the interrupt scheme."""
        self._lib.fp_mode_changed(self._e)

    def deliver_pending(self, vector: int) -> None:
        """Try again to send the message of ``vector``."""
        self._lib.fp_deliver_pending(self._e, vector)

    def send_spurious(self, vector: int) -> None:
        """Send a message that nothing caused."""
        self._lib.fp_send_spurious(self._e, vector)


class NativeReceive:
    """The receive path: receive.c."""

    def __init__(self, engine: Engine) -> None:
        self._e, self._lib = engine.e, engine.lib
        self.rings = [NativeRing(queue.ring, "rx", n) for n, queue in enumerate(engine.e.rx)]

    @property
    def delivered(self) -> list[int]:
        """Frames by queue, since the card was made."""
        return list(self._e.delivered)

    @property
    def delivered_bytes(self) -> list[int]:
        """Bytes by queue, since the card was made."""
        return list(self._e.delivered_bytes)

    @property
    def dropped(self) -> dict[str, int]:
        """Frames by reason."""
        return dict(zip(REASONS, self._e.drops, strict=True))

    def arrive(self, frame: bytes) -> None:
        """Take one frame from the wire."""
        self._lib.fp_arrive(self._e, frame, len(frame), False)

    def reset(self) -> None:
        """Drop all frames and forget all rings."""
        self._lib.fp_reset_receive(self._e)

    def finish_write_back(self, queue: int) -> None:
        """Supply the lengths that a fault left out."""
        self._lib.fp_finish_write_back(self._e, queue)

    def rewrite_old_slot(self, queue: int) -> None:
        """Write the newest descriptor's words once more into the slot behind it."""
        self._lib.fp_rewrite_old_slot(self._e, queue)


class NativeTransmit:
    """The transmit path: transmit.c."""

    def __init__(self, engine: Engine, rate_mbps: int | None) -> None:
        self._e, self._lib = engine.e, engine.lib
        self.queues = [NativeTxQueue(NativeRing(queue.ring, "tx", n)) for n, queue in enumerate(engine.e.tx)]
        self.rate_mbps = rate_mbps

    @property
    def rate_mbps(self) -> int | None:
        """The rate in Mb/s: None follows the link, 0 is unlimited."""
        rate = int(self._e.rate_mbps)
        return None if rate < 0 else rate

    @rate_mbps.setter
    def rate_mbps(self, rate: int | None) -> None:
        self._e.rate_mbps = -1 if rate is None else rate

    @property
    def sent(self) -> list[int]:
        """Frames by queue, since the card was made."""
        return list(self._e.sent)

    @property
    def sent_bytes(self) -> list[int]:
        """Bytes by queue, since the card was made."""
        return list(self._e.sent_bytes)

    def kick(self) -> None:
        """Look for work soon."""
        self._lib.fp_kick(self._e)

    def reset(self) -> None:
        """Drop all work."""
        self._lib.fp_reset_transmit(self._e)

    def release(self, queue: int, count: int | None) -> int:
        """Write back the oldest ``count`` withheld packets; return how many."""
        return int(self._lib.fp_release_completions(self._e, queue, -1 if count is None else count))

    def complete_now(self, queue: int, index: int) -> None:
        """Set DD in slot ``index``, whatever it holds."""
        self._lib.fp_complete_now(self._e, queue, index)


class NativeTell(Tell):
    """Events go into the engine's ring; ``drain`` passes them on to observers in Python."""

    __slots__ = ("_e", "_engine", "_lib", "_seen", "name_at", "recorded")

    def __init__(self, engine: Engine) -> None:
        """Start with nobody listening."""
        self._engine, self._e, self._lib = engine, engine.e, engine.lib
        self._observers: tuple[Observer, ...] = ()
        self._watcher: Watcher | None = None
        self._watched: frozenset[type[Event]] = frozenset()
        self._other_sides: frozenset[type[Event]] = frozenset()
        self.two_sided = False
        self._seen = 0
        self.recorded = 0
        """The kinds that a recorder keeps, as bits."""
        self.name_at: Callable[[int], str] = hex

    @property
    def on(self) -> bool:  # type: ignore[override]
        """Whether somebody listens."""
        return bool(self._e.tell.on)

    def __call__(self, event: Event) -> None:
        """Put ``event`` among those of the data path."""
        kind, words, data = encode(event)
        self._lib.fp_tell(self._e, kind, *words, data, len(data))

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Add ``observer``; the returned function takes it away again."""
        if not self._observers:
            self._seen = int(self._e.tell.next)
        self._observers = (*self._observers, observer)
        self.listen()

        def end() -> None:
            self._observers = tuple(other for other in self._observers if other is not observer)
            self.listen()

        return end

    def listen(self) -> None:
        """Let the engine tell what somebody wants to know."""
        tell = self._e.tell
        tell.kept = ALL_KINDS if self._observers else self.recorded
        tell.watched = bits(self._watched)
        tell.beside = bits(self._other_sides)
        self.two_sided = bool(self._other_sides)
        tell.on = bool(self._observers or self.recorded or self._watched)

    def drain(self) -> None:
        """Pass on to the observers what has happened since the last time."""
        while self._observers and self._seen < self._e.tell.next:
            self._seen = max(self._seen, int(self._e.tell.oldest))
            event = self.event(self._seen)
            self._seen += 1
            if event is not None:
                for observer in self._observers:
                    observer(event)

    def event(self, number: int) -> Event | None:
        """Return event ``number``, or None if it is there no more."""
        record = self._lib.fp_record_at(self._engine.ffi.addressof(self._e.tell), number)
        if record == self._engine.ffi.NULL:
            return None
        data = self._engine.bytes_at(record.data, record.data_size)
        return decode(record.kind, record.t_ns, (record.a, record.b, record.c, record.d), data, self.name_at)

    def kind(self, number: int) -> type[Event] | None:
        """Return which kind event ``number`` is, or None if it is there no more."""
        record = self._lib.fp_record_at(self._engine.ffi.addressof(self._e.tell), number)
        return None if record == self._engine.ffi.NULL else KINDS[record.kind]
