# SPDX-License-Identifier: BSD-3-Clause
"""A time line around a check, kept beside its other evidence."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from harness.errors import UsageError, WorldError
from harness.timeline import page
from harness.timeline.record import recorded
from harness.timeline.story import verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.evidence import Evidence
    from harness.lab import Bound


@contextmanager
def traced(bound: Bound, evidence: Evidence, what: str) -> Iterator[None]:
    """Record both witnesses until the end of the block, and attach the page.

    A check may replace guest or card, or end a driver: then there is no time line, and a note says why.
    """
    undo = ExitStack()
    recorder = None
    try:
        recorder = undo.enter_context(recorded(bound, {"what": what}))
    except (WorldError, UsageError) as error:
        evidence.note(what="no time line", guest=str(error))
    yield
    try:
        undo.close()
    except (WorldError, UsageError, OSError) as error:
        evidence.note(what="no time line", guest=str(error))
        return
    if recorder is not None:
        evidence.attach("timeline.html", page.render(recorder.line))
        evidence.note(what="time line", guest=verdict(recorder.line)[0])
