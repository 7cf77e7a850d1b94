# SPDX-License-Identifier: BSD-3-Clause
"""Between two checks: what a check changed is taken back, and everything must come to rest.

These are the invariants that hold after every check: nothing in flight in any transmit queue, head equal to tail,
no fault left in the card, the link up, and a kernel log without complaint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.deadline import Deadline, wait_until
from harness.errors import GuestFault, LabBroken
from harness.lab import configure, configured

if TYPE_CHECKING:
    from harness.guest.guest import Guest
    from harness.lab import Bound, Lab

REST_S = 15.0
LINKED = 0xC2
LINKED_1000 = 0x82
"""STATUS.LU and STATUS.SPEED (82576 data sheet 8.2.2): a cable that is plugged is not plugged again."""


def settle(lab: Lab, tainted: int) -> None:
    """Take a check's changes back and wait for rest. ``tainted`` is the kernel's taint before the check.

    Raises GuestFault for what the guest did wrong, LabBroken for what the lab did; the guest is thrown away then, so
    that the next check begins with a fresh one.
    """
    if lab.state == "off":
        return
    try:
        lab.present.check()
        if lab.state == "bound":
            take_back(lab.bound())
            rest(lab.bound())
        else:
            lab.unplug()
        check_kernel(lab.present, tainted)
        if lab.state == "bound" and lab.bound().options != lab.default:
            lab.unplug()
    except BaseException:
        lab.shut()
        raise


def check_kernel(guest: Guest, tainted: int) -> None:
    """Raise GuestFault if the kernel has complained or its taint is not ``tainted`` any more."""
    now = guest.proc.tainted()
    if now != tainted:
        raise GuestFault(f"the kernel's taint must stay {tainted}, and became {now}")
    guest.check()


def take_back(bound: Bound) -> None:
    """End faults, programs, sockets and changed settings."""
    if bound.control is not None:
        bound.control.heal()
        for text in bound.options.faults:
            bound.control.fault_as(text)
        bound.control.rate(bound.options.rate)
    bound.guest.agent.call("close_all")
    bound.guest.undo.run()
    if not configured(bound.guest):
        configure(bound.guest, bound.netif)
    if bound.control is not None and bound.control.register("STATUS") & LINKED != LINKED_1000:
        # The driver must see the old link go: a watchdog of it that is under way would greet the next check's.
        bound.control.link_down()
        bound.netif.wait_carrier(present=False, seconds=REST_S)
        bound.control.link_up()


def rest(bound: Bound) -> None:
    """Wait until nothing moves any more; the deadline's message says what still did."""
    bound.netif.wait_carrier(seconds=REST_S)
    deadline = Deadline.after(REST_S)
    restless: list[str] = []

    def at_rest() -> bool:
        restless[:] = unrest(bound)
        return not restless

    try:
        wait_until(at_rest, deadline, "rest after the check")
    except LabBroken as error:
        raise GuestFault(f"everything must be at rest {REST_S:g} s after a check, but {'; '.join(restless)}") from error
    bound.peer.forget()


def unrest(bound: Bound) -> list[str]:
    """Return a sentence for each thing that is not at rest."""
    _, queues = bound.netif.queue_count
    paths = [bound.netif.path(f"queues/tx-{queue}/byte_queue_limits/inflight") for queue in range(queues)]
    found = [
        f"tx-{queue} has {int(text)} bytes in flight"
        for queue, text in enumerate(bound.guest.agent.read_many(paths))
        if text is not None and int(text)
    ]
    if bound.control is None:
        return found
    for queue in range(queues):
        ring = bound.control.ring("tx", queue)
        if ring["head"] != ring["tail"]:
            found.append(f"ring tx-{queue} has head {ring['head']} and tail {ring['tail']}")
    faults = bound.control.faults()
    if faults and not bound.options.faults:
        found.append(f"the card still has faults: {faults}")
    return found
