# SPDX-License-Identifier: BSD-3-Clause
"""Where QEMU 10.0's own igb departs from the 82576 data sheet or from what Linux igb relies on: here it must not.

One test or more for each known departure, in the order of a review of QEMU's igb_core.c; the numbers are that
review's; 13 to 25 are in test_deviations_rings.py, 17 in test_flow_control.py too. Virtual functions (10 and 20) are
not part of this card.
"""

from __future__ import annotations

import pytest

from device_model.igb.config import Config
from device_model.igb.spec.interrupts import (
    EIAC,
    EIAM,
    EICR,
    EICS,
    EIMC,
    EIMS,
    EITR,
    GPIE,
    ICR,
    ICS,
    IMC,
    IMS,
    IVAR_MISC,
)
from device_model.igb.spec.receive import RQDPC, SRRCTL
from device_model.igb.spec.statistics import MPC, RNBC, RUC
from device_model.igb.spec.timesync import RXSATRH, RXSTMPH, RXSTMPL, TIMINCA, TSYNCRXCTL
from device_model.ports import InterruptMode
from tests.model.packet import frames

from .driver import Driver
from .linux import Linux
from .world import World

A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
MAC = Config().mac
US, MS = 1_000, 1_000_000


@pytest.fixture
def driver() -> Driver:
    driver = Driver(World())
    driver.up()
    return driver


def udp(payload: bytes = b"hello, card", ports: tuple[int, int] = (1111, 2222)) -> bytes:
    return frames.ethernet(*frames.ip(frames.udp(payload, A, B, ports), frames.UDP, A, B), destination=MAC)


def plain(size: int, seed: int = 1) -> bytes:
    return bytes(12) + b"\x88\xb5" + bytes((seed + n * 7) & 0xFF for n in range(size - 14))


# -- 1 to 3: moderation and automatic masking ---------------------------------------------------------------


def test_1_interval_is_in_microseconds_and_starts_anew_with_each_message(driver: Driver) -> None:
    """648, what igb writes at first, is 162 us: field 14:2 counts microseconds (82576 8.8)."""
    sent = driver.world.messages.sent
    driver.put(EITR, 648 | 1 << 31, 1)
    for expected in (1, 2, 3):
        driver.world.nic.receive(udp())
        driver.put(EIMS, 2)
        driver.world.clock.advance(161 * US)
        assert len(sent) == expected
        driver.world.clock.advance(1 * US)
        if expected == 1:
            driver.world.nic.receive(udp())
            driver.put(EIMS, 2)
            assert len(sent) == 2, "the counter has run out: at once"
            sent.pop()
            driver.world.clock.advance(162 * US)


def test_1_expiry_sends_only_what_is_pending_and_unmasked(driver: Driver) -> None:
    driver.put(EITR, 648 | 1 << 31, 1)
    driver.world.nic.receive(udp())
    driver.put(EIMS, 2)
    driver.world.clock.advance(10 * MS)
    assert driver.world.messages.sent == [1], "no cause, no message"
    driver.world.nic.receive(udp())
    driver.world.nic.receive(udp())
    driver.world.clock.advance(10 * MS)
    assert driver.world.messages.sent == [1, 1], "EIAM has masked the vector: the second event waits for EIMS"


def test_1_counter_can_be_read_and_cnt_ingr_is_never_stored(driver: Driver) -> None:
    driver.put(EITR, 4000 << 2 | 1 << 31, 1)
    driver.world.nic.receive(udp())
    driver.world.clock.advance(1000 * US)
    value = driver.get(EITR, 1)
    assert EITR.interval.of(value) == 4000
    assert EITR.counter.of(value) == 3000 >> 2
    assert not value >> 31


def test_2_sending_a_message_masks_its_vector_and_eiam_is_no_sticky_register(driver: Driver) -> None:
    driver.world.nic.receive(udp())
    driver.world.nic.receive(udp())
    assert driver.world.messages.sent == [1]
    for value in (0x1FFFFFF, 0x15, 0):
        driver.put(EIAM, value)
        assert driver.get(EIAM) == value


@pytest.mark.parametrize("gpie", [0, 0x11, 0xC0000011])
def test_3_eiac_can_be_cleared_in_every_mode(driver: Driver, gpie: int) -> None:
    driver.put(GPIE, gpie)
    for value in (0x1FFFFFF, 0x2A, 0):
        driver.put(EIAC, value)
        assert driver.get(EIAC) == value


# -- 4 and 5: time stamps -------------------------------------------------------------------------------------


def ptp(message_type: int, ports: tuple[int, int] | None = None, *, version: int = 2, control: int = 0) -> bytes:
    message = bytearray(bytes([message_type, version]) + bytes(42))
    message[20:30] = bytes(range(0x20, 0x2A))
    message[30:32] = b"\x12\x34"
    message[32] = control
    if ports:
        return udp(bytes(message), ports)
    return frames.ethernet(bytes(message), 0x88F7, destination=MAC)


def stamped(driver: Driver, frame: bytes) -> bool:
    driver.world.nic.receive(frame)
    driver.get(RXSTMPH)
    [(fields, _)] = driver.received(0)
    return bool(fields["ts"])


def test_4_only_the_stamp_itself_frees_the_latch(driver: Driver) -> None:
    driver.put(TSYNCRXCTL, 0x10 | 5 << 1)
    driver.world.nic.receive(ptp(0))
    assert RXSATRH.sequence_id.of(driver.get(RXSATRH)) == 0x1234
    assert driver.get(TSYNCRXCTL) & 1
    driver.get(RXSTMPH)
    assert not driver.get(TSYNCRXCTL) & 1


@pytest.mark.parametrize(
    ("kind", "config", "frame", "expected"),
    [
        (5, 0, ptp(1), True),
        (5, 0, ptp(3, (319, 9000)), True),
        (5, 0, ptp(3, (9000, 319)), True),
        (5, 0, ptp(8), False),
        (5, 0, ptp(0, version=1), False),
        (0, 0x0100, ptp(1), True),
        (0, 0x0100, ptp(0), False),
        (0, 0x0100, ptp(1, (9000, 319)), False),
        (2, 0x0100, ptp(1, (9000, 319)), True),
        (2, 0x0100, ptp(1), True),
        (1, 0x0001, ptp(1, (9000, 319), version=1, control=1), True),
        (1, 0x0001, ptp(1, (9000, 319), version=1, control=0), False),
        (1, 0x0001, ptp(1, version=1, control=1), False),
        (3, 0x0000, ptp(0), False),
    ],
)
def test_5_the_type_field_decides_which_messages_are_stamped(
    driver: Driver, kind: int, config: int, frame: bytes, expected: bool
) -> None:
    driver.put(TSYNCRXCTL, 0x10 | kind << 1)
    driver.world.write(0x5F50, config)
    assert stamped(driver, frame) is expected


def test_5_nothing_is_stamped_while_disabled_or_while_a_stamp_waits(driver: Driver) -> None:
    driver.put(TSYNCRXCTL, 5 << 1)
    assert not stamped(driver, ptp(0))
    driver.put(TSYNCRXCTL, 0x10 | 5 << 1)
    driver.put(TIMINCA, 0x01000001)
    driver.world.nic.receive(ptp(0))
    first = driver.get(RXSTMPL)
    driver.world.clock.advance(MS)
    driver.world.nic.receive(ptp(0))
    assert driver.get(RXSTMPL) == first
    assert [fields["ts"] for fields, _ in driver.received(0)] == [1, 0]


# -- 6 and 7: write-back order and short frames -----------------------------------------------------------------


def test_6_the_second_quadword_is_one_store_and_the_last(driver: Driver) -> None:
    driver.world.memory.stores.clear()
    driver.world.nic.receive(udp())
    ring = driver.rx_ring(0)
    assert driver.world.memory.stores[1:] == [(ring, 8), (ring + 8, 8)]


@pytest.mark.parametrize("length", [14, 42, 59])
def test_7_a_short_frame_is_no_runt(driver: Driver, length: int) -> None:
    """On a virtual wire nobody has padded it yet; RUC would show up in rx_errors (Linux igb_update_stats)."""
    driver.world.nic.receive((MAC + bytes(6) + b"\x88\xb5" + bytes(46))[:length])
    [(fields, _)] = driver.received(0)
    assert (fields["length"], driver.get(RUC)) == (60, 0)


# -- 8 and 9: EEPROM and drop counters --------------------------------------------------------------------------


def test_8_ethtool_can_write_the_eeprom_over_the_spi_lines() -> None:
    world = World()
    linux = Linux(world.read, world.write)
    linux.write_words(0x10, [0x1234, 0xABCD], address_bits=8, page_bytes=8)
    assert [linux.eerd(word) for word in (0x10, 0x11)] == [0x1234, 0xABCD]


def test_9_frames_without_a_descriptor_are_counted_by_policy(driver: Driver) -> None:
    """DROP_EN: the queue's counter. Otherwise the packet buffer, RNBC, and MPC with ICR.RXO when that is full."""
    driver.put(SRRCTL, 0x82000402, 0)
    for _ in range(63 + 4):
        driver.world.nic.receive(udp())
    assert [driver.get(reg) for reg in (RQDPC, RNBC, MPC)] == [4, 0, 0]
    driver.put(SRRCTL, 0x02000402, 0)
    big = udp(bytes(1400))
    for _ in range(65536 // len(big) + 2):
        driver.world.nic.receive(big)
    assert driver.get(RQDPC) == 0
    assert driver.get(RNBC) == 65536 // len(big) + 2
    assert driver.get(MPC) == 2
    assert driver.get(ICS) & 1 << 6


# -- 11 and 12: where causes go, and what can be read ------------------------------------------------------------


@pytest.mark.parametrize("position", [2, 28, 30])
def test_11_reset_asserted_and_all_other_causes_take_the_other_entry(driver: Driver, position: int) -> None:
    """igb_configure_msix leaves byte 0 of IVAR_MISC, the TCP timer's, invalid; byte 1 carries all the rest."""
    driver.put(IVAR_MISC, 0x8485)
    driver.put(IMS, 1 << position)
    driver.put(ICS, 1 << position)
    assert driver.world.messages.sent == [4]


def test_11_the_tcp_timer_takes_its_own_entry(driver: Driver) -> None:
    driver.put(IVAR_MISC, 0x8483)
    driver.put(IMS, 1 << 29)
    driver.put(ICS, 1 << 29)
    assert driver.world.messages.sent == [3]


def test_12_set_and_clear_registers_read_as_what_they_act_on_without_side_effects(driver: Driver) -> None:
    """igb_get_regs (ethtool -d) reads ICS, EICS, IMC and EIMC instead of ICR and EICR."""
    driver.put(EIMC, 1 << 3)
    driver.put(EICS, 1 << 3)
    driver.put(IMC, 0xFFFFFFFF)
    driver.get(ICR)
    driver.put(ICS, 1 << 4)
    driver.put(IMS, 1 << 2)
    for _ in range(2):
        assert driver.get(ICS) == 1 << 4
        assert driver.get(IMC) == driver.get(IMS) == 1 << 2
        assert driver.get(EICS) == 1 << 3
        assert driver.get(EIMC) == driver.get(EIMS) == 0x17


def test_12_reading_eicr_clears_it_only_with_one_vector(driver: Driver) -> None:
    driver.put(EIMC, 1 << 3)
    driver.put(EICS, 1 << 3)
    assert [driver.get(EICR), driver.get(EICR)] == [1 << 3, 1 << 3]
    driver.put(GPIE, 0)
    assert [driver.get(EICR), driver.get(EICR)] == [1 << 3, 0]


def test_12_interrupt_asserted_means_an_unmasked_cause() -> None:
    """igb_intr returns IRQ_NONE on a shared line unless ICR bit 31 is set: masked causes must not claim it."""
    driver = Driver(World(InterruptMode.INTX))
    driver.put(IMC, 0xFFFFFFFF)
    driver.put(ICR, 0xFFFFFFFF)
    driver.put(IMS, 1 << 2)
    driver.put(ICS, 1 << 4)
    assert driver.get(ICR) == 1 << 4
    driver.put(ICS, 1 << 2)
    assert driver.get(ICR) == 1 << 31 | 1 << 4 | 1 << 2
