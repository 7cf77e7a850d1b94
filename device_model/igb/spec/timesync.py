# SPDX-License-Identifier: BSD-3-Clause
"""Time synchronisation (IEEE 1588): chapter 8.16."""

from __future__ import annotations

from device_model.declare import Access, Register, bit, bits

RO, RC = Access.RO, Access.RC


class TSYNCRXCFG(Register, at=0x05F50, section="8.16"):
    """Which PTP messages are time-stamped: version 1 control field, version 2 message type."""

    ctrl = bits(7, 0)
    msg_id = bits(11, 8)


class SYSTIML(Register, at=0x0B600, section="8.16"):
    """System time, low half; reading it latches the high half."""

    value = bits(31, 0)


class SYSTIMH(Register, at=0x0B604, section="8.16"):
    """System time, high half."""

    value = bits(31, 0)


class TIMINCA(Register, at=0x0B608, section="8.16"):
    """System time advances by ``incvalue`` every ``incperiod`` times 16 ns."""

    incvalue = bits(23, 0)
    incperiod = bits(31, 24)


class TSYNCTXCTL(Register, at=0x0B614, section="8.16"):
    """Transmit time stamps: enabled, and whether one is waiting."""

    valid = bit(0, RO)
    enable = bit(4)


class TXSTMPL(Register, at=0x0B618, section="8.16"):
    """Transmit time stamp, low half."""

    value = bits(31, 0, RO)


class TXSTMPH(Register, at=0x0B61C, section="8.16"):
    """Transmit time stamp, high half; reading it frees the register pair."""

    value = bits(31, 0, RO)


class TSYNCRXCTL(Register, at=0x0B620, section="8.16"):
    """Receive time stamps: enabled, for which packets, and whether one is waiting."""

    valid = bit(0, RO)
    type = bits(3, 1)
    enable = bit(4)


class RXSTMPL(Register, at=0x0B624, section="8.16"):
    """Receive time stamp, low half."""

    value = bits(31, 0, RO)


class RXSTMPH(Register, at=0x0B628, section="8.16"):
    """Receive time stamp, high half; reading it frees the register pair."""

    value = bits(31, 0, RO)


class RXSATRL(Register, at=0x0B62C, section="8.16"):
    """Source identity of the stamped packet, low half."""

    value = bits(31, 0, RO)


class RXSATRH(Register, at=0x0B630, section="8.16"):
    """Source identity (high part) and sequence number of the stamped packet."""

    source_id = bits(15, 0, RO)
    sequence_id = bits(31, 16, RO)


class TSICR(Register, at=0x0B66C, section="8.16"):
    """Time sync interrupt causes; the 82576 has none."""

    value = bits(31, 0, RC)
