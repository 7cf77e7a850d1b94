# SPDX-License-Identifier: BSD-3-Clause
"""Statistics: chapter 8.18.

A counter is 32 bits wide, cleared by reading, and stays at its highest value. Byte counts are pairs: the
low half keeps its value when read, the high half clears both (device_model.igb.statistics sees to that).
"""

from __future__ import annotations

from device_model.declare import Access, Register, bits

RO, RC = Access.RO, Access.RC


class CRCERRS(Register, at=0x04000, section="8.18"):
    """Received frames with a bad CRC."""

    value = bits(31, 0, RC)


class ALGNERRC(Register, at=0x04004, section="8.18"):
    """Received frames with an alignment error."""

    value = bits(31, 0, RC)


class SYMERRS(Register, at=0x04008, section="8.18"):
    """Symbol errors between frames."""

    value = bits(31, 0, RC)


class RXERRC(Register, at=0x0400C, section="8.18"):
    """Frames during which the PHY signalled an error."""

    value = bits(31, 0, RC)


class MPC(Register, at=0x04010, section="8.18"):
    """Frames missed because the receive packet buffer was full."""

    value = bits(31, 0, RC)


class SCC(Register, at=0x04014, section="8.18"):
    """Frames sent after exactly one collision."""

    value = bits(31, 0, RC)


class ECOL(Register, at=0x04018, section="8.18"):
    """Frames given up after 16 collisions."""

    value = bits(31, 0, RC)


class MCC(Register, at=0x0401C, section="8.18"):
    """Frames sent after more than one collision."""

    value = bits(31, 0, RC)


class LATECOL(Register, at=0x04020, section="8.18"):
    """Collisions after the first 64 bytes."""

    value = bits(31, 0, RC)


class COLC(Register, at=0x04028, section="8.18"):
    """Collisions."""

    value = bits(31, 0, RC)


class CBTMPC(Register, at=0x0402C, section="8.18"):
    """Frames from the management controller dropped by the transmit filter."""

    value = bits(31, 0, RC)


class DC(Register, at=0x04030, section="8.18"):
    """Frames deferred because the medium was busy."""

    value = bits(31, 0, RC)


class TNCRS(Register, at=0x04034, section="8.18"):
    """Frames sent without carrier sense."""

    value = bits(31, 0, RC)


class SEC(Register, at=0x04038, section="8.18"):
    """Sequence errors."""

    value = bits(31, 0, RC)


class HTDPMC(Register, at=0x0403C, section="8.18"):
    """Transmit packets dropped by filters (carrier extension errors of older parts)."""

    value = bits(31, 0, RC)


class RLEC(Register, at=0x04040, section="8.18"):
    """Frames whose length field disagrees with their length."""

    value = bits(31, 0, RC)


class XONRXC(Register, at=0x04048, section="8.18"):
    """XON frames received."""

    value = bits(31, 0, RC)


class XONTXC(Register, at=0x0404C, section="8.18"):
    """XON frames sent."""

    value = bits(31, 0, RC)


class XOFFRXC(Register, at=0x04050, section="8.18"):
    """XOFF frames received."""

    value = bits(31, 0, RC)


class XOFFTXC(Register, at=0x04054, section="8.18"):
    """XOFF frames sent."""

    value = bits(31, 0, RC)


class FCRUC(Register, at=0x04058, section="8.18"):
    """Flow control frames received with an unknown opcode."""

    value = bits(31, 0, RC)


class PRC64(Register, at=0x0405C, section="8.18"):
    """Good frames received of exactly 64 bytes, FCS included."""

    value = bits(31, 0, RC)


class PRC127(Register, at=0x04060, section="8.18"):
    """Good frames received of 65 to 127 bytes."""

    value = bits(31, 0, RC)


class PRC255(Register, at=0x04064, section="8.18"):
    """Good frames received of 128 to 255 bytes."""

    value = bits(31, 0, RC)


class PRC511(Register, at=0x04068, section="8.18"):
    """Good frames received of 256 to 511 bytes."""

    value = bits(31, 0, RC)


class PRC1023(Register, at=0x0406C, section="8.18"):
    """Good frames received of 512 to 1023 bytes."""

    value = bits(31, 0, RC)


class PRC1522(Register, at=0x04070, section="8.18"):
    """Good frames received of 1024 bytes or more."""

    value = bits(31, 0, RC)


class GPRC(Register, at=0x04074, section="8.18"):
    """Good frames received that passed the filters."""

    value = bits(31, 0, RC)


class BPRC(Register, at=0x04078, section="8.18"):
    """Good broadcast frames received."""

    value = bits(31, 0, RC)


class MPRC(Register, at=0x0407C, section="8.18"):
    """Good multicast frames received, without broadcasts."""

    value = bits(31, 0, RC)


class GPTC(Register, at=0x04080, section="8.18"):
    """Good frames sent."""

    value = bits(31, 0, RC)


class GORCL(Register, at=0x04088, section="8.18"):
    """Bytes of good frames received, FCS included; low half."""

    value = bits(31, 0, RO)


class GORCH(Register, at=0x0408C, section="8.18"):
    """Bytes of good frames received, FCS included; high half."""

    value = bits(31, 0, RC)


class GOTCL(Register, at=0x04090, section="8.18"):
    """Bytes of good frames sent, FCS included; low half."""

    value = bits(31, 0, RO)


class GOTCH(Register, at=0x04094, section="8.18"):
    """Bytes of good frames sent, FCS included; high half."""

    value = bits(31, 0, RC)


class RNBC(Register, at=0x040A0, section="8.18"):
    """Frames that found no receive descriptor."""

    value = bits(31, 0, RC)


class RUC(Register, at=0x040A4, section="8.18"):
    """Received frames shorter than 64 bytes with a good CRC."""

    value = bits(31, 0, RC)


class RFC(Register, at=0x040A8, section="8.18"):
    """Received frames shorter than 64 bytes with a bad CRC."""

    value = bits(31, 0, RC)


class ROC(Register, at=0x040AC, section="8.18"):
    """Received frames that were longer than allowed."""

    value = bits(31, 0, RC)


class RJC(Register, at=0x040B0, section="8.18"):
    """Received frames that were longer than allowed with a bad CRC."""

    value = bits(31, 0, RC)


class MGTPRC(Register, at=0x040B4, section="8.18"):
    """Frames received for the management controller."""

    value = bits(31, 0, RC)


class MGTPDC(Register, at=0x040B8, section="8.18"):
    """Frames for the management controller that were dropped."""

    value = bits(31, 0, RC)


class MGTPTC(Register, at=0x040BC, section="8.18"):
    """Frames sent by the management controller."""

    value = bits(31, 0, RC)


class TORL(Register, at=0x040C0, section="8.18"):
    """Bytes of all frames received, FCS included; low half."""

    value = bits(31, 0, RO)


class TORH(Register, at=0x040C4, section="8.18"):
    """Bytes of all frames received, FCS included; high half."""

    value = bits(31, 0, RC)


class TOTL(Register, at=0x040C8, section="8.18"):
    """Bytes of all frames sent, FCS included; low half."""

    value = bits(31, 0, RO)


class TOTH(Register, at=0x040CC, section="8.18"):
    """Bytes of all frames sent, FCS included; high half."""

    value = bits(31, 0, RC)


class TPR(Register, at=0x040D0, section="8.18"):
    """All frames received, bad ones and pause frames included."""

    value = bits(31, 0, RC)


class TPT(Register, at=0x040D4, section="8.18"):
    """All frames sent, pause frames included."""

    value = bits(31, 0, RC)


class PTC64(Register, at=0x040D8, section="8.18"):
    """Frames sent of exactly 64 bytes, FCS included."""

    value = bits(31, 0, RC)


class PTC127(Register, at=0x040DC, section="8.18"):
    """Frames sent of 65 to 127 bytes."""

    value = bits(31, 0, RC)


class PTC255(Register, at=0x040E0, section="8.18"):
    """Frames sent of 128 to 255 bytes."""

    value = bits(31, 0, RC)


class PTC511(Register, at=0x040E4, section="8.18"):
    """Frames sent of 256 to 511 bytes."""

    value = bits(31, 0, RC)


class PTC1023(Register, at=0x040E8, section="8.18"):
    """Frames sent of 512 to 1023 bytes."""

    value = bits(31, 0, RC)


class PTC1522(Register, at=0x040EC, section="8.18"):
    """Frames sent of 1024 bytes or more."""

    value = bits(31, 0, RC)


class MPTC(Register, at=0x040F0, section="8.18"):
    """Multicast frames sent, without broadcasts."""

    value = bits(31, 0, RC)


class BPTC(Register, at=0x040F4, section="8.18"):
    """Broadcast frames sent."""

    value = bits(31, 0, RC)


class TSCTC(Register, at=0x040F8, section="8.18"):
    """Packets segmented by the transmit unit."""

    value = bits(31, 0, RC)


class TSCTFC(Register, at=0x040FC, section="8.18"):
    """Packets whose segmentation failed."""

    value = bits(31, 0, RC)
