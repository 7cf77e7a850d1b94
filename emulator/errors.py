# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong around the card: the caller's mistakes, and the world's.

Messages have the form "X must be Y, not Z" and hold the offending value. Errors of the C library, the
kernel and foreign packages are mapped to these at the edge where they appear.
"""

from __future__ import annotations

import os


class UsageError(Exception):
    """The caller asked for something that cannot be; the message says what to ask instead (exit status 2)."""


class WorldError(Exception):
    """The surroundings did not play along (exit status 1)."""


class EnvironmentLacks(WorldError):
    """Something that must be there before we can start is missing or taken."""


class VfuError(WorldError):
    """libvfio-user or the kernel below it refused an operation; ``errno`` says how."""

    def __init__(self, operation: str, errno: int) -> None:
        """Describe ``operation`` failing with ``errno``."""
        super().__init__(f"{operation} must succeed, not end in {os.strerror(errno)} (errno {errno})")
        self.operation = operation
        self.errno = errno
