# SPDX-License-Identifier: BSD-3-Clause
"""A plugin of pytest that puts native cards into the worlds of tests/model: ``pytest -p tests.fastpath.on_native``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tests.model.igb.world as worlds
from tests.fastpath.world import NativeWorld

if TYPE_CHECKING:
    import pytest

worlds.World = NativeWorld  # type: ignore[misc]

WATCH_PYTHON = frozenset({
    "test_6_the_second_quadword_is_one_store_and_the_last",
    "test_a_store_outside_would_be_found",
    "test_length_becomes_visible_last_and_the_message_after_it",
    "test_trap_1_length_appears_last_and_everything_is_final_by_then",
    "test_trap_3_a_queue_without_a_buffer_size_of_its_own_takes_that_of_rctl",
    "test_trap_10_only_the_descriptor_with_rs_gets_dd",
})  # fmt: skip
"""They look at each store that passes through a memory of Python's; the engine stores by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if item.name.partition("[")[0] not in WATCH_PYTHON]
