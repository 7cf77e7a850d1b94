# SPDX-License-Identifier: BSD-3-Clause
"""The link partner against the emulator's own datagram wire, which stands for the card."""

from __future__ import annotations

import select
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from emulator.wires import WireEnd, open_wire
from harness import frames
from harness.deadline import Deadline, wait_until
from harness.dissect import dissect
from harness.errors import LabBroken, NotSeen, UsageError
from harness.peer import Peer
from harness.traffic import Flow, Ledger, Station, frame, numbered, read_numbered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = Station.of("02:00:00:00:00:11", "10.82.57.1", "fd82:576::1")
GUEST = Station.of("52:54:00:82:57:60", "10.82.57.60", "fd82:576::60")


def open_card(tmp_path: Path) -> WireEnd:
    return open_wire(f"dgram:local={tmp_path}/card,remote={tmp_path}/peer")


@pytest.fixture
def card(tmp_path: Path) -> Iterator[WireEnd]:
    wire = open_card(tmp_path)
    yield wire
    wire.close()


@pytest.fixture
def peer(tmp_path: Path, card: WireEnd) -> Iterator[Peer]:
    with Peer(tmp_path / "peer", tmp_path / "card", HERE, GUEST) as partner:
        partner.wait_connected()
        yield partner
    assert not (tmp_path / "peer").exists()
    assert card.connected


def taken(card: WireEnd, count: int) -> list[bytes]:
    """Take ``count`` frames off the card's end of the wire."""
    found: list[bytes] = []
    deadline = Deadline.after(5)
    descriptor = card.fileno()
    assert descriptor is not None
    while len(found) < count and not deadline.passed:
        select.select([descriptor], [], [], deadline.remaining)
        found += card.poll()
    return found


def udp_frame(number: int) -> bytes:
    return frame(Flow(GUEST, HERE, number=3), numbered(3, number))


def number_of(made: bytes) -> int:
    read = read_numbered(dissect(made).payload)
    assert read is not None
    return read[1]


def test_frames_go_to_the_card_in_order(peer: Peer, card: WireEnd) -> None:
    sent = [udp_frame(number) for number in range(8)]
    peer.send(*sent)
    assert taken(card, 8) == sent


def test_burst_waits_for_a_slow_card_and_loses_nothing(peer: Peer, card: WireEnd) -> None:
    sent = [udp_frame(number) for number in range(3000)]
    got: list[bytes] = []
    slow = threading.Thread(target=lambda: got.extend(taken(card, 3000)))
    slow.start()
    burst = peer.send_burst(sent)
    slow.join()
    assert got == sent
    assert burst.count == 3000
    assert burst.first_ns < burst.last_ns


def test_card_that_takes_nothing_breaks_the_lab_and_says_how_many_it_took(peer: Peer, card: WireEnd) -> None:
    with pytest.raises(LabBroken, match=r"took only \d+"):
        peer.send_burst([udp_frame(0)] * 5000, Deadline.after(0.1))
    assert card.poll()


def test_burst_from_the_card_is_kept_whole(peer: Peer, card: WireEnd) -> None:
    sent = [udp_frame(number) for number in range(4000)]
    for made in sent:
        card.emit(made)
    assert card.counts.dropped == 0
    assert peer.expect(4000) == sent
    assert [arrival.frame for arrival in peer.arrivals] == sent
    times = [arrival.t_ns for arrival in peer.arrivals]
    assert times == sorted(times)


def test_expect_takes_what_fits_and_leaves_the_rest(peer: Peer, card: WireEnd) -> None:
    for number in range(6):
        card.emit(udp_frame(number))
    odd = peer.expect(2, lambda made: number_of(made) % 2 == 1)
    assert [number_of(made) for made in odd] == [1, 3]
    wait_until(lambda: len(peer.arrivals) == 6, Deadline.after(5), "all frames")
    assert [number_of(made) for made in peer.drain()] == [0, 2, 4, 5]
    assert peer.drain() == []


def test_expecting_too_much_takes_nothing_and_tells_what_came(peer: Peer, card: WireEnd) -> None:
    for number in range(3):
        card.emit(udp_frame(number))
    with pytest.raises(NotSeen, match=r"2 such frames .* not 1 \(2 others came\)"):
        peer.expect(2, lambda made: number_of(made) == 1, Deadline.after(0.2))
    assert len(peer.expect(3)) == 3


def test_silence_ends_with_the_first_frame_that_fits(peer: Peer, card: WireEnd) -> None:
    card.emit(udp_frame(5))
    peer.expect(1)
    peer.expect_silence(0.05)

    def speak() -> None:
        for number in (7, 8):
            card.emit(udp_frame(number))

    later = threading.Timer(0.02, speak)
    later.start()
    with pytest.raises(NotSeen, match="no such frame"):
        peer.expect_silence(5, lambda made: number_of(made) == 8)
    later.join()


def test_forgetting_leaves_nothing(peer: Peer, card: WireEnd) -> None:
    card.emit(udp_frame(1))
    wait_until(lambda: peer.arrivals, Deadline.after(5), "a frame")
    peer.forget()
    assert (peer.arrivals, peer.drain()) == ([], [])


def arp_request() -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + GUEST.mac + GUEST.ipv4 + bytes(6) + HERE.ipv4
    return frames.pad(frames.ethernet(b"\xff" * 6, GUEST.mac, frames.ETHERTYPE_ARP, body))


def test_peer_answers_only_while_told_to(peer: Peer, card: WireEnd) -> None:
    card.emit(arp_request())
    peer.expect(1)
    with peer.answering():
        card.emit(arp_request())
        [reply] = taken(card, 1)
    assert dissect(reply).payload[8:18] == HERE.mac + HERE.ipv4
    card.emit(arp_request())
    peer.expect(2)
    assert card.poll() == []


def test_flows_reach_the_card_numbered_and_in_turns(peer: Peer, card: WireEnd) -> None:
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(taken(card, 60)))
    reader.start()
    made = peer.send_flows(20, family=6, protocol="tcp", frames_each=3, size=40)
    reader.join()
    ledger = Ledger()
    for flow in made:
        ledger.expect(flow.number, range(3))
    for one in got:
        ledger.note(dissect(one).payload)
    assert ledger.tally().flawless
    assert [dissect(one).source_port for one in got] == [flow.source_port for flow in made] * 3


def test_flows_without_a_guest_are_the_callers_mistake(tmp_path: Path, card: WireEnd) -> None:
    with Peer(tmp_path / "peer", tmp_path / "card", HERE) as partner, pytest.raises(UsageError):
        partner.send_flows(1)
    assert card.poll() == []


def test_card_that_is_started_after_the_peer_is_found(tmp_path: Path) -> None:
    with Peer(tmp_path / "peer", tmp_path / "card", HERE) as partner:
        assert not partner.connected
        wire = open_card(tmp_path)
        partner.send(udp_frame(1))
        assert taken(wire, 1) == [udp_frame(1)]
        wire.close()


def test_card_that_is_started_again_sends_and_gets(tmp_path: Path, peer: Peer, card: WireEnd) -> None:
    peer.send(udp_frame(1))
    card.close()
    again = open_card(tmp_path)

    def heard() -> bool:
        again.emit(udp_frame(2))
        select.select([], [], [], 0.001)
        return bool(peer.drain())

    wait_until(heard, Deadline.after(5), "the peer hearing the new card")
    peer.send(udp_frame(3))
    assert taken(again, 1) == [udp_frame(3)]
    again.close()
    assert not card.connected or card.counts.emitted == 0


def test_absent_card_breaks_the_lab_at_the_deadline(tmp_path: Path) -> None:
    with Peer(tmp_path / "peer", tmp_path / "card", HERE) as partner, pytest.raises(LabBroken, match="opening"):
        partner.send(udp_frame(1), deadline=Deadline.after(0.1))
