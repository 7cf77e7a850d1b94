# SPDX-License-Identifier: BSD-3-Clause
"""The card as the harness sees it: a client of the emulator's control socket (docs/control.md)."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, Self

from harness.deadline import Deadline, wait_until
from harness.errors import LabBroken, NotSeen, UsageError
from harness.seen import Recording, Seen
from harness.stopped import Stopped, waiting_for
from harness.words import pairs, split

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

READ_SIZE = 1 << 20
LEVERS = ("link", "rate", "reset")
"""Commands that a rule, and a fault on the command line, can give besides faults."""


class Card:
    """A running card. Every call is answered within ``patience_s`` seconds or raises LabBroken.

    UsageError carries the card's own sentence about a request that it refuses.
    """

    def __init__(self, path: Path | str, patience_s: float = 10.0) -> None:
        """Connect to the control socket at ``path``, which must be listening. Raises LabBroken."""
        self._path = str(path)
        self._patience_s = patience_s
        self._number = 0
        self._rest = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(patience_s)
        try:
            self._socket.connect(self._path)
        except OSError as error:
            self._socket.close()
            raise LabBroken(f"the card must listen at {self._path}, and does not: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> str:
        """Where the card listens: another client can connect there."""
        return self._path

    def close(self) -> None:
        """Hang up; the card itself goes on."""
        self._socket.close()

    def call(self, command: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON values
        """Send one request and return its result."""
        deadline = Deadline.after(self._patience_s)
        self._number += 1
        request = {"id": self._number, "command": command, **arguments}
        try:
            self._socket.settimeout(self._patience_s)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(self._line(deadline))
        except (OSError, ValueError) as error:
            self._socket.close()
            raise LabBroken(f"the card at {self._path} must answer {command!r}, and did not: {error}") from error
        if answer.get("ok") is not True:
            raise UsageError(f"{command}: {answer.get('error')}")
        if answer.get("id") != self._number:
            self._socket.close()
            raise LabBroken(f"the card must answer request {self._number}, not {answer.get('id')!r}")
        return answer["result"]

    def _line(self, deadline: Deadline) -> bytes:
        """Return the next line that comes, without its end. Raises OSError when none does."""
        parts = [self._rest]
        while b"\n" not in parts[-1]:
            if deadline.passed:
                raise TimeoutError(f"no answer within {deadline.seconds:g} s")
            self._socket.settimeout(max(0.001, deadline.remaining))
            data = self._socket.recv(READ_SIZE)
            if not data:
                raise ConnectionResetError("the card hung up")
            parts.append(data)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line

    # -- looking --------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Return what the card says of itself: nic, wire with its counters, interrupt mode, device time."""
        described: dict[str, Any] = self.call("describe")
        return described

    def wire_counts(self) -> dict[str, int]:
        """Return the frames that the card's wire emitted, received, dropped and found malformed."""
        wire = self.describe()["wire"]
        return {name: wire[name] for name in ("emitted", "arrived", "dropped", "malformed")}

    def now_ns(self) -> int:
        """Return the device clock."""
        return int(self.describe()["now_ns"])

    def registers(self, *names: str) -> dict[str, int]:
        """Return the values of registers ``names`` (all without any), looked at without side effects."""
        values: dict[str, int] = self.call("registers", names=list(names) or None)
        return values

    def register(self, name: str, index: int | None = None) -> int:
        """Return one register without side effects: ``register("CTRL")``, ``register("RDT", 3)``."""
        full = name if index is None else f"{name}[{index}]"
        return self.registers(full)[full]

    def read_register(self, offset: int) -> int:
        """Read BAR 0 at ``offset`` as the guest would, with all side effects."""
        return int(self.call("read_register", offset=offset))

    def write_register(self, offset: int, value: int) -> None:
        """Write ``value`` to BAR 0 at ``offset`` as the guest would."""
        self.call("write_register", offset=offset, value=value)

    def ring(self, direction: str, queue: int) -> dict[str, Any]:
        """Return the state of a ring; ``direction`` is rx or tx, as the card sees it."""
        state: dict[str, Any] = self.call("ring", direction=direction, queue=queue)
        return state

    def statistics(self) -> dict[str, int]:
        """Return the statistics registers by name, without clearing them."""
        values: dict[str, int] = self.call("statistics")
        return values

    def totals(self) -> dict[str, Any]:
        """Return what the card has done since it was made: by queue, vector and reason of a drop."""
        values: dict[str, Any] = self.call("totals")
        return values

    def counts(self) -> dict[str, int]:
        """Return how many events of each kind there were since the card started."""
        values: dict[str, int] = self.call("counts")
        return values

    def recording(self, *kinds: str, lossy: bool = False) -> Recording:
        """Return a context in which events of ``kinds`` are kept (without any: every kind the card keeps).

        ``with card.recording("InterruptSent") as seen: …`` and then ``seen.all()``. A ``lossy`` one counts what the
        card has overwritten instead of raising LabBroken.
        """
        return Recording(self.call, kinds, lossy=lossy)

    def last_events(self, count: int = 1000) -> list[Seen]:
        """Return about the newest ``count`` kept events: what a failure report shows."""
        newest = self.call("events", limit=0)["next"]
        found, at = [], max(0, newest - count)
        while at < newest:
            answer = self.call("events", since=at, limit=newest - at)
            found += [Seen.of(event) for event in answer["events"]]
            at = answer["next"]
        return found

    # -- turning --------------------------------------------------------------------------------------

    def link_down(self) -> None:
        """Pull the cable (F13)."""
        self.call("link", state="down")

    def link_up(self, *speeds: int, pause: bool = True, full_duplex: bool = True) -> None:
        """Plug the cable into a partner that offers ``speeds`` in Mb/s (without any: 10, 100, 1000)."""
        self.call("link", state="up", speeds=list(speeds) or None, pause=pause, full_duplex=full_duplex)

    def rate(self, mbps: int | str) -> None:
        """Pace transmission at ``mbps``, at the link's speed ("auto") or not at all ("unlimited")."""
        self.call("rate", mbps=mbps)

    def inject(self, *frames: bytes) -> None:
        """Let ``frames`` arrive as if from the wire, past the wire itself."""
        self.call("inject", frames=[frame.hex() for frame in frames])

    def reset(self, kind: str = "power-on") -> None:
        """Reset the card under the guest; ``kind`` is power-on, function-level or lost-client."""
        self.call("reset", kind=kind)

    # -- standing still -------------------------------------------------------------------------------

    def rule(self, text: str) -> dict[str, Any]:
        """Put a rule in force, as ``drop_interrupts vector=2 when InterruptSent vector=2 nth=2 since LinkChanged``.

        Returns it as ``rules`` does.
        """
        rule: dict[str, Any] = self.call("rule", text=text)
        return rule

    def stop_when(self, text: str, *, for_us: int | None = None) -> int:
        """Let the card stand wherever ``text`` holds, as ``before DmaWrite queue=0``; return the rule's number.

        With ``for_us`` it goes on by itself after so many microseconds.
        """
        lasts = "" if for_us is None else f" for_us={for_us}"
        return int(self.rule(f"stop{lasts} when {text}")["rule"])

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules: rule, text, acted, left, waits_for, told and matched of that so far, failure."""
        rules: list[dict[str, Any]] = self.call("rules")
        return rules

    def unrule(self, *numbers: int) -> None:
        """Take these rules back; without any: all."""
        self.call("unrule", rules=list(numbers) or None)

    def stopped(self) -> Stopped | None:
        """Return where the card stands, or None if it runs."""
        where = self.call("stopped")
        return None if where is None else Stopped.of(where)

    def wait_stopped(self, deadline: Deadline | None = None) -> Stopped:
        """Return where the card stands, once it does, within ``deadline`` (10 s).

        Raises NotSeen with what the rules have seen instead, UsageError when a rule's predicate has raised.
        """
        deadline = deadline or Deadline.after(10)

        def look() -> Stopped | None:
            where = self.stopped()
            if where is None:
                for rule in self.rules():
                    if rule["failure"]:
                        raise UsageError(f"rule {rule['rule']}, {rule['text']!r}: {rule['failure']}")
            return where

        try:
            return wait_until(look, deadline, "the card standing still", NotSeen)
        except NotSeen as error:
            raise NotSeen(f"{error}; {waiting_for(self.rules())}") from None

    def resume(self) -> None:
        """Let the card go on. UsageError if it runs."""
        self.call("resume")

    def step(self, to: str = "*", deadline: Deadline | None = None) -> Stopped:
        """Let the card go on to the next event that ``to`` describes, and return it."""
        self.call("step", to=to)
        return self.wait_stopped(deadline)

    def memory(self, iova: int, size: int) -> bytes:
        """Return ``size`` bytes of guest memory at ``iova``, as the card reads them. UsageError where it cannot."""
        return bytes.fromhex(self.call("memory", iova=iova, size=size))

    # -- misbehaving ----------------------------------------------------------------------------------

    def fault(self, name: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Run fault command ``name`` (F1–F24 in docs/control.md)."""
        answer: dict[str, Any] = self.call("fault", name=name, **arguments)
        return answer

    def faults(self) -> dict[str, Any]:
        """Return the faults in force; empty for a healthy card."""
        answer: dict[str, Any] = self.call("faults")
        return answer

    def heal(self) -> None:
        """End every fault and release all that was held."""
        self.fault("clear")

    def fault_as(self, text: str) -> dict[str, Any]:
        """Run a fault as a person writes it: ``hold_interrupts vector=3``, or a rule by which it comes later."""
        name, *words = split(text) or [""]
        if "when" in words:
            return self.rule(text)
        if name in LEVERS:
            self.call(name, **pairs(words))
            return {}
        return self.fault(name, **pairs(words))

    def hold_interrupts(self, vector: int) -> None:
        """Keep the messages of ``vector`` back (F1)."""
        self.fault("hold_interrupts", vector=vector)

    def release_interrupts(self, vector: int) -> None:
        """Let ``vector`` go; a pending message is sent at once (F1)."""
        self.fault("release_interrupts", vector=vector)

    def drop_interrupts(self, vector: int, count: int = 1, when: str = "before-mask") -> None:
        """Lose the next ``count`` messages of ``vector``, before-mask or after-mask (F2)."""
        self.fault("drop_interrupts", vector=vector, count=count, when=when)

    def duplicate_interrupts(self, vector: int, count: int = 1) -> None:
        """Send the next message of ``vector`` ``count`` more times (F3)."""
        self.fault("duplicate_interrupts", vector=vector, count=count)

    def spurious_interrupt(self, vector: int) -> None:
        """Send a message that nothing caused (F4)."""
        self.fault("spurious_interrupt", vector=vector)

    def no_auto_mask(self, *, on: bool = True) -> None:
        """Ignore EIAM (F5)."""
        self.fault("no_auto_mask", on=on)

    def withhold_completions(self, queue: int) -> None:
        """Send the frames of transmit queue ``queue`` without writing DD back (F6)."""
        self.fault("withhold_completions", queue=queue)

    def release_completions(self, queue: int, count: int | None = None) -> int:
        """Write back the oldest ``count`` withheld packets (None: all, and withhold no more), return how many (F6)."""
        return int(self.fault("release_completions", queue=queue, count=count).get("released", 0))

    def complete_out_of_order(self, queue: int, index: int) -> None:
        """Set DD in slot ``index`` of transmit queue ``queue`` now, whatever is in it (F7)."""
        self.fault("complete_out_of_order", queue=queue, index=index)

    def transmit_nothing(self, *, on: bool = True) -> None:
        """Fetch and complete transmit descriptors without sending anything (F8)."""
        self.fault("transmit_nothing", on=on)

    def receive_write_back(self, queue: int, mode: str, count: int | None = None) -> None:
        """Leave ``count`` lengths out (``zero-length``; None: all), or supply them and end that (``normal``) (F9)."""
        self.fault("receive_write_back", queue=queue, mode=mode, count=count)

    def receive_errors(self, bits: int) -> None:
        """Set ``bits`` in dword 2 of every receive write-back; 0 ends it (F9)."""
        self.fault("receive_errors", bits=bits)

    def force_rss(self, rss_hash: int | None = None, queue: int | None = None, rss_type: int | None = None) -> None:
        """Report these instead of what the card computes; without any: stop (F10)."""
        self.fault("force_rss", rss_hash=rss_hash, queue=queue, rss_type=rss_type)

    def force_checksum(self, flags: int | None) -> None:
        """Report these status and error bits instead of the checksum's verdict; None: stop (F11)."""
        self.fault("force_checksum", flags=flags)

    def tx_off(self, *, on: bool = True) -> None:
        """Show STATUS.TXOFF (F12)."""
        self.fault("tx_off", on=on)

    def read_all_ones(self, *, on: bool = True) -> None:
        """Answer every read with all ones, like a card that is gone (F15)."""
        self.fault("read_all_ones", on=on)

    def bad_nvm_checksum(self, *, on: bool = True) -> None:
        """Spoil the EEPROM's checksum word (F16)."""
        self.fault("bad_nvm_checksum", on=on)

    def ignore_eics(self, *, on: bool = True) -> None:
        """Let writes of EICS and ICS cause nothing (F17)."""
        self.fault("ignore_eics", on=on)

    def ignore_eitr(self, *, on: bool = True) -> None:
        """Do not moderate interrupts (F19)."""
        self.fault("ignore_eitr", on=on)

    def no_tx_timestamp(self, *, on: bool = True) -> None:
        """Never show a transmit timestamp as valid (F20)."""
        self.fault("no_tx_timestamp", on=on)

    def corrupt_loopback(self, *, on: bool = True) -> None:
        """Flip one byte of each frame that the card loops back (F21)."""
        self.fault("corrupt_loopback", on=on)

    def stale_descriptor(self, queue: int) -> None:
        """Write an old receive descriptor once more, behind the head (F22)."""
        self.fault("stale_descriptor", queue=queue)

    def prompt_doorbells(self, *, on: bool = True) -> None:
        """Fetch, send and report within the write of a transmit tail (F24)."""
        self.fault("prompt_doorbells", on=on)

    def stuck_bits(self, offset: int, mask: int) -> None:
        """Let the bits of ``mask`` read as 0 in the register at ``offset``; mask 0: none (F23)."""
        self.fault("stuck_bits", offset=offset, mask=mask)
