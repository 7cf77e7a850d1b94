# SPDX-License-Identifier: BSD-3-Clause
"""A plugin of pytest that puts native cards into the worlds of tests/model: ``pytest -p tests.fastpath.on_native``."""

from __future__ import annotations

import tests.model.igb.world as worlds
from tests.fastpath.world import NativeWorld

worlds.World = NativeWorld  # type: ignore[misc]
