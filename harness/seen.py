# SPDX-License-Identifier: BSD-3-Clause
"""What the card reported: its events as records, and the cursor that collects them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from harness.deadline import Deadline, wait_until
from harness.errors import LabBroken, NotSeen

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

BYTES_FIELDS = frozenset({"raw", "frame"})
"""Fields that hold bytes; JSON carries them in hexadecimal."""

PAGE = 20_000
"""Events asked for in one request."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One event: ``kind`` as InterruptSent, device time ``t_ns``, its ``number`` in the card's log and its fields.

    Fields read as attributes: ``event.vector``. Bytes are bytes.
    """

    kind: str
    t_ns: int
    number: int
    fields: dict[str, Any]

    @classmethod
    def of(cls, event: dict[str, Any]) -> Seen:
        """Return the record for an event of the control socket."""
        values = {
            name: bytes.fromhex(value) if name in BYTES_FIELDS else value
            for name, value in event.items()
            if name not in ("kind", "t_ns", "number")
        }
        return cls(event["kind"], event["t_ns"], event["number"], values)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as many types as events have fields
        if name != "fields" and name in self.fields:
            return self.fields[name]
        raise AttributeError(f"field of an event must be one that its kind has, not {name!r}")

    def __str__(self) -> str:
        told = (f"{name}={v.hex() if isinstance(v, bytes) else v}" for name, v in self.fields.items())
        return f"{self.t_ns / 1e9:.6f} {self.kind} {' '.join(told)}"


class Recording:
    """Collects what the card reports between entering and leaving the context; reading goes on after that.

    While it runs the card keeps ``kinds`` besides what it kept before; on leaving, its selection is as it was.
    """

    def __init__(self, call: Callable[..., Any], kinds: tuple[str, ...], *, lossy: bool = False) -> None:
        self._call = call
        self._kinds = kinds
        self._lossy = lossy
        self.lost = 0
        """Events that the card has overwritten before they were read; only a lossy recording goes on after that."""

        self._events: list[Seen] = []
        self._next = 0
        self._before: list[str] | None = None
        self._running = False

    def __enter__(self) -> Self:
        if self._kinds:
            # For a moment everything is kept: another recording on the way must not miss what it keeps.
            kept: list[str] = self._call("record", kinds=None)["before"]
            self._before = kept
            self._call("record", kinds=sorted({*kept, *self._kinds}))
        self._next = self._call("events", limit=0)["next"]
        self._running = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._collect()
        finally:
            self._running = False
            if self._before is not None:
                self._call("record", kinds=self._before)

    def all(self, kind: str | None = None, where: Callable[[Seen], bool] | None = None) -> list[Seen]:
        """Return the events so far, in order, of ``kind`` (None: every) and that satisfy ``where``.

        Raises LabBroken when the card overwrote some before they were read.
        """
        if self._running:
            self._collect()
        return [e for e in self._events if (kind is None or e.kind == kind) and (where is None or where(e))]

    def wait(
        self,
        count: int,
        deadline: Deadline | None = None,
        *,
        kind: str | None = None,
        where: Callable[[Seen], bool] | None = None,
    ) -> list[Seen]:
        """Return the events as ``all`` does once there are at least ``count``, within ``deadline`` (10 s).

        Raises NotSeen when they do not come.
        """
        what = f"{count} events of {kind or ', '.join(self._kinds) or 'any kind'}"

        def enough() -> list[Seen] | None:
            found = self.all(kind, where)
            return found if len(found) >= count else None

        return wait_until(enough, deadline or Deadline.after(10), what, NotSeen) if count else self.all(kind, where)

    def _collect(self) -> None:
        """Fetch what is new."""
        while True:
            answer = self._call("events", since=self._next, kinds=list(self._kinds) or None, limit=PAGE)
            self.lost += answer["lost"]
            if answer["lost"] and not self._lossy:
                raise LabBroken(f"the card must hold every event since {self._next}, and {answer['lost']} are gone")
            self._events += [Seen.of(event) for event in answer["events"]]
            if answer["next"] == self._next or not answer["events"]:
                self._next = answer["next"]
                return
            self._next = answer["next"]
