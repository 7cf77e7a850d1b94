# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: N801 - registers bear the data sheet's abbreviations
"""Receive filters: chapter 8.11 (addresses, VLANs, EtherTypes, 5-tuples, low-latency and flexible filters)."""

from __future__ import annotations

from device_model.declare import Register, bit, bits


class MTA(Register, at=0x05200, count=128, section="8.11"):
    """Multicast table: one bit for each of 4096 hash values of a destination address."""

    value = bits(31, 0)


class RAL(Register, at=0x05400, count=16, stride=8, alias=(0x00040, 16, 8), section="8.11"):
    """Receive addresses 0 to 15: the first four bytes of the MAC address, the first byte in the low bits."""

    address = bits(31, 0)


class RAH(Register, at=0x05404, count=16, stride=8, alias=(0x00044, 16, 8), section="8.11"):
    """Receive addresses 0 to 15: the last two bytes, the pools they select, and whether the entry is valid."""

    address = bits(15, 0)
    asel = bits(17, 16)
    pool = bits(25, 18)
    av = bit(31)


class RAL_HIGH(Register, at=0x054E0, count=8, stride=8, section="8.11"):
    """Receive addresses 16 to 23: the first four bytes of the MAC address."""

    address = bits(31, 0)


class RAH_HIGH(Register, at=0x054E4, count=8, stride=8, section="8.11"):
    """Receive addresses 16 to 23: the last two bytes, the pools they select, and whether the entry is valid."""

    address = bits(15, 0)
    asel = bits(17, 16)
    pool = bits(25, 18)
    av = bit(31)


class SYNQF(Register, at=0x055FC, section="8.11"):
    """Queue for TCP connection requests."""

    enable = bit(0)
    rx_queue = bits(3, 1)


class VFTA(Register, at=0x05600, count=128, alias=(0x00600, 128, 4), section="8.11"):
    """VLAN filter table: one bit for each of 4096 VLAN identifiers."""

    value = bits(31, 0)


class SAQF(Register, at=0x05980, count=8, section="8.11"):
    """5-tuple filter: source IPv4 address."""

    address = bits(31, 0)


class DAQF(Register, at=0x059A0, count=8, section="8.11"):
    """5-tuple filter: destination IPv4 address."""

    address = bits(31, 0)


class SPQF(Register, at=0x059C0, count=8, section="8.11"):
    """5-tuple filter: source port, in network byte order."""

    source_port = bits(15, 0)
    destination_port = bits(31, 16)


class FTQF(Register, at=0x059E0, count=8, section="8.11"):
    """5-tuple filter: protocol, queue, and which fields are not compared."""

    protocol = bits(7, 0)
    queue_enable = bit(8)
    pool = bits(14, 12)
    pool_mask = bit(15)
    rx_queue = bits(19, 16)
    timestamp = bit(27)
    mask_protocol = bit(28)
    mask_source_address = bit(29)
    mask_destination_address = bit(30)
    mask_source_port = bit(31)


class IMIR(Register, at=0x05A80, count=8, section="8.11"):
    """Low-latency interrupt filter: destination port and priority."""

    port = bits(15, 0)
    port_im_en = bit(16)
    port_bp = bit(17)
    priority = bits(31, 29)


class IMIREXT(Register, at=0x05AA0, count=8, section="8.11"):
    """Low-latency interrupt filter: size and TCP flags."""

    size_thresh = bits(11, 0)
    size_bp = bit(12)
    ctrl_bits = bits(18, 13)
    ctrl_bp = bit(19)


class IMIRVP(Register, at=0x05AC0, section="8.11"):
    """VLAN priority from which on a frame interrupts at once."""

    vlan_pri = bits(2, 0)
    vlan_pri_en = bit(3)


class ETQF(Register, at=0x05CB0, count=8, section="8.11"):
    """EtherType filter: queue, immediate interrupt and time stamp for one EtherType."""

    ethertype = bits(15, 0)
    rx_queue = bits(18, 16)
    filter_enable = bit(26)
    immediate = bit(29)
    timestamp = bit(30)
    queue_enable = bit(31)


class FFLT(Register, at=0x05F00, count=4, stride=8, section="8.19"):
    """Lengths of the flexible filters; only stored."""

    length = bits(10, 0)


class FFMT(Register, at=0x09000, count=128, stride=8, section="8.19"):
    """Byte masks of the flexible filters; only stored."""

    byte_mask = bits(3, 0)


class FFVT(Register, at=0x09800, count=128, stride=8, section="8.19"):
    """Byte values of the flexible filters; only stored."""

    value = bits(31, 0)
