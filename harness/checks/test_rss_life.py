# SPDX-License-Identifier: BSD-3-Clause
"""RSS: the type that the card reports, and what becomes of the table when queues or the card are set up again."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import pytest

from device_model.igb.spec.descriptors import RxWriteback
from device_model.igb.spec.receive import MRQC, RETA
from harness import frames
from harness.checks.arrivals import ENTRY, as_hashed, deliver, mixed_table, oracle, receive, strangers, told
from harness.checks.spare import registers
from harness.checks.witness import watched
from harness.claims import claim
from harness.guest.agent import AgentRefusedError
from harness.guest.bare import offset
from harness.oracles import rss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Seen

NONE, TCP_IPV4, IPV4, TCP_IPV6, IPV6, UDP_IPV4, UDP_IPV6 = 0, 1, 2, 3, 5, 7, 8
"""RSS types (82576 7.1.5.2)."""

UDP4_PORTS = 1 << 22
"""Bit of MRQC (82576 8.10)."""


def arp(bound: Bound) -> bytes:
    """Return an ARP request to the guest's MAC address for an address that nobody has."""
    asked, asker = bytes((198, 19, 7, 7)), bound.peer.station
    packet = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + asker.mac + asker.ipv4 + bytes(6) + asked
    mac = frames.mac(bound.netif.mac)
    return frames.pad(frames.ethernet(mac, asker.mac, frames.ETHERTYPE_ARP, packet))


@claim("RSS-11")
def test_type_says_what_was_hashed_and_arp_goes_to_queue_0(bound: Bound, evidence: Evidence) -> None:
    """The table's first entry is queue 3, where a hash of 0 would lead; UDP shows both of its types."""
    table = [3, *mixed_table(seed=11)[1:]]
    bound.netif.settings.set_indirection(table)
    kinds = ((4, "tcp", TCP_IPV4), (4, "udp", IPV4), (6, "tcp", TCP_IPV6), (6, "udp", IPV6), (4, "icmp", IPV4))
    rounds = ((kinds, False), (((4, "udp", UDP_IPV4), (6, "udp", UDP_IPV6)), True))
    for chosen, ports in rounds:
        if ports:
            for kind in ("udp4", "udp6"):
                bound.netif.settings.set_flow_hash(kind, "sdfn")
        flows = [strangers(bound, 1, family, protocol)[0] for family, protocol, _ in chosen]
        with bound.guest.trace.session(ENTRY) as trace, bound.card.recording("RxWriteBack") as seen:
            deliver(bound, [*(told(flow) for flow in flows), arp(bound)])
        written = [(event.queue, RxWriteback.decode(event.raw)) for event in seen.all("RxWriteBack")]
        types = [slot["rss_type"] for _, slot in written]
        [queue_of_arp, slot_of_arp] = written[-1]
        skbs = [(r["protocol"], r["queue_mapping"] - 1, r["hash"]) for r in trace.records]
        arps = [(queue, value) for protocol, queue, value in skbs if protocol == frames.ETHERTYPE_ARP]
        evidence.note(
            what="UDP with ports" if ports else "UDP without ports",
            guest={"queue and hash of ARP": arps},
            device={"types": types, "queue and hash of ARP": [queue_of_arp, slot_of_arp["rss_hash"]]},
        )
        assert types == [*(rss_type for *_, rss_type in chosen), NONE]
        assert (queue_of_arp, slot_of_arp["rss_hash"]) == (0, 0)
        assert arps == [(0, 0)]


@claim("RSS-14")
def test_new_number_of_channels_rebuilds_the_table(bound: Bound, evidence: Evidence) -> None:
    """From 4 with a user's table to 5, 8, 3 and 1: numbers that divide 128 and that do not, paired and unpaired."""
    settings = bound.netif.settings
    settings.set_indirection(mixed_table(seed=14))
    for queues in (5, 8, 3, 1):
        settings.set_channels(queues)
        bound.netif.wait_carrier()
        table, written = settings.indirection(), table_in_the_card(bound)
        evidence.note(what=f"{queues} channels", guest={"table": table}, device=[f"{word:08x}" for word in written])
        assert settings.channels().combined == bound.netif.queue_count[0] == queues
        assert table == list(rss.blocks(queues))
        assert written == rss.table_words(table)
        flows_obey(bound, evidence, oracle(bound))


@claim("RSS-17")
@pytest.mark.parametrize("how", ["ethtool -r", "down and up"])
def test_users_table_and_fields_survive_a_reset(bound: Bound, evidence: Evidence, how: str) -> None:
    """A table without pattern and UDP with ports: neither is what the card or the driver would begin with."""
    table = mixed_table(seed=17)
    bound.netif.settings.set_indirection(table)
    bound.netif.settings.set_flow_hash("udp4", "sdfn")
    before = bound.netif.settings.flow_hash("udp4")
    with watched(bound, "RegisterWritten", "DeviceReset") as seen:
        if how == "ethtool -r":
            bound.netif.ethtool("-r")
        else:
            bound.netif.down()
            bound.netif.up()
        if seen is not None:
            seen.wait(1, kind="DeviceReset")
        bound.netif.wait_carrier()
        if seen is not None:
            seen.wait(32, where=lambda e: e.kind == "RegisterWritten" and e.register.startswith("RETA["))
            assert written_since_reset(seen.all()) == rss.table_words(table)
    written = table_in_the_card(bound)
    shown, mrqc = bound.netif.settings.indirection(), registers(bound).read(MRQC)
    evidence.note(guest={"table kept": shown == table}, device={"RETA": len(written), "MRQC": f"{mrqc:08x}"})
    assert shown == table
    assert bound.netif.settings.flow_hash("udp4") == before
    assert written == rss.table_words(table)
    assert mrqc & UDP4_PORTS
    flows_obey(bound, evidence, oracle(bound, udp4_ports=True))


@claim("RSS-16")
def test_impossible_tables_are_refused(bound: Bound, evidence: Evidence) -> None:
    """A fifth of four queues in the very last entry, in a pattern and in weights; another hash; another context.

    A table that names the last queue in the last entry fits, and must be accepted.
    """
    settings, queues = bound.netif.settings, bound.netif.queue_count[0]
    table = [*mixed_table(seed=16)[:-1], queues - 1]
    settings.set_indirection(table)
    with bound.card.recording("RegisterWritten") as seen:
        with pytest.raises(AgentRefusedError) as refused:
            settings.set_indirection([*table[:-1], queues])
        said = {
            words: bound.netif.ethtool("-X", *words.split(), check=False)
            for words in (f"equal {queues + 1}", "weight 1 2 1 2 1", "hfunc xor", "context new equal 2")
        }
    writes = [event.register for event in seen.all() if event.register.startswith("RETA[")]
    words = tuple(bound.card.registers(*(f"RETA[{n}]" for n in range(32))).values())
    evidence.note(
        guest={"errno of entry 4": refused.value.errno, **{name: done.err.strip() for name, done in said.items()}},
        device={"RETA writes": writes, "table kept": words == rss.table_words(table)},
    )
    assert refused.value.errno == errno.EINVAL
    assert all(done.rc != 0 for done in said.values())
    assert [words for words, done in said.items() if "not supported" in done.err] == list(said)[2:]
    assert writes == []
    assert settings.indirection() == table
    assert words == rss.table_words(table)
    flows_obey(bound, evidence, oracle(bound))
    settings.set_indirection(table[::-1])
    assert settings.indirection() == table[::-1]
    flows_obey(bound, evidence, oracle(bound))


def table_in_the_card(bound: Bound) -> tuple[int, ...]:
    """Return RETA as a program of the guest reads it."""
    return tuple(registers(bound).do(*((offset(RETA, n),) for n in range(RETA.count))))


def written_since_reset(events: Sequence[Seen]) -> tuple[int, ...]:
    """Return the words written to RETA after the last reset."""
    last = [at for at, event in enumerate(events) if event.kind == "DeviceReset"][-1]
    writes = [event for event in events[last:] if event.kind == "RegisterWritten"]
    return tuple(event.value for event in writes if event.register.startswith("RETA["))


def flows_obey(bound: Bound, evidence: Evidence, predict: rss.Rss) -> None:
    """Send 128 flows and compare the queue of each with the prediction."""
    made = [*strangers(bound, 64, 4, "tcp", seed=14), *strangers(bound, 64, 4, "udp", seed=14, first=100)]
    wanted = {len(told(flow)): predict.queue_of(as_hashed(flow)) for flow in made}
    found = receive(bound, [told(flow) for flow in made])
    device = found.device_queues()
    used = [queues and sorted(set(queues.values())) for queues in (found.queues(), device)]
    evidence.note(what="queues used by 128 flows", guest=used[0], device=used[1])
    assert found.queues() == wanted
    assert device in (None, wanted)
