# SPDX-License-Identifier: BSD-3-Clause
"""The interface's settings: they take effect, and the undo brings them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.errors import UsageError
from harness.guest.netif import ToolRefusedError

if TYPE_CHECKING:
    from harness.lab import Bound

REVERSED = [3, 2, 1, 0] * 32


def test_an_indirection_table_is_written_entry_by_entry_and_brought_back(bound: Bound) -> None:
    before = bound.netif.settings.indirection()
    assert before == [entry * 4 // 128 for entry in range(128)]
    bound.netif.settings.set_indirection(REVERSED)
    assert bound.netif.settings.indirection() == REVERSED
    bound.guest.undo.run()
    assert bound.netif.settings.indirection() == before


def test_a_table_of_the_wrong_length_is_refused(bound: Bound) -> None:
    with pytest.raises(UsageError, match="must have 128 entries, not 4"):
        bound.netif.settings.set_indirection([0, 1, 2, 3])


def test_changed_settings_come_back(bound: Bound) -> None:
    settings = bound.netif.settings

    def all_of_them() -> tuple[object, ...]:
        return settings.channels(), settings.rings(), settings.coalescing(), bound.netif.mtu, settings.features()

    before = all_of_them()
    settings.set_coalescing(rx_usecs=50)
    settings.set_rings(rx=512)
    settings.set_features(gro=False)
    bound.netif.set_mtu(1400)
    assert settings.coalescing()["rx-usecs"] == 50
    assert settings.rings().rx == 512
    assert not settings.features()["generic-receive-offload"].on
    bound.guest.undo.run()
    assert all_of_them() == before


def test_more_channels_pair_their_vectors_and_come_back(bound: Bound) -> None:
    bound.netif.settings.set_channels(8)
    assert set(bound.netif.irqs()) == {"eth0", *(f"eth0-TxRx-{queue}" for queue in range(8))}
    bound.guest.undo.run()
    assert bound.netif.settings.channels().combined == 4


def test_a_refusal_of_ethtool_carries_its_words(bound: Bound) -> None:
    with pytest.raises(ToolRefusedError, match="must succeed in the guest"):
        bound.netif.ethtool("-L", "combined", 9)


def test_queue_limits_and_qdiscs_are_set_and_brought_back(bound: Bound) -> None:
    bound.netif.set_bql(1, limit_max=3000)
    bound.netif.use_pfifo()
    assert bound.netif.bql(1).limit_max == 3000
    assert bound.netif.qdisc_backlog() == 0
    bound.guest.undo.run()
    assert bound.netif.bql(1).limit_max == 1879048192


def test_an_interrupts_affinity_is_set_and_brought_back(bound: Bound) -> None:
    irq = bound.netif.irqs()["eth0-rx-2"].number
    bound.guest.proc.set_affinity(irq, [3])
    bound.peer.send_flows(count=4)
    assert bound.guest.agent.read(f"/proc/irq/{irq}/smp_affinity_list").strip() == "3"
    bound.guest.undo.run()
    assert bound.guest.agent.read(f"/proc/irq/{irq}/smp_affinity_list").strip() != "3"


def test_received_frames_are_counted_per_queue_and_per_softirq(bound: Bound) -> None:
    before, softnet = bound.netif.queue_packets(), bound.guest.proc.softnet()
    bound.peer.send_flows(count=64)
    bound.netif.wait_statistic("rx_packets", bound.netif.statistics()["rx_packets"])
    while (bound.netif.queue_packets() - before).total < 64:
        bound.guest.check()
    grown = [now - then for now, then in zip(bound.guest.proc.softnet(), softnet, strict=True)]
    assert (bound.netif.queue_packets() - before).total == 64
    assert sum(cpu.processed for cpu in grown) >= 64
