# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic soak``: one guest, one card, traffic and changes for as long as is asked for."""

from __future__ import annotations

import json
import os
import secrets
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guest_images.errors import EnvironmentLacks as PackagesLack
from guest_images.progress import Progress as SetUpProgress
from harness.bench.command import opened
from harness.bench.namespace import PACKAGES, Namespace, check
from harness.bench.rig import HILNIC, Rig, Start
from harness.bench.wirings import Taps
from harness.errors import EnvironmentLacks, UsageError, WorldError
from harness.options import card_words, doorbells_option, engine_option, lab_options
from harness.report.results import ExitStatus
from harness.setup.steps import tools
from harness.snapshot import snapshot
from harness.soak.changes import Place
from harness.soak.soak import Soak
from harness.verb import Verb, epilogue

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from harness.report.terminal import Progress
    from harness.soak.soak import Findings

FOLDER = Path("build/soak")
TAP = "tap0"
COUNTED = ("GuestError",)
"""The card counts all its events as long as it keeps one kind of them; of this one there must be none."""


@dataclass(frozen=True, slots=True)
class SoakRequest:
    """How long, with which card and guest; logs lie in ``folder``, findings in findings.json there."""

    minutes: float
    folder: Path
    seed: int = 0
    card: tuple[str, ...] = ()
    accelerator: str = "auto"
    kernel: str = ""
    smp: int = 4


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verb.add_argument("--minutes", type=float, default=60.0, metavar="N", help="default: %(default)g")
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="the same changes in the same order")
    engine_option(verb)
    doorbells_option(verb)
    lab_options(verb)


def command(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Soak as the options ask for."""
    request = SoakRequest(
        minutes=arguments.minutes,
        folder=FOLDER.absolute(),
        seed=arguments.seed,
        card=card_words(arguments, "engine", "doorbells"),
        accelerator=arguments.accel,
        kernel=arguments.kernel,
        smp=arguments.smp,
    )
    soak(request, progress, say)
    return ExitStatus.HOLDS


def soak(request: SoakRequest, progress: Progress, say: Callable[[str], None]) -> None:
    """Soak; lines go to ``say``. Raises UsageError or a WorldError, after saying what there was until then."""
    if request.minutes <= 0:
        raise UsageError(f"--minutes must be more than 0, not {request.minutes:g}")
    seed = request.seed or secrets.randbelow(1 << 31)
    say(f"{'seed':12} {seed} (--seed {seed} makes the same changes in the same order)")
    progress.start("opening the lab")
    with ExitStack() as undo:
        undo.callback(progress.close)
        check()
        lab = undo.enter_context(opened(request, progress))
        try:
            programs = tools("bench", PACKAGES, os.environ, SetUpProgress(sys.stderr))
        except PackagesLack as error:
            raise EnvironmentLacks(str(error)) from error
        namespace = undo.enter_context(Namespace(programs, request.folder))
        saved = snapshot(lab.materials, lab.machine, progress.stage)
        start = Start(lab.materials, lab.machine, saved)
        progress.start("plugging the card")
        rig = undo.enter_context(Rig(start, Taps(namespace, offload=False), request.folder, (HILNIC,), request.card))
        [side] = rig.sides
        assert side.control is not None, "our card has a control socket"
        side.control.call("record", kinds=list(COUNTED))
        side.with_queues(min(4, request.smp))
        place = Place(side, namespace, TAP)
        soaking = Soak(rig, place, seed, progress.start)
        try:
            soaking.run(request.minutes * 60)
        except WorldError:
            _say(soaking.findings, say, "broke")
            raise
        finally:
            path = request.folder / "findings.json"
            path.write_text(json.dumps({"seed": seed, **asdict(soaking.findings)}, indent=1) + "\n", encoding="utf-8")
        progress.close()
        _say(soaking.findings, say, "held")
        say(f"{'saved in':12} {path}")


def _say(findings: Findings, say: Callable[[str], None], verdict: str) -> None:
    books = findings.books
    say(f"{'soak':12} {verdict}: {findings.rounds} rounds, {findings.changes} changes")
    say(
        f"{'frames':12} {books.wire_arrived:,} to the card: {books.card_delivered:,} delivered, "
        f"{books.card_dropped:,} dropped and told; {books.card_emitted:,} from it, "
        f"{books.wire_dropped:,} of which the wire could not take"
    )
    for name, grown in findings.growth().items():
        say(
            f"{'memory':12} {name}: {findings.memory[name][-1] >> 10:,} KiB, {grown >> 10:+,} KiB since the first third"
        )


VERB = Verb(
    "soak",
    "change everything about the interface under traffic, and account for every frame",
    "Traffic and changes at random for as long as is asked for; see docs/benchmarks.md.",
    declare,
    command,
    epilogue(
        "every frame was accounted for, no process grew, the kernel did not complain",
        lacks="one of these does not hold, or the machine lacks something",
    ),
)
