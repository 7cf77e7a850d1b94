# SPDX-License-Identifier: BSD-3-Clause
"""Frames whose way through the guest cannot depend on timing: one queue, no ticks, one at a time or behind one message.

The driver's watchdog raises every queue's vector about every 2 s by a write of EICS (Linux 6.12 igb_watchdog_task).
``quiet`` makes the card ignore that, so that every message has a frame as its cause; settling heals it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.arrivals import strangers
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.lab import Bound
    from harness.seen import Recording, Seen

TABLE = 128
QUIET_BUDGET_US = 1_000_000
"""netdev_budget_usecs that an emulated guest never uses up, so that only packet budgets end a softirq."""

PATIENCE_S = 15.0


# -- the map of vectors, as the driver wrote it --------------------------------------------------------------


def receive_vector(bound: Bound, queue: int) -> int:
    """Return the MSI-X vector that IVAR names for receive ``queue`` (82576 8.8.15)."""
    return bound.card.register("IVAR", queue % 8) >> (0 if queue < 8 else 16) & 0x1F


def transmit_vector(bound: Bound, queue: int) -> int:
    """Return the MSI-X vector that IVAR names for transmit ``queue``."""
    return bound.card.register("IVAR", queue % 8) >> (8 if queue < 8 else 24) & 0x1F


# -- how the guest and the card are set up -------------------------------------------------------------------


def steer_to(bound: Bound, queue: int) -> None:
    """Let every hashed frame land on ``queue``, until the check is over."""
    bound.netif.settings.set_indirection([queue] * TABLE)


def scheduling(bound: Bound) -> str:
    """Return the function by which igb's handlers schedule NAPI (napi_schedule in 6.12, napi_schedule_irqoff in 7)."""
    return "__napi_schedule_irqoff" if bound.guest.kernel_is(">=7") else "__napi_schedule"


def has_ticks(bound: Bound) -> bool:
    """Say whether the watchdog raises the vectors of queues that lack nothing (igb_watchdog_task, until 6.12)."""
    return bound.guest.kernel_is("<7")


def without_deferral(bound: Bound) -> None:
    """Let skbs be freed where they are done with, until the check is over.

    Otherwise 7 hands an skb to the CPU that allocated it, to be freed there some time (skb_attempt_defer_free).
    """
    bound.guest.proc.set_sysctl("net.core.skb_defer_max", 0)


def free_deferred(bound: Bound) -> None:
    """Let each CPU free what others left to it: net_rx_action does (skb_defer_free_flush), for a datagram over lo."""
    agent = bound.guest.agent
    handle = agent.call("open_socket", kind="udp")
    for cpu in range(bound.guest.cpus):
        agent.call("send_numbered", handle=handle, count=1, size=1, address=["127.0.0.1", 9], cpus=[cpu])
    agent.call("close", handle=handle)


def without_time_limit(bound: Bound) -> None:
    """Let only packet budgets end a softirq, until the check is over (an emulated guest is slow)."""
    bound.guest.proc.set_sysctl("net.core.netdev_budget_usecs", QUIET_BUDGET_US)


def quiet(bound: Bound) -> None:
    """Let the watchdog's ticks interrupt no more, until the check is over, and wait until none is under way."""
    bound.card.fault("ignore_eics", on=True)
    calm(bound)


def calm(bound: Bound) -> None:
    """Wait until every vector is armed, no cause stands, and no CPU of the guest is still inside a softirq.

    A pinned thread runs only after its CPU has left the softirq it was in, so what that softirq traces is there.
    """

    def armed() -> bool:
        now = bound.card.registers("EIMS", "EIAC", "EICR")
        return now["EIAC"] != 0 and now["EIMS"] & now["EIAC"] == now["EIAC"] and not now["EICR"] & now["EIAC"]

    wait_until(armed, Deadline.after(PATIENCE_S), "every vector being armed, without a cause", NotSeen)
    for cpu in range(bound.guest.cpus):
        bound.guest.agent.call("clock", cpus=[cpu])


def pin(bound: Bound, handler: str, cpu: int) -> int:
    """Bind the interrupt called ``handler`` to one CPU, until the check is over; return the interrupt's number."""
    number = bound.netif.irqs()[handler].number
    bound.guest.proc.set_affinity(number, [cpu])
    return number


def place(bound: Bound, handler: str, vector: int, cpu: int) -> int:
    """Pin the interrupt and let one message without a cause carry it over: the first after a change comes too early.

    Return the interrupt's number. Call it before recording begins.
    """
    number = pin(bound, handler, cpu)
    before = bound.netif.irqs()[handler].total
    bound.card.fault("spurious_interrupt", vector=vector)

    def there() -> bool:
        return bound.netif.irqs()[handler].total > before and bound.guest.proc.affinity(number) == (cpu,)

    wait_until(there, Deadline.after(PATIENCE_S), f"interrupt {number} moving to CPU {cpu}", NotSeen)
    calm(bound)
    return number


# -- frames --------------------------------------------------------------------------------------------------


def unanswered(bound: Bound, count: int, first: int = 0, seed: int = 1) -> list[bytes]:
    """Return numbered frames of one flow, from ``first`` on, that IP drops in silence: they cause no transmission."""
    [flow] = strangers(bound, 1, protocol="udp", seed=seed)
    return list(numbered_frames(flow, count, first=first))


def one_by_one(bound: Bound, seen: Recording, frames: Sequence[bytes]) -> None:
    """Send ``frames``, each after the driver has armed the vector of the one before.

    ``seen`` must record RegisterWritten. Raises NotSeen when the driver does not come to that.
    """
    for frame in frames:
        armed = len(seen.all("RegisterWritten", arms_any))
        bound.peer.send(frame)
        seen.wait(armed + 1, Deadline.after(PATIENCE_S), kind="RegisterWritten", where=arms_any)


def stream(bound: Bound, seen: Recording, frames: Sequence[bytes], window: int = 200) -> None:
    """Send ``frames`` as fast as the driver takes them, with at most ``window`` of them not yet in a ring.

    ``seen`` must record FrameDelivered. No frame is dropped while ``window`` frames fit the card's packet buffer.
    """
    before = len(seen.all("FrameDelivered"))
    for start in range(0, len(frames), window // 2):
        seen.wait(max(0, before + start - window // 2), Deadline.after(PATIENCE_S), kind="FrameDelivered")
        bound.peer.send(*frames[start : start + window // 2])
    seen.wait(before + len(frames), Deadline.after(PATIENCE_S), kind="FrameDelivered")


def burst(bound: Bound, seen: Recording, queue: int, frames: Sequence[bytes]) -> None:
    """Let ``frames``, all steered to ``queue``, into the ring behind a held vector, then release one message.

    Returns when the driver has armed the vector again. ``seen`` must record RxWriteBack and RegisterWritten.
    """
    vector = receive_vector(bound, queue)
    armed = len(armings(seen, vector))
    fill(bound, seen, queue, frames)
    bound.card.release_interrupts(vector)
    seen.wait(armed + 1, Deadline.after(PATIENCE_S), kind="RegisterWritten", where=lambda e: arms(e, vector))


def fill(bound: Bound, seen: Recording, queue: int, frames: Sequence[bytes]) -> None:
    """Let ``frames``, all steered to ``queue``, into the ring and hold the vector's message back."""
    bound.card.hold_interrupts(receive_vector(bound, queue))
    written = len(seen.all("RxWriteBack"))
    bound.peer.send(*frames)
    seen.wait(written + len(frames), Deadline.after(PATIENCE_S), kind="RxWriteBack")


# -- what the card saw ---------------------------------------------------------------------------------------


def arms_any(event: Seen) -> bool:
    """Tell whether a RegisterWritten event is a write of EIMS: the driver arms a vector."""
    return bool(event.register == "EIMS")


def arms(event: Seen, vector: int) -> bool:
    """Tell whether a RegisterWritten event is EIMS with the bit of ``vector``: the driver is done polling."""
    return event.register == "EIMS" and bool(event.value >> vector & 1)


def armings(seen: Recording, vector: int) -> list[Seen]:
    """Return the writes of EIMS that armed ``vector``."""
    return seen.all("RegisterWritten", lambda event: arms(event, vector))


def messages(seen: Recording, vector: int) -> list[Seen]:
    """Return the messages sent on ``vector``."""
    return seen.all("InterruptSent", lambda event: event.vector == vector)


def tail_steps(seen: Recording, queue: int, tail: int, since: int = 0, size: int = 256) -> list[int]:
    """Return by how many slots each write of the receive tail of ``queue`` moved it, which was at ``tail``.

    Only events after the first ``since`` of the recording are looked at.
    """
    steps = []
    for event in seen.all()[since:]:
        if event.kind == "RegisterWritten" and event.register == f"RDT[{queue}]":
            steps.append((event.value - tail) % size)
            tail = event.value
    return steps
