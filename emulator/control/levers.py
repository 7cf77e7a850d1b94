# SPDX-License-Identifier: BSD-3-Clause
"""What can be done to a card that is no misbehaviour: its cable, the pace of its sender, a reset.

Each reads its arguments and returns what remains to be done: a rule can be refused before anything depends on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.nic import LinkPartner, Reset
from emulator.control.arguments import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.control.arguments import Arguments
    from emulator.control.card import ControlledNic

SPEEDS_MBPS = (10, 100, 1000)
RATE_MAX_MBPS = 1_000_000


def link(nic: ControlledNic, arguments: Arguments) -> Callable[[], None]:
    """Plug the cable in, or pull it out."""
    state = arguments.word("state", ("up", "down"))
    speeds = arguments.numbers("speeds")
    pause = arguments.switch("pause", default=True)
    full_duplex = arguments.switch("full_duplex", default=True)
    arguments.finish()
    if state == "down":
        return lambda: nic.connect(None)
    offered = frozenset(SPEEDS_MBPS if speeds is None else speeds)
    if not offered or not offered <= set(SPEEDS_MBPS):
        raise CommandError(f"speeds must be out of {SPEEDS_MBPS}, at least one, not {speeds!r}")
    return lambda: nic.connect(LinkPartner(offered, full_duplex, pause, pause))


def rate(nic: ControlledNic, arguments: Arguments) -> Callable[[], None]:
    """Pace transmission."""
    mbps = arguments.anything("mbps")
    arguments.finish()
    number = isinstance(mbps, int) and not isinstance(mbps, bool) and 1 <= mbps <= RATE_MAX_MBPS
    if not number and mbps not in ("unlimited", "auto"):
        raise CommandError(f'mbps must be a number from 1 to {RATE_MAX_MBPS}, "unlimited" or "auto", not {mbps!r}')
    return lambda: nic.set_rate(mbps)


def reset(nic: ControlledNic, arguments: Arguments) -> Callable[[], None]:
    """Reset the card under the guest."""
    kind = arguments.word("kind", tuple(kind.value for kind in Reset), Reset.POWER_ON.value)
    arguments.finish()
    return lambda: nic.reset(Reset(kind))


LEVERS: dict[str, Callable[[ControlledNic, Arguments], Callable[[], None]]] = {
    "link": link,
    "rate": rate,
    "reset": reset,
}
