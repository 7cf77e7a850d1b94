# SPDX-License-Identifier: BSD-3-Clause
"""The handshake between ``hilnic watch`` and a run that has all ready but the driver."""

from __future__ import annotations

import os

from harness.errors import EnvironmentLacks

WAITS = "waiting for the driver"
"""What such a run says when nothing but the driver is missing."""


def wait_go(descriptor: int) -> None:
    """Return when a byte comes on ``descriptor``. Raises EnvironmentLacks when its other end closes instead."""
    if not os.read(descriptor, 1):
        raise EnvironmentLacks("whoever prepared this run must tell it to go on, and has gone")
