# SPDX-License-Identifier: BSD-3-Clause
"""The function is reset under its driver, and put to sleep and woken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.bus import WUC, WUFC
from harness.checks.bursts import unanswered
from harness.checks.sinks import got, sink, summaries
from harness.claims import claim
from harness.deadline import Deadline
from harness.lab import PEER_IPV4, configure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Seen

FUNCTION_LEVEL, SOFTWARE = "function-level", "software"
FRAMES = 3
SUSPEND_S = 60.0
PORT, LENGTH = 5311, 80
DEEPEST = "platform"
"""The level of pm_test at which devices are in low power and no interrupt comes (Linux suspend_enter)."""


def works(bound: Bound) -> bool:
    """Tell whether the interface carries traffic both ways."""
    with bound.peer.answering():
        return bound.netif.tool("ping", "-c", "2", "-i", "0.05", "-W", "2", PEER_IPV4, check=False).rc == 0


def device(bound: Bound, name: str) -> str:
    """Return the path of a file of the PCI function in sysfs."""
    return bound.netif.path(f"device/{name}")


@claim("ETH-22")
def test_a_function_reset_is_survived(bound: Bound, evidence: Evidence) -> None:
    """The reset comes while the interface is in use: igb is not told, and the card has forgotten its rings.

    Its driver's own reset, `ethtool -r`, sets them up again in the BARs and with the vectors that the kernel restored.
    """
    base = bound.card.register("RDBAL", 0)
    frames = unanswered(bound, FRAMES)
    with bound.card.recording("DeviceReset", "FrameDropped") as seen:
        bound.guest.agent.write(device(bound, "reset"), "1")
        forgotten = bound.card.register("RDBAL", 0)
        bound.peer.send(*frames)
        dropped = [event.reason for event in seen.wait(FRAMES, kind="FrameDropped")]
        bound.netif.ethtool("-r")
        bound.netif.wait_carrier()
    resets = [event.how for event in seen.all("DeviceReset")]
    good = works(bound)
    evidence.note(
        guest={"traffic after igb's own reset": good},
        device={
            "resets": resets,
            "dropped before it": dropped,
            "RDBAL[0]": [f"{value:08x}" for value in (base, forgotten)],
        },
    )
    assert base
    assert not forgotten
    assert resets[0] == FUNCTION_LEVEL
    assert set(resets[1:]) == {SOFTWARE}
    assert dropped == ["disabled"] * FRAMES, "nothing told the driver"
    assert good


@claim("ETH-22")
def test_suspend_and_resume_are_survived(bound: Bound, evidence: Evidence) -> None:
    """The system is suspended as far as devices go, and resumed after a second (pm_test).

    Frames to the station's own address may wake it. The card is told so, sleeps in D3hot, and has lost its rings when
    it comes back to D0. A datagram that comes meanwhile has no ring to go to; the card keeps it, and the driver hands
    it up (igb_deliver_wake_packet).
    """
    agent, proc = bound.guest.agent, bound.guest.proc
    proc.set("/sys/module/suspend/parameters/pm_test_delay", "1")
    bound.guest.undo.remember("pm_test", lambda: agent.write("/sys/power/pm_test", "none"))
    agent.write("/sys/power/pm_test", DEEPEST)
    bound.guest.undo.remember("wol", lambda: bound.netif.ethtool("-s", "wol", "g"))
    bound.netif.ethtool("-s", "wol", "u")
    receiver = sink(bound, PORT)
    [waking] = receiver.frames([LENGTH])
    with bound.card.recording("DeviceReset", "RegisterWritten") as seen:
        sleeping = agent.start("write", path="/sys/power/state", text="freeze")
        seen.wait(1, Deadline.after(SUSPEND_S), kind="RegisterWritten", where=goes_to_sleep)
        bound.peer.send(waking)
        sleeping.result(SUSPEND_S)
        reading = receiver.start(1, 10)
        configure(bound.guest, bound.netif)
        bound.netif.wait_carrier()
    read = got(reading.result(15))
    events = seen.all()
    resets = [event.how for event in events if event.kind == "DeviceReset"]
    wake = [(e.register, e.value) for e in events if e.kind == "RegisterWritten" and e.register in ("WUC", "WUFC")]
    good = works(bound)
    evidence.note(guest={"traffic": good, "woken by": len(read)}, device={"resets": resets, "wake settings": wake})
    assert FUNCTION_LEVEL in resets, "D3hot to D0 resets the function: No_Soft_Reset is clear"
    assert asleep_with(events) == {"WUC": WUC.pme_en.mask, "WUFC": WUFC.ex.mask}
    assert read == summaries([waking])
    assert good


def goes_to_sleep(event: Seen) -> bool:
    """Tell whether the driver has just said what wakes the card: the last thing before it is put to sleep."""
    return bool(event.register == "WUFC" and event.value == WUFC.ex.mask)


def asleep_with(events: Sequence[Seen]) -> dict[str, int]:
    """Return the wake settings that were in force when the card lost its registers."""
    end = next(at for at, event in enumerate(events) if event.kind == "DeviceReset" and event.how == FUNCTION_LEVEL)
    return {
        event.register: event.value
        for event in events[:end]
        if event.kind == "RegisterWritten" and event.register in ("WUC", "WUFC")
    }
