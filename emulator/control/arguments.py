# SPDX-License-Identifier: BSD-3-Clause
"""Reading the arguments of a control command: each is taken once, with its type, and none may be left over."""

from __future__ import annotations

from typing import Any

MISSING = object()


class CommandError(Exception):
    """A command cannot be carried out; the message is the answer to whoever sent it."""


class Arguments:
    """The arguments of one request. Every getter removes what it reads; CommandError names the bad value."""

    def __init__(self, given: dict[str, Any], asker: object = None) -> None:
        self._given = dict(given)
        self.asker = asker
        """Whoever asks: the connection, if it came over one."""

    def _take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON values
        value = self._given.pop(name, MISSING)
        if value is MISSING:
            if default is MISSING:
                raise CommandError(f"argument {name} must be given")
            return default
        return value

    def number(self, name: str, low: int, high: int, default: object = MISSING) -> int:
        """Return integer ``name``, from ``low`` to ``high``."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise CommandError(f"{name} must be a number from {low} to {high}, not {value!r}")
        return value

    def word(self, name: str, words: tuple[str, ...], default: object = MISSING) -> str:
        """Return string ``name``, one of ``words``."""
        value = self._take(name, default)
        if not isinstance(value, str) or value not in words:
            raise CommandError(f"{name} must be one of {', '.join(words)}, not {value!r}")
        return value

    def text(self, name: str, default: object = MISSING) -> str:
        """Return string ``name``."""
        value = self._take(name, default)
        if not isinstance(value, str):
            raise CommandError(f"{name} must be a string, not {value!r}")
        return value

    def switch(self, name: str, default: object = MISSING) -> bool:
        """Return Boolean ``name``."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise CommandError(f"{name} must be true or false, not {value!r}")
        return value

    def texts(self, name: str) -> list[str] | None:
        """Return list of strings ``name``, or None when it is null or absent."""
        value = self._take(name, None)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise CommandError(f"{name} must be a list of strings or null, not {value!r}")
        return value

    def numbers(self, name: str) -> list[int] | None:
        """Return list of integers ``name``, or None when it is null or absent."""
        value = self._take(name, None)
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise CommandError(f"{name} must be a list of numbers or null, not {value!r}")
        return value

    def anything(self, name: str) -> Any:  # noqa: ANN401 - JSON values
        """Return argument ``name`` as it is."""
        return self._take(name, MISSING)

    def rest(self) -> dict[str, Any]:
        """Return all that has not been read."""
        given, self._given = self._given, {}
        return given

    def finish(self) -> None:
        """Raise CommandError when something was given that nobody read."""
        if self._given:
            raise CommandError(f"argument {next(iter(self._given))} is not known to this command")
