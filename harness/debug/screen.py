# SPDX-License-Identifier: BSD-3-Clause
"""The session on a whole screen: the guest's console, the card's events, answers, and a line to type on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from prompt_toolkit.application import Application
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import Dimension, FormattedTextControl, HSplit, Layout, VSplit, Window
from prompt_toolkit.widgets import TextArea

from harness.debug.card_lines import Finished
from harness.errors import UsageError, WorldError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyPressEvent
    from prompt_toolkit.output import Output

    from harness.debug.session import Session
    from harness.debug.watcher import Watcher

REFRESH_S = 0.5
KEPT_LINES = 2000
PROMPT = "hilnic> "
HINT = "help lists what can be typed, Tab completes, Ctrl-D ends the session"


class Tail:
    """A pane that shows the newest lines of a growing text."""

    def __init__(self, lines: Callable[[], Sequence[str]]) -> None:
        self._lines = lines
        self.window = Window(FormattedTextControl(self._text), wrap_lines=False)

    def _text(self) -> str:
        info = self.window.render_info
        height = info.window_height if info else 10
        return "\n".join(line.replace("\t", "    ") for line in self._lines()[-max(1, height) :])


class Screen:
    """Draws ``session`` until whoever types ends it; one line is carried out at a time."""

    def __init__(
        self, session: Session, watcher: Watcher, *, source: Input | None = None, target: Output | None = None
    ) -> None:
        self._session = session
        self._watcher = watcher
        self._said: list[str] = [HINT]
        self._busy: list[str] = []
        self._worker = ThreadPoolExecutor(1, "debug")
        self._line = TextArea(
            height=1,
            prompt=PROMPT,
            multiline=False,
            history=InMemoryHistory(),
            completer=WordCompleter(list(session.verbs), sentence=True),
            accept_handler=self._accept,
        )
        console = Tail(lambda: session.bound.console.lines)
        events = Tail(lambda: watcher.events)
        answers = Tail(lambda: self._said)
        body = HSplit(
            [
                VSplit(
                    [
                        HSplit([_title("the guest's console"), console.window]),
                        Window(width=1, char="│"),
                        HSplit([_title("the card's events"), events.window]),
                    ],
                    height=Dimension(weight=1),
                ),
                HSplit([_title("answers"), answers.window], height=Dimension(weight=1)),
                Window(FormattedTextControl(self._status), height=1, style="reverse"),
                self._line,
            ]
        )
        self.application: Application[None] = Application(
            Layout(body, focused_element=self._line),
            key_bindings=self._keys(),
            full_screen=True,
            refresh_interval=REFRESH_S,
            input=source,
            output=target,
        )

    def run(self) -> None:
        """Return when the session has been ended. Raises KeyboardInterrupt for Ctrl-C on an empty line."""
        try:
            self.application.run()
        finally:
            self._worker.shutdown(wait=False, cancel_futures=True)

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("c-c")
        def interrupt(event: KeyPressEvent) -> None:
            if self._line.text:
                self._line.text = ""
            else:
                event.app.exit(exception=KeyboardInterrupt())

        @keys.add("c-d")
        def end(event: KeyPressEvent) -> None:
            event.app.exit()

        return keys

    def _status(self) -> str:
        waits = f"   … {self._busy[0]}" if self._busy else ""
        return f" {self._watcher.status}{waits}"

    def _accept(self, buffer: Buffer) -> bool:
        line = buffer.text.strip()
        if line:
            self._busy.append(line)
            self._worker.submit(self._carry_out, line)
        return False

    def _carry_out(self, line: str) -> None:
        self._say(f"{PROMPT}{line}")
        try:
            self._say(*self._session.run(line))
        except Finished:
            loop = self.application.loop
            if loop is not None:
                loop.call_soon_threadsafe(self.application.exit)
        except (UsageError, WorldError) as error:
            self._say(*f"error: {error}".splitlines())
        finally:
            self._busy.pop(0)
            self.application.invalidate()

    def _say(self, *lines: str) -> None:
        self._said = [*self._said, *lines][-KEPT_LINES:]


def _title(text: str) -> Window:
    return Window(FormattedTextControl(f"── {text} "), height=1, style="bold")
