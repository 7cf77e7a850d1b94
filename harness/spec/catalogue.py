# SPDX-License-Identifier: BSD-3-Clause
"""Loads the claims of ``harness/spec/*.toml`` and refuses what is not well formed, naming the file and the value.

A file holds one area::

    area = "RSS"
    chapter = "Receive side scaling"

    [[claim]]
    id = "RSS-03"
    priority = "P0"
    title = "..."
    statement = "One falsifiable sentence."
    source = "kernel function or data-sheet section"
    guest_witness = "what is read inside the guest"
    device_witness = "what the card saw"
    fault = "what must turn the check red"
    kernels = ">=6.12,<7"      # optional: releases of the guest kernel that the claim speaks about
    state = "todo"             # optional, P1 and P2 only: no check yet
    waived = "reason"          # optional: will not be checked, and why
    severity = "H"             # DEV only: who sees the departure. H: Linux igb, M: others, L: nobody in practice
    peer = "fails"             # with severity: how QEMU's own igb comes out: fails, holds or cannot be told
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SPEC_DIRECTORY = Path(__file__).parent

#: The order of the chapters in tables and pages.
AREAS = (
    "IRQ", "ING", "NAPI", "GRO", "RSS", "RPS", "RFS", "EGR", "TX", "TXC", "BQL", "LNK", "ETH", "OFF", "ROB", "DEV",
)  # fmt: skip

DEPARTURES = "DEV"
"""The area of the claims that QEMU's own igb is known to break."""

_TEXTS = ("title", "statement", "source", "guest_witness", "device_witness", "fault")
_OPTIONAL = ("kernels", "state", "waived", "severity", "peer")
_ID = re.compile(r"[A-Z]+-[0-9]{2}")
_BOUND = re.compile(r"(>=|<=|==|>|<)([0-9]+(?:\.[0-9]+)*)")


class Priority(Enum):
    """How much a claim matters: P0 must hold, P1 makes a P0 trustworthy, P2 is breadth."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"


class Severity(Enum):
    """Who sees where QEMU's igb departs from the 82576."""

    HIGH = "H"
    """Linux igb and its users."""
    MEDIUM = "M"
    """Other drivers and tools."""
    LOW = "L"
    """Nobody in practice."""


class Peer(Enum):
    """How QEMU's own igb is expected to come out."""

    FAILS = "fails"
    HOLDS = "holds"
    CANNOT_BE_TOLD = "cannot be told"


@dataclass(frozen=True, slots=True)
class Departure:
    """What a claim of the area DEV says of QEMU's own igb."""

    severity: Severity
    peer: Peer

    @property
    def must_be_told(self) -> bool:
        """Whether a comparison fails when the two cards come out alike: seen by Linux, and expected of QEMU's igb."""
        return self.severity is Severity.HIGH and self.peer is Peer.FAILS


@dataclass(frozen=True, slots=True)
class KernelRange:
    """Releases of the guest kernel, as comma-separated bounds that must all hold; the empty range admits all."""

    text: str = ""

    def __post_init__(self) -> None:
        """Refuse a bound that cannot be read."""
        for bound in self._bounds():
            if not _BOUND.fullmatch(bound):
                raise UsageError(f"a kernel bound must look like >=6.12, not {bound!r}")

    def _bounds(self) -> list[str]:
        return [bound.strip() for bound in self.text.split(",")] if self.text else []

    def admits(self, release: str) -> bool:
        """Say whether ``release`` (as ``uname -r`` prints it) lies within the bounds; only stated digits compare."""
        numbers = re.match(r"[0-9]+(?:\.[0-9]+)*", release)
        if numbers is None:
            raise UsageError(f"a kernel release must begin with a number, not {release!r}")
        have = tuple(int(part) for part in numbers[0].split("."))
        for bound in self._bounds():
            match = _BOUND.fullmatch(bound)
            assert match is not None
            want = tuple(int(part) for part in match[2].split("."))
            cut = (have + (0,) * len(want))[: len(want)]
            sides = {"<": cut < want, "<=": cut <= want, ">": cut > want, ">=": cut >= want, "==": cut == want}
            if not sides[match[1]]:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Claim:
    """One promise of the specification."""

    id: str
    priority: Priority
    title: str
    statement: str
    source: str
    guest_witness: str
    device_witness: str
    fault: str
    kernels: KernelRange = field(default_factory=KernelRange)
    todo: bool = False
    waived: str = ""
    departure: Departure | None = None

    @property
    def area(self) -> str:
        """The part of the id before the dash: ``RSS`` of ``RSS-03``."""
        return self.id.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One area of the catalogue, with its title and claims in the order of the file."""

    area: str
    title: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All chapters."""

    chapters: tuple[Chapter, ...]

    def __iter__(self) -> Iterator[Claim]:
        """Yield every claim, chapter by chapter."""
        for chapter in self.chapters:
            yield from chapter.claims

    def __len__(self) -> int:
        """Count the claims."""
        return sum(len(chapter.claims) for chapter in self.chapters)

    def __contains__(self, claim_id: object) -> bool:
        """Say whether there is a claim of this id."""
        return any(claim.id == claim_id for claim in self)

    def get(self, claim_id: str) -> Claim:
        """Return the claim of this id, or raise UsageError that suggests the nearest one."""
        for claim in self:
            if claim.id == claim_id:
                return claim
        raise UsageError(f"a claim must be a known one, not {claim_id!r} (nearest: {self.nearest(claim_id)})")

    def nearest(self, claim_id: str) -> str:
        """Return the id most like ``claim_id``; a forgotten leading zero counts as nothing."""
        area, dash, number = claim_id.strip().upper().partition("-")
        ids = [claim.id for claim in self]
        padded = f"{area}{dash}{number.zfill(2)}"
        if padded in ids:
            return padded
        return (difflib.get_close_matches(padded, ids, n=1, cutoff=0.0) or ["none"])[0]

    def chapter(self, area: str) -> Chapter:
        """Return the chapter of an area (any case), or raise UsageError."""
        for chapter in self.chapters:
            if chapter.area == area.upper():
                return chapter
        known = ", ".join(chapter.area for chapter in self.chapters)
        raise UsageError(f"an area must be one of {known}, not {area!r}")


def load(directory: Path = SPEC_DIRECTORY) -> Catalogue:
    """Read every ``*.toml`` of ``directory``; raise UsageError on the first thing that is not as it must be."""
    chapters: list[Chapter] = []
    seen: dict[str, Path] = {}
    for path in sorted(directory.glob("*.toml")):
        chapter = read_chapter(path)
        for claim in chapter.claims:
            if claim.id in seen:
                first = seen[claim.id].name
                raise UsageError(f"{path}: an id must be unique, not {claim.id!r} again (first in {first})")
            seen[claim.id] = path
        chapters.append(chapter)
    if not chapters:
        raise UsageError(f"a catalogue must hold at least one *.toml, and {str(directory)!r} holds none")
    chapters.sort(key=lambda chapter: AREAS.index(chapter.area))
    return Catalogue(tuple(chapters))


def read_chapter(path: Path) -> Chapter:
    """Read one file; the area inside must match the file's name."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: must be a readable TOML file: {error}") from error
    _refuse_unknown(path, "the file", table, ("area", "chapter", "claim"))
    area, title = _text(path, "the file", table, "area"), _text(path, "the file", table, "chapter")
    if area not in AREAS:
        raise UsageError(f"{path}: area must be one of {', '.join(AREAS)}, not {area!r}")
    if path.stem != area.lower():
        raise UsageError(f"{path}: area must be {path.stem.upper()!r} as the file is named, not {area!r}")
    entries = table.get("claim")
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path}: claim must be a list of [[claim]] tables, not {entries!r}")
    return Chapter(area, title, tuple(_claim(path, area, entry) for entry in entries))


def _claim(path: Path, area: str, entry: object) -> Claim:
    if not isinstance(entry, dict):
        raise UsageError(f"{path}: claim must be a table, not {entry!r}")
    claim_id = _text(path, "a claim", entry, "id")
    if not _ID.fullmatch(claim_id) or not claim_id.startswith(f"{area}-"):
        raise UsageError(f"{path}: id must look like {area}-07, not {claim_id!r}")
    _refuse_unknown(path, claim_id, entry, ("id", "priority", *_TEXTS, *_OPTIONAL))
    priority = entry.get("priority")
    if priority not in {member.value for member in Priority}:
        raise UsageError(f"{path}: {claim_id}: priority must be P0, P1 or P2, not {priority!r}")
    texts = {key: _text(path, claim_id, entry, key) for key in _TEXTS}
    options = {key: _text(path, claim_id, entry, key) if key in entry else "" for key in _OPTIONAL}
    if options["state"] not in {"", "todo"}:
        raise UsageError(f"{path}: {claim_id}: state must be 'todo' or absent, not {options['state']!r}")
    if options["state"] == "todo" and priority == "P0":
        raise UsageError(f"{path}: {claim_id}: state of a P0 claim must be absent (check it or waive it), not 'todo'")
    if options["state"] and options["waived"]:
        raise UsageError(f"{path}: {claim_id}: a claim must be todo or waived, not both ({options['waived']!r})")
    try:
        kernels = KernelRange(options["kernels"])
    except UsageError as error:
        raise UsageError(f"{path}: {claim_id}: kernels: {error}") from error
    todo, waived = bool(options["state"]), options["waived"]
    departure = _departure(path, claim_id, options["severity"], options["peer"])
    if (area == DEPARTURES) != (departure is not None):
        raise UsageError(f"{path}: {claim_id}: severity and peer must be in {DEPARTURES}, and nowhere else")
    return Claim(claim_id, Priority(priority), **texts, kernels=kernels, todo=todo, waived=waived, departure=departure)


def _departure(path: Path, claim_id: str, severity: str, peer: str) -> Departure | None:
    if not severity and not peer:
        return None
    for key, value, kind in (("severity", severity, Severity), ("peer", peer, Peer)):
        known = [member.value for member in kind]
        if value not in known:
            raise UsageError(f"{path}: {claim_id}: {key} must be one of {', '.join(known)}, not {value!r}")
    return Departure(Severity(severity), Peer(peer))


def _refuse_unknown(path: Path, where: str, table: Mapping[str, object], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise UsageError(f"{path}: {where}: a key must be one of {', '.join(known)}, not {key!r}")


def _text(path: Path, where: str, table: Mapping[str, object], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{path}: {where}: {key} must be a text that is not empty, not {value!r}")
    return " ".join(value.split())
