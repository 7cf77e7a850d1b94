# SPDX-License-Identifier: BSD-3-Clause
"""The counters: what counts as what, and how reading clears."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.igb.spec import REGISTERS
from device_model.igb.spec import statistics as spec
from device_model.igb.statistics import PAIRS, Statistics
from device_model.regfile import RegisterFile

from .driver import Driver
from .world import World

UNICAST, MULTICAST, BROADCAST = b"\x02\1\2\3\4\5", b"\x33\x33\0\0\0\1", b"\xff" * 6
GORCL, GORCH, GOTCL, GOTCH = 0x4088, 0x408C, 0x4090, 0x4094
SIZES = ("64", "127", "255", "511", "1023", "1522")
MOST = 0xFFFF_FFFF


class Bench:
    def __init__(self) -> None:
        self.regs = RegisterFile(REGISTERS)
        self.statistics = Statistics(self.regs)

    def moved(self) -> dict[str, int]:
        """Return the counters that are not zero."""
        names = {reg.__name__ for reg in REGISTERS if reg.section == "8.18"}
        return {
            name: value for name, value in self.regs.snapshot().items() if value and name.partition("[")[0] in names
        }


@pytest.fixture
def bench() -> Bench:
    return Bench()


def frame(destination: bytes, length: int) -> bytes:
    """A frame of ``length`` bytes on the wire, FCS included; passed without it."""
    return destination + bytes(length - 4 - len(destination))


# -- what counts as what -------------------------------------------------------------------------------


def test_a_received_unicast_frame(bench: Bench) -> None:
    bench.statistics.arrived(frame(UNICAST, 300))
    bench.statistics.received(frame(UNICAST, 300))
    assert bench.moved() == {
        "GPRC": 1,
        "PRC511": 1,
        "GORCL": 300,
        "TPR": 1,
        "TORL": 300,
        "RPTHC": 1,
        "HGORCL": 300,
    }


def test_a_transmitted_unicast_frame(bench: Bench) -> None:
    bench.statistics.transmitted(frame(UNICAST, 300))
    assert bench.moved() == {
        "GPTC": 1,
        "PTC511": 1,
        "GOTCL": 300,
        "TPT": 1,
        "TOTL": 300,
        "HGPTC": 1,
        "HGOTCL": 300,
    }


def test_multicast_counts_exclude_broadcast(bench: Bench) -> None:
    for destination, many in ((UNICAST, 1), (MULTICAST, 2), (BROADCAST, 3)):
        for _ in range(many):
            bench.statistics.received(frame(destination, 64))
    for destination, many in ((UNICAST, 4), (MULTICAST, 5), (BROADCAST, 6)):
        for _ in range(many):
            bench.statistics.transmitted(frame(destination, 64))
    moved = bench.moved()
    assert (moved["GPRC"], moved["MPRC"], moved["BPRC"]) == (6, 2, 3)
    assert (moved["GPTC"], moved["MPTC"], moved["BPTC"]) == (15, 5, 6)


@pytest.mark.parametrize(
    ("length", "size"),
    [
        (64, "64"),
        (65, "127"),
        (127, "127"),
        (128, "255"),
        (255, "255"),
        (256, "511"),
        (511, "511"),
        (512, "1023"),
        (1023, "1023"),
        (1024, "1522"),
        (1522, "1522"),
        (9728, "1522"),
    ],
)
def test_sizes_include_the_fcs(bench: Bench, length: int, size: str) -> None:
    bench.statistics.received(frame(UNICAST, length))
    bench.statistics.transmitted(frame(UNICAST, length))
    moved = bench.moved()
    assert [s for s in SIZES if f"PRC{s}" in moved] == [size]
    assert [s for s in SIZES if f"PTC{s}" in moved] == [size]
    assert (moved["GORCL"], moved["GOTCL"]) == (length, length)


def test_a_frame_that_the_filters_refuse_counts_only_as_seen(bench: Bench) -> None:
    bench.statistics.arrived(frame(UNICAST, 200))
    assert bench.moved() == {"TPR": 1, "TORL": 200}


def test_each_error_has_its_counter(bench: Bench) -> None:
    statistics = bench.statistics
    statistics.dropped_no_descriptor(3)
    statistics.dropped_no_buffer()
    statistics.oversize()
    statistics.oversize(good_crc=False)
    statistics.runt()
    statistics.runt(good_crc=False)
    statistics.crc_error()
    statistics.receive_error()
    statistics.length_error()
    statistics.unknown_control_received()
    statistics.segmented()
    statistics.segmentation_failed()
    statistics.interrupt_asserted()
    statistics.ring_low()
    statistics.waited()
    single = "RQDPC[3] MPC ROC RJC RUC RFC CRCERRS RXERRC RLEC FCRUC TSCTC TSCTFC IAC RXDMTC RNBC"
    assert bench.moved() == dict.fromkeys(single.split(), 1)


def test_pause_frames_are_not_good_frames(bench: Bench) -> None:
    bench.statistics.pause_received(xoff=True)
    bench.statistics.pause_received(xoff=False)
    bench.statistics.pause_sent(xoff=True)
    bench.statistics.pause_sent(xoff=True)
    bench.statistics.pause_sent(xoff=False)
    assert bench.moved() == {"XOFFRXC": 1, "XONRXC": 1, "XOFFTXC": 2, "XONTXC": 1, "TPT": 3, "TOTL": 192}


# -- reading -------------------------------------------------------------------------------------------


def test_reading_clears_and_writing_does_not(bench: Bench) -> None:
    bench.statistics.received(frame(BROADCAST, 100))
    bench.regs.write(spec.BPRC.at, MOST)
    assert bench.regs.read(spec.BPRC.at) == 1
    assert bench.regs.read(spec.BPRC.at) == 0
    assert bench.regs.read(spec.GPRC.at) == 1, "one counter's reading is no other's"


def test_a_counter_stays_at_its_highest_value(bench: Bench) -> None:
    bench.regs.poke(spec.GPRC, MOST - 1)
    for _ in range(3):
        bench.statistics.received(frame(UNICAST, 64))
    assert bench.regs.read(spec.GPRC.at) == MOST
    assert bench.regs.read(spec.GPRC.at) == 0


def test_reading_the_low_half_keeps_both_and_reading_the_high_half_clears_both(bench: Bench) -> None:
    bench.regs.poke(spec.GORCH, 7)
    bench.statistics.received(frame(UNICAST, 1000))
    assert bench.regs.read(GORCL) == 1000
    assert bench.regs.read(GORCL) == 1000
    assert bench.regs.read(GORCH) == 7
    assert (bench.regs.read(GORCL), bench.regs.read(GORCH)) == (0, 0)


def test_the_high_half_alone_clears_both(bench: Bench) -> None:
    """Linux igb_update_stats reads TORH without TORL."""
    bench.statistics.arrived(frame(UNICAST, 1000))
    assert bench.regs.read(spec.TORH.at) == 0
    assert bench.regs.read(spec.TORL.at) == 0


def test_the_low_half_carries_into_the_high_one(bench: Bench) -> None:
    bench.regs.poke(spec.GOTCL, MOST - 9)
    bench.statistics.transmitted(frame(UNICAST, 100))
    assert bench.regs.read(GOTCL) == 90
    assert bench.regs.read(GOTCH) == 1


def test_bytes_between_the_two_reads_of_a_pair_are_not_lost(bench: Bench) -> None:
    bench.regs.poke(spec.GORCL, MOST)
    low = bench.regs.read(GORCL)
    bench.statistics.received(frame(UNICAST, 64))
    high = bench.regs.read(GORCH)
    assert high << 32 | low == MOST, "both halves of one moment"
    assert bench.regs.read(GORCL) == 64


def test_a_pair_stays_at_its_highest_value(bench: Bench) -> None:
    bench.regs.poke(spec.GORCL, MOST - 1)
    bench.regs.poke(spec.GORCH, MOST)
    bench.statistics.received(frame(UNICAST, 64))
    assert (bench.regs.read(GORCL), bench.regs.read(GORCH)) == (MOST, MOST)


def test_a_reset_forgets_half_read_pairs(bench: Bench) -> None:
    bench.statistics.received(frame(UNICAST, 500))
    bench.regs.read(GORCL)
    bench.regs.reset(software=True)
    bench.statistics.reset()
    bench.statistics.received(frame(UNICAST, 64))
    bench.regs.read(GORCH)
    assert bench.regs.read(GORCL) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.integers(64, 9728), st.sampled_from(["low", "pair"])), max_size=40))
def test_every_byte_is_read_exactly_once(steps: list[int | str]) -> None:
    bench = Bench()
    read = 0
    sent = MOST - 20_000  # near the carry
    bench.regs.poke(spec.GOTCL, sent)
    for step in [*steps, "pair"]:
        if isinstance(step, int):
            bench.statistics.transmitted(frame(UNICAST, step))
            sent += step
        elif step == "low":
            bench.regs.read(GOTCL)
        else:
            low = bench.regs.read(GOTCL)
            read += bench.regs.read(GOTCH) << 32 | low
    assert read == sent


def test_all_pairs_obey_the_pair_rule(bench: Bench) -> None:
    for low, high in PAIRS:
        bench.regs.poke(low, 11)
        bench.regs.poke(high, 22)
        assert [bench.regs.read(r.at) for r in (low, low, high, low, high)] == [11, 11, 22, 0, 0], low.__name__


# -- in the card ---------------------------------------------------------------------------------------


def test_ethtool_byte_counts_of_the_card_include_the_fcs_and_sit_in_the_low_halves() -> None:
    world = World()
    driver = Driver(world)
    driver.up()
    world.nic.receive(b"\xff" * 6 + UNICAST + b"\x08\x06" + bytes(86))
    world.clock.advance(1_000_000)
    assert (world.read(0x4074), world.read(GORCL), world.read(GORCH)) == (1, 104, 0)
    driver.send(0, b"\xff" * 6 + UNICAST + b"\x08\x06" + bytes(46))
    world.clock.advance(1_000_000)
    assert (world.read(0x4080), world.read(GOTCL), world.read(GOTCH)) == (1, 64, 0)


def test_a_reset_clears_the_cards_counters() -> None:
    world = World()
    Driver(world).up()
    world.nic.receive(b"\xff" * 6 + UNICAST + b"\x08\x06" + bytes(86))
    world.write(0x0, 1 << 26)
    assert [world.read(at) for at in range(0x4000, 0x413C, 4)] == [0] * 79
