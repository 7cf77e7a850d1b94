# SPDX-License-Identifier: BSD-3-Clause
"""The pictures of a page: each is drawn once, in the gallery, and shown again beside the check that recorded it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from guest_images.cache import cache_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.report.results import CheckResult, ClaimResult

MATPLOTLIB_FOLDER = "matplotlib"
"""Where matplotlib keeps what it found out about fonts: in our cache, not in the user's home."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn plot: its id on the page, where it belongs, and the parts that are put together where it is shown."""

    name: str
    claim_id: str
    title: str
    note: str
    legend: str
    svg: str

    @property
    def figure(self) -> str:
        """The figure for the gallery, with the drawing itself."""
        link = f'<a href="#{escape(self.claim_id)}">{escape(self.claim_id)}</a>' if self.claim_id else ""
        return self._put_together(f'<figure id="{self.name}">', link, self.svg)

    @property
    def reference(self) -> str:
        """The same figure for a second place, which refers to the drawing."""
        box = re.search(r'viewBox="[^"]*"', self.svg)
        again = f'<svg class="plot" role="img" {box[0] if box else ""}><use href="#{self.name}-drawing"/></svg>'
        return self._put_together("<figure>", "", again)

    def _put_together(self, opening: str, link: str, svg: str) -> str:
        note = f'<p class="note">{escape(self.note)}</p>' if self.note else ""
        caption = f"<figcaption><span>{escape(self.title)}</span>{link}</figcaption>"
        return f"{opening}{caption}{self.legend}{svg}{note}</figure>"


def draw(claims: Iterable[ClaimResult], more: Iterable[CheckResult]) -> dict[str, list[Picture]]:
    """Draw all that the checks recorded; return the pictures of each check that has some, by its node."""
    owners: dict[str, tuple[CheckResult, str]] = {}
    for claim in claims:
        for check in claim.checks:
            owners.setdefault(check.nodeid, (check, claim.claim.id))
    for check in more:
        owners.setdefault(check.nodeid, (check, ""))
    number = iter(range(1, 1 + sum(len(check.plots) for check, _ in owners.values())))
    return {check.nodeid: [*_pictures(check, claim_id, number)] for check, claim_id in owners.values() if check.plots}


def _pictures(check: CheckResult, claim_id: str, numbers: Iterator[int]) -> Iterator[Picture]:
    os.environ.setdefault("MPLCONFIGDIR", str(cache_root(os.environ) / MATPLOTLIB_FOLDER))
    from harness.report import drawing  # noqa: PLC0415 - matplotlib is slow to import, and most pages draw nothing

    for plot in check.plots:
        name = f"plot-{next(numbers)}"
        svg = drawing.svg(plot, name)
        start, end = svg.index(">") + 1, svg.rindex("</svg>")
        box = re.search(r'viewBox="[^"]*"', svg)
        opening = f'<svg class="plot" role="img" aria-label="{escape(plot.title)}" {box[0] if box else ""}>'
        drawn = f'{opening}<g id="{name}-drawing">{svg[start:end]}</g></svg>'
        entries = "".join(
            f'<li class="{source.value.replace(" ", "-")} {look}">{escape(label)}</li>'
            for label, source, look in drawing.legend(plot)
        )
        yield Picture(name, claim_id, plot.title, plot.note, f'<ul class="legend">{entries}</ul>', drawn)
