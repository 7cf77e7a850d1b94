# SPDX-License-Identifier: BSD-3-Clause
"""One browser for all tests of the page, fetched into the cache when first needed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from guest_images.progress import Progress
from harness.setup.steps import browser
from tests.page.chromium import Tab, browsing

if TYPE_CHECKING:
    from collections.abc import Iterator

FETCH_S = 900


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/page" in str(item.path):
            item.add_marker(pytest.mark.timeout(FETCH_S))


@pytest.fixture(scope="session")
def session_tab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Tab]:
    captured = request.config.pluginmanager.getplugin("capturemanager")
    assert captured is not None
    with captured.global_and_fixture_disabled():
        found = browser(os.environ, Progress(sys.stderr))
    with browsing(found, tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture
def tab(session_tab: Tab) -> Tab:
    """A page on a screen as people have, light, with nothing said yet."""
    session_tab.resize(1280, 900)
    session_tab.media()
    session_tab.complaints.clear()
    session_tab.requests.clear()
    return session_tab
