# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: N801 - registers bear the data sheet's abbreviations
"""Interrupts: chapter 8.8.

Two layers. The causes of ICR (masked by IMS) are summed into the bits of EICR (masked by EIMS), one per
MSI-X vector where GPIE.multiple_msix is set. The set and clear registers (ICS, IMC, EICS, EIMC) are
declared self-clearing: a write hook sees what was written; their read hooks show the register they act on.
"""

from __future__ import annotations

from device_model.declare import Access, Register, bit, bits

RO, SC, W1C, W1S = Access.RO, Access.SC, Access.W1C, Access.W1S


class ICR(Register, at=0x000C0, alias=(0x01500, 1, 4), section="8.8"):
    """Interrupt causes. Reading clears them under conditions (GPIE.nsicr); writing ones clears those."""

    txdw = bit(0, W1C)
    lsc = bit(2, W1C)
    rxseq = bit(3, W1C)
    rxdmt0 = bit(4, W1C)
    macsec = bit(5, W1C)
    rxo = bit(6, W1C)
    rxdw = bit(7, W1C)
    vmmb = bit(8, W1C)
    mdac = bit(9, W1C)
    gpi_sdp0 = bit(11, W1C)
    gpi_sdp1 = bit(12, W1C)
    gpi_sdp2 = bit(13, W1C)
    gpi_sdp3 = bit(14, W1C)
    txd_low = bit(15, W1C)
    mng = bit(18, W1C)
    omed = bit(20, W1C)
    fer = bit(22, W1C)
    nfer = bit(23, W1C)
    csrto = bit(24, W1C)
    sce = bit(25, W1C)
    software_wd = bit(26, W1C)
    doutsync = bit(28, W1C)
    tcp_timer = bit(29, W1C)
    drsta = bit(30, W1C)
    int_asserted = bit(31, RO)


class ICS(Register, at=0x000C8, alias=(0x01504, 1, 4), section="8.8"):
    """Interrupt cause set: writing ones raises causes; reading shows ICR without clearing it."""

    txdw = bit(0, SC)
    lsc = bit(2, SC)
    rxseq = bit(3, SC)
    rxdmt0 = bit(4, SC)
    macsec = bit(5, SC)
    rxo = bit(6, SC)
    rxdw = bit(7, SC)
    vmmb = bit(8, SC)
    mdac = bit(9, SC)
    gpi_sdp0 = bit(11, SC)
    gpi_sdp1 = bit(12, SC)
    gpi_sdp2 = bit(13, SC)
    gpi_sdp3 = bit(14, SC)
    txd_low = bit(15, SC)
    mng = bit(18, SC)
    omed = bit(20, SC)
    fer = bit(22, SC)
    nfer = bit(23, SC)
    csrto = bit(24, SC)
    sce = bit(25, SC)
    software_wd = bit(26, SC)
    doutsync = bit(28, SC)
    tcp_timer = bit(29, SC)
    drsta = bit(30, SC)


class IMS(Register, at=0x000D0, alias=(0x01508, 1, 4), section="8.8"):
    """Interrupt mask: writing ones enables causes."""

    txdw = bit(0, W1S)
    lsc = bit(2, W1S)
    rxseq = bit(3, W1S)
    rxdmt0 = bit(4, W1S)
    macsec = bit(5, W1S)
    rxo = bit(6, W1S)
    rxdw = bit(7, W1S)
    vmmb = bit(8, W1S)
    mdac = bit(9, W1S)
    gpi_sdp0 = bit(11, W1S)
    gpi_sdp1 = bit(12, W1S)
    gpi_sdp2 = bit(13, W1S)
    gpi_sdp3 = bit(14, W1S)
    txd_low = bit(15, W1S)
    mng = bit(18, W1S)
    omed = bit(20, W1S)
    fer = bit(22, W1S)
    nfer = bit(23, W1S)
    csrto = bit(24, W1S)
    sce = bit(25, W1S)
    software_wd = bit(26, W1S)
    doutsync = bit(28, W1S)
    tcp_timer = bit(29, W1S)
    drsta = bit(30, W1S)


class IMC(Register, at=0x000D8, alias=(0x0150C, 1, 4), section="8.8"):
    """Interrupt mask clear: writing ones disables causes; reading shows IMS."""

    txdw = bit(0, SC)
    lsc = bit(2, SC)
    rxseq = bit(3, SC)
    rxdmt0 = bit(4, SC)
    macsec = bit(5, SC)
    rxo = bit(6, SC)
    rxdw = bit(7, SC)
    vmmb = bit(8, SC)
    mdac = bit(9, SC)
    gpi_sdp0 = bit(11, SC)
    gpi_sdp1 = bit(12, SC)
    gpi_sdp2 = bit(13, SC)
    gpi_sdp3 = bit(14, SC)
    txd_low = bit(15, SC)
    mng = bit(18, SC)
    omed = bit(20, SC)
    fer = bit(22, SC)
    nfer = bit(23, SC)
    csrto = bit(24, SC)
    sce = bit(25, SC)
    software_wd = bit(26, SC)
    doutsync = bit(28, SC)
    tcp_timer = bit(29, SC)
    drsta = bit(30, SC)


class IAM(Register, at=0x000E0, alias=(0x01510, 1, 4), section="8.8"):
    """Causes that ICR accesses mask automatically."""

    txdw = bit(0)
    lsc = bit(2)
    rxseq = bit(3)
    rxdmt0 = bit(4)
    macsec = bit(5)
    rxo = bit(6)
    rxdw = bit(7)
    vmmb = bit(8)
    mdac = bit(9)
    gpi_sdp0 = bit(11)
    gpi_sdp1 = bit(12)
    gpi_sdp2 = bit(13)
    gpi_sdp3 = bit(14)
    txd_low = bit(15)
    mng = bit(18)
    omed = bit(20)
    fer = bit(22)
    nfer = bit(23)
    csrto = bit(24)
    sce = bit(25)
    software_wd = bit(26)
    doutsync = bit(28)
    tcp_timer = bit(29)
    drsta = bit(30)


class GPIE(Register, at=0x01514, section="8.8"):
    """General interrupt scheme: one vector or many, automatic masking, and how ICR clears."""

    nsicr = bit(0)
    multiple_msix = bit(4)
    lli_interval = bits(11, 7)
    eiame = bit(30)
    pba_support = bit(31)


class EICS(Register, at=0x01520, section="8.8"):
    """Extended cause set: writing ones raises vectors; reading shows EICR without clearing it."""

    vectors = bits(24, 0, SC)
    tcp_timer = bit(30, SC)
    other = bit(31, SC)


class EIMS(Register, at=0x01524, section="8.8"):
    """Extended mask: writing ones enables vectors, and fires those that are pending."""

    vectors = bits(24, 0, W1S)
    tcp_timer = bit(30, W1S)
    other = bit(31, W1S)


class EIMC(Register, at=0x01528, section="8.8"):
    """Extended mask clear: writing ones disables vectors; reading shows EIMS."""

    vectors = bits(24, 0, SC)
    tcp_timer = bit(30, SC)
    other = bit(31, SC)


class EIAC(Register, at=0x0152C, section="8.8"):
    """Vectors whose EICR bit is cleared when their message is sent."""

    vectors = bits(24, 0)
    tcp_timer = bit(30)
    other = bit(31)


class EIAM(Register, at=0x01530, section="8.8"):
    """Vectors whose EIMS bit is cleared when their message is sent (with GPIE.eiame)."""

    vectors = bits(24, 0)
    tcp_timer = bit(30)
    other = bit(31)


class EICR(Register, at=0x01580, section="8.8"):
    """Extended causes: one bit per MSI-X vector, or per queue where there is one vector only."""

    vectors = bits(24, 0, W1C)
    tcp_timer = bit(30, W1C)
    other = bit(31, W1C)


class EITR(Register, at=0x01680, count=25, section="8.8", survives_software_reset=True):
    """Interrupt moderation of one vector: the least time between two messages, in microseconds, and its counter."""

    interval = bits(14, 2)
    lli_en = bit(15)
    lli_credit = bits(20, 16)
    counter = bits(30, 21)
    cnt_ingr = bit(31, SC)


class IVAR(Register, at=0x01700, count=8, section="8.8"):
    """Vectors of receive and transmit queues n (``rx``, ``tx``) and n + 8 (``rx_high``, ``tx_high``)."""

    rx_vector = bits(4, 0)
    rx_valid = bit(7)
    tx_vector = bits(12, 8)
    tx_valid = bit(15)
    rx_high_vector = bits(20, 16)
    rx_high_valid = bit(23)
    tx_high_vector = bits(28, 24)
    tx_high_valid = bit(31)


class IVAR_MISC(Register, at=0x01740, section="8.8"):
    """Vectors of the TCP timer and of all other causes."""

    tcp_timer_vector = bits(4, 0)
    tcp_timer_valid = bit(7)
    other_vector = bits(12, 8)
    other_valid = bit(15)


class PBACLR(Register, at=0x05B68, section="8.8"):
    """Clears pending bits of the MSI-X table (only where GPIE.pba_support is 0)."""

    vectors = bits(24, 0, SC)
