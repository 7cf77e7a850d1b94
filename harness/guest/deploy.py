# SPDX-License-Identifier: BSD-3-Clause
"""Bringing the agent into a freshly booted guest, through ssh."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.machine import AGENT_DEVICE, AGENT_PORT

if TYPE_CHECKING:
    from harness.deadline import Deadline
    from harness.guest.ssh import Shell

PROGRAM = Path(__file__).with_name("program")
PLACE = "/root/hilnic-agent.pyz"
MAIN = "import sys\nfrom program.serve import main\nmain(sys.argv)\n"
LONG_AGO = (1980, 1, 1, 0, 0, 0)
START = """
set -e
everywhere=$(cat /proc/irq/default_smp_affinity)
echo 1 > /proc/irq/default_smp_affinity
modprobe virtio_console
echo "$everywhere" > /proc/irq/default_smp_affinity
cat > {place}
for try in $(seq 100); do
  for port in /sys/class/virtio-ports/vport*; do
    [ "$(cat $port/name 2>/dev/null)" = {name} ] || continue
    mkdir -p {folder}
    ln -sf /dev/$(basename $port) {device}
    break 2
  done
  sleep 0.05
done
setsid sh -c 'exec python3 -S -E {place} {device}' < /dev/null > /run/hilnic-agent.log 2>&1 &
"""


def bundle() -> bytes:
    """Return the agent as a zip file that Python runs; the same bytes each time."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", LONG_AGO), MAIN)
        for path in sorted(PROGRAM.glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"program/{path.name}", LONG_AGO), path.read_text())
    return memory.getvalue()


def agent_digest() -> str:
    """Return a digest of the agent and the way it is started; a snapshot with another agent is another snapshot."""
    return hashlib.sha256(bundle() + START.encode()).hexdigest()[:16]


def deploy(shell: Shell, deadline: Deadline) -> None:
    """Put the agent into the guest and start it on its port."""
    folder = Path(AGENT_DEVICE).parent
    script = START.format(place=PLACE, device=AGENT_DEVICE, name=AGENT_PORT, folder=folder)
    shell.run(script, deadline=deadline, stdin=bundle())
