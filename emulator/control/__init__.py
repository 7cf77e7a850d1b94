# SPDX-License-Identifier: BSD-3-Clause
"""The control socket: what testers and the harness see of a running card, and how they make it misbehave."""

from __future__ import annotations

from emulator.control.server import ControlServer

__all__ = ["ControlServer"]
