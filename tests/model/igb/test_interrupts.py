# SPDX-License-Identifier: BSD-3-Clause
"""Interrupt layers, automatic masking and moderation (82576 7.3, 8.8), without QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from device_model import events
from device_model.igb.spec.interrupts import (
    EIAC,
    EIAM,
    EICR,
    EICS,
    EIMC,
    EIMS,
    EITR,
    GPIE,
    IAM,
    ICR,
    ICS,
    IMC,
    IMS,
    IVAR,
    IVAR_MISC,
)
from device_model.igb.spec.receive import RDLEN
from device_model.igb.spec.transmit import TDLEN
from device_model.ports import InterruptMode

from .world import World

if TYPE_CHECKING:
    from device_model.declare import Register

LSC = 1 << 2
US = 1000


class Bench:
    """A card in MSI-X mode as igb_configure_msix leaves it: other causes on vector 0, rx 3 on 5, tx 3 on 7."""

    def __init__(self, mode: InterruptMode = InterruptMode.MSIX, gpie: int = 0xC0000011) -> None:
        self.world = World(mode)
        self.put(ICR, 0xFFFFFFFF)
        self.put(GPIE, gpie)
        if mode is InterruptMode.MSIX and gpie:
            self.put(IVAR_MISC, 0x8000)
            self.put(IVAR, 0x8785, 3)
            for reg in (EIAC, EIAM, EIMS):
                self.put(reg, 0x1FF)
        self.world.messages.sent.clear()

    def put(self, reg: type[Register], value: int, n: int = 0) -> None:
        self.world.write(reg.at + n * reg.stride, value)

    def get(self, reg: type[Register], n: int = 0) -> int:
        return self.world.read(reg.at + n * reg.stride)

    @property
    def sent(self) -> list[int]:
        return self.world.messages.sent

    @property
    def block(self) -> object:
        return self.world.nic.interrupts


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_queue_event_fires_the_vector_that_ivar_names_and_no_other(bench: Bench) -> None:
    bench.world.nic.interrupts.raise_receive(3)
    assert bench.sent == [5]
    bench.world.nic.interrupts.raise_transmit(3)
    assert bench.sent == [5, 7]


def test_queues_above_seven_use_the_upper_half_of_ivar(bench: Bench) -> None:
    bench.put(IVAR, 0x8886_0000 | 0x8785, 3)
    bench.world.nic.interrupts.raise_receive(11)
    bench.world.nic.interrupts.raise_transmit(11)
    assert bench.sent == [6, 8]


def test_invalid_ivar_entry_sends_nothing(bench: Bench) -> None:
    bench.put(IVAR, 0x0705, 3)
    bench.world.nic.interrupts.raise_receive(3)
    assert bench.sent == []


def test_message_masks_its_own_vector_until_software_unmasks_it(bench: Bench) -> None:
    raise_receive = bench.world.nic.interrupts.raise_receive
    raise_receive(3)
    assert bench.get(EIMS) == 0x1FF & ~(1 << 5)
    raise_receive(3)
    raise_receive(3)
    assert bench.sent == [5]
    bench.put(EIMS, 1 << 5)
    assert bench.sent == [5, 5], "what came while masked fires at the unmasking write"
    bench.put(EIMS, 1 << 5)
    assert bench.sent == [5, 5], "nothing is pending any more"


def test_unmasking_without_a_pending_event_is_silent(bench: Bench) -> None:
    bench.world.nic.interrupts.raise_receive(3)
    bench.put(EIMS, 1 << 5)
    assert bench.sent == [5]


def test_auto_clear_acknowledges_only_where_eiac_says_so(bench: Bench) -> None:
    bench.put(EIAC, 1 << 7)
    bench.world.nic.interrupts.raise_receive(3)
    bench.world.nic.interrupts.raise_transmit(3)
    assert bench.get(EICR) == 1 << 5


def test_auto_mask_needs_both_eiame_and_eiam(bench: Bench) -> None:
    bench.put(EIAM, 1 << 7)
    bench.world.nic.interrupts.raise_receive(3)
    assert bench.get(EIMS) >> 5 & 1
    bench.put(GPIE, 0x80000011)
    bench.world.nic.interrupts.raise_transmit(3)
    assert bench.get(EIMS) >> 7 & 1


def test_eiac_and_eiam_bits_can_be_cleared_again(bench: Bench) -> None:
    for reg in (EIAC, EIAM):
        bench.put(reg, 0x0A5)
        assert bench.get(reg) == 0x0A5


def test_eics_fires_unmasked_vectors_and_reads_as_eicr(bench: Bench) -> None:
    bench.put(EIMC, 1 << 4)
    bench.put(EICS, 1 << 4 | 1 << 6)
    assert bench.sent == [6]
    assert bench.get(EICS) == 1 << 4
    assert bench.get(EICR) == 1 << 4, "in this mode reading EICR clears nothing"
    assert bench.get(EICR) == 1 << 4
    bench.put(EICR, 1 << 4)
    assert bench.get(EICR) == 0


def test_other_cause_reaches_vector_zero_once_and_reading_icr_acknowledges_it(bench: Bench) -> None:
    bench.put(IMS, LSC)
    bench.world.nic.interrupts.raise_causes(LSC)
    assert bench.sent == [0]
    assert bench.get(ICR) & LSC
    assert not bench.get(ICR) & LSC
    bench.put(EIMS, 1)
    assert bench.sent == [0]


def test_other_cause_between_icr_read_and_rearm_fires_at_the_rearm(bench: Bench) -> None:
    bench.put(IMS, LSC)
    bench.world.nic.interrupts.raise_causes(LSC)
    bench.get(ICR)
    bench.world.nic.interrupts.raise_causes(LSC)
    assert bench.sent == [0]
    bench.put(EIMS, 1)
    assert bench.sent == [0, 0]


def test_reading_icr_drops_the_summary_bit_in_eicr(bench: Bench) -> None:
    bench.put(EIMC, 1)
    bench.put(IMS, LSC)
    bench.world.nic.interrupts.raise_causes(LSC)
    assert bench.get(EICR) == 1
    bench.get(ICR)
    assert bench.get(EICR) == 0


def test_moderation_spaces_messages_by_the_interval_and_loses_none(bench: Bench) -> None:
    bench.put(EITR, (200 << 2) | 1 << 31, 5)
    raise_receive = bench.world.nic.interrupts.raise_receive
    raise_receive(3)
    bench.put(EIMS, 1 << 5)
    raise_receive(3)
    bench.world.clock.advance(199 * US)
    assert bench.sent == [5]
    bench.world.clock.advance(2 * US)
    assert bench.sent == [5, 5], "exactly one, and one microsecond is 1 us, not 4"


def test_moderation_timer_without_a_cause_sends_nothing(bench: Bench) -> None:
    bench.put(EITR, (200 << 2) | 1 << 31, 5)
    bench.world.nic.interrupts.raise_receive(3)
    bench.put(EIMS, 1 << 5)
    bench.world.clock.advance(10_000 * US)
    assert bench.sent == [5]
    bench.world.nic.interrupts.raise_receive(3)
    assert bench.sent == [5, 5], "after a quiet interval the next event is immediate"


def test_moderation_timer_respects_the_mask(bench: Bench) -> None:
    bench.put(EITR, (200 << 2) | 1 << 31, 5)
    bench.world.nic.interrupts.raise_receive(3)
    bench.put(EIMS, 1 << 5)
    bench.world.nic.interrupts.raise_receive(3)
    bench.put(EIMC, 1 << 5)
    bench.world.clock.advance(1000 * US)
    assert bench.sent == [5]
    bench.put(EIMS, 1 << 5)
    assert bench.sent == [5, 5]


def test_writing_eitr_without_cnt_ingr_loads_the_counter(bench: Bench) -> None:
    bench.put(EITR, (200 << 2) | 1 << 31, 5)
    bench.world.nic.interrupts.raise_receive(3)
    bench.put(EIMS, 1 << 5)
    bench.world.nic.interrupts.raise_receive(3)
    bench.put(EITR, 300 << 2 | 1 << 31, 5)
    assert bench.sent == [5], "CNT_INGR leaves the counter alone"
    bench.put(EITR, 300 << 2, 5)
    assert bench.sent == [5, 5], "counter 0 lets the pending message go"


def pace(bench: Bench, answer_us: int) -> None:
    """Let the card know a guest that takes ``answer_us`` for a message of vector 7, and send it another."""
    bench.world.nic.interrupts.paced = True
    for vector in (5, 7):
        bench.put(EITR, 2 << 2 | 1 << 31, vector)
    bench.put(TDLEN, 4096, 3)
    bench.put(RDLEN, 4096, 3)
    bench.world.nic.interrupts.raise_transmit(3)
    bench.world.clock.advance(4 * answer_us * US)  # a quarter of the first answer counts
    bench.put(EIMS, 1 << 7)
    bench.world.nic.interrupts.raise_transmit(3)
    bench.put(EIMS, 1 << 7)
    bench.sent.clear()


@pytest.mark.parametrize(("answer_us", "gap_us"), [(10, 80), (40, 320), (1000, 500)])
def test_what_was_sent_is_told_at_the_guest_s_own_pace(bench: Bench, answer_us: int, gap_us: int) -> None:
    pace(bench, answer_us)
    bench.world.nic.interrupts.raise_transmit(3)
    bench.world.clock.advance((gap_us - 1) * US)
    assert bench.sent == []
    bench.world.clock.advance(1 * US)
    assert bench.sent == [7], "eight times as long as an answer takes, 500 us at most"


def test_half_a_ring_ends_that_pace(bench: Bench) -> None:
    pace(bench, 10)
    bench.world.nic.interrupts.raise_transmit(3, 127)
    bench.world.clock.advance(10 * US)
    assert bench.sent == []
    bench.world.nic.interrupts.raise_transmit(3, 1)
    assert bench.sent == [7]


def test_what_was_received_is_told_at_once(bench: Bench) -> None:
    bench.put(IVAR, 0x8787, 3)
    pace(bench, 10)
    bench.world.clock.advance(2 * US)
    bench.world.nic.interrupts.raise_receive(3)
    assert bench.sent == [7], "no more than EITR asks for"


def test_an_answer_that_gets_quicker_quickens_the_pace(bench: Bench) -> None:
    pace(bench, 40)
    bench.world.clock.advance(1000 * US)
    bench.world.nic.interrupts.raise_transmit(3)
    bench.put(EIMS, 1 << 7)
    bench.world.nic.interrupts.raise_transmit(3)
    bench.world.clock.advance(239 * US)
    assert bench.sent == [7]
    bench.world.clock.advance(1 * US)
    assert bench.sent == [7, 7], "three quarters of 40 us are left of the answer that counted, eight times"


def test_eitr_survives_a_software_reset_but_the_masks_do_not(bench: Bench) -> None:
    bench.put(EITR, 648 | 1 << 31, 5)
    bench.world.write(0, bench.world.read(0) | 1 << 26)
    assert bench.get(EITR, 5) & 0x7FFC == 648
    assert bench.get(EIMS) == bench.get(EIAM) == bench.get(GPIE) == 0


@pytest.mark.parametrize("mode", [InterruptMode.MSIX, InterruptMode.MSI])
def test_one_vector_mode_sends_message_zero_for_each_newly_unmasked_cause(mode: InterruptMode) -> None:
    bench = Bench(mode, gpie=0)
    bench.put(ICS, 1 << 4)
    assert bench.sent == []
    bench.put(IMS, 1 << 4)
    assert bench.sent == [0]
    assert bench.get(ICR) == 1 << 31 | 1 << 4
    assert bench.get(ICR) == 0
    bench.put(ICS, 1 << 4)
    assert bench.sent == [0, 0]


@pytest.mark.parametrize("position", [n for n in range(31) if 0x77D4FBFD >> n & 1])
def test_every_settable_cause_interrupts_in_one_vector_mode(position: int) -> None:
    bench = Bench(InterruptMode.MSIX, gpie=0)
    bench.put(IMC, 0xFFFFFFFF)
    bench.put(ICR, 0xFFFFFFFF)
    bench.put(IMS, 1 << position)
    bench.put(ICS, 1 << position)
    assert bench.sent == [0]
    assert bench.get(ICR) & 1 << position


def test_masked_cause_does_not_interrupt_and_does_not_claim_the_line() -> None:
    bench = Bench(InterruptMode.INTX, gpie=0)
    bench.put(IMS, 1 << 7)
    bench.put(ICS, 1 << 4)
    assert bench.world.messages.levels == []
    assert bench.get(ICS) == 1 << 4, "reading ICS shows ICR and clears nothing"
    assert not bench.get(ICR) >> 31


def test_intx_line_rises_with_a_cause_and_falls_when_icr_is_read() -> None:
    bench = Bench(InterruptMode.INTX, gpie=0)
    bench.put(IMS, LSC)
    bench.put(IAM, LSC)
    bench.world.nic.interrupts.raise_causes(LSC)
    assert bench.world.messages.levels == [True]
    assert bench.get(ICR) == 1 << 31 | LSC
    assert bench.world.messages.levels == [True, False]
    assert bench.get(IMS) == 0, "reading ICR masks what IAM names"
    bench.world.nic.interrupts.raise_causes(LSC)
    bench.put(IMS, LSC)
    assert bench.world.messages.levels == [True, False, True]


def test_intx_line_falls_when_the_mask_hides_the_cause() -> None:
    bench = Bench(InterruptMode.INTX, gpie=0)
    bench.put(IMS, LSC)
    bench.put(ICS, LSC)
    bench.put(IMC, LSC)
    assert bench.world.messages.levels == [True, False]


def test_icr_read_clears_nothing_while_unmasked_causes_are_absent() -> None:
    bench = Bench(InterruptMode.MSI, gpie=0)
    bench.put(IMS, LSC)
    bench.put(ICS, 1 << 4)
    assert bench.get(ICR) == 1 << 4
    assert bench.get(ICR) == 1 << 4
    bench.put(ICR, 1 << 4)
    assert bench.get(ICR) == 0


def test_held_vector_waits_and_release_sends_one_message(bench: Bench) -> None:
    bench.world.nic.faults.apply("hold_interrupts", vector=5)
    for _ in range(3):
        bench.world.nic.interrupts.raise_receive(3)
    assert bench.sent == []
    bench.world.nic.faults.apply("release_interrupts", vector=5)
    assert bench.sent == [5]


def test_message_dropped_before_the_mask_leaves_the_vector_armed(bench: Bench) -> None:
    bench.world.nic.faults.apply("drop_interrupts", vector=5, count=1, when="before-mask")
    bench.world.nic.interrupts.raise_receive(3)
    assert (bench.sent, bench.get(EIMS) >> 5 & 1) == ([], 1)
    bench.world.nic.interrupts.raise_receive(3)
    assert bench.sent == [5]


def test_message_dropped_after_the_mask_leaves_the_vector_dead(bench: Bench) -> None:
    bench.world.nic.faults.apply("drop_interrupts", vector=5, count=1, when="after-mask")
    bench.world.nic.interrupts.raise_receive(3)
    bench.put(EICS, 1 << 5)
    assert (bench.sent, bench.get(EIMS) >> 5 & 1, bench.get(EICR)) == ([], 0, 1 << 5)


def test_observers_see_cause_mask_and_message_in_this_order(bench: Bench) -> None:
    bench.world.events.clear()
    bench.world.nic.interrupts.raise_receive(3)
    assert [type(event) for event in bench.world.events] == [
        events.CauseRaised,
        events.AutoMasked,
        events.InterruptSent,
    ]
