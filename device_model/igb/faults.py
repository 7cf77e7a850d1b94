# SPDX-License-Identifier: BSD-3-Clause
"""Deliberate faults: how a tester makes the card misbehave at one exact point.

The blocks of the card consult these fields where the fault bites; `Faults.apply` is how the control
socket reaches them, by name and with plain arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol, cast

from device_model.nic import FaultError

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = 25
QUEUES = 16
_SLOTS = 1 << 16
_MANY = 1 << 16
_DWORD = 1 << 32
_RSS_TYPES = 16
_REGISTERS_END = 0x2_0000


class Actions(Protocol):
    """What a fault may make the card do at once."""

    def refresh_faults(self) -> None:
        """Bring what the card has counted down of the faults in force into their fields."""

    def faults_changed(self) -> None:
        """Take note that the fields have changed."""

    def deliver_pending(self, vector: int) -> None:
        """Try again to send the message of ``vector``."""

    def send_spurious(self, vector: int) -> None:
        """Send message ``vector`` although nothing happened."""

    def release_completions(self, queue: int, count: int | None) -> int:
        """Write back the oldest ``count`` withheld packets (None: all); return how many."""

    def complete_now(self, queue: int, index: int) -> None:
        """Set DD in transmit slot ``index``, whatever is in it."""

    def rewrite_old_receive_slot(self, queue: int) -> None:
        """Write the last receive descriptor's contents once more, one slot behind the head."""

    def bad_checksum(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Spoil (or mend) the EEPROM's checksum word."""

    def finish_write_back(self, queue: int) -> None:
        """Write the lengths that were left out of receive write-backs."""

    def transmit_off(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Show STATUS.TXOFF (or not)."""


@dataclass(slots=True)
class Faults:
    """The faults in force. Everything off is the healthy card."""

    actions: Actions
    held_vectors: set[int] = field(default_factory=set)
    drop_before_mask: dict[int, int] = field(default_factory=dict)
    drop_after_mask: dict[int, int] = field(default_factory=dict)
    duplicates: dict[int, int] = field(default_factory=dict)
    no_auto_mask_on: bool = False
    withheld_queues: set[int] = field(default_factory=set)
    transmit_nothing_on: bool = False
    zero_length_left: dict[int, int] = field(default_factory=dict)
    unfinished_queues: set[int] = field(default_factory=set)
    forced_rss: dict[str, int] = field(default_factory=dict)
    forced_checksum: int | None = None
    all_ones: bool = False
    ignore_eics_on: bool = False
    ignore_eitr_on: bool = False
    no_tx_timestamp_on: bool = False
    corrupt_loopback_on: bool = False
    force_rx_errors: int = 0
    bad_nvm_checksum_on: bool = False
    tx_off_on: bool = False
    stuck: dict[int, int] = field(default_factory=dict)
    prompt_doorbells_on: bool = False

    def apply(self, name: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Run the fault command ``name``; FaultError says what is wrong with the name or the arguments."""
        command = COMMANDS.get(name)
        if command is None:
            raise FaultError(f"a fault must be one of {', '.join(sorted(COMMANDS))}, not {name!r}")
        try:
            signature(command).bind(self, **arguments)
        except TypeError as error:
            raise FaultError(f"the arguments of {name} do not fit: {error}") from None
        self.actions.refresh_faults()
        result = command(self, **arguments)
        self.actions.faults_changed()
        return result or {}

    def try_out(self, name: str, **arguments: Any) -> None:  # noqa: ANN401 - JSON values
        """Raise FaultError as ``apply`` would, and do nothing."""
        Faults(cast("Actions", _Idle())).apply(name, **arguments)

    def acts(self, name: str) -> bool:
        """Say whether fault ``name`` makes the card do something at once, besides what it does from now on."""
        return name in ACTING

    def clear(self) -> None:
        """Return to the healthy card; what was withheld is released."""
        healthy = Faults(self.actions)
        held, withheld, silent = self.held_vectors, self.withheld_queues, self.unfinished_queues
        for name in self.__slots__:
            if name != "actions":
                setattr(self, name, getattr(healthy, name))
        self.actions.bad_checksum(False)
        self.actions.transmit_off(False)
        for queue in silent:
            self.actions.finish_write_back(queue)
        for queue in withheld:
            self.actions.release_completions(queue, None)
        for vector in held:
            self.actions.deliver_pending(vector)

    def in_force(self) -> dict[str, Any]:
        """Return the faults that differ from the healthy card, as JSON values."""
        self.actions.refresh_faults()
        healthy = Faults(self.actions)
        changed = {n: getattr(self, n) for n in self.__slots__ if getattr(self, n) != getattr(healthy, n)}
        return {name: sorted(value) if isinstance(value, set) else value for name, value in changed.items()}

    # -- one method per command; the numbers F1–F24 are those of docs/control.md -----------------------

    def hold_interrupts(self, vector: int) -> None:
        """F1: keep the message of ``vector`` back; causes accumulate."""
        self.held_vectors.add(_within("vector", vector, VECTORS))

    def release_interrupts(self, vector: int) -> None:
        """F1: let ``vector`` go; a pending message is sent at once."""
        self.held_vectors.discard(_within("vector", vector, VECTORS))
        self.actions.deliver_pending(vector)

    def drop_interrupts(self, vector: int, count: int = 1, when: str = "before-mask") -> None:
        """F2: lose the next ``count`` messages, before or after the auto-mask takes effect."""
        places = {"before-mask": self.drop_before_mask, "after-mask": self.drop_after_mask}
        if when not in places:
            raise FaultError(f"when must be before-mask or after-mask, not {when!r}")
        places[when][_within("vector", vector, VECTORS)] = _within("count", count, _MANY, 1)

    def duplicate_interrupts(self, vector: int, count: int = 1) -> None:
        """F3: send the next message of ``vector`` ``count`` more times."""
        self.duplicates[_within("vector", vector, VECTORS)] = _within("count", count, _MANY, 1)

    def spurious_interrupt(self, vector: int) -> None:
        """F4: send a message that nothing caused."""
        self.actions.send_spurious(_within("vector", vector, VECTORS))

    def no_auto_mask(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """F5: ignore EIAM."""
        self.no_auto_mask_on = _switch(on)

    def withhold_completions(self, queue: int) -> None:
        """F6: send frames of ``queue`` but write back nothing."""
        self.withheld_queues.add(_within("queue", queue, QUEUES))

    def release_completions(self, queue: int, count: int | None = None) -> dict[str, Any]:
        """F6: write back the oldest ``count`` withheld packets; without a count all, and withhold no more."""
        _within("queue", queue, QUEUES)
        if count is None:
            self.withheld_queues.discard(queue)
        else:
            _within("count", count, _MANY, 1)
        return {"released": self.actions.release_completions(queue, count)}

    def complete_out_of_order(self, queue: int, index: int) -> None:
        """F7: set DD in one slot now."""
        self.actions.complete_now(_within("queue", queue, QUEUES), _within("index", index, _SLOTS))

    def prompt_doorbells(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """F24: fetch, send and report within the write of a transmit tail."""
        self.prompt_doorbells_on = _switch(on)

    def transmit_nothing(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """F8: fetch and complete descriptors but send nothing."""
        self.transmit_nothing_on = _switch(on)

    def receive_write_back(self, queue: int, mode: str, count: int | None = None) -> None:
        """F9: ``zero-length`` leaves out ``count`` lengths (None: all); ``normal`` ends that and supplies them."""
        _within("queue", queue, QUEUES)
        if mode == "zero-length":
            self.zero_length_left[queue] = _MANY if count is None else _within("count", count, _MANY, 1)
            self.unfinished_queues.add(queue)
        elif mode == "normal":
            self.zero_length_left.pop(queue, None)
            self.unfinished_queues.discard(queue)
            self.actions.finish_write_back(queue)
        else:
            raise FaultError(f"mode must be zero-length or normal, not {mode!r}")

    def leaves_length_out(self, queue: int) -> bool:
        """Say whether the write-back that is due has length 0, and count it."""
        left = self.zero_length_left.get(queue, 0)
        if left == 1:
            del self.zero_length_left[queue]
        elif left and left < _MANY:
            self.zero_length_left[queue] = left - 1
        return left > 0

    def looped(self, frame: bytes) -> bytes:
        """Return a looped frame as it arrives: whole, or spoilt in its second half (Linux igb_check_lbtest_frame)."""
        if not self.corrupt_loopback_on:
            return frame
        at = min(len(frame) // 2 + 10, len(frame) - 1)
        return frame[:at] + bytes([frame[at] ^ 0xFF]) + frame[at + 1 :]

    def receive_errors(self, bits: int) -> None:
        """F9: set these bits in dword 2 of every receive write-back (0: none)."""
        self.force_rx_errors = _within("bits", bits, _DWORD)

    def force_rss(self, rss_hash: int | None = None, queue: int | None = None, rss_type: int | None = None) -> None:
        """F10: report another hash, queue or type than the computed one; without arguments, stop."""
        forced = {}
        if rss_hash is not None:
            forced["hash"] = _within("rss_hash", rss_hash, _DWORD)
        if queue is not None:
            forced["queue"] = _within("queue", queue, QUEUES)
        if rss_type is not None:
            forced["type"] = _within("rss_type", rss_type, _RSS_TYPES)
        self.forced_rss = forced

    def force_checksum(self, flags: int | None = None) -> None:
        """F11: report these status/error bits (dword 2 of the write-back) instead of the computed verdict."""
        self.forced_checksum = None if flags is None else _within("flags", flags, _DWORD)

    def tx_off(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """F12: show STATUS.TXOFF."""
        self.tx_off_on = _switch(on)
        self.actions.transmit_off(on)

    def read_all_ones(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """F15: answer every read, also of configuration space, with all ones: a card that fell off the bus."""
        self.all_ones = _switch(on)

    def bad_nvm_checksum(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """F16: spoil the EEPROM checksum."""
        self.bad_nvm_checksum_on = _switch(on)
        self.actions.bad_checksum(on)

    def ignore_eics(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """F17: writes of EICS and ICS cause nothing."""
        self.ignore_eics_on = _switch(on)

    def ignore_eitr(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """F19: do not moderate interrupts."""
        self.ignore_eitr_on = _switch(on)

    def no_tx_timestamp(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """F20: transmit timestamps never become valid."""
        self.no_tx_timestamp_on = _switch(on)

    def corrupt_loopback(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """F21: flip one byte of every frame that is looped back."""
        self.corrupt_loopback_on = _switch(on)

    def stuck_bits(self, offset: int, mask: int) -> None:
        """F23: let the bits of ``mask`` read as 0 in the register at ``offset`` (0: none do)."""
        if _within("offset", offset, _REGISTERS_END) % 4:
            raise FaultError(f"offset must be a multiple of 4, not {offset!r}")
        if _within("mask", mask, _DWORD):
            self.stuck[offset] = mask
        else:
            self.stuck.pop(offset, None)

    def stale_descriptor(self, queue: int) -> None:
        """F22: write an old receive descriptor once more."""
        self.actions.rewrite_old_receive_slot(_within("queue", queue, QUEUES))


class _Idle:
    """Actions that do nothing."""

    def __getattr__(self, name: str) -> Callable[..., int]:
        return lambda *_: 0


def _within(what: str, value: int, limit: int, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < limit:
        raise FaultError(f"{what} must be a number from {least} to {limit - 1}, not {value!r}")
    return value


def _switch(on: bool) -> bool:  # noqa: FBT001 - a switch
    if not isinstance(on, bool):
        raise FaultError(f"on must be true or false, not {on!r}")
    return on


COMMANDS: dict[str, Callable[..., dict[str, Any] | None]] = {
    name: getattr(Faults, name)
    for name in (
        "hold_interrupts", "release_interrupts", "drop_interrupts", "duplicate_interrupts", "spurious_interrupt",
        "no_auto_mask", "withhold_completions", "release_completions", "complete_out_of_order", "transmit_nothing",
        "receive_write_back", "receive_errors", "force_rss", "force_checksum", "tx_off", "read_all_ones",
        "bad_nvm_checksum", "ignore_eics", "ignore_eitr", "no_tx_timestamp", "corrupt_loopback", "stale_descriptor",
        "stuck_bits", "prompt_doorbells", "clear",
    )
}  # fmt: skip

ACTING = frozenset(
    {
        "release_interrupts", "spurious_interrupt", "release_completions", "complete_out_of_order",
        "receive_write_back", "tx_off", "bad_nvm_checksum", "stale_descriptor", "clear",
    }
)  # fmt: skip
"""Faults that make the card act: they must not do so in the middle of something else."""
