# SPDX-License-Identifier: BSD-3-Clause
"""Receive: chapter 8.10 (control, rings, checksum, RSS).

Ring registers exist for 16 queues at 0xC000 + 0x40·n; the first four are also found at 0x2800 + 0x100·n.
"""

from __future__ import annotations

from device_model.declare import Access, Register, bit, bits

RC, SC = Access.RC, Access.SC


class RCTL(Register, at=0x00100, section="8.10"):
    """Receive control: on or off, which frames are taken, loopback, and the default buffer size."""

    en = bit(1)
    sbp = bit(2)
    upe = bit(3)
    mpe = bit(4)
    lpe = bit(5)
    lbm = bits(7, 6)
    mo = bits(13, 12)
    bam = bit(15)
    bsize = bits(17, 16)
    vfe = bit(18)
    cfien = bit(19)
    cfi = bit(20)
    psp = bit(21)
    dpf = bit(22)
    pmcf = bit(23)
    secrc = bit(26)


class RDBAL(Register, at=0x0C000, count=16, stride=0x40, alias=(0x02800, 4, 0x100), section="8.10"):
    """Receive ring base, low half: the register value is the address; the ring starts on a 128-byte boundary."""

    base = bits(31, 7)


class RDBAH(Register, at=0x0C004, count=16, stride=0x40, alias=(0x02804, 4, 0x100), section="8.10"):
    """Receive ring base, high half."""

    base = bits(31, 0)


class RDLEN(Register, at=0x0C008, count=16, stride=0x40, alias=(0x02808, 4, 0x100), section="8.10"):
    """Receive ring length: the register value counts bytes, the field ``length`` 16-byte descriptors."""

    length = bits(19, 4)


class SRRCTL(Register, at=0x0C00C, count=16, stride=0x40, alias=(0x0280C, 4, 0x100), section="8.10"):
    """Split and replication control: buffer sizes (KiB, 64-byte units), descriptor type and drop policy of a queue."""

    bsizepacket = bits(6, 0)
    bsizeheader = bits(13, 8)
    rdmts = bits(24, 20)
    desctype = bits(27, 25)
    drop_en = bit(31)


class RDH(Register, at=0x0C010, count=16, stride=0x40, alias=(0x02810, 4, 0x100), section="8.10"):
    """Receive descriptor head: the next descriptor that the device will fill."""

    head = bits(15, 0)


class RXCTL(Register, at=0x0C014, count=16, stride=0x40, alias=(0x02814, 4, 0x100), section="8.13"):
    """Direct cache access control of a receive queue; only stored."""

    desc_dca_en = bit(5)
    header_dca_en = bit(6)
    data_dca_en = bit(7)
    desc_read_ro_en = bit(9)
    desc_write_ro_en = bit(11)
    data_write_ro_en = bit(13)
    header_write_ro_en = bit(15)
    cpuid = bits(31, 24)


class RDT(Register, at=0x0C018, count=16, stride=0x40, alias=(0x02818, 4, 0x100), section="8.10"):
    """Receive descriptor tail. Writing it hands descriptors to the device."""

    tail = bits(15, 0)


class RXDCTL(
    Register,
    at=0x0C028,
    count=16,
    stride=0x40,
    alias=(0x02828, 4, 0x100),
    section="8.10",
    resets={0: 0x0201_0000},
):
    """Receive descriptor control: prefetch and write-back thresholds, and the queue's switch."""

    pthresh = bits(4, 0)
    hthresh = bits(12, 8)
    wthresh = bits(20, 16, reset=1)
    enable = bit(25)
    swflsh = bit(26, SC)


class RQDPC(Register, at=0x0C030, count=16, stride=0x40, alias=(0x02830, 4, 0x100), section="8.18"):
    """Frames that a receive queue dropped for want of a descriptor."""

    value = bits(31, 0, RC)


class RXCSUM(Register, at=0x05000, section="8.10"):
    """Receive checksum control; ``pcsd`` puts the RSS hash where the fragment checksum would be."""

    pcss = bits(7, 0)
    ipofl = bit(8, reset=1)
    tuofl = bit(9, reset=1)
    crcofl = bit(11)
    ippcse = bit(12)
    pcsd = bit(13)


class RLPML(Register, at=0x05004, section="8.10"):
    """Longest frame accepted when RCTL.lpe is set, in bytes, FCS included."""

    rlpml = bits(13, 0, reset=0x2600)


class RFCTL(Register, at=0x05008, section="8.10"):
    """Receive filter control: which protocols the parser looks into."""

    iscsi_dis = bit(0)
    iscsi_dwc = bits(5, 1)
    nfsw_dis = bit(6)
    nfsr_dis = bit(7)
    nfs_ver = bits(9, 8)
    ipv6_dis = bit(10)
    ipv6_xsum_dis = bit(11)
    ack_dis = bit(12)
    ackd_dis = bit(13)
    ipfrsp_dis = bit(14)
    exsten = bit(15)
    ipv6_ex_dis = bit(16)
    new_ipv6_ext_dis = bit(17)
    lef = bit(18)
    synqfp = bit(19)


class PSRTYPE(Register, at=0x05480, count=8, section="8.10"):
    """Which headers are split off, per pool."""

    psr_types = bits(18, 0)
    rqpl = bits(31, 29)


class MRQC(Register, at=0x05818, section="8.10"):
    """Multiple receive queues: RSS, VMDq or neither, the default queue, and which fields are hashed."""

    enable = bits(2, 0)
    def_q = bits(5, 3)
    tcp_ipv4 = bit(16)
    ipv4 = bit(17)
    tcp_ipv6_ex = bit(18)
    ipv6_ex = bit(19)
    ipv6 = bit(20)
    tcp_ipv6 = bit(21)
    udp_ipv4 = bit(22)
    udp_ipv6 = bit(23)
    udp_ipv6_ex = bit(24)


class RETA(Register, at=0x05C00, count=32, section="8.10"):
    """Redirection table: entries 4n to 4n + 3, each naming the queue for one value of the low seven hash bits."""

    entry0 = bits(7, 0)
    entry1 = bits(15, 8)
    entry2 = bits(23, 16)
    entry3 = bits(31, 24)


class RSSRK(Register, at=0x05C80, count=10, section="8.10"):
    """RSS random key: bytes 4n to 4n + 3, the first in the low bits."""

    key0 = bits(7, 0)
    key1 = bits(15, 8)
    key2 = bits(23, 16)
    key3 = bits(31, 24)
