# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of interrupts and of the host's side: the end of chapter 8.18, same rules as ``statistics``."""

from __future__ import annotations

from device_model.declare import Access, Register, bits

RO, RC = Access.RO, Access.RC


class IAC(Register, at=0x04100, section="8.18"):
    """Interrupts asserted."""

    value = bits(31, 0, RC)


class RPTHC(Register, at=0x04104, section="8.18"):
    """Packets received for the host."""

    value = bits(31, 0, RC)


class ICRXATC(Register, at=0x04108, section="8.18"):
    """Interrupts from the receive absolute timer (older parts)."""

    value = bits(31, 0, RC)


class ICTXPTC(Register, at=0x0410C, section="8.18"):
    """Interrupts from the transmit packet timer (older parts)."""

    value = bits(31, 0, RC)


class ICTXATC(Register, at=0x04110, section="8.18"):
    """Interrupts from the transmit absolute timer (older parts)."""

    value = bits(31, 0, RC)


class HGPTC(Register, at=0x04118, section="8.18"):
    """Good packets sent by the host."""

    value = bits(31, 0, RC)


class ICTXQMTC(Register, at=0x0411C, section="8.18"):
    """Interrupts from a low transmit queue (older parts)."""

    value = bits(31, 0, RC)


class RXDMTC(Register, at=0x04120, section="8.18"):
    """Times that a receive ring fell to its minimum threshold."""

    value = bits(31, 0, RC)


class HTCBDPC(Register, at=0x04124, section="8.18"):
    """Packets sent by the host that a circuit breaker dropped."""

    value = bits(31, 0, RC)


class HGORCL(Register, at=0x04128, section="8.18"):
    """Bytes of good packets received for the host; low half."""

    value = bits(31, 0, RO)


class HGORCH(Register, at=0x0412C, section="8.18"):
    """Bytes of good packets received for the host; high half."""

    value = bits(31, 0, RC)


class HGOTCL(Register, at=0x04130, section="8.18"):
    """Bytes of good packets sent by the host; low half."""

    value = bits(31, 0, RO)


class HGOTCH(Register, at=0x04134, section="8.18"):
    """Bytes of good packets sent by the host; high half."""

    value = bits(31, 0, RC)


class LENERRS(Register, at=0x04138, section="8.18"):
    """Frames whose length field was wrong."""

    value = bits(31, 0, RC)
