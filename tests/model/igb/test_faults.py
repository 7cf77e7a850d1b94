# SPDX-License-Identifier: BSD-3-Clause
"""Deliberate faults: each does what it says and no more, and `clear` heals the card."""

from __future__ import annotations

from typing import Any

import pytest

from device_model.igb.config import Config
from device_model.igb.faults import COMMANDS
from device_model.igb.spec.general import CTRL, STATUS
from device_model.igb.spec.interrupts import EICR, EICS, EIMS, EITR, ICS, IMC, IMS
from device_model.igb.spec.receive import RCTL
from device_model.igb.spec.statistics import GPTC
from device_model.igb.spec.timesync import TSYNCTXCTL
from device_model.igb.spec.transmit import TDH
from tests.model.packet import frames

from .driver import Driver
from .linux import Linux
from .world import World

A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
MAC = Config().mac
MS = 1_000_000


@pytest.fixture
def driver() -> Driver:
    driver = Driver(World())
    driver.up()
    return driver


def fault(driver: Driver, name: str, **arguments: Any) -> dict[str, Any]:
    return driver.world.nic.faults.apply(name, **arguments)


def udp(payload: bytes = b"hello, card") -> bytes:
    return frames.ethernet(
        *frames.ip(frames.udp(payload, A, B, (1111, 2222)), frames.UDP, A, B), destination=MAC, pad_to=60
    )


def arrive(driver: Driver) -> list[int]:
    """Let a frame come; return the messages that this causes, and unmask what they masked."""
    driver.world.messages.sent.clear()
    driver.world.nic.receive(udp())
    sent = list(driver.world.messages.sent)
    driver.put(EIMS, 0x1F)
    return sent


def received(driver: Driver) -> dict[str, int]:
    driver.world.nic.receive(udp())
    [(fields, _)] = driver.received(0)
    return fields


def leave(driver: Driver, *, stamp: bool = False) -> tuple[list[bytes], bool]:
    """Send one packet; return what came out on the wire, and whether the packet's slot has DD."""
    driver.world.cable.frames.clear()
    last = driver.send(0, udp(), mac_ts=int(stamp))
    driver.world.clock.advance(MS)
    return list(driver.world.cable.frames), driver.done(0, last)


# -- interrupts: F1 to F5, F17, F19 ---------------------------------------------------------------------------


def test_f1_held_messages_wait_and_release_sends_one(driver: Driver) -> None:
    fault(driver, "hold_interrupts", vector=1)
    assert [arrive(driver), arrive(driver)] == [[], []]
    driver.world.messages.sent.clear()
    driver.send(0, udp())
    driver.world.clock.advance(MS)
    assert driver.world.messages.sent == [3], "other vectors go on"
    fault(driver, "release_interrupts", vector=1)
    assert driver.world.messages.sent == [3, 1]


@pytest.mark.parametrize(("when", "armed"), [("before-mask", True), ("after-mask", False)])
def test_f2_lost_messages_leave_the_vector_armed_or_masked(driver: Driver, when: str, armed: bool) -> None:
    fault(driver, "drop_interrupts", vector=1, count=2, when=when)
    for _ in range(2):
        driver.put(EIMS, 2)
        driver.world.nic.receive(udp())
        assert bool(driver.get(EIMS) & 2) is armed
    assert driver.world.messages.sent == []
    assert driver.world.nic.faults.in_force() == {}, "spent"
    driver.put(EIMS, 2)
    assert arrive(driver) == [1]


def test_f3_one_message_is_sent_several_times(driver: Driver) -> None:
    fault(driver, "duplicate_interrupts", vector=1, count=2)
    assert [arrive(driver), arrive(driver)] == [[1, 1, 1], [1]]


def test_f4_a_message_without_a_cause(driver: Driver) -> None:
    before = driver.get(EICR), driver.get(EIMS)
    fault(driver, "spurious_interrupt", vector=4)
    assert driver.world.messages.sent == [4]
    assert (driver.get(EICR), driver.get(EIMS)) == before


def test_f5_messages_mask_nothing(driver: Driver) -> None:
    fault(driver, "no_auto_mask", on=True)
    for _ in range(3):
        driver.world.nic.receive(udp())
    assert driver.world.messages.sent == [1, 1, 1]
    fault(driver, "no_auto_mask", on=False)
    driver.world.nic.receive(udp())
    driver.world.nic.receive(udp())
    assert driver.world.messages.sent == [1, 1, 1, 1]


def test_f17_software_causes_nothing(driver: Driver) -> None:
    driver.put(IMC, 0xFFFFFFFF)
    fault(driver, "ignore_eics", on=True)
    driver.put(EICS, 2)
    driver.put(IMS, 1 << 4)
    driver.put(ICS, 1 << 4)
    assert (driver.world.messages.sent, driver.get(EICR)) == ([], 0)
    assert arrive(driver) == [1], "the hardware's own causes still count"
    fault(driver, "ignore_eics", on=False)
    driver.put(EICS, 2)
    assert driver.world.messages.sent == [1, 1]


def test_f19_messages_follow_one_another_at_once(driver: Driver) -> None:
    driver.put(EITR, 1000 << 2 | 1 << 31, 1)
    assert [arrive(driver), arrive(driver)] == [[1], []]
    fault(driver, "ignore_eitr", on=True)
    assert [arrive(driver), arrive(driver)] == [[1], [1]]


# -- transmit: F6 to F8, F12, F20, F21 --------------------------------------------------------------------------


def test_f6_completions_are_withheld_and_released_in_parts(driver: Driver) -> None:
    fault(driver, "withhold_completions", queue=0)
    slots = [driver.send(0, udp()) for _ in range(4)]
    driver.world.clock.advance(MS)
    assert len(driver.world.cable.frames) == 4
    assert [driver.done(0, slot) for slot in slots] == [False] * 4
    assert fault(driver, "release_completions", queue=0, count=3) == {"released": 3}
    assert [driver.done(0, slot) for slot in slots] == [True, True, True, False]
    assert driver.world.messages.sent == [3]
    assert fault(driver, "release_completions", queue=0) == {"released": 1}
    assert leave(driver) == ([udp()], True), "without a count it withholds no more"


def test_f7_any_slot_can_be_completed(driver: Driver) -> None:
    fault(driver, "complete_out_of_order", queue=0, index=9)
    assert [driver.done(0, slot) for slot in (8, 9, 10)] == [False, True, False]
    assert driver.world.messages.sent == [3]


def test_f8_nothing_leaves_but_everything_completes(driver: Driver) -> None:
    fault(driver, "transmit_nothing", on=True)
    assert leave(driver) == ([], True)
    assert (driver.get(TDH, 0), driver.get(GPTC)) == (1, 0)
    fault(driver, "transmit_nothing", on=False)
    assert leave(driver) == ([udp()], True)


def test_f24_the_work_is_done_within_the_write_of_the_tail(driver: Driver) -> None:
    driver.world.nic.transmitter.rate_mbps = 0
    driver.send(0, udp())
    assert driver.world.cable.frames == []
    driver.world.clock.advance(MS)
    driver.world.cable.frames.clear()
    fault(driver, "prompt_doorbells", on=True)
    last = driver.send(0, udp())
    assert (driver.world.cable.frames, driver.done(0, last)) == ([udp()], True)
    fault(driver, "prompt_doorbells", on=False)
    assert not driver.done(0, driver.send(0, udp()))


def test_f12_status_shows_that_transmission_is_off(driver: Driver) -> None:
    fault(driver, "tx_off", on=True)
    assert driver.get(STATUS) & STATUS.txoff.mask
    fault(driver, "tx_off", on=False)
    assert not driver.get(STATUS) & STATUS.txoff.mask


def test_f20_transmit_stamps_never_become_valid(driver: Driver) -> None:
    driver.put(TSYNCTXCTL, 0x10)
    fault(driver, "no_tx_timestamp", on=True)
    assert leave(driver, stamp=True) == ([udp()], True)
    assert not driver.get(TSYNCTXCTL) & 1
    fault(driver, "no_tx_timestamp", on=False)
    leave(driver, stamp=True)
    assert driver.get(TSYNCTXCTL) & 1


def test_f21_looped_frames_come_back_spoilt_and_others_leave_whole(driver: Driver) -> None:
    fault(driver, "corrupt_loopback", on=True)
    assert leave(driver) == ([udp()], True)
    driver.put(RCTL, driver.get(RCTL) | 1 << 6)
    leave(driver)
    [(_, data)] = driver.received(0)
    assert sum(a != b for a, b in zip(data, udp(), strict=True)) == 1


# -- receive: F9 to F11, F22 ------------------------------------------------------------------------------------


def test_f9_lengths_are_left_out_and_supplied_later(driver: Driver) -> None:
    fault(driver, "receive_write_back", queue=0, mode="zero-length")
    for _ in range(2):
        driver.world.nic.receive(udp())
    memory, ring = driver.world.memory, driver.rx_ring(0)
    for slot in range(2):
        assert (memory.read(ring + slot * 16 + 8, 1)[0] & 1, memory.read(ring + slot * 16 + 12, 2)) == (1, b"\0\0")
    assert driver.received(0) == []
    for _ in range(2):
        driver.put(EIMS, 0x1F)
    driver.world.messages.sent.clear()
    fault(driver, "receive_write_back", queue=0, mode="normal")
    assert [data for _, data in driver.received(0)] == [udp(), udp()]
    assert driver.world.messages.sent == [1]
    driver.world.nic.receive(udp())
    assert len(driver.received(0)) == 1


def test_f9_error_bits_are_reported(driver: Driver) -> None:
    fault(driver, "receive_errors", bits=1 << 31 | 1 << 24)
    fields = received(driver)
    assert (fields["rxe"], fields["ce"], fields["l4e"], fields["l4cs"]) == (1, 1, 0, 1)
    fault(driver, "receive_errors", bits=0)
    assert received(driver)["rxe"] == 0


def test_f10_another_hash_queue_and_type_are_reported(driver: Driver) -> None:
    fault(driver, "force_rss", rss_hash=0xDEADBEEF, queue=1, rss_type=3)
    driver.world.nic.receive(udp())
    assert driver.received(0) == []
    [(fields, _)] = driver.received(1)
    assert (fields["rss_hash"], fields["rss_type"]) == (0xDEADBEEF, 3)
    fault(driver, "force_rss", rss_type=5)
    fields = received(driver)
    assert (fields["rss_hash"], fields["rss_type"]) == (0, 5), "what is not forced is computed"
    fault(driver, "force_rss")
    assert received(driver)["rss_type"] == 0


def test_f11_another_verdict_is_reported(driver: Driver) -> None:
    fault(driver, "force_checksum", flags=1 << 6 | 1 << 30)
    fields = received(driver)
    assert (fields["ipcs"], fields["ipe"], fields["l4cs"], fields["dd"], fields["eop"]) == (1, 1, 0, 1, 1)
    fault(driver, "force_checksum")
    assert received(driver)["l4cs"] == 1


def test_f22_an_old_descriptor_is_written_once_more_behind_the_head(driver: Driver) -> None:
    driver.world.nic.receive(udp())
    driver.received(0)
    driver.put(EIMS, 0x1F)
    fault(driver, "stale_descriptor", queue=0)
    [(fields, _)] = driver.received(0)
    assert fields["length"] == len(udp())
    assert driver.world.messages.sent == [1, 1]


# -- the whole card: F15, F16 -----------------------------------------------------------------------------------


def test_f15_every_register_reads_as_all_ones_and_no_write_arrives(driver: Driver) -> None:
    fault(driver, "read_all_ones", on=True)
    assert {driver.get(CTRL), driver.get(STATUS), driver.world.read(0x8000)} == {0xFFFFFFFF}
    driver.put(RCTL, 0)
    fault(driver, "read_all_ones", on=False)
    assert driver.get(RCTL) & RCTL.en.mask
    assert driver.get(STATUS) != 0xFFFFFFFF


def test_f16_the_eeprom_checksum_is_wrong(driver: Driver) -> None:
    def total() -> int:
        return sum(Linux(driver.world.read, driver.world.write).eerd(word) for word in range(0x40)) & 0xFFFF

    assert total() == 0xBABA
    fault(driver, "bad_nvm_checksum", on=True)
    assert total() != 0xBABA
    fault(driver, "bad_nvm_checksum", on=False)
    assert total() == 0xBABA


# -- clear, and what is in force ------------------------------------------------------------------------------------

LASTING: dict[str, dict[str, Any]] = {
    "hold_interrupts": {"vector": 1},
    "drop_interrupts": {"vector": 1},
    "duplicate_interrupts": {"vector": 1},
    "no_auto_mask": {"on": True},
    "withhold_completions": {"queue": 0},
    "transmit_nothing": {"on": True},
    "receive_write_back": {"queue": 0, "mode": "zero-length"},
    "receive_errors": {"bits": 1 << 31},
    "force_rss": {"queue": 1},
    "force_checksum": {"flags": 1 << 30},
    "prompt_doorbells": {"on": True},
    "tx_off": {"on": True},
    "read_all_ones": {"on": True},
    "bad_nvm_checksum": {"on": True},
    "ignore_eics": {"on": True},
    "ignore_eitr": {"on": True},
    "no_tx_timestamp": {"on": True},
    "corrupt_loopback": {"on": True},
    "stuck_bits": {"offset": STATUS.at, "mask": STATUS.lu.mask},
}


def account(driver: Driver) -> list[object]:
    """What a driver sees of a card that does everything once."""
    eerd = Linux(driver.world.read, driver.world.write).eerd
    driver.put(EITR, 500 << 2 | 1 << 31, 1)
    out: list[object] = [arrive(driver), arrive(driver), leave(driver, stamp=True), driver.get(STATUS)]
    out += [sum(eerd(word) for word in range(0x40)) & 0xFFFF, driver.get(TSYNCTXCTL)]
    driver.put(EICS, 4)
    driver.put(EICS, 4)
    out += [list(driver.world.messages.sent), driver.get(EIMS)]
    driver.put(EIMS, 0x1F)
    driver.put(RCTL, driver.get(RCTL) | 1 << 6)
    leave(driver)
    got = [*driver.received(0), *driver.received(1)]
    driver.world.nic.transmitter.rate_mbps = 0
    out.append(driver.done(0, driver.send(0, udp())))
    return [*out, *((fields["l4cs"], fields["ipe"], fields["rxe"], data) for fields, data in got)]


@pytest.mark.parametrize("name", LASTING)
def test_clear_heals_and_what_is_in_force_is_told(driver: Driver, name: str) -> None:
    healthy = Driver(World())
    healthy.up()
    fault(driver, name, **LASTING[name])
    assert driver.world.nic.faults.in_force()
    fault(driver, "clear")
    assert driver.world.nic.faults.in_force() == {}
    for each in (healthy, driver):
        each.put(TSYNCTXCTL, 0x10)
    assert account(driver) == account(healthy)


@pytest.mark.parametrize("name", sorted(set(LASTING) - {"hold_interrupts", "bad_nvm_checksum", "read_all_ones"}))
def test_the_account_that_clear_is_judged_by_is_no_blind_one(driver: Driver, name: str) -> None:
    healthy = Driver(World())
    healthy.up()
    fault(driver, name, **LASTING[name])
    for each in (healthy, driver):
        each.put(TSYNCTXCTL, 0x10)
    assert account(driver) != account(healthy)


def test_clear_releases_what_was_withheld(driver: Driver) -> None:
    fault(driver, "hold_interrupts", vector=1)
    fault(driver, "withhold_completions", queue=0)
    fault(driver, "receive_write_back", queue=0, mode="zero-length")
    assert arrive(driver) == []
    assert leave(driver) == ([udp()], False)
    fault(driver, "clear")
    assert driver.done(0, 0)
    assert len(driver.received(0)) == 1
    assert sorted(driver.world.messages.sent) == [1, 3]


def test_every_command_is_tested_here() -> None:
    momentary = {
        "release_interrupts", "spurious_interrupt", "release_completions", "complete_out_of_order",
        "stale_descriptor", "clear",
    }  # fmt: skip
    assert set(COMMANDS) == set(LASTING) | momentary
