# SPDX-License-Identifier: BSD-3-Clause
"""The lab's states, on a real guest."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from harness.deadline import Deadline, wait_until
from harness.emulator import CardOptions
from harness.errors import GuestFault, LabBroken
from harness.settling import unrest

if TYPE_CHECKING:
    from harness.lab import Bound, Lab


def test_the_guests_own_igb_binds_to_the_card_and_gets_one_vector_per_queue(bound: Bound) -> None:
    assert bound.netif.settings.driver()["driver"] == "igb"
    names = {"eth0", *(f"eth0-{direction}-{queue}" for direction in ("rx", "tx") for queue in range(4))}
    assert set(bound.netif.irqs()) == names


def test_a_ping_crosses_the_wire_both_ways(bound: Bound) -> None:
    with bound.peer.answering():
        done = bound.netif.tool("ping", "-c", "3", "-i", "0.05", "-W", "5", "198.18.0.2")
    assert re.search(r"3 packets transmitted, 3 received", done.out)


def test_asking_twice_for_a_bound_lab_plugs_one_card(lab: Lab) -> None:
    first = lab.bound(lab.default)
    assert lab.bound() is first
    assert lab.state == "bound"


def test_a_card_with_other_options_replaces_the_first(lab: Lab) -> None:
    lab.bound(lab.default)
    again = lab.bound(CardOptions(interrupts="msi"))
    (only,) = again.netif.irqs().values()
    assert only.chip.startswith("PCI-MSI-")


def test_qemus_own_igb_leaves_and_the_guest_stays(lab: Lab) -> None:
    first = lab.bound(CardOptions(kind="qemu-igb"))
    first.guest.agent.store("/root/mark", b"here")
    second = lab.replug(CardOptions(kind="qemu-igb"))
    assert second is not first
    assert second.guest.agent.exists("/root/mark")


def test_a_fresh_guest_knows_nothing_of_the_one_before(lab: Lab) -> None:
    lab.booted().agent.store("/root/mark", b"here")
    assert not lab.fresh().guest.agent.exists("/root/mark")


def test_qemus_own_igb_can_take_the_cards_place(lab: Lab) -> None:
    bound = lab.bound(CardOptions(kind="qemu-igb"))
    assert bound.netif.settings.driver()["driver"] == "igb"
    with pytest.raises(LabBroken, match="qemu-igb has none"):
        _ = bound.card


def test_a_dead_qemu_is_named_and_the_next_guest_works(lab: Lab) -> None:
    guest = lab.booted()
    os.kill(lab.pids()["QEMU"], signal.SIGKILL)
    with pytest.raises(LabBroken, match="QEMU ended with status -9"):
        guest.agent.call("clock")
    assert lab.booted().agent.call("clock")["monotonic"] > 0


def test_a_dead_card_is_named_and_the_next_one_works(lab: Lab) -> None:
    bound = lab.bound(lab.default)
    os.kill(lab.pids()["card"], signal.SIGKILL)
    with pytest.raises(LabBroken, match="the card ended with status -9"):
        wait_until(bound.guest.check, Deadline.after(10), "the death of the card being noticed")
    assert lab.bound().netif.carrier


def test_a_guest_that_panics_is_a_guest_fault_with_the_console_in_it(lab: Lab) -> None:
    guest = lab.booted()
    with pytest.raises(GuestFault, match=r"Kernel panic - not syncing: sysrq triggered crash"):
        panic(lab)
    assert guest.console.faults
    assert lab.booted() is not guest


def panic(lab: Lab) -> None:
    guest = lab.booted()
    with contextlib.suppress(LabBroken):
        guest.agent.call("write", within_s=5, path="/proc/sysrq-trigger", text="c")
    guest.console.wait_line("end Kernel panic", Deadline.after(30))


def test_a_complaint_of_the_kernel_is_found_unless_it_was_expected(lab: Lab) -> None:
    guest = lab.booted()
    with guest.console.expecting("BUG: expected"):
        guest.agent.write("/dev/kmsg", "<3>BUG: expected one\n")
        guest.console.wait_line("BUG: expected one", Deadline.after(30))
    guest.check()
    since = guest.console.mark()
    guest.agent.write("/dev/kmsg", "<3>BUG: of the other kind\n")
    with pytest.raises(GuestFault, match="BUG: of the other kind"):
        guest.console.wait_line("never said", Deadline.after(30), since)
    guest.console.forgive()


def test_rest_is_denied_while_a_fault_is_in_the_card(bound: Bound) -> None:
    bound.card.hold_interrupts(3)
    assert any("faults" in line for line in unrest(bound))
    bound.card.heal()
    assert not unrest(bound)


def test_timings_of_a_fresh_guest_are_kept(lab: Lab) -> None:
    lab.fresh()
    assert set(lab.timings) == {"restored", "bound", "link up"}
    assert all(seconds > 0 for seconds in lab.timings.values())
