# SPDX-License-Identifier: BSD-3-Clause
"""The oracles of polls, moderation and transmit rings against counts observed on Linux 6.12."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.oracles import dql, moderation, napi, transmit

POLLS = [(1, [1]), (63, [63]), (64, [64, 0]), (65, [64, 1]), (128, [64, 64, 0]), (200, [64, 64, 64, 8])]
STEPS = [(1, [1]), (16, [16]), (40, [16, 16, 8]), (64, [16] * 4), (100, [16] * 6 + [4])]
LISTS = [(1, 1), (16, 2), (17, 3), (20, 3), (40, 5), (64, 8), (100, 13)]
TX_POLLS = [(127, [0]), (128, [64, 0]), (129, [64, 0]), (256, [64, 64, 0])]
SHARED = [((1, 0), [0]), ((0, 1), [1]), ((5, 7), [7]), ((100, 63), [63])]


@pytest.mark.parametrize(("frames", "works"), POLLS)
def test_a_held_burst_is_polled_in_sixty_fours(frames: int, works: list[int]) -> None:
    assert napi.receive_polls(frames) == works


@pytest.mark.parametrize(("frames", "steps"), STEPS)
def test_buffers_go_back_in_sixteens(frames: int, steps: list[int]) -> None:
    assert napi.tail_steps(frames) == steps


@pytest.mark.parametrize(("frames", "calls"), LISTS)
def test_unmerged_frames_go_up_in_eights_and_a_poll_ends_a_list(frames: int, calls: int) -> None:
    assert napi.list_calls(frames) == calls


def test_a_batch_of_one_gives_one_call_a_frame() -> None:
    assert napi.list_calls(20, batch=1) == 20


@pytest.mark.parametrize(("packets", "works"), TX_POLLS)
def test_completions_are_cleaned_in_hundred_and_twenty_eights(packets: int, works: list[int]) -> None:
    assert napi.transmit_polls(packets) == works
    assert napi.shared_polls(packets, 0) == works


@pytest.mark.parametrize(("load", "works"), SHARED)
def test_a_shared_vector_does_both_in_one_poll(load: tuple[int, int], works: list[int]) -> None:
    assert napi.shared_polls(*load) == works


@given(st.integers(0, 4096))
def test_no_frame_is_lost_in_any_partition(frames: int) -> None:
    assert sum(napi.receive_polls(frames)) == sum(napi.tail_steps(frames)) == frames
    assert napi.shared_polls(0, frames) == napi.receive_polls(frames)


def test_squeezing_needs_the_whole_packet_budget() -> None:
    assert [napi.squeezes(polls, 300) for polls in (4, 5)] == [False, True]
    assert [napi.squeezes(1, budget) for budget in (64, 65)] == [True, False]


def test_a_napi_polled_again_after_a_full_poll_is_named() -> None:
    assert napi.repeats_after_full([("a", 64), ("b", 1), ("a", 1)]) == ["a"]
    assert napi.repeats_after_full([("a", 63), ("b", 64), ("a", 1)]) == []


@pytest.mark.parametrize(("usecs", "register"), [(10, 0x80000028), (50, 0x800000C8), (10000, 0x80001C40)])
def test_fixed_intervals_as_the_driver_writes_them(usecs: int, register: int) -> None:
    assert moderation.fixed_eitr(usecs) == register


def test_ten_milliseconds_do_not_fit_the_field_and_wrap() -> None:
    assert moderation.interval_us(moderation.fixed_eitr(8000)) == 8000
    assert moderation.interval_us(moderation.fixed_eitr(10000)) == 10000 - 8192


def test_messages_in_a_window_are_bounded_by_the_interval() -> None:
    assert moderation.most_messages(1000, moderation.fixed_eitr(50)) == 21
    with pytest.raises(ValueError, match="not EITR 0"):
        moderation.most_messages(1000, 0)


@pytest.mark.parametrize(
    ("size", "setting", "itr"),
    [(60, 3, 196), (60, 1, 42), (1514, 3, 769), (600, 3, 208), (276, 1, 150), (9000, 3, 1500)],
)
def test_adaptive_intervals_follow_the_frame_size(size: int, setting: int, itr: int) -> None:
    assert moderation.adaptive_itr(648, moderation.Traffic(rx_packets=10, rx_bytes=10 * size), setting) == itr


def test_the_larger_direction_decides_and_silence_changes_nothing() -> None:
    both = moderation.Traffic(rx_packets=3, rx_bytes=180, tx_packets=2, tx_bytes=3028)
    assert moderation.adaptive_itr(648, both) == 769
    assert moderation.adaptive_itr(648, moderation.Traffic()) == 648
    assert moderation.adaptive_itr(648, moderation.Traffic(), gigabit=False) == 980


def test_a_ring_of_256_stops_at_235_and_wakes_at_22_completed() -> None:
    assert transmit.accepted_until_stop(256) == 235
    assert transmit.completed_until_wake(256, 235) == 22
    assert transmit.unused(256, 235) == 20


def test_a_segmented_skb_counts_its_headers_once_a_frame() -> None:
    frames = transmit.frame_lengths(66, 14481, 1448)
    assert transmit.bytecount(66 + 14481, 66, len(frames)) == 66 * 11 + 14481
    assert transmit.octets_on_wire(frames) == sum(frames) + 4 * 11
    assert frames[-1] == 67


@pytest.mark.parametrize("module", [dql, moderation, napi, transmit])
def test_examples_in_the_text_are_true(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
