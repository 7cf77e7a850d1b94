# SPDX-License-Identifier: BSD-3-Clause
"""GRO: what TCP's header, options and lengths must be for a segment to join the one before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness import frames
from harness.checks.merging import ETHERNET, HELD, MERGED, NORMAL, merging, skb_length, stranger, train
from harness.claims import claim

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

SIZE = 200
ALONE = [[0], [1], [2], [3]]
FLAGS: dict[str, tuple[dict[int, int], list[str], list[list[int]]]] = {
    "none": ({}, [HELD, MERGED, MERGED, MERGED], [[0, 1, 2, 3]]),
    "PSH": ({2: frames.PSH}, [HELD, MERGED, MERGED, HELD], [[0, 1, 2], [3]]),
    "FIN": ({2: frames.FIN}, [HELD, MERGED, MERGED, HELD], [[0, 1, 2], [3]]),
    "PSH first": ({0: frames.PSH}, [NORMAL, HELD, MERGED, MERGED], [[0], [1, 2, 3]]),
    "URG": ({2: frames.URG}, [HELD, MERGED, NORMAL, HELD], [[0, 1], [2], [3]]),
    "SYN": ({2: frames.SYN}, [HELD, MERGED, NORMAL, HELD], [[0, 1], [2], [3]]),
    "RST": ({2: frames.RST}, [HELD, MERGED, NORMAL, HELD], [[0, 1], [2], [3]]),
    "ECE": ({2: frames.ECE}, [HELD, MERGED, HELD, HELD], [[0, 1], [2], [3]]),
    "CWR": ({2: frames.CWR}, [HELD, MERGED, HELD, MERGED], [[0, 1], [2, 3]]),
    "ECE in all": (dict.fromkeys(range(4), frames.ECE), [HELD, MERGED, MERGED, MERGED], [[0, 1, 2, 3]]),
    "CWR in all": (dict.fromkeys(range(4), frames.CWR), [HELD] * 4, ALONE),
}
"""Flags besides ACK by segment, what GRO returns for each of four segments, and which make an skb together."""


@claim("GRO-04")
def test_flags_decide_where_a_merge_ends(bound: Bound, evidence: Evidence) -> None:
    """Each flag in the third of four segments; PSH in the first; ECE and CWR in all.

    Only CWR tells the kernels apart: until 7 a segment with it never joins, but one without it joins one with it.
    """
    flow = stranger(bound)
    with merging(bound) as ring:
        for name, (flags, returns, groups) in FLAGS.items():
            plain = train(flow, *[SIZE] * 4)
            sent = [replace(each, tcp={"flags": frames.ACK | flags.get(n, 0)}) for n, each in enumerate(plain)]
            found = ring.poll(sent)
            evidence.note(what=name, guest=found.told(), device={"write-backs": len(found.written)})
            assert found.returns == returns
            assert found.lengths == [skb_length([sent[n] for n in group]) for group in groups]
            assert (len(found.written), found.messages) == (4, 1)


@claim("GRO-05")
@pytest.mark.parametrize(
    ("sizes", "returns", "groups"),
    [
        ((1448, 1448, 700), [HELD, MERGED, MERGED], [[0, 1, 2]]),
        ((700, 1448), [HELD, HELD], [[0], [1]]),
        ((1448, 700, 700), [HELD, MERGED, HELD], [[0, 1], [2]]),
        ((1448, 1448, 1448), [HELD, MERGED, MERGED], [[0, 1, 2]]),
    ],
)
def test_a_shorter_segment_ends_the_train_and_a_longer_one_does_not_join(
    bound: Bound,
    evidence: Evidence,
    sizes: tuple[int, ...],
    returns: list[str],
    groups: list[list[int]],
) -> None:
    """The claim's two trains; one that could go on after its short segment, but must not; and equal lengths."""
    sent = train(stranger(bound), *sizes)
    with merging(bound) as ring:
        found = ring.poll(sent)
    written = [slot["length"] for slot in found.written]
    evidence.note(what=str(sizes), guest=found.told(), device={"lengths": written})
    assert found.returns == returns
    assert found.lengths == [skb_length([sent[n] for n in group]) for group in groups]
    assert (written, found.messages) == ([ETHERNET + 40 + size for size in sizes], 1)


def timestamps(value: int, echo: int) -> bytes:
    """Return the timestamp option behind two bytes of padding (RFC 7323 3.2, appendix A)."""
    return b"\1\1\x08\x0a" + value.to_bytes(4, "big") + echo.to_bytes(4, "big")


@claim("GRO-06")
def test_options_must_be_equal_for_a_merge(bound: Bound, evidence: Evidence) -> None:
    """Four segments whose stamps are equal, or change by one in value or in echo, or end with one that has none."""
    now, echo = 0x8257_6001, 0x0102_0304
    same = timestamps(now, echo)
    rounds = {
        "equal": ([same] * 4, [HELD, MERGED, MERGED, MERGED], [[0, 1, 2, 3]]),
        "another value": ([same] * 2 + [timestamps(now + 1, echo)] * 2, [HELD, MERGED] * 2, [[0, 1], [2, 3]]),
        "another echo": ([same] * 2 + [timestamps(now, echo + 1)] * 2, [HELD, MERGED] * 2, [[0, 1], [2, 3]]),
        "no option": ([same] * 3 + [b""], [HELD, MERGED, MERGED, HELD], [[0, 1, 2], [3]]),
    }
    flow = stranger(bound)
    with merging(bound) as ring:
        for name, (options, returns, groups) in rounds.items():
            sent = [
                replace(each, tcp={"options": option})
                for each, option in zip(train(flow, *[SIZE] * 4), options, strict=True)
            ]
            found = ring.poll(sent)
            evidence.note(what=name, guest=found.told(), device={"options": [option.hex() for option in options]})
            assert found.returns == returns
            assert found.lengths == [skb_length([sent[n] for n in group]) for group in groups]
            assert [slot["length"] for slot in found.written] == [len(each.frame) for each in sent]
            assert found.messages == 1
