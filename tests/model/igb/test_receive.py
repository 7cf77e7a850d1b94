# SPDX-License-Identifier: BSD-3-Clause
"""The receive path with a driver stub: order of stores, acceptance, steering, drop policy (82576 7.1)."""

from __future__ import annotations

import pytest

from device_model import events
from device_model.igb.config import Config
from device_model.igb.spec.filters import MTA, RAH, RAL, VFTA
from device_model.igb.spec.general import CTRL
from device_model.igb.spec.receive import MRQC, RCTL, RDBAH, RDH, RDLEN, RDT, RETA, RLPML, RQDPC, RSSRK, RXDCTL, SRRCTL
from device_model.igb.spec.statistics import GPRC, MPC, RNBC, ROC, RUC
from tests.model.packet import frames

from .driver import Driver
from .world import BASE, World

A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
MAC = Config().mac


@pytest.fixture
def driver() -> Driver:
    driver = Driver(World())
    driver.up()
    return driver


def unicast(
    payload: bytes = b"hello, card", ports: tuple[int, int] = (1111, 2222), *, vlan: int | None = None
) -> bytes:
    packet, ethertype = frames.ip(frames.udp(payload, A, B, ports), frames.UDP, A, B)
    return frames.ethernet(packet, ethertype, destination=MAC, vlan=vlan)


def test_frame_reaches_its_buffer_and_its_descriptor_tells_its_length(driver: Driver) -> None:
    frame = unicast(b"x" * 100)
    driver.world.nic.receive(frame)
    [(fields, data)] = driver.received(0)
    assert data == frame
    assert (fields["dd"], fields["eop"], fields["length"]) == (1, 1, len(frame))
    assert driver.world.messages.sent == [1]


def test_length_becomes_visible_last_and_the_message_after_it(driver: Driver) -> None:
    memory = driver.world.memory
    memory.stores.clear()
    driver.world.nic.receive(unicast())
    ring = driver.rx_ring(0)
    assert [iova for iova, _ in memory.stores] == [driver.rx_buffer(0, 0), ring, ring + 8]
    assert memory.stores[-1][1] == 8, "status, length and tag in one aligned store"
    kinds = [type(e) for e in driver.world.events if isinstance(e, (events.RxWriteBack, events.InterruptSent))]
    assert kinds == [events.RxWriteBack, events.InterruptSent]


def test_descriptors_not_handed_over_are_never_touched(driver: Driver) -> None:
    before = driver.world.memory.read(driver.rx_ring(0) + 63 * 16, 16)
    for _ in range(70):
        driver.world.nic.receive(unicast())
    assert len(driver.received(0)) == 63
    assert driver.world.memory.read(driver.rx_ring(0) + 63 * 16, 16) == before
    assert driver.get(RDH, 0) == driver.get(RDT, 0) == 63


def test_frames_wait_in_the_packet_buffer_until_descriptors_come_and_keep_their_order(driver: Driver) -> None:
    sent = [unicast(b"%04d" % n + bytes(60)) for n in range(70)]
    for frame in sent:
        driver.world.nic.receive(frame)
    got = [data for _, data in driver.received(0)]
    driver.post(0, 10)
    got += [data for _, data in driver.received(0)]
    assert got == sent
    assert driver.get(RNBC) == 7
    assert driver.get(MPC) == 0


def test_packet_buffer_overflow_counts_missed_frames(driver: Driver) -> None:
    big = unicast(bytes(1400))
    fits = 64 * 1024 // len(big)
    for _ in range(63 + fits + 5):
        driver.world.nic.receive(big)
    assert driver.get(MPC) == 5
    dropped = [e.reason for e in driver.world.events if isinstance(e, events.FrameDropped)]
    assert dropped == ["packet-buffer-full"] * 5


def test_what_waits_when_reception_ends_is_told_as_dropped(driver: Driver) -> None:
    for _ in range(70):
        driver.world.nic.receive(unicast())
    driver.put(RCTL, driver.get(RCTL) & ~RCTL.en.mask)
    dropped = [e.reason for e in driver.world.events if isinstance(e, events.FrameDropped)]
    assert dropped == ["disabled"] * 7


def test_drop_enable_drops_at_once_and_counts_for_the_queue(driver: Driver) -> None:
    driver.put(SRRCTL, 0x8200_0402, 0)
    for _ in range(66):
        driver.world.nic.receive(unicast())
    assert driver.get(RQDPC, 0) == 3
    assert driver.get(RQDPC, 0) == 0, "reading clears"
    assert driver.get(RNBC) == 0


def test_frame_longer_than_rlpml_never_reaches_memory(driver: Driver) -> None:
    driver.world.memory.stores.clear()
    longest = unicast(bytes(1536 - 4 - 42))
    assert len(longest) + 4 == 1536
    driver.world.nic.receive(longest)
    driver.world.nic.receive(longest + b"x")
    assert len(driver.received(0)) == 1
    assert driver.get(ROC) == 1
    driver.put(RLPML, 0x2600)
    driver.world.nic.receive(longest + b"x")
    assert len(driver.received(0)) == 1


def test_long_frame_is_chained_over_full_buffers_with_eop_on_the_last_only(driver: Driver) -> None:
    driver.put(RLPML, 0x2600)
    frame = unicast(bytes(range(256)) * 20)
    driver.world.nic.receive(frame)
    parts = driver.received(0)
    assert [(fields["eop"], fields["length"]) for fields, _ in parts] == [(0, 2048), (0, 2048), (1, len(frame) - 4096)]
    assert b"".join(data for _, data in parts) == frame
    assert parts[0][0]["l4cs"] == 0, "only the last descriptor carries the verdict"
    assert parts[2][0]["l4cs"] == 1


def test_short_frame_is_padded_and_not_counted_as_a_runt(driver: Driver) -> None:
    driver.world.nic.receive(MAC + bytes(6) + b"\x88\xb5hi")
    [(fields, _)] = driver.received(0)
    assert fields["length"] == 60
    assert driver.get(RUC) == 0


@pytest.mark.parametrize(
    ("setting", "destination", "accepted"),
    [
        (0, MAC, True),
        (0, bytes.fromhex("525400000001"), False),
        (RCTL.upe.mask, bytes.fromhex("525400000001"), True),
        (0, b"\xff" * 6, True),
        (0, bytes.fromhex("01005e000001"), False),
        (RCTL.mpe.mask, bytes.fromhex("01005e000001"), True),
        (RCTL.upe.mask, bytes.fromhex("01005e000001"), False),
        (RCTL.mpe.mask, bytes.fromhex("525400000001"), False),
    ],
)
def test_addresses_are_accepted_as_rctl_says(driver: Driver, setting: int, destination: bytes, accepted: bool) -> None:
    driver.put(RCTL, driver.get(RCTL) | setting)
    driver.world.nic.receive(destination + unicast()[6:])
    assert bool(driver.received(0)) is accepted


def test_broadcast_needs_bam(driver: Driver) -> None:
    driver.put(RCTL, driver.get(RCTL) & ~RCTL.bam.mask)
    driver.world.nic.receive(b"\xff" * 6 + unicast()[6:])
    assert driver.received(0) == []


def test_multicast_table_accepts_what_hashes_to_a_set_bit(driver: Driver) -> None:
    group = bytes.fromhex("01005e7f1234")
    value = ((group[5] << 8 | group[4]) >> 4) & 0xFFF
    driver.put(MTA, 1 << (value & 31), value >> 5)
    driver.world.nic.receive(group + unicast()[6:])
    driver.world.nic.receive(bytes.fromhex("01005e7f1235") + unicast()[6:])
    assert len(driver.received(0)) == 1


def test_further_station_address_is_accepted_only_while_valid(driver: Driver) -> None:
    extra = bytes.fromhex("0244556677aa")
    driver.put(RAL, int.from_bytes(extra[:4], "little"), 5)
    driver.put(RAH, int.from_bytes(extra[4:], "little"), 5)
    driver.world.nic.receive(extra + unicast()[6:])
    assert driver.received(0) == []
    driver.put(RAH, int.from_bytes(extra[4:], "little") | 1 << 31, 5)
    driver.world.nic.receive(extra + unicast()[6:])
    assert len(driver.received(0)) == 1


def test_vlan_filter_passes_untagged_and_registered_ids_only(driver: Driver) -> None:
    driver.put(VFTA, 1 << 10, 3)
    for tci in (106, 107):
        driver.world.nic.receive(unicast(vlan=tci))
    [(fields, _)] = driver.received(0)
    assert fields["vlan"] == 106


def test_tag_moves_to_the_descriptor_with_priority_and_leaves_the_frame(driver: Driver) -> None:
    driver.put(VFTA, 1 << 10, 3)
    tagged = unicast(b"y" * 50, vlan=5 << 13 | 106)
    driver.world.nic.receive(tagged)
    [(fields, data)] = driver.received(0)
    assert (fields["vp"], fields["vlan"], data) == (1, 5 << 13 | 106, unicast(b"y" * 50))


def test_tag_stays_in_the_frame_without_vme(driver: Driver) -> None:
    driver.put(VFTA, 1 << 10, 3)
    driver.put(CTRL, driver.get(CTRL) & ~CTRL.vme.mask)
    tagged = unicast(b"y" * 50, vlan=106)
    driver.world.nic.receive(tagged)
    [(fields, data)] = driver.received(0)
    assert (fields["vp"], data) == (0, tagged)


def _rss(driver: Driver, mrqc: int = 0x0037_0002) -> None:
    for n in range(10):
        driver.put(RSSRK, 0x11223344 * (n + 1) & 0xFFFFFFFF, n)
    for n in range(32):
        driver.put(RETA, 0x01000100, n)
    driver.put(MRQC, mrqc)


def test_same_flow_keeps_its_queue_and_flows_spread_over_the_table(driver: Driver) -> None:
    _rss(driver)
    tcp = [
        frames.ethernet(*frames.ip(frames.tcp(b"", A, B, (port, 80)), frames.TCP, A, B), destination=MAC)
        for port in range(5000, 5020)
    ]
    for frame in tcp * 2:
        driver.world.nic.receive(frame)
    queues = [[fields["rss_hash"] for fields, _ in driver.received(q)] for q in (0, 1)]
    assert all(queues), "both queues are used"
    assert not set(queues[0]) & set(queues[1])
    assert all(h & 1 == 0 for h in queues[0])
    assert all(h & 1 == 1 for h in queues[1])
    assert len(set(queues[0] + queues[1])) == 20


def test_udp_ports_are_not_hashed_unless_the_bit_is_set(driver: Driver) -> None:
    for mrqc, different in ((0x0037_0002, 1), (0x0077_0002, 8)):
        _rss(driver, mrqc)
        for port in range(8):
            driver.world.nic.receive(unicast(ports=(port + 1, 7)))
        hashes = {fields["rss_hash"] for q in (0, 1) for fields, _ in driver.received(q)}
        assert len(hashes) == different


def test_frame_that_is_not_ip_has_no_hash_and_queue_zero(driver: Driver) -> None:
    _rss(driver)
    driver.put(RETA, 0x01010101, 0)
    driver.world.nic.receive(MAC + bytes(6) + b"\x88\xb5" + bytes(60))
    [(fields, _)] = driver.received(0)
    assert (fields["rss_type"], fields["rss_hash"]) == (0, 0)


def test_changed_table_takes_effect_with_the_next_frame(driver: Driver) -> None:
    _rss(driver)
    for value, queue in ((0x01010101, 1), (0, 0)):
        for n in range(32):
            driver.put(RETA, value, n)
        driver.world.nic.receive(unicast())
        assert len(driver.received(queue)) == 1


def test_wrong_checksum_is_reported_and_delivered(driver: Driver) -> None:
    good = unicast(b"z" * 40)
    driver.world.nic.receive(good)
    driver.world.nic.receive(good[:-1] + b"!")
    (first, _), (second, _) = driver.received(0)
    assert (first["ipcs"], first["l4cs"], first["l4e"], first["ipe"]) == (1, 1, 0, 0)
    assert (second["ipcs"], second["l4cs"], second["l4e"]) == (1, 1, 1)


def test_udp_without_checksum_gets_no_verdict(driver: Driver) -> None:
    packet = frames.ip(frames.udp(b"q" * 30, A, B, (5, 6), with_checksum=False), frames.UDP, A, B)
    driver.world.nic.receive(frames.ethernet(*packet, destination=MAC))
    [(fields, _)] = driver.received(0)
    assert (fields["l4cs"], fields["udpcs"], fields["ipcs"]) == (0, 0, 1)


def test_nothing_is_received_while_rctl_en_is_off_or_after_reset(driver: Driver) -> None:
    driver.put(RCTL, driver.get(RCTL) & ~RCTL.en.mask)
    driver.world.nic.receive(unicast())
    driver.put(RCTL, driver.get(RCTL) | RCTL.en.mask)
    driver.world.nic.receive(unicast())
    assert len(driver.received(0)) == 1
    driver.put(CTRL, driver.get(CTRL) | CTRL.rst.mask)
    driver.world.clock.advance(10**9)
    driver.world.memory.stores.clear()
    driver.world.nic.receive(unicast())
    assert driver.world.memory.stores == []


def test_counters_count_good_frames_and_clear_on_read(driver: Driver) -> None:
    for _ in range(3):
        driver.world.nic.receive(unicast())
    assert driver.get(GPRC) == 3
    assert driver.get(GPRC) == 0


def test_tail_past_the_ring_end_is_ignored_and_told(driver: Driver) -> None:
    driver.put(RDT, 64, 0)
    assert any("below 64" in e.what for e in driver.world.events if isinstance(e, events.GuestError))
    driver.world.nic.receive(unicast())
    assert len(driver.received(0)) == 1


def test_ring_of_length_zero_takes_nothing_and_hurts_nobody(driver: Driver) -> None:
    driver.put(RXDCTL, 0, 0)
    driver.put(RDLEN, 0, 0)
    driver.put(RXDCTL, RXDCTL.enable.mask, 0)
    driver.put(RDT, 5, 0)
    driver.world.memory.stores.clear()
    driver.world.nic.receive(unicast())
    assert driver.world.memory.stores == []


def test_ring_outside_memory_halts_the_queue_without_an_exception(driver: Driver) -> None:
    driver.put(RXDCTL, 0, 0)
    driver.put(RDBAH, 0xDEAD, 0)
    driver.put(RXDCTL, RXDCTL.enable.mask, 0)
    driver.put(RDT, 5, 0)
    driver.world.nic.receive(unicast())
    assert any("cannot be fetched" in e.what for e in driver.world.events if isinstance(e, events.GuestError))


def test_buffer_outside_memory_is_reported_as_an_errored_frame(driver: Driver) -> None:
    driver.world.memory.write(driver.rx_ring(0), (BASE - 4096).to_bytes(8, "little"))
    driver.world.nic.receive(unicast())
    [raw] = [e.raw for e in driver.world.events if isinstance(e, events.RxWriteBack)]
    assert int.from_bytes(raw[8:], "little") >> 31 & 1


def test_tail_is_not_taken_while_the_queue_is_disabled_and_enabling_resets_the_pointers(driver: Driver) -> None:
    driver.world.nic.receive(unicast())
    driver.put(RXDCTL, 0, 0)
    driver.put(RDT, 17, 0)
    assert driver.get(RDT, 0) != 17
    driver.put(RXDCTL, RXDCTL.enable.mask, 0)
    assert (driver.get(RDH, 0), driver.get(RDT, 0)) == (0, 0)


def test_legacy_descriptor_gets_its_own_layout(driver: Driver) -> None:
    from device_model.igb.spec.descriptors import RxLegacy  # noqa: PLC0415

    driver.put(SRRCTL, 2, 0)
    frame = unicast(b"legacy" * 10)
    driver.world.nic.receive(frame)
    fields = RxLegacy.decode(driver.world.memory.read(driver.rx_ring(0), 16))
    assert (fields["length"], fields["dd"], fields["eop"], fields["l4cs"]) == (len(frame), 1, 1, 1)
    assert fields["address"] == driver.rx_buffer(0, 0)


def test_length_left_out_of_one_slot_stops_the_driver_there_until_it_is_supplied(driver: Driver) -> None:
    nic = driver.world.nic
    nic.faults.apply("receive_write_back", queue=0, mode="zero-length", count=1)
    sent = [unicast(bytes([n]) * 100) for n in range(3)]
    for frame in sent:
        nic.receive(frame)
    assert driver.received(0) == []
    lengths = [d["length"] for d in nic.ring_snapshot("rx", 0)["descriptors"][:3]]
    nic.faults.apply("receive_write_back", queue=0, mode="normal")
    assert [data for _, data in driver.received(0)] == sent
    assert lengths == [0, len(sent[1]), len(sent[2])]
    assert nic.faults.in_force() == {}
