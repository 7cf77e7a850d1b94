# SPDX-License-Identifier: BSD-3-Clause
"""RSS: the indirection table and the hashed fields, as ethtool sets them and the card obeys them."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from device_model.igb.spec.receive import MRQC
from harness.checks.arrivals import as_hashed, deliver, mixed_table, only_ports, oracle, receive, strangers, told
from harness.checks.spare import registers
from harness.claims import claim
from harness.oracles import rss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Seen
    from harness.traffic import Flow

DEFAULT_FIELDS = 0x0037_0002
"""MRQC of igb: RSS, with the fields IPv4, TCP over IPv4, IPv6, TCP over IPv6, and the latter with extensions."""

UDP4_PORTS, UDP6_PORTS = 1 << 22, 1 << 23
"""Bits of MRQC (82576 8.10)."""

ENTRY = re.compile(r"RETA\[(\d+)\]")
PORT_KINDS = [(4, "tcp"), (4, "udp"), (6, "tcp"), (6, "udp"), (4, "icmp"), (6, "icmp"), (4, "other")]


def table_writes(events: Sequence[Seen]) -> list[tuple[str, int]]:
    """Return the writes to RETA in order."""
    return [(e.register, e.value) for e in events if e.kind == "RegisterWritten" and ENTRY.fullmatch(e.register)]


def since_reset(events: Sequence[Seen]) -> Sequence[Seen]:
    """Return what came after the last reset, without which there is no opening."""
    last = [at for at, event in enumerate(events) if event.kind == "DeviceReset"][-1]
    return events[last:]


def as_writes(table: Sequence[int]) -> list[tuple[str, int]]:
    """Return the writes to RETA that store ``table``."""
    return [(f"RETA[{n}]", word) for n, word in enumerate(rss.table_words(table))]


@claim("RSS-04")
def test_default_table_is_in_blocks_and_default_of_ethtool_in_turns(bound: Bound, evidence: Evidence) -> None:
    """Three queues: 128 is no multiple of them, so that rounding shows; and blocks and turns differ everywhere."""
    settings = bound.netif.settings
    assert settings.indirection() == list(rss.blocks(bound.netif.queue_count[0]))
    with bound.card.recording("RegisterWritten", "DeviceReset") as seen:
        settings.set_channels(3)
        bound.netif.wait_carrier()
    opened, at_open = settings.indirection(), table_writes(since_reset(seen.all()))
    with bound.card.recording("RegisterWritten") as seen:
        bound.netif.ethtool("-X", "default")
    chosen, at_default = settings.indirection(), table_writes(seen.all())
    evidence.note(
        guest={"after open": opened, "after -X default": chosen},
        device={"RETA at open": [f"{word:08x}" for _, word in at_open], "RETA writes": [len(at_open), len(at_default)]},
    )
    assert opened == list(rss.blocks(3))
    assert at_open == as_writes(rss.blocks(3))
    assert chosen == list(rss.round_robin(3))
    assert at_default == as_writes(rss.round_robin(3))
    words = bound.card.registers(*(f"RETA[{n}]" for n in range(32)))
    assert tuple(words.values()) == rss.table_words(rss.round_robin(3))


@claim("RSS-05")
@pytest.mark.parametrize(
    ("words", "table"), [(("equal", "2"), rss.round_robin(2)), (("weight", "1", "3"), rss.weighted((1, 3)))]
)
def test_changed_table_moves_flows_from_the_next_frame_on(
    bound: Bound, evidence: Evidence, words: tuple[str, ...], table: tuple[int, ...]
) -> None:
    """64 flows keep coming while ethtool runs; each frame is judged by the table that the card's log shows then."""
    old = mixed_table(seed=5)
    bound.netif.settings.set_indirection(old)
    made = strangers(bound, 64, 4, "tcp", seed=5)
    frames, predict = [told(flow) for flow in made], oracle(bound)
    hashes = {len(told(flow)): predict.hash_of(as_hashed(flow)) for flow in made}
    moved = sum(old[value & 0x7F] != table[value & 0x7F] for value in hashes.values())
    assert moved > 20
    before = bound.netif.queue_packets()
    with bound.card.recording("FrameDelivered", "RegisterWritten") as seen:
        deliver(bound, frames)
        argv = ["ethtool", "-X", bound.netif.name, *words]
        changing = bound.guest.agent.start("run", argv=argv, seconds=20.0)
        sent = 0
        while not changing.done:
            deliver(bound, frames[sent % len(frames) :][:8])
            sent += len(frames[sent % len(frames) :][:8])
        deliver(bound, frames)
    assert changing.result()["rc"] == 0
    growth = bound.netif.queue_packets() - before
    in_force, changes, wrong = list(old), 0, 0
    for event in seen.all():
        if event.kind == "FrameDelivered":
            wrong += (event.rss_hash, event.queue) != (hashes[event.length], in_force[event.rss_hash & 0x7F])
        elif match := ENTRY.fullmatch(event.register):
            first = 4 * int(match[1])
            in_force[first : first + 4] = event.value.to_bytes(4, "little")
            changes += 1
    decided = Counter(event.queue for event in seen.all("FrameDelivered"))
    shown = bound.netif.settings.indirection()
    evidence.note(
        guest={"rx_queue_packets": list(growth), "table": shown},
        device={"queues": [decided[q] for q in range(len(growth))], "RETA writes": changes, "flows moved": moved},
    )
    assert (wrong, changes) == (0, 32)
    assert in_force == shown == list(table)
    assert list(growth) == [decided[queue] for queue in range(len(growth))]
    assert growth.total == 2 * len(frames) + sent


def port_flows(bound: Bound, kinds: Sequence[tuple[int, str]], count: int = 48) -> dict[tuple[int, str], list[Flow]]:
    """Return, for each kind, flows that differ in nothing but ports; lengths tell all of them apart."""
    made = {}
    for at, (family, protocol) in enumerate(kinds):
        [flow] = strangers(bound, 1, family, protocol, seed=8)
        made[family, protocol] = only_ports(flow, count, first=at * (count + 60), seed=8)
    return made


def queues_of(bound: Bound, evidence: Evidence, predict: rss.Rss, made: dict[tuple[int, str], list[Flow]]) -> None:
    """Send every flow once and compare guest and card with the prediction."""
    flows = [flow for group in made.values() for flow in group]
    wanted = {len(told(flow)): predict.queue_of(as_hashed(flow)) for flow in flows}
    hashes = {len(told(flow)): predict.hash_of(as_hashed(flow)) for flow in flows}
    assert len(wanted) == len(flows)
    found = receive(bound, [told(flow) for flow in flows])
    device = found.device_queues()
    for (family, protocol), group in made.items():
        lengths = [len(told(flow)) for flow in group]
        evidence.note(
            what=f"queues used by {len(group)} flows, {protocol} over IPv{family}, that differ only in ports",
            guest=sorted({found.queues().get(length, -1) for length in lengths}),
            device=device and sorted({device.get(length, -1) for length in lengths}),
        )
    assert found.queues() == wanted
    assert found.hashes() == hashes
    assert device in (None, wanted)
    assert found.device_hashes() in (None, hashes)


def used(predict: rss.Rss, flows: Sequence[Flow]) -> int:
    """Return the number of queues that ``flows`` are predicted to use."""
    return len(predict.spread(as_hashed(flow) for flow in flows))


@claim("RSS-08")
def test_only_tcp_is_hashed_with_ports(bound: Bound, evidence: Evidence) -> None:
    """48 flows of each kind that differ in nothing but ports, under a table without pattern."""
    bound.netif.settings.set_indirection(mixed_table(seed=8))
    said = {kind: bound.netif.settings.flow_hash(kind) for kind in ("tcp4", "udp4", "sctp4", "tcp6", "udp6", "sctp6")}
    with_ports = {kind for kind, text in said.items() if "L4 bytes 0 & 1" in text and "L4 bytes 2 & 3" in text}
    with_addresses = {kind for kind, text in said.items() if "IP SA" in text and "IP DA" in text}
    mrqc = registers(bound).read(MRQC)
    evidence.note(guest={"hashed with ports": sorted(with_ports)}, device={"MRQC": f"{mrqc:08x}"})
    assert (with_ports, with_addresses) == ({"tcp4", "tcp6"}, set(said))
    assert mrqc == DEFAULT_FIELDS
    predict = oracle(bound)
    made = port_flows(bound, PORT_KINDS)
    assert {kind: used(predict, group) > 1 for kind, group in made.items()} == {
        kind: kind[1] == "tcp" for kind in PORT_KINDS
    }
    queues_of(bound, evidence, predict, made)


@claim("RSS-09")
@pytest.mark.parametrize(("kind", "bit"), [("udp4", UDP4_PORTS), ("udp6", UDP6_PORTS)])
def test_udp_ports_are_hashed_on_request(bound: Bound, evidence: Evidence, kind: str, bit: int) -> None:
    """The other family is sent too and must not follow; afterwards all is as before; TCP cannot lose its ports."""
    settings = bound.netif.settings
    settings.set_indirection(mixed_table(seed=9))
    since = bound.guest.proc.log()[-1].sequence
    settings.set_flow_hash(kind, "sdfn")
    warned = [record.text for record in bound.guest.proc.log(since) if "fragmented" in record.text]
    during = registers(bound).read(MRQC)
    refused = bound.netif.ethtool("-N", "rx-flow-hash", f"tcp{kind[-1]}", "sd", check=False)
    evidence.note(
        guest={"-n": settings.flow_hash(kind).split("\n")[1:], "warning": warned, "tcp sd": refused.err.strip()},
        device={"MRQC": f"{during:08x}"},
    )
    assert "L4 bytes 0 & 1" in settings.flow_hash(kind)
    assert during == registers(bound).read(MRQC) == DEFAULT_FIELDS | bit
    assert len(warned) == 1
    assert refused.rc != 0
    assert "Invalid argument" in refused.err
    predict = oracle(bound, udp4_ports=kind == "udp4", udp6_ports=kind == "udp6")
    made = port_flows(bound, [(4, "udp"), (6, "udp")])
    assert {family: used(predict, group) > 1 for (family, _), group in made.items()} == {
        4: kind == "udp4",
        6: kind == "udp6",
    }
    queues_of(bound, evidence, predict, made)
    settings.set_flow_hash(kind, "sd")
    assert registers(bound).read(MRQC) == DEFAULT_FIELDS
    queues_of(bound, evidence, oracle(bound), made)
