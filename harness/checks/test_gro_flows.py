# SPDX-License-Identifier: BSD-3-Clause
"""GRO: what below TCP tells one flow from another, and one datagram from the next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness import frames
from harness.checks.merging import HASH, HELD, MERGED, NORMAL, Segment, merging, skb_length, stranger, train
from harness.checks.vlans import add_vlan
from harness.claims import claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.traffic import Flow

SIZE = 200
VLAN, OTHER_VLAN = 5, 6
OTHER_HASH = HASH ^ 1 << 31
"""Of the same bucket, so that both flows meet in one list."""

PADDING = b"\xa5" * 6


def differing(flow: Flow) -> dict[str, tuple[Flow, Flow, int]]:
    """Return pairs of flows that differ in one thing only, and the hash of the second."""
    source, destination = flow.source, flow.destination
    tagged = replace(flow, vlans=(VLAN,))
    return {
        "source address": (flow, replace(flow, source=replace(source, ipv4=b"\xc6\x13\7\1")), HASH),
        "destination address": (flow, replace(flow, destination=replace(destination, ipv4=b"\xc6\x13\7\2")), HASH),
        "source port": (flow, replace(flow, source_port=flow.source_port ^ 1), HASH),
        "destination port": (flow, replace(flow, destination_port=flow.destination_port ^ 1), HASH),
        "VLAN": (tagged, replace(flow, vlans=(OTHER_VLAN,)), HASH),
        "VLAN priority": (tagged, replace(flow, vlans=(3 << 13 | VLAN,)), HASH),
        "MAC address": (flow, replace(flow, source=replace(source, mac=frames.mac("52:54:00:aa:bb:cc"))), HASH),
        "hash": (flow, flow, OTHER_HASH),
        "nothing": (flow, flow, HASH),
    }


@claim("GRO-03")
def test_segments_of_different_flows_are_not_merged(bound: Bound, evidence: Evidence) -> None:
    """Four consecutive segments of which the last two differ in one thing, then the two flows in turns.

    All have one hash, but where it is the hash that differs: every other difference would show in it as well.
    """
    for vid in (VLAN, OTHER_VLAN):
        add_vlan(bound, vid)
    with merging(bound) as ring:
        for name, (one, other, rss_hash) in differing(stranger(bound)).items():
            size, differ = SIZE, name != "nothing"
            first = train(one, size, size)
            second = train(other, size, size, at=2 * size, rss_hash=rss_hash)
            second = [replace(each, ident=each.ident + 2) for each in second]
            found = ring.poll([*first, *second])
            hashes = [slot["rss_hash"] for slot in found.written]
            evidence.note(what=f"other {name}", guest=found.told(), device={"hashes": [f"{h:08x}" for h in hashes]})
            assert found.returns == ([HELD, MERGED] * 2 if differ else [HELD, MERGED, MERGED, MERGED])
            assert found.lengths == [40 + 2 * size] * 2 if differ else [40 + 4 * size]
            assert (hashes, found.messages) == ([HASH, HASH, rss_hash, rss_hash], 1)
            if differ:
                turns = train(one, size, size), train(other, size, size, rss_hash=rss_hash)
                mixed = ring.poll([each for pair in zip(*turns, strict=True) for each in pair])
                evidence.note(what=f"other {name}, in turns", guest=mixed.told(), device=mixed.messages)
                assert mixed.returns == [HELD, HELD, MERGED, MERGED]
                assert (mixed.lengths, mixed.messages) == ([40 + 2 * size] * 2, 1)


SPLIT = [HELD, HELD, HELD, MERGED], [[0], [1], [2, 3]]
"""The second segment ends the merge of the first and is held itself; it differs from the third too."""

PASSED = [HELD, NORMAL, HELD, MERGED], [[1], [0], [2, 3]]
"""GRO does not look for the flow of the second, which overtakes the first."""

ENDED = [HELD, NORMAL, HELD, MERGED], [[0], [1], [2, 3]]
"""The second ends the merge of the first and passes behind it."""

EQUAL = [HELD, MERGED, MERGED, MERGED], [[0, 1, 2, 3]]


def with_ip(**fields: Any) -> Callable[[Segment], Segment]:  # noqa: ANN401 - fields of the IP header
    """Return what changes these fields of a segment's IP header."""
    return lambda segment: replace(segment, ip=fields)


DIFFERENCES: dict[str, tuple[Callable[[Segment], Segment], tuple[list[str], list[list[int]]]]] = {
    "nothing": (lambda segment: segment, EQUAL),
    "options": (with_ip(options=b"\1\1\1\0"), PASSED),
    "fragment": (with_ip(fragment=frames.MORE_FRAGMENTS), PASSED),
    "TTL": (with_ip(ttl=63), SPLIT),
    "TOS": (with_ip(tos=0x28), SPLIT),
    "DF": (with_ip(fragment=0), SPLIT),
    "identification": (with_ip(ident=7), SPLIT),
    "padding": (lambda segment: replace(segment, behind=PADDING), ENDED),
}


@claim("GRO-07")
def test_ip_headers_must_agree_and_lengths_be_exact(bound: Bound, evidence: Evidence) -> None:
    """The second of four segments differs in one thing; at last a byte in the shortest frame, padded on the wire."""
    flow = stranger(bound)
    with merging(bound) as ring:
        for name, (change, (returns, groups)) in DIFFERENCES.items():
            sent = train(flow, *[SIZE] * 4)
            sent[1] = change(sent[1])
            found = ring.poll(sent)
            written = [slot["length"] for slot in found.written]
            evidence.note(what=name, guest=found.told(), device={"lengths": written})
            assert found.returns == returns
            assert found.lengths == [skb_length([sent[n] for n in group]) for group in groups]
            assert (written, found.messages) == ([len(each.frame) for each in sent], 1)
        short = train(flow, SIZE, SIZE, 1)
        found = ring.poll(short)
        written = [slot["length"] for slot in found.written]
        evidence.note(what="one byte", guest=found.told(), device={"lengths": written})
        assert found.returns == [HELD, MERGED, NORMAL]
        assert found.lengths == [skb_length(short[:2]), skb_length(short[2:])]
        assert written == [len(short[0].frame), len(short[1].frame), frames.FRAME_LEAST]
