# SPDX-License-Identifier: BSD-3-Clause
"""Every ethtool operation that Linux igb offers on an 82576, seen from the guest and in the card."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness.deadline import Deadline

if TYPE_CHECKING:
    from harness.lab import Bound

MAC = bytes.fromhex("525400825760")
NVM_MAGIC = 0x10C98086


def test_driver_information_names_igb_and_the_nvm_version(bound: Bound) -> None:
    info = bound.netif.settings.driver()
    assert (info["driver"], info["firmware-version"]) == ("igb", "2.1.0")
    assert info["bus-info"].startswith("0000:")


def test_register_dump_shows_what_the_card_holds_and_disturbs_no_interrupt(bound: Bound) -> None:
    with bound.card.recording("InterruptSent") as seen:
        text = bound.netif.ethtool("-d").out
    ctrl = int(re.findall(r"CTRL \(.*?\)\s+(0x[0-9A-Fa-f]+)", text)[0], 16)
    assert ctrl == bound.card.register("CTRL")
    assert not seen.all(where=lambda event: event.vector == 0)
    assert bound.card.register("EIMS") == 0x1FF


def test_eeprom_dump_is_the_nvm_word_by_word(bound: Bound) -> None:
    text = bound.netif.ethtool("-e", "length", 16).out
    found = bytes.fromhex("".join(re.findall(r"0x0000:\s+((?:[0-9a-f]{2} )+)", text)).replace(" ", ""))
    assert found[:6] == MAC
    assert found[8:12] == bytes.fromhex("ffff1020")


def test_eeprom_write_changes_the_word_and_mends_the_checksum(bound: Bound) -> None:
    words = ("magic", f"{NVM_MAGIC:#x}", "offset", 0x0C, "value", 0xA7)
    before = bound.netif.ethtool("-e", "offset", 0x0C, "length", 1).out
    bound.netif.ethtool("-E", *words)
    try:
        after = bound.netif.ethtool("-e", "offset", 0x0C, "length", 1).out
        assert after != before
        assert "a7" in after
        dump = bound.netif.ethtool("-e", "length", 128).out
        data = bytes.fromhex("".join(re.findall(r"0x[0-9a-f]{4}:\s+((?:[0-9a-f]{2} ?)+)", dump)).replace(" ", ""))
        words_read = [int.from_bytes(data[n : n + 2], "little") for n in range(0, 128, 2)]
        assert sum(words_read) & 0xFFFF == 0xBABA
    finally:
        value = re.findall(r"0x000c:\s+([0-9a-f]{2})", before)[0]
        bound.netif.ethtool("-E", *words[:-1], int(value, 16))


def test_ring_sizes_change_and_traffic_still_passes(bound: Bound) -> None:
    bound.netif.settings.set_rings(rx=512, tx=1024)
    assert (bound.netif.settings.rings().rx, bound.netif.settings.rings().tx) == (512, 1024)
    bound.netif.wait_carrier()
    assert (bound.card.ring("rx", 0)["count"], bound.card.ring("tx", 3)["count"]) == (512, 1024)
    ping(bound)


def test_channels_change_to_paired_vectors_and_back(bound: Bound) -> None:
    bound.netif.settings.set_channels(8)
    bound.netif.wait_carrier()
    assert set(bound.netif.irqs()) == {"eth0", *(f"eth0-TxRx-{n}" for n in range(8))}
    assert bound.card.register("IVAR", 5) == 0x8686
    ping(bound)


def test_coalescing_reaches_eitr_with_the_next_interrupt(bound: Bound) -> None:
    bound.netif.settings.set_coalescing(rx_usecs=50)
    with bound.card.recording("RegisterWritten") as seen:
        ping(bound)
        written = seen.wait(
            1, Deadline.after(5), where=lambda e: e.register.startswith("EITR") and e.value == 0x800000C8
        )
    assert written


def test_pause_parameters_follow_the_setting(bound: Bound) -> None:
    bound.netif.ethtool("-A", "autoneg", "off", "rx", "off", "tx", "on")
    try:
        text = bound.netif.ethtool("-a").out
        assert re.search(r"RX:\s+off\s+TX:\s+on", text)
        assert bound.card.register("CTRL") >> 27 & 3 == 2
    finally:
        bound.netif.ethtool("-A", "autoneg", "on", "rx", "on", "tx", "on")
        bound.netif.wait_carrier()


@pytest.mark.parametrize("name", ["rx", "tx", "sg", "tso", "gso", "gro", "rxvlan", "rxhash"])
def test_offload_switches_off_and_traffic_still_passes(bound: Bound, name: str) -> None:
    bound.netif.settings.set_features(**{name: False})
    ping(bound)


def test_receive_all_opens_the_filters(bound: Bound) -> None:
    bound.netif.settings.set_features(rx_all=True)
    bound.netif.wait_carrier()
    assert bound.card.register("RCTL") >> 2 & 1
    ping(bound)


def test_indirection_table_travels_to_reta_entry_by_entry(bound: Bound) -> None:
    table = [(n * 7 + 3) % 4 for n in range(128)]
    bound.netif.settings.set_indirection(table)
    held = [bound.card.register("RETA", n) for n in range(32)]
    assert [byte for word in held for byte in word.to_bytes(4, "little")] == table


def test_flow_hash_of_udp_sets_the_bit_of_mrqc(bound: Bound) -> None:
    bound.netif.settings.set_flow_hash("udp4", "sdfn")
    assert bound.card.register("MRQC") == 0x0077_0002
    bound.netif.settings.set_flow_hash("udp4", "sd")
    assert bound.card.register("MRQC") == 0x0037_0002


def test_identify_blinks_the_led(bound: Bound) -> None:
    with bound.card.recording("RegisterWritten") as seen:
        bound.netif.ethtool("-p", 1)
    values = [event.value for event in seen.all(where=lambda event: event.register == "LEDCTL")]
    assert len(set(values)) > 1


def test_restarting_autonegotiation_resets_the_card_and_the_link_returns(bound: Bound) -> None:
    with bound.card.recording("DeviceReset", "LinkChanged") as seen:
        bound.netif.ethtool("-r")
        bound.netif.wait_carrier()
        seen.wait(1, Deadline.after(10), kind="DeviceReset")
    ping(bound)


def test_forced_speed_is_what_the_link_has(bound: Bound) -> None:
    bound.netif.ethtool("-s", "speed", 100, "duplex", "full", "autoneg", "off")
    try:
        bound.netif.wait_carrier()
        assert bound.netif.settings.link()["speed"] == 100
        assert bound.card.register("STATUS") >> 6 & 3 == 1
        ping(bound)
    finally:
        bound.netif.ethtool("-s", "autoneg", "on")
        bound.netif.wait_carrier()


def test_time_stamping_capabilities_are_those_of_the_82576(bound: Bound) -> None:
    text = bound.netif.ethtool("-T").out
    assert "hardware-transmit" in text
    assert "ptpv2-event" in text
    assert "ptpv1-l4-sync" in text


def ping(bound: Bound) -> None:
    """Prove that frames pass both ways."""
    with bound.peer.answering():
        bound.netif.tool("ping", "-c", "2", "-i", "0.05", "-W", "5", "198.18.0.2")
