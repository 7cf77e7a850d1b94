# SPDX-License-Identifier: BSD-3-Clause
"""The file of a bundle: a zip with a manifest, the logs of cards, and what else was there."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = 1
MANIFEST = "manifest.json"
LOG = "card.log"
ZIP_START = b"PK\x03\x04"


def log_name(card: int) -> str:
    """Return where the log of card number ``card`` is."""
    return f"card-{card}/{LOG}"


def write(path: Path, manifest: dict[str, Any], files: Mapping[str, Path | str]) -> None:
    """Write a bundle of ``files``, each a file or a text, under their names. Raises UsageError."""
    text = json.dumps({"version": VERSION, **manifest}, indent=1, ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
            made.writestr(MANIFEST, text)
            for name, content in files.items():
                if isinstance(content, str):
                    made.writestr(name, content)
                else:
                    made.write(content, name)
    except OSError as error:
        raise UsageError(f"a bundle must be a file that can be written, not {str(path)!r}: {error.strerror}") from error


def make_room(path: Path) -> None:
    """Leave an empty file at ``path``, so that one learns at once whether it can be written. Raises UsageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    except OSError as error:
        raise UsageError(f"a bundle must be a file that can be written, not {str(path)!r}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was found good: ``manifest``, and its file at ``path``."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Bundle:
        """Read the manifest of the bundle at ``path``. Raises UsageError with what is wrong."""
        try:
            with path.open("rb") as file:
                start = file.read(len(ZIP_START))
            with zipfile.ZipFile(path) as found:
                manifest = json.loads(found.read(MANIFEST))
        except OSError as error:
            raise UsageError(
                f"a bundle must be a file that can be read, not {str(path)!r}: {error.strerror}"
            ) from error
        except zipfile.BadZipFile:
            what = "is cut short" if start == ZIP_START else "is no zip"
            raise UsageError(f"a bundle must be a whole zip, and {str(path)!r} {what}") from None
        except (KeyError, ValueError, zlib.error, NotImplementedError):
            raise UsageError(f"a bundle must have a {MANIFEST} that can be read, and {str(path)!r} has none") from None
        version = manifest.get("version") if isinstance(manifest, dict) else None
        if version != VERSION:
            raise UsageError(
                f"a bundle must be of version {VERSION}, and {str(path)!r} is of {version}: use its own hilnic"
            )
        return cls(path, manifest)

    @property
    def cards(self) -> list[int]:
        """The numbers of the cards whose logs it holds."""
        return [int(card["number"]) for card in self.manifest.get("cards", ())]

    def extract(self, card: int, folder: Path) -> Path:
        """Put the log of ``card`` into ``folder`` and return its path. Raises UsageError."""
        if card not in self.cards:
            known = ", ".join(map(str, self.cards)) or "there is none"
            raise UsageError(f"the card must be one of the bundle's ({known}), not {card}")
        try:
            with zipfile.ZipFile(self.path) as found:
                return _only(found.extract(log_name(card), folder), folder)
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise UsageError(
                f"the log of card {card} in {str(self.path)!r} must be whole, and is not: {error}"
            ) from None


def _only(made: str, folder: Path) -> Path:
    return folder / made
