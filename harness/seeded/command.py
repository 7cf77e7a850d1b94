# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic seeded``: sow each bug into igb, build it, and see which of the claims named for it notices."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guest_images import igb
from guest_images.errors import EnvironmentLacks as PackagesLack
from guest_images.progress import Progress as SetUpProgress
from harness.console import complain
from harness.errors import EnvironmentLacks, LabBroken, UsageError
from harness.opening import materials
from harness.options import engine_option, json_beside, lab_options
from harness.report.results import ExitStatus
from harness.seeded.bugs import Bug, read_bugs
from harness.setup.steps import guest_archive
from harness.spec import catalogue
from harness.verb import Verb, epilogue

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from harness.report.terminal import Progress

TABLE = Path("tests/seeded/bugs.toml")
RUN_S = 900.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run said of a driver: the claims that broke with the reason, those that held, and the rest."""

    broken: dict[str, str]
    held: tuple[str, ...]
    unjudged: tuple[str, ...]
    why_not: str = ""

    def why_missed(self) -> str:
        """Say what happened instead of a claim's breaking."""
        held = f"held {', '.join(self.held)}" if self.held else ""
        unjudged = f"not judged {', '.join(self.unjudged)}: {self.why_not}" if self.unjudged else ""
        return "; ".join(filter(None, (held, unjudged)))


def declare(verb: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verb.add_argument("-k", default="", metavar="TEXT", dest="expression", help="only bugs with this text")
    verb.add_argument("--table", type=Path, default=TABLE, help="default: %(default)s")
    engine_option(verb)
    verb.add_argument(
        "--json",
        default="build/seeded/seeded.json",
        metavar="FILE",
        help="save the list; - writes it to standard output; default: %(default)s",
    )
    verb.add_argument("--report", type=Path, default=Path("build/seeded"), metavar="DIR", help="default: %(default)s")
    lab_options(verb)


class Workshop:
    """Builds drivers in ``folder`` for the guest's kernel; what has not changed is not built again."""

    def __init__(self, folder: Path, release: str) -> None:
        progress = SetUpProgress(sys.stderr)
        try:
            with guest_archive(os.environ, progress) as (cache, archive):
                self._against = igb.headers(cache, archive, progress, release)
                self._source = igb.source(cache, archive, progress, release)
        except PackagesLack as error:
            raise EnvironmentLacks(str(error)) from error
        self._folder = folder / "source"
        self._made = folder / "drivers"
        self._made.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._source, self._folder)

    def build(self, bug: Bug | None = None) -> Path:
        """Return igb.ko with ``bug`` in it, or without any. Raises UsageError if it cannot be sown or built."""
        if bug is not None:
            sound = (self._source / bug.file).read_text(encoding="utf-8")
            (self._folder / bug.file).write_text(bug.sow(sound), encoding="utf-8")
        try:
            built = igb.build(self._against, self._folder)
        except PackagesLack as error:
            raise UsageError(f"{bug.name if bug else 'igb'} must build: {error}") from error
        finally:
            if bug is not None:
                shutil.copy(self._source / bug.file, self._folder / bug.file)
        place = self._made / (bug.name if bug else "sound") / "igb.ko"
        place.parent.mkdir(exist_ok=True)
        shutil.copy(built, place)
        return place


def judge(module: Path, claims: Sequence[str], report: Path, options: Sequence[str]) -> Verdict:
    """Run the checks of ``claims`` on a driver. Raises LabBroken if nothing was judged."""
    words = ["run", "--no-bundles", "--module", str(module), "--claims", ",".join(claims)]
    words += ["--report", str(report), *options]
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words], capture_output=True, text=True, timeout=RUN_S, check=False
    )
    results = report / "results.json"
    report.mkdir(parents=True, exist_ok=True)
    (report / "output.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    if not results.is_file():
        raise LabBroken(
            f"the checks of {', '.join(claims)} must end with a verdict, but: {(done.stderr or done.stdout)[-600:]}"
        )
    table: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    chosen = [claim for claim in table["claims"] if claim["id"] in claims]
    return Verdict(
        {claim["id"]: reason_of(claim) for claim in chosen if claim["verdict"] == "broken" and not lab_broke(claim)},
        tuple(claim["id"] for claim in chosen if claim["verdict"] == "held"),
        tuple(claim["id"] for claim in chosen if claim["verdict"] not in ("held", "broken") or lab_broke(claim)),
        next((reason_of(claim, "lab broken") for claim in chosen if lab_broke(claim)), ""),
    )


def tried(workshop: Workshop, bug: Bug, report: Path, options: Sequence[str]) -> Verdict:
    """Build and judge a bug; one that cannot be built, or never ends, is not judged, and the others go on."""
    try:
        return judge(workshop.build(bug), bug.claims, report, options)
    except (UsageError, LabBroken) as error:
        return Verdict({}, (), bug.claims, str(error))
    except subprocess.TimeoutExpired:
        return Verdict({}, (), bug.claims, f"the checks must end within {RUN_S:g} s, and did not")


def lab_broke(claim: dict[str, Any]) -> bool:
    """Say whether no check of a claim judged it: the lab failed them."""
    ended = {check["outcome"] for check in claim["checks"]}
    return "failed" not in ended and "lab broken" in ended


def reason_of(claim: dict[str, Any], outcome: str = "failed") -> str:
    """Return the first line of what a check of the claim with this outcome said."""
    reasons = [check["reason"] for check in claim["checks"] if check["outcome"] == outcome]
    return " ".join(reasons[0].split())[:160] if reasons else ""


def command(arguments: argparse.Namespace, progress: Progress, say: Callable[[str], None]) -> ExitStatus:
    """Sow, build and judge. HOLDS if each bug was caught by a claim named for it, and the sound driver breaks none."""
    book = catalogue.load()
    bugs = [bug for bug in read_bugs(arguments.table) if arguments.expression.lower() in bug.name]
    if not bugs:
        raise UsageError(f"-k must match a bug of {arguments.table}, not {arguments.expression!r}")
    for claim_id in {claim for bug in bugs for claim in bug.claims}:
        book.get(claim_id)
    options = [f"--accel={arguments.accel}", f"--smp={arguments.smp}"]
    options += [f"--engine={arguments.engine}"] if arguments.engine else []
    options += [f"--kernel={arguments.kernel}"] if arguments.kernel else []
    report = arguments.report.absolute()
    try:
        progress.start("building the sound driver")
        workshop = Workshop(report, materials(arguments.kernel).image.kernel_release)
        claims = sorted({claim for bug in bugs for claim in bug.claims})
        sound = judge(workshop.build(), claims, report / "sound", options)
        blamed = [*sound.broken, *sound.unjudged]
        progress.finish(f"the sound driver {'holds' if not blamed else 'does not hold'} {len(claims)} claims")
        found = []
        for bug in bugs:
            progress.start(bug.name)
            verdict = tried(workshop, bug, report / bug.name, options)
            caught = [claim for claim in verdict.broken if claim not in blamed]
            why = f"{caught[0]}: {verdict.broken[caught[0]]}" if caught else verdict.why_missed()
            progress.finish(
                f"  {'caught ' if caught else 'MISSED '}  {bug.name:30}  {', '.join(caught):24}  {why[:110]}"
            )
            found.append({"bug": bug.name, "caught_by": caught})
    finally:
        progress.close()
    text = json.dumps(found, indent=1)
    if json_beside(arguments):
        say(text)
        say = complain
    else:
        Path(arguments.json).parent.mkdir(parents=True, exist_ok=True)
        Path(arguments.json).write_text(f"{text}\n", encoding="utf-8")
    missed = [entry["bug"] for entry in found if not entry["caught_by"]]
    say(f"{len(found) - len(missed)} of {len(found)} bugs caught; what each run said is in {arguments.report}")
    for claim, reason in sound.broken.items():
        say(f"the sound driver breaks {claim}: {reason}")
    if sound.unjudged:
        say(f"not judged on the sound driver: {', '.join(sound.unjudged)}")
    return ExitStatus.BROKEN if missed or blamed else ExitStatus.HOLDS


VERB = Verb(
    "seeded",
    "prove that the checks catch a driver's bugs",
    "Sow bugs into igb, build it for the guest, and expect the claims named for each to notice.",
    declare,
    command,
    epilogue("every bug was caught, and the driver without any holds", "a bug was missed, or it does not"),
    json_beside,
)
