# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic top``: live rates of a running card, or of one with a guest of its own."""

from __future__ import annotations

import argparse
import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.card import Card
from harness.debug.command import opened, why_no_screen
from harness.errors import UsageError
from harness.options import engine_option, fault_option, lab_options, module_option
from harness.report.results import ExitStatus
from harness.top.figures import Bytes, Figures, Totals, between
from harness.top.text import as_json, lines
from harness.verb import Verb, always, epilogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.guest.netif import NetIf
    from harness.report.terminal import Progress

LEAST_S, MOST_S = 0.1, 3600.0
BQL = "/sys/class/net/{}/queues/tx-{}/byte_queue_limits/{}"


def duration(text: str) -> float:
    """Return seconds, as argparse wants it."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not LEAST_S <= value <= MOST_S:
        raise argparse.ArgumentTypeError(f"must be {LEAST_S:g} to {MOST_S:g} seconds, not {text!r}")
    return value


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options of ``top``."""
    verb.add_argument(
        "--control", type=Path, metavar="SOCKET", help="of a running card; default: one with its own guest"
    )
    verb.add_argument("--every", type=duration, default=1.0, metavar="S", help="seconds between two looks; default: 1")
    verb.add_argument("--seconds", type=duration, default=0.0, metavar="N", help="end after this; default: go on")
    verb.add_argument("--once", action="store_true", help="one look, over --every seconds, and end")
    verb.add_argument("--json", action="store_true", help="an object of JSON a line for each look, and no screen")
    engine_option(verb)
    module_option(verb)
    fault_option(verb)
    lab_options(verb)


@dataclass(slots=True)
class Looker:
    """Looks at ``card``, and at the byte queue limits of ``netif`` if the guest is ours; each look is from the last."""

    card: Card
    netif: NetIf | None
    before: Totals

    def look(self) -> Figures:
        """Return what happened since the last look."""
        now = self.card.totals()
        before, self.before = self.before, now
        return between(before, now, self._limits(now))

    def _limits(self, totals: Totals) -> dict[int, Bytes]:
        if self.netif is None:
            return {}
        queues = [n for n, queue in enumerate(totals["tx"]) if queue["enabled"]]
        names = [(queue, name) for queue in queues for name in ("limit", "inflight")]
        texts = self.netif.read_many([BQL.format(self.netif.name, queue, name) for queue, name in names])
        found = {key: int(text) for key, text in zip(names, texts, strict=True) if text}
        return {
            queue: Bytes(found[queue, "limit"], found[queue, "inflight"])
            for queue in queues
            if (queue, "limit") in found and (queue, "inflight") in found
        }


@contextmanager
def looking(arguments: argparse.Namespace, progress: Progress) -> Iterator[tuple[str, Looker]]:
    """Connect to the card that the options name, or open a lab; also say which."""
    if arguments.control is None:
        with opened(arguments, progress) as lab, Card(lab.bound.card.path) as card:
            yield f"a guest of its own, control socket {card.path}", Looker(card, lab.bound.netif, card.totals())
        return
    path: Path = arguments.control
    if not path.is_socket():
        raise UsageError(f"--control must be the control socket of a running card, and {path} is not a socket")
    with Card(path) as card:
        yield str(path), Looker(card, None, card.totals())


def top(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Show figures until somebody ends it: on a screen where the terminal can show one, else line by line."""
    seconds = arguments.every if arguments.once else arguments.seconds
    if arguments.control is not None and (arguments.kernel or arguments.module or arguments.fault or arguments.engine):
        raise UsageError(
            "--control names a card that runs already: --kernel, --module, --engine and --fault have no use"
        )
    if seconds and seconds < arguments.every:
        raise UsageError(f"--seconds must be no less than --every, {arguments.every:g}, not {seconds:g}")
    with looking(arguments, progress) as (title, looker):
        if arguments.json or arguments.once or why_no_screen():
            show = as_json if arguments.json else lambda figures: "\n".join([*lines(figures), ""])
            try:
                print_looks(looker, arguments.every, seconds, lambda figures: say(show(figures)))
            except KeyboardInterrupt:
                return ExitStatus.HOLDS
        else:
            from harness.top.screen import Screen  # noqa: PLC0415 - a terminal's library, needed for a terminal alone

            Screen(title, lambda: lines(looker.look()), arguments.every, seconds).run()
    return ExitStatus.HOLDS


def print_looks(looker: Looker, every_s: float, seconds: float, show: Callable[[Figures], None]) -> None:
    """Show a look every so many seconds."""
    never = threading.Event()
    rounds = round(seconds / every_s) if seconds else 0
    done = 0
    while not rounds or done < rounds:
        never.wait(every_s)
        show(looker.look())
        done += 1


VERB = Verb(
    "top",
    "live rates of a card: queues, rings, vectors, byte queue limits, drops",
    "Show what a card does as it does it, of a running one or with a guest of its own. q or Ctrl-C ends it.",
    declare,
    top,
    epilogue("it was ended, or ended after --seconds"),
    always,
)
