# SPDX-License-Identifier: BSD-3-Clause
"""The free-running timer: 82576 data sheet 8.15."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.general import FRTIMER

if TYPE_CHECKING:
    from device_model.ports import Clock
    from device_model.regfile import RegisterFile


class FreeRunningTimer:
    """FRTIMER: microseconds since the card was made, modulo 2^32."""

    def __init__(self, regs: RegisterFile, clock: Clock) -> None:
        """Start at 0 now."""
        start_ns = clock.now_ns()
        regs.on_read(FRTIMER, lambda _n: (clock.now_ns() - start_ns) // 1000 & 0xFFFF_FFFF)
