# SPDX-License-Identifier: BSD-3-Clause
"""The sanitizer beside whatever is done with a bound guest: it records both sides, and judges when that is over."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import GuestFault, UsageError, WorldError
from harness.guest.bare import SPARE_QUEUE
from harness.guest.probes import READ_REGISTER
from harness.sanitizer import judge
from harness.sanitizer.mappings import EVENTS, Mappings, pci_address
from harness.sanitizer.poison import unwritten
from harness.sanitizer.postings import KINDS, Postings, Sizes
from harness.sanitizer.rings import receive_buffers
from harness.timeline.clocks import compared, relate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.guest.trace import Session
    from harness.lab import Bound, Lab
    from harness.sanitizer.judge import Finding
    from harness.sanitizer.rings import Buffer
    from harness.seen import Recording
    from harness.timeline.clocks import Reading

BUFFER_KB = 8192
MORE = ("FrameEmitted", "GuestError")


@dataclass(slots=True)
class Account:
    """What one stretch of time came to. ``why_not`` says why it could not be judged."""

    findings: list[Finding] = field(default_factory=list)
    handed: int = 0
    mapped: int = 0
    error_ns: int = 0
    why_not: str = ""

    @property
    def told(self) -> str:
        """The account in a sentence."""
        if self.why_not:
            return f"not judged: {self.why_not}"
        found = f"{len(self.findings)} wrong" if self.findings else "nothing wrong"
        return f"{self.handed} buffers handed over, {self.mapped} mappings, {found} (±{self.error_ns / 1000:.1f} µs)"

    def __str__(self) -> str:
        return "\n".join([self.told, *map(str, self.findings)])

    def must_be_sound(self, totals: Totals) -> None:
        """Add to the totals. Raises GuestFault, with the first finding whole, if something was wrong."""
        totals.add(self)
        if self.findings:
            first = self.findings[0]
            more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
            raise GuestFault(f"the driver's DMA must be sound, but {first.title}: {'; '.join(first.lines)}{more}")


@dataclass(slots=True)
class Totals:
    """What the accounts of a run add up to."""

    judged: int = 0
    unsound: int = 0
    handed: int = 0
    unjudged: list[str] = field(default_factory=list)

    def add(self, account: Account) -> None:
        """Add the account of one check."""
        if account.why_not:
            self.unjudged.append(account.why_not)
            return
        self.judged += 1
        self.unsound += bool(account.findings)
        self.handed += account.handed

    def __str__(self) -> str:
        rest = f"; {len(self.unjudged)} not judged, as: {self.unjudged[0]}" if self.unjudged else ""
        return f"{self.handed} buffers handed over in {self.judged} checks, {self.unsound} of them not sound{rest}"


class Live:
    """One stretch of time that is being recorded."""

    def __init__(self, bound: Bound, session: Session, seen: Recording) -> None:
        self._bound = bound
        self._session = session
        self._seen = seen
        self._device = pci_address(bound)
        self._sizes = Sizes.of_card(bound.card)
        self._readings = compare(bound)
        self._begin_ns = self._end_ns = bound.card.now_ns()
        self._buffers: list[Buffer] = []

    def stop(self, *, heal: bool) -> None:
        """Read what lies in the rings, and compare the clocks once more; with ``heal`` the card is made well first."""
        card = self._bound.card
        if heal:
            card.heal()
        self._end_ns = card.now_ns()
        self._buffers = receive_buffers(card, self._bound.netif.queue_count[0], Sizes.of_card(card))
        self._readings += compare(self._bound)

    def judge(self, account: Account) -> None:
        """Fill in the account, once the recordings have ended."""
        lost = sum(self._session.lost.values()), self._seen.lost
        if any(lost):
            account.why_not = f"the guest's trace lost {lost[0]} events, the card's {lost[1]}"
            return
        relation = relate(self._readings)
        events = [event for event in self._seen.all() if event.fields.get("queue", 0) < SPARE_QUEUE]
        postings, mappings = Postings(self._sizes), Mappings()
        postings.follow(events)
        names = self._bound.guest.symbols.name_of
        mappings.follow(self._session.records, self._device, relation.on_card, names)
        recorded = self._begin_ns, self._end_ns
        account.findings += judge.judge(postings.all, mappings, relation.error_ns, recorded)
        account.findings += judge.refused(events, mappings, relation.error_ns)
        account.findings += judge.strays(postings.strays, mappings)
        account.findings += judge.clashes(postings.clashes)
        account.findings += judge.in_rings(self._buffers)
        account.findings += unwritten(events)
        account.handed, account.mapped = len(postings.all), len(mappings.all)
        account.error_ns = relation.error_ns


@contextmanager
def sanitized(lab: Lab, *, heal: bool = False) -> Iterator[Account]:
    """Keep the account of all that the bound driver hands to the card until the end of the block.

    With ``heal`` faults end before the account is closed: the clocks cannot be compared through a card that is gone.
    What cannot be recorded or judged is no fault of the driver: the account says so, and nothing is raised for it.
    """
    account = Account()
    bound = lab.bound(lab.default)
    if bound.control is None:
        account.why_not = f"{bound.options.kind} has no control socket"
        yield account
        return
    undo = ExitStack()
    try:
        session = undo.enter_context(bound.guest.trace.session(*EVENTS, stacks=EVENTS, buffer_kb=BUFFER_KB, lossy=True))
        live = Live(bound, session, undo.enter_context(bound.card.recording(*KINDS, *MORE, lossy=True)))
    except UsageError as error:
        undo.close()
        account.why_not = f"the guest's kernel must trace DMA mappings (Linux 6.12): {error}"
        yield account
        return
    try:
        yield account
        replaced = lab.now is not bound
    except BaseException:
        abandon(undo)
        raise
    if replaced:
        account.why_not = "the check has replaced guest and card"
        abandon(undo)
        return
    try:
        live.stop(heal=heal)
        undo.close()
        live.judge(account)
    except WorldError as error:
        account.why_not = str(error)
        abandon(undo)


def compare(bound: Bound) -> list[Reading]:
    """Compare the clocks, in a trace of its own: a probe that lasts would keep a check from unloading the driver."""
    with bound.guest.trace.session(probes=(READ_REGISTER,), lossy=True) as trace:
        return compared(bound, trace)


def abandon(undo: ExitStack) -> None:
    """End recordings whose guest or card may be gone."""
    with suppress(WorldError, OSError):
        undo.close()
