# SPDX-License-Identifier: BSD-3-Clause
"""The figures on a whole screen, drawn anew as they come."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from prompt_toolkit.application import Application
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import FormattedTextControl, HSplit, Layout, Window

from harness.errors import UsageError, WorldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prompt_toolkit.key_binding import KeyPressEvent

JOIN_S = 10.0


class Screen:
    """Shows what ``look`` returns every ``period_s``, until q, Ctrl-C or Ctrl-D, for ``seconds`` (0: for ever)."""

    def __init__(self, title: str, look: Callable[[], list[str]], period_s: float, seconds: float = 0.0) -> None:
        self._look = look
        self._period_s = period_s
        self._rounds = round(seconds / period_s) if seconds else 0
        self._lines: list[str] = ["…"]
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="top", daemon=True)
        body = HSplit(
            [
                Window(FormattedTextControl(f" hilnic top  {title}"), height=1, style="reverse"),
                Window(FormattedTextControl(lambda: "\n".join(self._lines)), wrap_lines=False),
                Window(FormattedTextControl(" q ends it"), height=1, style="reverse"),
            ]
        )
        self.application: Application[None] = Application(Layout(body), key_bindings=self._keys(), full_screen=True)

    def run(self) -> None:
        """Return when it was ended. Raises what looking at the card has raised."""
        try:
            self.application.run(pre_run=self._thread.start)
        finally:
            self._ended.set()
            if self._thread.ident is not None:
                self._thread.join(JOIN_S)
        if self._failure is not None:
            raise self._failure

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("q")
        @keys.add("c-c")
        @keys.add("c-d")
        def end(event: KeyPressEvent) -> None:
            event.app.exit()

        return keys

    def _watch(self) -> None:
        done = 0
        try:
            while not self._ended.wait(self._period_s):
                self._lines = self._look()
                self.application.invalidate()
                done += 1
                if done == self._rounds:
                    break
        except (WorldError, UsageError) as error:
            self._failure = error
        loop = self.application.loop
        if loop is not None and not self._ended.is_set():
            loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        if self.application.is_running:
            self.application.exit()
