# SPDX-License-Identifier: BSD-3-Clause
"""One lab for the tests of the lab."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.opening import materials, open_lab, own_folder
from harness.seeded.command import Workshop
from harness.settling import settle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.lab import Bound, Lab

TEST_S = 180
FOLDER = Path("build/run/tests")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/guest" in str(item.path) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_S, func_only=True))


@pytest.fixture(scope="session")
def session_lab() -> Iterator[Lab]:
    with open_lab(own_folder(FOLDER.absolute())) as lab:
        yield lab


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return where drivers are built: the sound one once, and what a bug changes."""
    return Workshop(tmp_path_factory.mktemp("workshop"), materials().image.kernel_release)


@pytest.fixture
def lab(session_lab: Lab) -> Iterator[Lab]:
    tainted = session_lab.booted().proc.tainted()
    yield session_lab
    settle(session_lab, tainted)


@pytest.fixture
def bound(lab: Lab) -> Bound:
    return lab.bound(lab.default)
