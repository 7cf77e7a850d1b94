# SPDX-License-Identifier: BSD-3-Clause
"""Address tests of the layer 2 acceptance filters (82576 data sheet 7.1.1)."""

from typing import Final

from device_model.packet.parse import ETHERTYPE_VLAN

BROADCAST: Final = b"\xff" * 6
PAUSE_DESTINATION: Final = bytes.fromhex("0180c2000001")
"""The address of IEEE 802.3 annex 31B pause frames."""
ETHERTYPE_MAC_CONTROL: Final = 0x8808
_OPCODE_PAUSE = 1
_SHORTEST = 60
_HASH_SHIFT = (4, 3, 2, 0)


def multicast_hash(destination: bytes, mo: int) -> int:
    """Return the 12-bit index into the multicast table: MTA[hash >> 5], bit hash & 31.

    mo (RCTL.MO, two bits) picks which bits of the last two address bytes count (Linux igb_hash_mc_addr).
    """
    return (destination[5] << 8 | destination[4]) >> _HASH_SHIFT[mo & 3] & 0xFFF


def is_broadcast(destination: bytes) -> bool:
    """Tell whether a destination address is the broadcast address."""
    return destination == BROADCAST


def is_multicast(destination: bytes) -> bool:
    """Tell whether a destination address is a group address other than broadcast."""
    return bool(destination[0] & 1) and destination != BROADCAST


def vlan_id(tci: int) -> int:
    """Return the VLAN identifier in a tag's TCI: VFTA[vid >> 5], bit vid & 31."""
    return tci & 0xFFF


def is_mac_control(frame: bytes | memoryview) -> bool:
    """Tell whether a frame is of the MAC control EtherType."""
    return len(frame) >= 14 and frame[12] << 8 | frame[13] == ETHERTYPE_MAC_CONTROL


def is_pause(
    frame: bytes | memoryview,
    station_address: bytes = b"",
    destination: bytes = PAUSE_DESTINATION,
    ethertype: int = ETHERTYPE_MAC_CONTROL,
) -> bool:
    """Tell whether a frame is a pause frame for this station: to the pause address, or to its own address."""
    return (
        len(frame) >= 18
        and frame[12] << 8 | frame[13] == ethertype
        and frame[14] << 8 | frame[15] == _OPCODE_PAUSE
        and bytes(frame[:6]) in (destination, station_address)
    )


def pause_frame(destination: bytes, source: bytes, ethertype: int, quanta: int) -> bytes:
    """Return the pause frame, 60 bytes without its FCS, that asks for ``quanta`` units of 512 bit times."""
    head = destination + source + ethertype.to_bytes(2, "big")
    return (head + _OPCODE_PAUSE.to_bytes(2, "big") + quanta.to_bytes(2, "big")).ljust(_SHORTEST, b"\0")


def pause_quanta(frame: bytes | memoryview) -> int:
    """Return the pause time of a pause frame, in units of 512 bit times; 0 means go on."""
    return frame[16] << 8 | frame[17]


def maximum_length(frame: bytes | memoryview, vlan_ethertype: int = ETHERTYPE_VLAN) -> int:
    """Return the longest frame, in bytes with its CRC, that is taken without long packet enable: 1518, tagged 1522."""
    tagged = len(frame) >= 14 and frame[12] << 8 | frame[13] == vlan_ethertype
    return 1522 if tagged else 1518
