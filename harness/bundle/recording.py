# SPDX-License-Identifier: BSD-3-Clause
"""Cards of a lab whose logs are kept, and the bundle that is made of them."""

from __future__ import annotations

import dataclasses
import platform
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bundle import archive
from harness.emulator import BUNDLE_LOG, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.lab import Lab

GUEST_FILES = ("console.log", "qemu.argv", "qemu.log")
CARD_FILES = ("emulator.log", "emulator.argv", "wire.pcapng")


def version() -> str:
    """Return hilnic's version."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


class Recording:
    """What is recorded of ``lab`` from a fresh guest and a fresh card on."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.files: dict[str, Path | str] = {}
        """More files for the bundle, by name."""

        self._first_card, self._first_guest = lab.cards + 1, lab.guests + 1

    def write(self, path: Path, facts: Mapping[str, Any], **manifest: object) -> list[int]:
        """End guest and card and write the bundle; return the numbers of its cards. Without any there is no bundle."""
        lab = self._lab
        lab.shut()
        files = dict(self.files)
        numbers, cards = [], []
        for number in range(self._first_card, lab.cards + 1):
            folder = lab.folder / f"card-{number}"
            log = folder / BUNDLE_LOG
            if log.is_file() and log.stat().st_size:
                files[archive.log_name(number)] = log
                numbers.append(number)
                cards.append({"number": number, "argv": (folder / "emulator.argv").read_text().splitlines()})
                files |= {f"card-{number}/{name}": folder / name for name in CARD_FILES if (folder / name).is_file()}
        for number in range(self._first_guest, lab.guests + 1):
            folder = lab.folder / f"guest-{number}"
            files |= {f"guest-{number}/{name}": folder / name for name in GUEST_FILES if (folder / name).is_file()}
        if cards:
            versions = {"hilnic": version(), "python": platform.python_version(), **lab.facts()}
            about = {
                "written": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
                "versions": versions,
                "options": _plain(dataclasses.asdict(lab.default)),
                "seed": facts.get("seed"),
                "facts": {name: str(value) for name, value in facts.items()},
                "cards": cards,
            }
            archive.write(path, {**about, **manifest}, files)
        return numbers


@contextmanager
def recorded(lab: Lab) -> Iterator[Recording]:
    """Record what happens to cards of ``lab`` in this context, which begins without guest and card."""
    lab.shut()
    usual = lab.default
    lab.default = dataclasses.replace(usual, log=True)
    try:
        yield Recording(lab)
    finally:
        lab.default = usual


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return str(value) if isinstance(value, Path) else value
