# SPDX-License-Identifier: BSD-3-Clause
"""RSS: what goes into the hash: fragments, both directions of a conversation, addresses in extension headers."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from device_model.igb.spec.receive import MRQC, RFCTL, RSSRK
from harness import frames
from harness.checks.arrivals import as_hashed, mixed_table, oracle, receive, strangers, told
from harness.claims import claim
from harness.oracles import rss
from harness.traffic import FILLER, Flow, Station, frame, numbered

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

IPV4, TCP_IPV6, IPV6_EX, IPV6, TCP_IPV6_EX = 2, 3, 4, 5, 6
"""RSS types (82576 7.1.5.2)."""

PIECES = 3
SHORTEST_PIECE = 64
DATAGRAMS = 16


# -- fragments -----------------------------------------------------------------------------------------------


def fragments(flow: Flow) -> list[bytes]:
    """Return a datagram of ``flow`` in three fragments; no two pieces of any flow's have the same length."""
    sizes = [SHORTEST_PIECE + 8 * (PIECES * flow.number + piece) for piece in range(PIECES)]
    body = frames.udp(flow.addresses, flow.source_port, flow.destination_port, FILLER[: sum(sizes) - 8])
    made, at = [], 0
    for size in sizes:
        part, more = body[at : at + size], at + size < len(body)
        if flow.family == 4:
            field = (frames.MORE_FRAGMENTS if more else 0) | at // 8
            packet = frames.ipv4(*flow.addresses, frames.UDP, part, ident=flow.number + 1, fragment=field)
            kind = frames.ETHERTYPE_IPV4
        else:
            part = frames.ipv6_fragment(frames.UDP, at, flow.number + 1, part, more=more)
            packet, kind = frames.ipv6(*flow.addresses, frames.IPV6_FRAGMENT, part), frames.ETHERTYPE_IPV6
        made.append(frames.ethernet(flow.destination.mac, flow.source.mac, kind, packet))
        at += size
    return made


@claim("RSS-10")
@pytest.mark.parametrize("family", [4, 6])
def test_fragments_are_hashed_without_ports(bound: Bound, evidence: Evidence, family: int) -> None:
    """16 datagrams in three pieces, with UDP ports hashed and not; and each flow's whole datagram for comparison.

    Under a table without pattern about 12 of the 16 would change queue if the ports of the first piece counted.
    """
    settings = bound.netif.settings
    settings.set_indirection(mixed_table(seed=10))
    made = strangers(bound, DATAGRAMS, family, "udp", seed=10)
    pieces = {len(piece): flow for flow in made for piece in fragments(flow)}
    assert len(pieces) == PIECES * DATAGRAMS
    for ports in (False, True):
        if ports:
            settings.set_flow_hash(f"udp{family}", "sdfn")
        predict = oracle(bound, udp4_ports=ports, udp6_ports=ports)
        apart = sum(
            predict.queue_of(as_hashed(flow)) != predict.queue_of(replace(as_hashed(flow), fragment=True))
            for flow in made
        )
        assert (apart > 3) == ports, "the ports must matter to whole datagrams, and only when they are hashed"
        found = receive(bound, [piece for flow in made for piece in fragments(flow)])
        hashes = {length: predict.hash_of(replace(as_hashed(flow), fragment=True)) for length, flow in pieces.items()}
        queues = {length: predict.table[value & 0x7F] for length, value in hashes.items()}
        types = Counter(event.rss_type for event in found.events)
        spread = Counter(len({found.queues()[len(piece)] for piece in fragments(flow)}) for flow in made)
        evidence.note(
            what=f"fragments of UDP over IPv{family}, ports {'hashed' if ports else 'not hashed'}",
            guest={"queues per datagram": dict(spread)},
            device={"types": dict(types), "whole datagrams elsewhere": apart},
        )
        assert spread == {1: DATAGRAMS}
        assert types == {IPV4 if family == 4 else IPV6: len(pieces)}
        assert found.queues() == found.device_queues() == queues
        assert found.hashes() == found.device_hashes() == hashes


# -- direction -----------------------------------------------------------------------------------------------

PERIODIC_KEY = bytes.fromhex("6d5a") * (rss.KEY_BYTES // 2)


def backwards(flow: Flow, number: int) -> Flow:
    """Return the other direction of ``flow``, which also comes off the wire."""
    there, here = flow.source, flow.destination
    return replace(
        flow,
        source=Station(there.mac, here.ipv4, here.ipv6),
        destination=Station(here.mac, there.ipv4, there.ipv6),
        source_port=flow.destination_port,
        destination_port=flow.source_port,
        number=number,
    )


def load_key(bound: Bound, key: bytes) -> None:
    """Write ``key`` to RSSRK behind the driver's back."""
    for n, word in enumerate(rss.key_words(key)):
        bound.card.write_register(RSSRK.at + n * RSSRK.stride, word)


@claim("RSS-13")
def test_direction_matters_unless_the_key_is_periodic(bound: Bound, evidence: Evidence) -> None:
    """24 flows of each kind and their reverses, under the kernel's random key and under 6d5a twenty times.

    igb on 6.12 takes no key from ethtool (igb_set_rxfh), so the periodic one is written to the card's registers.
    """
    own = bound.guest.proc.rss_key()[: rss.KEY_BYTES]
    there = [
        flow
        for at, (family, protocol) in enumerate(((4, "tcp"), (6, "tcp"), (4, "udp"), (6, "udp")))
        for flow in strangers(bound, 24, family, protocol, seed=13, first=140 * at)
    ]
    back = [backwards(flow, flow.number + 70) for flow in there]
    assert len({len(told(flow)) for flow in [*there, *back]}) == 2 * len(there)
    bound.guest.undo.remember("RSSRK", lambda: load_key(bound, own))
    for key in (own, PERIODIC_KEY):
        load_key(bound, key)
        predict = rss.Rss(key, tuple(bound.netif.settings.indirection()))
        found = receive(bound, [told(flow) for flow in [*there, *back]])
        hashes = found.hashes()
        equal = sum(hashes[len(told(one))] == hashes[len(told(other))] for one, other in zip(there, back, strict=True))
        evidence.note(
            what="a periodic key" if key == PERIODIC_KEY else "the kernel's key",
            guest={"equal both ways": equal},
            device={"RSSRK[0]": f"{bound.card.register('RSSRK', 0):08x}", "hashes": len(set(hashes.values()))},
        )
        assert equal == (len(there) if key == PERIODIC_KEY else 0)
        wanted = {len(told(flow)): predict.hash_of(as_hashed(flow)) for flow in [*there, *back]}
        assert hashes == found.device_hashes() == wanted
        assert len(set(wanted.values())) > len(there) * 3 // 4


# -- extension headers ---------------------------------------------------------------------------------------

HOP_BY_HOP, ROUTING, DESTINATION = 0, 43, 60
HOME, CARE_OF = bytes.fromhex("fd00082057a1b2c3d4e5f60718293a4b"), bytes.fromhex("fd00082057c9d8e7f6a5b4c3d2e1f00f")

PADDING = bytes((1, 4)) + bytes(4)
"""A PadN option that fills a header of 8 bytes (RFC 8200 4.2)."""

HOME_ADDRESS = bytes((1, 2, 0, 0, 0xC9, 16)) + HOME
"""PadN, then the home address option at an offset of 6 modulo 8 (RFC 6275 6.3)."""

TYPE_2 = struct.pack("!BBI", 2, 1, 0) + CARE_OF
"""Routing type 2, one segment left, reserved, and the home address of the destination (RFC 6275 6.4)."""

CHAINS: dict[str, tuple[tuple[int, bytes], ...]] = {
    "none": (),
    "hop-by-hop": ((HOP_BY_HOP, PADDING),),
    "home address": ((DESTINATION, HOME_ADDRESS),),
    "routing type 2": ((ROUTING, TYPE_2),),
    "hop-by-hop, home address": ((HOP_BY_HOP, PADDING), (DESTINATION, HOME_ADDRESS)),
    "hop-by-hop, both": ((HOP_BY_HOP, PADDING), (ROUTING, TYPE_2), (DESTINATION, HOME_ADDRESS)),
}


def chained(flow: Flow, chain: tuple[tuple[int, bytes], ...]) -> bytes:
    """Return a frame of ``flow`` with these extension headers, each given by its type and what follows its length."""
    plain = frame(flow, numbered(flow.number, 0, 64 + flow.number))
    following, body = plain[20], plain[54:]
    for kind, content in reversed(chain):
        body = bytes((following, (len(content) + 2) // 8 - 1)) + content + body
        following = kind
    return frames.ethernet(
        flow.destination.mac, flow.source.mac, frames.ETHERTYPE_IPV6, frames.ipv6(*flow.addresses, following, body)
    )


AS_IGB, ENABLED, WITH_ADDRESSES = "as igb sets it up", "extensions enabled", "and the type without ports too"


def expected_hash(flow: Flow, name: str, key: bytes, how: str) -> tuple[int, int]:
    """Return the RSS type and the hash of a frame of ``flow`` behind the chain called ``name``."""
    chain, tcp = CHAINS[name], flow.protocol == "tcp"
    extended = bool(chain) and (how == WITH_ADDRESSES or (how == ENABLED and tcp))
    source, destination = flow.addresses
    if extended:
        source = HOME if (DESTINATION, HOME_ADDRESS) in chain else source
        destination = CARE_OF if (ROUTING, TYPE_2) in chain else destination
    ports = tcp and (extended or not chain)
    kind = {(False, False): IPV6, (False, True): TCP_IPV6, (True, False): IPV6_EX, (True, True): TCP_IPV6_EX}
    data = source + destination + (struct.pack("!HH", flow.source_port, flow.destination_port) if ports else b"")
    return kind[extended, ports], rss.toeplitz(key, data)


@claim("RSS-18")
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_extension_headers_choose_the_addresses_hashed(bound: Bound, evidence: Evidence, protocol: str) -> None:
    """Chains of none to three headers, first as igb leaves RFCTL and MRQC, then with the types that it disables.

    Neither of the addresses in the options is in any IPv6 header, and every flow has ports of its own.
    """
    bound.netif.settings.set_indirection(mixed_table(seed=18))
    predict, made = oracle(bound), strangers(bound, 2 * len(CHAINS), 6, protocol, seed=18)
    flows = [
        (name, replace(flow, number=80 * at + flow.number))
        for at, name in enumerate(CHAINS)
        for flow in made[at :: len(CHAINS)]
    ]
    sent = [chained(flow, CHAINS[name]) for name, flow in flows]
    assert len({len(one) for one in sent}) == len(sent)
    rfctl, mrqc = bound.card.register("RFCTL"), bound.card.register("MRQC")
    assert rfctl & RFCTL.ipv6_ex_dis.mask
    for how in (AS_IGB, ENABLED, WITH_ADDRESSES):
        if how == ENABLED:
            bound.guest.undo.remember("RFCTL", lambda: bound.card.write_register(RFCTL.at, rfctl))
            bound.card.write_register(RFCTL.at, rfctl & ~RFCTL.ipv6_ex_dis.mask)
        elif how == WITH_ADDRESSES:
            bound.guest.undo.remember("MRQC", lambda: bound.card.write_register(MRQC.at, mrqc))
            bound.card.write_register(MRQC.at, mrqc | MRQC.ipv6_ex.mask)
        wanted = {
            len(one): expected_hash(flow, name, predict.key, how) for (name, flow), one in zip(flows, sent, strict=True)
        }
        found = receive(bound, sent)
        got = {event.length: (event.rss_type, event.rss_hash) for event in found.events}
        evidence.note(
            what=f"{protocol}, {how}",
            guest={"hashes": [f"{found.hashes()[length]:08x}" for length in sorted(wanted)[:4]]},
            device={"types": {name: got[len(one)][0] for (name, _), one in zip(flows, sent, strict=True)}},
        )
        assert got == wanted
        assert found.hashes() == {length: value for length, (_, value) in wanted.items()}
        assert found.queues() == {length: predict.table[value & 0x7F] for length, (_, value) in wanted.items()}
