# SPDX-License-Identifier: BSD-3-Clause
"""A fault that is asked for wrongly is refused in a sentence that holds the value, and nothing changes."""

from __future__ import annotations

from typing import Any

import pytest

from device_model.igb.config import Config
from device_model.nic import FaultError

from .driver import Driver
from .world import World


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("hold_interrupt", {"vector": 1}, "'hold_interrupt'"),
        ("hold_interrupts", {}, "vector"),
        ("hold_interrupts", {"vector": 1, "vextor": 2}, "vextor"),
        ("hold_interrupts", {"vector": 25}, "25"),
        ("hold_interrupts", {"vector": -1}, "-1"),
        ("hold_interrupts", {"vector": True}, "True"),
        ("release_interrupts", {"vector": "x"}, "'x'"),
        ("drop_interrupts", {"vector": 1, "count": 0}, "not 0"),
        ("drop_interrupts", {"vector": 1, "count": "many"}, "'many'"),
        ("drop_interrupts", {"vector": 1, "when": "later"}, "'later'"),
        ("duplicate_interrupts", {"vector": 1, "count": -3}, "-3"),
        ("spurious_interrupt", {"vector": 31}, "31"),
        ("no_auto_mask", {"on": 2}, "not 2"),
        ("withhold_completions", {"queue": 16}, "16"),
        ("release_completions", {"queue": 0, "count": 1.5}, "1.5"),
        ("complete_out_of_order", {"queue": 0, "index": -1}, "-1"),
        ("transmit_nothing", {"on": None}, "None"),
        ("receive_write_back", {"queue": 0, "mode": "zero"}, "'zero'"),
        ("receive_errors", {"bits": 1 << 32}, str(1 << 32)),
        ("force_rss", {"rss_hash": -5}, "-5"),
        ("force_rss", {"queue": 99}, "99"),
        ("force_rss", {"rss_type": 16}, "16"),
        ("force_checksum", {"flags": "ipe"}, "'ipe'"),
        ("tx_off", {"on": "yes"}, "'yes'"),
        ("read_all_ones", {"on": 1}, "not 1"),
        ("stuck_bits", {"offset": 6, "mask": 1}, "not 6"),
        ("stuck_bits", {"offset": 0x20000, "mask": 1}, "not 131072"),
        ("bad_nvm_checksum", {"on": 0}, "not 0"),
        ("ignore_eics", {"on": ""}, "''"),
        ("ignore_eitr", {"on": "no"}, "'no'"),
        ("no_tx_timestamp", {"on": 7}, "7"),
        ("corrupt_loopback", {"on": -1}, "-1"),
        ("stale_descriptor", {"queue": 17}, "17"),
    ],
)
def test_wrong_arguments_are_refused_by_value_and_change_nothing(
    name: str, arguments: dict[str, Any], told: str
) -> None:
    driver = Driver(World())
    driver.up()
    with pytest.raises(FaultError) as refused:
        driver.world.nic.faults.apply(name, **arguments)
    assert told in str(refused.value)
    assert driver.world.nic.faults.in_force() == {}
    driver.world.nic.receive(Config().mac + bytes(60))
    assert driver.world.messages.sent == [1]
