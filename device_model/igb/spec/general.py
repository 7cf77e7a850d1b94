# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: N801 - registers bear the data sheet's abbreviations
"""Control and status (8.2), packet buffers (8.3), EEPROM (8.4), flow control (8.5) and timers (8.15)."""

from __future__ import annotations

from device_model.declare import Access, Register, bit, bits

RO, SC = Access.RO, Access.SC


class CTRL(Register, at=0x00000, alias=(0x00004, 1, 4), section="8.2"):
    """Device control: resets, forced link settings, flow control and VLAN mode."""

    fd = bit(0, reset=1)
    gio_master_disable = bit(2)
    lrst = bit(3, reset=1)
    slu = bit(6)
    ilos = bit(7)
    speed = bits(9, 8, reset=2)
    frcspd = bit(11)
    frcdpx = bit(12)
    sdp0_gpien = bit(16)
    sdp1_gpien = bit(17)
    swdpin0 = bit(18)
    swdpin1 = bit(19)
    advd3wuc = bit(20, reset=1)
    sdp0_wde = bit(21)
    sdp0_iodir = bit(22)
    sdp1_iodir = bit(23)
    rst = bit(26, SC)
    rfce = bit(27)
    tfce = bit(28)
    vme = bit(30)
    phy_rst = bit(31, SC)


class STATUS(Register, at=0x00008, section="8.2"):
    """Device status: link, speed and duplex as resolved. ``phyra`` is cleared by writing 0."""

    fd = bit(0, RO)
    lu = bit(1, RO)
    lan_id = bits(3, 2, RO)
    txoff = bit(4, RO)
    speed = bits(7, 6, RO)
    asdv = bits(9, 8, RO)
    phyra = bit(10, reset=1)
    num_vfs = bits(17, 14, RO)
    iov_mode = bit(18, RO)
    gio_master_enable = bit(19, RO, reset=1)
    mac_clock_gating = bit(31, RO, reset=1)


class EECD(Register, at=0x00010, section="8.4"):
    """EEPROM control: the four SPI lines, the request and grant pair, and what kind of EEPROM is fitted."""

    sk = bit(0)
    cs = bit(1)
    di = bit(2)
    do = bit(3, RO)
    fwe = bits(5, 4, reset=1)
    req = bit(6)
    gnt = bit(7, RO)
    pres = bit(8, RO, reset=1)
    auto_rd = bit(9, RO, reset=1)
    addr_bits = bit(10, RO)
    size = bits(14, 11, RO, reset=2)


class EERD(Register, at=0x00014, section="8.4"):
    """EEPROM read: write a word address with ``start``, poll ``done``, take ``data``."""

    start = bit(0, SC)
    done = bit(1, RO)
    address = bits(15, 2)
    data = bits(31, 16, RO)


class CTRL_EXT(Register, at=0x00018, section="8.2"):
    """Extended device control: which PHY interface is used, and whether a driver is loaded."""

    irca = bit(0)
    sdp2_gpien = bit(2)
    sdp3_gpien = bit(3)
    sdp2_data = bit(6)
    sdp3_data = bit(7)
    sdp2_iodir = bit(10)
    sdp3_iodir = bit(11)
    ee_rst = bit(13, SC)
    pfrstd = bit(14, SC)
    spd_byps = bit(15)
    ns_dis = bit(16)
    ro_dis = bit(17)
    serdes_low_power = bit(18)
    dma_clock_gating = bit(19)
    phy_power_down_enable = bit(20)
    link_mode = bits(23, 22)
    eiame = bit(24)
    i2c_enabled = bit(25)
    ext_vlan = bit(26)
    drv_load = bit(28)
    pba_clr = bit(31)


class MDIC(Register, at=0x00020, section="8.2"):
    """MDI control: one read or write of a PHY register over the management interface."""

    data = bits(15, 0)
    reg = bits(20, 16)
    phy = bits(25, 21)
    op = bits(27, 26)
    ready = bit(28, RO)
    int_en = bit(29)
    error = bit(30, RO)
    destination = bit(31, RO)


class SCTL(Register, at=0x00024, section="8.2"):
    """SerDes analogue control; only stored on a copper card."""

    value = bits(31, 0)


class FCAL(Register, at=0x00028, section="8.5"):
    """Low four bytes of the flow control destination address."""

    value = bits(31, 0)


class FCAH(Register, at=0x0002C, section="8.5"):
    """High two bytes of the flow control destination address."""

    value = bits(15, 0)


class FCT(Register, at=0x00030, section="8.5"):
    """EtherType of flow control frames."""

    value = bits(15, 0)


class CONNSW(Register, at=0x00034, section="8.2"):
    """Copper/fibre switch control; only stored."""

    value = bits(31, 0)


class VET(Register, at=0x00038, section="8.2"):
    """EtherTypes of VLAN tags: ``vet`` of the inner one, ``vet_ext`` of the outer one."""

    vet = bits(15, 0, reset=0x8100)
    vet_ext = bits(31, 16, reset=0x8100)


class FCTTV(Register, at=0x00170, section="8.5"):
    """Pause time sent in XOFF frames, in units of 512 bit times."""

    ttv = bits(15, 0)


class LEDCTL(Register, at=0x00E00, section="8.2"):
    """What the four LEDs show."""

    led0_mode = bits(3, 0, reset=0x2)
    global_blink_mode = bit(5)
    led0_ivrt = bit(6)
    led0_blink = bit(7)
    led1_mode = bits(11, 8, reset=0x3)
    led1_ivrt = bit(14)
    led1_blink = bit(15, reset=1)
    led2_mode = bits(19, 16, reset=0x6)
    led2_ivrt = bit(22)
    led2_blink = bit(23)
    led3_mode = bits(27, 24, reset=0x7)
    led3_ivrt = bit(30)
    led3_blink = bit(31)


class PBA(Register, at=0x01000, section="8.3"):
    """Packet buffer allocation of older parts; reads as zero."""

    value = bits(31, 0, RO)


class PBS(Register, at=0x01008, section="8.3"):
    """Packet buffer size of older parts; reads as zero."""

    value = bits(31, 0, RO)


class EEMNGCTL(Register, at=0x01010, section="8.4"):
    """Manageability EEPROM control; ``cfg_doneN`` says that port N's PHY is configured after its reset."""

    cfg_done0 = bit(18, RO, reset=1)
    cfg_done1 = bit(19, RO, reset=1)
    cfg_done2 = bit(20, RO)
    cfg_done3 = bit(21, RO)
    transaction_done = bit(31, RO, reset=1)


class I2CCMD(Register, at=0x01028, section="8.2"):
    """Command to an SFP module; only stored on a copper card."""

    value = bits(31, 0)


class I2CPARAMS(Register, at=0x0102C, section="8.2"):
    """Lines of the SFP management interface; only stored on a copper card."""

    value = bits(31, 0)


class FRTIMER(Register, at=0x01048, section="8.15"):
    """Free-running timer: microseconds since power-on, modulo 2^32."""

    value = bits(31, 0, RO)


class TCPTIMER(Register, at=0x0104C, section="8.15"):
    """TCP timer: raises its interrupt cause every ``duration`` milliseconds."""

    duration = bits(7, 0)
    kick_start = bit(8, SC)
    tcp_count_en = bit(9)
    tcp_count_finish = bit(10)
    loop = bit(11)


class FCRTL(Register, at=0x02160, section="8.5"):
    """Receive buffer level (bytes) below which XON is sent, if ``xone`` allows it."""

    rtl = bits(15, 3)
    xone = bit(31)


class FCRTH(Register, at=0x02168, section="8.5"):
    """Receive buffer level (16-byte units) at which XOFF is sent."""

    rth = bits(15, 4)


class RXPBS(Register, at=0x02404, section="8.3", survives_software_reset=True):
    """Size of the receive packet buffer in KiB."""

    size = bits(6, 0, reset=0x40)


class FCRTV(Register, at=0x02460, section="8.5"):
    """Interval after which a pause frame is sent again while the buffer stays full."""

    value = bits(15, 0)


class TXPBS(Register, at=0x03404, section="8.3", survives_software_reset=True):
    """Size of the transmit packet buffer in KiB."""

    size = bits(7, 0, reset=0x28)
