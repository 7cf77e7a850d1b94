# SPDX-License-Identifier: BSD-3-Clause
"""Live progress for steps that take longer than a moment."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

SILENT_S = 2.0
"""A step that is over sooner than this prints one line only if it did something."""
PLAIN_EVERY_S = 10.0
LIVE_EVERY_S = 0.5
MIB = 1024 * 1024


class Progress:
    """Prints what runs and for how long: one rewritten line on a terminal, plain lines elsewhere."""

    def __init__(self, out: TextIO, *, live: bool | None = None) -> None:
        self._out = out
        self._live = out.isatty() if live is None else live
        self._write_lock = threading.Lock()

    def say(self, line: str) -> None:
        """Print one whole line."""
        self._write(f"{line}\n")

    @contextlib.contextmanager
    def step(self, what: str, detail: Callable[[], str] | None = None) -> Iterator[None]:
        """Show `what` while the block runs; `detail` is asked for a short text such as the bytes so far."""
        began = time.monotonic()
        over = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(what, detail, began, over), daemon=True)
        ticker.start()
        outcome = "failed"
        try:
            yield
            outcome = "done"
        finally:
            over.set()
            ticker.join()
            took_s = time.monotonic() - began
            extra = f", {detail()}" if detail is not None else ""
            self._write(f"{self._line_start()}{what}: {outcome} in {took_s:.1f} s{extra}\n")

    def _tick(self, what: str, detail: Callable[[], str] | None, began: float, over: threading.Event) -> None:
        """Report every few seconds until the step is over."""
        pause_s = LIVE_EVERY_S if self._live else SILENT_S
        while not over.wait(pause_s):
            extra = f", {detail()}" if detail is not None else ""
            text = f"{what} … {time.monotonic() - began:.0f} s{extra}"
            self._write(f"{self._line_start()}{text}" if self._live else f"{text}\n")
            pause_s = LIVE_EVERY_S if self._live else PLAIN_EVERY_S

    def _line_start(self) -> str:
        return "\r\x1b[K" if self._live else ""

    def _write(self, text: str) -> None:
        with self._write_lock:
            self._out.write(text)
            self._out.flush()


def mebibytes(count: int) -> str:
    """Say a number of bytes in MiB."""
    return f"{count / MIB:.0f} MiB"
