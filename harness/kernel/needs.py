# SPDX-License-Identifier: BSD-3-Clause
"""Which options of the kernel the checks need, which a configuration lacks, and which claims fall away."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import claims
from harness.errors import EnvironmentLacks, UsageError
from harness.kernel.reach import Checks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.kernel.config import Config

PREFIX = "the guest's kernel lacks "
TABLE = Path(__file__).with_name("options.toml")


@dataclass(frozen=True, slots=True)
class Need:
    """Some options, why they are needed, and by whom: the whole lab, or checks whose source matches ``uses``.

    One of the options will do, or ``all`` must be set.
    """

    name: str
    options: tuple[str, ...]
    why: str
    uses: str = ""
    lab: bool = False
    all: bool = False

    def missing(self, config: Config) -> tuple[str, ...]:
        """Return the options that this kernel lacks; empty if the need is met."""
        lacking = tuple(option for option in self.options if not config.has(option))
        return lacking if self.all or len(lacking) == len(self.options) else ()


@dataclass(frozen=True, slots=True)
class Lack:
    """A need that is not met: what is missing, why it is needed, which claims fall away (for the lab: all)."""

    need: Need
    missing: tuple[str, ...]
    claims: tuple[str, ...]

    def __str__(self) -> str:
        return f"{PREFIX}{', '.join(f'CONFIG_{name}' for name in self.missing)} ({self.need.why})"


def read_needs(path: Path = TABLE) -> tuple[Need, ...]:
    """Read the table. Raises UsageError if it is none."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Need(**{**entry, "name": name, "options": tuple(entry["options"])}) for name, entry in table.items()
        )
    except (OSError, tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise UsageError(f"{path}: a table of needs must be TOML with options, why and lab or uses: {error}") from error


def users(needs: Sequence[Need], folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the claims whose checks use each need, by the need's name. A check of the claim is enough."""
    checks = Checks(folder)
    sources = [
        (citation.claim_id, checks.source(citation.path.stem, citation.check))
        for citation in claims.citations([folder])
    ]
    return {
        need.name: tuple(dict.fromkeys(name for name, source in sources if re.search(need.uses, source)))
        for need in needs
        if need.uses
    }


def lacks(config: Config, folder: Path) -> tuple[Lack, ...]:
    """Return what ``config`` lacks, those first without which nothing can be judged."""
    unmet = [(need, need.missing(config)) for need in read_needs()]
    unmet = [(need, missing) for need, missing in unmet if missing]
    used = users([need for need, _ in unmet], folder) if unmet else {}
    found = [Lack(need, missing, used.get(need.name, ())) for need, missing in unmet]
    return tuple(sorted(found, key=lambda lack: not lack.need.lab))


def must_serve(found: Sequence[Lack]) -> None:
    """Raise EnvironmentLacks if nothing can be judged on this kernel."""
    gone = [str(lack).removeprefix(PREFIX) for lack in found if lack.need.lab]
    if gone:
        raise EnvironmentLacks(f"{PREFIX}{'; '.join(gone)}; see hilnic run --kernel-config-check")


def reasons(found: Sequence[Lack]) -> Mapping[str, str]:
    """Return why each claim falls away."""
    return {claim: str(lack) for lack in found for claim in lack.claims}


def told(config: Config | None, found: Sequence[Lack], release: str) -> Iterator[str]:
    """Yield what ``--kernel-config-check`` says."""
    if config is None:
        yield f"{release}: its configuration was found neither beside it nor in it, so that nothing can be told"
        return
    needs = read_needs()
    yield f"{release}: {config.origin}"
    unmet = {lack.need.name: lack for lack in found}
    for need in needs:
        lack = unmet.get(need.name)
        names = ", ".join(lack.missing if lack else need.options)
        yield f"  {'MISSING' if lack else 'there':8} {need.why}: {names}"
        if lack:
            yield f"{'':11}{'nothing can be judged' if need.lab else _fall_away(lack.claims)}"
    gone = {claim for lack in found for claim in lack.claims}
    if any(lack.need.lab for lack in found):
        yield "the checks cannot run on this kernel"
    else:
        yield f"{len(gone)} claims fall away" if gone else "nothing is missing; every claim can be judged"


def _fall_away(names: Sequence[str]) -> str:
    return f"falls away: {', '.join(names)}" if names else "no claim falls away"
