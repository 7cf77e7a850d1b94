# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: N801 - registers bear the data sheet's abbreviations
"""Transmit: chapter 8.12.

Ring registers exist for 16 queues at 0xE000 + 0x40·n; the first four are also found at 0x3800 + 0x100·n.
"""

from __future__ import annotations

from device_model.declare import Access, Register, bit, bits

SC = Access.SC


class TCTL(Register, at=0x00400, section="8.12"):
    """Transmit control: on or off, padding of short packets, and half-duplex timing."""

    en = bit(1)
    psp = bit(3, reset=1)
    ct = bits(11, 4, reset=0xF)
    cold = bits(21, 12, reset=0x40)
    swxoff = bit(22)
    pbe = bit(23)
    rtlc = bit(24)
    unortx = bit(25)
    txdscmt = bits(27, 26, reset=1)
    mulr = bit(28)
    rrthresh = bits(30, 29, reset=1)
    high_31 = bit(31, reset=1)


class TCTL_EXT(Register, at=0x00404, section="8.12"):
    """Transmit control, extended: collision distance and back-off slot time."""

    bst = bits(9, 0, reset=0x40)
    cold = bits(19, 10, reset=0x42)


class TIPG(Register, at=0x00410, section="8.12"):
    """Gaps between transmitted frames."""

    ipgt = bits(9, 0, reset=8)
    ipgr1 = bits(19, 10, reset=4)
    ipgr = bits(29, 20, reset=6)


class TDFH(Register, at=0x03410, section="8.24"):
    """Transmit packet buffer head; only stored."""

    value = bits(12, 0)


class TDFT(Register, at=0x03418, section="8.24"):
    """Transmit packet buffer tail; only stored."""

    value = bits(12, 0)


class TDFHS(Register, at=0x03420, section="8.24"):
    """Saved transmit packet buffer head; only stored."""

    value = bits(12, 0)


class TDFPC(Register, at=0x03430, section="8.24"):
    """Packets in the transmit packet buffer; only stored."""

    value = bits(12, 0)


class DTXCTL(Register, at=0x03590, section="8.12"):
    """DMA transmit control."""

    enable_8023_llc = bit(2, reset=1)
    vlan_added = bit(3)
    oos_enable = bit(4)
    mdp_en = bit(5)
    spoof_int = bit(6, reset=1)


class DTXTCPFLGL(Register, at=0x0359C, section="8.12"):
    """TCP flags kept in the first segments (``first``) and in the middle ones (``middle``) of a segmented packet."""

    first = bits(11, 0, reset=0xFF6)
    middle = bits(27, 16, reset=0xF76)


class DTXTCPFLGH(Register, at=0x035A0, section="8.12"):
    """TCP flags kept in the last segment of a segmented packet."""

    last = bits(11, 0, reset=0xF7F)


class RTTDQSEL(Register, at=0x03604, section="8.12"):
    """Which queue the rate scheduler's registers refer to."""

    value = bits(31, 0)


class RTTBCNRM(Register, at=0x03690, section="8.12"):
    """Rate scheduler: memory limit."""

    value = bits(31, 0)


class RTTBCNRC(Register, at=0x036B0, section="8.12"):
    """Rate scheduler: rate factor of the selected queue."""

    rf_dec = bits(13, 0)
    rf_int = bits(27, 14)
    rs_ena = bit(31)


class TDBAL(Register, at=0x0E000, count=16, stride=0x40, alias=(0x03800, 4, 0x100), section="8.12"):
    """Transmit ring base, low half: the register value is the address; the ring starts on a 128-byte boundary."""

    base = bits(31, 7)


class TDBAH(Register, at=0x0E004, count=16, stride=0x40, alias=(0x03804, 4, 0x100), section="8.12"):
    """Transmit ring base, high half."""

    base = bits(31, 0)


class TDLEN(Register, at=0x0E008, count=16, stride=0x40, alias=(0x03808, 4, 0x100), section="8.12"):
    """Transmit ring length: the register value counts bytes, the field ``length`` 16-byte descriptors."""

    length = bits(19, 4)


class TDH(Register, at=0x0E010, count=16, stride=0x40, alias=(0x03810, 4, 0x100), section="8.12"):
    """Transmit descriptor head: the next descriptor that the device will process."""

    head = bits(15, 0)


class TXCTL(Register, at=0x0E014, count=16, stride=0x40, alias=(0x03814, 4, 0x100), section="8.13"):
    """Direct cache access control of a transmit queue; only stored."""

    desc_dca_en = bit(5)
    desc_read_ro_en = bit(9, reset=1)
    desc_write_ro_en = bit(11, reset=1)
    data_read_ro_en = bit(13, reset=1)
    cpuid = bits(31, 24)


class TDT(Register, at=0x0E018, count=16, stride=0x40, alias=(0x03818, 4, 0x100), section="8.12"):
    """Transmit descriptor tail. Writing it hands descriptors to the device."""

    tail = bits(15, 0)


class TXDCTL(
    Register,
    at=0x0E028,
    count=16,
    stride=0x40,
    alias=(0x03828, 4, 0x100),
    section="8.12",
    resets={0: 0x0200_0000},
):
    """Transmit descriptor control: prefetch and write-back thresholds, and the queue's switch."""

    pthresh = bits(4, 0)
    hthresh = bits(12, 8)
    wthresh = bits(20, 16)
    enable = bit(25)
    swflsh = bit(26, SC)


class TDWBAL(Register, at=0x0E038, count=16, stride=0x40, alias=(0x03838, 4, 0x100), section="8.12"):
    """Head write-back: address (low half, 4-byte boundary), and whether it is used."""

    head_wb_en = bit(0)
    wb_on_eitr = bit(1)
    address = bits(31, 2)


class TDWBAH(Register, at=0x0E03C, count=16, stride=0x40, alias=(0x0383C, 4, 0x100), section="8.12"):
    """Head write-back: high half of the address."""

    address = bits(31, 0)
