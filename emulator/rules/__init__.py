# SPDX-License-Identifier: BSD-3-Clause
"""Rules: at a certain event of the card, stand still, or begin to misbehave."""

from __future__ import annotations

from emulator.rules.book import Rules

__all__ = ["Rules"]
