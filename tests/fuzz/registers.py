# SPDX-License-Identifier: BSD-3-Clause
"""A coverage-guided fuzzer's bytes as the choices of tests.fastpath.pair: both engines, step by step, must agree."""

from __future__ import annotations

from random import Random

from device_model.ports import InterruptMode
from tests.fastpath.pair import Pair, next_step

MODES = tuple(InterruptMode)
MOST = 200


class SpentError(Exception):
    """There are no bytes left to choose by."""


class Bytes(Random):
    """Choices made by ``data``, until it is used up."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data = data
        self._at = 0

    def getrandbits(self, k: int) -> int:
        """Return ``k`` bits of the data."""
        if self._at >= len(self._data):
            raise SpentError
        size = (k + 7) // 8
        value = int.from_bytes(self._data[self._at : self._at + size], "little")
        self._at += size
        return value & ((1 << k) - 1)

    def random(self) -> float:
        """Return a number below 1."""
        return self.getrandbits(32) / 2**32


def one(data: bytes) -> None:
    """Run one input. Raises Differ where the engines part, or whatever a bug raises."""
    choose = Bytes(data)
    pair = Pair(MODES[len(data) % len(MODES)])
    try:
        for _ in range(MOST):
            pair.step(next_step(pair, choose))
    except SpentError:
        return
    finally:
        pair.close()
