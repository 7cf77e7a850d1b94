# SPDX-License-Identifier: BSD-3-Clause
"""Wires: our end of a cable to the host, to another QEMU, to the harness, to ourselves or to nobody."""

from __future__ import annotations

from emulator.wires.end import WireCounts, WireEnd
from emulator.wires.spec import GRAMMAR, open_wire

__all__ = ["GRAMMAR", "WireCounts", "WireEnd", "open_wire"]
