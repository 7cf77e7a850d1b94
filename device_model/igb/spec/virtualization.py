# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: N801 - registers bear the data sheet's abbreviations
"""Virtualisation: chapter 8.14 (pools, mailboxes, and the physical function's view of virtual functions)."""

from __future__ import annotations

from device_model.declare import Access, Register, bit, bits

RC, RO, SC, W1C, W1S = Access.RC, Access.RO, Access.SC, Access.W1C, Access.W1S


class VMBMEM(Register, at=0x00800, count=128, section="8.14"):
    """Mailbox memory: 16 words for each of 8 virtual functions."""

    value = bits(31, 0)


class P2VMAILBOX(Register, at=0x00C00, count=8, section="8.14"):
    """Mailbox of a virtual function, physical function's side."""

    sts = bit(0, SC)
    ack = bit(1, SC)
    vfu = bit(2, RO)
    pfu = bit(3)
    rvfu = bit(4, SC)


class V2PMAILBOX(Register, at=0x00C40, count=8, section="8.14"):
    """Mailbox of a virtual function, its own side."""

    req = bit(0, SC)
    ack = bit(1, SC)
    vfu = bit(2)
    pfu = bit(3, RO)
    pfsts = bit(4, RC)
    pfack = bit(5, RC)
    rsti = bit(6, RO, reset=1)
    rstd = bit(7, RC)


class MBVFICR(Register, at=0x00C80, section="8.14"):
    """Mailbox causes: which virtual functions sent a message or an acknowledgement."""

    vfreq = bits(7, 0, W1C)
    vfack = bits(23, 16, W1C)


class MBVFIMR(Register, at=0x00C84, section="8.14"):
    """Which virtual functions may raise ICR.vmmb."""

    vfim = bits(7, 0, reset=0xFF)


class VFLRE(Register, at=0x00C88, section="8.14"):
    """Which virtual functions were reset."""

    vfle = bits(7, 0, W1C)


class VFRE(Register, at=0x00C8C, section="8.14"):
    """Which pools may receive."""

    vfre = bits(7, 0, reset=0xFF)


class VFTE(Register, at=0x00C90, section="8.14"):
    """Which pools may transmit."""

    vfte = bits(7, 0, reset=0xFF)


class QDE(Register, at=0x02408, section="8.14"):
    """Queues that drop frames for want of descriptors, whatever SRRCTL says."""

    queues = bits(15, 0)


class DTXSWC(Register, at=0x03500, section="8.14"):
    """Switching between pools on transmit: spoofing checks and local loopback."""

    mac_spoof = bits(7, 0)
    vlan_spoof = bits(15, 8)
    lle = bits(23, 16)
    loopback_en = bit(31)


class WVBR(Register, at=0x03554, section="8.14"):
    """Pools that tried to spoof or sent malformed descriptors."""

    pools = bits(7, 0, RC)


class VMVIR(Register, at=0x03700, count=8, section="8.14"):
    """VLAN tag that a pool's packets get on transmit."""

    port_vlan_id = bits(15, 0)
    vlana = bits(31, 30)


class VT_CTL(Register, at=0x0581C, section="8.14"):
    """Pools: the default one, and whether frames are replicated."""

    default_pool = bits(9, 7)
    ign_mac = bit(28)
    dis_def_pool = bit(29)
    repl_en = bit(30)


class VMOLR(Register, at=0x05AD0, count=8, section="8.14"):
    """Receive offloads and acceptance of a pool."""

    rlpml = bits(13, 0, reset=0x2600)
    lpe = bit(16)
    rsse = bit(17)
    aupe = bit(24)
    rompe = bit(25)
    rope = bit(26)
    bam = bit(27)
    mpme = bit(28)
    strvlan = bit(30)
    strcrc = bit(31, reset=1)


class RPLOLR(Register, at=0x05AF0, section="8.14"):
    """Receive offloads for replicated frames."""

    strvlan = bit(30)
    strcrc = bit(31, reset=1)


class IOVCTL(Register, at=0x05BBC, section="8.14"):
    """Whether the physical function may use the queues of virtual functions."""

    reuse_vf_queues = bit(0)


class VLVF(Register, at=0x05D00, count=32, section="8.14"):
    """VLAN filter of pools."""

    vlan_id = bits(11, 0)
    pools = bits(19, 12)
    lvlan = bit(20)
    vi_en = bit(31)


class UTA(Register, at=0x0A000, count=128, section="8.14"):
    """Unicast table: one bit for each of 4096 hash values, used with pools."""

    value = bits(31, 0)


class PVTCTRL(Register, at=0x10000, count=8, stride=0x100, section="8.14"):
    """Control of a virtual function, physical function's view."""

    rst = bit(26, SC)


class PVFGPRC(Register, at=0x10010, count=8, stride=0x100, section="8.14"):
    """Good packets that a virtual function received."""

    value = bits(31, 0, RO)


class PVFGPTC(Register, at=0x10014, count=8, stride=0x100, section="8.14"):
    """Good packets that a virtual function sent."""

    value = bits(31, 0, RO)


class PVFGORC(Register, at=0x10018, count=8, stride=0x100, section="8.14"):
    """Bytes of good packets that a virtual function received."""

    value = bits(31, 0, RO)


class PVTEICS(Register, at=0x10020, count=8, stride=0x100, section="8.14"):
    """Extended cause set of a virtual function."""

    vectors = bits(2, 0, SC)


class PVTEIMS(Register, at=0x10024, count=8, stride=0x100, section="8.14"):
    """Extended mask of a virtual function."""

    vectors = bits(2, 0, W1S)


class PVTEIMC(Register, at=0x10028, count=8, stride=0x100, section="8.14"):
    """Extended mask clear of a virtual function."""

    vectors = bits(2, 0, SC)


class PVTEIAC(Register, at=0x1002C, count=8, stride=0x100, section="8.14"):
    """Extended automatic clear of a virtual function."""

    vectors = bits(2, 0)


class PVTEIAM(Register, at=0x10030, count=8, stride=0x100, section="8.14"):
    """Extended automatic mask of a virtual function."""

    vectors = bits(2, 0)


class PVFGOTC(Register, at=0x10034, count=8, stride=0x100, section="8.14"):
    """Bytes of good packets that a virtual function sent."""

    value = bits(31, 0, RO)


class PVFMPRC(Register, at=0x1003C, count=8, stride=0x100, section="8.14"):
    """Multicast packets that a virtual function received."""

    value = bits(31, 0, RO)


class PVTEICR(Register, at=0x10080, count=8, stride=0x100, section="8.14"):
    """Extended causes of a virtual function."""

    vectors = bits(2, 0, W1C)


class VTIVAR(Register, at=0x11700, count=8, section="8.14"):
    """Vectors of a virtual function's queues."""

    value = bits(31, 0)


class VTIVAR_MISC(Register, at=0x11720, count=8, section="8.14"):
    """Vector of a virtual function's mailbox."""

    value = bits(7, 0)
