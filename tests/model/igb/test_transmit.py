# SPDX-License-Identifier: BSD-3-Clause
"""The transmit path with a driver stub: assembly, offloads, pace, write-back (82576 7.2)."""

from __future__ import annotations

import pytest

from device_model import events
from device_model.igb.config import Config
from device_model.igb.spec.general import CTRL
from device_model.igb.spec.statistics import GPTC, TSCTC
from device_model.igb.spec.transmit import TCTL, TDBAH, TDH, TDLEN, TDT, TDWBAH, TDWBAL, TXDCTL
from tests.model.packet import frames

from .driver import Driver
from .world import BASE, World

A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
TICK = 1_000_000


@pytest.fixture
def driver() -> Driver:
    driver = Driver(World())
    driver.up()
    return driver


def payload(size: int = 100, seed: int = 1) -> bytes:
    return bytes(12) + b"\x88\xb5" + bytes((seed + n * 7) & 0xFF for n in range(size - 14))


def sent(driver: Driver) -> list[bytes]:
    driver.world.clock.advance(TICK)
    taken, driver.world.cable.frames = driver.world.cable.frames, []
    return taken


def test_packet_leaves_whole_and_only_its_last_descriptor_reports_it(driver: Driver) -> None:
    data = payload(900)
    last = driver.send(0, data, pieces=3)
    assert sent(driver) == [data]
    assert (driver.done(0, last), driver.done(0, last - 1)) == (True, False)
    assert driver.get(TDH, 0) == driver.get(TDT, 0) == 3
    assert driver.world.messages.sent == [3]


def test_nothing_is_sent_inside_the_doorbell_write(driver: Driver) -> None:
    driver.send(0, payload())
    assert driver.world.cable.frames == []


def test_frame_leaves_after_the_time_its_bytes_take_at_the_link_rate(driver: Driver) -> None:
    driver.world.nic.set_rate(10)
    last = driver.send(0, payload(1226))
    driver.world.clock.advance(999_000)
    assert driver.world.cable.frames == []
    assert not driver.done(0, last)
    driver.world.clock.advance(2_000)
    assert len(driver.world.cable.frames) == 1
    assert driver.done(0, last), "1226 + 24 bytes are one millisecond at 10 Mb/s"


def test_back_to_back_frames_leave_at_the_rate_however_late_the_timer_is(driver: Driver) -> None:
    driver.world.nic.set_rate(10)
    for _ in range(10):
        driver.send(0, payload(1226), ring=False)
    driver.doorbell(0)
    driver.world.clock.advance(4_500_000)
    assert len(driver.world.cable.frames) == 4


def test_unlimited_rate_sends_at_once(driver: Driver) -> None:
    driver.world.nic.set_rate("unlimited")
    for _ in range(10):
        driver.send(0, payload(1226), ring=False)
    driver.doorbell(0)
    driver.world.clock.advance(1)
    assert len(driver.world.cable.frames) == 10


def test_short_packet_is_padded_when_tctl_psp_says_so(driver: Driver) -> None:
    driver.send(0, payload(20))
    [frame] = sent(driver)
    assert (len(frame), frame[:20]) == (60, payload(20))
    driver.put(TCTL, TCTL.en.mask)
    driver.send(0, payload(20))
    assert sent(driver) == [payload(20)]


def test_packet_without_ifcs_brings_its_own_fcs(driver: Driver) -> None:
    driver.send(0, payload(80) + b"\xde\xad\xbe\xef", ifcs=0)
    assert sent(driver) == [payload(80)]


def test_vlan_tag_comes_from_the_context_and_needs_vle_and_vme(driver: Driver) -> None:
    driver.send(0, payload(80), context={"vlan": 0xA123, "maclen": 14}, vle=1)
    [frame] = sent(driver)
    assert frame == payload(80)[:12] + b"\x81\x00\xa1\x23" + payload(80)[12:]
    driver.send(0, payload(80), context={"vlan": 0xA123, "maclen": 14})
    assert sent(driver) == [payload(80)]
    driver.put(CTRL, driver.get(CTRL) & ~CTRL.vme.mask)
    driver.send(0, payload(80), context={"vlan": 0xA123, "maclen": 14}, vle=1)
    assert sent(driver) == [payload(80)]


@pytest.mark.parametrize(("protocol", "l4t", "field"), [(frames.UDP, 0, 6), (frames.TCP, 1, 16)])
def test_l4_checksum_is_finished_from_the_seed_in_the_field(
    driver: Driver, protocol: int, l4t: int, field: int
) -> None:
    build = frames.udp if protocol == frames.UDP else frames.tcp
    good = frames.ethernet(*frames.ip(build(b"abc" * 9, A, B, (7, 8)), protocol, A, B))
    l4 = good[34:]
    seed = frames.word_sum(frames.pseudo_header(A, B, protocol, len(l4)))
    seeded = good[: 34 + field] + seed.to_bytes(2, "big") + good[34 + field + 2 :]
    driver.send(0, seeded, context={"maclen": 14, "iplen": 20, "l4t": l4t}, txsm=1)
    [frame] = sent(driver)
    assert frame[: len(good)] == good


def test_sctp_gets_its_crc32c(driver: Driver) -> None:
    good = frames.sctp_frame(b"chunk" * 8, A, B, (7, 8))
    blank = good[:42] + bytes(4) + good[46:]
    driver.send(0, blank, context={"maclen": 14, "iplen": 20, "l4t": 2}, txsm=1)
    assert sent(driver) == [good]


def test_tcp_segmentation_makes_wire_frames_and_one_completion(driver: Driver) -> None:
    data = bytes(n & 0xFF for n in range(4000))
    whole = bytearray(frames.tcp_frame(data, A, B, (7, 8)))
    whole[16:18] = b"\0\0"
    whole[24:26] = b"\0\0"
    whole[50:52] = frames.word_sum(frames.pseudo_header(A, B, frames.TCP, 0)).to_bytes(2, "big")
    last = driver.send(
        0,
        bytes(whole),
        context={"maclen": 14, "iplen": 20, "l4t": 1, "l4len": 20, "mss": 1448, "ipv4": 1},
        tse=1,
        ixsm=1,
        txsm=1,
        paylen=4000,
    )
    out = sent(driver)
    assert [len(frame) - 54 for frame in out] == [1448, 1448, 1104]
    assert b"".join(frame[54:] for frame in out) == data
    assert driver.done(0, last)
    assert driver.get(GPTC) == 3
    assert driver.get(TSCTC) == 1
    for frame in out:
        assert frames.internet_checksum(frame[14:34]) == 0
        length = len(frame) - 34
        assert frames.internet_checksum(frames.pseudo_header(A, B, frames.TCP, length) + frame[34:]) == 0


def test_write_back_threshold_gathers_until_the_queue_is_idle(driver: Driver) -> None:
    driver.put(TXDCTL, 0, 0)
    driver.put(TXDCTL, TXDCTL.enable.mask | 16 << 16, 0)
    driver.tx_tail[0] = 0
    driver.world.nic.set_rate(10)
    slots = [driver.send(0, payload(1226), ring=False) for _ in range(3)]
    driver.doorbell(0)
    driver.world.clock.advance(2_500_000)
    assert [driver.done(0, slot) for slot in slots] == [False] * 3
    driver.world.clock.advance(1_000_000)
    assert [driver.done(0, slot) for slot in slots] == [True] * 3
    assert driver.world.messages.sent == [3]


def test_software_flush_reports_what_the_threshold_keeps_back(driver: Driver) -> None:
    driver.put(TXDCTL, 0, 0)
    driver.put(TXDCTL, TXDCTL.enable.mask | 16 << 16, 0)
    driver.tx_tail[0] = 0
    driver.world.nic.set_rate(10)
    first = driver.send(0, payload(1226), ring=False)
    driver.send(0, payload(1226), ring=False)
    driver.doorbell(0)
    driver.world.clock.advance(1_500_000)
    assert not driver.done(0, first)
    driver.put(TXDCTL, TXDCTL.enable.mask | TXDCTL.swflsh.mask | 16 << 16, 0)
    assert driver.done(0, first)


def test_head_write_back_stores_the_head_and_no_dd(driver: Driver) -> None:
    where = BASE + 0xF000
    driver.put(TDWBAH, where >> 32, 0)
    driver.put(TDWBAL, where & 0xFFFFFFFF | 1, 0)
    slots = [driver.send(0, payload()) for _ in range(3)]
    sent(driver)
    assert int.from_bytes(driver.world.memory.read(where, 4), "little") == 3
    assert not any(driver.done(0, slot) for slot in slots)


def test_withheld_completions_come_back_oldest_first_with_one_message(driver: Driver) -> None:
    driver.world.nic.faults.apply("withhold_completions", queue=0)
    slots = [driver.send(0, payload()) for _ in range(5)]
    assert len(sent(driver)) == 5
    assert driver.world.messages.sent == []
    assert driver.world.nic.faults.apply("release_completions", queue=0, count=2) == {"released": 2}
    assert [driver.done(0, slot) for slot in slots] == [True, True, False, False, False]
    assert driver.world.messages.sent == [3]


def test_payload_is_read_before_dd_and_never_after(driver: Driver) -> None:
    driver.world.clock.advance(1)
    last = driver.send(0, payload())
    sent(driver)
    seen = [e for e in driver.world.events if isinstance(e, (events.DmaRead, events.TxWriteBack))]
    assert isinstance(seen[-1], events.TxWriteBack)
    assert seen[-1].index == last
    assert any(isinstance(e, events.DmaRead) and e.purpose == "tx-payload" for e in seen[:-1])


@pytest.mark.parametrize("how", ["software reset", "queue off", "transmitter off", "function reset"])
def test_work_under_way_is_dropped_when_the_engine_stops(driver: Driver, how: str) -> None:
    from device_model.nic import Reset  # noqa: PLC0415

    driver.world.nic.faults.apply("withhold_completions", queue=0)
    driver.send(0, payload())
    sent(driver)
    driver.world.nic.set_rate(10)
    driver.send(0, payload(1226))
    driver.world.clock.advance(100_000)
    if how == "software reset":
        driver.put(CTRL, driver.get(CTRL) | CTRL.rst.mask)
    elif how == "queue off":
        driver.put(TXDCTL, 0, 0)
    elif how == "transmitter off":
        driver.put(TCTL, 0)
    else:
        driver.world.nic.reset(Reset.FUNCTION_LEVEL)
    driver.world.memory.stores.clear()
    driver.world.nic.faults.apply("release_completions", queue=0)
    assert sent(driver) == []
    assert driver.world.memory.stores == []


def test_queues_take_turns(driver: Driver) -> None:
    driver.world.nic.set_rate(10)
    for n in range(3):
        for q in (0, 1):
            driver.send(q, payload(200, seed=16 * q + n), ring=False)
    driver.doorbell(0)
    driver.doorbell(1)
    order = [frame[14] >> 4 for frame in sent(driver)]
    assert order == [0, 1, 0, 1, 0]


def test_packet_not_wholly_handed_over_waits(driver: Driver) -> None:
    data = payload(900)
    driver.send(0, data, pieces=3, ring=False)
    driver.put(TDT, 2, 0)
    assert sent(driver) == []
    driver.put(TDT, 3, 0)
    assert sent(driver) == [data]


def test_link_down_keeps_packets_until_it_is_up_again(driver: Driver) -> None:
    driver.world.nic.connect(None)
    driver.send(0, payload())
    assert sent(driver) == []
    driver.world.nic.connect(Config().partner)
    driver.world.clock.advance(10**9)
    assert sent(driver) == [payload()]


def test_legacy_descriptor_sends_with_checksum_offset(driver: Driver) -> None:
    good = frames.udp_frame(b"l" * 40, A, B, (7, 8))
    seed = frames.word_sum(frames.pseudo_header(A, B, frames.UDP, len(good) - 34))
    seeded = good[:40] + seed.to_bytes(2, "big") + good[42:]
    from device_model.igb.spec.descriptors import TxLegacy  # noqa: PLC0415

    driver.world.memory.write(BASE + 0x80000, seeded)
    raw = TxLegacy.encode(address=BASE + 0x80000, length=len(seeded), cso=40, css=34, eop=1, ifcs=1, ic=1, rs=1)
    driver.world.memory.write(driver.tx_ring(0), raw)
    driver.put(TDT, 1, 0)
    assert sent(driver) == [good]
    assert driver.done(0, 0)


def test_buffer_outside_memory_drops_the_packet_but_completes_it(driver: Driver) -> None:
    from device_model.igb.spec.descriptors import TxData  # noqa: PLC0415

    raw = TxData.encode(address=BASE - 4096, dtalen=100, dtyp=3, dext=1, eop=1, ifcs=1, rs=1, paylen=100)
    driver.world.memory.write(driver.tx_ring(0), raw)
    driver.put(TDT, 1, 0)
    assert sent(driver) == []
    assert driver.done(0, 0)
    assert any("cannot be read" in e.what for e in driver.world.events if isinstance(e, events.GuestError))


def test_ring_outside_memory_and_ring_of_length_zero_send_nothing(driver: Driver) -> None:
    driver.put(TXDCTL, 0, 0)
    driver.put(TDBAH, 0xDEAD, 0)
    driver.put(TXDCTL, TXDCTL.enable.mask, 0)
    driver.put(TDT, 3, 0)
    assert sent(driver) == []
    driver.put(TXDCTL, 0, 1)
    driver.put(TDLEN, 0, 1)
    driver.put(TXDCTL, TXDCTL.enable.mask, 1)
    driver.put(TDT, 3, 1)
    assert sent(driver) == []


def test_endless_chain_is_cut_off_and_the_queue_goes_on(driver: Driver) -> None:
    from device_model.igb.spec.descriptors import TxData  # noqa: PLC0415

    for n in range(20):
        eop = int(n == 19)
        raw = TxData.encode(address=BASE + 0x20000, dtalen=0xFFFF, dtyp=3, dext=1, eop=eop, ifcs=1, rs=eop)
        driver.world.memory.write(driver.tx_ring(0) + n * 16, raw)
    driver.put(TDT, 20, 0)
    assert sent(driver) == []
    assert driver.done(0, 19)
    driver.tx_tail[0] = 20
    driver.send(0, payload())
    assert sent(driver) == [payload()]


def test_segmentation_into_absurdly_many_frames_is_refused(driver: Driver) -> None:
    whole = frames.tcp_frame(bytes(4097), A, B, (7, 8))
    context = {"maclen": 14, "iplen": 20, "l4t": 1, "l4len": 20, "mss": 1, "ipv4": 1}
    last = driver.send(0, whole, context=context, tse=1, paylen=4097)
    assert sent(driver) == []
    assert driver.done(0, last)
