# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors: chapters 7.1 (receive) and 7.2 (transmit). All are 16 bytes, two little-endian 64-bit words."""

from __future__ import annotations

from typing import ClassVar

from device_model.declare import Descriptor, qword


class RxRead(Descriptor, size=16, section="7.1.5"):
    """Advanced receive descriptor as software writes it: where the packet goes, and the header if split."""

    packet_address = qword(0, 63, 0)
    header_address = qword(1, 63, 0)


class RxWriteback(Descriptor, size=16, section="7.1.5"):
    """Advanced receive descriptor as the device writes it back.

    ``rss_hash`` shares its place with ``ip_id`` and ``fragment_checksum`` (RXCSUM.pcsd chooses); set one form only.
    """

    rss_type = qword(0, 3, 0)
    packet_type = qword(0, 16, 4)
    hdr_len = qword(0, 30, 21)
    sph = qword(0, 31, 31)
    rss_hash = qword(0, 63, 32)
    dd = qword(1, 0, 0)
    eop = qword(1, 1, 1)
    vp = qword(1, 3, 3)
    udpcs = qword(1, 4, 4)
    l4cs = qword(1, 5, 5)
    ipcs = qword(1, 6, 6)
    pif = qword(1, 7, 7)
    ipidv = qword(1, 9, 9)
    udpv = qword(1, 10, 10)
    llint = qword(1, 11, 11)
    tsip = qword(1, 15, 15)
    ts = qword(1, 16, 16)
    secp = qword(1, 17, 17)
    lb = qword(1, 18, 18)
    mc = qword(1, 19, 19)
    hbo = qword(1, 23, 23)
    ce = qword(1, 24, 24)
    se = qword(1, 25, 25)
    seq = qword(1, 26, 26)
    cxe = qword(1, 28, 28)
    l4e = qword(1, 29, 29)
    ipe = qword(1, 30, 30)
    rxe = qword(1, 31, 31)
    length = qword(1, 47, 32)
    vlan = qword(1, 63, 48)


class RxLegacy(Descriptor, size=16, section="7.1.4"):
    """Legacy receive descriptor: software fills ``address``, the device all the rest."""

    address = qword(0, 63, 0)
    length = qword(1, 15, 0)
    checksum = qword(1, 31, 16)
    dd = qword(1, 32, 32)
    eop = qword(1, 33, 33)
    vp = qword(1, 35, 35)
    udpcs = qword(1, 36, 36)
    l4cs = qword(1, 37, 37)
    ipcs = qword(1, 38, 38)
    pif = qword(1, 39, 39)
    ce = qword(1, 40, 40)
    se = qword(1, 41, 41)
    seq = qword(1, 42, 42)
    cxe = qword(1, 44, 44)
    l4e = qword(1, 45, 45)
    ipe = qword(1, 46, 46)
    rxe = qword(1, 47, 47)
    vlan = qword(1, 63, 48)


class TxContext(Descriptor, size=16, section="7.2.2"):
    """Advanced transmit context: header lengths, VLAN tag, MSS. ``dtyp`` must be DTYP."""

    DTYP: ClassVar[int] = 2

    iplen = qword(0, 8, 0)
    maclen = qword(0, 15, 9)
    vlan = qword(0, 31, 16)
    ipv4 = qword(1, 10, 10)
    l4t = qword(1, 12, 11)
    dtyp = qword(1, 23, 20)
    dext = qword(1, 29, 29)
    idx = qword(1, 38, 36)
    l4len = qword(1, 47, 40)
    mss = qword(1, 63, 48)


class TxData(Descriptor, size=16, section="7.2.2"):
    """Advanced transmit data: one buffer of a packet. ``dtyp`` must be DTYP; the device sets ``dd``."""

    DTYP: ClassVar[int] = 3

    address = qword(0, 63, 0)
    dtalen = qword(1, 15, 0)
    mac_ts = qword(1, 19, 19)
    dtyp = qword(1, 23, 20)
    eop = qword(1, 24, 24)
    ifcs = qword(1, 25, 25)
    rs = qword(1, 27, 27)
    dext = qword(1, 29, 29)
    vle = qword(1, 30, 30)
    tse = qword(1, 31, 31)
    dd = qword(1, 32, 32)
    idx = qword(1, 38, 36)
    cc = qword(1, 39, 39)
    ixsm = qword(1, 40, 40)
    txsm = qword(1, 41, 41)
    paylen = qword(1, 63, 46)


class TxLegacy(Descriptor, size=16, section="7.2.2"):
    """Legacy transmit descriptor (``dext`` 0): one buffer, with a checksum from ``css`` stored at ``cso``."""

    address = qword(0, 63, 0)
    length = qword(1, 15, 0)
    cso = qword(1, 23, 16)
    eop = qword(1, 24, 24)
    ifcs = qword(1, 25, 25)
    ic = qword(1, 26, 26)
    rs = qword(1, 27, 27)
    dext = qword(1, 29, 29)
    vle = qword(1, 30, 30)
    dd = qword(1, 32, 32)
    css = qword(1, 47, 40)
    vlan = qword(1, 63, 48)
