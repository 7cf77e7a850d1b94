# SPDX-License-Identifier: BSD-3-Clause
"""ethtool's settings: rings, channels, moderation and features, each as asked, clamped or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from device_model.igb.spec.general import CTRL
from device_model.igb.spec.receive import RCTL, RXDCTL
from harness.checks.bursts import receive_vector, transmit_vector
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.errors import NotSeen
from harness.guest.netif import ToolRefusedError
from harness.lab import PEER_IPV4

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording

SLOT = 16
INTERVAL, KEEP_COUNTER = 0x7FFC, 1 << 31
"""Fields of EITR (82576 8.8.14): the interval in microseconds from bit 2 on, and "leave the counter alone"."""

QUEUES = 4
PAIRED = 6
"""Channels that share vectors: more than four (Linux igb_set_flag_queue_pairs)."""


def works(bound: Bound) -> bool:
    """Tell whether the interface carries traffic both ways: two echoes, answered by the peer."""
    with bound.peer.answering():
        return bound.netif.tool("ping", "-c", "2", "-i", "0.05", "-W", "5", PEER_IPV4, check=False).rc == 0


def refused(bound: Bound, option: str, *words: object) -> bool:
    """Tell whether ethtool refuses a setting."""
    return bound.netif.ethtool(option, *words, check=False).rc != 0


@claim("ETH-09")
def test_rings_take_the_sizes_asked_for_in_steps_of_eight(bound: Bound, evidence: Evidence) -> None:
    """Receive and transmit sizes differ each time; 70 becomes 72, 20 becomes 64; 5000 is more than there may be."""
    asked = [((64, 4096), (64, 4096)), ((70, 20), (72, 64)), ((2048, 136), (2048, 136)), ((4096, 1000), (4096, 1000))]
    told, lengths, good = [], [], []
    for (receive, transmit), _ in asked:
        bound.netif.settings.set_rings(rx=receive, tx=transmit)
        bound.netif.wait_carrier()
        rings = bound.netif.settings.rings()
        told.append((rings.rx, rings.tx))
        values = bound.card.registers("RDLEN[3]", "TDLEN[3]")
        lengths.append((values["RDLEN[3]"] // SLOT, values["TDLEN[3]"] // SLOT))
        good.append(works(bound))
    beyond = refused(bound, "-G", "rx", 5000)
    evidence.note(guest={"ethtool -g": told, "5000 refused": beyond, "traffic": good}, device={"slots": lengths})
    assert told == [got for _, got in asked]
    assert lengths == told
    assert beyond
    assert good == [True] * len(asked)


@claim("ETH-10")
def test_channels_are_one_to_eight(bound: Bound, evidence: Evidence) -> None:
    """From eight down to one; the card has as many receive queues enabled, and the last one works."""
    counts = (8, 5, 3, 1)
    told, enabled, good = [], [], []
    for count in counts:
        bound.netif.settings.set_channels(count)
        bound.netif.wait_carrier()
        channels = bound.netif.settings.channels()
        told.append(channels.combined)
        values = bound.card.registers(*(RXDCTL.title(n) for n in range(RXDCTL.count)))
        enabled.append(sum(bool(RXDCTL.enable.of(value)) for value in values.values()))
        good.append(works(bound))
    no = {
        " ".join(str(word) for word in words): refused(bound, "-L", *words)
        for words in (("combined", 9), ("combined", 0), ("rx", 2), ("rx", 1, "tx", 1))
    }
    evidence.note(guest={"ethtool -l": told, "refused": no, "traffic": good}, device={"queues enabled": enabled})
    assert tuple(told) == counts
    assert tuple(enabled) == counts
    assert channels.most_combined == 8
    assert all(no.values()), no
    assert good == [True] * len(counts)


@claim("ETH-11")
def test_coalescing_settings_read_back_and_reach_the_card(bound: Bound, evidence: Evidence) -> None:
    """Unpaired, the two directions differ; the driver writes EITR at the next interrupt of each vector.

    With six channels vectors are shared: tx-usecs is refused, and the vector follows rx-usecs.
    """
    settings = bound.netif.settings
    assert settings.channels().combined == QUEUES
    told, intervals = [], []
    for receive, transmit in ((50, 1000), (10_000, 20)):
        with bound.card.recording("RegisterWritten") as seen:
            settings.set_coalescing(rx_usecs=receive, tx_usecs=transmit)
            now = settings.coalescing()
            told.append((now["rx-usecs"], now["tx-usecs"]))
            vectors = receive_vector(bound, 1), transmit_vector(bound, 1)
            intervals.append(tuple(written(bound, seen, vector) for vector in vectors))
    no = {value: refused(bound, "-C", "rx-usecs", value) for value in (2, 9, 10_001)}
    settings.set_channels(PAIRED)
    bound.netif.wait_carrier()
    shared = refused(bound, "-C", "tx-usecs", 100)
    with bound.card.recording("RegisterWritten") as seen:
        settings.set_coalescing(rx_usecs=200)
        paired = written(bound, seen, receive_vector(bound, 1))
    evidence.note(
        guest={"ethtool -c": told, "refused": no, "tx-usecs refused with shared vectors": shared},
        device={"EITR in us": intervals, "shared vector": paired},
    )
    assert told == [(50, 1000), (10_000, 20)]
    assert intervals == [(50, 1000), (10_000 & INTERVAL >> 2, 20)]
    assert all(no.values()), no
    assert shared
    assert paired == 200


def written(bound: Bound, seen: Recording, vector: int) -> int:
    """Return the interval in microseconds that the card holds once the driver has written it for ``vector``.

    It does so in the next interrupt, which needs no cause.
    """
    bound.card.fault("spurious_interrupt", vector=vector)
    event = seen.wait(1, Deadline.after(10), kind="RegisterWritten", where=lambda e: e.register == f"EITR[{vector}]")[
        -1
    ]
    assert event.value & KEEP_COUNTER
    return (bound.card.register("EITR", vector) & INTERVAL) >> 2


@claim("ETH-12")
def test_every_free_feature_can_be_toggled_and_fixed_ones_cannot(bound: Bound, evidence: Evidence) -> None:
    """Each flag is turned over and back, alone, and two of them are read off the card as well.

    That of tags sent is tied to that of tags received (igb_fix_features): it follows, and is refused alone.
    """
    settings = bound.netif.settings
    before = settings.features()
    free = sorted(name for name, feature in before.items() if not feature.fixed and name != TIED)
    settings.set_features()
    stuck, moved, followed = [], {}, False
    for name in free:
        card = carried(bound)
        bound.netif.ethtool("-K", name, "off" if before[name].on else "on")
        now = settings.features()
        if now[name].on == before[name].on:
            stuck.append(name)
        if name in CARRIED:
            moved[name] = moved_bits(bound, card)
        if name == LEADS:
            followed = now[TIED].on == now[LEADS].on
        bound.netif.ethtool("-K", name, "on" if before[name].on else "off")
    after = settings.features()
    alone = refused(bound, "-K", TIED, "off" if before[TIED].on else "on")
    fixed = [name for name in ("loopback", "large-receive-offload", "ntuple-filters") if before[name].fixed]
    taken = []
    for name in fixed:
        with pytest.raises(ToolRefusedError) as error:
            bound.netif.ethtool("-K", name, "off" if before[name].on else "on")
        taken.append(error.value.rc)
    evidence.note(
        guest={
            "free": free,
            "stuck": stuck,
            "fixed and refused": fixed,
            TIED: {"follows": followed, "alone": not alone},
        },
        device={"registers": moved},
    )
    assert len(free) >= 20
    assert stuck == []
    assert after == before
    assert len(fixed) == 3
    assert (followed, alone) == (True, True)
    assert moved == CARRIED


LEADS, TIED = "rx-vlan-offload", "tx-vlan-offload"
CARRIED = {LEADS: ["CTRL.vme"], "rx-all": ["RCTL.sbp", "RCTL.pmcf"]}
"""Features that have bits of their own (Linux igb_vlan_mode, igb_setup_rctl)."""


def moved_bits(bound: Bound, before: dict[str, int]) -> list[str]:
    """Return which of the bits that carry features are unlike ``before``, once there is one."""

    def look() -> list[str]:
        return [bit for bit, value in carried(bound).items() if value != before[bit]]

    return wait_until(look, Deadline.after(5), "the feature reaching the card", NotSeen)


def carried(bound: Bound) -> dict[str, int]:
    """Return the bits of the card that carry features."""
    now = bound.card.registers("CTRL", "RCTL")
    return {
        "CTRL.vme": CTRL.vme.of(now["CTRL"]),
        "RCTL.sbp": RCTL.sbp.of(now["RCTL"]),
        "RCTL.pmcf": RCTL.pmcf.of(now["RCTL"]),
    }
