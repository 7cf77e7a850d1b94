# SPDX-License-Identifier: BSD-3-Clause
"""Where the browser of the page's tests comes from."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from guest_images import prefix
from guest_images.debian import Fetched
from guest_images.errors import EnvironmentLacks
from guest_images.progress import Progress
from harness.setup import chromium

if TYPE_CHECKING:
    from guest_images.debian import Archive, Request

PROGRAM = "usr/lib/chromium/chromium-headless-shell"


class Shelf:
    """An archive that fetches packages of these names, each with one file of its own."""

    suites = ("bookworm",)

    def __init__(self, *names: str) -> None:
        self.names = names
        self.fetched = 0

    def fetch(self, request: Request) -> list[Fetched]:
        self.fetched += 1
        assert request.packages == ("chromium-headless-shell",)
        return [Fetched(name, "1", Path(name)) for name in self.names]


@pytest.fixture(autouse=True)
def unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacking a package makes a file of its name, and the browser's makes the program."""

    def unpack(package: Path, into: Path) -> None:
        (into / package.name).touch()
        if package.name == chromium.PACKAGE:
            (into / PROGRAM).parent.mkdir(parents=True)
            (into / PROGRAM).touch()

    monkeypatch.setattr(prefix, "unpack", unpack)


def find(tmp_path: Path, shelf: Shelf) -> chromium.Browser:
    progress = Progress(io.StringIO())
    return chromium.find_or_fetch(tmp_path, cast("Archive", shelf), "bookworm", progress, str(tmp_path / "bin"))


def test_browser_of_the_path_is_taken_as_it_is(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "chromium"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    shelf = Shelf()
    assert find(tmp_path, shelf) == chromium.Browser(program)
    assert shelf.fetched == 0


def test_browser_is_fetched_once_and_runs_on_the_hosts_libc(tmp_path: Path) -> None:
    shelf = Shelf(chromium.PACKAGE, "libnss3", "libc6", "libllvm19", "libc6-extra")
    found = find(tmp_path, shelf)
    assert find(tmp_path, shelf) == found
    assert shelf.fetched == 1
    root = found.program.parents[3]
    assert found.program == root / PROGRAM
    assert {path.name for path in root.iterdir() if path.is_file() and not path.name.startswith((".", "hilnic"))} == {
        chromium.PACKAGE, "libnss3", "libc6-extra"
    }  # fmt: skip
    assert root / "usr/lib/x86_64-linux-gnu" in found.libraries
    assert found.fonts == root / "usr/share/fonts"


def test_a_package_without_the_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacks, match="chromium-headless-shell must install usr/lib/chromium"):
        find(tmp_path, Shelf("libnss3"))
