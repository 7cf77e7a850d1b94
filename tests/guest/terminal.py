# SPDX-License-Identifier: BSD-3-Clause
"""A verb of the command line, started as a terminal starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a verb as a terminal does: in a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
