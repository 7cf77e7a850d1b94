# SPDX-License-Identifier: BSD-3-Clause
"""Running one command of set-up to its end, with its last words in the error if it fails."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from guest_images.errors import EnvironmentLacks

DEADLINE_S = 1200.0
LAST_WORDS = 1500


def run_step(
    argv: Sequence[str], name: str, variables: Mapping[str, str], *, hint: str = "", folder: Path | None = None
) -> str:
    """Run a command and return what it printed.

    Raises EnvironmentLacks with the end of its output, and `hint` if there is one.
    """
    advice = f"; {hint}" if hint else ""
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=DEADLINE_S,
            check=False,
        )
    except OSError as error:
        raise EnvironmentLacks(f"{name} must start ({error.strerror}){advice}") from error
    except subprocess.TimeoutExpired:
        raise EnvironmentLacks(f"{name} must end within {DEADLINE_S:g} s{advice}") from None
    if done.returncode:
        words = done.stdout.strip()[-LAST_WORDS:]
        raise EnvironmentLacks(f"{name} must succeed, but ended with status {done.returncode}{advice}:\n{words}")
    return done.stdout
