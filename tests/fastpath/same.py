# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.fastpath.same``: drive model and native engine side by side for a long time (make same)."""

from __future__ import annotations

import argparse
import sys
import time
from random import Random
from typing import TYPE_CHECKING

from device_model.ports import InterruptMode
from tests.fastpath.pair import Differ, Pair, next_step

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS_EACH = 500
"""Steps of one pair of cards; then a fresh pair begins."""

EVERY_S = 2.0


def drive(seed: int, steps: int, *, paced: bool = False, threads: int = 1) -> Pair:
    """Drive a fresh pair for ``steps`` steps that ``seed`` chooses; Differ says where it parts."""
    choose = Random(seed)  # noqa: S311 - reproducible, not secret
    pair = Pair(tuple(InterruptMode)[seed // 4 % 3] if seed % 4 == 3 else InterruptMode.MSIX, threads)
    for world in pair.worlds:
        world.nic.interrupts.paced = paced
    for _ in range(steps):
        pair.step(next_step(pair, choose))
    pair.compare_registers()
    return pair


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 1 if the two are not the same card."""
    parser = argparse.ArgumentParser(prog="python -m tests.fastpath.same", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="of the native card; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the first pair; default: %(default)s")
    options = parser.parse_args(arguments)
    began = said = time.monotonic()
    done, seed = 0, options.seed
    while done < options.steps:
        steps = min(STEPS_EACH, options.steps - done)
        try:
            drive(seed, steps, threads=options.threads)
        except Differ as difference:
            print(f"seed {seed}: {difference}")  # noqa: T201 - this is a command
            return 1
        done += steps
        seed += 1
        if time.monotonic() - said > EVERY_S:
            said = time.monotonic()
            print(f"\r{done} of {options.steps} steps, {done / (said - began):.0f} a second", end="", flush=True)  # noqa: T201 - this is a command
    print(f"\r{done} steps in {time.monotonic() - began:.0f} s: the model and the native engine are the same card")  # noqa: T201 - this is a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
