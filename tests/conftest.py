# SPDX-License-Identifier: BSD-3-Clause
"""What all tests share: one Hypothesis profile, the same examples in every CI run, no wall-clock deadline; Ctrl-C.

A job in the background of a shell without job control ignores Ctrl-C, and so does all that it starts: here it must not.
"""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "local")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
