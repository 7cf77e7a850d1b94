# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.protocol.serve_fake …``: the emulator with the remembering NIC instead of a real one."""

from __future__ import annotations

import sys

from emulator.__main__ import main
from tests.protocol.fakes import FAKE_FAMILY

if __name__ == "__main__":
    sys.exit(main(families={"82576": FAKE_FAMILY}))
