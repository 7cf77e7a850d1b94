# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: N801 - registers bear the data sheet's abbreviations
"""Around the data path: PCIe (8.6), semaphores (8.7), DCA (8.13), PCS (8.17), wake-up (8.19), management (8.20)."""

from __future__ import annotations

from device_model.declare import Access, Register, bit, bits

RO, W1C = Access.RO, Access.W1C


class GCR(Register, at=0x05B00, section="8.6"):
    """PCIe control: completion timeout and capability version."""

    control_low = bits(8, 0)
    resend_enable = bit(9, reset=1)
    control_mid = bits(11, 10)
    completion_timeout = bits(15, 12)
    completion_timeout_resend = bit(16, reset=1)
    control_17 = bit(17)
    cap_ver2 = bit(18, reset=1)
    control_high = bits(22, 19)
    ro_23 = bit(23, RO, reset=1)
    control_24 = bit(24)
    ro_25 = bit(25, RO, reset=1)
    ro_26 = bit(26, RO, reset=1)
    control_top = bits(31, 27)


class FACTPS(Register, at=0x05B30, section="8.6"):
    """Power state of the PCI functions, as the management controller sees it."""

    value = bits(31, 0, RO)


class SWSM(Register, at=0x05B50, section="8.7"):
    """Semaphore between drivers (``smbi``, taken by reading) and between driver and firmware (``swesmbi``)."""

    smbi = bit(0)
    swesmbi = bit(1)
    wmng = bit(2)
    eeur = bit(3)


class FWSM(Register, at=0x05B54, section="8.7"):
    """Firmware semaphore and mode; ``fw_mode`` 0 says that there is no manageability firmware."""

    eep_fw_semaphore = bit(0, RO)
    fw_mode = bits(3, 1, RO)
    fw_valid = bit(15, RO)


class SW_FW_SYNC(Register, at=0x05B5C, section="8.7"):
    """Who owns which shared resource: software's bits, and firmware's, which stay 0."""

    software = bits(15, 0)
    firmware = bits(31, 16, RO)


class DCA_CTRL(Register, at=0x05B74, section="8.13"):
    """Direct cache access control; only stored."""

    dca_dis = bit(0)
    dca_mode = bits(4, 1)


class PCS_CFG0(Register, at=0x04200, section="8.17"):
    """PCS configuration; only stored on a copper card."""

    value = bits(31, 0)


class PCS_LCTL(Register, at=0x04208, section="8.17"):
    """PCS link control; only stored on a copper card."""

    value = bits(31, 0)


class PCS_LSTAT(Register, at=0x0420C, section="8.17"):
    """PCS link status; only stored on a copper card."""

    value = bits(31, 0)


class PCS_ANADV(Register, at=0x04218, section="8.17"):
    """PCS autonegotiation advertisement; only stored on a copper card."""

    value = bits(31, 0)


class PCS_LPAB(Register, at=0x0421C, section="8.17"):
    """PCS link partner ability; only stored on a copper card."""

    value = bits(31, 0)


class PCS_NPTX(Register, at=0x04220, section="8.17"):
    """PCS next page to send; only stored on a copper card."""

    value = bits(31, 0)


class PCS_LPABNP(Register, at=0x04224, section="8.17"):
    """PCS link partner next page; only stored on a copper card."""

    value = bits(31, 0)


class WUC(Register, at=0x05800, section="8.19"):
    """Wake-up control."""

    apme = bit(0)
    pme_en = bit(1)
    pme_status = bit(2, W1C)
    apmpme = bit(3)
    power_management_high = bits(31, 4)


class WUFC(Register, at=0x05808, section="8.19"):
    """Which frames and events wake the host."""

    lnkc = bit(0)
    mag = bit(1)
    ex = bit(2)
    mc = bit(3)
    bc = bit(4)
    arp = bit(5)
    ipv4 = bit(6)
    ipv6 = bit(7)
    rest = bits(31, 8)


class WUS(Register, at=0x05810, section="8.19"):
    """Which frames and events have woken the host."""

    lnkc = bit(0, W1C)
    mag = bit(1, W1C)
    ex = bit(2, W1C)
    mc = bit(3, W1C)
    bc = bit(4, W1C)
    arp = bit(5, W1C)
    ipv4 = bit(6, W1C)
    ipv6 = bit(7, W1C)
    rest = bits(31, 8, W1C)


class MANC(Register, at=0x05820, section="8.20"):
    """Manageability control; all zero: no firmware blocks PHY resets or takes frames."""

    rcv_tco_en = bit(17, RO)
    blk_phy_rst = bit(18, RO)
    en_bmc2os = bit(28, RO)


class IPAV(Register, at=0x05838, section="8.19"):
    """Which of the wake-up addresses are valid."""

    value = bits(31, 0)


class IP4AT(Register, at=0x05840, count=4, stride=8, section="8.19"):
    """IPv4 addresses for ARP and directed wake-up frames."""

    value = bits(31, 0)


class IP6AT(Register, at=0x05880, count=4, section="8.19"):
    """IPv6 address for wake-up frames."""

    value = bits(31, 0)


class WUPL(Register, at=0x05900, section="8.19"):
    """Length of the frame that woke the host."""

    length = bits(11, 0, RO)


class WUPM(Register, at=0x05A00, count=32, section="8.19"):
    """First 128 bytes of the frame that woke the host."""

    value = bits(31, 0, RO)
