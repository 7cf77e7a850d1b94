# SPDX-License-Identifier: BSD-3-Clause
"""A card that does its work inside the doorbell, and answers late: a patch (``--patch``), not a mistake."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

PATCH = f"{Path(__file__).resolve()}:works_within_the_doorbell"
"""How the emulator's command line names it."""


ANSWER_S = 0.01
"""How long the write goes on after the report: long enough for another CPU of a loaded machine to find it."""


def works_within_the_doorbell(card: Any) -> None:  # noqa: ANN401 - an emulator.card.Card, which no check imports
    """Fetch, send and report within the write of the tail, which is answered a hundredth of a second later."""
    block: Any = card.nic.transmitter
    kick = block.kick

    def at_once() -> None:
        kick()
        pending, block._timer = block._timer, None  # noqa: SLF001 - a patch is there to look inside
        if pending is not None:
            pending.cancel()
        block._pump()  # noqa: SLF001
        time.sleep(ANSWER_S)

    block.kick = at_once
