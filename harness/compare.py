# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic compare``: the same checks on our card and on QEMU's own 82576, and who came out how."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from harness import claims, run
from harness.emulator import KINDS
from harness.errors import EnvironmentLacks, UsageError
from harness.report import results
from harness.report.results import ExitStatus, Outcome
from harness.spec import catalogue
from harness.spec.catalogue import DEPARTURES, Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.report.terminal import Progress
    from harness.spec.catalogue import Catalogue, Claim

OURS, *PEERS = KINDS
LAST_WORDS = 2000


class CameOut(Enum):
    """How a claim came out on one card."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_COMPARABLE = "not comparable"
    """Its checks ask our card's control socket, or a card that QEMU's cannot be."""
    NOT_JUDGED = "not judged"
    WAIVED = "waived"


VERDICTS = {
    "held": CameOut.HOLDS,
    "broken": CameOut.FAILS,
    "not comparable": CameOut.NOT_COMPARABLE,
    "not run": CameOut.NOT_JUDGED,
    "waived": CameOut.WAIVED,
}


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """Which claims to judge on our card and on ``peer``. Without a choice these are the known departures."""

    peer: str
    claim_ids: tuple[str, ...] = ()
    expression: str = ""
    every_claim: bool = False
    accelerator: str = "auto"
    kernel: str = ""
    smp: int = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One claim on both cards."""

    claim: Claim
    ours: CameOut
    peer: CameOut

    @property
    def expected(self) -> Peer | None:
        """How the peer is known to come out; None where nothing is known of it."""
        return self.claim.departure.peer if self.claim.departure is not None else None

    @property
    def must_be_told(self) -> bool:
        """Whether the comparison fails if the two come out alike."""
        return (
            self.claim.departure is not None and self.claim.departure.must_be_told and self.ours is not CameOut.WAIVED
        )

    @property
    def told(self) -> bool:
        """Whether the check tells the cards apart."""
        return self.ours is CameOut.HOLDS and self.peer is CameOut.FAILS

    @property
    def surprising(self) -> bool:
        """Whether the peer came out otherwise than is known of it."""
        judged = self.peer in {CameOut.HOLDS, CameOut.FAILS}
        return judged and self.expected in {Peer.HOLDS, Peer.FAILS} and self.expected.value != self.peer.value


def chosen(request: CompareRequest, book: Catalogue) -> tuple[str, ...]:
    """Return the ids that both runs are given; none where ``expression`` alone chooses."""
    if request.claim_ids or request.expression:
        return request.claim_ids
    departures = [claim.id for claim in book if claim.area == DEPARTURES]
    if not request.every_claim:
        return tuple(departures)
    cited = {citation.claim_id for citation in claims.citations([run.CHECKS])}
    return tuple(claim.id for claim in book if claim.id in cited or claim.id in departures)


def command(request: CompareRequest, card: str, ids: Sequence[str], report: Path) -> list[str]:
    """Return the command that judges the claims on one card."""
    argv = [sys.executable, "-m", "harness.cli", "run", "--no-bundles", "--card", card, "--report", str(report)]
    argv += ["--accel", request.accelerator, "--smp", str(request.smp)]
    argv += ["--claims", ",".join(ids)] if ids else []
    argv += ["-k", request.expression] if request.expression else []
    argv += ["--kernel", request.kernel] if request.kernel else []
    return argv


def judge(argv: Sequence[str], report: Path, tell: Callable[[str], None]) -> Mapping[str, Any]:
    """Run the checks on one card; every check's line goes to ``tell``. Return the run's results.json.

    Raises UsageError if nothing was chosen, EnvironmentLacks with its last words if the run came to no result.
    """
    report.mkdir(parents=True, exist_ok=True)
    outcome = report / "results.json"
    outcome.unlink(missing_ok=True)
    marks = tuple(f"  {outcome.value} " for outcome in Outcome)
    said = []
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith(marks):
                tell(line.rstrip())
    (report / "output.txt").write_text("".join(said), encoding="utf-8")
    words = "".join(said)[-LAST_WORDS:].strip()
    if process.returncode == ExitStatus.USAGE.value:
        raise UsageError(words.rpartition("error: ")[2])
    if not outcome.is_file():
        raise EnvironmentLacks(f"a run must leave {outcome}, but ended with {process.returncode}: {words}")
    return results.read(outcome)


def rows(book: Catalogue, ours: Mapping[str, Any], peer: Mapping[str, Any]) -> list[Row]:
    """Put two runs side by side: a row for each claim that both judged or meant to."""
    verdicts = [
        {found["id"]: VERDICTS[found["verdict"]] for found in side["claims"] if found["selected"]}
        for side in (ours, peer)
    ]
    both = [claim for claim in book if all(claim.id in side for side in verdicts)]
    return [Row(claim, *(side[claim.id] for side in verdicts)) for claim in both]


def compare(request: CompareRequest, folder: Path, progress: Progress) -> list[Row]:
    """Judge the claims on both cards, each in a guest of its own; the two reports lie in ``folder``."""
    if request.peer not in PEERS:
        raise UsageError(f"--peer must be one of {', '.join(PEERS)}, not {request.peer!r}")
    if request.smp < 1:
        raise UsageError(f"--smp must be 1 or more, not {request.smp}")
    book = catalogue.load()
    ids = chosen(request, book)
    found = []
    for card, place in ((OURS, "ours"), (request.peer, "peer")):
        progress.start(f"checks on {card}")

        def tell(line: str, card: str = card) -> None:
            progress.finish(f"{card:9}{line}")
            progress.start(f"checks on {card}")

        found.append(judge(command(request, card, ids, folder / place), folder / place, tell))
    return rows(book, *found)


def status(found: Sequence[Row]) -> ExitStatus:
    """Return how the comparison ended: ours must hold everything, and what Linux would see must be told apart."""
    if any(row.ours is CameOut.FAILS for row in found):
        return ExitStatus.BROKEN
    if any(row.must_be_told and row.peer in {CameOut.HOLDS, CameOut.NOT_COMPARABLE} for row in found):
        return ExitStatus.BROKEN
    if any(CameOut.NOT_JUDGED in ({row.ours, row.peer} if row.must_be_told else {row.ours}) for row in found):
        return ExitStatus.LACKS
    return ExitStatus.HOLDS


def table(found: Sequence[Row], peer: str) -> Iterator[str]:
    """Yield the lines of the table with both columns, and what was expected of the peer."""
    yield f"  {'claim':9}{'':3}{'ours':16}{peer:16}{'expected of it':16}what the claim says"
    for row in found:
        severity = row.claim.departure.severity.value if row.claim.departure is not None else ""
        expected = row.expected.value if row.expected is not None else "-"
        mark = "!" if row.surprising else " "
        yield (
            f"{mark} {row.claim.id:9}{severity:3}{row.ours.value:16}{row.peer.value:16}{expected:16}{row.claim.title}"
        )


def sentence(found: Sequence[Row]) -> str:
    """Say in one sentence how the comparison ended."""
    judged = [row for row in found if row.ours is not CameOut.WAIVED]
    alike = [row.claim.id for row in found if row.must_be_told and not row.told]
    parts = [f"ours holds {sum(row.ours is CameOut.HOLDS for row in judged)} of {len(judged)} claims"]
    parts += [f"{sum(row.told for row in found)} tell the two cards apart"]
    for word, hit in (
        ("broken on ours", [row.claim.id for row in found if row.ours is CameOut.FAILS]),
        ("not told apart, though Linux sees it", alike),
        ("otherwise than expected", [row.claim.id for row in found if row.surprising]),
    ):
        parts += [f"{word}: {', '.join(hit)}"] if hit else []
    incomparable = sum(row.peer is CameOut.NOT_COMPARABLE for row in found)
    parts += [f"{incomparable} not comparable"] if incomparable else []
    mark = {ExitStatus.HOLDS: "OK", ExitStatus.BROKEN: "BROKEN"}.get(status(found), "INCOMPLETE")
    return f"{mark}: {'; '.join(parts)}."


def as_json(found: Sequence[Row]) -> str:
    """Return the rows as a JSON list of {id, ours, peer, expected}; expected is null where nothing is known."""
    return json.dumps(
        [
            {
                "id": row.claim.id,
                "ours": row.ours.value,
                "peer": row.peer.value,
                "expected": row.expected.value if row.expected is not None else None,
            }
            for row in found
        ],
        indent=1,
    )
