# SPDX-License-Identifier: BSD-3-Clause
"""Whether a server may listen at a path."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

from emulator.errors import EnvironmentLacks, UsageError

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_SOCKET_PATH = 107  # sun_path holds 108 bytes with its final NUL (unix(7))


def claim_socket(path: Path) -> None:
    """Make sure that a server may bind ``path``: remove the socket of a dead one, refuse a living one's."""
    length = len(os.fsencode(path))
    if length > LONGEST_SOCKET_PATH:
        raise UsageError(f"the socket's path must have at most {LONGEST_SOCKET_PATH} bytes, not {length}: {path}")
    if not path.parent.is_dir():
        raise EnvironmentLacks(f"the socket's folder must exist, and {path.parent} does not")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"the socket's path must be free or a socket, and {path} is neither")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass
        except OSError as error:
            raise EnvironmentLacks(f"the socket {path} must be usable, and is not: {error}") from error
    raise EnvironmentLacks(f"the socket {path} must be free, but another server listens on it")
